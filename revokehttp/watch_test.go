package revokehttp_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/mirror"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// streamToken is a token of ada that expires d from now.
func streamToken(id string, d time.Duration) revoke.Token {
	return revoke.Token{
		Issuer: testkit.Issuer, ID: id, Subject: "ada", SessionID: "phone",
		IssuedAt: time.Now().Add(-time.Minute).Truncate(time.Second), ExpiresAt: time.Now().Add(d).Truncate(time.Second),
	}
}

// endsAfter waits for the end of a stream, in a bubble, and returns when and why it ended. It
// waits a day at most.
func endsAfter(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	select {
	case <-ctx.Done():
	case <-time.After(24 * time.Hour):
	}
	return time.Since(began), context.Cause(ctx)
}

// wantCause compares the cause with one of those that it has to match.
func wantCause(tb testing.TB, err, want error) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Errorf("the cause is %v, want %v", err, want)
	}
}

// counted is a checker that takes one token at a time, and counts the calls.
type counted struct {
	revoke.Checker
	checks atomic.Int64
}

func (c *counted) Check(ctx context.Context, token revoke.Token) error {
	c.checks.Add(1)
	return c.Checker.Check(ctx, token)
}

// telling is a checker that tells of revocations, as a mirror does.
type telling struct {
	revoke.Store
	mu      sync.Mutex
	changed chan struct{}
}

func newTelling() *telling {
	return &telling{Store: revoketest.NewMemory(), changed: make(chan struct{})}
}

func (c *telling) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

