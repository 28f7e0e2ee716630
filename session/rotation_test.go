package session_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/session"
)

// TestRotation is who rotates, who is answered with what there is, and who is a thief.
func TestRotation(t *testing.T) {
	t.Parallel()
	rows(t, newApp(t), []row{
		{"a start counts as no rotation", func(a *app) {
			a.rotates(a.start())
		}},
		{"the next generation belongs to the same session", func(a *app) {
			t := a.t
			first := a.start()
			second := a.rotates(first)
			if second.Session != first.Session || second.User != a.user || !second.RefreshExpiresAt.Equal(first.RefreshExpiresAt) || a.generation(first) != 2 {
				t.Errorf("%+v became %+v", first, second)
			}
			a.accepts(first, true)
			a.accepts(second, true)
		}},
		{"at most one rotation per grace", func(a *app) {
			second := a.rotates(a.start())
			for range 3 {
				a.answersCurrent(second)
			}
			a.pass(second, grace-10*time.Second)
			a.answersCurrent(second)
			a.pass(second, 10*time.Second)
			a.rotates(second)
		}},
		{"a repeat of the current generation keeps the refresh token", func(a *app) {
			t := a.t
			second := a.rotates(a.start())
			again := a.answersCurrent(second)
			a.accepts(again, true)
			if again.Access == second.Access || a.generation(second) != 2 {
				t.Errorf("generation %d", a.generation(second))
			}
		}},
		{"the predecessor is answered within the grace", func(a *app) {
			first := a.start()
			second := a.rotates(first)
			a.answersPredecessor(first, second)
			a.pass(first, grace-10*time.Second)
			a.answersPredecessor(first, second)
		}},
		{"the grace does not slide", func(a *app) {
			first := a.start()
			second := a.rotates(first)
			for range 3 {
				a.pass(first, grace/4)
				a.answersPredecessor(first, second)
				a.answersCurrent(second)
			}
			a.pass(first, grace/4)
			a.fails(first, session.Replayed)
		}},
		{"the predecessor after the grace is a replay", func(a *app) {
			t := a.t
			first := a.start()
			second := a.rotates(first)
			other := a.start()
			a.pass(first, grace)
			failed := a.failure(first, session.Replayed)
			if failed.Presented != 1 || failed.Current != 2 || failed.Session != first.Session || failed.User != a.user ||
				failed.RefreshedAt.IsZero() || failed.At.Sub(failed.RefreshedAt) < grace {
				t.Errorf("%+v", failed)
			}
			for _, tokens := range []session.Tokens{first, second} {
				a.accepts(tokens, false)
				a.fails(tokens, session.Ended)
			}
			a.accepts(other, true)
			a.rotates(other)
			reason := testkit.QueryOne[string](t, a.pool, "SELECT reason FROM revoke.revocations WHERE scope = 'session' AND id = $1", first.Session.ID)
			if reason != "a refresh token was used again" {
				t.Errorf("the reason is %q", reason)
			}
		}},
		{"a grandparent is a replay within the grace too", func(a *app) {
			first := a.start()
			second := a.rotates(first)
			a.pass(first, grace)
			a.rotates(second)
			a.fails(first, session.Replayed)
			a.fails(second, session.Ended)
		}},
		{"the thief uses the copy first", func(a *app) { // S1 R1 S2 R1
			first := a.start()
			a.rotates(first)
			a.pass(first, grace)
			a.fails(first, session.Replayed)
		}},
		{"the owner uses the copy first", func(a *app) { // S1 R1 R2 S2 R1
			first := a.start()
			second := a.rotates(first)
			a.pass(first, grace)
			third := a.rotates(second)
			a.pass(first, grace)
			a.fails(first, session.Replayed)
			a.fails(third, session.Ended)
		}},
		{"any older generation is a replay", func(a *app) {
			generations := []session.Tokens{a.start()}
			for range 5 {
				last := generations[len(generations)-1]
				a.pass(last, grace)
				generations = append(generations, a.rotates(last))
			}
			a.fails(generations[2], session.Replayed)
			for _, tokens := range generations {
				a.accepts(tokens, false)
			}
		}},
		{"two tabs of two sign-ins are two sessions", func(a *app) {
			one, two := a.start(), a.start()
			a.rotates(one)
			a.pass(one, grace)
			a.fails(one, session.Replayed)
			a.rotates(two)
		}},
		{"a restart forgets nothing", func(a *app) {
			first := a.start()
			a.rotates(first)
			a.pass(first, grace)
			a.with().fails(first, session.Replayed)
		}},
		{"with grace 0 each refresh rotates, and a second use is a replay", func(a *app) {
			strict := a.with(session.WithGrace(0))
			first := strict.start()
			second := strict.rotates(first)
			third := strict.rotates(second) // in the same second
			strict.fails(second, session.Replayed)
			strict.fails(third, session.Ended)
			first = strict.start()
			strict.rotates(first)
			strict.fails(first, session.Replayed)
		}},
	})
}

