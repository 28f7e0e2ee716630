package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/absent"
)

// Defaults and limits of the options of [New].
const (
	// DefaultAccessLifetime is of WithAccessLifetime: how long a copied token is good for.
	DefaultAccessLifetime = 15 * time.Minute
	// MinAccessLifetime is of WithAccessLifetime.
	MinAccessLifetime = time.Second
	// MaxAccessLifetime is of WithAccessLifetime.
	MaxAccessLifetime = 24 * time.Hour
	// DefaultIdleTimeout is of WithIdleTimeout.
	DefaultIdleTimeout = 14 * 24 * time.Hour
	// DefaultAbsoluteLifetime is of WithAbsoluteLifetime.
	DefaultAbsoluteLifetime = 90 * 24 * time.Hour
	// DefaultGrace is of WithGrace: six times the longest that a refresh takes before it fails.
	DefaultGrace = time.Minute
	// MinGrace is the least that WithGrace takes besides 0.
	MinGrace = time.Second
	// MaxGrace is of WithGrace.
	MaxGrace = 5 * time.Minute
)

// Option configures [New].
type Option func(*config) error

type config struct {
	access, idle, absolute, grace time.Duration
	most                          int // sessions of a user; 0: any number
	withoutDetails                bool
	mirror                        syncer
	algorithms                    []string
	claims                        func(ctx context.Context, grant Grant) (map[string]any, error)
	now                           func() time.Time
}

// syncer is what the package needs of a mirror.
type syncer interface {
	Sync(ctx context.Context) error
}

// Grant is for what an access token is about to be signed: see [WithClaims].
type Grant struct {
	User    revoke.User
	Session revoke.Session
	Client  string
	Started bool // for a new session; false for a refresh
}

// WithAccessLifetime sets how long an access token is valid at most. Each lives for up to
// 20 % less, at random. Between [MinAccessLifetime] and [MaxAccessLifetime]. Default:
// [DefaultAccessLifetime].
func WithAccessLifetime(d time.Duration) Option {
	return func(c *config) error {
		if d < MinAccessLifetime || d > MaxAccessLifetime {
			return fmt.Errorf("access lifetime %v is not between %v and %v", d, MinAccessLifetime, MaxAccessLifetime)
		}
		c.access = d
		return nil
	}
}

// WithIdleTimeout sets after how long without a refresh a session is over, by the
// database's clock. It is longer than the lifetime of an access token and the grace
// together, and at most the absolute lifetime. It holds for sessions that have begun, too.
// Default: [DefaultIdleTimeout].
func WithIdleTimeout(d time.Duration) Option {
	return func(c *config) error { c.idle = d; return nil }
}

// WithAbsoluteLifetime sets how long a session lasts at most, by the database's clock. It
// holds for sessions that begin from now on. At least the idle timeout, at most
// revoke.MaxTokenLifetime. Default: [DefaultAbsoluteLifetime].
func WithAbsoluteLifetime(d time.Duration) Option {
	return func(c *config) error {
		if d > revoke.MaxTokenLifetime {
			return fmt.Errorf("absolute lifetime %v is more than %v", d, revoke.MaxTokenLifetime)
		}
		c.absolute = d
		return nil
	}
}

// WithGrace sets how long after a rotation the refresh token before the current one is
// answered, and how often a refresh token rotates at most. A refresh takes a sixth of it at
// most. With 0 each refresh rotates, and a client that loses an answer is signed out at its
// next refresh; a refresh then takes a sixth of [DefaultGrace] at most. Otherwise between
// [MinGrace] and [MaxGrace]. Default: [DefaultGrace].
func WithGrace(d time.Duration) Option {
	return func(c *config) error {
		if d != 0 && (d < MinGrace || d > MaxGrace) {
			return fmt.Errorf("grace %v is neither 0 nor between %v and %v", d, MinGrace, MaxGrace)
		}
		c.grace = d
		return nil
	}
}

// WithMaxSessions sets how many sessions a user may have at once. A sign-in above it ends
// the oldest one. Two sign-ins of one user in the same instant may exceed it until the
// next. Default: any number.
func WithMaxSessions(n int) Option {
	return func(c *config) error {
		if n < 1 {
			return fmt.Errorf("%d sessions of a user are fewer than 1", n)
		}
		c.most = n
		return nil
	}
}

// WithoutDeviceDetails stores neither user agents nor addresses. Default: they are stored, for the
// page that shows a user where they are signed in.
func WithoutDeviceDetails() Option {
	return func(c *config) error { c.withoutDetails = true; return nil }
}

// WithMirror names a mirror of this process, which reads the table of revocations after
// each end of a session that this package has committed. An end returns when it has, or
// after a second, so that this process refuses the session's tokens. Default: none; a
// mirror learns of it within its bound.
func WithMirror(mirror interface {
	Sync(ctx context.Context) error
}) Option {
	return func(c *config) error {
		if absent.Is(mirror) {
			return errors.New("mirror is nil")
		}
		c.mirror = mirror
		return nil
	}
}

// WithAlgorithms names the algorithms that the keys may be of. HMAC excludes public-key algorithms.
// Default: every public-key algorithm of golang-jwt.
func WithAlgorithms(names ...string) Option {
	return func(c *config) error { c.algorithms = slices.Clone(names); return nil }
}

// publicKeyAlgorithms are the algorithms by default.
func publicKeyAlgorithms() []string {
	return []string{
		jwt.SigningMethodES256.Alg(), jwt.SigningMethodES384.Alg(), jwt.SigningMethodES512.Alg(), jwt.SigningMethodEdDSA.Alg(),
		jwt.SigningMethodPS256.Alg(), jwt.SigningMethodPS384.Alg(), jwt.SigningMethodPS512.Alg(),
		jwt.SigningMethodRS256.Alg(), jwt.SigningMethodRS384.Alg(), jwt.SigningMethodRS512.Alg(),
	}
}

// WithClaims adds claims of the app's to each access token, such as a role. The function is
// asked at each start and at each refresh, before the database is, so it may query it by
// the same pool; by the methods of [Tx] it is asked within their transaction. It may not
// return a claim that the package sets, nor one that is registered for a purpose of its
// own. Its error makes the call fail, and leaves the session as it is. A refresh waits for it
// and for the signatures for a twelfth of the grace at most, by ctx. Default: none.
func WithClaims(claims func(ctx context.Context, grant Grant) (map[string]any, error)) Option {
	return func(c *config) error {
		if claims == nil {
			return errors.New("claims is nil")
		}
		c.claims = claims
		return nil
	}
}

// WithClock sets the clock by which access tokens are stamped. It decides of nothing else:
// rotation, replay, idleness and the absolute end go by the database's clock. Default:
// [time.Now].
func WithClock(now func() time.Time) Option {
	return func(c *config) error {
		if now == nil {
			return errors.New("clock is nil")
		}
		c.now = now
		return nil
	}
}

// check reports what is wrong with the options together.
func (c *config) check() error {
	switch {
	case c.idle <= c.access+c.grace:
		return fmt.Errorf("idle timeout %v is not longer than the access lifetime %v and the grace %v together", c.idle, c.access, c.grace)
	case c.absolute < c.idle:
		return fmt.Errorf("absolute lifetime %v is shorter than the idle timeout %v", c.absolute, c.idle)
	}
	return nil
}

// deadline is the longest that a refresh takes.
func (c *config) deadline() time.Duration {
	if c.grace == 0 {
		return DefaultGrace / 6
	}
	return c.grace / 6
}
