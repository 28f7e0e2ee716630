package revokehttp_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
)

// newForwardAuth returns a service that proxies ask, with the header fields of Traefik and Caddy.
func newForwardAuth(tb testing.TB, opts ...revokehttp.Option) (*service, http.Handler) {
	tb.Helper()
	opts = append([]revokehttp.Option{revokehttp.WithCookie("session", "/"), revokehttp.WithSignInPage("/sign-in")}, opts...)
	s := newService(tb, opts...)
	return s, testkit.Value(s.guard.ForwardAuth("X-Forwarded-Method", "X-Forwarded-Host"))(tb)
}

// TestForwardAuth decides about the client's request by what the proxy tells of it.
func TestForwardAuth(t *testing.T) {
	t.Parallel()
	good := mint(t, "1", "", time.Hour)
	cookie := []string{"Cookie", "__Host-session=" + good}
	bearer := []string{"Authorization", "Bearer " + good}
	asks := func(credentials []string, more ...string) []string {
		return append(append([]string{}, credentials...), more...)
	}
	post := []string{"X-Forwarded-Method", "POST", "X-Forwarded-Host", "app.example"}
	get := []string{"X-Forwarded-Method", "GET", "X-Forwarded-Host", "app.example"}
	const own, eve = "https://app.example", "https://eve.example"
	for _, c := range []struct {
		name   string
		header []string
		status int
		error  string // in WWW-Authenticate
	}{
		{"no token", get, 401, ""},
		{"no token, from a browser", asks(get, "Accept", "text/html", "Sec-Fetch-Mode", "navigate"), 401, ""},
		{"header", asks(bearer, post...), 200, ""},
		{"header, from another site", asks(bearer, append(post, "Origin", eve)...), 200, ""},
		{"header, and the proxy says nothing", bearer, 200, ""},
		{"invalid header beside a good cookie", asks(cookie, append(post, "Authorization", "Bearer x", "Origin", own)...), 401, "invalid_token"},
		{"two headers", asks(bearer, "Authorization", "Bearer "+good), 401, "invalid_request"},
		{"two cookies", asks(cookie, append(get, "Cookie", "__Host-session=x")...), 401, "invalid_request"},
		{"Bearer without a token", []string{"Authorization", "Bearer"}, 401, "invalid_request"},
		{"expired", []string{"Authorization", "Bearer " + mint(t, "1", "", -time.Minute)}, 401, "invalid_token"},

		{"cookie, GET", asks(cookie, get...), 200, ""},
		{"cookie, GET from another site", asks(cookie, append(get, "Origin", eve, "Sec-Fetch-Site", "cross-site")...), 200, ""},
		{"cookie, POST", asks(cookie, append(post, "Origin", own)...), 200, ""},
		{"cookie, POST, same-origin", asks(cookie, append(post, "Sec-Fetch-Site", "same-origin")...), 200, ""},
		{"cookie, POST from another site", asks(cookie, append(post, "Origin", eve)...), 403, ""},
		{"cookie, POST, cross-site", asks(cookie, append(post, "Sec-Fetch-Site", "cross-site", "Origin", own)...), 403, ""},
		{"cookie, POST from the host of the question", asks(cookie, append(post, "Origin", "https://auth.internal")...), 403, ""},
		{"cookie, POST, and the proxy passes on no origin", asks(cookie, post...), 403, ""},
		{"cookie, no method", asks(cookie, "X-Forwarded-Host", "app.example"), 403, ""},
		{"cookie, empty method", asks(cookie, "X-Forwarded-Method", "", "X-Forwarded-Host", "app.example"), 403, ""},
		{"cookie, two methods", asks(cookie, append(get, "X-Forwarded-Method", "POST")...), 403, ""},
		{"cookie, a list of methods", asks(cookie, "X-Forwarded-Method", "GET, POST", "X-Forwarded-Host", "app.example"), 403, ""},
		{"cookie, method in lower case", asks(cookie, append([]string{"X-Forwarded-Method", "post", "X-Forwarded-Host", "app.example"}, "Origin", eve)...), 403, ""},
		{"cookie, another field with the method", asks(cookie, "X-Original-Method", "GET", "X-Forwarded-Host", "app.example"), 403, ""},
		{"cookie, no host", asks(cookie, "X-Forwarded-Method", "POST", "Origin", own), 403, ""},
		{"cookie, a list of hosts", asks(cookie, "X-Forwarded-Method", "POST", "X-Forwarded-Host", "app.example, eve.example", "Origin", own), 403, ""},
		{"cookie, GET, a list of hosts", asks(cookie, "X-Forwarded-Method", "GET", "X-Forwarded-Host", "app.example, eve.example"), 403, ""},
		{"cookie, GET, two hosts", asks(cookie, append(get, "X-Forwarded-Host", "app.example")...), 403, ""},
		{"cookie, a host that is a URL", asks(cookie, "X-Forwarded-Method", "POST", "X-Forwarded-Host", "https://app.example", "Origin", own), 403, ""},
		{"cookie, a WebSocket from another site", asks(cookie, append(get, "Sec-WebSocket-Key", "x", "Origin", eve)...), 403, ""},
		{"cookie, a WebSocket", asks(cookie, append(get, "Sec-WebSocket-Key", "x", "Origin", own)...), 200, ""},
		{"cookie, a WebSocket without an origin", asks(cookie, append(get, "Sec-WebSocket-Key", "x")...), 403, ""},
		{"preflight", append([]string{"X-Forwarded-Method", "OPTIONS", "X-Forwarded-Host", "app.example"}, "Origin", eve, "Access-Control-Request-Method", "GET"), 401, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, handler := newForwardAuth(t)
			for _, method := range []string{"GET", "POST", "DELETE"} { // of the question
				r := testkit.Request(method, "https://auth.internal/ask", c.header...)
				w := testkit.Serve(handler, r)
				if w.Code != c.status || !strings.Contains(w.Header().Get("WWW-Authenticate"), c.error) || w.Header().Get("Cache-Control") != "no-store" {
					t.Errorf("asked by %s: %d with %v, want %d and %q", method, w.Code, w.Header(), c.status, c.error)
				}
				if (w.Header().Get("WWW-Authenticate") != "") != (c.status == 401) || w.Header().Get("Location") != "" {
					t.Errorf("%d with %v", w.Code, w.Header())
				}
				if subject := w.Header()[revokehttp.DefaultSubjectHeader]; (subject != nil) != (c.status == 200) {
					t.Errorf("%d and the subject %q", w.Code, subject)
				}
			}
			if (len(s.reported) == 0) != (c.status == 200) {
				t.Errorf("reported %v", s.reported)
			}
		})
	}
}

