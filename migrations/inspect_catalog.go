package migrations

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/pgrevoke/revoke/internal/schema"
)

// The queries of a look. Each answers with one column of JSON, so that neither the date style nor
// a type that the app registers takes part. {name} stands for the name of the schema in a string.
const (
	serverQuery = `SELECT row_to_json(q) FROM (SELECT
    current_setting('server_version_num')::int AS number,
    current_setting('server_encoding') AS encoding,
    pg_is_in_recovery() AS "inRecovery",
    current_setting('default_transaction_read_only') = 'on' AS fenced,
    current_setting('default_transaction_isolation') AS isolation,
    current_setting('synchronous_commit') AS commit,
    current_user AS role,
    quote_ident('{name}') AS schema,
    has_language_privilege('plpgsql', 'USAGE') AS language,
    (SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = '{name}') AS usage,
    (SELECT has_table_privilege(c.oid, 'SELECT') FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = '{name}' AND c.relname = '` + versionTable + `') AS "readsVersions") AS q`

	tableQuery = `SELECT row_to_json(q) FROM (SELECT
    c.relkind::text AS kind,
    c.relpersistence::text AS persistence,
    pg_get_userbyid(c.relowner) AS owner,
    pg_has_role(c.relowner, 'USAGE') AS owned,
    c.relrowsecurity AS "rowSecurity",
    row_security_active(c.oid) AS hidden,
    c.relreplident::text AS identity,
    (SELECT coalesce(json_object_agg(option_name, option_value), '{}') FROM pg_options_to_table(c.reloptions)) AS options,
    pg_relation_size(c.oid) / current_setting('block_size')::int AS pages,
    ARRAY(SELECT p FROM unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) AS p WHERE NOT has_table_privilege(c.oid, p)) AS lacks
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = '{name}' AND c.relname = 'revocations') AS q`

	// A part of sessions has the name of that table before its own. The names of the indexes
	// and of the constraint that the migrations make have it already.
	partsQuery = `WITH r AS (
    SELECT c.*, CASE c.relname WHEN 'sessions' THEN 'sessions.' ELSE '' END AS prefix
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = '{name}' AND c.relname IN ('revocations', 'sessions')
), t AS (
    SELECT oid FROM r WHERE relname = 'revocations'
), s AS (
    SELECT oid FROM r WHERE relname = 'sessions'
), f AS (
    SELECT p.*, p.proname || '(' || oidvectortypes(p.proargtypes) || ')' AS name
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = '{name}' AND p.proname IN ('row_key', 'set_xid', 'schema_version', 'epochs') AND p.prokind = 'f'
)
SELECT row_to_json(q) FROM (
    SELECT 'column' AS kind, prefix || attname AS name, format_type(atttypid, atttypmod)
        || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
        || CASE WHEN attgenerated <> '' THEN ' GENERATED' ELSE '' END AS definition
    FROM pg_attribute JOIN r ON attrelid = r.oid WHERE attnum > 0 AND NOT attisdropped
UNION ALL
    SELECT 'default', prefix || attname, '' FROM pg_attribute JOIN r ON attrelid = r.oid
    WHERE attnum > 0 AND NOT attisdropped AND (atthasdef OR attidentity <> '')
UNION ALL
    SELECT 'collation', attname, attcollation::regcollation::text FROM pg_attribute JOIN t ON attrelid = t.oid
    WHERE attnum > 0 AND NOT attisdropped AND attcollation <> 0
UNION ALL
    SELECT 'constraint', CASE conname WHEN 'sessions_pkey' THEN '' ELSE prefix END || conname, CASE WHEN contype = 'p' THEN
            'PRIMARY KEY (' || (SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
                WHERE attrelid = conrelid AND attnum = ANY (conkey)) || ')'
                || CASE WHEN condeferrable THEN ' DEFERRABLE' ELSE '' END
        ELSE pg_get_constraintdef(k.oid) END
    FROM pg_constraint AS k JOIN r ON conrelid = r.oid
    WHERE contype <> 't' AND (contype <> 'n' OR NOT convalidated)
UNION ALL
    SELECT 'reference', prefix || conname, conrelid::regclass::text FROM pg_constraint JOIN r ON confrelid = r.oid
UNION ALL
    SELECT 'index', c.relname, pg_get_indexdef(i.indexrelid)
    FROM pg_index AS i JOIN t ON i.indrelid = t.oid JOIN pg_class AS c ON c.oid = i.indexrelid
UNION ALL
    SELECT 'index', CASE WHEN c.relname IN ('sessions_user_key_idx', 'sessions_expires_at_idx') THEN '' ELSE 'sessions.' END || c.relname,
        pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid AND i.indisready AND i.indislive THEN '' ELSE ' INVALID' END
    FROM pg_index AS i JOIN s ON i.indrelid = s.oid JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid AND conrelid = s.oid)
UNION ALL
    SELECT 'invalid', c.relname, '' FROM pg_index AS i JOIN t ON i.indrelid = t.oid JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE NOT (i.indisvalid AND i.indisready AND i.indislive)
UNION ALL
    SELECT 'trigger', prefix || tgname, pg_get_triggerdef(g.oid)
        || CASE tgenabled WHEN 'A' THEN ' ENABLE ALWAYS' WHEN 'D' THEN ' DISABLE' WHEN 'R' THEN ' ENABLE REPLICA' ELSE '' END
    FROM pg_trigger AS g JOIN r ON tgrelid = r.oid WHERE NOT tgisinternal
UNION ALL
    SELECT 'rule', prefix || rulename, '' FROM pg_rewrite JOIN r ON ev_class = r.oid WHERE ev_enabled <> 'D' AND rulename <> '_RETURN'
UNION ALL
    SELECT 'policy', prefix || polname, '' FROM pg_policy JOIN r ON polrelid = r.oid
UNION ALL
    SELECT 'child', prefix || inhrelid::regclass, '' FROM pg_inherits JOIN r ON inhparent = r.oid
UNION ALL
    SELECT 'parent', prefix || inhparent::regclass, '' FROM pg_inherits JOIN r ON inhrelid = r.oid
UNION ALL
    SELECT 'publication', p.pubname, concat_ws(', ',
        CASE WHEN NOT p.pubinsert THEN 'INSERT' END, CASE WHEN NOT p.pubupdate THEN 'UPDATE' END,
        CASE WHEN NOT p.pubdelete THEN 'DELETE' END, CASE WHEN NOT p.pubtruncate THEN 'TRUNCATE' END,
        'rows beyond ' || (to_jsonb(pt) ->> 'rowfilter'), 'tables, functions and triggers, and the table of versions unless it is published')
    FROM pg_publication_tables AS pt JOIN pg_publication AS p ON p.pubname = pt.pubname
    WHERE pt.schemaname = '{name}' AND pt.tablename = 'revocations'
UNION ALL
    SELECT 'function', name, pg_get_functiondef(oid) FROM f
UNION ALL
    SELECT 'no right', name, '' FROM f WHERE NOT has_function_privilege(oid, 'EXECUTE')
UNION ALL
    SELECT 'public', name, '' FROM f, aclexplode(coalesce(proacl, acldefault('f', proowner))) AS a
    WHERE proname = 'epochs' AND a.grantee = 0 AND a.privilege_type = 'EXECUTE'
UNION ALL
    SELECT 'owner', name, pg_get_userbyid(proowner) FROM f, pg_class AS c JOIN t ON c.oid = t.oid
    WHERE proowner <> relowner
UNION ALL
    SELECT 'event trigger', evtname, evtevent FROM pg_event_trigger WHERE evtenabled <> 'D' AND (evttags IS NULL OR evttags && ARRAY[
        'CREATE SCHEMA', 'CREATE TABLE', 'ALTER TABLE', 'DROP TABLE', 'CREATE INDEX', 'REINDEX', 'CREATE FUNCTION', 'DROP FUNCTION',
        'CREATE TRIGGER', 'COMMENT'])
UNION ALL
    SELECT 'table', relname, CASE WHEN relkind <> 'r' THEN 'is of relkind ' || relkind::text WHEN relpersistence <> 'p' THEN 'is unlogged' ELSE '' END
    FROM pg_class JOIN s USING (oid)
UNION ALL
    SELECT 'hidden', relname, '' FROM pg_class JOIN s USING (oid) WHERE row_security_active(oid)
UNION ALL
    SELECT 'lacks', p, '' FROM s, unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) AS p WHERE NOT has_table_privilege(oid, p)
) AS q`
)

