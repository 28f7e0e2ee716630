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

// Ends says what a back-channel logout ends: [EndSession], [EndUser] or [EndUserOf]. There
// is no default, because the choice depends on the claims of the provider's access tokens.
type Ends struct {
	scope     revoke.Scope
	validator SessionValidator
	find      FindUser
	finds     bool // EndUserOf
}

// FindUser returns the user of a provider's session. The app stores both when the user signs in,
// from the claims sub and sid of the ID token, and keeps them for as long as tokens of the session
// are accepted. The error matches [ErrUnknownUser] if the app does not know the session, and is
// answered with 400 then. Any other error is answered with 503. A FindUser is called from several
// goroutines. ctx ends after 10 s.
type FindUser func(ctx context.Context, session revoke.Session) (revoke.User, error)

// EndSession ends the session that a logout names, and so every token that carries its sid. If
// the logout names a user only, every session of the user is ended (OpenID Connect Back-Channel
// Logout 1.0 §2.4).
//
// It is for a provider that sends a logout for each session that has ended. Keycloak sends
// one, with the sid of one session, where an administrator ends all sessions of a user: the
// others would stay alive, so for Keycloak choose EndUser.
//
// The validator is the one with which the app's services accept tokens. It must require a sid
// (revoke.WithRequiredSession), because a logout of a session cannot end a token without one. Where
// service accounts have tokens without a sid it has revoke.WithRequiredSessionExcept instead; such
// a token is ended by itself, or with its user.
// It should not have revoke.WithOptionalSubject, because a logout of a user cannot end a token
// without a sub. If it reads the session from another claim (revoke.WithClaimNames), that claim
// must hold the sid of the provider's logout tokens.
//
// Access tokens of authentik carry the sid of its logout tokens. Those of Auth0 do not, and cannot
// be made to: choose EndUser.
func EndSession(validator SessionValidator) Ends {
	return Ends{scope: revoke.ScopeSession, validator: validator}
}

// EndUser ends every session of the user, even if a logout names one of them only. It is for
// providers that issue access tokens without a sid, and for Keycloak: see EndSession. The user's
// other devices sign in once more. A logout that names no user is refused: see EndUserOf.
//
// Validators must not have revoke.WithOptionalSubject. The sub of access tokens must be the sub
// of logout tokens, which is the sub of ID tokens. Otherwise no token is revoked: with pairwise
// subjects, or with a login name in one and an id in the other, as Okta has.
func EndUser() Ends { return Ends{scope: revoke.ScopeUser} }

// EndUserOf is EndUser for providers with logouts that name a session only, such as Ory Hydra:
// find returns its user. A logout that names the user does not call find.
func EndUserOf(find FindUser) Ends {
	return Ends{scope: revoke.ScopeUser, find: find, finds: true}
}

