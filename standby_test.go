package revoke_test

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

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// pair is a primary and its streaming standby, with a migrated database.
type pair struct {
	primary, standby string // addresses of the database
}

// newPair starts two servers that are the test's own.
func newPair(tb testing.TB) pair {
	tb.Helper()
	server, standby, _ := testkit.OwnPair(tb)
	address := testkit.Value(server.CreateDatabase(tb.Context()))(tb)
	database := testkit.Value(pgx.ParseConfig(address))(tb).Database
	own := strings.Replace(standby.URL(), "/postgres?", "/"+database+"?", 1)
	// Until then the standby does not have the database.
	awaitReplay(tb, pgserver.Pool(tb, server.URL()), pgserver.Pool(tb, standby.URL()))
	return pair{address, own}
}

// endpoint is an address that leads to one server and later to another, as that of a proxy or a
// name in the DNS does.
type endpoint struct{ leads atomic.Pointer[pgconn.Config] }

func newEndpoint(tb testing.TB, address string) *endpoint {
	tb.Helper()
	e := &endpoint{}
	e.moveTo(tb, address)
	return e
}

func (e *endpoint) moveTo(tb testing.TB, address string) {
	tb.Helper()
	e.leads.Store(testkit.Value(pgconn.ParseConfig(address))(tb))
}

func (e *endpoint) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	to := e.leads.Load()
	network, address := pgconn.NetworkAddress(to.Host, to.Port)
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

func (e *endpoint) configure(c *pgxpool.Config) { c.ConnConfig.DialFunc = e.dial }

// awaitReplay waits until the standby has replayed what the primary has written.
func awaitReplay(tb testing.TB, primary, standby *pgxpool.Pool) {
	tb.Helper()
	lsn := testkit.QueryOne[string](tb, primary, "SELECT pg_current_wal_lsn()::text")
	testkit.Eventually(tb, "the standby has replayed", func() bool {
		return testkit.QueryOne[bool](tb, standby, "SELECT coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)", lsn)
	})
}

