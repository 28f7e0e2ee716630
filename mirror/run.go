package mirror

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pgrevoke/revoke"
)

// The pauses of Run.
const (
	minBackoff      = 20 * time.Millisecond // after an error, doubled with each further one
	maxBackoff      = time.Second
	tooManyBackoff  = 30 * time.Second      // because as many rows would be read again, for nothing
	pollDistance    = 3 * time.Millisecond  // between polls for which others ask
	announceEvery   = 15 * time.Millisecond // at most so often others are told
	announceTimeout = time.Second
	openTimeout     = 5 * time.Second  // for a session to be opened, which takes some twenty round trips
	stallTimeout    = 10 * time.Second // without stallRows more, after which a load is given up
	stallRows       = 256
)

// The reasons for which there is no memory, beside what goes wrong.
var (
	errNotLoaded = errors.New("the revocations have not been loaded yet: is Run called?")
	errEnded     = errors.New("Run has ended")
	errRunning   = errors.New("it is running already")
)

// Run keeps the memory up to date until ctx ends; then it returns nil. It opens a connection of its own, loads everything, and
// polls for what has changed. After an error it begins again, and checks ask Postgres once the memory is older than the bound:
// what goes wrong is told by [WithReport] and [Mirror.Health]. A call while it runs is an error; once it has ended it may be called
// again.
func (m *Mirror) Run(ctx context.Context) error {
	// The mark of one would stand for the table of the other.
	if !m.running.CompareAndSwap(false, true) {
		return fmt.Errorf("mirror: Run: %w", errRunning)
	}
	defer m.running.Store(false)
	m.setLast(errNotLoaded)
	var group sync.WaitGroup
	defer group.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group.Go(func() { m.announceLoop(ctx) })

	backoff := minBackoff
	wholeOnly := false
	for ctx.Err() == nil {
		polled, err := m.follow(ctx, wholeOnly)
		if ctx.Err() != nil {
			break
		}
		wholeOnly = wholeOnly || errors.Is(err, errPooled)
		if polled {
			backoff = minBackoff
		}
		m.setLast(err)
		m.report(fmt.Errorf("mirror: %w", err))
		wait := backoff
		if errors.Is(err, errTooMany) {
			wait = tooManyBackoff
		}
		pause(ctx, wait/2+rand.N(wait))
		backoff = min(2*backoff, maxBackoff)
	}
	m.mark.Store(nil)
	m.setLast(errEnded)
	return nil
}

func (m *Mirror) setLast(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = err
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// follow opens a session, loads, and polls until something fails. It reports whether anything was applied.
func (m *Mirror) follow(ctx context.Context, wholeOnly bool) (polled bool, err error) {
	opening, cancel := context.WithTimeout(ctx, max(m.bound, openTimeout))
	defer cancel()
	s, err := m.connect(opening)
	if err != nil {
		return false, err
	}
	defer s.close()
	var source feed = wholeFeed{s}
	if !wholeOnly {
		if source, err = s.probe(opening); err != nil {
			return false, err
		}
	}
	m.exact.Store(!source.whole())
	if err := m.load(ctx, source.load); err != nil {
		return false, err
	}
	for first := true; ; first = false {
		if !first || source.whole() { // a load may have taken longer than the bound, which a poll mends
			m.rest(ctx, s)
		}
		if ctx.Err() != nil {
			return true, ctx.Err()
		}
		if source.whole() {
			err = m.load(ctx, source.poll)
		} else {
			err = m.poll(ctx, source)
		}
		if err != nil {
			return true, err
		}
	}
}

// rest waits for the next poll: for the interval, for a notification, or for wake. However many notifications come, and
// whoever sends them, polls for them keep a distance.
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
		_ = s.conn.PgConn().WaitForNotification(ctx) // if it fails for another reason than time, so does the poll
	}
	m.mu.Lock()
	m.interrupt = nil
	m.pending, s.notified = false, false
	m.mu.Unlock()
}

// begin counts a poll, and returns the moment before it is sent.
func (m *Mirror) begin() (number uint64, at instant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.began++
	m.reading = true
	return m.began, m.clock()
}

// end forgets what was revoked here during a read, however that went. The lock is held.
func (m *Mirror) end() {
	m.reading = false
	m.recent = nil
}

// errTooMany says that the memory would be larger than it may be.
var errTooMany = errors.New("there are more live revocations than WithMaxEntries allows; Postgres is asked")

