package revoke

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// SchemaVersion is the version of the schema that this package needs. A newer schema serves it as well.
const SchemaVersion = 1

// statements are all that this package sends, each once. They name the schema and depend on no session state, so a pooler
// in transaction mode is fine; only a search_path that names pg_catalog behind a schema with operators or functions of the
// same names can mislead them. Each reads or writes rows by primary key; only sweep* use an index on expires_at.
type statements struct {
	begin, commit, rollback                   string
	durable                                   string
	check, checkMany, lookup                  string
	revokeTokens, redeem, redeemed            string
	revokeSession                             string
	placeEpoch, moveEpoch, raiseEpoch, epochs string
	schemaVersion                             string
	sweepTimeout                              string
	sweepTokens, sweepSessions, sweepEpochs   string
}

func newStatements(schema string) statements {
	constants := strings.NewReplacer(
		"{schema}", `"`+schema+`"`,
		"{lifetime}", interval(MaxTokenLifetime+MaxLeeway),
		"{margin}", interval(RetentionMargin),
		"{leeway}", interval(MaxLeeway),
		"{ahead}", interval(MaxIssuerSkew),
	)
	fill := func(sql string) string {
		return microsPattern.ReplaceAllString(constants.Replace(sql), "(extract(epoch FROM $1) * 1000000)::bigint")
	}
	sweep := func(table string) string {
		return fill(strings.ReplaceAll(sweepSQL, "{table}", table))
	}
	return statements{
		begin:         "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
		commit:        "COMMIT",
		rollback:      "ROLLBACK",
		durable:       durableSQL,
		check:         fill(checkSQL),
		checkMany:     fill(checkManySQL),
		lookup:        fill(lookupSQL),
		revokeTokens:  fill(revokeTokensSQL),
		redeem:        fill(redeemSQL),
		redeemed:      fill(redeemedSQL),
		revokeSession: fill(revokeSessionSQL),
		placeEpoch:    fill(placeEpochSQL),
		moveEpoch:     fill(moveEpochSQL),
		raiseEpoch:    fill(raiseEpochSQL),
		epochs:        fill(epochsSQL),
		schemaVersion: fill("SELECT {schema}.schema_version()"),
		sweepTimeout:  sweepTimeoutSQL,
		sweepTokens:   sweep("revoked_tokens"),
		sweepSessions: sweep("sessions"),
		sweepEpochs:   sweep("user_epochs"),
	}
}

// microsPattern is how the statements below ask for a time: in whole microseconds since 1970, because as text it would
// depend on DateStyle.
var microsPattern = regexp.MustCompile(`\{micros ([^}]*)\}`)

// interval writes a duration in seconds, because a day of '400 days' has 23 hours once a year in some time zones.
func interval(d time.Duration) string {
	return fmt.Sprintf("interval '%d seconds'", int64(d/time.Second))
}

// An acknowledged revocation survives a crash: a weaker setting is raised for this transaction, a stronger one stays.
const durableSQL = `SELECT set_config('synchronous_commit', 'on', true)
WHERE current_setting('synchronous_commit') IN ('off', 'local')`

// Four scans of primary keys in one snapshot, with the clock and whether this is a standby. They are scalar subqueries
// of key = $n, because the generic plan of that form is an index scan from the first row on; TestCheckPlan looks at it.
const checkSQL = `SELECT pg_is_in_recovery(), {micros clock_timestamp()},
(SELECT {micros revoked_at} FROM {schema}.revoked_tokens WHERE key = $1::uuid),
(SELECT {micros revoked_at} FROM {schema}.sessions WHERE key = $2::uuid),
(SELECT {micros not_before} FROM {schema}.user_epochs WHERE key = $3::uuid),
(SELECT {micros not_before} FROM {schema}.user_epochs WHERE key = $4::uuid)`

