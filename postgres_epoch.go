package revoke

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pgrevoke/revoke/internal/postgres"
)

// RevokeUser implements [Revoker].
func (w writer) RevokeUser(ctx context.Context, user User, opts ...RevokeOption) (epochs Epochs, err error) {
	const operation = "RevokeUser"
	err = w.tell(ctx, operation, ScopeUser, 1, func() error {
		r, err := w.record(ScopeUser, user.Issuer, user.Subject, opts)
		if err != nil {
			return refuse(operation, err)
		}
		since, err := w.moveEpochs(ctx, operation, []Revocation{r})
		epochs = user.epochs(since)
		return err
	})
	return epochs, err
}

// RevokeUsers implements [Revoker], in two statements and one round trip.
func (w writer) RevokeUsers(ctx context.Context, users []User, opts ...RevokeOption) (epochs []Epochs, err error) {
	const operation = "RevokeUsers"
	err = w.tell(ctx, operation, ScopeUser, len(users), func() error {
		records, err := w.userRecords(users, opts)
		if err != nil {
			return refuse(operation, err)
		}
		if len(records) == 0 {
			return nil
		}
		since, err := w.moveEpochs(ctx, operation, records)
		if err != nil {
			return err
		}
		epochs = make([]Epochs, len(users))
		for i, user := range users {
			epochs[i] = user.epochs(since)
		}
		return nil
	})
	return epochs, err
}

// userRecords returns the records of users. The error names the position of a user that is wrong.
func (w writer) userRecords(users []User, opts []RevokeOption) ([]Revocation, error) {
	if _, err := noted(opts); err != nil {
		return nil, err
	}
	records := make([]Revocation, len(users))
	for i, user := range users {
		r, err := w.record(ScopeUser, user.Issuer, user.Subject, opts)
		if err != nil {
			return nil, fmt.Errorf("user %d of %d: %w", i+1, len(users), err)
		}
		records[i] = r
	}
	return records, nil
}

// epochs returns the user's epochs of those that stand by their keys, 0 where there is none.
func (u User) epochs(since map[[16]byte]int64) Epochs {
	return Epochs{User: since[ScopeUser.Key(u.Issuer, u.Subject)], Issuer: since[ScopeIssuer.Key(u.Issuer, "")]}
}

// RevokeIssuer implements [Revoker].
func (w writer) RevokeIssuer(ctx context.Context, issuer string, opts ...RevokeOption) (since time.Time, err error) {
	const operation = "RevokeIssuer"
	err = w.tell(ctx, operation, ScopeIssuer, 1, func() error {
		r, err := w.record(ScopeIssuer, issuer, "", opts)
		if err != nil {
			return refuse(operation, err)
		}
		moved, err := w.moveEpochs(ctx, operation, []Revocation{r})
		if err != nil {
			return err
		}
		since = utc(moved[ScopeIssuer.Key(issuer, "")])
		return nil
	})
	return since, err
}

// moveEpochs moves the epochs of the records, which are all of one scope, to now. It returns the
// epochs by their keys, and those of the users' issuers beside them.
func (w writer) moveEpochs(ctx context.Context, operation string, records []Revocation) (map[[16]byte]int64, error) {
	scope := records[0].Scope
	sorted := sortByKey(records)
	keys, issuers, ids := make([][16]byte, len(sorted)), make([]string, len(sorted)), make([]string, len(sorted))
	beside := make(map[[16]byte]struct{}) // the keys of the users' issuers
	for i, s := range sorted {
		keys[i], issuers[i], ids[i] = s.key, postgres.HexText(s.Issuer), postgres.HexText(s.ID)
		if scope == ScopeUser {
			beside[ScopeIssuer.Key(s.Issuer, "")] = struct{}{}
		}
	}
	var r answerReader
	err := w.write(ctx, operation,
		postgres.Statement{SQL: w.sql.placeEpochs, Args: []any{string(scope), postgres.HexArray(keys), postgres.TextArray(issuers), postgres.TextArray(ids)}},
		postgres.Statement{SQL: w.sql.moveEpochs, Args: []any{
			postgres.HexArray(keys), postgres.HexText(records[0].Reason), postgres.HexText(records[0].Actor),
			postgres.HexArray(slices.Collect(maps.Keys(beside))),
		}, Scan: r.Scan, Reset: r.Reset})
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if r.since[key] == 0 {
			return nil, w.wrap(ctx, operation, errUnwritten)
		}
	}
	return r.since, nil
}

// RevokeUserBefore implements [Revoker]. Postgres keeps microseconds, so t is rounded up to one.
func (w writer) RevokeUserBefore(ctx context.Context, user User, t time.Time, opts ...RevokeOption) error {
	const operation = "RevokeUserBefore"
	return w.tell(ctx, operation, ScopeUser, 1, func() error {
		r, err := w.record(ScopeUser, user.Issuer, user.Subject, opts)
		if err == nil && !isStorable(t) {
			err = errors.New("time lies before 1970 or after 9999")
		}
		if err != nil {
			return refuse(operation, err)
		}
		return w.raiseEpoch(ctx, operation, r, t)
	})
}

// raiseEpoch moves the epoch in the row of r to t at least.
func (w writer) raiseEpoch(ctx context.Context, operation string, r Revocation, t time.Time) error {
	var v Verdict
	var outcome string // whether t may be stored, and whether a row was written
	err := w.write(ctx, operation, postgres.Statement{SQL: w.sql.raiseEpoch, Args: []any{
		postgres.HexKey(r.Scope.Key(r.Issuer, r.ID)), string(r.Scope), postgres.HexText(r.Issuer), postgres.HexText(r.ID), postgres.TimeText(v.Epoch(t)),
		postgres.HexText(r.Reason), postgres.HexText(r.Actor),
	}, Scan: func(current postgres.Row) error { return current.Scan(&outcome) }, Reset: func() { outcome = "" }})
	switch {
	case err != nil || outcome == "tt":
		return err
	case outcome == "ff":
		return refuse(operation, fmt.Errorf("time %s lies more than %v ahead of the database's clock",
			t.UTC().Format(time.RFC3339), MaxIssuerSkew))
	}
	return w.wrap(ctx, operation, errUnwritten)
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
	if err == nil {
		err = w.known.Check(user.Issuer)
	}
	if err != nil {
		return v, now, refuse(operation, err)
	}
	ctx, cancel := w.budget(ctx)
	defer cancel()
	var r answerReader
	if err := w.run.Read(ctx, w.sql.ask(rowKeys(keys)), &r); err != nil {
		return v, now, w.wrap(ctx, operation, err)
	}
	r.tell(&v, keys)
	return v, r.now, nil
}
