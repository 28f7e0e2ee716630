package revokehttp_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/session"
)

// navigation returns the header fields of a navigation that comes from site.
func navigation(site string, more ...string) []string {
	return append([]string{"Sec-Fetch-Site", site, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, more...)
}

// TestRequireRefreshes refreshes navigations of the app's own pages and of the user, and no other
// request.
func TestRequireRefreshes(t *testing.T) {
	t.Parallel()
	frame := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}
	for _, c := range []struct {
		name      string
		method    string
		header    []string
		status    int
		challenge string
		refreshed bool
	}{
		{"link of a page", "GET", navigation(sameOrigin), 303, "", true},
		{"address that was typed", "GET", navigation("none"), 303, "", true},
		{"frame of a page", "GET", []string{"Sec-Fetch-Site", sameOrigin, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 303, "", true},
		{"browser without Fetch Metadata", "GET", navigatesPlain, 303, "", true},
		{"form", "POST", navigation(sameOrigin), 200, "", true},
		{"form of a trusted origin", "POST", navigation("cross-site", "Origin", "https://trusted.example"), 200, "", true},
		{"form of another site", "POST", navigation("cross-site", "Origin", "https://evil.example"), 403, "", false},
		{"form of a sibling domain", "POST", navigation("same-site", "Origin", "https://evil.example"), 403, "", false},
		{"link of another site", "GET", navigation("cross-site"), 200, "", false},
		{"link of a sibling domain", "GET", navigation("same-site"), 200, "", false},
		{"frame in another site", "GET", frame, 401, invalidToken, false},
		{"HEAD", "HEAD", navigation(sameOrigin), 401, invalidToken, false},
		{"OPTIONS", "OPTIONS", navigation(sameOrigin), 401, invalidToken, false},
		{"prefetch", "GET", navigation(sameOrigin, "Sec-Purpose", "prefetch"), 401, invalidToken, false},
		{"prerender", "GET", navigation(sameOrigin, "Sec-Purpose", "prefetch;prerender"), 401, invalidToken, false},
		{"script", "GET", []string{"Sec-Fetch-Site", sameOrigin, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, 401, invalidToken, false},
		{"image", "GET", []string{"Sec-Fetch-Site", sameOrigin, "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, 401, invalidToken, false},
		{"client", "GET", nil, 401, invalidToken, false},
		{"Bearer", "GET", navigation(sameOrigin, "Authorization", "Bearer x"), 401, invalidToken, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, browser := newCookieApp(t, revokehttp.WithTrustedOrigin("https://trusted.example")), jar{}
			a.sessions.lifetime = -time.Minute
			browser.signIn(t, a)
			a.sessions.lifetime = time.Minute
			w := testkit.Serve(a.pages, browser.request(c.method, "/page?x=1", c.header...))
			testkit.WantAnswer(t, w, c.status, c.challenge)
			if refreshed := len(a.sessions.asked) == 1 && len(cookies(t, w)) == 2; refreshed != c.refreshed {
				t.Errorf("asked about %q, cookies %v", a.sessions.asked, cookies(t, w))
			}
			if stored := w.Header().Get("Cache-Control"); stored != "no-store" {
				t.Errorf("Cache-Control is %q", stored)
			}
			switch {
			case c.status == 303 && w.Header().Get("Location") != "./page?x=1":
				t.Errorf("Location is %q", w.Header().Get("Location"))
			case c.status == 200 && c.refreshed && w.Body.String() != "s1":
				t.Errorf("the handler sees the session %q", w.Body)
			case c.status == 200 && !c.refreshed && !strings.Contains(w.Body.String(), `content="0; url=./page?x=1"`):
				t.Errorf("the page is %q", w.Body)
			}
			// Every later request goes on as if the token had never expired.
			browser.take(t, w)
			if c.refreshed {
				if w := testkit.Serve(a.pages, browser.request(c.method, "/page?x=1", c.header...)); w.Code != 200 || w.Body.String() != "s1" || len(a.sessions.asked) != 1 {
					t.Errorf("afterwards %d %s after %q", w.Code, w.Body, a.sessions.asked)
				}
			}
		})
	}
}

// TestRequireChecksTheOrigin of a form without an access token too, with which a guard
// would check it.
func TestRequireChecksTheOrigin(t *testing.T) {
	t.Parallel()
	for site, status := range map[string]int{sameOrigin: 200, "same-site": 403, "cross-site": 403} {
		t.Run(site, func(t *testing.T) {
			t.Parallel()
			a, browser := newCookieApp(t), jar{}
			browser.signIn(t, a)
			w := testkit.Serve(a.pages, browser.withoutAccess().request("POST", "/", navigation(site)...))
			if w.Code != status || len(a.sessions.asked) == 1 != (status == 200) {
				t.Errorf("%d after %q, want %d", w.Code, a.sessions.asked, status)
			}
		})
	}
}

// TestRequirePasses asks the sessions about nothing while the access token is accepted, and answers
// as the guard does where a refresh is of no use.
func TestRequirePasses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*app, *jar)
		status int
	}{
		{"accepted", func(*app, *jar) {}, 200},
		{"no refresh cookie", func(_ *app, j *jar) { *j = (*j)[1:] }, 200},
		{"no cookie", func(_ *app, j *jar) { *j = nil }, 401},
		{"two access cookies", func(_ *app, j *jar) { *j = append(*j, &http.Cookie{Name: "__Host-access", Value: "x"}) }, 400},
		{"store down", func(a *app, _ *jar) { a.store.Fail(errors.New("down")) }, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, browser := newCookieApp(t), jar{}
			browser.signIn(t, a)
			c.change(a, &browser)
			w := testkit.Serve(a.pages, browser.request("GET", "/", navigation(sameOrigin)...))
			if w.Code != c.status || len(a.sessions.asked) != 0 || len(cookies(t, w)) != 0 {
				t.Errorf("%d after %q with %v, want %d", w.Code, a.sessions.asked, cookies(t, w), c.status)
			}
			if w.Header().Get("Vary") != "Authorization, Cookie" {
				t.Errorf("Vary is %q", w.Header().Get("Vary"))
			}
		})
	}
}

