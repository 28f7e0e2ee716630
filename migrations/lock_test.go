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
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
)

// TestUpFromEveryReplicaAtOnce starts eight replicas on an empty database, each with one
// connection.
func TestUpFromEveryReplicaAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	address := pgserver.EmptyDatabase(t)
	start := make(chan struct{})
	var replicas sync.WaitGroup
	for range 8 {
		pool := pgserver.Pool(t, address, oneConnection)
		testkit.Must(t, pool.Ping(ctx))
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
	table := pgx.Identifier{"revoke", migrations.VersionTable}.Sanitize()
	if rows := testkit.QueryOne[int](t, pool, "SELECT count(*) FROM "+table); rows != len(versions(t)) {
		t.Errorf("%d rows in the table of versions, want each version once", rows)
	}
	if n := locksHeld(t, pool); n != 0 {
		t.Errorf("%d advisory locks are left", n)
	}
}

// TestUpBesideTheAppsGoose has an app that uses goose too: neither touches the lock, the table of
// versions or the registered migrations of the other. It is not parallel, because goose's registry
// is global.
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
	app := testkit.Value(goose.NewProvider(goose.DialectPostgres, db, fstest.MapFS{
		"00003_app.sql": {Data: []byte("-- +goose Up\nCREATE TABLE app (id int);\n-- +goose Down\nDROP TABLE app;\n")},
	}))(t)
	testkit.Value(app.Up(t.Context()))(t)
	if ran != 2 {
		t.Fatalf("the app ran %d of its 2 migrations: the test proves nothing", ran)
	}
	before := appTable(t, pool)
	names := objects(t, pool, "")

	holder := acquire(t, pool)
	testkit.Value(holder.Exec(t.Context(), "SELECT pg_advisory_lock($1)", lock.DefaultLockID))(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	testkit.Must(t, migrations.Up(ctx, pool))
	testkit.Must(t, migrations.Down(ctx, pool))
	testkit.Must(t, migrations.Up(ctx, pool))
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

// TestCancelWhileWaiting ends the context of a process that waits for its turn, in each way in
// which pgx ends a query: Up returns at once, and no lock is left.
func TestCancelWhileWaiting(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		handler func(*pgconn.PgConn) ctxwatch.Handler
	}{
		{"connection closed", nil},
		{"query cancelled", func(conn *pgconn.PgConn) ctxwatch.Handler {
			return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: 10 * time.Second}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			address := pgserver.EmptyDatabase(t)
			admin := pgserver.Pool(t, address)
			pool := pgserver.Pool(t, address, oneConnection, func(c *pgxpool.Config) {
				if row.handler != nil {
					c.ConnConfig.BuildContextWatcherHandler = row.handler
				}
			})
			holder := acquire(t, admin)
			testkit.Value(holder.Exec(t.Context(), "SELECT pg_advisory_lock($1)", migrations.LockID("revoke")))(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			result := make(chan error, 1)
			go func() { result <- migrations.Up(ctx, pool) }()
			waitUntilWaiting(t, admin, "")
			cancel()
			select {
			case err := <-result:
				wantOperation(t, "Up", err)
				if row.handler == nil && !errors.Is(err, context.Canceled) {
					t.Errorf("Up = %v, want the cause in it", err)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("Up still waits")
			}
			testkit.Value(holder.Exec(t.Context(), "SELECT pg_advisory_unlock_all()"))(t)
			later, cancelLater := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancelLater()
			testkit.Must(t, migrations.Up(later, pool))
			if n := locksHeld(t, admin); n != 0 {
				t.Errorf("%d advisory locks are left", n)
			}
		})
	}
}

// TestWaitBlocksNothing has a process wait for its turn: it holds no snapshot, so that a
// migration may build an index concurrently, and no timeout that is set for the app's
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
		testkit.Value(holder.Exec(t.Context(), sql))(t)
	}
	testkit.Value(holder.Exec(t.Context(), "SELECT pg_advisory_lock($1)", migrations.LockID("revoke")))(t)
	result := make(chan error, 1)
	go func() { result <- migrations.Up(t.Context(), pool) }()
	waitUntilWaiting(t, admin, "")
	testkit.Value(holder.Exec(t.Context(), "CREATE INDEX CONCURRENTLY ON app (id)"))(t)
	testkit.Value(holder.Exec(t.Context(), "SELECT pg_advisory_unlock_all()"))(t)
	testkit.Must(t, <-result)
}

func acquire(t *testing.T, pool *pgxpool.Pool) *pgxpool.Conn {
	t.Helper()
	conn := testkit.Value(pool.Acquire(t.Context()))(t)
	t.Cleanup(func() {
		_, _ = conn.Exec(context.WithoutCancel(t.Context()), "SELECT pg_advisory_unlock_all()")
		conn.Release()
	})
	return conn
}

func locksHeld(t *testing.T, pool *pgxpool.Pool) int {
	t.Helper()
	return testkit.QueryOne[int](t, pool, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
}

// waitUntilWaiting returns when a session of this database, with this application_name, has asked
// for the lock in vain.
func waitUntilWaiting(t *testing.T, pool *pgxpool.Pool, application string) {
	t.Helper()
	testkit.Eventually(t, "a session asks for the advisory lock", func() bool {
		return testkit.QueryOne[bool](t, pool, `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND state = 'idle' AND query LIKE 'SELECT pg_try_advisory_lock%' AND application_name = $1)`, application)
	})
}

// appTable returns the rows of the app's own table of versions.
func appTable(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows := testkit.Value(pool.Query(t.Context(), "SELECT v::text FROM public.goose_db_version v ORDER BY id"))(t)
	return testkit.Value(pgx.CollectRows(rows, pgx.RowTo[string]))(t)
}
