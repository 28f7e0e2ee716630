package oauth_test

import (
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/oauth"
	"github.com/pgrevoke/revoke/revoketest"
)

// TestEndpointsOfOtherIdentities revokes tokens of issuers that write their identity in another
// way, and tells their identity, through a validator and through a set of validators.
func TestEndpointsOfOtherIdentities(t *testing.T) {
	t.Parallel()
	entra := revoke.WithClaimNames(revoke.ClaimNames{ID: "uti", Subject: "oid", Session: "session_id", Numbers: true})
	for _, row := range []struct {
		name   string
		opts   []revoke.ValidatorOption
		claims jwt.MapClaims
		want   map[string]any // of the members iss, sub, jti and sid; nil where there is none
	}{
		{
			"other names", []revoke.ValidatorOption{entra}, claims("1", jwt.MapClaims{"uti": "u", "oid": 42, "session_id": "s"}),
			map[string]any{"iss": testkit.Issuer, "sub": "42", "jti": "u", "sid": "s"},
		},
		{
			"no id, subject and audience", []revoke.ValidatorOption{revoke.WithDerivedID(), revoke.WithOptionalSubject()},
			claims("1", jwt.MapClaims{"jti": "", "sub": "", "aud": []string{}, "sid": ""}),
			map[string]any{"iss": testkit.Issuer, "sub": nil, "jti": "sha256:", "sid": nil},
		},
		{
			"no session", []revoke.ValidatorOption{revoke.WithoutSession()}, claims("1", jwt.MapClaims{"sid": 7, "aud": ""}),
			map[string]any{"iss": testkit.Issuer, "sub": "ada", "jti": "1", "sid": nil},
		},
		{
			"an alias", []revoke.ValidatorOption{revoke.WithIssuerAliases("issuer.example")}, claims("1", jwt.MapClaims{"iss": "issuer.example"}),
			map[string]any{"iss": testkit.Issuer, "sub": "ada", "jti": "1", "sid": "session-1"},
		},
	} {
		for _, through := range []string{"a validator", "a set"} {
			t.Run(row.name+"/"+through, func(t *testing.T) {
				t.Parallel()
				store := revoketest.NewMemory()
				validator := validatorOf(t, store, accessType, row.opts...)
				kinds := []oauth.Tokens{oauth.AccessTokens(validator)}
				if through == "a set" {
					other := testkit.Value(revoke.NewValidator(store, "https://other.example", revoke.AnyAudience(), testkit.Keyfunc("RS256"), []string{"RS256"}))(t)
					kinds = []oauth.Tokens{oauth.AccessTokens(testkit.Value(revoke.NewValidatorSet([]*revoke.Validator{other, validator}, nil))(t))}
				}
				revocation := testkit.Value(oauth.NewRevocation(store, authenticate, kinds))(t)
				introspection := testkit.Value(oauth.NewIntrospection(authenticate, kinds))(t)
				token := sign(t, accessType, row.claims)
				members := wantActive(t, testkit.Serve(introspection, byWeb(token)))
				for name, want := range row.want {
					got := members[name]
					if id, ok := got.(string); ok && want == "sha256:" && strings.HasPrefix(id, "sha256:") {
						continue
					}
					if got != want {
						t.Errorf("%s is %v, want %v", name, got, want)
					}
				}
				if aud, ok := members["aud"]; ok {
					t.Errorf("aud is %v", aud)
				}
				wantRevoked(t, testkit.Serve(revocation, byWeb(token)))
				wantInactive(t, testkit.Serve(introspection, byWeb(token)))
			})
		}
	}
}
