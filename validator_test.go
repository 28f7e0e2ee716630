package revoke_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revoketest"
)

// mintClock stands still at mintNow.
func mintClock() time.Time { return mintNow }

// mintAt is a NumericDate that lies d after mintNow.
func mintAt(d time.Duration) string { return fmt.Sprint(mintNow.Add(d).Unix()) }

// validatorOf returns a validator with claims of any type, whose keyfunc is the caller's.
func validatorOf[C any, P interface {
	*C
	jwt.Claims
}](tb testing.TB, checker revoke.Checker, keyfunc jwt.Keyfunc, algorithms []string, opts ...revoke.ValidatorOption,
) *revoke.Validator[C] {
	tb.Helper()
	v, err := revoke.NewValidator[C, P](checker, testIssuer, keyfunc, algorithms,
		append([]revoke.ValidatorOption{revoke.WithClock(mintClock)}, opts...)...)
	must(tb, err)
	return v
}

// eagerKey is the keyfunc that an attacker wishes for: it has a fitting key for whatever algorithm the token names.
func eagerKey(token *jwt.Token) (any, error) {
	if token.Method == jwt.SigningMethod(jwt.SigningMethodNone) {
		return jwt.UnsafeAllowNoneSignatureType, nil
	}
	return verificationKey(token.Method.Alg()), nil
}

// looseOptions are the ParserOptions that accept more than golang-jwt does by itself.
func looseOptions() map[string][]jwt.ParserOption {
	one := map[string][]jwt.ParserOption{
		"WithoutClaimsValidation": {jwt.WithoutClaimsValidation()},
		"WithValidMethods none":   {jwt.WithValidMethods([]string{"none"})},
		"WithValidMethods all":    {jwt.WithValidMethods(append(jwt.GetAlgorithms(), "none"))},
		"WithValidMethods nil":    {jwt.WithValidMethods(nil)},
		"WithLeeway":              {jwt.WithLeeway(1000 * time.Hour)},
		"WithTimeFunc past":       {jwt.WithTimeFunc(func() time.Time { return mintNow.Add(-1000 * time.Hour) })},
		"WithTimeFunc zero":       {jwt.WithTimeFunc(func() time.Time { return time.Time{} })},
		"WithTimeFunc nil":        {jwt.WithTimeFunc(nil)},
		"WithPaddingAllowed":      {jwt.WithPaddingAllowed()},
		"WithJSONNumber":          {jwt.WithJSONNumber()},
		"WithIssuer none":         {jwt.WithIssuer("")},
		"WithSubject none":        {jwt.WithSubject("")},
		"WithAudience none":       {jwt.WithAudience()},
		"WithAllAudiences none":   {jwt.WithAllAudiences()},
		"another parser":          {func(p *jwt.Parser) { *p = *jwt.NewParser(jwt.WithPaddingAllowed(), jwt.WithLeeway(time.Hour)) }},
	}
	var all []jwt.ParserOption
	for _, name := range slices.Sorted(maps.Keys(one)) {
		all = append(all, one[name]...)
	}
	one["all at once"] = all
	return one
}

