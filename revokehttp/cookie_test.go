package revokehttp_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pgrevoke/revoke/revokehttp"
)

// TestCookie takes a token from a cookie of our making only, and from pages of ours.
func TestCookie(t *testing.T) {
	t.Parallel()
	s := newService(t, revokehttp.WithCookie("session", "/"), revokehttp.WithTrustedOrigin("https://app.example"))
	good := mint(t, "1", "s", time.Hour)
	cookie := "__Host-session=" + good
	for what, want := range map[string]struct {
		request *http.Request
		status  int
	}{
		"GET":                        {request("GET", "/", "Cookie", cookie), 200},
		"another name":               {request("GET", "/", "Cookie", "session="+good), 401},
		"empty":                      {request("GET", "/", "Cookie", "__Host-session="), 401},
		"with a header":              {request("GET", "/", "Cookie", cookie, "Authorization", "Bearer "+good), 400},
		"with another scheme":        {request("GET", "/", "Cookie", cookie, "Authorization", "Basic YTpi"), 200},
		"twice":                      {request("GET", "/", "Cookie", cookie+"; "+cookie), 400},
		"POST of a client":           {request("POST", "/", "Cookie", cookie), 200},
		"POST of the same origin":    {request("POST", "/", "Cookie", cookie, "Sec-Fetch-Site", "same-origin"), 200},
		"POST of another site":       {request("POST", "/", "Cookie", cookie, "Sec-Fetch-Site", "cross-site"), 403},
		"POST of another origin":     {request("POST", "/", "Cookie", cookie, "Origin", "https://evil.example"), 403},
		"POST of a trusted origin":   {request("POST", "/", "Cookie", cookie, "Sec-Fetch-Site", "cross-site", "Origin", "https://app.example"), 200},
		"GET of another site":        {request("GET", "/", "Cookie", cookie, "Sec-Fetch-Site", "cross-site"), 200},
		"a header from another site": {request("POST", "/", "Authorization", "Bearer "+good, "Sec-Fetch-Site", "cross-site"), 200},
	} {
		if got := answer(s.handler, want.request).Code; got != want.status {
			t.Errorf("%s: %d, want %d", what, got, want.status)
		}
	}
	answer(s.handler, request("GET", "/", "Authorization", "Bearer "+good))
	if s.fromCookie {
		t.Error("a token of the header came from the cookie")
	}
	answer(s.handler, request("GET", "/", "Cookie", cookie))
	if !s.fromCookie {
		t.Error("a token of the cookie did not come from it")
	}
	for path, name := range map[string]string{"/": "__Host-session", "/app": "__Secure-session"} {
		guard := newService(t, revokehttp.WithCookie("session", path), revokehttp.WithSameSite(http.SameSiteStrictMode)).guard
		w := httptest.NewRecorder()
		must(t, guard.SetCookie(w, good, time.Now().Add(time.Hour)))
		must(t, guard.ClearCookie(w))
		set := cookies(t, w)
		for i, c := range set {
			if c.Name != name || c.Path != path || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Domain != "" {
				t.Errorf("cookie %d is %+v", i, c)
			}
		}
		if len(set) != 2 || set[0].Value != good || set[1].Value != "" || set[1].MaxAge >= 0 {
			t.Errorf("cookies are %v", set)
		}
	}
	w := httptest.NewRecorder()
	if s.guard.SetCookie(w, "a b", time.Now()) == nil || len(cookies(t, w)) != 0 {
		t.Error("what is no token was made a cookie")
	}
}

