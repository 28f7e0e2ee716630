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

// logoutTimeout bounds a logout, after which it is 503.
const logoutTimeout = 10 * time.Second

// LogoutOption configures [Guard.Logout] and [Guard.LogoutEverywhere].
type LogoutOption func(*logoutConfig) error

type logoutConfig struct {
	clearSiteData string
	record        []revoke.RevokeOption
}

// siteData are what Clear-Site-Data may name (W3C Clear Site Data §3.1).
var siteData = []string{"cache", "cookies", "storage", "executionContexts", "*"}

// WithClearSiteData makes a browser drop what it has stored of this site: "cache", "cookies", "storage", "executionContexts"
// or "*". Default: nothing but the guard's cookie.
func WithClearSiteData(types ...string) LogoutOption {
	return func(c *logoutConfig) error {
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
	}
}

// WithRecord notes reason and actor of the revocation: see revoke.WithReason and revoke.WithActor. Default: the reason
// "logout".
func WithRecord(opts ...revoke.RevokeOption) LogoutOption {
	return func(c *logoutConfig) error {
		_, err := revoke.NewRecord(opts...)
		c.record = opts
		return err
	}
}

// Logout returns a handler of POST that revokes the token which the request presents, and its session where it has one. The token
// may have expired, since its session may not have.
//
// It answers 204 when the revocation is durable, also for one that was revoked before, and drops the guard's cookie with it. Without
// a token it is 401, and the cookie is dropped too; with one that is not valid it is 401, and while the store cannot answer it is
// 503, and the cookie stays. An error says which argument is wrong.
func (g *Guard[C]) Logout(store revoke.Store, opts ...LogoutOption) (http.Handler, error) {
	return g.logout("Logout", store, opts, func(r *http.Request, record []revoke.RevokeOption) error {
		text, err := g.credentials(r)
		if err != nil {
			return err
		}
		token, _, err := g.validator.Identify(text)
		if err != nil {
			return err
		}
		session := revoke.Session{Issuer: token.Issuer, ID: token.SessionID}
		switch ctx := r.Context(); {
		case token.SessionID == "":
			return store.RevokeToken(ctx, token, record...)
		case token.ID == "":
			return store.RevokeSession(ctx, session, record...)
		default:
			return store.InTx(ctx, func(tx revoke.Revoker) error {
				if err := tx.RevokeToken(ctx, token, record...); err != nil {
					return err
				}
				return tx.RevokeSession(ctx, session, record...)
			})
		}
	})
}

// LogoutEverywhere returns a handler of POST that ends every session of the user. It demands a token that [Guard.Require] would
// accept: with a stolen one that is dead a thief could lock its owner out for ever. Answers are those of Logout.
func (g *Guard[C]) LogoutEverywhere(store revoke.Store, opts ...LogoutOption) (http.Handler, error) {
	return g.logout("LogoutEverywhere", store, opts, func(r *http.Request, record []revoke.RevokeOption) error {
		token, _, err := g.validate(r)
		if err != nil {
			return err
		}
		if token.Subject == "" {
			return fmt.Errorf("%w: it has no subject", revoke.ErrInvalidToken)
		}
		_, err = store.RevokeUser(r.Context(), revoke.User{Issuer: token.Issuer, Subject: token.Subject}, record...)
		return err
	})
}

func (g *Guard[C]) logout(operation string, store revoke.Store, opts []LogoutOption,
	end func(*http.Request, []revoke.RevokeOption) error,
) (http.Handler, error) {
	c := logoutConfig{record: []revoke.RevokeOption{revoke.WithReason("logout")}}
	if store == nil {
		return nil, fmt.Errorf("revokehttp: %s: store is nil", operation)
	}
	for _, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("revokehttp: %s: an option is nil", operation)
		}
		if err := opt(&c); err != nil {
			return nil, fmt.Errorf("revokehttp: %s: %w", operation, err)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			refuse(w, http.StatusMethodNotAllowed)
			return
		}
		// A caller who hangs up has asked all the same.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), logoutTimeout)
		defer cancel()
		r = r.WithContext(ctx)
		if err := end(r, c.record); err != nil {
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
