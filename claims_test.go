package revoke_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
)

var ada = revoke.User{Issuer: testkit.Issuer, Subject: "ada"}

func TestNewClaims(t *testing.T) {
	t.Parallel()
	epochs := revoke.Epochs{User: 7, Issuer: 9}
	before := time.Now().Truncate(time.Second)
	claims := testkit.Value(revoke.NewClaims(ada, time.Hour, revoke.AudienceOf("api", "admin"), epochs))(t)
	after := time.Now()
	if claims.Issuer != ada.Issuer || claims.Subject != ada.Subject || !reflect.DeepEqual([]string(claims.Audience), []string{"api", "admin"}) {
		t.Errorf("claims of %q for %q to %q", claims.Issuer, claims.Subject, claims.Audience)
	}
	if iat := claims.IssuedAt.Time; iat.Before(before) || iat.After(after) || iat.Nanosecond() != 0 {
		t.Errorf("iat %v, want the second of %v", iat, after)
	}
	if exp, want := claims.ExpiresAt.Time, claims.IssuedAt.Add(time.Hour); !exp.Equal(want) {
		t.Errorf("exp %v, want %v", exp, want)
	}
	if claims.Epochs == nil || *claims.Epochs != epochs {
		t.Errorf("epochs %v, want %v", claims.Epochs, epochs)
	}
	if claims.NotBefore != nil {
		t.Errorf("nbf %v, want none", claims.NotBefore)
	}
	if len(claims.ID) < 26 || len(claims.SessionID) < 26 {
		t.Errorf("jti %q and sid %q have less than 128 bits", claims.ID, claims.SessionID)
	}
}

func TestNewClaimsAreDistinct(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		claims := testkit.Value(revoke.NewClaims(ada, time.Hour, revoke.AnyAudience(), revoke.Epochs{}))(t)
		for _, id := range []string{claims.ID, claims.SessionID} {
			if seen[id] {
				t.Fatalf("%q occurs twice", id)
			}
			seen[id] = true
		}
	}
}

// TestNewClaimsAreAccepted signs them as the comment says, and validates the token.
func TestNewClaimsAreAccepted(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory()
	key := testkit.TestKeys().EC
	for _, row := range []struct {
		name            string
		minted, checked revoke.Audience
		aud             bool // there is an aud
		want            error
	}{
		{"the audience", revoke.AudienceOf("api"), revoke.AudienceOf("api"), true, nil},
		{"one of several audiences", revoke.AudienceOf("api", "admin"), revoke.AudienceOf("admin", "billing"), true, nil},
		{"any audience of a token that names one", revoke.AudienceOf("api"), revoke.AnyAudience(), true, nil},
		{"any audience of a token that names none", revoke.AnyAudience(), revoke.AnyAudience(), false, nil},
		{"another audience", revoke.AudienceOf("billing"), revoke.AudienceOf("api"), true, jwt.ErrTokenInvalidAudience},
		{"an audience of a token that names none", revoke.AnyAudience(), revoke.AudienceOf("api"), false, jwt.ErrTokenRequiredClaimMissing},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			user := testkit.Token().User()
			old := testkit.Value(store.Epochs(t.Context(), user))(t)
			epochs := testkit.Value(store.RevokeUser(t.Context(), user))(t)
			validator := testkit.Value(revoke.NewValidator(store, testkit.Issuer, row.checked, testkit.Keyfunc("ES256"), []string{"ES256"},
				revoke.WithEpochClaim()))(t)
			sign := func(epochs revoke.Epochs) string {
				claims := testkit.Value(revoke.NewClaims(user, 15*time.Minute, row.minted, epochs))(t)
				return testkit.Value(jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(key))(t)
			}
			text := sign(epochs)
			payload := decoded(t, strings.Split(text, ".")[1])
			if strings.Contains(payload, `"aud"`) != row.aud {
				t.Errorf("the payload is %s", payload)
			}
			if row.want != nil {
				refused(t, validator, text, revoke.ErrInvalidToken, row.want)
				return
			}
			verified := accepted(t, validator, text)
			if verified.Epochs != epochs || verified.User() != user {
				t.Errorf("%+v, want the epochs %v of %v", verified.Token, epochs, user)
			}
			refused(t, validator, sign(old), revoke.ErrRevoked)
		})
	}
}

