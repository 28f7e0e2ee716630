package revokehttp_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/session"
)

// realApp is an app with the sessions of package session.
type realApp struct {
	testing.TB
	pool                *pgxpool.Pool
	store               *revoke.Postgres
	sessions            *session.Sessions
	guard               *revokehttp.Guard
	refresh             *revokehttp.Refresh
	pages               http.Handler
	logout, guardLogout http.Handler
	password            http.Handler // changes it
}

func newRealApp(tb testing.TB) *realApp {
	tb.Helper()
	store, pool := testkit.Store(tb)
	keys := session.StaticKeys(session.Key{ID: "1", Method: jwt.SigningMethodEdDSA, Private: testkit.TestKeys().Ed})
	a := &realApp{TB: tb, pool: pool, store: store}
	a.sessions = testkit.Value(session.New(store, testkit.Issuer, revoke.AudienceOf("api"), keys))(tb)
	a.guard = testkit.Value(revokehttp.NewGuard(testkit.Value(a.sessions.NewValidator(store))(tb),
		revokehttp.WithCookie("access", "/"), revokehttp.WithSignInPage("/sign-in")))(tb)
	a.refresh = testkit.Value(revokehttp.NewRefresh(a.sessions, a.guard))(tb)
	a.logout = testkit.Value(a.refresh.Logout(a.sessions))(tb)
	a.guardLogout = testkit.Value(a.guard.Logout(store))(tb)
	a.pages = a.refresh.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := revokehttp.TokenFromContext(r.Context())
		_, _ = w.Write([]byte(token.SessionID))
	}))
	a.password = a.guard.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := revokehttp.TokenFromContext(r.Context())
		tokens, err := a.sessions.EndOthers(r.Context(), token.User(), token.SessionID, a.refresh.Device(r))
		if err == nil {
			a.refresh.ClearCookie(w, token.Session())
			err = a.refresh.SetCookies(w, tokens)
		}
		if err != nil {
			a.guard.Refuse(w, r, err)
		}
	}))
	return a
}

// signIn gives a browser the cookies of a new session of ada.
func (a *realApp) signIn(j *jar) session.Tokens {
	a.Helper()
	user, r := a.sessions.User("ada"), testkit.Request("POST", "/sign-in", "User-Agent", "Browser/1")
	epochs := testkit.Value(a.store.Epochs(r.Context(), user))(a)
	tokens := testkit.Value(a.sessions.Start(r.Context(), user, epochs, a.refresh.Device(r)))(a)
	w := httptest.NewRecorder()
	testkit.Must(a, a.refresh.SetCookies(w, tokens))
	j.take(a, w)
	return tokens
}

// age ends the grace of each rotation.
func (a *realApp) age() {
	a.Helper()
	testkit.Exec(a, a.pool, "UPDATE revoke.sessions SET refreshed_at = refreshed_at - $1::text::interval", session.DefaultGrace.String())
}

// shows navigates to a page, and fails the test unless it shows the session; "" for the
// sign-in page.
func (a *realApp) shows(j *jar, want string) {
	a.Helper()
	for range 3 {
		w := testkit.Serve(a.pages, j.request("GET", "/page", navigation("none")...))
		j.take(a, w)
		switch to := w.Header().Get("Location"); {
		case to == "./page":
			continue
		case w.Body.String() != want, (to == "/sign-in?return_to=%2Fpage") != (want == ""):
			a.Errorf("%d %s to %q, want the page of %q", w.Code, w.Body, to, want)
		}
		return
	}
	a.Error("the page redirects to itself without end")
}

// withoutAccess is the jar when the access token has expired and the browser has deleted it.
func (j jar) withoutAccess() jar { return j.without("__Host-access") }

