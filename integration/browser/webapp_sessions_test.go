package browser

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/session"
)

// testSignOutOther signs a device out on another one. The page of the former shows it within a
// second; that a loaded machine takes longer sometimes is no failure.
func testSignOutOther(browser context.Context, t *testing.T) {
	t.Helper()
	s := newWebapp(t)
	one, other := s.profile(browser, t), s.profile(browser, t)
	one.signUp("ada")
	quickest := time.Hour
	for attempt := 0; attempt < 5 && quickest > time.Second; attempt++ {
		other.signIn(password)
		one.open("/")
		one.sees("This device", "Sign out everywhere else")
		began := time.Now()
		one.submit("Sign out " + label)
		other.sees("You were signed out")
		quickest = min(quickest, time.Since(began))
		one.sees("That device is signed out.")
	}
	if quickest > time.Second {
		t.Errorf("the page shows that it was signed out after %v at the soonest", quickest)
	}
	other.submit("Sign in again")
	other.sees("Welcome back.")
	one.wantNoErrors()
	other.wantNoErrors()
}

// label is what the page calls the browser of these tests.
const label = "Chrome on Linux"

// testPasswordChange changes the password on one device of two.
func testPasswordChange(browser context.Context, t *testing.T) {
	t.Helper()
	s := newWebapp(t)
	one, other := s.profile(browser, t), s.profile(browser, t)
	one.signUp("ada")
	other.signIn(password)
	_, before := one.cookies()
	one.open("/password")
	one.submit("Change the password", "password", password, "new-password", newPassword)
	one.sees("Your password is changed")
	other.sees("You were signed out")
	cookies, after := one.cookies()
	if len(cookies) != 2 || after == before {
		t.Errorf("after the change there are the cookies %v, and before it there was %s", cookies, before)
	}
	one.expire()
	one.open("/password")
	one.sees("Change your password")
	other.open("/sign-in")
	other.submit("Sign in", "name", "ada", "password", password)
	other.sees("The name or the password is wrong.")
	other.signIn(newPassword)
	one.wantNoErrors()
}

// testReplay presents a refresh cookie that was copied before its successor was used.
func testReplay(browser context.Context, t *testing.T) {
	t.Helper()
	s := newWebapp(t)
	owner, thief := s.profile(browser, t), s.profile(browser, t)
	owner.signUp("ada")
	cookies, name := owner.cookies()
	stolen := cookies[name].Value
	owner.expire()
	owner.open("/")
	owner.sees("Where you are signed in")
	if cookies, _ := owner.cookies(); cookies[name].Value == stolen {
		t.Fatal("the refresh token was not rotated")
	}
	s.rotatedLongAgo(t)
	thief.setCookie(name, stolen)
	thief.open("/")
	thief.sees("Welcome back.")
	owner.sees("You were signed out")
	owner.submit("Sign in again")
	owner.sees("Welcome back.")
	for _, p := range []*tab{owner, thief} {
		if cookies, name := p.cookies(); name != "" {
			t.Errorf("the cookies are %v", cookies)
		}
		p.wantNoErrors()
	}
}

// testDroppedAnswer loses the answer with the next refresh token once.
func testDroppedAnswer(browser context.Context, t *testing.T) {
	t.Helper()
	s := newWebapp(t)
	p := s.profile(browser, t)
	p.signUp("ada")
	var lost atomic.Int32 // cookies
	s.intercept(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/password" || lost.Load() > 0 {
			s.handler.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		s.handler.ServeHTTP(answer, r)
		lost.Add(int32(len(answer.Result().Cookies())))
		panic(http.ErrAbortHandler)
	})
	p.expire()
	// Chromium may have sent the request again by itself.
	_ = chromedp.Do(p.context, chromedp.Navigate(s.url+"/password"))
	p.open("/password")
	p.sees("Change your password")
	if lost.Load() != 2 {
		t.Errorf("an answer with %d cookies was lost", lost.Load())
	}
	p.expire()
	p.open("/")
	p.sees("Where you are signed in")
}

// testTwoTabs opens pages in two tabs after the access token has expired. The app gets the second
// request before it answers the first. (Chromium asks for one URL only once at a time.)
func testTwoTabs(browser context.Context, t *testing.T) {
	t.Helper()
	s := newWebapp(t)
	one := s.profile(browser, t)
	one.signUp("ada")
	other := one.another()
	var requests atomic.Int32
	var both sync.WaitGroup
	both.Add(2)
	s.intercept(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/static/") && requests.Add(1) <= 2 {
			both.Done()
			both.Wait()
		}
		s.handler.ServeHTTP(w, r)
	})
	one.expire()
	var opened sync.WaitGroup
	for path, p := range map[string]*tab{"/": one, "/password": other} {
		opened.Go(func() {
			if err := chromedp.Do(p.context, chromedp.Navigate(s.url+path)); err != nil {
				t.Error(err)
			}
		})
	}
	opened.Wait()
	one.sees("Where you are signed in")
	other.sees("Change your password")
	one.wantNoErrors()
	other.wantNoErrors()
	if n := testkit.QueryOne[int](t, s.pool, "SELECT sum(generation)::int FROM revoke.sessions"); n != 2 {
		t.Errorf("the generation is %d, want 2: one rotation", n)
	}
}

// testStreamRenews stays on a page until the access token of its stream has expired. The page gets
// another one, and is not loaded again.
func testStreamRenews(browser context.Context, t *testing.T) {
	t.Helper()
	s := newWebapp(t, session.WithAccessLifetime(2*time.Second))
	p := s.profile(browser, t)
	p.signUp("ada")
	var refreshes, streams atomic.Int32
	s.intercept(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/refresh":
			refreshes.Add(1)
		case r.URL.Path == "/events" && refreshes.Load() > 0:
			streams.Add(1)
		}
		s.handler.ServeHTTP(w, r)
	})
	run[chromedp.Void](p, "window.mark = 1")
	testkit.Eventually(t, "the stream connects after a refresh", func() bool { return streams.Load() > 0 })
	if !run[bool](p, "window.mark === 1 && document.getElementById('over').hidden") {
		t.Error("the page was loaded again, or says that it was signed out")
	}
	p.wantNoErrors()
}

// testOtherWindow signs out and in again in one window of a browser with two.
func testOtherWindow(browser context.Context, t *testing.T) {
	t.Helper()
	s := newWebapp(t)
	one := s.profile(browser, t)
	one.signUp("ada")
	other := one.another()
	other.open("/password")
	other.sees("Change your password")
	one.submit("Sign out")
	one.sees("You are signed out.")
	run[chromedp.Void](other, "dispatchEvent(new Event('focus'))")
	other.sees("You were signed out")
	one.signIn(password)
	run[chromedp.Void](other, "dispatchEvent(new Event('focus'))")
	other.sees("Change your password")
	one.wantNoErrors()
	other.wantNoErrors()
}
