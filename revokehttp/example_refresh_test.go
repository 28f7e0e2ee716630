package revokehttp_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/migrations"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/session"
)

// exampleSessions returns sessions on a database of their own, and a function that drops it.
func exampleSessions(ctx context.Context) (*revoke.Postgres, *session.Sessions, func()) {
	server, err := pgserver.Process(ctx)
	if err != nil {
		log.Fatal(err)
	}
	address, err := server.CreateEmptyDatabase(ctx)
	if err != nil {
		log.Fatal(err)
	}
	pool, err := pgxpool.New(ctx, address)
	if err != nil {
		log.Fatal(err)
	}
	if err := migrations.Up(ctx, pool); err != nil {
		log.Fatal(err)
	}
	store, err := revoke.NewPostgres(pool)
	if err != nil {
		log.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	keys := session.StaticKeys(session.Key{ID: "1", Method: jwt.SigningMethodEdDSA, Private: key})
	sessions, err := session.New(store, "https://app.example", revoke.AudienceOf("app"), keys)
	if err != nil {
		log.Fatal(err)
	}
	return store, sessions, func() {
		pool.Close()
		if err := server.DropDatabase(ctx, address); err != nil {
			log.Fatal(err)
		}
	}
}

// An app that signs users in itself: pages refresh their session as they are opened, and the logout
// ends it.
func ExampleRefresh() {
	ctx := context.Background()
	store, sessions, drop := exampleSessions(ctx)
	defer drop()

	validator, err := sessions.NewValidator(store)
	if err != nil {
		log.Fatal(err)
	}
	guard, err := revokehttp.NewGuard(validator,
		revokehttp.WithCookie("access", "/"), revokehttp.WithSignInPage("/sign-in"))
	if err != nil {
		log.Fatal(err)
	}
	refresh, err := revokehttp.NewRefresh(sessions, guard)
	if err != nil {
		log.Fatal(err)
	}
	logout, err := refresh.Logout(sessions, revokehttp.WithRedirect("/signed-out"))
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /refresh", refresh) // for scripts
	mux.Handle("POST /logout", logout)
	mux.Handle("POST /sign-in", guard.RequireSameOrigin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := sessions.User(r.PostFormValue("name")) // an app checks a password first,
		epochs, err := store.Epochs(r.Context(), user) // and reads the epochs with the hash
		var tokens session.Tokens
		if err == nil {
			tokens, err = sessions.Start(r.Context(), user, epochs, refresh.Device(r))
		}
		if err == nil { // the browser may have been another user's
			err = refresh.EndSessions(w, r, sessions)
		}
		if err == nil {
			err = refresh.SetCookies(w, tokens)
		}
		if err != nil {
			guard.Refuse(w, r, err)
		}
	})))
	mux.Handle("GET /account", refresh.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := revokehttp.TokenFromContext(r.Context())
		fmt.Fprintln(w, "hello", token.Subject)
	})))
	mux.Handle("POST /elsewhere", guard.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := revokehttp.TokenFromContext(r.Context())
		tokens, err := sessions.EndOthers(r.Context(), token.User(), token.SessionID, refresh.Device(r))
		if err == nil {
			refresh.ClearCookie(w, token.Session())
			err = refresh.SetCookies(w, tokens)
		}
		if err != nil {
			guard.Refuse(w, r, err)
		}
	})))

	server := httptest.NewTLSServer(mux)
	defer server.Close()
	browser := server.Client()
	browser.Jar, _ = cookiejar.New(nil)
	open := func(method, path, form string) {
		r, _ := http.NewRequestWithContext(ctx, method, server.URL+path, strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		response, err := browser.Do(r)
		if err != nil {
			log.Fatal(err)
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		fmt.Println(strings.TrimSpace(fmt.Sprintln(path, response.Request.URL.Path, response.StatusCode, string(text))))
	}
	open("POST", "/sign-in", "name=ada")
	open("GET", "/account", "")

	// The access token expires. The browser forgets it, and keeps the refresh token.
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
	browser.Jar.SetCookies(r.URL, []*http.Cookie{{Name: "__Host-access", Path: "/", MaxAge: -1}})
	open("GET", "/account", "")
	open("POST", "/elsewhere", "")
	open("GET", "/account", "")
	open("POST", "/logout", "")
	open("GET", "/account", "")
	// Output:
	// /sign-in /sign-in 200
	// /account /account 200 hello ada
	// /account /account 200 hello ada
	// /elsewhere /elsewhere 200
	// /account /account 200 hello ada
	// /logout /signed-out 404 404 page not found
	// /account /sign-in 405 Method Not Allowed
}
