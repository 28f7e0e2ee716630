package migrations

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/internal/schema"
)

// Inspect compares the database with what [Up] makes and the library needs: tables, indexes,
// constraints, triggers, functions, rights, and settings of the server and the role. It reads the
// catalog and the reserve of the table, writes nothing, takes no lock, and works on a standby and
// through a pooler in transaction mode. An error means that the catalog could not be read.
// Inspect does not look for corrupt indexes: the extension amcheck does.
func Inspect(ctx context.Context, pool *pgxpool.Pool, opts ...Option) (*Report, error) {
	f, err := lookFromPool(ctx, pool, opts)
	if err != nil {
		return nil, wrap("Inspect", err)
	}
	report := &Report{
		Version: f.version(), Server: f.server.Number, Role: f.server.Role, Findings: f.findings(),
	}
	if f.table != nil {
		report.Owner = f.table.Owner
	}
	return report, nil
}

// findings compares what was found with what is expected, the gravest first.
func (f *found) findings() []Finding {
	findings := f.ofServer()
	switch {
	case f.fresh():
		findings = append(findings, Finding{
			Severity: Wrong, Subject: "schema " + f.server.Schema, Problem: "it has no tables", Remedy: callUp,
		})
	case f.version() > Latest:
		findings = append(findings, Finding{
			Severity: Note, Subject: "schema " + f.server.Schema, Remedy: "update this program",
			Problem: fmt.Sprintf("its version %d is newer than %d, so its parts are not looked at", f.version(), Latest),
		})
	case f.stated > 0 && f.version() < Latest:
		findings = append(findings, Finding{
			Severity: Wrong, Subject: "schema " + f.server.Schema, Remedy: callUp,
			Problem: fmt.Sprintf("its version is %d, and %d is needed", f.version(), Latest),
		})
	default:
		findings = slices.Concat(findings, f.ofParts(), f.ofSurplus(), f.ofTable())
	}
	order := []Severity{Wrong, Slow, Note}
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Compare(slices.Index(order, a.Severity), slices.Index(order, b.Severity))
	})
	return findings
}

const callUp = "call migrations.Up"

// condition is a finding that is made where it holds.
type condition struct {
	holds bool
	Finding
}

func those(conditions []condition) []Finding {
	var findings []Finding
	for _, c := range conditions {
		if c.holds {
			findings = append(findings, c.Finding)
		}
	}
	return findings
}

// ofServer looks at the server, the database and the role.
func (f *found) ofServer() []Finding {
	s := f.server
	return those([]condition{
		{s.Encoding != "UTF8", Finding{
			Severity: Wrong, Subject: "database", Problem: "the encoding of this database is " + s.Encoding + ", and ids are UTF8",
			Remedy: "create one with ENCODING 'UTF8' TEMPLATE template0",
		}},
		{s.Number < 140000, Finding{
			Severity: Wrong, Subject: "server", Problem: fmt.Sprintf("its version %d is older than 14", s.Number/10000),
			Remedy: "upgrade Postgres",
		}},
		{s.Number >= 190000, Finding{
			Severity: Note, Subject: "server", Problem: fmt.Sprintf("the library was not tested with version %d", s.Number/10000),
			Remedy: "look for a newer version of the library",
		}},
		{s.InRecovery, Finding{
			Severity: Note, Subject: "server", Problem: "it is a standby, where checks and revocations are refused",
			Remedy: "connect to the primary, for instance with target_session_attrs=read-write",
		}},
		{s.Fenced, Finding{
			Severity: Note, Subject: "setting default_transaction_read_only", Problem: "it is on, as on a server that a switchover has fenced",
			Remedy: "connect to the new primary; or ALTER ROLE " + s.Role + " RESET default_transaction_read_only",
		}},
		{s.Isolation != "read committed", Finding{
			Severity: Note, Subject: "setting default_transaction_isolation", Remedy: "ALTER ROLE " + s.Role + " RESET default_transaction_isolation",
			Problem: "it is " + s.Isolation + ", so a check is a transaction of several statements",
		}},
		{s.Commit == "off" || s.Commit == "local", Finding{
			Severity: Note, Subject: "setting synchronous_commit", Remedy: "ALTER ROLE " + s.Role + " RESET synchronous_commit",
			Problem: "it is " + s.Commit + ": the library raises it for its own transactions, and not for the app's",
		}},
		{s.Usage != nil && !f.uses(), Finding{
			Severity: Note, Subject: "role " + s.Role, Problem: "it may not use the schema",
			Remedy: f.sql("GRANT USAGE ON SCHEMA {schema} TO " + s.Role),
		}},
		{f.fresh() && !s.Language, Finding{
			Severity: Wrong, Subject: "role " + s.Role, Problem: "it may not use the language plpgsql, in which a trigger is written",
			Remedy: "GRANT USAGE ON LANGUAGE plpgsql TO " + s.Role,
		}},
	})
}

