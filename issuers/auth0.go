package issuers

import "github.com/pgrevoke/revoke"

// Auth0Issuer returns the issuer of a tenant's domain, such as "tenant.eu.auth0.com", or of
// a custom domain. It ends in a slash.
func Auth0Issuer(domain string) string { return "https://" + domain + "/" }

// Auth0 is for the access tokens of an API with Auth0's own token profile, which is the default.
//
// These tokens have no jti: a token is revoked by its derived id (revoke.WithDerivedID).
// They have no session either. A device is logged out by its token in hand, and its refresh
// token is revoked at Auth0.
//
// The audience is the identifier of the API, and keeps ID tokens out: they have the client's id as
// aud. The claim azp, which Auth0 documents for access tokens only, is demanded beside it.
//
// Logouts: signals.EndUser. The logout tokens have a sid, which access tokens lack. The skew is the
// default.
func Auth0() []revoke.ValidatorOption {
	return []revoke.ValidatorOption{revoke.WithDerivedID(), withClaim("azp")}
}

// Auth0RFC9068 is for the access tokens of an API with Auth0's RFC 9068 token profile.
//
// A token is revoked by its jti, a user by the sub. There is no session: see [Auth0], also for
// audience and logouts. The header's typ "at+jwt" keeps ID tokens out.
func Auth0RFC9068() []revoke.ValidatorOption {
	return []revoke.ValidatorOption{revoke.WithTokenType("at+jwt"), withClaim("client_id")}
}
