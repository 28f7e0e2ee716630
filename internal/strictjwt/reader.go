// Package strictjwt reads JWTs as strictly as revocation requires: one call leads from a
// token's text to its verified header, its payload and its claims. It refuses a token
// that two programs could read in two ways. The signature is verified by golang-jwt.
package strictjwt

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// Reader verifies and reads the tokens of one source of keys. It may be used from several
// goroutines.
type Reader struct {
	parser     *jwt.Parser
	keyfunc    jwt.Keyfunc
	algorithms []string
	allowed    []jwt.SigningMethod // of the algorithms
	form       Form
	recent     recentKeys
}

// Form is the form of the texts that are read.
type Form struct {
	MaxSize int // in bytes
	// Padded accepts parts of a token that end in the padding of base64 (RFC 4648 §3.2),
	// which a JWS does not have (RFC 7515 §2). The signature is over the padding too.
	Padded bool
}

// NewReader returns a reader that takes the keys from keyfunc. It accepts only the named
// algorithms and tokens of this form. The options are passed on to
// golang-jwt's parser. They can tighten what is accepted. An option that would loosen it
// has no effect, because the reader's own options are applied after them. Options that
// concern claims have no effect either, because Read validates none: see [Claims].
//
// The keyfunc is called before the signature is verified. It gets a new *jwt.Token at
// each call, with Raw, Method, Header and Claims. The getters of Claims read the payload
// when they are called, as strictly as Read does.
func NewReader(keyfunc jwt.Keyfunc, algorithms []string, form Form, opts ...jwt.ParserOption) (*Reader, error) {
	if err := checkAlgorithms(algorithms); err != nil {
		return nil, err
	}
	switch {
	case keyfunc == nil:
		return nil, errors.New("keyfunc is nil")
	case form.MaxSize <= 0:
		return nil, fmt.Errorf("the maximum token size is %d bytes, and not positive", form.MaxSize)
	}
	opts = append(slices.Clone(opts), jwt.WithoutClaimsValidation(), jwt.WithStrictDecoding())
	if form.Padded {
		opts = append(opts, jwt.WithPaddingAllowed())
	}
	algorithms = slices.Clone(algorithms)
	allowed := make([]jwt.SigningMethod, len(algorithms))
	for i, name := range algorithms {
		allowed[i] = jwt.GetSigningMethod(name)
	}
	return &Reader{
		parser:     jwt.NewParser(append(opts, jwt.WithValidMethods(algorithms))...),
		keyfunc:    keyfunc,
		algorithms: algorithms,
		allowed:    allowed,
		form:       form,
	}, nil
}

// checkAlgorithms refuses an empty list, "none", unknown names, and a mix of HMAC with
// public-key algorithms: a public key could then be used as a secret.
func checkAlgorithms(algorithms []string) error {
	if len(algorithms) == 0 {
		return errors.New("no algorithm is allowed; name one, such as ES256")
	}
	hmac := 0
	for _, name := range algorithms {
		method := jwt.GetSigningMethod(name)
		switch {
		case strings.EqualFold(name, "none") || method == jwt.SigningMethod(jwt.SigningMethodNone):
			return fmt.Errorf("algorithm %q signs nothing", name)
		case method == nil:
			return fmt.Errorf("algorithm %q is not known to golang-jwt, which knows %q", name, jwt.GetAlgorithms())
		}
		if _, ok := method.(*jwt.SigningMethodHMAC); ok {
			hmac++
		}
	}
	if hmac > 0 && hmac < len(algorithms) {
		return fmt.Errorf("algorithms %q mix HMAC with public-key algorithms", algorithms)
	}
	return nil
}

// Token is a token with a verified signature.
type Token struct {
	Header  map[string]any // which the Proof shares
	Payload string         // the payload's JSON text, byte by byte as it was signed
	Claims  Claims
	Proof   *Proof // nil where Confirm cannot compare keys
}

