package session_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/session"
)

// remote is a key that is kept elsewhere.
type remote struct {
	before func(ctx context.Context) error
}

// Sign implements session.Signer.
func (r *remote) Sign(ctx context.Context, signingString []byte) ([]byte, error) {
	if err := r.before(ctx); err != nil {
		return nil, err
	}
	return ed25519.Sign(testkit.TestKeys().Ed, signingString), nil
}

// keys has this key alone.
func (r *remote) keys() session.Keys {
	return session.StaticKeys(session.Key{
		ID: "1", Method: jwt.SigningMethodEdDSA, Private: r, Public: testkit.TestKeys().Ed.Public(),
	})
}

// stamp is a signer that signs everything with this.
type stamp string

// Sign implements session.Signer.
func (s stamp) Sign(context.Context, []byte) ([]byte, error) { return []byte(s), nil }

// signing is the app with another signer in it.
func (a *app) signing(keys session.Keys, opts ...session.Option) *app {
	a.t.Helper()
	other := *a
	other.Sessions = testkit.Value(session.New(a.store, testkit.Issuer, revoke.AudienceOf("api"), keys, opts...))(a.t)
	return &other
}

// state is what a refresh may change.
func (a *app) state(tokens session.Tokens) string {
	a.t.Helper()
	return testkit.QueryOne[string](a.t, a.pool, "SELECT s::text FROM revoke.sessions AS s WHERE sid = $1", tokens.Session.ID)
}

// longer waits for longer than a statement takes on its way to the database and in it.
func (a *app) longer() {
	a.t.Helper()
	began := time.Now()
	testkit.Eventually(a.t, "time passes", func() bool { return time.Since(began) > 200*time.Millisecond })
}

var errLost = errors.New("the line is dead")

// TestHeldUp is a refresh that waits in the app, while other refreshes go on. A replay is
// judged by when the request came.
func TestHeldUp(t *testing.T) {
	t.Parallel()
	rows(t, newApp(t), []row{
		{"the grace ends meanwhile", func(a *app) {
			first := a.start()
			second := a.rotates(first)
			slow := a.signing((&remote{func(ctx context.Context) error {
				a.longer()
				_, err := a.pool.Exec(ctx, "UPDATE revoke.sessions SET refreshed_at = clock_timestamp() - $2::text::interval WHERE sid = $1",
					first.Session.ID, grace.String())
				return err
			}}).keys())
			slow.answersPredecessor(first, second)
		}},
		{"the last rotation is later than the request, whether the signer fails or not", func(a *app) {
			for _, failure := range []error{nil, errLost} {
				first := a.start()
				second := a.rotates(first)
				a.pass(first, grace)
				third := a.rotates(second)
				slow := a.signing((&remote{func(ctx context.Context) error {
					a.longer()
					_, err := a.pool.Exec(ctx, "UPDATE revoke.sessions SET refreshed_at = clock_timestamp() WHERE sid = $1", first.Session.ID)
					return errors.Join(failure, err)
				}}).keys())
				slow.fails(first, session.Unavailable)
				a.answersCurrent(third)
				a.fails(first, session.Replayed)
			}
		}},
	})
}

