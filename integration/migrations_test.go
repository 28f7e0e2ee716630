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
	var rows int
	must(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM public.schema_migrations").Scan(&rows))
	if rows != 1 { // golang-migrate keeps one, goose one for each version
		t.Errorf("the app's table of versions has %d rows", rows)
	}
	works(t, pool)
	must(t, app.Down())
	works(t, pool)

	// The other way round: what ours takes back is not the app's.
	must(t, app.Up())
	must(t, migrations.Down(t.Context(), pool))
	if version, dirty, err := app.Version(); err != nil || version != 7 || dirty {
		t.Errorf("after our Down the app is at version %d, dirty %v, %v", version, dirty, err)
	}
	closeMigrator(t, app)
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

// TestBesideGoose has the app register a Go migration with goose, which is the app's to run.
func TestBesideGoose(t *testing.T) {
	ctx := t.Context()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { must(t, db.Close()) })
	goose.AddNamedMigrationContext("00042_app.go",
		func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "CREATE TABLE app (id int)")
			return err
		},
		func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "DROP TABLE app")
			return err
		})
	t.Cleanup(goose.ResetGlobalMigrations)
	goose.SetBaseFS(fstest.MapFS{})
	t.Cleanup(func() { goose.SetBaseFS(nil) })
	goose.SetLogger(goose.NopLogger())
	must(t, goose.SetDialect("postgres"))

	tables := func() string {
		t.Helper()
		var names string
		must(t, pool.QueryRow(ctx, "SELECT coalesce(string_agg(tablename, ' ' ORDER BY tablename), '') "+
			"FROM pg_tables WHERE schemaname = 'public'").Scan(&names))
		return names
	}
	must(t, migrations.Up(ctx, pool))
	if got := tables(); got != "" {
		t.Errorf("our migrations made %q in public", got)
	}
	must(t, goose.UpContext(ctx, db, "."))
	if got := tables(); got != "app goose_db_version" {
		t.Errorf("with the app's migrations, public has %q", got)
	}
	must(t, migrations.Up(ctx, pool)) // again, now that the app's versions are there
	if version, err := goose.GetDBVersionContext(ctx, db); err != nil || version != 42 {
		t.Errorf("the app is at version %d, %v", version, err)
	}
	if version, err := migrations.Version(ctx, pool); err != nil || version != migrations.Latest {
		t.Errorf("revoke is at version %d, %v", version, err)
	}
	works(t, pool)
	must(t, goose.DownContext(ctx, db, "."))
	works(t, pool)

	// The other way round: what ours takes back is not the app's.
	must(t, goose.UpContext(ctx, db, "."))
	must(t, migrations.Down(ctx, pool))
	if got := tables(); got != "app goose_db_version" {
		t.Errorf("after our Down, public has %q", got)
	}
}
