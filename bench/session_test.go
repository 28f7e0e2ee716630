package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/session"
)

// BenchmarkRefresh measures refreshes of package session, at grace 0: each rotates.
//
// Rate compares a refresh with a plain UPDATE of one row of the same table by its primary key.
// "refresh" is the whole of Refresh, which verifies one token and signs two by Ed25519, and
// "statement" its statement alone. Each way has sessions of its own. Network is the same
// over TCP and with a round trip of 0.25 ms more.
//
// Many refreshes ten thousand sessions in random order, a million times in all. It reports the part
// of the updates that were HOT, and the size of the indexes after that as a multiple of the size
// before.
//
// Checks compares the 99th percentile of checks beside 300 refreshes a second, and beside as
// many plain UPDATEs, with that of checks alone, in turns: the median over the rounds of the
// ratio in one round.
func BenchmarkRefresh(b *testing.B) {
	address := pgserver.Database(b)
	pool := pgserver.Pool(b, address, func(c *pgxpool.Config) { c.MaxConns = 40 })
	b.Run("Rate", func(b *testing.B) { refreshRate(b, pool) })
	b.Run("Network", func(b *testing.B) {
		refreshRate(b, pgserver.Pool(b, address, throughProxy(b, pool), func(c *pgxpool.Config) { c.MaxConns = 40 }))
	})
	b.Run("Many", manyRefreshes)
	b.Run("Checks", func(b *testing.B) { checksBesideRefreshes(b, address) })
}

// device is a client of one session.
type device struct {
	key    pgtype.UUID
	tokens session.Tokens

	args       []any // of the statement of its first refresh
	generation int   // that the statement has presented last
}

// devices are those that are not in use at the moment.
type devices chan *device

// with runs fn on one of them.
func (d devices) with(fn func(*device) error) error {
	one := <-d
	err := fn(one)
	d <- one
	return err
}

func newSessions(b *testing.B, pool *pgxpool.Pool) *session.Sessions {
	b.Helper()
	keys := session.StaticKeys(session.Key{ID: "1", Method: jwt.SigningMethodEdDSA, Private: testkit.TestKeys().Ed})
	sessions, err := session.New(testkit.OpenStore(b, pool), testkit.Issuer, revoke.AudienceOf("api"), keys, session.WithGrace(0))
	testkit.Must(b, err)
	return sessions
}

var benchDevice = session.Device{UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", Address: "192.0.2.1"}

// start starts n sessions.
func start(b *testing.B, sessions *session.Sessions, n int) devices {
	b.Helper()
	all := make(devices, n)
	for i := range n {
		tokens, err := sessions.Start(b.Context(), sessions.User(fmt.Sprint("user-", i)), revoke.Epochs{}, benchDevice)
		testkit.Must(b, err)
		all <- &device{key: uuid(revoke.ScopeSession.Key(testkit.Issuer, tokens.Session.ID)), tokens: tokens}
	}
	return all
}

// shuffled takes the sessions out of the order in which their rows stand on the pages.
func shuffled(all devices) devices {
	list := make([]*device, 0, len(all))
	for range len(all) {
		list = append(list, <-all)
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for _, d := range list {
		all <- d
	}
	return all
}

// refresh refreshes one of the sessions.
func refresh(sessions *session.Sessions, all devices) func(context.Context, *request) error {
	return func(ctx context.Context, _ *request) error {
		return all.with(func(d *device) error {
			tokens, err := sessions.Refresh(ctx, d.tokens.Refresh, benchDevice)
			if err == nil && tokens.Outcome != session.Rotated {
				err = fmt.Errorf("a refresh has %s", tokens.Outcome)
			}
			d.tokens = tokens
			return err
		})
	}
}

// plainUpdate updates the row of one of the sessions by its primary key.
func plainUpdate(pool *pgxpool.Pool, all devices) func(context.Context, *request) error {
	const sql = "UPDATE revoke.sessions SET generation = generation + 1, refreshed_at = clock_timestamp() WHERE key = $1"
	return func(ctx context.Context, _ *request) error {
		return all.with(func(d *device) error {
			tag, err := pool.Exec(ctx, sql, d.key)
			if err == nil && tag.RowsAffected() != 1 {
				err = errors.New("no row was updated")
			}
			return err
		})
	}
}

// generation is the place of the presented generation among the arguments of a refresh.
const generation = 3

func refreshRate(b *testing.B, pool *pgxpool.Pool) {
	b.Helper()
	const each = 256
	sessions := newSessions(b, pool)
	refreshed, updated, stated := start(b, sessions, each), start(b, sessions, each), start(b, sessions, each)

	// The statement is that of the first refresh, with the generation as it goes on.
	var sent lastQuery
	config := pool.Config()
	config.ConnConfig.Tracer, config.MaxConns = &sent, 1
	traced, err := pgxpool.NewWithConfig(b.Context(), config)
	testkit.Must(b, err)
	tracing := newSessions(b, traced)
	for range each {
		d := <-stated
		one := make(devices, 1)
		one <- d
		testkit.Must(b, refresh(tracing, one)(b.Context(), nil))
		d.args, d.generation = sent.args, 1
		stated <- d
	}
	traced.Close()
	testkit.Exec(b, pool, "VACUUM ANALYZE revoke.sessions")

	subjects := []subject{
		{way{"UPDATE", plainUpdate(pool, updated)}, postgresClock(b, pool), nil},
		{way{"statement", func(ctx context.Context, _ *request) error {
			return stated.with(func(d *device) error {
				d.generation++
				d.args[generation] = strconv.Itoa(d.generation)
				return readAway(ctx, pool, sent.sql, d.args...)
			})
		}}, postgresClock(b, pool), []string{"UPDATE"}},
		{way{"refresh", refresh(sessions, refreshed)}, postgresClock(b, pool), []string{"UPDATE"}},
	}
	for _, callers := range []int{1, 8} {
		atCallers(b, callers, make([]request, 1), subjects...)
	}
	d := <-stated
	if got := testkit.QueryOne[int](b, pool, "SELECT generation FROM revoke.sessions WHERE key = $1", d.key); got != d.generation+1 {
		b.Errorf("the statement has not rotated: generation %d, want %d", got, d.generation+1)
	}
}

// manyRefreshes has a database of its own, so that the server counts for it alone.
func manyRefreshes(b *testing.B) {
	const callers = 8
	n, held := 1_000_000, 10_000
	if testing.Short() {
		n, held = 20_000, 1_000
	}
	address := pgserver.Database(b)
	admin := pgserver.Pool(b, address, func(c *pgxpool.Config) { c.MaxConns = 1 })
	pool := pgserver.Pool(b, address, func(c *pgxpool.Config) { c.MaxConns = callers })
	sessions := newSessions(b, pool)
	one := refresh(sessions, shuffled(start(b, sessions, held)))
	size := func() float64 {
		return float64(testkit.QueryOne[int64](b, admin, "SELECT pg_indexes_size('revoke.sessions')"))
	}
	before, began := size(), time.Now()
	errs := make([]error, callers)
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for range n / callers {
				if errs[caller] = one(b.Context(), nil); errs[caller] != nil {
					return
				}
			}
		})
	}
	group.Wait()
	took := time.Since(began)
	testkit.Must(b, errors.Join(errs...))
	pool.Close() // backends that end report what they have counted
	var updates, hot float64
	testkit.Eventually(b, "the server has counted the refreshes", func() bool {
		testkit.Must(b, admin.QueryRow(b.Context(),
			"SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'revoke.sessions'::regclass").Scan(&updates, &hot))
		return updates >= float64(n)
	})
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(n)/took.Seconds(), "per-s")
	b.ReportMetric(updates, "refreshes")
	b.ReportMetric(100*hot/updates, "hot-%")
	b.ReportMetric(size()/before, "indexes")
	b.ReportMetric(float64(testkit.QueryOne[int64](b, admin, "SELECT pg_relation_size('revoke.sessions')"))/1e6, "table-MB")
}

