package revokehttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/session"
)

// family is a session of fakeSessions.
type family struct {
	generation int
	young      bool           // the last rotation is within the grace
	over       session.Reason // empty while it lives
}

// fakeSessions follows the rules of package session without a database. Its refresh tokens are
// "sid.generation". A test ends the grace by age.
type fakeSessions struct {
	testing.TB
	store     revoke.Store
	validator *revoke.Validator

	mu       sync.Mutex
	families map[string]*family
	asked    []string // the refresh tokens that were presented
	devices  []session.Device
	fail     map[string]error // by sid: before anything changes
	lifetime time.Duration    // of access tokens, after testkit.Now
}

// start starts the session "s1", then "s2", and so on.
func (f *fakeSessions) start() session.Tokens {
	f.mu.Lock()
	defer f.mu.Unlock()
	sid := "s" + strconv.Itoa(len(f.families)+1)
	f.families[sid] = &family{generation: 1}
	return f.tokens(sid, session.Started)
}

// tokens returns the current tokens of a session.
func (f *fakeSessions) tokens(sid string, outcome session.Outcome) session.Tokens {
	return session.Tokens{
		Access: mint(f, sid+"-"+strconv.Itoa(len(f.asked)), sid, f.lifetime), AccessExpiresAt: time.Now().Add(10 * time.Minute),
		Refresh: fmt.Sprint(sid, ".", f.families[sid].generation), RefreshExpiresAt: time.Now().Add(90 * 24 * time.Hour),
		Session: sessionOf(sid), User: ada, Outcome: outcome,
	}
}

var ada = revoke.User{Issuer: testkit.Issuer, Subject: "ada"}

func sessionOf(sid string) revoke.Session { return revoke.Session{Issuer: testkit.Issuer, ID: sid} }

// Refresh answers by the rules of package session.
func (f *fakeSessions) Refresh(ctx context.Context, token string, device session.Device) (session.Tokens, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked, f.devices = append(f.asked, token), append(f.devices, device)
	sid, number, _ := strings.Cut(token, ".")
	row, generation := f.families[sid], 0
	if _, err := fmt.Sscan(number, &generation); err != nil || row == nil {
		return session.Tokens{}, &session.RefreshError{Reason: session.Invalid}
	}
	switch err := f.fail[sid]; {
	case ctx.Err() != nil:
		return session.Tokens{}, fmt.Errorf("%w: %w", revoke.ErrUnavailable, ctx.Err())
	case err != nil:
		return session.Tokens{}, err
	case row.over != "":
	case generation == row.generation && row.young:
		tokens := f.tokens(sid, session.Repeated)
		tokens.Refresh = ""
		return tokens, nil
	case generation == row.generation:
		row.generation, row.young = generation+1, true
		return f.tokens(sid, session.Rotated), nil
	case generation == row.generation-1 && row.young:
		return f.tokens(sid, session.Repeated), nil
	default:
		f.end(sid, session.Replayed)
	}
	return session.Tokens{}, &session.RefreshError{Reason: row.over, Session: sessionOf(sid), User: ada}
}

// end ends a session, for guards too.
func (f *fakeSessions) end(sid string, reason session.Reason) {
	f.families[sid].over = reason
	testkit.Must(f, f.store.RevokeSession(context.Background(), sessionOf(sid)))
}

// EndToken ends the session of either token.
func (f *fakeSessions) EndToken(ctx context.Context, token string, _ ...revoke.RevokeOption) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	sid, _, _ := strings.Cut(token, ".")
	if access, err := f.validator.Identify(ctx, token); err == nil {
		sid = access.SessionID
	}
	switch {
	case f.families[sid] == nil:
		return fmt.Errorf("%w: it is no token of the issuer", revoke.ErrInvalidToken)
	case f.fail[sid] != nil:
		return f.fail[sid]
	case f.families[sid].over == "":
		f.end(sid, session.Ended)
	}
	return nil
}

// age ends the grace of every session.
func (f *fakeSessions) age() {
	for _, row := range f.families {
		row.young = false
	}
}

// app has pages and an endpoint that refresh, for one user.
type app struct {
	*service
	sessions *fakeSessions
	refresh  *revokehttp.Refresh
	pages    http.Handler
}

