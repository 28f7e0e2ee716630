package mirror

import (
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Defaults of the options.
const (
	DefaultBound      = time.Second // of WithBound: most people do not notice a second
	DefaultMaxEntries = 20_000_000  // of WithMaxEntries: some 570 MB
)

// The limits of WithBound. A bound must leave room for a round trip, and is of no use
// where it is as long as an access token lives.
const (
	MinBound = 20 * time.Millisecond
	MaxBound = time.Minute
)

// Option configures [New].
type Option func(*config) error

type config struct {
	bound      time.Duration
	interval   time.Duration
	maxEntries int
	connString string
	clock      func() instant
}

// WithBound sets the staleness bound: a revocation made elsewhere is enforced at most
// this long after its commit. A revocation made through [Mirror.Store] is enforced at
// once. Between [MinBound] and [MaxBound]. Default: [DefaultBound].
func WithBound(d time.Duration) Option {
	return func(c *config) error {
		if d < MinBound || d > MaxBound {
			return fmt.Errorf("bound %v is not between %v and %v", d, MinBound, MaxBound)
		}
		c.bound = d
		return nil
	}
}

// WithInterval sets the time between two polls if no notification comes. It must be
// less than the bound. Default: a quarter of the bound.
func WithInterval(d time.Duration) Option {
	return func(c *config) error {
		if d <= 0 {
			return fmt.Errorf("interval %v is not positive", d)
		}
		c.interval = d
		return nil
	}
}

// WithMaxEntries sets how many live revocations are kept in memory. An entry takes some
// 29 bytes, and twice that while the table grows. Writes through [Mirror.Store] that no
// poll has shown yet take about as much again at most. If there are more revocations,
// every check asks Postgres, Health says so, and the mirror tries to load again about
// every half minute. Default: [DefaultMaxEntries].
func WithMaxEntries(n int) Option {
	return func(c *config) error {
		if n <= 0 {
			return fmt.Errorf("maximum of %d entries is not positive", n)
		}
		c.maxEntries = n
		return nil
	}
}

// WithConnString sets the address of the mirror's own connection, in the form of pgx.
// It must lead to the database of the store. It is for apps with a pool behind a pooler
// in transaction mode: past the pooler, the mirror reads changes one by one. Through
// the pooler it reads all rows at every interval and hears no notifications. The hooks of
// the pool do not run then. Default: as the store's pool. Then BeforeConnect,
// AfterConnect and PrepareConn of the pool run once for the mirror's connection, without
// the values of a caller's context.
func WithConnString(connString string) Option {
	return func(c *config) error {
		if _, err := pgx.ParseConfig(connString); err != nil {
			// The cause might quote the password.
			return errors.New("the connection string cannot be read")
		}
		c.connString = connString
		return nil
	}
}
