package revoke_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/schema"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// filledScopes are the scopes of which fill writes rows.
var filledScopes = []revoke.Scope{revoke.ScopeToken, revoke.ScopeSession, revoke.ScopeUser}

// fill writes rows of each of filledScopes that expired at the given distance from the database's
// clock. Their keys are random.
func fill(tb testing.TB, pool *pgxpool.Pool, rows int, sinceExpiry time.Duration) {
	tb.Helper()
	for _, scope := range filledScopes {
		testkit.Exec(tb, pool, `INSERT INTO revoke.revocations (key, since, expires_at, revoked_at, scope, issuer, id)
			SELECT gen_random_uuid(), clock_timestamp(), clock_timestamp() - make_interval(secs => $2), clock_timestamp(), $3,
			       'issuer', i::text
			FROM generate_series(1, $1::int) AS i`, rows, sinceExpiry.Seconds(), string(scope))
	}
}

// rowCount returns how many rows there are beside the reserve.
func rowCount(tb testing.TB, pool *pgxpool.Pool) int {
	tb.Helper()
	return testkit.QueryOne[int](tb, pool, "SELECT count(*) FROM revoke.revocations WHERE scope <> 'reserve'")
}

// reserveCount returns how many rows the reserve has.
func reserveCount(tb testing.TB, pool *pgxpool.Pool) int {
	tb.Helper()
	return testkit.QueryOne[int](tb, pool, "SELECT count(*) FROM revoke.revocations WHERE scope = 'reserve'")
}

func newSweeper(tb testing.TB, store *revoke.Postgres, opts ...revoke.SweeperOption) *revoke.Sweeper {
	tb.Helper()
	return testkit.Value(revoke.NewSweeper(store, opts...))(tb)
}

// TestSweepKeepsTheMargin deletes rows that expired longer ago than the margin, and no others.
func TestSweepKeepsTheMargin(t *testing.T) {
	t.Parallel()
	for _, margin := range []time.Duration{revoke.DefaultMargin, 2 * revoke.DefaultMargin} {
		t.Run(margin.String(), func(t *testing.T) {
			t.Parallel()
			store, pool := testkit.Store(t)
			fill(t, pool, 3, -time.Hour)            // not expired
			fill(t, pool, 5, revoke.MaxLeeway)      // a lax validator still accepts
			fill(t, pool, 7, margin-10*time.Second) // at the margin
			fill(t, pool, 11, margin+time.Second)   // past it
			fill(t, pool, 13, 400*24*time.Hour)     // long past it
			sweeper := newSweeper(t, store, revoke.WithMargin(margin), revoke.WithBatchSize(4))
			result := testkit.Value(sweeper.Sweep(t.Context()))(t)
			want := map[revoke.Scope]int64{revoke.ScopeToken: 24, revoke.ScopeSession: 24, revoke.ScopeUser: 24}
			if !maps.Equal(result.Deleted, want) || result.Total() != 72 || result.Batches != 19 || result.Duration <= 0 {
				t.Errorf("Sweep = %+v, want 24 of each in 19 batches", result)
			}
			if n := rowCount(t, pool); n != 3*(3+5+7) {
				t.Errorf("%d rows are left, want %d", n, 3*(3+5+7))
			}
			again := testkit.Value(sweeper.Sweep(t.Context()))(t)
			if again.Total() != 0 || len(again.Deleted) != 0 || again.Batches != 1 {
				t.Errorf("a second Sweep = %+v", again)
			}
			if n := reserveCount(t, pool); n != schema.ReserveRows {
				t.Errorf("the reserve has %d rows", n)
			}
		})
	}
}

// endToken are the writes that end one token.
var endToken = []struct {
	name string // of the method
	end  func(context.Context, revoke.Revoker, revoke.Token) error
}{
	{"RevokeToken", func(ctx context.Context, r revoke.Revoker, t revoke.Token) error { return r.RevokeToken(ctx, t) }},
	{"RevokeTokens", func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
		return r.RevokeTokens(ctx, []revoke.Token{testkit.Token(), t})
	}},
	{"Redeem", func(ctx context.Context, r revoke.Revoker, t revoke.Token) error { return r.Redeem(ctx, t) }},
}

