package revoke_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
)

// neverAsked is a checker that fails the test if it is asked.
type neverAsked struct{ testing.TB }

func (n neverAsked) Check(_ context.Context, token revoke.Token) error {
	n.Errorf("the store was asked about %+v", token)
	return nil
}

// askedFor is a checker that accepts every token and remembers it.
type askedFor struct {
	mu     sync.Mutex
	tokens []revoke.Token
}

func (a *askedFor) Check(_ context.Context, token revoke.Token) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens = append(a.tokens, token)
	return nil
}

// checkerFunc is a checker made of a function.
type checkerFunc func(context.Context, revoke.Token) error

func (f checkerFunc) Check(ctx context.Context, token revoke.Token) error { return f(ctx, token) }

// es256 returns a validator of testkit's tokens, for any audience.
func es256(tb testing.TB, checker revoke.Checker, opts ...revoke.ValidatorOption) *revoke.Validator {
	tb.Helper()
	return validatorFor(tb, checker, "ES256", opts...)
}

func validatorFor(tb testing.TB, checker revoke.Checker, alg string, opts ...revoke.ValidatorOption) *revoke.Validator {
	tb.Helper()
	return validatorOf(tb, checker, revoke.AnyAudience(), testkit.Keyfunc(alg), alg, opts...)
}

// validatorOf returns a validator with a clock that stands still at testkit.Now.
func validatorOf(tb testing.TB, checker revoke.Checker, audience revoke.Audience, keyfunc jwt.Keyfunc, alg string,
	opts ...revoke.ValidatorOption,
) *revoke.Validator {
	tb.Helper()
	opts = append([]revoke.ValidatorOption{revoke.WithClock(testkit.Clock)}, opts...)
	v := testkit.Value(revoke.NewValidator(checker, testkit.Issuer, audience, keyfunc, []string{alg}, opts...))(tb)
	twin := testkit.Value(revoke.NewValidator(checker, testkit.Issuer, audience, keyfunc, []string{alg}, append(opts, revoke.WithSignatureMemory(0))...))(tb)
	twins.Store(v, twin)
	tb.Cleanup(func() { twins.Delete(v) })
	return v
}

// twins are the validators of validatorOf without a signature memory, by those with one.
var twins sync.Map

func twinOf(v *revoke.Validator) (twin *revoke.Validator, ok bool) {
	found, _ := twins.Load(v)
	twin, ok = found.(*revoke.Validator)
	return twin, ok
}

// accepted expects the validator to accept the token.
func accepted(tb testing.TB, v *revoke.Validator, text string) *revoke.Verified {
	tb.Helper()
	return testkit.Value(v.Validate(tb.Context(), text))(tb)
}

// refused expects an error that matches want, also one of golang-jwt's where it is given, and
// nothing else: no token, and no text of the token in the error. A validator of validatorOf is
// expected to answer the same without its signature memory.
func refused(tb testing.TB, v *revoke.Validator, text string, want error, also ...error) {
	tb.Helper()
	verified, err := v.Validate(tb.Context(), text)
	if twin, ok := twinOf(v); ok {
		if _, without := twin.Validate(tb.Context(), text); fmt.Sprint(without) != fmt.Sprint(err) {
			tb.Errorf("%v, and without the signature memory %v", err, without)
		}
	}
	if err == nil {
		tb.Fatalf("accepted as %+v", verified)
	}
	testkit.WantError(tb, err, want)
	for _, sentinel := range also {
		if !errors.Is(err, sentinel) {
			tb.Errorf("error %v does not match %v", err, sentinel)
		}
	}
	if verified != nil {
		tb.Errorf("beside the error %v there is %+v", err, verified)
	}
	for part := range strings.SplitSeq(text, ".") {
		if len(part) > 10 && strings.Contains(err.Error(), part[:10]) {
			tb.Errorf("the error quotes the token: %v", err)
		}
	}
}

// mintedToken is the identity of testkit.Mint's token.
func mintedToken() revoke.Token {
	return revoke.Token{
		Issuer: testkit.Issuer, ID: "token-1", Subject: "ada", SessionID: "session-1",
		IssuedAt: testkit.Now.Add(-time.Minute), ExpiresAt: testkit.Now.Add(10 * time.Minute),
	}
}

func TestNewValidatorRefuses(t *testing.T) {
	t.Parallel()
	type arguments struct {
		checker    revoke.Checker
		issuer     string
		audience   revoke.Audience
		keyfunc    jwt.Keyfunc
		algorithms []string
		opts       []revoke.ValidatorOption
	}
	option := func(opt revoke.ValidatorOption) func(*arguments) {
		return func(a *arguments) { a.opts = []revoke.ValidatorOption{opt} }
	}
	for _, row := range []struct {
		name string
		want string
		set  func(*arguments)
	}{
		{"no checker", "checker is nil", func(a *arguments) { a.checker = nil }},
		{"an empty issuer", "issuer is empty", func(a *arguments) { a.issuer = "" }},
		{"an issuer with NUL", "NUL", func(a *arguments) { a.issuer = "a\x00" }},
		{"the zero audience", "no audience is named", func(a *arguments) { a.audience = revoke.Audience{} }},
		{"an audience of no names", "no audience is named", func(a *arguments) { a.audience = revoke.AudienceOf() }},
		{"an empty name of an audience", "audience is empty", func(a *arguments) { a.audience = revoke.AudienceOf("api", "") }},
		{"an audience that is too long", "at most 1024", func(a *arguments) { a.audience = revoke.AudienceOf(strings.Repeat("a", 1025)) }},
		{"no keyfunc", "keyfunc is nil", func(a *arguments) { a.keyfunc = nil }},
		{"no algorithm", "no algorithm is allowed", func(a *arguments) { a.algorithms = nil }},
		{"none", `"none" signs nothing`, func(a *arguments) { a.algorithms = []string{"none"} }},
		{"none in capitals", `"NONE" signs nothing`, func(a *arguments) { a.algorithms = []string{"ES256", "NONE"} }},
		{"an algorithm in lower case", `"es256" is not known`, func(a *arguments) { a.algorithms = []string{"es256"} }},
		{"an empty algorithm", `"" is not known`, func(a *arguments) { a.algorithms = []string{""} }},
		{"HMAC beside a public key", "mix HMAC", func(a *arguments) { a.algorithms = []string{"HS256", "RS256"} }},
		{"a negative leeway", "leeway -1ns", option(revoke.WithLeeway(-1))},
		{"a leeway above the maximum", "leeway 5m0.000000001s", option(revoke.WithLeeway(revoke.MaxLeeway + 1))},
		{"no lifetime", "maximum lifetime 0s", option(revoke.WithMaxLifetime(0))},
		{"a lifetime above the maximum", "maximum lifetime 9600h0m1s", option(revoke.WithMaxLifetime(revoke.MaxTokenLifetime + time.Second))},
		{"no token size", "maximum token size 0", option(revoke.WithMaxTokenSize(0))},
		{"a token size above a megabyte", "maximum token size 1048577", option(revoke.WithMaxTokenSize(1<<20 + 1))},
		{"an empty token type", "token type is empty", option(revoke.WithTokenType("application/"))},
		{"no clock", "clock is nil", option(revoke.WithClock(nil))},
		{"no claims check", "claims check is nil", option(revoke.WithClaimsCheck(nil))},
		{"a nil ParserOption", "ParserOption is nil", option(revoke.WithParserOptions(nil))},
		{"a nil option", "option is nil", option(nil)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			a := arguments{
				checker: revoketest.NewMemory(), issuer: "i", audience: revoke.AnyAudience(),
				keyfunc: testkit.Keyfunc("ES256"), algorithms: []string{"ES256"},
			}
			row.set(&a)
			v, err := revoke.NewValidator(a.checker, a.issuer, a.audience, a.keyfunc, a.algorithms, a.opts...)
			wantConstructorError(t, "NewValidator", err, row.want)
			if v != nil {
				t.Errorf("beside the error there is %v", v)
			}
		})
	}
}

