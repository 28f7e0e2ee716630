package revoke

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// Verdict decides for every store alike: whether a token is accepted, whether it can be
// redeemed, and when the next token of a user may be issued. A store asks one of the questions,
// looks up the keys that it gets, tells with [Verdict.Found] which rows there are, all from one
// snapshot, and asks for the answer at its clock. It is for implementations of [Store]. Its
// zero value is ready for a question. It is used by one goroutine.
//
//	var v revoke.Verdict
//	keys, err := v.OfToken(token)
//	if err != nil {
//		return err
//	}
//	for i, key := range keys {
//		if row, ok := rows[key]; ok {
//			v.Found(i, row.Since.UnixMicro())
//		}
//	}
//	return v.Check(now)
type Verdict struct {
	asked
	rows [scopeCount]struct {
		found bool
		since int64 // in microseconds since 1970
	}
}

// asked is what a verdict compares of a token. The token's lifetime allows nil from first to last.
type asked struct {
	first, last time.Time
	stamps      [scopeCount]int64 // see Token.stamp
	hasEpochs   bool              // as in Token
	skew        int64             // of the token's issuer, in microseconds
}

// expires sets first and last from the expiry of a token.
func (a *asked) expires(at time.Time) {
	a.first, a.last = at.Add(-MaxTokenLifetime-MaxLeeway), at.Add(MaxLeeway)
}

// OfToken asks whether the token is accepted. It returns four keys: of the token, its session,
// its user and its issuer. A key that is all zero belongs to a scope of which the token says
// nothing. The error matches ErrInvalidToken where the token lacks what a check needs: see
// [Checker].
func (v *Verdict) OfToken(token Token) (keys [scopeCount][16]byte, err error) {
	*v = Verdict{} // which accepts nothing, and stays so after an error
	if token.ID == "" && token.SessionID == "" && token.Subject == "" {
		return keys, invalidToken(errors.New("the token has neither id nor session nor subject"))
	}
	if err := strictjwt.CheckID("issuer", token.Issuer); err != nil {
		return keys, invalidToken(err)
	}
	switch {
	case token.IssuedAt.IsZero():
		return keys, invalidToken(errors.New("the token has no time of issue"))
	case !isStorable(token.IssuedAt):
		return keys, invalidToken(errors.New("the token's time of issue lies before 1970 or after 9999"))
	case token.ExpiresAt.IsZero():
		return keys, invalidToken(errors.New("the token has no expiry"))
	case !isStorable(token.ExpiresAt):
		return keys, invalidToken(errors.New("the token's expiry lies before 1970 or after 9999"))
	}
	for i := range scopes {
		scope := &scopes[i]
		if scope.idName == "" {
			keys[i] = scope.name.Key(token.Issuer, "")
			continue
		}
		id := scope.id(token) // by value: a pointer would move every Token to the heap
		if err := strictjwt.CheckText(scope.idName, id); err != nil {
			return keys, invalidToken(err)
		}
		if err := strictjwt.CheckNotToken(scope.idName, scope.claim, id); err != nil {
			return keys, invalidToken(err) // it could not be revoked
		}
		if id != "" {
			keys[i] = scope.name.Key(token.Issuer, id)
		}
	}
	skew, err := token.issuerSkew()
	if err != nil {
		return keys, invalidToken(err)
	}
	v.hasEpochs, v.skew = token.HasEpochs, skew.Microseconds()
	v.expires(token.ExpiresAt)
	for i := range v.stamps {
		v.stamps[i] = token.stamp(i, v.skew)
	}
	return keys, nil
}

// OfVerified is OfToken of a token that a [Validator] has verified. It takes the keys that the
// validator has computed already. Where Token was edited since, or no validator made the
// Verified, OfVerified computes them.
func (v *Verdict) OfVerified(verified *Verified) (keys [4][16]byte, err error) {
	if f := verified.facts; f != nil && f.keyed && f.token == verified.Token {
		*v = Verdict{asked: f.asked}
		return f.keys, nil
	}
	return v.OfToken(verified.Token)
}

