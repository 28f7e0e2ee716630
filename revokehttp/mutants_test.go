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
		"credentials: the first of two headers counts": {
			File: "credentials.go", Tests: "TestAuthorizationHeader TestServers",
			Edits: []string{"	if len(headers) > 1 {", "	if len(headers) > 2 {"},
		},
		"credentials: the first of two cookies counts": {
			File: "credentials.go", Tests: "TestCookie TestCookieNames TestServers",
			Edits: []string{"	case 1:\n		return cookies[0]", "	case 1, 2:\n		return cookies[0]"},
		},
		"origin: upper case": {
			File: "origin.go", Tests: "TestTrustedOrigin",
			Edits: []string{"case origin != strings.ToLower(origin):", "case false:"},
		},
		"origin: a default port": {
			File: "origin.go", Tests: "TestTrustedOrigin",
			Edits: []string{"case port == defaultPorts[scheme]:", "case false:"},
		},
		"origin: any host": {
			File: "origin.go", Tests: "TestTrustedOrigin",
			Edits: []string{"	if !isOriginHost(host) {", "	if false {"},
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
		"proxies: an unknown refusal is passed on": {
			File: "forwardauth.go", Tests: "TestForwardAuth",
			Edits: []string{"		f.unauthorized(w, `error=\"invalid_request\"`)\n", "		refuse(w, http.StatusBadRequest)\n"},
		},
		"proxies: a host of a list counts": {
			File: "forwardauth.go", Tests: "TestForwardAuth",
			Edits: []string{"one(r, f.host, r.Host, isHost)", "one(r, f.host, r.Host, func(string) bool { return isHost(r.Host) })"},
		},
		"watch: each stream asks by itself": {
			File: "watch.go", Tests: "TestWatchCost",
			Edits: []string{"	if w.many != nil {", "	if false {"},
		},
		"watch: an embedded checker passes by the Check around it": {
			File: "watch.go", Tests: "TestWatchAsksTheCheckAroundAField",
			Edits: []string{
				"w.many, _ = embedded.Own[manyChecker](checker)", "w.many, _ = checker.(manyChecker)",
				"	\"github.com/pgrevoke/revoke/internal/embedded\"\n", "",
			},
		},
		"watch: the goroutine outlives the streams": {
			File: "watch.go", Tests: "TestWatch",
			Edits: []string{"	if len(w.streams) == 0 {\n		w.stop()\n", "	if len(w.streams) == 0 {\n"},
		},
		"watch: a revocation is an outage": {
			File: "watch.go", Tests: "TestWatch TestWatchHandler",
			Edits: []string{"	case !errors.Is(err, revoke.ErrUnavailable) && !isMisconfigured(err) &&", "	case false &&"},
		},
		"watch: a stream outlives its token": {
			File: "watch.go", Tests: "TestWatch",
			Edits: []string{"	if s.token.ExpiresAt.Before(unconfirmed) {", "	if false {"},
		},
		"watch: an outage has no end": {
			File: "watch.go", Tests: "TestWatch",
			Edits: []string{"	return 2*w.interval + w.grace\n", "	return 1000 * time.Hour\n"},
		},
		"watch: a grace for any outage is none": {
			File: "watch.go", Tests: "TestWatch",
			Edits: []string{"	if w.interval > (math.MaxInt64-w.grace)/2 {", "	if math.MaxInt64 == 0 {"},
		},
		"watch: an outage ends streams at once": {
			File: "watch.go", Tests: "TestWatch",
			Edits: []string{"case !errors.Is(err, revoke.ErrUnavailable) && !isMisconfigured(err) && (errors.Is", "case err != nil || (errors.Is"},
		},
		"watch: a change between the validation and the watch is lost": {
			File: "watch.go", Tests: "TestWatch",
			Edits: []string{"		w.judge(s, w.checkEach(ctx, []revoke.Token{token})[0], began)\n	}\n	forget", "		_ = began\n	}\n	forget"},
		},
		"watch: a change is not heard of": {
			File: "watch.go", Tests: "TestWatch",
			Edits: []string{"		return c.Changed()\n", "		return nil\n", "if c, ok := w.checker.(changing); ok {\n		return", "if _, ok := w.checker.(changing); ok {\n		return"},
		},
		"watch: an outage matches what a token is refused for": {
			File: "watch.go", Tests: "TestWatch",
			Edits: []string{"		case errors.Is(failure, revoke.ErrRevoked), errors.Is(failure, revoke.ErrInvalidToken):", "		case false:"},
		},
		"logout: a script is redirected": {
			File: "logout.go", Tests: "TestLogoutOfForm",
			Edits: []string{"if o.location != nil && isNavigation(r) {", "if o.location != nil {"},
		},
		"logout: a provider without TLS": {
			File: "logout_redirect.go", Tests: "TestLogoutArguments",
			Edits: []string{`u.Scheme == "http" && local)`, `u.Scheme == "http" || local && false)`},
		},
		"logout: a hint is any text": {
			File: "logout_redirect.go", Tests: "TestLogoutOfForm",
			Edits: []string{"isToken68(hint) {", `hint != "" {`},
		},
		"logout: it ends with its client": {
			File: "logout.go", Tests: "TestLogoutOutlastsItsClient",
			Edits: []string{"r, cancel := logout.Detach(r)", "cancel := func() {}"},
		},
		"logout: everything is ended with a dead token": {
			File: "logout.go", Tests: "TestLogoutEverywhere",
			Edits: []string{
				"		a, err := g.validate(r)\n",
				"		text, _, _ := g.credentials(r)\n		found, err := g.validator.Identify(r.Context(), text)\n		a := accepted{token: &revoke.Verified{Token: found}}\n",
			},
		},
		"navigation: a client with a Bearer header is redirected": {
			File: "navigation.go", Tests: "TestSignInPage",
			Edits: []string{"!isNavigation(r) || presentsBearer(r) {", "!isNavigation(r) {"},
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
			File: "logout.go", Tests: "TestLogoutDropsTheCookie",
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
		"logout: every sid is a session": {
			File: "../validator_logout.go", Tests: "TestLogoutScopes TestSignInAgainOverOneSession",
			Edits: []string{"(v.session || v.namedSession || ownTokens)", "(true || ownTokens)"},
		},
		"logout: no sid is a session": {
			File: "../validator_logout.go", Tests: "TestLogoutScopes TestSignInAgainOverOneSession",
			Edits: []string{"!v.withoutSession && (v.session ||", "!v.withoutSession && false && (v.session ||"},
		},
		"logout: the scopes of the app do not count": {
			File: "logout.go", Tests: "TestLogoutScopes TestSignInAgainOverOneSession",
			Edits: []string{"	if len(o.scopes) > 0 {\n		return o.scopes, nil", "	if len(o.scopes) > 5 {\n		return o.scopes, nil"},
		},
		"logout: a validator is not asked by the constructor": {
			File: "logout.go", Tests: "TestLogoutRefusesValidators",
			Edits: []string{"		return v.CheckLogout(scopes...)\n", "		_ = v\n"},
		},
		"logout: a token that lives on is refused as a bad one": {
			File: "../internal/logout/logout.go", Tests: "TestLogoutOfUnknownValidators",
			Edits: []string{`%w: the token has neither an id nor a session that the logout ends", revoke.ErrUnavailable)`, `%w: the token has neither an id nor a session that the logout ends", revoke.ErrInvalidToken)`},
		},
		"logout: a token without a session is not ended by a logout of sessions": {
			File: "../internal/logout/logout.go", Tests: "TestLogoutBesideServiceAccounts",
			Edits: []string{"token.ID != \"\" && (!session ||", "token.ID != \"\" && (false ||"},
		},
		"logout: an actor ends the sessions of the user": {
			File: "logout.go", Tests: "TestImpersonation",
			Edits: []string{"		case token.Actor != (revoke.User{}):", "		case false:"},
		},
		"logout: the record names the user for the actor": {
			File: "options.go", Tests: "TestImpersonation",
			Edits: []string{"	if token.Actor != (revoke.User{}) {", "	if false {"},
		},
		"watch: impersonation outlives its actor": {
			File: "watch.go", Tests: "TestWatch",
			Edits: []string{"		if actors, ok := token.OfActor(w.checker); ok {", "		if actors, ok := token.OfActor(w.checker); ok && false {"},
		},
		"refresh: the cookies of all sessions have one name": {
			File: "refresh_cookie.go", Tests: "TestLateAnswers TestRefreshOfSeveral",
			Edits: []string{"hex.EncodeToString(key[:tagLength/2])", "hex.EncodeToString(key[:0]) + \"0123456789abcdef\""},
		},
		"refresh: a failure deletes the cookie": {
			File: "refresh.go", Tests: "TestRefreshRefuses TestRefreshOfSeveral TestRequireFails",
			Edits: []string{"		if refresh.IsOver(err) {\n", "		if over := refresh.IsOver(err); over || true {\n"},
		},
		"refresh: a dead cookie stays": {
			File: "refresh.go", Tests: "TestRefreshRefuses TestRefreshOfSeveral TestRefreshOnPostgres",
			Edits: []string{"		if refresh.IsOver(err) {\n", "		if over := refresh.IsOver(err); over && false {\n"},
		},
		"refresh: another session takes the place of one that may live": {
			File: "refresh.go", Tests: "TestRefreshOfSeveral",
			Edits: []string{"		if !isCertain(r, err) {", "		if cancelled := r.Context().Err() != nil; cancelled {"},
		},
		"refresh: another site refreshes": {
			File: "refresh.go", Tests: "TestRefreshRefuses",
			Edits: []string{"	err := h.guard.checkOrigin(r)\n	if err != nil {", "	err := h.guard.checkOrigin(r)\n	if false {"},
		},
		"refresh: a refresh token is in the body": {
			File: "refresh.go", Tests: "TestRefreshWithoutGuardCookie",
			Edits: []string{"= tokens.Access, \"Bearer\"", "= tokens.Refresh, \"Bearer\""},
		},
		"refresh: a token stays under a wrong name": {
			File: "refresh.go", Tests: "TestRefreshRenames",
			Edits: []string{"		h.clear(w, presented.name)\n", ""},
		},
		"refresh: the session in hand is not tried first": {
			File: "refresh_cookie.go", Tests: "TestRefreshOfSeveral",
			Edits: []string{"return c.name == inHand }); i > 0 {", "return c.name == inHand }); i > 1000 {"},
		},
		"refresh: an older refresh token of the same name is presented": {
			File: "refresh_cookie.go", Tests: "TestRefreshOfSeveral",
			Edits: []string{"return times[c.name] > 1 })", "return times[c.name] > 2 })"},
		},
		"refresh: a request asks about any number": {
			File: "refresh_cookie.go", Tests: "TestRefreshAsksAboutFew",
			Edits: []string{"const maxRefreshCookies = 32", "const maxRefreshCookies = 32 << 20"},
		},
		"refresh: the oldest cookies hide the newest": {
			File: "refresh_cookie.go", Tests: "TestRefreshAsksAboutTheNewest",
			Edits: []string{"return all[:min(len(all), maxRefreshCookies)]", "return all[max(0, len(all)-maxRefreshCookies):]"},
		},
		"logout by refresh: the oldest of many sessions lives on": {
			File: "refresh_cookie.go", Tests: "TestEndsMany",
			Edits: []string{"const maxEnded = 256", "const maxEnded = maxRefreshCookies"},
		},
		"logout by refresh: a request ends any number": {
			File: "refresh_cookie.go", Tests: "TestEndsMany",
			Edits: []string{"const maxEnded = 256", "const maxEnded = 256 << 20"},
		},
		"sign-in: the session before lives on": {
			File: "refresh_logout.go", Tests: "TestEndSessions",
			Edits: []string{"	presented := h.ending(r)\n	for _, text", "	presented := few(nil)\n	for _, text"},
		},
		"sign-in: a cookie of a session that may live is deleted": {
			File: "refresh_logout.go", Tests: "TestEndSessions",
			Edits: []string{"	if err != nil && !isCertain(r, err) {\n		return err\n	}\n	h.clear", "	if err != nil && !isCertain(r, err) {\n		dead = []string{presented[0].name}\n	}\n	h.clear"},
		},
		"refresh: the access token is forgotten when it expires": {
			File: "refresh_cookie.go", Tests: "TestRefresh",
			Edits: []string{"h.guard.SetCookie(w, tokens.Access, tokens.RefreshExpiresAt)", "h.guard.SetCookie(w, tokens.Access, tokens.AccessExpiresAt)"},
		},
		"refresh: a client's tokens are a browser's": {
			File: "refresh.go", Tests: "TestDevice",
			Edits: []string{"	device.Client = \"\" //", "	//"},
		},
		"pages: a link of another site refreshes": {
			File: "refresh_page.go", Tests: "TestRequireRefreshes",
			Edits: []string{`case "same-origin", "none", "":`, `case "same-origin", "none", "", "cross-site", "same-site":`},
		},
		"pages: a form of another site refreshes": {
			File: "refresh_page.go", Tests: "TestRequireChecksTheOrigin",
			Edits: []string{"if err = g.checkOrigin(r); err == nil {", "if err = nil; err == nil {"},
		},
		"pages: an answer with a token may be stored": {
			File: "refresh_page.go", Tests: "TestRequireRefreshes",
			Edits: []string{"				seeOther(w, ownURL(r))\n				return", "				required.ServeHTTP(w, r)\n				return"},
		},
		"pages: a token that is refused is asked for again": {
			File: "refresh_page.go", Tests: "TestRequireFails",
			Edits: []string{"return accepted{verified, true}, err", "return accepted{verified, true}, nil"},
		},
		"pages: a path names another host": {
			File: "refresh_page.go", Tests: "TestRequireRedirectsToItself",
			Edits: []string{`reference := "./" + path[strings.LastIndexByte(path, '/')+1:]`, "reference := strings.TrimSpace(path)"},
		},
		"pages: a prefetch is a navigation": {
			File: "navigation.go", Tests: "TestRequireRefreshes",
			Edits: []string{"	if isPrefetch(r) {", "	if false {"},
		},
		"pages: a script is a navigation": {
			File: "refresh_page.go", Tests: "TestRequireRefreshes",
			Edits: []string{"h.guard.cookie != nil && isNavigation(r) &&", "h.guard.cookie != nil &&"},
		},
		"logout by refresh: another site ends sessions": {
			File: "refresh_logout.go", Tests: "TestRefreshLogout TestRefreshLogoutByBearer",
			Edits: []string{"switch crossOrigin := h.guard.checkOrigin(r); {", "switch crossOrigin := error(nil); {"},
		},
		"logout by refresh: a session of the browser goes on": {
			File: "refresh_logout.go", Tests: "TestRefreshLogout",
			Edits: []string{"	var dead []string\n", "	presented = presented[:1]\n	var dead []string\n"},
		},
		"logout by refresh: a cookie is lost in an outage": {
			File: "refresh_logout.go", Tests: "TestRefreshLogout",
			Edits: []string{"			return nil, err\n		}\n		if c.name", "			return []string{c.name}, err\n		}\n		if c.name"},
		},
	})
}