// TestEagerKeysUnderLooseOptions gives every loosening option and a key for every algorithm, so that nothing stands between
// the attacker and the store but the list of algorithms and the validator's own rules.
func TestEagerKeysUnderLooseOptions(t *testing.T) {
	t.Parallel()
	tokens := map[string]string{
		"another issuer":   mint(t, map[string]string{"iss": `"https://other.example"`}),
		"expired":          mint(t, map[string]string{"exp": mintAt(0)}),
		"expired long ago": mint(t, map[string]string{"exp": "1", "iat": "0"}),
		"not valid yet":    mint(t, map[string]string{"nbf": mintAt(time.Second)}),
		"issued ahead":     mint(t, map[string]string{"iat": mintAt(6 * time.Second)}),
		"exp is text":      mint(t, map[string]string{"exp": `"` + mintAt(time.Hour) + `"`}),
		"without exp":      mint(t, map[string]string{"exp": ""}),
		"sub twice":        mint(t, nil, `"sub":"bob"`),
		"padded":           mint(t, nil) + "==",
		"a second object":  signRaw(t, "ES256", goodHeader, payloadOf(nil)+payloadOf(nil)),
		"text behind it":   signRaw(t, "ES256", goodHeader, payloadOf(nil)+"x"),
		"null":             signRaw(t, "ES256", goodHeader, "null"),
		"crit":             signRaw(t, "ES256", `{"alg":"ES256","crit":["b64"],"b64":false}`, payloadOf(nil)),
	}
	for _, alg := range []string{"HS256", "RS256", "PS256", "EdDSA"} {
		tokens["a good "+alg] = signRaw(t, alg, `{"alg":"`+alg+`"}`, payloadOf(nil))
	}
	for _, none := range []string{"none", "None", "NONE", "nonE", " none", "none\\u0000", "ＮＯＮＥ"} {
		tokens["alg "+none] = b64(`{"alg":"`+none+`"}`) + "." + b64(payloadOf(nil)) + "."
	}
	for name, options := range looseOptions() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := validatorOf[revoke.Claims](t, neverAsked{t}, eagerKey, []string{"ES256"}, revoke.WithParserOptions(options...))
			for what, token := range tokens {
				t.Run(what, func(t *testing.T) {
					t.Parallel()
					refused(t, v, token, revoke.ErrInvalidToken)
				})
			}
			m := validatorOf[jwt.MapClaims](t, neverAsked{t}, eagerKey, []string{"ES256"}, revoke.WithParserOptions(options...))
			for what, token := range tokens {
				id, claims, err := m.Validate(t.Context(), token)
				if err == nil || id != (revoke.Token{}) || claims != nil {
					t.Errorf("%s with MapClaims: %+v, %v, %v", what, id, claims, err)
					continue
				}
				wantError(t, err, revoke.ErrInvalidToken)
			}
		})
	}
}

// TestPublicKeysAreNoSecrets signs with HMAC and the public keys, where HMAC is not allowed and where nothing else is, and
// the keyfunc returns the public key, as one that ignores alg does.
func TestPublicKeysAreNoSecrets(t *testing.T) {
	t.Parallel()
	for name, public := range map[string]any{"RS256": mintKeys().rsa.Public(), "ES256": mintKeys().ec.Public(), "EdDSA": mintKeys().ed.Public()} {
		der, err := x509.MarshalPKIXPublicKey(public)
		must(t, err)
		secrets := map[string][]byte{
			"DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
			"PEM without its last line break": []byte(strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))),
		}
		switch name {
		case "RS256":
			pkcs1 := x509.MarshalPKCS1PublicKey(&mintKeys().rsa.PublicKey)
			secrets["PKCS #1"] = pkcs1
			secrets["PKCS #1 PEM"] = pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1})
		case "EdDSA":
			secrets["raw"] = der[len(der)-32:]
		case "ES256":
			point, err := mintKeys().ec.PublicKey.Bytes()
			must(t, err)
			secrets["point"] = point
		}
		keyfunc := func(*jwt.Token) (any, error) { return public, nil }
		for _, allowed := range []string{name, "HS256"} {
			v := validatorOf[revoke.Claims](t, neverAsked{t}, keyfunc, []string{allowed}, revoke.WithParserOptions(jwt.WithValidMethods(nil)))
			for form, secret := range secrets {
				for _, alg := range []string{"HS256", "HS384", "HS512"} {
					input := b64(`{"alg":"`+alg+`"}`) + "." + b64(payloadOf(nil))
					signature, err := jwt.GetSigningMethod(alg).Sign(input, secret)
					must(t, err)
					t.Run(strings.Join([]string{name, allowed, form, alg}, "/"), func(t *testing.T) {
						t.Parallel()
						refused(t, v, input+"."+base64.RawURLEncoding.EncodeToString(signature), revoke.ErrInvalidToken)
					})
				}
			}
		}
	}
}

