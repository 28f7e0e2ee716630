package revoke_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/migrations"
)

// bothClaims are the claims of a new token, in an app that has older ones with user_id and exp
// alone.
type bothClaims struct {
	revoke.Claims
	UserID int64 `json:"user_id"` // for code that does not read sub yet
}

// signBoth signs a new token: it has all claims, and user_id.
func signBoth(userID int64, epochs revoke.Epochs) (string, error) {
	issuer, key := exampleIssuer, exampleKey
	user := revoke.User{Issuer: issuer, Subject: strconv.FormatInt(userID, 10)}
	claims, err := revoke.NewClaims(user, 15*time.Minute, revoke.AudienceOf("api"), epochs)
	if err != nil {
		return "", err
	}
	return jwt.NewWithClaims(jwt.SigningMethodES256, bothClaims{claims, userID}).SignedString(key)
}

// newBothValidator returns a validator that accepts the older tokens and the new ones.
func newBothValidator(checker revoke.Checker) (*revoke.Validator, error) {
	issuer, keyfunc, algorithms := exampleIssuer, exampleKeyfunc, []string{"ES256"}
	validator, err := revoke.NewValidator(checker, issuer, revoke.AnyAudience(), keyfunc, algorithms,
		revoke.WithClaimNames(revoke.ClaimNames{Subject: "user_id", Numbers: true}),
		revoke.WithDerivedID(),
		revoke.WithOptionalIssuer(),
		revoke.WithOptionalIssuedAt(),
		revoke.WithOptionalEpochClaim(),
	)
	return validator, err
}

// newStrictValidator returns the validator at the end of the roll-out.
func newStrictValidator(checker revoke.Checker) (*revoke.Validator, error) {
	issuer, keyfunc, algorithms := exampleIssuer, exampleKeyfunc, []string{"ES256"}
	validator, err := revoke.NewValidator(checker, issuer, revoke.AudienceOf("api"), keyfunc, algorithms,
		revoke.WithEpochClaim())
	return validator, err
}

// An app accepts its older tokens, which have user_id and exp alone, beside its new ones. One
// revocation of the user refuses both. The user signs in again at once.
func ExampleWithOptionalEpochClaim() {
	ctx := context.Background()
	pool, drop := examplePool(ctx)
	defer drop()
	if err := migrations.Up(ctx, pool); err != nil {
		log.Fatal(err)
	}
	issuer := exampleIssuer
	store, err := revoke.NewPostgres(pool, revoke.WithIssuers(issuer))
	if err != nil {
		log.Fatal(err)
	}
	validator, err := newBothValidator(store)
	if err != nil {
		log.Fatal(err)
	}
	signIn := func(epochs revoke.Epochs) string {
		text, err := signBoth(42, epochs)
		if err != nil {
			log.Fatal(err)
		}
		return text
	}
	accepted := func(text string) string {
		_, err := validator.Validate(ctx, text)
		switch {
		case errors.Is(err, revoke.ErrRevoked):
			return "revoked"
		case err != nil:
			log.Fatal(err)
		}
		return "accepted"
	}

	older, err := jwt.NewWithClaims(jwt.SigningMethodES256,
		jwt.MapClaims{"user_id": 42, "exp": time.Now().Add(time.Hour).Unix()}).SignedString(exampleKey)
	if err != nil {
		log.Fatal(err)
	}
	newer := signIn(revoke.Epochs{})
	fmt.Println("before:", accepted(older), accepted(newer))

	epochs, err := store.RevokeUser(ctx, validator.User("42"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("after: ", accepted(older), accepted(newer))
	fmt.Println("signed in again:", accepted(signIn(epochs)))
	// Output:
	// before: accepted accepted
	// after:  revoked revoked
	// signed in again: accepted
}
