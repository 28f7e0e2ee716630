package mirror

import (
	"context"
	"time"

	"github.com/pgrevoke/revoke"
)

// Store returns a store that writes to Postgres and checks by the mirror. What is revoked through it is refused by this
// process as soon as the call has returned nil, and other mirrors are told. It may be used from several goroutines.
//
// A transaction of the caller's is not seen by it: after the commit call [Mirror.Sync] or [Mirror.Wake], or leave it to the
// next poll. Where a call fails, whether it took effect is for the next poll to find.
func (m *Mirror) Store() revoke.Store { return store{m, writer{m.store, m.hash, m.enforce}} }

type store struct {
	mirror *Mirror
	writer
}

var _ revoke.Store = store{}

// Check implements [revoke.Checker].
func (s store) Check(ctx context.Context, token revoke.Token) error {
	return s.mirror.Check(ctx, token)
}

// IssueTime implements [revoke.Store].
func (s store) IssueTime(ctx context.Context, user revoke.User) (time.Time, error) {
	return s.mirror.store.IssueTime(ctx, user)
}

// Lookup implements [revoke.Store]. It asks Postgres, which knows reason and actor.
func (s store) Lookup(ctx context.Context, token revoke.Token) ([]revoke.Revocation, error) {
	return s.mirror.store.Lookup(ctx, token)
}

// InTx implements [revoke.Store].
func (s store) InTx(ctx context.Context, fn func(revoke.Revoker) error) error {
	var done []entry
	err := s.mirror.store.InTx(ctx, func(r revoke.Revoker) error {
		done = nil // of an attempt that was rolled back
		return fn(writer{r, s.hash, func(entries ...entry) { done = append(done, entries...) }})
	})
	if err == nil && len(done) > 0 {
		s.mirror.enforce(done...)
	}
	return err
}

// writer passes writes on, and tells what they did.
type writer struct {
	revoke.Revoker
	hash hasher
	done func(...entry)
}

func (w writer) tokenEntry(token revoke.Token) entry {
	expiresAt := token.ExpiresAt
	if expiresAt.IsZero() {
		expiresAt = time.UnixMicro(maxMicros) // later than any that Postgres chooses
	}
	return entry{fingerprint: w.hash.token(w.hash.issuer(token.Issuer), token.ID), value: expiresAt.UnixMicro()}
}

func (w writer) userEntry(user revoke.User, epoch int64) entry {
	return entry{fingerprint: w.hash.user(w.hash.issuer(user.Issuer), user.Subject), value: epoch, epoch: true}
}

// RevokeToken implements [revoke.Revoker].
func (w writer) RevokeToken(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	err := w.Revoker.RevokeToken(ctx, token, opts...)
	if err == nil {
		w.done(w.tokenEntry(token))
	}
	return err
}

// RevokeTokens implements [revoke.Revoker].
func (w writer) RevokeTokens(ctx context.Context, tokens []revoke.Token, opts ...revoke.RevokeOption) error {
	err := w.Revoker.RevokeTokens(ctx, tokens, opts...)
	if err == nil {
		entries := make([]entry, len(tokens))
		for i, token := range tokens {
			entries[i] = w.tokenEntry(token)
		}
		w.done(entries...)
	}
	return err
}

// RevokeSession implements [revoke.Revoker].
func (w writer) RevokeSession(ctx context.Context, session revoke.Session, opts ...revoke.RevokeOption) error {
	err := w.Revoker.RevokeSession(ctx, session, opts...)
	if err == nil {
		fingerprint := w.hash.session(w.hash.issuer(session.Issuer), session.ID)
		w.done(entry{fingerprint: fingerprint, value: maxMicros})
	}
	return err
}

// RevokeUser implements [revoke.Revoker].
func (w writer) RevokeUser(ctx context.Context, user revoke.User, opts ...revoke.RevokeOption) (revoke.Epochs, error) {
	epochs, err := w.Revoker.RevokeUser(ctx, user, opts...)
	if err == nil {
		w.done(w.userEntry(user, epochs.User))
	}
	return epochs, err
}

// RevokeUserBefore implements [revoke.Revoker].
func (w writer) RevokeUserBefore(ctx context.Context, user revoke.User, t time.Time, opts ...revoke.RevokeOption) error {
	err := w.Revoker.RevokeUserBefore(ctx, user, t, opts...)
	if err == nil {
		w.done(w.userEntry(user, t.Add(time.Microsecond-time.Nanosecond).UnixMicro())) // rounded up, as it is stored
	}
	return err
}

// RevokeIssuer implements [revoke.Revoker].
func (w writer) RevokeIssuer(ctx context.Context, issuer string, opts ...revoke.RevokeOption) (time.Time, error) {
	since, err := w.Revoker.RevokeIssuer(ctx, issuer, opts...)
	if err == nil {
		w.done(entry{fingerprint: issuerEpoch(w.hash.issuer(issuer)), value: since.UnixMicro(), epoch: true})
	}
	return since, err
}

// Redeem implements [revoke.Revoker].
func (w writer) Redeem(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	err := w.Revoker.Redeem(ctx, token, opts...)
	if err == nil {
		w.done(w.tokenEntry(token))
	}
	return err
}