// wantConstructorError expects an error of the constructor, on one line, that contains want.
func wantConstructorError(tb testing.TB, constructor string, err error, want string) {
	tb.Helper()
	if err == nil || !strings.HasPrefix(err.Error(), "revoke: "+constructor+": ") || !strings.Contains(err.Error(), want) {
		tb.Fatalf("%s = %v, want an error about %q", constructor, err, want)
	}
	if strings.Contains(err.Error(), "\n") {
		tb.Errorf("the error has more than one line: %v", err)
	}
}

func TestNewValidatorNamesEveryWrongArgument(t *testing.T) {
	t.Parallel()
	_, err := revoke.NewValidator(nil, "", revoke.Audience{}, nil, nil)
	wantConstructorError(t, "NewValidator", err, "issuer is empty; no audience is named")
	wantConstructorError(t, "NewValidator", err, "; checker is nil")
}

func TestAlgorithmsAreCopied(t *testing.T) {
	t.Parallel()
	algorithms := []string{"ES256"}
	v, err := revoke.NewValidator(neverAsked{t}, testkit.Issuer, revoke.AnyAudience(), eagerKey, algorithms, revoke.WithClock(testkit.Clock))
	testkit.Must(t, err)
	algorithms[0] = "HS256"
	text := testkit.SignRaw(t, "HS256", `{"alg":"HS256"}`, testkit.Payload(nil))
	refused(t, v, text, revoke.ErrInvalidToken, jwt.ErrTokenSignatureInvalid)
}

func TestValidatorAcceptsEachKindOfAlgorithm(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"HS256", "RS256", "PS256", "ES256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			want := mintedToken()
			checker := &askedFor{}
			text := testkit.SignRaw(t, alg, `{"alg":"`+alg+`"}`, testkit.Payload(nil))
			verified := accepted(t, validatorFor(t, checker, alg), text)
			var claims revoke.Claims
			testkit.Must(t, verified.Claims(&claims))
			if verified.Token != want || claims.Subject != "ada" || claims.SessionID != "session-1" {
				t.Errorf("%+v and %+v, want %+v", verified.Token, claims, want)
			}
			if len(checker.tokens) != 1 || checker.tokens[0] != want {
				t.Errorf("the store was asked about %+v", checker.tokens)
			}
		})
	}
}

// TestValidatorAccepts shows what the attacks start from.
func TestValidatorAccepts(t *testing.T) {
	t.Parallel()
	change := func(claim, value string) string { return testkit.Mint(t, map[string]string{claim: value}) }
	for _, row := range []struct{ name, text string }{
		{"an aud that is a string", change("aud", `"api"`)},
		{"no aud and no sid", testkit.Mint(t, map[string]string{"aud": "", "sid": ""})},
		{"a sid that is null", change("sid", "null")},
		{"a sid that is empty", change("sid", `""`)},
		{"an aud that is null", change("aud", "null")},
		{"an aud that is empty", change("aud", `""`)},
		{"an aud of no names", change("aud", "[]")},
		{"an nbf that is now", change("nbf", testkit.At(0))},
		{"an nbf within this second", change("nbf", testkit.At(0)+".999999")},
		{"claims of an app's own that differ in case", testkit.Mint(t, nil, `"JTI":7,"Sub":["x"],"EXP":"never","AUD":{}`)},
		{"fractions of a second", testkit.Mint(t, map[string]string{"iat": testkit.At(-time.Minute) + ".75", "exp": testkit.At(10*time.Minute) + ".5"})},
		{"an exp with an exponent", change("exp", "18935540450e-1")},
		{"an escape in a value", change("jti", `"token\u002d1"`)},
		{"a surrogate pair in a value", change("jti", `"\ud83d\ude00"`)},
		{"the same names further in", testkit.Mint(t, nil, `"ext":{"jti":null,"JTI":7,"exp":"x","a":[{"sub":[]}]}`)},
		{"other claims", testkit.Mint(t, nil, `"scope":"a b"`, `"jt":1`, `"jtii":2`)},
		{"an iat five seconds ahead", change("iat", testkit.At(revoke.MaxIssuedAhead))},
		{"the longest lifetime", testkit.Mint(t, map[string]string{"iat": testkit.At(0), "exp": testkit.At(revoke.MaxTokenLifetime)})},
		{"the longest jti", change("jti", `"`+strings.Repeat("x", revoke.MaxIDLength)+`"`)},
		{"nested 64 levels deep", testkit.Mint(t, nil, `"deep":`+strings.Repeat("[", 64)+strings.Repeat("]", 64))},
		{"b64 true", testkit.SignRaw(t, "ES256", `{"alg":"ES256","b64":true}`, testkit.Payload(nil))},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			accepted(t, es256(t, &askedFor{}), row.text)
		})
	}
}

