package signals_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
	"github.com/pgrevoke/revoke/signals"
)

const otherIssuer = "https://other.example"

// newLogoutSet returns a set of two providers, which sign with ES256 and RS256, and how often the
// keys of each were asked for.
func newLogoutSet(tb testing.TB, store revoke.Store, opts ...signals.Option) (handler http.Handler, asked map[string]int) {
	tb.Helper()
	asked = map[string]int{}
	receiver := func(issuer, alg string) *signals.BackChannelLogout {
		keyfunc := func(*jwt.Token) (any, error) {
			asked[issuer]++
			return testkit.VerificationKey(alg), nil
		}
		return testkit.Value(signals.NewBackChannelLogout(store, issuer, []string{clientID}, keyfunc, []string{alg}, signals.EndUser()))(tb)
	}
	return testkit.Value(signals.NewBackChannelLogoutSet([]*signals.BackChannelLogout{
		receiver(providerIssuer, "ES256"), receiver(otherIssuer, "RS256"),
	}, opts...))(tb), asked
}

// TestBackChannelLogoutSet picks one receiver by iss, which alone decides.
func TestBackChannelLogoutSet(t *testing.T) {
	t.Parallel()
	other := map[string]string{"iss": `"` + otherIssuer + `"`}
	rs256 := func(tb testing.TB, changes map[string]string) string {
		tb.Helper()
		return testkit.SignRaw(tb, "RS256", `{"alg":"RS256","typ":"logout+jwt"}`, claimsText(changes))
	}
	for _, c := range []struct {
		name   string
		token  string
		issuer string // of the receiver that is picked
		status int
	}{
		{"the first", logoutOf(t, nil), providerIssuer, 200},
		{"the second", rs256(t, other), otherIssuer, 200},
		{"iss of the first, signed by the second", rs256(t, nil), providerIssuer, 400},
		{"iss of the second, signed by the first", logoutOf(t, other), otherIssuer, 400},
		{"unknown iss", logoutOf(t, map[string]string{"iss": `"https://eve.example"`}), "", 400},
		{"no iss", logoutOf(t, map[string]string{"iss": ""}), "", 400},
		{"iss twice", logoutOf(t, nil, `"iss":"`+otherIssuer+`"`), "", 400},
		{"iss is null", logoutOf(t, map[string]string{"iss": "null"}), "", 400},
		{"iss in a list", logoutOf(t, map[string]string{"iss": `["` + providerIssuer + `"]`}), "", 400},
		{"ISS beside iss", logoutOf(t, nil, `"ISS":"`+otherIssuer+`"`), providerIssuer, 400},
		{"iss with a slash", logoutOf(t, map[string]string{"iss": `"` + otherIssuer + `/"`}), "", 400},
		{"not a JWT", "x", "", 400},
		{"too large", strings.Repeat("x", revoke.DefaultMaxTokenSize+1), "", 400},
		{"missing", "", "", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := revoketest.NewMemory()
			reports := 0
			handler, asked := newLogoutSet(t, store, signals.WithReport(func(*http.Request, error) { reports++ }))
			wantStatus(t, testkit.Serve(handler, delivery("logout_token="+c.token)), c.status)
			for _, issuer := range []string{providerIssuer, otherIssuer} {
				if isLoggedOut(t, store, issuer) != (c.status == 200 && issuer == c.issuer) {
					t.Errorf("at %s: logged out %v", issuer, isLoggedOut(t, store, issuer))
				}
			}
			if delete(asked, c.issuer); len(asked) > 0 {
				t.Errorf("the keys of %v were asked for", asked)
			}
			if (reports == 1) != (c.issuer == "") || reports > 1 {
				t.Errorf("%d reports of a request that picks no receiver", reports)
			}
		})
	}
}

// TestBackChannelLogoutSetRequest answers as a receiver does.
func TestBackChannelLogoutSetRequest(t *testing.T) {
	t.Parallel()
	handler, _ := newLogoutSet(t, revoketest.NewMemory())
	r := delivery("logout_token=" + logoutOf(t, nil))
	r.Method = http.MethodGet
	wantStatus(t, testkit.Serve(handler, r), 405)
	testkit.OddRequests(t, handler)
}

// TestNewBackChannelLogoutSetRefuses names what is wrong with an argument or an option.
func TestNewBackChannelLogoutSetRefuses(t *testing.T) {
	t.Parallel()
	one := testkit.Value(signals.NewBackChannelLogout(revoketest.NewMemory(), providerIssuer, []string{clientID}, testkit.Keyfunc("ES256"), es256, signals.EndUser()))(t)
	other := func(issuer, alias string) *signals.BackChannelLogout {
		return testkit.Value(signals.NewBackChannelLogout(revoketest.NewMemory(), issuer, []string{clientID}, testkit.Keyfunc("ES256"), es256,
			signals.EndUser(), signals.WithIssuerAliases(issuer, alias)))(t)
	}
	list := []*signals.BackChannelLogout{one}
	for _, c := range []struct {
		name      string
		receivers []*signals.BackChannelLogout
		opts      []signals.Option
		want      string
	}{
		{"none", nil, nil, "no receiver"},
		{"nil", []*signals.BackChannelLogout{one, nil}, nil, "a receiver is nil"},
		{"two of one issuer", []*signals.BackChannelLogout{one, one}, nil, "two receivers are of issuer"},
		{"two of one name", []*signals.BackChannelLogout{one, other(otherIssuer, providerIssuer)}, nil, `two receivers are of issuer "` + providerIssuer + `"`},
		{"two of one alias", []*signals.BackChannelLogout{other(otherIssuer, "a"), other("b", "a")}, nil, `two receivers are of issuer "a"`},
		{"WithIssuerAliases", list, []signals.Option{signals.WithIssuerAliases(providerIssuer, "a")}, "each receiver of the set"},
		{"nil option", list, []signals.Option{nil}, "an option is nil"},
		{"WithRealm", list, []signals.Option{signals.WithRealm("x")}, "NewGlobalTokenRevocation only"},
		{"WithRecord", list, []signals.Option{signals.WithRecord()}, "each receiver of the set"},
		{"WithRetryAfter", list, []signals.Option{signals.WithRetryAfter(1)}, "each receiver of the set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := signals.NewBackChannelLogoutSet(c.receivers, c.opts...)
			if err == nil || !strings.HasPrefix(err.Error(), "signals: NewBackChannelLogoutSet: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("NewBackChannelLogoutSet = %v, want %q", err, c.want)
			}
		})
	}
}