// ofParts compares each expected part with what was found under its name.
func (f *found) ofParts() []Finding {
	var findings []Finding
	if f.table == nil {
		findings = append(findings, f.missing("table revocations"))
	}
	sessions, hasSessions := f.parts[name{"table", "sessions"}]
	if !hasSessions {
		findings = append(findings, f.missing("table sessions"))
	}
	for _, p := range expected {
		if strings.HasPrefix(p.name, "sessions") && !hasSessions {
			continue
		}
		definition, exists := f.parts[name{p.kind, p.name}]
		finding := Finding{
			Severity: p.severity, Subject: p.kind + " " + p.name, Mends: p.mends, statements: f.each(p.remedy),
		}
		switch {
		case exists && definition == f.sql(p.definition):
			continue
		case !exists && p.essential && (p.kind == "function" || f.table != nil):
			findings = append(findings, f.missing(finding.Subject))
			continue
		case !exists && (p.essential || f.table == nil):
			continue
		case !exists:
			finding.Problem = "it is missing"
		case definition == f.sql(p.definition)+" NOT VALID":
			finding.Problem, finding.statements = "it is not validated", f.each([]string{validate(p.name)})
		case p.kind == "function":
			finding.Problem = "it has another definition"
		case p.kind == "index":
			finding.Problem = "it is " + definition
			finding.Mends = false
			finding.statements = f.each(append([]string{"DROP INDEX CONCURRENTLY {schema}." + p.name}, p.remedy...))
			if p.name == "revocations_pkey" {
				finding.statements = f.each(p.remedy)
			}
		default:
			finding.Problem = "it is " + definition
		}
		finding.Problem += ": " + p.matters
		finding.Remedy = strings.Join(finding.statements, "; ")
		findings = append(findings, finding)
	}
	return append(findings, f.ofSessions(sessions)...)
}

// ofSessions looks at the table of sessions as a whole. odd says what it is beside an
// ordinary table.
func (f *found) ofSessions(odd string) []Finding {
	_, hidden := f.parts[name{"hidden", "sessions"}]
	var lacks []string
	for _, right := range []string{"SELECT", "INSERT", "UPDATE", "DELETE"} {
		if _, isLacking := f.parts[name{"lacks", right}]; isLacking {
			lacks = append(lacks, right)
		}
	}
	rights := strings.Join(lacks, ", ")
	return those([]condition{
		{odd != "", Finding{
			Severity: Wrong, Subject: "table sessions", Problem: "it " + odd, Remedy: f.sql("ALTER TABLE {schema}.sessions SET LOGGED"),
		}},
		{hidden, Finding{
			Severity: Wrong, Subject: "table sessions", Problem: "row-level security hides rows from role " + f.server.Role,
			Remedy: f.sql("ALTER TABLE {schema}.sessions NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY"),
		}},
		{rights != "", Finding{
			Severity: Note, Subject: "role " + f.server.Role, Problem: "it may not " + rights + " on sessions, which package session needs",
			Remedy: f.sql("GRANT " + rights + " ON {schema}.sessions TO " + f.server.Role),
		}},
	})
}

// missing is the finding of an incomplete schema.
func (f *found) missing(subject string) Finding {
	return Finding{
		Severity: Wrong, Subject: subject, Problem: "it is missing, so the schema is incomplete", Remedy: f.sql(rebuild),
	}
}

