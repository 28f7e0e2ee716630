package revokehttp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/pgrevoke/revoke/internal/endpoint"
)

// The reasons for which a request is refused before its token is validated. A refused token gives
// revoke.ErrRevoked, revoke.ErrInvalidToken or revoke.ErrUnavailable.
var (
	// ErrNoToken says that the request has no token: no credentials, or credentials of another
	// scheme than Bearer. It is answered with 401 and without an error code (RFC 6750 §3.1).
	ErrNoToken = endpoint.ErrNoToken

	// ErrBadRequest says that the request presents its token in a wrong way: twice, or not as
	// RFC 6750 §2.1 defines; or that a logout or a refresh is no POST. It is answered with 400,
	// or with 405 for the method. The errors of this name in packages oauth and signals are the
	// same value.
	ErrBadRequest = endpoint.ErrBadRequest

	// ErrCrossOrigin says that a page of another site made the browser send its cookie. It is
	// answered with 403.
	ErrCrossOrigin = errors.New("cross-origin request")
)

// presented returns the request's token, and whether it came in the cookie. A Bearer header
// decides alone: the browser adds a cookie by itself, and it may be one that no script can delete.
func (g *Guard) presented(r *http.Request) (token string, fromCookie bool, err error) {
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return "", false, fmt.Errorf("%w: %d Authorization headers", ErrBadRequest, len(headers))
	}
	for _, header := range headers {
		if bearer, isBearer, err := parseBearer(header); isBearer {
			return bearer, false, err
		}
	}
	switch cookies := g.cookies(r); len(cookies) {
	case 0:
		return "", false, ErrNoToken
	case 1:
		return cookies[0], true, nil
	default:
		return "", false, fmt.Errorf("%w: %d cookies of one name", ErrBadRequest, len(cookies))
	}
}

// cookies returns the values of the request's cookies that have the guard's name.
func (g *Guard) cookies(r *http.Request) (values []string) {
	if g.cookie == nil {
		return nil
	}
	for _, c := range r.CookiesNamed(g.cookie.name) {
		if c.Value != "" { // with an empty one the browser is deleting it
			values = append(values, c.Value)
		}
	}
	return values
}

// parseBearer reads the value of an Authorization header. isBearer says whether the scheme is
// Bearer, in upper or lower case (RFC 9110 §11.1).
func parseBearer(header string) (token string, isBearer bool, err error) {
	header = strings.Trim(header, " \t")
	end := strings.IndexFunc(header, func(r rune) bool { return !isToken(string(r)) })
	if end < 0 {
		end = len(header)
	}
	if !strings.EqualFold(header[:end], "Bearer") {
		return "", false, nil
	}
	rest := header[end:]
	token = strings.TrimLeft(rest, " ")
	if token == "" {
		return "", true, fmt.Errorf("%w: Bearer without a token", ErrBadRequest)
	}
	if token == rest || !isToken68(token) { // another separator than a space, such as a tab
		return "", true, fmt.Errorf("%w: what follows Bearer is not one token", ErrBadRequest)
	}
	return token, true, nil
}

// isToken68 reports whether a text has the form of credentials (RFC 9110 §11.2), or is several of
// them with dots between, as a JWT with padding is. Every JWT in compact form has it.
func isToken68(text string) bool {
	for part := range strings.SplitSeq(text, ".") {
		if strings.Contains(strings.TrimRight(part, "="), "=") {
			return false
		}
	}
	body := strings.ReplaceAll(strings.TrimRight(text, "="), "=", "")
	for i := range len(body) {
		switch c := body[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~+/", c) >= 0:
		default:
			return false
		}
	}
	return body != ""
}
