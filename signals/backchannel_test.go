package signals_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
	"github.com/pgrevoke/revoke/signals"
)

// TestLogoutRequest follows OpenID Connect Back-Channel Logout 1.0 §2.5: a form that is posted.
func TestLogoutRequest(t *testing.T) {
	t.Parallel()
	token := "logout_token=" + logoutOf(t, nil)
	with := func(body string, change func(*http.Request)) *http.Request {
		r := delivery(body)
		change(r)
		return r
	}
	typed := func(body, mediaType string) *http.Request {
		return with(body, func(r *http.Request) { r.Header.Set("Content-Type", mediaType) })
	}
	method := func(name string) *http.Request { return with(token, func(r *http.Request) { r.Method = name }) }
	inURL := func(body string) *http.Request { return with(body, func(r *http.Request) { r.URL.RawQuery = token }) }
	for _, c := range []struct {
		name    string
		request *http.Request
		status  int
	}{
		{"as it should be", delivery(token), 200},
		{"other parameters", delivery("a=1&" + token + "&a=2"), 200},
		{"charset", typed(token, "application/x-www-form-urlencoded; charset=UTF-8"), 200},
		{"another charset", typed(token, "application/x-www-form-urlencoded; charset=latin1"), 200},
		{"GET", method(http.MethodGet), 405},
		{"PUT", method(http.MethodPut), 405},
		{"in the URL", inURL(""), 400},
		{"in the URL as well", inURL(token), 400},
		{"twice", delivery(token + "&" + token), 400},
		{"missing", delivery("token=x"), 400},
		{"empty", delivery("logout_token="), 400},
		{"not a form", delivery("%"), 400},
		{"JSON", typed(`{}`, "application/json"), 400},
		{"no type", with(token, func(r *http.Request) { r.Header.Del("Content-Type") }), 400},
		{"body that is too large", delivery(token + "&a=" + strings.Repeat("a", 1<<20)), 413},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, _ := newRelyingAppInMemory(t, false)
			wantStatus(t, testkit.Serve(a.handler, c.request), c.status)
			if a.began.Load() != 0 && c.status != 200 {
				t.Error("something was written")
			}
		})
	}
}

// TestEnds follows §2.4 and §2.7: what a logout ends, and what it leaves.
func TestEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		endsUsers bool
		changes   map[string]string
		status    int
		refused   []string // tokens, by user and session
	}{
		{"EndSession, a user's session", false, nil, 200, []string{"ada phone"}},
		{"EndSession, a session alone", false, map[string]string{"sub": ""}, 200, []string{"ada phone"}},
		{"EndSession, a user", false, map[string]string{"sid": ""}, 200, []string{"ada phone", "ada laptop"}},
		{"EndUser, a user's session", true, nil, 200, []string{"ada phone", "ada laptop", "ada "}},
		{"EndUser, a user", true, map[string]string{"sid": ""}, 200, []string{"ada phone", "ada laptop", "ada "}},
		{"EndUser, a session alone", true, map[string]string{"sub": ""}, 400, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, _ := newRelyingAppInMemory(t, c.endsUsers)
			access := map[string]string{}
			for _, of := range []string{"ada phone", "ada laptop", "ada ", "eve tablet"} {
				subject, session, _ := strings.Cut(of, " ")
				if session != "" || c.endsUsers {
					access[of] = accessOf(t, subject, session, "token of "+of, time.Now())
				}
			}
			wantStatus(t, a.deliver(logoutOf(t, c.changes)), c.status)
			for of, token := range access {
				if accepted := a.accepts(t, token); accepted == slices.Contains(c.refused, of) {
					t.Errorf("the token of %q is accepted: %v", of, accepted)
				}
			}
		})
	}
}

