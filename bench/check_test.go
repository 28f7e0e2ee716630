package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/mirror"
)

// BenchmarkCheck compares ways to ask whether a token is revoked, on a million revoked tokens and a million epochs, from some
// callers at once. The token is good and its user has an epoch. Where nothing else is said a Redis is asked about the token and
// the user; Postgres is always asked about the session and the issuer too.
func BenchmarkCheck(b *testing.B) {
	pool := pgserver.Pool(b, pgserver.Database(b), func(c *pgxpool.Config) { c.MaxConns = connections })
	fillPostgres(b, pool, size())
	socket := startRedis(b)
	client := newGoRedis(b, socket)
	fillRedis(b, client, size())
	requests := newRequests(b, pool)
	plain, err := revoke.NewPostgres(pool, revoke.WithCheckQueries(0))
	must(b, err)
	shared, err := revoke.NewPostgres(pool)
	must(b, err)
	m := startMirror(b, shared)

	ways := []way{
		{"nothing", func(context.Context, *request) error { return nil }},
		{"SELECT 1", func(ctx context.Context, _ *request) error {
			var one int
			return pool.QueryRow(ctx, "SELECT 1").Scan(&one)
		}},
		{"one primary key", func(ctx context.Context, r *request) error {
			var at time.Time
			return pool.QueryRow(ctx, "SELECT not_before FROM revoke.user_epochs WHERE key = $1", r.key).Scan(&at)
		}},
		{"Postgres plain", check(plain)},
		{"Postgres coalesced", check(shared)},
		{"mirror", check(m)},
		{"go-redis EXISTS GET", existsThenGet(client)},
		{"go-redis pipelined", pipelined(client)},
		{"go-redis MGET", mget(client)},
		{"go-redis MGET of 4", mgetAll(client)},
	}
	for _, callers := range []int{1, 8, 32, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { compare(b, callers, requests, ways...) })
	}
}

// connections is how many each client may open.
const connections = 64

func check(checker revoke.Checker) func(context.Context, *request) error {
	return func(ctx context.Context, r *request) error { return checker.Check(ctx, r.token) }
}

// startMirror returns a mirror that has loaded everything.
func startMirror(b *testing.B, store *revoke.Postgres) *mirror.Mirror {
	b.Helper()
	m, err := mirror.New(store)
	must(b, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- m.Run(ctx) }()
	b.Cleanup(func() { stop(); must(b, <-ended) })
	must(b, m.Ready(b.Context()))
	return m
}
