package revoke

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke/internal/strict"
)

// Claims are the claims of a token of your own: the registered ones, the session, and the epochs of its user for the
// claim rule (see [Epochs] and [WithEpochClaim]). Embed it to add claims of the app's.
type Claims struct {
	jwt.RegisteredClaims
	SessionID string  `json:"sid,omitempty"`
	Epochs    *Epochs `json:"epochs,omitempty"`
}

// Validator accepts a token only if its signature, its claims and the revocations allow it. C is the caller's type of
// claims, such as [Claims]. It may be used from several goroutines.
type Validator[C any] struct {
	checker  Checker
	issuer   string
	keyfunc  jwt.Keyfunc
	parser   *jwt.Parser
	claims   *jwt.Validator
	asClaims func(*C) jwt.Claims
	validatorConfig
}

// NewValidator returns a validator of one issuer's tokens. The checker is a [Store] or whatever else can answer; keyfunc
// returns the key of a token, as golang-jwt wants it; algorithms are the only ones that are accepted, such as
// jwt.SigningMethodES256.Alg(). None and a mixture of HMAC with public-key algorithms are refused, because a public key
// could then be taken for a secret. It starts nothing. An error says which argument or option is wrong.
//
// A token must have exp, iat, sub, jti and iss, unless an option says otherwise, because one that lacks them could not be
// revoked. These, sid, nbf and aud, must occur once, in exactly this spelling, and be of the right type and length. A token
// that says of itself that it is no access token is refused: see [WithTokenType].
func NewValidator[C any, P interface {
	*C
	jwt.Claims
}](checker Checker, issuer string, keyfunc jwt.Keyfunc, algorithms []string, opts ...ValidatorOption) (*Validator[C], error) {
	v := &Validator[C]{
		checker:  checker,
		issuer:   issuer,
		keyfunc:  keyfunc,
		asClaims: func(c *C) jwt.Claims { return P(c) },
		validatorConfig: validatorConfig{
			leeway:      DefaultLeeway,
			maxLifetime: MaxTokenLifetime,
			maxSize:     DefaultMaxTokenSize,
			now:         systemClock,
		},
	}
	err := errors.Join(strict.CheckID("issuer", issuer), strict.CheckAlgorithms(algorithms))
	if checker == nil {
		err = errors.Join(err, errors.New("checker is nil"))
	}
	if keyfunc == nil {
		err = errors.Join(err, errors.New("keyfunc is nil"))
	}
	if err != nil {
		return nil, fmt.Errorf("revoke: NewValidator: %w", err)
	}
	if err := apply("NewValidator", &v.validatorConfig, opts); err != nil {
		return nil, err
	}
	// The caller's options come first and ours last, since the last one wins. A parser verifies the signature; claims are
	// validated after their identity has been read, and not by the parser.
	v.parser = jwt.NewParser(append(slices.Clone(v.parserOptions),
		jwt.WithValidMethods(slices.Clone(algorithms)), jwt.WithoutClaimsValidation(), jwt.WithStrictDecoding())...)
	v.claims = v.claimsValidator(v.now)
	return v, nil
}

func (v *Validator[C]) claimsValidator(now func() time.Time) *jwt.Validator {
	return jwt.NewValidator(append(slices.Clone(v.parserOptions),
		jwt.WithLeeway(v.leeway), jwt.WithTimeFunc(now), jwt.WithExpirationRequired())...)
}

// RequiresSession reports whether this validator is of the issuer and accepts only tokens that have a sid: see
// [WithRequiredSession]. What answers a logout by ending a session asks for it, because no such logout ends a token without
// one.
func (v *Validator[C]) RequiresSession(issuer string) bool {
	return v != nil && v.session && v.issuer == issuer
}

