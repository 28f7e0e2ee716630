package mirror

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/circumstances"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
)

// feeds are the ways in which a session reads.
var feeds = []struct {
	name string
	of   func(t *testing.T, s *session) feed
}{
	{"exact", func(t *testing.T, s *session) feed { t.Helper(); return testkit.Value(s.probe(t.Context()))(t) }},
	{"whole", func(_ *testing.T, s *session) feed { return wholeFeed{s} }},
	{"whole, through a pooler", func(_ *testing.T, s *session) feed {
		// What a pooler keeps from the session: settings of its own.
		s.asker = newAsker(s.conn, s.readOnly)
		return wholeFeed{s}
	}},
}

// pooled takes the session's settings back.
func pooled(t *testing.T, s *session) {
	t.Helper()
	_, err := s.conn.Exec(t.Context(), "RESET ALL")
	testkit.Must(t, err)
}

// Rows that the mirror's role cannot see are not "not revoked".
func TestRowSecurity(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	token := testkit.Token()
	testkit.Must(t, testkit.OpenStore(t, admin).RevokeToken(t.Context(), token))
	const enable, disable = "ALTER TABLE revoke.revocations ENABLE ROW LEVEL SECURITY", "ALTER TABLE revoke.revocations DISABLE ROW LEVEL SECURITY"
	for _, role := range []struct {
		name     string
		settings []string
	}{
		{"by default", nil},
		{"row_security off", []string{"SET row_security = off"}},
	} {
		store := testkit.OpenStore(t, pgserver.Pool(t, address, testkit.As(testkit.NewRole(t, admin, role.settings...))))
		for _, f := range feeds {
			t.Run(role.name+"/"+f.name, func(t *testing.T) { //nolint:paralleltest // one table
				m := testkit.Value(New(store))(t)
				s := openSession(t, m)
				source := f.of(t, s)
				testkit.Exec(t, admin, enable)
				if err := m.update(t.Context(), source.next()); !errors.Is(err, circumstances.ErrHidden) || m.mark.Load() != nil {
					t.Errorf("a load: %v", err)
				}
				testkit.Exec(t, admin, disable)
				s = openSession(t, m)
				source = f.of(t, s)
				update(t, m, source.next())
				refuses(t, m, token, revoke.ScopeToken)
				testkit.Exec(t, admin, enable)
				if err := m.update(t.Context(), source.next()); !errors.Is(err, circumstances.ErrHidden) {
					t.Errorf("a poll: %v", err)
				}
				testkit.Exec(t, admin, disable)
			})
		}
		t.Run(role.name+"/running", func(t *testing.T) { //nolint:paralleltest // one table
			testkit.Exec(t, admin, enable)
			m := testkit.Value(New(store, WithBound(100*time.Millisecond)))(t)
			start(t, m)
			testkit.Eventually(t, "Health says what to do", func() bool {
				return strings.Contains(m.Health(t.Context()).Error(), "BYPASSRLS")
			})
			testkit.WantError(t, m.Check(t.Context(), token), revoke.ErrUnavailable)
			testkit.Exec(t, admin, disable)
			testkit.Must(t, m.Ready(t.Context()))
			testkit.WantError(t, m.Check(t.Context(), token), revoke.ErrRevoked)
			testkit.Exec(t, admin, enable)
			testkit.Eventually(t, "memory does not answer", func() bool {
				return errors.Is(m.Check(t.Context(), token), revoke.ErrUnavailable)
			})
			testkit.Exec(t, admin, disable)
		})
		t.Run(role.name+"/what the store does not show", func(t *testing.T) { //nolint:paralleltest // one table
			m := testkit.Value(New(store))(t)
			testkit.Must(t, m.Store().RevokeToken(t.Context(), testkit.Token()))
			m.begin()
			testkit.Exec(t, admin, enable)
			if lost, err := m.forgetLost(t.Context()); lost || len(m.overlay) != 1 || !errors.Is(err, circumstances.ErrHidden) {
				t.Errorf("%v, %v: the revocation is forgotten", lost, err)
			}
			testkit.Exec(t, admin, disable)
		})
	}
}