// TestSharedIDs revokes an access token, of which the refresh token has the same jti, and sweeps
// when the access token has expired. The refresh token is accepted again then, and can be redeemed
// again, unless the program that revoked had WithSharedIDs.
func TestSharedIDs(t *testing.T) {
	t.Parallel()
	for _, write := range endToken {
		for _, shared := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/WithSharedIDs=%v", write.name, shared), func(t *testing.T) {
				t.Parallel()
				ctx := t.Context()
				plain, pool := testkit.Store(t)
				store := plain
				if shared {
					store = testkit.OpenStore(t, pool, revoke.WithSharedIDs())
				}
				if store.SharedIDs() != shared {
					t.Errorf("SharedIDs = %v", store.SharedIDs())
				}
				access := testkit.Token()
				refresh := access
				refresh.ExpiresAt = access.ExpiresAt.Add(24 * time.Hour)
				testkit.Must(t, write.end(ctx, store, access))
				testkit.WantError(t, plain.Check(ctx, refresh), revoke.ErrRevoked)

				// The access token and the margin are over.
				testkit.Exec(t, pool, `UPDATE revoke.revocations SET expires_at = expires_at - interval '3 hours' WHERE scope = 'token'`)
				testkit.Value(newSweeper(t, plain).Sweep(ctx))(t)
				if shared {
					testkit.WantError(t, plain.Check(ctx, refresh), revoke.ErrRevoked)
					testkit.WantError(t, plain.Redeem(ctx, refresh), revoke.ErrRevoked)
				} else {
					testkit.Must(t, plain.Check(ctx, refresh))
					testkit.Must(t, plain.Redeem(ctx, refresh))
				}
			})
		}
	}
}

// TestSharedIDsAreKept looks at how long rows are kept: for MaxTokenLifetime from each revocation,
// and for longer where the token lives longer. A program without the option never shortens that.
func TestSharedIDsAreKept(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	plain, pool := testkit.Store(t)
	store := testkit.OpenStore(t, pool, revoke.WithSharedIDs())
	expiry := func(token revoke.Token) time.Time {
		found := testkit.Value(plain.Lookup(ctx, token))(t)
		if len(found) != 1 {
			t.Fatalf("Lookup = %+v", found)
		}
		return found[0].ExpiresAt
	}
	kept := time.Now().Add(revoke.MaxTokenLifetime + revoke.MaxLeeway)
	for _, write := range endToken {
		t.Run(write.name, func(t *testing.T) {
			token := testkit.Token()
			testkit.Must(t, write.end(ctx, store, token))
			testkit.Must(t, near(expiry(token), kept))
			first := expiry(token)
			testkit.Must(t, plain.RevokeToken(ctx, token))
			if again := expiry(token); !again.Equal(first) {
				t.Errorf("a program without the option moved the expiry from %v to %v", first, again)
			}
			long := testkit.Token()
			long.ExpiresAt = time.Now().Add(500 * 24 * time.Hour)
			testkit.Must(t, write.end(ctx, store, long))
			testkit.Must(t, near(expiry(long), long.ExpiresAt))
		})
	}
	t.Run("a row of a program without the option is prolonged", func(t *testing.T) {
		token := testkit.Token()
		testkit.Must(t, plain.RevokeToken(ctx, token))
		testkit.Must(t, near(expiry(token), token.ExpiresAt))
		testkit.Must(t, store.RevokeToken(ctx, token))
		testkit.Must(t, near(expiry(token), kept))
	})
	t.Run("a token past MaxLeeway is not redeemed", func(t *testing.T) {
		token := testkit.Token()
		token.ExpiresAt = time.Now().Add(-revoke.MaxLeeway - time.Minute)
		testkit.WantError(t, store.Redeem(ctx, token), revoke.ErrInvalidToken)
	})
}

// TestSweepWithoutInsert sweeps as a role that may delete and not insert, while the reserve
// is lost.
func TestSweepWithoutInsert(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	fill(t, admin, 3, revoke.DefaultMargin+time.Minute)
	testkit.Exec(t, admin, "DELETE FROM revoke.revocations WHERE scope = 'reserve'")
	role := testkit.QueryOne[string](t, admin, "SELECT 'sweeper_' || current_database()")
	testkit.Exec(t, admin, `CREATE ROLE "`+role+`"`)
	t.Cleanup(func() {
		_, err := admin.Exec(context.Background(), `DROP OWNED BY "`+role+`"; DROP ROLE "`+role+`"`, pgx.QueryExecModeSimpleProtocol)
		testkit.Must(t, err)
	})
	testkit.Exec(t, admin, `GRANT USAGE ON SCHEMA revoke TO "`+role+`"`)
	testkit.Exec(t, admin, `GRANT SELECT, UPDATE, DELETE ON revoke.revocations TO "`+role+`"`)
	pool := pgserver.Pool(t, address, func(c *pgxpool.Config) {
		c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, `SET ROLE "`+role+`"`)
			return err
		}
	})
	result := testkit.Value(newSweeper(t, testkit.OpenStore(t, pool)).Sweep(t.Context()))(t)
	if result.Total() == 0 {
		t.Errorf("the pass deleted nothing: %+v", result)
	}
}