func checksBesideRefreshes(b *testing.B, address string) {
	b.Helper()
	const perSecond, callers = 300, 8
	rounds, turn := 15, time.Second
	if testing.Short() {
		rounds, turn = 3, 100*time.Millisecond
	}
	store := newStore(b, address)
	fillPostgres(b, store.Pool(), size()/10)
	pool := pgserver.Pool(b, address, func(c *pgxpool.Config) { c.MaxConns = callers })
	sessions := newSessions(b, pool)
	ways := []way{
		{"without", nil},
		{"UPDATE", plainUpdate(pool, shuffled(start(b, sessions, 256)))},
		{"refresh", refresh(sessions, shuffled(start(b, sessions, 256)))},
	}
	// By way, then by round.
	rates, p99s := make([][]float64, len(ways)), make([][]float64, len(ways))
	for round := range rounds + 1 {
		for i := range ways {
			i = (i + round) % len(ways)
			rate := 0.0
			p99 := latency(b, store, callers, func() {
				if ways[i].do == nil {
					<-time.After(turn)
					return
				}
				rate = pace(b, ways[i], perSecond, turn)
			})
			if round > 0 { // in the first one statements are prepared
				rates[i], p99s[i] = append(rates[i], rate), append(p99s[i], p99.Seconds()*1e6)
			}
		}
	}
	for i, w := range ways {
		b.Run(w.name, func(b *testing.B) {
			ratios := make([]float64, rounds)
			for round := range ratios {
				ratios[round] = p99s[i][round] / p99s[0][round]
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(ratios), "of-without")
			b.ReportMetric(median(slices.Clone(p99s[i])), "p99-µs")
			b.ReportMetric(median(rates[i]), "per-s")
		})
	}
}

// pace calls a way so many times a second, for a turn. It returns the rate that it reached.
func pace(b *testing.B, w way, perSecond int, turn time.Duration) float64 {
	b.Helper()
	began := time.Now()
	errs := make(chan error, perSecond*int(turn/time.Second+1))
	var group sync.WaitGroup
	n := 0
	for ; time.Since(began) < turn; n++ {
		<-time.After(time.Until(began.Add(time.Duration(n) * time.Second / time.Duration(perSecond))))
		group.Go(func() {
			if err := w.do(b.Context(), nil); err != nil {
				errs <- err
			}
		})
	}
	group.Wait()
	close(errs)
	testkit.Must(b, <-errs)
	return float64(n) / time.Since(began).Seconds()
}
