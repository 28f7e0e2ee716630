package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
)

// heartbeat keeps proxies from closing a stream on which nothing happens.
const heartbeat = 25 * time.Second

// events returns a stream that says that the session is alive, and then that it is over. It ends
// with stopping, so that it does not hold up a server that is about to end.
func (a *App) events(stopping context.Context) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := revokehttp.TokenFromContext(r.Context())
		beat := time.NewTicker(heartbeat)
		defer beat.Stop()
		for text := event("alive", token.Subject); send(w, text) == nil; {
			select {
			case <-beat.C:
				text = ":\n\n"
			case <-stopping.Done():
				return
			case <-r.Context().Done(): // see revokehttp.Watcher
				a.refuseStream(w, context.Cause(r.Context()))
				return
			}
		}
	})
}

// refuseStream tells a page what became of its token: "over" if the session was ended, and "renew"
// if the access token has expired. A status such as 401 would be an error in the browser's console.
func (a *App) refuseStream(w http.ResponseWriter, err error) {
	name := "over"
	if errors.Is(err, revoke.ErrInvalidToken) {
		name = "renew"
	}
	if errors.Is(err, revoke.ErrUnavailable) || errors.Is(err, context.Canceled) {
		return // the page connects again by itself
	}
	_ = send(w, event(name, "")) // fails only if the client has disconnected
}

// isStream reports whether a request is that of a page's EventSource.
func isStream(r *http.Request) bool { return r.Header.Get("Accept") == "text/event-stream" }

func event(name, data string) string { return fmt.Sprintf("event: %s\ndata: %s\n\n", name, data) }

// send writes to a stream. The server's WriteTimeout would end it, so each write has its own.
func send(w http.ResponseWriter, text string) error {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	stream := http.NewResponseController(w)
	if err := stream.SetWriteDeadline(time.Now().Add(requestTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := fmt.Fprint(w, text); err != nil {
		return err
	}
	return stream.Flush()
}
