package mirror

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
)

// TestOneRun has Run called twice at once, where each would take the other's mark for its own.
func TestOneRun(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	m.clock = systemClock
	for range 2 { // one after the other is fine
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		must(t, m.Sync(ctx))
		must(t, m.Health(ctx))
		second, stop := context.WithTimeout(ctx, 3*time.Second)
		if err := m.Run(second); err == nil || !strings.Contains(err.Error(), "running") {
			t.Errorf("a second Run = %v", err)
		}
		stop()
		must(t, m.Sync(ctx))
		must(t, m.Health(ctx))
		cancel()
		must(t, <-ended)
		if err := m.Health(t.Context()); err == nil || !strings.Contains(err.Error(), "Run") {
			t.Errorf("after the end of Run, Health = %v", err)
		}
	}
}

// TestSlowNetwork follows a database that is far away: to open a session takes some twenty round trips.
func TestSlowNetwork(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) {
		dial := c.ConnConfig.DialFunc
		c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			return farConn{conn}, err
		}
	})
	store, err := revoke.NewPostgres(pool)
	must(t, err)
	m, err := New(store)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	ready, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	if err := m.Ready(ready); err != nil {
		t.Errorf("%v: %v", err, m.Health(ctx))
	}
	cancel()
	must(t, <-ended)
}

// farConn lets each message take its time on the way.
type farConn struct{ net.Conn }

func (c farConn) Write(b []byte) (int, error) {
	<-time.After(150 * time.Millisecond)
	return c.Conn.Write(b)
}

// TestSessionIsNotCutShort opens a session for a role whose statements and transactions are limited.
func TestSessionIsNotCutShort(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	m, _ := newMirror(t)
	names := []string{"statement_timeout", "transaction_timeout"}
	rows, err := m.store.Pool().Query(ctx, "SELECT name FROM pg_settings WHERE name = ANY ($1::text[])", names)
	must(t, err)
	names, err = pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	for _, name := range names {
		_, err := m.store.Pool().Exec(ctx, `DO $$ BEGIN
			EXECUTE format('ALTER DATABASE %I SET `+name+` = ''30s''', current_database()); END $$`)
		must(t, err)
	}
	s, err := m.connect(ctx)
	must(t, err)
	defer s.close()
	for _, name := range names {
		var value string
		must(t, s.conn.QueryRow(ctx, "SELECT current_setting($1::text)", name).Scan(&value))
		if value != "0" {
			t.Errorf("%s = %s", name, value)
		}
	}
}

// TestPromotedInTheMiddle opens a session on a standby, which might be promoted meanwhile. A snapshot from before the promotion
// leaves out what was under way, and could say that it was a primary's; so it must be one before the load is sent.
func TestPromotedInTheMiddle(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	for _, sql := range []string{
		"CREATE SCHEMA standby",
		"CREATE FUNCTION standby.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true'",
	} {
		_, err := m.store.Pool().Exec(t.Context(), sql)
		must(t, err)
	}
	s, err := m.connect(t.Context())
	must(t, err)
	defer s.close()
	_, err = s.conn.Exec(t.Context(), "SET search_path = standby, pg_catalog")
	must(t, err)
	if _, err := s.probe(t.Context()); !errors.Is(err, errStandby) {
		t.Errorf("probe = %v", err)
	}
	for name, source := range map[string]feed{"exact": &exactFeed{session: s}, "whole": wholeFeed{s}} {
		if _, err := source.load(t.Context(), func(row) {}); !errors.Is(err, errStandby) {
			t.Errorf("%s: load = %v", name, err)
		}
	}
}

// TestYugabyteDB probes an engine that has the functions, and numbers the transactions of each node for itself.
func TestYugabyteDB(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	for _, sql := range []string{
		"CREATE SCHEMA yugabyte",
		"CREATE FUNCTION yugabyte.version() RETURNS text LANGUAGE sql AS $$SELECT 'PostgreSQL 15.2-YB-2.25.1.0-b0 on x86_64'$$",
	} {
		_, err := m.store.Pool().Exec(t.Context(), sql)
		must(t, err)
	}
	s, err := m.connect(t.Context())
	must(t, err)
	defer s.close()
	for path, whole := range map[string]bool{"pg_catalog": false, "yugabyte, pg_catalog": true} {
		_, err = s.conn.Exec(t.Context(), "SET search_path = "+path)
		must(t, err)
		source, err := s.probe(t.Context())
		must(t, err)
		if source.whole() != whole {
			t.Errorf("search_path %s: whole = %v", path, source.whole())
		}
	}
}

// TestRestoredRows polls a table that was restored from a server which had come further with its numbers. What a mirror has
// loaded once is not read again by every poll until this server has come as far.
func TestRestoredRows(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	m, _ := newMirror(t)
	for _, sql := range []string{
		"ALTER TABLE revoke.revoked_tokens DISABLE TRIGGER set_xid", // a restore makes the triggers last
		`INSERT INTO revoke.revoked_tokens (key, xid, expires_at, revoked_at, issuer, jti)
			SELECT gen_random_uuid(), '9000000000', now() + interval '1 hour', now(), 'i', i::text FROM generate_series(1, 1000) AS i`,
		"ALTER TABLE revoke.revoked_tokens ENABLE ALWAYS TRIGGER set_xid",
	} {
		_, err := m.store.Pool().Exec(ctx, sql)
		must(t, err)
	}
	source := readAll(t, m)
	if n := m.Stats().Entries; n != 1000 {
		t.Fatalf("%d entries were loaded", n)
	}
	must(t, m.store.RevokeToken(ctx, tokenOf("new")))
	rows := 0
	_, err := source.poll(ctx, func(row) { rows++ })
	must(t, err)
	if rows != 1 {
		t.Errorf("a poll reads %d rows, and 1 has changed", rows)
	}
}

// TestTooManyAreNotReadAgainAtOnce finds more than fit. To read as many rows once a second, only to find it again, would be
// a load on a server that answers all checks already.
func TestTooManyAreNotReadAgainAtOnce(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	m.clock, m.maxEntries = systemClock, 1
	must(t, m.store.RevokeTokens(t.Context(), []revoke.Token{tokenOf("a"), tokenOf("b")}))
	reports := make(chan error, 100)
	m.report = func(err error) { reports <- err }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	if err := <-reports; !errors.Is(err, errTooMany) {
		t.Errorf("the first report is %v", err)
	}
	select {
	case err := <-reports:
		t.Errorf("after less than a second there is another: %v", err)
	case <-time.After(time.Second):
	}
	cancel()
	must(t, <-ended)
}

// TestFlood has somebody notify without a pause, which every role may that can connect: the mirror does not poll without one,
// and Sync does not wait for it.
func TestFlood(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	m.clock = systemClock
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 5)
	go func() { ended <- m.Run(ctx) }()
	must(t, m.Ready(ctx))
	before, began := m.Stats().Polls, time.Now()
	for range 4 {
		go func() {
			for ctx.Err() == nil {
				_, _ = m.store.Pool().Exec(ctx, "SELECT pg_notify($1::text, '')", channel)
			}
			ended <- nil
		}()
	}
	<-time.After(time.Second)
	polls := m.Stats().Polls - before
	if most := uint64(time.Since(began)/pollDistance) + 1; polls > most {
		t.Errorf("%d polls, want %d at most", polls, most)
	}
	must(t, m.Sync(ctx))
	cancel()
	for range cap(ended) {
		must(t, <-ended)
	}
}
