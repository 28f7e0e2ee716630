package revokehttp_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/revokehttp"
)

// shape is how a provider writes its tokens: names in braces are filled in.
type shape struct {
	issuer           string
	header, logout   string
	access           string
	users            bool // its access tokens have no sid
	validatorOptions []revoke.ValidatorOption
}

// shapes are those of the providers by their source or documentation. Times are relative, in seconds.
var shapes = map[string]shape{
	"Keycloak": {
		issuer: "https://keycloak.example/realms/app",
		header: `{"alg":"RS256","typ":"logout+jwt","kid":"k1"}`,
		logout: `{"exp":{iat+120},"iat":{iat},"jti":"{id}","iss":"{iss}","aud":"app","sub":"f:1:ada","typ":"Logout","sid":"{sid}",` +
			`"events":{"http://schemas.openid.net/event/backchannel-logout":{},"revoke_offline_access":true}}`,
		access: `{"exp":{iat+300},"iat":{iat},"auth_time":{iat},"jti":"onrtac:{id}","iss":"{iss}","aud":"account","sub":"f:1:ada",` +
			`"typ":"Bearer","azp":"app","sid":"{sid}","acr":"1","scope":"openid profile"}`,
		validatorOptions: []revoke.ValidatorOption{revoke.WithRequiredSession()},
	},
	"Keycloak before 25": { // no exp, and typ JWT
		issuer: "https://keycloak.example/auth/realms/app",
		header: `{"alg":"RS256","typ":"JWT","kid":"k1"}`,
		logout: `{"iat":{iat},"jti":"{id}","iss":"{iss}","aud":"app","sub":"f:1:ada","typ":"Logout","sid":"{sid}",` +
			`"events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`,
		access:           `{"exp":{iat+300},"iat":{iat},"jti":"{id}","iss":"{iss}","sub":"f:1:ada","typ":"Bearer","session_state":"{sid}","sid":"{sid}"}`,
		validatorOptions: []revoke.ValidatorOption{revoke.WithRequiredSession()},
	},
	"Auth0": { // access tokens have neither sid nor, by default, jti
		issuer: "https://tenant.eu.auth0.com/",
		header: `{"alg":"RS256","typ":"logout+jwt","kid":"k1"}`,
		logout: `{"iss":"{iss}","sub":"auth0|ada","aud":"app","iat":{iat},"exp":{iat+120},"jti":"{id}","sid":"{sid}","trace_id":"x",` +
			`"events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`,
		access:           `{"iss":"{iss}","sub":"auth0|ada","aud":["https://api.example","{iss}userinfo"],"iat":{iat},"exp":{iat+86400},"azp":"app","scope":"openid"}`,
		users:            true,
		validatorOptions: []revoke.ValidatorOption{revoke.WithOptionalID()},
	},
	"Okta": { // access tokens have no sid, and whatever sends their logouts names the user as they do
		issuer: "https://example.okta.com/oauth2/default",
		header: `{"alg":"RS256","kid":"k1"}`,
		logout: `{"iss":"{iss}","sub":"ada@app.example","aud":["app"],"iat":{iat},"exp":{iat+120},"jti":"{id}","sid":"{sid}",` +
			`"events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`,
		access: `{"ver":1,"jti":"AT.{id}","iss":"{iss}","aud":"api://default","iat":{iat},"exp":{iat+3600},"cid":"app","uid":"00u1","scp":["openid"],"sub":"ada@app.example"}`,
		users:  true,
	},
}

// sign fills in a payload and signs it.
func (s shape) sign(tb testing.TB, header, payload, session, id string, issuedAt time.Time) string {
	tb.Helper()
	pairs := []string{"{iss}", s.issuer, "{sid}", session, "{id}", id, "{iat}", fmt.Sprint(issuedAt.Unix())}
	for _, seconds := range []int64{120, 300, 3600, 86400} {
		pairs = append(pairs, fmt.Sprintf("{iat+%d}", seconds), fmt.Sprint(issuedAt.Unix()+seconds))
	}
	return signText(tb, "RS256", header, strings.NewReplacer(pairs...).Replace(payload))
}

