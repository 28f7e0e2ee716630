// Package revoketest is for the tests of apps that use revoke, and of stores that implement it:
// a store in memory, a store that fails on purpose, and the conformance suite that every store
// passes. It imports revoke, pgx for the type of a transaction, and the standard library. Package
// pgtest beside it gives tests a real Postgres.
package revoketest

import (
	"cmp"
	"context"
	"errors"
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

// RevokeToken implements [revoke.Revoker].
func (m *Memory) RevokeToken(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	return m.revokeTokens(ctx, "RevokeToken", []revoke.Token{token}, opts)
}

// RevokeTokens implements [revoke.Revoker].
func (m *Memory) RevokeTokens(ctx context.Context, tokens []revoke.Token, opts ...revoke.RevokeOption) error {
	return m.revokeTokens(ctx, "RevokeTokens", tokens, opts)
}

func (m *Memory) revokeTokens(ctx context.Context, operation string, tokens []revoke.Token, opts []revoke.RevokeOption) error {
	records := make([]revoke.Revocation, len(tokens))
	var invalid error
	for i, token := range tokens {
		r, err := tokenRecord(token, opts)
		invalid = cmp.Or(invalid, err, m.checkToken(token))
		records[i] = r
	}
	return m.write(ctx, operation, invalid, func(now time.Time) error {
		for _, r := range records {
			m.rows.put(r, now)
		}
		return nil
	})
}

// tokenRecord returns the record of the token's revocation.
func tokenRecord(token revoke.Token, opts []revoke.RevokeOption) (revoke.Revocation, error) {
	r, err := revoke.ScopeToken.Revocation(token.Issuer, token.ID, opts...)
	if err == nil && !token.ExpiresAt.IsZero() {
		_, err = new(revoke.Verdict).OfRedemption(token) // says what is wrong with the expiry
	}
	r.ExpiresAt = token.ExpiresAt
	return r, err
}

// RevokeSession implements [revoke.Revoker].
func (m *Memory) RevokeSession(ctx context.Context, session revoke.Session, opts ...revoke.RevokeOption) error {
	r, err := m.record(revoke.ScopeSession, session.Issuer, session.ID, opts)
	return m.write(ctx, "RevokeSession", err, func(now time.Time) error {
		m.rows.put(r, now)
		return nil
	})
}

// RevokeUser implements [revoke.Revoker].
func (m *Memory) RevokeUser(ctx context.Context, user revoke.User, opts ...revoke.RevokeOption) (epochs revoke.Epochs, err error) {
	r, err := m.record(revoke.ScopeUser, user.Issuer, user.Subject, opts)
	err = m.write(ctx, "RevokeUser", err, func(now time.Time) error {
		m.rows.moveEpoch(r, now)
		epochs, err = m.rows.epochs(user)
		return err
	})
	return epochs, err
}

// RevokeUsers implements [revoke.Revoker].
func (m *Memory) RevokeUsers(ctx context.Context, users []revoke.User, opts ...revoke.RevokeOption) (epochs []revoke.Epochs, err error) {
	records := make([]revoke.Revocation, len(users))
	var invalid error
	for i, user := range users {
		r, err := m.record(revoke.ScopeUser, user.Issuer, user.Subject, opts)
		if err != nil {
			err = fmt.Errorf("user %d of %d: %w", i+1, len(users), err)
		}
		records[i], invalid = r, cmp.Or(invalid, err)
	}
	err = m.write(ctx, "RevokeUsers", invalid, func(now time.Time) error {
		for _, r := range records {
			m.rows.moveEpoch(r, now)
		}
		epochs = make([]revoke.Epochs, len(users))
		for i, user := range users {
			if epochs[i], err = m.rows.epochs(user); err != nil {
				return err
			}
		}
		return nil
	})
	return epochs, err
}

// RevokeUserBefore implements [revoke.Revoker].
func (m *Memory) RevokeUserBefore(ctx context.Context, user revoke.User, t time.Time, opts ...revoke.RevokeOption) error {
	r, err := m.record(revoke.ScopeUser, user.Issuer, user.Subject, opts)
	if err == nil && (t.Unix() < 0 || t.Year() > 9999) {
		err = errors.New("time lies before 1970 or after 9999")
	}
	return m.write(ctx, "RevokeUserBefore", err, func(now time.Time) error {
		if t.After(now.Add(revoke.MaxIssuerSkew)) {
			return fmt.Errorf("time %s lies more than %v ahead of the clock", t.UTC().Format(time.RFC3339), revoke.MaxIssuerSkew)
		}
		m.rows.raiseEpoch(r, new(revoke.Verdict).Epoch(t), now)
		return nil
	})
}

// RevokeIssuer implements [revoke.Revoker].
func (m *Memory) RevokeIssuer(ctx context.Context, issuer string, opts ...revoke.RevokeOption) (since time.Time, err error) {
	r, err := m.record(revoke.ScopeIssuer, issuer, "", opts)
	err = m.write(ctx, "RevokeIssuer", err, func(now time.Time) error {
		since = m.rows.moveEpoch(r, now)
		return nil
	})
	return since, err
}

// Redeem implements [revoke.Revoker].
func (m *Memory) Redeem(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	var v revoke.Verdict
	r, err := tokenRecord(token, opts)
	keys, invalid := v.OfRedemption(token)
	return m.write(ctx, "Redeem", cmp.Or(err, invalid), func(now time.Time) error {
		m.rows.tell(&v, keys)
		if err := v.Redeem(now); err != nil {
			return err
		}
		m.rows.put(r, now)
		return nil
	})
}

// write runs one write under the lock, after its input was found valid.
func (m *Memory) write(ctx context.Context, operation string, invalid error, apply func(now time.Time) error) error {
	if invalid != nil {
		return named(operation, invalid)
	}
	if err := m.begin(ctx); err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		err = named(operation, err)
		m.missed = cmp.Or(m.missed, err)
		return err
	}
	defer m.end()
	m.mu.Lock()
	defer m.mu.Unlock()
	return named(operation, apply(m.now().Round(0)))
}