func TestNewClaimsOptions(t *testing.T) {
	t.Parallel()
	at := time.Date(2031, 2, 3, 4, 5, 6, 999_999_999, time.UTC)
	claims := testkit.Value(revoke.NewClaims(ada, revoke.MaxTokenLifetime, revoke.AnyAudience(), revoke.Epochs{},
		revoke.WithSessionID("phone"), revoke.WithIssuedAt(at)))(t)
	if claims.SessionID != "phone" {
		t.Errorf("sid %q", claims.SessionID)
	}
	if want := at.Truncate(time.Second); !claims.IssuedAt.Equal(want) || !claims.ExpiresAt.Equal(want.Add(revoke.MaxTokenLifetime)) {
		t.Errorf("iat %v and exp %v, want %v and MaxTokenLifetime after it", claims.IssuedAt, claims.ExpiresAt, want)
	}
}

func TestNewClaimsRefuses(t *testing.T) {
	t.Parallel()
	type arguments struct {
		user     revoke.User
		lifetime time.Duration
		audience revoke.Audience
		opts     []func(*revoke.Claims) error
	}
	option := func(opt func(*revoke.Claims) error) func(*arguments) {
		return func(a *arguments) { a.opts = []func(*revoke.Claims) error{opt} }
	}
	for _, row := range []struct {
		name string
		want string
		set  func(*arguments)
	}{
		{"no issuer", "issuer is empty", func(a *arguments) { a.user.Issuer = "" }},
		{"no subject", "subject is empty", func(a *arguments) { a.user.Subject = "" }},
		{"a subject that is too long", "at most 1024", func(a *arguments) { a.user.Subject = strings.Repeat("s", 1025) }},
		{"neither issuer nor subject", "issuer is empty; subject is empty", func(a *arguments) { a.user = revoke.User{} }},
		{"the zero audience", "no audience is named", func(a *arguments) { a.audience = revoke.Audience{} }},
		{"an empty audience", "audience is empty", func(a *arguments) { a.audience = revoke.AudienceOf("") }},
		{"no lifetime", "lifetime 0s", func(a *arguments) { a.lifetime = 0 }},
		{"less than a second", "lifetime 999ms", func(a *arguments) { a.lifetime = 999 * time.Millisecond }},
		{"a negative lifetime", "lifetime -1h0m0s", func(a *arguments) { a.lifetime = -time.Hour }},
		{"a lifetime above the maximum", "400 days", func(a *arguments) { a.lifetime = revoke.MaxTokenLifetime + 1 }},
		{"an empty session", "session is empty", option(revoke.WithSessionID(""))},
		{"a session with NUL", "NUL", option(revoke.WithSessionID("a\x00"))},
		{"the zero time", "before 1970", option(revoke.WithIssuedAt(time.Time{}))},
		{"a time after 9999", "after 9999", option(revoke.WithIssuedAt(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)))},
		{"a nil option", "option is nil", option(nil)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := arguments{user: ada, lifetime: time.Hour, audience: revoke.AudienceOf("api")}
			row.set(&a)
			claims, err := revoke.NewClaims(a.user, a.lifetime, a.audience, revoke.Epochs{}, a.opts...)
			wantConstructorError(t, "NewClaims", err, row.want)
			if !reflect.DeepEqual(claims, revoke.Claims{}) {
				t.Errorf("beside the error there is %+v", claims)
			}
		})
	}
	t.Run("the lifetime may be a second", func(t *testing.T) {
		t.Parallel()
		testkit.Value(revoke.NewClaims(ada, time.Second, revoke.AnyAudience(), revoke.Epochs{}))(t)
	})
}

// TestAudienceIsCopied changes the caller's slice after AudienceOf has read it, and the claims'.
func TestAudienceIsCopied(t *testing.T) {
	t.Parallel()
	names := []string{"api"}
	audience := revoke.AudienceOf(names...)
	names[0] = "other"
	claims := testkit.Value(revoke.NewClaims(ada, time.Hour, audience, revoke.Epochs{}))(t)
	claims.Audience[0] = "other"
	v := validatorOf(t, &askedFor{}, audience, testkit.Keyfunc("ES256"), "ES256")
	accepted(t, v, testkit.Mint(t, nil))
}

