package revoke_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revoketest"
)

// mintNow is the time of every validator and token in these tests.
var mintNow = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// mintKeys are the keys of these tests, one for each kind of algorithm.
var mintKeys = sync.OnceValue(func() (keys struct {
	ec     *ecdsa.PrivateKey
	rsa    *rsa.PrivateKey
	ed     ed25519.PrivateKey
	secret []byte
},
) {
	var errs [3]error
	keys.ec, errs[0] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	keys.rsa, errs[1] = rsa.GenerateKey(rand.Reader, 2048)
	_, keys.ed, errs[2] = ed25519.GenerateKey(rand.Reader)
	keys.secret = []byte("0123456789abcdef0123456789abcdef")
	if err := errors.Join(errs[:]...); err != nil {
		panic(err)
	}
	return keys
})

// verificationKey returns the key that a verifier has for the algorithm, and signingKey the other half.
func verificationKey(alg string) any {
	switch alg[:2] {
	case "HS":
		return mintKeys().secret
	case "ES":
		return mintKeys().ec.Public()
	case "Ed":
		return mintKeys().ed.Public()
	}
	return mintKeys().rsa.Public()
}

func signingKey(alg string) any {
	switch alg[:2] {
	case "HS":
		return mintKeys().secret
	case "ES":
		return mintKeys().ec
	case "Ed":
		return mintKeys().ed
	}
	return mintKeys().rsa
}

func b64(data string) string { return base64.RawURLEncoding.EncodeToString([]byte(data)) }

