package revoke

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgrevoke/revoke/internal/strict"
)

// writer is the [Revoker] of a Postgres and of a Tx; they differ in how statements run.
type writer struct {
	sql    *statements
	schema string
	skew   time.Duration
	run    runner
	wrap   func(ctx context.Context, operation string, err error) error
	budget func(ctx context.Context) (context.Context, context.CancelFunc) // of a read
}

// write runs statements that must be durable.
func (w writer) write(ctx context.Context, operation string, scan func(row) error, stmts ...statement) error {
	durable := statement{sql: w.sql.durable}
	err := w.run.run(ctx, scan, append([]statement{durable}, stmts...)...)
	if err != nil {
		return w.wrap(ctx, operation, err)
	}
	return nil
}

// refuse names the operation whose input is wrong.
func refuse(operation string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("revoke: %s: %w", operation, err)
}

// RevokeToken implements [Revoker].
func (w writer) RevokeToken(ctx context.Context, token Token, opts ...RevokeOption) error {
	return w.revokeTokens(ctx, "RevokeToken", []Token{token}, opts)
}

// RevokeTokens implements [Revoker], in one statement.
func (w writer) RevokeTokens(ctx context.Context, tokens []Token, opts ...RevokeOption) error {
	return w.revokeTokens(ctx, "RevokeTokens", tokens, opts)
}

func (w writer) revokeTokens(ctx context.Context, operation string, tokens []Token, opts []RevokeOption) error {
	record, err := NewRecord(opts...)
	if err != nil {
		return refuse(operation, err)
	}
	for i, token := range tokens {
		if err := token.ValidateRevocation(); err != nil {
			if len(tokens) > 1 {
				err = fmt.Errorf("token %d of %d: %w", i+1, len(tokens), err)
			}
			return refuse(operation, err)
		}
	}
	if len(tokens) == 0 {
		return nil
	}
	return w.write(ctx, operation, nil, w.tokensStatement(tokens, record))
}

// tokensStatement sorts the tokens by key, because two batches in opposite order would deadlock, and leaves duplicates
// out, because Postgres refuses to touch a row twice in one statement. Of duplicates the longest expiry counts.
func (w writer) tokensStatement(tokens []Token, record Record) statement {
	type keyed struct {
		key   key
		token *Token
	}
	sorted := make([]keyed, len(tokens))
	for i := range tokens {
		sorted[i] = keyed{tokens[i].key(), &tokens[i]}
	}
	slices.SortFunc(sorted, func(a, b keyed) int {
		if order := bytes.Compare(a.key[:], b.key[:]); order != 0 {
			return order
		}
		return compareExpiry(b.token.ExpiresAt, a.token.ExpiresAt)
	})
	sorted = slices.CompactFunc(sorted, func(a, b keyed) bool { return a.key == b.key })

	keys := make([]pgtype.UUID, len(sorted))
	issuers := make([]string, len(sorted))
	ids := make([]string, len(sorted))
	expiries := make([]*time.Time, len(sorted))
	for i, s := range sorted {
		keys[i], issuers[i], ids[i] = s.key.uuid(), s.token.Issuer, s.token.ID
		if !s.token.ExpiresAt.IsZero() {
			expiries[i] = &s.token.ExpiresAt
		}
	}
	return statement{w.sql.revokeTokens, []any{keys, issuers, ids, expiries, record.Reason, record.Actor}}
}

// compareExpiry orders expiries, of which zero is the longest.
func compareExpiry(a, b time.Time) int {
	switch {
	case a.IsZero() && b.IsZero():
		return 0
	case a.IsZero():
		return 1
	case b.IsZero():
		return -1
	}
	return a.Compare(b)
}

// RevokeSession implements [Revoker].
func (w writer) RevokeSession(ctx context.Context, session Session, opts ...RevokeOption) error {
	record, err := NewRecord(opts...)
	if err := errors.Join(err, session.Validate()); err != nil {
		return refuse("RevokeSession", err)
	}
	return w.write(ctx, "RevokeSession", nil, statement{w.sql.revokeSession,
		[]any{session.key().uuid(), session.Issuer, session.ID, record.Reason, record.Actor}})
}

