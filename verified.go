package revoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke/internal/embedded"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// Verified is a token with a verified signature: its identity, its times, and its claims on
// demand. It is not changed by its methods, and may be used from several goroutines.
type Verified struct {
	Token
	facts *facts // nil where no validator made it
}

// facts are what a validator found in the text of a token. They are not changed once they are
// made.
type facts struct {
	token     Token
	keyed     bool // keys and asked are those of token, of which Verdict.OfToken returned no error
	keys      [scopeCount][16]byte
	asked     asked
	payload   string
	respelled string // a claim that is read, of which the payload has another spelling too
}

// addKeys computes the keys of the rows that may revoke the token.
func (f *facts) addKeys() {
	var v Verdict
	if keys, err := v.OfToken(f.token); err == nil {
		f.keyed, f.keys, f.asked = true, keys, v.asked
	}
}

// known returns the facts of the token, empty ones where no validator made it.
func (t *Verified) known() facts {
	if t.facts == nil {
		return facts{}
	}
	return *t.facts
}

// verifiedChecker is a Checker that takes the row keys of a token: see Checker.
type verifiedChecker interface {
	CheckVerified(ctx context.Context, verified Verified) error
}

// takesVerified returns the checker as a verifiedChecker, nil where it is none. A method that the
// checker has from an embedded field does not count, because it does not call the Check of the
// type around the field.
func takesVerified(checker Checker) verifiedChecker {
	taker, _ := embedded.Own[verifiedChecker](checker)
	return taker
}

// Claims decodes the token's claims into v, a pointer as encoding/json wants it, and calls its
// method Validate, if it has one. The error matches ErrInvalidToken: the claims are of other
// types than v's, Validate refused them, or the payload has a member such as "JTI", which
// encoding/json would read in place of a claim that the validator reads. An outage that Validate
// reports matches ErrUnavailable: see [NewValidator]. The error names claims and types, and
// contains values only if Validate's own error does.
func (t *Verified) Claims(v any) error {
	const operation = "Claims"
	known := t.known()
	if known.respelled != "" {
		return as(operation, ErrInvalidToken, fmt.Errorf("%w: the payload spells %q in another way too", jwt.ErrTokenInvalidClaims, known.respelled))
	}
	if err := json.Unmarshal([]byte(known.payload), v); err != nil {
		return as(operation, ErrInvalidToken, fmt.Errorf("%w: %w", jwt.ErrTokenInvalidClaims, decodeError(err, v)))
	}
	if err := validateClaims(v); err != nil {
		return invalidClaims(operation, err)
	}
	return nil
}

// Claim returns the JSON text of one claim, nil if the token does not have it. The name
// counts in exactly this spelling, so that another claim, such as "JTI", is passed over;
// [Verified.Claims] would refuse it. A claim that occurs more than once is ErrInvalidToken.
// It suits [WithClaimsCheck].
func (t *Verified) Claim(name string) (json.RawMessage, error) {
	var found json.RawMessage
	err := strictjwt.Members(t.known().payload, func(member, value string) error {
		switch {
		case member != name:
			return nil
		case found != nil:
			return fmt.Errorf("%w: claim %q occurs more than once", jwt.ErrTokenInvalidClaims, name)
		}
		found = json.RawMessage(value)
		return nil
	})
	if err != nil {
		return nil, as("Claim", ErrInvalidToken, err)
	}
	return found, nil
}

// validateClaims calls the method Validate of v. Where v points to another pointer, or to an
// interface with one, encoding/json has decoded into the last, and so the method is that one's.
func validateClaims(v any) error {
	for value := reflect.ValueOf(v); value.Kind() == reflect.Pointer || value.Kind() == reflect.Interface; value = value.Elem() {
		if claims, ok := reflect.TypeAssert[interface{ Validate() error }](value); ok {
			return claims.Validate()
		}
	}
	return nil
}

// decodeError leaves out what an error of encoding/json, or of a type that decodes itself, quotes
// of a token.
func decodeError(err error, v any) error {
	var wrongType *json.UnmarshalTypeError
	var wrongTarget *json.InvalidUnmarshalError
	switch {
	case errors.As(err, &wrongTarget):
		return err
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return fmt.Errorf("claim %q does not fit into %v", wrongType.Field, wrongType.Type)
	case errors.As(err, &wrongType):
		return fmt.Errorf("a claim does not fit into %v", wrongType.Type)
	}
	return fmt.Errorf("the claims do not fit into %T", v)
}