// TestRefreshOnPostgres goes through what a browser does, with real sessions.
func TestRefreshOnPostgres(t *testing.T) {
	t.Parallel()
	t.Run("a page is shown as if nothing had expired", func(t *testing.T) {
		t.Parallel()
		a, browser := newRealApp(t), jar{}
		tokens := a.signIn(&browser)
		for range 3 {
			browser = browser.withoutAccess()
			a.shows(&browser, tokens.Session.ID)
			a.age()
		}
		if got := testkit.QueryOne[int64](t, a.pool, "SELECT generation FROM revoke.sessions"); got != 4 {
			t.Errorf("generation %d after 3 refreshes", got)
		}
		list := testkit.Value(a.sessions.List(t.Context(), tokens.User))(t)
		if len(list) != 1 || list[0].Address == "" {
			t.Errorf("the list is %+v", list)
		}
	})
	t.Run("16 tabs at once, and an answer that is lost", func(t *testing.T) {
		t.Parallel()
		a, browser := newRealApp(t), jar{}
		tokens := a.signIn(&browser)
		answers := make([]*httptest.ResponseRecorder, 16)
		var all sync.WaitGroup
		for i := range answers {
			r := browser.script()
			all.Go(func() { answers[i] = testkit.Serve(a.refresh, r) })
		}
		all.Wait()
		for i, w := range answers {
			if w.Code != 200 {
				t.Errorf("tab %d: %d %s", i, w.Code, w.Body)
			}
			if i%2 == 0 { // every other answer is lost
				browser.take(t, w)
			}
		}
		a.age()
		browser = browser.withoutAccess()
		a.shows(&browser, tokens.Session.ID)
	})
	t.Run("a replayed cookie ends the session", func(t *testing.T) {
		t.Parallel()
		a, browser := newRealApp(t), jar{}
		a.signIn(&browser)
		thief := slices.Clone(browser)
		browser.take(t, testkit.Serve(a.refresh, browser.script()))
		a.age()
		w := testkit.Serve(a.refresh, thief.script())
		thief.take(t, w)
		if w.Code != 401 || len(thief.refreshTokens()) != 0 {
			t.Errorf("the thief gets %d, and %v", w.Code, thief.refreshTokens())
		}
		a.shows(&browser, "")
		if len(browser.refreshTokens()) != 0 {
			t.Errorf("the browser keeps %v", browser)
		}
	})
	t.Run("a change of the password, and a late answer for the session before", func(t *testing.T) {
		t.Parallel()
		a, browser := newRealApp(t), jar{}
		old := a.signIn(&browser)
		late := testkit.Serve(a.refresh, browser.script())
		w := testkit.Serve(a.password, browser.request("POST", "/password", navigation(sameOrigin)...))
		browser.take(t, w)
		if w.Code != 200 || len(browser.refreshTokens()) != 1 {
			t.Fatalf("%d %s, and the browser has %v", w.Code, w.Body, browser)
		}
		living := testkit.Value(a.sessions.List(t.Context(), old.User))(t)[0].ID
		browser.take(t, late)
		a.shows(&browser, living)
		if len(browser.refreshTokens()) != 1 {
			t.Errorf("the browser keeps %v", browser)
		}
	})
	for name, logout := range map[string]func(*realApp) http.Handler{
		"a logout by the guard":   func(a *realApp) http.Handler { return a.guardLogout },
		"a logout by the refresh": func(a *realApp) http.Handler { return a.logout },
	} {
		t.Run(name+" ends the session", func(t *testing.T) {
			t.Parallel()
			a, browser := newRealApp(t), jar{}
			other := jar{}
			tokens, elsewhere := a.signIn(&browser), a.signIn(&other)
			before := slices.Clone(browser)
			if w := testkit.Serve(logout(a), browser.request("POST", "/", "Sec-Fetch-Site", sameOrigin)); w.Code != 204 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			w := testkit.Serve(a.refresh, before.script())
			before.take(t, w)
			if w.Code != 401 || len(before.refreshTokens()) != 0 {
				t.Errorf("a refresh afterwards: %d, with %v", w.Code, before)
			}
			a.shows(&other, elsewhere.Session.ID)
			list := testkit.Value(a.sessions.List(t.Context(), tokens.User))(t)
			if len(list) != 1 || list[0].ID != elsewhere.Session.ID {
				t.Errorf("the list is %+v", list)
			}
		})
	}
	t.Run("a logout without an access token ends the session", func(t *testing.T) {
		t.Parallel()
		a, browser := newRealApp(t), jar{}
		a.signIn(&browser)
		browser = browser.withoutAccess()
		w := testkit.Serve(a.logout, browser.request("POST", "/", "Sec-Fetch-Site", sameOrigin))
		before := slices.Clone(browser)
		browser.take(t, w)
		if w.Code != 204 || len(browser) != 0 || testkit.Serve(a.refresh, before.script()).Code != 401 {
			t.Errorf("%d, and the browser has %v", w.Code, browser)
		}
	})
	t.Run("an OAuth client's refresh token is none of a browser's", func(t *testing.T) {
		t.Parallel()
		a, browser := newRealApp(t), jar{}
		user := a.sessions.User("ada")
		epochs := testkit.Value(a.store.Epochs(t.Context(), user))(t)
		tokens := testkit.Value(a.sessions.Start(t.Context(), user, epochs, session.Device{Client: "web"}))(t)
		w := httptest.NewRecorder()
		testkit.Must(t, a.refresh.SetCookies(w, tokens))
		browser.take(t, w)
		if w := testkit.Serve(a.refresh, browser.script()); w.Code != 401 || len(cookies(t, w)) != 0 {
			t.Errorf("%d with %v", w.Code, w.Header())
		}
		testkit.Value(a.sessions.Refresh(t.Context(), tokens.Refresh, session.Device{Client: "web"}))(t)
	})
	t.Run("a database that is down costs no cookie", func(t *testing.T) {
		t.Parallel()
		a, browser := newRealApp(t), jar{}
		a.signIn(&browser)
		a.pool.Close()
		for _, w := range []*httptest.ResponseRecorder{
			testkit.Serve(a.refresh, browser.script()),
			testkit.Serve(a.pages, browser.withoutAccess().request("GET", "/", navigation(sameOrigin)...)),
			testkit.Serve(a.logout, browser.request("POST", "/", "Sec-Fetch-Site", sameOrigin)),
		} {
			if w.Code != 503 || w.Header().Get("Retry-After") == "" || len(cookies(t, w)) != 0 {
				t.Errorf("%d with %v", w.Code, w.Header())
			}
		}
	})
}