func newApp(tb testing.TB, refreshOpts []revokehttp.Option, opts ...revokehttp.Option) *app {
	tb.Helper()
	s := newService(tb, opts...)
	a := &app{service: s, sessions: &fakeSessions{
		TB: tb, store: s.store, validator: newValidator(tb, s.store, revoke.WithClock(testkit.Clock)),
		families: map[string]*family{}, fail: map[string]error{}, lifetime: 10 * time.Minute,
	}}
	a.refresh = testkit.Value(revokehttp.NewRefresh(a.sessions, s.guard, refreshOpts...))(tb)
	a.pages = a.refresh.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := revokehttp.TokenFromContext(r.Context())
		_, _ = fmt.Fprint(w, token.SessionID)
	}))
	return a
}

func newCookieApp(tb testing.TB, opts ...revokehttp.Option) *app {
	tb.Helper()
	return newApp(tb, nil, append([]revokehttp.Option{revokehttp.WithCookie("access", "/")}, opts...)...)
}

// jar is the cookies of a browser, the oldest first.
type jar []*http.Cookie

// take applies an answer's cookies.
func (j *jar) take(tb testing.TB, w *httptest.ResponseRecorder) {
	tb.Helper()
	for _, c := range cookies(tb, w) {
		i := slices.IndexFunc(*j, func(old *http.Cookie) bool { return old.Name == c.Name })
		switch {
		case c.MaxAge < 0 && i >= 0:
			*j = slices.Delete(slices.Clone(*j), i, i+1)
		case c.MaxAge < 0:
		case i >= 0: // it keeps its place (RFC 6265 §5.3, step 11.3)
			*j = slices.Clone(*j)
			(*j)[i] = c
		default:
			*j = append(slices.Clone(*j), c)
		}
	}
}

// signIn gives the browser the cookies of a new session.
func (j *jar) signIn(tb testing.TB, a *app) session.Tokens {
	tb.Helper()
	tokens, w := a.sessions.start(), httptest.NewRecorder()
	testkit.Must(tb, a.refresh.SetCookies(w, tokens))
	j.take(tb, w)
	return tokens
}

// without returns the jar without the guard's cookie.
func (j jar) without(name string) jar {
	return slices.DeleteFunc(slices.Clone(j), func(c *http.Cookie) bool { return c.Name == name })
}

// refreshNames returns the values of the refresh cookies.
func (j jar) refreshTokens() (values []string) {
	for _, c := range j {
		if strings.HasPrefix(c.Name, "__Host-refresh-") {
			values = append(values, c.Value)
		}
	}
	return values
}

// request returns a request with the cookies.
func (j jar) request(method, target string, header ...string) *http.Request {
	r := testkit.Request(method, target, header...)
	for _, c := range j {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	return r
}

const sameOrigin = "same-origin"

// script returns the request of a page's script to the endpoint.
func (j jar) script() *http.Request {
	return j.request("POST", "/refresh", "Sec-Fetch-Site", sameOrigin, "Sec-Fetch-Mode", "cors")
}

// TestRefresh sets both cookies, and tells a script when to come again, but no token.
func TestRefresh(t *testing.T) {
	t.Parallel()
	a, browser := newCookieApp(t), jar{}
	before := browser.signIn(t, a)
	if names := browser.refreshTokens(); len(browser) != 2 || len(names) != 1 || names[0] != before.Refresh {
		t.Fatalf("the sign-in leaves %v", browser)
	}
	w := testkit.Serve(a.refresh, browser.script())
	var body map[string]any
	testkit.Must(t, json.Unmarshal(w.Body.Bytes(), &body))
	seconds, _ := body["expires_in"].(float64)
	if w.Code != 200 || len(body) != 1 || seconds < 500 || seconds > 600 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %s with %v", w.Code, w.Body, w.Header())
	}
	set := cookies(t, w)
	if len(set) != 2 {
		t.Fatalf("cookies %v", set)
	}
	for _, c := range set {
		if !strings.HasPrefix(c.Name, "__Host-") || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" ||
			c.Domain != "" || c.MaxAge < 89*24*3600 || c.MaxAge > 90*24*3600 {
			t.Errorf("cookie %+v", c)
		}
	}
	browser.take(t, w)
	if got := browser.refreshTokens(); len(got) != 1 || got[0] != "s1.2" {
		t.Errorf("the refresh cookies are %q, want s1.2", got)
	}
	if w := testkit.Serve(a.handler, browser.request("GET", "/")); w.Code != 200 {
		t.Errorf("the new access token is answered with %d", w.Code)
	}
	if len(a.reported) != 0 {
		t.Errorf("reported %v", a.reported)
	}
}