// Read verifies the signature of text and reads the token. It validates no claim beyond
// its form: whether the token has expired, or lacks a claim, is decided by the caller.
//
// An error of the keyfunc is a [*KeyError], and a key that no allowed algorithm may use an
// [*UnusableKeyError]: [IsServerFault] says which of them are no fault of the token. Any
// other error means that the token is not acceptable. Errors match golang-jwt's sentinels.
// Their texts contain nothing of the token, except what the keyfunc's own error contains.
func (r *Reader) Read(text string, kind *Kind) (Token, error) {
	return r.read(text, kind, &verification{reader: r})
}

func (r *Reader) read(text string, kind *Kind, v *verification) (Token, error) {
	if err := checkForm(text, r.form); err != nil {
		return Token{}, err
	}
	claims := &unverifiedClaims{kind: kind}
	v.claims = claims
	parsed, err := r.parser.ParseWithClaims(text, claims, v.key)
	if err != nil {
		return Token{}, r.refuse(parsed, claims, err)
	}
	if err := checkHeader(parsed.Header, kind); err != nil {
		return Token{}, err
	}
	token := Token{Header: parsed.Header}
	if token.Payload, err = claims.payload(text); err != nil {
		return Token{}, err
	}
	if token.Claims, err = ReadClaims(token.Payload, kind.Claims); err != nil {
		return Token{}, fmt.Errorf("%w: %w", jwt.ErrTokenInvalidClaims, err)
	}
	token.Proof = v.proof(&token)
	return token, nil
}

// checkForm checks a token's length and letters before anything is decoded. A JWS in
// compact form (RFC 7515 §7.1) is three parts of base64url. golang-jwt would ignore line
// breaks in them.
func checkForm(text string, form Form) error {
	switch {
	case text == "":
		return fmt.Errorf("%w: it is empty", jwt.ErrTokenMalformed)
	case len(text) > form.MaxSize:
		return fmt.Errorf("%w: it is %d bytes long, at most %d are allowed", jwt.ErrTokenMalformed, len(text), form.MaxSize)
	}
	dots, part, padded := 0, 0, false // part is where the present one begins
	for i := range len(text) {
		switch c := text[i]; {
		case !padded && ('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'):
		case c == '.' && (!padded || (i-part)%4 == 0):
			dots++
			part, padded = i+1, false
		case c == '=' && form.Padded:
			padded = true
		default:
			what := "is not of the base64url alphabet"
			switch {
			case c == ' ':
				what = "is a space"
			case c == '=':
				what = "is padding, which a JWS does not have (RFC 7515 §2)"
			case padded:
				what = "follows padding"
			}
			if len("Bearer") <= len(text) && strings.EqualFold(text[:len("Bearer")], "Bearer") {
				what += ": is the word Bearer still in front?"
			}
			return fmt.Errorf("%w: byte %d %s", jwt.ErrTokenMalformed, i, what)
		}
	}
	if padded && (len(text)-part)%4 != 0 {
		return fmt.Errorf("%w: its padding is of another length", jwt.ErrTokenMalformed)
	}
	if dots != 2 {
		return fmt.Errorf("%w: it has %d parts, not 3", jwt.ErrTokenMalformed, dots+1)
	}
	return nil
}

// checkHeader checks the members of a verified header that golang-jwt ignores.
func checkHeader(header map[string]any, kind *Kind) error {
	if _, ok := header["crit"]; ok {
		return fmt.Errorf("%w: extensions that the header calls critical are not understood (RFC 7515 §4.1.11)", jwt.ErrTokenUnverifiable)
	}
	if b64, ok := header["b64"]; ok && b64 != true {
		return fmt.Errorf("%w: a payload that is not encoded is not understood (RFC 7797)", jwt.ErrTokenUnverifiable)
	}
	typ := ""
	if value, ok := header["typ"]; ok {
		name, _ := value.(string)
		if typ = MediaType(name); typ == "" {
			return fmt.Errorf("%w: its typ is no media type (RFC 7515 §4.1.9)", jwt.ErrTokenInvalidClaims)
		}
	}
	if err := kind.Type(typ); err != nil {
		return fmt.Errorf("%w: %w", jwt.ErrTokenInvalidClaims, err)
	}
	return nil
}

