package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/mirror"
)

var written atomic.Int64

// newTokens returns tokens that nobody has revoked.
func newTokens(n int) []revoke.Token {
	tokens := make([]revoke.Token, n)
	expiresAt := time.Now().Add(time.Hour)
	for i := range tokens {
		tokens[i] = revoke.Token{Issuer: issuer, ID: fmt.Sprint("written-", written.Add(1)), ExpiresAt: expiresAt}
	}
	return tokens
}

func newStore(b *testing.B, address string) *revoke.Postgres {
	b.Helper()
	store, err := revoke.NewPostgres(pgserver.Pool(b, address, func(c *pgxpool.Config) { c.MaxConns = 40 }))
	must(b, err)
	return store
}

// BenchmarkRevoke writes tokens one at a time, a hundred at a time, and ten thousand in one call; the last beside COPY of the same rows
// into a table with the same indexes and trigger, in turn.
func BenchmarkRevoke(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprintf("tokens=%d", size), func(b *testing.B) {
			store := newStore(b, pgserver.Database(b))
			for b.Loop() {
				must(b, store.RevokeTokens(b.Context(), newTokens(size)))
			}
			b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
	b.Run("tokens=10000", func(b *testing.B) {
		const size = 10_000
		store := newStore(b, pgserver.Database(b))
		pool := store.Pool()
		for _, sql := range []string{
			"CREATE TABLE copied (LIKE revoke.revoked_tokens INCLUDING ALL)",
			"CREATE TRIGGER set_xid BEFORE INSERT OR UPDATE ON copied FOR EACH ROW EXECUTE FUNCTION revoke.set_xid()",
		} {
			_, err := pool.Exec(b.Context(), sql)
			must(b, err)
		}
		var ours, floor time.Duration
		for b.Loop() {
			tokens := newTokens(size)
			start := time.Now()
			must(b, store.RevokeTokens(b.Context(), tokens))
			ours += time.Since(start)
			start = time.Now()
			copyTokens(b, pool, tokens)
			floor += time.Since(start)
		}
		b.ReportMetric(float64(size*b.N)/ours.Seconds(), "tokens/s")
		b.ReportMetric(float64(floor)/float64(ours), "of-COPY")
	})
}

// copyTokens writes rows without looking whether they are there, with keys at random, which cost nothing.
func copyTokens(b *testing.B, pool *pgxpool.Pool, tokens []revoke.Token) {
	b.Helper()
	now := time.Now()
	_, err := pool.CopyFrom(b.Context(), pgx.Identifier{"copied"},
		[]string{"key", "issuer", "jti", "expires_at", "revoked_at"},
		pgx.CopyFromSlice(len(tokens), func(i int) ([]any, error) {
			return []any{pgtype.UUID{Bytes: newUUID(), Valid: true}, tokens[i].Issuer, tokens[i].ID, tokens[i].ExpiresAt, now}, nil
		}))
	must(b, err)
}

// BenchmarkNotify has 32 writers revoke one token at a time: with nobody who listens, with a mirror that is not told, and through
// a mirror's store, which tells the others.
func BenchmarkNotify(b *testing.B) {
	const writers = 32
	n, turn := turns()
	n *= 3 // the difference is small
	address := pgserver.Database(b)
	store := newStore(b, address)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	m, err := mirror.New(newStore(b, address))
	must(b, err)
	go func() { ended <- m.Run(ctx) }()
	b.Cleanup(func() { stop(); must(b, <-ended) })
	must(b, m.Ready(b.Context()))
	told := m.Store()
	throughput := func(revoker revoke.Revoker) float64 {
		var done atomic.Int64
		var group sync.WaitGroup
		start := time.Now()
		for range writers {
			group.Go(func() {
				for time.Since(start) < turn {
					if err := revoker.RevokeToken(ctx, newTokens(1)[0]); err != nil {
						b.Error(err)
						return
					}
					done.Add(1)
				}
			})
		}
		group.Wait()
		return float64(done.Load()) / time.Since(start).Seconds()
	}
	for b.Loop() {
		var plain, telling float64
		for range n { // in turn, since a machine is faster at one time than at another
			plain += throughput(store) / float64(n)
			telling += throughput(told) / float64(n)
		}
		b.ReportMetric(plain, "plain-writes/s")
		b.ReportMetric(telling, "telling-writes/s")
		b.ReportMetric(telling/plain, "of-plain")
	}
}
