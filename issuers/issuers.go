// Package issuers has presets: the options of revoke.NewValidator for the tokens of well-known
// issuers. A preset says how the issuer writes the identity of its tokens, how far its stamps are
// from the true time, and what tells its access tokens from its ID tokens. Its comment says what
// can be revoked and what cannot.
//
//	validator, err := revoke.NewValidator(store, issuer, audience, keyfunc, algorithms,
//		issuers.Keycloak()...)
//
// Further options are appended. The audience and the algorithms stay the app's choice. The tokens
// are those that the issuers document, with the claims that they have unless they are configured
// otherwise. Tokens that are configured to lack one are refused. docs/issuers.md compares the
// presets in tables.
//
// Some things hold for every issuer. A user is revoked by revoke.Revoker.RevokeUser, with
// the subject that the preset reads. All users are revoked by RevokeIssuer. A refresh token
// stays at the issuer: revoke or delete it there, or else it makes new access tokens, which
// are newer than the revocation. A user who must stay out is blocked at the issuer, or by
// the app. A change from other options to a preset, or back, revives what was revoked, if
// it changes the identity of tokens: see revoke.NewValidator.
//
// A session that an issuer names is its own, and goes on there after the app has revoked it. The
// next sign-in may then have the same session, and its tokens are refused. So a logout that ends a
// session should end it at the issuer too (OpenID Connect RP-Initiated Logout 1.0).
package issuers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/pgrevoke/revoke"
)

// withClaim refuses tokens that do not have the claim as a string, not empty and one of the values.
// Without values every string is good.
func withClaim(name string, values ...string) revoke.ValidatorOption {
	return revoke.WithClaimsCheck(func(_ context.Context, verified *revoke.Verified) error {
		raw, err := verified.Claim(name)
		if err != nil {
			return err
		}
		var text string
		if json.Unmarshal(raw, &text) != nil || text == "" || len(values) > 0 && !slices.Contains(values, text) {
			return fmt.Errorf("the claim %q is not that of an access token", name)
		}
		return nil
	})
}

// withoutClaim refuses tokens that have the claim.
func withoutClaim(name string) revoke.ValidatorOption {
	return revoke.WithClaimsCheck(func(_ context.Context, verified *revoke.Verified) error {
		raw, err := verified.Claim(name)
		if err == nil && raw != nil {
			err = fmt.Errorf("the token has the claim %q, which belongs to another kind of token", name)
		}
		return err
	})
}
