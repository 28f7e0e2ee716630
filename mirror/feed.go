package mirror

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
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

// readHeader reads the text of a header.
func readHeader(text string) (head header, err error) {
	parts := strings.SplitN(text, " ", 5)
	if len(parts) != 2 && len(parts) != 5 {
		return header{}, fmt.Errorf("the database answered with a header of %d parts", len(parts))
	}
	if err := head.Read(parts[0]); err != nil {
		return header{}, err
	}
	clock, err := hex.DecodeString(parts[1])
	if err != nil || len(clock) != timeBytes {
		return header{}, fmt.Errorf("the database answered with the time %q", parts[1])
	}
	head.clock = time.UnixMicro(micros(clock))
	if len(parts) == 5 {
		head.snapshot, head.session = parts[2], parts[4]
		if parts[3] != "-" {
			head.numbering = parts[3]
		}
	}
	return head, nil
}

var errNotAsked = errors.New("the database answered with what it was not asked for")

// readRow reads the columns of a row.
func readRow(values [][]byte) (row, error) {
	if len(values) != columns {
		return row{}, errNotAsked
	}
	key, at, since := values[keyColumn], values[expiresColumn], values[sinceColumn]
	if since != nil {
		at = since
	}
	if len(key) != len(rowKey{}) || len(at) != timeBytes {
		return row{}, errNotAsked
	}
	return row{key: rowKey(key), at: max(0, micros(at)), epoch: since != nil}, nil
}

// timeBytes is the length of a time as Postgres sends it.
const timeBytes = 8

// micros reads a time as Postgres sends it, in microseconds since 2000, and returns it in
// microseconds since 1970. What lies beyond all times that matter, as infinity does, is
// moved to where it cannot overflow.
func micros(raw []byte) int64 {
	const since1970, limit = 946_684_800_000_000, 1 << 61
	return min(max(int64(binary.BigEndian.Uint64(raw)), -limit), limit) + since1970
}

// partRows is the number of rows in a part.
const partRows = 512

// asker sends statements of feedSQL by a connection.
type asker struct {
	conn     *pgx.Conn
	before   []string          // BEGIN and what follows; empty where statements need none
	readOnly bool              // see revoke.WithReadOnlyConnections
	prepared map[string]string // statements that are prepared, and by which name
}

// newAsker returns an asker for a connection of which the mirror may not change the
// settings: each statement is sent in a transaction that has those of settingsSQL. A
// server in recovery refuses READ WRITE, which takes the place of a look at the fence.
func newAsker(conn *pgx.Conn, readOnly bool) asker {
	a := asker{conn: conn, before: []string{beginSQL, localSettingsSQL}, readOnly: readOnly}
	if readOnly {
		a.before[0] = beginWritableSQL
	}
	return a
}

const (
	beginSQL         = "BEGIN ISOLATION LEVEL READ COMMITTED"
	beginWritableSQL = beginSQL + " READ WRITE"
)

// rows runs a statement, in one round trip, and hands the columns of each row to scan, in binary.
// They are valid until scan returns. The statement is sent past pgx's query modes and types, which
// are the app's.
func (a asker) rows(ctx context.Context, scan func([][]byte) error, sql string, args ...string) (err error) {
	batch := &pgconn.Batch{}
	for _, sql := range a.before {
		batch.ExecParams(sql, nil, nil, nil, nil)
	}
	var values [][]byte
	for _, arg := range args {
		values = append(values, []byte(arg))
	}
	binary := []int16{pgx.BinaryFormatCode}
	if name, ok := a.prepared[sql]; ok {
		batch.ExecPrepared(name, values, nil, binary)
	} else {
		batch.ExecParams(sql, values, nil, nil, binary)
	}
	if len(a.before) > 0 {
		batch.ExecParams("COMMIT", nil, nil, nil, nil)
	}
	results := a.conn.PgConn().ExecBatch(ctx, batch)
	defer func() {
		if closed := results.Close(); err == nil {
			err = closed
		}
	}()
	for results.NextResult() {
		for result := results.ResultReader(); result.NextRow(); {
			if err := scan(result.Values()); err != nil {
				return err
			}
		}
	}
	return nil
}

// read runs a statement of feedSQL. It hands the header to check, and the rows to apply
// in parts. It gives up where patience passes without another part.
func (a asker) read(ctx context.Context, patience time.Duration, check func(header) error, apply func([]row) error,
	sql string, args ...string,
) (head header, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer func() {
		if errors.Is(context.Cause(ctx), errSilent) {
			err = errSilent // what pgx makes of it is a canceled context
		}
		cancel(nil)
	}()
	stall := time.AfterFunc(patience, func() { cancel(errSilent) })
	defer stall.Stop()

	part := make([]row, 0, partRows)
	scan := func(values [][]byte) (err error) {
		if text := values[headColumn]; text != nil {
			if head, err = readHeader(string(text)); err != nil {
				return err
			}
			stall.Reset(patience)
			return cmp.Or(a.doubt(head), check(head))
		}
		r, err := readRow(values)
		if err != nil {
			return err
		}
		if part = append(part, r); len(part) == partRows {
			err = apply(part)
			part = part[:0]
			stall.Reset(patience)
		}
		return err
	}
	err = a.rows(ctx, func(values [][]byte) error {
		err := scan(values)
		if err != nil {
			cancel(nil) // before the rows are closed, so that the rest is not sent
		}
		return err
	}, sql, args...)
	if err != nil {
		return header{}, a.withRemedy(err)
	}
	if !head.Answered() {
		return header{}, circumstances.ErrNoRow
	}
	if len(part) > 0 {
		err = apply(part)
	}
	return head, err
}

// doubt returns why an answer is not used.
func (a asker) doubt(head header) error {
	if err := head.DoubtOwn(a.readOnly); err != nil {
		return err
	}
	if head.Isolated() {
		return errIsolated
	}
	return nil
}

// withRemedy adds the remedy to an error of the database.
func (a asker) withRemedy(err error) error {
	var pgErr *pgconn.PgError
	switch {
	case circumstances.OfRowSecurity(err):
		return fmt.Errorf("%w; %w", circumstances.ErrHidden, err)
	case errors.As(err, &pgErr) && pgErr.Code == "42501": // insufficient_privilege
		return fmt.Errorf("the role of the mirror's connection needs USAGE on the schema and SELECT on revocations; "+
			"a hook of the pool may have set the role: %w", err)
	case a.readOnly && errors.As(err, &pgErr) && pgErr.Code == "0A000":
		// A server in recovery refuses READ WRITE so.
		return fmt.Errorf("%w; %w", circumstances.ErrStandby, err)
	}
	return err
}

func anySession(header) error { return nil }

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
