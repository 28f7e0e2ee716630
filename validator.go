package revoke

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke/internal/absent"
	"github.com/pgrevoke/revoke/internal/cancelled"
	"github.com/pgrevoke/revoke/internal/issuers"
	"github.com/pgrevoke/revoke/internal/known"
	"github.com/pgrevoke/revoke/internal/oneline"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// systemClock is the one clock of this machine that decides anything; the sweeper and hooks
// measure durations by time.Now.
var systemClock = time.Now

// Validator accepts a token only if its signature, its claims and the revocations allow it. It
// may be used from several goroutines.
type Validator struct {
	checker  Checker
	taker    verifiedChecker // the checker, where it takes row keys; nil where it does not
	issuer   string
	audience Audience
	reader   *strictjwt.Reader
	kind     strictjwt.Kind
	claims   *jwt.Validator   // nil where the caller gave no jwt.ParserOption
	memory   *signatureMemory // nil where none is wanted
	validatorConfig
}

// NewValidator returns a validator of one issuer's tokens. The checker is a [Store] or another
// [Checker], such as a mirror. The audience is a decision that each service has to make (RFC
// 8725 §3.9): [AudienceOf] the names by which the issuer knows it, or [AnyAudience]. keyfunc
// returns the key of a token, as golang-jwt wants it. It gets a new *jwt.Token at each call, of
// which Raw, Method, Header and Claims are set. The Claims have golang-jwt's getters and are no
// jwt.MapClaims. algorithms are the only ones that are accepted, such as
// jwt.SigningMethodES256.Alg(). "none" and a mixture of HMAC with public-key algorithms are
// refused, because a public key could then be used as a secret. NewValidator starts nothing. An
// error says which argument or option is wrong.
//
// Two failures of keyfunc are the server's, and make a token ErrUnavailable instead of
// ErrInvalidToken.
//
// Its source did not answer: keyfunc's error matches ErrUnavailable, or is an outage by its
// kind. An outage is a context's error; a timeout; a connection that was refused or broke;
// a name that was not resolved; an HTTP request that failed; an error of Postgres of the
// classes 08, 25, 28, 40, 53, 57, 58 and XX (but not of a message that a NUL in an argument
// cut short), a lock that was not to be had, a prepared statement that is gone or out of
// date, and a missing database, schema, table, column, function or privilege; a closed
// pool. Any other error refuses the token: an unknown kid, no row, a file that does not
// exist, a malformed URL, address or query. A keyfunc may have made these from the token's
// header, so they do not show that the server is at fault; a keyfunc that reads a
// configured file or URL knows better, and wraps ErrUnavailable. A keyfunc returns an error
// for an unknown kid, and not a nil key, as a look into a map gives one.
//
// The key is one that no allowed algorithm may use: nil; a key of another type, such as a
// string, PEM text, a private key or a pointer to nil; a secret shorter than the hash (RFC 7518
// §3.2), or one that is a public key; an RSA key below 2048 bits (§3.3); a point of another
// curve. The error says what was returned and what is wanted, and nothing of the key. In a
// jwt.VerificationKeySet such keys are skipped, and a set without any other is the server's
// fault too. A good key for another of the allowed algorithms than the token's is ErrInvalidToken,
// since the token's maker chose.
//
// A token must have exp, iat, sub, jti and iss, unless an option says otherwise, because one
// that lacks them could not be revoked. These, sid, nbf and aud, must occur once, in exactly
// this spelling, and be of the right type and length. Where a claim may be absent (by an option,
// sid unless it is required, aud under [AnyAudience]), null and "" count as absence, and [] as
// the absence of aud. Times count in whole seconds; a fraction is dropped. A token with the typ
// of another kind than an access token is refused: see [WithTokenType]. So is one that is bound to
// a key: see [WithBoundTokens].
//
// What a validator takes for the identity of a token ([WithClaimNames], [WithoutSession],
// [WithDerivedID], [WithIssuerAliases]) is what revocations are found by. Where one of these
// changes for tokens that are in use, what was revoked under the old identity is accepted again:
// call [Revoker.RevokeIssuer] with the change.
func NewValidator(checker Checker, issuer string, audience Audience, keyfunc jwt.Keyfunc, algorithms []string,
	opts ...ValidatorOption,
) (*Validator, error) {
	const constructor = "NewValidator"
	v := &Validator{
		checker:  checker,
		taker:    takesVerified(checker),
		issuer:   issuer,
		audience: audience,
		validatorConfig: validatorConfig{
			leeway:      DefaultLeeway,
			maxLifetime: MaxTokenLifetime,
			form:        strictjwt.Form{MaxSize: DefaultMaxTokenSize},
			memorySize:  DefaultSignatureMemory,
			now:         systemClock,

			identityConfig: identityConfig{names: registeredNames},
		},
	}
	err := oneline.Join(strictjwt.CheckID("issuer", issuer), audience.check())
	if absent.Is(checker) {
		err = oneline.Join(err, errors.New("checker is nil"))
	}
	if store, ok := checker.(interface{ CheckIssuer(issuer string) error }); ok && err == nil {
		err = store.CheckIssuer(issuer)
	}
	if err != nil {
		return nil, fmt.Errorf("revoke: %s: %w", constructor, err)
	}
	if err := apply(constructor, &v.validatorConfig, opts, ValidatorOption.toValidator); err != nil {
		return nil, err
	}
	if err := oneline.Join(v.checkRule(), v.checkIdentity()); err != nil {
		return nil, fmt.Errorf("revoke: %s: %w", constructor, err)
	}
	if v.sessionless != nil {
		v.checks = slices.Insert(v.checks, 0, v.checkSession)
	}
	v.reader, err = strictjwt.NewReader(keyfunc, algorithms, v.form, v.parserOptions...)
	if err != nil {
		return nil, fmt.Errorf("revoke: %s: %w", constructor, err)
	}
	v.kind = strictjwt.AccessToken(v.tokenType, v.claimsToRead()...)
	if len(v.parserOptions) > 0 {
		v.claims = v.claimsValidator(v.now)
	}
	if v.memorySize > 0 {
		v.memory = newSignatureMemory(v.memorySize, v.leeway)
	}
	return v, nil
}

