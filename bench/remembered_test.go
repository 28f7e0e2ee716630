package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// remembered is the number of tokens of BenchmarkValidate. All of them fit into the default memory
// of a validator, and few into the smallest.
const remembered = 1 << 10

// leastMemory is the least that WithSignatureMemory takes.
const leastMemory = 64 << 10

// BenchmarkValidate compares Validate, by the mirror, with golang-jwt alone, which decodes the
// claims: for a token that comes again, for one that comes for the first time, and for a revoked
// one that comes again. It reports the processor time of a call, and its ratio to golang-jwt's:
// medians over the rounds of what was measured in the same round. The processor time is that of
// this process, the collection of its garbage included.
func BenchmarkValidate(b *testing.B) {
	pool := pgserver.Pool(b, pgserver.Database(b))
	fillPostgres(b, pool, size())
	store := testkit.OpenStore(b, pool)
	requests := newRequests(b)
	m := startMirror(b, store)
	for i, s := range newSigners() {
		b.Run(s.method.Alg(), func(b *testing.B) {
			good := s.signed(b, requests[:remembered])
			// These are revoked below, so each algorithm has its own.
			replayed := s.signed(b, requests[(i+1)*remembered:(i+2)*remembered])
			replays := s.validator(b, m)
			warm(b, replayed, validate(replays))
			for _, r := range replayed {
				testkit.Must(b, m.Store().RevokeToken(b.Context(), r.token))
			}
			seen, decoded := validate(s.validator(b, m)), s.validate(b, m)
			warm(b, good, seen)
			warm(b, good, decoded)
			reportRatios(b,
				round{"golang-jwt alone", good, s.bare},
				round{"token seen before", good, seen},
				round{"token seen before, claims decoded", good, decoded},
				round{"token not seen before", good, validate(s.validator(b, m, revoke.WithSignatureMemory(leastMemory)))},
				round{"token not seen before, claims decoded", good, s.validate(b, m, revoke.WithSignatureMemory(leastMemory))},
				round{"no memory", good, validate(s.validator(b, m, revoke.WithSignatureMemory(0)))},
				round{"revoked token seen before", replayed, refused(validate(replays))},
			)
		})
	}
}

// validate validates a token and leaves its claims undecoded, for a service that needs its user
// alone.
func validate(v *revoke.Validator) func(context.Context, *request) error {
	return func(ctx context.Context, r *request) error {
		_, err := v.Validate(ctx, r.text)
		return err
	}
}

// refused expects that a token was revoked.
func refused(validate func(context.Context, *request) error) func(context.Context, *request) error {
	return func(ctx context.Context, r *request) error {
		if err := validate(ctx, r); !errors.Is(err, revoke.ErrRevoked) {
			return fmt.Errorf("a revoked token: %w", err)
		}
		return nil
	}
}

// round is one of several ways to answer requests.
type round struct {
	name     string
	requests []request
	do       func(ctx context.Context, r *request) error
}

// reportRatios gives each way its turns, from one caller, and reports each as a benchmark of its
// own, beside the first one.
func reportRatios(b *testing.B, ways ...round) {
	b.Helper()
	n, turn := turns()
	spent := make([][]float64, len(ways)) // in microseconds a call, by way, then by round
	for count := range n + 1 {
		for i := range ways {
			i = (i + count) % len(ways)
			before := processorTime(b)
			times, _ := takeTurn(b, 1, ways[i].requests, way{ways[i].name, ways[i].do}, turn)
			if count > 0 {
				spent[i] = append(spent[i], (processorTime(b)-before).Seconds()*1e6/float64(times.total))
			}
		}
	}
	for i, w := range ways {
		b.Run(strings.ReplaceAll(w.name, " ", "_"), func(b *testing.B) {
			ratios := make([]float64, n)
			for count := range n {
				ratios[count] = spent[i][count] / spent[0][count]
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(ratios), "ratio")
			b.ReportMetric(median(append([]float64(nil), spent[i]...)), "cpu-µs")
		})
	}
}

// processorTime is the time that processors have spent on this process.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	testkit.Must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
