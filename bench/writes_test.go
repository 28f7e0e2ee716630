package bench

import (
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

var written atomic.Int64

// newTokens returns tokens that have not been revoked.
func newTokens(n int) []revoke.Token {
	tokens := make([]revoke.Token, n)
	expiresAt := time.Now().Add(time.Hour)
	for i := range tokens {
		tokens[i] = revoke.Token{Issuer: testkit.Issuer, ID: fmt.Sprint("written-", written.Add(1)), ExpiresAt: expiresAt}
	}
	return tokens
}

func newStore(b *testing.B, address string) *revoke.Postgres {
	b.Helper()
	return testkit.OpenStore(b, pgserver.Pool(b, address, func(c *pgxpool.Config) { c.MaxConns = 40 }))
}

// BenchmarkRevoke writes tokens one at a time, a hundred at a time, and ten thousand in one
// call. The last takes turns with COPY of the same rows into a table with the same indexes and
// trigger.
func BenchmarkRevoke(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprintf("tokens=%d", size), func(b *testing.B) {
			store := newStore(b, pgserver.Database(b))
			for b.Loop() {
				testkit.Must(b, store.RevokeTokens(b.Context(), newTokens(size)))
			}
			b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
	b.Run("tokens=10000", func(b *testing.B) {
		const size = 10_000
		store := newStore(b, pgserver.Database(b))
		pool := store.Pool()
		for _, sql := range []string{
			"CREATE TABLE copied (LIKE revoke.revocations INCLUDING ALL)",
			"CREATE TRIGGER set_xid BEFORE INSERT OR UPDATE ON copied FOR EACH ROW EXECUTE FUNCTION revoke.set_xid()",
		} {
			testkit.Exec(b, pool, sql)
		}
		var ours, floor time.Duration
		for b.Loop() {
			tokens := newTokens(size)
			start := time.Now()
			testkit.Must(b, store.RevokeTokens(b.Context(), tokens))
			ours += time.Since(start)
			start = time.Now()
			copyTokens(b, pool, tokens)
			floor += time.Since(start)
		}
		b.ReportMetric(float64(size*b.N)/ours.Seconds(), "tokens/s")
		b.ReportMetric(float64(floor)/float64(ours), "of-COPY")
	})
}

// newUsers returns users that have not been revoked.
func newUsers(n int) []revoke.User {
	users := make([]revoke.User, n)
	for i := range users {
		users[i] = revoke.User{Issuer: testkit.Issuer, Subject: fmt.Sprint("written-", written.Add(1))}
	}
	return users
}

// BenchmarkRevokeUsers revokes ten thousand users in one call: new ones, and the same again. They
// take turns with RevokeTokens of ten thousand.
func BenchmarkRevokeUsers(b *testing.B) {
	const size = 10_000
	store := newStore(b, pgserver.Database(b))
	timed := func(total *time.Duration, write func() error) {
		start := time.Now()
		testkit.Must(b, write())
		*total += time.Since(start)
	}
	var fresh, again, floor time.Duration
	for b.Loop() {
		tokens, users := newTokens(size), newUsers(size)
		timed(&floor, func() error { return store.RevokeTokens(b.Context(), tokens) })
		timed(&fresh, func() error { _, err := store.RevokeUsers(b.Context(), users); return err })
		timed(&again, func() error { _, err := store.RevokeUsers(b.Context(), users); return err })
	}
	b.ReportMetric(float64(size*b.N)/fresh.Seconds(), "users/s")
	b.ReportMetric(float64(fresh)/float64(floor), "of-RevokeTokens")
	b.ReportMetric(float64(again)/float64(floor), "again-of-RevokeTokens")
}

// copyTokens writes rows by COPY, which does not look whether they are there. Their keys are
// random, which costs nothing.
func copyTokens(b *testing.B, pool *pgxpool.Pool, tokens []revoke.Token) {
	b.Helper()
	now := time.Now()
	_, err := pool.CopyFrom(b.Context(), pgx.Identifier{"copied"},
		[]string{"key", "since", "expires_at", "revoked_at", "scope", "issuer", "id"},
		pgx.CopyFromSlice(len(tokens), func(i int) ([]any, error) {
			var key [16]byte
			_, _ = rand.Read(key[:]) // never fails
			return []any{uuid(key), now, tokens[i].ExpiresAt, now, string(revoke.ScopeToken), tokens[i].Issuer, tokens[i].ID}, nil
		}))
	testkit.Must(b, err)
}

// BenchmarkNotify has 32 writers revoke one token at a time, beside a mirror: through a store
// of their own, of which the mirror is not told, and through the mirror's store, which notifies
// other mirrors.
func BenchmarkNotify(b *testing.B) {
	const writers = 32
	n, turn := turns()
	n *= 3 // the difference is small
	address := pgserver.Database(b)
	store := newStore(b, address)
	told := startMirror(b, newStore(b, address)).Store()
	throughput := func(revoker revoke.Revoker) float64 {
		var done atomic.Int64
		var group sync.WaitGroup
		start := time.Now()
		for range writers {
			group.Go(func() {
				for time.Since(start) < turn {
					if err := revoker.RevokeToken(b.Context(), newTokens(1)[0]); err != nil {
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
		for range n { // in turns, because the machine is faster at one time than at another
			plain += throughput(store) / float64(n)
			telling += throughput(told) / float64(n)
		}
		b.ReportMetric(plain, "plain-writes/s")
		b.ReportMetric(telling, "telling-writes/s")
		b.ReportMetric(telling/plain, "of-plain")
	}
}
