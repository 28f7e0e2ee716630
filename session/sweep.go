package session

import (
	"context"
	"fmt"
	"strconv"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/postgres"
)

// sweepBatch is how many rows one transaction deletes, as in a revoke.Sweeper.
const sweepBatch = revoke.DefaultSweepBatch

// Sweep deletes the rows of sessions of which every token has expired: revoke.DefaultMargin
// or longer past their absolute end, by the database's clock, also where they were ended
// before. Until then a replay is still found out. Each batch is a transaction of its own,
// until nothing is left to delete or ctx ends. It returns how many rows it has deleted,
// also beside an error, which matches revoke.ErrUnavailable. Every replica of a service may
// call it at the same time. Call it about once an hour.
func (s *Sessions) Sweep(ctx context.Context) (deleted int64, err error) {
	for {
		batch := int64(0)
		err := s.inTx(ctx, "Sweep", func(t *Tx) error {
			if err := t.ask(ctx, 2, func(c *postgres.Columns) { batch = c.Number() }, s.sql.sweep, strconv.Itoa(sweepBatch)); err != nil {
				return fmt.Errorf("session: Sweep: %w: %w", revoke.ErrUnavailable, s.database.Problem(ctx, err))
			}
			return nil
		})
		if err != nil {
			return deleted, err
		}
		deleted += batch
		if batch < sweepBatch {
			return deleted, nil
		}
	}
}
