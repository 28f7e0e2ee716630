package mirror

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// panics is a hook that panics.
type panics struct{}

func (panics) OnMirror(context.Context, revoke.MirrorEvent) { panic("in a hook") }

// TestHealth names the reason of each state in which Postgres is asked. ErrNotRunning tells the
// states in which the app has to call Run from the others.
func TestHealth(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t))
	for _, row := range []struct {
		name       string
		bring      func(t *testing.T) *Mirror // into the state
		notRunning bool
		want       string
	}{
		{"Run was never called", func(t *testing.T) *Mirror {
			t.Helper()
			return testkit.Value(New(testkit.OpenStore(t, pool)))(t)
		}, true, "Run has not been called"},
		{"Run has ended", func(t *testing.T) *Mirror {
			t.Helper()
			m := testkit.Value(New(testkit.OpenStore(t, pool), slow...))(t)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- m.Run(ctx) }()
			testkit.Must(t, m.Ready(ctx))
			cancel()
			testkit.Must(t, <-ended)
			return m
		}, true, "Run has ended"},
		{"Run ended by a panic of a hook", func(t *testing.T) *Mirror {
			t.Helper()
			m := testkit.Value(New(testkit.OpenStore(t, pool, revoke.WithHook(panics{})), slow...))(t)
			func() {
				defer func() { _ = recover() }()
				_ = m.Run(t.Context())
			}()
			return m
		}, true, "Run has ended"},
		{"the first load is under way", func(t *testing.T) *Mirror {
			t.Helper()
			dialling := make(chan struct{})
			silent := pgserver.Pool(t, pool.Config().ConnString(), func(c *pgxpool.Config) {
				c.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
					select {
					case dialling <- struct{}{}:
					case <-ctx.Done():
					}
					<-ctx.Done()
					return nil, ctx.Err()
				}
			})
			m := testkit.Value(New(testkit.OpenStore(t, silent), slow...))(t)
			start(t, m)
			<-dialling
			return m
		}, false, "under way"},
		{"the last poll is older than the bound", func(t *testing.T) *Mirror {
			t.Helper()
			m, clock := newMirror(t, slow...)
			start(t, m)
			testkit.Must(t, m.Ready(t.Context()))
			clock.advance(m.bound + 1)
			return m
		}, false, errStale.Error()},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			m := row.bring(t)
			err := m.Health(t.Context())
			if err == nil || !strings.Contains(err.Error(), row.want) || errors.Is(err, ErrNotRunning) != row.notRunning {
				t.Errorf("Health = %v", err)
			}
			if !row.notRunning {
				return
			}
			over, cancel := context.WithCancel(t.Context())
			cancel()
			if err := m.Sync(over); !errors.Is(err, ErrNotRunning) || !errors.Is(err, revoke.ErrUnavailable) {
				t.Errorf("Sync = %v", err)
			}
		})
	}
}
