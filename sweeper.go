package revoke

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/pgrevoke/revoke/internal/circumstances"
	"github.com/pgrevoke/revoke/internal/postgres"
)

// Sweeper deletes rows that no verifier needs any more: DefaultMargin or longer past their
// expiry, by the database's clock. No check depends on it; it saves space. Every replica of a
// service may run one at the same time, without a leader: they skip rows that another sweeper
// has locked. It holds no lock for longer than a batch.
type Sweeper struct {
	store *Postgres
	sweeperConfig
}

// SweeperOption configures [NewSweeper].
type SweeperOption func(*sweeperConfig) error

func (o SweeperOption) run(c *sweeperConfig) error {
	if o == nil {
		return errNilOption
	}
	return o(c)
}

type sweeperConfig struct {
	margin       time.Duration
	interval     time.Duration
	batch        int
	batchTimeout time.Duration
}

// Defaults and limits of the options of [NewSweeper]. A batch above the limits holds back vacuum in
// the whole database.
const (
	// DefaultSweepInterval is of WithInterval, ± 20 %: rows cost space only.
	DefaultSweepInterval = 5 * time.Minute
	// DefaultSweepBatch is of WithBatchSize, in rows: some 30 ms, so that no writer waits for long.
	DefaultSweepBatch = 5000
	// DefaultBatchTimeout is of WithBatchTimeout.
	DefaultBatchTimeout = 10 * time.Second
	// MaxSweepBatch is of WithBatchSize, in rows.
	MaxSweepBatch = 1_000_000
	// MaxBatchTimeout is of WithBatchTimeout.
	MaxBatchTimeout = time.Hour
)

// WithMargin sets how long a row is kept past its expiry. At least [DefaultMargin], which is
// the default: a shorter one could bring a revoked token back where clocks differ.
func WithMargin(d time.Duration) SweeperOption {
	return func(c *sweeperConfig) error {
		if d < DefaultMargin {
			return fmt.Errorf("margin %v is less than %v", d, DefaultMargin)
		}
		c.margin = d
		return nil
	}
}

// WithInterval sets the time between two passes of Run, which varies by ± 20 %, so that
// replicas that started together do not sweep together. Default: [DefaultSweepInterval].
func WithInterval(d time.Duration) SweeperOption {
	return func(c *sweeperConfig) error {
		if d <= 0 {
			return fmt.Errorf("interval %v is not positive", d)
		}
		c.interval = d
		return nil
	}
}

// WithBatchSize sets how many rows one transaction deletes at most. At most [MaxSweepBatch].
// Default: [DefaultSweepBatch].
func WithBatchSize(rows int) SweeperOption {
	return func(c *sweeperConfig) error {
		if rows <= 0 || rows > MaxSweepBatch {
			return fmt.Errorf("batch size %d is not between 1 and %d rows", rows, MaxSweepBatch)
		}
		c.batch = rows
		return nil
	}
}

// WithBatchTimeout sets how long one batch may take in the database. A shorter
// statement_timeout of the role stands. At least a millisecond, at most [MaxBatchTimeout]. A
// batch that takes longer is tried again with half the rows. Default: [DefaultBatchTimeout].
func WithBatchTimeout(d time.Duration) SweeperOption {
	return func(c *sweeperConfig) error {
		if d < time.Millisecond || d > MaxBatchTimeout {
			return fmt.Errorf("batch timeout %v is not between %v and %v", d, time.Millisecond, MaxBatchTimeout)
		}
		c.batchTimeout = d
		return nil
	}
}

// NewSweeper returns a sweeper of the store's table. It starts nothing: see [Sweeper.Run].
func NewSweeper(store *Postgres, opts ...SweeperOption) (*Sweeper, error) {
	if store == nil || store.database == nil {
		return nil, errors.New("revoke: NewSweeper: store is nil, or not of NewPostgres")
	}
	s := &Sweeper{store: store, sweeperConfig: sweeperConfig{
		margin:       DefaultMargin,
		interval:     DefaultSweepInterval,
		batch:        DefaultSweepBatch,
		batchTimeout: DefaultBatchTimeout,
	}}
	if err := apply("NewSweeper", &s.sweeperConfig, opts, SweeperOption.run); err != nil {
		return nil, err
	}
	return s, nil
}

// Run sweeps at once and then at every interval, until ctx ends; then it returns nil. A pass
// that failed is followed by the next one. Run reports each pass to the store's hooks alone:
// see [WithHook] and [SweepHook].
func (s *Sweeper) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		_, _ = s.Sweep(ctx) // the hooks hear of its result and its error
		pause := time.NewTimer(jitter(s.interval))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
	return nil
}

