package revokehttp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/pgrevoke/revoke/internal/endpoint"
	"github.com/pgrevoke/revoke/internal/oneline"
)

// The names by which [Guard.ForwardAuth] takes a part of the proxy's question for that part of the
// client's request, in place of a header field: those of HTTP/2 (RFC 9113 §8.3.1). They are for
// proxies that ask with the client's method and host, such as Envoy.
const (
	QuestionMethod = ":method"
	QuestionHost   = ":authority"
)

// The header fields in which [Guard.ForwardAuth] answers by default.
const (
	DefaultIssuerHeader  = "X-Auth-Issuer"
	DefaultSubjectHeader = "X-Auth-Subject"
	DefaultTokenIDHeader = "X-Auth-Token-Id"
)

// WithIdentityHeaders names the header fields of an answer that carry the issuer, the subject and
// the id of an accepted token. It is an option of [Guard.ForwardAuth]. Default:
// [DefaultIssuerHeader], [DefaultSubjectHeader] and [DefaultTokenIDHeader].
func WithIdentityHeaders(issuer, subject, tokenID string) Option {
	return optionOf(newForwardAuth, "WithIdentityHeaders", func(f *forwardAuth) error {
		f.issuer, f.subject, f.tokenID = issuer, subject, tokenID
		names := map[string]bool{}
		for _, name := range []string{issuer, subject, tokenID} {
			if err := checkHeaderName(name); err != nil {
				return err
			}
			names[http.CanonicalHeaderKey(name)] = true
		}
		if len(names) < 3 {
			return errors.New("two identity headers have one name")
		}
		return nil
	})
}

type forwardAuth struct {
	guard                    *Guard
	method, host             string // the header fields of the question
	issuer, subject, tokenID string // the header fields of the answer
}

