package revokehttp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// ReturnParameter is the parameter with which [WithSignInPage] hands the sign-in page the path that
// was asked for. The page does not redirect to it before [LocalPath] has checked it.
const ReturnParameter = "return_to"

// maxReturnPath is the maximum length of the path in ReturnParameter, in bytes: it stands encoded
// in a URL. A longer one is left out.
const maxReturnPath = 2048

// WithSignInPage answers a navigation of a browser that would get 401 with 303 to the app's sign-in
// page. path is of this origin, such as "/sign-in", and may have a query. If the method was GET or
// HEAD, the page gets the path and query that were asked for in [ReturnParameter]. The page itself
// must not stand behind the guard.
//
// A navigation has "Sec-Fetch-Mode: navigate"; without Sec-Fetch-Mode, as over plain HTTP,
// its Accept names text/html. A request with a Bearer header is none, and neither are a
// fetch of a script and a prefetch: they get 401. 400, 403 and 503 are answered as without
// this option: signing in would not help. With [WithErrorHandler] it applies where the
// handler calls [Guard.Refuse]. Default: every client gets 401.
func WithSignInPage(path string) Option {
	return optionOf(newGuard, "WithSignInPage", func(o *options) error {
		if err := checkLocalPath(path); err != nil {
			return fmt.Errorf("sign-in page %q: %w", path, err)
		}
		page, err := url.Parse(path)
		if err != nil {
			return fmt.Errorf("sign-in page: %w", err)
		}
		if page.Query().Has(ReturnParameter) {
			return fmt.Errorf("sign-in page %q has the parameter %s already", path, ReturnParameter)
		}
		o.signIn = page
		return nil
	})
}

// LocalPath returns text if it is a path of this origin, with or without a query and a fragment,
// and fallback otherwise. A sign-in handler calls it before it redirects to the path in
// [ReturnParameter]: an open redirect would send users who have just signed in to another site.
//
// A path begins with one slash and is of printable ASCII. It has neither a backslash, a control
// character, an empty segment nor a dot segment, encoded ones included: browsers, proxies and
// scripts take some of these for the beginning of a host.
func LocalPath(text, fallback string) string {
	if checkLocalPath(text) != nil {
		return fallback
	}
	return text
}

// checkLocalPath reports why a text is no path of this origin.
func checkLocalPath(text string) error {
	if !strings.HasPrefix(text, "/") {
		return errors.New("it does not begin with /")
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' || text[i] == '\\' {
			return errors.New("it has a character that must be percent-encoded")
		}
	}
	path, _, _ := strings.Cut(text, "#")
	path, _, _ = strings.Cut(path, "?")
	if err := checkDecodedPath(decodeAll(path)); err != nil {
		return err
	}
	if _, err := url.Parse(text); err != nil {
		return errors.New("it is no URL")
	}
	return nil
}

// decodeAll decodes every escape, also one that another one makes: each proxy on the way, or the
// reader of a parameter, may decode once more. A text that is no escape stays as it is, as many
// decoders leave it. One pass does it, since slashes, dots and backslashes that a decoding makes
// are not changed by the next one.
func decodeAll(path string) string {
	decoded := make([]byte, 0, len(path))
	for i := range len(path) {
		decoded = append(decoded, path[i])
		for n := len(decoded); n >= 3 && decoded[n-3] == '%'; n = len(decoded) {
			value, err := strconv.ParseUint(string(decoded[n-2:]), 16, 8)
			if err != nil {
				break
			}
			decoded = append(decoded[:n-3], byte(value))
		}
	}
	return string(decoded)
}

func checkDecodedPath(path string) error {
	isControl := func(r rune) bool { return r < ' ' || r == '\x7f' }
	isDots := func(segment string) bool { return segment == "." || segment == ".." }
	switch {
	case strings.Contains(path, "//"):
		return errors.New("it has an empty segment")
	case strings.Contains(path, `\`), strings.ContainsFunc(path, isControl):
		return errors.New("it has a backslash or a control character")
	case slices.ContainsFunc(strings.Split(path, "/"), isDots):
		return errors.New("it has a dot segment")
	}
	return nil
}

// isNavigation reports whether a browser shows the answer as a page.
func isNavigation(r *http.Request) bool {
	if isPrefetch(r) {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	for _, accept := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(accept, ",") {
			mediaType, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.Trim(mediaType, " \t"), "text/html") {
				return true
			}
		}
	}
	return false
}

// isPrefetch reports whether a browser asks before the user does (W3C Fetch Metadata,
// Sec-Purpose).
func isPrefetch(r *http.Request) bool {
	for purpose := range strings.SplitSeq(r.Header.Get("Sec-Purpose"), ";") {
		if strings.EqualFold(strings.Trim(purpose, " \t"), "prefetch") {
			return true
		}
	}
	return false
}

// signInPage returns the URL of the sign-in page for a request that is refused with 401, and "" if
// the answer is not to be a redirect.
func (g *Guard) signInPage(r *http.Request) string {
	if g.signIn == nil || !isNavigation(r) || presentsBearer(r) {
		return ""
	}
	// The router may have taken a prefix from r.URL.
	asked := r.RequestURI
	if asked == "" {
		asked = r.URL.RequestURI()
	}
	if path, _, _ := strings.Cut(asked, "?"); path == g.signIn.EscapedPath() {
		return ""
	}
	page := *g.signIn
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		if asked = LocalPath(asked, ""); asked != "" && len(asked) <= maxReturnPath {
			query := page.Query()
			query.Set(ReturnParameter, asked)
			page.RawQuery = query.Encode()
		}
	}
	return page.String()
}

func presentsBearer(r *http.Request) bool {
	return slices.ContainsFunc(r.Header.Values("Authorization"), func(header string) bool {
		_, isBearer, _ := parseBearer(header)
		return isBearer
	})
}

// seeOther answers 303, so that the browser asks for the location with GET (RFC 9110 §15.4.4).
func seeOther(w http.ResponseWriter, location string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", location)
	w.WriteHeader(http.StatusSeeOther)
}
