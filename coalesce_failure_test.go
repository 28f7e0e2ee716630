package revoke_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
)

// TestCoalescedTracer has a tracer panic, or end the goroutine, in the middle of a query: its callers get an error, those
// who wait get an answer, and the pool its connection.
func TestCoalescedTracer(t *testing.T) {
	t.Parallel()
	for name, misdeed := range map[string]func(){
		"panic":  func() { panic("a tracer panics") },
		"Goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, pool, g := gatedStore(t, 1)
			g.misdeed.Store(&misdeed)
			leader := checkLater(t.Context(), store, newToken())
			<-g.held
			var waiting []<-chan error
			for range 10 {
				waiting = append(waiting, checkLater(t.Context(), store, newToken()))
			}
			awaitQueue(t, store, len(waiting))
			g.release()
			err := <-leader
			wantError(t, err, revoke.ErrUnavailable)
			if !strings.Contains(err.Error(), "cut short by a tracer") {
				t.Errorf("Check = %v", err)
			}
			for _, result := range waiting {
				must(t, <-result)
			}
			must(t, store.Check(t.Context(), newToken()))
			eventually(t, "no connection is out", func() bool { return pool.Stat().AcquiredConns() == 0 })
		})
	}
}

// TestCoalescedPoolIsEmpty holds the only connection: checks end with their timeout, and go on when it is back.
func TestCoalescedPoolIsEmpty(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) { c.MaxConns = 1 })
	store := openStore(t, pool, revoke.WithCheckTimeout(100*time.Millisecond))
	held, err := pool.Acquire(t.Context())
	must(t, err)
	var waiting []<-chan error
	for range 50 {
		waiting = append(waiting, checkLater(t.Context(), store, newToken()))
	}
	for _, result := range waiting {
		err := <-result
		wantError(t, err, revoke.ErrUnavailable)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Check = %v, want the cause in it", err)
		}
	}
	held.Release()
	must(t, store.Check(t.Context(), newToken()))
}

// blackHole is a connection whose peer can fall silent, as behind a firewall that has forgotten it.
type blackHole struct {
	net.Conn
	silent *atomic.Bool
}

func (c blackHole) Write(b []byte) (int, error) {
	if c.silent.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// TestCoalescedBlackHole lets the network swallow what is sent. The callers get an error in time, and the next query has a
// new connection.
func TestCoalescedBlackHole(t *testing.T) {
	t.Parallel()
	var silent atomic.Bool
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) {
		dial := c.ConnConfig.DialFunc
		c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return blackHole{conn, &silent}, nil
		}
	})
	must(t, pool.Ping(t.Context())) // to connect may take longer than a check may
	store := openStore(t, pool, revoke.WithCheckTimeout(200*time.Millisecond))
	must(t, store.Check(t.Context(), newToken()))
	silent.Store(true)
	start := time.Now()
	var waiting []<-chan error
	for range 50 {
		waiting = append(waiting, checkLater(t.Context(), store, newToken()))
	}
	for _, result := range waiting {
		wantError(t, <-result, revoke.ErrUnavailable)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v to notice", took)
	}
	silent.Store(false)
	start = time.Now()
	eventually(t, "checks are answered again", func() bool { return store.Check(t.Context(), newToken()) == nil })
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the queries that nobody answers were given up after %v", took)
	}
}