// TestDeepAndLong sends what is big, within the greatest size that may be allowed.
func TestDeepAndLong(t *testing.T) {
	t.Parallel()
	v := es256(t, neverAsked{t}, revoke.WithMaxTokenSize(1<<20))
	objects := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	arrays := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for what, token := range map[string]string{
		"a megabyte of dots":               strings.Repeat(".", 1<<20),
		"a megabyte of letters":            strings.Repeat("A", 1<<20),
		"a megabyte and a byte":            strings.Repeat("A", 1<<20+1),
		"half a megabyte of header":        strings.Repeat("A", 1<<19) + ".e30.AA",
		"header of 10,000 arrays":          signRaw(t, "ES256", `{"alg":"ES256","x":`+arrays(10_000)+`}`, payloadOf(nil)),
		"payload of 10,000 arrays":         mint(t, nil, `"x":`+arrays(10_000)),
		"payload of 10,000 objects":        mint(t, nil, `"x":`+objects(10_000)),
		"payload of 10,000 arrays, open":   signRaw(t, "ES256", goodHeader, payloadOf(nil, `"x":`+strings.Repeat("[", 10_000))),
		"payload that is 10,000 arrays":    signRaw(t, "ES256", goodHeader, arrays(10_000)),
		"payload of 65 objects":            mint(t, nil, `"x":`+objects(65)),
		"a jti of half a megabyte":         mint(t, map[string]string{"jti": `"` + strings.Repeat("j", 1<<19) + `"`}),
		"an exp of 100,000 digits":         mint(t, map[string]string{"exp": strings.Repeat("1", 100_000)}),
		"an exp with a vast exponent":      mint(t, map[string]string{"exp": "1e" + strings.Repeat("9", 1000)}),
		"an exp with a vast negative one":  mint(t, map[string]string{"exp": "1e-" + strings.Repeat("9", 1000)}),
		"an aud with 10,000 and one empty": mint(t, map[string]string{"aud": "[" + strings.Repeat(`"api",`, 10_000) + `""]`}),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			refused(t, v, token, revoke.ErrInvalidToken)
			_, _, err := v.Identify(token)
			if err == nil {
				t.Fatal("Identify believes it")
			}
			wantError(t, err, revoke.ErrInvalidToken)
		})
	}
	for what, token := range map[string]string{
		"nested 64 objects deep":  mint(t, nil, `"x":`+objects(64)),
		"10,000 other claims":     mint(t, nil, strings.TrimSuffix(strings.Repeat(`"x":1,`, 10_000), ",")),
		"an audience of 10,000":   mint(t, map[string]string{"aud": "[" + strings.Repeat(`"api",`, 10_000) + `"api"]`}),
		"an exp of 1,000 digits":  mint(t, map[string]string{"exp": mintAt(time.Hour) + "." + strings.Repeat("0", 1000)}),
		"a header with much else": signRaw(t, "ES256", `{"alg":"ES256","x":`+arrays(1000)+`}`, payloadOf(nil)),
	} {
		if _, _, err := es256(t, &askedFor{}, revoke.WithMaxTokenSize(1<<20)).Validate(t.Context(), token); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestErrorsSayNothing looks in the errors of every kind of failure for the token, its parts and the keys.
func TestErrorsSayNothing(t *testing.T) {
	t.Parallel()
	good := mint(t, nil)
	parts := strings.Split(good, ".")
	failures := map[string]string{
		"no token":         "x" + parts[1],
		"two segments":     parts[0] + "." + parts[1],
		"four segments":    good + "." + parts[2],
		"no alphabet":      good + "\n",
		"no base64":        parts[0] + "." + parts[1] + "A." + parts[2],
		"no JSON header":   parts[1][1:] + "." + parts[1] + "." + parts[2],
		"no JSON payload":  parts[0] + "." + parts[0][1:] + "." + parts[2],
		"forged":           parts[0] + "." + parts[1] + "." + b64(strings.Repeat("s", 64)),
		"signature short":  parts[0] + "." + parts[1] + "." + parts[2][:40],
		"another alg":      signRaw(t, "HS256", `{"alg":"HS256"}`, payloadOf(nil)),
		"unknown alg":      signRaw(t, "ES256", `{"alg":"ES2567890"}`, payloadOf(nil)),
		"crit":             signRaw(t, "ES256", `{"alg":"ES256","crit":["exp"]}`, payloadOf(nil)),
		"wrong type":       signRaw(t, "ES256", `{"alg":"ES256","typ":"a-secret-type"}`, payloadOf(nil)),
		"expired":          mint(t, map[string]string{"exp": mintAt(-time.Minute)}),
		"too long-lived":   mint(t, map[string]string{"exp": mintAt(revoke.MaxTokenLifetime * 2)}),
		"another audience": mint(t, map[string]string{"aud": `"another-secret"`}),
		"jti twice":        mint(t, nil, `"jti":"another-secret"`),
		"another issuer":   mint(t, map[string]string{"iss": `"another-secret"`}),
		"jti too long":     mint(t, map[string]string{"jti": `"` + strings.Repeat("another-secret", 100) + `"`}),
		"jti no UTF-8":     mint(t, map[string]string{"jti": "\"another-secret\xff\""}),
		"jti with NUL":     mint(t, map[string]string{"jti": `"another-secret\u0000"`}),
		"spelled unlike":   mint(t, nil, `"JTI":"another-secret"`),
		"jti is a number":  mint(t, map[string]string{"jti": "123456789012345"}),
		"revoked":          good,
	}
	store := revoketest.NewMemory(revoketest.WithClock(mintClock))
	must(t, store.RevokeToken(t.Context(), revoke.Token{Issuer: testIssuer, ID: "token-1"}))
	v := es256(t, store, revoke.WithTokenType("JWT"), revoke.WithParserOptions(jwt.WithAudience("api")), revoke.WithMaxTokenSize(4096))
	der, err := x509.MarshalPKIXPublicKey(mintKeys().ec.Public())
	must(t, err)
	secrets := []string{
		string(der), base64.StdEncoding.EncodeToString(der)[40:60], mintKeys().ec.X.String(), string(mintKeys().secret),
		"another-secret", "a-secret-type", "123456789012345", "token-1", "session-1", `"ada"`,
	}
	for what, token := range failures {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			_, _, validated := v.Validate(t.Context(), token)
			_, _, identified := v.Identify(token)
			if validated == nil || (identified == nil) != (what == "expired" || what == "revoked") {
				t.Fatalf("Validate: %v, Identify: %v", validated, identified)
			}
			for _, err := range []error{validated, identified} {
				if err == nil {
					continue
				}
				text := err.Error()
				if len(text) > 300 {
					t.Errorf("%d bytes of error: %.300s", len(text), text)
				}
				for _, secret := range secrets {
					if strings.Contains(text, secret) {
						t.Errorf("the error says %q: %v", secret, err)
					}
				}
				for part := range strings.SplitSeq(token, ".") {
					decoded, _ := base64.RawURLEncoding.DecodeString(part)
					for _, piece := range []string{part, string(decoded)} {
						for at := 0; at+8 <= len(piece); at += 4 {
							if strings.Contains(text, piece[at:at+8]) {
								t.Errorf("the error quotes %q: %v", piece[at:at+8], err)
							}
						}
					}
				}
			}
		})
	}
}

