package mirror

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
)

// openStore returns a store with a pool of its own on a database, as another process has.
func openStore(tb testing.TB, address string, opts ...revoke.PostgresOption) *revoke.Postgres {
	tb.Helper()
	return testkit.OpenStore(tb, pgserver.Pool(tb, address), opts...)
}

// run starts a mirror, waits until it has loaded, and stops it after the test.
func run(tb testing.TB, store *revoke.Postgres, opts ...Option) *Mirror {
	tb.Helper()
	m := testkit.Value(New(store, opts...))(tb)
	start(tb, m)
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	if err := m.Ready(ctx); err != nil {
		tb.Fatalf("%v: %v", err, m.Health(ctx))
	}
	return m
}

// start runs a mirror until the test ends.
func start(tb testing.TB, m *Mirror) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		testkit.Must(tb, <-ended)
	})
}

// slow are the options of a mirror that polls when it is told, and otherwise never
// while a test runs.
var slow = []Option{WithBound(MaxBound), WithInterval(MaxBound - time.Second)}

// refuses expects the mirror to refuse in this scope, from memory.
func refuses(tb testing.TB, m *Mirror, token revoke.Token, scope revoke.Scope) {
	tb.Helper()
	before := m.Stats().Fallbacks
	var revoked *revoke.RevokedError
	if err := m.Check(tb.Context(), token); !errors.As(err, &revoked) || revoked.Scope != scope {
		tb.Fatalf("Check = %v, want it refused in scope %s", err, scope)
	}
	if m.Stats().Fallbacks != before {
		tb.Error("Postgres was asked")
	}
}

// accepts expects the mirror to accept, from memory.
func accepts(tb testing.TB, m *Mirror, token revoke.Token) {
	tb.Helper()
	before := m.Stats().Fallbacks
	testkit.Must(tb, m.Check(tb.Context(), token))
	if m.Stats().Fallbacks != before {
		tb.Error("Postgres was asked")
	}
}

// way is a write that revokes a token, by the method.
type way struct {
	method string
	scope  revoke.Scope
	revoke func(context.Context, revoke.Revoker, revoke.Token) error
}

// ways are all of them.
var ways = []way{
	{"RevokeToken", revoke.ScopeToken, func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
		return r.RevokeToken(ctx, t)
	}},
	{"RevokeToken without expiry", revoke.ScopeToken, func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
		return r.RevokeToken(ctx, revoke.Token{Issuer: t.Issuer, ID: t.ID})
	}},
	{"RevokeTokens", revoke.ScopeToken, func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
		return r.RevokeTokens(ctx, []revoke.Token{testkit.Token(), t, t})
	}},
	{"RevokeSession", revoke.ScopeSession, func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
		return r.RevokeSession(ctx, t.Session())
	}},
	{"RevokeUser", revoke.ScopeUser, func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
		_, err := r.RevokeUser(ctx, t.User())
		return err
	}},
	{"RevokeUsers", revoke.ScopeUser, func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
		_, err := r.RevokeUsers(ctx, []revoke.User{testkit.Token().User(), t.User(), t.User()})
		return err
	}},
	{"RevokeUserBefore", revoke.ScopeUser, func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
		// A nanosecond after the token's stamp, rounded up to a microsecond.
		return r.RevokeUserBefore(ctx, t.User(), t.IssuedAt.Add(1-revoke.DefaultIssuerSkew))
	}},
	{"RevokeIssuer", revoke.ScopeIssuer, func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
		_, err := r.RevokeIssuer(ctx, t.Issuer)
		return err
	}},
	{"Redeem", revoke.ScopeToken, func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
		return r.Redeem(ctx, t)
	}},
}

