package signals_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/signals"
)

// TestLogoutToken follows OpenID Connect Back-Channel Logout 1.0 §2.4, §2.6 and §4.1. Nothing
// is written for a token that is refused.
func TestLogoutToken(t *testing.T) {
	t.Parallel()
	testkit.TestKeys()
	long := strings.Repeat("x", revoke.MaxIDLength)
	typed := func(header string) func(testing.TB) string {
		return func(tb testing.TB) string { tb.Helper(); return testkit.SignRaw(tb, "ES256", header, claimsText(nil)) }
	}
	with := func(name, value string) func(testing.TB) string {
		return func(tb testing.TB) string { tb.Helper(); return logoutOf(tb, map[string]string{name: value}) }
	}
	dated := func(iat, exp time.Duration) func(testing.TB) string {
		return func(tb testing.TB) string {
			tb.Helper()
			return logoutOf(tb, map[string]string{"iat": at(iat), "exp": at(exp)})
		}
	}
	dateOf := func(name string, d time.Duration) func(testing.TB) string {
		return func(tb testing.TB) string { tb.Helper(); return logoutOf(tb, map[string]string{name: at(d)}) }
	}
	beside := func(member string) func(testing.TB) string {
		return func(tb testing.TB) string { tb.Helper(); return logoutOf(tb, nil, member) }
	}
	altered := func(change func(good string, parts []string) string) func(testing.TB) string {
		return func(tb testing.TB) string {
			tb.Helper()
			good := logoutOf(tb, nil)
			return change(good, strings.Split(good, "."))
		}
	}
	for _, c := range []struct {
		name     string
		accepted bool
		token    func(testing.TB) string // called in a bubble, in which the clock stands still
	}{
		{"as it should be", true, func(tb testing.TB) string { tb.Helper(); return logoutOf(tb, nil) }},
		{"no typ", true, typed(`{"alg":"ES256"}`)},
		{"typ JWT", true, typed(`{"alg":"ES256","typ":"JWT"}`)},
		{"typ in full, and in other letters", true, typed(`{"alg":"ES256","typ":"application/Logout+JWT","kid":"k"}`)},
		{"b64 true", true, typed(`{"alg":"ES256","b64":true}`)},
		{"several audiences", true, with("aud", `["other","`+clientID+`"]`)},
		{"the other client", true, with("aud", `"another-app"`)},
		{"no sub", true, with("sub", "")},
		{"no sid", true, with("sid", "")},
		{"sid is null", true, with("sid", "null")},
		{"other events", true, with("events", `{"revoke_offline_access":true,`+logoutEvents[1:])},
		{"an event with members", true, with("events", `{"http://schemas.openid.net/event/backchannel-logout":{"a":[1]}}`)},
		{"other claims", true, beside(`"typ":"Logout","trace_id":"x","a":{"nonce":1}`)},
		{"iat as far ahead as may be", true, dateOf("iat", 15*time.Second)},
		{"exp in the past, within the leeway", true, dated(-179*time.Second, -59*time.Second)},
		{"no exp", true, with("exp", "")},
		{"no exp, an hour old", true, func(tb testing.TB) string {
			tb.Helper()
			return logoutOf(tb, map[string]string{"iat": at(-time.Hour - 59*time.Second), "exp": ""})
		}},
		{"exp far away", true, dateOf("exp", revoke.MaxTokenLifetime)},
		{"fractions of seconds", true, func(tb testing.TB) string {
			tb.Helper()
			return logoutOf(tb, map[string]string{"iat": at(0) + ".25", "exp": at(time.Minute) + ".75"})
		}},
		{"nbf", true, dateOf("nbf", 0)},
		{"jti as long as may be", true, with("jti", `"`+long+`"`)},

		{"§2.4 no signature", false, func(testing.TB) string {
			return testkit.Base64(`{"alg":"none"}`) + "." + testkit.Base64(claimsText(nil)) + "."
		}},
		{"§2.6 another algorithm", false, func(tb testing.TB) string {
			tb.Helper()
			return testkit.SignRaw(tb, "HS256", `{"alg":"HS256"}`, claimsText(nil))
		}},
		{"§2.6 the header names another algorithm", false, func(tb testing.TB) string {
			tb.Helper()
			return testkit.SignRaw(tb, "HS256", logoutHeader, claimsText(nil))
		}},
		{"§2.6 signature of another token", false, func(tb testing.TB) string {
			tb.Helper()
			parts, other := strings.Split(logoutOf(tb, nil), "."), strings.Split(logoutOf(tb, nil, `"a":1`), ".")
			return parts[0] + "." + parts[1] + "." + other[2]
		}},
		{"§2.6 empty signature", false, altered(func(_ string, parts []string) string { return parts[0] + "." + parts[1] + "." })},
		{"§2.6 encrypted", false, altered(func(good string, parts []string) string { return good + "." + parts[1] + "." + parts[2] })},
		{"§2.6 line break", false, altered(func(_ string, parts []string) string { return parts[0] + "\n." + parts[1] + "." + parts[2] })},
		{"§2.6 padded", false, altered(func(good string, _ []string) string { return good + "=" })},
		{"§2.6 too long", false, beside(`"a":"` + strings.Repeat("a", revoke.DefaultMaxTokenSize) + `"`)},
		{"§2.4 no iss", false, with("iss", "")},
		{"§2.6 iss of another", false, with("iss", `"`+providerIssuer+`/"`)},
		{"§2.4 no aud", false, with("aud", "")},
		{"§2.4 empty aud", false, with("aud", "[]")},
		{"§2.6 aud of another", false, with("aud", `["other","`+strings.ToUpper(clientID)+`"]`)},
		{"§2.4 aud of another type", false, with("aud", `["`+clientID+`",1]`)},
		{"§2.4 no iat", false, with("iat", "")},
		{"§2.4 iat is text", false, func(tb testing.TB) string {
			tb.Helper()
			return logoutOf(tb, map[string]string{"iat": `"` + at(0) + `"`})
		}},
		{"§2.6 iat ahead", false, dateOf("iat", 16*time.Second)},
		{"§2.6 expired", false, dated(-180*time.Second, -60*time.Second)},
		{"§2.6 no exp, and too old", false, func(tb testing.TB) string {
			tb.Helper()
			return logoutOf(tb, map[string]string{"iat": at(-time.Hour - time.Minute), "exp": ""})
		}},
		{"§2.6 exp before iat", false, dated(10*time.Second, 9*time.Second)},
		{"§2.6 exp beyond any row", false, dateOf("exp", revoke.MaxTokenLifetime+time.Second)},
		{"§2.6 exp beyond time", false, with("exp", "1e300")},
		{"§2.6 nbf ahead", false, dateOf("nbf", 16*time.Second)},
		{"§2.4 no jti", false, with("jti", "")},
		{"§2.4 empty jti", false, with("jti", `""`)},
		{"§2.4 jti is null", false, with("jti", `null`)},
		{"§2.4 jti is a number", false, with("jti", `1`)},
		{"§2.4 jti too long", false, with("jti", `"x`+long+`"`)},
		{"§2.4 jti with NUL", false, with("jti", `"a\u0000b"`)},
		{"§2.4 jti not UTF-8", false, with("jti", "\"\xff\"")},
		{"§2.4 jti half a character", false, with("jti", `"\ud800"`)},
		{"§2.4 jti twice", false, beside(`"jti":"logout-2"`)},
		{"§2.4 JTI beside jti", false, beside(`"JTI":"logout-2"`)},
		{"§2.4 sid twice", false, beside(`"sid":"laptop"`)},
		{"§2.4 Sub beside sub", false, beside(`"Sub":"eve"`)},
		{"§2.4 empty sub", false, with("sub", `""`)},
		{"§2.4 sid is a number", false, with("sid", `7`)},
		{"§2.4 sid is null, and twice", false, func(tb testing.TB) string {
			tb.Helper()
			return logoutOf(tb, map[string]string{"sid": "null"}, `"sid":"phone"`)
		}},
		{"§2.4 sub and sid are null", false, func(tb testing.TB) string {
			tb.Helper()
			return logoutOf(tb, map[string]string{"sub": "null", "sid": "null"})
		}},
		{"§2.4 neither sub nor sid", false, func(tb testing.TB) string {
			tb.Helper()
			return logoutOf(tb, map[string]string{"sub": "", "sid": ""})
		}},
		{"§2.4 no events", false, with("events", "")},
		{"§2.4 events without a logout", false, with("events", `{"http://schemas.openid.net/event/backchannel-login":{}}`)},
		{"§2.4 events is an array", false, with("events", `["http://schemas.openid.net/event/backchannel-logout"]`)},
		{"§2.4 the logout is no object", false, with("events", `{"http://schemas.openid.net/event/backchannel-logout":true}`)},
		{"§2.4 events is null", false, with("events", `null`)},
		{"§2.4 nonce", false, beside(`"nonce":"n"`)},
		{"§2.4 nonce is null", false, beside(`"nonce":null`)},
		{"§2.4 NONCE", false, beside(`"NONCE":"n"`)},
		{"§4.1 typ at+jwt", false, typed(`{"alg":"ES256","typ":"at+jwt"}`)},
		{"§4.1 typ secevent+jwt", false, typed(`{"alg":"ES256","typ":"secevent+jwt"}`)},
		{"§4.1 typ empty", false, typed(`{"alg":"ES256","typ":""}`)},
		{"§4.1 typ null", false, typed(`{"alg":"ES256","typ":null}`)},
		{"RFC 7515 crit", false, typed(`{"alg":"ES256","crit":["x"],"x":1}`)},
		{"RFC 7797 b64", false, typed(`{"alg":"ES256","b64":false}`)},
		{"JSON goes on", false, func(tb testing.TB) string {
			tb.Helper()
			return testkit.SignRaw(tb, "ES256", logoutHeader, claimsText(nil)+"{}")
		}},
		{"JSON is an array", false, func(tb testing.TB) string {
			tb.Helper()
			return testkit.SignRaw(tb, "ES256", logoutHeader, "["+claimsText(nil)+"]")
		}},
		{"an access token", false, func(tb testing.TB) string { tb.Helper(); return accessOf(tb, "ada", "phone", "1", time.Now()) }},
		{"an ID token", false, func(tb testing.TB) string {
			tb.Helper()
			return testkit.SignRaw(tb, "ES256", `{"alg":"ES256","typ":"JWT"}`, claimsText(map[string]string{"events": ""}, `"nonce":"n"`))
		}},
		{"not a JWT", false, func(testing.TB) string { return "x" }},
	} {
		for _, endsUsers := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/EndUser %v", c.name, endsUsers), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					a, _ := newRelyingAppInMemory(t, endsUsers)
					w := a.deliver(c.token(t))
					switch {
					case c.accepted && endsUsers && c.name == "no sub":
						wantStatus(t, w, http.StatusBadRequest)
					case c.accepted:
						wantStatus(t, w, http.StatusOK)
						if a.accepts(t, accessOf(t, "ada", "phone", "1", time.Now().Add(-2*time.Hour))) {
							t.Error("the answer was 200, and the user's token is accepted")
						}
					default:
						wantStatus(t, w, http.StatusBadRequest)
						if a.began.Load() != 0 {
							t.Errorf("%d transactions", a.began.Load())
						}
						if len(a.reported) != 1 {
							t.Fatalf("reported is %v", a.reported)
						}
						testkit.WantError(t, a.reported[0], revoke.ErrInvalidToken)
					}
				})
			})
		}
	}
}