// load reads everything into a new table and puts that in place of the old one.
func (m *Mirror) load(ctx context.Context, read func(context.Context, func(row)) (time.Time, error)) error {
	number, at := m.begin()
	fresh := newTable(m.Stats().Entries)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stall := time.AfterFunc(stallTimeout, cancel)
	defer stall.Stop()
	rows, tooMany := 0, false
	clock, err := read(ctx, func(r row) {
		if tooMany {
			return
		}
		if rows++; rows%stallRows == 0 {
			stall.Reset(stallTimeout)
		}
		fresh = add(fresh, m.entryOf(r))
		if fresh.used > m.maxEntries {
			tooMany = true
			cancel() // the rest need not be sent
		}
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.end()
	if tooMany {
		return errTooMany
	}
	if err != nil {
		return err
	}
	for _, e := range m.recent { // the snapshot may be older than these
		fresh = add(fresh, e)
	}
	m.raiseCutoff(clock)
	m.table.Store(fresh)
	m.loads.Add(1)
	m.publish(number, at, clock)
	return nil
}

// poll applies what has changed.
func (m *Mirror) poll(ctx context.Context, source feed) error {
	number, at := m.begin()
	ctx, cancel := context.WithTimeout(ctx, max(m.bound, announceTimeout))
	defer cancel()
	clock, err := source.poll(ctx, func(r row) {
		e := m.entryOf(r)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.put(e)
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.end()
	if err != nil {
		return err
	}
	m.polls.Add(1)
	for _, e := range m.recent { // the snapshot may be older than these
		m.put(e)
	}
	if m.table.Load().used > m.maxEntries {
		m.compact(clock)
		if m.table.Load().used > m.maxEntries {
			return errTooMany
		}
	}
	m.publish(number, at, clock)
	return nil
}

// publish makes the memory answer as of the moment before the read was sent. Every row of the read has been applied.
func (m *Mirror) publish(number uint64, at instant, clock time.Time) {
	m.mark.Store(&mark{at: at, offset: clock.Sub(time.Unix(0, at.wall))})
	m.clockRead = clock
	m.applied = number
	m.last = nil
	close(m.changed)
	m.changed = make(chan struct{})
}

// entryOf makes an entry of a row.
func (m *Mirror) entryOf(r row) entry {
	issuer := maphash.Bytes(m.hash.seed, r.issuer)
	e := entry{value: r.at, epoch: r.kind == rowUser || r.kind == rowIssuer}
	switch r.kind {
	case rowToken:
		e.fingerprint = fingerprint(kindToken, issuer, maphash.Bytes(m.hash.seed, r.id))
	case rowSession:
		e.fingerprint = fingerprint(kindSession, issuer, maphash.Bytes(m.hash.seed, r.id))
	case rowUser:
		e.fingerprint = fingerprint(kindUser, issuer, maphash.Bytes(m.hash.seed, r.id))
	default:
		e.fingerprint = issuerEpoch(issuer)
	}
	return e
}

// add puts an entry into a table, or into a larger one that it returns, and which nobody reads yet.
func add(t *table, e entry) *table {
	if t.full() {
		larger := newTable(t.used) // of twice as many slots
		for old := range t.all {
			larger.put(old)
		}
		t = larger
	}
	t.put(e)
	return t
}

// put adds an entry to the table that is read. The lock is held.
func (m *Mirror) put(e entry) {
	if m.table.Load().full() {
		m.compact(m.clockRead)
	}
	m.table.Load().put(e)
}

// compact puts a table without what has expired in place of the old one. The lock is held.
func (m *Mirror) compact(now time.Time) {
	limit := m.raiseCutoff(now)
	live := 0
	for e := range m.table.Load().all {
		if !e.expired(limit) {
			live++
		}
	}
	smaller := newTable(live + live/4)
	for e := range m.table.Load().all {
		if !e.expired(limit) {
			smaller.put(e)
		}
	}
	m.table.Store(smaller)
}

// raiseCutoff notes up to when entries may be missing, before they are. It never goes back, also where the clock does: a token
// whose entry was dropped when the clock ran ahead must not come back to life. The lock is held.
func (m *Mirror) raiseCutoff(now time.Time) (limit int64) {
	limit = now.Add(-revoke.RetentionMargin).UnixMicro()
	if limit > m.cutoff.Load() {
		m.cutoff.Store(limit)
	}
	return limit
}

// enforce makes this process refuse at once what was revoked through it. A read that begins later finds it in the database.
func (m *Mirror) enforce(entries ...entry) {
	m.mu.Lock()
	// Otherwise nobody looks into the table before a read has been applied, and while reads fail it would only grow.
	if mark := m.mark.Load(); mark != nil && m.clock().monotonic-mark.at.monotonic <= int64(m.bound) {
		for _, e := range entries {
			m.put(e)
		}
	}
	if m.reading {
		m.recent = append(m.recent, entries...)
	}
	m.mu.Unlock()
	select {
	case m.announce <- struct{}{}:
	default: // somebody is about to
	}
}

// announceLoop tells other mirrors that something was revoked here, after its commit and for many at once: in the
// transaction that revokes, a notification would take a lock that every commit of the server waits for.
func (m *Mirror) announceLoop(ctx context.Context) {
	for {
		select {
		case <-m.announce:
		case <-ctx.Done():
			return
		}
		send, cancel := context.WithTimeout(ctx, announceTimeout)
		_, _ = m.store.Pool().Exec(send, "SELECT pg_notify($1::text, '')", channel) // without it others poll a little later
		cancel()
		pause(ctx, announceEvery)
	}
}
