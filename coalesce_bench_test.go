package revoke_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
)

// BenchmarkCheckConcurrent compares checks that share queries with checks that have one each, from a number of callers at
// once. The pool has sixteen connections, and the tables a hundred thousand rows each.
func BenchmarkCheckConcurrent(b *testing.B) {
	pool := pgserver.Pool(b, pgserver.Database(b), func(c *pgxpool.Config) { c.MaxConns = 16 })
	fill(b, pool, 100_000, -time.Hour)
	mustExec(b, pool, "VACUUM ANALYZE")
	for _, callers := range []int{1, 2, 8, 32, 64, 256} {
		for _, queries := range []int{0, 1, 2, 3} {
			b.Run(fmt.Sprintf("callers=%d/queries=%d", callers, queries), func(b *testing.B) {
				store := openStore(b, pool, revoke.WithCheckQueries(queries))
				var next atomic.Int64
				var group sync.WaitGroup
				times := make([][]time.Duration, callers)
				b.ReportAllocs()
				b.ResetTimer()
				for caller := range callers {
					token := newToken()
					group.Go(func() {
						for next.Add(1) <= int64(b.N) {
							start := time.Now()
							if err := store.Check(b.Context(), token); err != nil {
								b.Error(err)
								return
							}
							times[caller] = append(times[caller], time.Since(start))
						}
					})
				}
				group.Wait()
				b.StopTimer()
				all := slices.Concat(times...)
				slices.Sort(all)
				b.ReportMetric(float64(all[len(all)/2].Nanoseconds())/1000, "p50-µs")
				b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds())/1000, "p99-µs")
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "checks/s")
			})
		}
	}
}
