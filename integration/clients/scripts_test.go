package clients

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/revokehttp"
)

// run has a script do what it is for, with what it is given on standard input.
func run(t *testing.T, given any, interpreter, script string) {
	t.Helper()
	input, err := json.Marshal(given)
	must(t, err)
	command := exec.CommandContext(t.Context(), interpreter, script)
	command.Stdin = bytes.NewReader(input)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v (what it needs is in the package's documentation)\n%s", interpreter, script, err, output)
	}
	t.Logf("%s", output)
}

// TestOAuthClients revokes and introspects with the libraries of two languages.
func TestOAuthClients(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	type client struct {
		ID      string   `json:"id"`
		Secret  string   `json:"secret"`
		Tokens  []string `json:"tokens"`
		Foreign string   `json:"foreign"`
	}
	for interpreter, script := range map[string]string{"node": "oauth.mjs", "/usr/bin/python3": "oauth.py"} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			var clients []client
			foreign := p.mint(t, "other")
			for id, secret := range secrets {
				if id != "other" {
					clients = append(clients, client{id, secret, p.mintSome(t, id, 4), foreign})
				}
			}
			run(t, map[string]any{"issuer": p.URL, "api": p.URL + "/userinfo", "clients": clients}, interpreter, script)
			for _, c := range clients {
				for _, token := range c.Tokens {
					if status := p.call(t, token); status != http.StatusUnauthorized {
						t.Errorf("a token that was revoked gets %d", status)
					}
				}
			}
			if status := p.call(t, foreign); status != http.StatusOK {
				t.Errorf("the token of another client gets %d", status)
			}
		})
	}
}

// TestBackChannelLogout ends sessions by logout tokens of jose's making.
func TestBackChannelLogout(t *testing.T) {
	t.Parallel()
	const idp, audience = "https://idp.example", "the-app"
	store, err := revoke.NewPostgres(pgserver.Pool(t, pgserver.Database(t)))
	must(t, err)
	key := newKey(t)
	keyfunc := func(*jwt.Token) (any, error) { return &key.PublicKey, nil }
	validator, err := revoke.NewValidator[revoke.Claims](store, idp, keyfunc, []string{"ES256"}, revoke.WithRequiredSession())
	must(t, err)
	receiver, err := revokehttp.NewBackChannelLogout(store, idp, []string{audience}, keyfunc, []string{"ES256"}, revokehttp.EndSession(validator))
	must(t, err)
	server := httptest.NewServer(receiver)
	t.Cleanup(server.Close)

	type session struct {
		Subject string `json:"sub"`
		ID      string `json:"sid"`
	}
	sessions, tokens := map[string]session{}, map[string]string{}
	for _, name := range []string{"Keycloak", "Keycloak, older", "Okta", "Auth0", "a session without its user", "nobody ends it"} {
		s := session{"user of " + name, "session of " + name}
		sessions[name] = s
		now := time.Now()
		tokens[name] = sign(t, key, "JWT", revoke.Claims{
			RegisteredClaims: jwt.RegisteredClaims{
				Issuer: idp, Subject: s.Subject, ID: "access token of " + name,
				IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Hour)),
			},
			SessionID: s.ID,
		})
		_, _, err := validator.Validate(t.Context(), tokens[name])
		must(t, err)
	}
	run(t, map[string]any{
		"issuer": idp, "receiver": server.URL, "audience": audience, "key": jwk(t, key, true), "sessions": sessions,
	}, "node", "logout.mjs")
	for name, token := range tokens {
		_, _, err := validator.Validate(t.Context(), token)
		if accepted := err == nil; accepted != (name == "nobody ends it") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
