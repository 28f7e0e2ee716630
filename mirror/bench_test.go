package mirror

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// sizes are the numbers of revocations that benchmarks compare.
func sizes() []int {
	if testing.Short() {
		return []int{1_000, 1_000_000}
	}
	return []int{1_000, 1_000_000, 10_000_000}
}

// BenchmarkCheck asks a mirror of some size about a good token with all identifiers, from memory.
func BenchmarkCheck(b *testing.B) {
	for _, entries := range sizes() {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			store, pool := testkit.Store(b)
			fillTokens(b, pool, entries)
			start := time.Now()
			m := run(b, store)
			loaded := time.Since(start)
			tokens := make([]revoke.Token, 1024)
			for i := range tokens {
				tokens[i] = testkit.Token()
			}
			ctx := context.Background()
			before := m.Stats().Fallbacks
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if err := m.Check(ctx, tokens[i%len(tokens)]); err != nil {
					b.Fatal(err)
				}
				i++
			}
			stats := m.Stats()
			b.ReportMetric(loaded.Seconds(), "load-s")
			b.ReportMetric(float64(stats.Bytes)/float64(stats.Entries), "B/entry")
			b.ReportMetric(float64(stats.Fallbacks-before)/float64(b.N), "fallbacks/op")
		})
	}
}

// BenchmarkFind looks up the four keys of a good token: what a check costs where the
// keys are at hand.
func BenchmarkFind(b *testing.B) {
	for _, entries := range sizes() {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			m := testkit.Value(New(testkit.OpenStore(b, pgserver.Pool(b, "postgres://127.0.0.1:1/nowhere"))))(b)
			full := newTable(entries)
			for i := range entries {
				full.put(m.entryOf(row{key: rowKey{byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24)}, at: 1}))
			}
			keys := make([][len(scopes)]rowKey, 1024)
			for i := range keys {
				var v revoke.Verdict
				keys[i] = testkit.Value(v.OfToken(testkit.Token()))(b)
			}
			b.ReportAllocs()
			var v revoke.Verdict
			i := 0
			for b.Loop() {
				m.find(&v, full, &keys[i%len(keys)])
				i++
			}
		})
	}
}

// BenchmarkEnforced measures how long it takes until the last of some mirrors enforces
// a revocation: from the return of a write through one of them, which notifies the
// others; from a commit elsewhere, after which Wake notifies all; and from a commit
// without a notification, which the next poll finds. The writes come at random moments:
// one that follows another at once would always wait for the interval between two
// notifications, or between two polls.
func BenchmarkEnforced(b *testing.B) {
	for _, n := range []int{1, 10} {
		b.Run(fmt.Sprintf("mirrors=%d", n), func(b *testing.B) {
			address := pgserver.Database(b)
			mirrors := make([]*Mirror, n)
			for i := range mirrors {
				mirrors[i] = run(b, openStore(b, address))
			}
			outside := openStore(b, address)
			none := func(context.Context) error { return nil }
			for _, way := range []struct {
				name   string
				revoke revoke.Revoker
				notify func(context.Context) error
				pause  time.Duration // at most, before a write
			}{
				{"own", mirrors[0].Store(), none, 20 * time.Millisecond},
				{"wake", outside, mirrors[0].Wake, 20 * time.Millisecond},
				{"poll", outside, none, 250 * time.Millisecond},
			} {
				b.Run(way.name, func(b *testing.B) {
					var times []time.Duration
					for b.Loop() {
						<-time.After(rand.N(way.pause))
						token := testkit.Token()
						testkit.Must(b, way.revoke.RevokeToken(b.Context(), token))
						start := time.Now()
						testkit.Must(b, way.notify(b.Context()))
						for _, m := range mirrors {
							for m.Check(b.Context(), token) == nil {
								<-time.After(50 * time.Microsecond)
							}
						}
						times = append(times, time.Since(start))
					}
					slices.Sort(times)
					b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
					b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
				})
			}
		})
	}
}
