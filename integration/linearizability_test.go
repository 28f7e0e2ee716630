package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/mirror"
)

// request is one call about one token. Each token has a user of its own.
type request struct {
	token int
	kind  string // revoke, redeem, revokeUser, epochs, check
	epoch int64  // of a check: the user's epoch that the token claims
}

// response is the result of a call.
type response struct {
	yes     bool  // the check accepted, or the redeemer won
	epoch   int64 // of revokeUser and epochs
	unknown bool  // a write may or may not have happened
}

// state is the state of a token and its user in a store that takes one call at a time.
type state struct {
	dead  bool
	epoch int64
}

// as gives a value of a porcupine.Model its type.
func as[T any](v any) T {
	typed, ok := v.(T)
	if !ok {
		panic(fmt.Sprintf("%T in a history", v))
	}
	return typed
}

// sequential is a store that takes one call at a time: the result of each call, by the state
// before it.
var sequential = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byToken := map[int][]porcupine.Operation{}
		for _, op := range history {
			token := as[request](op.Input).token
			byToken[token] = append(byToken[token], op)
		}
		var all [][]porcupine.Operation
		for _, ops := range byToken {
			all = append(all, ops)
		}
		return all
	},
	Init: func() any { return state{} },
	Step: func(before, input, output any) (bool, any) {
		s, in, out := as[state](before), as[request](input), as[response](output)
		switch in.kind {
		case "revoke":
			return true, state{true, s.epoch}
		case "redeem":
			return out.unknown || out.yes != s.dead, state{true, s.epoch}
		case "revokeUser":
			return out.epoch > s.epoch, state{s.dead, out.epoch}
		case "epochs":
			return out.epoch == s.epoch, s
		default:
			return out.yes == (!s.dead && in.epoch >= s.epoch), s
		}
	},
}

// process is one of several that share a database.
type process struct {
	store revoke.Revoker
	check revoke.Checker
}

// history is a list of calls with their results, beginnings and ends.
type history struct {
	began time.Time
	mu    sync.Mutex
	ops   []porcupine.Operation
}

// never is the end of a call that failed, so that it may take effect at any time or not at all.
const never = int64(1) << 62

func (h *history) add(in request, call time.Duration, out response) {
	end := int64(time.Since(h.began))
	if out.unknown {
		end = never
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: len(h.ops), Input: in, Call: int64(call), Output: out, Return: end})
}

// record returns the calls of processes that work on tokens at the same time. Some of their
// writes are cancelled. A check may answer from a state that was current up to stale before it
// began.
func record(t *testing.T, processes []process, tokens int, stale time.Duration) []porcupine.Operation {
	t.Helper()
	h := &history{began: time.Now()}
	var group sync.WaitGroup
	for n := range tokens {
		token := testkit.Token()
		for i := range 6 {
			group.Go(func() {
				for range 5 {
					<-time.After(rand.N(20 * time.Millisecond))
					p := processes[rand.N(len(processes))]
					kinds := []string{"check", "check", "epochs", "revokeUser"}
					if i == 0 { // mostly checks, so that most of them find the token alive
						kinds = []string{"check", "check", "check", "redeem", "revoke"}
					}
					h.perform(t, p, token, request{token: n, kind: kinds[rand.N(len(kinds))]}, stale)
				}
			})
		}
		if n%16 == 15 {
			group.Wait()
		}
	}
	group.Wait()
	return h.ops
}

// perform makes one call.
func (h *history) perform(t *testing.T, p process, token revoke.Token, in request, stale time.Duration) {
	t.Helper()
	ctx, cancel := t.Context(), func() {}
	if in.kind == "revoke" && rand.N(4) == 0 { // mostly after it was sent
		ctx, cancel = context.WithTimeout(ctx, rand.N(2*time.Millisecond))
	}
	defer cancel()
	user := token.User()
	if in.kind == "check" {
		epochs, err := p.store.Epochs(ctx, user)
		testkit.Must(t, err)
		in.epoch = epochs.User
		token.Epochs, token.HasEpochs = epochs, true
		<-time.After(rand.N(10 * time.Millisecond)) // meanwhile a revocation may make them old
	}
	call := time.Since(h.began)
	var out response
	var err error
	switch in.kind {
	case "revoke":
		err = p.store.RevokeToken(ctx, token)
		out.unknown = err != nil
		err = nil
	case "redeem":
		err = p.store.Redeem(ctx, token)
		out.yes = err == nil
	case "revokeUser":
		var epochs revoke.Epochs
		epochs, err = p.store.RevokeUser(ctx, user)
		out.epoch = epochs.User
	case "epochs":
		var epochs revoke.Epochs
		epochs, err = p.store.Epochs(ctx, user)
		out.epoch = epochs.User
	case "check":
		err = p.check.Check(ctx, token)
		out.yes = err == nil
		call = max(0, call-stale)
	}
	if err != nil && !errors.Is(err, revoke.ErrRevoked) {
		t.Errorf("%s: %v", in.kind, err)
		return
	}
	h.add(in, call, out)
}