// jitter varies d by ± 20 %.
func jitter(d time.Duration) time.Duration { return d*4/5 + rand.N(d*2/5+1) }

// Sweep makes one pass: batch after batch, each a transaction of its own, until nothing is left
// to delete or ctx ends. It returns what the hooks hear. Rows that were deleted before an error
// are counted. The error matches ErrUnavailable. A pass that ctx ended is not reported to hooks.
func (s *Sweeper) Sweep(ctx context.Context) (SweepEvent, error) {
	pass := SweepEvent{Deleted: make(map[Scope]int64)}
	start := time.Now()
	err := s.sweep(ctx, &pass)
	if err == nil {
		err = s.keepReserve(ctx)
	}
	pass.Duration = time.Since(start)
	if err != nil {
		err = s.store.fail(ctx, "Sweep", err)
	}
	pass.Err = err
	if ctx.Err() == nil {
		for _, hook := range s.store.hooks.sweep {
			hook.OnSweep(ctx, pass)
		}
	}
	return pass, err
}

// keepReserve writes the rows of the reserve that are lost. It is bounded as a batch is. A
// role that may not insert leaves them to one that may: without the reserve a check can be
// slow, and is never wrong.
func (s *Sweeper) keepReserve(ctx context.Context) error {
	err := s.store.run.Run(ctx, s.timeout(), postgres.Statement{SQL: s.store.sql.keepReserve})
	if postgres.HasCode(err, "42501") { // insufficient_privilege
		return nil
	}
	return err
}

// timeout is the statement that bounds the statements after it in the database.
func (s *Sweeper) timeout() postgres.Statement {
	return postgres.Statement{SQL: s.store.sql.sweepTimeout, Args: []any{strconv.FormatInt(s.batchTimeout.Milliseconds(), 10)}}
}

func (s *Sweeper) sweep(ctx context.Context, pass *SweepEvent) error {
	size := s.batch
	last := int64(0) // the expiry of the last row that was deleted, in microseconds since 1970
	for {
		b, err := s.sweepBatch(ctx, size, last)
		if isTimeout(err) && ctx.Err() == nil {
			if size > 1 {
				size = max(1, size/2)
				continue
			}
			err = s.withObstacle(ctx, err)
		}
		if err != nil {
			return err
		}
		pass.Batches++
		rows := 0
		for scope, n := range b.deleted {
			pass.Deleted[scope] += n
			rows += int(n)
		}
		if rows < size {
			return nil
		}
		last = b.last
	}
}

// isTimeout reports whether a batch was ended by a timeout of the server's: query_canceled,
// lock_not_available, transaction_timeout, idle_in_transaction_session_timeout.
func isTimeout(err error) bool { return postgres.HasCode(err, "57014", "55P03", "25P04", "25P03") }

// batch is what one transaction deleted.
type batch struct {
	deleted map[Scope]int64
	last    int64 // the latest expiry of a deleted row, in microseconds since 1970
}

func (s *Sweeper) sweepBatch(ctx context.Context, size int, from int64) (b batch, err error) {
	sweep := postgres.Statement{SQL: s.store.sql.sweep, Args: []any{postgres.SecondsText(s.margin), strconv.Itoa(size), strconv.FormatInt(from, 10)}, Scan: func(current postgres.Row) error {
		c := postgres.ReadColumns(current, 4)
		hidden, scope, rows, last := c.Text(), Scope(c.Text()), c.Number(), c.Number()
		if hidden == "t" {
			return circumstances.ErrHidden
		}
		if scope != "" {
			b.deleted[scope] = rows
			b.last = max(b.last, last)
		}
		return c.Err
	}}
	sweep.Reset = func() { b = batch{deleted: make(map[Scope]int64)} }
	err = s.store.run.Run(ctx, s.timeout(), sweep)
	return b, err
}

// withObstacle adds what keeps vacuum from removing deleted rows, as far as it can be found out.
func (s *Sweeper) withObstacle(ctx context.Context, err error) error {
	ctx, cancel := s.store.deadline(ctx)
	defer cancel()
	c := postgres.ReadColumns(s.store.Pool().QueryRow(ctx, s.store.sql.obstacle), 3)
	kind, name, age := c.Text(), c.Name(), c.Number()
	if c.Err != nil {
		return err
	}
	return fmt.Errorf("%w; the oldest snapshot is that of %s %s, %d transactions old, and vacuum keeps what it may see",
		err, kind, name, age)
}
