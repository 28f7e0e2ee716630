package revoke

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke/internal/known"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// readToken is what a validator has read in the text of a token with a verified signature, as far
// as that does not depend on the time of the call. Facts and claims are not changed once they are
// made, because calls of several goroutines may share a readToken.
type readToken struct {
	facts
	claims strictjwt.Claims
	remembered
}

// recall returns what the memory has of the text, if the keyfunc returns the key that verified it;
// then again is true. Otherwise recall verifies the signature.
func (v *Validator) recall(operation, text string) (r *readToken, again bool, err error) {
	if v.memory == nil || len(text) > v.form.MaxSize {
		r, err = v.read(operation, text)
		return r, false, err
	}
	hash := hashOf(text)
	if r = v.memory.get(&hash); r == nil {
		r, err = v.read(operation, text)
	} else {
		var read strictjwt.Token
		if read, again, err = v.reader.Confirm(text, &v.kind, r.proof); !again {
			r, err = v.judgeRead(operation, text, &read, err)
		}
	}
	if !again && err == nil {
		r.hash = hash
	}
	return r, again, err
}

// read verifies the signature of a token and reads it.
func (v *Validator) read(operation, text string) (*readToken, error) {
	read, err := v.reader.Read(text, &v.kind)
	return v.judgeRead(operation, text, &read, err)
}

// judgeRead judges what the reader has returned, as far as that does not depend on the time.
func (v *Validator) judgeRead(operation, text string, read *strictjwt.Token, err error) (*readToken, error) {
	if err != nil {
		if strictjwt.IsServerFault(err, ErrUnavailable) {
			return nil, as(operation, ErrUnavailable, err)
		}
		return nil, as(operation, ErrInvalidToken, err)
	}
	token, err := v.identity(&read.Claims)
	if err == nil && token.ID == "" && v.derivedID {
		token.ID = derivedID(text)
	}
	if err == nil {
		err = v.audience.accepts(read.Claims.Audience)
	}
	if err != nil {
		return nil, v.refuse(operation, text, &read.Claims, err)
	}
	r := &readToken{
		facts:      facts{token: token, payload: read.Payload, respelled: read.Claims.Respelled},
		claims:     read.Claims,
		remembered: remembered{proof: read.Proof},
	}
	if v.taker != nil {
		r.addKeys()
	}
	return r, nil
}

// judge judges at the time of the call what has been read, all but the revocation.
func (v *Validator) judge(ctx context.Context, operation, text string, r *readToken, now time.Time, mayBeExpired bool) (*Verified, error) {
	err := v.checkTimes(&r.claims, now, mayBeExpired)
	// Identify passes over the binding: a token that a thief of it cannot use can still be ended.
	if err == nil && r.claims.IsBound && !v.boundTokens && !mayBeExpired {
		err = errBound
	}
	if err == nil && v.claims != nil {
		err = v.checkParserOptions(&r.claims, r.token.ExpiresAt, now, mayBeExpired)
	}
	if err != nil {
		return nil, v.refuse(operation, text, &r.claims, err)
	}
	for _, check := range v.checks {
		// Of its own, because what a check changes is not the token's.
		if err := check(ctx, &Verified{r.token, &r.facts}); err != nil {
			return nil, known.With(invalidClaims(operation, err), r.token)
		}
	}
	return &Verified{r.token, &r.facts}, nil
}

// refuse is the error of a token with a verified signature and claims that are not accepted.
func (v *Validator) refuse(operation, text string, read *strictjwt.Claims, err error) error {
	return known.With(as(operation, ErrInvalidToken, fmt.Errorf("%w: %w", jwt.ErrTokenInvalidClaims, err)), v.named(read, text))
}

// named returns the names in the claims of a token with a verified signature, which may be
// another issuer's. Where it is this validator's they are those of a token that is accepted.
func (v *Validator) named(read *strictjwt.Claims, text string) Token {
	token := Token{Issuer: read.Issuer}
	if v.isNamed(read.Issuer) {
		token.Issuer = v.issuer
	}
	for i := range scopes {
		scopes[i].read(&token, read)
	}
	if token.ID == "" && v.derivedID {
		token.ID = derivedID(text)
	}
	return token
}

