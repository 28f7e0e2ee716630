package revokehttp_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pgrevoke/revoke/internal/testkit"
)

var (
	bearerScheme = regexp.MustCompile("(?s)^[ \t]*(?i:bearer)([^!#$%&'*+.^_`|~0-9A-Za-z-].*)?$")
	bearerToken  = regexp.MustCompile(`^[ \t]*(?i:bearer) +([A-Za-z0-9._~+/-]+=*)[ \t]*$`)
)

// FuzzAuthorizationHeader passes on a request only if it presents a good token as RFC 6750 §2.1
// defines, and tells a token that is presented wrongly from one that is not accepted. "%" in a
// header stands for the good token.
func FuzzAuthorizationHeader(f *testing.F) {
	for _, header := range []string{
		"", "Bearer", "Bearer ", "Bearer x", "bearer   %  ", "Bearer x y", "Bearer x, Basic YTpi", "Basic YTpi", "\tBEARER %\t",
		"Bearer\t%", "Bearer %=", "Bearer =", "Bearer é", "%", "Bearerx %", "Bearer \x00", "Bearer %\n",
	} {
		f.Add(header)
	}
	good := mint(f, "1", "s", time.Hour)
	f.Fuzz(func(t *testing.T, header string) {
		header = strings.ReplaceAll(header, "%", good)
		s := newService(t)
		r := testkit.Request("GET", "/")
		r.Header["Authorization"] = []string{header}
		match := bearerToken.FindStringSubmatch(header)
		switch w := testkit.Serve(s.handler, r); {
		case match != nil && match[1] == good:
			testkit.WantAnswer(t, w, 200, "")
		case match != nil:
			testkit.WantAnswer(t, w, 401, invalidToken)
		case bearerScheme.MatchString(strings.TrimRight(header, " \t")):
			testkit.WantAnswer(t, w, 400, badRequest)
		default:
			testkit.WantAnswer(t, w, 401, nothingSent)
		}
		if (s.calls == 1) != (match != nil && match[1] == good) {
			t.Errorf("%q: the handler was called %d times", header, s.calls)
		}
	})
}
