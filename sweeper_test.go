package revoke_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
)

// fill writes rows into each table that expired at the given distance from the database's clock.
func fill(tb testing.TB, pool *pgxpool.Pool, rows int, sinceExpiry time.Duration) {
	tb.Helper()
	for _, insert := range []string{
		"revoked_tokens (key, expires_at, revoked_at, issuer, jti)",
		"sessions (key, expires_at, revoked_at, issuer, sid)",
		"user_epochs (key, expires_at, revoked_at, issuer, subject, not_before)",
	} {
		extra := ""
		if strings.Contains(insert, "not_before") {
			extra = ", clock_timestamp()"
		}
		mustExec(tb, pool, "INSERT INTO revoke."+insert+` SELECT gen_random_uuid(),
			clock_timestamp() - make_interval(secs => $2), clock_timestamp(), 'issuer', i::text`+extra+
			" FROM generate_series(1, $1::int) AS i", rows, sinceExpiry.Seconds())
	}
}

// rowCount returns how many rows the three tables have together.
func rowCount(tb testing.TB, pool *pgxpool.Pool) int {
	tb.Helper()
	return queryOne[int](tb, pool, `SELECT (SELECT count(*) FROM revoke.revoked_tokens)
		+ (SELECT count(*) FROM revoke.sessions) + (SELECT count(*) FROM revoke.user_epochs)`)
}

func newSweeper(tb testing.TB, store *revoke.Postgres, opts ...revoke.SweeperOption) *revoke.Sweeper {
	tb.Helper()
	sweeper, err := revoke.NewSweeper(store, opts...)
	must(tb, err)
	return sweeper
}

// TestSweepKeepsTheMargin deletes what has expired for longer than the margin, and nothing else.
func TestSweepKeepsTheMargin(t *testing.T) {
	t.Parallel()
	for _, margin := range []time.Duration{revoke.RetentionMargin, 2 * revoke.RetentionMargin} {
		t.Run(margin.String(), func(t *testing.T) {
			t.Parallel()
			store, pool := newStore(t)
			fill(t, pool, 3, -time.Hour)            // not expired
			fill(t, pool, 5, revoke.MaxLeeway)      // a lax validator still accepts
			fill(t, pool, 7, margin-10*time.Second) // at the margin
			fill(t, pool, 11, margin+time.Second)   // past it
			fill(t, pool, 13, 400*24*time.Hour)     // long past it
			sweeper := newSweeper(t, store, revoke.WithMargin(margin), revoke.WithBatchSize(4))
			result, err := sweeper.Sweep(t.Context())
			must(t, err)
			if result.Tokens != 24 || result.Sessions != 24 || result.Epochs != 24 || result.Batches != 21 || result.Duration <= 0 {
				t.Errorf("Sweep = %+v, want 24 of each in 21 batches", result)
			}
			if n := rowCount(t, pool); n != 3*(3+5+7) {
				t.Errorf("%d rows are left, want %d", n, 3*(3+5+7))
			}
			again, err := sweeper.Sweep(t.Context())
			must(t, err)
			if again.Tokens+again.Sessions+again.Epochs != 0 {
				t.Errorf("a second Sweep = %+v", again)
			}
		})
	}
}

// TestSweptTokensStayDead sweeps the rows of tokens that a validator with the greatest leeway accepts or has just ceased to.
func TestSweptTokensStayDead(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := newStore(t)
	sweeper := newSweeper(t, store)
	for _, expired := range []time.Duration{0, time.Minute, revoke.MaxLeeway - 5*time.Second, revoke.MaxLeeway + time.Second, revoke.RetentionMargin + time.Minute} {
		token := newToken()
		must(t, store.RevokeToken(ctx, token))
		token.ExpiresAt = time.Now().Add(-expired)
		token.IssuedAt = token.ExpiresAt.Add(-time.Hour)
		mustExec(t, pool, "UPDATE revoke.revoked_tokens SET expires_at = $2 WHERE jti = $1", token.ID, token.ExpiresAt)
		_, err := sweeper.Sweep(ctx)
		must(t, err)
		if err := store.Check(ctx, token); err == nil {
			t.Errorf("a revoked token that expired %v ago is accepted", expired)
		}
	}
}

