package session

import (
	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// NewRefreshValidator returns a validator of the refresh tokens, for oauth.RefreshTokens: a client
// revokes its refresh token, and with it the session (RFC 7009). The checker and the options are
// as for [Sessions.NewValidator].
//
// It knows the revocations of session, user and issuer, and not the row of the session. So
// it accepts a refresh token of an idle session, and one that has been rotated since. Only
// [Sessions.Refresh] decides whether a refresh token is good for another access token.
func (s *Sessions) NewRefreshValidator(checker revoke.Checker, opts ...revoke.ValidatorOption) (*revoke.Validator, error) {
	return s.newValidator(checker, revoke.AnyAudience(), strictjwt.RefreshType, opts, revoke.WithOptionalID())
}
