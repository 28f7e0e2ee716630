package revoke

import (
	"errors"
	"fmt"
	"time"
)

// The three ways in which a token is not accepted. Every error of [Checker.Check] and of
// [Validator.Validate] matches exactly one of them under [errors.Is]; nil is the only answer
// that means "accept".
var (
	// ErrRevoked says that the token was revoked: itself, or with its session, its user or its
	// issuer. The error is a [*RevokedError]. An HTTP service answers 401.
	ErrRevoked = errors.New("revoked")

	// ErrInvalidToken says that this verifier cannot accept the token, even if nothing has been
	// revoked: it is forged, expired or malformed, or lacks what a revocation would need to
	// find it. golang-jwt's own sentinels, such as jwt.ErrTokenExpired, match as well where
	// they apply. An HTTP service answers 401.
	ErrInvalidToken = errors.New("invalid token")

	// ErrUnavailable says that the answer is not known: the database or the source of the keys
	// did not answer, or a standby did. The error carries the cause. The token must be refused,
	// and an HTTP service answers 503. A write that fails with ErrUnavailable may or may not
	// have happened, and can be repeated. A missing table or privilege is reported as
	// ErrUnavailable too; repeating the call does not help then.
	ErrUnavailable = errors.New("revocation state unavailable")
)

// RevokedError tells what was revoked, and when. It matches [ErrRevoked].
type RevokedError struct {
	// Scope is what was revoked. Where several scopes were, it is the narrowest.
	Scope Scope
	// Since is the time of the revocation by the store's clock. For a user and an issuer it is
	// the instant before which their tokens are refused. It is zero for a token or a session
	// where a mirror answers from memory.
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