// TestLogoutAlgorithms follows §2.6: only allowed algorithms count, even if a key would fit
// another.
func TestLogoutAlgorithms(t *testing.T) {
	t.Parallel()
	eager := func(token *jwt.Token) (any, error) {
		if alg := token.Method.Alg(); alg != "none" {
			return testkit.VerificationKey(alg), nil
		}
		return jwt.UnsafeAllowNoneSignatureType, nil
	}
	for _, allowed := range []string{"ES256", "RS256", "HS256"} {
		for _, alg := range []string{"ES256", "RS256", "HS256", "none"} {
			t.Run(alg+" where "+allowed+" is allowed", func(t *testing.T) {
				t.Parallel()
				a, _ := newRelyingAppInMemory(t, true)
				handler := testkit.Value(signals.NewBackChannelLogout(a, providerIssuer, []string{clientID}, eager, []string{allowed}, signals.EndUser()))(t)
				token := testkit.Base64(`{"alg":"none"}`) + "." + testkit.Base64(claimsText(nil)) + "."
				if alg != "none" {
					token = testkit.SignRaw(t, alg, `{"alg":"`+alg+`"}`, claimsText(nil))
				}
				status := http.StatusBadRequest
				if alg == allowed {
					status = http.StatusOK
				}
				wantStatus(t, testkit.Serve(handler, delivery("logout_token="+token)), status)
			})
		}
	}
}

