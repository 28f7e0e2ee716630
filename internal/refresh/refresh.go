// Package refresh is what HTTP handlers that refresh sessions have in common.
package refresh

import (
	"errors"
	"net/http"
	"net/netip"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/known"
	"github.com/pgrevoke/revoke/session"
)

// Device returns what a request says of its client: its User-Agent, and the address at the other
// end of the connection, which is empty if there is none, as with a Unix socket.
func Device(r *http.Request) session.Device {
	device := session.Device{UserAgent: r.UserAgent()}
	if remote, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		device.Address = remote.Addr().Unmap().WithZone("").String()
	}
	return device
}

// Identified returns the error of a refresh with the identity of its token, if the token's
// signature has verified.
func Identified(err error) error {
	refused := (*session.RefreshError)(nil)
	if !errors.As(err, &refused) || refused.Session == (revoke.Session{}) {
		return err
	}
	return known.With(err, revoke.Token{
		Issuer: refused.Session.Issuer, SessionID: refused.Session.ID, Subject: refused.User.Subject,
	})
}

// IsOver reports whether the error of a refresh proves that the session is over.
func IsOver(err error) bool {
	refused := (*session.RefreshError)(nil)
	return errors.As(err, &refused) && refused.IsOver()
}
