package revokehttp_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
)

var nowhere = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

// fetchMetadata are header fields of a browser's request, over TLS and without.
var (
	navigates      = []string{"Sec-Fetch-Mode", "navigate"}
	navigatesPlain = []string{"Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
)

// TestSignInPage redirects a navigation that lacks an accepted token, and nothing else.
func TestSignInPage(t *testing.T) {
	t.Parallel()
	good := mint(t, "1", "s", time.Hour)
	cookie := []string{"Cookie", "__Host-session=" + good}
	const toPage = "/sign-in?lang=de&return_to=%2Fx%3Fa%3D1%262"
	request := func(method, target string, header ...[]string) *http.Request {
		var all []string
		for _, h := range header {
			all = append(all, h...)
		}
		return testkit.Request(method, target, all...)
	}
	for _, c := range []struct {
		name     string
		request  *http.Request
		status   int
		location string
	}{
		{"navigation", request("GET", "/x?a=1&2", navigates), 303, toPage},
		{"navigation over plain HTTP", request("GET", "/x?a=1&2", navigatesPlain), 303, toPage},
		{"HEAD", request("HEAD", "/x?a=1&2", navigates), 303, toPage},
		{"dead cookie", request("GET", "/x?a=1&2", navigates, []string{"Cookie", "__Host-session=x"}), 303, toPage},
		{"Basic of a proxy", request("GET", "/x?a=1&2", navigates, []string{"Authorization", "Basic YTpi"}), 303, toPage},
		{"form", request("POST", "/x?a=1&2", navigates), 303, "/sign-in?lang=de"},
		{"absolute target", request("GET", "http://evil.example/x", navigates), 303, "/sign-in?lang=de"},
		{"two slashes", request("GET", "//evil.example/x", navigates), 303, "/sign-in?lang=de"},
		{"long target", request("GET", "/"+strings.Repeat("x", 2048), navigates), 303, "/sign-in?lang=de"},
		{"the page itself", request("GET", "/sign-in?return_to=/x", navigates), 401, ""},
		{"Bearer", request("GET", "/x", navigates, []string{"Authorization", "Bearer x"}), 401, ""},
		{"script", request("GET", "/x", []string{"Sec-Fetch-Mode", "cors"}), 401, ""},
		{"script that wants HTML", request("GET", "/x", []string{"Sec-Fetch-Mode", "same-origin"}, navigatesPlain), 401, ""},
		{"WebSocket", request("GET", "/x", []string{"Sec-Fetch-Mode", "websocket"}), 401, ""},
		{"client", request("GET", "/x", []string{"Accept", "*/*"}), 401, ""},
		{"client that wants JSON", request("GET", "/x", []string{"Accept", "application/json, text/html-not"}), 401, ""},
		{"two cookies", request("GET", "/x", navigates, []string{"Cookie", "__Host-session=a; __Host-session=b"}), 400, ""},
		{"another site", request("POST", "/x", navigates, cookie, []string{"Sec-Fetch-Site", "cross-site"}), 403, ""},
		{"good cookie", request("GET", "/x", navigates, cookie), 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, revokehttp.WithCookie("session", "/"), revokehttp.WithSignInPage("/sign-in?lang=de"))
			w := testkit.Serve(s.handler, c.request)
			if got := w.Header().Get("Location"); w.Code != c.status || got != c.location {
				t.Errorf("%d to %q, want %d to %q", w.Code, got, c.status, c.location)
			}
			if w.Code == 303 && (w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("WWW-Authenticate") != "" || len(s.reported) != 1) {
				t.Errorf("header %v, reported %v", w.Header(), s.reported)
			}
		})
	}
	t.Run("outage", func(t *testing.T) {
		t.Parallel()
		s := newService(t, revokehttp.WithCookie("session", "/"), revokehttp.WithSignInPage("/sign-in"))
		s.store.Fail(errors.New("it is down"))
		testkit.WantAnswer(t, testkit.Serve(s.handler, request("GET", "/x", navigates, cookie)), 503, "")
	})
	t.Run("revoked", func(t *testing.T) {
		t.Parallel()
		s := newService(t, revokehttp.WithCookie("session", "/"), revokehttp.WithSignInPage("/sign-in"))
		testkit.Must(t, s.store.RevokeToken(t.Context(), revoke.Token{Issuer: testkit.Issuer, ID: "1"}))
		w := testkit.Serve(s.handler, request("GET", "/x", navigates, cookie))
		if w.Code != 303 || w.Header().Get("Location") != "/sign-in?return_to=%2Fx" || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%d with %v", w.Code, w.Header())
		}
	})
	t.Run("behind a prefix", func(t *testing.T) {
		t.Parallel()
		s := newService(t, revokehttp.WithSignInPage("/sign-in"))
		w := testkit.Serve(http.StripPrefix("/app", s.handler), request("GET", "/app/x", navigates))
		if got := w.Header().Get("Location"); got != "/sign-in?return_to=%2Fapp%2Fx" {
			t.Errorf("Location is %q", got)
		}
	})
	t.Run("behind a prefix, a page of the same name", func(t *testing.T) {
		t.Parallel()
		for page, location := range map[string]string{"/in": "/in?return_to=%2Fapp%2Fin%3Fa%3D1", "/app/in": ""} {
			s := newService(t, revokehttp.WithSignInPage(page))
			w := testkit.Serve(http.StripPrefix("/app", s.handler), request("GET", "/app/in?a=1", navigates))
			if got := w.Header().Get("Location"); got != location || w.Code != 303 && location != "" {
				t.Errorf("page %s: %d to %q, want %q", page, w.Code, got, location)
			}
		}
	})
	t.Run("without the option", func(t *testing.T) {
		t.Parallel()
		testkit.WantAnswer(t, testkit.Serve(newService(t).handler, request("GET", "/x", navigates)), 401, nothingSent)
	})
}

