package revokehttp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// at is a NumericDate that lies d from now.
func at(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).Unix()) }

// TestLogoutToken is OpenID Connect Back-Channel Logout 1.0 §2.4, §2.6 and §4.1. What is refused reaches no store.
func TestLogoutToken(t *testing.T) {
	t.Parallel()
	providerKey()
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("x", revoke.MaxIDLength)
		type tokens map[string]string
		typed := func(header string) string { return signText(t, "ES256", header, claimsText(nil)) }
		with := func(name, value string) string { return logoutOf(t, map[string]string{name: value}) }
		good := logoutOf(t, nil)
		parts := strings.Split(good, ".")
		accepted := tokens{
			"as it is":                          good,
			"no typ":                            typed(`{"alg":"ES256"}`),
			"typ JWT":                           typed(`{"alg":"ES256","typ":"JWT"}`),
			"typ in full, and in other letters": typed(`{"alg":"ES256","typ":"application/Logout+JWT","kid":"k"}`),
			"b64 true":                          typed(`{"alg":"ES256","b64":true}`),
			"several audiences":                 with("aud", `["other","`+clientID+`"]`),
			"the other client":                  with("aud", `"another-app"`),
			"no sub":                            with("sub", ""),
			"no sid":                            with("sid", ""),
			"other events":                      with("events", `{"revoke_offline_access":true,`+logoutEvents[1:]),
			"an event with members":             with("events", `{"http://schemas.openid.net/event/backchannel-logout":{"a":[1]}}`),
			"other claims":                      logoutOf(t, nil, `"typ":"Logout","trace_id":"x","a":{"nonce":1}`),
			"iat as far ahead as may be":        with("iat", at(15*time.Second)),
			"exp just past, within the leeway":  logoutOf(t, map[string]string{"iat": at(-179 * time.Second), "exp": at(-59 * time.Second)}),
			"no exp":                            with("exp", ""),
			"no exp, an hour old":               logoutOf(t, map[string]string{"iat": at(-time.Hour - 59*time.Second), "exp": ""}),
			"exp far away":                      with("exp", at(revoke.MaxTokenLifetime)),
			"fractions of seconds":              logoutOf(t, map[string]string{"iat": at(0) + ".25", "exp": at(time.Minute) + ".75"}),
			"nbf":                               with("nbf", at(0)),
			"jti as long as may be":             with("jti", `"`+long+`"`),
		}
		refused := tokens{
			"§2.4 no signature":            signText(t, "none", `{"alg":"none"}`, claimsText(nil)),
			"§2.6 another algorithm":       signText(t, "HS256", `{"alg":"HS256"}`, claimsText(nil)),
			"§2.6 the algorithm is a lie":  signText(t, "HS256", logoutHeader, claimsText(nil)),
			"§2.6 signature of another":    parts[0] + "." + parts[1] + "." + strings.Split(logoutOf(t, nil, `"a":1`), ".")[2],
			"§2.6 no signature part":       parts[0] + "." + parts[1] + ".",
			"§2.6 encrypted":               good + "." + parts[1] + "." + parts[2],
			"§2.6 line break":              parts[0] + "\n." + parts[1] + "." + parts[2],
			"§2.6 padded":                  good + "=",
			"§2.6 too long":                logoutOf(t, nil, `"a":"`+strings.Repeat("a", revoke.DefaultMaxTokenSize)+`"`),
			"§2.4 no iss":                  with("iss", ""),
			"§2.6 iss of another":          with("iss", `"`+providerIssuer+`/"`),
			"§2.4 no aud":                  with("aud", ""),
			"§2.4 empty aud":               with("aud", "[]"),
			"§2.6 aud of another":          with("aud", `["other","`+strings.ToUpper(clientID)+`"]`),
			"§2.4 aud of another type":     with("aud", `["`+clientID+`",1]`),
			"§2.4 no iat":                  with("iat", ""),
			"§2.4 iat is text":             with("iat", `"`+at(0)+`"`),
			"§2.6 iat ahead":               with("iat", at(16*time.Second)),
			"§2.6 expired":                 logoutOf(t, map[string]string{"iat": at(-180 * time.Second), "exp": at(-60 * time.Second)}),
			"§2.6 no exp, and too old":     logoutOf(t, map[string]string{"iat": at(-time.Hour - time.Minute), "exp": ""}),
			"§2.6 exp before iat":          logoutOf(t, map[string]string{"iat": at(10 * time.Second), "exp": at(9 * time.Second)}),
			"§2.6 exp beyond any row":      with("exp", at(revoke.MaxTokenLifetime+time.Second)),
			"§2.6 exp beyond time":         with("exp", "1e300"),
			"§2.6 nbf ahead":               with("nbf", at(16*time.Second)),
			"§2.4 no jti":                  with("jti", ""),
			"§2.4 empty jti":               with("jti", `""`),
			"§2.4 jti is null":             with("jti", `null`),
			"§2.4 jti is a number":         with("jti", `1`),
			"§2.4 jti too long":            with("jti", `"x`+long+`"`),
			"§2.4 jti with NUL":            with("jti", `"a\u0000b"`),
			"§2.4 jti not UTF-8":           with("jti", "\"\xff\""),
			"§2.4 jti half a character":    with("jti", `"\ud800"`),
			"§2.4 jti twice":               logoutOf(t, nil, `"jti":"logout-2"`),
			"§2.4 JTI beside jti":          logoutOf(t, nil, `"JTI":"logout-2"`),
			"§2.4 sid twice":               logoutOf(t, nil, `"sid":"laptop"`),
			"§2.4 Sub beside sub":          logoutOf(t, nil, `"Sub":"eve"`),
			"§2.4 empty sub":               with("sub", `""`),
			"§2.4 sid is a number":         with("sid", `7`),
			"§2.4 neither sub nor sid":     logoutOf(t, map[string]string{"sub": "", "sid": ""}),
			"§2.4 no events":               with("events", ""),
			"§2.4 events without a logout": with("events", `{"http://schemas.openid.net/event/backchannel-login":{}}`),
			"§2.4 events is an array":      with("events", `["http://schemas.openid.net/event/backchannel-logout"]`),
			"§2.4 the logout is no object": with("events", `{"http://schemas.openid.net/event/backchannel-logout":true}`),
			"§2.4 events is null":          with("events", `null`),
			"§2.4 nonce":                   logoutOf(t, nil, `"nonce":"n"`),
			"§2.4 nonce is null":           logoutOf(t, nil, `"nonce":null`),
			"§2.4 NONCE":                   logoutOf(t, nil, `"NONCE":"n"`),
			"§4.1 typ at+jwt":              typed(`{"alg":"ES256","typ":"at+jwt"}`),
			"§4.1 typ secevent+jwt":        typed(`{"alg":"ES256","typ":"secevent+jwt"}`),
			"§4.1 typ empty":               typed(`{"alg":"ES256","typ":""}`),
			"§4.1 typ null":                typed(`{"alg":"ES256","typ":null}`),
			"RFC 7515 crit":                typed(`{"alg":"ES256","crit":["x"],"x":1}`),
			"RFC 7797 b64":                 typed(`{"alg":"ES256","b64":false}`),
			"JSON goes on":                 signText(t, "ES256", logoutHeader, claimsText(nil)+"{}"),
			"JSON is an array":             signText(t, "ES256", logoutHeader, "["+claimsText(nil)+"]"),
			"an access token":              accessOf(t, "ada", "phone", "1", time.Now()),
			"an ID token":                  signText(t, "ES256", `{"alg":"ES256","typ":"JWT"}`, claimsText(map[string]string{"events": ""}, `"nonce":"n"`)),
			"nothing like it":              "x",
		}
		for what, token := range accepted {
			for _, users := range []bool{false, true} {
				a, _ := newRelyingAppInMemory(t, users)
				status := http.StatusOK
				if users && what == "no sub" {
					status = http.StatusBadRequest
				}
				wantsAnswer(t, what, a.deliver(token), status)
				if access := accessOf(t, "ada", "phone", "1", time.Now().Add(-2*time.Hour)); status == http.StatusOK && a.alive(t, access) {
					t.Errorf("%s, users %v: the answer was 200, and the user goes on", what, users)
				}
			}
		}
		for what, token := range refused {
			a, _ := newRelyingAppInMemory(t, false)
			wantsAnswer(t, what, a.deliver(token), http.StatusBadRequest)
			if a.began.Load() != 0 || len(a.reported) != 1 || !errors.Is(a.reported[0], revoke.ErrInvalidToken) || errors.Is(a.reported[0], revoke.ErrUnavailable) {
				t.Errorf("%s: %d transactions, and reported is %v", what, a.began.Load(), a.reported)
			}
		}
	})
}