// TestRefreshWithoutGuardCookie puts the access token, and only that, into the body.
func TestRefreshWithoutGuardCookie(t *testing.T) {
	t.Parallel()
	a, browser := newApp(t, nil), jar{}
	browser.signIn(t, a)
	w := testkit.Serve(a.refresh, browser.script())
	var body struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int    `json:"expires_in"`
	}
	testkit.Must(t, json.Unmarshal(w.Body.Bytes(), &body))
	if w.Code != 200 || body.TokenType != "Bearer" || body.ExpiresIn < 500 || a.get(body.AccessToken) != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	set := cookies(t, w)
	if len(set) != 1 || set[0].Value != "s1.2" || strings.Contains(w.Body.String(), "s1.2") || strings.Contains(w.Body.String(), "refresh_token") {
		t.Errorf("cookies %v and %s, want the refresh token in a cookie alone", set, w.Body)
	}
	// Without the cookie there is nothing that a page could be refreshed into.
	page := testkit.Serve(a.pages, browser.request("GET", "/", "Sec-Fetch-Site", sameOrigin, "Sec-Fetch-Mode", "navigate"))
	if page.Code != 401 || len(a.sessions.asked) != 1 {
		t.Errorf("%d after %v", page.Code, a.sessions.asked)
	}
}

// TestRefreshCookies have SameSite and Partitioned of the guard's, and a prefix that fits the path.
func TestRefreshCookies(t *testing.T) {
	t.Parallel()
	a, browser := newApp(t, []revokehttp.Option{revokehttp.WithRefreshCookie("r", "/app")}, revokehttp.WithCookie("access", "/"),
		revokehttp.WithSameSite(http.SameSiteNoneMode), revokehttp.WithPartitioned()), jar{}
	w, tokens := httptest.NewRecorder(), a.sessions.start()
	testkit.Must(t, a.refresh.SetCookies(w, tokens))
	set := cookies(t, w)
	refresh := slices.IndexFunc(set, func(c *http.Cookie) bool { return c.Value == tokens.Refresh })
	if refresh < 0 {
		t.Fatalf("cookies %v", set)
	}
	if c := set[refresh]; !strings.HasPrefix(c.Name, "__Secure-r-") || c.Path != "/app" || c.SameSite != http.SameSiteNoneMode || !c.Partitioned {
		t.Errorf("cookie %+v", c)
	}
	browser.take(t, w)
	cleared := httptest.NewRecorder()
	a.refresh.ClearCookie(cleared, tokens.Session)
	for _, c := range cookies(t, cleared) {
		if c.Name != set[refresh].Name || c.MaxAge >= 0 {
			t.Errorf("ClearCookie sets %+v", c)
		}
	}
}

// TestSetCookiesRefuses gives the errors of Guard.SetCookie for either cookie.
func TestSetCookiesRefuses(t *testing.T) {
	t.Parallel()
	a := newCookieApp(t)
	for name, change := range map[string]func(*session.Tokens){
		"refresh token that is none":  func(tokens *session.Tokens) { tokens.Refresh = "a; Domain=example" },
		"long refresh token":          func(tokens *session.Tokens) { tokens.Refresh = strings.Repeat("x", 4096) },
		"access token that is none":   func(tokens *session.Tokens) { tokens.Access = "" },
		"long access token":           func(tokens *session.Tokens) { tokens.Access = strings.Repeat("x", 4096) },
		"refresh token with a quote ": func(tokens *session.Tokens) { tokens.Refresh = `"` },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tokens := a.sessions.start()
			change(&tokens)
			if a.refresh.SetCookies(httptest.NewRecorder(), tokens) == nil {
				t.Error("no error")
			}
		})
	}
}

// TestRefreshRepeats leaves the refresh cookie as it is, if the answer has no refresh token.
func TestRefreshRepeats(t *testing.T) {
	t.Parallel()
	a, browser := newCookieApp(t), jar{}
	browser.signIn(t, a)
	browser.take(t, testkit.Serve(a.refresh, browser.script()))
	w := testkit.Serve(a.refresh, browser.script())
	if set := cookies(t, w); w.Code != 200 || len(set) != 1 || set[0].Name != "__Host-access" {
		t.Errorf("%d with %v, want the access token alone", w.Code, set)
	}
}

