package signals

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/absent"
	"github.com/pgrevoke/revoke/internal/endpoint"
	"github.com/pgrevoke/revoke/internal/known"
	"github.com/pgrevoke/revoke/internal/oneline"
)

// SessionValidator is a validator that can require a session of its tokens. A *revoke.Validator is
// one, and so is a *revoke.ValidatorSet.
type SessionValidator interface {
	// RequiresSession reports whether the validator is of this issuer and accepts only tokens that
	// have a session.
	RequiresSession(issuer string) bool
}

// Ends says what a back-channel logout ends: [EndSession] or [EndUser]. There is no default,
// because the choice depends on the claims of the provider's access tokens.
type Ends struct {
	scope     revoke.Scope
	validator SessionValidator
}

// EndSession ends the session that a logout names, and so every token that carries its sid. If
// the logout names a user only, every session of the user is ended (OpenID Connect Back-Channel
// Logout 1.0 §2.4).
//
// The validator is the one with which the app's services accept tokens. It must require a sid
// (revoke.WithRequiredSession), because a logout of a session cannot end a token without one.
// It should not have revoke.WithOptionalSubject, because a logout of a user cannot end a token
// without a sub. If it reads the session from another claim (revoke.WithClaimNames), that claim
// must hold the sid of the provider's logout tokens.
//
// Access tokens of Keycloak carry the sid of its logout tokens. Access tokens of Auth0 do not, and
// cannot be made to: choose EndUser.
func EndSession(validator SessionValidator) Ends { return Ends{revoke.ScopeSession, validator} }

// EndUser ends every session of the user, even if a logout names one of them only. It is for
// providers that issue access tokens without a sid. A logout that names no user is refused.
//
// Validators must not have revoke.WithOptionalSubject. The sub of access tokens must be the sub
// of logout tokens, which is the sub of ID tokens. Otherwise no token is revoked: with pairwise
// subjects, or with a login name in one and an id in the other, as Okta has.
func EndUser() Ends { return Ends{scope: revoke.ScopeUser} }

// check reports what is wrong with the choice.
func (e Ends) check(issuer string) error {
	switch {
	case e.scope == "":
		return errors.New("what a logout ends is not chosen: EndSession or EndUser")
	case e.scope == revoke.ScopeUser:
		return nil
	case absent.Is(e.validator):
		return errors.New("the validator of EndSession is nil")
	case !e.validator.RequiresSession(issuer):
		return fmt.Errorf("the validator of EndSession is not of issuer %q, or accepts tokens without a sid, which no logout "+
			"would end: see revoke.WithRequiredSession, or choose EndUser", issuer)
	}
	return nil
}

// NewBackChannelLogout returns a handler for the back-channel logout of an OpenID provider
// (OpenID Connect Back-Channel Logout 1.0). Register its URL at the provider as
// backchannel_logout_uri. issuer is the provider's, and the one under which the app validates
// its access tokens. clientIDs are the app's; a logout token must name one of them. keyfunc and
// algorithms are as for revoke.NewValidator. NewBackChannelLogout starts nothing. The error
// names the wrong argument or option.
//
// A logout token must be signed, must have issuer, audience, iat, jti, the logout event, and a
// user or a session, and must not have a nonce (§2.4, §2.6). If it has no exp, it expires an
// hour after its iat. An encrypted one is refused.
//
// A user is logged out with revoke.Revoker.RevokeUserBefore, at the end of the second in the
// logout token's iat, later by WithIssuerLag, but no later than the receipt of the delivery that
// is carried out, by this machine's clock. So a late delivery does not end a login that was made
// since; a login soon after the logout has to be repeated, for as long as the comment on
// revoke.WithIssuerSkew says. That holds for tokens that are judged by their iat, as a
// provider's are. Under the claim rule later tokens are revoked too: see
// revoke.Revoker.RevokeUserBefore.
//
//   - 200: the logout is durable. A repeated delivery gets 200 too.
//   - 400: the request is not a logout, or the logout token is not accepted (§2.8; the codes
//     501 and 504 are of its drafts). Nothing is written.
//   - 405: the method is not POST. 413: the body is larger than 64 KiB.
//   - 503 with Retry-After: the store or the source of the keys did not answer, and the outcome is
//     unknown. The provider may try again (§2.5).
func NewBackChannelLogout(store revoke.Store, issuer string, clientIDs []string, keyfunc jwt.Keyfunc, algorithms []string,
	ends Ends, opts ...Option,
) (http.Handler, error) {
	reader, err := newLogoutReader(issuer, clientIDs, keyfunc, algorithms)
	if err := oneline.Join(err, ends.check(issuer)); err != nil {
		return nil, failed(newBackChannelLogout, err)
	}
	shared, err := newReceiver(newBackChannelLogout, "back-channel logout", store, opts)
	if err != nil {
		return nil, failed(newBackChannelLogout, err)
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
	form, err := endpoint.ReadForm(w, r, "logout_token")
	if err != nil {
		return err
	}
	text := form.Get("logout_token")
	if text == "" {
		return endpoint.InvalidRequest("logout_token is missing")
	}
	received := time.Now()
	token, err := b.reader.read(text, received)
	if err == nil {
		err = known.With(b.end(r.Context(), token, received),
			revoke.Token{Issuer: b.reader.issuer, Subject: token.subject, SessionID: token.session})
	}
	// Redeem can refuse a token that this machine's clock accepts and the database's does not.
	if errors.Is(err, revoke.ErrInvalidToken) && !errors.Is(err, revoke.ErrUnavailable) {
		return endpoint.InvalidRequest("the logout token is not accepted").Because(err)
	}
	return err
}

// end redeems the logout token and revokes what it names, both or neither. So a token that is
// found redeemed was carried out: the transaction that redeemed it contains the revocation and
// has committed.
func (b *backChannel) end(ctx context.Context, token logoutToken, received time.Time) error {
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
		return endpoint.InvalidRequest("a logout of a session alone is not supported, because access tokens do not name theirs; the logout token needs a sub")
	default:
		spent = token.spent(issuer, revoke.ScopeUser, token.subject)
		before := token.instant(received, b.issuerLag)
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
