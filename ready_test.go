package revoke_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
)

// TestReady makes one fault at a time, asks, and applies the remedy that the error names.
func TestReady(t *testing.T) {
	t.Parallel()
	readOnly := revoke.WithReadOnlyConnections()
	for _, row := range []struct {
		name, damage string // {role} stands for the role of the pool
		options      []revoke.PostgresOption
		want         []string // in the error; none where it is ready
		remedy       string
	}{
		{name: "nothing"},
		{name: "nothing, for a service that reads", options: []revoke.PostgresOption{readOnly}},
		{
			name: "no schema", damage: "DROP SCHEMA revoke CASCADE",
			want: []string{`schema "revoke" has version 0 (none)`, "migrations.Up"},
		},
		{
			name: "an older schema", damage: "CREATE OR REPLACE FUNCTION revoke.schema_version() RETURNS bigint LANGUAGE sql AS 'SELECT 5'",
			want: []string{`schema "revoke" has version 5, version 20`, "migrations.Up"},
		},
		{
			name: "a newer schema", damage: "CREATE OR REPLACE FUNCTION revoke.schema_version() RETURNS bigint LANGUAGE sql AS 'SELECT 90000000000000'",
		},
		{name: "no table", damage: "DROP TABLE revoke.revocations", want: []string{"has no table revocations"}},
		{name: "no function", damage: "DROP FUNCTION revoke.epochs", want: []string{"has no function epochs", "migrations.Up"}},
		{
			name: "no USAGE", damage: "REVOKE USAGE ON SCHEMA revoke FROM {role}",
			want: []string{"{role} may not use the schema"}, remedy: `GRANT USAGE ON SCHEMA "revoke" TO {role}`,
		},
		{
			name: "no SELECT", damage: "REVOKE SELECT ON revoke.revocations FROM {role}",
			want: []string{"{role} may not SELECT"}, remedy: `GRANT SELECT ON "revoke".revocations TO {role}`,
		},
		{
			name: "no INSERT, UPDATE and DELETE", damage: "REVOKE INSERT, UPDATE, DELETE ON revoke.revocations FROM {role}",
			want: []string{"{role} may not INSERT, UPDATE, DELETE"}, remedy: `GRANT INSERT, UPDATE, DELETE ON "revoke".revocations TO {role}`,
		},
		{
			name:   "SELECT alone, for a service that reads",
			damage: "REVOKE INSERT, UPDATE, DELETE ON revoke.revocations FROM {role}; REVOKE EXECUTE ON FUNCTION revoke.epochs FROM {role}",
			options: []revoke.PostgresOption{
				readOnly,
			},
		},
		{
			name: "no SELECT, for a service that reads", damage: "REVOKE SELECT, DELETE ON revoke.revocations FROM {role}",
			options: []revoke.PostgresOption{readOnly}, want: []string{"{role} may not SELECT:"}, remedy: `GRANT SELECT ON "revoke".revocations TO {role}`,
		},
		{
			name: "no EXECUTE", damage: "REVOKE EXECUTE ON FUNCTION revoke.epochs FROM {role}",
			want: []string{"{role} may not call epochs"}, remedy: `GRANT EXECUTE ON FUNCTION "revoke".epochs TO {role}`,
		},
		{
			name: "no EXECUTE on row_key", damage: "REVOKE EXECUTE ON FUNCTION revoke.row_key FROM PUBLIC",
			want: []string{"{role} may not call row_key"}, remedy: `GRANT EXECUTE ON FUNCTION "revoke".row_key TO {role}`,
		},
		{
			name: "two faults", damage: "REVOKE DELETE ON revoke.revocations FROM {role}; REVOKE EXECUTE ON FUNCTION revoke.epochs FROM {role}",
			want: []string{"may not DELETE", "; role {role} may not call epochs"},
		},
		{
			name: "row-level security", damage: "ALTER TABLE revoke.revocations ENABLE ROW LEVEL SECURITY",
			want: []string{"row-level security hides rows"}, remedy: "ALTER TABLE revoke.revocations DISABLE ROW LEVEL SECURITY",
		},
		{
			name: "a fence", damage: "ALTER ROLE {role} SET default_transaction_read_only = on",
			want: []string{"default_transaction_read_only is on"}, remedy: "ALTER ROLE {role} RESET default_transaction_read_only",
		},
		{
			name: "a default that the app sets", damage: "ALTER ROLE {role} SET default_transaction_read_only = on",
			options: []revoke.PostgresOption{readOnly},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			address := pgserver.Database(t)
			admin := pgserver.Pool(t, address)
			role := testkit.NewRole(t, admin)
			filled := func(text string) string { return strings.ReplaceAll(text, "{role}", role) }
			if row.damage != "" {
				testkit.Exec(t, admin, filled(row.damage), pgx.QueryExecModeSimpleProtocol)
			}
			trips := &countingTracer{}
			pool := pgserver.Pool(t, address, testkit.As(role), func(c *pgxpool.Config) {
				c.MaxConns = 1
				c.ConnConfig.Tracer = trips
			})
			store := testkit.OpenStore(t, pool, append(row.options, revoke.WithCheckTimeout(time.Minute))...)
			err := store.Ready(t.Context())
			if n := trips.n.Load(); n != 1 {
				t.Errorf("%d queries or batches, want 1", n)
			}
			if len(row.want) == 0 {
				testkit.Must(t, err)
				return
			}
			for _, want := range row.want {
				wantUnavailable(t, err, filled(want))
			}
			if row.remedy == "" {
				return
			}
			testkit.Exec(t, admin, filled(row.remedy))
			testkit.Must(t, store.Ready(t.Context()))
		})
	}
}

// TestReadyEverywhere asks in another schema, in every query mode, under settings with
// traps, and with types that an app registers.
func TestReadyEverywhere(t *testing.T) {
	t.Parallel()
	address := pgserver.EmptyDatabase(t)
	admin := pgserver.Pool(t, address)
	testkit.Must(t, migrations.Up(t.Context(), admin, migrations.WithSchema("order")))
	setTraps(t, admin)
	for _, mode := range testkit.Modes {
		for _, r := range testkit.Registrations {
			t.Run(mode.String()+"/"+r.Name, func(t *testing.T) {
				t.Parallel()
				pool := pgserver.Pool(t, address, testkit.WithMode(mode), func(c *pgxpool.Config) {
					c.ConnConfig.RuntimeParams["search_path"] = "trap, pg_catalog"
					c.ConnConfig.RuntimeParams["default_transaction_isolation"] = "serializable"
					c.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
						r.Register(conn.TypeMap())
						return nil
					}
				})
				testkit.Must(t, testkit.OpenStore(t, pool, revoke.WithSchema("order")).Ready(t.Context()))
				wantUnavailable(t, testkit.OpenStore(t, pool).Ready(t.Context()), "version 0 (none)")
			})
		}
	}
}

// TestReadyOfAPool asks where the pool has no connection, and no server.
func TestReadyOfAPool(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) { c.MaxConns = 1 })
	held := testkit.Value(pool.Acquire(t.Context()))(t)
	wantUnavailable(t, testkit.OpenStore(t, pool, revoke.WithCheckTimeout(20*time.Millisecond)).Ready(t.Context()), "all 1 connections")
	held.Release()
	store := testkit.OpenStore(t, pool)
	testkit.Must(t, store.Ready(t.Context()))
	pool.Close()
	testkit.WantError(t, store.Ready(t.Context()), revoke.ErrUnavailable)
}