// TestRequireFails shows the sign-in page if the session is over, and answers 503 if it may live.
func TestRequireFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		method   string
		change   func(*app)
		status   int
		location string
		set      []string // values of refresh cookies; "" deletes
		report   error
	}{
		{"over", "GET", func(a *app) { a.sessions.end("s1", session.Ended) }, 303, "/sign-in?return_to=%2Fpage", []string{""}, revoke.ErrRevoked},
		{"over, by a form", "POST", func(a *app) { a.sessions.end("s1", session.Ended) }, 303, "/sign-in", []string{""}, revoke.ErrRevoked},
		{"unknown", "GET", func(a *app) { a.sessions.families["s1"].over = session.Unknown }, 303, "/sign-in?return_to=%2Fpage", nil, revoke.ErrInvalidToken},
		{"unavailable", "GET", func(a *app) { a.sessions.families["s1"].over = session.Unavailable }, 503, "", nil, revoke.ErrUnavailable},
		{"unavailable, by a form", "POST", func(a *app) { a.sessions.families["s1"].over = session.Unavailable }, 503, "", nil, revoke.ErrUnavailable},
		// The rotation has happened, so the browser needs its token.
		{"new access token is refused", "GET", func(a *app) { a.sessions.lifetime = -time.Hour }, 303, "/sign-in?return_to=%2Fpage", []string{"s1.2"}, revoke.ErrInvalidToken},
		{"new access token is refused, by a form", "POST", func(a *app) { a.sessions.lifetime = -time.Hour }, 303, "/sign-in", []string{"s1.2"}, revoke.ErrInvalidToken},
		{"new access token cannot be checked", "GET", func(a *app) { a.store.Fail(errors.New("down")) }, 503, "", []string{"s1.2"}, revoke.ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, browser := newCookieApp(t, revokehttp.WithSignInPage("/sign-in")), jar{}
			a.sessions.lifetime = -time.Minute
			browser.signIn(t, a)
			a.sessions.lifetime = time.Minute
			c.change(a)
			w := testkit.Serve(a.pages, browser.request(c.method, "/page", navigation(sameOrigin)...))
			if w.Code != c.status || w.Header().Get("Location") != c.location {
				t.Errorf("%d to %q, want %d to %q", w.Code, w.Header().Get("Location"), c.status, c.location)
			}
			var set []string
			for _, cookie := range cookies(t, w) {
				if cookie.Name != "__Host-access" {
					set = append(set, cookie.Value)
				}
			}
			if !slices.Equal(set, c.set) {
				t.Errorf("the refresh cookies that are set: %q, want %q", set, c.set)
			}
			if len(a.reported) != 1 || !errors.Is(a.reported[0], c.report) {
				t.Errorf("reported %v, want %v", a.reported, c.report)
			}
		})
	}
}

