package revokehttp_test

import (
	"context"
	"io"
	"math"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
)

// oddHandlers are all that answer requests by themselves.
func oddHandlers(tb testing.TB) map[string]http.Handler {
	tb.Helper()
	s := newService(tb)
	logout, err := s.guard.Logout(s.store)
	must(tb, err)
	everywhere, err := s.guard.LogoutEverywhere(s.store)
	must(tb, err)
	revocation, err := revokehttp.NewRevocation(s.store, authenticate, kindsOver(tb, s.store))
	must(tb, err)
	introspection, err := revokehttp.NewIntrospection(authenticate, kindsOver(tb, s.store))
	must(tb, err)
	backChannel, err := revokehttp.NewBackChannelLogout(s.store, providerIssuer, []string{clientID}, providerKeyfunc, []string{"ES256"},
		revokehttp.EndUser())
	must(tb, err)
	global, err := revokehttp.NewGlobalTokenRevocation(s.store, anybody, []string{providerIssuer}, nil)
	must(tb, err)
	return map[string]http.Handler{
		"guard": s.handler, "logout": logout, "logout everywhere": everywhere,
		"revocation": revocation, "introspection": introspection, "back-channel": backChannel, "global": global,
	}
}

// TestOddRequests sends each handler what no proper client does. None panics, lets it pass, or lets a cache keep the answer.
func TestOddRequests(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	for name, handler := range oddHandlers(t) {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "post", "PROPFIND", "POST"} {
			for _, contentType := range []string{"", form, "application/json", form + "; charset=utf-7", form + "; charset=utf-8; charset=utf-8", "multipart/form-data", ";", "\xff"} {
				for what, body := range map[string]io.Reader{
					"nil": nil, "empty": strings.NewReader(""), "zeroes": strings.NewReader(string(make([]byte, 100<<10))),
					"percent": strings.NewReader("token=%"), "breaks off": io.MultiReader(strings.NewReader("token="), brokenReader{}),
					"gzip": strings.NewReader("\x1f\x8b\x08\x00\x00"), "deep": strings.NewReader(strings.Repeat("[", 10_000)),
				} {
					r := httptest.NewRequestWithContext(context.Background(), "POST", "/", body)
					r.Method = method
					if body == nil {
						r.Body = nil
					}
					r.Header.Set("Content-Type", contentType)
					w := answer(handler, r)
					if !slices.Contains([]int{400, 401, 405, 413}, w.Code) || w.Header().Get("Cache-Control") != "no-store" {
						t.Errorf("%s: %s with %q and a body %q: %d, Cache-Control %q", name, method, contentType, what, w.Code, w.Header().Get("Cache-Control"))
					}
				}
			}
		}
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestTokenHidesInTheURL refuses a query that cannot be read, in which a token may stand for the logs to keep.
func TestTokenHidesInTheURL(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	token := sign(t, accessType, claims("1", nil))
	for _, query := range []string{"token=x", "token=%zz", "a;token=x", "a=1;token=x", "tok%65n=x", "client_secret=%"} {
		r := byWeb(token)
		r.URL.RawQuery = query
		fails(t, answer(s.revocation, r), 400, "invalid_request")
	}
	if !s.alive(claims("1", nil)) {
		t.Error("it is revoked")
	}
	r := byWeb(token)
	r.URL.RawQuery = "tenant=a%20b&other"
	revoked(t, answer(s.revocation, r))
}

// TestMultipart is no form of these protocols (RFC 7009 §2.1, RFC 7662 §2.1).
func TestMultipart(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var body strings.Builder
	parts := multipart.NewWriter(&body)
	must(t, parts.WriteField("token", sign(t, accessType, claims("1", nil))))
	must(t, parts.Close())
	r := postBody(encoded("web", testSecrets["web"]), body.String())
	r.Header.Set("Content-Type", parts.FormDataContentType())
	fails(t, answer(s.revocation, r), 400, "invalid_request")
	if !s.alive(claims("1", nil)) {
		t.Error("it is revoked")
	}
}

// TestRetryAfter is in whole seconds and rounded up, however long it is (RFC 9110 §10.2.3).
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		1: "1", time.Second: "1", time.Second + 1: "2", time.Hour: "3600", math.MaxInt64: "9223372037",
	} {
		guard := newService(t, revokehttp.WithRetryAfter(d)).guard
		w := httptest.NewRecorder()
		guard.Refuse(w, request("GET", "/"), io.ErrUnexpectedEOF)
		if got := w.Header().Get("Retry-After"); w.Code != 503 || got != want {
			t.Errorf("%v: %d with Retry-After %q, want %s", d, w.Code, got, want)
		}
	}
}

// TestRefusalsLookAlike answers a dead token, a forged one and one of nobody with the same bytes.
func TestRefusalsLookAlike(t *testing.T) {
	t.Parallel()
	s := newService(t, revokehttp.WithCookie("session", "/"))
	good := mint(t, "1", "s", time.Hour)
	must(t, s.store.RevokeSession(t.Context(), revoke.Session{Issuer: testIssuer, ID: "s"}))
	var first *httptest.ResponseRecorder
	for _, token := range []string{good, mint(t, "2", "t", -time.Hour), good[:len(good)-4] + "AAAA", "garbage", strings.Repeat("x", 10<<10)} {
		w := answer(s.handler, request("GET", "/", "Authorization", "Bearer "+token))
		wants(t, w, 401, invalidToken)
		if first == nil {
			first = w
		}
		if w.Body.String() != first.Body.String() || len(w.Header()) != len(first.Header()) {
			t.Errorf("%q with %v, and %q with %v", w.Body, w.Header(), first.Body, first.Header())
		}
	}
}
