package revokehttp_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// pair is what a callback is asked about.
type pair struct{ id, secret string }

// recorder is a revocation endpoint that notes what its callback is asked.
func recorder(tb testing.TB, callback revokehttp.AuthenticateClient) (http.Handler, *[]pair, *reports) {
	tb.Helper()
	memory := revoketest.NewMemory()
	asked, reported := new([]pair), new(reports)
	handler, err := revokehttp.NewRevocation(memory, func(ctx context.Context, id, secret string) (revokehttp.Client, error) {
		*asked = append(*asked, pair{id, secret})
		return callback(ctx, id, secret)
	}, kindsOver(tb, memory), reported.option())
	must(tb, err)
	return handler, asked, reported
}

// TestRFC6749Section2_3_1Secrets lets in every client by Basic, encoded and raw, and by the body (scenario 75).
func TestRFC6749Section2_3_1Secrets(t *testing.T) {
	t.Parallel()
	handler, asked, _ := recorder(t, authenticate)
	percent := func(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }
	for id, secret := range testSecrets {
		if secret == "" {
			continue
		}
		manners := map[string]*http.Request{
			"encoded":                  post(encoded(id, secret), "token", "x"),
			"encoded, id in the body":  post(encoded(id, secret), "token", "x", "client_id", id),
			"encoded, no other secret": post(encoded(id, secret), "token", "x", "client_secret", ""),
			"encoded, %20 for a space": post(basic(percent(id), percent(secret)), "token", "x"),
			"body":                     post("", "token", "x", "client_id", id, "client_secret", secret),
		}
		if id != "an:id" { // which cannot be sent raw (RFC 7617 §2)
			manners["raw"] = post(basic(id, secret), "token", "x")
			manners["raw, id in the body"] = post(basic(id, secret), "token", "x", "client_id", id)
		}
		for manner, request := range manners {
			*asked = nil
			revoked(t, answer(handler, request))
			if n := len(*asked); n < 1 || n > 2 || (*asked)[n-1] != (pair{id, secret}) {
				t.Errorf("%s of %q: the callback is asked about %q", manner, id, *asked)
			}
		}
	}
}

// TestRFC6749Section2_3_1Order asks about the decoded pair first, and about the raw one only where that was refused.
func TestRFC6749Section2_3_1Order(t *testing.T) {
	t.Parallel()
	nobody := func(_ context.Context, id, _ string) (revokehttp.Client, error) {
		return revokehttp.Client{}, fmt.Errorf("no client %q: %w", id, revokehttp.ErrInvalidClient)
	}
	down := func(context.Context, string, string) (revokehttp.Client, error) {
		return revokehttp.Client{}, errors.New("the table of clients is away")
	}
	for _, c := range []struct {
		callback revokehttp.AuthenticateClient
		header   string
		status   int
		asked    []pair
	}{
		{authenticate, basic("percent", "a%2520secret%25zz"), 200, []pair{{"percent", "a%20secret%zz"}}},
		{authenticate, basic("pct41", "a%41b"), 200, []pair{{"pct41", "aAb"}, {"pct41", "a%41b"}}},
		{authenticate, basic("plus", "a+secret+plus"), 200, []pair{{"plus", "a secret plus"}, {"plus", "a+secret+plus"}}},
		{authenticate, basic("percent", "a%20secret%zz"), 200, []pair{{"percent", "a%20secret%zz"}}}, // it does not decode
		{nobody, basic("a+b", "c%3Ad"), 401, []pair{{"a b", "c:d"}, {"a+b", "c%3Ad"}}},
		{nobody, basic("web", "plain"), 401, []pair{{"web", "plain"}}},
		{nobody, basic("web", "a:b:c"), 401, []pair{{"web", "a:b:c"}}},
		{down, basic("a+b", "c%3Ad"), 503, []pair{{"a b", "c:d"}}},
	} {
		handler, asked, reported := recorder(t, c.callback)
		if w := answer(handler, post(c.header, "token", "x")); w.Code != c.status || !slices.Equal(*asked, c.asked) {
			t.Errorf("%d after %q, want %d after %q", w.Code, *asked, c.status, c.asked)
		}
		want := map[int]error{200: revoke.ErrInvalidToken, 401: revokehttp.ErrInvalidClient, 503: revoke.ErrUnavailable}[c.status]
		reported.last(t, want)
	}
}

