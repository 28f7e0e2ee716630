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
	"github.com/pgrevoke/revoke/migrations"
)

func TestMain(m *testing.M) { pgserver.Main(m) }

func oneConnection(c *pgxpool.Config) { c.MaxConns = 1 }

func wantVersion(t *testing.T, pool *pgxpool.Pool, want int64, opts ...migrations.Option) {
	t.Helper()
	got, err := migrations.Version(t.Context(), pool, opts...)
	if err != nil || got != want {
		t.Errorf("Version returned %d and %v, want %d", got, err, want)
	}
}

func TestStatusAndVersionOnlyLook(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t), oneConnection)
	look := func(applied bool) {
		t.Helper()
		status, err := migrations.Status(t.Context(), pool)
		if err != nil || len(status) != migrations.Latest {
			t.Fatalf("Status returned %+v and %v, want %d entries", status, err, migrations.Latest)
		}
		for i, m := range status {
			if m.Version != int64(i+1) || m.Applied != applied || m.Name == "" {
				t.Errorf("entry %d is %+v, want applied: %v", i, m, applied)
			}
		}
		if applied {
			wantVersion(t, pool, migrations.Latest)
		} else {
			wantVersion(t, pool, 0)
		}
	}

	look(false)
	if got := objects(t, pool, ""); !slices.Equal(got, []string{"schema public"}) {
		t.Errorf("looking made %q", got)
	}
	if _, err := pool.Exec(t.Context(), "CREATE SCHEMA revoke"); err != nil {
		t.Fatal(err)
	}
	look(false)
	if got := objects(t, pool, ""); !slices.Equal(got, []string{"schema public", "schema revoke"}) {
		t.Errorf("looking made %q", got)
	}
	if err := migrations.Up(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	look(true)
	for range migrations.Latest {
		if err := migrations.Down(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
	}
	look(false)
}

// Whoever goes down and up again has what they had. Between them, the schema holds the table of versions only.
func TestDownAndUpLeadBack(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t))
	want := catalog(t, pool, "revoke")
	for version := int64(migrations.Latest - 1); version >= 0; version-- {
		if err := migrations.Down(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
		wantVersion(t, pool, version)
	}
	if left := catalog(t, pool, "revoke"); len(left) > 0 {
		t.Errorf("left after the way down: %q", left)
	}
	if err := migrations.Up(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
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
	if err := migrations.Down(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if got := objects(t, pool, ""); !slices.Equal(got, []string{"schema public"}) {
		t.Errorf("Down on an empty database made %q", got)
	}
}

func TestUpIsRepeatable(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t))
	want := catalog(t, pool, "revoke")
	for range 3 {
		if err := migrations.Up(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
	}
	sameCatalog(t, catalog(t, pool, "revoke"), want)
}

// Words of the language are schemas like any other, and each stands alone.
func TestOtherSchemas(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"order", "user", "select", "table", "public", "_", "a1", "revoke2", strings.Repeat("x", 63)} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
			option := migrations.WithSchema(schema)
			for range 2 {
				if err := migrations.Up(t.Context(), pool, option); err != nil {
					t.Fatal(err)
				}
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
			for range migrations.Latest {
				if err := migrations.Down(t.Context(), pool, option); err != nil {
					t.Fatal(err)
				}
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
	if err := migrations.Up(t.Context(), pool, migrations.WithSchema("second")); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Down(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	wantVersion(t, pool, migrations.Latest-1)
	wantVersion(t, pool, migrations.Latest, migrations.WithSchema("second"))
	sameCatalog(t, catalog(t, pool, "second"), defaultCatalog(t))
}

// A pool may be one connection wide and speak any of pgx's protocols, as a pooler in session mode may demand.
func TestEveryQueryMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			address := pgserver.EmptyDatabase(t)
			pool := pgserver.Pool(t, address, oneConnection, func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = mode })
			wantVersion(t, pool, 0)
			for range 2 {
				if err := migrations.Up(t.Context(), pool); err != nil {
					t.Fatal(err)
				}
				wantVersion(t, pool, migrations.Latest)
				if err := migrations.Down(t.Context(), pool); err != nil {
					t.Fatal(err)
				}
				wantVersion(t, pool, migrations.Latest-1)
			}
			if err := migrations.Up(t.Context(), pool); err != nil {
				t.Fatal(err)
			}
			status, err := migrations.Status(t.Context(), pool)
			if err != nil || !status[0].Applied {
				t.Errorf("Status returned %+v and %v", status, err)
			}
			sameCatalog(t, catalog(t, pgserver.Pool(t, address), "revoke"), defaultCatalog(t))
			if n := pool.Stat().AcquiredConns(); n != 0 {
				t.Errorf("%d connections were not given back", n)
			}
		})
	}
}

