package session_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/session"
)

// listed returns the ids of the user's sessions.
func (a *app) listed() (ids []string) {
	a.t.Helper()
	for _, s := range testkit.Value(a.List(a.t.Context(), a.user))(a.t) {
		ids = append(ids, s.ID)
	}
	return ids
}

// wantListed wants these sessions, in the order of their last use.
func (a *app) wantListed(want ...session.Tokens) {
	a.t.Helper()
	var ids []string
	for _, tokens := range want {
		ids = append(ids, tokens.Session.ID)
	}
	if got := a.listed(); strings.Join(got, " ") != strings.Join(ids, " ") {
		a.t.Fatalf("List = %v, want %v", got, ids)
	}
}

// TestEnds is how sessions end.
func TestEnds(t *testing.T) {
	t.Parallel()
	rows(t, newApp(t), []row{
		{"one device is signed out", func(a *app) {
			t := a.t
			one, two := a.start(), a.start()
			for range 2 {
				testkit.Must(t, a.End(t.Context(), a.user, one.Session.ID, revoke.WithReason("lost"), revoke.WithActor("ada")))
			}
			a.accepts(one, false)
			a.accepts(two, true)
			a.fails(one, session.Ended)
			a.wantListed(two)
			if got := testkit.QueryOne[string](t, a.pool, "SELECT reason || ' ' || actor FROM revoke.revocations WHERE id = $1", one.Session.ID); got != "lost ada" {
				t.Errorf("the record says %q", got)
			}
		}},
		{"a user ends no session of another user by its id", func(a *app) {
			t := a.t
			one := a.start()
			before := a.state(one)
			for _, sid := range []string{one.Session.ID, "none"} {
				if err := a.End(t.Context(), a.User("eve"), sid); !errors.Is(err, session.ErrNotFound) {
					t.Errorf("End = %v", err)
				}
				if _, err := a.EndOthers(t.Context(), a.User("eve"), sid, browser); !errors.Is(err, session.ErrNotFound) {
					t.Errorf("EndOthers = %v", err)
				}
			}
			if list := testkit.Value(a.List(t.Context(), a.User("eve")))(t); len(list) != 0 {
				t.Errorf("List = %+v", list)
			}
			if after := a.state(one); after != before {
				t.Errorf("%s became %s", before, after)
			}
			a.accepts(one, true)
			if n := testkit.QueryOne[int](t, a.pool, "SELECT count(*) FROM revoke.revocations WHERE id IN ('eve', $1, 'none')", one.Session.ID); n != 0 {
				t.Errorf("%d rows were written", n)
			}
		}},
		{"everywhere else is signed out", func(a *app) {
			t := a.t
			one, two := a.start(), a.start()
			fresh := testkit.Value(a.EndOthers(t.Context(), a.user, one.Session.ID, browser))(t)
			if fresh.Session == one.Session || fresh.Outcome != session.Started {
				t.Errorf("EndOthers = %+v", fresh)
			}
			a.wantListed(fresh)
			a.accepts(fresh, true)
			for _, tokens := range []session.Tokens{one, two} {
				a.accepts(tokens, false)
				a.fails(tokens, session.Revoked)
			}
			a.rotates(fresh)
		}},
		{"a caller who commits after an error has written nothing", func(a *app) {
			t := a.t
			one := a.start()
			a.pass(one, session.DefaultIdleTimeout)
			for _, sid := range []string{"none", one.Session.ID} {
				tx := testkit.Value(a.pool.Begin(t.Context()))(t)
				if _, err := a.WithTx(tx).EndOthers(t.Context(), a.user, sid, browser); err == nil {
					t.Error("EndOthers = nil")
				}
				testkit.Must(t, tx.Commit(t.Context()))
			}
			if n := testkit.QueryOne[int](t, a.pool, "SELECT count(*) FROM revoke.revocations WHERE id = $1", a.user.Subject); n != 0 {
				t.Errorf("%d rows were written", n)
			}
		}},
		{"epochs that are none start nothing", func(a *app) {
			t := a.t
			for _, epochs := range []revoke.Epochs{{User: -1}, {Issuer: -1}} {
				if _, err := a.Start(t.Context(), a.user, epochs, browser); err == nil || errors.Is(err, revoke.ErrUnavailable) {
					t.Errorf("Start = %v", err)
				}
			}
			a.wantListed()
		}},
		{"a session that is over has no successor", func(a *app) {
			t := a.t
			for _, test := range []struct {
				end  func(tokens session.Tokens)
				want session.Reason
			}{
				{func(tokens session.Tokens) { testkit.Must(t, a.End(t.Context(), a.user, tokens.Session.ID)) }, session.Ended},
				{func(session.Tokens) { testkit.Value(a.EndAll(t.Context(), a.user))(t) }, session.Revoked},
				{func(tokens session.Tokens) { a.pass(tokens, session.DefaultIdleTimeout) }, session.Idle},
				{func(tokens session.Tokens) { a.pass(tokens, session.DefaultAbsoluteLifetime) }, session.Over},
			} {
				tokens, other := a.start(), a.start()
				test.end(tokens)
				epochs := testkit.Value(a.store.Epochs(t.Context(), a.user))(t)
				_, err := a.EndOthers(t.Context(), a.user, tokens.Session.ID, browser)
				if failed := (*session.RefreshError)(nil); !errors.As(err, &failed) || failed.Reason != test.want {
					t.Errorf("EndOthers = %v, want %s", err, test.want)
				}
				if after := testkit.Value(a.store.Epochs(t.Context(), a.user))(t); after != epochs {
					t.Error("the user was revoked")
				}
				a.accepts(other, test.want != session.Revoked)
			}
		}},
		{"another client's session has no successor", func(a *app) {
			t := a.t
			one := a.start()
			if _, err := a.EndOthers(t.Context(), a.user, one.Session.ID, session.Device{Client: "phone"}); err == nil {
				t.Error("EndOthers = nil")
			}
			a.accepts(one, true)
		}},
		{"a logout by either token", func(a *app) {
			t := a.t
			one, two, three := a.start(), a.start(), a.start()
			testkit.Must(t, a.EndToken(t.Context(), one.Access))
			testkit.Must(t, a.EndToken(t.Context(), two.Refresh))
			rotated := a.rotates(three)
			for range 2 {
				testkit.Must(t, a.EndToken(t.Context(), three.Refresh)) // an older one will do
			}
			for _, tokens := range []session.Tokens{one, two, three, rotated} {
				a.accepts(tokens, false)
				a.fails(tokens, session.Ended)
			}
			a.wantListed()
		}},
		{"a logout by a token that has expired, or of a row that is lost", func(a *app) {
			t := a.t
			one, two := a.start(), a.start()
			past := a.with(session.WithClock(func() time.Time { return time.Now().Add(-2 * time.Hour) }))
			old := past.rotates(one)
			testkit.Must(t, a.EndToken(t.Context(), old.Access))
			a.accepts(one, false)
			testkit.Exec(t, a.pool, "DELETE FROM revoke.sessions WHERE sid = $1", two.Session.ID)
			testkit.Must(t, a.EndToken(t.Context(), two.Refresh))
			a.accepts(two, false)
		}},
		{"a user who is deleted", func(a *app) {
			t := a.t
			one := a.start()
			a.rotates(one)
			testkit.Must(t, pgx.BeginFunc(t.Context(), a.pool, func(tx pgx.Tx) error {
				if _, err := a.WithTx(tx).EndAll(t.Context(), a.user); err != nil {
					return err
				}
				return a.WithTx(tx).Forget(t.Context(), a.user)
			}))
			a.fails(one, session.Revoked)
			a.wantListed()
			if text := a.state(one); strings.Contains(text, browser.UserAgent) || strings.Contains(text, browser.Address) {
				t.Errorf("the row remembers the device: %s", text)
			}
		}},
		{"a changed password", func(a *app) {
			t := a.t
			one, two := a.start(), a.start()
			var fresh session.Tokens
			testkit.Must(t, pgx.BeginFunc(t.Context(), a.pool, func(tx pgx.Tx) error {
				epochs, err := a.WithTx(tx).EndAll(t.Context(), a.user)
				if err == nil {
					fresh, err = a.WithTx(tx).Start(t.Context(), a.user, epochs, browser)
				}
				return err
			}))
			a.accepts(fresh, true)
			a.accepts(one, false)
			a.fails(two, session.Revoked)
			a.wantListed(fresh)
		}},
		{"a session that an identity provider has ended is not listed", func(a *app) {
			t := a.t
			one, two := a.start(), a.start()
			testkit.Must(t, a.store.RevokeSession(t.Context(), one.Session))
			a.wantListed(two)
		}},
		{"a user of another issuer", func(a *app) {
			t := a.t
			other := revoke.User{Issuer: "https://elsewhere.example", Subject: "ada"}
			_, started := a.Start(t.Context(), other, revoke.Epochs{}, browser)
			_, listed := a.List(t.Context(), other)
			_, all := a.EndAll(t.Context(), other)
			_, others := a.EndOthers(t.Context(), other, "sid", browser)
			for _, err := range []error{started, listed, all, others, a.End(t.Context(), other, "sid"), a.Forget(t.Context(), other), a.Forget(t.Context(), a.User(""))} {
				if err == nil || errors.Is(err, revoke.ErrUnavailable) || errors.Is(err, session.ErrNotFound) {
					t.Errorf("%v", err)
				}
			}
		}},
	})
}