// A read that waits for a lock has a snapshot from after the wait: what the transaction with the
// lock has written would be missing for the rest of the session. In a short run the levels take
// turns with the rest.
func TestReadThatWaitsForALock(t *testing.T) {
	t.Parallel()
	for i, level := range []string{"repeatable read", "serializable"} {
		for j, f := range feeds {
			for k, change := range []struct{ name, sql string }{
				{"rewriting ALTER TABLE", "ALTER TABLE revoke.revocations ALTER COLUMN reason TYPE text USING reason || ''"},
				{"TRUNCATE and INSERT", `CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM revoke.revocations;
					TRUNCATE revoke.revocations; INSERT INTO revoke.revocations SELECT * FROM kept`},
			} {
				for _, polls := range []int{0, 1} {
					if !testkit.Long((i+j+k+polls)%2 == 0, true) {
						continue
					}
					t.Run(fmt.Sprintf("%s/%s/%s/after %d polls", level, f.name, change.name, polls), func(t *testing.T) {
						t.Parallel()
						ctx := t.Context()
						address := pgserver.Database(t)
						admin := pgserver.Pool(t, address)
						role := testkit.NewRole(t, admin, "SET default_transaction_isolation = '"+level+"'")
						m := testkit.Value(New(testkit.OpenStore(t, pgserver.Pool(t, address, testkit.As(role))), slow...))(t)
						store := testkit.OpenStore(t, admin)
						before, inside := testkit.Token(), testkit.Token()
						s := openSession(t, m)
						source := f.of(t, s)
						if strings.HasSuffix(f.name, "pooler") {
							pooled(t, s)
						}
						for range polls {
							update(t, m, source.next())
						}
						testkit.Must(t, store.RevokeToken(ctx, before))
						tx := testkit.Value(admin.Begin(ctx))(t)
						testkit.Must(t, store.WithTx(tx).RevokeToken(ctx, inside))
						_, err := tx.Exec(ctx, change.sql, pgx.QueryExecModeSimpleProtocol)
						testkit.Must(t, err)
						done := make(chan error, 1)
						go func() { done <- m.update(context.WithoutCancel(ctx), source.next()) }()
						testkit.Eventually(t, "the mirror waits for the lock", func() bool {
							return testkit.QueryOne[bool](t, admin, `SELECT count(*) > 0 FROM pg_stat_activity
								WHERE datname = current_database() AND usename = $1 AND wait_event_type = 'Lock'`, role)
						})
						testkit.Must(t, tx.Commit(ctx))
						testkit.Must(t, <-done)
						refuses(t, m, before, revoke.ScopeToken)
						refuses(t, m, inside, revoke.ScopeToken)
					})
				}
			}
		}
	}
}

// A role's timeouts are for its own statements. A read may take as long as the mirror waits.
func TestTimeoutsOfTheRole(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	role := testkit.NewRole(t, admin, "SET statement_timeout = '1s'", "SET idle_in_transaction_session_timeout = '1s'")
	for _, f := range feeds {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			m := testkit.Value(New(testkit.OpenStore(t, pgserver.Pool(t, address, testkit.As(role))), slow...))(t)
			s := openSession(t, m)
			source := f.of(t, s)
			if strings.HasSuffix(f.name, "pooler") {
				pooled(t, s)
			}
			for _, sql := range []*string{&s.sql.loadExact, &s.sql.loadWhole} {
				*sql = "SELECT answer.* FROM pg_sleep(1.5), LATERAL (" + *sql + ") AS answer"
			}
			update(t, m, source.next())
		})
	}
}

// A session of which a hook has the last word about isolation is refused.
func TestIsolationIsReadOffTheSession(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	f := readExact(t, m)
	_, err := f.conn.Exec(t.Context(), "SET default_transaction_isolation = 'repeatable read'")
	testkit.Must(t, err)
	if err := m.update(t.Context(), f.next()); !errors.Is(err, errIsolated) {
		t.Errorf("update = %v", err)
	}
}

