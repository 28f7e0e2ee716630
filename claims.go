package revoke

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke/internal/oneline"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// Claims are the claims of a token of your own: the registered ones, the session, and the
// epochs of its user for the claim rule (see [Epochs] and [WithEpochClaim]). Embed it to add
// claims of the app's. [NewClaims] fills it in.
type Claims struct {
	jwt.RegisteredClaims
	SessionID string  `json:"sid,omitempty"`
	Epochs    *Epochs `json:"epochs,omitempty"`
}

// WithSessionID is an option of [NewClaims]. It sets sid, for a further token of a session
// that exists. Default: a random one, which begins a session.
func WithSessionID(sid string) func(*Claims) error {
	return func(c *Claims) error {
		c.SessionID = sid
		return strictjwt.CheckID("session", sid)
	}
}

// WithIssuedAt is an option of [NewClaims]. It sets iat, which is rounded down to a second.
// Give it the result of [Store.IssueTime] where validators of these tokens have
// [WithIssueTime]. Default: now, by this machine's clock, for the claim rule.
func WithIssuedAt(t time.Time) func(*Claims) error {
	return func(c *Claims) error {
		if !isStorable(t) {
			return errors.New("time of issue lies before 1970 or after 9999")
		}
		c.IssuedAt = jwt.NewNumericDate(t.Truncate(time.Second))
		return nil
	}
}

// NewClaims returns the claims of a token of your own: iss and sub of the user, a random jti
// and sid of 128 bits, iat, exp after the lifetime, aud, and the epoch claim. [AnyAudience]
// leaves aud out. Read the epochs in the snapshot that reads the credentials, or before it: see
// [Epochs]. Sign the claims with golang-jwt:
//
//	text, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(key)
//
// The lifetime is at least a second and at most [MaxTokenLifetime]. The error says which
// argument is wrong.
func NewClaims(user User, lifetime time.Duration, audience Audience, epochs Epochs, opts ...func(*Claims) error) (Claims, error) {
	c := Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:   user.Issuer,
			Subject:  user.Subject,
			Audience: slices.Clone(audience.names),
			ID:       rand.Text(),
			IssuedAt: jwt.NewNumericDate(systemClock().Truncate(time.Second)),
		},
		SessionID: rand.Text(),
		Epochs:    &epochs,
	}
	err := oneline.Join(ScopeUser.checkNames(user.Issuer, user.Subject), audience.check())
	if lifetime < time.Second || lifetime > MaxTokenLifetime {
		err = oneline.Join(err, fmt.Errorf("lifetime %v is not between a second and %s", lifetime, strictjwt.Days(MaxTokenLifetime)))
	}
	if err != nil {
		return Claims{}, fmt.Errorf("revoke: NewClaims: %w", err)
	}
	set := func(option func(*Claims) error, c *Claims) error {
		if option == nil {
			return errNilOption
		}
		return option(c)
	}
	if err := apply("NewClaims", &c, opts, set); err != nil {
		return Claims{}, err
	}
	c.ExpiresAt = jwt.NewNumericDate(c.IssuedAt.Add(lifetime))
	return c, nil
}

// Audience says for which audience a token is meant (aud, RFC 7519 §4.1.3): [AudienceOf] or
// [AnyAudience].
type Audience struct {
	names []string
	any   bool
}

// AudienceOf is an audience by name. A token is accepted if its aud has one of the names.
func AudienceOf(names ...string) Audience { return Audience{names: slices.Clone(names)} }

// AnyAudience accepts tokens with any aud or none. A token that the issuer made for another
// service, and an ID token, are accepted too, unless another option keeps them out: see
// [WithTokenType] (RFC 8725 §3.9).
func AnyAudience() Audience { return Audience{any: true} }

// check reports what is wrong with the audience.
func (a Audience) check() error {
	if !a.any && len(a.names) == 0 {
		return errors.New("no audience is named: name the ones that tokens are meant for (AudienceOf), or accept all of them (AnyAudience)")
	}
	var err error
	for _, name := range a.names {
		err = oneline.Join(err, strictjwt.CheckID("audience", name))
	}
	return err
}

// accepts reports whether a token's aud has one of the names.
func (a Audience) accepts(aud []string) error {
	switch {
	case a.any || slices.ContainsFunc(aud, func(name string) bool { return slices.Contains(a.names, name) }):
		return nil
	case len(aud) == 0:
		return fmt.Errorf("%w: %q, which has to name one of %q", jwt.ErrTokenRequiredClaimMissing, "aud", a.names)
	}
	return fmt.Errorf("%w: aud names none of %q", jwt.ErrTokenInvalidAudience, a.names)
}
