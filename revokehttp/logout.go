package revokehttp

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/absent"
	"github.com/pgrevoke/revoke/internal/endpoint"
	"github.com/pgrevoke/revoke/internal/known"
	"github.com/pgrevoke/revoke/internal/logout"
)

// errNotPost refuses a logout by another method. Allow is set before it is answered.
var errNotPost = fmt.Errorf("%w: the method is not POST", ErrBadRequest)

// Logout returns a handler of POST that revokes the request's token, and the token's session if it
// has one. The token may have expired, because its session may not have.
//
//   - 204: the revocation is durable, or was made before. A form of a browser gets 303 with
//     [WithRedirect] or [WithEndSession].
//   - 401: there is no token, or it is invalid.
//   - 405: the method is not POST.
//   - 503: the store did not answer, and the outcome is unknown.
//
// The guard's cookie is deleted if the cookie's token was revoked now or before, has expired, or
// has no good signature, as after a change of keys; if there are two cookies of the name; and if
// the request has no token. It stays while its token may be alive: if the outcome is unknown, and
// if a Bearer header decided about the logout and the cookie has another token. A cross-site
// request deletes no cookie: SameSite may have withheld a good one.
//
// The logout is carried out even if the client disconnects. The store has 10 s for it, so a
// server's WriteTimeout and an http.TimeoutHandler must be longer. The error names the wrong
// argument.
//
// A token that has neither jti nor sid (see revoke.WithOptionalID) cannot be revoked by itself,
// and is answered with 401. An app with such tokens uses [Guard.LogoutEverywhere].
func (g *Guard) Logout(store revoke.Store, opts ...LogoutOption) (http.Handler, error) {
	return g.logout("Logout", store, opts, func(r *http.Request, o *logoutOptions) (revoke.Token, error) {
		text, _, err := g.credentials(r)
		if err != nil {
			return revoke.Token{}, err
		}
		token, err := g.validator.Identify(r.Context(), text)
		if err != nil {
			return revoke.Token{}, err
		}
		return token, known.With(logout.Token(r.Context(), store, token, o.recordOf(token)), token)
	})
}

// LogoutEverywhere returns a handler of POST that ends every session of the user. It requires a
// token that [Guard.Require] accepts: otherwise a thief could keep logging the owner out with a
// stolen token that was revoked long ago. The answers are those of [Guard.Logout]. A token
// without sub (see revoke.WithOptionalSubject) is answered with 401.
func (g *Guard) LogoutEverywhere(store revoke.Store, opts ...LogoutOption) (http.Handler, error) {
	return g.logout("LogoutEverywhere", store, opts, func(r *http.Request, o *logoutOptions) (revoke.Token, error) {
		a, err := g.validate(r)
		if err != nil {
			return revoke.Token{}, err
		}
		token := a.token.Token
		if token.Subject == "" {
			return token, known.With(fmt.Errorf("%w: it has no subject", revoke.ErrInvalidToken), token)
		}
		_, err = store.RevokeUser(r.Context(), token.User(), o.recordOf(token)...)
		return token, known.With(err, token)
	})
}

// logout returns a handler that answers success after end returned a token and nil. method is for
// errors.
func (g *Guard) logout(method string, store revoke.Store, opts []LogoutOption,
	end func(*http.Request, *logoutOptions) (revoke.Token, error),
) (http.Handler, error) {
	if absent.Is(store) {
		return nil, fmt.Errorf("revokehttp: %s: store is nil", method)
	}
	o := new(logoutOptions)
	if err := endpoint.Apply(o, opts); err != nil {
		return nil, fmt.Errorf("revokehttp: %s: %w", method, err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			g.fail(w, r, errNotPost)
			return
		}
		r, cancel := logout.Detach(r)
		defer cancel()
		token, err := end(r, o)
		if g.losesCookie(r, err) {
			g.cookie.clear(w)
		}
		if err != nil {
			g.fail(w, r, err)
			return
		}
		if o.clearSiteData != "" {
			w.Header().Set("Clear-Site-Data", o.clearSiteData)
		}
		if o.location != nil && isNavigation(r) {
			seeOther(w, o.location(r, token))
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
	}), nil
}

// losesCookie reports whether a logout that ended with err deletes the guard's cookie. No script
// can delete it, so a cookie that is good for nothing would stay. The next attempt needs a cookie
// with a token that may be alive.
func (g *Guard) losesCookie(r *http.Request, err error) bool {
	if g.cookie == nil || g.checkOrigin(r) != nil || err != nil && !isCertain(r, err) {
		return false
	}
	switch cookies := g.cookies(r); {
	case len(cookies) == 0: // a cookie without a value is possible
		return isOwnOrigin(r) && (err == nil || errors.Is(err, ErrNoToken))
	case len(cookies) > 1:
		return true
	case err == nil && !presentsBearer(r):
		return true
	default:
		return g.isUseless(r, cookies[0])
	}
}

// isOwnOrigin reports whether no page of another origin sent the request. SameSite withholds a good
// cookie from a trusted origin of another site, and the browser would delete it all the same.
func isOwnOrigin(r *http.Request) bool { return http.NewCrossOriginProtection().Check(r) == nil }

// isUseless reports whether a token has no good signature, has expired or was revoked. A token that
// is refused for its claims may be accepted later, or by another guard.
func (g *Guard) isUseless(r *http.Request, text string) bool {
	if _, err := g.validator.Identify(r.Context(), text); err != nil {
		return isCertain(r, err) && !errors.Is(err, jwt.ErrTokenInvalidClaims)
	}
	_, err := g.validator.Validate(r.Context(), text)
	return isCertain(r, err) && (errors.Is(err, revoke.ErrRevoked) || errors.Is(err, jwt.ErrTokenExpired))
}

// isCertain reports whether an error refuses a request for certain, and is no outage.
func isCertain(r *http.Request, err error) bool {
	outcome := outcomeOf(r, err)
	return outcome != outcomeUnavailable && outcome != outcomeCancelled
}
