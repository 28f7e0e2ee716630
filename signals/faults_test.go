package signals_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
	"github.com/pgrevoke/revoke/signals"
)

// failsOnce is a store of which one write in a transaction fails, or the commit, before it is done
// or after. Only the first transaction fails.
type failsOnce struct {
	*revoketest.Faulty
	at    int  // the number of the write that fails, from 1; 0 for the commit
	after bool // the write, or the commit, is done
	done  bool
}

var errOnce = fmt.Errorf("%w: once", revoke.ErrUnavailable)

func (f *failsOnce) InTx(ctx context.Context, fn func(revoke.Revoker) error) error {
	if f.done {
		return f.Faulty.InTx(ctx, fn)
	}
	f.done = true
	if f.at > 0 {
		writes := 0
		return f.Faulty.InTx(ctx, func(tx revoke.Revoker) error { return fn(&failingWrites{tx, f, &writes}) })
	}
	if f.after {
		f.FailAfter(errOnce)
	} else {
		f.Fail(errOnce)
	}
	defer f.Fail(nil)
	return f.Faulty.InTx(ctx, fn)
}

type failingWrites struct {
	revoke.Revoker
	f      *failsOnce
	writes *int
}

func (w *failingWrites) write(do func() error) error {
	*w.writes++
	if *w.writes != w.f.at {
		return do()
	}
	if w.f.after {
		if err := do(); err != nil {
			return err
		}
	}
	return errOnce
}

func (w *failingWrites) Redeem(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	return w.write(func() error { return w.Revoker.Redeem(ctx, token, opts...) })
}

func (w *failingWrites) RevokeSession(ctx context.Context, session revoke.Session, opts ...revoke.RevokeOption) error {
	return w.write(func() error { return w.Revoker.RevokeSession(ctx, session, opts...) })
}

func (w *failingWrites) RevokeUserBefore(ctx context.Context, user revoke.User, t time.Time, opts ...revoke.RevokeOption) error {
	return w.write(func() error { return w.Revoker.RevokeUserBefore(ctx, user, t, opts...) })
}

// eachFault runs a test with a store that fails once, at each of its writes and at its commit.
func eachFault(t *testing.T, writes int, test func(*testing.T, *failsOnce)) {
	t.Helper()
	for at := range writes + 1 {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, done %v", at, after), func(t *testing.T) {
				t.Parallel()
				test(t, &failsOnce{Faulty: revoketest.NewFaulty(revoketest.NewMemory()), at: at, after: after})
			})
		}
	}
}

// wantRetried sends a request until it succeeds, as Retry-After asks for: it fails with 503, and
// then succeeds.
func wantRetried(t *testing.T, send func() *httptest.ResponseRecorder, status int) {
	t.Helper()
	wantStatus(t, send(), http.StatusServiceUnavailable)
	wantStatus(t, send(), status)
	wantStatus(t, send(), status) // a repeat of a request that was carried out
}

// TestBackChannelLogoutIsRetried fails at each write in turn. The provider repeats its request.
func TestBackChannelLogoutIsRetried(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		ends    func(*revoke.Validator) signals.Ends
		changes map[string]string
	}{
		{"EndSession", func(v *revoke.Validator) signals.Ends { return signals.EndSession(v) }, nil},
		{"EndUser", func(*revoke.Validator) signals.Ends { return signals.EndUser() }, nil},
		{"EndUserOf", func(*revoke.Validator) signals.Ends { return signals.EndUserOf(findPhone) }, map[string]string{"sub": ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachFault(t, 2, func(t *testing.T, store *failsOnce) {
				t.Helper()
				a := newRelyingApp(t, store, false)
				handler := testkit.Value(signals.NewBackChannelLogout(store, providerIssuer, []string{clientID}, testkit.Keyfunc("ES256"), es256,
					c.ends(a.validator)))(t)
				access := accessOf(t, "ada", "phone", "1", testStart)
				text := logoutOf(t, c.changes)
				wantRetried(t, func() *httptest.ResponseRecorder { return testkit.Serve(handler, delivery("logout_token="+text)) }, http.StatusOK)
				if a.accepts(t, access) {
					t.Error("the answer was 200, and the token is accepted")
				}
			})
		})
	}
}

// findPhone knows the session "phone".
func findPhone(_ context.Context, session revoke.Session) (revoke.User, error) {
	if session != (revoke.Session{Issuer: providerIssuer, ID: "phone"}) {
		return revoke.User{}, signals.ErrUnknownUser
	}
	return revoke.User{Issuer: providerIssuer, Subject: "ada"}, nil
}

// TestEndUserOf logs out the user of a session, at a provider with access tokens that have no sid.
func TestEndUserOf(t *testing.T) {
	t.Parallel()
	fails := func(err error) signals.FindUser {
		return func(context.Context, revoke.Session) (revoke.User, error) { return revoke.User{}, err }
	}
	sessionOnly := map[string]string{"sub": ""}
	for _, c := range []struct {
		name    string
		find    signals.FindUser
		changes map[string]string
		status  int
	}{
		{"a session alone", findPhone, sessionOnly, 200},
		{"a session alone, sub is null", findPhone, map[string]string{"sub": "null"}, 200},
		{"another session", findPhone, map[string]string{"sub": "", "sid": `"laptop"`}, 400},
		{"a user does not call find", fails(errors.New("it is down")), nil, 200},
		{"find is down", fails(errors.New("it is down")), sessionOnly, 503},
		{"find knows no user, or is down", fails(errors.Join(signals.ErrUnknownUser, revoke.ErrUnavailable)), sessionOnly, 503},
		{"find fails with ErrRevoked", fails(fmt.Errorf("x: %w", revoke.ErrRevoked)), sessionOnly, 503},
		{"find fails with ErrInvalidToken", fails(revoke.ErrInvalidToken), sessionOnly, 503},
		{"find knows no user, with ErrRevoked", fails(errors.Join(signals.ErrUnknownUser, revoke.ErrRevoked)), sessionOnly, 400},
		{"find returns no user", fails(nil), sessionOnly, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := revoketest.NewMemory()
			handler := testkit.Value(signals.NewBackChannelLogout(store, providerIssuer, []string{clientID}, testkit.Keyfunc("ES256"), es256,
				signals.EndUserOf(c.find)))(t)
			text := logoutOf(t, c.changes)
			for range 2 {
				wantStatus(t, testkit.Serve(handler, delivery("logout_token="+text)), c.status)
			}
			if isLoggedOut(t, store, providerIssuer) != (c.status == 200) {
				t.Errorf("logged out: %v", c.status != 200)
			}
		})
	}
	t.Run("the app forgets the session after the logout", func(t *testing.T) {
		t.Parallel()
		known := true
		handler := testkit.Value(signals.NewBackChannelLogout(revoketest.NewMemory(), providerIssuer, []string{clientID}, testkit.Keyfunc("ES256"), es256,
			signals.EndUserOf(func(ctx context.Context, session revoke.Session) (revoke.User, error) {
				if !known {
					return revoke.User{}, signals.ErrUnknownUser
				}
				known = false
				return findPhone(ctx, session)
			})))(t)
		text := logoutOf(t, sessionOnly)
		for range 2 {
			wantStatus(t, testkit.Serve(handler, delivery("logout_token="+text)), 200)
		}
	})
}