// mount is the app: one receiver, and services behind a guard.
func (s shape) mount(tb testing.TB, store revoke.Store) http.Handler {
	tb.Helper()
	keyfunc := func(*jwt.Token) (any, error) { return providerRSA().Public(), nil }
	validator, err := revoke.NewValidator[revoke.Claims](store, s.issuer, keyfunc, []string{"RS256"}, s.validatorOptions...)
	must(tb, err)
	ends := revokehttp.EndUser()
	if !s.users {
		ends = revokehttp.EndSession(validator)
	}
	receiver, err := revokehttp.NewBackChannelLogout(store, s.issuer, []string{"app"}, keyfunc, []string{"RS256"}, ends,
		revokehttp.WithReport(func(_ *http.Request, err error) { tb.Log(err) }))
	must(tb, err)
	guard, err := revokehttp.New(validator)
	must(tb, err)
	mux := http.NewServeMux()
	mux.Handle("/backchannel-logout", receiver)
	mux.Handle("/api", guard.Require(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	return mux
}

func status(app http.Handler, token string) int {
	return answer(app, request("GET", "/api", "Authorization", "Bearer "+token)).Code
}

func logoutStatus(app http.Handler, token string) int {
	return answer(app, delivery(url.Values{"logout_token": {token}}.Encode())).Code
}

func openPostgres(tb testing.TB) (*revoke.Postgres, *pgxpool.Pool) {
	tb.Helper()
	pool := pgserver.Pool(tb, pgserver.Database(tb))
	store, err := revoke.NewPostgres(pool)
	must(tb, err)
	return store, pool
}

// rows counts what a logout leaves.
func rows(tb testing.TB, pool *pgxpool.Pool, table, condition string) (count int) {
	tb.Helper()
	must(tb, pool.QueryRow(context.Background(), "SELECT count(*) FROM revoke."+table+" WHERE "+condition).Scan(&count))
	return count
}

// TestProviders mounts the receiver for each provider, on a real Postgres: its access tokens are accepted before the logout and
// refused after it, a login made since is not touched by a late delivery, and a repeated one is a success.
func TestProviders(t *testing.T) {
	t.Parallel()
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shapes[name]
			store, pool := openPostgres(t)
			app := s.mount(t, store)
			logout := time.Now().Add(-30 * time.Second) // it is delivered late
			access := func(session string, after time.Duration) string {
				return s.sign(t, `{"alg":"RS256","typ":"JWT","kid":"k1"}`, s.access, session, fmt.Sprint(session, after), logout.Add(after))
			}
			phone, sameSecond, since := access("phone", -time.Minute), access("phone", 0), access("laptop", time.Second)
			for _, token := range []string{phone, sameSecond, since} {
				if got := status(app, token); got != 200 {
					t.Fatalf("before the logout: %d", got)
				}
			}
			text := s.sign(t, s.header, s.logout, "phone", "a1b2", logout)
			for range 2 {
				if got := logoutStatus(app, text); got != 200 {
					t.Fatalf("logout: %d", got)
				}
				if got := [3]int{status(app, phone), status(app, sameSecond), status(app, since)}; got != [3]int{401, 401, 200} {
					t.Errorf("after the logout: of before %d, of that second %d, of a login since %d", got[0], got[1], got[2])
				}
			}
			if rows(t, pool, "revoked_tokens", "true") != 1 || rows(t, pool, "revoked_tokens", "jti LIKE 'back-channel logout %'") != 1 {
				t.Error("the logout is not redeemed once, and nothing else")
			}
		})
	}
}

// TestDeliveriesRace delivers one logout many times at once: each is a success, and the session was revoked once.
func TestDeliveriesRace(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Keycloak", "Auth0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shapes[name]
			store, pool := openPostgres(t)
			app := s.mount(t, store)
			now := time.Now()
			access := s.sign(t, `{"alg":"RS256","typ":"JWT"}`, s.access, "phone", "1", now)
			text := s.sign(t, s.header, s.logout, "phone", "a1b2", now)
			var wait sync.WaitGroup
			for range 8 {
				wait.Go(func() {
					if got := logoutStatus(app, text); got != 200 {
						t.Errorf("%d", got)
					} else if got := status(app, access); got != 401 {
						t.Errorf("answered 200, and the token is accepted: %d", got)
					}
				})
			}
			wait.Wait()
			// A second revocation of a session would have prolonged its row beyond the first.
			if !s.users && rows(t, pool, "sessions", "expires_at = revoked_at + interval '34560300 seconds'") != 1 {
				t.Error("the session was revoked more than once")
			}
			if rows(t, pool, "revoked_tokens", "true") != 1 {
				t.Error("the logout was redeemed more than once")
			}
		})
	}
}

// TestLogoutIsOneTransaction takes the table of sessions away: nothing is redeemed then, and the redelivery does it all.
func TestLogoutIsOneTransaction(t *testing.T) {
	t.Parallel()
	s := shapes["Keycloak"]
	store, pool := openPostgres(t)
	app := s.mount(t, store)
	access := s.sign(t, `{"alg":"RS256"}`, s.access, "phone", "1", time.Now())
	text := s.sign(t, s.header, s.logout, "phone", "a1b2", time.Now())
	alter := func(sql string) {
		_, err := pool.Exec(t.Context(), sql)
		must(t, err)
	}
	alter("ALTER TABLE revoke.sessions RENAME TO away")
	if got := logoutStatus(app, text); got != 503 || rows(t, pool, "revoked_tokens", "true") != 0 {
		t.Errorf("without the table: %d, and %d redeemed", got, rows(t, pool, "revoked_tokens", "true"))
	}
	alter("ALTER TABLE revoke.away RENAME TO sessions")
	if got := status(app, access); got != 200 {
		t.Errorf("before the logout: %d", got)
	}
	if got := logoutStatus(app, text); got != 200 || status(app, access) != 401 {
		t.Errorf("redelivery: %d, and then %d", got, status(app, access))
	}
}

// TestGlobalRevocationOnPostgres logs a user out of everything, durably.
func TestGlobalRevocationOnPostgres(t *testing.T) {
	t.Parallel()
	s := shapes["Okta"]
	store, pool := openPostgres(t)
	app := s.mount(t, store)
	handler, err := revokehttp.NewGlobalTokenRevocation(store, anybody, []string{s.issuer}, nil)
	must(t, err)
	access := s.sign(t, `{"alg":"RS256"}`, s.access, "", "1", time.Now())
	body := strings.ReplaceAll(strings.ReplaceAll(issSub, providerIssuer, s.issuer), `"ada"`, `"ada@app.example"`)
	if got := status(app, access); got != 200 {
		t.Fatalf("before: %d", got)
	}
	for range 2 {
		wantsAnswer(t, "revocation", answer(handler, revocationRequest(body)), 204)
	}
	if got := status(app, access); got != 401 || rows(t, pool, "user_epochs", "reason = 'global token revocation'") != 1 {
		t.Errorf("after: %d", got)
	}
}
