package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/circumstances"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// fillTokens revokes that many tokens.
func fillTokens(tb testing.TB, pool querierExec, n int) {
	tb.Helper()
	_, err := pool.Exec(tb.Context(), `INSERT INTO revoke.revocations (key, since, expires_at, revoked_at, scope, issuer, id)
		SELECT gen_random_uuid(), now(), now() + interval '1 hour', now(), 'token', 'i', i::text FROM generate_series(1, $1::int) AS i`, n)
	testkit.Must(tb, err)
}

// querierExec is a pool or a transaction.
type querierExec interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// An answer of another session is not taken, whichever part of its name differs.
func TestAnotherSession(t *testing.T) {
	t.Parallel()
	for i, name := range []string{"nonce", "process", "start of the server", "start of the process"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, _ := newMirror(t)
			s := openSession(t, m)
			source := testkit.Value(s.probe(t.Context()))(t)
			update(t, m, source.next())
			update(t, m, source.next())
			parts := strings.Split(s.name, " ")
			if len(parts) != 4 {
				t.Fatalf("the session is known by %q", s.name)
			}
			parts[i] += "1"
			s.name = strings.Join(parts, " ")
			mark := m.mark.Load()
			testkit.Must(t, m.store.RevokeToken(t.Context(), tokenOf("a")))
			if err := m.update(t.Context(), source.next()); !errors.Is(err, errMoved) || m.mark.Load() != mark || m.holds("a") {
				t.Errorf("update = %v", err)
			}
		})
	}
}

// A session that has not prepared the statement of polls is another one, which ends the exact feed
// as an answer of another session does.
func TestAnotherSessionKnowsNoStatement(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	s := openSession(t, m)
	source := testkit.Value(s.probe(t.Context()))(t)
	update(t, m, source.next())
	if s.prepared == nil {
		t.Fatal("polls are not prepared, so this proves nothing")
	}
	testkit.Value(s.conn.Exec(t.Context(), "DEALLOCATE ALL"))(t)
	mark := m.mark.Load()
	if err := m.update(t.Context(), source.next()); !errors.Is(err, errMoved) || m.mark.Load() != mark {
		t.Errorf("update = %v", err)
	}
}

// Behind a pooler each statement may reach another session. Then every answer is
// complete, and any session's will do.
func TestWholeFeed(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	testkit.Must(t, m.store.RevokeToken(t.Context(), tokenOf("a")))
	s := openSession(t, m)
	s.nonce = "another"
	source := testkit.Value(s.probe(t.Context()))(t)
	if a := source.next(); !a.complete || a.exact {
		t.Fatal("the exact feed is used through a pooler")
	}
	update(t, m, source.next())
	testkit.Must(t, m.store.RevokeToken(t.Context(), tokenOf("b")))
	update(t, m, source.next())
	refuses(t, m, tokenOf("a"), revoke.ScopeToken)
	refuses(t, m, tokenOf("b"), revoke.ScopeToken)
	accepts(t, m, tokenOf("c"))
	if m.Stats().Exact {
		t.Error("Stats say that it is exact")
	}
}

// A role that may not read when its process began has every answer complete.
func TestProbeWithoutARight(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, is, becomes string
		exact             bool
	}{
		{"nothing is missing", "pg_catalog", "pg_catalog", true},
		{"a function fails with insufficient_privilege", "pg_catalog.pg_postmaster_start_time", "probe.denied", false},
		{"a function does not exist", "pg_catalog.pg_postmaster_start_time", "probe.missing", false},
		{
			"YugabyteDB numbers the transactions of each node by itself",
			"pg_catalog.version()", "'PostgreSQL 15.2-YB-2.25.1.0-b0 on x86_64'", false,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, _ := newMirror(t)
			testkit.Exec(t, m.store.Pool(), "CREATE SCHEMA probe")
			testkit.Exec(t, m.store.Pool(), `CREATE FUNCTION probe.denied() RETURNS timestamptz LANGUAGE plpgsql AS
				$$ BEGIN RAISE insufficient_privilege; END $$`)
			s := openSession(t, m)
			s.sql.probe = replaced(t, s.sql.probe, test.is, test.becomes)
			source := testkit.Value(s.probe(t.Context()))(t)
			if a := source.next(); a.exact != test.exact {
				t.Errorf("exact: %v", a.exact)
			}
		})
	}
}

