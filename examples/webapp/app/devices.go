package app

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/session"
)

// device is a session as the page shows it.
type device struct {
	session.Session
	Label    string // "Firefox on Windows"
	Small    bool   // a telephone or a tablet
	Current  bool   // the browser that asks
	LastUsed string
}

// devices shows where the user is signed in.
func (a *App) devices(w http.ResponseWriter, r *http.Request) error {
	token, _ := revokehttp.TokenFromContext(r.Context())
	var name string
	if err := a.pool.QueryRow(r.Context(), "SELECT name FROM accounts WHERE id = $1", token.Subject).Scan(&name); err != nil {
		return err
	}
	list, err := a.sessions.List(r.Context(), token.User())
	if err != nil {
		return err
	}
	devices, now := make([]device, 0, len(list)), time.Now()
	for _, s := range list {
		d := device{Session: s, Current: s.ID == token.SessionID, LastUsed: lastUsed(now.Sub(s.LastUsedAt))}
		if d.Current {
			d.LastUsed = "in use now"
		}
		d.Label, d.Small = describe(s.UserAgent)
		devices = append(devices, d)
	}
	// The list is in the order of the last use. The browser in hand comes first.
	if i := slices.IndexFunc(devices, func(d device) bool { return d.Current }); i > 0 {
		current := devices[i]
		devices = slices.Insert(slices.Delete(devices, i, i+1), 0, current)
	}
	return a.render(w, r, http.StatusOK, devicesPage, page{Title: "Where you are signed in", Account: name, Devices: devices})
}

// lastUsed says how long ago a session was used, no finer than List knows it.
func lastUsed(ago time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case ago < time.Hour:
		return "used within the hour"
	case ago < 2*time.Hour:
		return "used an hour ago"
	case ago < 2*day:
		return fmt.Sprintf("used %d hours ago", ago/time.Hour)
	default:
		return fmt.Sprintf("used %d days ago", ago/day)
	}
}

// endDevice signs out the device that the form names. One that the user does not have, or no more,
// is no error.
func (a *App) endDevice(w http.ResponseWriter, r *http.Request) error {
	token, _ := revokehttp.TokenFromContext(r.Context())
	err := a.sessions.End(r.Context(), token.User(), r.PostFormValue("session"),
		revoke.WithReason("signed out"), revoke.WithActor(token.Subject))
	if errors.Is(err, revoke.ErrUnavailable) {
		return err
	}
	return redirect(w, "/?ended")
}

// endOthers signs out every device but this one, which goes on with a new session.
func (a *App) endOthers(w http.ResponseWriter, r *http.Request) error {
	token, _ := revokehttp.TokenFromContext(r.Context())
	tokens, err := a.sessions.EndOthers(r.Context(), token.User(), token.SessionID, a.refresh.Device(r),
		revoke.WithReason("signed out everywhere else"), revoke.WithActor(token.Subject))
	if err != nil {
		return err
	}
	return a.replace(w, r, tokens, "/?others")
}

// replace gives the browser the tokens of the session that replaces the one of the request.
func (a *App) replace(w http.ResponseWriter, r *http.Request, tokens session.Tokens, path string) error {
	token, _ := revokehttp.TokenFromContext(r.Context())
	a.refresh.ClearCookie(w, token.Session())
	if err := a.refresh.SetCookies(w, tokens); err != nil {
		return err
	}
	return redirect(w, path)
}
