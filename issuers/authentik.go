package issuers

import "github.com/pgrevoke/revoke"

// Authentik is for the access tokens of an OAuth2 provider of authentik. The issuer is the
// provider's, such as https://authentik.example/application/o/app/, with the slash. The
// audience is the client's id.
//
// A token is revoked by the claim uid, which is random in each access token. A session is the sid,
// which stands for the sign-in of a browser; tokens of services have none. A user is revoked by the
// sub, which is what the provider's subject mode says. Choose one that does not change: an e-mail
// address does.
//
// ID tokens have the same keys, issuer and audience, and the same claims but for uid and
// azp. Both are demanded. A property mapping that adds a uid and an azp to ID tokens
// defeats that, so tokens with an at_hash are refused too.
//
// Logouts: signals.EndSession, with revoke.WithRequiredSession, or where services have
// tokens too with revoke.WithRequiredSessionExcept. The logout tokens have the sid, from
// the version 2025.8 on. That their sub follows the subject mode is not confirmed, so
// signals.EndUser may end nothing. A session goes on at authentik after a logout of the
// app's own: give revokehttp.Guard.Logout revokehttp.WithScopes(revoke.ScopeToken), or
// revokehttp.WithEndSession, so that the next sign-in is accepted. The skew is the default.
func Authentik() []revoke.ValidatorOption {
	return []revoke.ValidatorOption{
		revoke.WithClaimNames(revoke.ClaimNames{ID: "uid"}), withClaim("azp"), withoutClaim("at_hash"),
	}
}
