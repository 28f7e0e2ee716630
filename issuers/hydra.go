package issuers

import "github.com/pgrevoke/revoke"

// Hydra is for the access tokens of Ory Hydra with the strategy "jwt"; by default they are
// opaque. The issuer is the URL that is configured there, with the slash at the end if it
// has one. Where clients request no audience, aud is an empty array, and the audience is
// revoke.AnyAudience.
//
// A token is revoked by its jti, a user by the sub. There is no session: a device is logged out by
// its token in hand.
//
// ID tokens have the same keys and issuer. The claim client_id is in access tokens only, and tokens
// with an at_hash are refused. A consent app that adds a client_id to ID tokens defeats the first.
//
// Logouts: signals.EndUserOf, because the logout tokens name a session only. The app stores
// the user of each sid at sign-in. The skew is the default.
func Hydra() []revoke.ValidatorOption {
	return []revoke.ValidatorOption{revoke.WithoutSession(), withClaim("client_id"), withoutClaim("at_hash")}
}
