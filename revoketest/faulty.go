package revoketest

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke"
)

// Faulty is a [revoke.Store] that fails while it is told to: for the test that an app answers
// 503, and accepts no token, when its database is down. Otherwise it passes everything on. It
// may be used from several goroutines.
type Faulty struct {
	store   revoke.Store
	failure *atomic.Pointer[failure] // to nil while it works; its transactions share it
}

// failure is why a call fails, and whether what it asked for is done before.
type failure struct {
	cause error
	after bool
}

var _ revoke.Store = (*Faulty)(nil)

// NewFaulty returns a store that works as the one it is given until [Faulty.Fail] is called.
func NewFaulty(store revoke.Store) *Faulty {
	return &Faulty{store: store, failure: new(atomic.Pointer[failure])}
}

// Fail makes every call from now on fail with an error that matches revoke.ErrUnavailable and
// cause, before anything is done. A nil cause ends it.
func (f *Faulty) Fail(cause error) { f.set(cause, false) }

// FailAfter is like Fail, but what was asked for is done first, as when the connection is lost
// after a commit.
func (f *Faulty) FailAfter(cause error) { f.set(cause, true) }

func (f *Faulty) set(cause error, after bool) {
	if cause == nil {
		f.failure.Store(nil)
		return
	}
	f.failure.Store(&failure{cause, after})
}

// around calls do between the two moments at which a call may fail.
func (f *Faulty) around(operation string, do func() error) error {
	failure := f.failure.Load()
	if failure == nil {
		return do()
	}
	if failure.after {
		if err := do(); err != nil {
			return err
		}
	}
	return fmt.Errorf("revoketest: %s: %w: %w", operation, revoke.ErrUnavailable, failure.cause)
}

// value is around for calls that return more than an error, and returns nothing else with one.
func value[T any](f *Faulty, operation string, do func() (T, error)) (T, error) {
	var result T
	err := f.around(operation, func() (err error) {
		result, err = do()
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return result, nil
}

// Check implements [revoke.Checker].
func (f *Faulty) Check(ctx context.Context, token revoke.Token) error {
	return f.around("Check", func() error { return f.store.Check(ctx, token) })
}

// CheckIssuer passes on what the store says of an issuer, while it fails too: see
// revoke.WithIssuers.
func (f *Faulty) CheckIssuer(issuer string) error {
	if store, ok := f.store.(interface{ CheckIssuer(issuer string) error }); ok {
		return store.CheckIssuer(issuer)
	}
	return nil
}

// RevokeToken implements [revoke.Revoker].
func (f *Faulty) RevokeToken(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	return f.around("RevokeToken", func() error { return f.store.RevokeToken(ctx, token, opts...) })
}

// RevokeTokens implements [revoke.Revoker].
func (f *Faulty) RevokeTokens(ctx context.Context, tokens []revoke.Token, opts ...revoke.RevokeOption) error {
	return f.around("RevokeTokens", func() error { return f.store.RevokeTokens(ctx, tokens, opts...) })
}

// RevokeSession implements [revoke.Revoker].
func (f *Faulty) RevokeSession(ctx context.Context, session revoke.Session, opts ...revoke.RevokeOption) error {
	return f.around("RevokeSession", func() error { return f.store.RevokeSession(ctx, session, opts...) })
}

// RevokeUser implements [revoke.Revoker].
func (f *Faulty) RevokeUser(ctx context.Context, user revoke.User, opts ...revoke.RevokeOption) (revoke.Epochs, error) {
	return value(f, "RevokeUser", func() (revoke.Epochs, error) { return f.store.RevokeUser(ctx, user, opts...) })
}

// RevokeUsers implements [revoke.Revoker].
func (f *Faulty) RevokeUsers(ctx context.Context, users []revoke.User, opts ...revoke.RevokeOption) ([]revoke.Epochs, error) {
	return value(f, "RevokeUsers", func() ([]revoke.Epochs, error) { return f.store.RevokeUsers(ctx, users, opts...) })
}

// RevokeUserBefore implements [revoke.Revoker].
func (f *Faulty) RevokeUserBefore(ctx context.Context, user revoke.User, t time.Time, opts ...revoke.RevokeOption) error {
	return f.around("RevokeUserBefore", func() error { return f.store.RevokeUserBefore(ctx, user, t, opts...) })
}

// RevokeIssuer implements [revoke.Revoker].
func (f *Faulty) RevokeIssuer(ctx context.Context, issuer string, opts ...revoke.RevokeOption) (time.Time, error) {
	return value(f, "RevokeIssuer", func() (time.Time, error) { return f.store.RevokeIssuer(ctx, issuer, opts...) })
}

// Redeem implements [revoke.Revoker].
func (f *Faulty) Redeem(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	return f.around("Redeem", func() error { return f.store.Redeem(ctx, token, opts...) })
}

// Epochs implements [revoke.Revoker].
func (f *Faulty) Epochs(ctx context.Context, user revoke.User) (revoke.Epochs, error) {
	return value(f, "Epochs", func() (revoke.Epochs, error) { return f.store.Epochs(ctx, user) })
}

// IssueTime implements [revoke.Store].
func (f *Faulty) IssueTime(ctx context.Context, user revoke.User) (time.Time, error) {
	return value(f, "IssueTime", func() (time.Time, error) { return f.store.IssueTime(ctx, user) })
}

// Lookup implements [revoke.Store].
func (f *Faulty) Lookup(ctx context.Context, token revoke.Token) ([]revoke.Revocation, error) {
	return value(f, "Lookup", func() ([]revoke.Revocation, error) { return f.store.Lookup(ctx, token) })
}

// InTx implements [revoke.Store].
func (f *Faulty) InTx(ctx context.Context, fn func(revoke.Revoker) error) error {
	return f.around("InTx", func() error { return f.store.InTx(ctx, fn) })
}

// WithTx returns a Revoker of the store for the transaction. Its calls fail while the store is told
// to fail, and always if the store has no method WithTx.
func (f *Faulty) WithTx(tx pgx.Tx) revoke.Revoker {
	store, ok := f.store.(interface {
		WithTx(tx pgx.Tx) revoke.Revoker
	})
	if !ok {
		return f.without("WithTx")
	}
	return f.within(store.WithTx(tx))
}

// WithSQLTx is WithTx for a transaction of database/sql.
func (f *Faulty) WithSQLTx(tx revoke.SQLTx) revoke.Revoker {
	store, ok := f.store.(interface {
		WithSQLTx(tx revoke.SQLTx) revoke.Revoker
	})
	if !ok {
		return f.without("WithSQLTx")
	}
	return f.within(store.WithSQLTx(tx))
}

// txStore is a store of which the Revoker alone is used.
type txStore struct {
	revoke.Revoker
	unused
}

type unused interface {
	revoke.Checker
	IssueTime(ctx context.Context, user revoke.User) (time.Time, error)
	Lookup(ctx context.Context, token revoke.Token) ([]revoke.Revocation, error)
	InTx(ctx context.Context, fn func(revoke.Revoker) error) error
}

// within returns a Revoker that fails while f does.
func (f *Faulty) within(r revoke.Revoker) revoke.Revoker {
	return struct{ revoke.Revoker }{&Faulty{store: txStore{Revoker: r}, failure: f.failure}}
}

// without returns a Revoker that always fails.
func (f *Faulty) without(method string) revoke.Revoker {
	none := NewFaulty(f.store)
	none.Fail(fmt.Errorf("%T has no method %s", f.store, method))
	return struct{ revoke.Revoker }{none}
}