// TestForwardAuthQuestion takes method and host from the question where the app says so.
func TestForwardAuthQuestion(t *testing.T) {
	t.Parallel()
	s, _ := newForwardAuth(t)
	handler := testkit.Value(s.guard.ForwardAuth(revokehttp.QuestionMethod, revokehttp.QuestionHost))(t)
	cookie := "__Host-session=" + mint(t, "1", "", time.Hour)
	for _, c := range []struct {
		method, origin string
		status         int
	}{{"POST", "https://app.example", 200}, {"POST", "https://eve.example", 403}, {"GET", "https://eve.example", 200}} {
		// What a client adds has no effect.
		r := testkit.Request(c.method, "https://app.example/ask", "Cookie", cookie, "Origin", c.origin,
			"X-Forwarded-Method", "GET", "X-Forwarded-Host", "eve.example")
		if w := testkit.Serve(handler, r); w.Code != c.status {
			t.Errorf("%s from %s: %d, want %d", c.method, c.origin, w.Code, c.status)
		}
	}
}

// TestForwardAuthOutage answers 503, and 401 for a revoked token.
func TestForwardAuthOutage(t *testing.T) {
	t.Parallel()
	s, handler := newForwardAuth(t)
	text := mint(t, "1", "", time.Hour)
	ask := func() (status int, retry string) {
		w := testkit.Serve(handler, testkit.Request("GET", "/", "Authorization", "Bearer "+text))
		return w.Code, w.Header().Get("Retry-After")
	}
	s.store.Fail(errors.New("it is down"))
	if status, retry := ask(); status != 503 || retry != "5" {
		t.Errorf("an outage: %d, Retry-After %q", status, retry)
	}
	s.store.Fail(nil)
	testkit.Must(t, s.store.RevokeToken(t.Context(), revoke.Token{Issuer: testkit.Issuer, ID: "1"}))
	if status, _ := ask(); status != 401 {
		t.Errorf("a revoked token: %d", status)
	}
}

