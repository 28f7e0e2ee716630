package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// locker lets one process migrate a schema at a time, in a session with known settings, and makes
// the schema and the table of versions. Its id is its own, since the app may hold goose's, and it
// looks more often than goose's locker does.
//
// It asks again and again instead of waiting inside the database, because a statement that waits
// holds a snapshot, and CREATE INDEX CONCURRENTLY in a migration would wait for that in turn: a
// deadlock, which ends the waiter's Up.
type locker struct {
	config  config
	pool    *pgxpool.Pool
	pid     string // of the server process that holds the lock, empty while none does
	restore string // sets the settings of the session as they were
}

const (
	lockInterval  = 50 * time.Millisecond
	holderEvery   = 20 // attempts, after which it is asked again who holds the lock
	unlockTimeout = 10 * time.Second
	probeTimeout  = 2 * time.Second
)

// id is the key of the advisory lock of a schema.
func (l *locker) id() int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("github.com/pgrevoke/revoke/migrations " + l.config.schema))
	return int64(h.Sum64())
}

// SessionLock implements goose's lock.SessionLocker.
func (l *locker) SessionLock(ctx context.Context, conn *sql.Conn) error {
	return raw(conn, func(conn *pgx.Conn) error { return l.lock(ctx, conn) })
}

// SessionUnlock implements goose's lock.SessionLocker.
func (l *locker) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	return raw(conn, func(conn *pgx.Conn) error { return l.unlock(ctx, conn) })
}

// raw calls fn with the connection of the pool that goose uses.
func raw(conn *sql.Conn, fn func(*pgx.Conn) error) error {
	return conn.Raw(func(driver any) error {
		pooled, ok := driver.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the connection is a %T and not of pgx", driver)
		}
		return fn(pooled.Conn())
	})
}

// lock waits for its turn. After an error nothing is locked, and the settings are as they were.
func (l *locker) lock(ctx context.Context, conn *pgx.Conn) error {
	if err := l.refusePooler(ctx, conn); err != nil {
		return err
	}
	saved, err := exec(ctx, conn, savedSettings)
	if err != nil {
		return err
	}
	l.restore = string(saved[0].Rows[0][0])
	if _, err = exec(ctx, conn, settings(false)); err == nil {
		err = l.wait(ctx, conn)
	}
	if err == nil {
		err = l.prepare(ctx, conn)
	}
	if err != nil {
		return both(err, l.unlock(ctx, conn))
	}
	return nil
}

