package session_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/session"
)

// decoded are the header and the claims of a token.
func decoded(t *testing.T, text string) (header, claims map[string]any) {
	t.Helper()
	testkit.Must(t, json.Unmarshal([]byte(payload(t, text)), &claims))
	data := testkit.Value(jwt.NewParser().DecodeSegment(strings.Split(text, ".")[0]))(t)
	testkit.Must(t, json.Unmarshal(data, &header))
	return header, claims
}

// TestTokens is what tokens say.
func TestTokens(t *testing.T) {
	t.Parallel()
	a := newApp(t, session.WithClaims(func(_ context.Context, grant session.Grant) (map[string]any, error) {
		return map[string]any{"role": "admin", "started": grant.Started, "of": grant.User.Subject + grant.Client + grant.Session.ID}, nil
	}))
	epochs := testkit.Value(a.store.RevokeUser(t.Context(), a.user))(t)
	first := testkit.Value(a.Start(t.Context(), a.user, epochs, session.Device{Client: "phone"}))(t)
	second := testkit.Value(a.Refresh(t.Context(), first.Refresh, session.Device{Client: "phone"}))(t)
	for i, tokens := range []session.Tokens{first, second} {
		header, claims := decoded(t, tokens.Access)
		if header["typ"] != "at+jwt" || header["kid"] != "1" || header["alg"] != "EdDSA" {
			t.Errorf("header %v", header)
		}
		verified := testkit.Value(a.validator.Validate(t.Context(), tokens.Access))(t)
		if verified.Subject != "ada" || verified.SessionID != first.Session.ID || verified.ID == "" || verified.Epochs != epochs || !verified.HasEpochs ||
			!verified.ExpiresAt.Equal(tokens.AccessExpiresAt) {
			t.Errorf("%+v", verified.Token)
		}
		if claims["client_id"] != "phone" || claims["role"] != "admin" || claims["started"] != (i == 0) || claims["of"] != "adaphone"+first.Session.ID {
			t.Errorf("claims %v", claims)
		}
		header, claims = decoded(t, tokens.Refresh)
		if header["typ"] != "rt+jwt" || header["kid"] != "1" || claims["jti"] != nil || claims["aud"] != nil || claims["role"] != nil ||
			claims["sub"] != "ada" || claims["sid"] != first.Session.ID || claims["client_id"] != "phone" || claims["generation"] != float64(i+1) {
			t.Errorf("refresh token %v %v", header, claims)
		}
		if exp := time.Unix(number(claims, "exp"), 0); !exp.Equal(tokens.RefreshExpiresAt) || !exp.Equal(first.RefreshExpiresAt) {
			t.Errorf("the refresh token expires at %v, %v", exp, tokens.RefreshExpiresAt)
		}
	}
	// A refresh token does not tell when it was rotated: but for the generation it is the
	// first one.
	if one, two := payload(t, first.Refresh), payload(t, second.Refresh); strings.Replace(one, `"generation":1`, `"generation":2`, 1) != two {
		t.Errorf("%s became %s", one, two)
	}
	row := a.state(first)
	for _, part := range append(strings.Split(first.Refresh, "."), strings.Split(second.Access, ".")...) {
		if strings.Contains(row, part) {
			t.Errorf("the database knows a part of a token: %s", part)
		}
	}
}

// TestAccessLifetime varies, and ends with the session.
func TestAccessLifetime(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	a := newApp(t, session.WithClock(func() time.Time { return now }))
	seen := make(map[time.Duration]bool)
	tokens := a.start()
	for range 50 {
		lifetime := tokens.AccessExpiresAt.Sub(now)
		seen[lifetime] = true
		if lifetime > session.DefaultAccessLifetime || lifetime < session.DefaultAccessLifetime*4/5-time.Second {
			t.Fatalf("an access token lives for %v", lifetime)
		}
		a.pass(tokens, grace)
		tokens = a.rotates(tokens)
	}
	if len(seen) < 20 {
		t.Errorf("%d lifetimes of 50 tokens", len(seen))
	}
	now = tokens.RefreshExpiresAt.Add(-time.Minute)
	tokens = a.answersCurrent(tokens)
	if !tokens.AccessExpiresAt.Equal(tokens.RefreshExpiresAt) {
		t.Errorf("the access token ends at %v, the session at %v", tokens.AccessExpiresAt, tokens.RefreshExpiresAt)
	}
}

