package revoke_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// sessions returns how many sessions of a role fulfil a condition.
func sessions(tb testing.TB, admin *pgxpool.Pool, role, condition string) int {
	tb.Helper()
	return testkit.QueryOne[int](tb, admin, "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND "+condition, role)
}

// rightOrUnavailable fails the test if an operation gave a wrong answer. It reports whether
// the answer was right.
func rightOrUnavailable(tb testing.TB, admin *pgxpool.Pool, op operation, token revoke.Token, dead bool, err error) bool {
	tb.Helper()
	switch {
	case errors.Is(err, revoke.ErrUnavailable):
		testkit.WantError(tb, err, revoke.ErrUnavailable)
		return false
	case dead && (op.name == "Check" || strings.HasSuffix(op.name, "Redeem")):
		testkit.WantError(tb, err, revoke.ErrRevoked)
	default:
		testkit.Must(tb, err)
	}
	if !dead && slices.ContainsFunc(writes, func(w operation) bool { return w.name == op.name }) && !stored(tb, admin, token) {
		tb.Errorf("%s returned nil, and nothing is stored", op.name)
	}
	return true
}

// TestTimeouts sets each timeout of Postgres, and lets every operation wait for a lock, or find its
// connection gone: the answer is right or unavailable, and the pool is usable afterwards. In a
// short run the places where a timeout is set take turns with the timeouts.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	version := testkit.QueryOne[int](t, pgserver.Pool(t, pgserver.Database(t)), "SELECT current_setting('server_version_num')::int")
	for i, row := range []struct {
		name  string
		since int  // the version that has it
		waits bool // it ends a wait for a lock
		idle  bool // it ends a transaction that idles
	}{
		{"statement_timeout", 0, true, false},
		{"lock_timeout", 0, true, false},
		{"idle_in_transaction_session_timeout", 0, false, true},
		{"idle_session_timeout", 140000, false, false},
		{"transaction_timeout", 170000, true, true},
	} {
		if version < row.since {
			continue
		}
		places := []string{"role", "database", "connection", "options", "hook"}
		for _, where := range testkit.Long(places[i:][:1], places) {
			t.Run(row.name+"/"+where, func(t *testing.T) {
				t.Parallel()
				address := pgserver.Database(t)
				// Its own connections are to outlive what the database is given.
				admin := pgserver.Pool(t, address, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams[row.name] = "0" })
				role := testkit.NewRole(t, admin)
				pool := pgserver.Pool(t, address, setOn(t, admin, role, where, row.name, "60ms"), func(c *pgxpool.Config) { c.MaxConns = 50 })
				dead := ownToken()
				testkit.Must(t, testkit.OpenStore(t, admin).RevokeToken(t.Context(), dead))
				type asked struct {
					name  string
					op    operation
					store *revoke.Postgres
					token revoke.Token
					done  chan error
				}
				var calls []asked
				for _, way := range ways {
					store := testkit.OpenStore(t, pool, way.option, revoke.WithCheckTimeout(time.Minute))
					for _, op := range reads {
						if op.name == "Ready" {
							continue // it reads the catalog alone
						}
						calls = append(calls, asked{way.name + "/" + op.name, op, store, dead, make(chan error, 1)})
					}
				}
				store := testkit.OpenStore(t, pool)
				for _, op := range slices.Concat(writes, []operation{sweep}) {
					calls = append(calls, asked{op.name, op, store, ownToken(), make(chan error, 1)})
				}

				tx := testkit.Value(admin.Begin(t.Context()))(t)
				defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
				testkit.Value(tx.Exec(t.Context(), "LOCK TABLE revoke.revocations IN ACCESS EXCLUSIVE MODE"))(t)
				for _, c := range calls {
					go func() { c.done <- c.op.call(t.Context(), c.store, c.token) }()
				}
				if row.waits {
					for _, c := range calls {
						t.Run("waiting/"+c.name, func(t *testing.T) { testkit.WantError(t, <-c.done, revoke.ErrUnavailable) })
					}
				}
				testkit.Must(t, tx.Rollback(t.Context()))
				for _, c := range calls {
					if !row.waits {
						t.Run("waiting/"+c.name, func(t *testing.T) {
							rightOrUnavailable(t, admin, c.op, c.token, c.token == dead, <-c.done)
						})
					}
				}
				if row.name == "idle_session_timeout" {
					testkit.Eventually(t, "no session is left", func() bool { return sessions(t, admin, role, "true") == 0 })
				}
				for i, c := range calls {
					if c.token != dead {
						calls[i].token = ownToken() // the one above may be spent
					}
					go func() { c.done <- c.op.call(t.Context(), c.store, calls[i].token) }()
				}
				for _, c := range calls {
					t.Run("afterwards/"+c.name, func(t *testing.T) {
						if !rightOrUnavailable(t, admin, c.op, c.token, c.token == dead, <-c.done) {
							testkit.Eventually(t, "it is answered", func() bool {
								if c.token != dead {
									c.token = ownToken()
								}
								return rightOrUnavailable(t, admin, c.op, c.token, c.token == dead, c.op.call(t.Context(), c.store, c.token))
							})
						}
					})
				}
				if row.idle {
					t.Run("an idle transaction", func(t *testing.T) {
						token := ownToken()
						err := store.InTx(t.Context(), func(r revoke.Revoker) error {
							if err := r.RevokeToken(t.Context(), token); err != nil {
								return err
							}
							testkit.Eventually(t, "the session is ended", func() bool {
								return sessions(t, admin, role, "state = 'idle in transaction'") == 0
							})
							return nil
						})
						testkit.WantError(t, err, revoke.ErrUnavailable)
						if stored(t, admin, token) {
							t.Error("the row is stored")
						}
					})
				}
			})
		}
	}
}

