package revokehttp_test

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
	"github.com/pgrevoke/revoke/revokehttp"
)

// at is a NumericDate that lies d from now.
func at(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).Unix()) }

// TestLogoutToken is OpenID Connect Back-Channel Logout 1.0 §2.4, §2.6 and §4.1. What is refused reaches no store.
func TestLogoutToken(t *testing.T) {
	t.Parallel()
	providerKey()
	synctest.Test(t, func(t *testing.T) {
		long := strings.Repeat("x", revoke.MaxIDLength)
		type tokens map[string]string
		typed := func(header string) string { return signText(t, "ES256", header, claimsText(nil)) }
		with := func(name, value string) string { return logoutOf(t, map[string]string{name: value}) }
		good := logoutOf(t, nil)
		parts := strings.Split(good, ".")
		accepted := tokens{
			"as it is":                          good,
			"no typ":                            typed(`{"alg":"ES256"}`),
			"typ JWT":                           typed(`{"alg":"ES256","typ":"JWT"}`),
			"typ in full, and in other letters": typed(`{"alg":"ES256","typ":"application/Logout+JWT","kid":"k"}`),
			"b64 true":                          typed(`{"alg":"ES256","b64":true}`),
			"several audiences":                 with("aud", `["other","`+clientID+`"]`),
			"the other client":                  with("aud", `"another-app"`),
			"no sub":                            with("sub", ""),
			"no sid":                            with("sid", ""),
			"other events":                      with("events", `{"revoke_offline_access":true,`+logoutEvents[1:]),
			"an event with members":             with("events", `{"http://schemas.openid.net/event/backchannel-logout":{"a":[1]}}`),
			"other claims":                      logoutOf(t, nil, `"typ":"Logout","trace_id":"x","a":{"nonce":1}`),
			"iat as far ahead as may be":        with("iat", at(15*time.Second)),
			"exp just past, within the leeway":  logoutOf(t, map[string]string{"iat": at(-179 * time.Second), "exp": at(-59 * time.Second)}),
			"no exp":                            with("exp", ""),
			"no exp, an hour old":               logoutOf(t, map[string]string{"iat": at(-time.Hour - 59*time.Second), "exp": ""}),
			"exp far away":                      with("exp", at(revoke.MaxTokenLifetime)),
			"fractions of seconds":              logoutOf(t, map[string]string{"iat": at(0) + ".25", "exp": at(time.Minute) + ".75"}),
			"nbf":                               with("nbf", at(0)),
			"jti as long as may be":             with("jti", `"`+long+`"`),
		}
		refused := tokens{
			"§2.4 no signature":            signText(t, "none", `{"alg":"none"}`, claimsText(nil)),
			"§2.6 another algorithm":       signText(t, "HS256", `{"alg":"HS256"}`, claimsText(nil)),
			"§2.6 the algorithm is a lie":  signText(t, "HS256", logoutHeader, claimsText(nil)),
			"§2.6 signature of another":    parts[0] + "." + parts[1] + "." + strings.Split(logoutOf(t, nil, `"a":1`), ".")[2],
			"§2.6 no signature part":       parts[0] + "." + parts[1] + ".",
			"§2.6 encrypted":               good + "." + parts[1] + "." + parts[2],
			"§2.6 line break":              parts[0] + "\n." + parts[1] + "." + parts[2],
			"§2.6 padded":                  good + "=",
			"§2.6 too long":                logoutOf(t, nil, `"a":"`+strings.Repeat("a", revoke.DefaultMaxTokenSize)+`"`),
			"§2.4 no iss":                  with("iss", ""),
			"§2.6 iss of another":          with("iss", `"`+providerIssuer+`/"`),
			"§2.4 no aud":                  with("aud", ""),
			"§2.4 empty aud":               with("aud", "[]"),
			"§2.6 aud of another":          with("aud", `["other","`+strings.ToUpper(clientID)+`"]`),
			"§2.4 aud of another type":     with("aud", `["`+clientID+`",1]`),
			"§2.4 no iat":                  with("iat", ""),
			"§2.4 iat is text":             with("iat", `"`+at(0)+`"`),
			"§2.6 iat ahead":               with("iat", at(16*time.Second)),
			"§2.6 expired":                 logoutOf(t, map[string]string{"iat": at(-180 * time.Second), "exp": at(-60 * time.Second)}),
			"§2.6 no exp, and too old":     logoutOf(t, map[string]string{"iat": at(-time.Hour - time.Minute), "exp": ""}),
			"§2.6 exp before iat":          logoutOf(t, map[string]string{"iat": at(10 * time.Second), "exp": at(9 * time.Second)}),
			"§2.6 exp beyond any row":      with("exp", at(revoke.MaxTokenLifetime+time.Second)),
			"§2.6 exp beyond time":         with("exp", "1e300"),
			"§2.6 nbf ahead":               with("nbf", at(16*time.Second)),
			"§2.4 no jti":                  with("jti", ""),
			"§2.4 empty jti":               with("jti", `""`),
			"§2.4 jti is null":             with("jti", `null`),
			"§2.4 jti is a number":         with("jti", `1`),
			"§2.4 jti too long":            with("jti", `"x`+long+`"`),
			"§2.4 jti with NUL":            with("jti", `"a\u0000b"`),
			"§2.4 jti not UTF-8":           with("jti", "\"\xff\""),
			"§2.4 jti half a character":    with("jti", `"\ud800"`),
			"§2.4 jti twice":               logoutOf(t, nil, `"jti":"logout-2"`),
			"§2.4 JTI beside jti":          logoutOf(t, nil, `"JTI":"logout-2"`),
			"§2.4 sid twice":               logoutOf(t, nil, `"sid":"laptop"`),
			"§2.4 Sub beside sub":          logoutOf(t, nil, `"Sub":"eve"`),
			"§2.4 empty sub":               with("sub", `""`),
			"§2.4 sid is a number":         with("sid", `7`),
			"§2.4 neither sub nor sid":     logoutOf(t, map[string]string{"sub": "", "sid": ""}),
			"§2.4 no events":               with("events", ""),
			"§2.4 events without a logout": with("events", `{"http://schemas.openid.net/event/backchannel-login":{}}`),
			"§2.4 events is an array":      with("events", `["http://schemas.openid.net/event/backchannel-logout"]`),
			"§2.4 the logout is no object": with("events", `{"http://schemas.openid.net/event/backchannel-logout":true}`),
			"§2.4 events is null":          with("events", `null`),
			"§2.4 nonce":                   logoutOf(t, nil, `"nonce":"n"`),
			"§2.4 nonce is null":           logoutOf(t, nil, `"nonce":null`),
			"§2.4 NONCE":                   logoutOf(t, nil, `"NONCE":"n"`),
			"§4.1 typ at+jwt":              typed(`{"alg":"ES256","typ":"at+jwt"}`),
			"§4.1 typ secevent+jwt":        typed(`{"alg":"ES256","typ":"secevent+jwt"}`),
			"§4.1 typ empty":               typed(`{"alg":"ES256","typ":""}`),
			"§4.1 typ null":                typed(`{"alg":"ES256","typ":null}`),
			"RFC 7515 crit":                typed(`{"alg":"ES256","crit":["x"],"x":1}`),
			"RFC 7797 b64":                 typed(`{"alg":"ES256","b64":false}`),
			"JSON goes on":                 signText(t, "ES256", logoutHeader, claimsText(nil)+"{}"),
			"JSON is an array":             signText(t, "ES256", logoutHeader, "["+claimsText(nil)+"]"),
			"an access token":              accessOf(t, "ada", "phone", "1", time.Now()),
			"an ID token":                  signText(t, "ES256", `{"alg":"ES256","typ":"JWT"}`, claimsText(map[string]string{"events": ""}, `"nonce":"n"`)),
			"nothing like it":              "x",
		}
		for what, token := range accepted {
			for _, users := range []bool{false, true} {
				a, _ := newRelyingAppInMemory(t, users)
				status := http.StatusOK
				if users && what == "no sub" {
					status = http.StatusBadRequest
				}
				wantsAnswer(t, what, a.deliver(token), status)
				if access := accessOf(t, "ada", "phone", "1", time.Now().Add(-2*time.Hour)); status == http.StatusOK && a.alive(t, access) {
					t.Errorf("%s, users %v: the answer was 200, and the user goes on", what, users)
				}
			}
		}
		for what, token := range refused {
			a, _ := newRelyingAppInMemory(t, false)
			wantsAnswer(t, what, a.deliver(token), http.StatusBadRequest)
			if a.began.Load() != 0 || len(a.reported) != 1 || !errors.Is(a.reported[0], revoke.ErrInvalidToken) || errors.Is(a.reported[0], revoke.ErrUnavailable) {
				t.Errorf("%s: %d transactions, and reported is %v", what, a.began.Load(), a.reported)
			}
		}
	})
}

