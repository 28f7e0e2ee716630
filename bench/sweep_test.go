package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
)

func newUUID() (key [16]byte) {
	_, _ = rand.Read(key[:]) // never fails
	return key
}

func fillTokens(b *testing.B, pool *pgxpool.Pool, n int, expiry string) {
	b.Helper()
	_, err := pool.Exec(b.Context(), `INSERT INTO revoke.revoked_tokens (key, expires_at, revoked_at, issuer, jti)
		SELECT gen_random_uuid(), now() + $2::text::interval, now(), 'i', i::text FROM generate_series(1, $1::int) AS i`, n, expiry)
	must(b, err)
}

// latency returns the 99th percentile of checks of some callers while during runs.
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
				<-time.After(2 * time.Millisecond) // as a service that has something else to do
			}
		})
	}
	during()
	stop()
	group.Wait()
	must(b, errors.Join(errs...))
	all := slices.Concat(times...)
	slices.Sort(all)
	return all[len(all)*99/100]
}

// BenchmarkSweep sweeps five million rows, of which half have expired, beside eight callers who check.
func BenchmarkSweep(b *testing.B) {
	rows := 5 * size()
	for b.Loop() {
		store := newStore(b, pgserver.Database(b))
		fillTokens(b, store.Pool(), rows/2, "1 day")
		fillTokens(b, store.Pool(), rows/2, "-2 hours")
		_, err := store.Pool().Exec(b.Context(), "VACUUM ANALYZE revoke.revoked_tokens")
		must(b, err)
		_, err = store.Pool().Exec(b.Context(), "CHECKPOINT")
		must(b, err)
		sweeper, err := revoke.NewSweeper(store)
		must(b, err)
		idle := latency(b, store, 8, func() { <-time.After(3 * time.Second) })
		var result revoke.SweepResult
		busy := latency(b, store, 8, func() { result, err = sweeper.Sweep(b.Context()) })
		must(b, err)
		if result.Tokens != int64(rows/2) {
			b.Errorf("%d rows were swept", result.Tokens)
		}
		b.ReportMetric(float64(result.Tokens)/result.Duration.Seconds(), "rows/s")
		b.ReportMetric(float64(idle.Microseconds()), "idle-p99-µs")
		b.ReportMetric(float64(busy.Microseconds()), "busy-p99-µs")
		b.ReportMetric(float64(busy)/float64(idle), "busy/idle")
	}
}

// BenchmarkSteadyState inserts, sweeps and vacuums in ten cycles, and compares the size after the second and after the last.
func BenchmarkSteadyState(b *testing.B) {
	for b.Loop() {
		store := newStore(b, pgserver.Database(b))
		sweeper, err := revoke.NewSweeper(store)
		must(b, err)
		var sizes []float64
		for range 10 {
			fillTokens(b, store.Pool(), size()/5, "-2 hours")
			_, err := sweeper.Sweep(b.Context())
			must(b, err)
			_, err = store.Pool().Exec(b.Context(), "VACUUM revoke.revoked_tokens")
			must(b, err)
			var size int64
			must(b, store.Pool().QueryRow(b.Context(), "SELECT pg_total_relation_size('revoke.revoked_tokens')").Scan(&size))
			sizes = append(sizes, float64(size)/1e6)
		}
		b.ReportMetric(sizes[1], "MB-after-2")
		b.ReportMetric(sizes[9], "MB-after-10")
		b.ReportMetric(sizes[9]/sizes[1], "growth")
	}
}
