// Package postgres is how the packages revoke and session speak to Postgres: statements,
// how they run, and how values are written so that no setting of a connection changes them.
package postgres

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

// Statement is one SQL command with its arguments. Each row of its result is handed to
// Scan, if that is not nil. Reset, if it is not nil, forgets the rows of an attempt that
// failed.
type Statement struct {
	SQL   string
	Args  []any
	Scan  func(Row) error
	Reset func()
}

// Row is the current row of a result.
type Row interface{ Scan(dest ...any) error }

// Runner runs statements, in their order and in one transaction. Read runs one that only reads, and
// so needs no transaction of its own.
type Runner interface {
	Run(ctx context.Context, statements ...Statement) error
	Read(ctx context.Context, s Statement, r Reading) error
}

// Reading reads the rows of a statement that begins with the circumstances.
type Reading interface {
	Reset()
	Scan(current Row) error
	Seen() circumstances.Circumstances
}

// MaxAttempts bounds how often a transaction of our own is tried when Postgres asks for another
// attempt.
const MaxAttempts = 10

// Retry calls attempt again after a serialization failure or a deadlock, after a short and
// random pause.
func Retry(ctx context.Context, attempt func() error) error {
	for n := 1; ; n++ {
		err := attempt()
		if !IsRetryable(err) || n == MaxAttempts {
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

// IsRetryable reports whether Postgres asks for another attempt.
func IsRetryable(err error) bool {
	return HasCode(err, "40001", "40P01") // serialization_failure, deadlock_detected
}

// HasCode reports whether an error is one of Postgres with one of these codes.
func HasCode(err error, codes ...string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && slices.Contains(codes, pgErr.Code)
}

// OfLostRow reports whether an error is a serialization failure of a statement that was to lock or
// to update a row which another transaction has changed since the snapshot. Others of the code are
// found by SERIALIZABLE, also in a statement that only reads.
func OfLostRow(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "40001" && (pgErr.Routine == "ExecLockRows" || pgErr.Routine == "ExecUpdate")
}

// Database runs statements on connections of a pool.
type Database struct {
	Pool     *pgxpool.Pool
	Schema   string        // in which the tables stand
	Wait     time.Duration // for a connection of the pool
	ReadOnly bool          // the app's connections are read-only by its own wish

	isolated atomic.Bool // transactions are not READ COMMITTED by default
	alone    atomic.Bool // commits wait for no synchronous standby, as the last write found
}

// Run runs statements in a transaction of its own, in one round trip. The commit is one more where
// commits wait for a synchronous standby, because its notices have to be seen then. Whether they do
// is asked after the commit as well: a commit that was not watched may have waited.
func (d *Database) Run(ctx context.Context, stmts ...Statement) error {
	return Retry(ctx, func() error {
		for _, s := range stmts {
			if s.Reset != nil {
				s.Reset()
			}
		}
		return d.within(ctx, func(conn *pgx.Conn) error {
			var standbys string
			ask := Statement{SQL: standbysSQL, Scan: func(r Row) error { return r.Scan(&standbys) }}
			batch := &pgx.Batch{}
			batch.Queue(begin)
			watched := !d.alone.Load()
			var err error
			if watched {
				err = sendBatch(ctx, conn, batch, append(slices.Clip(stmts), ask))
				if err == nil {
					err = commit(ctx, conn)
				}
			} else {
				err = sendBatch(ctx, conn, batch, append(slices.Clip(stmts), Statement{SQL: "COMMIT"}, ask))
			}
			d.alone.Store(err == nil && standbys == "")
			if err == nil && !watched && standbys != "" {
				err = errUnreplicated
			}
			return d.rollback(ctx, conn, err)
		})
	})
}

// Read runs a statement that reads, and returns why its answer is not used. A snapshot must
// not be older than the wait for a lock, as that of REPEATABLE READ may be: where READ
// COMMITTED is not the default, the statement is sent again in such a transaction, and from
// then on in the first place.
func (d *Database) Read(ctx context.Context, s Statement, r Reading) error {
	s.Scan = r.Scan
	return d.within(ctx, func(conn *pgx.Conn) error {
		if !d.ReadOnly && !d.isolated.Load() {
			r.Reset()
			err := collect(ctx, conn, s)
			if err == nil {
				err = r.Seen().DoubtOwn(false)
			}
			if err != nil || !r.Seen().Isolated() {
				return err
			}
			d.isolated.Store(true)
		}
		begin := begin
		if d.ReadOnly {
			begin = beginWritable // which a server in recovery refuses
		}
		r.Reset()
		if err := d.transact(ctx, conn, begin, s); err != nil {
			return err
		}
		return r.Seen().DoubtOwn(d.ReadOnly)
	})
}

// Alone runs a statement that may write as a transaction of its own, in one round trip, and returns
// why its answer is not used. It is not tried again: where transactions are not READ COMMITTED by
// default, a row that was changed meanwhile is a serialization failure, and the statements after it
// run in READ COMMITTED. sending is called when a connection has been found.
func (d *Database) Alone(ctx context.Context, s Statement, r Reading, sending func()) error {
	s.Scan = r.Scan
	return d.within(ctx, func(conn *pgx.Conn) error {
		r.Reset()
		sending()
		var err error
		if d.isolated.Load() {
			err = d.transact(ctx, conn, begin, s)
		} else {
			err = collect(ctx, conn, s)
			if r.Seen().Isolated() || IsRetryable(err) {
				d.isolated.Store(true)
			}
		}
		if err != nil {
			return err
		}
		return r.Seen().DoubtOwn(false)
	})
}

// InTx calls fn with a transaction that is committed if fn returns nil, and rolled back otherwise,
// also where fn panics.
func (d *Database) InTx(ctx context.Context, fn func(pgx.Tx) error) error {
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
func (d *Database) within(ctx context.Context, fn func(*pgx.Conn) error) error {
	conn, err := d.acquire(ctx)
	if err != nil {
		return AcquireError{d.Explain(err)}
	}
	// After a panic too: the pool closes a connection in the middle of something.
	defer conn.Release()
	err = fn(conn.Conn())
	if circumstances.Spoils(err, d.ReadOnly) {
		_ = conn.Conn().Close(ctx) // it is given up in any case
	}
	return err
}

// acquire waits for a connection of the pool, and no longer than d.Wait: in a transaction of the
// app's own, which holds the last one, it would wait for ever.
func (d *Database) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > d.Wait {
		waiting, cancel := context.WithTimeout(ctx, d.Wait)
		defer cancel()
		ctx = waiting
	}
	return d.Pool.Acquire(ctx)
}

// Explain adds to a timeout that no connection of the pool was free.
func (d *Database) Explain(err error) error {
	stat := d.Pool.Stat()
	if !errors.Is(err, context.DeadlineExceeded) || stat.AcquiredConns() < stat.MaxConns() {
		return err
	}
	return fmt.Errorf("%w: all %d connections of the pool are in use; a call of the store within a transaction of the app "+
		"needs one more than the transaction: write by store.WithTx(tx), and check before it or after it", err, stat.MaxConns())
}

// AcquireError is why the pool has handed out no connection.
type AcquireError struct{ error }

func (e AcquireError) Unwrap() error { return e.error }

// FromHook reports whether a hook of the pool may be the cause of an error.
func FromHook(err error) bool {
	var connectErr *pgconn.ConnectError
	return errors.As(err, new(AcquireError)) && !errors.As(err, &connectErr) &&
		!errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}

// transact runs statements between begin and COMMIT, in one round trip.
func (d *Database) transact(ctx context.Context, conn *pgx.Conn, begin string, stmts ...Statement) error {
	batch := &pgx.Batch{}
	batch.Queue(begin)
	err := sendBatch(ctx, conn, batch, append(slices.Clip(stmts), Statement{SQL: "COMMIT"}))
	return d.rollback(ctx, conn, err)
}

// rollback ends a transaction that failed. Without it the pool would close the connection, which is
// still good.
func (d *Database) rollback(ctx context.Context, conn *pgx.Conn, err error) error {
	if err != nil && conn.PgConn().TxStatus() != 'I' {
		_, _ = conn.Exec(ctx, "ROLLBACK")
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
func collect(ctx context.Context, conn *pgx.Conn, s Statement) error {
	rows, err := conn.Query(ctx, s.SQL, s.Args...)
	if err != nil {
		return err
	}
	return scanAll(rows, s.Scan)
}

func scanAll(rows pgx.Rows, scan func(Row) error) error {
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
func sendBatch(ctx context.Context, conn batchSender, batch *pgx.Batch, stmts []Statement) (err error) {
	before := batch.Len()
	for _, s := range stmts {
		batch.Queue(s.SQL, s.Args...)
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
		if s.Scan == nil {
			if _, err := results.Exec(); err != nil {
				return err
			}
			continue
		}
		rows, err := results.Query()
		if err != nil {
			return err
		}
		if err := scanAll(rows, s.Scan); err != nil {
			return err
		}
	}
	return nil
}
