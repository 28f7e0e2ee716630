package mirror

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke"
)

// Defaults of the options.
const (
	DefaultBound      = time.Second // of WithBound
	DefaultMaxEntries = 20_000_000  // of WithMaxEntries: some 540 MB
)

// The limits of WithBound: a bound must leave room for a round trip, and is of no use where it is as long as an access token.
const (
	MinBound = 20 * time.Millisecond
	MaxBound = time.Minute
)

// Mirror is a [revoke.Checker] that answers from memory while it can prove how old its memory is, and asks Postgres while it
// cannot. It may be used from several goroutines. See the package documentation for what it promises.
type Mirror struct {
	store *revoke.Postgres
	config
	hash hasher

	mark      atomic.Pointer[mark]
	table     atomic.Pointer[table]
	cutoff    atomic.Int64 // tokens that expire before it, in microseconds, are not answered from memory
	fallbacks atomic.Uint64
	polls     atomic.Uint64
	loads     atomic.Uint64
	exact     atomic.Bool
	running   atomic.Bool

	announce chan struct{} // revocations were made here: others are to be told

	mu        sync.Mutex    // for all that is below, and for writing to the table
	recent    []entry       // what was revoked through this process while a read is under way
	reading   bool          // whether one is
	began     uint64        // polls and loads that were sent
	applied   uint64        // the last of them that has been applied
	changed   chan struct{} // closed when applied changes
	interrupt func()        // ends the pause between polls; nil outside of it
	pending   bool          // the next pause is left out
	last      error         // why the memory is not kept up to date
	clockRead time.Time     // the database's clock at the last poll
}

// mark says from when on the memory is complete: everything that had committed before it was taken is in it.
type mark struct {
	at     instant
	offset time.Duration // of the database's clock to this machine's
}

// instant is a moment by both clocks of this machine, in nanoseconds: one that only runs forward and may stand still while the
// machine sleeps, and one that goes on and may be set.
type instant struct{ monotonic, wall int64 }

var origin = time.Now()

func systemClock() instant {
	now := time.Now()
	return instant{monotonic: int64(now.Sub(origin)), wall: now.UnixNano()}
}

// within reports whether the moment since lies no further back than bound by either clock.
func (i instant) within(since instant, bound time.Duration) bool {
	monotonic, wall := i.monotonic-since.monotonic, i.wall-since.wall
	return monotonic <= int64(bound) && wall <= int64(bound) && wall >= -int64(bound)
}

// Option configures [New].
type Option func(*config) error

type config struct {
	bound      time.Duration
	interval   time.Duration
	maxEntries int
	connString string
	report     func(error)
	clock      func() instant
}

// WithBound sets for how long after its commit a revocation may be missed at most that was not made through [Mirror.Store] of
// this mirror, but in another process or through the store behind it. Between [MinBound] and [MaxBound]. Default: [DefaultBound].
func WithBound(d time.Duration) Option {
	return func(c *config) error {
		if d < MinBound || d > MaxBound {
			return fmt.Errorf("bound %v is not between %v and %v", d, MinBound, MaxBound)
		}
		c.bound = d
		return nil
	}
}

// WithInterval sets the time between two polls where nothing wakes the mirror. It must be less than the bound. Default: a
// quarter of the bound.
func WithInterval(d time.Duration) Option {
	return func(c *config) error {
		if d <= 0 {
			return fmt.Errorf("interval %v is not positive", d)
		}
		c.interval = d
		return nil
	}
}

// WithMaxEntries sets how many live revocations are kept in memory, at some 27 bytes each and as much again while the table
// grows. With more than that every check asks Postgres, Health says so, and it is tried again about every half minute. Default:
// [DefaultMaxEntries].
func WithMaxEntries(n int) Option {
	return func(c *config) error {
		if n <= 0 {
			return fmt.Errorf("maximum of %d entries is not positive", n)
		}
		c.maxEntries = n
		return nil
	}
}

// WithConnString sets where the mirror's own connection goes, in the form of pgx. It is for apps whose pool goes through a
// pooler in transaction mode: past it, changes are read one by one; through it, all rows are read again at every interval, and
// notifications are not heard. Default: as the store's pool.
func WithConnString(connString string) Option {
	return func(c *config) error {
		if _, err := pgx.ParseConfig(connString); err != nil {
			return errors.New("the connection string cannot be read") // the cause might quote its password
		}
		c.connString = connString
		return nil
	}
}

// WithReport makes Run call report, in its own goroutine, with what keeps the memory from being kept up to date, for logs.
// Default: none; Health tells too.
func WithReport(report func(error)) Option {
	return func(c *config) error {
		if report == nil {
			return errors.New("report is nil")
		}
		c.report = report
		return nil
	}
}

// New returns a mirror of the store's tables. It starts nothing: until [Mirror.Run] has loaded them, every check asks the
// store. An error says which option is wrong.
func New(store *revoke.Postgres, opts ...Option) (*Mirror, error) {
	if store == nil {
		return nil, errors.New("mirror: New: store is nil")
	}
	m := &Mirror{
		store: store,
		config: config{
			bound: DefaultBound, maxEntries: DefaultMaxEntries, report: func(error) {}, clock: systemClock,
		},
		hash:     hasher{seed: maphash.MakeSeed()},
		announce: make(chan struct{}, 1),
		changed:  make(chan struct{}),
		last:     errNotLoaded,
	}
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("mirror: New: an option is nil")
		}
		if err := opt(&m.config); err != nil {
			return nil, fmt.Errorf("mirror: New: %w", err)
		}
	}
	if m.interval == 0 {
		m.interval = m.bound / 4
	}
	if m.interval >= m.bound {
		return nil, fmt.Errorf("mirror: New: interval %v is not less than the bound %v", m.interval, m.bound)
	}
	m.table.Store(newTable(0))
	return m, nil
}

