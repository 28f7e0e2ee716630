package bench

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgrevoke/revoke/internal/testkit"
)

// way is one of several ways to do the same.
type way struct {
	name string
	do   func(ctx context.Context, r *request) error
}

// turns returns the number of turns of each way, after one that does not count, and how long a
// turn lasts.
func turns() (n int, turn time.Duration) {
	if testing.Short() {
		return 3, 20 * time.Millisecond
	}
	return 15, 100 * time.Millisecond
}

// compare gives each way its turns, one way after the other in each round. The machine is
// faster at one time than at another, so only figures of the same time make a ratio. It reports
// each way as a benchmark of its own.
func compare(b *testing.B, callers int, requests []request, ways ...way) {
	b.Helper()
	n, turn := turns()
	rates, latencies := make([][]float64, len(ways)), make([]histogram, len(ways))
	for round := range n + 1 {
		for i := range ways {
			i = (i + round) % len(ways) // so that each way follows another one in each round
			times, took := takeTurn(b, callers, requests, ways[i], turn)
			if round > 0 {
				rates[i] = append(rates[i], float64(times.total)/took.Seconds())
				latencies[i].add(&times)
			}
		}
	}
	for i, w := range ways {
		slices.Sort(rates[i])
		b.Run(strings.ReplaceAll(w.name, " ", "_"), func(b *testing.B) {
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(rates[i][n/2], "per-s")
			b.ReportMetric(latencies[i].quantile(0.50).Seconds()*1e6, "p50-µs")
			b.ReportMetric(latencies[i].quantile(0.99).Seconds()*1e6, "p99-µs")
		})
	}
}

// takeTurn runs one way for a turn, from a number of callers at once. Each reads the clock once
// a call: the end of one call is the beginning of the next.
func takeTurn(b *testing.B, callers int, requests []request, w way, turn time.Duration) (times histogram, took time.Duration) {
	b.Helper()
	ctx := b.Context()
	all, errs := make([]histogram, callers), make([]error, callers)
	var group sync.WaitGroup
	start := time.Now()
	for caller := range callers {
		at := rand.IntN(len(requests))
		group.Go(func() {
			last := time.Now()
			for last.Sub(start) < turn {
				if err := w.do(ctx, &requests[at]); err != nil {
					errs[caller] = fmt.Errorf("%s: %w", w.name, err)
					return
				}
				now := time.Now()
				all[caller].note(now.Sub(last))
				last = now
				at = (at + 1) % len(requests)
			}
		})
	}
	group.Wait()
	took = time.Since(start)
	testkit.Must(b, errors.Join(errs...))
	for i := range all {
		times.add(&all[i])
	}
	return times, took
}

// histogram counts durations, to three percent, in memory of a fixed size.
type histogram struct {
	counts [40 * steps]uint32
	total  int
}

// steps is the number of counts from one power of two to the next.
const steps = 32

func (h *histogram) note(d time.Duration) {
	n := uint64(max(d, 0))
	i := n
	if n >= steps {
		shift := bits.Len64(n) - bits.Len64(steps)
		i = uint64(shift)*steps + n>>shift
	}
	h.counts[min(i, uint64(len(h.counts)-1))]++
	h.total++
}

func (h *histogram) add(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

func (h *histogram) quantile(q float64) time.Duration {
	rank := int(q * float64(h.total))
	for i, n := range h.counts {
		if rank -= int(n); rank < 0 {
			if i < 2*steps {
				return time.Duration(i)
			}
			shift := i/steps - 1
			return time.Duration((i - shift*steps) << shift)
		}
	}
	return 0
}

func TestHistogram(t *testing.T) {
	var h histogram
	for i := range 100_000 {
		h.note(time.Duration(i) * time.Microsecond)
	}
	for _, q := range []float64{0, 0.00001, 0.01, 0.5, 0.99, 0.99999} {
		want := time.Duration(q*100_000) * time.Microsecond
		if got := h.quantile(q); got > want || got < want-want/steps {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}
