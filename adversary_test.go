package revoke_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
)

// text is a token, and what is said of it.
type text struct{ name, token string }

// signed signs the header and the payload by ES256, and a key of the caller's.
func signed(tb testing.TB, header, payload string, method jwt.SigningMethod, key any) string {
	tb.Helper()
	input := testkit.Base64(header) + "." + testkit.Base64(payload)
	signature := testkit.Value(method.Sign(input, key))(tb)
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func unsigned(header, payload string) string {
	return testkit.Base64(header) + "." + testkit.Base64(payload) + "."
}

func decoded(tb testing.TB, segment string) string {
	tb.Helper()
	return string(testkit.Value(base64.RawURLEncoding.DecodeString(segment))(tb))
}

// eagerKey is the keyfunc that an attacker wishes for: it has a fitting key for every algorithm.
func eagerKey(token *jwt.Token) (any, error) {
	if token.Method == jwt.SigningMethod(jwt.SigningMethodNone) {
		return jwt.UnsafeAllowNoneSignatureType, nil
	}
	return testkit.VerificationKey(token.Method.Alg()), nil
}

// TestValidatorRefusesHeaders attacks the algorithm, the key and the form.
func TestValidatorRefusesHeaders(t *testing.T) {
	t.Parallel()
	good := testkit.Mint(t, nil)
	parts := strings.Split(good, ".")
	payload := testkit.Payload(nil)
	es256Header := func(header string) string { return testkit.SignRaw(t, "ES256", header, payload) }
	texts := []text{
		{"empty", ""},
		{"one segment", parts[0]},
		{"two segments", parts[0] + "." + parts[1]},
		{"four segments", good + "." + parts[2]},
		{"five segments", good + "." + parts[1] + "." + parts[2]},
		{"dots", ".."},
		{"a megabyte of dots", strings.Repeat(".", 1<<20)},
		{"too long", good + strings.Repeat("A", revoke.DefaultMaxTokenSize)},
		{"JSON serialisation", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`},
		{"Bearer before it", "Bearer " + good},
		{"a space behind it", good + " "},
		{"a line break in it", parts[0] + "." + parts[1] + "\r\n." + parts[2]},
		{"no signature", parts[0] + "." + parts[1] + "."},
		{"the signature of another", parts[0] + "." + testkit.Base64(testkit.Payload(map[string]string{"sub": `"bob"`})) + "." + parts[2]},
		{"header is no JSON", testkit.Base64("{") + "." + parts[1] + "." + parts[2]},
		{"header is null", testkit.Base64("null") + "." + parts[1] + "." + parts[2]},
		{"header is an array", testkit.Base64("[]") + "." + parts[1] + "." + parts[2]},
		{"payload is no base64", parts[0] + ".A." + parts[2]},
		{"5,000 levels deep", unsigned(`{"alg":"ES256","x":`+strings.Repeat("[", 2500)+strings.Repeat("]", 2500)+`}`, payload)},
		{"alg is missing", unsigned(`{"typ":"JWT"}`, payload)},
		{"alg is null", unsigned(`{"alg":null}`, payload)},
		{"alg is an array", unsigned(`{"alg":["ES256"]}`, payload)},
		{"alg is another's", unsigned(`{"alg":"ES384"}`, payload)},
		{"crit", es256Header(`{"alg":"ES256","crit":["exp"],"exp":1}`)},
		{"crit is empty", es256Header(`{"alg":"ES256","crit":[]}`)},
		{"crit is null", es256Header(`{"alg":"ES256","crit":null}`)},
		{"b64 false", es256Header(`{"alg":"ES256","b64":false}`)},
		{"b64 is text", es256Header(`{"alg":"ES256","b64":"true"}`)},
	}
	for _, none := range []string{"none", "None", "NONE", "nOnE", "none ", "NULL", ""} {
		token := unsigned(`{"alg":"`+none+`"}`, payload)
		texts = append(texts, text{"alg " + none, token}, text{"signed, alg " + none, token + parts[2]})
	}
	// A key of the attacker's, offered in the header in each way that there is.
	foreign := testkit.Value(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	point := testkit.Value(foreign.PublicKey.Bytes())(t)
	x, y := testkit.Base64(string(point[1:33])), testkit.Base64(string(point[33:]))
	for _, offer := range []struct{ name, member string }{
		{"jwk", `"jwk":{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + y + `"}`},
		{"jku", `"jku":"http://127.0.0.1:1/keys"`},
		{"x5u", `"x5u":"http://127.0.0.1:1/certificate"`},
		{"x5c", `"x5c":["AAAA"]`},
		{"kid path", `"kid":"../../../../dev/null"`},
		{"kid SQL", `"kid":"' UNION SELECT 'key"`},
		{"kid object", `"kid":{"kid":1}`},
	} {
		texts = append(texts, text{offer.name, signed(t, `{"alg":"ES256",`+offer.member+`}`, payload, jwt.SigningMethodES256, foreign)})
	}
	v := es256(t, neverAsked{t})
	for _, row := range texts {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			refused(t, v, row.token, revoke.ErrInvalidToken)
			_, err := v.Identify(t.Context(), row.token)
			testkit.WantError(t, err, revoke.ErrInvalidToken)
		})
	}
}

