package revokehttp

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
)

// Require is [Guard.Require] for pages. If the access token of a navigation is missing, has expired
// or was revoked, Require refreshes the session, so that the user does not notice.
//
//   - A GET is answered with 303 to its own URL after the refresh. So no answer of next, which
//     a cache may be allowed to store, has a cookie with a token.
//   - A form's request, such as a POST, goes on to next with the new token, and the answer of next
//     has the cookies. next must not allow caches to store it.
//   - A navigation that comes from another site, as by a link, is answered with 200 and a
//     page that asks for the same URL again, without its fragment, and so from its own
//     origin. Otherwise a page of another site could navigate to the app and stop before
//     the answer arrives; a refresh token of which the answer is lost ends the session when
//     it is presented after the grace of the sessions.
//   - Everything else is answered as by Guard.Require: requests of scripts and for images, style
//     sheets and the like, prefetches, requests with a Bearer header, and requests without a
//     refresh cookie. A script calls [Refresh.ServeHTTP] after a 401.
//
// A refresh that fails is answered as by Guard.Require, so with [WithSignInPage] the user comes to
// the sign-in page if the session is over, and with 503 if its state is unknown. See
// [WithSignInPage] for what a navigation is. A browser that does not send Sec-Fetch-Site (Safari
// before 16.4) is refreshed wherever the navigation comes from.
//
// Without [WithCookie] Require is Guard.Require.
func (h *Refresh) Require(next http.Handler) http.Handler {
	g, required := h.guard, h.guard.Require(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.mayRefresh(r) {
			required.ServeHTTP(w, r)
			return
		}
		g.keepFromCaches(w.Header())
		found, err := g.validate(r)
		switch {
		case err == nil:
			next.ServeHTTP(w, withToken(r, found))
			return
		case !isRenewable(r, err):
		case r.Method != http.MethodGet:
			// Without an access token the origin has not been checked.
			if err = g.checkOrigin(r); err == nil {
				found, err = h.renew(w, r)
			}
			if err == nil {
				next.ServeHTTP(w, withToken(r, found))
				return
			}
		case isOwnNavigation(r):
			if _, err = h.renew(w, r); err == nil {
				seeOther(w, ownURL(r))
				return
			}
		case isDocument(r):
			askAgain(w, r)
			return
		}
		g.fail(w, r, err)
	})
}

// mayRefresh reports whether a request is a navigation with a refresh cookie.
func (h *Refresh) mayRefresh(r *http.Request) bool {
	switch r.Method {
	case http.MethodHead, http.MethodOptions, http.MethodTrace:
		return false
	}
	return h.guard.cookie != nil && isNavigation(r) && !presentsBearer(r) && len(h.candidates(r)) > 0
}

// isRenewable reports whether another access token would help a request that was refused with err.
func isRenewable(r *http.Request, err error) bool {
	switch outcomeOf(r, err) {
	case outcomeNoToken, outcomeRevoked, outcomeInvalid:
		return true
	}
	return false
}

// renew refreshes the session of a request, and returns its new access token. The guard's validator
// decides about that one too: a page that it refuses would otherwise be asked for again and again.
func (h *Refresh) renew(w http.ResponseWriter, r *http.Request) (accepted, error) {
	tokens, err := h.refresh(w, r)
	if err != nil {
		return accepted{}, err
	}
	verified, err := h.guard.validator.Validate(r.Context(), tokens.Access)
	return accepted{verified, true}, err
}

// isOwnNavigation reports whether a navigation comes from the app's own origin, or from the user,
// who typed the address or opened a bookmark (W3C Fetch Metadata §2.3).
func isOwnNavigation(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none", "":
		return true
	}
	return false
}

// isDocument reports whether a navigation is that of a tab or window, and not of a frame.
func isDocument(r *http.Request) bool { return r.Header.Get("Sec-Fetch-Dest") == "document" }

// ownURL returns a reference to the URL of a request. It is relative, because a proxy may have
// taken a prefix from the path. What begins with "./" names no other host.
func ownURL(r *http.Request) string {
	asked, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		asked = r.URL
	}
	path := asked.EscapedPath()
	reference := "./" + path[strings.LastIndexByte(path, '/')+1:]
	if asked.RawQuery != "" {
		reference += "?" + asked.RawQuery
	}
	return reference
}

// askAgain answers with a page that asks for its own URL again. The reference has no fragment: with
// one the browser would stay on the page.
func askAgain(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	own := html.EscapeString(ownURL(r))
	_, _ = fmt.Fprintf(w, againPage, own, own) // fails only if the client has disconnected
}

const againPage = `<!doctype html><meta http-equiv="refresh" content="0; url=%s"><title>One moment</title><a href="%s">Continue</a>
`

// withToken returns the request with a context in which [TokenFromContext] finds the token.
func withToken(r *http.Request, found accepted) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), contextKey{}, found))
}
