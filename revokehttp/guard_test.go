package revokehttp_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// mint signs a token of ada that expires d after testkit.Now. A token without a session has no sid.
func mint(tb testing.TB, id, session string, d time.Duration) string {
	tb.Helper()
	return mintAt(tb, testkit.Now, id, session, d)
}

func mintAt(tb testing.TB, now time.Time, id, session string, d time.Duration) string {
	tb.Helper()
	if session != "" {
		session = `"` + session + `"`
	}
	return testkit.Mint(tb, map[string]string{
		"jti": `"` + id + `"`, "sid": session,
		"iat": fmt.Sprint(now.Add(-time.Hour).Unix()), "exp": fmt.Sprint(now.Add(d).Unix()),
	})
}

// newValidator returns a validator of the tokens that mint signs.
func newValidator(tb testing.TB, checker revoke.Checker, opts ...revoke.ValidatorOption) *revoke.Validator {
	tb.Helper()
	return testkit.Value(revoke.NewValidator(checker, testkit.Issuer, revoke.AudienceOf("api"), testkit.Keyfunc("ES256"),
		[]string{"ES256"}, opts...))(tb)
}

// service is a guard in front of a handler that counts its calls.
type service struct {
	store   *revoketest.Faulty
	guard   *revokehttp.Guard
	handler http.Handler
	calls   int

	fromCookie bool // in the handler's last call
	reported   []error
}

func newService(tb testing.TB, opts ...revokehttp.Option) *service {
	tb.Helper()
	s := &service{store: revoketest.NewFaulty(revoketest.NewMemory(revoketest.WithClock(testkit.Clock)))}
	opts = append(opts, revokehttp.WithReport(func(_ *http.Request, err error) { s.reported = append(s.reported, err) }))
	s.guard = testkit.Value(revokehttp.NewGuard(newValidator(tb, s.store, revoke.WithClock(testkit.Clock)), opts...))(tb)
	s.handler = s.guard.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls++
		token, ok := revokehttp.TokenFromContext(r.Context())
		switch {
		case r.Method == http.MethodOptions:
			if ok || token != nil {
				tb.Errorf("the handler of a preflight sees the token %+v", token)
			}
		case !ok || token.ID == "" || token.Issuer != testkit.Issuer:
			tb.Errorf("the handler sees %+v, %v", token, ok)
		default:
			var claims struct {
				ID string `json:"jti"`
			}
			if err := token.Claims(&claims); err != nil || claims.ID != token.ID {
				tb.Errorf("the handler sees the claims %+v, %v, want those of %q", claims, err, token.ID)
			}
		}
		s.fromCookie = revokehttp.FromCookie(r.Context())
		fmt.Fprint(w, "hello")
	}))
	return s
}

// get returns the status of a request with the token in the Authorization header.
func (s *service) get(token string) int {
	return testkit.Serve(s.handler, testkit.Request("GET", "/", "Authorization", "Bearer "+token)).Code
}

// cookies returns the cookies that an answer sets.
func cookies(tb testing.TB, w *httptest.ResponseRecorder) (all []*http.Cookie) {
	tb.Helper()
	for _, line := range w.Header().Values("Set-Cookie") {
		all = append(all, testkit.Value(http.ParseSetCookie(line))(tb))
	}
	return all
}

const (
	nothingSent  = `Bearer realm="api"`
	badRequest   = `Bearer realm="api", error="invalid_request"`
	invalidToken = `Bearer realm="api", error="invalid_token"`
)

