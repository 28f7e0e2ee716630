package revokehttp_test

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
	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

func Example() {
	store := revoketest.NewMemory() // a *revoke.Postgres, in an app
	keyfunc := func(*jwt.Token) (any, error) { return testKey, nil }
	validator, err := revoke.NewValidator[revoke.Claims](store, testIssuer, keyfunc, []string{"HS256"})
	if err != nil {
		log.Fatal(err)
	}
	guard, err := revokehttp.New(validator)
	if err != nil {
		log.Fatal(err)
	}
	logout, err := guard.Logout(store)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/me", guard.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, _ := revokehttp.Claims[revoke.Claims](r.Context())
		fmt.Fprintln(w, "hello", claims.Subject)
	})))
	mux.Handle("/logout", logout)

	now := time.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, revoke.Claims{RegisteredClaims: jwt.RegisteredClaims{
		Issuer: testIssuer, Subject: "ada", ID: "token-1",
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Minute)),
	}}).SignedString(testKey)
	if err != nil {
		log.Fatal(err)
	}
	for _, call := range [][2]string{{"GET", "/me"}, {"POST", "/logout"}, {"GET", "/me"}} {
		r := httptest.NewRequestWithContext(context.Background(), call[0], call[1], nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Printf("%s %s %d %q\n", call[0], call[1], w.Code, w.Header().Get("WWW-Authenticate"))
	}
	// Output:
	// GET /me 200 ""
	// POST /logout 204 ""
	// GET /me 401 "Bearer realm=\"api\", error=\"invalid_token\""
}

// exampleClaims are those of RFC 9068, and a session.
type exampleClaims struct {
	revoke.Claims
	ClientID string `json:"client_id"`
}

// exampleClients is a table of clients; an app keeps hashes.
func exampleClients(_ context.Context, id, secret string) (revokehttp.Client, error) {
	if id != "web" || subtle.ConstantTimeCompare([]byte(secret), []byte("5+3cret")) == 0 {
		return revokehttp.Client{}, revokehttp.ErrInvalidClient
	}
	return revokehttp.Client{ID: id}, nil
}

// exampleClock stands still, in the life of exampleToken.
func exampleClock() time.Time { return time.Unix(1e9+60, 0) }

// exampleValidator is of tokens with this typ.
func exampleValidator(store revoke.Store, typ string) *revoke.Validator[exampleClaims] {
	keyfunc := func(*jwt.Token) (any, error) { return testKey, nil }
	validator, err := revoke.NewValidator[exampleClaims](store, testIssuer, keyfunc, []string{"HS256"},
		revoke.WithTokenType(typ), revoke.WithClock(exampleClock))
	if err != nil {
		log.Fatal(err)
	}
	return validator
}

// exampleToken signs a token of the client web, of one session.
func exampleToken(typ, id string) string {
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, exampleClaims{Claims: revoke.Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: testIssuer, Subject: "ada", ID: id,
			IssuedAt: jwt.NewNumericDate(time.Unix(1e9, 0)), ExpiresAt: jwt.NewNumericDate(time.Unix(1e9+3600, 0)),
		},
		SessionID: "session-1",
	}, ClientID: "web"})
	token.Header["typ"] = typ
	text, err := token.SignedString(testKey)
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

// Clients revoke tokens by the endpoint of RFC 7009. A refresh token takes the access tokens of its session along.
func ExampleNewRevocation() {
	store := revoketest.NewMemory(revoketest.WithClock(exampleClock)) // a *revoke.Postgres, in an app
	access, refresh := exampleValidator(store, "at+jwt"), exampleValidator(store, "rt+jwt")

	client := func(c *exampleClaims) string { return c.ClientID } // to whom a token was issued
	kinds := []revokehttp.Tokens{revokehttp.AccessTokens(access, client), revokehttp.RefreshTokens(refresh, client)}
	revocation, err := revokehttp.NewRevocation(store, exampleClients, kinds)
	if err != nil {
		log.Fatal(err)
	}

	_, _, err = access.Validate(context.Background(), exampleToken("at+jwt", "access-1"))
	fmt.Println("before:", err)
	exampleCall(revocation, exampleToken("rt+jwt", "refresh-1"))
	_, _, err = access.Validate(context.Background(), exampleToken("at+jwt", "access-1"))
	fmt.Println("after:", errors.Is(err, revoke.ErrRevoked))
	// Output:
	// before: <nil>
	// 200
	// after: true
}

// APIs that cannot verify tokens themselves ask by the endpoint of RFC 7662.
func ExampleNewIntrospection() {
	store := revoketest.NewMemory(revoketest.WithClock(exampleClock)) // a *revoke.Postgres, in an app
	client := func(c *exampleClaims) string { return c.ClientID }
	kinds := []revokehttp.Tokens{revokehttp.AccessTokens(exampleValidator(store, "at+jwt"), client)}
	introspection, err := revokehttp.NewIntrospection(exampleClients, kinds)
	if err != nil {
		log.Fatal(err)
	}

	token := exampleToken("at+jwt", "access-1")
	exampleCall(introspection, token)
	if _, err := store.RevokeUser(context.Background(), revoke.User{Issuer: testIssuer, Subject: "ada"}); err != nil {
		log.Fatal(err)
	}
	exampleCall(introspection, token)
	// Output:
	// 200 {"active":true,"client_id":"web","exp":1000003600,"iat":1000000000,"iss":"https://issuer.example","jti":"access-1","sid":"session-1","sub":"ada","token_type":"Bearer"}
	// 200 {"active":false}
}

// A password change, behind guard.Require: the new password and the end of every session are one transaction, and the answer
// has a token that is alive at once. What is the app's is left open; examples/logout has all of it.
func Example_passwordChange() {
	type app struct {
		guard *revokehttp.Guard[revoke.Claims]
		store *revoke.Postgres
		// setPassword fails where the request's old password is not the one that stands in the table.
		setPassword func(tx pgx.Tx, r *http.Request, name string) error
		signIn      func(name string, epochs revoke.Epochs) (token string, expiresAt time.Time, err error)
	}
	changePassword := func(a app, w http.ResponseWriter, r *http.Request) error {
		token, _ := revokehttp.Token(r.Context())
		user := revoke.User{Issuer: token.Issuer, Subject: token.Subject}
		var epochs revoke.Epochs
		err := pgx.BeginFunc(r.Context(), a.store.Pool(), func(tx pgx.Tx) (err error) {
			// First the epoch, so that nobody else's revocation comes between it and the look at the old password.
			epochs, err = a.store.WithTx(tx).RevokeUser(r.Context(), user, revoke.WithReason("password changed"))
			if err != nil {
				return err
			}
			return a.setPassword(tx, r, user.Subject)
		})
		if err != nil {
			return err
		}
		text, expiresAt, err := a.signIn(user.Subject, epochs)
		if err != nil {
			return err
		}
		if revokehttp.FromCookie(r.Context()) {
			return a.guard.SetCookie(w, text, expiresAt)
		}
		_, err = fmt.Fprintln(w, text)
		return err
	}
	_ = changePassword
}
