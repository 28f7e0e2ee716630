package mirror

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/cancelled"
	"github.com/pgrevoke/revoke/internal/oneline"
)

// Mirror is a [revoke.Checker] that answers from memory while it can prove how old its
// memory is, and asks Postgres while it cannot. It may be used from several goroutines.
// See the package documentation for the guarantee.
type Mirror struct {
	store *revoke.Postgres
	config
	hash  hasher
	hooks struct { // of the store
		check  []revoke.CheckHook
		mirror []revoke.MirrorHook
	}

	mark      atomic.Pointer[mark] // nil while the memory must not answer
	table     atomic.Pointer[table]
	cutoff    atomic.Int64 // see raiseCutoff; in microseconds since 1970
	fallbacks atomic.Uint64
	polls     atomic.Uint64
	loads     atomic.Uint64
	exact     atomic.Bool
	running   atomic.Bool

	announce chan struct{} // buffered (1): revocations were made here

	mu        sync.Mutex // for all that is below, and for writing to the table
	overlay   overlay
	pruneAt   int           // the size at which the overlay is next searched for what has expired
	loaded    bool          // an answer of the present session has been applied
	reading   bool          // an answer is under way
	began     uint64        // reads that were sent
	applied   uint64        // the last of them that has been applied
	advanced  chan struct{} // closed when applied changes
	changed   chan struct{} // closed when a revocation has been applied
	interrupt func()        // ends the pause between polls; nil outside of it
	pending   bool          // the next pause is left out
	last      error         // why the memory is not kept up to date
	clockRead time.Time     // the database's clock at the last read
	offset    time.Duration // of the database's clock to this machine's at the last read
}

