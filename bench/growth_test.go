package bench

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/mirror"
)

// BenchmarkGrowth compares a table of a million rows with one of a hundred thousand: the time of a
// check, of a write, of sweeping a row and of loading a row into a mirror. Both tables do the same
// in the same round, one after the other, and take turns at being first. "growth" is the time at
// the larger one over that at the smaller one: the median over the rounds of the ratio of one
// round.
func BenchmarkGrowth(b *testing.B) {
	rows := []int{size() / 10, size()}
	stores := make([]*revoke.Postgres, len(rows))
	requests := make([][]request, len(rows))
	for i, n := range rows {
		stores[i] = newStore(b, pgserver.Database(b))
		fillPostgres(b, stores[i].Pool(), n/2) // as many tokens as users
		requests[i] = newRequestsOf(b, n/2)
	}
	n, turn := turns()
	measured := func(name string, rounds int, once func(table int) float64) {
		times := make([][]float64, len(rows)) // by table, then by round
		for round := range rounds + 1 {
			for i := range rows {
				i = (i + round) % len(rows)
				took := once(i)
				if round > 0 { // in the first one statements are prepared
					times[i] = append(times[i], took)
				}
			}
		}
		ratios := make([]float64, rounds)
		for round := range ratios {
			ratios[round] = times[1][round] / times[0][round]
		}
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(times[0]), "small-µs")
			b.ReportMetric(median(times[1]), "large-µs")
			b.ReportMetric(median(ratios), "growth")
		})
	}
	inTurn := func(do func(store *revoke.Postgres) func(context.Context, *request) error) func(table int) float64 {
		return func(table int) float64 {
			times, took := takeTurn(b, 1, requests[table], way{"growth", do(stores[table])}, turn)
			return took.Seconds() * 1e6 / float64(times.total)
		}
	}
	measured("check", n, inTurn(func(store *revoke.Postgres) func(context.Context, *request) error { return check(store) }))
	measured("load per row", min(n, 7), func(table int) float64 { return load(b, stores[table]) })
	measured("write", n, inTurn(func(store *revoke.Postgres) func(context.Context, *request) error {
		return func(ctx context.Context, _ *request) error { return store.RevokeToken(ctx, newTokens(1)[0]) }
	}))
	measured("sweep per row", min(n, 7), func(table int) float64 { return sweep(b, stores[table], size()/50) })
}

// load returns how many microseconds a mirror takes to load a row.
func load(b *testing.B, store *revoke.Postgres) float64 {
	b.Helper()
	m, err := mirror.New(store)
	testkit.Must(b, err)
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error)
	start := time.Now()
	go func() { ended <- m.Run(ctx) }()
	testkit.Must(b, m.Ready(b.Context()))
	took := time.Since(start)
	entries := m.Stats().Entries
	stop()
	testkit.Must(b, <-ended)
	return took.Seconds() * 1e6 / float64(entries)
}

// sweep returns how many microseconds a sweeper takes to delete one of n expired rows. Both tables
// are given as many, and are vacuumed before.
func sweep(b *testing.B, store *revoke.Postgres, n int) float64 {
	b.Helper()
	fillTokens(b, store.Pool(), n, "-2 hours")
	testkit.Exec(b, store.Pool(), "VACUUM ANALYZE revoke.revocations")
	sweeper, err := revoke.NewSweeper(store)
	testkit.Must(b, err)
	result, err := sweeper.Sweep(b.Context())
	testkit.Must(b, err)
	if result.Total() != int64(n) {
		b.Fatalf("swept %d rows, want %d", result.Total(), n)
	}
	return result.Duration.Seconds() * 1e6 / float64(n)
}