// TestTimes walks along the boundaries of exp, nbf and iat, with and without leeway.
func TestTimes(t *testing.T) {
	t.Parallel()
	for _, leeway := range []time.Duration{0, 10 * time.Second, revoke.MaxLeeway} {
		for _, row := range []struct {
			name    string
			changes map[string]string
			want    error // nil where the token is accepted
		}{
			{"exp a second after", map[string]string{"exp": testkit.At(time.Second - leeway), "iat": testkit.At(-time.Hour)}, nil},
			{"exp at", map[string]string{"exp": testkit.At(-leeway), "iat": testkit.At(-time.Hour)}, jwt.ErrTokenExpired},
			{"nbf at", map[string]string{"nbf": testkit.At(leeway)}, nil},
			{"nbf a second after", map[string]string{"nbf": testkit.At(leeway + time.Second)}, jwt.ErrTokenNotValidYet},
			// No leeway lets a token be dated ahead.
			{"iat at most ahead", map[string]string{"iat": testkit.At(revoke.MaxIssuedAhead)}, nil},
			{"iat too far ahead", map[string]string{"iat": testkit.At(revoke.MaxIssuedAhead + time.Second)}, jwt.ErrTokenUsedBeforeIssued},
		} {
			t.Run(fmt.Sprintf("leeway %v/%s", leeway, row.name), func(t *testing.T) {
				t.Parallel()
				// Under the claim rule the validator judges the iat too.
				text := testkit.Mint(t, row.changes, `"epochs":[0,0]`)
				options := []revoke.ValidatorOption{revoke.WithLeeway(leeway), revoke.WithEpochClaim()}
				if row.want == nil {
					accepted(t, es256(t, &askedFor{}, options...), text)
					return
				}
				refused(t, es256(t, neverAsked{t}, options...), text, revoke.ErrInvalidToken, row.want)
			})
		}
	}
}

// TestIssuerSkew has the store judge the iat, by its own clock: no leeway and no clock of the
// validator's takes part.
func TestIssuerSkew(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		option revoke.ValidatorOption // nil for the default
		token  time.Duration          // what the token carries
		most   time.Duration          // by which an iat may be ahead
	}{
		{"the default", nil, 0, revoke.DefaultIssuerSkew},
		{"a second", revoke.WithIssuerSkew(time.Second), time.Second, time.Second},
		{"the greatest", revoke.WithIssuerSkew(revoke.MaxIssuerSkew), revoke.MaxIssuerSkew, revoke.MaxIssuerSkew},
		{"into the past", revoke.WithIssuerSkew(-295 * time.Second), -295 * time.Second, -295 * time.Second},
		{"the furthest into the past", revoke.WithIssuerSkew(-revoke.MaxIssuerLag), -revoke.MaxIssuerLag, -revoke.MaxIssuerLag},
		{"none", revoke.WithIssueTime(), revoke.NoIssuerSkew, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			options := []revoke.ValidatorOption{
				revoke.WithLeeway(revoke.MaxLeeway), revoke.WithClock(func() time.Time { return testkit.Now.Add(-time.Minute) }),
			}
			if row.option != nil {
				options = append(options, row.option)
			}
			store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
			v := es256(t, store, options...)
			dated := func(d time.Duration) string { return testkit.Mint(t, map[string]string{"iat": testkit.At(d)}) }
			ahead := dated(row.most + time.Second)
			refused(t, v, ahead, revoke.ErrInvalidToken, jwt.ErrTokenUsedBeforeIssued)
			if token := testkit.Value(v.Identify(t.Context(), ahead))(t); token.IssuerSkew != row.token {
				t.Errorf("Identify returns a skew of %v, want %v", token.IssuerSkew, row.token)
			}
			if verified := accepted(t, v, dated(row.most)); verified.IssuerSkew != row.token ||
				!verified.IssuedAt.Equal(testkit.Now.Add(row.most)) {
				t.Errorf("%+v", verified.Token)
			}
			testkit.Value(store.RevokeUser(t.Context(), mintedToken().User()))(t)
			refused(t, v, dated(row.most), revoke.ErrRevoked)
		})
	}
}

// TestOneRuleOfTheIssueTime refuses options that contradict each other, and a skew that only
// WithIssueTime may stand for.
func TestOneRuleOfTheIssueTime(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		opts []revoke.ValidatorOption
		want string
	}{
		{"a skew of zero", []revoke.ValidatorOption{revoke.WithIssuerSkew(0)}, "WithIssueTime"},
		{"the constant of a token", []revoke.ValidatorOption{revoke.WithIssuerSkew(revoke.NoIssuerSkew)}, "between -10m0s and 30s"},
		{"more than the greatest", []revoke.ValidatorOption{revoke.WithIssuerSkew(revoke.MaxIssuerSkew + time.Microsecond)}, "between -10m0s and 30s"},
		{"less than the least", []revoke.ValidatorOption{revoke.WithIssuerSkew(-revoke.MaxIssuerLag - time.Microsecond)}, "between -10m0s and 30s"},
		{"a nanosecond", []revoke.ValidatorOption{revoke.WithIssuerSkew(1)}, "microseconds"},
		{"both", []revoke.ValidatorOption{revoke.WithIssueTime(), revoke.WithIssuerSkew(time.Second)}, "WithIssueTime and WithIssuerSkew"},
		{"the epoch claim and a skew", []revoke.ValidatorOption{revoke.WithIssuerSkew(time.Second), revoke.WithEpochClaim()}, "WithEpochClaim excludes"},
		{"the epoch claim and IssueTime", []revoke.ValidatorOption{revoke.WithEpochClaim(), revoke.WithIssueTime()}, "WithEpochClaim excludes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, err := revoke.NewValidator(&askedFor{}, testkit.Issuer, revoke.AnyAudience(), testkit.Keyfunc("ES256"), []string{"ES256"}, row.opts...)
			wantConstructorError(t, "NewValidator", err, row.want)
		})
	}
}

