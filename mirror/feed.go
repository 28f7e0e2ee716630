package mirror

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/circumstances"
	"github.com/pgrevoke/revoke/internal/schema"
)

// feed reads revocations from the database, in one session. After an error it is of no use.
type feed interface {
	// next returns the next answer, which has not been asked for yet.
	next() answer
}

// answer is what the database answers to one question. Its rows arrive in parts.
type answer struct {
	// complete says that the rows are all live ones, so that an entry without a row is
	// out of date. Otherwise they are those which were committed since the answer
	// before, and perhaps more.
	complete bool
	// exact says that the answer after this one is a difference.
	exact bool
	// rows is about how many there are in a complete answer, 0 where that is not known.
	rows int
	// read sends the question and calls apply with each part. It returns the database's
	// clock as the question began. An error of apply ends it. A part is valid until
	// apply returns.
	read func(ctx context.Context, apply func(part []row) error) (clock time.Time, err error)
}

// row is one revocation. at is the epoch of a user or an issuer, and the expiry of a
// token's or a session's row, in microseconds since 1970.
type row struct {
	key   rowKey
	at    int64
	epoch bool
}

// header is the first row of each answer.
type header struct {
	circumstances.Circumstances
	clock     time.Time // of the database, when the statement began
	snapshot  string    // which transactions the rows show
	numbering string    // see numberingSQL; empty where rows are not numbered
	session   string    // see sessionSQL
}

// The reasons for which a session cannot go on.
var (
	errMoved      = errors.New("another session answered: a pooler in transaction mode or a gateway stands before the server")
	errIsolated   = errors.New("the mirror's session is not READ COMMITTED, so that its snapshots may be old")
	errUnnumbered = errors.New("the rows of revocations do not bear the numbers of their transactions: " +
		"the trigger set_xid is missing, altered or not ENABLE ALWAYS, or the table has children; " +
		"run migrations.Up of github.com/pgrevoke/revoke/migrations")
	errAltered = errors.New("the trigger set_xid was altered since the last answer, so that a row may be without a number")
	errSilent  = errors.New("the database has stopped to answer")
)

// scopes are those of which the mirror keeps rows. Rows of other scopes, which a newer
// version may write, are not read.
var scopes = new(revoke.Verdict).Scopes()

// sessionSQL names the session that answers: the nonce, the process, the start of the
// server and the start of the process. A gateway can replay the nonce into another
// process, over a failover too. After the crash of a process the server's start is the
// same, and a process number can come again.
const sessionSQL = `pg_catalog.concat_ws(' ', pg_catalog.current_setting('` + nonceSetting + `', true), pg_catalog.pg_backend_pid(),
    extract(epoch FROM pg_catalog.pg_postmaster_start_time()),
    (SELECT extract(epoch FROM backend_start) FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())))`

// numberingSQL proves that each row bears the number of the transaction that wrote it.
// The rows of a child table are read with those of their parent, and have no trigger.
const numberingSQL = `coalesce((SELECT ` + schema.NumberingSQL + ` WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS i
    WHERE i.inhparent OPERATOR(pg_catalog.=) '{schema}.revocations'::pg_catalog.regclass)), '-')`

// feedSQL are the statements of the feeds. Each reads header and rows in one snapshot.
// Like the statements of package revoke they name the schema of all that they use. Their
// columns are asked for in binary: the bytes of a uuid and of a time are the same under
// every setting, and under every type that an app registers on its connections. The
// header is a text in ASCII, and so are the arguments.
type feedSQL struct {
	probe     string // the header; and about how many rows there are, and the version of the server
	loadExact string // everything, with the snapshot
	pollExact string // what the last snapshot did not show; served by the index on xid
	loadWhole string // everything
	lookup    string // some keys; served by the primary key
}

// The columns of an answer. The header has the first one alone, and a row the others. since is
// null in a row of a token or a session.
const (
	headColumn = iota
	keyColumn
	expiresColumn
	sinceColumn
	columns
)

