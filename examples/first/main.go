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
	const issuer = "https://app.example"
	store := must(revoke.NewPostgres(pool, revoke.WithIssuers(issuer)))
	check(store.Ready(ctx)) // or it says what is missing, and the remedy

	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	keyfunc := func(*jwt.Token) (any, error) { return key.Public(), nil }
	audience := revoke.AudienceOf("https://api.example")
	validator := must(revoke.NewValidator(store, issuer, audience, keyfunc,
		[]string{"ES256"}, revoke.WithEpochClaim()))

	// The app's own table.
	must(pool.Exec(ctx, `CREATE TABLE IF NOT EXISTS accounts (id bigint PRIMARY KEY, email text, password_hash text);
		INSERT INTO accounts VALUES (42, 'ada@app.example', 'old') ON CONFLICT DO NOTHING`))

	// Sign in: one statement reads the id, the hash and the user's epochs, so that they
	// belong together. Compare the password with the hash, and sign a token that carries
	// the epochs.
	var id, hash string
	var epochs revoke.Epochs
	check(pool.QueryRow(ctx, "SELECT id, password_hash, revoke.epochs($1, id::text) FROM accounts WHERE email = $2",
		issuer, "ada@app.example").Scan(&id, &hash, &epochs))
	user := validator.User(id)
	claims := must(revoke.NewClaims(user, 15*time.Minute, audience, epochs))
	token := must(jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(key))

	// Each request: the signature, the claims, and one round trip to Postgres.
	fmt.Println("user", must(validator.Validate(ctx, token)).Subject, "is signed in")

	// Change the password and log out all devices, in one transaction: both happen, or neither.
	check(pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE accounts SET password_hash = 'new' WHERE id = $1", id); err != nil {
			return err
		}
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
