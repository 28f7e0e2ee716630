package mirror

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

func notify(tb testing.TB, pool *pgxpool.Pool, payload string) {
	tb.Helper()
	testkit.Exec(tb, pool, "SELECT pg_notify('revoke:revoke', $1::text)", payload)
}

// A store that notifies no mirror revokes: the bound holds all the same.
func TestWithoutNotifications(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := openStore(t, address)
	m := run(t, openStore(t, address), WithBound(200*time.Millisecond))
	for range 5 {
		token := testkit.Token()
		testkit.Must(t, store.RevokeToken(ctx, token))
		untilRefused(t, m, token, time.Now())
	}
}

// A payload that no mirror sends is a reason to poll like any other.
func TestForeignPayloads(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := openStore(t, address)
	m := run(t, openStore(t, address), slow...)
	for _, test := range []struct{ name, payload string }{
		{"empty", ""},
		{"cut off", "{"},
		{"SQL", "'; DROP TABLE revoke.revocations; --"},
		{"like a snapshot", "7:7:"},
		{"not ASCII", "\\x00\u00e9\U0001F512"},
		{"long", strings.Repeat("x", 7000)},
	} {
		t.Run(test.name, func(t *testing.T) { //nolint:paralleltest // one mirror
			token := testkit.Token()
			accepts(t, m, token)
			testkit.Must(t, store.RevokeToken(ctx, token))
			notify(t, store.Pool(), test.payload)
			testkit.Eventually(t, "the mirror refuses", func() bool { return errors.Is(m.Check(ctx, token), revoke.ErrRevoked) })
			refuses(t, m, token, revoke.ScopeToken)
		})
	}
}

// A few polls answer thousands of notifications, and none is left in a queue for which
// polls would go on and on.
func TestManyNotifications(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := openStore(t, address)
	m := run(t, openStore(t, address), slow...)
	before := m.Stats().Polls
	const sent = 3000 // each with its own payload: Postgres sends equal ones once
	token := testkit.Token()
	testkit.Must(t, store.RevokeToken(ctx, token))
	testkit.Exec(t, store.Pool(), "SELECT pg_notify('revoke:revoke', i::text) FROM generate_series(1, $1::int) AS i", sent)
	testkit.Eventually(t, "the mirror refuses", func() bool { return errors.Is(m.Check(ctx, token), revoke.ErrRevoked) })
	last, since := m.Stats().Polls, time.Now()
	testkit.Eventually(t, "the polls come to an end", func() bool {
		if polls := m.Stats().Polls; polls != last {
			last, since = polls, time.Now()
		}
		return time.Since(since) > 300*time.Millisecond
	})
	if polls := last - before; polls > sent/10 {
		t.Errorf("%d notifications took %d polls", sent, polls)
	}
	testkit.Must(t, store.RevokeToken(ctx, testkit.Token()))
	testkit.Must(t, m.Sync(ctx))
}

func TestPollsKeepADistance(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	s := openSession(t, m)
	for range 10 {
		s.notified = true
		began := time.Now()
		m.rest(t.Context(), s)
		if pause := time.Since(began); pause < pollDistance {
			t.Errorf("the pause was %v", pause)
		}
	}
}

// Every role that can connect may notify without a pause. Sync does not wait for a pause
// of the notifications.
func TestSyncInAFloodOfNotifications(t *testing.T) {
	t.Parallel()
	store, pool := testkit.Store(t)
	m := run(t, store, slow...)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{}, 4)
	for range cap(ended) {
		go func() {
			for ctx.Err() == nil {
				_, _ = pool.Exec(ctx, "NOTIFY \"revoke:revoke\"")
			}
			ended <- struct{}{}
		}()
	}
	for range 10 {
		testkit.Must(t, m.Sync(ctx))
	}
	cancel()
	for range cap(ended) {
		<-ended
	}
}

// gate holds the Execute messages of connections back. The server has taken the snapshot
// of the statement before.
type gate struct {
	mu     sync.RWMutex // for writing while it is shut
	passes int          // messages that are let through before one waits
	held   atomic.Int32 // messages that wait
}

func (g *gate) through(c *pgxpool.Config) {
	dial := c.ConnConfig.DialFunc
	c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return &gatedConn{Conn: conn, gate: g}, err
	}
}

// await waits until so many messages are held back, and the server has read what comes
// before them.
func (g *gate) await(tb testing.TB, admin *pgxpool.Pool, messages int) {
	tb.Helper()
	testkit.Eventually(tb, "the mirror polls", func() bool {
		return int(g.held.Load()) == messages && testkit.QueryOne[int](tb, admin, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND state = 'active' AND wait_event = 'ClientRead'`) == messages
	})
}

type gatedConn struct {
	net.Conn
	gate    *gate
	started bool
}

func (c *gatedConn) Write(b []byte) (int, error) {
	if !c.started { // the first message has no type
		c.started = true
		return c.Conn.Write(b)
	}
	if c.gate.mu.TryRLock() {
		defer c.gate.mu.RUnlock()
		return c.Conn.Write(b)
	}
	passes := c.gate.passes
	for at := 0; at+5 <= len(b); at += 1 + int(binary.BigEndian.Uint32(b[at+1:])) {
		if b[at] != 'E' {
			continue
		}
		if passes--; passes >= 0 {
			continue
		}
		n, err := c.Conn.Write(b[:at])
		if err != nil {
			return n, err
		}
		c.gate.held.Add(1)
		c.gate.mu.RLock()
		c.gate.mu.RUnlock() //nolint:staticcheck // it has waited until the gate is open
		c.gate.held.Add(-1)
		rest, err := c.Conn.Write(b[at:])
		return n + rest, err
	}
	return c.Conn.Write(b)
}

// A poll is asked for in the middle of another, for a commit that its snapshot does not
// show: one more poll follows.
func TestAskedForDuringAPoll(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		ask  func(m *Mirror, admin *pgxpool.Pool) (answered <-chan error)
	}{
		{"by a notification", func(_ *Mirror, admin *pgxpool.Pool) <-chan error {
			answered := make(chan error, 1)
			_, err := admin.Exec(t.Context(), "NOTIFY \"revoke:revoke\"")
			answered <- err
			return answered
		}},
		{"by Sync", func(m *Mirror, _ *pgxpool.Pool) <-chan error {
			answered := make(chan error, 1)
			go func() { answered <- m.Sync(t.Context()) }()
			testkit.Eventually(t, "Sync has asked", func() bool {
				m.mu.Lock()
				defer m.mu.Unlock()
				return m.pending
			})
			return answered
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // half of the interval
			defer cancel()
			address := pgserver.Database(t)
			var g gate
			admin := pgserver.Pool(t, address)
			m := run(t, testkit.OpenStore(t, pgserver.Pool(t, address, g.through)), slow...)
			testkit.Must(t, m.Sync(ctx))
			token := testkit.Token()
			g.mu.Lock()
			notify(t, admin, "")
			g.await(t, admin, 1)
			testkit.Must(t, openStore(t, address).RevokeToken(ctx, token))
			answered := test.ask(m, admin)
			g.mu.Unlock()
			testkit.Must(t, <-answered)
			testkit.Eventually(t, "the mirror refuses", func() bool {
				testkit.Must(t, ctx.Err())
				return errors.Is(m.Check(ctx, token), revoke.ErrRevoked)
			})
			refuses(t, m, token, revoke.ScopeToken)
		})
	}
}