// TestRFC6749Section5_2Client refuses what does not authenticate a client, before the token is looked at (scenario 75).
func TestRFC6749Section5_2Client(t *testing.T) {
	t.Parallel()
	handler, asked, reported := recorder(t, authenticate)
	twoHeaders := post(encoded("web", testSecrets["web"]), "token", "x")
	twoHeaders.Header.Add("Authorization", "Bearer x")
	b64 := base64.StdEncoding.EncodeToString
	for what, want := range map[string]struct {
		request *http.Request
		status  int
		asks    int
	}{
		"nobody":                        {post("", "token", "x"), 401, 0},
		"nobody, about nothing":         {post(""), 401, 0},
		"a secret of nobody":            {post("", "token", "x", "client_secret", "x"), 401, 0},
		"an unknown client":             {post(encoded("nobody", "x"), "token", "x"), 401, 1},
		"a wrong secret":                {post(encoded("web", "x"), "token", "x"), 401, 1},
		"a wrong secret, about nothing": {post(encoded("web", "x")), 401, 1},
		"a wrong secret in the body":    {post("", "token", "x", "client_id", "web", "client_secret", "x"), 401, 1},
		"no secret":                     {post("", "token", "x", "client_id", "web"), 401, 1},
		"an empty secret":               {post("", "token", "x", "client_id", "web", "client_secret", ""), 401, 1},
		"an empty secret by Basic":      {post(basic("web", ""), "token", "x"), 401, 1},
		"no id by Basic":                {post(basic("", "x"), "token", "x"), 401, 0},
		"Basic and nothing":             {post("Basic", "token", "x"), 401, 0},
		"not base64":                    {post("Basic ???", "token", "x"), 401, 0},
		"base64 without padding":        {post("Basic YTpiOg", "token", "x"), 401, 0},
		"base64 of no pair":             {post("Basic "+b64([]byte("web")), "token", "x"), 401, 0},
		"a list of schemes":             {post(encoded("web", testSecrets["web"])+", Bearer x", "token", "x"), 401, 0},
		"NUL":                           {post(basic("web\x00", "x"), "token", "x"), 401, 0},
		"NUL, encoded":                  {post(basic("web%00", "x"), "token", "x"), 401, 1}, // raw, it is a name like others
		"not UTF-8":                     {post(basic("web", "\xff"), "token", "x"), 401, 0},
		"NUL in the body":               {post("", "token", "x", "client_id", "web\x00", "client_secret", "x"), 401, 0},
		"Bearer":                        {post("Bearer x", "token", "x"), 401, 0},
		"Bearer, and a good secret":     {post("Bearer x", "token", "x", "client_id", "web", "client_secret", testSecrets["web"]), 401, 0},
		"an assertion":                  {post("", "token", "x", "client_id", "spa", "client_assertion", "x"), 401, 0},
		"another scheme":                {post("Negotiate x", "token", "x"), 401, 0},
		"two headers":                   {twoHeaders, 400, 0},
		"two ways":                      {post(encoded("web", testSecrets["web"]), "token", "x", "client_secret", testSecrets["web"]), 400, 0},
		"two clients":                   {post(encoded("web", testSecrets["web"]), "token", "x", "client_id", "other"), 400, 0},
		"a public client":               {post("", "token", "x", "client_id", "spa"), 200, 1},
		"a public client by Basic":      {post(basic("spa", ""), "token", "x"), 200, 1},
		"spaces and capitals":           {post("  bASIC    "+encoded("web", testSecrets["web"])[6:]+" ", "token", "x"), 200, 1},
	} {
		*asked = nil
		w := answer(handler, want.request)
		switch want.status {
		case 200:
			revoked(t, w)
		case 401:
			fails(t, w, 401, "invalid_client")
			reported.last(t, revokehttp.ErrInvalidClient)
			if last := (*reported)[len(*reported)-1]; errors.Is(last, revokehttp.ErrBadRequest) || errors.Is(last, revoke.ErrUnavailable) {
				t.Errorf("%s: reported is %v", what, last)
			}
		default:
			fails(t, w, 400, "invalid_request")
			reported.last(t, revokehttp.ErrBadRequest)
		}
		if len(*asked) != want.asks {
			t.Errorf("%s: the callback is asked about %q", what, *asked)
		}
	}
}

// TestClientWithoutID is a mistake of the callback's, and lets nobody in.
func TestClientWithoutID(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "a\x00b", string(make([]byte, revoke.MaxIDLength+1))} {
		handler, _, reported := recorder(t, func(context.Context, string, string) (revokehttp.Client, error) {
			return revokehttp.Client{ID: id}, nil
		})
		fails(t, answer(handler, byWeb("x")), 503, "temporarily_unavailable")
		reported.last(t, revoke.ErrUnavailable)
	}
}

// TestClientWithoutSecret must be public, whatever the callback makes of an empty secret.
func TestClientWithoutSecret(t *testing.T) {
	t.Parallel()
	for _, public := range []bool{false, true} {
		handler, asked, _ := recorder(t, func(_ context.Context, id, _ string) (revokehttp.Client, error) {
			return revokehttp.Client{ID: id, Public: public}, nil
		})
		for _, r := range []*http.Request{
			post("", "token", "x", "client_id", "web"), post("", "token", "x", "client_id", "web", "client_secret", ""),
			post(basic("web", ""), "token", "x"),
		} {
			*asked = nil
			if w := answer(handler, r); public {
				revoked(t, w)
			} else {
				fails(t, w, 401, "invalid_client")
			}
			if !slices.Equal(*asked, []pair{{"web", ""}}) {
				t.Errorf("the callback is asked about %q", *asked)
			}
		}
	}
}
