package mirror

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
)

// testClock is a clock that a test moves.
type testClock struct{ monotonic, wall atomic.Int64 }

func newTestClock() *testClock {
	c := &testClock{}
	c.wall.Store(time.Now().UnixNano())
	return c
}

func (c *testClock) now() instant { return instant{monotonic: c.monotonic.Load(), wall: c.wall.Load()} }

// advance moves both clocks, as time does.
func (c *testClock) advance(d time.Duration) {
	c.monotonic.Add(int64(d))
	c.wall.Add(int64(d))
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// newMirror returns a mirror with a clock of the test's, over a database of its own. Run is not running: the test does what
// it would do.
func newMirror(t *testing.T) (*Mirror, *testClock) {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), pgserver.Database(t))
	must(t, err)
	t.Cleanup(pool.Close)
	store, err := revoke.NewPostgres(pool)
	must(t, err)
	clock := newTestClock()
	m, err := New(store, func(c *config) error { c.clock = clock.now; return nil })
	must(t, err)
	return m, clock
}

// fakeFeed is a feed that does what a test wants.
type fakeFeed func(apply func(row)) error

func (f fakeFeed) read(_ context.Context, apply func(row)) (time.Time, error) {
	err := f(apply)
	return time.Now(), err
}

func (f fakeFeed) load(ctx context.Context, apply func(row)) (time.Time, error) {
	return f.read(ctx, apply)
}

func (f fakeFeed) poll(ctx context.Context, apply func(row)) (time.Time, error) {
	return f.read(ctx, apply)
}

func (fakeFeed) whole() bool { return false }

func tokenRow(id string) row {
	return row{kind: rowToken, issuer: []byte("i"), id: []byte(id), at: time.Now().Add(time.Hour).UnixMicro()}
}

func tokenOf(id string) revoke.Token {
	now := time.Now()
	return revoke.Token{Issuer: "i", ID: id, Subject: "s", IssuedAt: now.Add(-time.Minute), ExpiresAt: now.Add(time.Hour)}
}

var nothing = fakeFeed(func(func(row)) error { return nil })

// TestMarkIsTakenBeforeThePoll lets time pass while a poll is on its way: what commits in that time is not in its answer.
func TestMarkIsTakenBeforeThePoll(t *testing.T) {
	t.Parallel()
	m, clock := newMirror(t)
	for name, read := range map[string]func(fakeFeed) error{
		"load": func(f fakeFeed) error { return m.load(t.Context(), f.load) },
		"poll": func(f fakeFeed) error { return m.poll(t.Context(), f) },
	} {
		before := clock.now()
		must(t, read(func(func(row)) error { clock.advance(m.bound / 2); return nil }))
		if got := m.mark.Load().at; got != before {
			t.Errorf("%s: the mark is %v later than the poll was sent", name, time.Duration(got.monotonic-before.monotonic))
		}
	}
}

// TestPartialPollMovesNothing breaks off in the middle of a poll: its rows may be kept, and its mark may not.
func TestPartialPollMovesNothing(t *testing.T) {
	t.Parallel()
	m, clock := newMirror(t)
	must(t, m.load(t.Context(), nothing.load))
	mark, applied := m.mark.Load(), m.applied
	clock.advance(m.bound / 2)
	broken := errors.New("the connection is gone")
	err := m.poll(t.Context(), fakeFeed(func(apply func(row)) error { apply(tokenRow("a")); return broken }))
	if !errors.Is(err, broken) || m.mark.Load() != mark || m.applied != applied {
		t.Errorf("after a partial poll (%v) the mark has moved", err)
	}
}

// TestReloadKeepsOwnRevocations revokes while a load is on its way whose snapshot is older.
func TestReloadKeepsOwnRevocations(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	must(t, m.load(t.Context(), nothing.load))
	must(t, m.load(t.Context(), func(context.Context, func(row)) (time.Time, error) {
		m.enforce(writer{hash: m.hash}.tokenEntry(tokenOf("own")))
		return time.Now(), nil
	}))
	if err := m.Check(t.Context(), tokenOf("own")); !errors.Is(err, revoke.ErrRevoked) {
		t.Errorf("after the load Check = %v", err)
	}
	// A load that began later knows better: the database has lost it, in a failover for instance.
	must(t, m.load(t.Context(), nothing.load))
	must(t, m.Check(t.Context(), tokenOf("own")))
	if len(m.recent) != 0 {
		t.Errorf("%d revocations are kept apart", len(m.recent))
	}
}

