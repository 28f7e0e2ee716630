package oauth_test

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
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/oauth"
	"github.com/pgrevoke/revoke/revoketest"
)

// pair is an id and a secret with which an AuthenticateClient is called.
type pair struct{ id, secret string }

// recorder is a revocation endpoint that records the calls of its AuthenticateClient.
type recorder struct {
	http.Handler
	calls   []pair
	reports reports
}

func newRecorder(tb testing.TB, callback oauth.AuthenticateClient) *recorder {
	tb.Helper()
	memory := revoketest.NewMemory()
	rec := new(recorder)
	rec.Handler = testkit.Value(oauth.NewRevocation(memory, oauth.AuthenticateClient(func(ctx context.Context, id, secret string) (oauth.Client, error) {
		rec.calls = append(rec.calls, pair{id, secret})
		return callback(ctx, id, secret)
	}), kindsOver(tb, memory), rec.reports.option()))(tb)
	return rec
}

// TestRFC6749Section2_3_1Secrets authenticates every client by Basic, encoded and raw, and by
// the body.
func TestRFC6749Section2_3_1Secrets(t *testing.T) {
	t.Parallel()
	percent := func(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }
	for id, secret := range secrets {
		if secret == "" {
			continue
		}
		type manner struct {
			name    string
			request *http.Request
		}
		manners := []manner{
			{"encoded", post(encoded(id, secret), "token", "x")},
			{"encoded, id in the body", post(encoded(id, secret), "token", "x", "client_id", id)},
			{"encoded, id and secret in the body", post(encoded(id, secret), "token", "x", "client_id", id, "client_secret", secret)},
			{"encoded, empty secret in the body", post(encoded(id, secret), "token", "x", "client_secret", "")},
			{"encoded, %20 for a space", post(basic(percent(id), percent(secret)), "token", "x")},
			{"body", post("", "token", "x", "client_id", id, "client_secret", secret)},
		}
		if id != "an:id" { // an id with a colon cannot be sent raw (RFC 7617 §2)
			manners = append(manners,
				manner{"raw", post(basic(id, secret), "token", "x")},
				manner{"raw, id in the body", post(basic(id, secret), "token", "x", "client_id", id)},
				manner{
					"raw, id and secret in the body",
					post(basic(id, secret), "token", "x", "client_id", id, "client_secret", secret),
				})
		}
		for _, m := range manners {
			t.Run(id+"/"+m.name, func(t *testing.T) {
				t.Parallel()
				rec := newRecorder(t, authenticate)
				wantRevoked(t, testkit.Serve(rec, m.request))
				if n := len(rec.calls); n < 1 || n > 2 || rec.calls[n-1] != (pair{id, secret}) {
					t.Errorf("the callback is called with %q", rec.calls)
				}
			})
		}
	}
}

// TestRFC6749Section2_3_1Order calls with the decoded pair first, and with the raw pair only if
// the decoded one is refused.
func TestRFC6749Section2_3_1Order(t *testing.T) {
	t.Parallel()
	refuse := func(_ context.Context, id, _ string) (oauth.Client, error) {
		return oauth.Client{}, fmt.Errorf("no client %q: %w", id, oauth.ErrInvalidClient)
	}
	down := func(context.Context, string, string) (oauth.Client, error) {
		return oauth.Client{}, errors.New("the table of clients is away")
	}
	away := func(context.Context, string, string) (oauth.Client, error) {
		return oauth.Client{}, errors.Join(oauth.ErrInvalidClient, revoke.ErrUnavailable)
	}
	for _, c := range []struct {
		name     string
		callback oauth.AuthenticateClient
		header   string
		status   int
		calls    []pair
		report   error
	}{
		{"encoded", authenticate, basic("percent", "a%2520secret%25zz"), 200, []pair{{"percent", "a%20secret%zz"}}, revoke.ErrInvalidToken},
		{"raw percent", authenticate, basic("pct41", "a%41b"), 200, []pair{{"pct41", "aAb"}, {"pct41", "a%41b"}}, revoke.ErrInvalidToken},
		{
			"raw plus", authenticate, basic("plus", "a+secret+plus"), 200,
			[]pair{{"plus", "a secret plus"}, {"plus", "a+secret+plus"}}, revoke.ErrInvalidToken,
		},
		{"raw, cannot be decoded", authenticate, basic("percent", "a%20secret%zz"), 200, []pair{{"percent", "a%20secret%zz"}}, revoke.ErrInvalidToken},
		{"both refused", refuse, basic("a+b", "c%3Ad"), 401, []pair{{"a b", "c:d"}, {"a+b", "c%3Ad"}}, oauth.ErrInvalidClient},
		{"one pair, refused", refuse, basic("web", "plain"), 401, []pair{{"web", "plain"}}, oauth.ErrInvalidClient},
		{"colons in the secret", refuse, basic("web", "a:b:c"), 401, []pair{{"web", "a:b:c"}}, oauth.ErrInvalidClient},
		{"refused, and an outage", away, basic("a+b", "c%3Ad"), 503, []pair{{"a b", "c:d"}}, revoke.ErrUnavailable},
		{"an outage ends it", down, basic("a+b", "c%3Ad"), 503, []pair{{"a b", "c:d"}}, revoke.ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rec := newRecorder(t, c.callback)
			if w := testkit.Serve(rec, post(c.header, "token", "x")); w.Code != c.status || !slices.Equal(rec.calls, c.calls) {
				t.Errorf("%d after %q, want %d after %q", w.Code, rec.calls, c.status, c.calls)
			}
			rec.reports.wantLast(t, c.report)
		})
	}
}