func TestMaxLifetime(t *testing.T) {
	t.Parallel()
	short := revoke.WithMaxLifetime(time.Hour)
	lives := func(d time.Duration) string {
		return testkit.Mint(t, map[string]string{"iat": testkit.At(0), "exp": testkit.At(d)})
	}
	accepted(t, es256(t, &askedFor{}, short), lives(time.Hour))
	refused(t, es256(t, neverAsked{t}, short), lives(time.Hour+time.Second), revoke.ErrInvalidToken)
}

func TestMaxTokenSize(t *testing.T) {
	t.Parallel()
	good := testkit.Mint(t, nil)
	accepted(t, es256(t, &askedFor{}, revoke.WithMaxTokenSize(len(good))), good)
	refused(t, es256(t, neverAsked{t}, revoke.WithMaxTokenSize(len(good)-1)), good, revoke.ErrInvalidToken, jwt.ErrTokenMalformed)
}

// TestOptionalClaims relaxes what third parties leave out, each by itself.
func TestOptionalClaims(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string // of the claim
		option revoke.ValidatorOption
		want   func(*revoke.Token)
	}{
		{"jti", revoke.WithOptionalID(), func(t *revoke.Token) { t.ID = "" }},
		{"sub", revoke.WithOptionalSubject(), func(t *revoke.Token) { t.Subject = "" }},
		{"iat", revoke.WithOptionalIssuedAt(), func(t *revoke.Token) { t.IssuedAt = time.Unix(0, 0).UTC() }},
		{"iss", revoke.WithOptionalIssuer(), func(*revoke.Token) {}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			want := mintedToken()
			row.want(&want)
			verified := accepted(t, es256(t, &askedFor{}, row.option), testkit.Mint(t, map[string]string{row.name: ""}))
			if verified.Token != want {
				t.Errorf("%+v, want %+v", verified.Token, want)
			}
			for _, absent := range []string{"null", `""`} {
				if verified := accepted(t, es256(t, &askedFor{}, row.option), testkit.Mint(t, map[string]string{row.name: absent})); verified.Token != want {
					t.Errorf("%s: %+v, want %+v", absent, verified.Token, want)
				}
				refused(t, es256(t, neverAsked{t}), testkit.Mint(t, map[string]string{row.name: absent}), revoke.ErrInvalidToken)
			}
			strict := es256(t, neverAsked{t}, row.option)
			for _, wrong := range []string{"[]", "{}", "false", `"\u0000"`} {
				refused(t, strict, testkit.Mint(t, map[string]string{row.name: wrong}), revoke.ErrInvalidToken)
			}
			refused(t, strict, testkit.Mint(t, map[string]string{row.name: "null"}, `"`+row.name+`":null`), revoke.ErrInvalidToken)
			refused(t, strict, testkit.Mint(t, map[string]string{"exp": ""}), revoke.ErrInvalidToken, jwt.ErrTokenRequiredClaimMissing)
		})
	}
	t.Run("another issuer is refused where iss is optional", func(t *testing.T) {
		t.Parallel()
		v := es256(t, neverAsked{t}, revoke.WithOptionalIssuer())
		refused(t, v, testkit.Mint(t, map[string]string{"iss": `"other"`}), revoke.ErrInvalidToken, jwt.ErrTokenInvalidIssuer)
	})
	t.Run("without iat the lifetime counts from now", func(t *testing.T) {
		t.Parallel()
		lives := func(d time.Duration) string {
			return testkit.Mint(t, map[string]string{"iat": "", "exp": testkit.At(d)})
		}
		accepted(t, es256(t, &askedFor{}, revoke.WithOptionalIssuedAt()), lives(revoke.MaxTokenLifetime))
		refused(t, es256(t, neverAsked{t}, revoke.WithOptionalIssuedAt()), lives(revoke.MaxTokenLifetime+time.Second), revoke.ErrInvalidToken)
	})
	t.Run("a token with nothing to revoke it by is refused", func(t *testing.T) {
		t.Parallel()
		store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
		v := es256(t, store, revoke.WithOptionalID(), revoke.WithOptionalSubject())
		refused(t, v, testkit.Mint(t, map[string]string{"jti": "", "sub": "", "sid": ""}), revoke.ErrInvalidToken)
	})
}

func TestIdentifyForgivesExpiry(t *testing.T) {
	t.Parallel()
	v := es256(t, neverAsked{t}, revoke.WithParserOptions(jwt.WithAudience("api")), revoke.WithTokenType("JWT"))
	for _, row := range []struct {
		name string
		exp  time.Duration
	}{
		{"expired a second ago", -time.Second},
		{"expired a month ago", -30 * 24 * time.Hour},
		{"valid", 4 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			text := testkit.Mint(t, map[string]string{"exp": testkit.At(row.exp), "iat": testkit.At(row.exp - time.Minute)})
			want := mintedToken()
			want.IssuedAt, want.ExpiresAt = testkit.Now.Add(row.exp-time.Minute), testkit.Now.Add(row.exp)
			if token := testkit.Value(v.Identify(t.Context(), text))(t); token != want {
				t.Errorf("Identify = %+v, want %+v", token, want)
			}
		})
	}
}

