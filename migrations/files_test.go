package migrations_test

import (
	"context"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
)

// schemas are the default one and a word that SQL keeps for itself.
var schemas = []string{migrations.DefaultSchema, "order"}

func TestLatestIsWhatTheLibraryNeeds(t *testing.T) {
	t.Parallel()
	if migrations.DefaultSchema != revoke.DefaultSchema {
		t.Errorf("DefaultSchema is %q, the library's is %q", migrations.DefaultSchema, revoke.DefaultSchema)
	}
	pool := pgserver.Pool(t, pgserver.Database(t))
	if version := testkit.QueryOne[int64](t, pool, "SELECT revoke.schema_version()"); version != migrations.Latest {
		t.Errorf("schema_version() is %d, Latest is %d", version, migrations.Latest)
	}
}

// TestFilesAreComplete demands that each file names its version, leads both ways, and follows on
// the one before.
func TestFilesAreComplete(t *testing.T) {
	t.Parallel()
	files, names := readFiles(t)
	list := versions(t)
	if last := list[len(list)-1]; last != migrations.Latest {
		t.Fatalf("the last file is %d, Latest is %d", last, migrations.Latest)
	}
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !regexp.MustCompile(`^20\d{12}_[a-z0-9_]+\.sql$`).MatchString(name) {
				t.Error("its number is no timestamp")
			}
			for _, annotation := range []string{"-- +goose Up\n", "-- +goose Down\n"} {
				if n := strings.Count(files[name], annotation); n != 1 {
					t.Errorf("%q stands there %d times, want once", annotation, n)
				}
			}
			if want := fmt.Sprintf("AS $$ SELECT %d $$;", list[i]); !strings.Contains(files[name], want) {
				t.Errorf("schema_version() does not %q", want)
			}
		})
	}
}

// TestFilesNameTheSchema demands that each mention of the schema in front of a name gives way, and
// that nothing else in the file changes.
func TestFilesNameTheSchema(t *testing.T) {
	t.Parallel()
	original, names := readFiles(t)
	renamed, _ := readFiles(t, migrations.WithSchema("order"))
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := strings.Split(original[name], "\n")
			after := strings.Split(renamed[name], "\n")
			if len(before) != len(after) {
				t.Fatalf("%d lines became %d", len(before), len(after))
			}
			for i, line := range after {
				if !strings.HasPrefix(line, "--") && regexp.MustCompile(`\brevoke\b`).MatchString(line) {
					t.Errorf("line %d: the schema is left: %s", i+1, line)
				}
				// In a string, such as a comment on a table, the name would be replaced as well.
				if regexp.MustCompile(`'[^']*\brevoke\.[^']*'`).MatchString(before[i]) && !strings.HasPrefix(line, "--") {
					t.Errorf("line %d: the schema in a string: %s", i+1, before[i])
				}
				back := strings.ReplaceAll(line, `"order".`, "revoke.")
				if back != strings.ReplaceAll(before[i], `"revoke".`, "revoke.") {
					t.Errorf("line %d: more than the schema changed: %s", i+1, line)
				}
			}
		})
	}
}

// TestFilesRunUnderGoose has a tool that reads goose's format run the files, with its own table of
// versions.
func TestFilesRunUnderGoose(t *testing.T) {
	t.Parallel()
	for _, schema := range schemas {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			files := testkit.Value(migrations.Files(migrations.WithSchema(schema)))(t)
			testkit.Must(t, fstest.TestFS(files, "20261126000001_revocations.sql"))
			pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
			testkit.Exec(t, pool, `CREATE SCHEMA "`+schema+`"`)
			db := stdlib.OpenDBFromPool(pool)
			defer db.Close()
			provider := testkit.Value(goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true)))(t)
			testkit.Value(provider.Up(t.Context()))(t)
			sameCatalog(t, catalog(t, pool, schema), defaultCatalog(t))
		})
	}
}

