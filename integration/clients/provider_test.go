package clients

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/oauth"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/session"
)

func TestMain(m *testing.M) { pgserver.Main(m) }

// claims are those of an access token (RFC 9068).
type claims struct {
	revoke.Claims
	ClientID string `json:"client_id"`
	Scope    string `json:"scope,omitempty"`
}

// registered is a client with its secret.
type registered struct{ id, secret string }

// The clients. Their secrets have all characters that clients encode in different ways in Basic.
var (
	plain   = registered{"plain", "a-secret-of-letters"}
	signs   = registered{"signs", "a:b%2Bc+d%e"}
	spaced  = registered{"spaced", "one two  three+four%20five"}
	foreign = registered{"foreign", "the secret of a client that calls no endpoint"}
)

func authenticate(_ context.Context, id, secret string) (oauth.Client, error) {
	for _, client := range []registered{plain, signs, spaced, foreign} {
		if client.id == id && subtle.ConstantTimeCompare([]byte(secret), []byte(client.secret)) == 1 {
			return oauth.Client{ID: id}, nil
		}
	}
	return oauth.Client{}, oauth.ErrInvalidClient
}

// provider is an authorization server on loopback, with metadata, keys, the endpoints for
// refreshes, revocation and introspection, and an API that requires a token.
type provider struct {
	*httptest.Server
	pool     *pgxpool.Pool
	store    *revoke.Postgres
	sessions *session.Sessions
}

const keyID = "one"

// jwk writes testkit's key as a JWK (RFC 7517).
func jwk(t *testing.T, private bool) map[string]string {
	t.Helper()
	key := testkit.TestKeys().EC
	point := testkit.Value(key.PublicKey.Bytes())(t)
	encode := base64.RawURLEncoding.EncodeToString
	members := map[string]string{
		"kty": "EC", "crv": "P-256", "kid": keyID, "alg": "ES256", "use": "sig", "x": encode(point[1:33]), "y": encode(point[33:]),
	}
	if private {
		members["d"] = encode(testkit.Value(key.Bytes())(t))
	}
	return members
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	store, pool := testkit.Store(t)
	mux := http.NewServeMux()
	p := &provider{Server: httptest.NewServer(mux), pool: pool, store: store}
	t.Cleanup(p.Close)
	keys := session.StaticKeys(session.Key{ID: keyID, Method: jwt.SigningMethodES256, Private: testkit.TestKeys().EC})
	p.sessions = testkit.Value(session.New(store, p.URL, revoke.AudienceOf("api"), keys,
		session.WithClaims(func(context.Context, session.Grant) (map[string]any, error) {
			return map[string]any{"scope": "read write"}, nil
		})))(t)

	validator := testkit.Value(revoke.NewValidator(store, p.URL, revoke.AudienceOf("api"), testkit.Keyfunc("ES256"), []string{"ES256"},
		revoke.WithTokenType("at+jwt")))(t)
	guard := testkit.Value(revokehttp.NewGuard(validator))(t)
	kinds := []oauth.Tokens{oauth.AccessTokens(validator), oauth.RefreshTokens(testkit.Value(p.sessions.NewRefreshValidator(store))(t))}
	revocation := testkit.Value(oauth.NewRevocation(store, oauth.AuthenticateClient(authenticate), kinds))(t)
	introspection := testkit.Value(oauth.NewIntrospection(oauth.AuthenticateClient(authenticate), kinds))(t)

	var lost atomic.Bool
	token := testkit.Value(oauth.NewToken(p.sessions, oauth.AuthenticateClient(authenticate)))(t)
	mux.Handle("/token", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lost.Swap(false) { // the answer is lost, and the refresh is not
			token.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		token.ServeHTTP(w, r)
	}))
	mux.HandleFunc("/lose", func(http.ResponseWriter, *http.Request) { lost.Store(true) })
	mux.HandleFunc("/age", func(http.ResponseWriter, *http.Request) { p.age(t) })
	mux.Handle("/revoke", revocation)
	mux.Handle("/introspect", introspection)
	mux.Handle("/userinfo", guard.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := revokehttp.TokenFromContext(r.Context())
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"sub": token.Subject})
	})))
	mux.Handle("/.well-known/openid-configuration", document(map[string]any{
		"issuer":                                        p.URL,
		"authorization_endpoint":                        p.URL + "/authorize",
		"token_endpoint":                                p.URL + "/token",
		"jwks_uri":                                      p.URL + "/jwks",
		"userinfo_endpoint":                             p.URL + "/userinfo",
		"revocation_endpoint":                           p.URL + "/revoke",
		"introspection_endpoint":                        p.URL + "/introspect",
		"response_types_supported":                      []string{"code"},
		"subject_types_supported":                       []string{"public"},
		"id_token_signing_alg_values_supported":         []string{"ES256"},
		"token_endpoint_auth_methods_supported":         []string{"client_secret_basic", "client_secret_post"},
		"revocation_endpoint_auth_methods_supported":    []string{"client_secret_basic", "client_secret_post"},
		"introspection_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
	}))
	mux.Handle("/jwks", document(map[string]any{"keys": []any{jwk(t, false)}}))
	return p
}

// start starts a session of ada for a client.
func (p *provider) start(t *testing.T, client registered) session.Tokens {
	t.Helper()
	user := p.sessions.User("ada")
	epochs := testkit.Value(p.store.Epochs(t.Context(), user))(t)
	return testkit.Value(p.sessions.Start(t.Context(), user, epochs, session.Device{Client: client.id}))(t)
}

// age ends the grace of each rotation.
func (p *provider) age(t *testing.T) {
	t.Helper()
	testkit.Exec(t, p.pool, "UPDATE revoke.sessions SET refreshed_at = refreshed_at - $1::text::interval", session.DefaultGrace.String())
}

func document(body map[string]any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(body)
	})
}

// mint signs an access token of the user ada for a client.
func (p *provider) mint(t *testing.T, client registered) string {
	t.Helper()
	user := revoke.User{Issuer: p.URL, Subject: "ada"}
	c := testkit.Value(revoke.NewClaims(user, time.Hour, revoke.AudienceOf("api"), revoke.Epochs{}))(t)
	return sign(t, "at+jwt", claims{Claims: c, ClientID: client.id, Scope: "read write"})
}

func (p *provider) mintSome(t *testing.T, client registered, n int) (tokens []string) {
	t.Helper()
	for range n {
		tokens = append(tokens, p.mint(t, client))
	}
	return tokens
}

func sign(t *testing.T, typ string, c jwt.Claims) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, c)
	token.Header["typ"], token.Header["kid"] = typ, keyID
	return testkit.Value(token.SignedString(testkit.TestKeys().EC))(t)
}

// call presents a token to the API.
func (p *provider) call(t *testing.T, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/userinfo", nil)
	testkit.Must(t, err)
	r.Header.Set("Authorization", fmt.Sprint("Bearer ", token))
	response, err := p.Client().Do(r)
	testkit.Must(t, err)
	testkit.Must(t, response.Body.Close())
	return response.StatusCode
}
