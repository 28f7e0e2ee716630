package mirror_test

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/mirror"
	"github.com/pgrevoke/revoke/revoketest"
)

const issuer = "https://issuer.example"

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func newToken() revoke.Token {
	now := time.Now().UTC().Truncate(time.Second)
	return revoke.Token{
		Issuer: issuer, ID: rand.Text(), Subject: "user-" + rand.Text(), SessionID: "session-" + rand.Text(),
		IssuedAt: now.Add(-10 * time.Second), ExpiresAt: now.Add(time.Hour),
	}
}

func userOf(token revoke.Token) revoke.User {
	return revoke.User{Issuer: token.Issuer, Subject: token.Subject}
}

func sessionOf(token revoke.Token) revoke.Session {
	return revoke.Session{Issuer: token.Issuer, ID: token.SessionID}
}

// eventually waits for a condition.
func eventually(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			tb.Fatalf("not within 15 s: %s", what)
		case <-tick.C:
		}
	}
}

func newStore(tb testing.TB, address string) *revoke.Postgres {
	tb.Helper()
	store, err := revoke.NewPostgres(pgserver.Pool(tb, address))
	must(tb, err)
	return store
}

// run starts a mirror, waits until it is loaded, and stops it after the test.
func run(tb testing.TB, store *revoke.Postgres, opts ...mirror.Option) *mirror.Mirror {
	tb.Helper()
	m, err := mirror.New(store, opts...)
	must(tb, err)
	start(tb, m)
	ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
	defer cancel()
	must(tb, m.Ready(ctx))
	return m
}

func start(tb testing.TB, m *mirror.Mirror) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		must(tb, <-ended)
	})
}

// refuses expects the mirror to refuse, from memory.
func refuses(tb testing.TB, m *mirror.Mirror, token revoke.Token) {
	tb.Helper()
	before := m.Stats().Fallbacks
	if err := m.Check(tb.Context(), token); !errors.Is(err, revoke.ErrRevoked) {
		tb.Fatalf("Check = %v, want it refused", err)
	}
	if m.Stats().Fallbacks != before {
		tb.Error("Postgres was asked")
	}
}

// TestConformance runs the suite over the store of a mirror.
func TestConformance(t *testing.T) {
	t.Parallel()
	m := run(t, newStore(t, pgserver.Database(t)))
	revoketest.Test(t, func(testing.TB) revoke.Store { return m.Store() })
}

// TestConformanceWithoutRun runs the suite over a mirror that knows nothing.
func TestConformanceWithoutRun(t *testing.T) {
	t.Parallel()
	m, err := mirror.New(newStore(t, pgserver.Database(t)))
	must(t, err)
	if m.Health(t.Context()) == nil {
		t.Error("it says that it is well")
	}
	revoketest.Test(t, func(testing.TB) revoke.Store { return m.Store() })
}

// TestFromElsewhere finds what other processes revoke, in each scope, by the next poll.
func TestFromElsewhere(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	other := newStore(t, address)
	before := newToken()
	must(t, other.RevokeToken(ctx, before))
	m := run(t, newStore(t, address))
	refuses(t, m, before)
	must(t, m.Check(ctx, newToken()))
	if s := m.Stats(); s.Fallbacks != 0 || s.Entries != 1 || !s.Exact {
		t.Errorf("Stats = %+v", s)
	}
	for scope, revokeIt := range map[revoke.Scope]func(revoke.Token) error{
		revoke.ScopeToken:   func(t revoke.Token) error { return other.RevokeToken(ctx, t) },
		revoke.ScopeSession: func(t revoke.Token) error { return other.RevokeSession(ctx, sessionOf(t)) },
		revoke.ScopeUser:    func(t revoke.Token) error { _, err := other.RevokeUser(ctx, userOf(t)); return err },
		revoke.ScopeIssuer:  func(t revoke.Token) error { _, err := other.RevokeIssuer(ctx, t.Issuer); return err },
	} {
		token := newToken()
		token.Issuer += "/" + string(scope)
		must(t, m.Check(ctx, token))
		must(t, revokeIt(token))
		must(t, m.Sync(ctx))
		refuses(t, m, token)
		var revoked *revoke.RevokedError
		if err := m.Check(ctx, token); !errors.As(err, &revoked) || revoked.Scope != scope {
			t.Errorf("Check = %v, want %s", err, scope)
		}
		other := token
		other.Issuer += "/other"
		must(t, m.Check(ctx, other))
	}
}

// TestPollAfterLoad does not wait for the interval after a load: one of many rows may have taken longer than the bound, and then
// nothing would be answered from memory until the first poll.
func TestPollAfterLoad(t *testing.T) {
	t.Parallel()
	m := run(t, newStore(t, pgserver.Database(t)), slow...)
	eventually(t, "a poll follows the load", func() bool { return m.Stats().Polls == 1 })
}

// TestOwnWrites refuses at once what was revoked through the same process, although no poll has come since.
func TestOwnWrites(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	m := run(t, newStore(t, pgserver.Database(t)), slow...)
	store := m.Store()
	token, inTx, rolledBack := newToken(), newToken(), newToken()
	must(t, store.RevokeToken(ctx, token))
	refuses(t, m, token)
	must(t, store.InTx(ctx, func(r revoke.Revoker) error {
		must(t, r.RevokeSession(ctx, sessionOf(inTx)))
		return m.Check(ctx, inTx) // nothing is true before the commit
	}))
	refuses(t, m, inTx)
	_ = store.InTx(ctx, func(r revoke.Revoker) error {
		must(t, r.RevokeToken(ctx, rolledBack))
		return errors.New("no")
	})
	must(t, m.Check(ctx, rolledBack))
}

// TestWake has one process tell another that waits for long.
func TestWake(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	a, b := run(t, newStore(t, address), slow...), run(t, newStore(t, address), slow...)

	token := newToken()
	must(t, a.Store().RevokeToken(ctx, token)) // tells by itself
	eventually(t, "the other mirror refuses", func() bool { return errors.Is(b.Check(ctx, token), revoke.ErrRevoked) })

	outside, store := newToken(), newStore(t, address)
	must(t, pgx.BeginFunc(ctx, store.Pool(), func(tx pgx.Tx) error { return store.WithTx(tx).RevokeToken(ctx, outside) }))
	must(t, a.Wake(ctx))
	eventually(t, "both refuse", func() bool {
		return errors.Is(a.Check(ctx, outside), revoke.ErrRevoked) && errors.Is(b.Check(ctx, outside), revoke.ErrRevoked)
	})
	if a.Stats().Fallbacks+b.Stats().Fallbacks != 0 {
		t.Error("Postgres was asked")
	}
}