// atOnce refreshes one token so many times at once, and returns the winner's answer. Each
// call is to be answered with the generation that the winner got, or with an access token
// alone.
func (a *app) atOnce(tokens session.Tokens, calls int) session.Tokens {
	a.t.Helper()
	answers := make([]session.Tokens, calls)
	errs := make([]error, calls)
	begin := make(chan struct{})
	var tabs sync.WaitGroup
	for i := range calls {
		tabs.Go(func() {
			<-begin
			answers[i], errs[i] = a.Refresh(context.Background(), tokens.Refresh, browser)
		})
	}
	close(begin)
	tabs.Wait()
	var winner session.Tokens
	for i, answer := range answers {
		if errs[i] != nil {
			a.t.Fatalf("one of %d calls: %v", calls, errs[i])
		}
		if answer.Outcome == session.Rotated {
			if winner.Refresh != "" {
				a.t.Fatal("two calls have rotated")
			}
			winner = answer
		}
	}
	if winner.Refresh == "" {
		a.t.Fatal("no call has rotated")
	}
	for _, answer := range answers {
		if answer.Refresh != "" && payload(a.t, answer.Refresh) != payload(a.t, winner.Refresh) {
			a.t.Fatalf("a sibling: %s beside %s", payload(a.t, answer.Refresh), payload(a.t, winner.Refresh))
		}
	}
	return winner
}

// TestOneWinner is 16 tabs that load within a moment, and then again with what they were answered.
func TestOneWinner(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	tokens := a.start()
	for round := range int64(3) {
		tokens = a.atOnce(tokens, 16)
		if got := a.generation(tokens); got != round+2 {
			t.Fatalf("generation %d after %d rounds", got, round+1)
		}
		a.pass(tokens, grace)
	}
}

// TestOneWinnerWithoutGrace: of callers who saw the token as the current one at the same time, one
// rotates and the others are answered as the predecessor; one who came later is a replay.
func TestOneWinnerWithoutGrace(t *testing.T) {
	t.Parallel()
	a := newApp(t, session.WithGrace(0))
	for range 5 {
		tokens := a.start()
		var rotated atomic.Int32
		var tabs sync.WaitGroup
		for range 8 {
			tabs.Go(func() {
				if got, err := a.Refresh(context.Background(), tokens.Refresh, browser); err == nil && got.Outcome == session.Rotated {
					rotated.Add(1)
				}
			})
		}
		tabs.Wait()
		if rotated.Load() != 1 || a.generation(tokens) != 2 {
			t.Errorf("%d calls have rotated, generation %d", rotated.Load(), a.generation(tokens))
		}
	}
}

// TestHonestUsersStaySignedIn is many sessions that are refreshed by eight tabs at once,
// round after round.
func TestHonestUsersStaySignedIn(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	sessions, rounds := testkit.Long(4, 200), testkit.Long(3, 20)
	var users sync.WaitGroup
	limit := make(chan struct{}, 8)
	for range sessions {
		users.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			user := a.as(t)
			tokens := user.start()
			for range rounds {
				tokens = user.atOnce(tokens, 8)
				user.pass(tokens, grace)
			}
			if got := user.generation(tokens); got != int64(rounds)+1 {
				t.Errorf("generation %d after %d rounds", got, rounds)
			}
			user.accepts(tokens, true)
		})
	}
	users.Wait()
	if ended := testkit.QueryOne[int](t, a.pool, "SELECT count(*) FROM revoke.sessions WHERE ended_at IS NOT NULL"); ended != 0 {
		t.Errorf("%d of %d users were signed out", ended, sessions)
	}
}
