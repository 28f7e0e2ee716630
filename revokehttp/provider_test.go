package revokehttp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
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

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// The identity provider of these tests, and the app that is its client.
const (
	providerIssuer = "https://idp.example/realms/one"
	clientID       = "the-app"
	logoutHeader   = `{"alg":"ES256","typ":"logout+jwt"}`
	logoutEvents   = `{"http://schemas.openid.net/event/backchannel-logout":{}}`
)

// testStart is a time before every logout.
var testStart = time.Now().Add(-time.Hour).Truncate(time.Second)

var providerKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

var providerRSA = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func providerKeyfunc(*jwt.Token) (any, error) { return providerKey().Public(), nil }

// signText signs a header and a payload as they are written, with whatever key fits the algorithm.
func signText(tb testing.TB, alg, header, payload string) string {
	tb.Helper()
	var key any = providerKey()
	switch alg {
	case "HS256":
		key = testKey
	case "RS256":
		key = providerRSA()
	case "none":
		key = jwt.UnsafeAllowNoneSignatureType
	}
	input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	signature, err := jwt.GetSigningMethod(alg).Sign(input, key)
	must(tb, err)
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// claimsText writes the claims of ada's logout from the phone, with changes: a value of "" leaves one out.
func claimsText(changes map[string]string, extra ...string) string {
	now := time.Now().Unix()
	claims := map[string]string{
		"iss": `"` + providerIssuer + `"`, "sub": `"ada"`, "sid": `"phone"`, "aud": `"` + clientID + `"`, "jti": `"logout-1"`,
		"iat": fmt.Sprint(now), "exp": fmt.Sprint(now + 120), "events": logoutEvents,
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

// logoutOf signs them.
func logoutOf(tb testing.TB, changes map[string]string, extra ...string) string {
	tb.Helper()
	return signText(tb, "ES256", logoutHeader, claimsText(changes, extra...))
}

// accessOf signs an access token of the provider's.
func accessOf(tb testing.TB, subject, session, id string, issuedAt time.Time) string {
	tb.Helper()
	payload := fmt.Sprintf(`{"iss":%q,"sub":%q,"jti":%q,"iat":%d,"exp":%d`, providerIssuer, subject, id, issuedAt.Unix(), issuedAt.Add(3*time.Hour).Unix())
	if session != "" {
		payload += fmt.Sprintf(`,"sid":%q`, session)
	}
	return signText(tb, "ES256", `{"alg":"ES256","typ":"at+jwt"}`, payload+"}")
}

// relyingApp is an app that receives logouts, and counts the transactions that they begin.
type relyingApp struct {
	revoke.Store
	began     atomic.Int32
	validator *revoke.Validator[revoke.Claims]
	handler   http.Handler

	mu       sync.Mutex
	reported []error
}

func (a *relyingApp) InTx(ctx context.Context, fn func(revoke.Revoker) error) error {
	a.began.Add(1)
	return a.Store.InTx(ctx, fn)
}

// newRelyingApp returns an app that ends sessions, or users where it is told to.
func newRelyingApp(tb testing.TB, store revoke.Store, users bool) *relyingApp {
	tb.Helper()
	a := &relyingApp{Store: store}
	var opts []revoke.ValidatorOption
	if !users {
		opts = append(opts, revoke.WithRequiredSession())
	}
	var err error
	a.validator, err = revoke.NewValidator[revoke.Claims](a, providerIssuer, providerKeyfunc, []string{"ES256"}, opts...)
	must(tb, err)
	ends := revokehttp.EndSession(a.validator)
	if users {
		ends = revokehttp.EndUser()
	}
	a.handler, err = revokehttp.NewBackChannelLogout(a, providerIssuer, []string{"another-app", clientID}, providerKeyfunc, []string{"ES256"}, ends,
		revokehttp.WithReport(func(_ *http.Request, err error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.reported = append(a.reported, err)
		}))
	must(tb, err)
	return a
}

// newRelyingAppInMemory is newRelyingApp with a store that fails when it is told to.
func newRelyingAppInMemory(tb testing.TB, users bool) (*relyingApp, *revoketest.Faulty) {
	tb.Helper()
	store := revoketest.NewFaulty(revoketest.NewMemory())
	return newRelyingApp(tb, store, users), store
}

// alive reports whether the app's services take the token.
func (a *relyingApp) alive(tb testing.TB, token string) bool {
	tb.Helper()
	_, _, err := a.validator.Validate(context.Background(), token)
	if err != nil && !strings.Contains(err.Error(), "revoked") {
		tb.Fatalf("the access token is not accepted, and not because it was revoked: %v", err)
	}
	return err == nil
}

// delivery is the request of a provider.
func delivery(body string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/backchannel-logout", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// deliver sends a logout token.
func (a *relyingApp) deliver(logoutToken string) *httptest.ResponseRecorder {
	return answer(a.handler, delivery(url.Values{"logout_token": {logoutToken}}.Encode()))
}

// wantsAnswer compares an answer with what every answer of a receiver is, and returns the error code in it.
func wantsAnswer(tb testing.TB, what string, w *httptest.ResponseRecorder, status int) {
	tb.Helper()
	if w.Code != status {
		tb.Errorf("%s: %d %s, want %d", what, w.Code, w.Body, status)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		tb.Errorf("%s: Cache-Control is %q", what, w.Header().Get("Cache-Control"))
	}
	if hasBody := w.Body.Len() > 0; hasBody != (status >= 400) || hasBody && !strings.Contains(w.Body.String(), `"error":"`) {
		tb.Errorf("%s: the body of %d is %q", what, status, w.Body)
	}
	if retry := w.Header().Get("Retry-After"); (retry == "5") != (status == http.StatusServiceUnavailable) {
		tb.Errorf("%s: Retry-After of %d is %q", what, status, retry)
	}
}
