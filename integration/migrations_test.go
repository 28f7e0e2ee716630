package integration

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/fstest"

	"github.com/golang-migrate/migrate/v4"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
)

// expectStore uses the store in the pool's database: for a token, a user and a sweep, so that
// every object of the schema is needed.
func expectStore(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	ctx := t.Context()
	store := testkit.OpenStore(t, pool)
	one, other := testkit.Token(), testkit.Token()
	for _, token := range []revoke.Token{one, other} {
		testkit.Must(t, store.Check(ctx, token))
	}
	testkit.Must(t, store.RevokeToken(ctx, one))
	testkit.Value(store.RevokeUser(ctx, other.User()))(t)
	for _, token := range []revoke.Token{one, other} {
		testkit.WantError(t, store.Check(ctx, token), revoke.ErrRevoked)
	}
	sweeper := testkit.Value(revoke.NewSweeper(store))(t)
	testkit.Value(sweeper.Sweep(ctx))(t)
}

// migrator returns a golang-migrate of the files, with its table of versions in public.
func migrator(t *testing.T, pool *pgxpool.Pool, files fstest.MapFS) *migrate.Migrate {
	t.Helper()
	source, err := iofs.New(files, ".")
	testkit.Must(t, err)
	driver, err := migratepgx.WithInstance(stdlib.OpenDBFromPool(pool), &migratepgx.Config{})
	testkit.Must(t, err)
	m, err := migrate.NewWithInstance("iofs", source, "pgx5", driver)
	testkit.Must(t, err)
	return m
}

func closeMigrator(t *testing.T, m *migrate.Migrate) {
	t.Helper()
	sourceErr, databaseErr := m.Close()
	testkit.Must(t, errors.Join(sourceErr, databaseErr))
}

// TestBesideGolangMigrate runs our migrations and those of an app that uses golang-migrate on
// one database. Both tools have a table of versions, and neither touches the other's.
func TestBesideGolangMigrate(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	app := migrator(t, pool, fstest.MapFS{
		"7_app.up.sql":   {Data: []byte("CREATE TABLE app (id int)")},
		"7_app.down.sql": {Data: []byte("DROP TABLE app")},
	})
	testkit.Must(t, app.Up())
	testkit.Must(t, migrations.Up(t.Context(), pool))
	version, dirty, err := app.Version()
	if err != nil || version != 7 || dirty {
		t.Errorf("the app is at version %d, dirty %v, %v", version, dirty, err)
	}
	if version, err := migrations.Version(t.Context(), pool); err != nil || version != migrations.Latest {
		t.Errorf("revoke is at version %d, %v", version, err)
	}
	rows := testkit.QueryOne[int](t, pool, "SELECT count(*) FROM public.schema_migrations")
	if rows != 1 { // golang-migrate keeps one row, goose one for each version
		t.Errorf("the app's table of versions has %d rows", rows)
	}
	expectStore(t, pool)
	testkit.Must(t, app.Down())
	expectStore(t, pool)

	// Our Down takes back our migrations alone.
	testkit.Must(t, app.Up())
	testkit.Must(t, migrations.Down(t.Context(), pool))
	if version, dirty, err := app.Version(); err != nil || version != 7 || dirty {
		t.Errorf("after our Down the app is at version %d, dirty %v, %v", version, dirty, err)
	}
	closeMigrator(t, app)
}

// TestThroughGolangMigrate runs our SQL by the app's golang-migrate.
func TestThroughGolangMigrate(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	up := testkit.Value(migrations.SQL(0, migrations.Latest))(t)
	down := testkit.Value(migrations.SQL(migrations.Latest, 0))(t)
	app := migrator(t, pool, fstest.MapFS{
		"1_revoke.up.sql":   {Data: []byte(up)},
		"1_revoke.down.sql": {Data: []byte(down)},
	})
	testkit.Must(t, app.Up())
	expectStore(t, pool)
	testkit.Must(t, app.Down())
	testkit.Must(t, app.Up())
	closeMigrator(t, app)
}

// TestPlainSQL runs our SQL as one script.
func TestPlainSQL(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	up := testkit.Value(migrations.SQL(0, migrations.Latest))(t)
	testkit.Exec(t, pool, up, pgx.QueryExecModeSimpleProtocol)
	expectStore(t, pool)
}

// TestThroughGoose runs our files by the app's goose, with the app's table of versions.
func TestThroughGoose(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	testkit.Exec(t, pool, "CREATE SCHEMA revoke")
	files := testkit.Value(migrations.Files())(t)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { testkit.Must(t, db.Close()) })
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithTableName("public.revoke_versions"))
	testkit.Must(t, err)
	_, err = provider.Up(t.Context())
	testkit.Must(t, err)
	expectStore(t, pool)
}

// TestBesideGoose registers a Go migration of the app with goose's global registry. Our Up does
// not run it.
func TestBesideGoose(t *testing.T) {
	ctx := t.Context()
	pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { testkit.Must(t, db.Close()) })
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
	testkit.Must(t, goose.SetDialect("postgres"))

	tables := func() string {
		t.Helper()
		return testkit.QueryOne[string](t, pool, "SELECT coalesce(string_agg(tablename, ' ' ORDER BY tablename), '') "+
			"FROM pg_tables WHERE schemaname = 'public'")
	}
	testkit.Must(t, migrations.Up(ctx, pool))
	if got := tables(); got != "" {
		t.Errorf("our migrations made %q in public", got)
	}
	testkit.Must(t, goose.UpContext(ctx, db, "."))
	if got := tables(); got != "app goose_db_version" {
		t.Errorf("with the app's migrations, public has %q", got)
	}
	testkit.Must(t, migrations.Up(ctx, pool)) // again, now that the app has its table of versions
	if version, err := goose.GetDBVersionContext(ctx, db); err != nil || version != 42 {
		t.Errorf("the app is at version %d, %v", version, err)
	}
	if version, err := migrations.Version(ctx, pool); err != nil || version != migrations.Latest {
		t.Errorf("revoke is at version %d, %v", version, err)
	}
	expectStore(t, pool)
	testkit.Must(t, goose.DownContext(ctx, db, "."))
	expectStore(t, pool)

	// Our Down takes back our migrations alone.
	testkit.Must(t, goose.UpContext(ctx, db, "."))
	testkit.Must(t, migrations.Down(ctx, pool))
	if got := tables(); got != "app goose_db_version" {
		t.Errorf("after our Down, public has %q", got)
	}
}
