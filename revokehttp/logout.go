package revokehttp

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/endpoint"
	"github.com/pgrevoke/revoke/internal/known"
	"github.com/pgrevoke/revoke/internal/logout"
)

// errNotPost refuses a logout by another method. Allow is set before it is answered.
var errNotPost = fmt.Errorf("%w: the method is not POST", ErrBadRequest)

// Logout returns a handler of POST that revokes the request's token, and the token's session if it
// has one. The token may have expired, because its session may not have.
//
//   - 204: the revocation is durable, or was made before. The guard's cookie is deleted.
//   - 401 without a token: the cookie is deleted, except for a cross-site request, in which
//     SameSite may have withheld a good cookie.
//   - 401 with an invalid token, and 503 if the store did not answer: the cookie stays.
//   - 405: the method is not POST.
//
// The logout is carried out even if the client disconnects. The store has 10 s for it, so a
// server's WriteTimeout and an http.TimeoutHandler must be longer. The error names the wrong
// argument.
//
// A token that has neither jti nor sid (see revoke.WithOptionalID) cannot be revoked by itself,
// and is answered with 401. An app with such tokens uses [Guard.LogoutEverywhere].
func (g *Guard) Logout(store revoke.Store, opts ...LogoutOption) (http.Handler, error) {
	return g.logout("Logout", store, opts, func(r *http.Request, o *logoutOptions) error {
		text, _, err := g.credentials(r)
		if err != nil {
			return err
		}
		token, err := g.validator.Identify(r.Context(), text)
		if err != nil {
			return err
		}
		return known.With(logout.Token(r.Context(), store, token, o.recordOf(token)), token)
	})
}

// LogoutEverywhere returns a handler of POST that ends every session of the user. It requires a
// token that [Guard.Require] accepts: otherwise a thief could keep logging the owner out with a
// stolen token that was revoked long ago. The answers are those of [Guard.Logout]. A token
// without sub (see revoke.WithOptionalSubject) is answered with 401.
func (g *Guard) LogoutEverywhere(store revoke.Store, opts ...LogoutOption) (http.Handler, error) {
	return g.logout("LogoutEverywhere", store, opts, func(r *http.Request, o *logoutOptions) error {
		a, err := g.validate(r)
		if err != nil {
			return err
		}
		if a.token.Subject == "" {
			return known.With(fmt.Errorf("%w: it has no subject", revoke.ErrInvalidToken), a.token.Token)
		}
		_, err = store.RevokeUser(r.Context(), a.token.User(), o.recordOf(a.token.Token)...)
		return known.With(err, a.token.Token)
	})
}

// logout returns a handler that answers 204 after end returned nil. method is for errors.
func (g *Guard) logout(method string, store revoke.Store, opts []LogoutOption,
	end func(*http.Request, *logoutOptions) error,
) (http.Handler, error) {
	if endpoint.IsNil(store) {
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
		if err := end(r, o); err != nil {
			// The browser of a cross-site request may have a good cookie that SameSite withheld.
			if g.cookie != nil && errors.Is(err, ErrNoToken) && g.crossOrigin.Check(r) == nil {
				http.SetCookie(w, g.cookie.expired())
			}
			g.fail(w, r, err)
			return
		}
		if g.cookie != nil {
			http.SetCookie(w, g.cookie.expired())
		}
		if o.clearSiteData != "" {
			w.Header().Set("Clear-Site-Data", o.clearSiteData)
		}
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
	}), nil
}