// A server that a switchover has fenced answers nothing, unless the app itself made its connections
// read-only.
func TestFence(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	fenced := testkit.NewRole(t, admin, "SET default_transaction_read_only = on")
	open := testkit.NewRole(t, admin)
	token := testkit.Token()
	testkit.Must(t, testkit.OpenStore(t, admin).RevokeToken(t.Context(), token))
	for _, f := range feeds {
		t.Run(f.name+"/a session that begins fenced", func(t *testing.T) {
			t.Parallel()
			m := testkit.Value(New(testkit.OpenStore(t, pgserver.Pool(t, address, testkit.As(fenced)))))(t)
			s := openSession(t, m)
			if _, err := s.probe(t.Context()); !errors.Is(err, circumstances.ErrFenced) {
				t.Errorf("probe = %v", err)
			}
			if err := m.update(t.Context(), wholeFeed{s}.next()); !errors.Is(err, circumstances.ErrFenced) {
				t.Errorf("update = %v", err)
			}
		})
		t.Run(f.name+"/a session that is fenced later", func(t *testing.T) {
			t.Parallel()
			m := testkit.Value(New(testkit.OpenStore(t, pgserver.Pool(t, address, testkit.As(open)))))(t)
			s := openSession(t, m)
			source := f.of(t, s)
			update(t, m, source.next())
			_, err := s.conn.Exec(t.Context(), "SET default_transaction_read_only = on")
			testkit.Must(t, err)
			if err := m.update(t.Context(), source.next()); !errors.Is(err, circumstances.ErrFenced) {
				t.Errorf("update = %v", err)
			}
		})
		t.Run(f.name+"/the app's own wish", func(t *testing.T) {
			t.Parallel()
			m := testkit.Value(New(testkit.OpenStore(t, pgserver.Pool(t, address, testkit.As(fenced)), revoke.WithReadOnlyConnections())))(t)
			s := openSession(t, m)
			source := f.of(t, s)
			for range 3 {
				update(t, m, source.next())
			}
			refuses(t, m, token, revoke.ScopeToken)
			accepts(t, m, testkit.Token())
		})
	}
	t.Run("an address that turns the fence off", func(t *testing.T) {
		t.Parallel()
		config := admin.Config().ConnConfig
		m := testkit.Value(New(testkit.OpenStore(t, admin), WithConnString(fmt.Sprintf(
			"host=%s port=%d user=%s password='%s' dbname=%s sslmode=disable default_transaction_read_only=off",
			config.Host, config.Port, config.User, config.Password, config.Database))))(t)
		if s, err := m.connect(t.Context()); err == nil || !strings.Contains(err.Error(), "fenced") {
			t.Errorf("connect = %v, %v", s, err)
		}
	})
}

// The exact feed rests on the trigger, which restores and hands change. Up mends it.
func TestNumbering(t *testing.T) {
	t.Parallel()
	const mend = "ALTER TABLE revoke.revocations ENABLE ALWAYS TRIGGER set_xid"
	for _, damage := range []string{
		"ALTER TABLE revoke.revocations DISABLE TRIGGER set_xid",
		"ALTER TABLE revoke.revocations DISABLE TRIGGER ALL",
		"ALTER TABLE revoke.revocations ENABLE TRIGGER set_xid",
		"ALTER TABLE revoke.revocations ENABLE REPLICA TRIGGER set_xid",
		"DROP TRIGGER set_xid ON revoke.revocations",
		"CREATE OR REPLACE FUNCTION revoke.set_xid() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
		"CREATE OR REPLACE TRIGGER set_xid BEFORE INSERT ON revoke.revocations FOR EACH ROW EXECUTE FUNCTION revoke.set_xid(); " + mend,
		"CREATE TABLE revoke.child () INHERITS (revoke.revocations)",
	} {
		t.Run(damage, func(t *testing.T) {
			t.Parallel()
			m, _ := newMirror(t)
			f := readExact(t, m)
			update(t, m, f.next())
			testkit.Exec(t, m.store.Pool(), damage, pgx.QueryExecModeSimpleProtocol)
			if err := m.update(t.Context(), f.next()); !errors.Is(err, errUnnumbered) {
				t.Errorf("a poll: %v", err)
			}
			s := openSession(t, m)
			if _, err := s.probe(t.Context()); !errors.Is(err, errUnnumbered) {
				t.Errorf("a session: %v", err)
			}
			if err := m.update(t.Context(), (&exactFeed{session: s}).next()); !errors.Is(err, errMoved) && !errors.Is(err, errUnnumbered) {
				t.Errorf("a load: %v", err)
			}
			update(t, m, wholeFeed{s}.next()) // which needs no numbers
		})
	}
	t.Run("off between two polls", func(t *testing.T) {
		t.Parallel()
		store, pool := testkit.Store(t)
		m := run(t, store, slow...)
		token := testkit.Token()
		loads := m.Stats().Loads
		for _, sql := range []string{
			"ALTER TABLE revoke.revocations DISABLE TRIGGER set_xid",
			`INSERT INTO revoke.revocations (key, xid, since, expires_at, revoked_at, scope, issuer, id)
				VALUES (revoke.row_key('token', '` + token.Issuer + `', '` + token.ID + `'), '3', now(), now() + interval '1 hour', now(), 'token',
				'` + token.Issuer + `', '` + token.ID + `')`,
			mend,
		} {
			testkit.Exec(t, pool, sql)
		}
		testkit.Must(t, m.Sync(t.Context()))
		refuses(t, m, token, revoke.ScopeToken)
		if m.Stats().Loads == loads {
			t.Error("nothing was loaded anew")
		}
	})
	t.Run("Health says what to do, and recovers", func(t *testing.T) {
		t.Parallel()
		store, pool := testkit.Store(t)
		m := run(t, store, WithBound(100*time.Millisecond))
		testkit.Exec(t, pool, "ALTER TABLE revoke.revocations DISABLE TRIGGER set_xid")
		testkit.Eventually(t, "Health says so", func() bool {
			err := m.Health(t.Context())
			return err != nil && strings.Contains(err.Error(), "migrations.Up")
		})
		testkit.Must(t, m.Check(t.Context(), testkit.Token())) // by Postgres
		testkit.Exec(t, pool, mend)
		testkit.Eventually(t, "memory answers", func() bool { return m.Health(t.Context()) == nil })
	})
}

