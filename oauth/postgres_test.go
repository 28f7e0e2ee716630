package oauth_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/oauth"
)

// TestEndpointsOnPostgres calls both endpoints over HTTP, in the end without a database.
func TestEndpointsOnPostgres(t *testing.T) {
	t.Parallel()
	store, pool := testkit.Store(t)
	kinds := kindsOver(t, store)
	mux := http.NewServeMux()
	mux.Handle("/revoke", testkit.Value(oauth.NewRevocation(store, authenticate, kinds))(t))
	mux.Handle("/introspect", testkit.Value(oauth.NewIntrospection(authenticate, kinds))(t))
	server := httptest.NewServer(mux)
	defer server.Close()
	send := func(path, token string) (status int, body string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, byWeb(token).Body)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		r.Header = byWeb(token).Header
		response, err := server.Client().Do(r)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Error(err)
		}
		return response.StatusCode, string(text)
	}
	expect := func(path, token string, status int, body string) {
		t.Helper()
		if got, text := send(path, token); got != status || !strings.HasPrefix(text, body) {
			t.Errorf("%s: %d %s, want %d %s", path, got, text, status, body)
		}
	}

	session := jwt.MapClaims{"sid": "s"}
	access, sibling, refresh := sign(t, accessType, claims("1", session)), sign(t, accessType, claims("2", session)), sign(t, refreshType, claims("3", session))
	bystander := sign(t, accessType, claims("4", nil))
	all := []string{access, sibling, refresh, bystander}
	for _, token := range all {
		expect("/introspect", token, 200, `{"active":true,`)
	}
	expect("/revoke", access, 200, "")
	expect("/introspect", access, 200, `{"active":false}`)
	expect("/introspect", sibling, 200, `{"active":true,`)

	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if status, body := send("/revoke", refresh); status != 200 || body != "" {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	group.Wait()
	expect("/introspect", refresh, 200, `{"active":false}`)
	expect("/introspect", sibling, 200, `{"active":false}`)
	expect("/introspect", bystander, 200, `{"active":true,`)

	// A token that expired long ago ends its session.
	old := jwt.MapClaims{"sid": "t", "iat": time.Now().Add(-48 * time.Hour).Unix(), "exp": time.Now().Add(-24 * time.Hour).Unix()}
	other := sign(t, accessType, claims("5", jwt.MapClaims{"sid": "t"}))
	expect("/introspect", other, 200, `{"active":true,`)
	expect("/revoke", sign(t, refreshType, claims("6", old)), 200, "")
	expect("/introspect", other, 200, `{"active":false}`)

	// A revocation of the issuer ends every token.
	_, err := store.RevokeIssuer(t.Context(), testkit.Issuer)
	testkit.Must(t, err)
	expect("/introspect", bystander, 200, `{"active":false}`)

	pool.Close()
	for _, token := range all {
		expect("/introspect", token, 503, `{"error":"temporarily_unavailable"`)
		expect("/revoke", token, 503, `{"error":"temporarily_unavailable"`)
	}
	expect("/revoke", "garbage", 200, "")
}
