package revokehttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pgrevoke/revoke"
)

// logoutTimeout bounds a logout or a revocation, after which it is 503.
const logoutTimeout = 10 * time.Second

// detached is the request under a context of its own: a caller who hangs up has asked all the same.
func detached(r *http.Request) (*http.Request, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), logoutTimeout)
	return r.WithContext(ctx), cancel
}

// errNotPost is what is wrong with a logout by another method. Allow is set before it is answered.
var errNotPost = fmt.Errorf("%w: the method is not POST", ErrBadRequest)

type logoutConfig struct {
	clearSiteData string
	record        record
}

// note is what is noted of a logout with this token.
func (c logoutConfig) note(token revoke.Token) record {
	return c.record.after(revoke.WithReason("logout"), revoke.WithActor(token.Subject))
}

// siteData are what Clear-Site-Data may name (W3C Clear Site Data §3.1).
var siteData = []string{"cache", "cookies", "storage", "executionContexts", "*"}

// WithClearSiteData makes a browser drop what it has stored of this site: "cache", "cookies", "storage", "executionContexts"
// or "*". Default: nothing but the guard's cookie.
func WithClearSiteData(types ...string) LogoutOption {
	return logoutOption(func(c *logoutConfig) error {
		if len(types) == 0 {
			return errors.New("no type of site data is named")
		}
		for _, t := range types {
			if !slices.Contains(siteData, t) {
				return fmt.Errorf("type of site data %q is none of %q", t, siteData)
			}
		}
		c.clearSiteData = `"` + strings.Join(types, `", "`) + `"`
		return nil
	})
}

// Logout returns a handler of POST that revokes the token which the request presents, and its session where it has one. The token
// may have expired, since its session may not have.
//
// It answers 204 when the revocation is durable, also for one that was revoked before, and drops the guard's cookie with it. Without
// a token it is 401, and the cookie is dropped too; with one that is not valid it is 401, and while the store cannot answer it is
// 503, and the cookie stays. Another method than POST is 405. A client that hangs up has asked all the same; the store has 10 s, so
// let a server's WriteTimeout, and an http.TimeoutHandler, be longer. An error says which argument is wrong.
//
// A token that has neither jti nor sid (see revoke.WithOptionalID) can end nothing but its user's sessions, and is answered with
// 401: give such an app LogoutEverywhere.
func (g *Guard[C]) Logout(store revoke.Store, opts ...LogoutOption) (http.Handler, error) {
	return g.logout("Logout", store, opts, func(r *http.Request, c logoutConfig) error {
		text, _, err := g.credentials(r)
		if err != nil {
			return err
		}
		token, _, err := g.validator.Identify(text)
		if err != nil {
			return err
		}
		return revokeWithSession(r.Context(), store, token, c.note(token))
	})
}

// revokeWithSession revokes a token and, where it has one, its session: both or neither.
func revokeWithSession(ctx context.Context, store revoke.Store, token revoke.Token, note record) error {
	session := revoke.Session{Issuer: token.Issuer, ID: token.SessionID}
	switch {
	case token.SessionID == "":
		return store.RevokeToken(ctx, token, note...)
	case token.ID == "":
		return store.RevokeSession(ctx, session, note...)
	}
	return store.InTx(ctx, func(tx revoke.Revoker) error {
		if err := tx.RevokeToken(ctx, token, note...); err != nil {
			return err
		}
		return tx.RevokeSession(ctx, session, note...)
	})
}

// LogoutEverywhere returns a handler of POST that ends every session of the user. It demands a token that [Guard.Require] would
// accept: with a stolen one that is dead a thief could lock its owner out for ever. Answers are those of Logout; a token without
// sub (see revoke.WithOptionalSubject) is 401.
func (g *Guard[C]) LogoutEverywhere(store revoke.Store, opts ...LogoutOption) (http.Handler, error) {
	return g.logout("LogoutEverywhere", store, opts, func(r *http.Request, c logoutConfig) error {
		who, err := g.validate(r)
		if err != nil {
			return err
		}
		token := who.token
		if token.Subject == "" {
			return fmt.Errorf("%w: it has no subject", revoke.ErrInvalidToken)
		}
		_, err = store.RevokeUser(r.Context(), revoke.User{Issuer: token.Issuer, Subject: token.Subject}, c.note(token)...)
		return err
	})
}

func (g *Guard[C]) logout(operation string, store revoke.Store, opts []LogoutOption,
	end func(*http.Request, logoutConfig) error,
) (http.Handler, error) {
	var c logoutConfig
	if store == nil {
		return nil, fmt.Errorf("revokehttp: %s: store is nil", operation)
	}
	if err := apply(operation, &c, opts, LogoutOption.toLogout); err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			g.fail(w, r, errNotPost)
			return
		}
		r, cancel := detached(r)
		defer cancel()
		if err := end(r, c); err != nil {
			// Who sends no token has none to lose, unless another site had the browser leave its cookie out.
			if g.cookie != nil && errors.Is(err, ErrNoToken) && g.crossOrigin.Check(r) == nil {
				http.SetCookie(w, g.cookie.expired())
			}
			g.fail(w, r, err)
			return
		}
		if g.cookie != nil {
			http.SetCookie(w, g.cookie.expired())
		}
		if c.clearSiteData != "" {
			w.Header().Set("Clear-Site-Data", c.clearSiteData)
		}
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
	}), nil
}
