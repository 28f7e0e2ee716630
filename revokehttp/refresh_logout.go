package revokehttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/absent"
	"github.com/pgrevoke/revoke/internal/endpoint"
	"github.com/pgrevoke/revoke/internal/known"
	"github.com/pgrevoke/revoke/internal/logout"
)

// SessionEnder ends sessions. A *session.Sessions is one. It must be safe for several goroutines.
type SessionEnder interface {
	// EndToken ends the session of an access token or a refresh token, which may have expired. It
	// returns nil if the session has ended before. The error of a token that is none of the
	// issuer's matches revoke.ErrInvalidToken.
	EndToken(ctx context.Context, token string, opts ...revoke.RevokeOption) error
}

// Logout returns a handler of POST that ends the sessions of a request by either token: by the
// access token, from the header or the guard's cookie, and by each refresh cookie. The tokens may
// have expired.
//
// The answers are those of [Guard.Logout], and so are the time that the handler has and the
// options, but for [WithScopes], which is an error. The handler answers success if a session has
// ended, now or before. It deletes the refresh cookies of the sessions that have ended, and those
// with an invalid token; with 503 it deletes none. The guard's cookie is deleted as by
// Guard.Logout. A cross-site request ends no session by its cookies.
//
// All sessions of the browser end, because a user who has signed out would otherwise be signed in
// again by a refresh cookie that is left. Without an access token the function of [WithEndSession]
// gets a zero token, and the actor of the record is not set.
func (h *Refresh) Logout(sessions SessionEnder, opts ...LogoutOption) (http.Handler, error) {
	if absent.Is(sessions) {
		return nil, errors.New("revokehttp: Refresh.Logout: sessions is nil")
	}
	o := new(logoutOptions)
	err := endpoint.Apply(o, opts)
	if err == nil && len(o.scopes) > 0 {
		err = errors.New("WithScopes is an option of Guard.Logout only")
	}
	if err != nil {
		return nil, fmt.Errorf("revokehttp: Refresh.Logout: %w", err)
	}
	g := h.guard
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			g.fail(w, r, errNotPost)
			return
		}
		r, cancel := logout.Detach(r)
		defer cancel()
		token, dead, err := h.end(r, sessions, o)
		h.clear(w, dead...)
		if g.losesCookie(r, err) {
			g.cookie.clear(w)
		}
		if err != nil {
			g.fail(w, r, known.With(err, token))
			return
		}
		o.succeed(w, r, token)
	}), nil
}

// end ends the sessions of a request. It returns the access token, and the names of the refresh
// cookies that are good for nothing.
func (h *Refresh) end(r *http.Request, sessions SessionEnder, o *logoutOptions) (revoke.Token, []string, error) {
	cookies := h.ending(r)
	text, _, err := h.guard.credentials(r)
	switch crossOrigin := h.guard.checkOrigin(r); {
	case errors.Is(err, ErrNoToken) && len(cookies) > 0:
		err = crossOrigin
	case crossOrigin != nil:
		cookies = nil
	}
	if err != nil {
		return revoke.Token{}, nil, err
	}
	var token revoke.Token
	record := o.record.Over(revoke.WithReason("logout"))
	if text != "" {
		// EndToken decides about the token. Its names are for the record and for logs.
		if token, err = h.guard.validator.Identify(r.Context(), text); err == nil {
			record = o.recordOf(token)
		}
	}
	presented := cookies
	if text != "" {
		presented = append([]refreshCookie{{value: text}}, cookies...)
	}
	dead, err := endEach(r, sessions, presented, record)
	return token, dead, err
}

// EndSessions ends the sessions that the browser has so far, by its refresh cookies and the guard's
// cookie, and deletes the refresh cookies. Call it in the handler of a sign-in, behind
// [Guard.RequireSameOrigin], before [Refresh.SetCookies]. Without it the browser keeps the session
// of the user who was signed in before, and goes on with that one when the new session is over.
//
// A cookie with an invalid token is deleted too, and is no error. The error is that of an unknown
// outcome, such as revoke.ErrUnavailable: then a session may live, and no cookie is deleted. The
// options are those of [SessionEnder]; the reason is "signed in again" by default.
func (h *Refresh) EndSessions(w http.ResponseWriter, r *http.Request, sessions SessionEnder, opts ...revoke.RevokeOption) error {
	presented := h.ending(r)
	for _, text := range h.guard.cookies(r) {
		presented = append(presented, refreshCookie{value: text})
	}
	record := logout.Record(opts).Over(revoke.WithReason("signed in again"))
	dead, err := endEach(r, sessions, presented, record)
	if err != nil && !isCertain(r, err) {
		return err
	}
	h.clear(w, dead...)
	return nil
}

// endEach ends the sessions of tokens. It returns the names of the cookies that are good for
// nothing, and the first refusal if no session has ended. With an unknown outcome it returns no
// names.
func endEach(r *http.Request, sessions SessionEnder, presented []refreshCookie, record logout.Record) ([]string, error) {
	var dead []string
	var refused error
	ended := false
	for _, c := range presented {
		err := sessions.EndToken(r.Context(), c.value, record...)
		if err != nil && !isCertain(r, err) {
			return nil, err
		}
		if c.name != "" {
			dead = append(dead, c.name)
		}
		ended = ended || err == nil
		refused = cmp.Or(refused, err)
	}
	if ended {
		return dead, nil
	}
	return dead, refused
}
