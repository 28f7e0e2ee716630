package revoke_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
)

// talkative decodes itself, and quotes what it cannot decode.
type talkative struct{}

func (*talkative) UnmarshalJSON(data []byte) error { return fmt.Errorf("cannot decode %s", data) }

// validateHook keeps the errors of all validations.
type validateHook struct{ said []string }

func (h *validateHook) OnValidate(_ context.Context, event revoke.ValidateEvent) {
	h.said = append(h.said, testkit.Said(event.Err)...)
}

// TestErrorsQuoteNothing plants a marker in every place of a token, and looks for it in all that
// Validate, Identify, Claims and hooks say.
func TestErrorsQuoteNothing(t *testing.T) {
	t.Parallel()
	hook := &validateHook{}
	faulty := revoketest.NewFaulty(revoketest.NewMemory(revoketest.WithClock(testkit.Clock)))
	faulty.Fail(errors.New("down"))
	memory := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
	lax := []revoke.ValidatorOption{
		revoke.WithOptionalID(), revoke.WithOptionalSubject(), revoke.WithOptionalIssuer(), revoke.WithOptionalIssuedAt(), revoke.WithHook(hook),
	}
	validators := []*revoke.Validator{
		es256(t, memory, lax...),
		es256(t, memory, append(lax, revoke.WithEpochClaim())...),
		validatorOf(t, memory, revoke.AudienceOf("api"), testkit.Keyfunc("ES256"), "ES256", revoke.WithHook(hook), revoke.WithOptionalEpochClaim(),
			revoke.WithParserOptions(jwt.WithSubject("ada"), jwt.WithAudience("api"), jwt.WithIssuer(testkit.Issuer), jwt.WithJSONNumber())),
		es256(t, faulty, revoke.WithTokenType("at+jwt"), revoke.WithRequiredSession(), revoke.WithHook(hook)),
		es256(t, faulty, append(lax, revoke.WithMaxTokenSize(1<<20))...),
		validatorOf(t, memory, revoke.AnyAudience(), testkit.Keyfunc("HS256"), "ES256", revoke.WithHook(hook)),
	}
	refused, decoded := 0, 0
	for i, token := range testkit.Planted(t) {
		for j, v := range validators {
			if i%3 != j%3 { // the order of the tokens differs from run to run
				continue
			}
			verified, err := v.Validate(t.Context(), token.Text)
			_, identified := v.Identify(t.Context(), token.Text)
			said := append(testkit.Said(err), testkit.Said(identified)...)
			if err != nil {
				refused++
			} else {
				for _, target := range []any{
					new(revoke.Claims), new(jwt.RegisteredClaims), new(map[string]int), new(map[string]map[string]int), new(talkative), new([]string),
					new(struct {
						Subject int             `json:"sub"`
						Session json.Number     `json:"sid"`
						Scope   []talkative     `json:"scope"`
						Cnf     map[int]int     `json:"cnf"`
						Roles   struct{ A int } `json:"roles"`
					}),
				} {
					decoded++
					said = append(said, testkit.Said(verified.Claims(target))...)
				}
			}
			testkit.WantUnplanted(t, token, append(said, hook.said...)...)
			hook.said = nil
			if t.Failed() {
				return
			}
		}
	}
	if refused < 500 || decoded < 500 {
		t.Errorf("%d tokens were refused, and %d decoded", refused, decoded)
	}
}
