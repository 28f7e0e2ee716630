package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
)

// TestUpThroughAPooler is refused in transaction mode before anything is locked or made.
func TestUpThroughAPooler(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		settings []string
		refused  bool
	}{
		{"in transaction mode", []string{"pool_mode = transaction"}, true},
		{"in transaction mode, with its sessions in turn", []string{"pool_mode = transaction", "server_round_robin = 1"}, true},
		{"in transaction mode, with one session", []string{"pool_mode = transaction", "default_pool_size = 1"}, true},
		{"in transaction mode, with two sessions in turn", []string{"pool_mode = transaction", "server_round_robin = 1", "default_pool_size = 2"}, true},
		{"in session mode", []string{"pool_mode = session"}, false},
		{"in session mode, with one session", []string{"pool_mode = session", "default_pool_size = 1"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			address := pgserver.EmptyDatabase(t)
			admin := pgserver.Pool(t, address)
			pooled := pgserver.Pooler(t, address, test.settings...)
			if slices.Contains(test.settings, "server_round_robin = 1") {
				occupy(t, pgserver.Pool(t, pooled, testkit.WithMode(pgx.QueryExecModeExec)), 2)
			}
			pool := pgserver.Pool(t, pooled, oneConnection, testkit.WithMode(pgx.QueryExecModeExec))
			err := migrations.Up(t.Context(), pool)
			if !test.refused {
				testkit.Must(t, err)
				wantVersion(t, pool, migrations.Latest)
				testkit.Must(t, migrations.Down(t.Context(), pool))
				testkit.Must(t, migrations.Up(t.Context(), pool))
			} else {
				if err == nil || !strings.Contains(err.Error(), "pooler in transaction mode") || !strings.Contains(err.Error(), "connect to Postgres itself") {
					t.Errorf("Up = %v", err)
				}
				if got := objects(t, admin, ""); !slices.Equal(got, []string{"schema public"}) {
					t.Errorf("it made %q", got)
				}
			}
			if n := locksHeld(t, admin); n != 0 {
				t.Errorf("%d advisory locks are left", n)
			}
			testkit.Must(t, migrations.Up(t.Context(), admin))
			testkit.Must(t, migrations.Up(t.Context(), pool)) // nothing to do
			wantNoFindings(t, pool)
			err = migrations.Down(t.Context(), pool)
			if (err != nil) != test.refused {
				t.Errorf("Down = %v", err)
			}
			if n := locksHeld(t, admin); n != 0 {
				t.Errorf("%d advisory locks are left", n)
			}
		})
	}
}

// occupy makes a pooler open as many sessions, and lets go of them.
func occupy(t *testing.T, pool *pgxpool.Pool, sessions int) {
	t.Helper()
	held := make([]pgx.Tx, sessions)
	for i := range held {
		held[i] = testkit.Value(pool.Begin(t.Context()))(t)
		_, err := held[i].Exec(t.Context(), "SELECT 1")
		testkit.Must(t, err)
	}
	for _, tx := range held {
		testkit.Must(t, tx.Rollback(t.Context()))
	}
}

// TestUnlockMeetsAnotherSession names the process that still holds the lock.
func TestUnlockMeetsAnotherSession(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	err := migrations.Unlock(t.Context(), pgserver.Pool(t, address, func(c *pgxpool.Config) { c.MaxConns = 2 }), "revoke")
	if err == nil || !strings.Contains(err.Error(), "pg_terminate_backend(") || !strings.Contains(err.Error(), "pooler in transaction mode") {
		t.Errorf("unlock = %v", err)
	}
}

// TestWaitNamesTheHolder says at the end of ctx for which process Up waited.
func TestWaitNamesTheHolder(t *testing.T) {
	t.Parallel()
	address := pgserver.EmptyDatabase(t)
	admin := pgserver.Pool(t, address, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["application_name"] = "the deploy's" })
	holder := acquire(t, admin)
	_, err := holder.Exec(t.Context(), "SELECT pg_advisory_lock($1)", migrations.LockID("revoke"))
	testkit.Must(t, err)
	// A ctx that ends in the middle of a query takes the connection along, and with it the answer.
	attempt := 0
	testkit.Eventually(t, "Up names the process for which it waited", func() bool {
		attempt++ // the session of the attempt before may still be ending
		application := fmt.Sprint("attempt ", attempt)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		result := make(chan error, 1)
		pool := pgserver.Pool(t, address, oneConnection, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["application_name"] = application })
		go func() { result <- migrations.Up(ctx, pool) }()
		waitUntilWaiting(t, admin, application)
		cancel()
		err := <-result
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), `"revoke"`) {
			t.Errorf("Up = %v", err)
		}
		for _, want := range []string{fmt.Sprintf("process %d", holder.Conn().PgConn().PID()), "'the deploy''s'", "idle"} {
			if !strings.Contains(err.Error(), want) {
				return false
			}
		}
		return true
	})
}

// TestMendWaitsBriefly has a mend wait for a transaction without making checks wait behind it.
func TestMendWaitsBriefly(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	testkit.Exec(t, admin, "ALTER TABLE revoke.revocations DROP CONSTRAINT revocations_scope")
	tx := testkit.Value(admin.Begin(t.Context()))(t)
	_, err := tx.Exec(t.Context(), "SELECT FROM revoke.revocations")
	testkit.Must(t, err)
	result := make(chan error, 1)
	pool := pgserver.Pool(t, address, oneConnection)
	go func() { result <- migrations.Up(t.Context(), pool) }()
	testkit.Eventually(t, "the mend waits", func() bool {
		return testkit.QueryOne[bool](t, admin, `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE '%ADD CONSTRAINT revocations_scope%' AND pid <> pg_backend_pid())`)
	})
	check, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = admin.Exec(check, "SELECT FROM revoke.revocations")
	testkit.Must(t, err)
	testkit.Must(t, tx.Commit(t.Context()))
	testkit.Must(t, <-result)
	wantNoFindings(t, admin)
}