// TestValidatorRefusesClaims signs payloads that a careless reader would take for others.
func TestValidatorRefusesClaims(t *testing.T) {
	t.Parallel()
	type attack struct {
		name, payload string
		also          []error
		demanding     bool // refused by a validator that demands a session and an audience
	}
	var attacks []attack
	add := func(name, payload string, also ...error) {
		attacks = append(attacks, attack{name: name, payload: payload, also: also})
	}
	demand := func(name, payload string) {
		attacks = append(attacks, attack{name: name, payload: payload, demanding: true})
	}
	change := func(claim, value string) string { return testkit.Payload(map[string]string{claim: value}) }
	for _, claim := range []string{"jti", "sub", "iss"} {
		add(claim+" is null", change(claim, "null"))
		add(claim+" is empty", change(claim, `""`))
	}
	for _, claim := range []string{"jti", "sub", "iss", "sid"} {
		for _, value := range []struct{ is, json string }{
			{"number", "7"}, {"true", "true"}, {"array", `["x"]`}, {"object", `{"x":1}`}, {"an empty array", "[]"}, {"false", "false"},
			{"NUL", `"a\u0000b"`}, {"invalid UTF-8", "\"a\xffb\""}, {"half a pair", `"\ud800"`}, {"half a pair, then text", `"\ud800x"`},
			{"two halves of the wrong order", `"\ude00\ud83d"`}, {"too long", `"` + strings.Repeat("x", revoke.MaxIDLength+1) + `"`},
		} {
			add(claim+" is "+value.is, change(claim, value.json))
		}
		escaped := fmt.Sprintf(`\u00%x`, claim[0]) + claim[1:]
		add(claim+" with an escape in its name", testkit.Payload(nil, `"`+escaped+`":"other"`))
		add(claim+" only with an escape in its name", testkit.Payload(map[string]string{claim: ""}, `"`+escaped+`":"other"`))
		add(claim+" twice", testkit.Payload(nil, `"`+claim+`":"other"`))
		add(claim+" twice alike", testkit.Payload(nil, `"`+claim+`":`+testkit.Members()[claim]))
	}
	for _, claim := range []string{"exp", "iat", "nbf"} {
		for _, value := range []struct{ is, json string }{
			{"null", "null"}, {"text", `"1893553445"`}, {"minus one", "-1"}, {"a fraction below zero", "-0.5"}, {"1e300", "1e300"},
			{"9e18", "9e18"}, {"18446744074709", "18446744074709"}, {"an overflow", "1e999"}, {"after 9999", "253402300800"},
			{"an array", "[1]"}, {"true", "true"}, {"milliseconds", fmt.Sprint(testkit.Now.UnixMilli() + 600_000)},
		} {
			add(claim+" is "+value.is, change(claim, value.json))
		}
		add(claim+" twice", testkit.Payload(map[string]string{claim: testkit.At(time.Second)}, `"`+claim+`":1893553445`))
	}
	for _, claim := range []string{"iss", "sub", "jti", "iat", "exp"} {
		add(claim+" is absent", change(claim, ""), jwt.ErrTokenRequiredClaimMissing)
		for _, variant := range []string{strings.ToUpper(claim), strings.ToUpper(claim[:1]) + claim[1:], strings.ReplaceAll(claim, "s", "ſ")} {
			if variant != claim {
				payload := testkit.Payload(map[string]string{claim: ""}, `"`+variant+`":`+testkit.Members()[claim])
				add(claim+" is spelled only "+variant, payload, jwt.ErrTokenRequiredClaimMissing)
			}
		}
	}
	add("exp is zero", testkit.Payload(map[string]string{"exp": "0", "iat": "0"}), jwt.ErrTokenExpired)
	add("exp is now", change("exp", testkit.At(0)), jwt.ErrTokenExpired)
	add("exp before iat", testkit.Payload(map[string]string{"exp": testkit.At(2 * time.Second), "iat": testkit.At(4 * time.Second)}))
	add("nbf in a second", change("nbf", testkit.At(time.Second)), jwt.ErrTokenNotValidYet)
	add("nbf in a second and a half", change("nbf", testkit.At(time.Second)+".5"), jwt.ErrTokenNotValidYet)
	add("a lifetime too long", testkit.Payload(map[string]string{"iat": testkit.At(0), "exp": testkit.At(revoke.MaxTokenLifetime + time.Second)}))
	add("another issuer", change("iss", `"https://other.example"`), jwt.ErrTokenInvalidIssuer)
	add("the issuer and a slash", change("iss", `"`+testkit.Issuer+`/"`), jwt.ErrTokenInvalidIssuer)
	for _, value := range []struct{ is, json string }{
		{"an empty text in an array", `["api",""]`}, {"an empty text alone in an array", `[""]`}, {"null in an array", `[null]`}, {"a number", "1"},
		{"a number in an array", `["api",1]`}, {"an array in an array", `[["api"]]`}, {"an object", `{"api":1}`},
	} {
		add("aud is "+value.is, change("aud", value.json))
	}
	for _, value := range []struct{ is, json string }{{"null", "null"}, {"an empty text", `""`}, {"an empty array", "[]"}, {"an empty array of space", "[ ]"}} {
		demand("a demanded aud is "+value.is, change("aud", value.json))
	}
	for _, value := range []struct{ is, json string }{{"null", "null"}, {"empty", `""`}} {
		demand("a required sid is "+value.is, change("sid", value.json))
	}
	add("nbf is an empty text", change("nbf", `""`))
	add("aud twice", testkit.Payload(nil, `"aud":"api"`))
	add("the payload is null", "null")
	add("the payload is an array", "[]")
	add("the payload is text", `"x"`)
	add("the payload is a number", "1")
	add("the payload is empty", "")
	add("the payload is white space", " ")
	add("the payload is cut short", testkit.Payload(nil)[1:])
	add("the payload is followed by something", testkit.Payload(nil)+"{}")
	add("the payload is 2,000 levels deep", testkit.Payload(nil, `"x":`+strings.Repeat("[", 2000)+strings.Repeat("]", 2000)))
	add("the payload is 65 levels deep", testkit.Payload(nil, `"x":`+strings.Repeat("[", 65)+strings.Repeat("]", 65)))
	add("invalid UTF-8 elsewhere", testkit.Payload(nil, "\"x\":\"\xff\""))
	add("half a pair in a name", testkit.Payload(nil, `"\ud800":1`))
	add("a comma too many", strings.TrimSuffix(testkit.Payload(nil), "}")+",}")
	plain := es256(t, neverAsked{t})
	demanding := validatorOf(t, neverAsked{t}, revoke.AudienceOf("api"), testkit.Keyfunc("ES256"), "ES256", revoke.WithRequiredSession())
	for _, row := range attacks {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			v := plain
			if row.demanding {
				v = demanding
			}
			refused(t, v, testkit.SignRaw(t, "ES256", testkit.Header, row.payload), revoke.ErrInvalidToken, row.also...)
		})
	}
	// The store judges these, by its clock.
	const day = 24 * time.Hour
	for _, row := range []struct {
		name, iat, exp string
	}{
		{"iat in six seconds", testkit.At(6 * time.Second), testkit.At(time.Hour)},
		{"iat in a year", testkit.At(365 * day), testkit.At(366 * day)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			v := es256(t, revoketest.NewMemory(revoketest.WithClock(testkit.Clock)))
			refused(t, v, testkit.Mint(t, map[string]string{"iat": row.iat, "exp": row.exp}), revoke.ErrInvalidToken, jwt.ErrTokenUsedBeforeIssued)
		})
	}
}