// ofSurplus looks at what the migrations did not make.
func (f *found) ofSurplus() []Finding {
	var findings []Finding
	wanted := func(n name) bool {
		return slices.ContainsFunc(expected, func(p part) bool { return p.kind == n.kind && p.name == n.name })
	}
	for _, n := range f.names() {
		definition := f.parts[n]
		if wanted(n) {
			continue
		}
		table, row, own := "{schema}.revocations", "revocation", n.name
		if name, ofSessions := strings.CutPrefix(n.name, "sessions."); ofSessions {
			table, row, own = "{schema}.sessions", "session", name
		}
		finding := Finding{Severity: Note, Subject: n.kind + " " + n.name}
		_, hasDefault := f.parts[name{"default", n.name}]
		_, isConstraint := f.parts[name{"constraint", n.name}]
		switch n.kind {
		case "column":
			finding.Problem, finding.Remedy = "the library does not write it", "ALTER TABLE "+table+" DROP COLUMN "+own
			if strings.HasSuffix(definition, " NOT NULL") && !hasDefault {
				finding.Severity, finding.Problem = Wrong, "it is NOT NULL and has no default, so every "+row+" is refused"
			}
		case "default":
			finding.Problem = "the column has a default, and no statement of the library uses it"
			finding.Remedy = "ALTER TABLE " + table + " ALTER COLUMN " + own + " DROP DEFAULT"
		case "constraint":
			finding.Problem = "a " + row + " can be refused by it: " + definition
			if strings.Contains(definition, " ON DELETE ") || strings.Contains(definition, " ON UPDATE ") {
				finding.Severity, finding.Problem = Wrong, row+"s are deleted or altered by it: "+definition
			}
			finding.Remedy = "ALTER TABLE " + table + " DROP CONSTRAINT " + own
		case "reference":
			finding.Problem, finding.Remedy = "a sweep can be refused by it", "ALTER TABLE "+definition+" DROP CONSTRAINT "+own
		case "index":
			if isConstraint || !strings.HasPrefix(definition, "CREATE UNIQUE INDEX") {
				continue
			}
			finding.Problem = "a " + row + " can be refused by it: " + definition
			finding.Remedy = "DROP INDEX CONCURRENTLY {schema}." + own
		case "invalid":
			finding = f.invalid(n.name)
		case "trigger":
			if strings.HasSuffix(definition, " DISABLE") {
				continue
			}
			finding.Problem, finding.Remedy = "it runs with each write", "DROP TRIGGER "+own+" ON "+table
			if strings.Contains(definition, " BEFORE ") && strings.Contains(definition, " FOR EACH ROW ") {
				finding.Severity, finding.Problem = Wrong, "it can alter a "+row+" or leave it out: "+definition
			}
		case "rule":
			finding.Severity, finding.Problem = Wrong, "it can put another statement in the place of a "+row
			finding.Remedy = "DROP RULE " + own + " ON " + table
		case "policy":
			finding.Problem, finding.Remedy = "where row-level security is enabled, it hides rows", "DROP POLICY "+own+" ON "+table
		case "child":
			finding.Severity, finding.Problem = Wrong, "the table inherits to it, so its rows are read as "+row+"s"
			finding.Remedy = "ALTER TABLE " + own + " NO INHERIT " + table
		case "parent":
			finding.Problem, finding.Remedy = "the table inherits from it", "ALTER TABLE "+table+" NO INHERIT "+own
		case "publication":
			finding.Problem = "it leaves out: " + definition
			finding.Remedy = "call migrations.Up on the subscriber first, and again after a switchover"
		case "no right":
			finding.Subject, finding.Problem = "function "+n.name, "role "+f.server.Role+" may not call it"
			finding.Remedy = "GRANT EXECUTE ON FUNCTION {schema}." + n.name + " TO " + f.server.Role
		case "public":
			finding.Subject, finding.Mends = "function "+n.name, true
			finding.Problem, finding.Remedy = "every role of the database may call it", revokeEpochs
			finding.statements = f.each([]string{revokeEpochs})
		case "owner":
			finding.Subject, finding.Problem = "function "+n.name, "role "+definition+" owns it, not the owner of the table, and can replace it"
			finding.Remedy = "ALTER FUNCTION {schema}." + n.name + " OWNER TO " + f.table.Owner
		case "event trigger":
			finding.Problem = "it runs at " + definition + " of migrations, and can change or refuse what they make"
			finding.Remedy = "ALTER EVENT TRIGGER " + n.name + " DISABLE"
		default: // a collation of a surplus column, or another function of a name of ours
			continue
		}
		if finding.Remedy = f.sql(finding.Remedy); !finding.Mends {
			finding.statements = nil
		}
		findings = append(findings, finding)
	}
	return findings
}

