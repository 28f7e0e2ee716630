package bench

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/mirror"
)

// connections is the number of connections that each client may open.
const connections = 64

// coming is the number of tokens of which each comes again and again.
const coming = 1 << 10

// BenchmarkPeers compares ways to ask whether a token is revoked, on a million revoked tokens
// and a million epochs, from several callers at once. Every token is good, and its user has an
// epoch. All are asked about token, session, user and issuer, except that "go-redis EXISTS, GET"
// asks about token and user, and scs about its session. What a client can keep is warm: the
// connections, the prepared statements, the cache of rueidis.
//
// Check is the question alone, over Unix sockets. Coalescer is the same for the
// ways that its targets name. Request verifies an ES256 token first, for one caller, beside the
// question alone.
// Network has Check and Request over TCP and with a round trip of 0.25 ms more, which a proxy in
// this process adds. Its client-µs include the proxy. CheckCost compares a check with one row.
// Algorithms is Request from one caller, for each algorithm, beside golang-jwt alone.
// Every way of Request and Algorithms decodes the claims, except "mirror, identity".
func BenchmarkPeers(b *testing.B) {
	address := pgserver.Database(b)
	pool := pgserver.Pool(b, address, func(c *pgxpool.Config) { c.MaxConns = connections })
	sessions := newSCS(b, pool, size())
	fillPostgres(b, pool, size())
	requests := newRequests(b)
	socket, redisClock := startRedis(b)
	local := newGoRedis(b, "unix", socket)
	fillRedis(b, local, size())
	printVersions(b, pool, local)
	near := peers{pool: pool, sessions: sessions, redis: local, redisClock: redisClock, postgresClock: postgresClock(b, pool)}
	near.open(b, "unix", socket)
	plain, coalesced := near.plain, near.coalesced
	m := startMirror(b, coalesced)
	memory := []subject{
		{way{"mirror", check(m)}, nil, nil},
		{way{"Bloom filter", newFilter(b, size()).ask}, nil, nil},
	}
	warm(b, requests, rueidisCached(near.rueidis))
	signers := newSigners()
	es256 := signers[2]
	again := es256.signed(b, requests[:coming])

	b.Run("Check", func(b *testing.B) {
		subjects := append([]subject{{way{"nothing", func(context.Context, *request) error { return nil }}, nil, nil}}, near.subjects()...)
		for _, callers := range []int{1, 8, 64, 256} {
			atCallers(b, callers, requests, append(subjects, memory...)...)
		}
	})
	b.Run("Coalescer", func(b *testing.B) {
		for _, callers := range []int{1, 64, 256} {
			atCallers(b, callers, requests,
				subject{way{"Postgres plain", check(plain)}, near.postgresClock, nil},
				subject{way{"go-redis MGET of 4", mgetAll(near.redis)}, redisClock, nil},
				subject{way{"Postgres coalesced", check(coalesced)}, near.postgresClock, []string{"Postgres plain", "go-redis MGET of 4"}})
		}
	})
	b.Run("Request", func(b *testing.B) {
		atCallers(b, 1, again, inRequests(es256, append(near.subjects(), memory...), near.validated(b, es256, m))...)
	})
	b.Run("Network", func(b *testing.B) {
		through := throughProxy(b, pool)
		redisProxy := startProxy(b, "unix", socket)
		far := peers{pool: pgserver.Pool(b, address, through, func(c *pgxpool.Config) { c.MaxConns = connections })}
		far.sessions = openSCS(far.pool)
		far.redis = newGoRedis(b, "tcp", redisProxy)
		far.open(b, "tcp", redisProxy)
		warm(b, requests, rueidisCached(far.rueidis))
		subjects := append([]subject{{way{"echo", echo(b)}, nil, nil}}, far.subjects()...)
		b.Run("Check", func(b *testing.B) {
			for _, callers := range []int{1, 4} {
				atCallers(b, callers, requests, subjects...)
			}
		})
		b.Run("Request", func(b *testing.B) {
			atCallers(b, 1, again, inRequests(es256, subjects[1:], far.validated(b, es256, m))...)
		})
	})
	b.Run("CheckCost", func(b *testing.B) { checkCost(b, address, requests) })
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
	b.Run("Blocklist", func(b *testing.B) { compareBlocklist(b, m, requests) })
}