// TestAuthorizationHeader follows RFC 6750 §2.1 and §3.1, and RFC 9110 §11.
func TestAuthorizationHeader(t *testing.T) {
	t.Parallel()
	good := mint(t, "1", "s", time.Hour)
	for _, c := range []struct {
		name      string
		target    string
		headers   []string // values of Authorization
		status    int
		challenge string
	}{
		{"Bearer", "/", []string{"Bearer " + good}, 200, ""},
		{"bearer in lower case", "/", []string{"bearer " + good}, 200, ""},
		{"BEARER in upper case, with spaces", "/", []string{"BEARER    " + good + "  "}, 200, ""},
		{"no header", "/", nil, 401, nothingSent},
		{"empty header", "/", []string{""}, 401, nothingSent},
		{"Basic", "/", []string{"Basic YTpi"}, 401, nothingSent},
		{"a scheme that begins with Bearer", "/", []string{"Bearerx " + good}, 401, nothingSent},
		{"a token without a scheme", "/", []string{good}, 401, nothingSent},
		{"a token in the URL", "/?access_token=" + good, nil, 401, nothingSent},
		{"Bearer without a token", "/", []string{"Bearer"}, 400, badRequest},
		{"Bearer and a space", "/", []string{"Bearer "}, 400, badRequest},
		{"Bearer and a tab", "/", []string{"Bearer\t" + good}, 400, badRequest},
		{"Bearer and a tab after a space", "/", []string{"Bearer \t" + good}, 400, badRequest},
		{"Bearer and a comma", "/", []string{"Bearer, " + good}, 400, badRequest},
		{"Bearer and a colon", "/", []string{"Bearer:" + good}, 400, badRequest},
		{"two tokens", "/", []string{"Bearer " + good + " " + good}, 400, badRequest},
		{"a list of credentials", "/", []string{"Bearer " + good + ", Basic YTpi"}, 400, badRequest},
		{"a comma after the token", "/", []string{"Bearer " + good + ","}, 400, badRequest},
		{"a parameter", "/", []string{"Bearer token=\"" + good + "\""}, 400, badRequest},
		{"padding alone", "/", []string{"Bearer ="}, 400, badRequest},
		{"two headers", "/", []string{"Bearer " + good, "Bearer " + good}, 400, badRequest},
		{"two headers of different schemes", "/", []string{"Bearer " + good, "Basic YTpi"}, 400, badRequest},
		{"not a JWT", "/", []string{"Bearer x"}, 401, invalidToken},
		{"forged", "/", []string{"Bearer " + good[:len(good)-4] + "AAAA"}, 401, invalidToken},
		{"expired", "/", []string{"Bearer " + mint(t, "2", "s", -time.Minute)}, 401, invalidToken},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t)
			r := testkit.Request("GET", c.target)
			if c.headers != nil {
				r.Header["Authorization"] = c.headers
			}
			testkit.WantAnswer(t, testkit.Serve(s.handler, r), c.status, c.challenge)
			if called := s.calls == 1; called != (c.status == 200) {
				t.Errorf("the handler was called: %v", called)
			}
			for _, err := range s.reported {
				if strings.Contains(err.Error(), good[:20]) {
					t.Errorf("the report quotes a token: %v", err)
				}
			}
		})
	}
}

// TestRevokedAndUnavailable tells a revoked token from a store that does not answer.
func TestRevokedAndUnavailable(t *testing.T) {
	t.Parallel()
	s := newService(t, revokehttp.WithRealm("the API"), revokehttp.WithRetryAfter(1500*time.Millisecond), revokehttp.WithCookie("session", "/"))
	good := mint(t, "1", "s", time.Hour)
	r := testkit.Request("GET", "/", "Cookie", "__Host-session="+good)
	s.store.Fail(errors.New("it is down"))
	w := testkit.Serve(s.handler, r)
	testkit.WantAnswer(t, w, 503, "")
	if after := w.Header().Get("Retry-After"); after != "2" {
		t.Errorf("Retry-After is %q", after)
	}
	if w.Header().Get("Set-Cookie") != "" {
		t.Error("the cookie is changed although the token may be good")
	}
	s.store.Fail(nil)
	testkit.WantAnswer(t, testkit.Serve(s.handler, r), 200, "")
	testkit.Must(t, s.store.RevokeToken(t.Context(), revoke.Token{Issuer: testkit.Issuer, ID: "1"}))
	testkit.WantAnswer(t, testkit.Serve(s.handler, r), 401, `Bearer realm="the API", error="invalid_token"`)
	if len(s.reported) != 2 || !errors.Is(s.reported[0], revoke.ErrUnavailable) || !errors.Is(s.reported[1], revoke.ErrRevoked) {
		t.Errorf("reported: %v", s.reported)
	}
}

