package issuers_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/issuers"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
	"github.com/pgrevoke/revoke/signals"
)

func TestMain(m *testing.M) { pgserver.Main(m) }

// preset is a preset, the tokens that its issuer documents, and its row of docs/issuers.md. Names
// in braces are filled in.
type preset struct {
	name    string // of the function
	kind    string // of its tokens, where one preset has several rows
	options []revoke.ValidatorOption
	issuer  string
	named   string // iss, where it is an alias

	header, access string
	foreign        string // a token of another kind, of the same user and device
	byAudience     bool   // the audience alone keeps it out
	stamp          time.Duration

	// What stands in the tables beside the options, which are read from the source.
	audience             string // the API's name in the tokens of this test, "" for any
	audienceIs           string
	id, session, subject string // claims: an id of "" is derived, a session of "" is none
	skew                 time.Duration
	lost                 string
	foreignIs            string
	logouts              string

	logout string // a logout token of the user and the device
}

const (
	plain     = `{"alg":"RS256","typ":"JWT","kid":"k1"}`
	withoutIt = `{"alg":"RS256","kid":"k1"}`
	byID      = "sessions: a device is logged out by its token in hand"
	event     = `"events":{"http://schemas.openid.net/event/backchannel-logout":{}}`
)

var presets = []preset{
	{
		name: "Keycloak", options: issuers.Keycloak(), issuer: "https://keycloak.example/realms/app", header: plain,
		access: `{"exp":{exp},"iat":{iat},"auth_time":{iat},"jti":"onrtac:{id}","iss":"{iss}","aud":"{aud}","sub":"f:1:{user}","typ":"Bearer",` +
			`"azp":"app","sid":"{session}","acr":"1","scope":"openid profile"}`,
		foreign: `{"exp":{exp},"iat":{iat},"auth_time":{iat},"jti":"{id}","iss":"{iss}","aud":"{client}","sub":"f:1:{user}","typ":"ID","azp":"app",` +
			`"sid":"{session}","at_hash":"x","acr":"1"}`,
		audience: "api", audienceIs: "that of an audience mapper", id: "jti", session: "sid", subject: "sub", skew: revoke.DefaultIssuerSkew,
		lost: "tokens of service accounts have no session", foreignIs: "`typ` is `ID`", logouts: "`EndUser`",
		logout: `{"iss":"{iss}","sub":"f:1:{user}","aud":"app","iat":{iat},"exp":{exp},"jti":"{id}","typ":"Logout","sid":"{session}",` + event + `}`,
	},
	{
		name: "Auth0", options: issuers.Auth0(), issuer: issuers.Auth0Issuer("tenant.eu.auth0.com"), header: plain,
		access: `{"iss":"{iss}","sub":"auth0|{user}","aud":["{aud}","{iss}userinfo"],"iat":{iat},"exp":{exp},"azp":"app","scope":"openid {id}"}`,
		foreign: `{"iss":"{iss}","sub":"auth0|{user}","aud":"{client}","iat":{iat},"exp":{exp},"sid":"{session}","nonce":"n","nickname":"ada",` +
			`"email":"ada@app.example"}`,
		audience: "https://api.example", audienceIs: "the API's identifier", subject: "sub", skew: revoke.DefaultIssuerSkew,
		lost: byID, foreignIs: "their `aud` is the client; no `azp`", logouts: "`EndUser`",
		logout: `{"iss":"{iss}","sub":"auth0|{user}","aud":"app","iat":{iat},"exp":{exp},"jti":"{id}","sid":"{session}",` + event + `}`,
	},
	{
		name: "Auth0RFC9068", options: issuers.Auth0RFC9068(), issuer: issuers.Auth0Issuer("login.app.example"),
		header: `{"alg":"RS256","typ":"at+jwt","kid":"k1"}`,
		access: `{"iss":"{iss}","sub":"auth0|{user}","aud":["{aud}","{iss}userinfo"],"client_id":"app","iat":{iat},"exp":{exp},"jti":"{id}",` +
			`"scope":"openid"}`,
		foreign:  `{"iss":"{iss}","sub":"auth0|{user}","aud":"{client}","iat":{iat},"exp":{exp},"sid":"{session}","nonce":"n"}`,
		audience: "https://api.example", audienceIs: "the API's identifier", id: "jti", subject: "sub", skew: revoke.DefaultIssuerSkew,
		lost: byID, foreignIs: "their header's `typ` is `JWT`", logouts: "`EndUser`",
		logout: `{"iss":"{iss}","sub":"auth0|{user}","aud":"app","iat":{iat},"exp":{exp},"jti":"{id}","sid":"{session}",` + event + `}`,
	},
	{
		name: "Okta", options: issuers.Okta(), issuer: "https://example.okta.com/oauth2/default", header: withoutIt,
		access: `{"ver":1,"jti":"AT.{id}","iss":"{iss}","aud":"{aud}","iat":{iat},"exp":{exp},"cid":"app","uid":"00u{user}","scp":["openid"],` +
			`"auth_time":{iat},"sub":"{user}@app.example"}`,
		foreign: `{"sub":"00u{user}","ver":1,"iss":"{iss}","aud":"{client}","iat":{iat},"exp":{exp},"jti":"ID.{id}","amr":["pwd"],"idp":"00o1",` +
			`"auth_time":{iat},"at_hash":"x"}`,
		audience: "api://default", audienceIs: "that of the server", id: "jti", subject: "uid", skew: revoke.DefaultIssuerSkew,
		lost: byID + "; tokens of services are refused", foreignIs: "no `cid`, no `uid`", logouts: "`NewGlobalTokenRevocation`",
	},
	{
		name: "OktaOrg", options: issuers.OktaOrg(), issuer: "https://example.okta.com", header: withoutIt,
		access: `{"sub":"00u{user}","ver":1,"iss":"{iss}","aud":"{aud}","iat":{iat},"exp":{exp},"jti":"ID.{id}","amr":["pwd"],"idp":"00o1",` +
			`"auth_time":{iat},"at_hash":"x"}`,
		foreign: `{"ver":1,"jti":"AT.{id}","iss":"{iss}","aud":"{client}","sub":"{user}@app.example","iat":{iat},"exp":{exp},"cid":"app",` +
			`"uid":"00u{user}","scp":["openid"]}`,
		audience: "0oa1", audienceIs: "the client", id: "jti", subject: "sub", skew: revoke.DefaultIssuerSkew,
		lost: byID + "; access tokens cannot be verified", foreignIs: "they are its tokens; access tokens have a `cid`",
		logouts: "`NewGlobalTokenRevocation`",
	},
	{
		name: "Entra", kind: "a user's token", options: issuers.Entra(), issuer: issuers.EntraIssuer("72f988bf-86f1-41af-91ab-2d7cd011db47"),
		header: plain, access: entraUser, foreign: entraID, stamp: -300 * time.Second,
		audience: "6e74172b", audienceIs: "the API's client id", id: "uti", subject: "oid", skew: -295 * time.Second,
		lost: byID, foreignIs: "no `azp`", logouts: "none; `WithIssuerLag` of 5 min",
	},
	{
		name: "Entra", kind: "an app's token", options: issuers.Entra(), issuer: issuers.EntraIssuer("11111111-86f1-41af-91ab-2d7cd011db47"),
		header: plain, access: entraApp, foreign: entraID, stamp: -300 * time.Second,
		audience: "6e74172b", id: "uti", subject: "oid", skew: -295 * time.Second,
	},
	{
		name: "EntraUser", options: issuers.EntraUser(), issuer: issuers.EntraIssuer("22222222-86f1-41af-91ab-2d7cd011db47"),
		header: plain, access: entraUser, foreign: entraID, stamp: -300 * time.Second,
		audience: "6e74172b", audienceIs: "the API's client id", id: "uti", subject: "oid", skew: -295 * time.Second,
		lost: byID, foreignIs: "no `azp`, no `scp`", logouts: "none; `WithIssuerLag` of 5 min",
	},
	{
		name: "EntraUser", kind: "not an app's", options: issuers.EntraUser(), issuer: issuers.EntraIssuer("33333333-86f1-41af-91ab-2d7cd011db47"),
		header: plain, access: entraUser, foreign: entraApp, stamp: -300 * time.Second,
		audience: "6e74172b", id: "uti", subject: "oid", skew: -295 * time.Second,
	},
	{
		name: "EntraApp", options: issuers.EntraApp(), issuer: issuers.EntraIssuer("44444444-86f1-41af-91ab-2d7cd011db47"),
		header: plain, access: entraApp, foreign: entraID, stamp: -300 * time.Second,
		audience: "6e74172b", audienceIs: "the API's client id", id: "uti", subject: "oid", skew: -295 * time.Second,
		lost: "sessions: apps have none", foreignIs: "no `azp`", logouts: "none",
	},
	{
		name: "EntraApp", kind: "not a user's", options: issuers.EntraApp(), issuer: issuers.EntraIssuer("55555555-86f1-41af-91ab-2d7cd011db47"),
		header: plain, access: entraApp, foreign: entraUser, stamp: -300 * time.Second,
		audience: "6e74172b", id: "uti", subject: "oid", skew: -295 * time.Second,
	},
	{
		name: "Cognito", options: issuers.Cognito("other-client", "app"), issuer: issuers.CognitoIssuer("eu-central-1", "eu-central-1_a1B2c3"),
		header: withoutIt,
		access: `{"sub":"{user}","iss":"{iss}","client_id":"app","origin_jti":"{session}","event_id":"e1","token_use":"access","scope":"openid",` +
			`"auth_time":{iat},"exp":{exp},"iat":{iat},"jti":"{id}","username":"ada"}`,
		foreign: `{"sub":"{user}","iss":"{iss}","aud":"{client}","client_id":"app","origin_jti":"{session}","event_id":"e1","token_use":"id",` +
			`"auth_time":{iat},"exp":{exp},"iat":{iat},"jti":"{id}","cognito:username":"ada"}`,
		audienceIs: "any; the clients decide", id: "jti", session: "origin_jti", subject: "sub", skew: revoke.DefaultIssuerSkew,
		lost: "tokens of services have no session", foreignIs: "`token_use` is `id`", logouts: "none",
	},
	{
		name: "Firebase", options: issuers.Firebase(), issuer: issuers.FirebaseIssuer("my-project"), header: plain, stamp: time.Second,
		access: `{"iss":"{iss}","aud":"{aud}","auth_time":{iat},"user_id":"{user}","sub":"{user}","iat":{iat},"exp":{exp},` +
			`"firebase":{"identities":{},"sign_in_provider":"{id}"}}`,
		foreign: `{"iss":"https://session.firebase.google.com/my-project","aud":"{client}","auth_time":{iat},"user_id":"{user}","sub":"{user}",` +
			`"iat":{iat},"exp":{exp}}`,
		audience: "my-project", audienceIs: "the project", subject: "sub", skew: revoke.DefaultIssuerSkew,
		lost: byID, foreignIs: "they are its tokens; session cookies have another issuer", logouts: "none",
	},
	{
		name: "Supabase", options: issuers.Supabase(), issuer: issuers.SupabaseIssuer("abcdefgh"), header: plain,
		access: `{"iss":"{iss}","aud":"{aud}","exp":{exp},"iat":{iat},"sub":"{user}","role":"authenticated","aal":"aal1","session_id":"{session}",` +
			`"email":"ada@app.example","phone":"","is_anonymous":false,"amr":[{"method":"{id}","timestamp":{iat}}]}`,
		foreign:  `{"iss":"{iss}","aud":"{client}","exp":{exp},"iat":{iat},"sub":"{user}","auth_time":{iat},"nonce":"n"}`,
		audience: "authenticated", audienceIs: "`authenticated`", session: "session_id", subject: "sub", skew: revoke.DefaultIssuerSkew,
		lost: "tokens without a session are refused", foreignIs: "their `aud` is the client; no `role`, no `session_id`", logouts: "none",
	},
	{
		name: "Google", options: issuers.Google(), issuer: issuers.GoogleIssuer, named: "accounts.google.com", header: plain, byAudience: true,
		access: `{"iss":"{iss}","azp":"{aud}","aud":"{aud}","sub":"{user}","email":"ada@app.example","at_hash":"{id}","iat":{iat},"exp":{exp}}`,
		foreign: `{"iss":"{iss}","azp":"{client}","aud":"{client}","sub":"{user}","email":"ada@app.example","at_hash":"{id}","iat":{iat},` +
			`"exp":{exp}}`,
		audience: "1234.apps.googleusercontent.com", audienceIs: "the client", subject: "sub", skew: revoke.DefaultIssuerSkew,
		lost: byID, foreignIs: "they are its tokens; those of other clients have another `aud`", logouts: "none",
	},
	{
		name: "Zitadel", options: issuers.Zitadel(), issuer: "https://app.zitadel.cloud", header: plain,
		access: `{"iss":"{iss}","sub":"{user}","aud":["app","{aud}"],"exp":{exp},"iat":{iat},"nbf":{iat},"jti":"V2_1-at_{id}","client_id":"app"}`,
		foreign: `{"iss":"{iss}","sub":"{user}","aud":["app","{client}"],"exp":{exp},"iat":{iat},"auth_time":{iat},"amr":["pwd"],"azp":"app",` +
			`"client_id":"app","at_hash":"x","sid":"{session}"}`,
		audience: "2001", audienceIs: "the API's project id", id: "jti", subject: "sub", skew: revoke.DefaultIssuerSkew,
		lost: byID, foreignIs: "no `jti`; an `at_hash`", logouts: "`EndUser`; `WithIssuerLag` of the client's clock skew",
		logout: `{"iss":"{iss}","sub":"{user}","aud":"app","iat":{iat},"exp":{exp},"jti":"{id}","sid":"{session}",` + event + `}`,
	},
	{
		name: "Hydra", options: issuers.Hydra(), issuer: "https://hydra.example/", header: plain,
		access: `{"aud":[],"client_id":"app","exp":{exp},"ext":{},"iat":{iat},"iss":"{iss}","jti":"{id}","nbf":{iat},"scp":["openid"],"sub":"{user}"}`,
		foreign: `{"at_hash":"x","aud":["{client}"],"auth_time":{iat},"exp":{exp},"iat":{iat},"iss":"{iss}","jti":"{id}","rat":{iat},` +
			`"sid":"{session}","sub":"{user}"}`,
		audienceIs: "any, unless clients request one", id: "jti", subject: "sub", skew: revoke.DefaultIssuerSkew,
		lost: byID, foreignIs: "no `client_id`; an `at_hash`", logouts: "`EndUserOf`",
		logout: `{"iss":"{iss}","aud":["app"],"iat":{iat},"jti":"{id}","sid":"{session}",` + event + `}`,
	},
	{
		name: "Authentik", options: issuers.Authentik(), issuer: "https://authentik.example/application/o/app/", header: plain,
		access: `{"iss":"{iss}","sub":"{user}","aud":"{aud}","exp":{exp},"iat":{iat},"auth_time":{iat},"acr":"goauthentik.io/providers/oauth2/default",` +
			`"amr":["pwd"],"sid":"{session}","azp":"app","uid":"{id}"}`,
		foreign: `{"iss":"{iss}","sub":"{user}","aud":"{client}","exp":{exp},"iat":{iat},"auth_time":{iat},"acr":"goauthentik.io/providers/oauth2/default",` +
			`"amr":["pwd"],"sid":"{session}","nonce":"n","at_hash":"x"}`,
		audience: "app", audienceIs: "the client", id: "uid", session: "sid", subject: "sub", skew: revoke.DefaultIssuerSkew,
		lost: "tokens of services have no session", foreignIs: "no `uid`, no `azp`; an `at_hash`",
		logouts: "`EndSession` with `WithRequiredSession`",
		logout:  `{"iss":"{iss}","sub":"{user}","aud":"app","iat":{iat},"exp":{exp},"jti":"{id}","sid":"{session}",` + event + `}`,
	},
}

