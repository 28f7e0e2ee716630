package signals_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
	"github.com/pgrevoke/revoke/signals"
)

func TestMain(m *testing.M) { pgserver.Main(m) }

// The identity provider of these tests, and the app that is its client.
const (
	providerIssuer = "https://idp.example/realms/one"
	clientID       = "the-app"
	logoutHeader   = `{"alg":"ES256","typ":"logout+jwt"}`
	logoutEvents   = `{"http://schemas.openid.net/event/backchannel-logout":{}}`
)

var es256 = []string{"ES256"}

// testStart is a time before every logout.
var testStart = time.Now().Add(-time.Hour).Truncate(time.Second)

// at is the NumericDate that lies d from now.
func at(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).Unix()) }

// claimsText writes the claims of the logout of ada's session "phone", with changes: a value of
// "" leaves a claim out.
func claimsText(changes map[string]string, extra ...string) string {
	claims := map[string]string{
		"iss": `"` + providerIssuer + `"`, "sub": `"ada"`, "sid": `"phone"`, "aud": `"` + clientID + `"`, "jti": `"logout-1"`,
		"iat": at(0), "exp": at(2 * time.Minute), "events": logoutEvents,
	}
	maps.Copy(claims, changes)
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		if claims[name] != "" {
			parts = append(parts, `"`+name+`":`+claims[name])
		}
	}
	return "{" + strings.Join(append(parts, extra...), ",") + "}"
}

// logoutOf signs the claims of claimsText.
func logoutOf(tb testing.TB, changes map[string]string, extra ...string) string {
	tb.Helper()
	return testkit.SignRaw(tb, "ES256", logoutHeader, claimsText(changes, extra...))
}

// accessOf signs an access token of the provider.
func accessOf(tb testing.TB, subject, session, id string, issuedAt time.Time) string {
	tb.Helper()
	payload := fmt.Sprintf(`{"iss":%q,"sub":%q,"jti":%q,"iat":%d,"exp":%d`, providerIssuer, subject, id, issuedAt.Unix(), issuedAt.Add(3*time.Hour).Unix())
	if session != "" {
		payload += fmt.Sprintf(`,"sid":%q`, session)
	}
	return testkit.SignRaw(tb, "ES256", `{"alg":"ES256","typ":"at+jwt"}`, payload+"}")
}

// newValidator returns a validator of the provider's access tokens.
func newValidator(tb testing.TB, checker revoke.Checker, issuer string, opts ...revoke.ValidatorOption) *revoke.Validator {
	tb.Helper()
	return testkit.Value(revoke.NewValidator(checker, issuer, revoke.AnyAudience(), testkit.Keyfunc("ES256"), es256, opts...))(tb)
}

// relyingApp is an app that receives logouts, and counts the transactions that they begin.
type relyingApp struct {
	revoke.Store
	began     atomic.Int32
	validator *revoke.Validator
	handler   http.Handler

	mu       sync.Mutex
	reported []error
}

func (a *relyingApp) InTx(ctx context.Context, fn func(revoke.Revoker) error) error {
	a.began.Add(1)
	return a.Store.InTx(ctx, fn)
}

// newRelyingApp returns an app in which logouts end sessions, or users.
func newRelyingApp(tb testing.TB, store revoke.Store, endsUsers bool) *relyingApp {
	tb.Helper()
	a := &relyingApp{Store: store}
	var opts []revoke.ValidatorOption
	if !endsUsers {
		opts = append(opts, revoke.WithRequiredSession())
	}
	a.validator = newValidator(tb, a, providerIssuer, opts...)
	ends := signals.EndSession(a.validator)
	if endsUsers {
		ends = signals.EndUser()
	}
	a.handler = testkit.Value(signals.NewBackChannelLogout(a, providerIssuer, []string{"another-app", clientID}, testkit.Keyfunc("ES256"), es256, ends,
		signals.WithReport(func(_ *http.Request, err error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.reported = append(a.reported, err)
		})))(tb)
	return a
}

// newRelyingAppInMemory is newRelyingApp with a store that can be made to fail.
func newRelyingAppInMemory(tb testing.TB, endsUsers bool) (*relyingApp, *revoketest.Faulty) {
	tb.Helper()
	store := revoketest.NewFaulty(revoketest.NewMemory())
	return newRelyingApp(tb, store, endsUsers), store
}

// accepts reports whether the app's services accept the token.
func (a *relyingApp) accepts(tb testing.TB, token string) bool {
	tb.Helper()
	_, err := a.validator.Validate(context.Background(), token)
	if err != nil {
		testkit.WantError(tb, err, revoke.ErrRevoked)
	}
	return err == nil
}

// delivery returns the request of a provider.
func delivery(body string) *http.Request {
	return testkit.Post("application/x-www-form-urlencoded", body)
}

// deliver sends a logout token.
func (a *relyingApp) deliver(logoutToken string) *httptest.ResponseRecorder {
	return testkit.Serve(a.handler, delivery(url.Values{"logout_token": {logoutToken}}.Encode()))
}

// wantStatus compares an answer with its status, and with what is common to all answers of a
// receiver.
func wantStatus(tb testing.TB, w *httptest.ResponseRecorder, status int) {
	tb.Helper()
	if w.Code != status {
		tb.Errorf("%d %s, want %d", w.Code, w.Body, status)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		tb.Errorf("Cache-Control of %d is %q", w.Code, w.Header().Get("Cache-Control"))
	}
	if hasBody := w.Body.Len() > 0; hasBody != (status >= 400) || hasBody && !strings.Contains(w.Body.String(), `"error":"`) {
		tb.Errorf("the body of %d is %q", w.Code, w.Body)
	}
	if retry := w.Header().Get("Retry-After"); (retry == "5") != (status == http.StatusServiceUnavailable) {
		tb.Errorf("Retry-After of %d is %q", w.Code, retry)
	}
}
