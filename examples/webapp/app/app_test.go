package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/alexedwards/argon2id"
	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/session"
)

func TestMain(m *testing.M) { pgserver.Main(m) }

// cheap costs microseconds.
var cheap = argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// newApp returns the app, which runs until the test ends.
func newApp(t *testing.T) (*App, http.Handler) {
	t.Helper()
	pool := pgserver.Pool(t, pgserver.Database(t))
	testkit.Must(t, Migrate(t.Context(), pool))
	key := testkit.Value(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	keys := session.StaticKeys(session.Key{ID: "1", Method: jwt.SigningMethodES256, Private: key})
	a := testkit.Value(New(pool, keys, cheap))(t)
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return a, a.Handler(ctx)
}

// browser sends requests as a browser does, and keeps cookies.
type browser struct {
	app     http.Handler
	site    string // Sec-Fetch-Site; same-origin if it is empty
	cookies map[string]string
}

func newBrowser(app http.Handler) *browser { return &browser{app: app, cookies: map[string]string{}} }

// send sends a request, with a form unless there are no fields, and follows no redirect.
func (b *browser) send(t *testing.T, method, path string, fields ...string) *httptest.ResponseRecorder {
	t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if b.site != "" {
		r.Header.Set("Sec-Fetch-Site", b.site)
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	b.app.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	return w
}

// leads sends a request, and fails the test unless it is answered by a redirect to the path.
func (b *browser) leads(t *testing.T, to, method, path string, fields ...string) {
	t.Helper()
	if w := b.send(t, method, path, fields...); w.Code != http.StatusSeeOther || w.Header().Get("Location") != to {
		t.Fatalf("%s %s is answered with %d to %q, want %q: %s", method, path, w.Code, w.Header().Get("Location"), to, problems(w))
	}
}

// shows sends a request, and fails the test unless the page has the text.
func (b *browser) shows(t *testing.T, status int, text, method, path string, fields ...string) string {
	t.Helper()
	w := b.send(t, method, path, fields...)
	if w.Code != status || !strings.Contains(w.Body.String(), text) {
		t.Fatalf("%s %s is answered with %d, want %d with %q: %s", method, path, w.Code, status, text, w.Body)
	}
	return w.Body.String()
}

// problems returns what a page says next to its fields.
func problems(w *httptest.ResponseRecorder) []string {
	return regexp.MustCompile(`class="problem"[^>]*>([^<]*)`).FindAllString(w.Body.String(), -1)
}

const password, changed = "correct horse battery", "staple battery horse"

func (b *browser) signUp(t *testing.T, name string) {
	t.Helper()
	b.leads(t, "/", "POST", "/sign-up", "name", name, "new-password", password)
}

func (b *browser) signIn(t *testing.T, name, password string) {
	t.Helper()
	b.leads(t, "/", "POST", "/sign-in", "name", name, "password", password)
}

// sessionIDs are those that the page of devices has a button for: of the other devices.
func (b *browser) sessionIDs(t *testing.T) (ids []string) {
	t.Helper()
	page := b.shows(t, 200, "This device", "GET", "/")
	for _, match := range regexp.MustCompile(`action="/devices/end">\s*<input type="hidden" name="session" value="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		ids = append(ids, match[1])
	}
	return ids
}

// TestDevices signs in on three devices and out of each in another way.
func TestDevices(t *testing.T) {
	t.Parallel()
	_, app := newApp(t)
	one, two, three, bob := newBrowser(app), newBrowser(app), newBrowser(app), newBrowser(app)
	one.leads(t, "/sign-in?return_to=%2F", "GET", "/")
	one.signUp(t, "ada")
	two.signIn(t, "Ada ", password)
	three.signIn(t, "ada", password)
	bob.signUp(t, "bob")
	ids := one.sessionIDs(t)
	if len(ids) != 2 {
		t.Fatalf("there are %d other devices", len(ids))
	}
	bob.leads(t, "/?ended", "POST", "/devices/end", "session", ids[0])
	bob.leads(t, "/?ended", "POST", "/devices/end", "session", "")
	three.shows(t, 200, "This device", "GET", "/")
	if page := two.shows(t, 200, "This device", "GET", "/"); strings.Index(page, "This device") > strings.Index(page, "/devices/end") {
		t.Error("this device does not come first")
	}
	one.leads(t, "/?ended", "POST", "/devices/end", "session", ids[0]) // the one used last
	one.leads(t, "/?ended", "POST", "/devices/end", "session", ids[0])
	three.leads(t, "/sign-in?return_to=%2F", "GET", "/")
	if len(three.cookies) != 1 {
		t.Errorf("a browser that is signed out has %d cookies, want the access token alone", len(three.cookies))
	}
	two.shows(t, 200, "This device", "GET", "/")
	one.leads(t, "/?others", "POST", "/devices/end-others")
	two.leads(t, "/sign-in?return_to=%2F", "GET", "/")
	if ids := one.sessionIDs(t); len(ids) != 0 || len(one.cookies) != 2 {
		t.Errorf("after all others are signed out there are %d of them, and %d cookies", len(ids), len(one.cookies))
	}
	one.leads(t, "/sign-in?signed-out", "POST", "/sign-out")
	if len(one.cookies) != 0 {
		t.Errorf("after the sign-out there are %d cookies", len(one.cookies))
	}
	one.leads(t, "/sign-in?return_to=%2Fpassword", "GET", "/password")
	bob.shows(t, 200, "This device", "GET", "/")
}

// TestSignInEndsTheSessionBefore: a browser that was another user's does not become that user's
// again when its session is ended elsewhere.
func TestSignInEndsTheSessionBefore(t *testing.T) {
	t.Parallel()
	_, app := newApp(t)
	shared, phone := newBrowser(app), newBrowser(app)
	shared.signUp(t, "ada")
	shared.signUp(t, "bob")
	shared.signIn(t, "bob", password)
	if len(shared.cookies) != 2 {
		t.Errorf("after three sessions the browser has %d cookies, want those of the last one", len(shared.cookies))
	}
	phone.signIn(t, "bob", password)
	if ids := phone.sessionIDs(t); len(ids) != 1 {
		t.Errorf("bob has %d other devices, want one", len(ids))
	}
	phone.leads(t, "/?others", "POST", "/devices/end-others")
	shared.leads(t, "/sign-in?return_to=%2F", "GET", "/")
	phone.signIn(t, "ada", password)
	if ids := phone.sessionIDs(t); len(ids) != 0 {
		t.Errorf("ada has %d other devices, want none", len(ids))
	}
}

// TestAccountsByIndex finds accounts by indexes alone. Without the setting a table of a few rows is
// read as a whole.
func TestAccountsByIndex(t *testing.T) {
	t.Parallel()
	a, app := newApp(t)
	testkit.Exec(t, a.pool, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET enable_seqscan = off', current_database()); END $$")
	a.pool.Reset()
	b := newBrowser(app)
	b.signUp(t, "ada")
	b.shows(t, 200, "This device", "GET", "/")
	b.leads(t, "/?password", "POST", "/password", "password", password, "new-password", changed)
	b.signIn(t, "ada", changed)
	a.pool.Reset() // a connection that ends hands in its statistics
	testkit.Eventually(t, "each of the four statements uses an index", func() bool {
		const scans = "SELECT coalesce(sum(idx_scan), 0)::int FROM pg_stat_user_tables WHERE relname = 'accounts'"
		return testkit.QueryOne[int](t, a.pool, scans) == 4
	})
}

// TestPasswordChange ends the other sessions, and the old password with them.
func TestPasswordChange(t *testing.T) {
	t.Parallel()
	_, app := newApp(t)
	one, two := newBrowser(app), newBrowser(app)
	one.signUp(t, "ada")
	two.signIn(t, "ada", password)
	one.shows(t, 200, "This is not your password.", "POST", "/password", "password", changed, "new-password", changed)
	one.leads(t, "/?password", "POST", "/password", "password", password, "new-password", changed)
	one.shows(t, 200, "Your password is changed", "GET", "/?password")
	two.leads(t, "/sign-in?return_to=%2F", "GET", "/")
	two.shows(t, 200, "The name or the password is wrong.", "POST", "/sign-in", "name", "ada", "password", password)
	two.signIn(t, "ada", changed)
}

// TestPasswordChangeFails refuses the new password in the database. No session has ended then.
func TestPasswordChangeFails(t *testing.T) {
	t.Parallel()
	a, app := newApp(t)
	one, two := newBrowser(app), newBrowser(app)
	one.signUp(t, "ada")
	two.signIn(t, "ada", password)
	testkit.Exec(t, a.pool, "ALTER TABLE accounts ADD CHECK (id IS NULL) NOT VALID")
	one.shows(t, 503, "Try again in a moment", "POST", "/password", "password", password, "new-password", changed)
	for _, b := range []*browser{one, two} {
		b.shows(t, 200, "This device", "GET", "/")
	}
	two.signIn(t, "ada", password)
}

// TestTwoPasswordChanges makes two changes at once, both with the right password. One is refused.
func TestTwoPasswordChanges(t *testing.T) {
	t.Parallel()
	_, app := newApp(t)
	browsers := [2]*browser{newBrowser(app), newBrowser(app)}
	passwords := [2]string{"the first new password", "the second new password"}
	browsers[0].signUp(t, "ada")
	browsers[1].signIn(t, "ada", password)
	var locations [2]string
	var changes sync.WaitGroup
	for i, b := range browsers {
		changes.Go(func() {
			locations[i] = b.send(t, "POST", "/password", "password", password, "new-password", passwords[i]).Header().Get("Location")
		})
	}
	changes.Wait()
	winner := 0
	if locations[1] == "/?password" {
		winner = 1
	}
	if locations[winner] != "/?password" || locations[1-winner] == "/?password" {
		t.Fatalf("the two are answered with %q", locations)
	}
	browsers[winner].shows(t, 200, "This device", "GET", "/")
	browsers[1-winner].leads(t, "/sign-in?return_to=%2F", "GET", "/")
	newBrowser(app).signIn(t, "ada", passwords[winner])
}

// TestPasswordIsWrittenElsewhere writes another hash after the change has compared the password,
// as an administrator does. The change is refused, and ends no session.
func TestPasswordIsWrittenElsewhere(t *testing.T) {
	t.Parallel()
	a, app := newApp(t)
	one, two := newBrowser(app), newBrowser(app)
	one.signUp(t, "ada")
	two.signIn(t, "ada", password)
	tx := testkit.Value(a.pool.Begin(t.Context()))(t)
	testkit.Value(tx.Exec(t.Context(), "UPDATE accounts SET password_hash = $1", testkit.Value(a.hasher.hash(t.Context(), "by an administrator"))(t)))(t)
	answered := make(chan *httptest.ResponseRecorder)
	go func() { answered <- one.send(t, "POST", "/password", "password", password, "new-password", changed) }()
	testkit.Eventually(t, "the change waits for the row", func() bool {
		return testkit.QueryOne[int](t, a.pool, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 1
	})
	testkit.Must(t, tx.Commit(t.Context()))
	if w := <-answered; len(problems(w)) != 1 {
		t.Errorf("the change is answered with %d to %q", w.Code, w.Header().Get("Location"))
	}
	two.shows(t, 200, "This device", "GET", "/")
	newBrowser(app).signIn(t, "ada", "by an administrator")
}

// TestRefusals sends requests that change nothing.
func TestRefusals(t *testing.T) {
	t.Parallel()
	a, app := newApp(t)
	b := newBrowser(app)
	b.signUp(t, "ada")
	foreign := &browser{app: app, site: "cross-site", cookies: b.cookies}
	for _, path := range []string{"/sign-in", "/sign-up", "/sign-out", "/password", "/devices/end", "/devices/end-others", "/refresh"} {
		foreign.shows(t, 403, "Nothing was done.", "POST", path, "name", "ada", "password", password, "new-password", changed)
	}
	b.shows(t, 404, "There is no such page", "GET", "/nowhere")
	b.leads(t, "/", "POST", "/sign-in", "name", "ada", "password", password, "return_to", "//evil.example")
	b.leads(t, "/password", "POST", "/sign-in", "name", "ada", "password", password, "return_to", "/password")
	a.pool.Close()
	before := len(b.cookies)
	for _, path := range []string{"/sign-in", "/sign-up", "/sign-out", "/password", "/devices/end", "/devices/end-others", "/refresh"} {
		page := b.shows(t, 503, "You are still signed in.", "POST", path, "name", "ada", "password", password, "new-password", changed)
		if strings.Contains(page, `href="/devices/`) {
			t.Errorf("the answer to %s links to a page that there is not: %s", path, page)
		}
	}
	b.shows(t, 503, "You are still signed in.", "GET", "/")
	if len(b.cookies) != before {
		t.Errorf("of %d cookies %d are left by an outage", before, len(b.cookies))
	}
}

// TestStreamIsRefused connects a stream without a session that lives.
func TestStreamIsRefused(t *testing.T) {
	t.Parallel()
	_, app := newApp(t)
	for access, want := range map[string]string{"": "over", "expired": "renew"} {
		r := testkit.Request("GET", "/events", "Accept", "text/event-stream")
		if access != "" {
			r.AddCookie(&http.Cookie{Name: "__Host-access", Value: access})
		}
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		if w.Code != 200 || w.Header().Get("Content-Type") != "text/event-stream" || !strings.HasPrefix(w.Body.String(), "event: "+want+"\n") {
			t.Errorf("with the access token %q the stream is %d %q, want %s", access, w.Code, w.Body, want)
		}
	}
}

// TestPages looks at what every page has, and at what none may have.
func TestPages(t *testing.T) {
	t.Parallel()
	_, app := newApp(t)
	b := newBrowser(app)
	b.signUp(t, "ada")
	inline := regexp.MustCompile(`<style|<script[^>]*>[^<]|\s(style|on[a-z]+)=|(href|src|action)="(https?:)?//`)
	for _, path := range []string{"/", "/password", "/sign-in", "/sign-up", "/nowhere"} {
		w := b.send(t, "GET", path)
		if got := w.Header().Get("Content-Security-Policy"); got != policy || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s has the header %v", path, w.Header())
		}
		if found := inline.FindString(w.Body.String()); found != "" {
			t.Errorf("%s has %q", path, found)
		}
	}
	for _, file := range []string{"style.css", "page.js", "favicon.svg"} {
		if w := b.send(t, "GET", "/static/"+file); w.Code != 200 {
			t.Errorf("%s is answered with %d", file, w.Code)
		}
	}
	b.shows(t, 404, "There is no such page", "GET", "/static/")
}
