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
	name, path  string
	sameSite    http.SameSite
	partitioned bool
}

func (c *cookie) with(value string) *http.Cookie {
	return &http.Cookie{
		Name: c.name, Value: value, Path: c.path, HttpOnly: true, Secure: true, SameSite: c.sameSite, Partitioned: c.partitioned,
	}
}

// set makes a browser keep the value for the duration. A browser that knows Max-Age goes by it
// (RFC 6265 §5.3), and then its clock may be wrong.
func (c *cookie) set(w http.ResponseWriter, value string, expiresAt time.Time) {
	cookie := c.with(value)
	if !expiresAt.IsZero() {
		cookie.Expires = expiresAt.UTC()
		// 0 would be no Max-Age. Less makes the browser delete its cookie.
		if cookie.MaxAge = int(min(time.Until(expiresAt), maxCookieAge) / time.Second); cookie.MaxAge <= 0 {
			cookie.MaxAge = -1
		}
	}
	http.SetCookie(w, cookie)
}

// longAgo is the expiry of a cookie that is deleted.
var longAgo = time.Unix(0, 0)

// clear makes a browser delete its cookie.
func (c *cookie) clear(w http.ResponseWriter) {
	c.set(w, "", longAgo)
	if c.partitioned {
		c.clearUnpartitioned(w)
	}
}

// clearUnpartitioned makes a browser delete the cookie that it got before the app asked for
// WithPartitioned. To a browser that knows Partitioned it is another cookie of the same name.
func (c *cookie) clearUnpartitioned(w http.ResponseWriter) {
	other := *c
	other.partitioned = false
	other.set(w, "", longAgo)
}

// WithCookie accepts the token from a cookie too, for browsers. [Guard.SetCookie] sets the cookie.
//
// If path is "/", the name gets the prefix __Host-, which binds the cookie to this host and to
// TLS. For another path it is __Secure-, and then a subdomain can set a cookie of this name for
// the whole domain. Two cookies of the name are answered with 400, unless a Bearer header decides.
// The cookie is Secure, and Safari keeps no Secure cookie of http://localhost, as Chrome and
// Firefox do: for Safari, develop over TLS.
//
// A request with the cookie and an unsafe method must come from the same origin, or from one of
// [WithTrustedOrigin]: see http.CrossOriginProtection. The handshake of a WebSocket counts as
// unsafe, although its method is GET. Otherwise GET, HEAD and OPTIONS are accepted from any site,
// so a handler of these must change nothing. Default: no cookie.
func WithCookie(name, path string) Option {
	return optionOf(newGuard, "WithCookie", func(o *options) (err error) {
		o.cookie, err = newCookie(name, path)
		return err
	})
}

// newCookie returns a cookie with the prefix that its path allows.
func newCookie(name, path string) (*cookie, error) {
	prefix := "__Host-"
	if path != "/" {
		prefix = "__Secure-"
	}
	cookie := &cookie{name: prefix + name, path: path, sameSite: http.SameSiteLaxMode}
	if name == "" || !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("cookie name %q is empty, or its path %q does not begin with /", name, path)
	}
	if err := cookie.with("").Valid(); err != nil {
		return nil, fmt.Errorf("cookie: %w", err)
	}
	return cookie, nil
}

// WithSameSite sets the SameSite attribute of the cookie. It must follow [WithCookie]. Default:
// http.SameSiteLaxMode.
func WithSameSite(mode http.SameSite) Option {
	return optionOf(newGuard, "WithSameSite", func(o *options) error {
		if o.cookie == nil {
			return errors.New("WithSameSite needs WithCookie before it")
		}
		if mode != http.SameSiteLaxMode && mode != http.SameSiteStrictMode && mode != http.SameSiteNoneMode {
			return errors.New("SameSite is neither Lax nor Strict nor None")
		}
		o.cookie.sameSite = mode
		return nil
	})
}

// WithPartitioned gives the cookie the attribute Partitioned (CHIPS): a page that another site
// embeds has a cookie of its own for each embedding site. It must follow [WithCookie]. Browsers
// send the cookie to an embedded page only with http.SameSiteNoneMode. Default: not partitioned.
func WithPartitioned() Option {
	return optionOf(newGuard, "WithPartitioned", func(o *options) error {
		if o.cookie == nil {
			return errors.New("WithPartitioned needs WithCookie before it")
		}
		o.cookie.partitioned = true
		return nil
	})
}

// WithTrustedOrigin accepts requests with the cookie from pages of another origin, such as
// "https://app.example", and lets such requests pass [Guard.RequireSameOrigin]. If the origin is of
// another site, browsers send the cookie only with http.SameSiteNoneMode.
//
// The origin is compared with the header Origin byte by byte. One that no browser sends is an
// error: without a scheme, in upper case, with a wildcard, a default port, a user, a path or a
// slash at its end.
func WithTrustedOrigin(origin string) Option {
	return optionOf(newGuard, "WithTrustedOrigin", func(o *options) error {
		if err := checkOrigin(origin); err != nil {
			return err
		}
		return o.crossOrigin.AddTrustedOrigin(origin)
	})
}

// errNoCookie refuses to set the cookie of a guard without [WithCookie].
var errNoCookie = errors.New("revokehttp: the guard has no cookie: see WithCookie")

// maxCookie is the maximum length of a cookie's name and value together, in bytes. Browsers
// ignore a longer cookie without an error.
const maxCookie = 4096

// maxCookieAge is the longest time for which browsers keep a cookie (RFC 6265bis §5.5).
const maxCookieAge = 400 * 24 * time.Hour

// SetCookie puts a token into the guard's cookie: HttpOnly, Secure, SameSite, in an answer that no
// cache may store. The browser deletes the cookie at expiresAt, the token's expiry; if expiresAt is
// zero, when the browser is closed. Max-Age says it by this machine's clock, and Expires for old
// browsers by theirs. Call SetCookie before the body is written.
//
// If the guard has no cookie, if token is no token, or if name and token are longer than
// 4096 bytes, which browsers ignore, SetCookie sets nothing and returns an error.
func (g *Guard) SetCookie(w http.ResponseWriter, token string, expiresAt time.Time) error {
	if g.cookie == nil {
		return errNoCookie
	}
	return g.cookie.setToken(w, token, expiresAt)
}

// setToken makes a browser keep a token, in an answer that no cache may store.
func (c *cookie) setToken(w http.ResponseWriter, token string, expiresAt time.Time) error {
	if !isToken68(token) {
		return errors.New("revokehttp: SetCookie: this is not a token")
	}
	if size := len(c.name) + len(token); size > maxCookie {
		return fmt.Errorf("revokehttp: SetCookie: name and token are %d bytes long, and browsers keep %d", size, maxCookie)
	}
	w.Header().Set("Cache-Control", "no-store") // RFC 6749 §5.1
	if c.partitioned {
		c.clearUnpartitioned(w) // two cookies of the name would be refused
	}
	c.set(w, token, expiresAt)
	return nil
}

// ClearCookie makes the browser delete the guard's cookie. Call it only after the token was
// revoked.
func (g *Guard) ClearCookie(w http.ResponseWriter) error {
	if g.cookie == nil {
		return errNoCookie
	}
	g.cookie.clear(w)
	return nil
}
