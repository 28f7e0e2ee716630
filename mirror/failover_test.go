package mirror

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// failover is a primary with a standby, and a store that follows the primary.
type failover struct {
	t                *testing.T
	primary, standby *pgserver.Server
	stop             func() // the primary
	address          string // of a database on the primary
	leadsTo          atomic.Pointer[string]
	store            *revoke.Postgres
	lost             []revoke.Token // that the standby does not get
	seen             string         // the number of the next transaction when they were revoked
}

func newFailover(t *testing.T) *failover {
	t.Helper()
	f := &failover{t: t}
	f.primary, f.standby, f.stop = openPair(t)
	f.address = testkit.Value(f.primary.CreateDatabase(t.Context()))(t)
	old := f.primary.URL()
	f.leadsTo.Store(&old)
	f.store = f.openStore()
	return f
}

// openStore returns a store with a pool that dials the primary of the moment, as by a name in DNS.
func (f *failover) openStore() *revoke.Postgres {
	f.t.Helper()
	return testkit.OpenStore(f.t, pgserver.Pool(f.t, f.address, func(c *pgxpool.Config) { c.ConnConfig.DialFunc = f.dial }))
}

func (f *failover) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	address := f.leadsTo.Load()
	if address == nil {
		return nil, errors.New("no server is the primary")
	}
	config, err := pgconn.ParseConfig(*address)
	if err != nil {
		return nil, err
	}
	network, at := pgconn.NetworkAddress(config.Host, config.Port)
	return (&net.Dialer{}).DialContext(ctx, network, at)
}

func (f *failover) query(server *pgserver.Server, sql string) (value string) {
	f.t.Helper()
	ctx := f.t.Context()
	conn := testkit.Value(pgx.Connect(ctx, server.URL()))(f.t)
	defer conn.Close(context.WithoutCancel(ctx))
	testkit.Must(f.t, conn.QueryRow(ctx, sql).Scan(&value))
	return value
}

// cutOff ends replication once the standby has caught up, and revokes tokens that the
// standby does not get.
func (f *failover) cutOff() {
	f.t.Helper()
	ctx := f.t.Context()
	written := f.query(f.primary, "SELECT pg_current_wal_lsn()::text")
	testkit.Eventually(f.t, "the standby has caught up", func() bool {
		return f.query(f.standby, "SELECT coalesce(pg_last_wal_replay_lsn() >= '"+written+"', false)::text") == "true"
	})
	conn := testkit.Value(pgx.Connect(ctx, f.standby.URL()))(f.t)
	defer conn.Close(context.WithoutCancel(ctx))
	for _, sql := range []string{"ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"} {
		_, err := conn.Exec(ctx, sql)
		testkit.Must(f.t, err)
	}
	testkit.Eventually(f.t, "replication has ended", func() bool {
		return f.query(f.standby, "SELECT count(*)::text FROM pg_stat_wal_receiver") == "0"
	})
	for range 300 {
		f.lost = append(f.lost, testkit.Token())
		testkit.Must(f.t, f.store.RevokeToken(ctx, f.lost[len(f.lost)-1]))
	}
	f.seen = f.query(f.primary, "SELECT lpad(pg_snapshot_xmax(pg_current_snapshot())::text, 20, '0')")
}

// failOver ends the primary and promotes the standby.
func (f *failover) failOver() {
	f.t.Helper()
	f.leadsTo.Store(nil)
	// In a container the standby would end with the primary. There the primary only
	// loses its clients, and the dialer leads to it no more.
	f.query(f.primary, `SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`)
	if !strings.HasPrefix(f.primary.Source, "image ") {
		f.stop()
	}
	if f.query(f.standby, "SELECT pg_promote(true, 60)::text") != "true" {
		f.t.Fatal("the standby is not promoted")
	}
	promoted := f.standby.URL()
	f.leadsTo.Store(&promoted)
}

// revokeOnNew revokes a token on the promoted standby. Its transaction has a number
// that the old primary has given out too.
func (f *failover) revokeOnNew() (token revoke.Token, committed time.Time) {
	f.t.Helper()
	ctx := f.t.Context()
	token = testkit.Token()
	testkit.Eventually(f.t, "the new primary takes writes", func() bool { return f.store.RevokeToken(ctx, token) == nil })
	committed = time.Now()
	number := testkit.QueryOne[string](f.t, f.store.Pool(), "SELECT lpad(xid::text, 20, '0') FROM revoke.revocations WHERE id = $1", token.ID)
	if number >= f.seen {
		f.t.Fatalf("transaction %s is not numbered below %s, so this proves nothing", number, f.seen)
	}
	return token, committed
}

// The primary is lost together with transactions that the mirror has seen and the
// standby did not get. The promoted standby gives their numbers out again, so a
// revocation there looks older than what the mirror has seen.
func TestFailover(t *testing.T) {
	t.Parallel()
	f := newFailover(t)
	m := run(t, f.openStore(), WithBound(200*time.Millisecond))
	f.cutOff()
	testkit.Must(t, m.Sync(t.Context()))
	testkit.WantError(t, m.Check(t.Context(), f.lost[299]), revoke.ErrRevoked)
	f.failOver()
	for range 10 {
		token, committed := f.revokeOnNew()
		untilRefused(t, m, token, committed)
	}
	testkit.Must(t, m.Sync(t.Context()))
	for _, token := range f.lost { // as the database says, which has lost them
		testkit.Must(t, m.Check(t.Context(), token))
	}
	if n := m.Stats().Loads; n < 2 {
		t.Errorf("%d loads, want one for each session", n)
	}
}

// A gateway keeps the mirror's connection over a failover and replays its settings, the
// nonce among them, into a session of the promoted standby. What the mirror knew of the
// old primary's transactions must not count there.
func TestGatewayReplaysSettingsOverAFailover(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	f := newFailover(t)
	g := openGateway(t, f)
	m := run(t, f.openStore(), WithBound(MaxBound), WithInterval(50*time.Millisecond), WithConnString(g.connString()))
	if !m.Stats().Exact {
		t.Fatal("the gateway is taken for a pooler, so this proves nothing")
	}
	f.cutOff()
	testkit.Must(t, m.Sync(ctx))
	refuses(t, m, f.lost[299], revoke.ScopeToken)
	g.hold()
	f.failOver()
	var tokens []revoke.Token
	for range 10 { // before the mirror has seen a snapshot of the new primary
		token, _ := f.revokeOnNew()
		tokens = append(tokens, token)
	}
	g.goOn()
	testkit.Must(t, m.Sync(ctx))
	for _, token := range tokens {
		refuses(t, m, token, revoke.ScopeToken)
	}
	if n := g.replays.Load(); n == 0 {
		t.Error("the gateway has replayed nothing, so this proves nothing")
	}
}
