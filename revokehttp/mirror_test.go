package revokehttp_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/mirror"
	"github.com/pgrevoke/revoke/revokehttp"
)

// TestLogoutThroughMirror logs out through the store of a mirror that polls rarely. The next
// request is refused from memory.
func TestLogoutThroughMirror(t *testing.T) {
	t.Parallel()
	postgres, _ := testkit.Store(t)
	m := testkit.Value(mirror.New(postgres, mirror.WithBound(mirror.MaxBound), mirror.WithInterval(mirror.MaxBound-time.Second)))(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	defer func() {
		cancel()
		testkit.Must(t, <-ended)
	}()
	testkit.Must(t, m.Ready(ctx))

	guard := testkit.Value(revokehttp.NewGuard(newValidator(t, m)))(t)
	service := guard.Require(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	logout := testkit.Value(guard.Logout(m.Store(), withSession()))(t)
	everywhere := testkit.Value(guard.LogoutEverywhere(m.Store()))(t)
	by := func(handler http.Handler, method, token string) int {
		return testkit.Serve(handler, testkit.Request(method, "/", "Authorization", "Bearer "+token)).Code
	}
	token := func(id, session string) string { return mintAt(t, time.Now(), id, session, time.Hour) }
	alone, phone, sibling, laptop := token("1", ""), token("2", "phone"), token("3", "phone"), token("4", "laptop")
	for _, step := range []struct { // each logs out what the steps before it left
		name    string
		end     http.Handler
		by      string
		refused []string
	}{
		{"logout of a token", logout, alone, []string{alone}},
		{"logout of a session", logout, phone, []string{phone, sibling}},
		{"logout everywhere", everywhere, laptop, []string{laptop}},
	} {
		for _, token := range step.refused {
			if got := by(service, "GET", token); got != 200 {
				t.Errorf("before the %s: %d", step.name, got)
			}
		}
		if got := by(step.end, "POST", step.by); got != 204 {
			t.Errorf("%s: %d", step.name, got)
		}
		for _, token := range step.refused {
			if got := by(service, "GET", token); got != 401 {
				t.Errorf("after the %s: %d", step.name, got)
			}
		}
	}
	if asked := m.Stats().Fallbacks; asked > 0 {
		t.Errorf("the mirror asked Postgres %d times, so this says nothing of its memory", asked)
	}
}
