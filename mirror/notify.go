package mirror

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke"
)

// How often mirrors poll and notify each other.
const (
	pollDistance    = 3 * time.Millisecond  // between two polls that notifications asked for
	announceEvery   = 15 * time.Millisecond // between two notifications
	announceTimeout = time.Second
)

// channelOf returns what the mirrors of a schema listen to: a name of at most 63 bytes. The
// payload of a notification does not matter.
func channelOf(schema string) string {
	const prefix, limit = "revoke:", 63
	if len(prefix)+len(schema) > limit {
		sum := sha256.Sum256([]byte(schema))
		return prefix + hex.EncodeToString(sum[:16])
	}
	return prefix + schema
}

// notify wakes the mirrors of the schema.
func (m *Mirror) notify(ctx context.Context) error {
	return m.withPool(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT pg_catalog.pg_notify($1::pg_catalog.text, '')", channelOf(m.store.Schema()))
		return err
	})
}

// Wake makes every mirror of this table poll, for instance after the commit of a
// transaction that revoked. Without it each mirror finds the revocation within its
// bound. Call it after the commit: a notification inside the transaction that revokes
// takes a lock that all commits of the server wait for. An error matches
// revoke.ErrUnavailable.
func (m *Mirror) Wake(ctx context.Context) error {
	m.wake()
	if err := m.notify(ctx); err != nil {
		return fmt.Errorf("mirror: Wake: %w: %w", revoke.ErrUnavailable, err)
	}
	return nil
}

// wake makes Run poll now.
func (m *Mirror) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending = true
	if m.interrupt != nil {
		m.interrupt()
	}
}

// rest waits for the next poll: for the interval, for a notification, or for wake.
// Polls keep a distance, however many notifications come.
func (m *Mirror) rest(ctx context.Context, s *session) {
	ctx, cancel := context.WithTimeout(ctx, m.interval)
	defer cancel()
	m.mu.Lock()
	m.interrupt = cancel
	if m.pending { // since the last poll began, and perhaps after its snapshot
		cancel()
	}
	m.mu.Unlock()
	pause(ctx, pollDistance)
	if !s.notified { // as above
		// If it fails for another reason than time, so does the poll.
		_ = s.conn.PgConn().WaitForNotification(ctx)
	}
	m.mu.Lock()
	m.interrupt = nil
	m.pending, s.notified = false, false
	m.mu.Unlock()
}

// announceSoon has announceLoop tell the other mirrors.
func (m *Mirror) announceSoon() {
	select {
	case m.announce <- struct{}{}:
	default: // a notification is about to be sent
	}
}

// announceLoop tells other mirrors that something was revoked here. It does so after
// the commit, once for many: in the transaction that revokes, a notification would take
// a lock that every commit of the server waits for.
func (m *Mirror) announceLoop(ctx context.Context) {
	for {
		select {
		case <-m.announce:
		case <-ctx.Done():
			return
		}
		send, cancel := context.WithTimeout(ctx, announceTimeout)
		_ = m.notify(send) // without it others poll later
		cancel()
		pause(ctx, announceEvery)
	}
}