// Validate returns the token's identity and its claims if the token is accepted: signed by the issuer, valid now, and not
// revoked. The claims are new at each call. With an error both are zero, and the error matches exactly one of ErrRevoked,
// ErrInvalidToken and ErrUnavailable; golang-jwt's sentinels, such as jwt.ErrTokenExpired, match as well. What is believed
// of a token is believed only after its signature was verified, and nothing else reaches the checker.
func (v *Validator[C]) Validate(ctx context.Context, tokenString string) (Token, *C, error) {
	const operation = "Validate"
	token, claims, err := v.read(operation, tokenString, false)
	if err != nil {
		return Token{}, nil, err
	}
	if err := v.checker.Check(ctx, token); err != nil {
		return Token{}, nil, classify(operation, err)
	}
	return token, claims, nil
}

// Identify returns the identity and the claims of a token that may have expired, and does not ask whether it was revoked.
// Everything else is as in Validate. It is for a logout of this token and its session, which a user may ask for with an
// expired one. What ends more than that demands a token that passes Validate.
func (v *Validator[C]) Identify(tokenString string) (Token, *C, error) {
	return v.read("Identify", tokenString, true)
}

// read verifies a token, all but its revocation.
func (v *Validator[C]) read(operation, tokenString string, mayBeExpired bool) (Token, *C, error) {
	fail := func(err error) (Token, *C, error) {
		if isOutage(err) {
			return Token{}, nil, as(operation, ErrUnavailable, err)
		}
		return Token{}, nil, as(operation, ErrInvalidToken, err)
	}
	if err := strict.CheckForm(tokenString, v.maxSize); err != nil {
		return fail(err)
	}
	claims := new(C)
	parsed, err := v.parser.ParseWithClaims(tokenString, v.asClaims(claims), v.keyfunc)
	switch {
	case errors.Is(err, jwt.ErrTokenUnverifiable): // the keyfunc's error is one of these
		return fail(err)
	case err != nil: // what else goes wrong before the signature is verified is the token's fault, whatever it looks like
		return Token{}, nil, as(operation, ErrInvalidToken, err)
	}
	if err := v.checkHeader(parsed.Header); err != nil {
		return fail(err)
	}
	data, err := strict.Payload(tokenString)
	if err != nil {
		return fail(err)
	}
	read, err := strict.ReadClaims(data, v.kind())
	if err != nil {
		return fail(fmt.Errorf("%w: %w", jwt.ErrTokenInvalidClaims, err))
	}
	now := v.now()
	token, err := v.identity(read, now)
	if err == nil {
		err = v.checkTimes(read, now, mayBeExpired)
	}
	if err != nil {
		return fail(fmt.Errorf("%w: %w", jwt.ErrTokenInvalidClaims, err))
	}
	validator := v.claims
	if mayBeExpired && !now.Before(token.ExpiresAt) {
		// At its last instant the token was not expired.
		last := token.ExpiresAt.Add(-time.Nanosecond)
		validator = v.claimsValidator(func() time.Time { return last })
	}
	if err := validator.Validate(v.asClaims(claims)); err != nil {
		return fail(fmt.Errorf("%w: %w", jwt.ErrTokenInvalidClaims, err))
	}
	return token, claims, nil
}

// kind is what claims are read.
func (v *Validator[C]) kind() strict.Kind {
	if v.epochClaim {
		return strict.EpochToken
	}
	return strict.AccessToken
}

func (v *Validator[C]) checkHeader(header map[string]any) error {
	if err := strict.CheckHeader(header); err != nil {
		return err
	}
	typ, _ := header["typ"].(string)
	switch kind := strict.MediaType(typ); {
	case v.tokenType != "" && kind != v.tokenType:
		return fmt.Errorf("%w: its typ is not %q", jwt.ErrTokenInvalidClaims, v.tokenType)
	case v.tokenType == "" && strict.IsOtherKind(kind):
		return fmt.Errorf("%w: its typ is of another kind than an access token's: see WithTokenType", jwt.ErrTokenInvalidClaims)
	}
	return nil
}

