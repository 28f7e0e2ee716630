package mirror

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/circumstances"
)

// overlay holds the revocations that were made through this process and that no answer
// has shown yet. They stand in the table too, so that checks find them at once. The
// overlay carries them over a load of which the snapshot is older, and it tells a right
// server from a wrong one: an answer of the right server to a question that was sent
// after the write returned shows the row.
type overlay map[rowKey]own

// own is a revocation of this process.
type own struct {
	row
	written bool   // by this process, and not found by it
	least   int64  // of at in a row that shows the revocation
	expires int64  // when the row is no longer needed, in microseconds since 1970
	after   uint64 // the last read that began before the write returned
}

// unknownExpiry stands in at for an expiry that the store chooses, by its clock, and
// unknownLifetime after it.
const (
	unknownExpiry   = -1
	unknownLifetime = revoke.MaxTokenLifetime + revoke.MaxLeeway
)

// errUnshown says that memory and store may follow different servers.
//
// After a failover that lost the commit of a revocation, Health and the hooks report
// this error once. The mirror asks the store's own server, which does not know the
// revocation either, forgets it and begins anew: from then on memory accepts the token
// as Postgres does. If the store's server does know it, the mirror's connection leads
// elsewhere (to an old primary, a stale address, or another database in
// WithConnString). Then Postgres answers every check until a new session shows the
// revocation, or until the token has expired.
var errUnshown = errors.New("the mirror's server does not show a revocation that was made through this process: " +
	"it is not the server that the store writes to, or a failover lost the revocation")

// add adds a revocation, or makes more of one that is there.
func (o overlay) add(key rowKey, r own) {
	old, found := o[key]
	if found && old.least >= r.least && (old.written || !r.written) {
		r.after, r.written = old.after, old.written // the earlier one is to be shown sooner
	}
	r.least, r.at, r.expires = max(r.least, old.least), max(r.at, old.at), max(r.expires, old.expires)
	o[key] = r
}

// shows removes the revocation that this row shows, if there is one.
func (o overlay) shows(r row) bool {
	own, found := o[r.key]
	if !found || r.at < own.least {
		return false
	}
	delete(o, r.key)
	return true
}

// settle goes through what is left when a read has ended. number is the read's, and
// clock the database's. It removes what the read need not show: a token that expired
// longer ago than DefaultMargin, of which the store writes nothing, and a revocation
// that was only found, because its row may have expired. If the read should have shown
// another it returns errUnshown.
func (o overlay) settle(number uint64, clock time.Time) error {
	o.prune(clock)
	for key, own := range o {
		switch {
		case own.after >= number:
		case own.written:
			return errUnshown
		default:
			delete(o, key)
		}
	}
	return nil
}

// prune removes what has expired.
func (o overlay) prune(clock time.Time) {
	limit := cutoffAt(clock)
	maps.DeleteFunc(o, func(_ rowKey, r own) bool { return r.expires <= limit })
}

// enforce makes this process refuse at once what was revoked through it.
func (m *Mirror) enforce(revocations ...own) {
	m.mu.Lock()
	for _, r := range revocations {
		m.enforceOne(r)
	}
	m.tellWatchers()
	m.mu.Unlock()
	m.announceSoon()
}

// enforceOne puts a revocation into table and overlay. The lock is held.
func (m *Mirror) enforceOne(r own) {
	now := m.clock()
	clock := now.after(m.offset)
	if r.written { // a row that was only found may have any expiry
		r.least = max(0, r.at)
	}
	r.expires = r.at
	if r.epoch || r.at == unknownExpiry {
		r.expires = clock.Add(unknownLifetime).UnixMicro()
	}
	if r.at == unknownExpiry {
		r.at = r.expires
	}
	r.after = m.began

	e := m.entryOf(r.row)
	found, shown := m.table.Load().get(e.fingerprint)
	_, pending := m.overlay[r.key]
	// A repeat may write nothing, and then no difference shows a row that an answer of this
	// session has shown before. A complete answer shows it again.
	repeat := m.loaded && m.exact.Load() && !pending && shown && found.value >= r.least
	// If no read is under way, the next one shows the row, and the overlay keeps it only
	// as evidence.
	hasRoom := len(m.overlay) < minPrune+m.maxEntries/overlayShare
	if !repeat && (m.reading || hasRoom) {
		// Without a session nothing else removes what has expired.
		if !m.reading && len(m.overlay) >= m.pruneAt {
			m.overlay.prune(clock)
			m.pruneAt = 2*len(m.overlay) + minPrune
		}
		m.overlay.add(r.key, r)
	}
	// A memory that is too old is not looked into before the next read has ended, and
	// would only grow. The wall clock does not decide that here: it may be set back, and
	// then the same memory answers again.
	if mark := m.mark.Load(); mark != nil && now.monotonic-mark.at.monotonic <= int64(m.bound) {
		m.writable().put(e)
	}
}

// overlayShare is the number of entries of the table that take as much memory as one of
// the overlay. So the overlay takes about as much as the table may.
const overlayShare = 8

// minPrune is the size up to which the overlay is not searched for what has expired.
const minPrune = 1024

// forgetLost asks the server that the store writes to for the revocations that the last
// read should have shown, and forgets those that this server does not show either. It
// reports whether none is left.
func (m *Mirror) forgetLost(ctx context.Context) (bool, error) {
	asked := make(overlay)
	var keys []string
	m.mu.Lock()
	for key, r := range m.overlay {
		if r.after < m.began {
			asked[key] = r
			keys = append(keys, hex.EncodeToString(key[:]))
		}
	}
	m.mu.Unlock()
	shown := make(map[rowKey]int64)
	for some := range slices.Chunk(keys, partRows) {
		err := m.withPool(ctx, func(conn *pgx.Conn) error {
			_, err := newAsker(conn, m.store.ReadOnlyConnections()).read(ctx, minPatience, anySession, func(part []row) error {
				for _, r := range part {
					shown[r.key] = r.at
				}
				return nil
			}, newFeedSQL(m.store.Schema()).lookup, "{"+strings.Join(some, ",")+"}")
			return err
		})
		if err != nil {
			return false, fmt.Errorf("ask the store for it: %w", err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	left := false
	for key, r := range asked {
		if at, found := shown[key]; found && at >= r.least {
			left = true
		} else if m.overlay[key] == r { // and has not been made again meanwhile
			delete(m.overlay, key)
		}
	}
	return !left, nil
}

// withPool calls fn with a connection of the store's pool, and closes one that is not to be
// used again.
func (m *Mirror) withPool(ctx context.Context, fn func(*pgx.Conn) error) error {
	conn, err := m.store.Pool().Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if err = fn(conn.Conn()); circumstances.Spoils(err, m.store.ReadOnlyConnections()) {
		_ = conn.Conn().Close(ctx) // it is given up in any case
	}
	return err
}
