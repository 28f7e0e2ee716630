package integration

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"testing"
	"testing/fstest"
	"time"

	"github.com/golang-migrate/migrate/v4"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/migrations"
)

// works uses the store once, so that a migration that was only half done shows.
func works(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	store, err := revoke.NewPostgres(pool)
	must(t, err)
	now := time.Now()
	token := revoke.Token{Issuer: issuer, ID: rand.Text(), Subject: "ada", IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
	must(t, store.Check(t.Context(), token))
	must(t, store.RevokeToken(t.Context(), token))
	if err := store.Check(t.Context(), token); !errors.Is(err, revoke.ErrRevoked) {
		t.Errorf("Check = %v", err)
	}
}

// migrator is golang-migrate over files, with its table of versions in public.
func migrator(t *testing.T, pool *pgxpool.Pool, files fstest.MapFS) *migrate.Migrate {
	t.Helper()
	source, err := iofs.New(files, ".")
	must(t, err)
	driver, err := migratepgx.WithInstance(stdlib.OpenDBFromPool(pool), &migratepgx.Config{})
	must(t, err)
	m, err := migrate.NewWithInstance("iofs", source, "pgx5", driver)
	must(t, err)
	return m
}

func closeMigrator(t *testing.T, m *migrate.Migrate) {
	t.Helper()
	sourceErr, databaseErr := m.Close()
	must(t, errors.Join(sourceErr, databaseErr))
}

// TestBesideGolangMigrate keeps two tools' tables of versions, of one name, apart.
func TestBesideGolangMigrate(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	app := migrator(t, pool, fstest.MapFS{
		"7_app.up.sql":   {Data: []byte("CREATE TABLE app (id int)")},
		"7_app.down.sql": {Data: []byte("DROP TABLE app")},
	})
	must(t, app.Up())
	must(t, migrations.Up(t.Context(), pool))
	version, dirty, err := app.Version()
	if err != nil || version != 7 || dirty {
		t.Errorf("the app is at version %d, dirty %v, %v", version, dirty, err)
	}
	if version, err := migrations.Version(t.Context(), pool); err != nil || version != migrations.Latest {
		t.Errorf("revoke is at version %d, %v", version, err)
	}
	works(t, pool)
	must(t, app.Down())
	closeMigrator(t, app)
	works(t, pgserver.Pool(t, pool.Config().ConnString()))
}

// TestThroughGolangMigrate hands our SQL to the app's tool.
func TestThroughGolangMigrate(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	up, err := migrations.SQL(0, migrations.Latest)
	must(t, err)
	down, err := migrations.SQL(migrations.Latest, 0)
	must(t, err)
	app := migrator(t, pool, fstest.MapFS{
		"1_revoke.up.sql":   {Data: []byte(up)},
		"1_revoke.down.sql": {Data: []byte(down)},
	})
	must(t, app.Up())
	works(t, pool)
	must(t, app.Down())
	must(t, app.Up())
	closeMigrator(t, app)
}

// TestPlainSQL runs our SQL as a script.
func TestPlainSQL(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	up, err := migrations.SQL(0, migrations.Latest)
	must(t, err)
	_, err = pool.Exec(t.Context(), up, pgx.QueryExecModeSimpleProtocol)
	must(t, err)
	works(t, pool)
}

// TestThroughGoose hands our files to a goose of the app's, with its own table of versions.
func TestThroughGoose(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	_, err := pool.Exec(t.Context(), "CREATE SCHEMA revoke")
	must(t, err)
	files, err := migrations.Files()
	must(t, err)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { must(t, db.Close()) })
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithTableName("public.revoke_versions"))
	must(t, err)
	_, err = provider.Up(t.Context())
	must(t, err)
	works(t, pool)
}

// TestBesideGoose has the app register a Go migration, which is the app's to run.
func TestBesideGoose(t *testing.T) {
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	ran := 0
	goose.AddNamedMigrationContext("00042_app.go",
		func(context.Context, *sql.Tx) error { ran++; return nil },
		func(context.Context, *sql.Tx) error { return nil })
	t.Cleanup(goose.ResetGlobalMigrations)
	must(t, migrations.Up(t.Context(), pool))
	if ran != 0 {
		t.Error("the app's migration was run by ours")
	}
	works(t, pool)
}
