package browser

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pgrevoke/revoke/internal/testkit"
)

// TestBrowserCache reads what ada has read before, with a token that was revoked since, as another
// user, without a token, and without the cookie. The browser has ada's answer in its cache.
func TestBrowserCache(t *testing.T) {
	t.Parallel()
	books, asked := library(t), 0 // how often for what is not guarded
	s := newSite(t, func(s *site, mux *http.ServeMux) {
		mux.Handle("/private/", http.StripPrefix("/private", s.guard.Require(books)))
		mux.HandleFunc("/public/file.txt", func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.Header().Set("Last-Modified", "Sat, 01 Jan 2022 00:00:00 GMT")
			_, _ = w.Write([]byte("of all"))
		})
	})
	browser := chromium(t)
	header := func(token string) map[string]any {
		return map[string]any{"headers": map[string]string{"Authorization": "Bearer " + token}}
	}
	carriers := []struct {
		name string
		read func(page context.Context, t *testing.T, path, token string) answer
	}{
		{"header", func(page context.Context, t *testing.T, path, token string) answer {
			t.Helper()
			if token == "" {
				return fetch(page, t, path, nil)
			}
			return fetch(page, t, path, header(token))
		}},
		{"cookie", func(page context.Context, t *testing.T, path, token string) answer {
			t.Helper()
			s.carry(page, t, token)
			return fetch(page, t, path, nil)
		}},
		{"cookie of a navigation", func(page context.Context, t *testing.T, path, token string) answer {
			t.Helper()
			s.carry(page, t, token)
			return navigate(page, t, s.URL+path)
		}},
	}
	t.Run("what is not guarded is answered from the cache", func(t *testing.T) {
		page := visit(browser, t, s.URL+"/page")
		for range 2 {
			if got := fetch(page, t, "/public/file.txt", nil); got.Body != "of all" {
				t.Errorf("%+v", got)
			}
		}
		if asked != 1 {
			t.Errorf("the server is asked %d times, so this browser has no cache", asked)
		}
	})
	for _, carrier := range carriers {
		for _, path := range []string{"/private/file.txt", "/private/data.json"} {
			page := visit(browser, t, s.URL+"/page")
			for i, reader := range []struct {
				name string
				user string // "" for no token, or for a cookie that is gone
				dead bool
				want answer
			}{
				{"the same user", "ada", false, answer{200, "of ada"}},
				{"a dead token", "ada", true, answer{401, "Unauthorized"}},
				{"another user", "bob", false, answer{200, "of bob"}},
				{"no token", "", false, answer{401, "Unauthorized"}},
			} {
				t.Run(carrier.name+path+"/"+reader.name, func(t *testing.T) {
					path := fmt.Sprintf("%s?%d", path, i) // an entry of the cache for each
					token := mint(t, "ada")
					if got := carrier.read(page, t, path, token).trimmed(); got != (answer{200, "of ada"}) {
						t.Fatalf("ada reads %+v", got)
					}
					switch {
					case reader.dead:
						testkit.Must(t, s.store.RevokeToken(t.Context(), testkit.Value(s.validator.Identify(t.Context(), token))(t)))
					case reader.user == "bob":
						token = mint(t, "bob")
					case reader.user == "":
						token = ""
					}
					if got := carrier.read(page, t, path, token).trimmed(); got != reader.want {
						t.Errorf("%+v, want %+v", got, reader.want)
					}
				})
			}
		}
	}
}

// carry gives the browser the cookie with the token, or takes its cookies away.
func (s *site) carry(page context.Context, t *testing.T, token string) {
	t.Helper()
	if token == "" {
		fetch(page, t, "/forget", map[string]any{"method": "POST"})
		return
	}
	s.signIn(page, t, token)
}

// trimmed returns the answer without the quotes and the line ends of its body.
func (a answer) trimmed() answer { return answer{a.Status, strings.Trim(a.Body, "\"\n")} }
