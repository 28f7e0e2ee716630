package revoke_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/issuers"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
)

// The issuers of these tests.
const (
	firstIssuer  = testkit.Issuer // signs by ES256
	secondIssuer = "https://second.example"
	tenantPrefix = "https://tenants.example/"
)

// issuedBy signs testkit's token in the name of an issuer.
func issuedBy(tb testing.TB, issuer, alg string) string {
	tb.Helper()
	return testkit.SignRaw(tb, alg, `{"alg":"`+alg+`"}`, testkit.Payload(map[string]string{"iss": `"` + issuer + `"`}))
}

// validatorOfIssuer returns a validator of an issuer's tokens, by the key of an algorithm.
func validatorOfIssuer(tb testing.TB, checker revoke.Checker, issuer, alg string, opts ...revoke.ValidatorOption) *revoke.Validator {
	tb.Helper()
	opts = append(opts, revoke.WithClock(testkit.Clock))
	return testkit.Value(revoke.NewValidator(checker, issuer, revoke.AnyAudience(), testkit.Keyfunc(alg), []string{alg}, opts...))(tb)
}

// tenantsFunc is a function for tenants.
type tenantsFunc = func(context.Context, string) (*revoke.Validator, error)

// setOf returns the set of two validators, of firstIssuer and secondIssuer, and of the tenants.
func setOf(tb testing.TB, checker revoke.Checker, tenants tenantsFunc) *revoke.ValidatorSet {
	tb.Helper()
	return testkit.Value(revoke.NewValidatorSet([]*revoke.Validator{
		validatorOfIssuer(tb, checker, firstIssuer, "ES256", revoke.WithIssuerAliases("issuer.example")),
		validatorOfIssuer(tb, checker, secondIssuer, "RS256", revoke.WithRequiredSession()),
	}, tenants))(tb)
}

// tenantsOf knows the issuers under tenantPrefix, which sign by EdDSA. It counts its calls.
func tenantsOf(tb testing.TB, checker revoke.Checker, calls *atomic.Int32) tenantsFunc {
	tb.Helper()
	return func(_ context.Context, issuer string) (*revoke.Validator, error) {
		calls.Add(1)
		if !strings.HasPrefix(issuer, tenantPrefix) {
			return nil, nil
		}
		return validatorOfIssuer(tb, checker, issuer, "EdDSA"), nil
	}
}

// refusedBySet expects an error of both methods that matches want and quotes nothing of the token.
func refusedBySet(tb testing.TB, set *revoke.ValidatorSet, text string, want error, also ...error) {
	tb.Helper()
	verified, err := set.Validate(tb.Context(), text)
	token, identifyErr := set.Identify(tb.Context(), text)
	if verified != nil || token != (revoke.Token{}) {
		tb.Errorf("beside %v and %v there are %+v and %+v", err, identifyErr, verified, token)
	}
	for _, err := range []error{err, identifyErr} {
		if err == nil {
			tb.Fatal("the token is accepted")
		}
		testkit.WantError(tb, err, want)
		for _, sentinel := range also {
			if !errors.Is(err, sentinel) {
				tb.Errorf("%v does not match %v", err, sentinel)
			}
		}
		if strings.Contains(err.Error(), "unknown.example") {
			tb.Errorf("the error repeats the token: %v", err)
		}
	}
}

func TestValidatorSetPicksByIssuer(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	for _, row := range []struct{ name, iss, alg, want string }{
		{"the first", firstIssuer, "ES256", firstIssuer},
		{"an alias of the first", "issuer.example", "ES256", firstIssuer},
		{"the second", secondIssuer, "RS256", secondIssuer},
		{"a tenant", tenantPrefix + "a", "EdDSA", tenantPrefix + "a"},
		{"another tenant", tenantPrefix + "b", "EdDSA", tenantPrefix + "b"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
			set := setOf(t, store, tenantsOf(t, store, &calls))
			text := issuedBy(t, row.iss, row.alg)
			verified := testkit.Value(set.Validate(t.Context(), text))(t)
			token := testkit.Value(set.Identify(t.Context(), text))(t)
			if verified.Token != token || token.Issuer != row.want {
				t.Errorf("Validate = %+v, Identify = %+v, want issuer %s", verified.Token, token, row.want)
			}
			testkit.Must(t, store.RevokeToken(t.Context(), token))
			_, err := set.Validate(t.Context(), text)
			testkit.WantError(t, err, revoke.ErrRevoked)
		})
	}
}

