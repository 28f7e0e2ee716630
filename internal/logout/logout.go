// Package logout ends tokens and sessions for HTTP handlers, whether the user's browser, a
// client or an identity provider asks for it.
package logout

import (
	"context"
	"fmt"
	"net/http"
	"slices"
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

// WholeSession are the scopes of a logout that ends a token and its session.
var WholeSession = []revoke.Scope{revoke.ScopeToken, revoke.ScopeSession}

// errEndless says that a logout cannot end a token. The token is good, so it is no refusal of it.
var errEndless = fmt.Errorf("%w: the token has neither an id nor a session that the logout ends", revoke.ErrUnavailable)

// Token revokes what the scopes say of a token, all or nothing: the token, its session, or
// both. A token without a session is revoked by itself, also where the scopes are the
// session alone. A token without an id loses its session only.
func Token(ctx context.Context, store revoke.Store, token revoke.Token, scopes []revoke.Scope, record Record) error {
	session := token.SessionID != "" && slices.Contains(scopes, revoke.ScopeSession)
	alone := token.ID != "" && (!session || slices.Contains(scopes, revoke.ScopeToken))
	switch {
	case !session && !alone:
		return errEndless
	case !session:
		return store.RevokeToken(ctx, token, record...)
	case !alone:
		return store.RevokeSession(ctx, token.Session(), record...)
	}
	return store.InTx(ctx, func(tx revoke.Revoker) error {
		if err := tx.RevokeToken(ctx, token, record...); err != nil {
			return err
		}
		return tx.RevokeSession(ctx, token.Session(), record...)
	})
}