// TestPoolLeavesStandby moves the endpoint of a pool from a standby to the primary. A connection to
// the standby is given up at its first use, so that no more calls fail than there were connections.
func TestPoolLeavesStandby(t *testing.T) {
	t.Parallel()
	servers := newPair(t)
	admin, replica := pgserver.Pool(t, servers.primary), pgserver.Pool(t, servers.standby)
	awaitReplay(t, admin, replica)
	t.Run("the function epochs answers on a standby", func(t *testing.T) {
		// Epochs that lag behind are those of an earlier password, and so is the hash beside them.
		want := testkit.Value(testkit.OpenStore(t, admin).RevokeUser(t.Context(), revoke.User{Issuer: "standby", Subject: "42"}))(t)
		awaitReplay(t, admin, replica)
		if got := testkit.QueryOne[revoke.Epochs](t, replica, "SELECT revoke.epochs('standby', '42')"); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	})
	connections := testkit.Long(2, 4)
	// onStandby returns a pool of which every connection leads to the standby, and which
	// now finds the primary.
	onStandby := func(t *testing.T) *pgxpool.Pool {
		t.Helper()
		end := newEndpoint(t, servers.standby)
		pool := pgserver.Pool(t, servers.primary, end.configure, func(c *pgxpool.Config) {
			c.MaxConns = int32(connections)
		})
		var held []*pgxpool.Conn
		for range connections {
			conn := testkit.Value(pool.Acquire(t.Context()))(t)
			held = append(held, conn)
		}
		for _, conn := range held {
			conn.Release()
		}
		end.moveTo(t, servers.primary)
		return pool
	}
	for i, way := range ways {
		for _, options := range []struct {
			name   string
			option revoke.PostgresOption
			ops    []operation
		}{
			{"", revoke.WithCheckTimeout(time.Minute), [][]operation{operations, reads}[i]},
			{"read-only/", revoke.WithReadOnlyConnections(), reads},
		} {
			for _, op := range options.ops {
				t.Run(options.name+way.name+"/"+op.name, func(t *testing.T) {
					store := testkit.OpenStore(t, onStandby(t), way.option, options.option)
					failed := 0
					for range 3 * connections {
						if err := op.call(t.Context(), store, ownToken()); err != nil {
							testkit.WantError(t, err, revoke.ErrUnavailable)
							failed++
						}
					}
					if failed == 0 || failed > connections {
						t.Errorf("%d calls failed, want one for each of at most %d connections", failed, connections)
					}
				})
			}
		}
		t.Run(way.name+"/a busy pool", func(t *testing.T) {
			store := testkit.OpenStore(t, onStandby(t), way.option, revoke.WithCheckTimeout(time.Minute))
			const callers = 8
			var failed atomic.Int32
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for range 50 {
						if err := store.Check(t.Context(), testkit.Token()); errors.Is(err, revoke.ErrUnavailable) {
							failed.Add(1)
						} else if err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			limit := map[string]int{"shared": connections * callers, "alone": connections}[way.name]
			if n := int(failed.Load()); n == 0 || n > limit {
				t.Errorf("%d checks failed, want at most %d", n, limit)
			}
		})
	}
	t.Run("a fenced server", func(t *testing.T) {
		// The old primary, which a switchover has fenced.
		end := newEndpoint(t, servers.primary)
		role := testkit.NewRole(t, admin, "SET default_transaction_read_only = on")
		pool := pgserver.Pool(t, servers.primary, testkit.As(role), end.configure, func(c *pgxpool.Config) { c.MaxConns = 1 })
		store := testkit.OpenStore(t, pool)
		wantUnavailable(t, store.Check(t.Context(), testkit.Token()), "default_transaction_read_only")
		// The server beside it.
		testkit.Exec(t, admin, "ALTER ROLE "+role+" RESET default_transaction_read_only")
		testkit.Must(t, store.Check(t.Context(), testkit.Token()))
	})
}

// stalled holds back the Execute message of a statement, as a network may. The server has read all
// before it by then.
type stalled struct {
	net.Conn
	executes int // how many are let through
	started  bool
	held     chan<- struct{}
	open     <-chan struct{}
}

func (s *stalled) Write(b []byte) (int, error) {
	if !s.started { // the first message has no type
		s.started = true
		return s.Conn.Write(b)
	}
	for at := 0; at+5 <= len(b); at += 1 + int(binary.BigEndian.Uint32(b[at+1:])) {
		if b[at] != 'E' {
			continue
		}
		if s.executes--; s.executes == -1 {
			n, err := s.Conn.Write(b[:at])
			if err != nil {
				return n, err
			}
			s.held <- struct{}{}
			<-s.open
			rest, err := s.Conn.Write(b[at:])
			return n + rest, err
		}
	}
	return s.Conn.Write(b)
}

// TestPromotionDuringRead promotes a standby that is behind while reads stall there between
// Bind and Execute: their snapshots are from before, and pg_is_in_recovery() is evaluated
// after.
func TestPromotionDuringRead(t *testing.T) {
	t.Parallel()
	servers := newPair(t)
	admin, replica := pgserver.Pool(t, servers.primary), pgserver.Pool(t, servers.standby)
	primary := testkit.OpenStore(t, admin)
	role := testkit.NewRole(t, admin, "SET default_transaction_isolation = 'repeatable read'")
	fencedRole := testkit.NewRole(t, admin, "SET default_transaction_read_only = on")
	awaitReplay(t, admin, replica)
	testkit.Exec(t, replica, "SELECT pg_wal_replay_pause()")

	token := testkit.Token()
	held, open := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(open) })
	t.Cleanup(release)
	type asked struct {
		name string
		done chan error
	}
	var answers []asked
	for _, row := range []struct {
		name     string
		role     string
		mode     pgx.QueryExecMode
		options  []revoke.PostgresOption
		executes int // before the one that is held back
	}{
		{"alone", "", pgx.QueryExecModeCacheStatement, []revoke.PostgresOption{revoke.WithCheckQueries(0)}, 0},
		{"shared", "", pgx.QueryExecModeCacheStatement, nil, 0},
		{"exec mode", "", pgx.QueryExecModeExec, nil, 0},
		{"repeatable read", role, pgx.QueryExecModeCacheStatement, nil, 1},
		{"read-only connections, before BEGIN", fencedRole, pgx.QueryExecModeExec, []revoke.PostgresOption{revoke.WithReadOnlyConnections()}, 0},
		{"read-only connections, after BEGIN", fencedRole, pgx.QueryExecModeExec, []revoke.PostgresOption{revoke.WithReadOnlyConnections()}, 1},
	} {
		for _, read := range reads {
			end := newEndpoint(t, servers.primary)
			stalls := false
			pool := pgserver.Pool(t, servers.primary, end.configure, testkit.WithMode(row.mode), func(c *pgxpool.Config) {
				c.MaxConns = 1
				if row.role != "" {
					c.ConnConfig.User = row.role
				}
				c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := end.dial(ctx, network, address)
					if err != nil || !stalls {
						return conn, err
					}
					return &stalled{Conn: conn, executes: row.executes, held: held, open: open}, nil
				}
			})
			t.Cleanup(release) // before the pool is closed, which waits for the read
			store := testkit.OpenStore(t, pool, append(row.options, revoke.WithCheckTimeout(time.Minute))...)
			if row.role == role { // the store learns of the isolation from the primary
				testkit.Must(t, store.Check(t.Context(), testkit.Token()))
			}
			pool.Reset()
			end.moveTo(t, servers.standby)
			stalls = true
			done := make(chan error, 1)
			answers = append(answers, asked{row.name + "/" + read.name, done})
			go func() { done <- read.call(t.Context(), store, token) }()
			select {
			case <-held:
			case err := <-done:
				t.Fatalf("%s/%s did not stall: %v", row.name, read.name, err)
			}
		}
	}
	testkit.Must(t, primary.RevokeToken(t.Context(), token))
	testkit.Value(primary.RevokeUser(t.Context(), token.User()))(t)
	lsn := testkit.QueryOne[string](t, admin, "SELECT pg_current_wal_lsn()::text")
	testkit.Eventually(t, "the standby has the revocation, and has not replayed it", func() bool {
		return testkit.QueryOne[bool](t, replica, "SELECT pg_last_wal_receive_lsn() >= $1::text::pg_lsn", lsn)
	})
	testkit.Eventually(t, "every read waits for its Execute", func() bool {
		return testkit.QueryOne[int](t, replica, `SELECT count(*) FROM pg_stat_activity
			WHERE state = 'active' AND wait_event = 'ClientRead'`) == len(answers)
	})
	if !testkit.QueryOne[bool](t, replica, "SELECT pg_promote(true, 60)") {
		t.Fatal("the standby is not promoted")
	}
	promoted := testkit.OpenStore(t, replica)
	testkit.WantError(t, promoted.Check(t.Context(), token), revoke.ErrRevoked)
	release()
	for _, answer := range answers {
		t.Run(answer.name, func(t *testing.T) {
			err := <-answer.done
			// A transaction that began on the standby and was let write by the primary has
			// a snapshot of the primary.
			if strings.HasPrefix(answer.name, "read-only connections, before BEGIN") {
				if strings.HasSuffix(answer.name, "/Check") && !errors.Is(err, revoke.ErrRevoked) {
					testkit.WantError(t, err, revoke.ErrUnavailable)
				}
				return
			}
			testkit.WantError(t, err, revoke.ErrUnavailable)
		})
	}
}

