// Package refused tells HTTP handlers why a refresh failed.
package refused

import (
	"errors"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/known"
	"github.com/pgrevoke/revoke/session"
)

// Refresh returns the error of a refresh with the identity of its token, if the token's signature
// has verified. over says whether the session is proven to be over.
func Refresh(err error) (_ error, over bool) {
	refused := (*session.RefreshError)(nil)
	if !errors.As(err, &refused) {
		return err, false
	}
	if refused.Session != (revoke.Session{}) {
		err = known.With(err, revoke.Token{
			Issuer: refused.Session.Issuer, SessionID: refused.Session.ID, Subject: refused.User.Subject,
		})
	}
	return err, refused.IsOver()
}
