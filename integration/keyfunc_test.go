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
	"testing"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revoketest"
)

// TestKeyfunc takes the keys of an identity provider from its JWKS.
func TestKeyfunc(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	point, err := key.PublicKey.Bytes()
	must(t, err)
	encode := base64.RawURLEncoding.EncodeToString
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"keys":[{"kty":"EC","crv":"P-256","kid":"one","alg":"ES256","use":"sig","x":%q,"y":%q}]}`,
			encode(point[1:33]), encode(point[33:]))
	}))
	t.Cleanup(provider.Close)
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop) // ends keyfunc's refresh
	keys, err := keyfunc.NewDefaultCtx(ctx, []string{provider.URL})
	must(t, err)

	validator, err := revoke.NewValidator[revoke.Claims](revoketest.NewMemory(), issuer, keys.Keyfunc, []string{"ES256"})
	must(t, err)

	now := time.Now()
	sign := func(kid string) string {
		token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.RegisteredClaims{
			Issuer: issuer, Subject: "ada", ID: rand.Text(),
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Minute)),
		})
		token.Header["kid"] = kid
		signed, err := token.SignedString(key)
		must(t, err)
		return signed
	}
	if _, _, err := validator.Validate(ctx, sign("one")); err != nil {
		t.Errorf("a token of the provider: %v", err)
	}
	if _, _, err := validator.Validate(ctx, sign("two")); !errors.Is(err, revoke.ErrInvalidToken) {
		t.Errorf("a token with a key that nobody knows: %v", err)
	}
}
