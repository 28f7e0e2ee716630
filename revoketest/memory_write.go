package revoketest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pgrevoke/revoke"
)

// RevokeToken implements [revoke.Revoker].
func (m *Memory) RevokeToken(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	return m.revokeTokens(ctx, "RevokeToken", []revoke.Token{token}, opts)
}

// RevokeTokens implements [revoke.Revoker].
func (m *Memory) RevokeTokens(ctx context.Context, tokens []revoke.Token, opts ...revoke.RevokeOption) error {
	return m.revokeTokens(ctx, "RevokeTokens", tokens, opts)
}

func (m *Memory) revokeTokens(ctx context.Context, operation string, tokens []revoke.Token, opts []revoke.RevokeOption) error {
	records := make([]revoke.Revocation, len(tokens))
	var invalid error
	for i, token := range tokens {
		r, err := tokenRecord(token, opts)
		invalid = cmp.Or(invalid, err, m.checkToken(token))
		records[i] = r
	}
	return m.write(ctx, operation, invalid, func(now time.Time) error {
		for _, r := range records {
			m.rows.put(r, now)
		}
		return nil
	})
}

// tokenRecord returns the record of the token's revocation.
func tokenRecord(token revoke.Token, opts []revoke.RevokeOption) (revoke.Revocation, error) {
	r, err := revoke.ScopeToken.Revocation(token.Issuer, token.ID, opts...)
	if err == nil && !token.ExpiresAt.IsZero() {
		_, err = new(revoke.Verdict).OfRedemption(token) // says what is wrong with the expiry
	}
	r.ExpiresAt = token.ExpiresAt
	return r, err
}

// RevokeSession implements [revoke.Revoker].
func (m *Memory) RevokeSession(ctx context.Context, session revoke.Session, opts ...revoke.RevokeOption) error {
	r, err := m.record(revoke.ScopeSession, session.Issuer, session.ID, opts)
	return m.write(ctx, "RevokeSession", err, func(now time.Time) error {
		m.rows.put(r, now)
		return nil
	})
}

// RevokeUser implements [revoke.Revoker].
func (m *Memory) RevokeUser(ctx context.Context, user revoke.User, opts ...revoke.RevokeOption) (epochs revoke.Epochs, err error) {
	r, err := m.record(revoke.ScopeUser, user.Issuer, user.Subject, opts)
	err = m.write(ctx, "RevokeUser", err, func(now time.Time) error {
		m.rows.moveEpoch(r, now)
		epochs, err = m.rows.epochs(user)
		return err
	})
	return epochs, err
}

// RevokeUsers implements [revoke.Revoker].
func (m *Memory) RevokeUsers(ctx context.Context, users []revoke.User, opts ...revoke.RevokeOption) (epochs []revoke.Epochs, err error) {
	records := make([]revoke.Revocation, len(users))
	var invalid error
	for i, user := range users {
		r, err := m.record(revoke.ScopeUser, user.Issuer, user.Subject, opts)
		if err != nil {
			err = fmt.Errorf("user %d of %d: %w", i+1, len(users), err)
		}
		records[i], invalid = r, cmp.Or(invalid, err)
	}
	err = m.write(ctx, "RevokeUsers", invalid, func(now time.Time) error {
		for _, r := range records {
			m.rows.moveEpoch(r, now)
		}
		epochs = make([]revoke.Epochs, len(users))
		for i, user := range users {
			if epochs[i], err = m.rows.epochs(user); err != nil {
				return err
			}
		}
		return nil
	})
	return epochs, err
}

// RevokeUserBefore implements [revoke.Revoker].
func (m *Memory) RevokeUserBefore(ctx context.Context, user revoke.User, t time.Time, opts ...revoke.RevokeOption) error {
	r, err := m.record(revoke.ScopeUser, user.Issuer, user.Subject, opts)
	if err == nil && (t.Unix() < 0 || t.Year() > 9999) {
		err = errors.New("time lies before 1970 or after 9999")
	}
	return m.write(ctx, "RevokeUserBefore", err, func(now time.Time) error {
		if t.After(now.Add(revoke.MaxIssuerSkew)) {
			return fmt.Errorf("time %s lies more than %v ahead of the clock", t.UTC().Format(time.RFC3339), revoke.MaxIssuerSkew)
		}
		m.rows.raiseEpoch(r, new(revoke.Verdict).Epoch(t), now)
		return nil
	})
}

