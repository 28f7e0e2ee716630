package bench

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// checkCost compares one check with one row by its primary key, which is the least
// that a question about a key can cost. All take turns on one connection. It reports the time
// of one call and the processor time that the connection's backend spends on it, and both as
// multiples of the row's: medians over the rounds of what was measured in the same round. The
// processor time needs a server on this machine. Elsewhere it is not reported.
//
// "statement" sends the statement of Check and reads its answer away. The other two are Check
// itself: with a query for each check, and with queries that checks share.
func checkCost(b *testing.B, address string, requests []request) {
	b.Helper()
	pool := pgserver.Pool(b, address, func(c *pgxpool.Config) { c.MaxConns = 1 })
	sql := checkStatement(b, address, requests[0].token)
	reportCosts(b, pool, requests,
		way{"one primary key", func(ctx context.Context, r *request) error {
			return readAway(ctx, pool, "SELECT since FROM revoke.revocations WHERE key = $1", r.key)
		}},
		way{"statement", func(ctx context.Context, r *request) error { return readAway(ctx, pool, sql, r.keys) }},
		way{"Check plain", check(testkit.OpenStore(b, pool, revoke.WithCheckQueries(0)))},
		way{"Check coalesced", check(testkit.OpenStore(b, pool))},
	)
}

// checkStatement returns the statement that Check sends.
func checkStatement(b *testing.B, address string, token revoke.Token) string {
	b.Helper()
	var sent lastQuery
	pool := pgserver.Pool(b, address, func(c *pgxpool.Config) { c.ConnConfig.Tracer = &sent })
	testkit.Must(b, testkit.OpenStore(b, pool, revoke.WithCheckQueries(0)).Check(b.Context(), token))
	return sent.sql
}

// lastQuery is a tracer that keeps the statement of the last query.
type lastQuery struct {
	sql  string
	args []any
}

func (q *lastQuery) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	q.sql, q.args = data.SQL, data.Args
	return ctx
}

func (*lastQuery) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// readAway sends a query and reads its rows without decoding them.
func readAway(ctx context.Context, pool *pgxpool.Pool, sql string, args ...any) error {
	rows, err := pool.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	rows.Close()
	return rows.Err()
}

// cost is what one call takes, in microseconds.
type cost struct{ wall, backend float64 }

// reportCosts gives each way its turns on the pool's one connection, and reports each as a
// benchmark of its own, beside the first one.
func reportCosts(b *testing.B, pool *pgxpool.Pool, requests []request, ways ...way) {
	b.Helper()
	spent, local := backendClock(b, pool)
	n, turn := turns()
	n *= 3
	costs := make([][]cost, len(ways)) // by way, then by round
	for round := range n + 1 {
		for i := range ways {
			i = (i + round) % len(ways)
			before := spent()
			times, took := takeTurn(b, 1, requests, ways[i], turn)
			if round > 0 { // in the first one statements are prepared
				calls := float64(times.total)
				costs[i] = append(costs[i], cost{
					wall: took.Seconds() * 1e6 / calls, backend: (spent() - before).Seconds() * 1e6 / calls,
				})
			}
		}
	}
	for i, w := range ways {
		b.Run(strings.ReplaceAll(w.name, " ", "_"), func(b *testing.B) {
			b.ReportMetric(0, "ns/op")
			report := func(of func(cost) float64, unit, ratio string) {
				values, ratios := make([]float64, n), make([]float64, n)
				for round := range n {
					values[round] = of(costs[i][round])
					ratios[round] = values[round] / of(costs[0][round])
				}
				b.ReportMetric(median(values), unit)
				b.ReportMetric(median(ratios), ratio)
			}
			report(func(c cost) float64 { return c.wall }, "wall-µs", "wall-ratio")
			if local {
				report(func(c cost) float64 { return c.backend }, "backend-µs", "backend-ratio")
			}
		})
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// backendClock returns a clock of the processor time, user and system, that the backend of the
// pool's one connection has spent, and whether there is one: the server must run on this
// machine, under a Linux that counts it. The figure is that of utime and stime in
// /proc/<pid>/stat, in nanoseconds and not in hundredths of a second.
func backendClock(b *testing.B, pool *pgxpool.Pool) (spent func() time.Duration, ok bool) {
	b.Helper()
	pid, ok := localBackend(b, pool)
	if !ok {
		return func() time.Duration { return 0 }, false
	}
	return func() time.Duration { return spentBy(pid) }, true
}