// peers are clients of the two servers, over one kind of connection.
type peers struct {
	pool                      *pgxpool.Pool
	sessions                  *scs.SessionManager
	redis                     *redis.Client
	pipeline                  redis.Cmdable
	rueidis                   rueidis.Client
	plain, coalesced          *revoke.Postgres
	redisClock, postgresClock clock
}

// open opens what is made of the pool and of an address of the Redis.
func (p *peers) open(b *testing.B, network, address string) {
	b.Helper()
	p.pipeline = newAutoPipeline(b, p.redis)
	p.rueidis = newRueidis(b, network, address)
	p.plain, p.coalesced = testkit.OpenStore(b, p.pool, revoke.WithCheckQueries(0)), testkit.OpenStore(b, p.pool)
}

// subjects are the ways that ask a server.
func (p *peers) subjects() []subject {
	beside := []string{"go-redis EXISTS, GET", "go-redis MGET of 4"}
	return []subject{
		{way{"SELECT 1", func(ctx context.Context, _ *request) error {
			var one int
			return p.pool.QueryRow(ctx, "SELECT 1").Scan(&one)
		}}, p.postgresClock, nil},
		{way{"one primary key", func(ctx context.Context, r *request) error {
			var at time.Time
			return p.pool.QueryRow(ctx, "SELECT since FROM revoke.revocations WHERE key = $1", r.key).Scan(&at)
		}}, p.postgresClock, nil},
		{way{"Postgres plain", check(p.plain)}, p.postgresClock, beside},
		{way{"Postgres coalesced", check(p.coalesced)}, p.postgresClock, beside},
		{way{"go-redis EXISTS, GET", existsThenGet(p.redis)}, p.redisClock, nil},
		{way{"go-redis MGET of 4", mgetAll(p.redis)}, p.redisClock, nil},
		{way{"go-redis MGET of 4, auto-pipelined", mgetAll(p.pipeline)}, p.redisClock, nil},
		{way{"rueidis MGET of 4", rueidisMGET(p.rueidis)}, p.redisClock, nil},
		{way{"rueidis cached", rueidisCached(p.rueidis)}, p.redisClock, nil},
		{way{"scs session", loadSession(p.sessions)}, p.postgresClock, nil},
	}
}

// validated are the requests with a token that this library validates, by the way that checks it.
func (p *peers) validated(b *testing.B, s signer, m *mirror.Mirror) map[string]func(context.Context, *request) error {
	b.Helper()
	return map[string]func(context.Context, *request) error{
		"Postgres plain": s.validate(b, p.plain), "Postgres coalesced": s.validate(b, p.coalesced), "mirror": s.validate(b, m),
	}
}

// inRequests returns each way, and the whole request that it is in: with the verification of the
// token by golang-jwt first, or by Validate where the way is one of this library. The session of
// scs is in place of a token. A way that no request would take is left out.
func inRequests(s signer, subjects []subject, validated map[string]func(context.Context, *request) error) []subject {
	all := []subject{{way{"golang-jwt alone", s.bare}, nil, nil}}
	for _, alone := range subjects {
		whole := alone
		whole.name = "request, " + alone.name
		switch alone.name {
		case "SELECT 1", "one primary key":
			continue
		case "Postgres plain", "Postgres coalesced", "mirror":
			whole.do = validated[alone.name]
		case "scs session":
		default:
			whole.do = s.then(alone.do)
		}
		whole.beside = nil
		all = append(all, alone, whole)
	}
	return all
}

// atCallers compares the ways at a number of callers.
func atCallers(b *testing.B, callers int, requests []request, subjects ...subject) {
	b.Helper()
	b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { compareSubjects(b, callers, requests, subjects...) })
}

// throughProxy starts a proxy before the server of a pool, and returns the setting that makes
// another pool connect through it.
func throughProxy(b *testing.B, pool *pgxpool.Pool) func(*pgxpool.Config) {
	b.Helper()
	config := pool.Config().ConnConfig
	network, server := pgconn.NetworkAddress(config.Host, config.Port)
	proxy := startProxy(b, network, server)
	return func(c *pgxpool.Config) {
		c.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "tcp", proxy)
		}
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
