package revokehttp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/absent"
	"github.com/pgrevoke/revoke/internal/embedded"
	"github.com/pgrevoke/revoke/internal/known"
)

// Defaults of the options of [NewWatcher].
const (
	// DefaultWatchInterval is 5 s: ten thousand streams then cost two queries a second.
	DefaultWatchInterval = 5 * time.Second

	// DefaultWatchGrace is a minute: longer than a failover of Postgres takes, so that one does not
	// end every stream.
	DefaultWatchGrace = time.Minute
)

const (
	// minWatchGrace leaves a check the time to answer.
	minWatchGrace = time.Second

	// watchTimeout bounds one look at all streams, so that the next one can find the checker back.
	watchTimeout = 10 * time.Second

	// maxConcurrent bounds how many checks run at a time with a checker that takes one token.
	maxConcurrent = 1024
)

// Watcher ends what runs longer than a check when its token ends: server-sent events, WebSockets,
// long polls, gRPC streams. A process has one Watcher for all of them. It may be used from several
// goroutines.
//
// The context of a stream that is watched is cancelled
//
//   - at the token's exp, without leeway. The cause matches revoke.ErrInvalidToken and
//     jwt.ErrTokenExpired.
//   - when the token was revoked. The cause matches revoke.ErrRevoked. A checker with a method
//     Changed, such as a mirror, makes the Watcher ask at once; in any case it asks at every
//     [WithWatchInterval].
//   - when no check has accepted the token for two intervals and the time of [WithWatchGrace]. The
//     cause matches revoke.ErrUnavailable. An outage that is shorter than the grace ends no stream.
//
// So a stream goes on after the commit of a revocation for no longer than an interval and a
// query, with a mirror than its bound; and during an outage for no longer than two
// intervals and the grace, 70 s by default. context.Cause tells a handler which it was.
// revokehttp.TokenFromError finds the token in the cause.
//
// All streams share one goroutine, which runs while there are any, and the checks of one interval.
// A checker with a method CheckEach gets all tokens in one call: *revoke.Postgres asks about 1,024
// in a query, and *mirror.Mirror answers from memory. Any other checker gets concurrent calls of
// Check, up to 1,024 at a time. So does a struct that has CheckEach from an embedded field, because
// the struct's own Check would be passed by.
type Watcher struct {
	checker  revoke.Checker
	many     manyChecker // the checker, nil where it takes one token at a time
	interval time.Duration
	grace    time.Duration

	mu      sync.Mutex
	streams map[*stream]struct{}
	stop    context.CancelFunc // of the goroutine; nil while none runs
}

// stream is what is watched. The lock of its Watcher protects what is below cancel.
type stream struct {
	token  revoke.Token
	cancel context.CancelCauseFunc

	confirmed time.Time // when the last check that accepted the token began
	failure   error     // of the checks since; nil if there was none
	timer     *time.Timer
}

// manyChecker is a checker that takes many tokens at once.
type manyChecker interface {
	CheckEach(ctx context.Context, tokens []revoke.Token) []error
}

// changing is a checker that tells when a revocation has been applied.
type changing interface {
	Changed() <-chan struct{}
}

// WithWatchInterval sets how often the tokens of all streams are checked. It is an option of
// [NewWatcher]. Default: [DefaultWatchInterval].
func WithWatchInterval(d time.Duration) Option {
	return optionOf(newWatcher, "WithWatchInterval", func(w *Watcher) error {
		if d <= 0 {
			return fmt.Errorf("watch interval %v is not positive", d)
		}
		w.interval = d
		return nil
	})
}

// WithWatchGrace sets for how long an outage of the checker ends no stream, a second at least. See
// [Watcher] for how long a stream goes on then. It is an option of [NewWatcher]. Default:
// [DefaultWatchGrace].
func WithWatchGrace(d time.Duration) Option {
	return optionOf(newWatcher, "WithWatchGrace", func(w *Watcher) error {
		if d < minWatchGrace {
			return fmt.Errorf("watch grace %v is shorter than %v, in which a check could answer", d, minWatchGrace)
		}
		w.grace = d
		return nil
	})
}

// NewWatcher returns a Watcher that asks the checker: a store or a mirror, the one of the
// validator. It starts nothing until there is a stream. The error names the wrong argument
// or option.
func NewWatcher(checker revoke.Checker, opts ...Option) (*Watcher, error) {
	w := &Watcher{
		checker: checker, interval: DefaultWatchInterval, grace: DefaultWatchGrace, streams: make(map[*stream]struct{}),
	}
	if absent.Is(checker) {
		return nil, errors.New("revokehttp: NewWatcher: checker is nil")
	}
	w.many, _ = embedded.Own[manyChecker](checker)
	if err := configure(w, opts); err != nil {
		return nil, fmt.Errorf("revokehttp: NewWatcher: %w", err)
	}
	return w, nil
}

