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

// urlTimeout bounds the first answer of a server that the environment names, which may accept and say nothing.
const urlTimeout = 30 * time.Second

// openURL takes the server that the environment names.
func openURL(ctx context.Context, address string) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, urlTimeout)
	defer cancel()
	if _, err := withDatabase(address, ""); err != nil {
		return nil, err
	}
	s := &Server{Source: urlVariable, url: address, close: func() error { return nil }}
	var role string
	var may bool
	err := s.admin(ctx, func(conn *pgx.Conn) error {
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

// CreateDatabase makes a database with our schema, a copy of a template that is migrated once, and returns its URL.
func (s *Server) CreateDatabase(ctx context.Context) (string, error) {
	template, err := s.migratedTemplate(ctx)
	if err != nil {
		return "", err
	}
	return s.create(ctx, template)
}

// CreateEmptyDatabase makes a database with nothing in it and returns its URL.
func (s *Server) CreateEmptyDatabase(ctx context.Context) (string, error) {
	return s.create(ctx, "template0")
}

// DropDatabase drops a database that was created here, and ends whoever is connected to it.
func (s *Server) DropDatabase(ctx context.Context, address string) error {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(config.Database, databasePrefix) {
		return fmt.Errorf("pgserver: database %q was not created here", config.Database)
	}
	return s.admin(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{config.Database}.Sanitize()+" WITH (FORCE)")
		return err
	})
}

func (s *Server) create(ctx context.Context, template string) (string, error) {
	name := databasePrefix + strings.ToLower(rand.Text())
	err := s.admin(ctx, func(conn *pgx.Conn) error {
		statement := "CREATE DATABASE " + name + " TEMPLATE " + template
		if version := conn.PgConn().ParameterStatus("server_version"); version >= "15" {
			statement += " STRATEGY FILE_COPY" // a small template is copied faster than it is logged
		}
		_, err := conn.Exec(ctx, statement)
		for attempt := 0; isCode(err, "55006") && attempt < 50; attempt++ { // object_in_use: autovacuum visits the template
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

// migratedTemplate returns the name of a database with our schema, made at the first call.
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
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	address, err := withDatabase(s.url, s.template.name)
	if err == nil {
		err = s.DropDatabase(ctx, address)
	}
	s.template.name = ""
	return err
}

// admin calls fn with a connection to the server's own database. It is closed afterwards, so that nothing keeps the
// server from stopping.
func (s *Server) admin(ctx context.Context, fn func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, s.url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return fn(conn)
}
