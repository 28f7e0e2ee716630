package signals

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/endpoint"
	"github.com/pgrevoke/revoke/internal/oneline"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// The reasons for which [NewGlobalTokenRevocation] refuses a caller, besides those for which a
// validator refuses the caller's token.
var (
	// ErrUnknownCaller says that the caller is not authenticated. It is answered with 401.
	ErrUnknownCaller = errors.New("unknown caller")

	// ErrForbiddenCaller says that the caller may not log users out. It is answered with 403.
	ErrForbiddenCaller = errors.New("the caller may not log users out")
)

// NewGlobalTokenRevocation returns a handler by which an identity provider or a security tool
// logs a user out of everything (draft-parecki-oauth-global-token-revocation-06), such as
// Okta's Universal Logout. It starts nothing. The error names the wrong argument or option.
//
// authorize decides whether the caller may log users out, before the body is read. An
// authorized caller can log out every user, and learns which users exist. An error of authorize
// that matches revoke.ErrInvalidToken, revoke.ErrRevoked, revokehttp.ErrNoToken or
// [ErrUnknownCaller] is answered with 401, [ErrBadRequest] with 400, [ErrForbiddenCaller] with
// 403, and any other error with 503. authorize is called from several goroutines.
//
// The draft's §3.5 requires an assertion: a JWT that the provider signed and that is used
// once. A revokehttp.Guard in front of the handler validates it, and authorize returns its
// identity. The handler spends the assertion in the transaction that logs the user out,
// both or neither. So a caller that got 503 or no answer can repeat its request until it
// gets 204: an assertion that was spent for this user is answered with 204 and revokes
// nothing more, and one that was spent for another user with 401. Give the guard's
// validator a revoke.WithIssuerSkew of 15 s: senders' clocks may be as far ahead as those
// of [NewBackChannelLogout]. authorize returns the zero Token for a caller that is
// authenticated in another way, such as by its certificate.
//
// A request names the user as RFC 9493 defines. The format "iss_sub" with one of the issuers
// names a user of that issuer's tokens; see [WithIssuerAliases] for other names of it. Any other
// name goes to resolve: the formats "opaque"
// and "email", and "iss_sub" with another issuer. resolve is for apps that sign their own
// tokens. Either issuers or resolve may be nil. Without resolve, another issuer is answered
// with 404, and another format with 400.
//
// Name an issuer only if the sub of requests is the sub of the issuer's access tokens.
// Otherwise the answer is 204 and no token is revoked. Okta's requests have the user's id,
// while its access tokens have the id as uid and a login name as sub: there resolve maps one to
// the other.
//
//   - 204: the revocation of every token of the user that was issued until now is durable
//     (revoke.Revoker.RevokeUser).
//   - 404, 422: the user is unknown, or cannot be logged out.
//   - 503 with Retry-After: the outcome is unknown. The request can be repeated.
func NewGlobalTokenRevocation(store revoke.Store, authorize func(*http.Request) (revoke.Token, error), issuers []string,
	resolve Resolver, opts ...Option,
) (http.Handler, error) {
	var err error
	if authorize == nil {
		err = errors.New("authorize is nil")
	}
	if len(issuers) == 0 && resolve == nil {
		err = oneline.Join(err, errors.New("there are neither issuers nor a resolver, so no user could be named"))
	}
	for _, issuer := range issuers {
		err = oneline.Join(err, strictjwt.CheckID("issuer", issuer))
	}
	if err != nil {
		return nil, failed(newGlobalTokenRevocation, err)
	}
	shared, err := newReceiver(newGlobalTokenRevocation, "global token revocation", store, opts)
	if err == nil {
		err = shared.checkAliases(issuers...)
	}
	if err != nil {
		return nil, failed(newGlobalTokenRevocation, err)
	}
	g := &globalRevocation{receiver: shared, authorize: authorize, issuers: slices.Clone(issuers), resolve: resolve}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.receive(w, r, http.StatusNoContent, func(r *http.Request) error { return g.revoke(w, r) })
	}), nil
}

type globalRevocation struct {
	receiver
	authorize func(*http.Request) (revoke.Token, error)
	issuers   []string
	resolve   Resolver
}

func (g *globalRevocation) revoke(w http.ResponseWriter, r *http.Request) error {
	if err := endpoint.OnlyPost(w, r); err != nil {
		return err
	}
	assertion, err := g.authorize(r)
	if err != nil {
		return g.refusedCaller(w, err)
	}
	body, err := endpoint.ReadJSON(w, r)
	if err != nil {
		return err
	}
	id, err := readSubject(body)
	if err != nil {
		return endpoint.InvalidRequest("the body does not name a user as RFC 9493 defines").Because(err)
	}
	user, err := g.user(r, id)
	if err != nil {
		return refusedUser(err)
	}
	if assertion == (revoke.Token{}) {
		_, err = g.store.RevokeUser(r.Context(), user, g.record...)
		return err
	}
	if err = g.end(r.Context(), assertion, user); errors.Is(err, errSpent) || errors.Is(err, revoke.ErrInvalidToken) {
		return g.refusedCaller(w, err)
	}
	return err
}

