package issuers

import "github.com/pgrevoke/revoke"

// Zitadel is for the access tokens of Zitadel, of clients that have the token type JWT. The
// issuer is the URL of the instance. The audience is the API's project id, which clients
// ask for by a scope.
//
// A token is revoked by its jti, a user by the sub. A sid is in ID tokens only, so there is no
// session: a device is logged out by its token in hand.
//
// ID tokens have the same keys and issuer, and their aud has the project id too. They have no jti,
// which is required, and tokens with an at_hash are refused.
//
// Logouts: signals.EndUser. The logout tokens have a sid, which access tokens lack. Stamps
// lie as far behind as the client's clock skew is set in Zitadel, 5 s at most. The default
// skew is kept, which costs so many seconds more until a sign-in after a revocation is
// accepted. The receiver wants signals.WithIssuerLag of the same span.
func Zitadel() []revoke.ValidatorOption {
	return []revoke.ValidatorOption{revoke.WithoutSession(), withoutClaim("at_hash")}
}