func TestIdentifyRefuses(t *testing.T) {
	t.Parallel()
	v := es256(t, neverAsked{t}, revoke.WithParserOptions(jwt.WithAudience("api")), revoke.WithTokenType("JWT"))
	change := func(claim, value string) string { return testkit.Mint(t, map[string]string{claim: value}) }
	for _, row := range []struct{ name, text string }{
		{"not valid yet", change("nbf", testkit.At(time.Minute))},
		{"another audience", testkit.Mint(t, map[string]string{"aud": `"other"`, "exp": testkit.At(-time.Hour), "iat": testkit.At(-2 * time.Hour)})},
		{"another issuer", change("iss", `"other"`)},
		{"no jti", change("jti", "")},
		{"no exp", change("exp", "")},
		{"another type", testkit.SignRaw(t, "ES256", `{"alg":"ES256","typ":"logout+jwt"}`, testkit.Payload(nil))},
		{"forged", strings.Replace(testkit.Mint(t, nil), ".", "."+testkit.Base64(`{"sub":"bob"}`)[:4], 1)},
		{"a long lifetime", testkit.Mint(t, map[string]string{"iat": "0", "exp": testkit.At(-time.Hour)})},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			token, err := v.Identify(t.Context(), row.text)
			testkit.WantError(t, err, revoke.ErrInvalidToken)
			if token != (revoke.Token{}) {
				t.Errorf("beside the error there is %+v", token)
			}
		})
	}
}

// TestKeySourceFails tells a source of keys that is down from a key that does not exist.
func TestKeySourceFails(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name        string
		cause, want error
	}{
		{"deadline", context.DeadlineExceeded, revoke.ErrUnavailable},
		{"cancelled", fmt.Errorf("fetch keys: %w", context.Canceled), revoke.ErrUnavailable},
		{"network", &net.OpError{Op: "dial", Err: errors.New("refused")}, revoke.ErrUnavailable},
		{"unavailable", fmt.Errorf("keys: %w", revoke.ErrUnavailable), revoke.ErrUnavailable},
		{"unknown key", errors.New("no such kid"), revoke.ErrInvalidToken},
		{"revoked", revoke.ErrRevoked, revoke.ErrInvalidToken},
		{"revoked and unavailable", errors.Join(revoke.ErrRevoked, revoke.ErrUnavailable), revoke.ErrUnavailable},
		{"Postgres is full", fmt.Errorf("keys: %w", &pgconn.PgError{Code: "53300"}), revoke.ErrUnavailable},
		{"Postgres starts", &pgconn.PgError{Code: "57P03"}, revoke.ErrUnavailable},
		{"a kid that Postgres cannot read", &pgconn.PgError{Code: "22P02"}, revoke.ErrInvalidToken},
		{"no row", pgx.ErrNoRows, revoke.ErrInvalidToken},
		{"a JWKS that is down", &url.Error{Op: "Get", URL: "https://id.example/keys", Err: io.EOF}, revoke.ErrUnavailable},
		{"a URL made of a kid", &url.Error{Op: "Get", URL: "kid", Err: errors.New("unsupported protocol scheme")}, revoke.ErrInvalidToken},
		{"a path made of a kid", &fs.PathError{Op: "open", Path: "kid", Err: syscall.ENOENT}, revoke.ErrInvalidToken},
		{"a configured path", fmt.Errorf("%w: %w", revoke.ErrUnavailable, fs.ErrNotExist), revoke.ErrUnavailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			check := revoke.WithClaimsCheck(func(context.Context, *revoke.Verified) error { return row.cause })
			refused(t, es256(t, neverAsked{t}, check), testkit.Mint(t, nil), row.want)
			keyfunc := func(*jwt.Token) (any, error) { return nil, row.cause }
			v := validatorOf(t, neverAsked{t}, revoke.AnyAudience(), keyfunc, "ES256")
			refused(t, v, testkit.Mint(t, nil), row.want)
			_, err := v.Identify(t.Context(), testkit.Mint(t, nil))
			testkit.WantError(t, err, row.want)
		})
	}
}

// TestUnusableKeysAreTheServersFault returns keys that no allowed algorithm may use. Package
// strictjwt has a row for each.
func TestUnusableKeysAreTheServersFault(t *testing.T) {
	t.Parallel()
	keys := testkit.TestKeys()
	forged := func(secret []byte) string {
		return signed(t, `{"alg":"HS256"}`, testkit.Payload(nil), jwt.SigningMethodHS256, secret)
	}
	for _, row := range []struct {
		name, alg, text string
		key             any
		want            string
	}{
		{"a secret from a variable that is not set", "HS256", forged([]byte("")), []byte(os.Getenv("REVOKE_TEST_UNSET")), "a []byte of 0 bytes; HS256 needs a []byte of 32 bytes or more"},
		{"nil", "ES256", testkit.Mint(t, nil), nil, "nil; ES256 needs an *ecdsa.PublicKey on P-256"},
		{"a private key", "ES256", testkit.Mint(t, nil), keys.EC, "a private key, *ecdsa.PrivateKey (its method Public has the public one); ES256 needs"},
		{"a set of none", "ES256", testkit.Mint(t, nil), jwt.VerificationKeySet{}, "an empty key set"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			keyfunc := func(*jwt.Token) (any, error) { return row.key, nil }
			v := validatorOf(t, neverAsked{t}, revoke.AnyAudience(), keyfunc, row.alg)
			refused(t, v, row.text, revoke.ErrUnavailable)
			_, err := v.Identify(t.Context(), row.text)
			testkit.WantError(t, err, revoke.ErrUnavailable)
			if !strings.Contains(err.Error(), "the keyfunc returned "+row.want) {
				t.Errorf("%v, want %s", err, row.want)
			}
		})
	}
	t.Run("an algorithm that the token's maker chose", func(t *testing.T) {
		t.Parallel()
		v := testkit.Value(revoke.NewValidator(neverAsked{t}, testkit.Issuer, revoke.AnyAudience(), testkit.Keyfunc("RS256"), []string{"RS256", "ES256"}))(t)
		refused(t, v, testkit.Mint(t, nil), revoke.ErrInvalidToken, jwt.ErrTokenSignatureInvalid)
	})
}

