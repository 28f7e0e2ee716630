package revoke

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// statement is one SQL command with its arguments.
type statement struct {
	sql  string
	args []any
}

// row is the current row of a result.
type row interface{ Scan(dest ...any) error }

// runner runs statements, in their order and in one transaction, and hands each row of the last one to scan. read runs one
// that only reads, and so needs no transaction of its own.
type runner interface {
	run(ctx context.Context, scan func(row) error, statements ...statement) error
	read(ctx context.Context, scan func(row) error, s statement) error
}

// maxAttempts bounds how often a transaction of our own is tried when Postgres asks for another attempt.
const maxAttempts = 10

// retry calls attempt again after a serialization failure or a deadlock, after a short and random pause.
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

// poolRunner runs statements in a transaction of its own, BEGIN and COMMIT included, in one round trip.
type poolRunner struct {
	pool *pgxpool.Pool
	sql  *statements
}

func (r poolRunner) run(ctx context.Context, scan func(row) error, stmts ...statement) error {
	return retry(ctx, func() error { return r.attempt(ctx, scan, stmts) })
}

func (r poolRunner) read(ctx context.Context, scan func(row) error, s statement) error {
	rows, err := r.pool.Query(ctx, s.sql, s.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (r poolRunner) attempt(ctx context.Context, scan func(row) error, stmts []statement) error {
	conn, err := r.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()

	batch := &pgx.Batch{}
	batch.Queue(r.sql.begin)
	for _, s := range stmts {
		batch.Queue(s.sql, s.args...)
	}
	batch.Queue(r.sql.commit)
	err = sendBatch(ctx, conn.Conn(), batch, len(stmts), scan)
	if err != nil && conn.Conn().PgConn().TxStatus() != 'I' {
		// The connection is still good; without this the pool would close it. Where it is not, the pool does close it.
		_, _ = conn.Exec(ctx, r.sql.rollback)
	}
	return err
}

// txRunner runs statements in a pgx transaction of the caller's, in one round trip.
type txRunner struct{ tx pgx.Tx }

func (r txRunner) run(ctx context.Context, scan func(row) error, stmts ...statement) error {
	batch := &pgx.Batch{}
	for _, s := range stmts {
		batch.Queue(s.sql, s.args...)
	}
	return sendBatch(ctx, r.tx, batch, len(stmts)-1, scan)
}

func (r txRunner) read(ctx context.Context, scan func(row) error, s statement) error {
	return r.run(ctx, scan, s)
}

type batchSender interface {
	SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults
}

// sendBatch sends the batch and hands each row of the statement at index result to scan.
func sendBatch(ctx context.Context, conn batchSender, batch *pgx.Batch, result int, scan func(row) error) (err error) {
	results := conn.SendBatch(ctx, batch)
	defer func() {
		if closeErr := results.Close(); err == nil {
			err = closeErr
		}
	}()
	for i := range batch.Len() {
		if i != result || scan == nil {
			if _, err := results.Exec(); err != nil {
				return err
			}
			continue
		}
		rows, err := results.Query()
		if err != nil {
			return err
		}
		for rows.Next() {
			if err := scan(rows); err != nil {
				rows.Close()
				return err
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
	}
	return nil
}

// SQLTx is a transaction of database/sql over pgx's stdlib driver, as *sql.Tx, and the transactions of sqlx, GORM, ent
// and bun offer it.
type SQLTx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// sqlRunner runs statements in a database/sql transaction of the caller's, each in a round trip.
type sqlRunner struct{ tx SQLTx }

// errNotTx says that a handle would run each statement in a transaction of its own.
var errNotTx = errors.New("WithSQLTx was given a database or a connection, not a transaction: begin one, or write by the store itself")

func (r sqlRunner) run(ctx context.Context, scan func(row) error, stmts ...statement) error {
	// A *sql.DB, a *sql.Conn and what embeds them have the methods of a transaction, and this one beside them.
	if _, ok := r.tx.(interface {
		BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
	}); ok {
		return errNotTx
	}
	last := len(stmts) - 1
	for _, s := range stmts[:last] {
		if _, err := r.tx.ExecContext(ctx, s.sql, s.args...); err != nil {
			return err
		}
	}
	if scan == nil {
		_, err := r.tx.ExecContext(ctx, stmts[last].sql, stmts[last].args...)
		return err
	}
	rows, err := r.tx.QueryContext(ctx, stmts[last].sql, stmts[last].args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

func (r sqlRunner) read(ctx context.Context, scan func(row) error, s statement) error {
	return r.run(ctx, scan, s)
}