// TestAudience has tokens for other services: an ID token names the client, and not the service.
func TestAudience(t *testing.T) {
	t.Parallel()
	const idToken = `"nonce":"n","at_hash":"h"`
	for _, row := range []struct {
		name     string
		audience revoke.Audience
		aud      string
		want     error // nil where the token is accepted
	}{
		{"a text", revoke.AudienceOf("api"), `"api"`, nil},
		{"an array", revoke.AudienceOf("api"), `["api"]`, nil},
		{"one of several in the token", revoke.AudienceOf("api"), `["other","api"]`, nil},
		{"one of several names", revoke.AudienceOf("other", "api"), `"api"`, nil},
		{"another client", revoke.AudienceOf("api"), `"client-7"`, jwt.ErrTokenInvalidAudience},
		{"other clients", revoke.AudienceOf("api"), `["client-7","client-8"]`, jwt.ErrTokenInvalidAudience},
		{"capitals", revoke.AudienceOf("api"), `"API"`, jwt.ErrTokenInvalidAudience},
		{"a beginning", revoke.AudienceOf("api"), `"ap"`, jwt.ErrTokenInvalidAudience},
		{"absent", revoke.AudienceOf("api"), "", jwt.ErrTokenRequiredClaimMissing},
		{"another client, any audience", revoke.AnyAudience(), `"client-7"`, nil},
		{"absent, any audience", revoke.AnyAudience(), "", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			text := testkit.Mint(t, map[string]string{"aud": row.aud}, idToken)
			if row.want == nil {
				accepted(t, validatorOf(t, &askedFor{}, row.audience, testkit.Keyfunc("ES256"), "ES256"), text)
				return
			}
			v := validatorOf(t, neverAsked{t}, row.audience, testkit.Keyfunc("ES256"), "ES256")
			refused(t, v, text, revoke.ErrInvalidToken, row.want)
			_, err := v.Identify(t.Context(), text)
			testkit.WantError(t, err, revoke.ErrInvalidToken)
		})
	}
}

var errScope = errors.New("scope is missing")

// TestWithClaimsCheck gives a check that returns an error, and looks at what is made of it.
func TestWithClaimsCheck(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name         string
		result, want error
	}{
		{"an error of the app", errScope, revoke.ErrInvalidToken},
		{"a deadline", fmt.Errorf("ask for the tenant: %w", context.DeadlineExceeded), revoke.ErrUnavailable},
		{"a cancelled context", context.Canceled, revoke.ErrUnavailable},
		{"a network", &net.OpError{Op: "dial", Err: errors.New("refused")}, revoke.ErrUnavailable},
		{"unavailable", fmt.Errorf("tenants: %w", revoke.ErrUnavailable), revoke.ErrUnavailable},
		{"revoked", revoke.ErrRevoked, revoke.ErrInvalidToken},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			v := es256(t, neverAsked{t}, revoke.WithClaimsCheck(func(context.Context, *revoke.Verified) error { return row.result }))
			refused(t, v, testkit.Mint(t, nil), row.want)
			token, err := v.Identify(t.Context(), testkit.Mint(t, nil))
			testkit.WantError(t, err, row.want)
			if token != (revoke.Token{}) {
				t.Errorf("Identify = %+v beside an error", token)
			}
		})
	}
}

func TestWithClaimsCheckErrorIsReachable(t *testing.T) {
	t.Parallel()
	v := es256(t, neverAsked{t}, revoke.WithClaimsCheck(func(context.Context, *revoke.Verified) error { return errScope }))
	refused(t, v, testkit.Mint(t, nil), revoke.ErrInvalidToken, errScope, jwt.ErrTokenInvalidClaims)
}

func TestWithClaimsCheckSeesTheToken(t *testing.T) {
	t.Parallel()
	type key struct{}
	ctx := context.WithValue(t.Context(), key{}, "value")
	calls := 0
	check := func(ctx context.Context, verified *revoke.Verified) error {
		calls++
		var claims struct{ Scope string }
		if err := verified.Claims(&claims); err != nil {
			return err
		}
		if verified.Token != mintedToken() || claims.Scope != "read" || ctx.Value(key{}) != "value" {
			t.Errorf("the check sees %+v, %+v and the context's %v", verified.Token, claims, ctx.Value(key{}))
		}
		return nil
	}
	v := es256(t, &askedFor{}, revoke.WithClaimsCheck(check), revoke.WithClaimsCheck(check))
	text := testkit.Mint(t, nil, `"scope":"read"`)
	testkit.Value(v.Validate(ctx, text))(t)
	testkit.Value(v.Identify(ctx, text))(t)
	if calls != 4 {
		t.Errorf("%d calls of two checks by two methods", calls)
	}
}