// TestLogoutAlgorithms is §2.6: the allow-list decides, though there is a key that fits.
func TestLogoutAlgorithms(t *testing.T) {
	t.Parallel()
	eager := func(token *jwt.Token) (any, error) {
		return map[string]any{
			"none": jwt.UnsafeAllowNoneSignatureType, "HS256": testKey, "RS256": providerRSA().Public(), "ES256": providerKey().Public(),
		}[token.Method.Alg()], nil
	}
	for _, allowed := range []string{"ES256", "RS256", "HS256"} {
		for _, alg := range []string{"ES256", "RS256", "HS256", "none"} {
			a, _ := newRelyingAppInMemory(t, true)
			handler, err := revokehttp.NewBackChannelLogout(a, providerIssuer, []string{clientID}, eager, []string{allowed}, revokehttp.EndUser())
			must(t, err)
			status := http.StatusBadRequest
			if alg == allowed {
				status = http.StatusOK
			}
			token := signText(t, alg, `{"alg":"`+alg+`"}`, claimsText(nil))
			wantsAnswer(t, alg+" where "+allowed+" is allowed", answer(handler, delivery("logout_token="+token)), status)
		}
	}
}

// TestKeysAreDown tells a source of keys that does not answer from a key that there is not.
func TestKeysAreDown(t *testing.T) {
	t.Parallel()
	for cause, status := range map[error]int{
		context.DeadlineExceeded:                503,
		context.Canceled:                        503,
		&net.OpError{Op: "dial", Err: errHalf}:  503,
		revoke.ErrUnavailable:                   503,
		errors.New("kid is not known"):          400,
		fmt.Errorf("%w: no", revoke.ErrRevoked): 400,
	} {
		a, _ := newRelyingAppInMemory(t, false)
		handler, err := revokehttp.NewBackChannelLogout(a, providerIssuer, []string{clientID},
			func(*jwt.Token) (any, error) { return nil, cause }, []string{"ES256"}, revokehttp.EndUser())
		must(t, err)
		wantsAnswer(t, cause.Error(), answer(handler, delivery("logout_token="+logoutOf(t, nil))), status)
		if a.began.Load() != 0 {
			t.Errorf("%v: something was written", cause)
		}
	}
}