// linearizable asks porcupine for an order of the calls that explains every result.
func linearizable(t *testing.T, ops []porcupine.Operation) porcupine.CheckResult {
	t.Helper()
	accepted := 0
	for _, op := range ops {
		if as[response](op.Output).yes {
			accepted++
		}
	}
	result := porcupine.CheckOperationsTimeout(sequential, ops, time.Minute)
	t.Logf("%d calls, %d of them accepted: %s", len(ops), accepted, result)
	return result
}

// TestStoreIsLinearizable runs several processes on one database. One order of all calls, in
// which each takes effect at a moment between its beginning and its end, explains every result.
func TestStoreIsLinearizable(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		opts []revoke.PostgresOption
	}{
		{"checks share queries", nil},
		{"a query for each check", []revoke.PostgresOption{revoke.WithCheckQueries(0)}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			address := pgserver.Database(t)
			var processes []process
			for range 3 {
				store := testkit.OpenStore(t, pgserver.Pool(t, address), row.opts...)
				processes = append(processes, process{store, store})
			}
			if result := linearizable(t, record(t, processes, 200, 0)); result != porcupine.Ok {
				t.Error(result)
			}
		})
	}
}

// runMirror returns a mirror that has loaded the table. It runs until the test ends.
func runMirror(t *testing.T, store *revoke.Postgres, opts ...mirror.Option) *mirror.Mirror {
	t.Helper()
	m, err := mirror.New(store, opts...)
	testkit.Must(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() { cancel(); testkit.Must(t, <-done) })
	testkit.Must(t, m.Ready(t.Context()))
	return m
}

// TestMirrorIsLinearizableWithinItsBound expects that every check of a mirror is explained by a
// state that was current at most the bound before the check began. The processes write by their
// stores, so that no mirror is notified.
func TestMirrorIsLinearizableWithinItsBound(t *testing.T) {
	t.Parallel()
	const rewrite = "ALTER TABLE revoke.revocations ALTER COLUMN reason TYPE text USING reason || ''"
	for _, row := range []struct {
		name      string
		parameter string // that every connection begins with
		value     string
		disturb   string // again and again
	}{
		{"undisturbed", "application_name", "app", "SELECT"},
		{"the table is rewritten", "default_transaction_isolation", "read committed", rewrite},
		{"the table is rewritten, for repeatable read", "default_transaction_isolation", "repeatable read", rewrite},
		{"the mirrors' sessions are ended", "application_name", "app", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE '%pg_current_snapshot()%' AND query NOT LIKE '%query LIKE%'`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			const bound = 40 * time.Millisecond
			address := pgserver.Database(t)
			admin := pgserver.Pool(t, address)
			var processes []process
			for range 3 {
				store := testkit.OpenStore(t, pgserver.Pool(t, address, func(c *pgxpool.Config) {
					c.ConnConfig.RuntimeParams[row.parameter] = row.value
				}))
				processes = append(processes, process{store, runMirror(t, store, mirror.WithBound(bound))})
			}
			ctx, cancel := context.WithCancel(t.Context())
			var group sync.WaitGroup
			group.Go(func() {
				for ctx.Err() == nil {
					if _, err := admin.Exec(ctx, row.disturb); err != nil && ctx.Err() == nil {
						t.Error(err)
					}
					<-time.After(30 * time.Millisecond)
				}
			})
			ops := record(t, processes, 200, bound)
			cancel()
			group.Wait()
			if result := linearizable(t, ops); result != porcupine.Ok {
				t.Error(result)
			}
		})
	}
}

// TestStalenessShows expects that the tests above can fail: mirrors that are older than the
// claimed bound are noticed.
func TestStalenessShows(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	var processes []process
	for range 3 {
		store := testkit.OpenStore(t, pgserver.Pool(t, address))
		processes = append(processes, process{store, runMirror(t, store)}) // its bound is a second
	}
	if result := linearizable(t, record(t, processes, 60, 40*time.Millisecond)); result != porcupine.Illegal {
		t.Errorf("%s, want %s", result, porcupine.Illegal)
	}
}
