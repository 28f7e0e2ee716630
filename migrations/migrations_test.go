package migrations_test

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
)

func TestMain(m *testing.M) { pgserver.Main(m) }

func oneConnection(c *pgxpool.Config) { c.MaxConns = 1 }

func wantVersion(t *testing.T, pool *pgxpool.Pool, want int64, opts ...migrations.Option) {
	t.Helper()
	if got := testkit.Value(migrations.Version(t.Context(), pool, opts...))(t); got != want {
		t.Errorf("Version = %d, want %d", got, want)
	}
}

func TestStatusAndVersionOnlyLook(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t), oneConnection)
	down := func() {
		for range versions(t) {
			testkit.Must(t, migrations.Down(t.Context(), pool))
		}
	}
	for _, row := range []struct {
		name    string
		prepare func()
		applied bool
		objects []string // outside of the schema, and its own name where nothing else is looked at
	}{
		{"an empty database", func() {}, false, []string{"schema public"}},
		{"an empty schema", func() { testkit.Exec(t, pool, "CREATE SCHEMA revoke") }, false, []string{"schema public", "schema revoke"}},
		{"after Up", func() { testkit.Must(t, migrations.Up(t.Context(), pool)) }, true, nil},
		{"after Down", down, false, nil},
	} {
		row.prepare()
		before := objects(t, pool, "")
		t.Run(row.name, func(t *testing.T) {
			status := testkit.Value(migrations.Status(t.Context(), pool))(t)
			if len(status) != len(versions(t)) {
				t.Fatalf("Status = %+v, want %d entries", status, len(versions(t)))
			}
			for i, m := range status {
				if m.Version != versions(t)[i] || m.Applied != row.applied || m.Name == "" {
					t.Errorf("entry %d is %+v, want applied: %v", i, m, row.applied)
				}
			}
			version := int64(0)
			if row.applied {
				version = migrations.Latest
			}
			wantVersion(t, pool, version)
			after := objects(t, pool, "")
			if !slices.Equal(after, before) || row.objects != nil && !slices.Equal(after, row.objects) {
				t.Errorf("there was %q and is %q", before, after)
			}
		})
	}
}

// TestDownAndUpLeadBack takes all migrations back and applies them again. Between, the schema holds
// the table of versions only.
func TestDownAndUpLeadBack(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t))
	want := catalog(t, pool, "revoke")
	for _, version := range slices.Backward(append([]int64{0}, versions(t)...)[:len(versions(t))]) {
		testkit.Must(t, migrations.Down(t.Context(), pool))
		wantVersion(t, pool, version)
	}
	if left := catalog(t, pool, "revoke"); len(left) > 0 {
		t.Errorf("left after the way down: %q", left)
	}
	testkit.Must(t, migrations.Up(t.Context(), pool))
	wantVersion(t, pool, migrations.Latest)
	sameCatalog(t, catalog(t, pool, "revoke"), want)
	holdsReserve(t, pool, "revoke")
	if got := objects(t, pool, "revoke"); !slices.Equal(got, []string{"schema public"}) {
		t.Errorf("elsewhere in the database: %q", got)
	}
}

func TestDownMakesNothing(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	testkit.Must(t, migrations.Down(t.Context(), pool))
	if got := objects(t, pool, ""); !slices.Equal(got, []string{"schema public"}) {
		t.Errorf("Down on an empty database made %q", got)
	}
}

func TestUpIsRepeatable(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t))
	want := catalog(t, pool, "revoke")
	for range 3 {
		testkit.Must(t, migrations.Up(t.Context(), pool))
	}
	sameCatalog(t, catalog(t, pool, "revoke"), want)
}

// TestOtherSchemas has words of the language as names. Each schema stands alone.
func TestOtherSchemas(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"order", "user", "select", "table", "public", "_", "a1", "revoke2", strings.Repeat("x", 63)} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
			option := migrations.WithSchema(schema)
			for range 2 {
				testkit.Must(t, migrations.Up(t.Context(), pool, option))
			}
			wantVersion(t, pool, migrations.Latest, option)
			wantVersion(t, pool, 0, migrations.WithSchema("elsewhere"))
			sameCatalog(t, catalog(t, pool, schema), defaultCatalog(t))
			holdsReserve(t, pool, schema)
			want := []string{"schema public"}
			if schema == "public" {
				want = nil
			}
			if got := objects(t, pool, schema); !slices.Equal(got, want) {
				t.Errorf("elsewhere in the database: %q", got)
			}
			for range versions(t) {
				testkit.Must(t, migrations.Down(t.Context(), pool, option))
			}
			if left := catalog(t, pool, schema); len(left) > 0 {
				t.Errorf("left after the way down: %q", left)
			}
		})
	}
}

func TestTwoSchemasInOneDatabase(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t))
	testkit.Must(t, migrations.Up(t.Context(), pool, migrations.WithSchema("second")))
	downAll(t, pool)
	wantVersion(t, pool, 0)
	wantVersion(t, pool, migrations.Latest, migrations.WithSchema("second"))
	sameCatalog(t, catalog(t, pool, "second"), defaultCatalog(t))
}

