package browser

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/session"
)

// rotating is a session of ada's. It refuses every refresh token but the current one.
type rotating struct {
	*testing.T
	mu         sync.Mutex
	generation int
}

func (s *rotating) Refresh(_ context.Context, token string, _ session.Device) (session.Tokens, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token != fmt.Sprint("generation-", s.generation) {
		return session.Tokens{}, &session.RefreshError{Reason: session.Replayed}
	}
	s.generation++
	return s.tokens(), nil
}

// now returns the current generation.
func (s *rotating) now() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generation
}

func (s *rotating) tokens() session.Tokens {
	return session.Tokens{
		Access: mint(s.T, "ada"), AccessExpiresAt: time.Now().Add(time.Hour),
		Refresh: fmt.Sprint("generation-", s.generation), RefreshExpiresAt: time.Now().Add(time.Hour),
		Session: revoke.Session{Issuer: issuer, ID: "s"},
	}
}

// TestBrowserRefresh opens pages after the access token is gone. The browser follows to the
// page, by an address, a link, a form and a link of another site, and no script of a page
// sees a token.
func TestBrowserRefresh(t *testing.T) {
	t.Parallel()
	sessions := &rotating{T: t}
	var mu sync.Mutex
	var asked []string // Sec-Fetch-Site of each request of a page
	s := newSite(t, func(s *site, mux *http.ServeMux) {
		refresh := testkit.Value(revokehttp.NewRefresh(sessions, s.guard))(t)
		mux.HandleFunc("POST /start", func(w http.ResponseWriter, _ *http.Request) { _ = refresh.SetCookies(w, sessions.tokens()) })
		mux.Handle("POST /refresh", refresh)
		page := refresh.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprintf(w, `<title>private</title><p id="asked">%s %s</p><a href="/private?link">link</a>
				<form method="post" action="/private?form"><button>send</button></form>`, r.Method, r.URL.RawQuery)
		}))
		mux.HandleFunc("/private", func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			asked = append(asked, r.Header.Get("Sec-Fetch-Site"))
			mu.Unlock()
			page.ServeHTTP(w, r)
		})
	})
	// "localhost" is another site than the app's 127.0.0.1.
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<title>other</title><a href="%[1]s/private?from=elsewhere#part">link</a>
			<form method="post" action="%[1]s/private?form"><button>send</button></form>`, s.URL)
	}))
	t.Cleanup(other.Close)
	elsewhere := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)

	page := visit(chromium(t), t, s.URL+"/page")
	post := func(path string) int { return fetch(page, t, path, map[string]any{"method": "POST"}).Status }
	if status := post("/start"); status != 200 {
		t.Fatalf("the sign-in is answered with %d", status)
	}
	forget := func() {
		if status := post("/forget"); status != 200 {
			t.Fatalf("the access token is deleted with %d", status)
		}
		mu.Lock()
		asked = nil
		mu.Unlock()
	}
	press := func(selector string) {
		t.Helper()
		testkit.Value(chromedp.Run(page, chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.querySelector(%q).click()", selector))))(t)
	}
	shows := func() string {
		text, err := chromedp.Run(page, chromedp.Evaluate[string]("document.title + ' ' + document.body?.innerText.split('\\n')[0] + ' ' + location.href"))
		if err != nil { // between two pages
			return err.Error()
		}
		return text
	}
	for i, row := range []struct {
		name  string
		open  func()
		shows string
		asked string // Sec-Fetch-Site of the requests
	}{
		{"an address", func() {
			forget()
			navigate(page, t, s.URL+"/private?typed")
		}, "private GET typed " + s.URL + "/private?typed", "none none"},
		{"a link", func() {
			forget()
			press("a")
		}, "private GET link " + s.URL + "/private?link", "same-origin same-origin"},
		{"a form", func() {
			forget()
			press("button")
		}, "private POST form " + s.URL + "/private?form", "same-origin"},
		{"a link of another site", func() {
			forget()
			navigate(page, t, elsewhere)
			press("a")
		}, "private GET from=elsewhere " + s.URL + "/private?from=elsewhere", "cross-site same-origin same-origin"},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.open()
			testkit.Eventually(t, row.shows, func() bool { return shows() == row.shows })
			mu.Lock()
			defer mu.Unlock()
			if got := strings.Join(asked, " "); got != row.asked || sessions.now() != i+1 {
				t.Errorf("requests from %q, and generation %d, want %q and %d", got, sessions.now(), row.asked, i+1)
			}
		})
	}
	t.Run("a form of another site", func(t *testing.T) {
		forget()
		navigate(page, t, elsewhere)
		press("button")
		testkit.Eventually(t, "a request", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(asked) == 1
		})
		// A navigation that is still under way would abort the next one. SameSite has withheld the
		// cookies.
		testkit.Eventually(t, "the answer", func() bool { return strings.Contains(shows(), "Unauthorized") })
		if got := sessions.now(); got != 4 {
			t.Errorf("generation %d", got)
		}
	})
	t.Run("a script", func(t *testing.T) {
		navigate(page, t, s.URL+"/page")
		if got := fetch(page, t, "/private", nil); got.Status != 401 {
			t.Errorf("a script without an access token gets %+v", got)
		}
		got := fetch(page, t, "/refresh", map[string]any{"method": "POST"})
		if got.Status != 200 || strings.Contains(got.Body, "token") || strings.Contains(got.Body, "generation") {
			t.Errorf("the refresh is answered with %+v", got)
		}
		if got := fetch(page, t, "/private", nil); got.Status != 200 {
			t.Errorf("afterwards %+v", got)
		}
		if cookies := testkit.Value(chromedp.Run(page, chromedp.Evaluate[string]("document.cookie")))(t); cookies != "" {
			t.Errorf("a script reads %q", cookies)
		}
	})
}
