package revoke

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke/internal/strict"
)

// Limits that revokers, validators and sweepers share. They are constants because the program that revokes a token and
// the one that validates it are configured apart: no configuration of either may bring a token back.
const (
	// MaxIDLength is the greatest length in bytes of an issuer, a jti, a sub and a sid. It bounds what a caller can make
	// the database store, and leaves room for the longest identifiers in use (OpenID Connect limits a sub to 255).
	MaxIDLength = 1024

	// MaxTokenLifetime is the longest time from a token's iat to its exp. A revocation of tokens whose expiry is not known
	// is kept this long, so a token that lives longer could outlive it: no validator accepts one.
	MaxTokenLifetime = 400 * 24 * time.Hour

	// MaxLeeway is the most that a validator can forgive of the difference between clocks. Rows are kept longer than it.
	MaxLeeway = 5 * time.Minute

	// RetentionMargin is how long a row is kept beyond its expiry, unless a sweeper is told to wait longer. It covers
	// MaxLeeway and a difference of nearly an hour between the clocks of application and database.
	RetentionMargin = time.Hour

	// MaxIssuerSkew is the most that WithIssuerSkew takes, and the most that RevokeUserBefore may lie ahead of the clock.
	MaxIssuerSkew = 30 * time.Second

	// MaxSweepBatch and MaxBatchTimeout are the most that WithBatchSize and WithBatchTimeout take: what goes on for longer
	// holds back vacuum everywhere in the database.
	MaxSweepBatch   = 1_000_000
	MaxBatchTimeout = time.Hour

	// MaxIssuedAhead is how far ahead of the validator's clock an iat may lie. A token dated further ahead could outlive a
	// revocation of its user that is made today.
	MaxIssuedAhead = 5 * time.Second
)

// Defaults of the options.
const (
	DefaultSchema        = "revoke"         // of WithSchema: a schema of our own, nothing in public
	DefaultCheckTimeout  = 2 * time.Second  // of WithCheckTimeout: a request that waited longer has lost its user
	DefaultCheckQueries  = 2                // of WithCheckQueries: one under way while the next one gathers
	DefaultMaxTokenSize  = 8 << 10          // of WithMaxTokenSize, in bytes: what servers take as one header line
	DefaultLeeway        = time.Duration(0) // of WithLeeway: none, as RFC 7519 makes it optional
	DefaultSweepInterval = 5 * time.Minute  // of WithInterval, ± 20 %: rows cost space only
	DefaultSweepBatch    = 5000             // of WithBatchSize, in rows: some 30 ms, so that nothing waits for long
	DefaultBatchTimeout  = 10 * time.Second // of WithBatchTimeout
)

// PostgresOption configures [NewPostgres].
type PostgresOption func(*postgresConfig) error

type postgresConfig struct {
	schema       string
	checkTimeout time.Duration
	issuerSkew   time.Duration
	checkQueries int
}

var schemaPattern = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// WithSchema sets the schema in which the tables stand, as it was given to the migrations. Default: [DefaultSchema].
func WithSchema(name string) PostgresOption {
	return func(c *postgresConfig) error {
		if !schemaPattern.MatchString(name) {
			return fmt.Errorf("schema %q does not match %s", name, schemaPattern)
		}
		c.schema = name
		return nil
	}
}

// WithCheckTimeout sets how long a Check, a Lookup, an Epochs or one query of IssueTime may take before it is
// ErrUnavailable, the wait for a connection of the pool included. A caller's ctx may end it earlier. It is not for writes, nor
// for what runs in a transaction of the caller's: there only ctx counts. Default: [DefaultCheckTimeout].
func WithCheckTimeout(d time.Duration) PostgresOption {
	return func(c *postgresConfig) error {
		if d <= 0 {
			return fmt.Errorf("check timeout %v is not positive", d)
		}
		c.checkTimeout = d
		return nil
	}
}

// WithCheckQueries sets how many queries of Check may run at once. Checks that come while so many run share the next one, so
// that any number of requests needs no more connections than this. With 0 each check has a query and a connection of its
// own, under the caller's ctx, and a caller who leaves costs the pool a connection. What ctx carries, such as a trace,
// reaches the pool's hooks and tracers only then. Default: [DefaultCheckQueries].
func WithCheckQueries(n int) PostgresOption {
	return func(c *postgresConfig) error {
		if n < 0 {
			return fmt.Errorf("check queries %d is negative", n)
		}
		c.checkQueries = n
		return nil
	}
}

