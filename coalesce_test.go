package revoke_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
)

// gate is a tracer that holds queries of Check until it is opened, counts them, and can misbehave.
type gate struct {
	held    chan struct{} // receives one for each query that is held
	open    chan struct{}
	release func() // opens it
	queries atomic.Int32
	largest atomic.Int32 // number of tokens in a query
	misdeed atomic.Pointer[func()]
}

// newGate returns a gate that is closed.
func newGate() *gate {
	g := &gate{held: make(chan struct{}, 10_000), open: make(chan struct{})}
	g.release = sync.OnceFunc(func() { close(g.open) })
	return g
}

func (g *gate) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if !strings.Contains(data.SQL, "pg_is_in_recovery()") || !strings.Contains(data.SQL, "revoked_tokens") {
		return ctx
	}
	g.queries.Add(1)
	if tokens, ok := data.Args[0].([]pgtype.UUID); ok && len(tokens) > int(g.largest.Load()) {
		g.largest.Store(int32(len(tokens)))
	}
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
	t.Cleanup(g.release) // before the pool is closed, which waits for its queries
	return openStore(t, pool, revoke.WithCheckQueries(queries)), pool, g
}

// checkLater checks in a goroutine of its own.
func checkLater(ctx context.Context, store revoke.Checker, token revoke.Token) <-chan error {
	result := make(chan error, 1)
	go func() { result <- store.Check(ctx, token) }()
	return result
}

// awaitQueue waits until so many checks are in the queue.
func awaitQueue(t *testing.T, store *revoke.Postgres, n int) {
	t.Helper()
	eventually(t, "the checks queue", func() bool { return revoke.QueuedChecks(store) == n })
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
	eventually(t, "nearly all checks queue", func() bool { return revoke.QueuedChecks(store) > n-2*1024 })
	g.release()
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
	if largest := g.largest.Load(); largest > 1024 || largest < 256 {
		t.Errorf("the largest query was about %d tokens", largest)
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

	awaitQueue(t, store, 3)

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
	g.release()
	must(t, <-stays)
	wantError(t, <-refused, revoke.ErrRevoked)
	cancelFirst() // after
	must(t, store.Check(t.Context(), newToken()))
	if n := pool.Stat().NewConnsCount(); n != connections {
		t.Errorf("%d connections were made in place of closed ones", n-connections)
	}
}

// TestCoalescedCancelOnTheWay has the caller leave for whom a query was begun, while the database is at it. It gets its error
// at once, the query goes on, and so does the connection.
func TestCoalescedCancelOnTheWay(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) { c.MaxConns = 2 })
	store := openStore(t, pool, revoke.WithCheckQueries(1))
	tx, err := pool.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE revoke.revoked_tokens IN ACCESS EXCLUSIVE MODE")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	leader := checkLater(ctx, store, newToken())
	eventually(t, "the query waits for the table", func() (waits bool) {
		must(t, tx.QueryRow(t.Context(), `SELECT count(*) = 1 FROM pg_locks
			WHERE NOT granted AND relation = 'revoke.revoked_tokens'::regclass`).Scan(&waits))
		return waits
	})
	stays := checkLater(t.Context(), store, newToken())
	awaitQueue(t, store, 1)
	cancel()
	wantError(t, <-leader, revoke.ErrUnavailable)
	must(t, tx.Rollback(t.Context()))
	must(t, <-stays)
	for range 2 {
		conn, err := pool.Acquire(t.Context())
		must(t, err)
		defer conn.Release()
	}
	if n := pool.Stat().NewConnsCount(); n != 2 {
		t.Errorf("%d connections were made in place of closed ones", n-2)
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
	awaitQueue(t, store, 20)
	cancel()
	for _, result := range gone {
		wantError(t, <-result, revoke.ErrUnavailable)
	}
	stays := checkLater(t.Context(), store, newToken())
	awaitQueue(t, store, 21)
	g.release()
	must(t, <-leader)
	must(t, <-stays)
	if n := g.largest.Load(); n != 0 || g.queries.Load() != 2 {
		t.Errorf("%d queries, one of them about %d, want one for each of the two who stayed", g.queries.Load(), n)
	}
	must(t, store.Check(t.Context(), newToken()))
}

// TestTransactionsDoNotCoalesce holds the only query of checks. Transactions go on meanwhile, each on its own connection and
// with what it has itself written, and none of them checks.
func TestTransactionsDoNotCoalesce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool, g := gatedStore(t, 1)
	stuck := checkLater(ctx, store, newToken())
	<-g.held
	waits := checkLater(ctx, store, newToken())
	awaitQueue(t, store, 1)
	work := func(r revoke.Revoker) {
		if _, ok := r.(revoke.Checker); ok {
			t.Errorf("%T checks", r)
		}
		token := newToken()
		must(t, r.Redeem(ctx, token))
		wantError(t, r.Redeem(ctx, token), revoke.ErrRevoked)
		moved, err := r.RevokeUser(ctx, userOf(token))
		must(t, err)
		if epochs, err := r.Epochs(ctx, userOf(token)); err != nil || epochs != moved {
			t.Errorf("Epochs = %v, %v, want what this transaction wrote, %v", epochs, err, moved)
		}
		if outside, err := store.Epochs(ctx, userOf(token)); err != nil || outside.User != 0 {
			t.Errorf("outside Epochs = %v, %v, before the commit", outside, err)
		}
	}
	must(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { work(store.WithTx(tx)); return nil }))
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	must(t, err)
	work(store.WithSQLTx(tx))
	must(t, tx.Commit())
	must(t, store.InTx(ctx, func(r revoke.Revoker) error { work(r); return nil }))
	g.release()
	must(t, <-stuck)
	must(t, <-waits)
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