const (
	entraUser = `{"aud":"{aud}","iss":"{iss}","iat":{iat},"nbf":{iat},"exp":{exp},"azp":"app","azpacr":"0","name":"Ada","oid":"oid-{user}",` +
		`"rh":"0.A","scp":"access_as_user","sid":"{session}","sub":"pairwise-{user}","tid":"t1","uti":"{id}","ver":"2.0"}`
	entraApp = `{"aud":"{aud}","iss":"{iss}","iat":{iat},"nbf":{iat},"exp":{exp},"azp":"app","azpacr":"1","oid":"oid-{user}","rh":"0.A",` +
		`"roles":["Api.Read"],"sub":"oid-{user}","tid":"t1","uti":"{id}","ver":"2.0"}`
	entraID = `{"aud":"{client}","iss":"{iss}","iat":{iat},"nbf":{iat},"exp":{exp},"name":"Ada","nonce":"n","oid":"oid-{user}",` +
		`"preferred_username":"ada@app.example","rh":"0.A","sid":"{session}","sub":"pairwise-{user}","tid":"t1","uti":"{id}","ver":"2.0"}`
)

// sign fills in a payload for a token that is issued at a time, and signs it.
func (p *preset) sign(tb testing.TB, payload, user, session, id, client string, issuedAt time.Time) string {
	tb.Helper()
	stamp := issuedAt.Add(p.stamp).Unix()
	iss := p.issuer
	if p.named != "" {
		iss = p.named
	}
	return testkit.SignRaw(tb, "RS256", p.header, strings.NewReplacer("{iss}", iss, "{user}", user, "{session}", session, "{id}", id,
		"{aud}", p.audience, "{client}", client, "{iat}", strconv.FormatInt(stamp, 10), "{exp}", strconv.FormatInt(stamp+3900, 10)).Replace(payload))
}

