package jwks_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/jwks"
	"github.com/pgrevoke/revoke/session"
)

// published is what a handler publishes in these tests.
type published func(ctx context.Context) ([]session.PublicKey, error)

func (p published) PublicKeys(ctx context.Context) ([]session.PublicKey, error) { return p(ctx) }

func handler(t *testing.T, keys jwks.PublicKeys, opts ...jwks.HandlerOption) http.Handler {
	t.Helper()
	return testkit.Value(jwks.Handler(keys, opts...))(t)
}

// set decodes a JWKS.
func set(t *testing.T, w *httptest.ResponseRecorder) []map[string]string {
	t.Helper()
	var answer struct {
		Keys []map[string]string `json:"keys"`
	}
	testkit.Must(t, json.Unmarshal(w.Body.Bytes(), &answer))
	if w.Code != http.StatusOK || answer.Keys == nil {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return answer.Keys
}

// sessionKeys are keys of package session that a test changes.
type sessionKeys struct{ atomic.Pointer[[]session.Key] }

func (k *sessionKeys) set(keys ...session.Key) { k.Store(&keys) }

func (k *sessionKeys) get(context.Context) ([]session.Key, error) {
	if keys := k.Load(); keys != nil {
		return *keys, nil
	}
	return nil, errors.New("the KMS is down")
}

func newES256(t *testing.T, id string) session.Key {
	t.Helper()
	private := testkit.Value(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	return session.Key{ID: id, Method: jwt.SigningMethodES256, Private: private}
}

// public is the public part of a key of newES256.
func public(key session.Key) any {
	private, _ := key.Private.(*ecdsa.PrivateKey)
	return private.Public()
}

// TestHandlerAndNew verifies the access tokens of a session by what the handler publishes, also
// after the key has changed.
func TestHandlerAndNew(t *testing.T) {
	t.Parallel()
	store, _ := testkit.Store(t)
	var keys sessionKeys
	first, second := newES256(t, "first"), newES256(t, "second")
	keys.set(first)
	sessions := testkit.Value(session.New(store, testkit.Issuer, revoke.AudienceOf("api"), keys.get))(t)
	server := httptest.NewServer(handler(t, sessions))
	t.Cleanup(server.Close)
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	fetched := testkit.Value(jwks.New(ctx, server.URL, always))(t)
	v := testkit.Value(revoke.NewValidator(store, testkit.Issuer, revoke.AudienceOf("api"), fetched.Keyfunc, []string{"ES256"},
		revoke.WithEpochClaim(), revoke.WithTokenType("at+jwt")))(t)
	user := sessions.User("ada")
	start := func() session.Tokens {
		epochs := testkit.Value(store.Epochs(t.Context(), user))(t)
		return testkit.Value(sessions.Start(t.Context(), user, epochs, session.Device{}))(t)
	}
	accepts := func(name string, tokens session.Tokens) {
		t.Helper()
		if verified, err := v.Validate(t.Context(), tokens.Access); err != nil || verified.Subject != "ada" {
			t.Errorf("%s: %v", name, err)
		}
	}

	before := start()
	accepts("the first key", before)
	keys.set(second, session.Key{ID: first.ID, Method: first.Method, Public: public(first)})
	after := testkit.Value(sessions.Refresh(t.Context(), before.Refresh, session.Device{}))(t)
	accepts("the second key", after)
	accepts("the first key, which only verifies now", before)
	keys.set(second)
	third := newES256(t, "third")
	keys.set(third, second)
	accepts("the third key", start()) // for which the keys are fetched
	_, err := v.Validate(t.Context(), before.Access)
	testkit.WantError(t, err, revoke.ErrInvalidToken) // its key is withdrawn
	testkit.Must(t, sessions.End(t.Context(), user, after.Session.ID))
	_, err = v.Validate(t.Context(), after.Access)
	testkit.WantError(t, err, revoke.ErrRevoked)
}

// TestHandlerPublishesPublicKeys compares the members of each kind of key with RFC 7518 §6.
func TestHandlerPublishesPublicKeys(t *testing.T) {
	t.Parallel()
	keys := testkit.TestKeys()
	signers := []session.Key{
		{ID: "es", Method: jwt.SigningMethodES256, Private: keys.EC},
		{ID: "ed", Method: jwt.SigningMethodEdDSA, Private: keys.Ed},
		{ID: "rs", Method: jwt.SigningMethodRS256, Private: keys.RSA},
		{ID: `"p"s/`, Method: jwt.SigningMethodPS256, Private: keys.RSA},
	}
	members := [][]string{{"x", "y", "crv"}, {"x", "crv"}, {"n", "e"}, {"n", "e"}}
	store, _ := testkit.Store(t)
	sessions := testkit.Value(session.New(store, testkit.Issuer, revoke.AudienceOf("api"), session.StaticKeys(signers...)))(t)
	h := handler(t, sessions)
	w := testkit.Serve(h, testkit.Request("GET", "/.well-known/jwks.json"))
	for name, want := range map[string]string{
		"Content-Type": "application/jwk-set+json", "Cache-Control": "public, max-age=300", "X-Content-Type-Options": "nosniff",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	got := set(t, w)
	if len(got) != len(signers) {
		t.Fatalf("%d keys", len(got))
	}
	for i, jwk := range got {
		want := append([]string{"kty", "kid", "alg", "use"}, members[i]...)
		if len(jwk) != len(want) || jwk["kid"] != signers[i].ID || jwk["alg"] != signers[i].Method.Alg() || jwk["use"] != "sig" {
			t.Errorf("key %d: %v", i, jwk)
		}
		for _, member := range want {
			if jwk[member] == "" {
				t.Errorf("key %d has no %s", i, member)
			}
		}
	}
	if w := testkit.Serve(h, testkit.Request("HEAD", "/")); w.Code != http.StatusOK {
		t.Errorf("HEAD: %d", w.Code)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		if w := testkit.Serve(h, testkit.Request(method, "/")); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d, Allow %q", method, w.Code, w.Header().Get("Allow"))
		}
	}
}

// TestHandlerPublishesNoSecret has secrets among the keys, once as the sessions have them, and then
// from a source that would publish them.
func TestHandlerPublishesNoSecret(t *testing.T) {
	t.Parallel()
	secret := []byte(strings.Repeat("secret! ", 8))
	store, _ := testkit.Store(t)
	sessions := testkit.Value(session.New(store, testkit.Issuer, revoke.AudienceOf("api"),
		session.StaticKeys(session.Key{ID: "hs", Method: jwt.SigningMethodHS256, Private: secret}), session.WithAlgorithms("HS256")))(t)
	w := testkit.Serve(handler(t, sessions), testkit.Request("GET", "/"))
	if keys := set(t, w); len(keys) != 0 {
		t.Errorf("published: %v", keys)
	}
	keys := testkit.TestKeys()
	for name, key := range map[string]any{
		"a secret": secret, "a private key of ECDSA": keys.EC, "a private key of RSA": keys.RSA, "a private key of Ed25519": keys.Ed, "nothing": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var reported error
			h := handler(t, published(func(context.Context) ([]session.PublicKey, error) {
				return []session.PublicKey{{ID: "ed", Algorithm: "EdDSA", Key: keys.Ed.Public()}, {ID: "odd", Algorithm: "ES256", Key: key}}, nil
			}), jwks.WithHandlerReport(func(_ *http.Request, err error) { reported = err }))
			wantUnavailable(t, testkit.Serve(h, testkit.Request("GET", "/")))
			if reported == nil || strings.Contains(reported.Error(), "secret!") {
				t.Errorf("reported: %v", reported)
			}
		})
	}
}