// signRaw signs a header and a payload as they are written.
func signRaw(tb testing.TB, alg, header, payload string) string {
	tb.Helper()
	input := b64(header) + "." + b64(payload)
	signature, err := jwt.GetSigningMethod(alg).Sign(input, signingKey(alg))
	must(tb, err)
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// members are the claims of a good token, as JSON text.
func members() map[string]string {
	return map[string]string{
		"iss": `"` + testIssuer + `"`, "sub": `"ada"`, "jti": `"token-1"`, "sid": `"session-1"`, "aud": `["api"]`,
		"iat": fmt.Sprint(mintNow.Unix() - 60), "exp": fmt.Sprint(mintNow.Unix() + 600),
	}
}

// payloadOf writes claims as JSON, with changes: a value of "" leaves one out.
func payloadOf(changes map[string]string, extra ...string) string {
	claims := members()
	maps.Copy(claims, changes)
	var parts []string
	for name, value := range claims {
		if value != "" {
			parts = append(parts, `"`+name+`":`+value)
		}
	}
	return "{" + strings.Join(append(parts, extra...), ",") + "}"
}

const goodHeader = `{"alg":"ES256","typ":"JWT"}`

// mint signs good claims with changes.
func mint(tb testing.TB, changes map[string]string, extra ...string) string {
	tb.Helper()
	return signRaw(tb, "ES256", goodHeader, payloadOf(changes, extra...))
}

// neverAsked is a checker that fails the test when it is asked.
type neverAsked struct{ testing.TB }

func (n neverAsked) Check(_ context.Context, token revoke.Token) error {
	n.Errorf("the store was asked about %+v", token)
	return nil
}

// askedFor is a checker that accepts, and remembers.
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

// es256 returns a validator of this file's tokens.
func es256(tb testing.TB, checker revoke.Checker, opts ...revoke.ValidatorOption) *revoke.Validator[revoke.Claims] {
	tb.Helper()
	return validatorFor(tb, checker, "ES256", opts...)
}

func validatorFor(tb testing.TB, checker revoke.Checker, alg string, opts ...revoke.ValidatorOption) *revoke.Validator[revoke.Claims] {
	tb.Helper()
	keyfunc := func(*jwt.Token) (any, error) { return verificationKey(alg), nil }
	opts = append([]revoke.ValidatorOption{revoke.WithClock(func() time.Time { return mintNow })}, opts...)
	v, err := revoke.NewValidator[revoke.Claims](checker, testIssuer, keyfunc, []string{alg}, opts...)
	must(tb, err)
	return v
}

// refused expects an error that matches want, also one of golang-jwt's where it is given, and nothing else: no token, no
// claims, and no text of the token in the error.
func refused(t *testing.T, v *revoke.Validator[revoke.Claims], tokenString string, want error, also ...error) {
	t.Helper()
	token, claims, err := v.Validate(t.Context(), tokenString)
	if err == nil {
		t.Fatalf("accepted as %+v", token)
	}
	wantError(t, err, want)
	for _, sentinel := range also {
		if !errors.Is(err, sentinel) {
			t.Errorf("error %v does not match %v", err, sentinel)
		}
	}
	if token != (revoke.Token{}) || claims != nil {
		t.Errorf("beside the error %v there is %+v and %+v", err, token, claims)
	}
	for part := range strings.SplitSeq(tokenString, ".") {
		if len(part) > 10 && strings.Contains(err.Error(), part[:10]) {
			t.Errorf("the error quotes the token: %v", err)
		}
	}
}

// TestValidatorAccepts shows what the other tests start from, for each kind of algorithm.
func TestValidatorAccepts(t *testing.T) {
	t.Parallel()
	want := revoke.Token{
		Issuer: testIssuer, ID: "token-1", Subject: "ada", SessionID: "session-1",
		IssuedAt: mintNow.Add(-time.Minute), ExpiresAt: mintNow.Add(10 * time.Minute),
	}
	for _, alg := range []string{"HS256", "RS256", "PS256", "ES256", "EdDSA"} {
		checker := &askedFor{}
		token, claims, err := validatorFor(t, checker, alg).Validate(t.Context(),
			signRaw(t, alg, `{"alg":"`+alg+`"}`, payloadOf(nil)))
		must(t, err)
		if token != want || claims.Subject != "ada" || claims.SessionID != "session-1" {
			t.Errorf("%s: %+v and %+v, want %+v", alg, token, claims, want)
		}
		if len(checker.tokens) != 1 || checker.tokens[0] != want {
			t.Errorf("%s: the store was asked about %+v", alg, checker.tokens)
		}
	}
	for what, token := range map[string]string{
		"aud is a string":             mint(t, map[string]string{"aud": `"api"`}),
		"no aud, no sid":              mint(t, map[string]string{"aud": "", "sid": ""}),
		"nbf is past":                 mint(t, map[string]string{"nbf": fmt.Sprint(mintNow.Unix())}),
		"fractions of a second":       mint(t, map[string]string{"iat": fmt.Sprint(mintNow.Unix()-60) + ".75", "exp": fmt.Sprint(mintNow.Unix()+600) + ".5"}),
		"exp with an exponent":        mint(t, map[string]string{"exp": "18935540450e-1"}),
		"an escape in a value":        mint(t, map[string]string{"jti": `"token\u002d1"`}),
		"a surrogate pair in a value": mint(t, map[string]string{"jti": `"\ud83d\ude00"`}),
		"the same names further in":   mint(t, nil, `"ext":{"jti":null,"JTI":7,"exp":"x","a":[{"sub":[]}]}`),
		"another claim":               mint(t, nil, `"scope":"a b"`, `"jt":1`, `"jtii":2`),
		"an iat five seconds ahead":   mint(t, map[string]string{"iat": fmt.Sprint(mintNow.Unix() + 5)}),
		"the longest lifetime":        mint(t, map[string]string{"iat": fmt.Sprint(mintNow.Unix()), "exp": fmt.Sprint(mintNow.Add(revoke.MaxTokenLifetime).Unix())}),
		"the longest jti":             mint(t, map[string]string{"jti": `"` + strings.Repeat("x", revoke.MaxIDLength) + `"`}),
		"nested 64 levels deep":       mint(t, nil, `"deep":`+strings.Repeat("[", 64)+strings.Repeat("]", 64)),
		"b64 true":                    signRaw(t, "ES256", `{"alg":"ES256","b64":true}`, payloadOf(nil)),
	} {
		if _, _, err := es256(t, &askedFor{}).Validate(t.Context(), token); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestValidatorRefusesHeaders attacks the algorithm, the key and the form.
func TestValidatorRefusesHeaders(t *testing.T) {
	t.Parallel()
	v := es256(t, neverAsked{t})
	good := mint(t, nil)
	parts := strings.Split(good, ".")
	payload := payloadOf(nil)
	unsigned := func(header string) string { return b64(header) + "." + b64(payload) + "." }

	tokens := map[string]string{
		"empty":                    "",
		"one segment":              parts[0],
		"two segments":             parts[0] + "." + parts[1],
		"four segments":            good + "." + parts[2],
		"five segments":            good + "." + parts[1] + "." + parts[2],
		"dots":                     "..",
		"a megabyte of dots":       strings.Repeat(".", 1<<20),
		"too long":                 good + strings.Repeat("A", revoke.DefaultMaxTokenSize),
		"JSON serialisation":       `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"Bearer before it":         "Bearer " + good,
		"a space behind it":        good + " ",
		"a line break in it":       parts[0] + "." + parts[1] + "\r\n." + parts[2],
		"no signature":             parts[0] + "." + parts[1] + ".",
		"the signature of another": parts[0] + "." + b64(payloadOf(map[string]string{"sub": `"bob"`})) + "." + parts[2],
		"header is no JSON":        b64("{") + "." + parts[1] + "." + parts[2],
		"header is null":           b64("null") + "." + parts[1] + "." + parts[2],
		"header is an array":       b64("[]") + "." + parts[1] + "." + parts[2],
		"payload is no base64":     parts[0] + ".A." + parts[2],
		"10,000 levels deep":       unsigned(`{"alg":"ES256","x":` + strings.Repeat("[", 2500) + strings.Repeat("]", 2500) + `}`),
		"alg is missing":           unsigned(`{"typ":"JWT"}`),
		"alg is null":              unsigned(`{"alg":null}`),
		"alg is an array":          unsigned(`{"alg":["ES256"]}`),
		"alg is another's":         unsigned(`{"alg":"ES384"}`),
		"crit":                     signRaw(t, "ES256", `{"alg":"ES256","crit":["exp"],"exp":1}`, payload),
		"crit is empty":            signRaw(t, "ES256", `{"alg":"ES256","crit":[]}`, payload),
		"crit is null":             signRaw(t, "ES256", `{"alg":"ES256","crit":null}`, payload),
		"b64 false":                signRaw(t, "ES256", `{"alg":"ES256","b64":false}`, payload),
		"b64 is text":              signRaw(t, "ES256", `{"alg":"ES256","b64":"true"}`, payload),
	}
	for _, none := range []string{"none", "None", "NONE", "nOnE", "none ", "NULL", ""} {
		header := `{"alg":"` + none + `"}`
		tokens["alg "+none] = unsigned(header)
		tokens["signed, alg "+none] = unsigned(header) + parts[2]
	}
	// The public key as the secret of an HMAC, in each form in which it may lie around.
	for name, public := range map[string]any{"RSA": mintKeys().rsa.Public(), "EC": mintKeys().ec.Public()} {
		der, err := x509.MarshalPKIXPublicKey(public)
		must(t, err)
		for form, secret := range map[string][]byte{
			"DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		} {
			input := b64(`{"alg":"HS256"}`) + "." + b64(payload)
			signature, err := jwt.SigningMethodHS256.Sign(input, secret)
			must(t, err)
			tokens["HMAC with the "+name+" key as "+form] = input + "." + base64.RawURLEncoding.EncodeToString(signature)
		}
	}
	// A key of the attacker's, offered in the header in each way that there is.
	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	point, err := foreign.PublicKey.Bytes()
	must(t, err)
	x, y := b64(string(point[1:33])), b64(string(point[33:]))
	for name, offer := range map[string]string{
		"jwk":      `"jwk":{"kty":"EC","crv":"P-256","x":"` + x + `","y":"` + y + `"}`,
		"jku":      `"jku":"http://127.0.0.1:1/keys"`,
		"x5u":      `"x5u":"http://127.0.0.1:1/certificate"`,
		"x5c":      `"x5c":["AAAA"]`,
		"kid path": `"kid":"../../../../dev/null"`,
		"kid SQL":  `"kid":"' UNION SELECT 'key"`,
		"kid text": `"kid":{"kid":1}`,
	} {
		input := b64(`{"alg":"ES256",`+offer+`}`) + "." + b64(payload)
		signature, err := jwt.SigningMethodES256.Sign(input, foreign)
		must(t, err)
		tokens[name] = input + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
	for name, token := range tokens {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, v, token, revoke.ErrInvalidToken)
			if _, _, err := v.Identify(token); err == nil {
				t.Error("Identify believes it")
			}
		})
	}
}

// TestValidatorRefusesClaims signs payloads that a careless reader would take for others.
func TestValidatorRefusesClaims(t *testing.T) {
	t.Parallel()
	v := es256(t, neverAsked{t})
	type attack struct {
		token string
		also  error
	}
	attacks := map[string]attack{}
	add := func(name, payload string, also ...error) {
		attacks[name] = attack{signRaw(t, "ES256", goodHeader, payload), errors.Join(also...)}
	}
	values := map[string]string{
		"null": "null", "number": "7", "true": "true", "array": `["x"]`, "object": `{"x":1}`, "empty": `""`,
		"NUL": `"a\u0000b"`, "invalid UTF-8": "\"a\xffb\"", "half a pair": `"\ud800"`, "half a pair, then text": `"\ud800x"`,
		"two halves of the wrong order": `"\ude00\ud83d"`, "too long": `"` + strings.Repeat("x", revoke.MaxIDLength+1) + `"`,
	}
	for _, claim := range []string{"jti", "sub", "iss", "sid"} {
		for what, value := range values {
			add(claim+" is "+what, payloadOf(map[string]string{claim: value}))
		}
		for _, variant := range []string{strings.ToUpper(claim), strings.ToUpper(claim[:1]) + claim[1:], strings.ReplaceAll(claim, "s", "ſ"),
			`\u00` + fmt.Sprintf("%x", claim[0]) + claim[1:]} {
			if variant != claim {
				add(claim+" spelled "+variant, payloadOf(nil, `"`+variant+`":"other"`))
				add(claim+" spelled only "+variant, payloadOf(map[string]string{claim: ""}, `"`+variant+`":"other"`))
			}
		}
		add(claim+" twice", payloadOf(nil, `"`+claim+`":"other"`))
		add(claim+" twice alike", payloadOf(nil, `"`+claim+`":`+members()[claim]))
	}
	for _, claim := range []string{"exp", "iat", "nbf"} {
		for what, value := range map[string]string{
			"null": "null", "text": `"1893553445"`, "minus one": "-1", "a fraction below zero": "-0.5", "1e300": "1e300", "9e18": "9e18",
			"18446744074709": "18446744074709", "an overflow": "1e999", "after 9999": "253402300800", "an array": "[1]", "true": "true",
			"milliseconds": fmt.Sprint(mintNow.UnixMilli() + 600_000),
		} {
			add(claim+" is "+what, payloadOf(map[string]string{claim: value}))
		}
		add(claim+" twice", payloadOf(map[string]string{claim: fmt.Sprint(mintNow.Unix() + 1)}, `"`+claim+`":1893553445`))
		add(claim+" in capitals", payloadOf(nil, `"`+strings.ToUpper(claim)+`":1893553445`))
	}
	for _, claim := range []string{"iss", "sub", "jti", "iat", "exp"} {
		add(claim+" is absent", payloadOf(map[string]string{claim: ""}), jwt.ErrTokenRequiredClaimMissing)
	}
	at := func(d time.Duration) string { return fmt.Sprint(mintNow.Add(d).Unix()) }
	add("exp is zero", payloadOf(map[string]string{"exp": "0", "iat": "0"}), jwt.ErrTokenExpired)
	add("exp is now", payloadOf(map[string]string{"exp": at(0)}), jwt.ErrTokenExpired)
	add("exp before iat", payloadOf(map[string]string{"exp": at(2 * time.Second), "iat": at(4 * time.Second)}))
	add("nbf in a second", payloadOf(map[string]string{"nbf": at(time.Second)}), jwt.ErrTokenNotValidYet)
	add("nbf in half a second", payloadOf(map[string]string{"nbf": at(0) + ".5"}), jwt.ErrTokenNotValidYet)
	add("iat in six seconds", payloadOf(map[string]string{"iat": at(6 * time.Second)}), jwt.ErrTokenUsedBeforeIssued)
	add("iat in a year", payloadOf(map[string]string{"iat": at(365 * 24 * time.Hour), "exp": at(366 * 24 * time.Hour)}), jwt.ErrTokenUsedBeforeIssued)
	add("a lifetime too long", payloadOf(map[string]string{"iat": at(0), "exp": at(revoke.MaxTokenLifetime + time.Second)}))
	add("another issuer", payloadOf(map[string]string{"iss": `"https://other.example"`}), jwt.ErrTokenInvalidIssuer)
	add("the issuer and a slash", payloadOf(map[string]string{"iss": `"` + testIssuer + `/"`}), jwt.ErrTokenInvalidIssuer)
	for what, value := range map[string]string{
		"an empty array": "[]", "an empty text": `""`, "an empty text in an array": `["api",""]`, "null": "null", "a number": "1",
		"a number in an array": `["api",1]`, "an array in an array": `[["api"]]`, "an object": `{"api":1}`,
	} {
		add("aud is "+what, payloadOf(map[string]string{"aud": value}))
	}
	add("aud twice", payloadOf(nil, `"aud":"api"`))
	add("aud in capitals", payloadOf(nil, `"AUD":"api"`))
	for what, payload := range map[string]string{
		"null": "null", "an array": "[]", "text": `"x"`, "a number": "1", "empty": "", "white space": " ", "cut short": payloadOf(nil)[1:],
		"followed by something": payloadOf(nil) + "{}", "10,000 levels deep": payloadOf(nil, `"x":`+strings.Repeat("[", 2000)+strings.Repeat("]", 2000)),
		"65 levels deep": payloadOf(nil, `"x":`+strings.Repeat("[", 65)+strings.Repeat("]", 65)), "invalid UTF-8 elsewhere": payloadOf(nil, "\"x\":\"\xff\""),
		"half a pair in a name": payloadOf(nil, `"\ud800":1`), "a comma too many": strings.TrimSuffix(payloadOf(nil), "}") + ",}",
	} {
		add("the payload is "+what, payload)
	}
	for name, a := range attacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if a.also != nil {
				refused(t, v, a.token, revoke.ErrInvalidToken, errors.Unwrap(fmt.Errorf("%w", firstOf(a.also))))
				return
			}
			refused(t, v, a.token, revoke.ErrInvalidToken)
		})
	}
}

// firstOf takes the one error out of a join.
func firstOf(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()[0]
	}
	return err
}

// TestValidatorOptionsCannotLoosen passes every ParserOption that would.
func TestValidatorOptionsCannotLoosen(t *testing.T) {
	t.Parallel()
	past := func() time.Time { return mintNow.Add(-24 * time.Hour) }
	loosen := map[string]jwt.ParserOption{
		"WithoutClaimsValidation": jwt.WithoutClaimsValidation(),
		"WithValidMethods":        jwt.WithValidMethods([]string{"none", "HS256", "RS256", "ES256"}),
		"WithValidMethods(nil)":   jwt.WithValidMethods(nil),
		"WithLeeway":              jwt.WithLeeway(1000 * time.Hour),
		"WithTimeFunc":            jwt.WithTimeFunc(past),
		"WithPaddingAllowed":      jwt.WithPaddingAllowed(),
		"WithJSONNumber":          jwt.WithJSONNumber(),
		"WithAudience()":          jwt.WithAudience(),
		"WithIssuer(empty)":       jwt.WithIssuer(""),
		"WithSubject(empty)":      jwt.WithSubject(""),
	}
	at := func(d time.Duration) string { return fmt.Sprint(mintNow.Add(d).Unix()) }
	bad := map[string]string{
		"expired":               mint(t, map[string]string{"exp": at(-time.Second)}),
		"not valid yet":         mint(t, map[string]string{"nbf": at(time.Minute)}),
		"issued ahead":          mint(t, map[string]string{"iat": at(time.Minute)}),
		"without exp":           mint(t, map[string]string{"exp": ""}),
		"another issuer":        mint(t, map[string]string{"iss": `"https://other.example"`}),
		"none":                  b64(`{"alg":"none"}`) + "." + b64(payloadOf(nil)) + ".",
		"HS256":                 signRaw(t, "HS256", `{"alg":"HS256"}`, payloadOf(nil)),
		"RS256":                 signRaw(t, "RS256", `{"alg":"RS256"}`, payloadOf(nil)),
		"padded":                mint(t, nil) + "=",
		"trailing data":         signRaw(t, "ES256", goodHeader, payloadOf(nil)+`{"jti":"x"}`),
		"jti twice":             mint(t, nil, `"jti":"x"`),
		"flipped trailing bits": respellings(t, mint(t, nil))["trailing bits of the signature"],
	}
	for name, option := range loosen {
		v := es256(t, neverAsked{t}, revoke.WithParserOptions(option))
		for what, token := range bad {
			t.Run(name+"/"+what, func(t *testing.T) {
				t.Parallel()
				refused(t, v, token, revoke.ErrInvalidToken)
			})
		}
		if _, _, err := es256(t, &askedFor{}, revoke.WithParserOptions(option)).Validate(t.Context(), mint(t, nil)); err != nil {
			t.Errorf("%s: a good token: %v", name, err)
		}
	}
}

// TestValidatorOptionsTighten passes ParserOptions that refuse more.
func TestValidatorOptionsTighten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		option jwt.ParserOption
		want   error
	}{
		{jwt.WithAudience("other"), jwt.ErrTokenInvalidAudience},
		{jwt.WithAllAudiences("api", "other"), jwt.ErrTokenInvalidAudience},
		{jwt.WithSubject("bob"), jwt.ErrTokenInvalidSubject},
		{jwt.WithIssuer("other"), jwt.ErrTokenInvalidIssuer},
		{jwt.WithNotBeforeRequired(), jwt.ErrTokenRequiredClaimMissing},
	} {
		refused(t, es256(t, neverAsked{t}, revoke.WithParserOptions(c.option)), mint(t, nil), revoke.ErrInvalidToken, c.want)
	}
	_, _, err := es256(t, &askedFor{}, revoke.WithParserOptions(jwt.WithAudience("api"))).Validate(t.Context(), mint(t, nil))
	must(t, err)
}

// respellings returns other texts for which a verifier might take the same token.
func respellings(tb testing.TB, good string) map[string]string {
	tb.Helper()
	parts := strings.Split(good, ".")
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	must(tb, err)
	twin := make([]byte, 64)
	copy(twin, signature[:32])
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(twin[32:])

	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	flip := func(segment string) string { // the bits that base64 leaves over
		last := strings.IndexByte(alphabet, segment[len(segment)-1])
		return segment[:len(segment)-1] + string(alphabet[last^1])
	}
	joined := func(header, payload, signature string) string { return header + "." + payload + "." + signature }
	return map[string]string{
		"the twin of the signature":      joined(parts[0], parts[1], base64.RawURLEncoding.EncodeToString(twin)),
		"CR LF in the signature":         joined(parts[0], parts[1], parts[2][:10]+"\r\n"+parts[2][10:]),
		"LF at the end":                  good + "\n",
		"trailing bits of the signature": joined(parts[0], parts[1], flip(parts[2])),
		"padding":                        good + "==",
		"the standard alphabet":          strings.NewReplacer("-", "+", "_", "/").Replace(good),
		"signed again":                   signRaw(tb, "ES256", goodHeader, mustDecode(tb, parts[1])),
		"another order of the header":    signRaw(tb, "ES256", `{"typ":"JWT","alg":"ES256"}`, mustDecode(tb, parts[1])),
	}
}

func mustDecode(tb testing.TB, segment string) string {
	tb.Helper()
	data, err := base64.RawURLEncoding.DecodeString(segment)
	must(tb, err)
	return string(data)
}

// TestRespellingsStayRevoked revokes a token and presents it in other spellings, of which some verify.
func TestRespellingsStayRevoked(t *testing.T) {
	t.Parallel()
	clock := func() time.Time { return mintNow }
	store := revoketest.NewMemory(revoketest.WithClock(clock))
	v := es256(t, store)
	good := mint(t, nil)
	before := 0
	for what, other := range respellings(t, good) {
		if _, _, err := v.Validate(t.Context(), other); err == nil {
			before++
			t.Logf("%s verifies too", what)
		}
	}
	if before == 0 {
		t.Error("no other spelling verifies, so this proves nothing")
	}
	token, _, err := v.Identify(good)
	must(t, err)
	must(t, store.RevokeToken(t.Context(), token))
	refused(t, v, good, revoke.ErrRevoked)
	for what, other := range respellings(t, good) {
		if _, _, err := v.Validate(t.Context(), other); err == nil {
			t.Errorf("%s brings it back", what)
		}
	}
}

// TestEpochClaim reads the claim of tokens of one's own, and ignores that of others.
func TestEpochClaim(t *testing.T) {
	t.Parallel()
	clock := func() time.Time { return mintNow }
	store := revoketest.NewMemory(revoketest.WithClock(clock))
	user := revoke.User{Issuer: testIssuer, Subject: "ada"}
	before, err := store.Epochs(t.Context(), user)
	must(t, err)
	after, err := store.RevokeUser(t.Context(), user)
	must(t, err)
	write := func(e revoke.Epochs) string {
		data, err := json.Marshal(e)
		must(t, err)
		return `"epochs":` + string(data)
	}
	v := es256(t, store, revoke.WithEpochClaim())
	if _, claims, err := v.Validate(t.Context(), mint(t, nil, write(after))); err != nil || *claims.Epochs != after {
		t.Errorf("with the epochs that stand: %v", err)
	}
	refused(t, v, mint(t, nil, write(before)), revoke.ErrRevoked)
	refused(t, v, mint(t, nil), revoke.ErrRevoked) // none is zero
	micros := func(d time.Duration) string { return fmt.Sprint(mintNow.Add(d).UnixMicro()) }
	for _, claim := range []string{
		`null`, `7`, `"x"`, `{}`, `[]`, `[1]`, `[1,2,3]`, `[-1,2]`, `[1,-2]`, `[1.5,2]`, `[1e3,2]`, `["1",2]`, `[null,2]`, `[[1],2]`, `[1,true]`,
		`[9223372036854775808,0]`, `[` + micros(61*time.Second) + `,0]`, `[0,` + micros(61*time.Second) + `]`,
	} {
		refused(t, es256(t, neverAsked{t}, revoke.WithEpochClaim()), mint(t, nil, `"epochs":`+claim), revoke.ErrInvalidToken)
	}
	refused(t, es256(t, neverAsked{t}, revoke.WithEpochClaim()), mint(t, nil, write(after), write(after)), revoke.ErrInvalidToken)
	refused(t, es256(t, neverAsked{t}, revoke.WithEpochClaim()), mint(t, nil, `"EPOCHS":[0,0]`), revoke.ErrInvalidToken)
	// The iat rule decides for an issuer whose claims may be its users' choice.
	refused(t, es256(t, store), mint(t, nil, `"epochs":[`+micros(30*time.Second)+`,0]`), revoke.ErrRevoked)
}

// TestTokenType keeps kinds of tokens apart.
func TestTokenType(t *testing.T) {
	t.Parallel()
	v := es256(t, &askedFor{}, revoke.WithTokenType("at+jwt"))
	for _, typ := range []string{"at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"} {
		_, _, err := v.Validate(t.Context(), signRaw(t, "ES256", `{"alg":"ES256","typ":"`+typ+`"}`, payloadOf(nil)))
		must(t, err)
	}
	for _, header := range []string{
		`{"alg":"ES256"}`, `{"alg":"ES256","typ":"JWT"}`, `{"alg":"ES256","typ":"logout+jwt"}`, `{"alg":"ES256","typ":7}`, `{"alg":"ES256","TYP":"at+jwt"}`,
	} {
		refused(t, v, signRaw(t, "ES256", header, payloadOf(nil)), revoke.ErrInvalidToken)
	}
}

// TestOtherKinds refuses, where no type is asked for, what says of itself that it is no access token (RFC 8725 §3.11).
func TestOtherKinds(t *testing.T) {
	t.Parallel()
	typed := func(typ string) string { return signRaw(t, "ES256", `{"alg":"ES256"`+typ+`}`, payloadOf(nil)) }
	for _, typ := range []string{"", `,"typ":"JWT"`, `,"typ":"at+JWT"`, `,"typ":"application/at+jwt"`, `,"typ":"Bearer"`, `,"typ":7`} {
		_, _, err := es256(t, &askedFor{}).Validate(t.Context(), typed(typ))
		if err != nil {
			t.Errorf("%s: %v", typ, err)
		}
	}
	untyped := es256(t, neverAsked{t})
	for _, typ := range []string{"logout+jwt", "LOGOUT+JWT", "application/logout+jwt", "secevent+jwt", "rt+jwt", "dpop+jwt", "global-token-revocation+jwt"} {
		token := typed(`,"typ":"` + typ + `"`)
		refused(t, untyped, token, revoke.ErrInvalidToken)
		if _, _, err := untyped.Identify(token); !errors.Is(err, revoke.ErrInvalidToken) {
			t.Errorf("%s is identified: %v", typ, err)
		}
		_, _, err := es256(t, &askedFor{}, revoke.WithTokenType(typ)).Validate(t.Context(), token)
		must(t, err)
	}
	// Issuers of before OpenID Connect Back-Channel Logout 1.0 type their logout tokens as JWT, or not at all.
	const logout = `"events":{"http://schemas.openid.net/event/backchannel-logout":{}}`
	for _, opts := range [][]revoke.ValidatorOption{{}, {revoke.WithEpochClaim()}, {revoke.WithTokenType("JWT")}} {
		refused(t, es256(t, neverAsked{t}, opts...), mint(t, nil, logout), revoke.ErrInvalidToken)
	}
	_, _, err := es256(t, &askedFor{}).Validate(t.Context(), mint(t, nil, `"events":["an app's own"]`))
	must(t, err)
	_, _, err = es256(t, &askedFor{}, revoke.WithTokenType("logout+jwt")).Validate(t.Context(),
		signRaw(t, "ES256", `{"alg":"ES256","typ":"logout+jwt"}`, payloadOf(nil, logout)))
	must(t, err)
}
