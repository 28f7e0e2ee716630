package strictjwt

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// KeyError is the error of a keyfunc. The keyfunc's own text is part of the error's.
type KeyError struct{ Err error }

// Error names the keyfunc and its error.
func (e *KeyError) Error() string { return "the keyfunc failed: " + e.Err.Error() }

// Unwrap returns the keyfunc's error.
func (e *KeyError) Unwrap() error { return e.Err }

// markErrors returns a keyfunc with errors that are told apart from those of the parser.
func markErrors(keyfunc jwt.Keyfunc) jwt.Keyfunc {
	return func(token *jwt.Token) (any, error) {
		key, err := keyfunc(token)
		if err != nil {
			return nil, &KeyError{err}
		}
		return key, nil
	}
}

// IsOutage reports whether an error says nothing about the token, because a service did not answer.
func IsOutage(err error) bool {
	var network net.Error
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network)
}

// refusal is an error that matches what its cause matches, but does not have its text,
// which may quote the token.
type refusal struct {
	text  string
	cause error
}

func (r *refusal) Error() string { return r.text }

// Is reports whether the cause matches target. There is no Unwrap, because it would hand
// out the cause's text.
func (r *refusal) Is(target error) bool { return errors.Is(r.cause, target) }

// refuse replaces the text of an error of the parser. Nothing of the token has been verified.
func (r *Reader) refuse(token *jwt.Token, claims *unverifiedClaims, err error) error {
	if keyError, ok := errors.AsType[*KeyError](err); ok {
		return fmt.Errorf("%w: %w", jwt.ErrTokenUnverifiable, keyError)
	}
	refused := func(sentinel error, why string) error {
		return &refusal{text: sentinel.Error() + why, cause: err}
	}
	otherAlgorithm := ": its alg is not allowed, but only " + strings.Join(r.algorithms, ", ")
	switch {
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		switch {
		case !slices.Contains(r.algorithms, token.Method.Alg()):
			return refused(jwt.ErrTokenSignatureInvalid, otherAlgorithm)
		case errors.Is(err, jwt.ErrInvalidKeyType):
			return refused(jwt.ErrTokenSignatureInvalid, ": the key from the keyfunc is not of the algorithm's type")
		}
		return refused(jwt.ErrTokenSignatureInvalid, "")
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		if token.Method != nil {
			return refused(jwt.ErrTokenUnverifiable, ": the keyfunc returned an empty key set")
		}
		if _, ok := token.Header["alg"].(string); !ok {
			return refused(jwt.ErrTokenUnverifiable, ": its header has no alg")
		}
		return refused(jwt.ErrTokenUnverifiable, otherAlgorithm)
	}
	part := "signature"
	switch {
	case token.Claims == nil: // which the parser sets once it has the header
		part = "header"
	case claims.object == "":
		part = "payload"
	}
	if _, ok := errors.AsType[base64.CorruptInputError](err); ok {
		return refused(jwt.ErrTokenMalformed, ": its "+part+" is not valid base64url")
	}
	return refused(jwt.ErrTokenMalformed, ": its "+part+" cannot be decoded as a JSON object")
}