// TestClaimsCheckChangesNoIdentity writes to the token that the check is given.
func TestClaimsCheckChangesNoIdentity(t *testing.T) {
	t.Parallel()
	check := func(_ context.Context, verified *revoke.Verified) error {
		verified.Token = revoke.Token{Issuer: verified.Issuer, ID: "another", IssuedAt: verified.IssuedAt, ExpiresAt: verified.ExpiresAt}
		return nil
	}
	store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
	v := es256(t, store, revoke.WithClaimsCheck(check))
	if verified := accepted(t, v, testkit.Mint(t, nil)); verified.Token != mintedToken() {
		t.Errorf("Validate = %+v, want %+v", verified.Token, mintedToken())
	}
	if token := testkit.Value(v.Identify(t.Context(), testkit.Mint(t, nil)))(t); token != mintedToken() {
		t.Errorf("Identify = %+v, want %+v", token, mintedToken())
	}
	testkit.Must(t, store.RevokeToken(t.Context(), mintedToken()))
	refused(t, v, testkit.Mint(t, nil), revoke.ErrRevoked)
}

// TestClaimsCheckComesLast has tokens that are refused before the claims check is asked.
func TestClaimsCheckComesLast(t *testing.T) {
	t.Parallel()
	good := testkit.Mint(t, nil)
	for _, row := range []text{
		{"forged", good[:len(good)-4] + "AAAA"},
		{"expired", testkit.Mint(t, map[string]string{"exp": testkit.At(0)})},
		{"another issuer", testkit.Mint(t, map[string]string{"iss": `"other"`})},
		{"another audience", testkit.Mint(t, map[string]string{"aud": `"other"`})},
		{"no jti", testkit.Mint(t, map[string]string{"jti": ""})},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			check := func(context.Context, *revoke.Verified) error { t.Error("the claims check was asked"); return nil }
			v := validatorOf(t, neverAsked{t}, revoke.AudienceOf("api"), testkit.Keyfunc("ES256"), "ES256", revoke.WithClaimsCheck(check))
			refused(t, v, row.token, revoke.ErrInvalidToken)
		})
	}
	t.Run("revoked", func(t *testing.T) {
		t.Parallel()
		store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
		testkit.Must(t, store.RevokeToken(t.Context(), mintedToken()))
		asked := false
		check := func(context.Context, *revoke.Verified) error { asked = true; return nil }
		refused(t, es256(t, store, revoke.WithClaimsCheck(check)), good, revoke.ErrRevoked)
		if !asked {
			t.Error("the claims check was not asked before the store")
		}
	})
}

// appClaims are an app's own, which validate themselves.
type appClaims struct {
	revoke.Claims
	Scope []string `json:"scope"`
}

func (c *appClaims) Validate() error {
	switch {
	case len(c.Scope) == 0:
		return errScope
	case c.Scope[0] == "slow":
		return fmt.Errorf("ask for the tenant: %w", context.DeadlineExceeded)
	case c.Scope[0] == "revoked":
		return revoke.ErrRevoked
	}
	return nil
}

