package revoke_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
)

// recorder hears of every event, and of the value that the call's context carries.
type recorder struct {
	mu     sync.Mutex
	events []any
	values []any
}

// traceKey is the key of a value in a context, such as a trace.
type traceKey struct{}

func (r *recorder) add(ctx context.Context, event any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event)
	r.values = append(r.values, ctx.Value(traceKey{}))
}

func (r *recorder) OnCheck(ctx context.Context, e revoke.CheckEvent)       { r.add(ctx, e) }
func (r *recorder) OnValidate(ctx context.Context, e revoke.ValidateEvent) { r.add(ctx, e) }
func (r *recorder) OnWrite(ctx context.Context, e revoke.WriteEvent)       { r.add(ctx, e) }
func (r *recorder) OnSweep(ctx context.Context, e revoke.SweepEvent)       { r.add(ctx, e) }

// take returns the one event that was heard since the last call. The context's value is "trace".
func take[E any](tb testing.TB, r *recorder) (event E) {
	tb.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) != 1 {
		tb.Fatalf("%d events: %+v, want one", len(r.events), r.events)
	}
	event, ok := r.events[0].(E)
	if !ok || r.values[0] != "trace" {
		tb.Fatalf("event %#v with the value %v in its context", r.events[0], r.values[0])
	}
	r.events, r.values = nil, nil
	return event
}

func (r *recorder) heardNothing(tb testing.TB, of string) {
	tb.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) != 0 {
		tb.Errorf("of %s there are events: %+v", of, r.events)
	}
}

// traced returns a context that carries the value "trace".
func traced(tb testing.TB) context.Context {
	tb.Helper()
	return context.WithValue(tb.Context(), traceKey{}, "trace")
}

// sameError reports whether a hook heard of the error that the call returned.
func sameError(heard, returned error) bool {
	return heard == returned //nolint:errorlint // the value itself
}

func TestCheckHook(t *testing.T) {
	t.Parallel()
	for _, queries := range []int{0, 1} {
		for _, row := range []struct {
			name  string
			token func(t *testing.T, store *revoke.Postgres) revoke.Token
			want  error
		}{
			{"accepted", func(*testing.T, *revoke.Postgres) revoke.Token { return testkit.Token() }, nil},
			{"revoked", func(t *testing.T, store *revoke.Postgres) revoke.Token {
				t.Helper()
				token := testkit.Token()
				testkit.Must(t, store.RevokeToken(t.Context(), token))
				return token
			}, revoke.ErrRevoked},
			{"invalid", func(*testing.T, *revoke.Postgres) revoke.Token { return revoke.Token{} }, revoke.ErrInvalidToken},
			{"unavailable", func(_ *testing.T, store *revoke.Postgres) revoke.Token {
				store.Pool().Close()
				return testkit.Token()
			}, revoke.ErrUnavailable},
		} {
			t.Run(fmt.Sprintf("queries=%d/%s", queries, row.name), func(t *testing.T) {
				t.Parallel()
				address, heard := pgserver.Database(t), &recorder{}
				writer := testkit.OpenStore(t, pgserver.Pool(t, address))
				store := testkit.OpenStore(t, writer.Pool(), revoke.WithCheckQueries(queries), revoke.WithHook(heard))
				token := row.token(t, writer)
				heard.heardNothing(t, "another store")
				err := store.Check(traced(t), token)
				event := take[revoke.CheckEvent](t, heard)
				if !sameError(event.Err, err) || event.FromMemory || event.Duration <= 0 {
					t.Errorf("event %+v, Check = %v", event, err)
				}
				if row.want == nil {
					testkit.Must(t, err)
					return
				}
				testkit.WantError(t, err, row.want)
			})
		}
	}
}

func TestValidateHook(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
	testkit.Must(t, store.RevokeToken(t.Context(), revoke.Token{Issuer: testkit.Issuer, ID: "revoked"}))
	down := revoketest.NewFaulty(store)
	down.Fail(errors.New("down"))
	for _, row := range []struct {
		name    string
		checker revoke.Checker
		text    string
		want    error
	}{
		{"accepted", store, testkit.Mint(t, nil), nil},
		{"revoked", store, testkit.Mint(t, map[string]string{"jti": `"revoked"`}), revoke.ErrRevoked},
		{"expired", store, testkit.Mint(t, map[string]string{"exp": testkit.At(0)}), revoke.ErrInvalidToken},
		{"malformed", store, "x", revoke.ErrInvalidToken},
		{"unavailable", down, testkit.Mint(t, nil), revoke.ErrUnavailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			heard := &recorder{}
			v := es256(t, row.checker, revoke.WithHook(heard))
			_, err := v.Validate(traced(t), row.text)
			event := take[revoke.ValidateEvent](t, heard)
			if !sameError(event.Err, err) || event.Duration <= 0 {
				t.Errorf("event %+v, Validate = %v", event, err)
			}
			if row.want == nil {
				testkit.Must(t, err)
			} else {
				testkit.WantError(t, err, row.want)
			}
			_, _ = v.Identify(traced(t), row.text)
			heard.heardNothing(t, "Identify")
		})
	}
}

