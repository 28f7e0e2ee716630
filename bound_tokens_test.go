package revoke_test

import (
	"strings"
	"testing"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
)

// TestBoundTokens follows RFC 9449 §7.2 and RFC 8705 §3: a token that is bound to a key is no
// bearer token. It can be revoked all the same.
func TestBoundTokens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		cnf       string
		byDefault bool // Validate accepts it
		allowed   bool // Validate accepts it under WithBoundTokens
	}{
		{"none", "", true, true},
		{"null", "null", true, true},
		{"DPoP", `{"jkt":"thumbprint"}`, false, true},
		{"mutual TLS", `{"x5t#S256":"thumbprint"}`, false, true},
		{"a key", `{"jwk":{"kty":"EC"}}`, false, true},
		{"an unknown method", `{"x":1}`, false, true},
		{"no method", `{}`, false, true},
		{"text", `"thumbprint"`, false, false},
		{"empty text", `""`, false, false},
		{"false", "false", false, false},
		{"array", `[{"jkt":"thumbprint"}]`, false, false},
		{"twice", `null,"cnf":{"jkt":"thumbprint"}`, false, false},
		{"escaped", `null,"\u0063nf":{"jkt":"thumbprint"}`, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := testkit.Mint(t, map[string]string{"cnf": c.cnf})
			store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
			plain, bound := es256(t, store), es256(t, store, revoke.WithBoundTokens())
			if c.byDefault {
				accepted(t, plain, text)
			} else {
				refused(t, plain, text, revoke.ErrInvalidToken)
				_, err := plain.Validate(t.Context(), text)
				said := strings.Contains(err.Error(), "bound to a key") && strings.Contains(err.Error(), "see WithBoundTokens")
				if said != c.allowed {
					t.Errorf("the error is %v", err)
				}
			}
			if !c.allowed {
				refused(t, bound, text, revoke.ErrInvalidToken)
				return
			}
			accepted(t, bound, text)
			token := testkit.Value(plain.Identify(t.Context(), text))(t)
			testkit.Must(t, store.RevokeToken(t.Context(), token))
			refused(t, bound, text, revoke.ErrRevoked)
		})
	}
}
