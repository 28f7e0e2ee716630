package migrations_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
)

func inspect(t *testing.T, pool *pgxpool.Pool, opts ...migrations.Option) *migrations.Report {
	t.Helper()
	return testkit.Value(migrations.Inspect(t.Context(), pool, opts...))(t)
}

func wantNoFindings(t *testing.T, pool *pgxpool.Pool, opts ...migrations.Option) {
	t.Helper()
	for _, f := range inspect(t, pool, opts...).Findings {
		t.Errorf("finding: %s: %s", f.Severity, f)
	}
}

func TestInspectFindsNothing(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"revoke", "order", "public"} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			pool := pgserver.Pool(t, pgserver.EmptyDatabase(t), oneConnection)
			option := migrations.WithSchema(schema)
			report := inspect(t, pool, option)
			if len(report.Findings) != 1 || report.Version != 0 || report.Err() == nil || !strings.Contains(report.Err().Error(), "migrations.Up") {
				t.Errorf("of an empty database: %+v", report)
			}
			testkit.Must(t, migrations.Up(t.Context(), pool, option))
			wantNoFindings(t, pool, option)
			report = inspect(t, pool, option)
			if report.Version != migrations.Latest || report.Owner != "postgres" || report.Role != "postgres" || report.Server < 140000 ||
				report.Err() != nil {
				t.Errorf("of what Up made: %+v", report)
			}
		})
	}
}

const (
	byUp   = "Up mends it"
	byHand = "the remedy mends it"
)

