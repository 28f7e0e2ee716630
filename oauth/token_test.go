package oauth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/oauth"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/session"
)

// fakeSessions answers every refresh alike, and keeps what it was asked.
type fakeSessions struct {
	tokens  session.Tokens
	err     error
	asked   []string
	devices []session.Device
}

func (f *fakeSessions) Refresh(ctx context.Context, token string, device session.Device) (session.Tokens, error) {
	f.asked, f.devices = append(f.asked, token), append(f.devices, device)
	if err := ctx.Err(); err != nil {
		return session.Tokens{}, fmt.Errorf("%w: %w", revoke.ErrUnavailable, err)
	}
	return f.tokens, f.err
}

func (f *fakeSessions) endpoint(tb testing.TB, opts ...oauth.Option) http.Handler {
	tb.Helper()
	return testkit.Value(oauth.NewToken(f, authenticate, opts...))(tb)
}

// refreshing returns a request of a client that presents a refresh token.
func refreshing(client, token string, pairs ...string) *http.Request {
	return post(by(client), append([]string{"grant_type", "refresh_token", "refresh_token", token}, pairs...)...)
}

// answered returns the members of an answer of 200.
func answered(tb testing.TB, w *httptest.ResponseRecorder) map[string]any {
	tb.Helper()
	var body map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != 200 || w.Header().Get("Cache-Control") != "no-store" ||
		w.Header().Get("Content-Type") != "application/json" {
		tb.Fatalf("%d %s with %v", w.Code, w.Body, w.Header())
	}
	return body
}

// TestRFC6749Section5_1 has the members of a successful answer, and no others.
func TestRFC6749Section5_1(t *testing.T) {
	t.Parallel()
	scoped := func(value any) string { return sign(t, accessType, claims("1", jwt.MapClaims{"scope": value})) }
	for _, c := range []struct {
		name      string
		access    string
		refresh   string
		expiresIn time.Duration
		seconds   float64
		scope     any
	}{
		{"rotated", "a.b.c", "r", 10 * time.Minute, 600, nil},
		{"without a refresh token", "a.b.c", "", 10 * time.Minute, 600, nil},
		{"about to expire", "a.b.c", "r", 0, 1, nil},
		{"expired", "a.b.c", "r", -time.Minute, 1, nil},
		{"scope", scoped("read write"), "r", 10 * time.Minute, 600, "read write"},
		{"scope as an array", scoped([]string{"read", "write"}), "r", 10 * time.Minute, 600, "read write"},
		{"scope that is none", scoped(1), "r", 10 * time.Minute, 600, nil},
		{"no scope", sign(t, accessType, claims("1", nil)), "r", 10 * time.Minute, 600, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := &fakeSessions{tokens: session.Tokens{Access: c.access, Refresh: c.refresh, AccessExpiresAt: time.Now().Add(c.expiresIn)}}
			body := answered(t, testkit.Serve(f.endpoint(t), refreshing("web", "old", "scope", "read admin")))
			seconds, _ := body["expires_in"].(float64)
			if body["access_token"] != c.access || body["token_type"] != "Bearer" || seconds > c.seconds || seconds < c.seconds-5 || seconds < 1 || body["scope"] != c.scope {
				t.Errorf("%v", body)
			}
			if token, has := body["refresh_token"]; has != (c.refresh != "") || has && token != c.refresh {
				t.Errorf("%v, want the refresh token %q", body, c.refresh)
			}
			for name := range body {
				if !strings.Contains(" access_token token_type expires_in refresh_token scope ", " "+name+" ") {
					t.Errorf("%v has %s", body, name)
				}
			}
		})
	}
}