// TestValidatorSetGivesNoSecondOpinion refuses what the validator of the token's iss refuses, where
// another validator of the set would have accepted the signature.
func TestValidatorSetGivesNoSecondOpinion(t *testing.T) {
	t.Parallel()
	unsigned := func(payload string) string { return testkit.SignRaw(t, "ES256", testkit.Header, payload) }
	iss := func(value string) string { return unsigned(testkit.Payload(map[string]string{"iss": value})) }
	good := issuedBy(t, firstIssuer, "ES256")
	for _, row := range []struct {
		name, text string
		also       error
	}{
		{"the first, by the key of the second", issuedBy(t, firstIssuer, "RS256"), nil},
		{"the second, by the key of the first", issuedBy(t, secondIssuer, "ES256"), nil},
		{"a tenant, by the key of the first", issuedBy(t, tenantPrefix+"a", "ES256"), nil},
		{"an unknown issuer, by the key of the first", issuedBy(t, "https://unknown.example", "ES256"), jwt.ErrTokenInvalidIssuer},
		{"the first and a slash", issuedBy(t, firstIssuer+"/", "ES256"), jwt.ErrTokenInvalidIssuer},
		{"the first in capitals", issuedBy(t, strings.ToUpper(firstIssuer), "ES256"), jwt.ErrTokenInvalidIssuer},
		{"no iss", iss(""), jwt.ErrTokenRequiredClaimMissing},
		{"an empty iss", iss(`""`), nil},
		{"an iss of null", iss("null"), jwt.ErrInvalidType},
		{"an iss of one name", iss(`["` + firstIssuer + `"]`), jwt.ErrInvalidType},
		{"an iss that is too long", iss(`"` + strings.Repeat("x", revoke.MaxIDLength+1) + `"`), nil},
		{"iss twice", unsigned(testkit.Payload(nil, `"iss":"`+secondIssuer+`"`)), nil},
		{"iss twice alike", unsigned(testkit.Payload(nil, `"iss":"`+firstIssuer+`"`)), nil},
		{"iss in escapes", unsigned(testkit.Payload(map[string]string{"iss": ""}, `"\u0069ss":"`+firstIssuer+`"`)), nil},
		{"ISS", unsigned(testkit.Payload(map[string]string{"iss": ""}, `"ISS":"`+firstIssuer+`"`)), jwt.ErrTokenRequiredClaimMissing},
		{"no JSON", unsigned("{"), nil},
		{"no object", unsigned("[]"), nil},
		{"invalid UTF-8", unsigned("{\"iss\":\"a\xff\"}"), nil},
		{"no token", "", jwt.ErrTokenMalformed},
		{"dots", "..", nil},
		{"no base64", "A.A.A", jwt.ErrTokenMalformed},
		{"a megabyte", strings.Repeat("A", 1<<20+1), jwt.ErrTokenMalformed},
		{"padding", strings.Replace(good, ".", "=.", 2), jwt.ErrTokenMalformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			var also []error
			if row.also != nil {
				also = append(also, row.also)
			}
			refusedBySet(t, setOf(t, neverAsked{t}, tenantsOf(t, neverAsked{t}, &calls)), row.text, revoke.ErrInvalidToken, also...)
			refusedBySet(t, setOf(t, neverAsked{t}, nil), row.text, revoke.ErrInvalidToken)
		})
	}
	t.Run("the zero set knows no issuer", func(t *testing.T) {
		t.Parallel()
		refusedBySet(t, new(revoke.ValidatorSet), good, revoke.ErrInvalidToken)
	})
	t.Run("the errors of the validator are passed on", func(t *testing.T) {
		t.Parallel()
		store := revoketest.NewFaulty(revoketest.NewMemory())
		store.Fail(errors.New("down"))
		_, err := setOf(t, store, nil).Validate(t.Context(), good)
		testkit.WantError(t, err, revoke.ErrUnavailable)
	})
}