func wantUnavailable(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || w.Header().Get("Cache-Control") != "no-store" ||
		strings.Contains(w.Body.String(), "keys") {
		t.Errorf("%d, %v, %q", w.Code, w.Header(), w.Body)
	}
}

// TestHandlerWithoutKeys answers 503 while the keys cannot be had, and the keys after that.
func TestHandlerWithoutKeys(t *testing.T) {
	t.Parallel()
	store, _ := testkit.Store(t)
	var keys sessionKeys
	sessions := testkit.Value(session.New(store, testkit.Issuer, revoke.AudienceOf("api"), keys.get))(t)
	var reported error
	h := handler(t, sessions, jwks.WithHandlerReport(func(_ *http.Request, err error) { reported = err }))
	w := testkit.Serve(h, testkit.Request("GET", "/"))
	wantUnavailable(t, w)
	testkit.WantError(t, reported, revoke.ErrUnavailable)
	if strings.Contains(w.Body.String(), "KMS") {
		t.Errorf("the cause is told: %s", w.Body)
	}
	wantUnavailable(t, testkit.Serve(handler(t, sessions), testkit.Request("GET", "/")))
	keys.set(newES256(t, "one"))
	if got := set(t, testkit.Serve(h, testkit.Request("GET", "/"))); len(got) != 1 || got[0]["kid"] != "one" {
		t.Errorf("keys: %v", got)
	}
}

func TestHandlerArguments(t *testing.T) {
	t.Parallel()
	keys := published(func(context.Context) ([]session.PublicKey, error) { return nil, nil })
	for _, test := range []struct {
		name string
		keys jwks.PublicKeys
		opts []jwks.HandlerOption
	}{
		{"no keys", nil, nil},
		{"sessions that are nil", (*session.Sessions)(nil), nil},
		{"an option that is nil", keys, []jwks.HandlerOption{nil}},
		{"a report that is nil", keys, []jwks.HandlerOption{jwks.WithHandlerReport(nil)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if h, err := jwks.Handler(test.keys, test.opts...); err == nil || h != nil {
				t.Errorf("Handler = %v, %v", h, err)
			}
		})
	}
}