// Watch is middleware behind [Guard.Require]. It calls next with a request with a context that is
// cancelled when the token ends:
//
//	mux.Handle("/events", guard.Require(watcher.Watch(events)))
//
// next must return when its context ends. A handler that has hijacked the connection, as for a
// WebSocket, closes it then. The watch ends when next returns: a handler that leaves the connection
// to goroutines watches it by [Watcher.Context], with a context that outlives the request. What is
// written meanwhile is not held back.
//
// A request without an accepted token, because Watch is not behind Require, is answered with 500. A
// preflight that [WithPreflight] lets through is passed on.
func (w *Watcher) Watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		token, ok := TokenFromContext(r.Context())
		switch {
		case ok:
			ctx, stop := w.Context(r.Context(), token.Token)
			defer stop()
			next.ServeHTTP(rw, r.WithContext(ctx))
		case isPreflight(r):
			next.ServeHTTP(rw, r)
		default:
			refuse(rw, http.StatusInternalServerError)
		}
	})
}

// Context returns a context that is cancelled when the token ends, for what is no
// http.Handler, such as a gRPC stream. The token is one that a validator has just accepted.
// stop ends the watch; it is called when the stream is over, and may be called again.
func (w *Watcher) Context(ctx context.Context, token revoke.Token) (watched context.Context, stop context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &stream{token: token, cancel: cancel}
	w.add(s)
	if _, ok := w.checker.(changing); ok {
		// A revocation that was applied since the validator asked has closed its channel already.
		began := time.Now()
		w.judge(s, w.checkEach(ctx, []revoke.Token{token})[0], began)
	}
	forget := context.AfterFunc(ctx, func() { w.remove(s) })
	return ctx, func() {
		forget()
		w.remove(s)
		cancel(context.Canceled)
	}
}

// add begins to watch a stream.
func (w *Watcher) add(s *stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	s.confirmed = now
	w.streams[s] = struct{}{}
	s.timer = time.AfterFunc(w.deadline(s).Sub(now), func() { w.expire(s) })
	if w.stop == nil {
		var ctx context.Context
		ctx, w.stop = context.WithCancel(context.Background())
		go w.run(ctx, w.changed())
	}
}

// remove ends the watch of a stream. It reports whether the stream was watched.
func (w *Watcher) remove(s *stream) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, watched := w.streams[s]; !watched {
		return false
	}
	delete(w.streams, s)
	s.timer.Stop()
	if len(w.streams) == 0 {
		w.stop()
		w.stop = nil
	}
	return true
}

// end cancels a stream that is still watched.
func (w *Watcher) end(s *stream, cause error) {
	if w.remove(s) {
		s.cancel(known.With(fmt.Errorf("revokehttp: Watch: %w", cause), s.token))
	}
}

// deadline is when a stream ends unless a check accepts its token before.
func (w *Watcher) deadline(s *stream) time.Time {
	unconfirmed := s.confirmed.Add(w.patience())
	if s.token.ExpiresAt.Before(unconfirmed) {
		return s.token.ExpiresAt
	}
	return unconfirmed
}

// patience is for how long a stream goes on after a check that accepted its token: up to an
// interval before an outage, and another one after it until the next look.
func (w *Watcher) patience() time.Duration {
	if w.interval > (math.MaxInt64-w.grace)/2 {
		return math.MaxInt64
	}
	return 2*w.interval + w.grace
}

// expire ends a stream at its deadline. It does not depend on a checker that answers.
func (w *Watcher) expire(s *stream) {
	w.mu.Lock()
	now := time.Now()
	if left := w.deadline(s).Sub(now); left > 0 { // a check has moved it meanwhile
		s.timer.Reset(left)
		w.mu.Unlock()
		return
	}
	cause := fmt.Errorf("%w: %w", revoke.ErrInvalidToken, jwt.ErrTokenExpired)
	if now.Before(s.token.ExpiresAt) {
		cause = fmt.Errorf("%w: no check has accepted the token for %v", revoke.ErrUnavailable, w.patience())
		switch failure := s.failure; {
		case failure == nil:
		case errors.Is(failure, revoke.ErrRevoked), errors.Is(failure, revoke.ErrInvalidToken):
			// It says this beside ErrUnavailable, and so not for certain.
			cause = fmt.Errorf("%w: %s", cause, failure.Error())
		default:
			cause = fmt.Errorf("%w: %w", cause, failure)
		}
	}
	w.mu.Unlock()
	w.end(s, cause)
}