// TestValidatorSetSize refuses a long token before its iss is read: by the largest of the
// validators' limits, and by each one's own.
func TestValidatorSetSize(t *testing.T) {
	t.Parallel()
	long := func(issuer, alg string) string {
		payload := testkit.Payload(map[string]string{"iss": `"` + issuer + `"`}, `"x":"`+strings.Repeat("x", revoke.DefaultMaxTokenSize)+`"`)
		return testkit.SignRaw(t, alg, `{"alg":"`+alg+`"}`, payload)
	}
	large := revoke.WithMaxTokenSize(64 << 10)
	set := testkit.Value(revoke.NewValidatorSet([]*revoke.Validator{
		validatorOfIssuer(t, &askedFor{}, firstIssuer, "ES256", large), validatorOfIssuer(t, neverAsked{t}, secondIssuer, "RS256"),
	}, nil))(t)
	testkit.Value(set.Validate(t.Context(), long(firstIssuer, "ES256")))(t)
	refusedBySet(t, set, long(secondIssuer, "RS256"), revoke.ErrInvalidToken, jwt.ErrTokenMalformed)
	tenants := testkit.Value(revoke.NewValidatorSet(nil, func(_ context.Context, issuer string) (*revoke.Validator, error) {
		return validatorOfIssuer(t, &askedFor{}, issuer, "EdDSA", large), nil
	}))(t)
	testkit.Value(tenants.Validate(t.Context(), long(tenantPrefix+"a", "EdDSA")))(t)
}

func TestNewValidatorSetRefuses(t *testing.T) {
	t.Parallel()
	of := func(issuer string, opts ...revoke.ValidatorOption) *revoke.Validator {
		return validatorOfIssuer(t, neverAsked{t}, issuer, "ES256", opts...)
	}
	one := of("one")
	for _, row := range []struct {
		name       string
		validators []*revoke.Validator
		want       string
	}{
		{"nothing", nil, "no validator is given"},
		{"a nil validator", []*revoke.Validator{one, nil}, "a validator is nil"},
		{"the same twice", []*revoke.Validator{one, one}, `two validators accept the iss "one"`},
		{"two of one issuer", []*revoke.Validator{one, of("one")}, `two validators accept the iss "one"`},
		{"an alias that is another's name", []*revoke.Validator{one, of("two", revoke.WithIssuerAliases("one"))}, `two validators accept the iss "one"`},
		{"a name that is another's alias", []*revoke.Validator{of("two", revoke.WithIssuerAliases("one")), one}, `two validators accept the iss "one"`},
		{
			"an alias of both", []*revoke.Validator{of("two", revoke.WithIssuerAliases("x")), of("three", revoke.WithIssuerAliases("x"))},
			`two validators accept the iss "x"`,
		},
		{"WithOptionalIssuer", []*revoke.Validator{one, of("two", revoke.WithOptionalIssuer())}, `the validator of issuer "two" has WithOptionalIssuer`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			set, err := revoke.NewValidatorSet(row.validators, nil)
			wantConstructorError(t, "NewValidatorSet", err, row.want)
			if set != nil {
				t.Errorf("beside the error there is %v", set)
			}
		})
	}
}

func TestValidatorSetRequiresSession(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	set := setOf(t, neverAsked{t}, tenantsOf(t, neverAsked{t}, &calls))
	for _, row := range []struct {
		name   string
		set    *revoke.ValidatorSet
		issuer string
		want   bool
	}{
		{"of the second", set, secondIssuer, true},
		{"not of the first", set, firstIssuer, false},
		{"of no other", set, "https://unknown.example", false},
		{"of no tenant", set, tenantPrefix + "a", false},
		{"nil", nil, secondIssuer, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := row.set.RequiresSession(row.issuer); got != row.want {
				t.Errorf("RequiresSession = %v", got)
			}
		})
	}
	if calls.Load() != 0 {
		t.Errorf("the function for tenants was called %d times", calls.Load())
	}
}

