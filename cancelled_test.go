package revoke_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// asked is a context that tells when a call waits for its end.
type asked struct {
	context.Context //nolint:containedctx // it is a context itself
	waits           chan struct{}
}

func (a asked) Done() <-chan struct{} {
	select {
	case a.waits <- struct{}{}:
	default:
	}
	return a.Context.Done()
}

// alone has one connection.
func alone(c *pgxpool.Config) { c.MaxConns = 1 }

// asksServer makes pgx send a request to cancel, so that the server's answer is the error.
func asksServer(c *pgxpool.Config) {
	c.ConnConfig.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: time.Minute}
	}
}

// TestCancelledChecks tells calls that their caller cancelled from outages. Both are
// ErrUnavailable.
func TestCancelledChecks(t *testing.T) {
	t.Parallel()
	// hold takes the one connection of the pool.
	hold := func(t *testing.T, pool *pgxpool.Pool) {
		t.Helper()
		conn := testkit.Value(pool.Acquire(t.Context()))(t)
		t.Cleanup(conn.Release)
	}
	// lock makes every check wait in its query.
	lock := func(t *testing.T, pool *pgxpool.Pool) {
		t.Helper()
		tx := testkit.Value(pgserver.Pool(t, pool.Config().ConnString()).Begin(t.Context()))(t)
		t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
		testkit.Value(tx.Exec(t.Context(), "LOCK revoke.revocations"))(t)
	}
	nothing := func(*testing.T, *pgxpool.Pool) {}
	stuck := func(t *testing.T, pool *pgxpool.Pool) { // until the query waits for the lock
		t.Helper()
		other := pgserver.Pool(t, pool.Config().ConnString())
		testkit.Eventually(t, "the check waits for the lock", func() bool {
			var waiting bool
			err := other.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_activity "+
				"WHERE datname = current_database() AND wait_event_type = 'Lock')").Scan(&waiting)
			return err == nil && waiting
		})
	}
	for _, row := range []struct {
		name      string
		queries   int
		pool      func(*pgxpool.Config)
		before    func(*testing.T, *pgxpool.Pool)
		during    func(*testing.T, *pgxpool.Pool)
		end       func(ctx context.Context) (context.Context, func()) // how the caller ends
		timeout   time.Duration                                       // of the check
		cancelled bool
	}{
		{"cancelled before, alone", 0, alone, nothing, nil, cancelNow, time.Minute, true},
		{"cancelled before, shared", 1, alone, nothing, nil, cancelNow, time.Minute, true},
		{"cancelled during the wait for a connection, alone", 0, alone, hold, nothing, cancelLater, time.Minute, true},
		{"cancelled during the wait for a connection, shared", 1, alone, hold, nothing, cancelLater, time.Minute, true},
		{"cancelled during the query, alone", 0, alone, lock, stuck, cancelLater, time.Minute, true},
		{"cancelled during the query, shared", 1, alone, lock, stuck, cancelLater, time.Minute, true},
		{"cancelled during the query, by a request to the server", 0, asksServer, lock, stuck, cancelLater, time.Minute, true},
		{"a deadline of the caller's, alone", 0, alone, hold, nil, deadline, time.Minute, false},
		{"a deadline of the caller's, shared", 1, alone, hold, nil, deadline, time.Minute, false},
		{"a deadline that cancels with a cause", 1, alone, hold, nothing, overLater, time.Minute, false},
		{"the timeout of a check, alone", 0, alone, hold, nil, never, time.Millisecond, false},
		{"the timeout of a check, shared", 1, alone, hold, nil, never, time.Millisecond, false},
		{"an outage", 1, func(c *pgxpool.Config) { c.ConnConfig.Host = "/nonexistent" }, nothing, nil, never, time.Minute, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			heard := &recorder{}
			pool := pgserver.Pool(t, pgserver.Database(t), row.pool)
			store := testkit.OpenStore(t, pool, revoke.WithCheckQueries(row.queries), revoke.WithCheckTimeout(row.timeout), revoke.WithHook(heard))
			validator := es256(t, store, revoke.WithHook(heard))
			row.before(t, pool)
			ctx, end := row.end(t.Context())
			waiting := asked{ctx, make(chan struct{}, 1)}
			answer := make(chan error, 1)
			go func() {
				_, err := validator.Validate(waiting, testkit.Mint(t, nil))
				answer <- err
			}()
			if row.during != nil {
				<-waiting.waits
				row.during(t, pool)
			}
			end()
			err := <-answer
			testkit.WantError(t, err, revoke.ErrUnavailable)
			heard.mu.Lock()
			defer heard.mu.Unlock()
			if len(heard.events) != 2 {
				t.Fatalf("%d events: %+v", len(heard.events), heard.events)
			}
			check, _ := heard.events[0].(revoke.CheckEvent)
			validate, _ := heard.events[1].(revoke.ValidateEvent)
			if check.Cancelled != row.cancelled || validate.Cancelled != row.cancelled {
				t.Errorf("check %+v, validate %+v", check, validate)
			}
			if row.cancelled && !errors.Is(err, context.Canceled) {
				t.Errorf("the error does not say so: %v", err)
			}
		})
	}
}

func cancelNow(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx, func() {}
}

func cancelLater(ctx context.Context) (context.Context, func()) { return context.WithCancel(ctx) }

func overLater(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, func() { cancel(context.DeadlineExceeded) }
}

func deadline(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
	return ctx, func() {
		<-ctx.Done()
		cancel()
	}
}

func never(ctx context.Context) (context.Context, func()) { return ctx, func() {} }

// TestCancelledWrites are told apart too.
func TestCancelledWrites(t *testing.T) {
	t.Parallel()
	heard := &recorder{}
	store, _ := testkit.Store(t, revoke.WithHook(heard))
	ctx, _ := cancelNow(traced(t))
	testkit.WantError(t, store.RevokeToken(ctx, testkit.Token()), revoke.ErrUnavailable)
	if event := take[revoke.WriteEvent](t, heard); !event.Cancelled {
		t.Errorf("event %+v", event)
	}
}