// changed returns the channel that is closed at the next revocation, nil if the checker has none.
func (w *Watcher) changed() <-chan struct{} {
	if c, ok := w.checker.(changing); ok {
		return c.Changed()
	}
	return nil
}

// run looks at all streams from time to time, until ctx ends.
func (w *Watcher) run(ctx context.Context, changed <-chan struct{}) {
	for took := time.Duration(0); w.pause(ctx, changed, took); {
		changed = w.changed() // before the look, so that no revocation comes in between
		began := time.Now()
		w.look(ctx)
		took = time.Since(began)
	}
}

// pause waits for the next look, and returns false if ctx has ended. It waits for at least
// as long as the last look took: many revocations must not take all of the processor.
func (w *Watcher) pause(ctx context.Context, changed <-chan struct{}, took time.Duration) bool {
	timer := time.NewTimer(took)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	timer.Reset(max(w.interval-2*took, 0))
	select {
	case <-timer.C:
	case <-changed:
	case <-ctx.Done():
		return false
	}
	return true
}

// look checks the tokens of all streams.
func (w *Watcher) look(ctx context.Context) {
	w.mu.Lock()
	streams := make([]*stream, 0, len(w.streams))
	tokens := make([]revoke.Token, 0, len(w.streams))
	for s := range w.streams {
		streams = append(streams, s)
		tokens = append(tokens, s.token)
	}
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	began := time.Now()
	for i, err := range w.checkEach(ctx, tokens) {
		w.judge(streams[i], err, began)
	}
}

// judge decides about a stream by the answer of a check that began then.
func (w *Watcher) judge(s *stream, err error, began time.Time) {
	switch {
	case err == nil:
		w.mu.Lock()
		defer w.mu.Unlock()
		if _, watched := w.streams[s]; watched && began.After(s.confirmed) {
			s.confirmed, s.failure = began, nil
			// At once if the clock has passed exp meanwhile.
			s.timer.Reset(time.Until(w.deadline(s)))
		}
	case !errors.Is(err, revoke.ErrUnavailable) && !isMisconfigured(err) && (errors.Is(err, revoke.ErrRevoked) || errors.Is(err, revoke.ErrInvalidToken)):
		w.end(s, err)
	default:
		w.mu.Lock()
		defer w.mu.Unlock()
		s.failure = err
	}
}

// checkEach asks the checker about all tokens and their actors.
func (w *Watcher) checkEach(ctx context.Context, tokens []revoke.Token) []error {
	all := slices.Clip(tokens)
	var acted []int // :: place behind the tokens → place of the token of this actor
	for i, token := range tokens {
		if actors, ok := token.OfActor(w.checker); ok {
			all, acted = append(all, actors), append(acted, i)
		}
	}
	errs := w.checkAll(ctx, all)
	for n, i := range acted {
		if err := errs[len(tokens)+n]; errs[i] == nil || errors.Is(err, revoke.ErrRevoked) {
			errs[i] = err
		}
	}
	return errs[:len(tokens)]
}

// checkAll asks the checker about all tokens.
func (w *Watcher) checkAll(ctx context.Context, tokens []revoke.Token) []error {
	if w.many != nil {
		if errs := w.checkMany(ctx, tokens); len(errs) == len(tokens) {
			return errs
		}
	}
	errs := make([]error, len(tokens))
	for first := 0; first < len(tokens); first += maxConcurrent {
		var wait sync.WaitGroup
		for i := first; i < min(first+maxConcurrent, len(tokens)); i++ {
			wait.Go(func() { errs[i] = w.check(ctx, tokens[i]) })
		}
		wait.Wait()
	}
	return errs
}

// checkMany is the checker's CheckEach. It returns nil if the checker panics: this goroutine has no
// caller that could recover, and an escaped panic would end the process.
func (w *Watcher) checkMany(ctx context.Context, tokens []revoke.Token) (errs []error) {
	defer func() {
		if recover() != nil {
			errs = nil
		}
	}()
	return w.many.CheckEach(ctx, tokens)
}

// check is the checker's Check, with a panic as an error.
func (w *Watcher) check(ctx context.Context, token revoke.Token) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: panic: %v", revoke.ErrUnavailable, r)
		}
	}()
	return w.checker.Check(ctx, token)
}
