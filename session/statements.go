package session

import (
	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/circumstances"
	"github.com/pgrevoke/revoke/internal/postgres"
)

// statements are all that this package sends, each once. For what stands in braces, and for
// how values are written, see internal/postgres. Each finds its row by the primary key, but
// for list, lock, excess and forget, which use the index on user_key, and sweep, which uses
// that on expires_at.
type statements struct {
	start                      string
	see, refresh               string
	list                       string
	hold                       string
	end, endMany, lock, excess string
	forget                     string
	sweep                      string
}

func newStatements(schema string) statements {
	constants := []string{
		"{circumstances}", circumstances.SQL(schema, "sessions"),
		"{schema}", `"` + schema + `"`,
		"{live}", liveSQL,
		"{seen}", seenSQL,
		"{columns}", columnsSQL,
		"{margin}", postgres.Interval(revoke.DefaultMargin),
	}
	fill := func(sql string) string {
		// The first pass puts parts in their places, the second fills them.
		return postgres.Fill(postgres.Fill(sql, constants...), constants...)
	}
	return statements{
		start:   fill(startSQL),
		see:     fill(seeSQL),
		refresh: fill(refreshSQL),
		list:    fill(listSQL),
		hold:    fill(holdSQL),
		end:     fill(endSQL),
		endMany: fill(endManySQL),
		lock:    fill(lockSQL),
		excess:  fill(excessSQL),
		forget:  fill(forgetSQL),
		sweep:   fill(sweepSQL),
	}
}

// The clock is read once. The row shows the times, so that the tokens bear them.
const startSQL = `WITH clock AS MATERIALIZED (SELECT pg_catalog.clock_timestamp() AS now), written AS (
    INSERT INTO {schema}.sessions (key, user_key, issuer, sid, subject, client, user_epoch, issuer_epoch, generation,
        started_at, expires_at, label, user_agent, address, attributes)
    SELECT $1::pg_catalog.uuid, $2::pg_catalog.uuid, {decoded $3::pg_catalog.text}, {decoded $4::pg_catalog.text},
        {decoded $5::pg_catalog.text}, {note $6}, $7::bigint, $8::bigint, 1, clock.now, clock.now {+} {seconds $9},
        {note $10}, {note $11}, {note $12}, ({note $13})::pg_catalog.jsonb
    FROM clock
    RETURNING started_at, expires_at)
SELECT {circumstances}, {micros w.started_at}::pg_catalog.text, {micros w.expires_at}::pg_catalog.text FROM written AS w`

// seenSQL is what a refresh is judged by, from one snapshot and by one reading of the
// clock: what is revoked, and the row, both of which may be missing. $1 is the key of the
// session, $2 that of the user, $3 that of the issuer.
const seenSQL = `clock AS MATERIALIZED (SELECT pg_catalog.clock_timestamp() AS now),
told AS MATERIALIZED (
    SELECT clock.now,
        (SELECT {micros r.since} FROM {schema}.revocations AS r WHERE r.key {=} $1::pg_catalog.uuid) AS session_since,
        (SELECT {micros r.since} FROM {schema}.revocations AS r WHERE r.key {=} $2::pg_catalog.uuid) AS user_since,
        (SELECT {micros r.since} FROM {schema}.revocations AS r WHERE r.key {=} $3::pg_catalog.uuid) AS issuer_since
    FROM clock)`

// columnsSQL is how what was seen is answered.
const columnsSQL = `{circumstances}, {micros t.now}::pg_catalog.text, coalesce(t.session_since::pg_catalog.text, ''),
    coalesce(t.user_since::pg_catalog.text, ''), coalesce(t.issuer_since::pg_catalog.text, ''), coalesce(s.generation::pg_catalog.text, ''),
    coalesce(({micros s.refreshed_at})::pg_catalog.text, ''), coalesce(({micros s.started_at})::pg_catalog.text, ''),
    coalesce(({micros s.expires_at})::pg_catalog.text, ''), (s.ended_at IS NOT NULL)::pg_catalog.text, (s.cnf IS NOT NULL)::pg_catalog.text,
    {encoded s.client}, {encoded s.user_agent}, {encoded s.address}, coalesce(s.user_epoch::pg_catalog.text, ''),
    coalesce(s.issuer_epoch::pg_catalog.text, '')`

const seeSQL = `WITH {seen}
SELECT {columns} FROM told AS t LEFT JOIN {schema}.sessions AS s ON s.key {=} $1::pg_catalog.uuid AND s.user_key {=} $2::pg_catalog.uuid`

