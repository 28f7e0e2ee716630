package migrations_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/schema"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
)

// catalogQueries tell all that a migration can make in the schema $1, apart from the table of
// versions $2.
var catalogQueries = []string{
	`SELECT 'relation', c.relname, c.relkind::text, c.relpersistence::text, c.relrowsecurity::text, c.relreplident::text,
	        c.reloptions::text, c.relacl::text, obj_description(c.oid, 'pg_class')
	   FROM pg_class c WHERE c.relnamespace = $1::text::regnamespace AND NOT starts_with(c.relname, $2)`,
	`SELECT 'column', c.relname, a.attnum::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text,
	        l.collname, pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
	   FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
	   LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
	   LEFT JOIN pg_collation l ON l.oid = a.attcollation
	  WHERE c.relnamespace = $1::text::regnamespace AND a.attnum > 0 AND NOT starts_with(c.relname, $2)`,
	`SELECT 'index', c.relname, i.indisvalid::text, pg_get_indexdef(i.indexrelid)
	   FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
	  WHERE c.relnamespace = $1::text::regnamespace AND NOT starts_with(c.relname, $2)`,
	`SELECT 'constraint', c.relname, k.conname, k.convalidated::text, pg_get_constraintdef(k.oid)
	   FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
	  WHERE c.relnamespace = $1::text::regnamespace AND NOT starts_with(c.relname, $2)`,
	`SELECT 'trigger', c.relname, t.tgname, t.tgenabled::text, t.tgisinternal::text, pg_get_triggerdef(t.oid)
	   FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
	  WHERE c.relnamespace = $1::text::regnamespace AND NOT starts_with(c.relname, $2)`,
	`SELECT 'function', p.proname, pg_get_functiondef(p.oid),
	        replace(p.proacl::text, pg_get_userbyid(p.proowner), 'owner'), obj_description(p.oid, 'pg_proc')
	   FROM pg_proc p WHERE p.pronamespace = $1::text::regnamespace`,
}

// catalog returns all that the migrations made in the schema, one thing a line, with the schema's
// own name left out.
func catalog(t *testing.T, pool *pgxpool.Pool, schema string) []string {
	t.Helper()
	tx := testkit.Value(pool.Begin(t.Context()))(t)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	// Otherwise a schema on the path, such as public, is not named in the definitions.
	testkit.Value(tx.Exec(t.Context(), "SET LOCAL search_path = ''"))(t)
	name := regexp.MustCompile(`(?:"` + schema + `"|\b` + schema + `)\.`)
	var lines []string
	for _, query := range catalogQueries {
		args := []any{`"` + schema + `"`}
		if strings.Contains(query, "$2") {
			args = append(args, migrations.VersionTable)
		}
		rows := testkit.Value(tx.Query(t.Context(), query+" ORDER BY 1, 2, 3, 4", args...))(t)
		lines = append(lines, testkit.Value(pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
			values, err := row.Values()
			line := strings.ReplaceAll(fmt.Sprintf("%v", values), "\n", " ")
			return name.ReplaceAllString(line, "SCHEMA."), err
		}))(t)...)
	}
	return lines
}

