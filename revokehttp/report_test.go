package revokehttp_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// TestLogTo reads the log line of each kind of refusal: outcome, reason and level, the names of a
// token with a verified signature, and nothing of any other, nor of a token's text.
func TestLogTo(t *testing.T) {
	t.Parallel()
	good := testkit.Mint(t, nil)
	revoked := testkit.Mint(t, map[string]string{"jti": `"revoked-1"`})
	expired := testkit.Mint(t, map[string]string{"jti": `"expired-1"`, "exp": testkit.At(-time.Minute), "iat": testkit.At(-time.Hour)})
	foreign := testkit.Mint(t, map[string]string{"iss": `"https://other.example"`, "jti": `"foreign-1"`})
	nameless := testkit.Mint(t, map[string]string{"jti": ""})
	forged := testkit.Mint(t, map[string]string{"jti": `"forged-1"`})
	forged = forged[:strings.LastIndex(forged, ".")+1] + testkit.Base64(strings.Repeat("s", 64))
	names := func(issuer, jti string) map[string]string {
		return map[string]string{"issuer": issuer, "sub": "ada", "jti": jti}
	}
	for _, row := range []struct {
		name    string
		method  string // GET unless set
		header  []string
		down    bool // the store does not answer
		cancel  bool // the client disconnects during Validate
		outcome string
		level   string
		reason  string
		who     map[string]string
		status  int
	}{
		{
			name:    "no token",
			outcome: "no token", level: "DEBUG", reason: "no token", status: 401,
		},
		{
			name: "twice", header: []string{"Authorization", "Bearer " + good, "Authorization", "Bearer " + good},
			outcome: "bad request", level: "INFO", reason: "2 Authorization", status: 400,
		},
		{
			name: "malformed", header: []string{"Authorization", "Bearer x"},
			outcome: "invalid", level: "INFO", reason: "parts", status: 401,
		},
		{
			name: "forged", header: []string{"Authorization", "Bearer " + forged},
			outcome: "invalid", level: "INFO", reason: "signature", status: 401,
		},
		{
			name: "revoked", header: []string{"Authorization", "Bearer " + revoked},
			outcome: "revoked", level: "INFO", reason: "token revoked at", status: 401, who: names(testkit.Issuer, "revoked-1"),
		},
		{
			name: "expired", header: []string{"Authorization", "Bearer " + expired},
			outcome: "invalid", level: "INFO", reason: "expired", status: 401, who: names(testkit.Issuer, "expired-1"),
		},
		{
			name: "of another issuer", header: []string{"Authorization", "Bearer " + foreign},
			outcome: "invalid", level: "INFO", reason: "issuer", status: 401, who: names("https://other.example", "foreign-1"),
		},
		{
			name: "without jti", header: []string{"Authorization", "Bearer " + nameless},
			outcome: "invalid", level: "INFO", reason: "jti", status: 401, who: map[string]string{"issuer": testkit.Issuer, "sub": "ada"},
		},
		{
			name: "refused by the app's rule", header: []string{"Authorization", "Bearer " + good, "X-Rule", "no"},
			outcome: "invalid", level: "INFO", reason: "not an admin", status: 401, who: names(testkit.Issuer, "token-1"),
		},
		{
			name: "the store is down", header: []string{"Authorization", "Bearer " + good}, down: true,
			outcome: "unavailable", level: "ERROR", reason: "down", status: 503, who: names(testkit.Issuer, "token-1"),
		},
		{
			name: "the client has disconnected", header: []string{"Authorization", "Bearer " + good}, cancel: true,
			outcome: "cancelled", level: "DEBUG", reason: "context canceled", status: 499, who: names(testkit.Issuer, "token-1"),
		},
		{
			name: "a logout while the store is down", method: "POST", header: []string{"Authorization", "Bearer " + good}, down: true,
			outcome: "unavailable", level: "ERROR", reason: "down", status: 503, who: names(testkit.Issuer, "token-1"),
		},
		{
			name: "another site", method: "POST", header: []string{"Cookie", "__Host-token=" + good, "Sec-Fetch-Site", "cross-site"},
			outcome: "cross-origin", level: "INFO", reason: "cross-origin", status: 403,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			memory := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
			testkit.Must(t, memory.RevokeToken(t.Context(), revoke.Token{Issuer: testkit.Issuer, ID: "revoked-1"}))
			store := revoketest.NewFaulty(memory)
			if row.down {
				store.Fail(errors.New("down"))
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			validator := newValidator(t, store, revoke.WithClock(testkit.Clock),
				revoke.WithClaimsCheck(func(ctx context.Context, _ *revoke.Verified) error {
					if ctx.Value(ruleKey{}) != "" {
						return errors.New("not an admin")
					}
					if row.cancel {
						cancel()
						return ctx.Err()
					}
					return nil
				}))
			var lines bytes.Buffer
			logger := slog.New(slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
			guard := testkit.Value(revokehttp.NewGuard(validator, revokehttp.WithCookie("token", "/"),
				revokehttp.WithReport(revokehttp.LogTo(logger))))(t)
			logout := testkit.Value(guard.Logout(store))(t)
			mux := http.NewServeMux()
			mux.Handle("GET /{secret}", guard.Require(http.NotFoundHandler()))
			mux.Handle("POST /{secret}", logout)
			method := cmp.Or(row.method, http.MethodGet)
			r := testkit.Request(method, "/very-secret?very=secret", row.header...)
			w := testkit.Serve(mux, r.WithContext(context.WithValue(ctx, ruleKey{}, r.Header.Get("X-Rule"))))
			if w.Code != row.status {
				t.Errorf("status %d, want %d", w.Code, row.status)
			}

			var line map[string]string
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Fatalf("not one line: %v: %s", err, lines.String())
			}
			if line["outcome"] != row.outcome || line["level"] != row.level || line["msg"] != "request refused" ||
				!strings.Contains(line["reason"], row.reason) || line["route"] != method+" /{secret}" {
				t.Errorf("line %s", lines.String())
			}
			for _, key := range []string{"issuer", "sub", "jti"} {
				if line[key] != row.who[key] {
					t.Errorf("%s is %q, want %q", key, line[key], row.who[key])
				}
			}
			for _, token := range []string{good, revoked, expired, foreign, nameless, forged} {
				for _, part := range append(strings.Split(token, "."), token, "very-secret", "forged-1") {
					if strings.Contains(lines.String(), part) {
						t.Errorf("the line contains %q: %s", part, lines.String())
					}
				}
			}
		})
	}
}