// TestRespellingsStayDead revokes a token by itself and with its session, its user and its issuer, and presents every
// spelling of it under every loosening option.
func TestRespellingsStayDead(t *testing.T) {
	t.Parallel()
	good := mint(t, nil)
	texts := respellings(t, good)
	parts := strings.Split(good, ".")
	texts["itself"] = good
	texts["a twin in other bits"] = respellings(t, texts["the twin of the signature"])["trailing bits of the signature"]
	texts["CR LF in the header"] = parts[0][:4] + "\r\n" + good[4:]
	texts["LF in the payload"] = parts[0] + "." + parts[1][:8] + "\n" + parts[1][8:] + "." + parts[2]
	texts["padded payload"] = parts[0] + "." + parts[1] + "=." + parts[2]
	texts["padded everywhere"] = parts[0] + "=." + parts[1] + "==." + parts[2] + "=="
	texts["another payload of it"] = mint(t, nil, `"x":1`)
	texts["its jti in escapes"] = mint(t, map[string]string{"jti": `"\u0074\u006fken-1"`})
	texts["its sub and sid in escapes"] = mint(t, map[string]string{"sub": `"\u0061da"`, "sid": `"\u0073ession-1"`})

	stores := map[string]*revoketest.Memory{}
	for _, scope := range []string{"token", "session", "user", "issuer", "spent"} {
		stores[scope] = revoketest.NewMemory(revoketest.WithClock(mintClock))
	}
	token, _, err := es256(t, &askedFor{}).Identify(good)
	must(t, err)
	must(t, stores["token"].RevokeToken(t.Context(), token))
	must(t, stores["session"].RevokeSession(t.Context(), revoke.Session{Issuer: token.Issuer, ID: token.SessionID}))
	_, err = stores["user"].RevokeUser(t.Context(), revoke.User{Issuer: token.Issuer, Subject: token.Subject})
	must(t, err)
	_, err = stores["issuer"].RevokeIssuer(t.Context(), token.Issuer)
	must(t, err)
	must(t, stores["spent"].Redeem(t.Context(), token))

	options := looseOptions()
	options["none"] = nil
	for scope, store := range stores {
		for name, loose := range options {
			v := es256(t, store, revoke.WithParserOptions(loose...))
			refused(t, v, good, revoke.ErrRevoked)
			for what, text := range texts {
				token, claims, err := v.Validate(t.Context(), text)
				if err == nil {
					t.Errorf("%s revoked, %s: %s brings it back", scope, name, what)
					continue
				}
				want := revoke.ErrInvalidToken
				if errors.Is(err, revoke.ErrRevoked) {
					want = revoke.ErrRevoked
				}
				wantError(t, err, want)
				if token != (revoke.Token{}) || claims != nil {
					t.Errorf("%s revoked, %s, %s: %+v and %+v beside %v", scope, name, what, token, claims, err)
				}
			}
		}
	}
	// What verifies in another spelling has the identity of the first.
	for what, text := range texts {
		if other, _, err := es256(t, &askedFor{}).Identify(text); err == nil && other != token {
			t.Errorf("%s: %+v, want %+v", what, other, token)
		}
	}
}