// A refresh is this one statement. What it does is decided by what its snapshot shows, by
// one reading of the clock:
//
//   - rotate: the presented generation ($4) is the current one, and the last rotation is a
//     grace ago or longer. A session that was not refreshed yet has had no rotation.
//   - adopt: the presented generation is above the row's. It was signed, so a failover has lost the
//     commit of its rotation.
//   - set: the last rotation lies in the future, because the clock was set back. It is set
//     to now, so that the grace does not last until the clock has caught up.
//
// It does nothing to a session that is ended, bound to a key, over, idle, another client's
// or revoked, by the epochs of the token ($5 and $6), which also may not be ahead.
//
// The row is locked first, and only if it still is as the snapshot shows. So there is one
// winner, and refreshed_at is read off the clock after the last wait: what the SET list of
// an UPDATE computes before a wait stands where the transaction that it waited for was
// rolled back.
//
// What Forget has blanked since the snapshot stays blank: nothing else writes a row and leaves its
// generation, its refreshed_at and its end as they are. Forget writes the rows that are blank, too,
// so that the version of the row tells.
const refreshSQL = `WITH {seen},
seen AS MATERIALIZED (
    SELECT s.*, s.xmin AS version, CASE
        WHEN s.ended_at IS NOT NULL OR s.cnf IS NOT NULL OR coalesce(s.client, '') {<>} ({decoded $7::pg_catalog.text})
          OR s.expires_at {<=} t.now OR (coalesce(s.refreshed_at, s.started_at) {+} {seconds $8}) {<=} t.now
          OR t.session_since IS NOT NULL OR coalesce(t.user_since, 0) {>} $5::bigint OR coalesce(t.issuer_since, 0) {>} $6::bigint
          OR $5::bigint {>} greatest(t.user_since, {micros t.now}) OR $6::bigint {>} greatest(t.issuer_since, {micros t.now}) THEN 'none'
        WHEN s.generation {<} $4::bigint THEN 'adopt'
        WHEN s.generation {>} $4::bigint THEN 'none'
        WHEN s.refreshed_at IS NULL OR (s.refreshed_at {+} {seconds $9}) {<=} t.now THEN 'rotate'
        WHEN s.refreshed_at {>} t.now THEN 'set'
        ELSE 'none' END AS action
    FROM told AS t, {schema}.sessions AS s WHERE s.key {=} $1::pg_catalog.uuid AND s.user_key {=} $2::pg_catalog.uuid),
locked AS MATERIALIZED (
    SELECT s.key, n.action, s.xmin {<>} n.version AS forgotten FROM {schema}.sessions AS s JOIN seen AS n ON s.key {=} n.key
    WHERE n.action {<>} 'none' AND s.generation {=} n.generation AND s.ended_at IS NULL
      AND (s.refreshed_at {=} n.refreshed_at OR s.refreshed_at IS NULL AND n.refreshed_at IS NULL)
    FOR NO KEY UPDATE OF s),
written AS (
    UPDATE {schema}.sessions AS s SET
        generation = CASE WHEN l.action {=} 'rotate' THEN $4::bigint {+} 1 ELSE $4::bigint END,
        refreshed_at = pg_catalog.clock_timestamp(),
        label = CASE WHEN l.forgotten THEN s.label ELSE coalesce({note $10}, s.label) END,
        user_agent = CASE WHEN l.forgotten THEN s.user_agent ELSE {note $11} END,
        address = CASE WHEN l.forgotten THEN s.address ELSE {note $12} END,
        attributes = CASE WHEN l.forgotten THEN s.attributes ELSE coalesce(({note $13})::pg_catalog.jsonb, s.attributes) END
    FROM locked AS l WHERE s.key {=} l.key
    RETURNING s.refreshed_at)
SELECT {columns}, coalesce(s.action, ''), coalesce(({micros w.refreshed_at})::pg_catalog.text, '')
FROM told AS t LEFT JOIN seen AS s ON true LEFT JOIN written AS w ON true`

// liveSQL says which rows s can be refreshed, by the clock c.now. $1 is the key of the
// user, $2 that of the issuer, $3 the idle timeout in seconds.
const liveSQL = `s.user_key {=} $1::pg_catalog.uuid AND s.ended_at IS NULL AND s.expires_at {>} c.now
  AND (coalesce(s.refreshed_at, s.started_at) {+} {seconds $3}) {>} c.now
  AND NOT EXISTS (SELECT FROM {schema}.revocations AS r WHERE r.key {=} s.key)
  AND s.user_epoch {>=} coalesce((SELECT {micros r.since} FROM {schema}.revocations AS r WHERE r.key {=} $1::pg_catalog.uuid), 0)
  AND s.issuer_epoch {>=} coalesce((SELECT {micros r.since} FROM {schema}.revocations AS r WHERE r.key {=} $2::pg_catalog.uuid), 0)`

