package signals

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/oneline"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

const (
	// maxLogoutAhead is how far ahead of this machine's clock a logout token's iat may be, for
	// the difference between the provider's clock and this machine's. The user's epoch does not
	// follow an iat that is ahead: see logoutToken.instant.
	maxLogoutAhead = revoke.MaxIssuerSkew / 2

	// logoutLeeway is how long after its exp a logout token is accepted. A refused logout
	// leaves tokens accepted, and a replayed one revokes nothing new. The leeway is shorter
	// than revoke.MaxLeeway, until which Redeem accepts the token, by more than the clocks of
	// application and database differ.
	logoutLeeway = time.Minute

	// maxLogoutAge replaces the exp of a logout token that has none, counted from its iat.
	// Providers that follow a draft before 1.0 send such tokens. An hour covers their
	// redeliveries.
	maxLogoutAge = time.Hour
)

// logoutForm is the form of the texts of logout tokens.
var logoutForm = strictjwt.Form{MaxSize: revoke.DefaultMaxTokenSize}

// logoutToken is the content of a verified logout token.
type logoutToken struct {
	id               string
	subject, session string // at least one of them is set
	issuedAt         time.Time
	expiresAt        time.Time
}

// logoutReader reads the logout tokens of one provider (OpenID Connect Back-Channel Logout 1.0 §2.4
// and §2.6).
type logoutReader struct {
	issuer    string
	clientIDs []string
	tokens    *strictjwt.Reader
	nameOf    func(issuer string) string // the issuer of an alias
}

func newLogoutReader(issuer string, clientIDs []string, keyfunc jwt.Keyfunc, algorithms []string) (*logoutReader, error) {
	err := strictjwt.CheckID("issuer", issuer)
	if len(clientIDs) == 0 {
		err = oneline.Join(err, errors.New("no client id is given"))
	}
	for _, id := range clientIDs {
		err = oneline.Join(err, strictjwt.CheckID("client id", id))
	}
	tokens, wrong := strictjwt.NewReader(keyfunc, algorithms, logoutForm)
	return &logoutReader{issuer: issuer, clientIDs: slices.Clone(clientIDs), tokens: tokens}, oneline.Join(err, wrong)
}

// read verifies a logout token. The error matches revoke.ErrInvalidToken, or
// revoke.ErrUnavailable if the source of the keys did not answer. It contains nothing of the
// token.
func (l *logoutReader) read(text string, now time.Time) (logoutToken, error) {
	read, err := l.tokens.Read(text, &strictjwt.LogoutToken)
	if strictjwt.IsServerFault(err, revoke.ErrUnavailable) {
		return logoutToken{}, fmt.Errorf("logout token: %w: %w", revoke.ErrUnavailable, err)
	}
	if err == nil {
		err = l.check(&read.Claims)
	}
	if err != nil {
		return logoutToken{}, refusedToken(err)
	}
	token := logoutToken{
		id:        read.Claims.ID,
		subject:   read.Claims.Subject,
		session:   read.Claims.Session,
		issuedAt:  time.Unix(read.Claims.IssuedAt, 0).UTC(),
		expiresAt: time.Unix(read.Claims.IssuedAt, 0).Add(maxLogoutAge).UTC(),
	}
	if read.Claims.ExpiresAt != strictjwt.NoDate {
		token.expiresAt = time.Unix(read.Claims.ExpiresAt, 0).UTC()
	}
	if err := token.checkTimes(read.Claims.NotBefore, now); err != nil {
		return logoutToken{}, refusedToken(err)
	}
	return token, nil
}

