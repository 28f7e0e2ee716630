// Package schema holds what the packages that use the database schema share: its name, its version,
// and what its rows rest on.
package schema

import (
	"fmt"
	"regexp"
	"strings"
)

// Version is the newest version of the schema. The package revoke needs it or a later one.
const Version int64 = 20261126000002

// ReserveRows is the number of rows of the reserve, and ReservePages that of the pages that they
// fill. The migration says what they are for.
const (
	ReserveRows  = 512
	ReservePages = 128
)

// DefaultName is the name of the schema unless an option names another.
const DefaultName = "revoke"

var pattern = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// CheckName reports whether name can be the name of the schema.
func CheckName(name string) error {
	if !pattern.MatchString(name) {
		return fmt.Errorf("schema %q does not match %s", name, pattern)
	}
	return nil
}

// Fill writes the schema into a statement, in which {schema} stands for it. Quotes let the name be
// a keyword, such as order.
func Fill(statement, name string) string {
	return strings.ReplaceAll(statement, "{schema}", `"`+name+`"`)
}

// ReserveSQL restores the reserve, the rows by which a check is planned as an index scan in a table
// of any size. TRUNCATE and a dump without data lose them. They are looked for before
// they are written, because a proposed row costs a transaction number.
const ReserveSQL = `INSERT INTO {schema}.revocations (key, since, expires_at, revoked_at, scope, issuer, reason)
SELECT r.key, pg_catalog.to_timestamp(0), timestamp with time zone '9999-12-31 00:00:00+00', pg_catalog.to_timestamp(0),
       'reserve', 'reserve', pg_catalog.repeat(' ', 1800)
FROM (SELECT {schema}.row_key('reserve', 'reserve', n::pg_catalog.text) AS key FROM pg_catalog.generate_series(1, 512) AS n) AS r
WHERE NOT EXISTS (SELECT FROM {schema}.revocations AS t WHERE t.key OPERATOR(pg_catalog.=) r.key)
ON CONFLICT (key) DO NOTHING`

// SetXidBody is the body of the trigger function by which every row bears the number of the
// transaction that wrote it last.
const SetXidBody = `
BEGIN
    NEW.xid := pg_catalog.pg_current_xact_id();
    RETURN NEW;
END
`

// NumberingSQL is an expression of type text that proves that rows bear the number of the
// transaction that wrote them. It is null where the trigger set_xid is missing, is not ENABLE
// ALWAYS, or does something else. Two equal values in one session say that neither the trigger nor
// its function has been altered in between, so that no row was written without a number. It reads
// two rows of the catalog by index.
const NumberingSQL = `(SELECT pg_catalog.concat_ws(':', t.oid, t.xmin, p.oid, p.xmin)
FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid
WHERE t.tgrelid OPERATOR(pg_catalog.=) '{schema}.revocations'::pg_catalog.regclass
  AND t.tgname OPERATOR(pg_catalog.=) 'set_xid'
  AND t.tgenabled OPERATOR(pg_catalog.=) 'A'
  AND t.tgtype OPERATOR(pg_catalog.=) 23
  AND t.tgattr::pg_catalog.text OPERATOR(pg_catalog.=) ''
  AND t.tgqual IS NULL
  AND p.prosrc OPERATOR(pg_catalog.=) '` + SetXidBody + `')`