// RevokeIssuer implements [revoke.Revoker].
func (m *Memory) RevokeIssuer(ctx context.Context, issuer string, opts ...revoke.RevokeOption) (since time.Time, err error) {
	r, err := m.record(revoke.ScopeIssuer, issuer, "", opts)
	err = m.write(ctx, "RevokeIssuer", err, func(now time.Time) error {
		since = m.rows.moveEpoch(r, now)
		return nil
	})
	return since, err
}

// Redeem implements [revoke.Revoker].
func (m *Memory) Redeem(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	var v revoke.Verdict
	r, err := tokenRecord(token, opts)
	keys, invalid := v.OfRedemption(token)
	return m.write(ctx, "Redeem", cmp.Or(err, invalid), func(now time.Time) error {
		m.rows.tell(&v, keys)
		if err := v.Redeem(now); err != nil {
			return err
		}
		m.rows.put(r, now)
		return nil
	})
}

// write runs one write under the lock, after its input was found valid.
func (m *Memory) write(ctx context.Context, operation string, invalid error, apply func(now time.Time) error) error {
	if invalid != nil {
		return named(operation, invalid)
	}
	if err := m.begin(ctx); err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		err = named(operation, err)
		m.missed = cmp.Or(m.missed, err)
		return err
	}
	defer m.end()
	m.mu.Lock()
	defer m.mu.Unlock()
	return named(operation, apply(m.now().Round(0)))
}

// named names the operation that failed. A *revoke.RevokedError says enough by itself.
func named(operation string, err error) error {
	if revoked := (*revoke.RevokedError)(nil); err == nil || errors.As(err, &revoked) {
		return err
	}
	return fmt.Errorf("revoketest: %s: %w", operation, err)
}

// unavailable reports a context that has ended.
func unavailable(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", revoke.ErrUnavailable, context.Cause(ctx))
}

// put adds a record, or keeps the one that is there for longer. A zero ExpiresAt counts as
// MaxTokenLifetime from now, and one that has passed as now.
func (r rows) put(record revoke.Revocation, now time.Time) {
	record.Since = now.UTC()
	switch {
	case record.ExpiresAt.IsZero():
		record.ExpiresAt = now.Add(keepFor)
	case record.ExpiresAt.Before(now):
		record.ExpiresAt = now
	}
	key := record.Scope.Key(record.Issuer, record.ID)
	if old, ok := r[key]; ok {
		record.Since = old.Since
		record = merge(old, record)
	}
	r[key] = record
}

// moveEpoch moves an epoch to now, and by a microsecond at least.
func (r rows) moveEpoch(record revoke.Revocation, now time.Time) time.Time {
	old := r[record.Scope.Key(record.Issuer, record.ID)].Since.UnixMicro()
	epoch := time.UnixMicro(max(now.UnixMicro(), old) + 1).UTC()
	r.raiseEpoch(record, epoch, now)
	return epoch
}

// epochs returns the user's epochs.
func (r rows) epochs(user revoke.User) (revoke.Epochs, error) {
	var v revoke.Verdict
	keys, err := v.OfUser(user)
	r.tell(&v, keys)
	return v.Epochs(), err
}

// raiseEpoch sets an epoch to t at least.
func (r rows) raiseEpoch(record revoke.Revocation, t, now time.Time) {
	record.Since = t
	key := record.Scope.Key(record.Issuer, record.ID)
	old, ok := r[key]
	if ok && old.Since.After(t) {
		record.Since = old.Since
	}
	record.ExpiresAt = now.Add(keepFor)
	if record.Since.After(now) {
		record.ExpiresAt = record.Since.Add(keepFor)
	}
	if ok {
		record = merge(old, record)
	}
	r[key] = record
}

// merge keeps the later expiry, and the reason and the actor that were there first.
func merge(old, record revoke.Revocation) revoke.Revocation {
	if old.ExpiresAt.After(record.ExpiresAt) {
		record.ExpiresAt = old.ExpiresAt
	}
	record.Reason = cmp.Or(old.Reason, record.Reason)
	record.Actor = cmp.Or(old.Actor, record.Actor)
	return record
}
