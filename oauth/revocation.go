package oauth

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/absent"
	"github.com/pgrevoke/revoke/internal/endpoint"
	"github.com/pgrevoke/revoke/internal/known"
	"github.com/pgrevoke/revoke/internal/logout"
)

// revocation is the endpoint of RFC 7009.
type revocation struct {
	tokenEndpoint
	store revoke.Store
}

// NewRevocation returns the OAuth 2.0 revocation endpoint (RFC 7009): a handler of POST with a
// form, in which a client names the token to revoke. The client authenticates by HTTP Basic, or
// by client_id and client_secret in the form, or by the same pair in both; with [Authenticate] in
// a way of the app's. The token may have expired. NewRevocation starts nothing. The error names the
// wrong argument or option.
//
// A refresh token is revoked together with its session, and so with every access token that
// carries the session's sid. An access token is revoked alone, unless [WithWholeSession] is
// given. Nothing is written unless the token's signature verifies.
//
//   - 200: the revocation is durable, or was made before, or there is no such token. A public
//     client also gets 200 for the token of another client, so that it does not learn who owns
//     the token.
//   - 400: the form is wrong, the token was issued to another client, or it cannot be revoked
//     effectively (unsupported_token_type): see [WithUnsupported] and revoke.WithOptionalID.
//   - 401: the client could not be authenticated. 403: [Authenticate] says that the client may not
//     use the endpoint. 405 and 413: see [ErrBadRequest].
//   - 503: the store or the source of the keys did not answer. The token may still be accepted. The
//     request can be repeated.
//
// The revocation is carried out even if the client disconnects, and has 10 s.
//
// The function of [WithReport] gets an error that matches [ErrBadRequest], [ErrInvalidClient],
// [ErrNotAllowed] or revoke.ErrUnavailable; for unsupported_token_type, none of them. It also
// gets the reason why an answer of 200 changed nothing: revoke.ErrInvalidToken or
// ErrNotAllowed.
func NewRevocation(store revoke.Store, authenticate Authenticator, kinds []Tokens, opts ...Option) (http.Handler, error) {
	if absent.Is(store) {
		return nil, fmt.Errorf("oauth: %s: store is nil", newRevocation)
	}
	shared, err := newTokenEndpoint(newRevocation, authenticate, kinds, opts)
	if err != nil {
		return nil, err
	}
	shared.kinds = append(shared.kinds, shared.unsupported...)
	return &revocation{shared, store}, nil
}

// ServeHTTP implements [http.Handler].
func (e *revocation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r, cancel := logout.Detach(r)
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

// revoke ends the token. It returns nil if the answer is 200.
func (e *revocation) revoke(r *http.Request, client Client, text string) error {
	presented, err := find(e.kinds, func(kind Tokens) (found, error) { return kind.identify(r.Context(), text) })
	if err != nil {
		if isRefused(err) { // the client could do nothing about an error (RFC 7009 §2.2)
			e.Report(r, err)
			return nil
		}
		return err
	}
	return known.With(e.end(r, client, presented), presented.token)
}

// end ends a token that was found.
func (e *revocation) end(r *http.Request, client Client, presented found) error {
	token, whole := presented.token, presented.kind.refresh || e.wholeSession
	switch {
	case !presented.belongsTo(client):
		if client.Public {
			e.Report(r, known.With(ErrNotAllowed, token))
			return nil
		}
		return endpoint.InvalidRequest("the token was issued to another client").Because(ErrNotAllowed)
	case presented.kind.unsupported:
		return unsupported("tokens of this type cannot be revoked")
	case token.ID == "" && (!whole || token.SessionID == ""): // see revoke.WithOptionalID
		return unsupported("tokens without an id cannot be revoked")
	}
	record := e.record.Over(revoke.WithReason("revoked by its client"), revoke.WithActor(client.ID))
	if whole {
		return logout.Token(r.Context(), e.store, token, logout.WholeSession, record)
	}
	return e.store.RevokeToken(r.Context(), token, record...)
}

// unsupported is the answer of RFC 7009 §2.2.1.
func unsupported(description string) error {
	return &endpoint.Error{Status: http.StatusBadRequest, Code: "unsupported_token_type", Description: description}
}

// isRefused reports whether the error says for certain that a token is not accepted.
func isRefused(err error) bool {
	return !errors.Is(err, revoke.ErrUnavailable) && (errors.Is(err, revoke.ErrInvalidToken) || errors.Is(err, revoke.ErrRevoked))
}