// TestFailures leaves the session as it is.
func TestFailures(t *testing.T) {
	t.Parallel()
	rows(t, newApp(t), []row{
		{"a signer that fails", func(a *app) {
			t := a.t
			first := a.start()
			before := a.state(first)
			for fails := range int32(2) {
				var calls atomic.Int32
				broken := a.signing((&remote{func(context.Context) error {
					if calls.Add(1) > fails {
						return errLost
					}
					return nil
				}}).keys())
				if failed := broken.failure(first, session.Unavailable); !errors.Is(failed, errLost) {
					t.Errorf("%v", failed)
				}
			}
			if after := a.state(first); after != before {
				t.Errorf("%s became %s", before, after)
			}
			a.rotates(first)
		}},
		{"keys that cannot be had", func(a *app) {
			t := a.t
			first := a.start()
			broken := a.signing(func(context.Context) ([]session.Key, error) { return nil, errLost })
			if failed := broken.failure(first, session.Unavailable); !errors.Is(failed, errLost) {
				t.Errorf("%v", failed)
			}
			if _, err := broken.Start(t.Context(), a.user, revoke.Epochs{}, browser); !errors.Is(err, revoke.ErrUnavailable) || !errors.Is(err, errLost) {
				t.Errorf("Start = %v", err)
			}
			if list := testkit.Value(a.List(t.Context(), a.user))(t); len(list) != 1 {
				t.Errorf("a start that failed has left %+v", list)
			}
			_, err := broken.PublicKeys(t.Context())
			testkit.WantError(t, err, revoke.ErrUnavailable)
			testkit.WantError(t, broken.EndToken(t.Context(), first.Refresh), revoke.ErrUnavailable)
		}},
		{"keys that are asked for by a refresh have no longer than the refresh", func(a *app) {
			t := a.t
			first := a.start()
			asked := 0
			slow := a.signing(func(ctx context.Context) ([]session.Key, error) {
				asked++
				if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > 4*time.Second {
					t.Errorf("the keys have until %v", deadline)
				}
				return signer()(ctx)
			}, session.WithGrace(24*time.Second))
			if _, err := slow.Refresh(t.Context(), first.Refresh, browser); err != nil || asked != 2 {
				t.Errorf("Refresh = %v, and the keys were asked for %d times", err, asked)
			}
		}},
		{"claims that cannot be had", func(a *app) {
			t := a.t
			first := a.start()
			before := a.state(first)
			for _, cause := range []error{errLost, revoke.ErrRevoked} {
				broken := a.with(session.WithClaims(func(context.Context, session.Grant) (map[string]any, error) { return nil, cause }))
				if failed := broken.failure(first, session.Unavailable); !strings.Contains(failed.Error(), cause.Error()) {
					t.Errorf("%v", failed)
				}
			}
			if after := a.state(first); after != before {
				t.Errorf("%s became %s", before, after)
			}
		}},
		{"claims that cannot be had for a session that is over", func(a *app) {
			t := a.t
			broken := a.with(session.WithClaims(func(context.Context, session.Grant) (map[string]any, error) { return nil, errLost }))
			ended, deleted := a.start(), a.start()
			testkit.Must(t, a.End(t.Context(), a.user, ended.Session.ID))
			broken.fails(ended, session.Ended)
			testkit.Value(a.EndAll(t.Context(), a.user))(t)
			before := a.state(deleted)
			broken.fails(deleted, session.Revoked)
			if after := a.state(deleted); after != before {
				t.Errorf("%s became %s", before, after)
			}
		}},
		{"a replay while no token can be signed", func(a *app) {
			broken := a.signing((&remote{func(context.Context) error { return errLost }}).keys())
			first := a.start()
			second := a.rotates(first)
			broken.fails(first, session.Unavailable)
			a.accepts(second, true)
			a.pass(first, grace)
			third := a.rotates(second)
			broken.fails(second, session.Unavailable)
			a.pass(first, grace/2)
			broken.fails(first, session.Replayed)
			a.accepts(third, false)
			a.fails(third, session.Ended)
		}},
		{"a predecessor after the grace, while no token can be signed", func(a *app) {
			broken := a.signing((&remote{func(context.Context) error { return errLost }}).keys())
			first := a.start()
			second := a.rotates(first)
			a.pass(first, 2*grace)
			broken.fails(first, session.Replayed)
			a.fails(second, session.Ended)
		}},
		{"a replay while the signer hangs", func(a *app) {
			hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
			for _, broken := range []*app{
				a.signing((&remote{hangs}).keys(), session.WithGrace(24*time.Second)),
				a.with(session.WithGrace(24*time.Second), session.WithClaims(func(ctx context.Context, _ session.Grant) (map[string]any, error) {
					return nil, hangs(ctx)
				})),
			} {
				first := a.start()
				second := a.rotates(first)
				a.pass(first, grace)
				broken.fails(first, session.Replayed)
				a.fails(second, session.Ended)
			}
		}},
		{"a replay by a client that hangs up while its token is signed", func(a *app) {
			t := a.t
			first := a.start()
			second := a.rotates(first)
			a.pass(first, 2*grace)
			ctx, cancel := context.WithCancel(t.Context())
			broken := a.signing((&remote{func(ctx context.Context) error { cancel(); return ctx.Err() }}).keys())
			_, err := broken.Refresh(ctx, first.Refresh, browser)
			testkit.WantError(t, err, revoke.ErrRevoked)
			a.fails(second, session.Ended)
		}},
		{"a signer whose signature is none", func(a *app) {
			t := a.t
			first := a.start()
			before := a.state(first)
			public := testkit.TestKeys().Ed.Public()
			for _, signature := range []string{"", "no signature", strings.Repeat("x", ed25519.SignatureSize)} {
				broken := a.signing(session.StaticKeys(session.Key{ID: "1", Method: jwt.SigningMethodEdDSA, Private: stamp(signature), Public: public}))
				if failed := broken.failure(first, session.Unavailable); !strings.Contains(failed.Error(), "does not verify") {
					t.Errorf("%v", failed)
				}
				_, err := broken.Start(t.Context(), a.user, revoke.Epochs{}, browser)
				testkit.WantError(t, err, revoke.ErrUnavailable)
			}
			if after := a.state(first); after != before {
				t.Errorf("%s became %s", before, after)
			}
			a.wantListed(first)
		}},
		{"a failover that lost the rotation", func(a *app) {
			t := a.t
			first := a.start()
			second := a.rotates(first)
			testkit.Exec(t, a.pool, "UPDATE revoke.sessions SET generation = 1, refreshed_at = NULL WHERE sid = $1", first.Session.ID)
			a.answersCurrent(second)
			if got := a.generation(first); got != 2 {
				t.Errorf("generation %d", got)
			}
			a.answersPredecessor(first, second)
			a.pass(first, grace)
			a.rotates(second)
		}},
		{"a clock that was set back", func(a *app) {
			t := a.t
			first := a.start()
			second := a.rotates(first)
			testkit.Exec(t, a.pool, "UPDATE revoke.sessions SET refreshed_at = clock_timestamp() + interval '1 hour' WHERE sid = $1", first.Session.ID)
			a.answersPredecessor(first, second)
			a.answersCurrent(second)
			if ahead := testkit.QueryOne[bool](t, a.pool, "SELECT refreshed_at > clock_timestamp() FROM revoke.sessions WHERE sid = $1", first.Session.ID); ahead {
				t.Error("refreshed_at is still ahead")
			}
			if got := a.generation(first); got != 2 {
				t.Errorf("generation %d", got)
			}
			a.answersPredecessor(first, second)
			a.pass(first, grace)
			a.rotates(second)
		}},
		{"an app with a wrong clock", func(a *app) {
			for _, wrong := range []time.Duration{-100 * 24 * time.Hour, -time.Hour, time.Hour, 100 * 24 * time.Hour} {
				odd := a.with(session.WithClock(func() time.Time { return time.Now().Add(wrong) }))
				first := odd.start()
				second := odd.rotates(first)
				odd.answersPredecessor(first, second)
				odd.answersCurrent(second)
				odd.pass(first, grace)
				odd.rotates(second)
				odd.fails(first, session.Replayed)
			}
		}},
	})
}

