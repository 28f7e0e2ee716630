package revoke

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// Defaults and limits of the options of [NewValidator].
const (
	// DefaultMaxTokenSize is of WithMaxTokenSize, in bytes: what servers take as one header line.
	DefaultMaxTokenSize = 8 << 10
	// DefaultSignatureMemory is of WithSignatureMemory, in bytes: enough for some 2,500 tokens.
	DefaultSignatureMemory = 4 << 20
	// DefaultLeeway is of WithLeeway: none, as RFC 7519 makes it optional.
	DefaultLeeway = time.Duration(0)

	// MaxIssuedAhead is how far ahead of the validator's clock the iat of a token may lie that is
	// judged by its epoch claim. Of any other token, the store judges the iat by its own clock:
	// see WithIssuerSkew.
	MaxIssuedAhead = 5 * time.Second
)

// maxTokenSize is the limit of WithMaxTokenSize, in bytes.
const maxTokenSize = 1 << 20

// ValidatorOption configures [NewValidator].
type ValidatorOption interface{ toValidator(*validatorConfig) error }

type validatorConfig struct {
	leeway      time.Duration
	maxLifetime time.Duration
	form        strictjwt.Form
	memorySize  int // in bytes
	tokenType   string
	epochClaim  bool
	issueTime   bool
	issuerSkew  time.Duration // as in Token
	optional    optionalClaims
	session     bool                                   // is required
	sessionless func(context.Context, *Verified) error // nil where no token is excepted
	boundTokens bool                                   // cnf is accepted
	identityConfig
	now           func() time.Time
	parserOptions []jwt.ParserOption
	checks        []func(context.Context, *Verified) error
	hooks         hooks
}

// identityConfig says how an issuer writes the identity of its tokens.
type identityConfig struct {
	names          ClaimNames // none is empty
	namedSession   bool       // names.Session was given
	withoutSession bool
	derivedID      bool
	aliases        []string // of the issuer
}

type optionalClaims struct{ id, subject, issuedAt, issuer, epochs bool }

type validatorOption func(*validatorConfig) error

func (o validatorOption) toValidator(c *validatorConfig) error { return o(c) }

// WithLeeway forgives a difference between the clocks of issuer and validator, for exp and nbf.
// The iat is judged by [WithIssuerSkew], under any leeway, because a token dated ahead outlives
// a revocation of its user. At most [MaxLeeway], because rows are swept. Default:
// [DefaultLeeway].
func WithLeeway(d time.Duration) ValidatorOption {
	return validatorOption(func(c *validatorConfig) error {
		if d < 0 || d > MaxLeeway {
			return fmt.Errorf("leeway %v is not between 0 and %v", d, MaxLeeway)
		}
		c.leeway = d
		return nil
	})
}

// WithMaxLifetime refuses tokens with an exp that lies further from their iat. At most
// [MaxTokenLifetime], which is the default.
func WithMaxLifetime(d time.Duration) ValidatorOption {
	return validatorOption(func(c *validatorConfig) error {
		if d <= 0 || d > MaxTokenLifetime {
			return fmt.Errorf("maximum lifetime %v is not positive and at most %s", d, strictjwt.Days(MaxTokenLifetime))
		}
		c.maxLifetime = d
		return nil
	})
}

// WithMaxTokenSize refuses longer tokens before any of their bytes is read. In bytes, at
// most 1 MiB. Default: [DefaultMaxTokenSize]. Tokens that list groups or roles may be
// longer; those of Entra with 200 groups have some 12 KiB. Proxies and servers limit header
// lines too, and browsers limit a cookie to 4 KiB.
func WithMaxTokenSize(bytes int) ValidatorOption {
	return validatorOption(func(c *validatorConfig) error {
		if bytes <= 0 || bytes > maxTokenSize {
			return fmt.Errorf("maximum token size %d is not between 1 and %d bytes", bytes, maxTokenSize)
		}
		c.form.MaxSize = bytes
		return nil
	})
}

// WithPaddedTokens accepts tokens with parts that end in the padding of base64, "=", beside those
// without it. A JWS has none (RFC 7515 §2), but AWS's Application Load Balancer and some libraries
// write it. The signature is over the padding of header and payload, so they have one spelling.
// Default: padding is refused. jwt.WithPaddingAllowed as a parser option does not change that.
//
// What the load balancer signs, x-amzn-oidc-data, has no iat and no jti, and is another
// token in each request: no logout ends it, and once its user was revoked none of that
// user's is accepted again. Validate the provider's token in x-amzn-oidc-accesstoken in its
// place.
func WithPaddedTokens() ValidatorOption {
	return validatorOption(func(c *validatorConfig) error { c.form.Padded = true; return nil })
}