// WithIssuerSkew says by how much the clock of whoever issues the tokens may be ahead of the database's. RevokeUser and
// RevokeIssuer add it to the instant that they write, so that a token dated ahead dies too; the next sign-in by IssueTime
// waits that much longer. At most [MaxIssuerSkew]. Default: 0, for apps that take iat from IssueTime or use the
// epoch claim.
func WithIssuerSkew(d time.Duration) PostgresOption {
	return func(c *postgresConfig) error {
		if d < 0 || d > MaxIssuerSkew {
			return fmt.Errorf("issuer skew %v is not between 0 and %v", d, MaxIssuerSkew)
		}
		c.issuerSkew = d
		return nil
	}
}

// RevokeOption adds to the record of a revocation.
type RevokeOption func(*Record) error

// Record is what a revocation notes beside its identity, for operators. Stores read it with [NewRecord].
type Record struct {
	Reason string
	Actor  string
}

// NewRecord applies the options of a revocation, for implementations of [Revoker].
func NewRecord(opts ...RevokeOption) (Record, error) {
	var r Record
	for _, opt := range opts {
		if opt == nil {
			return Record{}, errors.New("a RevokeOption is nil")
		}
		if err := opt(&r); err != nil {
			return Record{}, err
		}
	}
	return r, nil
}

// WithReason notes why, such as "password changed". At most [MaxIDLength] bytes of UTF-8.
func WithReason(reason string) RevokeOption {
	return func(r *Record) error {
		r.Reason = reason
		return strict.CheckText("reason", reason)
	}
}

// WithActor notes who, such as a user's or an operator's name. At most [MaxIDLength] bytes of UTF-8.
func WithActor(actor string) RevokeOption {
	return func(r *Record) error {
		r.Actor = actor
		return strict.CheckText("actor", actor)
	}
}

// ValidatorOption configures [NewValidator].
type ValidatorOption func(*validatorConfig) error

type validatorConfig struct {
	leeway        time.Duration
	maxLifetime   time.Duration
	maxSize       int
	tokenType     string
	epochClaim    bool
	optional      optionalClaims
	session       bool // sid is required
	now           func() time.Time
	parserOptions []jwt.ParserOption
}

type optionalClaims struct{ id, subject, issuedAt, issuer bool }

// WithLeeway forgives a difference between the clocks of issuer and validator, for exp and nbf; iat has [MaxIssuedAhead],
// whatever the leeway, because a token dated ahead outlives a revocation of its user. At most
// [MaxLeeway], because rows are swept. Default: [DefaultLeeway].
func WithLeeway(d time.Duration) ValidatorOption {
	return func(c *validatorConfig) error {
		if d < 0 || d > MaxLeeway {
			return fmt.Errorf("leeway %v is not between 0 and %v", d, MaxLeeway)
		}
		c.leeway = d
		return nil
	}
}

// WithMaxLifetime refuses tokens whose exp lies further from their iat. At most [MaxTokenLifetime], which is the default.
func WithMaxLifetime(d time.Duration) ValidatorOption {
	return func(c *validatorConfig) error {
		if d <= 0 || d > MaxTokenLifetime {
			return fmt.Errorf("maximum lifetime %v is not positive and at most %v", d, MaxTokenLifetime)
		}
		c.maxLifetime = d
		return nil
	}
}

// WithMaxTokenSize refuses longer tokens before any of their bytes is read. In bytes, at most 1 MiB. Default:
// [DefaultMaxTokenSize].
func WithMaxTokenSize(bytes int) ValidatorOption {
	return func(c *validatorConfig) error {
		if bytes <= 0 || bytes > 1<<20 {
			return fmt.Errorf("maximum token size %d is not between 1 and %d bytes", bytes, 1<<20)
		}
		c.maxSize = bytes
		return nil
	}
}

