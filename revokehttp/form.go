package revokehttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxBody is the most that an endpoint reads of a request's body, in bytes: a token, an identifier or two, and some room.
const maxBody = 64 << 10

// protocolError is an answer in the form of RFC 6749 §5.2, which the protocols that are built on it share. It contains
// nothing of the request's.
type protocolError struct {
	status      int
	code        string // such as invalid_request
	description string
}

// Error says what the client is told.
func (e *protocolError) Error() string { return fmt.Sprintf("%s: %s", e.code, e.description) }

// Is makes what is wrong with a request match ErrBadRequest.
func (e *protocolError) Is(target error) bool {
	return target == ErrBadRequest && e.code == "invalid_request"
}

func invalidRequest(format string, args ...any) *protocolError {
	return &protocolError{http.StatusBadRequest, "invalid_request", fmt.Sprintf(format, args...)}
}

// write answers with the error.
func (e *protocolError) write(w http.ResponseWriter) {
	body, _ := json.Marshal(map[string]string{"error": e.code, "error_description": e.description}) // strings never fail
	writeJSON(w, e.status, body)
}

// writeUnavailable answers that nobody can tell, and when to ask again.
func writeUnavailable(w http.ResponseWriter, retryAfter time.Duration) {
	w.Header().Set("Retry-After", seconds(retryAfter))
	(&protocolError{http.StatusServiceUnavailable, "temporarily_unavailable", "try again later"}).write(w)
}

// seconds writes a positive duration in seconds, rounded up.
func seconds(d time.Duration) string { return strconv.FormatInt(int64((d-1)/time.Second)+1, 10) }

// writeJSON answers with a JSON object that no cache may keep (RFC 6749 §5.1).
func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	w.WriteHeader(status)
	_, _ = w.Write(body) // who does not read it has gone
}

// readForm reads the body of a POST as application/x-www-form-urlencoded. Of the parameters that are named each may occur
// once, and none of them in the URL, which stands in logs; others are ignored (RFC 6749 §3.1 and §3.2).
func readForm(w http.ResponseWriter, r *http.Request, names ...string) (url.Values, error) {
	if err := onlyPost(w, r); err != nil {
		return nil, err
	}
	data, err := readBody(w, r, "application/x-www-form-urlencoded")
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(data))
	if err != nil {
		return nil, invalidRequest("the body is no form")
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil { // a parameter may hide where it is not well-formed
		return nil, invalidRequest("the query in the URL is malformed")
	}
	for _, name := range names {
		switch {
		case query.Has(name):
			return nil, invalidRequest("%s stands in the URL; it belongs in the body", name)
		case len(form[name]) > 1:
			return nil, invalidRequest("%s occurs %d times", name, len(form[name]))
		}
	}
	return form, nil
}

func onlyPost(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		return nil
	}
	w.Header().Set("Allow", http.MethodPost)
	return &protocolError{http.StatusMethodNotAllowed, "invalid_request", "the method is not POST"}
}

// readBody reads a body of this media type and of [maxBody] at most.
func readBody(w http.ResponseWriter, r *http.Request, mediaType string) ([]byte, error) {
	is, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, named := parameters["charset"]
	if err != nil || is != mediaType || named && !strings.EqualFold(charset, "utf-8") {
		return nil, invalidRequest("the body is not %s", mediaType)
	}
	if r.Body == nil { // as it may be where no server of net/http calls
		return nil, nil
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, &protocolError{http.StatusRequestEntityTooLarge, "invalid_request", fmt.Sprintf("the body is larger than %d bytes", maxBody)}
	}
	if err != nil {
		return nil, invalidRequest("the body cannot be read")
	}
	return data, nil
}
