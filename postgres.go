package revoke

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Postgres is the [Store] in the app's own database. It may be used from several goroutines.
//
// A check is one round trip, which checks of the same moment share: see [WithCheckQueries]. A write of its own is one
// transaction and one round trip, and is durable when it returns nil, also where the role's synchronous_commit is off. It has no
// timeout but its ctx. To write in a transaction of yours, see [Postgres.WithTx].
type Postgres struct {
	writer
	pool    *pgxpool.Pool
	timeout time.Duration
	checks  *coalescer // nil where each check has a query of its own
}

var _ Store = (*Postgres)(nil)

// NewPostgres returns a store in the pool's database. It does no I/O; a schema that is missing or too old shows at the
// first use, as an error that names both versions. The pool stays the caller's. An error says which option is wrong.
func NewPostgres(pool *pgxpool.Pool, opts ...PostgresOption) (*Postgres, error) {
	config := postgresConfig{schema: DefaultSchema, checkTimeout: DefaultCheckTimeout, checkQueries: DefaultCheckQueries}
	if pool == nil {
		return nil, errors.New("revoke: NewPostgres: pool is nil")
	}
	if err := apply("NewPostgres", &config, opts); err != nil {
		return nil, err
	}
	p := &Postgres{pool: pool, timeout: config.checkTimeout}
	stmts := newStatements(config.schema)
	p.writer = writer{
		sql:    &stmts,
		schema: config.schema,
		skew:   config.issuerSkew,
		run:    poolRunner{pool: pool, sql: &stmts},
		wrap:   p.fail,
		budget: p.deadline,
	}
	if config.checkQueries > 0 {
		p.checks = &coalescer{pool: pool, sql: &stmts, timeout: config.checkTimeout, free: config.checkQueries}
	}
	return p, nil
}

// Pool returns the pool that the store was given.
func (p *Postgres) Pool() *pgxpool.Pool { return p.pool }

// Schema returns the name of the schema in which the tables stand.
func (p *Postgres) Schema() string { return p.schema }

// Tx writes revocations, and reads epochs, in a transaction of the caller's, which it never commits or rolls back:
// they become true with its commit, or not at all. It is no [Checker], because under REPEATABLE READ it would answer
// from an old snapshot. It retries nothing, and the *pgconn.PgError of a failure is reachable with errors.As. It may be
// used as the transaction may: by one goroutine at a time.
type Tx struct{ writer }

var _ Revoker = (*Tx)(nil)

// WithTx returns a Revoker for a pgx transaction, so that a new password and the end of the old sessions are one. What it
// writes takes effect when tx commits; a mirror finds it within its bound, or sooner by its methods Sync and Wake.
//
//	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
//		if _, err := tx.Exec(ctx, "UPDATE accounts SET password_hash = …"); err != nil {
//			return err
//		}
//		_, err := store.WithTx(tx).RevokeUser(ctx, user)
//		return err
//	})
func (p *Postgres) WithTx(tx pgx.Tx) *Tx { return p.within(txRunner{tx: tx}) }

// WithSQLTx is [Postgres.WithTx] for a transaction of database/sql over pgx's stdlib driver. Writes by way of a *sql.DB or a
// *sql.Conn fail, and do nothing.
func (p *Postgres) WithSQLTx(tx SQLTx) *Tx { return p.within(sqlRunner{tx: tx}) }

func (p *Postgres) within(run runner) *Tx {
	w := p.writer
	w.run = run
	w.budget = func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }
	return &Tx{writer: w}
}

// InTx implements [Store], in a READ COMMITTED transaction of its own. It is tried ten times at most.
func (p *Postgres) InTx(ctx context.Context, fn func(Revoker) error) error {
	var failed error // what fn returned, which is passed on as it is
	err := retry(ctx, func() error {
		failed = nil
		var missed error // the first write that failed, which fn may ignore and the commit must not
		options := pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}
		return pgx.BeginTxFunc(ctx, p.pool, options, func(tx pgx.Tx) error {
			in := p.WithTx(tx)
			in.wrap = func(ctx context.Context, operation string, err error) error {
				err = p.fail(ctx, operation, err)
				missed = cmp.Or(missed, err)
				return err
			}
			failed = cmp.Or(fn(in), missed)
			return failed
		})
	})
	if err == nil || (failed != nil && !isRetryable(err)) {
		return failed
	}
	return p.fail(ctx, "InTx", err)
}

// Check implements [Checker]. Beyond ctx it has a timeout of its own, see [WithCheckTimeout].
func (p *Postgres) Check(ctx context.Context, token Token) error {
	if err := token.ValidateCheck(); err != nil {
		return fmt.Errorf("revoke: Check: %w", err)
	}
	answer, err := p.ask(ctx, keysOf(token))
	if err != nil {
		return p.fail(ctx, "Check", err)
	}
	return answer.judge(token)
}

// ask asks about the keys in a query of their own, or in one that is shared.
func (p *Postgres) ask(ctx context.Context, keys [4]pgtype.UUID) (a answer, err error) {
	if p.checks != nil {
		return p.checks.check(ctx, keys)
	}
	ctx, cancel := p.deadline(ctx)
	defer cancel()
	err = p.pool.QueryRow(ctx, p.sql.check, keys[0], keys[1], keys[2], keys[3]).Scan(
		&a.standby, &a.now, &a.token, &a.session, &a.user, &a.issuer)
	return a, err
}

