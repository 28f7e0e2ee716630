// Package revoketest is for the tests of apps that use revoke, and of stores that implement it:
// a store in memory, a store that fails on purpose, and the conformance suite that every store
// passes. It imports revoke, pgx for the type of a transaction, and the standard library. Package
// pgtest beside it gives tests a real Postgres.
package revoketest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/absent"
	"github.com/pgrevoke/revoke/internal/issuers"
)

// Memory is a [revoke.Store] in memory, for tests. It keeps every promise of the interface but
// that of surviving its process. It may be used from several goroutines.
type Memory struct {
	now   func() time.Time
	known issuers.Known
	turn  chan struct{} // holds one element while a writer works, for as long as a transaction

	mu     sync.Mutex
	rows   rows
	missed error // the first write that failed
}

var _ revoke.Store = (*Memory)(nil)

// MemoryOption configures [NewMemory].
type MemoryOption func(*Memory)

// WithClock sets the store's clock. Default: [time.Now].
func WithClock(now func() time.Time) MemoryOption {
	return func(m *Memory) { m.now = now }
}

// WithIssuers names the store's issuers: see [revoke.WithIssuers]. It panics if a name is not one
// that an issuer can have.
func WithIssuers(names ...string) MemoryOption {
	return func(m *Memory) {
		if err := m.known.AddNames(names); err != nil {
			panic(fmt.Sprintf("revoketest: WithIssuers: %v", err))
		}
	}
}

// NewMemory returns an empty store.
func NewMemory(opts ...MemoryOption) *Memory {
	m := newMemory(make(rows))
	for _, opt := range opts {
		opt(m)
	}
	return m
}

func newMemory(r rows) *Memory {
	return &Memory{now: time.Now, turn: make(chan struct{}, 1), rows: r}
}

// CheckIssuer returns an error if [WithIssuers] named issuers and issuer is none of them.
func (m *Memory) CheckIssuer(issuer string) error { return m.known.Check(issuer) }

// checkToken is CheckIssuer for a Token's.
func (m *Memory) checkToken(token revoke.Token) error {
	if err := m.CheckIssuer(token.Issuer); err != nil {
		return fmt.Errorf("%w: %w", revoke.ErrInvalidToken, err)
	}
	return nil
}

// record returns the record of a revocation, unless the store was told of other issuers.
func (m *Memory) record(scope revoke.Scope, issuer, id string, opts []revoke.RevokeOption) (revoke.Revocation, error) {
	r, err := scope.Revocation(issuer, id, opts...)
	return r, cmp.Or(err, m.CheckIssuer(issuer))
}

// rows are records by their key.
type rows map[[16]byte]revoke.Revocation

// tell tells the verdict which of its keys there are, and returns the rows at their places.
func (r rows) tell(v *revoke.Verdict, keys [4][16]byte) (found [4]revoke.Revocation) {
	for i, key := range keys {
		if row, ok := r[key]; ok {
			v.Found(i, row.Since.UnixMicro())
			found[i] = row
		}
	}
	return found
}

// keepFor is how long a record of tokens with an unknown expiry is kept.
const keepFor = revoke.MaxTokenLifetime + revoke.MaxLeeway

// Check implements [revoke.Checker].
func (m *Memory) Check(ctx context.Context, token revoke.Token) error {
	var v revoke.Verdict
	if _, err := m.ask(ctx, "Check", &v, token, v.OfToken); err != nil {
		return err
	}
	return named("Check", v.Check(m.now()))
}

// Lookup implements [revoke.Store].
func (m *Memory) Lookup(ctx context.Context, token revoke.Token) ([]revoke.Revocation, error) {
	var v revoke.Verdict
	found, err := m.ask(ctx, "Lookup", &v, token, v.OfToken)
	if err != nil {
		return nil, err
	}
	var revocations []revoke.Revocation
	for i, row := range found {
		if v.Refuses(i) {
			revocations = append(revocations, row)
		}
	}
	return revocations, nil
}

