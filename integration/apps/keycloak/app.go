// Package keycloak is a resource server: it accepts the access tokens of a Keycloak realm, and the
// realm logs its users out by back-channel.
package keycloak

import (
	"context"
	"fmt"
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/issuers"
	"github.com/pgrevoke/revoke/jwks"
	"github.com/pgrevoke/revoke/migrations"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/signals"
)

// New returns the server. realm is the issuer, such as "https://id.example/realms/shop", api the
// audience of the access tokens, and client the client that the users sign in to. The keys are
// fetched until ctx ends.
func New(ctx context.Context, pool *pgxpool.Pool, realm, api, client string) (http.Handler, error) {
	if err := migrations.Up(ctx, pool); err != nil {
		return nil, err
	}
	store, err := revoke.NewPostgres(pool, revoke.WithIssuers(realm))
	if err != nil {
		return nil, err
	}
	if err := store.Ready(ctx); err != nil {
		return nil, err
	}
	keys, err := jwks.New(ctx, realm+"/protocol/openid-connect/certs")
	if err != nil {
		return nil, err
	}
	algorithms := []string{"RS256"}
	validator, err := revoke.NewValidator(store, realm, revoke.AudienceOf(api), keys.Keyfunc, algorithms, issuers.Keycloak()...)
	if err != nil {
		return nil, err
	}
	guard, err := revokehttp.NewGuard(validator, revokehttp.WithReport(revokehttp.LogTo(nil)))
	if err != nil {
		return nil, err
	}
	logout, err := signals.NewBackChannelLogout(store, realm, []string{client}, keys.Keyfunc, algorithms, signals.EndUser())
	if err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.Handle("POST /backchannel-logout", logout)
	mux.Handle("GET /orders", guard.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := revokehttp.TokenFromContext(r.Context())
		fmt.Fprintln(w, "orders of", token.Subject)
	})))
	mux.Handle("DELETE /customers/{sub}", guard.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The app would ask for a role here.
		user := validator.User(r.PathValue("sub"))
		if _, err := store.RevokeUser(r.Context(), user, revoke.WithReason("account closed")); err != nil {
			guard.Refuse(w, r, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})))
	return mux, nil
}