// app is a store, its clock, and a logout of a user who signs in half a minute later.
type app struct {
	store      revoke.Store
	now        func() time.Time
	everywhere func(ctx context.Context, user revoke.User) error
}

// TestPresets goes through the life of tokens of each preset: accepted; a token of another kind
// is refused; one device is logged out, by the store and by a guard; its session, where there is
// one; the user is logged out everywhere, and signs in again.
func TestPresets(t *testing.T) {
	t.Parallel()
	postgres, _ := testkit.Store(t)
	for _, p := range presets {
		t.Run(strings.TrimSuffix(p.name+"/"+p.kind, "/"), func(t *testing.T) {
			t.Parallel()
			t.Run("memory", func(t *testing.T) {
				t.Parallel()
				now := testkit.Now
				clock := func() time.Time { return now }
				store := revoketest.NewMemory(revoketest.WithClock(clock))
				p.test(t, app{store, clock, func(ctx context.Context, user revoke.User) error {
					_, err := store.RevokeUser(ctx, user)
					now = now.Add(30 * time.Second)
					return err
				}})
			})
			t.Run("Postgres", func(t *testing.T) {
				t.Parallel()
				p.test(t, app{postgres, time.Now, func(ctx context.Context, user revoke.User) error {
					return postgres.RevokeUserBefore(ctx, user, time.Now().Add(-30*time.Second))
				}})
			})
		})
	}
}