// WithSignatureMemory bounds the memory in which a validator keeps what it has verified, so that a
// token that comes again costs no signature, only a hash of its text. In bytes, from 64 KiB to 1
// GiB; a token takes about 1.5 KiB. 0 turns the memory off. Each validator has one of its own, and
// takes the bytes only as tokens come: give each less in a [ValidatorSet] with many tenants.
//
// [Validator.Validate] gives the same answers with the memory and without. keyfunc is asked at
// each call. If it does not return the key that verified the token, the signature is verified
// anew. Expiry, claims checks and revocations are judged at each call. Only a token that was
// accepted is kept: until it expires or others need its place, also after it was revoked. The
// memory holds the token's claims, a copy of its key, and the SHA-256 of its text, but not the
// text. A token is not kept if its key or its signing method is not of golang-jwt's own kinds, nor
// if it takes more than 16 KiB. Default: [DefaultSignatureMemory].
func WithSignatureMemory(bytes int) ValidatorOption {
	return validatorOption(func(c *validatorConfig) error {
		if bytes != 0 && (bytes < minSignatureMemory || bytes > maxSignatureMemory) {
			return fmt.Errorf("signature memory %d is neither 0 nor between %d and %d bytes", bytes, minSignatureMemory, maxSignatureMemory)
		}
		c.memorySize = bytes
		return nil
	})
}

// WithTokenType demands this typ in the header, such as "at+jwt" (RFC 9068 §2.1), so that a
// token of another kind is not taken for an access token. Case and an "application/" before it
// do not count (RFC 7515 §4.1.9).
//
// Default: any typ or none, except one that ends in "+jwt" and is not "at+jwt", by which a
// refresh token, a logout token or a security event says that it is something else (RFC 8725
// §3.11). A logout token is refused also without a typ, by its claim events (OpenID Connect
// Back-Channel Logout 1.0 §2.4), unless it is asked for with "logout+jwt". ID tokens, and
// refresh tokens that are JWTs without such a typ, look like access tokens: their audience
// keeps them out, or [WithClaimsCheck].
func WithTokenType(typ string) ValidatorOption {
	return validatorOption(func(c *validatorConfig) error {
		c.tokenType = strictjwt.MediaType(typ)
		if c.tokenType == "" {
			return errors.New("token type is empty")
		}
		return nil
	})
}

// WithClaimsCheck adds what every token must satisfy beyond signature, identity, times and
// audience, such as a scope or a tenant. The check is called once the signature has verified,
// before the revocations are asked for, by Validate and by Identify, from several goroutines.
// Its error makes the token ErrInvalidToken; an outage, as [NewValidator] defines it for keyfunc,
// makes it ErrUnavailable. The error's text is part of Validate's, so it should quote nothing of
// the token. It may be given several times.
func WithClaimsCheck(check func(ctx context.Context, verified *Verified) error) ValidatorOption {
	return validatorOption(func(c *validatorConfig) error {
		if check == nil {
			return errors.New("claims check is nil")
		}
		c.checks = append(c.checks, check)
		return nil
	})
}

// WithEpochClaim judges tokens by their epoch claim instead of by iat: see [Epochs]. Only for
// an issuer of your own, which mints [Claims]: another might let its users choose such a claim.
// A token without the claim is refused, with jwt.ErrTokenRequiredClaimMissing: otherwise such
// tokens would be accepted until the first revocation of their user, and none of that user's
// ever after. A claim is invalid that lies ahead of the store's clock and of the epochs that
// stand. Default: off.
func WithEpochClaim() ValidatorOption {
	return validatorOption(func(c *validatorConfig) error { c.epochClaim = true; return nil })
}

// WithOptionalEpochClaim is [WithEpochClaim] for the roll-out of the claim: a token without it
// is accepted too, and counts as older than every revocation of its user and of the issuer.
//
// The price: once a user was revoked, by any call, every token without the claim is refused
// for that user, a new one too. So give the option only while tokens from before the claim
// still live, have every place that mints tokens put the claim in before the option is
// deployed, and go on to WithEpochClaim when the last token without it has expired.
func WithOptionalEpochClaim() ValidatorOption {
	return validatorOption(func(c *validatorConfig) error {
		c.epochClaim, c.optional.epochs = true, true
		return nil
	})
}