// TestRFC6749Section5_2 refuses with the codes of the RFC, and asks the sessions about nothing
// unless client and form are right.
func TestRFC6749Section5_2(t *testing.T) {
	t.Parallel()
	const grant, text = "grant_type", "refresh_token"
	get := refreshing("web", "r")
	get.Method = http.MethodGet
	inURL := refreshing("web", "r")
	inURL.URL.RawQuery = "refresh_token=r"
	for _, c := range []struct {
		name    string
		request *http.Request
		status  int
		code    string
	}{
		{"no grant type", post(by("web"), text, "r"), 400, "invalid_request"},
		{"empty grant type", post(by("web"), text, "r", grant, ""), 400, "invalid_request"},
		{"grant type twice", refreshing("web", "r", grant, text), 400, "invalid_request"},
		{"another grant type", post(by("web"), grant, "authorization_code", "code", "x"), 400, "unsupported_grant_type"},
		{"password", post(by("web"), grant, "password", text, "r"), 400, "unsupported_grant_type"},
		{"no refresh token", post(by("web"), grant, text), 400, "invalid_request"},
		{"empty refresh token", refreshing("web", ""), 400, "invalid_request"},
		{"refresh token twice", refreshing("web", "r", text, "r"), 400, "invalid_request"},
		{"scope twice", refreshing("web", "r", "scope", "a", "scope", "b"), 400, "invalid_request"},
		{"refresh token in the URL", inURL, 400, "invalid_request"},
		{"GET", get, 405, "invalid_request"},
		{"JSON", testkit.Post("application/json", `{}`), 400, "invalid_request"},
		{"no client", post("", grant, text, text, "r"), 401, "invalid_client"},
		{"unknown client", refreshing("nobody", "r"), 401, "invalid_client"},
		{"wrong secret", post(basic("web", "x"), grant, text, text, "r"), 401, "invalid_client"},
		{"client without its secret", post("", grant, text, text, "r", "client_id", "web"), 401, "invalid_client"},
		{"wrong client before a wrong grant", post(basic("web", "x"), grant, "x"), 401, "invalid_client"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var told reports
			f := &fakeSessions{}
			wantFailure(t, testkit.Serve(f.endpoint(t, told.option()), c.request), c.status, c.code)
			if len(f.asked) != 0 || len(told) != 1 {
				t.Errorf("asked about %q, reported %v", f.asked, told)
			}
		})
	}
}

// TestTokenClients lets each client refresh as it authenticates, and names it to the sessions.
func TestTokenClients(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		request *http.Request
		client  string
	}{
		{"Basic", refreshing("web", "r"), "web"},
		{"body", post("", "grant_type", "refresh_token", "refresh_token", "r", "client_id", "web", "client_secret", secrets["web"]), "web"},
		{"public", post("", "grant_type", "refresh_token", "refresh_token", "r", "client_id", "spa"), "spa"},
		{"odd id", refreshing("an:id", "r"), "an:id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := &fakeSessions{}
			c.request.Header.Set("User-Agent", "client/1")
			c.request.RemoteAddr = "192.0.2.7:1"
			answered(t, testkit.Serve(f.endpoint(t), c.request))
			want := session.Device{Client: c.client, UserAgent: "client/1", Address: "192.0.2.7"}
			if len(f.asked) != 1 || f.asked[0] != "r" || fmt.Sprint(f.devices[0]) != fmt.Sprint(want) {
				t.Errorf("asked about %q of %+v", f.asked, f.devices)
			}
			device := oauth.WithDevice(func(*http.Request) session.Device { return session.Device{Client: "ignored", Label: "a label"} })
			answered(t, testkit.Serve(f.endpoint(t, device), refreshing("web", "r")))
			if got := f.devices[1]; got.Client != "web" || got.Label != "a label" {
				t.Errorf("the device is %+v", got)
			}
		})
	}
}

