package integration

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/mirror"
)

// request is a call that is about one token, which has a user of its own.
type request struct {
	token int
	kind  string // revoke, redeem, revokeUser, epochs, check
	epoch int64  // of a check: the user's epoch that the token claims
}

// response is what the call returned.
type response struct {
	yes     bool  // a check accepted, a redeemer won
	epoch   int64 // of revokeUser and epochs
	unknown bool  // a write may or may not have happened
}

// state is what a token and its user would be if calls came one after the other.
type state struct {
	dead  bool
	epoch int64
}

// as returns what a porcupine.Model has untyped.
func as[T any](v any) T {
	typed, ok := v.(T)
	if !ok {
		panic(fmt.Sprintf("%T in a history", v))
	}
	return typed
}

// sequential says what each call must return in a store that has a single state at a time.
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

// history is what was asked and answered, and when.
type history struct {
	began time.Time
	mu    sync.Mutex
	ops   []porcupine.Operation
}

// never is the end of a call of which nobody knows when, or whether, it took effect.
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

// record has processes work on tokens at the same time, some of whose writes are cancelled. Checks may answer from a state
// that is older than their beginning by stale.
func record(t *testing.T, processes []process, tokens int, stale time.Duration) []porcupine.Operation {
	t.Helper()
	h := &history{began: time.Now()}
	var group sync.WaitGroup
	for n := range tokens {
		now := time.Now().Truncate(time.Second)
		token := revoke.Token{Issuer: issuer, ID: rand.Text(), Subject: rand.Text(), IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
		for i := range 6 {
			group.Go(func() {
				for range 5 {
					<-time.After(mathrand.N(20 * time.Millisecond))
					p := processes[mathrand.N(len(processes))]
					kinds := []string{"check", "check", "epochs", "revokeUser"}
					if i == 0 { // the later the token dies, the more there is to see
						kinds = []string{"check", "check", "check", "redeem", "revoke"}
					}
					h.perform(t, p, token, request{token: n, kind: kinds[mathrand.N(len(kinds))]}, stale)
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
	if in.kind == "revoke" && mathrand.N(4) == 0 { // mostly after it was sent
		ctx, cancel = context.WithTimeout(ctx, mathrand.N(2*time.Millisecond))
	}
	defer cancel()
	user := revoke.User{Issuer: token.Issuer, Subject: token.Subject}
	if in.kind == "check" {
		epochs, err := p.store.Epochs(ctx, user)
		must(t, err)
		in.epoch = epochs.User
		token.Epochs = &epochs
		<-time.After(mathrand.N(10 * time.Millisecond)) // in which they may become old
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

func newStore(t *testing.T, address string, opts ...revoke.PostgresOption) *revoke.Postgres {
	t.Helper()
	store, err := revoke.NewPostgres(pgserver.Pool(t, address), opts...)
	must(t, err)
	return store
}

// TestStoreIsLinearizable has several processes share a database: there is one order of all calls, in which each takes
// effect at a moment between its beginning and its end, that explains every answer.
func TestStoreIsLinearizable(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]revoke.PostgresOption{
		"shared queries": nil, "a query each": {revoke.WithCheckQueries(0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := pgserver.Database(t)
			var processes []process
			for range 3 {
				store := newStore(t, address, opts...)
				processes = append(processes, process{store, store})
			}
			if result := linearizable(t, record(t, processes, 200, 0)); result != porcupine.Ok {
				t.Error(result)
			}
		})
	}
}

// runMirror runs a mirror that has loaded, until the test ends.
func runMirror(t *testing.T, store *revoke.Postgres, opts ...mirror.Option) *mirror.Mirror {
	t.Helper()
	m, err := mirror.New(store, opts...)
	must(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() { cancel(); must(t, <-done) })
	must(t, m.Ready(t.Context()))
	return m
}

// TestMirrorIsLinearizableWithinItsBound has every check of a mirror explained by a state that is at most the bound old. The
// processes write past each other's mirrors, and nobody is told.
func TestMirrorIsLinearizableWithinItsBound(t *testing.T) {
	t.Parallel()
	const bound = 40 * time.Millisecond
	address := pgserver.Database(t)
	var processes []process
	for range 3 {
		store := newStore(t, address)
		processes = append(processes, process{store, runMirror(t, store, mirror.WithBound(bound))})
	}
	if result := linearizable(t, record(t, processes, 200, bound)); result != porcupine.Ok {
		t.Error(result)
	}
}

// TestStalenessShows looks whether the tests above can fail: mirrors that are later than what is claimed are found out.
func TestStalenessShows(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	var processes []process
	for range 3 {
		store := newStore(t, address)
		processes = append(processes, process{store, runMirror(t, store)}) // of a second
	}
	if result := linearizable(t, record(t, processes, 60, 40*time.Millisecond)); result != porcupine.Illegal {
		t.Errorf("%s, want it to be found out", result)
	}
}
