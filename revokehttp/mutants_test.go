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
			Edits: []string{"		path = decoded\n", "		return checkDecodedPath(decoded)\n"},
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
