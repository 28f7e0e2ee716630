package app

import (
	"net/http"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/session"
)

// signUp makes an account and starts its first session, in one transaction.
func (a *App) signUp(w http.ResponseWriter, r *http.Request) error {
	name, err := readName(r)
	if err != nil {
		return err
	}
	if wait := a.guesses.try("", network(a.refresh.Device(r))); wait > 0 {
		return tooMany("name", wait)
	}
	hash, err := a.hashNew(r)
	if err != nil {
		return err
	}
	ctx, tokens := r.Context(), session.Tokens{}
	err = pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		created, err := createAccount(ctx, tx, name, hash)
		if err != nil {
			return err
		}
		tokens, err = a.sessions.WithTx(tx).Start(ctx, a.sessions.User(created.id), created.epochs, a.refresh.Device(r))
		return err
	})
	if err != nil {
		return err
	}
	return a.enter(w, r, tokens)
}

// signIn starts a session for a name and a password.
func (a *App) signIn(w http.ResponseWriter, r *http.Request) error {
	name, err := readName(r)
	if err != nil {
		return err
	}
	found, err := a.authenticate(r, accountByName, name, r.PostFormValue("password"))
	if err != nil {
		return err
	}
	tokens, err := a.sessions.Start(r.Context(), a.sessions.User(found.id), found.epochs, a.refresh.Device(r))
	if err != nil {
		return err
	}
	return a.enter(w, r, tokens)
}

// enter gives the browser the tokens of a new session, and leads it to the page that it asked for.
func (a *App) enter(w http.ResponseWriter, r *http.Request, tokens session.Tokens) error {
	// The browser may still have a session, also of another user. It would be back when this one
	// is over.
	if err := a.refresh.EndSessions(w, r, a.sessions); err != nil {
		return err
	}
	if err := a.refresh.SetCookies(w, tokens); err != nil {
		return err
	}
	// A stranger can write a link to the sign-in page, with any path in it.
	return redirect(w, revokehttp.LocalPath(r.PostFormValue(revokehttp.ReturnParameter), "/"))
}
