package revoketest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	Test(t, func(testing.TB) revoke.Store { return NewMemory() })
}

func TestFaultyPassesOn(t *testing.T) {
	t.Parallel()
	Test(t, func(testing.TB) revoke.Store { return NewFaulty(NewMemory()) })
}

// newToken returns a token that is valid at now.
func newToken(now time.Time) revoke.Token {
	return revoke.Token{Issuer: "i", ID: "a", Subject: "s", IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
}

func TestFaultyFails(t *testing.T) {
	t.Parallel()
	down := errors.New("the network is down")
	for _, row := range []struct {
		name    string
		fail    func(*Faulty, error)
		written bool // what was asked for is done although the call fails
	}{
		{"before the write", (*Faulty).Fail, false},
		{"after the write", (*Faulty).FailAfter, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			ctx, token := t.Context(), newToken(time.Now())
			store := NewFaulty(NewMemory())
			other := token
			other.ID = "b"
			row.fail(store, down)
			for _, err := range []error{store.RevokeToken(ctx, token), store.Check(ctx, other)} {
				testkit.WantError(t, err, revoke.ErrUnavailable)
				if !errors.Is(err, down) {
					t.Errorf("%v, want the cause in it", err)
				}
			}
			store.Fail(nil)
			if err := store.Check(ctx, token); errors.Is(err, revoke.ErrRevoked) != row.written || (err != nil) != row.written {
				t.Errorf("once the store works again Check = %v", err)
			}
		})
	}
}

// TestMemoryEpochsGrow revokes twice within one instant of the clock.
func TestMemoryEpochsGrow(t *testing.T) {
	t.Parallel()
	ctx, user := t.Context(), revoke.User{Issuer: "i", Subject: "s"}
	store := NewMemory(WithClock(testkit.Clock))
	first := testkit.Value(store.RevokeUser(ctx, user))(t)
	second := testkit.Value(store.RevokeUser(ctx, user))(t)
	if first.User != testkit.Now.UnixMicro()+1 || second.User != first.User+1 {
		t.Errorf("the epochs are %d and %d, at %d", first.User, second.User, testkit.Now.UnixMicro())
	}
}

func TestMemorySweep(t *testing.T) {
	t.Parallel()
	now := testkit.Now
	store := NewMemory(WithClock(func() time.Time { return now }))
	token := newToken(now)
	testkit.Must(t, store.RevokeToken(t.Context(), token))
	now = token.ExpiresAt.Add(revoke.DefaultMargin)
	if n := store.Sweep(); n != 0 {
		t.Errorf("Sweep deleted %d rows at the margin", n)
	}
	now = now.Add(time.Second)
	if n := store.Sweep(); n != 1 {
		t.Errorf("Sweep deleted %d rows past the margin", n)
	}
}