// check applies §2.6, except to the times.
func (l *logoutReader) check(claims *strictjwt.Claims) error {
	switch {
	case claims.Respelled != "":
		return fmt.Errorf("the payload spells %q in another way too", claims.Respelled)
	case claims.Issuer == "":
		return missing("iss")
	case l.nameOf(claims.Issuer) != l.issuer:
		return strictjwt.OtherIssuer(l.issuer, claims.Issuer)
	case len(claims.Audience) == 0:
		return fmt.Errorf("%w, which has to name one of %q", missing("aud"), l.clientIDs)
	case !slices.ContainsFunc(claims.Audience, func(id string) bool { return slices.Contains(l.clientIDs, id) }):
		return fmt.Errorf("%w: aud names none of %q", jwt.ErrTokenInvalidAudience, l.clientIDs)
	case claims.IssuedAt == strictjwt.NoDate:
		return missing("iat")
	case claims.ID == "":
		return missing("jti")
	case !claims.IsLogout:
		return errors.New("its events do not name a logout")
	case claims.HasNonce: // an ID token has one
		return errors.New("it has a nonce")
	case claims.Subject == "" && claims.Session == "":
		return errors.New("it has neither sub nor sid")
	}
	return nil
}

func missing(claim string) error {
	return fmt.Errorf("%w: %q", jwt.ErrTokenRequiredClaimMissing, claim)
}

func (t logoutToken) checkTimes(notBefore int64, now time.Time) error {
	switch {
	case t.issuedAt.After(now.Add(maxLogoutAhead)):
		return fmt.Errorf("%w: its iat is more than %v ahead", jwt.ErrTokenUsedBeforeIssued, maxLogoutAhead)
	case !now.Before(t.expiresAt.Add(logoutLeeway)):
		return jwt.ErrTokenExpired
	case t.expiresAt.Before(t.issuedAt):
		return errors.New("it expires before it is issued")
	case t.expiresAt.Sub(t.issuedAt) > revoke.MaxTokenLifetime: // its redemption is kept no longer
		return fmt.Errorf("it is valid for longer than %s", strictjwt.Days(revoke.MaxTokenLifetime))
	case notBefore != strictjwt.NoDate && now.Before(time.Unix(notBefore, 0).Add(-maxLogoutAhead)):
		return jwt.ErrTokenNotValidYet
	}
	return nil
}

// instant returns the time before which tokens of the user are revoked. A token of the logout's
// own second may be older than the logout, and another machine of the provider may have stamped
// it up to lag later than the one that stamped the logout. An instant after the receipt would
// refuse sign-ins that follow the logout.
func (t logoutToken) instant(received time.Time, lag time.Duration) time.Time {
	last := t.issuedAt.Add(time.Second + lag)
	// What was accepted at the receipt is refused too.
	if received = received.Add(time.Microsecond); received.Before(last) {
		return received
	}
	return last
}

// spent returns the token that is redeemed for a logout. Its id is derived from the jti, and
// from the session or user that this logout ends, so that it differs from the jti of an access
// token. Some providers give a logout token the jti of the ID token or of the session. With the
// bare jti, a revoked token or an earlier logout of the same jti would count as a delivery of
// this logout, which would be answered with 200 and revoke nothing.
func (t logoutToken) spent(issuer string, scope revoke.Scope, name string) revoke.Token {
	id := spentID("back-channel logout", t.id, string(scope), name, strconv.FormatInt(t.issuedAt.Unix(), 10))
	return revoke.Token{Issuer: issuer, ID: id, ExpiresAt: t.expiresAt}
}

// spentID returns the id under which what these parts name is redeemed.
func spentID(kind string, parts ...string) string {
	hash := sha256.New()
	for _, part := range parts {
		_ = binary.Write(hash, binary.BigEndian, uint64(len(part))) // a hash accepts every write
		_, _ = hash.Write([]byte(part))
	}
	return kind + " " + base64.RawURLEncoding.EncodeToString(hash.Sum(nil))
}

// refusedToken returns the error of a token that is not accepted. Of a cause that matches another
// sentinel only the text is kept.
func refusedToken(cause error) error {
	if errors.Is(cause, revoke.ErrUnavailable) || errors.Is(cause, revoke.ErrRevoked) {
		cause = errors.New(cause.Error())
	}
	return fmt.Errorf("logout token: %w: %w", revoke.ErrInvalidToken, cause)
}