// TestTenantsFail makes exactly one of the sentinels of what the function for tenants returns.
func TestTenantsFail(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	of := func(issuer string, opts ...revoke.ValidatorOption) *revoke.Validator {
		return validatorOfIssuer(t, neverAsked{t}, issuer, "EdDSA", opts...)
	}
	const tenant = "https://unknown.example/tenant"
	var otherIssuer issuers.Known
	testkit.Must(t, otherIssuer.AddNames([]string{firstIssuer}))
	for _, row := range []struct {
		name      string
		validator *revoke.Validator
		err, want error
	}{
		{"unknown", nil, nil, revoke.ErrInvalidToken},
		{"unknown by an error", nil, fmt.Errorf("tenant: %w", revoke.ErrInvalidToken), revoke.ErrInvalidToken},
		{"an error beside a validator", of(tenant), revoke.ErrInvalidToken, revoke.ErrInvalidToken},
		{"unknown to the store", nil, fmt.Errorf("tenant: %w", otherIssuer.Check(tenant)), revoke.ErrInvalidToken},
		{"an error", nil, cause, revoke.ErrUnavailable},
		{"an outage beside a validator", of(tenant), cause, revoke.ErrUnavailable},
		{"unavailable", nil, revoke.ErrUnavailable, revoke.ErrUnavailable},
		{"unavailable and invalid", nil, errors.Join(revoke.ErrUnavailable, revoke.ErrInvalidToken), revoke.ErrUnavailable},
		{"revoked", nil, revoke.ErrRevoked, revoke.ErrUnavailable},
		{"deadline", nil, context.DeadlineExceeded, revoke.ErrUnavailable},
		{"network", nil, &net.OpError{Op: "dial", Err: cause}, revoke.ErrUnavailable},
		{"a validator of another issuer", of(tenantPrefix), nil, revoke.ErrUnavailable},
		{"a validator of the first issuer", of(firstIssuer), nil, revoke.ErrUnavailable},
		{"a validator that claims the second too", of(secondIssuer, revoke.WithIssuerAliases(tenant)), nil, revoke.ErrUnavailable},
		{"a validator with an alias of the first", of(tenant, revoke.WithIssuerAliases("issuer.example")), nil, revoke.ErrUnavailable},
		{"WithOptionalIssuer", of(tenant, revoke.WithOptionalIssuer()), nil, revoke.ErrUnavailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			set := setOf(t, neverAsked{t}, func(context.Context, string) (*revoke.Validator, error) {
				calls++
				return row.validator, row.err
			})
			refusedBySet(t, set, issuedBy(t, tenant, "EdDSA"), row.want)
			want := 2 // an outage is asked for again
			if errors.Is(row.want, revoke.ErrInvalidToken) {
				want = 1
			}
			if calls != want {
				t.Errorf("the function was called %d times, want %d", calls, want)
			}
		})
	}
	t.Run("the cause is reachable", func(t *testing.T) {
		t.Parallel()
		set := setOf(t, neverAsked{t}, func(context.Context, string) (*revoke.Validator, error) { return nil, cause })
		refusedBySet(t, set, issuedBy(t, tenant, "EdDSA"), revoke.ErrUnavailable, cause)
	})
}

