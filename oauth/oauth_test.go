package oauth_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/oauth"
	"github.com/pgrevoke/revoke/revoketest"
)

func TestMain(m *testing.M) { pgserver.Main(m) }

// The kinds of tokens of these tests, by the typ of their header.
const (
	accessType  = "at+jwt"
	refreshType = "rt+jwt"
	idType      = "id+jwt"
)

// claims returns the claims of a token of ada that was issued to the client "web", with
// changes. A claim that is changed to nil is left out.
func claims(id string, changes jwt.MapClaims) jwt.MapClaims {
	now := time.Now()
	c := jwt.MapClaims{
		"iss": testkit.Issuer, "sub": "ada", "jti": id, "sid": "session-" + id, "client_id": "web",
		"iat": now.Add(-time.Hour).Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, value any) bool { return value == nil })
	return c
}

// sign signs a token of a kind.
func sign(tb testing.TB, typ string, c jwt.MapClaims) string {
	tb.Helper()
	return signPayload(tb, typ, jsonOf(tb, c))
}

func jsonOf(tb testing.TB, v any) string {
	tb.Helper()
	return string(testkit.Value(json.Marshal(v))(tb))
}

// signPayload signs a token with a payload that is written by hand.
func signPayload(tb testing.TB, typ, payload string) string {
	tb.Helper()
	return testkit.SignRaw(tb, "ES256", `{"alg":"ES256","typ":"`+typ+`"}`, payload)
}

func validatorOf(tb testing.TB, checker revoke.Checker, typ string, opts ...revoke.ValidatorOption) *revoke.Validator {
	tb.Helper()
	return testkit.Value(revoke.NewValidator(checker, testkit.Issuer, revoke.AnyAudience(), testkit.Keyfunc("ES256"), []string{"ES256"},
		append(opts, revoke.WithTokenType(typ))...))(tb)
}

// kindsOver returns access and refresh tokens, judged by the checker. They may be bound to keys.
func kindsOver(tb testing.TB, checker revoke.Checker, opts ...revoke.ValidatorOption) []oauth.Tokens {
	tb.Helper()
	opts = append(slices.Clone(opts), revoke.WithBoundTokens())
	return []oauth.Tokens{
		oauth.AccessTokens(validatorOf(tb, checker, accessType, opts...)),
		oauth.RefreshTokens(validatorOf(tb, checker, refreshType, opts...)),
	}
}

// secrets are the secrets of the clients of these tests. "spa" is public.
var secrets = map[string]string{
	"web": "secret-of-web", "other": "secret-of-other", "api": "secret-of-api", "spa": "",
	"colon": "a:secret:with:colons", "percent": "a%20secret%zz", "plus": "a+secret+plus", "space": "a secret space",
	"pct41": "a%41b", "an:id": "secret-of-an-id", "an id+%": "secret-of-odd",
}

var authenticate = oauth.AuthenticateClient(authenticateSecret)

// authenticateSecret knows the clients in secrets.
func authenticateSecret(_ context.Context, id, secret string) (oauth.Client, error) {
	want, known := secrets[id]
	if !known || secret != want {
		return oauth.Client{}, fmt.Errorf("%w: %q is unknown, or its secret is another", oauth.ErrInvalidClient, id)
	}
	return oauth.Client{ID: id, Public: want == ""}, nil
}

// basic returns the value of an Authorization header for a pair as it is.
func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

// encoded returns the value of an Authorization header for a pair encoded as RFC 6749 §2.3.1
// requires.
func encoded(id, secret string) string { return basic(url.QueryEscape(id), url.QueryEscape(secret)) }

// by returns the Authorization header of a client.
func by(client string) string { return encoded(client, secrets[client]) }

// post returns a request with a form. pairs has names and values in turn.
func post(authorization string, pairs ...string) *http.Request {
	var body []string
	for i := 0; i < len(pairs); i += 2 {
		body = append(body, url.QueryEscape(pairs[i])+"="+url.QueryEscape(pairs[i+1]))
	}
	return postBody(authorization, strings.Join(body, "&"))
}

func postBody(authorization, body string) *http.Request {
	r := testkit.Post("application/x-www-form-urlencoded", body)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

// byWeb returns a request of the client "web" about a token.
func byWeb(token string, pairs ...string) *http.Request {
	return post(by("web"), append([]string{"token", token}, pairs...)...)
}

// reports collects what an endpoint reports.
type reports []error

func (r *reports) option() oauth.Option {
	return oauth.WithReport(func(_ *http.Request, err error) { *r = append(*r, err) })
}

// wantLast fails the test unless the last report matches the error.
func (r *reports) wantLast(tb testing.TB, want error) {
	tb.Helper()
	if len(*r) == 0 || !errors.Is((*r)[len(*r)-1], want) {
		tb.Errorf("reported %v, want %v last", *r, want)
	}
}

// server is a revocation endpoint over a store.
type server struct {
	testing.TB
	store      *revoketest.Faulty
	revocation http.Handler
	reports    reports
}

func newServer(tb testing.TB, opts ...oauth.Option) *server {
	tb.Helper()
	s := &server{TB: tb, store: revoketest.NewFaulty(revoketest.NewMemory())}
	s.revocation = testkit.Value(oauth.NewRevocation(s.store, authenticate, kindsOver(tb, s.store), append(opts, s.reports.option())...))(tb)
	return s
}

// accepts reports whether the store accepts a token with these claims.
func (s *server) accepts(c jwt.MapClaims) bool {
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

// records returns the revocations of the token claims(id, nil).
func (s *server) records(id string) []revoke.Revocation {
	s.Helper()
	return testkit.Value(s.store.Lookup(context.Background(), revoke.Token{
		Issuer: testkit.Issuer, ID: id, Subject: "ada", SessionID: "session-" + id,
		IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	}))(s)
}

// wantRevoked fails the test unless the answer is 200 without a body, and not to be stored.
func wantRevoked(tb testing.TB, w *httptest.ResponseRecorder) {
	tb.Helper()
	if w.Code != http.StatusOK || w.Body.Len() != 0 || w.Header().Get("Cache-Control") != "no-store" {
		tb.Errorf("%d %s with %v, want 200 and no body", w.Code, w.Body, w.Header())
	}
}

// wantFailure fails the test unless the answer is an error in the form of RFC 6749 §5.2.
func wantFailure(tb testing.TB, w *httptest.ResponseRecorder, status int, code string) {
	tb.Helper()
	challenge := ""
	if status == http.StatusUnauthorized {
		challenge = `Basic realm="api"`
	}
	testkit.WantAnswer(tb, w, status, challenge)
	if !strings.Contains(w.Body.String(), `"error":"`+code+`"`) || w.Header().Get("Content-Type") != "application/json" {
		tb.Errorf("%s of %q, want the error %s", w.Body, w.Header().Get("Content-Type"), code)
	}
	if after := w.Header().Get("Retry-After"); (after != "") != (status == http.StatusServiceUnavailable) {
		tb.Errorf("%d with Retry-After %q", status, after)
	}
}
