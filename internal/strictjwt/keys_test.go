package strictjwt

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var errUnavailable = errors.New("unavailable")

// signedBy signs a payload by any key that golang-jwt takes.
func signedBy(tb testing.TB, method jwt.SigningMethod, key any) string {
	tb.Helper()
	text := encode(`{"alg":"`+method.Alg()+`"}`) + "." + encode(goodPayload)
	signature, err := method.Sign(text, key)
	must(tb, err)
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// is returns a key of this type.
func is[T any](tb testing.TB, key any) T {
	tb.Helper()
	typed, ok := key.(T)
	if !ok {
		tb.Fatalf("%T", key)
	}
	return typed
}

// pointAt returns a key that was put together, with n as both coordinates.
func pointAt(curve elliptic.Curve, n int64) *ecdsa.PublicKey {
	return &ecdsa.PublicKey{Curve: curve, X: big.NewInt(n), Y: big.NewInt(n)} //nolint:staticcheck // as an app that decodes a JWK itself may do
}

// badKey is what a keyfunc returns by mistake.
type badKey struct {
	name string
	key  any
	got  string // how the error describes it
}

// badKeys are keys that no algorithm may use.
func badKeys(tb testing.TB) []badKey {
	tb.Helper()
	rsaKey := is[*rsa.PrivateKey](tb, keys()["RS256"].sign)
	ecKey := is[*ecdsa.PrivateKey](tb, keys()["ES256"].sign)
	edKey := is[ed25519.PrivateKey](tb, keys()["EdDSA"].sign)
	edPublic := is[ed25519.PublicKey](tb, edKey.Public())
	der, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	must(tb, err)
	small, err := x509.MarshalPKIXPublicKey(ecKey.Public())
	must(tb, err)
	certificate, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)},
		&x509.Certificate{SerialNumber: big.NewInt(1)}, edKey.Public(), edKey)
	must(tb, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	type secret []byte
	const parse = " (parse it: see jwt.ParseECPublicKeyFromPEM and its like)"
	var absent *struct{ N *big.Int }
	return []badKey{
		{"nil", nil, "nil"},
		{"a string", "a secret that is a string, and long enough for HS512, which takes 64", "a string of 68 bytes"},
		{"PEM in a string", string(text), fmt.Sprintf("a string of %d bytes, PEM text", len(text)) + parse},
		{"no bytes", []byte{}, "a []byte of 0 bytes"},
		{"nil bytes", []byte(nil), "a []byte of 0 bytes"},
		{"15 bytes", []byte("a short secret."), "a []byte of 15 bytes"},
		{"31 bytes", make([]byte, 31), "a []byte of 31 bytes"},
		{"zeroes", make([]byte, 128), "a []byte of 128 bytes"},
		{"PEM", text, fmt.Sprintf("a []byte of %d bytes, PEM text", len(text)) + parse},
		{"PEM after a line break", append([]byte("\n"), text...), fmt.Sprintf("a []byte of %d bytes, PEM text", len(text)+1) + parse},
		{"PEM after a comment", append([]byte("the key:\n"), text...), fmt.Sprintf("a []byte of %d bytes, PEM text", len(text)+9) + parse},
		{"a private key in PEM", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}), ", PEM text"},
		{"DER", der, fmt.Sprintf("a []byte of %d bytes, a public key in DER", len(der)) + parse},
		{"DER of an EC key", small, "a public key in DER"},
		{"PKCS #1", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey), "a public key in DER"},
		{"a certificate", certificate, "a public key in DER"},
		{"a JWK", []byte(`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x"}`), "a JWK"},
		{"OpenSSH", []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUbH5YFDv9sbQKHSPbaDVfuOLO3uOy0jpdXpOVhh1fB ada"), "an OpenSSH key"},
		{"another type of bytes", secret(strings.Repeat("x", 64)), "a strictjwt.secret"},
		{"a nil RSA key", (*rsa.PublicKey)(nil), "a nil *rsa.PublicKey"},
		{"a nil EC key", (*ecdsa.PublicKey)(nil), "a nil *ecdsa.PublicKey"},
		{"a nil Ed25519 key", ed25519.PublicKey(nil), "an ed25519.PublicKey of 0 bytes"},
		{"a nil pointer", absent, "a nil *struct { N *big.Int }"},
		{"an RSA key without numbers", &rsa.PublicKey{}, "an *rsa.PublicKey"},
		{"an RSA key of 1024 bits", &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}, "an *rsa.PublicKey of 1024 bits"},
		{"an RSA key of 2047 bits", &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 2046, 1), E: 65537}, "an *rsa.PublicKey of 2047 bits"},
		{"a negative RSA key", &rsa.PublicKey{N: new(big.Int).Neg(rsaKey.N), E: 65537}, "an *rsa.PublicKey of 2048 bits"},
		{"an even RSA key", &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2048), E: 65537}, "an *rsa.PublicKey of 2049 bits"},
		{"an exponent of 1", &rsa.PublicKey{N: rsaKey.N, E: 1}, "an *rsa.PublicKey of 2048 bits"},
		{"an even exponent", &rsa.PublicKey{N: rsaKey.N, E: 65536}, "an *rsa.PublicKey of 2048 bits"},
		{"an RSA key by value", rsaKey.PublicKey, "a rsa.PublicKey"},
		{"an RSA private key", rsaKey, "a private key, *rsa.PrivateKey"},
		{"a nil RSA private key", (*rsa.PrivateKey)(nil), "a nil *rsa.PrivateKey"},
		{"an EC key without numbers", &ecdsa.PublicKey{}, "without a curve"},
		{"an EC key without a point", &ecdsa.PublicKey{Curve: elliptic.P256()}, "an *ecdsa.PublicKey on P-256"},
		{"an EC key on P-224", pointAt(elliptic.P224(), 1), "on P-224"},
		{"an EC key off its curve", pointAt(elliptic.P256(), 1), "an *ecdsa.PublicKey on P-256"},
		{"an EC key at infinity", pointAt(elliptic.P521(), 0), "an *ecdsa.PublicKey on P-521"},
		{"an EC key by value", ecKey.PublicKey, "a ecdsa.PublicKey"},
		{"an EC private key", ecKey, "a private key, *ecdsa.PrivateKey"},
		{"an Ed25519 key of 31 bytes", edPublic[:31], "an ed25519.PublicKey of 31 bytes"},
		{"an Ed25519 key of zeroes", make(ed25519.PublicKey, 32), "an ed25519.PublicKey of 32 bytes"},
		{"an Ed25519 key behind a pointer", &edPublic, "a *ed25519.PublicKey"},
		{"an Ed25519 private key", edKey, "a private key, ed25519.PrivateKey"},
		{"a set behind a pointer", &jwt.VerificationKeySet{Keys: []jwt.VerificationKey{rsaKey.Public()}}, "a *jwt.VerificationKeySet"},
		{"a list of keys", []any{rsaKey.Public()}, "a []interface {}"},
		{"a function", func() any { return rsaKey.Public() }, "a func() interface {}"},
		{"a number", 7, "a int"},
		{"none's", jwt.UnsafeAllowNoneSignatureType, "a jwt.unsafeNoneMagicConstant"},
	}
}

