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
	s := &Server{Source: urlVariable, url: address, close: func() error { return nil }}
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
	return s, nil
}

// CreateDatabase makes a database with the schema of package migrations and returns its URL. The
// database is a copy of a template, which is migrated once.
func (s *Server) CreateDatabase(ctx context.Context) (string, error) {
	template, err := s.migratedTemplate(ctx)
	if err != nil {
		return "", err
	}
	return s.create(ctx, template)
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
	name := databasePrefix + strings.ToLower(rand.Text())
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

// migratedTemplate returns the name of the migrated template, which the first call makes.
func (s *Server) migratedTemplate(ctx context.Context) (string, error) {
	s.template.Lock()
	defer s.template.Unlock()
	if s.template.name != "" {
		return s.template.name, nil
	}
	address, err := s.CreateEmptyDatabase(ctx)
	if err != nil {
		return "", err
	}
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return "", err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return "", err
	}
	err = migrations.Up(ctx, pool)
	pool.Close()
	if err != nil {
		return "", errors.Join(err, s.DropDatabase(ctx, address))
	}
	s.template.name = config.ConnConfig.Database
	return s.template.name, nil
}

func (s *Server) dropTemplate() error {
	s.template.Lock()
	defer s.template.Unlock()
	if s.template.name == "" {
		return nil
	}
	address, err := withDatabase(s.url, s.template.name)
	if err == nil {
		err = s.DropDatabase(context.Background(), address)
	}
	s.template.name = ""
	return err
}

// admin calls fn with a connection to the server's own database. The connection is closed
// afterwards, so that nothing keeps the server from stopping.
func (s *Server) admin(ctx context.Context, fn func(context.Context, *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return fn(ctx, conn)
}
