package pgtest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revoketest/pgtest"
)

// database has the app's tables beside the schema of revoke. It is migrated once, and copied for
// each test.
var database = pgtest.NewTemplate(func(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, "CREATE TABLE accounts (name text PRIMARY KEY, password_hash text NOT NULL)")
	return err
})

func TestPasswordChange(t *testing.T) {
	t.Parallel()
	pool := database.Pool(t) // a database of this test alone
	store, err := revoke.NewPostgres(pool)
	if err != nil {
		t.Fatal(err)
	}
	token := revoke.Token{
		Issuer: "https://app.example", Subject: "42", ID: "1",
		IssuedAt: time.Now().Add(-time.Minute), ExpiresAt: time.Now().Add(time.Minute),
	}
	if err := changePassword(t.Context(), store, token.User(), "new"); err != nil {
		t.Fatal(err)
	}
	if err := store.Check(t.Context(), token); !errors.Is(err, revoke.ErrRevoked) {
		t.Errorf("after a password change the token is not refused: %v", err)
	}
}

// changePassword is the app's function that is tested.
func changePassword(ctx context.Context, store *revoke.Postgres, user revoke.User, hash string) error {
	return pgx.BeginFunc(ctx, store.Pool(), func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO accounts VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET password_hash = $2", user.Subject, hash); err != nil {
			return err
		}
		_, err := store.WithTx(tx).RevokeUser(ctx, user)
		return err
	})
}
