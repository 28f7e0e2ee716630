package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/circumstances"
	"github.com/pgrevoke/revoke/internal/postgres"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// Sessions starts, refreshes, lists and ends the sessions of one issuer, which is the app.
// It may be used from several goroutines.
type Sessions struct {
	store     *revoke.Postgres
	database  *postgres.Database
	sql       *statements
	issuer    string
	audience  revoke.Audience
	keys      Keys
	reader    *strictjwt.Reader
	validator *revoke.Validator // of access tokens
	hooks     []revoke.RefreshHook
	config
}

// New returns the sessions of an issuer in the store's database. It does no I/O; a schema
// that is missing or too old shows at the first use. The audience is that of the access
// tokens. A refresh token has none: all sessions of one issuer and one key accept it, and
// sign for an audience of their own. So an audience that not every user of the issuer may
// reach needs an issuer of its own. The error says which argument or option is wrong.
func New(store *revoke.Postgres, issuer string, audience revoke.Audience, keys Keys, opts ...Option) (*Sessions, error) {
	s, err := newSessions(store, issuer, audience, keys, opts)
	if err != nil {
		return nil, fmt.Errorf("session: New: %w", err)
	}
	return s, nil
}

func newSessions(store *revoke.Postgres, issuer string, audience revoke.Audience, keys Keys, opts []Option) (*Sessions, error) {
	s := &Sessions{store: store, issuer: issuer, audience: audience, keys: keys, config: config{
		access: DefaultAccessLifetime, idle: DefaultIdleTimeout, absolute: DefaultAbsoluteLifetime, grace: DefaultGrace,
		algorithms: publicKeyAlgorithms(), now: time.Now,
	}}
	switch {
	case store == nil || store.Pool() == nil:
		return nil, errors.New("store is nil, or not of revoke.NewPostgres")
	case store.ReadOnlyConnections():
		return nil, errors.New("the store has WithReadOnlyConnections, and each refresh writes")
	case keys == nil:
		return nil, errors.New("keys is nil")
	}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("an option is nil")
		}
		if err := opt(&s.config); err != nil {
			return nil, err
		}
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	stmts := newStatements(store.Schema())
	s.sql = &stmts
	s.database = &postgres.Database{Pool: store.Pool(), Schema: store.Schema(), Wait: store.CheckTimeout()}
	for _, hook := range store.Hooks() {
		if hook, ok := hook.(revoke.RefreshHook); ok {
			s.hooks = append(s.hooks, hook)
		}
	}
	var err error
	if s.validator, err = s.NewValidator(store); err != nil {
		return nil, err
	}
	s.reader, err = strictjwt.NewReader(s.keyfunc(min(keysTimeout, s.deadline())), s.algorithms, strictjwt.Form{MaxSize: revoke.DefaultMaxTokenSize})
	return s, err
}

// User returns a user of this issuer by their sub.
func (s *Sessions) User(sub string) revoke.User { return revoke.User{Issuer: s.issuer, Subject: sub} }

// NewValidator returns a validator of the access tokens. The checker is a store or a
// mirror. By its issuer, its audience, its keys and its rules it accepts what these
// sessions sign, and nothing else. The options are for what narrows that, such as
// revoke.WithClaimsCheck. An option for tokens of third parties, such as revoke.WithOptionalID, or
// of another rule, such as revoke.WithIssueTime, is an error, and revoke.WithTokenType has no
// effect.
func (s *Sessions) NewValidator(checker revoke.Checker, opts ...revoke.ValidatorOption) (*revoke.Validator, error) {
	return s.newValidator(checker, s.audience, accessType, opts)
}

// newValidator returns the validator of one type of the sessions' tokens. It judges the options of
// the app without those that the type needs.
func (s *Sessions) newValidator(
	checker revoke.Checker, audience revoke.Audience, typ string, opts []revoke.ValidatorOption, more ...revoke.ValidatorOption,
) (*revoke.Validator, error) {
	ours := []revoke.ValidatorOption{revoke.WithEpochClaim(), revoke.WithTokenType(typ), revoke.WithRequiredSession()}
	validator := func(more ...revoke.ValidatorOption) (*revoke.Validator, error) {
		return revoke.NewValidator(checker, s.issuer, audience, s.keyfunc(keysTimeout), s.algorithms, slices.Concat(opts, ours, more)...)
	}
	v, err := validator()
	if err != nil {
		return nil, err
	}
	if foreign := v.ForeignOptions(); len(foreign) > 0 {
		return nil, fmt.Errorf("session: %s is for tokens of third parties, and not for those of these sessions", foreign[0])
	}
	if len(more) == 0 {
		return v, nil
	}
	return validator(more...)
}

