package migrations_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
)

var queryModes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

// trap is a schema for a search_path. Its operators and functions say what is not so.
const trap = `CREATE SCHEMA trap;
CREATE FUNCTION trap.no(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
CREATE FUNCTION trap.no(name, name) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
CREATE FUNCTION trap.no(boolean, boolean) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
CREATE FUNCTION trap.no(uuid, uuid) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
CREATE FUNCTION trap.no(bigint, bigint) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
CREATE OPERATOR trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.no);
CREATE OPERATOR trap.= (LEFTARG = name, RIGHTARG = name, FUNCTION = trap.no);
CREATE OPERATOR trap.= (LEFTARG = boolean, RIGHTARG = boolean, FUNCTION = trap.no);
CREATE OPERATOR trap.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = trap.no);
CREATE OPERATOR trap.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = trap.no);
CREATE OPERATOR trap.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.no);
CREATE FUNCTION trap.cat(bytea, bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE OPERATOR trap.|| (LEFTARG = bytea, RIGHTARG = bytea, FUNCTION = trap.cat);
CREATE FUNCTION trap.isfinite(timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
CREATE FUNCTION trap.sha256(bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION trap.repeat(text, integer) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION trap.to_timestamp(double precision) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS 'SELECT NULL::timestamptz';
CREATE FUNCTION trap.pg_current_xact_id() RETURNS xid8 LANGUAGE sql AS $$SELECT '3'::xid8$$;
CREATE FUNCTION trap.current_setting(text) RETURNS text LANGUAGE sql AS $$SELECT 'trap'$$;
CREATE FUNCTION trap.generate_series(integer, integer) RETURNS SETOF integer LANGUAGE sql AS $$SELECT 1$$;
CREATE FUNCTION trap.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz';
CREATE DOMAIN trap.uuid AS pg_catalog.uuid;
CREATE DOMAIN trap.text AS pg_catalog.text;
CREATE DOMAIN trap.xid8 AS pg_catalog.xid8;
CREATE DOMAIN trap.timestamptz AS pg_catalog.timestamptz`