// TestIdentifiersAreBytes keeps apart what looks or folds alike.
func TestIdentifiersAreBytes(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory(revoketest.WithClock(mintClock))
	v := es256(t, store)
	names := []string{"é", "e\u0301", "É", "K", "\u212a", "k", " k", "k ", "ß", "ss", "ﬁ", "fi", "a\u200bb", "ab", "\ufeffab", "\u202eab", "a/b", `a\b`, "\ufffd", "\u007f"}
	for i, name := range names {
		quoted, err := json.Marshal(name)
		must(t, err)
		text := mint(t, map[string]string{"jti": string(quoted), "sub": string(quoted), "sid": string(quoted)})
		token, claims, err := v.Validate(t.Context(), text)
		if err != nil {
			t.Fatalf("%q, of which %q are revoked: %v", name, names[:i], err)
		}
		for _, got := range []string{token.ID, token.Subject, token.SessionID, claims.ID, claims.Subject, claims.SessionID} {
			if got != name {
				t.Errorf("%q is read as %q", name, got)
			}
		}
		must(t, store.RevokeToken(t.Context(), token))
		must(t, store.RevokeSession(t.Context(), revoke.Session{Issuer: token.Issuer, ID: token.SessionID}))
		refused(t, v, text, revoke.ErrRevoked)
	}
	for _, issuer := range []string{testIssuer + " ", " " + testIssuer, strings.ToUpper(testIssuer), testIssuer + "\u200b", testIssuer[:len(testIssuer)-1]} {
		quoted, err := json.Marshal(issuer)
		must(t, err)
		refused(t, es256(t, neverAsked{t}), mint(t, map[string]string{"iss": string(quoted)}), revoke.ErrInvalidToken, jwt.ErrTokenInvalidIssuer)
	}
}

