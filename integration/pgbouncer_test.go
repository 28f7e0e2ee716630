package integration

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/mirror"
	"github.com/pgrevoke/revoke/revoketest"
)

// throughPooler opens a store on a pool that goes through PgBouncer. That loses prepared statements from one transaction to the
// next, so a mode that keeps none must be chosen.
func throughPooler(t *testing.T, pooled string, mode pgx.QueryExecMode) *revoke.Postgres {
	t.Helper()
	pool := pgserver.Pool(t, pooled, func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = mode })
	store, err := revoke.NewPostgres(pool)
	must(t, err)
	return store
}

func newToken() revoke.Token {
	now := time.Now().Truncate(time.Second)
	return revoke.Token{
		Issuer: issuer, ID: rand.Text(), Subject: rand.Text(), SessionID: rand.Text(), IssuedAt: now.Add(-time.Minute), ExpiresAt: now.Add(time.Hour),
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("not within 15 s: %s", what)
		case <-tick.C:
		}
	}
}

// occupy holds as many server sessions of the pooler as there are transactions, and returns what lets go of them.
func occupy(t *testing.T, pool *pgxpool.Pool, sessions int) (release func()) {
	t.Helper()
	var held []pgx.Tx
	for range sessions {
		tx, err := pool.Begin(t.Context())
		must(t, err)
		_, err = tx.Exec(t.Context(), "SELECT 1")
		must(t, err)
		held = append(held, tx)
	}
	return func() {
		for _, tx := range held {
			must(t, tx.Rollback(t.Context()))
		}
	}
}

// enforcedWithin revokes past the mirror, and expects it to refuse within its bound.
func enforcedWithin(t *testing.T, bound time.Duration, m *mirror.Mirror, revoker revoke.Revoker) {
	t.Helper()
	token := newToken()
	must(t, m.Check(t.Context(), token))
	must(t, revoker.RevokeToken(t.Context(), token))
	committed := time.Now()
	eventually(t, "the mirror refuses", func() bool {
		began := time.Now()
		err := m.Check(t.Context(), token)
		if err == nil && began.Sub(committed) > bound {
			t.Fatalf("accepted %v after its revocation", began.Sub(committed))
		}
		return errors.Is(err, revoke.ErrRevoked)
	})
}

// TestStoreThroughPgBouncer runs the suite over a store whose statements meet another server session each time.
func TestStoreThroughPgBouncer(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]pgx.QueryExecMode{
		"cache_describe": pgx.QueryExecModeCacheDescribe, "exec": pgx.QueryExecModeExec, "simple_protocol": pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pooled := pgserver.Pooler(t, pgserver.Database(t), "default_pool_size = 6", "server_round_robin = 1")
			store := throughPooler(t, pooled, mode)
			revoketest.Test(t, func(testing.TB) revoke.Store { return store })
		})
	}
}

// TestMirrorThroughPgBouncer has the mirror's statements meet one server session at first, and then others: it notices, reads
// everything from then on, and keeps its bound all the time.
func TestMirrorThroughPgBouncer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	const bound = 300 * time.Millisecond
	address := pgserver.Database(t)
	pooled := pgserver.Pooler(t, address, "default_pool_size = 6")
	outside := throughPooler(t, address, pgx.QueryExecModeCacheDescribe)
	store := throughPooler(t, pooled, pgx.QueryExecModeCacheDescribe)
	var noticed atomic.Bool
	report := mirror.WithReport(func(err error) {
		if strings.Contains(err.Error(), "pooler in transaction mode") {
			noticed.Store(true)
		}
	})
	m := runMirror(t, store, mirror.WithBound(bound), report)
	if !m.Stats().Exact {
		t.Fatal("the mirror is alone and does not read changes one by one, so this proves little")
	}
	for range 3 {
		enforcedWithin(t, bound, m, outside)
	}

	release := occupy(t, store.Pool(), 3)
	eventually(t, "another session is noticed", noticed.Load)
	eventually(t, "everything is read at each poll", func() bool { return !m.Stats().Exact && m.Health(ctx) == nil })
	release()
	other := runMirror(t, store, mirror.WithBound(bound)) // which leaves its own mark in the sessions
	for range 3 {
		for _, revoker := range []revoke.Revoker{outside, store} {
			enforcedWithin(t, bound, m, revoker)
			enforcedWithin(t, bound, other, revoker)
		}
	}
	token := newToken()
	must(t, m.Store().RevokeToken(ctx, token))
	if err := m.Check(ctx, token); !errors.Is(err, revoke.ErrRevoked) {
		t.Errorf("own revocation: Check = %v", err)
	}
	must(t, outside.RevokeSession(ctx, revoke.Session{Issuer: issuer, ID: "s"}))
	must(t, m.Sync(ctx))
	token = newToken()
	token.SessionID = "s"
	before := m.Stats().Fallbacks
	if err := m.Check(ctx, token); !errors.Is(err, revoke.ErrRevoked) || m.Stats().Fallbacks != before {
		t.Errorf("after Sync Check = %v, and %d checks asked Postgres", err, m.Stats().Fallbacks-before)
	}
}

// TestSettingsThroughPgBouncer looks at the one session that a mirror shares with the app: it is as the app left it.
func TestSettingsThroughPgBouncer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	pooled := pgserver.Pooler(t, address, "default_pool_size = 1")
	store := throughPooler(t, pooled, pgx.QueryExecModeCacheDescribe)
	const settings = `SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) || coalesce((SELECT string_agg(c, ' ') FROM pg_listening_channels() AS c), '')
		FROM pg_settings WHERE name IN ('statement_timeout', 'idle_session_timeout', 'max_parallel_workers_per_gather', 'jit', 'enable_seqscan')`
	var before, after string
	_, err := store.Pool().Exec(ctx, "SET statement_timeout = '7s'") // of the app, for its session
	must(t, err)
	must(t, store.Pool().QueryRow(ctx, settings).Scan(&before))
	m := runMirror(t, store)
	must(t, m.Sync(ctx))
	must(t, store.Pool().QueryRow(ctx, settings).Scan(&after))
	if after != before {
		t.Errorf("the app's session had %q and has %q", before, after)
	}
}

// TestMirrorPastPgBouncer follows the database directly while the store goes through the pooler.
func TestMirrorPastPgBouncer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	pooled := pgserver.Pooler(t, address, "default_pool_size = 6", "server_round_robin = 1")
	store := throughPooler(t, pooled, pgx.QueryExecModeCacheDescribe)
	m := runMirror(t, store, mirror.WithConnString(address))
	for range 20 {
		token := newToken()
		must(t, store.RevokeToken(ctx, token))
		must(t, m.Sync(ctx))
		if err := m.Check(ctx, token); !errors.Is(err, revoke.ErrRevoked) {
			t.Errorf("Check = %v", err)
		}
	}
	if s := m.Stats(); !s.Exact || s.Loads != 1 || s.Fallbacks != 0 {
		t.Errorf("Stats = %+v, want every change read by itself", s)
	}
	token := newToken()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	must(t, store.RevokeToken(ctx, token))
	must(t, m.Wake(ctx)) // through the pooler
	eventually(t, "the mirror refuses", func() bool { return errors.Is(m.Check(ctx, token), revoke.ErrRevoked) })
}
