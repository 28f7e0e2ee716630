// Package oauth has the endpoints by which OAuth clients and resource servers deal with tokens
// that were issued: [NewRevocation] revokes them (RFC 7009), [NewIntrospection] says whether they
// are accepted (RFC 7662), and [NewToken] refreshes the sessions of package session (RFC 6749 §6).
// All are http.Handlers.
//
// An app supplies an [AuthenticateClient], which knows its clients, and the kinds of tokens that it
// has, with a validator for each:
//
//	kinds := []oauth.Tokens{oauth.AccessTokens(access), oauth.RefreshTokens(refresh)}
//	revocation, err := oauth.NewRevocation(store, authenticate, kinds)
//	…
//	introspection, err := oauth.NewIntrospection(authenticate, kinds)
//	…
//	mux.Handle("/revoke", revocation)
//	mux.Handle("/introspect", introspection)
//
// The validators must tell the kinds apart, for instance with revoke.WithTokenType. A client can
// revoke only tokens that were issued to it: see [WithClientClaim].
//
// If the validators ask a mirror, give NewRevocation the mirror's Store. Then this process
// refuses a revoked token at once; otherwise it does so within the mirror's bound.
//
// A revocation is answered with 200 when it is durable, or when there is nothing to revoke. An
// introspection is answered with {"active":false} only if the token is certainly not accepted.
// If the outcome is unknown, all answer 503. None counts attempts: limit how often a
// client's secret may be guessed. No error of this package contains a token or a secret.
package oauth
