package revoketest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	Test(t, func(testing.TB) revoke.Store { return NewMemory() })
}

func TestFaultyPassesOn(t *testing.T) {
	t.Parallel()
	Test(t, func(testing.TB) revoke.Store { return NewFaulty(NewMemory()) })
}

func TestFaultyFails(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store := NewFaulty(NewMemory())
	down := errors.New("the network is gone")
	now := time.Now()
	token := revoke.Token{Issuer: "i", ID: "a", Subject: "s", IssuedAt: now, ExpiresAt: now.Add(time.Hour)}

	store.Fail(down)
	if err := store.RevokeToken(ctx, token); !errors.Is(err, down) || !errors.Is(err, revoke.ErrUnavailable) {
		t.Errorf("RevokeToken = %v", err)
	}
	if err := store.Check(ctx, token); !errors.Is(err, revoke.ErrUnavailable) {
		t.Errorf("Check = %v", err)
	}
	store.Fail(nil)
	if err := store.Check(ctx, token); err != nil {
		t.Errorf("after a write that failed before it was done: Check = %v", err)
	}
	store.FailAfter(down)
	if err := store.RevokeToken(ctx, token); !errors.Is(err, down) {
		t.Errorf("RevokeToken = %v", err)
	}
	store.Fail(nil)
	if err := store.Check(ctx, token); !errors.Is(err, revoke.ErrRevoked) {
		t.Errorf("after a write that failed when it was done: Check = %v", err)
	}
}

func TestMemorySweep(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	store := NewMemory(WithClock(func() time.Time { return now }))
	token := revoke.Token{Issuer: "i", ID: "a", Subject: "s", IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
	if err := store.RevokeToken(ctx, token); err != nil {
		t.Fatal(err)
	}
	now = token.ExpiresAt.Add(revoke.RetentionMargin)
	if n := store.Sweep(); n != 0 {
		t.Errorf("Sweep deleted %d rows at the margin", n)
	}
	now = now.Add(time.Second)
	if n := store.Sweep(); n != 1 {
		t.Errorf("Sweep deleted %d rows past the margin", n)
	}
}

// broken are stores with one fault each, and a case that has to notice it.
var broken = map[string]struct {
	store  func(*Memory) revoke.Store
	caught string
}{
	"fails open": {
		func(m *Memory) revoke.Store { return failsOpen{m} }, "Check/is unavailable when ctx has ended, whatever was revoked",
	},
	"forgets the issuer": {
		func(m *Memory) revoke.Store { return forgetsIssuer{m} }, "Check/knows a token by issuer and id together",
	},
	"folds case": {func(m *Memory) revoke.Store { return foldsCase{m} }, "Check/compares bytewise"},
	"one epoch for both": {
		func(m *Memory) revoke.Store { return oneEpoch{m} }, "Epochs/user and issuer count each by itself, in every order",
	},
	"seconds only": {
		func(m *Memory) revoke.Store { return wholeSeconds{m} }, "RevokeUser/a repeat is a new instant",
	},
	"redeem is check then write": {func(m *Memory) revoke.Store { return racyRedeem{m} }, "Redeem/one of many callers wins"},
	"batch stops in between":     {func(m *Memory) revoke.Store { return halfBatch{m} }, "RevokeTokens/is all or none"},
	"stamps the future": {
		func(m *Memory) revoke.Store { return futureStamp{m} }, "IssueTime/is alive, in whole seconds, and not ahead of the clock",
	},
	"no rollback": {func(m *Memory) revoke.Store { return noRollback{m} }, "InTx/none is done when fn returns an error, which comes back"},
	"last reason wins": {
		func(m *Memory) revoke.Store { return lastReason{m} }, "Revoker/the first reason and actor stay",
	},
}

func TestBrokenStoresAreCaught(t *testing.T) {
	t.Parallel()
	all := slices.Concat(checkCases, tokenCases, epochCases, storeCases)
	for fault, b := range broken {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(all, func(c testCase) bool { return c.name == b.caught })
			if i < 0 {
				t.Fatalf("there is no case %q", b.caught)
			}
			if found := all[i].failures(t.Context(), b.store(NewMemory())); len(found) == 0 {
				t.Errorf("%q does not notice", b.caught)
			}
		})
	}
}

type failsOpen struct{ *Memory }

