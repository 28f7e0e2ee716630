package mirror

import (
	"context"
	"errors"
	"time"

	"github.com/pgrevoke/revoke"
)

// Store returns a store that writes to Postgres and checks by the mirror. This process
// refuses what was revoked through it as soon as the call has returned nil, and other
// mirrors are notified. It may be used from several goroutines.
//
// It does not see a transaction of the caller's: after the commit call [Mirror.Sync] or
// [Mirror.Wake], or leave the revocation to the next poll. After an error of a call,
// the next poll finds out whether it took effect.
func (m *Mirror) Store() revoke.Store {
	return store{m, writer{m.store, m.enforce, m.store.SharedIDs()}}
}

type store struct {
	mirror *Mirror
	writer
}

var _ revoke.Store = store{}

// Check implements [revoke.Checker].
func (s store) Check(ctx context.Context, token revoke.Token) error {
	return s.mirror.Check(ctx, token)
}

// CheckVerified is Check of a token that a validator has verified.
func (s store) CheckVerified(ctx context.Context, verified revoke.Verified) error {
	return s.mirror.CheckVerified(ctx, verified)
}

// CheckEach is [Mirror.CheckEach].
func (s store) CheckEach(ctx context.Context, tokens []revoke.Token) []error {
	return s.mirror.CheckEach(ctx, tokens)
}

// Changed is [Mirror.Changed], for a watcher that has the store and not the mirror.
func (s store) Changed() <-chan struct{} { return s.mirror.Changed() }

// CheckIssuer returns an error where the store behind the mirror does not know the issuer.
func (s store) CheckIssuer(issuer string) error { return s.mirror.CheckIssuer(issuer) }

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
	var made []own
	err := s.mirror.store.InTx(ctx, func(r revoke.Revoker) error {
		made = nil // of an attempt that was rolled back
		return fn(writer{r, func(revocations ...own) { made = append(made, revocations...) }, s.shared})
	})
	if err == nil && len(made) > 0 {
		s.mirror.enforce(made...)
	}
	return err
}

// writer passes writes on and tells made what they revoked. It does not embed the
// Revoker: a method that is added to the interface must not pass by the mirror.
type writer struct {
	revoker revoke.Revoker
	made    func(...own)
	shared  bool // see revoke.WithSharedIDs
}

// revoked makes a revocation that was written.
func revoked(scope revoke.Scope, issuer, id string, at int64) own {
	return own{row: row{key: scope.Key(issuer, id), at: at, epoch: scope.IsEpoch()}, written: true}
}

func revokedToken(token revoke.Token) own {
	at := int64(unknownExpiry)
	if !token.ExpiresAt.IsZero() {
		at = token.ExpiresAt.UnixMicro()
	}
	return revoked(revoke.ScopeToken, token.Issuer, token.ID, at)
}

// token makes a revocation of a token that was written. Of a shared id the store chooses until when
// the row is kept, by its clock.
func (w writer) token(token revoke.Token) own {
	if w.shared {
		token.ExpiresAt = time.Time{}
	}
	return revokedToken(token)
}

// RevokeToken implements [revoke.Revoker].
func (w writer) RevokeToken(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	err := w.revoker.RevokeToken(ctx, token, opts...)
	if err == nil {
		w.made(w.token(token))
	}
	return err
}

// RevokeTokens implements [revoke.Revoker].
func (w writer) RevokeTokens(ctx context.Context, tokens []revoke.Token, opts ...revoke.RevokeOption) error {
	err := w.revoker.RevokeTokens(ctx, tokens, opts...)
	if err == nil {
		made := make([]own, len(tokens))
		for i, token := range tokens {
			made[i] = w.token(token)
		}
		w.made(made...)
	}
	return err
}

// RevokeSession implements [revoke.Revoker].
func (w writer) RevokeSession(ctx context.Context, session revoke.Session, opts ...revoke.RevokeOption) error {
	err := w.revoker.RevokeSession(ctx, session, opts...)
	if err == nil {
		w.made(revoked(revoke.ScopeSession, session.Issuer, session.ID, unknownExpiry))
	}
	return err
}

// RevokeUser implements [revoke.Revoker].
func (w writer) RevokeUser(ctx context.Context, user revoke.User, opts ...revoke.RevokeOption) (revoke.Epochs, error) {
	epochs, err := w.revoker.RevokeUser(ctx, user, opts...)
	if err == nil {
		w.made(revoked(revoke.ScopeUser, user.Issuer, user.Subject, epochs.User))
	}
	return epochs, err
}

// RevokeUsers implements [revoke.Revoker].
func (w writer) RevokeUsers(ctx context.Context, users []revoke.User, opts ...revoke.RevokeOption) ([]revoke.Epochs, error) {
	epochs, err := w.revoker.RevokeUsers(ctx, users, opts...)
	if err == nil {
		made := make([]own, len(users))
		for i, user := range users {
			made[i] = revoked(revoke.ScopeUser, user.Issuer, user.Subject, epochs[i].User)
		}
		w.made(made...)
	}
	return epochs, err
}

// RevokeUserBefore implements [revoke.Revoker].
func (w writer) RevokeUserBefore(ctx context.Context, user revoke.User, t time.Time, opts ...revoke.RevokeOption) error {
	err := w.revoker.RevokeUserBefore(ctx, user, t, opts...)
	if err == nil {
		var v revoke.Verdict
		w.made(revoked(revoke.ScopeUser, user.Issuer, user.Subject, v.Epoch(t).UnixMicro()))
	}
	return err
}

// RevokeIssuer implements [revoke.Revoker].
func (w writer) RevokeIssuer(ctx context.Context, issuer string, opts ...revoke.RevokeOption) (time.Time, error) {
	since, err := w.revoker.RevokeIssuer(ctx, issuer, opts...)
	if err == nil {
		w.made(revoked(revoke.ScopeIssuer, issuer, "", since.UnixMicro()))
	}
	return since, err
}

// Redeem implements [revoke.Revoker]. A token that it finds spent is refused by this process too.
func (w writer) Redeem(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	err := w.revoker.Redeem(ctx, token, opts...)
	spent := (*revoke.RevokedError)(nil)
	if err == nil || errors.As(err, &spent) {
		r := w.token(token)
		if err != nil { // another program may have written the row, and without WithSharedIDs
			r = revokedToken(token)
			r.written = false
		}
		w.made(r)
	}
	return err
}

// Epochs implements [revoke.Revoker]. It asks Postgres: an epoch from memory may be an old one.
func (w writer) Epochs(ctx context.Context, user revoke.User) (revoke.Epochs, error) {
	return w.revoker.Epochs(ctx, user)
}