func (p *preset) test(t *testing.T, app app) {
	t.Helper()
	ctx := t.Context()
	audience := revoke.AnyAudience()
	if p.audience != "" {
		audience = revoke.AudienceOf(p.audience)
	}
	validator := testkit.Value(revoke.NewValidator(app.store, p.issuer, audience, testkit.Keyfunc("RS256"), []string{"RS256"},
		slices.Concat(p.options, []revoke.ValidatorOption{revoke.WithClock(app.now)})...))(t)
	accepted := func(text string) *revoke.Verified {
		t.Helper()
		return testkit.Value(validator.Validate(ctx, text))(t)
	}
	refused := func(text string, want error) {
		t.Helper()
		_, err := validator.Validate(ctx, text)
		testkit.WantError(t, err, want)
	}
	before := app.now().Add(-time.Minute)
	phone := p.sign(t, p.access, "ada", "phone", "1", "", before)
	laptop := p.sign(t, p.access, "ada", "laptop", "2", "", before)
	other := p.sign(t, p.access, "eve", "other", "3", "", before)
	verified := accepted(phone)
	p.wantIdentity(t, verified.Token, phone)
	accepted(laptop)
	accepted(other)

	clients := []string{"client"}
	if !p.byAudience {
		clients = append(clients, p.audience)
	}
	for _, client := range clients {
		text := p.sign(t, p.foreign, "ada", "phone", "4", client, before)
		refused(text, revoke.ErrInvalidToken)
		_, err := validator.Identify(ctx, text)
		testkit.WantError(t, err, revoke.ErrInvalidToken)
	}

	testkit.Must(t, app.store.RevokeToken(ctx, verified.Token))
	refused(phone, revoke.ErrRevoked)
	accepted(laptop)
	guard := testkit.Value(revokehttp.NewGuard(validator))(t)
	watch := p.sign(t, p.access, "ada", "watch", "8", "", before)
	accepted(watch)
	w := testkit.Serve(testkit.Value(guard.Logout(app.store))(t), testkit.Request("POST", "/", "Authorization", "Bearer "+watch))
	testkit.WantAnswer(t, w, http.StatusNoContent, "")
	refused(watch, revoke.ErrRevoked)
	accepted(laptop)
	testkit.Value(guard.LogoutEverywhere(app.store))(t)
	if p.session != "" {
		first := p.sign(t, p.access, "ada", "tablet", "5", "", before)
		refreshed := p.sign(t, p.access, "ada", "tablet", "6", "", before)
		accepted(refreshed)
		testkit.Must(t, app.store.RevokeSession(ctx, accepted(first).Session()))
		refused(first, revoke.ErrRevoked)
		refused(refreshed, revoke.ErrRevoked)
		accepted(laptop)
	}

	user := validator.User(verified.Subject)
	testkit.Must(t, app.everywhere(ctx, user))
	refused(laptop, revoke.ErrRevoked)
	again := p.sign(t, p.access, "ada", "desktop", "7", "", app.now())
	accepted(again)
	testkit.Value(app.store.RevokeUser(ctx, user))(t)
	refused(again, revoke.ErrRevoked)
	accepted(other)
}