// TestEveryQueryMode has a pool of one connection that uses each of pgx's protocols, as a pooler in
// session mode may demand.
func TestEveryQueryMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			address := pgserver.EmptyDatabase(t)
			pool := pgserver.Pool(t, address, oneConnection, testkit.WithMode(mode))
			wantVersion(t, pool, 0)
			for range 2 {
				testkit.Must(t, migrations.Up(t.Context(), pool))
				wantVersion(t, pool, migrations.Latest)
				downAll(t, pool)
				wantVersion(t, pool, 0)
			}
			testkit.Must(t, migrations.Up(t.Context(), pool))
			if status := testkit.Value(migrations.Status(t.Context(), pool))(t); !status[0].Applied {
				t.Errorf("Status = %+v", status)
			}
			sameCatalog(t, catalog(t, pgserver.Pool(t, address), "revoke"), defaultCatalog(t))
			if n := pool.Stat().AcquiredConns(); n != 0 {
				t.Errorf("%d connections were not given back", n)
			}
		})
	}
}

// TestRoleWithoutCreateOnTheDatabase has a role that may not make a schema: where the schema exists
// it needs no such right, and where it does not the error says so.
func TestRoleWithoutCreateOnTheDatabase(t *testing.T) {
	t.Parallel()
	address := pgserver.EmptyDatabase(t)
	admin := pgserver.Pool(t, address)
	// A role that every server has, so that none needs to be made and dropped.
	const role = "pg_monitor"
	pool := pgserver.Pool(t, address, oneConnection, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["role"] = role })
	err := migrations.Up(t.Context(), pool)
	wantOperation(t, "Up", err)
	if err != nil && !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("without the schema Up = %v", err)
	}
	if got := objects(t, admin, ""); !slices.Equal(got, []string{"schema public"}) {
		t.Errorf("it made %q", got)
	}
	testkit.Exec(t, admin, "CREATE SCHEMA revoke AUTHORIZATION "+role)
	testkit.Must(t, migrations.Up(t.Context(), pool))
	sameCatalog(t, catalog(t, admin, "revoke"), defaultCatalog(t))
}

// TestOtherEncodingsAreRefused has a database that could not store every identifier.
func TestOtherEncodingsAreRefused(t *testing.T) {
	t.Parallel()
	admin := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	name := "latin1_" + strings.ToLower(rand.Text())
	testkit.Exec(t, admin, "CREATE DATABASE "+name+" ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
	config := admin.Config()
	config.ConnConfig.Database = name
	pool := testkit.Value(pgxpool.NewWithConfig(t.Context(), config))(t)
	t.Cleanup(func() {
		pool.Close()
		if _, err := admin.Exec(context.WithoutCancel(t.Context()), "DROP DATABASE "+name); err != nil {
			t.Error(err)
		}
	})
	err := migrations.Up(t.Context(), pool)
	wantOperation(t, "Up", err)
	if err != nil && !strings.Contains(err.Error(), "encoding of this database is LATIN1") {
		t.Errorf("Up = %v", err)
	}
}

// TestUpLeavesANewerSchemaAlone has an older program run beside a newer one.
func TestUpLeavesANewerSchemaAlone(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t))
	want := catalog(t, pool, "revoke")
	table := pgx.Identifier{"revoke", migrations.VersionTable}.Sanitize()
	testkit.Exec(t, pool, "INSERT INTO "+table+" (version) VALUES ($1)", migrations.Latest+1)
	testkit.Must(t, migrations.Up(t.Context(), pool))
	wantVersion(t, pool, migrations.Latest+1)
	if err := migrations.Down(t.Context(), pool); err == nil {
		t.Error("Down took back a version that it does not know")
	}
	sameCatalog(t, catalog(t, pool, "revoke"), want)
}

func TestErrorsNameTheOperation(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	for _, call := range []struct {
		name string
		call func(*pgxpool.Pool) error
	}{
		{"Up", func(p *pgxpool.Pool) error { return migrations.Up(ended, p) }},
		{"Down", func(p *pgxpool.Pool) error { return migrations.Down(ended, p) }},
		{"Status", func(p *pgxpool.Pool) error { _, err := migrations.Status(ended, p); return err }},
		{"Version", func(p *pgxpool.Pool) error { _, err := migrations.Version(ended, p); return err }},
	} {
		t.Run(call.name+"/no pool", func(t *testing.T) {
			t.Parallel()
			wantOperation(t, call.name, call.call(nil))
		})
		t.Run(call.name+"/ctx has ended", func(t *testing.T) {
			t.Parallel()
			wantOperation(t, call.name, call.call(pool))
		})
	}
	t.Run("Up/a nil option", func(t *testing.T) {
		t.Parallel()
		wantOperation(t, "Up", migrations.Up(t.Context(), pool, nil))
	})
}