// part is a part of the schema as the migrations make it.
type part struct {
	kind, name string
	definition string   // as Postgres writes it
	severity   Severity // of its absence, or of another definition
	matters    string   // what follows from either
	remedy     []string // SQL
	mends      bool     // Up runs the remedy
	essential  bool     // where it is missing, the schema is incomplete
}

// expected are the parts of the newest version, in the order in which they are mended. {schema}
// stands for the schema.
var expected = slices.Concat(
	[]part{
		function("row_key(text, text, text)", `CREATE OR REPLACE FUNCTION {schema}.row_key(scope text, issuer text, id text)
 RETURNS uuid
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
 SET search_path TO 'pg_catalog'
AS $function$
SELECT encode(substring(sha256(
           int4send(octet_length(convert_to(scope, 'UTF8'))) || convert_to(scope, 'UTF8')
        || int4send(octet_length(convert_to(issuer, 'UTF8'))) || convert_to(issuer, 'UTF8')
        || int4send(octet_length(convert_to(id, 'UTF8'))) || convert_to(id, 'UTF8')
       ) FROM 1 FOR 16), 'hex')::pg_catalog.uuid
$function$
`, "the rows that it names are not those of the library"),
		function("set_xid()", `CREATE OR REPLACE FUNCTION {schema}.set_xid()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$`+schema.SetXidBody+`$function$
`, "mirrors miss what is written"),
		function("schema_version()", fmt.Sprintf(`CREATE OR REPLACE FUNCTION {schema}.schema_version()
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$ SELECT %d $function$
`, Latest), "it does not tell the version"),
		{
			kind: "function", name: "epochs(text, text)", definition: epochsFunction, severity: Wrong, mends: true,
			matters: "sign-ins that call it fail, or tokens outlive the password that they were issued for",
			remedy:  []string{epochsFunction, revokeEpochs},
		},
	},
	column("key", "uuid NOT NULL", ""),
	column("since", "timestamp with time zone NOT NULL", ""),
	column("expires_at", "timestamp with time zone NOT NULL", ""),
	column("revoked_at", "timestamp with time zone NOT NULL", ""),
	column("xid", "xid8 NOT NULL", ""),
	column("scope", "text NOT NULL", `"C"`),
	column("issuer", "text NOT NULL", `"C"`),
	column("id", "text", `"C"`),
	column("reason", "text", `"default"`),
	column("actor", "text", `"default"`),
	[]part{
		{
			kind: "trigger", name: "set_xid", severity: Wrong, mends: true, matters: "mirrors miss what is written",
			definition: setXidTrigger + " ENABLE ALWAYS",
			remedy: []string{
				strings.Replace(setXidTrigger, "CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1),
				"ALTER TABLE {schema}.revocations ENABLE ALWAYS TRIGGER set_xid",
			},
		},
		{
			kind: "constraint", name: "revocations_pkey", definition: "PRIMARY KEY (key)", severity: Wrong,
			matters: "revocations are refused or stand there twice",
			remedy:  []string{"ALTER TABLE {schema}.revocations ADD CONSTRAINT revocations_pkey PRIMARY KEY (key) INCLUDE (since)"},
		},
		check("revocations_scope", "CHECK ((scope = ANY (ARRAY["+scopesOfFiles()+"])))"),
		check("revocations_id", "CHECK (((id IS NULL) = (scope = ANY (ARRAY['issuer'::text, 'reserve'::text]))))"),
		check("revocations_finite", "CHECK ((isfinite(since) AND isfinite(expires_at) AND isfinite(revoked_at)))"),
		{
			kind: "index", name: "revocations_pkey", severity: Slow, matters: "checks read the table beside the index",
			definition: "CREATE UNIQUE INDEX revocations_pkey ON {schema}.revocations USING btree (key) INCLUDE (since)",
			remedy: []string{
				"CREATE UNIQUE INDEX CONCURRENTLY revocations_key ON {schema}.revocations (key) INCLUDE (since)",
				"ALTER TABLE {schema}.revocations DROP CONSTRAINT revocations_pkey, " +
					"ADD CONSTRAINT revocations_pkey PRIMARY KEY USING INDEX revocations_key",
			},
		},
		index("revocations_expires_at_idx", "expires_at", "sweeps read the whole table"),
		index("revocations_xid_idx", "xid", "polls of mirrors read the whole table"),
	},
	sessions,
)

// sessions are the parts of the table of sessions, which package session alone uses.
var sessions = slices.Concat(
	sessionColumns("key uuid NOT NULL", "user_key uuid NOT NULL", "issuer text NOT NULL", "sid text NOT NULL", "subject text NOT NULL",
		"client text", "user_epoch bigint NOT NULL", "issuer_epoch bigint NOT NULL", "generation bigint NOT NULL",
		"started_at timestamp with time zone NOT NULL", "refreshed_at timestamp with time zone", "expires_at timestamp with time zone NOT NULL",
		"ended_at timestamp with time zone", "cnf text", "label text", "user_agent text", "address text", "attributes jsonb"),
	[]part{
		{
			kind: "constraint", name: "sessions_pkey", definition: "PRIMARY KEY (key)", severity: Wrong, matters: "refreshes read the whole table",
			remedy: []string{"ALTER TABLE {schema}.sessions ADD CONSTRAINT sessions_pkey PRIMARY KEY (key)"},
		},
		sessionIndex("sessions_user_key_idx", "user_key", "the list of a user's sessions reads the whole table"),
		sessionIndex("sessions_expires_at_idx", "expires_at", "sweeps of sessions read the whole table"),
	},
)

func sessionColumns(definitions ...string) []part {
	parts := make([]part, len(definitions))
	for i, definition := range definitions {
		column, definition, _ := strings.Cut(definition, " ")
		kind, notNull := strings.CutSuffix(definition, " NOT NULL")
		remedy := "ALTER TABLE {schema}.sessions ALTER COLUMN " + column + " TYPE " + kind
		if notNull {
			remedy += ", ALTER COLUMN " + column + " SET NOT NULL"
		}
		parts[i] = part{
			kind: "column", name: "sessions." + column, definition: definition, severity: Wrong, matters: "sessions fail",
			remedy: []string{remedy}, essential: true,
		}
	}
	return parts
}

func sessionIndex(name, column, matters string) part {
	definition := fmt.Sprintf(" INDEX %s ON {schema}.sessions USING btree (%s)", name, column)
	return part{
		kind: "index", name: name, severity: Slow, matters: matters, mends: true, definition: "CREATE" + definition,
		remedy: []string{fmt.Sprintf("CREATE INDEX CONCURRENTLY %s ON {schema}.sessions (%s)", name, column)},
	}
}

const setXidTrigger = "CREATE TRIGGER set_xid BEFORE INSERT OR UPDATE ON {schema}.revocations FOR EACH ROW EXECUTE FUNCTION {schema}.set_xid()"

// epochsFunction is the function for the statement of a sign-in. {written} stands for the schema as
// the migrations write it.
const epochsFunction = `CREATE OR REPLACE FUNCTION {schema}.epochs(issuer text, subject text)
 RETURNS text
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE
 SET row_security TO 'off'
AS $function$
BEGIN
    IF NOT coalesce(pg_catalog.octet_length(issuer) OPERATOR(pg_catalog.>) 0
                AND pg_catalog.octet_length(issuer) OPERATOR(pg_catalog.<=) 1024, false) THEN
        RAISE EXCEPTION 'epochs: the issuer is null, empty, or longer than 1024 bytes' USING ERRCODE = '22023';
    END IF;
    IF NOT coalesce(pg_catalog.octet_length(subject) OPERATOR(pg_catalog.>) 0
                AND pg_catalog.octet_length(subject) OPERATOR(pg_catalog.<=) 1024, false) THEN
        RAISE EXCEPTION 'epochs: the subject is null, empty, or longer than 1024 bytes' USING ERRCODE = '22023';
    END IF;
    RETURN pg_catalog.concat('[', coalesce((
            SELECT (extract(epoch FROM t.since) OPERATOR(pg_catalog.*) 1000000)::bigint FROM {written}.revocations AS t
            WHERE t.key OPERATOR(pg_catalog.=) {written}.row_key('user', epochs.issuer, epochs.subject)), 0), ',', coalesce((
            SELECT (extract(epoch FROM t.since) OPERATOR(pg_catalog.*) 1000000)::bigint FROM {written}.revocations AS t
            WHERE t.key OPERATOR(pg_catalog.=) {written}.row_key('issuer', epochs.issuer, '')), 0), ']');
END
$function$
`

// revokeEpochs leaves the function to the roles that were granted it.
const revokeEpochs = "REVOKE ALL ON FUNCTION {schema}.epochs(text, text) FROM PUBLIC"

func function(name, definition, matters string) part {
	return part{
		kind: "function", name: name, definition: definition, severity: Wrong, matters: matters,
		remedy: []string{definition}, mends: true, essential: true,
	}
}

func column(name, definition, collation string) []part {
	kind, notNull := strings.CutSuffix(definition, " NOT NULL")
	remedy := "ALTER TABLE {schema}.revocations ALTER COLUMN " + name + " TYPE " + kind
	if notNull {
		remedy += ", ALTER COLUMN " + name + " SET NOT NULL"
	}
	parts := []part{{
		kind: "column", name: name, definition: definition, severity: Wrong, matters: "answers may be wrong",
		remedy: []string{remedy}, essential: true,
	}}
	if collation != "" {
		parts = append(parts, part{
			kind: "collation", name: name, definition: collation, severity: Note, matters: "the library compares in Go",
			remedy: []string{fmt.Sprintf("ALTER TABLE {schema}.revocations ALTER COLUMN %s TYPE %s COLLATE %s", name, kind, collation)},
		})
	}
	return parts
}

// check is a CHECK constraint. It is added without a look at the rows, and validated afterwards
// under a lock for which neither checks nor revocations wait.
func check(name, definition string) part {
	return part{
		kind: "constraint", name: name, definition: definition, severity: Wrong, mends: true,
		matters: "rows may hold what the library cannot read",
		remedy: []string{
			fmt.Sprintf("ALTER TABLE {schema}.revocations DROP CONSTRAINT IF EXISTS %s, ADD CONSTRAINT %[1]s %s NOT VALID", name, definition),
			validate(name),
		},
	}
}

// scopeList matches the scopes that a migration lets into the table.
var scopeList = regexp.MustCompile(`CONSTRAINT revocations_scope CHECK\s+\(scope \S+ ANY \(ARRAY\[([^\]]*)\]`)

// scopesOfFiles returns the scopes that the newest migration lets into the table, as Postgres
// writes a list of texts. TestInspectFindsNothing compares it with what Postgres says.
func scopesOfFiles() (list string) {
	names, _ := fs.Glob(embedded, "*.sql") // fails only for a malformed pattern
	for _, name := range names {
		text, _ := fs.ReadFile(embedded, name) // which was listed
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		for _, found := range scopeList.FindAllStringSubmatch(up, -1) {
			list = strings.ReplaceAll(found[1], "', '", "'::text, '") + "::text"
		}
	}
	return list
}

func validate(constraint string) string {
	return "ALTER TABLE {schema}.revocations VALIDATE CONSTRAINT " + constraint
}

func index(name, column, matters string) part {
	return part{
		kind: "index", name: name, severity: Slow, matters: matters, mends: true,
		definition: fmt.Sprintf("CREATE INDEX %s ON {schema}.revocations USING btree (%s)", name, column),
		remedy:     []string{fmt.Sprintf("CREATE INDEX CONCURRENTLY %s ON {schema}.revocations (%s)", name, column)},
	}
}

// rebuild is the remedy of an incomplete schema.
const rebuild = "restore it from a backup; or begin without any revocation: DROP TABLE IF EXISTS {schema}.revocations, {schema}.sessions, {schema}." +
	versionTable + "; DROP FUNCTION IF EXISTS {schema}.epochs, {schema}.row_key, {schema}.set_xid, {schema}.schema_version; and call migrations.Up"
