package mirror

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgrevoke/revoke"
)

// feed reads revocations from the database, in one session, and says when that was by the database's clock. After an error
// it is of no use.
type feed interface {
	// load reads everything that is live.
	load(ctx context.Context, apply func(row)) (time.Time, error)
	// poll reads what was committed since the last load or poll, and may read more.
	poll(ctx context.Context, apply func(row)) (time.Time, error)
	// whole reports whether a poll is a load, so that what it does not read is gone.
	whole() bool
}

// row is one revocation. Its strings are valid until apply returns.
type row struct {
	kind       int32
	issuer, id []byte
	at         int64 // when a token's or session's row expires, or the epoch, in microseconds since 1970
}

// The kinds of rows in the statements below.
const (
	rowHeader int32 = iota
	rowToken
	rowSession
	rowUser
	rowIssuer
)

// The reasons for which a session cannot go on.
var (
	errStandby = errors.New("a standby answered; connect to the primary, for instance with target_session_attrs=read-write")
	errPooled  = errors.New("another session answered: there is a pooler in transaction mode")
)

// nonceSetting holds a value by which a session is known. A watermark is of use only in the session that took it: after a
// crash or a failover numbers of transactions are given out again, and nothing else would show it.
const nonceSetting = "revoke.mirror"

// session is a connection of the mirror's own. One goroutine uses it.
type session struct {
	conn     *pgx.Conn
	nonce    string
	sql      feedSQL
	direct   bool // no pooler stands before the server, so that its process serves nobody else
	notified bool // a notification has come since the last pause
}

type feedSQL struct{ loadExact, pollExact, loadWhole string }

// newFeedSQL writes the statements. In all of them a snapshot is taken once, and the header is of the same one as the rows.
func newFeedSQL(schema string) feedSQL {
	const header = `SELECT 0, {snapshot}, coalesce(current_setting('` + nonceSetting + `', true), '') || pg_is_in_recovery()::text, statement_timestamp()
`
	const rows = `UNION ALL SELECT 1, issuer, jti, expires_at FROM {schema}.revoked_tokens WHERE {which}
UNION ALL SELECT 2, issuer, sid, expires_at FROM {schema}.sessions WHERE {which} AND revoked_at IS NOT NULL
UNION ALL SELECT CASE WHEN subject IS NULL THEN 4 ELSE 3 END, issuer, coalesce(subject, ''), not_before FROM {schema}.user_epochs WHERE {which}`
	fill := func(snapshot, which string) string {
		return strings.NewReplacer("{schema}", `"`+schema+`"`, "{snapshot}", snapshot, "{which}", which).Replace(header + rows)
	}
	// By the header's time, from which it is told what may have been left out. It stands still while the statement runs, however
	// long that waits, and whatever is done to the clock.
	live := fmt.Sprintf("expires_at > statement_timestamp() - interval '%d seconds'", int64(revoke.RetentionMargin/time.Second))
	// What the last snapshot did not show is what began after it, and what was under way in it. A number that this snapshot
	// does not know yet is another server's, on a row that was restored from there, and was loaded; without that condition every
	// poll would read it, until this server has come as far. There is none on expires_at, because on a table without statistics
	// its index would be taken for the better one.
	const changed = "(xid >= ($1::text)::xid8 AND xid < pg_snapshot_xmax(pg_current_snapshot()) OR xid = ANY (($2::text[])::xid8[]))"
	return feedSQL{
		loadExact: fill("pg_current_snapshot()::text", live),
		pollExact: fill("pg_current_snapshot()::text", changed),
		loadWhole: fill("''", live),
	}
}

// connect opens the session.
func (m *Mirror) connect(ctx context.Context) (*session, error) {
	pool := m.store.Pool().Config()
	config := pool.ConnConfig
	if m.connString != "" {
		parsed, err := pgx.ParseConfig(m.connString)
		if err != nil {
			return nil, errors.New("the connection string cannot be read")
		}
		config = parsed
	} else if pool.BeforeConnect != nil {
		if err := pool.BeforeConnect(ctx, config); err != nil {
			return nil, err
		}
	}
	s := &session{nonce: rand.Text(), sql: newFeedSQL(m.store.Schema())}
	config.Tracer = nil
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe // prepares nothing that a pooler could lose
	// Noted and not queued: however many there are, one poll answers them.
	config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { s.notified = true }
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	s.conn = conn
	if err := s.configure(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// configure gives the session its nonce, and makes it a mirror's where it is not a pooler's: a process that serves the app
// next must keep the app's settings and hear of nothing.
func (s *session) configure(ctx context.Context) error {
	_, err := s.conn.Exec(ctx, "SELECT set_config($1::text, $2::text, false)", nonceSetting, s.nonce)
	if err != nil {
		return err
	}
	var pid int64
	var pgErr *pgconn.PgError
	err = s.conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid)
	if err != nil && !errors.As(err, &pgErr) {
		return err
	}
	// A pooler makes up the number that it gives its clients.
	if s.direct = err == nil && uint32(pid) == s.conn.PgConn().PID(); !s.direct {
		return nil
	}
	// Where they exist. A load may take its time, and idle time is what this session is made of.
	_, err = s.conn.Exec(ctx, `SELECT set_config(name, '0', false) FROM pg_settings
		WHERE name IN ('statement_timeout', 'transaction_timeout', 'idle_session_timeout', 'max_parallel_workers_per_gather', 'jit')`)
	if err != nil {
		return err
	}
	_, err = s.conn.Exec(ctx, "LISTEN "+channel)
	if errors.As(err, &pgErr) {
		return nil // an engine without it: polls find everything within the bound
	}
	return err
}

func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // it is given up in any case
}