func (c *telling) revoke(tb testing.TB, token revoke.Token) {
	tb.Helper()
	testkit.Must(tb, c.RevokeToken(context.Background(), token))
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

// hanging is a checker that does not answer, not even when its context ends.
type hanging struct{ until chan struct{} }

func (h hanging) Check(context.Context, revoke.Token) error { <-h.until; return nil }

// TestWatch ends streams with their token, and none earlier. A bubble ends only if no goroutine is
// left.
func TestWatch(t *testing.T) {
	t.Parallel()
	outage := errors.New("it is down")
	for _, c := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"at the expiry", func(t *testing.T) {
			t.Helper()
			w := testkit.Value(revokehttp.NewWatcher(revoketest.NewMemory()))(t)
			token := streamToken("1", 12*time.Second)
			ctx, stop := w.Context(t.Context(), token)
			defer stop()
			_, err := endsAfter(ctx)
			wantCause(t, err, revoke.ErrInvalidToken)
			wantCause(t, err, jwt.ErrTokenExpired)
			if !time.Now().Equal(token.ExpiresAt) {
				t.Errorf("it ended %v after the expiry", time.Since(token.ExpiresAt))
			}
			if who, ok := revokehttp.TokenFromError(err); !ok || who.ID != "1" {
				t.Errorf("the cause names %+v", who)
			}
		}},
		{"within an interval of a revocation", func(t *testing.T) {
			t.Helper()
			store := revoketest.NewMemory()
			w := testkit.Value(revokehttp.NewWatcher(store))(t)
			dead, alive := streamToken("1", time.Hour), streamToken("2", time.Hour)
			dead.SessionID = "laptop"
			ctx, stop := w.Context(t.Context(), dead)
			defer stop()
			other, stopOther := w.Context(t.Context(), alive)
			defer stopOther()
			time.Sleep(21 * time.Second) //nolint:forbidigo // within synctest it advances the clock
			testkit.Must(t, ctx.Err())
			testkit.Must(t, store.RevokeSession(t.Context(), dead.Session()))
			after, err := endsAfter(ctx)
			testkit.WantError(t, err, revoke.ErrRevoked)
			if after > revokehttp.DefaultWatchInterval {
				t.Errorf("it ended %v after the revocation", after)
			}
			testkit.Must(t, other.Err())
		}},
		{"within an interval of a revocation of the actor", func(t *testing.T) {
			t.Helper()
			for name, store := range map[string]revoke.Store{"many": revoketest.NewMemory(), "one": newTelling()} {
				w := testkit.Value(revokehttp.NewWatcher(store))(t)
				token, alive := streamToken("1", time.Hour), streamToken("2", time.Hour)
				token.Actor = revoke.User{Issuer: testkit.Issuer, Subject: "admin"}
				ctx, stop := w.Context(t.Context(), token)
				other, stopOther := w.Context(t.Context(), alive)
				time.Sleep(21 * time.Second) //nolint:forbidigo // as above
				testkit.Must(t, ctx.Err())
				testkit.Value(store.RevokeUser(t.Context(), token.Actor))(t)
				after, err := endsAfter(ctx)
				testkit.WantError(t, err, revoke.ErrRevoked)
				if after > revokehttp.DefaultWatchInterval {
					t.Errorf("%s: it ended %v after the revocation", name, after)
				}
				testkit.Must(t, other.Err())
				again, stopAgain := w.Context(t.Context(), token)
				if _, err := endsAfter(again); !errors.Is(err, revoke.ErrRevoked) {
					t.Errorf("%s: watched again, it ended with %v", name, err)
				}
				stop()
				stopOther()
				stopAgain()
			}
		}},
		{"at once where the checker tells", func(t *testing.T) {
			t.Helper()
			store := newTelling()
			w := testkit.Value(revokehttp.NewWatcher(store))(t)
			token := streamToken("1", time.Hour)
			ctx, stop := w.Context(t.Context(), token)
			defer stop()
			for i := range 3 { // others are revoked before
				time.Sleep(time.Second) //nolint:forbidigo // as above
				store.revoke(t, streamToken(fmt.Sprint("other ", i), time.Hour))
			}
			synctest.Wait()
			testkit.Must(t, ctx.Err())
			store.revoke(t, token)
			after, err := endsAfter(ctx)
			testkit.WantError(t, err, revoke.ErrRevoked)
			if after != 0 {
				t.Errorf("it ended %v after the revocation", after)
			}
		}},
		{"revoked between the validation and the watch, where the checker tells", func(t *testing.T) {
			t.Helper()
			store := newTelling()
			w := testkit.Value(revokehttp.NewWatcher(store))(t)
			_, stopOther := w.Context(t.Context(), streamToken("2", time.Hour))
			defer stopOther()
			synctest.Wait()
			token := streamToken("1", time.Hour)
			store.revoke(t, token)
			synctest.Wait()
			ctx, stop := w.Context(t.Context(), token)
			defer stop()
			if after, err := endsAfter(ctx); after != 0 || !errors.Is(err, revoke.ErrRevoked) {
				t.Errorf("it ended after %v: %v", after, err)
			}
		}},
		{"not by a short outage", func(t *testing.T) {
			t.Helper()
			store := revoketest.NewFaulty(revoketest.NewMemory())
			w := testkit.Value(revokehttp.NewWatcher(store))(t)
			ctx, stop := w.Context(t.Context(), streamToken("1", time.Hour))
			defer stop()
			for range 3 {
				store.Fail(outage)
				time.Sleep(59 * time.Second) //nolint:forbidigo // as above
				store.Fail(nil)
				time.Sleep(6 * time.Second) //nolint:forbidigo // as above
			}
			testkit.Must(t, ctx.Err())
		}},
		{"not by a table of issuers that was emptied by mistake", func(t *testing.T) {
			t.Helper()
			w := testkit.Value(revokehttp.NewWatcher(revoketest.NewMemory(revoketest.WithIssuers("https://other.example"))))(t)
			ctx, stop := w.Context(t.Context(), streamToken("1", time.Hour))
			defer stop()
			after, err := endsAfter(ctx)
			testkit.WantError(t, err, revoke.ErrUnavailable)
			if after != 70*time.Second {
				t.Errorf("it ended after %v", after)
			}
		}},
		{"not at once by a checker that is in doubt", func(t *testing.T) {
			t.Helper()
			w := testkit.Value(revokehttp.NewWatcher(doubtful{}))(t)
			ctx, stop := w.Context(t.Context(), streamToken("1", time.Hour))
			defer stop()
			after, err := endsAfter(ctx)
			testkit.WantError(t, err, revoke.ErrUnavailable)
			if after != 70*time.Second {
				t.Errorf("it ended after %v", after)
			}
		}},
		{"by a long outage", func(t *testing.T) {
			t.Helper()
			store := revoketest.NewFaulty(revoketest.NewMemory())
			w := testkit.Value(revokehttp.NewWatcher(store, revokehttp.WithWatchInterval(2*time.Second), revokehttp.WithWatchGrace(10*time.Second)))(t)
			ctx, stop := w.Context(t.Context(), streamToken("1", time.Hour))
			defer stop()
			time.Sleep(time.Minute + time.Millisecond) //nolint:forbidigo // as above
			store.Fail(outage)
			after, err := endsAfter(ctx)
			testkit.WantError(t, err, revoke.ErrUnavailable)
			wantCause(t, err, outage)
			if after <= 12*time.Second || after > 14*time.Second {
				t.Errorf("it ended after %v", after)
			}
		}},
		{"by no outage, under the longest grace", func(t *testing.T) {
			t.Helper()
			store := revoketest.NewFaulty(revoketest.NewMemory())
			w := testkit.Value(revokehttp.NewWatcher(store, revokehttp.WithWatchGrace(math.MaxInt64)))(t)
			store.Fail(outage)
			ctx, stop := w.Context(t.Context(), streamToken("1", time.Hour))
			defer stop()
			_, err := endsAfter(ctx)
			wantCause(t, err, jwt.ErrTokenExpired)
		}},
		{"by a revocation during an outage, when it is over", func(t *testing.T) {
			t.Helper()
			memory := revoketest.NewMemory()
			store := revoketest.NewFaulty(memory)
			w := testkit.Value(revokehttp.NewWatcher(store))(t)
			token := streamToken("1", time.Hour)
			ctx, stop := w.Context(t.Context(), token)
			defer stop()
			store.Fail(outage)
			time.Sleep(20 * time.Second) //nolint:forbidigo // as above
			testkit.Must(t, memory.RevokeToken(t.Context(), token))
			store.Fail(nil)
			if after, err := endsAfter(ctx); after > revokehttp.DefaultWatchInterval || !errors.Is(err, revoke.ErrRevoked) {
				t.Errorf("it ended after %v: %v", after, err)
			}
		}},
		{"by a checker that hangs", func(t *testing.T) {
			t.Helper()
			checker := hanging{make(chan struct{})}
			defer close(checker.until)
			w := testkit.Value(revokehttp.NewWatcher(checker))(t)
			ctx, stop := w.Context(t.Context(), streamToken("1", time.Hour))
			defer stop()
			expires, stopExpires := w.Context(t.Context(), streamToken("2", 30*time.Second))
			defer stopExpires()
			_, err := endsAfter(expires)
			wantCause(t, err, jwt.ErrTokenExpired)
			testkit.Must(t, ctx.Err())
			began := time.Now().Add(-30 * time.Second)
			_, err = endsAfter(ctx)
			testkit.WantError(t, err, revoke.ErrUnavailable)
			if after := time.Since(began); after > 71*time.Second {
				t.Errorf("it ended after %v", after)
			}
		}},
		{"by a checker that panics", func(t *testing.T) {
			t.Helper()
			w := testkit.Value(revokehttp.NewWatcher(panicking{}))(t)
			ctx, stop := w.Context(t.Context(), streamToken("1", time.Hour))
			defer stop()
			_, err := endsAfter(ctx)
			testkit.WantError(t, err, revoke.ErrUnavailable)
		}},
		{"with its request, and without stop", func(t *testing.T) {
			t.Helper()
			checker := &counted{Checker: revoketest.NewMemory()}
			w := testkit.Value(revokehttp.NewWatcher(checker))(t)
			parent, cancel := context.WithCancel(t.Context())
			ctx, _ := w.Context(parent, streamToken("1", time.Hour))
			cancel()
			testkit.WantError(t, context.Cause(ctx), context.Canceled)
			time.Sleep(time.Minute) //nolint:forbidigo // as above
			if n := checker.checks.Load(); n > 0 {
				t.Errorf("%d checks of a stream that is over", n)
			}
		}},
		{"one look for each interval", func(t *testing.T) {
			t.Helper()
			const streams = 3000
			checker := &counted{Checker: revoketest.NewMemory()}
			w := testkit.Value(revokehttp.NewWatcher(checker))(t)
			for i := range streams {
				_, stop := w.Context(t.Context(), streamToken(fmt.Sprint(i), time.Hour))
				defer stop()
			}
			time.Sleep(4*revokehttp.DefaultWatchInterval + time.Second) //nolint:forbidigo // as above
			if n := checker.checks.Load(); n != 4*streams {
				t.Errorf("%d checks in four intervals, want %d", n, 4*streams)
			}
		}},
		{"again after all streams have ended", func(t *testing.T) {
			t.Helper()
			store := revoketest.NewMemory()
			w := testkit.Value(revokehttp.NewWatcher(store))(t)
			for i := range 3 {
				token := streamToken(fmt.Sprint(i), time.Hour)
				ctx, stop := w.Context(t.Context(), token)
				testkit.Must(t, store.RevokeToken(t.Context(), token))
				_, err := endsAfter(ctx)
				testkit.WantError(t, err, revoke.ErrRevoked)
				stop()
				stop()
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, c.run)
		})
	}
}