// TestClocks moves the clocks of the machine: whenever either says that the mark is old, or makes no sense, Postgres is asked.
func TestClocks(t *testing.T) {
	t.Parallel()
	m, clock := newMirror(t)
	must(t, m.load(t.Context(), nothing.load))
	fromMemory := func() bool {
		before := m.fallbacks.Load()
		must(t, m.Check(t.Context(), tokenOf("a")))
		return m.fallbacks.Load() == before
	}
	if !fromMemory() {
		t.Error("a fresh mark is not used")
	}
	clock.advance(m.bound)
	if !fromMemory() {
		t.Error("a mark of the bound's age is not used")
	}
	clock.advance(1)
	if fromMemory() {
		t.Error("a mark older than the bound is used")
	}
	must(t, m.poll(t.Context(), nothing))
	for what, step := range map[string]time.Duration{"an hour back": -time.Hour, "two days ahead": 48 * time.Hour, "asleep": 2 * m.bound} {
		clock.wall.Add(int64(step)) // the other clock stands still
		if fromMemory() {
			t.Errorf("%s: the mark is used", what)
		}
		clock.wall.Add(-int64(step))
	}
	clock.monotonic.Add(int64(10 * time.Second)) // stopped for ten seconds, and the wall clock set back by as much
	if fromMemory() {
		t.Error("after a stop the mark is used")
	}
	clock.wall.Add(int64(10 * time.Second))
	must(t, m.poll(t.Context(), nothing))
	if !fromMemory() {
		t.Error("after a poll the mark is not used")
	}
}

// TestDroppedEntriesAreNotForgotten drops entries by a clock that runs ahead, and sets it back.
func TestDroppedEntriesAreNotForgotten(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	token := tokenOf("a")
	must(t, m.store.RevokeToken(t.Context(), token))
	must(t, m.load(t.Context(), fakeFeed(func(apply func(row)) error { apply(tokenRow("a")); return nil }).load))
	m.mu.Lock()
	m.compact(time.Now().Add(48 * time.Hour))
	m.mu.Unlock()
	must(t, m.poll(t.Context(), nothing))
	if n := m.Stats().Entries; n != 0 {
		t.Fatalf("%d entries are left, so this proves nothing", n)
	}
	if err := m.Check(t.Context(), token); !errors.Is(err, revoke.ErrRevoked) {
		t.Errorf("Check = %v", err)
	}
	if m.Stats().Fallbacks != 1 {
		t.Error("Postgres was not asked")
	}
}

// TestAnotherSession gives an answer to a session that did not ask, as a pooler in transaction mode does.
func TestAnotherSession(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	must(t, m.store.RevokeToken(t.Context(), tokenOf("a")))
	s, err := m.connect(t.Context())
	must(t, err)
	defer s.close()
	source, err := s.probe(t.Context())
	must(t, err)
	if source.whole() {
		t.Fatal("the exact feed is not used")
	}
	must(t, m.load(t.Context(), source.load))
	s.nonce = "another"
	mark := m.mark.Load()
	if err := m.poll(t.Context(), source); !errors.Is(err, errPooled) || m.mark.Load() != mark {
		t.Errorf("poll = %v", err)
	}
	source, err = s.probe(t.Context())
	must(t, err)
	if !source.whole() {
		t.Fatal("the exact feed is used through a pooler")
	}
	must(t, m.store.RevokeToken(t.Context(), tokenOf("b")))
	must(t, m.load(t.Context(), source.load))
	for _, id := range []string{"a", "b"} {
		if _, found := m.table.Load().get(m.hash.token(m.hash.issuer("i"), id)); !found {
			t.Errorf("token %s was not read", id)
		}
	}
	before := m.Stats().Fallbacks
	must(t, m.Check(t.Context(), tokenOf("c")))
	if err := m.Check(t.Context(), tokenOf("b")); !errors.Is(err, revoke.ErrRevoked) || m.Stats().Fallbacks != before {
		t.Errorf("Check = %v, and %d checks asked Postgres", err, m.Stats().Fallbacks-before)
	}
}

