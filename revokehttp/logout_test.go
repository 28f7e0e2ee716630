package revokehttp_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// newLogout returns a service with a cookie, and its logout.
func newLogout(tb testing.TB, opts ...revokehttp.LogoutOption) (*service, http.Handler) {
	tb.Helper()
	s := newService(tb, revokehttp.WithCookie("session", "/"))
	return s, testkit.Value(s.guard.Logout(s.store, opts...))(tb)
}

// TestLogout revokes the token and its session, and answers 204 only after that.
func TestLogout(t *testing.T) {
	t.Parallel()
	s, logout := newLogout(t, revokehttp.WithClearSiteData("storage", "cache"))
	presented, sibling, other := mint(t, "1", "s", time.Hour), mint(t, "2", "s", time.Hour), mint(t, "3", "t", time.Hour)
	for range 2 { // a repeat succeeds too
		w := testkit.Serve(logout, testkit.Request("POST", "/", "Cookie", "__Host-session="+presented))
		set := cookies(t, w)
		if w.Code != http.StatusNoContent || len(set) != 1 || set[0].Name != "__Host-session" || set[0].MaxAge >= 0 ||
			w.Header().Get("Clear-Site-Data") != `"storage", "cache"` || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%d with %v", w.Code, w.Header())
		}
	}
	if s.get(presented) != 401 || s.get(sibling) != 401 || s.get(other) != 200 {
		t.Errorf("presented %d, its sibling %d, another session %d", s.get(presented), s.get(sibling), s.get(other))
	}
}

// TestLogoutRefuses revokes nothing, and deletes the cookie only if there is none to lose.
func TestLogoutRefuses(t *testing.T) {
	t.Parallel()
	good := mint(t, "1", "s", time.Hour)
	cookie := "__Host-session=" + good
	for _, c := range []struct {
		name      string
		request   *http.Request
		status    int
		challenge string
		deletes   bool // the cookie
	}{
		{"GET", testkit.Request("GET", "/", "Cookie", cookie), 405, "", false},
		{"HEAD", testkit.Request("HEAD", "/", "Cookie", cookie), 405, "", false},
		{"PUT", testkit.Request("PUT", "/", "Cookie", cookie), 405, "", false},
		{"DELETE", testkit.Request("DELETE", "/", "Cookie", cookie), 405, "", false},
		{"OPTIONS", testkit.Request("OPTIONS", "/", "Cookie", cookie), 405, "", false},
		{"no token", testkit.Request("POST", "/", "Cookie", "__Host-session=", "Sec-Fetch-Site", "same-origin"), 401, nothingSent, true},
		{
			"no token, from another site",
			testkit.Request("POST", "/", "Cookie", "__Host-session=", "Sec-Fetch-Site", "cross-site"), 401, nothingSent, false,
		},
		{"cookie from another site", testkit.Request("POST", "/", "Cookie", cookie, "Sec-Fetch-Site", "cross-site"), 403, "", false},
		{"forged token", testkit.Request("POST", "/", "Authorization", "Bearer "+good+"x"), 401, invalidToken, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, logout := newLogout(t)
			w := testkit.Serve(logout, c.request)
			testkit.WantAnswer(t, w, c.status, c.challenge)
			if set := cookies(t, w); len(set) == 1 != c.deletes {
				t.Errorf("cookies: %v", set)
			}
			notPost := c.status == http.StatusMethodNotAllowed
			if allow := w.Header().Get("Allow"); (allow == "POST") != notPost {
				t.Errorf("Allow is %q", allow)
			}
			if len(s.reported) != 1 || errors.Is(s.reported[0], revokehttp.ErrBadRequest) != notPost {
				t.Errorf("reported: %v", s.reported)
			}
			if s.get(good) != 200 {
				t.Error("the token is revoked")
			}
		})
	}
}

// TestLogoutWithExpiredToken ends the session, which has not expired.
func TestLogoutWithExpiredToken(t *testing.T) {
	t.Parallel()
	s, logout := newLogout(t)
	other := mint(t, "2", "t", time.Hour)
	w := testkit.Serve(logout, testkit.Request("POST", "/", "Authorization", "Bearer "+mint(t, "1", "t", -time.Minute)))
	testkit.WantAnswer(t, w, 204, "")
	if s.get(other) != 401 {
		t.Error("the session of an expired token goes on")
	}
}