// wants returns what an error says that the algorithm needs.
func wants(algorithm string) string {
	switch algorithm[:2] {
	case "HS":
		return map[string]string{"HS256": "a []byte of 32 bytes or more", "HS384": "a []byte of 48 bytes or more", "HS512": "a []byte of 64 bytes or more"}[algorithm]
	case "ES":
		return map[string]string{"ES256": "an *ecdsa.PublicKey on P-256", "ES384": "an *ecdsa.PublicKey on P-384", "ES512": "an *ecdsa.PublicKey on P-521"}[algorithm]
	case "Ed":
		return "an ed25519.PublicKey of 32 bytes"
	}
	return "an *rsa.PublicKey of 2048 bits or more"
}

// wantUnusable demands the server's fault, with a text that says what was got and what is wanted.
func wantUnusable(tb testing.TB, token Token, err error, got, wanted string) {
	tb.Helper()
	if err == nil || token.Payload != "" {
		tb.Fatalf("%+v, %v", token, err)
	}
	if !IsServerFault(err, errUnavailable) || !errors.Is(err, jwt.ErrTokenUnverifiable) || errors.As(err, new(*KeyError)) {
		tb.Errorf("not the server's fault: %v", err)
	}
	if errors.Is(err, jwt.ErrInvalidKey) == errors.Is(err, jwt.ErrInvalidKeyType) {
		tb.Errorf("%v matches none or both of golang-jwt's sentinels for keys", err)
	}
	if said := err.Error(); !strings.HasPrefix(said, "token is unverifiable: the keyfunc returned ") || !strings.Contains(said, got) ||
		!strings.HasSuffix(said, wanted) || len(said) > 300 {
		tb.Errorf("%s, want %s and %s", said, got, wanted)
	}
}

