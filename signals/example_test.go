package signals_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/issuers"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
	"github.com/pgrevoke/revoke/signals"
)

// The users of an app sign in at Keycloak. After a logout there, the app's services refuse every
// access token of the user: Keycloak names one session, also where an administrator ended all.
func ExampleNewBackChannelLogout() {
	const issuer = "https://keycloak.example/realms/app"
	store := revoketest.NewMemory() // in an app: a *revoke.Postgres
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	// In an app the key comes from the provider's JWKS.
	keyfunc := func(*jwt.Token) (any, error) { return key.Public(), nil }
	algorithms := []string{"ES256"}

	validator, err := revoke.NewValidator(store, issuer, revoke.AudienceOf("account"), keyfunc, algorithms, issuers.Keycloak()...)
	if err != nil {
		log.Fatal(err)
	}
	logout, err := signals.NewBackChannelLogout(store, issuer, []string{"app"}, keyfunc, algorithms, signals.EndUser())
	if err != nil {
		log.Fatal(err)
	}
	guard, err := revokehttp.NewGuard(validator)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/backchannel-logout", logout)
	mux.Handle("/me", guard.Require(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))

	// What Keycloak signs: the access tokens of two devices, and a logout token of one session.
	sign := func(typ string, claims jwt.MapClaims) string {
		claims["iss"], claims["sub"] = issuer, "ada"
		claims["iat"], claims["exp"] = time.Now().Unix(), time.Now().Add(2*time.Minute).Unix()
		token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
		token.Header["typ"] = typ
		text, err := token.SignedString(key)
		if err != nil {
			log.Fatal(err)
		}
		return text
	}
	phone := sign("JWT", jwt.MapClaims{"jti": "onrtac:1", "sid": "phone", "aud": "account", "typ": "Bearer"})
	laptop := sign("JWT", jwt.MapClaims{"jti": "onrtac:2", "sid": "laptop", "aud": "account", "typ": "Bearer"})
	logoutToken := sign("logout+jwt", jwt.MapClaims{"jti": "3", "sid": "phone", "aud": "app", "events": map[string]any{
		"http://schemas.openid.net/event/backchannel-logout": map[string]any{},
	}})

	serve := func(r *http.Request) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(r.Method, r.URL.Path, w.Code)
	}
	me := func(access string) *http.Request {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/me", nil)
		r.Header.Set("Authorization", "Bearer "+access)
		return r
	}
	serve(me(phone))
	serve(me(laptop))
	form := url.Values{"logout_token": {logoutToken}}.Encode()
	delivery := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/backchannel-logout", strings.NewReader(form))
	delivery.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	serve(delivery)
	serve(me(phone))
	serve(me(laptop))
	// Output:
	// GET /me 200
	// GET /me 200
	// POST /backchannel-logout 200
	// GET /me 401
	// GET /me 401
}

// The users of an app sign in at Okta, and the app signs its own tokens. Okta's Universal
// Logout names a user by email, and authenticates with a JWT that is signed for the endpoint
// and used once.
func ExampleNewGlobalTokenRevocation() {
	const okta, endpoint = "https://example.okta.com", "https://app.example/global-token-revocation"
	mount := func(mux *http.ServeMux, store revoke.Store, oktaKeys jwt.Keyfunc, userOf func(ctx context.Context, email string) (string, error)) error {
		callers, err := revoke.NewValidator(store, okta, revoke.AudienceOf(endpoint), oktaKeys, []string{"RS256"},
			revoke.WithTokenType("global-token-revocation+jwt"), revoke.WithMaxLifetime(time.Hour),
			revoke.WithIssuerSkew(15*time.Second)) // as NewBackChannelLogout allows its provider
		if err != nil {
			return err
		}
		guard, err := revokehttp.NewGuard(callers)
		if err != nil {
			return err
		}
		authorize := func(r *http.Request) (revoke.Token, error) {
			token, ok := revokehttp.TokenFromContext(r.Context())
			if !ok {
				return revoke.Token{}, revokehttp.ErrNoToken
			}
			return token.Token, nil // which the handler spends
		}
		resolve := func(ctx context.Context, id signals.SubjectID) (revoke.User, error) {
			if id.Format != "email" {
				return revoke.User{}, signals.ErrUnknownFormat
			}
			subject, err := userOf(ctx, id.Email) // signals.ErrUnknownUser if there is no such user
			return revoke.User{Issuer: "https://app.example", Subject: subject}, err
		}
		revocation, err := signals.NewGlobalTokenRevocation(store, authorize, nil, resolve)
		if err != nil {
			return err
		}
		mux.Handle("/global-token-revocation", guard.Require(revocation))
		return nil
	}
	_ = mount
}
