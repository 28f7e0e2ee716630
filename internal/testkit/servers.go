package testkit

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/internal/pgserver"
)

// OwnServer starts a server of its own for the test, which may break it. stop stops it before the
// test ends.
func OwnServer(tb testing.TB) (server *pgserver.Server, stop func()) {
	tb.Helper()
	const given = "REVOKE_DATABASE_URL"
	if os.Getenv(given) != "" {
		tb.Fatalf("this test breaks its server, and that of %s is not the test's to break: unset it", given)
	}
	server = Value(pgserver.Open(tb.Context()))(tb)
	stop = sync.OnceFunc(func() { Must(tb, server.Close()) })
	tb.Cleanup(stop)
	return server, stop
}

// OwnPair starts a primary and a streaming standby of its own for the test. stop stops the primary
// before the test ends.
func OwnPair(tb testing.TB) (primary, standby *pgserver.Server, stop func()) {
	tb.Helper()
	primary, stop = OwnServer(tb)
	standby = Value(primary.Standby(tb.Context()))(tb)
	tb.Cleanup(func() { Must(tb, standby.Close()) })
	return primary, standby, stop
}

// Failover is a primary with a standby, and pools that follow the primary.
type Failover struct {
	Primary, Standby *pgserver.Server
	Address          string                 // of a migrated database on the primary
	LeadsTo          atomic.Pointer[string] // where a pool finds the server of the moment

	tb   testing.TB
	stop func() // the primary
}

// NewFailover starts a primary with a standby. Pools lead to the primary.
func NewFailover(tb testing.TB) *Failover {
	tb.Helper()
	f := &Failover{tb: tb}
	f.Primary, f.Standby, f.stop = OwnPair(tb)
	f.Address = Value(f.Primary.CreateDatabase(tb.Context()))(tb)
	primary := f.Primary.URL()
	f.LeadsTo.Store(&primary)
	return f
}

// Pool returns a pool that dials the server of the moment, as by a name in DNS.
func (f *Failover) Pool(configure ...func(*pgxpool.Config)) *pgxpool.Pool {
	f.tb.Helper()
	dial := func(c *pgxpool.Config) { c.ConnConfig.DialFunc = f.Dial }
	return pgserver.Pool(f.tb, f.Address, append([]func(*pgxpool.Config){dial}, configure...)...)
}

// Dial connects to the server of the moment.
func (f *Failover) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	address := f.LeadsTo.Load()
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

// Query returns the answer of a query of one text to one of the servers.
func (f *Failover) Query(server *pgserver.Server, sql string) (value string) {
	f.tb.Helper()
	ctx := f.tb.Context()
	conn := Value(pgx.Connect(ctx, server.URL()))(f.tb)
	defer conn.Close(context.WithoutCancel(ctx))
	Must(f.tb, conn.QueryRow(ctx, sql).Scan(&value))
	return value
}

// CatchUp waits until the standby has replayed what the primary has written.
func (f *Failover) CatchUp() {
	f.tb.Helper()
	written := f.Query(f.Primary, "SELECT pg_current_wal_lsn()::text")
	Eventually(f.tb, "the standby has caught up", func() bool {
		return f.Query(f.Standby, "SELECT coalesce(pg_last_wal_replay_lsn() >= '"+written+"', false)::text") == "true"
	})
}

// CutOff ends replication once the standby has caught up. The standby gets nothing that is written
// afterwards.
func (f *Failover) CutOff() {
	f.tb.Helper()
	f.CatchUp()
	ctx := f.tb.Context()
	conn := Value(pgx.Connect(ctx, f.Standby.URL()))(f.tb)
	defer conn.Close(context.WithoutCancel(ctx))
	for _, sql := range []string{"ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"} {
		_, err := conn.Exec(ctx, sql)
		Must(f.tb, err)
	}
	Eventually(f.tb, "replication has ended", func() bool {
		return f.Query(f.Standby, "SELECT count(*)::text FROM pg_stat_wal_receiver") == "0"
	})
}

// FailOver ends the primary and promotes the standby.
func (f *Failover) FailOver() {
	f.tb.Helper()
	f.LeadsTo.Store(nil)
	// In a container the standby would end with the primary. There the primary only
	// loses its clients, and the dialer leads to it no more.
	f.Query(f.Primary, `SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`)
	if !strings.HasPrefix(f.Primary.Source, "image ") {
		f.stop()
	}
	if f.Query(f.Standby, "SELECT pg_promote(true, 60)::text") != "true" {
		f.tb.Fatal("the standby is not promoted")
	}
	promoted := f.Standby.URL()
	f.LeadsTo.Store(&promoted)
}