// hookedWrites are all writes, and what a hook hears of each.
var hookedWrites = []struct {
	name  string // of the method
	scope revoke.Scope
	count int
	write func(context.Context, revoke.Revoker, revoke.Token) error
}{
	{"RevokeToken", revoke.ScopeToken, 1, func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
		return r.RevokeToken(ctx, t)
	}},
	{"RevokeTokens", revoke.ScopeToken, 3, func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
		return r.RevokeTokens(ctx, []revoke.Token{t, t, t})
	}},
	{"RevokeSession", revoke.ScopeSession, 1, func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
		return r.RevokeSession(ctx, t.Session())
	}},
	{"RevokeUser", revoke.ScopeUser, 1, func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
		_, err := r.RevokeUser(ctx, t.User())
		return err
	}},
	{"RevokeUsers", revoke.ScopeUser, 3, func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
		_, err := r.RevokeUsers(ctx, []revoke.User{t.User(), t.User(), t.User()})
		return err
	}},
	{"RevokeUserBefore", revoke.ScopeUser, 1, func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
		return r.RevokeUserBefore(ctx, t.User(), t.IssuedAt)
	}},
	{"RevokeIssuer", revoke.ScopeIssuer, 1, func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
		_, err := r.RevokeIssuer(ctx, t.Issuer)
		return err
	}},
	{"Redeem", revoke.ScopeToken, 1, func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
		return r.Redeem(ctx, t)
	}},
}

// endingTracer calls end in the middle of a write.
type endingTracer struct {
	*countingTracer
	end func()
}

func (e endingTracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	e.end()
	return ctx
}

