package revokehttp_test

import (
	"testing"

	"github.com/pgrevoke/revoke/internal/mutation"
)

// TestMutantsAreCaught is that of the root package, for guards and logouts.
func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	mutation.Run(t, map[string]mutation.Mutant{
		"guard: an answer may be used without asking": {
			File: "guard.go", Tests: "TestCaching",
			Edits: []string{`header.Set("Cache-Control", "private, no-cache")`, `_ = header`},
		},
		"guard: an answer is the same for all": {
			File: "guard.go", Tests: "TestCaching",
			Edits: []string{`header.Add("Vary", strings.Join(names, ", "))`, `_ = header`},
		},
		"guard: what must not be stored is let in": {
			File: "guard.go", Tests: "TestCaching",
			Edits: []string{`if !lists(strings.Join(header.Values("Cache-Control"), ","), "no-store") {`, "{"},
		},
		"guard: an app's own refusal is stored": {
			File: "guard.go", Tests: "TestRefusalsAreNotStored",
			Edits: []string{"	g.settings.Report(r, err)\n	w.Header().Set(\"Cache-Control\", \"no-store\")\n", "	g.settings.Report(r, err)\n"},
		},
		"credentials: a cookie counts beside a Bearer header": {
			File: "credentials.go", Tests: "TestCookie",
			Edits: []string{"isBearer {\n			return", "isBearer && len(g.cookies(r)) == 0 {\n			return"},
		},
		"guard: the handshake of a WebSocket is safe": {
			File: "guard.go", Tests: "TestWebSocketIsUnsafe TestForwardAuth",
			Edits: []string{"return lists(strings.Join(r.Header.Values(\"Upgrade\")", "return false && lists(strings.Join(r.Header.Values(\"Upgrade\")",
				`r.Header.Get("Sec-WebSocket-Key") != "" ||`, `false && r.Header.Get("Sec-WebSocket-Key") != "" ||`,
				`r.Header.Get("Sec-WebSocket-Version") != ""`, `false`},
		},
		"proxies: the question's own method counts": {
			File: "forwardauth.go", Tests: "TestForwardAuth",
			Edits: []string{"	if !strings.HasPrefix(name, \":\") {", "	if own == \"\" {"},
		},
		"proxies: what does not tell its origin is no browser": {
			File: "forwardauth.go", Tests: "TestForwardAuth",
			Edits: []string{`if r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == "" {`, "if false {"},
		},
		"proxies: an identity is written as it is": {
			File: "forwardauth.go", Tests: "TestForwardAuthIdentity",
			Edits: []string{"if c := id[i]; c > ' ' && c <= '~' && c != '%' && c != ',' {", "if c := id[i]; c != 0 {"},
		},
		"watch: a stream outlives its token": {
			File: "watch.go", Tests: "TestWatch",
			Edits: []string{"	if s.token.ExpiresAt.Before(unconfirmed) {", "	if false {"},
		},
		"watch: an outage has no end": {
			File: "watch.go", Tests: "TestWatch",
			Edits: []string{"func (w *Watcher) patience() time.Duration { return", "func (w *Watcher) patience() time.Duration { return 1000 * time.Hour +"},
		},
		"watch: an outage ends streams at once": {
			File: "watch.go", Tests: "TestWatch",
			Edits: []string{"case !errors.Is(err, revoke.ErrUnavailable) && !isMisconfigured(err) && (errors.Is", "case err != nil || (errors.Is"},
		},
		"watch: a change between the validation and the watch is lost": {
			File: "watch.go", Tests: "TestWatch",
			Edits: []string{"		w.judge(s, w.check(ctx, token), began)\n	}\n	forget", "		_ = began\n	}\n	forget"},
		},
		"watch: a change is not heard of": {
			File: "watch.go", Tests: "TestWatch",
			Edits: []string{"		return c.Changed()\n", "		return nil\n", "if c, ok := w.checker.(changing); ok {\n		return", "if _, ok := w.checker.(changing); ok {\n		return"},
		},
		"watch: an outage matches what a token is refused for": {
			File: "watch.go", Tests: "TestWatch",
			Edits: []string{"		case errors.Is(failure, revoke.ErrRevoked), errors.Is(failure, revoke.ErrInvalidToken): // not for certain", "		case false:"},
		},
		"logout: a live cookie is lost": {
			File: "logout.go", Tests: "TestLogoutDropsTheCookie",
			Edits: []string{"return g.isUseless(r, cookies[0])", "return true"},
		},
		"logout: a cookie is lost in an outage": {
			File: "logout.go", Tests: "TestLogoutDropsTheCookie TestLogoutFaults",
			Edits: []string{" || err != nil && !isCertain(r, err) {", " {"},
		},
		"logout: a cookie that is good for nothing stays": {
			File: "logout.go", Tests: "TestLogoutDropsTheCookie",
			Edits: []string{"return g.isUseless(r, cookies[0])", "return false"},
		},
		"logout: another site takes the cookie": {
			File: "logout.go", Tests: "TestLogoutDropsTheCookie TestLogoutRefuses",
			Edits: []string{"g.cookie == nil || g.checkOrigin(r) != nil ||", "g.cookie == nil ||"},
		},
		"logout: a token that is not valid yet counts as dead": {
			File: "logout.go", Tests: "TestLogoutDropsTheCookie",
			Edits: []string{"isCertain(r, err) && !errors.Is(err, jwt.ErrTokenInvalidClaims)", "isCertain(r, err)"},
		},
		"navigation: a path is decoded once": {
			File: "navigation.go", Tests: "TestLocalPath",
			Edits: []string{
				"	if err := checkDecodedPath(decodeAll(path)); err != nil {",
				"	once, _ := url.PathUnescape(path)\n	if err := checkDecodedPath(once); err != nil {",
			},
		},
		"navigation: an escape in two parts is none": {
			File: "navigation.go", Tests: "TestLocalPath",
			Edits: []string{"decoded[n-3] == '%'; n = len(decoded) {", "decoded[n-3] == '%'; n = 0 {"},
		},
		"navigation: the router's path is the one that was asked for": {
			File: "navigation.go", Tests: "TestSignInPage",
			Edits: []string{`if path, _, _ := strings.Cut(asked, "?"); path == g.signIn.EscapedPath() {`, "if r.URL.Path == g.signIn.Path {"},
		},
		"credentials: Bearer before a tab is another scheme": {
			File: "credentials.go", Tests: "TestAuthorizationHeader TestCookie",
			Edits: []string{"return !isToken(string(r)) })", "return r == ' ' })"},
		},
		"logout: a store that does not know the issuer refuses the token": {
			File: "report.go", Tests: "TestLogoutOfMisconfiguredStore TestWatch",
			Edits: []string{"return errors.As(err, new(*issuers.UnknownError)) }", "return errors.As(err, new(*issuers.UnknownError)) && false }"},
		},
		"logout: a trusted origin takes a cookie that SameSite withholds": {
			File: "logout.go", Tests: "TestLogoutOfTrustedOrigin",
			Edits: []string{"return isOwnOrigin(r) && (", "return ("},
		},
		"navigation: an outage leads to the sign-in page": {
			File: "guard.go", Tests: "TestSignInPage",
			Edits: []string{
				"		w.Header().Set(\"Retry-After\", endpoint.Seconds(g.settings.RetryAfter))\n		refuse(w, http.StatusServiceUnavailable)",
				"		g.unauthorized(w, r)",
			},
		},
		"cookie: there is no Max-Age": {
			File: "cookie.go", Tests: "TestCookieAge TestCookieAttributes",
			Edits: []string{"int(min(time.Until(expiresAt), maxCookieAge) / time.Second); cookie.MaxAge <= 0", "0; false"},
		},
		"cookie: the one that is not partitioned stays": {
			File: "cookie.go", Tests: "TestCookieAttributes TestLogoutDropsBothCookies",
			Edits: []string{"	c.set(w, \"\", longAgo)\n	if c.partitioned {", "	c.set(w, \"\", longAgo)\n	if false {"},
		},
	})
}
