package migrations_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/migrations"
)

// Eight replicas start on an empty database, each with one connection.
func TestUpFromEveryReplicaAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	address := pgserver.EmptyDatabase(t)
	start := make(chan struct{})
	var replicas sync.WaitGroup
	for range 8 {
		pool := pgserver.Pool(t, address, oneConnection)
		if err := pool.Ping(ctx); err != nil {
			t.Fatal(err)
		}
		replicas.Go(func() {
			<-start
			if err := migrations.Up(ctx, pool); err != nil {
				t.Error(err)
			}
		})
	}
	began := time.Now()
	close(start)
	replicas.Wait()
	t.Logf("eight replicas took %v", time.Since(began))
	pool := pgserver.Pool(t, address)
	sameCatalog(t, catalog(t, pool, "revoke"), defaultCatalog(t))
	var rows int
	table := pgx.Identifier{"revoke", migrations.VersionTable}.Sanitize()
	if err := pool.QueryRow(ctx, "SELECT count(*) FROM "+table).Scan(&rows); err != nil || rows != migrations.Latest+1 {
		t.Errorf("%d rows in the table of versions and %v, want %d: each version once, and goose's 0", rows, err, migrations.Latest+1)
	}
	if n := locksHeld(t, pool); n != 0 {
		t.Errorf("%d advisory locks are left", n)
	}
}

// What the app does with goose and what we do with it must not meet: lock, table of versions, registered migrations.
func TestUpBesideTheAppsGoose(t *testing.T) {
	address := pgserver.EmptyDatabase(t)
	pool := pgserver.Pool(t, address)
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()

	ran := 0
	goose.AddNamedMigrationNoTxContext("00001_app.go",
		func(context.Context, *sql.DB) error { ran++; return nil }, func(context.Context, *sql.DB) error { return nil })
	goose.AddNamedMigrationContext("00002_app.go",
		func(context.Context, *sql.Tx) error { ran++; return nil }, func(context.Context, *sql.Tx) error { return nil })
	defer goose.ResetGlobalMigrations()
	app, err := goose.NewProvider(goose.DialectPostgres, db, fstest.MapFS{
		"00003_app.sql": {Data: []byte("-- +goose Up\nCREATE TABLE app (id int);\n-- +goose Down\nDROP TABLE app;\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ran != 2 {
		t.Fatalf("the app ran %d of its 2 migrations: the test proves nothing", ran)
	}
	before := appTable(t, pool)
	names := objects(t, pool, "")

	holder := acquire(t, pool)
	if _, err := holder.Exec(t.Context(), "SELECT pg_advisory_lock($1)", lock.DefaultLockID); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := migrations.Up(ctx, pool); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Down(ctx, pool); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Up(ctx, pool); err != nil {
		t.Fatal(err)
	}
	if ran != 2 {
		t.Errorf("a migration of the app's ran %d times more", ran-2)
	}
	if after := appTable(t, pool); !slices.Equal(after, before) {
		t.Errorf("goose_db_version was %q and is %q", before, after)
	}
	if after := objects(t, pool, "revoke"); !slices.Equal(after, names) {
		t.Errorf("outside of our schema there was %q and is %q", names, after)
	}
	wantVersion(t, pool, migrations.Latest)
}

// Whoever leaves the queue leaves at once, and leaves nothing behind, however pgx ends a query.
func TestCancelWhileWaiting(t *testing.T) {
	t.Parallel()
	handlers := map[string]func(*pgconn.PgConn) ctxwatch.Handler{
		"connection closed": nil,
		"query cancelled": func(conn *pgconn.PgConn) ctxwatch.Handler {
			return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: 10 * time.Second}
		},
	}
	for name, handler := range handlers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := pgserver.EmptyDatabase(t)
			admin := pgserver.Pool(t, address)
			pool := pgserver.Pool(t, address, oneConnection, func(c *pgxpool.Config) {
				if handler != nil {
					c.ConnConfig.BuildContextWatcherHandler = handler
				}
			})
			holder := acquire(t, admin)
			if _, err := holder.Exec(t.Context(), "SELECT pg_advisory_lock($1)", migrations.LockID("revoke")); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			result := make(chan error, 1)
			go func() { result <- migrations.Up(ctx, pool) }()
			waitUntilWaiting(t, admin)
			cancel()
			select {
			case err := <-result:
				if err == nil || (!errors.Is(err, context.Canceled) && handler == nil) {
					t.Errorf("Up returned %v", err)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("Up still waits")
			}
			if _, err := holder.Exec(t.Context(), "SELECT pg_advisory_unlock_all()"); err != nil {
				t.Fatal(err)
			}
			later, cancelLater := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancelLater()
			if err := migrations.Up(later, pool); err != nil {
				t.Fatal(err)
			}
			if n := locksHeld(t, admin); n != 0 {
				t.Errorf("%d advisory locks are left", n)
			}
		})
	}
}

// Who waits holds no snapshot, so that a migration may build an index concurrently, and no timeout that is set for the app's
// statements ends the wait.
func TestWaitBlocksNothing(t *testing.T) {
	t.Parallel()
	address := pgserver.EmptyDatabase(t)
	admin := pgserver.Pool(t, address)
	pool := pgserver.Pool(t, address, oneConnection, func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["lock_timeout"] = "20ms"
		c.ConnConfig.RuntimeParams["statement_timeout"] = "2s"
	})
	holder := acquire(t, admin)
	for _, sql := range []string{"CREATE TABLE app (id int)", "SET deadlock_timeout = '50ms'"} {
		if _, err := holder.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := holder.Exec(t.Context(), "SELECT pg_advisory_lock($1)", migrations.LockID("revoke")); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() { result <- migrations.Up(t.Context(), pool) }()
	waitUntilWaiting(t, admin)
	if _, err := holder.Exec(t.Context(), "CREATE INDEX CONCURRENTLY ON app (id)"); err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), "SELECT pg_advisory_unlock_all()"); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
}

func acquire(t *testing.T, pool *pgxpool.Pool) *pgxpool.Conn {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = conn.Exec(context.Background(), "SELECT pg_advisory_unlock_all()")
		conn.Release()
	})
	return conn
}

func locksHeld(t *testing.T, pool *pgxpool.Pool) (n int) {
	t.Helper()
	err := pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// waitUntilWaiting returns when a session of this database has asked for the lock in vain.
func waitUntilWaiting(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var waits bool
		err := pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND state = 'idle' AND query LIKE 'SELECT pg_try_advisory_lock%')`).Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
		if waits {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("nobody waits for the advisory lock")
		}
	}
}

// appTable returns the rows of the app's own table of versions.
func appTable(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), "SELECT v::text FROM public.goose_db_version v ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return lines
}
