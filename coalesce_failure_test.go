package revoke_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// TestCoalescedTracer has a tracer panic, or end the goroutine, in the middle of a query: its
// callers get an error, those in the queue get an answer, and the pool gets its connection back.
func TestCoalescedTracer(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		misdeed func()
	}{
		{"panic", func() { panic("a tracer panics") }},
		{"Goexit", runtime.Goexit},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			store, pool, g := gatedStore(t, 1)
			g.misdeed.Store(&row.misdeed)
			leader := checkLater(t.Context(), store, testkit.Token())
			<-g.held
			var waiting []<-chan error
			for range 10 {
				waiting = append(waiting, checkLater(t.Context(), store, testkit.Token()))
			}
			awaitQueue(t, store, len(waiting))
			g.release()
			err := <-leader
			testkit.WantError(t, err, revoke.ErrUnavailable)
			if !strings.Contains(err.Error(), "cut short by a tracer") {
				t.Errorf("Check = %v", err)
			}
			for _, result := range waiting {
				testkit.Must(t, <-result)
			}
			testkit.Must(t, store.Check(t.Context(), testkit.Token()))
			testkit.Eventually(t, "no connection is out", func() bool { return pool.Stat().AcquiredConns() == 0 })
		})
	}
}

// TestCoalescedPoolIsEmpty holds the only connection: checks end with their timeout, and go on
// when it is back.
func TestCoalescedPoolIsEmpty(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) { c.MaxConns = 1 })
	store := testkit.OpenStore(t, pool, revoke.WithCheckTimeout(100*time.Millisecond))
	held := testkit.Value(pool.Acquire(t.Context()))(t)
	var waiting []<-chan error
	for range 50 {
		waiting = append(waiting, checkLater(t.Context(), store, testkit.Token()))
	}
	for _, result := range waiting {
		err := <-result
		testkit.WantError(t, err, revoke.ErrUnavailable)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Check = %v, want the cause in it", err)
		}
	}
	held.Release()
	// On a loaded machine the first of these may take longer than the timeout as well.
	testkit.Eventually(t, "checks are answered again", func() bool { return store.Check(t.Context(), testkit.Token()) == nil })
	testkit.Eventually(t, "no check queues", func() bool { return revoke.QueuedChecks(store) == 0 })
}

// TestCoalescedBlackHole lets the network swallow all queries. The callers get an error in time,
// and the next query has a new connection.
func TestCoalescedBlackHole(t *testing.T) {
	t.Parallel()
	var silent atomic.Bool
	var mu sync.Mutex
	var dialed []net.Conn
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) {
		dial := c.ConnConfig.DialFunc
		c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			mu.Lock()
			defer mu.Unlock()
			dialed = append(dialed, conn)
			return testkit.SilentConn{Conn: conn, Silent: &silent}, nil
		}
	})
	t.Cleanup(func() { // because pgx waits 15 s for an answer on a connection that it has given up
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range dialed {
			_ = conn.Close()
		}
	})
	testkit.Must(t, pool.Ping(t.Context())) // to connect may take longer than a check may
	store := testkit.OpenStore(t, pool, revoke.WithCheckTimeout(200*time.Millisecond))
	testkit.Eventually(t, "a check is answered", func() bool { return store.Check(t.Context(), testkit.Token()) == nil })
	silent.Store(true)
	start := time.Now()
	var waiting []<-chan error
	for range 50 {
		waiting = append(waiting, checkLater(t.Context(), store, testkit.Token()))
	}
	for _, result := range waiting {
		testkit.WantError(t, <-result, revoke.ErrUnavailable)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v to notice", took)
	}
	silent.Store(false)
	start = time.Now()
	testkit.Eventually(t, "checks are answered again", func() bool { return store.Check(t.Context(), testkit.Token()) == nil })
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the queries without an answer were given up after %v", took)
	}
}
