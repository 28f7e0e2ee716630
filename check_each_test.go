package revoke_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// tableQueries counts the queries that read the table.
type tableQueries struct{ n atomic.Int64 }

func (q *tableQueries) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if strings.Contains(data.SQL, "revocations") {
		q.n.Add(1)
	}
	return ctx
}

func (*tableQueries) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// checkEvents counts the events of checks.
type checkEvents struct{ n atomic.Int64 }

func (e *checkEvents) OnCheck(context.Context, revoke.CheckEvent) { e.n.Add(1) }

// TestCheckEach gives each token the answer of Check, in queries of up to 1,024 tokens.
func TestCheckEach(t *testing.T) {
	t.Parallel()
	for _, queries := range []int{0, 2} {
		t.Run(fmt.Sprintf("WithCheckQueries(%d)", queries), func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			var sent tableQueries
			var events checkEvents
			pool := pgserver.Pool(t, pgserver.Database(t), func(config *pgxpool.Config) { config.ConnConfig.Tracer = &sent })
			store := testkit.OpenStore(t, pool, revoke.WithCheckQueries(queries), revoke.WithHook(&events))
			tokens := make([]revoke.Token, 2500)
			wants := make([]revoke.Scope, len(tokens))
			for i := range tokens {
				tokens[i] = testkit.Token()
			}
			const invalid = 2222
			tokens[invalid].Issuer = ""
			tokens[1500] = tokens[0] // twice, in two queries
			for i, end := range map[int]func(revoke.Revoker, revoke.Token) error{
				0:    func(r revoke.Revoker, token revoke.Token) error { return r.RevokeToken(ctx, token) },
				1023: func(r revoke.Revoker, token revoke.Token) error { return r.RevokeSession(ctx, token.Session()) },
				2499: func(r revoke.Revoker, token revoke.Token) error {
					_, err := r.RevokeUser(ctx, token.User())
					return err
				},
			} {
				testkit.Must(t, end(store, tokens[i]))
			}
			wants[0], wants[1500], wants[1023], wants[2499] = revoke.ScopeToken, revoke.ScopeToken, revoke.ScopeSession, revoke.ScopeUser
			before := sent.n.Load()
			errs := store.CheckEach(ctx, tokens)
			if asked := sent.n.Load() - before; asked != 3 || events.n.Load() != int64(len(tokens)) {
				t.Errorf("%d queries and %d events, want 3 and %d", asked, events.n.Load(), len(tokens))
			}
			for i, err := range errs {
				var revoked *revoke.RevokedError
				switch {
				case i == invalid:
					testkit.WantError(t, err, revoke.ErrInvalidToken)
				case wants[i] == "":
					testkit.Must(t, err)
				case !errors.As(err, &revoked) || revoked.Scope != wants[i] || revoked.Since.IsZero():
					t.Errorf("token %d: %v, want it refused in scope %s", i, err, wants[i])
				}
			}
			if errs := store.CheckEach(ctx, nil); len(errs) != 0 {
				t.Errorf("no tokens: %v", errs)
			}
			pool.Close()
			for i, err := range store.CheckEach(ctx, tokens) {
				want := revoke.ErrUnavailable
				if i == invalid {
					want = revoke.ErrInvalidToken
				}
				testkit.WantError(t, err, want)
			}
		})
	}
}

// TestCheckEachInAnOutage asks no second question if the first one is not answered, in time.
func TestCheckEachInAnOutage(t *testing.T) {
	t.Parallel()
	for _, queries := range []int{0, 2} {
		t.Run(fmt.Sprintf("WithCheckQueries(%d)", queries), func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			var sent tableQueries
			url := pgserver.Database(t)
			pool := pgserver.Pool(t, url, func(config *pgxpool.Config) { config.ConnConfig.Tracer = &sent })
			store := testkit.OpenStore(t, pool, revoke.WithCheckQueries(queries), revoke.WithCheckTimeout(100*time.Millisecond))
			tokens := make([]revoke.Token, 2500)
			for i := range tokens {
				tokens[i] = testkit.Token()
			}
			locker := testkit.Value(pgserver.Pool(t, url).Begin(ctx))(t)
			defer func() { testkit.Must(t, locker.Rollback(ctx)) }()
			testkit.Value(locker.Exec(ctx, "LOCK TABLE revoke.revocations"))(t)
			before := sent.n.Load()
			for _, err := range store.CheckEach(ctx, tokens) {
				testkit.WantError(t, err, revoke.ErrUnavailable)
			}
			if asked := sent.n.Load() - before; asked != 1 {
				t.Errorf("%d queries, want 1", asked)
			}
		})
	}
}
