// Package revoketest is for the tests of apps that use revoke, and of stores that implement it: a store in memory, a store
// that fails on purpose, and the conformance suite that every store passes. It imports nothing but revoke and the
// standard library.
package revoketest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pgrevoke/revoke"
)

// Memory is a [revoke.Store] in memory, for tests. It keeps every promise of the interface but that of surviving its
// process. It may be used from several goroutines.
type Memory struct {
	now  func() time.Time
	turn chan struct{} // holds one element while somebody writes, for as long as a transaction

	mu     sync.Mutex
	state  state
	missed error // the first write that failed
}

var _ revoke.Store = (*Memory)(nil)

// MemoryOption configures [NewMemory].
type MemoryOption func(*Memory)

// WithClock sets the store's clock. Default: [time.Now].
func WithClock(now func() time.Time) MemoryOption {
	return func(m *Memory) { m.now = now }
}

// NewMemory returns an empty store.
func NewMemory(opts ...MemoryOption) *Memory {
	m := newMemory(newState())
	for _, opt := range opts {
		opt(m)
	}
	return m
}

func newMemory(s state) *Memory {
	return &Memory{now: time.Now, turn: make(chan struct{}, 1), state: s}
}

// name is what a record is found by: id is the jti, sid or subject, and empty for an issuer.
type name struct {
	scope      revoke.Scope
	issuer, id string
}

type record struct {
	since     time.Time
	expiresAt time.Time
	note      revoke.Record
}

type state map[name]record

func newState() state { return make(state) }

// keepFor is how long a record is kept whose tokens' expiry is not known.
const keepFor = revoke.MaxTokenLifetime + revoke.MaxLeeway

// annotate adds a reason and an actor, of which the first stay.
func (r *record) annotate(note revoke.Record) {
	r.note.Reason = cmp.Or(r.note.Reason, note.Reason)
	r.note.Actor = cmp.Or(r.note.Actor, note.Actor)
}

func (r *record) keepUntil(t time.Time) {
	if t.After(r.expiresAt) {
		r.expiresAt = t
	}
}

// Check implements [revoke.Checker].
func (m *Memory) Check(ctx context.Context, token revoke.Token) error {
	if err := token.ValidateCheck(); err != nil {
		return fmt.Errorf("revoketest: Check: %w", err)
	}
	if err := unavailable(ctx, "Check"); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range []name{{revoke.ScopeToken, token.Issuer, token.ID}, {revoke.ScopeSession, token.Issuer, token.SessionID}} {
		if r, ok := m.state[n]; ok && n.id != "" {
			return &revoke.RevokedError{Scope: n.scope, Since: r.since}
		}
	}
	epochs := m.state.epochs(revoke.User{Issuer: token.Issuer, Subject: token.Subject})
	if err := epochs.Judge(token); err != nil {
		return err
	}
	if err := token.ValidateLifetime(m.now()); err != nil {
		return fmt.Errorf("revoketest: Check: %w", err)
	}
	return nil
}

