package revokehttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// served is a guard and a watcher behind a real server.
type served struct {
	*httptest.Server
	store *revoketest.Memory
	ended chan error // the cause of each stream's end
}

func serve(t *testing.T, http2 bool) *served {
	t.Helper()
	s := &served{store: revoketest.NewMemory(), ended: make(chan error, 1)}
	guard := testkit.Value(revokehttp.NewGuard(newValidator(t, s.store), revokehttp.WithCookie("session", "/")))(t)
	watcher := testkit.Value(revokehttp.NewWatcher(s.store, revokehttp.WithWatchInterval(10*time.Millisecond)))(t)
	mux := http.NewServeMux()
	guarded := func(pattern string, handler http.HandlerFunc) {
		mux.Handle(pattern, guard.Require(watcher.Watch(handler)))
	}
	// Without WriteHeader.
	guarded("/write", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	guarded("/stream", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "welcome")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("Flush: %v", err)
		}
		<-r.Context().Done()
		s.ended <- context.Cause(r.Context())
	})
	guarded("/hijack", func(w http.ResponseWriter, r *http.Request) {
		conn, buffer, err := http.NewResponseController(w).Hijack()
		if err != nil {
			w.WriteHeader(http.StatusHTTPVersionNotSupported)
			return
		}
		defer func() { _ = conn.Close() }()
		fmt.Fprint(buffer, "HTTP/1.1 200 OK\r\n\r\nwelcome\n")
		if err := buffer.Flush(); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
		s.ended <- context.Cause(r.Context())
	})
	s.Server = httptest.NewUnstartedServer(mux)
	s.EnableHTTP2 = http2
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// get sends a request with header fields, in turn names and values.
func (s *served) get(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	r := testkit.Value(http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil))(t)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := testkit.Value(s.Client().Do(r))(t)
	t.Cleanup(func() { _ = w.Body.Close() })
	return w
}

// TestServers guards and watches over HTTP/1.1 and HTTP/2, through the server's own writer: what is
// written without WriteHeader has the guard's header fields, and a handler can flush and hijack.
func TestServers(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", http2), func(t *testing.T) {
			t.Parallel()
			s := serve(t, http2)
			token := func(id string) string { return mintAt(t, time.Now(), id, "", time.Hour) }
			for _, c := range []struct {
				name   string
				header []string
				status int
			}{
				{"header", []string{"Authorization", "Bearer " + token("1")}, 200},
				{"cookie", []string{"Cookie", "__Host-session=" + token("1")}, 200},
				{"cookie among others", []string{"Cookie", "a=b", "Cookie", "__Host-session=" + token("1")}, 200},
				{"good header beside a stale cookie", []string{"Authorization", "Bearer " + token("1"), "Cookie", "__Host-session=x"}, 200},
				{"invalid header beside a good cookie", []string{"Authorization", "Bearer x", "Cookie", "__Host-session=" + token("1")}, 401},
				{"two headers", []string{"Authorization", "Bearer " + token("1"), "Authorization", "Bearer " + token("1")}, 400},
				{"two cookies", []string{"Cookie", "__Host-session=" + token("1"), "Cookie", "__Host-session=x"}, 400},
				{"no token", nil, 401},
			} {
				w := s.get(t, "/write", c.header...) //nolint:bodyclose // closed by get
				body := string(testkit.Value(io.ReadAll(w.Body))(t))
				caching := map[bool]string{true: "private, no-cache", false: "no-store"}[c.status == 200]
				if w.StatusCode != c.status || w.Header.Get("Cache-Control") != caching || w.Header.Get("Vary") != "Authorization, Cookie" ||
					(body == "hello") != (c.status == 200) || w.ProtoMajor == 2 != http2 {
					t.Errorf("%s: %s %d %q with %v, want %d", c.name, w.Proto, w.StatusCode, body, w.Header, c.status)
				}
			}
			for _, path := range []string{"/stream", "/hijack"} {
				w := s.get(t, path, "Authorization", "Bearer "+token(path)) //nolint:bodyclose // closed by get
				if http2 && path == "/hijack" {
					if w.StatusCode != http.StatusHTTPVersionNotSupported {
						t.Errorf("Hijack of HTTP/2: %d", w.StatusCode)
					}
					continue
				}
				lines := bufio.NewScanner(w.Body)
				if lines.Scan(); lines.Text() != "welcome" {
					t.Errorf("%s: %q", path, lines.Text())
				}
				testkit.Must(t, s.store.RevokeToken(t.Context(), revoke.Token{Issuer: testkit.Issuer, ID: path}))
				if err := <-s.ended; !errors.Is(err, revoke.ErrRevoked) {
					t.Errorf("%s ended: %v", path, err)
				}
				if lines.Scan() {
					t.Errorf("%s goes on: %q", path, lines.Text())
				}
			}
		})
	}
}
