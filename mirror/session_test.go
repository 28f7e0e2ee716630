package mirror

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// Two runs at once would publish their marks over each other's tables. One after the other is fine.
func TestOneRun(t *testing.T) {
	t.Parallel()
	store, _ := testkit.Store(t)
	m := testkit.Value(New(store, slow...))(t)
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		testkit.Must(t, m.Sync(ctx))
		testkit.Must(t, m.Health(ctx))
		second, stop := context.WithTimeout(ctx, 10*time.Second) // where it is not refused, it runs
		if err := m.Run(second); err == nil || !strings.Contains(err.Error(), "running") {
			t.Fatalf("a second Run = %v", err)
		}
		stop()
		testkit.Must(t, m.Sync(ctx))
		testkit.Must(t, m.Health(ctx))
		cancel()
		testkit.Must(t, <-ended)
		if err := m.Health(t.Context()); err == nil || !strings.Contains(err.Error(), "Run") {
			t.Errorf("after the end of Run, Health = %v", err)
		}
	}
}

// To open a session takes some twenty round trips, which on the way to a database that
// is far away add up to seconds.
func TestSlowNetwork(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) {
		dial := c.ConnConfig.DialFunc
		c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			return farConn{conn}, err
		}
	})
	run(t, testkit.OpenStore(t, pool))
}

// farConn delays each message on its way.
type farConn struct{ net.Conn }

func (c farConn) Write(b []byte) (int, error) {
	<-time.After(150 * time.Millisecond)
	return c.Conn.Write(b)
}

// The mirror's own connection falls silent, so that neither polls nor notifications
// come. Within the bound Postgres is asked, and a new connection takes over.
func TestSilentDeath(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := openStore(t, address)
	var silent, wrap atomic.Bool
	pool := pgserver.Pool(t, address, func(c *pgxpool.Config) {
		dial := c.ConnConfig.DialFunc
		c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err == nil && wrap.Load() {
				conn = testkit.SilentConn{Conn: conn, Silent: &silent}
			}
			return conn, err
		}
	})
	testkit.Must(t, pool.Ping(ctx)) // a connection for checks, which stays sound
	wrap.Store(true)
	m := run(t, testkit.OpenStore(t, pool), WithBound(200*time.Millisecond))
	wrap.Store(false)
	silent.Store(true)
	token := testkit.Token()
	testkit.Must(t, store.RevokeToken(ctx, token))
	untilRefused(t, m, token, time.Now())
	testkit.Eventually(t, "a new session has loaded", func() bool { return m.Stats().Loads == 2 })
	testkit.Must(t, m.Sync(ctx))
	testkit.Eventually(t, "the mirror refuses from memory", func() bool {
		before := m.Stats().Fallbacks
		return errors.Is(m.Check(ctx, token), revoke.ErrRevoked) && m.Stats().Fallbacks == before
	})
}

// To read as many rows once a second, only to find again that they are too many, would
// be a load on a server that answers all checks already.
func TestTooManyAreNotReadAgainAtOnce(t *testing.T) {
	t.Parallel()
	hook := newRecorder()
	store, _ := testkit.Store(t, revoke.WithHook(hook))
	testkit.Must(t, store.RevokeTokens(t.Context(), []revoke.Token{tokenOf("a"), tokenOf("b")}))
	m := testkit.Value(New(store, WithMaxEntries(1)))(t)
	start(t, m)
	if event := next(t, hook.mirrors); !errors.Is(event.Err, errTooMany) {
		t.Errorf("the first event is %+v", event)
	}
	select {
	case event := <-hook.mirrors:
		t.Errorf("after less than two seconds there is another: %+v", event)
	case <-time.After(2 * maxBackoff):
	}
}
