package apps

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"go/scanner"
	"go/token"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/integration/apps/chipgx"
	"github.com/pgrevoke/revoke/integration/apps/gormgin"
	"github.com/pgrevoke/revoke/integration/apps/keycloak"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	pgserver.Main(m)
}

// client calls an app, with a Bearer token or a cookie.
type client struct {
	app    http.Handler
	bearer string
	cookie *http.Cookie
}

// call sends the form, and returns the answer.
func (c *client) call(t *testing.T, method, path string, form ...string) *httptest.ResponseRecorder {
	t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.bearer != "" {
		r.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	if c.cookie != nil {
		r.AddCookie(c.cookie)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	w := httptest.NewRecorder()
	c.app.ServeHTTP(w, r)
	return w
}

// want calls, and fails the test if the status is another one.
func (c *client) want(t *testing.T, status int, method, path string, form ...string) *httptest.ResponseRecorder {
	t.Helper()
	w := c.call(t, method, path, form...)
	if w.Code != status {
		t.Fatalf("%s %s = %d %q, want %d", method, path, w.Code, w.Body, status)
	}
	return w
}

func emptyPool(t *testing.T) *pgxpool.Pool {
	t.Helper()
	return pgserver.Pool(t, pgserver.EmptyDatabase(t))
}

// TestGORMAndGin signs in, refreshes, logs out and changes the password.
func TestGORMAndGin(t *testing.T) {
	t.Parallel()
	app := testkit.Value(gormgin.New(t.Context(), emptyPool(t), testkit.TestKeys().RSA))(t)
	t.Cleanup(func() { testkit.Must(t, app.Close()) })
	guest := &client{app: app}
	credentials := []string{"email", "ada@shop.example", "password", "old"}
	guest.want(t, http.StatusNoContent, "POST", "/sign-up", credentials...)
	guest.want(t, http.StatusUnauthorized, "GET", "/me")
	guest.want(t, http.StatusUnauthorized, "POST", "/sign-in", "email", "ada@shop.example", "password", "wrong")
	guest.want(t, http.StatusUnauthorized, "POST", "/sign-in", "email", "bob@shop.example", "password", "old")

	type pair struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	read := func(w *httptest.ResponseRecorder) (signed pair, with *client) {
		testkit.Must(t, json.Unmarshal(w.Body.Bytes(), &signed))
		return signed, &client{app: app, bearer: signed.Access}
	}
	signIn := func(form ...string) (pair, *client) {
		return read(guest.want(t, http.StatusOK, "POST", "/sign-in", form...))
	}

	first, ada := signIn(credentials...)
	if w := ada.want(t, http.StatusOK, "GET", "/me"); w.Body.String() != "ada@shop.example" {
		t.Errorf("me = %q", w.Body)
	}
	(&client{app: app, bearer: first.Refresh}).want(t, http.StatusUnauthorized, "GET", "/me")

	// A refresh token is spent once, and an access token is none.
	second, refreshed := read(guest.want(t, http.StatusOK, "POST", "/refresh", "refresh_token", first.Refresh))
	refreshed.want(t, http.StatusOK, "GET", "/me")
	guest.want(t, http.StatusUnauthorized, "POST", "/refresh", "refresh_token", first.Refresh)
	guest.want(t, http.StatusUnauthorized, "POST", "/refresh", "refresh_token", first.Access)

	// A logout ends the session: the other access token and the refresh token too.
	otherPair, other := signIn(credentials...)
	refreshed.want(t, http.StatusNoContent, "POST", "/logout")
	refreshed.want(t, http.StatusUnauthorized, "GET", "/me")
	ada.want(t, http.StatusUnauthorized, "GET", "/me")
	guest.want(t, http.StatusUnauthorized, "POST", "/refresh", "refresh_token", second.Refresh)
	other.want(t, http.StatusOK, "GET", "/me")

	// A new password ends every session. The user signs in again at once.
	other.want(t, http.StatusForbidden, "POST", "/password", "old", "wrong", "password", "new")
	other.want(t, http.StatusOK, "GET", "/me")
	other.want(t, http.StatusNoContent, "POST", "/password", "old", "old", "password", "new")
	other.want(t, http.StatusUnauthorized, "GET", "/me")
	guest.want(t, http.StatusUnauthorized, "POST", "/refresh", "refresh_token", otherPair.Refresh)
	guest.want(t, http.StatusUnauthorized, "POST", "/sign-in", credentials...)
	renewed, ada := signIn("email", "ada@shop.example", "password", "new")
	ada.want(t, http.StatusOK, "GET", "/me")
	_, ada = read(guest.want(t, http.StatusOK, "POST", "/refresh", "refresh_token", renewed.Refresh))
	ada.want(t, http.StatusOK, "GET", "/me")
}

// TestChiAndMirrors uses two replicas: what one of them revokes, it refuses at once, and the
// other within the bound of its mirror.
func TestChiAndMirrors(t *testing.T) {
	t.Parallel()
	pool := emptyPool(t)
	replicas := make([]*client, 2)
	for i := range replicas {
		app := testkit.Value(chipgx.New(t.Context(), pool, testkit.TestKeys().EC))(t)
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- app.Run(ctx) }()
		t.Cleanup(func() {
			stop()
			testkit.Must(t, <-ended)
		})
		replicas[i] = &client{app: app}
	}
	credentials := []string{"email", "ada@club.example", "password", "old"}
	replicas[0].want(t, http.StatusNoContent, "POST", "/sign-up", credentials...)
	replicas[0].want(t, http.StatusUnauthorized, "GET", "/me")
	replicas[0].want(t, http.StatusUnauthorized, "POST", "/sign-in", "email", "bob@club.example", "password", "old")

	signIn := func(form ...string) (here, there *client) {
		cookies := replicas[0].want(t, http.StatusNoContent, "POST", "/sign-in", form...).Result().Cookies()
		if len(cookies) != 1 || cookies[0].Name != "__Host-session" {
			t.Fatalf("the cookies are %v", cookies)
		}
		return &client{app: replicas[0].app, cookie: cookies[0]}, &client{app: replicas[1].app, cookie: cookies[0]}
	}
	wantRefused := func(here, there *client) {
		here.want(t, http.StatusUnauthorized, "GET", "/me")
		testkit.Eventually(t, "the other replica refuses", func() bool {
			return there.call(t, "GET", "/me").Code == http.StatusUnauthorized
		})
	}

	here, there := signIn(credentials...)
	otherHere, otherThere := signIn(credentials...)
	here.want(t, http.StatusOK, "GET", "/me")
	there.want(t, http.StatusOK, "GET", "/me")
	here.want(t, http.StatusNoContent, "POST", "/logout")
	wantRefused(here, there)

	otherThere.want(t, http.StatusOK, "GET", "/me")
	otherHere.want(t, http.StatusForbidden, "POST", "/password", "old", "wrong", "password", "new")
	w := otherHere.want(t, http.StatusNoContent, "POST", "/password", "old", "old", "password", "new")
	if cookies := w.Result().Cookies(); len(cookies) != 1 || cookies[0].MaxAge >= 0 {
		t.Errorf("the password change sets %v, and does not delete the cookie", cookies)
	}
	wantRefused(otherHere, otherThere)
	replicas[0].want(t, http.StatusUnauthorized, "POST", "/sign-in", credentials...)
	here, there = signIn("email", "ada@club.example", "password", "new")
	here.want(t, http.StatusOK, "GET", "/me")
	there.want(t, http.StatusOK, "GET", "/me")
}

// realm is an identity provider with tokens of the shape of Keycloak's.
type realm struct {
	*httptest.Server
}

func newRealm(t *testing.T) realm {
	t.Helper()
	public := &testkit.TestKeys().RSA.PublicKey
	encode := base64.RawURLEncoding.EncodeToString
	mux := http.NewServeMux()
	mux.HandleFunc("GET /realms/shop/protocol/openid-connect/certs", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kid":"one","kty":"RSA","alg":"RS256","use":"sig","n":%q,"e":%q}]}`,
			encode(public.N.Bytes()), encode(big.NewInt(int64(public.E)).Bytes()))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return realm{server}
}

// issuer is the iss of the realm's tokens.
func (r realm) issuer() string { return r.URL + "/realms/shop" }

// sign returns a token of the realm with these claims.
func (r realm) sign(t *testing.T, typ string, claims jwt.MapClaims) string {
	t.Helper()
	claims["iss"] = r.issuer()
	signed := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	signed.Header["kid"], signed.Header["typ"] = "one", typ
	return testkit.Value(signed.SignedString(testkit.TestKeys().RSA))(t)
}

// access returns an access token, stamped at iat.
func (r realm) access(t *testing.T, sub, sid string, iat time.Time) string {
	t.Helper()
	return r.sign(t, "JWT", jwt.MapClaims{
		"exp": iat.Add(5 * time.Minute).Unix(), "iat": iat.Unix(), "auth_time": iat.Unix(),
		"jti": fmt.Sprintf("onrtac:%s-%d", sid, iat.UnixNano()), "aud": []string{"orders", "account"}, "sub": sub, "typ": "Bearer",
		"azp": "web", "sid": sid, "acr": "1", "realm_access": map[string]any{"roles": []string{"offline_access"}},
		"scope": "openid email", "email_verified": true, "preferred_username": "ada",
	})
}

// logout delivers a logout token of the client.
func (r realm) logout(t *testing.T, app http.Handler, claims jwt.MapClaims) {
	t.Helper()
	now := time.Now()
	claims["aud"], claims["iat"], claims["exp"], claims["jti"] = "web", now.Unix(), now.Add(2*time.Minute).Unix(), now.String()
	claims["typ"] = "Logout"
	claims["events"] = map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
	(&client{app: app}).want(t, http.StatusOK, "POST", "/backchannel-logout", "logout_token", r.sign(t, "logout+jwt", claims))
}

// TestKeycloak logs out by the sid of one session and by user, which end all that the user has, and
// closes an account. A token of another audience is refused.
func TestKeycloak(t *testing.T) {
	t.Parallel()
	provider := newRealm(t)
	app := testkit.Value(keycloak.New(t.Context(), emptyPool(t), provider.issuer(), "orders", "web"))(t)
	now := time.Now()
	signIn := func(sub, sid string) *client {
		return &client{app: app, bearer: provider.access(t, sub, sid, now.Add(-time.Minute))}
	}
	(&client{app: app}).want(t, http.StatusUnauthorized, "GET", "/orders")
	foreign := provider.sign(t, "JWT", jwt.MapClaims{
		"exp": now.Add(time.Minute).Unix(), "iat": now.Unix(), "jti": "1", "aud": "account", "sub": "ada", "sid": "one",
	})
	(&client{app: app, bearer: foreign}).want(t, http.StatusUnauthorized, "GET", "/orders")

	laptop, phone, tablet, bob := signIn("ada", "laptop"), signIn("ada", "phone"), signIn("ada", "tablet"), signIn("bob", "pc")
	laptop.want(t, http.StatusOK, "GET", "/orders")
	provider.logout(t, app, jwt.MapClaims{"sub": "ada", "sid": "laptop"})
	laptop.want(t, http.StatusUnauthorized, "GET", "/orders")
	signIn("ada", "laptop").want(t, http.StatusUnauthorized, "GET", "/orders")
	phone.want(t, http.StatusUnauthorized, "GET", "/orders")
	tablet.want(t, http.StatusUnauthorized, "GET", "/orders")
	bob.want(t, http.StatusOK, "GET", "/orders")

	// The password of another user changes at the provider, which names no session.
	eve := signIn("eve", "phone")
	eve.want(t, http.StatusOK, "GET", "/orders")
	provider.logout(t, app, jwt.MapClaims{"sub": "eve"})
	eve.want(t, http.StatusUnauthorized, "GET", "/orders")
	bob.want(t, http.StatusOK, "GET", "/orders")

	// A sign-in within 5 to 6 s has to be repeated. These tokens are stamped ahead by what the
	// validator allows, so that one is accepted in the next second.
	testkit.Eventually(t, "a token of a new sign-in is accepted", func() bool {
		again := &client{app: app, bearer: provider.access(t, "ada", "again", time.Now().Add(revoke.DefaultIssuerSkew))}
		return again.call(t, "GET", "/orders").Code == http.StatusOK
	})

	signIn("bob", "admin").want(t, http.StatusNoContent, "DELETE", "/customers/bob")
	bob.want(t, http.StatusUnauthorized, "GET", "/orders")
}

// TestLines counts the lines of each app that name a package of revoke, or call what came from
// one: the imports, the construction and the calls.
func TestLines(t *testing.T) {
	t.Parallel()
	own := regexp.MustCompile(`pgrevoke/|\b(revoke|revokehttp|mirror|migrations|signals|jwks)\.[A-Z]|` +
		`\b(store|validator|guard|keys|sweeper|access|refresh|mirror)\.[A-Z]`)
	for _, row := range []struct {
		app  string
		want int
	}{{"gormgin", 29}, {"chipgx", 32}, {"keycloak", 19}} {
		t.Run(row.app, func(t *testing.T) {
			t.Parallel()
			source := testkit.Value(os.ReadFile(row.app + "/app.go"))(t)
			code, uses := 0, 0
			for _, line := range codeLines(source) {
				code++
				if own.MatchString(line) {
					uses++
					t.Log(line)
				}
			}
			if uses != row.want {
				t.Errorf("%d of the %d lines of the app are about revocation, want %d", uses, code, row.want)
			}
		})
	}
}

// codeLines returns the lines on which a token of Go begins.
func codeLines(source []byte) (lines []string) {
	files := token.NewFileSet()
	file := files.AddFile("", -1, len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, 0) // without comments
	all := strings.Split(string(source), "\n")
	last := 0
	for {
		pos, tok, _ := s.Scan()
		if tok == token.EOF {
			return lines
		}
		if line := file.Line(pos); line != last && tok != token.SEMICOLON {
			lines = append(lines, strings.TrimSpace(all[line-1]))
			last = line
		}
	}
}