// TestSweepLarge sweeps a hundred thousand rows of each kind.
func TestSweepLarge(t *testing.T) {
	t.Parallel()
	store, pool := newStore(t)
	fill(t, pool, 100_000, 2*time.Hour)
	fill(t, pool, 100, -time.Hour)
	result, err := newSweeper(t, store).Sweep(t.Context())
	must(t, err)
	if result.Tokens != 100_000 || result.Sessions != 100_000 || result.Epochs != 100_000 {
		t.Errorf("Sweep = %+v", result)
	}
	if n := rowCount(t, pool); n != 300 {
		t.Errorf("%d rows are left, want 300", n)
	}
	t.Logf("300,000 rows in %v, %.0f rows/s", result.Duration, 300_000/result.Duration.Seconds())
}

// TestTwoSweepers run on the same rows at once: each row is deleted by one of them, and neither waits or fails.
func TestTwoSweepers(t *testing.T) {
	t.Parallel()
	store, pool := newStore(t)
	fill(t, pool, 20_000, 2*time.Hour)
	sweeper := newSweeper(t, store, revoke.WithBatchSize(500))
	var group sync.WaitGroup
	results, errs := make([]revoke.SweepResult, 3), make([]error, 3)
	for i := range results {
		group.Go(func() { results[i], errs[i] = sweeper.Sweep(t.Context()) })
	}
	group.Wait()
	must(t, errors.Join(errs...))
	var deleted int64
	for _, r := range results {
		deleted += r.Tokens + r.Sessions + r.Epochs
	}
	// Rows that another held were skipped, so that the last of them may be left to the next pass.
	rest, err := sweeper.Sweep(t.Context())
	must(t, err)
	if deleted += rest.Tokens + rest.Sessions + rest.Epochs; deleted != 60_000 {
		t.Errorf("%d rows were counted as deleted, want 60,000", deleted)
	}
	if n := rowCount(t, pool); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// TestSweepSkipsLocked goes round a row that somebody writes, and never makes them wait.
func TestSweepSkipsLocked(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := newStore(t)
	token := newToken()
	must(t, store.RevokeToken(ctx, token))
	mustExec(t, pool, "UPDATE revoke.revoked_tokens SET expires_at = now() - interval '2 hours'")
	fill(t, pool, 10, 2*time.Hour)

	tx, err := pool.Begin(ctx)
	must(t, err)
	must(t, store.WithTx(tx).RevokeToken(ctx, token)) // extends it, and holds it
	result, err := newSweeper(t, store).Sweep(ctx)
	must(t, err)
	if result.Tokens != 10 {
		t.Errorf("Sweep = %+v, want the ten that nobody holds", result)
	}
	must(t, tx.Commit(ctx))
	_, err = newSweeper(t, store).Sweep(ctx)
	must(t, err)
	wantError(t, store.Check(ctx, token), revoke.ErrRevoked)
}

// TestSweepSeesExtension extends a row between the sweeper's snapshot and its look at the row.
func TestSweepSeesExtension(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := newStore(t)
	token := newToken()
	must(t, store.RevokeToken(ctx, token))
	mustExec(t, pool, "UPDATE revoke.revoked_tokens SET expires_at = now() - interval '2 hours'")
	// The sweeper reads the expired version of the row, and is held up in its WHERE before it locks it: by another row,
	// which sorts before and whose deletion waits.
	mustExec(t, pool, `INSERT INTO revoke.revoked_tokens (key, expires_at, revoked_at, issuer, jti)
		VALUES (gen_random_uuid(), now() - interval '3 hours', now(), 'gate', 'gate')`)
	mustExec(t, pool, `CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN IF OLD.issuer = 'gate' THEN PERFORM pg_advisory_xact_lock(1); END IF; RETURN OLD; END $$`)
	mustExec(t, pool, "CREATE TRIGGER gate BEFORE DELETE ON revoke.revoked_tokens FOR EACH ROW EXECUTE FUNCTION gate()")
	holder, err := pool.Begin(ctx)
	must(t, err)
	_, err = holder.Exec(ctx, "SELECT pg_advisory_xact_lock(1)")
	must(t, err)

	swept := make(chan error, 1)
	go func() {
		_, err := newSweeper(t, store, revoke.WithBatchSize(1)).Sweep(ctx)
		swept <- err
	}()
	awaitLockWait(t, pool)
	must(t, store.RevokeToken(ctx, token)) // the same token, whose expiry is known now, comes while a sweep is under way
	must(t, holder.Commit(ctx))
	must(t, <-swept)
	wantError(t, store.Check(ctx, token), revoke.ErrRevoked)
	if n := queryOne[int](t, pool, "SELECT count(*) FROM revoke.revoked_tokens"); n != 1 {
		t.Errorf("%d rows are left, want the one that was extended", n)
	}
}

// TestSweepCancelled ends ctx in the middle of a batch: that batch is done or undone as a whole, and those before it stand.
func TestSweepCancelled(t *testing.T) {
	t.Parallel()
	store, pool := newStore(t)
	fill(t, pool, 50, 2*time.Hour)
	mustExec(t, pool, `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN IF OLD.issuer || OLD.jti = 'issuer25' THEN PERFORM pg_advisory_xact_lock(1); END IF; RETURN OLD; END $$`)
	mustExec(t, pool, "CREATE TRIGGER slow BEFORE DELETE ON revoke.revoked_tokens FOR EACH ROW EXECUTE FUNCTION slow()")
	holder, err := pool.Begin(t.Context())
	must(t, err)
	_, err = holder.Exec(t.Context(), "SELECT pg_advisory_xact_lock(1)")
	must(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	type outcome struct {
		result revoke.SweepResult
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
	must(t, holder.Rollback(t.Context()))
	wantError(t, got.err, revoke.ErrUnavailable)
	if !errors.Is(got.err, context.Canceled) || got.result.Tokens != 20 {
		t.Errorf("Sweep = %+v, %v, want two batches of ten and the cause", got.result, got.err)
	}
	// The COMMIT is on its way already: it comes first, or the cancellation does. Until then the rows are passed over.
	var later int64
	eventually(t, "the rest is swept", func() bool {
		result, err := newSweeper(t, store).Sweep(t.Context())
		must(t, err)
		later += result.Tokens
		return queryOne[int](t, pool, "SELECT count(*) FROM revoke.revoked_tokens") == 0
	})
	if later != 30 && later != 20 {
		t.Errorf("%d rows were swept later, want all of the batch that was cut short or none", later)
	}
}

// TestSweepUnderStatementTimeout has an administrator allow less time than a batch takes: it goes on in smaller ones. A
// sweep that gave up would let the tables grow for ever.
func TestSweepUnderStatementTimeout(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	fill(t, admin, 64, 2*time.Hour)
	// Each row takes some 4 ms, so that 64 of them do not fit in the timeout and a few do.
	mustExec(t, admin, `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN PERFORM pg_sleep(0.004); RETURN OLD; END $$`)
	mustExec(t, admin, "CREATE TRIGGER slow BEFORE DELETE ON revoke.revoked_tokens FOR EACH ROW EXECUTE FUNCTION slow()")
	pool := pgserver.Pool(t, address, func(c *pgxpool.Config) {
		c.MaxConns = 1
		c.ConnConfig.RuntimeParams["statement_timeout"] = "150ms"
	})
	result, err := newSweeper(t, openStore(t, pool)).Sweep(t.Context())
	must(t, err)
	if result.Tokens != 64 || result.Batches < 4 {
		t.Errorf("Sweep = %+v, want all 64 rows in several batches", result)
	}
	if got := queryOne[string](t, pool, "SHOW statement_timeout"); got != "150ms" {
		t.Errorf("the session is left with a statement_timeout of %s", got)
	}
}

// TestSweepBatchTimeout bounds a batch where no administrator does.
func TestSweepBatchTimeout(t *testing.T) {
	t.Parallel()
	store, pool := newStore(t)
	fill(t, pool, 32, 2*time.Hour)
	mustExec(t, pool, `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN PERFORM pg_sleep(0.01); RETURN OLD; END $$`)
	mustExec(t, pool, "CREATE TRIGGER slow BEFORE DELETE ON revoke.sessions FOR EACH ROW EXECUTE FUNCTION slow()")
	result, err := newSweeper(t, store, revoke.WithBatchTimeout(150*time.Millisecond)).Sweep(t.Context())
	must(t, err)
	if result.Sessions != 32 || result.Batches < 5 {
		t.Errorf("Sweep = %+v, want all 32 sessions in several batches", result)
	}
}

// TestRun sweeps at once, again at intervals, goes on after an error, and ends with ctx.
func TestRun(t *testing.T) {
	t.Parallel()
	store, pool := newStore(t)
	fill(t, pool, 10, 2*time.Hour)
	mustExec(t, pool, "ALTER TABLE revoke.sessions RENAME TO elsewhere")
	type report struct {
		result revoke.SweepResult
		err    error
	}
	reports := make(chan report)
	ctx, cancel := context.WithCancel(t.Context())
	sweeper := newSweeper(t, store, revoke.WithInterval(time.Millisecond),
		revoke.WithReport(func(result revoke.SweepResult, err error) { reports <- report{result, err} }))
	ended := make(chan error, 1)
	go func() { ended <- sweeper.Run(ctx) }()

	first := <-reports
	wantError(t, first.err, revoke.ErrUnavailable)
	if first.result.Tokens != 10 {
		t.Errorf("the first pass = %+v, want what was deleted before the error", first.result)
	}
	mustExec(t, pool, "ALTER TABLE revoke.elsewhere RENAME TO sessions")
	var sessions int64
	eventually(t, "a pass without an error", func() bool {
		r := <-reports
		sessions += r.result.Sessions
		return r.err == nil
	})
	if sessions != 10 {
		t.Errorf("%d sessions were swept, want 10", sessions)
	}
	cancel()
	go func() { // a report may be under way
		for range reports {
		}
	}()
	must(t, <-ended)
	close(reports)
	must(t, sweeper.Run(ctx)) // with a ctx that has ended it returns at once
}

// TestSweeperOptions reads the errors of wrong options.
func TestSweeperOptions(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	if _, err := revoke.NewSweeper(nil); err == nil {
		t.Error("a nil store is accepted")
	}
	for want, opt := range map[string]revoke.SweeperOption{
		fmt.Sprintf("less than %v", revoke.RetentionMargin): revoke.WithMargin(revoke.RetentionMargin - 1),
		"interval 0s":              revoke.WithInterval(0),
		"batch size 0":             revoke.WithBatchSize(0),
		"batch timeout 0s":         revoke.WithBatchTimeout(0),
		"batch size 1000001":       revoke.WithBatchSize(revoke.MaxSweepBatch + 1),
		"batch timeout 1h0m0.001s": revoke.WithBatchTimeout(revoke.MaxBatchTimeout + time.Millisecond),
		"report is nil":            revoke.WithReport(nil),
		"option is nil":            nil,
	} {
		_, err := revoke.NewSweeper(store, opt)
		if err == nil || !strings.HasPrefix(err.Error(), "revoke: NewSweeper: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("NewSweeper = %v, want an error about %s", err, want)
		}
	}
}
