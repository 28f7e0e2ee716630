package signals_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
	"github.com/pgrevoke/revoke/signals"
)

// TestIssuerAliasesOfLogouts delivers logouts under each name of an issuer, through a receiver and
// through a set. What they end is kept under the one name.
func TestIssuerAliasesOfLogouts(t *testing.T) {
	t.Parallel()
	const alias = "idp.example/realms/one"
	for _, row := range []struct {
		name, iss string
		status    int
	}{
		{"the issuer", providerIssuer, 200},
		{"the alias", alias, 200},
		{"another alias", "https://idp.internal/realms/one", 200},
		{"an alias with a slash", alias + "/", 400},
		{"an alias in capitals", strings.ToUpper(alias), 400},
		{"no name", "", 400},
		{"another issuer", otherIssuer, 400},
	} {
		for _, ends := range []string{"EndUser", "EndSession"} {
			for _, through := range []string{"a receiver", "a set"} {
				t.Run(row.name+"/"+ends+"/"+through, func(t *testing.T) {
					t.Parallel()
					store := revoketest.NewMemory(revoketest.WithIssuers(providerIssuer))
					names := []string{alias, "https://idp.internal/realms/one"}
					validator := newValidator(t, store, providerIssuer, revoke.WithIssuerAliases(names...), revoke.WithRequiredSession())
					choice := signals.EndUser()
					if ends == "EndSession" {
						choice = signals.EndSession(validator)
					}
					receiver := testkit.Value(signals.NewBackChannelLogout(store, providerIssuer, []string{clientID}, testkit.Keyfunc("ES256"), es256,
						choice, signals.WithIssuerAliases(providerIssuer, names...)))(t)
					var handler http.Handler = receiver
					if through == "a set" {
						other := testkit.Value(signals.NewBackChannelLogout(store, "https://third.example", []string{clientID}, testkit.Keyfunc("RS256"),
							[]string{"RS256"}, signals.EndUser()))(t)
						handler = testkit.Value(signals.NewBackChannelLogoutSet([]*signals.BackChannelLogout{other, receiver}))(t)
					}
					access := accessOf(t, "ada", "phone", "1", time.Now().Add(-time.Minute))
					text := logoutOf(t, map[string]string{"iss": map[bool]string{true: `"` + row.iss + `"`}[row.iss != ""]})
					for range 2 { // a repeat by the same name or another is carried out already
						wantStatus(t, testkit.Serve(handler, delivery("logout_token="+text)), row.status)
					}
					if _, err := validator.Validate(t.Context(), access); (err == nil) != (row.status == 400) {
						t.Errorf("after %d: %v", row.status, err)
					}
				})
			}
		}
	}
}

// TestIssuerAliasesOfGlobalRevocation names a user under each name of an issuer.
func TestIssuerAliasesOfGlobalRevocation(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{providerIssuer: 204, "idp.example": 204, "idp.example/": 404, otherIssuer: 204, "other.example": 204, "": 400} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := revoketest.NewMemory(revoketest.WithIssuers(providerIssuer, otherIssuer))
			handler := testkit.Value(signals.NewGlobalTokenRevocation(store, allowAll, []string{providerIssuer, otherIssuer}, nil,
				signals.WithIssuerAliases(providerIssuer, "idp.example"), signals.WithIssuerAliases(otherIssuer, "other.example")))(t)
			wantStatus(t, testkit.Serve(handler, revocationRequest(strings.ReplaceAll(issSub, providerIssuer, name))), status)
			for _, issuer := range []string{providerIssuer, otherIssuer} {
				named := strings.Contains(name, "other") == (issuer == otherIssuer)
				if isLoggedOut(t, store, issuer) != (status == 204 && named) {
					t.Errorf("at %s: logged out %v", issuer, isLoggedOut(t, store, issuer))
				}
			}
		})
	}
}

// TestLogoutOfOneSessionEndsAll delivers what a provider sends where an administrator ended all
// sessions of a user: a logout that names one. EndUser ends all, and EndSession the one.
func TestLogoutOfOneSessionEndsAll(t *testing.T) {
	t.Parallel()
	for _, endsUsers := range []bool{true, false} {
		a, _ := newRelyingAppInMemory(t, endsUsers)
		before := time.Now().Add(-time.Minute)
		phone, laptop := accessOf(t, "ada", "phone", "1", before), accessOf(t, "ada", "laptop", "2", before)
		other := accessOf(t, "eve", "tablet", "3", before)
		wantStatus(t, a.deliver(logoutOf(t, nil)), http.StatusOK)
		if a.accepts(t, phone) || a.accepts(t, laptop) == endsUsers || !a.accepts(t, other) {
			t.Errorf("EndUser %v: the phone's token is accepted: %v, the laptop's: %v, another user's: %v", endsUsers,
				a.accepts(t, phone), a.accepts(t, laptop), a.accepts(t, other))
		}
	}
}

// TestLogoutOfSessionBesideServices ends a session at a receiver of which the validator accepts
// tokens of service accounts, which have none. They are ended by themselves.
func TestLogoutOfSessionBesideServices(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory()
	validator := newValidator(t, store, providerIssuer, revoke.WithRequiredSessionExcept(services))
	handler := testkit.Value(signals.NewBackChannelLogout(store, providerIssuer, []string{clientID}, testkit.Keyfunc("ES256"), es256,
		signals.EndSession(validator)))(t)
	before := time.Now().Add(-time.Minute)
	phone, job := accessOf(t, "ada", "phone", "1", before), accessOf(t, "service-account-jobs", "", "2", before)
	verified := testkit.Value(validator.Validate(t.Context(), job))(t)
	testkit.Value(validator.Validate(t.Context(), phone))(t)
	_, err := validator.Validate(t.Context(), accessOf(t, "ada", "", "3", before))
	testkit.WantError(t, err, revoke.ErrInvalidToken)

	wantStatus(t, testkit.Serve(handler, delivery("logout_token="+logoutOf(t, nil))), http.StatusOK)
	_, err = validator.Validate(t.Context(), phone)
	testkit.WantError(t, err, revoke.ErrRevoked)
	testkit.Value(validator.Validate(t.Context(), job))(t)
	testkit.Must(t, store.RevokeToken(t.Context(), verified.Token))
	_, err = validator.Validate(t.Context(), job)
	testkit.WantError(t, err, revoke.ErrRevoked)
}

// services accepts tokens of service accounts.
func services(_ context.Context, verified *revoke.Verified) error {
	if !strings.HasPrefix(verified.Subject, "service-account-") {
		return errors.New("it is a user's")
	}
	return nil
}