// wantIdentity compares the identity of a token with the claims that the tables name.
func (p *preset) wantIdentity(t *testing.T, got revoke.Token, text string) {
	t.Helper()
	var claims map[string]any
	testkit.Must(t, json.Unmarshal(testkit.Value(base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[1]))(t), &claims))
	claim := func(name string) string {
		value, _ := claims[name].(string)
		return value
	}
	if derived := strings.HasPrefix(got.ID, "sha256:"); derived != (p.id == "") || !derived && got.ID != claim(p.id) {
		t.Errorf("the id is %q, want the claim %q", got.ID, p.id)
	}
	if got.SessionID != claim(p.session) || (got.SessionID == "") != (p.session == "") {
		t.Errorf("the session is %q, want the claim %q", got.SessionID, p.session)
	}
	if got.Subject != claim(p.subject) || got.Subject == "" || got.Issuer != p.issuer {
		t.Errorf("the user is %q of %q, want the claim %q", got.Subject, got.Issuer, p.subject)
	}
	if skew := got.IssuerSkew; skew != p.skew && (skew != 0 || p.skew != revoke.DefaultIssuerSkew) {
		t.Errorf("the skew is %v, want %v", skew, p.skew)
	}
}

// TestLogouts delivers a logout of each issuer that sends some, to the receiver that the tables
// name.
func TestLogouts(t *testing.T) {
	t.Parallel()
	for _, p := range presets {
		if p.logout == "" {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			audience := revoke.AnyAudience()
			if p.audience != "" {
				audience = revoke.AudienceOf(p.audience)
			}
			options := p.options
			if strings.Contains(p.logouts, "WithRequiredSession") {
				options = slices.Concat(options, []revoke.ValidatorOption{revoke.WithRequiredSession()})
			}
			store, keyfunc, algorithms := revoketest.NewMemory(), testkit.Keyfunc("RS256"), []string{"RS256"}
			validator := testkit.Value(revoke.NewValidator(store, p.issuer, audience, keyfunc, algorithms, options...))(t)
			receiver := testkit.Value(signals.NewBackChannelLogout(store, p.issuer, []string{"app"}, keyfunc, algorithms, p.ends(validator)))(t)
			before := time.Now().Add(-time.Minute)
			phone := p.sign(t, p.access, "ada", "phone", "1", "", before)
			other := p.sign(t, p.access, "eve", "other", "2", "", before)
			testkit.Value(validator.Validate(t.Context(), phone))(t)

			p.header = `{"alg":"RS256","typ":"logout+jwt","kid":"k1"}`
			text := p.sign(t, p.logout, "ada", "phone", "3", "", before)
			answer := testkit.Serve(receiver, testkit.Post("application/x-www-form-urlencoded", url.Values{"logout_token": {text}}.Encode()))
			if answer.Code != http.StatusOK {
				t.Fatalf("the logout is answered with %d", answer.Code)
			}
			_, err := validator.Validate(t.Context(), phone)
			testkit.WantError(t, err, revoke.ErrRevoked)
			testkit.Value(validator.Validate(t.Context(), other))(t)
		})
	}
}

