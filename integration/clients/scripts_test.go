package clients

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/signals"
)

// run runs a script with given, as JSON, on its standard input.
func run(t *testing.T, given any, interpreter, script string) {
	t.Helper()
	input, err := json.Marshal(given)
	testkit.Must(t, err)
	command := exec.CommandContext(t.Context(), interpreter, script)
	command.Stdin = bytes.NewReader(input)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v (the package comment says what to install)\n%s", interpreter, script, err, output)
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
		Foreign string   `json:"foreign"` // a token of another client
	}
	for _, row := range []struct{ script, interpreter string }{
		{"oauth.mjs", "node"},
		{"oauth.py", "/usr/bin/python3"},
	} {
		t.Run(row.script, func(t *testing.T) {
			t.Parallel()
			var clients []client
			others := p.mint(t, foreign)
			for _, c := range []registered{plain, signs, spaced} {
				clients = append(clients, client{c.id, c.secret, p.mintSome(t, c, 4), others})
			}
			run(t, map[string]any{"issuer": p.URL, "api": p.URL + "/userinfo", "clients": clients}, row.interpreter, row.script)
			for _, c := range clients {
				for _, token := range c.Tokens {
					if status := p.call(t, token); status != http.StatusUnauthorized {
						t.Errorf("a token that was revoked gets %d", status)
					}
				}
			}
			if status := p.call(t, others); status != http.StatusOK {
				t.Errorf("the token of another client gets %d", status)
			}
		})
	}
}

// TestBackChannelLogout ends sessions by logout tokens that jose signs, in the shapes of
// several providers.
func TestBackChannelLogout(t *testing.T) {
	t.Parallel()
	const idp, audience = "https://idp.example", "the-app"
	store, _ := testkit.Store(t)
	keyfunc, algorithms := testkit.Keyfunc("ES256"), []string{"ES256"}
	validator := testkit.Value(revoke.NewValidator(store, idp, revoke.AudienceOf(audience), keyfunc, algorithms,
		revoke.WithRequiredSession()))(t)
	receiver := testkit.Value(signals.NewBackChannelLogout(store, idp, []string{audience}, keyfunc, algorithms,
		signals.EndSession(validator)))(t)
	server := httptest.NewServer(receiver)
	t.Cleanup(server.Close)

	type session struct {
		Subject string `json:"sub"`
		ID      string `json:"sid"`
	}
	const kept = "kept" // the session that no logout ends
	names := []string{"Keycloak", "Keycloak, older", "Okta", "Auth0", "a session without its user", kept}
	sessions, tokens := map[string]session{}, map[string]string{}
	for _, name := range names {
		s := session{"user of " + name, "session of " + name}
		sessions[name] = s
		tokens[name] = sign(t, "JWT", testkit.Value(revoke.NewClaims(revoke.User{Issuer: idp, Subject: s.Subject}, time.Hour,
			revoke.AudienceOf(audience), revoke.Epochs{}, revoke.WithSessionID(s.ID)))(t))
		testkit.Value(validator.Validate(t.Context(), tokens[name]))(t)
	}
	run(t, map[string]any{
		"issuer": idp, "receiver": server.URL, "audience": audience, "key": jwk(t, true), "sessions": sessions,
	}, "node", "logout.mjs")
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			_, err := validator.Validate(t.Context(), tokens[name])
			if name == kept {
				testkit.Must(t, err)
			} else {
				testkit.WantError(t, err, revoke.ErrRevoked)
			}
		})
	}
}
