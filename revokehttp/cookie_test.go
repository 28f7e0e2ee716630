package revokehttp_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
)

// TestCookie accepts a token from the guard's cookie only, and unsafe requests with it only
// from allowed origins.
func TestCookie(t *testing.T) {
	t.Parallel()
	good := mint(t, "1", "s", time.Hour)
	cookie, bearer := "__Host-session="+good, "Bearer "+good
	for _, c := range []struct {
		name       string
		request    *http.Request
		status     int
		fromCookie bool
	}{
		{"GET", testkit.Request("GET", "/", "Cookie", cookie), 200, true},
		{"another name", testkit.Request("GET", "/", "Cookie", "session="+good), 401, false},
		{"empty", testkit.Request("GET", "/", "Cookie", "__Host-session="), 401, false},
		{"header instead", testkit.Request("GET", "/", "Authorization", bearer), 200, false},
		{"with a good header", testkit.Request("GET", "/", "Cookie", cookie, "Authorization", bearer), 200, false},
		{"stale, with a good header", testkit.Request("GET", "/", "Cookie", "__Host-session=x", "Authorization", bearer), 200, false},
		{"twice, with a good header", testkit.Request("GET", "/", "Cookie", cookie+"; "+cookie, "Authorization", bearer), 200, false},
		{"good, with an invalid header", testkit.Request("GET", "/", "Cookie", cookie, "Authorization", "Bearer x"), 401, false},
		{"good, with a header without a token", testkit.Request("GET", "/", "Cookie", cookie, "Authorization", "Bearer"), 400, false},
		{"good, with a header with a tab", testkit.Request("GET", "/", "Cookie", cookie, "Authorization", "Bearer\tx"), 400, false},
		{"good, with two headers", testkit.Request("GET", "/", "Cookie", cookie, "Authorization", bearer, "Authorization", bearer), 400, false},
		{"with another scheme", testkit.Request("GET", "/", "Cookie", cookie, "Authorization", "Basic YTpi"), 200, true},
		{"twice", testkit.Request("GET", "/", "Cookie", cookie+"; "+cookie), 400, false},
		{"POST of a client", testkit.Request("POST", "/", "Cookie", cookie), 200, true},
		{"POST of the same origin", testkit.Request("POST", "/", "Cookie", cookie, "Sec-Fetch-Site", "same-origin"), 200, true},
		{"POST of another site", testkit.Request("POST", "/", "Cookie", cookie, "Sec-Fetch-Site", "cross-site"), 403, false},
		{"POST of another origin", testkit.Request("POST", "/", "Cookie", cookie, "Origin", "https://evil.example"), 403, false},
		{
			"POST of a trusted origin",
			testkit.Request("POST", "/", "Cookie", cookie, "Sec-Fetch-Site", "cross-site", "Origin", "https://app.example"), 200, true,
		},
		{"GET of another site", testkit.Request("GET", "/", "Cookie", cookie, "Sec-Fetch-Site", "cross-site"), 200, true},
		{
			"cookie and header of another site",
			testkit.Request("POST", "/", "Cookie", cookie, "Authorization", bearer, "Sec-Fetch-Site", "cross-site"), 200, false,
		},
		{
			"cookie and another scheme, of another site",
			testkit.Request("POST", "/", "Cookie", cookie, "Authorization", "Basic YTpi", "Sec-Fetch-Site", "cross-site"), 403, false,
		},
		{"header of another site", testkit.Request("POST", "/", "Authorization", bearer, "Sec-Fetch-Site", "cross-site"), 200, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, revokehttp.WithCookie("session", "/"), revokehttp.WithTrustedOrigin("https://app.example"))
			if got := testkit.Serve(s.handler, c.request).Code; got != c.status {
				t.Errorf("the answer is %d, want %d", got, c.status)
			}
			if s.fromCookie != c.fromCookie {
				t.Errorf("FromCookie is %v, want %v", s.fromCookie, c.fromCookie)
			}
		})
	}
}