// TestRefreshOfTwoTabs sends the same cookies twice: both tabs go on, in either order of answers.
func TestRefreshOfTwoTabs(t *testing.T) {
	t.Parallel()
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		a, browser := newCookieApp(t), jar{}
		browser.signIn(t, a)
		var answers [2]*httptest.ResponseRecorder
		var both sync.WaitGroup
		for i := range answers {
			r := browser.script()
			both.Go(func() { answers[i] = testkit.Serve(a.refresh, r) })
		}
		both.Wait()
		for _, i := range order {
			if answers[i].Code != 200 {
				t.Errorf("%d %s", answers[i].Code, answers[i].Body)
			}
			browser.take(t, answers[i])
		}
		a.sessions.age()
		if w := testkit.Serve(a.refresh, browser.script()); w.Code != 200 {
			t.Errorf("afterwards %d with %q", w.Code, browser.refreshTokens())
		}
	}
}

// TestRefreshRefuses deletes a cookie only if its session is proven to be over.
func TestRefreshRefuses(t *testing.T) {
	t.Parallel()
	over := func(reason session.Reason) func(*app) {
		return func(a *app) { a.sessions.families["s1"].over = reason }
	}
	failing := func(err error) func(*app) { return func(a *app) { a.sessions.fail["s1"] = err } }
	down := errors.New("connection refused")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name      string
		prepare   func(*app)
		request   func(jar) *http.Request // script unless set
		status    int
		challenge string
		asked     bool
		clears    bool
		report    error
	}{
		{name: "replayed", prepare: over(session.Replayed), status: 401, challenge: invalidToken, asked: true, clears: true, report: revoke.ErrRevoked},
		{name: "ended", prepare: over(session.Ended), status: 401, challenge: invalidToken, asked: true, clears: true, report: revoke.ErrRevoked},
		{name: "idle", prepare: over(session.Idle), status: 401, challenge: invalidToken, asked: true, clears: true, report: revoke.ErrRevoked},
		{name: "over", prepare: over(session.Over), status: 401, challenge: invalidToken, asked: true, clears: true, report: revoke.ErrRevoked},
		{name: "revoked", prepare: over(session.Revoked), status: 401, challenge: invalidToken, asked: true, clears: true, report: revoke.ErrRevoked},
		{name: "unknown", prepare: over(session.Unknown), status: 401, challenge: invalidToken, asked: true, report: revoke.ErrInvalidToken},
		{name: "invalid", prepare: over(session.Invalid), status: 401, challenge: invalidToken, asked: true, report: revoke.ErrInvalidToken},
		{name: "unavailable", prepare: over(session.Unavailable), status: 503, asked: true, report: revoke.ErrUnavailable},
		{name: "store down", prepare: failing(fmt.Errorf("%w: %w", revoke.ErrUnavailable, down)), status: 503, asked: true, report: down},
		{name: "signer fails", prepare: failing(down), status: 503, asked: true, report: down},
		{name: "deadline", prepare: failing(context.DeadlineExceeded), status: 503, asked: true, report: context.DeadlineExceeded},
		{
			name: "unavailable beside revoked", prepare: failing(fmt.Errorf("%w: %w", revoke.ErrUnavailable, revoke.ErrRevoked)),
			status: 503, asked: true, report: revoke.ErrUnavailable,
		},
		{
			name: "client has disconnected", request: func(j jar) *http.Request { return j.script().WithContext(cancelled) },
			status: revokehttpCancelled, asked: true, report: context.Canceled,
		},
		{name: "no cookie", request: func(jar) *http.Request { return jar{}.script() }, status: 401, challenge: nothingSent, report: revokehttp.ErrNoToken},
		{
			name: "another site", request: func(j jar) *http.Request { return j.request("POST", "/", "Sec-Fetch-Site", "cross-site") },
			status: 403, report: revokehttp.ErrCrossOrigin,
		},
		{
			name: "sibling domain", request: func(j jar) *http.Request { return j.request("POST", "/", "Sec-Fetch-Site", "same-site") },
			status: 403, report: revokehttp.ErrCrossOrigin,
		},
		{
			name: "another origin", request: func(j jar) *http.Request { return j.request("POST", "/", "Origin", "https://evil.example") },
			status: 403, report: revokehttp.ErrCrossOrigin,
		},
		{name: "GET", request: func(j jar) *http.Request { return j.request("GET", "/") }, status: 405, report: revokehttp.ErrBadRequest},
		{name: "HEAD", request: func(j jar) *http.Request { return j.request("HEAD", "/") }, status: 405, report: revokehttp.ErrBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, browser := newCookieApp(t), jar{}
			tokens := browser.signIn(t, a)
			if c.prepare != nil {
				c.prepare(a)
			}
			request := jar.script
			if c.request != nil {
				request = c.request
			}
			w := testkit.Serve(a.refresh, request(browser))
			testkit.WantAnswer(t, w, c.status, c.challenge)
			if after := w.Header().Get("Retry-After"); (after != "") != (c.status == 503) {
				t.Errorf("Retry-After %q", after)
			}
			if asked := len(a.sessions.asked) == 1; asked != c.asked {
				t.Errorf("asked about %q", a.sessions.asked)
			}
			set := cookies(t, w)
			if cleared := len(set) == 1 && set[0].MaxAge < 0 && set[0].Value == "" && set[0].Name != "__Host-access"; cleared != c.clears || len(set) > 1 {
				t.Errorf("cookies %v", set)
			}
			if len(a.reported) != 1 || !errors.Is(a.reported[0], c.report) {
				t.Fatalf("reported %v, want %v", a.reported, c.report)
			}
			if text := a.reported[0].Error() + w.Body.String(); strings.Contains(text, tokens.Refresh) || strings.Contains(text, tokens.Access) {
				t.Errorf("a token is in %q", text)
			}
			if token, ok := revokehttp.TokenFromError(a.reported[0]); c.clears && (!ok || token.Session() != tokens.Session || token.Subject != "ada") {
				t.Errorf("the report names %+v", token)
			}
		})
	}
}

