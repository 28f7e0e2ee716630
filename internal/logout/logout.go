// Package logout ends tokens and sessions for HTTP handlers, whether the user's browser, a
// client or an identity provider asks for it.
package logout

import (
	"context"
	"net/http"
	"time"

	"github.com/pgrevoke/revoke"
)

// Timeout bounds a logout. After it the outcome is unknown, and the answer is 503.
const Timeout = 10 * time.Second

// Detach returns the request with a context that ends after [Timeout], and not when the client
// disconnects: a logout that was asked for is carried out.
func Detach(r *http.Request) (*http.Request, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), Timeout)
	return r.WithContext(ctx), cancel
}

// Record is the reason and the actor of a revocation.
type Record []revoke.RevokeOption

// Check reports what is wrong with the record.
func (r Record) Check() error {
	_, err := revoke.ScopeIssuer.Revocation("issuer", "", r...)
	return err
}

// Over returns the record with defaults for what the record does not set.
func (r Record) Over(defaults ...revoke.RevokeOption) Record { return append(defaults, r...) }

// Token revokes a token together with its session, if it has one: both or neither. A token without
// an id loses its session only.
func Token(ctx context.Context, store revoke.Store, token revoke.Token, record Record) error {
	switch {
	case token.SessionID == "":
		return store.RevokeToken(ctx, token, record...)
	case token.ID == "":
		return store.RevokeSession(ctx, token.Session(), record...)
	}
	return store.InTx(ctx, func(tx revoke.Revoker) error {
		if err := tx.RevokeToken(ctx, token, record...); err != nil {
			return err
		}
		return tx.RevokeSession(ctx, token.Session(), record...)
	})
}
