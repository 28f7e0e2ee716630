package signals_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/issuers"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/signals"
)

// provider is how a provider writes its tokens. Names in braces are filled in.
type provider struct {
	name             string
	issuer           string
	header, logout   string
	access           string
	endsUsers        bool // because its access tokens have no sid
	validatorOptions []revoke.ValidatorOption
}

// accessHeader is the header of every provider's access tokens.
const accessHeader = `{"alg":"RS256","typ":"JWT","kid":"k1"}`

var (
	keycloak = provider{
		name:   "Keycloak, session by session",
		issuer: "https://keycloak.example/realms/app",
		header: `{"alg":"RS256","typ":"logout+jwt","kid":"k1"}`,
		logout: `{"exp":{iat+120},"iat":{iat},"jti":"{id}","iss":"{iss}","aud":"app","sub":"f:1:ada","typ":"Logout","sid":"{sid}",` +
			`"events":{"http://schemas.openid.net/event/backchannel-logout":{},"revoke_offline_access":true}}`,
		access: `{"exp":{iat+300},"iat":{iat},"auth_time":{iat},"jti":"onrtac:{id}","iss":"{iss}","aud":"account","sub":"f:1:ada",` +
			`"typ":"Bearer","azp":"app","sid":"{sid}","acr":"1","scope":"openid profile"}`,
		validatorOptions: []revoke.ValidatorOption{revoke.WithRequiredSession()},
	}
	auth0 = provider{ // access tokens have neither sid nor, by default, jti
		name:   "Auth0",
		issuer: "https://tenant.eu.auth0.com/",
		header: `{"alg":"RS256","typ":"logout+jwt","kid":"k1"}`,
		logout: `{"iss":"{iss}","sub":"auth0|ada","aud":"app","iat":{iat},"exp":{iat+120},"jti":"{id}","sid":"{sid}","trace_id":"x",` +
			`"events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`,
		access:           `{"iss":"{iss}","sub":"auth0|ada","aud":["https://api.example","{iss}userinfo"],"iat":{iat},"exp":{iat+86400},"azp":"app","scope":"openid"}`,
		endsUsers:        true,
		validatorOptions: []revoke.ValidatorOption{revoke.WithOptionalID()},
	}
	// Access tokens have no sid; the sub of these logouts is that of its access tokens.
	okta = provider{
		name:   "Okta",
		issuer: "https://example.okta.com/oauth2/default",
		header: `{"alg":"RS256","kid":"k1"}`,
		logout: `{"iss":"{iss}","sub":"ada@app.example","aud":["app"],"iat":{iat},"exp":{iat+120},"jti":"{id}","sid":"{sid}",` +
			`"events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`,
		access:    `{"ver":1,"jti":"AT.{id}","iss":"{iss}","aud":"api://default","iat":{iat},"exp":{iat+3600},"cid":"app","uid":"00u1","scp":["openid"],"sub":"ada@app.example"}`,
		endsUsers: true,
	}
)

// providers write their tokens as their source or documentation says. Times are relative, in
// seconds.
var providers = []provider{
	keycloak,
	{
		name: "Keycloak", issuer: keycloak.issuer, header: keycloak.header, logout: keycloak.logout, access: keycloak.access,
		endsUsers: true, validatorOptions: issuers.Keycloak(),
	},
	{ // no exp, and typ JWT
		name:   "Keycloak before 25",
		issuer: "https://keycloak.example/auth/realms/app",
		header: `{"alg":"RS256","typ":"JWT","kid":"k1"}`,
		logout: `{"iat":{iat},"jti":"{id}","iss":"{iss}","aud":"app","sub":"f:1:ada","typ":"Logout","sid":"{sid}",` +
			`"events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`,
		access:           `{"exp":{iat+300},"iat":{iat},"jti":"{id}","iss":"{iss}","sub":"f:1:ada","typ":"Bearer","session_state":"{sid}","sid":"{sid}"}`,
		validatorOptions: []revoke.ValidatorOption{revoke.WithRequiredSession()},
	},
	auth0,
	okta,
}

// sign fills in a payload and signs it.
func (p *provider) sign(tb testing.TB, header, payload, session, id string, issuedAt time.Time) string {
	tb.Helper()
	pairs := []string{"{iss}", p.issuer, "{sid}", session, "{id}", id, "{iat}", fmt.Sprint(issuedAt.Unix())}
	for _, seconds := range []int64{120, 300, 3600, 86400} {
		pairs = append(pairs, fmt.Sprintf("{iat+%d}", seconds), fmt.Sprint(issuedAt.Unix()+seconds))
	}
	return testkit.SignRaw(tb, "RS256", header, strings.NewReplacer(pairs...).Replace(payload))
}