// TestSameOrigin keeps other sites from a handler that sets a cookie.
func TestSameOrigin(t *testing.T) {
	t.Parallel()
	s := newService(t, revokehttp.WithTrustedOrigin("https://app.example"))
	called := false
	signIn := s.guard.SameOrigin(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	for what, want := range map[string]struct {
		request *http.Request
		status  int
	}{
		"a client":         {request("POST", "/"), 200},
		"the same origin":  {request("POST", "/", "Sec-Fetch-Site", "same-origin"), 200},
		"a trusted origin": {request("POST", "/", "Sec-Fetch-Site", "cross-site", "Origin", "https://app.example"), 200},
		"another site":     {request("POST", "/", "Sec-Fetch-Site", "cross-site"), 403},
		"another origin":   {request("POST", "/", "Origin", "https://evil.example"), 403},
	} {
		called = false
		wants(t, answer(signIn, want.request), want.status, "")
		if called != (want.status == 200) {
			t.Errorf("%s: the handler was called: %v", what, called)
		}
	}
	if len(s.reported) != 2 || !errors.Is(s.reported[0], revokehttp.ErrCrossOrigin) {
		t.Errorf("reported: %v", s.reported)
	}
}

// TestCookieNames takes no cookie whose name only looks like the guard's, as a subdomain or a page over HTTP could set one.
func TestCookieNames(t *testing.T) {
	t.Parallel()
	s := newService(t, revokehttp.WithCookie("session", "/"))
	good := mint(t, "1", "s", time.Hour)
	for _, cookie := range []string{
		"__host-session=" + good, "__HOST-session=" + good, "__Secure-session=" + good, "__Host-Session=" + good,
		"=__Host-session=" + good, "__Host-session", "\u2000__Host-session=" + good, "__Host-session\u00a0=" + good,
		`$Version=1; x="; __Host-session=` + good + `"`, // RFC 2965 would have it in quotes
	} {
		if got := answer(s.handler, request("GET", "/", "Cookie", cookie)).Code; got != 401 {
			t.Errorf("%q: %d", cookie[:min(20, len(cookie))], got)
		}
	}
	wants(t, answer(s.handler, request("GET", "/", "Cookie", "__Secure-session=x; __Host-session="+good)), 200, "")
	wants(t, answer(s.handler, request("GET", "/", "Cookie", "__Host-session="+good, "Cookie", "__Host-session=x")), 400, badRequest)
}

// TestCachesTellCookiesApart is RFC 9110 §12.5.5: a cache that keeps an answer must not serve it to another browser.
func TestCachesTellCookiesApart(t *testing.T) {
	t.Parallel()
	for _, withCookie := range []bool{false, true} {
		var opts []revokehttp.Option
		if withCookie {
			opts = append(opts, revokehttp.WithCookie("session", "/"))
		}
		s := newService(t, opts...)
		good := mint(t, "1", "s", time.Hour)
		for _, token := range []string{"Bearer " + good, "Bearer x", ""} {
			w := answer(s.handler, request("GET", "/", "Authorization", token))
			if got := w.Header().Get("Vary"); (got == "Cookie") != withCookie {
				t.Errorf("Vary of %d is %q, with a cookie: %v", w.Code, got, withCookie)
			}
		}
	}
}

// TestSetCookie sets what browsers keep and caches do not, or nothing.
func TestSetCookie(t *testing.T) {
	t.Parallel()
	guard := newService(t, revokehttp.WithCookie("session", "/")).guard
	longest := 4096 - len("__Host-session")
	for size, kept := range map[int]bool{longest: true, longest + 1: false} {
		w := httptest.NewRecorder()
		w.Header().Set("Cache-Control", "public, max-age=60")
		err := guard.SetCookie(w, strings.Repeat("x", size), time.Time{})
		set := cookies(t, w)
		if (err == nil) != kept || (len(set) == 1) != kept || (w.Header().Get("Cache-Control") == "no-store") != kept {
			t.Errorf("%d bytes: %v, with %d cookies and Cache-Control %q", size, err, len(set), w.Header().Get("Cache-Control"))
		}
		if err != nil && strings.Contains(err.Error(), "xxxx") {
			t.Errorf("the error quotes the token: %v", err)
		}
		if kept && (!set[0].Expires.IsZero() || set[0].MaxAge != 0) {
			t.Errorf("without an expiry it lasts beyond the browser's session: %v", set[0])
		}
	}
}