// The same for many tokens, with a row for each key that was found. OFFSET 0 keeps each lookup a query of its own, planned for
// one key, so that it is the same index scan; as a join it could be planned as a scan of the table. Here and below, that a
// session is not revoked is for Go to see: the partial index on xid could be scanned for it, whole, if it was empty once.
const checkManySQL = `SELECT 0, pg_is_in_recovery()::int::bigint, {micros clock_timestamp()}
UNION ALL SELECT 1, n.i, r.at FROM unnest((SELECT $1::uuid[])) WITH ORDINALITY AS n (key, i), LATERAL (
    SELECT {micros t.revoked_at} AS at FROM {schema}.revoked_tokens AS t WHERE t.key = n.key OFFSET 0) AS r
UNION ALL SELECT 2, n.i, r.at FROM unnest((SELECT $2::uuid[])) WITH ORDINALITY AS n (key, i), LATERAL (
    SELECT {micros s.revoked_at} AS at FROM {schema}.sessions AS s WHERE s.key = n.key OFFSET 0) AS r
UNION ALL SELECT 3, n.i, r.at FROM unnest((SELECT $3::uuid[])) WITH ORDINALITY AS n (key, i), LATERAL (
    SELECT {micros e.not_before} AS at FROM {schema}.user_epochs AS e WHERE e.key = n.key OFFSET 0) AS r
UNION ALL SELECT 4, n.i, r.at FROM unnest((SELECT $4::uuid[])) WITH ORDINALITY AS n (key, i), LATERAL (
    SELECT {micros e.not_before} AS at FROM {schema}.user_epochs AS e WHERE e.key = n.key OFFSET 0) AS r`

const lookupSQL = `SELECT 'clock', 0::bigint, 0::bigint, '', '', pg_is_in_recovery()
UNION ALL SELECT 'token', {micros revoked_at}, {micros expires_at}, coalesce(reason, ''), coalesce(actor, ''), false
FROM {schema}.revoked_tokens WHERE key = $1::uuid
UNION ALL SELECT 'session', {micros revoked_at}, {micros expires_at}, coalesce(reason, ''), coalesce(actor, ''), false
FROM {schema}.sessions WHERE key = $2::uuid
UNION ALL SELECT 'user', {micros not_before}, {micros expires_at}, coalesce(reason, ''), coalesce(actor, ''), false
FROM {schema}.user_epochs WHERE key = $3::uuid
UNION ALL SELECT 'issuer', {micros not_before}, {micros expires_at}, coalesce(reason, ''), coalesce(actor, ''), false
FROM {schema}.user_epochs WHERE key = $4::uuid`

// The rows come sorted by key, so that two batches lock in the same order. The last WHERE spares a repeat the new row
// version that it does not need.
const revokeTokensSQL = `INSERT INTO {schema}.revoked_tokens AS t (key, issuer, jti, expires_at, revoked_at, reason, actor)
SELECT n.key, n.issuer, n.jti, coalesce(n.expires_at, clock.now + {lifetime}), clock.now,
       nullif($5::text, ''), nullif($6::text, '')
FROM (SELECT clock_timestamp() AS now) AS clock,
     unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[]) AS n (key, issuer, jti, expires_at)
WHERE n.expires_at IS NULL OR n.expires_at > clock.now - {margin}
ON CONFLICT (key) DO UPDATE SET
    expires_at = greatest(t.expires_at, EXCLUDED.expires_at),
    reason = coalesce(t.reason, EXCLUDED.reason),
    actor = coalesce(t.actor, EXCLUDED.actor)
WHERE t.expires_at < EXCLUDED.expires_at
   OR (t.reason IS NULL AND EXCLUDED.reason IS NOT NULL)
   OR (t.actor IS NULL AND EXCLUDED.actor IS NOT NULL)`

// One winner: the primary key lets one insert in. A token past the leeway never wins, since its row may be gone.
const redeemSQL = `INSERT INTO {schema}.revoked_tokens (key, issuer, jti, expires_at, revoked_at, reason, actor)
SELECT $1::uuid, $2::text, $3::text, $4::timestamptz, clock.now, nullif($5::text, ''), nullif($6::text, '')
FROM (SELECT clock_timestamp() AS now) AS clock
WHERE $4::timestamptz >= clock.now - {leeway}
ON CONFLICT (key) DO NOTHING
RETURNING 1`

// A second statement, because the snapshot of the first does not show the row that it waited for.
const redeemedSQL = `SELECT (SELECT {micros revoked_at} FROM {schema}.revoked_tokens WHERE key = $1::uuid), {micros clock_timestamp()}`

