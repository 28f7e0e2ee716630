package revokehttp

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"

	"github.com/pgrevoke/revoke"
)

// WithRedirect answers a successful logout of a browser's form with 303 to a path of this origin,
// such as "/signed-out". Other clients get 204: see [WithSignInPage] for what a navigation is. The
// path is checked as by [LocalPath]; a request cannot change it. Default: every client gets 204.
func WithRedirect(path string) LogoutOption {
	return func(o *logoutOptions) error {
		if err := checkLocalPath(path); err != nil {
			return fmt.Errorf("redirect to %q: %w", path, err)
		}
		return o.redirect(func(*http.Request, revoke.Token) string { return path })
	}
}

// idTokenHint is the parameter with the ID token (OpenID Connect RP-Initiated Logout 1.0 §2).
const idTokenHint = "id_token_hint"

// WithEndSession answers a successful logout of a browser's form with 303 to the provider's
// end_session_endpoint, where the user's session at the provider ends too (OpenID Connect
// RP-Initiated Logout 1.0). Other clients get 204, as with [WithRedirect]. Without it the session
// at the provider goes on, and the user's next sign-in there asks for no password: see [WithScopes]
// for what that means for a logout that ends the session here.
//
// The endpoint is an https URL, or http on this machine. parameters are the same in every request,
// such as client_id and post_logout_redirect_uri; a request cannot change them. idToken returns
// the ID token that the provider issued to the user, and it is sent as id_token_hint. It is called
// after the revocation, with the token that was revoked, from several goroutines. It may be nil,
// and it may return "": then no hint is sent, and most providers ask the user. A text that cannot
// be a JWT is not sent.
func WithEndSession(endpoint string, parameters url.Values, idToken func(r *http.Request, token revoke.Token) string) LogoutOption {
	return func(o *logoutOptions) error {
		target, query, err := endSessionURL(endpoint, parameters)
		if err != nil {
			return err
		}
		return o.redirect(func(r *http.Request, token revoke.Token) string {
			target, query := *target, maps.Clone(query)
			if idToken != nil {
				if hint := idToken(r, token); isToken68(hint) {
					query.Set(idTokenHint, hint)
				}
			}
			target.RawQuery = query.Encode()
			return target.String()
		})
	}
}

// redirect sets the location of the answer to a form.
func (o *logoutOptions) redirect(location func(*http.Request, revoke.Token) string) error {
	if o.location != nil {
		return errors.New("a logout has one of WithRedirect and WithEndSession, once")
	}
	o.location = location
	return nil
}

// endSessionURL returns the endpoint, and its query with the parameters.
func endSessionURL(endpoint string, parameters url.Values) (*url.URL, url.Values, error) {
	target, err := url.Parse(endpoint)
	if err != nil {
		return nil, nil, fmt.Errorf("end_session_endpoint: %w", err)
	}
	if !isProviderURL(target) {
		return nil, nil, fmt.Errorf("end_session_endpoint %q is no https URL without a user and a fragment", endpoint)
	}
	query, err := url.ParseQuery(target.RawQuery)
	if err != nil {
		return nil, nil, fmt.Errorf("end_session_endpoint %q: %w", endpoint, err)
	}
	for name, values := range parameters {
		switch {
		case name == idTokenHint:
			return nil, nil, fmt.Errorf("%s differs from user to user, so it is no fixed parameter", idTokenHint)
		case name == "" || len(values) != 1 || query.Has(name):
			return nil, nil, fmt.Errorf("parameter %q of the end_session_endpoint does not occur once", name)
		}
		query[name] = slices.Clone(values)
	}
	return target, query, nil
}

// isProviderURL reports whether a URL may be redirected to: https, or http on this machine.
func isProviderURL(u *url.URL) bool {
	address, err := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || err == nil && address.IsLoopback()
	return (u.Scheme == "https" || u.Scheme == "http" && local) && u.Hostname() != "" && u.User == nil && u.Fragment == ""
}
