package session_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/session"
)

// expected is what a model of a session says of a refresh.
type expected struct {
	reason     session.Reason  // empty where there are tokens
	outcome    session.Outcome // empty where there are none
	generation int64           // of the refresh token, 0 where there is none
}

// modelled is a session as the rules have it: a few numbers, no clock but its own, one step
// at a time.
type modelled struct {
	tokens  map[int64]session.Tokens // every refresh token that was handed out, by its generation
	current int64
	now     time.Duration // since the start
	rotated time.Duration // when the last rotation was
	never   bool          // there was no rotation
	ended   bool
	revoked bool
	swept   bool
}

// refresh says what presenting a generation leads to, and changes the model.
func (m *modelled) refresh(generation int64) expected {
	used := m.rotated
	if m.never {
		used = 0
	}
	switch {
	case m.ended:
		return expected{reason: session.Ended}
	case m.revoked:
		return expected{reason: session.Revoked}
	case m.swept:
		return expected{reason: session.Unknown}
	case m.now >= session.DefaultAbsoluteLifetime:
		return expected{reason: session.Over}
	case m.now-used >= session.DefaultIdleTimeout:
		return expected{reason: session.Idle}
	}
	young := !m.never && m.now-m.rotated < grace
	switch {
	case generation > m.current: // a failover has lost its rotation
		m.current, m.rotated, m.never = generation, m.now, false
		return expected{outcome: session.Repeated}
	case generation == m.current && young:
		return expected{outcome: session.Repeated}
	case generation == m.current:
		m.current, m.rotated, m.never = generation+1, m.now, false
		return expected{outcome: session.Rotated, generation: m.current}
	case generation == m.current-1 && young:
		return expected{outcome: session.Repeated, generation: m.current}
	}
	m.ended = true
	return expected{reason: session.Replayed}
}

// TestModel runs random sequences of what can happen to a session against the model.
func TestModel(t *testing.T) {
	t.Parallel()
	shared := newApp(t)
	rapid.Check(t, func(t *rapid.T) { runModel(t, shared) })
}

func runModel(rt *rapid.T, shared *app) {
	a := shared.as(shared.t)
	begin := func() *modelled {
		tokens := a.start()
		return &modelled{tokens: map[int64]session.Tokens{1: tokens}, current: 1, never: true}
	}
	m := begin()
	first := m.tokens[1]
	actions := map[string]func(*rapid.T){
		"": func(rt *rapid.T) {
			// An access token of any answer lives as long as nothing has ended the session.
			_, err := a.validator.Validate(a.t.Context(), first.Access)
			if refused := errors.Is(err, revoke.ErrRevoked); refused != (m.ended || m.revoked) {
				rt.Fatalf("Validate = %v, ended %v, revoked %v", err, m.ended, m.revoked)
			}
		},
		"refresh": func(rt *rapid.T) {
			generations := slices.Sorted(func(yield func(int64) bool) {
				for generation := range m.tokens {
					if !yield(generation) {
						return
					}
				}
			})
			// Mostly one of the latest, as clients do.
			back := min(rapid.SampledFrom([]int{0, 0, 0, 1, 1, 2, 5}).Draw(rt, "back"), len(generations)-1)
			presented := generations[len(generations)-1-back]
			want := m.refresh(presented)
			got, err := a.Refresh(a.t.Context(), m.tokens[presented].Refresh, browser)
			var failed *session.RefreshError
			switch {
			case err == nil:
				generation := int64(0)
				if got.Refresh != "" {
					_, claims := decoded(a.t, got.Refresh)
					generation = number(claims, "generation")
				}
				if (expected{outcome: got.Outcome, generation: generation}) != want {
					rt.Fatalf("generation %d was answered with %s %d, want %+v", presented, got.Outcome, generation, want)
				}
				if got.Refresh != "" && !rapid.Bool().Draw(rt, "lost") {
					m.tokens[generation] = got
				}
			case !errors.As(err, &failed) || failed.Reason != want.reason:
				rt.Fatalf("generation %d was answered with %v, want %+v", presented, err, want)
			}
		},
		"time passes": func(rt *rapid.T) {
			d := rapid.SampledFrom([]time.Duration{
				grace / 3, grace / 3, grace / 2, grace / 2, grace, grace, grace, 2 * grace, time.Hour, 6 * 24 * time.Hour, session.DefaultIdleTimeout,
			}).Draw(rt, "for")
			a.pass(first, d)
			m.now += d
		},
		"sign out": func(*rapid.T) {
			err := a.End(a.t.Context(), a.user, first.Session.ID)
			if m.swept {
				if !errors.Is(err, session.ErrNotFound) {
					rt.Fatalf("End = %v", err)
				}
				return
			}
			testkit.Must(a.t, err)
			m.ended = true
		},
		"revoke the user": func(*rapid.T) {
			testkit.Value(a.EndAll(a.t.Context(), a.user))(a.t)
			m.revoked = true
		},
		"sweep": func(*rapid.T) {
			testkit.Value(a.Sweep(a.t.Context()))(a.t)
			m.swept = m.swept || m.now >= session.DefaultAbsoluteLifetime+revoke.DefaultMargin
		},
		"lose the last rotation in a failover": func(rt *rapid.T) {
			if m.never || m.swept || m.current < 2 {
				rt.Skip()
			}
			testkit.Exec(a.t, a.pool, "UPDATE revoke.sessions SET generation = generation - 1, refreshed_at = refreshed_at - $2::text::interval WHERE sid = $1",
				first.Session.ID, grace.String())
			m.current--
			m.rotated -= grace
		},
		"sign in": func(*rapid.T) {
			if m.ended || m.revoked || m.swept {
				m = begin()
				first = m.tokens[1]
			}
		},
	}
	// Refreshes come most often, as they do in life.
	for _, name := range []string{"refresh again", "refresh once more", "refresh in another tab", "refresh in a third tab"} {
		actions[name] = actions["refresh"]
	}
	rt.Repeat(actions)
	// What List shows is what can be refreshed.
	can := *m
	reason := can.refresh(m.current).reason
	listed := slices.Contains(a.listed(), first.Session.ID)
	if listed != (reason == "") {
		rt.Fatalf("listed %v, and a refresh is %q", listed, reason)
	}
}
