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
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/postgres"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// gate is a tracer that holds queries of Check until it is opened, counts them, and can misbehave.
type gate struct {
	held    chan struct{} // receives one for each query that is held
	open    chan struct{}
	release func() // opens it
	queries atomic.Int32
	largest atomic.Int32 // number of keys in a query
	misdeed atomic.Pointer[func()]
}

// newGate returns a gate that is closed.
func newGate() *gate {
	g := &gate{held: make(chan struct{}, 10_000), open: make(chan struct{})}
	g.release = sync.OnceFunc(func() { close(g.open) })
	return g
}

// TraceQueryStart holds checks, and lets reads of epochs and of spent tokens pass, which ask about
// two keys at most, or send them as a text.
func (g *gate) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if data.SQL != revoke.CheckSQL {
		return ctx
	}
	sent, ok := data.Args[0].(postgres.Keys)
	keys := len(sent)
	if !ok || keys <= 2 {
		return ctx
	}
	g.queries.Add(1)
	if keys > int(g.largest.Load()) {
		g.largest.Store(int32(keys))
	}
	g.held <- struct{}{}
	<-g.open
	if misdeed := g.misdeed.Swap(nil); misdeed != nil {
		(*misdeed)()
	}
	return ctx
}

func (*gate) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// gatedStore returns a store with a gate before its checks, on a pool of some connections.
func gatedStore(t *testing.T, queries int) (*revoke.Postgres, *pgxpool.Pool, *gate) {
	t.Helper()
	g := newGate()
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) {
		c.MaxConns = 8
		c.ConnConfig.Tracer = g
	})
	t.Cleanup(g.release) // before the pool is closed, which waits for its queries
	// No check of these tests is to end by its timeout, however loaded the machine is.
	return testkit.OpenStore(t, pool, revoke.WithCheckQueries(queries), revoke.WithCheckTimeout(time.Minute)), pool, g
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
	testkit.Eventually(t, "the checks queue", func() bool { return revoke.QueuedChecks(store) == n })
}