// TestLogoutRequest is OpenID Connect Back-Channel Logout 1.0 §2.5: a form that is posted.
func TestLogoutRequest(t *testing.T) {
	t.Parallel()
	token := "logout_token=" + logoutOf(t, nil)
	request := func(change func(*http.Request), body string) *http.Request {
		r := delivery(body)
		change(r)
		return r
	}
	same := func(*http.Request) {}
	for what, c := range map[string]struct {
		request *http.Request
		status  int
	}{
		"as it is":         {request(same, token), 200},
		"other parameters": {request(same, "a=1&"+token+"&a=2"), 200},
		"charset": {request(func(r *http.Request) {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
		}, token), 200},
		"GET":                 {request(func(r *http.Request) { r.Method = http.MethodGet }, token), 405},
		"PUT":                 {request(func(r *http.Request) { r.Method = http.MethodPut }, token), 405},
		"in the URL":          {request(func(r *http.Request) { r.URL.RawQuery = token }, ""), 400},
		"in the URL as well":  {request(func(r *http.Request) { r.URL.RawQuery = token }, token), 400},
		"twice":               {request(same, token+"&"+token), 400},
		"missing":             {request(same, "token=x"), 400},
		"empty":               {request(same, "logout_token="), 400},
		"no form":             {request(same, "%"), 400},
		"JSON":                {request(func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, `{}`), 400},
		"no type":             {request(func(r *http.Request) { r.Header.Del("Content-Type") }, token), 400},
		"a body that is huge": {request(same, token+"&a="+strings.Repeat("a", 1<<20)), 413},
	} {
		a, _ := newRelyingAppInMemory(t, false)
		wantsAnswer(t, what, answer(a.handler, c.request), c.status)
		if a.began.Load() != 0 && c.status != 200 {
			t.Errorf("%s: something was written", what)
		}
	}
}