// TestEndsThroughSet ends sessions for an app that accepts tokens of several issuers, or that reads
// the session from another claim. The session of an alias is kept under the issuer's name.
func TestEndsThroughSet(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory()
	required := revoke.WithRequiredSession()
	access := testkit.SignRaw(t, "ES256", `{"alg":"ES256"}`, claimsText(map[string]string{
		"iss": `"idp.example"`, "events": "", "sid": "[7]", "session_id": `"phone"`, "iat": at(-time.Minute),
	}))
	set := testkit.Value(revoke.NewValidatorSet([]*revoke.Validator{
		newValidator(t, store, "https://other.example"),
		newValidator(t, store, providerIssuer, required, revoke.WithIssuerAliases("idp.example"),
			revoke.WithClaimNames(revoke.ClaimNames{Session: "session_id"})),
	}, nil))(t)
	of := func(issuer string) (http.Handler, error) {
		return signals.NewBackChannelLogout(store, issuer, []string{clientID}, testkit.Keyfunc("ES256"), es256, signals.EndSession(set))
	}
	for _, issuer := range []string{"https://other.example", "idp.example", "https://unknown.example"} {
		if _, err := of(issuer); err == nil || !strings.Contains(err.Error(), "WithRequiredSession") {
			t.Errorf("the receiver of %s: %v", issuer, err)
		}
	}
	handler := testkit.Value(of(providerIssuer))(t)
	if _, err := set.Validate(t.Context(), access); err != nil {
		t.Fatal(err)
	}
	w := testkit.Serve(handler, delivery("logout_token="+logoutOf(t, nil)))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	_, err := set.Validate(t.Context(), access)
	testkit.WantError(t, err, revoke.ErrRevoked)
}

// TestLogoutLeavesLaterLogins delivers a user's logout, and again later. It refuses the tokens
// that may have been issued before it, and spares those that were issued after it by more than
// what the skew is too large.
func TestLogoutLeavesLaterLogins(t *testing.T) {
	t.Parallel()
	testkit.TestKeys()
	for _, c := range []struct {
		ahead, skew time.Duration
	}{{0, revoke.DefaultIssuerSkew}, {5 * time.Second, revoke.DefaultIssuerSkew}, {15 * time.Second, 15 * time.Second}} {
		t.Run(fmt.Sprintf("provider's clock %v ahead, a skew of %v", c.ahead, c.skew), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, _ := newRelyingAppInMemory(t, true)
				a.validator = newValidator(t, a, providerIssuer, revoke.WithIssuerSkew(c.skew))
				logout := time.Now().Add(c.ahead)
				text := logoutOf(t, map[string]string{"iat": fmt.Sprint(logout.Unix()) + ".9"})
				access := map[time.Duration]string{}
				for _, d := range []time.Duration{-time.Second, 0, time.Second, 5 * time.Second, 6 * time.Second, time.Minute} {
					access[d] = accessOf(t, "ada", "", fmt.Sprint("token at ", d), logout.Add(d))
				}
				for _, late := range []time.Duration{0, 100 * time.Second} {
					time.Sleep(late) //nolint:forbidigo // within synctest it advances the clock
					wantStatus(t, a.deliver(text), http.StatusOK)
				}
				for d, token := range access {
					if accepted := a.accepts(t, token); accepted != (d > c.skew-c.ahead) {
						t.Errorf("a token issued %v after the logout is accepted: %v", d, accepted)
					}
				}
			})
		})
	}
}

