package migrations

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// found is what a look at the database has found.
type found struct {
	config  config
	server  serverState
	table   *tableState
	parts   map[name]string // :: kind and name → definition
	stated  int64           // what schema_version() returns
	applied []int64         // the rows of the table of versions
	reserve int             // rows of the reserve, -1 where they could not be read
}

type name struct{ kind, name string }

type serverState struct {
	Number        int
	Encoding      string
	InRecovery    bool
	Fenced        bool
	Isolation     string
	Commit        string
	Role          string
	Schema        string // as SQL writes it
	Language      bool
	Usage         *bool // nil where there is no schema
	ReadsVersions *bool // nil where there is no table of versions
}

type tableState struct {
	Kind, Persistence, Owner, Identity string
	Owned, RowSecurity, Hidden         bool
	Options                            map[string]string
	Pages                              int
	Lacks                              []string
}

// fresh reports whether no migration has been here.
func (f *found) fresh() bool {
	return f.table == nil && !f.has("function") && len(f.applied) == 0
}

// readable reports whether this role could read the version.
func (f *found) readable() bool { return f.stated > 0 || f.readsVersions() }

// owned reports whether this role may alter the table.
func (f *found) owned() bool { return f.table != nil && f.table.Owned }

// checkReadable returns why the version is not known. An answer of 0 would be wrong.
func (f *found) checkReadable() error {
	if f.fresh() || f.readable() {
		return nil
	}
	return fmt.Errorf("role %s cannot read the version of schema %s: function schema_version() is missing, or the role lacks EXECUTE on it, "+
		"or USAGE on the schema", f.server.Role, f.server.Schema)
}

// version is the newest version that is there: as the schema says, or the table of versions.
func (f *found) version() int64 {
	if len(f.applied) == 0 {
		return f.stated
	}
	return max(f.stated, slices.Max(f.applied))
}

// has reports whether there is a part of the kind.
func (f *found) has(kind string) bool {
	for n := range f.parts {
		if n.kind == kind {
			return true
		}
	}
	return false
}

// names returns the parts in order.
func (f *found) names() []name {
	return slices.SortedFunc(maps.Keys(f.parts), func(a, b name) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name))
	})
}

// sql writes the schema into a statement.
func (f *found) sql(statement string) string {
	return strings.NewReplacer("{schema}", f.server.Schema, "{written}", f.config.written()).Replace(statement)
}

func (f *found) each(statements []string) []string {
	filled := make([]string, len(statements))
	for i, s := range statements {
		filled[i] = f.sql(s)
	}
	return filled
}

func lookFromPool(ctx context.Context, pool *pgxpool.Pool, opts []Option) (*found, error) {
	if pool == nil {
		return nil, errors.New("pool is nil")
	}
	config, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	return look(ctx, conn.Conn(), config)
}

// look reads the catalog, and then the rows that this role may read, in one transaction of two
// round trips. The simple protocol is the same in all query modes, and answers with text.
func look(ctx context.Context, conn *pgx.Conn, c config) (f *found, err error) {
	fill := strings.NewReplacer("{name}", c.schema, "{schema}", c.quoted()).Replace
	defer func() {
		if err != nil && !conn.IsClosed() {
			_, _ = exec(ctx, conn, "ROLLBACK") // where it fails, the pool closes the connection
		}
	}()
	const begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
	results, err := exec(ctx, conn, begin+settings(true)+"; "+fill(strings.Join([]string{serverQuery, tableQuery, partsQuery}, "; ")))
	if err != nil {
		return nil, err
	}
	f = &found{config: c, parts: make(map[name]string), reserve: -1}
	results = results[len(results)-3:]
	for _, row := range results[0].Rows {
		err = both(err, json.Unmarshal(row[0], &f.server))
	}
	for _, row := range results[1].Rows {
		err = both(err, json.Unmarshal(row[0], &f.table))
	}
	for _, row := range results[2].Rows {
		var p struct{ Kind, Name, Definition string }
		err = both(err, json.Unmarshal(row[0], &p))
		f.parts[name{p.Kind, p.Name}] = p.Definition
	}
	if err != nil {
		return nil, err
	}
	if results, err = exec(ctx, conn, fill(strings.Join(f.rowQueries(), "; "))+"; COMMIT"); err != nil {
		return nil, err
	}
	return f, f.addRows(results)
}

// rowQueries ask for the version, the rows of the table of versions, and the size of the reserve. A
// query that this role may not send is replaced by one with the answer for "not known".
func (f *found) rowQueries() []string {
	may := func(function string) bool {
		_, exists := f.parts[name{"function", function}]
		_, refused := f.parts[name{"no right", function}]
		return f.uses() && exists && !refused
	}
	queries := []string{"SELECT 0", "SELECT WHERE false", "SELECT -1"}
	if may("schema_version()") {
		queries[0] = "SELECT {schema}.schema_version()"
	}
	if f.readsVersions() {
		queries[1] = "SELECT version FROM {schema}." + versionTable
	}
	if f.table != nil && !slices.Contains(f.table.Lacks, "SELECT") && may("row_key(text, text, text)") {
		queries[2] = "SELECT count(*) FROM {schema}.revocations WHERE key = ANY (ARRAY(" +
			"SELECT {schema}.row_key('reserve', 'reserve', n::text) FROM generate_series(1, 512) AS n))"
	}
	return queries
}

// uses reports whether this role may use the schema, which exists.
func (f *found) uses() bool { return f.server.Usage != nil && *f.server.Usage }

func (f *found) readsVersions() bool {
	return f.uses() && f.server.ReadsVersions != nil && *f.server.ReadsVersions
}

// addRows adds the answers to rowQueries.
func (f *found) addRows(results []*pgconn.Result) error {
	var numbers [3][]int64
	for i := range numbers {
		for _, row := range results[i].Rows {
			n, err := strconv.ParseInt(string(row[0]), 10, 64)
			if err != nil {
				return err
			}
			numbers[i] = append(numbers[i], n)
		}
	}
	f.stated, f.applied, f.reserve = numbers[0][0], numbers[1], int(numbers[2][0])
	return nil
}

// exec sends statements in one message of the simple protocol.
func exec(ctx context.Context, conn *pgx.Conn, statements string) ([]*pgconn.Result, error) {
	results, err := conn.PgConn().Exec(ctx, statements).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, r := range results {
		if r.Err != nil {
			return nil, r.Err
		}
	}
	return results, nil
}
