package revoke

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke/internal/oneline"
)

// txRunner runs statements in a pgx transaction of the caller's, in one round trip.
type txRunner struct{ tx pgx.Tx }

func (r txRunner) run(ctx context.Context, stmts ...statement) error {
	return sendBatch(ctx, r.tx, &pgx.Batch{}, stmts)
}

func (r txRunner) read(ctx context.Context, s statement, into reading) error {
	return readWithin(ctx, r, s, into)
}

// readWithin reads in a transaction of the caller's.
func readWithin(ctx context.Context, r runner, s statement, into reading) error {
	into.reset()
	s.scan = into.scan
	if err := r.run(ctx, s); err != nil {
		return err
	}
	return into.seen().Doubt()
}

// noTx refuses a transaction that is nil.
type noTx struct{ method string }

func (r noTx) run(context.Context, ...statement) error {
	return fmt.Errorf("%s was given nil, not a transaction: begin one, or write by the store itself", r.method)
}

func (r noTx) read(ctx context.Context, _ statement, _ reading) error { return r.run(ctx) }

// SQLTx is a transaction of database/sql over pgx's stdlib driver, as *sql.Tx, and the
// transactions of sqlx, GORM, ent and bun offer it.
type SQLTx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// sqlRunner runs statements in a database/sql transaction of the caller's, each in a round trip.
type sqlRunner struct{ tx SQLTx }

// errNotTx says that a handle would run each statement in a transaction of its own.
var errNotTx = errors.New("WithSQLTx was given a database or a connection, not a transaction: begin one, or write by the store itself")

func (r sqlRunner) run(ctx context.Context, stmts ...statement) error {
	// A *sql.DB, a *sql.Conn and types that embed them have the methods of a transaction,
	// and this one beside them.
	if _, ok := r.tx.(interface {
		BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
	}); ok {
		return errNotTx
	}
	for _, s := range stmts {
		if err := r.one(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (r sqlRunner) one(ctx context.Context, s statement) error {
	if s.scan == nil {
		_, err := r.tx.ExecContext(ctx, s.sql, s.args...)
		return err
	}
	rows, err := r.tx.QueryContext(ctx, s.sql, s.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := s.scan(rows); err != nil {
			return err
		}
	}
	return oneline.Join(rows.Err(), rows.Close())
}

func (r sqlRunner) read(ctx context.Context, s statement, into reading) error {
	return readWithin(ctx, r, s, into)
}
