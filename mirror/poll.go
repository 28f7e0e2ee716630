package mirror

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pgrevoke/revoke"
)

// The pauses of Run after an error.
const (
	minBackoff = 20 * time.Millisecond // doubled with each further one
	maxBackoff = time.Second
	farBackoff = 30 * time.Second // where the next session would read all rows for nothing
)

// pooledAfter is the number of polls of a session below which the answer of another one
// is taken for a pooler's. A session that lasted longer was moved by a failover, or
// costs less by the exact feed all the same: a load for so many polls.
const pooledAfter = 1000

// ErrNotRunning says that [Mirror.Run] has not been called, or has ended: nothing keeps the
// memory up to date until the app calls Run. [Mirror.Health] returns it.
var ErrNotRunning = errors.New("the mirror is not running")

// The reasons for which there is no memory, apart from errors.
var (
	errNotCalled = fmt.Errorf("%w: Run has not been called; checks ask Postgres", ErrNotRunning)
	errEnded     = fmt.Errorf("%w: Run has ended; checks ask Postgres", ErrNotRunning)
	errNotLoaded = errors.New("the first load of the revocations is under way; checks ask Postgres")
	errRunning   = errors.New("it is running already")
	errTooMany   = errors.New("there are more live revocations than WithMaxEntries allows; Postgres is asked")
)

// Run keeps the memory up to date until ctx ends, and then returns nil. It opens a
// connection of its own, loads everything, and polls for what has changed. After an
// error it begins anew; checks ask Postgres once the memory is older than the bound.
// [Mirror.Health] and the store's hooks ([revoke.MirrorHook]) tell of errors. A second
// call while Run runs is an error. After Run has ended it may be called again.
func (m *Mirror) Run(ctx context.Context) error {
	// Two concurrent runs would publish their marks over each other's tables.
	if !m.running.CompareAndSwap(false, true) {
		return fmt.Errorf("mirror: Run: %w", errRunning)
	}
	defer m.running.Store(false)
	defer func() { // also where a hook panics
		m.mark.Store(nil)
		m.setLast(errEnded)
	}()
	m.setLast(errNotLoaded)
	var group sync.WaitGroup
	defer group.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group.Go(func() { m.announceLoop(ctx) })

	backoff := minBackoff
	wholeOnly := false
	for ctx.Err() == nil {
		answers, err := m.follow(ctx, wholeOnly)
		if ctx.Err() != nil {
			break
		}
		if answers > 0 {
			backoff = minBackoff
		}
		wait := backoff
		switch {
		case errors.Is(err, errMoved):
			wholeOnly = wholeOnly || answers < pooledAfter
		case errors.Is(err, errTooMany):
			wait = farBackoff
		case errors.Is(err, errUnshown):
			lost, failed := m.forgetLost(ctx)
			if failed != nil {
				err = fmt.Errorf("%w; %w", err, failed)
			} else if !lost {
				wait = farBackoff
			}
		}
		m.setLast(err)
		m.tellHooks(ctx, err)
		pause(ctx, wait/2+rand.N(wait))
		backoff = min(2*backoff, maxBackoff)
	}
	return nil
}

func (m *Mirror) setLast(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = err
}