// TestNamesThatFold spells the names of claims with every letter that folds to another, and with escapes.
func TestNamesThatFold(t *testing.T) {
	t.Parallel()
	spellings := func(name string) (all []string) {
		for i := range name {
			letter := name[i : i+1]
			others := []string{strings.ToUpper(letter), fmt.Sprintf(`\u%04x`, letter[0]), fmt.Sprintf(`\u%04X`, letter[0]), fmt.Sprintf(`\u%04x`, strings.ToUpper(letter)[0])}
			switch letter {
			case "s":
				others = append(others, "\u017f", `\u017f`, `\u017F`)
			case "k":
				others = append(others, "\u212a", `\u212a`)
			}
			for _, other := range others {
				all = append(all, name[:i]+other+name[i+1:])
			}
		}
		return append(all, strings.ToUpper(name))
	}
	v := es256(t, neverAsked{t}, revoke.WithEpochClaim())
	for _, claim := range []string{"iss", "sub", "jti", "sid", "iat", "exp", "nbf", "aud", "epochs"} {
		value := members()[claim]
		switch claim {
		case "nbf":
			value = mintAt(-time.Hour)
		case "epochs":
			value = "[0,0]"
		}
		for _, spelling := range spellings(claim) {
			t.Run(spelling, func(t *testing.T) {
				t.Parallel()
				for _, payload := range []string{
					payloadOf(nil, `"`+spelling+`":`+value),
					payloadOf(map[string]string{claim: ""}, `"`+spelling+`":`+value),
					`{"` + spelling + `":null,` + payloadOf(nil)[1:],
				} {
					refused(t, v, signRaw(t, "ES256", goodHeader, payload), revoke.ErrInvalidToken)
				}
			})
		}
	}
	// What resembles a name to the eye alone is another claim, and harmless.
	for _, name := range []string{"jtı", "ѕub", "sub ", " sub", "sub\\u0000", "s\u0301ub", "exр", "ıss", "jti\u200b"} {
		if _, _, err := es256(t, &askedFor{}).Validate(t.Context(), mint(t, nil, `"`+name+`":null`)); err != nil {
			t.Errorf("%q beside the claims: %v", name, err)
		}
	}
}

// addressClaims have a member whose type has errors that look like those of a network.
type addressClaims struct {
	revoke.Claims
	Address net.IP  `json:"ip"`
	Home    homeURL `json:"home"`
}

type homeURL struct{ *url.URL }

func (h *homeURL) UnmarshalText(text []byte) (err error) {
	h.URL, err = url.Parse(string(text))
	return err
}

// TestParseErrorsAreNoOutage has claims that cannot be decoded, in tokens that nobody signed: an attacker could otherwise
// make a service report that it is down.
func TestParseErrorsAreNoOutage(t *testing.T) {
	t.Parallel()
	v := validatorOf[addressClaims](t, neverAsked{t}, eagerKey, []string{"ES256"})
	for _, member := range []string{`"ip":"nonsense"`, `"home":"http://[::1"`} {
		signed := mint(t, nil, member)
		for _, token := range []string{signed, signed[:len(signed)-4] + "AAAA"} {
			_, _, err := v.Validate(t.Context(), token)
			wantError(t, err, revoke.ErrInvalidToken)
		}
	}
}

// TestWithRequiredSession refuses a token without a session, which no end of a session would reach.
func TestWithRequiredSession(t *testing.T) {
	t.Parallel()
	without := mint(t, map[string]string{"sid": ""})
	plain, strict := es256(t, &askedFor{}), es256(t, &askedFor{}, revoke.WithRequiredSession())
	for _, token := range []string{without, mint(t, nil)} {
		if _, _, err := plain.Validate(t.Context(), token); err != nil {
			t.Errorf("without the option: %v", err)
		}
	}
	if token, _, err := strict.Validate(t.Context(), mint(t, nil)); err != nil || token.SessionID != "session-1" {
		t.Errorf("with a session: %+v, %v", token, err)
	}
	refused(t, es256(t, neverAsked{t}, revoke.WithRequiredSession()), without, revoke.ErrInvalidToken, jwt.ErrTokenRequiredClaimMissing)
	if _, _, err := strict.Identify(without); !errors.Is(err, jwt.ErrTokenRequiredClaimMissing) {
		t.Errorf("Identify = %v", err)
	}
	var none *revoke.Validator[revoke.Claims]
	if !strict.RequiresSession(testIssuer) || strict.RequiresSession(testIssuer+"/") || plain.RequiresSession(testIssuer) || none.RequiresSession(testIssuer) {
		t.Error("RequiresSession is not true of the one validator of this issuer that requires it")
	}
}
