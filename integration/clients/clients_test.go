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
)

// TestZitadel introspects as a resource server and revokes as a relying party, which says who it is in either way.
func TestZitadel(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	for id, secret := range secrets {
		server, err := rs.NewResourceServerClientCredentials(t.Context(), p.URL, id, secret)
		must(t, err)
		for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
			party, err := rp.NewRelyingPartyOIDC(t.Context(), p.URL, id, secret, "https://app.example/callback", []string{"openid"})
			must(t, err)
			party.OAuthConfig().Endpoint.AuthStyle = style
			token := p.mint(t, id)
			before, err := rs.Introspect[*zitadel.IntrospectionResponse](t.Context(), server, token)
			must(t, err)
			if !before.Active || before.ClientID != id || before.Subject != "ada" || before.Scope.String() != "read write" {
				t.Errorf("introspection = %+v", before)
			}
			must(t, rp.RevokeToken(t.Context(), party, token, "refresh_token"))
			after, err := rs.Introspect[*zitadel.IntrospectionResponse](t.Context(), server, token)
			must(t, err)
			if after.Active || after.Subject != "" || p.call(t, token) != http.StatusUnauthorized {
				t.Errorf("after the revocation %+v", after)
			}
		}
	}
	party, err := rp.NewRelyingPartyOIDC(t.Context(), p.URL, "plain", "wrong", "https://app.example/callback", []string{"openid"})
	must(t, err)
	if rp.RevokeToken(t.Context(), party, p.mint(t, "plain"), "access_token") == nil {
		t.Error("a client with a wrong secret revokes")
	}
}

// TestGoOIDC reads the metadata with go-oidc, verifies a token with the keys that it finds, and asks for the user with x/oauth2 before and after the
// revocation.
func TestGoOIDC(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	ctx := context.WithoutCancel(t.Context()) // its key set keeps it
	found, err := oidc.NewProvider(ctx, p.URL)
	must(t, err)
	token := p.mint(t, "plain")
	_, err = found.Verifier(&oidc.Config{ClientID: "api", SupportedSigningAlgs: []string{"ES256"}}).Verify(ctx, token)
	must(t, err)
	source := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token, TokenType: "bearer"})
	user, err := found.UserInfo(ctx, source)
	must(t, err)
	if user.Subject != "ada" {
		t.Errorf("user %+v", user)
	}

	var endpoints struct {
		Revocation string `json:"revocation_endpoint"`
	}
	must(t, found.Claims(&endpoints))
	form := url.Values{"token": {token}, "client_id": {"plain"}, "client_secret": {secrets["plain"]}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoints.Revocation, strings.NewReader(form.Encode()))
	must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := p.Client().Do(r)
	must(t, err)
	must(t, response.Body.Close())
	if _, err := found.UserInfo(ctx, source); err == nil {
		t.Error("the API lets in a token that was revoked")
	}
	if status := p.call(t, token); status != http.StatusUnauthorized {
		t.Errorf("the API answers %d", status)
	}
}
