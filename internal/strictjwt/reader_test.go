package strictjwt

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const maxSize = 8192

// keyPair is what an algorithm signs with and what it verifies with.
type keyPair struct{ sign, verify any }

// keys returns a key for every algorithm of golang-jwt.
var keys = sync.OnceValue(func() map[string]keyPair {
	secret := []byte(strings.Repeat("a secret of 32 bytes and more. ", 3))
	pairs := map[string]keyPair{}
	add := func(private crypto.Signer, err error, algorithms ...string) {
		if err != nil {
			panic(err)
		}
		for _, algorithm := range algorithms {
			pairs[algorithm] = keyPair{private, private.Public()}
		}
	}
	for _, algorithm := range []string{"HS256", "HS384", "HS512"} {
		pairs[algorithm] = keyPair{secret, secret}
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	add(rsaKey, err, "RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
	for algorithm, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		private, err := ecdsa.GenerateKey(curve, rand.Reader)
		add(private, err, algorithm)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	add(edKey, err, "EdDSA")
	return pairs
})

func keyOf(algorithm string) jwt.Keyfunc {
	return func(*jwt.Token) (any, error) { return keys()[algorithm].verify, nil }
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// sign signs a header and a payload as they are written.
func sign(tb testing.TB, algorithm, header, payload string) string {
	tb.Helper()
	text := encode(header) + "." + encode(payload)
	signature, err := jwt.GetSigningMethod(algorithm).Sign(text, keys()[algorithm].sign)
	must(tb, err)
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func newReader(tb testing.TB, keyfunc jwt.Keyfunc, algorithm string, opts ...jwt.ParserOption) *Reader {
	tb.Helper()
	r, err := NewReader(keyfunc, []string{algorithm}, Form{MaxSize: maxSize}, opts...)
	must(tb, err)
	return r
}

// wantRefused demands an error with this text that matches, and no token.
func wantRefused(tb testing.TB, token Token, err error, text string, matches ...error) {
	tb.Helper()
	if err == nil || err.Error() != text {
		tb.Errorf("%v, want %s", err, text)
	}
	for _, target := range matches {
		if !errors.Is(err, target) {
			tb.Errorf("%v does not match %v", err, target)
		}
	}
	if !reflect.DeepEqual(token, Token{}) {
		tb.Errorf("beside %v there is %+v", err, token)
	}
}

const (
	goodHeader  = `{"alg":"HS256","typ":"JWT","kid":"k"}`
	goodPayload = `{"iss":"i","sub":"s","jti":"j","exp":1893553445,"aud":"a"}`
)

func TestNewReaderRefuses(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name       string
		keyfunc    jwt.Keyfunc
		algorithms []string
		maxSize    int
		want       string
	}{
		{"no algorithm", keyOf("ES256"), nil, maxSize, "no algorithm is allowed; name one, such as ES256"},
		{"none", keyOf("ES256"), []string{"ES256", "none"}, maxSize, `algorithm "none" signs nothing`},
		{"None", keyOf("ES256"), []string{"None"}, maxSize, `algorithm "None" signs nothing`},
		{"an unknown name", keyOf("ES256"), []string{"es256"}, maxSize, `algorithm "es256" is not known to golang-jwt, which knows `},
		{"HMAC and public keys", keyOf("ES256"), []string{"HS256", "ES256"}, maxSize, `algorithms ["HS256" "ES256"] mix HMAC with public-key algorithms`},
		{"no keyfunc", nil, []string{"ES256"}, maxSize, "keyfunc is nil"},
		{"no size", keyOf("ES256"), []string{"ES256"}, 0, "the maximum token size is 0 bytes, and not positive"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r, err := NewReader(row.keyfunc, row.algorithms, Form{MaxSize: row.maxSize})
			if r != nil || err == nil || !strings.HasPrefix(err.Error(), row.want) {
				t.Errorf("%v, %v, want %s", r, err, row.want)
			}
		})
	}
}

func TestNewReaderCopiesTheAlgorithms(t *testing.T) {
	t.Parallel()
	algorithms := []string{"ES256"}
	r, err := NewReader(keyOf("HS256"), algorithms, Form{MaxSize: maxSize})
	must(t, err)
	algorithms[0] = "HS256"
	kind := AccessToken("")
	token, err := r.Read(sign(t, "HS256", goodHeader, goodPayload), &kind)
	wantRefused(t, token, err, "token signature is invalid: its alg is not allowed, but only ES256", jwt.ErrTokenSignatureInvalid)
}

// TestReadEveryAlgorithm reads a token of each algorithm, and refuses it with another signature.
func TestReadEveryAlgorithm(t *testing.T) {
	t.Parallel()
	kind := AccessToken("")
	for algorithm := range keys() {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			r := newReader(t, keyOf(algorithm), algorithm)
			header := `{"alg":"` + algorithm + `","kid":"k"}`
			text := sign(t, algorithm, header, goodPayload)
			token, err := r.Read(text, &kind)
			must(t, err)
			want := Token{
				Header:  map[string]any{"alg": algorithm, "kid": "k"},
				Payload: goodPayload,
				Claims: Claims{
					Issuer: "i", Subject: "s", ID: "j", Audience: []string{"a"}, ExpiresAt: 1893553445, IssuedAt: NoDate, NotBefore: NoDate,
				},
			}
			if token.Proof == nil {
				t.Error("there is no proof")
			}
			token.Proof = nil
			if !reflect.DeepEqual(token, want) {
				t.Errorf("%+v, want %+v", token, want)
			}
			other := sign(t, algorithm, header, `{}`)
			token, err = r.Read(text[:strings.LastIndexByte(text, '.')]+other[strings.LastIndexByte(other, '.'):], &kind)
			wantRefused(t, token, err, "token signature is invalid", jwt.ErrTokenSignatureInvalid)
		})
	}
}

