package session

import (
	"context"

	"github.com/golang-jwt/jwt/v5"
)

// Keys returns the keys as they stand: the first one that can sign signs, all of them verify. It is
// asked at each use, so keys change without a restart; it must not block for long.
type Keys func(ctx context.Context) ([]Key, error)

// StaticKeys returns keys that do not change.
func StaticKeys(keys ...Key) Keys {
	return func(context.Context) ([]Key, error) { return keys, nil }
}

// Key is a key by its kid.
type Key struct {
	ID      string            // kid, unique among the keys
	Method  jwt.SigningMethod // a token with this kid and another alg is refused
	Private any               // as Method wants it, or a Signer; nil where the key only verifies
	Public  any               // as Method wants it; nil: derived from Private
}

// Signer signs with a key that is kept elsewhere, such as in a KMS. The signature is as JWS has it
// (RFC 7518 §3).
type Signer interface {
	Sign(ctx context.Context, signingString []byte) (signature []byte, err error)
}

// PublicKey is a key that verifies.
type PublicKey struct {
	ID        string // kid
	Algorithm string // alg
	Key       any    // *ecdsa.PublicKey, *rsa.PublicKey or ed25519.PublicKey
}
