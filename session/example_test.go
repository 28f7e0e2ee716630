package session_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/migrations"
	"github.com/pgrevoke/revoke/session"
)

// examplePool opens an empty database with a table of the app's. The function that it returns drops
// it.
func examplePool(ctx context.Context) (*pgxpool.Pool, func()) {
	server, err := pgserver.Process(ctx)
	if err != nil {
		log.Fatal(err)
	}
	address, err := server.CreateEmptyDatabase(ctx)
	if err != nil {
		log.Fatal(err)
	}
	pool, err := pgxpool.New(ctx, address)
	if err != nil {
		log.Fatal(err)
	}
	_, err = pool.Exec(ctx, "CREATE TABLE accounts AS SELECT 42 AS id, 'ada@app.example' AS email, 'old' AS password_hash")
	if err != nil {
		log.Fatal(err)
	}
	return pool, func() {
		pool.Close()
		if err := server.DropDatabase(context.WithoutCancel(ctx), address); err != nil {
			log.Fatal(err)
		}
	}
}

// A user signs in, is refreshed, changes the password, and signs out.
func Example() {
	ctx := context.Background()
	pool, drop := examplePool(ctx)
	defer drop()
	if err := migrations.Up(ctx, pool); err != nil {
		log.Fatal(err)
	}
	const issuer = "https://app.example"
	store, err := revoke.NewPostgres(pool, revoke.WithIssuers(issuer))
	if err != nil {
		log.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // an app keeps its key
	if err != nil {
		log.Fatal(err)
	}

	keys := session.StaticKeys(session.Key{ID: "2026-11", Method: jwt.SigningMethodES256, Private: key})
	sessions, err := session.New(store, issuer, revoke.AudienceOf("https://api.example"), keys)
	if err != nil {
		log.Fatal(err)
	}
	validator, err := sessions.NewValidator(store)
	if err != nil {
		log.Fatal(err)
	}

	// Sign in: one statement reads the hash and the epochs, so that they belong together.
	var id, hash string
	var epochs revoke.Epochs
	err = pool.QueryRow(ctx, "SELECT id::text, password_hash, revoke.epochs($1, id::text) FROM accounts WHERE email = $2",
		issuer, "ada@app.example").Scan(&id, &hash, &epochs)
	if err != nil {
		log.Fatal(err)
	}
	// Compare the password with the hash here.
	user := sessions.User(id)
	device := session.Device{UserAgent: "Firefox", Address: "192.0.2.1"}
	tokens, err := sessions.Start(ctx, user, epochs, device)
	if err != nil {
		log.Fatal(err)
	}
	verified, err := validator.Validate(ctx, tokens.Access) // each request
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("user", verified.Subject, tokens.Outcome)

	// The access token is about to expire.
	old := tokens
	tokens, err = sessions.Refresh(ctx, old.Refresh, device)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("refresh:", tokens.Outcome)
	// The answer was lost, and the client tries again.
	again, err := sessions.Refresh(ctx, old.Refresh, device)
	fmt.Println("again:", again.Outcome, err)

	// The password changes: every session ends with it, and the device in hand gets a new one.
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE accounts SET password_hash = $2 WHERE id = $1", id, "new"); err != nil {
			return err
		}
		epochs, err := sessions.WithTx(tx).EndAll(ctx, user, revoke.WithReason("password changed"))
		if err != nil {
			return err
		}
		tokens, err = sessions.WithTx(tx).Start(ctx, user, epochs, device)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = sessions.Refresh(ctx, old.Refresh, device)
	var failed *session.RefreshError
	fmt.Println("elsewhere:", errors.As(err, &failed), failed.Reason, failed.IsOver())

	// Where the user is signed in, and a sign-out.
	list, err := sessions.List(ctx, user)
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range list {
		fmt.Println("signed in:", s.UserAgent, s.Address)
		err = sessions.End(ctx, user, s.ID)
	}
	fmt.Println("sign out:", err)
	_, err = validator.Validate(ctx, tokens.Access)
	fmt.Println("the access token is revoked:", errors.Is(err, revoke.ErrRevoked))
	// Output:
	// user 42 started
	// refresh: rotated
	// again: repeated <nil>
	// elsewhere: true revoked true
	// signed in: Firefox 192.0.2.1
	// sign out: <nil>
	// the access token is revoked: true
}