// RevokeUser implements [Revoker].
func (w writer) RevokeUser(ctx context.Context, user User, opts ...RevokeOption) (Epochs, error) {
	record, err := NewRecord(opts...)
	if err := errors.Join(err, user.Validate()); err != nil {
		return Epochs{}, refuse("RevokeUser", err)
	}
	return w.moveEpoch(ctx, "RevokeUser", user.key(), user, record)
}

// RevokeIssuer implements [Revoker].
func (w writer) RevokeIssuer(ctx context.Context, issuer string, opts ...RevokeOption) (time.Time, error) {
	record, err := NewRecord(opts...)
	if err := errors.Join(err, strict.CheckID("issuer", issuer)); err != nil {
		return time.Time{}, refuse("RevokeIssuer", err)
	}
	moved, err := w.moveEpoch(ctx, "RevokeIssuer", issuerKey(issuer), User{Issuer: issuer}, record)
	if err != nil {
		return time.Time{}, err
	}
	return utc(moved.User), nil
}

// moveEpoch moves the epoch in the row of k to now and returns it as User, and the issuer's beside it.
func (w writer) moveEpoch(ctx context.Context, operation string, k key, user User, record Record) (Epochs, error) {
	var moved Epochs
	scan := func(r row) error {
		var a answer
		if err := r.Scan(&a.user, &a.issuer); err != nil {
			return err
		}
		moved = a.epochs()
		return nil
	}
	err := w.write(ctx, operation, scan,
		statement{w.sql.placeEpoch, []any{k.uuid(), user.Issuer, user.Subject}},
		statement{w.sql.moveEpoch, []any{k.uuid(), w.skew.Seconds(), record.Reason, record.Actor, issuerKey(user.Issuer).uuid()}})
	if err != nil {
		return Epochs{}, err
	}
	if moved.User == 0 {
		return Epochs{}, w.wrap(ctx, operation, errors.New("the row of the epoch has vanished: is a trigger or a policy on user_epochs?"))
	}
	return moved, nil
}

// RevokeUserBefore implements [Revoker]. Postgres keeps microseconds, so t is rounded up to one.
func (w writer) RevokeUserBefore(ctx context.Context, user User, t time.Time, opts ...RevokeOption) error {
	const operation = "RevokeUserBefore"
	record, err := NewRecord(opts...)
	err = errors.Join(err, user.Validate())
	if !isStorable(t) {
		err = errors.Join(err, errors.New("time lies before 1970 or after 9999"))
	}
	if err != nil {
		return refuse(operation, err)
	}
	before := t.Truncate(time.Microsecond)
	if before.Before(t) {
		before = before.Add(time.Microsecond)
	}
	stored := false
	err = w.write(ctx, operation, func(row) error { stored = true; return nil }, statement{w.sql.raiseEpoch,
		[]any{user.key().uuid(), user.Issuer, user.Subject, before, record.Reason, record.Actor}})
	if err == nil && !stored {
		err = refuse(operation, fmt.Errorf("time %s lies more than %v ahead of the database's clock",
			t.UTC().Format(time.RFC3339), MaxIssuerSkew))
	}
	return err
}

// Epochs implements [Revoker].
func (w writer) Epochs(ctx context.Context, user User) (Epochs, error) {
	epochs, _, err := w.readEpochs(ctx, "Epochs", user)
	return epochs, err
}

// readEpochs returns the epochs and the clock of the database.
func (w writer) readEpochs(ctx context.Context, operation string, user User) (Epochs, time.Time, error) {
	if err := user.Validate(); err != nil {
		return Epochs{}, time.Time{}, refuse(operation, err)
	}
	ctx, cancel := w.budget(ctx)
	defer cancel()
	var a answer
	err := w.run.read(ctx, func(r row) error { return r.Scan(&a.standby, &a.now, &a.user, &a.issuer) },
		statement{w.sql.epochs, []any{user.key().uuid(), issuerKey(user.Issuer).uuid()}})
	if err == nil && a.standby {
		err = errStandby
	}
	if err != nil {
		return Epochs{}, time.Time{}, w.wrap(ctx, operation, err)
	}
	return a.epochs(), utc(a.now), nil
}