// TestContextWithToken gives a handler under test a token.
func TestContextWithToken(t *testing.T) {
	t.Parallel()
	if token, ok := revokehttp.TokenFromContext(t.Context()); ok || token != nil {
		t.Errorf("a context without a token has %+v, %v", token, ok)
	}
	want := &revoke.Verified{Token: testkit.Token()}
	ctx := revokehttp.ContextWithToken(t.Context(), want)
	if token, ok := revokehttp.TokenFromContext(ctx); !ok || token != want || revokehttp.FromCookie(ctx) {
		t.Errorf("the token is %+v, %v, from a cookie: %v", token, ok, revokehttp.FromCookie(ctx))
	}
	if token, ok := revokehttp.TokenFromContext(revokehttp.ContextWithToken(ctx, nil)); ok || token != nil {
		t.Errorf("a context with a nil token has %+v, %v", token, ok)
	}
}

// TestPreflight passes OPTIONS on only with the option, and only if it is a preflight.
func TestPreflight(t *testing.T) {
	t.Parallel()
	preflight := []string{"Origin", "https://app.example", "Access-Control-Request-Method", "POST"}
	for _, c := range []struct {
		name      string
		opts      []revokehttp.Option
		request   *http.Request
		status    int
		challenge string
	}{
		{"preflight without the option", nil, testkit.Request("OPTIONS", "/", preflight...), 401, nothingSent},
		{"preflight", []revokehttp.Option{revokehttp.WithPreflight()}, testkit.Request("OPTIONS", "/", preflight...), 200, ""},
		{"other OPTIONS", []revokehttp.Option{revokehttp.WithPreflight()}, testkit.Request("OPTIONS", "/"), 401, nothingSent},
		{"POST", []revokehttp.Option{revokehttp.WithPreflight()}, testkit.Request("POST", "/", preflight...), 401, nothingSent},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			testkit.WantAnswer(t, testkit.Serve(newService(t, c.opts...).handler, c.request), c.status, c.challenge)
		})
	}
}

// TestErrorHandler replaces every answer.
func TestErrorHandler(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		logout bool
		method string
		want   error
	}{
		{"guard", false, "GET", revokehttp.ErrNoToken},
		{"logout without a token", true, "POST", revokehttp.ErrNoToken},
		{"logout by GET", true, "GET", revokehttp.ErrBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, revokehttp.WithErrorHandler(func(w http.ResponseWriter, _ *http.Request, err error) {
				if !errors.Is(err, c.want) {
					t.Errorf("error %v, want %v", err, c.want)
				}
				w.WriteHeader(http.StatusTeapot)
			}))
			handler := s.handler
			if c.logout {
				handler = testkit.Value(s.guard.Logout(s.store))(t)
			}
			if got := testkit.Serve(handler, testkit.Request(c.method, "/")).Code; got != http.StatusTeapot {
				t.Errorf("the answer is %d", got)
			}
		})
	}
}

