package revokehttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/pgrevoke/revoke"
)

// Guard is middleware that lets in requests with a token that a validator accepts. C is the validator's type of claims. It may
// be used from several goroutines.
type Guard[C any] struct {
	validator *revoke.Validator[C]
	config
}

type config struct {
	common
	cookie      *cookie // nil where only the header counts
	crossOrigin *http.CrossOriginProtection
	preflight   bool
	answer      func(http.ResponseWriter, *http.Request, error)
}

// WithPreflight lets CORS preflights through to the next handler, which a browser sends without credentials: OPTIONS with
// Origin and Access-Control-Request-Method. Anybody can send such a request, so what comes next must answer OPTIONS by itself, as CORS
// middleware does, and not as it would a GET: [Token] finds nothing then. Default: they are refused like any request without a
// token.
func WithPreflight() Option {
	return guardOption(func(c *config) error { c.preflight = true; return nil })
}

// WithErrorHandler replaces the answer to a request that is refused, by the guard or by its logout. The error matches one of
// ErrNoToken, ErrBadRequest, ErrCrossOrigin, revoke.ErrRevoked, revoke.ErrInvalidToken and revoke.ErrUnavailable; where a logout
// fails otherwise, it matches none and nobody knows whether it is done. It is for the log, and not for the caller.
// [Guard.Refuse] is what it replaces, and can be called by it. It is called from several goroutines.
func WithErrorHandler(answer func(w http.ResponseWriter, r *http.Request, err error)) Option {
	return guardOption(func(c *config) error {
		if answer == nil {
			return errors.New("error handler is nil")
		}
		c.answer = answer
		return nil
	})
}

// New returns a guard that asks the validator. Tokens are taken from the Authorization header (RFC 6750 §2.1), with
// [WithCookie] also from a cookie, and never from the URL or the body. An error says which option is wrong.
func New[C any](validator *revoke.Validator[C], opts ...Option) (*Guard[C], error) {
	if validator == nil {
		return nil, errors.New("revokehttp: New: validator is nil")
	}
	g := &Guard[C]{validator: validator, config: config{common: newCommon(), crossOrigin: http.NewCrossOriginProtection()}}
	g.answer = g.Refuse
	if err := apply("New", &g.config, opts, Option.toGuard); err != nil {
		return nil, err
	}
	return g, nil
}

// Require calls next if the request's token is accepted, with the token and its claims in the context, and otherwise answers
// itself. It takes effect for each request anew; one that is under way, such as a stream, is not ended by a revocation.
//
// With [WithCookie] every answer says that it varies by cookie, or a cache that keeps one would serve it to whoever asks next. Of
// a token in the Authorization header caches know that by themselves (RFC 9111 §3.5), unless a handler calls its answer public.
func (g *Guard[C]) Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.cookie != nil {
			w.Header().Add("Vary", "Cookie")
		}
		if g.preflight && isPreflight(r) {
			next.ServeHTTP(w, r)
			return
		}
		who, err := g.validate(r)
		if err != nil {
			g.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), acceptedKey{}, who)))
	})
}