const revokeSessionSQL = `INSERT INTO {schema}.sessions AS s (key, issuer, sid, expires_at, revoked_at, reason, actor)
SELECT $1::uuid, $2::text, $3::text, clock.now + {lifetime}, clock.now, nullif($4::text, ''), nullif($5::text, '')
FROM (SELECT clock_timestamp() AS now) AS clock
ON CONFLICT (key) DO UPDATE SET
    expires_at = greatest(s.expires_at, EXCLUDED.expires_at),
    revoked_at = coalesce(s.revoked_at, EXCLUDED.revoked_at),
    reason = coalesce(s.reason, EXCLUDED.reason),
    actor = coalesce(s.actor, EXCLUDED.actor)`

// An epoch moves in two statements, because its instant must be read off the clock while the row is locked: until the
// commit nobody sees the new epoch, and what is stamped meanwhile must die. What an INSERT proposes is computed before it waits
// for a lock, and so is the SET list of an UPDATE, unless the row has changed by the end of the wait. So the first
// statement only sees to it that there is a row and that it is ours: a conflicting row is locked even where WHERE is false.
const placeEpochSQL = `INSERT INTO {schema}.user_epochs AS e (key, issuer, subject, not_before, expires_at, revoked_at)
VALUES ($1::uuid, $2::text, nullif($3::text, ''), to_timestamp(0), clock_timestamp() + {lifetime}, clock_timestamp())
ON CONFLICT (key) DO UPDATE SET revoked_at = e.revoked_at WHERE false`

const moveEpochSQL = `UPDATE {schema}.user_epochs AS e SET
    not_before = greatest(clock_timestamp() + make_interval(secs => $2::float8), e.not_before) + interval '1 microsecond',
    expires_at = greatest(clock_timestamp() + make_interval(secs => $2::float8), e.not_before) + {lifetime},
    revoked_at = clock_timestamp(),
    reason = coalesce(e.reason, nullif($3::text, '')),
    actor = coalesce(e.actor, nullif($4::text, ''))
WHERE key = $1::uuid
RETURNING {micros not_before}, (SELECT {micros i.not_before} FROM {schema}.user_epochs AS i WHERE i.key = $5::uuid)`

// The instant is the caller's, so one statement does.
const raiseEpochSQL = `INSERT INTO {schema}.user_epochs AS e (key, issuer, subject, not_before, expires_at, revoked_at, reason, actor)
SELECT $1::uuid, $2::text, $3::text, $4::timestamptz, greatest($4::timestamptz, clock.now) + {lifetime}, clock.now,
       nullif($5::text, ''), nullif($6::text, '')
FROM (SELECT clock_timestamp() AS now) AS clock
WHERE $4::timestamptz <= clock.now + {ahead}
ON CONFLICT (key) DO UPDATE SET
    not_before = greatest(e.not_before, EXCLUDED.not_before),
    expires_at = greatest(e.expires_at, EXCLUDED.expires_at),
    reason = coalesce(e.reason, EXCLUDED.reason),
    actor = coalesce(e.actor, EXCLUDED.actor)
RETURNING 1`

const epochsSQL = `SELECT pg_is_in_recovery(), {micros clock_timestamp()},
(SELECT {micros not_before} FROM {schema}.user_epochs WHERE key = $1::uuid),
(SELECT {micros not_before} FROM {schema}.user_epochs WHERE key = $2::uuid)`

// The timeout of a batch is lowered to ours and never raised: where an administrator allows less, that stands.
const sweepTimeoutSQL = `SELECT set_config('statement_timeout', $1::text, true) FROM pg_catalog.pg_settings
WHERE name = 'statement_timeout' AND (setting::bigint = 0 OR setting::bigint > $1::bigint)`

// The limit of time is a subquery, because a volatile function cannot be an index condition. A row that somebody is
// writing is skipped, and one that was extended since the snapshot is judged again by its newest version. The array
// makes the deletion an index scan whatever the statistics say; a join was seen to compare every row with every other.
const sweepSQL = `WITH deleted AS (
    DELETE FROM {schema}.{table} WHERE key = ANY (ARRAY(
        SELECT key FROM {schema}.{table}
        WHERE expires_at < (SELECT clock_timestamp() - make_interval(secs => $1::float8))
        ORDER BY expires_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED))
    RETURNING 1)
SELECT count(*) FROM deleted`