// TestEnds is §2.4 and §2.7: what a logout ends, and what it leaves alone.
func TestEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what    string
		users   bool
		changes map[string]string
		status  int
		dead    []string
	}{
		{"a session", false, nil, 200, []string{"ada phone"}},
		{"a session alone", false, map[string]string{"sub": ""}, 200, []string{"ada phone"}},
		{"a user, who has sessions", false, map[string]string{"sid": ""}, 200, []string{"ada phone", "ada laptop"}},
		{"a user, by session", true, nil, 200, []string{"ada phone", "ada laptop", "ada "}},
		{"a user", true, map[string]string{"sid": ""}, 200, []string{"ada phone", "ada laptop", "ada "}},
		{"a user who is not named", true, map[string]string{"sub": ""}, 400, nil},
	} {
		a, _ := newRelyingAppInMemory(t, c.users)
		access := map[string]string{}
		for _, of := range []string{"ada phone", "ada laptop", "ada ", "eve tablet"} {
			subject, session, _ := strings.Cut(of, " ")
			if session != "" || c.users {
				access[of] = accessOf(t, subject, session, "token of "+of, time.Now())
			}
		}
		wantsAnswer(t, c.what, a.deliver(logoutOf(t, c.changes)), c.status)
		for of, token := range access {
			if alive, dead := a.alive(t, token), strings.Contains(strings.Join(c.dead, ","), of); alive == dead {
				t.Errorf("%s: alive is %v of %q", c.what, alive, of)
			}
		}
	}
}

