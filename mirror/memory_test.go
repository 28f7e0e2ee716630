package mirror

import (
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
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

// withClock sets the clock of a mirror.
func withClock(clock func() instant) Option {
	return func(c *config) error { c.clock = clock; return nil }
}

// newMirror returns a mirror over a database of its own, with a clock of the test's.
// Run is not running: the test does what it would do.
func newMirror(t *testing.T, opts ...Option) (*Mirror, *testClock) {
	t.Helper()
	store, _ := testkit.Store(t)
	return mirrorOf(t, store, opts...)
}

// mirrorOf is newMirror on a store that several tests may share.
func mirrorOf(t *testing.T, store *revoke.Postgres, opts ...Option) (*Mirror, *testClock) {
	t.Helper()
	clock := newTestClock()
	return testkit.Value(New(store, append(opts, withClock(clock.now))...))(t), clock
}

// readAll loads all rows of the mirror's database, in a session that ends with the test.
func readAll(t *testing.T, m *Mirror) feed {
	t.Helper()
	s := openSession(t, m)
	source := testkit.Value(s.probe(t.Context()))(t)
	update(t, m, source.next())
	return source
}

func openSession(t *testing.T, m *Mirror) *session {
	t.Helper()
	s := testkit.Value(m.connect(t.Context()))(t)
	t.Cleanup(s.close)
	return s
}

func update(t *testing.T, m *Mirror, a answer) {
	t.Helper()
	testkit.Must(t, m.update(t.Context(), a))
}

// answerBy is an answer of the feed that does what a test wants.
func answerBy(whole bool, read func(apply func([]row) error) error) answer {
	return answer{complete: whole, read: func(_ context.Context, apply func([]row) error) (time.Time, error) {
		err := read(apply)
		return time.Now(), err
	}}
}

func difference(rows ...row) answer {
	return answerBy(false, func(apply func([]row) error) error {
		if len(rows) == 0 {
			return nil
		}
		return apply(rows)
	})
}

func complete(rows ...row) answer {
	a := difference(rows...)
	a.complete = true
	return a
}

func tokenOf(id string) revoke.Token {
	now := time.Now().Truncate(time.Second)
	return revoke.Token{Issuer: "i", ID: id, Subject: "s", IssuedAt: now.Add(-time.Minute), ExpiresAt: now.Add(time.Hour)}
}

// tokenRow is the row of a revoked token of tokenOf.
func tokenRow(id string) row { return revokedToken(tokenOf(id)).row }

// holds reports whether the token's row is in the table.
func (m *Mirror) holds(id string) bool {
	key := tokenRow(id).key
	_, found := m.table.Load().get(m.hash.fingerprint(&key))
	return found
}

func TestAcceptingAllocatesNothing(t *testing.T) { //nolint:paralleltest // counts the process's allocations
	m, _ := newMirror(t)
	update(t, m, complete(tokenRow("a")))
	token, ctx := testkit.Token(), t.Context()
	if n := testing.AllocsPerRun(100, func() { testkit.Must(t, m.Check(ctx, token)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := m.Stats().Fallbacks; n != 0 {
		t.Errorf("%d checks asked Postgres", n)
	}
}

// What commits while a read is on its way is not in its answer.
func TestMarkIsTakenBeforeTheRead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		complete bool
	}{
		{"load", true},
		{"poll", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, clock := newMirror(t)
			before := clock.now()
			update(t, m, answerBy(test.complete, func(func([]row) error) error { clock.advance(m.bound / 2); return nil }))
			if got := m.mark.Load().at; got != before {
				t.Errorf("the mark is %v later than the read", time.Duration(got.monotonic-before.monotonic))
			}
		})
	}
}

// The rows of a poll that broke off may stay, but its mark may not count.
func TestPartialPollMovesNothing(t *testing.T) {
	t.Parallel()
	m, clock := newMirror(t)
	update(t, m, complete())
	mark, applied := m.mark.Load(), m.applied
	clock.advance(m.bound / 2)
	broken := errors.New("the connection was closed")
	err := m.update(t.Context(), answerBy(false, func(apply func([]row) error) error {
		testkit.Must(t, apply([]row{tokenRow("a")}))
		return broken
	}))
	if !errors.Is(err, broken) || m.mark.Load() != mark || m.applied != applied {
		t.Errorf("after a partial poll (%v) the mark has moved", err)
	}
}

func TestClocks(t *testing.T) {
	t.Parallel()
	const bound = time.Second
	for _, test := range []struct {
		name            string
		monotonic, wall time.Duration // since the last poll
		fromMemory      bool
	}{
		{"at once", 0, 0, true},
		{"the bound later", bound, bound, true},
		{"a nanosecond later than that", bound + 1, bound + 1, false},
		{"the wall clock was set back by an hour", 0, -time.Hour, false},
		{"the wall clock was set two days ahead", 0, 48 * time.Hour, false},
		{"the machine slept, so that the monotonic clock stood still", 0, 2 * bound, false},
		{"the process was stopped, and the wall clock set back by as much", 10 * time.Second, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, clock := newMirror(t, WithBound(bound))
			update(t, m, complete())
			clock.monotonic.Add(int64(test.monotonic))
			clock.wall.Add(int64(test.wall))
			testkit.Must(t, m.Check(t.Context(), tokenOf("a")))
			if fromMemory := m.Stats().Fallbacks == 0; fromMemory != test.fromMemory {
				t.Errorf("from memory: %v", fromMemory)
			}
			update(t, m, difference())
			accepts(t, m, tokenOf("a"))
		})
	}
}

