package postgres

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Fill writes a statement out. constants are names and what stands for them in turn, such as
// "{schema}" and the schema's name. The rest are macros, so that no statement depends on a setting
// or on the search_path:
//
//	{=} {+} and the like  an operator of pg_catalog
//	{decoded X}           a name that was sent as HexText
//	{note X}              the same for a text that may be empty, which is null then
//	{encoded X}           a name to be read by Columns.Name
//	{micros X}            a time to be read by Columns.Number, in whole microseconds since 1970
//	{seconds $1}          a number of seconds that was sent as SecondsText
func Fill(sql string, constants ...string) string {
	sql = strings.NewReplacer(constants...).Replace(sql)
	sql = microsPattern.ReplaceAllString(sql, "(extract(epoch FROM $1) {*} 1000000)::bigint")
	// nullif would look for its operator in the search_path.
	sql = notePattern.ReplaceAllString(sql, "CASE WHEN $1::pg_catalog.text {<>} '' THEN {decoded $1::pg_catalog.text} END")
	sql = decodedPattern.ReplaceAllString(sql, "pg_catalog.convert_from(pg_catalog.decode($1, 'hex'), 'UTF8')")
	sql = encodedPattern.ReplaceAllString(sql, "coalesce(pg_catalog.encode(pg_catalog.convert_to($1, 'UTF8'), 'hex'), '')")
	sql = secondsPattern.ReplaceAllString(sql, "pg_catalog.make_interval(secs => $1::double precision)")
	return operatorPattern.ReplaceAllString(sql, "OPERATOR(pg_catalog.$1)")
}

var (
	microsPattern   = regexp.MustCompile(`\{micros ([^}]*)\}`)
	notePattern     = regexp.MustCompile(`\{note ([^}]*)\}`)
	decodedPattern  = regexp.MustCompile(`\{decoded ([^}]*)\}`)
	encodedPattern  = regexp.MustCompile(`\{encoded ([^}]*)\}`)
	secondsPattern  = regexp.MustCompile(`\{seconds (\$\d+)\}`)
	operatorPattern = regexp.MustCompile(`\{([-+*=<>|]+)\}`)
)

// Interval writes a duration in seconds, because a day of '400 days' has 23 hours once a year
// in some time zones.
func Interval(d time.Duration) string {
	return fmt.Sprintf("interval '%d seconds'", int64(d/time.Second))
}

// How transactions of our own begin. A server in recovery refuses the second.
const (
	begin         = "BEGIN ISOLATION LEVEL READ COMMITTED"
	beginWritable = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
)

// standbysSQL asks whether a commit waits for a synchronous standby.
const standbysSQL = "SELECT pg_catalog.current_setting('synchronous_standby_names')"

// DurableSQL is the first statement of a write. An acknowledged revocation survives a crash: a
// weaker setting is raised for this transaction, a stronger one stays. A gateway may read
// statements and refuse one that names the setting as a text. The warning of a commit that no
// longer waits for its synchronous standby must reach the client.
const DurableSQL = `DO $$BEGIN
    IF pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) ANY ('{off,local}'::pg_catalog.text[]) THEN
        SET LOCAL synchronous_commit = on;
    END IF;
    IF pg_catalog.current_setting('client_min_messages') OPERATOR(pg_catalog.=) 'error' THEN
        SET LOCAL client_min_messages = warning;
    END IF;
END$$`