// looseOptions are the ParserOptions that accept more than golang-jwt does by itself.
func looseOptions() []struct {
	name    string
	options []jwt.ParserOption
} {
	type row = struct {
		name    string
		options []jwt.ParserOption
	}
	one := func(name string, option jwt.ParserOption) row { return row{name, []jwt.ParserOption{option}} }
	rows := []row{
		one("WithoutClaimsValidation", jwt.WithoutClaimsValidation()),
		one("WithValidMethods none", jwt.WithValidMethods([]string{"none"})),
		one("WithValidMethods all", jwt.WithValidMethods(append(jwt.GetAlgorithms(), "none"))),
		one("WithValidMethods nil", jwt.WithValidMethods(nil)),
		one("WithLeeway", jwt.WithLeeway(1000*time.Hour)),
		one("WithTimeFunc past", jwt.WithTimeFunc(func() time.Time { return testkit.Now.Add(-1000 * time.Hour) })),
		one("WithTimeFunc zero", jwt.WithTimeFunc(func() time.Time { return time.Time{} })),
		one("WithTimeFunc nil", jwt.WithTimeFunc(nil)),
		one("WithPaddingAllowed", jwt.WithPaddingAllowed()),
		one("WithJSONNumber", jwt.WithJSONNumber()),
		one("WithIssuer empty", jwt.WithIssuer("")),
		one("WithSubject empty", jwt.WithSubject("")),
		one("WithAudience none", jwt.WithAudience()),
		one("WithAllAudiences none", jwt.WithAllAudiences()),
		one("another parser", func(p *jwt.Parser) { *p = *jwt.NewParser(jwt.WithPaddingAllowed(), jwt.WithLeeway(time.Hour)) }),
	}
	all := row{name: "all at once"}
	for _, r := range rows {
		all.options = append(all.options, r.options...)
	}
	return append(rows, all)
}

