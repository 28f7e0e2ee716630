package revoke

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgrevoke/revoke/internal/strict"
)

// key is what a row is found by: the first 16 bytes of SHA-256 over the kind and the length-prefixed issuer and id. The
// lengths keep ("a", "bc") and ("ab", "c") apart. The function row_key in the schema computes the same.
type key [16]byte

func newKey(kind Scope, issuer, id string) key {
	var buf [256]byte
	b := buf[:0]
	for _, s := range [...]string{string(kind), issuer, id} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	sum := sha256.Sum256(b)
	return key(sum[:16])
}

// uuid is the key as a type that pgx can encode in every query mode.
func (k key) uuid() pgtype.UUID { return pgtype.UUID{Bytes: k, Valid: true} }

func (t Token) key() key   { return newKey(ScopeToken, t.Issuer, t.ID) }
func (s Session) key() key { return newKey(ScopeSession, s.Issuer, s.ID) }
func (u User) key() key    { return newKey(ScopeUser, u.Issuer, u.Subject) }
func issuerKey(issuer string) key {
	return newKey(ScopeIssuer, issuer, "")
}

// maxTime is the last instant that is stored.
var maxTime = time.Unix(strict.MaxTime, 0)

// Both are what the reader of tokens and the writer of rows hold a name to.
var _ = [1]struct{}{}[MaxIDLength-strict.MaxIDLength]

// isStorable reports whether a time lies between 1970 and the end of 9999.
func isStorable(t time.Time) bool { return t.Unix() >= 0 && !t.After(maxTime) }

// ValidateRevocation reports whether the token can be revoked: by Issuer and ID, with an ExpiresAt that is zero or that
// a database can store. The error matches ErrInvalidToken. It is for implementations of [Revoker].
func (t Token) ValidateRevocation() error {
	err := errors.Join(strict.CheckID("issuer", t.Issuer), strict.CheckID("id", t.ID))
	if !t.ExpiresAt.IsZero() && !isStorable(t.ExpiresAt) {
		err = errors.Join(err, errors.New("expiry lies before 1970 or after 9999"))
	}
	return invalidToken(err)
}

// ValidateCheck reports whether the token has what a check needs; see [Checker]. The error matches ErrInvalidToken. It
// is for implementations of Checker.
func (t Token) ValidateCheck() error {
	if t.ID == "" && t.SessionID == "" && t.Subject == "" {
		return invalidToken(errors.New("it has neither id nor session nor subject"))
	}
	if err := strict.CheckID("issuer", t.Issuer); err != nil {
		return invalidToken(err)
	}
	for _, id := range [...]struct{ name, value string }{{"id", t.ID}, {"session", t.SessionID}, {"subject", t.Subject}} {
		if err := strict.CheckText(id.name, id.value); err != nil {
			return invalidToken(err)
		}
	}
	switch {
	case t.IssuedAt.IsZero():
		return invalidToken(errors.New("it has no time of issue"))
	case !isStorable(t.IssuedAt):
		return invalidToken(errors.New("its time of issue lies before 1970 or after 9999"))
	case t.ExpiresAt.IsZero():
		return invalidToken(errors.New("it has no expiry"))
	case !isStorable(t.ExpiresAt):
		return invalidToken(errors.New("its expiry lies before 1970 or after 9999"))
	}
	return nil
}

// ValidateLifetime reports whether the token can be accepted at the store's time now: not expired for longer than
// MaxLeeway, because its row may have been swept, and not valid for longer than any row is kept. The error matches
// ErrInvalidToken. It is for implementations of Checker.
func (t Token) ValidateLifetime(now time.Time) error {
	switch {
	case t.ExpiresAt.Before(now.Add(-MaxLeeway)):
		return invalidToken(fmt.Errorf("it expired longer than %v ago", MaxLeeway))
	case t.ExpiresAt.After(now.Add(MaxTokenLifetime + MaxLeeway)):
		return invalidToken(fmt.Errorf("it expires more than %v from now", MaxTokenLifetime))
	}
	return nil
}

// ValidateRedeem reports whether the token can still be spent at the store's time now. A token that expired longer ago
// than MaxLeeway cannot, because the row that says it was spent may have been swept; the error matches ErrInvalidToken and
// jwt.ErrTokenExpired. It is for implementations of [Revoker].
func (t Token) ValidateRedeem(now time.Time) error {
	switch {
	case t.ExpiresAt.IsZero():
		return invalidToken(errors.New("it has no expiry"))
	case t.ExpiresAt.Before(now.Add(-MaxLeeway)):
		return invalidToken(fmt.Errorf("%w longer than %v ago", jwt.ErrTokenExpired, MaxLeeway))
	}
	return nil
}

// Validate reports what is wrong with the user's names.
func (u User) Validate() error {
	return errors.Join(strict.CheckID("issuer", u.Issuer), strict.CheckID("subject", u.Subject))
}

// Validate reports what is wrong with the session's names.
func (s Session) Validate() error {
	return errors.Join(strict.CheckID("issuer", s.Issuer), strict.CheckID("session", s.ID))
}

func invalidToken(cause error) error {
	if cause == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrInvalidToken, cause)
}