// claimsValidator applies the caller's options first and ours last, since the last one wins.
func (v *Validator) claimsValidator(now func() time.Time) *jwt.Validator {
	return jwt.NewValidator(append(slices.Clone(v.parserOptions),
		jwt.WithLeeway(v.leeway), jwt.WithTimeFunc(now), jwt.WithExpirationRequired())...)
}

// User returns a user of this validator's issuer by their sub, for a revocation: so the issuer is
// typed once.
func (v *Validator) User(sub string) User { return User{Issuer: v.issuer, Subject: sub} }

// Session returns a session of this validator's issuer by its sid. A token's jti is no sid:
// take the session of a token from [Token.Session].
func (v *Validator) Session(sid string) Session { return Session{Issuer: v.issuer, ID: sid} }

// Validate returns the token if it is accepted: signed by the issuer, for this audience, valid
// now, and not revoked. With an error it returns nil, and the error matches exactly one of
// ErrRevoked, ErrInvalidToken and ErrUnavailable; golang-jwt's sentinels, such as
// jwt.ErrTokenExpired, match as well. Nothing of a token is used before its signature has
// verified, and nothing else reaches the checker.
//
// If the signature has verified, the error carries the token's identity for a log, by a method
// VerifiedToken() Token, which errors.As finds; revokehttp.TokenFromError returns it. The text
// of the error does not contain the identity.
//
// The text of an error contains nothing of a token that was not verified, and of a verified one
// only names of registered claims and its iss, cut short. It also contains the texts of the
// errors that the app's own functions return: that of keyfunc in one line and cut short, those
// of claims checks and of the checker as they are.
func (v *Validator) Validate(ctx context.Context, text string) (*Verified, error) {
	if v.hooks.validate == nil {
		return v.validate(ctx, text, new(bool))
	}
	start := time.Now()
	var remembered bool
	verified, err := v.validate(ctx, text, &remembered)
	event := ValidateEvent{Duration: time.Since(start), Err: err, Cancelled: cancelled.ByCaller(ctx, err), Remembered: remembered}
	for _, hook := range v.hooks.validate {
		hook.OnValidate(ctx, event)
	}
	return verified, err
}