// Entries that were dropped by a clock that ran ahead do not make their tokens come
// back to life when it is set back.
func TestDroppedEntriesAreNotForgotten(t *testing.T) {
	t.Parallel()
	// The token has long expired by this clock.
	ahead := func() time.Time { return time.Now().Add(48 * time.Hour) }
	for _, test := range []struct {
		name string
		drop func(m *Mirror) error
	}{
		{"by a compaction", func(m *Mirror) error {
			err := m.update(t.Context(), complete(tokenRow("a")))
			m.mu.Lock()
			defer m.mu.Unlock()
			m.compact(ahead())
			return err
		}},
		{"by a load", func(m *Mirror) error {
			return m.update(t.Context(), answer{complete: true, read: func(context.Context, func([]row) error) (time.Time, error) {
				return ahead(), nil
			}})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, _ := newMirror(t)
			token := tokenOf("a")
			testkit.Must(t, m.store.RevokeToken(t.Context(), token))
			testkit.Must(t, test.drop(m))
			update(t, m, difference())
			if n := m.Stats().Entries; n != 0 {
				t.Fatalf("%d entries are left, so this proves nothing", n)
			}
			testkit.WantError(t, m.Check(t.Context(), token), revoke.ErrRevoked)
			if m.Stats().Fallbacks != 1 {
				t.Error("Postgres was not asked")
			}
		})
	}
}

// An epoch that lies further back than any token lives stays: its instant does not say
// for how long its row counts.
func TestEpochsOfLongAgo(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	token := tokenOf("a")
	token.HasEpochs = true
	testkit.Must(t, m.store.RevokeUserBefore(t.Context(), token.User(), time.Now().Add(-2*revoke.MaxTokenLifetime)))
	testkit.WantError(t, m.store.Check(t.Context(), token), revoke.ErrRevoked)
	readAll(t, m)
	refuses(t, m, token, revoke.ScopeUser)
	m.mu.Lock()
	m.compact(m.clockRead)
	m.mu.Unlock()
	refuses(t, m, token, revoke.ScopeUser)
}

