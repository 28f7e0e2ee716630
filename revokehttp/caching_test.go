package revokehttp_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
)

// TestCaching follows RFC 9110 §12.5.5 and RFC 9111 §5.2.2: a cache that stores an answer, the
// browser's too, tells users apart and asks before it uses the answer. integration/browser shows
// it with a browser.
func TestCaching(t *testing.T) {
	t.Parallel()
	const asks = "private, no-cache"
	nothing := func(http.Header) {}
	withCookie := []revokehttp.Option{revokehttp.WithCookie("session", "/")}
	for _, c := range []struct {
		name          string
		opts          []revokehttp.Option
		before, after func(http.Header) // of middleware before the guard, of the handler behind it
		vary, caching string
	}{
		{"header", nil, nothing, nothing, "Authorization", asks},
		{"cookie", withCookie, nothing, nothing, "Authorization, Cookie", asks},
		{"handler with a Cache-Control", nil, nothing, set("Cache-Control", "public, max-age=60"), "Authorization", "public, max-age=60"},
		{"handler that forbids to store", nil, nothing, set("Cache-Control", "no-store"), "Authorization", "no-store"},
		{"handler that adds to Vary", withCookie, nothing, addVary("Accept"), "Authorization, Cookie|Accept", asks},
		{"handler that replaces Vary", nil, nothing, set("Vary", "*"), "*", asks},
		{"middleware with a Vary", withCookie, addVary("Origin"), nothing, "Origin|Authorization, Cookie", asks},
		{"middleware that varies by Authorization", nil, addVary("Origin, authorization"), nothing, "Origin, authorization", asks},
		{"middleware that varies by Cookie", withCookie, addVary("cookie"), nothing, "cookie|Authorization", asks},
		{"middleware that varies by all", withCookie, addVary("*"), nothing, "*", asks},
		{"middleware that forbids to store", nil, set("Cache-Control", "No-Store, max-age=0"), nothing, "Authorization", "No-Store, max-age=0"},
		{"middleware that lets all store", nil, set("Cache-Control", "public, max-age=60"), nothing, "Authorization", asks},
		{"middleware with a name like no-store", nil, set("Cache-Control", "no-storex"), nothing, "Authorization", asks},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, c.opts...)
			guarded := s.guard.Require(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { c.after(w.Header()) }))
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c.before(w.Header())
				guarded.ServeHTTP(w, r)
			})
			good := "Bearer " + mint(t, "1", "s", time.Hour)
			w := testkit.Serve(handler, testkit.Request("GET", "/", "Authorization", good))
			if got := joined(w.Header().Values("Vary")); w.Code != 200 || got != c.vary {
				t.Errorf("Vary of %d is %q, want %q", w.Code, got, c.vary)
			}
			if got := joined(w.Header().Values("Cache-Control")); got != c.caching {
				t.Errorf("Cache-Control is %q, want %q", got, c.caching)
			}
		})
	}
}

func set(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
func addVary(value string) func(http.Header)   { return func(h http.Header) { h.Add("Vary", value) } }

func joined(values []string) (all string) {
	for i, value := range values {
		if i > 0 {
			all += "|"
		}
		all += value
	}
	return all
}

// TestCachingOfTwoGuards names each header field once, if one guard stands behind another.
func TestCachingOfTwoGuards(t *testing.T) {
	t.Parallel()
	s := newService(t, revokehttp.WithCookie("session", "/"))
	w := testkit.Serve(s.guard.Require(s.handler), testkit.Request("GET", "/", "Authorization", "Bearer "+mint(t, "1", "s", time.Hour)))
	if got := joined(w.Header().Values("Vary")); w.Code != 200 || got != "Authorization, Cookie" {
		t.Errorf("Vary of %d is %q", w.Code, got)
	}
}

// TestRefusalsAreNotStored forbids every cache to store an answer that refuses, an app's own too.
func TestRefusalsAreNotStored(t *testing.T) {
	t.Parallel()
	good := mint(t, "1", "s", time.Hour)
	for _, c := range []struct {
		name    string
		request *http.Request
		down    bool
		status  int
	}{
		{"no token", testkit.Request("GET", "/"), false, 401},
		{"invalid token", testkit.Request("GET", "/", "Authorization", "Bearer x"), false, 401},
		{"wrong request", testkit.Request("GET", "/", "Authorization", "Bearer"), false, 400},
		{"another site", testkit.Request("POST", "/", "Cookie", "__Host-session="+good, "Sec-Fetch-Site", "cross-site"), false, 403},
		{"outage", testkit.Request("GET", "/", "Authorization", "Bearer "+good), true, 503},
	} {
		for _, own := range []bool{false, true} {
			name := c.name
			opts := []revokehttp.Option{revokehttp.WithCookie("session", "/")}
			if own {
				name += "/answer of the app"
				opts = append(opts, revokehttp.WithErrorHandler(func(w http.ResponseWriter, _ *http.Request, err error) {
					status := 401
					if errors.Is(err, revoke.ErrUnavailable) {
						status = 503
					}
					w.WriteHeader(status)
				}))
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newService(t, opts...)
				if c.down {
					s.store.Fail(errors.New("it is down"))
				}
				w := testkit.Serve(s.handler, c.request)
				if w.Header().Get("Cache-Control") != "no-store" || w.Code != c.status && !own {
					t.Errorf("%d with %v", w.Code, w.Header())
				}
			})
		}
	}
}