// TestTransactions joins the caller's transactions.
func TestTransactions(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	ctx := t.Context()
	db := stdlib.OpenDBFromPool(a.pool)
	defer func() { testkit.Must(t, db.Close()) }()
	errUndo := errors.New("undo")
	for _, kind := range []struct {
		name string
		in   func(fn func(*session.Tx) error) error
	}{
		{"pgx", func(fn func(*session.Tx) error) error {
			return pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error { return fn(a.WithTx(tx)) })
		}},
		{"database/sql", func(fn func(*session.Tx) error) error {
			tx := testkit.Value(db.BeginTx(ctx, nil))(t)
			if err := fn(a.WithSQLTx(tx)); err != nil {
				return errors.Join(err, tx.Rollback())
			}
			return tx.Commit()
		}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			a := a.as(t)
			kept := a.start()
			all := func(tx *session.Tx) error {
				if _, err := tx.Start(ctx, a.user, revoke.Epochs{}, browser); err != nil {
					return err
				}
				if err := tx.End(ctx, a.user, kept.Session.ID); err != nil {
					return err
				}
				if err := tx.Forget(ctx, a.user); err != nil {
					return err
				}
				_, err := tx.EndAll(ctx, a.user)
				return err
			}
			before := a.state(kept)
			if err := kind.in(func(tx *session.Tx) error { return errors.Join(all(tx), errUndo) }); !errors.Is(err, errUndo) || strings.Contains(err.Error(), "session:") {
				t.Fatalf("%v", err)
			}
			if after := a.state(kept); after != before {
				t.Errorf("after a rollback %s became %s", before, after)
			}
			a.wantListed(kept)
			a.accepts(kept, true)
			var fresh session.Tokens
			testkit.Must(t, kind.in(func(tx *session.Tx) (err error) {
				fresh, err = tx.EndOthers(ctx, a.user, kept.Session.ID, browser)
				return err
			}))
			a.accepts(kept, false)
			a.accepts(fresh, true)
			kept = fresh
			testkit.Must(t, kind.in(all))
			a.accepts(kept, false)
			a.wantListed()
		})
	}
	if _, err := a.WithTx(nil).EndAll(ctx, a.user); err == nil || !strings.Contains(err.Error(), "WithTx") {
		t.Errorf("without a transaction: %v", err)
	}
	if _, err := a.WithSQLTx(db).Start(ctx, a.user, revoke.Epochs{}, browser); err == nil || !strings.Contains(err.Error(), "WithSQLTx") {
		t.Errorf("with a database: %v", err)
	}
}

