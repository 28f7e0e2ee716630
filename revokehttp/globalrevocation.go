package revokehttp

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/strict"
)

// What the caller of [NewGlobalTokenRevocation] may be refused with, beside what a validator says of its token.
var (
	// ErrUnknownCaller says that the caller is not authenticated. It is answered with 401.
	ErrUnknownCaller = errors.New("unknown caller")

	// ErrForbiddenCaller says that the caller may not log users out. It is answered with 403.
	ErrForbiddenCaller = errors.New("the caller may not log users out")
)

// NewGlobalTokenRevocation returns a handler by which an identity provider or a security tool logs a user out of everything
// (draft-parecki-oauth-global-token-revocation-06), as Okta's Universal Logout does. It starts nothing. An error says which
// argument is wrong.
//
// authorize says whether the caller may, before anything of the body is read: whoever may can log out anybody, and learns who
// exists. It is called from several goroutines. Its error matches revoke.ErrInvalidToken, revoke.ErrRevoked, [ErrNoToken] or [ErrUnknownCaller], which are answered
// with 401; [ErrBadRequest] with 400; [ErrForbiddenCaller] with 403; any other with 503. The draft's §3.5 wants a JWT that is
// signed by the provider and used once: a validator behind [Guard.Require] checks it, and authorize redeems it.
//
// A user is named as RFC 9493 says. With the format "iss_sub" and one of the issuers it is a user of that issuer's tokens. What
// else is named goes to resolve: the formats "opaque" and "email", and "iss_sub" of other issuers, for apps that sign
// tokens of their own. Either may be nil, and not both. A user of an issuer that nobody knows is answered with 404, and a format
// that nobody knows with 400.
//
// Name an issuer only if the sub of a request is the sub of its access tokens, or 204 would say that a user is logged out who is
// not. Okta's requests have the user's id, its access tokens have it as uid and a login name as sub: there resolve maps
// one to the other.
//
// It answers 204 once the revocation is durable: every token of the user that was issued until then is dead
// (revoke.Revoker.RevokeUser). With 503 and Retry-After nobody knows whether it is done, and it may be repeated.
func NewGlobalTokenRevocation(store revoke.Store, authorize func(*http.Request) error, issuers []string, resolve Resolver,
	opts ...ReceiverOption,
) (http.Handler, error) {
	const operation = "NewGlobalTokenRevocation"
	var err error
	if authorize == nil {
		err = errors.Join(err, errors.New("authorize is nil"))
	}
	if len(issuers) == 0 && resolve == nil {
		err = errors.Join(err, errors.New("there are neither issuers nor a resolver, so no user could be named"))
	}
	for _, issuer := range issuers {
		err = errors.Join(err, strict.CheckID("issuer", issuer))
	}
	if err != nil {
		return nil, fmt.Errorf("revokehttp: %s: %w", operation, err)
	}
	shared, err := newReceiver(operation, "global token revocation", store, opts)
	if err != nil {
		return nil, err
	}
	g := &globalRevocation{receiver: shared, authorize: authorize, issuers: slices.Clone(issuers), resolve: resolve}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.receive(w, r, http.StatusNoContent, func(r *http.Request) error { return g.revoke(w, r) })
	}), nil
}

type globalRevocation struct {
	receiver
	authorize func(*http.Request) error
	issuers   []string
	resolve   Resolver
}

func (g *globalRevocation) revoke(w http.ResponseWriter, r *http.Request) error {
	if err := onlyPost(w, r); err != nil {
		return err
	}
	if err := g.authorize(r); err != nil {
		return g.refusedCaller(w, err)
	}
	body, err := readBody(w, r, "application/json")
	if err != nil {
		return err
	}
	id, err := readSubject(body)
	if err != nil {
		return answering(invalidRequest("the body does not name a user as RFC 9493 says"), err)
	}
	user, err := g.user(r, id)
	if err != nil {
		return refusedUser(err)
	}
	_, err = g.store.RevokeUser(r.Context(), user, g.record...)
	return err
}

// user finds out who is meant.
func (g *globalRevocation) user(r *http.Request, id SubjectID) (revoke.User, error) {
	switch {
	case id.Format == "iss_sub" && slices.Contains(g.issuers, id.Issuer):
		return revoke.User{Issuer: id.Issuer, Subject: id.Subject}, nil
	case g.resolve != nil:
		return g.resolve(r.Context(), id)
	case id.Format == "iss_sub":
		return revoke.User{}, fmt.Errorf("%w: the issuer is none of those that are configured", ErrUnknownUser)
	}
	return revoke.User{}, ErrUnknownFormat
}

// refusedCaller is the answer to a caller who is not let in. Whether a token was presented decides about the error code, as
// RFC 6750 §3.1 says.
func (g *globalRevocation) refusedCaller(w http.ResponseWriter, err error) error {
	challenge := `Bearer realm="` + g.realm + `"`
	switch {
	case errors.Is(err, revoke.ErrUnavailable):
		return err
	case errors.Is(err, revoke.ErrInvalidToken), errors.Is(err, revoke.ErrRevoked):
		w.Header().Set("WWW-Authenticate", challenge+`, error="invalid_token"`)
		return answering(&protocolError{http.StatusUnauthorized, "invalid_token", "the token is not accepted"}, err)
	case errors.Is(err, ErrNoToken), errors.Is(err, ErrUnknownCaller):
		w.Header().Set("WWW-Authenticate", challenge)
		return answering(&protocolError{http.StatusUnauthorized, "invalid_client", "the caller is not authenticated"}, err)
	case errors.Is(err, ErrForbiddenCaller):
		return answering(&protocolError{http.StatusForbidden, "access_denied", "the caller may not log users out"}, err)
	case errors.Is(err, ErrBadRequest):
		return answering(invalidRequest("the credentials are not presented as they should be"), err)
	}
	return err
}

// refusedUser is the answer where nobody is logged out.
func refusedUser(err error) error {
	switch {
	case errors.Is(err, revoke.ErrUnavailable):
		return err
	case errors.Is(err, ErrUnknownUser):
		return answering(&protocolError{http.StatusNotFound, "not_found", "there is no such user"}, err)
	case errors.Is(err, ErrStaysLoggedIn):
		return answering(&protocolError{http.StatusUnprocessableEntity, "unprocessable", "the user cannot be logged out"}, err)
	case errors.Is(err, ErrUnknownFormat):
		return answering(invalidRequest("users are not named in this format here"), err)
	}
	return err
}