// TestKeysAreDown tells a source of keys that does not answer from a key that does not exist.
func TestKeysAreDown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		cause  error
		status int
	}{
		{"deadline", context.DeadlineExceeded, 503},
		{"canceled", context.Canceled, 503},
		{"network", &net.OpError{Op: "dial", Err: errHalf}, 503},
		{"ErrUnavailable", revoke.ErrUnavailable, 503},
		{"unknown key", errors.New("kid is not known"), 400},
		{"ErrRevoked", fmt.Errorf("%w: no", revoke.ErrRevoked), 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, _ := newRelyingAppInMemory(t, false)
			handler := testkit.Value(signals.NewBackChannelLogout(a, providerIssuer, []string{clientID},
				func(*jwt.Token) (any, error) { return nil, c.cause }, es256, signals.EndUser()))(t)
			wantStatus(t, testkit.Serve(handler, delivery("logout_token="+logoutOf(t, nil))), c.status)
			if a.began.Load() != 0 {
				t.Error("something was written")
			}
		})
	}
}

// FuzzLogoutToken signs arbitrary headers and payloads, or presents arbitrary text. No
// transaction begins unless the provider's signature verifies, and an answer of 200 means that
// the user is logged out.
func FuzzLogoutToken(f *testing.F) {
	f.Add(logoutHeader, claimsText(nil), true)
	f.Add(logoutHeader, claimsText(map[string]string{"sub": ""}), true)
	f.Add(`{"alg":"ES256","typ":"at+jwt"}`, claimsText(map[string]string{"exp": "", "aud": `["the-app","b"]`}), true)
	f.Add(logoutHeader, claimsText(nil, `"JTI":"x"`, `"a":{"b":[1,{"c":null}]}`), true)
	f.Add(logoutHeader, claimsText(map[string]string{"iat": "1893554045.5", "jti": `"\u0041"`}), true)
	f.Add(logoutOf(f, nil)+"x", "", false)
	f.Add("a.b.c", "", false)
	f.Fuzz(func(t *testing.T, header, payload string, sign bool) {
		a, _ := newRelyingAppInMemory(t, true)
		text := header
		if sign {
			text = testkit.SignRaw(t, "ES256", header, payload)
		}
		w := a.deliver(text)
		_, err := jwt.NewParser(jwt.WithValidMethods(es256), jwt.WithoutClaimsValidation()).Parse(text, testkit.Keyfunc("ES256"))
		if err != nil && (a.began.Load() != 0 || w.Code != http.StatusBadRequest) {
			t.Fatalf("%d transactions and %d for a token that does not verify: %v", a.began.Load(), w.Code, err)
		}
		if w.Code != http.StatusOK {
			return
		}
		read, _, err := jwt.NewParser().ParseUnverified(text, jwt.MapClaims{})
		testkit.Must(t, err)
		subject := testkit.Value(read.Claims.GetSubject())(t)
		issuedAt := testkit.Value(read.Claims.GetIssuedAt())(t)
		epochs, err := a.Epochs(t.Context(), revoke.User{Issuer: providerIssuer, Subject: subject})
		if err != nil || epochs.User <= issuedAt.UnixMicro() {
			t.Fatalf("the epoch of %q is %v, %v, and the logout of %v was answered 200", subject, epochs, err, issuedAt)
		}
	})
}

// TestLogoutTokenIsNoCredential has the app's validator refuse a logout token, which every
// client of the provider receives, typed or not, and the receiver refuse an access token.
func TestLogoutTokenIsNoCredential(t *testing.T) {
	t.Parallel()
	a, _ := newRelyingAppInMemory(t, false)
	for _, c := range []struct{ name, header string }{
		{"typ logout+jwt", logoutHeader}, {"typ JWT", `{"alg":"ES256","typ":"JWT"}`}, {"no typ", `{"alg":"ES256"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := a.validator.Validate(t.Context(), testkit.SignRaw(t, "ES256", c.header, claimsText(nil)))
			testkit.WantError(t, err, revoke.ErrInvalidToken)
		})
	}
	t.Run("access token", func(t *testing.T) {
		t.Parallel()
		wantStatus(t, a.deliver(accessOf(t, "ada", "phone", "1", testStart)), 400)
	})
}