// ForwardAuth returns a handler for a proxy that asks, before it passes on a request,
// whether the request's token is accepted: auth_request of nginx, ForwardAuth of Traefik,
// forward_auth of Caddy, ext_authz of Envoy. The proxy sends the header fields of the
// client's request, and none of its body. docs/http.md says how to configure each of
// them. The error names the wrong argument or option.
//
// method and host name the header fields in which the proxy sends the client's method and
// host, such as X-Forwarded-Method and X-Forwarded-Host; or they are [QuestionMethod] and
// [QuestionHost]. Only these are used, and only for a request that is authenticated by the
// cookie of [WithCookie]: they decide whether a page of another site may have made the
// browser send it. The proxy must overwrite them in the client's request, and must pass on
// Origin and Sec-Fetch-Site. If one of the two is missing, occurs twice or has no usable
// value, or an unsafe method comes with neither Origin nor Sec-Fetch-Site, which no browser
// leaves out, a request with the cookie is refused.
//
//   - 200: the token is accepted. The header fields of [WithIdentityHeaders] say what the
//     token names. Each of them is always there, and empty if the token does not have the
//     claim. Characters other than visible ASCII, and % and the comma, are percent-encoded.
//   - 401, with WWW-Authenticate: there is no token, it is not accepted, or it is not
//     presented as it should be, for which [Guard.Require] answers 400.
//   - 403: another site made the browser send the request, or the proxy does not say so much that
//     this can be ruled out.
//   - 503 with Retry-After: the store did not answer.
//
// nginx makes 500 of 503: docs/http.md shows how it answers 503. There is no redirect to a sign-in
// page: a proxy makes one of 401. [WithErrorHandler] does not apply.
//
// The upstream cannot tell who set the header fields of the identity. So the proxy must take
// them out of the client's request before it sets them, and nothing but the proxy may reach
// the upstream. With [WithPreflight] a preflight is answered with 200 and empty fields.
func (g *Guard) ForwardAuth(method, host string, opts ...Option) (http.Handler, error) {
	f := &forwardAuth{
		guard: g, method: method, host: host,
		issuer: DefaultIssuerHeader, subject: DefaultSubjectHeader, tokenID: DefaultTokenIDHeader,
	}
	err := configure(f, opts)
	for _, named := range []struct{ name, question string }{{method, QuestionMethod}, {host, QuestionHost}} {
		if err == nil && named.name != named.question {
			err = checkHeaderName(named.name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("revokehttp: ForwardAuth: %w", err)
	}
	return f, nil
}

// checkHeaderName reports what is wrong with the name of a header field (RFC 9110 §5.1).
// Fields that authenticate, or that browsers set, cannot have another meaning.
func checkHeaderName(name string) error {
	if !isToken(name) {
		return fmt.Errorf("%q is no name of a header field", name)
	}
	switch http.CanonicalHeaderKey(name) {
	case "Authorization", "Cookie", "Origin", "Sec-Fetch-Site", "Host":
		return fmt.Errorf("header field %q has a meaning already", name)
	}
	return nil
}

// isToken reports whether a text is a token (RFC 9110 §5.6.2), as methods and names of
// header fields are.
func isToken(text string) bool {
	for i := range len(text) {
		c := text[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return text != ""
}

// ServeHTTP implements [http.Handler].
func (f *forwardAuth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.guard.preflight {
		if asked, err := f.asked(r); err == nil && isPreflight(asked) {
			f.accept(w, "", "", "")
			return
		}
	}
	token, err := f.validate(r)
	if err != nil {
		f.guard.settings.Report(r, err)
		f.refuse(w, r, err)
		return
	}
	f.accept(w, token.token.Issuer, token.token.Subject, token.token.ID)
}

// validate returns the token of the client's request.
func (f *forwardAuth) validate(r *http.Request) (accepted, error) {
	text, fromCookie, err := f.guard.presented(r)
	if err == nil && fromCookie {
		err = f.checkOrigin(r)
	}
	if err != nil {
		return accepted{}, err
	}
	verified, err := f.guard.validator.Validate(r.Context(), text)
	if err != nil {
		return accepted{}, err
	}
	return accepted{verified, fromCookie}, nil
}

// checkOrigin refuses a request with the cookie that a page of another site may have caused.
func (f *forwardAuth) checkOrigin(r *http.Request) error {
	asked, err := f.asked(r)
	if err != nil {
		return err
	}
	if isSafe(asked) {
		return nil
	}
	if r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == "" {
		return fmt.Errorf("%w: the question has neither Origin nor Sec-Fetch-Site; the proxy must pass them on", ErrCrossOrigin)
	}
	return f.guard.checkOrigin(asked)
}

// isSafe reports whether a page of another site may make a browser send the request.
func isSafe(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return !isWebSocket(r)
	}
	return false
}

// asked returns the client's request, as far as the proxy tells it.
func (f *forwardAuth) asked(r *http.Request) (*http.Request, error) {
	method, errMethod := one(r, f.method, r.Method, isToken)
	host, errHost := one(r, f.host, r.Host, isHost)
	if err := oneline.Join(errMethod, errHost); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCrossOrigin, err)
	}
	asked := r.WithContext(r.Context())
	asked.Method, asked.Host = method, host
	return asked, nil
}

// one returns the only value of a header field, or the question's own.
func one(r *http.Request, name, own string, valid func(string) bool) (string, error) {
	values := []string{own}
	if !strings.HasPrefix(name, ":") {
		values = r.Header.Values(name)
	}
	if len(values) != 1 || !valid(values[0]) {
		return "", fmt.Errorf("the question has no usable %s", name)
	}
	return values[0], nil
}

// isHost reports whether a text can be the host of an origin, with or without a port.
func isHost(text string) bool {
	if strings.ContainsAny(text, ",@/?#\\ ") {
		return false
	}
	parsed, err := url.Parse("https://" + text)
	return err == nil && parsed.Host == text && text != ""
}

// accept answers 200, the only status that every proxy takes for acceptance.
func (f *forwardAuth) accept(w http.ResponseWriter, issuer, subject, tokenID string) {
	w.Header().Set(f.issuer, headerValue(issuer))
	w.Header().Set(f.subject, headerValue(subject))
	w.Header().Set(f.tokenID, headerValue(tokenID))
	endpoint.NoStore(w)
	w.WriteHeader(http.StatusOK)
}

// refuse answers a refusal with a status that proxies pass on.
func (f *forwardAuth) refuse(w http.ResponseWriter, r *http.Request, err error) {
	switch outcomeOf(r, err) {
	case outcomeCancelled:
		endpoint.WriteCancelled(w)
	case outcomeNoToken:
		f.unauthorized(w)
	case outcomeBadRequest:
		f.unauthorized(w, `error="invalid_request"`)
	case outcomeRevoked, outcomeInvalid:
		f.unauthorized(w, `error="invalid_token"`)
	case outcomeCrossOrigin:
		refuse(w, http.StatusForbidden)
	default:
		w.Header().Set("Retry-After", endpoint.Seconds(f.guard.settings.RetryAfter))
		refuse(w, http.StatusServiceUnavailable)
	}
}

func (f *forwardAuth) unauthorized(w http.ResponseWriter, parameters ...string) {
	f.guard.challenge(w, parameters...)
	refuse(w, http.StatusUnauthorized)
}

// headerValue writes an identifier so that no proxy changes it: net/http and proxies trim spaces,
// drop line breaks and join values at commas.
func headerValue(id string) string {
	var b strings.Builder
	for i := range len(id) {
		if c := id[i]; c > ' ' && c <= '~' && c != '%' && c != ',' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", id[i])
	}
	return b.String()
}