// mirrored counts the calls of Sync.
type mirrored struct{ calls atomic.Int32 }

// Sync implements the interface of WithMirror.
func (m *mirrored) Sync(context.Context) error { m.calls.Add(1); return errLost }

// TestMirrorIsTold tells the mirror of what has been committed here, and of nothing else.
// Its error is none of the call's.
func TestMirrorIsTold(t *testing.T) {
	t.Parallel()
	var mirror mirrored
	a := newApp(t, session.WithMirror(&mirror), session.WithMaxSessions(2))
	ctx := t.Context()
	told := func(what string, want bool) {
		t.Helper()
		if got := mirror.calls.Swap(0); got != map[bool]int32{true: 1}[want] {
			t.Errorf("%s: Sync was called %d times", what, got)
		}
	}
	one, two := a.start(), a.start()
	rotated := a.rotates(one)
	a.answersCurrent(rotated)
	testkit.Must(t, a.Forget(ctx, a.user))
	testkit.Must(t, pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error { return a.WithTx(tx).End(ctx, a.user, two.Session.ID) }))
	if err := a.End(ctx, a.user, "none"); err == nil {
		t.Error("End of no session = nil")
	}
	told("what ends nothing", false)
	a.pass(one, grace)
	a.fails(one, session.Replayed)
	told("a replay", true)
	one, two = a.start(), a.start()
	told("a start", false)
	a.start()
	told("a start that ends the oldest session", true)
	testkit.Must(t, a.End(ctx, a.user, two.Session.ID))
	told("End", true)
	testkit.Must(t, a.EndToken(ctx, one.Refresh))
	told("EndToken", true)
	three := a.start()
	fresh := testkit.Value(a.EndOthers(ctx, a.user, three.Session.ID, browser))(t)
	told("EndOthers", true)
	a.accepts(fresh, true)
	testkit.Value(a.EndAll(ctx, a.user))(t)
	told("EndAll", true)
}

