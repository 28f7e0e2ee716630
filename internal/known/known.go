// Package known ties the identity of a token to the error for which the token was refused. The
// signature of such a token has verified.
package known

import "errors"

// refusal is an error with the identity of a verified token. The text is that of the error alone.
type refusal[Token any] struct {
	error
	token Token
}

// Unwrap returns the error.
func (r *refusal[Token]) Unwrap() error { return r.error }

// VerifiedToken returns the identity, for a log.
func (r *refusal[Token]) VerifiedToken() Token { return r.token }

// With returns err with the identity of a verified token. Nil stays nil.
func With[Token any](err error, token Token) error {
	if err == nil {
		return nil
	}
	return &refusal[Token]{err, token}
}

// Token returns the identity that an error carries.
func Token[T any](err error) (token T, ok bool) {
	var carrier interface{ VerifiedToken() T }
	if errors.As(err, &carrier) {
		return carrier.VerifiedToken(), true
	}
	return token, false
}