// errBound refuses a token that is bound to a key, for which a bearer token must not pass (RFC 9449
// §7.2, RFC 8705 §3).
var errBound = errors.New("the token is bound to a key by its claim \"cnf\", and so is no bearer token: " +
	"see WithBoundTokens")

// checkParserOptions applies the caller's options of golang-jwt.
func (v *Validator) checkParserOptions(read *strictjwt.Claims, expiresAt, now time.Time, mayBeExpired bool) error {
	validator := v.claims
	if mayBeExpired && !now.Before(expiresAt) {
		// At its last instant the token was not expired.
		last := expiresAt.Add(-time.Nanosecond)
		validator = v.claimsValidator(func() time.Time { return last })
	}
	return validator.Validate(read)
}

// identity demands the claims by which a token can be revoked.
func (v *Validator) identity(read *strictjwt.Claims) (Token, error) {
	for _, claim := range [...]struct {
		name              string
		missing, optional bool
	}{
		{"iss", read.Issuer == "", v.optional.issuer},
		{v.names.Subject, read.Subject == "", v.optional.subject},
		{v.names.ID, read.ID == "", v.optional.id || v.derivedID},
		{"iat", read.IssuedAt == strictjwt.NoDate, v.optional.issuedAt},
		{"exp", read.ExpiresAt == strictjwt.NoDate, false},
		{v.names.Session, read.Session == "", !v.session || v.sessionless != nil},
		{strictjwt.EpochClaim, read.Epochs == "", !v.epochClaim || v.optional.epochs},
	} {
		if claim.missing && !claim.optional {
			return Token{}, fmt.Errorf("%w: %q", jwt.ErrTokenRequiredClaimMissing, claim.name)
		}
	}
	if read.Issuer != "" && !v.isNamed(read.Issuer) {
		return Token{}, strictjwt.OtherIssuer(v.issuer, read.Issuer)
	}
	// Every client of an issuer receives logout tokens, which name other clients' users, and
	// older issuers do not type them.
	if read.IsLogout && v.tokenType != strictjwt.LogoutType {
		return Token{}, errors.New("the token is a logout token")
	}
	token := Token{
		Issuer:     v.issuer,
		IssuedAt:   time.Unix(max(read.IssuedAt, 0), 0).UTC(),
		ExpiresAt:  time.Unix(read.ExpiresAt, 0).UTC(),
		IssuerSkew: v.issuerSkew,
	}
	for i := range scopes {
		scopes[i].read(&token, read)
	}
	if read.Actor != "" {
		var err error
		if token.Actor, err = v.actor(read.Actor); err != nil {
			return Token{}, err
		}
	}
	if !v.epochClaim {
		return token, nil
	}
	token.HasEpochs = true // also without the claim, which is older than every revocation
	if read.Epochs != "" {
		if err := token.Epochs.UnmarshalJSON([]byte(read.Epochs)); err != nil {
			return Token{}, err
		}
	}
	return token, nil
}

func (v *Validator) checkTimes(read *strictjwt.Claims, now time.Time, mayBeExpired bool) error {
	issuedAt := read.IssuedAt
	if issuedAt == strictjwt.NoDate {
		issuedAt = min(now.Unix(), read.ExpiresAt)
	}
	expiresAt := time.Unix(read.ExpiresAt, 0)
	switch {
	case !mayBeExpired && !now.Before(expiresAt.Add(v.leeway)):
		return jwt.ErrTokenExpired
	case read.NotBefore != strictjwt.NoDate && now.Before(time.Unix(read.NotBefore, 0).Add(-v.leeway)):
		return jwt.ErrTokenNotValidYet
	// Without the claim, the checker judges the iat.
	case v.epochClaim && time.Unix(issuedAt, 0).After(now.Add(MaxIssuedAhead)):
		return fmt.Errorf("%w: its iat is more than %v ahead", jwt.ErrTokenUsedBeforeIssued, MaxIssuedAhead)
	case issuedAt > read.ExpiresAt:
		return errors.New("the token expires before it is issued")
	case time.Duration(read.ExpiresAt-issuedAt) > v.maxLifetime/time.Second:
		return fmt.Errorf("the token is valid for longer than %s", strictjwt.Days(v.maxLifetime))
	}
	return nil
}