// TestClaimsFromTheDatabase: a function of the app's that queries the database by the same pool
// gets a connection, because the session's transaction has not begun.
func TestClaimsFromTheDatabase(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	config := a.pool.Config()
	config.MaxConns = 1
	narrow := testkit.Value(pgxpool.NewWithConfig(t.Context(), config))(t)
	t.Cleanup(narrow.Close)
	store := testkit.Value(revoke.NewPostgres(narrow))(t)
	ask := func(ctx context.Context, _ session.Grant) (map[string]any, error) {
		if free := narrow.Stat().MaxConns() - narrow.Stat().AcquiredConns(); free == 0 {
			return nil, errors.New("the only connection is in use")
		}
		var role string
		err := narrow.QueryRow(ctx, "SELECT 'reader'").Scan(&role)
		return map[string]any{"role": role}, err
	}
	b := onStore(t, store, narrow, session.WithClaims(ask))
	first := testkit.Value(b.Start(t.Context(), b.user, revoke.Epochs{}, browser))(t)
	testkit.Value(b.Refresh(t.Context(), first.Refresh, browser))(t)
	testkit.Value(b.EndOthers(t.Context(), b.user, first.Session.ID, browser))(t)
}

// TestReplayThatCannotEnd: "replayed" is answered after the commit of the end, and no sooner.
func TestReplayThatCannotEnd(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	first := a.start()
	second := a.rotates(first)
	a.pass(first, grace)
	testkit.Exec(t, a.pool, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END';
		CREATE TRIGGER refuse BEFORE INSERT ON revoke.revocations FOR EACH ROW EXECUTE FUNCTION refuse()`, pgx.QueryExecModeSimpleProtocol)
	a.fails(first, session.Unavailable)
	a.accepts(second, true)
	third := a.rotates(second)
	testkit.Exec(t, a.pool, "DROP TRIGGER refuse ON revoke.revocations")
	a.fails(first, session.Replayed)
	a.accepts(third, false)
}

// tracer is told of each statement when it has ended.
type tracer struct{ ended func(sql string) }

type sqlKey struct{}

// TraceQueryStart implements pgx.QueryTracer.
func (*tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	return context.WithValue(ctx, sqlKey{}, data.SQL)
}

// TraceQueryEnd implements pgx.QueryTracer.
func (r *tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	sql, _ := ctx.Value(sqlKey{}).(string)
	r.ended(sql)
}

// TestClientThatHangsUp: a replay that has been found out ends the session, also where the client
// does not wait for the answer.
func TestClientThatHangsUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	armed := false
	trace := &tracer{func(sql string) {
		if armed && strings.Contains(sql, "'adopt'") {
			cancel()
		}
	}}
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) { c.ConnConfig.Tracer = trace })
	a := onStore(t, testkit.OpenStore(t, pool), pool)
	first := a.start()
	second := a.rotates(first)
	a.pass(first, grace)
	armed = true
	_, err := a.Refresh(ctx, first.Refresh, browser)
	if ctx.Err() == nil {
		t.Fatal("the client has not hung up")
	}
	if failed := (*session.RefreshError)(nil); !errors.As(err, &failed) || failed.Reason != session.Replayed {
		t.Errorf("Refresh = %v", err)
	}
	a.accepts(second, false)
}

// TestRefreshIsOneRoundTrip counts statements.
func TestRefreshIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	var count atomic.Int32
	trace := &tracer{func(string) { count.Add(1) }}
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) { c.ConnConfig.Tracer = trace })
	a := onStore(t, testkit.OpenStore(t, pool), pool)
	first := a.start()
	for _, call := range []struct {
		name   string
		tokens session.Tokens
		want   session.Outcome
	}{{"a rotation", first, session.Rotated}, {"a repeat", first, session.Repeated}} {
		before := count.Load()
		a.refresh(call.tokens, call.want)
		if n := count.Load() - before; n != 1 {
			t.Errorf("%s takes %d statements", call.name, n)
		}
	}
}

// TestDatabaseThatIsGone is unavailable, and never over.
func TestDatabaseThatIsGone(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t))
	a := onStore(t, testkit.OpenStore(t, pool), pool)
	first := a.start()
	pool.Close()
	a.fails(first, session.Unavailable)
	_, err := a.Start(t.Context(), a.user, revoke.Epochs{}, browser)
	testkit.WantError(t, err, revoke.ErrUnavailable)
	_, err = a.List(t.Context(), a.user)
	testkit.WantError(t, err, revoke.ErrUnavailable)
	testkit.WantError(t, a.End(t.Context(), a.user, first.Session.ID), revoke.ErrUnavailable)
	testkit.WantError(t, a.EndToken(t.Context(), first.Access), revoke.ErrUnavailable)
	_, err = a.Sweep(t.Context())
	testkit.WantError(t, err, revoke.ErrUnavailable)
}