// Tx starts and ends sessions within a transaction of the caller's: see [Sessions.WithTx].
type Tx struct {
	sessions *Sessions
	run      postgres.Runner
	revoker  revoke.Revoker
}

// WithTx returns the sessions within a pgx transaction, so that a new password and the end of the
// sessions are one. What its methods write takes effect when tx commits, or not at all: hand tokens
// out after the commit, and call Sync of a mirror yourself. It never commits or rolls back, and
// retries nothing. It may be used as tx may, by one goroutine at a time.
func (s *Sessions) WithTx(tx pgx.Tx) *Tx {
	return &Tx{s, postgres.Within(tx), s.store.WithTx(tx)}
}

// WithSQLTx is [Sessions.WithTx] for a transaction of database/sql over pgx's stdlib driver.
func (s *Sessions) WithSQLTx(tx revoke.SQLTx) *Tx {
	return &Tx{s, postgres.WithinSQL(tx), s.store.WithSQLTx(tx)}
}

// inTx calls fn with a READ COMMITTED transaction of its own, again after a serialization
// failure or a deadlock.
func (s *Sessions) inTx(ctx context.Context, operation string, fn func(*Tx) error) error {
	var failed error // what fn returned, which is passed on as it is
	err := postgres.Retry(ctx, func() error {
		failed = nil
		return s.database.InTx(ctx, func(tx pgx.Tx) error {
			failed = fn(s.WithTx(tx))
			return failed
		})
	})
	if err == nil || failed != nil && !postgres.IsRetryable(err) {
		return failed
	}
	return s.fail(ctx, operation, err)
}

// fail wraps an error of the database.
func (s *Sessions) fail(ctx context.Context, operation string, err error) error {
	return fmt.Errorf("session: %s: %w: %w", operation, revoke.ErrUnavailable, plain(s.database.Problem(ctx, err)))
}

// syncTimeout bounds how long an end waits for the mirror.
const syncTimeout = time.Second

// sync has the mirror read what has been committed. Where it does not, the mirror finds it
// within its bound, so its error is none of the call's.
func (s *Sessions) sync(ctx context.Context) {
	if s.mirror == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), syncTimeout)
	defer cancel()
	_ = s.mirror.Sync(ctx)
}

// checkUser reports what is wrong with a user of these sessions.
func (s *Sessions) checkUser(user revoke.User) error {
	if _, err := revoke.ScopeUser.Revocation(user.Issuer, user.Subject); err != nil {
		return err
	}
	if user.Issuer != s.issuer {
		return fmt.Errorf("the user is of issuer %q, and these sessions are of %q", user.Issuer, s.issuer)
	}
	return s.store.CheckIssuer(user.Issuer)
}

// keysOf are the keys of a session, of its user and of the issuer, as statements take them.
func keysOf(user revoke.User, sid string) (session, of, issuer string) {
	return postgres.HexKey(revoke.ScopeSession.Key(user.Issuer, sid)), postgres.HexKey(revoke.ScopeUser.Key(user.Issuer, user.Subject)),
		postgres.HexKey(revoke.ScopeIssuer.Key(user.Issuer, ""))
}

// told reads the rows of a statement that begins with the circumstances.
type told struct {
	circumstances.Circumstances
	columns int
	read    func(*postgres.Columns) // the columns behind the circumstances
}

func (r *told) Reset() { r.Circumstances = circumstances.Circumstances{} }

func (r *told) Seen() circumstances.Circumstances { return r.Circumstances }

func (r *told) Scan(current postgres.Row) error {
	c := postgres.ReadColumns(current, r.columns)
	said := c.Text()
	if c.Err != nil {
		return c.Err
	}
	if said != "" { // rows behind the first have none
		if err := r.Read(said); err != nil {
			return err
		}
	}
	r.read(&c)
	return c.Err
}

// ask runs a statement that begins with the circumstances in this transaction, also one
// that writes.
func (t *Tx) ask(ctx context.Context, columns int, read func(*postgres.Columns), sql string, args ...any) error {
	r := told{columns: columns, read: read}
	return t.run.Read(ctx, postgres.Statement{SQL: sql, Args: args}, &r)
}
