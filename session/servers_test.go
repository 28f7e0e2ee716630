package session_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/session"
)

// insists repeats a refresh with the same token while the database does not answer, as a client
// does. Every other failure is the test's.
func (a *app) insists(ctx context.Context, tokens session.Tokens) (next session.Tokens) {
	a.t.Helper()
	testkit.Eventually(a.t, "the refresh is answered", func() bool {
		var err error
		next, err = a.Refresh(ctx, tokens.Refresh, browser)
		var failed *session.RefreshError
		if errors.As(err, &failed) && failed.Reason != session.Unavailable {
			a.t.Errorf("an honest user is told %v", err)
			return true
		}
		return err == nil
	})
	if next.Refresh == "" { // the client keeps what it has
		next.Refresh = tokens.Refresh
	}
	return next
}

// TestServerThatCrashes: the server crashes again and again while clients refresh. None of
// them is thrown out, and no rotation that was answered is lost. At each crash rotations
// have been committed and not answered: their backends wait for a standby that is not
// there.
func TestServerThatCrashes(t *testing.T) {
	t.Parallel()
	server, _ := testkit.OwnServer(t)
	address := testkit.Value(server.CreateDatabase(t.Context()))(t)
	pool := pgserver.Pool(t, address)
	a := onStore(t, testkit.OpenStore(t, pool), pool)
	clock := pgserver.Pool(t, address, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["synchronous_commit"] = "local" })
	var crashes, rotations, lost atomic.Int32
	var clients sync.WaitGroup
	for range 4 {
		client := a.as(t)
		tokens := client.start()
		clients.Go(func() {
			for generation := int64(1); crashes.Load() < 3 && !t.Failed(); {
				next := client.insists(t.Context(), tokens)
				if t.Failed() {
					return
				}
				if next.Refresh != tokens.Refresh {
					generation++
					rotations.Add(1)
					if next.Outcome == session.Repeated {
						lost.Add(1)
					}
				}
				tokens = next
				testkit.Eventually(t, "a grace passes", func() bool {
					var seen int64
					err := clock.QueryRow(t.Context(), `UPDATE revoke.sessions SET refreshed_at = refreshed_at - $2::text::interval
						WHERE sid = $1 RETURNING generation`, tokens.Session.ID, grace.String()).Scan(&seen)
					if err == nil && seen != generation {
						t.Errorf("generation %d, the client has %d", seen, generation)
					}
					return err == nil
				})
			}
		})
	}
	for crashes.Load() < 3 {
		before := rotations.Load()
		testkit.Eventually(t, "clients refresh", func() bool { return t.Failed() || rotations.Load() > before+20 })
		admin := testkit.Value(pgx.Connect(t.Context(), address))(t)
		witness := testkit.Value(pgx.Connect(t.Context(), address))(t)
		awaitStandby(t, admin, "'none'")
		testkit.Eventually(t, "a rotation waits for the standby", func() bool {
			var waits bool
			err := admin.QueryRow(t.Context(), "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'").Scan(&waits)
			return waits || err != nil || t.Failed()
		})
		_, err := admin.Exec(t.Context(), "COPY (SELECT 1) TO PROGRAM 'kill -KILL $PPID'")
		if err == nil || errors.As(err, new(*pgconn.PgError)) {
			t.Fatalf("the server has not crashed: %v", err)
		}
		testkit.Eventually(t, "every connection is closed", func() bool { return witness.Ping(t.Context()) != nil })
		testkit.Eventually(t, "the server has recovered", func() bool {
			admin, err = pgx.Connect(t.Context(), address)
			return err == nil
		})
		awaitStandby(t, admin, "''")
		testkit.Must(t, admin.Close(t.Context()))
		crashes.Add(1)
	}
	clients.Wait()
	if lost.Load() < crashes.Load() {
		t.Errorf("%d answers were lost in %d crashes", lost.Load(), crashes.Load())
	}
}

// awaitStandby makes commits wait for the synchronous standbys of these names.
func awaitStandby(t *testing.T, admin *pgx.Conn, names string) {
	t.Helper()
	testkit.Value(admin.Exec(t.Context(), "ALTER SYSTEM SET synchronous_standby_names = "+names))(t)
	testkit.Value(admin.Exec(t.Context(), "SELECT pg_reload_conf()"))(t)
}

// TestFailover: a primary is lost together with rotations that its standby did not get.
func TestFailover(t *testing.T) {
	t.Parallel()
	f := testkit.NewFailover(t)
	pool := f.Pool()
	a := onStore(t, testkit.OpenStore(t, pool), pool)
	refreshed, replayed := a.start(), a.start()
	f.CutOff()
	second, stolen := a.rotates(refreshed), a.rotates(replayed)
	unknown := a.start()
	f.FailOver()

	a.insists(t.Context(), second)
	a.answersCurrent(second)
	a.answersPredecessor(refreshed, second)
	a.pass(refreshed, grace)
	a.rotates(second)
	a.fails(refreshed, session.Replayed)

	a.answersCurrent(stolen)
	a.pass(replayed, grace)
	a.fails(replayed, session.Replayed)
	a.fails(stolen, session.Ended)

	// Its row is lost, which proves nothing of the session.
	if failed := a.failure(unknown, session.Unknown); failed.IsOver() {
		t.Errorf("%v", failed)
	}
}
