package migrations_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"

	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
)

// downAll takes back every migration.
func downAll(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	for range versions(t) {
		testkit.Must(t, migrations.Down(t.Context(), pool))
	}
}

// versions returns the version of each file, in order.
func versions(t *testing.T) []int64 {
	t.Helper()
	_, names := readFiles(t)
	list := make([]int64, len(names))
	for i, name := range names {
		list[i] = testkit.Value(goose.NumericComponent(name))(t)
	}
	return list
}
