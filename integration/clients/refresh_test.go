package clients

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/session"
)

// TestOAuth2Refreshes keeps a session with the TokenSource of x/oauth2, which keeps its
// refresh token if the answer has none.
func TestOAuth2Refreshes(t *testing.T) {
	t.Parallel()
	for _, client := range []registered{plain, signs, spaced} {
		for _, row := range []struct {
			name  string
			style oauth2.AuthStyle
		}{{"header", oauth2.AuthStyleInHeader}, {"body", oauth2.AuthStyleInParams}, {"either", oauth2.AuthStyleAutoDetect}} {
			t.Run(client.id+"/"+row.name, func(t *testing.T) {
				t.Parallel()
				p := newProvider(t)
				config := &oauth2.Config{
					ClientID: client.id, ClientSecret: client.secret,
					Endpoint: oauth2.Endpoint{TokenURL: p.URL + "/token", AuthStyle: row.style},
				}
				ctx := context.WithValue(t.Context(), oauth2.HTTPClient, p.Client())
				// refresh returns what follows a token that has expired.
				refresh := func(token *oauth2.Token) (*oauth2.Token, error) {
					expired := *token
					expired.Expiry = time.Now().Add(-time.Second)
					return config.TokenSource(ctx, &expired).Token()
				}
				started := p.start(t, client)
				first := &oauth2.Token{RefreshToken: started.Refresh}
				second := testkit.Value(refresh(first))(t)
				if until := time.Until(second.Expiry); second.Type() != "Bearer" || second.RefreshToken == first.RefreshToken ||
					until <= 0 || until > session.DefaultAccessLifetime || second.Extra("scope") != "read write" {
					t.Errorf("the refresh is answered with %+v", second)
				}
				third := testkit.Value(refresh(second))(t)
				if third.RefreshToken != second.RefreshToken || third.AccessToken == second.AccessToken {
					t.Error("an answer without a refresh token does not leave the client with the one that it has")
				}
				if status := p.call(t, third.AccessToken); status != http.StatusOK {
					t.Errorf("the API answers %d", status)
				}
				// An answer is lost: the client repeats the request with the refresh token
				// that it has.
				p.age(t)
				r := testkit.Value(http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/lose", nil))(t)
				response, err := p.Client().Do(r)
				testkit.Must(t, err)
				testkit.Must(t, response.Body.Close())
				if _, err := refresh(third); err == nil {
					t.Error("no answer was lost")
				}
				fourth := testkit.Value(refresh(third))(t)
				p.age(t)
				fifth := testkit.Value(refresh(fourth))(t)
				// A replay ends the session.
				_, err = refresh(second)
				wantGrant(t, err)
				_, err = refresh(fifth)
				wantGrant(t, err)
				if status := p.call(t, fifth.AccessToken); status != http.StatusUnauthorized {
					t.Errorf("after a replay the API answers %d", status)
				}
			})
		}
	}
	t.Run("another client", func(t *testing.T) {
		t.Parallel()
		p := newProvider(t)
		started := p.start(t, plain)
		config := &oauth2.Config{
			ClientID: signs.id, ClientSecret: signs.secret, Endpoint: oauth2.Endpoint{TokenURL: p.URL + "/token"},
		}
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient, p.Client())
		_, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: started.Refresh}).Token()
		wantGrant(t, err)
		testkit.Value(p.sessions.Refresh(t.Context(), started.Refresh, session.Device{Client: plain.id}))(t)
	})
}

// wantGrant fails the test unless x/oauth2 was answered with invalid_grant.
func wantGrant(t *testing.T, err error) {
	t.Helper()
	if failed := (*oauth2.RetrieveError)(nil); !errors.As(err, &failed) || failed.ErrorCode != "invalid_grant" ||
		failed.Response.StatusCode != http.StatusBadRequest {
		t.Errorf("the error is %v, want invalid_grant", err)
	}
}

// TestClientsRefresh refreshes with libraries of JavaScript.
func TestClientsRefresh(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	type client struct {
		ID      string   `json:"id"`
		Secret  string   `json:"secret"`
		Tokens  []string `json:"tokens"`
		Foreign string   `json:"foreign"` // a refresh token of another client
	}
	var clients []client
	others := p.start(t, foreign)
	for _, c := range []registered{plain, signs, spaced} {
		one := client{ID: c.id, Secret: c.secret, Foreign: others.Refresh}
		for range 4 {
			one.Tokens = append(one.Tokens, p.start(t, c).Refresh)
		}
		clients = append(clients, one)
	}
	run(t, map[string]any{"issuer": p.URL, "clients": clients}, "node", "refresh.mjs")
	if got, err := p.sessions.Refresh(t.Context(), others.Refresh, session.Device{Client: foreign.id}); err != nil || got.Outcome != session.Rotated {
		t.Errorf("the session of another client: %s, %v", got.Outcome, err)
	}
}
