package revoke

import (
	"github.com/pgrevoke/revoke/internal/circumstances"
	"github.com/pgrevoke/revoke/internal/postgres"
	"github.com/pgrevoke/revoke/internal/schema"
)

// statements are all that this package sends, each once. They name the schema of every table,
// function, type and operator, and depend on no session state: a pooler in transaction mode is
// fine, and so is any search_path. Each reads or writes rows by primary key; only sweep uses the
// index on expires_at. For what stands in braces, and for how values are written, see
// internal/postgres.
type statements struct {
	durable                             string
	check, lookup                       string
	revoke, redeem                      string
	placeEpochs, moveEpochs, raiseEpoch string
	ready                               string
	sweepTimeout, sweep, keepReserve    string
	obstacle                            string
}

func newStatements(name string) statements {
	constants := []string{
		"{circumstances}", circumstances.SQL(name),
		"{circumstances of t}", circumstances.SQLOf("t.oid"),
		"{name}", "'" + name + "'",
		"{schema}", `"` + name + `"`,
		"{lifetime}", postgres.Interval(MaxTokenLifetime + MaxLeeway),
		"{margin}", postgres.Interval(DefaultMargin),
		"{leeway}", postgres.Interval(MaxLeeway),
		"{ahead}", postgres.Interval(MaxIssuerSkew),
	}
	fill := func(sql string) string { return postgres.Fill(sql, constants...) }
	return statements{
		durable:      postgres.DurableSQL,
		check:        fill(checkSQL),
		lookup:       fill(lookupSQL),
		revoke:       fill(revokeSQL),
		redeem:       fill(redeemSQL),
		placeEpochs:  fill(placeEpochsSQL),
		moveEpochs:   fill(moveEpochsSQL),
		raiseEpoch:   fill(raiseEpochSQL),
		ready:        fill(readySQL),
		sweepTimeout: fill(sweepTimeoutSQL),
		sweep:        fill(sweepSQL),
		keepReserve:  fill(reserveSQL),
		obstacle:     fill(obstacleSQL),
	}
}

// ask is the check statement with its keys.
func (s *statements) ask(keys [][16]byte) postgres.Statement {
	return postgres.Statement{SQL: s.check, Args: []any{postgres.Keys(keys)}}
}

// Every check, of one token or of many, and every read of epochs: one row with the circumstances
// and the clock, and one with key and since for each key that was found, from one snapshot. Times
// are the hexadecimal digits of their binary form: that costs a fifth of {micros} and depends on no
// setting either. The array is a sub-select, so that its length does not take part in the plan,
// which is made once for a connection. TestCheckPlan looks at it.
const checkSQL = `SELECT pg_catalog.concat({circumstances}, pg_catalog.encode(pg_catalog.timestamptz_send(pg_catalog.clock_timestamp()), 'hex'))
UNION ALL
SELECT pg_catalog.encode(pg_catalog.uuid_send(t.key) {||} pg_catalog.timestamptz_send(t.since), 'hex')
FROM {schema}.revocations AS t WHERE t.key {=} ANY ((SELECT $1::pg_catalog.uuid[])::pg_catalog.uuid[])`

// The same with the columns that operators read.
const lookupSQL = `SELECT {circumstances}, coalesce(t.scope, ''), {encoded t.issuer}, {encoded t.id},
    coalesce({micros t.since}::pg_catalog.text, ''), coalesce({micros t.expires_at}::pg_catalog.text, ''), {encoded t.reason}, {encoded t.actor}
FROM (SELECT 1) AS one LEFT JOIN {schema}.revocations AS t ON t.key {=} ANY ((SELECT $1::pg_catalog.uuid[])::pg_catalog.uuid[])`

// Tokens and sessions. The rows come sorted by key, so that two batches lock in the same order. The
// last WHERE spares a repeat the new row version that it does not need. A row that looks expired is
// written all the same, and kept from now on, because the clock may be ahead. A row is kept for $8
// seconds at least, which are more than 0 for WithSharedIDs alone; in redeemSQL too. It returns how
// many rows it wrote.
const revokeSQL = `WITH written AS (INSERT INTO {schema}.revocations AS t (key, since, expires_at, revoked_at, scope, issuer, id, reason, actor)
SELECT n.key, clock.now, greatest(CASE WHEN n.expires_at {<>} '' THEN n.expires_at::timestamp with time zone ELSE clock.now {+} {lifetime} END,
           clock.now {+} {seconds $8}), clock.now,
       $1::pg_catalog.text, {decoded n.issuer}, {decoded n.id}, {note $6}, {note $7}
FROM (SELECT pg_catalog.clock_timestamp() AS now) AS clock,
     ROWS FROM (pg_catalog.unnest($2::pg_catalog.uuid[]), pg_catalog.unnest($3::pg_catalog.text[]),
         pg_catalog.unnest($4::pg_catalog.text[]), pg_catalog.unnest($5::pg_catalog.text[])) AS n (key, issuer, id, expires_at)
ON CONFLICT (key) DO UPDATE SET
    expires_at = greatest(t.expires_at, EXCLUDED.expires_at),
    reason = coalesce(t.reason, EXCLUDED.reason),
    actor = coalesce(t.actor, EXCLUDED.actor)
WHERE t.expires_at {<} EXCLUDED.expires_at
   OR (t.reason IS NULL AND EXCLUDED.reason IS NOT NULL)
   OR (t.actor IS NULL AND EXCLUDED.actor IS NOT NULL)
RETURNING t.key)
SELECT pg_catalog.count(*)::pg_catalog.text FROM written`