func TestWriteHook(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t))
	closed := pgserver.Pool(t, pool.Config().ConnString())
	closed.Close()
	db := sqlDB(t, pool)
	rolledBack := errors.New("rolled back")
	for _, row := range hookedWrites {
		for _, way := range []struct {
			name  string
			inTx  bool
			pool  *pgxpool.Pool
			want  error
			write func(ctx context.Context, store *revoke.Postgres, write func(revoke.Revoker) error) error
		}{
			{"by the store", false, pool, nil, func(_ context.Context, store *revoke.Postgres, write func(revoke.Revoker) error) error {
				return write(store)
			}},
			{"WithTx, rolled back", true, pool, nil, func(ctx context.Context, store *revoke.Postgres, write func(revoke.Revoker) error) (err error) {
				_ = pgx.BeginFunc(ctx, store.Pool(), func(tx pgx.Tx) error {
					err = write(store.WithTx(tx))
					return rolledBack
				})
				return err
			}},
			{"WithSQLTx", true, pool, nil, func(ctx context.Context, store *revoke.Postgres, write func(revoke.Revoker) error) error {
				tx, err := db.BeginTx(ctx, nil)
				if err != nil {
					return err
				}
				return errors.Join(write(store.WithSQLTx(tx)), tx.Commit())
			}},
			{"InTx", true, pool, nil, func(ctx context.Context, store *revoke.Postgres, write func(revoke.Revoker) error) error {
				return store.InTx(ctx, write)
			}},
			{"unavailable", false, closed, revoke.ErrUnavailable, func(_ context.Context, store *revoke.Postgres, write func(revoke.Revoker) error) error {
				return write(store)
			}},
		} {
			t.Run(row.name+"/"+way.name, func(t *testing.T) {
				t.Parallel()
				heard := &recorder{}
				store := testkit.OpenStore(t, way.pool, revoke.WithHook(heard))
				token := testkit.Token()
				token.Issuer += "/" + row.name + "/" + way.name
				var returned error
				err := way.write(t.Context(), store, func(r revoke.Revoker) error {
					returned = row.write(traced(t), r, token)
					return returned
				})
				if way.want == nil {
					testkit.Must(t, err)
				} else {
					testkit.WantError(t, err, way.want)
				}
				event := take[revoke.WriteEvent](t, heard)
				if event.Duration <= 0 || !sameError(event.Err, returned) {
					t.Errorf("event %+v, the method returned %v", event, returned)
				}
				event.Duration, event.Err = 0, nil
				if want := (revoke.WriteEvent{Operation: row.name, Scope: row.scope, Count: row.count, InTx: way.inTx}); event != want {
					t.Errorf("event %+v, want %+v", event, want)
				}
			})
		}
		t.Run(row.name+"/with an invalid name", func(t *testing.T) {
			t.Parallel()
			heard := &recorder{}
			store := testkit.OpenStore(t, pool, revoke.WithHook(heard))
			err := row.write(traced(t), store, revoke.Token{})
			event := take[revoke.WriteEvent](t, heard)
			if err == nil || !sameError(event.Err, err) || event.Operation != row.name || event.Scope != row.scope || event.Count != row.count {
				t.Errorf("event %+v, the method returned %v", event, err)
			}
		})
	}
	for _, row := range hookedWrites {
		for _, way := range []struct {
			name string
			end  func()
		}{
			{"panic", func() { panic("a tracer panics") }},
			{"Goexit", runtime.Goexit},
		} {
			t.Run(row.name+"/"+way.name, func(t *testing.T) {
				t.Parallel()
				heard := &recorder{}
				ended := pgserver.Pool(t, pool.Config().ConnString(), func(c *pgxpool.Config) {
					c.ConnConfig.Tracer = endingTracer{&countingTracer{}, way.end}
				})
				store := testkit.OpenStore(t, ended, revoke.WithHook(heard))
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer func() { _ = recover() }()
					_ = row.write(traced(t), store, testkit.Token())
				}()
				<-done
				event := take[revoke.WriteEvent](t, heard)
				if event.Operation != row.name || !errors.Is(event.Err, revoke.ErrUnavailable) {
					t.Errorf("event %+v, want an error that matches ErrUnavailable", event)
				}
			})
		}
	}
	t.Run("Redeem/of a spent token", func(t *testing.T) {
		t.Parallel()
		heard := &recorder{}
		store, token := testkit.OpenStore(t, pool, revoke.WithHook(heard)), testkit.Token()
		testkit.Must(t, store.Redeem(traced(t), token))
		take[revoke.WriteEvent](t, heard)
		err := store.Redeem(traced(t), token)
		testkit.WantError(t, err, revoke.ErrRevoked)
		if event := take[revoke.WriteEvent](t, heard); !sameError(event.Err, err) {
			t.Errorf("event %+v, Redeem = %v", event, err)
		}
	})
	t.Run("of no token", func(t *testing.T) {
		t.Parallel()
		heard := &recorder{}
		testkit.Must(t, testkit.OpenStore(t, pool, revoke.WithHook(heard)).RevokeTokens(traced(t), nil))
		if event := take[revoke.WriteEvent](t, heard); event.Count != 0 || event.Err != nil {
			t.Errorf("event %+v", event)
		}
	})
	t.Run("reads are no writes", func(t *testing.T) {
		t.Parallel()
		heard := &recorder{}
		store, token := testkit.OpenStore(t, pool, revoke.WithHook(heard)), testkit.Token()
		testkit.Value(store.Lookup(t.Context(), token))(t)
		testkit.Value(store.Epochs(t.Context(), token.User()))(t)
		testkit.Value(store.IssueTime(t.Context(), token.User()))(t)
		heard.heardNothing(t, "reads")
	})
}

func TestSweepHook(t *testing.T) {
	t.Parallel()
	heard := &recorder{}
	store, pool := testkit.Store(t, revoke.WithHook(heard))
	sweeper := newSweeper(t, store)
	fill(t, pool, 5, 2*time.Hour)

	result := testkit.Value(sweeper.Sweep(traced(t)))(t)
	event := take[revoke.SweepEvent](t, heard)
	if event.Err != nil || event.Total() != 15 || event.Duration != result.Duration || event.Batches != result.Batches {
		t.Errorf("event %+v, Sweep = %+v", event, result)
	}

	testkit.Exec(t, pool, "ALTER TABLE revoke.revocations RENAME TO elsewhere")
	_, err := sweeper.Sweep(traced(t))
	testkit.WantError(t, err, revoke.ErrUnavailable)
	if event := take[revoke.SweepEvent](t, heard); !sameError(event.Err, err) || event.Total() != 0 {
		t.Errorf("event %+v, Sweep = %v", event, err)
	}

	ended, cancel := context.WithCancel(traced(t))
	cancel()
	_, err = sweeper.Sweep(ended)
	testkit.WantError(t, err, revoke.ErrUnavailable)
	heard.heardNothing(t, "a pass that ctx ended")
}

// checksOnly and validatesOnly hear of one event each, and write their name into a common list.
type checksOnly struct {
	name  string
	heard *[]string
}

func (h checksOnly) OnCheck(context.Context, revoke.CheckEvent) { *h.heard = append(*h.heard, h.name) }

type validatesOnly struct {
	name  string
	heard *[]string
}

