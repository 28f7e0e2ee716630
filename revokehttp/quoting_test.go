package revokehttp_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// TestNothingPlantedIsQuoted plants a marker in every place of a token, and looks for it in all
// answers and reports.
func TestNothingPlantedIsQuoted(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
	validator := testkit.Value(revoke.NewValidator(store, testkit.Issuer, revoke.AudienceOf("api"), testkit.Keyfunc("ES256"), []string{"ES256"},
		revoke.WithClock(testkit.Clock)))(t)
	var said []string
	guard := testkit.Value(revokehttp.NewGuard(validator, revokehttp.WithCookie("session", "/"),
		revokehttp.WithReport(func(_ *http.Request, err error) { said = append(said, testkit.Said(err)...) })))(t)
	handlers := []http.Handler{
		guard.Require(http.NotFoundHandler()), testkit.Value(guard.Logout(store))(t), testkit.Value(guard.LogoutEverywhere(store))(t),
	}
	for _, token := range testkit.Planted(t) {
		for _, handler := range handlers {
			for _, r := range []*http.Request{
				testkit.Request("POST", "/", "Authorization", "Bearer "+token.Text), testkit.Request("POST", "/", "Authorization", token.Text),
				testkit.Request("POST", "/", "Cookie", "__Host-session="+token.Text),
			} {
				w := testkit.Serve(handler, r)
				said = append(said, fmt.Sprint(w.Code, w.Header(), w.Body))
			}
		}
		testkit.WantUnplanted(t, token, said...)
		said = nil
		if t.Failed() {
			return
		}
	}
}
