package mirror

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/internal/circumstances"
)

// How long a session waits.
const (
	openTimeout  = 5 * time.Second  // to be opened, which takes some twenty round trips
	loadPatience = 10 * time.Second // for the next part of a load
	minPatience  = time.Second      // for the next part of a poll; a longer bound raises it
	closeTimeout = time.Second      // to be closed
)

// nonceSetting holds a value by which a session is known: see sessionSQL. A snapshot
// can only be compared with the next one in the session that took it: after a crash or
// a failover numbers of transactions are given out again, and no counter shows it.
const nonceSetting = "revoke.mirror"

// session is a connection of the mirror's own. One goroutine uses it.
type session struct {
	asker
	nonce    string
	name     string // as each answer names the session; empty before the first
	sql      feedSQL
	patience time.Duration // of a poll
	direct   bool          // no pooler: the server process has no other client
	notified bool          // a notification has come since the last pause
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
	if err := circumstances.CheckFence(config.RuntimeParams); err != nil {
		return nil, err
	}
	s := &session{nonce: rand.Text(), sql: newFeedSQL(m.store.Schema()), patience: max(m.bound, minPatience)}
	config.Tracer = nil
	// This mode prepares nothing that a pooler could lose.
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	config.DescriptionCacheCapacity = descriptions
	// Noted and not queued: one poll answers any number of notifications.
	config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { s.notified = true }
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	s.asker = newAsker(conn, m.store.ReadOnlyConnections())
	err = nil
	if m.connString == "" {
		err = runHooks(ctx, pool, conn)
	}
	if err == nil {
		err = s.configure(ctx, channelOf(m.store.Schema()))
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// runHooks makes of a connection what the pool makes of its own before it hands one out.
// A hook may set the role, for instance.
func runHooks(ctx context.Context, pool *pgxpool.Config, conn *pgx.Conn) error {
	if pool.AfterConnect != nil {
		if err := pool.AfterConnect(ctx, conn); err != nil {
			return hookError("AfterConnect", err)
		}
	}
	if pool.PrepareConn != nil {
		ok, err := pool.PrepareConn(ctx, conn)
		if err == nil && !ok {
			err = errNotReady
		}
		return hookError("PrepareConn", err)
	}
	if before := pool.BeforeAcquire; before != nil && !before(ctx, conn) { //nolint:staticcheck // deprecated, and still in use
		return hookError("BeforeAcquire", errNotReady)
	}
	return nil
}

var errNotReady = errors.New("the connection is not to be used")

// hookError names the hook, and says what to do about its error.
func hookError(hook string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("the pool's %s refused the mirror's connection: %w; "+
		"a hook that reads values of a caller's context needs WithConnString, because the mirror has no caller", hook, err)
}

// descriptions is how many statements of a session pgx describes once. The app may have
// turned that off for its pool.
const descriptions = 16

var errInTransaction = errors.New("a hook of the pool's configuration leaves a transaction open in new connections")

// configure gives the session its nonce. A session without a pooler gets the mirror's
// settings too: behind a pooler the process serves the app next, which must keep the
// app's settings and get no notifications.
func (s *session) configure(ctx context.Context, channel string) error {
	if s.conn.PgConn().TxStatus() != 'I' { // its snapshot might never change
		return errInTransaction
	}
	_, err := s.conn.Exec(ctx, "SELECT pg_catalog.set_config($1::pg_catalog.text, $2::pg_catalog.text, false)", nonceSetting, s.nonce)
	if err != nil {
		return err
	}
	var pid string
	var pgErr *pgconn.PgError
	err = s.conn.QueryRow(ctx, "SELECT pg_catalog.pg_backend_pid()::pg_catalog.text").Scan(&pid)
	if err != nil && !errors.As(err, &pgErr) {
		return err
	}
	// A pooler makes up the number that it gives its clients.
	if s.direct = err == nil && pid == strconv.FormatUint(uint64(s.conn.PgConn().PID()), 10); !s.direct {
		return nil
	}
	if _, err := s.conn.Exec(ctx, "SELECT "+settings("false")); err != nil {
		return err
	}
	s.before = nil
	if s.readOnly {
		s.before = []string{beginWritableSQL}
	}
	_, err = s.conn.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize())
	if errors.As(err, &pgErr) {
		return nil // an engine without it: polls find everything within the bound
	}
	return err
}

// settings sets what the server knows of these, for the session or for the transaction. A
// load may take long or wait for a lock, which the mirror's own patience ends, and the
// session is idle most of the time. Each read must have a snapshot of its own, taken when
// it has its locks. Parallel workers would return the header in the middle of the rows.
// Row-level security is to fail a statement: a plan that leaves rows out would stay when
// the role gets BYPASSRLS, and row_security_active() is false from then on. The fence,
// default_transaction_read_only, is the server's to set.
func settings(local string) string {
	return `pg_catalog.set_config(s.name, n.value, ` + local + `) FROM pg_catalog.pg_settings AS s JOIN (VALUES
    ('statement_timeout', '0'), ('lock_timeout', '0'), ('transaction_timeout', '0'),
    ('idle_session_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
    ('default_transaction_isolation', 'read committed'), ('default_transaction_deferrable', 'off'),
    ('max_parallel_workers_per_gather', '0'), ('jit', 'off'), ('row_security', 'off')) AS n (name, value) ON n.name OPERATOR(pg_catalog.=) s.name`
}

// localSettingsSQL is a block, because a gateway may refuse a setting by the text of a query.
var localSettingsSQL = "DO $$BEGIN PERFORM " + settings("true") + "; END$$"

func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = s.conn.Close(ctx) // it is given up in any case
}

// answered reports whether an answer came from this session. The first one must bring the nonce.
func (s *session) answered(head header) bool {
	if s.name == "" && strings.HasPrefix(head.session, s.nonce+" ") {
		s.name = head.session
	}
	return s.name != "" && head.session == s.name
}

// probe finds out which feed the database allows, by looking whether further statements
// reach the session of the first. It refuses a standby: a load during a promotion may
// have a snapshot from before it, which leaves out what was under way. A session that
// has reached a primary once reaches nothing else.
func (s *session) probe(ctx context.Context) (feed, error) {
	rows := 0
	for range 3 {
		var head header
		var about string // the number of rows, and the version of the server
		err := s.rows(ctx, func(values [][]byte) (err error) {
			if text := values[headColumn]; text != nil {
				head, err = readHeader(string(text))
			} else {
				about = string(values[len(values)-1])
			}
			return err
		}, s.sql.probe)
		var pgErr *pgconn.PgError
		switch {
		case errors.As(err, &pgErr) && (pgErr.Code == "42883" || pgErr.Code == "42501") && !circumstances.OfRowSecurity(err):
			return wholeFeed{s}, nil // the function is missing or forbidden
		case err != nil:
			return nil, s.withRemedy(err)
		case s.doubt(head) != nil:
			return nil, s.doubt(head)
		case !s.answered(head):
			return wholeFeed{s}, nil
		case strings.Contains(about, "-YB-"): // each node numbers its transactions for itself
			return wholeFeed{s}, nil
		case head.numbering == "": // before all rows are read for nothing
			return nil, errUnnumbered
		}
		number, _, _ := strings.Cut(about, " ")
		rows, _ = strconv.Atoi(number) // it is -1 before the first VACUUM or ANALYZE
	}
	return &exactFeed{session: s, rows: rows}, nil
}