// WithIssuerSkew says by how much the issuer's stamps may be ahead of the true time, which is
// that of the store's clock: its clock's error, and its rounding, which is up to a second where
// iat is rounded up. A token counts as stamped so much earlier than its iat. It is negative for
// an issuer that stamps into the past by a known span, such as -295 s for Entra, which stamps
// 300 s back. Whole microseconds, from -[MaxIssuerLag] to [MaxIssuerSkew]. It is not 0: see
// [WithIssueTime].
//
// A token that is further ahead is ErrInvalidToken, until the store's clock has caught up.
// So each token that this validator accepts, it refuses after a revocation of the token's
// user or issuer, also where the skew is wrong. Where it is too small, a token that is
// presented for the first time after the revocation may be accepted although it was issued
// before.
//
// The price: a token of a new sign-in within skew − d + 1 s of the revocation is refused for its
// whole life, and the user signs in once more; d is by how much the issuer's stamps really are
// ahead. That is 5 to 6 s by default. Default: [DefaultIssuerSkew].
func WithIssuerSkew(d time.Duration) ValidatorOption {
	return validatorOption(func(c *validatorConfig) error {
		if d == 0 {
			return errors.New("issuer skew 0 would spare tokens of an issuer that rounds up, or has a clock of its own; " +
				"WithIssueTime is for tokens with an iat from IssueTime")
		}
		c.issuerSkew = d
		return checkIssuerSkew(d)
	})
}

// WithIssueTime is for tokens of your own with an iat from [Store.IssueTime], which is never
// ahead of the store's clock: they have no skew, and a sign-in after a revocation works within
// about a second. Every token that the keys of this validator verify must take its iat from
// there: see [WithIssuedAt]. An iat that another clock has stamped may be ahead, and such a
// token may be accepted for the first time after a revocation that followed its issue. Not to be
// combined with [WithIssuerSkew]. Default: off.
func WithIssueTime() ValidatorOption {
	return validatorOption(func(c *validatorConfig) error { c.issueTime = true; return nil })
}

// checkRule chooses the skew, and refuses options of different rules.
func (c *validatorConfig) checkRule() error {
	switch {
	case c.issueTime && c.issuerSkew != 0:
		return errors.New("WithIssueTime and WithIssuerSkew exclude each other")
	case c.epochClaim && (c.issueTime || c.issuerSkew != 0):
		return errors.New("WithEpochClaim excludes WithIssueTime and WithIssuerSkew: by the epoch claim no iat is judged")
	case c.issueTime:
		c.issuerSkew = NoIssuerSkew
	}
	return nil
}

// WithOptionalID accepts tokens of third parties that have no jti. Such a token cannot be
// revoked by itself, only with its session, its user or its issuer. [WithDerivedID] knows it by
// its hash instead.
func WithOptionalID() ValidatorOption {
	return validatorOption(func(c *validatorConfig) error { c.optional.id = true; return nil })
}

// WithOptionalSubject accepts tokens of third parties that have no sub. A revocation of a user
// does not reach such a token.
func WithOptionalSubject() ValidatorOption {
	return validatorOption(func(c *validatorConfig) error { c.optional.subject = true; return nil })
}

// WithOptionalIssuedAt accepts tokens of third parties that have no iat. It counts as 1970, so
// that after the first revocation of their user no such token is accepted again, and their
// lifetime is counted from now: an issuer that lets such tokens live for longer than
// MaxTokenLifetime makes tokens that outlive the row of a revoked user.
func WithOptionalIssuedAt() ValidatorOption {
	return validatorOption(func(c *validatorConfig) error { c.optional.issuedAt = true; return nil })
}

// WithOptionalIssuer accepts tokens of third parties that have no iss. Their revocations are
// kept under the issuer that the validator was given, so their keys must be those of that one
// issuer.
func WithOptionalIssuer() ValidatorOption {
	return validatorOption(func(c *validatorConfig) error { c.optional.issuer = true; return nil })
}

// WithBoundTokens accepts tokens that the claim cnf binds to a key: of DPoP (RFC 9449) and of
// client certificates (RFC 8705). Such a token is good only beside a proof that the sender has the
// key, and the validator does not see the request. So the app verifies the proof at each request,
// or the token is as good as a bearer token for a thief. A cnf must be an object (RFC 7800 §3.1);
// null is no cnf. Default: Validate refuses a token with a cnf (RFC 9449 §7.2). Identify accepts
// it, so that it can be revoked.
func WithBoundTokens() ValidatorOption {
	return validatorOption(func(c *validatorConfig) error { c.boundTokens = true; return nil })
}

// WithClock sets the validator's clock. It must be safe for several goroutines. Default:
// [time.Now].
func WithClock(now func() time.Time) ValidatorOption {
	return validatorOption(func(c *validatorConfig) error {
		if now == nil {
			return errors.New("clock is nil")
		}
		c.now = now
		return nil
	})
}

// WithParserOptions passes options on to golang-jwt, such as jwt.WithSubject. They can tighten
// what is accepted. An option that would loosen it has no effect, because ours are applied
// after it. Default: none. In place of jwt.WithPaddingAllowed see [WithPaddedTokens].
func WithParserOptions(opts ...jwt.ParserOption) ValidatorOption {
	return validatorOption(func(c *validatorConfig) error {
		for _, opt := range opts {
			if opt == nil {
				return errors.New("a jwt.ParserOption is nil")
			}
		}
		c.parserOptions = append(c.parserOptions, opts...)
		return nil
	})
}