// One winner: the primary key lets one insert in. A token past the leeway never wins, since its row
// may be gone.
const redeemSQL = `INSERT INTO {schema}.revocations (key, since, expires_at, revoked_at, scope, issuer, id, reason, actor)
SELECT $1::pg_catalog.uuid, clock.now, greatest($5::pg_catalog.timestamptz, clock.now {+} {seconds $8}), clock.now,
       $2::pg_catalog.text, {decoded $3::pg_catalog.text}, {decoded $4::pg_catalog.text}, {note $6}, {note $7}
FROM (SELECT pg_catalog.clock_timestamp() AS now) AS clock
WHERE $5::pg_catalog.timestamptz {>=} (clock.now {-} {leeway})
ON CONFLICT (key) DO NOTHING
RETURNING 'written'::pg_catalog.text`

// Epochs move in two statements, because an instant must be read off the clock while its row is
// locked: until the commit no other transaction sees the new epoch, and a token that is stamped
// meanwhile must be refused. What an INSERT proposes is computed before it waits for a lock, and so
// is the SET list of an UPDATE, unless the row has changed by the end of the wait. So the first
// statement only makes sure that the rows exist and are locked: a conflicting row is locked even
// where WHERE is false. Of many rows each is locked before any is moved, so that none has an
// instant from before the wait for another. They come sorted by key, so that two batches lock in
// the same order.
const placeEpochsSQL = `INSERT INTO {schema}.revocations AS e (key, since, expires_at, revoked_at, scope, issuer, id)
SELECT n.key, pg_catalog.to_timestamp(0), pg_catalog.clock_timestamp() {+} {lifetime}, pg_catalog.clock_timestamp(),
       $1::pg_catalog.text, {decoded n.issuer}, {note n.id}
FROM ROWS FROM (pg_catalog.unnest($2::pg_catalog.uuid[]), pg_catalog.unnest($3::pg_catalog.text[]),
         pg_catalog.unnest($4::pg_catalog.text[])) AS n (key, issuer, id)
ON CONFLICT (key) DO UPDATE SET revoked_at = e.revoked_at WHERE false`

// The rows of the issuers ($4) come behind those that moved, from the same snapshot, each
// as a check returns it.
const moveEpochsSQL = `WITH moved AS (
    UPDATE {schema}.revocations AS e SET
        since = greatest(pg_catalog.clock_timestamp(), e.since) {+} interval '1 microsecond',
        expires_at = greatest(pg_catalog.clock_timestamp(), e.since) {+} {lifetime},
        revoked_at = pg_catalog.clock_timestamp(),
        reason = coalesce(e.reason, {note $2}),
        actor = coalesce(e.actor, {note $3})
    WHERE e.key {=} ANY ((SELECT $1::pg_catalog.uuid[])::pg_catalog.uuid[])
    RETURNING e.key, e.since)
SELECT pg_catalog.encode(pg_catalog.uuid_send(m.key) {||} pg_catalog.timestamptz_send(m.since), 'hex') FROM moved AS m
UNION ALL
SELECT pg_catalog.encode(pg_catalog.uuid_send(i.key) {||} pg_catalog.timestamptz_send(i.since), 'hex')
FROM {schema}.revocations AS i WHERE i.key {=} ANY ((SELECT $4::pg_catalog.uuid[])::pg_catalog.uuid[])`

// The instant is the caller's, so one statement does. It returns whether the instant may be stored,
// and whether a row was written.
const raiseEpochSQL = `WITH clock AS MATERIALIZED (SELECT pg_catalog.clock_timestamp() AS now), written AS (
    INSERT INTO {schema}.revocations AS e (key, since, expires_at, revoked_at, scope, issuer, id, reason, actor)
    SELECT $1::pg_catalog.uuid, $5::pg_catalog.timestamptz, greatest($5::pg_catalog.timestamptz, clock.now) {+} {lifetime}, clock.now,
           $2::pg_catalog.text, {decoded $3::pg_catalog.text}, {decoded $4::pg_catalog.text}, {note $6}, {note $7}
    FROM clock WHERE $5::pg_catalog.timestamptz {<=} (clock.now {+} {ahead})
    ON CONFLICT (key) DO UPDATE SET
        since = greatest(e.since, EXCLUDED.since),
        expires_at = greatest(e.expires_at, EXCLUDED.expires_at),
        reason = coalesce(e.reason, EXCLUDED.reason),
        actor = coalesce(e.actor, EXCLUDED.actor)
    RETURNING e.key)
SELECT pg_catalog.concat($5::pg_catalog.timestamptz {<=} (clock.now {+} {ahead}), EXISTS (SELECT FROM written)) FROM clock`

