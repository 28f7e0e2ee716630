// First is the program of the README's first screen. DATABASE_URL names a Postgres database.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/migrations"
)

func main() {
	ctx := context.Background()
	pool := must(pgxpool.New(ctx, os.Getenv("DATABASE_URL")))
	defer pool.Close()
	check(migrations.Up(ctx, pool)) // makes the schema revoke, once
	store := must(revoke.NewPostgres(pool))

	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	keyfunc := func(*jwt.Token) (any, error) { return key.Public(), nil }
	audience := revoke.AudienceOf("https://api.example")
	validator := must(revoke.NewValidator(store, "https://app.example", audience, keyfunc,
		[]string{"ES256"}, revoke.WithEpochClaim()))

	// Sign in: read the user's epochs, check the password, sign a token that carries the epochs.
	user := revoke.User{Issuer: "https://app.example", Subject: "42"}
	epochs := must(store.Epochs(ctx, user))
	claims := must(revoke.NewClaims(user, 15*time.Minute, audience, epochs))
	token := must(jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(key))

	// Each request: the signature, the claims, and one round trip to Postgres.
	fmt.Println("user", must(validator.Validate(ctx, token)).Subject, "is signed in")

	// Change the password and log out all devices, in one transaction: both happen, or neither.
	check(pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		// The app updates the password here, by tx.
		_, err := store.WithTx(tx).RevokeUser(ctx, user, revoke.WithReason("password changed"))
		return err
	}))
	_, err := validator.Validate(ctx, token)
	fmt.Println("the old token:", err)
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
