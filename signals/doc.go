// Package signals receives logouts from elsewhere, and revokes the tokens that they end. Each is an
// http.Handler:
//
//   - [NewBackChannelLogout] receives the logouts of OpenID providers, such as Keycloak and Auth0
//     (OpenID Connect Back-Channel Logout 1.0). [NewBackChannelLogoutSet] receives those of
//     several.
//   - [NewGlobalTokenRevocation] receives the requests by which identity providers and security
//     tools log a user out of everything, such as Okta's Universal Logout
//     (draft-parecki-oauth-global-token-revocation).
//
// For users who sign in at a provider, start with the first:
//
//	validator, err := revoke.NewValidator(store, issuer, audience, keyfunc, algorithms,
//		issuers.Keycloak()...)
//	…
//	logout, err := signals.NewBackChannelLogout(store, issuer, clientIDs, keyfunc, algorithms,
//		signals.EndUser())
//	…
//	mux.Handle("/backchannel-logout", logout)
//
// [EndUser] ends all that the user has. It fits most providers: where an administrator ends
// all sessions of a user, Keycloak sends a logout that names one of them. [EndSession] ends
// one session, and [EndUserOf] is for logouts that do not name the user.
//
// A handler answers success only when the revocation is durable. Every service that validates
// tokens against the same store then refuses them, and a service that asks a mirror does so
// within the mirror's bound. No error of this package contains a token.
package signals