// TestTable compares the table with a map, while others read it.
func TestTable(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	m.clockRead = time.Now()
	random := rand.New(rand.NewPCG(1, 2))
	want := map[uint64]int64{}
	var stop atomic.Bool
	var group sync.WaitGroup
	var known atomic.Uint64
	known.Store(1)
	m.mu.Lock()
	m.put(entry{fingerprint: 1, value: maxMicros})
	m.mu.Unlock()
	group.Go(func() {
		for !stop.Load() {
			fingerprint := known.Load() // before the table, as a check reads the mark
			if _, found := m.table.Load().get(fingerprint); !found {
				t.Error("an entry is lost while the table grows")
				return
			}
		}
	})
	for range 50_000 {
		e := entry{fingerprint: random.Uint64N(40_000) + 1, value: maxMicros - random.Int64N(1000)}
		m.mu.Lock()
		m.put(e)
		m.mu.Unlock()
		known.Store(e.fingerprint)
		want[e.fingerprint] = max(want[e.fingerprint], e.value)
	}
	stop.Store(true)
	group.Wait()
	for fingerprint, value := range want {
		if packed, found := m.table.Load().get(fingerprint); !found || (micros(packed) != value && fingerprint != 1) {
			t.Fatalf("entry %d is %d, %v, want %d", fingerprint, micros(packed), found, value)
		}
	}
	for range 10_000 {
		if _, found := m.table.Load().get(random.Uint64() | 1<<40); found {
			t.Fatal("an entry was found that nobody put there")
		}
	}
}

// TestFingerprints looks for names of different kinds or parts with one fingerprint.
func TestFingerprints(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	seen := map[uint64]string{}
	for i := range 200 {
		issuer := m.hash.issuer(fmt.Sprint("issuer-", i))
		names := map[string]uint64{fmt.Sprint("issuer ", i): issuerEpoch(issuer)}
		for j := range 200 {
			id := fmt.Sprint("id-", j)
			names[fmt.Sprint("token ", i, j)] = m.hash.token(issuer, id)
			names[fmt.Sprint("session ", i, j)] = m.hash.session(issuer, id)
			names[fmt.Sprint("user ", i, j)] = m.hash.user(issuer, id)
		}
		for name, fingerprint := range names {
			if other, ok := seen[fingerprint]; ok {
				t.Fatalf("%s and %s have one fingerprint", name, other)
			}
			seen[fingerprint] = name
		}
	}
}

// TestGrowth bounds the memory of a table that was filled one by one, at each size that it has.
func TestGrowth(t *testing.T) {
	t.Parallel()
	grown := newTable(0)
	for n := range uint64(300_000) {
		grown = add(grown, entry{fingerprint: fingerprint(kindToken, 1, n), value: 1})
		if each := float64(grown.bytes()) / float64(grown.used); grown.used > 1000 && each > 43 {
			t.Fatalf("%d entries take %.1f bytes each", grown.used, each)
		}
	}
}

// TestPollPlan polls large tables without statistics, as they are after a restore: by what has changed, and not by what is live.
func TestPollPlan(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	m, _ := newMirror(t)
	for _, sql := range []string{
		"ALTER TABLE revoke.revoked_tokens SET (autovacuum_enabled = off)",
		`INSERT INTO revoke.revoked_tokens (key, expires_at, revoked_at, issuer, jti)
			SELECT gen_random_uuid(), now() + interval '1 hour', now(), 'i', i::text FROM generate_series(1, 100000) AS i`,
	} {
		_, err := m.store.Pool().Exec(ctx, sql)
		must(t, err)
	}
	s, err := m.connect(ctx)
	must(t, err)
	defer s.close()
	f := &exactFeed{session: s}
	_, err = f.load(ctx, func(row) {})
	must(t, err)
	explain := func(sql string, args ...any) {
		rows, err := s.conn.Query(ctx, "EXPLAIN "+sql, args...)
		must(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		must(t, err)
		plan := strings.Join(lines, "\n")
		if strings.Contains(plan, "expires_at_idx") || strings.Contains(plan, "Seq Scan") || !strings.Contains(plan, "revoked_tokens_xid_idx") {
			t.Errorf("a poll reads more than what has changed:\n%s", plan)
		}
	}
	explain(s.sql.pollExact, f.xmax, f.xip)
	// The plan that serves all polls of a session, once five have been planned one by one.
	var prepared string
	must(t, s.conn.QueryRow(ctx, "SELECT name FROM pg_prepared_statements WHERE statement = $1::text", s.sql.pollExact).Scan(&prepared))
	_, err = s.conn.Exec(ctx, "SET plan_cache_mode = force_generic_plan")
	must(t, err)
	explain("EXECUTE " + prepared + " ('" + f.xmax + "', '{}')")
}
