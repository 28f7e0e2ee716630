package revokehttp_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// TestGuardOfSeveralIssuers puts one guard in front of two issuers: one with a name and an alias,
// and one with tokens that have no id and a session of another name. A logout ends what it names,
// and leaves the other issuer's token of the same claims.
func TestGuardOfSeveralIssuers(t *testing.T) {
	t.Parallel()
	const tenant = "https://tenant.example"
	mintFor := func(iss, user, session string, issued time.Duration) string {
		return testkit.Mint(t, map[string]string{
			"iss": `"` + iss + `"`, "sub": `"` + user + `"`, "session_id": `"` + session + `"`, "sid": `"` + session + `"`, "jti": "null",
			"iat": testkit.At(issued), "exp": testkit.At(time.Hour),
		})
	}
	derived := revoke.WithDerivedID()
	named := revoke.WithClaimNames(revoke.ClaimNames{Session: "session_id"})
	phone, laptop := mintFor(testkit.Issuer, "ada", "phone", -time.Hour), mintFor(testkit.Issuer, "ada", "laptop", -time.Hour)
	for _, row := range []struct {
		name       string
		everywhere bool
		presented  string
		refused    []string
		accepted   []string
	}{
		{
			"a logout ends the session under each name of the issuer", false, phone,
			[]string{phone, mintFor("issuer.example", "ada", "phone", -time.Minute)},
			[]string{laptop, mintFor(tenant, "ada", "phone", -time.Hour)},
		},
		{
			"a logout by the alias", false, mintFor("issuer.example", "ada", "phone", -time.Minute),
			[]string{phone}, []string{laptop, mintFor(tenant, "ada", "phone", -time.Hour)},
		},
		{
			"a logout of the tenant", false, mintFor(tenant, "ada", "phone", -time.Hour),
			[]string{mintFor(tenant, "ada", "phone", -time.Minute)}, []string{phone, laptop, mintFor(tenant, "ada", "laptop", -time.Hour)},
		},
		{
			"everywhere", true, phone, []string{phone, laptop, mintFor("issuer.example", "ada", "phone", -time.Minute)},
			[]string{mintFor(tenant, "ada", "phone", -time.Hour), mintFor(testkit.Issuer, "eve", "phone", -time.Hour)},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
			validator := func(issuer string, opts ...revoke.ValidatorOption) (*revoke.Validator, error) {
				return revoke.NewValidator(store, issuer, revoke.AudienceOf("api"), testkit.Keyfunc("ES256"), []string{"ES256"},
					append(opts, revoke.WithClock(testkit.Clock), derived, named)...)
			}
			set := testkit.Value(revoke.NewValidatorSet(
				[]*revoke.Validator{testkit.Value(validator(testkit.Issuer, revoke.WithIssuerAliases("issuer.example")))(t)},
				func(_ context.Context, issuer string) (*revoke.Validator, error) {
					if issuer != tenant {
						return nil, nil
					}
					return validator(issuer)
				}))(t)
			guard := testkit.Value(revokehttp.NewGuard(set))(t)
			logout := testkit.Value(guard.Logout(store))(t)
			if row.everywhere {
				logout = testkit.Value(guard.LogoutEverywhere(store))(t)
			}
			service := guard.Require(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
			get := func(token string) int {
				return testkit.Serve(service, testkit.Request("GET", "/", "Authorization", "Bearer "+token)).Code
			}
			for _, token := range append(row.refused, row.accepted...) {
				if code := get(token); code != http.StatusOK {
					t.Fatalf("before the logout: %d", code)
				}
			}
			if code := get(mintFor("https://unknown.example", "ada", "phone", 0)); code != http.StatusUnauthorized {
				t.Errorf("an unknown issuer: %d", code)
			}
			w := testkit.Serve(logout, testkit.Request("POST", "/", "Authorization", "Bearer "+row.presented))
			if w.Code != http.StatusNoContent {
				t.Fatalf("the logout: %d", w.Code)
			}
			for i, token := range append([]string{row.presented}, row.refused...) {
				if code := get(token); code != http.StatusUnauthorized {
					t.Errorf("ended token %d: %d", i, code)
				}
			}
			for i, token := range row.accepted {
				if code := get(token); code != http.StatusOK {
					t.Errorf("token %d of others: %d", i, code)
				}
			}
		})
	}
}

// TestLogoutOfOneToken ends a token without id and session by itself, and leaves its siblings.
func TestLogoutOfOneToken(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
	guard := testkit.Value(revokehttp.NewGuard(newValidator(t, store, revoke.WithClock(testkit.Clock), revoke.WithDerivedID(), revoke.WithoutSession())))(t)
	logout := testkit.Value(guard.Logout(store))(t)
	service := guard.Require(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	of := func(issued time.Duration) string {
		return testkit.Mint(t, map[string]string{"jti": "", "sid": `"team"`, "iat": testkit.At(issued)})
	}
	phone, laptop := of(-time.Minute), of(-time.Minute+time.Second)
	if w := testkit.Serve(logout, testkit.Request("POST", "/", "Authorization", "Bearer "+phone)); w.Code != http.StatusNoContent {
		t.Fatalf("the logout: %d", w.Code)
	}
	for token, want := range map[string]int{phone: 401, laptop: 200} {
		if w := testkit.Serve(service, testkit.Request("GET", "/", "Authorization", "Bearer "+token)); w.Code != want {
			t.Errorf("%d, want %d", w.Code, want)
		}
	}
}
