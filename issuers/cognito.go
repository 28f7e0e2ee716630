package issuers

import "github.com/pgrevoke/revoke"

// CognitoIssuer returns the issuer of a user pool, such as of "eu-central-1" and
// "eu-central-1_a1B2c3".
func CognitoIssuer(region, userPool string) string {
	return "https://cognito-idp." + region + ".amazonaws.com/" + userPool
}

// Cognito is for the access tokens of an Amazon Cognito user pool, which are issued to one of these
// clients. They have no aud, so the audience is revoke.AnyAudience, and the claim client_id decides
// in its place.
//
// A token is revoked by its jti, and a user by the sub. A session is the claim origin_jti:
// all tokens that one refresh token has made, so one device. It is absent where token
// revocation is off for the client, and in tokens of services.
//
// ID tokens have the same keys and issuer, and a client's id as aud. The claim token_use tells them
// apart: it is "access" or "id".
//
// Logouts: Cognito sends none. A sign-out there revokes refresh tokens; call RevokeSession or
// RevokeUser beside it. The skew is the default.
func Cognito(clientID string, more ...string) []revoke.ValidatorOption {
	return []revoke.ValidatorOption{
		revoke.WithClaimNames(revoke.ClaimNames{Session: "origin_jti"}),
		withClaim("token_use", "access"),
		withClaim("client_id", append([]string{clientID}, more...)...),
	}
}