// TestSynchronousStandby cancels commits that wait for a synchronous standby. Postgres calls them a
// success with a warning; after a failover they are lost.
func TestSynchronousStandby(t *testing.T) {
	t.Parallel()
	servers := newPair(t)
	local := func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["synchronous_commit"] = "local" }
	admin := pgserver.Pool(t, servers.primary, local)
	const waiting = `FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()`
	waits := func(n int) func() bool {
		return func() bool { return testkit.QueryOne[int](t, admin, "SELECT count(*) "+waiting) == n }
	}
	// demand names the standbys for which commits wait.
	demand := func(names string) {
		testkit.Exec(t, admin, "ALTER SYSTEM SET synchronous_standby_names = '"+names+"'")
		testkit.Exec(t, admin, "SELECT pg_reload_conf()")
		testkit.Eventually(t, "the setting is in force", func() bool {
			return testkit.QueryOne[string](t, admin, "SHOW synchronous_standby_names") == names
		})
	}
	// The server waits only when its checkpointer has read the setting too. The probe writes to
	// the log, because the commit of a transaction that has written nothing never waits.
	awaitWaits := func() {
		probe := pgserver.Pool(t, servers.primary)
		for done := make(chan error, 1); ; {
			go func() {
				_, err := probe.Exec(t.Context(), "SELECT pg_logical_emit_message(true, 'probe', '')")
				done <- err
			}()
			ended := false
			testkit.Eventually(t, "the probe ends, or waits", func() bool {
				select {
				case err := <-done:
					testkit.Must(t, err)
					ended = true
				default:
				}
				return ended || waits(1)()
			})
			if !ended {
				testkit.Exec(t, admin, "SELECT pg_cancel_backend(pid) "+waiting)
				testkit.Must(t, <-done)
				return
			}
		}
	}
	t.Cleanup(func() {
		_, err := admin.Exec(context.Background(), "ALTER SYSTEM RESET synchronous_standby_names")
		testkit.Must(t, err)
		_, err = admin.Exec(context.Background(), "SELECT pg_reload_conf()")
		testkit.Must(t, err)
	})

	quiet := func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["client_min_messages"] = "error" }
	for _, end := range []struct {
		name, function string
		configure      func(*pgxpool.Config)
	}{
		{"cancelled", "pg_cancel_backend", func(*pgxpool.Config) {}},
		{"cancelled, and the connection asks for errors alone", "pg_cancel_backend", quiet},
		{"terminated", "pg_terminate_backend", func(*pgxpool.Config) {}},
	} {
		t.Run(end.name, func(t *testing.T) {
			demand("")
			pool := pgserver.Pool(t, servers.primary, end.configure, func(c *pgxpool.Config) { c.MaxConns = 100 })
			type call struct {
				name  string
				write operation
				store *revoke.Postgres
				token revoke.Token
				done  chan error
			}
			var calls []call
			for _, write := range writes {
				calls = append(calls, call{write.name + "/first write", write, testkit.OpenStore(t, pool), ownToken(), make(chan error, 1)})
				if strings.HasPrefix(write.name, "InTx") {
					continue // of which every commit is watched
				}
				knowing := testkit.OpenStore(t, pool)
				// The store learns that commits wait for no standby.
				testkit.Must(t, knowing.RevokeToken(t.Context(), ownToken()))
				calls = append(calls, call{write.name + "/later write", write, knowing, ownToken(), make(chan error, 1)})
			}
			demand("nobody")
			awaitWaits()
			for _, c := range calls {
				go func() { c.done <- c.write.call(t.Context(), c.store, c.token) }()
			}
			testkit.Eventually(t, "every commit waits", waits(len(calls)))
			testkit.Exec(t, admin, "SELECT "+end.function+"(pid) "+waiting)
			for _, c := range calls {
				t.Run(c.name, func(t *testing.T) {
					testkit.WantError(t, <-c.done, revoke.ErrUnavailable)
					if !stored(t, admin, c.token) {
						t.Error("the row is not stored on the primary")
					}
				})
			}
			demand("*") // for which the standby that there is suffices
			for _, c := range calls {
				t.Run(c.name+", repeated", func(t *testing.T) {
					err := c.write.call(t.Context(), c.store, c.token)
					if strings.HasSuffix(c.write.name, "Redeem") {
						testkit.WantError(t, err, revoke.ErrRevoked)
						return
					}
					testkit.Must(t, err)
				})
				t.Run(c.name+", of another token", func(t *testing.T) {
					testkit.Must(t, c.write.call(t.Context(), c.store, ownToken()))
				})
			}
		})
	}
}

