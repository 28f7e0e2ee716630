package clients

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/client/rs"
	zitadel "github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"

	"github.com/pgrevoke/revoke/internal/testkit"
)

// TestZitadel introspects as a resource server and revokes as a relying party. The client
// authenticates in a header and in the body.
func TestZitadel(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	newParty := func(t *testing.T, id, secret string) rp.RelyingParty {
		t.Helper()
		return testkit.Value(rp.NewRelyingPartyOIDC(t.Context(), p.URL, id, secret, "https://app.example/callback", []string{"openid"}))(t)
	}
	introspect := func(t *testing.T, client registered, token string) *zitadel.IntrospectionResponse {
		t.Helper()
		server := testkit.Value(rs.NewResourceServerClientCredentials(t.Context(), p.URL, client.id, client.secret))(t)
		return testkit.Value(rs.Introspect[*zitadel.IntrospectionResponse](t.Context(), server, token))(t)
	}
	for _, client := range []registered{plain, signs, spaced} {
		for _, row := range []struct {
			name  string
			style oauth2.AuthStyle
		}{{"header", oauth2.AuthStyleInHeader}, {"body", oauth2.AuthStyleInParams}} {
			t.Run(client.id+"/"+row.name, func(t *testing.T) {
				party := newParty(t, client.id, client.secret)
				party.OAuthConfig().Endpoint.AuthStyle = row.style
				token := p.mint(t, client)
				before := introspect(t, client, token)
				if !before.Active || before.ClientID != client.id || before.Subject != "ada" || before.Scope.String() != "read write" {
					t.Errorf("before the revocation: %+v", before)
				}
				testkit.Must(t, rp.RevokeToken(t.Context(), party, token, "refresh_token"))
				after := introspect(t, client, token)
				if after.Active || after.Subject != "" {
					t.Errorf("after the revocation: %+v", after)
				}
				if status := p.call(t, token); status != http.StatusUnauthorized {
					t.Errorf("after the revocation the API answers %d", status)
				}
			})
		}
	}
	t.Run("wrong secret", func(t *testing.T) {
		token := p.mint(t, plain)
		if rp.RevokeToken(t.Context(), newParty(t, plain.id, "wrong"), token, "access_token") == nil {
			t.Error("a client with a wrong secret gets no error")
		}
		if status := p.call(t, token); status != http.StatusOK {
			t.Errorf("the API answers %d", status)
		}
	})
}

// TestGoOIDC reads the metadata with go-oidc, verifies a token by the keys that the metadata
// names, and gets the user with x/oauth2 before and after the revocation.
func TestGoOIDC(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	ctx := context.WithoutCancel(t.Context()) // the provider's key set keeps the context
	found, err := oidc.NewProvider(ctx, p.URL)
	testkit.Must(t, err)
	token := p.mint(t, plain)
	_, err = found.Verifier(&oidc.Config{ClientID: "api", SupportedSigningAlgs: []string{"ES256"}}).Verify(ctx, token)
	testkit.Must(t, err)
	source := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token, TokenType: "bearer"})
	user, err := found.UserInfo(ctx, source)
	testkit.Must(t, err)
	if user.Subject != "ada" {
		t.Errorf("user %+v", user)
	}

	var endpoints struct {
		Revocation string `json:"revocation_endpoint"`
	}
	testkit.Must(t, found.Claims(&endpoints))
	form := url.Values{"token": {token}, "client_id": {plain.id}, "client_secret": {plain.secret}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoints.Revocation, strings.NewReader(form.Encode()))
	testkit.Must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := p.Client().Do(r)
	testkit.Must(t, err)
	testkit.Must(t, response.Body.Close())
	if _, err := found.UserInfo(ctx, source); err == nil {
		t.Error("go-oidc gets the user for a revoked token")
	}
	if status := p.call(t, token); status != http.StatusUnauthorized {
		t.Errorf("the API answers %d", status)
	}
}
