package pgserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/migrations"
)

// databasePrefix begins the name of every database that this package creates and drops.
const databasePrefix = "revoke_test_"

// adminTimeout bounds each call of admin. A server that the environment names may accept a
// connection and never answer. An idle machine takes a fraction of a second.
const adminTimeout = time.Minute

// openURL takes the server that the environment names.
func openURL(ctx context.Context, address string) (*Server, error) {
	if _, err := withDatabase(address, ""); err != nil {
		return nil, err
	}
	s := &Server{Source: urlVariable, url: address, owner: strings.ToLower(rand.Text()[:ownerLength])}
	var role string
	var may bool
	err := s.admin(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT rolname, rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user").Scan(&role, &may)
	})
	if err != nil {
		return nil, fmt.Errorf("pgserver: %s: %w", urlVariable, err)
	}
	if !may {
		return nil, fmt.Errorf("pgserver: %s: role %q needs CREATEDB: ALTER ROLE %s CREATEDB",
			urlVariable, role, pgx.Identifier{role}.Sanitize())
	}
	s.close, err = s.appear(ctx)
	if err != nil {
		return nil, fmt.Errorf("pgserver: %s: %w", urlVariable, err)
	}
	return s, nil
}

// CreateDatabase makes a database with the schema of package migrations and returns its URL. The
// database is a copy of a template, which is migrated once.
func (s *Server) CreateDatabase(ctx context.Context) (string, error) {
	template, err := s.migratedTemplate(ctx)
	if err != nil {
		return "", err
	}
	return s.Clone(ctx, template)
}

// CreateEmptyDatabase makes an empty database and returns its URL.
func (s *Server) CreateEmptyDatabase(ctx context.Context) (string, error) {
	return s.create(ctx, "template0")
}

// DropDatabase drops a database that was created here, and ends the connections to it.
func (s *Server) DropDatabase(ctx context.Context, address string) error {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(config.Database, databasePrefix) {
		return fmt.Errorf("pgserver: database %q was not created here", config.Database)
	}
	return s.admin(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{config.Database}.Sanitize()+" WITH (FORCE)")
		return err
	})
}

func (s *Server) create(ctx context.Context, template string) (string, error) {
	name := databasePrefix
	if s.owner != "" {
		name += s.owner + "_"
	}
	name += strings.ToLower(rand.Text())
	err := s.admin(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		statement := "CREATE DATABASE " + name + " TEMPLATE " + template
		if version := conn.PgConn().ParameterStatus("server_version"); version >= "15" {
			statement += " STRATEGY FILE_COPY" // faster than logging, for a small template
		}
		_, err := conn.Exec(ctx, statement)
		for isCode(err, "55006") { // object_in_use: autovacuum visits the template
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Millisecond):
			}
			_, err = conn.Exec(ctx, statement)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("pgserver: create a database: %w", err)
	}
	return withDatabase(s.url, name)
}

func isCode(err error, code string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == code
}

// Template is the name of a database that is there to be copied.
type Template string

// CreateTemplate makes a database, migrates it by fn, and lets no connection in from then on.
// Close drops it. The pool ends with fn.
func (s *Server) CreateTemplate(ctx context.Context, fn func(context.Context, *pgxpool.Pool) error) (_ Template, err error) {
	address, err := s.CreateEmptyDatabase(ctx)
	if err != nil {
		return "", err
	}
	made := false
	defer func() {
		if !made { // also where fn panics, or ends the goroutine of a test
			err = errors.Join(err, s.DropDatabase(context.WithoutCancel(ctx), address))
		}
	}()
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return "", err
	}
	if err := migrate(ctx, config, fn); err != nil {
		return "", err
	}
	name := config.ConnConfig.Database
	err = s.admin(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS false"); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "+
			"WHERE datname = $1 AND backend_type = 'client backend'", name)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("pgserver: close a template: %w", err)
	}
	made = true
	s.templates.Lock()
	defer s.templates.Unlock()
	s.templates.all = append(s.templates.all, Template(name))
	return Template(name), nil
}

func migrate(ctx context.Context, config *pgxpool.Config, fn func(context.Context, *pgxpool.Pool) error) error {
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	return fn(ctx, pool)
}

// Clone makes a copy of a template and returns its URL.
func (s *Server) Clone(ctx context.Context, template Template) (string, error) {
	return s.create(ctx, string(template))
}

