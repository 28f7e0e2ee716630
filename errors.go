package revoke

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// The three ways in which a token is not accepted. Every error of [Checker.Check] and of [Validator.Validate] matches
// exactly one of them under [errors.Is]; nil is the only answer that means "accept".
var (
	// ErrRevoked says that the token was revoked: itself, or with its session, its user or its issuer. The error is a
	// [*RevokedError]. An HTTP service answers 401.
	ErrRevoked = errors.New("revoked")

	// ErrInvalidToken says that the token is not one that this verifier can accept, whatever has been revoked: forged,
	// expired, malformed, or without what a revocation would need to find it. golang-jwt's own sentinels, such as
	// jwt.ErrTokenExpired, match as well where they apply. An HTTP service answers 401.
	ErrInvalidToken = errors.New("invalid token")

	// ErrUnavailable says that nobody could tell: the database, or the source of the keys, did not answer, or a standby
	// did. It carries the cause. The token must be refused, and an HTTP service answers 503. A write that fails with it
	// may or may not have happened, and can be repeated; a missing table or right is no less "unavailable", and stays so.
	ErrUnavailable = errors.New("revocation state unavailable")
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

// width orders scopes from the narrowest to the widest.
func (s Scope) width() int {
	return slices.Index([]Scope{ScopeToken, ScopeSession, ScopeUser, ScopeIssuer}, s)
}

// RevokedError tells what was revoked, and when. It matches [ErrRevoked].
type RevokedError struct {
	// Scope is what was revoked. Where several scopes were, it is the narrowest.
	Scope Scope
	// Since is the time of the revocation by the store's clock. For a user and an issuer it is the instant before
	// which their tokens are dead. It may be zero where a store answers from memory.
	Since time.Time
}

// Error names the scope and the time, and nothing of the token.
func (e *RevokedError) Error() string {
	if e.Since.IsZero() {
		return fmt.Sprintf("revoke: %s revoked", e.Scope)
	}
	return fmt.Sprintf("revoke: %s revoked at %s", e.Scope, e.Since.UTC().Format(time.RFC3339Nano))
}

// Is reports whether target is [ErrRevoked].
func (e *RevokedError) Is(target error) bool { return target == ErrRevoked }
