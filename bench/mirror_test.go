package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/mirror"
)

// question is a verified token, as a validator hands it to a checker, beside two of its row keys.
type question struct {
	verified revoke.Verified
	user     [16]byte
	token    [16]byte
}

// BenchmarkMirrorCheck compares a check from memory, of four scopes, with one lookup in a Go map.
// The map has the keys of all rows that the mirror has loaded, half of them of tokens and half of
// users. It is asked for one key of the same token: "present" for that of a user with an epoch,
// "absent" for that of a token that was not revoked.
//
// The tokens are those of 65,536 random users, so that what a lookup reads of the map or of the
// mirror is not in the near caches of the processor from the time before. The tokens themselves
// are: each turn begins with a look at its questions, as a validator has just looked at a token
// that it hands on. "no row" is a check of a token of which no key has
// a row, and "epoch" one of a user with an epoch. In both, the keys are at hand in the Verified.
// "plain Token" computes them.
func BenchmarkMirrorCheck(b *testing.B) {
	pool := pgserver.Pool(b, pgserver.Database(b))
	rows := size() / 2
	fillPostgres(b, pool, rows)
	store := testkit.OpenStore(b, pool)
	m := startMirror(b, store)
	keys := make(map[[16]byte]struct{})
	for _, key := range readKeys(b, pool) {
		keys[key] = struct{}{}
	}
	if entries := m.Stats().Entries; entries != 2*rows || len(keys) != entries {
		b.Fatalf("the mirror has %d entries, and the map %d", entries, len(keys))
	}
	epochs := newQuestions(b, m, 0)
	none := newQuestions(b, m, rows)
	ctx := b.Context()
	checkVerified := func(questions []question) func(int) bool {
		return func(i int) bool { return m.CheckVerified(ctx, questions[i].verified) == nil }
	}
	before := m.Stats().Fallbacks
	lookAtBoth := func(i int) { lookAt(&none[i]); lookAt(&epochs[i]) }
	comparePrecisely(b, len(epochs), lookAtBoth,
		precise{"map, present", func(i int) bool { _, found := keys[epochs[i].user]; return found }},
		precise{"map, absent", func(i int) bool { _, found := keys[none[i].token]; return !found }},
		precise{"no row", checkVerified(none)},
		precise{"epoch", checkVerified(epochs)},
		precise{"plain Token", func(i int) bool { return m.Check(ctx, none[i].verified.Token) == nil }},
	)
	if after := m.Stats().Fallbacks; after != before {
		b.Fatalf("Postgres was asked %d times", after-before)
	}
}

// newQuestions returns verified tokens of random users. The lowest number of a user is first.
func newQuestions(b *testing.B, m *mirror.Mirror, first int) []question {
	b.Helper()
	hs256 := newSigners()[0]
	requests := newRequests(b)
	for i := range requests {
		user := first + rand.IntN(size()/2)
		requests[i].token.Subject, requests[i].token.SessionID = fmt.Sprint("user-", user), fmt.Sprint("session-", user)
	}
	v := hs256.validator(b, m)
	questions := make([]question, len(requests))
	for i, r := range hs256.signed(b, requests) {
		token := r.token
		questions[i] = question{
			verified: *testkit.Value(v.Validate(b.Context(), r.text))(b),
			user:     revoke.ScopeUser.Key(token.Issuer, token.Subject),
			token:    revoke.ScopeToken.Key(token.Issuer, token.ID),
		}
	}
	return questions
}

// readKeys returns the keys of all rows.
func readKeys(b *testing.B, pool *pgxpool.Pool) (keys [][16]byte) {
	b.Helper()
	rows := testkit.Value(pool.Query(b.Context(), "SELECT key FROM revoke.revocations WHERE scope <> 'reserve'"))(b)
	defer rows.Close()
	for rows.Next() {
		var key [16]byte
		testkit.Must(b, rows.Scan(&key))
		keys = append(keys, key)
	}
	testkit.Must(b, rows.Err())
	return keys
}

