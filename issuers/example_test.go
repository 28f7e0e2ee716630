package issuers_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/issuers"
	"github.com/pgrevoke/revoke/revoketest"
)

// A service accepts the access tokens of a Keycloak realm, and logs a user out of everything.
func Example() {
	ctx := context.Background()
	store := revoketest.NewMemory() // in an app: revoke.NewPostgres(pool)
	keyfunc, algorithms := testkit.Keyfunc("RS256"), []string{"RS256"}

	const issuer = "https://keycloak.example/realms/app"
	validator, err := revoke.NewValidator(store, issuer, revoke.AudienceOf("api"), keyfunc, algorithms, issuers.Keycloak()...)
	if err != nil {
		log.Fatal(err)
	}

	sign := func(typ string) string { // as Keycloak does
		now := time.Now().Add(-time.Minute)
		text, err := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
			"iss": issuer, "aud": "api", "sub": "ada", "jti": "1", "sid": "2", "typ": typ, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		}).SignedString(testkit.SigningKey("RS256"))
		if err != nil {
			log.Fatal(err)
		}
		return text
	}
	access := sign("Bearer")
	token, err := validator.Validate(ctx, access)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("hello", token.Subject)
	_, err = validator.Validate(ctx, sign("ID"))
	fmt.Println("an ID token is refused:", errors.Is(err, revoke.ErrInvalidToken))

	if _, err := store.RevokeUser(ctx, validator.User("ada")); err != nil {
		log.Fatal(err)
	}
	_, err = validator.Validate(ctx, access)
	fmt.Println("revoked:", errors.Is(err, revoke.ErrRevoked))
	// Output:
	// hello ada
	// an ID token is refused: true
	// revoked: true
}