// sameCatalog fails where two catalogs differ, and says in which lines.
func sameCatalog(t *testing.T, got, want []string) {
	t.Helper()
	if len(want) < 25 {
		t.Errorf("a catalog of %d lines: too few to prove anything", len(want))
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("surplus: %s", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("missing: %s", line)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d lines, want %d", len(got), len(want))
	}
}

// TestCatalog reads the catalog of the two tables: columns, indexes, constraints and trigger.
func TestCatalog(t *testing.T) {
	t.Parallel()
	made := strings.Join(defaultCatalog(t), "\n")
	for _, row := range []struct{ name, want string }{
		{"the table keeps its pages", `[relation revocations r p false d {vacuum_truncate=off}`},
		{"key", `[column revocations 1 key uuid true `},
		{"since", `[column revocations 2 since timestamp with time zone true `},
		{"expires_at", `[column revocations 3 expires_at timestamp with time zone true `},
		{"revoked_at", `[column revocations 4 revoked_at timestamp with time zone true `},
		{"xid", `[column revocations 5 xid xid8 true `},
		{"scope is compared by bytes", `[column revocations 6 scope text true C `},
		{"issuer is compared by bytes", `[column revocations 7 issuer text true C `},
		{"id is compared by bytes and may be null", `[column revocations 8 id text false C `},
		{"reason", `[column revocations 9 reason text false `},
		{"actor", `[column revocations 10 actor text false `},
		{"the primary key holds since", `CREATE UNIQUE INDEX revocations_pkey ON SCHEMA.revocations USING btree (key) INCLUDE (since)`},
		{"the sweep has an index", `CREATE INDEX revocations_expires_at_idx ON SCHEMA.revocations USING btree (expires_at)`},
		{"the feed has an index", `CREATE INDEX revocations_xid_idx ON SCHEMA.revocations USING btree (xid)`},
		{"scopes are checked", `[constraint revocations revocations_scope true CHECK ((scope = ANY (ARRAY['token'::text, 'session'::text, 'user'::text, 'issuer'::text, 'reserve'::text])))]`},
		{"ids are checked", `[constraint revocations revocations_id true CHECK (((id IS NULL) = (scope = ANY (ARRAY['issuer'::text, 'reserve'::text]))))]`},
		{"times are checked", `[constraint revocations revocations_finite true CHECK ((isfinite(since) AND isfinite(expires_at) AND isfinite(revoked_at)))]`},
		{"the trigger fires always", `[trigger revocations set_xid A false CREATE TRIGGER set_xid BEFORE INSERT OR UPDATE`},
		{"sessions leave room for refreshes", `[relation sessions r p false d {fillfactor=70,vacuum_truncate=off}`},
		{"a session has its key", `CREATE UNIQUE INDEX sessions_pkey ON SCHEMA.sessions USING btree (key)`},
		{"a user's sessions have an index", `CREATE INDEX sessions_user_key_idx ON SCHEMA.sessions USING btree (user_key)`},
		{"the sweep of sessions has an index", `CREATE INDEX sessions_expires_at_idx ON SCHEMA.sessions USING btree (expires_at)`},
		{"a session may be bound to a key", `[column sessions 14 cnf text false C `},
		{"row_key", `[function row_key `},
		{"set_xid", `[function set_xid `},
		{"schema_version", `[function schema_version `},
		{"epochs reads in the snapshot of the statement", `RETURNS text  LANGUAGE plpgsql  STABLE PARALLEL SAFE  SET row_security TO 'off'`},
		{"epochs is not for everyone", `$function$  {owner=X/owner} The epochs of a user`},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(made, row.want) {
				t.Errorf("there is no %s in\n%s", row.want, made)
			}
		})
	}
	t.Run("there is no other table", func(t *testing.T) {
		t.Parallel()
		if tables := regexp.MustCompile(`\[relation \w+ r `).FindAllString(made, -1); len(tables) != 2 {
			t.Errorf("tables: %q", tables)
		}
	})
}

// objects returns the names of all relations and functions outside of Postgres's own schemas and
// the given one, and of the schemas that hold them or nothing.
func objects(t *testing.T, pool *pgxpool.Pool, except string) []string {
	t.Helper()
	rows := testkit.Value(pool.Query(t.Context(), `
		WITH ours AS (SELECT oid, nspname FROM pg_namespace
		               WHERE nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema' AND nspname <> $1::text)
		SELECT 'schema ' || nspname FROM ours
		UNION ALL SELECT nspname || '.' || relname FROM pg_class JOIN ours ON ours.oid = relnamespace
		UNION ALL SELECT nspname || '.' || proname || '()' FROM pg_proc JOIN ours ON ours.oid = pronamespace
		ORDER BY 1`, except))(t)
	return testkit.Value(pgx.CollectRows(rows, pgx.RowTo[string]))(t)
}

// holdsReserve fails where the table has less than its reserve, also after VACUUM has looked for
// pages to give back and VACUUM FULL has written the table anew.
func holdsReserve(t *testing.T, pool *pgxpool.Pool, in string) {
	t.Helper()
	name := pgx.Identifier{in, "revocations"}.Sanitize()
	for _, vacuum := range []string{"VACUUM ", "VACUUM FULL "} {
		testkit.Exec(t, pool, vacuum+name)
		var pages, rows, reserve int64
		testkit.Must(t, pool.QueryRow(t.Context(), `SELECT relpages, (SELECT count(*) FROM `+name+`),
			(SELECT count(*) FROM `+name+` WHERE scope = 'reserve') FROM pg_class WHERE oid = $1::text::regclass`, name).
			Scan(&pages, &rows, &reserve))
		if pages < schema.ReservePages || rows != schema.ReserveRows || reserve != schema.ReserveRows {
			t.Errorf("after %s: %d pages, %d rows, %d of them of the reserve", vacuum, pages, rows, reserve)
		}
	}
}

// reference is what defaultCatalog returns, read once.
var reference struct {
	sync.Once
	lines []string
}

// defaultCatalog is the catalog that Up makes of an empty database, for the others to compare with.
func defaultCatalog(t *testing.T) []string {
	t.Helper()
	reference.Do(func() {
		reference.lines = catalog(t, pgserver.Pool(t, pgserver.Database(t)), migrations.DefaultSchema)
	})
	return reference.lines
}