// TestCoalescedAnswers sends thousands of checks at once, some of them revoked in each scope, and
// looks at every answer.
func TestCoalescedAnswers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool, g := gatedStore(t, 2)
	const n = 5000
	tokens := make([]revoke.Token, n)
	wants := make([]revoke.Scope, n)
	testkit.Must(t, store.InTx(ctx, func(r revoke.Revoker) error {
		for i := range tokens {
			tokens[i] = testkit.Token()
			tokens[i].Issuer = fmt.Sprint("issuer-", i%7)
			var err error
			switch i % 50 {
			case 1:
				wants[i] = revoke.ScopeToken
				err = r.RevokeToken(ctx, tokens[i])
			case 2:
				wants[i] = revoke.ScopeSession
				err = r.RevokeSession(ctx, tokens[i].Session())
			case 3:
				wants[i] = revoke.ScopeUser
				_, err = r.RevokeUser(ctx, tokens[i].User())
			case 4:
				tokens[i].SessionID = ""
			case 5:
				tokens[i].Subject = ""
			case 6: // the same token as another check's
				tokens[i], wants[i] = tokens[i-5], wants[i-5]
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
	testkit.Eventually(t, "nearly all checks queue", func() bool { return revoke.QueuedChecks(store) > n-2*1024 })
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
	// Four keys a check at most, and seven issuers that all share.
	if largest := g.largest.Load(); largest > 3*1024+7 || largest < 3*256 {
		t.Errorf("the largest query was about %d keys", largest)
	}
	if conns := pool.Stat().TotalConns(); conns > 3 {
		t.Errorf("%d checks took %d connections", n, conns)
	}
}

// TestCoalescedSnapshot checks a token as soon as its revocation has returned, beside callers that
// check all the time: an answer from a query that had begun before would miss it.
func TestCoalescedSnapshot(t *testing.T) {
	t.Parallel()
	store, _ := testkit.Store(t, revoke.WithCheckQueries(1))
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 8 {
		token := testkit.Token()
		group.Go(func() {
			for ctx.Err() == nil {
				if err := store.Check(ctx, token); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	for range testkit.Long(150, 1500) {
		token := testkit.Token()
		testkit.Must(t, store.RevokeToken(t.Context(), token))
		testkit.WantError(t, store.Check(t.Context(), token), revoke.ErrRevoked)
	}
	stop()
	group.Wait()
}

// TestCoalescedCancel has callers leave before, during and after the query: the one that
// began it, and some that wait for the next. The others get their answers, and the connection
// stays.
func TestCoalescedCancel(t *testing.T) {
	t.Parallel()
	store, pool, g := gatedStore(t, 1)
	first, cancelFirst := context.WithCancel(t.Context())
	leader := checkLater(first, store, testkit.Token())
	<-g.held

	second, cancelSecond := context.WithCancel(t.Context())
	leaves, stays := checkLater(second, store, testkit.Token()), checkLater(t.Context(), store, testkit.Token())
	dead := testkit.Token()
	testkit.Must(t, store.RevokeToken(t.Context(), dead))
	refused := checkLater(t.Context(), store, dead)

	awaitQueue(t, store, 3)

	ended, cancelEnded := context.WithCancel(t.Context())
	cancelEnded()
	testkit.WantError(t, store.Check(ended, testkit.Token()), revoke.ErrUnavailable) // before

	cancelFirst() // during
	cancelSecond()
	for _, result := range []<-chan error{leader, leaves} {
		err := <-result // although the query is held
		testkit.WantError(t, err, revoke.ErrUnavailable)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Check = %v, want the cause in it", err)
		}
	}
	connections := pool.Stat().NewConnsCount()
	g.release()
	testkit.Must(t, <-stays)
	testkit.WantError(t, <-refused, revoke.ErrRevoked)
	cancelFirst() // after
	testkit.Must(t, store.Check(t.Context(), testkit.Token()))
	if n := pool.Stat().NewConnsCount(); n != connections {
		t.Errorf("%d connections were made in place of closed ones", n-connections)
	}
}

// TestCoalescedCancelOnTheWay has the caller leave that began a query, while the database is at
// work. That caller gets its error at once; the query goes on, and so does the connection.
func TestCoalescedCancelOnTheWay(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) { c.MaxConns = 2 })
	store := testkit.OpenStore(t, pool, revoke.WithCheckQueries(1), revoke.WithCheckTimeout(time.Minute))
	tx := testkit.Value(pool.Begin(t.Context()))(t)
	testkit.Value(tx.Exec(t.Context(), "LOCK TABLE revoke.revocations IN ACCESS EXCLUSIVE MODE"))(t)
	ctx, cancel := context.WithCancel(t.Context())
	leader := checkLater(ctx, store, testkit.Token())
	testkit.Eventually(t, "the query waits for the table", func() (waits bool) {
		testkit.Must(t, tx.QueryRow(t.Context(), `SELECT count(*) = 1 FROM pg_locks
			WHERE NOT granted AND relation = 'revoke.revocations'::regclass`).Scan(&waits))
		return waits
	})
	stays := checkLater(t.Context(), store, testkit.Token())
	awaitQueue(t, store, 1)
	cancel()
	testkit.WantError(t, <-leader, revoke.ErrUnavailable)
	testkit.Must(t, tx.Rollback(t.Context()))
	testkit.Must(t, <-stays)
	for range 2 {
		conn := testkit.Value(pool.Acquire(t.Context()))(t)
		defer conn.Release()
	}
	if n := pool.Stat().NewConnsCount(); n != 2 {
		t.Errorf("%d connections were made in place of closed ones", n-2)
	}
}

// TestCoalescedCallersThatLeft fills the queue with callers that leave: no query is sent for them.
func TestCoalescedCallersThatLeft(t *testing.T) {
	t.Parallel()
	store, _, g := gatedStore(t, 1)
	leader := checkLater(t.Context(), store, testkit.Token())
	<-g.held
	ctx, cancel := context.WithCancel(t.Context())
	var gone []<-chan error
	for range 20 {
		gone = append(gone, checkLater(ctx, store, testkit.Token()))
	}
	awaitQueue(t, store, 20)
	cancel()
	for _, result := range gone {
		testkit.WantError(t, <-result, revoke.ErrUnavailable)
	}
	stays := checkLater(t.Context(), store, testkit.Token())
	awaitQueue(t, store, 21)
	g.release()
	testkit.Must(t, <-leader)
	testkit.Must(t, <-stays)
	if n := g.largest.Load(); n != 4 || g.queries.Load() != 2 {
		t.Errorf("%d queries, one of them about %d keys, want one for each of the two that stayed", g.queries.Load(), n)
	}
	testkit.Must(t, store.Check(t.Context(), testkit.Token()))
}

// TestCoalescedKeysAreSentOnce has checks of the same token share a query: each key is asked for
// once.
func TestCoalescedKeysAreSentOnce(t *testing.T) {
	t.Parallel()
	store, _, g := gatedStore(t, 1)
	leader := checkLater(t.Context(), store, testkit.Token())
	<-g.held
	token := testkit.Token()
	testkit.Must(t, store.RevokeToken(t.Context(), token))
	var same []<-chan error
	for range 20 {
		same = append(same, checkLater(t.Context(), store, token))
	}
	awaitQueue(t, store, 20)
	g.release()
	testkit.Must(t, <-leader)
	for _, result := range same {
		testkit.WantError(t, <-result, revoke.ErrRevoked)
	}
	if n := g.largest.Load(); n != 4 || g.queries.Load() != 2 {
		t.Errorf("%d queries, one of them about %d keys, want 2 and 4", g.queries.Load(), n)
	}
}

// TestTransactionsDoNotCoalesce holds the only query of checks. Transactions go on meanwhile, each
// on its own connection and with its own writes in view, and none of them checks.
func TestTransactionsDoNotCoalesce(t *testing.T) {
	t.Parallel()
	store, pool, g := gatedStore(t, 1)
	db := sqlDB(t, pool)
	stuck := checkLater(t.Context(), store, testkit.Token())
	<-g.held
	waits := checkLater(t.Context(), store, testkit.Token())
	awaitQueue(t, store, 1)
	for _, row := range []struct {
		name string
		in   func(ctx context.Context, work func(revoke.Revoker) error) error
	}{
		{"WithTx", func(ctx context.Context, work func(revoke.Revoker) error) error {
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return work(store.WithTx(tx)) })
		}},
		{"WithSQLTx", func(ctx context.Context, work func(revoke.Revoker) error) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			return errors.Join(work(store.WithSQLTx(tx)), tx.Commit())
		}},
		{"InTx", store.InTx},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx := t.Context()
			testkit.Must(t, row.in(ctx, func(r revoke.Revoker) error {
				if _, ok := r.(revoke.Checker); ok {
					t.Errorf("%T checks", r)
				}
				token := testkit.Token()
				testkit.Must(t, r.Redeem(ctx, token))
				testkit.WantError(t, r.Redeem(ctx, token), revoke.ErrRevoked)
				moved := testkit.Value(r.RevokeUser(ctx, token.User()))(t)
				if epochs := testkit.Value(r.Epochs(ctx, token.User()))(t); epochs != moved {
					t.Errorf("Epochs = %v, want what this transaction wrote, %v", epochs, moved)
				}
				if outside := testkit.Value(store.Epochs(ctx, token.User()))(t); outside.User != 0 {
					t.Errorf("outside Epochs = %v, before the commit", outside)
				}
				return nil
			}))
		})
	}
	g.release()
	testkit.Must(t, <-stuck)
	testkit.Must(t, <-waits)
}

