package oauth

import (
	"context"
	"errors"
	"slices"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/absent"
	"github.com/pgrevoke/revoke/internal/endpoint"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// Validator decides whether a token is of a kind, and whether it is accepted. A
// *revoke.Validator is one, and so is a *revoke.ValidatorSet. It must be safe for several
// goroutines.
type Validator interface {
	// Validate returns a token that is accepted, or an error that matches exactly one of
	// revoke.ErrRevoked, revoke.ErrInvalidToken and revoke.ErrUnavailable. [NewIntrospection]
	// calls it.
	Validate(ctx context.Context, text string) (*revoke.Verified, error)

	// Identify returns the identity of a token that may have expired or been revoked.
	// [NewRevocation] calls it.
	Identify(ctx context.Context, text string) (revoke.Token, error)
}

// Tokens is one kind of tokens: see [AccessTokens] and [RefreshTokens].
//
// An endpoint tries the kinds in their order, and a token is of the first kind that recognises
// it. So the validators must tell the kinds apart: with revoke.WithTokenType, or by audience,
// issuer or key. The parameter token_type_hint of a request has no effect, because the bearer
// of a token must not decide what happens to the token (RFC 7009 §2.1 and RFC 7662 §2.1 allow
// it).
type Tokens struct {
	validator   Validator
	clientClaim string // empty if the tokens belong to no client
	refresh     bool
	unsupported bool // recognised, but not revoked
	err         error
}

// TokensOption configures [AccessTokens] and [RefreshTokens].
type TokensOption func(*Tokens) error

// DefaultClientClaim is the claim with the client to which a token was issued (RFC 9068 §2.2).
const DefaultClientClaim = "client_id"

// WithClientClaim names the claim with the client to which a token was issued, such as "azp" or
// "cid". Only that client may revoke the token. A token without the claim belongs to no client,
// and no client may revoke it; null and an empty string count as no claim. The claim must occur
// once and be a string of at most revoke.MaxIDLength bytes; otherwise the token is invalid.
// Default: [DefaultClientClaim].
func WithClientClaim(name string) TokensOption {
	return func(t *Tokens) error {
		t.clientClaim = name
		return strictjwt.CheckID("the name of the client claim", name)
	}
}

// WithAnyClient says that these tokens do not belong to a client: every authenticated client may
// revoke them. Default: a token belongs to the client in its [DefaultClientClaim].
func WithAnyClient() TokensOption {
	return func(t *Tokens) error { t.clientClaim = ""; return nil }
}

// AccessTokens are the access tokens that the validator accepts. What is wrong with the
// arguments is an error of the endpoint's constructor.
func AccessTokens(validator Validator, opts ...TokensOption) Tokens {
	return newTokens(validator, false, opts)
}

// RefreshTokens are the refresh tokens that the validator accepts. What is wrong with the
// arguments is an error of the endpoint's constructor.
func RefreshTokens(validator Validator, opts ...TokensOption) Tokens {
	return newTokens(validator, true, opts)
}

func newTokens(validator Validator, refresh bool, opts []TokensOption) Tokens {
	t := Tokens{validator: validator, refresh: refresh, clientClaim: DefaultClientClaim}
	t.err = endpoint.Apply(&t, opts)
	return t
}

// checkKinds reports what is wrong with a list of kinds.
func checkKinds(kinds []Tokens) error {
	if len(kinds) == 0 {
		return errors.New("no kind of tokens is given")
	}
	for _, kind := range kinds {
		if absent.Is(kind.validator) {
			return errors.New("a kind of tokens has no validator")
		}
		if kind.err != nil {
			return kind.err
		}
	}
	return nil
}

// found is a token that a kind recognises.
type found struct {
	kind     Tokens
	token    revoke.Token
	verified *revoke.Verified // nil if the token was only identified
	claims   claims
	client   string // to which the token was issued; empty if the token does not say
}

// identify recognises a token that may have expired or been revoked.
func (t Tokens) identify(ctx context.Context, text string) (found, error) {
	token, err := t.validator.Identify(ctx, text)
	if err != nil {
		return found{}, err
	}
	f := found{kind: t, token: token}
	if t.clientClaim == "" {
		return f, nil
	}
	f.claims.names = []string{t.clientClaim}
	if err := f.claims.decode(text); err != nil {
		return found{}, err
	}
	f.client, err = f.claims.id(t.clientClaim)
	return f, err
}

// validate recognises a token that is accepted.
func (t Tokens) validate(ctx context.Context, text string) (found, error) {
	verified, err := t.validator.Validate(ctx, text)
	if err != nil {
		return found{}, err
	}
	f := found{kind: t, token: verified.Token, verified: verified}
	f.claims.names = slices.Clone(memberClaims)
	if t.clientClaim != "" {
		f.claims.names = append(f.claims.names, t.clientClaim)
	}
	if err := verified.Claims(&f.claims); err != nil {
		return found{}, err
	}
	if t.clientClaim != "" {
		f.client, err = f.claims.id(t.clientClaim)
	}
	return f, err
}

// belongsTo reports whether the client may revoke the token.
func (f found) belongsTo(client Client) bool {
	return f.kind.clientClaim == "" || f.client == client.ID
}

// find asks each kind until one recognises the token, accepted or revoked. If none does, an
// error that does not refuse the token for certain takes precedence: that kind might have
// recognised the token.
func find(kinds []Tokens, ask func(Tokens) (found, error)) (found, error) {
	var unknown error
	for _, kind := range kinds {
		f, err := ask(kind)
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, revoke.ErrRevoked):
			return found{}, err
		case unknown == nil || !isRefused(err):
			unknown = err
		}
	}
	return found{}, unknown
}
