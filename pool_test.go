package revoke_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/mirror"
)

// TestCallWithinOwnTransaction calls the store itself within a transaction that holds the only
// connection of the pool, under a ctx without a deadline: the call fails, and says what to write
// instead, and the transaction goes on.
func TestCallWithinOwnTransaction(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) { c.MaxConns = 1 })
	for _, way := range ways {
		store := testkit.OpenStore(t, pool, way.option, revoke.WithCheckTimeout(20*time.Millisecond))
		patient := testkit.OpenStore(t, pool)
		for _, op := range operations {
			t.Run(way.name+"/"+op.name, func(t *testing.T) {
				ctx := context.WithoutCancel(t.Context())
				token := testkit.Token()
				testkit.Must(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
					wantUnavailable(t, op.call(ctx, store, token), "store.WithTx(tx)")
					return store.WithTx(tx).RevokeToken(ctx, token)
				}))
				testkit.WantError(t, patient.Check(ctx, token), revoke.ErrRevoked)
			})
		}
	}
}

// nilTx is a transaction of the app's that may be a nil pointer.
type nilTx struct{ pgx.Tx }

// TestNilTransactions gives each call a transaction that is nil, or a pointer that is.
func TestNilTransactions(t *testing.T) {
	t.Parallel()
	store, _ := testkit.Store(t)
	for name, r := range map[string]revoke.Revoker{
		"WithTx(nil)":               store.WithTx(nil),
		"WithTx of pgxpool":         store.WithTx((*pgxpool.Tx)(nil)),
		"WithTx of the app's":       store.WithTx((*nilTx)(nil)),
		"WithSQLTx(nil)":            store.WithSQLTx(nil),
		"WithSQLTx of database/sql": store.WithSQLTx((*sql.Tx)(nil)),
	} {
		for _, write := range hookedWrites {
			t.Run(name+"/"+write.name, func(t *testing.T) {
				t.Parallel()
				token := testkit.Token()
				wantUnavailable(t, write.write(t.Context(), r, token), strings.Fields(strings.ReplaceAll(name, "(", " "))[0]+" was given nil")
				testkit.Must(t, store.Check(t.Context(), token))
			})
		}
		t.Run(name+"/Epochs", func(t *testing.T) {
			t.Parallel()
			_, err := r.Epochs(t.Context(), testkit.Token().User())
			wantUnavailable(t, err, "was given nil")
		})
	}
}

// nilChecker is a checker of the app's that may be a nil pointer.
type nilChecker struct{ revoke.Checker }

// nilCheckerFunc is one that may be a nil function.
type nilCheckerFunc func(context.Context, revoke.Token) error

func (f nilCheckerFunc) Check(ctx context.Context, token revoke.Token) error { return f(ctx, token) }

// TestNilStores gives each constructor a store or a checker that is nil, holds nil, or was
// not made by NewPostgres.
func TestNilStores(t *testing.T) {
	t.Parallel()
	calls := map[string]func() error{
		"NewPostgres":                func() error { _, err := revoke.NewPostgres(nil); return err },
		"NewSweeper":                 func() error { _, err := revoke.NewSweeper(nil); return err },
		"NewSweeper of a zero store": func() error { _, err := revoke.NewSweeper(&revoke.Postgres{}); return err },
		"mirror.New":                 func() error { _, err := mirror.New(nil); return err },
		"mirror.New of a zero store": func() error { _, err := mirror.New(&revoke.Postgres{}); return err },
	}
	for _, checker := range []revoke.Checker{nil, (*revoke.Postgres)(nil), (*mirror.Mirror)(nil), (*nilChecker)(nil), nilCheckerFunc(nil)} {
		calls[fmt.Sprintf("NewValidator of %T", checker)] = func() error {
			_, err := revoke.NewValidator(checker, testkit.Issuer, revoke.AnyAudience(), exampleKeyfunc, []string{"ES256"})
			return err
		}
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := call(); err == nil || !strings.Contains(err.Error(), " is nil") {
				t.Errorf("%v, want an error that says what is nil", err)
			}
		})
	}
}