// replaced returns a statement with something else in place of a part that it has.
func replaced(tb testing.TB, sql, part, by string) string {
	tb.Helper()
	if !strings.Contains(sql, part) {
		tb.Fatalf("%s has no %s", sql, part)
	}
	return strings.ReplaceAll(sql, part, by)
}

// A session on a standby is refused before it loads. The snapshot of a load during the
// promotion may be from before it and leave out what was under way, while the server
// says that it is a primary.
func TestStandbyIsRefused(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	for _, test := range []struct {
		name string
		ask  func(s *session) error
	}{
		{"by the probe", func(s *session) error { _, err := s.probe(t.Context()); return err }},
		{"by the exact feed", func(s *session) error { return m.update(t.Context(), (&exactFeed{session: s}).next()) }},
		{"by the whole feed", func(s *session) error { return m.update(t.Context(), wholeFeed{s}.next()) }},
	} {
		t.Run(test.name, func(t *testing.T) { //nolint:paralleltest // one mirror
			s := openSession(t, m)
			for _, sql := range []*string{&s.sql.probe, &s.sql.loadExact, &s.sql.loadWhole} {
				*sql = replaced(t, *sql, "pg_catalog.pg_is_in_recovery()", "true")
			}
			if err := test.ask(s); !errors.Is(err, circumstances.ErrStandby) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// A mirror of a standby, which shows an old state, never answers from memory.
func TestOnStandby(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server, standby, _ := testkit.OwnPair(t)
	address := testkit.Value(server.CreateDatabase(ctx))(t)
	config := testkit.Value(pgx.ParseConfig(address))(t)
	pool := pgserver.Pool(t, standby.URL(), func(c *pgxpool.Config) { c.ConnConfig.Database = config.Database })
	hook := newRecorder()
	m := testkit.Value(New(testkit.OpenStore(t, pool, revoke.WithHook(hook))))(t)
	start(t, m)
	for { // at first the standby may not have the database yet
		event := next(t, hook.mirrors)
		if errors.Is(event.Err, circumstances.ErrStandby) {
			break
		}
		if event.Err == nil {
			t.Fatalf("event %+v", event)
		}
	}
	testkit.Eventually(t, "the standby has the database", func() bool {
		err := m.Health(ctx)
		return err != nil && strings.Contains(err.Error(), "standby")
	})
	testkit.WantError(t, m.Check(ctx, testkit.Token()), revoke.ErrUnavailable)
}

// The settings of a role do not end the session's statements, and do not change their snapshots.
func TestSessionSettings(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	for _, test := range []struct{ name, role, want string }{
		{"statement_timeout", "30s", "0"},
		{"lock_timeout", "30s", "0"},
		{"idle_in_transaction_session_timeout", "30s", "0"},
		{"transaction_timeout", "30s", "0"},
		{"idle_session_timeout", "30s", "0"},
		{"default_transaction_isolation", "repeatable read", "read committed"},
		{"default_transaction_deferrable", "on", "off"},
		{"max_parallel_workers_per_gather", "4", "0"},
	} {
		t.Run(test.name, func(t *testing.T) { //nolint:paralleltest // one database
			const known = "SELECT count(*) FROM pg_settings WHERE name = $1"
			if testkit.QueryOne[int](t, m.store.Pool(), known, test.name) == 0 {
				return // in an older server
			}
			testkit.Exec(t, m.store.Pool(), fmt.Sprintf(
				"DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I SET %s = ''%s''', current_database()); END $$", test.name, test.role))
			s := openSession(t, m)
			var value string
			testkit.Must(t, s.conn.QueryRow(t.Context(), "SELECT current_setting($1::text)", test.name).Scan(&value))
			if value != test.want {
				t.Errorf("it is %q, want %q", value, test.want)
			}
		})
	}
}

// A transaction that stays open would show every poll one snapshot.
func TestOpenTransactionIsRefused(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) {
		c.ConnConfig.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
			return conn.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ").Close()
		}
	})
	m := testkit.Value(New(testkit.OpenStore(t, pool)))(t)
	if s, err := m.connect(t.Context()); !errors.Is(err, errInTransaction) {
		t.Errorf("connect = %v, %v", s, err)
	}
}

// readExact is readAll by the exact feed.
func readExact(t *testing.T, m *Mirror) *exactFeed {
	t.Helper()
	f, exact := readAll(t, m).(*exactFeed)
	if !exact {
		t.Fatal("the exact feed is not used")
	}
	return f
}

// explain returns the plan of a statement of the session's.
func explain(t *testing.T, s *session, options, sql string, args ...any) string {
	t.Helper()
	rows, err := s.conn.Query(t.Context(), "EXPLAIN ("+options+") "+sql, args...)
	testkit.Must(t, err)
	return strings.Join(testkit.Value(pgx.CollectRows(rows, pgx.RowTo[string]))(t), "\n")
}

// A poll reads by what has changed and not by what is live, also in a large table
// without statistics, as it is after a restore.
func TestPollPlan(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	testkit.Exec(t, m.store.Pool(), "ALTER TABLE revoke.revocations SET (autovacuum_enabled = off)")
	fillTokens(t, m.store.Pool(), 100_000)
	f := readExact(t, m)
	look := func(sql string, args ...any) {
		t.Helper()
		plan := explain(t, f.session, "FORMAT TEXT", sql, args...)
		if strings.Contains(plan, "expires_at_idx") || strings.Contains(plan, "Seq Scan") || !strings.Contains(plan, "revocations_xid_idx") {
			t.Errorf("a poll reads more than what has changed:\n%s", plan)
		}
	}
	look(f.sql.pollExact, f.xmax, f.xip)
	// The plan that serves all polls of a session, once five have been planned one by one.
	var prepared string
	testkit.Must(t, f.conn.QueryRow(t.Context(), "SELECT name FROM pg_prepared_statements WHERE statement = $1::text", f.sql.pollExact).Scan(&prepared))
	_, err := f.conn.Exec(t.Context(), "SET plan_cache_mode = force_generic_plan")
	testkit.Must(t, err)
	look("EXECUTE " + prepared + " ('" + f.xmax + "', '{}')")
}

// pages returns how many pages the next poll reads.
func pages(t *testing.T, f *exactFeed) int {
	t.Helper()
	var plans []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	testkit.Must(t, json.Unmarshal([]byte(explain(t, f.session, "ANALYZE, BUFFERS, FORMAT JSON", f.sql.pollExact, f.xmax, f.xip)), &plans))
	return plans[0].Plan.Hit + plans[0].Plan.Read
}

// A transaction that has written many rows and is still under way costs the polls
// beside it nothing. When it commits, the next poll reads them all.
func TestLongTransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	many := testkit.Long(30_000, 300_000)
	m, _ := newMirror(t)
	f := readExact(t, m)
	f.patience = time.Minute // how fast the server is decides nothing here
	tx := testkit.Value(m.store.Pool().Begin(ctx))(t)
	fillTokens(t, tx, many)
	testkit.Must(t, m.store.RevokeToken(ctx, tokenOf("beside")))
	update(t, m, f.next())
	for i := range 3 {
		id := fmt.Sprint("beside-", i)
		testkit.Must(t, m.store.RevokeToken(ctx, tokenOf(id)))
		if n := pages(t, f); n > 100 {
			t.Errorf("a poll for one row reads %d pages", n)
		}
		update(t, m, f.next())
		refuses(t, m, tokenOf(id), revoke.ScopeToken)
	}
	if n := m.Stats().Entries; n != 4 {
		t.Errorf("%d entries before the commit", n)
	}
	testkit.Must(t, tx.Commit(ctx))
	if n := pages(t, f); n < 300 {
		t.Errorf("the poll after the commit reads %d pages, so the limit above proves nothing", n)
	}
	parts := 0
	a := f.next()
	read := a.read
	a.read = func(ctx context.Context, apply func([]row) error) (time.Time, error) {
		return read(ctx, func(part []row) error {
			if parts++; len(part) > partRows {
				t.Errorf("a part of %d rows", len(part))
			}
			return apply(part)
		})
	}
	update(t, m, a)
	if n := m.Stats().Entries; n != many+4 || parts < many/partRows {
		t.Errorf("%d entries after the commit, in %d parts", n, parts)
	}
}

