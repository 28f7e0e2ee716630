package app

import (
	"context"
	"errors"
	"net/http"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
)

// refuse answers a request that the guard or a handler has refused with err.
func (a *App) refuse(w http.ResponseWriter, r *http.Request, err error) {
	is := func(reason error) bool { return errors.Is(err, reason) }
	switch {
	case is(revokehttp.ErrCrossOrigin):
		a.message(w, r, http.StatusForbidden, "Not from there", "A page of another site asked for this. Nothing was done.")
	case is(context.Canceled), is(revokehttp.ErrBadRequest):
		a.guard.Refuse(w, r, err)
	case !is(revoke.ErrUnavailable) && (is(revokehttp.ErrNoToken) || is(revoke.ErrRevoked) || is(revoke.ErrInvalidToken)):
		if isStream(r) {
			a.refuseStream(w, err)
			return
		}
		a.guard.Refuse(w, r, err) // leads to the sign-in page
	default:
		w.Header().Set("Retry-After", "5")
		a.message(w, r, http.StatusServiceUnavailable, "Try again in a moment", "The database did not answer. You are still signed in.")
	}
}

// message shows a page that says one thing.
func (a *App) message(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	if err := a.render(w, r, status, messagePage, page{Title: title, Message: text}); err != nil {
		http.Error(w, title, status)
	}
}

func (a *App) notFound(w http.ResponseWriter, r *http.Request) error {
	a.message(w, r, http.StatusNotFound, "There is no such page", "The address may have been mistyped.")
	return nil
}
