// Package endpoint is what HTTP handlers for tokens have in common: how the body of a request
// is read, how an error is answered, and the settings of both. revokehttp, oauth and signals
// build on it.
package endpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/pgrevoke/revoke/internal/cancelled"
)

// Errors that several packages export under the same names, as the same values.
var (
	ErrNoToken    = errors.New("no token")
	ErrBadRequest = errors.New("bad request")
)

// ErrNotAllowed is oauth.ErrNotAllowed.
var ErrNotAllowed = errors.New("the client may not name this token")

// StatusCancelled is the status of an answer that has no reader, because the request was cancelled.
// Proxies log such requests as 499 too; net/http has no name for it.
const StatusCancelled = 499

// Error is an answer in the form of RFC 6749 §5.2, which the protocols that build on it share. It
// contains nothing of the request.
type Error struct {
	Status      int
	Code        string // such as invalid_request
	Description string
}

// InvalidRequest returns the answer 400 to a request that does not have the form that it must have.
func InvalidRequest(format string, args ...any) *Error {
	return &Error{http.StatusBadRequest, "invalid_request", fmt.Sprintf(format, args...)}
}

// Error returns what the client is told.
func (e *Error) Error() string { return e.Code + ": " + e.Description }

// Is reports whether target is [ErrBadRequest] and the request has the wrong form.
func (e *Error) Is(target error) bool {
	return target == ErrBadRequest && e.Code == "invalid_request"
}

// Because returns an error with both texts: e is the answer, and cause is for the report only.
func (e *Error) Because(cause error) error { return fmt.Errorf("%w: %w", e, cause) }

// Write answers with the error.
func (e *Error) Write(w http.ResponseWriter) {
	// A map of strings can always be encoded.
	body, _ := json.Marshal(map[string]string{"error": e.Code, "error_description": e.Description})
	WriteJSON(w, e.Status, body)
}

// WriteUnavailable answers 503, with Retry-After, unless err says that the request was cancelled.
func WriteUnavailable(w http.ResponseWriter, r *http.Request, err error, retryAfter time.Duration) {
	if cancelled.ByCaller(r.Context(), err) {
		WriteCancelled(w)
		return
	}
	w.Header().Set("Retry-After", Seconds(retryAfter))
	(&Error{http.StatusServiceUnavailable, "temporarily_unavailable", "try again later"}).Write(w)
}

// WriteCancelled answers [StatusCancelled].
func WriteCancelled(w http.ResponseWriter) {
	NoStore(w)
	w.WriteHeader(StatusCancelled)
}

// Seconds writes a positive duration in whole seconds, rounded up (RFC 9110 §10.2.3).
func Seconds(d time.Duration) string { return strconv.FormatInt(int64((d-1)/time.Second)+1, 10) }

// WriteJSON answers with a JSON object that no cache may store (RFC 6749 §5.1).
func WriteJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	NoStore(w)
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails only if the client has disconnected
}

// NoStore sets the header of an answer that no cache may store, of HTTP/1.0 neither.
func NoStore(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
}