// TestSettings runs everything under settings of the database and the session, and with types that
// the app has registered, in all query modes. They change nothing, and are left as they were.
func TestSettings(t *testing.T) {
	t.Parallel()
	set := func(statement string) func(context.Context, *pgx.Conn) error {
		return func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.PgConn().Exec(ctx, statement).ReadAll()
			return err
		}
	}
	// Long for a statement on a loaded machine, and less than a slow one takes.
	const short = "2s"
	type row struct {
		name    string
		setting string // of the database, by ALTER DATABASE; several are separated by ;
		connect func(context.Context, *pgx.Conn) error
		slow    bool // a statement of Up takes longer than short
	}
	alike := []row{
		{name: "DateStyle", setting: "DateStyle = 'SQL, DMY'"},
		{name: "IntervalStyle", setting: "IntervalStyle = 'sql_standard'"},
		{name: "TimeZone", setting: "TimeZone = 'Pacific/Apia'"},
		{name: "deferrable", setting: "default_transaction_deferrable = on"},
		{name: "row_security", setting: "row_security = off"},
		{name: "quote_all_identifiers", setting: "quote_all_identifiers = on"},
		{name: "bytea_output", setting: "bytea_output = 'escape'"},
		{name: "check_function_bodies", setting: "check_function_bodies = off"},
		{name: "synchronous_commit", setting: "synchronous_commit = off"},
	}
	tests := []row{
		{name: "statement_timeout", setting: "statement_timeout = '" + short + "'", slow: true},
		{name: "lock_timeout", setting: "lock_timeout = '" + short + "'"},
		{name: "idle_in_transaction_session_timeout", setting: "idle_in_transaction_session_timeout = '" + short + "'"},
		{name: "idle_session_timeout", setting: "idle_session_timeout = '" + short + "'"},
		{name: "transaction_timeout", connect: set(`DO $$BEGIN
			IF EXISTS (SELECT FROM pg_settings WHERE name = 'transaction_timeout') THEN
				PERFORM set_config('transaction_timeout', '` + short + `', false);
			END IF; END$$`), slow: true},
		{name: "client_encoding", setting: "client_encoding = 'LATIN1'", connect: set("SET client_encoding = 'LATIN1'")},
		{name: "search_path", setting: "search_path = trap, pg_catalog"},
		{name: "an empty search_path", setting: "search_path = ''"},
		{name: "repeatable read", setting: "default_transaction_isolation = 'repeatable read'"},
		{name: "serializable", setting: "default_transaction_isolation = 'serializable'"},
		{name: "standard_conforming_strings", setting: "standard_conforming_strings = off"},
		{name: "session_replication_role", setting: "session_replication_role = replica"},
		{name: "SET ROLE", connect: set("SET ROLE pg_monitor")},
		{name: "types of the app", connect: func(_ context.Context, conn *pgx.Conn) error {
			text := conn.TypeMap()
			text.RegisterType(&pgtype.Type{Name: "int8", OID: pgtype.Int8OID, Codec: pgtype.NumericCodec{}})
			text.RegisterType(&pgtype.Type{Name: "int4", OID: pgtype.Int4OID, Codec: pgtype.NumericCodec{}})
			text.RegisterType(&pgtype.Type{Name: "uuid", OID: pgtype.UUIDOID, Codec: pgtype.TextCodec{}})
			text.RegisterType(&pgtype.Type{Name: "json", OID: pgtype.JSONOID, Codec: pgtype.TextCodec{}})
			return nil
		}},
	}
	// A short run has them all at once.
	var together []string
	for _, test := range alike {
		together = append(together, test.setting)
	}
	tests = append(tests, testkit.Long([]row{{name: "others", setting: strings.Join(together, ";")}}, alike)...)
	want := defaultCatalog(t)
	for i, test := range tests {
		// The modes take turns, and a long run has all of them for each setting.
		modes := testkit.Long(queryModes[i%len(queryModes):][:1], queryModes)
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			address := pgserver.EmptyDatabase(t)
			admin := pgserver.Pool(t, address, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["search_path"] = "pg_catalog" })
			testkit.Exec(t, admin, trap, pgx.QueryExecModeSimpleProtocol)
			database := testkit.QueryOne[string](t, admin, "SELECT current_database()")
			testkit.Exec(t, admin, "GRANT CREATE ON DATABASE "+database+" TO pg_monitor")
			for _, setting := range strings.FieldsFunc(test.setting, func(c rune) bool { return c == ';' }) {
				testkit.Exec(t, admin, "ALTER DATABASE "+database+" SET "+setting)
			}
			if test.slow {
				testkit.Exec(t, admin, "CREATE FUNCTION public.slow() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_catalog.pg_sleep(2.5); END'")
				testkit.Exec(t, admin, "CREATE EVENT TRIGGER slow ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.slow()")
			}
			for _, mode := range modes {
				pool := pgserver.Pool(t, address, oneConnection, testkit.WithMode(mode), func(c *pgxpool.Config) {
					c.AfterConnect = test.connect
					// Else a pool hands out a connection that the server has just closed.
					c.PrepareConn = func(ctx context.Context, conn *pgx.Conn) (bool, error) { return conn.Ping(ctx) == nil, nil }
				})
				before := sessionSettings(t, pool)
				wantVersion(t, pool, 0)
				testkit.Must(t, migrations.Up(t.Context(), pool))
				wantVersion(t, pool, migrations.Latest)
				if status := testkit.Value(migrations.Status(t.Context(), pool))(t); !status[0].Applied {
					t.Errorf("%v: Status = %+v", mode, status)
				}
				sameCatalog(t, catalog(t, admin, "revoke"), want)
				holdsReserve(t, admin, "revoke")
				for _, f := range inspect(t, pool).Findings {
					if f.Severity != migrations.Note {
						t.Errorf("%v: %s", mode, f)
					}
				}
				testkit.Exec(t, admin, "ALTER TABLE revoke.revocations DISABLE TRIGGER ALL")
				testkit.Exec(t, admin, "TRUNCATE revoke.revocations")
				testkit.Must(t, migrations.Up(t.Context(), pool))
				sameCatalog(t, catalog(t, admin, "revoke"), want)
				downAll(t, pool)
				wantVersion(t, pool, 0)
				after := sessionSettings(t, pool)
				for i := range before {
					if after[i] != before[i] {
						t.Errorf("%v: the session had %s and has %s", mode, before[i], after[i])
					}
				}
				if n := locksHeld(t, admin); n != 0 {
					t.Errorf("%v: %d advisory locks are left", mode, n)
				}
				testkit.Exec(t, admin, "DROP SCHEMA revoke CASCADE")
				pool.Close()
			}
		})
	}
}

