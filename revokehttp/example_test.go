package revokehttp_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

func Example() {
	store := revoketest.NewMemory() // in an app: a *revoke.Postgres
	key := []byte("a secret of 32 bytes at least, for HS256")
	keyfunc := func(*jwt.Token) (any, error) { return key, nil }
	validator, err := revoke.NewValidator(store, "https://issuer.example", revoke.AudienceOf("api"), keyfunc, []string{"HS256"})
	if err != nil {
		log.Fatal(err)
	}

	guard, err := revokehttp.NewGuard(validator, revokehttp.WithReport(revokehttp.LogTo(slog.Default())))
	if err != nil {
		log.Fatal(err)
	}
	logout, err := guard.Logout(store)
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/me", guard.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := revokehttp.TokenFromContext(r.Context())
		fmt.Fprintln(w, "hello", token.Subject)
	})))
	mux.Handle("/logout", logout)

	// A client signs in, calls the API, logs out, and calls the API again.
	ada := revoke.User{Issuer: "https://issuer.example", Subject: "ada"}
	claims, err := revoke.NewClaims(ada, 15*time.Minute, revoke.AudienceOf("api"), revoke.Epochs{})
	if err != nil {
		log.Fatal(err)
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(key)
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

// A test of a handler gives it a token without signing one.
func ExampleContextWithToken() {
	me := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := revokehttp.TokenFromContext(r.Context())
		fmt.Fprintln(w, "hello", token.Subject)
	})

	token := &revoke.Verified{Token: revoke.Token{Issuer: "https://issuer.example", Subject: "ada"}}
	ctx := revokehttp.ContextWithToken(context.Background(), token)
	w := httptest.NewRecorder()
	me.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/me", nil))
	fmt.Print(w.Body)
	// Output: hello ada
}

// A log line for each refusal: outcome, reason, and the token's names if its signature verified.
func ExampleLogTo() {
	store := revoketest.NewMemory() // in an app: a *revoke.Postgres
	key := []byte("a secret of 32 bytes at least, for HS256")
	keyfunc := func(*jwt.Token) (any, error) { return key, nil }
	validator, err := revoke.NewValidator(store, "https://issuer.example", revoke.AudienceOf("api"), keyfunc, []string{"HS256"})
	if err != nil {
		log.Fatal(err)
	}
	// In an app: slog.Default(). Here lines go to standard output, without time, reason and jti.
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "reason" || a.Key == "jti" {
				return slog.Attr{}
			}
			return a
		},
	}))
	guard, err := revokehttp.NewGuard(validator, revokehttp.WithReport(revokehttp.LogTo(logger)))
	if err != nil {
		log.Fatal(err)
	}

	// A token for another service of this issuer.
	ada := revoke.User{Issuer: "https://issuer.example", Subject: "ada"}
	claims, err := revoke.NewClaims(ada, 15*time.Minute, revoke.AudienceOf("mail"), revoke.Epochs{})
	if err != nil {
		log.Fatal(err)
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(key)
	if err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/me", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	guard.Require(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
	// Output:
	// level=INFO msg="request refused" outcome=invalid issuer=https://issuer.example sub=ada
}

// A password change, behind guard.Require: the new password and the end of every session are
// one transaction, and the answer has a token that is accepted at once. examples/logout has the
// functions that are parameters here.
func ExampleGuard_SetCookie_passwordChange() {
	type app struct {
		guard *revokehttp.Guard
		store *revoke.Postgres
		// setPassword fails unless the request's old password is the one in the table.
		setPassword func(tx pgx.Tx, r *http.Request, name string) error
		signIn      func(name string, epochs revoke.Epochs) (token string, expiresAt time.Time, err error)
	}
	changePassword := func(a app, w http.ResponseWriter, r *http.Request) error {
		token, _ := revokehttp.TokenFromContext(r.Context())
		user := token.User()
		var epochs revoke.Epochs
		err := pgx.BeginFunc(r.Context(), a.store.Pool(), func(tx pgx.Tx) (err error) {
			// The epoch comes first, so that no other revocation comes between it and the check
			// of the old password.
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