// TestKeysChange without a restart.
func TestKeysChange(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	testkit.Must(t, err)
	ec := testkit.Value(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	older := session.Key{ID: "older", Method: jwt.SigningMethodEdDSA, Private: private}
	newer := session.Key{ID: "newer", Method: jwt.SigningMethodES256, Private: ec}
	verifies := older
	verifies.Private, verifies.Public = nil, private.Public()
	var keys atomic.Pointer[[]session.Key]
	set := func(list ...session.Key) { keys.Store(&list) }
	a = a.signing(func(context.Context) ([]session.Key, error) { return *keys.Load(), nil })
	a.validator = testkit.Value(a.NewValidator(a.store))(t)
	set(older)
	first := a.start()
	set(newer, verifies)
	a.accepts(first, true)
	second := a.rotates(first)
	if header, _ := decoded(t, second.Refresh); header["kid"] != "newer" || header["alg"] != "ES256" {
		t.Errorf("header %v", header)
	}
	a.accepts(second, true)
	public := testkit.Value(a.PublicKeys(t.Context()))(t)
	if len(public) != 2 || public[0].ID != "newer" || public[0].Algorithm != "ES256" || !ec.PublicKey.Equal(public[0].Key) || public[1].ID != "older" {
		t.Errorf("PublicKeys = %+v", public)
	}
	set(newer)
	a.fails(first, session.Invalid)
	_, err = a.validator.Validate(t.Context(), first.Access)
	testkit.WantError(t, err, revoke.ErrInvalidToken)
	newer.ID = "older" // of another algorithm than the token's
	set(newer)
	a.fails(first, session.Invalid)

	weak := testkit.Value(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t)
	for _, test := range []struct {
		name string
		keys []session.Key
		want string
	}{
		{"none", nil, "no keys"},
		{"none that signs", []session.Key{verifies}, "none of them can sign"},
		{"one ID twice", []session.Key{older, {ID: "older", Method: jwt.SigningMethodES256, Private: ec}}, "the ID of another"},
		{"no ID", []session.Key{{Method: jwt.SigningMethodES256, Private: ec}}, "its ID is empty"},
		{"no method", []session.Key{{ID: "1", Private: ec}}, "no Method"},
		{"a method of another kind", []session.Key{{ID: "1", Method: jwt.SigningMethodHS256, Private: testkit.TestKeys().Secret}}, "WithAlgorithms"},
		{"another curve", []session.Key{{ID: "1", Method: jwt.SigningMethodES256, Private: weak}}, "P-256"},
		{"a method that is nil", []session.Key{{ID: "1", Method: (*jwt.SigningMethodECDSA)(nil), Private: ec}}, "no Method"},
		{"a private key that is nil", []session.Key{{ID: "1", Method: jwt.SigningMethodES256, Private: (*ecdsa.PrivateKey)(nil)}}, "nil *ecdsa.PrivateKey"},
		{"a signer that is nil", []session.Key{{ID: "1", Method: jwt.SigningMethodES256, Private: (*remote)(nil), Public: ec.Public()}}, "nil *session_test.remote"},
		{"a private key that is empty", []session.Key{{ID: "1", Method: jwt.SigningMethodES256, Private: &ecdsa.PrivateKey{}, Public: ec.Public()}}, "its Private cannot be used"},
		{"a private key that is too short", []session.Key{{ID: "1", Method: jwt.SigningMethodEdDSA, Private: ed25519.PrivateKey("short")}}, "of 5 bytes, not 64"},
		{"a public key of another private key", []session.Key{
			{ID: "1", Method: jwt.SigningMethodEdDSA, Private: private, Public: testkit.TestKeys().Ed.Public()},
		}, "not that of its Private"},
		{"a signer without a public key", []session.Key{{ID: "1", Method: jwt.SigningMethodES256, Private: &remote{}}}, "its Public cannot be used"},
	} {
		t.Run(test.name, func(t *testing.T) {
			set(test.keys...)
			_, err := a.Start(t.Context(), a.user, revoke.Epochs{}, browser)
			testkit.WantError(t, err, revoke.ErrUnavailable)
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q in it", err, test.want)
			}
		})
	}
	a.wantListed(second)
}