// invalid is the finding of an index that is not used.
func (f *found) invalid(index string) Finding {
	finding := Finding{Severity: Slow, Subject: "index " + index, Problem: "it is invalid, so it is not used", Mends: true}
	finding.statements = f.each([]string{"REINDEX INDEX CONCURRENTLY {schema}." + index})
	switch index {
	case "revocations_pkey":
		finding.Severity, finding.Problem = Wrong, "it is invalid, so revocations are refused"
	case "revocations_expires_at_idx", "revocations_xid_idx":
	default: // a REINDEX CONCURRENTLY that failed left it
		finding.Severity, finding.Mends = Note, false
		finding.statements = f.each([]string{"DROP INDEX CONCURRENTLY {schema}." + index})
	}
	finding.Remedy = strings.Join(finding.statements, "; ")
	return finding
}

// ofTable looks at the table as a whole, and at the reserve.
func (f *found) ofTable() []Finding {
	t := f.table
	if t == nil {
		return nil
	}
	const subject = "table revocations"
	replaceable := func(statement string) Finding {
		return Finding{Severity: Slow, Mends: true, statements: f.each([]string{statement}), Remedy: f.sql(statement)}
	}
	truncate := replaceable("ALTER TABLE {schema}.revocations SET (vacuum_truncate = off)")
	truncate.Subject, truncate.Problem = subject, "vacuum_truncate is on, so every check waits when a vacuum gives pages back"
	reserve := replaceable(schema.ReserveSQL)
	reserve.Subject, reserve.Problem = "reserve", fmt.Sprintf("%d of its %d rows are there: checks may be planned as scans of the table",
		f.reserve, schema.ReserveRows)
	option := func(name string, values ...string) bool { return slices.Contains(values, t.Options[name]) }
	readsReserve := f.reserve >= 0 && !t.Hidden
	return those([]condition{
		{t.Kind != "r", Finding{
			Severity: Wrong, Subject: subject, Problem: fmt.Sprintf("it is of relkind %q and no ordinary table", t.Kind), Remedy: f.sql(rebuild),
		}},
		{t.Persistence != "p", Finding{
			Severity: Wrong, Subject: subject, Problem: "it is unlogged: a crash empties it, and a standby has none of its rows",
			Remedy: f.sql("ALTER TABLE {schema}.revocations SET LOGGED"),
		}},
		{t.Hidden, Finding{
			Severity: Wrong, Subject: subject, Problem: "row-level security hides rows from role " + f.server.Role,
			Remedy: f.sql("ALTER TABLE {schema}.revocations NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY"),
		}},
		{t.RowSecurity && !t.Hidden, Finding{
			Severity: Note, Subject: subject, Problem: "row-level security is enabled, and hides rows from other roles",
			Remedy: f.sql("ALTER TABLE {schema}.revocations DISABLE ROW LEVEL SECURITY"),
		}},
		{f.has("publication") && t.Identity == "n", Finding{
			Severity: Wrong, Subject: subject, Problem: "it is published without a replica identity, so epochs cannot be moved",
			Remedy: f.sql("ALTER TABLE {schema}.revocations REPLICA IDENTITY DEFAULT"),
		}},
		{!option("vacuum_truncate", "off", "false", "no", "0"), truncate},
		{option("autovacuum_enabled", "off", "false", "no", "0"), Finding{
			Severity: Slow, Subject: subject, Problem: "autovacuum is off for it, so it grows with what was swept",
			Remedy: f.sql("ALTER TABLE {schema}.revocations RESET (autovacuum_enabled)"),
		}},
		{t.Options["fillfactor"] != "", Finding{
			Severity: Note, Subject: subject, Problem: "its fillfactor is " + t.Options["fillfactor"],
			Remedy: f.sql("ALTER TABLE {schema}.revocations RESET (fillfactor)"),
		}},
		{readsReserve && f.reserve < schema.ReserveRows, reserve},
		{readsReserve && f.reserve >= schema.ReserveRows && t.Pages < schema.ReservePages, Finding{
			Severity: Slow, Subject: "reserve", Problem: fmt.Sprintf("the table has %d pages, fewer than %d", t.Pages, schema.ReservePages),
			Remedy: f.sql("DELETE FROM {schema}.revocations WHERE scope = 'reserve'") + "; and call migrations.Up",
		}},
		{len(t.Lacks) > 0, Finding{
			Severity: Note, Subject: "role " + f.server.Role, Problem: "on the table it may not " + strings.Join(t.Lacks, ", "),
			Remedy: f.sql("GRANT " + strings.Join(t.Lacks, ", ") + " ON {schema}.revocations TO " + f.server.Role),
		}},
	})
}
