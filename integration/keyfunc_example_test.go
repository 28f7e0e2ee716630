package integration

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
)

// Tokens of an identity provider are verified with the keys that it publishes.
func Example_keyfunc() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop() // ends keyfunc's refresh of the keys

	pool, err := pgxpool.New(ctx, "postgres://localhost/app")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	store, err := revoke.NewPostgres(pool)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := keyfunc.NewDefaultCtx(ctx, []string{"https://id.example/.well-known/jwks.json"})
	if err != nil {
		log.Fatal(err)
	}
	validator, err := revoke.NewValidator[revoke.Claims](store, "https://id.example", keys.Keyfunc, []string{"ES256"})
	if err != nil {
		log.Fatal(err)
	}

	bearer := "eyJ…" // from the Authorization header of a request
	_, claims, err := validator.Validate(ctx, bearer)
	switch {
	case errors.Is(err, revoke.ErrUnavailable):
		fmt.Println("503: come back later")
	case err != nil:
		fmt.Println("401: sign in")
	default:
		fmt.Println("hello,", claims.Subject)
	}
}