// The timeout of a batch is lowered to ours and never raised: where an administrator allows less,
// that stands.
const sweepTimeoutSQL = `SELECT pg_catalog.set_config('statement_timeout', $1::pg_catalog.text, true) FROM pg_catalog.pg_settings AS s
WHERE s.name {=} 'statement_timeout' AND (s.setting::bigint {=} 0 OR s.setting::bigint {>} $1::bigint)`

// The limit of time is a subquery, because a volatile function cannot be an index condition. A row
// that another transaction is writing is skipped, and one that was extended since the snapshot is
// judged again by its newest version. The array makes the deletion an index scan under any
// statistics; a join was seen to compare every row with every other. A batch begins where the
// one before it ended ($3), because the index keeps the entries of deleted rows until a vacuum.
const sweepSQL = `WITH deleted AS (
    DELETE FROM {schema}.revocations AS d WHERE d.key {=} ANY (ARRAY(
        SELECT t.key FROM {schema}.revocations AS t
        WHERE t.expires_at {>=} (pg_catalog.to_timestamp(0) {+} ($3::bigint {*} interval '1 microsecond'))
          AND t.expires_at {<} (SELECT pg_catalog.clock_timestamp() {-} {seconds $1})
        ORDER BY t.expires_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED))
    RETURNING d.scope, d.expires_at)
SELECT pg_catalog.concat(pg_catalog.row_security_active('{schema}.revocations'::pg_catalog.text)), coalesce(d.scope, ''),
    coalesce(d.rows::pg_catalog.text, ''), coalesce(d.last::pg_catalog.text, '')
FROM (SELECT 1) AS one LEFT JOIN (
    SELECT scope, pg_catalog.count(*) AS rows, {micros pg_catalog.max(expires_at)} AS last
    FROM deleted GROUP BY scope) AS d ON true`

// What keeps vacuum from removing deleted rows of this database, the oldest first: a sweep
// that times out walks over them. Of sessions of other roles it sees only those that this
// role may see. A session without a database is that of a standby.
const obstacleSQL = `SELECT o.kind, {encoded o.name}, o.age::pg_catalog.text FROM (
    SELECT 'session', a.pid::pg_catalog.text, pg_catalog.age(a.backend_xmin) FROM pg_catalog.pg_stat_activity AS a
    WHERE a.backend_xmin IS NOT NULL AND a.pid {<>} pg_catalog.pg_backend_pid()
      AND (a.datname IS NULL OR a.datname {=} pg_catalog.current_database())
    UNION ALL SELECT 'prepared transaction', p.gid, pg_catalog.age(p.transaction) FROM pg_catalog.pg_prepared_xacts AS p
    WHERE p.database {=} pg_catalog.current_database()
    UNION ALL SELECT 'replication slot', r.slot_name::pg_catalog.text, pg_catalog.age(r.xmin)
    FROM pg_catalog.pg_replication_slots AS r WHERE r.xmin IS NOT NULL) AS o (kind, name, age)
ORDER BY o.age DESC LIMIT 1`

// Ready reads the catalog alone, which every role may, so that it is answered without a
// schema or a right too. schema_version is read, and not called, for the same reason: each
// migration defines it as a SELECT of one number.
const readySQL = `SELECT {circumstances of t}, coalesce(pg_catalog.substring(v.prosrc, '[0-9]+'), '0'),
    (t.oid IS NOT NULL)::pg_catalog.text,
    coalesce(pg_catalog.has_schema_privilege(n.oid, 'USAGE'), false)::pg_catalog.text,
    pg_catalog.array_to_string(ARRAY(SELECT p.name FROM pg_catalog.unnest('{SELECT,INSERT,UPDATE,DELETE}'::pg_catalog.text[]) AS p (name)
        WHERE NOT pg_catalog.has_table_privilege(t.oid, p.name)), ' '),
    pg_catalog.array_to_string(ARRAY(SELECT f.name FROM pg_catalog.unnest('{epochs,row_key}'::pg_catalog.text[]) AS f (name)
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_proc AS g WHERE g.pronamespace {=} n.oid AND g.proname {=} f.name::pg_catalog.name)), ' '),
    pg_catalog.array_to_string(ARRAY(SELECT g.proname::pg_catalog.text FROM pg_catalog.pg_proc AS g WHERE g.pronamespace {=} n.oid
        AND g.proname {=} ANY ('{epochs,row_key}'::pg_catalog.name[]) AND NOT pg_catalog.has_function_privilege(g.oid, 'EXECUTE')
        ORDER BY g.proname), ' '),
    {encoded pg_catalog.quote_ident(current_user::pg_catalog.text)}
FROM (SELECT 1) AS one
LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname {=} {name}
LEFT JOIN pg_catalog.pg_class AS t ON t.relnamespace {=} n.oid AND t.relname {=} 'revocations'
LEFT JOIN pg_catalog.pg_proc AS v ON v.pronamespace {=} n.oid AND v.proname {=} 'schema_version' AND v.pronargs {=} 0`

// The reserve comes with the migration, and keeps the plan of a check from depending on the size of
// the table.
const reserveSQL = schema.ReserveSQL
