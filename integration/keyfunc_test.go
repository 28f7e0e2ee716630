package integration

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/revoketest"
)

// provider is an identity provider with one key, "one", and its JWKS on loopback.
type provider struct {
	*httptest.Server
	key  *ecdsa.PrivateKey
	down atomic.Bool
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	point, err := key.PublicKey.Bytes()
	must(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	p := &provider{key: key}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if p.down.Load() {
			http.Error(w, "out of order", http.StatusBadGateway)
			return
		}
		_, _ = fmt.Fprintf(w, `{"keys":[{"kty":"EC","crv":"P-256","kid":"one","alg":"ES256","use":"sig","x":%q,"y":%q}]}`,
			encode(point[1:33]), encode(point[33:]))
	}))
	t.Cleanup(p.Close)
	return p
}

// sign returns a token that says it was signed with the key kid.
func (p *provider) sign(t *testing.T, kid string) string {
	t.Helper()
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.RegisteredClaims{
		Issuer: issuer, Subject: "ada", ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Minute)),
	})
	token.Header["kid"] = kid
	signed, err := token.SignedString(p.key)
	must(t, err)
	return signed
}

// TestKeyfunc takes the keys of an identity provider from its JWKS.
func TestKeyfunc(t *testing.T) {
	t.Parallel()
	provider := newProvider(t)
	store, err := revoke.NewPostgres(pgserver.Pool(t, pgserver.Database(t)))
	must(t, err)

	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop) // ends keyfunc's refresh
	keys, err := keyfunc.NewDefaultCtx(ctx, []string{provider.URL})
	must(t, err)
	validator, err := revoke.NewValidator[revoke.Claims](store, issuer, keys.Keyfunc, []string{"ES256"})
	must(t, err)

	signed := provider.sign(t, "one")
	token, _, err := validator.Validate(ctx, signed)
	if err != nil {
		t.Errorf("a token of the provider: %v", err)
	}
	must(t, store.RevokeToken(ctx, token))
	if _, _, err := validator.Validate(ctx, signed); !errors.Is(err, revoke.ErrRevoked) {
		t.Errorf("the token after its revocation: %v", err)
	}
	for range 2 { // the first time keyfunc asks the provider again, then it waits some minutes before it does
		if _, _, err := validator.Validate(ctx, provider.sign(t, "two")); !errors.Is(err, revoke.ErrInvalidToken) {
			t.Errorf("a token with a key that nobody knows: %v", err)
		}
	}
	provider.down.Store(true)
	if _, _, err := validator.Validate(ctx, provider.sign(t, "one")); err != nil {
		t.Errorf("a token with a key that was read before the provider went down: %v", err)
	}
}

// TestKeyfuncWhileTheProviderIsDown tells "no such key" from "no answer". keyfunc does not: it logs that the provider is
// down and finds no key, so that a token with a key that was not read before is an invalid one. That is safe, but the
// client is told to sign in again, where it should be told to come back later.
func TestKeyfuncWhileTheProviderIsDown(t *testing.T) {
	t.Parallel()
	provider := newProvider(t)
	provider.down.Store(true)
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)

	watched := &watchedTransport{RoundTripper: provider.Client().Transport}
	keys, err := keyfunc.NewDefaultOverrideCtx(ctx, []string{provider.URL}, keyfunc.Override{
		Client:            &http.Client{Transport: watched},
		RefreshUnknownKID: rate.NewLimiter(rate.Inf, 1), // an app has a limit here
		RefreshErrorHandlerFunc: func(string) func(context.Context, error) {
			return func(context.Context, error) {} // an app logs it
		},
	})
	must(t, err)
	orUnavailable := func(token *jwt.Token) (any, error) {
		key, err := keys.Keyfunc(token)
		if err != nil && watched.failed.Load() {
			return nil, fmt.Errorf("%w: %w", revoke.ErrUnavailable, err)
		}
		return key, err
	}
	plain, err := revoke.NewValidator[revoke.Claims](revoketest.NewMemory(), issuer, keys.Keyfunc, []string{"ES256"})
	must(t, err)
	told, err := revoke.NewValidator[revoke.Claims](revoketest.NewMemory(), issuer, orUnavailable, []string{"ES256"})
	must(t, err)

	if _, _, err := plain.Validate(ctx, provider.sign(t, "one")); !errors.Is(err, revoke.ErrInvalidToken) {
		t.Errorf("keyfunc alone, while the provider is down: %v", err)
	}
	_, _, err = told.Validate(ctx, provider.sign(t, "one"))
	if !errors.Is(err, revoke.ErrUnavailable) || errors.Is(err, revoke.ErrInvalidToken) {
		t.Errorf("while the provider is down: %v", err)
	}
	provider.down.Store(false)
	if _, _, err := told.Validate(ctx, provider.sign(t, "one")); err != nil {
		t.Errorf("when the provider is back: %v", err)
	}
	if _, _, err := told.Validate(ctx, provider.sign(t, "two")); !errors.Is(err, revoke.ErrInvalidToken) {
		t.Errorf("a token with a key that nobody knows: %v", err)
	}
}

// watchedTransport knows whether its last request failed.
type watchedTransport struct {
	http.RoundTripper
	failed atomic.Bool
}

func (w *watchedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := w.RoundTripper.RoundTrip(r)
	w.failed.Store(err != nil || response.StatusCode != http.StatusOK)
	return response, err
}
