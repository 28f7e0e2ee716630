package revoke_test

import (
	"context"
	"crypto/rand"
	"database/sql/driver"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// setting is what a connection begins with.
type setting struct{ name, value string }

// settings are those that change how values are written, how statements are planned, what
// names mean and how transactions begin, and are to change no answer.
var settings = []setting{
	{"DateStyle", "ISO, DMY"}, {"DateStyle", "German"}, {"DateStyle", "SQL, DMY"}, {"DateStyle", "Postgres, MDY"},
	{"IntervalStyle", "sql_standard"}, {"IntervalStyle", "postgres_verbose"}, {"IntervalStyle", "iso_8601"},
	{"client_encoding", "LATIN1"}, {"client_encoding", "SQL_ASCII"}, {"client_encoding", "SJIS"},
	{"TimeZone", "Africa/Monrovia"}, {"TimeZone", "America/St_Johns"}, {"timezone_abbreviations", "Australia"},
	{"search_path", ""}, {"search_path", "trap, pg_catalog"},
	{"standard_conforming_strings", "off"}, {"backslash_quote", "off"}, {"extra_float_digits", "-15"}, {"bytea_output", "escape"},
	{"quote_all_identifiers", "on"}, {"array_nulls", "off"}, {"transform_null_equals", "on"}, {"lc_numeric", "C"},
	{"plan_cache_mode", "force_generic_plan"}, {"plan_cache_mode", "force_custom_plan"},
	{"enable_indexscan", "off"}, {"enable_indexonlyscan", "off"}, {"enable_bitmapscan", "off"}, {"enable_seqscan", "off"},
	{"enable_nestloop", "off"}, {"enable_sort", "off"}, {"enable_material", "off"}, {"join_collapse_limit", "1"},
	{"cursor_tuple_fraction", "1"}, {"work_mem", "64kB"},
	{"default_transaction_isolation", "repeatable read"}, {"default_transaction_isolation", "serializable"},
	{"default_transaction_deferrable", "on"}, {"row_security", "off"}, {"session_replication_role", "replica"},
	{"client_min_messages", "error"}, {"client_min_messages", "debug5"}, {"synchronous_commit", "off"},
	{"check_function_bodies", "off"}, {"xmlbinary", "hex"}, {"vacuum_cost_delay", "10"}, {"default_toast_compression", "pglz"},
}

// modes are the ways in which pgx sends a query.
var modes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

// decimal is a number type of an app's, as that of a library for money.
type decimal struct{ text string }

func (d *decimal) Scan(value any) error        { d.text = fmt.Sprint(value); return nil }
func (d decimal) Value() (driver.Value, error) { return d.text, nil }

// refusing is a codec that knows only values of an app's own type.
type refusing struct{}

func (refusing) FormatSupported(int16) bool { return true }
func (refusing) PreferredFormat() int16     { return pgtype.BinaryFormatCode }

func (refusing) PlanEncode(*pgtype.Map, uint32, int16, any) pgtype.EncodePlan { return nil }
func (refusing) PlanScan(*pgtype.Map, uint32, int16, any) pgtype.ScanPlan     { return nil }

func (refusing) DecodeDatabaseSQLValue(*pgtype.Map, uint32, int16, []byte) (driver.Value, error) {
	return nil, fmt.Errorf("not a type of the app's")
}

func (refusing) DecodeValue(*pgtype.Map, uint32, int16, []byte) (any, error) {
	return nil, fmt.Errorf("not a type of the app's")
}

// registrations are the types that an app registers on its connections.
var registrations = []struct {
	name     string
	register func(*pgtype.Map)
}{
	{"pgx's own types", func(*pgtype.Map) {}},
	{"uuid as text", func(m *pgtype.Map) {
		m.RegisterType(&pgtype.Type{Name: "uuid", OID: pgtype.UUIDOID, Codec: &pgtype.TextFormatOnlyCodec{Codec: pgtype.TextCodec{}}})
	}},
	{"int8 as numeric", func(m *pgtype.Map) {
		m.RegisterType(&pgtype.Type{Name: "int8", OID: pgtype.Int8OID, Codec: &pgtype.TextFormatOnlyCodec{Codec: pgtype.NumericCodec{}}})
		m.RegisterDefaultPgType(decimal{}, "numeric")
	}},
	{"times and booleans as text", func(m *pgtype.Map) {
		for name, oid := range map[string]uint32{"timestamptz": pgtype.TimestamptzOID, "bool": pgtype.BoolOID, "interval": pgtype.IntervalOID} {
			m.RegisterType(&pgtype.Type{Name: name, OID: oid, Codec: &pgtype.TextFormatOnlyCodec{Codec: pgtype.TextCodec{}}})
		}
	}},
	{"strings as varchar", func(m *pgtype.Map) { m.RegisterDefaultPgType("", "varchar") }},
	{"every type as one of the app's own", func(m *pgtype.Map) {
		for _, oid := range []uint32{
			pgtype.BoolOID, pgtype.ByteaOID, pgtype.Int8OID, pgtype.Int4OID, pgtype.Int2OID, pgtype.TextOID, pgtype.VarcharOID,
			pgtype.UUIDOID, pgtype.UUIDArrayOID, pgtype.TextArrayOID, pgtype.TimestamptzOID, pgtype.TimestamptzArrayOID,
			pgtype.Float8OID, pgtype.NumericOID, pgtype.IntervalOID, pgtype.NameOID,
		} {
			m.RegisterType(&pgtype.Type{Name: fmt.Sprint("own_", oid), OID: oid, Codec: refusing{}})
		}
	}},
}

// setTraps makes a schema with functions, operators, types and tables that have the names
// of those that the statements use. Each operator and function fails, so that no use of one
// goes unnoticed.
func setTraps(tb testing.TB, admin *pgxpool.Pool) {
	tb.Helper()
	testkit.Exec(tb, admin, "CREATE SCHEMA trap")
	var functions []string
	for _, statement := range revoke.AllSQL() {
		for _, name := range regexp.MustCompile(`[a-z_0-9]+\(`).FindAllString(statement.SQL, -1) {
			functions = append(functions, strings.TrimSuffix(name, "("))
		}
	}
	const traps = `DO $trap$
		DECLARE o record;
		BEGIN
			FOR o IN SELECT oid, oprname, oprleft::regtype AS l, oprright::regtype AS r, oprresult::regtype AS result FROM pg_operator
				WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprkind = 'b'
				  AND oprname IN ('=', '<>', '<', '>', '<=', '>=', '+', '-', '*', '||')
				  AND oprleft <> ALL ('{anyarray,anyelement,record,anyenum,anyrange,anymultirange,anynonarray,anycompatiblearray,anycompatible}'::regtype[])
				  AND oprright <> ALL ('{anyarray,anyelement,record,anyenum,anyrange,anymultirange,anynonarray,anycompatiblearray,anycompatible}'::regtype[])
			LOOP
				EXECUTE format('CREATE FUNCTION trap.operator_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION ''trap''; END $$',
					o.oid, o.l, o.r, o.result);
				EXECUTE format('CREATE OPERATOR trap.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = trap.operator_%s)', o.oprname, o.l, o.r, o.oid);
			END LOOP;
			FOR o IN SELECT proname, pg_get_function_identity_arguments(oid) AS arguments, pg_get_function_result(oid) AS result FROM pg_proc
				WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind IN ('f', 'a') AND proname = ANY (string_to_array('{functions}', ','))
				  AND NOT '"any"'::regtype = ANY (proargtypes) AND NOT 'internal'::regtype = ANY (proargtypes)
			LOOP
				EXECUTE format('CREATE FUNCTION trap.%I(%s) RETURNS %s LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION ''trap''; END $$',
					o.proname, o.arguments, o.result);
			END LOOP;
		END $trap$`
	testkit.Exec(tb, admin, strings.ReplaceAll(traps, "{functions}", strings.Join(functions, ",")))
	if n := testkit.QueryOne[int](tb, admin, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'trap'::regnamespace"); n < 200 {
		tb.Fatalf("%d traps", n)
	}
	// By these names the conditions of SQL itself would be asked of the trap: concat takes
	// any type.
	for _, name := range []string{"concat", "concat_ws"} {
		testkit.Exec(tb, admin, "CREATE FUNCTION trap."+name+`(VARIADIC text[]) RETURNS text LANGUAGE sql AS 'SELECT NULL::text'`)
	}
	for _, name := range []string{"pg_settings", "pg_stat_activity", "pg_prepared_xacts", "pg_replication_slots", "revocations"} {
		testkit.Exec(tb, admin, "CREATE TABLE trap."+name+" (trapped int)")
	}
	for _, name := range []string{"uuid", "text", "timestamptz", "bool", "int4", "int8", "numeric", "interval", "float8", "bytea", "xid8"} {
		testkit.Exec(tb, admin, "CREATE TYPE trap."+name+" AS (trapped pg_catalog.int4)")
	}
	testkit.Exec(tb, admin, "GRANT USAGE ON SCHEMA trap TO PUBLIC")
}

// TestSettings runs every operation under settings, in the query modes of pgx, with types
// that an app has registered. Without REVOKE_TEST_LONG each setting, mode and registration
// is met, and not each combination.
func TestSettings(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	setTraps(t, admin)
	plain := setting{"application_name", "app"}
	run := func(s setting, mode pgx.QueryExecMode, registration int) {
		r := registrations[registration]
		t.Run(fmt.Sprintf("%v/%s/%s=%s", mode, r.name, s.name, s.value), func(t *testing.T) {
			t.Parallel()
			pool := pgserver.Pool(t, address, testkit.WithMode(mode), func(c *pgxpool.Config) {
				c.MaxConns = 2
				// A plan of which a part is switched off costs so much that it would be
				// compiled each time.
				c.ConnConfig.RuntimeParams["jit"] = map[bool]string{true: "on", false: "off"}[s.name == "jit_above_cost"]
				c.ConnConfig.RuntimeParams[s.name] = s.value
				c.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
					r.register(conn.TypeMap())
					return nil
				}
			})
			// pgx itself refuses to put values into a text that such a server would read otherwise.
			if mode == pgx.QueryExecModeSimpleProtocol && (s.name == "client_encoding" || s.name == "standard_conforming_strings") {
				store := testkit.OpenStore(t, pool)
				for _, op := range slices.Concat(reads, writes) {
					testkit.WantError(t, op.call(t.Context(), store, ownToken()), revoke.ErrUnavailable)
				}
				return
			}
			everyOperation(t, admin, pool, testkit.Long(map[bool]int{true: 2, false: 1}[s == plain], 4))
		})
	}
	long := testkit.Long(false, true)
	settings := append(slices.Clip(settings), setting{"role", newRole(t, admin)})
	if long {
		// Each query is compiled, which takes its time.
		settings = append(settings, setting{"jit_above_cost", "0"})
	}
	for m, mode := range modes {
		for r := range registrations {
			run(plain, mode, r)
			for _, s := range settings {
				if long || (m == 0 && r == 0) || (s.name == "search_path" && r == len(registrations)-1) {
					run(s, mode, r)
				}
			}
		}
	}
}