// revokehttpCancelled is the status for a client that has disconnected.
const revokehttpCancelled = 499

// TestRefreshReport logs reason and user, and no token.
func TestRefreshReport(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	store := newService(t).store
	guard := testkit.Value(revokehttp.NewGuard(newValidator(t, store), revokehttp.WithCookie("access", "/"),
		revokehttp.WithReport(revokehttp.LogTo(slog.New(slog.NewTextHandler(&log, nil))))))(t)
	a, browser := newCookieApp(t), jar{}
	tokens := browser.signIn(t, a)
	a.sessions.families["s1"].over = session.Replayed
	testkit.Serve(testkit.Value(revokehttp.NewRefresh(a.sessions, guard))(t), browser.script())
	if text := log.String(); !strings.Contains(text, "outcome=revoked") || !strings.Contains(text, "replayed") ||
		!strings.Contains(text, "sub=ada") || strings.Contains(text, tokens.Refresh) || strings.Contains(text, tokens.Access) {
		t.Errorf("logged %s", text)
	}
}

// TestRefreshOfSeveral tries the session of the access token first and then the newest, uses the
// first that lives, and deletes the cookies of those that it has found to be over.
func TestRefreshOfSeveral(t *testing.T) {
	t.Parallel()
	unavailable := &session.RefreshError{Reason: session.Unavailable}
	for _, c := range []struct {
		name   string
		change func(*app, *jar)
		asked  []string
		left   []string // refresh tokens, in the order in which the cookies were set
		status int
	}{
		{"all live: that of the access token", func(*app, *jar) {}, []string{"s3.1"}, []string{"s1.1", "s2.1", "s3.2"}, 200},
		{"an access token of an older one", func(a *app, j *jar) {
			j.setAccess(a, "s1")
		}, []string{"s1.1"}, []string{"s1.2", "s2.1", "s3.1"}, 200},
		{"an access token that has expired", func(a *app, j *jar) {
			a.sessions.lifetime = -time.Minute
			j.setAccess(a, "s1")
		}, []string{"s1.1"}, []string{"s1.2", "s2.1", "s3.1"}, 200},
		{"no access token: the newest", func(_ *app, j *jar) {
			*j = j.without("__Host-access")
		}, []string{"s3.1"}, []string{"s1.1", "s2.1", "s3.2"}, 200},
		{"a forged access token: the newest", func(_ *app, j *jar) {
			*j = append(j.without("__Host-access"), &http.Cookie{Name: "__Host-access", Value: "x.y.z"})
		}, []string{"s3.1"}, []string{"s1.1", "s2.1", "s3.2"}, 200},
		{"the newest is over", func(a *app, _ *jar) {
			a.sessions.end("s3", session.Ended)
		}, []string{"s3.1", "s2.1"}, []string{"s1.1", "s2.2"}, 200},
		{"only the oldest lives", func(a *app, _ *jar) {
			a.sessions.end("s3", session.Ended)
			a.sessions.end("s2", session.Idle)
		}, []string{"s3.1", "s2.1", "s1.1"}, []string{"s1.2"}, 200},
		{"the newest is unknown: its cookie stays", func(a *app, _ *jar) {
			a.sessions.families["s3"].over = session.Unknown
		}, []string{"s3.1", "s2.1"}, []string{"s1.1", "s2.2", "s3.1"}, 200},
		{"none lives", func(a *app, _ *jar) {
			for sid := range a.sessions.families {
				a.sessions.end(sid, session.Ended)
			}
		}, []string{"s3.1", "s2.1", "s1.1"}, nil, 401},
		{"the newest may live: no other one takes its place", func(a *app, _ *jar) {
			a.sessions.fail["s3"] = unavailable
		}, []string{"s3.1"}, []string{"s1.1", "s2.1", "s3.1"}, 503},
		{"one is over and the next may live: no cookie changes", func(a *app, _ *jar) {
			a.sessions.end("s3", session.Ended)
			a.sessions.fail["s2"] = unavailable
		}, []string{"s3.1", "s2.1"}, []string{"s1.1", "s2.1", "s3.1"}, 503},
		{"two cookies of one name: neither", func(_ *app, j *jar) {
			*j = append(*j, &http.Cookie{Name: (*j)[len(*j)-1].Name, Value: "s3.0"})
		}, []string{"s2.1"}, []string{"s1.1", "s2.2", "s3.1", "s3.0"}, 200},
		{"a tag of another length is no refresh cookie", func(_ *app, j *jar) {
			*j = append(*j, &http.Cookie{Name: "__Host-refresh-x", Value: "s9.1"}, &http.Cookie{Name: "__Host-refresh-0123456789abcdef"})
		}, []string{"s3.1"}, []string{"s1.1", "s2.1", "s3.2", "s9.1", ""}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, browser := newCookieApp(t), jar{}
			for range 3 {
				browser.signIn(t, a)
			}
			c.change(a, &browser)
			w := testkit.Serve(a.refresh, browser.script())
			browser.take(t, w)
			if got := browser.refreshTokens(); w.Code != c.status || !slices.Equal(a.sessions.asked, c.asked) || !slices.Equal(got, c.left) {
				t.Errorf("%d after %q, and %q are left; want %d, %q and %q", w.Code, a.sessions.asked, got, c.status, c.asked, c.left)
			}
		})
	}
}