// tellHooks tells of a load, or of the error that ended a session.
func (m *Mirror) tellHooks(ctx context.Context, err error) {
	if m.hooks.mirror == nil {
		return
	}
	if err != nil {
		err = fmt.Errorf("mirror: %w", err)
	}
	stats := m.Stats()
	for _, hook := range m.hooks.mirror {
		hook.OnMirror(ctx, revoke.MirrorEvent{Entries: stats.Entries, Exact: stats.Exact, Err: err})
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// follow opens a session, loads, and polls until something fails. It returns how many
// answers were applied.
func (m *Mirror) follow(ctx context.Context, wholeOnly bool) (answers int, err error) {
	opening, cancel := context.WithTimeout(ctx, max(m.bound, openTimeout))
	defer cancel()
	s, err := m.connect(opening)
	if err != nil {
		return 0, err
	}
	defer s.close()
	defer m.forgetSession()
	var source feed = wholeFeed{s}
	if !wholeOnly {
		if source, err = s.probe(opening); err != nil {
			return 0, err
		}
	}
	for ; ; answers++ {
		a := source.next()
		if err := m.update(ctx, a); err != nil {
			return answers, err
		}
		if answers == 0 {
			m.tellHooks(ctx, nil)
		}
		// A load may have taken longer than the bound. A difference, which takes much
		// less, follows it at once.
		if a.complete && a.exact {
			continue
		}
		m.rest(ctx, s)
		if ctx.Err() != nil {
			return answers, ctx.Err()
		}
	}
}

// forgetSession notes that the next answer is the first of a session.
func (m *Mirror) forgetSession() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if mark := m.mark.Load(); mark != nil && m.loaded {
		m.mark.Store(mark.withoutSession())
	}
	m.loaded = false
}

// update reads an answer and applies it.
func (m *Mirror) update(ctx context.Context, a answer) error {
	number, at := m.begin()
	if a.complete {
		return m.load(ctx, number, at, a)
	}
	return m.poll(ctx, number, at, a)
}

// begin counts a read, and returns the moment before it is sent.
func (m *Mirror) begin() (number uint64, at instant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.began++
	m.reading = true
	return m.began, m.clock()
}

// load reads a complete answer into a new table and puts that in place of the old one.
func (m *Mirror) load(ctx context.Context, number uint64, at instant, a answer) error {
	old, fresh := m.table.Load(), newTable(max(m.Stats().Entries, min(a.rows, m.maxEntries)))
	news := false
	entries := make([]entry, 0, partRows)
	clock, err := a.read(ctx, func(part []row) error {
		entries = entries[:0]
		for _, r := range part {
			entries = append(entries, m.entryOf(r))
		}
		fresh.reach(entries)
		for _, e := range entries {
			if !news {
				before, found := old.get(e.fingerprint)
				news = !found || before.value < e.value
			}
			fresh = add(fresh, e)
		}
		if fresh.used > m.maxEntries {
			return errTooMany
		}
		return nil
	})
	arrived := m.clock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reading = false
	if err != nil {
		return err
	}
	fresh = fresh.fitted()
	for _, r := range m.overlay {
		if e, found := fresh.get(m.hash.fingerprint(&r.key)); found {
			m.overlay.shows(row{key: r.key, at: e.value})
		}
	}
	if err := m.settle(number, clock); err != nil {
		return err
	}
	for _, r := range m.overlay { // the snapshot may be older than these
		fresh = add(fresh, m.entryOf(r.row))
	}
	m.raiseCutoff(clock)
	m.table.Store(fresh)
	m.loads.Add(1)
	m.exact.Store(a.exact)
	if news || !m.loaded {
		m.tellWatchers()
	}
	m.loaded = true
	m.publish(number, at, arrived, clock)
	return nil
}

// poll applies a difference to the table, a part at a time.
func (m *Mirror) poll(ctx context.Context, number uint64, at instant, a answer) error {
	news := false
	clock, err := a.read(ctx, func(part []row) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, r := range part {
			m.place(r)
		}
		news = true
		return m.checkSize(m.clockRead)
	})
	arrived := m.clock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reading = false
	if err != nil {
		return err
	}
	if err := m.settle(number, clock); err != nil {
		return err
	}
	for _, r := range m.overlay { // the snapshot may be older than these
		m.writable().put(m.entryOf(r.row))
	}
	if err := m.checkSize(clock); err != nil {
		return err
	}
	m.polls.Add(1)
	if news {
		m.tellWatchers()
	}
	m.publish(number, at, arrived, clock)
	return nil
}

// settle compares the overlay with a read. After errUnshown the memory does not answer.
// The lock is held.
func (m *Mirror) settle(number uint64, clock time.Time) error {
	err := m.overlay.settle(number, clock)
	if err != nil {
		m.mark.Store(nil)
		m.last = err
	}
	return err
}

// publish makes the memory answer as of the moment before the read was sent. Every row
// of the read has been applied.
func (m *Mirror) publish(number uint64, at, arrived instant, clock time.Time) {
	m.offset = clock.Sub(at.after(0))
	m.mark.Store(&mark{at: at, offset: m.offset, clock: clock, arrived: arrived.monotonic})
	m.clockRead = clock
	m.applied = number
	m.last = nil
	close(m.advanced)
	m.advanced = make(chan struct{})
}

// tellWatchers closes the channel of Changed. The lock is held.
func (m *Mirror) tellWatchers() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// entryOf makes an entry of a row.
func (m *Mirror) entryOf(r row) entry {
	return entry{fingerprint: m.hash.fingerprint(&r.key), value: r.at, epoch: r.epoch}
}

// place puts a row of the database into the table that is read. The lock is held.
func (m *Mirror) place(r row) {
	e := m.entryOf(r)
	if m.overlay.shows(r) {
		m.writable().replace(e) // until now the expiry may have been an estimate
	} else {
		m.writable().put(e)
	}
}

// writable returns the table that is read, with room for an entry. The lock is held.
func (m *Mirror) writable() *table {
	if m.table.Load().full() {
		m.compact(m.clockRead)
	}
	return m.table.Load()
}

// checkSize returns errTooMany if there are too many entries. The lock is held.
func (m *Mirror) checkSize(clock time.Time) error {
	if m.table.Load().used > m.maxEntries {
		m.compact(clock)
		if m.table.Load().used > m.maxEntries {
			return errTooMany
		}
	}
	return nil
}

// compact puts a table without what has expired in place of the old one. The lock is held.
func (m *Mirror) compact(clock time.Time) {
	limit := m.raiseCutoff(clock)
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

// cutoffAt is the expiry, in microseconds since 1970, up to which rows may be left out
// at some time of the database's clock.
func cutoffAt(clock time.Time) int64 { return clock.Add(-revoke.DefaultMargin).UnixMicro() }

// raiseCutoff sets the expiry up to which entries may be missing, before they are. Checks of
// tokens that expire no later ask Postgres. The cutoff never goes back, also where the clock
// does: if an entry was dropped while the clock ran ahead, its token must stay refused. The
// lock is held.
func (m *Mirror) raiseCutoff(clock time.Time) (limit int64) {
	limit = cutoffAt(clock)
	m.cutoff.Store(max(limit, m.cutoff.Load()))
	return limit
}
