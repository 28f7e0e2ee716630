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
	"github.com/pgrevoke/revoke/migrations"
)

func TestLatestIsWhatTheLibraryNeeds(t *testing.T) {
	t.Parallel()
	if migrations.Latest != revoke.SchemaVersion {
		t.Errorf("Latest is %d, the library needs %d", migrations.Latest, revoke.SchemaVersion)
	}
	if migrations.DefaultSchema != revoke.DefaultSchema {
		t.Errorf("DefaultSchema is %q, the library's is %q", migrations.DefaultSchema, revoke.DefaultSchema)
	}
	pool := pgserver.Pool(t, pgserver.Database(t))
	var version int
	if err := pool.QueryRow(t.Context(), "SELECT revoke.schema_version()").Scan(&version); err != nil {
		t.Fatal(err)
	}
	if version != migrations.Latest {
		t.Errorf("schema_version() is %d, Latest is %d", version, migrations.Latest)
	}
}

// Each file must name its version, lead both ways, and follow on the one before.
func TestFilesAreComplete(t *testing.T) {
	t.Parallel()
	files, names := readFiles(t)
	if len(names) != migrations.Latest {
		t.Fatalf("%d files, Latest is %d", len(names), migrations.Latest)
	}
	for i, name := range names {
		if !regexp.MustCompile(fmt.Sprintf(`^%05d_[a-z0-9_]+\.sql$`, i+1)).MatchString(name) {
			t.Errorf("%s: not the name of version %d", name, i+1)
		}
		for _, annotation := range []string{"-- +goose Up\n", "-- +goose Down\n"} {
			if strings.Count(files[name], annotation) != 1 {
				t.Errorf("%s: %q stands there %d times, want once", name, annotation, strings.Count(files[name], annotation))
			}
		}
		if want := fmt.Sprintf("AS $$ SELECT %d $$;", i+1); !strings.Contains(files[name], want) {
			t.Errorf("%s: schema_version() does not %q", name, want)
		}
	}
}

// Each mention of the schema in front of a name must give way, and nothing else in the file may change.
func TestFilesNameTheSchema(t *testing.T) {
	t.Parallel()
	original, names := readFiles(t)
	renamed, _ := readFiles(t, migrations.WithSchema("order"))
	for _, name := range names {
		before := strings.Split(original[name], "\n")
		after := strings.Split(renamed[name], "\n")
		if len(before) != len(after) {
			t.Fatalf("%s: %d lines became %d", name, len(before), len(after))
		}
		for i, line := range after {
			if !strings.HasPrefix(line, "--") && regexp.MustCompile(`\brevoke\b`).MatchString(line) {
				t.Errorf("%s:%d: the schema is left: %s", name, i+1, line)
			}
			// In a string, such as a comment on a table, the name would be replaced as well.
			if regexp.MustCompile(`'[^']*\brevoke\.[^']*'`).MatchString(before[i]) && !strings.HasPrefix(line, "--") {
				t.Errorf("%s:%d: the schema in a string: %s", name, i+1, before[i])
			}
			back := strings.ReplaceAll(line, `"order".`, "revoke.")
			if back != strings.ReplaceAll(before[i], `"revoke".`, "revoke.") {
				t.Errorf("%s:%d: more than the schema changed: %s", name, i+1, line)
			}
		}
	}
}

// A tool that reads goose's format can run the files, with its own table of versions.
func TestFilesRunUnderGoose(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"revoke", "order"} {
		files, err := migrations.Files(migrations.WithSchema(schema))
		if err != nil {
			t.Fatal(err)
		}
		if err := fstest.TestFS(files, "00001_revocations.sql"); err != nil {
			t.Error(err)
		}
		pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
		if _, err := pool.Exec(t.Context(), `CREATE SCHEMA "`+schema+`"`); err != nil {
			t.Fatal(err)
		}
		db := stdlib.OpenDBFromPool(pool)
		defer db.Close()
		provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := provider.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		sameCatalog(t, catalog(t, pool, schema), defaultCatalog(t))
	}
}

// The script that SQL returns is for tools that know nothing of goose: one string, sent at once.
func TestSQLMakesTheSameCatalog(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"revoke", "order"} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
			run := func(from, to int64) {
				t.Helper()
				script, err := migrations.SQL(from, to, migrations.WithSchema(schema))
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(script, "+goose") {
					t.Errorf("an annotation is left in\n%s", script)
				}
				conn, err := pool.Acquire(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Release()
				if _, err := conn.Conn().PgConn().Exec(t.Context(), script).ReadAll(); err != nil {
					t.Fatal(err)
				}
			}
			run(0, migrations.Latest)
			sameCatalog(t, catalog(t, pool, schema), defaultCatalog(t))
			holdsReserve(t, pool, schema)
			run(migrations.Latest, 0)
			if left := catalog(t, pool, schema); len(left) > 0 {
				t.Errorf("left after the way down: %q", left)
			}
			for version := range int64(migrations.Latest) { // step by step it is the same
				run(version, version+1)
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
	for _, r := range [][2]int64{{0, 0}, {migrations.Latest, migrations.Latest}, {-1, 1}, {1, -1}, {0, migrations.Latest + 1}, {migrations.Latest + 1, 0}} {
		script, err := migrations.SQL(r[0], r[1])
		if err == nil || script != "" || !strings.HasPrefix(err.Error(), "migrations: SQL: ") {
			t.Errorf("SQL(%d, %d) returned %q and %v", r[0], r[1], script, err)
		}
	}
}

func TestInvalidSchemasAreRefused(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	for _, name := range []string{"", "Revoke", "a b", `a"b`, "a.b", "a;b", "a\n", "1a", "ä", strings.Repeat("a", 64)} {
		option := migrations.WithSchema(name)
		calls := map[string]func(context.Context) error{
			"Up":      func(ctx context.Context) error { return migrations.Up(ctx, pool, option) },
			"Down":    func(ctx context.Context) error { return migrations.Down(ctx, pool, option) },
			"Status":  func(ctx context.Context) error { _, err := migrations.Status(ctx, pool, option); return err },
			"Version": func(ctx context.Context) error { _, err := migrations.Version(ctx, pool, option); return err },
			"Files":   func(context.Context) error { _, err := migrations.Files(option); return err },
			"SQL":     func(context.Context) error { _, err := migrations.SQL(0, 1, option); return err },
		}
		for call, fn := range calls {
			err := fn(t.Context())
			if err == nil || !strings.HasPrefix(err.Error(), "migrations: ") || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
				t.Errorf("%s with schema %q: %v", call, name, err)
			}
		}
	}
	if got := objects(t, pool, ""); !slices.Equal(got, []string{"schema public"}) {
		t.Errorf("made all the same: %q", got)
	}
}

// readFiles returns the files by name, and the names in order.
func readFiles(t *testing.T, opts ...migrations.Option) (files map[string]string, names []string) {
	t.Helper()
	fsys, err := migrations.Files(opts...)
	if err != nil {
		t.Fatal(err)
	}
	if names, err = fs.Glob(fsys, "*.sql"); err != nil {
		t.Fatal(err)
	}
	files = make(map[string]string)
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	return files, names
}

// defaultCatalog is what Up makes of an empty database, for the others to compare with.
func defaultCatalog(t *testing.T) []string {
	t.Helper()
	return catalog(t, pgserver.Pool(t, pgserver.Database(t)), migrations.DefaultSchema)
}
