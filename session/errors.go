package session

import (
	"time"

	"github.com/pgrevoke/revoke"
)

// Reason says why a refresh failed.
type Reason string

// The reasons. The first five prove that the session is over.
const (
	Replayed    Reason = "replayed"    // an older refresh token was presented: the session has been ended
	Ended       Reason = "ended"       // signed out
	Idle        Reason = "idle"        // not refreshed for longer than the idle timeout
	Over        Reason = "over"        // past its absolute end
	Revoked     Reason = "revoked"     // the user or the issuer was revoked: see RefreshError.Scope
	Unknown     Reason = "unknown"     // no such session
	Invalid     Reason = "invalid"     // no refresh token of this issuer, or another client's
	Unavailable Reason = "unavailable" // not known; the client tries again
)

// RefreshError is why a refresh failed. It matches revoke.ErrRevoked (Replayed, Ended, Idle, Over,
// Revoked), revoke.ErrInvalidToken (Unknown, Invalid) or revoke.ErrUnavailable.
type RefreshError struct {
	Reason      Reason
	Scope       revoke.Scope   // of Revoked
	Session     revoke.Session // empty where the token is not verified
	User        revoke.User    // empty where the token is not verified
	Client      string
	Presented   int64     // the generation of the refresh token; 0 where it is not verified
	Current     int64     // the generation of the session; 0 where it is not known
	RefreshedAt time.Time // of the last rotation; zero where there was none, or it is not known
	At          time.Time // the database's clock; zero where it was not asked

	cause error
}

// Error says why.
func (e *RefreshError) Error() string {
	text := "session: Refresh: " + string(e.Reason)
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *RefreshError) Unwrap() error { return e.cause }

// Is reports whether target is the sentinel of package revoke that the reason stands for.
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

// IsOver reports whether the session is proven to be over, so that a handler may clear its cookie.
func (e *RefreshError) IsOver() bool {
	switch e.Reason {
	case Replayed, Ended, Idle, Over, Revoked:
		return true
	default:
		return false
	}
}
