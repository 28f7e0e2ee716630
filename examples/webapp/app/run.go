package app

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// sweepInterval is how often rows are deleted that no token needs any more.
const sweepInterval = time.Hour

// Run keeps the mirror up to date and sweeps, until ctx ends. Every replica may run it.
func (a *App) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var loops sync.WaitGroup
	failed := make(chan error, 3)
	for _, run := range []func(context.Context) error{a.mirror.Run, a.sweeper.Run, a.sweepSessions} {
		loops.Go(func() {
			if err := run(ctx); err != nil {
				failed <- err
				cancel() // ends the others
			}
		})
	}
	loops.Wait()
	close(failed)
	return <-failed
}

// sweepSessions deletes sessions of which every token has expired, again and again.
func (a *App) sweepSessions(ctx context.Context) error {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		if _, err := a.sessions.Sweep(ctx); err != nil && ctx.Err() == nil {
			slog.ErrorContext(ctx, "sweep of the sessions", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
