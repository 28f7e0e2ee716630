package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// versionTable stands in the schema, beside the tables that it tells about.
const versionTable = "schema_migrations"

// withProvider calls fn with goose, set up to see nothing but our files and our schema.
func withProvider(ctx context.Context, operation string, pool *pgxpool.Pool, opts []Option, fn func(*goose.Provider) error) error {
	err := func() error {
		if pool == nil {
			return errors.New("pool is nil")
		}
		config, err := newConfig(opts)
		if err != nil {
			return err
		}
		files, err := config.files()
		if err != nil {
			return err
		}
		base, err := database.NewStore(database.DialectPostgres, config.quoted()+"."+versionTable)
		if err != nil {
			return err
		}
		// Closing it leaves the pool open. One connection, because the pool may have no more.
		db := stdlib.OpenDBFromPool(pool)
		defer db.Close()
		db.SetMaxOpenConns(1)
		// Go migrations that the app registered with goose are the app's to run.
		provider, err := goose.NewProvider(goose.DialectCustom, db, files, goose.WithDisableGlobalRegistry(true),
			goose.WithStore(store{base, config}), goose.WithSessionLocker(locker{config}))
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return fn(provider)
	}()
	if err != nil {
		return fmt.Errorf("migrations: %s: %w", operation, err)
	}
	return nil
}

// store is goose's table of versions. goose would look for a quoted name with its quotes.
type store struct {
	database.Store
	config config
}

var _ database.StoreExtender = store{}

func (s store) TableExists(ctx context.Context, db database.DBTxConn) (exists bool, err error) {
	err = db.QueryRowContext(ctx, versionTableExists, s.config.schema, versionTable).Scan(&exists)
	return exists, err
}

const versionTableExists = "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = $2)"

// appliedVersions reads the table of versions, which need not exist. goose would create it.
func appliedVersions(ctx context.Context, pool *pgxpool.Pool, c config) (map[int64]bool, error) {
	if pool == nil {
		return nil, errors.New("pool is nil")
	}
	applied := make(map[int64]bool)
	var exists bool
	if err := pool.QueryRow(ctx, versionTableExists, c.schema, versionTable).Scan(&exists); err != nil || !exists {
		return applied, err
	}
	base, err := database.NewStore(database.DialectPostgres, c.quoted()+"."+versionTable)
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	rows, err := base.ListMigrations(ctx, db)
	for _, row := range rows {
		applied[row.Version] = row.IsApplied
	}
	return applied, err
}

// locker lets one process migrate a schema at a time, and makes the schema: goose writes its table of versions before the
// first file. Its id is its own, since the app may hold goose's, and it looks more often than goose's locker does.
//
// It asks again and again instead of waiting inside the database, because a statement that waits holds a snapshot, and CREATE
// INDEX CONCURRENTLY in a migration would wait for that in turn: a deadlock, which ends the waiter's Up. Nor does a
// lock_timeout that is meant for the app's statements end the wait.
type locker struct{ config config }

const (
	lockInterval  = 50 * time.Millisecond
	unlockTimeout = 10 * time.Second
)

// id is the key of the advisory lock of a schema.
func (l locker) id() int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("github.com/pgrevoke/revoke/migrations " + l.config.schema))
	return int64(h.Sum64())
}

// SessionLock waits for its turn.
func (l locker) SessionLock(ctx context.Context, conn *sql.Conn) (err error) {
	tick := time.NewTicker(lockInterval)
	defer tick.Stop()
	for locked := false; !locked; {
		if err := conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock($1)", l.id()).Scan(&locked); err != nil {
			// Unlocked too, because a query that was cancelled may have had its lock by then.
			return errors.Join(err, l.SessionUnlock(ctx, conn))
		}
		if locked {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for another migration of schema %q: %w", l.config.schema, context.Cause(ctx))
		}
	}
	defer func() {
		if err != nil { // goose unlocks only what was locked without an error
			err = errors.Join(err, l.SessionUnlock(ctx, conn))
		}
	}()
	// Where the schema exists its creation is not tried, because that would need a right that the role may lack.
	var exists bool
	err = conn.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)", l.config.schema).Scan(&exists)
	if err == nil && !exists {
		_, err = conn.ExecContext(ctx, "CREATE SCHEMA "+l.config.quoted())
	}
	return err
}

// SessionUnlock lets the next one in, also where ctx has ended.
func (l locker) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTimeout)
	defer cancel()
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", l.id())
	return err
}
