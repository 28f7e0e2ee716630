package strictjwt

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"sync/atomic"

	"github.com/golang-jwt/jwt/v5"
)

// Proof is what Read keeps of a verified signature, so that Confirm need not verify it again: the
// key by which it verified, and what the keyfunc is shown. It is not changed once it is made. It
// holds nothing of the token's text.
type Proof struct {
	algorithm string            // as the header names it
	method    jwt.SigningMethod // golang-jwt's own
	header    map[string]any
	nested    bool // the header has members that are arrays or objects
	payload   string
	key       any // a copy
}

// ownMethods are the signing methods of golang-jwt. What another one verifies, and by what, is
// known to the app alone.
var ownMethods = []jwt.SigningMethod{
	jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512,
	jwt.SigningMethodRS256, jwt.SigningMethodRS384, jwt.SigningMethodRS512,
	jwt.SigningMethodPS256, jwt.SigningMethodPS384, jwt.SigningMethodPS512,
	jwt.SigningMethodES256, jwt.SigningMethodES384, jwt.SigningMethodES512,
	jwt.SigningMethodEdDSA,
}

// Confirm is Read of a text that Read has returned with this proof, of the same reader and kind.
// The keyfunc is asked as Read asks it. If it returns the key of the proof, or a set with that
// key, the signature need not be verified again: confirmed is true, and the token is that of the
// earlier call. Otherwise Confirm returns what Read returns for the key or the set.
func (r *Reader) Confirm(text string, kind *Kind, proof *Proof) (token Token, confirmed bool, err error) {
	v := &verification{reader: r}
	if jwt.GetSigningMethod(proof.algorithm) == proof.method {
		v.asked = true
		v.answer, err = r.ask(text, proof.method, proof.header, proof.nested, unverifiedClaims{proof.payload, kind})
		if err != nil {
			return Token{}, false, fmt.Errorf("%w: %w", jwt.ErrTokenUnverifiable, err)
		}
		if proof.isBy(v.answer) {
			return Token{}, true, nil
		}
	}
	token, err = r.read(text, kind, v)
	return token, false, err
}

// isBy reports whether the keyfunc's answer has the key of the proof.
func (p *Proof) isBy(answer any) bool {
	set, ok := answer.(jwt.VerificationKeySet)
	if !ok {
		return sameKey(p.key, answer)
	}
	return slices.ContainsFunc(set.Keys, func(key jwt.VerificationKey) bool { return sameKey(p.key, key) })
}

// Size returns at least how many bytes the proof takes in memory, the token's payload not included.
func (p *Proof) Size() int {
	const own = 128
	size := own + headerSize(p.header)
	switch key := p.key.(type) {
	case []byte:
		size += len(key)
	case ed25519.PublicKey:
		size += len(key)
	case *rsa.PublicKey:
		size += own + key.N.BitLen()/8
	case *ecdsa.PublicKey:
		size += own + key.Curve.Params().BitSize/4
	}
	return size
}

// headerSize returns at least how many bytes a value of a decoded header takes.
func headerSize(value any) int {
	const word, member, object = 16, 64, 512
	switch v := value.(type) {
	case map[string]any:
		size := object
		for name, value := range v {
			size += member + len(name) + headerSize(value)
		}
		return size
	case []any:
		size := 2 * word
		for _, value := range v {
			size += 2*word + headerSize(value)
		}
		return size
	case string:
		return 2*word + len(v)
	}
	return word
}

// shown is a token as the keyfunc gets it. It is made anew at each call, and shares nothing that
// the keyfunc could write to.
type shown struct {
	token  jwt.Token
	claims unverifiedClaims
}

// ask asks the keyfunc. Its error is a *KeyError.
func (r *Reader) ask(text string, method jwt.SigningMethod, header map[string]any, nested bool, claims unverifiedClaims) (any, error) {
	s := &shown{claims: claims}
	s.token = jwt.Token{Raw: text, Method: method, Header: copyHeader(header, nested), Claims: &s.claims}
	key, err := r.keyfunc(&s.token)
	if err != nil {
		return nil, &KeyError{err}
	}
	return key, nil
}

func copyHeader(header map[string]any, nested bool) map[string]any {
	header = maps.Clone(header)
	if nested {
		for name, value := range header {
			header[name] = copyMember(value)
		}
	}
	return header
}

// copyMember copies a value of a decoded header.
func copyMember(value any) any {
	switch v := value.(type) {
	case map[string]any:
		return copyHeader(v, true)
	case []any:
		list := slices.Clone(v)
		for i := range list {
			list[i] = copyMember(list[i])
		}
		return list
	}
	return value
}

// isNested reports whether a header has members that are arrays or objects.
func isNested(header map[string]any) bool {
	for _, value := range header {
		switch value.(type) {
		case map[string]any, []any:
			return true
		}
	}
	return false
}

