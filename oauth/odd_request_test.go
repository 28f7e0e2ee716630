package oauth_test

import (
	"mime/multipart"
	"strings"
	"testing"

	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/oauth"
)

func TestOddRequests(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	t.Run("revocation", func(t *testing.T) { testkit.OddRequests(t, s.revocation) })
	t.Run("introspection", func(t *testing.T) {
		testkit.OddRequests(t, testkit.Value(oauth.NewIntrospection(authenticate, kindsOver(t, s.store)))(t))
	})
}

// TestTokenHidesInTheURL refuses a query that cannot be parsed, in which a token may be written
// to logs.
func TestTokenHidesInTheURL(t *testing.T) {
	t.Parallel()
	token := sign(t, accessType, claims("1", nil))
	for _, c := range []struct {
		query  string
		status int
	}{
		{"token=x", 400}, {"token=%zz", 400}, {"a;token=x", 400}, {"a=1;token=x", 400}, {"tok%65n=x", 400}, {"client_secret=%", 400},
		{"tenant=a%20b&other", 200},
	} {
		t.Run(c.query, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			r := byWeb(token)
			r.URL.RawQuery = c.query
			if w := testkit.Serve(s.revocation, r); c.status == 200 {
				wantRevoked(t, w)
			} else {
				wantFailure(t, w, 400, "invalid_request")
			}
			if accepted := s.accepts(claims("1", nil)); accepted != (c.status == 400) {
				t.Errorf("the token is accepted: %v", accepted)
			}
		})
	}
}

// TestMultipart refuses the other form of HTML, which these protocols do not have (RFC 7009
// §2.1, RFC 7662 §2.1).
func TestMultipart(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var body strings.Builder
	parts := multipart.NewWriter(&body)
	testkit.Must(t, parts.WriteField("token", sign(t, accessType, claims("1", nil))))
	testkit.Must(t, parts.Close())
	r := postBody(by("web"), body.String())
	r.Header.Set("Content-Type", parts.FormDataContentType())
	wantFailure(t, testkit.Serve(s.revocation, r), 400, "invalid_request")
	if !s.accepts(claims("1", nil)) {
		t.Error("the token is revoked")
	}
}
