package session

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/postgres"
)

// Session is a session as [Sessions.List] shows it.
type Session struct {
	ID         string // its sid, for End
	Client     string // the OAuth client_id; empty for the app's own pages
	Label      string
	UserAgent  string // of the last rotation, or of the start
	Address    string // of the last rotation, or of the start
	Attributes map[string]string
	StartedAt  time.Time
	LastUsedAt time.Time // no finer than the lifetime of an access token
	ExpiresAt  time.Time // its absolute end
}

// MaxListed is the number of sessions that [Sessions.List] returns at most. [WithMaxSessions]
// limits how many a user has.
const MaxListed = 1000

// List returns the sessions of the user that can still be refreshed, the one that was used
// last first, and at most [MaxListed] of them. One that was ended, idle for too long, or
// revoked, also by its user or its issuer, is not among them. The error matches
// revoke.ErrUnavailable, or no sentinel where the user is invalid.
//
// LastUsedAt is rounded down to a multiple of the lifetime of an access token. A thief who
// could see when the owner refreshes would refresh in the shadow of that.
func (s *Sessions) List(ctx context.Context, user revoke.User) ([]Session, error) {
	const operation = "List"
	if err := s.checkUser(user); err != nil {
		return nil, fmt.Errorf("session: %s: %w", operation, err)
	}
	queryCtx, cancel := context.WithTimeout(ctx, s.database.Wait)
	defer cancel()
	_, userKey, issuerKey := keysOf(user, "")
	r := lister{lifetime: s.access}
	r.columns, r.read = 10, r.add
	if err := s.database.Read(queryCtx, postgres.Statement{
		SQL: s.sql.list, Args: []any{userKey, issuerKey, postgres.SecondsText(s.idle), strconv.Itoa(MaxListed)},
	}, &r); err != nil {
		return nil, s.fail(ctx, operation, err)
	}
	slices.SortFunc(r.sessions, func(a, b used) int { return cmp.Compare(b.usedAt, a.usedAt) })
	sessions := make([]Session, len(r.sessions))
	for i := range r.sessions {
		sessions[i] = r.sessions[i].Session
	}
	return sessions, nil
}

// used is a session with its last use, as it was.
type used struct {
	Session
	usedAt int64
}

// lister reads the rows of the statement of List.
type lister struct {
	told
	lifetime time.Duration
	sessions []used // in any order: UNION ALL promises none
}

func (r *lister) Reset() {
	r.told.Reset()
	r.sessions = nil
}

func (r *lister) add(c *postgres.Columns) {
	var attributes map[string]string
	session := used{Session: Session{ID: c.Name(), Client: c.Name(), Label: c.Name(), UserAgent: c.Name(), Address: c.Name()}}
	if text := c.Name(); text != "" && json.Unmarshal([]byte(text), &attributes) == nil {
		session.Attributes = attributes
	}
	started, usedAt, expires := c.Number(), c.Number(), c.Number()
	if session.ID == "" {
		return
	}
	session.StartedAt, session.ExpiresAt = time.UnixMicro(started).UTC(), time.UnixMicro(expires).UTC()
	session.usedAt = usedAt
	session.LastUsedAt = time.UnixMicro(max(usedAt-usedAt%r.lifetime.Microseconds(), started)).UTC()
	r.sessions = append(r.sessions, session)
}

// Forget blanks what is stored of the devices of the user: labels, user agents, addresses
// and attributes. It is for a user who is deleted, beside EndAll: a refresh that begins after
// it stores them again, one that is under way does not. A session that another transaction has
// started and not committed keeps its details. The error matches revoke.ErrUnavailable, or no
// sentinel where the user is invalid.
func (s *Sessions) Forget(ctx context.Context, user revoke.User) error {
	return s.inTx(ctx, "Forget", func(t *Tx) error { return t.Forget(ctx, user) })
}

// Forget is [Sessions.Forget] within the transaction.
func (t *Tx) Forget(ctx context.Context, user revoke.User) error {
	const operation = "Forget"
	s := t.sessions
	if err := s.checkUser(user); err != nil {
		return fmt.Errorf("session: %s: %w", operation, err)
	}
	_, userKey, _ := keysOf(user, "")
	if err := t.ask(ctx, 2, func(c *postgres.Columns) { c.Number() }, s.sql.forget, userKey); err != nil {
		return s.fail(ctx, operation, err)
	}
	return nil
}
