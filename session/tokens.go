package session

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/oneline"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// accessType is the typ of access tokens (RFC 9068 §2.1).
const accessType = "at+jwt"

// Tokens is what a client gets.
type Tokens struct {
	Access           string         // the access token
	AccessExpiresAt  time.Time      // by the app's clock
	Refresh          string         // the refresh token; empty: the client keeps its own
	RefreshExpiresAt time.Time      // the absolute end of the session
	Session          revoke.Session // what both belong to
	User             revoke.User
	Client           string // the OAuth client_id; empty for the app's own pages
	Outcome          Outcome
}

// Outcome says how tokens came about.
type Outcome string

// The outcomes.
const (
	Started  Outcome = "started"  // a session began
	Rotated  Outcome = "rotated"  // the refresh token is a new one
	Repeated Outcome = "repeated" // the refresh token is the current one again, or there is none
)

// signed is what a refresh token says, and what it was signed for.
type signed struct {
	user       revoke.User
	session    revoke.Session
	client     string
	epochs     revoke.Epochs
	generation int64
	startedAt  time.Time
	expiresAt  time.Time
}

// claims returns the claims of the refresh token. It has no jti, and says nothing of when it was
// rotated.
func (g signed) claims() jwt.MapClaims {
	claims := jwt.MapClaims{
		"iss": g.user.Issuer, "sub": g.user.Subject, "sid": g.session.ID,
		"iat": g.startedAt.Unix(), "exp": g.expiresAt.Unix(),
		strictjwt.EpochClaim: g.epochs, strictjwt.GenerationClaim: g.generation,
	}
	if g.client != "" {
		claims[strictjwt.ClientClaim] = g.client
	}
	return claims
}

// token is the session as a Verdict judges it: by the epochs of the sign-in, like any token.
func (g signed) token() revoke.Token {
	return revoke.Token{
		Issuer: g.user.Issuer, Subject: g.user.Subject, SessionID: g.session.ID,
		IssuedAt: g.startedAt, ExpiresAt: g.expiresAt, Epochs: g.epochs, HasEpochs: true,
	}
}

// readRefresh verifies a refresh token. Of its times only the form is judged: the database's clock
// decides whether it has expired.
func (s *Sessions) readRefresh(text string) (g signed, fault error, invalid error) {
	read, err := s.reader.Read(text, &strictjwt.RefreshToken)
	switch {
	case err != nil && strictjwt.IsServerFault(err, revoke.ErrUnavailable):
		return g, err, nil
	case err != nil:
		return g, nil, err
	}
	c := read.Claims
	for _, claim := range [...]struct {
		name    string
		missing bool
	}{
		{"iss", c.Issuer == ""},
		{"sub", c.Subject == ""},
		{"sid", c.Session == ""},
		{"iat", c.IssuedAt == strictjwt.NoDate},
		{"exp", c.ExpiresAt == strictjwt.NoDate},
		{strictjwt.EpochClaim, c.Epochs == ""},
		{strictjwt.GenerationClaim, c.Generation == 0},
	} {
		if claim.missing {
			return g, nil, fmt.Errorf("%w: %w: %q", jwt.ErrTokenInvalidClaims, jwt.ErrTokenRequiredClaimMissing, claim.name)
		}
	}
	if c.Issuer != s.issuer {
		return g, nil, fmt.Errorf("%w: %w", jwt.ErrTokenInvalidClaims, strictjwt.OtherIssuer(s.issuer, c.Issuer))
	}
	g = signed{
		user: s.User(c.Subject), session: revoke.Session{Issuer: s.issuer, ID: c.Session}, client: c.Client, generation: c.Generation,
		startedAt: time.Unix(c.IssuedAt, 0).UTC(), expiresAt: time.Unix(c.ExpiresAt, 0).UTC(),
	}
	if err := g.epochs.UnmarshalJSON([]byte(c.Epochs)); err != nil {
		return signed{}, nil, fmt.Errorf("%w: %w", jwt.ErrTokenInvalidClaims, err)
	}
	if c.IsBound {
		return g, nil, errBound
	}
	return g, nil, nil
}

// errBound refuses a session that is bound to a key.
var errBound = errors.New("the session is bound to a key, and this version knows no proof of one")

