package revokehttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/absent"
	"github.com/pgrevoke/revoke/internal/endpoint"
)

// Validator decides which tokens a [Guard] accepts. A *revoke.Validator is one, and so is a
// *revoke.ValidatorSet. It must be safe for several goroutines.
type Validator interface {
	// Validate returns a token that is accepted, or an error that matches exactly one of
	// revoke.ErrRevoked, revoke.ErrInvalidToken and revoke.ErrUnavailable.
	Validate(ctx context.Context, text string) (*revoke.Verified, error)

	// Identify returns the identity of a token that may have expired or been revoked.
	// [Guard.Logout] calls it. A validator that also has the methods CheckLogout and LogoutScopes,
	// as this library's have, is asked by them which of its tokens a logout can end, and by what.
	Identify(ctx context.Context, text string) (revoke.Token, error)
}

// Guard is middleware that passes on requests with an accepted token. It may be used from several
// goroutines.
type Guard struct {
	validator Validator
	options
}

// NewGuard returns a guard that asks the validator, usually a *revoke.Validator. The token is taken
// from the Authorization header (RFC 6750 §2.1), and with [WithCookie] from a cookie too, but never
// from the URL or the body. NewGuard starts nothing. The error names the wrong argument or option.
func NewGuard(validator Validator, opts ...Option) (*Guard, error) {
	if absent.Is(validator) {
		return nil, errors.New("revokehttp: NewGuard: validator is nil")
	}
	g := &Guard{
		validator: validator,
		options:   options{settings: endpoint.NewSettings(), crossOrigin: http.NewCrossOriginProtection()},
	}
	g.answer = g.Refuse
	if err := configure(&g.options, opts); err != nil {
		return nil, fmt.Errorf("revokehttp: NewGuard: %w", err)
	}
	return g, nil
}

// Require calls next if the request's token is accepted, and otherwise answers the request itself.
// next gets the token with [TokenFromContext]. Each request is checked anew. A revocation does not
// end a request that was passed on before, such as a stream: see [Watcher].
//
// A Bearer header decides alone: with it the cookie of [WithCookie] does not count, whether the
// header's token is accepted or not. Two Authorization headers are answered with 400.
//
// Before it calls next, Require adds Authorization to Vary, with WithCookie also Cookie, and sets
// "Cache-Control: private, no-cache". Otherwise a browser may answer from its own cache, to which
// RFC 9111 §3.5 does not apply, after the token was revoked, and for another user. With these a
// browser may keep the answer, and asks each time whether it may use it. A Cache-Control that
// has no-store is kept. next may replace Cache-Control, for instance by no-store. To name more
// header fields in Vary, next adds them: w.Header().Add. An answer that refuses has no-store.
func (g *Guard) Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.keepFromCaches(w.Header())
		if g.preflight && isPreflight(r) {
			next.ServeHTTP(w, r)
			return
		}
		accepted, err := g.validate(r)
		if err != nil {
			g.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, withToken(r, accepted))
	})
}

// keepFromCaches makes caches ask before they use the answer, and tell users apart.
func (g *Guard) keepFromCaches(header http.Header) {
	names := []string{"Authorization"}
	if g.cookie != nil {
		names = append(names, "Cookie")
	}
	varied := strings.Join(header.Values("Vary"), ",")
	names = slices.DeleteFunc(names, func(name string) bool { return lists(varied, name) || lists(varied, "*") })
	if len(names) > 0 {
		header.Add("Vary", strings.Join(names, ", "))
	}
	if !lists(strings.Join(header.Values("Cache-Control"), ","), "no-store") {
		header.Set("Cache-Control", "private, no-cache")
	}
}

// lists reports whether a comma-separated list has the element, in upper or lower case.
func lists(list, element string) bool {
	for e := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.Trim(e, " \t"), element) {
			return true
		}
	}
	return false
}

