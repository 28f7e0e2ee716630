package migrations_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/migrations"
)

// catalogQueries tell all that a migration can make in the schema $1, apart from the table of versions $2.
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
	`SELECT 'function', p.proname, pg_get_functiondef(p.oid), p.proacl::text, obj_description(p.oid, 'pg_proc')
	   FROM pg_proc p WHERE p.pronamespace = $1::text::regnamespace`,
}

// catalog returns what the migrations made in the schema, one thing a line, with the schema's own name left out.
func catalog(t *testing.T, pool *pgxpool.Pool, schema string) []string {
	t.Helper()
	tx, err := pool.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	// Else a schema on the path, such as public, goes unnamed in the definitions.
	if _, err := tx.Exec(context.Background(), "SET LOCAL search_path = ''"); err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`(?:"` + schema + `"|\b` + schema + `)\.`)
	var lines []string
	for _, query := range catalogQueries {
		args := []any{`"` + schema + `"`}
		if strings.Contains(query, "$2") {
			args = append(args, migrations.VersionTable)
		}
		rows, err := tx.Query(context.Background(), query+" ORDER BY 1, 2, 3, 4", args...)
		if err != nil {
			t.Fatal(err)
		}
		read, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
			values, err := row.Values()
			line := strings.ReplaceAll(fmt.Sprintf("%v", values), "\n", " ")
			return name.ReplaceAllString(line, "SCHEMA."), err
		})
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, read...)
	}
	return lines
}

// sameCatalog fails where two catalogs differ, and says in which lines.
func sameCatalog(t *testing.T, got, want []string) {
	t.Helper()
	if len(want) < 40 {
		t.Errorf("a catalog of %d lines: too few to prove anything", len(want))
	}
	in := func(lines []string) map[string]bool {
		set := make(map[string]bool)
		for _, line := range lines {
			set[line] = true
		}
		return set
	}
	gotSet, wantSet := in(got), in(want)
	for _, line := range got {
		if !wantSet[line] {
			t.Errorf("surplus: %s", line)
		}
	}
	for _, line := range want {
		if !gotSet[line] {
			t.Errorf("missing: %s", line)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d lines, want %d", len(got), len(want))
	}
}

// objects returns the names of all relations and functions outside of Postgres's own schemas and the given one, and of
// the schemas that hold them or nothing.
func objects(t *testing.T, pool *pgxpool.Pool, except string) []string {
	t.Helper()
	rows, err := pool.Query(context.Background(), `
		WITH ours AS (SELECT oid, nspname FROM pg_namespace
		               WHERE nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema' AND nspname <> $1::text)
		SELECT 'schema ' || nspname FROM ours
		UNION ALL SELECT nspname || '.' || relname FROM pg_class JOIN ours ON ours.oid = relnamespace
		UNION ALL SELECT nspname || '.' || proname || '()' FROM pg_proc JOIN ours ON ours.oid = pronamespace
		ORDER BY 1`, except)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// holdsReserve fails where a table has less than its reserve of pages after a vacuum, which could have given them back.
func holdsReserve(t *testing.T, pool *pgxpool.Pool, schema string) {
	t.Helper()
	for _, table := range []string{"revoked_tokens", "user_epochs", "sessions"} {
		name := pgx.Identifier{schema, table}.Sanitize()
		if _, err := pool.Exec(context.Background(), "VACUUM "+name); err != nil {
			t.Fatal(err)
		}
		var pages, rows int64
		err := pool.QueryRow(context.Background(), "SELECT relpages, (SELECT count(*) FROM "+name+
			") FROM pg_class WHERE oid = $1::text::regclass", name).Scan(&pages, &rows)
		if err != nil {
			t.Fatal(err)
		}
		if pages < 32 || rows != 0 {
			t.Errorf("%s has %d pages and %d rows, want at least 32 and none", name, pages, rows)
		}
	}
}
