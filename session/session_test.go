package session_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
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

// as is the app for a test of its own, with a user of its own.
func (a *app) as(t *testing.T) *app {
	t.Helper()
	other := *a
	other.t, other.user = t, a.User("user-"+rand.Text())
	return &other
}

// with is an app in the same database with other options.
func (a *app) with(opts ...session.Option) *app {
	a.t.Helper()
	other := onStore(a.t, a.store, a.pool, opts...)
	other.user = a.user
	return other
}

// rows runs tests on one app, each with a user of its own.
func rows(t *testing.T, a *app, tests []row) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(a.as(t))
		})
	}
}

type row struct {
	name string
	run  func(a *app)
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
	return got
}

// rotates wants the next generation.
func (a *app) rotates(tokens session.Tokens) session.Tokens {
	a.t.Helper()
	got := a.refresh(tokens, session.Rotated)
	if got.Refresh == "" || got.Access == "" {
		a.t.Fatal("a rotation has both tokens")
	}
	return got
}

// answersCurrent wants an access token and no refresh token.
func (a *app) answersCurrent(tokens session.Tokens) session.Tokens {
	a.t.Helper()
	got := a.refresh(tokens, session.Repeated)
	if got.Refresh != "" {
		a.t.Fatalf("answered with the refresh token %s", payload(a.t, got.Refresh))
	}
	return got
}

// answersPredecessor wants the refresh token of the current generation again.
func (a *app) answersPredecessor(tokens, current session.Tokens) {
	a.t.Helper()
	got := a.refresh(tokens, session.Repeated)
	if payload(a.t, got.Refresh) != payload(a.t, current.Refresh) {
		a.t.Fatalf("answered with %s, want the current one, %s", payload(a.t, got.Refresh), payload(a.t, current.Refresh))
	}
}

// fails wants a reason.
func (a *app) fails(tokens session.Tokens, want session.Reason) {
	a.t.Helper()
	if a.failure(tokens, want) == nil {
		a.t.Fatal("no error")
	}
}

// failure wants a reason, and returns the error.
func (a *app) failure(tokens session.Tokens, want session.Reason) *session.RefreshError {
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
	if over := want != session.Unknown && want != session.Invalid && want != session.Unavailable; failed.IsOver() != over {
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

// number is a claim that is a number, 0 where it is none.
func number(claims map[string]any, name string) int64 {
	value, _ := claims[name].(float64)
	return int64(value)
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