// FuzzLogoutToken signs arbitrary headers and payloads, and presents arbitrary text as it is. Nothing begins to be written unless
// the signature is the provider's, and what is answered with 200 is done.
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
			text = signText(t, "ES256", header, payload)
		}
		w := a.deliver(text)
		_, err := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}), jwt.WithoutClaimsValidation()).Parse(text, providerKeyfunc)
		if err != nil && (a.began.Load() != 0 || w.Code != http.StatusBadRequest) {
			t.Fatalf("%d transactions and %d for a token that does not verify: %v", a.began.Load(), w.Code, err)
		}
		if w.Code != http.StatusOK {
			return
		}
		read, _, err := jwt.NewParser().ParseUnverified(text, jwt.MapClaims{})
		must(t, err)
		subject, err := read.Claims.GetSubject()
		must(t, err)
		issuedAt, err := read.Claims.GetIssuedAt()
		must(t, err)
		epochs, err := a.Epochs(t.Context(), revoke.User{Issuer: providerIssuer, Subject: subject})
		if err != nil || epochs.User <= issuedAt.UnixMicro() {
			t.Fatalf("the epoch of %q is %v, %v, and the logout of %v was answered 200", subject, epochs, err, issuedAt)
		}
	})
}

// TestLogoutTokenIsNoCredential has a service of the app refuse a logout token, typed or not, which other clients of the provider get
// as well; and the receiver an access token.
func TestLogoutTokenIsNoCredential(t *testing.T) {
	t.Parallel()
	a, _ := newRelyingAppInMemory(t, false)
	guard, err := revokehttp.New(a.validator)
	must(t, err)
	service := guard.Require(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it is let in") }))
	for _, header := range []string{logoutHeader, `{"alg":"ES256","typ":"JWT"}`, `{"alg":"ES256"}`} {
		token := signText(t, "ES256", header, claimsText(nil))
		wants(t, answer(service, request("GET", "/", "Authorization", "Bearer "+token)), 401, invalidToken)
	}
	wantsAnswer(t, "an access token", a.deliver(accessOf(t, "ada", "phone", "1", testStart)), 400)
}
