package revokehttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// withSession makes a logout end the token and its session.
func withSession() revokehttp.LogoutOption {
	return revokehttp.WithScopes(revoke.ScopeToken, revoke.ScopeSession)
}

// newLogout returns a service with a cookie, and its logout of the token and its session.
func newLogout(tb testing.TB, opts ...revokehttp.LogoutOption) (*service, http.Handler) {
	tb.Helper()
	s := newService(tb, revokehttp.WithCookie("session", "/"))
	return s, testkit.Value(s.guard.Logout(s.store, append(opts, withSession())...))(tb)
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
		{"forged token beside a good cookie", testkit.Request("POST", "/", "Authorization", "Bearer x", "Cookie", cookie), 401, invalidToken, false},
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

// TestLogoutDropsTheCookie deletes a cookie that is good for nothing, since no script can, and
// keeps one with a token that may be alive.
func TestLogoutDropsTheCookie(t *testing.T) {
	t.Parallel()
	good, other := mint(t, "1", "s", time.Hour), mint(t, "2", "t", time.Hour)
	forged := good[:len(good)-4] + "AAAA"
	revoked, expired := mint(t, "3", "u", time.Hour), mint(t, "4", "v", -time.Minute)
	later := testkit.Mint(t, map[string]string{"nbf": testkit.At(time.Minute)})
	elsewhere := testkit.Mint(t, map[string]string{"aud": `"another service"`})
	alone := testkit.Mint(t, map[string]string{"jti": "", "sid": ""})
	const same, cross = "same-origin", "cross-site"
	for _, c := range []struct {
		name    string
		bearer  string // "" for none
		cookie  string // "|" between two
		site    string
		status  int // of Logout
		all     int // of LogoutEverywhere
		deletes bool
	}{
		{"good", "", good, same, 204, 204, true},
		{"bad signature", "", forged, same, 401, 401, true},
		{"bad signature, another site", "", forged, cross, 403, 403, false},
		{"no JWT", "", "x", same, 401, 401, true},
		{"no token at all", "", "x%20y", same, 401, 401, true},
		{"two of one name", "", good + "|x", same, 400, 400, true},
		{"the same twice", "", good + "|" + good, same, 400, 400, true},
		{"two of one name, another site", "", good + "|x", cross, 400, 400, false},
		{"not valid yet", "", later, same, 401, 401, false},
		{"of another audience", "", elsewhere, same, 401, 401, false},
		{"Bearer, and the same token", good, good, same, 204, 204, true},
		{"Bearer, and a bad signature", good, forged, same, 204, 204, true},
		{"Bearer, and a bad signature, another site", good, forged, cross, 204, 204, false},
		{"Bearer, and two of one name", good, other + "|x", same, 204, 204, true},
		{"Bearer, and a dead one", good, revoked, same, 204, 204, true},
		{"Bearer, and an expired one", good, expired, same, 204, 204, true},
		{"Bearer, and one that is not valid yet", good, later, same, 204, 204, false},
		{"Bearer, and one of another audience", good, elsewhere, same, 204, 204, false},
		{"invalid Bearer, and a good one", "x", good, same, 401, 401, false},
		{"invalid Bearer, and a bad signature", "x", forged, same, 401, 401, true},
		{"invalid Bearer, and a dead one", "x", revoked, same, 401, 401, true},
		{"invalid Bearer, and a dead one, another site", "x", revoked, cross, 401, 401, false},
		{"Bearer without a token, and a bad signature", " ", forged, same, 400, 400, true},
	} {
		for _, everywhere := range []bool{false, true} {
			name, status := c.name, c.status
			if everywhere {
				name, status = c.name+"/everywhere", c.all
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newService(t, revokehttp.WithCookie("session", "/"))
				testkit.Must(t, s.store.RevokeSession(t.Context(), revoke.Session{Issuer: testkit.Issuer, ID: "u"}))
				of := s.guard.Logout
				if everywhere {
					of = s.guard.LogoutEverywhere
				}
				r := testkit.Request("POST", "/", "Sec-Fetch-Site", c.site)
				for value := range strings.SplitSeq(c.cookie, "|") {
					r.Header.Add("Cookie", "__Host-session="+value)
				}
				if c.bearer != "" {
					r.Header.Set("Authorization", "Bearer "+c.bearer)
				}
				w := testkit.Serve(testkit.Value(of(s.store))(t), r)
				if set := cookies(t, w); w.Code != status || len(set) == 1 != c.deletes || c.deletes && set[0].MaxAge >= 0 {
					t.Errorf("%d, cookies %v, want %d", w.Code, set, status)
				}
				if got := s.get(good); (got == 401) != (w.Code == 204) {
					t.Errorf("the token gets %d after a logout that is answered with %d", got, w.Code)
				}
			})
		}
	}
	t.Run("Bearer, and a live cookie of another session", func(t *testing.T) {
		t.Parallel()
		s, logout := newLogout(t)
		w := testkit.Serve(logout, testkit.Request("POST", "/", "Authorization", "Bearer "+good, "Cookie", "__Host-session="+other))
		if set := cookies(t, w); w.Code != 204 || len(set) != 0 || s.get(other) != 200 || s.get(good) != 401 {
			t.Errorf("%d, cookies %v", w.Code, set)
		}
	})
	t.Run("Bearer, and a cookie of the session that it ends", func(t *testing.T) {
		t.Parallel()
		_, logout := newLogout(t)
		sibling := mint(t, "5", "s", time.Hour)
		w := testkit.Serve(logout, testkit.Request("POST", "/", "Authorization", "Bearer "+good, "Cookie", "__Host-session="+sibling))
		if set := cookies(t, w); w.Code != 204 || len(set) != 1 {
			t.Errorf("%d, cookies %v", w.Code, set)
		}
	})
	t.Run("two headers, and a good cookie", func(t *testing.T) {
		t.Parallel()
		s, logout := newLogout(t)
		r := testkit.Request("POST", "/", "Authorization", "Bearer x", "Authorization", "Bearer x", "Cookie", "__Host-session="+good)
		w := testkit.Serve(logout, r)
		if set := cookies(t, w); w.Code != 400 || len(set) != 0 || s.get(good) != 200 {
			t.Errorf("%d, cookies %v", w.Code, set)
		}
	})
	t.Run("a token that cannot be revoked by itself", func(t *testing.T) {
		t.Parallel()
		store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
		validator := newValidator(t, store, revoke.WithClock(testkit.Clock), revoke.WithOptionalID())
		guard := testkit.Value(revokehttp.NewGuard(otherValidator{validator}, revokehttp.WithCookie("session", "/")))(t)
		w := testkit.Serve(testkit.Value(guard.Logout(store))(t), testkit.Request("POST", "/", "Cookie", "__Host-session="+alone))
		if set := cookies(t, w); w.Code != 503 || len(set) != 0 {
			t.Errorf("%d, cookies %v", w.Code, set)
		}
	})
	for _, c := range []struct{ name, bearer, cookie string }{
		{"outage", "", good}, {"outage, Bearer", good, other}, {"outage, Bearer and a dead one", good, forged},
		{"outage, invalid Bearer", "x", good}, {"outage, invalid Bearer and a revoked one", "x", revoked},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, logout := newLogout(t)
			s.store.Fail(errors.New("it is down"))
			r := testkit.Request("POST", "/", "Cookie", "__Host-session="+c.cookie)
			if c.bearer != "" {
				r.Header.Set("Authorization", "Bearer "+c.bearer)
			}
			w := testkit.Serve(logout, r)
			if set := cookies(t, w); len(set) != 0 || w.Code != 503 && c.bearer != "x" {
				t.Errorf("%d, cookies %v", w.Code, set)
			}
		})
	}
}

