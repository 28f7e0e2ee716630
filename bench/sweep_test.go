package bench

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// fillTokens writes n revoked tokens that expire in this interval from now.
func fillTokens(b *testing.B, pool *pgxpool.Pool, n int, expiry string) {
	b.Helper()
	testkit.Exec(b, pool, `INSERT INTO revoke.revocations (key, since, expires_at, revoked_at, scope, issuer, id)
		SELECT gen_random_uuid(), now(), now() + $2::text::interval, now(), 'token', 'i', i::text FROM generate_series(1, $1::int) AS i`, n, expiry)
}

// latency returns the 99th percentile of a check, from a number of callers, while during runs.
func latency(b *testing.B, store *revoke.Postgres, callers int, during func()) time.Duration {
	b.Helper()
	ctx, stop := context.WithCancel(b.Context())
	var group sync.WaitGroup
	times, errs := make([][]time.Duration, callers), make([]error, callers)
	for caller := range callers {
		group.Go(func() {
			for ctx.Err() == nil {
				now := time.Now()
				token := newTokens(1)[0]
				token.IssuedAt = now
				if errs[caller] = store.Check(b.Context(), token); errs[caller] != nil {
					return
				}
				times[caller] = append(times[caller], time.Since(now))
				<-time.After(2 * time.Millisecond) // the rest of a request
			}
		})
	}
	during()
	stop()
	group.Wait()
	testkit.Must(b, errors.Join(errs...))
	all := slices.Concat(times...)
	slices.Sort(all)
	return all[len(all)*99/100]
}

// BenchmarkSweep sweeps two million rows, half of which have expired, while eight callers check.
func BenchmarkSweep(b *testing.B) {
	rows := 2 * size()
	for b.Loop() {
		store := newStore(b, pgserver.Database(b))
		fillTokens(b, store.Pool(), rows/2, "1 day")
		fillTokens(b, store.Pool(), rows/2, "-2 hours")
		testkit.Exec(b, store.Pool(), "VACUUM ANALYZE revoke.revocations")
		testkit.Exec(b, store.Pool(), "CHECKPOINT")
		sweeper, err := revoke.NewSweeper(store)
		testkit.Must(b, err)
		idle := latency(b, store, 8, func() { <-time.After(3 * time.Second) })
		var result revoke.SweepEvent
		busy := latency(b, store, 8, func() { result, err = sweeper.Sweep(b.Context()) })
		testkit.Must(b, err)
		swept := result.Total()
		if swept != int64(rows/2) || result.Deleted[revoke.ScopeToken] != swept {
			b.Errorf("swept %v, want %d tokens", result.Deleted, rows/2)
		}
		b.ReportMetric(float64(swept)/result.Duration.Seconds(), "rows/s")
		b.ReportMetric(float64(idle.Microseconds()), "idle-p99-µs")
		b.ReportMetric(float64(busy.Microseconds()), "busy-p99-µs")
		b.ReportMetric(float64(busy)/float64(idle), "busy/idle")
	}
}

// BenchmarkSteadyState inserts, sweeps and vacuums in ten cycles, and compares the size after
// the second and after the last.
func BenchmarkSteadyState(b *testing.B) {
	for b.Loop() {
		store := newStore(b, pgserver.Database(b))
		sweeper, err := revoke.NewSweeper(store)
		testkit.Must(b, err)
		var sizes []float64
		for range 10 {
			fillTokens(b, store.Pool(), size()/10, "-2 hours")
			_, err := sweeper.Sweep(b.Context())
			testkit.Must(b, err)
			testkit.Exec(b, store.Pool(), "VACUUM revoke.revocations")
			size := testkit.QueryOne[int64](b, store.Pool(), "SELECT pg_total_relation_size('revoke.revocations')")
			sizes = append(sizes, float64(size)/1e6)
		}
		b.ReportMetric(sizes[1], "MB-after-2")
		b.ReportMetric(sizes[9], "MB-after-10")
		b.ReportMetric(sizes[9]/sizes[1], "growth")
	}
}