// The first row has the circumstances alone, so that there is one where there is no session. $4 is
// how many sessions are listed at most.
const listSQL = `WITH c AS MATERIALIZED (SELECT pg_catalog.clock_timestamp() AS now)
SELECT {circumstances}, '', '', '', '', '', '', '', '', ''
UNION ALL
(SELECT '', pg_catalog.encode(pg_catalog.convert_to(s.sid, 'UTF8'), 'hex'), {encoded s.client}, {encoded s.label}, {encoded s.user_agent},
    {encoded s.address}, {encoded s.attributes::pg_catalog.text}, ({micros s.started_at})::pg_catalog.text,
    ({micros coalesce(s.refreshed_at, s.started_at)})::pg_catalog.text, ({micros s.expires_at})::pg_catalog.text
FROM c, {schema}.sessions AS s WHERE {live}
ORDER BY coalesce(s.refreshed_at, s.started_at) DESC, s.key LIMIT $4::bigint)`

// The row of a session that is about to be judged, behind an end that has not committed.
const holdSQL = `SELECT s.generation::pg_catalog.text FROM {schema}.sessions AS s
WHERE s.key {=} $1::pg_catalog.uuid AND s.user_key {=} $2::pg_catalog.uuid FOR NO KEY UPDATE`

// A session that has ended keeps the time of its first end. The row is found by its user too.
const endSQL = `WITH written AS (
    UPDATE {schema}.sessions AS s SET ended_at = coalesce(s.ended_at, pg_catalog.clock_timestamp())
    WHERE s.key {=} $1::pg_catalog.uuid AND s.user_key {=} $2::pg_catalog.uuid
    RETURNING s.generation)
SELECT {circumstances}, coalesce((SELECT w.generation::pg_catalog.text FROM written AS w), '')`

const endManySQL = `UPDATE {schema}.sessions AS s SET ended_at = coalesce(s.ended_at, pg_catalog.clock_timestamp())
WHERE s.key {=} ANY ((SELECT $1::pg_catalog.uuid[])::pg_catalog.uuid[])`

// Two sign-ins of one user end the oldest sessions one after the other.
const lockSQL = `SELECT s.generation::pg_catalog.text FROM {schema}.sessions AS s
WHERE s.user_key {=} $1::pg_catalog.uuid AND s.ended_at IS NULL ORDER BY s.key FOR NO KEY UPDATE`

// The oldest sessions above the number of sessions of a user ($4). The one that starts ($5)
// counts as the newest, also where the clock was set back since the others started.
const excessSQL = `WITH c AS MATERIALIZED (SELECT pg_catalog.clock_timestamp() AS now)
SELECT pg_catalog.encode(pg_catalog.convert_to(s.sid, 'UTF8'), 'hex') FROM c, {schema}.sessions AS s WHERE {live}
ORDER BY s.key {=} $5::pg_catalog.uuid DESC, s.started_at DESC, s.key OFFSET $4::bigint`

// The rows are locked in the order in which a start locks them that ends the oldest sessions.
const forgetSQL = `WITH locked AS MATERIALIZED (
    SELECT s.key FROM {schema}.sessions AS s WHERE s.user_key {=} $1::pg_catalog.uuid
    ORDER BY s.key FOR NO KEY UPDATE),
written AS (
    UPDATE {schema}.sessions AS s SET label = NULL, user_agent = NULL, address = NULL, attributes = NULL
    FROM locked AS l WHERE s.key {=} l.key
    RETURNING s.key)
SELECT {circumstances}, (SELECT pg_catalog.count(*)::pg_catalog.text FROM written)`

// Rows that a refresh or another sweep holds are left to the next pass.
const sweepSQL = `WITH deleted AS (
    DELETE FROM {schema}.sessions AS d WHERE d.key {=} ANY (ARRAY(
        SELECT s.key FROM {schema}.sessions AS s
        WHERE s.expires_at {<} (SELECT pg_catalog.clock_timestamp() {-} {margin})
        ORDER BY s.expires_at LIMIT $1::bigint FOR UPDATE SKIP LOCKED))
    RETURNING d.key)
SELECT {circumstances}, (SELECT pg_catalog.count(*)::pg_catalog.text FROM deleted)`
