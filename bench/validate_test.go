package bench

import (
	"context"
	"slices"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// signer makes tokens by one algorithm.
type signer struct {
	method       jwt.SigningMethod
	sign, verify any // keys
}

func newSigners() (signers []signer) {
	for _, method := range []jwt.SigningMethod{
		jwt.SigningMethodHS256, jwt.SigningMethodRS256, jwt.SigningMethodES256, jwt.SigningMethodEdDSA,
	} {
		signers = append(signers, signer{method, testkit.SigningKey(method.Alg()), testkit.VerificationKey(method.Alg())})
	}
	return signers
}

// signed returns the requests with their tokens.
func (s signer) signed(b *testing.B, requests []request) []request {
	b.Helper()
	requests = slices.Clone(requests)
	for i, r := range requests {
		text, err := jwt.NewWithClaims(s.method, revoke.Claims{
			RegisteredClaims: jwt.RegisteredClaims{
				Issuer: r.token.Issuer, Subject: r.token.Subject, ID: r.token.ID, Audience: jwt.ClaimStrings{"api"},
				IssuedAt: jwt.NewNumericDate(r.token.IssuedAt), ExpiresAt: jwt.NewNumericDate(r.token.ExpiresAt),
			},
			SessionID: r.token.SessionID,
		}).SignedString(s.sign)
		testkit.Must(b, err)
		requests[i].text = text
	}
	return requests
}

func (s signer) keyfunc(*jwt.Token) (any, error) { return s.verify, nil }

func (s signer) options() []jwt.ParserOption {
	return []jwt.ParserOption{
		jwt.WithValidMethods([]string{s.method.Alg()}), jwt.WithIssuer(testkit.Issuer), jwt.WithAudience("api"),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
	}
}

// bare parses, verifies and validates a token by golang-jwt alone.
func (s signer) bare(_ context.Context, r *request) error {
	_, err := jwt.ParseWithClaims(r.text, &revoke.Claims{}, s.keyfunc, s.options()...)
	return err
}

// kept is bare with a parser that is made once.
func (s signer) kept() func(context.Context, *request) error {
	parser := jwt.NewParser(s.options()...)
	return func(_ context.Context, r *request) error {
		_, err := parser.ParseWithClaims(r.text, &revoke.Claims{}, s.keyfunc)
		return err
	}
}

// then is what an app does that asks a peer: a kept parser, and then the lookup.
func (s signer) then(ask func(context.Context, *request) error) func(context.Context, *request) error {
	parse := s.kept()
	return func(ctx context.Context, r *request) error {
		if err := parse(ctx, r); err != nil {
			return err
		}
		return ask(ctx, r)
	}
}

func (s signer) validator(b *testing.B, checker revoke.Checker, opts ...revoke.ValidatorOption) *revoke.Validator {
	b.Helper()
	v, err := revoke.NewValidator(checker, testkit.Issuer, revoke.AudienceOf("api"), s.keyfunc, []string{s.method.Alg()}, opts...)
	testkit.Must(b, err)
	return v
}

// validate validates a token and decodes its claims, as bare does.
func (s signer) validate(b *testing.B, checker revoke.Checker, opts ...revoke.ValidatorOption) func(context.Context, *request) error {
	b.Helper()
	v := s.validator(b, checker, opts...)
	return func(ctx context.Context, r *request) error {
		verified, err := v.Validate(ctx, r.text)
		if err != nil {
			return err
		}
		var claims revoke.Claims
		return verified.Claims(&claims)
	}
}
