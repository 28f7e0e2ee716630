package revoke

import (
	"errors"
	"fmt"
	"time"

	"github.com/pgrevoke/revoke/internal/issuers"
	"github.com/pgrevoke/revoke/internal/schema"
)

// Defaults of the options of [NewPostgres].
const (
	// DefaultSchema is of WithSchema: a schema of our own, nothing in public.
	DefaultSchema = schema.DefaultName
	// DefaultCheckTimeout is of WithCheckTimeout: a request that waited longer has lost its user.
	DefaultCheckTimeout = 2 * time.Second
	// DefaultCheckQueries is of WithCheckQueries: one is under way while the next one gathers.
	DefaultCheckQueries = 2
)

// PostgresOption configures [NewPostgres].
type PostgresOption interface{ toPostgres(*postgresConfig) error }

type postgresConfig struct {
	schema       string
	checkTimeout time.Duration
	keep         time.Duration // how long a token's row is kept at least
	checkQueries int
	issuers      issuers.Known
	hooks        hooks

	readOnlyConnections bool
}

type postgresOption func(*postgresConfig) error

func (o postgresOption) toPostgres(c *postgresConfig) error { return o(c) }

// WithSchema sets the schema in which the table stands, as it was given to the migrations.
// Default: [DefaultSchema].
func WithSchema(name string) PostgresOption {
	return postgresOption(func(c *postgresConfig) error {
		c.schema = name
		return schema.CheckName(name)
	})
}

// WithCheckTimeout sets how long a Check, a Lookup, an Epochs or one query of IssueTime may
// take before it is ErrUnavailable, the wait for a connection of the pool included. A caller's
// ctx may end it earlier. Of a write, an InTx and a sweep it bounds the wait for a connection
// alone: where the caller's own transaction holds the last connection of the pool, that wait would
// have no end. It does not apply to what runs in a transaction of the caller's: there only ctx
// counts. Default: [DefaultCheckTimeout].
func WithCheckTimeout(d time.Duration) PostgresOption {
	return postgresOption(func(c *postgresConfig) error {
		if d <= 0 {
			return fmt.Errorf("check timeout %v is not positive", d)
		}
		c.checkTimeout = d
		return nil
	})
}

// WithCheckQueries sets how many queries of Check may run at once. Checks that come while
// so many run share the next one, so that any number of requests needs no more connections
// than this. With 0 each check has a query and a connection of its own, under the caller's
// ctx, and a caller who leaves costs the pool a connection. Values of ctx, such as a trace
// or a tenant, reach the pool's hooks (PrepareConn, BeforeAcquire, BeforeConnect,
// AfterConnect) and tracers only then. Default: [DefaultCheckQueries].
func WithCheckQueries(n int) PostgresOption {
	return postgresOption(func(c *postgresConfig) error {
		if n < 0 {
			return fmt.Errorf("check queries %d is negative", n)
		}
		c.checkQueries = n
		return nil
	})
}

// WithIssuers names the issuers of which the store revokes and checks tokens. Another
// issuer is an error in every call but Redeem, which also spends assertions of others. A
// revocation under a wrong name, such as one with a slash at the end, would refuse no
// token, and no statement can notice. The error names the issuers; it matches
// ErrInvalidToken where the name is a Token's, and no sentinel otherwise. [NewValidator]
// refuses an issuer that its store does not know. It may be given several times. Default:
// every issuer.
func WithIssuers(names ...string) PostgresOption {
	return postgresOption(func(c *postgresConfig) error { return c.issuers.AddNames(names) })
}

// WithIssuerFunc is [WithIssuers] for issuers that come and go, such as those of tenants:
// known reports whether an issuer is one of them. It is called from several goroutines, at
// each check too, so it answers from memory. Issuers of WithIssuers are known beside it.
//
// A token that a validator has verified is ErrUnavailable if known no longer knows its issuer,
// since no forger causes that, and a table that was emptied by mistake must not sign all users
// out. For a tenant that has left, take its validator away: see [NewValidatorSet].
func WithIssuerFunc(known func(issuer string) bool) PostgresOption {
	return postgresOption(func(c *postgresConfig) error { return c.issuers.AddFunc(known) })
}

// WithReadOnlyConnections accepts connections with default_transaction_read_only on,
// for an app that sets it itself and only checks. Each read is sent in a transaction that
// asks for READ WRITE, which a standby refuses; writes are ErrUnavailable. Default: such a
// connection is taken for one to a server that a switchover has fenced, and reads are
// ErrUnavailable too.
func WithReadOnlyConnections() PostgresOption {
	return postgresOption(func(c *postgresConfig) error { c.readOnlyConnections = true; return nil })
}

// WithSharedIDs is for an issuer that gives one jti to several tokens, such as an access token and
// its longer-lived refresh token, or that puts the id of a session or a user into it. RevokeToken,
// RevokeTokens and Redeem then keep their rows for [MaxTokenLifetime], or until the token's expiry
// if that is later. So every token with this jti is refused, those still to be issued
// among them, for MaxTokenLifetime from the last revocation.
//
// Default: a row is kept until the token that was given has expired. After a sweep, a longer-lived
// token with the same jti is accepted again, and a single-use one can be redeemed again.
//
// Every program that revokes or redeems tokens of such an issuer needs the option: how long a row
// is kept is decided when it is written, and neither a validator nor a sweeper can prolong it. It
// holds for the tokens of all issuers of the store. Its price is a row for each logout and each
// redeemed token, for 400 days. Tokens that carry their session's id as sid need no option:
// RevokeSession ends them all.
func WithSharedIDs() PostgresOption {
	return postgresOption(func(c *postgresConfig) error { c.keep = MaxTokenLifetime + MaxLeeway; return nil })
}

var errNilOption = errors.New("an option is nil")

// apply runs options of any kind over their configuration; constructor names the caller in the
// error.
func apply[C, O any](constructor string, config *C, opts []O, run func(O, *C) error) error {
	for _, opt := range opts {
		err := errNilOption
		if any(opt) != nil {
			err = run(opt, config)
		}
		if err != nil {
			return fmt.Errorf("revoke: %s: %w", constructor, err)
		}
	}
	return nil
}
