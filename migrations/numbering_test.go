package migrations_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/schema"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
)

// TestNumbering proves what mirrors ask: that rows bear numbers, and that they did all the time.
func TestNumbering(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"revoke", "order"} {
		pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
		testkit.Must(t, migrations.Up(t.Context(), pool, migrations.WithSchema(name)))
		ask := func() *string {
			t.Helper()
			return testkit.QueryOne[*string](t, pool, "SELECT "+schema.Fill(schema.NumberingSQL, name))
		}
		run := func(statements string) {
			t.Helper()
			testkit.Exec(t, pool, schema.Fill(statements, name), pgx.QueryExecModeSimpleProtocol)
		}
		const damage, mend = "ALTER TABLE {schema}.revocations DISABLE TRIGGER ALL", "ALTER TABLE {schema}.revocations ENABLE ALWAYS TRIGGER set_xid"
		first := ask()
		run("DELETE FROM {schema}.revocations; ANALYZE")
		if again := ask(); first == nil || again == nil || *again != *first {
			t.Errorf("%v, and without a change %v", first, again)
		}
		for _, damage := range []string{
			damage,
			"ALTER TABLE {schema}.revocations ENABLE TRIGGER set_xid",
			"ALTER TABLE {schema}.revocations ENABLE REPLICA TRIGGER set_xid",
			"CREATE OR REPLACE FUNCTION {schema}.set_xid() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
			"CREATE OR REPLACE TRIGGER set_xid BEFORE INSERT ON {schema}.revocations FOR EACH ROW EXECUTE FUNCTION {schema}.set_xid(); " + mend,
			"CREATE OR REPLACE TRIGGER set_xid BEFORE INSERT OR UPDATE OF scope ON {schema}.revocations FOR EACH ROW EXECUTE FUNCTION {schema}.set_xid(); " + mend,
			"CREATE OR REPLACE TRIGGER set_xid BEFORE INSERT OR UPDATE ON {schema}.revocations FOR EACH ROW WHEN (NEW.scope = 'token') EXECUTE FUNCTION {schema}.set_xid(); " + mend,
			"DROP TRIGGER set_xid ON {schema}.revocations",
		} {
			run(damage)
			if got := ask(); got != nil {
				t.Errorf("after %s: %s", damage, *got)
			}
			testkit.Must(t, migrations.Up(t.Context(), pool, migrations.WithSchema(name)))
			if got := ask(); got == nil || *got == *first {
				t.Errorf("after %s and Up: %v, as before", damage, got)
			}
		}
		before := ask()
		run(damage + "; " + mend)
		if got := ask(); got == nil || before == nil || *got == *before {
			t.Errorf("the trigger was off in between: %v", got)
		}
	}
}
