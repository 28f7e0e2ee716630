package revoke

import (
	"cmp"
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgtype"
)

// Redeem implements [Revoker]. Where two callers meet, one waits for the other's transaction to end: if that commits,
// the waiter has lost; if it rolls back, the waiter wins.
func (w writer) Redeem(ctx context.Context, token Token, opts ...RevokeOption) error {
	const operation = "Redeem"
	record, err := NewRecord(opts...)
	if err != nil {
		return refuse(operation, err)
	}
	// Whether it is too old is for the database's clock to say.
	if err := cmp.Or(token.ValidateRevocation(), token.ValidateRedeem(token.ExpiresAt)); err != nil {
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
		var since pgtype.Int8
		var now int64
		err = w.run.read(ctx, func(r row) error { return r.Scan(&since, &now) }, statement{w.sql.redeemed, []any{k}})
		switch {
		case err != nil:
			return w.wrap(ctx, operation, err)
		case since.Valid:
			return &RevokedError{Scope: ScopeToken, Since: utc(since.Int64)}
		}
		if err := token.ValidateRedeem(utc(now)); err != nil {
			return refuse(operation, err)
		}
		// Between the two statements a sweeper deleted the row that won, or the clock was set back: ask again.
	}
	return w.wrap(ctx, operation, errors.New("its row comes and goes"))
}
