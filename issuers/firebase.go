package issuers

import "github.com/pgrevoke/revoke"

// FirebaseIssuer returns the issuer of a project's ID tokens.
func FirebaseIssuer(project string) string { return "https://securetoken.google.com/" + project }

// Firebase is for the ID tokens of Firebase Authentication, which are the tokens that its
// clients send to an API. The audience is the project's id.
//
// They have no jti: a token is revoked by its derived id (revoke.WithDerivedID), a user by
// the sub. They have no session: a device is logged out by its token in hand, and the
// client drops its refresh token. The other devices' tokens cannot be told apart;
// RevokeUser ends all.
//
// Every token of this issuer is an ID token. Session cookies have another issuer, and custom tokens
// other keys.
//
// Logouts: Firebase sends none. Call RevokeUser where the app revokes refresh tokens at Firebase.
// Stamps have been seen about 1 s ahead, which the default skew of 5 s covers.
func Firebase() []revoke.ValidatorOption {
	return []revoke.ValidatorOption{revoke.WithDerivedID()}
}