// keysOf returns the keys of the token, its session, its user and its issuer. One that the token does not name is null,
// and equals no row's key.
func keysOf(token Token) (keys [4]pgtype.UUID) {
	if token.ID != "" {
		keys[0] = token.key().uuid()
	}
	if token.SessionID != "" {
		keys[1] = Session{Issuer: token.Issuer, ID: token.SessionID}.key().uuid()
	}
	if token.Subject != "" {
		keys[2] = User{Issuer: token.Issuer, Subject: token.Subject}.key().uuid()
	}
	keys[3] = issuerKey(token.Issuer).uuid()
	return keys
}

// answer is what the database says of one token, from one snapshot. Times are in microseconds since 1970.
type answer struct {
	standby                      bool
	now                          int64
	token, session, user, issuer pgtype.Int8 // null where there is no row
}

// errStandby explains an answer that may be old: a standby does not know what was committed since.
var errStandby = errors.New("a standby answered; connect to the primary, for instance with target_session_attrs=read-write")

func (a answer) judge(token Token) error {
	if a.standby {
		return fmt.Errorf("revoke: Check: %w: %w", ErrUnavailable, errStandby)
	}
	if a.token.Valid {
		return &RevokedError{Scope: ScopeToken, Since: utc(a.token.Int64)}
	}
	if a.session.Valid {
		return &RevokedError{Scope: ScopeSession, Since: utc(a.session.Int64)}
	}
	if err := a.epochs().Judge(token); err != nil {
		return err
	}
	if err := token.ValidateLifetime(utc(a.now)); err != nil {
		return fmt.Errorf("revoke: Check: %w", err)
	}
	return nil
}

// epochs are 0 where there is no row.
func (a answer) epochs() Epochs { return Epochs{User: a.user.Int64, Issuer: a.issuer.Int64} }

// utc returns the time of a number of microseconds since 1970.
func utc(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// Lookup implements [Store].
func (p *Postgres) Lookup(ctx context.Context, token Token) ([]Revocation, error) {
	if err := token.ValidateCheck(); err != nil {
		return nil, fmt.Errorf("revoke: Lookup: %w", err)
	}
	queryCtx, cancel := p.deadline(ctx)
	defer cancel()
	keys := keysOf(token)
	rows, err := p.pool.Query(queryCtx, p.sql.lookup, keys[0], keys[1], keys[2], keys[3])
	if err != nil {
		return nil, p.fail(ctx, "Lookup", err)
	}
	var found []Revocation
	standby := false
	var r Revocation
	var since pgtype.Int8 // null for a session that goes on
	var expiresAt int64
	var inRecovery bool
	_, err = pgx.ForEachRow(rows, []any{&r.Scope, &since, &expiresAt, &r.Reason, &r.Actor, &inRecovery}, func() error {
		standby = standby || inRecovery
		dead := false // as the clock's row
		switch r.Scope {
		case ScopeToken, ScopeSession:
			dead = since.Valid
		case ScopeUser:
			dead = Epochs{User: since.Int64}.Judge(token) != nil
		case ScopeIssuer:
			dead = Epochs{Issuer: since.Int64}.Judge(token) != nil
		}
		if !dead {
			return nil
		}
		r.Since, r.ExpiresAt = utc(since.Int64), utc(expiresAt)
		found = append(found, r)
		return nil
	})
	if err != nil {
		return nil, p.fail(ctx, "Lookup", err)
	}
	if standby {
		return nil, fmt.Errorf("revoke: Lookup: %w: %w", ErrUnavailable, errStandby)
	}
	slices.SortStableFunc(found, func(a, b Revocation) int { return cmp.Compare(a.Scope.width(), b.Scope.width()) })
	return found, nil
}

// IssueTime implements [Store].
func (p *Postgres) IssueTime(ctx context.Context, user User) (time.Time, error) {
	for {
		epochs, now, err := p.readEpochs(ctx, "IssueTime", user)
		if err != nil {
			return time.Time{}, err
		}
		iat, wait := epochs.IssueTime(now)
		if wait == 0 {
			return iat, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return time.Time{}, fmt.Errorf("revoke: IssueTime: %w: %w", ErrUnavailable, ctx.Err())
		}
	}
}

// deadline gives a query no more than the store's timeout.
func (p *Postgres) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, p.timeout)
}

// fail wraps what went wrong in the database. Where the schema is missing or too old it says so.
func (p *Postgres) fail(ctx context.Context, operation string, err error) error {
	// invalid_schema_name, undefined_table, undefined_column, undefined_function
	if hasCode(err, "3F000", "42P01", "42703", "42883") {
		err = fmt.Errorf("%s: %w", p.schemaProblem(ctx), err)
	}
	return fmt.Errorf("revoke: %s: %w: %w", operation, ErrUnavailable, err)
}

func (p *Postgres) schemaProblem(ctx context.Context) string {
	const mend = "run migrations.Up of github.com/pgrevoke/revoke/migrations"
	ctx, cancel := p.deadline(ctx)
	defer cancel()
	var found int
	switch err := p.pool.QueryRow(ctx, p.sql.schemaVersion).Scan(&found); {
	case hasCode(err, "3F000", "42883"):
		return fmt.Sprintf("schema %q has version 0 (none), version %d is needed: %s", p.schema, SchemaVersion, mend)
	case err != nil:
		return fmt.Sprintf("the version of schema %q cannot be read (%v), version %d is needed", p.schema, err, SchemaVersion)
	case found < SchemaVersion:
		return fmt.Sprintf("schema %q has version %d, version %d is needed: %s", p.schema, found, SchemaVersion, mend)
	default:
		return fmt.Sprintf("schema %q says version %d, but has been changed by hand", p.schema, found)
	}
}
