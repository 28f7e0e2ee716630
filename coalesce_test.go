package revoke_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
)

// gate is a tracer that holds queries of Check until it is opened, counts them, and can misbehave.
type gate struct {
	held    chan struct{} // receives one for each query that is held
	open    chan struct{}
	queries atomic.Int32
	misdeed atomic.Pointer[func()]
}

func newGate() *gate { return &gate{held: make(chan struct{}, 10_000), open: make(chan struct{})} }

func (g *gate) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if !strings.Contains(data.SQL, "pg_is_in_recovery()") {
		return ctx
	}
	g.queries.Add(1)
	g.held <- struct{}{}
	<-g.open
	if misdeed := g.misdeed.Swap(nil); misdeed != nil {
		(*misdeed)()
	}
	return ctx
}

func (*gate) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// gatedStore returns a store whose checks go through a gate, on a pool of some connections.
func gatedStore(t *testing.T, queries int) (*revoke.Postgres, *pgxpool.Pool, *gate) {
	t.Helper()
	g := newGate()
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) {
		c.MaxConns = 8
		c.ConnConfig.Tracer = g
	})
	return openStore(t, pool, revoke.WithCheckQueries(queries)), pool, g
}

// checkLater checks in a goroutine of its own.
func checkLater(ctx context.Context, store revoke.Checker, token revoke.Token) <-chan error {
	result := make(chan error, 1)
	go func() { result <- store.Check(ctx, token) }()
	return result
}

// TestCoalescedAnswers sends thousands of checks at once, some of them revoked in each scope, and looks at every answer.
func TestCoalescedAnswers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool, g := gatedStore(t, 2)
	const n = 5000
	tokens := make([]revoke.Token, n)
	wants := make([]revoke.Scope, n)
	must(t, store.InTx(ctx, func(r revoke.Revoker) error {
		for i := range tokens {
			tokens[i] = newToken()
			tokens[i].Issuer = fmt.Sprint("issuer-", i%7)
			var err error
			switch i % 50 {
			case 1:
				wants[i] = revoke.ScopeToken
				err = r.RevokeToken(ctx, tokens[i])
			case 2:
				wants[i] = revoke.ScopeSession
				err = r.RevokeSession(ctx, revoke.Session{Issuer: tokens[i].Issuer, ID: tokens[i].SessionID})
			case 3:
				wants[i] = revoke.ScopeUser
				_, err = r.RevokeUser(ctx, userOf(tokens[i]))
			case 4:
				tokens[i].SessionID = ""
			case 5:
				tokens[i].Subject = ""
			}
			if err != nil {
				return err
			}
		}
		_, err := r.RevokeIssuer(ctx, "issuer-6")
		return err
	}))
	results := make([]<-chan error, n)
	for i, token := range tokens {
		if token.Issuer == "issuer-6" && wants[i] == "" {
			wants[i] = revoke.ScopeIssuer
		}
		results[i] = checkLater(ctx, store, token)
	}
	<-g.held
	<-g.held
	close(g.open)
	for i, result := range results {
		err := <-result
		var revoked *revoke.RevokedError
		switch {
		case wants[i] == "" && err != nil:
			t.Fatalf("token %d: %v", i, err)
		case wants[i] != "" && (!errors.As(err, &revoked) || revoked.Scope != wants[i] || time.Since(revoked.Since) > time.Minute):
			t.Fatalf("token %d: %v, want %s", i, err, wants[i])
		}
	}
	if queries := g.queries.Load(); queries > n/5 {
		t.Errorf("%d checks took %d queries", n, queries)
	}
	if conns := pool.Stat().TotalConns(); conns > 3 {
		t.Errorf("%d checks took %d connections", n, conns)
	}
}