// TestLogoutOfMisconfiguredStore answers 503 if the store of the logout does not know the issuer of
// the guard's tokens, and keeps the cookie: the token is as good as before.
func TestLogoutOfMisconfiguredStore(t *testing.T) {
	t.Parallel()
	for _, session := range []string{"", "s"} {
		s := newService(t, revokehttp.WithCookie("session", "/"))
		good := mint(t, "1", session, time.Hour)
		other := revoketest.NewMemory(revoketest.WithClock(testkit.Clock), revoketest.WithIssuers("https://other.example"))
		w := testkit.Serve(testkit.Value(s.guard.Logout(other))(t), testkit.Request("POST", "/", "Cookie", "__Host-session="+good))
		testkit.WantAnswer(t, w, 503, "")
		if len(cookies(t, w)) > 0 || s.get(good) != 200 {
			t.Errorf("session %q: cookies %v", session, cookies(t, w))
		}
	}
}

// TestLogoutOfTrustedOrigin deletes no cookie that it does not see: SameSite withholds it from a
// form of another site, and the browser would delete it all the same.
func TestLogoutOfTrustedOrigin(t *testing.T) {
	t.Parallel()
	good := mint(t, "1", "s", time.Hour)
	const friend = "https://friend.example"
	trusted := []string{"Origin", friend, "Sec-Fetch-Site", "cross-site"}
	for _, c := range []struct {
		name    string
		header  []string
		status  int
		deletes bool
	}{
		{"no cookie", trusted, 401, false},
		{"no cookie, of an old browser", []string{"Origin", friend}, 401, false},
		{"Bearer", append([]string{"Authorization", "Bearer " + good}, trusted...), 204, false},
		{"a good cookie", append([]string{"Cookie", "__Host-session=" + good}, trusted...), 204, true},
		{"a forged cookie", append([]string{"Cookie", "__Host-session=x"}, trusted...), 401, true},
		{"no cookie, the same origin", []string{"Origin", "https://example.com", "Sec-Fetch-Site", "same-origin"}, 401, true},
		{"Bearer, the same origin", []string{"Authorization", "Bearer " + good, "Sec-Fetch-Site", "same-origin"}, 204, true},
		{"Bearer of a client", []string{"Authorization", "Bearer " + good}, 204, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, revokehttp.WithCookie("session", "/"), revokehttp.WithTrustedOrigin(friend))
			w := testkit.Serve(testkit.Value(s.guard.Logout(s.store))(t), testkit.Request("POST", "/", c.header...))
			if set := cookies(t, w); w.Code != c.status || len(set) == 1 != c.deletes {
				t.Errorf("%d, cookies %v, want %d", w.Code, set, c.status)
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

// TestLogoutOfForm answers a browser's form with a redirect, and any other client with 204.
func TestLogoutOfForm(t *testing.T) {
	t.Parallel()
	good := mint(t, "1", "s", time.Hour)
	parameters := url.Values{"client_id": {"app"}, "post_logout_redirect_uri": {"https://app.example/bye?a=1&b=2"}}
	hint := func(hint string) func(*http.Request, revoke.Token) string {
		return func(_ *http.Request, token revoke.Token) string {
			if token.SessionID != "s" || token.Subject != "ada" {
				t.Errorf("the ID token is asked for of %+v", token)
			}
			return hint
		}
	}
	endSession := func(endpoint string, idToken func(*http.Request, revoke.Token) string) revokehttp.LogoutOption {
		return revokehttp.WithEndSession(endpoint, parameters, idToken)
	}
	const query = "client_id=app&post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Fbye%3Fa%3D1%26b%3D2"
	for _, c := range []struct {
		name     string
		opt      revokehttp.LogoutOption
		location string
	}{
		{"path", revokehttp.WithRedirect("/bye?a=1#b"), "/bye?a=1#b"},
		{"provider", endSession("https://idp.example/end", nil), "https://idp.example/end?" + query},
		{"provider with a query", endSession("https://idp.example/end?realm=x", nil), "https://idp.example/end?" + query + "&realm=x"},
		{
			"provider with a hint", endSession("https://idp.example/end", hint("aaa.bbb.ccc")),
			"https://idp.example/end?client_id=app&id_token_hint=aaa.bbb.ccc&" + strings.TrimPrefix(query, "client_id=app&"),
		},
		{"provider without a hint", endSession("https://idp.example/end", hint("")), "https://idp.example/end?" + query},
		{"hint that is no token", endSession("https://idp.example/end", hint("a b\r\n")), "https://idp.example/end?" + query},
		{"provider on this machine", endSession("http://127.0.0.1:8080/end", nil), "http://127.0.0.1:8080/end?" + query},
	} {
		for _, client := range []struct {
			name   string
			header []string
			form   bool
		}{
			{"form", navigates, true}, {"form over plain HTTP", navigatesPlain, true},
			{"script", []string{"Sec-Fetch-Mode", "cors", "Accept", "text/html"}, false}, {"client", nil, false},
		} {
			t.Run(c.name+"/"+client.name, func(t *testing.T) {
				t.Parallel()
				s, logout := newLogout(t, c.opt, revokehttp.WithClearSiteData("storage"))
				target := "/?return_to=//evil.example&post_logout_redirect_uri=https://evil.example"
				w := testkit.Serve(logout, testkit.Request("POST", target, append(client.header, "Cookie", "__Host-session="+good)...))
				status, location := 204, ""
				if client.form {
					status, location = 303, c.location
				}
				if got := w.Header().Get("Location"); w.Code != status || got != location {
					t.Errorf("%d to %q, want %d to %q", w.Code, got, status, location)
				}
				if w.Header().Get("Cache-Control") != "no-store" || len(cookies(t, w)) != 1 || w.Header().Get("Clear-Site-Data") == "" {
					t.Errorf("header %v", w.Header())
				}
				if s.get(good) != 401 {
					t.Error("the token is accepted")
				}
			})
		}
		t.Run(c.name+"/outage", func(t *testing.T) {
			t.Parallel()
			s, logout := newLogout(t, c.opt)
			s.store.Fail(errors.New("it is down"))
			testkit.WantAnswer(t, testkit.Serve(logout, testkit.Request("POST", "/", append(navigates, "Cookie", "__Host-session="+good)...)), 503, "")
		})
	}
	t.Run("two of them", func(t *testing.T) {
		t.Parallel()
		s := newService(t)
		_, err := s.guard.Logout(s.store, revokehttp.WithRedirect("/"), revokehttp.WithEndSession("https://idp.example/end", nil, nil))
		if err == nil || !strings.Contains(err.Error(), "one of WithRedirect and WithEndSession") {
			t.Errorf("Logout = %v", err)
		}
	})
	t.Run("without a token, to the sign-in page", func(t *testing.T) {
		t.Parallel()
		s := newService(t, revokehttp.WithCookie("session", "/"), revokehttp.WithSignInPage("/sign-in"))
		logout := testkit.Value(s.guard.Logout(s.store, revokehttp.WithRedirect("/bye")))(t)
		w := testkit.Serve(logout, testkit.Request("POST", "/logout", navigates...))
		if w.Code != 303 || w.Header().Get("Location") != "/sign-in" {
			t.Errorf("%d to %q", w.Code, w.Header().Get("Location"))
		}
	})
}

// TestLogoutDropsBothCookies deletes the partitioned cookie and the one from before.
func TestLogoutDropsBothCookies(t *testing.T) {
	t.Parallel()
	s := newService(t, revokehttp.WithCookie("session", "/"), revokehttp.WithPartitioned())
	w := testkit.Serve(testkit.Value(s.guard.Logout(s.store))(t), testkit.Request("POST", "/", "Cookie", "__Host-session=a; __Host-session=b"))
	set := cookies(t, w)
	if w.Code != 400 || len(set) != 2 || set[0].MaxAge >= 0 || set[1].MaxAge >= 0 || set[0].Partitioned == set[1].Partitioned {
		t.Errorf("%d, cookies %v", w.Code, set)
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
		{"redirect to another site", s.store, revokehttp.WithRedirect("https://evil.example"), "does not begin with /"},
		{"redirect to another host", s.store, revokehttp.WithRedirect("//evil.example"), "empty segment"},
		{"provider without TLS", s.store, revokehttp.WithEndSession("http://idp.example/end", nil, nil), "no https URL"},
		{"provider without a host", s.store, revokehttp.WithEndSession("https:///end", nil, nil), "no https URL"},
		{"provider that is a path", s.store, revokehttp.WithEndSession("/end", nil, nil), "no https URL"},
		{"provider that is a script", s.store, revokehttp.WithEndSession("javascript:alert(1)", nil, nil), "no https URL"},
		{"provider with a user", s.store, revokehttp.WithEndSession("https://a:b@idp.example/end", nil, nil), "no https URL"},
		{"provider with a fragment", s.store, revokehttp.WithEndSession("https://idp.example/end#x", nil, nil), "no https URL"},
		{"provider that is no URL", s.store, revokehttp.WithEndSession("https://idp.example/%zz", nil, nil), "end_session_endpoint"},
		{"query that is none", s.store, revokehttp.WithEndSession("https://idp.example/end?a;b", nil, nil), "end_session_endpoint"},
		{
			"parameter twice", s.store,
			revokehttp.WithEndSession("https://idp.example/end?client_id=a", url.Values{"client_id": {"b"}}, nil), "does not occur once",
		},
		{"parameter without a value", s.store, revokehttp.WithEndSession("https://idp.example/end", url.Values{"a": {}}, nil), "does not occur once"},
		{
			"fixed hint", s.store,
			revokehttp.WithEndSession("https://idp.example/end", url.Values{"id_token_hint": {"x"}}, nil), "differs from user to user",
		},
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
