package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

const (
	requestTimeout = 15 * time.Second // longer than the 10 s of a logout, whose own answer says when to ask again
	maxBody        = 4 << 10          // of a request, in bytes: a name or two passwords
	minPassword    = 8                // bytes
)

// refusal is an error that the caller is told.
type refusal struct {
	status int
	text   string
}

// Error says what the caller is told.
func (r *refusal) Error() string { return r.text }

// A 401 would have to name a scheme in WWW-Authenticate (RFC 9110 §15.5.2); a form is none.
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

// answer makes a handler of a function that may fail.
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
		a.guard.Refuse(w, r, err) // 503: the database does not answer, or not as it should
	})
}

// report writes to the log why a request was refused, which the caller is not told.
func report(r *http.Request, err error) {
	slog.InfoContext(r.Context(), "refused", "request", r.Pattern, "error", err)
}

// readForm returns two fields of a form in the body. What stands in the URL does not count, because it ends up in logs.
func readForm(r *http.Request, first, second string) (string, string, error) {
	if err := r.ParseForm(); err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return "", "", errTooLarge
		}
		return "", "", errNoForm
	}
	return r.PostForm.Get(first), r.PostForm.Get(second), nil
}

func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintln(w, text) // who does not read it has gone
}
