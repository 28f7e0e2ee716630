package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// chromium starts a browser that ends with the test.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		path, err = exec.LookPath("google-chrome")
	}
	if err != nil {
		t.Fatalf("neither chromium nor google-chrome is installed (Debian: apt-get install chromium): %v", err)
	}
	// Root and many containers have no sandbox, and the pages are of these tests only.
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox)
	allocator, end := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(end)
	browser, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	testkit.Must(t, chromedp.Do(browser))
	return browser
}

// visit opens a page in a browser without cookies and with an empty cache.
func visit(browser context.Context, t *testing.T, url string) context.Context {
	t.Helper()
	page, end := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(end)
	testkit.Must(t, chromedp.Do(page)) // the tab lives as long as this context
	page, end = context.WithTimeout(page, time.Minute)
	t.Cleanup(end)
	testkit.Must(t, chromedp.Do(page, chromedp.Navigate(url)))
	return page
}

// site is an app with handlers behind a guard. Its answers do not mention caches.
type site struct {
	*httptest.Server
	store     *revoketest.Memory
	validator *revoke.Validator
	guard     *revokehttp.Guard
}

const issuer = "https://app.example"

func newSite(t *testing.T, routes func(*site, *http.ServeMux), opts ...revokehttp.Option) *site {
	t.Helper()
	s := &site{store: revoketest.NewMemory()}
	opts = append([]revokehttp.Option{revokehttp.WithCookie("session", "/")}, opts...)
	s.validator = testkit.Value(revoke.NewValidator(s.store, issuer, revoke.AnyAudience(), testkit.Keyfunc("ES256"), []string{"ES256"}))(t)
	s.guard = testkit.Value(revokehttp.NewGuard(s.validator, opts...))(t)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, "<title>page</title>")
	})
	mux.Handle("POST /session", s.guard.RequireSameOrigin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.guard.SetCookie(w, r.FormValue("token"), time.Now().Add(time.Hour)); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})))
	mux.HandleFunc("POST /forget", func(w http.ResponseWriter, _ *http.Request) { _ = s.guard.ClearCookie(w) })
	routes(s, mux)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// mint signs a token of a user.
func mint(t *testing.T, user string) string {
	t.Helper()
	claims := testkit.Value(revoke.NewClaims(revoke.User{Issuer: issuer, Subject: user}, time.Hour, revoke.AnyAudience(), revoke.Epochs{}))(t)
	return testkit.Value(jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(testkit.TestKeys().EC))(t)
}

// answer is what a script of a page sees of an answer.
type answer struct {
	Status int    `json:"status"`
	Body   string `json:"body"`
}

// fetch asks from a page's script. init is the second argument of fetch.
func fetch(page context.Context, t *testing.T, url string, init map[string]any) answer {
	t.Helper()
	arguments := testkit.Value(json.Marshal([]any{url, init}))(t)
	script := fmt.Sprintf("fetch(...%s).then(async r => ({status: r.status, body: await r.text()}))", arguments)
	return testkit.Value(chromedp.Run(page, chromedp.Evaluate[answer](script, chromedp.EvalAwaitPromise)))(t)
}

// navigate opens a page and returns what a user sees of it.
func navigate(page context.Context, t *testing.T, url string) answer {
	t.Helper()
	response := testkit.Value(chromedp.RunResponse(page, chromedp.Navigate(url)))(t)
	text := testkit.Value(chromedp.Run(page, chromedp.Evaluate[string]("document.body.innerText")))(t)
	return answer{int(response.Status), text}
}

// signIn gives the page's browser the guard's cookie.
func (s *site) signIn(page context.Context, t *testing.T, token string) {
	t.Helper()
	form := map[string]any{
		"method": "POST", "headers": map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, "body": "token=" + token,
	}
	if got := fetch(page, t, "/session", form); got.Status != http.StatusOK {
		t.Fatalf("the sign-in is answered with %+v", got)
	}
}

// month is how old the data of ada are. The data of bob are older, so that they have not changed
// since ada read hers.
const month = 30 * 24 * time.Hour

// library serves each user a file and JSON of the same URL, with the time of their last change.
func library(t *testing.T) http.Handler {
	t.Helper()
	changed := map[string]time.Time{"ada": time.Now().Add(-month), "bob": time.Now().Add(-2 * month)}
	files := map[string]http.Handler{}
	for user, at := range changed {
		directory := t.TempDir()
		file := filepath.Join(directory, "file.txt")
		testkit.Must(t, os.WriteFile(file, []byte("of "+user), 0o600))
		testkit.Must(t, os.Chtimes(file, at, at))
		files[user] = http.FileServer(http.Dir(directory))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := revokehttp.TokenFromContext(r.Context())
		if !strings.HasSuffix(r.URL.Path, ".json") {
			files[token.Subject].ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Last-Modified", changed[token.Subject].UTC().Format(http.TimeFormat))
		_, _ = fmt.Fprintf(w, `"of %s"`, token.Subject)
	})
}