// TestLogoutInstant looks at the epoch that a logout of a user sets: at the receipt, or earlier.
func TestLogoutInstant(t *testing.T) {
	t.Parallel()
	testkit.TestKeys()
	for _, c := range []struct {
		name      string
		iat       time.Duration // after the receipt
		lag, want time.Duration // want is after the receipt
	}{
		{"delivered at once", 0, 0, time.Microsecond},
		{"stamped ahead", 15 * time.Second, 0, time.Microsecond},
		{"delivered late", -30 * time.Second, 0, -29 * time.Second},
		{"stamped into the past", -5 * time.Minute, 5 * time.Minute, time.Microsecond},
		{"stamped into the past and delivered late", -5*time.Minute - 30*time.Second, 5 * time.Minute, -29 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := revoketest.NewMemory()
				handler := testkit.Value(signals.NewBackChannelLogout(store, providerIssuer, []string{clientID}, testkit.Keyfunc("ES256"), es256,
					signals.EndUser(), signals.WithIssuerLag(c.lag)))(t)
				received := time.Now()
				text := logoutOf(t, map[string]string{"iat": at(c.iat)})
				for range 2 { // a repeat moves nothing
					wantStatus(t, testkit.Serve(handler, delivery("logout_token="+text)), http.StatusOK)
					epochs := testkit.Value(store.Epochs(t.Context(), revoke.User{Issuer: providerIssuer, Subject: "ada"}))(t)
					if got := time.UnixMicro(epochs.User).Sub(received); got != c.want {
						t.Errorf("the epoch lies %v after the receipt, want %v", got, c.want)
					}
					time.Sleep(time.Second) //nolint:forbidigo // within synctest it advances the clock
				}
			})
		})
	}
}

// TestLogoutOfManyMachines has a provider of which the machines' clocks differ: one stamps a
// token, another the logout. With the skew of the one that is most ahead, and the lag of the one
// that is most behind, no token that was issued before the logout is accepted after it.
func TestLogoutOfManyMachines(t *testing.T) {
	t.Parallel()
	testkit.TestKeys()
	for _, clocks := range [][2]int{{-1, -1}, {0, 0}, {1, 1}, {-1, 1}, {0, 1}, {-2, -1}, {-3, -1}, {-3, 0}, {-3, 2}, {-300, -295}} {
		behind, ahead := time.Duration(clocks[0])*time.Second, time.Duration(clocks[1])*time.Second
		t.Run(fmt.Sprintf("from %v to %v", behind, ahead), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := revoketest.NewMemory()
				handler := testkit.Value(signals.NewBackChannelLogout(store, providerIssuer, []string{clientID}, testkit.Keyfunc("ES256"), es256,
					signals.EndUser(), signals.WithIssuerLag(max(0, -behind))))(t)
				skew := ahead
				if skew == 0 {
					skew = revoke.NoIssuerSkew
				}
				for _, ofToken := range []time.Duration{behind, ahead} {
					for _, ofLogout := range []time.Duration{behind, ahead} {
						for _, passed := range []time.Duration{0, 250 * time.Millisecond, time.Second} {
							for _, late := range []time.Duration{0, time.Second, 20 * time.Second} {
								time.Sleep(250 * time.Millisecond) //nolint:forbidigo // within synctest it advances the clock
								user := fmt.Sprint(ofToken, ofLogout, passed, late)
								token := revoke.Token{
									Issuer: providerIssuer, Subject: user, IssuedAt: time.Now().Add(ofToken).Truncate(time.Second),
									ExpiresAt: time.Now().Add(time.Hour), IssuerSkew: skew,
								}
								testkit.Must(t, store.Check(t.Context(), token))
								time.Sleep(passed) //nolint:forbidigo // as above
								text := logoutOf(t, map[string]string{"sub": fmt.Sprintf("%q", user), "iat": at(ofLogout)})
								time.Sleep(late) //nolint:forbidigo // as above
								wantStatus(t, testkit.Serve(handler, delivery("logout_token="+text)), http.StatusOK)
								testkit.WantError(t, store.Check(t.Context(), token), revoke.ErrRevoked)
							}
						}
					}
				}
			})
		})
	}
}

