package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/pgrevoke/revoke"
)

// ErrNotFound says that the user has no such session: there is none of this id, or it is another
// user's.
var ErrNotFound = errors.New("the user has no such session")

// Reason says why a refresh failed.
type Reason string

// The reasons. The first five prove that the session is over: see [RefreshError.IsOver].
const (
	Replayed    Reason = "replayed"    // a refresh token was used again, which ended the session
	Ended       Reason = "ended"       // the session was signed out, or ended by a replay before
	Idle        Reason = "idle"        // it was not refreshed for longer than WithIdleTimeout
	Over        Reason = "over"        // it is past its absolute end: see WithAbsoluteLifetime
	Revoked     Reason = "revoked"     // its user or its issuer was revoked: see RefreshError.Scope
	Unknown     Reason = "unknown"     // there is no such session
	Invalid     Reason = "invalid"     // no refresh token of this issuer for this client
	Unavailable Reason = "unavailable" // not known; the client tries again with the same token
)

// RefreshError is why a refresh failed. It matches revoke.ErrRevoked where the reason is Replayed,
// Ended, Idle, Over or Revoked, revoke.ErrInvalidToken where it is Unknown or Invalid, and
// revoke.ErrUnavailable otherwise. Its text contains nothing of the token.
type RefreshError struct {
	Reason      Reason
	Scope       revoke.Scope   // of Revoked: ScopeUser or ScopeIssuer
	Session     revoke.Session // empty where the token was not verified
	User        revoke.User    // empty where the token was not verified
	Client      string         // as the token names it
	Presented   int64          // the generation of the refresh token; 0 where it was not verified
	Current     int64          // the generation of the session; 0 where it is not known
	RefreshedAt time.Time      // of the last rotation; zero where none is known
	At          time.Time      // the database's clock; zero where it is not known

	operation string
	cause     error
}

// Error names the reason and its cause.
func (e *RefreshError) Error() string {
	text := fmt.Sprintf("session: %s: %s", e.operation, e.Reason)
	if e.Reason == Revoked {
		text = fmt.Sprintf("session: %s: %s revoked", e.operation, e.Scope)
	}
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Unwrap returns the cause, nil where there is none.
func (e *RefreshError) Unwrap() error { return e.cause }

// Is reports whether target is the sentinel of package revoke for the reason.
func (e *RefreshError) Is(target error) bool {
	switch e.Reason {
	case Replayed, Ended, Idle, Over, Revoked:
		return target == revoke.ErrRevoked
	case Unknown, Invalid:
		return target == revoke.ErrInvalidToken
	default:
		return target == revoke.ErrUnavailable
	}
}

// IsOver reports whether the session is proven to be over. Only then may a handler clear the cookie
// of the refresh token: after any other error the token may still be good.
func (e *RefreshError) IsOver() bool { return e.Is(revoke.ErrRevoked) }

// plain keeps a cause from matching a sentinel of package revoke: an error matches one of
// them, by its reason.
func plain(cause error) error {
	if cause == nil {
		return nil
	}
	return plainError{cause}
}

type plainError struct{ cause error }

func (e plainError) Error() string { return e.cause.Error() }

// Is reports whether the cause matches target, unless that is a sentinel of package revoke.
// There is no Unwrap, because it would hand them out.
func (e plainError) Is(target error) bool {
	return target != revoke.ErrRevoked && target != revoke.ErrInvalidToken && target != revoke.ErrUnavailable && errors.Is(e.cause, target)
}

// As finds the errors of the cause, but those that match a sentinel by themselves.
func (e plainError) As(target any) bool {
	switch target.(type) {
	case **revoke.RevokedError, **RefreshError:
		return false
	}
	return errors.As(e.cause, target)
}
