package revokehttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revoketest"
)

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

// TestClocksApart has the provider's clock 15 s ahead of the app's, and the app's ahead of the store's. Nobody knows about a
// logout that the store finds too far ahead: it can be repeated, and succeeds then.
func TestClocksApart(t *testing.T) {
	t.Parallel()
	providerKey()
	for ahead, status := range map[time.Duration]int{14 * time.Second: 200, 16 * time.Second: 503} {
		synctest.Test(t, func(t *testing.T) {
			store := revoketest.NewMemory(revoketest.WithClock(func() time.Time { return time.Now().Add(-ahead) }))
			a := newRelyingApp(t, store, true)
			text := logoutOf(t, map[string]string{"iat": at(15 * time.Second)})
			wantsAnswer(t, ahead.String(), a.deliver(text), status)
			time.Sleep(2 * time.Second) //nolint:forbidigo // within synctest it is how time goes on
			wantsAnswer(t, "later", a.deliver(text), http.StatusOK)
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

// TestReceiverGivesUp has a store that does not answer: the sender is told so after ten seconds.
func TestReceiverGivesUp(t *testing.T) {
	t.Parallel()
	providerKey()
	synctest.Test(t, func(t *testing.T) {
		a := newRelyingApp(t, slowStore{revoketest.NewMemory()}, false)
		began := time.Now()
		wantsAnswer(t, "slow", a.deliver(logoutOf(t, nil)), http.StatusServiceUnavailable)
		if waited := time.Since(began); waited != 10*time.Second {
			t.Errorf("it waited for %v", waited)
		}
	})
}

// unsure is a store whose transactions end with this error.
type unsure struct {
	revoke.Store
	err error
}

func (u unsure) InTx(context.Context, func(revoke.Revoker) error) error { return u.err }

// TestStoreRefuses tells a logout that is too old by the store's clock from one of which nobody knows.
func TestStoreRefuses(t *testing.T) {
	t.Parallel()
	fast := func() time.Time { return time.Now().Add(10 * time.Minute) }
	for what, c := range map[string]struct {
		store  revoke.Store
		status int
	}{
		"too old":        {revoketest.NewMemory(revoketest.WithClock(fast)), 400},
		"both":           {unsure{nil, errors.Join(revoke.ErrInvalidToken, revoke.ErrUnavailable)}, 503},
		"something else": {unsure{nil, errors.New("the time lies too far ahead")}, 503},
	} {
		wantsAnswer(t, what, newRelyingApp(t, c.store, false).deliver(logoutOf(t, nil)), c.status)
	}
}

// TestConcurrentDeliveries has every delivery succeed.
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