// mount returns an app: a receiver, and a service behind a guard.
func (p *provider) mount(tb testing.TB, store revoke.Store) http.Handler {
	tb.Helper()
	keyfunc, algorithms := testkit.Keyfunc("RS256"), []string{"RS256"}
	validator := testkit.Value(revoke.NewValidator(store, p.issuer, revoke.AnyAudience(), keyfunc, algorithms, p.validatorOptions...))(tb)
	ends := signals.EndUser()
	if !p.endsUsers {
		ends = signals.EndSession(validator)
	}
	mux := http.NewServeMux()
	mux.Handle("/backchannel-logout", testkit.Value(signals.NewBackChannelLogout(store, p.issuer, []string{"app"}, keyfunc, algorithms, ends,
		signals.WithReport(func(_ *http.Request, err error) { tb.Log(err) })))(tb))
	guard := testkit.Value(revokehttp.NewGuard(validator))(tb)
	mux.Handle("/api", guard.Require(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	return mux
}

// apiStatus returns the status of a request with an access token.
func apiStatus(app http.Handler, token string) int {
	return testkit.Serve(app, testkit.Request("GET", "/api", "Authorization", "Bearer "+token)).Code
}

// logoutStatus returns the status of a delivery.
func logoutStatus(app http.Handler, token string) int {
	r := delivery(url.Values{"logout_token": {token}}.Encode())
	r.URL.Path = "/backchannel-logout"
	return testkit.Serve(app, r).Code
}

// rows counts the rows of revocations.
func rows(tb testing.TB, pool *pgxpool.Pool, condition string) int {
	tb.Helper()
	return testkit.QueryOne[int](tb, pool, "SELECT count(*) FROM revoke.revocations WHERE "+condition)
}

// TestProviders logs out at each provider, on a real Postgres. Access tokens are accepted
// before the logout and refused after it. A late delivery spares a login that was made since,
// six seconds later under the default skew, and a repeated one succeeds.
func TestProviders(t *testing.T) {
	t.Parallel()
	for _, p := range providers {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			store, pool := testkit.Store(t)
			app := p.mount(t, store)
			logout := time.Now().Add(-30 * time.Second) // it is delivered late
			access := func(session string, after time.Duration) string {
				return p.sign(t, accessHeader, p.access, session, fmt.Sprint(session, after), logout.Add(after))
			}
			phone, sameSecond, since := access("phone", -time.Minute), access("phone", 0), access("laptop", 6*time.Second)
			for _, token := range []string{phone, sameSecond, since} {
				if got := apiStatus(app, token); got != 200 {
					t.Fatalf("before the logout: %d", got)
				}
			}
			text := p.sign(t, p.header, p.logout, "phone", "a1b2", logout)
			for range 2 {
				if got := logoutStatus(app, text); got != 200 {
					t.Fatalf("logout: %d", got)
				}
				if got := [3]int{apiStatus(app, phone), apiStatus(app, sameSecond), apiStatus(app, since)}; got != [3]int{401, 401, 200} {
					t.Errorf("after the logout: token before it %d, of its second %d, of a login since %d", got[0], got[1], got[2])
				}
			}
			if rows(t, pool, "scope = 'token'") != 1 || rows(t, pool, "scope = 'token' AND id LIKE 'back-channel logout %'") != 1 {
				t.Error("not exactly the logout token is redeemed")
			}
		})
	}
}

// TestDeliveriesRace delivers one logout several times at once. Each succeeds, and the session
// is revoked once.
func TestDeliveriesRace(t *testing.T) {
	t.Parallel()
	for _, p := range []provider{keycloak, auth0} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			store, pool := testkit.Store(t)
			app := p.mount(t, store)
			now := time.Now()
			access := p.sign(t, accessHeader, p.access, "phone", "1", now)
			text := p.sign(t, p.header, p.logout, "phone", "a1b2", now)
			var wait sync.WaitGroup
			for range 8 {
				wait.Go(func() {
					if got := logoutStatus(app, text); got != 200 {
						t.Errorf("%d", got)
					} else if got := apiStatus(app, access); got != 401 {
						t.Errorf("answered 200, and the token is answered with %d", got)
					}
				})
			}
			wait.Wait()
			// A second revocation of the session would have prolonged its row.
			if !p.endsUsers && rows(t, pool, "scope = 'session' AND expires_at = revoked_at + interval '34560300 seconds'") != 1 {
				t.Error("the session was revoked more than once")
			}
			if rows(t, pool, "scope = 'token'") != 1 {
				t.Error("the logout was redeemed more than once")
			}
		})
	}
}

