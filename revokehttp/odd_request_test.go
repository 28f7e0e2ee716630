package revokehttp_test

import (
	"io"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
)

func TestOddRequests(t *testing.T) {
	t.Parallel()
	s := newService(t)
	t.Run("guard", func(t *testing.T) { testkit.OddRequests(t, s.handler) })
	t.Run("logout", func(t *testing.T) { testkit.OddRequests(t, testkit.Value(s.guard.Logout(s.store))(t)) })
	t.Run("logout everywhere", func(t *testing.T) {
		testkit.OddRequests(t, testkit.Value(s.guard.LogoutEverywhere(s.store))(t))
	})
}

// TestRetryAfter is in whole seconds, rounded up (RFC 9110 §10.2.3).
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		after time.Duration
		want  string
	}{{1, "1"}, {time.Second, "1"}, {time.Second + 1, "2"}, {time.Hour, "3600"}, {math.MaxInt64, "9223372037"}} {
		t.Run(c.after.String(), func(t *testing.T) {
			t.Parallel()
			guard := newService(t, revokehttp.WithRetryAfter(c.after)).guard
			w := httptest.NewRecorder()
			guard.Refuse(w, testkit.Request("GET", "/"), io.ErrUnexpectedEOF)
			if got := w.Header().Get("Retry-After"); w.Code != 503 || got != c.want {
				t.Errorf("%d with Retry-After %q, want %s", w.Code, got, c.want)
			}
		})
	}
}

// TestRefusalsLookAlike answers a revoked, an expired, a forged and a made-up token with the
// same bytes.
func TestRefusalsLookAlike(t *testing.T) {
	t.Parallel()
	s := newService(t, revokehttp.WithCookie("session", "/"))
	good := mint(t, "1", "s", time.Hour)
	testkit.Must(t, s.store.RevokeSession(t.Context(), revoke.Session{Issuer: testkit.Issuer, ID: "s"}))
	var first *httptest.ResponseRecorder
	for _, token := range []string{good, mint(t, "2", "t", -time.Hour), good[:len(good)-4] + "AAAA", "garbage", strings.Repeat("x", 10<<10)} {
		w := testkit.Serve(s.handler, testkit.Request("GET", "/", "Authorization", "Bearer "+token))
		testkit.WantAnswer(t, w, 401, invalidToken)
		if first == nil {
			first = w
		}
		if w.Body.String() != first.Body.String() || len(w.Header()) != len(first.Header()) {
			t.Errorf("%q with %v, and %q with %v", w.Body, w.Header(), first.Body, first.Header())
		}
	}
}