// TestLogoutOutlastsItsClient revokes a token without a session for a client that has disconnected.
func TestLogoutOutlastsItsClient(t *testing.T) {
	t.Parallel()
	s, logout := newLogout(t)
	alone := mint(t, "1", "", time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	testkit.WantAnswer(t, testkit.Serve(logout, testkit.Request("POST", "/", "Authorization", "Bearer "+alone).WithContext(ctx)), 204, "")
	if s.get(alone) != 401 {
		t.Error("the token of a client that disconnected is accepted")
	}
}

// TestLogoutEverywhere requires a token that is accepted.
func TestLogoutEverywhere(t *testing.T) {
	t.Parallel()
	s := newService(t)
	logout := testkit.Value(s.guard.LogoutEverywhere(s.store, revokehttp.WithRecord(revoke.WithReason("stolen"))))(t)
	by := func(token string) *http.Request {
		return testkit.Request("POST", "/", "Authorization", "Bearer "+token)
	}
	presented, other := mint(t, "1", "s", time.Hour), mint(t, "2", "t", time.Hour)
	testkit.WantAnswer(t, testkit.Serve(logout, by(mint(t, "3", "u", -time.Minute))), 401, invalidToken)
	testkit.Must(t, s.store.RevokeToken(t.Context(), revoke.Token{Issuer: testkit.Issuer, ID: "4"}))
	testkit.WantAnswer(t, testkit.Serve(logout, by(mint(t, "4", "u", time.Hour))), 401, invalidToken)
	if got := s.get(other); got != 200 {
		t.Errorf("after a refused logout: %d", got)
	}
	s.store.FailAfter(errors.New("the answer was lost"))
	testkit.WantAnswer(t, testkit.Serve(logout, by(presented)), 503, "")
	s.store.Fail(nil)
	if got := s.get(other); got != 200 { // the validator failed first
		t.Errorf("after an outage: %d", got)
	}
	testkit.WantAnswer(t, testkit.Serve(logout, by(presented)), 204, "")
	if got := s.get(other); got != 401 {
		t.Errorf("after the logout: %d", got)
	}
	found := testkit.Value(s.store.Lookup(t.Context(), revoke.Token{
		Issuer: testkit.Issuer, Subject: "ada", IssuedAt: testkit.Now.Add(-time.Hour), ExpiresAt: testkit.Now,
	}))(t)
	if len(found) != 1 || found[0].Reason != "stolen" || found[0].Actor != "ada" {
		t.Errorf("the record is %+v", found)
	}
}

// TestLogoutFaults breaks the store of a logout, but not the guard's. An unknown outcome is
// 503, and leaves the cookie as it is.
func TestLogoutFaults(t *testing.T) {
	t.Parallel()
	testkit.TestKeys()
	faulty := func(breakIt func(*revoketest.Faulty, error)) func(revoke.Store) revoke.Store {
		return func(s revoke.Store) revoke.Store {
			f := revoketest.NewFaulty(s)
			breakIt(f, errors.New("it is broken"))
			return f
		}
	}
	faults := []struct {
		name   string
		store  func(revoke.Store) revoke.Store
		waits  time.Duration
		status int // of the API afterwards
	}{
		{"down", faulty((*revoketest.Faulty).Fail), 0, 200},
		{"failing after the commit", faulty((*revoketest.Faulty).FailAfter), 0, 401},
		{"slow", func(s revoke.Store) revoke.Store { return testkit.SlowStore{Store: s} }, 10 * time.Second, 200},
	}
	logouts := []struct {
		name string
		of   func(*revokehttp.Guard, revoke.Store, ...revokehttp.LogoutOption) (http.Handler, error)
	}{{"Logout", (*revokehttp.Guard).Logout}, {"LogoutEverywhere", (*revokehttp.Guard).LogoutEverywhere}}
	for _, fault := range faults {
		for _, logout := range logouts {
			for _, session := range []string{"", "s"} {
				t.Run(fault.name+"/"+logout.name+"/session "+session, func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						s := newService(t, revokehttp.WithCookie("session", "/"))
						handler := testkit.Value(logout.of(s.guard, fault.store(s.store)))(t)
						r := testkit.Request("POST", "/", "Cookie", "__Host-session="+mint(t, "1", session, time.Hour))
						began := time.Now()
						w := testkit.Serve(handler, r)
						testkit.WantAnswer(t, w, 503, "")
						if w.Header().Get("Set-Cookie") != "" || w.Header().Get("Retry-After") == "" {
							t.Errorf("header %v", w.Header())
						}
						if took := time.Since(began); took != fault.waits {
							t.Errorf("it took %v", took)
						}
						if got := testkit.Serve(s.handler, r).Code; got != fault.status {
							t.Errorf("the API answers %d afterwards", got)
						}
					})
				})
			}
		}
	}
}

// TestLogoutArguments names what is wrong with the store or an option.
func TestLogoutArguments(t *testing.T) {
	t.Parallel()
	s := newService(t)
	for _, c := range []struct {
		name  string
		store revoke.Store
		opt   revokehttp.LogoutOption
		want  string
	}{
		{"no store", nil, revokehttp.WithRecord(), "store is nil"},
		{"a nil *revoke.Postgres", (*revoke.Postgres)(nil), revokehttp.WithRecord(), "store is nil"},
		{"nil option", s.store, nil, "an option is nil"},
		{"no site data", s.store, revokehttp.WithClearSiteData(), "no type of site data"},
		{"unknown site data", s.store, revokehttp.WithClearSiteData("cookie"), `"cookie" is none of`},
		{"nil record", s.store, revokehttp.WithRecord(nil), "a RevokeOption is nil"},
		{"reason that is not UTF-8", s.store, revokehttp.WithRecord(revoke.WithReason("\xff")), "reason is not valid UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := s.guard.Logout(c.store, c.opt)
			if err == nil || !strings.Contains(err.Error(), "revokehttp: Logout: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Logout = %v, want %q", err, c.want)
			}
			_, err = s.guard.LogoutEverywhere(c.store, c.opt)
			if err == nil || !strings.Contains(err.Error(), "revokehttp: LogoutEverywhere: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("LogoutEverywhere = %v, want %q", err, c.want)
			}
		})
	}
}
