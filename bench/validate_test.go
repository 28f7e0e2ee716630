package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
)

// signer makes tokens by one algorithm.
type signer struct {
	method       jwt.SigningMethod
	sign, verify any // keys
}

func newSigners(b *testing.B) []signer {
	b.Helper()
	ecKey, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsaKey, err2 := rsa.GenerateKey(rand.Reader, 2048)
	edPublic, edKey, err3 := ed25519.GenerateKey(rand.Reader)
	must(b, errors.Join(err1, err2, err3))
	return []signer{
		{jwt.SigningMethodHS256, hmacKey, hmacKey},
		{jwt.SigningMethodRS256, rsaKey, rsaKey.Public()},
		{jwt.SigningMethodES256, ecKey, ecKey.Public()},
		{jwt.SigningMethodEdDSA, edKey, edPublic},
	}
}

var hmacKey = []byte("0123456789abcdef0123456789abcdef")

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
		must(b, err)
		requests[i].text = text
	}
	return requests
}

func (s signer) keyfunc(*jwt.Token) (any, error) { return s.verify, nil }

func (s signer) options() []jwt.ParserOption {
	return []jwt.ParserOption{
		jwt.WithValidMethods([]string{s.method.Alg()}), jwt.WithIssuer(issuer), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
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

// then is what an app writes who asks a peer: a kept parser, and then the lookup.
func (s signer) then(ask func(context.Context, *request) error) func(context.Context, *request) error {
	parse := s.kept()
	return func(ctx context.Context, r *request) error {
		if err := parse(ctx, r); err != nil {
			return err
		}
		return ask(ctx, r)
	}
}

func (s signer) validate(b *testing.B, checker revoke.Checker) func(context.Context, *request) error {
	b.Helper()
	v, err := revoke.NewValidator[revoke.Claims](checker, issuer, s.keyfunc, []string{s.method.Alg()})
	must(b, err)
	return func(ctx context.Context, r *request) error {
		_, _, err := v.Validate(ctx, r.text)
		return err
	}
}
