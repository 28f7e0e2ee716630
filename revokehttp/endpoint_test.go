package revokehttp_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// The kinds of tokens of these tests, by the typ of their header.
const (
	accessType  = "at+jwt"
	refreshType = "rt+jwt"
	idType      = "id+jwt"
)

// appClaims are those of an app's tokens.
type appClaims struct {
	revoke.Claims
	ClientID string `json:"client_id"`
}

func clientOf(c *appClaims) string { return c.ClientID }

// claims are those of a token of ada's that was issued to the client "web", with changes; one that is nil is left out.
func claims(id string, changes jwt.MapClaims) jwt.MapClaims {
	now := time.Now()
	c := jwt.MapClaims{
		"iss": testIssuer, "sub": "ada", "jti": id, "sid": "session-" + id, "client_id": "web",
		"iat": now.Add(-time.Hour).Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, value any) bool { return value == nil })
	return c
}

// sign signs a token of a kind.
func sign(tb testing.TB, typ string, c jwt.MapClaims) string {
	tb.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, c)
	token.Header["typ"] = typ
	text, err := token.SignedString(testKey)
	must(tb, err)
	return text
}

func validatorOf(tb testing.TB, checker revoke.Checker, typ string, opts ...revoke.ValidatorOption) *revoke.Validator[appClaims] {
	tb.Helper()
	keyfunc := func(*jwt.Token) (any, error) { return testKey, nil }
	v, err := revoke.NewValidator[appClaims](checker, testIssuer, keyfunc, []string{"HS256"}, append(opts, revoke.WithTokenType(typ))...)
	must(tb, err)
	return v
}

// kindsOver are access and refresh tokens, judged by the checker.
func kindsOver(tb testing.TB, checker revoke.Checker, opts ...revoke.ValidatorOption) []revokehttp.Tokens {
	tb.Helper()
	return []revokehttp.Tokens{
		revokehttp.AccessTokens(validatorOf(tb, checker, accessType, opts...), clientOf),
		revokehttp.RefreshTokens(validatorOf(tb, checker, refreshType, opts...), clientOf),
	}
}

// testSecrets are the clients of these tests; "spa" is public.
var testSecrets = map[string]string{
	"web": "secret-of-web", "other": "secret-of-other", "api": "secret-of-api", "spa": "",
	"colon": "a:secret:with:colons", "percent": "a%20secret%zz", "plus": "a+secret+plus", "space": "a secret space",
	"pct41": "a%41b", "an:id": "secret-of-an-id", "an id+%": "secret-of-odd",
}

// authenticate is a callback over testSecrets.
func authenticate(_ context.Context, id, secret string) (revokehttp.Client, error) {
	want, known := testSecrets[id]
	if !known || secret != want {
		return revokehttp.Client{}, fmt.Errorf("%w: %q is unknown, or its secret is another", revokehttp.ErrInvalidClient, id)
	}
	return revokehttp.Client{ID: id, Public: want == ""}, nil
}

// basic is the value of an Authorization header, of a pair as it is.
func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

// encoded is the same for a pair that is encoded as RFC 6749 §2.3.1 wants it.
func encoded(id, secret string) string { return basic(url.QueryEscape(id), url.QueryEscape(secret)) }

// post is a request with a form, of name and value in turn.
func post(authorization string, pairs ...string) *http.Request {
	var body []string
	for i := 0; i < len(pairs); i += 2 {
		body = append(body, url.QueryEscape(pairs[i])+"="+url.QueryEscape(pairs[i+1]))
	}
	return postBody(authorization, strings.Join(body, "&"))
}

func postBody(authorization, body string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

// byWeb is a request of the client "web" about a token.
func byWeb(token string, pairs ...string) *http.Request {
	return post(encoded("web", testSecrets["web"]), append([]string{"token", token}, pairs...)...)
}

// reports collects what endpoints report.
type reports []error

func (r *reports) option() revokehttp.CommonOption {
	return revokehttp.WithReport(func(_ *http.Request, err error) { *r = append(*r, err) })
}

// last expects the last report to match the sentinel.
func (r *reports) last(tb testing.TB, want error) {
	tb.Helper()
	if len(*r) == 0 || !errors.Is((*r)[len(*r)-1], want) {
		tb.Errorf("reported %v, want %v last", *r, want)
	}
}

// server has a revocation endpoint over a store.
type server struct {
	testing.TB
	store      *revoketest.Faulty
	revocation http.Handler
	reports    reports
}

func newServer(tb testing.TB, opts ...revokehttp.RevocationOption) *server {
	tb.Helper()
	s := &server{TB: tb, store: revoketest.NewFaulty(revoketest.NewMemory())}
	var err error
	s.revocation, err = revokehttp.NewRevocation(s.store, authenticate, kindsOver(tb, s.store), append(opts, s.reports.option())...)
	must(tb, err)
	return s
}

// alive reports whether the store accepts a token with these claims.
func (s *server) alive(c jwt.MapClaims) bool {
	s.Helper()
	text := func(name string) string { value, _ := c[name].(string); return value }
	err := s.store.Check(context.Background(), revoke.Token{
		Issuer: text("iss"), ID: text("jti"), Subject: text("sub"), SessionID: text("sid"),
		IssuedAt: time.Now().Add(-time.Minute), ExpiresAt: time.Now().Add(time.Minute),
	})
	if err != nil && !errors.Is(err, revoke.ErrRevoked) {
		s.Fatal(err)
	}
	return err == nil
}

// records are what makes a token of claims(id, nil) dead.
func (s *server) records(id string) []revoke.Revocation {
	s.Helper()
	records, err := s.store.Lookup(context.Background(), revoke.Token{
		Issuer: testIssuer, ID: id, Subject: "ada", SessionID: "session-" + id,
		IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	})
	must(s, err)
	return records
}

// revoked expects the answer that all is done: 200, nothing in it, and nothing to keep.
func revoked(tb testing.TB, w *httptest.ResponseRecorder) {
	tb.Helper()
	if w.Code != http.StatusOK || w.Body.Len() != 0 || w.Header().Get("Cache-Control") != "no-store" {
		tb.Errorf("%d %s with %v, want 200 and nothing", w.Code, w.Body, w.Header())
	}
}

// fails expects an error in the form of RFC 6749 §5.2.
func fails(tb testing.TB, w *httptest.ResponseRecorder, status int, code string) {
	tb.Helper()
	challenge := ""
	if status == http.StatusUnauthorized {
		challenge = `Basic realm="api"`
	}
	wants(tb, w, status, challenge)
	if !strings.Contains(w.Body.String(), `"error":"`+code+`"`) || w.Header().Get("Content-Type") != "application/json" {
		tb.Errorf("%s of %q, want the error %s", w.Body, w.Header().Get("Content-Type"), code)
	}
	if after := w.Header().Get("Retry-After"); (after != "") != (status == http.StatusServiceUnavailable) {
		tb.Errorf("%d with Retry-After %q", status, after)
	}
}