// unverifiedClaims are the claims that a keyfunc sees.
type unverifiedClaims struct {
	object string
	kind   *Kind
}

// UnmarshalJSON keeps the text of the object.
func (u *unverifiedClaims) UnmarshalJSON(data []byte) error {
	if data[0] != '{' {
		return errNoObject
	}
	u.object = string(data)
	return nil
}

var encoding = base64.RawURLEncoding.Strict()

// payload returns the payload of a verified token. That is the object that the parser
// decoded, unless something surrounds the object: space, or with jwt.WithJSONNumber
// anything that follows it.
func (u *unverifiedClaims) payload(text string) (string, error) {
	if len(u.object) == encoding.DecodedLen(len(payloadPart(text))) {
		return u.object, nil
	}
	return Payload(text)
}

func payloadPart(text string) string {
	return text[strings.IndexByte(text, '.')+1 : strings.LastIndexByte(text, '.')]
}

// Payload decodes the payload of a token. It verifies nothing.
func Payload(text string) (string, error) {
	data, err := encoding.DecodeString(strings.TrimRight(payloadPart(text), "="))
	if err != nil {
		return "", fmt.Errorf("%w: its payload is not valid base64url", jwt.ErrTokenMalformed)
	}
	return string(data), nil
}

// UnverifiedIssuer reads iss of a token with a signature that has not been verified, as strictly
// as Read does: to choose the Reader that verifies the token, and for nothing else. It is "" where
// there is none. Errors match golang-jwt's sentinels. Their texts contain nothing of the token.
func UnverifiedIssuer(text string, form Form) (string, error) {
	if err := checkForm(text, form); err != nil {
		return "", err
	}
	payload, err := Payload(text)
	if err != nil {
		return "", err
	}
	claims, err := ReadClaims(payload, Named("iss"))
	if err != nil {
		return "", fmt.Errorf("%w: %w", jwt.ErrTokenInvalidClaims, err)
	}
	return claims.Issuer, nil
}

// getterClaims are the claims that golang-jwt's getters return.
var getterClaims = []string{"iss", "sub", "aud", "iat", "exp", "nbf"}

func (u *unverifiedClaims) read() (Claims, error) {
	list := slices.DeleteFunc(slices.Clone(u.kind.Claims), func(c Claim) bool { return !slices.Contains(getterClaims, c.As) })
	claims, err := ReadClaims(u.object, list)
	if err != nil {
		return noClaims, fmt.Errorf("%w: %w", jwt.ErrTokenInvalidClaims, err)
	}
	return claims, nil
}

// GetIssuer returns iss, "" if there is none.
func (u *unverifiedClaims) GetIssuer() (string, error) {
	claims, err := u.read()
	return claims.Issuer, err
}

// GetSubject returns sub, "" if there is none.
func (u *unverifiedClaims) GetSubject() (string, error) {
	claims, err := u.read()
	return claims.Subject, err
}

// GetAudience returns aud, nil if there is none.
func (u *unverifiedClaims) GetAudience() (jwt.ClaimStrings, error) {
	claims, err := u.read()
	return claims.Audience, err
}

// GetIssuedAt returns iat, nil if there is none.
func (u *unverifiedClaims) GetIssuedAt() (*jwt.NumericDate, error) {
	claims, err := u.read()
	return numericDate(claims.IssuedAt), err
}

// GetExpirationTime returns exp, nil if there is none.
func (u *unverifiedClaims) GetExpirationTime() (*jwt.NumericDate, error) {
	claims, err := u.read()
	return numericDate(claims.ExpiresAt), err
}

// GetNotBefore returns nbf, nil if there is none.
func (u *unverifiedClaims) GetNotBefore() (*jwt.NumericDate, error) {
	claims, err := u.read()
	return numericDate(claims.NotBefore), err
}
