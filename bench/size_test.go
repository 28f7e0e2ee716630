package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// BenchmarkRowSize reports how many bytes a revoked token takes, with its indexes, for
// identifiers of a usual length.
func BenchmarkRowSize(b *testing.B) {
	const batches, batch = 10, 10_000
	for b.Loop() {
		store := newStore(b, pgserver.Database(b))
		pool := store.Pool()
		size := func(function string) float64 {
			return float64(testkit.QueryOne[int64](b, pool, "SELECT "+function+"('revoke.revocations'::regclass)"))
		}
		empty := map[string]float64{}
		metrics := map[string]string{
			"B/row": "pg_total_relation_size", "heap-B/row": "pg_table_size", "index-B/row": "pg_indexes_size",
		}
		for metric, function := range metrics { // the reserve
			empty[metric] = size(function)
		}
		for i := range batches {
			tokens := make([]revoke.Token, batch)
			for j := range tokens {
				id := fmt.Sprintf("%08x-0000-4000-8000-%012x", i, j)
				tokens[j] = revoke.Token{Issuer: testkit.Issuer, ID: id, ExpiresAt: time.Now().Add(time.Hour)}
			}
			testkit.Must(b, store.RevokeTokens(b.Context(), tokens))
		}
		testkit.Exec(b, pool, "VACUUM revoke.revocations")
		for metric, function := range metrics {
			b.ReportMetric((size(function)-empty[metric])/(batches*batch), metric)
		}
	}
}
