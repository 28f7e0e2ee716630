package revokehttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/issuers"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// otherValidator is a validator that has only the methods that a guard demands.
type otherValidator struct{ revokehttp.Validator }

// ofScopes is the option for these scopes, none for nil.
func ofScopes(scopes []revoke.Scope) []revokehttp.LogoutOption {
	if scopes == nil {
		return nil
	}
	return []revokehttp.LogoutOption{revokehttp.WithScopes(scopes...)}
}

var (
	tokenOnly   = []revoke.Scope{revoke.ScopeToken}
	sessionOnly = []revoke.Scope{revoke.ScopeSession}
	both        = []revoke.Scope{revoke.ScopeToken, revoke.ScopeSession}
)

// TestLogoutScopes logs a device out by the token in hand: with its session where the app said
// what a session is, or chose. Other sessions, and tokens without one, live on in any case.
func TestLogoutScopes(t *testing.T) {
	t.Parallel()
	named := revoke.WithClaimNames(revoke.ClaimNames{Session: "sid"})
	except := revoke.WithRequiredSessionExcept(func(context.Context, *revoke.Verified) error { return nil })
	epochs, optionalEpochs := revoke.WithEpochClaim(), revoke.WithOptionalEpochClaim()
	for _, row := range []struct {
		name    string
		opts    []revoke.ValidatorOption
		scopes  []revoke.Scope // nil for the default
		session bool           // is ended
		rows    int            // in which the token is found revoked
	}{
		{"nothing is said", nil, nil, false, 1},
		{"a session is required", []revoke.ValidatorOption{revoke.WithRequiredSession()}, nil, true, 2},
		{"a session is required, with exceptions", []revoke.ValidatorOption{except}, nil, true, 2},
		{"a session is named", []revoke.ValidatorOption{named}, nil, true, 2},
		{"tokens of one's own, by claim", []revoke.ValidatorOption{epochs}, nil, true, 2},
		{"tokens of one's own, in a roll-out", []revoke.ValidatorOption{optionalEpochs}, nil, true, 2},
		{"tokens of one's own, by iat", []revoke.ValidatorOption{revoke.WithIssueTime()}, nil, true, 2},
		{"other names alone", []revoke.ValidatorOption{revoke.WithClaimNames(revoke.ClaimNames{Subject: "sub"})}, nil, false, 1},
		{"tokens of one's own without a session", []revoke.ValidatorOption{epochs, revoke.WithoutSession()}, nil, false, 1},
		{"Keycloak's preset", issuers.Keycloak(), nil, false, 1},
		{"the session is chosen", nil, sessionOnly, true, 1},
		{"both are chosen", nil, both, true, 2},
		{"both are chosen, twice", nil, append(both, both...), true, 2},
		{"the token is chosen", []revoke.ValidatorOption{revoke.WithRequiredSession()}, tokenOnly, false, 1},
		{"the token is chosen, of one's own", []revoke.ValidatorOption{epochs}, tokenOnly, false, 1},
	} {
		for _, through := range []string{"a validator", "a set", "tenants"} {
			t.Run(row.name+"/"+through, func(t *testing.T) {
				t.Parallel()
				store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
				validator := newValidator(t, store, append(row.opts, revoke.WithClock(testkit.Clock))...)
				var asked revokehttp.Validator = validator
				switch through {
				case "a set":
					asked = testkit.Value(revoke.NewValidatorSet([]*revoke.Validator{validator}, nil))(t)
				case "tenants":
					asked = testkit.Value(revoke.NewValidatorSet(nil, func(context.Context, string) (*revoke.Validator, error) { return validator, nil }))(t)
				}
				guard := testkit.Value(revokehttp.NewGuard(asked))(t)
				logout := testkit.Value(guard.Logout(store, ofScopes(row.scopes)...))(t)
				of := func(id, session string) string {
					return testkit.Mint(t, map[string]string{"jti": `"` + id + `"`, "sid": `"` + session + `"`, "typ": `"Bearer"`, "epochs": "[0,0]"})
				}
				presented, sibling, laptop := of("1", "phone"), of("2", "phone"), of("3", "laptop")
				accepts := func(text string) bool {
					_, err := validator.Validate(t.Context(), text)
					if err != nil && !errors.Is(err, revoke.ErrRevoked) {
						t.Fatal(err)
					}
					return err == nil
				}
				testkit.WantAnswer(t, testkit.Serve(logout, testkit.Request("POST", "/", "Authorization", "Bearer "+presented)), 204, "")
				if accepts(presented) || accepts(sibling) == row.session || !accepts(laptop) {
					t.Errorf("accepted after the logout: the token %v, its session %v, another %v", accepts(presented), accepts(sibling), accepts(laptop))
				}
				found := testkit.Value(store.Lookup(t.Context(), testkit.Value(validator.Identify(t.Context(), presented))(t)))(t)
				if len(found) != row.rows {
					t.Errorf("%d rows, want %d: %+v", len(found), row.rows, found)
				}
			})
		}
	}
}