// broken are stores with one fault each, and the case that has to notice it.
var broken = []struct {
	name   string
	store  func(*Memory) revoke.Store
	caught string
}{
	{
		"fails open", func(m *Memory) revoke.Store { return failsOpen{m} },
		"Check/is unavailable when ctx has ended, also for a revoked token",
	},
	{
		"forgets the issuer", func(m *Memory) revoke.Store { return forgetsIssuer{m} },
		"Check/knows a token by issuer and id together",
	},
	{"folds case", func(m *Memory) revoke.Store { return foldsCase{m} }, "Check/compares bytewise"},
	{
		"one epoch for both", func(m *Memory) revoke.Store { return oneEpoch{m} },
		"Epochs/user and issuer count each by itself, in every order",
	},
	{
		"no issuer has a skew", func(m *Memory) revoke.Store { return noSkew{m} },
		"IssuerSkew/what was issued before a revocation is refused after it",
	},
	{
		"every issuer has the default skew", func(m *Memory) revoke.Store { return defaultSkew{m} },
		"IssuerSkew/a token that is further ahead is invalid, and one that is not is accepted",
	},
	{
		"an iat may lie ahead", func(m *Memory) revoke.Store { return futureClock{m, true} },
		"IssuerSkew/what was accepted is refused after a revocation, under any skew",
	},
	{
		"a claim may lie ahead", func(m *Memory) revoke.Store { return futureClock{m, false} },
		"Epochs/a pair that no revocation gave does not outlive a later one",
	},
	{
		"the claim is as late as either epoch that stands", func(m *Memory) revoke.Store { return eitherStands{m} },
		"Epochs/each may be as late as the clock, or as the epoch that stands",
	},
	{
		"no row is an epoch of 1970", func(m *Memory) revoke.Store { return noRowIsZero{m} },
		"IssuerSkew/a token without a time of issue but 1970 is accepted until the first revocation",
	},
	{
		"seconds only", func(m *Memory) revoke.Store { return wholeSeconds{m} },
		"RevokeUser/a repeat is a new instant",
	},
	{
		"redeem is check then write", func(m *Memory) revoke.Store { return racyRedeem{m} },
		"Redeem/one of many callers wins",
	},
	{"batch stops in between", func(m *Memory) revoke.Store { return halfBatch{m} }, "RevokeTokens/is all or none"},
	{
		"batch of users stops in between", func(m *Memory) revoke.Store { return halfUsers{m} },
		"RevokeUsers/is all or none, and names the position of a wrong user",
	},
	{
		"epochs in another order", func(m *Memory) revoke.Store { return otherOrder{m} },
		"RevokeUsers/returns each user's epochs in their order, of several issuers, with duplicates",
	},
	{
		"stamps the future", func(m *Memory) revoke.Store { return futureStamp{m} },
		"IssueTime/is alive, in whole seconds, and not ahead of the clock",
	},
	{
		"no rollback", func(m *Memory) revoke.Store { return noRollback{m} },
		"InTx/none is done when fn returns an error, which comes back",
	},
	{
		"last reason wins", func(m *Memory) revoke.Store { return lastReason{m} },
		"Revoker/the first reason and actor stay",
	},
	{
		"writes a malformed name", func(m *Memory) revoke.Store { return trimsNames{m} },
		"Revoker/an empty or malformed name is an error, and nothing is written",
	},
}

