package session_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/session"
)

// grace is that of the tests' sessions. Time passes where a test says so, and hardly by itself.
const grace = session.DefaultGrace

// app is an app with sessions of ada's.
type app struct {
	*session.Sessions
	t         *testing.T
	store     *revoke.Postgres
	pool      *pgxpool.Pool
	validator *revoke.Validator
	user      revoke.User
}

var browser = session.Device{UserAgent: "Browser/1", Address: "192.0.2.1"}

// signer is the key of the tests' tokens. Ed25519 takes the least time.
func signer() session.Keys {
	return session.StaticKeys(session.Key{ID: "1", Method: jwt.SigningMethodEdDSA, Private: testkit.TestKeys().Ed})
}

// newApp returns an app on a database of its own.
func newApp(t *testing.T, opts ...session.Option) *app {
	t.Helper()
	store, pool := testkit.Store(t)
	return onStore(t, store, pool, opts...)
}

func onStore(t *testing.T, store *revoke.Postgres, pool *pgxpool.Pool, opts ...session.Option) *app {
	t.Helper()
	sessions := testkit.Value(session.New(store, testkit.Issuer, revoke.AudienceOf("api"), signer(), opts...))(t)
	validator := testkit.Value(sessions.NewValidator(store))(t)
	return &app{sessions, t, store, pool, validator, sessions.User("ada")}
}

// start signs ada in.
func (a *app) start() session.Tokens {
	a.t.Helper()
	epochs := testkit.Value(a.store.Epochs(a.t.Context(), a.user))(a.t)
	return testkit.Value(a.Start(a.t.Context(), a.user, epochs, browser))(a.t)
}

// pass lets time pass for a session, by its row.
func (a *app) pass(tokens session.Tokens, d time.Duration) {
	a.t.Helper()
	testkit.Exec(a.t, a.pool, `UPDATE revoke.sessions SET started_at = started_at - $2::text::interval, refreshed_at = refreshed_at - $2::text::interval,
		expires_at = expires_at - $2::text::interval WHERE sid = $1`, tokens.Session.ID, d.String())
}

// refresh wants an outcome.
func (a *app) refresh(tokens session.Tokens, want session.Outcome) session.Tokens {
	a.t.Helper()
	got, err := a.Refresh(a.t.Context(), tokens.Refresh, browser)
	if err != nil || got.Outcome != want {
		a.t.Fatalf("Refresh = %s, %v, want %s", got.Outcome, err, want)
	}
	if (got.Refresh == "") != (want == session.Repeated && got.Refresh == "") {
		a.t.Fatal("no refresh token")
	}
	return got
}

// fails wants a reason.
func (a *app) fails(tokens session.Tokens, want session.Reason) *session.RefreshError {
	a.t.Helper()
	got, err := a.Refresh(a.t.Context(), tokens.Refresh, browser)
	var failed *session.RefreshError
	if !errors.As(err, &failed) || failed.Reason != want || got != (session.Tokens{}) {
		a.t.Fatalf("Refresh = %+v, %v, want %s", got, err, want)
	}
	sentinel := revoke.ErrRevoked
	switch want {
	case session.Unknown, session.Invalid:
		sentinel = revoke.ErrInvalidToken
	case session.Unavailable:
		sentinel = revoke.ErrUnavailable
	}
	testkit.WantError(a.t, err, sentinel)
	if failed.IsOver() != (sentinel == revoke.ErrRevoked) {
		a.t.Errorf("IsOver of %s = %v", want, failed.IsOver())
	}
	return failed
}

// generation is that of the row.
func (a *app) generation(tokens session.Tokens) int64 {
	a.t.Helper()
	return testkit.QueryOne[int64](a.t, a.pool, "SELECT generation FROM revoke.sessions WHERE sid = $1", tokens.Session.ID)
}

// accepts wants the access token to be accepted or not.
func (a *app) accepts(tokens session.Tokens, want bool) {
	a.t.Helper()
	_, err := a.validator.Validate(a.t.Context(), tokens.Access)
	if (err == nil) != want {
		a.t.Fatalf("Validate = %v, want acceptance %v", err, want)
	}
	if !want {
		testkit.WantError(a.t, err, revoke.ErrRevoked)
	}
}

// payload is the payload of a token, undecoded.
func payload(t *testing.T, text string) string {
	t.Helper()
	var claims jwt.MapClaims
	_, _, err := jwt.NewParser().ParseUnverified(text, &claims)
	testkit.Must(t, err)
	data := testkit.Value(jwt.NewParser().DecodeSegment(strings.Split(text, ".")[1]))(t)
	return string(data)
}

