package revoke

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Redeem implements [Revoker]. Where two callers meet, one waits for the other's transaction to end: if that commits,
// the waiter has lost; if it rolls back, the waiter wins.
func (w writer) Redeem(ctx context.Context, token Token, opts ...RevokeOption) error {
	const operation = "Redeem"
	record, err := NewRecord(opts...)
	if err != nil {
		return refuse(operation, err)
	}
	err = token.ValidateRevocation()
	if err == nil && token.ExpiresAt.IsZero() {
		err = invalidToken(errors.New("it has no expiry"))
	}
	if err != nil {
		return refuse(operation, err)
	}
	k := token.key().uuid()
	for range maxAttempts {
		won := false
		err := w.write(ctx, operation, func(row) error { won = true; return nil }, statement{w.sql.redeem,
			[]any{k, token.Issuer, token.ID, token.ExpiresAt, record.Reason, record.Actor}})
		if err != nil || won {
			return err
		}
		var since *time.Time
		var expired bool
		err = w.run.run(ctx, func(r row) error { return r.Scan(&since, &expired) },
			statement{w.sql.redeemed, []any{k, token.ExpiresAt}})
		switch {
		case err != nil:
			return w.wrap(ctx, operation, err)
		case since != nil:
			return &RevokedError{Scope: ScopeToken, Since: since.UTC()}
		case expired:
			return refuse(operation, invalidToken(fmt.Errorf("%w longer than %v ago", jwt.ErrTokenExpired, MaxLeeway)))
		}
		// Between the two statements a sweeper deleted the row that won, or the clock was set back: ask again.
	}
	return w.wrap(ctx, operation, errors.New("its row comes and goes"))
}