// TestUnusableKeys returns each bad key to each algorithm: alone, in a set of its own, and in a set
// beside a good one.
func TestUnusableKeys(t *testing.T) {
	t.Parallel()
	kind := AccessToken("")
	for algorithm, pair := range keys() {
		text := sign(t, algorithm, `{"alg":"`+algorithm+`"}`, goodPayload)
		read := func(t *testing.T, key any) (Token, error) {
			t.Helper()
			return newReader(t, func(*jwt.Token) (any, error) { return key, nil }, algorithm).Read(text, &kind)
		}
		for _, bad := range badKeys(t) {
			t.Run(algorithm+"/"+bad.name, func(t *testing.T) {
				t.Parallel()
				token, err := read(t, bad.key)
				wantUnusable(t, token, err, bad.got, "; "+algorithm+" needs "+wants(algorithm))
				token, err = read(t, jwt.VerificationKeySet{Keys: []jwt.VerificationKey{bad.key}})
				wantUnusable(t, token, err, bad.got, "; "+algorithm+" needs "+wants(algorithm))
				token, err = read(t, jwt.VerificationKeySet{Keys: []jwt.VerificationKey{bad.key, bad.key}})
				wantUnusable(t, token, err, "a set of 2 keys, none of them usable; the first is ", "; "+algorithm+" needs "+wants(algorithm))
				for _, set := range [][]jwt.VerificationKey{{bad.key, pair.verify}, {pair.verify, bad.key}} {
					token, err = read(t, jwt.VerificationKeySet{Keys: set})
					if err != nil || token.Claims.ID != "j" {
						t.Errorf("in a set: %+v, %v", token, err)
					}
				}
			})
		}
		t.Run(algorithm+"/an empty set", func(t *testing.T) {
			t.Parallel()
			for _, set := range [][]jwt.VerificationKey{nil, {}} {
				token, err := read(t, jwt.VerificationKeySet{Keys: set})
				wantUnusable(t, token, err, "an empty key set", "an empty key set")
			}
		})
	}
}

// TestFlawsAreNamed has keys of the right type and size that are of no use all the same.
func TestFlawsAreNamed(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][2]string{
		"zeroes":                    {"HS256", "a []byte of 128 bytes, all of them zero; "},
		"an even RSA key":           {"RS256", "an *rsa.PublicKey of 2049 bits with an even modulus, or an exponent that is even or below 3; "},
		"a negative RSA key":        {"PS256", "an *rsa.PublicKey of 2048 bits without a modulus; "},
		"an exponent of 1":          {"RS512", "an *rsa.PublicKey of 2048 bits with an even modulus, or an exponent that is even or below 3; "},
		"an EC key without a point": {"ES256", "an *ecdsa.PublicKey on P-256 without a point; "},
		"an EC key off its curve":   {"ES256", "an *ecdsa.PublicKey on P-256 with a point that is not on the curve; "},
		"an EC key at infinity":     {"ES512", "an *ecdsa.PublicKey on P-521 with a point that is not on the curve; "},
		"an Ed25519 key of zeroes":  {"EdDSA", "an ed25519.PublicKey of 32 bytes that is a point of small order, such as all zero; "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := badKeys(t)
			bad := all[slices.IndexFunc(all, func(b badKey) bool { return b.name == name })]
			if err := unfit(jwt.GetSigningMethod(want[0]), bad.key); err == nil || !strings.HasPrefix(err.Error(), "the keyfunc returned "+want[1]) {
				t.Errorf("%v, want %s", err, want[1])
			}
		})
	}
}

