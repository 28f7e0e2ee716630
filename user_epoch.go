package revoke

import (
	"bytes"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Epochs are the instants before which a user's tokens, and all tokens of the issuer, are
// refused: by the store's clock, in whole microseconds since 1970. Zero stands for "never
// revoked".
//
// Two rules read them.
//
// The iat rule, for any token. A token counts as stamped at iat - a, where a is the most by which
// stamps of its issuer may be ahead of the true time (Token.IssuerSkew, [WithIssuerSkew]). It is
// refused if and only if iat - a lies before either epoch. It is ErrInvalidToken while iat - a
// lies ahead of the store's clock.
//
// Proof: a token that was accepted at t has iat - a <= t, by the store's clock. A revocation made
// after that, in either scope, has E > t: refused. Nothing is assumed of the issuer's clock, of
// the validator's, or of a. Where a is right, a token that was stamped at s has iat - a <= s, so
// a later revocation refuses it also if it had not been presented before.
//
// The price: a token of a new sign-in within a - d + 1 s of the revocation is refused for its
// whole life, and the user signs in once more; d is by how much the issuer's stamps really are
// ahead. An issuer that is ahead by more than a has its tokens refused for the first d - a.
//
// An iat has whole seconds, so doubt refuses: with a = 0, a token stamped in the second of a
// revocation is refused, whichever came first. A token that replaces it takes its iat from
// IssueTime. Proof: that stamp is floor(s) where s is the clock then, and floor(s) >= E:
// accepted.
//
// The iat rule does not see: a token stamped between RevokeUser and its COMMIT, a login that
// checked the old password and was stamped after the commit, a database clock that was set back.
//
// The claim rule, exact, for tokens of your own: the token carries the epochs that were read in
// the snapshot that read the credentials, or before it. It is refused if and only if either of
// its epochs is less than the one that stands. Proof: in each row an epoch only ever grows. An
// epoch that was read before a revocation committed is less than the new epoch: refused. An
// epoch that was read after it is at least that: accepted, by every validator, since none knows
// a greater one. Each epoch is compared with its own row; a single greatest of both would let a
// revocation of one scope hide an earlier one of the other that commits later. No clock takes
// part, so nothing waits. An epoch that is ahead of the store's clock and of the one that stands
// is ErrInvalidToken: it comes from a revocation that was rolled back, or lost in a failover, and
// would outlive a later one. Sign the token within an hour of reading them.
type Epochs struct {
	User   int64
	Issuer int64
}

// MarshalJSON writes the pair [user, issuer], the form of the epoch claim.
func (e Epochs) MarshalJSON() ([]byte, error) { return json.Marshal([2]int64{e.User, e.Issuer}) }

// UnmarshalJSON reads the pair [user, issuer], both whole numbers and not negative, and refuses
// anything else.
func (e *Epochs) UnmarshalJSON(data []byte) error {
	inner, opened := bytes.CutPrefix(bytes.TrimSpace(data), []byte("["))
	inner, closed := bytes.CutSuffix(inner, []byte("]"))
	user, issuer, pair := bytes.Cut(inner, []byte(","))
	u, errUser := strconv.ParseUint(string(bytes.TrimSpace(user)), 10, 63)
	i, errIssuer := strconv.ParseUint(string(bytes.TrimSpace(issuer)), 10, 63)
	if !opened || !closed || !pair || errUser != nil || errIssuer != nil {
		return errors.New("revoke: an epoch claim is a pair of whole numbers, [user, issuer], and neither is negative")
	}
	*e = Epochs{User: int64(u), Issuer: int64(i)}
	return nil
}

// Scan reads what the function epochs of the schema returns, by pgx and by database/sql, so
// that one statement of the app's reads a user's row and epochs in one snapshot:
//
//	SELECT id, password_hash, revoke.epochs($1, id::text) FROM accounts WHERE email = $2
//
// Null is an error: no epochs are not epochs of 0.
func (e *Epochs) Scan(value any) error {
	switch value := value.(type) {
	case string:
		return e.UnmarshalJSON([]byte(value))
	case []byte:
		return e.UnmarshalJSON(value)
	}
	return fmt.Errorf("revoke: Epochs cannot be read from %T: select what the function epochs of the schema returns", value)
}

// Value returns the epochs as Scan reads them. GORM reads only types that have it.
func (e Epochs) Value() (driver.Value, error) {
	text, err := e.MarshalJSON()
	return string(text), err
}
