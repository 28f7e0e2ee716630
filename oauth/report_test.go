package oauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/oauth"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// TestLogTo reads the log lines of both endpoints, by the function of revokehttp.
func TestLogTo(t *testing.T) {
	t.Parallel()
	good := sign(t, accessType, claims("1", nil))
	ofOther := sign(t, accessType, claims("2", map[string]any{"client_id": "other"}))
	for _, row := range []struct {
		name       string
		introspect bool
		client     string
		token      string
		down       bool
		cancel     bool
		outcome    string
		level      string
		jti        string
		status     int
	}{
		{name: "no such client", client: "nobody", token: good, outcome: "refused", level: "INFO", status: 401},
		{name: "another client's token", client: "web", token: ofOther, outcome: "bad request", level: "INFO", jti: "2", status: 400},
		{name: "forged", client: "web", token: good + "A", outcome: "invalid", level: "INFO", status: 200},
		{name: "the store is down", client: "web", token: good, down: true, outcome: "unavailable", level: "ERROR", jti: "1", status: 503},
		{name: "an API asks while the store is down", introspect: true, client: "web", token: good, down: true, outcome: "unavailable", level: "ERROR", jti: "1", status: 503},
		{name: "an API does not wait", introspect: true, client: "web", token: good, cancel: true, outcome: "cancelled", level: "DEBUG", jti: "1", status: 499},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			store := revoketest.NewFaulty(revoketest.NewMemory())
			if row.down {
				store.Fail(errors.New("down"))
			}
			var lines bytes.Buffer
			logger := slog.New(slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
			report := oauth.WithReport(revokehttp.LogTo(logger))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			handler := testkit.Value(oauth.NewRevocation(store, authenticate, kindsOver(t, store), report))(t)
			if row.introspect {
				kinds := kindsOver(t, store)
				if row.cancel {
					cancel()
					kinds = kindsOver(t, testkit.SlowStore{Store: store})
				}
				handler = testkit.Value(oauth.NewIntrospection(authenticate, kinds, report))(t)
			}
			w := testkit.Serve(handler, post(by(row.client), "token", row.token).WithContext(ctx))
			if w.Code != row.status {
				t.Errorf("status %d, want %d", w.Code, row.status)
			}
			var line map[string]string
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Fatalf("not one line: %v: %s", err, lines.String())
			}
			if line["outcome"] != row.outcome || line["level"] != row.level || line["jti"] != row.jti {
				t.Errorf("line %s", lines.String())
			}
			for part := range strings.SplitSeq(row.token, ".") {
				if strings.Contains(lines.String(), part) {
					t.Errorf("the line contains a part of the token: %s", lines.String())
				}
			}
		})
	}
}
