package revoke

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/pgrevoke/revoke/internal/oneline"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// Scope says what was revoked.
type Scope string

// The scopes of a revocation, from the narrowest to the widest.
const (
	ScopeToken   Scope = "token"   // this token, by issuer and jti
	ScopeSession Scope = "session" // every token of its session, by issuer and sid
	ScopeUser    Scope = "user"    // every earlier token of its user, by issuer and sub
	ScopeIssuer  Scope = "issuer"  // every earlier token of its issuer
)

// scopeCount is the number of scopes.
const scopeCount = 4

// scopes describes each scope once, from the narrowest to the widest. Keys, columns, answers,
// verdicts and what a validator reads of a token follow from it.
var scopes = [scopeCount]struct {
	name Scope
	// idName names the id in errors; empty for a scope that is found by its issuer alone.
	idName string
	// claim names the claim that holds the id.
	claim string
	// id is what a token says of the scope; empty where the token says nothing.
	id func(Token) string
	// read takes the id from a token's claims.
	read func(*Token, *strictjwt.Claims)
	// epoch says what a row means: true, that tokens stamped before its since are revoked;
	// false, that all of them are.
	epoch bool
	// stamp is the token's instant that an epoch is compared with, by the claim rule.
	stamp func(Epochs) int64
}{
	{
		name: ScopeToken, idName: "id", claim: "jti",
		id:   func(t Token) string { return t.ID },
		read: func(t *Token, c *strictjwt.Claims) { t.ID = c.ID },
	},
	{
		name: ScopeSession, idName: "session", claim: "sid",
		id:   func(t Token) string { return t.SessionID },
		read: func(t *Token, c *strictjwt.Claims) { t.SessionID = c.Session },
	},
	{
		name: ScopeUser, idName: "subject", claim: "sub",
		id:    func(t Token) string { return t.Subject },
		read:  func(t *Token, c *strictjwt.Claims) { t.Subject = c.Subject },
		epoch: true,
		stamp: func(e Epochs) int64 { return e.User },
	},
	{
		name:  ScopeIssuer,
		read:  func(*Token, *strictjwt.Claims) {}, // the issuer is the validator's
		epoch: true,
		stamp: func(e Epochs) int64 { return e.Issuer },
	},
}

// index returns the place of the scope among scopes, -1 for one that is not known.
func (s Scope) index() int {
	for i := range scopes {
		if scopes[i].name == s {
			return i
		}
	}
	return -1
}

// IsEpoch reports whether a revocation of this scope spares tokens that were issued after it:
// that of a user or an issuer. It is false for an unknown scope.
func (s Scope) IsEpoch() bool {
	i := s.index()
	return i >= 0 && scopes[i].epoch
}

// Key is what a row is found by: the first 16 bytes of SHA-256 over the scope and the
// length-prefixed issuer and id, which is empty for an issuer. The lengths keep ("a", "bc") and
// ("ab", "c") apart. The function row_key in the schema computes the same. It is for
// implementations of [Store].
func (s Scope) Key(issuer, id string) [16]byte {
	var buf [256]byte
	b := buf[:0]
	for _, part := range [...]string{string(s), issuer, id} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

// Revocation returns the record of a revocation in this scope, with reason and actor from opts,
// and without times. id is the jti, the sid or the sub, and empty for an issuer. The error
// names what is wrong. It is for implementations of [Store].
func (s Scope) Revocation(issuer, id string, opts ...RevokeOption) (Revocation, error) {
	r, err := noted(opts)
	if err != nil {
		return Revocation{}, err
	}
	if err := s.checkNames(issuer, id); err != nil {
		return Revocation{}, err
	}
	return Revocation{Scope: s, Issuer: issuer, ID: id, Reason: r.Reason, Actor: r.Actor}, nil
}

// noted returns what options note, which is a reason and an actor.
func noted(opts []RevokeOption) (r Revocation, err error) {
	for _, opt := range opts {
		if opt == nil {
			return Revocation{}, errors.New("a RevokeOption is nil")
		}
		if err := opt(&r); err != nil {
			return Revocation{}, err
		}
	}
	return r, nil
}

// checkNames reports what is wrong with an issuer and an id. The error of a token matches
// ErrInvalidToken.
func (s Scope) checkNames(issuer, id string) error {
	i := s.index()
	if i < 0 {
		return fmt.Errorf("scope %q is none of %q", string(s), scopeNames())
	}
	causes := []error{checkName("issuer", "iss", issuer)}
	switch {
	case scopes[i].idName != "":
		causes = append(causes, checkName(scopes[i].idName, scopes[i].claim, id))
	case id != "":
		causes = append(causes, fmt.Errorf("a revocation of scope %q has no id", string(s)))
	}
	err := oneline.Join(causes...)
	if s == ScopeToken {
		return invalidToken(err)
	}
	return err
}

// checkName reports what is wrong with a name that a revocation is kept under.
func checkName(name, claim, id string) error {
	if err := strictjwt.CheckNotToken(name, claim, id); err != nil {
		return err // which says more than that the text is too long
	}
	return strictjwt.CheckID(name, id)
}

// scopeNames returns the names of all scopes, the narrowest first.
func scopeNames() []string {
	names := make([]string, scopeCount)
	for i := range scopes {
		names[i] = string(scopes[i].name)
	}
	return names
}

// rowKeys are the keys of a token without those of scopes of which the token says nothing.
func rowKeys(keys [scopeCount][16]byte) [][16]byte {
	present := make([][16]byte, 0, scopeCount)
	for _, key := range keys {
		if key != ([16]byte{}) {
			present = append(present, key)
		}
	}
	return present
}

// maxTime is the last instant that is stored.
var maxTime = time.Unix(strictjwt.MaxTime, 0)

// isStorable reports whether a time lies between 1970 and the end of 9999.
func isStorable(t time.Time) bool { return t.Unix() >= 0 && !t.After(maxTime) }

// Both packages limit identifiers to the same length.
var _ = [1]struct{}{}[MaxIDLength-strictjwt.MaxIDLength]