func (h validatesOnly) OnValidate(context.Context, revoke.ValidateEvent) {
	*h.heard = append(*h.heard, h.name)
}

type mirrorsOnly struct{}

func (mirrorsOnly) OnMirror(context.Context, revoke.MirrorEvent) {}

// TestSeveralHooks are called in their order, each of the events that it implements.
func TestSeveralHooks(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t))
	var heard []string
	all := []revoke.Hook{
		checksOnly{"first", &heard}, validatesOnly{"second", &heard}, mirrorsOnly{}, checksOnly{"third", &heard},
		validatesOnly{"fourth", &heard},
	}
	var stores []revoke.PostgresOption
	var validators []revoke.ValidatorOption
	for _, hook := range all {
		option := revoke.WithHook(hook)
		stores, validators = append(stores, option), append(validators, option)
	}
	store := testkit.OpenStore(t, pool, stores...)
	testkit.Must(t, store.Check(t.Context(), testkit.Token()))
	testkit.Must(t, store.RevokeToken(t.Context(), testkit.Token()))
	if want := []string{"first", "third"}; !slices.Equal(heard, want) {
		t.Errorf("a check was heard by %q, want %q", heard, want)
	}
	if !slices.Equal(store.Hooks(), all) {
		t.Errorf("Hooks = %v, want %v", store.Hooks(), all)
	}
	heard = nil
	accepted(t, es256(t, &askedFor{}, validators...), testkit.Mint(t, nil))
	if want := []string{"second", "fourth"}; !slices.Equal(heard, want) {
		t.Errorf("a Validate was heard by %q, want %q", heard, want)
	}
}

func TestHookOfNoInterface(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t))
	for _, row := range []struct {
		name string
		hook revoke.Hook
		want string
	}{
		{"nil", nil, "hook is nil"},
		{"a text", "OnCheck", "hook of type string implements none of CheckHook"},
		{"a struct", struct{ OnCheck func() }{}, "implements none of"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, err := revoke.NewPostgres(pool, revoke.WithHook(row.hook))
			wantConstructorError(t, "NewPostgres", err, row.want)
			_, err = revoke.NewValidator(&askedFor{}, "i", revoke.AnyAudience(), eagerKey, []string{"ES256"}, revoke.WithHook(row.hook))
			wantConstructorError(t, "NewValidator", err, row.want)
		})
	}
}

// silent hears of checks and of Validate, and does nothing.
type silent struct{}

func (silent) OnCheck(context.Context, revoke.CheckEvent)       {}
func (silent) OnValidate(context.Context, revoke.ValidateEvent) {}

// TestNoHookCostsNothing compares how much is allocated without a hook with what is allocated where
// nothing looks for hooks, and with one. That no clock is read without one,
// TestClockIsReadForHooksAlone tells from the source. It is not parallel, as testing.AllocsPerRun
// demands.
func TestNoHookCostsNothing(t *testing.T) {
	accept := checkerFunc(func(context.Context, revoke.Token) error { return nil })
	text := testkit.Mint(t, nil)
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) { c.MaxConns = 1 })
	token := testkit.Token()
	for _, row := range []struct {
		name string
		call func(hook ...revoke.Hook) (call, unheard func() error)
	}{
		{"Validate", func(hooks ...revoke.Hook) (call, unheard func() error) {
			var opts []revoke.ValidatorOption
			for _, hook := range hooks {
				opts = append(opts, revoke.WithHook(hook))
			}
			v := es256(t, accept, opts...)
			return func() error { _, err := v.Validate(t.Context(), text); return err },
				func() error { return revoke.ValidateUnheard(t.Context(), v, text) }
		}},
		{"Check", func(hooks ...revoke.Hook) (call, unheard func() error) {
			opts := []revoke.PostgresOption{revoke.WithCheckQueries(0)}
			for _, hook := range hooks {
				opts = append(opts, revoke.WithHook(hook))
			}
			store := testkit.OpenStore(t, pool, opts...)
			return func() error { return store.Check(t.Context(), token) },
				func() error { return revoke.CheckUnheard(t.Context(), store, token) }
		}},
	} {
		t.Run(strings.ToLower(row.name), func(t *testing.T) {
			allocations := func(call func() error) float64 {
				testkit.Must(t, call()) // connects and prepares
				return testing.AllocsPerRun(100, func() { testkit.Must(t, call()) })
			}
			hooked, _ := row.call(silent{})
			call, unheard := row.call()
			with, without, least := allocations(hooked), allocations(call), allocations(unheard)
			if without > with || without > least || without == 0 {
				t.Errorf("%v allocations without a hook, %v with one, %v where nothing looks for hooks", without, with, least)
			}
		})
	}
}