// TestKeysOfOtherAlgorithms returns the good key of each algorithm to each other one. With one
// algorithm allowed that is the server's fault. With both it is the token's, which chose.
func TestKeysOfOtherAlgorithms(t *testing.T) {
	t.Parallel()
	kind := AccessToken("")
	for algorithm := range keys() {
		text := sign(t, algorithm, `{"alg":"`+algorithm+`"}`, goodPayload)
		for other, pair := range keys() {
			if algorithm[:2] == "HS" && other[:2] == "HS" || slices.Contains([]string{"RS", "PS"}, algorithm[:2]) && slices.Contains([]string{"RS", "PS"}, other[:2]) ||
				algorithm == other {
				continue // of one kind
			}
			t.Run(algorithm+" with the key of "+other, func(t *testing.T) {
				t.Parallel()
				for _, key := range []any{pair.verify, jwt.VerificationKeySet{Keys: []jwt.VerificationKey{pair.verify}}} {
					keyfunc := func(*jwt.Token) (any, error) { return key, nil }
					token, err := newReader(t, keyfunc, algorithm).Read(text, &kind)
					wantUnusable(t, token, err, "", "; "+algorithm+" needs "+wants(algorithm))
					both, err := NewReader(keyfunc, []string{algorithm, other}, Form{MaxSize: maxSize})
					if err != nil { // HMAC and a public key
						continue
					}
					token, err = both.Read(text, &kind)
					wantRefused(t, token, err, "token signature is invalid: the key from the keyfunc is for another of the allowed algorithms",
						jwt.ErrTokenSignatureInvalid, jwt.ErrInvalidKeyType)
					if IsServerFault(err, errUnavailable) {
						t.Error("the server's fault")
					}
				}
			})
		}
	}
	t.Run("a secret that is long enough for the other HMAC", func(t *testing.T) {
		t.Parallel()
		secret := []byte("a secret of 40 bytes, enough for HS256..")
		r, err := NewReader(func(*jwt.Token) (any, error) { return secret, nil }, []string{"HS256", "HS512"}, Form{MaxSize: maxSize})
		must(t, err)
		token, err := r.Read(signedBy(t, jwt.SigningMethodHS512, secret), &kind)
		wantRefused(t, token, err, errOtherAlgorithm.Error(), jwt.ErrTokenSignatureInvalid)
		if _, err := r.Read(signedBy(t, jwt.SigningMethodHS256, secret), &kind); err != nil {
			t.Error(err)
		}
	})
	t.Run("a set of a bad key and one of the other algorithm", func(t *testing.T) {
		t.Parallel()
		set := jwt.VerificationKeySet{Keys: []jwt.VerificationKey{"a string", keys()["ES256"].verify}}
		r, err := NewReader(func(*jwt.Token) (any, error) { return set, nil }, []string{"ES256", "RS256"}, Form{MaxSize: maxSize})
		must(t, err)
		token, err := r.Read(sign(t, "RS256", `{"alg":"RS256"}`, goodPayload), &kind)
		wantRefused(t, token, err, errOtherAlgorithm.Error(), jwt.ErrTokenSignatureInvalid)
	})
}

// TestLeastKeys accepts the shortest keys that are allowed.
func TestLeastKeys(t *testing.T) {
	t.Parallel()
	kind := AccessToken("")
	for algorithm, size := range map[string]int{"HS256": 32, "HS384": 48, "HS512": 64} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			secret := bytes.Repeat([]byte("0"), size) // which is also the first byte of keys in DER
			text := signedBy(t, jwt.GetSigningMethod(algorithm), secret)
			read := func(key []byte) (Token, error) {
				return newReader(t, func(*jwt.Token) (any, error) { return key, nil }, algorithm).Read(text, &kind)
			}
			_, err := read(secret)
			must(t, err)
			token, err := read(secret[1:])
			wantUnusable(t, token, err, fmt.Sprintf("a []byte of %d bytes", size-1), wants(algorithm))
		})
	}
	for _, secret := range [][]byte{
		append([]byte{0x30, 0x3e}, bytes.Repeat([]byte{7}, 62)...),
		append([]byte{0x30, 0x81, 0x7d}, bytes.Repeat([]byte{7}, 125)...),
		append([]byte{0x30, 0x82, 0x01, 0x00}, bytes.Repeat([]byte{7}, 256)...),
	} {
		t.Run(fmt.Sprintf("a sequence of %d bytes that is no key", len(secret)), func(t *testing.T) {
			t.Parallel()
			_, err := newReader(t, func(*jwt.Token) (any, error) { return secret, nil }, "HS256").Read(signedBy(t, jwt.SigningMethodHS256, secret), &kind)
			must(t, err)
		})
	}
}