// TestWriteThatWasGivenUp ends the context of a write that waits for a lock. The statement is
// cancelled, so that it does not take effect after its repeat.
func TestWriteThatWasGivenUp(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			address := pgserver.Database(t)
			admin := pgserver.Pool(t, address)
			store := testkit.OpenStore(t, pgserver.Pool(t, address, testkit.WithMode(mode)))
			user := testkit.Token().User()
			testkit.Value(store.RevokeUser(t.Context(), user))(t)
			waiting := func(n int) func() bool {
				return func() bool {
					return testkit.QueryOne[int](t, admin, `SELECT count(*) FROM pg_stat_activity
						WHERE datname = current_database() AND wait_event_type = 'Lock'`) == n
				}
			}
			tx := testkit.Value(admin.Begin(t.Context()))(t)
			defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
			testkit.Value(tx.Exec(t.Context(), "SELECT FROM revoke.revocations WHERE scope = 'user' FOR UPDATE"))(t)
			ctx, giveUp := context.WithCancel(t.Context())
			first := make(chan error, 1)
			go func() { _, err := store.RevokeUser(ctx, user); first <- err }()
			testkit.Eventually(t, "the write waits", waiting(1))
			giveUp()
			testkit.WantError(t, <-first, revoke.ErrUnavailable)
			testkit.Eventually(t, "its statement is cancelled", waiting(0))

			type result struct {
				epochs revoke.Epochs
				err    error
			}
			repeat := make(chan result, 1)
			go func() {
				epochs, err := store.RevokeUser(t.Context(), user)
				repeat <- result{epochs, err}
			}()
			testkit.Eventually(t, "the repeat waits", waiting(1))
			testkit.Must(t, tx.Commit(t.Context()))
			got := <-repeat
			testkit.Must(t, got.err)
			if epochs := testkit.Value(store.Epochs(t.Context(), user))(t); epochs != got.epochs {
				t.Errorf("the epochs are %v, after a repeat that returned %v", epochs, got.epochs)
			}
		})
	}
}