// TestSecrets of HMAC sign and verify, and stand in no JWK Set.
func TestSecrets(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a = a.signing(session.StaticKeys(session.Key{ID: "1", Method: jwt.SigningMethodHS256, Private: testkit.TestKeys().Secret}), session.WithAlgorithms("HS256"))
	a.validator = testkit.Value(a.NewValidator(a.store))(t)
	first := a.start()
	a.accepts(a.rotates(first), true)
	if public := testkit.Value(a.PublicKeys(t.Context()))(t); len(public) != 0 {
		t.Errorf("PublicKeys = %+v", public)
	}
	for _, test := range []struct {
		public any
		want   string
	}{
		{testkit.TestKeys().Secret, ""},
		{append([]byte("x"), testkit.TestKeys().Secret...), "not that of its Private"},
	} {
		key := session.Key{ID: "1", Method: jwt.SigningMethodHS256, Private: testkit.TestKeys().Secret, Public: test.public}
		b := a.signing(session.StaticKeys(key), session.WithAlgorithms("HS256"))
		_, err := b.Start(t.Context(), a.user, revoke.Epochs{}, browser)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("Start = %v, want %q", err, test.want)
		}
	}
}

// TestNew refuses what it cannot work with.
func TestNew(t *testing.T) {
	t.Parallel()
	store, pool := testkit.Store(t)
	readOnly := testkit.OpenStore(t, pool, revoke.WithReadOnlyConnections())
	elsewhere := testkit.OpenStore(t, pool, revoke.WithIssuers("https://elsewhere.example"))
	audience := revoke.AudienceOf("api")
	type arguments struct {
		store    *revoke.Postgres
		issuer   string
		audience revoke.Audience
		keys     session.Keys
	}
	good := arguments{store, testkit.Issuer, audience, signer()}
	option := func(opt session.Option) []session.Option { return []session.Option{opt} }
	for _, test := range []struct {
		name string
		set  func(*arguments)
		opts []session.Option
		want string
	}{
		{"no store", func(a *arguments) { a.store = nil }, nil, "store is nil"},
		{"a store that was not made", func(a *arguments) { a.store = new(revoke.Postgres) }, nil, "revoke.NewPostgres"},
		{"a store that only reads", func(a *arguments) { a.store = readOnly }, nil, "WithReadOnlyConnections"},
		{"an issuer that the store does not know", func(a *arguments) { a.store = elsewhere }, nil, "elsewhere"},
		{"no issuer", func(a *arguments) { a.issuer = "" }, nil, "issuer is empty"},
		{"no audience", func(a *arguments) { a.audience = revoke.Audience{} }, nil, "audience"},
		{"no keys", func(a *arguments) { a.keys = nil }, nil, "keys is nil"},
		{"a nil option", nil, option(nil), "an option is nil"},
		{"an access lifetime of nothing", nil, option(session.WithAccessLifetime(0)), "access lifetime 0s"},
		{"an access lifetime of days", nil, option(session.WithAccessLifetime(25 * time.Hour)), "access lifetime 25h"},
		{"a negative grace", nil, option(session.WithGrace(-1)), "grace -1ns"},
		{"a grace that is too short", nil, option(session.WithGrace(time.Millisecond)), "grace 1ms"},
		{"a grace that is too long", nil, option(session.WithGrace(time.Hour)), "grace 1h"},
		{"an idle timeout that is too short", nil, option(session.WithIdleTimeout(16 * time.Minute)), "idle timeout 16m"},
		{"an absolute lifetime that is too short", nil, option(session.WithAbsoluteLifetime(24 * time.Hour)), "absolute lifetime 24h"},
		{"an absolute lifetime that is too long", nil, option(session.WithAbsoluteLifetime(401 * 24 * time.Hour)), "absolute lifetime 9624h"},
		{"no sessions", nil, option(session.WithMaxSessions(0)), "0 sessions"},
		{"no mirror", nil, option(session.WithMirror(nil)), "mirror is nil"},
		{"a mirror that is nil", nil, option(session.WithMirror((*mirrored)(nil))), "mirror is nil"},
		{"no claims", nil, option(session.WithClaims(nil)), "claims is nil"},
		{"no clock", nil, option(session.WithClock(nil)), "clock is nil"},
		{"no algorithms", nil, option(session.WithAlgorithms()), "no algorithm"},
		{"the algorithm none", nil, option(session.WithAlgorithms("none")), "signs nothing"},
		{"algorithms of both kinds", nil, option(session.WithAlgorithms("HS256", "ES256")), "mix HMAC"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			args := good
			if test.set != nil {
				test.set(&args)
			}
			sessions, err := session.New(args.store, args.issuer, args.audience, args.keys, test.opts...)
			if err == nil || sessions != nil || !strings.HasPrefix(err.Error(), "session: New: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("New = %v, want %q in it", err, test.want)
			}
		})
	}
	// No option makes the validator one of other tokens.
	sessions := testkit.Value(session.New(store, testkit.Issuer, audience, signer()))(t)
	for name, opt := range map[string]revoke.ValidatorOption{
		"WithIssueTime": revoke.WithIssueTime(), "WithoutSession": revoke.WithoutSession(),
		"WithClaimNames": revoke.WithClaimNames(revoke.ClaimNames{Session: "app_session"}), "numbers": revoke.WithClaimNames(revoke.ClaimNames{Numbers: true}),
		"WithDerivedID": revoke.WithDerivedID(), "WithIssuerAliases": revoke.WithIssuerAliases("other"),
		"WithOptionalID": revoke.WithOptionalID(), "WithOptionalSubject": revoke.WithOptionalSubject(),
		"WithOptionalIssuedAt": revoke.WithOptionalIssuedAt(), "WithOptionalIssuer": revoke.WithOptionalIssuer(),
		"WithOptionalEpochClaim": revoke.WithOptionalEpochClaim(), "WithBoundTokens": revoke.WithBoundTokens(), "WithPaddedTokens": revoke.WithPaddedTokens(),
	} {
		if _, err := sessions.NewValidator(store, opt); err == nil {
			t.Errorf("NewValidator takes %s", name)
		}
		if _, err := sessions.NewRefreshValidator(store, opt); err == nil {
			t.Errorf("NewRefreshValidator takes %s", name)
		}
	}
	narrower := []revoke.ValidatorOption{
		revoke.WithRequiredSessionExcept(func(context.Context, *revoke.Verified) error { return nil }), revoke.WithLeeway(time.Second),
		revoke.WithMaxLifetime(time.Hour), revoke.WithTokenType("other+jwt"),
	}
	v := testkit.Value(sessions.NewValidator(store, narrower...))(t)
	if foreign := v.ForeignOptions(); len(foreign) > 0 || !v.RequiresSession(testkit.Issuer) {
		t.Errorf("the validator has %q", foreign)
	}
}