// TestSignInAgainOverOneSession signs in again after a logout, over the provider's session, which
// went on: with the same sid.
func TestSignInAgainOverOneSession(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		opts     []revoke.ValidatorOption
		scopes   []revoke.Scope
		accepted bool
	}{
		{"by default", nil, nil, true},
		{"by Keycloak's preset", issuers.Keycloak(), nil, true},
		{"the session was chosen", issuers.Keycloak(), sessionOnly, false},
		{"the session is the app's", []revoke.ValidatorOption{revoke.WithRequiredSession()}, nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
			validator := newValidator(t, store, append(row.opts, revoke.WithClock(testkit.Clock))...)
			guard := testkit.Value(revokehttp.NewGuard(validator))(t)
			logout := testkit.Value(guard.Logout(store, ofScopes(row.scopes)...))(t)
			signIn := func(id string, at time.Duration) string {
				return testkit.Mint(t, map[string]string{"jti": `"` + id + `"`, "sid": `"sso"`, "typ": `"Bearer"`, "iat": testkit.At(at)})
			}
			first := signIn("1", -time.Minute)
			testkit.WantAnswer(t, testkit.Serve(logout, testkit.Request("POST", "/", "Authorization", "Bearer "+first)), 204, "")
			_, err := validator.Validate(t.Context(), first)
			testkit.WantError(t, err, revoke.ErrRevoked)
			if _, err := validator.Validate(t.Context(), signIn("2", 0)); (err == nil) != row.accepted {
				t.Errorf("the next sign-in: %v", err)
			}
		})
	}
}