// OfUser asks for the epochs of a user, and when the user's next token may be issued. Only the
// keys of the user and of the issuer are not zero. The error says what is wrong with the user's
// names.
func (v *Verdict) OfUser(user User) (keys [scopeCount][16]byte, err error) {
	*v = Verdict{}
	if err := ScopeUser.checkNames(user.Issuer, user.Subject); err != nil {
		return keys, err
	}
	keys[ScopeUser.index()] = ScopeUser.Key(user.Issuer, user.Subject)
	keys[ScopeIssuer.index()] = ScopeIssuer.Key(user.Issuer, "")
	return keys, nil
}

// OfRedemption asks whether a token can be redeemed. Only the token's own key is not zero. The
// error matches ErrInvalidToken where issuer, id or expiry are missing or cannot be stored.
func (v *Verdict) OfRedemption(token Token) (keys [scopeCount][16]byte, err error) {
	*v = Verdict{}
	if err := token.checkRevocation(); err != nil {
		return keys, err
	}
	if token.ExpiresAt.IsZero() {
		return keys, invalidToken(errors.New("the token has no expiry"))
	}
	v.expires(token.ExpiresAt)
	keys[ScopeToken.index()] = ScopeToken.Key(token.Issuer, token.ID)
	return keys, nil
}

// Found says that there is a row for the key at place i, and its since in microseconds since
// 1970. Since may be zero where the store does not know when a token or a session was revoked.
func (v *Verdict) Found(i int, since int64) {
	v.rows[i].found, v.rows[i].since = true, since
}

// Check answers OfToken at the store's clock: nil, or an error that matches ErrRevoked or
// ErrInvalidToken. The narrowest scope that was revoked comes first. Then comes the lifetime: a
// token is refused that expired longer ago than MaxLeeway, because its row may have been swept,
// and one that is valid for longer than any row is kept. Last comes a token that is ahead, see
// [Verdict.Ahead].
func (v *Verdict) Check(now time.Time) error {
	for i := range v.rows {
		if v.Refuses(i) {
			return v.revoked(i)
		}
	}
	switch {
	case now.After(v.last):
		return invalidToken(fmt.Errorf("the token expired longer than %v ago", MaxLeeway))
	case now.Before(v.first):
		return invalidToken(fmt.Errorf("the token expires more than %s from now", strictjwt.Days(MaxTokenLifetime)))
	case !v.Ahead(now):
		return nil
	case v.hasEpochs:
		return invalidToken(fmt.Errorf("claim %q lies ahead of the store's clock and of the epochs that stand", strictjwt.EpochClaim))
	}
	return invalidToken(fmt.Errorf("%w: its iat is more than %v ahead of the store's clock",
		jwt.ErrTokenUsedBeforeIssued, time.Duration(v.skew)*time.Microsecond))
}

// Refuses reports whether the row at place i revokes the token: any row of a token or a session
// does, and one of a user or an issuer does where the token's stamp lies before its since.
func (v *Verdict) Refuses(i int) bool {
	return v.rows[i].found && (!scopes[i].epoch || v.stamps[i] < v.rows[i].since)
}

// Ahead reports whether the token's stamp lies ahead of a clock, so that a revocation made at
// that clock might not refuse it. The stamp is iat less the skew of the issuer, and may not be
// later than the clock. Under the claim rule there is one for the user and one for the issuer,
// and each may also be as late as the epoch that stands in its row.
//
// A token that is not ahead of a clock is not ahead of a later one. So a store that knows its
// clock only from below may accept a token that is not ahead of the lower bound. It may not
// refuse one that is.
func (v *Verdict) Ahead(clock time.Time) bool {
	now := clock.UnixMicro()
	for i := range v.stamps {
		last := now
		if v.hasEpochs && v.rows[i].found {
			last = max(last, v.rows[i].since)
		}
		if v.stamps[i] > last {
			return true
		}
	}
	return false
}