// doubtful is a checker with errors that match several sentinels.
type doubtful struct{}

func (doubtful) Check(context.Context, revoke.Token) error {
	return errors.Join(revoke.ErrRevoked, revoke.ErrUnavailable)
}

// panicking is a checker with a bug.
type panicking struct{}

func (panicking) Check(context.Context, revoke.Token) error { panic("a bug") }

func (panicking) CheckEach(context.Context, []revoke.Token) []error { panic("a bug") }

// acceptingEach is a checker that accepts many tokens at once, those that were revoked too.
type acceptingEach struct{ *revoketest.Memory }

func (acceptingEach) CheckEach(_ context.Context, tokens []revoke.Token) []error {
	return make([]error, len(tokens))
}

// closing has CheckEach from a field, and looks at more in a Check of its own.
type closing struct {
	acceptingEach
	closed *atomic.Bool
}

func (c closing) Check(ctx context.Context, token revoke.Token) error {
	if c.closed.Load() {
		return &revoke.RevokedError{Scope: revoke.ScopeIssuer}
	}
	return c.acceptingEach.Check(ctx, token)
}

// TestWatchAsksTheCheckAroundAField ends a stream that only the Check of the checker itself
// refuses, and not that of its embedded field.
func TestWatchAsksTheCheckAroundAField(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		of   func(closing) revoke.Checker
	}{
		{"by value", func(c closing) revoke.Checker { return c }},
		{"by pointer", func(c closing) revoke.Checker { return &c }},
		{"further in", func(c closing) revoke.Checker { return struct{ closing }{c} }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var closed atomic.Bool
				w := testkit.Value(revokehttp.NewWatcher(row.of(closing{acceptingEach{revoketest.NewMemory()}, &closed})))(t)
				ctx, stop := w.Context(t.Context(), streamToken("1", time.Hour))
				defer stop()
				closed.Store(true)
				after, err := endsAfter(ctx)
				testkit.WantError(t, err, revoke.ErrRevoked)
				if after > revokehttp.DefaultWatchInterval {
					t.Errorf("it ended after %v", after)
				}
			})
		})
	}
}