func TestLifeOfASession(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	first := a.start()
	if first.Outcome != session.Started {
		t.Errorf("outcome %s", first.Outcome)
	}
	a.accepts(first, true)
	second := a.refresh(first, session.Rotated)
	if second.Session != first.Session || a.generation(first) != 2 {
		t.Errorf("session %v became %v, generation %d", first.Session, second.Session, a.generation(first))
	}
	a.accepts(first, true)
	a.accepts(second, true)
	again := a.refresh(first, session.Repeated)
	if payload(t, again.Refresh) != payload(t, second.Refresh) {
		t.Errorf("the predecessor was answered with %s, not %s", payload(t, again.Refresh), payload(t, second.Refresh))
	}
	if current := a.refresh(second, session.Repeated); current.Refresh != "" {
		t.Errorf("the current one was answered with the refresh token %s", payload(t, current.Refresh))
	}
	a.pass(first, grace)
	third := a.refresh(second, session.Rotated)
	a.pass(first, grace+time.Second)
	failed := a.fails(second, session.Replayed)
	if failed.Presented != 2 || failed.Current != 3 || failed.Session != first.Session || failed.User != a.user || failed.RefreshedAt.IsZero() || failed.At.IsZero() {
		t.Errorf("%+v", failed)
	}
	for _, tokens := range []session.Tokens{first, second, third} {
		a.accepts(tokens, false)
		a.fails(tokens, session.Ended)
	}
}

func TestEightTabsAtOnce(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	tokens := a.start()
	for range 3 {
		a.pass(tokens, grace)
		before := a.generation(tokens)
		var mu sync.Mutex
		var next session.Tokens
		rotated := 0
		var tabs sync.WaitGroup
		for range 8 {
			tabs.Go(func() {
				got, err := a.Refresh(context.WithoutCancel(t.Context()), tokens.Refresh, browser)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					t.Errorf("Refresh: %v", err)
				case got.Outcome == session.Rotated:
					rotated++
					next = got
				case payload(t, got.Refresh) == "":
				}
			})
		}
		tabs.Wait()
		if after := a.generation(tokens); after != before+1 || rotated != 1 {
			t.Fatalf("generation %d became %d, and %d tabs rotated", before, after, rotated)
		}
		tokens = next
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	one, two, three := a.start(), a.start(), a.start()
	if list := testkit.Value(a.List(t.Context(), a.user))(t); len(list) != 3 {
		t.Fatalf("List = %+v", list)
	}
	if err := a.End(t.Context(), a.User("eve"), one.Session.ID); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("End of another user's session = %v", err)
	}
	a.accepts(one, true)
	testkit.Must(t, a.End(t.Context(), a.user, one.Session.ID))
	testkit.Must(t, a.End(t.Context(), a.user, one.Session.ID))
	a.accepts(one, false)
	a.fails(one, session.Ended)
	fresh := testkit.Value(a.EndOthers(t.Context(), a.user, two.Session.ID, browser))(t)
	a.accepts(fresh, true)
	for _, tokens := range []session.Tokens{two, three} {
		a.accepts(tokens, false)
		if failed := a.fails(tokens, session.Revoked); failed.Scope != revoke.ScopeUser {
			t.Errorf("scope %s", failed.Scope)
		}
	}
	if list := testkit.Value(a.List(t.Context(), a.user))(t); len(list) != 1 || list[0].ID != fresh.Session.ID || list[0].Address != browser.Address {
		t.Errorf("List = %+v", list)
	}
	if _, err := a.EndOthers(t.Context(), a.user, two.Session.ID, browser); !errors.Is(err, revoke.ErrRevoked) {
		t.Errorf("EndOthers of a session that is revoked = %v", err)
	}
	a.refresh(fresh, session.Rotated)
	testkit.Must(t, a.EndToken(t.Context(), fresh.Access))
	a.fails(fresh, session.Ended)
	last := a.start()
	testkit.Must(t, a.EndToken(t.Context(), last.Refresh))
	a.accepts(last, false)
	more := a.start()
	testkit.Value(a.EndAll(t.Context(), a.user))(t)
	a.accepts(more, false)
	testkit.Must(t, a.Forget(t.Context(), a.user))
	if n := testkit.QueryOne[int](t, a.pool, "SELECT count(*) FROM revoke.sessions WHERE user_agent IS NOT NULL OR address IS NOT NULL"); n != 0 {
		t.Errorf("%d rows remember a device", n)
	}
	testkit.Exec(t, a.pool, "UPDATE revoke.sessions SET expires_at = now() - interval '2 hours' WHERE sid = $1", more.Session.ID)
	if n := testkit.Value(a.Sweep(t.Context()))(t); n != 1 {
		t.Errorf("Sweep = %d", n)
	}
}

var _ = pgserver.Database