// TestValidatorOptionsCannotLoosen gives every ParserOption that would loosen, and a key for every
// algorithm: what still refuses is the list of algorithms and the validator's own rules.
func TestValidatorOptionsCannotLoosen(t *testing.T) {
	t.Parallel()
	change := func(claim, value string) string { return testkit.Mint(t, map[string]string{claim: value}) }
	texts := []text{
		{"another issuer", change("iss", `"https://other.example"`)},
		{"expired now", change("exp", testkit.At(0))},
		{"expired a second ago", change("exp", testkit.At(-time.Second))},
		{"expired long ago", testkit.Mint(t, map[string]string{"exp": "1", "iat": "0"})},
		{"not valid for a second", change("nbf", testkit.At(time.Second))},
		{"not valid for a minute", change("nbf", testkit.At(time.Minute))},
		{"exp is text", change("exp", `"`+testkit.At(time.Hour)+`"`)},
		{"without exp", change("exp", "")},
		{"sub twice", testkit.Mint(t, nil, `"sub":"bob"`)},
		{"jti twice", testkit.Mint(t, nil, `"jti":"x"`)},
		{"padded once", testkit.Mint(t, nil) + "="},
		{"padded", testkit.Mint(t, nil) + "=="},
		{"trailing bits", respellings(t, testkit.Mint(t, nil))[trailingBits].token},
		{"a second object", testkit.SignRaw(t, "ES256", testkit.Header, testkit.Payload(nil)+testkit.Payload(nil))},
		{"a small second object", testkit.SignRaw(t, "ES256", testkit.Header, testkit.Payload(nil)+`{"jti":"x"}`)},
		{"text behind it", testkit.SignRaw(t, "ES256", testkit.Header, testkit.Payload(nil)+"x")},
		{"null", testkit.SignRaw(t, "ES256", testkit.Header, "null")},
		{"crit", testkit.SignRaw(t, "ES256", `{"alg":"ES256","crit":["b64"],"b64":false}`, testkit.Payload(nil))},
	}
	for _, alg := range []string{"HS256", "RS256", "PS256", "EdDSA"} {
		texts = append(texts, text{"a good " + alg, testkit.SignRaw(t, alg, `{"alg":"`+alg+`"}`, testkit.Payload(nil))})
	}
	for _, none := range []string{"none", "None", "NONE", "nonE", " none", "none\\u0000", "ＮＯＮＥ"} {
		texts = append(texts, text{"alg " + none, unsigned(`{"alg":"`+none+`"}`, testkit.Payload(nil))})
	}
	judged := []text{ // by the store, and under the claim rule by the validator
		{"issued six seconds ahead", testkit.Mint(t, map[string]string{"iat": testkit.At(6 * time.Second)}, `"epochs":[0,0]`)},
		{"issued a minute ahead", testkit.Mint(t, map[string]string{"iat": testkit.At(time.Minute)}, `"epochs":[0,0]`)},
	}
	for _, loose := range looseOptions() {
		t.Run(loose.name, func(t *testing.T) {
			t.Parallel()
			option := revoke.WithParserOptions(loose.options...)
			for _, row := range judged {
				t.Run(row.name, func(t *testing.T) {
					t.Parallel()
					store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
					refused(t, es256(t, store, option), row.token, revoke.ErrInvalidToken, jwt.ErrTokenUsedBeforeIssued)
					refused(t, es256(t, neverAsked{t}, option, revoke.WithEpochClaim()), row.token, revoke.ErrInvalidToken, jwt.ErrTokenUsedBeforeIssued)
				})
			}
			for _, row := range texts {
				t.Run(row.name, func(t *testing.T) {
					t.Parallel()
					for _, keyfunc := range []jwt.Keyfunc{eagerKey, testkit.Keyfunc("ES256")} {
						v := validatorOf(t, neverAsked{t}, revoke.AnyAudience(), keyfunc, "ES256", option)
						refused(t, v, row.token, revoke.ErrInvalidToken)
					}
				})
			}
			t.Run("a good token is accepted", func(t *testing.T) {
				t.Parallel()
				accepted(t, es256(t, &askedFor{}, option), testkit.Mint(t, nil))
			})
		})
	}
}

func TestValidatorOptionsTighten(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		option jwt.ParserOption
		want   error
	}{
		{"WithAudience", jwt.WithAudience("other"), jwt.ErrTokenInvalidAudience},
		{"WithAllAudiences", jwt.WithAllAudiences("api", "other"), jwt.ErrTokenInvalidAudience},
		{"WithSubject", jwt.WithSubject("bob"), jwt.ErrTokenInvalidSubject},
		{"WithIssuer", jwt.WithIssuer("other"), jwt.ErrTokenInvalidIssuer},
		{"WithNotBeforeRequired", jwt.WithNotBeforeRequired(), jwt.ErrTokenRequiredClaimMissing},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			refused(t, es256(t, neverAsked{t}, revoke.WithParserOptions(row.option)), testkit.Mint(t, nil), revoke.ErrInvalidToken, row.want)
		})
	}
	t.Run("the audience of the token is accepted", func(t *testing.T) {
		t.Parallel()
		accepted(t, es256(t, &askedFor{}, revoke.WithParserOptions(jwt.WithAudience("api"))), testkit.Mint(t, nil))
	})
}

// TestPublicKeysAreNoSecrets signs with HMAC and the public keys, where HMAC is not allowed and
// where nothing else is. The keyfunc returns the public key, as one that ignores alg does.
func TestPublicKeysAreNoSecrets(t *testing.T) {
	t.Parallel()
	type secret struct {
		form  string
		bytes []byte
	}
	keys := testkit.TestKeys()
	for _, kind := range []struct {
		alg    string
		public any
		more   func(der []byte) []secret // forms of this kind of key alone
	}{
		{"RS256", keys.RSA.Public(), func([]byte) []secret {
			pkcs1 := x509.MarshalPKCS1PublicKey(&keys.RSA.PublicKey)
			return []secret{
				{"PKCS #1", pkcs1},
				{"PKCS #1 PEM", pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1})},
			}
		}},
		{"ES256", keys.EC.Public(), func([]byte) []secret {
			return []secret{{"point", testkit.Value(keys.EC.PublicKey.Bytes())(t)}}
		}},
		{"EdDSA", keys.Ed.Public(), func(der []byte) []secret { return []secret{{"raw", der[len(der)-32:]}} }},
	} {
		der := testkit.Value(x509.MarshalPKIXPublicKey(kind.public))(t)
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		secrets := append(kind.more(der), secret{"DER", der}, secret{"PEM", text},
			secret{"PEM without its last line break", []byte(strings.TrimSpace(string(text)))})
		keyfunc := func(*jwt.Token) (any, error) { return kind.public, nil }
		for _, allowed := range []string{kind.alg, "HS256"} {
			v := validatorOf(t, neverAsked{t}, revoke.AnyAudience(), keyfunc, allowed, revoke.WithParserOptions(jwt.WithValidMethods(nil)))
			for _, s := range secrets {
				for _, alg := range []string{"HS256", "HS384", "HS512"} {
					t.Run(strings.Join([]string{kind.alg, allowed, s.form, alg}, "/"), func(t *testing.T) {
						t.Parallel()
						token := signed(t, `{"alg":"`+alg+`"}`, testkit.Payload(nil), jwt.GetSigningMethod(alg), s.bytes)
						want := revoke.ErrInvalidToken
						if alg == allowed { // no token could be verified: the server is at fault
							want = revoke.ErrUnavailable
						}
						refused(t, v, token, want)
					})
				}
			}
		}
	}
}