// setAccess puts an access token of a session into the jar, as a late answer does.
func (j *jar) setAccess(a *app, sid string) {
	access := &http.Cookie{Name: "__Host-access", Value: a.sessions.tokens(sid, session.Rotated).Access}
	*j = append(j.without(access.Name), access)
}

// TestRefreshRenames moves a refresh token from a cookie of a wrong name, where it would grow old
// and end its session.
func TestRefreshRenames(t *testing.T) {
	t.Parallel()
	for _, young := range []bool{false, true} {
		a, browser := newCookieApp(t), jar{}
		browser.signIn(t, a)
		right := browser[0].Name
		browser = jar{{Name: "__Host-refresh-0123456789abcdef", Value: "s1.1"}}
		a.sessions.families["s1"].young = young
		browser.take(t, testkit.Serve(a.refresh, browser.script()))
		i := slices.IndexFunc(browser, func(c *http.Cookie) bool { return c.Name == right })
		if want := map[bool]string{false: "s1.2", true: "s1.1"}[young]; len(browser) != 2 || i < 0 || browser[i].Value != want {
			t.Errorf("young %v: %v, want %s=%s", young, browser, right, want)
		}
	}
}

// TestRefreshAsksAboutFew bounds what one request can cause.
func TestRefreshAsksAboutFew(t *testing.T) {
	t.Parallel()
	a := newCookieApp(t)
	var many jar
	for i := range 1000 {
		many = append(many, &http.Cookie{Name: fmt.Sprintf("__Host-refresh-%016x", i), Value: "forged"})
	}
	if w := testkit.Serve(a.refresh, many.script()); w.Code != 401 || len(a.sessions.asked) != 32 {
		t.Errorf("%d after %d questions", w.Code, len(a.sessions.asked))
	}
}