func TestClaimsDecodeInto(t *testing.T) {
	t.Parallel()
	verified := accepted(t, es256(t, &askedFor{}), testkit.Mint(t, nil, `"scope":["read","write"]`))
	t.Run("the claims of an app", func(t *testing.T) {
		t.Parallel()
		var claims appClaims
		testkit.Must(t, verified.Claims(&claims))
		if len(claims.Scope) != 2 || claims.Subject != "ada" || claims.SessionID != "session-1" {
			t.Errorf("%+v", claims)
		}
	})
	t.Run("the registered claims", func(t *testing.T) {
		t.Parallel()
		var claims jwt.RegisteredClaims
		testkit.Must(t, verified.Claims(&claims))
		if claims.ID != "token-1" || !claims.ExpiresAt.Equal(mintedToken().ExpiresAt) {
			t.Errorf("%+v", claims)
		}
	})
	t.Run("a map", func(t *testing.T) {
		t.Parallel()
		var claims jwt.MapClaims
		testkit.Must(t, verified.Claims(&claims))
		if claims["jti"] != "token-1" || len(claims) != len(testkit.Members())+1 {
			t.Errorf("%+v", claims)
		}
	})
	t.Run("new values at each call", func(t *testing.T) {
		t.Parallel()
		var first, second map[string]any
		testkit.Must(t, verified.Claims(&first))
		first["sub"] = "bob"
		testkit.Must(t, verified.Claims(&second))
		if second["sub"] != "ada" || verified.Subject != "ada" {
			t.Errorf("after a change the subject is %v", second["sub"])
		}
	})
	for _, row := range []struct{ name, aud string }{{"a text", `"api"`}, {"an array", `["api"]`}} {
		t.Run("an aud that is "+row.name, func(t *testing.T) {
			t.Parallel()
			var claims revoke.Claims
			testkit.Must(t, accepted(t, es256(t, &askedFor{}), testkit.Mint(t, map[string]string{"aud": row.aud})).Claims(&claims))
			if !reflect.DeepEqual([]string(claims.Audience), []string{"api"}) {
				t.Errorf("aud %q", claims.Audience)
			}
		})
	}
}

func TestClaimsValidateThemselves(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, scope string
		want        error // nil where Claims is
	}{
		{"the method accepts", `"scope":["read"]`, nil},
		{"the method refuses", `"scope":[]`, revoke.ErrInvalidToken},
		{"the method has an outage", `"scope":["slow"]`, revoke.ErrUnavailable},
		{"the method says revoked", `"scope":["revoked"]`, revoke.ErrInvalidToken},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			verified := accepted(t, es256(t, &askedFor{}), testkit.Mint(t, nil, row.scope))
			err := verified.Claims(&appClaims{})
			if row.want == nil {
				testkit.Must(t, err)
				return
			}
			testkit.WantError(t, err, row.want)
		})
	}
	for _, row := range []struct {
		name string
		into func() any
	}{
		{"a pointer to a pointer", func() any { return new(*appClaims) }},
		{"a pointer to a pointer that is set", func() any { claims := &appClaims{}; return &claims }},
		{"a pointer in an interface", func() any { var claims any = &appClaims{}; return &claims }},
	} {
		t.Run("by way of "+row.name, func(t *testing.T) {
			t.Parallel()
			verified := accepted(t, es256(t, &askedFor{}), testkit.Mint(t, nil, `"scope":["read"]`))
			testkit.Must(t, verified.Claims(row.into()))
			verified = accepted(t, es256(t, &askedFor{}), testkit.Mint(t, nil, `"scope":[]`))
			testkit.WantError(t, verified.Claims(row.into()), revoke.ErrInvalidToken)
		})
	}
	t.Run("the app's own error is reachable", func(t *testing.T) {
		t.Parallel()
		err := accepted(t, es256(t, &askedFor{}), testkit.Mint(t, nil)).Claims(&appClaims{})
		if !errors.Is(err, errScope) || !errors.Is(err, jwt.ErrTokenInvalidClaims) {
			t.Errorf("Claims = %v", err)
		}
	})
}

// homeURL has errors that look like those of a network, and quote their input.
type homeURL struct{ *url.URL }

func (h *homeURL) UnmarshalText(text []byte) (err error) {
	h.URL, err = url.Parse(string(text))
	return err
}