// everyOperation revokes in each scope and in some ways, by the pool, and looks at what
// stands then, by the pool and by a connection without settings.
func everyOperation(t *testing.T, admin, pool *pgxpool.Pool, ways int) {
	t.Helper()
	ctx := t.Context()
	store, plain := testkit.OpenStore(t, pool, revoke.WithCheckTimeout(time.Minute)), testkit.OpenStore(t, admin)
	const reason, actor = `"Grund" ü\ 日本 €`, "O'Brien, {x}"
	options := []revoke.RevokeOption{revoke.WithReason(reason), revoke.WithActor(actor)}
	token := func() revoke.Token {
		token := testkit.Token()
		token.Issuer = `https://ü"\日本.example/` + rand.Text()
		token.ID, token.Subject, token.SessionID = `jti-ü"\,{}`+rand.Text(), "日本 NULL", "€'"+rand.Text()
		return token
	}
	db := sqlDB(t, pool)
	waysToWrite := []struct {
		name string
		in   func(write func(revoke.Revoker) error) error
	}{
		{"store", func(write func(revoke.Revoker) error) error { return write(store) }},
		{"WithSQLTx", func(write func(revoke.Revoker) error) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			if err := write(store.WithSQLTx(tx)); err != nil {
				_ = tx.Rollback()
				return err
			}
			return tx.Commit()
		}},
		{"InTx", func(write func(revoke.Revoker) error) error { return store.InTx(ctx, write) }},
		{"WithTx", func(write func(revoke.Revoker) error) error {
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return write(store.WithTx(tx)) })
		}},
	}
	for _, way := range waysToWrite[:ways] {
		for _, write := range hookedWrites {
			t.Run(way.name+"/"+write.name, func(t *testing.T) {
				dead := token()
				testkit.Must(t, store.Check(ctx, dead))
				if write.name == "RevokeUserBefore" {
					dead.IssuedAt = dead.IssuedAt.Add(-time.Hour)
				}
				var epochs revoke.Epochs
				testkit.Must(t, way.in(func(r revoke.Revoker) (err error) {
					switch write.name { // with reason and actor, and what it returns
					case "RevokeToken":
						return r.RevokeToken(ctx, dead, options...)
					case "RevokeUser":
						if epochs, err = r.RevokeUser(ctx, dead.User(), options...); err != nil {
							return err
						}
						read, err := r.Epochs(ctx, dead.User())
						if read != epochs {
							t.Errorf("Epochs = %v, want %v", read, epochs)
						}
						return err
					case "RevokeUserBefore":
						return r.RevokeUserBefore(ctx, dead.User(), dead.IssuedAt.Add(1500*time.Millisecond), options...)
					case "Redeem":
						if err := r.Redeem(ctx, dead, options...); err != nil {
							return err
						}
						testkit.WantError(t, r.Redeem(ctx, dead), revoke.ErrRevoked)
						return nil
					}
					return write.write(ctx, r, dead)
				}))
				for name, s := range map[string]*revoke.Postgres{"the pool": store, "a plain connection": plain} {
					testkit.WantError(t, s.Check(ctx, dead), revoke.ErrRevoked)
					found := testkit.Value(s.Lookup(ctx, dead))(t)
					if len(found) != 1 || found[0].Scope != write.scope || found[0].Issuer != dead.Issuer {
						t.Fatalf("by %s Lookup = %+v", name, found)
					}
					id := map[revoke.Scope]string{revoke.ScopeToken: dead.ID, revoke.ScopeSession: dead.SessionID, revoke.ScopeUser: dead.Subject}
					if found[0].ID != id[write.scope] {
						t.Errorf("by %s the id is %q, want %q", name, found[0].ID, id[write.scope])
					}
					if noted := write.name != "RevokeTokens" && write.name != "RevokeSession" && write.name != "RevokeIssuer"; noted &&
						(found[0].Reason != reason || found[0].Actor != actor) {
						t.Errorf("by %s reason and actor are %q and %q", name, found[0].Reason, found[0].Actor)
					}
					since, expires := time.Now(), time.Now().Add(revoke.MaxTokenLifetime)
					switch {
					case write.name == "RevokeUserBefore":
						since = dead.IssuedAt.Add(1500 * time.Millisecond)
					case write.scope == revoke.ScopeToken:
						expires = dead.ExpiresAt
					}
					if near(found[0].Since, since) != nil || near(found[0].ExpiresAt, expires) != nil {
						t.Errorf("by %s since %v until %v, want %v and %v", name, found[0].Since, found[0].ExpiresAt, since, expires)
					}
					if read := testkit.Value(s.Epochs(ctx, dead.User()))(t); write.name == "RevokeUser" && read != epochs {
						t.Errorf("by %s Epochs = %v, want %v", name, read, epochs)
					}
				}
				if write.name == "RevokeUser" {
					dead.Epochs, dead.HasEpochs = epochs, true
					testkit.Must(t, store.Check(ctx, dead))
				}
			})
		}
	}
	t.Run("IssueTime", func(t *testing.T) {
		testkit.Must(t, near(testkit.Value(store.IssueTime(ctx, token().User()))(t), time.Now()))
	})
	t.Run("an expiry that is not known", func(t *testing.T) {
		dead := token()
		known, unknown := dead, dead
		unknown.ID, unknown.ExpiresAt = "unknown "+unknown.ID, time.Time{}
		testkit.Must(t, store.RevokeTokens(ctx, []revoke.Token{known, unknown}))
		unknown.ExpiresAt = dead.ExpiresAt
		found := testkit.Value(plain.Lookup(ctx, unknown))(t)
		if len(found) != 1 || near(found[0].ExpiresAt, time.Now().Add(revoke.MaxTokenLifetime+revoke.MaxLeeway)) != nil {
			t.Errorf("Lookup = %+v", found)
		}
	})
	t.Run("Sweep", func(t *testing.T) {
		id := rand.Text()
		testkit.Exec(t, admin, `INSERT INTO revoke.revocations (key, since, expires_at, revoked_at, scope, issuer, id)
			VALUES (gen_random_uuid(), now(), now() - interval '2 hours', now(), 'token', 'expired', $1)`, id)
		testkit.Value(newSweeper(t, store).Sweep(ctx))(t)
		// A sweeper beside this one may hold the row.
		testkit.Eventually(t, "the expired row is deleted", func() bool {
			return testkit.QueryOne[int](t, admin, "SELECT count(*) FROM revoke.revocations WHERE id = $1", id) == 0
		})
	})
}

// near returns an error unless two times lie less than ten minutes apart.
func near(got, want time.Time) error {
	if d := got.Sub(want).Abs(); d > 10*time.Minute {
		return fmt.Errorf("%v lies %v from %v", got, d, want)
	}
	return nil
}

// TestStatementsNameNoSettingAsText reads the statements as a gateway does that refuses one by its
// text. TestSynchronousCommit looks at what the setting is.
func TestStatementsNameNoSettingAsText(t *testing.T) {
	t.Parallel()
	for _, statement := range revoke.AllSQL() {
		t.Run(statement.Name, func(t *testing.T) {
			if regexp.MustCompile(`set_config\(\s*'synchronous_commit'`).MatchString(statement.SQL) || strings.Contains(statement.SQL, "pg_temp") {
				t.Errorf("a gateway refuses %s", statement.SQL)
			}
		})
	}
}
