package oauth_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/oauth"
	"github.com/pgrevoke/revoke/revoketest"
)

var basicScheme = regexp.MustCompile(`(?s)^[ \t]*(?i:basic) +(.*?)[ \t]*$`)

// writes counts the writes of the endpoints.
type writes struct {
	revoke.Store
	count int
}

func (w *writes) RevokeToken(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	w.count++
	return w.Store.RevokeToken(ctx, token, opts...)
}

func (w *writes) InTx(ctx context.Context, fn func(revoke.Revoker) error) error {
	w.count++
	return w.Store.InTx(ctx, fn)
}

// FuzzEndpoints sends arbitrary headers and bodies. The callback is called only with the pair
// that was sent, raw or decoded. Only a signed token is revoked, and only for its own client. A
// token is active only for an authenticated client. "%25" in a body stands for a good token.
func FuzzEndpoints(f *testing.F) {
	for _, header := range []string{
		"", by("web"), basic("pct41", "a%41b"), by("an:id"), basic("spa", ""),
		basic("a%", "%zz"), basic("web", "\x00"), "Basic ?", "Basic", "Bearer x", basic("a+b:", "c+d"),
	} {
		f.Add(header, "token=%25")
		f.Add(header, "token=%25&token_type_hint=refresh_token&client_id=web&client_secret=secret-of-web")
		f.Add(header, "client_id=spa&token=%25")
		f.Add(header, "token=a&token=b")
		f.Add(header, "token=%zz;&=&&client_assertion=x")
	}
	f.Fuzz(func(t *testing.T, header, body string) {
		store := &writes{Store: revoketest.NewMemory()}
		token := sign(t, refreshType, claims("1", nil))
		body = strings.ReplaceAll(body, "%25", token)
		form, formErr := url.ParseQuery(body)
		var calls []pair
		authenticated := "" // the client
		callback := oauth.AuthenticateClient(func(ctx context.Context, id, secret string) (oauth.Client, error) {
			calls = append(calls, pair{id, secret})
			client, err := authenticate(ctx, id, secret)
			authenticated = client.ID
			return client, err
		})
		send := func(handler http.Handler) *httptest.ResponseRecorder {
			calls, authenticated = nil, ""
			w := testkit.Serve(handler, postBody(header, body))
			may := possiblePairs(header, form)
			for _, call := range calls {
				if !slices.Contains(may, call) {
					t.Errorf("the callback is called with %q, want one of %q", call, may)
				}
			}
			switch {
			case len(calls) > 2:
				t.Errorf("the callback is called %d times", len(calls))
			case w.Code == 200 && authenticated == "":
				t.Errorf("200 without an authenticated client")
			case w.Code == 200, w.Code == 400, w.Code == 401:
			case w.Code == 413 && len(body) > 64<<10:
			default:
				t.Errorf("%d", w.Code)
			}
			if (w.Header().Get("WWW-Authenticate") != "") != (w.Code == 401) || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%d with %v", w.Code, w.Header())
			}
			return w
		}
		kinds := kindsOver(t, store)
		introspection := testkit.Value(oauth.NewIntrospection(callback, kinds))(t)
		revocation := testkit.Value(oauth.NewRevocation(store, callback, kinds))(t)

		isGood := formErr == nil && slices.Equal(form["token"], []string{token})
		w := send(introspection)
		if isActive := strings.HasPrefix(w.Body.String(), `{"active":true`); isActive != (w.Code == 200 && isGood && authenticated == "web") ||
			w.Code == 200 && !isActive && w.Body.String() != `{"active":false}` || store.count > 0 {
			t.Errorf("the answer to %q is %d %s, after %d writes", authenticated, w.Code, w.Body, store.count)
		}
		w = send(revocation)
		if done := w.Code == 200 && isGood && authenticated == "web"; (store.count > 0) != done || w.Code == 200 && w.Body.Len() > 0 {
			t.Errorf("the answer to %q is %d %s, after %d writes", authenticated, w.Code, w.Body, store.count)
		}
	})
}

// possiblePairs returns the pairs that a request can mean: the one in the body, and that of
// Basic as it is and decoded.
func possiblePairs(header string, form url.Values) []pair {
	pairs := []pair{{form.Get("client_id"), form.Get("client_secret")}}
	match := basicScheme.FindStringSubmatch(header)
	if match == nil {
		return pairs
	}
	text, _ := base64.StdEncoding.DecodeString(match[1])
	id, secret, _ := strings.Cut(string(text), ":")
	pairs = append(pairs, pair{id, secret})
	id, errID := url.PathUnescape(strings.ReplaceAll(id, "+", " "))
	secret, errSecret := url.PathUnescape(strings.ReplaceAll(secret, "+", " "))
	if errID == nil && errSecret == nil {
		pairs = append(pairs, pair{id, secret})
	}
	return pairs
}