// TestForwardAuthIdentity answers with the identity, in fields that no proxy changes and that are
// there even if they are empty.
func TestForwardAuthIdentity(t *testing.T) {
	t.Parallel()
	s, _ := newForwardAuth(t)
	guard := testkit.Value(revokehttp.NewGuard(newValidator(t, s.store, revoke.WithClock(testkit.Clock), revoke.WithOptionalID())))(t)
	handler := testkit.Value(guard.ForwardAuth("X-A", "X-B", revokehttp.WithIdentityHeaders("I-Iss", "I-Sub", "I-Jti")))(t)
	for _, c := range []struct{ sub, jti, subject, id string }{
		{`"ada"`, `"1"`, "ada", "1"},
		{`"auth0|12"`, `"a/b"`, "auth0|12", "a/b"},
		{`" ada "`, `"1"`, "%20ada%20", "1"},
		{`"ada\r\nX-Evil: 1"`, `"a,b"`, "ada%0D%0AX-Evil:%201", "a%2Cb"},
		{`"äda%20"`, `"\""`, "%C3%A4da%2520", `"`},
		{`"ada"`, ``, "ada", ""},
	} {
		text := testkit.Mint(t, map[string]string{"sub": c.sub, "jti": c.jti})
		w := testkit.Serve(handler, testkit.Request("GET", "/", "Authorization", "Bearer "+text))
		got := []string{strings.Join(w.Header()["I-Iss"], "|"), strings.Join(w.Header()["I-Sub"], "|"), strings.Join(w.Header()["I-Jti"], "|")}
		if w.Code != 200 || got[0] != testkit.Issuer || got[1] != c.subject || got[2] != c.id || w.Header()["I-Jti"] == nil {
			t.Errorf("%s, %s: %d with %q", c.sub, c.jti, w.Code, got)
		}
	}
}

// TestForwardAuthPreflight lets a preflight through if the guard does.
func TestForwardAuthPreflight(t *testing.T) {
	t.Parallel()
	_, handler := newForwardAuth(t, revokehttp.WithPreflight())
	preflight := []string{"X-Forwarded-Host", "app.example", "Origin", "https://eve.example", "Access-Control-Request-Method", "GET"}
	for method, status := range map[string]int{"OPTIONS": 200, "GET": 401, "": 401} {
		w := testkit.Serve(handler, testkit.Request("GET", "/", append(preflight, "X-Forwarded-Method", method)...))
		if w.Code != status || status == 200 && strings.Join(w.Header()[revokehttp.DefaultSubjectHeader], "|") != "" {
			t.Errorf("method %q: %d with %v", method, w.Code, w.Header())
		}
	}
}

// TestForwardAuthRefuses names what is wrong.
func TestForwardAuthRefuses(t *testing.T) {
	t.Parallel()
	s, _ := newForwardAuth(t)
	for _, c := range []struct {
		name, method, host string
		opts               []revokehttp.Option
		want               string
	}{
		{"no method", "", "X-B", nil, `"" is no name`},
		{"no host", "X-A", "", nil, `"" is no name`},
		{"colon", ":path", "X-B", nil, "is no name"},
		{"method and host exchanged", revokehttp.QuestionHost, revokehttp.QuestionMethod, nil, "is no name"},
		{"space", "X A", "X-B", nil, "is no name"},
		{"Origin", "X-A", "origin", nil, "has a meaning already"},
		{"nil option", "X-A", "X-B", []revokehttp.Option{nil}, "an option is nil"},
		{"empty identity", "X-A", "X-B", []revokehttp.Option{revokehttp.WithIdentityHeaders("", "b", "c")}, "is no name"},
		{"one name twice", "X-A", "X-B", []revokehttp.Option{revokehttp.WithIdentityHeaders("a", "b", "B")}, "one name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := s.guard.ForwardAuth(c.method, c.host, c.opts...)
			if err == nil || !strings.HasPrefix(err.Error(), "revokehttp: ForwardAuth: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ForwardAuth = %v, want %q", err, c.want)
			}
		})
	}
}
