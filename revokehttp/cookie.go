package revokehttp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// cookie is the cookie in which a browser keeps its token.
type cookie struct {
	name, path string
	sameSite   http.SameSite
}

func (c *cookie) with(value string) *http.Cookie {
	return &http.Cookie{Name: c.name, Value: value, Path: c.path, HttpOnly: true, Secure: true, SameSite: c.sameSite}
}

// expired returns the cookie that makes a browser delete its own.
func (c *cookie) expired() *http.Cookie {
	deleted := c.with("")
	deleted.MaxAge = -1
	return deleted
}

// WithCookie accepts the token from a cookie too, for browsers. [Guard.SetCookie] sets the cookie.
//
// If path is "/", the name gets the prefix __Host-, which binds the cookie to this host and to
// TLS. For another path it is __Secure-, and then a subdomain can set a cookie of this name for
// the whole domain. Two cookies of the name are answered with 400.
//
// A request with the cookie and an unsafe method must come from the same origin, or from one of
// [WithTrustedOrigin]: see http.CrossOriginProtection. GET, HEAD and OPTIONS are accepted from any
// site, so a handler of these must change nothing, and a handler that upgrades to a WebSocket must
// check Origin itself. Default: no cookie.
func WithCookie(name, path string) Option {
	return func(o *options) error {
		prefix := "__Host-"
		if path != "/" {
			prefix = "__Secure-"
		}
		cookie := &cookie{prefix + name, path, http.SameSiteLaxMode}
		if name == "" || !strings.HasPrefix(path, "/") {
			return fmt.Errorf("cookie name %q is empty, or its path %q does not begin with /", name, path)
		}
		if err := cookie.with("").Valid(); err != nil {
			return fmt.Errorf("cookie: %w", err)
		}
		o.cookie = cookie
		return nil
	}
}

// WithSameSite sets the SameSite attribute of the cookie. It must follow [WithCookie]. Default:
// http.SameSiteLaxMode.
func WithSameSite(mode http.SameSite) Option {
	return func(o *options) error {
		if o.cookie == nil {
			return errors.New("WithSameSite needs WithCookie before it")
		}
		if mode != http.SameSiteLaxMode && mode != http.SameSiteStrictMode && mode != http.SameSiteNoneMode {
			return errors.New("SameSite is neither Lax nor Strict nor None")
		}
		o.cookie.sameSite = mode
		return nil
	}
}

// WithTrustedOrigin accepts requests with the cookie from pages of another origin, such as
// "https://app.example", and lets such requests pass [Guard.RequireSameOrigin]. If the origin is of
// another site, browsers send the cookie only with http.SameSiteNoneMode.
func WithTrustedOrigin(origin string) Option {
	return func(o *options) error { return o.crossOrigin.AddTrustedOrigin(origin) }
}

// errNoCookie refuses to set the cookie of a guard without [WithCookie].
var errNoCookie = errors.New("revokehttp: the guard has no cookie: see WithCookie")

// maxCookie is the maximum length of a cookie's name and value together, in bytes. Browsers
// ignore a longer cookie without an error.
const maxCookie = 4096

// SetCookie puts a token into the guard's cookie: HttpOnly, Secure, SameSite, in an answer that no
// cache may store. The browser deletes the cookie at expiresAt, the token's expiry; if expiresAt is
// zero, when the browser is closed. Call SetCookie before the body is written.
//
// If the guard has no cookie, if token is no token, or if name and token are longer than
// 4096 bytes, which browsers ignore, SetCookie sets nothing and returns an error.
func (g *Guard) SetCookie(w http.ResponseWriter, token string, expiresAt time.Time) error {
	if g.cookie == nil {
		return errNoCookie
	}
	if !isToken68(token) {
		return errors.New("revokehttp: SetCookie: this is not a token")
	}
	if size := len(g.cookie.name) + len(token); size > maxCookie {
		return fmt.Errorf("revokehttp: SetCookie: name and token are %d bytes long, and browsers keep %d", size, maxCookie)
	}
	cookie := g.cookie.with(token)
	cookie.Expires = expiresAt.UTC()
	w.Header().Set("Cache-Control", "no-store") // RFC 6749 §5.1
	http.SetCookie(w, cookie)
	return nil
}

// ClearCookie makes the browser delete the guard's cookie. Call it only after the token was
// revoked.
func (g *Guard) ClearCookie(w http.ResponseWriter) error {
	if g.cookie == nil {
		return errNoCookie
	}
	http.SetCookie(w, g.cookie.expired())
	return nil
}
