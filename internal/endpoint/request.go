package endpoint

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// maxBody is the maximum size of a request's body, in bytes: a token, two identifiers and some
// room.
const maxBody = 64 << 10

const formType = "application/x-www-form-urlencoded"

// ReadForm reads the body of a POST as application/x-www-form-urlencoded. Parameters of the type,
// such as a charset, are ignored. Each parameter in
// names may occur once in the body. None of them may stand in the URL, which is written to
// logs. Other parameters are ignored (RFC 6749 §3.1 and §3.2). The error is an [*Error].
func ReadForm(w http.ResponseWriter, r *http.Request, names ...string) (url.Values, error) {
	if err := OnlyPost(w, r); err != nil {
		return nil, err
	}
	// The registered type has no parameters, and some clients send a charset.
	got, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.Trim(got, " \t"), formType) {
		return nil, InvalidRequest("the body is not %s", formType)
	}
	data, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(data))
	if err != nil {
		return nil, InvalidRequest("the body is no form")
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil { // a malformed part could contain one of the parameters
		return nil, InvalidRequest("the query in the URL is malformed")
	}
	for _, name := range names {
		switch {
		case query.Has(name):
			return nil, InvalidRequest("%s is in the URL; it belongs in the body", name)
		case len(form[name]) > 1:
			return nil, InvalidRequest("%s occurs %d times", name, len(form[name]))
		}
	}
	return form, nil
}

// OnlyPost refuses a method other than POST with 405, and sets Allow. The error is an [*Error].
func OnlyPost(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		return nil
	}
	w.Header().Set("Allow", http.MethodPost)
	return &Error{http.StatusMethodNotAllowed, "invalid_request", "the method is not POST"}
}

// ReadJSON reads a body of JSON and of at most 64 KiB, in UTF-8 (RFC 8259 §8.1). The error is an
// [*Error].
func ReadJSON(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	const mediaType = "application/json"
	got, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset, named := parameters["charset"]
	if err != nil || got != mediaType || named && !strings.EqualFold(charset, "utf-8") {
		return nil, InvalidRequest("the body is not %s", mediaType)
	}
	return readBody(w, r)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Body == nil { // a server of net/http sets it, another caller of ServeHTTP may not
		return nil, nil
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, &Error{
			http.StatusRequestEntityTooLarge, "invalid_request",
			fmt.Sprintf("the body is larger than %d bytes", maxBody),
		}
	}
	if err != nil {
		return nil, InvalidRequest("the body cannot be read")
	}
	return data, nil
}
