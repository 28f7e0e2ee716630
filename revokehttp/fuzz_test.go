package revokehttp_test

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
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

var (
	bearerScheme = regexp.MustCompile(`(?s)^[ \t]*(?i:bearer)( .*)?$`)
	basicScheme  = regexp.MustCompile(`(?s)^[ \t]*(?i:basic) +(.*?)[ \t]*$`)
	bearerToken  = regexp.MustCompile(`^[ \t]*(?i:bearer) +([A-Za-z0-9._~+/-]+=*)[ \t]*$`)
)

// FuzzAuthorizationHeader lets in nobody but who presents a token in the way of RFC 6750 §2.1, and tells one that is written
// wrongly from one that is not accepted.
func FuzzAuthorizationHeader(f *testing.F) {
	for _, header := range []string{
		"", "Bearer", "Bearer ", "Bearer x", "bearer   %  ", "Bearer x y", "Bearer x, Basic YTpi", "Basic YTpi", "\tBEARER %\t",
		"Bearer\t%", "Bearer %=", "Bearer =", "Bearer é", "%", "Bearerx %", "Bearer \x00", "Bearer %\n",
	} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		good := mint(t, "1", "s", time.Hour)
		header = strings.ReplaceAll(header, "%", good)
		s := newService(t)
		r := request("GET", "/")
		r.Header["Authorization"] = []string{header}
		match := bearerToken.FindStringSubmatch(header)
		switch w := answer(s.handler, r); {
		case match != nil && match[1] == good:
			wants(t, w, 200, "")
		case match != nil:
			wants(t, w, 401, invalidToken)
		case bearerScheme.MatchString(strings.TrimRight(header, " \t")):
			wants(t, w, 400, badRequest)
		default:
			wants(t, w, 401, nothingSent)
		}
		if (s.calls == 1) != (match != nil && match[1] == good) {
			t.Errorf("%q: the handler was called %d times", header, s.calls)
		}
	})
}

// watched counts what endpoints write.
type watched struct {
	revoke.Store
	writes int
}

func (w *watched) RevokeToken(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	w.writes++
	return w.Store.RevokeToken(ctx, token, opts...)
}

func (w *watched) InTx(ctx context.Context, fn func(revoke.Revoker) error) error {
	w.writes++
	return w.Store.InTx(ctx, fn)
}

// FuzzEndpoints sends arbitrary headers and bodies. The callback sees no pair but the one that was sent, raw or decoded; nothing is
// written but for a token that is signed, for its own client; and a token is active for nobody who is not authenticated.
func FuzzEndpoints(f *testing.F) {
	for _, header := range []string{
		"", encoded("web", testSecrets["web"]), basic("pct41", "a%41b"), encoded("an:id", testSecrets["an:id"]), basic("spa", ""),
		basic("a%", "%zz"), basic("web", "\x00"), "Basic ?", "Basic", "Bearer x", basic("a+b:", "c+d"),
	} {
		f.Add(header, "token=%25")
		f.Add(header, "token=%25&token_type_hint=refresh_token&client_id=web&client_secret=secret-of-web")
		f.Add(header, "client_id=spa&token=%25")
		f.Add(header, "token=a&token=b")
		f.Add(header, "token=%zz;&=&&client_assertion=x")
	}
	f.Fuzz(func(t *testing.T, header, body string) {
		memory := &watched{Store: revoketest.NewMemory()}
		token := sign(t, refreshType, claims("1", nil))
		body = strings.ReplaceAll(body, "%25", token)
		form, formErr := url.ParseQuery(body)
		var asked []pair
		recognised := "" // the client
		callback := func(ctx context.Context, id, secret string) (revokehttp.Client, error) {
			asked = append(asked, pair{id, secret})
			client, err := authenticate(ctx, id, secret)
			recognised = client.ID
			return client, err
		}
		send := func(handler http.Handler) *httptest.ResponseRecorder {
			asked, recognised = nil, ""
			w := answer(handler, postBody(header, body))
			may := mayAsk(header, form)
			for _, p := range asked {
				if !slices.Contains(may, p) {
					t.Errorf("the callback sees %q of %q", p, may)
				}
			}
			switch {
			case len(asked) > 2:
				t.Errorf("the callback is asked %d times", len(asked))
			case w.Code == 200 && recognised == "":
				t.Errorf("200 for nobody")
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
		kinds := kindsOver(t, memory)
		introspection, err := revokehttp.NewIntrospection(callback, kinds)
		must(t, err)
		revocation, err := revokehttp.NewRevocation(memory, callback, kinds)
		must(t, err)

		own := formErr == nil && slices.Equal(form["token"], []string{token})
		w := send(introspection)
		if isActive := strings.HasPrefix(w.Body.String(), `{"active":true`); isActive != (w.Code == 200 && own && recognised == "web") ||
			w.Code == 200 && !isActive && w.Body.String() != `{"active":false}` || memory.writes > 0 {
			t.Errorf("%q is told %d %s, after %d writes", recognised, w.Code, w.Body, memory.writes)
		}
		w = send(revocation)
		if done := w.Code == 200 && own && recognised == "web"; (memory.writes > 0) != done || w.Code == 200 && w.Body.Len() > 0 {
			t.Errorf("%q is told %d %s, after %d writes", recognised, w.Code, w.Body, memory.writes)
		}
	})
}

// mayAsk are the pairs that a request can mean: of the body, and of Basic as it is and decoded.
func mayAsk(header string, form url.Values) []pair {
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
