package jwks_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/jwks"
	"github.com/pgrevoke/revoke/session"
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

// An app that signs its own tokens publishes its keys, for its other services.
func ExampleHandler() {
	pool, err := pgxpool.New(context.Background(), "postgres://localhost/app")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	store, err := revoke.NewPostgres(pool)
	if err != nil {
		log.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // an app keeps its key
	if err != nil {
		log.Fatal(err)
	}
	keys := session.StaticKeys(session.Key{ID: "2026-11", Method: jwt.SigningMethodES256, Private: key})
	sessions, err := session.New(store, "https://app.example", revoke.AudienceOf("https://api.example"), keys)
	if err != nil {
		log.Fatal(err)
	}

	handler, err := jwks.Handler(sessions, jwks.WithHandlerReport(func(_ *http.Request, err error) { log.Print(err) }))
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/.well-known/jwks.json", handler)

	w := httptest.NewRecorder() // a service asks
	mux.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/.well-known/jwks.json", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 application/jwk-set+json
}
