package testkit

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Setting is a parameter with which a connection begins, and its value.
type Setting struct{ Name, Value string }

// Settings are parameters of one connection.
type Settings []Setting

// String names the first of the settings.
func (s Settings) String() string {
	name := s[0].Name + "=" + s[0].Value
	if len(s) > 1 {
		name += " and others"
	}
	return name
}

// Configure gives the connections of a pool the settings.
func (s Settings) Configure(c *pgxpool.Config) {
	for _, setting := range s {
		c.ConnConfig.RuntimeParams[setting.Name] = setting.Value
	}
}

// EachSetting returns settings that are to change no answer. Those that change what names mean,
// how statements are planned and how transactions begin stand alone. Those that change how values
// are written, and what else is for one thing only, are set together in a short run.
func EachSetting() []Settings {
	var all []Settings
	for _, s := range settingsAlone {
		all = append(all, Settings{s})
	}
	if Long(true, false) {
		return append(all, settingsTogether...)
	}
	for _, together := range settingsTogether {
		for _, s := range together {
			all = append(all, Settings{s})
		}
	}
	return all
}

var settingsAlone = []Setting{
	{"client_encoding", "LATIN1"}, {"client_encoding", "SQL_ASCII"}, {"client_encoding", "SJIS"},
	{"search_path", ""}, {"search_path", "trap, pg_catalog"}, {"standard_conforming_strings", "off"},
	{"plan_cache_mode", "force_generic_plan"}, {"plan_cache_mode", "force_custom_plan"},
	{"enable_indexscan", "off"}, {"enable_indexonlyscan", "off"}, {"enable_bitmapscan", "off"}, {"enable_seqscan", "off"},
	{"enable_nestloop", "off"}, {"enable_sort", "off"}, {"enable_material", "off"}, {"join_collapse_limit", "1"},
	{"jit_above_cost", "0"},
	{"default_transaction_isolation", "repeatable read"}, {"default_transaction_isolation", "serializable"},
	{"row_security", "off"}, {"session_replication_role", "replica"}, {"client_min_messages", "debug5"},
}

var settingsTogether = []Settings{
	{
		{"DateStyle", "ISO, DMY"}, {"IntervalStyle", "sql_standard"}, {"TimeZone", "Africa/Monrovia"},
		{"backslash_quote", "off"}, {"quote_all_identifiers", "on"}, {"cursor_tuple_fraction", "1"}, {"client_min_messages", "error"},
	},
	{
		{"DateStyle", "German"}, {"IntervalStyle", "postgres_verbose"}, {"TimeZone", "America/St_Johns"},
		{"extra_float_digits", "-15"}, {"array_nulls", "off"}, {"work_mem", "64kB"}, {"check_function_bodies", "off"},
	},
	{
		{"DateStyle", "SQL, DMY"}, {"IntervalStyle", "iso_8601"}, {"timezone_abbreviations", "Australia"},
		{"bytea_output", "escape"}, {"transform_null_equals", "on"}, {"synchronous_commit", "off"}, {"xmlbinary", "hex"},
	},
	{
		{"DateStyle", "Postgres, MDY"}, {"lc_numeric", "C"}, {"vacuum_cost_delay", "10"},
		{"default_transaction_deferrable", "on"}, {"default_toast_compression", "pglz"},
	},
}

// Modes are the ways in which pgx sends a query.
var Modes = []pgx.QueryExecMode{
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

var errNotAppType = errors.New("not a type of the app's")

func (refusing) DecodeDatabaseSQLValue(*pgtype.Map, uint32, int16, []byte) (driver.Value, error) {
	return nil, errNotAppType
}

func (refusing) DecodeValue(*pgtype.Map, uint32, int16, []byte) (any, error) {
	return nil, errNotAppType
}

// Registrations are the types that an app registers on its connections.
var Registrations = []struct {
	Name     string
	Register func(*pgtype.Map)
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

// trapsSQL makes a trap of each operator, and of each function in {functions}.
const trapsSQL = `DO $trap$
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
			  AND NOT '"any"'::regtype = ANY (proargtypes) AND NOT 'internal'::regtype = ANY (proargtypes) AND proargmodes IS NULL
		LOOP
			EXECUTE format('CREATE FUNCTION trap.%I(%s) RETURNS %s LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION ''trap''; END $$',
				o.proname, o.arguments, o.result);
		END LOOP;
	END $trap$`

// SetTraps makes a schema with functions, operators, types and tables that have the names
// of those that the statements use. Each operator and function fails, so that no use of one
// goes unnoticed.
func SetTraps(tb testing.TB, admin *pgxpool.Pool, statements []string) {
	tb.Helper()
	Exec(tb, admin, "CREATE SCHEMA trap")
	var functions []string
	for _, name := range regexp.MustCompile(`[a-z_0-9]+\(`).FindAllString(strings.Join(statements, " "), -1) {
		functions = append(functions, strings.TrimSuffix(name, "("))
	}
	Exec(tb, admin, strings.ReplaceAll(trapsSQL, "{functions}", strings.Join(functions, ",")))
	if n := QueryOne[int](tb, admin, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'trap'::regnamespace"); n < 200 {
		tb.Fatalf("%d traps", n)
	}
	// By these names the conditions of SQL itself would be asked of the trap: concat takes
	// any type.
	for _, name := range []string{"concat", "concat_ws"} {
		Exec(tb, admin, "CREATE FUNCTION trap."+name+`(VARIADIC text[]) RETURNS text LANGUAGE sql AS 'SELECT NULL::text'`)
	}
	for _, name := range []string{
		"pg_settings", "pg_stat_activity", "pg_prepared_xacts", "pg_replication_slots", "pg_trigger", "pg_proc", "pg_inherits", "revocations",
	} {
		Exec(tb, admin, "CREATE TABLE trap."+name+" (trapped int)")
	}
	for _, name := range []string{"uuid", "text", "timestamptz", "bool", "int4", "int8", "numeric", "interval", "float8", "bytea", "xid8", "regclass"} {
		Exec(tb, admin, "CREATE TYPE trap."+name+" AS (trapped pg_catalog.int4)")
	}
	Exec(tb, admin, "GRANT USAGE ON SCHEMA trap TO PUBLIC")
}