// ends is the choice of the receiver that the tables name.
func (p *preset) ends(validator *revoke.Validator) signals.Ends {
	switch choice, _, _ := strings.Cut(p.logouts, ";"); choice {
	case "`EndUser`":
		return signals.EndUser()
	case "`EndUserOf`":
		return signals.EndUserOf(func(context.Context, revoke.Session) (revoke.User, error) { return validator.User("ada"), nil })
	case "`EndSession` with `WithRequiredSession`":
		return signals.EndSession(validator)
	}
	return signals.Ends{} // none is chosen
}

// TestOtherClient has a token of a Cognito client that is not the app's.
func TestOtherClient(t *testing.T) {
	t.Parallel()
	for _, p := range presets {
		if p.name != "Cognito" {
			continue
		}
		validator := testkit.Value(revoke.NewValidator(revoketest.NewMemory(), p.issuer, revoke.AnyAudience(), testkit.Keyfunc("RS256"),
			[]string{"RS256"}, issuers.Cognito("another")...))(t)
		_, err := validator.Validate(t.Context(), p.sign(t, p.access, "ada", "phone", "1", "", time.Now()))
		testkit.WantError(t, err, revoke.ErrInvalidToken)
	}
}

// TestManyGroups has tokens of Entra that list the most groups, which are larger than the default
// limit.
func TestManyGroups(t *testing.T) {
	t.Parallel()
	groups := `"groups":["` + strings.Join(slices.Repeat([]string{"72f988bf-86f1-41af-91ab-2d7cd011db47"}, 200), `","`) + `"],`
	for _, p := range presets {
		if !strings.HasPrefix(p.name, "Entra") {
			continue
		}
		t.Run(p.name+"/"+p.kind, func(t *testing.T) {
			t.Parallel()
			validator := testkit.Value(revoke.NewValidator(revoketest.NewMemory(), p.issuer, revoke.AudienceOf(p.audience), testkit.Keyfunc("RS256"),
				[]string{"RS256"}, p.options...))(t)
			text := p.sign(t, strings.Replace(p.access, "{", "{"+groups, 1), "ada", "phone", "1", "", time.Now())
			if len(text) <= revoke.DefaultMaxTokenSize {
				t.Errorf("the token has %d bytes", len(text))
			}
			testkit.Value(validator.Validate(t.Context(), text))(t)
		})
	}
}