// Keep lets a database outlive this process, on a server that does. DropDatabase drops it.
func (s *Server) Keep(ctx context.Context, address string) error {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return err
	}
	return s.admin(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "COMMENT ON DATABASE "+pgx.Identifier{config.Database}.Sanitize()+" IS 'kept after a test that failed'")
		return err
	})
}

// migratedTemplate returns the template of CreateDatabase, which the first call makes.
func (s *Server) migratedTemplate(ctx context.Context) (Template, error) {
	s.migrated.Lock()
	defer s.migrated.Unlock()
	if s.migrated.template == "" {
		template, err := s.CreateTemplate(ctx, func(ctx context.Context, pool *pgxpool.Pool) error {
			return migrations.Up(ctx, pool)
		})
		if err != nil {
			return "", err
		}
		s.migrated.template = template
	}
	return s.migrated.template, nil
}

func (s *Server) dropTemplates() (err error) {
	s.templates.Lock()
	defer s.templates.Unlock()
	for _, template := range s.templates.all {
		address, failed := withDatabase(s.url, string(template))
		if failed == nil {
			failed = s.DropDatabase(context.Background(), address)
		}
		err = errors.Join(err, failed)
	}
	s.templates.all = nil
	return err
}

// The parts of the name of a database on a server that outlives this process. A process is
// present while a connection has its owner's name.
const (
	ownerLength = 13
	ownedName   = "^" + databasePrefix + "[a-z2-7]{13}_[a-z2-7]{26}$"
)

// appear makes this process present until the returned function is called, and drops the
// databases of processes that are not.
func (s *Server) appear(ctx context.Context) (func() error, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	config, err := pgx.ParseConfig(s.url)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["application_name"] = databasePrefix + s.owner
	present, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	leave := func() error { return present.Close(context.Background()) }
	_, err = present.Exec(ctx, "SET idle_session_timeout = 0")
	if err != nil {
		return nil, errors.Join(err, leave())
	}
	// Databases that are kept have a comment. A role drops its own databases only.
	rows, err := present.Query(ctx, "SELECT d.datname FROM pg_database d WHERE d.datname ~ $1 AND pg_has_role(d.datdba, 'USAGE') "+
		"AND shobj_description(d.oid, 'pg_database') IS NULL "+
		"AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.application_name = left(d.datname, $2))",
		ownedName, len(databasePrefix)+ownerLength)
	var left []string
	if err == nil {
		left, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return nil, errors.Join(err, leave())
	}
	for _, name := range left {
		// An error is of no consequence: another process drops the same, or one is still
		// connected to it.
		_, _ = present.Exec(ctx, "DROP DATABASE IF EXISTS "+name)
	}
	return leave, nil
}

// keptConnections is how many connections to the server's own database are kept for the
// next call of admin. To connect costs a third of what it costs to make and drop a
// database.
const keptConnections = 2

// admin calls fn with a connection to the server's own database, of which nothing else makes use
// meanwhile. Close closes the connections that are kept.
func (s *Server) admin(ctx context.Context, fn func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	keep := false
	defer func() { // also where fn panics, or ends the goroutine of a test
		if !keep || !s.keep(conn) {
			_ = conn.Close(context.WithoutCancel(ctx))
		}
	}()
	err = fn(ctx, conn)
	keep = err == nil
	return err
}

// connect returns a connection that was kept and still works, or a new one.
func (s *Server) connect(ctx context.Context) (*pgx.Conn, error) {
	for {
		conn := s.kept()
		if conn == nil {
			return pgx.Connect(ctx, s.url)
		}
		if conn.Ping(ctx) == nil {
			return conn, nil
		}
		_ = conn.Close(context.WithoutCancel(ctx)) // the server has been restarted
	}
}

// kept takes one of the connections that are kept, or returns nil.
func (s *Server) kept() *pgx.Conn {
	s.idle.Lock()
	defer s.idle.Unlock()
	if len(s.idle.conns) == 0 {
		return nil
	}
	last := len(s.idle.conns) - 1
	conn := s.idle.conns[last]
	s.idle.conns = s.idle.conns[:last]
	return conn
}

// keep keeps a connection, unless there are enough of them.
func (s *Server) keep(conn *pgx.Conn) bool {
	s.idle.Lock()
	defer s.idle.Unlock()
	if len(s.idle.conns) == keptConnections {
		return false
	}
	s.idle.conns = append(s.idle.conns, conn)
	return true
}

// closeKept closes the connections that are kept.
func (s *Server) closeKept() {
	for conn := s.kept(); conn != nil; conn = s.kept() {
		_ = conn.Close(context.Background()) // the server may have ended
	}
}