// read runs a statement and checks whose answer it is.
func (s *session) read(ctx context.Context, apply func(row), sql string, args ...any) (snapshot string, at time.Time, err error) {
	rows, err := s.conn.Query(ctx, sql, args...)
	if err != nil {
		return "", time.Time{}, err
	}
	defer rows.Close()
	var r row
	var issuer, id pgtype.DriverBytes // not copied
	var stamp pgtype.Timestamptz
	var whose string
	for rows.Next() {
		if err := rows.Scan(&r.kind, &issuer, &id, &stamp); err != nil {
			return "", time.Time{}, err
		}
		if r.kind == rowHeader {
			snapshot, whose, at = string(issuer), string(id), stamp.Time
			continue
		}
		r.issuer, r.id, r.at = issuer, id, max(0, stamp.Time.UnixMicro())
		if stamp.InfinityModifier == pgtype.Infinity {
			r.at = maxMicros
		}
		apply(r)
	}
	switch err := rows.Err(); {
	case err != nil:
		return "", time.Time{}, err
	case strings.HasSuffix(whose, "true"):
		return "", time.Time{}, errStandby
	case whose != s.nonce+"false":
		return snapshot, at, errPooled // the rest is right, if that is all one wants to know
	}
	return snapshot, at, nil
}

// maxMicros is the end of the year 9999, which is as good as never.
const maxMicros = 253402300799 * 1_000_000

// exactFeed reads what has changed, by the numbers of the transactions that wrote it.
type exactFeed struct {
	*session
	xmax string   // of the last snapshot: what began later is not in it
	xip  []string // what was under way in it, and is not in it either
}

func (f *exactFeed) whole() bool { return false }

func (f *exactFeed) load(ctx context.Context, apply func(row)) (time.Time, error) {
	snapshot, at, err := f.read(ctx, apply, f.sql.loadExact)
	if err != nil {
		return time.Time{}, err
	}
	if f.direct {
		// From now on every read is of a few rows by an index, also where the tables were never analyzed.
		if _, err := f.conn.Exec(ctx, "SELECT set_config('enable_seqscan', 'off', false)"); err != nil {
			return time.Time{}, err
		}
		if _, err := f.conn.Prepare(ctx, f.sql.pollExact, f.sql.pollExact); err != nil { // a third of a poll's time
			return time.Time{}, err
		}
	}
	return at, f.remember(snapshot)
}

func (f *exactFeed) poll(ctx context.Context, apply func(row)) (time.Time, error) {
	snapshot, at, err := f.read(ctx, apply, f.sql.pollExact, f.xmax, f.xip)
	if err != nil {
		return time.Time{}, err
	}
	return at, f.remember(snapshot)
}

// remember takes a snapshot apart, which is written xmin:xmax:xip,xip.
func (f *exactFeed) remember(snapshot string) error {
	parts := strings.Split(snapshot, ":")
	if len(parts) != 3 {
		return fmt.Errorf("snapshot %q has no three parts", snapshot)
	}
	f.xmax, f.xip = parts[1], []string{}
	if parts[2] != "" {
		f.xip = strings.Split(parts[2], ",")
	}
	return nil
}

// wholeFeed reads everything at each poll, for engines without snapshots to compare and for poolers in transaction mode.
type wholeFeed struct{ *session }

func (f wholeFeed) whole() bool { return true }

func (f wholeFeed) load(ctx context.Context, apply func(row)) (time.Time, error) {
	_, at, err := f.read(ctx, apply, f.sql.loadWhole)
	if errors.Is(err, errPooled) {
		return at, nil // any session of the primary will do
	}
	return at, err
}

func (f wholeFeed) poll(ctx context.Context, apply func(row)) (time.Time, error) {
	return f.load(ctx, apply)
}

// probe finds out which feed the database allows, by trying whether a second statement meets the session of the first. A
// standby is refused, although every read tells: the snapshot of a load that meets a promotion may be from before it, and what
// was under way then is not in it. A session that has met a primary once meets nothing else.
func (s *session) probe(ctx context.Context) (feed, error) {
	for range 3 {
		var snapshot, nonce, version string
		var standby bool
		err := s.conn.QueryRow(ctx, "SELECT pg_current_snapshot()::text, coalesce(current_setting('"+nonceSetting+"', true), ''), "+
			"version(), pg_is_in_recovery()").Scan(&snapshot, &nonce, &version, &standby)
		var pgErr *pgconn.PgError
		switch {
		case errors.As(err, &pgErr) && pgErr.Code == "42883": // undefined_function
			return wholeFeed{s}, nil
		case err != nil:
			return nil, err
		case standby:
			return nil, errStandby
		case nonce != s.nonce:
			return wholeFeed{s}, nil
		case strings.Contains(version, "-YB-"): // YugabyteDB, of which each node numbers its transactions for itself
			return wholeFeed{s}, nil
		}
	}
	return &exactFeed{session: s}, nil
}
