package mirror_test

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
	"github.com/pgrevoke/revoke/mirror"
)

// name is an address that leads to another server after a failover, as a name in DNS does.
type name struct{ leadsTo atomic.Pointer[string] } // the URL of a server; nil while there is none

func (n *name) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	address := n.leadsTo.Load()
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

// TestFailover loses the primary together with transactions that the standby did not get, but the mirror did. The standby
// is promoted and gives their numbers out again, so that what is revoked there looks older than what the mirror has seen.
func TestFailover(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	primary, err := pgserver.Open(ctx)
	must(t, err)
	alive := true
	defer func() {
		if alive {
			must(t, primary.Close())
		}
	}()
	standby, err := primary.Standby(ctx)
	if errors.Is(err, pgserver.ErrNoStandby) {
		t.Skip(err) // only where REVOKE_DATABASE_URL names a server, whose standbys are not ours to start
	}
	must(t, err)
	defer func() { must(t, standby.Close()) }()
	address, err := primary.CreateDatabase(ctx)
	must(t, err)

	var db name
	old, promoted := primary.URL(), standby.URL()
	db.leadsTo.Store(&old)
	follow := func(c *pgxpool.Config) { c.ConnConfig.DialFunc = db.dial }
	const bound = 200 * time.Millisecond
	store, err := revoke.NewPostgres(pgserver.Pool(t, address, follow))
	must(t, err)
	followed, err := revoke.NewPostgres(pgserver.Pool(t, address, follow))
	must(t, err)
	m := run(t, followed, mirror.WithBound(bound))

	admin := func(server *pgserver.Server, sql string) (value string) {
		conn, err := pgx.Connect(ctx, server.URL())
		must(t, err)
		defer conn.Close(context.WithoutCancel(ctx))
		must(t, conn.QueryRow(ctx, sql).Scan(&value))
		return value
	}
	written := admin(primary, "SELECT pg_current_wal_lsn()::text")
	eventually(t, "the standby has caught up", func() bool {
		return admin(standby, "SELECT coalesce(pg_last_wal_replay_lsn() >= '"+written+"', false)::text") == "true"
	})
	stopReplication(t, standby)
	var lost []revoke.Token
	for range 300 {
		lost = append(lost, newToken())
		must(t, store.RevokeToken(ctx, lost[len(lost)-1]))
	}
	must(t, m.Sync(ctx))
	refuses(t, m, lost[len(lost)-1])
	seen := admin(primary, "SELECT lpad(pg_snapshot_xmax(pg_current_snapshot())::text, 20, '0')")

	db.leadsTo.Store(nil)
	// In a container the standby would end with the primary. There it is cut off, and nobody reaches it any more.
	admin(primary, "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
	if !strings.HasPrefix(primary.Source, "image ") {
		alive = false
		must(t, primary.Close())
	}
	if admin(standby, "SELECT pg_promote(true, 30)::text") != "true" {
		t.Fatal("the standby is not promoted")
	}
	db.leadsTo.Store(&promoted)

	for range 10 {
		token := newToken()
		eventually(t, "the new primary takes writes", func() bool { return store.RevokeToken(ctx, token) == nil })
		committed := time.Now()
		var number string
		must(t, store.Pool().QueryRow(ctx, "SELECT lpad(xid::text, 20, '0') FROM revoke.revoked_tokens WHERE jti = $1", token.ID).Scan(&number))
		if number >= seen {
			t.Fatalf("transaction %s is not numbered below %s, so this proves nothing", number, seen)
		}
		eventually(t, "the mirror refuses", func() bool {
			began := time.Now()
			err := m.Check(ctx, token)
			if err == nil && began.Sub(committed) > bound {
				t.Fatalf("accepted %v after its revocation", began.Sub(committed))
			}
			return errors.Is(err, revoke.ErrRevoked)
		})
	}
	must(t, m.Sync(ctx))
	for _, token := range lost { // as the database says, which has lost them
		must(t, m.Check(ctx, token))
	}
	if n := m.Stats().Loads; n < 2 {
		t.Errorf("%d loads, want one for each session", n)
	}
}

// stopReplication has the standby receive nothing any more.
func stopReplication(t *testing.T, standby *pgserver.Server) {
	t.Helper()
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, standby.URL())
	must(t, err)
	defer conn.Close(context.WithoutCancel(ctx))
	for _, sql := range []string{"ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"} {
		_, err := conn.Exec(ctx, sql)
		must(t, err)
	}
	eventually(t, "replication has ended", func() bool {
		var receivers int
		must(t, conn.QueryRow(ctx, "SELECT count(*) FROM pg_stat_wal_receiver").Scan(&receivers))
		return receivers == 0
	})
}
