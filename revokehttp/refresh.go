package revokehttp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/pgrevoke/revoke/internal/absent"
	"github.com/pgrevoke/revoke/internal/endpoint"
	"github.com/pgrevoke/revoke/internal/refresh"
	"github.com/pgrevoke/revoke/session"
)

// Refresher answers refresh tokens. A *session.Sessions is one. It must be safe for several
// goroutines.
type Refresher interface {
	// Refresh returns the tokens that follow, or an error that matches exactly one of
	// revoke.ErrRevoked, revoke.ErrInvalidToken and revoke.ErrUnavailable. A
	// *session.RefreshError says whether the session is proven to be over.
	Refresh(ctx context.Context, refreshToken string, device session.Device) (session.Tokens, error)
}

// Refresh keeps browsers signed in. The refresh token of each session is in a cookie of its own,
// named by a tag of the session, beside the guard's cookie with the access token. It may be used
// from several goroutines.
//
//   - [Refresh.EndSessions] and [Refresh.SetCookies] are for the handler of the sign-in,
//     [Refresh.Logout] ends the session.
//   - [Refresh.Require] is [Guard.Require] for pages, and refreshes a navigation by itself. A page
//     needs no script then.
//   - As an http.Handler it is the endpoint for scripts: see [Refresh.ServeHTTP].
//
// An answer sets or deletes only the refresh cookies of sessions that its request named. A late
// answer for an old session therefore does not overwrite the cookie of the session that a sign-in
// or a change of the password has started since. A late answer can overwrite the guard's cookie;
// the next refresh sets it again.
//
// If a request has several refresh cookies, the session of the access token is tried first, and
// then the session that was started last. The first one that lives is used. A cookie is deleted
// only if its session is proven to be over, and none is deleted with 503. Of two cookies of one
// name neither is used, because an older refresh token would end the session.
type Refresh struct {
	sessions Refresher
	guard    *Guard
	refreshOptions
}

// NewRefresh returns the Refresh of sessions. The guard accepts their access tokens. Origins,
// settings, report and error handler are the guard's, and so are SameSite and Partitioned of its
// cookie; without [WithCookie] the refresh cookies are SameSite=Lax. A browser must send the
// guard's cookie wherever it sends the refresh cookies: see [WithRefreshCookie]. NewRefresh starts
// nothing. The error names the wrong argument or option.
func NewRefresh(sessions Refresher, guard *Guard, opts ...Option) (*Refresh, error) {
	if absent.Is(sessions) {
		return nil, errors.New("revokehttp: NewRefresh: sessions is nil")
	}
	if guard == nil {
		return nil, errors.New("revokehttp: NewRefresh: guard is nil")
	}
	h := &Refresh{sessions: sessions, guard: guard, refreshOptions: defaultRefreshOptions()}
	if err := configure(&h.refreshOptions, opts); err != nil {
		return nil, fmt.Errorf("revokehttp: NewRefresh: %w", err)
	}
	if guard.cookie != nil {
		h.cookie.sameSite, h.cookie.partitioned = guard.cookie.sameSite, guard.cookie.partitioned
		if !pathMatches(h.cookie.path, guard.cookie.path) {
			return nil, fmt.Errorf("revokehttp: NewRefresh: the refresh cookies' path %q is not below the path %q of the guard's cookie: "+
				"see WithRefreshCookie", h.cookie.path, guard.cookie.path)
		}
	}
	return h, nil
}

// ServeHTTP answers a POST that a script sends before the access token expires, or after a 401.
// Two tabs that refresh at once both get 200.
//
//   - 200: the cookies are set. The body is JSON with expires_in, the seconds for which the access
//     token is valid. If the guard has no cookie, the body has access_token and token_type too. It
//     never has the refresh token.
//   - 401: the request has no refresh cookie, or none of a session that lives.
//   - 403: the request comes from another origin that is no [WithTrustedOrigin].
//   - 405: the method is not POST.
//   - 503: the store or the signer did not answer. The session may live, and no cookie changes.
func (h *Refresh) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		h.guard.fail(w, r, errNotPost)
		return
	}
	err := h.guard.checkOrigin(r)
	if err != nil {
		h.guard.fail(w, r, err)
		return
	}
	tokens, err := h.refresh(w, r)
	if err != nil {
		h.guard.fail(w, r, err)
		return
	}
	answer := refreshAnswer{ExpiresIn: max(0, int64(time.Until(tokens.AccessExpiresAt)/time.Second))}
	if h.guard.cookie == nil {
		answer.AccessToken, answer.TokenType = tokens.Access, "Bearer"
	}
	body, _ := json.Marshal(answer) //nolint:gosec // G117: the answer is for tokens; it can always be encoded
	endpoint.WriteJSON(w, http.StatusOK, body)
}

// refreshAnswer has members of RFC 6749 §5.1.
type refreshAnswer struct {
	AccessToken string `json:"access_token,omitempty"`
	TokenType   string `json:"token_type,omitempty"`
	ExpiresIn   int64  `json:"expires_in"`
}

// refresh refreshes the first session that lives, and sets its cookies. It deletes the cookies of
// sessions that are over, unless the outcome is unknown. The caller has checked the origin.
func (h *Refresh) refresh(w http.ResponseWriter, r *http.Request) (session.Tokens, error) {
	device := h.device(r)
	device.Client = "" // a refresh token of an OAuth client belongs to the token endpoint
	var dead []string
	var first error
	for _, presented := range h.candidates(r) {
		tokens, err := h.sessions.Refresh(r.Context(), presented.value, device)
		if err == nil {
			h.clear(w, dead...)
			return tokens, h.follow(w, presented, tokens)
		}
		err = refresh.Identified(err)
		if !isCertain(r, err) {
			// The next session may be another user's, and this one may live.
			return session.Tokens{}, err
		}
		if refresh.IsOver(err) {
			dead = append(dead, presented.name)
		}
		first = cmp.Or(first, err)
	}
	h.clear(w, dead...)
	return session.Tokens{}, cmp.Or(first, ErrNoToken)
}

// follow sets the cookies after the refresh of a cookie.
func (h *Refresh) follow(w http.ResponseWriter, presented refreshCookie, tokens session.Tokens) error {
	if presented.name != h.nameOf(tokens.Session) {
		// The cookie has another session's name. A token that stays there grows old, and ends
		// its session when it is presented again.
		tokens.Refresh = cmp.Or(tokens.Refresh, presented.value)
		h.clear(w, presented.name)
	}
	return h.SetCookies(w, tokens)
}
