package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// versionTable stands in the schema, beside the tables that it tells about. Other tools use no such
// name, so that it may stand in the app's schema too.
const versionTable = "revoke_migrations"

// withProvider calls fn with goose, set up to see nothing but our files and our schema.
func withProvider(ctx context.Context, pool *pgxpool.Pool, c config, fn func(*goose.Provider) error) error {
	files, err := c.files()
	if err != nil {
		return err
	}
	// Closing it leaves the pool open. One connection, because the pool may have no more.
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	db.SetMaxOpenConns(1)
	// Go migrations that the app registered with goose are the app's to run.
	provider, err := goose.NewProvider(goose.DialectCustom, db, files, goose.WithDisableGlobalRegistry(true),
		goose.WithStore(store(c)), goose.WithSessionLocker(&locker{config: c, pool: pool}))
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return fn(provider)
}

// store is the table of versions for goose. It has no sequence, which a logical replication would
// leave behind. The locker makes it.
type store config

var _ database.StoreExtender = store{}

func (s store) Tablename() string { return config(s).quoted() + "." + versionTable }

func (s store) TableExists(context.Context, database.DBTxConn) (bool, error) { return true, nil }

func (s store) CreateVersionTable(ctx context.Context, db database.DBTxConn) error {
	_, err := db.ExecContext(ctx, s.create())
	return err
}

func (s store) create() string {
	return "CREATE TABLE " + s.Tablename() +
		" (version bigint PRIMARY KEY, applied_at timestamp with time zone NOT NULL DEFAULT pg_catalog.now())"
}

func (s store) Insert(ctx context.Context, db database.DBTxConn, request database.InsertRequest) error {
	_, err := db.ExecContext(ctx, s.insert(request.Version))
	return err
}

func (s store) insert(version int64) string {
	return fmt.Sprintf("INSERT INTO %s (version) VALUES (%d) ON CONFLICT DO NOTHING", s.Tablename(), version)
}

func (s store) Delete(ctx context.Context, db database.DBTxConn, version int64) error {
	_, err := db.ExecContext(ctx, fmt.Sprintf("DELETE FROM %s WHERE version = %d", s.Tablename(), version))
	return err
}

func (s store) GetMigration(ctx context.Context, db database.DBTxConn, version int64) (*database.GetMigrationResult, error) {
	versions, err := s.versions(ctx, db)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(versions, version) {
		return nil, database.ErrVersionNotFound
	}
	return &database.GetMigrationResult{IsApplied: true}, nil
}

func (s store) GetLatestVersion(ctx context.Context, db database.DBTxConn) (int64, error) {
	versions, err := s.versions(ctx, db)
	if err != nil {
		return 0, err
	}
	return versions[0], nil
}

func (s store) ListMigrations(ctx context.Context, db database.DBTxConn) ([]*database.ListMigrationsResult, error) {
	versions, err := s.versions(ctx, db)
	list := make([]*database.ListMigrationsResult, len(versions))
	for i, version := range versions {
		list[i] = &database.ListMigrationsResult{Version: version, IsApplied: true}
	}
	return list, err
}

// versions returns the versions, the newest first, and the version 0 that goose wants behind them.
// They are read as one text, because the app may have registered a type for numbers.
func (s store) versions(ctx context.Context, db database.DBTxConn) ([]int64, error) {
	var text sql.NullString
	err := db.QueryRowContext(ctx, "SELECT string_agg(version::text, ',' ORDER BY version DESC) FROM "+s.Tablename()).Scan(&text)
	if err != nil {
		return nil, err
	}
	var versions []int64
	for field := range strings.FieldsFuncSeq(text.String, func(r rune) bool { return r == ',' }) {
		version, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return nil, errors.New("the table of versions holds " + strconv.Quote(field))
		}
		versions = append(versions, version)
	}
	return append(versions, 0), nil
}
