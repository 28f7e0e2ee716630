package session_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/session"
)

// answer is what a call has returned.
type answer struct {
	tokens session.Tokens
	err    error
}

// whileHeld begins a transaction, has hold write in it, makes a call that waits for it, and
// then calls end. It returns the answer of the call.
func (a *app) whileHeld(hold func(tx pgx.Tx) error, call func(ctx context.Context) (session.Tokens, error), end func(tx pgx.Tx) error) answer {
	a.t.Helper()
	ctx := a.t.Context()
	tx := testkit.Value(a.pool.Begin(ctx))(a.t)
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	var pid int
	testkit.Must(a.t, tx.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid))
	testkit.Must(a.t, hold(tx))
	answered := make(chan answer, 1)
	go func() {
		tokens, err := call(ctx)
		answered <- answer{tokens, err}
	}()
	testkit.Eventually(a.t, "the call waits", func() bool {
		if len(answered) > 0 {
			a.t.Fatalf("the call has not waited: %+v", <-answered)
		}
		return testkit.QueryOne[int](a.t, a.pool, "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))", pid) > 0
	})
	testkit.Must(a.t, end(tx))
	return <-answered
}

// byHand is what another winner writes, and when by its clock.
func byHand(ctx context.Context, tokens session.Tokens, ago time.Duration) func(tx pgx.Tx) error {
	return func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE revoke.sessions SET generation = generation + 1, refreshed_at = clock_timestamp() - $2::text::interval
			WHERE sid = $1`, tokens.Session.ID, ago.String())
		return err
	}
}

func commit(ctx context.Context) func(tx pgx.Tx) error {
	return func(tx pgx.Tx) error { return tx.Commit(ctx) }
}

// refreshing is a call of Refresh.
func (a *app) refreshing(tokens session.Tokens) func(ctx context.Context) (session.Tokens, error) {
	return func(ctx context.Context) (session.Tokens, error) { return a.Refresh(ctx, tokens.Refresh, browser) }
}

// wantForgotten wants nothing of the device in the row.
func (a *app) wantForgotten(tokens session.Tokens) {
	a.t.Helper()
	if !testkit.QueryOne[bool](a.t, a.pool, `SELECT label IS NULL AND user_agent IS NULL AND address IS NULL AND attributes IS NULL
		FROM revoke.sessions WHERE sid = $1`, tokens.Session.ID) {
		a.t.Errorf("the row has the device: %s", a.state(tokens))
	}
}

// TestWaits is a refresh that waits for another transaction with its row. Each case has the
// pool of the app for itself.
func TestWaits(t *testing.T) {
	t.Parallel()
	shared := newApp(t)
	for _, test := range []row{
		{"the winner's transaction is open", func(a *app) {
			t := a.t
			first := a.start()
			got := a.whileHeld(byHand(t.Context(), first, 0), a.refreshing(first), commit(t.Context()))
			if got.err != nil || got.tokens.Outcome != session.Repeated || got.tokens.Refresh == "" || a.generation(first) != 2 {
				t.Errorf("%+v, generation %d", got, a.generation(first))
			}
			a.answersCurrent(got.tokens)
		}},
		{"the winner's COMMIT stalls for longer than the grace", func(a *app) {
			t := a.t
			first := a.start()
			got := a.whileHeld(byHand(t.Context(), first, 2*grace), a.refreshing(first), commit(t.Context()))
			if got.err != nil || got.tokens.Outcome != session.Repeated || got.tokens.Refresh == "" || a.generation(first) != 2 {
				t.Errorf("%+v, generation %d", got, a.generation(first))
			}
			a.rotates(got.tokens)
		}},
		{"the winner rolls back, and refreshed_at is read after the wait", func(a *app) {
			t := a.t
			first := a.start()
			var ended time.Time
			got := a.whileHeld(byHand(t.Context(), first, 0), a.refreshing(first), func(tx pgx.Tx) error {
				ended = testkit.QueryOne[time.Time](t, a.pool, "SELECT clock_timestamp()")
				return tx.Rollback(t.Context())
			})
			if got.err != nil || got.tokens.Outcome != session.Rotated || a.generation(first) != 2 {
				t.Errorf("%+v, generation %d", got, a.generation(first))
			}
			if at := testkit.QueryOne[time.Time](t, a.pool, "SELECT refreshed_at FROM revoke.sessions WHERE sid = $1", first.Session.ID); at.Before(ended) {
				t.Errorf("refreshed_at is %v, from before the end of the wait, %v", at, ended)
			}
		}},
		{"the session ends meanwhile", func(a *app) {
			t := a.t
			first := a.start()
			got := a.whileHeld(func(tx pgx.Tx) error { return a.WithTx(tx).End(t.Context(), a.user, first.Session.ID) },
				a.refreshing(first), commit(t.Context()))
			var failed *session.RefreshError
			if !errors.As(got.err, &failed) || failed.Reason != session.Ended || a.generation(first) != 1 {
				t.Errorf("%+v, generation %d", got, a.generation(first))
			}
		}},
		{"an end is rolled back", func(a *app) {
			t := a.t
			first := a.start()
			got := a.whileHeld(func(tx pgx.Tx) error { return a.WithTx(tx).End(t.Context(), a.user, first.Session.ID) },
				a.refreshing(first), func(tx pgx.Tx) error { return tx.Rollback(t.Context()) })
			if got.err != nil || got.tokens.Outcome != session.Rotated {
				t.Errorf("%+v", got)
			}
		}},
		{"the device is forgotten meanwhile", func(a *app) {
			t := a.t
			first := a.start()
			got := a.whileHeld(func(tx pgx.Tx) error { return a.WithTx(tx).Forget(t.Context(), a.user) },
				a.refreshing(first), commit(t.Context()))
			if got.err != nil || got.tokens.Outcome != session.Rotated || a.generation(first) != 2 {
				t.Errorf("%+v, generation %d", got, a.generation(first))
			}
			a.wantForgotten(first)
			a.pass(first, grace)
			a.rotates(got.tokens)
			if state := a.state(first); !strings.Contains(state, browser.Address) {
				t.Errorf("the next refresh has not stored the device: %s", state)
			}
		}},
		{"a user is deleted meanwhile", func(a *app) {
			t := a.t
			named := session.Device{Label: "phone", UserAgent: "App/1", Address: "192.0.2.7", Attributes: map[string]string{"place": "Bern"}}
			// The row of a device that was not known before is as blank as one that was forgotten.
			for _, device := range []session.Device{named, {}} {
				first := testkit.Value(a.Start(t.Context(), a.user, testkit.Value(a.store.Epochs(t.Context(), a.user))(t), device))(t)
				got := a.whileHeld(func(tx pgx.Tx) error {
					_, err := a.WithTx(tx).EndAll(t.Context(), a.user)
					return errors.Join(err, a.WithTx(tx).Forget(t.Context(), a.user))
				}, func(ctx context.Context) (session.Tokens, error) { return a.Refresh(ctx, first.Refresh, named) }, commit(t.Context()))
				testkit.Must(t, got.err)
				a.wantForgotten(first)
				a.fails(first, session.Revoked)
				a.fails(got.tokens, session.Revoked)
			}
		}},
		{"a device is forgotten behind a rotation that has not committed", func(a *app) {
			t := a.t
			first := testkit.Value(a.Start(t.Context(), a.user, revoke.Epochs{}, session.Device{}))(t)
			got := a.whileHeld(func(tx pgx.Tx) error {
				_, err := tx.Exec(t.Context(), "UPDATE revoke.sessions SET generation = 2, refreshed_at = clock_timestamp(), address = '192.0.2.7' WHERE sid = $1",
					first.Session.ID)
				return err
			}, func(ctx context.Context) (session.Tokens, error) { return session.Tokens{}, a.Forget(ctx, a.user) }, commit(t.Context()))
			testkit.Must(t, got.err)
			a.wantForgotten(first)
		}},
		{"devices are forgotten in the order of their keys", func(a *app) {
			t := a.t
			isLess := "SELECT a.key < b.key FROM revoke.sessions AS a, revoke.sessions AS b WHERE a.sid = $1 AND b.sid = $2"
			earlier, later := a.start(), a.start()
			for !testkit.QueryOne[bool](t, a.pool, isLess, later.Session.ID, earlier.Session.ID) {
				later = a.start()
			}
			got := a.whileHeld(func(tx pgx.Tx) error {
				_, err := tx.Exec(t.Context(), "SELECT FROM revoke.sessions WHERE sid = $1 FOR UPDATE", later.Session.ID)
				return err
			}, func(ctx context.Context) (session.Tokens, error) { return session.Tokens{}, a.Forget(ctx, a.user) }, func(tx pgx.Tx) error {
				if free := testkit.QueryOne[int](t, a.pool, `SELECT count(*) FROM (SELECT FROM revoke.sessions WHERE sid = $1
					FOR UPDATE SKIP LOCKED) AS s`, earlier.Session.ID); free != 1 {
					t.Error("the row of the greater key is locked before that of the lesser")
				}
				return tx.Commit(t.Context())
			})
			testkit.Must(t, got.err)
		}},
		{"a clock that was set back is mended only on an unchanged row", func(a *app) {
			t := a.t
			first := a.start()
			testkit.Exec(t, a.pool, "UPDATE revoke.sessions SET refreshed_at = clock_timestamp() + interval '1 hour' WHERE sid = $1", first.Session.ID)
			got := a.whileHeld(byHand(t.Context(), first, time.Second), a.refreshing(first), commit(t.Context()))
			if got.err != nil || got.tokens.Outcome != session.Repeated || got.tokens.Refresh == "" || a.generation(first) != 2 {
				t.Errorf("%+v, generation %d", got, a.generation(first))
			}
			if age := testkit.QueryOne[bool](t, a.pool, "SELECT clock_timestamp() - refreshed_at >= interval '1 second' FROM revoke.sessions WHERE sid = $1",
				first.Session.ID); !age {
				t.Error("the winner's refreshed_at was written over")
			}
		}},
		{"a refresh waits for a sixth of the grace", func(a *app) {
			t := a.t
			quick := a.with(session.WithGrace(time.Second))
			first := quick.start()
			ctx := t.Context()
			tx := testkit.Value(a.pool.Begin(ctx))(t)
			testkit.Must(t, byHand(ctx, first, 0)(tx))
			if failed := quick.failure(first, session.Unavailable); !errors.Is(failed, context.DeadlineExceeded) {
				t.Errorf("%v", failed)
			}
			testkit.Must(t, tx.Rollback(ctx))
			// The statement may have gone on when the lock was free. The same token is good
			// in any case.
			if got, err := a.Refresh(ctx, first.Refresh, browser); err != nil || got.Refresh == "" {
				t.Errorf("Refresh = %+v, %v", got, err)
			}
		}},
		{"everywhere else is signed out beside a revocation of the user", func(a *app) {
			t := a.t
			first := a.start()
			got := a.whileHeld(func(tx pgx.Tx) error {
				_, err := a.store.WithTx(tx).RevokeUser(t.Context(), a.user)
				return err
			}, func(ctx context.Context) (session.Tokens, error) {
				return a.EndOthers(ctx, a.user, first.Session.ID, browser)
			}, commit(t.Context()))
			var failed *session.RefreshError
			if !errors.As(got.err, &failed) || failed.Reason != session.Revoked || failed.Scope != revoke.ScopeUser {
				t.Errorf("EndOthers = %+v: the new session outlives the revocation", got)
			}
			if list := testkit.Value(a.List(t.Context(), a.user))(t); len(list) != 0 {
				t.Errorf("List = %+v", list)
			}
		}},
		{"everywhere else is signed out by a session that ends meanwhile", func(a *app) {
			t := a.t
			first := a.start()
			got := a.whileHeld(func(tx pgx.Tx) error {
				return a.WithTx(tx).End(t.Context(), a.user, first.Session.ID)
			}, func(ctx context.Context) (session.Tokens, error) {
				return a.EndOthers(ctx, a.user, first.Session.ID, browser)
			}, commit(t.Context()))
			var failed *session.RefreshError
			if !errors.As(got.err, &failed) || failed.Reason != session.Ended {
				t.Errorf("EndOthers = %+v: the new session outlives the end", got)
			}
		}},
		{"everywhere else is signed out beside a revocation of the issuer", func(a *app) {
			t := a.t
			first := a.start()
			var second session.Tokens
			testkit.Must(t, pgx.BeginFunc(t.Context(), a.pool, func(tx pgx.Tx) (err error) {
				between := &beforeStatement{tx, "SET revoked_at = e.revoked_at WHERE false", func() { testkit.Value(a.store.RevokeIssuer(t.Context(), a.user.Issuer))(t) }}
				second, err = a.WithTx(between).EndOthers(t.Context(), a.user, first.Session.ID, browser)
				return err
			}))
			a.accepts(second, false)
			if failed := a.failure(second, session.Revoked); failed.Scope != revoke.ScopeIssuer {
				t.Errorf("%v: the new session outlives the revocation", failed)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(shared.as(t)) })
	}
}

// beforeStatement calls do once, before it sends the first batch with a statement that
// contains part.
type beforeStatement struct {
	pgx.Tx
	part string
	do   func()
}

// SendBatch implements pgx.Tx.
func (b *beforeStatement) SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults {
	isMeant := func(q *pgx.QueuedQuery) bool { return strings.Contains(q.SQL, b.part) }
	if b.do != nil && slices.ContainsFunc(batch.QueuedQueries, isMeant) {
		b.do()
		b.do = nil
	}
	return b.Tx.SendBatch(ctx, batch)
}

// TestEndOthersOfAnOldSnapshot: a transaction of the caller's that is not READ COMMITTED does not
// see that the session has ended since it began, and gets no session in its place.
func TestEndOthersOfAnOldSnapshot(t *testing.T) {
	t.Parallel()
	shared := newApp(t)
	ctx := t.Context()
	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable} {
		for _, end := range []func(a *app, tokens session.Tokens) error{
			func(a *app, tokens session.Tokens) error { return a.store.RevokeSession(ctx, tokens.Session) },
			func(a *app, tokens session.Tokens) error { return a.End(ctx, a.user, tokens.Session.ID) },
			func(a *app, _ session.Tokens) error { _, err := a.EndAll(ctx, a.user); return err },
			func(*app, session.Tokens) error { return nil },
		} {
			a := shared.as(t)
			first := a.start()
			tx := testkit.Value(a.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: level}))(t)
			testkit.Value(tx.Exec(ctx, "SELECT count(*) FROM revoke.sessions"))(t)
			testkit.Must(t, end(a, first))
			_, err := a.validator.Validate(ctx, first.Access)
			ended := err != nil
			fresh, err := a.WithTx(tx).EndOthers(ctx, a.user, first.Session.ID, browser)
			if ended {
				var pgErr *pgconn.PgError
				if !errors.As(err, &pgErr) || pgErr.Code != "40001" {
					t.Errorf("%s: EndOthers = %v", level, err)
				}
				testkit.Must(t, tx.Rollback(ctx))
				a.wantListed()
				continue
			}
			testkit.Must(t, err)
			testkit.Must(t, tx.Commit(ctx))
			a.accepts(first, false)
			a.accepts(fresh, true)
		}
	}
}

// TestRevocationsBesideARotation: a revocation that has not committed lets a session
// rotate, and ends what it has minted when it commits.
func TestRevocationsBesideARotation(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for _, test := range []struct {
		name   string
		revoke func(ctx context.Context, r revoke.Revoker, tokens session.Tokens) error
		reason session.Reason
		scope  revoke.Scope
	}{
		{"of the session", func(ctx context.Context, r revoke.Revoker, tokens session.Tokens) error {
			return r.RevokeSession(ctx, tokens.Session)
		}, session.Ended, ""},
		{"of the user", func(ctx context.Context, r revoke.Revoker, tokens session.Tokens) error {
			_, err := r.RevokeUser(ctx, tokens.User)
			return err
		}, session.Revoked, revoke.ScopeUser},
		{"of the issuer", func(ctx context.Context, r revoke.Revoker, _ session.Tokens) error {
			_, err := r.RevokeIssuer(ctx, testkit.Issuer)
			return err
		}, session.Revoked, revoke.ScopeIssuer},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := a.as(t)
			ctx := t.Context()
			first, other := a.start(), a.start()
			tx := testkit.Value(a.pool.Begin(ctx))(t)
			testkit.Must(t, test.revoke(ctx, a.store.WithTx(tx), first))
			second := a.rotates(first)
			a.accepts(second, true)
			testkit.Must(t, tx.Commit(ctx))
			a.accepts(second, false)
			// The current one and the predecessor within the grace pass the same verdict.
			for _, tokens := range []session.Tokens{first, second} {
				if failed := a.failure(tokens, test.reason); failed.Scope != test.scope {
					t.Errorf("scope %q, want %q", failed.Scope, test.scope)
				}
			}
			if test.scope == "" {
				a.rotates(other)
				return
			}
			a.fails(other, test.reason)
			next := a.start() // a sign-in reads the new epochs
			a.accepts(next, true)
			a.rotates(next)
		})
	}
}