// errSpent refuses an assertion that was spent for another user.
var errSpent = fmt.Errorf("%w: the assertion was used before, for another user", revoke.ErrInvalidToken)

// end spends the assertion and logs the user out, both or neither. The assertion is spent twice: by
// itself, and for this user. So an assertion that is found spent for this user was carried out: the
// transaction that spent it contains the revocation and has committed.
func (g *globalRevocation) end(ctx context.Context, assertion revoke.Token, user revoke.User) error {
	if assertion.ID == "" { // see revoke.WithOptionalID
		return fmt.Errorf("%w: an assertion without an id cannot be spent", revoke.ErrInvalidToken)
	}
	const kind = "global token revocation"
	spent := func(parts ...string) revoke.Token {
		return revoke.Token{
			Issuer: assertion.Issuer, ID: spentID(kind, append(parts, assertion.ID)...), ExpiresAt: assertion.ExpiresAt,
		}
	}
	err := g.store.InTx(ctx, func(tx revoke.Revoker) error {
		if err := tx.Redeem(ctx, spent(user.Issuer, user.Subject), g.record...); err != nil {
			return err
		}
		if err := tx.Redeem(ctx, spent(), g.record...); errors.Is(err, revoke.ErrRevoked) {
			return errSpent
		} else if err != nil {
			return err
		}
		_, err := tx.RevokeUser(ctx, user, g.record...)
		return err
	})
	if errors.Is(err, revoke.ErrRevoked) {
		return nil
	}
	return err
}

// user returns the user that the request names.
func (g *globalRevocation) user(r *http.Request, id SubjectID) (revoke.User, error) {
	switch {
	case id.Format == "iss_sub" && slices.Contains(g.issuers, g.issuerNamed(id.Issuer)):
		return revoke.User{Issuer: g.issuerNamed(id.Issuer), Subject: id.Subject}, nil
	case g.resolve != nil:
		return g.resolve(r.Context(), id)
	case id.Format == "iss_sub":
		return revoke.User{}, fmt.Errorf("%w: the issuer is none of those that are configured", ErrUnknownUser)
	}
	return revoke.User{}, ErrUnknownFormat
}

// refusedCaller returns the answer to a caller that is refused. The challenge has an error code
// only if the caller presented a token (RFC 6750 §3.1).
func (g *globalRevocation) refusedCaller(w http.ResponseWriter, err error) error {
	challenge := `Bearer realm="` + g.Realm + `"`
	switch {
	case errors.Is(err, revoke.ErrUnavailable):
		return err
	case errors.Is(err, revoke.ErrInvalidToken), errors.Is(err, revoke.ErrRevoked):
		w.Header().Set("WWW-Authenticate", challenge+`, error="invalid_token"`)
		return answer(http.StatusUnauthorized, "invalid_token", "the token is not accepted", err)
	case errors.Is(err, endpoint.ErrNoToken), errors.Is(err, ErrUnknownCaller):
		w.Header().Set("WWW-Authenticate", challenge)
		return answer(http.StatusUnauthorized, "invalid_client", "the caller is not authenticated", err)
	case errors.Is(err, ErrForbiddenCaller):
		return answer(http.StatusForbidden, "access_denied", "the caller may not log users out", err)
	case errors.Is(err, ErrBadRequest):
		return endpoint.InvalidRequest("the credentials are not presented as they should be").Because(err)
	}
	return err
}

// refusedUser returns the answer if no user can be logged out.
func refusedUser(err error) error {
	switch {
	case errors.Is(err, revoke.ErrUnavailable):
		return err
	case errors.Is(err, ErrUnknownUser):
		return answer(http.StatusNotFound, "not_found", "there is no such user", err)
	case errors.Is(err, ErrStaysLoggedIn):
		return answer(http.StatusUnprocessableEntity, "unprocessable", "the user cannot be logged out", err)
	case errors.Is(err, ErrUnknownFormat):
		return endpoint.InvalidRequest("users are not named in this format here").Because(err)
	}
	return fmt.Errorf("%w: finding the user: %w", revoke.ErrUnavailable, withoutSentinel(err))
}

// answer returns an error that is answered so. The cause is for the report.
func answer(status int, code, description string, cause error) error {
	return (&endpoint.Error{Status: status, Code: code, Description: description}).Because(cause)
}