// Lookup implements [revoke.Store].
func (m *Memory) Lookup(ctx context.Context, token revoke.Token) ([]revoke.Revocation, error) {
	if err := token.ValidateCheck(); err != nil {
		return nil, fmt.Errorf("revoketest: Lookup: %w", err)
	}
	if err := unavailable(ctx, "Lookup"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []revoke.Revocation
	for _, n := range []name{
		{revoke.ScopeToken, token.Issuer, token.ID},
		{revoke.ScopeSession, token.Issuer, token.SessionID},
		{revoke.ScopeUser, token.Issuer, token.Subject},
		{revoke.ScopeIssuer, token.Issuer, ""},
	} {
		r, ok := m.state[n]
		alive := n.scope == revoke.ScopeUser && (revoke.Epochs{User: r.since.UnixMicro()}).Judge(token) == nil ||
			n.scope == revoke.ScopeIssuer && (revoke.Epochs{Issuer: r.since.UnixMicro()}).Judge(token) == nil
		if !ok || alive {
			continue
		}
		found = append(found, revoke.Revocation{
			Scope: n.scope, Since: r.since, ExpiresAt: r.expiresAt, Reason: r.note.Reason, Actor: r.note.Actor,
		})
	}
	return found, nil
}

// IssueTime implements [revoke.Store].
func (m *Memory) IssueTime(ctx context.Context, user revoke.User) (time.Time, error) {
	for {
		epochs, err := m.Epochs(ctx, user)
		if err != nil {
			return time.Time{}, err
		}
		iat, wait := epochs.IssueTime(m.now())
		if wait == 0 {
			return iat, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return time.Time{}, unavailable(ctx, "IssueTime")
		}
	}
}

// InTx implements [revoke.Store]: fn works on a copy, which replaces the original if fn returns nil. Other writers wait,
// so within fn a write by the store itself waits until its ctx ends.
func (m *Memory) InTx(ctx context.Context, fn func(revoke.Revoker) error) error {
	if err := m.begin(ctx, "InTx"); err != nil {
		return err
	}
	defer m.end()
	m.mu.Lock()
	work := newMemory(maps.Clone(m.state))
	m.mu.Unlock()
	work.now = m.now
	if err := cmp.Or(fn(struct{ revoke.Revoker }{work}), work.missed); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = work.state
	return nil
}

// begin waits for the turn to write.
func (m *Memory) begin(ctx context.Context, operation string) error {
	if err := unavailable(ctx, operation); err != nil {
		return err
	}
	select {
	case m.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return unavailable(ctx, operation)
	}
}

func (m *Memory) end() { <-m.turn }

// Sweep deletes records as a [revoke.Sweeper] does, and returns how many.
func (m *Memory) Sweep() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.state)
	limit := m.now().Add(-revoke.RetentionMargin)
	maps.DeleteFunc(m.state, func(_ name, r record) bool { return r.expiresAt.Before(limit) })
	return before - len(m.state)
}

// RevokeToken implements [revoke.Revoker].
func (m *Memory) RevokeToken(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	return m.RevokeTokens(ctx, []revoke.Token{token}, opts...)
}

// RevokeTokens implements [revoke.Revoker].
func (m *Memory) RevokeTokens(ctx context.Context, tokens []revoke.Token, opts ...revoke.RevokeOption) error {
	var invalid error
	for _, token := range tokens {
		invalid = errors.Join(invalid, token.ValidateRevocation())
	}
	return m.write(ctx, "RevokeTokens", invalid, opts, func(now time.Time, note revoke.Record) error {
		for _, token := range tokens {
			expiresAt := token.ExpiresAt
			if expiresAt.IsZero() {
				expiresAt = now.Add(keepFor)
			}
			if expiresAt.After(now.Add(-revoke.RetentionMargin)) {
				m.state.put(name{revoke.ScopeToken, token.Issuer, token.ID}, now, expiresAt, note)
			}
		}
		return nil
	})
}

// RevokeSession implements [revoke.Revoker].
func (m *Memory) RevokeSession(ctx context.Context, session revoke.Session, opts ...revoke.RevokeOption) error {
	return m.write(ctx, "RevokeSession", session.Validate(), opts, func(now time.Time, note revoke.Record) error {
		m.state.put(name{revoke.ScopeSession, session.Issuer, session.ID}, now, now.Add(keepFor), note)
		return nil
	})
}

// RevokeUser implements [revoke.Revoker].
func (m *Memory) RevokeUser(ctx context.Context, user revoke.User, opts ...revoke.RevokeOption) (epochs revoke.Epochs, err error) {
	err = m.write(ctx, "RevokeUser", user.Validate(), opts, func(now time.Time, note revoke.Record) error {
		m.state.moveEpoch(name{revoke.ScopeUser, user.Issuer, user.Subject}, now, note)
		epochs = m.state.epochs(user)
		return nil
	})
	return epochs, err
}

// RevokeUserBefore implements [revoke.Revoker].
func (m *Memory) RevokeUserBefore(ctx context.Context, user revoke.User, t time.Time, opts ...revoke.RevokeOption) error {
	invalid := user.Validate()
	if t.Unix() < 0 || t.Year() > 9999 {
		invalid = errors.Join(invalid, errors.New("time lies before 1970 or after 9999"))
	}
	return m.write(ctx, "RevokeUserBefore", invalid, opts, func(now time.Time, note revoke.Record) error {
		if t.After(now.Add(revoke.MaxIssuerSkew)) {
			return fmt.Errorf("time %s lies more than %v ahead of the clock", t.UTC().Format(time.RFC3339), revoke.MaxIssuerSkew)
		}
		before := t.Add(time.Microsecond - time.Nanosecond).Truncate(time.Microsecond)
		m.state.raiseEpoch(name{revoke.ScopeUser, user.Issuer, user.Subject}, before, now, note)
		return nil
	})
}

