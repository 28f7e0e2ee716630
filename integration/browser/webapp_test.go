package browser

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alexedwards/argon2id"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/examples/webapp/app"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/session"
)

// webapp is examples/webapp on a database of the test's own.
type webapp struct {
	url     string
	pool    *pgxpool.Pool
	handler http.Handler
	// between is asked about each request in place of the app; it may be nil.
	between atomic.Pointer[http.HandlerFunc]
}

func newWebapp(t *testing.T, opts ...session.Option) *webapp {
	t.Helper()
	s := &webapp{pool: pgserver.Pool(t, pgserver.Database(t))}
	testkit.Must(t, app.Migrate(t.Context(), s.pool))
	key := testkit.Value(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	keys := session.StaticKeys(session.Key{ID: "1", Method: jwt.SigningMethodES256, Private: key})
	cheap := argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}
	a := testkit.Value(app.New(s.pool, keys, cheap, opts...))(t)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	s.handler = a.Handler(ctx)
	server := httptest.NewServer(s)
	s.url = server.URL
	t.Cleanup(func() {
		stop()
		server.Close()
		running.Wait()
	})
	return s
}

// ServeHTTP answers by the app, or by what stands between.
func (s *webapp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if between := s.between.Load(); between != nil {
		(*between)(w, r)
		return
	}
	s.handler.ServeHTTP(w, r)
}

// intercept puts a handler before the app.
func (s *webapp) intercept(between http.HandlerFunc) { s.between.Store(&between) }

// rotatedLongAgo makes the last rotation of every session older than the grace.
func (s *webapp) rotatedLongAgo(t *testing.T) {
	t.Helper()
	testkit.Exec(t, s.pool, "UPDATE revoke.sessions SET refreshed_at = refreshed_at - interval '10 minutes'")
}

// tab is a tab of a browser, with what its console has said.
type tab struct {
	*testing.T
	app     *webapp
	context context.Context //nolint:containedctx // chromedp keeps the tab in it

	mu     sync.Mutex
	errors []string
}

// profile opens a tab in a browser without cookies.
func (s *webapp) profile(browser context.Context, t *testing.T) *tab {
	t.Helper()
	return s.open(browser, t, chromedp.WithNewBrowserContext())
}

// another opens another tab that has the same cookies.
func (p *tab) another() *tab {
	p.Helper()
	return p.app.open(p.context, p.T)
}

func (s *webapp) open(parent context.Context, t *testing.T, opts ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(parent, opts...)
	t.Cleanup(end)
	p := &tab{T: t, app: s, context: ctx}
	testkit.Must(t, chromedp.Do(ctx))
	messages := chromedp.Console(ctx)
	go func() {
		for message, err := range messages {
			if err != nil {
				return
			}
			if message.Type == "error" || message.IsException() {
				p.mu.Lock()
				p.errors = append(p.errors, message.String()+" "+message.URL)
				p.mu.Unlock()
			}
		}
	}()
	return p
}

// wantNoErrors looks at what the console has said so far.
func (p *tab) wantNoErrors() {
	p.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, message := range p.errors {
		p.Errorf("the console says %q", message)
	}
}

// open navigates to a path.
func (p *tab) open(path string) {
	p.Helper()
	testkit.Must(p, chromedp.Do(p.context, chromedp.Navigate(p.app.url+path)))
}

// run evaluates a script.
func run[T any](p *tab, script string) T {
	p.Helper()
	return testkit.Value(chromedp.Run(p.context, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise)))(p)
}

// sees waits until the page shows the texts.
func (p *tab) sees(texts ...string) {
	p.Helper()
	for _, text := range texts {
		testkit.Eventually(p, fmt.Sprintf("the page shows %q", text), func() bool {
			// A navigation that is under way makes the script fail.
			shown, err := chromedp.Run(p.context, chromedp.Evaluate[string]("document.readyState == 'complete' ? document.body.innerText : ''"))
			return err == nil && strings.Contains(shown, text)
		})
	}
}

// submit fills fields in, presses the button of this name, and waits for the page that answers.
func (p *tab) submit(button string, fields ...string) {
	p.Helper()
	for pair := range slices.Chunk(fields, 2) {
		run[chromedp.Void](p, fmt.Sprintf("document.getElementById(%q).value = %q", pair[0], pair[1]))
	}
	const press = `window.submitted = true; [...document.querySelectorAll("button, a")].find(b => (b.ariaLabel ?? b.innerText) == %q && b.checkVisibility()).click()`
	run[chromedp.Void](p, fmt.Sprintf(press, button))
	testkit.Eventually(p, "another page answers", func() bool {
		// A navigation that is under way makes the script fail.
		another, err := chromedp.Run(p.context, chromedp.Evaluate[bool]("document.readyState == 'complete' && !window.submitted"))
		return err == nil && another
	})
}

const password, newPassword = "correct horse battery", "staple battery horse"

func (p *tab) signUp(name string) {
	p.Helper()
	p.open("/sign-up")
	p.submit("Create the account", "name", name, "new-password", password)
	p.sees("Where you are signed in")
}

// signIn signs ada in.
func (p *tab) signIn(password string) {
	p.Helper()
	p.open("/sign-in")
	p.submit("Sign in", "name", "ada", "password", password)
	p.sees("Where you are signed in")
}

// cookies returns the browser's cookies by name, and the name of the refresh cookie.
func (p *tab) cookies() (values map[string]*network.Cookie, refresh string) {
	p.Helper()
	result := testkit.Value(chromedp.Call(p.context, network.GetCookies, network.GetCookiesParams{URLs: []string{p.app.url}}))(p)
	values = map[string]*network.Cookie{}
	for _, c := range result.Cookies {
		values[c.Name] = c
		if strings.HasPrefix(c.Name, "__Host-refresh-") {
			refresh = c.Name
		}
	}
	return values, refresh
}

const accessCookie = "__Host-access"

// setCookie gives the browser a cookie.
func (p *tab) setCookie(name, value string) {
	p.Helper()
	yes := true
	testkit.Value(chromedp.Call(p.context, network.SetCookie, network.SetCookieParams{
		Name: name, Value: value, URL: p.app.url, Path: "/", Secure: &yes, HTTPOnly: &yes, SameSite: network.CookieSameSiteLax,
	}))(p)
}

// expire makes the access token one that is not accepted any more.
func (p *tab) expire() {
	p.Helper()
	p.setCookie(accessCookie, "expired")
}

// TestWebapp uses examples/webapp as people do.
func TestWebapp(t *testing.T) {
	t.Parallel()
	browser := chromium(t)
	for _, test := range []struct {
		name string
		run  func(browser context.Context, t *testing.T)
	}{
		{"one device signs another out", testSignOutOther},
		{"a change of the password", testPasswordChange},
		{"a replayed refresh cookie ends the session", testReplay},
		{"a dropped answer ends no session", testDroppedAnswer},
		{"two tabs refresh at once", testTwoTabs},
		{"a stream with an expired token", testStreamRenews},
		{"sign-out in another window", testOtherWindow},
		{"nothing for scripts", testNothingForScripts},
		{"by the keyboard alone", testKeyboard},
		{"360 pixels wide", testNarrow},
		{"errors next to fields", testErrors},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(browser, t) })
	}
}
