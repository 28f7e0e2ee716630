package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/oauth"
	"github.com/pgrevoke/revoke/revoketest"
)

// TestNothingIsQuoted searches all answers and reports of the endpoints for tokens and secrets.
func TestNothingIsQuoted(t *testing.T) {
	t.Parallel()
	var written []string
	store := revoketest.NewFaulty(revoketest.NewMemory())
	var keyErr error
	keyfunc := func(*jwt.Token) (any, error) { return testkit.VerificationKey("ES256"), keyErr }
	validator := testkit.Value(revoke.NewValidator(store, testkit.Issuer, revoke.AnyAudience(), keyfunc, []string{"ES256"},
		revoke.WithTokenType(accessType)))(t)
	kinds := []oauth.Tokens{oauth.AccessTokens(validator), oauth.RefreshTokens(validatorOf(t, store, refreshType))}
	var clientErr error
	callback := oauth.AuthenticateClient(func(ctx context.Context, id, secret string) (oauth.Client, error) {
		client, err := authenticate(ctx, id, secret)
		return client, errors.Join(err, clientErr)
	})
	report := oauth.WithReport(func(_ *http.Request, err error) {
		written = append(written, err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err))
		for ; err != nil; err = errors.Unwrap(err) {
			written = append(written, err.Error())
		}
	})
	revocation := testkit.Value(oauth.NewRevocation(store, callback, kinds, report,
		oauth.WithUnsupported(oauth.AccessTokens(validatorOf(t, store, idType)))))(t)
	introspection := testkit.Value(oauth.NewIntrospection(callback, kinds, report))(t)

	good := sign(t, accessType, claims("1", nil))
	tokens := []string{
		good, good[:len(good)-6] + "AAAAAA", good + "~not a token", "opaque-token-of-another-server", strings.Repeat("long-token", 1000),
		sign(t, refreshType, claims("2", nil)), sign(t, idType, claims("3", nil)), sign(t, "x", claims("4", nil)),
		sign(t, accessType, claims("5", jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()})),
		sign(t, accessType, claims("6", jwt.MapClaims{"client_id": "other"})),
		sign(t, accessType, claims("7", jwt.MapClaims{"aud": 7, "jti": strings.Repeat("x", 2000)})),
		sign(t, accessType, claims("8", jwt.MapClaims{"client_id": []string{"a-secret-that-is-no-client"}})),
	}
	const wrong = "a-secret-that-is-wrong"
	confidential := []string{
		wrong, strings.TrimPrefix(encoded("web", wrong), "Basic "), strings.TrimPrefix(by("web"), "Basic "), "a-secret-that-is-no-client",
	}
	for _, secret := range secrets {
		if secret != "" {
			confidential = append(confidential, secret, url.QueryEscape(secret))
		}
	}
	for _, token := range tokens {
		for part := range strings.SplitSeq(token, ".") {
			confidential = append(confidential, part[:min(len(part), 100)])
		}
	}

	down := errors.New("it is down")
	for _, state := range []struct{ store, keys, clients error }{
		{}, {store: down}, {keys: down}, {keys: context.DeadlineExceeded}, {clients: down}, {clients: oauth.ErrInvalidClient},
	} {
		store.Fail(state.store)
		keyErr, clientErr = state.keys, state.clients
		for _, handler := range []http.Handler{introspection, revocation, introspection} {
			for _, token := range tokens {
				inURL, typed, badForm := byWeb(token), byWeb(token), postBody(encoded("web", wrong), "token="+token+"&client_secret="+wrong+"%zz")
				inURL.URL.RawQuery = "token=" + url.QueryEscape(token)
				typed.Header.Set("Content-Type", "text/plain; x="+wrong)
				for _, r := range []*http.Request{
					byWeb(token), inURL, typed, badForm, byWeb(token, "token", token), byWeb(token, "token_type_hint", token),
					byWeb(token, "client_id", wrong), byWeb(token, "client_secret", wrong), post("Bearer "+token, "token", token),
					post(encoded("web", wrong), "token", token), post("Basic "+token, "token", token), post(basic("web", wrong+"%"), "token", token),
					post("", "token", token, "client_id", "web", "client_secret", wrong), post("", "token", token, "client_assertion", wrong),
					post("", "token", token, "client_id", "spa"), post(by("colon"), "token", token),
				} {
					w := testkit.Serve(handler, r)
					written = append(written, fmt.Sprint(w.Code, w.Header(), w.Body))
				}
			}
		}
	}
	text := strings.Join(written, "\n")
	for _, status := range []string{"200 ", "400 ", "401 ", "503 ", "unsupported_token_type", `"active":true`, "another client"} {
		if !strings.Contains(text, status) {
			t.Errorf("the run had no %s", status)
		}
	}
	for _, secret := range confidential {
		if where := strings.Index(text, secret); where >= 0 {
			t.Errorf("%q is quoted: %.300s", secret, text[max(0, where-100):])
		}
	}
}

// TestNothingPlantedIsQuoted plants a marker in every place of a token, and looks for it in all
// answers and reports, except in what introspection tells of a token that is accepted.
func TestNothingPlantedIsQuoted(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
	var said []string
	report := oauth.WithReport(func(_ *http.Request, err error) { said = append(said, testkit.Said(err)...) })
	planted := testkit.Planted(t, `"client_id":"web"`)
	for i, opts := range [][]oauth.TokensOption{nil, {oauth.WithAnyClient()}, {oauth.WithClientClaim("roles")}} {
		validator := testkit.Value(revoke.NewValidator(store, testkit.Issuer, revoke.AnyAudience(), testkit.Keyfunc("ES256"), []string{"ES256"},
			revoke.WithClock(testkit.Clock)))(t)
		kinds := []oauth.Tokens{oauth.AccessTokens(validator, opts...)}
		handlers := []http.Handler{
			testkit.Value(oauth.NewIntrospection(authenticate, kinds, report))(t), testkit.Value(oauth.NewRevocation(store, authenticate, kinds, report))(t),
		}
		for j, token := range planted {
			if i != j%3 { // the order of the tokens differs from run to run
				continue
			}
			for _, handler := range handlers {
				if w := testkit.Serve(handler, byWeb(token.Text)); !strings.Contains(w.Body.String(), `"active":true`) {
					said = append(said, fmt.Sprint(w.Code, w.Header(), w.Body))
				}
			}
			testkit.WantUnplanted(t, token, said...)
			said = nil
			if t.Failed() {
				return
			}
		}
	}
}