func TestBrokenStoresAreCaught(t *testing.T) {
	t.Parallel()
	all := slices.Concat(checkCases, tokenCases, epochCases, skewCases, storeCases)
	for _, row := range broken {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(all, func(c testCase) bool { return c.name == row.caught })
			if i < 0 {
				t.Fatalf("there is no case %q", row.caught)
			}
			if found := all[i].failures(t.Context(), row.store(NewMemory()), nil); len(found) == 0 {
				t.Errorf("%q does not notice", row.caught)
			}
			if found := all[i].failures(t.Context(), NewMemory(), nil); len(found) != 0 {
				t.Errorf("%q finds fault with a good store: %v", row.caught, found)
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
	token.Issuer = "one for all"
	return s.Memory.RevokeToken(ctx, token, opts...)
}

func (s forgetsIssuer) Check(ctx context.Context, token revoke.Token) error {
	token.Issuer = "one for all"
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
	if token.HasEpochs {
		last := max(token.Epochs.User, token.Epochs.Issuer)
		token.Epochs = revoke.Epochs{User: last, Issuer: last}
	}
	return s.Memory.Check(ctx, token)
}

type noSkew struct{ *Memory }

func (s noSkew) Check(ctx context.Context, token revoke.Token) error {
	token.IssuerSkew = revoke.NoIssuerSkew
	return s.Memory.Check(ctx, token)
}

type defaultSkew struct{ *Memory }

func (s defaultSkew) Check(ctx context.Context, token revoke.Token) error {
	token.IssuerSkew = 0
	return s.Memory.Check(ctx, token)
}

// futureClock judges tokens of one rule by a clock that is ahead of the one that revokes.
type futureClock struct {
	*Memory
	iat bool
}

func (s futureClock) Check(ctx context.Context, token revoke.Token) error {
	if token.HasEpochs == s.iat {
		return s.Memory.Check(ctx, token)
	}
	var v revoke.Verdict
	if _, err := s.ask(ctx, "Check", &v, token, v.OfToken); err != nil {
		return err
	}
	return v.Check(s.now().Add(61 * time.Minute))
}

// eitherStands compares both epochs of a claim with the later of those that stand.
type eitherStands struct{ *Memory }

func (s eitherStands) Check(ctx context.Context, token revoke.Token) error {
	stands, err := s.Epochs(ctx, token.User())
	if err == nil && token.HasEpochs {
		token.Epochs.Issuer = min(token.Epochs.Issuer, max(stands.User, stands.Issuer, s.now().UnixMicro()))
		if token.Epochs.Issuer > s.now().UnixMicro() {
			token.Epochs.Issuer = stands.Issuer
		}
	}
	return s.Memory.Check(ctx, token)
}

type noRowIsZero struct{ *Memory }

func (s noRowIsZero) Check(ctx context.Context, token revoke.Token) error {
	err := s.Memory.Check(ctx, token)
	if err == nil && !token.HasEpochs && token.IssuedAt.Add(-revoke.DefaultIssuerSkew).Before(time.Unix(0, 0)) {
		return &revoke.RevokedError{Scope: revoke.ScopeUser}
	}
	return err
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
	r, spent := s.rows[revoke.ScopeToken.Key(token.Issuer, token.ID)]
	s.mu.Unlock()
	if spent {
		return &revoke.RevokedError{Scope: revoke.ScopeToken, Since: r.Since}
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

type halfUsers struct{ *Memory }

func (s halfUsers) RevokeUsers(ctx context.Context, users []revoke.User, opts ...revoke.RevokeOption) ([]revoke.Epochs, error) {
	var epochs []revoke.Epochs
	for i, user := range users {
		e, err := s.RevokeUser(ctx, user, opts...)
		if err != nil {
			return nil, fmt.Errorf("user %d of %d: %w", i+1, len(users), err)
		}
		epochs = append(epochs, e)
	}
	return epochs, nil
}

type otherOrder struct{ *Memory }

func (s otherOrder) RevokeUsers(ctx context.Context, users []revoke.User, opts ...revoke.RevokeOption) ([]revoke.Epochs, error) {
	epochs, err := s.Memory.RevokeUsers(ctx, users, opts...)
	slices.SortFunc(epochs, func(a, b revoke.Epochs) int { return cmp.Compare(b.User, a.User) })
	return epochs, err
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
	delete(s.rows, revoke.ScopeSession.Key(session.Issuer, session.ID))
	s.mu.Unlock()
	return s.Memory.RevokeSession(ctx, session, opts...)
}

// trimsNames cuts a name at NUL, as a library in C does.
type trimsNames struct{ *Memory }

func (s trimsNames) RevokeSession(ctx context.Context, session revoke.Session, opts ...revoke.RevokeOption) error {
	session.ID, _, _ = strings.Cut(session.ID, "\x00")
	return s.Memory.RevokeSession(ctx, session, opts...)
}

// TestMemoryCheckWithinInTx answers from what has been committed, as a database does.
func TestMemoryCheckWithinInTx(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store := NewMemory()
	token := newToken(time.Now())
	testkit.Must(t, store.InTx(ctx, func(tx revoke.Revoker) error {
		if _, ok := tx.(revoke.Checker); ok {
			t.Error("a transaction's Revoker is a Checker")
		}
		testkit.Must(t, tx.RevokeToken(ctx, token))
		outside, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		// A write from outside waits while the transaction is open.
		testkit.WantError(t, store.RevokeToken(outside, token), revoke.ErrUnavailable)
		return store.Check(ctx, token)
	}))
	testkit.WantError(t, store.Check(ctx, token), revoke.ErrRevoked)
}