// TestForbid follows RFC 6750 §3.1, insufficient_scope.
func TestForbid(t *testing.T) {
	t.Parallel()
	guard := newService(t).guard
	for _, c := range []struct {
		name      string
		scopes    []string
		challenge string
	}{
		{"no scopes", nil, `Bearer realm="api", error="insufficient_scope"`},
		{"scopes", []string{"read", "write"}, `Bearer realm="api", error="insufficient_scope", scope="read write"`},
		{"a scope with a quote", []string{"a\"b"}, `Bearer realm="api", error="insufficient_scope"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { guard.Forbid(w, r, c.scopes...) })
			testkit.WantAnswer(t, testkit.Serve(handler, testkit.Request("GET", "/")), 403, c.challenge)
		})
	}
}

// TestNewGuardRefuses names what is wrong with an argument or an option.
func TestNewGuardRefuses(t *testing.T) {
	t.Parallel()
	validator := newValidator(t, revoketest.NewMemory())
	for _, c := range []struct {
		name      string
		validator revokehttp.Validator
		opts      []revokehttp.Option
		want      string
	}{
		{"no validator", nil, nil, "NewGuard: validator is nil"},
		{"a nil *revoke.Validator", (*revoke.Validator)(nil), nil, "validator is nil"},
		{"nil option", validator, []revokehttp.Option{nil}, "NewGuard: an option is nil"},
		{"quote in the realm", validator, []revokehttp.Option{revokehttp.WithRealm("a\"b")}, "realm"},
		{"retry after 0", validator, []revokehttp.Option{revokehttp.WithRetryAfter(0)}, "retry after 0s"},
		{"nil error handler", validator, []revokehttp.Option{revokehttp.WithErrorHandler(nil)}, "handler is nil"},
		{"nil report", validator, []revokehttp.Option{revokehttp.WithReport(nil)}, "report is nil"},
		{"cookie without a name", validator, []revokehttp.Option{revokehttp.WithCookie("", "/")}, "is empty"},
		{"relative path of a cookie", validator, []revokehttp.Option{revokehttp.WithCookie("a", "b")}, "not begin with /"},
		{"space in the name of a cookie", validator, []revokehttp.Option{revokehttp.WithCookie("a b", "/")}, "invalid"},
		{"SameSite without a cookie", validator, []revokehttp.Option{revokehttp.WithSameSite(http.SameSiteLaxMode)}, "needs WithCookie"},
		{
			"default SameSite", validator,
			[]revokehttp.Option{revokehttp.WithCookie("a", "/"), revokehttp.WithSameSite(http.SameSiteDefaultMode)}, "neither Lax",
		},
		{"Partitioned without a cookie", validator, []revokehttp.Option{revokehttp.WithPartitioned()}, "needs WithCookie"},
		{"sign-in page of another site", validator, []revokehttp.Option{revokehttp.WithSignInPage("//evil.example")}, "empty segment"},
		{"sign-in page with the parameter", validator, []revokehttp.Option{revokehttp.WithSignInPage("/in?return_to=x")}, "return_to already"},
		{"origin without a scheme", validator, []revokehttp.Option{revokehttp.WithTrustedOrigin("app.example")}, "invalid origin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := revokehttp.NewGuard(c.validator, c.opts...); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("NewGuard = %v, want %q", err, c.want)
			}
		})
	}
}

// TestOptionsBelongToOneConstructor gives each option to every constructor.
func TestOptionsBelongToOneConstructor(t *testing.T) {
	t.Parallel()
	s := newService(t)
	constructors := map[string]func(revokehttp.Option) error{
		"NewGuard": func(o revokehttp.Option) error {
			_, err := revokehttp.NewGuard(newValidator(t, s.store), o)
			return err
		},
		"ForwardAuth": func(o revokehttp.Option) error { _, err := s.guard.ForwardAuth("X-A", "X-B", o); return err },
		"NewRefresh": func(o revokehttp.Option) error {
			_, err := revokehttp.NewRefresh(&fakeSessions{}, s.guard, o)
			return err
		},
		"NewWatcher": func(o revokehttp.Option) error { _, err := revokehttp.NewWatcher(s.store, o); return err },
	}
	for _, c := range []struct {
		name, of string
		option   revokehttp.Option
	}{
		{"WithRealm", "NewGuard", revokehttp.WithRealm("a")},
		{"WithRetryAfter", "NewGuard", revokehttp.WithRetryAfter(time.Second)},
		{"WithReport", "NewGuard", revokehttp.WithReport(func(*http.Request, error) {})},
		{"WithPreflight", "NewGuard", revokehttp.WithPreflight()},
		{"WithErrorHandler", "NewGuard", revokehttp.WithErrorHandler(func(http.ResponseWriter, *http.Request, error) {})},
		{"WithCookie", "NewGuard", revokehttp.WithCookie("a", "/")},
		{"WithSameSite", "NewGuard", revokehttp.WithSameSite(http.SameSiteLaxMode)},
		{"WithPartitioned", "NewGuard", revokehttp.WithPartitioned()},
		{"WithTrustedOrigin", "NewGuard", revokehttp.WithTrustedOrigin("https://a.example")},
		{"WithSignInPage", "NewGuard", revokehttp.WithSignInPage("/in")},
		{"WithIdentityHeaders", "ForwardAuth", revokehttp.WithIdentityHeaders("a", "b", "c")},
		{"WithRefreshCookie", "NewRefresh", revokehttp.WithRefreshCookie("a", "/")},
		{"WithDevice", "NewRefresh", revokehttp.WithDevice(revokehttp.DeviceOf)},
		{"WithWatchInterval", "NewWatcher", revokehttp.WithWatchInterval(time.Second)},
		{"WithWatchGrace", "NewWatcher", revokehttp.WithWatchGrace(time.Second)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for constructor, construct := range constructors {
				want := "revokehttp: " + constructor + ": " + c.name + " is an option of " + c.of
				err := construct(c.option)
				if refused := err != nil && err.Error() == want; refused == (constructor == c.of) {
					t.Errorf("%s = %v", constructor, err)
				}
			}
		})
	}
}
