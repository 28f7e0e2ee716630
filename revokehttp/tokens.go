package revokehttp

import (
	"context"
	"errors"

	"github.com/pgrevoke/revoke"
)

// Tokens is what an endpoint knows of one kind of tokens: see [AccessTokens] and [RefreshTokens]. A token that is presented is
// tried as each kind in turn, and is of the first that knows it, so the validators must tell the kinds apart: by
// revoke.WithTokenType, by audience, by issuer or by key. The parameter token_type_hint is read and has no effect, because what
// happens to a token is not for its bearer to choose (RFC 7009 §2.1 and RFC 7662 §2.1 allow it).
type Tokens struct {
	refresh     bool
	unsupported bool // known, and not revoked
	owned       bool // by the client to which they were issued
	identify    func(text string) (found, error)
	validate    func(ctx context.Context, text string) (found, error)
}

// found is a token that was presented, and that a kind knows.
type found struct {
	kind   Tokens
	token  revoke.Token
	claims any    // a *C of the validator's
	client string // to which it was issued; empty where that is not known
}

// AccessTokens are the access tokens that the validator accepts. client says to which client a token was issued, such as by
// its claim client_id (RFC 9068 §2.2): a token for which it returns "" is nobody's. A nil client says that these tokens belong
// to no client, and every client that was authenticated may revoke them.
func AccessTokens[C any](validator *revoke.Validator[C], client func(*C) string) Tokens {
	return newTokens(validator, client, false)
}

// RefreshTokens are the refresh tokens that the validator accepts; client is as in [AccessTokens].
func RefreshTokens[C any](validator *revoke.Validator[C], client func(*C) string) Tokens {
	return newTokens(validator, client, true)
}

func newTokens[C any](validator *revoke.Validator[C], client func(*C) string, refresh bool) Tokens {
	if validator == nil {
		return Tokens{}
	}
	as := func(token revoke.Token, claims *C, err error) (found, error) {
		if err != nil {
			return found{}, err
		}
		f := found{token: token, claims: claims}
		if client != nil {
			f.client = client(claims)
		}
		return f, nil
	}
	return Tokens{
		refresh:  refresh,
		owned:    client != nil,
		identify: func(text string) (found, error) { return as(validator.Identify(text)) },
		validate: func(ctx context.Context, text string) (found, error) { return as(validator.Validate(ctx, text)) },
	}
}

// checkKinds refuses a list that knows no token, or has a kind without a validator.
func checkKinds(kinds []Tokens) error {
	if len(kinds) == 0 {
		return errors.New("no kind of tokens is given")
	}
	for _, kind := range kinds {
		if kind.identify == nil {
			return errors.New("a kind of tokens has no validator")
		}
	}
	return nil
}

// find asks one kind after the other until one knows the token, alive or revoked. Where none does, one that could not tell
// outweighs those that could.
func find(kinds []Tokens, ask func(Tokens) (found, error)) (found, error) {
	var unknown error
	for _, kind := range kinds {
		f, err := ask(kind)
		switch {
		case err == nil:
			f.kind = kind
			return f, nil
		case errors.Is(err, revoke.ErrRevoked):
			return found{}, err
		case unknown == nil || errors.Is(err, revoke.ErrUnavailable):
			unknown = err
		}
	}
	return found{}, unknown
}

// belongsTo reports whether the client may name the token as its own.
func (f found) belongsTo(client Client) bool { return !f.kind.owned || f.client == client.ID }
