// Package revokehttp puts revoke into net/http: middleware that lets in whoever presents a token that is accepted, and cookies
// for browsers.
//
//	guard, err := revokehttp.New(validator)
//	mux.Handle("/api/", guard.Require(api))
//
// Handlers read who it is from the context, with [Token] and [Claims]. The middleware has the shape that every router takes,
// func(http.Handler) http.Handler.
//
// What a caller learns is what RFC 6750 wants them to learn: that a token is not accepted, not why. The reason goes to the
// function of [WithReport], and no error in this package contains a token.
//
// Where users sign in elsewhere, a logout arrives from there. [NewBackChannelLogout] receives those of OpenID providers such as
// Keycloak and Auth0, and [NewGlobalTokenRevocation] the requests of Okta's Universal Logout and of security tools. Both say
// that it is done only when it is durable; every service that validates against the same store then refuses the tokens.
package revokehttp
