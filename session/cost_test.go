package session_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/session"
)

// TestRefreshesAreHOT refreshes some sessions in turn, each time with another agent and address.
// The rows stay on their pages, and no index grows. It does not run beside other
// tests: Postgres looks anew at which rows are dead only when the oldest transaction of the server
// has ended, and other tests hold theirs.
func TestRefreshesAreHOT(t *testing.T) {
	const devices = 40
	rounds := testkit.Long(15, 1000)
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address, func(c *pgxpool.Config) { c.MaxConns = 2 })
	sizes := func() string {
		return testkit.QueryOne[string](t, admin, `SELECT string_agg(indexrelid::regclass || ' ' || pg_relation_size(indexrelid), ', ' ORDER BY indexrelid)
			FROM pg_index WHERE indrelid = 'revoke.sessions'::regclass`)
	}
	pool := pgserver.Pool(t, address, func(c *pgxpool.Config) { c.MaxConns = 1 })
	a := onStore(t, testkit.OpenStore(t, pool), pool, session.WithGrace(0))
	held := make([]session.Tokens, devices)
	for i := range held {
		device := session.Device{UserAgent: fmt.Sprint("Browser/", i), Address: "192.0.2.1"}
		held[i] = testkit.Value(a.Start(t.Context(), a.User(fmt.Sprint("user-", i)), revoke.Epochs{}, device))(t)
	}
	before := sizes()
	for round := range rounds {
		device := session.Device{UserAgent: fmt.Sprint("Browser/", round), Address: fmt.Sprint("192.0.2.", round%256)}
		for i := range held {
			got, err := a.Refresh(t.Context(), held[i].Refresh, device)
			if err != nil || got.Outcome != session.Rotated {
				t.Fatalf("Refresh = %s, %v", got.Outcome, err)
			}
			held[i] = got
		}
	}
	if after := sizes(); after != before {
		t.Errorf("the indexes have grown from %s to %s", before, after)
	}
	pool.Close() // a backend that ends reports what it has counted
	var updates, hot int
	testkit.Eventually(t, "the server has counted the refreshes", func() bool {
		testkit.Must(t, admin.QueryRow(context.WithoutCancel(t.Context()),
			"SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'revoke.sessions'::regclass").Scan(&updates, &hot))
		return updates >= devices*rounds
	})
	if hot*100 < updates*95 {
		t.Errorf("%d of %d updates are HOT", hot, updates)
	}
}