// TestSQLMakesTheSameCatalog runs the script that SQL returns as a tool does that does not use
// goose: one string, sent at once.
func TestSQLMakesTheSameCatalog(t *testing.T) {
	t.Parallel()
	for _, schema := range schemas {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
			run := func(from, to int64) {
				t.Helper()
				script := testkit.Value(migrations.SQL(from, to, migrations.WithSchema(schema)))(t)
				if strings.Contains(script, "+goose") {
					t.Errorf("an annotation is left in\n%s", script)
				}
				conn := testkit.Value(pool.Acquire(t.Context()))(t)
				defer conn.Release()
				testkit.Value(conn.Conn().PgConn().Exec(t.Context(), script).ReadAll())(t)
			}
			run(0, migrations.Latest)
			sameCatalog(t, catalog(t, pool, schema), defaultCatalog(t))
			holdsReserve(t, pool, schema)
			run(migrations.Latest, 0)
			if left := catalog(t, pool, schema); len(left) > 0 {
				t.Errorf("left after the way down: %q", left)
			}
			from := int64(0)
			for _, version := range versions(t) { // step by step it is the same
				run(from, version)
				from = version
			}
			sameCatalog(t, catalog(t, pool, schema), defaultCatalog(t))
			if got := objects(t, pool, schema); !slices.Equal(got, []string{"schema public"}) {
				t.Errorf("elsewhere in the database: %q", got)
			}
		})
	}
}

func TestSQLRefusesRangesThatLeadNowhere(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		from, to int64
	}{
		{"nothing to nothing", 0, 0},
		{"the latest to itself", migrations.Latest, migrations.Latest},
		{"no version", 0, 1},
		{"from below nothing", -1, 1},
		{"to below nothing", 1, -1},
		{"to above the latest", 0, migrations.Latest + 1},
		{"from above the latest", migrations.Latest + 1, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			script, err := migrations.SQL(row.from, row.to)
			wantOperation(t, "SQL", err)
			if script != "" {
				t.Errorf("beside the error there is %q", script)
			}
		})
	}
}

// wantOperation expects an error on one line that names the operation.
func wantOperation(tb testing.TB, operation string, err error) {
	tb.Helper()
	if err == nil || !strings.HasPrefix(err.Error(), "migrations: "+operation+": ") || strings.Contains(err.Error(), "\n") {
		tb.Errorf("%s = %v, want one line that names it", operation, err)
	}
}

func TestInvalidSchemasAreRefused(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	for _, call := range []struct {
		name string
		call func(ctx context.Context, option migrations.Option) error
	}{
		{"Up", func(ctx context.Context, o migrations.Option) error { return migrations.Up(ctx, pool, o) }},
		{"Down", func(ctx context.Context, o migrations.Option) error { return migrations.Down(ctx, pool, o) }},
		{"Status", func(ctx context.Context, o migrations.Option) error {
			_, err := migrations.Status(ctx, pool, o)
			return err
		}},
		{"Version", func(ctx context.Context, o migrations.Option) error {
			_, err := migrations.Version(ctx, pool, o)
			return err
		}},
		{"Files", func(_ context.Context, o migrations.Option) error { _, err := migrations.Files(o); return err }},
		{"SQL", func(_ context.Context, o migrations.Option) error { _, err := migrations.SQL(0, 1, o); return err }},
	} {
		for _, name := range []string{"", "Revoke", "a b", `a"b`, "a.b", "a;b", "a\n", "1a", "ä", strings.Repeat("a", 64)} {
			t.Run(fmt.Sprintf("%s/%.10q", call.name, name), func(t *testing.T) {
				err := call.call(t.Context(), migrations.WithSchema(name))
				wantOperation(t, call.name, err)
				if err != nil && !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
					t.Errorf("%v, want the schema in it", err)
				}
			})
		}
	}
	if got := objects(t, pool, ""); !slices.Equal(got, []string{"schema public"}) {
		t.Errorf("made all the same: %q", got)
	}
}

// readFiles returns the files by name, and the names in order.
func readFiles(t *testing.T, opts ...migrations.Option) (files map[string]string, names []string) {
	t.Helper()
	fsys := testkit.Value(migrations.Files(opts...))(t)
	names = testkit.Value(fs.Glob(fsys, "*.sql"))(t)
	files = make(map[string]string)
	for _, name := range names {
		files[name] = string(testkit.Value(fs.ReadFile(fsys, name))(t))
	}
	return files, names
}