// localPaths are texts that may or may not be paths of this origin.
var localPaths = []struct {
	text  string
	local bool
}{
	{"/", true},
	{"/x", true},
	{"/x/y/", true},
	{"/x?a=1&b=//evil.example", true},
	{"/x?u=https://evil.example/..//", true},
	{"/#/signed-out", true},
	{"/x%20y", true},
	{"/caf%C3%A9", true},
	{"/100%25", true},
	{"/@ada:x", true},
	{"/.well-known/x", true},
	{"/x/...", true},
	{"", false},
	{"x", false},
	{"?x", false},
	{"//evil.example", false},
	{"///evil.example", false},
	{"/\\evil.example", false},
	{"\\/evil.example", false},
	{"\\\\evil.example", false},
	{"/x\\..\\..\\evil.example", false},
	{"https://evil.example", false},
	{"https:evil.example", false},
	{"javascript:alert(1)", false},
	{"data:text/html,x", false},
	{"evil.example", false},
	{"@evil.example", false},
	{" /x", false},
	{"/x ", false},
	{"/\t/evil.example", false},
	{"/\n/evil.example", false},
	{"/x\r\nSet-Cookie: a=b", false},
	{"/\x00/evil.example", false},
	{"/x\x7f", false},
	{"/%2f/evil.example", false},
	{"/%2Fevil.example", false},
	{"/%5cevil.example", false},
	{"/%5C%5Cevil.example", false},
	{"/%252fevil.example", false},
	{"/%252f%252fevil.example%25zz", false}, // where a decoder leaves what is no escape
	{"/%252%2566evil.example", false},       // an escape in two parts
	{"/x/%252e%252e/%25", false},
	{"/%25zz", true},
	{"/%25255cevil.example", false},
	{"/%09/evil.example", false},
	{"/%0d%0aSet-Cookie:a=b", false},
	{"/%00", false},
	{"/.//evil.example", false},
	{"/x/..//evil.example", false},
	{"/x//evil.example", false},
	{"/./x", false},
	{"/..", false},
	{"/x/%2e%2e/%2fevil.example", false},
	{"/%2e", false},
	{"/x?a\\b", false},
	{"/x?a b", false},
	{"/x#a\nb", false},
	{"/é", false},
	{"/\u2044evil.example", false},
	{"/％2fevil.example", false},
	{"/%zz", false},
	{"\xff", false},
}

// TestLocalPath refuses what a browser, a proxy or a script could take for another origin.
func TestLocalPath(t *testing.T) {
	t.Parallel()
	for _, c := range localPaths {
		t.Run(c.text, func(t *testing.T) {
			t.Parallel()
			want := "/home"
			if c.local {
				want = c.text
			}
			if got := revokehttp.LocalPath(c.text, "/home"); got != want {
				t.Errorf("LocalPath = %q, want %q", got, want)
			}
		})
	}
}

// TestLocalPathIsFast reads a path that decodes to another one 400,000 times. A pass for each of
// them would take hours: anyone can send such a path.
func TestLocalPathIsFast(t *testing.T) {
	t.Parallel()
	text := "/%" + strings.Repeat("25", 400_000) + "2fevil.example"
	if got := revokehttp.LocalPath(text, "/home"); got != "/home" {
		t.Errorf("LocalPath accepts %d bytes", len(got))
	}
	s := newService(t, revokehttp.WithSignInPage("/sign-in"))
	if w := testkit.Serve(s.handler, testkit.Request("GET", text, navigates...)); w.Header().Get("Location") != "/sign-in" {
		t.Errorf("%d to %d bytes", w.Code, len(w.Header().Get("Location")))
	}
}

// FuzzLocalPath accepts only what stays on its origin, however often it is decoded on the way.
func FuzzLocalPath(f *testing.F) {
	for _, c := range localPaths {
		f.Add(c.text)
	}
	base := testkit.Value(url.Parse("https://app.example/sign-in"))(f)
	f.Fuzz(func(t *testing.T, text string) {
		path := revokehttp.LocalPath(text, "")
		if path == "" {
			return
		}
		if path != text {
			t.Fatalf("LocalPath = %q, of %q", path, text)
		}
		for range 5 {
			resolved, err := base.Parse(path)
			if err != nil {
				return // no browser gets there
			}
			if resolved.Host != base.Host || resolved.Scheme != base.Scheme || resolved.User != nil || strings.HasPrefix(path, "//") ||
				strings.HasPrefix(resolved.Path, "//") || strings.ContainsAny(resolved.Path, "\\\r\n\t\x00") {
				t.Fatalf("%q leads to %v", text, resolved)
			}
			path, _, _ = strings.Cut(path, "?")
			path, _, _ = strings.Cut(path, "#")
			if path, err = url.PathUnescape(path); err != nil {
				return
			}
		}
	})
}
