package revokehttp

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/session"
)

// tagLength is the number of characters of a session's tag: 64 bits of the session's key, so that
// two sessions of one browser do not share a name.
const tagLength = 16

// maxRefreshCookies bounds how many refresh tokens of one request are tried, the newest ones. A
// browser has one, and perhaps some of sessions that were replaced.
const maxRefreshCookies = 32

// maxEnded bounds how many sessions a logout ends. Browsers keep fewer cookies of a host, about
// 180, so a logout leaves no session out.
const maxEnded = 256

// refreshCookie is a refresh cookie of a request.
type refreshCookie struct{ name, value string }

// SetCookies puts the tokens of a session into cookies: the refresh token into the
// session's, and with [WithCookie] the access token into the guard's. It is for handlers
// that call Start or EndOthers of a *session.Sessions, behind [Guard.RequireSameOrigin].
// Without WithCookie the handler writes the access token into its answer. Call SetCookies
// before the body is written.
//
// The browser keeps both cookies until the end of the session. The access token expires before
// that, and still says then which session the browser is in.
//
// The cookies of other sessions stay. A handler that replaces a session, as by EndOthers, deletes
// its cookie with [Refresh.ClearCookie]. The error is that of [Guard.SetCookie], for either cookie.
func (h *Refresh) SetCookies(w http.ResponseWriter, tokens session.Tokens) error {
	w.Header().Set("Cache-Control", "no-store") // RFC 6749 §5.1
	if tokens.Refresh != "" {
		if err := h.cookieOf(h.nameOf(tokens.Session)).setToken(w, tokens.Refresh, tokens.RefreshExpiresAt); err != nil {
			return err
		}
	}
	if h.guard.cookie == nil {
		return nil
	}
	return h.guard.SetCookie(w, tokens.Access, tokens.RefreshExpiresAt)
}

// ClearCookie makes the browser delete the refresh cookie of a session. Call it only after the
// session has ended. [Guard.ClearCookie] deletes the access token.
func (h *Refresh) ClearCookie(w http.ResponseWriter, ended revoke.Session) {
	h.clear(w, h.nameOf(ended))
}

// clear makes the browser delete refresh cookies by their names.
func (h *Refresh) clear(w http.ResponseWriter, names ...string) {
	for _, name := range names {
		h.cookieOf(name).clear(w)
	}
}

// pathMatches reports whether a browser sends a cookie of path with each request for what is below
// asked (RFC 6265 §5.1.4).
func pathMatches(asked, path string) bool {
	return asked == path || strings.HasPrefix(asked, strings.TrimSuffix(path, "/")+"/")
}

// cookieOf returns the refresh cookie of this name.
func (h *Refresh) cookieOf(name string) *cookie {
	c := h.cookie
	c.name = name
	return &c
}

// nameOf returns the name of a session's refresh cookie.
func (h *Refresh) nameOf(s revoke.Session) string {
	key := revoke.ScopeSession.Key(s.Issuer, s.ID)
	return h.cookie.name + "-" + hex.EncodeToString(key[:tagLength/2])
}

// cookies returns the request's refresh cookies, the newest first.
func (h *Refresh) cookies(r *http.Request) (all []refreshCookie) {
	for _, c := range r.Cookies() {
		tag, ours := strings.CutPrefix(c.Name, h.cookie.name+"-")
		if ours && len(tag) == tagLength && c.Value != "" {
			all = append(all, refreshCookie{c.Name, c.Value})
		}
	}
	slices.Reverse(all) // a browser sends the oldest first (RFC 6265 §5.4)
	return all
}

// few returns the first maxRefreshCookies of refresh cookies.
func few(all []refreshCookie) []refreshCookie { return all[:min(len(all), maxRefreshCookies)] }

// ending returns the refresh cookies of which a logout ends the sessions.
func (h *Refresh) ending(r *http.Request) []refreshCookie {
	all := h.cookies(r)
	return all[:min(len(all), maxEnded)]
}

// candidates returns the refresh cookies that may be used, in the order in which they are tried.
func (h *Refresh) candidates(r *http.Request) []refreshCookie {
	all := h.cookies(r)
	times := make(map[string]int, len(all))
	for _, c := range all {
		times[c.name]++
	}
	all = slices.DeleteFunc(all, func(c refreshCookie) bool { return times[c.name] > 1 })
	if len(all) > 1 {
		inHand := h.inHand(r)
		if i := slices.IndexFunc(all, func(c refreshCookie) bool { return c.name == inHand }); i > 0 {
			all = slices.Insert(slices.Delete(slices.Clone(all), i, i+1), 0, all[i])
		}
	}
	return few(all)
}

// inHand returns the name of the refresh cookie that belongs to the access token in the guard's
// cookie, which may have expired. It is empty if that is not known.
func (h *Refresh) inHand(r *http.Request) string {
	values := h.guard.cookies(r)
	if len(values) != 1 {
		return ""
	}
	token, err := h.guard.validator.Identify(r.Context(), values[0])
	if err != nil {
		return ""
	}
	return h.nameOf(token.Session())
}