// What the pool makes of its connections, the mirror's own becomes too.
func TestPoolHooks(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	login := testkit.NewRole(t, admin)
	testkit.Exec(t, admin, "REVOKE ALL ON revoke.revocations FROM "+login)
	reader, stranger := testkit.NewRole(t, admin), testkit.NewRole(t, admin)
	testkit.Exec(t, admin, "GRANT "+reader+", "+stranger+" TO "+login)
	testkit.Exec(t, admin, "REVOKE ALL ON revoke.revocations FROM "+stranger)
	setRole := func(role string) func(context.Context, *pgx.Conn) error {
		return func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "SET ROLE "+role)
			return err
		}
	}
	for _, test := range []struct {
		name      string
		configure func(*pgxpool.Config)
		want      string // in the error; empty if there is none
	}{
		{"AfterConnect sets the role", func(c *pgxpool.Config) { c.AfterConnect = setRole(reader) }, ""},
		{"PrepareConn sets the role", func(c *pgxpool.Config) {
			c.PrepareConn = func(ctx context.Context, conn *pgx.Conn) (bool, error) { return true, setRole(reader)(ctx, conn) }
		}, ""},
		{"BeforeAcquire sets the role", func(c *pgxpool.Config) {
			c.BeforeAcquire = func(ctx context.Context, conn *pgx.Conn) bool { return setRole(reader)(ctx, conn) == nil } //nolint:staticcheck // as above
		}, ""},
		{"AfterConnect sets a role without rights", func(c *pgxpool.Config) { c.AfterConnect = setRole(stranger) }, "needs USAGE on the schema"},
		{"AfterConnect fails", func(c *pgxpool.Config) {
			c.AfterConnect = func(context.Context, *pgx.Conn) error { return errors.New("no tenant") }
		}, "no tenant; a hook that reads values of a caller's context needs WithConnString"},
		{"PrepareConn refuses", func(c *pgxpool.Config) {
			c.PrepareConn = func(context.Context, *pgx.Conn) (bool, error) { return false, nil }
		}, "PrepareConn refused the mirror's connection"},
		{"BeforeAcquire refuses", func(c *pgxpool.Config) {
			c.BeforeAcquire = func(context.Context, *pgx.Conn) bool { return false } //nolint:staticcheck // as above
		}, "BeforeAcquire refused the mirror's connection"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			store := testkit.OpenStore(t, pgserver.Pool(t, address, testkit.As(login), test.configure))
			if test.want == "" {
				m := run(t, store)
				if !m.Stats().Exact {
					t.Error("the exact feed is not used")
				}
				return
			}
			m := testkit.Value(New(store))(t)
			start(t, m)
			testkit.Eventually(t, "Health says why", func() bool {
				err := m.Health(t.Context())
				return err != nil && strings.Contains(err.Error(), test.want)
			})
		})
	}
}