// aloneToken returns a token that has its issuer for itself.
func aloneToken() revoke.Token {
	token := testkit.Token()
	token.Issuer += "/" + token.ID
	return token
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		run  bool
	}{
		{"loaded", true},
		{"without Run", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			store, _ := testkit.Store(t)
			m := testkit.Value(New(store))(t)
			if m.Health(t.Context()) == nil {
				t.Error("Health is nil before the first load")
			}
			if test.run {
				start(t, m)
				testkit.Must(t, m.Ready(t.Context()))
			}
			revoketest.Test(t, func(testing.TB) revoke.Store { return m.Store() })
		})
	}
}

func TestNewRefusesWrongArguments(t *testing.T) {
	t.Parallel()
	pool := testkit.Value(pgxpool.New(context.Background(), "postgres://127.0.0.1:1/nowhere"))(t)
	t.Cleanup(pool.Close)
	store := testkit.OpenStore(t, pool)
	for _, test := range []struct {
		name    string
		store   *revoke.Postgres
		options []Option
	}{
		{"store is nil", nil, nil},
		{"option is nil", store, []Option{nil}},
		{"bound is too short", store, []Option{WithBound(MinBound - 1)}},
		{"bound is too long", store, []Option{WithBound(MaxBound + 1)}},
		{"interval is zero", store, []Option{WithInterval(0)}},
		{"interval is the bound", store, []Option{WithBound(time.Second), WithInterval(time.Second)}},
		{"no entries", store, []Option{WithMaxEntries(0)}},
		{"connection string cannot be read", store, []Option{WithConnString("postgres://a:secret@[")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if m, err := New(test.store, test.options...); err == nil || m != nil {
				t.Errorf("New = %v, %v", m, err)
			}
		})
	}
}

// Each query mode, encoding and type that an app may have configured for its pool.
func TestRevokedElsewhereUnderEverySetting(t *testing.T) {
	t.Parallel()
	parameter := func(name, value string) func(*pgxpool.Config) {
		return func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams[name] = value }
	}
	for _, test := range []struct {
		name      string
		configure func(*pgxpool.Config)
	}{
		{"statements are cached", testkit.WithMode(pgx.QueryExecModeCacheStatement)},
		{"descriptions are cached", testkit.WithMode(pgx.QueryExecModeCacheDescribe)},
		{"each statement is described", testkit.WithMode(pgx.QueryExecModeDescribeExec)},
		{"nothing is described", testkit.WithMode(pgx.QueryExecModeExec)},
		{"simple protocol", testkit.WithMode(pgx.QueryExecModeSimpleProtocol)},
		{"no cache", func(c *pgxpool.Config) {
			testkit.WithMode(pgx.QueryExecModeExec)(c)
			c.ConnConfig.DescriptionCacheCapacity, c.ConnConfig.StatementCacheCapacity = 0, 0
		}},
		{"uuid is registered as text", func(c *pgxpool.Config) {
			c.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
				text, _ := conn.TypeMap().TypeForName("text")
				uuid, _ := conn.TypeMap().TypeForName("uuid")
				uuid.Codec = text.Codec
				conn.TypeMap().RegisterType(uuid)
				return nil
			}
		}},
		{"client_encoding LATIN1", parameter("client_encoding", "LATIN1")},
		{"client_encoding SQL_ASCII", parameter("client_encoding", "SQL_ASCII")},
		{"DateStyle and TimeZone", func(c *pgxpool.Config) {
			parameter("DateStyle", "German")(c)
			parameter("TimeZone", "Pacific/Apia")(c)
		}},
		{"repeatable read", parameter("default_transaction_isolation", "repeatable read")},
		{"serializable and deferrable", func(c *pgxpool.Config) {
			parameter("default_transaction_isolation", "serializable")(c)
			parameter("default_transaction_deferrable", "on")(c)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			address := pgserver.Database(t)
			other := openStore(t, address)
			before := aloneToken()
			testkit.Must(t, other.RevokeToken(ctx, before))
			m := run(t, testkit.OpenStore(t, pgserver.Pool(t, address, test.configure)))
			refuses(t, m, before, revoke.ScopeToken)
			accepts(t, m, aloneToken())
			if s := m.Stats(); s.Fallbacks != 0 || s.Entries != 1 || !s.Exact {
				t.Errorf("Stats = %+v", s)
			}
			for _, way := range ways {
				token := aloneToken()
				accepts(t, m, token)
				testkit.Must(t, way.revoke(ctx, other, token))
				testkit.Must(t, m.Sync(ctx))
				refuses(t, m, token, way.scope)
				token.Issuer += "/other"
				accepts(t, m, token)
			}
		})
	}
}