// TestTenantsAreAskedOnce asks the function again only when an answer is old, or when too many
// others came after it. Unknown issuers take no place of tenants.
func TestTenantsAreAskedOnce(t *testing.T) {
	t.Parallel()
	stranger := func(i int) string { // no signature is looked at
		return unsigned(testkit.Header, testkit.Payload(map[string]string{"iss": fmt.Sprintf(`"https://unknown.example/%d"`, i)}))
	}
	tenant := issuedBy(t, tenantPrefix+"a", "EdDSA")
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		set := setOf(t, &askedFor{}, tenantsOf(t, &askedFor{}, &calls))
		expect := func(what string, want int32) {
			t.Helper()
			if got := calls.Swap(0); got != want {
				t.Errorf("%s: the function was called %d times, want %d", what, got, want)
			}
		}
		ask := func(text string, known bool) {
			t.Helper()
			if _, err := set.Identify(t.Context(), text); known != (err == nil) {
				t.Errorf("known %v: %v", known, err)
			}
		}
		ask(tenant, true)
		ask(tenant, true)
		expect("a tenant", 1)
		ask(stranger(0), false)
		ask(stranger(0), false)
		expect("a stranger", 1)
		<-time.After(revoke.MaxUnknownTenantAge - time.Nanosecond)
		ask(stranger(0), false)
		expect("a stranger within its time", 0)
		<-time.After(time.Nanosecond)
		ask(stranger(0), false)
		expect("a stranger after its time", 1)
		for i := range revoke.MaxTenants + 1 {
			ask(stranger(i), false)
		}
		expect("many strangers", revoke.MaxTenants)
		ask(tenant, true)
		expect("a tenant after many strangers", 0)
		ask(stranger(0), false)
		expect("the stranger that was asked for longest ago", 1)
		ask(stranger(revoke.MaxTenants), false)
		expect("the last stranger", 0)
		<-time.After(revoke.MaxTenantAge)
		ask(tenant, true)
		expect("a tenant after its time", 1)
		for range 3 {
			ask(issuedBy(t, firstIssuer, "ES256"), true)
			ask(issuedBy(t, secondIssuer, "RS256"), true)
		}
		expect("the issuers of the set", 0)
	})
}

// TestTenantsAreAskedForAtTheSameTime has many callers ask for one tenant: one call serves all.
func TestTenantsAreAskedForAtTheSameTime(t *testing.T) {
	t.Parallel()
	tenant := issuedBy(t, tenantPrefix+"a", "EdDSA")
	type answer struct {
		validator *revoke.Validator
		err       error
	}
	good := answer{validatorOfIssuer(t, &askedFor{}, tenantPrefix+"a", "EdDSA"), nil}
	outage := errors.New("outage")
	for _, row := range []struct {
		name      string
		first     func() answer // of the first call, which the first caller begins
		leave     bool          // the first caller leaves while the function works
		calls     int32
		wantFirst error
		want      error
	}{
		{"a validator", func() answer { return good }, false, 1, nil, nil},
		{"unknown", func() answer { return answer{} }, false, 1, revoke.ErrInvalidToken, revoke.ErrInvalidToken},
		{"an outage", func() answer { return answer{err: outage} }, false, 1, revoke.ErrUnavailable, revoke.ErrUnavailable},
		{"the first caller leaves", func() answer { return answer{err: context.Canceled} }, true, 2, revoke.ErrUnavailable, nil},
		{"the first caller leaves, and the function answers", func() answer { return good }, true, 1, nil, nil},
		{"the function panics", func() answer { panic("tenants") }, false, 2, errPanic, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int32
				answers := make(chan struct{})
				set := setOf(t, neverAsked{t}, func(context.Context, string) (*revoke.Validator, error) {
					if calls.Add(1) > 1 {
						return good.validator, good.err
					}
					<-answers
					a := row.first()
					return a.validator, a.err
				})
				ask := func(ctx context.Context) (err error) {
					defer func() {
						if recover() != nil {
							err = errPanic
						}
					}()
					_, err = set.Identify(ctx, tenant)
					return err
				}
				var group sync.WaitGroup
				wantErr := func(ctx context.Context, want error) {
					group.Go(func() {
						if err := ask(ctx); !errors.Is(err, want) || want == nil && err != nil {
							t.Errorf("%v, want %v", err, want)
						}
					})
					synctest.Wait()
				}
				first, leave := context.WithCancel(t.Context())
				defer leave()
				wantErr(first, row.wantFirst)
				for range 8 {
					wantErr(t.Context(), row.want)
				}
				gone, cancel := context.WithCancel(t.Context())
				wantErr(gone, context.Canceled)
				cancel()
				synctest.Wait() // which leaves before there is an answer
				if row.leave {
					leave()
				}
				close(answers)
				group.Wait()
				if calls.Load() != row.calls {
					t.Errorf("the function was called %d times, want %d", calls.Load(), row.calls)
				}
			})
		})
	}
}

// errPanic stands for a panic.
var errPanic = errors.New("panic")