// material is what the app adds to the tokens of a session.
type material struct {
	key    Key
	claims map[string]any // of the access token
}

// materialFor returns the material of a session's tokens.
func (s *Sessions) materialFor(ctx context.Context, g signed, started bool) (m material, err error) {
	if m.key, err = s.signing(ctx); err != nil || s.claims == nil {
		return m, err
	}
	m.claims, err = s.claims(ctx, Grant{User: g.user, Session: g.session, Client: g.client, Started: started})
	if err != nil {
		return material{}, fmt.Errorf("the claims of the app: %w", err)
	}
	return m, checkExtra(m.claims)
}

// mint signs the two tokens of a session: an access token, and the refresh token of this
// generation. Nothing is known yet of what the client gets of them.
func (s *Sessions) mint(ctx context.Context, g signed, m material) (Tokens, error) {
	tokens := Tokens{RefreshExpiresAt: g.expiresAt, Session: g.session, User: g.user, Client: g.client}
	claims, expiresAt, err := s.accessClaims(g, m.claims)
	if err != nil {
		return Tokens{}, err
	}
	tokens.AccessExpiresAt = time.Unix(expiresAt, 0).UTC()
	if tokens.Access, err = m.key.sign(ctx, accessType, claims); err != nil {
		return Tokens{}, fmt.Errorf("the access token cannot be signed: %w", err)
	}
	if tokens.Refresh, err = m.key.sign(ctx, strictjwt.RefreshType, g.claims()); err != nil {
		return Tokens{}, fmt.Errorf("the refresh token cannot be signed: %w", err)
	}
	if size := max(len(tokens.Access), len(tokens.Refresh)); size > revoke.DefaultMaxTokenSize {
		return Tokens{}, fmt.Errorf("a token is %d bytes long, at most %d are accepted", size, revoke.DefaultMaxTokenSize)
	}
	return tokens, nil
}

// accessClaims returns the claims of an access token, those of the app and ours, and its exp.
func (s *Sessions) accessClaims(g signed, extra map[string]any) (claims jwt.MapClaims, expiresAt int64, err error) {
	claims = jwt.MapClaims{}
	maps.Copy(claims, extra)
	lifetime, err := varied(s.access)
	if err != nil {
		return nil, 0, err
	}
	now := s.now()
	ours, err := revoke.NewClaims(g.user, lifetime, s.audience, g.epochs, revoke.WithSessionID(g.session.ID), revoke.WithIssuedAt(now))
	if err != nil {
		return nil, 0, err
	}
	expiresAt = min(ours.ExpiresAt.Unix(), g.expiresAt.Unix())
	maps.Copy(claims, jwt.MapClaims{
		"iss": ours.Issuer, "sub": ours.Subject, "jti": ours.ID, "sid": ours.SessionID,
		"iat": min(ours.IssuedAt.Unix(), expiresAt), "exp": expiresAt,
		strictjwt.EpochClaim: g.epochs,
	})
	if len(ours.Audience) > 0 {
		claims["aud"] = ours.Audience
	}
	if g.client != "" {
		claims[strictjwt.ClientClaim] = g.client
	}
	return claims, expiresAt, nil
}

// varied shortens a lifetime by up to 20 %, and to no less than a second. A thief who refreshes in
// the shadow of the owner's refreshes cannot foresee the next of them.
func varied(lifetime time.Duration) (time.Duration, error) {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return 0, err
	}
	less := binary.BigEndian.Uint64(random[:]) % uint64(lifetime/5+1)
	return max(lifetime-time.Duration(less), time.Second), nil
}

// reserved are the claims that the app may not set.
var reserved = append(strictjwt.Registered(), strictjwt.EpochClaim, strictjwt.ClientClaim, strictjwt.GenerationClaim,
	strictjwt.ConfirmationClaim, "events", "nonce")

// checkExtra refuses claims that the package sets or that would change what a token is.
func checkExtra(extra map[string]any) (err error) {
	for name := range extra {
		for _, claim := range reserved {
			if strings.EqualFold(name, claim) {
				err = oneline.Join(err, fmt.Errorf("the claims of the app: %q is not the app's to set", claim))
			}
		}
	}
	return err
}
