package session

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/postgres"
)

// Start starts a session of a user after the app has checked the credentials, and returns its
// tokens. The epochs are those that the statement which read the credentials has read with them,
// by the function epochs of the schema: see [revoke.Epochs]. Every token of the session carries
// them on, so a revocation of the user that came in between ends the session too.
//
// An error of the database, of the keys and of the claims of the app matches
// revoke.ErrUnavailable; an invalid user or device, or negative epochs, match no sentinel. After
// an error the tokens of a session that may have started are lost, and the user signs in again.
func (s *Sessions) Start(ctx context.Context, user revoke.User, epochs revoke.Epochs, device Device) (tokens Tokens, err error) {
	const operation = "Start"
	n, err := s.newcomer(ctx, operation, user, device)
	if err != nil {
		return Tokens{}, err
	}
	ended := false
	err = s.inTx(ctx, operation, func(t *Tx) error {
		tokens, ended, err = t.start(ctx, operation, n, epochs)
		return err
	})
	if err != nil {
		return Tokens{}, err
	}
	if ended {
		s.sync(ctx)
	}
	return tokens, nil
}

// Start is [Sessions.Start] within the transaction. Hand the tokens out after the commit.
func (t *Tx) Start(ctx context.Context, user revoke.User, epochs revoke.Epochs, device Device) (Tokens, error) {
	const operation = "Start"
	n, err := t.sessions.newcomer(ctx, operation, user, device)
	if err != nil {
		return Tokens{}, err
	}
	tokens, _, err := t.start(ctx, operation, n, epochs)
	return tokens, err
}

// newcomer is a session before it starts.
type newcomer struct {
	signed
	material
	device Device // as it is stored
}

// newcomer asks the app for the key and the claims of a new session. It is called before the
// transaction begins: a function of the app's that queries the database needs a connection of the
// same pool.
func (s *Sessions) newcomer(ctx context.Context, operation string, user revoke.User, device Device) (n newcomer, err error) {
	if err := s.checkUser(user); err != nil {
		return newcomer{}, fmt.Errorf("session: %s: %w", operation, err)
	}
	n.device, err = device.stored(s.withoutDetails)
	if err != nil {
		return newcomer{}, fmt.Errorf("session: %s: %w", operation, err)
	}
	n.signed = signed{user: user, session: revoke.Session{Issuer: s.issuer, ID: rand.Text()}, client: device.Client, generation: 1}
	if n.material, err = s.materialFor(ctx, n.signed, true); err != nil {
		return newcomer{}, fmt.Errorf("session: %s: %w: %w", operation, revoke.ErrUnavailable, plain(err))
	}
	return n, nil
}

// start also reports whether it has ended another session.
func (t *Tx) start(ctx context.Context, operation string, n newcomer, epochs revoke.Epochs) (_ Tokens, ended bool, err error) {
	s, g := t.sessions, n.signed
	if epochs.User < 0 || epochs.Issuer < 0 {
		return Tokens{}, false, fmt.Errorf("session: %s: the epochs [%d, %d] are negative", operation, epochs.User, epochs.Issuer)
	}
	g.epochs = epochs
	key, userKey, _ := keysOf(g.user, g.session.ID)
	args := append([]any{
		key, userKey, postgres.HexText(s.issuer), postgres.HexText(g.session.ID), postgres.HexText(g.user.Subject), postgres.HexText(g.client),
		strconv.FormatInt(epochs.User, 10), strconv.FormatInt(epochs.Issuer, 10), postgres.SecondsText(s.absolute),
	}, n.device.args()...)
	if err := t.ask(ctx, 3, func(c *postgres.Columns) {
		// Whole seconds, rounded down, as claims have them: no token outlives the row.
		g.startedAt, g.expiresAt = seconds(c.Number()), seconds(c.Number())
	}, s.sql.start, args...); err != nil {
		return Tokens{}, false, s.fail(ctx, operation, err)
	}
	// Before the rows of other sessions are locked: a signer may be slow.
	tokens, err := s.mint(ctx, g, n.material)
	if err != nil {
		return Tokens{}, false, fmt.Errorf("session: %s: %w: %w", operation, revoke.ErrUnavailable, plain(err))
	}
	if s.most > 0 {
		if ended, err = t.endOldest(ctx, operation, g); err != nil {
			return Tokens{}, false, err
		}
	}
	tokens.Outcome = Started
	return tokens, ended, nil
}

// seconds is a number of microseconds since 1970 as a time in whole seconds.
func seconds(micros int64) time.Time { return time.Unix(micros/1_000_000, 0).UTC() }

// endOldest ends the oldest sessions of the user above the number that they may have, beside the
// one that starts.
func (t *Tx) endOldest(ctx context.Context, operation string, g signed) (ended bool, err error) {
	s := t.sessions
	key, userKey, issuerKey := keysOf(g.user, g.session.ID)
	if err := t.run.Run(ctx, postgres.Statement{
		SQL: s.sql.lock, Args: []any{userKey}, Scan: func(postgres.Row) error { return nil },
	}); err != nil {
		return false, s.fail(ctx, operation, err)
	}
	var keys [][16]byte
	var sids []string
	if err := t.run.Run(ctx, postgres.Statement{
		SQL: s.sql.excess, Args: []any{userKey, issuerKey, postgres.SecondsText(s.idle), strconv.Itoa(s.most), key},
		Scan: func(current postgres.Row) error {
			c := postgres.ReadColumns(current, 1)
			sid := c.Name()
			keys, sids = append(keys, revoke.ScopeSession.Key(s.issuer, sid)), append(sids, sid)
			return c.Err
		},
	}); err != nil {
		return false, s.fail(ctx, operation, err)
	}
	if len(sids) == 0 {
		return false, nil
	}
	if err := t.run.Run(ctx, postgres.Statement{SQL: s.sql.endMany, Args: []any{postgres.HexArray(keys)}}); err != nil {
		return false, s.fail(ctx, operation, err)
	}
	for _, sid := range sids {
		if err := t.revoker.RevokeSession(ctx, revoke.Session{Issuer: s.issuer, ID: sid}, revoke.WithReason("too many sessions")); err != nil {
			return false, err
		}
	}
	return true, nil
}
