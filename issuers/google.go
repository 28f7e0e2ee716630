package issuers

import "github.com/pgrevoke/revoke"

// GoogleIssuer is the issuer of Google's ID tokens. [Google] accepts it without https:// too.
const GoogleIssuer = "https://accounts.google.com"

// Google is for the ID tokens of Sign in with Google, of which the audience is the app's client id.
// Google's access tokens are no JWTs.
//
// A token is revoked by its jti or, where it has none, by its derived id
// (revoke.WithDerivedID); a user by the sub. There is no session: a device is logged out by
// its token in hand.
//
// The audience alone keeps the tokens of other clients out, which any Google user can obtain. So
// revoke.AnyAudience must not be used with it. An app that only signs in by Google, and then issues
// tokens of its own, revokes its own.
//
// Logouts: Google sends none on the back channel. The skew is the default.
func Google() []revoke.ValidatorOption {
	return []revoke.ValidatorOption{revoke.WithIssuerAliases("accounts.google.com"), revoke.WithDerivedID()}
}