// TestSaltOfPSS refuses signatures that golang-jwt accepts, with a salt of another length than
// the hash (RFC 7518 §3.5).
func TestSaltOfPSS(t *testing.T) {
	t.Parallel()
	kind := AccessToken("")
	for _, method := range []*jwt.SigningMethodRSAPSS{jwt.SigningMethodPS256, jwt.SigningMethodPS384, jwt.SigningMethodPS512} {
		for _, salt := range []int{0, 1, 20, method.Hash.Size() - 1, method.Hash.Size(), method.Hash.Size() + 1, rsa.PSSSaltLengthAuto} {
			t.Run(fmt.Sprintf("%s/%d", method.Name, salt), func(t *testing.T) {
				t.Parallel()
				if salt == 0 { // which crypto/rsa takes for "the longest"
					salt = 2
				}
				signing := *method
				signing.Options = &rsa.PSSOptions{SaltLength: salt}
				text := signedBy(t, &signing, keys()["PS256"].sign)
				if _, err := jwt.Parse(text, keyOf("PS256"), jwt.WithoutClaimsValidation()); err != nil {
					t.Errorf("golang-jwt itself refuses it: %v", err)
				}
				token, err := newReader(t, keyOf("PS256"), method.Name).Read(text, &kind)
				dot := strings.LastIndexByte(text, '.')
				signature, _ := encoding.DecodeString(text[dot+1:])
				key, _ := keyOf("PS256")(nil)
				if verified := CheckSignature(method, text[:dot], signature, key); (verified == nil) != (err == nil) {
					t.Errorf("CheckSignature = %v, Read = %v", verified, err)
				}
				if salt == method.Hash.Size() {
					must(t, err)
					return
				}
				wantRefused(t, token, err, "token signature is invalid", jwt.ErrTokenSignatureInvalid, rsa.ErrVerification)
			})
		}
	}
	if jwt.SigningMethodPS256.VerifyOptions.SaltLength != rsa.PSSSaltLengthAuto {
		t.Error("golang-jwt's own method was changed")
	}
}

// TestSmallOrder forges a signature for each key that is refused: with S = 0 and R the neutral
// point, a text verifies if its hash is a multiple of the order.
func TestSmallOrder(t *testing.T) {
	t.Parallel()
	forged := make([]byte, ed25519.SignatureSize)
	forged[0] = 1
	for i, point := range smallOrder {
		for _, sign := range []byte{0, 0x80} {
			key := point
			key[31] |= sign
			found := false
			for n := 0; n < 256 && !found; n++ {
				found = ed25519.Verify(key[:], fmt.Append(nil, n), forged)
			}
			if !hasSmallOrder(key[:]) {
				t.Errorf("%d with sign %d is not refused", i, sign)
			}
			// crypto/ed25519 refuses some of the other spellings by itself.
			if canonical := i < 5 && (sign == 0 || i > 1); canonical && i != 4 && !found {
				t.Errorf("%d with sign %d is not of small order", i, sign)
			}
		}
	}
	if hasSmallOrder(is[ed25519.PublicKey](t, keys()["EdDSA"].verify)) {
		t.Error("a good key is refused")
	}
}