// check reports what is wrong with the choice.
func (e Ends) check(issuer string) error {
	switch {
	case e.scope == "":
		return errors.New("what a logout ends is not chosen: EndSession, EndUser or EndUserOf")
	case e.finds && e.find == nil:
		return errors.New("the function of EndUserOf is nil")
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

// BackChannelLogout receives the logouts of one OpenID provider. It is an [http.Handler], and may
// be used from several goroutines. [NewBackChannelLogoutSet] joins several.
type BackChannelLogout struct {
	receiver
	reader *logoutReader
	ends   Ends
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
) (*BackChannelLogout, error) {
	reader, err := newLogoutReader(issuer, clientIDs, keyfunc, algorithms)
	if err := oneline.Join(err, ends.check(issuer)); err != nil {
		return nil, failed(newBackChannelLogout, err)
	}
	shared, err := newReceiver(newBackChannelLogout, "back-channel logout", store, opts)
	if err == nil {
		err = shared.checkAliases(issuer)
	}
	if err != nil {
		return nil, failed(newBackChannelLogout, err)
	}
	reader.nameOf = shared.issuerNamed
	return &BackChannelLogout{receiver: shared, reader: reader, ends: ends}, nil
}

// ServeHTTP implements [http.Handler].
func (b *BackChannelLogout) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := readLogoutToken(w, r)
	b.answer(w, r, text, err)
}

// answer carries out the logout, unless err is not nil.
func (b *BackChannelLogout) answer(w http.ResponseWriter, r *http.Request, text string, err error) {
	b.receive(w, r, http.StatusOK, func(r *http.Request) error {
		if err != nil {
			return err
		}
		return b.logOut(r.Context(), text)
	})
}

// readLogoutToken returns the logout token of a request, of which nothing is verified.
func readLogoutToken(w http.ResponseWriter, r *http.Request) (string, error) {
	form, err := endpoint.ReadForm(w, r, "logout_token")
	if err != nil {
		return "", err
	}
	text := form.Get("logout_token")
	if text == "" {
		return "", endpoint.InvalidRequest("logout_token is missing")
	}
	return text, nil
}

func (b *BackChannelLogout) logOut(ctx context.Context, text string) error {
	received := time.Now()
	token, err := b.reader.read(text, received)
	if err == nil {
		err = known.With(b.end(ctx, token, received),
			revoke.Token{Issuer: b.reader.issuer, Subject: token.subject, SessionID: token.session})
	}
	// Redeem can refuse a token that this machine's clock accepts and the database's does not.
	if errors.Is(err, revoke.ErrInvalidToken) && !errors.Is(err, revoke.ErrUnavailable) {
		return notAccepted(err)
	}
	return err
}

// notAccepted is the answer to a logout token that is not accepted.
func notAccepted(cause error) error {
	return endpoint.InvalidRequest("the logout token is not accepted").Because(cause)
}

// userOf returns the user of a session.
func (e Ends) userOf(ctx context.Context, session revoke.Session) (revoke.User, error) {
	user, err := e.find(ctx, session)
	switch {
	case err == nil:
		return user, nil
	case errors.Is(err, ErrUnknownUser) && !errors.Is(err, revoke.ErrUnavailable):
		return revoke.User{}, endpoint.InvalidRequest("the session is not known").Because(withoutSentinel(err))
	}
	return revoke.User{}, fmt.Errorf("%w: finding the user of a session: %w", revoke.ErrUnavailable, withoutSentinel(err))
}

// withoutSentinel returns an error of the app's as text only if it matches an error of a token: it
// says nothing about the logout token.
func withoutSentinel(err error) error {
	if errors.Is(err, revoke.ErrRevoked) || errors.Is(err, revoke.ErrInvalidToken) {
		return errors.New(err.Error())
	}
	return err
}

// end redeems the logout token and revokes what it names, both or neither. So a token that is
// found redeemed was carried out: the transaction that redeemed it contains the revocation and
// has committed.
func (b *BackChannelLogout) end(ctx context.Context, token logoutToken, received time.Time) error {
	issuer := b.reader.issuer
	var spent revoke.Token
	var end func(revoke.Revoker) error
	switch {
	case b.ends.scope == revoke.ScopeSession && token.session != "":
		spent = token.spent(issuer, revoke.ScopeSession, token.session)
		end = func(tx revoke.Revoker) error {
			return tx.RevokeSession(ctx, revoke.Session{Issuer: issuer, ID: token.session}, b.record...)
		}
	case token.subject == "" && !b.ends.finds:
		return endpoint.InvalidRequest("a logout of a session alone is not supported, because access tokens do not name theirs; the logout token needs a sub")
	default:
		user := revoke.User{Issuer: issuer, Subject: token.subject}
		spent = token.spent(issuer, revoke.ScopeUser, token.subject)
		var unknown error
		if token.subject == "" {
			spent = token.spent(issuer, revoke.ScopeSession, token.session)
			user, unknown = b.ends.userOf(ctx, revoke.Session{Issuer: issuer, ID: token.session})
		}
		before := token.instant(received, b.issuerLag)
		end = func(tx revoke.Revoker) error {
			if unknown != nil { // after Redeem: a session that was logged out may be forgotten
				return unknown
			}
			return tx.RevokeUserBefore(ctx, user, before, b.record...)
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
