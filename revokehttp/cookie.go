package revokehttp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// cookie is where a browser keeps its token.
type cookie struct {
	name, path string
	sameSite   http.SameSite
}

func (c *cookie) holding(value string) *http.Cookie {
	return &http.Cookie{Name: c.name, Value: value, Path: c.path, HttpOnly: true, Secure: true, SameSite: c.sameSite}
}

// WithCookie takes the token also from a cookie, for browsers. Its name gets the prefix __Host-, which ties it to this host and
// to TLS; where path is another than "/" it is __Secure-, which allows one, and with it a cookie that a subdomain has set for its
// parent. Two cookies of the name are answered with 400, whoever set them. [Guard.SetCookie] makes it.
//
// A request with a method that changes something must come from the same origin, or from one of [WithTrustedOrigin]: see
// http.CrossOriginProtection. GET, HEAD and OPTIONS are let in from anywhere, so a handler of them changes nothing, and one
// that upgrades to a WebSocket looks at Origin itself. Default: no cookie.
func WithCookie(name, path string) Option {
	return guardOption(func(c *config) error {
		prefix := "__Host-"
		if path != "/" {
			prefix = "__Secure-"
		}
		cookie := &cookie{prefix + name, path, http.SameSiteLaxMode}
		if name == "" || !strings.HasPrefix(path, "/") {
			return fmt.Errorf("cookie name %q is empty, or its path %q does not begin with /", name, path)
		}
		if err := cookie.holding("").Valid(); err != nil {
			return fmt.Errorf("cookie: %w", err)
		}
		c.cookie = cookie
		return nil
	})
}

// WithSameSite sets when browsers send the cookie of [WithCookie], which must come before it. Default:
// http.SameSiteLaxMode.
func WithSameSite(mode http.SameSite) Option {
	return guardOption(func(c *config) error {
		if c.cookie == nil {
			return errors.New("WithSameSite needs WithCookie before it")
		}
		if mode != http.SameSiteLaxMode && mode != http.SameSiteStrictMode && mode != http.SameSiteNoneMode {
			return errors.New("SameSite is neither Lax nor Strict nor None")
		}
		c.cookie.sameSite = mode
		return nil
	})
}

// WithTrustedOrigin allows requests with a cookie from pages of another origin, of the form "https://app.example", and lets them
// through [Guard.SameOrigin]. Where that is of another site, browsers send the cookie only with http.SameSiteNoneMode.
func WithTrustedOrigin(origin string) Option {
	return guardOption(func(c *config) error { return c.crossOrigin.AddTrustedOrigin(origin) })
}

// errNoCookie says that a guard without [WithCookie] was asked for one.
var errNoCookie = errors.New("revokehttp: the guard has no cookie: see WithCookie")

// maxCookie is how long name and value of a cookie may be together, in bytes. Browsers ignore a longer one, without a word.
const maxCookie = 4096

// SetCookie puts a token into the guard's cookie: HttpOnly, Secure, SameSite, in an answer that no cache may keep. The browser drops
// it at expiresAt, which is the token's, or when it is closed where that is zero. Call it before the body is written.
//
// An error says that the guard has no cookie, that this is no token, or that it is too long for a cookie, which browsers drop
// above 4096 bytes with the name: then nothing is set.
func (g *Guard[C]) SetCookie(w http.ResponseWriter, token string, expiresAt time.Time) error {
	if g.cookie == nil {
		return errNoCookie
	}
	if !isToken68(token) {
		return errors.New("revokehttp: SetCookie: this is not a token")
	}
	if size := len(g.cookie.name) + len(token); size > maxCookie {
		return fmt.Errorf("revokehttp: SetCookie: name and token are %d bytes long, and browsers keep %d", size, maxCookie)
	}
	cookie := g.cookie.holding(token)
	cookie.Expires = expiresAt.UTC()
	w.Header().Set("Cache-Control", "no-store") // RFC 6749 §5.1
	http.SetCookie(w, cookie)
	return nil
}

// ClearCookie makes the browser drop the guard's cookie. Call it only after the token has been revoked.
func (g *Guard[C]) ClearCookie(w http.ResponseWriter) error {
	if g.cookie == nil {
		return errNoCookie
	}
	http.SetCookie(w, g.cookie.expired())
	return nil
}

// expired is the cookie as browsers are told to drop it.
func (c *cookie) expired() *http.Cookie {
	dropped := c.holding("")
	dropped.MaxAge = -1
	return dropped
}
