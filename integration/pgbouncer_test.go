package integration

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/mirror"
	"github.com/pgrevoke/revoke/revoketest"
)

// openPooled returns a store on the address of a PgBouncer. PgBouncer loses prepared statements
// from one transaction to the next, so the mode must be one that keeps none.
func openPooled(t *testing.T, address string, mode pgx.QueryExecMode) *revoke.Postgres {
	t.Helper()
	return testkit.OpenStore(t, pgserver.Pool(t, address, testkit.WithMode(mode)))
}

// occupy holds some of the pooler's server sessions, each by an open transaction, until release
// is called.
func occupy(t *testing.T, pool *pgxpool.Pool, sessions int) (release func()) {
	t.Helper()
	var held []pgx.Tx
	for range sessions {
		tx, err := pool.Begin(t.Context())
		testkit.Must(t, err)
		_, err = tx.Exec(t.Context(), "SELECT 1")
		testkit.Must(t, err)
		held = append(held, tx)
	}
	return func() {
		for _, tx := range held {
			testkit.Must(t, tx.Rollback(t.Context()))
		}
	}
}

// enforcedWithin revokes by another store than the mirror's, and expects the mirror to refuse
// the token within the bound.
func enforcedWithin(t *testing.T, bound time.Duration, m *mirror.Mirror, revoker revoke.Revoker) {
	t.Helper()
	token := testkit.Token()
	testkit.Must(t, m.Check(t.Context(), token))
	testkit.Must(t, revoker.RevokeToken(t.Context(), token))
	committed := time.Now()
	testkit.Eventually(t, "the mirror refuses", func() bool {
		began := time.Now()
		err := m.Check(t.Context(), token)
		if err == nil && began.Sub(committed) > bound {
			t.Fatalf("accepted %v after its revocation", began.Sub(committed))
		}
		return errors.Is(err, revoke.ErrRevoked)
	})
}

// poolerHook hears whether a mirror has noticed a pooler in transaction mode.
type poolerHook struct{ heard atomic.Bool }

func (h *poolerHook) OnMirror(_ context.Context, event revoke.MirrorEvent) {
	if event.Err != nil && strings.Contains(event.Err.Error(), "pooler in transaction mode") {
		h.heard.Store(true)
	}
}

// TestStoreThroughPgBouncer runs the conformance suite over a store. Each of its statements
// runs in another server session.
func TestStoreThroughPgBouncer(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			pooled := pgserver.Pooler(t, pgserver.Database(t), "default_pool_size = 6", "server_round_robin = 1")
			store := openPooled(t, pooled, mode)
			revoketest.Test(t, func(testing.TB) revoke.Store { return store })
		})
	}
}

// TestMirrorThroughPgBouncer gives the mirror's statements one server session at first, and
// then others. The mirror notices it, reads the whole table at each poll from then on, and
// keeps its bound at all times.
func TestMirrorThroughPgBouncer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	const bound = 300 * time.Millisecond
	address := pgserver.Database(t)
	pooled := pgserver.Pooler(t, address, "default_pool_size = 6")
	outside := openPooled(t, address, pgx.QueryExecModeCacheDescribe)
	var noticed poolerHook
	pool := pgserver.Pool(t, pooled, testkit.WithMode(pgx.QueryExecModeCacheDescribe))
	store := testkit.OpenStore(t, pool, revoke.WithHook(&noticed))
	m := runMirror(t, store, mirror.WithBound(bound))
	if !m.Stats().Exact {
		t.Fatal("the mirror is alone and does not read changes one by one")
	}
	for range 3 {
		enforcedWithin(t, bound, m, outside)
	}

	release := occupy(t, pool, 3)
	testkit.Eventually(t, "the mirror notices another session", noticed.heard.Load)
	testkit.Eventually(t, "the mirror reads the whole table at each poll", func() bool { return !m.Stats().Exact && m.Health(ctx) == nil })
	release()
	other := runMirror(t, store, mirror.WithBound(bound)) // it leaves its own mark in the sessions
	for range 3 {
		for _, revoker := range []revoke.Revoker{outside, store} {
			enforcedWithin(t, bound, m, revoker)
			enforcedWithin(t, bound, other, revoker)
		}
	}
	token := testkit.Token()
	testkit.Must(t, m.Store().RevokeToken(ctx, token))
	testkit.WantError(t, m.Check(ctx, token), revoke.ErrRevoked)
	token = testkit.Token()
	testkit.Must(t, outside.RevokeSession(ctx, token.Session()))
	testkit.Must(t, m.Sync(ctx))
	before := m.Stats().Fallbacks
	if err := m.Check(ctx, token); !errors.Is(err, revoke.ErrRevoked) || m.Stats().Fallbacks != before {
		t.Errorf("after Sync Check = %v, and %d checks asked Postgres", err, m.Stats().Fallbacks-before)
	}
}

// TestSettingsThroughPgBouncer gives a mirror and the app one session. The mirror leaves its
// settings as the app set them.
func TestSettingsThroughPgBouncer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	pooled := pgserver.Pooler(t, address, "default_pool_size = 1")
	store := openPooled(t, pooled, pgx.QueryExecModeCacheDescribe)
	const settings = `SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) || coalesce((SELECT string_agg(c, ' ') FROM pg_listening_channels() AS c), '')
		FROM pg_settings WHERE name IN ('statement_timeout', 'idle_session_timeout', 'max_parallel_workers_per_gather', 'jit', 'enable_seqscan')`
	testkit.Exec(t, store.Pool(), "SET statement_timeout = '7s'") // of the app, for its session
	before := testkit.QueryOne[string](t, store.Pool(), settings)
	m := runMirror(t, store)
	testkit.Must(t, m.Sync(ctx))
	if after := testkit.QueryOne[string](t, store.Pool(), settings); after != before {
		t.Errorf("the app's session had %q and has %q", before, after)
	}
}

// TestMirrorPastPgBouncer gives the mirror a connection to the server itself. The store's go
// through the pooler.
func TestMirrorPastPgBouncer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	pooled := pgserver.Pooler(t, address, "default_pool_size = 6", "server_round_robin = 1")
	store := openPooled(t, pooled, pgx.QueryExecModeCacheDescribe)
	m := runMirror(t, store, mirror.WithConnString(address))
	for range 20 {
		token := testkit.Token()
		testkit.Must(t, store.RevokeToken(ctx, token))
		testkit.Must(t, m.Sync(ctx))
		testkit.WantError(t, m.Check(ctx, token), revoke.ErrRevoked)
	}
	if s := m.Stats(); !s.Exact || s.Loads != 1 || s.Fallbacks != 0 {
		t.Errorf("Stats = %+v, want exact, one load and no fallback", s)
	}
	token := testkit.Token()
	testkit.Must(t, store.RevokeToken(ctx, token))
	testkit.Must(t, m.Wake(ctx)) // through the pooler
	testkit.Eventually(t, "the mirror refuses", func() bool { return errors.Is(m.Check(ctx, token), revoke.ErrRevoked) })
}