// TestSweepRestoresTheReserve deletes some or all of the rows that keep the plan of a check.
func TestSweepRestoresTheReserve(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, lose string }{
		{"none is lost", "SELECT 1"},
		{"one is lost", "DELETE FROM revoke.revocations WHERE key = (SELECT key FROM revoke.revocations WHERE scope = 'reserve' LIMIT 1)"},
		{"all are lost", "TRUNCATE revoke.revocations"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			store, pool := testkit.Store(t)
			const rows = "SELECT string_agg(t::text, ';' ORDER BY key) FROM (SELECT key, since, expires_at, scope, issuer, id, reason FROM revoke.revocations) t"
			before := testkit.QueryOne[string](t, pool, rows)
			testkit.Exec(t, pool, row.lose)
			result := testkit.Value(newSweeper(t, store).Sweep(t.Context()))(t)
			if result.Total() != 0 {
				t.Errorf("Sweep = %+v", result)
			}
			if n, after := reserveCount(t, pool), testkit.QueryOne[string](t, pool, rows); n != schema.ReserveRows || after != before {
				t.Errorf("the reserve has %d rows, and differs from the migration's: %v", n, after != before)
			}
		})
	}
}

// TestSweepOfNothingWritesNothing looks whether a pass that has nothing to do takes a transaction
// number: on an idle database each would age every row.
func TestSweepOfNothingWritesNothing(t *testing.T) {
	t.Parallel()
	store, pool := testkit.Store(t)
	testkit.Value(newSweeper(t, store).Sweep(t.Context()))(t)
	const written = `SELECT string_agg(xmin::text || '/' || xmax::text, ',' ORDER BY key) FROM revoke.revocations`
	before := testkit.QueryOne[string](t, pool, written)
	testkit.Value(newSweeper(t, store).Sweep(t.Context()))(t)
	if after := testkit.QueryOne[string](t, pool, written); after != before {
		t.Error("a pass without work wrote rows")
	}
}

// TestSweptTokensStayRefused sweeps the rows of tokens that a validator with the greatest leeway
// accepts, or has just ceased to accept.
func TestSweptTokensStayRefused(t *testing.T) {
	t.Parallel()
	store, pool := testkit.Store(t)
	sweeper := newSweeper(t, store)
	for _, expired := range []time.Duration{
		0, time.Minute, revoke.MaxLeeway - 5*time.Second, revoke.MaxLeeway + time.Second, revoke.DefaultMargin + time.Minute,
	} {
		t.Run("expired "+expired.String()+" ago", func(t *testing.T) {
			t.Parallel()
			token := testkit.Token()
			testkit.Must(t, store.RevokeToken(t.Context(), token))
			token.ExpiresAt = time.Now().Add(-expired)
			token.IssuedAt = token.ExpiresAt.Add(-time.Hour)
			testkit.Exec(t, pool, "UPDATE revoke.revocations SET expires_at = $2 WHERE id = $1", token.ID, token.ExpiresAt)
			testkit.Value(sweeper.Sweep(t.Context()))(t)
			if err := store.Check(t.Context(), token); err == nil {
				t.Error("a revoked token is accepted")
			}
		})
	}
}

func TestSweepLarge(t *testing.T) {
	t.Parallel()
	rows := testkit.Long(8_000, 100_000) // of each scope
	store, pool := testkit.Store(t)
	fill(t, pool, rows, 2*time.Hour)
	fill(t, pool, 100, -time.Hour)
	result := testkit.Value(newSweeper(t, store).Sweep(t.Context()))(t)
	for _, scope := range filledScopes {
		if result.Deleted[scope] != int64(rows) {
			t.Errorf("Sweep = %+v, want %d of scope %s", result, rows, scope)
		}
	}
	if n := rowCount(t, pool); n != 300 {
		t.Errorf("%d rows are left, want 300", n)
	}
	t.Logf("%d rows in %v, %.0f rows/s", result.Total(), result.Duration, float64(result.Total())/result.Duration.Seconds())
}

