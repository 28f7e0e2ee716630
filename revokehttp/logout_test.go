package revokehttp_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// TestLogout revokes the token and its session, and says so only when it is done.
func TestLogout(t *testing.T) {
	t.Parallel()
	s := newService(t, revokehttp.WithCookie("session", "/"))
	logout, err := s.guard.Logout(s.store, revokehttp.WithClearSiteData("storage", "cache"))
	must(t, err)
	presented, sibling, other := mint(t, "1", "s", time.Hour), mint(t, "2", "s", time.Hour), mint(t, "3", "t", time.Hour)
	get := func(token string) int {
		return answer(s.handler, request("GET", "/", "Authorization", "Bearer "+token)).Code
	}

	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS"} {
		response := answer(logout, request(method, "/", "Cookie", "__Host-session="+presented))
		wants(t, response, http.StatusMethodNotAllowed, "")
		if response.Header().Get("Allow") != "POST" {
			t.Errorf("%s: Allow is %q", method, response.Header().Get("Allow"))
		}
		if last := s.reported[len(s.reported)-1]; !errors.Is(last, revokehttp.ErrBadRequest) {
			t.Errorf("%s: reported %v", method, last)
		}
	}
	for site, dropped := range map[string]int{"same-origin": 1, "cross-site": 0} {
		response := answer(logout, request("POST", "/", "Cookie", "__Host-session=", "Sec-Fetch-Site", site))
		wants(t, response, 401, nothingSent)
		if set := cookies(t, response); len(set) != dropped {
			t.Errorf("without a token, %s: cookies %v", site, set)
		}
	}
	wants(t, answer(logout, request("POST", "/", "Cookie", "__Host-session="+presented, "Sec-Fetch-Site", "cross-site")), 403, "")
	wants(t, answer(logout, request("POST", "/", "Authorization", "Bearer "+presented+"x")), 401, invalidToken)
	s.store.Fail(errors.New("it is down"))
	response := answer(logout, request("POST", "/", "Cookie", "__Host-session="+presented))
	wants(t, response, 503, "")
	if response.Header().Get("Set-Cookie") != "" {
		t.Error("the cookie is dropped though nothing was revoked")
	}
	s.store.Fail(nil)
	if get(presented) != 200 {
		t.Error("it is dead already")
	}

	for range 2 { // a repeat is a success too
		response = answer(logout, request("POST", "/", "Cookie", "__Host-session="+presented))
		set := cookies(t, response)
		if response.Code != http.StatusNoContent || len(set) != 1 || set[0].Name != "__Host-session" || set[0].MaxAge >= 0 ||
			response.Header().Get("Clear-Site-Data") != `"storage", "cache"` || response.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%d with %v", response.Code, response.Header())
		}
	}
	if get(presented) != 401 || get(sibling) != 401 || get(other) != 200 {
		t.Errorf("presented %d, its sibling %d, another session %d", get(presented), get(sibling), get(other))
	}

	// With an expired token, whose session lives on.
	wants(t, answer(logout, request("POST", "/", "Authorization", "Bearer "+mint(t, "4", "t", -time.Minute))), 204, "")
	if get(other) != 401 {
		t.Error("the session of an expired token goes on")
	}
	// Without a session, and cut off by a client that hangs up.
	alone := mint(t, "5", "", time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wants(t, answer(logout, request("POST", "/", "Authorization", "Bearer "+alone).WithContext(ctx)), 204, "")
	if get(alone) != 401 {
		t.Error("a client that hung up is not logged out")
	}
}

// TestLogoutEverywhere demands a token that is alive.
func TestLogoutEverywhere(t *testing.T) {
	t.Parallel()
	s := newService(t)
	logout, err := s.guard.LogoutEverywhere(s.store, revokehttp.WithRecord(revoke.WithReason("stolen")))
	must(t, err)
	presented, other := mint(t, "1", "s", time.Hour), mint(t, "2", "t", time.Hour)
	wants(t, answer(logout, request("POST", "/", "Authorization", "Bearer "+mint(t, "3", "u", -time.Minute))), 401, invalidToken)
	must(t, s.store.RevokeToken(t.Context(), revoke.Token{Issuer: testIssuer, ID: "4"}))
	wants(t, answer(logout, request("POST", "/", "Authorization", "Bearer "+mint(t, "4", "u", time.Hour))), 401, invalidToken)
	wants(t, answer(s.handler, request("GET", "/", "Authorization", "Bearer "+other)), 200, "")
	s.store.FailAfter(errors.New("the answer was lost"))
	wants(t, answer(logout, request("POST", "/", "Authorization", "Bearer "+presented)), 503, "")
	s.store.Fail(nil)
	wants(t, answer(s.handler, request("GET", "/", "Authorization", "Bearer "+other)), 200, "") // the validator failed first
	wants(t, answer(logout, request("POST", "/", "Authorization", "Bearer "+presented)), 204, "")
	wants(t, answer(s.handler, request("GET", "/", "Authorization", "Bearer "+other)), 401, invalidToken)
	now := time.Now()
	found, err := s.store.Lookup(t.Context(), revoke.Token{Issuer: testIssuer, Subject: "ada", IssuedAt: now.Add(-time.Hour), ExpiresAt: now})
	must(t, err)
	if len(found) != 1 || found[0].Reason != "stolen" || found[0].Actor != "ada" {
		t.Errorf("the record is %+v", found)
	}
}

// TestLogoutFaults has the store of a logout down, slow, and failing after the commit, while that of the guard answers. What is
// not known to be done is 503, and touches no cookie.
func TestLogoutFaults(t *testing.T) {
	t.Parallel()
	broken := errors.New("it is broken")
	for fault, c := range map[string]struct {
		store  func(revoke.Store) revoke.Store
		waits  time.Duration
		status int // of the API afterwards
	}{
		"down": {func(s revoke.Store) revoke.Store {
			f := revoketest.NewFaulty(s)
			f.Fail(broken)
			return f
		}, 0, 200},
		"failing after the commit": {func(s revoke.Store) revoke.Store {
			f := revoketest.NewFaulty(s)
			f.FailAfter(broken)
			return f
		}, 0, 401},
		"slow": {func(s revoke.Store) revoke.Store { return slowStore{s} }, 10 * time.Second, 200},
	} {
		for name, logout := range map[string]func(*service, revoke.Store) (http.Handler, error){
			"Logout":           func(s *service, store revoke.Store) (http.Handler, error) { return s.guard.Logout(store) },
			"LogoutEverywhere": func(s *service, store revoke.Store) (http.Handler, error) { return s.guard.LogoutEverywhere(store) },
		} {
			for _, session := range []string{"", "s"} {
				synctest.Test(t, func(t *testing.T) {
					s := newService(t, revokehttp.WithCookie("session", "/"))
					handler, err := logout(s, c.store(s.store))
					must(t, err)
					r := request("POST", "/", "Cookie", "__Host-session="+mint(t, "1", session, time.Hour))
					began := time.Now()
					response := answer(handler, r)
					wants(t, response, 503, "")
					if response.Header().Get("Set-Cookie") != "" || response.Header().Get("Retry-After") == "" {
						t.Errorf("%s of a store that is %s: header %v", name, fault, response.Header())
					}
					if took := time.Since(began); took != c.waits {
						t.Errorf("%s of a store that is %s: it took %v", name, fault, took)
					}
					if got := answer(s.handler, r).Code; got != c.status {
						t.Errorf("%s of a store that is %s: then the API answers %d", name, fault, got)
					}
				})
			}
		}
	}
}
