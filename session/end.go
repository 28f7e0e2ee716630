package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/postgres"
)

// End ends a session of the user by its sid: no refresh is answered any more, and its
// access tokens are refused, here at once and by mirrors within their bound. It is safe to
// repeat. A sid of another user's session, or of none, is [ErrNotFound], and nothing is
// written. Any other error matches revoke.ErrUnavailable, or no sentinel where an argument
// is invalid.
func (s *Sessions) End(ctx context.Context, user revoke.User, sid string, opts ...revoke.RevokeOption) error {
	err := s.inTx(ctx, "End", func(t *Tx) error { return t.End(ctx, user, sid, opts...) })
	if err == nil {
		s.sync(ctx)
	}
	return err
}

// End is [Sessions.End] within the transaction.
func (t *Tx) End(ctx context.Context, user revoke.User, sid string, opts ...revoke.RevokeOption) error {
	const operation = "End"
	found, err := t.end(ctx, operation, user, sid, opts...)
	if err == nil && !found {
		err = fmt.Errorf("session: %s: %w", operation, ErrNotFound)
	}
	return err
}

// end ends a session of the user, and reports whether the user has it.
func (t *Tx) end(ctx context.Context, operation string, user revoke.User, sid string, opts ...revoke.RevokeOption) (found bool, err error) {
	s := t.sessions
	err = s.checkUser(user)
	if err == nil {
		_, err = revoke.ScopeSession.Revocation(user.Issuer, sid, opts...)
	}
	if err != nil {
		return false, fmt.Errorf("session: %s: %w", operation, err)
	}
	key, userKey, _ := keysOf(user, sid)
	if err := t.ask(ctx, 2, func(c *postgres.Columns) { found = c.Text() != "" }, s.sql.end, key, userKey); err != nil {
		return false, s.fail(ctx, operation, err)
	}
	if !found {
		return false, nil
	}
	return true, t.revoker.RevokeSession(ctx, revoke.Session{Issuer: user.Issuer, ID: sid}, opts...)
}

// EndAll ends every session of the user, and every token that carries no session: it is
// RevokeUser. It returns the epochs for a new session of the device in hand, which Start begins
// in the same transaction: for a changed password. A repeat is a new instant. The error matches
// revoke.ErrUnavailable, or no sentinel where an argument is invalid.
//
// The Issuer of these epochs is read by EndAll. So a RevokeIssuer that commits after the check of
// the old password and before EndAll does not end the new session. To have it end that session
// too, replace Issuer by the one that was read with the old password's hash.
func (s *Sessions) EndAll(ctx context.Context, user revoke.User, opts ...revoke.RevokeOption) (epochs revoke.Epochs, err error) {
	err = s.inTx(ctx, "EndAll", func(t *Tx) error {
		epochs, err = t.EndAll(ctx, user, opts...)
		return err
	})
	if err == nil {
		s.sync(ctx)
	}
	return epochs, err
}

// EndAll is [Sessions.EndAll] within the transaction.
func (t *Tx) EndAll(ctx context.Context, user revoke.User, opts ...revoke.RevokeOption) (revoke.Epochs, error) {
	if err := t.sessions.checkUser(user); err != nil {
		return revoke.Epochs{}, fmt.Errorf("session: EndAll: %w", err)
	}
	return t.revoker.RevokeUser(ctx, user, opts...)
}

// EndOthers ends every session of the user, and starts a new one for the device in hand in
// the place of that with this sid: for "sign out everywhere else". It returns the tokens of
// the new one, which has another sid; the tokens of the old one are refused with the rest.
//
// A session that can be refreshed no more gets no other in its place: the error is a
// [*RefreshError] of reason Ended, Idle, Over or Revoked. A sid of another user's session,
// or of none, is [ErrNotFound]. Then nothing is written. Any other error matches
// revoke.ErrUnavailable, or no sentinel where an argument is invalid.
func (s *Sessions) EndOthers(ctx context.Context, user revoke.User, sid string, device Device, opts ...revoke.RevokeOption) (tokens Tokens, err error) {
	const operation = "EndOthers"
	n, err := s.newcomer(ctx, operation, user, device)
	if err != nil {
		return Tokens{}, err
	}
	err = s.inTx(ctx, operation, func(t *Tx) error {
		tokens, err = t.endOthers(ctx, operation, n, sid, opts...)
		return err
	})
	if err != nil {
		return Tokens{}, err
	}
	s.sync(ctx)
	return tokens, nil
}

// EndOthers is [Sessions.EndOthers] within the transaction. Hand the tokens out after the commit.
// Roll back after an error: the session may have ended while the call waited for a lock.
func (t *Tx) EndOthers(ctx context.Context, user revoke.User, sid string, device Device, opts ...revoke.RevokeOption) (Tokens, error) {
	const operation = "EndOthers"
	n, err := t.sessions.newcomer(ctx, operation, user, device)
	if err != nil {
		return Tokens{}, err
	}
	return t.endOthers(ctx, operation, n, sid, opts...)
}