// TestTwoSweepers run on the same rows at once: each row is deleted by one of them, and neither
// waits or fails.
func TestTwoSweepers(t *testing.T) {
	t.Parallel()
	rows := testkit.Long(3_000, 20_000) // of each scope
	store, pool := testkit.Store(t)
	fill(t, pool, rows, 2*time.Hour)
	sweeper := newSweeper(t, store, revoke.WithBatchSize(500))
	var group sync.WaitGroup
	results, errs := make([]revoke.SweepEvent, 3), make([]error, 3)
	for i := range results {
		group.Go(func() { results[i], errs[i] = sweeper.Sweep(t.Context()) })
	}
	group.Wait()
	testkit.Must(t, errors.Join(errs...))
	var deleted int64
	for _, r := range results {
		deleted += r.Total()
	}
	// Rows that another held were skipped, so that the last of them may be left to the next pass.
	rest := testkit.Value(sweeper.Sweep(t.Context()))(t)
	if deleted += rest.Total(); deleted != int64(3*rows) {
		t.Errorf("%d rows were counted as deleted, want %d", deleted, 3*rows)
	}
	if n := rowCount(t, pool); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// TestSweepSkipsLocked goes round a row that another transaction is writing, and does not make
// that transaction wait.
func TestSweepSkipsLocked(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := testkit.Store(t)
	token := testkit.Token()
	testkit.Must(t, store.RevokeToken(ctx, token))
	testkit.Exec(t, pool, "UPDATE revoke.revocations SET expires_at = now() - interval '2 hours' WHERE scope = 'token'")
	fill(t, pool, 10, 2*time.Hour)

	tx := testkit.Value(pool.Begin(ctx))(t)
	testkit.Must(t, store.WithTx(tx).RevokeToken(ctx, token)) // extends it, and holds it
	result := testkit.Value(newSweeper(t, store).Sweep(ctx))(t)
	if result.Deleted[revoke.ScopeToken] != 10 || result.Total() != 30 {
		t.Errorf("Sweep = %+v, want all rows that are not held", result)
	}
	testkit.Must(t, tx.Commit(ctx))
	testkit.Value(newSweeper(t, store).Sweep(ctx))(t)
	testkit.WantError(t, store.Check(ctx, token), revoke.ErrRevoked)
}

// advisoryLock takes the lock 1 in a transaction, for triggers that wait for it.
func advisoryLock(tb testing.TB, pool *pgxpool.Pool) pgx.Tx {
	tb.Helper()
	holder := testkit.Value(pool.Begin(tb.Context()))(tb)
	testkit.Value(holder.Exec(tb.Context(), "SELECT pg_advisory_xact_lock(1)"))(tb)
	return holder
}

// beforeDelete runs a PL/pgSQL statement before each row is deleted.
func beforeDelete(tb testing.TB, pool *pgxpool.Pool, statement string) {
	tb.Helper()
	testkit.Exec(tb, pool, `CREATE FUNCTION before_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN `+statement+`; RETURN OLD; END $$`)
	testkit.Exec(tb, pool, "CREATE TRIGGER before_delete BEFORE DELETE ON revoke.revocations FOR EACH ROW EXECUTE FUNCTION before_delete()")
}

// TestSweepSeesExtension extends a row between the sweeper's snapshot and its look at the row.
func TestSweepSeesExtension(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := testkit.Store(t)
	token := testkit.Token()
	testkit.Must(t, store.RevokeToken(ctx, token))
	testkit.Exec(t, pool, "UPDATE revoke.revocations SET expires_at = now() - interval '2 hours' WHERE scope = 'token'")
	// The sweeper reads the expired version of the row, and is held up before it locks it: by
	// another row, which expired earlier and waits in its deletion.
	testkit.Exec(t, pool, `INSERT INTO revoke.revocations (key, since, expires_at, revoked_at, scope, issuer, id)
		VALUES (gen_random_uuid(), now(), now() - interval '3 hours', now(), 'token', 'gate', 'gate')`)
	beforeDelete(t, pool, "IF OLD.issuer = 'gate' THEN PERFORM pg_advisory_xact_lock(1); END IF")
	holder := advisoryLock(t, pool)

	swept := make(chan error, 1)
	go func() {
		_, err := newSweeper(t, store, revoke.WithBatchSize(1)).Sweep(ctx)
		swept <- err
	}()
	awaitLockWait(t, pool)
	testkit.Must(t, store.RevokeToken(ctx, token)) // while a sweep is under way
	testkit.Must(t, holder.Commit(ctx))
	testkit.Must(t, <-swept)
	testkit.WantError(t, store.Check(ctx, token), revoke.ErrRevoked)
	if n := rowCount(t, pool); n != 1 {
		t.Errorf("%d rows are left, want the one that was extended", n)
	}
}

// TestSweepCancelled ends ctx in the middle of a batch: that batch is done or undone as a whole,
// and those before it stand.
func TestSweepCancelled(t *testing.T) {
	t.Parallel()
	store, pool := testkit.Store(t)
	for i := range 50 { // in the order of their expiry
		testkit.Exec(t, pool, `INSERT INTO revoke.revocations (key, since, expires_at, revoked_at, scope, issuer, id)
			VALUES (gen_random_uuid(), now(), now() - make_interval(hours => 3, secs => -$1::int), now(), 'token', 'issuer', $1::int::text)`, i)
	}
	beforeDelete(t, pool, "IF OLD.id = '25' THEN PERFORM pg_advisory_xact_lock(1); END IF")
	holder := advisoryLock(t, pool)

	ctx, cancel := context.WithCancel(t.Context())
	type outcome struct {
		result revoke.SweepEvent
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		result, err := newSweeper(t, store, revoke.WithBatchSize(10)).Sweep(ctx)
		done <- outcome{result, err}
	}()
	awaitLockWait(t, pool)
	cancel()
	got := <-done
	testkit.Must(t, holder.Rollback(t.Context()))
	testkit.WantError(t, got.err, revoke.ErrUnavailable)
	if !errors.Is(got.err, context.Canceled) || got.result.Total() != 20 {
		t.Errorf("Sweep = %+v, %v, want two batches of ten and the cause", got.result, got.err)
	}
	// The COMMIT is on its way already: it comes first, or the cancellation does. Until then the
	// rows are passed over.
	var later int64
	testkit.Eventually(t, "the rest is swept", func() bool {
		later += testkit.Value(newSweeper(t, store).Sweep(t.Context()))(t).Total()
		return rowCount(t, pool) == 0
	})
	if later != 30 && later != 20 {
		t.Errorf("%d rows were swept later, want all of the batch that was cut short or none", later)
	}
}

// TestSweepUnderStatementTimeout has an administrator allow less time than a batch takes: the
// sweep goes on in smaller ones. A sweep that gave up would let the table grow for ever.
func TestSweepUnderStatementTimeout(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	fill(t, admin, 24, 2*time.Hour)
	// Each row takes some 4 ms, so that 72 of them do not fit in the timeout and a few do.
	beforeDelete(t, admin, "PERFORM pg_sleep(0.004)")
	pool := pgserver.Pool(t, address, func(c *pgxpool.Config) {
		c.MaxConns = 1
		c.ConnConfig.RuntimeParams["statement_timeout"] = "150ms"
	})
	result := testkit.Value(newSweeper(t, testkit.OpenStore(t, pool)).Sweep(t.Context()))(t)
	if result.Total() != 72 || result.Batches < 4 {
		t.Errorf("Sweep = %+v, want all 72 rows in several batches", result)
	}
	if got := testkit.QueryOne[string](t, pool, "SHOW statement_timeout"); got != "150ms" {
		t.Errorf("the session is left with a statement_timeout of %s", got)
	}
}

// TestSweepBatchTimeout bounds a batch where no administrator does.
func TestSweepBatchTimeout(t *testing.T) {
	t.Parallel()
	store, pool := testkit.Store(t)
	fill(t, pool, 11, 2*time.Hour)
	beforeDelete(t, pool, "PERFORM pg_sleep(0.01)")
	result := testkit.Value(newSweeper(t, store, revoke.WithBatchTimeout(150*time.Millisecond)).Sweep(t.Context()))(t)
	if result.Total() != 33 || result.Batches < 4 {
		t.Errorf("Sweep = %+v, want all 33 rows in several batches", result)
	}
}

// sweepReports is a hook that sends each pass on.
type sweepReports chan revoke.SweepEvent

func (c sweepReports) OnSweep(_ context.Context, event revoke.SweepEvent) { c <- event }

// TestRun sweeps at once, again at intervals, goes on after an error, and ends with ctx.
func TestRun(t *testing.T) {
	t.Parallel()
	reports := make(sweepReports)
	store, pool := testkit.Store(t, revoke.WithHook(reports))
	fill(t, pool, 10, 2*time.Hour)
	// The first pass deletes two batches, and fails in the third.
	beforeDelete(t, pool, "IF OLD.scope = 'user' AND EXISTS (SELECT FROM pg_class WHERE relname = 'fail') THEN RAISE 'fail'; END IF")
	testkit.Exec(t, pool, "CREATE TABLE fail ()")
	testkit.Exec(t, pool, "UPDATE revoke.revocations SET expires_at = expires_at + interval '1 minute' WHERE scope = 'user'")
	ctx, cancel := context.WithCancel(t.Context())
	sweeper := newSweeper(t, store, revoke.WithInterval(time.Millisecond), revoke.WithBatchSize(10))
	ended := make(chan error, 1)
	go func() { ended <- sweeper.Run(ctx) }()

	first := <-reports
	testkit.WantError(t, first.Err, revoke.ErrUnavailable)
	if first.Total() != 20 {
		t.Errorf("the first pass = %+v, want the rows that were deleted before the error", first)
	}
	testkit.Exec(t, pool, "DROP TABLE fail")
	var users int64
	testkit.Eventually(t, "a pass without an error", func() bool {
		r := <-reports
		users += r.Deleted[revoke.ScopeUser]
		return r.Err == nil
	})
	if users != 10 {
		t.Errorf("%d users were swept, want 10", users)
	}
	cancel()
	drained := make(chan struct{})
	go func() { // a report may be under way
		defer close(drained)
		for range reports {
		}
	}()
	testkit.Must(t, <-ended)
	close(reports)
	<-drained
	testkit.Must(t, sweeper.Run(ctx)) // with a ctx that has ended it returns at once
}

func TestNewSweeperRefuses(t *testing.T) {
	t.Parallel()
	store, _ := testkit.Store(t)
	for _, row := range []struct {
		name  string
		store *revoke.Postgres
		opt   revoke.SweeperOption
		want  string
	}{
		{"no store", nil, revoke.WithInterval(time.Second), "store is nil"},
		{"a margin below the minimum", store, revoke.WithMargin(revoke.DefaultMargin - 1), fmt.Sprintf("less than %v", revoke.DefaultMargin)},
		{"no interval", store, revoke.WithInterval(0), "interval 0s"},
		{"no batch size", store, revoke.WithBatchSize(0), "batch size 0"},
		{"no batch timeout", store, revoke.WithBatchTimeout(0), "batch timeout 0s"},
		{"a batch size above the maximum", store, revoke.WithBatchSize(revoke.MaxSweepBatch + 1), "batch size 1000001"},
		{"a batch timeout above the maximum", store, revoke.WithBatchTimeout(revoke.MaxBatchTimeout + time.Millisecond), "batch timeout 1h0m0.001s"},
		{"a nil option", store, nil, "option is nil"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, err := revoke.NewSweeper(row.store, row.opt)
			wantConstructorError(t, "NewSweeper", err, row.want)
		})
	}
}

// TestSweepForgetsAnAttempt empties one scope between the two attempts of a batch: the first
// attempt has deleted its rows, but its commit has failed.
func TestSweepForgetsAnAttempt(t *testing.T) {
	t.Parallel()
	url := pgserver.Database(t)
	other := pgserver.Pool(t, url)
	attempts := 0
	pool := pgserver.Pool(t, url, func(c *pgxpool.Config) {
		c.PrepareConn = func(context.Context, *pgx.Conn) (bool, error) {
			if attempts++; attempts == 2 {
				testkit.Exec(t, other, "DELETE FROM revoke.revocations WHERE scope = 'user'")
			}
			return true, nil
		}
	})
	store := testkit.OpenStore(t, pool)
	fill(t, other, 3, 2*revoke.DefaultMargin)
	failFirstCommit(t, other)
	attempts = 0
	result := testkit.Value(newSweeper(t, store).Sweep(t.Context()))(t)
	want := map[revoke.Scope]int64{revoke.ScopeToken: 3, revoke.ScopeSession: 3}
	if !maps.Equal(result.Deleted, want) {
		t.Errorf("deleted %v, want %v", result.Deleted, want)
	}
}
