package migrations_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
)

// runSQL makes the schema as a tool does that knows SQL alone.
func runSQL(t *testing.T, pool *pgxpool.Pool, schema string) {
	t.Helper()
	script := testkit.Value(migrations.SQL(0, migrations.Latest, migrations.WithSchema(schema)))(t)
	testkit.Exec(t, pool, script, pgx.QueryExecModeSimpleProtocol)
}

// runGoose makes the schema as the app's own goose does, with its table of versions in public.
func runGoose(t *testing.T, pool *pgxpool.Pool, schema string) {
	t.Helper()
	testkit.Exec(t, pool, `CREATE SCHEMA "`+schema+`"`)
	files := testkit.Value(migrations.Files(migrations.WithSchema(schema)))(t)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { testkit.Must(t, db.Close()) })
	provider := testkit.Value(goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true)))(t)
	_, err := provider.Up(t.Context())
	testkit.Must(t, err)
}

// restoreSchema leaves what a dump without data restores.
func restoreSchema(t *testing.T, pool *pgxpool.Pool, schema string) {
	t.Helper()
	testkit.Must(t, migrations.Up(t.Context(), pool, migrations.WithSchema(schema)))
	testkit.Exec(t, pool, `TRUNCATE "`+schema+`".revocations, "`+schema+`".`+migrations.VersionTable)
}

// restoreData leaves what a restore of the data with its triggers off leaves where it ended early.
func restoreData(t *testing.T, pool *pgxpool.Pool, schema string) {
	t.Helper()
	testkit.Must(t, migrations.Up(t.Context(), pool, migrations.WithSchema(schema)))
	testkit.Exec(t, pool, `ALTER TABLE "`+schema+`".revocations DISABLE TRIGGER ALL`)
}

func TestUpAdopts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		make func(*testing.T, *pgxpool.Pool, string)
	}{
		{"a schema made by SQL", runSQL},
		{"a schema made by the app's goose", runGoose},
		{"a dump without data", restoreSchema},
		{"a restore with its triggers off", restoreData},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, schema := range []string{"revoke", "order"} {
				option := migrations.WithSchema(schema)
				pool := pgserver.Pool(t, pgserver.EmptyDatabase(t), oneConnection)
				test.make(t, pool, schema)
				wantVersion(t, pool, migrations.Latest, option)
				if status := testkit.Value(migrations.Status(t.Context(), pool, option))(t); !status[0].Applied {
					t.Errorf("Status = %+v", status)
				}
				for range 2 {
					testkit.Must(t, migrations.Up(t.Context(), pool, option))
				}
				noted := testkit.QueryOne[[]int64](t, pool, `SELECT array_agg(version ORDER BY version) FROM "`+schema+`".`+migrations.VersionTable)
				if !slices.Equal(noted, versions(t)) {
					t.Errorf("the table of versions holds %d", noted)
				}
				wantNoFindings(t, pool, option)
				sameCatalog(t, catalog(t, pool, schema), defaultCatalog(t))
				holdsReserve(t, pool, schema)
			}
		})
	}
}

// TestDownOfAnAdoptedSchema takes back what Up has not made.
func TestDownOfAnAdoptedSchema(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t), oneConnection)
	runSQL(t, pool, "revoke")
	downAll(t, pool)
	wantVersion(t, pool, 0)
	if left := catalog(t, pool, "revoke"); len(left) > 0 {
		t.Errorf("left after the way down: %q", left)
	}
}

// TestUpRefusesHalfASchema names what is missing, and touches nothing. The remedy leads to a
// schema.
func TestUpRefusesHalfASchema(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, damage string
		missing      []string
	}{
		{"no table", "DROP TABLE revoke.revocations", []string{"table revocations"}},
		{"no row_key", "DROP FUNCTION revoke.row_key", []string{"function row_key(text, text, text)"}},
		{"no schema_version", "DROP FUNCTION revoke.schema_version", []string{"function schema_version()"}},
		{
			"no schema_version and no table of versions",
			"DROP FUNCTION revoke.schema_version; DROP TABLE revoke." + migrations.VersionTable, []string{"function schema_version()"},
		},
		{"no trigger function", "DROP FUNCTION revoke.set_xid CASCADE", []string{"function set_xid()"}},
		{"no column", "ALTER TABLE revoke.revocations DROP COLUMN actor", []string{"column actor"}},
		{
			"the table of versions alone",
			"DROP TABLE revoke.revocations; DROP FUNCTION revoke.row_key, revoke.set_xid, revoke.schema_version",
			[]string{"table revocations", "function set_xid()"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			pool := pgserver.Pool(t, pgserver.Database(t), oneConnection)
			testkit.Exec(t, pool, test.damage, pgx.QueryExecModeSimpleProtocol)
			before := catalog(t, pool, "revoke")
			err := migrations.Up(t.Context(), pool)
			if err == nil || strings.Contains(err.Error(), "already exists") || strings.Contains(err.Error(), "\n") {
				t.Fatalf("Up = %v", err)
			}
			for _, missing := range test.missing {
				if !strings.Contains(err.Error(), missing+": it is missing") {
					t.Errorf("Up does not name %q: %v", missing, err)
				}
			}
			if after := catalog(t, pool, "revoke"); strings.Join(after, "\n") != strings.Join(before, "\n") {
				t.Errorf("Up changed %q to %q", before, after)
			}
			_, remedy, _ := strings.Cut(err.Error(), "begin without any revocation: ")
			remedy, _, found := strings.Cut(remedy, "; and call migrations.Up")
			if !found {
				t.Fatalf("no remedy in %v", err)
			}
			testkit.Exec(t, pool, remedy, pgx.QueryExecModeSimpleProtocol)
			testkit.Must(t, migrations.Up(t.Context(), pool))
			wantNoFindings(t, pool)
		})
	}
}

// TestBesideTablesOfOtherTools shares a schema with the tables of versions that other tools keep.
func TestBesideTablesOfOtherTools(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t), oneConnection)
	testkit.Exec(t, pool, `CREATE TABLE schema_migrations (version varchar PRIMARY KEY);
		INSERT INTO schema_migrations VALUES ('20990101000000');
		CREATE TABLE goose_db_version (id int, version_id bigint, is_applied boolean);
		INSERT INTO goose_db_version VALUES (1, 20990101000000, true)`, pgx.QueryExecModeSimpleProtocol)
	option := migrations.WithSchema("public")
	wantVersion(t, pool, 0, option)
	testkit.Must(t, migrations.Up(t.Context(), pool, option))
	wantVersion(t, pool, migrations.Latest, option)
	testkit.Must(t, migrations.Down(t.Context(), pool, option))
	rows := testkit.QueryOne[int](t, pool, "SELECT (SELECT count(*) FROM schema_migrations) + (SELECT count(*) FROM goose_db_version)")
	if rows != 2 {
		t.Errorf("the tables of other tools have %d rows", rows)
	}
}