// TestTokenRefuses tells a client that its token is not accepted, and not why; and no
// client that it is not where that is unknown.
func TestTokenRefuses(t *testing.T) {
	t.Parallel()
	refused := func(reason session.Reason) error {
		return &session.RefreshError{Reason: reason, Session: revoke.Session{Issuer: testkit.Issuer, ID: "s"}, User: revoke.User{Issuer: testkit.Issuer, Subject: "ada"}}
	}
	down := errors.New("connection refused")
	var first string
	for _, c := range []struct {
		name   string
		err    error
		status int
		code   string
		report error
	}{
		{"replayed", refused(session.Replayed), 400, "invalid_grant", revoke.ErrRevoked},
		{"ended", refused(session.Ended), 400, "invalid_grant", revoke.ErrRevoked},
		{"idle", refused(session.Idle), 400, "invalid_grant", revoke.ErrRevoked},
		{"over", refused(session.Over), 400, "invalid_grant", revoke.ErrRevoked},
		{"revoked", refused(session.Revoked), 400, "invalid_grant", revoke.ErrRevoked},
		{"unknown", refused(session.Unknown), 400, "invalid_grant", revoke.ErrInvalidToken},
		{"invalid", refused(session.Invalid), 400, "invalid_grant", revoke.ErrInvalidToken},
		{"unavailable", refused(session.Unavailable), 503, "temporarily_unavailable", revoke.ErrUnavailable},
		{"signer fails", down, 503, "temporarily_unavailable", down},
		{"deadline", context.DeadlineExceeded, 503, "temporarily_unavailable", context.DeadlineExceeded},
		{"unavailable beside revoked", fmt.Errorf("%w: %w", revoke.ErrUnavailable, revoke.ErrRevoked), 503, "temporarily_unavailable", revoke.ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			logged := revokehttp.LogTo(slog.New(slog.NewTextHandler(&log, nil)))
			var told reports
			w := testkit.Serve((&fakeSessions{err: c.err}).endpoint(t, oauth.WithReport(func(r *http.Request, err error) {
				told = append(told, err)
				logged(r, err)
			})), refreshing("web", "a-refresh-token"))
			wantFailure(t, w, c.status, c.code)
			told.wantLast(t, c.report)
			if strings.Contains(log.String()+w.Body.String(), "a-refresh-token") {
				t.Errorf("the token is in %s or %s", log.String(), w.Body)
			}
			if known := (*session.RefreshError)(nil); errors.As(c.err, &known) && !strings.Contains(log.String(), "sub=ada") {
				t.Errorf("the log does not name the user: %s", log.String())
			}
			if c.status == 400 {
				if first == "" {
					first = w.Body.String()
				}
				if w.Body.String() != first {
					t.Errorf("%s tells more than %s", w.Body, first)
				}
			}
		})
	}
	t.Run("client has disconnected", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if w := testkit.Serve((&fakeSessions{}).endpoint(t), refreshing("web", "r").WithContext(ctx)); w.Code != 499 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// waiting is a Refresher of a store that does not answer.
type waiting struct{}

func (waiting) Refresh(ctx context.Context, _ string, _ session.Device) (session.Tokens, error) {
	<-ctx.Done()
	return session.Tokens{}, fmt.Errorf("%w: %w", revoke.ErrUnavailable, ctx.Err())
}

// TestTokenWaits answers 503 at the deadline of the server.
func TestTokenWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		endpoint := testkit.Value(oauth.NewToken(waiting{}, authenticate))(t)
		wantFailure(t, testkit.Serve(endpoint, refreshing("web", "r").WithContext(ctx)), 503, "temporarily_unavailable")
	})
}

// TestNewTokenRefuses names what is wrong.
func TestNewTokenRefuses(t *testing.T) {
	t.Parallel()
	good := &fakeSessions{}
	kinds := kindsOver(t, newServer(t).store)
	for _, c := range []struct {
		name         string
		sessions     oauth.Refresher
		authenticate oauth.Authenticator
		opts         []oauth.Option
	}{
		{"no sessions", nil, authenticate, nil},
		{"nil sessions", (*session.Sessions)(nil), authenticate, nil},
		{"no clients", good, nil, nil},
		{"no function", good, oauth.AuthenticateClient(nil), nil},
		{"nil option", good, authenticate, []oauth.Option{nil}},
		{"no device", good, authenticate, []oauth.Option{oauth.WithDevice(nil)}},
		{"option of a revocation", good, authenticate, []oauth.Option{oauth.WithWholeSession()}},
		{"kinds of a revocation", good, authenticate, []oauth.Option{oauth.WithUnsupported(kinds...)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := oauth.NewToken(c.sessions, c.authenticate, c.opts...); err == nil || !strings.HasPrefix(err.Error(), "oauth: NewToken: ") {
				t.Errorf("the error is %v", err)
			}
		})
	}
	if _, err := oauth.NewIntrospection(authenticate, kinds, oauth.WithDevice(func(*http.Request) session.Device { return session.Device{} })); err == nil {
		t.Error("NewIntrospection takes WithDevice")
	}
}