// TestDeepAndLong sends big tokens, within the greatest size that may be allowed.
func TestDeepAndLong(t *testing.T) {
	t.Parallel()
	objects := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	arrays := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	change := func(claim, value string) string { return testkit.Mint(t, map[string]string{claim: value}) }
	payload := func(payload string) string { return testkit.SignRaw(t, "ES256", testkit.Header, payload) }
	header := func(header string) string { return testkit.SignRaw(t, "ES256", header, testkit.Payload(nil)) }
	large := revoke.WithMaxTokenSize(1 << 20)
	for _, row := range []text{
		{"a megabyte of dots", strings.Repeat(".", 1<<20)},
		{"a megabyte of letters", strings.Repeat("A", 1<<20)},
		{"a megabyte and a byte", strings.Repeat("A", 1<<20+1)},
		{"half a megabyte of header", strings.Repeat("A", 1<<19) + ".e30.AA"},
		{"header of 10,000 arrays", header(`{"alg":"ES256","x":` + arrays(10_000) + `}`)},
		{"payload of 10,000 arrays", testkit.Mint(t, nil, `"x":`+arrays(10_000))},
		{"payload of 10,000 objects", testkit.Mint(t, nil, `"x":`+objects(10_000))},
		{"payload of 10,000 arrays, open", payload(testkit.Payload(nil, `"x":`+strings.Repeat("[", 10_000)))},
		{"payload that is 10,000 arrays", payload(arrays(10_000))},
		{"payload of 65 objects", testkit.Mint(t, nil, `"x":`+objects(65))},
		{"a jti of half a megabyte", change("jti", `"`+strings.Repeat("j", 1<<19)+`"`)},
		{"an exp of 100,000 digits", change("exp", strings.Repeat("1", 100_000))},
		{"an exp with a vast exponent", change("exp", "1e"+strings.Repeat("9", 1000))},
		{"an exp with a vast negative exponent", change("exp", "1e-"+strings.Repeat("9", 1000))},
		{"an aud with 10,000 names and one empty", change("aud", "["+strings.Repeat(`"api",`, 10_000)+`""]`)},
	} {
		t.Run("refused/"+row.name, func(t *testing.T) {
			t.Parallel()
			v := es256(t, neverAsked{t}, large)
			refused(t, v, row.token, revoke.ErrInvalidToken)
			_, err := v.Identify(t.Context(), row.token)
			testkit.WantError(t, err, revoke.ErrInvalidToken)
		})
	}
	for _, row := range []text{
		{"nested 64 objects deep", testkit.Mint(t, nil, `"x":`+objects(64))},
		{"10,000 other claims", testkit.Mint(t, nil, strings.TrimSuffix(strings.Repeat(`"x":1,`, 10_000), ","))},
		{"an audience of 10,000", change("aud", "["+strings.Repeat(`"api",`, 10_000)+`"api"]`)},
		{"an exp of 1,000 digits", change("exp", testkit.At(time.Hour)+"."+strings.Repeat("0", 1000))},
		{"a header with many members", header(`{"alg":"ES256","x":` + arrays(1000) + `}`)},
	} {
		t.Run("accepted/"+row.name, func(t *testing.T) {
			t.Parallel()
			accepted(t, es256(t, &askedFor{}, large), row.token)
		})
	}
}

