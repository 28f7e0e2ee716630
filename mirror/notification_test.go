package mirror_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/mirror"
)

// slow are the options of a mirror that polls when it is told, and otherwise never while a test runs.
var slow = []mirror.Option{mirror.WithBound(mirror.MaxBound), mirror.WithInterval(mirror.MaxBound - time.Second)}

// TestLostNotifications revokes by a store that tells nobody: the bound holds all the same.
func TestLostNotifications(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := newStore(t, address)
	const bound = 200 * time.Millisecond
	m := run(t, newStore(t, address), mirror.WithBound(bound))
	for range 5 {
		token := newToken()
		must(t, store.RevokeToken(ctx, token))
		committed := time.Now()
		eventually(t, "the mirror refuses", func() bool {
			began := time.Now()
			err := m.Check(ctx, token)
			if err == nil && began.Sub(committed) > bound {
				t.Fatalf("accepted %v after its revocation", began.Sub(committed))
			}
			return err != nil
		})
	}
}

// TestGarbledNotifications sends what no mirror sends: it is a reason to poll like any other, and nothing is read into it.
func TestGarbledNotifications(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := newStore(t, address)
	m := run(t, newStore(t, address), slow...)
	for _, payload := range []string{"", "{", "'; DROP TABLE revoke.revoked_tokens; --", "7:7:", "\\x00\u00e9\U0001F512"} {
		token := newToken()
		must(t, m.Check(ctx, token))
		must(t, store.RevokeToken(ctx, token))
		mustExec(t, store.Pool(), "SELECT pg_notify('revoke', $1 || repeat('x', 7000))", payload)
		eventually(t, "the mirror refuses", func() bool { return errors.Is(m.Check(ctx, token), revoke.ErrRevoked) })
		refuses(t, m, token)
	}
}

// TestManyNotifications repeats one thousands of times: a few polls answer them all, and none is left in a queue for which
// polls would go on and on.
func TestManyNotifications(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := newStore(t, address)
	m := run(t, newStore(t, address), slow...)
	before := m.Stats().Polls
	const sent = 3000 // with a payload each, because Postgres sends equal ones of a transaction once
	token := newToken()
	must(t, store.RevokeToken(ctx, token))
	mustExec(t, store.Pool(), "SELECT pg_notify('revoke', i::text) FROM generate_series(1, $1::int) AS i", sent)
	eventually(t, "the mirror refuses", func() bool { return errors.Is(m.Check(ctx, token), revoke.ErrRevoked) })
	last, since := m.Stats().Polls, time.Now()
	eventually(t, "the polls come to an end", func() bool {
		if polls := m.Stats().Polls; polls != last {
			last, since = polls, time.Now()
		}
		return time.Since(since) > 300*time.Millisecond
	})
	if polls := last - before; polls > sent/10 {
		t.Errorf("%d notifications took %d polls", sent, polls)
	}
	must(t, store.RevokeToken(ctx, newToken()))
	must(t, m.Sync(ctx))
}

// sleepInPolls makes every poll sleep for a while after it has taken its snapshot. Tokens cannot be revoked any more.
func sleepInPolls(tb testing.TB, pool *pgxpool.Pool) {
	tb.Helper()
	mustExec(tb, pool, "ALTER TABLE revoke.revoked_tokens RENAME TO kept")
	mustExec(tb, pool, "CREATE VIEW revoke.revoked_tokens AS SELECT kept.* FROM (SELECT pg_sleep(0.3) OFFSET 0) AS busy, revoke.kept")
}

// awaitPoll waits until a poll sleeps.
func awaitPoll(tb testing.TB, pool *pgxpool.Pool) {
	tb.Helper()
	eventually(tb, "the mirror polls", func() (sleeps bool) {
		must(tb, pool.QueryRow(tb.Context(), `SELECT count(*) > 0 FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event = 'PgSleep'`).Scan(&sleeps))
		return sleeps
	})
}

// TestNotificationDuringAPoll lets one come while the mirror polls, for a commit that the poll's snapshot does not show: it
// is not lost, and the mirror polls again.
func TestNotificationDuringAPoll(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := newStore(t, address)
	sleepInPolls(t, store.Pool())
	m := run(t, newStore(t, address), slow...)
	must(t, m.Sync(ctx))
	for range 3 {
		token := newToken()
		mustExec(t, store.Pool(), "SELECT pg_notify('revoke', '')")
		awaitPoll(t, store.Pool())
		must(t, store.RevokeSession(ctx, sessionOf(token)))
		mustExec(t, store.Pool(), "SELECT pg_notify('revoke', '')")
		eventually(t, "the mirror refuses", func() bool { return errors.Is(m.Check(ctx, token), revoke.ErrRevoked) })
		refuses(t, m, token)
	}
}

// TestSyncDuringAPoll asks for a poll while one is on its way: another follows it at once, although the interval is long and
// nothing is heard.
func TestSyncDuringAPoll(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := newStore(t, address)
	sleepInPolls(t, store.Pool())
	m := run(t, newStore(t, address), slow...)
	for range 3 {
		token := newToken()
		mustExec(t, store.Pool(), "SELECT pg_notify('revoke', '')")
		awaitPoll(t, store.Pool())
		must(t, store.RevokeSession(ctx, sessionOf(token)))
		soon, cancel := context.WithTimeout(ctx, 10*time.Second)
		must(t, m.Sync(soon))
		cancel()
		refuses(t, m, token)
	}
}
