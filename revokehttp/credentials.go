package revokehttp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// The reasons for which a request is refused before its token is looked at. What is wrong with a token is one of
// revoke.ErrRevoked, revoke.ErrInvalidToken and revoke.ErrUnavailable.
var (
	// ErrNoToken says that the request has no token: no credentials, or some of another scheme. It is answered with 401 and
	// without an error code (RFC 6750 §3.1).
	ErrNoToken = errors.New("no token")

	// ErrBadRequest says that the request presents its token in a wrong way: twice, or not as RFC 6750 §2.1 writes it; or, at
	// a logout or an endpoint, that the request is not of the form that it has to have. It is answered with 400, or with 405
	// for its method and 413 for a body of more than 64 KiB.
	ErrBadRequest = errors.New("bad request")

	// ErrCrossOrigin says that another site made a browser send its cookie. It is answered with 403.
	ErrCrossOrigin = errors.New("cross-origin request")
)

// presented returns the token that a request presents, and whether a cookie carries it.
func (g *Guard[C]) presented(r *http.Request) (token string, fromCookie bool, err error) {
	var tokens []string
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return "", false, fmt.Errorf("%w: %d Authorization headers", ErrBadRequest, len(headers))
	}
	for _, header := range headers {
		bearer, is, err := parseBearer(header)
		if err != nil {
			return "", false, err
		}
		if is {
			tokens = append(tokens, bearer)
		}
	}
	if g.cookie != nil {
		for _, c := range r.CookiesNamed(g.cookie.name) {
			if c.Value == "" { // as it is while a browser deletes it
				continue
			}
			tokens = append(tokens, c.Value)
			fromCookie = true
		}
	}
	switch len(tokens) {
	case 0:
		return "", false, ErrNoToken
	case 1:
		return tokens[0], fromCookie, nil
	}
	return "", false, fmt.Errorf("%w: %d tokens", ErrBadRequest, len(tokens))
}

// parseBearer reads the value of an Authorization header; is tells whether its scheme is Bearer, whose letters may be of
// either case (RFC 9110 §11.1).
func parseBearer(header string) (token string, is bool, err error) {
	scheme, rest, spaced := strings.Cut(strings.Trim(header, " \t"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false, nil
	}
	token = strings.TrimLeft(rest, " ")
	if !spaced || token == "" {
		return "", true, fmt.Errorf("%w: Bearer without a token", ErrBadRequest)
	}
	if !isToken68(token) {
		return "", true, fmt.Errorf("%w: what follows Bearer is not one token", ErrBadRequest)
	}
	return token, true, nil
}

// isToken68 reports whether s has the form of credentials (RFC 9110 §11.2): in it lies every JWT in compact form.
func isToken68(s string) bool {
	body := strings.TrimRight(s, "=")
	for i := range len(body) {
		switch c := body[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~+/", c) >= 0:
		default:
			return false
		}
	}
	return body != ""
}