// TestClaimsOfTheApp accepts tokens with claims of the app's of which the names differ from
// others in case alone. What keeps other tokens out must occur once.
func TestClaimsOfTheApp(t *testing.T) {
	t.Parallel()
	for _, p := range presets {
		t.Run(p.name+"/"+p.kind, func(t *testing.T) {
			t.Parallel()
			audience := revoke.AnyAudience()
			if p.audience != "" {
				audience = revoke.AudienceOf(p.audience)
			}
			validator := testkit.Value(revoke.NewValidator(revoketest.NewMemory(), p.issuer, audience, testkit.Keyfunc("RS256"), []string{"RS256"},
				p.options...))(t)
			with := func(claims string) error {
				_, err := validator.Validate(t.Context(), p.sign(t, strings.Replace(p.access, "{", "{"+claims+",", 1), "ada", "phone", "1", "", time.Now()))
				return err
			}
			testkit.Must(t, with(`"SUB":"eve","Jti":1,"ACT":{"sub":"eve"},"TYP":"ID","Token_Use":"id","AZP":"x","AT_HASH":"x","Cid":7,"SCP":"x"`))
			demanded := map[string]string{
				"Keycloak": "typ", "Auth0": "azp", "Auth0RFC9068": "client_id", "Okta": "cid", "Entra": "ver", "EntraUser": "azp",
				"EntraApp": "azp", "Cognito": "token_use", "Supabase": "role", "Hydra": "client_id", "Authentik": "azp",
			}
			if name := demanded[p.name]; name != "" {
				testkit.WantError(t, with(`"`+name+`":"x"`), revoke.ErrInvalidToken)
			}
		})
	}
}

