package session

import (
	"context"
	"time"

	"github.com/pgrevoke/revoke"
)

// Option configures [New].
type Option func(*config) error

type config struct{}

// Grant is for whom tokens are about to be signed: see [WithClaims].
type Grant struct {
	User    revoke.User
	Session revoke.Session
	Client  string
	Started bool // at Start and EndOthers; false at Refresh
}

// WithAccessLifetime sets how long an access token lives.
func WithAccessLifetime(d time.Duration) Option { return func(*config) error { return nil } }

// WithIdleTimeout sets after how long without a refresh a session is over.
func WithIdleTimeout(d time.Duration) Option { return func(*config) error { return nil } }

// WithAbsoluteLifetime sets how long a session lasts at most.
func WithAbsoluteLifetime(d time.Duration) Option { return func(*config) error { return nil } }

// WithGrace sets how long after a rotation the refresh token before it is still answered.
func WithGrace(d time.Duration) Option { return func(*config) error { return nil } }

// WithMaxSessions sets how many sessions a user may have at once.
func WithMaxSessions(n int) Option { return func(*config) error { return nil } }

// WithoutDeviceDetails stores no address and no user agent.
func WithoutDeviceDetails() Option { return func(*config) error { return nil } }

// WithMirror names a mirror that is told after each end of a session.
func WithMirror(mirror interface {
	Sync(ctx context.Context) error
}) Option {
	return func(*config) error { return nil }
}

// WithAlgorithms names the algorithms of the keys.
func WithAlgorithms(names ...string) Option { return func(*config) error { return nil } }

// WithClaims adds claims of the app's to each access token.
func WithClaims(claims func(ctx context.Context, grant Grant) (map[string]any, error)) Option {
	return func(*config) error { return nil }
}