// TestWatchHandler passes on requests with a token, and with a context that ends.
func TestWatchHandler(t *testing.T) {
	t.Parallel()
	testkit.TestKeys()
	synctest.Test(t, func(t *testing.T) {
		store := revoketest.NewMemory()
		guard := testkit.Value(revokehttp.NewGuard(newValidator(t, store), revokehttp.WithPreflight()))(t)
		w := testkit.Value(revokehttp.NewWatcher(store))(t)
		var cause error
		events := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodOptions {
				return
			}
			token, _ := revokehttp.TokenFromContext(r.Context())
			testkit.Must(t, store.RevokeToken(context.Background(), token.Token))
			<-r.Context().Done()
			cause = context.Cause(r.Context())
		})
		text := mintAt(t, time.Now(), "1", "", time.Hour)
		if got := testkit.Serve(guard.Require(w.Watch(events)), testkit.Request("GET", "/", "Authorization", "Bearer "+text)); got.Code != 200 {
			t.Errorf("%d", got.Code)
		}
		testkit.WantError(t, cause, revoke.ErrRevoked)
		preflight := testkit.Request("OPTIONS", "/", "Origin", "https://app.example", "Access-Control-Request-Method", "GET")
		if got := testkit.Serve(guard.Require(w.Watch(events)), preflight); got.Code != 200 {
			t.Errorf("a preflight: %d", got.Code)
		}
		if got := testkit.Serve(w.Watch(events), testkit.Request("GET", "/")); got.Code != 500 {
			t.Errorf("without Require: %d", got.Code)
		}
	})
}