func TestTokenOddRequests(t *testing.T) {
	t.Parallel()
	testkit.OddRequests(t, (&fakeSessions{}).endpoint(t))
}

// onPostgres has the endpoints for the tokens of real sessions.
type onPostgres struct {
	testing.TB
	pool       *pgxpool.Pool
	store      *revoke.Postgres
	sessions   *session.Sessions
	access     *revoke.Validator
	token      http.Handler
	revocation http.Handler
}

func newOnPostgres(tb testing.TB) *onPostgres {
	tb.Helper()
	store, pool := testkit.Store(tb)
	keys := session.StaticKeys(session.Key{ID: "1", Method: jwt.SigningMethodEdDSA, Private: testkit.TestKeys().Ed})
	sessions := testkit.Value(session.New(store, testkit.Issuer, revoke.AudienceOf("api"), keys))(tb)
	p := &onPostgres{TB: tb, pool: pool, store: store, sessions: sessions, access: testkit.Value(sessions.NewValidator(store))(tb)}
	p.token = testkit.Value(oauth.NewToken(sessions, authenticate))(tb)
	p.revocation = testkit.Value(oauth.NewRevocation(store, authenticate, []oauth.Tokens{
		oauth.AccessTokens(p.access), oauth.RefreshTokens(testkit.Value(sessions.NewRefreshValidator(store))(tb)),
	}))(tb)
	return p
}

// start starts a session of ada for a client.
func (p *onPostgres) start(client string) session.Tokens {
	p.Helper()
	user := p.sessions.User("ada")
	epochs := testkit.Value(p.store.Epochs(context.Background(), user))(p)
	return testkit.Value(p.sessions.Start(context.Background(), user, epochs, session.Device{Client: client}))(p)
}

// age ends the grace of the last rotation.
func (p *onPostgres) age() {
	p.Helper()
	testkit.Exec(p, p.pool, "UPDATE revoke.sessions SET refreshed_at = refreshed_at - $1::text::interval", session.DefaultGrace.String())
}

// refresh refreshes as "web", and returns the access token and the refresh token, "" for none.
func (p *onPostgres) refresh(token string) (access, refresh string) {
	p.Helper()
	body := answered(p, testkit.Serve(p.token, refreshing("web", token)))
	access, _ = body["access_token"].(string)
	refresh, _ = body["refresh_token"].(string)
	testkit.Value(p.access.Validate(context.Background(), access))(p)
	return access, refresh
}

// TestTokenLosesAnswers repeats a request of which the answer was lost (FAPI 2.0 Security Profile
// §5.3.2.1): within the grace the old refresh token gets the current one, and after it the session
// ends.
func TestTokenLosesAnswers(t *testing.T) {
	t.Parallel()
	p := newOnPostgres(t)
	first := p.start("web").Refresh
	_, lost := p.refresh(first)
	_, current := p.refresh(first) // again, with the old one
	if current == "" || claimsOf(t, current) != claimsOf(t, lost) {
		t.Fatalf("the repeat is answered with %s, want the claims of %s", claimsOf(t, current), claimsOf(t, lost))
	}
	if _, refresh := p.refresh(current); refresh != "" {
		t.Errorf("the current token within the grace is answered with the refresh token %s", claimsOf(t, refresh))
	}
	p.age()
	access, next := p.refresh(current)
	if next == "" {
		t.Fatal("after the grace the current token does not rotate")
	}
	wantFailure(t, testkit.Serve(p.token, refreshing("web", first)), 400, "invalid_grant")
	wantFailure(t, testkit.Serve(p.token, refreshing("web", next)), 400, "invalid_grant")
	_, err := p.access.Validate(t.Context(), access)
	testkit.WantError(t, err, revoke.ErrRevoked)
}

