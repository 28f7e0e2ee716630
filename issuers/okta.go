package issuers

import "github.com/pgrevoke/revoke"

// Okta is for the access tokens of a custom authorization server of Okta. The issuer is its
// URL, such as https://example.okta.com/oauth2/default, and the audience is the one that is
// set there, such as api://default.
//
// A token is revoked by its jti, and a user by the claim uid, which is the user's id. The
// sub is the login by default, which can change and be given to another user, and so is not
// read. There is no session in these tokens.
//
// Tokens of services have no uid, and are refused. With revoke.WithOptionalSubject they are
// accepted, and are revoked by their jti or with the issuer. ID tokens have no cid, which
// is demanded, and the client's id as aud.
//
// Logouts: signals.NewGlobalTokenRevocation receives Okta's Universal Logout, with a Resolver that
// returns the user's id under this issuer. signals.EndUser fits back-channel logouts if their sub
// is the user's id, as that of ID tokens is; this is not confirmed. The skew is the default.
func Okta() []revoke.ValidatorOption {
	return []revoke.ValidatorOption{revoke.WithClaimNames(revoke.ClaimNames{Subject: "uid"}), withClaim("cid")}
}

// OktaOrg is for the ID tokens of the org authorization server of Okta, of which the issuer
// is the URL of the organisation, such as https://example.okta.com. Its access tokens are
// for Okta's own APIs: no other API can verify them, because their keys are not published.
// So the ID token is what an app without a custom authorization server has. The audience is
// the client's id.
//
// A token is revoked by its jti, a user by the sub, which is the user's id. There is no session. An
// ID token is no access token: it has no scopes, and every client that learns one can present it.
// Tokens with a cid are refused, which are access tokens.
//
// Logouts are those of [Okta]. The skew is the default.
func OktaOrg() []revoke.ValidatorOption {
	return []revoke.ValidatorOption{withoutClaim("cid")}
}
