package revoke_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
)

// BenchmarkCheck compares a check with the least that a question to the database can cost, one row by its primary key, by
// asking the two in turn on the same connection. The tables hold a hundred thousand rows each.
func BenchmarkCheck(b *testing.B) {
	store, pool := newStore(b)
	fill(b, pool, 100_000, -time.Hour)
	mustExec(b, pool, "VACUUM ANALYZE")
	token := newToken()
	key := queryOne[string](b, pool, "SELECT key::text FROM revoke.revoked_tokens LIMIT 1")
	const one = "SELECT revoked_at FROM revoke.revoked_tokens WHERE key = $1"
	var floors, checks []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		var at time.Time
		must(b, pool.QueryRow(b.Context(), one, key).Scan(&at))
		middle := time.Now()
		must(b, store.Check(b.Context(), token))
		floors, checks = append(floors, middle.Sub(start)), append(checks, time.Since(middle))
	}
	slices.Sort(floors)
	slices.Sort(checks)
	floor, check := floors[len(floors)/2], checks[len(checks)/2]
	b.ReportMetric(0, "ns/op") // two things at once: the medians tell more
	b.ReportMetric(float64(floor.Nanoseconds()), "floor-ns")
	b.ReportMetric(float64(check.Nanoseconds()), "check-ns")
	b.ReportMetric(float64(check)/float64(floor), "check/floor")
}

// BenchmarkRowSize reports how many bytes a revoked token takes, with its indexes, for identifiers of a usual length.
func BenchmarkRowSize(b *testing.B) {
	store, pool := newStore(b)
	const rows = 100_000
	for b.Loop() {
		mustExec(b, pool, "TRUNCATE revoke.revoked_tokens")
		tokens := make([]revoke.Token, rows/10)
		for batch := range 10 {
			for i := range tokens {
				tokens[i] = newToken()
				tokens[i].ID = fmt.Sprintf("%08x-0000-4000-8000-%012x", batch, i)
			}
			must(b, store.RevokeTokens(b.Context(), tokens))
		}
	}
	mustExec(b, pool, "VACUUM revoke.revoked_tokens")
	for metric, function := range map[string]string{
		"B/row": "pg_total_relation_size", "heap-B/row": "pg_table_size", "index-B/row": "pg_indexes_size",
	} {
		size := queryOne[int64](b, pool, "SELECT "+function+"('revoke.revoked_tokens'::regclass)")
		b.ReportMetric(float64(size)/rows, metric)
	}
}