// Many rows that are committed at once are applied in parts, and cost no load.
func TestLargeCommit(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	many := testkit.Long(20_000, 1_000_000)
	address := pgserver.Database(t)
	store := openStore(t, address)
	m := run(t, openStore(t, address), WithBound(200*time.Millisecond)) // with the least patience
	tx := testkit.Value(store.Pool().Begin(ctx))(t)
	fillTokens(t, tx, many)
	token := testkit.Token()
	testkit.Must(t, store.WithTx(tx).RevokeToken(ctx, token))
	polls, began := m.Stats().Polls, time.Now()
	beside := testkit.Token()
	testkit.Must(t, store.RevokeToken(ctx, beside))
	untilRefused(t, m, beside, time.Now())
	testkit.Must(t, tx.Commit(ctx))
	committed := time.Now()
	untilRefused(t, m, token, committed)
	testkit.Must(t, m.Sync(ctx))
	s := m.Stats()
	t.Logf("%d rows were applied %v after their commit; %d polls in %v", many, time.Since(committed), s.Polls-polls, time.Since(began))
	if s.Loads != 1 || s.Entries != many+2 {
		t.Errorf("Stats = %+v, want one load and %d entries", s, many+2)
	}
}

// Rows that were restored from a server with higher numbers are loaded once.
// Polls do not read them again until this server has come as far.
func TestRestoredRows(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	for _, sql := range []string{
		// A restore makes the triggers last.
		"ALTER TABLE revoke.revocations DISABLE TRIGGER set_xid",
		`INSERT INTO revoke.revocations (key, xid, since, expires_at, revoked_at, scope, issuer, id)
			SELECT gen_random_uuid(), '9000000000', now(), now() + interval '1 hour', now(), 'token', 'i', i::text
			FROM generate_series(1, 1000) AS i`,
		"ALTER TABLE revoke.revocations ENABLE ALWAYS TRIGGER set_xid",
	} {
		testkit.Exec(t, m.store.Pool(), sql)
	}
	source := readAll(t, m)
	if n := m.Stats().Entries; n != 1000 {
		t.Fatalf("%d entries were loaded", n)
	}
	testkit.Must(t, m.store.RevokeToken(t.Context(), tokenOf("new")))
	rows := 0
	_, err := source.next().read(t.Context(), func(part []row) error { rows += len(part); return nil })
	testkit.Must(t, err)
	if rows != 1 {
		t.Errorf("a poll reads %d rows, and 1 has changed", rows)
	}
}

