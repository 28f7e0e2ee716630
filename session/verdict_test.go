package session_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/session"
)

// forge signs the refresh token again, with other claims. A nil value leaves a claim out.
func (a *app) forge(tokens session.Tokens, changes map[string]any) session.Tokens {
	a.t.Helper()
	return a.forgeAs(tokens, "rt+jwt", changes)
}

func (a *app) forgeAs(tokens session.Tokens, typ string, changes map[string]any) session.Tokens {
	a.t.Helper()
	claims := jwt.MapClaims{}
	testkit.Must(a.t, json.Unmarshal([]byte(payload(a.t, tokens.Refresh)), &claims))
	for _, name := range []string{"iat", "exp", "generation"} {
		claims[name] = number(claims, name)
	}
	claims["epochs"] = json.RawMessage(`[0,0]`)
	for name, value := range changes {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	token.Header["typ"], token.Header["kid"] = typ, "1"
	tokens.Refresh = testkit.Value(token.SignedString(testkit.TestKeys().Ed))(a.t)
	return tokens
}

// TestRefused has the refusals that hold for a token of any generation. They change nothing.
func TestRefused(t *testing.T) {
	t.Parallel()
	rows(t, newApp(t), []row{
		{"the user was revoked", func(a *app) {
			t := a.t
			first := a.start()
			second := a.rotates(first)
			testkit.Value(a.store.RevokeUser(t.Context(), a.user))(t)
			for _, tokens := range []session.Tokens{first, second} {
				if failed := a.failure(tokens, session.Revoked); failed.Scope != revoke.ScopeUser {
					t.Errorf("scope %q", failed.Scope)
				}
			}
			a.rotates(a.start())
		}},
		{"a refused refresh rotates nothing", func(a *app) {
			t := a.t
			for _, test := range []struct {
				end  func(tokens session.Tokens)
				want session.Reason
			}{
				{func(tokens session.Tokens) { testkit.Must(t, a.store.RevokeSession(t.Context(), tokens.Session)) }, session.Ended},
				{func(tokens session.Tokens) { testkit.Must(t, a.End(t.Context(), a.user, tokens.Session.ID)) }, session.Ended},
				{func(tokens session.Tokens) { a.pass(tokens, session.DefaultIdleTimeout) }, session.Idle},
				{func(tokens session.Tokens) {
					a.pass(tokens, session.DefaultAbsoluteLifetime)
					testkit.Exec(t, a.pool, "UPDATE revoke.sessions SET refreshed_at = clock_timestamp() - interval '1 hour' WHERE sid = $1", tokens.Session.ID)
				}, session.Over},
				{func(session.Tokens) { testkit.Value(a.EndAll(t.Context(), a.user))(t) }, session.Revoked},
			} {
				second := a.rotates(a.start())
				a.pass(second, grace)
				test.end(second)
				before := a.state(second)
				a.fails(second, test.want)
				if after := a.state(second); after != before {
					t.Errorf("%s: %s became %s", test.want, before, after)
				}
			}
		}},
		{"the user was revoked, and the row says otherwise", func(a *app) {
			t := a.t
			first := a.start()
			epochs := testkit.Value(a.store.RevokeUser(t.Context(), a.user))(t)
			testkit.Exec(t, a.pool, "UPDATE revoke.sessions SET user_epoch = $2 WHERE sid = $1", first.Session.ID, epochs.User)
			a.fails(first, session.Revoked) // by the epochs of the token
		}},
		{"the session was ended by an identity provider", func(a *app) {
			t := a.t
			first := a.start()
			second := a.rotates(first)
			testkit.Must(t, a.store.RevokeSession(t.Context(), first.Session))
			a.fails(first, session.Ended)
			a.fails(second, session.Ended)
		}},
		{"the session was signed out, within the grace too", func(a *app) {
			t := a.t
			first := a.start()
			second := a.rotates(first)
			testkit.Must(t, a.End(t.Context(), a.user, first.Session.ID))
			a.fails(first, session.Ended)
			a.fails(second, session.Ended)
		}},
		{"idle", func(a *app) {
			first := a.start()
			a.pass(first, session.DefaultIdleTimeout-time.Minute)
			second := a.rotates(first)
			a.pass(first, session.DefaultIdleTimeout-time.Minute)
			third := a.rotates(second)
			a.pass(first, session.DefaultIdleTimeout)
			a.fails(third, session.Idle)
			a.fails(first, session.Idle) // and no replay: it is over in any case
			never := a.start()
			a.pass(never, session.DefaultIdleTimeout)
			a.fails(never, session.Idle)
		}},
		{"over", func(a *app) {
			tokens := a.start()
			for range 9 {
				a.pass(tokens, 9*24*time.Hour)
				tokens = a.rotates(tokens)
			}
			a.pass(tokens, 9*24*time.Hour)
			a.fails(tokens, session.Over) // refreshing does not move the absolute end
		}},
		{"unknown", func(a *app) {
			t := a.t
			first := a.start()
			testkit.Exec(t, a.pool, "DELETE FROM revoke.sessions WHERE sid = $1", first.Session.ID)
			a.fails(first, session.Unknown)
		}},
		{"swept", func(a *app) {
			t := a.t
			first := a.start()
			testkit.Exec(t, a.pool, "DELETE FROM revoke.sessions WHERE sid = $1", first.Session.ID)
			now := time.Now().Unix()
			a.fails(a.forge(first, map[string]any{"iat": now - 7300, "exp": now - 3700}), session.Over)
		}},
		{"another user's session", func(a *app) {
			first := a.start()
			a.fails(a.forge(first, map[string]any{"sub": "eve"}), session.Unknown)
			a.rotates(first)
		}},
		{"epochs that are ahead", func(a *app) {
			t := a.t
			first := a.start()
			before := a.state(first)
			ahead := time.Now().Add(time.Hour).UnixMicro()
			a.fails(a.forge(first, map[string]any{"epochs": []int64{ahead, 0}}), session.Invalid)
			a.fails(a.forge(first, map[string]any{"epochs": []int64{0, ahead}}), session.Invalid)
			if after := a.state(first); after != before {
				t.Errorf("%s became %s", before, after)
			}
			a.rotates(first)
		}},
		{"another client", func(a *app) {
			t := a.t
			first := testkit.Value(a.Start(t.Context(), a.user, revoke.Epochs{}, session.Device{Client: "phone"}))(t)
			before := a.state(first)
			for _, client := range []string{"", "tablet"} {
				_, err := a.Refresh(t.Context(), first.Refresh, session.Device{Client: client})
				if failed := (*session.RefreshError)(nil); !errors.As(err, &failed) || failed.Reason != session.Invalid {
					t.Errorf("Refresh of %q = %v", client, err)
				}
				testkit.WantError(t, err, revoke.ErrInvalidToken)
			}
			if after := a.state(first); after != before {
				t.Errorf("%s became %s", before, after)
			}
			second, err := a.Refresh(t.Context(), first.Refresh, session.Device{Client: "phone"})
			if err != nil || second.Outcome != session.Rotated || second.Client != "phone" {
				t.Errorf("Refresh = %+v, %v", second, err)
			}
			// A row of another client than the token's.
			testkit.Exec(t, a.pool, "UPDATE revoke.sessions SET client = 'tablet', refreshed_at = NULL WHERE sid = $1", first.Session.ID)
			before = a.state(first)
			_, err = a.Refresh(t.Context(), second.Refresh, session.Device{Client: "phone"})
			testkit.WantError(t, err, revoke.ErrInvalidToken)
			if after := a.state(first); after != before {
				t.Errorf("%s became %s", before, after)
			}
		}},
		{"a replay by another client ends nothing", func(a *app) {
			t := a.t
			first := testkit.Value(a.Start(t.Context(), a.user, revoke.Epochs{}, session.Device{Client: "phone"}))(t)
			second := testkit.Value(a.Refresh(t.Context(), first.Refresh, session.Device{Client: "phone"}))(t)
			a.pass(first, grace)
			_, err := a.Refresh(t.Context(), first.Refresh, session.Device{Client: "tablet"})
			testkit.WantError(t, err, revoke.ErrInvalidToken)
			a.accepts(second, true)
		}},
		{"a session that is bound to a key", func(a *app) {
			t := a.t
			first := a.start()
			testkit.Exec(t, a.pool, "UPDATE revoke.sessions SET cnf = 'thumbprint' WHERE sid = $1", first.Session.ID)
			before := a.state(first)
			a.fails(first, session.Invalid)
			if after := a.state(first); after != before {
				t.Errorf("%s became %s", before, after)
			}
			other := a.start()
			a.fails(a.forge(other, map[string]any{"cnf": map[string]any{"jkt": "thumbprint"}}), session.Invalid)
			a.rotates(other)
		}},
	})
}

// TestOtherTokens are no refresh tokens of these sessions.
func TestOtherTokens(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	first := a.start()
	before := a.state(first)
	_, err := a.validator.Validate(t.Context(), first.Refresh)
	testkit.WantError(t, err, revoke.ErrInvalidToken)
	for _, test := range []struct {
		name  string
		token session.Tokens
	}{
		{"empty", session.Tokens{}},
		{"text", session.Tokens{Refresh: "token"}},
		{"the access token", session.Tokens{Refresh: first.Access}},
		{"another typ", a.forgeAs(first, "JWT", nil)},
		{"the typ of access tokens", a.forgeAs(first, "at+jwt", nil)},
		{"another issuer", a.forge(first, map[string]any{"iss": "https://elsewhere.example"})},
		{"no iss", a.forge(first, map[string]any{"iss": nil})},
		{"no sub", a.forge(first, map[string]any{"sub": nil})},
		{"no sid", a.forge(first, map[string]any{"sid": nil})},
		{"no iat", a.forge(first, map[string]any{"iat": nil})},
		{"no exp", a.forge(first, map[string]any{"exp": nil})},
		{"no epochs", a.forge(first, map[string]any{"epochs": nil})},
		{"epochs that are none", a.forge(first, map[string]any{"epochs": "0"})},
		{"no generation", a.forge(first, map[string]any{"generation": nil})},
		{"generation 0", a.forge(first, map[string]any{"generation": 0})},
		{"a negative generation", a.forge(first, map[string]any{"generation": -1})},
		{"a generation that is a text", a.forge(first, map[string]any{"generation": "1"})},
		{"a generation with an exponent", a.forge(first, map[string]any{"generation": json.RawMessage("1e0")})},
		{"a generation above all", a.forge(first, map[string]any{"generation": json.RawMessage("9223372036854775808")})},
		{"a signature of another key", session.Tokens{Refresh: first.Refresh[:len(first.Refresh)-10] + "AAAAAAAAAA"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			failed := a.failure(test.token, session.Invalid)
			if failed.Current != 0 || !failed.At.IsZero() {
				t.Errorf("the database was asked: %+v", failed)
			}
			if test.name != "the access token" && test.name != "the typ of access tokens" {
				testkit.WantError(t, a.EndToken(t.Context(), test.token.Refresh), revoke.ErrInvalidToken)
			}
		})
	}
	if after := a.state(first); after != before {
		t.Errorf("%s became %s", before, after)
	}
}
