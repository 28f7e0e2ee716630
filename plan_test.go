package revoke_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/schema"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// upkeeps are what an administrator, or autovacuum, may have done to the table before the first
// check.
var upkeeps = []struct{ name, sql string }{
	{"never analyzed", "SELECT 1"},
	{"ANALYZE", "ANALYZE revoke.revocations"},
	{"VACUUM ANALYZE", "VACUUM (ANALYZE) revoke.revocations"},
}

// TestCheckPlan plans the check on a connection while the table is small, fills the table, and
// looks at the plan that the connection goes on using. A sequential scan that was cached while the
// table was small would stay until the next ANALYZE. In a short run the sizes take turns with the
// upkeeps.
func TestCheckPlan(t *testing.T) {
	t.Parallel()
	for i, upkeep := range upkeeps {
		run := func(size int) bool { return testkit.Long(size%len(upkeeps) == i, true) }
		for size, rows := range testkit.Long([]int{0, 5, 128, 800, 1_800, 3_000}, []int{0, 1, 5, 50, 128, 500, 800, 1_800, 3_000}) {
			if !run(size) {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d rows", upkeep.name, rows), func(t *testing.T) {
				t.Parallel()
				address := pgserver.Database(t)
				admin := planPool(t, address)
				insertLive(t, admin, rows)
				testkit.Exec(t, admin, upkeep.sql)
				staysOnIndex(t, address)
			})
		}
		for size, rows := range []int{0, 500, 3_000} {
			if !run(size) {
				continue
			}
			t.Run(fmt.Sprintf("%s/restored from a dump of %d rows", upkeep.name, rows), func(t *testing.T) {
				t.Parallel()
				from := pgserver.Database(t)
				insertLive(t, planPool(t, from), rows)
				address := restoredFrom(t, from)
				admin := planPool(t, address)
				if n := reserveCount(t, admin); n != schema.ReserveRows {
					t.Errorf("the reserve has %d rows after the restore", n)
				}
				testkit.Exec(t, admin, upkeep.sql)
				staysOnIndex(t, address)
			})
		}
		if !run(1) {
			continue
		}
		t.Run(upkeep.name+"/TRUNCATE and a sweep", func(t *testing.T) {
			t.Parallel()
			address := pgserver.Database(t)
			admin := planPool(t, address)
			insertLive(t, admin, 1_000)
			testkit.Exec(t, admin, "TRUNCATE revoke.revocations")
			testkit.Value(newSweeper(t, testkit.OpenStore(t, admin)).Sweep(t.Context()))(t)
			testkit.Exec(t, admin, upkeep.sql)
			staysOnIndex(t, address)
		})
	}
}

// planPool returns a pool on a table that autovacuum leaves alone.
func planPool(tb testing.TB, address string) *pgxpool.Pool {
	tb.Helper()
	pool := pgserver.Pool(tb, address)
	testkit.Exec(tb, pool, "ALTER TABLE revoke.revocations SET (autovacuum_enabled = off)")
	return pool
}

// insertLive writes rows of tokens that are not expired.
func insertLive(tb testing.TB, pool *pgxpool.Pool, rows int) {
	tb.Helper()
	testkit.Exec(tb, pool, `INSERT INTO revoke.revocations (key, since, expires_at, revoked_at, scope, issuer, id)
		SELECT gen_random_uuid(), now(), now() + interval '1 hour', now(), 'token', 'https://issuer.example', gen_random_uuid()::text
		FROM generate_series(1, $1::int)`, rows)
}

// restoredFrom returns a database that was restored from a dump of another: by pg_dump and
// pg_restore where they stand in the server's folder, or else by a copy of the rows.
func restoredFrom(tb testing.TB, from string) string {
	tb.Helper()
	source := pgserver.Pool(tb, from)
	folder := testkit.QueryOne[string](tb, source, "SELECT setting FROM pg_config WHERE name = 'BINDIR'")
	dump, restore := filepath.Join(folder, "pg_dump"), filepath.Join(folder, "pg_restore")
	if _, err := os.Stat(dump); err == nil {
		address, file := pgserver.EmptyDatabase(tb), filepath.Join(tb.TempDir(), "dump")
		for _, command := range []*exec.Cmd{
			exec.CommandContext(tb.Context(), dump, "--format=custom", "--no-owner", "--file", file, from),
			exec.CommandContext(tb.Context(), restore, "--exit-on-error", "--no-owner", "--dbname", address, file),
		} {
			if output, err := command.CombinedOutput(); err != nil {
				tb.Fatalf("%v: %v\n%s", command, err, output)
			}
		}
		return address
	}
	address := pgserver.Database(tb)
	pool := pgserver.Pool(tb, address)
	testkit.Exec(tb, pool, "TRUNCATE revoke.revocations")
	rows := testkit.Value(source.Query(tb.Context(), "SELECT key, since, expires_at, revoked_at, scope, issuer, id, reason FROM revoke.revocations"))(tb)
	values := testkit.Value(pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() }))(tb)
	columns := []string{"key", "since", "expires_at", "revoked_at", "scope", "issuer", "id", "reason"}
	testkit.Value(pool.CopyFrom(tb.Context(), pgx.Identifier{"revoke", "revocations"}, columns, pgx.CopyFromRows(values)))(tb)
	return address
}