// TestFirstRefusals has what an app sees first that is not set up yet, and what helps.
func TestFirstRefusals(t *testing.T) {
	t.Parallel()
	change := func(claim, value string) string { return testkit.Mint(t, map[string]string{claim: value}) }
	good := testkit.Mint(t, nil)
	long := strings.Repeat("é", 100)
	for _, row := range []struct{ name, text, want string }{
		{"Bearer", "Bearer " + good, "is the word Bearer still in front?"},
		{"bearer and a tab", "bearer	" + good, "is the word Bearer still in front?"},
		{"Bearer as a header", "BEARER: " + good, "is the word Bearer still in front?"},
		{"exp in milliseconds", change("exp", "1893553445000"), `claim "exp" is no time between 1970 and 9999 in seconds (milliseconds?)`},
		{"iat in milliseconds", change("iat", "1893553445000.5"), `claim "iat" is no time between 1970 and 9999 in seconds (milliseconds?)`},
		{"nbf in microseconds", change("nbf", "1893553445000000"), `claim "nbf" is no time between 1970 and 9999 in seconds (microseconds?)`},
		{"exp in nanoseconds", change("exp", "1893553445000000000"), `claim "exp" is no time between 1970 and 9999 in seconds (nanoseconds?)`},
		{"exp in nothing known", change("exp", "1e17"), `claim "exp" is no time between 1970 and 9999 in seconds: `},
		{"another algorithm", testkit.SignRaw(t, "PS256", `{"alg":"PS256"}`, testkit.Payload(nil)), "its alg is not allowed, but only ES256, RS256"},
		{"an unknown algorithm", testkit.SignRaw(t, "ES256", `{"alg":"ES256K"}`, testkit.Payload(nil)), "its alg is not allowed, but only ES256, RS256"},
		{"the issuer and a slash", change("iss", `"`+testkit.Issuer+`/"`), fmt.Sprintf("%q is expected, and %q was found", testkit.Issuer, testkit.Issuer+"/")},
		{"an issuer on two lines", change("iss", `"a\nb"`), fmt.Sprintf(`%q is expected, and "a\nb" was found`, testkit.Issuer)},
		{"a long issuer", change("iss", `"x`+long+`"`), fmt.Sprintf("and %q… was found", "x"+long[:98])},
		{"another audience", change("aud", `["web"]`), `aud names none of ["api" "admin"]`},
		{"no audience", change("aud", ""), `missing required claim: "aud", which has to name one of ["api" "admin"]`},
		{"a long life", change("exp", testkit.At(401*24*time.Hour)), "the token is valid for longer than 400 days"},
		{"a token of before the claim", good, `missing required claim: "epochs"`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			v := testkit.Value(revoke.NewValidator(neverAsked{t}, testkit.Issuer, revoke.AudienceOf("api", "admin"), testkit.Keyfunc("ES256"), []string{"ES256", "RS256"},
				revoke.WithClock(testkit.Clock), revoke.WithEpochClaim()))(t)
			text := row.text
			if row.name != "a token of before the claim" && !strings.Contains(row.name, "earer") && !strings.Contains(row.name, "algorithm") {
				parts := strings.Split(text, ".")
				text = testkit.SignRaw(t, "ES256", testkit.Header, strings.TrimSuffix(decoded(t, parts[1]), "}")+`,"epochs":[0,0]}`)
			}
			_, err := v.Validate(t.Context(), text)
			testkit.WantError(t, err, revoke.ErrInvalidToken)
			if !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v, want %s", err, row.want)
			}
		})
	}
	for _, row := range []struct {
		most time.Duration
		want string
	}{{24 * time.Hour, "1 day"}, {36 * time.Hour, "36h0m0s"}, {15 * time.Minute, "15m0s"}, {30 * 24 * time.Hour, "30 days"}} {
		t.Run("longer than "+row.want, func(t *testing.T) {
			t.Parallel()
			_, err := es256(t, neverAsked{t}, revoke.WithMaxLifetime(row.most)).Validate(t.Context(), change("exp", testkit.At(row.most)))
			if err == nil || !strings.HasSuffix(err.Error(), "the token is valid for longer than "+row.want) {
				t.Errorf("%v, want %s", err, row.want)
			}
		})
	}
}

// TestCheckerErrors makes exactly one of the three sentinels of every error that a checker returns.
func TestCheckerErrors(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	for _, row := range []struct {
		name      string
		err, want error
	}{
		{"revoked", &revoke.RevokedError{Scope: revoke.ScopeUser}, revoke.ErrRevoked},
		{"unavailable", fmt.Errorf("%w: %w", revoke.ErrUnavailable, cause), revoke.ErrUnavailable},
		{"invalid", fmt.Errorf("%w: %w", revoke.ErrInvalidToken, cause), revoke.ErrInvalidToken},
		{"no sentinel", cause, revoke.ErrUnavailable},
		{"cancelled", context.Canceled, revoke.ErrUnavailable},
		{"revoked and unavailable", errors.Join(revoke.ErrRevoked, revoke.ErrUnavailable), revoke.ErrUnavailable},
		{"revoked and invalid", errors.Join(revoke.ErrRevoked, revoke.ErrInvalidToken), revoke.ErrUnavailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			checker := checkerFunc(func(context.Context, revoke.Token) error { return row.err })
			refused(t, es256(t, checker), testkit.Mint(t, nil), row.want)
		})
	}
	t.Run("the scope is reachable", func(t *testing.T) {
		t.Parallel()
		checker := checkerFunc(func(context.Context, revoke.Token) error { return &revoke.RevokedError{Scope: revoke.ScopeIssuer} })
		_, err := es256(t, checker).Validate(t.Context(), testkit.Mint(t, nil))
		var revoked *revoke.RevokedError
		if !errors.As(err, &revoked) || revoked.Scope != revoke.ScopeIssuer {
			t.Errorf("Validate = %v, want the scope in it", err)
		}
	})
	t.Run("the cause is reachable", func(t *testing.T) {
		t.Parallel()
		store := revoketest.NewFaulty(revoketest.NewMemory())
		store.Fail(cause)
		refused(t, es256(t, store), testkit.Mint(t, nil), revoke.ErrUnavailable, cause)
	})
}

func TestValidatorIsShared(t *testing.T) {
	t.Parallel()
	v := es256(t, &askedFor{})
	var group sync.WaitGroup
	for i := range 16 {
		text := testkit.Mint(t, map[string]string{"jti": fmt.Sprintf(`"token-%d"`, i)})
		group.Go(func() {
			for range 20 {
				verified, err := v.Validate(t.Context(), text)
				if err != nil {
					t.Error(err)
					return
				}
				var claims revoke.Claims
				err = verified.Claims(&claims)
				if err != nil || verified.ID != fmt.Sprint("token-", i) || claims.ID != verified.ID {
					t.Errorf("Validate = %+v, %+v, %v", verified, claims, err)
				}
			}
		})
	}
	group.Wait()
}

