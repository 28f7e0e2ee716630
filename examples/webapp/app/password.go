package app

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/session"
)

// changePassword writes the new password and ends every session in one transaction: both happen, or
// neither. The browser that asked goes on with a new session.
func (a *App) changePassword(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	token, _ := revokehttp.TokenFromContext(ctx)
	// A token alone does not change a password, because it may be stolen. Both hashes take a
	// while, so they are computed before the transaction.
	checked, err := a.authenticate(r, accountByID, token.Subject, r.PostFormValue("password"))
	if errors.Is(err, errCredentials) {
		return errPassword
	}
	if err != nil {
		return err
	}
	hash, err := a.hashNew(r)
	if err != nil {
		return err
	}
	why := []revoke.RevokeOption{revoke.WithReason("password changed"), revoke.WithActor(token.Subject)}
	var tokens session.Tokens
	err = pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		// The sessions end first, which locks the user's revocations, and then the old hash is
		// compared again: of two changes at once one is refused.
		var err error
		tokens, err = a.sessions.WithTx(tx).EndOthers(ctx, token.User(), token.SessionID, a.refresh.Device(r), why...)
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, "UPDATE accounts SET password_hash = $2 WHERE id = $1 AND password_hash = $3",
			checked.id, hash, checked.hash)
		if err == nil && tag.RowsAffected() == 0 {
			err = errPassword
		}
		return err
	})
	if err != nil {
		return err
	}
	// Other processes refuse the old tokens within a second, and this one from here on.
	soon, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = a.mirror.Sync(soon)
	return a.replace(w, r, tokens, "/?password")
}
