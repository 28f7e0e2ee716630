package revokehttp

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/strict"
)

const (
	// maxLogoutAhead is how far ahead of this clock a logout token's iat may lie. A user's epoch is set a second after it, and
	// RevokeUserBefore refuses what lies more than MaxIssuerSkew ahead of the database's clock: so 14 s are left for the
	// difference between that clock and this one, and 15 s for the identity provider's.
	maxLogoutAhead = revoke.MaxIssuerSkew / 2

	// logoutLeeway is how long after its exp a logout token is taken. A logout that is refused leaves tokens alive, and one that
	// is replayed ends nothing that it has not ended before. It stays below revoke.MaxLeeway, up to which Redeem takes it, by
	// what the clocks of application and database may differ.
	logoutLeeway = time.Minute

	// maxLogoutAge stands for the exp of logout tokens that have none, from their iat: providers of the drafts before 1.0 send
	// them. It covers an hour of redeliveries.
	maxLogoutAge = time.Hour
)

// logoutToken is what a verified logout token says.
type logoutToken struct {
	id               string
	subject, session string // one of them at least
	issuedAt         time.Time
	expiresAt        time.Time
}

// logoutReader believes logout tokens of one provider (OpenID Connect Back-Channel Logout 1.0 §2.4 and §2.6).
type logoutReader struct {
	issuer    string
	clientIDs []string
	keyfunc   jwt.Keyfunc
	parser    *jwt.Parser
}

func newLogoutReader(issuer string, clientIDs []string, keyfunc jwt.Keyfunc, algorithms []string) (*logoutReader, error) {
	err := errors.Join(strict.CheckID("issuer", issuer), strict.CheckAlgorithms(algorithms))
	if len(clientIDs) == 0 {
		err = errors.Join(err, errors.New("no client id is given"))
	}
	for _, id := range clientIDs {
		err = errors.Join(err, strict.CheckID("client id", id))
	}
	if keyfunc == nil {
		err = errors.Join(err, errors.New("keyfunc is nil"))
	}
	return &logoutReader{
		issuer:    issuer,
		clientIDs: slices.Clone(clientIDs),
		keyfunc:   keyfunc,
		parser: jwt.NewParser(jwt.WithValidMethods(slices.Clone(algorithms)), jwt.WithoutClaimsValidation(),
			jwt.WithStrictDecoding()),
	}, err
}

// read verifies a logout token. Its error matches revoke.ErrInvalidToken, or revoke.ErrUnavailable where the source of the
// keys did not answer, and contains nothing of the token.
func (l *logoutReader) read(text string, now time.Time) (logoutToken, error) {
	if err := strict.CheckForm(text, revoke.DefaultMaxTokenSize); err != nil {
		return logoutToken{}, refusedToken(err)
	}
	parsed, err := l.parser.ParseWithClaims(text, jwt.MapClaims{}, l.keyfunc)
	switch {
	case errors.Is(err, jwt.ErrTokenUnverifiable) && (errors.Is(err, revoke.ErrUnavailable) || strict.IsOutage(err)):
		return logoutToken{}, fmt.Errorf("logout token: %w: %w", revoke.ErrUnavailable, err)
	case err != nil:
		return logoutToken{}, refusedToken(err)
	}
	if err := checkLogoutHeader(parsed.Header); err != nil {
		return logoutToken{}, refusedToken(err)
	}
	payload, err := strict.Payload(text)
	if err != nil {
		return logoutToken{}, refusedToken(err)
	}
	claims, err := strict.ReadClaims(payload, strict.LogoutToken)
	if err == nil {
		err = l.check(claims)
	}
	if err != nil {
		return logoutToken{}, refusedToken(err)
	}
	token := logoutToken{
		id:        claims.ID,
		subject:   claims.Subject,
		session:   claims.Session,
		issuedAt:  time.Unix(claims.IssuedAt, 0).UTC(),
		expiresAt: time.Unix(claims.IssuedAt, 0).Add(maxLogoutAge).UTC(),
	}
	if claims.ExpiresAt != strict.NoDate {
		token.expiresAt = time.Unix(claims.ExpiresAt, 0).UTC()
	}
	if err := token.checkTimes(claims.NotBefore, now); err != nil {
		return logoutToken{}, refusedToken(err)
	}
	return token, nil
}

// checkLogoutHeader takes tokens that are typed as logout tokens and those that are not typed, which §4.1 wants to be taken.
// A token that is typed as something else is that.
func checkLogoutHeader(header map[string]any) error {
	if err := strict.CheckHeader(header); err != nil {
		return err
	}
	typ, ok := header["typ"]
	if !ok {
		return nil
	}
	name, _ := typ.(string)
	if kind := strict.MediaType(name); kind != "jwt" && kind != strict.LogoutType {
		return errors.New("its typ is neither JWT nor logout+jwt")
	}
	return nil
}

// check is §2.6, all but the times.
func (l *logoutReader) check(claims strict.Claims) error {
	switch {
	case claims.Issuer == "":
		return missing("iss")
	case claims.Issuer != l.issuer:
		return jwt.ErrTokenInvalidIssuer
	case len(claims.Audience) == 0:
		return missing("aud")
	case !slices.ContainsFunc(claims.Audience, func(id string) bool { return slices.Contains(l.clientIDs, id) }):
		return jwt.ErrTokenInvalidAudience
	case claims.IssuedAt == strict.NoDate:
		return missing("iat")
	case claims.ID == "":
		return missing("jti")
	case !claims.IsLogout:
		return errors.New("its events do not name a logout")
	case claims.HasNonce: // as an ID token has one
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
	case t.expiresAt.Sub(t.issuedAt) > revoke.MaxTokenLifetime: // it is kept as long, to know it again
		return fmt.Errorf("it is valid for longer than %v", revoke.MaxTokenLifetime)
	case notBefore != strict.NoDate && now.Before(time.Unix(notBefore, 0).Add(-maxLogoutAhead)):
		return jwt.ErrTokenNotValidYet
	}
	return nil
}

// spent is what is redeemed of a logout: that this token ended this session or this user. It is kept apart from the jti as
// that of an access token, since some providers give a logout token the jti of the ID token or of the session. The
// revocation of a token with that jti, or an earlier logout with it, would otherwise pass for a delivery of this
// one, and the answer to it for a success.
func (t logoutToken) spent(issuer string, scope revoke.Scope, name string) revoke.Token {
	hash := sha256.New()
	for _, part := range []string{t.id, string(scope), name} {
		_ = binary.Write(hash, binary.BigEndian, uint64(len(part))) // a hash takes everything
		_, _ = hash.Write([]byte(part))
	}
	_ = binary.Write(hash, binary.BigEndian, t.issuedAt.Unix())
	id := "back-channel logout " + base64.RawURLEncoding.EncodeToString(hash.Sum(nil))
	return revoke.Token{Issuer: issuer, ID: id, ExpiresAt: t.expiresAt}
}

// refusedToken is the error of a token that is not accepted. A cause that matches another sentinel is carried as text.
func refusedToken(cause error) error {
	if errors.Is(cause, revoke.ErrUnavailable) || errors.Is(cause, revoke.ErrRevoked) {
		cause = errors.New(cause.Error())
	}
	return fmt.Errorf("logout token: %w: %w", revoke.ErrInvalidToken, cause)
}
