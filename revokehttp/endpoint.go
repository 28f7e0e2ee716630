package revokehttp

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// ErrNotAllowed says that a client names a token that it may not: one of another client, or one that [WithMayIntrospect]
// keeps from it.
var ErrNotAllowed = errors.New("the token is not this client's to name")

// endpoint is what the endpoints of RFC 7009 and RFC 7662 share.
type endpoint struct {
	common
	authenticate AuthenticateClient
	kinds        []Tokens
	confidential bool // public clients are refused
}

// newEndpoint returns an endpoint with defaults; operation is for the error.
func newEndpoint(operation string, authenticate AuthenticateClient, kinds []Tokens) (endpoint, error) {
	err := checkKinds(kinds)
	if authenticate == nil {
		err = errors.New("the callback that authenticates clients is nil")
	}
	if err != nil {
		return endpoint{}, fmt.Errorf("revokehttp: %s: %w", operation, err)
	}
	return endpoint{common: newCommon(), authenticate: authenticate, kinds: slices.Clone(kinds)}, nil
}

// presented returns who asks, and about which token. The client is authenticated before anything about the token is looked at.
func (e *endpoint) presented(w http.ResponseWriter, r *http.Request) (client Client, text string, err error) {
	form, err := readForm(w, r, "token", "token_type_hint", "client_id", "client_secret", "client_assertion")
	if err != nil {
		return Client{}, "", err
	}
	client, err = e.authenticate.client(r, form)
	if err != nil {
		return Client{}, "", err
	}
	if e.confidential && client.Public {
		return Client{}, "", invalidClient(fmt.Errorf("%w: it is public", ErrInvalidClient))
	}
	if text = form.Get("token"); text == "" {
		return Client{}, "", invalidRequest("token is missing")
	}
	return client, text, nil
}

// fail reports and answers. What is no mistake of the client's is an outage.
func (e *endpoint) fail(w http.ResponseWriter, r *http.Request, err error) {
	e.report(r, err)
	refused := (*protocolError)(nil)
	if !errors.As(err, &refused) {
		writeUnavailable(w, e.retryAfter)
		return
	}
	if refused.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="`+e.realm+`"`)
	}
	refused.write(w)
}
