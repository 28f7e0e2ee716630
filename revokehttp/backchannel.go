package revokehttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
)

// SessionValidator is a validator that knows whether it demands a session of its tokens: a *revoke.Validator.
type SessionValidator interface {
	// RequiresSession reports whether only tokens of this issuer that have a sid are accepted.
	RequiresSession(issuer string) bool
}

// Ends is what a back-channel logout ends: [EndSession] or [EndUser]. There is no default, because it depends on what the
// access tokens of the provider carry.
type Ends struct {
	scope     revoke.Scope
	validator SessionValidator
}

// EndSession ends the session that the logout names, with every token that carries its sid; where it names the user only, every
// session of theirs (OpenID Connect Back-Channel Logout 1.0 §2.4). The validator is the app's, by which its services accept
// tokens: it must require a sid (revoke.WithRequiredSession), because a token without one would live on. It should not have
// revoke.WithOptionalSubject either, or a logout of the user spares tokens that have no sub.
//
// Access tokens of Keycloak carry the sid of its logout tokens. Those of Auth0 do not, and cannot be made to: choose EndUser.
func EndSession(validator SessionValidator) Ends { return Ends{revoke.ScopeSession, validator} }

// EndUser ends every session of the user, whichever of them the logout names, for providers whose access tokens have no sid. A
// logout that names no user is refused. Validators must not have revoke.WithOptionalSubject, and the sub of access tokens must
// be that of logout tokens, which is the one of ID tokens: where a provider has pairwise subjects, or a login name in one of them
// and an id in the other, as Okta has, nothing would be logged out.
func EndUser() Ends { return Ends{scope: revoke.ScopeUser} }

// check reports what is wrong with the choice.
func (e Ends) check(issuer string) error {
	switch {
	case e.scope == "":
		return errors.New("what a logout ends is not chosen: EndSession or EndUser")
	case e.scope == revoke.ScopeUser:
		return nil
	case e.validator == nil:
		return errors.New("the validator of EndSession is nil")
	case !e.validator.RequiresSession(issuer):
		return fmt.Errorf("the validator of EndSession is not of issuer %q, or takes tokens without a sid, which no logout "+
			"would end: see revoke.WithRequiredSession, or choose EndUser", issuer)
	}
	return nil
}

// NewBackChannelLogout returns a handler for the back-channel logout of an OpenID provider (OpenID Connect Back-Channel
// Logout 1.0), to be registered there as backchannel_logout_uri. The issuer is the provider's, and also the one under which the
// app validates its access tokens; clientIDs are the app's, of which the logout token must name one; keyfunc and algorithms
// are as with revoke.NewValidator. It starts nothing. An error says which argument is wrong.
//
// A logout token must be signed, name issuer, audience, iat, jti, the logout event, and a user or a session, and have no
// nonce (§2.4, §2.6). Its exp may be missing, and then it is taken for an hour from its iat. Encrypted ones are refused.
//
// A user is logged out with revoke.Revoker.RevokeUserBefore, at the end of the second in the logout token's iat: a late delivery
// does not end a login made since, and a login of that very second has to be repeated. That is so for tokens that are judged by
// their iat, as a provider's are; under the claim rule later ones die as well (see revoke.Revoker.RevokeUserBefore).
//
// It answers 200 when the logout is durable, also to a delivery that is repeated, and 400 to whatever is no logout (§2.8; 501
// and 504 are of its drafts), 405 for another method and 413 for a body that is too large. With 503 and Retry-After nobody
// knows whether it is done: the store or the source of the keys did not answer, and a provider that tries again (§2.5) is
// served then. Nothing is written for a token that is not verified.
func NewBackChannelLogout(store revoke.Store, issuer string, clientIDs []string, keyfunc jwt.Keyfunc, algorithms []string,
	ends Ends, opts ...ReceiverOption,
) (http.Handler, error) {
	const operation = "NewBackChannelLogout"
	reader, err := newLogoutReader(issuer, clientIDs, keyfunc, algorithms)
	if err := errors.Join(err, ends.check(issuer)); err != nil {
		return nil, fmt.Errorf("revokehttp: %s: %w", operation, err)
	}
	shared, err := newReceiver(operation, "back-channel logout", store, opts)
	if err != nil {
		return nil, err
	}
	b := &backChannel{receiver: shared, reader: reader, scope: ends.scope}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.receive(w, r, http.StatusOK, func(r *http.Request) error { return b.logOut(w, r) })
	}), nil
}

type backChannel struct {
	receiver
	reader *logoutReader
	scope  revoke.Scope
}

func (b *backChannel) logOut(w http.ResponseWriter, r *http.Request) error {
	form, err := readForm(w, r, "logout_token")
	if err != nil {
		return err
	}
	text := form.Get("logout_token")
	if text == "" {
		return invalidRequest("logout_token is missing")
	}
	token, err := b.reader.read(text, time.Now())
	if err == nil {
		err = b.end(r.Context(), token)
	}
	// A token that this clock takes may be too old by the database's, and then Redeem says so.
	if errors.Is(err, revoke.ErrInvalidToken) && !errors.Is(err, revoke.ErrUnavailable) {
		return answering(invalidRequest("the logout token is not accepted"), err)
	}
	return err
}

// end redeems the logout and does it, both or neither. So whoever finds it redeemed knows that it is done: the
// transaction that redeemed it has committed, with the revocation in it.
func (b *backChannel) end(ctx context.Context, token logoutToken) error {
	issuer := b.reader.issuer
	var spent revoke.Token
	var end func(revoke.Revoker) error
	switch {
	case b.scope == revoke.ScopeSession && token.session != "":
		spent = token.spent(issuer, revoke.ScopeSession, token.session)
		end = func(tx revoke.Revoker) error {
			return tx.RevokeSession(ctx, revoke.Session{Issuer: issuer, ID: token.session}, b.record...)
		}
	case token.subject == "":
		return invalidRequest("a logout of a session alone is not supported, because access tokens do not name theirs; the logout token needs a sub")
	default:
		spent = token.spent(issuer, revoke.ScopeUser, token.subject)
		// An epoch at the iat would spare tokens of the same second, which may be older than the logout.
		before := token.issuedAt.Add(time.Second)
		end = func(tx revoke.Revoker) error {
			return tx.RevokeUserBefore(ctx, revoke.User{Issuer: issuer, Subject: token.subject}, before, b.record...)
		}
	}
	err := b.store.InTx(ctx, func(tx revoke.Revoker) error {
		if err := tx.Redeem(ctx, spent, b.record...); err != nil {
			return err
		}
		return end(tx)
	})
	if errors.Is(err, revoke.ErrRevoked) {
		return nil
	}
	return err
}
