// Package revokehttp protects net/http handlers with revocable tokens: middleware, cookies for
// browsers, and logout.
//
// Start with [NewGuard], which takes a *revoke.Validator. [Guard.Require] wraps a handler:
//
//	guard, err := revokehttp.NewGuard(validator)
//	…
//	logout, err := guard.Logout(store)
//	…
//	mux.Handle("/api/", guard.Require(api))
//	mux.Handle("/logout", logout)
//
// A handler behind Require gets the token from the context:
//
//	token, _ := revokehttp.TokenFromContext(r.Context())
//	fmt.Fprintln(w, "hello", token.Subject)
//
// The token's method Claims decodes further claims. Require has the shape that routers call
// middleware, func(http.Handler) http.Handler.
//
// For browsers, [WithCookie] accepts the token from a cookie too, [Guard.SetCookie] sets it, and
// [Guard.RequireSameOrigin] protects the sign-in. [WithSignInPage], [WithRedirect] and
// [WithEndSession] answer pages and forms with redirects. docs/http.md has more about caches,
// cookies, forms and CORS.
//
// [Refresh] keeps browsers signed in with the sessions of package session: a refresh token in a
// cookie, pages that refresh without a script, and a logout by either token.
//
// If the validator asks a mirror, give Logout the mirror's Store. Then the next request to this
// process is refused; a logout through the Postgres behind the mirror reaches it only within the
// mirror's bound.
//
// A [Watcher] ends streams when their token ends. [Guard.ForwardAuth] is for proxies that ask about
// each request.
//
// A caller is told that a token is not accepted, and not why (RFC 6750). The reason goes to the
// function of [WithReport]; [LogTo] makes one that logs it, with the names of a token that has a
// verified signature. No error of this package contains a token.
//
// Package oauth has the endpoints by which OAuth clients revoke and introspect tokens. Package
// signals receives logouts from identity providers.
package revokehttp
