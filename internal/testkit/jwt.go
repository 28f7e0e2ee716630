package testkit

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Keys are a private key for each kind of algorithm.
type Keys struct {
	EC     *ecdsa.PrivateKey // P-256, for ES256
	RSA    *rsa.PrivateKey
	Ed     ed25519.PrivateKey
	Secret []byte // 64 bytes, for every HMAC
}

// TestKeys returns the keys of this process.
var TestKeys = sync.OnceValue(func() (k Keys) {
	var errs [3]error
	k.EC, errs[0] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.RSA, errs[1] = rsa.GenerateKey(rand.Reader, 2048)
	_, k.Ed, errs[2] = ed25519.GenerateKey(rand.Reader)
	k.Secret = []byte(strings.Repeat("0123456789abcdef", 4))
	if err := errors.Join(errs[:]...); err != nil {
		panic(err)
	}
	return k
})

// VerificationKey returns the key of TestKeys with which a verifier checks the algorithm.
func VerificationKey(alg string) any {
	switch alg[:2] {
	case "HS":
		return TestKeys().Secret
	case "ES":
		return TestKeys().EC.Public()
	case "Ed":
		return TestKeys().Ed.Public()
	}
	return TestKeys().RSA.Public()
}

// SigningKey returns the key of TestKeys with which an issuer signs by the algorithm.
func SigningKey(alg string) any {
	switch alg[:2] {
	case "HS":
		return TestKeys().Secret
	case "ES":
		return TestKeys().EC
	case "Ed":
		return TestKeys().Ed
	}
	return TestKeys().RSA
}

// Keyfunc returns the keyfunc of a verifier that accepts one algorithm.
func Keyfunc(alg string) jwt.Keyfunc {
	return func(*jwt.Token) (any, error) { return VerificationKey(alg), nil }
}

// Base64 encodes a part of a JWT.
func Base64(data string) string { return base64.RawURLEncoding.EncodeToString([]byte(data)) }

// SignRaw signs a header and a payload as they are written.
func SignRaw(tb testing.TB, alg, header, payload string) string {
	tb.Helper()
	input := Base64(header) + "." + Base64(payload)
	signature := Value(jwt.GetSigningMethod(alg).Sign(input, SigningKey(alg)))(tb)
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// Now is the time at which minted tokens are valid.
var Now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// Clock stands still at Now.
func Clock() time.Time { return Now }

// At is the NumericDate that lies d after Now.
func At(d time.Duration) string { return fmt.Sprint(Now.Add(d).Unix()) }

// Header is the header of a minted token.
const Header = `{"alg":"ES256","typ":"JWT"}`

// Members returns the claims of a good token of Issuer for ada, as JSON text by name.
func Members() map[string]string {
	return map[string]string{
		"iss": `"` + Issuer + `"`, "sub": `"ada"`, "jti": `"token-1"`, "sid": `"session-1"`, "aud": `["api"]`,
		"iat": At(-time.Minute), "exp": At(10 * time.Minute),
	}
}

// Payload writes the claims of Members as JSON, with changes: a value of "" leaves a claim out.
// extra are members as JSON text.
func Payload(changes map[string]string, extra ...string) string {
	claims := Members()
	maps.Copy(claims, changes)
	var parts []string
	for name, value := range claims {
		if value != "" {
			parts = append(parts, `"`+name+`":`+value)
		}
	}
	return "{" + strings.Join(append(parts, extra...), ",") + "}"
}

// Mint signs the claims of Payload by ES256.
func Mint(tb testing.TB, changes map[string]string, extra ...string) string {
	tb.Helper()
	return SignRaw(tb, "ES256", Header, Payload(changes, extra...))
}
