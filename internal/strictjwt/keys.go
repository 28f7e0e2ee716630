package strictjwt

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// minRSABits is the least size of an RSA key (RFC 7518 §3.3 and §3.5).
const minRSABits = 2048

// UnusableKeyError says that the keyfunc returned nothing that could verify a token by any
// of the allowed algorithms. The server is at fault, and not the token. The text says what
// the keyfunc returned and what is wanted, and nothing of the key.
type UnusableKeyError struct {
	text  string
	cause error // jwt.ErrInvalidKeyType or jwt.ErrInvalidKey
}

// Error says what the keyfunc returned, and what is wanted.
func (e *UnusableKeyError) Error() string { return "the keyfunc returned " + e.text }

// Unwrap returns golang-jwt's sentinel for the mistake.
func (e *UnusableKeyError) Unwrap() error { return e.cause }

// errOtherAlgorithm says that a key is good, but for another of the allowed algorithms than
// the token's. The maker of a token chooses its algorithm, so the token is at fault.
var errOtherAlgorithm error = &refusal{
	text:  jwt.ErrTokenSignatureInvalid.Error() + ": the key from the keyfunc is for another of the allowed algorithms",
	cause: errors.Join(jwt.ErrTokenSignatureInvalid, jwt.ErrInvalidKeyType),
}

// usable returns the keys that the method may use of those that the keyfunc returned: a key, or
// a set that is left with some.
func (r *Reader) usable(method jwt.SigningMethod, key any) (any, error) {
	set, ok := key.(jwt.VerificationKeySet)
	if !ok {
		return key, judgeKeys(method, r.allowed, key)
	}
	usable := make([]jwt.VerificationKey, 0, len(set.Keys))
	for _, key := range set.Keys {
		if unfit(method, key) == nil {
			usable = append(usable, key)
		}
	}
	if len(usable) == 0 {
		return nil, judgeKeys(method, r.allowed, set.Keys...)
	}
	return jwt.VerificationKeySet{Keys: usable}, nil
}

// strictPSS returns a method that accepts only a salt as long as the hash (RFC 7518 §3.5).
// golang-jwt's accepts any length.
func strictPSS(method *jwt.SigningMethodRSAPSS) *jwt.SigningMethodRSAPSS {
	strict := *method
	strict.VerifyOptions = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	return &strict
}

// judgeKeys returns nil if one of the keys can verify a token by this method,
// errOtherAlgorithm if one can by another allowed method, and otherwise an
// *UnusableKeyError.
func judgeKeys(method jwt.SigningMethod, allowed []jwt.SigningMethod, keys ...jwt.VerificationKey) error {
	var wrong error
	for _, key := range keys {
		err := unfit(method, key)
		if err == nil {
			return nil
		}
		for _, other := range allowed {
			if isJudged(other) && unfit(other, key) == nil {
				return errOtherAlgorithm
			}
		}
		if wrong == nil {
			wrong = err
		}
	}
	switch len(keys) {
	case 0:
		return &UnusableKeyError{"an empty key set", jwt.ErrInvalidKey}
	case 1:
		return wrong
	}
	unusable, _ := errors.AsType[*UnusableKeyError](wrong)
	return &UnusableKeyError{fmt.Sprintf("a set of %d keys, none of them usable; the first is %s", len(keys), unusable.text), unusable.cause}
}

// CheckKey returns what is wrong with a key that verifies tokens by the method: an
// [*UnusableKeyError], or nil.
func CheckKey(method jwt.SigningMethod, key any) error { return unfit(method, key) }

// CheckSignature returns nil if a signature verifies by this method and key, as strictly as in
// [Reader.Read].
func CheckSignature(method jwt.SigningMethod, signingString string, signature []byte, key any) error {
	if pss, ok := method.(*jwt.SigningMethodRSAPSS); ok {
		method = strictPSS(pss)
	}
	return method.Verify(signingString, signature, key)
}

// isJudged reports whether unfit knows the keys of a method. Those of an app's own signing
// method say nothing of a key that another method cannot use.
func isJudged(method jwt.SigningMethod) bool {
	switch method.(type) {
	case *jwt.SigningMethodHMAC, *jwt.SigningMethodRSA, *jwt.SigningMethodRSAPSS, *jwt.SigningMethodECDSA, *jwt.SigningMethodEd25519:
		return true
	}
	return false
}