// TestInspectFindsDamage damages the schema, and mends it by Up or by the remedy. A short run does
// so in each third way.
func TestInspectFindsDamage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		damage   string
		severity migrations.Severity
		subject  string
		mended   string
	}{
		{"the trigger is disabled", "ALTER TABLE revoke.revocations DISABLE TRIGGER set_xid", migrations.Wrong, "trigger set_xid", byUp},
		{"all triggers are disabled", "ALTER TABLE revoke.revocations DISABLE TRIGGER ALL", migrations.Wrong, "trigger set_xid", byUp},
		{"the trigger is not ALWAYS", "ALTER TABLE revoke.revocations ENABLE TRIGGER set_xid", migrations.Wrong, "trigger set_xid", byUp},
		{"the trigger is for replicas", "ALTER TABLE revoke.revocations ENABLE REPLICA TRIGGER set_xid", migrations.Wrong, "trigger set_xid", byUp},
		{"the trigger is missing", "DROP TRIGGER set_xid ON revoke.revocations", migrations.Wrong, "trigger set_xid", byUp},
		{
			"the trigger is for inserts alone", `DROP TRIGGER set_xid ON revoke.revocations;
				CREATE TRIGGER set_xid BEFORE INSERT ON revoke.revocations FOR EACH ROW EXECUTE FUNCTION revoke.set_xid();
				ALTER TABLE revoke.revocations ENABLE ALWAYS TRIGGER set_xid`,
			migrations.Wrong, "trigger set_xid", byUp,
		},
		{
			"the function of the trigger does nothing",
			"CREATE OR REPLACE FUNCTION revoke.set_xid() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
			migrations.Wrong, "function set_xid()", byUp,
		},
		{
			"a function was made safe by a tool", "ALTER FUNCTION revoke.row_key(text, text, text) SECURITY DEFINER",
			migrations.Wrong, "function row_key(text, text, text)", byUp,
		},
		{"epochs is missing", "DROP FUNCTION revoke.epochs", migrations.Wrong, "function epochs(text, text)", byUp},
		{
			"epochs has a snapshot of its own", "ALTER FUNCTION revoke.epochs(text, text) VOLATILE",
			migrations.Wrong, "function epochs(text, text)", byUp,
		},
		{
			"epochs has its owner's rights", "ALTER FUNCTION revoke.epochs(text, text) SECURITY DEFINER",
			migrations.Wrong, "function epochs(text, text)", byUp,
		},
		{
			"epochs reads what row-level security leaves", "ALTER FUNCTION revoke.epochs(text, text) RESET ALL",
			migrations.Wrong, "function epochs(text, text)", byUp,
		},
		{
			"epochs is for everyone", "GRANT EXECUTE ON FUNCTION revoke.epochs(text, text) TO PUBLIC",
			migrations.Note, "function epochs(text, text)", byUp,
		},
		{
			"another role owns epochs", "GRANT CREATE ON SCHEMA revoke TO pg_monitor; ALTER FUNCTION revoke.epochs(text, text) OWNER TO pg_monitor",
			migrations.Note, "function epochs(text, text)", byHand,
		},
		{
			"a constraint is not validated", `ALTER TABLE revoke.revocations DROP CONSTRAINT revocations_finite,
				ADD CONSTRAINT revocations_finite CHECK (isfinite(since) AND isfinite(expires_at) AND isfinite(revoked_at)) NOT VALID`,
			migrations.Wrong, "constraint revocations_finite", byUp,
		},
		{
			"a constraint is missing", "ALTER TABLE revoke.revocations DROP CONSTRAINT revocations_scope",
			migrations.Wrong, "constraint revocations_scope", byUp,
		},
		{
			"a constraint says something else",
			"ALTER TABLE revoke.revocations DROP CONSTRAINT revocations_id, ADD CONSTRAINT revocations_id CHECK (true)",
			migrations.Wrong, "constraint revocations_id", byUp,
		},
		{"an index is missing", "DROP INDEX revoke.revocations_xid_idx", migrations.Slow, "index revocations_xid_idx", byUp},
		{
			"an index is invalid", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'revoke.revocations_expires_at_idx'::regclass",
			migrations.Slow, "index revocations_expires_at_idx", byUp,
		},
		{
			"the index of the primary key is invalid", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'revoke.revocations_pkey'::regclass",
			migrations.Wrong, "index revocations_pkey", byUp,
		},
		{
			"an index of ours has another column",
			"DROP INDEX revoke.revocations_xid_idx; CREATE INDEX revocations_xid_idx ON revoke.revocations (scope)",
			migrations.Slow, "index revocations_xid_idx", byHand,
		},
		{
			"a rebuild left an index", `CREATE INDEX revocations_xid_idx_ccnew ON revoke.revocations (xid);
				UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'revoke.revocations_xid_idx_ccnew'::regclass`,
			migrations.Note, "index revocations_xid_idx_ccnew", byHand,
		},
		{
			"the primary key does not include since",
			"ALTER TABLE revoke.revocations DROP CONSTRAINT revocations_pkey, ADD CONSTRAINT revocations_pkey PRIMARY KEY (key)",
			migrations.Slow, "index revocations_pkey", byHand,
		},
		{
			"the primary key is missing", "ALTER TABLE revoke.revocations DROP CONSTRAINT revocations_pkey",
			migrations.Wrong, "constraint revocations_pkey", byHand,
		},
		{"the reserve is lost", "TRUNCATE revoke.revocations", migrations.Slow, "reserve", byUp},
		{"the reserve is incomplete", "DELETE FROM revoke.revocations WHERE ctid = '(3,1)'", migrations.Slow, "reserve", byUp},
		{
			"vacuum gives pages back", "ALTER TABLE revoke.revocations RESET (vacuum_truncate)",
			migrations.Slow, "table revocations", byUp,
		},
		{
			"autovacuum is off", "ALTER TABLE revoke.revocations SET (autovacuum_enabled = false)",
			migrations.Slow, "table revocations", byHand,
		},
		{"the pages have room", "ALTER TABLE revoke.revocations SET (fillfactor = 70)", migrations.Note, "table revocations", byHand},
		{"the table is unlogged", "ALTER TABLE revoke.revocations SET UNLOGGED", migrations.Wrong, "table revocations", byHand},
		{
			"row-level security is forced",
			"ALTER TABLE revoke.revocations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; ALTER TABLE revoke.revocations OWNER TO pg_monitor; SET ROLE pg_monitor",
			migrations.Wrong, "table revocations", "",
		},
		{
			"row-level security is on for other roles", "ALTER TABLE revoke.revocations ENABLE ROW LEVEL SECURITY",
			migrations.Note, "table revocations", byHand,
		},
		{"there is a policy", "CREATE POLICY tenant ON revoke.revocations USING (true)", migrations.Note, "policy tenant", byHand},
		{
			"a column may be null", "ALTER TABLE revoke.revocations ALTER COLUMN since DROP NOT NULL",
			migrations.Wrong, "column since", byHand,
		},
		{
			"a column has another type", "ALTER TABLE revoke.revocations ALTER COLUMN reason TYPE varchar(20)",
			migrations.Wrong, "column reason", byHand,
		},
		{
			"a column has another collation", `ALTER TABLE revoke.revocations ALTER COLUMN id TYPE text COLLATE "POSIX"`,
			migrations.Note, "collation id", byHand,
		},
		{
			"a column has a default", "ALTER TABLE revoke.revocations ALTER COLUMN reason SET DEFAULT 'none'",
			migrations.Note, "default reason", byHand,
		},
		{
			"a column was added", "ALTER TABLE revoke.revocations ADD COLUMN tenant text",
			migrations.Note, "column tenant", byHand,
		},
		{
			"a column was added that must be filled",
			"ALTER TABLE revoke.revocations ADD COLUMN tenant text NOT NULL DEFAULT ''; ALTER TABLE revoke.revocations ALTER COLUMN tenant DROP DEFAULT",
			migrations.Wrong, "column tenant", byHand,
		},
		{
			"a trigger leaves rows out", `CREATE FUNCTION public.drop_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
				CREATE TRIGGER drop_it BEFORE INSERT ON revoke.revocations FOR EACH ROW EXECUTE FUNCTION public.drop_it()`,
			migrations.Wrong, "trigger drop_it", byHand,
		},
		{
			"a trigger audits", `CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
				CREATE TRIGGER audit AFTER INSERT ON revoke.revocations FOR EACH ROW EXECUTE FUNCTION public.audit()`,
			migrations.Note, "trigger audit", byHand,
		},
		{
			"a rule leaves rows out", "CREATE RULE nothing AS ON INSERT TO revoke.revocations DO INSTEAD NOTHING",
			migrations.Wrong, "rule nothing", byHand,
		},
		{
			"a constraint was added", "ALTER TABLE revoke.revocations ADD CONSTRAINT short CHECK (length(actor) < 9)",
			migrations.Note, "constraint short", byHand,
		},
		{
			"a foreign key deletes rows", `CREATE TABLE public.users (name text COLLATE "C" PRIMARY KEY);
				ALTER TABLE revoke.revocations ADD CONSTRAINT of_user FOREIGN KEY (id) REFERENCES public.users ON DELETE CASCADE`,
			migrations.Wrong, "constraint of_user", byHand,
		},
		{
			"a table refers to rows", "CREATE TABLE public.log (key uuid CONSTRAINT of_row REFERENCES revoke.revocations)",
			migrations.Note, "reference of_row", byHand,
		},
		{
			"a unique index was added", "CREATE UNIQUE INDEX one_reason ON revoke.revocations (actor)",
			migrations.Note, "index one_reason", byHand,
		},
		{
			"a table inherits", "CREATE TABLE public.more () INHERITS (revoke.revocations)",
			migrations.Wrong, "child public.more", byHand,
		},
		{
			"the table inherits", "CREATE TABLE public.base (actor text); ALTER TABLE revoke.revocations INHERIT public.base",
			migrations.Note, "parent public.base", byHand,
		},
		{"the table is published", "CREATE PUBLICATION app FOR TABLE revoke.revocations", migrations.Note, "publication app", ""},
		{
			"the table is published without an identity",
			"CREATE PUBLICATION app FOR ALL TABLES; ALTER TABLE revoke.revocations REPLICA IDENTITY NOTHING",
			migrations.Wrong, "table revocations", "",
		},
		{
			"an event trigger looks on", `CREATE FUNCTION public.look_on() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
				CREATE EVENT TRIGGER look_on ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.look_on()`,
			migrations.Note, "event trigger look_on", byHand,
		},
		{
			"the version is of another program",
			"CREATE OR REPLACE FUNCTION revoke.schema_version() RETURNS bigint LANGUAGE sql AS 'SELECT 1'; DROP TABLE revoke." + migrations.VersionTable,
			migrations.Wrong, "schema revoke", "",
		},
		{"the sessions are gone", "DROP TABLE revoke.sessions", migrations.Wrong, "table sessions", ""},
		{"a column of sessions is gone", "ALTER TABLE revoke.sessions DROP COLUMN cnf", migrations.Wrong, "column sessions.cnf", ""},
		{
			"a column of sessions has another type", "ALTER TABLE revoke.sessions ALTER COLUMN generation TYPE int",
			migrations.Wrong, "column sessions.generation", byHand,
		},
		{
			"the primary key of sessions is missing", "ALTER TABLE revoke.sessions DROP CONSTRAINT sessions_pkey",
			migrations.Wrong, "constraint sessions_pkey", byHand,
		},
		{"an index of sessions is missing", "DROP INDEX revoke.sessions_user_key_idx", migrations.Slow, "index sessions_user_key_idx", byUp},
		{
			"an index of sessions is invalid", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'revoke.sessions_expires_at_idx'::regclass",
			migrations.Slow, "index sessions_expires_at_idx", byHand,
		},
		{"the sessions are unlogged", "ALTER TABLE revoke.sessions SET UNLOGGED", migrations.Wrong, "table sessions", byHand},
		{
			"row-level security hides sessions",
			"ALTER TABLE revoke.sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; GRANT ALL ON ALL TABLES IN SCHEMA revoke TO pg_monitor; " +
				"ALTER TABLE revoke.sessions OWNER TO pg_monitor; GRANT USAGE ON SCHEMA revoke TO pg_monitor; SET ROLE pg_monitor",
			migrations.Wrong, "table sessions", "",
		},
		{
			"a trigger leaves sessions out", `CREATE FUNCTION public.drop_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
				CREATE TRIGGER set_xid BEFORE UPDATE ON revoke.sessions FOR EACH ROW EXECUTE FUNCTION public.drop_it()`,
			migrations.Wrong, "trigger sessions.set_xid", byHand,
		},
		{
			"a trigger audits sessions", `CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
				CREATE TRIGGER audit AFTER INSERT ON revoke.sessions FOR EACH ROW EXECUTE FUNCTION public.audit()`,
			migrations.Note, "trigger sessions.audit", byHand,
		},
		{
			"a rule leaves sessions out", "CREATE RULE nothing AS ON UPDATE TO revoke.sessions DO INSTEAD NOTHING",
			migrations.Wrong, "rule sessions.nothing", byHand,
		},
		{"there is a policy for sessions", "CREATE POLICY tenant ON revoke.sessions USING (true)", migrations.Note, "policy sessions.tenant", byHand},
		{
			"a column of sessions has a default", "ALTER TABLE revoke.sessions ALTER COLUMN label SET DEFAULT 'none'",
			migrations.Note, "default sessions.label", byHand,
		},
		{"a column was added to sessions", "ALTER TABLE revoke.sessions ADD COLUMN tenant text", migrations.Note, "column sessions.tenant", byHand},
		{
			"a column was added to sessions that must be filled", "ALTER TABLE revoke.sessions ADD COLUMN tenant text NOT NULL",
			migrations.Wrong, "column sessions.tenant", byHand,
		},
		{
			"a constraint was added to sessions", "ALTER TABLE revoke.sessions ADD CONSTRAINT short CHECK (length(label) < 9)",
			migrations.Note, "constraint sessions.short", byHand,
		},
		{
			"a foreign key deletes sessions", `CREATE TABLE public.users (name text COLLATE "C" PRIMARY KEY);
				ALTER TABLE revoke.sessions ADD CONSTRAINT of_user FOREIGN KEY (subject) REFERENCES public.users ON DELETE CASCADE`,
			migrations.Wrong, "constraint sessions.of_user", byHand,
		},
		{
			"a table refers to sessions", "CREATE TABLE public.log (key uuid CONSTRAINT of_row REFERENCES revoke.sessions)",
			migrations.Note, "reference sessions.of_row", byHand,
		},
		{
			"a unique index was added to sessions", "CREATE UNIQUE INDEX one_device ON revoke.sessions (user_key, label)",
			migrations.Note, "index sessions.one_device", byHand,
		},
		{
			"a table inherits from sessions", "CREATE TABLE public.more () INHERITS (revoke.sessions)",
			migrations.Wrong, "child sessions.public.more", byHand,
		},
		{"the role is fenced", "SET default_transaction_read_only = on", migrations.Note, "setting default_transaction_read_only", ""},
		{"the role's isolation is stricter", "SET default_transaction_isolation = serializable", migrations.Note, "setting default_transaction_isolation", ""},
		{"the role's commits are not durable", "SET synchronous_commit = off", migrations.Note, "setting synchronous_commit", ""},
	}
	for i, test := range tests {
		if !testkit.Long(i%3 == 0, true) {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			pool := pgserver.Pool(t, pgserver.Database(t), oneConnection)
			testkit.Exec(t, pool, test.damage, pgx.QueryExecModeSimpleProtocol)
			report := inspect(t, pool)
			i := slices.IndexFunc(report.Findings, func(f migrations.Finding) bool { return f.Subject == test.subject && f.Severity == test.severity })
			if i < 0 {
				t.Fatalf("no such finding: %q %q; there are %+v", test.severity, test.subject, report.Findings)
			}
			found := report.Findings[i]
			if found.Problem == "" || found.Remedy == "" || found.Mends != (test.mended == byUp) || strings.Contains(found.String(), "\n") {
				t.Errorf("the finding is %+v", found)
			}
			err := migrations.Up(ctx, pool)
			if refuses := test.severity == migrations.Wrong && test.mended != byUp; (err != nil) != refuses {
				t.Errorf("Up = %v, with a finding that is %s", err, found.Severity)
			} else if refuses && (!strings.Contains(err.Error(), found.Subject) && !strings.Contains(err.Error(), "schema_version") || strings.Contains(err.Error(), "\n")) {
				t.Errorf("Up = %v, which does not name %q, or takes more than a line", err, found.Subject)
			}
			if test.mended == byHand {
				for statement := range strings.SplitSeq(found.Remedy, "; ") {
					testkit.Exec(t, pool, statement)
				}
			}
			if test.mended != "" {
				for _, f := range inspect(t, pool).Findings {
					if f.Severity == test.severity || f.Severity == migrations.Wrong {
						t.Errorf("after that: %s", f)
					}
				}
			}
		})
	}
}
