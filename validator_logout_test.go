package revoke_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
)

// service accepts tokens without a session that have the claim client_id.
func service(_ context.Context, verified *revoke.Verified) error {
	var claims struct {
		Client string `json:"client_id"`
	}
	if err := verified.Claims(&claims); err != nil || claims.Client != "" {
		return err
	}
	return errors.New("it is a user's")
}

// TestWithRequiredSessionExcept accepts tokens without a session only where the app says so.
func TestWithRequiredSessionExcept(t *testing.T) {
	t.Parallel()
	except := revoke.WithRequiredSessionExcept(service)
	missing := []error{jwt.ErrTokenRequiredClaimMissing}
	for _, row := range []struct {
		name    string
		opts    []revoke.ValidatorOption
		claims  map[string]string
		want    error // nil if the token is accepted
		also    []error
		session string
	}{
		{"a session", []revoke.ValidatorOption{except}, nil, nil, nil, "session-1"},
		{"a service", []revoke.ValidatorOption{except}, map[string]string{"sid": "", "client_id": `"jobs"`}, nil, nil, ""},
		{"a service with null", []revoke.ValidatorOption{except}, map[string]string{"sid": "null", "client_id": `"jobs"`}, nil, nil, ""},
		{"a service with an empty session", []revoke.ValidatorOption{except}, map[string]string{"sid": `""`, "client_id": `"jobs"`}, nil, nil, ""},
		{"a service with a session", []revoke.ValidatorOption{except}, map[string]string{"client_id": `"jobs"`}, nil, nil, "session-1"},
		{"no session", []revoke.ValidatorOption{except}, map[string]string{"sid": ""}, revoke.ErrInvalidToken, missing, ""},
		{"an empty session", []revoke.ValidatorOption{except}, map[string]string{"sid": `""`}, revoke.ErrInvalidToken, missing, ""},
		{"a session of another type", []revoke.ValidatorOption{except}, map[string]string{"sid": "7", "client_id": `"jobs"`}, revoke.ErrInvalidToken, nil, ""},
		{
			"no session of another name", []revoke.ValidatorOption{except, revoke.WithClaimNames(revoke.ClaimNames{Session: "session_id"})}, nil,
			revoke.ErrInvalidToken, missing, "",
		},
		{"without exceptions after all", []revoke.ValidatorOption{except, revoke.WithRequiredSession()}, map[string]string{"sid": "", "client_id": `"jobs"`}, revoke.ErrInvalidToken, missing, ""},
		{"with exceptions after all", []revoke.ValidatorOption{revoke.WithRequiredSession(), except}, map[string]string{"sid": "", "client_id": `"jobs"`}, nil, nil, ""},
		{
			"an outage", []revoke.ValidatorOption{revoke.WithRequiredSessionExcept(func(context.Context, *revoke.Verified) error { return context.DeadlineExceeded })},
			map[string]string{"sid": ""}, revoke.ErrUnavailable, nil, "",
		},
		{
			"a session is not shown", []revoke.ValidatorOption{revoke.WithRequiredSessionExcept(func(context.Context, *revoke.Verified) error { panic("asked") })},
			nil, nil, nil, "session-1",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			v, text := es256(t, &askedFor{}, row.opts...), testkit.Mint(t, row.claims)
			if !v.RequiresSession(testkit.Issuer) || v.RequiresSession("x") {
				t.Error("RequiresSession is wrong")
			}
			if row.want != nil {
				refused(t, v, text, row.want, row.also...)
				_, err := v.Identify(t.Context(), text)
				testkit.WantError(t, err, row.want)
				return
			}
			if got := accepted(t, v, text).SessionID; got != row.session {
				t.Errorf("the session is %q, want %q", got, row.session)
			}
		})
	}
	for want, opts := range map[string][]revoke.ValidatorOption{
		"is nil": {revoke.WithRequiredSessionExcept(nil)}, "contradict": {except, revoke.WithoutSession()},
	} {
		_, err := revoke.NewValidator(neverAsked{t}, testkit.Issuer, revoke.AnyAudience(), testkit.Keyfunc("ES256"), []string{"ES256"}, opts...)
		wantConstructorError(t, "NewValidator", err, want)
	}
}

