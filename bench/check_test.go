package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
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

func TestMain(m *testing.M) { pgserver.Main(m) }

const (
	issuer = "https://issuer.example"
	rows   = 1_000_000
)

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// fillPostgres writes revoked tokens and epochs.
func fillPostgres(b *testing.B, pool *pgxpool.Pool, n int) {
	b.Helper()
	for _, insert := range []string{
		`INSERT INTO revoke.revoked_tokens (key, expires_at, revoked_at, issuer, jti)
			SELECT revoke.row_key('token', $2::text, 'token-' || i), now() + interval '1 hour', now(), $2::text, 'token-' || i FROM generate_series(1, $1::int) AS i`,
		`INSERT INTO revoke.user_epochs (key, not_before, expires_at, revoked_at, issuer, subject)
			SELECT revoke.row_key('user', $2::text, 'user-' || i), 'epoch', now() + interval '1 hour', now(), $2::text, 'user-' || i FROM generate_series(1, $1::int) AS i`,
		"VACUUM ANALYZE",
	} {
		args := []any{n, issuer}
		if insert == "VACUUM ANALYZE" {
			args = nil
		}
		_, err := pool.Exec(b.Context(), insert, args...)
		must(b, err)
	}
}

// BenchmarkCheck compares ways to ask whether a token is revoked, on a million revoked tokens and a million epochs, from some
// callers at once. The user has an epoch, and the token is good.
func BenchmarkCheck(b *testing.B) {
	pool := pgserver.Pool(b, pgserver.Database(b), func(c *pgxpool.Config) { c.MaxConns = 64 })
	fillPostgres(b, pool, rows)
	client := startRedis(b)
	fillRedis(b, client, rows)

	plain, err := revoke.NewPostgres(pool, revoke.WithCheckQueries(0))
	must(b, err)
	shared, err := revoke.NewPostgres(pool)
	must(b, err)
	m, err := mirror.New(shared)
	must(b, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- m.Run(ctx) }()
	b.Cleanup(func() { stop(); must(b, <-ended) })
	must(b, m.Ready(b.Context()))

	keys := make(map[string]pgtype.UUID, rows) // so that the floor need not compute them
	found, err := pool.Query(b.Context(), "SELECT subject, key FROM revoke.user_epochs")
	must(b, err)
	var subject string
	var key pgtype.UUID
	_, err = pgx.ForEachRow(found, []any{&subject, &key}, func() error { keys[subject] = key; return nil })
	must(b, err)

	now := time.Now()
	check := func(checker revoke.Checker) func(context.Context, string, string) error {
		return func(ctx context.Context, id, subject string) error {
			return checker.Check(ctx, revoke.Token{
				Issuer: issuer, ID: id, Subject: subject, SessionID: "session-" + subject,
				IssuedAt: now, ExpiresAt: now.Add(time.Hour),
			})
		}
	}
	for _, callers := range []int{1, 8, 32, 64, 256} {
		for _, way := range []struct {
			name string
			ask  func(ctx context.Context, id, subject string) error
		}{
			{"floor: SELECT 1", func(ctx context.Context, _, _ string) error {
				var one int
				return pool.QueryRow(ctx, "SELECT 1").Scan(&one)
			}},
			{"floor: SELECT by primary key", func(ctx context.Context, _, subject string) error {
				var at time.Time
				return pool.QueryRow(ctx, "SELECT not_before FROM revoke.user_epochs WHERE key = $1", keys[subject]).Scan(&at)
			}},
			{"Postgres, a query each", check(plain)},
			{"Postgres, shared queries", check(shared)},
			{"mirror", check(m)},
			{"go-redis, EXISTS then GET", existsThenGet(client)},
			{"go-redis, pipelined", pipelined(client)},
			{"go-redis, MGET", mget(client)},
		} {
			b.Run(fmt.Sprintf("callers=%d/%s", callers, tidy(way.name)), func(b *testing.B) { measure(b, callers, way.ask) })
		}
	}
}

// measure calls ask b.N times from some callers at once, and reports throughput and latencies.
func measure(b *testing.B, callers int, ask func(ctx context.Context, id, subject string) error) {
	b.Helper()
	var next atomic.Int64
	var group sync.WaitGroup
	times, errs := make([][]time.Duration, callers), make([]error, callers)
	ctx := b.Context()
	b.ResetTimer()
	for caller := range callers {
		prefix := rand.Text()
		group.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				subject := fmt.Sprint("user-", 1+n*7919%rows)
				start := time.Now()
				if err := ask(ctx, prefix+subject, subject); err != nil {
					errs[caller] = err
					return
				}
				times[caller] = append(times[caller], time.Since(start))
			}
		})
	}
	group.Wait()
	b.StopTimer()
	must(b, errors.Join(errs...))
	all := slices.Concat(times...)
	slices.Sort(all)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(all[len(all)/2].Nanoseconds())/1000, "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds())/1000, "p99-µs")
	b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "checks/s")
}
