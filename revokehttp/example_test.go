package revokehttp_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
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

// A password change ends every session of the user in the transaction that writes the password, and the cookie gets a new
// token. signIn signs it with the epochs.
func ExampleGuard_SetCookie() {
	type app struct {
		guard  *revokehttp.Guard[revoke.Claims]
		store  *revoke.Postgres
		signIn func(name string, epochs revoke.Epochs) (token string, expiresAt time.Time, err error)
	}
	changePassword := func(a app, w http.ResponseWriter, r *http.Request) error {
		token, _ := revokehttp.Token(r.Context()) // behind guard.Require
		var epochs revoke.Epochs
		err := pgx.BeginFunc(r.Context(), a.store.Pool(), func(tx pgx.Tx) (err error) {
			// First the epoch, so that nobody else's revocation comes between it and the look at the old password.
			epochs, err = a.store.WithTx(tx).RevokeUser(r.Context(), revoke.User{Issuer: token.Issuer, Subject: token.Subject})
			if err != nil {
				return err
			}
			_, err = tx.Exec(r.Context(), "UPDATE accounts SET password_hash = …") // where the old one fits, or roll back
			return err
		})
		if err != nil {
			return err
		}
		text, expiresAt, err := a.signIn(token.Subject, epochs)
		if err != nil {
			return err
		}
		return a.guard.SetCookie(w, text, expiresAt)
	}
	_ = changePassword
}