// TestCheckLogoutOfSet asks each validator of a set that is known, and refuses scopes that
// no logout has.
func TestCheckLogoutOfSet(t *testing.T) {
	t.Parallel()
	first := validatorOfIssuer(t, neverAsked{t}, firstIssuer, "ES256", revoke.WithOptionalID(), revoke.WithIssuerAliases("alias"))
	second := validatorOfIssuer(t, neverAsked{t}, secondIssuer, "RS256", revoke.WithOptionalID(), revoke.WithOptionalSubject())
	good := validatorOfIssuer(t, neverAsked{t}, "https://good.example", "RS256", revoke.WithRequiredSession())
	set := testkit.Value(revoke.NewValidatorSet([]*revoke.Validator{good, first, second}, tenantsOf(t, neverAsked{t}, nil)))(t)
	err := set.CheckLogout()
	if err == nil || strings.Count(err.Error(), firstIssuer) != 1 || !strings.Contains(err.Error(), secondIssuer) || strings.Contains(err.Error(), "good") {
		t.Errorf("CheckLogout = %v", err)
	}
	if err := set.CheckLogout(revoke.ScopeUser); err == nil || strings.Contains(err.Error(), firstIssuer) || !strings.Contains(err.Error(), secondIssuer) {
		t.Errorf("CheckLogout of the user = %v", err)
	}
	testkit.Must(t, testkit.Value(revoke.NewValidatorSet([]*revoke.Validator{good}, nil))(t).CheckLogout())
	for _, scope := range []revoke.Scope{revoke.ScopeIssuer, "", "tokens"} {
		if err := good.CheckLogout(revoke.ScopeToken, scope); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("none of scope %q", scope)) {
			t.Errorf("CheckLogout of %q = %v", scope, err)
		}
	}
}

// TestActor reads the claim act as strictly as the other names, and passes over one that is no
// object, which is the app's own.
func TestActor(t *testing.T) {
	t.Parallel()
	staff := func(sub string) revoke.User { return revoke.User{Issuer: testkit.Issuer, Subject: sub} }
	named := []revoke.ValidatorOption{revoke.WithClaimNames(revoke.ClaimNames{Subject: "oid", Numbers: true})}
	long := strings.Repeat("x", revoke.MaxIDLength)
	for _, row := range []struct {
		name  string
		opts  []revoke.ValidatorOption
		act   string
		extra string
		want  revoke.User
		fails bool
	}{
		{"none", nil, "", "", revoke.User{}, false},
		{"null", nil, "null", "", revoke.User{}, false},
		{"a string", nil, `"admin"`, "", revoke.User{}, false},
		{"an array", nil, `[{"sub":"admin"}]`, "", revoke.User{}, false},
		{"a number", nil, "7", "", revoke.User{}, false},
		{"sub", nil, `{"sub":"admin"}`, "", staff("admin"), false},
		{"a sub of the most bytes", nil, `{"sub":"` + long + `"}`, "", staff(long), false},
		{"an actor before it", nil, `{"act":{"sub":"admin"},"sub":"service"}`, "", staff("service"), false},
		{"only an actor before it", nil, `{"act":{"sub":"admin"}}`, "", staff(""), false},
		{"another issuer", nil, `{"iss":"https://staff.example","sub":"admin"}`, "", revoke.User{Issuer: "https://staff.example", Subject: "admin"}, false},
		{"the issuer by name", nil, `{"iss":"` + testkit.Issuer + `","sub":"admin"}`, "", staff("admin"), false},
		{"the issuer by an alias", []revoke.ValidatorOption{revoke.WithIssuerAliases("alias")}, `{"iss":"alias","sub":"admin"}`, "", staff("admin"), false},
		{"no sub", nil, `{"client_id":"support"}`, "", staff(""), false},
		{"a sub that is absent", nil, `{"sub":"","iss":null}`, "", staff(""), false},
		{"sub in capitals", nil, `{"SUB":"admin"}`, "", staff(""), false},
		{"the claim of subjects", named, `{"oid":"o","sub":"s"}`, "", staff("o"), false},
		{"the claim of subjects, a number", named, `{"oid":42}`, "", staff("42"), false},
		{"sub where the claim of subjects is absent", named, `{"sub":"s"}`, "", staff("s"), false},
		{"act in capitals", nil, "", `"ACT":{"sub":"admin"}`, revoke.User{}, false},
		{"act in escapes", nil, "", `"\u0061ct":{"sub":"admin"}`, revoke.User{}, true},
		{"act twice", nil, `{"sub":"a"}`, `"act":{"sub":"b"}`, revoke.User{}, true},
		{"sub twice", nil, `{"sub":"a","sub":"b"}`, "", revoke.User{}, true},
		{"a sub in escapes", nil, `{"\u0073ub":"a"}`, "", revoke.User{}, true},
		{"a sub that is a number", nil, `{"sub":7}`, "", revoke.User{}, true},
		{"a sub with NUL", nil, `{"sub":"a\u0000"}`, "", revoke.User{}, true},
		{"a sub that is too long", nil, `{"sub":"` + long + `x"}`, "", revoke.User{}, true},
		{"an issuer that is a number", nil, `{"iss":7,"sub":"a"}`, "", revoke.User{}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			claims := map[string]string{"act": row.act, "oid": `"ada"`}
			var extra []string
			if row.extra != "" {
				extra = append(extra, row.extra)
			}
			text := testkit.Mint(t, claims, extra...)
			v := es256(t, &askedFor{}, row.opts...)
			if row.fails {
				refused(t, v, text, revoke.ErrInvalidToken)
				_, err := v.Identify(t.Context(), text)
				testkit.WantError(t, err, revoke.ErrInvalidToken)
				return
			}
			if got := accepted(t, v, text).Actor; got != row.want {
				t.Errorf("the actor is %+v, want %+v", got, row.want)
			}
			if got := testkit.Value(v.Identify(t.Context(), text))(t).Actor; got != row.want {
				t.Errorf("Identify: the actor is %+v, want %+v", got, row.want)
			}
		})
	}
}