// TestLogoutRefusesValidators has validators that accept tokens which the logout could not end. The
// constructor says so, and no request has to.
func TestLogoutRefusesValidators(t *testing.T) {
	t.Parallel()
	noID, derived, required := revoke.WithOptionalID(), revoke.WithDerivedID(), revoke.WithRequiredSession()
	named := revoke.WithClaimNames(revoke.ClaimNames{ID: "uti", Session: "session_id"})
	except := revoke.WithRequiredSessionExcept(func(context.Context, *revoke.Verified) error { return nil })
	noSession, noSubject := revoke.WithoutSession(), revoke.WithOptionalSubject()
	const noIDWanted = `have no "jti", which WithOptionalID accepts`
	for _, row := range []struct {
		name   string
		opts   []revoke.ValidatorOption
		scopes []revoke.Scope
		want   string // "" if Logout accepts the validator
		all    string // of LogoutEverywhere
	}{
		{"plain", nil, nil, "", ""},
		{"no id", []revoke.ValidatorOption{noID}, nil, noIDWanted, ""},
		{"no id, by both", []revoke.ValidatorOption{noID}, both, noIDWanted, ""},
		{"no id, by the session", []revoke.ValidatorOption{noID}, sessionOnly, noIDWanted, ""},
		{"no id and no session", []revoke.ValidatorOption{noID, noSession}, nil, noIDWanted, ""},
		{"no id under another name", []revoke.ValidatorOption{noID, named}, nil, `have no "uti"`, ""},
		{"no id but a session", []revoke.ValidatorOption{noID, required}, nil, "", ""},
		{"no id but a session, by the session", []revoke.ValidatorOption{noID, required}, sessionOnly, "", ""},
		{"no id but a session, by the token", []revoke.ValidatorOption{noID, required}, tokenOnly, noIDWanted, ""},
		{"no id but mostly a session", []revoke.ValidatorOption{noID, except}, nil, noIDWanted, ""},
		{"no id and a session under another name", []revoke.ValidatorOption{noID, named, required}, nil, "", ""},
		{"a derived id", []revoke.ValidatorOption{derived}, nil, "", ""},
		{"a derived id beside no id", []revoke.ValidatorOption{noID, derived}, tokenOnly, "", ""},
		{"a derived id and no session", []revoke.ValidatorOption{derived, noSession}, both, "", ""},
		{"the session, and there is none", []revoke.ValidatorOption{noSession}, sessionOnly, "WithoutSession ignores their session", ""},
		{"no subject", []revoke.ValidatorOption{noSubject}, nil, "", `have no "sub", which WithOptionalSubject accepts`},
	} {
		for _, through := range []string{"a validator", "a set", "an embedded validator"} {
			t.Run(row.name+"/"+through, func(t *testing.T) {
				t.Parallel()
				store := revoketest.NewMemory()
				validator := newValidator(t, store, row.opts...)
				var asked revokehttp.Validator = validator
				switch through {
				case "a set":
					other := testkit.Value(revoke.NewValidator(store, "https://other.example", revoke.AnyAudience(), testkit.Keyfunc("ES256"), []string{"ES256"}))(t)
					asked = testkit.Value(revoke.NewValidatorSet([]*revoke.Validator{other, validator}, nil))(t)
				case "an embedded validator":
					asked = struct{ *revoke.Validator }{validator}
				}
				guard := testkit.Value(revokehttp.NewGuard(asked))(t)
				wanted := func(method string, handler http.Handler, err error, want string) {
					t.Helper()
					switch {
					case want == "" && err != nil:
						t.Errorf("%s = %v", method, err)
					case want != "" && (err == nil || handler != nil || !strings.HasPrefix(err.Error(), "revokehttp: "+method+": ") ||
						!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), testkit.Issuer)):
						t.Errorf("%s = %v, want %q", method, err, want)
					}
				}
				handler, err := guard.Logout(store, ofScopes(row.scopes)...)
				wanted("Logout", handler, err, row.want)
				handler, err = guard.LogoutEverywhere(store)
				wanted("LogoutEverywhere", handler, err, row.all)
			})
		}
	}
	t.Run("scopes", func(t *testing.T) {
		t.Parallel()
		s := newService(t)
		for want, scopes := range map[string][]revoke.Scope{
			"no scope": {}, `scope "user" is none of`: {revoke.ScopeToken, revoke.ScopeUser}, `scope "issuer" is none of`: {revoke.ScopeIssuer},
			`scope "" is none of`: {""},
		} {
			if _, err := s.guard.Logout(s.store, revokehttp.WithScopes(scopes...)); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q", scopes, err, want)
			}
		}
		if _, err := s.guard.LogoutEverywhere(s.store, withSession()); err == nil || !strings.Contains(err.Error(), "WithScopes is an option of Logout only") {
			t.Errorf("LogoutEverywhere = %v", err)
		}
	})
}