// TestRefreshAsksAboutTheNewest finds the session that lives behind any number of older cookies.
func TestRefreshAsksAboutTheNewest(t *testing.T) {
	t.Parallel()
	a := newCookieApp(t)
	var many jar
	for i := range 100 {
		many = append(many, &http.Cookie{Name: fmt.Sprintf("__Host-refresh-%016x", i), Value: "forged"})
	}
	many.signIn(t, a)
	for name, browser := range map[string]jar{"the newest": many, "the one in hand": slices.Concat(many[100:], many[:100])} {
		if w := testkit.Serve(a.refresh, browser.script()); w.Code != 200 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	testkit.Serve(testkit.Value(a.refresh.Logout(a.sessions))(t), many.without("__Host-access").request("POST", "/", "Sec-Fetch-Site", sameOrigin))
	if got := a.sessions.families["s1"].over; got != session.Ended {
		t.Errorf("after the logout the session is over by %q", got)
	}
}

// TestLateAnswers delivers the answers of two tabs in every order, while one of them changes the
// password: sessions end, and another one takes their place. Whenever no answer is under way, the
// browser has the refresh cookie of the session that lives, and a page is shown.
func TestLateAnswers(t *testing.T) {
	t.Parallel()
	type underWay struct {
		request *http.Request // sent, until it is served
		answer  *httptest.ResponseRecorder
	}
	const sends = 3
	// Each step is of one of two tabs: 0 sends a refresh, 1 sends a change of the password, 2 is
	// served or gets its answer. Paths are run from their beginning.
	type step struct{ tab, what int }
	paths := 0
	run := func(path []step) (next []step) {
		a, browser := newCookieApp(t), jar{}
		browser.signIn(t, a)
		living, sent := "s1", 0
		var tabs [2]*underWay
		changes := [2]bool{}
		for _, s := range path {
			tab := &tabs[s.tab]
			switch {
			case s.what < 2:
				*tab, changes[s.tab], sent = &underWay{request: browser.script()}, s.what == 1, sent+1
			case (*tab).answer != nil:
				browser.take(t, (*tab).answer)
				*tab = nil
			case changes[s.tab]:
				(*tab).answer = httptest.NewRecorder()
				access, err := (*tab).request.Cookie("__Host-access")
				token := testkit.Value(a.sessions.validator.Identify(t.Context(), access.Value))(t)
				testkit.Must(t, err)
				if token.SessionID != living { // the handler is behind the guard
					continue
				}
				a.sessions.end(living, session.Revoked)
				tokens := a.sessions.start()
				living = tokens.Session.ID
				testkit.Must(t, a.refresh.SetCookies((*tab).answer, tokens))
			default:
				(*tab).answer = testkit.Serve(a.refresh, (*tab).request)
			}
		}
		if tabs[0] == nil && tabs[1] == nil {
			paths++
			if !slices.ContainsFunc(browser.refreshTokens(), func(token string) bool { return strings.HasPrefix(token, living+".") }) {
				t.Fatalf("%v: the browser has %q, and %s lives", path, browser.refreshTokens(), living)
			}
			if got := open(t, a, &browser); got != living {
				t.Fatalf("%v: the page shows %q, and %s lives", path, got, living)
			}
		}
		for tab := range tabs {
			switch {
			case tabs[tab] != nil:
				next = append(next, step{tab, 2})
			case sent < sends:
				next = append(next, step{tab, 0}, step{tab, 1})
			}
		}
		return next
	}
	var explore func(path []step)
	explore = func(path []step) {
		for _, s := range run(path) {
			explore(append(slices.Clone(path), s))
		}
	}
	explore(nil)
	if paths < 500 {
		t.Errorf("only %d paths end with no answer under way", paths)
	}
}

// open navigates to a page as a browser does, and returns what it shows.
func open(tb testing.TB, a *app, j *jar) string {
	tb.Helper()
	for range 3 {
		w := testkit.Serve(a.pages, j.request("GET", "/page", "Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"))
		j.take(tb, w)
		if w.Code != http.StatusSeeOther {
			return w.Body.String()
		}
	}
	return "redirects without end"
}

// TestNewRefreshRefuses names what is wrong.
func TestNewRefreshRefuses(t *testing.T) {
	t.Parallel()
	guard := newService(t).guard
	narrow := newService(t, revokehttp.WithCookie("access", "/app")).guard
	good := &fakeSessions{}
	for _, path := range []string{"/app", "/app/", "/app/refresh"} {
		testkit.Value(revokehttp.NewRefresh(good, narrow, revokehttp.WithRefreshCookie("refresh", path)))(t)
	}
	for _, c := range []struct {
		name     string
		sessions revokehttp.Refresher
		guard    *revokehttp.Guard
		opt      revokehttp.Option
	}{
		{"no sessions", nil, guard, revokehttp.WithDevice(revokehttp.DeviceOf)},
		{"nil sessions", (*session.Sessions)(nil), guard, revokehttp.WithDevice(revokehttp.DeviceOf)},
		{"no guard", good, nil, revokehttp.WithDevice(revokehttp.DeviceOf)},
		{"nil option", good, guard, nil},
		{"no device", good, guard, revokehttp.WithDevice(nil)},
		{"no name", good, guard, revokehttp.WithRefreshCookie("", "/")},
		{"no path", good, guard, revokehttp.WithRefreshCookie("refresh", "")},
		{"name that is none", good, guard, revokehttp.WithRefreshCookie("a b", "/")},
		{"wider than the guard's cookie", good, narrow, revokehttp.WithRefreshCookie("refresh", "/")},
		{"beside the guard's cookie", good, narrow, revokehttp.WithRefreshCookie("refresh", "/application")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := revokehttp.NewRefresh(c.sessions, c.guard, c.opt); err == nil || !strings.HasPrefix(err.Error(), "revokehttp: NewRefresh: ") {
				t.Errorf("the error is %v", err)
			}
		})
	}
	a := newCookieApp(t)
	for name, opts := range map[string][]revokehttp.LogoutOption{
		"nil option": {nil}, "nothing to clear": {revokehttp.WithClearSiteData()},
		"scopes": {revokehttp.WithScopes(revoke.ScopeToken)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := a.refresh.Logout(a.sessions, opts...); err == nil {
				t.Error("no error")
			}
		})
	}
	if _, err := a.refresh.Logout(nil); err == nil {
		t.Error("no error for a logout without sessions")
	}
}

