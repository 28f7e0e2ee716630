package session

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/absent"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// Keys returns the keys as they stand: the first one that can sign signs, all of them
// verify. It is asked at each use, from several goroutines, so keys change without a
// restart, and it must not block for long. To change the key that signs, let all verify by
// the new one for longer than verifiers keep a JWK Set, then put it first, and drop the old
// one when the sessions that it signed are over. The caller does not change what it has
// returned.
type Keys func(ctx context.Context) ([]Key, error)

// StaticKeys returns keys that do not change.
func StaticKeys(keys ...Key) Keys {
	keys = slices.Clone(keys)
	return func(context.Context) ([]Key, error) { return keys, nil }
}

// Key is a key by its kid. Private and Public are of one pair: tokens that do not verify by Public
// are not handed out.
type Key struct {
	ID      string            // kid, unique among the keys
	Method  jwt.SigningMethod // a token with this kid and another alg is refused
	Private any               // as Method wants it, or a Signer; nil where the key only verifies
	Public  any               // as Method wants it; nil: derived from a Private that is no Signer
}

// Signer signs with a key that is kept elsewhere, such as in a KMS. The signature is as JWS
// has it (RFC 7518 §3): for ECDSA r and s side by side, not ASN.1. An error makes the call
// fail, and leaves the session as it is. So does a signature that Public does not verify. A
// refresh waits for a twelfth of the grace at most, for all that it signs. It may be called
// from several goroutines.
type Signer interface {
	Sign(ctx context.Context, signingString []byte) (signature []byte, err error)
}

// PublicKey is a key that verifies.
type PublicKey struct {
	ID        string // kid
	Algorithm string // alg
	Key       any    // *ecdsa.PublicKey, *rsa.PublicKey or ed25519.PublicKey
}

// keysTimeout bounds a look for the key of a token where no context of a caller does.
const keysTimeout = 5 * time.Second

// PublicKeys returns the keys by which the tokens verify, for a JWK Set. Secrets of HMAC
// are not among them. The error matches revoke.ErrUnavailable.
func (s *Sessions) PublicKeys(ctx context.Context) ([]PublicKey, error) {
	keys, err := s.current(ctx)
	if err != nil {
		return nil, fmt.Errorf("session: PublicKeys: %w: %w", revoke.ErrUnavailable, plain(err))
	}
	public := make([]PublicKey, 0, len(keys))
	for _, key := range keys {
		if _, secret := key.Public.([]byte); secret {
			continue
		}
		public = append(public, PublicKey{ID: key.ID, Algorithm: key.Method.Alg(), Key: key.Public})
	}
	return public, nil
}

// current returns the keys, each with its public part. A key that cannot be used is an error: it
// would sign tokens that no validator accepts.
func (s *Sessions) current(ctx context.Context) ([]Key, error) {
	keys, err := s.keys(ctx)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("there are no keys")
	}
	checked := slices.Clone(keys)
	for i := range checked {
		if err := checked[i].complete(s.algorithms); err != nil {
			return nil, fmt.Errorf("key %d of %d: %w", i+1, len(keys), err)
		}
		for _, other := range checked[:i] {
			if other.ID == checked[i].ID {
				return nil, fmt.Errorf("key %d of %d has the ID of another one", i+1, len(keys))
			}
		}
	}
	return checked, nil
}

// complete derives the public part of the key, and reports what is wrong with the key.
func (k *Key) complete(algorithms []string) error {
	if err := strictjwt.CheckID("its ID", k.ID); err != nil {
		return err
	}
	if absent.Is(k.Method) {
		return errors.New("it has no Method")
	}
	if !slices.Contains(algorithms, k.Method.Alg()) {
		return fmt.Errorf("its algorithm %s is none of %q: see WithAlgorithms", k.Method.Alg(), algorithms)
	}
	derived, err := k.derived()
	if err != nil {
		return err
	}
	given := k.Public
	if given == nil {
		k.Public = derived
	}
	if err := strictjwt.CheckKey(k.Method, k.Public); err != nil {
		return fmt.Errorf("its Public cannot be used: %w", err)
	}
	// Tokens that no validator accepts would sign out every user who refreshes.
	if given == nil || derived == nil {
		return nil
	}
	if err := strictjwt.CheckKey(k.Method, derived); err != nil {
		return fmt.Errorf("its Private cannot be used: %w", err)
	}
	if !isSame(derived, given) {
		return errors.New("its Public is not that of its Private")
	}
	return nil
}

// derived returns the public part of Private, nil where there is no Private, or none to derive it
// from.
func (k *Key) derived() (any, error) {
	if k.Private != nil && absent.Is(k.Private) {
		return nil, fmt.Errorf("its Private is a nil %T", k.Private)
	}
	switch private := k.Private.(type) {
	case []byte:
		return private, nil
	case ed25519.PrivateKey:
		if len(private) != ed25519.PrivateKeySize {
			return nil, fmt.Errorf("its Private is an ed25519.PrivateKey of %d bytes, not %d", len(private), ed25519.PrivateKeySize)
		}
		return private.Public(), nil
	case crypto.Signer:
		return private.Public(), nil
	}
	return nil, nil //nolint:nilnil // a Signer, or a key that only verifies
}

// isSame reports whether two public keys, or two secrets, are equal.
func isSame(derived, given any) bool {
	if secret, ok := derived.([]byte); ok {
		other, ok := given.([]byte)
		return ok && hmac.Equal(secret, other)
	}
	key, ok := derived.(interface {
		Equal(other crypto.PublicKey) bool
	})
	return ok && key.Equal(given)
}

// keyfunc returns the function by which golang-jwt finds the key of a token, which waits for the
// keys for so long at most.
func (s *Sessions) keyfunc(limit time.Duration) jwt.Keyfunc {
	return func(token *jwt.Token) (any, error) { return s.key(token, limit) }
}

// key returns the key of a token. An outage of the source is the server's fault, and an unknown kid
// is the token's.
func (s *Sessions) key(token *jwt.Token, limit time.Duration) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	keys, err := s.current(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", revoke.ErrUnavailable, plain(err))
	}
	id, _ := token.Header["kid"].(string)
	for _, key := range keys {
		switch {
		case key.ID != id:
		case key.Method.Alg() != token.Method.Alg():
			return nil, errors.New("the key of this kid is of another algorithm")
		default:
			return key.Public, nil
		}
	}
	return nil, errors.New("no key has this kid")
}

// signing returns the key that signs.
func (s *Sessions) signing(ctx context.Context) (Key, error) {
	keys, err := s.current(ctx)
	if err != nil {
		return Key{}, fmt.Errorf("the keys: %w", err)
	}
	for _, key := range keys {
		if key.Private != nil {
			return key, nil
		}
	}
	return Key{}, errors.New("the keys: none of them can sign")
}

// sign signs claims as a token of this typ.
func (k Key) sign(ctx context.Context, typ string, claims jwt.Claims) (string, error) {
	token := jwt.NewWithClaims(k.Method, claims)
	token.Header["typ"], token.Header["kid"] = typ, k.ID
	signer, ok := k.Private.(Signer)
	if !ok {
		return token.SignedString(k.Private)
	}
	text, err := token.SigningString()
	if err != nil {
		return "", err
	}
	signature, err := signer.Sign(ctx, []byte(text))
	if err != nil {
		return "", err
	}
	if err := strictjwt.CheckSignature(k.Method, text, signature, k.Public); err != nil {
		return "", fmt.Errorf("the Signer's signature does not verify by Public: %w", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
