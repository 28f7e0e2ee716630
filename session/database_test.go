package session_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
	"github.com/pgrevoke/revoke/session"
)

// TestSettings runs a session under settings of a role, in the query modes of pgx, with
// types that an app has registered. Without REVOKE_TEST_LONG a few of each are met.
func TestSettings(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	testkit.SetTraps(t, admin, session.AllSQL())
	run := func(s testkit.Settings, mode pgx.QueryExecMode, registration int) {
		r := testkit.Registrations[registration]
		t.Run(fmt.Sprintf("%v/%s/%s", mode, r.Name, s), func(t *testing.T) {
			pool := pgserver.Pool(t, address, testkit.WithMode(mode), s.Configure, func(c *pgxpool.Config) {
				c.MaxConns = 2
				c.ConnConfig.RuntimeParams["jit"] = "off"
				c.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
					r.Register(conn.TypeMap())
					return nil
				}
			})
			a := onStore(t, testkit.OpenStore(t, pool), admin, session.WithMaxSessions(2))
			a.user = a.User("ada " + rand.Text())
			device := session.Device{Client: "phöne", Label: "Zürich ☎", UserAgent: `"\'`, Address: "::1", Attributes: map[string]string{"ö": "\\"}}
			first := testkit.Value(a.Start(t.Context(), a.user, revoke.Epochs{}, device))(t)
			second, err := a.Refresh(t.Context(), first.Refresh, device)
			if err != nil || second.Outcome != session.Rotated {
				t.Fatalf("Refresh = %+v, %v", second, err)
			}
			again, err := a.Refresh(t.Context(), first.Refresh, device)
			if err != nil || again.Outcome != session.Repeated || payload(t, again.Refresh) != payload(t, second.Refresh) {
				t.Fatalf("Refresh = %+v, %v", again, err)
			}
			list := testkit.Value(a.List(t.Context(), a.user))(t)
			if len(list) != 1 || list[0].Client != device.Client || list[0].Label != device.Label || list[0].UserAgent != device.UserAgent ||
				list[0].Attributes["ö"] != "\\" || time.Since(list[0].StartedAt).Abs() > 10*time.Minute {
				t.Fatalf("List = %+v", list)
			}
			a.pass(first, grace)
			_, err = a.Refresh(t.Context(), first.Refresh, device)
			if failed := (*session.RefreshError)(nil); !errors.As(err, &failed) || failed.Reason != session.Replayed || time.Since(failed.At).Abs() > 10*time.Minute {
				t.Fatalf("Refresh = %v", err)
			}
			one, two := a.start(), a.start()
			three := a.start()
			a.fails(one, session.Ended)
			fresh := testkit.Value(a.EndOthers(t.Context(), a.user, three.Session.ID, browser))(t)
			a.fails(two, session.Revoked)
			testkit.Must(t, a.End(t.Context(), a.user, fresh.Session.ID))
			a.fails(fresh, session.Ended)
			testkit.Must(t, a.Forget(t.Context(), a.user))
			testkit.Value(a.Sweep(t.Context()))(t)
		})
	}
	plain := testkit.Settings{{Name: "application_name", Value: "app"}}
	for i, mode := range testkit.Modes {
		run(plain, mode, i%len(testkit.Registrations))
	}
	settings := testkit.EachSetting()
	step := testkit.Long(6, 1)
	for i := 0; i < len(settings); i += step {
		for j := 0; j < len(testkit.Modes); j += testkit.Long(len(testkit.Modes), 1) {
			mode := testkit.Modes[(i/step+j)%len(testkit.Modes)]
			if mode == pgx.QueryExecModeSimpleProtocol && (settings[i][0].Name == "client_encoding" || settings[i][0].Name == "standard_conforming_strings") {
				continue // pgx refuses to put values into a text that such a server reads otherwise
			}
			run(settings[i], mode, (i/step+j+1)%len(testkit.Registrations))
		}
	}
	for _, s := range []testkit.Settings{{{Name: "search_path", Value: "trap, pg_catalog"}}, {{Name: "default_transaction_isolation", Value: "serializable"}}} {
		run(s, pgx.QueryExecModeCacheStatement, 0)
	}
}