// verification is one verification of a token.
type verification struct {
	reader  *Reader
	claims  *unverifiedClaims
	asked   bool // the keyfunc has answered before the parser asks
	answer  any
	nested  bool     // as in Proof
	witness *witness // nil where the signing method is not golang-jwt's own
}

// key returns the usable keys for a token that the parser has decoded. The parser has compared
// the algorithm with those that are allowed.
func (v *verification) key(token *jwt.Token) (any, error) {
	method := token.Method
	v.nested = isNested(token.Header)
	if !v.asked {
		var err error
		if v.answer, err = v.reader.ask(token.Raw, method, token.Header, v.nested, *v.claims); err != nil {
			return nil, err
		}
	}
	key, err := v.reader.usable(method, v.answer)
	if err != nil {
		return nil, err
	}
	if pss, ok := method.(*jwt.SigningMethodRSAPSS); ok {
		token.Method = strictPSS(pss)
	}
	if slices.Contains(ownMethods, method) {
		v.witness = &witness{SigningMethod: token.Method, of: method, recent: &v.reader.recent}
		token.Method = v.witness
	}
	return key, nil
}

// proof returns the proof of a signature that has verified, nil where its key cannot be compared
// by value.
func (v *verification) proof(token *Token) *Proof {
	if v.witness == nil || v.witness.key == nil {
		return nil
	}
	algorithm, _ := token.Header["alg"].(string)
	return &Proof{
		algorithm: algorithm, method: v.witness.of, header: token.Header, nested: v.nested, payload: token.Payload, key: v.witness.key,
	}
}

// witness is a signing method that tells by which key a signature verified. It verifies by a copy
// of each key, so that a key that the app changes meanwhile is not taken for the one that
// verified.
type witness struct {
	jwt.SigningMethod
	of     jwt.SigningMethod // what the header names
	recent *recentKeys
	key    any // the copy by which a signature verified, nil where there is none
}

// Verify implements jwt.SigningMethod.
func (w *witness) Verify(text string, signature []byte, key any) error {
	kept, known := w.recent.find(key)
	if !known {
		kept = copyKey(key)
	}
	if kept == nil {
		return w.SigningMethod.Verify(text, signature, key)
	}
	if err := w.SigningMethod.Verify(text, signature, kept); err != nil {
		return err
	}
	if !known {
		w.recent.add(kept)
	}
	w.key = kept
	return nil
}

// recentKeys are copies of the keys that verified last, so that the proofs of many tokens share
// the copy of their key. It may be used from several goroutines.
type recentKeys struct {
	keys atomic.Pointer[[4]any] // the latest first
}

// find returns the copy that equals a key.
func (r *recentKeys) find(key any) (kept any, found bool) {
	keys := r.keys.Load()
	if keys == nil {
		return nil, false
	}
	for _, kept := range keys {
		if sameKey(kept, key) {
			return kept, true
		}
	}
	return nil, false
}

// add adds a copy. Of two that are added at once, one may be lost.
func (r *recentKeys) add(kept any) {
	keys := [...]any{kept, nil, nil, nil}
	if before := r.keys.Load(); before != nil {
		copy(keys[1:], before[:])
	}
	r.keys.Store(&keys)
}

// copyKey copies a key of a type that golang-jwt's own methods take, and returns nil for any
// other.
func copyKey(key any) any {
	switch k := key.(type) {
	case []byte:
		return slices.Clone(k)
	case ed25519.PublicKey:
		return slices.Clone(k)
	case *rsa.PublicKey:
		return &rsa.PublicKey{N: new(big.Int).Set(k.N), E: k.E}
	case *ecdsa.PublicKey:
		return &ecdsa.PublicKey{Curve: k.Curve, X: new(big.Int).Set(k.X), Y: new(big.Int).Set(k.Y)} //nolint:staticcheck // Bytes would check the point at each call
	}
	return nil
}

// sameKey reports whether a copy equals a key that the keyfunc returned, which may be of any type
// and form.
func sameKey(kept, key any) bool {
	switch k := kept.(type) {
	case []byte:
		other, ok := key.([]byte)
		return ok && bytes.Equal(k, other)
	case ed25519.PublicKey:
		other, ok := key.(ed25519.PublicKey)
		return ok && bytes.Equal(k, other)
	case *rsa.PublicKey:
		other, ok := key.(*rsa.PublicKey)
		return ok && other != nil && k.E == other.E && sameNumber(k.N, other.N)
	case *ecdsa.PublicKey:
		other, ok := key.(*ecdsa.PublicKey)
		return ok && other != nil && k.Curve == other.Curve &&
			sameNumber(k.X, other.X) && sameNumber(k.Y, other.Y) //nolint:staticcheck // as in copyKey
	}
	return false
}

func sameNumber(kept, other *big.Int) bool { return other != nil && kept.Cmp(other) == 0 }