// SameOrigin keeps from next what a page of another site makes a browser send, as [Guard.Require] does with a request that has
// the guard's cookie. It is for the handler that signs in: there is no cookie yet, and no other site may sign a browser in to
// an account of its choice.
func (g *Guard[C]) SameOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.checkOrigin(r); err != nil {
			g.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// fail reports and answers.
func (g *Guard[C]) fail(w http.ResponseWriter, r *http.Request, err error) {
	g.report(r, err)
	g.answer(w, r, err)
}

func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

func (g *Guard[C]) validate(r *http.Request) (accepted, error) {
	text, fromCookie, err := g.credentials(r)
	if err != nil {
		return accepted{}, err
	}
	token, claims, err := g.validator.Validate(r.Context(), text)
	if err != nil {
		return accepted{}, err
	}
	return accepted{token, claims, fromCookie}, nil
}

// credentials returns the token that the request presents, if its cookie was sent by a page that may.
func (g *Guard[C]) credentials(r *http.Request) (text string, fromCookie bool, err error) {
	text, fromCookie, err = g.presented(r)
	if err == nil && fromCookie { // a browser sends a cookie by itself, and no Authorization header
		err = g.checkOrigin(r)
	}
	return text, fromCookie, err
}

func (g *Guard[C]) checkOrigin(r *http.Request) error {
	if err := g.crossOrigin.Check(r); err != nil {
		return fmt.Errorf("%w: %w", ErrCrossOrigin, err)
	}
	return nil
}

// accepted is what a handler may learn of the request.
type accepted struct {
	token      revoke.Token
	claims     any // a *C
	fromCookie bool
}

type acceptedKey struct{}

// Token returns the token that [Guard.Require] has accepted. False stands for a handler that is not behind one, and for a
// preflight: see [WithPreflight].
func Token(ctx context.Context) (revoke.Token, bool) {
	who, ok := ctx.Value(acceptedKey{}).(accepted)
	return who.token, ok
}

// Claims returns the claims of the token that [Guard.Require] has accepted. False stands for a handler that is not behind one,
// or behind one with another type of claims.
func Claims[C any](ctx context.Context) (*C, bool) {
	who, _ := ctx.Value(acceptedKey{}).(accepted)
	claims, ok := who.claims.(*C)
	return claims, ok
}

// FromCookie reports whether the token that [Guard.Require] has accepted came in the guard's cookie. A handler that issues another
// one, as after a change of the password, then sets the cookie, and otherwise writes the token into the answer.
func FromCookie(ctx context.Context) bool {
	who, _ := ctx.Value(acceptedKey{}).(accepted)
	return who.fromCookie
}

// Refuse writes the answer to a request that err refused: 400, 401, 403 or 503, with WWW-Authenticate where RFC 6750 §3
// wants it, and 405 where a logout is no POST. An error that is none of those of [WithErrorHandler], such as one of the app's own
// database, is 503, with Retry-After. What the body says depends on the status alone. It touches no cookie: whether the token is
// dead is not known with 503, and with 401 a newer one may be on its way. It does not call the function of [WithReport].
func (g *Guard[C]) Refuse(w http.ResponseWriter, _ *http.Request, err error) {
	switch {
	case errors.Is(err, ErrNoToken):
		g.challenge(w)
		refuse(w, http.StatusUnauthorized)
	case errors.Is(err, errNotPost):
		refuse(w, http.StatusMethodNotAllowed)
	case errors.Is(err, ErrBadRequest):
		g.challenge(w, `error="invalid_request"`)
		refuse(w, http.StatusBadRequest)
	case errors.Is(err, ErrCrossOrigin):
		refuse(w, http.StatusForbidden)
	case errors.Is(err, revoke.ErrUnavailable) || !errors.Is(err, revoke.ErrRevoked) && !errors.Is(err, revoke.ErrInvalidToken):
		w.Header().Set("Retry-After", seconds(g.retryAfter))
		refuse(w, http.StatusServiceUnavailable)
	default:
		g.challenge(w, `error="invalid_token"`)
		refuse(w, http.StatusUnauthorized)
	}
}

// Forbid answers 403 for a token that is accepted and lacks these scopes (RFC 6750 §3.1, insufficient_scope), which may be
// none.
func (g *Guard[C]) Forbid(w http.ResponseWriter, _ *http.Request, scopes ...string) {
	parameters := []string{`error="insufficient_scope"`}
	if list := strings.Join(scopes, " "); list != "" && isQuotable(list) {
		parameters = append(parameters, `scope="`+list+`"`)
	}
	g.challenge(w, parameters...)
	refuse(w, http.StatusForbidden)
}

// challenge sets WWW-Authenticate.
func (g *Guard[C]) challenge(w http.ResponseWriter, parameters ...string) {
	parameters = append([]string{`realm="` + g.realm + `"`}, parameters...)
	w.Header().Set("WWW-Authenticate", "Bearer "+strings.Join(parameters, ", "))
}

// refuse writes a status that no cache may keep.
func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, http.StatusText(status), status)
}
