package revokehttp

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/cancelled"
	"github.com/pgrevoke/revoke/internal/endpoint"
	"github.com/pgrevoke/revoke/internal/issuers"
	"github.com/pgrevoke/revoke/internal/known"
)

// outcome is what became of a request that was not passed on. Answers and log lines follow from
// it.
type outcome struct {
	name  string // in log lines
	level slog.Level
}

var (
	outcomeNoToken     = outcome{"no token", slog.LevelDebug}
	outcomeBadRequest  = outcome{"bad request", slog.LevelInfo}
	outcomeCrossOrigin = outcome{"cross-origin", slog.LevelInfo}
	outcomeActor       = outcome{"actor", slog.LevelInfo}
	outcomeRevoked     = outcome{"revoked", slog.LevelInfo}
	outcomeInvalid     = outcome{"invalid", slog.LevelInfo}
	outcomeRefused     = outcome{"refused", slog.LevelInfo} // a client, in oauth and signals
	outcomeCancelled   = outcome{"cancelled", slog.LevelDebug}
	outcomeUnavailable = outcome{"unavailable", slog.LevelError}
)

// outcomeOf returns the outcome of a request that failed with err. An error that is not known is
// an outage.
func outcomeOf(r *http.Request, err error) outcome {
	answer := (*endpoint.Error)(nil)
	switch {
	case cancelled.ByCaller(r.Context(), err):
		return outcomeCancelled
	case errors.Is(err, ErrNoToken):
		return outcomeNoToken
	case errors.Is(err, ErrBadRequest):
		return outcomeBadRequest
	case errors.Is(err, ErrCrossOrigin):
		return outcomeCrossOrigin
	case errors.Is(err, ErrActor):
		return outcomeActor
	case errors.Is(err, revoke.ErrUnavailable), isMisconfigured(err):
		return outcomeUnavailable
	case errors.Is(err, revoke.ErrRevoked):
		return outcomeRevoked
	case errors.Is(err, revoke.ErrInvalidToken):
		return outcomeInvalid
	case errors.Is(err, endpoint.ErrNotAllowed), errors.As(err, &answer):
		return outcomeRefused
	}
	return outcomeUnavailable
}

// isMisconfigured reports whether a store does not know the issuer of a token that a validator has
// verified, which is no fault of the client's.
func isMisconfigured(err error) bool { return errors.As(err, new(*issuers.UnknownError)) }

// LogTo returns a function for [WithReport], and for the options of this name in packages oauth
// and signals. The function logs a line for each request that was refused:
//
//	report := revokehttp.WithReport(revokehttp.LogTo(slog.Default()))
//	guard, err := revokehttp.NewGuard(validator, report)
//
// The message is "request refused". The attributes are
//
//   - outcome: "no token", "bad request", "cross-origin", "actor", "revoked", "invalid",
//     "unavailable" or "cancelled"; in packages oauth and signals also "refused", for a client;
//   - reason: the text of the error;
//   - route: the pattern of an http.ServeMux that matched, if there is one;
//   - issuer, sub and jti of the token, if its signature has verified and it has them.
//
// "unavailable" is logged at level Error; "no token" and "cancelled", which a client that
// disconnects causes, at Debug; everything else at Info. A line contains neither the token nor
// the URL, which may contain one. A nil logger stands for slog.Default() at each call. The
// function may be called from several goroutines.
func LogTo(logger *slog.Logger) func(r *http.Request, err error) {
	return func(r *http.Request, err error) {
		outcome := outcomeOf(r, err)
		attributes := []slog.Attr{slog.String("outcome", outcome.name), slog.String("reason", err.Error())}
		token, _ := TokenFromError(err)
		for _, a := range [...]struct{ key, value string }{
			{"route", r.Pattern}, {"issuer", token.Issuer}, {"sub", token.Subject}, {"jti", token.ID},
		} {
			if a.value != "" {
				attributes = append(attributes, slog.String(a.key, a.value))
			}
		}
		cmp.Or(logger, slog.Default()).LogAttrs(r.Context(), outcome.level, "request refused", attributes...)
	}
}

// TokenFromError returns the identity of the token for which a request was refused, if its
// signature has verified: the names that the token has of issuer, subject, id and session, even
// where the token is another issuer's, is expired or was revoked. The times may be zero. It is
// for the function of [WithReport] that writes a log of its own. The token was refused, so
// nothing may be granted to its user.
func TokenFromError(err error) (revoke.Token, bool) { return known.Token[revoke.Token](err) }