// unfit returns an *UnusableKeyError if the method cannot or must not use the key. A
// signing method of the app's own knows its keys itself.
func unfit(method jwt.SigningMethod, key any) error {
	wanted, found, cause := "", "", error(nil)
	switch m := method.(type) {
	case *jwt.SigningMethodHMAC:
		wanted = fmt.Sprintf("a []byte of %d bytes or more", m.Hash.Size())
		found, cause = wrongSecret(key, m.Hash.Size())
	case *jwt.SigningMethodRSA, *jwt.SigningMethodRSAPSS:
		wanted = fmt.Sprintf("an *rsa.PublicKey of %d bits or more", minRSABits)
		found, cause = wrongRSA(key)
	case *jwt.SigningMethodECDSA:
		wanted = fmt.Sprintf("an *ecdsa.PublicKey on P-%d", m.CurveBits)
		found, cause = wrongECDSA(key, m)
	case *jwt.SigningMethodEd25519:
		wanted = fmt.Sprintf("an ed25519.PublicKey of %d bytes", ed25519.PublicKeySize)
		found, cause = wrongEd25519(key)
	}
	if cause == nil {
		return nil
	}
	return &UnusableKeyError{fmt.Sprintf("%s; %s needs %s", found, method.Alg(), wanted), cause}
}

// wrongSecret says what is wrong with the key of an HMAC: its type, its length (RFC 7518
// §3.2), or that it is known to others.
func wrongSecret(key any, size int) (found string, cause error) {
	secret, ok := key.([]byte)
	if !ok {
		return describe(key), jwt.ErrInvalidKeyType
	}
	switch {
	case len(secret) < size, publicForm(secret) != "":
		return describe(key), jwt.ErrInvalidKey
	case len(bytes.Trim(secret, "\x00")) == 0:
		return describe(key) + ", all of them zero", jwt.ErrInvalidKey
	}
	return "", nil
}

// publicForm names the form of a key for public-key algorithms, "" if bytes are none. A
// public key as a secret of HMAC would let each of its readers sign.
func publicForm(data []byte) string {
	switch text := bytes.TrimSpace(data); {
	case bytes.Contains(text, []byte("-----BEGIN ")):
		return "PEM text"
	case bytes.HasPrefix(text, []byte("ssh-")), bytes.HasPrefix(text, []byte("ecdsa-sha2-")):
		return "an OpenSSH key"
	case bytes.HasPrefix(text, []byte("{")) && bytes.Contains(text, []byte(`"kty"`)):
		return "a JWK"
	}
	if !isSequence(data) {
		return ""
	}
	_, errKey := x509.ParsePKIXPublicKey(data)
	_, errPKCS1 := x509.ParsePKCS1PublicKey(data)
	_, errCertificate := x509.ParseCertificate(data)
	if errKey == nil || errPKCS1 == nil || errCertificate == nil {
		return "a public key in DER"
	}
	return ""
}

// isSequence reports whether bytes are one ASN.1 sequence, as keys and certificates in DER
// are. Few secrets of random bytes are, so that the check costs next to nothing.
func isSequence(data []byte) bool {
	if len(data) < 4 || data[0] != 0x30 {
		return false
	}
	switch length := int(data[1]); length {
	case 0x81:
		return int(data[2]) == len(data)-3
	case 0x82:
		return int(data[2])<<8|int(data[3]) == len(data)-4
	default:
		return length == len(data)-2
	}
}

// wrongRSA says what is wrong with an RSA key: its type, its size (RFC 7518 §3.3), or
// numbers with which no signature verifies.
func wrongRSA(key any) (found string, cause error) {
	public, ok := key.(*rsa.PublicKey)
	switch {
	case !ok:
		return describe(key), jwt.ErrInvalidKeyType
	case public == nil:
		return describe(key), jwt.ErrInvalidKey
	case public.N == nil || public.N.Sign() <= 0:
		return describe(key) + " without a modulus", jwt.ErrInvalidKey
	case public.N.BitLen() < minRSABits:
		return describe(key), jwt.ErrInvalidKey
	case public.N.Bit(0) == 0 || public.E < 3 || public.E&1 == 0:
		return describe(key) + " with an even modulus, or an exponent that is even or below 3", jwt.ErrInvalidKey
	}
	return "", nil
}