func TestTokenTypeKeepsKindsApart(t *testing.T) {
	t.Parallel()
	typed := func(typ string) string {
		return testkit.SignRaw(t, "ES256", `{"alg":"ES256"`+typ+`}`, testkit.Payload(nil))
	}
	const kind = "at+jwt"
	for _, row := range []struct {
		name   string
		typ    string // as a member of the header
		accept bool
	}{
		{"the same", `,"typ":"at+jwt"`, true},
		{"capitals", `,"typ":"AT+JWT"`, true},
		{"a media type", `,"typ":"application/at+jwt"`, true},
		{"a media type in capitals", `,"typ":"Application/AT+jwt"`, true},
		{"none", ``, false},
		{"JWT", `,"typ":"JWT"`, false},
		{"a logout token", `,"typ":"logout+jwt"`, false},
		{"a number", `,"typ":7`, false},
		{"a member of another name", `,"TYP":"at+jwt"`, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if row.accept {
				accepted(t, es256(t, &askedFor{}, revoke.WithTokenType(kind)), typed(row.typ))
				return
			}
			refused(t, es256(t, neverAsked{t}, revoke.WithTokenType(kind)), typed(row.typ), revoke.ErrInvalidToken)
		})
	}
}

// TestOtherKinds refuses, where no type is asked for, a token that says of itself that it is no
// access token (RFC 8725 §3.11).
func TestOtherKinds(t *testing.T) {
	t.Parallel()
	typed := func(typ string) string {
		return testkit.SignRaw(t, "ES256", `{"alg":"ES256"`+typ+`}`, testkit.Payload(nil))
	}
	for _, row := range []struct{ name, typ string }{
		{"none", ""}, {"JWT", `,"typ":"JWT"`}, {"at+JWT", `,"typ":"at+JWT"`},
		{"application", `,"typ":"application/at+jwt"`}, {"Bearer", `,"typ":"Bearer"`},
	} {
		t.Run("accepted/"+row.name, func(t *testing.T) {
			t.Parallel()
			accepted(t, es256(t, &askedFor{}), typed(row.typ))
		})
	}
	t.Run("refused/a typ that is no text", func(t *testing.T) {
		t.Parallel()
		refused(t, es256(t, neverAsked{t}), typed(`,"typ":7`), revoke.ErrInvalidToken)
	})
	for _, typ := range []string{
		"logout+jwt", "LOGOUT+JWT", "application/logout+jwt", "secevent+jwt", "rt+jwt", "dpop+jwt", "global-token-revocation+jwt",
	} {
		t.Run("refused/"+typ, func(t *testing.T) {
			t.Parallel()
			text := typed(`,"typ":"` + typ + `"`)
			untyped := es256(t, neverAsked{t})
			refused(t, untyped, text, revoke.ErrInvalidToken)
			_, err := untyped.Identify(t.Context(), text)
			testkit.WantError(t, err, revoke.ErrInvalidToken)
			accepted(t, es256(t, &askedFor{}, revoke.WithTokenType(typ)), text)
		})
	}
}

// TestLogoutTokensAreNoAccessTokens has logout tokens of issuers that type them as JWT or not at
// all, as was usual before OpenID Connect Back-Channel Logout 1.0.
func TestLogoutTokensAreNoAccessTokens(t *testing.T) {
	t.Parallel()
	const logout = `"events":{"http://schemas.openid.net/event/backchannel-logout":{}}`
	for _, row := range []struct {
		name string
		opts []revoke.ValidatorOption
	}{
		{"no option", nil},
		{"WithEpochClaim", []revoke.ValidatorOption{revoke.WithEpochClaim()}},
		{"WithTokenType(JWT)", []revoke.ValidatorOption{revoke.WithTokenType("JWT")}},
	} {
		t.Run("refused/"+row.name, func(t *testing.T) {
			t.Parallel()
			refused(t, es256(t, neverAsked{t}, row.opts...), testkit.Mint(t, nil, logout, `"epochs":[0,0]`), revoke.ErrInvalidToken)
		})
	}
	t.Run("accepted/the claim events of an app", func(t *testing.T) {
		t.Parallel()
		accepted(t, es256(t, &askedFor{}), testkit.Mint(t, nil, `"events":["an app's own"]`))
	})
	t.Run("accepted/WithTokenType(logout+jwt)", func(t *testing.T) {
		t.Parallel()
		text := testkit.SignRaw(t, "ES256", `{"alg":"ES256","typ":"logout+jwt"}`, testkit.Payload(nil, logout))
		accepted(t, es256(t, &askedFor{}, revoke.WithTokenType("logout+jwt")), text)
	})
}

// TestWithRequiredSession refuses a token without a session, which no end of a session reaches.
func TestWithRequiredSession(t *testing.T) {
	t.Parallel()
	without := testkit.Mint(t, map[string]string{"sid": ""})
	plain, strict := es256(t, &askedFor{}), es256(t, &askedFor{}, revoke.WithRequiredSession())
	t.Run("without the option each is accepted", func(t *testing.T) {
		t.Parallel()
		accepted(t, plain, without)
		accepted(t, plain, testkit.Mint(t, nil))
	})
	t.Run("with a session it is accepted", func(t *testing.T) {
		t.Parallel()
		if verified := accepted(t, strict, testkit.Mint(t, nil)); verified.SessionID != "session-1" {
			t.Errorf("the session is %q", verified.SessionID)
		}
	})
	t.Run("without a session it is refused", func(t *testing.T) {
		t.Parallel()
		v := es256(t, neverAsked{t}, revoke.WithRequiredSession())
		refused(t, v, without, revoke.ErrInvalidToken, jwt.ErrTokenRequiredClaimMissing)
		if _, err := v.Identify(t.Context(), without); !errors.Is(err, jwt.ErrTokenRequiredClaimMissing) {
			t.Errorf("Identify = %v", err)
		}
	})
	t.Run("RequiresSession is true of this issuer alone", func(t *testing.T) {
		t.Parallel()
		var none *revoke.Validator
		for _, row := range []struct {
			what      string
			got, want bool
		}{
			{"the issuer", strict.RequiresSession(testkit.Issuer), true},
			{"another issuer", strict.RequiresSession(testkit.Issuer + "/"), false},
			{"without the option", plain.RequiresSession(testkit.Issuer), false},
			{"no validator", none.RequiresSession(testkit.Issuer), false},
		} {
			if row.got != row.want {
				t.Errorf("%s: RequiresSession = %v", row.what, row.got)
			}
		}
	})
}

