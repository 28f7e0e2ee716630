package revoke

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/internal/circumstances"
	"github.com/pgrevoke/revoke/internal/oneline"
)

// statement is one SQL command with its arguments. Each row of its result is handed to
// scan, if that is not nil. reset, if it is not nil, forgets the rows of an attempt that
// failed.
type statement struct {
	sql   string
	args  []any
	scan  func(row) error
	reset func()
}

// row is the current row of a result.
type row interface{ Scan(dest ...any) error }

// runner runs statements, in their order and in one transaction. read runs one that only reads, and
// so needs no transaction of its own.
type runner interface {
	run(ctx context.Context, statements ...statement) error
	read(ctx context.Context, s statement, r reading) error
}

// reading reads the rows of a statement that begins with the circumstances.
type reading interface {
	reset()
	scan(current row) error
	seen() circumstances.Circumstances
}

// maxAttempts bounds how often a transaction of our own is tried when Postgres asks for another
// attempt.
const maxAttempts = 10

// retry calls attempt again after a serialization failure or a deadlock, after a short and
// random pause.
func retry(ctx context.Context, attempt func() error) error {
	for n := 1; ; n++ {
		err := attempt()
		if !isRetryable(err) || n == maxAttempts {
			return err
		}
		pause := time.NewTimer(rand.N(time.Duration(n) * 5 * time.Millisecond))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

func isRetryable(err error) bool {
	return hasCode(err, "40001", "40P01") // serialization_failure, deadlock_detected
}

func hasCode(err error, codes ...string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && slices.Contains(codes, pgErr.Code)
}

// database runs statements on connections of a pool.
type database struct {
	pool     *pgxpool.Pool
	sql      *statements
	wait     time.Duration // for a connection of the pool
	readOnly bool          // the app's connections are read-only by its own wish
	isolated atomic.Bool   // transactions are not READ COMMITTED by default
	alone    atomic.Bool   // commits wait for no synchronous standby, as the last write found
}

// run runs statements in a transaction of its own, in one round trip. The commit is one more where
// commits wait for a synchronous standby, because its notices have to be seen then. Whether they do
// is asked after the commit as well: a commit that was not watched may have waited.
func (d *database) run(ctx context.Context, stmts ...statement) error {
	return retry(ctx, func() error {
		for _, s := range stmts {
			if s.reset != nil {
				s.reset()
			}
		}
		return d.within(ctx, func(conn *pgx.Conn) error {
			var standbys string
			ask := statement{sql: d.sql.standbys, scan: func(r row) error { return r.Scan(&standbys) }}
			batch := &pgx.Batch{}
			batch.Queue(d.sql.begin)
			watched := !d.alone.Load()
			var err error
			if watched {
				err = sendBatch(ctx, conn, batch, append(slices.Clip(stmts), ask))
				if err == nil {
					err = commit(ctx, conn)
				}
			} else {
				err = sendBatch(ctx, conn, batch, append(slices.Clip(stmts), statement{sql: d.sql.commit}, ask))
			}
			d.alone.Store(err == nil && standbys == "")
			if err == nil && !watched && standbys != "" {
				err = errUnreplicated
			}
			return d.rollback(ctx, conn, err)
		})
	})
}

// read runs a statement that reads, and returns why its answer is not used. A snapshot must
// not be older than the wait for a lock, as that of REPEATABLE READ may be: where READ
// COMMITTED is not the default, the statement is sent again in such a transaction, and from
// then on in the first place.
func (d *database) read(ctx context.Context, s statement, r reading) error {
	s.scan = r.scan
	return d.within(ctx, func(conn *pgx.Conn) error {
		if !d.readOnly && !d.isolated.Load() {
			r.reset()
			err := collect(ctx, conn, s)
			if err == nil {
				err = r.seen().DoubtOwn(false)
			}
			if err != nil || !r.seen().Isolated() {
				return err
			}
			d.isolated.Store(true)
		}
		begin := d.sql.begin
		if d.readOnly {
			begin = d.sql.beginWritable // which a server in recovery refuses
		}
		r.reset()
		if err := d.transact(ctx, conn, begin, s); err != nil {
			return err
		}
		return r.seen().DoubtOwn(d.readOnly)
	})
}

// inTx calls fn with a transaction that is committed if fn returns nil, and rolled back otherwise,
// also where fn panics.
func (d *database) inTx(ctx context.Context, fn func(pgx.Tx) error) error {
	return d.within(ctx, func(conn *pgx.Conn) error {
		tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
		if err != nil {
			return err
		}
		committing := false
		defer func() {
			if !committing {
				_ = tx.Rollback(ctx) // where it fails, the pool closes the connection
			}
		}()
		if err := fn(tx); err != nil {
			return err
		}
		committing = true
		return d.rollback(ctx, conn, commit(ctx, conn))
	})
}

// within calls fn with a connection of the pool, and closes one that is not to be used again.
func (d *database) within(ctx context.Context, fn func(*pgx.Conn) error) error {
	conn, err := d.acquire(ctx)
	if err != nil {
		return acquireError{d.explain(err)}
	}
	// After a panic too: the pool closes a connection in the middle of something.
	defer conn.Release()
	err = fn(conn.Conn())
	if circumstances.Spoils(err, d.readOnly) {
		_ = conn.Conn().Close(ctx) // it is given up in any case
	}
	return err
}

// acquire waits for a connection of the pool, and no longer than d.wait: in a transaction of the
// app's own, which holds the last one, it would wait for ever.
func (d *database) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > d.wait {
		waiting, cancel := context.WithTimeout(ctx, d.wait)
		defer cancel()
		ctx = waiting
	}
	return d.pool.Acquire(ctx)
}

// explain adds to a timeout that no connection of the pool was free.
func (d *database) explain(err error) error {
	stat := d.pool.Stat()
	if !errors.Is(err, context.DeadlineExceeded) || stat.AcquiredConns() < stat.MaxConns() {
		return err
	}
	return fmt.Errorf("%w: all %d connections of the pool are in use; a call of the store within a transaction of the app "+
		"needs one more than the transaction: write by store.WithTx(tx), and check before it or after it", err, stat.MaxConns())
}

// acquireError is why the pool has handed out no connection.
type acquireError struct{ error }

func (e acquireError) Unwrap() error { return e.error }

// fromHook reports whether a hook of the pool may be the cause of an error.
func fromHook(err error) bool {
	var connectErr *pgconn.ConnectError
	return errors.As(err, new(acquireError)) && !errors.As(err, &connectErr) &&
		!errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}

// transact runs statements between begin and COMMIT, in one round trip.
func (d *database) transact(ctx context.Context, conn *pgx.Conn, begin string, stmts ...statement) error {
	batch := &pgx.Batch{}
	batch.Queue(begin)
	err := sendBatch(ctx, conn, batch, append(slices.Clip(stmts), statement{sql: d.sql.commit}))
	return d.rollback(ctx, conn, err)
}

// rollback ends a transaction that failed. Without it the pool would close the connection, which is
// still good.
func (d *database) rollback(ctx context.Context, conn *pgx.Conn, err error) error {
	if err != nil && conn.PgConn().TxStatus() != 'I' {
		_, _ = conn.Exec(ctx, d.sql.rollback)
	}
	return err
}

// errUnreplicated says that a commit may be durable on the primary alone.
var errUnreplicated = errors.New("the commit may not have waited for its synchronous standby, so a failover may lose it; " +
	"the outcome is unknown: repeat the call")

// commit sends COMMIT and reads its answer message by message. Postgres reports success with a
// warning where a commit that waits for a synchronous standby is cancelled (SyncRepWaitForLSN). pgx
// hands notices to a function of the connection's configuration alone, which is the app's.
func commit(ctx context.Context, conn *pgx.Conn) error {
	pg := conn.PgConn()
	pg.Frontend().SendQuery(&pgproto3.Query{String: "COMMIT"})
	if err := pg.Frontend().Flush(); err != nil {
		return oneline.Join(err, conn.Close(ctx))
	}
	var failed error
	for {
		message, err := pg.ReceiveMessage(ctx)
		if err != nil {
			return oneline.Join(err, conn.Close(ctx)) // the rest of the answer is not read
		}
		switch m := message.(type) {
		case *pgproto3.NoticeResponse:
			if m.Routine == "SyncRepWaitForLSN" {
				failed = errUnreplicated
			}
		case *pgproto3.ErrorResponse:
			failed = pgconn.ErrorResponseToPgError(m)
		case *pgproto3.CommandComplete:
			if tag := string(m.CommandTag); tag != "COMMIT" {
				failed = fmt.Errorf("COMMIT was answered with %s", tag)
			}
		case *pgproto3.ReadyForQuery:
			return failed
		}
	}
}

// collect runs one statement in no transaction and hands each row to scan.
func collect(ctx context.Context, conn *pgx.Conn, s statement) error {
	rows, err := conn.Query(ctx, s.sql, s.args...)
	if err != nil {
		return err
	}
	return scanAll(rows, s.scan)
}

func scanAll(rows pgx.Rows, scan func(row) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

type batchSender interface {
	SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults
}

// sendBatch sends the batch with the statements behind it, in one round trip.
func sendBatch(ctx context.Context, conn batchSender, batch *pgx.Batch, stmts []statement) (err error) {
	before := batch.Len()
	for _, s := range stmts {
		batch.Queue(s.sql, s.args...)
	}
	results := conn.SendBatch(ctx, batch)
	defer func() {
		if closeErr := results.Close(); err == nil {
			err = closeErr
		}
	}()
	for range before {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	for _, s := range stmts {
		if s.scan == nil {
			if _, err := results.Exec(); err != nil {
				return err
			}
			continue
		}
		rows, err := results.Query()
		if err != nil {
			return err
		}
		if err := scanAll(rows, s.scan); err != nil {
			return err
		}
	}
	return nil
}