// TestRequireAfterALateAnswer goes on with the session that lives, though the access token
// is one of a session that has ended.
func TestRequireAfterALateAnswer(t *testing.T) {
	t.Parallel()
	a, browser := newCookieApp(t), jar{}
	browser.signIn(t, a)
	late := testkit.Serve(a.refresh, browser.script())
	a.sessions.end("s1", session.Revoked)
	browser.signIn(t, a)
	browser.take(t, late)
	if got := open(t, a, &browser); got != "s2" || len(browser.refreshTokens()) != 1 {
		t.Errorf("the page shows %q, with %q", got, browser.refreshTokens())
	}
}

// TestRequireRedirectsToItself names the URL that was asked for, and no other host.
func TestRequireRedirectsToItself(t *testing.T) {
	t.Parallel()
	const origin = "https://app.example"
	for _, c := range []struct{ target, strip, want string }{
		{"/", "", "/"},
		{"/a/b?c=d&e", "", "/a/b?c=d&e"},
		{"/a/", "", "/a/"},
		{"/a:b", "", "/a:b"},
		{"/a%2Fb%3Fc", "", "/a%2Fb%3Fc"},
		{"/%5C%5Cevil.example", "", "/%5C%5Cevil.example"},
		{"/?next=//evil.example", "", "/?next=//evil.example"},
		{"//evil.example", "", "//evil.example"},
		{"/a//evil.example", "", "/a//evil.example"},
		{"/app/page?x", "/app", "/app/page?x"},
		{"/app", "/app", "/app"},
		{"https://app.example/a", "", "/a"},
	} {
		t.Run(c.target, func(t *testing.T) {
			t.Parallel()
			a, browser := newCookieApp(t), jar{}
			a.sessions.lifetime = -time.Minute
			browser.signIn(t, a)
			a.sessions.lifetime = time.Minute
			w := testkit.Serve(http.StripPrefix(c.strip, a.pages), browser.request("GET", c.target, navigation(sameOrigin)...))
			asked := testkit.Value(url.Parse(origin + strings.TrimPrefix(c.target, origin)))(t)
			if got := testkit.Value(asked.Parse(w.Header().Get("Location")))(t).String(); w.Code != 303 || got != origin+c.want {
				t.Errorf("%d to %q, which is %s, want %s", w.Code, w.Header().Get("Location"), got, origin+c.want)
			}
		})
	}
}

