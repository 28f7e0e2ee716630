package revokehttp_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/mirror"
	"github.com/pgrevoke/revoke/revokehttp"
)

// TestLogoutThroughMirror has a process that answers from memory, and polls rarely. What logged out through its store is refused
// by the next request.
func TestLogoutThroughMirror(t *testing.T) {
	t.Parallel()
	postgres, _ := openPostgres(t)
	m, err := mirror.New(postgres, mirror.WithBound(mirror.MaxBound), mirror.WithInterval(mirror.MaxBound-time.Second))
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	defer func() {
		cancel()
		must(t, <-ended)
	}()
	must(t, m.Ready(ctx))

	keyfunc := func(*jwt.Token) (any, error) { return testKey, nil }
	validator, err := revoke.NewValidator[revoke.Claims](m, testIssuer, keyfunc, []string{"HS256"})
	must(t, err)
	guard, err := revokehttp.New(validator)
	must(t, err)
	service := guard.Require(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	logout, err := guard.Logout(m.Store())
	must(t, err)
	everywhere, err := guard.LogoutEverywhere(m.Store())
	must(t, err)
	by := func(handler http.Handler, method, token string) int {
		return answer(handler, request(method, "/", "Authorization", "Bearer "+token)).Code
	}
	alone, phone, sibling, laptop := mint(t, "1", "", time.Hour), mint(t, "2", "phone", time.Hour), mint(t, "3", "phone", time.Hour), mint(t, "4", "laptop", time.Hour)
	for _, step := range []struct {
		end     http.Handler
		by      string
		dead    []string
		through string
	}{
		{logout, alone, []string{alone}, "logout of a token"},
		{logout, phone, []string{phone, sibling}, "logout of a session"},
		{everywhere, laptop, []string{laptop}, "logout everywhere"},
	} {
		for _, token := range step.dead {
			if got := by(service, "GET", token); got != 200 {
				t.Errorf("before %s: %d", step.through, got)
			}
		}
		if got := by(step.end, "POST", step.by); got != 204 {
			t.Errorf("%s: %d", step.through, got)
		}
		for _, token := range step.dead {
			if got := by(service, "GET", token); got != 401 {
				t.Errorf("after %s: %d", step.through, got)
			}
		}
	}
	if asked := m.Stats().Fallbacks; asked > 0 {
		t.Errorf("the mirror asked Postgres %d times, so this says nothing of its memory", asked)
	}
}