// TestDevice is what the request or the app says.
func TestDevice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, remote, agent, wantAddress, wantAgent string }{
		{"IPv4", "192.0.2.1:1234", "Firefox", "192.0.2.1", "Firefox"},
		{"IPv6", "[2001:db8::1]:1234", "", "2001:db8::1", ""},
		{"IPv6 with a zone", "[fe80::1%eth0]:1234", "", "fe80::1", ""},
		{"IPv4 in IPv6", "[::ffff:192.0.2.1]:1234", "", "192.0.2.1", ""},
		{"Unix socket", "@", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := testkit.Request("POST", "/", "User-Agent", c.agent)
			r.RemoteAddr = c.remote
			device := revokehttp.DeviceOf(r)
			if device.Address != c.wantAddress || device.UserAgent != c.wantAgent || device.Client != "" || device.Label != "" {
				t.Errorf("%+v, want %q and %q", device, c.wantAddress, c.wantAgent)
			}
		})
	}
	t.Run("of the app", func(t *testing.T) {
		t.Parallel()
		a, browser := newApp(t, []revokehttp.Option{revokehttp.WithDevice(func(r *http.Request) session.Device {
			return session.Device{Client: "ignored", Address: r.Header.Get("X-Real-IP")}
		})}), jar{}
		browser.signIn(t, a)
		r := browser.script()
		r.Header.Set("X-Real-IP", "198.51.100.7")
		testkit.Serve(a.refresh, r)
		if got := a.sessions.devices; len(got) != 1 || got[0].Address != "198.51.100.7" || got[0].Client != "" {
			t.Errorf("the sessions are told %+v", got)
		}
		if got := a.refresh.Device(r); got.Address != "198.51.100.7" {
			t.Errorf("Device is %+v", got)
		}
	})
}
