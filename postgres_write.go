package revoke

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pgrevoke/revoke/internal/cancelled"
	"github.com/pgrevoke/revoke/internal/issuers"
	"github.com/pgrevoke/revoke/internal/postgres"
)

// writer is the [Revoker] of a Postgres, and of a transaction; they differ in how statements run.
type writer struct {
	sql    *statements
	schema string
	keep   time.Duration // how long a token's row is kept at least
	known  *issuers.Known
	hooks  hooks
	inTx   bool // in a transaction of the caller's
	run    postgres.Runner
	wrap   func(ctx context.Context, operation string, err error) error
	budget func(ctx context.Context) (context.Context, context.CancelFunc) // of a read
}

// errCutOff is what hooks hear of a write that ended by a panic, or with its goroutine.
var errCutOff = errors.New("the call ended without an answer, by a panic or with its goroutine")

// tell tells the hooks how a write ended.
func (w writer) tell(ctx context.Context, operation string, scope Scope, count int, write func() error) (err error) {
	if w.hooks.write == nil {
		return write()
	}
	start := time.Now()
	err = fmt.Errorf("revoke: %s: %w: %w", operation, ErrUnavailable, errCutOff)
	defer func() {
		event := WriteEvent{
			Operation: operation, Scope: scope, Count: count, InTx: w.inTx, Duration: time.Since(start), Err: err,
			Cancelled: cancelled.ByCaller(ctx, err),
		}
		for _, hook := range w.hooks.write {
			hook.OnWrite(ctx, event)
		}
	}()
	err = write()
	return err
}

// errUnwritten says that a write had no effect, which no acknowledged write may have.
var errUnwritten = errors.New("a row was not written: look for a trigger or a policy on revocations")

// record returns the record of a revocation, unless the store was told of other issuers.
func (w writer) record(scope Scope, issuer, id string, opts []RevokeOption) (Revocation, error) {
	r, err := scope.Revocation(issuer, id, opts...)
	if err == nil {
		err = w.known.Check(issuer)
	}
	return r, err
}

// write runs statements that must be durable.
func (w writer) write(ctx context.Context, operation string, stmts ...postgres.Statement) error {
	err := w.run.Run(ctx, append([]postgres.Statement{{SQL: w.sql.durable}}, stmts...)...)
	if err != nil {
		return w.wrap(ctx, operation, err)
	}
	return nil
}

// RevokeToken implements [Revoker].
func (w writer) RevokeToken(ctx context.Context, token Token, opts ...RevokeOption) error {
	return w.revokeTokens(ctx, "RevokeToken", []Token{token}, opts)
}

// RevokeTokens implements [Revoker], in one statement.
func (w writer) RevokeTokens(ctx context.Context, tokens []Token, opts ...RevokeOption) error {
	return w.revokeTokens(ctx, "RevokeTokens", tokens, opts)
}

// RevokeSession implements [Revoker].
func (w writer) RevokeSession(ctx context.Context, session Session, opts ...RevokeOption) error {
	r, err := w.record(ScopeSession, session.Issuer, session.ID, opts)
	return w.revoke(ctx, "RevokeSession", ScopeSession, []Revocation{r}, err)
}

func (w writer) revokeTokens(ctx context.Context, operation string, tokens []Token, opts []RevokeOption) error {
	_, invalid := noted(opts)
	records := make([]Revocation, len(tokens))
	for i, token := range tokens {
		if invalid != nil {
			break
		}
		r, err := token.revocation(opts)
		if err == nil {
			err = invalidToken(w.known.Check(token.Issuer))
		}
		if err != nil && len(tokens) > 1 {
			err = fmt.Errorf("token %d of %d: %w", i+1, len(tokens), err)
		}
		records[i], invalid = r, err
	}
	return w.revoke(ctx, operation, ScopeToken, records, invalid)
}

// revocation returns the record of the token's revocation. The error matches ErrInvalidToken
// where the token is wrong.
func (t Token) revocation(opts []RevokeOption) (Revocation, error) {
	r, err := ScopeToken.Revocation(t.Issuer, t.ID, opts...)
	if err == nil {
		err = t.checkRevocation()
	}
	r.ExpiresAt = t.ExpiresAt
	return r, err
}

// revoke writes records of one scope that has no epochs. A zero ExpiresAt counts as
// MaxTokenLifetime from now.
func (w writer) revoke(ctx context.Context, operation string, scope Scope, records []Revocation, invalid error) error {
	return w.tell(ctx, operation, scope, len(records), func() error {
		if invalid != nil {
			return refuse(operation, invalid)
		}
		if len(records) == 0 {
			return nil
		}
		return w.revokeSorted(ctx, operation, scope, sortByKey(records))
	})
}