// TestLogoutIsOneTransaction has the revocation of the session fail. Nothing is redeemed then,
// and the redelivery succeeds.
func TestLogoutIsOneTransaction(t *testing.T) {
	t.Parallel()
	p := keycloak
	store, pool := testkit.Store(t)
	app := p.mount(t, store)
	access := p.sign(t, `{"alg":"RS256"}`, p.access, "phone", "1", time.Now())
	text := p.sign(t, p.header, p.logout, "phone", "a1b2", time.Now())
	testkit.Exec(t, pool, "ALTER TABLE revoke.revocations ADD CONSTRAINT no_sessions CHECK (scope <> 'session')")
	if got := logoutStatus(app, text); got != 503 || rows(t, pool, "scope = 'token'") != 0 {
		t.Errorf("without sessions: %d, and %d redeemed", got, rows(t, pool, "scope = 'token'"))
	}
	testkit.Exec(t, pool, "ALTER TABLE revoke.revocations DROP CONSTRAINT no_sessions")
	if got := apiStatus(app, access); got != 200 {
		t.Errorf("before the logout: %d", got)
	}
	if got := logoutStatus(app, text); got != 200 || apiStatus(app, access) != 401 {
		t.Errorf("redelivery: %d, and then %d", got, apiStatus(app, access))
	}
}

// TestGlobalRevocationOnPostgres logs a user out of everything, durably.
func TestGlobalRevocationOnPostgres(t *testing.T) {
	t.Parallel()
	p := okta
	store, pool := testkit.Store(t)
	app := p.mount(t, store)
	handler := testkit.Value(signals.NewGlobalTokenRevocation(store, allowAll, []string{p.issuer}, nil))(t)
	access := p.sign(t, `{"alg":"RS256"}`, p.access, "", "1", time.Now())
	body := strings.ReplaceAll(strings.ReplaceAll(issSub, providerIssuer, p.issuer), `"ada"`, `"ada@app.example"`)
	if got := apiStatus(app, access); got != 200 {
		t.Fatalf("before: %d", got)
	}
	for range 2 {
		wantStatus(t, testkit.Serve(handler, revocationRequest(body)), 204)
	}
	if got := apiStatus(app, access); got != 401 || rows(t, pool, "scope = 'user' AND reason = 'global token revocation'") != 1 {
		t.Errorf("after: %d", got)
	}
}

// TestGlobalRevocationIsOneTransaction has the revocation of the user fail. The assertion is not
// spent then, and the repeat succeeds.
func TestGlobalRevocationIsOneTransaction(t *testing.T) {
	t.Parallel()
	store, pool := testkit.Store(t)
	assertion := revoke.Token{Issuer: providerIssuer, ID: "call", ExpiresAt: time.Now().Add(time.Minute)}
	handler := testkit.Value(signals.NewGlobalTokenRevocation(store, spending(assertion), []string{providerIssuer}, nil))(t)
	testkit.Exec(t, pool, "ALTER TABLE revoke.revocations ADD CONSTRAINT no_users CHECK (scope <> 'user')")
	wantStatus(t, testkit.Serve(handler, revocationRequest(issSub)), 503)
	if spent := rows(t, pool, "scope = 'token'"); spent != 0 || isLoggedOut(t, store, providerIssuer) {
		t.Errorf("after 503 there are %d assertions spent", spent)
	}
	testkit.Exec(t, pool, "ALTER TABLE revoke.revocations DROP CONSTRAINT no_users")
	for range 2 {
		wantStatus(t, testkit.Serve(handler, revocationRequest(issSub)), 204)
		if !isLoggedOut(t, store, providerIssuer) {
			t.Error("ada stays logged in")
		}
	}
}

// TestAssertionsRace has eight calls with one assertion at once, half of them for each of two
// users. One user is logged out, once, and the calls for the other are refused.
func TestAssertionsRace(t *testing.T) {
	t.Parallel()
	store, pool := testkit.Store(t)
	assertion := revoke.Token{Issuer: providerIssuer, ID: "call", ExpiresAt: time.Now().Add(time.Minute)}
	handler := testkit.Value(signals.NewGlobalTokenRevocation(store, spending(assertion), []string{providerIssuer}, nil))(t)
	statuses := make([]int, 8)
	var wait sync.WaitGroup
	for i := range statuses {
		wait.Go(func() {
			body := issSub
			if i%2 == 1 {
				body = strings.Replace(issSub, "ada", "bob", 1)
			}
			statuses[i] = testkit.Serve(handler, revocationRequest(body)).Code
		})
	}
	wait.Wait()
	want := []int{204, 401, 204, 401, 204, 401, 204, 401}
	if !isLoggedOut(t, store, providerIssuer) {
		want = append(want[1:], want[0])
	}
	if !slices.Equal(statuses, want) {
		t.Errorf("the answers are %v, want %v", statuses, want)
	}
	if users, spent := rows(t, pool, "scope = 'user'"), rows(t, pool, "scope = 'token'"); users != 1 || spent != 2 {
		t.Errorf("%d users are logged out, and %d assertions spent", users, spent)
	}
}
