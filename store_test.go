package revoke_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/migrations"
	"github.com/pgrevoke/revoke/revoketest"
)

func TestMain(m *testing.M) { pgserver.Main(m) }

// TestStore runs the conformance suite over every store.
func TestStore(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		revoketest.Test(t, func(testing.TB) revoke.Store { return revoketest.NewMemory() })
	})
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run("postgres/"+mode.String(), func(t *testing.T) {
			t.Parallel()
			store := openStore(t, pgserver.Pool(t, pgserver.Database(t), withMode(mode)))
			revoketest.Test(t, func(testing.TB) revoke.Store { return store })
		})
	}
	t.Run("postgres/another schema", func(t *testing.T) {
		t.Parallel()
		const schema = "order" // a word that SQL keeps for itself
		pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
		if err := migrations.Up(t.Context(), pool, migrations.WithSchema(schema)); err != nil {
			t.Fatal(err)
		}
		store := openStore(t, pool, revoke.WithSchema(schema))
		revoketest.Test(t, func(testing.TB) revoke.Store { return store })
	})
}

// openStore returns a store on the pool.
func openStore(tb testing.TB, pool *pgxpool.Pool, opts ...revoke.PostgresOption) *revoke.Postgres {
	tb.Helper()
	store, err := revoke.NewPostgres(pool, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	return store
}

// newStore returns a store on a database of the test's own, and its pool.
func newStore(tb testing.TB, opts ...revoke.PostgresOption) (*revoke.Postgres, *pgxpool.Pool) {
	tb.Helper()
	pool := pgserver.Pool(tb, pgserver.Database(tb))
	return openStore(tb, pool, opts...), pool
}

func withMode(mode pgx.QueryExecMode) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = mode }
}
