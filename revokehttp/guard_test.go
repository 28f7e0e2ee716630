package revokehttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

const testIssuer = "https://issuer.example"

var testKey = []byte("a key of the tests, which are its only users")

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// mint signs a token of ada's, which lives for d.
func mint(tb testing.TB, id, session string, d time.Duration) string {
	tb.Helper()
	now := time.Now()
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, revoke.Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: testIssuer, Subject: "ada", ID: id,
			IssuedAt: jwt.NewNumericDate(now.Add(-time.Hour)), ExpiresAt: jwt.NewNumericDate(now.Add(d)),
		},
		SessionID: session,
	}).SignedString(testKey)
	must(tb, err)
	return text
}

// service is a guard before a handler that counts.
type service struct {
	store   *revoketest.Faulty
	guard   *revokehttp.Guard[revoke.Claims]
	handler http.Handler
	calls   int

	fromCookie bool // as the handler saw it last
	reported   []error
}

func newService(tb testing.TB, opts ...revokehttp.Option) *service {
	tb.Helper()
	s := &service{store: revoketest.NewFaulty(revoketest.NewMemory())}
	keyfunc := func(*jwt.Token) (any, error) { return testKey, nil }
	validator, err := revoke.NewValidator[revoke.Claims](s.store, testIssuer, keyfunc, []string{"HS256"})
	must(tb, err)
	opts = append(opts, revokehttp.WithReport(func(_ *http.Request, err error) { s.reported = append(s.reported, err) }))
	s.guard, err = revokehttp.New(validator, opts...)
	must(tb, err)
	s.handler = s.guard.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls++
		token, okToken := revokehttp.Token(r.Context())
		claims, okClaims := revokehttp.Claims[revoke.Claims](r.Context())
		if r.Method != http.MethodOptions && (!okToken || !okClaims || token.ID == "" || claims.ID != token.ID) {
			tb.Errorf("the handler sees %+v and %+v", token, claims)
		}
		if _, ok := revokehttp.Claims[jwt.RegisteredClaims](r.Context()); ok {
			tb.Error("claims of another type are found")
		}
		s.fromCookie = revokehttp.FromCookie(r.Context())
		fmt.Fprint(w, "hello")
	}))
	return s
}

// request is one of a browser or a client.
func request(method, target string, header ...string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func answer(handler http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// cookies are those that an answer sets.
func cookies(tb testing.TB, w *httptest.ResponseRecorder) (all []*http.Cookie) {
	tb.Helper()
	for _, line := range w.Header().Values("Set-Cookie") {
		cookie, err := http.ParseSetCookie(line)
		must(tb, err)
		all = append(all, cookie)
	}
	return all
}

// wants compares an answer's status and challenge.
func wants(tb testing.TB, response *httptest.ResponseRecorder, status int, challenge string) {
	tb.Helper()
	if response.Code != status || response.Header().Get("WWW-Authenticate") != challenge {
		tb.Errorf("%d with %q, want %d with %q", response.Code, response.Header().Get("WWW-Authenticate"), status, challenge)
	}
	if kept := response.Header().Get("Cache-Control"); status >= 400 && kept != "no-store" {
		tb.Errorf("Cache-Control is %q", kept)
	}
}

const (
	nothingSent  = `Bearer realm="api"`
	badRequest   = `Bearer realm="api", error="invalid_request"`
	invalidToken = `Bearer realm="api", error="invalid_token"`
)

// TestAuthorizationHeader is RFC 6750 §2.1 and §3.1 and RFC 9110 §11.
func TestAuthorizationHeader(t *testing.T) {
	t.Parallel()
	s := newService(t)
	good := mint(t, "1", "s", time.Hour)
	for header, want := range map[string]struct {
		status    int
		challenge string
	}{
		"Bearer " + good:                        {200, ""},
		"bearer " + good:                        {200, ""},
		"BEARER    " + good + "  ":              {200, ""},
		"":                                      {401, nothingSent},
		"Basic YTpi":                            {401, nothingSent},
		"Bearerx " + good:                       {401, nothingSent},
		good:                                    {401, nothingSent},
		"Bearer":                                {400, badRequest},
		"Bearer ":                               {400, badRequest},
		"Bearer " + good + " " + good:           {400, badRequest},
		"Bearer " + good + ", Basic YTpi":       {400, badRequest},
		"Bearer " + good + ",":                  {400, badRequest},
		"Bearer token=\"" + good + "\"":         {400, badRequest},
		"Bearer =":                              {400, badRequest},
		"Bearer x":                              {401, invalidToken},
		"Bearer " + good[:len(good)-4] + "AAAA": {401, invalidToken},
		"Bearer " + mint(t, "2", "s", -time.Minute): {401, invalidToken},
	} {
		before := s.calls
		wants(t, answer(s.handler, request("GET", "/", "Authorization", header)), want.status, want.challenge)
		if called := s.calls > before; called != (want.status == 200) {
			t.Errorf("%q: the handler was called: %v", header, called)
		}
	}
	wants(t, answer(s.handler, request("GET", "/")), 401, nothingSent)
	wants(t, answer(s.handler, request("GET", "/", "Authorization", "Bearer "+good, "Authorization", "Bearer "+good)), 400, badRequest)
	wants(t, answer(s.handler, request("GET", "/", "Authorization", "Bearer "+good, "Authorization", "Basic YTpi")), 400, badRequest)
	wants(t, answer(s.handler, request("GET", "/?access_token="+good)), 401, nothingSent)
	for _, err := range s.reported {
		if strings.Contains(err.Error(), good[:20]) {
			t.Errorf("the report quotes a token: %v", err)
		}
	}
}

// TestRevokedAndUnavailable tells a dead token from a store that does not answer.
func TestRevokedAndUnavailable(t *testing.T) {
	t.Parallel()
	s := newService(t, revokehttp.WithRealm("the API"), revokehttp.WithRetryAfter(1500*time.Millisecond), revokehttp.WithCookie("session", "/"))
	good := mint(t, "1", "s", time.Hour)
	r := request("GET", "/", "Cookie", "__Host-session="+good)
	s.store.Fail(errors.New("it is down"))
	response := answer(s.handler, r)
	wants(t, response, 503, "")
	if after := response.Header().Get("Retry-After"); after != "2" {
		t.Errorf("Retry-After is %q", after)
	}
	if response.Header().Get("Set-Cookie") != "" {
		t.Error("a cookie is touched though nobody knows")
	}
	s.store.Fail(nil)
	wants(t, answer(s.handler, r), 200, "")
	must(t, s.store.RevokeToken(t.Context(), revoke.Token{Issuer: testIssuer, ID: "1"}))
	wants(t, answer(s.handler, r), 401, `Bearer realm="the API", error="invalid_token"`)
	if len(s.reported) != 2 || !errors.Is(s.reported[0], revoke.ErrUnavailable) || !errors.Is(s.reported[1], revoke.ErrRevoked) {
		t.Errorf("reported: %v", s.reported)
	}
}

// TestPreflight lets OPTIONS through where it is told to, and nothing else.
func TestPreflight(t *testing.T) {
	t.Parallel()
	preflight := []string{"Origin", "https://app.example", "Access-Control-Request-Method", "POST"}
	wants(t, answer(newService(t).handler, request("OPTIONS", "/", preflight...)), 401, nothingSent)
	s := newService(t, revokehttp.WithPreflight())
	wants(t, answer(s.handler, request("OPTIONS", "/", preflight...)), 200, "")
	wants(t, answer(s.handler, request("OPTIONS", "/")), 401, nothingSent)
	wants(t, answer(s.handler, request("POST", "/", preflight...)), 401, nothingSent)
}

// TestErrorHandler replaces every answer.
func TestErrorHandler(t *testing.T) {
	t.Parallel()
	var want error
	s := newService(t, revokehttp.WithErrorHandler(func(w http.ResponseWriter, _ *http.Request, err error) {
		if !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
		w.WriteHeader(http.StatusTeapot)
	}))
	logout, err := s.guard.Logout(s.store)
	must(t, err)
	for _, c := range []struct {
		handler http.Handler
		method  string
		want    error
	}{{s.handler, "GET", revokehttp.ErrNoToken}, {logout, "POST", revokehttp.ErrNoToken}, {logout, "GET", revokehttp.ErrBadRequest}} {
		want = c.want
		if got := answer(c.handler, request(c.method, "/")).Code; got != http.StatusTeapot {
			t.Errorf("%s: %d", c.method, got)
		}
	}
}

// TestForbid is RFC 6750 §3.1, insufficient_scope.
func TestForbid(t *testing.T) {
	t.Parallel()
	guard := newService(t).guard
	for _, c := range []struct {
		scopes []string
		want   string
	}{
		{nil, `Bearer realm="api", error="insufficient_scope"`},
		{[]string{"read", "write"}, `Bearer realm="api", error="insufficient_scope", scope="read write"`},
		{[]string{"a\"b"}, `Bearer realm="api", error="insufficient_scope"`},
	} {
		wants(t, answer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { guard.Forbid(w, r, c.scopes...) }),
			request("GET", "/")), 403, c.want)
	}
}