// TestRefreshLogout ends the sessions of a request by either token, and deletes exactly their
// cookies.
func TestRefreshLogout(t *testing.T) {
	t.Parallel()
	unavailable := &session.RefreshError{Reason: session.Unavailable}
	access := &http.Cookie{Name: "__Host-access"}
	for _, c := range []struct {
		name    string
		change  func(*app, *jar)
		header  []string
		status  int
		living  []string
		left    []string // names, or values of refresh cookies
		another bool     // a second session is signed in to
	}{
		{name: "both tokens", status: 204},
		{name: "access token alone", change: func(_ *app, j *jar) { *j = (*j)[1:] }, status: 204},
		{name: "refresh token alone", change: func(_ *app, j *jar) { *j = (*j)[:1] }, status: 204},
		{name: "expired access token", change: func(a *app, j *jar) { a.sessions.lifetime = -time.Hour; j.setAccess(a, "s1") }, status: 204},
		{name: "forged access token", change: func(_ *app, j *jar) { (*j)[1] = &http.Cookie{Name: access.Name, Value: "x"} }, status: 204},
		{name: "again", change: func(a *app, _ *jar) { a.sessions.end("s1", session.Ended) }, status: 204},
		{name: "forged refresh token", change: func(_ *app, j *jar) { (*j)[0].Value = "x" }, status: 204},
		{name: "both forged", change: func(_ *app, j *jar) { (*j)[0].Value, (*j)[1].Value = "x", "x" }, status: 401, living: []string{"s1"}},
		{name: "nothing", change: func(_ *app, j *jar) { *j = nil }, status: 401, living: []string{"s1"}},
		{name: "every session of the browser", another: true, status: 204},
		{name: "two cookies of one name", change: func(_ *app, j *jar) {
			*j = append(*j, &http.Cookie{Name: (*j)[0].Name, Value: "s1.0"})
		}, status: 204},
		{
			name: "unavailable", change: func(a *app, _ *jar) { a.sessions.fail["s1"] = unavailable },
			status: 503, living: []string{"s1"}, left: []string{"s1.1", access.Name},
		},
		{
			name: "one is unavailable", another: true, change: func(a *app, _ *jar) { a.sessions.fail["s1"] = unavailable },
			status: 503, living: []string{"s1"}, left: []string{"s1.1", access.Name, "s2.1"},
		},
		{
			name: "another site", header: []string{"Sec-Fetch-Site", "cross-site"},
			status: 403, living: []string{"s1"}, left: []string{"s1.1", access.Name},
		},
		{
			name: "another site, refresh token alone", change: func(_ *app, j *jar) { *j = (*j)[:1] },
			header: []string{"Sec-Fetch-Site", "cross-site"}, status: 403, living: []string{"s1"}, left: []string{"s1.1"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, browser := newCookieApp(t), jar{}
			logout := testkit.Value(a.refresh.Logout(a.sessions))(t)
			browser.signIn(t, a)
			if c.another {
				browser.signIn(t, a)
			}
			if c.change != nil {
				c.change(a, &browser)
			}
			w := testkit.Serve(logout, browser.request("POST", "/logout", c.header...))
			browser.take(t, w)
			var living, left []string
			for sid, row := range a.sessions.families {
				if row.over == "" {
					living = append(living, sid)
				}
			}
			for _, cookie := range browser {
				if cookie.Name == access.Name {
					left = append(left, cookie.Name)
				} else {
					left = append(left, cookie.Value)
				}
			}
			slices.Sort(living)
			if w.Code != c.status || !slices.Equal(living, c.living) || !slices.Equal(left, c.left) {
				t.Errorf("%d, %q live and %q are left; want %d, %q and %q", w.Code, living, left, c.status, c.living, c.left)
			}
			if w.Header().Get("Cache-Control") != "no-store" || len(a.reported) == 1 != (c.status >= 400) {
				t.Errorf("%v, reported %v", w.Header(), a.reported)
			}
		})
	}
}

// TestRefreshLogoutByBearer ends the session of the header, and cookies count only if the request
// is not cross-site.
func TestRefreshLogoutByBearer(t *testing.T) {
	t.Parallel()
	for site, want := range map[string]session.Reason{sameOrigin: session.Ended, "cross-site": ""} {
		t.Run(site, func(t *testing.T) {
			t.Parallel()
			a, browser := newCookieApp(t), jar{}
			logout := testkit.Value(a.refresh.Logout(a.sessions))(t)
			browser.signIn(t, a)
			bearer := a.sessions.start()
			w := testkit.Serve(logout, browser.request("POST", "/", "Sec-Fetch-Site", site, "Authorization", "Bearer "+bearer.Access))
			if w.Code != 204 || a.sessions.families["s2"].over != session.Ended || a.sessions.families["s1"].over != want {
				t.Errorf("%d, and the sessions are %+v and %+v", w.Code, a.sessions.families["s1"], a.sessions.families["s2"])
			}
		})
	}
}