// RequireSameOrigin calls next unless a page of another site made the browser send the request: the
// rule that [Guard.Require] applies to a request with the guard's cookie. It is for the sign-in
// handler: no cookie exists yet, and another site must not sign a browser in to an account of that
// site's choice.
func (g *Guard) RequireSameOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.checkOrigin(r); err != nil {
			g.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// fail reports the error and answers. An answer of the app's own must not be stored either, unless
// the app says so.
func (g *Guard) fail(w http.ResponseWriter, r *http.Request, err error) {
	g.settings.Report(r, err)
	w.Header().Set("Cache-Control", "no-store")
	g.answer(w, r, err)
}

func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

func (g *Guard) validate(r *http.Request) (accepted, error) {
	text, fromCookie, err := g.credentials(r)
	if err != nil {
		return accepted{}, err
	}
	verified, err := g.validator.Validate(r.Context(), text)
	if err != nil {
		return accepted{}, err
	}
	return accepted{verified, fromCookie}, nil
}

// credentials returns the request's token. A token from the cookie counts only if the request comes
// from an allowed origin: browsers add cookies by themselves, but no Authorization header.
func (g *Guard) credentials(r *http.Request) (text string, fromCookie bool, err error) {
	text, fromCookie, err = g.presented(r)
	if err == nil && fromCookie {
		err = g.checkOrigin(r)
	}
	return text, fromCookie, err
}

func (g *Guard) checkOrigin(r *http.Request) error {
	if isWebSocket(r) {
		// Its handshake is a GET, of which a page of another site can use the answer: no
		// CORS applies (CWE-1385).
		r = r.WithContext(r.Context())
		r.Method = http.MethodPost
	}
	if err := g.crossOrigin.Check(r); err != nil {
		return fmt.Errorf("%w: %w", ErrCrossOrigin, err)
	}
	return nil
}

// isWebSocket reports whether a request is the handshake of a WebSocket (RFC 6455 §4.1).
// Proxies drop Upgrade from the requests by which they ask, and no page can set the other
// header fields.
func isWebSocket(r *http.Request) bool {
	return lists(strings.Join(r.Header.Values("Upgrade"), ","), "websocket") ||
		r.Header.Get("Sec-WebSocket-Key") != "" || r.Header.Get("Sec-WebSocket-Version") != ""
}

// accepted is the token of a request, in its context.
type accepted struct {
	token      *revoke.Verified
	fromCookie bool
}

type contextKey struct{}

// TokenFromContext returns the token that [Guard.Require] accepted. It returns false in a handler
// that is not behind Guard.Require, and for a preflight: see [WithPreflight].
func TokenFromContext(ctx context.Context) (*revoke.Verified, bool) {
	a, _ := ctx.Value(contextKey{}).(accepted)
	return a.token, a.token != nil
}

// ContextWithToken returns a context in which [TokenFromContext] finds the token. It is for
// tests of handlers:
//
//	token := &revoke.Verified{Token: revoke.Token{Issuer: "https://a.example", Subject: "ada"}}
//	r = r.WithContext(revokehttp.ContextWithToken(r.Context(), token))
//
// A token that a test makes up has no claims, so its method Claims fails. A test that needs claims
// signs a token and validates it.
func ContextWithToken(ctx context.Context, token *revoke.Verified) context.Context {
	return context.WithValue(ctx, contextKey{}, accepted{token: token})
}

// FromCookie reports whether the token that [Guard.Require] accepted came in the guard's
// cookie. A handler that issues another token, as after a password change, then sets the
// cookie. Otherwise the handler writes the token into the answer.
func FromCookie(ctx context.Context) bool {
	a, _ := ctx.Value(contextKey{}).(accepted)
	return a.fromCookie
}

// Refuse answers a request that was refused with err: 400, 401, 403 or 503, with
// WWW-Authenticate as RFC 6750 §3 requires it; 405 if a logout or a refresh is no POST. An error
// that [WithErrorHandler] does not list, such as one of the app's database, is answered with 503
// and Retry-After. The body depends on the status only. With [WithSignInPage] a navigation gets
// 303 in place of 401.
//
// A request that was cancelled while its token was checked, as the server does when the client
// disconnects, is no outage: its status is 499, as proxies log it, for the metrics of middleware,
// and it has no body. A deadline of the server's own that has passed is 503.
//
// Refuse does not change the cookie: with 503 the token may still be good, and with 401 the browser
// may be about to receive a newer one. Refuse does not call the function of [WithReport].
func (g *Guard) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	switch outcomeOf(r, err) {
	case outcomeCancelled:
		endpoint.WriteCancelled(w)
	case outcomeNoToken:
		g.unauthorized(w, r)
	case outcomeBadRequest:
		if errors.Is(err, errNotPost) {
			refuse(w, http.StatusMethodNotAllowed)
			return
		}
		g.challenge(w, `error="invalid_request"`)
		refuse(w, http.StatusBadRequest)
	case outcomeCrossOrigin, outcomeActor:
		refuse(w, http.StatusForbidden)
	case outcomeRevoked, outcomeInvalid:
		g.unauthorized(w, r, `error="invalid_token"`)
	default:
		w.Header().Set("Retry-After", endpoint.Seconds(g.settings.RetryAfter))
		refuse(w, http.StatusServiceUnavailable)
	}
}

// unauthorized answers 401 with a challenge, or redirects to the sign-in page.
func (g *Guard) unauthorized(w http.ResponseWriter, r *http.Request, parameters ...string) {
	if page := g.signInPage(r); page != "" {
		seeOther(w, page)
		return
	}
	g.challenge(w, parameters...)
	refuse(w, http.StatusUnauthorized)
}

// Forbid answers 403 to a request with an accepted token that lacks these scopes (RFC 6750 §3.1,
// insufficient_scope). The scopes may be left out.
func (g *Guard) Forbid(w http.ResponseWriter, _ *http.Request, scopes ...string) {
	parameters := []string{`error="insufficient_scope"`}
	if list := strings.Join(scopes, " "); list != "" && endpoint.IsQuotable(list) {
		parameters = append(parameters, `scope="`+list+`"`)
	}
	g.challenge(w, parameters...)
	refuse(w, http.StatusForbidden)
}

// challenge sets WWW-Authenticate.
func (g *Guard) challenge(w http.ResponseWriter, parameters ...string) {
	parameters = append([]string{`realm="` + g.settings.Realm + `"`}, parameters...)
	w.Header().Set("WWW-Authenticate", "Bearer "+strings.Join(parameters, ", "))
}

// refuse answers with a status that no cache may store.
func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, http.StatusText(status), status)
}