// TestEpochClaim reads the claim in tokens of one's own, and ignores that of other issuers.
func TestEpochClaim(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
	user := mintedToken().User()
	before := testkit.Value(store.Epochs(t.Context(), user))(t)
	after := testkit.Value(store.RevokeUser(t.Context(), user))(t)
	pair := func(e revoke.Epochs) string { return fmt.Sprintf(`"epochs":[%d,%d]`, e.User, e.Issuer) }
	micros := func(d time.Duration) string { return fmt.Sprint(testkit.Now.Add(d).UnixMicro()) }

	t.Run("the epochs that stand are accepted", func(t *testing.T) {
		t.Parallel()
		verified := accepted(t, es256(t, store, revoke.WithEpochClaim()), testkit.Mint(t, nil, pair(after)))
		var claims revoke.Claims
		testkit.Must(t, verified.Claims(&claims))
		if verified.Epochs != after || !verified.HasEpochs || *claims.Epochs != after {
			t.Errorf("%+v and %v, want %v", verified.Token, claims.Epochs, after)
		}
	})
	for _, row := range []struct {
		name  string
		extra []string
	}{
		{"those from before are refused", []string{pair(before)}},
		{"a token without the claim is older than every revocation", nil},
		{"another spelling is another claim", []string{`"EPOCHS":[` + micros(0) + `,0]`}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			text := testkit.Mint(t, nil, row.extra...)
			refused(t, es256(t, store, revoke.WithOptionalEpochClaim()), text, revoke.ErrRevoked)
			strict := es256(t, store, revoke.WithEpochClaim())
			if strings.Contains(strings.Join(row.extra, ""), `"epochs"`) {
				refused(t, strict, text, revoke.ErrRevoked)
				return
			}
			// From the first day on, and not only once the user was revoked.
			for _, v := range []*revoke.Validator{strict, es256(t, neverAsked{t}, revoke.WithEpochClaim())} {
				refused(t, v, text, revoke.ErrInvalidToken, jwt.ErrTokenRequiredClaimMissing)
				_, err := v.Identify(t.Context(), text)
				if err == nil || !strings.HasSuffix(err.Error(), `missing required claim: "epochs"`) {
					t.Errorf("Identify = %v", err)
				}
			}
		})
	}
	t.Run("in a roll-out a token without the claim lives until its user is revoked", func(t *testing.T) {
		t.Parallel()
		v := es256(t, store, revoke.WithOptionalEpochClaim())
		text := testkit.Mint(t, map[string]string{"sub": `"bob"`})
		if verified := accepted(t, v, text); !verified.HasEpochs || verified.Epochs != (revoke.Epochs{}) {
			t.Errorf("%+v", verified.Token)
		}
		bob := revoke.User{Issuer: testkit.Issuer, Subject: "bob"}
		epochs := testkit.Value(store.RevokeUser(t.Context(), bob))(t)
		refused(t, v, text, revoke.ErrRevoked)
		accepted(t, v, testkit.Mint(t, map[string]string{"sub": `"bob"`}, pair(epochs)))
	})
	t.Run("each order of both options is optional", func(t *testing.T) {
		t.Parallel()
		accepted(t, es256(t, &askedFor{}, revoke.WithEpochClaim(), revoke.WithOptionalEpochClaim()), testkit.Mint(t, nil))
		accepted(t, es256(t, &askedFor{}, revoke.WithOptionalEpochClaim(), revoke.WithEpochClaim()), testkit.Mint(t, nil))
	})
	t.Run("the iat rule decides for an issuer that lets users choose such a claim", func(t *testing.T) {
		t.Parallel()
		refused(t, es256(t, store), testkit.Mint(t, nil, `"epochs":[`+micros(30*time.Second)+`,0]`), revoke.ErrRevoked)
	})
	for _, row := range []struct{ name, value string }{
		{"null", `null`}, {"a number", `7`}, {"text", `"x"`}, {"an object", `{}`}, {"no element", `[]`}, {"one element", `[1]`},
		{"three elements", `[1,2,3]`}, {"a negative user", `[-1,2]`}, {"a negative issuer", `[1,-2]`}, {"a fraction", `[1.5,2]`},
		{"an exponent", `[1e3,2]`}, {"text in it", `["1",2]`}, {"null in it", `[null,2]`}, {"an array in it", `[[1],2]`},
		{"true in it", `[1,true]`}, {"an overflow", `[9223372036854775808,0]`},
		{"twice", `[1,2],"epochs":[1,2]`},
	} {
		t.Run("invalid/"+row.name, func(t *testing.T) {
			t.Parallel()
			for _, option := range []revoke.ValidatorOption{revoke.WithEpochClaim(), revoke.WithOptionalEpochClaim()} {
				refused(t, es256(t, neverAsked{t}, option), testkit.Mint(t, nil, `"epochs":`+row.value), revoke.ErrInvalidToken)
			}
		})
	}
	for _, row := range []struct {
		name string
		pair revoke.Epochs
	}{
		{"a user ahead of the clock and of the epoch that stands", revoke.Epochs{User: after.User + 1}},
		{"an issuer ahead of the clock", revoke.Epochs{User: after.User, Issuer: after.User}},
	} {
		t.Run("invalid/"+row.name, func(t *testing.T) {
			t.Parallel()
			v := es256(t, store, revoke.WithEpochClaim())
			text := testkit.Mint(t, nil, pair(row.pair))
			refused(t, v, text, revoke.ErrInvalidToken)
			testkit.Value(v.Identify(t.Context(), text))(t) // which has no clock of the store's
		})
	}
}