// TestClaimsOfTheApp may not be ours.
func TestClaimsOfTheApp(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for _, name := range []string{"iss", "sub", "SUB", "jti", "sid", "iat", "exp", "nbf", "aud", "epochs", "client_id", "generation", "cnf", "events", "ſub"} {
		odd := a.with(session.WithClaims(func(context.Context, session.Grant) (map[string]any, error) { return map[string]any{name: "x"}, nil }))
		_, err := odd.Start(t.Context(), a.user, revoke.Epochs{}, browser)
		testkit.WantError(t, err, revoke.ErrUnavailable)
	}
	large := a.with(session.WithClaims(func(context.Context, session.Grant) (map[string]any, error) {
		return map[string]any{"x": strings.Repeat("x", revoke.DefaultMaxTokenSize)}, nil
	}))
	if _, err := large.Start(t.Context(), a.user, revoke.Epochs{}, browser); !errors.Is(err, revoke.ErrUnavailable) {
		t.Errorf("a token that no validator accepts: %v", err)
	}
	a.wantListed()
}

// TestDevices are of foreign clients, and nothing of them makes a call fail but the app's own.
func TestDevices(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	long := strings.Repeat("ü", 1000)
	odd := session.Device{Label: "a\x00b", UserAgent: long, Address: "\xff", Attributes: map[string]string{"a\x00": long}}
	first := testkit.Value(a.Start(t.Context(), a.user, revoke.Epochs{}, odd))(t)
	list := testkit.Value(a.List(t.Context(), a.user))(t)
	if len(list) != 1 || list[0].Label != "ab" || list[0].UserAgent != long[:1024] || list[0].Address != "" || list[0].Attributes["a"] != long[:1024] {
		t.Errorf("List = %+v", list)
	}
	testkit.Value(a.Refresh(t.Context(), first.Refresh, odd))(t)
	many := session.Device{Attributes: make(map[string]string)}
	for i := range session.MaxAttributes + 1 {
		many.Attributes[string(rune('a'+i))] = ""
	}
	for _, device := range []session.Device{many, {Client: "a\x00"}, {Client: strings.Repeat("x", 1025)}, {Client: first.Access}} {
		if _, err := a.Start(t.Context(), a.user, revoke.Epochs{}, device); err == nil || errors.Is(err, revoke.ErrUnavailable) {
			t.Errorf("Start with %.40v = %v", device, err)
		}
	}
	// The token is good, so a client must not drop it.
	_, err := a.Refresh(t.Context(), first.Refresh, many)
	testkit.WantError(t, err, revoke.ErrUnavailable)
	quiet := a.with(session.WithoutDeviceDetails())
	tokens := quiet.start()
	row := a.state(tokens)
	if strings.Contains(row, browser.UserAgent) || strings.Contains(row, browser.Address) {
		t.Errorf("the row has the device: %s", row)
	}
	tokens = a.start()
	quiet.rotates(tokens)
	if row := a.state(tokens); strings.Contains(row, browser.UserAgent) {
		t.Errorf("the row keeps the device: %s", row)
	}
}

