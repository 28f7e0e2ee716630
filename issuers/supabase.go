package issuers

import "github.com/pgrevoke/revoke"

// SupabaseIssuer returns the issuer of a hosted project, by its reference.
func SupabaseIssuer(project string) string { return "https://" + project + ".supabase.co/auth/v1" }

// Supabase is for the access tokens of Supabase Auth. The audience is "authenticated".
//
// They have no jti by default: a token is revoked by its derived id (revoke.WithDerivedID),
// or by a jti that a hook has added. A session is the claim session_id, which every token
// of a device has and keeps over refreshes, so it is required. A user is revoked by the
// sub. Anonymous users have tokens of the same kind, with the claim is_anonymous. The keys
// "anon" and "service_role" are another issuer's, and are refused.
//
// The claims role and session_id are documented for every access token. ID tokens, which a
// project has only as an OAuth server, have the client's id as aud. That they lack the two
// is not confirmed, so keep the audience.
//
// Logouts: Supabase sends none. A sign-out there ends the refresh token; call RevokeSession beside
// it. The skew is the default.
func Supabase() []revoke.ValidatorOption {
	return []revoke.ValidatorOption{
		revoke.WithClaimNames(revoke.ClaimNames{Session: "session_id"}),
		revoke.WithRequiredSession(),
		revoke.WithDerivedID(),
		withClaim("role"),
	}
}
