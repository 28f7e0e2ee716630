package mirror_test

import (
	"errors"
	"testing"
	"time"

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

// TestNotificationDuringAPoll lets one come while the mirror polls, for a commit that the poll's snapshot does not show: it
// is not lost, and the mirror polls again.
func TestNotificationDuringAPoll(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := newStore(t, address)
	// A poll takes a while after its snapshot. (It begins with the header, and sleeps over the first table.)
	for _, sql := range []string{
		"ALTER TABLE revoke.revoked_tokens RENAME TO kept",
		"CREATE VIEW revoke.revoked_tokens AS SELECT kept.* FROM (SELECT pg_sleep(0.3) OFFSET 0) AS busy, revoke.kept",
	} {
		mustExec(t, store.Pool(), sql)
	}
	m := run(t, newStore(t, address), slow...)
	must(t, m.Sync(ctx))
	for range 3 {
		token := newToken()
		mustExec(t, store.Pool(), "SELECT pg_notify('revoke', '')")
		eventually(t, "the mirror polls", func() bool {
			var busy bool
			must(t, store.Pool().QueryRow(ctx, `SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database()
				AND wait_event = 'PgSleep'`).Scan(&busy))
			return busy
		})
		must(t, store.RevokeSession(ctx, sessionOf(token)))
		mustExec(t, store.Pool(), "SELECT pg_notify('revoke', '')")
		eventually(t, "the mirror refuses", func() bool { return errors.Is(m.Check(ctx, token), revoke.ErrRevoked) })
		refuses(t, m, token)
	}
}
