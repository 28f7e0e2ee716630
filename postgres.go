package revoke

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/internal/circumstances"
	"github.com/pgrevoke/revoke/internal/postgres"
)

// Postgres is the [Store] in the app's own database. It may be used from several goroutines.
//
// A check is one round trip, which checks of the same moment share: see [WithCheckQueries].
// A write of its own is one transaction and one round trip, or two where commits wait for a
// synchronous standby. It is durable when it returns nil, also where the role's
// synchronous_commit is off. It has no timeout but its ctx; only its wait for a connection
// of the pool is bounded, by [WithCheckTimeout]. To write in a transaction of yours, see
// [Postgres.WithTx]: a write by the store itself takes a second connection there, commits
// by itself, and is not undone with the transaction.
//
// A connection that leads to a standby, or to a server that a switchover has fenced, is closed at
// its first use, so that the pool opens one that may lead to the primary.
type Postgres struct {
	writer
	database *postgres.Database
	timeout  time.Duration
	checks   *coalescer // nil where each check has a query of its own
}

var _ Store = (*Postgres)(nil)

// NewPostgres returns a store in the pool's database. It does no I/O; a schema that is missing
// or too old shows at the first use, as an error that names both versions. The pool stays the
// caller's. An error says which option is wrong.
func NewPostgres(pool *pgxpool.Pool, opts ...PostgresOption) (*Postgres, error) {
	config := postgresConfig{schema: DefaultSchema, checkTimeout: DefaultCheckTimeout, checkQueries: DefaultCheckQueries}
	if pool == nil {
		return nil, errors.New("revoke: NewPostgres: pool is nil")
	}
	if err := apply("NewPostgres", &config, opts, PostgresOption.toPostgres); err != nil {
		return nil, err
	}
	pooled := pool.Config()
	if err := circumstances.CheckFence(pooled.ConnConfig.RuntimeParams); err != nil {
		return nil, fmt.Errorf("revoke: NewPostgres: %w", err)
	}
	stmts := newStatements(config.schema)
	db := &postgres.Database{Pool: pool, Schema: config.schema, Wait: config.checkTimeout, ReadOnly: config.readOnlyConnections}
	p := &Postgres{database: db, timeout: config.checkTimeout}
	p.writer = writer{
		sql:    &stmts,
		schema: config.schema,
		keep:   config.keep,
		known:  &config.issuers,
		hooks:  config.hooks,
		run:    db,
		wrap:   p.fail,
		budget: p.deadline,
	}
	if config.checkQueries > 0 {
		p.checks = &coalescer{
			database: db,
			sql:      &stmts,
			timeout:  config.checkTimeout,
			hooked: pooled.BeforeConnect != nil || pooled.AfterConnect != nil || pooled.PrepareConn != nil ||
				pooled.BeforeAcquire != nil, //nolint:staticcheck // deprecated, and still in use
			free: config.checkQueries,
		}
	}
	return p, nil
}

// Pool returns the pool that the store was given.
func (p *Postgres) Pool() *pgxpool.Pool {
	if p.database == nil {
		return nil // of a Postgres that NewPostgres has not made
	}
	return p.database.Pool
}

// Schema returns the name of the schema in which the table stands.
func (p *Postgres) Schema() string { return p.schema }

// CheckIssuer returns an error that names the issuers of [WithIssuers] where this is none of them.
// [NewValidator] asks it.
func (p *Postgres) CheckIssuer(issuer string) error { return p.known.Check(issuer) }

// ReadOnlyConnections reports whether [WithReadOnlyConnections] was given.
func (p *Postgres) ReadOnlyConnections() bool { return p.database.ReadOnly }

// CheckTimeout returns the timeout of [WithCheckTimeout].
func (p *Postgres) CheckTimeout() time.Duration { return p.timeout }

// SharedIDs reports whether [WithSharedIDs] was given.
func (p *Postgres) SharedIDs() bool { return p.keep > 0 }

// Hooks returns the hooks of [WithHook], in their order.
func (p *Postgres) Hooks() []Hook { return p.hooks.all }

// WithTx returns a Revoker for a pgx transaction, so that a new password and the end of the old
// sessions are one. Its writes take effect when tx commits, or not at all; a mirror finds them
// within its bound, or sooner by its methods Sync and Wake. It never commits or rolls back.
//
// It retries nothing, and the *pgconn.PgError of a failure is reachable with errors.As. It may be
// used as tx may: by one goroutine at a time. It is no [Checker], because under REPEATABLE READ it
// would answer from an old snapshot. Where tx is nil, every call is an error.
//
// An app that declares an interface with WithTx for its handlers can test them with the stores of
// package revoketest, which have the method too.
//
// The commit is the caller's. If it waits for a synchronous standby and the wait is cancelled,
// Postgres reports a success and sends a warning, which pgx hands to OnNotice of the pool's
// configuration alone. A failover may lose such a commit.
//
//	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
//		if _, err := tx.Exec(ctx, "UPDATE accounts SET password_hash = …"); err != nil {
//			return err
//		}
//		_, err := store.WithTx(tx).RevokeUser(ctx, user)
//		return err
//	})
func (p *Postgres) WithTx(tx pgx.Tx) Revoker { return p.within(postgres.Within(tx)) }

// SQLTx is a transaction of database/sql over pgx's stdlib driver, as *sql.Tx, and the
// transactions of sqlx, GORM, ent and bun offer it.
type SQLTx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// WithSQLTx is [Postgres.WithTx] for a transaction of database/sql over pgx's stdlib driver.
// Writes by way of a *sql.DB or a *sql.Conn fail, and do nothing.
func (p *Postgres) WithSQLTx(tx SQLTx) Revoker { return p.within(postgres.WithinSQL(tx)) }

// within returns the writer of a transaction of the caller's.
func (p *Postgres) within(run postgres.Runner) writer {
	w := p.writer
	w.run = run
	w.inTx = true
	w.budget = func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }
	return w
}

// InTx implements [Store], in a READ COMMITTED transaction of its own. It is tried ten times at
// most.
func (p *Postgres) InTx(ctx context.Context, fn func(Revoker) error) error {
	var failed error // what fn returned, which is passed on as it is
	err := postgres.Retry(ctx, func() error {
		failed = nil
		// The first failed write: fn may ignore it, but then the transaction must not commit.
		var missed error
		return p.database.InTx(ctx, func(tx pgx.Tx) error {
			in := p.within(postgres.Within(tx))
			in.wrap = func(ctx context.Context, operation string, err error) error {
				err = p.fail(ctx, operation, err)
				missed = cmp.Or(missed, err)
				return err
			}
			failed = cmp.Or(fn(in), missed)
			return failed
		})
	})
	if err == nil || (failed != nil && !postgres.IsRetryable(err)) {
		return failed
	}
	return p.fail(ctx, "InTx", err)
}

// deadline gives a query no more than the store's timeout.
func (p *Postgres) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, p.timeout)
}

// fail wraps an error of the database.
func (p *Postgres) fail(ctx context.Context, operation string, err error) error {
	return fmt.Errorf("revoke: %s: %w: %w", operation, ErrUnavailable, p.database.Problem(ctx, err))
}

// olderSchema says that the schema has an older version than is needed.
func (p *Postgres) olderSchema(version string) string { return postgres.OlderSchema(p.schema, version) }