// TestLogoutLeavesLaterLogins delivers a user's logout late. What was issued in its second is dead, whichever came first.
func TestLogoutLeavesLaterLogins(t *testing.T) {
	t.Parallel()
	providerKey()
	for _, ahead := range []time.Duration{0, 15 * time.Second} { // of the provider's clock
		synctest.Test(t, func(t *testing.T) {
			a, _ := newRelyingAppInMemory(t, true)
			logout := time.Now().Add(ahead)
			text := logoutOf(t, map[string]string{"iat": fmt.Sprint(logout.Unix()) + ".9"})
			access := map[time.Duration]string{}
			for _, d := range []time.Duration{-time.Second, 0, time.Second, time.Minute} {
				access[d] = accessOf(t, "ada", "", fmt.Sprint("token at ", d), logout.Add(d))
			}
			for _, late := range []time.Duration{0, 100 * time.Second} {
				time.Sleep(late) //nolint:forbidigo // within synctest it is how time goes on
				wantsAnswer(t, "logout", a.deliver(text), http.StatusOK)
			}
			for d, token := range access {
				if alive := a.alive(t, token); alive != (d > 0) {
					t.Errorf("alive is %v of a token issued %v after the logout", alive, d)
				}
			}
		})
	}
}

// TestRedelivery is §2.6, the last step: a logout that was done is done.
func TestRedelivery(t *testing.T) {
	t.Parallel()
	a, _ := newRelyingAppInMemory(t, false)
	phone, laptop := accessOf(t, "ada", "phone", "1", time.Now()), accessOf(t, "ada", "laptop", "2", time.Now())
	text := logoutOf(t, nil)
	for range 3 {
		wantsAnswer(t, "logout", a.deliver(text), http.StatusOK)
	}
	if a.alive(t, phone) || !a.alive(t, laptop) || len(a.reported) != 0 {
		t.Errorf("phone %v, laptop %v, reported %v", a.alive(t, phone), a.alive(t, laptop), a.reported)
	}
	// The same jti again, of another logout: no success without effect.
	wantsAnswer(t, "another session", a.deliver(logoutOf(t, map[string]string{"sid": `"laptop"`})), http.StatusOK)
	if a.alive(t, laptop) {
		t.Error("a logout with a jti that was seen before is answered 200, and nothing is revoked")
	}
	// A token that was revoked by itself, and whose jti the logout has too.
	must(t, a.RevokeToken(t.Context(), revoke.Token{Issuer: providerIssuer, ID: "3"}))
	tablet := accessOf(t, "ada", "tablet", "4", time.Now())
	wantsAnswer(t, "jti of a revoked token", a.deliver(logoutOf(t, map[string]string{"jti": `"3"`, "sid": `"tablet"`})), http.StatusOK)
	if a.alive(t, tablet) {
		t.Error("a logout with the jti of a revoked token is answered 200, and nothing is revoked")
	}
	// And the other way round: the jti of a logout is not that of a token.
	if other := accessOf(t, "eve", "desk", "logout-1", time.Now()); !a.alive(t, other) {
		t.Error("a logout has revoked a token that shares its jti")
	}
}