// TestErrorsSayNothing looks in the errors of every kind of failure for the token, its parts and
// the keys.
func TestErrorsSayNothing(t *testing.T) {
	t.Parallel()
	good := testkit.Mint(t, nil)
	parts := strings.Split(good, ".")
	change := func(claim, value string) string { return testkit.Mint(t, map[string]string{claim: value}) }
	store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
	testkit.Must(t, store.RevokeToken(t.Context(), revoke.Token{Issuer: testkit.Issuer, ID: "token-1"}))
	keyfunc := testkit.Keyfunc("ES256")
	v := validatorOf(t, store, revoke.AudienceOf("api"), keyfunc, "ES256", revoke.WithTokenType("JWT"), revoke.WithMaxTokenSize(4096))
	der := testkit.Value(x509.MarshalPKIXPublicKey(testkit.TestKeys().EC.Public()))(t)
	point := testkit.Value(testkit.TestKeys().EC.PublicKey.Bytes())(t)
	secrets := []string{
		string(der), base64.StdEncoding.EncodeToString(der)[40:60], new(big.Int).SetBytes(point[1:33]).String(), string(testkit.TestKeys().Secret),
		"another-secret", "a-secret-type", "123456789012345", "token-1", "session-1", `"ada"`,
	}
	for _, row := range []struct {
		name, token string
		identified  bool // Identify accepts it
	}{
		{"no token", "x" + parts[1], false},
		{"two segments", parts[0] + "." + parts[1], false},
		{"four segments", good + "." + parts[2], false},
		{"a letter of another alphabet", good + "\n", false},
		{"no base64", parts[0] + "." + parts[1] + "A." + parts[2], false},
		{"no JSON header", parts[1][1:] + "." + parts[1] + "." + parts[2], false},
		{"no JSON payload", parts[0] + "." + parts[0][1:] + "." + parts[2], false},
		{"forged", parts[0] + "." + parts[1] + "." + testkit.Base64(strings.Repeat("s", 64)), false},
		{"a short signature", parts[0] + "." + parts[1] + "." + parts[2][:40], false},
		{"another alg", testkit.SignRaw(t, "HS256", `{"alg":"HS256"}`, testkit.Payload(nil)), false},
		{"an unknown alg", testkit.SignRaw(t, "ES256", `{"alg":"ES2567890"}`, testkit.Payload(nil)), false},
		{"crit", testkit.SignRaw(t, "ES256", `{"alg":"ES256","crit":["exp"]}`, testkit.Payload(nil)), false},
		{"a wrong type", testkit.SignRaw(t, "ES256", `{"alg":"ES256","typ":"a-secret-type"}`, testkit.Payload(nil)), false},
		{"expired", change("exp", testkit.At(-time.Minute)), true},
		{"too long-lived", change("exp", testkit.At(revoke.MaxTokenLifetime*2)), false},
		{"another audience", change("aud", `"another-secret"`), false},
		{"jti twice", testkit.Mint(t, nil, `"jti":"another-secret"`), false},
		{"another issuer", change("iss", `"other"`), false},
		{"jti too long", change("jti", `"`+strings.Repeat("another-secret", 100)+`"`), false},
		{"jti no UTF-8", change("jti", "\"another-secret\xff\""), false},
		{"jti with NUL", change("jti", `"another-secret\u0000"`), false},
		{"jti spelled otherwise", testkit.Mint(t, map[string]string{"jti": ""}, `"JTI":"another-secret"`), false},
		{"jti is a number", change("jti", "123456789012345"), false},
		{"revoked", good, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, validated := v.Validate(t.Context(), row.token)
			_, identified := v.Identify(t.Context(), row.token)
			if validated == nil || (identified == nil) != row.identified {
				t.Fatalf("Validate: %v, Identify: %v", validated, identified)
			}
			saysNothing(t, validated, row.token, secrets)
			if identified != nil {
				saysNothing(t, identified, row.token, secrets)
			}
		})
	}
}

// saysNothing looks in the error's text for secrets, and for the token and its decoded parts.
func saysNothing(tb testing.TB, err error, token string, secrets []string) {
	tb.Helper()
	said := err.Error()
	if len(said) > 300 || strings.Contains(said, "\n") {
		tb.Errorf("an error of %d bytes or of several lines: %.300s", len(said), said)
	}
	for _, secret := range secrets {
		if strings.Contains(said, secret) {
			tb.Errorf("the error says %q: %v", secret, err)
		}
	}
	for part := range strings.SplitSeq(token, ".") {
		decoded, _ := base64.RawURLEncoding.DecodeString(part)
		for _, piece := range []string{part, string(decoded)} {
			for at := 0; at+8 <= len(piece); at += 4 {
				if strings.Contains(said, piece[at:at+8]) {
					tb.Errorf("the error quotes %q: %v", piece[at:at+8], err)
				}
			}
		}
	}
}

// Places of some respellings.
const (
	twinSignature = 0
	trailingBits  = 1
)

// respellings returns other texts for which a verifier might take the same token.
func respellings(tb testing.TB, good string) []text {
	tb.Helper()
	parts := strings.Split(good, ".")
	signature := decoded(tb, parts[2])
	twin := make([]byte, 64)
	copy(twin, signature[:32])
	s := new(big.Int).SetBytes([]byte(signature[32:]))
	s.Sub(elliptic.P256().Params().N, s).FillBytes(twin[32:])

	joined := func(header, payload, signature string) string { return header + "." + payload + "." + signature }
	return []text{
		twinSignature: {"the twin of the signature", joined(parts[0], parts[1], base64.RawURLEncoding.EncodeToString(twin))},
		trailingBits:  {"trailing bits of the signature", joined(parts[0], parts[1], flipLast(parts[2]))},
		{"CR LF in the signature", joined(parts[0], parts[1], parts[2][:10]+"\r\n"+parts[2][10:])},
		{"LF at the end", good + "\n"},
		{"padding", good + "=="},
		{"the standard alphabet", strings.NewReplacer("-", "+", "_", "/").Replace(good)},
		{"signed again", testkit.SignRaw(tb, "ES256", testkit.Header, decoded(tb, parts[1]))},
		{"another order of the header", testkit.SignRaw(tb, "ES256", `{"typ":"JWT","alg":"ES256"}`, decoded(tb, parts[1]))},
	}
}

// withBothAlphabets signs until the signature has a letter in which the two alphabets of base64
// differ. In one signature of fifteen no letter does, and the standard alphabet spells the same
// token.
func withBothAlphabets(sign func() string) string {
	for {
		if token := sign(); strings.ContainsAny(token[strings.LastIndex(token, "."):], "-_") {
			return token
		}
	}
}