// TestOptionsAreRefused names what is wrong.
func TestOptionsAreRefused(t *testing.T) {
	t.Parallel()
	s := newService(t)
	validator, err := revoke.NewValidator[revoke.Claims](s.store, testIssuer, func(*jwt.Token) (any, error) { return testKey, nil }, []string{"HS256"})
	must(t, err)
	for want, opts := range map[string][]revokehttp.Option{
		"option is nil":    {nil},
		"New: an option":   {revokehttp.CommonOption(nil)},
		"realm":            {revokehttp.WithRealm("a\"b")},
		"retry after 0s":   {revokehttp.WithRetryAfter(0)},
		"handler is nil":   {revokehttp.WithErrorHandler(nil)},
		"report is nil":    {revokehttp.WithReport(nil)},
		"is empty":         {revokehttp.WithCookie("", "/")},
		"not begin with /": {revokehttp.WithCookie("a", "b")},
		"invalid":          {revokehttp.WithCookie("a b", "/")},
		"needs WithCookie": {revokehttp.WithSameSite(http.SameSiteLaxMode)},
		"neither Lax":      {revokehttp.WithCookie("a", "/"), revokehttp.WithSameSite(http.SameSiteDefaultMode)},
		"invalid origin":   {revokehttp.WithTrustedOrigin("app.example")},
	} {
		if _, err := revokehttp.New(validator, opts...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want %q", err, want)
		}
	}
	if _, err := revokehttp.New[revoke.Claims](nil); err == nil {
		t.Error("a nil validator is taken")
	}
	if _, err := s.guard.Logout(nil); err == nil {
		t.Error("a nil store is taken")
	}
	for _, opt := range []revokehttp.LogoutOption{nil, revokehttp.RecordOption(nil), revokehttp.WithClearSiteData(), revokehttp.WithClearSiteData("cookie"), revokehttp.WithRecord(nil)} {
		if _, err := s.guard.LogoutEverywhere(s.store, opt); err == nil {
			t.Error("an option that is wrong is taken")
		}
	}
	if w := httptest.NewRecorder(); s.guard.SetCookie(w, "x", time.Now()) == nil || s.guard.ClearCookie(w) == nil {
		t.Error("a guard without a cookie sets one")
	}
}
