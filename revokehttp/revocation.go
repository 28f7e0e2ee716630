package revokehttp

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/pgrevoke/revoke"
)

// RevocationOption configures [NewRevocation].
type RevocationOption interface{ toRevocation(*revocation) error }

// revocation is the endpoint of RFC 7009.
type revocation struct {
	endpoint
	store        revoke.Store
	wholeSession bool
	record       record
}

type revocationOption func(*revocation) error

func (o revocationOption) toRevocation(e *revocation) error { return o(e) }
func (o CommonOption) toRevocation(e *revocation) error     { return run(o, &e.common) }
func (o RecordOption) toRevocation(e *revocation) error     { return run(o, &e.record) }

// WithWholeSession makes the revocation of an access token end its session as well, and with it the refresh tokens (RFC 7009
// §2.1 leaves it to the server). Default: it ends that token alone.
func WithWholeSession() RevocationOption {
	return revocationOption(func(e *revocation) error { e.wholeSession = true; return nil })
}

// WithUnsupported names kinds of tokens whose revocation would have no effect, such as ID tokens, or access tokens of services
// that do not ask the store. They are answered with unsupported_token_type (RFC 7009 §2.2.1), so that nobody relies on it.
// Default: such a token is unknown like any other.
func WithUnsupported(kinds ...Tokens) RevocationOption {
	return revocationOption(func(e *revocation) error {
		if err := checkKinds(kinds); err != nil {
			return err
		}
		for _, kind := range kinds {
			kind.unsupported = true
			e.kinds = append(e.kinds, kind)
		}
		return nil
	})
}

// NewRevocation returns the OAuth 2.0 revocation endpoint (RFC 7009): a handler of POST with a form in which a client, which
// authenticates by HTTP Basic or by client_id and client_secret in the form, names the token to revoke. It may have expired.
//
// A refresh token is revoked together with its session, and so with every access token that carries the session's sid; an
// access token alone, unless [WithWholeSession] says otherwise. Nothing is written but what a signature vouches for.
//
// 200 says that the token is of no use any more: its revocation is durable, or it was revoked before, or it is no token of these
// kinds. What was issued to another client stays as it is: a client with a secret is told so by 400, a public one gets 200, lest
// anybody learn from whom a token is. A client that could not be authenticated gets 401. While the store or the source of the
// keys cannot answer it is 503 with Retry-After, and the token must be taken to live on, though a revocation whose outcome is not
// known may have happened; a repeat is safe. A client that hangs up has asked all the same, and has 10 s.
//
// The function of [WithReport] also gets the reason where 200 changed nothing: revoke.ErrInvalidToken or [ErrNotAllowed]. Otherwise
// it is [ErrBadRequest], [ErrInvalidClient], revoke.ErrUnavailable, or none of them for unsupported_token_type. An error says which
// argument or option is wrong.
func NewRevocation(store revoke.Store, authenticate AuthenticateClient, kinds []Tokens,
	opts ...RevocationOption,
) (http.Handler, error) {
	const operation = "NewRevocation"
	if store == nil {
		return nil, fmt.Errorf("revokehttp: %s: store is nil", operation)
	}
	shared, err := newEndpoint(operation, authenticate, kinds)
	if err != nil {
		return nil, err
	}
	e := &revocation{endpoint: shared, store: store}
	if err := apply(operation, e, opts, RevocationOption.toRevocation); err != nil {
		return nil, err
	}
	return e, nil
}

// ServeHTTP implements [http.Handler].
func (e *revocation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r, cancel := detached(r)
	defer cancel()
	client, text, err := e.presented(w, r)
	if err == nil {
		err = e.revoke(r, client, text)
	}
	if err != nil {
		e.fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

// revoke ends the token, and returns nil where there is nothing to end or to be told.
func (e *revocation) revoke(r *http.Request, client Client, text string) error {
	presented, err := find(e.kinds, func(kind Tokens) (found, error) { return kind.identify(text) })
	if errors.Is(err, revoke.ErrInvalidToken) { // RFC 7009 §2.2: a client can do nothing about it
		e.report(r, err)
		return nil
	}
	if err != nil {
		return err
	}
	token, whole := presented.token, presented.kind.refresh || e.wholeSession
	switch {
	case !presented.belongsTo(client):
		if client.Public {
			e.report(r, ErrNotAllowed)
			return nil
		}
		return fmt.Errorf("%w: %w", invalidRequest("the token was issued to another client"), ErrNotAllowed)
	case presented.kind.unsupported:
		return &protocolError{http.StatusBadRequest, "unsupported_token_type", "tokens of this type cannot be revoked"}
	case token.ID == "" && (!whole || token.SessionID == ""): // see revoke.WithOptionalID
		return &protocolError{http.StatusBadRequest, "unsupported_token_type", "tokens without an id cannot be revoked"}
	}
	note := e.record.after(revoke.WithReason("revoked by its client"), revoke.WithActor(client.ID))
	if whole {
		return revokeWithSession(r.Context(), e.store, token, note)
	}
	return e.store.RevokeToken(r.Context(), token, note...)
}