// queries counts the queries of a pool.
type queries struct{ n atomic.Int64 }

func (q *queries) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if strings.Contains(data.SQL, "revocations") {
		q.n.Add(1)
	}
	return ctx
}

func (*queries) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// looks counts the looks of a watcher.
type looks struct {
	revoke.Checker
	store         *revoke.Postgres
	n             atomic.Int64
	began, wanted atomic.Int64 // queries that are wanted, of looks that have begun and ended
}

func (l *looks) CheckEach(ctx context.Context, tokens []revoke.Token) []error {
	wanted := int64((len(tokens) + 1023) / 1024)
	l.began.Add(wanted)
	defer l.n.Add(1)
	defer l.wanted.Add(wanted)
	return l.store.CheckEach(ctx, tokens)
}

// TestWatchCost watches ten thousand streams on a real Postgres with ten queries an interval.
func TestWatchCost(t *testing.T) {
	t.Parallel()
	const streams = 10_000
	var sent queries
	pool := pgserver.Pool(t, pgserver.Database(t), func(config *pgxpool.Config) { config.ConnConfig.Tracer = &sent })
	store := testkit.OpenStore(t, pool)
	counting := &looks{Checker: store, store: store}
	w := testkit.Value(revokehttp.NewWatcher(counting, revokehttp.WithWatchInterval(250*time.Millisecond)))(t)
	contexts := make([]context.Context, streams)
	for i := range contexts {
		ctx, stop := w.Context(t.Context(), streamToken(fmt.Sprint(i), time.Hour))
		defer stop()
		contexts[i] = ctx //nolint:fatcontext // each is of another stream
	}
	testkit.Eventually(t, "a look at all streams", func() bool { return counting.wanted.Load() >= 10 })
	testkit.Must(t, store.RevokeToken(t.Context(), streamToken("77", time.Hour)))
	testkit.Must(t, store.RevokeToken(t.Context(), streamToken("9999", time.Hour)))
	<-contexts[77].Done()
	<-contexts[9999].Done()
	for i, ctx := range contexts {
		if dead := i == 77 || i == 9999; errors.Is(context.Cause(ctx), revoke.ErrRevoked) != dead {
			t.Errorf("stream %d has ended: %v", i, context.Cause(ctx))
		}
	}
	ended := counting.wanted.Load()
	if asked := sent.n.Load(); asked < ended || asked > counting.began.Load() || ended < 10 {
		t.Errorf("%d queries in %d looks, want %d to %d", asked, counting.n.Load(), ended, counting.began.Load())
	}
}