var errStale = errors.New("the last poll is older than the bound")

// Check implements [revoke.Checker]. From memory it takes no lock and, where it accepts, no allocation; the time of a
// *RevokedError of a token or a session is then zero.
func (m *Mirror) Check(ctx context.Context, token revoke.Token) error {
	mark := m.mark.Load() // before the lookup, so that it says what the lookup sees at least
	if mark == nil {
		return m.ask(ctx, token)
	}
	now := m.clock()
	if !now.within(mark.at, m.bound) {
		return m.ask(ctx, token)
	}
	if err := token.ValidateCheck(); err != nil {
		return fmt.Errorf("mirror: Check: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("mirror: Check: %w: %w", revoke.ErrUnavailable, err)
	}
	table := m.table.Load()
	if token.ExpiresAt.UnixMicro() < m.cutoff.Load() { // after the table, which is changed after it
		return m.ask(ctx, token)
	}
	issuer := m.hash.issuer(token.Issuer)
	if token.ID != "" {
		if _, found := table.get(m.hash.token(issuer, token.ID)); found {
			return &revoke.RevokedError{Scope: revoke.ScopeToken}
		}
	}
	if token.SessionID != "" {
		if _, found := table.get(m.hash.session(issuer, token.SessionID)); found {
			return &revoke.RevokedError{Scope: revoke.ScopeSession}
		}
	}
	var epochs revoke.Epochs
	if token.Subject != "" {
		if packed, found := table.get(m.hash.user(issuer, token.Subject)); found {
			epochs.User = micros(packed)
		}
	}
	if packed, found := table.get(issuerEpoch(issuer)); found {
		epochs.Issuer = micros(packed)
	}
	if err := epochs.Judge(token); err != nil {
		return err
	}
	if err := token.ValidateLifetime(time.Unix(0, now.wall).Add(mark.offset)); err != nil {
		return fmt.Errorf("mirror: Check: %w", err)
	}
	return nil
}

// ask leaves the answer to Postgres.
func (m *Mirror) ask(ctx context.Context, token revoke.Token) error {
	m.fallbacks.Add(1)
	return m.store.Check(ctx, token)
}

// Stats tells what the mirror holds and does.
type Stats struct {
	Entries   int           // revocations in memory
	Bytes     int           // their table
	Age       time.Duration // since the last poll was sent; zero where there was none
	Polls     uint64        // polls that were applied
	Loads     uint64        // times that everything was read
	Fallbacks uint64        // checks that asked Postgres
	Exact     bool          // whether changes are read one by one, and not all rows at every poll
}

// Stats returns the state of this moment.
func (m *Mirror) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	table := m.table.Load()
	s := Stats{
		Entries: table.used, Bytes: table.bytes(),
		Polls: m.polls.Load(), Loads: m.loads.Load(), Fallbacks: m.fallbacks.Load(), Exact: m.exact.Load(),
	}
	if mark := m.mark.Load(); mark != nil {
		s.Age = time.Duration(m.clock().monotonic - mark.at.monotonic)
	}
	return s
}

// Health returns nil while checks are answered from memory, and otherwise why they are not. They are answered all the same,
// by Postgres.
func (m *Mirror) Health(context.Context) error {
	mark := m.mark.Load()
	if mark != nil && m.clock().within(mark.at, m.bound) {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last == nil {
		return fmt.Errorf("mirror: %w", errStale)
	}
	return fmt.Errorf("mirror: %w", m.last)
}

// Ready waits for the first load, or until ctx ends, with an error that matches revoke.ErrUnavailable. Run must be running.
func (m *Mirror) Ready(ctx context.Context) error { return m.await(ctx, "Ready", 1) }

// Sync returns when a poll that began after the call has been applied: from then on this mirror enforces whatever had been
// committed before the call. It is for the commit of a transaction that revoked through [revoke.Postgres.WithTx]. Run must
// be running. When ctx ends first the error matches revoke.ErrUnavailable, and the bound holds all the same.
func (m *Mirror) Sync(ctx context.Context) error {
	m.mu.Lock()
	target := m.began + 1
	m.mu.Unlock()
	m.wake()
	return m.await(ctx, "Sync", target)
}

// await waits until the poll of this number, or a later one, has been applied.
func (m *Mirror) await(ctx context.Context, operation string, target uint64) error {
	for {
		m.mu.Lock()
		applied, changed := m.applied, m.changed
		m.mu.Unlock()
		if applied >= target {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("mirror: %s: %w: %w", operation, revoke.ErrUnavailable, ctx.Err())
		}
	}
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

// channel is what mirrors listen to. What is sent there does not matter.
const channel = "revoke"

// Wake tells every mirror of this database to poll, for instance after the commit of a transaction that revoked. Without
// it each finds the revocation within its bound. Call it after the commit: a notification inside the transaction that revokes
// takes a lock that all commits of the server wait for.
func (m *Mirror) Wake(ctx context.Context) error {
	m.wake()
	if _, err := m.store.Pool().Exec(ctx, "SELECT pg_notify($1::text, '')", channel); err != nil {
		return fmt.Errorf("mirror: Wake: %w: %w", revoke.ErrUnavailable, err)
	}
	return nil
}
