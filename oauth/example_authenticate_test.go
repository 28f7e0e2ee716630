package oauth_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/oauth"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// An API authenticates with a token of its own, and learns of tokens only that are for it.
func ExampleAuthenticate() {
	// In an app the store is a *revoke.Postgres.
	store := revoketest.NewMemory(revoketest.WithClock(exampleClock))
	callers, access := exampleValidator(store, "caller+jwt"), exampleValidator(store, "at+jwt")

	authenticate := oauth.Authenticate(func(r *http.Request) (oauth.Client, error) {
		text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			return oauth.Client{}, revokehttp.ErrNoToken
		}
		caller, err := callers.Validate(r.Context(), text) // of a kind for this endpoint
		if err != nil {
			return oauth.Client{}, err
		}
		return oauth.Client{ID: caller.Subject}, nil
	})
	forAudience := oauth.WithDisclosure(func(_ context.Context, caller oauth.Client, token *revoke.Verified) ([]string, error) {
		var claims jwt.RegisteredClaims
		if err := token.Claims(&claims); err != nil {
			return nil, err
		}
		if !slices.Contains(claims.Audience, caller.ID) {
			return nil, oauth.ErrNotAllowed
		}
		return []string{"sid"}, nil // the API has no use for the session
	})
	introspection, err := oauth.NewIntrospection(authenticate, []oauth.Tokens{oauth.AccessTokens(access)}, forAudience)
	if err != nil {
		log.Fatal(err)
	}

	for _, authorization := range []string{"Bearer " + exampleCaller("api"), "Bearer " + exampleCaller("another"), ""} {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/",
			strings.NewReader("token="+exampleToken("at+jwt", "access-1")))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		introspection.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 {"active":true,"aud":"api","client_id":"web","exp":1000003600,"iat":1000000000,"iss":"https://issuer.example","jti":"access-1","sub":"ada","token_type":"Bearer"}
	// 200 {"active":false}
	// 401 {"error":"invalid_client","error_description":"the client could not be authenticated"}
}

// exampleCaller signs the token of an API, with which it authenticates.
func exampleCaller(name string) string {
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "https://issuer.example", "aud": "api", "sub": name, "jti": "caller " + name, "iat": 1000000000, "exp": 1000003600,
	})
	token.Header["typ"] = "caller+jwt"
	text, err := token.SignedString(exampleKey)
	if err != nil {
		log.Fatal(err)
	}
	return text
}