// TestRFC6749Section5_2Client refuses credentials that authenticate no client, before it looks
// at the token.
func TestRFC6749Section5_2Client(t *testing.T) {
	t.Parallel()
	twoHeaders := post(by("web"), "token", "x")
	twoHeaders.Header.Add("Authorization", "Bearer x")
	b64 := base64.StdEncoding.EncodeToString
	for _, c := range []struct {
		name    string
		request *http.Request
		status  int
		calls   int
	}{
		{"no credentials", post("", "token", "x"), 401, 0},
		{"no credentials and no token", post(""), 401, 0},
		{"a secret without an id", post("", "token", "x", "client_secret", "x"), 401, 0},
		{"an unknown client", post(encoded("unknown", "x"), "token", "x"), 401, 1},
		{"a wrong secret", post(encoded("web", "x"), "token", "x"), 401, 1},
		{"a wrong secret and no token", post(encoded("web", "x")), 401, 1},
		{"a wrong secret in the body", post("", "token", "x", "client_id", "web", "client_secret", "x"), 401, 1},
		{"no secret", post("", "token", "x", "client_id", "web"), 401, 1},
		{"an empty secret", post("", "token", "x", "client_id", "web", "client_secret", ""), 401, 1},
		{"an empty secret by Basic", post(basic("web", ""), "token", "x"), 401, 1},
		{"no id by Basic", post(basic("", "x"), "token", "x"), 401, 0},
		{"Basic alone", post("Basic", "token", "x"), 401, 0},
		{"not base64", post("Basic ???", "token", "x"), 401, 0},
		{"base64 without padding", post("Basic YTpiOg", "token", "x"), 401, 0},
		{"base64 of no pair", post("Basic "+b64([]byte("web")), "token", "x"), 401, 0},
		{"a list of schemes", post(by("web")+", Bearer x", "token", "x"), 401, 0},
		{"NUL", post(basic("web\x00", "x"), "token", "x"), 401, 0},
		// The raw pair is an ordinary name.
		{"NUL, encoded", post(basic("web%00", "x"), "token", "x"), 401, 1},
		{"not UTF-8", post(basic("web", "\xff"), "token", "x"), 401, 0},
		{"NUL in the body", post("", "token", "x", "client_id", "web\x00", "client_secret", "x"), 401, 0},
		{"Bearer", post("Bearer x", "token", "x"), 401, 0},
		{"Bearer, and a good secret", post("Bearer x", "token", "x", "client_id", "web", "client_secret", secrets["web"]), 401, 0},
		{"an assertion", post("", "token", "x", "client_id", "spa", "client_assertion", "x"), 401, 0},
		{"another scheme", post("Negotiate x", "token", "x"), 401, 0},
		{"two headers", twoHeaders, 400, 0},
		{"two ways", post(by("web"), "token", "x", "client_secret", secrets["web"]), 400, 0},
		{"two secrets", post(by("web"), "token", "x", "client_id", "web", "client_secret", "x"), 400, 0},
		{"two secrets, a wrong one in the header", post(basic("web", "x"), "token", "x", "client_id", "web", "client_secret", secrets["web"]), 400, 0},
		{"two secrets, none in the header", post(basic("web", ""), "token", "x", "client_id", "web", "client_secret", secrets["web"]), 400, 0},
		{"two clients with one secret", post(by("web"), "token", "x", "client_id", "other", "client_secret", secrets["web"]), 400, 0},
		{"a wrong secret twice", post(basic("web", "x"), "token", "x", "client_id", "web", "client_secret", "x"), 401, 1},
		{"Bearer, and a client with a secret that presents none", post("Bearer x", "token", "x", "client_id", "web"), 401, 1},
		{"Negotiate, and a good secret", post("Negotiate x", "token", "x", "client_id", "web", "client_secret", secrets["web"]), 401, 0},
		{"Basic that is no pair, and a public client", post("Basic ???", "token", "x", "client_id", "spa"), 401, 0},
		{"Basic of another, and a public client", post(by("web"), "token", "x", "client_id", "spa"), 400, 0},
		{"Bearer, and a public client", post("Bearer x", "token", "x", "client_id", "spa"), 200, 1},
		{"bearer in lower case, and a public client", post("bearer x", "token", "x", "client_id", "spa"), 200, 1},
		{"Negotiate, and a public client", post("Negotiate x", "token", "x", "client_id", "spa"), 200, 1},
		{"Bearer without a token, and a public client", post("Bearer", "token", "x", "client_id", "spa"), 200, 1},
		{"two clients", post(by("web"), "token", "x", "client_id", "other"), 400, 0},
		{"a public client", post("", "token", "x", "client_id", "spa"), 200, 1},
		{"a public client by Basic", post(basic("spa", ""), "token", "x"), 200, 1},
		{"spaces and capitals", post("  bASIC    "+by("web")[6:]+" ", "token", "x"), 200, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rec := newRecorder(t, authenticate)
			w := testkit.Serve(rec, c.request)
			switch c.status {
			case 200:
				wantRevoked(t, w)
			case 401:
				wantFailure(t, w, 401, "invalid_client")
				rec.reports.wantLast(t, oauth.ErrInvalidClient)
				if last := rec.reports[len(rec.reports)-1]; errors.Is(last, oauth.ErrBadRequest) || errors.Is(last, revoke.ErrUnavailable) {
					t.Errorf("reported is %v", last)
				}
			default:
				wantFailure(t, w, 400, "invalid_request")
				rec.reports.wantLast(t, oauth.ErrBadRequest)
			}
			if len(rec.calls) != c.calls {
				t.Errorf("the callback is called with %q", rec.calls)
			}
		})
	}
}