// A server that stops in the middle of an answer is given up, and the error says so.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	s := openSession(t, m)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := s.read(ctx, time.Millisecond, anySession, func([]row) error { return nil }, "SELECT '' FROM pg_sleep(600)")
	if !errors.Is(err, errSilent) {
		t.Errorf("read = %v", err)
	}
}

// An answer without a header says nothing about when it was.
func TestAnswerWithoutHeader(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	s := openSession(t, m)
	_, err := s.read(t.Context(), time.Minute, anySession, func([]row) error { return nil }, "SELECT '' WHERE false")
	if !errors.Is(err, circumstances.ErrNoRow) {
		t.Errorf("read = %v", err)
	}
}

// A row of other columns or other lengths than were asked for ends the answer.
func TestAnswerInAnotherForm(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	testkit.Must(t, m.store.RevokeToken(t.Context(), tokenOf("a")))
	statement := newFeedSQL("revoke").loadWhole
	for _, test := range []struct{ name, is, becomes string }{
		{"no key", "SELECT NULL, key, expires_at,", "SELECT NULL, NULL, expires_at,"},
		{"no expiry", "SELECT NULL, key, expires_at,", "SELECT NULL, key, NULL,"},
		{"another type of time", "timestamp with time zone\nUNION", "date\nUNION"},
		{"a column too many", "since END\nFROM", "since END, NULL\nFROM"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			sql := replaced(t, statement, test.is, test.becomes)
			switch test.name {
			case "another type of time":
				sql = replaced(t, sql, "NULL::timestamp with time zone, NULL::date", "NULL::date, NULL::date")
				sql = replaced(t, replaced(t, sql, "key, expires_at,", "key, expires_at::date,"), "THEN since END", "THEN since::date END")
			case "a column too many":
				sql = replaced(t, sql, "time zone\nUNION", "time zone, NULL\nUNION")
			}
			_, err := openSession(t, m).read(t.Context(), time.Minute, anySession, func([]row) error { return nil }, sql)
			if !errors.Is(err, errNotAsked) {
				t.Errorf("read = %v", err)
			}
		})
	}
}

// An epoch is the since of its row, and not how long the row is kept.
func TestEpochIsReadFromTheDatabase(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	token := tokenOf("a")
	testkit.Must(t, m.store.RevokeUserBefore(t.Context(), token.User(), token.IssuedAt.Add(-time.Hour)))
	source := readAll(t, m)
	accepts(t, m, token)
	testkit.Value(m.store.RevokeUser(t.Context(), token.User()))(t)
	update(t, m, source.next())
	refuses(t, m, token, revoke.ScopeUser)
}
