package issuers

import (
	"time"

	"github.com/pgrevoke/revoke"
)

// EntraIssuer returns the issuer of the v2.0 tokens of a tenant, by the tenant's id. An API for
// several tenants has one validator for each: see revoke.NewValidatorSet.
func EntraIssuer(tenant string) string {
	return "https://login.microsoftonline.com/" + tenant + "/v2.0"
}

// Entra is for the v2.0 access tokens of Microsoft Entra ID, of users and of apps. [EntraUser] and
// [EntraApp] accept one of the two. The audience is the API's client id. v2.0 tokens are issued for
// an API of which the manifest sets the version 2.
//
// A token is revoked by the claim uti, and a user by the oid, which is the same in every
// API. The sub differs from API to API. The oid of an app's token is that of its service
// principal. A sid is not read: it is documented as optional, and as the sign-in of a
// browser, to which the next sign-in belongs as well.
//
// Stamps are 300 s behind the true time. So the skew is -295 s: with the default, tokens of
// a sign-in within five minutes of a revocation would be refused. Stamps may scatter by 5
// s. A token that is stamped with the true time is refused for its first 295 s; a tenant
// with such tokens appends revoke.WithIssuerSkew(revoke.DefaultIssuerSkew), which replaces
// this one.
//
// A token that lists groups has up to 200 of them, and some 12 KiB, so the limit of its size is 16
// KiB. It fits into no cookie. Beyond 200 Entra writes a link to them in place of the list.
//
// ID tokens have uti, oid and ver too, and the same aud where client and API are one
// registration. The claim azp is in access tokens only.
//
// Logouts: Entra sends none on the back channel. Where a gateway before it does,
// signals.WithIssuerLag(5 * time.Minute) belongs to signals.EndUser, and the sub of the
// logout must be the oid.
func Entra() []revoke.ValidatorOption {
	return []revoke.ValidatorOption{
		revoke.WithClaimNames(revoke.ClaimNames{ID: "uti", Subject: "oid"}),
		revoke.WithoutSession(),
		revoke.WithIssuerSkew(-295 * time.Second),
		revoke.WithMaxTokenSize(16 << 10),
		withClaim("ver", "2.0"),
		withClaim("azp"),
	}
}

// EntraUser is [Entra] for the tokens of users, which have the claim scp.
func EntraUser() []revoke.ValidatorOption { return append(Entra(), withClaim("scp")) }

// EntraApp is [Entra] for the tokens of apps that act for themselves, which have no scp.
// What the app may do is in roles, which the API checks. RevokeUser with the oid ends all
// tokens of the app.
func EntraApp() []revoke.ValidatorOption { return append(Entra(), withoutClaim("scp")) }