// TestRequireSameOrigin protects a handler that sets a cookie from other sites.
func TestRequireSameOrigin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		request *http.Request
		status  int
	}{
		{"client", testkit.Request("POST", "/"), 200},
		{"same origin", testkit.Request("POST", "/", "Sec-Fetch-Site", "same-origin"), 200},
		{"trusted origin", testkit.Request("POST", "/", "Sec-Fetch-Site", "cross-site", "Origin", "https://app.example"), 200},
		{"another site", testkit.Request("POST", "/", "Sec-Fetch-Site", "cross-site"), 403},
		{"another origin", testkit.Request("POST", "/", "Origin", "https://evil.example"), 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, revokehttp.WithTrustedOrigin("https://app.example"))
			called := false
			signIn := s.guard.RequireSameOrigin(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
			testkit.WantAnswer(t, testkit.Serve(signIn, c.request), c.status, "")
			refused := c.status == 403
			if called == refused {
				t.Errorf("the handler was called: %v", called)
			}
			if len(s.reported) == 1 != refused || refused && !errors.Is(s.reported[0], revokehttp.ErrCrossOrigin) {
				t.Errorf("reported: %v", s.reported)
			}
		})
	}
}

// TestCookieNames refuses cookies with a similar name, which a subdomain or a page over HTTP
// could set.
func TestCookieNames(t *testing.T) {
	t.Parallel()
	good := mint(t, "1", "s", time.Hour)
	for _, c := range []struct {
		name    string
		cookies []string
		status  int
	}{
		{"host prefix in lower case", []string{"__host-session=" + good}, 401},
		{"host prefix in upper case", []string{"__HOST-session=" + good}, 401},
		{"secure prefix", []string{"__Secure-session=" + good}, 401},
		{"name in another case", []string{"__Host-Session=" + good}, 401},
		{"empty name before it", []string{"=__Host-session=" + good}, 401},
		{"name alone", []string{"__Host-session"}, 401},
		{"wide space before it", []string{"\u2000__Host-session=" + good}, 401},
		{"no-break space after it", []string{"__Host-session\u00a0=" + good}, 401},
		{"in quotes, as in RFC 2965", []string{`$Version=1; x="; __Host-session=` + good + `"`}, 401},
		{"beside the secure prefix", []string{"__Secure-session=x; __Host-session=" + good}, 200},
		{"in two headers", []string{"__Host-session=" + good, "__Host-session=x"}, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := testkit.Request("GET", "/")
			r.Header["Cookie"] = c.cookies
			s := newService(t, revokehttp.WithCookie("session", "/"))
			challenge := map[int]string{200: "", 400: badRequest, 401: nothingSent}[c.status]
			testkit.WantAnswer(t, testkit.Serve(s.handler, r), c.status, challenge)
		})
	}
}

// TestCookieAttributes sets and clears a cookie of which scripts and other hosts get nothing.
func TestCookieAttributes(t *testing.T) {
	t.Parallel()
	good := mint(t, "1", "s", time.Hour)
	for _, c := range []struct {
		path, name  string
		partitioned bool
	}{{"/", "__Host-session", false}, {"/", "__Host-session", true}, {"/app", "__Secure-session", false}} {
		t.Run(fmt.Sprintf("path %s/partitioned %v", c.path, c.partitioned), func(t *testing.T) {
			t.Parallel()
			opts := []revokehttp.Option{revokehttp.WithCookie("session", c.path), revokehttp.WithSameSite(http.SameSiteStrictMode)}
			if c.partitioned {
				opts = append(opts, revokehttp.WithPartitioned())
			}
			guard := newService(t, opts...).guard
			w := httptest.NewRecorder()
			testkit.Must(t, guard.SetCookie(w, good, time.Now().Add(time.Hour)))
			testkit.Must(t, guard.ClearCookie(w))
			type attributes struct {
				value       string
				deleted     bool
				partitioned bool
			}
			var got []attributes
			for i, set := range cookies(t, w) {
				if set.Name != c.name || set.Path != c.path || !set.HttpOnly || !set.Secure || set.SameSite != http.SameSiteStrictMode || set.Domain != "" {
					t.Errorf("cookie %d is %+v", i, set)
				}
				deleted := set.MaxAge < 0
				if deleted != set.Expires.Before(time.Now()) {
					t.Errorf("Max-Age and Expires of cookie %d differ: %v", i, set)
				}
				got = append(got, attributes{set.Value, deleted, set.Partitioned})
			}
			want := []attributes{{good, false, false}, {"", true, false}}
			if c.partitioned { // what is not partitioned is another cookie of the same name
				want = []attributes{{"", true, false}, {good, false, true}, {"", true, true}, {"", true, false}}
			}
			if !slices.Equal(got, want) {
				t.Errorf("cookies are %+v, want %+v", got, want)
			}
		})
	}
}