func TestReadWithAKeySet(t *testing.T) {
	t.Parallel()
	kind := AccessToken("")
	good, other := keys()["ES256"].verify, keys()["ES384"].verify
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	foreign := stranger.Public()
	text := sign(t, "ES256", `{"alg":"ES256"}`, goodPayload)
	for _, row := range []struct {
		name string
		keys []jwt.VerificationKey
		want string
		is   error
	}{
		{"the key first", []jwt.VerificationKey{good, other, foreign}, "", nil},
		{"the key last", []jwt.VerificationKey{other, foreign, good}, "", nil},
		{"other keys", []jwt.VerificationKey{foreign}, "token signature is invalid", jwt.ErrTokenSignatureInvalid},
		{"no key", nil, "token is unverifiable: the keyfunc returned an empty key set", jwt.ErrTokenUnverifiable},
		{
			"a key of another type", []jwt.VerificationKey{[]byte("secret")},
			"token is unverifiable: the keyfunc returned a []byte of 6 bytes; ES256 needs an *ecdsa.PublicKey on P-256", jwt.ErrInvalidKeyType,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := newReader(t, func(*jwt.Token) (any, error) { return jwt.VerificationKeySet{Keys: row.keys}, nil }, "ES256")
			token, err := r.Read(text, &kind)
			if row.want != "" {
				wantRefused(t, token, err, row.want, row.is)
				return
			}
			if err != nil || token.Claims.ID != "j" {
				t.Errorf("%+v, %v", token, err)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	good := sign(t, "HS256", goodHeader, goodPayload)
	parts := strings.Split(good, ".")
	header := func(header string) string { return sign(t, "HS256", header, goodPayload) }
	payload := func(payload string) string { return sign(t, "HS256", goodHeader, payload) }
	const onlyHS256 = ": its alg is not allowed, but only HS256"
	for _, row := range []struct {
		name, text, want string
		is               error
	}{
		{"nothing", "", "token is malformed: it is empty", jwt.ErrTokenMalformed},
		{"too long", strings.Repeat("x", maxSize+1), "token is malformed: it is 8193 bytes long, at most 8192 are allowed", jwt.ErrTokenMalformed},
		{"Bearer", "Bearer " + good, "token is malformed: byte 6 is a space: is the word Bearer still in front?", jwt.ErrTokenMalformed},
		{"bearer", "bearer " + good, "token is malformed: byte 6 is a space: is the word Bearer still in front?", jwt.ErrTokenMalformed},
		{"a line break in a part", good[:5] + "\n" + good[5:], "token is malformed: byte 5 is not of the base64url alphabet", jwt.ErrTokenMalformed},
		{"padding", parts[0] + "=." + parts[1] + "." + parts[2], fmt.Sprintf("token is malformed: byte %d is padding, which a JWS does not have (RFC 7515 §2)", len(parts[0])), jwt.ErrTokenMalformed},
		{"one part", "opaque", "token is malformed: it has 1 parts, not 3", jwt.ErrTokenMalformed},
		{"five parts", "a.b.c.d.e", "token is malformed: it has 5 parts, not 3", jwt.ErrTokenMalformed},
		{"header no base64url", "a." + parts[1] + "." + parts[2], "token is malformed: its header is not valid base64url", jwt.ErrTokenMalformed},
		{"payload no base64url", parts[0] + ".a." + parts[2], "token is malformed: its payload is not valid base64url", jwt.ErrTokenMalformed},
		{"signature no base64url", parts[0] + "." + parts[1] + ".a", "token is malformed: its signature is not valid base64url", jwt.ErrTokenMalformed},
		{"signature with bits left", good[:len(good)-1] + "_", "token is malformed: its signature is not valid base64url", jwt.ErrTokenMalformed},
		{"header no JSON", header(`{`), "token is malformed: its header cannot be decoded as a JSON object", jwt.ErrTokenMalformed},
		{"header an array", header(`[]`), "token is malformed: its header cannot be decoded as a JSON object", jwt.ErrTokenMalformed},
		{"header with an overflow", header(`{"a":1,"alg":"HS256","b":1e999}`), "token is malformed: its header cannot be decoded as a JSON object", jwt.ErrTokenMalformed},
		{"header null", header(`null`), "token is unverifiable: its header has no alg", jwt.ErrTokenUnverifiable},
		{"payload no JSON", payload(`{`), "token is malformed: its payload cannot be decoded as a JSON object", jwt.ErrTokenMalformed},
		{"payload an array", payload(`[]`), "token is malformed: its payload cannot be decoded as a JSON object", jwt.ErrTokenMalformed},
		{"payload null", payload(`null`), "token has invalid claims: the JSON text is no object", jwt.ErrTokenInvalidClaims},
		{"no alg", header(`{"typ":"JWT"}`), "token is unverifiable: its header has no alg", jwt.ErrTokenUnverifiable},
		{"alg a number", header(`{"alg":256}`), "token is unverifiable: its header has no alg", jwt.ErrTokenUnverifiable},
		{"alg unknown", header(`{"alg":"XX256"}`), "token is unverifiable" + onlyHS256, jwt.ErrTokenUnverifiable},
		{"alg not allowed", sign(t, "HS384", `{"alg":"HS384"}`, goodPayload), "token signature is invalid" + onlyHS256, jwt.ErrTokenSignatureInvalid},
		{"alg none", encode(`{"alg":"none"}`) + "." + parts[1] + ".", "token signature is invalid" + onlyHS256, jwt.ErrTokenSignatureInvalid},
		{"no signature", parts[0] + "." + parts[1] + ".", "token signature is invalid", jwt.ErrTokenSignatureInvalid},
		{"crit", header(`{"alg":"HS256","crit":[]}`), "token is unverifiable: extensions that the header calls critical are not understood (RFC 7515 §4.1.11)", jwt.ErrTokenUnverifiable},
		{"b64 false", header(`{"alg":"HS256","b64":false}`), "token is unverifiable: a payload that is not encoded is not understood (RFC 7797)", jwt.ErrTokenUnverifiable},
		{"typ a number", header(`{"alg":"HS256","typ":7}`), "token has invalid claims: its typ is no media type (RFC 7515 §4.1.9)", jwt.ErrTokenInvalidClaims},
		{"typ null", header(`{"alg":"HS256","typ":null}`), "token has invalid claims: its typ is no media type (RFC 7515 §4.1.9)", jwt.ErrTokenInvalidClaims},
		{"typ empty", header(`{"alg":"HS256","typ":""}`), "token has invalid claims: its typ is no media type (RFC 7515 §4.1.9)", jwt.ErrTokenInvalidClaims},
		{"typ without a name", header(`{"alg":"HS256","typ":"application/"}`), "token has invalid claims: its typ is no media type (RFC 7515 §4.1.9)", jwt.ErrTokenInvalidClaims},
		{"crit is judged before typ", header(`{"alg":"HS256","typ":7,"crit":[]}`), "token is unverifiable: extensions that the header calls critical are not understood (RFC 7515 §4.1.11)", jwt.ErrTokenUnverifiable},
		{"typ of another kind", header(`{"alg":"HS256","typ":"logout+jwt"}`), "token has invalid claims: its typ is of another kind than an access token's: see WithTokenType", jwt.ErrTokenInvalidClaims},
		{"typ is judged before claims", sign(t, "HS256", `{"alg":"HS256","typ":"logout+jwt"}`, `{"jti":7}`), "token has invalid claims: its typ is of another kind than an access token's: see WithTokenType", jwt.ErrTokenInvalidClaims},
		{"a claim of another type", payload(`{"jti":7}`), `token has invalid claims: claim "jti" is no string: invalid type for claim`, jwt.ErrInvalidType},
		{"a claim twice", payload(`{"jti":"x","jti":"x"}`), `token has invalid claims: claim "jti" occurs more than once`, jwt.ErrTokenInvalidClaims},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			kind := AccessToken("")
			token, err := newReader(t, keyOf("HS256"), "HS256").Read(row.text, &kind)
			wantRefused(t, token, err, row.want, row.is)
			if errors.As(err, new(*KeyError)) {
				t.Errorf("%v is a KeyError", err)
			}
		})
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	untyped, typed := AccessToken(""), AccessToken("application/AT+jwt", Named(EpochClaim)...)
	for _, row := range []struct {
		name string
		kind Kind
		typ  string
		ok   bool
	}{
		{"access token without typ", untyped, "", true},
		{"access token JWT", untyped, "JWT", true},
		{"access token at+jwt", untyped, "at+jwt", true},
		{"access token in full", untyped, "application/AT+JWT", true},
		{"access token of the issuer's own typ", untyped, "Bearer", true},
		{"access token logout+jwt", untyped, "logout+jwt", false},
		{"access token secevent+jwt", untyped, "application/SecEvent+JWT", false},
		{"access token dpop+jwt", untyped, "dpop+jwt", false},
		{"typed at+jwt", typed, "at+jwt", true},
		{"typed in full", typed, "Application/at+JWT", true},
		{"typed without typ", typed, "", false},
		{"typed JWT", typed, "JWT", false},
		{"typed rt+jwt", typed, "rt+jwt", false},
		{"logout token without typ", LogoutToken, "", true},
		{"logout token JWT", LogoutToken, "JWT", true},
		{"logout token logout+jwt", LogoutToken, "application/Logout+JWT", true},
		{"logout token at+jwt", LogoutToken, "at+jwt", false},
		{"logout token secevent+jwt", LogoutToken, "secevent+jwt", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			header := `{"alg":"HS256"}`
			if row.typ != "" {
				header = `{"alg":"HS256","typ":"` + row.typ + `"}`
			}
			_, err := newReader(t, keyOf("HS256"), "HS256").Read(sign(t, "HS256", header, goodPayload), &row.kind)
			if row.ok && err != nil || !row.ok && !errors.Is(err, jwt.ErrTokenInvalidClaims) {
				t.Error(err)
			}
		})
	}
	for _, row := range []struct {
		name string
		kind Kind

		want, nullable string
	}{
		{"access token", untyped, "iss sub jti sid iat exp nbf aud", ""},
		{"access token with an extra claim", typed, "iss sub jti sid iat exp nbf aud epochs", ""},
		{"logout token", LogoutToken, "iss sub jti sid iat exp nbf aud events nonce", "sub sid"},
	} {
		t.Run("claims of a "+row.name, func(t *testing.T) {
			t.Parallel()
			want := Named(strings.Fields(row.want)...)
			for i := range want {
				want[i].Nullable = slices.Contains(strings.Fields(row.nullable), want[i].Name)
			}
			if !slices.Equal(row.kind.Claims, want) {
				t.Errorf("%+v, want %+v", row.kind.Claims, want)
			}
		})
	}
}

// TestParserOptions passes options that would loosen what is accepted, or that change how the
// parser decodes.
func TestParserOptions(t *testing.T) {
	t.Parallel()
	good := sign(t, "HS256", goodHeader, goodPayload)
	options := []struct {
		name string
		opts []jwt.ParserOption
	}{
		{"none", nil},
		{"WithoutClaimsValidation", []jwt.ParserOption{jwt.WithoutClaimsValidation()}},
		{"WithValidMethods", []jwt.ParserOption{jwt.WithValidMethods([]string{"HS384", "ES256", "none"})}},
		{"WithValidMethods nil", []jwt.ParserOption{jwt.WithValidMethods(nil)}},
		{"WithPaddingAllowed", []jwt.ParserOption{jwt.WithPaddingAllowed()}},
		{"WithJSONNumber", []jwt.ParserOption{jwt.WithJSONNumber()}},
		{"another parser", []jwt.ParserOption{func(p *jwt.Parser) { *p = *jwt.NewParser(jwt.WithPaddingAllowed(), jwt.WithJSONNumber()) }}},
		{"WithLeeway", []jwt.ParserOption{jwt.WithLeeway(1000 * time.Hour)}},
		// Claims are validated later, and not by the parser.
		{"WithIssuer", []jwt.ParserOption{jwt.WithIssuer("another")}},
	}
	texts := []struct {
		name, text string
		payload    string // "" if the token is refused
	}{
		{"good", good, goodPayload},
		{"expired", sign(t, "HS256", goodHeader, `{"exp":1}`), `{"exp":1}`},
		{"space around the payload", sign(t, "HS256", goodHeader, " \t\r\n{\"jti\" : \"j\"}\n"), " \t\r\n{\"jti\" : \"j\"}\n"},
		{"another algorithm", sign(t, "HS384", `{"alg":"HS384"}`, goodPayload), ""},
		{"none", encode(`{"alg":"none"}`) + "." + encode(goodPayload) + ".", ""},
		{"padding", good + "=", ""},
		{"bits left over", good[:len(good)-1] + "_", ""},
		{"text behind the payload", sign(t, "HS256", goodHeader, goodPayload+"x"), ""},
		{"an object behind the payload", sign(t, "HS256", goodHeader, goodPayload+goodPayload), ""},
	}
	for _, option := range options {
		r := newReader(t, keyOf("HS256"), "HS256", option.opts...)
		for _, row := range texts {
			t.Run(option.name+"/"+row.name, func(t *testing.T) {
				t.Parallel()
				kind := AccessToken("")
				token, err := r.Read(row.text, &kind)
				if (err == nil) != (row.payload != "") || token.Payload != row.payload {
					t.Errorf("%q, %v, want %q", token.Payload, err, row.payload)
				}
			})
		}
	}
}

// TestKeyfuncGetsAFreshToken changes the token in the keyfunc. The next call must not see it.
func TestKeyfuncGetsAFreshToken(t *testing.T) {
	t.Parallel()
	text := sign(t, "HS256", goodHeader, `{"iss":"i","sub":"s","aud":["a","b"],"iat":1,"nbf":2,"exp":3,"x":{}}`)
	calls := 0
	r := newReader(t, func(token *jwt.Token) (any, error) {
		calls++
		want := map[string]any{"alg": "HS256", "typ": "JWT", "kid": "k"}
		if !reflect.DeepEqual(token.Header, want) || token.Raw != text || token.Method.Alg() != "HS256" || token.Valid {
			t.Errorf("call %d gets %+v", calls, token)
		}
		if _, ok := token.Claims.(jwt.MapClaims); ok {
			t.Errorf("call %d gets a map, which it could change", calls)
		}
		issuer, err := token.Claims.GetIssuer()
		must(t, err)
		subject, err := token.Claims.GetSubject()
		must(t, err)
		audience, err := token.Claims.GetAudience()
		must(t, err)
		issuedAt, err := token.Claims.GetIssuedAt()
		must(t, err)
		notBefore, err := token.Claims.GetNotBefore()
		must(t, err)
		expiresAt, err := token.Claims.GetExpirationTime()
		must(t, err)
		got := fmt.Sprintf("%s %s %s %d %d %d", issuer, subject, audience, issuedAt.Unix(), notBefore.Unix(), expiresAt.Unix())
		if got != "i s [a b] 1 2 3" {
			t.Errorf("call %d gets the claims %s", calls, got)
		}
		audience[0] = "changed"
		token.Header["kid"], token.Raw, token.Claims = "changed", "changed", jwt.MapClaims{"iss": "changed"}
		return keys()["HS256"].verify, nil
	}, "HS256")
	kind := AccessToken("")
	for range 3 {
		token, err := r.Read(text, &kind)
		must(t, err)
		if token.Claims.Issuer != "i" || token.Claims.Audience[0] != "a" {
			t.Errorf("%+v", token)
		}
	}
	if calls != 3 {
		t.Errorf("%d calls", calls)
	}
}

// TestGettersAreStrict reads claims in a keyfunc that encoding/json would read otherwise.
func TestGettersAreStrict(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, payload, want string }{
		{"no claims", `{}`, `"" "" [] <nil> <nil> <nil> <nil>`},
		{"a claim in capitals", `{"iss":"i","ISS":"other"}`, `"i" "" [] <nil> <nil> <nil> <nil>`},
		{"a claim of another type", `{"iss":"i","exp":"` + marker + `"}`, `"" "" [] <nil> <nil> <nil> token has invalid claims: claim "exp" is no number: invalid type for claim`},
		{"a claim twice", `{"iss":"i","iss":"other"}`, `"" "" [] <nil> <nil> <nil> token has invalid claims: claim "iss" occurs more than once`},
		{"null", `null`, `"" "" [] <nil> <nil> <nil> token has invalid claims: the JSON text is no object`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			asked := false
			r := newReader(t, func(token *jwt.Token) (any, error) {
				asked = true
				issuer, err := token.Claims.GetIssuer()
				subject, err2 := token.Claims.GetSubject()
				audience, err3 := token.Claims.GetAudience()
				issuedAt, err4 := token.Claims.GetIssuedAt()
				notBefore, err5 := token.Claims.GetNotBefore()
				expiresAt, err6 := token.Claims.GetExpirationTime()
				for _, other := range []error{err2, err3, err4, err5, err6} {
					if fmt.Sprint(other) != fmt.Sprint(err) {
						t.Errorf("%v from one getter, %v from another", err, other)
					}
				}
				if got := fmt.Sprintf("%q %q %v %v %v %v %v", issuer, subject, audience, issuedAt, notBefore, expiresAt, err); got != row.want {
					t.Errorf("%s, want %s", got, row.want)
				}
				return keys()["HS256"].verify, nil
			}, "HS256")
			kind := AccessToken("")
			// TestReadRefuses has what Read says of them.
			_, _ = r.Read(sign(t, "HS256", goodHeader, row.payload), &kind)
			if !asked {
				t.Error("the keyfunc was not called")
			}
		})
	}
}

