package testkit

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/pgrevoke/revoke"
)

// Request returns a request without a body. header has names and values of header fields in turn.
func Request(method, target string, header ...string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// Post returns a request with a body of this media type.
func Post(mediaType, body string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", mediaType)
	return r
}

// Serve returns a handler's answer.
func Serve(handler http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// WantAnswer fails the test unless the answer has this status and this WWW-Authenticate, and,
// as a refusal, must not be stored by caches.
func WantAnswer(tb testing.TB, w *httptest.ResponseRecorder, status int, challenge string) {
	tb.Helper()
	if w.Code != status || w.Header().Get("WWW-Authenticate") != challenge {
		tb.Errorf("the answer is %d with %q, want %d with %q", w.Code, w.Header().Get("WWW-Authenticate"), status, challenge)
	}
	if stored := w.Header().Get("Cache-Control"); status >= 400 && stored != "no-store" {
		tb.Errorf("Cache-Control of %d is %q", status, stored)
	}
}

// OddRequests sends a handler requests that no proper client sends. The handler must refuse
// each of them, without a panic, and in an answer that no cache may store.
func OddRequests(t *testing.T, handler http.Handler) {
	t.Helper()
	const form = "application/x-www-form-urlencoded"
	bodies := []struct {
		name string
		new  func() io.Reader
	}{
		{"no body", func() io.Reader { return nil }},
		{"empty body", func() io.Reader { return strings.NewReader("") }},
		{"zeroes", func() io.Reader { return strings.NewReader(string(make([]byte, 100<<10))) }},
		{"percent", func() io.Reader { return strings.NewReader("token=%") }},
		{"body that breaks off", func() io.Reader { return io.MultiReader(strings.NewReader("token="), brokenReader{}) }},
		{"gzip", func() io.Reader { return strings.NewReader("\x1f\x8b\x08\x00\x00") }},
		{"deep nesting", func() io.Reader { return strings.NewReader(strings.Repeat("[", 10_000)) }},
	}
	for _, body := range bodies {
		t.Run(body.name, func(t *testing.T) {
			for _, method := range []string{"GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "post", "PROPFIND", "POST"} {
				for _, mediaType := range []string{
					"", form, "application/json", form + "; charset=utf-7", form + "; charset=utf-8; charset=utf-8",
					"multipart/form-data", ";", "\xff",
				} {
					reader := body.new()
					r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", reader)
					if r.Method = method; reader == nil {
						r.Body = nil
					}
					r.Header.Set("Content-Type", mediaType)
					w := Serve(handler, r)
					if !slices.Contains([]int{400, 401, 405, 413}, w.Code) || w.Header().Get("Cache-Control") != "no-store" {
						t.Errorf("%s with %q: %d, Cache-Control %q", method, mediaType, w.Code, w.Header().Get("Cache-Control"))
					}
				}
			}
		})
	}
}

// brokenReader is the body of a lost connection.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// SlowStore is a store that answers Check and the writes of handlers only when ctx ends, with
// ErrUnavailable.
type SlowStore struct{ revoke.Store }

// Check waits.
func (s SlowStore) Check(ctx context.Context, _ revoke.Token) error { return s.wait(ctx) }

// RevokeToken waits.
func (s SlowStore) RevokeToken(ctx context.Context, _ revoke.Token, _ ...revoke.RevokeOption) error {
	return s.wait(ctx)
}

// RevokeUser waits.
func (s SlowStore) RevokeUser(ctx context.Context, _ revoke.User, _ ...revoke.RevokeOption) (revoke.Epochs, error) {
	return revoke.Epochs{}, s.wait(ctx)
}

// InTx waits.
func (s SlowStore) InTx(ctx context.Context, _ func(revoke.Revoker) error) error { return s.wait(ctx) }

func (SlowStore) wait(ctx context.Context) error {
	<-ctx.Done()
	return fmt.Errorf("%w: %w", revoke.ErrUnavailable, ctx.Err())
}