// TestMaxSessions ends the oldest session.
func TestMaxSessions(t *testing.T) {
	t.Parallel()
	rows(t, newApp(t, session.WithMaxSessions(3)), []row{
		{"a fourth sign-in ends the first", func(a *app) {
			one, two, three := a.start(), a.start(), a.start()
			four := a.start()
			a.wantListed(four, three, two)
			a.accepts(one, false)
			a.fails(one, session.Ended)
			a.accepts(two, true)
			a.accepts(three, true)
		}},
		{"sessions that are over do not count", func(a *app) {
			t := a.t
			one, two, three := a.start(), a.start(), a.start()
			testkit.Exec(t, a.pool, "UPDATE revoke.sessions SET refreshed_at = clock_timestamp() - $2::text::interval WHERE sid = $1",
				three.Session.ID, session.DefaultIdleTimeout.String())
			a.start()
			testkit.Must(t, a.End(t.Context(), a.user, two.Session.ID))
			a.start()
			a.accepts(one, true)
		}},
		{"a sign-in after the clock was set back ends another session, not its own", func(a *app) {
			t := a.t
			for range 3 {
				a.start()
			}
			testkit.Exec(t, a.pool, "UPDATE revoke.sessions SET started_at = started_at + interval '1 hour' WHERE subject = $1", a.user.Subject)
			four := a.start()
			a.accepts(four, true)
			a.rotates(four)
			if list := testkit.Value(a.List(t.Context(), a.user))(t); len(list) != 3 {
				t.Errorf("List = %+v", list)
			}
		}},
		{"other sessions are not locked while the tokens of a new one are signed", func(a *app) {
			t := a.t
			one := a.start()
			free := 0
			signing := a.signing((&remote{func(context.Context) error {
				free += testkit.QueryOne[int](t, a.pool, `SELECT count(*) FROM (SELECT FROM revoke.sessions WHERE sid = $1
					FOR NO KEY UPDATE SKIP LOCKED) AS s`, one.Session.ID)
				return nil
			}}).keys(), session.WithMaxSessions(1))
			signing.start()
			if free != 2 { // for either token
				t.Errorf("the row was free for %d signatures", free)
			}
			a.fails(one, session.Ended)
		}},
		{"other users' do not count", func(a *app) {
			t := a.t
			one := a.start()
			for range 4 {
				a.as(t).start()
			}
			a.accepts(one, true)
		}},
	})
}