// TestKeyError tells the errors of the keyfunc from those of the token.
func TestKeyError(t *testing.T) {
	t.Parallel()
	kind := AccessToken("")
	for _, row := range []struct {
		name     string
		cause    error
		isOutage bool
	}{
		{"of the keyfunc's own", errors.New("no such key"), false},
		{"of golang-jwt", jwt.ErrTokenSignatureInvalid, false},
		{"canceled", fmt.Errorf("keys: %w", context.Canceled), true},
		{"deadline", context.DeadlineExceeded, true},
		{"network", &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := newReader(t, func(*jwt.Token) (any, error) { return keys()["HS256"].verify, row.cause }, "HS256")
			token, err := r.Read(sign(t, "HS256", goodHeader, goodPayload), &kind)
			wantRefused(t, token, err, "token is unverifiable: the keyfunc failed: "+row.cause.Error(), jwt.ErrTokenUnverifiable, row.cause)
			var keyError *KeyError
			if !errors.As(err, &keyError) || !errors.Is(row.cause, keyError.Err) {
				t.Errorf("%v carries %v", err, keyError)
			}
			if got := IsOutage(err); got != row.isOutage {
				t.Errorf("outage: %v", got)
			}
		})
	}
}

// TestKeyfuncIsNotAskedInVain counts calls for tokens that no key can verify.
func TestKeyfuncIsNotAskedInVain(t *testing.T) {
	t.Parallel()
	kind := AccessToken("")
	r := newReader(t, func(*jwt.Token) (any, error) {
		t.Error("the keyfunc was called")
		return nil, nil
	}, "HS256")
	good := sign(t, "HS256", goodHeader, goodPayload)
	for _, row := range []struct{ name, text string }{
		{"too long", good + strings.Repeat("x", maxSize)},
		{"another alphabet", good + "="},
		{"another algorithm", sign(t, "HS384", `{"alg":"HS384"}`, goodPayload)},
		{"payload an array", sign(t, "HS256", goodHeader, `[]`)},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := r.Read(row.text, &kind); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// marker stands where a token has its secrets. Its own letters are base64url, so that it can be
// a part of a token too.
const marker = "ZsecretZ"

// wantUnquoted looks for the marker in all that a log could show of an error.
func wantUnquoted(tb testing.TB, err error) {
	tb.Helper()
	if err == nil {
		return
	}
	for _, said := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
		for _, secret := range []string{marker, encode(marker)[:8]} {
			if strings.Contains(said, secret) {
				tb.Errorf("%q is quoted: %s", secret, said)
			}
		}
	}
	switch wrapper := err.(type) { //nolint:errorlint // this walks through the tree itself
	case interface{ Unwrap() error }:
		wantUnquoted(tb, wrapper.Unwrap())
	case interface{ Unwrap() []error }:
		for _, cause := range wrapper.Unwrap() {
			wantUnquoted(tb, cause)
		}
	}
}

// talkative is a signing method that quotes the token, as one of an app's own may do.
type talkative struct{}

func (talkative) Alg() string { return "talkative" }

func (talkative) Sign(string, any) ([]byte, error) { return []byte(marker), nil }

func (talkative) Verify(text string, signature []byte, _ any) error {
	return fmt.Errorf("%s: %s is no signature of %s", marker, signature, text)
}

func TestErrorsQuoteNothing(t *testing.T) {
	t.Parallel()
	jwt.RegisterSigningMethod("talkative", func() jwt.SigningMethod { return talkative{} })
	signed := func(header, payload string) string { return sign(t, "HS256", header, payload) }
	good := signed(goodHeader, goodPayload)
	for _, row := range []struct{ name, algorithm, text string }{
		{"opaque", "HS256", marker},
		{"behind Bearer", "HS256", "Bearer " + marker},
		{"behind a line break", "HS256", marker + "\n" + marker},
		{"every part", "HS256", marker + "." + marker + "." + marker},
		{"signature", "HS256", good[:strings.LastIndexByte(good, '.')+1] + marker},
		{"signature of another length", "HS256", good[:strings.LastIndexByte(good, '.')+1] + marker + "a"},
		{"header no JSON", "HS256", encode(marker) + "." + encode(`{}`) + ".AAAA"},
		{"header a string", "HS256", encode(`"`+marker+`"`) + "." + encode(`{}`) + ".AAAA"},
		{"header with an escape", "HS256", encode(`{"alg":"\`+marker+`"}`) + "." + encode(`{}`) + ".AAAA"},
		{"alg", "HS256", encode(`{"alg":"`+marker+`"}`) + "." + encode(`{}`) + ".AAAA"},
		{"kid", "HS256", encode(`{"alg":"HS256","kid":"`+marker+`"}`) + "." + encode(`{}`) + ".AAAA"},
		{"typ", "HS256", signed(`{"alg":"HS256","typ":"`+marker+`+jwt"}`, goodPayload)},
		{"crit", "HS256", signed(`{"alg":"HS256","crit":["`+marker+`"]}`, goodPayload)},
		{"payload no JSON", "HS256", signed(goodHeader, marker)},
		{"payload a string", "HS256", signed(goodHeader, `"`+marker+`"`)},
		{"text behind the payload", "HS256", signed(goodHeader, goodPayload+marker)},
		{"jti twice", "HS256", signed(goodHeader, `{"jti":"`+marker+`","jti":"`+marker+`"}`)},
		{"jti too long", "HS256", signed(goodHeader, `{"jti":"`+strings.Repeat(marker, 200)+`"}`)},
		{"jti with NUL", "HS256", signed(goodHeader, `{"jti":"`+marker+`\u0000"}`)},
		{"jti an array", "HS256", signed(goodHeader, `{"jti":["`+marker+`"]}`)},
		{"exp", "HS256", signed(goodHeader, `{"exp":"`+marker+`"}`)},
		{"aud", "HS256", signed(goodHeader, `{"aud":{"`+marker+`":"`+marker+`"}}`)},
		{"a name with half a pair", "HS256", signed(goodHeader, `{"`+marker+`\ud800":1}`)},
		{"a signing method's error", "talkative", encode(`{"alg":"talkative"}`) + "." + encode(`{"jti":"`+marker+`"}`) + "." + encode(marker)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			for _, opts := range [][]jwt.ParserOption{nil, {jwt.WithJSONNumber()}} {
				kind := AccessToken("at+jwt")
				if row.name != "typ" {
					kind = AccessToken("")
				}
				r := newReader(t, func(*jwt.Token) (any, error) { return keys()["HS256"].verify, nil }, row.algorithm, opts...)
				_, err := r.Read(row.text, &kind)
				if err == nil {
					t.Fatal("accepted")
				}
				wantUnquoted(t, err)
			}
		})
	}
}

// FuzzErrorsQuoteNothing puts the marker into every place where the input has a # and looks for
// it in the errors.
func FuzzErrorsQuoteNothing(f *testing.F) {
	f.Add(`{"alg":"HS256","kid":"#"}`, `{"jti":"#"}`, true)
	f.Add(`{"alg":"#"}`, `{"#":"#"}`, false)
	f.Add(`{"alg":"HS256","typ":"#","#":#}`, `{"jti":#}`, true)
	f.Add(`#`, `#`, false)
	f.Add(goodHeader, `{"jti":"#","jti":"#"}`, true)
	f.Add(goodHeader, `{"aud":["#",#]}`, true)
	f.Add(goodHeader, `{"exp":"#","iat":#,"nbf":1e#}`, true)
	f.Add(goodHeader, `{"\u#":1}`, true)
	f.Fuzz(func(t *testing.T, header, payload string, signed bool) {
		header, payload = strings.ReplaceAll(header, "#", marker), strings.ReplaceAll(payload, "#", marker)
		text := encode(header) + "." + encode(payload) + "." + encode(marker)
		if signed {
			text = sign(t, "HS256", header, payload)
		}
		for _, kind := range []Kind{AccessToken(""), AccessToken("at+jwt", Named(EpochClaim)...), LogoutToken} {
			token, err := newReader(t, keyOf("HS256"), "HS256").Read(text, &kind)
			wantUnquoted(t, err)
			if err == nil && token.Payload != payload {
				t.Errorf("the payload is %q, and not %q", token.Payload, payload)
			}
			if err == nil && !signed {
				t.Error("accepted without a signature")
			}
		}
		_, err := newReader(t, keyOf("HS256"), "HS256").Read(header, &LogoutToken)
		wantUnquoted(t, err)
	})
}

// BenchmarkRead compares Read with what golang-jwt alone takes to verify and decode the same token.
func BenchmarkRead(b *testing.B) {
	kind := AccessToken("")
	for _, algorithm := range []string{"HS256", "ES256"} {
		text := sign(b, algorithm, `{"alg":"`+algorithm+`","typ":"at+jwt","kid":"key-1"}`,
			`{"iss":"https://issuer.example","sub":"user-1234567","jti":"f1a2b3c4d5e6f7a8b9c0d1e2f3a4b5c6","sid":"session-0123456789",`+
				`"iat":1893553445,"exp":1893557045,"aud":["api.example"],"scope":"read write","client_id":"app"}`)
		b.Run(algorithm+"/golang-jwt", func(b *testing.B) {
			parser := jwt.NewParser(jwt.WithValidMethods([]string{algorithm}), jwt.WithoutClaimsValidation(), jwt.WithStrictDecoding())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parser.ParseWithClaims(text, new(jwt.RegisteredClaims), keyOf(algorithm)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(algorithm+"/Read", func(b *testing.B) {
			r := newReader(b, keyOf(algorithm), algorithm)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Read(text, &kind); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