// TestCoalescedSnapshot checks a token as soon as its revocation has returned, beside others who check all the time: an
// answer from a query that had begun before would miss it.
func TestCoalescedSnapshot(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t, revoke.WithCheckQueries(1))
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 8 {
		token := newToken()
		group.Go(func() {
			for ctx.Err() == nil {
				if err := store.Check(ctx, token); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	for range 300 {
		token := newToken()
		must(t, store.RevokeToken(t.Context(), token))
		wantError(t, store.Check(t.Context(), token), revoke.ErrRevoked)
	}
	stop()
	group.Wait()
}

// TestCoalescedCancel has callers leave before, during and after the query: the one for whom it was begun, and those who
// wait for the next. Nobody else notices, and the connection stays.
func TestCoalescedCancel(t *testing.T) {
	t.Parallel()
	store, pool, g := gatedStore(t, 1)
	first, cancelFirst := context.WithCancel(t.Context())
	leader := checkLater(first, store, newToken())
	<-g.held

	second, cancelSecond := context.WithCancel(t.Context())
	leaves, stays := checkLater(second, store, newToken()), checkLater(t.Context(), store, newToken())
	dead := newToken()
	must(t, store.RevokeToken(t.Context(), dead))
	refused := checkLater(t.Context(), store, dead)

	ended, cancelEnded := context.WithCancel(t.Context())
	cancelEnded()
	wantError(t, store.Check(ended, newToken()), revoke.ErrUnavailable) // before

	cancelFirst() // during
	cancelSecond()
	for _, result := range []<-chan error{leader, leaves} {
		err := <-result // although the query is held
		wantError(t, err, revoke.ErrUnavailable)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Check = %v, want the cause in it", err)
		}
	}
	connections := pool.Stat().NewConnsCount()
	close(g.open)
	must(t, <-stays)
	wantError(t, <-refused, revoke.ErrRevoked)
	cancelFirst() // after
	must(t, store.Check(t.Context(), newToken()))
	if n := pool.Stat().NewConnsCount(); n != connections {
		t.Errorf("%d connections were made in place of closed ones", n-connections)
	}
}

// TestCoalescedQueueOfTheGone leaves nobody in the queue: no query is sent for them.
func TestCoalescedQueueOfTheGone(t *testing.T) {
	t.Parallel()
	store, _, g := gatedStore(t, 1)
	leader := checkLater(t.Context(), store, newToken())
	<-g.held
	ctx, cancel := context.WithCancel(t.Context())
	var gone []<-chan error
	for range 20 {
		gone = append(gone, checkLater(ctx, store, newToken()))
	}
	cancel()
	for _, result := range gone {
		wantError(t, <-result, revoke.ErrUnavailable)
	}
	close(g.open)
	must(t, <-leader)
	must(t, store.Check(t.Context(), newToken()))
	if n := g.queries.Load(); n != 2 {
		t.Errorf("%d queries, want one for each of the two who stayed", n)
	}
}

// TestImpatientCallers cancels ten thousand checks at any moment of theirs. A query that was cancelled with its caller would
// close its connection. Nobody gets the answer of another: not of one who left, and not of the check before.
func TestImpatientCallers(t *testing.T) {
	t.Parallel()
	store, pool := newStore(t)
	must(t, store.Check(t.Context(), newToken()))
	dead := newToken()
	must(t, store.RevokeToken(t.Context(), dead))
	var group sync.WaitGroup
	for worker := range 100 {
		group.Go(func() {
			good := newToken()
			for i := range 100 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration((worker*100+i)%700)*time.Microsecond)
				token, want := good, error(nil)
				if i%2 == 1 {
					token, want = dead, revoke.ErrRevoked
				}
				if err := store.Check(ctx, token); !errors.Is(err, want) && !errors.Is(err, revoke.ErrUnavailable) {
					t.Errorf("Check = %v, want %v", err, want)
				}
				cancel()
			}
		})
	}
	group.Wait()
	must(t, store.Check(t.Context(), newToken()))
	if n := pool.Stat().NewConnsCount(); n > 2 {
		t.Errorf("%d connections were made, want the two that checks use", n)
	}
}

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
			close(g.open)
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