// TestWatchThroughMirror ends a stream when a mirror has heard of the revocation, long before the
// interval.
func TestWatchThroughMirror(t *testing.T) {
	t.Parallel()
	postgres, _ := testkit.Store(t)
	m := testkit.Value(mirror.New(postgres, mirror.WithInterval(10*time.Millisecond)))(t)
	running, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(running) }()
	defer func() {
		cancel()
		testkit.Must(t, <-ended)
	}()
	testkit.Must(t, m.Ready(t.Context()))
	for _, row := range []struct {
		name    string
		checker revoke.Checker
	}{{"the mirror", m}, {"the mirror's store", m.Store()}} {
		t.Run(row.name, func(t *testing.T) {
			w := testkit.Value(revokehttp.NewWatcher(row.checker, revokehttp.WithWatchInterval(time.Hour)))(t)
			for i, end := range []func(revoke.Token) error{
				// Through the mirror's store, and elsewhere.
				func(token revoke.Token) error { return m.Store().RevokeToken(t.Context(), token) },
				func(token revoke.Token) error { return postgres.RevokeToken(t.Context(), token) },
			} {
				token := streamToken(fmt.Sprint(row.name, i), time.Hour)
				ctx, stop := w.Context(t.Context(), token)
				defer stop()
				testkit.Must(t, end(token))
				testkit.Eventually(t, "the stream ends", func() bool { return ctx.Err() != nil })
				testkit.WantError(t, context.Cause(ctx), revoke.ErrRevoked)
			}
		})
	}
	_, each := m.Store().(interface {
		CheckEach(ctx context.Context, tokens []revoke.Token) []error
	})
	if !each {
		t.Error("the mirror's store takes one token at a time")
	}
}

// TestNewWatcherRefuses names what is wrong.
func TestNewWatcherRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		checker revoke.Checker
		opts    []revokehttp.Option
		want    string
	}{
		{"no checker", nil, nil, "checker is nil"},
		{"a nil *revoke.Postgres", (*revoke.Postgres)(nil), nil, "checker is nil"},
		{"nil option", panicking{}, []revokehttp.Option{nil}, "an option is nil"},
		{"no interval", panicking{}, []revokehttp.Option{revokehttp.WithWatchInterval(0)}, "interval 0s is not positive"},
		{"short grace", panicking{}, []revokehttp.Option{revokehttp.WithWatchGrace(time.Millisecond)}, "grace 1ms is shorter"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := revokehttp.NewWatcher(c.checker, c.opts...)
			if err == nil || !strings.HasPrefix(err.Error(), "revokehttp: NewWatcher: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("NewWatcher = %v, want %q", err, c.want)
			}
		})
	}
}

// TestWebSocketIsUnsafe refuses the handshake of another site's page with the cookie (CWE-1385).
func TestWebSocketIsUnsafe(t *testing.T) {
	t.Parallel()
	cookie := "__Host-session=" + mint(t, "1", "", time.Hour)
	for _, c := range []struct {
		name   string
		header []string
		status int
	}{
		{"no handshake", []string{"Origin", "https://eve.example"}, 200},
		{"another origin", []string{"Upgrade", "websocket", "Origin", "https://eve.example"}, 403},
		{"another origin, in capitals and a list", []string{"Upgrade", "h2c, WebSocket", "Origin", "https://eve.example"}, 403},
		{"no Upgrade, as behind a proxy", []string{"Sec-WebSocket-Key", "x", "Origin", "https://eve.example"}, 403},
		{"only the version", []string{"Sec-WebSocket-Version", "13", "Origin", "https://eve.example"}, 403},
		{"a sibling domain", []string{"Upgrade", "websocket", "Origin", "https://a.example.com", "Sec-Fetch-Site", "same-site"}, 403},
		{"an opaque origin", []string{"Upgrade", "websocket", "Origin", "null"}, 403},
		{"the same origin", []string{"Upgrade", "websocket", "Origin", "https://example.com"}, 200},
		{"a trusted origin", []string{"Upgrade", "websocket", "Origin", "https://friend.example"}, 200},
		{"no browser", []string{"Upgrade", "websocket"}, 200},
		{"another protocol", []string{"Upgrade", "h2c", "Origin", "https://eve.example"}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, revokehttp.WithCookie("session", "/"), revokehttp.WithTrustedOrigin("https://friend.example"))
			r := testkit.Request("GET", "https://example.com/", append(c.header, "Cookie", cookie)...)
			if got := testkit.Serve(s.handler, r); got.Code != c.status {
				t.Errorf("%d, want %d", got.Code, c.status)
			}
			r = testkit.Request("GET", "https://example.com/", append(c.header, "Authorization", "Bearer "+mint(t, "1", "", time.Hour))...)
			if got := testkit.Serve(s.handler, r); got.Code != 200 {
				t.Errorf("with a header: %d", got.Code)
			}
		})
	}
}
