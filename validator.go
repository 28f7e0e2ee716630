package revoke

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
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
// revoked. These, sid, nbf and aud, must occur once, in exactly this spelling, and be of the right type and length.
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
	err := errors.Join(checkID("issuer", issuer), checkAlgorithms(algorithms))
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

// checkAlgorithms refuses lists that would accept more than one may think.
func checkAlgorithms(algorithms []string) error {
	if len(algorithms) == 0 {
		return errors.New("no algorithm is allowed; name one, such as ES256")
	}
	hmac := 0
	for _, name := range algorithms {
		method := jwt.GetSigningMethod(name)
		switch {
		case strings.EqualFold(name, "none") || method == jwt.SigningMethod(jwt.SigningMethodNone):
			return fmt.Errorf("algorithm %q signs nothing", name)
		case method == nil:
			return fmt.Errorf("algorithm %q is not known to golang-jwt, which knows %q", name, jwt.GetAlgorithms())
		}
		if _, ok := method.(*jwt.SigningMethodHMAC); ok {
			hmac++
		}
	}
	if hmac > 0 && hmac < len(algorithms) {
		return fmt.Errorf("algorithms %q mix HMAC with public-key algorithms", algorithms)
	}
	return nil
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
	if err := v.checkText(tokenString); err != nil {
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
	text := tokenString[strings.IndexByte(tokenString, '.')+1 : strings.LastIndexByte(tokenString, '.')]
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", jwt.ErrTokenMalformed, err))
	}
	p, err := readPayload(data, v.epochClaim)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", jwt.ErrTokenInvalidClaims, err))
	}
	now := v.now()
	token, err := v.identity(p, now)
	if err == nil {
		err = v.checkTimes(p, now, mayBeExpired)
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

// checkText looks at a token's length and letters before anything is decoded: a JWS in compact form (RFC 7515 §7.1) is
// three parts of base64url. golang-jwt lets line breaks pass in them.
func (v *Validator[C]) checkText(tokenString string) error {
	if len(tokenString) > v.maxSize {
		return fmt.Errorf("%w: it is %d bytes long, at most %d are allowed", jwt.ErrTokenMalformed, len(tokenString), v.maxSize)
	}
	dots := 0
	for i := range len(tokenString) {
		switch c := tokenString[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		case c == '.':
			dots++
		default:
			return fmt.Errorf("%w: byte %d is not of the base64url alphabet", jwt.ErrTokenMalformed, i)
		}
	}
	if dots != 2 {
		return fmt.Errorf("%w: it has %d parts, not 3", jwt.ErrTokenMalformed, dots+1)
	}
	return nil
}

// checkHeader refuses what golang-jwt ignores.
func (v *Validator[C]) checkHeader(header map[string]any) error {
	if _, ok := header["crit"]; ok {
		return fmt.Errorf("%w: extensions that the header calls critical are not understood (RFC 7515 §4.1.11)", jwt.ErrTokenUnverifiable)
	}
	if b64, ok := header["b64"]; ok && b64 != true {
		return fmt.Errorf("%w: a payload that is not encoded is not understood (RFC 7797)", jwt.ErrTokenUnverifiable)
	}
	if v.tokenType == "" {
		return nil
	}
	if typ, ok := header["typ"].(string); !ok || mediaType(typ) != v.tokenType {
		return fmt.Errorf("%w: its typ is not %q", jwt.ErrTokenInvalidClaims, v.tokenType)
	}
	return nil
}

// identity demands the claims by which a token can be revoked.
func (v *Validator[C]) identity(p payload, now time.Time) (Token, error) {
	for _, claim := range [...]struct {
		name              string
		missing, optional bool
	}{
		{"iss", p.issuer == "", v.optional.issuer},
		{"sub", p.subject == "", v.optional.subject},
		{"jti", p.id == "", v.optional.id},
		{"iat", p.issuedAt == noDate, v.optional.issuedAt},
		{"exp", p.expiresAt == noDate, false},
	} {
		if claim.missing && !claim.optional {
			return Token{}, fmt.Errorf("%w: %q", jwt.ErrTokenRequiredClaimMissing, claim.name)
		}
	}
	if p.issuer != "" && p.issuer != v.issuer {
		return Token{}, jwt.ErrTokenInvalidIssuer
	}
	token := Token{
		Issuer:    v.issuer,
		ID:        p.id,
		Subject:   p.subject,
		SessionID: p.session,
		IssuedAt:  time.Unix(max(p.issuedAt, 0), 0).UTC(),
		ExpiresAt: time.Unix(p.expiresAt, 0).UTC(),
	}
	if !v.epochClaim {
		return token, nil
	}
	token.Epochs = &Epochs{} // a token without the claim is older than every revocation
	if p.epochs != nil {
		token.Epochs = p.epochs
	}
	if ahead := now.Add(maxEpochAhead).UnixMicro(); token.Epochs.User > ahead || token.Epochs.Issuer > ahead {
		return Token{}, fmt.Errorf("claim %q is more than %v ahead", epochClaim, maxEpochAhead)
	}
	return token, nil
}

// maxEpochAhead is how far ahead of the validator's clock an epoch claim may lie: MaxIssuerSkew, and as much again for the
// difference between the clocks of validator and database.
const maxEpochAhead = time.Minute

func (v *Validator[C]) checkTimes(p payload, now time.Time, mayBeExpired bool) error {
	issuedAt := p.issuedAt
	if issuedAt == noDate {
		issuedAt = min(now.Unix(), p.expiresAt)
	}
	expiresAt := time.Unix(p.expiresAt, 0)
	switch {
	case !mayBeExpired && !now.Before(expiresAt.Add(v.leeway)):
		return jwt.ErrTokenExpired
	case p.notBefore != noDate && now.Before(time.Unix(p.notBefore, 0).Add(-v.leeway)):
		return jwt.ErrTokenNotValidYet
	case time.Unix(issuedAt, 0).After(now.Add(MaxIssuedAhead)):
		return fmt.Errorf("%w: its iat is more than %v ahead", jwt.ErrTokenUsedBeforeIssued, MaxIssuedAhead)
	case issuedAt > p.expiresAt:
		return errors.New("it expires before it is issued")
	case time.Duration(p.expiresAt-issuedAt) > v.maxLifetime/time.Second:
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
func isOutage(err error) bool {
	var network net.Error
	return errors.Is(err, ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &network)
}