// warmConnection is a pool of one connection that has planned its checks.
type warmConnection struct {
	*pgxpool.Pool
	mode string // plan_cache_mode
}

// staysOnIndex plans the check on connections, fills the table, and fails where a check is not a
// scan of the primary key, before the fill or after.
func staysOnIndex(t *testing.T, address string) {
	t.Helper()
	var warm []warmConnection
	for _, mode := range []string{"auto", "force_generic_plan"} {
		pool := pgserver.Pool(t, address, func(c *pgxpool.Config) {
			c.MaxConns = 1
			c.ConnConfig.RuntimeParams["plan_cache_mode"] = mode
		})
		connection := warmConnection{pool, mode}
		store := testkit.OpenStore(t, pool, revoke.WithCheckQueries(0))
		for range 2 { // a generic plan may be used from the sixth execution on
			testkit.Must(t, store.Check(t.Context(), testkit.Token()))
			connection.ask(t, 1)
			connection.ask(t, 4096)
		}
		warm = append(warm, connection)
	}
	for _, c := range warm {
		c.wantKeyScan(t, "while the table is small")
	}
	filler := pgserver.Pool(t, address)
	insertLive(t, filler, testkit.Long(5_000, 100_000))
	for _, c := range warm {
		c.wantKeyScan(t, "in the table that has grown")
	}
}

// ask sends the check statement about so many keys.
func (c warmConnection) ask(t *testing.T, n int) {
	t.Helper()
	testkit.Value(c.Exec(t.Context(), revoke.CheckSQL, someKeys(n)))(t)
}

// someKeys returns so many keys, of which the table has none.
func someKeys(n int) []pgtype.UUID {
	keys := make([]pgtype.UUID, n)
	for i := range keys {
		keys[i] = pgtype.UUID{Bytes: revoke.ScopeToken.Key("i", strconv.Itoa(i)), Valid: true}
	}
	return keys
}

var (
	keyScan     = regexp.MustCompile(`(?:Index Scan using|Index Only Scan using|Bitmap Index Scan on) revocations_pkey.*\n +Index Cond: \(key = `)
	otherScan   = regexp.MustCompile(`Seq Scan on revocations|Index Scan on revocations_(?:expires_at|xid)`)
	buffersLine = regexp.MustCompile(`(?m)^ +Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?`)
)

// wantKeyScan looks at the plan that the connection uses for its prepared check, and at the
// pages that it touches, for several numbers of keys.
func (c warmConnection) wantKeyScan(t *testing.T, when string) {
	t.Helper()
	var name string
	var generic int
	testkit.Must(t, c.QueryRow(t.Context(), "SELECT name, generic_plans FROM pg_prepared_statements WHERE statement = $1",
		revoke.CheckSQL).Scan(&name, &generic))
	if generic == 0 {
		t.Errorf("%s, %s: no generic plan was used", c.mode, when)
	}
	for _, keys := range []int{1, 4, 4096} {
		var literals []string
		for _, key := range someKeys(keys) {
			literals = append(literals, key.String())
		}
		explain := func(options string) string {
			rows := testkit.Value(c.Query(t.Context(), fmt.Sprintf("EXPLAIN (%s) EXECUTE %q ('{%s}')", options, name, strings.Join(literals, ",")),
				pgx.QueryExecModeSimpleProtocol))(t)
			return strings.Join(testkit.Value(pgx.CollectRows(rows, pgx.RowTo[string]))(t), "\n")
		}
		plan := explain("COSTS OFF")
		if !keyScan.MatchString(plan) || otherScan.MatchString(plan) {
			t.Errorf("%s, %s, %d keys: not a scan of the primary key:\n%s", c.mode, when, keys, plan)
			continue // because to run it would take long
		}
		plan = explain("ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF")
		pages := 0
		if found := buffersLine.FindStringSubmatch(plan); found != nil {
			hit, _ := strconv.Atoi(found[1])
			read, _ := strconv.Atoi(found[2])
			pages = hit + read
		}
		// For each key three levels of the index and the row's page, and some for the statement.
		if pages == 0 || pages > 4*keys+50 {
			t.Errorf("%s, %s, %d keys: %d pages were touched:\n%s", c.mode, when, keys, pages, plan)
		}
	}
}