// TestSweepNamesTheObstacle has batches of a single row time out, beside what keeps vacuum from
// removing what was deleted before.
func TestSweepNamesTheObstacle(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		open func(t *testing.T, admin *pgxpool.Pool) string // what the error has to name
	}{
		{"a snapshot", func(t *testing.T, admin *pgxpool.Pool) string {
			t.Helper()
			tx := testkit.Value(admin.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead}))(t)
			t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
			testkit.Value(tx.Exec(t.Context(), "SELECT FROM revoke.revocations"))(t)
			return fmt.Sprintf("session %d,", tx.Conn().PgConn().PID())
		}},
		{"a prepared transaction", func(t *testing.T, admin *pgxpool.Pool) string {
			t.Helper()
			gid := "ü " + ownToken().ID
			tx := testkit.Value(admin.Begin(t.Context()))(t)
			testkit.Value(tx.Exec(t.Context(), "SELECT pg_current_xact_id()"))(t)
			if _, err := tx.Exec(t.Context(), "PREPARE TRANSACTION '"+gid+"'"); err != nil {
				t.Fatalf("%v: give the server max_prepared_transactions, or unset REVOKE_DATABASE_URL", err)
			}
			_ = tx.Rollback(t.Context())
			t.Cleanup(func() {
				_, err := admin.Exec(context.Background(), "ROLLBACK PREPARED '"+gid+"'")
				testkit.Must(t, err)
			})
			return "prepared transaction " + gid + ","
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			address := pgserver.Database(t)
			admin := pgserver.Pool(t, address)
			fill(t, admin, 1, 2*time.Hour)
			beforeDelete(t, admin, "PERFORM pg_sleep(60)")
			// A snapshot of another database is older, and in the way of nothing here.
			other := pgserver.Pool(t, pgserver.Database(t))
			tx := testkit.Value(other.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead}))(t)
			t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
			testkit.Value(tx.Exec(t.Context(), "SELECT FROM revoke.revocations"))(t)

			want := row.open(t, admin)
			testkit.Exec(t, admin, "SELECT pg_current_xact_id()")
			sweeper := newSweeper(t, testkit.OpenStore(t, admin), revoke.WithBatchTimeout(20*time.Millisecond))
			_, err := sweeper.Sweep(t.Context())
			wantUnavailable(t, err, want)
		})
	}
}

// TestSweepBesideOldSnapshot keeps a snapshot open, so that the index keeps the entry of
// each deleted row: a batch does not walk over those of the batches before it.
func TestSweepBesideOldSnapshot(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	// Autovacuum reads blocks too.
	testkit.Exec(t, admin, "ALTER TABLE revoke.revocations SET (autovacuum_enabled = off)")
	const perScope, batch = 4000, 200
	rows := perScope * len(filledScopes)
	filling := pgserver.Pool(t, address, func(c *pgxpool.Config) { c.MaxConns = 1 })
	fill(t, filling, perScope, 2*time.Hour)
	testkit.Exec(t, filling, "UPDATE revoke.revocations SET expires_at = expires_at - random() * interval '1 hour' WHERE scope <> 'reserve'")
	testkit.Exec(t, filling, "VACUUM ANALYZE revoke.revocations")
	// A session tells the statistics of what it did in the order in which it did it.
	testkit.Exec(t, filling, "UPDATE revoke.revocations SET reason = 'last' WHERE key = (SELECT min(key::text)::uuid FROM revoke.revocations WHERE scope = 'user')")
	filling.Close()
	testkit.Eventually(t, "the statistics of the filling are there", func() bool {
		return testkit.QueryOne[int](t, admin, "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relid = 'revoke.revocations'::regclass") > rows
	})
	tx := testkit.Value(admin.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead}))(t)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	testkit.Value(tx.Exec(t.Context(), "SELECT FROM revoke.revocations"))(t)

	read := func() int {
		return testkit.QueryOne[int](t, admin, `SELECT heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read
			FROM pg_statio_user_tables WHERE relid = 'revoke.revocations'::regclass`)
	}
	before := read()
	pool := pgserver.Pool(t, address)
	result := testkit.Value(newSweeper(t, testkit.OpenStore(t, pool), revoke.WithBatchSize(batch)).Sweep(t.Context()))(t)
	pool.Close() // the statistics of a session are complete when it has ended
	if result.Total() != int64(rows) {
		t.Fatalf("Sweep = %+v, want all %d rows", result, rows)
	}
	testkit.Eventually(t, "the statistics are there", func() bool {
		return testkit.QueryOne[int](t, admin, "SELECT n_tup_del FROM pg_stat_user_tables WHERE relid = 'revoke.revocations'::regclass") >= rows
	})
	// A row takes some 7 blocks, and 37 where each batch walks over the entries of those before it.
	if perRow := float64(read()-before) / float64(rows); perRow > 20 {
		t.Errorf("a row took %.1f blocks", perRow)
	}
}
