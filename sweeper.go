package revoke

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// Sweeper deletes rows that no verifier needs any more: RetentionMargin or longer past their expiry, by the database's
// clock. No check depends on it; it saves space. Every replica of a service may run one at the same time, without a
// leader: they skip the rows that another holds. It holds no lock for longer than a batch.
type Sweeper struct {
	store *Postgres
	sweeperConfig
}

// SweeperOption configures [NewSweeper].
type SweeperOption func(*sweeperConfig) error

type sweeperConfig struct {
	margin       time.Duration
	interval     time.Duration
	batch        int
	batchTimeout time.Duration
	report       func(SweepResult, error)
}

// SweepResult counts what one pass deleted.
type SweepResult struct {
	Tokens   int64         // rows of revoked and redeemed tokens
	Sessions int64         // rows of sessions
	Epochs   int64         // rows of users' and issuers' epochs
	Batches  int           // transactions, those that found nothing among them
	Duration time.Duration // by this machine's clock
}

// WithMargin sets how long a row is kept past its expiry. At least [RetentionMargin], which is the default: a shorter
// one could bring a revoked token back where clocks differ.
func WithMargin(d time.Duration) SweeperOption {
	return func(c *sweeperConfig) error {
		if d < RetentionMargin {
			return fmt.Errorf("margin %v is less than %v", d, RetentionMargin)
		}
		c.margin = d
		return nil
	}
}

// WithInterval sets the time between two passes of Run, which varies by ± 20 %, so that replicas that started together
// do not sweep together. Default: [DefaultSweepInterval].
func WithInterval(d time.Duration) SweeperOption {
	return func(c *sweeperConfig) error {
		if d <= 0 {
			return fmt.Errorf("interval %v is not positive", d)
		}
		c.interval = d
		return nil
	}
}

// WithBatchSize sets how many rows one transaction deletes at most. At most [MaxSweepBatch]. Default: [DefaultSweepBatch].
func WithBatchSize(rows int) SweeperOption {
	return func(c *sweeperConfig) error {
		if rows <= 0 || rows > MaxSweepBatch {
			return fmt.Errorf("batch size %d is not between 1 and %d rows", rows, MaxSweepBatch)
		}
		c.batch = rows
		return nil
	}
}

// WithBatchTimeout sets how long one batch may take in the database. A shorter statement_timeout of the role stands. At least a
// millisecond, at most [MaxBatchTimeout]. A batch that takes longer is tried again with half the rows. Default:
// [DefaultBatchTimeout].
func WithBatchTimeout(d time.Duration) SweeperOption {
	return func(c *sweeperConfig) error {
		if d < time.Millisecond || d > MaxBatchTimeout {
			return fmt.Errorf("batch timeout %v is not between %v and %v", d, time.Millisecond, MaxBatchTimeout)
		}
		c.batchTimeout = d
		return nil
	}
}

// WithReport makes Run call report after each pass, in its own goroutine, for logs and metrics. Default: none, and then nobody
// learns of a pass that failed.
func WithReport(report func(SweepResult, error)) SweeperOption {
	return func(c *sweeperConfig) error {
		if report == nil {
			return errors.New("report is nil")
		}
		c.report = report
		return nil
	}
}

// NewSweeper returns a sweeper of the store's tables. It starts nothing: see [Sweeper.Run].
func NewSweeper(store *Postgres, opts ...SweeperOption) (*Sweeper, error) {
	if store == nil {
		return nil, errors.New("revoke: NewSweeper: store is nil")
	}
	s := &Sweeper{store: store, sweeperConfig: sweeperConfig{
		margin:       RetentionMargin,
		interval:     DefaultSweepInterval,
		batch:        DefaultSweepBatch,
		batchTimeout: DefaultBatchTimeout,
		report:       func(SweepResult, error) {},
	}}
	if err := apply("NewSweeper", &s.sweeperConfig, opts); err != nil {
		return nil, err
	}
	return s, nil
}

// Run sweeps at once and then at every interval, until ctx ends; then it returns nil. A pass that failed is reported and
// the next one tried.
func (s *Sweeper) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		result, err := s.Sweep(ctx)
		if ctx.Err() == nil { // that a pass failed because it was ended is no news
			s.report(result, err)
		}
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

// Sweep makes one pass: batch after batch, each a transaction of its own, until nothing is left to delete or ctx ends.
// What was deleted before an error is counted in the result. The error matches ErrUnavailable.
func (s *Sweeper) Sweep(ctx context.Context) (SweepResult, error) {
	var result SweepResult
	start := time.Now()
	for _, table := range [...]struct {
		sql   string
		count *int64
	}{
		{s.store.sql.sweepTokens, &result.Tokens},
		{s.store.sql.sweepSessions, &result.Sessions},
		{s.store.sql.sweepEpochs, &result.Epochs},
	} {
		if err := s.sweepTable(ctx, table.sql, table.count, &result.Batches); err != nil {
			result.Duration = time.Since(start)
			return result, s.store.fail(ctx, "Sweep", err)
		}
	}
	result.Duration = time.Since(start)
	return result, nil
}

func (s *Sweeper) sweepTable(ctx context.Context, sql string, count *int64, batches *int) error {
	size := s.batch
	for {
		deleted, err := s.sweepBatch(ctx, sql, size)
		if hasCode(err, "57014") && ctx.Err() == nil && size > 1 { // query_canceled: a statement timeout
			size = max(1, size/2)
			continue
		}
		if err != nil {
			return err
		}
		*count += deleted
		*batches++
		if deleted < int64(size) {
			return nil
		}
	}
}

func (s *Sweeper) sweepBatch(ctx context.Context, sql string, size int) (deleted int64, err error) {
	timeout := statement{s.store.sql.sweepTimeout, []any{strconv.FormatInt(s.batchTimeout.Milliseconds(), 10)}}
	err = s.store.run.run(ctx, func(r row) error { return r.Scan(&deleted) }, timeout,
		statement{sql, []any{s.margin.Seconds(), size}})
	return deleted, err
}