// TestMethodsOfTheApp leaves the keys of a signing method that golang-jwt does not have to that
// method, except that a curve's size has to fit.
func TestMethodsOfTheApp(t *testing.T) {
	t.Parallel()
	kind := AccessToken("")
	jwt.RegisterSigningMethod("remote", func() jwt.SigningMethod { return remote{} })
	curve := &jwt.SigningMethodECDSA{Name: "ES256X", Hash: crypto.SHA256, KeySize: 32, CurveBits: 256}
	jwt.RegisterSigningMethod("ES256X", func() jwt.SigningMethod { return curve })
	if _, err := newReader(t, func(*jwt.Token) (any, error) { return nil, nil }, "remote").Read(signedBy(t, remote{}, nil), &kind); err != nil { //nolint:nilnil // which that method takes
		t.Error(err)
	}
	if _, err := newReader(t, keyOf("ES256"), "ES256X").Read(signedBy(t, curve, keys()["ES256"].sign), &kind); err != nil {
		t.Error(err)
	}
	token, err := newReader(t, keyOf("ES384"), "ES256X").Read(signedBy(t, curve, keys()["ES256"].sign), &kind)
	wantUnusable(t, token, err, "an *ecdsa.PublicKey on P-384", "; ES256X needs an *ecdsa.PublicKey on P-256")
}

// TestMethodsOfTheAppExcuseNoKey allows an algorithm of the app's beside ES256. A key that ES256
// cannot use stays the server's fault.
func TestMethodsOfTheAppExcuseNoKey(t *testing.T) {
	t.Parallel()
	kind := AccessToken("")
	jwt.RegisterSigningMethod("remote", func() jwt.SigningMethod { return remote{} })
	for _, row := range []struct {
		name string
		key  any
		want string
	}{
		{"nil", nil, "nil"},
		{"a string", "abc", "a string"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			reader, err := NewReader(func(*jwt.Token) (any, error) { return row.key, nil }, []string{"ES256", "remote"}, Form{MaxSize: maxSize})
			if err != nil {
				t.Fatal(err)
			}
			token, err := reader.Read(signedBy(t, jwt.SigningMethodES256, keys()["ES256"].sign), &kind)
			wantUnusable(t, token, err, row.want, "ES256 needs an *ecdsa.PublicKey on P-256")
		})
	}
}

// TestKeyErrorIsShort has a keyfunc fail with texts that repeat a kid.
func TestKeyErrorIsShort(t *testing.T) {
	t.Parallel()
	kid := strings.Repeat("k", 4000)
	for _, row := range []struct {
		name string
		err  error
		want string
	}{
		{"Postgres about a value", fmt.Errorf("keys: %w", &pgconn.PgError{Code: "22P02", Message: "invalid uuid " + kid}), "the keyfunc failed: Postgres refused its query with SQLSTATE 22P02"},
		{"a long text", errors.New(kid), "the keyfunc failed: " + kid[:500] + "…"},
		{"two lines", errors.New("unknown kid a\nINFO all is well"), "the keyfunc failed: unknown kid a INFO all is well"},
		{"an outage of Postgres", &pgconn.PgError{Severity: "FATAL", Code: "57P03", Message: "starting up"}, "the keyfunc failed: FATAL: starting up (SQLSTATE 57P03)"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			err := &KeyError{row.err}
			if err.Error() != row.want || !errors.Is(err, row.err) {
				t.Errorf("%q, want %q", err.Error(), row.want)
			}
		})
	}
}

// remote verifies without a key, as a service that keeps it would.
type remote struct{}

func (remote) Alg() string { return "remote" }

func (remote) Sign(text string, _ any) ([]byte, error) {
	sum := sha512.Sum512([]byte(text))
	return sum[:], nil
}

func (r remote) Verify(text string, signature []byte, key any) error {
	if want, _ := r.Sign(text, key); !bytes.Equal(want, signature) {
		return jwt.ErrSignatureInvalid
	}
	return nil
}

// TestKeyfuncCannotChangeTheMethod sets another method in the keyfunc.
func TestKeyfuncCannotChangeTheMethod(t *testing.T) {
	t.Parallel()
	kind := AccessToken("")
	r := newReader(t, func(token *jwt.Token) (any, error) {
		token.Method = jwt.SigningMethodNone
		return jwt.UnsafeAllowNoneSignatureType, nil
	}, "ES256")
	token, err := r.Read(encode(`{"alg":"ES256"}`)+"."+encode(goodPayload)+".", &kind)
	wantUnusable(t, token, err, "a jwt.unsafeNoneMagicConstant", wants("ES256"))
}