// Where the schema is there, its role needs no right to make one; where it is not, the answer says so.
func TestRoleWithoutCreateOnTheDatabase(t *testing.T) {
	t.Parallel()
	address := pgserver.EmptyDatabase(t)
	admin := pgserver.Pool(t, address)
	// A role that every server has, so that none needs to be made and dropped.
	const role = "pg_monitor"
	pool := pgserver.Pool(t, address, oneConnection, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["role"] = role })
	err := migrations.Up(t.Context(), pool)
	if err == nil || !strings.HasPrefix(err.Error(), "migrations: Up: ") || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("without the schema, Up returned %v", err)
	}
	if got := objects(t, admin, ""); !slices.Equal(got, []string{"schema public"}) {
		t.Errorf("it made %q", got)
	}
	if _, err := admin.Exec(t.Context(), "CREATE SCHEMA revoke AUTHORIZATION "+role); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Up(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	sameCatalog(t, catalog(t, admin, "revoke"), defaultCatalog(t))
}

// Identifiers are UTF-8. In another encoding they could not all be stored.
func TestOtherEncodingsAreRefused(t *testing.T) {
	t.Parallel()
	admin := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	name := "latin1_" + strings.ToLower(rand.Text())
	if _, err := admin.Exec(t.Context(), "CREATE DATABASE "+name+" ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	config := admin.Config()
	config.ConnConfig.Database = name
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pool.Close()
		if _, err := admin.Exec(context.WithoutCancel(t.Context()), "DROP DATABASE "+name); err != nil {
			t.Error(err)
		}
	})
	if err := migrations.Up(t.Context(), pool); err == nil || !strings.Contains(err.Error(), "encoding of this database is LATIN1") {
		t.Errorf("Up = %v", err)
	}
}

// An older program beside a newer one leaves the newer schema alone.
func TestUpLeavesANewerSchemaAlone(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t))
	want := catalog(t, pool, "revoke")
	table := pgx.Identifier{"revoke", migrations.VersionTable}.Sanitize()
	_, err := pool.Exec(t.Context(), "INSERT INTO "+table+" (version_id, is_applied) VALUES ($1, true)", migrations.Latest+1)
	if err != nil {
		t.Fatal(err)
	}
	if err := migrations.Up(t.Context(), pool); err != nil {
		t.Errorf("Up: %v", err)
	}
	wantVersion(t, pool, migrations.Latest+1)
	if err := migrations.Down(t.Context(), pool); err == nil {
		t.Error("Down took back a version that it does not know")
	}
	sameCatalog(t, catalog(t, pool, "revoke"), want)
}

func TestErrorsNameTheOperation(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	for _, p := range []*pgxpool.Pool{nil, pool} {
		if err := migrations.Up(ctx, p); err == nil || !strings.HasPrefix(err.Error(), "migrations: Up: ") {
			t.Errorf("Up returned %v", err)
		}
		if err := migrations.Down(ctx, p); err == nil || !strings.HasPrefix(err.Error(), "migrations: Down: ") {
			t.Errorf("Down returned %v", err)
		}
		if _, err := migrations.Status(ctx, p); err == nil || !strings.HasPrefix(err.Error(), "migrations: Status: ") {
			t.Errorf("Status returned %v", err)
		}
		if _, err := migrations.Version(ctx, p); err == nil || !strings.HasPrefix(err.Error(), "migrations: Version: ") {
			t.Errorf("Version returned %v", err)
		}
	}
	if err := migrations.Up(t.Context(), pool, nil); err == nil {
		t.Error("an option that is nil was taken")
	}
}
