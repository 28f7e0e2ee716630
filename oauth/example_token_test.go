package oauth_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/migrations"
	"github.com/pgrevoke/revoke/oauth"
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
	sessions, err := session.New(store, "https://app.example", revoke.AudienceOf("api"), keys)
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

// A client refreshes its tokens, and ends its session by its refresh token.
func ExampleNewToken() {
	ctx := context.Background()
	store, sessions, drop := exampleSessions(ctx)
	defer drop()
	authenticate := oauth.AuthenticateClient(exampleClients)

	token, err := oauth.NewToken(sessions, authenticate)
	if err != nil {
		log.Fatal(err)
	}
	access, err := sessions.NewValidator(store)
	if err != nil {
		log.Fatal(err)
	}
	refresh, err := sessions.NewRefreshValidator(store)
	if err != nil {
		log.Fatal(err)
	}
	revocation, err := oauth.NewRevocation(store, authenticate,
		[]oauth.Tokens{oauth.AccessTokens(access), oauth.RefreshTokens(refresh)})
	if err != nil {
		log.Fatal(err)
	}
	call := func(endpoint http.Handler, form url.Values) (answer struct {
		RefreshToken string `json:"refresh_token"`
		Error        string `json:"error"`
	},
	) {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("web", url.QueryEscape("5+3cret"))
		w := httptest.NewRecorder()
		endpoint.ServeHTTP(w, r)
		_ = json.Unmarshal(w.Body.Bytes(), &answer)
		fmt.Printf("%d %t %q\n", w.Code, answer.RefreshToken != "", answer.Error)
		return answer
	}

	user := sessions.User("ada")
	epochs, err := store.Epochs(ctx, user) // an app reads them with the hash of the password
	if err != nil {
		log.Fatal(err)
	}
	started, err := sessions.Start(ctx, user, epochs, session.Device{Client: "web"})
	if err != nil {
		log.Fatal(err)
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {started.Refresh}}
	rotated := call(token, form)
	call(token, form) // again, as if the answer had been lost
	call(revocation, url.Values{"token": {rotated.RefreshToken}})
	call(token, form)
	// Output:
	// 200 true ""
	// 200 true ""
	// 200 false ""
	// 400 false "invalid_grant"
}