// Rows that a newer version writes are not read, nor is the reserve.
func TestUnknownScopesAreSkipped(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := openStore(t, address)
	testkit.Exec(t, store.Pool(), "ALTER TABLE revoke.revocations DROP CONSTRAINT revocations_scope")
	write := func() {
		testkit.Exec(t, store.Pool(), `INSERT INTO revoke.revocations (key, since, expires_at, revoked_at, scope, issuer, id)
			VALUES (gen_random_uuid(), now(), now() + interval '1 hour', now(), 'device', 'i', 'd')`)
	}
	write()
	m := run(t, openStore(t, address))
	write()
	testkit.Must(t, m.Sync(ctx))
	if n := m.Stats().Entries; n != 0 {
		t.Errorf("%d entries", n)
	}
}

// Without a poll straight after the load, one of many rows would leave Postgres to
// answer until the next interval.
func TestPollFollowsALoadAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // half of the interval
	defer cancel()
	store, _ := testkit.Store(t)
	m := run(t, store, slow...)
	testkit.Eventually(t, "a poll follows the load", func() bool {
		testkit.Must(t, ctx.Err())
		return m.Stats().Polls == 1
	})
}

// recorder is a hook that keeps what it hears.
type recorder struct {
	checks  chan revoke.CheckEvent
	mirrors chan revoke.MirrorEvent
	missed  atomic.Int64
}

func newRecorder() *recorder {
	return &recorder{checks: make(chan revoke.CheckEvent, 100), mirrors: make(chan revoke.MirrorEvent, 100)}
}

func (r *recorder) OnCheck(_ context.Context, event revoke.CheckEvent) {
	select {
	case r.checks <- event:
	default:
		r.missed.Add(1)
	}
}

func (r *recorder) OnMirror(_ context.Context, event revoke.MirrorEvent) {
	select {
	case r.mirrors <- event:
	default:
		r.missed.Add(1)
	}
}

// next returns the next event, which may take a while.
func next[E any](tb testing.TB, events <-chan E) E {
	tb.Helper()
	select {
	case event := <-events:
		return event
	case <-time.After(time.Minute):
		tb.Fatal("no event within a minute")
		panic("unreachable")
	}
}

func TestHooks(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	other := openStore(t, address)
	dead := testkit.Token()
	testkit.Must(t, other.RevokeToken(ctx, dead))
	hook := newRecorder()
	m := testkit.Value(New(openStore(t, address, revoke.WithHook(hook)), slow...))(t)

	check := func(token revoke.Token, fromMemory bool, want error) {
		t.Helper()
		err := m.Check(ctx, token)
		if !errors.Is(err, want) {
			t.Errorf("Check = %v, want %v", err, want)
		}
		event := next(t, hook.checks)
		if event.FromMemory != fromMemory || event.Duration <= 0 || event.Err != err { //nolint:errorlint // is the same
			t.Errorf("event %+v, want from memory: %v, error: %v", event, fromMemory, err)
		}
		if len(hook.checks) > 0 {
			t.Errorf("another event: %+v", <-hook.checks)
		}
	}
	check(dead, false, revoke.ErrRevoked)
	start(t, m)
	if event := next(t, hook.mirrors); event != (revoke.MirrorEvent{Entries: 1, Exact: true}) {
		t.Errorf("after the load: %+v", event)
	}
	check(dead, true, revoke.ErrRevoked)
	check(testkit.Token(), true, nil)
	check(revoke.Token{}, true, revoke.ErrInvalidToken)

	testkit.Eventually(t, "the session is ended", func() bool { return endSessions(t, other.Pool()) == 1 })
	testkit.Must(t, m.Sync(ctx))
	if event := next(t, hook.mirrors); event.Err == nil {
		t.Errorf("after the end of the session: %+v", event)
	}
	for next(t, hook.mirrors).Err != nil { // a new session may need several attempts
	}
	check(dead, true, revoke.ErrRevoked)
	if n := hook.missed.Load(); n > 0 {
		t.Errorf("%d events too many", n)
	}
}

