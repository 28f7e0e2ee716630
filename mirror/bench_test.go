package mirror_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/mirror"
)

// fillTokens revokes that many tokens.
func fillTokens(tb testing.TB, pool *pgxpool.Pool, n int) {
	tb.Helper()
	mustExec(tb, pool, `INSERT INTO revoke.revoked_tokens (key, expires_at, revoked_at, issuer, jti)
		SELECT gen_random_uuid(), now() + interval '1 hour', now(), 'https://issuer.example', 'token-' || i FROM generate_series(1, $1::int) AS i`, n)
}

// BenchmarkCheck asks a mirror of some size about a good token, with all its identifiers, from memory.
func BenchmarkCheck(b *testing.B) {
	sizes := []int{1_000, 1_000_000, 10_000_000}
	if testing.Short() {
		sizes = sizes[:2]
	}
	for _, entries := range sizes {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			store := newStore(b, pgserver.Database(b))
			fillTokens(b, store.Pool(), entries)
			start := time.Now()
			m := run(b, store)
			loaded := time.Since(start)
			tokens := make([]revoke.Token, 1024)
			for i := range tokens {
				tokens[i] = newToken()
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

// BenchmarkEnforced measures how long it takes until a revocation is enforced by the last of some mirrors: from the return of a
// write through one of them, which tells the others; from a commit elsewhere, after which Wake tells all; and from a commit that
// nobody tells of, so that the next poll finds it. The writes come at random moments: one that follows another at once would
// always wait for the interval between two notifications, or between two polls.
func BenchmarkEnforced(b *testing.B) {
	for _, n := range []int{1, 10} {
		b.Run(fmt.Sprintf("mirrors=%d", n), func(b *testing.B) {
			address := pgserver.Database(b)
			mirrors := make([]*mirror.Mirror, n)
			for i := range mirrors {
				mirrors[i] = run(b, newStore(b, address))
			}
			outside := newStore(b, address)
			none := func(context.Context) error { return nil }
			for _, way := range []struct {
				name   string
				revoke revoke.Revoker
				tell   func(context.Context) error
				pause  time.Duration // at most, before a write
			}{
				{"own", mirrors[0].Store(), none, 20 * time.Millisecond},
				{"wake", outside, mirrors[0].Wake, 20 * time.Millisecond},
				{"untold", outside, none, 250 * time.Millisecond},
			} {
				b.Run(way.name, func(b *testing.B) {
					var times []time.Duration
					for b.Loop() {
						<-time.After(rand.N(way.pause))
						token := newToken()
						must(b, way.revoke.RevokeToken(b.Context(), token))
						start := time.Now()
						must(b, way.tell(b.Context()))
						for _, m := range mirrors {
							for m.Check(b.Context(), token) == nil {
								pause()
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

// pause lets others run for a moment, between two looks at a mirror.
func pause() { <-time.After(50 * time.Microsecond) }