// TestClaimsThatDoNotDecode reads the errors: they name the claim where they can, say nothing of
// its value, and are no outage although some of the causes look like one. The signatures are
// good: a forged token is refused before.
func TestClaimsThatDoNotDecode(t *testing.T) {
	t.Parallel()
	const secret = "another-secret"
	for _, row := range []struct {
		name, member string
		into         any
		want         string
	}{
		{"a text for a list", `"scope":"another-secret"`, &appClaims{}, `claim "scope" does not fit into []string`},
		{"a number for a text", `"name":123456789012345`, &struct {
			Name string `json:"name"`
		}{}, `claim "name" does not fit into string`},
		{"a number that is too large", `"age":123456789012345`, &struct {
			Age int8 `json:"age"`
		}{}, `claim "age" does not fit into int8`},
		{"a member further in", `"org":{"roles":"another-secret"}`, &struct {
			Org struct {
				Roles []string `json:"roles"`
			} `json:"org"`
		}{}, `claim "org.roles" does not fit into []string`},
		{"a map of numbers", `"scope":"another-secret"`, &map[string]int{}, "a claim does not fit into int"},
		{"an address", `"ip":"another-secret"`, &struct {
			Address net.IP `json:"ip"`
		}{}, "the claims do not fit into *struct"},
		{"a URL", `"home":"http://[::1another-secret"`, &struct {
			Home homeURL `json:"home"`
		}{}, "the claims do not fit into *struct"},
		{"a text that is no number", `"n":"another-secret"`, &struct {
			N int `json:"n,string"`
		}{}, "the claims do not fit into *struct"},
		{"a time", `"at":"another-secret"`, &struct{ At time.Time }{}, "the claims do not fit into *struct"},
		{"a json.Number", `"n":"another-secret"`, &struct{ N json.Number }{}, "the claims do not fit into *struct"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			text := testkit.Mint(t, nil, row.member)
			err := accepted(t, es256(t, &askedFor{}), text).Claims(row.into)
			testkit.WantError(t, err, revoke.ErrInvalidToken)
			if !errors.Is(err, jwt.ErrTokenInvalidClaims) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("Claims = %v, want %q in it", err, row.want)
			}
			saysNothing(t, err, testkit.Base64(secret)+"."+text[:20], []string{secret, "123456789012345"})
			refused(t, es256(t, neverAsked{t}), text[:len(text)-4]+"AAAA", revoke.ErrInvalidToken)
		})
	}
}

// TestClaim reads one claim in exactly its spelling.
func TestClaim(t *testing.T) {
	t.Parallel()
	verified := accepted(t, es256(t, &askedFor{}), testkit.Mint(t, map[string]string{"role": `{"a":1}`, "none": "null"},
		`"ROLE":"x"`, `"JTI":"y"`, `"twice":1`, `"twice":1`, `"\u0065scaped":true`))
	for name, want := range map[string]string{"role": `{"a":1}`, "ROLE": `"x"`, "jti": `"token-1"`, "JTI": `"y"`, "none": "null", "escaped": "true", "missing": "", "": ""} {
		if got := testkit.Value(verified.Claim(name))(t); string(got) != want || (got == nil) != (want == "") {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	got, err := verified.Claim("twice")
	if testkit.WantError(t, err, revoke.ErrInvalidToken); got != nil || !strings.Contains(err.Error(), `"twice" occurs more than once`) {
		t.Errorf("%s, %v", got, err)
	}
	_, err = (&revoke.Verified{}).Claim("role")
	testkit.WantError(t, err, revoke.ErrInvalidToken)
}

// TestClaimsOfNoPointer is a mistake in the program, which the error tells.
func TestClaimsOfNoPointer(t *testing.T) {
	t.Parallel()
	verified := accepted(t, es256(t, &askedFor{}), testkit.Mint(t, nil))
	for _, row := range []struct {
		name string
		into any
		want string
	}{
		{"nil", nil, "Unmarshal(nil)"},
		{"a struct", revoke.Claims{}, "non-pointer revoke.Claims"},
		{"a nil pointer", (*revoke.Claims)(nil), "nil *revoke.Claims"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if err := verified.Claims(row.into); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("Claims = %v, want %q in it", err, row.want)
			}
		})
	}
}

// lyingClaims say of themselves what the token does not.
type lyingClaims struct{ jwt.RegisteredClaims }

func (lyingClaims) GetSubject() (string, error) { return "another", nil }

func (lyingClaims) GetExpirationTime() (*jwt.NumericDate, error) {
	return jwt.NewNumericDate(testkit.Now.Add(1000 * time.Hour)), nil
}

// TestIdentityComesFromTheBytes decodes into claims with getters that say something else.
func TestIdentityComesFromTheBytes(t *testing.T) {
	t.Parallel()
	check := func(_ context.Context, verified *revoke.Verified) error { return verified.Claims(&lyingClaims{}) }
	verified := accepted(t, es256(t, &askedFor{}, revoke.WithClaimsCheck(check)), testkit.Mint(t, nil))
	if verified.Token != mintedToken() {
		t.Errorf("%+v, want %+v", verified.Token, mintedToken())
	}
	expired := testkit.Mint(t, map[string]string{"exp": testkit.At(-time.Second)})
	refused(t, es256(t, neverAsked{t}, revoke.WithClaimsCheck(check)), expired, revoke.ErrInvalidToken, jwt.ErrTokenExpired)
}