// New returns a mirror of the store's table, with the store's hooks. It starts nothing:
// until [Mirror.Run] has loaded the table, every check asks the store. An error says
// which option is wrong.
func New(store *revoke.Postgres, opts ...Option) (*Mirror, error) {
	if store == nil || store.Pool() == nil {
		return nil, errors.New("mirror: New: store is nil, or not of revoke.NewPostgres")
	}
	m := &Mirror{
		store:    store,
		config:   config{bound: DefaultBound, maxEntries: DefaultMaxEntries, clock: systemClock},
		hash:     newHasher(),
		announce: make(chan struct{}, 1),
		overlay:  make(overlay),
		pruneAt:  minPrune,
		advanced: make(chan struct{}),
		changed:  make(chan struct{}),
		last:     errNotCalled,
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
	for _, hook := range store.Hooks() {
		if hook, ok := hook.(revoke.CheckHook); ok {
			m.hooks.check = append(m.hooks.check, hook)
		}
		if hook, ok := hook.(revoke.MirrorHook); ok {
			m.hooks.mirror = append(m.hooks.mirror, hook)
		}
	}
	m.table.Store(newTable(0))
	return m, nil
}

// CheckIssuer returns an error where the store was told of issuers and this is none of them: see
// [revoke.WithIssuers].
func (m *Mirror) CheckIssuer(issuer string) error { return m.store.CheckIssuer(issuer) }

// Check implements [revoke.Checker]. From memory it takes no lock and, where it
// accepts, allocates nothing; the time of a *RevokedError of a token or a session is
// then zero.
func (m *Mirror) Check(ctx context.Context, token revoke.Token) error {
	return m.CheckVerified(ctx, revoke.Verified{Token: token})
}

// CheckVerified is Check of a token that a [revoke.Validator] has verified: see
// [revoke.Checker]. It takes the keys of the rows from verified.
func (m *Mirror) CheckVerified(ctx context.Context, verified revoke.Verified) error {
	var start time.Time
	if m.hooks.check != nil {
		start = time.Now()
	}
	answered, err := m.fromMemory(ctx, &verified)
	if !answered {
		m.fallbacks.Add(1)
		return m.store.CheckVerified(ctx, verified) // which tells the hooks
	}
	for _, hook := range m.hooks.check {
		hook.OnCheck(ctx, revoke.CheckEvent{
			FromMemory: true, Duration: time.Since(start), Err: err, Cancelled: cancelled.ByCaller(ctx, err),
		})
	}
	return err
}

// CheckEach is Check of many tokens. Those that memory does not answer go to the store's CheckEach
// together. The result has an error or nil for each token, in the order of tokens.
func (m *Mirror) CheckEach(ctx context.Context, tokens []revoke.Token) []error {
	start := time.Now()
	errs := make([]error, len(tokens))
	var rest []int // indices of tokens that the store is asked about
	for i, token := range tokens {
		answered, err := m.fromMemory(ctx, &revoke.Verified{Token: token})
		if errs[i] = err; !answered {
			rest = append(rest, i)
			continue
		}
		for _, hook := range m.hooks.check {
			hook.OnCheck(ctx, revoke.CheckEvent{
				FromMemory: true, Duration: time.Since(start), Err: err, Cancelled: cancelled.ByCaller(ctx, err),
			})
		}
	}
	if len(rest) == 0 {
		return errs
	}
	m.fallbacks.Add(uint64(len(rest)))
	asked := make([]revoke.Token, len(rest))
	for i, at := range rest {
		asked[i] = tokens[at]
	}
	for i, err := range m.store.CheckEach(ctx, asked) { // which tells the hooks
		errs[rest[i]] = err
	}
	return errs
}

// fromMemory answers a check, unless Postgres must be asked.
func (m *Mirror) fromMemory(ctx context.Context, verified *revoke.Verified) (answered bool, err error) {
	// Before the lookup, so that the lookup sees at least what the mark stands for.
	mark := m.mark.Load()
	if mark == nil {
		return false, nil
	}
	now := m.clock()
	if !now.within(mark.at, m.bound) {
		return false, nil
	}
	var v revoke.Verdict
	token := &verified.Token
	keys, err := v.OfVerified(verified)
	if err != nil {
		return true, fmt.Errorf("mirror: Check: %w", err)
	}
	if err := m.store.CheckIssuer(token.Issuer); err != nil {
		return true, fmt.Errorf("mirror: Check: %w: %w", revoke.ErrInvalidToken, err)
	}
	if err := ctx.Err(); err != nil {
		return true, fmt.Errorf("mirror: Check: %w: %w", revoke.ErrUnavailable, err)
	}
	table := m.table.Load()
	// After the table, because the cutoff is raised before a table leaves rows out.
	if token.ExpiresAt.UnixMicro() <= m.cutoff.Load() {
		return false, nil
	}
	m.find(&v, table, &keys)
	// Only the database's own clock refuses a token that is ahead of it.
	least := mark.least(now)
	if v.Ahead(least) {
		return false, nil
	}
	clock := now.after(mark.offset)
	if clock.Before(least) { // the wall clock was set back
		clock = least
	}
	err = v.Check(clock)
	if errors.Is(err, revoke.ErrInvalidToken) {
		err = fmt.Errorf("mirror: Check: %w", err)
	}
	return true, err
}

// find looks the keys up, one for each scope, and tells the verdict which rows there are.
func (m *Mirror) find(v *revoke.Verdict, t *table, keys *[len(scopes)]rowKey) {
	var fingerprints [len(scopes)]uint64
	for i := range keys {
		if keys[i] != (rowKey{}) {
			fingerprints[i] = m.hash.fingerprint(&keys[i])
		}
	}
	for i, perhaps := range t.sift(&fingerprints) {
		if !perhaps {
			continue
		}
		switch e, found := t.get(fingerprints[i]); {
		case !found:
		case e.epoch:
			v.Found(i, e.value)
		default:
			v.Found(i, 0) // when the token or the session was revoked is not kept
		}
	}
}

// Stats tells what the mirror holds and does.
type Stats struct {
	Entries   int           // revocations in memory
	Bytes     int           // the size of their table
	Age       time.Duration // since the last poll was sent; zero if there was none
	Polls     uint64        // differences that were applied
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

var errStale = errors.New("the last poll is older than the bound")

// Health returns nil while checks are answered from memory, and otherwise the reason
// why Postgres answers them. A mirror that is not healthy still gives right answers. The
// error matches [ErrNotRunning] where Run has not been called, or has ended. Any other
// error is of a Run that goes on: the first load is under way, the last poll is older than
// the bound, or the text says why the last session ended.
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

// Changed returns a channel that is closed when a revocation has been applied after the
// call: by a poll, by a load, or by a write through [Mirror.Store]. A poll that finds
// nothing does not close it. It is for what runs longer than a check, such as a stream,
// which asks Check again when the channel is closed, and from time to time:
//
//	again := time.NewTicker(time.Minute)
//	defer again.Stop()
//	for {
//		changed := m.Changed() // before Check, so that no revocation comes in between
//		if err := m.Check(ctx, token); err != nil {
//			return err
//		}
//		select {
//		case <-changed:
//		case <-again.C: // without a session no revocation made elsewhere is applied
//		case <-ctx.Done():
//			return ctx.Err()
//		}
//	}
//
// While the mirror has no session, only writes through Store close the channel. The next
// load closes it too. Check goes on accepting a token for revoke.MaxLeeway after its exp:
// let ctx end at the exp.
func (m *Mirror) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// Ready waits for the first load. When ctx ends first the error matches
// revoke.ErrUnavailable, and names the reason of [Mirror.Health]. Run must be running:
// otherwise the error matches [ErrNotRunning] too.
func (m *Mirror) Ready(ctx context.Context) error { return m.await(ctx, "Ready", 1) }

// Sync returns when a poll that began after the call has been applied: from then on
// this mirror enforces every revocation that had committed before the call. It is for
// the commit of a transaction that revoked through [revoke.Postgres.WithTx]. Run must
// be running. When ctx ends first the error is as of Ready, and the bound holds all the
// same.
func (m *Mirror) Sync(ctx context.Context) error {
	m.mu.Lock()
	target := m.began + 1
	m.mu.Unlock()
	m.wake()
	return m.await(ctx, "Sync", target)
}

// await waits until the read of this number, or a later one, has been applied.
func (m *Mirror) await(ctx context.Context, operation string, target uint64) error {
	for {
		m.mu.Lock()
		applied, advanced := m.applied, m.advanced
		m.mu.Unlock()
		if applied >= target {
			return nil
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			m.mu.Lock()
			err := oneline.Join(ctx.Err(), m.last)
			m.mu.Unlock()
			return fmt.Errorf("mirror: %s: %w: %w", operation, revoke.ErrUnavailable, err)
		}
	}
}
