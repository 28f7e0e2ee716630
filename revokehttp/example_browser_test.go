package revokehttp_test

import (
	"context"
	"fmt"
	"html/template"
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

// signInForm is a page with a form that keeps the path to return to.
var signInForm = template.Must(template.New("").Parse(
	`<form method="post"><input type="hidden" name="return_to" value="{{.}}"> … </form>`))

// exampleValidator returns a validator over the store, and a function that signs tokens for it.
func exampleValidator(store revoke.Store) (validator *revoke.Validator, sign func(name string) (string, time.Time, error)) {
	key := []byte("a secret of 32 bytes at least, for HS256")
	keyfunc := func(*jwt.Token) (any, error) { return key, nil }
	validator, err := revoke.NewValidator(store, "https://issuer.example", revoke.AnyAudience(), keyfunc, []string{"HS256"})
	if err != nil {
		log.Fatal(err)
	}
	return validator, func(name string) (string, time.Time, error) {
		user := revoke.User{Issuer: "https://issuer.example", Subject: name}
		claims, err := revoke.NewClaims(user, time.Hour, revoke.AnyAudience(), revoke.Epochs{})
		if err != nil {
			return "", time.Time{}, err
		}
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(key)
		return token, claims.ExpiresAt.Time, err
	}
}

// An app of pages and forms: who has no token is led to the sign-in page and back, and a logout
// ends on a page too.
func ExampleWithSignInPage() {
	store := revoketest.NewMemory()
	validator, signIn := exampleValidator(store)

	guard, err := revokehttp.NewGuard(validator,
		revokehttp.WithCookie("session", "/"), revokehttp.WithSignInPage("/sign-in"))
	if err != nil {
		log.Fatal(err)
	}
	logout, err := guard.Logout(store, revokehttp.WithRedirect("/signed-out"))
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /account", guard.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := revokehttp.TokenFromContext(r.Context())
		fmt.Fprintln(w, "hello", token.Subject)
	})))
	mux.HandleFunc("GET /sign-in", func(w http.ResponseWriter, r *http.Request) {
		_ = signInForm.Execute(w, r.FormValue(revokehttp.ReturnParameter))
	})
	mux.Handle("POST /sign-in", guard.RequireSameOrigin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, expiresAt, err := signIn(r.PostFormValue("name")) // an app checks a password first
		if err == nil {
			err = guard.SetCookie(w, token, expiresAt)
		}
		if err != nil {
			guard.Refuse(w, r, err)
			return
		}
		// Anyone can write a link to the sign-in page, with any path in it.
		to := revokehttp.LocalPath(r.PostFormValue(revokehttp.ReturnParameter), "/account")
		http.Redirect(w, r, to, http.StatusSeeOther)
	})))
	mux.Handle("POST /logout", logout)

	// A browser opens a page, signs in by the form, and logs out by another.
	cookie := ""
	for _, step := range []struct{ method, target, body string }{
		{"GET", "/account?tab=2", ""},
		{"POST", "/sign-in", "name=ada&return_to=%2Faccount%3Ftab%3D2"},
		{"GET", "/account?tab=2", ""},
		{"POST", "/logout", ""},
		{"POST", "/sign-in", "name=ada&return_to=%2F%2Fevil.example"},
	} {
		r := httptest.NewRequestWithContext(context.Background(), step.method, step.target, strings.NewReader(step.body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Cookie", cookie)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if set := w.Header().Get("Set-Cookie"); set != "" {
			cookie, _, _ = strings.Cut(set, ";")
		}
		fmt.Printf("%s %s %d %q\n", step.method, step.target, w.Code, w.Header().Get("Location"))
	}
	// Output:
	// GET /account?tab=2 303 "/sign-in?return_to=%2Faccount%3Ftab%3D2"
	// POST /sign-in 303 "/account?tab=2"
	// GET /account?tab=2 200 ""
	// POST /logout 303 "/signed-out"
	// POST /sign-in 303 "/account"
}

// A logout that ends at the provider, so that the next sign-in there asks for the password again.
func ExampleWithEndSession() {
	store := revoketest.NewMemory()
	validator, signIn := exampleValidator(store)
	guard, err := revokehttp.NewGuard(validator, revokehttp.WithCookie("session", "/"))
	if err != nil {
		log.Fatal(err)
	}
	idTokenOf := func(context.Context, revoke.Session) string { return "" } // an app looks it up

	logout, err := guard.Logout(store, revokehttp.WithEndSession("https://idp.example/end", url.Values{
		"client_id":                {"app"},
		"post_logout_redirect_uri": {"https://app.example/signed-out"},
	}, func(r *http.Request, token revoke.Token) string {
		return idTokenOf(r.Context(), token.Session())
	}))
	if err != nil {
		log.Fatal(err)
	}

	token, _, err := signIn("ada")
	if err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/logout", nil)
	r.Header.Set("Cookie", "__Host-session="+token)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	w := httptest.NewRecorder()
	logout.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Location"))
	// Output: 303 https://idp.example/end?client_id=app&post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Fsigned-out
}

// cors lets pages of one other origin call an API with credentials.
func cors(origin string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Origin")
		if r.Header.Get("Origin") != origin {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Access-Control-Allow-Methods", "GET, POST")
		w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
		w.WriteHeader(http.StatusNoContent)
	})
}

// CORS middleware stands outermost: it answers preflights, which have no token, and a refusal by
// the guard has its header fields too. Without them a script sees a network error and no 401.
func ExampleGuard_Require_cors() {
	store := revoketest.NewMemory()
	validator, _ := exampleValidator(store)
	api := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

	guard, err := revokehttp.NewGuard(validator,
		revokehttp.WithCookie("session", "/"), revokehttp.WithTrustedOrigin("https://app.example"))
	if err != nil {
		log.Fatal(err)
	}
	handler := cors("https://app.example", guard.Require(api))

	for _, method := range []string{http.MethodOptions, http.MethodGet} {
		r := httptest.NewRequestWithContext(context.Background(), method, "/", nil)
		r.Header.Set("Origin", "https://app.example")
		r.Header.Set("Access-Control-Request-Method", "GET")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(method, w.Code, w.Header().Get("Access-Control-Allow-Origin"), w.Header()["Vary"])
	}
	// Output:
	// OPTIONS 204 https://app.example [Origin]
	// GET 401 https://app.example [Origin Authorization, Cookie]
}