// TestEndSessions ends what a browser was signed in to before, at the next sign-in.
func TestEndSessions(t *testing.T) {
	t.Parallel()
	unavailable := &session.RefreshError{Reason: session.Unavailable}
	for _, c := range []struct {
		name   string
		change func(*app, *jar)
		fails  bool
		living []string
		left   []string // refresh tokens
	}{
		{name: "two sessions"},
		{name: "refresh tokens alone", change: func(_ *app, j *jar) { *j = j.withoutAccess() }},
		{name: "access token alone", change: func(_ *app, j *jar) {
			*j = slices.DeleteFunc(*j, func(c *http.Cookie) bool { return c.Name != "__Host-access" })
		}, living: []string{"s1"}},
		{name: "nothing", change: func(_ *app, j *jar) { *j = nil }, living: []string{"s1", "s2"}},
		{name: "forged", change: func(_ *app, j *jar) { (*j)[0].Value = "x" }, living: []string{"s1"}},
		{name: "all forged", change: func(_ *app, j *jar) {
			for _, c := range *j {
				c.Value = "x"
			}
		}, living: []string{"s1", "s2"}},
		{
			name: "one is unavailable", change: func(a *app, _ *jar) { a.sessions.fail["s1"] = unavailable },
			fails: true, living: []string{"s1"}, left: []string{"s1.1", "s2.1"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, browser := newCookieApp(t), jar{}
			browser.signIn(t, a)
			browser.signIn(t, a)
			if c.change != nil {
				c.change(a, &browser)
			}
			w := httptest.NewRecorder()
			err := a.refresh.EndSessions(w, browser.request("POST", "/sign-in", navigation(sameOrigin)...), a.sessions)
			browser.take(t, w)
			if err == nil == c.fails || c.fails && !errors.Is(err, revoke.ErrUnavailable) {
				t.Errorf("EndSessions = %v", err)
			}
			var living []string
			for sid, row := range a.sessions.families {
				if row.over == "" {
					living = append(living, sid)
				}
			}
			slices.Sort(living)
			if left := browser.refreshTokens(); !slices.Equal(living, c.living) || !slices.Equal(left, c.left) {
				t.Errorf("%q live and %q are left; want %q and %q", living, left, c.living, c.left)
			}
		})
	}
}

// TestLateAnswerAfterASignIn sets cookies of the session before the sign-in. The browser stays in
// the session of the sign-in.
func TestLateAnswerAfterASignIn(t *testing.T) {
	t.Parallel()
	a, browser := newCookieApp(t), jar{}
	browser.signIn(t, a)
	late := testkit.Serve(a.refresh, browser.script())
	w := httptest.NewRecorder()
	testkit.Must(t, a.refresh.EndSessions(w, browser.request("POST", "/sign-in", navigation(sameOrigin)...), a.sessions))
	testkit.Must(t, a.refresh.SetCookies(w, a.sessions.start()))
	browser.take(t, w)
	browser.take(t, late)
	if got := open(t, a, &browser); got != "s2" || len(browser.refreshTokens()) != 1 {
		t.Errorf("the page shows %q, with %q", got, browser.refreshTokens())
	}
}

