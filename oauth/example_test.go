package oauth_test

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/oauth"
	"github.com/pgrevoke/revoke/revoketest"
)

// exampleClients has one client. An app looks up the hash of a secret.
func exampleClients(_ context.Context, id, secret string) (oauth.Client, error) {
	if id != "web" || subtle.ConstantTimeCompare([]byte(secret), []byte("5+3cret")) == 0 {
		return oauth.Client{}, oauth.ErrInvalidClient
	}
	return oauth.Client{ID: id}, nil
}

// exampleClock stands still while the token of exampleToken is valid.
func exampleClock() time.Time { return time.Unix(1e9+60, 0) }

var exampleKey = []byte("a secret of 32 bytes at least, for HS256")

// exampleValidator validates tokens of this typ.
func exampleValidator(store revoke.Store, typ string) *revoke.Validator {
	keyfunc := func(*jwt.Token) (any, error) { return exampleKey, nil }
	validator, err := revoke.NewValidator(store, "https://issuer.example", revoke.AudienceOf("api"), keyfunc, []string{"HS256"},
		revoke.WithTokenType(typ), revoke.WithClock(exampleClock))
	if err != nil {
		log.Fatal(err)
	}
	return validator
}

// exampleToken signs a token that was issued to the client web, in one session.
func exampleToken(typ, id string) string {
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "https://issuer.example", "aud": "api", "sub": "ada", "sid": "session-1", "jti": id, "client_id": "web",
		"iat": 1000000000, "exp": 1000003600,
	})
	token.Header["typ"] = typ
	text, err := token.SignedString(exampleKey)
	if err != nil {
		log.Fatal(err)
	}
	return text
}

// exampleCall posts a token to an endpoint, as the client web.
func exampleCall(endpoint http.Handler, token string) {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", strings.NewReader("token="+token))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("web", url.QueryEscape("5+3cret"))
	w := httptest.NewRecorder()
	endpoint.ServeHTTP(w, r)
	fmt.Println(strings.TrimSpace(fmt.Sprint(w.Code, " ", w.Body)))
}

// The revocation of a refresh token also revokes the access tokens of its session.
func ExampleNewRevocation() {
	// In an app the store is a *revoke.Postgres.
	store := revoketest.NewMemory(revoketest.WithClock(exampleClock))
	access, refresh := exampleValidator(store, "at+jwt"), exampleValidator(store, "rt+jwt")

	// An AuthenticateClient of the app's.
	authenticate := oauth.AuthenticateClient(exampleClients)
	kinds := []oauth.Tokens{oauth.AccessTokens(access), oauth.RefreshTokens(refresh)}
	revocation, err := oauth.NewRevocation(store, authenticate, kinds)
	if err != nil {
		log.Fatal(err)
	}

	_, err = access.Validate(context.Background(), exampleToken("at+jwt", "access-1"))
	fmt.Println("before:", err)
	exampleCall(revocation, exampleToken("rt+jwt", "refresh-1"))
	_, err = access.Validate(context.Background(), exampleToken("at+jwt", "access-1"))
	fmt.Println("after:", errors.Is(err, revoke.ErrRevoked))
	// Output:
	// before: <nil>
	// 200
	// after: true
}

// An API that cannot verify tokens itself asks whether a token is accepted.
func ExampleNewIntrospection() {
	// In an app the store is a *revoke.Postgres.
	store := revoketest.NewMemory(revoketest.WithClock(exampleClock))
	kinds := []oauth.Tokens{oauth.AccessTokens(exampleValidator(store, "at+jwt"))}
	introspection, err := oauth.NewIntrospection(oauth.AuthenticateClient(exampleClients), kinds)
	if err != nil {
		log.Fatal(err)
	}

	token := exampleToken("at+jwt", "access-1")
	exampleCall(introspection, token)
	if _, err := store.RevokeUser(context.Background(), revoke.User{Issuer: "https://issuer.example", Subject: "ada"}); err != nil {
		log.Fatal(err)
	}
	exampleCall(introspection, token)
	// Output:
	// 200 {"active":true,"aud":"api","client_id":"web","exp":1000003600,"iat":1000000000,"iss":"https://issuer.example","jti":"access-1","sid":"session-1","sub":"ada","token_type":"Bearer"}
	// 200 {"active":false}
}