// TestLogoutOfUnknownValidators has tokens that cannot be ended, of validators that no
// constructor could ask. Such a token stays alive, so the answer is no 401, after which a
// client drops its token.
func TestLogoutOfUnknownValidators(t *testing.T) {
	t.Parallel()
	const tenant = "https://tenant.example"
	for _, row := range []struct {
		name        string
		without     []string // claims
		logout, all int
	}{
		{"a token without a session", []string{"sid"}, 204, 204},
		{"a token without an id", []string{"jti"}, 503, 204},
		{"a token without an id and a session", []string{"jti", "sid"}, 503, 204},
		{"a token without a subject", []string{"sub"}, 204, 503},
	} {
		for _, through := range []string{"tenants", "a type of the app's"} {
			for _, everywhere := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/everywhere %v", row.name, through, everywhere), func(t *testing.T) {
					t.Parallel()
					store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
					lax := testkit.Value(revoke.NewValidator(store, tenant, revoke.AnyAudience(), testkit.Keyfunc("ES256"), []string{"ES256"},
						revoke.WithClock(testkit.Clock), revoke.WithOptionalID(), revoke.WithOptionalSubject()))(t)
					var validator revokehttp.Validator = otherValidator{lax}
					if through == "tenants" {
						validator = testkit.Value(revoke.NewValidatorSet(nil, func(context.Context, string) (*revoke.Validator, error) { return lax, nil }))(t)
					}
					var reported error
					guard := testkit.Value(revokehttp.NewGuard(validator, revokehttp.WithReport(func(_ *http.Request, err error) { reported = err })))(t)
					logout, want := testkit.Value(guard.Logout(store))(t), row.logout
					if everywhere {
						logout, want = testkit.Value(guard.LogoutEverywhere(store))(t), row.all
					}
					claims := map[string]string{"iss": `"` + tenant + `"`}
					for _, name := range row.without {
						claims[name] = ""
					}
					text := testkit.Mint(t, claims)
					testkit.WantAnswer(t, testkit.Serve(logout, testkit.Request("POST", "/", "Authorization", "Bearer "+text)), want, "")
					if _, err := lax.Validate(t.Context(), text); (err == nil) != (want != 204) {
						t.Errorf("after %d: %v", want, err)
					}
					if want == 503 {
						testkit.WantError(t, reported, revoke.ErrUnavailable)
					}
				})
			}
		}
	}
	t.Run("a tenant by its alias, with a name that the function does not know", func(t *testing.T) {
		t.Parallel()
		store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
		validator := newValidator(t, store, revoke.WithClock(testkit.Clock), revoke.WithIssuerAliases("alias"), revoke.WithRequiredSession())
		set := testkit.Value(revoke.NewValidatorSet(nil, func(_ context.Context, issuer string) (*revoke.Validator, error) {
			if issuer != "alias" {
				return nil, nil
			}
			return validator, nil
		}))(t)
		guard := testkit.Value(revokehttp.NewGuard(set))(t)
		text := testkit.Mint(t, map[string]string{"iss": `"alias"`})
		w := testkit.Serve(testkit.Value(guard.Logout(store))(t), testkit.Request("POST", "/", "Authorization", "Bearer "+text))
		testkit.WantAnswer(t, w, 204, "")
		_, err := validator.Validate(t.Context(), testkit.Mint(t, map[string]string{"jti": `"2"`}))
		testkit.WantError(t, err, revoke.ErrRevoked)
	})
}

// TestLogoutBesideServiceAccounts ends sessions, and tokens that have none by themselves.
func TestLogoutBesideServiceAccounts(t *testing.T) {
	t.Parallel()
	// Only Keycloak's tokens of service accounts have the claim.
	service := revoke.WithRequiredSessionExcept(func(_ context.Context, verified *revoke.Verified) error {
		var claims struct {
			Client string `json:"client_id"`
		}
		if err := verified.Claims(&claims); err != nil || claims.Client != "" {
			return err
		}
		return errors.New("it is a user's")
	})
	for name, opts := range map[string][]revoke.ValidatorOption{"with exceptions": {service}, "without a requirement": nil} {
		for _, scopes := range [][]revoke.Scope{sessionOnly, both} {
			t.Run(fmt.Sprint(name, "/", scopes), func(t *testing.T) {
				t.Parallel()
				store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
				validator := newValidator(t, store, append(opts, revoke.WithClock(testkit.Clock))...)
				guard := testkit.Value(revokehttp.NewGuard(validator))(t)
				logout := testkit.Value(guard.Logout(store, revokehttp.WithScopes(scopes...)))(t)
				of := func(id string) string {
					return testkit.Mint(t, map[string]string{"jti": `"` + id + `"`, "sid": "", "client_id": `"jobs"`, "sub": `"service-account-jobs"`})
				}
				user, job, other := testkit.Mint(t, nil), of("1"), of("2")
				for _, text := range []string{user, job, other} {
					testkit.Value(validator.Validate(t.Context(), text))(t)
				}
				for _, text := range []string{user, job} {
					testkit.WantAnswer(t, testkit.Serve(logout, testkit.Request("POST", "/", "Authorization", "Bearer "+text)), 204, "")
					_, err := validator.Validate(t.Context(), text)
					testkit.WantError(t, err, revoke.ErrRevoked)
				}
				testkit.Value(validator.Validate(t.Context(), other))(t)
			})
		}
	}
}

