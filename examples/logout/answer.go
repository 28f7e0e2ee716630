package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// Longer than the 10 s of a logout, which answers 503 with Retry-After itself.
	requestTimeout = 15 * time.Second
	maxBody        = 4 << 10 // of a request, in bytes: a name or two passwords
	maxName        = 100     // bytes
	minPassword    = 8       // bytes
)

// refusal is an error with a text for the caller.
type refusal struct {
	status int
	text   string
}

// Error returns the text for the caller.
func (r *refusal) Error() string { return r.text }

// A wrong password is 403. A 401 would have to name a scheme in WWW-Authenticate (RFC 9110
// §15.5.2), and a form is no scheme.
var (
	errCredentials   = &refusal{http.StatusForbidden, "wrong name or password"}
	errNoName        = &refusal{http.StatusBadRequest, "this is no name"}
	errShortPassword = &refusal{http.StatusBadRequest, fmt.Sprintf("a password has %d bytes at least", minPassword)}
	errNoForm        = &refusal{http.StatusBadRequest, "the body is no form"}
	errTooLarge      = &refusal{http.StatusRequestEntityTooLarge, "the body is too large"}
)

// limit bounds what a request may send, and how long it may take.
func limit(next http.Handler) http.Handler {
	return http.MaxBytesHandler(http.TimeoutHandler(next, requestTimeout, "try again later\n"), maxBody)
}

// answer returns a handler that calls do and answers its error.
func (a *app) answer(do func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		err := do(w, r)
		if err == nil {
			return
		}
		report(r, err)
		if told := (*refusal)(nil); errors.As(err, &told) {
			http.Error(w, told.text, told.status)
			return
		}
		a.guard.Refuse(w, r, err) // 503: the database did not answer, or answered with an error
	})
}

// report logs why a request was refused. The caller is not told the reason.
func report(r *http.Request, err error) {
	slog.InfoContext(r.Context(), "refused", "request", r.Pattern, "error", err)
}

// readForm returns two fields of a form in the body. Fields in the URL do not count, because
// URLs are written to logs.
func readForm(r *http.Request, first, second string) (string, string, error) {
	if err := r.ParseForm(); err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return "", "", errTooLarge
		}
		return "", "", errNoForm
	}
	return r.PostForm.Get(first), r.PostForm.Get(second), nil
}

// isName reports whether a text can be the name of an account.
func isName(name string) bool {
	return name != "" && len(name) <= maxName && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintln(w, text) // fails only if the client has disconnected
}