// revokeSorted writes records, and sees to it that each stands. A repeat writes nothing; its row
// is looked for in a second statement, because the snapshot of the first does not show a row for
// which it waited.
func (w writer) revokeSorted(ctx context.Context, operation string, scope Scope, sorted []keyed) error {
	s, keys := w.revokeStatement(scope, sorted)
	written := int64(0)
	s.Scan = func(current postgres.Row) error {
		c := postgres.ReadColumns(current, 1)
		written = c.Number()
		return c.Err
	}
	s.Reset = func() { written = 0 }
	if err := w.write(ctx, operation, s); err != nil || written == int64(len(keys)) {
		return err
	}
	var r answerReader
	if err := w.run.Read(ctx, w.sql.ask(keys), &r); err != nil {
		return w.wrap(ctx, operation, err)
	}
	for _, key := range keys {
		if _, stands := r.since[key]; !stands {
			return w.wrap(ctx, operation, errUnwritten)
		}
	}
	return nil
}

// keyed is a record with its key.
type keyed struct {
	key [16]byte
	*Revocation
}

// sortByKey sorts records by key, because two batches in opposite order would deadlock, and leaves
// duplicates out, because Postgres refuses to touch a row twice in one statement. Of duplicates
// the longest expiry counts.
func sortByKey(records []Revocation) []keyed {
	sorted := make([]keyed, len(records))
	for i := range records {
		sorted[i] = keyed{records[i].Scope.Key(records[i].Issuer, records[i].ID), &records[i]}
	}
	slices.SortFunc(sorted, func(a, b keyed) int {
		if order := bytes.Compare(a.key[:], b.key[:]); order != 0 {
			return order
		}
		return compareExpiry(b.ExpiresAt, a.ExpiresAt)
	})
	return slices.CompactFunc(sorted, func(a, b keyed) bool { return a.key == b.key })
}

// revokeStatement writes the records, which are all of one scope. It returns their keys too.
func (w writer) revokeStatement(scope Scope, sorted []keyed) (s postgres.Statement, keys [][16]byte) {
	keys = make([][16]byte, len(sorted))
	issuers := make([]string, len(sorted))
	ids := make([]string, len(sorted))
	expiries := make([]string, len(sorted))
	for i, s := range sorted {
		keys[i], issuers[i], ids[i], expiries[i] = s.key, postgres.HexText(s.Issuer), postgres.HexText(s.ID), postgres.TimeText(s.ExpiresAt)
	}
	return postgres.Statement{SQL: w.sql.revoke, Args: []any{
		string(scope), postgres.HexArray(keys), postgres.TextArray(issuers), postgres.TextArray(ids), postgres.TextArray(expiries),
		postgres.HexText(sorted[0].Reason), postgres.HexText(sorted[0].Actor), postgres.SecondsText(w.keep),
	}}, keys
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

// Redeem implements [Revoker]. Where two callers meet, one waits for the other's transaction to
// end: if that commits, the waiter has lost; if it rolls back, the waiter wins.
func (w writer) Redeem(ctx context.Context, token Token, opts ...RevokeOption) error {
	return w.tell(ctx, "Redeem", ScopeToken, 1, func() error { return w.redeem(ctx, "Redeem", token, opts) })
}

func (w writer) redeem(ctx context.Context, operation string, token Token, opts []RevokeOption) error {
	var v Verdict
	r, err := token.revocation(opts)
	if err != nil {
		return refuse(operation, err)
	}
	keys, err := v.OfRedemption(token)
	if err != nil {
		return refuse(operation, err)
	}
	insert := postgres.Statement{SQL: w.sql.redeem, Args: []any{
		postgres.HexKey(r.Scope.Key(r.Issuer, r.ID)), string(r.Scope), postgres.HexText(r.Issuer), postgres.HexText(r.ID), postgres.TimeText(r.ExpiresAt),
		postgres.HexText(r.Reason), postgres.HexText(r.Actor), postgres.SecondsText(w.keep),
	}}
	won := false
	insert.Scan, insert.Reset = func(postgres.Row) error { won = true; return nil }, func() { won = false }
	for range postgres.MaxAttempts {
		err := w.write(ctx, operation, insert)
		if err != nil || won {
			return err
		}
		// A second statement, because the snapshot of the first does not show the row that it
		// waited for.
		var reader answerReader
		if err := w.run.Read(ctx, w.sql.ask(rowKeys(keys)), &reader); err != nil {
			return w.wrap(ctx, operation, err)
		}
		reader.tell(&v, keys)
		if err := v.Redeem(reader.now); err != nil {
			return refuse(operation, err)
		}
		// Between the two statements a sweeper deleted the row that won, or the clock was set
		// back: ask again.
	}
	return w.wrap(ctx, operation, fmt.Errorf("the token's row appeared and disappeared in %d attempts", postgres.MaxAttempts))
}