// TestClientWithoutID answers 503 if the callback returns a client without a usable id.
func TestClientWithoutID(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, id string }{
		{"empty", ""}, {"NUL", "a\x00b"}, {"too long", string(make([]byte, revoke.MaxIDLength+1))},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rec := newRecorder(t, func(context.Context, string, string) (oauth.Client, error) { return oauth.Client{ID: c.id}, nil })
			wantFailure(t, testkit.Serve(rec, byWeb("x")), 503, "temporarily_unavailable")
			rec.reports.wantLast(t, revoke.ErrUnavailable)
		})
	}
}

// TestClientWithoutSecret must be public, even if the callback accepts the empty secret.
func TestClientWithoutSecret(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		authorization string
		pairs         []string
	}{
		{"no secret", "", []string{"token", "x", "client_id", "web"}},
		{"empty secret", "", []string{"token", "x", "client_id", "web", "client_secret", ""}},
		{"empty secret by Basic", basic("web", ""), []string{"token", "x"}},
	} {
		for _, public := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/public %v", c.name, public), func(t *testing.T) {
				t.Parallel()
				rec := newRecorder(t, func(_ context.Context, id, _ string) (oauth.Client, error) {
					return oauth.Client{ID: id, Public: public}, nil
				})
				if w := testkit.Serve(rec, post(c.authorization, c.pairs...)); public {
					wantRevoked(t, w)
				} else {
					wantFailure(t, w, 401, "invalid_client")
				}
				if !slices.Equal(rec.calls, []pair{{"web", ""}}) {
					t.Errorf("the callback is called with %q", rec.calls)
				}
			})
		}
	}
}