func (l *locker) wait(ctx context.Context, conn *pgx.Conn) error {
	tick := time.NewTicker(lockInterval)
	defer tick.Stop()
	holder := ""
	for attempt := 0; ; attempt++ {
		answer, err := exec(ctx, conn, fmt.Sprintf("SELECT pg_try_advisory_lock(%d)::int, pg_backend_pid()", l.id()))
		if err != nil {
			return l.waited(ctx, holder, err)
		}
		row := answer[0].Rows[0]
		if string(row[0]) == "1" {
			l.pid = string(row[1])
			return nil
		}
		if attempt%holderEvery == 0 {
			if holder, err = l.holder(ctx, conn); err != nil {
				return l.waited(ctx, holder, err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return l.waited(ctx, holder, context.Cause(ctx))
		}
	}
}

// waited says for which process it waited, where that is why it failed.
func (l *locker) waited(ctx context.Context, holder string, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("wait for another migration of schema %q%s: %w", l.config.schema, holder, err)
}

// holder describes the process that holds the lock. Of another role's process Postgres tells the
// pid alone.
func (l *locker) holder(ctx context.Context, conn *pgx.Conn) (string, error) {
	answer, err := exec(ctx, conn, fmt.Sprintf(`SELECT concat_ws(', ', l.pid, 'application_name ' || quote_literal(a.application_name), a.state)
		FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
		WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.classid = %d::oid AND l.objid = %d::oid
		AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())`, uint64(l.id())>>32, uint32(l.id())))
	if err != nil || len(answer[0].Rows) == 0 {
		return "", err
	}
	return ", which process " + string(answer[0].Rows[0][0]) + " holds", nil
}

// prepare makes what stands before the first migration: goose writes its table of versions before
// the first file. Where they exist their creation is not tried, because that would need a right
// that the role may lack. What another tool or a restore has made is noted as applied.
func (l *locker) prepare(ctx context.Context, conn *pgx.Conn) error {
	f, err := look(ctx, conn, l.config)
	if err != nil {
		return err
	}
	var statements []string
	if f.server.Usage == nil {
		statements = append(statements, "CREATE SCHEMA "+l.config.quoted())
	}
	if f.server.ReadsVersions == nil {
		statements = append(statements, store(l.config).create())
	}
	steps, err := readSteps(l.config)
	if err != nil {
		return err
	}
	for _, s := range steps {
		if s.version <= f.stated && !slices.Contains(f.applied, s.version) {
			statements = append(statements, store(l.config).insert(s.version))
		}
	}
	_, err = exec(ctx, conn, strings.Join(statements, "; "))
	return err
}

// unlock lets the next process in, also where ctx has ended, and restores the settings. A session
// in which that fails is closed, which ends both.
func (l *locker) unlock(ctx context.Context, conn *pgx.Conn) error {
	held := l.pid
	l.pid = ""
	if conn.IsClosed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTimeout)
	defer cancel()
	// Also where the lock was not given, because a query that was cancelled may have had it.
	answer, err := exec(ctx, conn, fmt.Sprintf("SELECT pg_advisory_unlock(%d)::int; %s", l.id(), l.restore))
	if err == nil && held != "" && string(answer[0].Rows[0][0]) != "1" {
		err = fmt.Errorf("another session than the one that holds the lock has answered: %w; end that one by: SELECT pg_terminate_backend(%s)",
			errPooled, held)
	}
	if err != nil {
		_ = conn.Close(ctx) // it is given up in any case
	}
	return err
}

// errPooled says that the lock would not be released.
var errPooled = errors.New("a pooler in transaction mode stands before the server, and the lock of a migration would stay behind; " +
	"connect to Postgres itself or to a pooler in session mode")

// refusePooler looks for a pooler that gives the session to other clients between transactions. A
// pooler, in whichever mode, makes up the number of the process that it tells its clients. In
// transaction mode it gives a second client the session that this one has just used. In session
// mode that is never so.
func (l *locker) refusePooler(ctx context.Context, conn *pgx.Conn) error {
	first, err := backend(ctx, conn)
	if err != nil || first == fmt.Sprint(conn.PgConn().PID()) {
		return err
	}
	probe, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	// In session mode it waits for a session, if there is no other.
	waits := func() bool { return probe.Err() != nil && ctx.Err() == nil }
	other, err := l.connect(probe)
	if err != nil && waits() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUndecided, err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
		defer cancel()
		_ = other.Close(closing)
	}()
	for range probes {
		theirs, err := backend(probe, other)
		switch {
		case err != nil && waits():
			return nil
		case err != nil:
			return fmt.Errorf("%w: %w", errUndecided, err)
		case theirs == first:
			return errPooled
		}
	}
	again, err := backend(ctx, conn)
	if err == nil && again != first {
		return errPooled
	}
	return err
}

// probes is how often the second client asks, because the pooler may hand out its sessions in turn.
const probes = 64

// errUndecided says that a pooler may be in transaction mode.
var errUndecided = errors.New("a pooler stands before the server, and a second connection that would tell whether it is in session mode failed; " +
	"connect to Postgres itself or repeat the call")

// connect opens a connection beside the pool, which may have no more than one.
func (l *locker) connect(ctx context.Context) (*pgx.Conn, error) {
	pool := l.pool.Config()
	if pool.BeforeConnect != nil {
		if err := pool.BeforeConnect(ctx, pool.ConnConfig); err != nil {
			return nil, err
		}
	}
	return pgx.ConnectConfig(ctx, pool.ConnConfig)
}

// backend returns the number of the process that serves the connection.
func backend(ctx context.Context, conn *pgx.Conn) (string, error) {
	answer, err := exec(ctx, conn, "SELECT pg_catalog.pg_backend_pid()")
	if err != nil {
		return "", err
	}
	return string(answer[0].Rows[0][0]), nil
}
