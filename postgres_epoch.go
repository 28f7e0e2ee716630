package revoke

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// RevokeUser implements [Revoker].
func (w writer) RevokeUser(ctx context.Context, user User, opts ...RevokeOption) (epochs Epochs, err error) {
	done := w.begin(ctx, "RevokeUser", ScopeUser, 1)
	defer func() { done(err) }()
	r, err := ScopeUser.Revocation(user.Issuer, user.Subject, opts...)
	if err != nil {
		return Epochs{}, refuse("RevokeUser", err)
	}
	return w.moveEpoch(ctx, "RevokeUser", r)
}

// RevokeIssuer implements [Revoker].
func (w writer) RevokeIssuer(ctx context.Context, issuer string, opts ...RevokeOption) (since time.Time, err error) {
	done := w.begin(ctx, "RevokeIssuer", ScopeIssuer, 1)
	defer func() { done(err) }()
	r, err := ScopeIssuer.Revocation(issuer, "", opts...)
	if err != nil {
		return time.Time{}, refuse("RevokeIssuer", err)
	}
	moved, err := w.moveEpoch(ctx, "RevokeIssuer", r)
	if err != nil {
		return time.Time{}, err
	}
	return utc(moved.User), nil
}

// moveEpoch moves the epoch in the row of r to now and returns it as User, and the issuer's
// beside it.
func (w writer) moveEpoch(ctx context.Context, operation string, r Revocation) (Epochs, error) {
	var moved Epochs
	scan := func(current row) error {
		c := readColumns(current, 2)
		moved = Epochs{User: c.number(), Issuer: c.number()}
		return c.err
	}
	key, issuerKey := hexKey(r.Scope.Key(r.Issuer, r.ID)), hexKey(ScopeIssuer.Key(r.Issuer, ""))
	err := w.write(ctx, operation,
		statement{sql: w.sql.placeEpoch, args: []any{key, string(r.Scope), hexText(r.Issuer), hexText(r.ID)}},
		statement{sql: w.sql.moveEpoch, args: []any{key, secondsText(w.skew), hexText(r.Reason), hexText(r.Actor), issuerKey}, scan: scan, reset: func() { moved = Epochs{} }})
	if err != nil {
		return Epochs{}, err
	}
	if moved.User == 0 {
		return Epochs{}, w.wrap(ctx, operation,
			errors.New("the row of the epoch was not written: look for a trigger or a policy on revocations"))
	}
	return moved, nil
}

// RevokeUserBefore implements [Revoker]. Postgres keeps microseconds, so t is rounded up to one.
func (w writer) RevokeUserBefore(ctx context.Context, user User, t time.Time, opts ...RevokeOption) (err error) {
	const operation = "RevokeUserBefore"
	done := w.begin(ctx, operation, ScopeUser, 1)
	defer func() { done(err) }()
	r, err := ScopeUser.Revocation(user.Issuer, user.Subject, opts...)
	if err == nil && !isStorable(t) {
		err = errors.New("time lies before 1970 or after 9999")
	}
	if err != nil {
		return refuse(operation, err)
	}
	var v Verdict
	stored := false
	err = w.write(ctx, operation, statement{sql: w.sql.raiseEpoch, args: []any{
		hexKey(r.Scope.Key(r.Issuer, r.ID)), string(r.Scope), hexText(r.Issuer), hexText(r.ID), timeText(v.Epoch(t)),
		hexText(r.Reason), hexText(r.Actor),
	}, scan: func(row) error { stored = true; return nil }, reset: func() { stored = false }})
	if err == nil && !stored {
		err = refuse(operation, fmt.Errorf("time %s lies more than %v ahead of the database's clock",
			t.UTC().Format(time.RFC3339), MaxIssuerSkew))
	}
	return err
}

// Epochs implements [Revoker].
func (w writer) Epochs(ctx context.Context, user User) (Epochs, error) {
	v, _, err := w.askUser(ctx, "Epochs", user)
	return v.Epochs(), err
}

// IssueTime implements [Store].
func (p *Postgres) IssueTime(ctx context.Context, user User) (time.Time, error) {
	for {
		v, now, err := p.askUser(ctx, "IssueTime", user)
		if err != nil {
			return time.Time{}, err
		}
		iat, wait := v.IssueTime(now)
		if wait == 0 {
			return iat, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return time.Time{}, fmt.Errorf("revoke: IssueTime: %w: %w", ErrUnavailable, ctx.Err())
		}
	}
}

// askUser returns what stands of the user, and the clock of the database.
func (w writer) askUser(ctx context.Context, operation string, user User) (v Verdict, now time.Time, err error) {
	keys, err := v.OfUser(user)
	if err != nil {
		return v, now, refuse(operation, err)
	}
	ctx, cancel := w.budget(ctx)
	defer cancel()
	var r answerReader
	if err := w.run.read(ctx, w.sql.ask(rowKeys(keys)), &r); err != nil {
		return v, now, w.wrap(ctx, operation, err)
	}
	r.tell(&v, keys)
	return v, r.now, nil
}
