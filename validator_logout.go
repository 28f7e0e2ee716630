package revoke

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke/internal/oneline"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// WithRequiredSession refuses tokens that have no sid, or none of the claim that is
// ClaimNames.Session, with jwt.ErrTokenRequiredClaimMissing: for an issuer that ends sessions at
// logout, and would leave such a token alive. It says that sid is a session, so by default a logout
// ends it too: see [Validator.LogoutScopes], and revokehttp.WithScopes for a session of single
// sign-on, which goes on at the provider. Default: a token without sid is not part of any session.
func WithRequiredSession() ValidatorOption {
	return validatorOption(func(c *validatorConfig) error { c.session, c.sessionless = true, nil; return nil })
}

// WithRequiredSessionExcept is [WithRequiredSession] for an issuer of which some tokens
// belong to no user's session, such as those of service accounts. A token without a session
// is accepted if sessionless returns nil, which it does for what only such a token has: a
// claim that no user's token can have. Another error refuses the token, as that of
// [WithClaimsCheck] does. A token that has a session is not shown to it.
//
// An accepted token without a session is ended by itself or with its user. No logout of a session
// reaches it.
func WithRequiredSessionExcept(sessionless func(ctx context.Context, verified *Verified) error) ValidatorOption {
	return validatorOption(func(c *validatorConfig) error {
		if sessionless == nil {
			return errors.New("the function for tokens without a session is nil")
		}
		c.session, c.sessionless = true, sessionless
		return nil
	})
}

// checkSession refuses a token without a session that is not one of the exceptions.
func (v *Validator) checkSession(ctx context.Context, verified *Verified) error {
	if verified.SessionID != "" {
		return nil
	}
	err := v.sessionless(ctx, verified)
	if err == nil || isOutage(err) {
		return err
	}
	return fmt.Errorf("%w: %q: %w", jwt.ErrTokenRequiredClaimMissing, v.names.Session, err)
}

// RequiresSession reports whether this validator keeps its tokens under this issuer and accepts
// only those that have a session, but for the exceptions of [WithRequiredSessionExcept]: see
// [WithRequiredSession]. It is false for an alias of the issuer, because no token's session is
// found under an alias. A handler that answers a logout by ending a session demands it, because
// revoking a session cannot end a token that carries none.
func (v *Validator) RequiresSession(issuer string) bool {
	return v != nil && v.session && v.issuer == issuer
}

// LogoutScopes returns what a logout of a token that this validator accepts ends, unless the app
// chooses: the token; and its session too where the app has said what a session is, by
// [WithRequiredSession], by ClaimNames.Session, or by the options for tokens of its own,
// [WithEpochClaim], [WithOptionalEpochClaim] and [WithIssueTime]. A sid of which the app has said
// nothing may be that of a provider with single sign-on. Such a session goes on after the logout:
// the user's next sign-in has the same sid, and would be refused. The error is nil. It is for
// handlers of logouts. It does not read the token, and so it does not ask whether it was revoked.
func (v *Validator) LogoutScopes(_ context.Context, _ string) ([]Scope, error) {
	return v.logoutScopes(), nil
}

func (v *Validator) logoutScopes() []Scope {
	ownTokens := v.epochClaim || v.issueTime
	if !v.withoutSession && (v.session || v.namedSession || ownTokens) {
		return []Scope{ScopeToken, ScopeSession}
	}
	return []Scope{ScopeToken}
}

// CheckLogout reports why a logout that revokes these scopes could not end some of the tokens that
// this validator accepts: [ScopeToken], [ScopeSession] or both, where a token without a session is
// ended by itself; or [ScopeUser]. Without scopes they are those of [Validator.LogoutScopes]. It is
// for the constructors of handlers of logouts.
func (v *Validator) CheckLogout(scopes ...Scope) error {
	if len(scopes) == 0 {
		scopes = v.logoutScopes()
	}
	bySession := slices.Contains(scopes, ScopeSession)
	haveID := !v.optional.id || v.derivedID
	haveSession := v.session && v.sessionless == nil
	for _, scope := range scopes {
		if scope != ScopeToken && scope != ScopeSession && scope != ScopeUser {
			return fmt.Errorf("a logout ends none of scope %q", string(scope))
		}
	}
	switch {
	case slices.Contains(scopes, ScopeUser):
		if v.optional.subject {
			return fmt.Errorf("a logout of the user could not end tokens of issuer %q that have no %q, which "+
				"WithOptionalSubject accepts: leave it out, or have another validator for this logout", v.issuer, v.names.Subject)
		}
	case bySession && v.withoutSession && !slices.Contains(scopes, ScopeToken):
		return fmt.Errorf("a logout of the session could not end tokens of issuer %q: WithoutSession ignores their session", v.issuer)
	case !haveID && (!bySession || !haveSession):
		return fmt.Errorf("a logout could not end tokens of issuer %q that have no %q, which WithOptionalID accepts: "+
			"see WithDerivedID, or end the session, with WithRequiredSession", v.issuer, v.names.ID)
	}
	return nil
}

// LogoutScopes is [Validator.LogoutScopes] of the validator that the token's iss picks. Its errors
// are those of [ValidatorSet.Identify] of a token that picks none. It does not ask whether it was
// revoked.
func (s *ValidatorSet) LogoutScopes(ctx context.Context, text string) ([]Scope, error) {
	v, err := s.pick(ctx, "LogoutScopes", text)
	if err != nil {
		return nil, err
	}
	return v.LogoutScopes(ctx, text)
}

// CheckLogout is [Validator.CheckLogout] of each validator of the set. Those that the function for
// tenants supplies are not known before their tokens come, and are not asked.
func (s *ValidatorSet) CheckLogout(scopes ...Scope) (err error) {
	for _, v := range s.members {
		err = oneline.Join(err, v.CheckLogout(scopes...))
	}
	return err
}

// actor returns the user that the claim act names (RFC 8693 §4.1): by the claim of subjects, and by
// sub where act lacks that.
func (v *Validator) actor(act string) (User, error) {
	user := User{Issuer: v.issuer}
	for _, name := range []string{v.names.Subject, registeredNames.Subject} {
		read, err := strictjwt.ReadClaims(act, []strictjwt.Claim{
			{Name: "iss", As: "iss", Optional: true},
			{Name: name, As: "sub", Optional: true, Number: v.names.Numbers},
		})
		if err != nil {
			return User{}, fmt.Errorf("%w: in the claim %q: %w", jwt.ErrTokenInvalidClaims, strictjwt.ActorClaim, err)
		}
		if read.Issuer != "" && !v.isNamed(read.Issuer) {
			user.Issuer = read.Issuer
		}
		if user.Subject = read.Subject; user.Subject != "" {
			break
		}
	}
	return user, nil
}

// checkActor refuses a token of which the actor was revoked.
func (v *Validator) checkActor(ctx context.Context, token Token) error {
	actors, ok := token.OfActor(v.checker)
	if !ok {
		return nil
	}
	if err := v.checker.Check(ctx, actors); err != nil {
		return fmt.Errorf("the actor of the token: %w", err)
	}
	return nil
}
