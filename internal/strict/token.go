// Package strict reads JWTs as strictly as a revocation needs it, for all that believe in one: what can be written in two
// ways, or read in two ways by two programs, is refused. It believes nothing of a token by itself: verify the signature
// first, with golang-jwt.
package strict

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// CheckAlgorithms refuses lists that would accept more than one may think.
func CheckAlgorithms(algorithms []string) error {
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

// CheckForm looks at a token's length and letters before anything is decoded: a JWS in compact form (RFC 7515 §7.1) is
// three parts of base64url. golang-jwt lets line breaks pass in them.
func CheckForm(token string, maxSize int) error {
	if len(token) > maxSize {
		return fmt.Errorf("%w: it is %d bytes long, at most %d are allowed", jwt.ErrTokenMalformed, len(token), maxSize)
	}
	dots := 0
	for i := range len(token) {
		switch c := token[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		case c == '.':
			dots++
		default:
			return fmt.Errorf("%w: byte %d is not of the base64url alphabet", jwt.ErrTokenMalformed, i)
		}
	}
	if dots != 2 {
		return fmt.Errorf("%w: it has %d parts, not 3", jwt.ErrTokenMalformed, dots+1)
	}
	return nil
}

// CheckHeader refuses what golang-jwt ignores.
func CheckHeader(header map[string]any) error {
	if _, ok := header["crit"]; ok {
		return fmt.Errorf("%w: extensions that the header calls critical are not understood (RFC 7515 §4.1.11)", jwt.ErrTokenUnverifiable)
	}
	if b64, ok := header["b64"]; ok && b64 != true {
		return fmt.Errorf("%w: a payload that is not encoded is not understood (RFC 7797)", jwt.ErrTokenUnverifiable)
	}
	return nil
}

var encoding = base64.RawURLEncoding.Strict()

// Payload decodes the payload of a token that has passed CheckForm. It is a string, so that what is read from it needs no copy.
func Payload(token string) (string, error) {
	var buf [1024]byte
	text := token[strings.IndexByte(token, '.')+1 : strings.LastIndexByte(token, '.')]
	data, err := encoding.AppendDecode(buf[:0], []byte(text))
	if err != nil {
		return "", fmt.Errorf("%w: %w", jwt.ErrTokenMalformed, err)
	}
	return string(data), nil
}

// MediaType brings a typ to the form in which two are compared (RFC 7515 §4.1.9).
func MediaType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

// LogoutType is the typ of logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.4).
const LogoutType = "logout+jwt"

// IsOtherKind reports whether a typ, brought to its form by MediaType, says that a token is of a kind of its own, and so no access
// token: those are typed as "at+jwt" (RFC 9068 §2.1), as "JWT", or in some way of the issuer's. A kind that must not be
// taken for another is given such a name (RFC 8725 §3.11), as logout tokens and security events are.
func IsOtherKind(mediaType string) bool {
	return strings.HasSuffix(mediaType, "+jwt") && mediaType != "at+jwt"
}

// IsOutage reports whether an error says nothing about the token, because whoever was asked did not answer.
func IsOutage(err error) bool {
	var network net.Error
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network)
}