// ruleKey is the key of a value in the context of a request.
type ruleKey struct{}

// TestLogToDefault logs to the logger that slog.Default returns at the time.
func TestLogToDefault(t *testing.T) {
	before := slog.Default()
	t.Cleanup(func() { slog.SetDefault(before) })
	report := revokehttp.LogTo(nil)
	var lines bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&lines, nil)))
	report(testkit.Request("GET", "/"), revoke.ErrRevoked)
	if !strings.Contains(lines.String(), "outcome=revoked") {
		t.Errorf("line %q", lines.String())
	}
}

// TestTokenFromError finds no token where none was verified.
func TestTokenFromError(t *testing.T) {
	t.Parallel()
	validator := newValidator(t, revoketest.NewMemory(), revoke.WithClock(testkit.Clock))
	for _, err := range []error{nil, revoke.ErrRevoked, &revoke.RevokedError{}, revokehttp.ErrNoToken} {
		if token, ok := revokehttp.TokenFromError(err); ok || token != (revoke.Token{}) {
			t.Errorf("of %v: %+v", err, token)
		}
	}
	_, err := validator.Validate(t.Context(), testkit.Mint(t, map[string]string{"aud": `"another"`}))
	token, ok := revokehttp.TokenFromError(err)
	if want := (revoke.Token{Issuer: testkit.Issuer, ID: "token-1", Subject: "ada", SessionID: "session-1"}); !ok || token != want {
		t.Errorf("of %v: %+v", err, token)
	}
	_, err = validator.Validate(t.Context(), testkit.SignRaw(t, "ES256", testkit.Header, testkit.Payload(nil, `"jti":"twice"`)))
	if token, ok := revokehttp.TokenFromError(err); ok {
		t.Errorf("of %v: %+v", err, token)
	}
}

// TestServerDeadline is an outage, and no client that has disconnected.
func TestServerDeadline(t *testing.T) {
	t.Parallel()
	guard := testkit.Value(revokehttp.NewGuard(newValidator(t, testkit.SlowStore{}, revoke.WithClock(testkit.Clock))))(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	r := testkit.Request("GET", "/", "Authorization", "Bearer "+testkit.Mint(t, nil)).WithContext(ctx)
	w := testkit.Serve(guard.Require(http.NotFoundHandler()), r)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("answer %d, %v", w.Code, w.Header())
	}
}