// WithTokenType demands this typ in the header, such as "at+jwt" (RFC 9068 §2.1), so that a token of another kind is not taken
// for an access token. Case and an "application/" before it do not count (RFC 7515 §4.1.9).
//
// Default: any typ or none, except one that ends in "+jwt" and is not "at+jwt", by which a refresh token, a logout token or a
// security event says that it is something else (RFC 8725 §3.11). A logout token is refused also without a typ, by its claim
// events (OpenID Connect Back-Channel Logout 1.0 §2.4), unless it is asked for with "logout+jwt". ID tokens, and an issuer's
// refresh tokens where these are JWTs without such a typ, look like access tokens: keep them out by their audience (see
// WithParserOptions and jwt.WithAudience) or by a Validate method of the claims.
func WithTokenType(typ string) ValidatorOption {
	return func(c *validatorConfig) error {
		c.tokenType = strict.MediaType(typ)
		if c.tokenType == "" {
			return errors.New("token type is empty")
		}
		return nil
	}
}

// WithEpochClaim judges tokens by their epoch claim instead of by iat: see [Epochs]. Only for an issuer of your own, which
// mints [Claims]: another might let its users choose such a claim. A token without the claim counts as older than every
// revocation of its user and issuer, and one whose claim lies more than a minute ahead of this clock is invalid. Default:
// off.
func WithEpochClaim() ValidatorOption {
	return func(c *validatorConfig) error { c.epochClaim = true; return nil }
}

// WithOptionalID accepts tokens of third parties that have no jti. Such a token cannot be revoked by itself, only with
// its session, its user or its issuer.
func WithOptionalID() ValidatorOption {
	return func(c *validatorConfig) error { c.optional.id = true; return nil }
}

// WithOptionalSubject accepts tokens of third parties that have no sub. Such a token does not die with its user.
func WithOptionalSubject() ValidatorOption {
	return func(c *validatorConfig) error { c.optional.subject = true; return nil }
}

// WithOptionalIssuedAt accepts tokens of third parties that have no iat. It counts as 1970, so that after the first
// revocation of their user no such token is accepted again, and their lifetime is counted from now: an issuer that lets
// such tokens live for longer than MaxTokenLifetime makes tokens that outlive the row of a revoked user.
func WithOptionalIssuedAt() ValidatorOption {
	return func(c *validatorConfig) error { c.optional.issuedAt = true; return nil }
}

// WithOptionalIssuer accepts tokens of third parties that have no iss. Their revocations are kept under the issuer that
// the validator was given, so their keys must be those of that one issuer.
func WithOptionalIssuer() ValidatorOption {
	return func(c *validatorConfig) error { c.optional.issuer = true; return nil }
}

// WithRequiredSession refuses tokens that have no sid, with jwt.ErrTokenRequiredClaimMissing: for an issuer whose logout ends
// sessions, and would leave such a token alive. Default: a token without sid is not part of any session.
func WithRequiredSession() ValidatorOption {
	return func(c *validatorConfig) error { c.session = true; return nil }
}

// WithClock sets the validator's clock. It must be safe for several goroutines. Default: [time.Now].
func WithClock(now func() time.Time) ValidatorOption {
	return func(c *validatorConfig) error {
		if now == nil {
			return errors.New("clock is nil")
		}
		c.now = now
		return nil
	}
}

// WithParserOptions passes options on to golang-jwt, such as jwt.WithAudience. They can tighten what is accepted; what
// would loosen it has no effect, because ours are applied after them. Default: none, so that aud is not compared.
func WithParserOptions(opts ...jwt.ParserOption) ValidatorOption {
	return func(c *validatorConfig) error {
		for _, opt := range opts {
			if opt == nil {
				return errors.New("a jwt.ParserOption is nil")
			}
		}
		c.parserOptions = append(c.parserOptions, opts...)
		return nil
	}
}

// systemClock is the one clock of this machine that decides anything; the sweeper measures durations by time.Now.
var systemClock = time.Now

// apply runs options of any kind over their configuration; constructor is for the error.
func apply[C any, O ~func(*C) error](constructor string, config *C, opts []O) error {
	for _, opt := range opts {
		if opt == nil {
			return fmt.Errorf("revoke: %s: an option is nil", constructor)
		}
		if err := opt(config); err != nil {
			return fmt.Errorf("revoke: %s: %w", constructor, err)
		}
	}
	return nil
}
