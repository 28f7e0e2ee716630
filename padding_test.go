package revoke_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// padded signs a token of which each part is padded, as AWS's Application Load Balancer does.
func padded(tb testing.TB, header, payload string) string {
	tb.Helper()
	encode := base64.URLEncoding.EncodeToString
	input := encode([]byte(header)) + "." + encode([]byte(payload))
	return input + "." + encode(testkit.Value(jwt.SigningMethodES256.Sign(input, testkit.SigningKey("ES256")))(tb))
}

// TestWithPaddedTokens accepts padding where the app says so, in no other place and of no other
// length. A token is known in each spelling of its signature.
func TestWithPaddedTokens(t *testing.T) {
	t.Parallel()
	option := revoke.WithPaddedTokens()
	// Two and one characters of padding, and none.
	for spaces := range 3 {
		payload := strings.Repeat(" ", spaces) + testkit.Payload(map[string]string{"jti": "", "iat": testkit.At(0), "exp": testkit.At(10 * time.Minute)})
		text := padded(t, `{"alg":"ES256","typ":"JWT","signer":"arn"}`, payload)
		parts := strings.Split(text, ".")
		bare := strings.TrimRight(text, "=")
		for _, row := range []struct {
			name, text string
			opts       []revoke.ValidatorOption
			accepted   bool
		}{
			{"as it was signed", text, []revoke.ValidatorOption{option}, true},
			{"a signature without padding", bare, []revoke.ValidatorOption{option}, true},
			{"a token without padding", testkit.Mint(t, nil), []revoke.ValidatorOption{option}, true},
			{"without the option", text, nil, false},
			{"by golang-jwt's option", text, []revoke.ValidatorOption{revoke.WithParserOptions(jwt.WithPaddingAllowed())}, false},
			{"without its padding", strings.ReplaceAll(text, "=", ""), []revoke.ValidatorOption{option}, false},
			{"padding of another length", text + "=", []revoke.ValidatorOption{option}, false},
			{"half of its padding", text[:len(text)-1], []revoke.ValidatorOption{option}, false},
			{"a whole quantum of padding", text + "====", []revoke.ValidatorOption{option}, false},
			{"padding in front", "=" + text, []revoke.ValidatorOption{option}, false},
			{"letters behind padding", parts[0] + "=AAA." + parts[1] + "." + parts[2], []revoke.ValidatorOption{option}, false},
			{"a longer payload", parts[0] + "." + parts[1] + "====." + parts[2], []revoke.ValidatorOption{option}, false},
			{"padding alone", "====.====.====", []revoke.ValidatorOption{option}, false},
		} {
			if row.name == "without its padding" && !strings.Contains(parts[0]+parts[1], "=") {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d spaces", row.name, spaces), func(t *testing.T) {
				t.Parallel()
				store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
				v := es256(t, store, append(row.opts, revoke.WithDerivedID())...)
				set := testkit.Value(revoke.NewValidatorSet([]*revoke.Validator{
					validatorOfIssuer(t, store, secondIssuer, "RS256"), v,
				}, nil))(t)
				_, err := set.Validate(t.Context(), row.text)
				if (err == nil) != row.accepted {
					t.Errorf("through a set: %v", err)
				}
				if !row.accepted {
					refused(t, v, row.text, revoke.ErrInvalidToken)
					return
				}
				verified := accepted(t, v, row.text)
				var claims map[string]any
				testkit.Must(t, verified.Claims(&claims))
				guard := testkit.Value(revokehttp.NewGuard(v, revokehttp.WithCookie("session", "/")))(t)
				service := guard.Require(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
				get := func(header ...string) int { return testkit.Serve(service, testkit.Request("GET", "/", header...)).Code }
				if header, cookie := get("Authorization", "Bearer "+row.text), get("Cookie", "__Host-session="+row.text); header != 200 || cookie != 200 {
					t.Errorf("a guard answers %d to the header, %d to the cookie", header, cookie)
				}
				testkit.Must(t, store.RevokeToken(t.Context(), verified.Token))
				refused(t, v, row.text, revoke.ErrRevoked)
				if strings.HasPrefix(row.text, bare) {
					refused(t, v, bare, revoke.ErrRevoked)
					refused(t, v, text, revoke.ErrRevoked)
				}
			})
		}
	}
}

// TestLoadBalancerTokens has what AWS's Application Load Balancer signs, which no revocation fits:
// once the user was revoked, later tokens are refused too.
func TestLoadBalancerTokens(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
	v := es256(t, store, revoke.WithPaddedTokens(), revoke.WithDerivedID(), revoke.WithOptionalIssuedAt())
	of := func(n int) string {
		return padded(t, `{"alg":"ES256","kid":"k","signer":"arn","client":"app","exp":`+testkit.At(2*time.Minute)+`}`,
			fmt.Sprintf(`{"sub":"ada","email":"ada@app.example","n":"%d","exp":%s,"iss":%q}`, n, testkit.At(2*time.Minute), testkit.Issuer))
	}
	accepted(t, v, of(1))
	testkit.Value(store.RevokeUser(t.Context(), v.User("ada")))(t)
	refused(t, v, of(1), revoke.ErrRevoked)
	refused(t, v, of(2), revoke.ErrRevoked)
}