// claimsOf returns the payload of a token.
func claimsOf(tb testing.TB, token string) string {
	tb.Helper()
	var claims jwt.MapClaims
	_, _, err := jwt.NewParser().ParseUnverified(token, &claims)
	testkit.Must(tb, err)
	return jsonOf(tb, claims)
}

// TestTokenIsBoundToItsClient gives another client invalid_grant, and changes nothing.
func TestTokenIsBoundToItsClient(t *testing.T) {
	t.Parallel()
	p := newOnPostgres(t)
	row := func() string {
		return testkit.QueryOne[string](t, p.pool, "SELECT string_agg(s::text, ' ' ORDER BY s::text) FROM revoke.sessions s")
	}
	ofWeb, ofApp := p.start("web").Refresh, p.start("").Refresh
	before := row()
	for _, client := range []string{"other", "spa"} {
		request := refreshing(client, ofWeb)
		if client == "spa" {
			request = post("", "grant_type", "refresh_token", "refresh_token", ofWeb, "client_id", client)
		}
		wantFailure(t, testkit.Serve(p.token, request), 400, "invalid_grant")
	}
	wantFailure(t, testkit.Serve(p.token, refreshing("web", ofApp)), 400, "invalid_grant")
	wantFailure(t, testkit.Serve(p.revocation, post(by("other"), "token", ofWeb)), 400, "invalid_request")
	wantFailure(t, testkit.Serve(p.revocation, post(by("web"), "token", ofApp)), 400, "invalid_request")
	if after := row(); after != before {
		t.Errorf("the rows were %s and are %s", before, after)
	}
	p.refresh(ofWeb)
}

// TestTokenConcurrently sends one refresh token many times at once: all are answered, with one
// family.
func TestTokenConcurrently(t *testing.T) {
	t.Parallel()
	p := newOnPostgres(t)
	token := p.start("web").Refresh
	families := make([]string, 16)
	var all sync.WaitGroup
	for i := range families {
		all.Go(func() {
			if _, refresh := p.refresh(token); refresh != "" {
				families[i] = claimsOf(t, refresh)
			}
		})
	}
	all.Wait()
	for _, family := range families {
		if family != families[0] {
			t.Fatalf("the answers have %q", families)
		}
	}
}

// TestRevocationEndsTheSession ends a session by its refresh token, which has no jti (RFC 7009
// §2.1), also by one that was rotated since; and revokes an access token alone.
func TestRevocationEndsTheSession(t *testing.T) {
	t.Parallel()
	p := newOnPostgres(t)
	for _, c := range []struct {
		name  string
		which func(first, second session.Tokens) string
		ends  bool
	}{
		{"refresh token", func(_, second session.Tokens) string { return second.Refresh }, true},
		{"refresh token that was rotated", func(first, _ session.Tokens) string { return first.Refresh }, true},
		{"access token", func(_, second session.Tokens) string { return second.Access }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, other := p.start("web"), p.start("web")
			second := testkit.Value(p.sessions.Refresh(t.Context(), first.Refresh, session.Device{Client: "web"}))(t)
			wantRevoked(t, testkit.Serve(p.revocation, post(by("web"), "token", c.which(first, second))))
			_, err := p.access.Validate(t.Context(), second.Access)
			testkit.WantError(t, err, revoke.ErrRevoked)
			_, err = p.access.Validate(t.Context(), first.Access)
			if (err != nil) != c.ends {
				t.Errorf("the other access token of the session: %v", err)
			}
			_, err = p.sessions.Refresh(t.Context(), second.Refresh, session.Device{Client: "web"})
			if refused := (*session.RefreshError)(nil); c.ends != (errors.As(err, &refused) && refused.Reason == session.Ended) {
				t.Errorf("a refresh afterwards: %v", err)
			}
			testkit.Value(p.access.Validate(t.Context(), other.Access))(t)
		})
	}
}