// TestClocksApart has the app's clock ahead of the store's. If the store finds the receipt too
// far ahead, the outcome is unknown, and a repeat succeeds.
func TestClocksApart(t *testing.T) {
	t.Parallel()
	testkit.TestKeys()
	for _, c := range []struct {
		ahead  time.Duration
		status int
	}{{29 * time.Second, 200}, {31 * time.Second, 503}} {
		t.Run(c.ahead.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := revoketest.NewMemory(revoketest.WithClock(func() time.Time { return time.Now().Add(-c.ahead) }))
				a := newRelyingApp(t, store, true)
				text := logoutOf(t, nil)
				wantStatus(t, a.deliver(text), c.status)
				time.Sleep(3 * time.Second) //nolint:forbidigo // within synctest it advances the clock
				wantStatus(t, a.deliver(text), http.StatusOK)
			})
		})
	}
}

// TestRedelivery follows the last step of §2.6: a logout that was carried out succeeds again.
func TestRedelivery(t *testing.T) {
	t.Parallel()
	a, _ := newRelyingAppInMemory(t, false)
	phone, laptop := accessOf(t, "ada", "phone", "1", time.Now()), accessOf(t, "ada", "laptop", "2", time.Now())
	text := logoutOf(t, nil)
	for range 3 {
		wantStatus(t, a.deliver(text), http.StatusOK)
	}
	if a.accepts(t, phone) || !a.accepts(t, laptop) || len(a.reported) != 0 {
		t.Errorf("phone %v, laptop %v, reported %v", a.accepts(t, phone), a.accepts(t, laptop), a.reported)
	}
}

// TestSharedJTI tells a logout from another logout and from an access token with the same jti.
func TestSharedJTI(t *testing.T) {
	t.Parallel()
	a, _ := newRelyingAppInMemory(t, false)
	wantStatus(t, a.deliver(logoutOf(t, nil)), http.StatusOK)

	laptop := accessOf(t, "ada", "laptop", "2", time.Now())
	wantStatus(t, a.deliver(logoutOf(t, map[string]string{"sid": `"laptop"`})), http.StatusOK)
	if a.accepts(t, laptop) {
		t.Error("a logout with the jti of an earlier one is answered 200, and nothing is revoked")
	}

	testkit.Must(t, a.RevokeToken(t.Context(), revoke.Token{Issuer: providerIssuer, ID: "3"}))
	tablet := accessOf(t, "ada", "tablet", "4", time.Now())
	wantStatus(t, a.deliver(logoutOf(t, map[string]string{"jti": `"3"`, "sid": `"tablet"`})), http.StatusOK)
	if a.accepts(t, tablet) {
		t.Error("a logout with the jti of a revoked token is answered 200, and nothing is revoked")
	}

	if other := accessOf(t, "eve", "desk", "logout-1", time.Now()); !a.accepts(t, other) {
		t.Error("a logout has revoked an access token with its jti")
	}
}

// TestReceiverFaults has the store fail before and after the revocation.
func TestReceiverFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		endsUsers bool
	}{{"EndSession", false}, {"EndUser", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cause := errors.New("it is down")
			a, store := newRelyingAppInMemory(t, c.endsUsers)
			access, text := accessOf(t, "ada", "phone", "1", time.Now()), logoutOf(t, nil)
			store.Fail(cause)
			wantStatus(t, a.deliver(text), http.StatusServiceUnavailable)
			store.Fail(nil)
			if !a.accepts(t, access) {
				t.Error("the store was down, and the token is refused")
			}
			store.FailAfter(cause)
			wantStatus(t, a.deliver(text), http.StatusServiceUnavailable)
			store.Fail(nil)
			if a.accepts(t, access) {
				t.Error("the answer of the commit was lost, and the token is accepted")
			}
			wantStatus(t, a.deliver(text), http.StatusOK)
			if len(a.reported) != 2 || !errors.Is(a.reported[0], cause) || !errors.Is(a.reported[1], cause) {
				t.Errorf("reported %v", a.reported)
			}
			for _, err := range a.reported {
				if who, ok := revokehttp.TokenFromError(err); !ok || who.Issuer != providerIssuer || who.Subject != "ada" {
					t.Errorf("of %v: %+v, want ada, for the log", err, who)
				}
			}
		})
	}
}

