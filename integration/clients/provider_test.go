package clients

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/revokehttp"
)

func TestMain(m *testing.M) { pgserver.Main(m) }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// claims are those of an access token (RFC 9068).
type claims struct {
	revoke.Claims
	ClientID string `json:"client_id"`
	Scope    string `json:"scope,omitempty"`
}

func clientOf(c *claims) string { return c.ClientID }

// secrets of the clients by their ids, with everything that the two ways of writing Basic treat in different ways.
var secrets = map[string]string{
	"plain":  "a-secret-of-letters",
	"signs":  "a:b%2Bc+d%e",
	"spaced": "one two  three+four%20five",
	"other":  "of the client whose tokens are not theirs",
}

func authenticate(_ context.Context, id, secret string) (revokehttp.Client, error) {
	want, known := secrets[id]
	if !known || subtle.ConstantTimeCompare([]byte(secret), []byte(want)) != 1 {
		return revokehttp.Client{}, revokehttp.ErrInvalidClient
	}
	return revokehttp.Client{ID: id}, nil
}

// provider is an authorization server on loopback that has nothing but what these clients need: metadata, keys, the endpoints for
// revocation and introspection, and an API that asks for a token.
type provider struct {
	*httptest.Server
	store *revoke.Postgres
	key   *ecdsa.PrivateKey
}

const keyID = "one"

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

// jwk writes a key as RFC 7517 wants it.
func jwk(t *testing.T, key *ecdsa.PrivateKey, private bool) map[string]string {
	t.Helper()
	point, err := key.PublicKey.Bytes()
	must(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	members := map[string]string{
		"kty": "EC", "crv": "P-256", "kid": keyID, "alg": "ES256", "use": "sig", "x": encode(point[1:33]), "y": encode(point[33:]),
	}
	if private {
		d, err := key.Bytes()
		must(t, err)
		members["d"] = encode(d)
	}
	return members
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	store, err := revoke.NewPostgres(pgserver.Pool(t, pgserver.Database(t)))
	must(t, err)
	p := &provider{store: store, key: newKey(t)}
	mux := http.NewServeMux()
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)

	keyfunc := func(*jwt.Token) (any, error) { return &p.key.PublicKey, nil }
	validator, err := revoke.NewValidator[claims](store, p.URL, keyfunc, []string{"ES256"}, revoke.WithTokenType("at+jwt"))
	must(t, err)
	guard, err := revokehttp.New(validator)
	must(t, err)
	kinds := []revokehttp.Tokens{revokehttp.AccessTokens(validator, clientOf)}
	revocation, err := revokehttp.NewRevocation(store, authenticate, kinds)
	must(t, err)
	introspection, err := revokehttp.NewIntrospection(authenticate, kinds)
	must(t, err)

	mux.Handle("/revoke", revocation)
	mux.Handle("/introspect", introspection)
	mux.Handle("/userinfo", guard.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := revokehttp.Token(r.Context())
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
	mux.Handle("/jwks", document(map[string]any{"keys": []any{jwk(t, p.key, false)}}))
	return p
}

func document(body map[string]any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(body)
	})
}

// mint signs an access token of ada's for a client.
func (p *provider) mint(t *testing.T, client string) string {
	t.Helper()
	now := time.Now()
	return sign(t, p.key, "at+jwt", claims{
		Claims: revoke.Claims{RegisteredClaims: jwt.RegisteredClaims{
			Issuer: p.URL, Subject: "ada", ID: rand.Text(), Audience: []string{"api"},
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Hour)),
		}},
		ClientID: client, Scope: "read write",
	})
}

func (p *provider) mintSome(t *testing.T, client string, n int) (tokens []string) {
	t.Helper()
	for range n {
		tokens = append(tokens, p.mint(t, client))
	}
	return tokens
}

func sign(t *testing.T, key *ecdsa.PrivateKey, typ string, c jwt.Claims) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, c)
	token.Header["typ"], token.Header["kid"] = typ, keyID
	text, err := token.SignedString(key)
	must(t, err)
	return text
}

// call presents a token to the API.
func (p *provider) call(t *testing.T, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/userinfo", nil)
	must(t, err)
	r.Header.Set("Authorization", fmt.Sprint("Bearer ", token))
	response, err := p.Client().Do(r)
	must(t, err)
	must(t, response.Body.Close())
	return response.StatusCode
}
