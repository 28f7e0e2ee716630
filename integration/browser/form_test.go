package browser

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
)

// TestForms signs in and out by forms alone. A page that needs a token leads to the sign-in page
// and back, and the logout ends at the provider.
func TestForms(t *testing.T) {
	t.Parallel()
	provider := newProvider(t)
	token := mint(t, "ada")
	s := newSite(t, func(s *site, mux *http.ServeMux) {
		mux.Handle("GET /account", s.guard.Require(page(`account <form method="post" action="/logout"><button>out</button></form>`)))
		mux.HandleFunc("GET /sign-in", func(w http.ResponseWriter, r *http.Request) {
			form := `sign in <form method="post"><input name="return_to" value="%s"><button>in</button></form>`
			page(fmt.Sprintf(form, html.EscapeString(r.URL.Query().Get(revokehttp.ReturnParameter)))).ServeHTTP(w, r)
		})
		mux.Handle("POST /sign-in", s.guard.RequireSameOrigin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := s.guard.SetCookie(w, token, time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
			http.Redirect(w, r, revokehttp.LocalPath(r.PostFormValue(revokehttp.ReturnParameter), "/"), http.StatusSeeOther)
		})))
		mux.Handle("/logout", testkit.Value(s.guard.Logout(s.store, revokehttp.WithEndSession(provider+"/end", url.Values{"client_id": {"app"}},
			func(*http.Request, revoke.Token) string { return "the.id.token" })))(t))
	}, revokehttp.WithSignInPage("/sign-in"))
	tab := visit(chromium(t), t, s.URL+"/account?tab=2")
	shows := func(text, location string) {
		t.Helper()
		var got [2]string
		for i, script := range []string{"document.body.innerText.trim().split('\\n')[0].trim()", "location.href"} {
			got[i] = testkit.Value(chromedp.Run(tab, chromedp.Evaluate[string](script)))(t)
		}
		if want := [2]string{text, location}; got != want {
			t.Errorf("the browser shows %q, want %q", got, want)
		}
	}
	press := func(selector string) {
		t.Helper()
		testkit.Value(chromedp.RunResponse(tab, chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.querySelector(%q).click()", selector))))(t)
	}
	shows("sign in", s.URL+"/sign-in?return_to=%2Faccount%3Ftab%3D2")
	press("button")
	shows("account", s.URL+"/account?tab=2")
	press("button")
	shows("provider", provider+"/end?client_id=app&id_token_hint=the.id.token")
	navigate(tab, t, s.URL+"/account")
	shows("sign in", s.URL+"/sign-in?return_to=%2Faccount")
}

// page returns a handler that shows HTML.
func page(body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, body)
	})
}

// newProvider starts a provider of another origin and returns its URL.
func newProvider(t *testing.T) string {
	t.Helper()
	s := newSite(t, func(_ *site, mux *http.ServeMux) { mux.Handle("/end", page("provider")) })
	return s.URL
}

// TestPartitionedCookie signs in with a cookie that is not partitioned, and again after the app has
// begun to ask for it. The browser must not send two cookies of one name.
func TestPartitionedCookie(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site, mux *http.ServeMux) {
		mux.Handle("GET /account", s.guard.Require(page("account")))
		mux.Handle("POST /logout", testkit.Value(s.guard.Logout(s.store))(t))
		token := mint(t, "ada")
		older := testkit.Value(revokehttp.NewGuard(s.validator, revokehttp.WithCookie("session", "/")))(t)
		mux.HandleFunc("POST /older", func(w http.ResponseWriter, _ *http.Request) {
			if err := older.SetCookie(w, token, time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
		})
	}, revokehttp.WithPartitioned())
	tab := visit(chromium(t), t, s.URL+"/page")
	post := map[string]any{"method": "POST"}
	status := func(step, url string, init map[string]any, want int) {
		t.Helper()
		if got := fetch(tab, t, url, init); got.Status != want {
			t.Errorf("%s: %+v, want %d", step, got, want)
		}
	}
	status("the older cookie", "/older", post, 200)
	status("the older cookie is sent", "/account", nil, 200)
	s.signIn(tab, t, mint(t, "ada"))
	status("after the new sign-in", "/account", nil, 200)
	status("the older cookie beside the new one", "/older", post, 200)
	status("two cookies are sent", "/account", nil, 400)
	status("logout with two cookies", "/logout", post, 400)
	status("both are gone", "/account", nil, 401)
}
