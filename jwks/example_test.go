package jwks_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/jwks"
)

// The tokens of an identity provider are verified by the keys that the provider publishes.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop() // ends the refresh of the keys

	pool, err := pgxpool.New(ctx, "postgres://localhost/app")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	store, err := revoke.NewPostgres(pool)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := jwks.New(ctx, "https://id.example/.well-known/jwks.json")
	if err != nil {
		log.Fatal(err)
	}
	validator, err := revoke.NewValidator(store, "https://id.example", revoke.AudienceOf("api"), keys.Keyfunc, []string{"ES256"})
	if err != nil {
		log.Fatal(err)
	}

	bearer := "eyJ…" // from the Authorization header of a request
	verified, err := validator.Validate(ctx, bearer)
	switch {
	case errors.Is(err, revoke.ErrUnavailable):
		fmt.Println("503: try again later")
	case err != nil:
		fmt.Println("401: sign in")
	default:
		fmt.Println("hello,", verified.Subject)
	}
}