// A load leaves out only what lies before the cutoff that it tells, also if rows expire
// while it runs.
func TestSlowLoadLeavesOutOnlyWhatItSays(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	for _, sql := range []string{
		"ALTER TABLE revoke.revocations RENAME TO kept",
		`CREATE FUNCTION revoke.late() RETURNS SETOF timestamptz LANGUAGE plpgsql AS $$ BEGIN
			PERFORM pg_sleep(0.02);
			RETURN NEXT statement_timestamp() - interval '1 hour' + interval '10 milliseconds';
		END $$`,
		`CREATE VIEW revoke.revocations AS SELECT revoke.row_key('token', 'i', 'a') AS key, 'token' AS scope, now() AS since,
			late AS expires_at FROM revoke.late() AS late`,
	} {
		testkit.Exec(t, m.store.Pool(), sql)
	}
	update(t, m, wholeFeed{openSession(t, m)}.next())
	expires := m.clockRead.Add(-time.Hour + 10*time.Millisecond).UnixMicro()
	if !m.holds("a") && m.cutoff.Load() < expires {
		t.Errorf("a row is left out that expired %d µs after the cutoff", expires-m.cutoff.Load())
	}
}

// If a load told another time than the one by which it leaves rows out, it would leave
// out more than it says.
func TestLoadTellsTheTimeThatItUsed(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	for _, sql := range []string{
		"ALTER TABLE revoke.revocations RENAME TO kept",
		`CREATE VIEW revoke.revocations AS SELECT revoke.row_key('token', 'i', 'a') AS key, 'token' AS scope, now() AS since,
			statement_timestamp() AS expires_at`,
	} {
		testkit.Exec(t, m.store.Pool(), sql)
	}
	s := openSession(t, m)
	for _, statement := range []struct{ name, sql string }{{"exact", s.sql.loadExact}, {"whole", s.sql.loadWhole}} {
		t.Run(statement.name, func(t *testing.T) { //nolint:paralleltest // one session
			var used int64
			head, err := s.read(t.Context(), time.Minute, anySession, func(part []row) error { used = part[0].at; return nil }, statement.sql)
			testkit.Must(t, err)
			if used != head.clock.UnixMicro() {
				t.Errorf("the time that is told is %d µs later", head.clock.UnixMicro()-used)
			}
		})
	}
}

// A load ends in the middle of a check, which began with an old mark. What was in
// memory then does not count, and the new mark says nothing about it.
func TestLookupAfterTheMark(t *testing.T) {
	t.Parallel()
	m, clock := newMirror(t)
	update(t, m, complete())
	testkit.Must(t, m.store.RevokeToken(t.Context(), tokenOf("a")))
	clock.advance(m.bound + 1)
	m.clock = func() instant { // between what a check reads first and what it reads last
		m.clock = clock.now
		update(t, m, complete(tokenRow("a")))
		return clock.now()
	}
	testkit.WantError(t, m.Check(t.Context(), tokenOf("a")), revoke.ErrRevoked)
}

// Entries are dropped in the middle of a check that has its mark already. The check
// finds the entry in the table that it reads, or sees that this table leaves such
// entries out.
func TestTableInTheMiddleOfACheck(t *testing.T) {
	t.Parallel()
	m, clock := newMirror(t)
	testkit.Must(t, m.store.RevokeToken(t.Context(), tokenOf("b")))
	update(t, m, complete(tokenRow("b")))
	m.clock = func() instant {
		m.clock = clock.now
		m.mu.Lock()
		m.compact(time.Now().Add(48 * time.Hour))
		m.mu.Unlock()
		return clock.now()
	}
	testkit.WantError(t, m.Check(t.Context(), tokenOf("b")), revoke.ErrRevoked)
}

