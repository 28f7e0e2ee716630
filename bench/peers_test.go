package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/mirror"
)

// connections is the number of connections that each client may open.
const connections = 64

// BenchmarkPeers compares ways to ask whether a token is revoked, on a million revoked tokens
// and a million epochs, from several callers at once. Every token is good, and its user has an
// epoch. A Redis is asked about the token and the user. Postgres is always asked about the
// session and the issuer too.
//
// Check is the question alone. Validate verifies an ES256 token first. Algorithms does the same
// from one caller, for each algorithm, beside golang-jwt alone. Every way of Validate and
// Algorithms decodes the claims, except "mirror, identity".
func BenchmarkPeers(b *testing.B) {
	pool := pgserver.Pool(b, pgserver.Database(b), func(c *pgxpool.Config) { c.MaxConns = connections })
	sessions := newSCS(b, pool, size())
	fillPostgres(b, pool, size())
	requests := newRequests(b)
	socket := startRedis(b)
	goRedis := newGoRedis(b, socket)
	fillRedis(b, goRedis, size())
	rueidis := newRueidis(b, socket)
	warm(b, requests, rueidisCached(rueidis))
	printVersions(b, pool, goRedis)
	plain, coalesced := testkit.OpenStore(b, pool, revoke.WithCheckQueries(0)), testkit.OpenStore(b, pool)
	m := startMirror(b, coalesced)

	floors := []way{
		{"nothing", func(context.Context, *request) error { return nil }},
		{"SELECT 1", func(ctx context.Context, _ *request) error {
			var one int
			return pool.QueryRow(ctx, "SELECT 1").Scan(&one)
		}},
		{"one primary key", func(ctx context.Context, r *request) error {
			var at time.Time
			return pool.QueryRow(ctx, "SELECT since FROM revoke.revocations WHERE key = $1", r.key).Scan(&at)
		}},
	}
	peers := []way{
		{"go-redis EXISTS, GET", existsThenGet(goRedis)},
		{"go-redis pipelined", pipelined(goRedis)},
		{"go-redis MGET", mget(goRedis)},
		{"go-redis MGET of 4", mgetAll(goRedis)},
		{"go-redis MGET, auto-pipelined", mget(newAutoPipeline(b, goRedis))},
		{"rueidis MGET", rueidisMGET(rueidis)},
		{"rueidis cached", rueidisCached(rueidis)},
	}
	scs := way{"scs session", loadSession(sessions)}
	b.Run("Check", func(b *testing.B) {
		ways := append(floors, way{"Postgres plain", check(plain)}, way{"Postgres coalesced", check(coalesced)}, way{"mirror", check(m)})
		atEach(b, requests, append(append(ways, peers...), scs)...)
	})

	signers := newSigners()
	b.Run("Validate", func(b *testing.B) {
		es256 := signers[2]
		ways := []way{
			{"golang-jwt alone", es256.bare},
			{"Postgres plain", es256.validate(b, plain)},
			{"Postgres coalesced", es256.validate(b, coalesced)},
			{"mirror", es256.validate(b, m)},
		}
		for _, peer := range peers {
			ways = append(ways, way{peer.name, es256.then(peer.do)})
		}
		atEach(b, es256.signed(b, requests), append(ways, scs)...)
	})
	b.Run("Algorithms", func(b *testing.B) {
		for _, s := range signers {
			b.Run(s.method.Alg(), func(b *testing.B) {
				// Too little for these tokens to be remembered until they come again.
				least := revoke.WithSignatureMemory(leastMemory)
				compare(b, 1, s.signed(b, requests[:1<<10]),
					way{"golang-jwt alone", s.bare},
					way{"golang-jwt, a kept parser", s.kept()},
					way{"mirror", s.validate(b, m, least)},
					way{"mirror, identity", validate(s.validator(b, m, least))},
					way{"Postgres plain", s.validate(b, plain, least)},
					way{"Postgres coalesced", s.validate(b, coalesced, least)},
				)
			})
		}
	})
}

// atEach compares the ways at each number of callers.
func atEach(b *testing.B, requests []request, ways ...way) {
	b.Helper()
	for _, callers := range []int{1, 8, 32, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { compare(b, callers, requests, ways...) })
	}
}

func check(checker revoke.Checker) func(context.Context, *request) error {
	return func(ctx context.Context, r *request) error { return checker.Check(ctx, r.token) }
}

// startMirror returns a mirror that has loaded the table. It runs until the end of the benchmark.
func startMirror(b *testing.B, store *revoke.Postgres) *mirror.Mirror {
	b.Helper()
	m, err := mirror.New(store)
	testkit.Must(b, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- m.Run(ctx) }()
	b.Cleanup(func() { stop(); testkit.Must(b, <-ended) })
	testkit.Must(b, m.Ready(b.Context()))
	return m
}
