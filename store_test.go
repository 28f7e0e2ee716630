package revoke_test

import (
	"flag"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
	"github.com/pgrevoke/revoke/revoketest"
)

func TestMain(m *testing.M) {
	// A property that fails logs its seed, and leaves no file in the tree.
	if err := flag.Set("rapid.nofailfile", "true"); err != nil {
		panic(err)
	}
	pgserver.Main(m)
}

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
			store := testkit.OpenStore(t, pgserver.Pool(t, pgserver.Database(t), testkit.WithMode(mode)))
			revoketest.Test(t, func(testing.TB) revoke.Store { return store })
		})
	}
	t.Run("postgres/another schema", func(t *testing.T) {
		t.Parallel()
		const schema = "order" // a word that SQL keeps for itself
		pool := pgserver.Pool(t, pgserver.EmptyDatabase(t))
		testkit.Must(t, migrations.Up(t.Context(), pool, migrations.WithSchema(schema)))
		store := testkit.OpenStore(t, pool, revoke.WithSchema(schema))
		revoketest.Test(t, func(testing.TB) revoke.Store { return store })
	})
}
