package strictjwt

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// KeyError is the error of a keyfunc. The keyfunc's own text is part of the error's.
type KeyError struct{ Err error }

// maxKeyError is how many bytes of a keyfunc's text an error contains.
const maxKeyError = 500

// Error names the keyfunc and its error, in one line and cut short. A message of Postgres about
// a value quotes it, and the value may be the kid of a token, so only its code is told.
func (e *KeyError) Error() string {
	text := e.Err.Error()
	if pgErr, ok := errors.AsType[*pgconn.PgError](e.Err); ok && !IsOutage(e.Err) {
		text = "Postgres refused its query with SQLSTATE " + pgErr.Code
	}
	if len(text) > maxKeyError {
		text = strings.ToValidUTF8(text[:maxKeyError], "") + "…"
	}
	return "the keyfunc failed: " + strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

// Unwrap returns the keyfunc's error.
func (e *KeyError) Unwrap() error { return e.Err }

// OtherIssuer is the error of a verified token of another issuer. The issuer that was found is
// quoted up to 100 bytes: it shows that the two differ by a slash, for instance.
func OtherIssuer(want, found string) error {
	const most = 100
	cut := ""
	if len(found) > most {
		found, cut = strings.ToValidUTF8(found[:most], ""), "…"
	}
	return fmt.Errorf("%w: %q is expected, and %q%s was found", jwt.ErrTokenInvalidIssuer, want, found, cut)
}

// Days writes a long duration in days, which a reader need not work out from hours.
func Days(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "1 day"
	case d > day && d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	}
	return d.String()
}

// IsServerFault reports whether an error of [Reader.Read] says nothing about the token: the
// keyfunc could not ask its source, or returned nothing that an allowed algorithm may use.
// By the error unavailable a keyfunc says itself that its source did not answer.
func IsServerFault(err, unavailable error) bool {
	if _, ok := errors.AsType[*UnusableKeyError](err); ok {
		return true
	}
	key, ok := errors.AsType[*KeyError](err)
	return ok && (errors.Is(key.Err, unavailable) || IsOutage(key.Err))
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
	if unusable, ok := errors.AsType[*UnusableKeyError](err); ok {
		return fmt.Errorf("%w: %w", jwt.ErrTokenUnverifiable, unusable)
	}
	if errors.Is(err, errOtherAlgorithm) {
		return errOtherAlgorithm
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