// RevokeIssuer implements [revoke.Revoker].
func (m *Memory) RevokeIssuer(ctx context.Context, issuer string, opts ...revoke.RevokeOption) (since time.Time, err error) {
	invalid := revoke.User{Issuer: issuer, Subject: "every user"}.Validate()
	err = m.write(ctx, "RevokeIssuer", invalid, opts, func(now time.Time, note revoke.Record) error {
		since = m.state.moveEpoch(name{revoke.ScopeIssuer, issuer, ""}, now, note)
		return nil
	})
	return since, err
}

// Redeem implements [revoke.Revoker].
func (m *Memory) Redeem(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	invalid := cmp.Or(token.ValidateRevocation(), token.ValidateRedeem(token.ExpiresAt))
	var spent error
	err := m.write(ctx, "Redeem", invalid, opts, func(now time.Time, note revoke.Record) error {
		n := name{revoke.ScopeToken, token.Issuer, token.ID}
		if r, ok := m.state[n]; ok {
			spent = &revoke.RevokedError{Scope: revoke.ScopeToken, Since: r.since}
			return nil
		}
		if err := token.ValidateRedeem(now); err != nil {
			return err
		}
		m.state.put(n, now, token.ExpiresAt, note)
		return nil
	})
	return cmp.Or(err, spent)
}

// Epochs implements [revoke.Revoker].
func (m *Memory) Epochs(ctx context.Context, user revoke.User) (revoke.Epochs, error) {
	if err := user.Validate(); err != nil {
		return revoke.Epochs{}, fmt.Errorf("revoketest: Epochs: %w", err)
	}
	if err := unavailable(ctx, "Epochs"); err != nil {
		return revoke.Epochs{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.epochs(user), nil
}

// write runs one write under the lock, after its input was found valid.
func (m *Memory) write(ctx context.Context, operation string, invalid error, opts []revoke.RevokeOption,
	apply func(now time.Time, note revoke.Record) error,
) error {
	note, err := revoke.NewRecord(opts...)
	if err := errors.Join(err, invalid); err != nil {
		return fmt.Errorf("revoketest: %s: %w", operation, err)
	}
	if err := m.begin(ctx, operation); err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.missed = cmp.Or(m.missed, err)
		return err
	}
	defer m.end()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := apply(m.now().Round(0), note); err != nil {
		return fmt.Errorf("revoketest: %s: %w", operation, err)
	}
	return nil
}

// unavailable reports a context that has ended.
func unavailable(ctx context.Context, operation string) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("revoketest: %s: %w: %w", operation, revoke.ErrUnavailable, context.Cause(ctx))
}

// put adds a record, or keeps the one that is there for longer.
func (s state) put(n name, now, expiresAt time.Time, note revoke.Record) {
	r, ok := s[n]
	if !ok {
		r.since = now.UTC()
	}
	r.keepUntil(expiresAt)
	r.annotate(note)
	s[n] = r
}

// moveEpoch moves an epoch to now, and by a microsecond at least.
func (s state) moveEpoch(n name, now time.Time, note revoke.Record) time.Time {
	epoch := time.UnixMicro(max(now.UnixMicro(), s.micros(n)) + 1).UTC()
	s.raiseEpoch(n, epoch, now, note)
	return epoch
}

// raiseEpoch sets an epoch to t at least.
func (s state) raiseEpoch(n name, t, now time.Time, note revoke.Record) {
	r := s[n]
	r.since = time.UnixMicro(max(t.UnixMicro(), s.micros(n))).UTC()
	r.keepUntil(slices.MaxFunc([]time.Time{now, r.since}, time.Time.Compare).Add(keepFor))
	r.annotate(note)
	s[n] = r
}

// micros returns an epoch in microseconds since 1970, 0 where there is none.
func (s state) micros(n name) int64 {
	if r, ok := s[n]; ok {
		return r.since.UnixMicro()
	}
	return 0
}

func (s state) epochs(user revoke.User) revoke.Epochs {
	return revoke.Epochs{
		User:   s.micros(name{revoke.ScopeUser, user.Issuer, user.Subject}),
		Issuer: s.micros(name{revoke.ScopeIssuer, user.Issuer, ""}),
	}
}