// sessionSettings returns the settings that a session has of its own.
func sessionSettings(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	conn := testkit.Value(pool.Acquire(t.Context()))(t)
	defer conn.Release()
	results, err := conn.Conn().PgConn().Exec(t.Context(),
		"SELECT pg_catalog.concat(name, '=', setting) FROM pg_catalog.pg_settings "+
			// Those of plpgsql appear with its first use.
			"WHERE pg_catalog.strpos(name, 'plpgsql.') OPERATOR(pg_catalog.=) 0 ORDER BY name").ReadAll()
	testkit.Must(t, err)
	var lines []string
	for _, row := range results[0].Rows {
		lines = append(lines, string(row[0]))
	}
	return lines
}

// TestUpObeysAFence refuses to write where default_transaction_read_only is on, and makes nothing.
func TestUpObeysAFence(t *testing.T) {
	t.Parallel()
	for _, mode := range queryModes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			address := pgserver.EmptyDatabase(t)
			admin := pgserver.Pool(t, address)
			database := testkit.QueryOne[string](t, admin, "SELECT current_database()")
			testkit.Exec(t, admin, "ALTER DATABASE "+database+" SET default_transaction_read_only = on")
			pool := pgserver.Pool(t, address, oneConnection, testkit.WithMode(mode))
			err := migrations.Up(t.Context(), pool)
			if err == nil || !strings.Contains(err.Error(), "default_transaction_read_only is on") {
				t.Errorf("Up = %v", err)
			}
			if got := objects(t, admin, ""); !slices.Equal(got, []string{"schema public"}) {
				t.Errorf("it made %q", got)
			}
		})
	}
}

// TestSearchPathOfFunctions calls what Up made under a search_path with traps in it.
func TestSearchPathOfFunctions(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*testing.T, *pgxpool.Pool, string){"Up": nil, "SQL": runSQL, "goose": runGoose} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := pgserver.EmptyDatabase(t)
			admin := pgserver.Pool(t, address)
			testkit.Exec(t, admin, trap, pgx.QueryExecModeSimpleProtocol)
			path := "trap, pg_catalog"
			if name == "goose" { // its table of versions is in public, and calls now()
				path += ", public"
				testkit.Exec(t, admin, "DROP FUNCTION trap.now")
			}
			pool := pgserver.Pool(t, address, oneConnection, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["search_path"] = path })
			if prepare != nil {
				prepare(t, pool, "revoke")
				wantNoFindings(t, pool) // that Up would mend
			}
			testkit.Must(t, migrations.Up(t.Context(), pool))
			wantNoFindings(t, pool)
			sameCatalog(t, catalog(t, admin, "revoke"), defaultCatalog(t))
			conn := acquire(t, pool)
			const key = "SELECT revoke.row_key('token', 'issuer', 'id')::pg_catalog.text"
			var got string
			testkit.Must(t, conn.QueryRow(t.Context(), key).Scan(&got))
			if want := testkit.QueryOne[string](t, admin, key); got != want {
				t.Errorf("row_key is %s, and %s without traps", got, want)
			}
			insert := func(scope string) error {
				_, err := conn.Exec(t.Context(), fmt.Sprintf(`INSERT INTO revoke.revocations (key, since, expires_at, revoked_at, scope, issuer, id)
					VALUES ('%032d', pg_catalog.now(), pg_catalog.now(), pg_catalog.now(), '%s', 'i', 'x')`, len(scope), scope))
				return err
			}
			testkit.Must(t, insert("session"))
			if err := insert("elsewhere"); err == nil || !strings.Contains(err.Error(), "revocations_scope") {
				t.Errorf("a scope that is none: %v", err)
			}
			number := testkit.QueryOne[string](t, admin, "SELECT xid::text FROM revoke.revocations WHERE scope = 'session'")
			if number == "3" {
				t.Error("the trigger called a trap")
			}
		})
	}
}