// TestImpatientCallers cancels ten thousand checks at any moment of theirs. A query that was
// cancelled with its caller would close its connection. No check gets the answer of another: not
// of one that left, and not of the check before.
func TestImpatientCallers(t *testing.T) {
	t.Parallel()
	store, pool := testkit.Store(t, revoke.WithCheckTimeout(time.Minute))
	testkit.Must(t, store.Check(t.Context(), testkit.Token()))
	dead := testkit.Token()
	testkit.Must(t, store.RevokeToken(t.Context(), dead))
	var group sync.WaitGroup
	for worker := range 100 {
		group.Go(func() {
			good := testkit.Token()
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
	testkit.Must(t, store.Check(t.Context(), testkit.Token()))
	if n := pool.Stat().NewConnsCount(); n > 2 {
		t.Errorf("%d connections were made, want the two that checks use", n)
	}
}

// TestCheckErrorsNameOneOperation reads the text of a shared query's failure.
func TestCheckErrorsNameOneOperation(t *testing.T) {
	t.Parallel()
	store, pool := testkit.Store(t)
	pool.Close()
	err := store.Check(t.Context(), testkit.Token())
	if err == nil || !strings.HasPrefix(err.Error(), "revoke: Check: "+revoke.ErrUnavailable.Error()+": ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Check = %v", err)
	}
}
