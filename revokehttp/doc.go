// Package revokehttp puts revoke into net/http: middleware that lets in whoever presents a token that is accepted, cookies
// for browsers, logout, and the endpoints by which OAuth clients revoke tokens and ask about them.
//
//	guard, err := revokehttp.New(validator)
//	mux.Handle("/api/", guard.Require(api))
//
// Handlers read who it is from the context, with [Token] and [Claims]. The middleware has the shape that every router takes,
// func(http.Handler) http.Handler.
//
// Where the validator asks a mirror, give [Guard.Logout] and the endpoints the mirror's Store: what is revoked through it is refused
// by the next request to this process. Through the Postgres behind it the mirror would learn of it within its bound only.
//
// What a caller learns is what RFC 6750 wants them to learn: that a token is not accepted, not why. The reason goes to the
// function of [WithReport], and no error in this package contains a token.
//
// # Endpoints for clients
//
// [NewRevocation] is the endpoint of RFC 7009, and [NewIntrospection] that of RFC 7662. An app says how its clients authenticate,
// by an [AuthenticateClient], and what kinds of tokens it has, with a validator for each:
//
//	kinds := []revokehttp.Tokens{revokehttp.AccessTokens(access, client), revokehttp.RefreshTokens(refresh, client)}
//	revocation, err := revokehttp.NewRevocation(store, authenticate, kinds)
//	introspection, err := revokehttp.NewIntrospection(authenticate, kinds)
//
// The validators tell the kinds apart, for instance by revoke.WithTokenType. client is a function that returns the client to which a
// token was issued: others cannot revoke it.
//
// A revocation is answered with 200 when it is durable, or when there is nothing to revoke; introspection says {"active":false}
// when it is sure. What nobody can tell is 503 at both. Neither counts attempts: limit how often a client's secret may be guessed.
//
// # Logouts from elsewhere
//
// Where users sign in elsewhere, a logout arrives from there. [NewBackChannelLogout] receives those of OpenID providers such as
// Keycloak and Auth0, and [NewGlobalTokenRevocation] the requests of Okta's Universal Logout and of security tools. Both say
// that it is done only when it is durable; every service that validates against the same store then refuses the tokens, and one
// that asks a mirror within its bound.
package revokehttp
