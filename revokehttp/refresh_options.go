package revokehttp

import (
	"errors"
	"net/http"

	"github.com/pgrevoke/revoke/internal/refresh"
	"github.com/pgrevoke/revoke/session"
)

type refreshOptions struct {
	cookie cookie // its name is the beginning of the names of all sessions' cookies
	device func(*http.Request) session.Device
}

func defaultRefreshOptions() refreshOptions {
	cookie, _ := newCookie("refresh", "/")
	return refreshOptions{cookie: *cookie, device: DeviceOf}
}

// WithRefreshCookie sets the beginning of the refresh cookies' names, and their path. As with
// [WithCookie] the prefix is __Host- for the path "/", and __Secure- for another one.
//
// With another path the refresh token is sent with fewer requests, but [Refresh.Require] can
// refresh only the pages below it, and a subdomain can set cookies of these names. The path must
// be that of the guard's cookie, or below it. It is an option of [NewRefresh]. Default: "refresh"
// and "/".
func WithRefreshCookie(name, path string) Option {
	return optionOf(newRefresh, "WithRefreshCookie", func(o *refreshOptions) error {
		cookie, err := newCookie(name, path)
		if err != nil {
			return err
		}
		o.cookie = *cookie
		return nil
	})
}

// WithDevice replaces [DeviceOf], for instance by a function that takes the address from a header
// field that the app's proxy sets. The field Client has no effect: the sessions of browsers belong
// to no OAuth client. The function is called from several goroutines. It is an option of
// [NewRefresh]. Default: DeviceOf.
func WithDevice(device func(r *http.Request) session.Device) Option {
	return optionOf(newRefresh, "WithDevice", func(o *refreshOptions) error {
		if device == nil {
			return errors.New("the function of WithDevice is nil")
		}
		o.device = device
		return nil
	})
}

// DeviceOf returns what a request says of its client: the header field User-Agent, and the address
// at the other end of the connection. Behind a proxy that is the address of the proxy: see
// [WithDevice].
func DeviceOf(r *http.Request) session.Device { return refresh.Device(r) }

// Device returns the device of a request, for the handler that starts a session: by the function of
// [WithDevice], or by [DeviceOf].
func (h *Refresh) Device(r *http.Request) session.Device { return h.device(r) }
