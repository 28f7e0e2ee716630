package oauth

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/pgrevoke/revoke/internal/absent"
	"github.com/pgrevoke/revoke/internal/endpoint"
	"github.com/pgrevoke/revoke/internal/oneline"
)

// The reasons for which a request is refused, besides [ErrInvalidClient] and the errors of package
// revoke.
var (
	// ErrBadRequest says that the request does not have the form that it must have. It is
	// answered with 400, or with 405 for its method and 413 for a body of more than 64 KiB. The
	// errors of this name in packages revokehttp and signals are the same value.
	ErrBadRequest = endpoint.ErrBadRequest

	// ErrNotAllowed says that the client named a token that it may not revoke or introspect: one of
	// another client, or one that [WithDisclosure] withholds. An [Authenticate] says by it that the
	// client may not use the endpoint.
	ErrNotAllowed = endpoint.ErrNotAllowed
)

// tokenEndpoint is what the endpoints share: their settings, their clients and their tokens.
type tokenEndpoint struct {
	options
	authenticate Authenticator
	kinds        []Tokens // none at the endpoint of NewToken
}

func newTokenEndpoint(constructor string, authenticate Authenticator, kinds []Tokens, opts []Option) (tokenEndpoint, error) {
	var err error
	if absent.Is(authenticate) {
		err = errors.New("the function that authenticates clients is nil")
	}
	if constructor != newToken {
		err = oneline.Join(err, checkKinds(kinds))
	}
	if err == nil {
		e := tokenEndpoint{authenticate: authenticate, kinds: slices.Clone(kinds)}
		e.options, err = newOptions(constructor, opts)
		if err == nil {
			return e, nil
		}
	}
	return tokenEndpoint{}, fmt.Errorf("oauth: %s: %w", constructor, err)
}

// form returns the client, and the form in which each of the parameters occurs once at most.
func (e *tokenEndpoint) form(w http.ResponseWriter, r *http.Request, parameters ...string) (Client, url.Values, error) {
	form, err := endpoint.ReadForm(w, r, append(parameters, "client_id", "client_secret",
		"client_assertion", "client_assertion_type")...)
	if err != nil {
		return Client{}, nil, err
	}
	client, err := e.authenticate.client(r, form)
	return client, form, err
}

// presented returns the client, and the token that it names. Nothing of the token is looked at
// before the client is authenticated.
func (e *tokenEndpoint) presented(w http.ResponseWriter, r *http.Request) (client Client, text string, err error) {
	client, form, err := e.form(w, r, "token", "token_type_hint")
	if err != nil {
		return Client{}, "", err
	}
	if client.Public && e.constructor == newIntrospection {
		return Client{}, "", invalidClient(fmt.Errorf("%w: it is public", ErrInvalidClient))
	}
	if text = form.Get("token"); text == "" {
		return Client{}, "", endpoint.InvalidRequest("token is missing")
	}
	return client, text, nil
}

// fail reports the error and answers. An error that is not the client's is an outage.
func (e *tokenEndpoint) fail(w http.ResponseWriter, r *http.Request, err error) {
	e.Report(r, err)
	answer := (*endpoint.Error)(nil)
	if !errors.As(err, &answer) {
		endpoint.WriteUnavailable(w, r, err, e.RetryAfter)
		return
	}
	if answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden {
		w.Header().Set("WWW-Authenticate", e.authenticate.challenge(e.Realm, err))
	}
	answer.Write(w)
}