// named names the operation that failed. A *revoke.RevokedError says enough by itself.
func named(operation string, err error) error {
	if revoked := (*revoke.RevokedError)(nil); err == nil || errors.As(err, &revoked) {
		return err
	}
	return fmt.Errorf("revoketest: %s: %w", operation, err)
}

// unavailable reports a context that has ended.
func unavailable(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", revoke.ErrUnavailable, context.Cause(ctx))
}

// put adds a record, or keeps the one that is there for longer. A zero ExpiresAt counts as
// MaxTokenLifetime from now, and one that has passed as now.
func (r rows) put(record revoke.Revocation, now time.Time) {
	record.Since = now.UTC()
	switch {
	case record.ExpiresAt.IsZero():
		record.ExpiresAt = now.Add(keepFor)
	case record.ExpiresAt.Before(now):
		record.ExpiresAt = now
	}
	key := record.Scope.Key(record.Issuer, record.ID)
	if old, ok := r[key]; ok {
		record.Since = old.Since
		record = merge(old, record)
	}
	r[key] = record
}

// moveEpoch moves an epoch to now, and by a microsecond at least.
func (r rows) moveEpoch(record revoke.Revocation, now time.Time) time.Time {
	old := r[record.Scope.Key(record.Issuer, record.ID)].Since.UnixMicro()
	epoch := time.UnixMicro(max(now.UnixMicro(), old) + 1).UTC()
	r.raiseEpoch(record, epoch, now)
	return epoch
}

// epochs returns the user's epochs.
func (r rows) epochs(user revoke.User) (revoke.Epochs, error) {
	var v revoke.Verdict
	keys, err := v.OfUser(user)
	r.tell(&v, keys)
	return v.Epochs(), err
}

// raiseEpoch sets an epoch to t at least.
func (r rows) raiseEpoch(record revoke.Revocation, t, now time.Time) {
	record.Since = t
	key := record.Scope.Key(record.Issuer, record.ID)
	old, ok := r[key]
	if ok && old.Since.After(t) {
		record.Since = old.Since
	}
	record.ExpiresAt = now.Add(keepFor)
	if record.Since.After(now) {
		record.ExpiresAt = record.Since.Add(keepFor)
	}
	if ok {
		record = merge(old, record)
	}
	r[key] = record
}

// merge keeps the later expiry, and the reason and the actor that were there first.
func merge(old, record revoke.Revocation) revoke.Revocation {
	if old.ExpiresAt.After(record.ExpiresAt) {
		record.ExpiresAt = old.ExpiresAt
	}
	record.Reason = cmp.Or(old.Reason, record.Reason)
	record.Actor = cmp.Or(old.Actor, record.Actor)
	return record
}
