// Package app is a web app of pages and forms: sign up, sign in, see where you are signed in, sign
// out of any device, and change the password. It is made to be copied: README.md of the example
// says where to begin.
package app

import (
	"context"
	"net/http"

	"github.com/alexedwards/argon2id"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/mirror"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/session"
)

// issuer is the name of the app in its tokens. Its sessions are known by it, so it does not change.
const issuer = "https://webapp.example"

// App is the app. It may be used from several goroutines.
type App struct {
	pool     *pgxpool.Pool
	mirror   *mirror.Mirror
	sweeper  *revoke.Sweeper
	sessions *session.Sessions
	guard    *revokehttp.Guard
	refresh  *revokehttp.Refresh
	logout   http.Handler
	watcher  *revokehttp.Watcher
	hasher   *hasher
	guesses  *guesses
}

// New returns the app on a database that migrations.Up and Migrate have prepared. password is the
// cost of each new hash: Argon2, outside of tests. New starts nothing: see Run.
func New(pool *pgxpool.Pool, keys session.Keys, password argon2id.Params, opts ...session.Option) (*App, error) {
	a := &App{pool: pool, guesses: newGuesses()}
	store, err := revoke.NewPostgres(pool, revoke.WithIssuers(issuer))
	if err != nil {
		return nil, err
	}
	// Requests are checked in memory while Run runs, and otherwise by a query.
	if a.mirror, err = mirror.New(store); err != nil {
		return nil, err
	}
	if a.sweeper, err = revoke.NewSweeper(store); err != nil {
		return nil, err
	}
	opts = append([]session.Option{session.WithMirror(a.mirror)}, opts...)
	if a.sessions, err = session.New(store, issuer, revoke.AudienceOf(issuer), keys, opts...); err != nil {
		return nil, err
	}
	validator, err := a.sessions.NewValidator(a.mirror)
	if err != nil {
		return nil, err
	}
	a.guard, err = revokehttp.NewGuard(validator, revokehttp.WithCookie("access", "/"), revokehttp.WithSignInPage("/sign-in"),
		revokehttp.WithReport(report), revokehttp.WithErrorHandler(a.refuse))
	if err != nil {
		return nil, err
	}
	if a.refresh, err = revokehttp.NewRefresh(a.sessions, a.guard); err != nil {
		return nil, err
	}
	if a.logout, err = a.refresh.Logout(a.sessions, revokehttp.WithRedirect("/sign-in?signed-out")); err != nil {
		return nil, err
	}
	if a.watcher, err = revokehttp.NewWatcher(a.mirror); err != nil {
		return nil, err
	}
	a.hasher, err = newHasher(password)
	return a, err
}

// Handler returns the pages. Streams end when stopping ends: a server that shuts down does not end
// them by itself.
func (a *App) Handler(stopping context.Context) http.Handler {
	mux := http.NewServeMux()
	open := func(pattern string, handle handler) {
		mux.Handle(pattern, limit(a.guard.RequireSameOrigin(a.answer(handle))))
	}
	open("GET /sign-in", a.show(signInForm))
	open("POST /sign-in", a.submit(signInForm, a.signIn))
	open("GET /sign-up", a.show(signUpForm))
	open("POST /sign-up", a.submit(signUpForm, a.signUp))
	open("/", a.notFound)

	// Where the access token of a page has expired, it is refreshed, and the user does not notice.
	signedIn := func(pattern string, handle handler) {
		mux.Handle(pattern, limit(a.refresh.Require(a.answer(handle))))
	}
	signedIn("GET /{$}", a.devices)
	signedIn("POST /devices/end", a.endDevice)
	signedIn("POST /devices/end-others", a.endOthers)
	signedIn("GET /password", a.show(passwordForm))
	signedIn("POST /password", a.submit(passwordForm, a.changePassword))

	mux.Handle("POST /sign-out", a.logout)
	mux.Handle("POST /refresh", limit(a.refresh)) // for page.js
	mux.Handle("GET /events", a.guard.Require(a.watcher.Watch(a.events(stopping))))
	mux.Handle("GET /static/{file}", http.FileServerFS(files)) // and no list of them
	return secure(mux)
}

// report logs why a request was refused. The client is not told.
var report = revokehttp.LogTo(nil)

// handler answers a request, or returns why it cannot.
type handler func(w http.ResponseWriter, r *http.Request) error

// answer returns an http.Handler, which answers the errors too.
func (a *App) answer(handle handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := handle(w, r); err != nil {
			report(r, err)
			a.refuse(w, r, err)
		}
	})
}