// TestReceiverFaults has the store fail before and after it did what was asked, and the provider hang up.
func TestReceiverFaults(t *testing.T) {
	t.Parallel()
	cause := errors.New("it is down")
	for _, users := range []bool{false, true} {
		a, store := newRelyingAppInMemory(t, users)
		access, text := accessOf(t, "ada", "phone", "1", time.Now()), logoutOf(t, nil)
		store.Fail(cause)
		wantsAnswer(t, "down", a.deliver(text), http.StatusServiceUnavailable)
		store.Fail(nil)
		if !a.alive(t, access) {
			t.Error("down: it is dead already")
		}
		store.FailAfter(cause)
		wantsAnswer(t, "the answer of the commit is lost", a.deliver(text), http.StatusServiceUnavailable)
		store.Fail(nil)
		if a.alive(t, access) {
			t.Error("the answer of the commit is lost, and the revocation too")
		}
		wantsAnswer(t, "redelivery", a.deliver(text), http.StatusOK)
		if len(a.reported) != 2 || !errors.Is(a.reported[0], cause) || !errors.Is(a.reported[1], cause) {
			t.Errorf("reported %v", a.reported)
		}
	}
	a, _ := newRelyingAppInMemory(t, false)
	access := accessOf(t, "ada", "phone", "1", time.Now())
	r := delivery("logout_token=" + logoutOf(t, nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantsAnswer(t, "a provider that hangs up", answer(a.handler, r.WithContext(ctx)), http.StatusOK)
	if a.alive(t, access) {
		t.Error("a provider that hung up is not heard")
	}
}

// halfRevoked is a store whose transactions can redeem and cannot revoke.
type halfRevoked struct{ revoke.Store }

type redeemer struct{ revoke.Revoker }

var errHalf = fmt.Errorf("%w: half of it", revoke.ErrUnavailable)

func (h halfRevoked) InTx(ctx context.Context, fn func(revoke.Revoker) error) error {
	return h.Store.InTx(ctx, func(tx revoke.Revoker) error { return fn(redeemer{tx}) })
}

func (redeemer) RevokeSession(context.Context, revoke.Session, ...revoke.RevokeOption) error {
	return errHalf
}

// TestRedeemAndRevokeAreOne fails between the two: the redelivery must not be taken for one that was done.
func TestRedeemAndRevokeAreOne(t *testing.T) {
	t.Parallel()
	memory := revoketest.NewMemory()
	broken, whole := newRelyingApp(t, halfRevoked{memory}, false), newRelyingApp(t, memory, false)
	access, text := accessOf(t, "ada", "phone", "1", time.Now()), logoutOf(t, nil)
	wantsAnswer(t, "half", broken.deliver(text), http.StatusServiceUnavailable)
	if !whole.alive(t, access) {
		t.Fatal("half of it was enough")
	}
	wantsAnswer(t, "redelivery", whole.deliver(text), http.StatusOK)
	if whole.alive(t, access) {
		t.Error("the redelivery was answered 200, and the session goes on")
	}
}

// slow is a store that never answers.
type slow struct{ revoke.Store }

func (slow) InTx(ctx context.Context, _ func(revoke.Revoker) error) error {
	<-ctx.Done()
	return fmt.Errorf("%w: %w", revoke.ErrUnavailable, context.Cause(ctx))
}

// TestReceiverGivesUp has a store that does not answer: the sender is told so after ten seconds.
func TestReceiverGivesUp(t *testing.T) {
	t.Parallel()
	providerKey()
	synctest.Test(t, func(t *testing.T) {
		a := newRelyingApp(t, slow{revoketest.NewMemory()}, false)
		began := time.Now()
		wantsAnswer(t, "slow", a.deliver(logoutOf(t, nil)), http.StatusServiceUnavailable)
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("it waited for %v", waited)
		}
	})
}

// TestKeysAreDown tells a source of keys that does not answer from a key that there is not.
func TestKeysAreDown(t *testing.T) {
	t.Parallel()
	for cause, status := range map[error]int{
		context.DeadlineExceeded:                503,
		context.Canceled:                        503,
		&net.OpError{Op: "dial", Err: errHalf}:  503,
		revoke.ErrUnavailable:                   503,
		errors.New("kid is not known"):          400,
		fmt.Errorf("%w: no", revoke.ErrRevoked): 400,
	} {
		a, _ := newRelyingAppInMemory(t, false)
		handler, err := revokehttp.NewBackChannelLogout(a, providerIssuer, []string{clientID},
			func(*jwt.Token) (any, error) { return nil, cause }, []string{"ES256"}, revokehttp.EndUser())
		must(t, err)
		wantsAnswer(t, cause.Error(), answer(handler, delivery("logout_token="+logoutOf(t, nil))), status)
		if a.began.Load() != 0 {
			t.Errorf("%v: something was written", cause)
		}
	}
}

// TestConcurrentDeliveries has every delivery succeed, and the user's epoch set once.
func TestConcurrentDeliveries(t *testing.T) {
	t.Parallel()
	a, _ := newRelyingAppInMemory(t, false)
	access, text := accessOf(t, "ada", "phone", "1", time.Now()), logoutOf(t, nil)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() { wantsAnswer(t, "delivery", a.deliver(text), http.StatusOK) })
	}
	wait.Wait()
	if a.alive(t, access) {
		t.Error("the session goes on")
	}
}