// The table agrees with a map, while another goroutine reads it.
func TestTable(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	m.clockRead = time.Now()
	const forever = 253402300799 * 1_000_000 // the end of the year 9999
	random := rand.New(rand.NewPCG(1, 2))
	want := map[uint64]int64{}
	put := func(e entry) {
		m.mu.Lock()
		m.writable().put(e)
		m.mu.Unlock()
		want[e.fingerprint] = max(want[e.fingerprint], e.value)
	}
	put(entry{fingerprint: 1, value: forever})
	var stop atomic.Bool
	var known atomic.Uint64
	known.Store(1)
	var group sync.WaitGroup
	group.Go(func() {
		for !stop.Load() {
			fingerprint := known.Load() // before the table, as a check reads the mark
			table := m.table.Load()
			if _, found := table.get(fingerprint); !found || !table.sift(&[len(scopes)]uint64{3: fingerprint})[3] {
				t.Error("an entry is lost while the table grows")
				return
			}
		}
	})
	for range 50_000 {
		// The product is over all words of the filter, and as even as the number.
		e := entry{fingerprint: (random.Uint64N(40_000) + 1) * 0x9e3779b97f4a7c15, value: forever - random.Int64N(1000)}
		e.epoch = e.fingerprint%2 == 0
		put(e)
		known.Store(e.fingerprint)
	}
	stop.Store(true)
	group.Wait()
	for fingerprint, value := range want {
		wanted := entry{fingerprint, value, fingerprint%2 == 0}
		if e, found := m.table.Load().get(fingerprint); !found || e != wanted {
			t.Fatalf("entry %+v, %v, want %+v", e, found, wanted)
		}
	}
	for range 10_000 {
		if e, found := m.table.Load().get(random.Uint64() | 1<<40); found {
			t.Fatalf("the table has %+v, which was never put there", e)
		}
	}
	m.table.Load().replace(entry{fingerprint: 1, value: 7})
	if e, _ := m.table.Load().get(1); e.value != 7 {
		t.Errorf("replaced by 7 it is %+v", e)
	}
}

// The filter has every entry, at any size of the table and by any way into it, and few others.
func TestFilter(t *testing.T) {
	t.Parallel()
	hash := newHasher()
	// Keys are the beginning of a SHA-256, as those of rows are.
	fingerprint := func(i int, kind byte) uint64 {
		sum := sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16), kind})
		return hash.fingerprint((*rowKey)(sum[:]))
	}
	const known, unknown, entries = 1, 2, 50_000
	grown := newTable(0)
	check := func(table *table, n int) (others int) {
		t.Helper()
		for i := range n {
			perhaps := table.sift(&[len(scopes)]uint64{fingerprint(i, known), 0, fingerprint(i, unknown)})
			if !perhaps[0] || perhaps[1] || perhaps[3] {
				t.Fatalf("of %d entries, the filter says %v of one that there is and two that there are not", n, perhaps)
			}
			if perhaps[2] {
				others++
			}
		}
		return others
	}
	for i := range entries {
		grown = add(grown, entry{fingerprint: fingerprint(i, known), value: 1})
		if n := i + 1; n&(n-1) == 0 || grown.full() {
			if others := check(grown, n); n > 1000 && others > n/20 {
				t.Errorf("with %d entries, the filter says perhaps of %d that there are not", n, others)
			}
		}
	}
	for name, table := range map[string]*table{"resized": grown.resized(10 * entries), "fitted": grown.resized(10 * entries).fitted()} {
		if others := check(table, entries); others > entries/20 {
			t.Errorf("%s, the filter says perhaps of %d that there are not", name, others)
		}
	}
}

// A token without a session has no key of one, which no filter and no table are asked for.
func TestAbsentScopesAreNotLookedUp(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	update(t, m, complete())
	filter := m.table.Load().filter
	for i := range filter {
		filter[i].Store(^uint64(0))
	}
	accepts(t, m, tokenOf("a"))
}