// validate is Validate without its hooks. It sets remembered where the signature need not be
// verified anew.
func (v *Validator) validate(ctx context.Context, text string, remembered *bool) (*Verified, error) {
	const operation = "Validate"
	r, again, err := v.recall(operation, text)
	*remembered = again
	if err != nil {
		return nil, err
	}
	now := v.now()
	verified, err := v.judge(ctx, operation, text, r, now, false)
	if err != nil {
		if again && v.memory.isOver(r, now) {
			v.memory.forget(r)
		}
		return nil, err
	}
	if v.taker != nil {
		err = v.taker.CheckVerified(ctx, *verified)
	} else {
		err = v.checker.Check(ctx, verified.Token)
	}
	if err == nil {
		err = v.checkActor(ctx, verified.Token)
	}
	if err != nil {
		return nil, known.With(classify(operation, err), verified.Token)
	}
	if !again && v.memory != nil {
		v.memory.put(r, now)
	}
	return verified, nil
}

// Identify returns the identity of a token that may have expired, and does not ask whether it
// was revoked, whether it is bound to a key, nor whether its iat or its epochs are ahead of the
// store's clock. Everything else is as in Validate. It is for a logout of this token and its
// session, which a user may ask for with an expired one. A handler that ends more than that
// demands a token that passes Validate.
func (v *Validator) Identify(ctx context.Context, text string) (Token, error) {
	const operation = "Identify"
	r, err := v.read(operation, text)
	if err != nil {
		return Token{}, err
	}
	verified, err := v.judge(ctx, operation, text, r, v.now(), true)
	if err != nil {
		return Token{}, err
	}
	return verified.Token, nil
}

// classify makes a checker's error match exactly one of the three sentinels. An error that
// matches none, or several, does not say whether the token is revoked, so it is ErrUnavailable. So
// is one about an issuer that the store no longer knows, since the token has verified.
func classify(operation string, err error) error {
	if errors.As(err, new(*issuers.UnknownError)) {
		return as(operation, ErrUnavailable, err)
	}
	matches := 0
	for _, sentinel := range [...]error{ErrRevoked, ErrInvalidToken, ErrUnavailable} {
		if errors.Is(err, sentinel) {
			matches++
		}
	}
	if matches == 1 {
		return err // which names its operation already
	}
	return as(operation, ErrUnavailable, err)
}

// as makes an error that matches one of the three sentinels and carries the cause. A cause that
// matches another of them is carried as text only.
func as(operation string, sentinel, cause error) error {
	for _, other := range [...]error{ErrRevoked, ErrInvalidToken, ErrUnavailable} {
		if errors.Is(cause, other) && !errors.Is(sentinel, other) {
			cause = errors.New(cause.Error())
		}
	}
	if errors.Is(cause, sentinel) {
		return fmt.Errorf("revoke: %s: %w", operation, cause)
	}
	return fmt.Errorf("revoke: %s: %w: %w", operation, sentinel, cause)
}

// invalidClaims is the error of a check of claims: the token's fault, or an outage of what the
// check asked.
func invalidClaims(operation string, err error) error {
	if isOutage(err) {
		return as(operation, ErrUnavailable, err)
	}
	return as(operation, ErrInvalidToken, fmt.Errorf("%w: %w", jwt.ErrTokenInvalidClaims, err))
}

// isOutage reports whether an error says nothing about the token: the source of the keys, or
// the service that a claims check asked, did not answer.
func isOutage(err error) bool { return errors.Is(err, ErrUnavailable) || strictjwt.IsOutage(err) }