// stamp is the instant, in microseconds since 1970, with which the epoch at place i is compared. It
// is in the far past for a scope that has no epochs: no clock lies before that.
func (t *Token) stamp(i int, skew int64) int64 {
	switch {
	case !scopes[i].epoch:
		return math.MinInt64
	case t.HasEpochs:
		return scopes[i].stamp(t.Epochs)
	}
	return t.IssuedAt.Unix()*1e6 - skew
}

func (v *Verdict) revoked(i int) error {
	revoked := &RevokedError{Scope: scopes[i].name}
	if since := v.rows[i].since; since != 0 {
		revoked.Since = utc(since)
	}
	return revoked
}

// Redeem answers OfRedemption: nil where the token is not spent, a *RevokedError where it is,
// and ErrInvalidToken with jwt.ErrTokenExpired where it expired longer ago than MaxLeeway,
// because the row that says it was spent may be gone.
func (v *Verdict) Redeem(now time.Time) error {
	if i := ScopeToken.index(); v.rows[i].found {
		return v.revoked(i)
	}
	if now.After(v.last) {
		return invalidToken(fmt.Errorf("%w longer than %v ago", jwt.ErrTokenExpired, MaxLeeway))
	}
	return nil
}

// Epochs answers OfUser with the epochs that stand, 0 where there is no row.
func (v *Verdict) Epochs() Epochs {
	return Epochs{User: v.rows[ScopeUser.index()].since, Issuer: v.rows[ScopeIssuer.index()].since}
}

// IssueTime answers OfUser with the iat of a token that is stamped now, or with how long to
// wait before asking again. The iat is for a token that is checked with [NoIssuerSkew].
func (v *Verdict) IssueTime(now time.Time) (iat time.Time, wait time.Duration) {
	epochs := v.Epochs()
	iat = now.Truncate(time.Second)
	last := time.UnixMicro(max(epochs.User, epochs.Issuer))
	if !iat.Before(last) {
		return iat.UTC(), 0
	}
	alive := last.Truncate(time.Second)
	if alive.Before(last) {
		alive = alive.Add(time.Second)
	}
	return time.Time{}, alive.Sub(now)
}

// Scopes returns the scopes of the keys, at their places.
func (*Verdict) Scopes() (list [scopeCount]Scope) {
	for i := range scopes {
		list[i] = scopes[i].name
	}
	return list
}

// Epoch returns an instant as it is stored in since: rounded up to a microsecond, so that
// nothing before the instant is spared.
func (*Verdict) Epoch(t time.Time) time.Time {
	return t.Add(time.Microsecond - time.Nanosecond).Truncate(time.Microsecond).UTC()
}

// checkRevocation reports whether the token can be revoked: by Issuer and ID, with an ExpiresAt
// that is zero or can be stored. The error matches ErrInvalidToken.
func (t Token) checkRevocation() error {
	if err := ScopeToken.checkNames(t.Issuer, t.ID); err != nil {
		return err
	}
	if !t.ExpiresAt.IsZero() && !isStorable(t.ExpiresAt) {
		return invalidToken(errors.New("the token's expiry lies before 1970 or after 9999"))
	}
	return nil
}

// issuerSkew returns the skew that counts for the token.
func (t Token) issuerSkew() (time.Duration, error) {
	switch t.IssuerSkew {
	case 0:
		return DefaultIssuerSkew, nil
	case NoIssuerSkew:
		return 0, nil
	}
	return t.IssuerSkew, checkIssuerSkew(t.IssuerSkew)
}

// checkIssuerSkew reports what is wrong with a skew that is neither zero nor NoIssuerSkew. A
// verdict counts in microseconds.
func checkIssuerSkew(d time.Duration) error {
	switch {
	case d < -MaxIssuerLag || d > MaxIssuerSkew:
		return fmt.Errorf("issuer skew %v is not between %v and %v", d, -MaxIssuerLag, MaxIssuerSkew)
	case d%time.Microsecond != 0:
		return fmt.Errorf("issuer skew %v is no whole number of microseconds", d)
	}
	return nil
}

func invalidToken(cause error) error {
	if cause == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrInvalidToken, cause)
}

// utc returns the time of a number of microseconds since 1970.
func utc(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