// standardCurves are the curves of the algorithms of RFC 7518 §3.4.
var standardCurves = map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}

// wrongECDSA says what is wrong with an ECDSA key: its type, its curve, or a point that is
// not on the curve. Of an algorithm of the app's own only the size of the curve is known.
func wrongECDSA(key any, method *jwt.SigningMethodECDSA) (found string, cause error) {
	public, ok := key.(*ecdsa.PublicKey)
	switch {
	case !ok:
		return describe(key), jwt.ErrInvalidKeyType
	case public == nil || public.Curve == nil:
		return describe(key), jwt.ErrInvalidKey
	}
	curve, standard := standardCurves[method.Name]
	switch {
	case standard && public.Curve != curve, public.Curve.Params().BitSize != method.CurveBits:
		return describe(key), jwt.ErrInvalidKey
	case !standard:
		return "", nil
	case public.X == nil || public.Y == nil: //nolint:staticcheck // a key that was put together has none, and Bytes would panic
		return describe(key) + " without a point", jwt.ErrInvalidKey
	}
	if _, err := public.Bytes(); err != nil {
		return describe(key) + " with a point that is not on the curve", jwt.ErrInvalidKey
	}
	return "", nil
}

// wrongEd25519 says what is wrong with an Ed25519 key: its type, its length, or a point for
// which signatures can be made up.
func wrongEd25519(key any) (found string, cause error) {
	public, ok := key.(ed25519.PublicKey)
	switch {
	case !ok:
		return describe(key), jwt.ErrInvalidKeyType
	case len(public) != ed25519.PublicKeySize:
		return describe(key), jwt.ErrInvalidKey
	case hasSmallOrder(public):
		return describe(key) + " that is a point of small order, such as all zero", jwt.ErrInvalidKey
	}
	return "", nil
}

// smallOrder are the encodings of the points of small order on edwards25519, without the bit
// of the sign. One such key is all zero, as a key that was never set is. For each of them
// signatures can be made up without any private key.
var smallOrder = [...][ed25519.PublicKeySize]byte{
	{},
	{0x01},
	{
		0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
	},
	{
		0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
	},
	fieldPlus(-1), fieldPlus(0), fieldPlus(1),
}

// fieldPlus returns 2^255 - 19 + n in the encoding of a key, the least byte first.
func fieldPlus(n int) (encoding [ed25519.PublicKeySize]byte) {
	for i := range encoding {
		encoding[i] = 0xff
	}
	encoding[0] = byte(0xed + n)
	encoding[ed25519.PublicKeySize-1] = 0x7f
	return encoding
}

func hasSmallOrder(key ed25519.PublicKey) bool {
	point := [ed25519.PublicKeySize]byte(key)
	point[ed25519.PublicKeySize-1] &= 0x7f
	return slices.Contains(smallOrder[:], point)
}

// describe says of what type and size a key is, and nothing of its bytes.
func describe(key any) string {
	if value := reflect.ValueOf(key); value.Kind() == reflect.Pointer && value.IsNil() {
		return fmt.Sprintf("a nil %.100T", key)
	}
	switch k := key.(type) {
	case nil:
		return "nil"
	case string:
		return fmt.Sprintf("a string of %d bytes", len(k)) + hint([]byte(k))
	case []byte:
		return fmt.Sprintf("a []byte of %d bytes", len(k)) + hint(k)
	case *rsa.PublicKey:
		if k.N == nil {
			return "an *rsa.PublicKey"
		}
		return fmt.Sprintf("an *rsa.PublicKey of %d bits", k.N.BitLen())
	case *ecdsa.PublicKey:
		if k.Curve == nil {
			return "an *ecdsa.PublicKey without a curve"
		}
		return fmt.Sprintf("an *ecdsa.PublicKey on %.20s", k.Curve.Params().Name)
	case ed25519.PublicKey:
		return fmt.Sprintf("an ed25519.PublicKey of %d bytes", len(k))
	case crypto.Signer: // also a key that is kept elsewhere
		return fmt.Sprintf("a private key, %.100T (its method Public has the public one)", key)
	}
	return fmt.Sprintf("a %.100T", key)
}

// hint says how a key in text becomes one that can be used.
func hint(data []byte) string {
	if form := publicForm(data); form != "" {
		return ", " + form + " (parse it: see jwt.ParseECPublicKeyFromPEM and its like)"
	}
	return ""
}