// TestCookieAge keeps a cookie until its token's expiry, by Max-Age and by Expires.
func TestCookieAge(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, c := range []struct {
		name  string
		after time.Duration
		want  int // in seconds, -1 to delete
	}{
		{"an hour", time.Hour, 3600},
		{"a fraction of a second", 90*time.Second + 999*time.Millisecond, 90},
		{"400 days", 400 * day, 400 * 24 * 3600},
		{"longer than browsers keep a cookie", 3650 * day, 400 * 24 * 3600},
		{"less than a second", time.Millisecond, -1},
		{"now", 0, -1},
		{"past", -time.Hour, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				guard, w := newService(t, revokehttp.WithCookie("session", "/")).guard, httptest.NewRecorder()
				expiresAt := time.Now().Add(c.after)
				testkit.Must(t, guard.SetCookie(w, "token", expiresAt))
				set := cookies(t, w)
				if len(set) != 1 || set[0].MaxAge != c.want || !set[0].Expires.Equal(expiresAt.Truncate(time.Second)) {
					t.Errorf("cookies are %v, want Max-Age %d", set, c.want)
				}
			})
		})
	}
}

// TestSetCookie sets a cookie that browsers keep and caches do not, or none.
func TestSetCookie(t *testing.T) {
	t.Parallel()
	guard := newService(t, revokehttp.WithCookie("session", "/")).guard
	longest := 4096 - len("__Host-session")
	for _, c := range []struct {
		name  string
		token string
		set   bool
	}{
		{"longest token", strings.Repeat("x", longest), true},
		{"token that is too long", strings.Repeat("x", longest+1), false},
		{"not a token", "xxxx xxxx", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			w.Header().Set("Cache-Control", "public, max-age=60")
			err := guard.SetCookie(w, c.token, time.Time{})
			set := cookies(t, w)
			if (err == nil) != c.set || (len(set) == 1) != c.set || (w.Header().Get("Cache-Control") == "no-store") != c.set {
				t.Errorf("%v, with %d cookies and Cache-Control %q", err, len(set), w.Header().Get("Cache-Control"))
			}
			if err != nil && strings.Contains(err.Error(), "xxxx") {
				t.Errorf("the error quotes the token: %v", err)
			}
			if c.set && (!set[0].Expires.IsZero() || set[0].MaxAge != 0) {
				t.Errorf("a cookie without an expiry outlasts the browser's session: %v", set[0])
			}
		})
	}
}

// TestGuardWithoutCookie sets no cookie.
func TestGuardWithoutCookie(t *testing.T) {
	t.Parallel()
	guard, w := newService(t).guard, httptest.NewRecorder()
	if guard.SetCookie(w, "x", time.Now()) == nil || guard.ClearCookie(w) == nil || len(cookies(t, w)) != 0 {
		t.Errorf("a guard without a cookie set %v", cookies(t, w))
	}
}