// identity demands the claims by which a token can be revoked.
func (v *Validator[C]) identity(read strict.Claims, now time.Time) (Token, error) {
	for _, claim := range [...]struct {
		name              string
		missing, optional bool
	}{
		{"iss", read.Issuer == "", v.optional.issuer},
		{"sub", read.Subject == "", v.optional.subject},
		{"jti", read.ID == "", v.optional.id},
		{"iat", read.IssuedAt == strict.NoDate, v.optional.issuedAt},
		{"exp", read.ExpiresAt == strict.NoDate, false},
		{"sid", read.Session == "", !v.session},
	} {
		if claim.missing && !claim.optional {
			return Token{}, fmt.Errorf("%w: %q", jwt.ErrTokenRequiredClaimMissing, claim.name)
		}
	}
	if read.Issuer != "" && read.Issuer != v.issuer {
		return Token{}, jwt.ErrTokenInvalidIssuer
	}
	// Every client of the issuer is sent some, which name others' users, and older issuers do not type them.
	if read.IsLogout && v.tokenType != strict.LogoutType {
		return Token{}, errors.New("it is a logout token")
	}
	token := Token{
		Issuer:    v.issuer,
		ID:        read.ID,
		Subject:   read.Subject,
		SessionID: read.Session,
		IssuedAt:  time.Unix(max(read.IssuedAt, 0), 0).UTC(),
		ExpiresAt: time.Unix(read.ExpiresAt, 0).UTC(),
	}
	if !v.epochClaim {
		return token, nil
	}
	token.Epochs = &Epochs{} // a token without the claim is older than every revocation
	if read.Epochs != "" {
		if err := token.Epochs.UnmarshalJSON([]byte(read.Epochs)); err != nil {
			return Token{}, err
		}
	}
	if ahead := now.Add(maxEpochAhead).UnixMicro(); token.Epochs.User > ahead || token.Epochs.Issuer > ahead {
		return Token{}, fmt.Errorf("claim %q is more than %v ahead", strict.EpochClaim, maxEpochAhead)
	}
	return token, nil
}

// maxEpochAhead is how far ahead of the validator's clock an epoch claim may lie: MaxIssuerSkew, and as much again for the
// difference between the clocks of validator and database.
const maxEpochAhead = time.Minute

func (v *Validator[C]) checkTimes(read strict.Claims, now time.Time, mayBeExpired bool) error {
	issuedAt := read.IssuedAt
	if issuedAt == strict.NoDate {
		issuedAt = min(now.Unix(), read.ExpiresAt)
	}
	expiresAt := time.Unix(read.ExpiresAt, 0)
	switch {
	case !mayBeExpired && !now.Before(expiresAt.Add(v.leeway)):
		return jwt.ErrTokenExpired
	case read.NotBefore != strict.NoDate && now.Before(time.Unix(read.NotBefore, 0).Add(-v.leeway)):
		return jwt.ErrTokenNotValidYet
	case time.Unix(issuedAt, 0).After(now.Add(MaxIssuedAhead)):
		return fmt.Errorf("%w: its iat is more than %v ahead", jwt.ErrTokenUsedBeforeIssued, MaxIssuedAhead)
	case issuedAt > read.ExpiresAt:
		return errors.New("it expires before it is issued")
	case time.Duration(read.ExpiresAt-issuedAt) > v.maxLifetime/time.Second:
		return fmt.Errorf("it is valid for longer than %v", v.maxLifetime)
	}
	return nil
}

// classify makes a checker's error match exactly one of the three sentinels. One that matches none, or several, says that
// nobody could tell.
func classify(operation string, err error) error {
	matches := 0
	for _, sentinel := range [...]error{ErrRevoked, ErrInvalidToken, ErrUnavailable} {
		if errors.Is(err, sentinel) {
			matches++
		}
	}
	if matches == 1 {
		return fmt.Errorf("revoke: %s: %w", operation, err)
	}
	return as(operation, ErrUnavailable, err)
}

// as makes an error that matches one of the three sentinels and carries the cause. A cause that matches another of them
// is carried as text only.
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

// isOutage reports whether an error says nothing about the token: the source of the keys, or what a claims type asks when
// it validates itself, did not answer.
func isOutage(err error) bool { return errors.Is(err, ErrUnavailable) || strict.IsOutage(err) }