// A watcher hears of what was applied, and is not woken by a poll that finds nothing.
func TestChanged(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(m *Mirror) error
		want   bool
	}{
		{"a poll with a row", func(m *Mirror) error { return m.update(t.Context(), difference(tokenRow("a"))) }, true},
		{"a poll without rows", func(m *Mirror) error { return m.update(t.Context(), difference()) }, false},
		{"the first load", func(m *Mirror) error { m.forgetSession(); return m.update(t.Context(), complete()) }, true},
		{"a complete poll with a new row", func(m *Mirror) error { return m.update(t.Context(), complete(tokenRow("a"))) }, true},
		{"a complete poll without a new row", func(m *Mirror) error { return m.update(t.Context(), complete()) }, false},
		{"a write of this process", func(m *Mirror) error {
			return m.Store().RevokeToken(t.Context(), tokenOf("a"))
		}, true},
		{"a write of this process without a session", func(m *Mirror) error {
			m.forgetSession()
			return m.Store().RevokeToken(t.Context(), tokenOf("a"))
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, _ := newMirror(t)
			update(t, m, complete())
			changed := m.Changed()
			testkit.Must(t, test.change(m))
			select {
			case <-changed:
				if !test.want {
					t.Error("the channel is closed")
				}
			default:
				if test.want {
					t.Error("the channel is not closed")
				}
			}
			select {
			case <-m.Changed():
				t.Error("the channel of a later call is closed")
			default:
			}
		})
	}
}

// A stream that watches is woken by a revocation in another process.
func TestChangedFromElsewhere(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	m := run(t, openStore(t, address))
	token := testkit.Token()
	changed := m.Changed()
	accepts(t, m, token)
	testkit.Must(t, openStore(t, address).RevokeUserBefore(ctx, token.User(), time.Now()))
	next(t, changed)
	refuses(t, m, token, revoke.ScopeUser)
}

func TestWake(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	a, b := run(t, openStore(t, address), slow...), run(t, openStore(t, address), slow...)

	token := testkit.Token()
	testkit.Must(t, a.Store().RevokeToken(ctx, token)) // notifies by itself
	testkit.Eventually(t, "the other mirror refuses", func() bool { return errors.Is(b.Check(ctx, token), revoke.ErrRevoked) })

	outside, store := testkit.Token(), openStore(t, address)
	testkit.Must(t, pgx.BeginFunc(ctx, store.Pool(), func(tx pgx.Tx) error { return store.WithTx(tx).RevokeToken(ctx, outside) }))
	testkit.Must(t, a.Wake(ctx))
	testkit.Eventually(t, "both refuse", func() bool {
		return errors.Is(a.Check(ctx, outside), revoke.ErrRevoked) && errors.Is(b.Check(ctx, outside), revoke.ErrRevoked)
	})
	if a.Stats().Fallbacks+b.Stats().Fallbacks != 0 {
		t.Error("Postgres was asked")
	}
}

func TestSyncAndReadyEndWithTheirContext(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	testkit.WantError(t, m.Ready(ctx), revoke.ErrUnavailable)
	testkit.WantError(t, m.Sync(ctx), revoke.ErrUnavailable)
	testkit.WantError(t, m.Wake(ctx), revoke.ErrUnavailable)
}