// flipLast changes a bit that base64 leaves over in the last letter of a part.
func flipLast(part string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, part[len(part)-1])
	return part[:len(part)-1] + string(alphabet[last^1])
}

// TestRespellingsStayRevoked revokes a token by itself and with its session, its user and its
// issuer, and presents every spelling of it under every loosening option.
func TestRespellingsStayRevoked(t *testing.T) {
	t.Parallel()
	good := withBothAlphabets(func() string { return testkit.Mint(t, nil) })
	parts := strings.Split(good, ".")
	texts := respellings(t, good)
	texts = append(texts,
		text{"itself", good},
		text{"a twin in other bits", respellings(t, texts[twinSignature].token)[trailingBits].token},
		text{"CR LF in the header", parts[0][:4] + "\r\n" + good[4:]},
		text{"LF in the payload", parts[0] + "." + parts[1][:8] + "\n" + parts[1][8:] + "." + parts[2]},
		text{"padded payload", parts[0] + "." + parts[1] + "=." + parts[2]},
		text{"padded everywhere", parts[0] + "=." + parts[1] + "==." + parts[2] + "=="},
		text{"another payload of it", testkit.Mint(t, nil, `"x":1`)},
		text{"its jti in escapes", testkit.Mint(t, map[string]string{"jti": `"\u0074\u006fken-1"`})},
		text{"its sub and sid in escapes", testkit.Mint(t, map[string]string{"sub": `"\u0061da"`, "sid": `"\u0073ession-1"`})},
		text{"its names in other spellings too", testkit.Mint(t, nil, `"JTI":"other"`, `"SUB":"bob"`, `"Sid":"other"`)},
	)
	verify := 0
	for _, row := range texts {
		// What verifies in another spelling has the identity of the first.
		if verified, err := es256(t, &askedFor{}).Validate(t.Context(), row.token); err == nil {
			verify++
			if verified.Token != mintedToken() {
				t.Errorf("%s: %+v, want %+v", row.name, verified.Token, mintedToken())
			}
		}
	}
	if verify < 5 {
		t.Errorf("%d spellings verify before the revocation: too few to prove anything", verify)
	}
	token := mintedToken()
	for _, row := range []struct {
		name   string
		revoke func(revoke.Revoker) error
	}{
		{"token", func(r revoke.Revoker) error { return r.RevokeToken(t.Context(), token) }},
		{"session", func(r revoke.Revoker) error { return r.RevokeSession(t.Context(), token.Session()) }},
		{"user", func(r revoke.Revoker) error { _, err := r.RevokeUser(t.Context(), token.User()); return err }},
		{"issuer", func(r revoke.Revoker) error { _, err := r.RevokeIssuer(t.Context(), token.Issuer); return err }},
		{"spent", func(r revoke.Revoker) error { return r.Redeem(t.Context(), token) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
			testkit.Must(t, row.revoke(store))
			options := append(looseOptions(), struct {
				name    string
				options []jwt.ParserOption
			}{name: "no option"})
			for _, loose := range options {
				t.Run(loose.name, func(t *testing.T) {
					t.Parallel()
					v := es256(t, store, revoke.WithParserOptions(loose.options...))
					refused(t, v, good, revoke.ErrRevoked)
					for _, row := range texts {
						t.Run(row.name, func(t *testing.T) {
							t.Parallel()
							_, err := v.Validate(t.Context(), row.token)
							want := revoke.ErrInvalidToken
							if errors.Is(err, revoke.ErrRevoked) {
								want = revoke.ErrRevoked
							}
							refused(t, v, row.token, want)
						})
					}
				})
			}
		})
	}
}

// TestIdentifiersAreBytes keeps apart names that look or fold alike: each is accepted after all
// the others have been revoked.
func TestIdentifiersAreBytes(t *testing.T) {
	t.Parallel()
	names := []string{
		"é", "e\u0301", "É", "K", "\u212a", "k", " k", "k ", "ß", "ss", "ﬁ", "fi", "a\u200bb", "ab", "\ufeffab", "\u202eab", "a/b", `a\b`,
		"\ufffd", "\u007f",
	}
	for i, name := range names {
		t.Run(fmt.Sprintf("%+q", name), func(t *testing.T) {
			t.Parallel()
			store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
			for _, other := range slices.Delete(slices.Clone(names), i, i+1) {
				testkit.Must(t, store.RevokeToken(t.Context(), revoke.Token{Issuer: testkit.Issuer, ID: other}))
				testkit.Must(t, store.RevokeSession(t.Context(), revoke.Session{Issuer: testkit.Issuer, ID: other}))
				testkit.Value(store.RevokeUser(t.Context(), revoke.User{Issuer: testkit.Issuer, Subject: other}))(t)
			}
			quoted := string(testkit.Value(json.Marshal(name))(t))
			v, text := es256(t, store), testkit.Mint(t, map[string]string{"jti": quoted, "sub": quoted, "sid": quoted})
			verified := accepted(t, v, text)
			var claims revoke.Claims
			testkit.Must(t, verified.Claims(&claims))
			for _, got := range []string{verified.ID, verified.Subject, verified.SessionID, claims.ID, claims.Subject, claims.SessionID} {
				if got != name {
					t.Errorf("%q is read as %q", name, got)
				}
			}
			testkit.Must(t, store.RevokeToken(t.Context(), verified.Token))
			refused(t, v, text, revoke.ErrRevoked)
		})
	}
	for _, row := range []struct{ name, issuer string }{
		{"a space behind it", testkit.Issuer + " "}, {"a space before it", " " + testkit.Issuer}, {"capitals", strings.ToUpper(testkit.Issuer)},
		{"a space without width", testkit.Issuer + "\u200b"}, {"a letter less", testkit.Issuer[:len(testkit.Issuer)-1]},
	} {
		t.Run("issuer/"+row.name, func(t *testing.T) {
			t.Parallel()
			quoted := string(testkit.Value(json.Marshal(row.issuer))(t))
			refused(t, es256(t, neverAsked{t}), testkit.Mint(t, map[string]string{"iss": quoted}), revoke.ErrInvalidToken, jwt.ErrTokenInvalidIssuer)
		})
	}
}