// hook keeps what it hears.
type hook struct{ events []revoke.RefreshEvent }

// OnRefresh implements revoke.RefreshHook.
func (h *hook) OnRefresh(_ context.Context, event revoke.RefreshEvent) {
	h.events = append(h.events, event)
}

// TestHooks hear of every refresh and of every reuse, and of no name.
func TestHooks(t *testing.T) {
	t.Parallel()
	var heard hook
	store, pool := testkit.Store(t, revoke.WithHook(&heard))
	a := onStore(t, store, pool)
	first := a.start()
	want := func(outcome string, behind int64, otherAgent, otherAddress bool) {
		t.Helper()
		if len(heard.events) != 1 {
			t.Fatalf("%d events", len(heard.events))
		}
		event := heard.events[0]
		heard.events = nil
		if event.Outcome != outcome || event.Behind != behind || event.OtherAgent != otherAgent || event.OtherAddress != otherAddress ||
			event.Duration <= 0 || event.Cancelled {
			t.Errorf("%+v, want %s", event, outcome)
		}
		if event.Err != nil && (strings.Contains(event.Err.Error(), "ada") || strings.Contains(event.Err.Error(), first.Session.ID)) {
			t.Errorf("the event names the user: %v", event.Err)
		}
	}
	second := a.rotates(first)
	want("rotated", 0, false, false)
	a.answersCurrent(second)
	want("repeated", 0, false, false)
	a.answersPredecessor(first, second)
	want("repeated", 1, false, false)
	testkit.Value(a.Refresh(t.Context(), first.Refresh, session.Device{UserAgent: "curl", Address: "203.0.113.9"}))(t)
	want("repeated", 1, true, true)
	a.pass(first, grace)
	a.fails(first, session.Replayed)
	want("replayed", 1, false, false)
	a.fails(second, session.Ended)
	want("ended", 0, false, false)
	a.fails(session.Tokens{Refresh: "x"}, session.Invalid)
	want("invalid", 0, false, false)
	forgotten := a.start()
	testkit.Must(t, a.Forget(t.Context(), a.user))
	a.rotates(forgotten)
	want("rotated", 0, false, false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := a.Refresh(ctx, second.Refresh, browser)
	testkit.WantError(t, err, revoke.ErrUnavailable)
	if len(heard.events) != 1 || !heard.events[0].Cancelled || heard.events[0].Outcome != "unavailable" {
		t.Errorf("%+v", heard.events)
	}
}