// TestSweep deletes rows of which every token has expired.
func TestSweep(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	live, ended, replayed, gone := a.start(), a.start(), a.start(), a.start()
	testkit.Must(t, a.End(t.Context(), a.user, ended.Session.ID))
	a.rotates(replayed)
	a.pass(replayed, session.DefaultAbsoluteLifetime+revoke.DefaultMargin-time.Minute)
	a.pass(gone, session.DefaultAbsoluteLifetime+revoke.DefaultMargin)
	if n := testkit.Value(a.Sweep(t.Context()))(t); n != 1 {
		t.Errorf("Sweep = %d", n)
	}
	if n := testkit.Value(a.Sweep(t.Context()))(t); n != 0 {
		t.Errorf("a second Sweep = %d", n)
	}
	a.fails(ended, session.Ended)
	a.fails(replayed, session.Over)
	a.fails(gone, session.Unknown)
	a.rotates(live)
}

// TestList shows what a user is to see.
func TestList(t *testing.T) {
	t.Parallel()
	a := newApp(t, session.WithAccessLifetime(time.Hour))
	ctx := t.Context()
	device := session.Device{
		Client: "phone", Label: "Ada's phone \u2013 \"x\"", UserAgent: "App/1", Address: "2001:db8::1", Attributes: map[string]string{"place": "Zürich", "\\": "'"},
	}
	tokens := testkit.Value(a.Start(ctx, a.user, revoke.Epochs{}, device))(t)
	check := func(want session.Device) {
		t.Helper()
		list := testkit.Value(a.List(ctx, a.user))(t)
		if len(list) != 1 {
			t.Fatalf("List = %+v", list)
		}
		got := list[0]
		if got.ID != tokens.Session.ID || got.Client != want.Client || got.Label != want.Label || got.UserAgent != want.UserAgent || got.Address != want.Address ||
			len(got.Attributes) != len(want.Attributes) || got.Attributes["place"] != want.Attributes["place"] || got.Attributes["\\"] != want.Attributes["\\"] {
			t.Errorf("List = %+v, want %+v", got, want)
		}
		if got.ExpiresAt.Sub(got.StartedAt) != session.DefaultAbsoluteLifetime || got.LastUsedAt.Before(got.StartedAt) {
			t.Errorf("List = %+v", got)
		}
		if used := got.LastUsedAt; !used.Equal(got.StartedAt) && !used.Equal(used.Truncate(time.Hour)) {
			t.Errorf("the last use is told as %v", used)
		}
	}
	check(device)
	a.pass(tokens, 30*time.Hour)
	moved := session.Device{Client: "phone", UserAgent: "App/2", Address: "192.0.2.7"}
	next := testkit.Value(a.Refresh(ctx, tokens.Refresh, moved))(t)
	moved.Label, moved.Attributes = device.Label, device.Attributes
	check(moved)
	a.pass(tokens, grace)
	renamed := session.Device{Client: "phone", Label: "telephone", UserAgent: "App/2", Attributes: map[string]string{"place": "Bern"}}
	testkit.Value(a.Refresh(ctx, next.Refresh, renamed))(t)
	check(renamed)
	testkit.Must(t, a.Forget(ctx, a.user))
	check(session.Device{Client: "phone"})
}

// TestListIsBounded: a user who signs in again and again makes no page of any length.
func TestListIsBounded(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	first := a.start()
	testkit.Exec(t, a.pool, `INSERT INTO revoke.sessions (key, user_key, issuer, sid, subject, user_epoch, issuer_epoch, generation, started_at, expires_at)
		SELECT gen_random_uuid(), s.user_key, s.issuer, 'old' || i, s.subject, s.user_epoch, s.issuer_epoch, 1, s.started_at - interval '1 hour', s.expires_at
		FROM revoke.sessions AS s, generate_series(1, $1) AS i`, session.MaxListed)
	list := testkit.Value(a.List(t.Context(), a.user))(t)
	if len(list) != session.MaxListed || list[0].ID != first.Session.ID {
		t.Errorf("List has %d sessions, the first one is %q", len(list), list[0].ID)
	}
}