// TestEndsMany ends every session that a browser can have cookies of, and bounds what another
// client can cause.
func TestEndsMany(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*app, http.ResponseWriter, *http.Request){
		"logout": func(a *app, w http.ResponseWriter, r *http.Request) {
			testkit.Value(a.refresh.Logout(a.sessions))(t).ServeHTTP(w, r)
		},
		"sign-in": func(a *app, w http.ResponseWriter, r *http.Request) {
			testkit.Must(t, a.refresh.EndSessions(w, r, a.sessions))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, browser := newCookieApp(t), jar{}
			for range 180 {
				browser.signIn(t, a)
			}
			w := httptest.NewRecorder()
			end(a, w, browser.request("POST", "/", "Sec-Fetch-Site", sameOrigin))
			for sid, row := range a.sessions.families {
				if row.over != session.Ended {
					t.Fatalf("%s is %q", sid, row.over)
				}
			}
			browser.take(t, w)
			if left := browser.refreshTokens(); w.Code >= 300 || len(left) != 0 {
				t.Errorf("%d, and %d cookies are left", w.Code, len(left))
			}
			var many jar
			for i := range 1000 {
				many = append(many, &http.Cookie{Name: fmt.Sprintf("__Host-refresh-%016x", i), Value: "forged"})
			}
			w = httptest.NewRecorder()
			end(a, w, many.request("POST", "/", "Sec-Fetch-Site", sameOrigin))
			if n := len(cookies(t, w)); n > 257 { // with the guard's
				t.Errorf("%d cookies of one request are looked at", n)
			}
		})
	}
}

// TestRefreshLogoutOptions are those of Guard.Logout.
func TestRefreshLogoutOptions(t *testing.T) {
	t.Parallel()
	a, browser := newCookieApp(t), jar{}
	logout := testkit.Value(a.refresh.Logout(a.sessions, revokehttp.WithRedirect("/signed-out"), revokehttp.WithClearSiteData("cache")))(t)
	browser.signIn(t, a)
	if w := testkit.Serve(logout, browser.request("GET", "/")); w.Code != 405 || w.Header().Get("Allow") != "POST" {
		t.Errorf("GET is answered with %d, %v", w.Code, w.Header())
	}
	w := testkit.Serve(logout, browser.request("POST", "/", navigation(sameOrigin)...))
	if w.Code != 303 || w.Header().Get("Location") != "/signed-out" || w.Header().Get("Clear-Site-Data") != `"cache"` {
		t.Errorf("%d with %v", w.Code, w.Header())
	}
}

func TestRefreshOddRequests(t *testing.T) {
	t.Parallel()
	a := newCookieApp(t)
	t.Run("endpoint", func(t *testing.T) { testkit.OddRequests(t, a.refresh) })
	t.Run("pages", func(t *testing.T) { testkit.OddRequests(t, a.pages) })
	t.Run("logout", func(t *testing.T) { testkit.OddRequests(t, testkit.Value(a.refresh.Logout(a.sessions))(t)) })
}

// FuzzRefreshCookies reads a Cookie header of any text. No answer sets a cookie that is neither the
// guard's nor a refresh cookie of the request or the session.
func FuzzRefreshCookies(f *testing.F) {
	f.Add("__Host-refresh-0123456789abcdef=s1.1")
	f.Add("__Host-refresh-0123456789abcdef=s1.1; __Host-refresh-0123456789abcdef=; __Host-access=x")
	f.Add("__Host-refresh-;__Host-refresh-\x00=1; a=__Host-refresh-0123456789abcdef=s1.1")
	f.Fuzz(func(t *testing.T, header string) {
		a := newCookieApp(t)
		a.sessions.start()
		for _, handler := range []http.Handler{a.refresh, a.pages, testkit.Value(a.refresh.Logout(a.sessions))(t)} {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, testkit.Request("POST", "/", navigation(sameOrigin, "Cookie", header)...))
			for _, c := range cookies(t, w) {
				if c.Name != "__Host-access" && (!strings.HasPrefix(c.Name, "__Host-refresh-") || len(c.Name) != len("__Host-refresh-0123456789abcdef")) {
					t.Errorf("%q makes an answer set %v", header, c)
				}
			}
			if w.Code >= 500 {
				t.Errorf("%q is answered with %d", header, w.Code)
			}
		}
	})
}
