package revoke

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
)

// Epochs are the instants before which a user's tokens, and all tokens of the issuer, are
// refused: by the store's clock, in whole microseconds since 1970. Zero stands for "never
// revoked".
//
// Two rules read them.
//
// The iat rule, for any token: it is refused if and only if its iat lies before either epoch.
// An iat has whole seconds, so doubt refuses: a token stamped in the second of a revocation is
// refused, whichever came first, and a token that replaces it must take its iat from IssueTime.
// Proof: a stamp is floor(s), where s is the clock then. A later revocation in any scope has E
// > s >= floor(s): refused. A stamp that IssueTime returns after it has floor(s) >= E:
// accepted.
//
// The iat rule does not see: a token stamped between RevokeUser and its COMMIT, a login that
// checked the old password and was stamped after the commit, an issuer with a clock that is
// ahead, a database clock that was set back.
//
// The claim rule, exact, for tokens of your own: the token carries the epochs that were read in
// the snapshot that read the credentials, or before it. It is refused if and only if either of
// its epochs is less than the one that stands. Proof: in each row an epoch only ever grows. An
// epoch that was read before a revocation committed is less than the new epoch: refused. An
// epoch that was read after it is at least that: accepted, by every validator, since none knows
// a greater one. Each epoch is compared with its own row; a single greatest of both would let a
// revocation of one scope hide an earlier one of the other that commits later. No clock takes
// part, so nothing waits. Sign the token within an hour of reading them.
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