// endOthers starts n in the place of the session with this sid.
func (t *Tx) endOthers(ctx context.Context, operation string, n newcomer, sid string, opts ...revoke.RevokeOption) (Tokens, error) {
	user := n.user
	if _, err := revoke.ScopeSession.Revocation(user.Issuer, sid, opts...); err != nil {
		return Tokens{}, fmt.Errorf("session: %s: %w", operation, err)
	}
	// Nothing is written where the user has no such session, or it is over.
	if _, err := t.judge(ctx, operation, user, sid); err != nil {
		return Tokens{}, err
	}
	// The rows of the user's epoch and of the session are locked, and the session is judged again.
	// Otherwise a revocation of the user, or an end of the session, that commits between the
	// judgement and ours would be lifted by the new session.
	if err := t.revoker.RevokeUserBefore(ctx, user, time.UnixMicro(0)); err != nil {
		return Tokens{}, err
	}
	key, userKey, _ := keysOf(user, sid)
	if err := t.run.Run(ctx, postgres.Statement{
		SQL: t.sessions.sql.hold, Args: []any{key, userKey}, Scan: func(postgres.Row) error { return nil },
	}); err != nil {
		return Tokens{}, t.sessions.fail(ctx, operation, err)
	}
	old, err := t.judge(ctx, operation, user, sid)
	if err != nil {
		return Tokens{}, err
	}
	if n.client != old.client {
		return Tokens{}, fmt.Errorf("session: %s: %w", operation, errOtherSessionsClient)
	}
	if old.Isolated() {
		// The snapshot may hide that the session has been revoked since. Then this is a
		// serialization failure.
		if err := t.revoker.RevokeSession(ctx, revoke.Session{Issuer: user.Issuer, ID: sid}, opts...); err != nil {
			return Tokens{}, err
		}
	}
	epochs, err := t.revoker.RevokeUser(ctx, user, opts...)
	if err != nil {
		return Tokens{}, err
	}
	// That of the sign-in: the issuer may have been revoked since the session was judged.
	epochs.Issuer = old.epochs.Issuer
	tokens, _, err := t.start(ctx, operation, n, epochs)
	return tokens, err
}

var errOtherSessionsClient = errors.New("the session is another client's")

// judge returns the session that can still be refreshed, in a statement of its own.
func (t *Tx) judge(ctx context.Context, operation string, user revoke.User, sid string) (*sighting, error) {
	s := t.sessions
	key, userKey, issuerKey := keysOf(user, sid)
	seen := &sighting{columns: seenColumns}
	if err := t.run.Read(ctx, postgres.Statement{SQL: s.sql.see, Args: []any{key, userKey, issuerKey}}, seen); err != nil {
		return nil, s.fail(ctx, operation, err)
	}
	if !seen.found {
		return nil, fmt.Errorf("session: %s: %w", operation, ErrNotFound)
	}
	r := refresh{Sessions: s, operation: operation, presented: signed{
		user: user, session: revoke.Session{Issuer: user.Issuer, ID: sid}, client: seen.client, epochs: seen.epochs, generation: seen.generation,
		startedAt: time.UnixMicro(seen.startedAt).UTC(), expiresAt: time.UnixMicro(seen.expiresAt).UTC(),
	}}
	if failed := r.judge(seen); failed != nil {
		return nil, failed
	}
	return seen, nil
}

// EndToken ends the session of an access token or of a refresh token, which may have
// expired: for a logout. It is safe to repeat. The session is ended also where its row is
// missing, because the token was signed for it. The error matches revoke.ErrInvalidToken
// where the token is none of these sessions', no sentinel where an option is invalid, and
// revoke.ErrUnavailable otherwise.
func (s *Sessions) EndToken(ctx context.Context, token string, opts ...revoke.RevokeOption) error {
	const operation = "EndToken"
	user, session, err := s.identify(ctx, token)
	if err != nil {
		return fmt.Errorf("session: %s: %w", operation, err)
	}
	err = s.inTx(ctx, operation, func(t *Tx) error {
		found, err := t.end(ctx, operation, user, session.ID, opts...)
		if err == nil && !found {
			err = t.revoker.RevokeSession(ctx, session, opts...)
		}
		return err
	})
	if err == nil {
		s.sync(ctx)
	}
	return err
}

// identify returns the user and the session of a token.
func (s *Sessions) identify(ctx context.Context, token string) (revoke.User, revoke.Session, error) {
	g, fault, invalid := s.readRefresh(token)
	switch {
	case fault != nil:
		return revoke.User{}, revoke.Session{}, fmt.Errorf("%w: %w", revoke.ErrUnavailable, plain(fault))
	case invalid == nil, errors.Is(invalid, errBound):
		return g.user, g.session, nil
	}
	access, err := s.validator.Identify(ctx, token)
	if err != nil {
		return revoke.User{}, revoke.Session{}, err
	}
	return access.User(), access.Session(), nil
}