// The number of rows that the database estimates makes the first table large enough. If the
// estimate is wrong, the table is none the larger.
func TestLoadIsSizedByAnEstimate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name                       string
		estimate, maximum, entries int
		sizedFor                   int // entries
	}{
		{"right", 100_000, 1_000_000, 70_000, 100_000},
		{"unknown", -1, 1_000_000, 1, 0},
		{"too high", 100_000, 1_000_000, 10, 10},
		{"higher than what is kept", 1 << 50, 20_000, 19_000, 20_000},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, _ := newMirror(t, WithMaxEntries(test.maximum))
			a := complete()
			a.rows = test.estimate
			a.read = func(_ context.Context, apply func([]row) error) (time.Time, error) {
				for i := range test.entries {
					testkit.Must(t, apply([]row{{key: rowKey{byte(i), byte(i >> 8), byte(i >> 16)}, at: 1 << 60}}))
				}
				return time.Now(), nil
			}
			update(t, m, a)
			if got, want := m.Stats().Bytes, newTable(test.sizedFor).bytes(); got != want {
				t.Errorf("the table has %d bytes, want %d", got, want)
			}
		})
	}
	m, _ := newMirror(t)
	fillTokens(t, m.store.Pool(), 10_000)
	testkit.Exec(t, m.store.Pool(), "ANALYZE revoke.revocations")
	if a := testkit.Value(openSession(t, m).probe(t.Context()))(t).next(); a.rows < 9_000 || a.rows > 12_000 {
		t.Errorf("the estimate is %d rows, and there are 10,000", a.rows)
	}
}

// Fingerprints are seeded, so no choice of identifiers makes them collide.
func TestFingerprints(t *testing.T) {
	t.Parallel()
	a, _ := newMirror(t)
	b, _ := newMirror(t)
	seen := map[uint64]bool{}
	for i := range 80_000 {
		key := rowKey{0: byte(i), 1: byte(i >> 8), 15: 1}
		if i >= 40_000 { // that differ in the other half
			key = rowKey{8: byte(i), 9: byte(i >> 8), 10: byte(i >> 16), 15: 2}
		}
		f := a.hash.fingerprint(&key)
		if f == 0 || seen[f] || f == b.hash.fingerprint(&key) {
			t.Fatalf("key %x: fingerprint %x, seen before: %v", key, f, seen[f])
		}
		seen[f] = true
	}
}

// A table that was filled one by one is not too large at any size that it has.
func TestGrowth(t *testing.T) {
	t.Parallel()
	grown := newTable(0)
	for n := range uint64(300_000) {
		grown = add(grown, entry{fingerprint: (n + 1) * 0x9e3779b97f4a7c15, value: 1})
		if each := float64(grown.bytes()) / float64(grown.used); grown.used > 1000 && each > 43 {
			t.Fatalf("%d entries take %.1f bytes each", grown.used, each)
		}
	}
}

// events keeps the checks that a hook hears of.
type events struct {
	mu     sync.Mutex
	checks []revoke.CheckEvent
}

func (e *events) OnCheck(_ context.Context, event revoke.CheckEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.checks = append(e.checks, event)
}

// TestCancelledChecks tells a check that its caller cancelled from an outage, in memory and where
// Postgres is asked.
func TestCancelledChecks(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		loaded bool
	}{{"from memory", true}, {"Postgres is asked", false}} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			heard := &events{}
			store, _ := testkit.Store(t, revoke.WithHook(heard))
			m := testkit.Value(New(store, slow...))(t)
			if row.loaded {
				start(t, m)
				testkit.Must(t, m.Ready(t.Context()))
			}
			gone, cancel := context.WithCancel(t.Context())
			cancel()
			testkit.WantError(t, m.Check(gone, testkit.Token()), revoke.ErrUnavailable)
			late, cancel := context.WithTimeout(t.Context(), -1)
			defer cancel()
			testkit.WantError(t, m.Check(late, testkit.Token()), revoke.ErrUnavailable)
			heard.mu.Lock()
			defer heard.mu.Unlock()
			if len(heard.checks) != 2 || !heard.checks[0].Cancelled || heard.checks[1].Cancelled || heard.checks[0].FromMemory != row.loaded {
				t.Errorf("events %+v", heard.checks)
			}
		})
	}
}
