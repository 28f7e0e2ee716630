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
package revokehttp
