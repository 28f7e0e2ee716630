package integration

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/jwks"
	"github.com/pgrevoke/revoke/revoketest"
)

// provider is an identity provider on loopback. Its JWKS has one key, "one", which is testkit's.
type provider struct {
	*httptest.Server
	down atomic.Bool
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	point := testkit.Value(testkit.TestKeys().EC.PublicKey.Bytes())(t)
	encode := base64.RawURLEncoding.EncodeToString
	p := &provider{}
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

// sign returns a token of the provider, with this kid in its header.
func sign(t *testing.T, kid string) string {
	t.Helper()
	user := revoke.User{Issuer: testkit.Issuer, Subject: "ada"}
	claims := testkit.Value(revoke.NewClaims(user, time.Minute, revoke.AudienceOf("api"), revoke.Epochs{}))(t)
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["kid"] = kid
	return testkit.Value(token.SignedString(testkit.TestKeys().EC))(t)
}

// newValidator returns a validator of the provider's tokens.
func newValidator(t *testing.T, checker revoke.Checker, keyfunc jwt.Keyfunc) *revoke.Validator {
	t.Helper()
	return testkit.Value(revoke.NewValidator(checker, testkit.Issuer, revoke.AudienceOf("api"), keyfunc, []string{"ES256"}))(t)
}

// TestKeyfunc verifies tokens by the keys of a provider's JWKS, also while the provider is down.
func TestKeyfunc(t *testing.T) {
	t.Parallel()
	provider := newProvider(t)
	store, _ := testkit.Store(t)
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop) // ends keyfunc's refresh
	keys := testkit.Value(keyfunc.NewDefaultCtx(ctx, []string{provider.URL}))(t)
	validator := newValidator(t, store, keys.Keyfunc)

	signed := sign(t, "one")
	verified := testkit.Value(validator.Validate(ctx, signed))(t)
	testkit.Must(t, store.RevokeToken(ctx, verified.Token))
	_, err := validator.Validate(ctx, signed)
	testkit.WantError(t, err, revoke.ErrRevoked)
	// At the first unknown kid keyfunc reads the JWKS again, and then not for some minutes.
	for range 2 {
		_, err := validator.Validate(ctx, sign(t, "two"))
		testkit.WantError(t, err, revoke.ErrInvalidToken)
	}
	provider.down.Store(true)
	if _, err := validator.Validate(ctx, sign(t, "one")); err != nil {
		t.Errorf("a key that was read before the provider went down: %v", err)
	}
}

// TestKeyfuncWhileTheProviderIsDown tells an unknown key from a provider that does not answer.
// keyfunc alone does not: while the provider is down it finds no key, and so a token with a key
// that was not read before is ErrInvalidToken. That is safe, but a client then signs in again,
// although a repeat a little later would do. Package jwks tells them apart.
func TestKeyfuncWhileTheProviderIsDown(t *testing.T) {
	t.Parallel()
	provider := newProvider(t)
	provider.down.Store(true)
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)

	keys := testkit.Value(keyfunc.NewDefaultOverrideCtx(ctx, []string{provider.URL}, keyfunc.Override{
		RefreshErrorHandlerFunc: func(string) func(context.Context, error) {
			return func(context.Context, error) {} // an app logs it
		},
	}))(t)
	adapted := testkit.Value(jwks.New(ctx, provider.URL, jwks.WithUnknownKeyInterval(1)))(t)
	plain := newValidator(t, revoketest.NewMemory(), keys.Keyfunc)
	telling := newValidator(t, revoketest.NewMemory(), adapted.Keyfunc)

	_, err := plain.Validate(ctx, sign(t, "one"))
	testkit.WantError(t, err, revoke.ErrInvalidToken)
	_, err = telling.Validate(ctx, sign(t, "one"))
	testkit.WantError(t, err, revoke.ErrUnavailable)
	provider.down.Store(false)
	if _, err := telling.Validate(ctx, sign(t, "one")); err != nil {
		t.Errorf("after the outage: %v", err)
	}
	_, err = telling.Validate(ctx, sign(t, "two"))
	testkit.WantError(t, err, revoke.ErrInvalidToken)
}
