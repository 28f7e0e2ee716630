package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke/internal/absent"
	"github.com/pgrevoke/revoke/internal/oneline"
)

// Within returns a Runner for a pgx transaction of the caller's. Where tx is nil, every call is an
// error, which names WithTx.
func Within(tx pgx.Tx) Runner {
	if absent.Is(tx) {
		return noTx{"WithTx"}
	}
	return txRunner{tx}
}

// WithinSQL returns a Runner for a transaction of database/sql. Where tx is nil, every call is an
// error, which names WithSQLTx.
func WithinSQL(tx SQLTx) Runner {
	if absent.Is(tx) {
		return noTx{"WithSQLTx"}
	}
	return sqlRunner{tx}
}

// txRunner runs statements in a pgx transaction of the caller's, in one round trip.
type txRunner struct{ tx pgx.Tx }

// Run implements [Runner].
func (r txRunner) Run(ctx context.Context, stmts ...Statement) error {
	return sendBatch(ctx, r.tx, &pgx.Batch{}, stmts)
}

// Read implements [Runner].
func (r txRunner) Read(ctx context.Context, s Statement, into Reading) error {
	return readWithin(ctx, r, s, into)
}

// readWithin reads in a transaction of the caller's.
func readWithin(ctx context.Context, r Runner, s Statement, into Reading) error {
	into.Reset()
	s.Scan = into.Scan
	if err := r.Run(ctx, s); err != nil {
		return err
	}
	return into.Seen().Doubt()
}

// noTx refuses a transaction that is nil.
type noTx struct{ method string }

// Run implements [Runner].
func (r noTx) Run(context.Context, ...Statement) error {
	return fmt.Errorf("%s was given nil, not a transaction: begin one, or write by the store itself", r.method)
}

// Read implements [Runner].
func (r noTx) Read(ctx context.Context, _ Statement, _ Reading) error { return r.Run(ctx) }

// SQLTx is revoke.SQLTx.
type SQLTx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// sqlRunner runs statements in a database/sql transaction of the caller's, each in a round trip.
type sqlRunner struct{ tx SQLTx }

// errNotTx says that a handle would run each statement in a transaction of its own.
var errNotTx = errors.New("WithSQLTx was given a database or a connection, not a transaction: begin one, or write by the store itself")

// Run implements [Runner].
func (r sqlRunner) Run(ctx context.Context, stmts ...Statement) error {
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

func (r sqlRunner) one(ctx context.Context, s Statement) error {
	if s.Scan == nil {
		_, err := r.tx.ExecContext(ctx, s.SQL, texts(s.Args)...)
		return err
	}
	rows, err := r.tx.QueryContext(ctx, s.SQL, texts(s.Args)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := s.Scan(rows); err != nil {
			return err
		}
	}
	return oneline.Join(rows.Err(), rows.Close())
}

// Read implements [Runner].
func (r sqlRunner) Read(ctx context.Context, s Statement, into Reading) error {
	return readWithin(ctx, r, s, into)
}