// precise is a way that takes less time than reading the clock does. do is told which question is
// asked, and reports whether the answer is right.
type precise struct {
	name string
	do   func(question int) bool
}

// sink keeps what is only looked at.
var sink byte

// lookAt reads what a checker reads of a question.
func lookAt(q *question) {
	var v revoke.Verdict
	if keys, err := v.OfVerified(&q.verified); err == nil {
		sink += keys[0][0] + q.user[0] + q.token[0]
	}
}

// comparePrecisely gives each way its turns on some of n questions, and reads the clock before and
// after a turn. A turn takes less time than a slice of the scheduler. It reports the time of one
// call, and its multiples of the first two ways: medians over the rounds, of what was measured in
// the same round.
func comparePrecisely(b *testing.B, n int, lookAt func(question int), ways ...precise) {
	b.Helper()
	const calls = 1 << 9
	rounds, _ := turns()
	rounds *= 3 * n / calls
	times := make([][]float64, len(ways)) // in nanoseconds, by way and round
	for round := range rounds {
		first := round * calls % n
		for i := range ways {
			i = (i + round) % len(ways)
			for question := first; question < first+calls; question++ {
				lookAt(question)
			}
			wrong := 0
			start := time.Now()
			for question := first; question < first+calls; question++ {
				if !ways[i].do(question) {
					wrong++
				}
			}
			took := time.Since(start)
			if wrong > 0 {
				b.Fatalf("%s: %d wrong answers", ways[i].name, wrong)
			}
			times[i] = append(times[i], float64(took.Nanoseconds())/calls)
		}
	}
	for i, w := range ways {
		allocations := testing.AllocsPerRun(100, func() { w.do(0) })
		b.Run(strings.ReplaceAll(w.name, " ", "_"), func(b *testing.B) {
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(slices.Clone(times[i])), "ns")
			b.ReportMetric(allocations, "allocs")
			for floor, unit := range []string{"of-present", "of-absent"} {
				ratios := make([]float64, rounds)
				for round := range ratios {
					ratios[round] = times[i][round] / times[floor][round]
				}
				b.ReportMetric(median(ratios), unit)
			}
		})
	}
}

// BenchmarkMirrorLoad measures how long a mirror takes from Run until it answers from memory, for
// each row, beside a floor: the keys and the expiries of the same rows, read by one statement of
// pgx in binary and thrown away. Each figure is the least of its rounds, because a load has one
// turn a round only. "of-100k" is the time for each row as a multiple of that at 100,000 rows.
func BenchmarkMirrorLoad(b *testing.B) {
	sizes := []int{100_000, 1_000_000}
	if !testing.Short() {
		sizes = append(sizes, 10_000_000)
	}
	const rounds = 5
	var first float64
	for _, n := range sizes {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			pool := pgserver.Pool(b, pgserver.Database(b))
			fillPostgres(b, pool, n/2)
			store := testkit.OpenStore(b, pool)
			var stats mirror.Stats
			each := func(do func()) float64 {
				least := time.Duration(math.MaxInt64)
				for range rounds {
					start := time.Now()
					do()
					least = min(least, time.Since(start))
				}
				return float64(least.Nanoseconds()) / float64(n)
			}
			floor := each(func() {
				testkit.Must(b, readAway(b.Context(), pool, "SELECT key, expires_at FROM revoke.revocations"))
			})
			load := each(func() { stats = startMirror(b, store).Stats() })
			if stats.Entries != n {
				b.Fatalf("%d entries of %d were loaded", stats.Entries, n)
			}
			if first == 0 {
				first = load
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(load, "ns/row")
			b.ReportMetric(load*float64(n)/1e9, "s")
			b.ReportMetric(load/floor, "of-floor")
			b.ReportMetric(load/first, "of-100k")
			b.ReportMetric(float64(stats.Bytes)/1e6, "MB")
		})
	}
}