// TestImpersonation has an operator who acts for ada. What is done with the operator's token is
// recorded as the operator's, ends none of ada's own sessions, and ends with the operator.
func TestImpersonation(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		act   string // of the token that is presented
		actor string // that is recorded
	}{
		{"the subject", "", "ada"},
		{"null", "null", "ada"},
		{"a claim of the app's", `"admin"`, "ada"},
		{"an operator", `{"sub":"admin"}`, "admin"},
		{"an operator of another issuer", `{"iss":"https://staff.example","sub":"admin"}`, "admin"},
		{"a service for an operator", `{"sub":"service","act":{"sub":"admin"}}`, "service"},
		{"an actor without a sub", `{"client_id":"support"}`, "an actor without a sub"},
		{"an actor that is empty", `{}`, "an actor without a sub"},
		{"an actor with null as its sub", `{"sub":null}`, "an actor without a sub"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
			validator := newValidator(t, store, revoke.WithClock(testkit.Clock))
			var reported []error
			guard := testkit.Value(revokehttp.NewGuard(validator, revokehttp.WithCookie("session", "/"),
				revokehttp.WithReport(func(_ *http.Request, err error) { reported = append(reported, err) })))(t)
			logout, everywhere := testkit.Value(guard.Logout(store))(t), testkit.Value(guard.LogoutEverywhere(store))(t)
			own := testkit.Mint(t, nil)
			presented := testkit.Mint(t, map[string]string{"jti": `"2"`, "sid": `"support"`, "act": row.act})
			request := testkit.Request("POST", "/", "Cookie", "__Host-session="+presented)

			if row.actor != "ada" {
				w := testkit.Serve(everywhere, request)
				testkit.WantAnswer(t, w, 403, "")
				if len(reported) != 1 || !errors.Is(reported[0], revokehttp.ErrActor) || len(cookies(t, w)) != 0 {
					t.Errorf("reported %v, cookies %v", reported, cookies(t, w))
				}
				if token, ok := revokehttp.TokenFromError(reported[0]); !ok || token.Subject != "ada" || token.Actor == (revoke.User{}) {
					t.Errorf("the report is of %+v", token)
				}
				testkit.Value(validator.Validate(t.Context(), own))(t)
				testkit.Value(validator.Validate(t.Context(), presented))(t)
			}
			testkit.WantAnswer(t, testkit.Serve(logout, request), 204, "")
			_, err := validator.Validate(t.Context(), presented)
			testkit.WantError(t, err, revoke.ErrRevoked)
			testkit.Value(validator.Validate(t.Context(), own))(t)
			found := testkit.Value(store.Lookup(t.Context(), testkit.Value(validator.Identify(t.Context(), presented))(t)))(t)
			if len(found) != 1 || found[0].Actor != row.actor || found[0].Reason != "logout" {
				t.Errorf("the record is %+v, want the actor %q", found, row.actor)
			}
			if row.actor == "ada" {
				testkit.WantAnswer(t, testkit.Serve(everywhere, testkit.Request("POST", "/", "Authorization", "Bearer "+own)), 204, "")
			}
		})
	}
}