func (s failsOpen) Check(ctx context.Context, token revoke.Token) error {
	if err := s.Memory.Check(ctx, token); !errors.Is(err, revoke.ErrUnavailable) {
		return err
	}
	return nil
}

type forgetsIssuer struct{ *Memory }

func (s forgetsIssuer) RevokeToken(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	token.Issuer = "everybody"
	return s.Memory.RevokeToken(ctx, token, opts...)
}

func (s forgetsIssuer) Check(ctx context.Context, token revoke.Token) error {
	token.Issuer = "everybody"
	return s.Memory.Check(ctx, token)
}

type foldsCase struct{ *Memory }

func (s foldsCase) RevokeToken(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	token.ID = strings.ToLower(token.ID)
	return s.Memory.RevokeToken(ctx, token, opts...)
}

func (s foldsCase) Check(ctx context.Context, token revoke.Token) error {
	token.ID = strings.ToLower(token.ID)
	return s.Memory.Check(ctx, token)
}

type oneEpoch struct{ *Memory }

func (s oneEpoch) Check(ctx context.Context, token revoke.Token) error {
	if token.Epochs != nil {
		last := max(token.Epochs.User, token.Epochs.Issuer)
		token.Epochs = &revoke.Epochs{User: last, Issuer: last}
	}
	return s.Memory.Check(ctx, token)
}

type wholeSeconds struct{ *Memory }

func (s wholeSeconds) RevokeUser(ctx context.Context, user revoke.User, opts ...revoke.RevokeOption) (revoke.Epochs, error) {
	err := s.RevokeUserBefore(ctx, user, time.Now().Truncate(time.Second), opts...)
	if err != nil {
		return revoke.Epochs{}, err
	}
	return s.Epochs(ctx, user)
}

type racyRedeem struct{ *Memory }

func (s racyRedeem) Redeem(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	s.mu.Lock()
	r, spent := s.state[name{revoke.ScopeToken, token.Issuer, token.ID}]
	s.mu.Unlock()
	if spent {
		return &revoke.RevokedError{Scope: revoke.ScopeToken, Since: r.since}
	}
	<-time.After(20 * time.Millisecond)
	return s.RevokeToken(ctx, token, opts...)
}

type halfBatch struct{ *Memory }

func (s halfBatch) RevokeTokens(ctx context.Context, tokens []revoke.Token, opts ...revoke.RevokeOption) error {
	for _, token := range tokens {
		if err := s.RevokeToken(ctx, token, opts...); err != nil {
			return err
		}
	}
	return nil
}

type futureStamp struct{ *Memory }

func (s futureStamp) IssueTime(ctx context.Context, user revoke.User) (time.Time, error) {
	epochs, err := s.Epochs(ctx, user)
	return time.UnixMicro(max(epochs.User, epochs.Issuer)).Add(3 * time.Second).Truncate(time.Second), err
}

type noRollback struct{ *Memory }

func (s noRollback) InTx(_ context.Context, fn func(revoke.Revoker) error) error { return fn(s.Memory) }

type lastReason struct{ *Memory }

func (s lastReason) RevokeSession(ctx context.Context, session revoke.Session, opts ...revoke.RevokeOption) error {
	s.mu.Lock()
	delete(s.state, name{revoke.ScopeSession, session.Issuer, session.ID})
	s.mu.Unlock()
	return s.Memory.RevokeSession(ctx, session, opts...)
}

// TestMemoryCheckWithinInTx answers from what has been committed, as a database does.
func TestMemoryCheckWithinInTx(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store := NewMemory()
	now := time.Now()
	token := revoke.Token{Issuer: "i", ID: "a", IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
	err := store.InTx(ctx, func(tx revoke.Revoker) error {
		if _, ok := tx.(revoke.Checker); ok {
			t.Error("a transaction's Revoker is a Checker")
		}
		if err := tx.RevokeToken(ctx, token); err != nil {
			return err
		}
		outside, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		if err := store.RevokeToken(outside, token); !errors.Is(err, revoke.ErrUnavailable) {
			t.Errorf("a write from outside while a transaction is open: %v", err)
		}
		return store.Check(ctx, token)
	})
	if err != nil {
		t.Error(err)
	}
	if err := store.Check(ctx, token); !errors.Is(err, revoke.ErrRevoked) {
		t.Errorf("after the commit: %v", err)
	}
}