// TestReceiverOutlastsItsSender carries out the logout of a provider that has disconnected.
func TestReceiverOutlastsItsSender(t *testing.T) {
	t.Parallel()
	a, _ := newRelyingAppInMemory(t, false)
	access := accessOf(t, "ada", "phone", "1", time.Now())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantStatus(t, testkit.Serve(a.handler, delivery("logout_token="+logoutOf(t, nil)).WithContext(ctx)), http.StatusOK)
	if a.accepts(t, access) {
		t.Error("the token is accepted")
	}
}

// halfRevoked is a store with transactions that can redeem but not revoke.
type halfRevoked struct{ revoke.Store }

type redeemer struct{ revoke.Revoker }

var errHalf = fmt.Errorf("%w: half of it", revoke.ErrUnavailable)

func (h halfRevoked) InTx(ctx context.Context, fn func(revoke.Revoker) error) error {
	return h.Store.InTx(ctx, func(tx revoke.Revoker) error { return fn(redeemer{tx}) })
}

func (redeemer) RevokeSession(context.Context, revoke.Session, ...revoke.RevokeOption) error {
	return errHalf
}

// TestRedeemAndRevokeAreOne fails between the two. The redelivery must not count as carried out.
func TestRedeemAndRevokeAreOne(t *testing.T) {
	t.Parallel()
	memory := revoketest.NewMemory()
	broken, whole := newRelyingApp(t, halfRevoked{memory}, false), newRelyingApp(t, memory, false)
	access, text := accessOf(t, "ada", "phone", "1", time.Now()), logoutOf(t, nil)
	wantStatus(t, broken.deliver(text), http.StatusServiceUnavailable)
	if !whole.accepts(t, access) {
		t.Fatal("the failed transaction has revoked the session")
	}
	wantStatus(t, whole.deliver(text), http.StatusOK)
	if whole.accepts(t, access) {
		t.Error("the redelivery was answered 200, and the session goes on")
	}
}

// TestReceiverGivesUp answers after ten seconds if the store does not.
func TestReceiverGivesUp(t *testing.T) {
	t.Parallel()
	testkit.TestKeys()
	synctest.Test(t, func(t *testing.T) {
		a := newRelyingApp(t, testkit.SlowStore{Store: revoketest.NewMemory()}, false)
		began := time.Now()
		wantStatus(t, a.deliver(logoutOf(t, nil)), http.StatusServiceUnavailable)
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("it waited for %v", waited)
		}
	})
}

// failing is a store with transactions that end with this error.
type failing struct {
	revoke.Store
	err error
}

func (f failing) InTx(context.Context, func(revoke.Revoker) error) error { return f.err }

// TestStoreRefuses tells a logout that is too old by the store's clock from one with an unknown
// outcome.
func TestStoreRefuses(t *testing.T) {
	t.Parallel()
	fast := func() time.Time { return time.Now().Add(10 * time.Minute) }
	for _, c := range []struct {
		name   string
		store  revoke.Store
		status int
	}{
		{"too old", revoketest.NewMemory(revoketest.WithClock(fast)), 400},
		{"invalid and unavailable", failing{nil, errors.Join(revoke.ErrInvalidToken, revoke.ErrUnavailable)}, 503},
		{"another error", failing{nil, errors.New("the time lies too far ahead")}, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			wantStatus(t, newRelyingApp(t, c.store, false).deliver(logoutOf(t, nil)), c.status)
		})
	}
}

// TestConcurrentDeliveries answers each of several deliveries with success.
func TestConcurrentDeliveries(t *testing.T) {
	t.Parallel()
	a, _ := newRelyingAppInMemory(t, false)
	access, text := accessOf(t, "ada", "phone", "1", time.Now()), logoutOf(t, nil)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() { wantStatus(t, a.deliver(text), http.StatusOK) })
	}
	wait.Wait()
	if a.accepts(t, access) {
		t.Error("the session goes on")
	}
}