// TestIsolation: where transactions are not READ COMMITTED by default, tabs that refresh at
// once all go on.
func TestIsolation(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"repeatable read", "serializable"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) {
				c.ConnConfig.RuntimeParams["default_transaction_isolation"] = level
			})
			a := onStore(t, testkit.OpenStore(t, pool), pool)
			tokens := a.start()
			for range 4 {
				tokens = a.atOnce(tokens, 8)
				a.pass(tokens, grace)
			}
			got := a.whileHeld(byHand(t.Context(), tokens, 2*grace), a.with().refreshing(tokens), commit(t.Context()))
			if got.err != nil || got.tokens.Refresh == "" {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestRowSecurity: where it hides rows, nothing is said of a session.
func TestRowSecurity(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"sessions", "revocations"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			address := pgserver.Database(t)
			admin := pgserver.Pool(t, address)
			plain := onStore(t, testkit.OpenStore(t, admin), admin)
			first := plain.start()
			pool := pgserver.Pool(t, address, testkit.As(testkit.NewRole(t, admin)))
			a := onStore(t, testkit.OpenStore(t, pool), admin)
			testkit.Exec(t, admin, "ALTER TABLE revoke."+table+" ENABLE ROW LEVEL SECURITY")
			testkit.Exec(t, admin, "CREATE POLICY everyone ON revoke."+table+" USING (true) WITH CHECK (true)")
			_, started := a.Start(t.Context(), a.user, revoke.Epochs{}, browser)
			_, refreshed := a.Refresh(t.Context(), first.Refresh, browser)
			_, listed := a.List(t.Context(), a.user)
			_, swept := a.Sweep(t.Context())
			for name, err := range map[string]error{
				"Start": started, "Refresh": refreshed, "List": listed, "Sweep": swept,
				"End": a.End(t.Context(), a.user, first.Session.ID), "Forget": a.Forget(t.Context(), a.user),
			} {
				if !errors.Is(err, revoke.ErrUnavailable) || !strings.Contains(err.Error(), "row-level security") {
					t.Errorf("%s = %v", name, err)
				}
			}
			plain.pass(first, grace)
			plain.wantListed(first)
		})
	}
}

// TestFence: a server that a switchover has fenced answers nothing.
func TestFence(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	plain := onStore(t, testkit.OpenStore(t, admin), admin)
	first := plain.start()
	role := testkit.NewRole(t, admin, "SET default_transaction_read_only = on")
	pool := pgserver.Pool(t, address, testkit.As(role))
	a := onStore(t, testkit.OpenStore(t, pool), admin)
	a.fails(first, session.Unavailable)
	_, err := a.List(t.Context(), a.user)
	testkit.WantError(t, err, revoke.ErrUnavailable)
	_, err = a.Start(t.Context(), a.user, revoke.Epochs{}, browser)
	testkit.WantError(t, err, revoke.ErrUnavailable)
	plain.rotates(first)
}

// TestMissingSchema names the remedy.
func TestMissingSchema(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t))
	a := onStore(t, testkit.OpenStore(t, pool), pool)
	first := a.start()
	testkit.Must(t, migrations.Down(t.Context(), pool))
	_, err := a.Start(t.Context(), a.user, revoke.Epochs{}, browser)
	testkit.WantError(t, err, revoke.ErrUnavailable)
	if !strings.Contains(err.Error(), "migrations.Up") {
		t.Errorf("Start = %v", err)
	}
	if failed := a.failure(first, session.Unavailable); !strings.Contains(failed.Error(), "migrations.Up") {
		t.Errorf("Refresh = %v", failed)
	}
}

// TestMigrationUnderLoad brings the table of sessions to a database in which a program without it
// checks and revokes. Neither waits for the other, and the program goes on.
func TestMigrationUnderLoad(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t), func(c *pgxpool.Config) { c.MaxConns = 6 })
	ctx := t.Context()
	versions := testkit.Value(migrations.Status(ctx, pool))(t)
	testkit.Exec(t, pool, testkit.Value(migrations.SQL(0, versions[0].Version))(t), pgx.QueryExecModeSimpleProtocol)
	store := testkit.OpenStore(t, pool)
	// A reader that does not end, as a report would be.
	reader := testkit.Value(pool.Begin(ctx))(t)
	defer func() { _ = reader.Rollback(context.WithoutCancel(ctx)) }()
	testkit.Value(reader.Exec(ctx, "SELECT count(*) FROM revoke.revocations"))(t)
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			token := testkit.Token()
			err := errors.Join(store.Check(context.Background(), token), store.RevokeToken(context.Background(), token))
			if err == nil && !errors.Is(store.Check(context.Background(), token), revoke.ErrRevoked) {
				err = errors.New("a revoked token is accepted")
			}
			select {
			case <-stop:
				stopped <- err
				return
			default:
			}
			if err != nil {
				stopped <- err
				return
			}
		}
	}()
	testkit.Must(t, migrations.Up(ctx, pool))
	a := onStore(t, store, pool)
	a.rotates(a.start())
	close(stop)
	testkit.Must(t, <-stopped)
}