// TestImpersonationEndsWithItsActor revokes an operator who acts for ada: what was issued
// for the operator until then is refused, by both rules. The tokens of ada, and of another
// operator, are not.
func TestImpersonationEndsWithItsActor(t *testing.T) {
	t.Parallel()
	const staffIssuer = "https://staff.example"
	for rule, opts := range map[string][]revoke.ValidatorOption{
		"iat": nil, "IssueTime": {revoke.WithIssueTime()}, "claim": {revoke.WithEpochClaim()},
	} {
		for _, issuer := range []string{testkit.Issuer, staffIssuer} {
			t.Run(rule+"/"+issuer, func(t *testing.T) {
				t.Parallel()
				now := testkit.Now
				clock := func() time.Time { return now }
				store := revoketest.NewMemory(revoketest.WithClock(clock), revoketest.WithIssuers(testkit.Issuer, staffIssuer))
				v := es256(t, store, append(slices.Clone(opts), revoke.WithClock(clock))...)
				of := func(id, act string, at time.Duration) string {
					if act != "" {
						act = `{"iss":"` + issuer + `","sub":"` + act + `"}`
					}
					return testkit.Mint(t, map[string]string{"jti": `"` + id + `"`, "sid": "", "act": act, "iat": testkit.At(at), "epochs": "[0,0]"})
				}
				own, acting, other := of("1", "", 0), of("2", "admin", 0), of("3", "eve", 0)
				for _, text := range []string{own, acting, other} {
					accepted(t, v, text)
				}
				testkit.Value(store.RevokeUser(t.Context(), revoke.User{Issuer: issuer, Subject: "admin"}))(t)
				refused(t, v, acting, revoke.ErrRevoked)
				accepted(t, v, own)
				accepted(t, v, other)
				now = now.Add(10 * time.Second)
				again := of("4", "admin", 10*time.Second)
				accepted(t, v, again)
				testkit.Value(store.RevokeUser(t.Context(), v.User("ada")))(t)
				refused(t, v, again, revoke.ErrRevoked)
			})
		}
	}
	t.Run("on Postgres", func(t *testing.T) {
		t.Parallel()
		for name, store := range storesWithIssuers(t) {
			v := testkit.Value(revoke.NewValidator(store, testkit.Issuer, revoke.AnyAudience(), testkit.Keyfunc("ES256"), []string{"ES256"}))(t)
			of := func(act string) string {
				now := time.Now().Add(-time.Minute)
				return testkit.Mint(t, map[string]string{
					"jti": `"` + name + `"`, "act": act, "iat": fmt.Sprint(now.Unix()), "exp": fmt.Sprint(now.Add(time.Hour).Unix()),
				})
			}
			acting, unknown := of(`{"sub":"admin of `+name+`"}`), of(`{"iss":"https://unknown.example","sub":"admin"}`)
			accepted(t, v, acting)
			accepted(t, v, unknown) // its store refuses to revoke the actor
			testkit.Value(store.RevokeUser(t.Context(), v.User("admin of "+name)))(t)
			refused(t, v, acting, revoke.ErrRevoked)
			accepted(t, v, of(""))
		}
	})
	t.Run("an outage in between", func(t *testing.T) {
		t.Parallel()
		asked := 0
		v := es256(t, checkerFunc(func(_ context.Context, token revoke.Token) error {
			if asked++; token.Subject == "ada" {
				return nil
			}
			return errors.New("it is down")
		}))
		_, err := v.Validate(t.Context(), testkit.Mint(t, map[string]string{"act": `{"sub":"admin"}`}))
		testkit.WantError(t, err, revoke.ErrUnavailable)
		accepted(t, v, testkit.Mint(t, map[string]string{"act": `{"client_id":"x"}`}))
		if asked != 3 {
			t.Errorf("the checker was asked %d times", asked)
		}
	})
}
