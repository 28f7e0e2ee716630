package revoketest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revoketest"
)

// accountStore is what the handlers of an app need of a store: a *revoke.Postgres in service, and a
// store of this package in tests.
type accountStore interface {
	revoke.Store
	WithTx(tx pgx.Tx) revoke.Revoker
}

var (
	_ accountStore = (*revoke.Postgres)(nil)
	_ accountStore = (*revoketest.Memory)(nil)
	_ accountStore = (*revoketest.Faulty)(nil)
)

// accounts are handlers of an app. db is a *pgxpool.Pool in service.
type accounts struct {
	db interface {
		Begin(ctx context.Context) (pgx.Tx, error)
	}
	store accountStore
}

// disable disables an account and ends its sessions, in one transaction.
func (a *accounts) disable(w http.ResponseWriter, r *http.Request) {
	user := revoke.User{Issuer: "https://app.example", Subject: r.PathValue("id")}
	err := pgx.BeginFunc(r.Context(), a.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(r.Context(), "UPDATE accounts SET disabled = true WHERE id::text = $1", user.Subject); err != nil {
			return err
		}
		_, err := a.store.WithTx(tx).RevokeUser(r.Context(), user, revoke.WithReason("disabled"))
		return err
	})
	if err != nil {
		http.Error(w, "try again", http.StatusServiceUnavailable)
	}
}

// fakeDB stands in for the pool: its transactions do nothing.
type fakeDB struct{}

func (fakeDB) Begin(context.Context) (pgx.Tx, error) { return fakeTx{}, nil }

type fakeTx struct{ pgx.Tx }

func (fakeTx) Exec(context.Context, string, ...any) (pgconn.CommandTag, error) {
	return pgconn.NewCommandTag("UPDATE 1"), nil
}
func (fakeTx) Commit(context.Context) error   { return nil }
func (fakeTx) Rollback(context.Context) error { return pgx.ErrTxClosed }

// A handler that writes in a transaction of the app's is tested without a database. What the
// transaction itself does is for a test on Postgres.
func ExampleMemory_WithTx() {
	store := revoketest.NewFaulty(revoketest.NewMemory())
	app := &accounts{db: fakeDB{}, store: store}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /accounts/{id}/disable", app.disable)
	call := func() int {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/accounts/42/disable", nil))
		return w.Code
	}
	ada := revoke.User{Issuer: "https://app.example", Subject: "42"}

	store.Fail(errors.New("the database is down"))
	fmt.Println("while the database is down:", call())
	store.Fail(nil)
	before, _ := store.Epochs(context.Background(), ada)
	fmt.Println("then:", call())
	after, _ := store.Epochs(context.Background(), ada)
	fmt.Println("sessions ended:", after.User > before.User)
	// Output:
	// while the database is down: 503
	// then: 200
	// sessions ended: true
}

// TestWithTx writes by the transactions of each store.
func TestWithTx(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	user := revoke.User{Issuer: "i", Subject: "42"}
	down := errors.New("down")
	memory := revoketest.NewMemory()
	faulty := revoketest.NewFaulty(memory)
	byTx, bySQL := faulty.WithTx(fakeTx{}), faulty.WithSQLTx(struct{ revoke.SQLTx }{})
	for name, r := range map[string]revoke.Revoker{"WithTx": byTx, "WithSQLTx": bySQL, "memory": memory.WithTx(fakeTx{})} {
		epochs, err := r.RevokeUser(ctx, user)
		if read, _ := memory.Epochs(ctx, user); err != nil || read != epochs {
			t.Errorf("%s: %v with %v, want %v", name, err, epochs, read)
		}
		if _, ok := r.(revoke.Checker); ok {
			t.Errorf("%s: a transaction checks", name)
		}
	}
	faulty.Fail(down)
	for name, r := range map[string]revoke.Revoker{
		"a store that fails": byTx, "in database/sql": bySQL,
		"nil": memory.WithTx(nil), "nil of database/sql": memory.WithSQLTx(nil), "a nil pointer": memory.WithTx((*fakeTx)(nil)),
	} {
		if _, err := r.RevokeUser(ctx, user); !errors.Is(err, revoke.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	faulty.Fail(nil)
	without := revoketest.NewFaulty(struct{ revoke.Store }{memory})
	for name, r := range map[string]revoke.Revoker{"WithTx": without.WithTx(fakeTx{}), "WithSQLTx": without.WithSQLTx(nil), "nil": faulty.WithTx(nil)} {
		if _, err := r.RevokeUser(ctx, user); !errors.Is(err, revoke.ErrUnavailable) {
			t.Errorf("a store without %s: %v", name, err)
		}
	}
}

// TestWriteWithinInTx writes by the store itself within its InTx, under a ctx that does not end: it
// fails instead of waiting for ever.
func TestWriteWithinInTx(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := revoketest.NewMemory()
		token := revoke.Token{Issuer: "i", ID: "1"}
		err := store.InTx(context.Background(), func(revoke.Revoker) error {
			return store.RevokeToken(context.Background(), token)
		})
		if !errors.Is(err, revoke.ErrUnavailable) {
			t.Errorf("%v, want an error that matches %v", err, revoke.ErrUnavailable)
		}
		if err := store.RevokeToken(context.Background(), token); err != nil {
			t.Error(err)
		}
	})
}