func newFeedSQL(name string) feedSQL {
	const statement = `SELECT {header}, NULL::pg_catalog.uuid, NULL::timestamp with time zone, NULL::timestamp with time zone
UNION ALL SELECT NULL, key, expires_at, CASE WHEN {epoch} THEN since END
FROM {schema}.revocations WHERE ({known}) AND {which}`
	const (
		unnamed = `pg_catalog.concat_ws(' ', {circumstances},
    pg_catalog.encode(pg_catalog.timestamptz_send(pg_catalog.statement_timestamp()), 'hex'))`
		named = `pg_catalog.concat_ws(' ', ` + unnamed + `, pg_catalog.pg_current_snapshot(), ` + numberingSQL + `, ` + sessionSQL + `)`
	)
	// Comparisons take half the time of ANY and an array.
	var known, epochs []string
	for _, scope := range scopes {
		is := "scope OPERATOR(pg_catalog.=) '" + string(scope) + "'"
		known = append(known, is)
		if scope.IsEpoch() {
			epochs = append(epochs, is)
		}
	}
	constants := strings.NewReplacer(
		"{circumstances}", circumstances.SQL(name), "{schema}", `"`+name+`"`,
		"{known}", strings.Join(known, " OR "), "{epoch}", strings.Join(epochs, " OR "),
	)
	fill := func(header, which string) string {
		return constants.Replace(strings.NewReplacer("{header}", header, "{which}", which).Replace(statement))
	}
	// The limit is reckoned from the header's time, which tells what was left out. That
	// time stands still while the statement runs, however long the statement waits, and
	// also where the clock is set. The limit is a subquery, so that it is reckoned once and not
	// for each row. IS TRUE keeps the index on expires_at out of a load of nearly all rows: the
	// planner does not know the limit.
	live := fmt.Sprintf("(expires_at OPERATOR(pg_catalog.>) (SELECT pg_catalog.statement_timestamp() OPERATOR(pg_catalog.-) interval '%d seconds')) IS TRUE",
		int64(revoke.DefaultMargin/time.Second))
	// The last snapshot does not show the transactions that began after it ($1) and
	// those that were under way in it ($2). Of the latter, those that are still under
	// way are left out: their rows are not visible, and there may be many. A number
	// that this snapshot does not know yet stands in a row that was restored from
	// another server. The load has read that row, and without the upper limit each poll
	// would read it again until this server's numbers have come as far. There is no
	// condition on expires_at, because without statistics Postgres would prefer its
	// index.
	const changed = `(xid OPERATOR(pg_catalog.>=) ($1::pg_catalog.text)::pg_catalog.xid8
        AND xid OPERATOR(pg_catalog.<) pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())
    OR xid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT x FROM pg_catalog.unnest(($2::pg_catalog.text)::pg_catalog.xid8[]) AS x
        WHERE pg_catalog.pg_visible_in_snapshot(x, pg_catalog.pg_current_snapshot()))))`
	return feedSQL{
		probe: constants.Replace("SELECT " + named + `, NULL UNION ALL SELECT NULL, pg_catalog.concat_ws(' ',
    (SELECT reltuples::pg_catalog.int8 FROM pg_catalog.pg_class WHERE oid OPERATOR(pg_catalog.=) '{schema}.revocations'::pg_catalog.regclass),
    pg_catalog.version())`),
		loadExact: fill(named, live),
		pollExact: fill(named, changed),
		loadWhole: fill(unnamed, live),
		lookup:    fill(unnamed, "key OPERATOR(pg_catalog.=) ANY ((SELECT $1::pg_catalog.uuid[])::pg_catalog.uuid[])"),
	}
}

// exactFeed reads what has changed, by the numbers of the transactions that wrote it.
// Its first answer is complete.
type exactFeed struct {
	*session
	rows      int    // about how many there were when the session began; 0: not known
	numbering string // as each answer must have it
	xmax      string // of the last snapshot, which does not show later ones; empty before the first
	xip       string // an array of what was under way in the last snapshot, which does not show it
}

func (f *exactFeed) next() answer {
	if f.xmax == "" {
		return answer{complete: true, exact: true, rows: f.rows, read: f.load}
	}
	return answer{exact: true, read: f.poll}
}

func (f *exactFeed) load(ctx context.Context, apply func([]row) error) (time.Time, error) {
	head, err := f.read(ctx, loadPatience, f.check, apply, f.sql.loadExact)
	if err != nil {
		return time.Time{}, err
	}
	if f.direct {
		// From now on every read is of a few rows by an index, also where the table was
		// never analyzed.
		if _, err := f.conn.Exec(ctx, "SELECT pg_catalog.set_config('enable_seqscan', 'off', false)"); err != nil {
			return time.Time{}, err
		}
		// Parsing and planning would be a third of a poll's time.
		if _, err := f.conn.Prepare(ctx, pollName, f.sql.pollExact); err != nil {
			return time.Time{}, err
		}
		f.prepared = map[string]string{f.sql.pollExact: pollName}
	}
	return head.clock, f.remember(head.snapshot)
}

// pollName names the prepared statement of polls.
const pollName = "revoke_poll"

func (f *exactFeed) poll(ctx context.Context, apply func([]row) error) (time.Time, error) {
	head, err := f.read(ctx, f.patience, f.check, apply, f.sql.pollExact, f.xmax, f.xip)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "26000" { // invalid_sql_statement_name
		// This session has prepared the statement, so another one answered.
		err = fmt.Errorf("%w: %w", errMoved, err)
	}
	if err != nil {
		return time.Time{}, err
	}
	return head.clock, f.remember(head.snapshot)
}

// remember takes a snapshot apart, which is written xmin:xmax:xip,xip.
func (f *exactFeed) remember(snapshot string) error {
	parts := strings.Split(snapshot, ":")
	if len(parts) != 3 {
		return fmt.Errorf("snapshot %q has no three parts", snapshot)
	}
	f.xmax, f.xip = parts[1], "{"+parts[2]+"}"
	return nil
}

// check returns why an answer is not the next one of this session. Without a proof that
// rows bear numbers the feed is not used, and all rows are not read at every poll
// instead: they may be many, and the remedy is one call. Checks ask Postgres meanwhile.
func (f *exactFeed) check(head header) error {
	switch {
	case !f.answered(head):
		return errMoved
	case head.numbering == "":
		return errUnnumbered
	case f.numbering == "":
		f.numbering = head.numbering // of the load, which shows rows without numbers too
	case head.numbering != f.numbering:
		return errAltered
	}
	return nil
}

// wholeFeed reads everything for each answer, from any session of the primary: for
// engines without snapshots that can be compared, and for poolers in transaction mode.
type wholeFeed struct{ *session }

func (f wholeFeed) next() answer {
	return answer{complete: true, read: func(ctx context.Context, apply func([]row) error) (time.Time, error) {
		head, err := f.read(ctx, loadPatience, anySession, apply, f.sql.loadWhole)
		return head.clock, err
	}}
}
