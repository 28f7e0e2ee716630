package revokehttp

import (
	"context"
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

// errNotPost refuses a logout or a refresh by another method. Allow is set before it is answered.
var errNotPost = fmt.Errorf("%w: the method is not POST", ErrBadRequest)

// ErrActor says that the token names an actor (revoke.Token.Actor), who may not end the sessions of
// the user. It is answered with 403.
var ErrActor = errors.New("the token names an actor, who may not end the sessions of the user")

// Logout returns a handler of POST that revokes the request's token, and its session where the app
// has said what a session is: see [WithScopes], by which the app chooses. The token may have
// expired, because its session may not have.
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
// server's WriteTimeout and an http.TimeoutHandler must be longer.
//
// The error names the wrong argument. It also names an option of the validator by which some tokens
// are accepted that this logout could not end, such as revoke.WithOptionalID: see
// revoke.Validator.CheckLogout. Of a revoke.ValidatorSet each validator is asked that is known by
// now. A token of any other that cannot be ended is answered with 503, because it stays alive.
//
// A token with the claim act (RFC 8693 §4.1) is ended like any other, and the record names
// the actor: see [WithRecord].
func (g *Guard) Logout(store revoke.Store, opts ...LogoutOption) (http.Handler, error) {
	const method = "Logout"
	return g.logout(method, store, opts, func(o *logoutOptions) error {
		return g.checkLogout(o.scopes...)
	}, func(r *http.Request, o *logoutOptions) (revoke.Token, error) {
		text, _, err := g.credentials(r)
		if err != nil {
			return revoke.Token{}, err
		}
		token, err := g.validator.Identify(r.Context(), text)
		if err != nil {
			return revoke.Token{}, err
		}
		scopes, err := g.logoutScopes(r.Context(), text, o)
		if err == nil {
			err = logout.Token(r.Context(), store, token, scopes, o.recordOf(token))
		}
		return token, known.With(err, token)
	})
}

// logoutValidator is a validator that knows which of its tokens a logout can end. A
// *revoke.Validator is one, and so is a *revoke.ValidatorSet.
type logoutValidator interface {
	CheckLogout(scopes ...revoke.Scope) error
	LogoutScopes(ctx context.Context, text string) ([]revoke.Scope, error)
}

// checkLogout reports why a logout could not end some of the tokens.
func (g *Guard) checkLogout(scopes ...revoke.Scope) error {
	if v, ok := g.validator.(logoutValidator); ok {
		return v.CheckLogout(scopes...)
	}
	return nil
}

// logoutScopes returns what a logout of the token ends. With a validator that does not say what a
// session is, no session is ended.
func (g *Guard) logoutScopes(ctx context.Context, text string, o *logoutOptions) ([]revoke.Scope, error) {
	if len(o.scopes) > 0 {
		return o.scopes, nil
	}
	if v, ok := g.validator.(logoutValidator); ok {
		return v.LogoutScopes(ctx, text)
	}
	return []revoke.Scope{revoke.ScopeToken}, nil
}

// LogoutEverywhere returns a handler of POST that ends every session of the user. It requires a
// token that [Guard.Require] accepts: otherwise a thief could keep logging the owner out with a
// stolen token that was revoked long ago. The answers are those of [Guard.Logout], and 403: a token
// with the claim act (RFC 8693 §4.1) is refused with [ErrActor], because who acts for a user must
// not end that user's own sessions. [Guard.Logout] ends such a token.
//
// A validator with revoke.WithOptionalSubject is an error: a token without a subject could not be
// logged out everywhere. Give this logout a guard of its own, with a validator that requires one.
func (g *Guard) LogoutEverywhere(store revoke.Store, opts ...LogoutOption) (http.Handler, error) {
	const method = "LogoutEverywhere"
	return g.logout(method, store, opts, func(o *logoutOptions) error {
		if len(o.scopes) > 0 {
			return errors.New("WithScopes is an option of Logout only")
		}
		return g.checkLogout(revoke.ScopeUser)
	}, func(r *http.Request, o *logoutOptions) (revoke.Token, error) {
		a, err := g.validate(r)
		if err != nil {
			return revoke.Token{}, err
		}
		token := a.token.Token
		switch {
		case token.Actor != (revoke.User{}):
			return token, known.With(ErrActor, token)
		case token.Subject == "": // of a validator that could not be asked
			return token, known.With(fmt.Errorf("%w: the token has no subject", revoke.ErrUnavailable), token)
		}
		_, err = store.RevokeUser(r.Context(), token.User(), o.recordOf(token)...)
		return token, known.With(err, token)
	})
}

// logout returns a handler that answers success after end returned a token and nil. check reports
// what is wrong with the options together. method is for errors.
func (g *Guard) logout(method string, store revoke.Store, opts []LogoutOption, check func(*logoutOptions) error,
	end func(*http.Request, *logoutOptions) (revoke.Token, error),
) (http.Handler, error) {
	if absent.Is(store) {
		return nil, fmt.Errorf("revokehttp: %s: store is nil", method)
	}
	o := new(logoutOptions)
	err := endpoint.Apply(o, opts)
	if err == nil {
		err = check(o)
	}
	if err != nil {
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
		o.succeed(w, r, token)
	}), nil
}

// succeed answers a logout that has ended the token.
func (o *logoutOptions) succeed(w http.ResponseWriter, r *http.Request, token revoke.Token) {
	if o.clearSiteData != "" {
		w.Header().Set("Clear-Site-Data", o.clearSiteData)
	}
	if o.location != nil && isNavigation(r) {
		seeOther(w, o.location(r, token))
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
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