// Mirrors of one schema do not wake those of another in the same database.
func TestChannels(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	pool := pgserver.Pool(t, address)
	names := []string{"revoke", "other", strings.Repeat("a", 62) + "x", strings.Repeat("a", 62) + "y"}
	var mirrors []*Mirror
	seen := map[string]bool{}
	for _, name := range names {
		if channel := channelOf(name); len(channel) > 63 || seen[channel] {
			t.Errorf("the channel of %s is %s", name, channel)
		} else {
			seen[channel] = true
		}
		if name != "revoke" {
			testkit.Must(t, migrations.Up(ctx, pool, migrations.WithSchema(name)))
		}
		m := run(t, testkit.OpenStore(t, pool, revoke.WithSchema(name)), slow...)
		testkit.Must(t, m.Sync(ctx))
		mirrors = append(mirrors, m)
	}
	for i, name := range names {
		var before []uint64
		for _, m := range mirrors {
			before = append(before, m.Stats().Polls)
		}
		token := testkit.Token()
		waker := testkit.Value(New(testkit.OpenStore(t, pool, revoke.WithSchema(name))))(t)
		testkit.Must(t, waker.store.RevokeToken(ctx, token))
		testkit.Must(t, waker.Wake(ctx))
		testkit.Eventually(t, "the mirror of the schema refuses", func() bool {
			return errors.Is(mirrors[i].Check(ctx, token), revoke.ErrRevoked)
		})
		for j, m := range mirrors {
			if polls := m.Stats().Polls - before[j]; j != i && polls != 0 {
				t.Errorf("a notification in %s has woken %s", name, names[j])
			}
		}
	}
}

// A pool's endpoint leads to a standby and then to the primary. The mirror finds it, and so do
// notifications.
func TestEndpointLeavesStandby(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f := newFailover(t)
	testkit.Must(t, f.store.RevokeToken(ctx, testkit.Token()))
	f.CatchUp()
	primary, standby := f.LeadsTo.Load(), f.Standby.URL()
	f.LeadsTo.Store(&standby)
	store := f.openStore()
	m := testkit.Value(New(store, WithBound(200*time.Millisecond)))(t)
	start(t, m)
	testkit.Eventually(t, "a standby is refused", func() bool { return errors.Is(m.Health(ctx), circumstances.ErrStandby) })
	testkit.WantError(t, m.Wake(ctx), revoke.ErrUnavailable)
	f.LeadsTo.Store(primary)
	testkit.Must(t, m.Wake(ctx)) // by a new connection
	testkit.Eventually(t, "memory answers", func() bool { return m.Health(ctx) == nil })
	token, committed := testkit.Token(), time.Now()
	testkit.Must(t, f.store.RevokeToken(ctx, token))
	untilRefused(t, m, token, committed)
}

// A read stalls on a standby that is promoted meanwhile: its snapshot is from before.
func TestPromotionDuringARead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f := newFailover(t)
	standby := f.Standby.URL()
	type reading struct {
		name string
		done chan error
		m    *Mirror
	}
	var g gate
	g.passes = 2 // BEGIN and the settings
	var readings []reading
	f.LeadsTo.Store(&standby)
	f.CatchUp()
	open := func() (*Mirror, *session) {
		pool := f.Pool(g.through)
		m := testkit.Value(New(testkit.OpenStore(t, pool), slow...))(t)
		return m, openSession(t, m)
	}
	direct, s := open()
	other, behind := open()
	behind.asker = newAsker(behind.conn, false)
	g.mu.Lock()
	for _, r := range []struct {
		name string
		m    *Mirror
		read func() error
	}{
		{"whole, through a pooler", other, func() error { return other.update(ctx, wholeFeed{behind}.next()) }},
		{"whole", direct, func() error { return direct.update(ctx, wholeFeed{s}.next()) }},
	} {
		done := make(chan error, 1)
		g.passes = map[bool]int{true: 2, false: 0}[r.m == other]
		go func() { done <- r.read() }()
		readings = append(readings, reading{r.name, done, r.m})
		testkit.Eventually(t, "it stalls", func() bool { return int(g.held.Load()) == len(readings) })
	}
	testkit.Eventually(t, "the server has taken the snapshots", func() bool {
		return f.Query(f.Standby, "SELECT (count(*) = 2)::text FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'ClientRead'") == "true"
	})
	f.FailOver()
	g.mu.Unlock()
	for _, r := range readings {
		t.Run(r.name, func(t *testing.T) {
			if err := <-r.done; !errors.Is(err, circumstances.ErrStandby) || r.m.mark.Load() != nil {
				t.Errorf("the read of a standby was taken: %v", err)
			}
		})
	}
	m := run(t, f.store, WithBound(200*time.Millisecond)) // loaded anew
	accepts(t, m, testkit.Token())
}