// ask asks the verdict's question of the rows.
func (m *Memory) ask(ctx context.Context, operation string, v *revoke.Verdict, token revoke.Token,
	question func(revoke.Token) ([4][16]byte, error),
) (found [4]revoke.Revocation, err error) {
	keys, err := question(token)
	err = cmp.Or(err, m.checkToken(token), unavailable(ctx))
	if err != nil {
		return found, named(operation, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rows.tell(v, keys), nil
}

// IssueTime implements [revoke.Store].
func (m *Memory) IssueTime(ctx context.Context, user revoke.User) (time.Time, error) {
	for {
		v, err := m.askUser(ctx, user)
		if err != nil {
			return time.Time{}, named("IssueTime", err)
		}
		iat, wait := v.IssueTime(m.now())
		if wait == 0 {
			return iat, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return time.Time{}, named("IssueTime", unavailable(ctx))
		}
	}
}

// Epochs implements [revoke.Revoker].
func (m *Memory) Epochs(ctx context.Context, user revoke.User) (revoke.Epochs, error) {
	v, err := m.askUser(ctx, user)
	return v.Epochs(), named("Epochs", err)
}

func (m *Memory) askUser(ctx context.Context, user revoke.User) (v revoke.Verdict, err error) {
	keys, err := v.OfUser(user)
	err = cmp.Or(err, m.CheckIssuer(user.Issuer), unavailable(ctx))
	if err != nil {
		return v, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows.tell(&v, keys)
	return v, nil
}

// InTx implements [revoke.Store]: fn works on a copy, which replaces the original if fn
// returns nil. Other writers wait, for revoke.DefaultCheckTimeout at most, so within fn a
// write by the store itself fails.
func (m *Memory) InTx(ctx context.Context, fn func(revoke.Revoker) error) error {
	if err := m.begin(ctx); err != nil {
		return named("InTx", err)
	}
	defer m.end()
	m.mu.Lock()
	work := newMemory(maps.Clone(m.rows))
	m.mu.Unlock()
	work.now, work.known = m.now, m.known
	if err := cmp.Or(fn(struct{ revoke.Revoker }{work}), work.missed); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows = work.rows
	return nil
}

// WithTx has the method of [revoke.Postgres], for handlers that write in a transaction of
// the app's. This store takes no part in tx: its writes take effect at once, and a rollback
// does not undo them. Whether both commit or neither is for a test on Postgres. If tx is
// nil, every call is an error.
func (m *Memory) WithTx(tx pgx.Tx) revoke.Revoker { return inTransaction(m, "WithTx", tx) }

// WithSQLTx is WithTx for a transaction of database/sql.
func (m *Memory) WithSQLTx(tx revoke.SQLTx) revoke.Revoker { return inTransaction(m, "WithSQLTx", tx) }

// inTransaction returns a revoker without the rest of its store, or one that fails where the
// transaction is nil.
func inTransaction(r revoke.Revoker, method string, tx any) revoke.Revoker {
	if !absent.Is(tx) {
		return struct{ revoke.Revoker }{r}
	}
	f := NewFaulty(NewMemory())
	f.Fail(fmt.Errorf("%s was given nil, not a transaction", method))
	return struct{ revoke.Revoker }{f}
}

// begin waits for the turn to write.
func (m *Memory) begin(ctx context.Context) error {
	if err := unavailable(ctx); err != nil {
		return err
	}
	select {
	case m.turn <- struct{}{}: // at once, in nearly every case
		return nil
	default:
	}
	tooLong := time.NewTimer(revoke.DefaultCheckTimeout)
	defer tooLong.Stop()
	select {
	case m.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return unavailable(ctx)
	case <-tooLong.C:
		return fmt.Errorf("%w: another InTx did not end within %v; within one, write by its Revoker",
			revoke.ErrUnavailable, revoke.DefaultCheckTimeout)
	}
}

func (m *Memory) end() { <-m.turn }

// Sweep deletes records as a [revoke.Sweeper] does, and returns how many.
func (m *Memory) Sweep() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.rows)
	limit := m.now().Add(-revoke.DefaultMargin)
	maps.DeleteFunc(m.rows, func(_ [16]byte, r revoke.Revocation) bool { return r.ExpiresAt.Before(limit) })
	return before - len(m.rows)
}