// spellings returns the name with each of its letters in a form that folds to it, and in escapes.
// decoded says what the spelling stands for.
func spellings(name string) (all []struct{ spelled, decoded string }) {
	add := func(spelled, decoded string) { all = append(all, struct{ spelled, decoded string }{spelled, decoded}) }
	for i := range name {
		before, letter, after := name[:i], name[i:i+1], name[i+1:]
		upper := strings.ToUpper(letter)
		add(before+upper+after, before+upper+after)
		add(before+fmt.Sprintf(`\u%04x`, letter[0])+after, name)
		add(before+fmt.Sprintf(`\u%04X`, letter[0])+after, name)
		add(before+fmt.Sprintf(`\u%04x`, upper[0])+after, before+upper+after)
		switch letter {
		case "s":
			add(before+"\u017f"+after, before+"\u017f"+after)
			add(before+`\u017f`+after, before+"\u017f"+after)
			add(before+`\u017F`+after, before+"\u017f"+after)
		case "k":
			add(before+"\u212a"+after, before+"\u212a"+after)
			add(before+`\u212a`+after, before+"\u212a"+after)
		}
	}
	add(strings.ToUpper(name), strings.ToUpper(name))
	return all
}

// TestNamesThatFold spells the names of claims with every letter that folds to another, and with
// escapes. Another spelling of a name is another claim: it identifies nothing, and Claims fails
// because encoding/json would read it in place of the registered one. The name itself in escapes
// is refused at once.
func TestNamesThatFold(t *testing.T) {
	t.Parallel()
	for _, claim := range []string{"iss", "sub", "jti", "sid", "iat", "exp", "nbf", "aud", "epochs"} {
		value, required := testkit.Members()[claim], true
		switch claim {
		case "nbf":
			value, required = testkit.At(time.Hour), false
		case "epochs":
			value, required = "[0,0]", false
		case "sid":
			required = false
		case "aud":
			value = `"other"`
		}
		for _, spelling := range spellings(claim) {
			member := `"` + spelling.spelled + `":`
			beside := []text{
				{"behind", testkit.Payload(nil, member+value)},
				{"before", "{" + member + "null," + testkit.Payload(nil)[1:]},
			}
			instead := testkit.Payload(map[string]string{claim: ""}, member+value)
			t.Run(claim+"/"+spelling.spelled, func(t *testing.T) {
				t.Parallel()
				validator := func(checker revoke.Checker) *revoke.Validator {
					return validatorOf(t, checker, revoke.AudienceOf("api"), testkit.Keyfunc("ES256"), "ES256", revoke.WithOptionalEpochClaim())
				}
				sign := func(payload string) string { return testkit.SignRaw(t, "ES256", testkit.Header, payload) }
				if spelling.decoded == claim {
					for _, payload := range []string{beside[0].token, beside[1].token, instead} {
						refused(t, validator(neverAsked{t}), sign(payload), revoke.ErrInvalidToken)
					}
					return
				}
				want := mintedToken()
				want.HasEpochs = true
				for _, row := range beside {
					verified := accepted(t, validator(&askedFor{}), sign(row.token))
					if verified.Token != want {
						t.Errorf("%s it: %+v, want %+v", row.name, verified.Token, want)
					}
					var claims map[string]any
					testkit.WantError(t, verified.Claims(&claims), revoke.ErrInvalidToken)
				}
				if required {
					refused(t, validator(neverAsked{t}), sign(instead), revoke.ErrInvalidToken, jwt.ErrTokenRequiredClaimMissing)
					return
				}
				if claim == "sid" {
					want.SessionID = ""
				}
				verified := accepted(t, validator(&askedFor{}), sign(instead))
				if verified.Token != want {
					t.Errorf("instead of it: %+v, want %+v", verified.Token, want)
				}
				testkit.WantError(t, verified.Claims(&revoke.Claims{}), revoke.ErrInvalidToken)
			})
		}
	}
	// A name that resembles another to the eye alone is another claim, and harmless.
	for _, name := range []string{"jtı", "ѕub", "sub ", " sub", "sub\\u0000", "s\u0301ub", "exр", "ıss", "jti\u200b"} {
		t.Run("resembles/"+name, func(t *testing.T) {
			t.Parallel()
			verified := accepted(t, es256(t, &askedFor{}), testkit.Mint(t, nil, `"`+name+`":null`))
			testkit.Must(t, verified.Claims(&revoke.Claims{}))
		})
	}
}
