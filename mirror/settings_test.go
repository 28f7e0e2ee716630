package mirror

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// TestSettings loads, polls, writes and wakes under settings, in the query modes of the app's pool,
// with types that the app has registered. Without REVOKE_TEST_LONG each setting, mode and
// registration is met, and not each combination.
func TestSettings(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	sql := newFeedSQL("revoke")
	testkit.SetTraps(t, admin, []string{
		sql.probe, sql.loadExact, sql.pollExact, sql.loadWhole, sql.lookup, settings("true"), "pg_notify(",
	})
	plain := testkit.Settings{{Name: "application_name", Value: "app"}}
	n := 0
	both := func(s testkit.Settings, mode pgx.QueryExecMode, registration int) {
		// The ways to revoke take turns with the settings, and a long run has all for each.
		kinds := testkit.Long(ways[n%len(ways):][:1], ways)
		first := s[0].Name
		if first == plain[0].Name {
			kinds = ways
		}
		n++
		r := testkit.Registrations[registration]
		t.Run(fmt.Sprintf("%v/%s/%s", mode, r.Name, s), func(t *testing.T) {
			t.Parallel()
			pool := pgserver.Pool(t, address, testkit.WithMode(mode), s.Configure, func(c *pgxpool.Config) {
				c.MaxConns = 2
				c.ConnConfig.RuntimeParams["jit"] = map[bool]string{true: "on", false: "off"}[first == "jit_above_cost"]
				c.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
					r.Register(conn.TypeMap())
					return nil
				}
			})
			// pgx itself refuses to put values into a text that such a server would read
			// otherwise. The mirror's own connection puts none there.
			writes := mode != pgx.QueryExecModeSimpleProtocol || (first != "client_encoding" && first != "standard_conforming_strings")
			everything(t, admin, pool, kinds, writes)
		})
	}
	long := testkit.Long(false, true)
	for m, mode := range testkit.Modes {
		for r := range testkit.Registrations {
			if long || m == 0 || r == 0 || r == len(testkit.Registrations)-1 {
				both(plain, mode, r)
			}
			for _, s := range testkit.EachSetting() {
				if long || (m == 0 && r == 0) || (s[0].Name == "search_path" && r == len(testkit.Registrations)-1) {
					both(s, mode, r)
				}
			}
		}
	}
}

// everything reads by both feeds what another store has written, and writes by the mirror's, in
// some ways.
func everything(t *testing.T, admin, pool *pgxpool.Pool, kinds []way, writes bool) {
	t.Helper()
	ctx := t.Context()
	other := testkit.OpenStore(t, admin)
	before := aloneToken()
	testkit.Must(t, other.RevokeToken(ctx, before))
	m := run(t, testkit.OpenStore(t, pool), slow...)
	refuses(t, m, before, revoke.ScopeToken)
	for _, way := range kinds {
		token := aloneToken()
		accepts(t, m, token)
		testkit.Must(t, way.revoke(ctx, other, token))
		testkit.Must(t, m.Sync(ctx))
		refuses(t, m, token, way.scope)
	}
	if s := m.Stats(); !s.Exact || s.Loads != 1 {
		t.Errorf("Stats = %+v, want one load and then polls", s)
	}
	for _, f := range feeds[1:] {
		behind := testkit.Value(New(testkit.OpenStore(t, pool), slow...))(t)
		s := openSession(t, behind)
		update(t, behind, f.of(t, s).next())
		refuses(t, behind, before, revoke.ScopeToken)
	}
	if !writes {
		return
	}
	for _, way := range kinds {
		token := aloneToken()
		testkit.Must(t, way.revoke(ctx, m.Store(), token))
		refuses(t, m, token, way.scope)
		testkit.Must(t, m.Sync(ctx))
		refuses(t, m, token, way.scope)
	}
	testkit.Must(t, m.Health(ctx)) // each write was shown
	listener := run(t, testkit.OpenStore(t, pool), slow...)
	token := aloneToken()
	testkit.Must(t, other.RevokeToken(ctx, token))
	testkit.Must(t, m.Wake(ctx))
	testkit.Eventually(t, "the notification wakes another mirror", func() bool {
		return errors.Is(listener.Check(ctx, token), revoke.ErrRevoked)
	})
	// A write that the mirror's server should have shown, and that the store's does show.
	own := testkit.Value(New(testkit.OpenStore(t, pool), slow...))(t)
	testkit.Must(t, own.Store().RevokeToken(ctx, aloneToken()))
	own.begin()
	if lost, err := own.forgetLost(ctx); lost || err != nil {
		t.Errorf("forgetLost = %v, %v", lost, err)
	}
}