// TestIssuerNames has the names as the issuers write them.
func TestIssuerNames(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		issuers.Auth0Issuer("tenant.eu.auth0.com"):                  "https://tenant.eu.auth0.com/",
		issuers.CognitoIssuer("us-east-1", "us-east-1_example"):     "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_example",
		issuers.EntraIssuer("72f988bf-86f1-41af-91ab-2d7cd011db47"): "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
		issuers.FirebaseIssuer("my-project"):                        "https://securetoken.google.com/my-project",
		issuers.GoogleIssuer:                                        "https://accounts.google.com",
		issuers.SupabaseIssuer("abcdefgh"):                          "https://abcdefgh.supabase.co/auth/v1",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestDocumentation holds docs/issuers.md equal to the presets: the options as their source has
// them, and the rest as TestPresets shows it. Every preset has a row.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	source := readPresets(t)
	var read, revoked strings.Builder
	read.WriteString("| Preset | Options | Demanded of the claims | Audience | Id | Session | User | Skew |\n|---|---|---|---|---|---|---|---|\n")
	revoked.WriteString("| Preset | Can be revoked | Is lost | ID tokens | Logouts |\n|---|---|---|---|---|\n")
	for _, p := range presets {
		options, found := source[p.name]
		if p.audienceIs == "" && found {
			t.Errorf("the first row of %s has no documentation", p.name)
		}
		delete(source, p.name)
		if p.audienceIs == "" {
			continue
		}
		id, session, can := "derived", "–", "token, user, issuer"
		if p.id != "" {
			id = "`" + p.id + "`"
		}
		if p.session != "" {
			session, can = "`"+p.session+"`", "token, session, user, issuer"
		}
		fmt.Fprintf(&read, "| `%s` | %s | %s | %s | %s | %s | `%s` | %v s |\n", p.name, options.options(), options.claims(), p.audienceIs, id, session,
			p.subject, p.skew.Seconds())
		fmt.Fprintf(&revoked, "| `%s` | %s | %s | %s | %s |\n", p.name, can, p.lost, p.foreignIs, p.logouts)
	}
	for name := range source {
		t.Errorf("%s has no row", name)
	}
	page := string(testkit.Value(os.ReadFile("../docs/issuers.md"))(t))
	for _, table := range []string{read.String(), revoked.String()} {
		if !strings.Contains(page, "\n\n"+table+"\n") {
			t.Errorf("docs/issuers.md does not have this table:\n%s", table)
		}
	}
}

// optionList are the options of a preset as the tables show them.
type optionList struct{ other, checks []string }

func (l optionList) options() string { return dash(strings.Join(l.other, ", ")) }
func (l optionList) claims() string  { return dash(strings.Join(l.checks, ", ")) }

func dash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}

// readPresets reads the options of each preset from the source.
func readPresets(t *testing.T) map[string]optionList {
	t.Helper()
	fset := token.NewFileSet()
	bodies := map[string]*ast.BlockStmt{}
	for _, name := range testkit.Value(filepath.Glob("*.go"))(t) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, decl := range testkit.Value(parser.ParseFile(fset, name, nil, 0))(t).Decls {
			function, ok := decl.(*ast.FuncDecl)
			if !ok || !function.Name.IsExported() {
				continue
			}
			if _, ok := function.Type.Results.List[0].Type.(*ast.ArrayType); ok {
				bodies[function.Name.Name] = function.Body
			}
		}
	}
	var read func(body *ast.BlockStmt) optionList
	read = func(body *ast.BlockStmt) (list optionList) {
		ast.Inspect(body, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			switch called := call.Fun.(type) {
			case *ast.SelectorExpr:
				var text bytes.Buffer
				testkit.Must(t, format.Node(&text, fset, call))
				list.other = append(list.other, "`"+strings.ReplaceAll(text.String(), "revoke.", "")+"`")
				return false
			case *ast.Ident:
				if inner := bodies[called.Name]; inner != nil {
					of := read(inner)
					list.other, list.checks = append(list.other, of.other...), append(list.checks, of.checks...)
				} else if called.Name != "append" {
					list.checks = append(list.checks, demand(called.Name, call.Args))
					return false
				}
			}
			return true
		})
		return list
	}
	presets := map[string]optionList{}
	for name, body := range bodies {
		presets[name] = read(body)
	}
	return presets
}

// demand words a call of withClaim or withoutClaim.
func demand(function string, arguments []ast.Expr) string {
	text := func(i int) (string, bool) {
		literal, ok := arguments[i].(*ast.BasicLit)
		if !ok {
			return "", false
		}
		text, err := strconv.Unquote(literal.Value)
		return "`" + text + "`", err == nil
	}
	name, _ := text(0)
	if function == "withoutClaim" {
		return "no " + name
	}
	if len(arguments) == 1 {
		return name
	}
	if value, ok := text(1); ok {
		return name + " is " + value
	}
	return name + " is one of those given"
}
