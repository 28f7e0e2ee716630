package revokehttp_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// An app whose users sign in at Keycloak: when one of them logs out there, the services of the app refuse the access tokens of
// that session.
func ExampleNewBackChannelLogout() {
	const issuer = "https://keycloak.example/realms/app"
	store := revoketest.NewMemory()                                                 // a *revoke.Postgres, in an app
	keyfunc := func(*jwt.Token) (any, error) { return providerKey().Public(), nil } // of the provider's JWKS, in an app
	algorithms := []string{"ES256"}

	validator, err := revoke.NewValidator[revoke.Claims](store, issuer, keyfunc, algorithms, revoke.WithRequiredSession())
	if err != nil {
		log.Fatal(err)
	}
	logout, err := revokehttp.NewBackChannelLogout(store, issuer, []string{"app"}, keyfunc, algorithms, revokehttp.EndSession(validator))
	if err != nil {
		log.Fatal(err)
	}
	guard, err := revokehttp.New(validator)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/backchannel-logout", logout)
	mux.Handle("/me", guard.Require(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))

	sign := func(typ string, claims jwt.MapClaims) string {
		claims["iss"], claims["sub"], claims["sid"] = issuer, "ada", "phone"
		claims["iat"], claims["exp"] = time.Now().Unix(), time.Now().Add(2*time.Minute).Unix()
		token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
		token.Header["typ"] = typ
		text, err := token.SignedString(providerKey())
		if err != nil {
			log.Fatal(err)
		}
		return text
	}
	access := sign("JWT", jwt.MapClaims{"jti": "onrtac:1", "aud": "account"})
	logoutToken := sign("logout+jwt", jwt.MapClaims{"jti": "2", "aud": "app", "events": map[string]any{
		"http://schemas.openid.net/event/backchannel-logout": map[string]any{},
	}})

	serve := func(r *http.Request) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(r.Method, r.URL.Path, w.Code)
	}
	me := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/me", nil)
	me.Header.Set("Authorization", "Bearer "+access)
	serve(me)
	form := url.Values{"logout_token": {logoutToken}}.Encode()
	sent := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/backchannel-logout", strings.NewReader(form))
	sent.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	serve(sent)
	serve(me)
	// Output:
	// GET /me 200
	// POST /backchannel-logout 200
	// GET /me 401
}

// An app whose users sign in at Okta, and which signs its own tokens: Okta's Universal Logout names a user by email, and
// authenticates with a JWT that is signed for the endpoint and used once.
func ExampleNewGlobalTokenRevocation() {
	const okta, endpoint = "https://example.okta.com", "https://app.example/global-token-revocation"
	mount := func(mux *http.ServeMux, store revoke.Store, oktaKeys jwt.Keyfunc, userOf func(ctx context.Context, email string) (string, error)) error {
		callers, err := revoke.NewValidator[revoke.Claims](store, okta, oktaKeys, []string{"RS256"},
			revoke.WithTokenType("global-token-revocation+jwt"), revoke.WithParserOptions(jwt.WithAudience(endpoint)),
			revoke.WithMaxLifetime(time.Hour))
		if err != nil {
			return err
		}
		guard, err := revokehttp.New(callers)
		if err != nil {
			return err
		}
		authorize := func(r *http.Request) error {
			token, ok := revokehttp.Token(r.Context())
			if !ok {
				return revokehttp.ErrNoToken
			}
			return store.Redeem(r.Context(), token)
		}
		resolve := func(ctx context.Context, id revokehttp.SubjectID) (revoke.User, error) {
			if id.Format != "email" {
				return revoke.User{}, revokehttp.ErrUnknownFormat
			}
			subject, err := userOf(ctx, id.Email) // ErrUnknownUser where there is none
			return revoke.User{Issuer: "https://app.example", Subject: subject}, err
		}
		revocation, err := revokehttp.NewGlobalTokenRevocation(store, authorize, nil, resolve)
		if err != nil {
			return err
		}
		mux.Handle("/global-token-revocation", guard.Require(revocation))
		return nil
	}
	_ = mount
}
