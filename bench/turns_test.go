package bench

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
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

// subject is a way of which more is reported.
type subject struct {
	way
	server clock    // of the processor time of the server that is asked, nil if there is none
	beside []string // the ways of which this one's rate is reported as a multiple
}

// turns returns the number of turns of each way, after one that does not count, and how long a
// turn lasts.
func turns() (n int, turn time.Duration) {
	if testing.Short() {
		return 3, 20 * time.Millisecond
	}
	return 21, 40 * time.Millisecond
}

// compare is compareSubjects of ways alone.
func compare(b *testing.B, callers int, requests []request, ways ...way) {
	b.Helper()
	subjects := make([]subject, len(ways))
	for i, w := range ways {
		subjects[i].way = w
	}
	compareSubjects(b, callers, requests, subjects...)
}

// turnResult is what one way did in one turn. The processor times are in microseconds a call.
type turnResult struct{ rate, client, server float64 }

// compareSubjects gives each way its turns, one way after the other in each round. The machine is
// faster at one time than at another, so only figures of the same time make a ratio. It reports
// each way as a benchmark of its own: the rate and the processor times are medians over the
// rounds, and a ratio is the median over the rounds of the ratio of rates of the same round. The
// processor time of the client is that of this process, the collection of its garbage included.
func compareSubjects(b *testing.B, callers int, requests []request, subjects ...subject) {
	b.Helper()
	n, turn := turns()
	results, latencies := make([][]turnResult, len(subjects)), make([]histogram, len(subjects))
	at := map[string]int{}
	for i, s := range subjects {
		at[s.name] = i
	}
	for round := range n + 1 {
		for i := range subjects {
			i = (i + round) % len(subjects) // so that each way follows another one in each round
			s := subjects[i]
			client, server := clientTime(b), s.server.now()
			times, took := takeTurn(b, callers, requests, s.way, turn)
			client, server = clientTime(b)-client, s.server.now()-server
			if round > 0 {
				perCall := func(d time.Duration) float64 { return d.Seconds() * 1e6 / float64(times.total) }
				results[i] = append(results[i], turnResult{float64(times.total) / took.Seconds(), perCall(client), perCall(server)})
				latencies[i].add(&times)
			}
		}
	}
	for i, s := range subjects {
		over := func(of func(round int) float64) float64 {
			values := make([]float64, n)
			for round := range values {
				values[round] = of(round)
			}
			return median(values)
		}
		b.Run(strings.ReplaceAll(s.name, " ", "_"), func(b *testing.B) {
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(over(func(round int) float64 { return results[i][round].rate }), "per-s")
			b.ReportMetric(latencies[i].quantile(0.50).Seconds()*1e6, "p50-µs")
			b.ReportMetric(latencies[i].quantile(0.99).Seconds()*1e6, "p99-µs")
			b.ReportMetric(over(func(round int) float64 { return results[i][round].client }), "client-µs")
			if s.server != nil {
				b.ReportMetric(over(func(round int) float64 { return results[i][round].server }), "server-µs")
			}
			for _, other := range s.beside {
				b.ReportMetric(over(func(round int) float64 { return results[i][round].rate / results[at[other]][round].rate }),
					"of-"+strings.ReplaceAll(other, " ", "-"))
			}
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
