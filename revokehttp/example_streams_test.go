package revokehttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// Server-sent events end when the token of their request is revoked.
func ExampleWatcher() {
	store := revoketest.NewMemory() // a *revoke.Postgres, in an app
	validator, signIn := exampleValidator(store)
	guard, err := revokehttp.NewGuard(validator)
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	events := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: welcome\n\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		<-r.Context().Done() // or an event to send
		ended <- context.Cause(r.Context())
	}
	mux := http.NewServeMux()

	// One for all streams of the process.
	watcher, err := revokehttp.NewWatcher(store, revokehttp.WithWatchInterval(time.Second))
	if err != nil {
		log.Fatal(err)
	}
	mux.Handle("/events", guard.Require(watcher.Watch(http.HandlerFunc(events))))

	server := httptest.NewServer(mux)
	defer server.Close()
	text, _, err := signIn("ada")
	if err != nil {
		log.Fatal(err)
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, server.URL+"/events", nil)
	if err != nil {
		log.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+text)
	stream, err := http.DefaultClient.Do(r)
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Body.Close()
	lines := bufio.NewScanner(stream.Body)
	lines.Scan()
	fmt.Println(lines.Text())
	user := revoke.User{Issuer: "https://issuer.example", Subject: "ada"}
	if _, err := store.RevokeUser(context.Background(), user); err != nil {
		log.Fatal(err)
	}
	for lines.Scan() { // until the stream ends
	}
	fmt.Println("revoked:", errors.Is(<-ended, revoke.ErrRevoked))
	// Output:
	// data: welcome
	// revoked: true
}

// A proxy asks about each request, as nginx, Caddy and Traefik can.
func ExampleGuard_ForwardAuth() {
	validator, signIn := exampleValidator(revoketest.NewMemory())
	guard, err := revokehttp.NewGuard(validator, revokehttp.WithCookie("session", "/"))
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()

	ask, err := guard.ForwardAuth("X-Forwarded-Method", "X-Forwarded-Host")
	if err != nil {
		log.Fatal(err)
	}
	mux.Handle("/ask", ask)

	text, _, err := signIn("ada")
	if err != nil {
		log.Fatal(err)
	}
	for _, origin := range []string{"https://app.example", "https://another.example"} {
		// What the proxy sends for a POST of a browser.
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/ask", nil)
		r.Header.Set("Cookie", "__Host-session="+text)
		r.Header.Set("Origin", origin)
		r.Header.Set("X-Forwarded-Method", "POST")
		r.Header.Set("X-Forwarded-Host", "app.example")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(origin, w.Code, w.Header().Get("X-Auth-Subject"))
	}
	// Output:
	// https://app.example 200 ada
	// https://another.example 403
}
