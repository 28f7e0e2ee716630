package issuers

import "github.com/pgrevoke/revoke"

// Keycloak is for the access tokens of a Keycloak realm. The issuer is the URL of the
// realm, such as https://keycloak.example/realms/app. A realm with a second host name has
// revoke.WithIssuerAliases.
//
// A token is revoked by its jti, a session by its sid, a user by the sub. The session is
// that of the browser at Keycloak, to which the next sign-in belongs too, so
// revokehttp.Guard.Logout ends the token alone unless the app chooses otherwise: see
// revokehttp.WithScopes. Tokens of service accounts have no sid. They are refused with
// revoke.WithRequiredSession, and accepted beside it with revoke.WithRequiredSessionExcept.
//
// ID tokens have the same keys and issuer, and may have the same audience. The claim typ tells them
// apart: it is "Bearer" in an access token and "ID" in an ID token. A token that is bound by DPoP
// has the typ "DPoP", and is refused.
//
// By default aud is "account", or absent. The API's name gets there by an audience mapper
// of a client scope. Tokens without sub are refused: their client lacks the client scope
// "basic", or has lightweight access tokens without that claim.
//
// Logouts: signals.EndUser. Where an admin ends all sessions of a user, Keycloak sends a
// logout of one session, so signals.EndSession would leave the others alive. EndUser needs
// the public sub, not a pairwise one. The skew is the default.
func Keycloak() []revoke.ValidatorOption {
	return []revoke.ValidatorOption{withClaim("typ", "Bearer")}
}
