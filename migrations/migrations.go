// Package migrations makes and removes the tables of revoke.
//
// [Up] is what most apps call when they start: it is safe to call from every replica at once, and does nothing where
// nothing is to be done. Apps that run migrations with another tool take [Files] (in goose's format) or [SQL].
//
// Everything stands in a schema of its own, the table of versions too, so that the app's own migrations are not touched.
// A session lock is held meanwhile: connect to Postgres itself and not through a pooler in transaction mode.
package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
)

//go:embed *.sql
var embedded embed.FS

// Latest is the newest version. It is the one that the package revoke needs.
const Latest = 1

// DefaultSchema is the schema unless [WithSchema] names another.
const DefaultSchema = "revoke"

// Option configures the functions of this package.
type Option func(*config) error

type config struct{ schema string }

var schemaPattern = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// WithSchema sets the schema in which the tables stand: a lower-case letter or underscore and at most 62 of these and
// digits. Give revoke.WithSchema the same. Default: [DefaultSchema].
func WithSchema(name string) Option {
	return func(c *config) error {
		if !schemaPattern.MatchString(name) {
			return fmt.Errorf("schema %q does not match %s", name, schemaPattern)
		}
		c.schema = name
		return nil
	}
}

func newConfig(opts []Option) (config, error) {
	c := config{schema: DefaultSchema}
	for _, opt := range opts {
		if opt == nil {
			return c, errors.New("an option is nil")
		}
		if err := opt(&c); err != nil {
			return c, err
		}
	}
	return c, nil
}

// Up brings the schema to the latest version, and makes it where there is none. Each migration is a transaction. It may
// be called by many processes at once: one works, the others wait, without limit but ctx. Where the schema exists already
// its role needs no right to create one. One connection of the pool is enough, and the pool stays open.
func Up(ctx context.Context, pool *pgxpool.Pool, opts ...Option) error {
	return withProvider(ctx, "Up", pool, opts, func(p *goose.Provider) error {
		// Provider.Up would look at the table of versions, and make it, before it takes the lock.
		for _, source := range p.ListSources() {
			if _, err := p.ApplyVersion(ctx, source.Version, true); err != nil && !errors.Is(err, goose.ErrAlreadyApplied) {
				return err
			}
		}
		return nil
	})
}

// Down takes back the latest migration that was applied, with all its rows: revoked tokens come back to life. The schema
// stays, with its table of versions. Where no migration is applied it does nothing.
func Down(ctx context.Context, pool *pgxpool.Pool, opts ...Option) error {
	// goose would make its table of versions to find nothing in it.
	if version, err := latestApplied(ctx, pool, opts); err != nil || version == 0 {
		return wrap("Down", err)
	}
	return withProvider(ctx, "Down", pool, opts, func(p *goose.Provider) error {
		_, err := p.Down(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			return nil
		}
		return err
	})
}

// Migration is one step between two versions, and whether it is applied.
type Migration struct {
	Version int64
	Name    string // of its file
	Applied bool
}

// Status returns all migrations, the oldest first. It writes nothing.
func Status(ctx context.Context, pool *pgxpool.Pool, opts ...Option) ([]Migration, error) {
	config, err := newConfig(opts)
	if err != nil {
		return nil, wrap("Status", err)
	}
	applied, err := appliedVersions(ctx, pool, config)
	if err != nil {
		return nil, wrap("Status", err)
	}
	steps, err := readSteps(config)
	if err != nil {
		return nil, wrap("Status", err)
	}
	status := make([]Migration, len(steps))
	for i, s := range steps {
		status[i] = Migration{Version: s.version, Name: s.name, Applied: applied[s.version]}
	}
	return status, nil
}

// Version returns the latest version that was applied by [Up], 0 where none was. It is greater than [Latest] where a newer
// program was here. It writes nothing.
func Version(ctx context.Context, pool *pgxpool.Pool, opts ...Option) (int64, error) {
	version, err := latestApplied(ctx, pool, opts)
	return version, wrap("Version", err)
}

func latestApplied(ctx context.Context, pool *pgxpool.Pool, opts []Option) (latest int64, err error) {
	config, err := newConfig(opts)
	if err != nil {
		return 0, err
	}
	applied, err := appliedVersions(ctx, pool, config)
	if err != nil {
		return 0, err
	}
	for version, is := range applied {
		if is {
			latest = max(latest, version)
		}
	}
	return latest, nil
}

// wrap names the operation that failed. An err of nil stays nil.
func wrap(operation string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("migrations: %s: %w", operation, err)
}

// Files returns the migrations as files for goose, for a tool of your own. The schema must exist before the first.
func Files(opts ...Option) (fs.FS, error) {
	config, err := newConfig(opts)
	if err != nil {
		return nil, fmt.Errorf("migrations: Files: %w", err)
	}
	files, err := config.files()
	if err != nil {
		return nil, fmt.Errorf("migrations: Files: %w", err)
	}
	return files, nil
}

// SQL returns plain SQL that leads from one version to another, up or down; 0 stands for nothing. It makes the schema if
// need be. Run it in one transaction. It does not write to the table of versions: what was made by it is not Up's to
// change.
func SQL(from, to int64, opts ...Option) (string, error) {
	config, err := newConfig(opts)
	if err != nil {
		return "", fmt.Errorf("migrations: SQL: %w", err)
	}
	text, err := config.plain(from, to)
	if err != nil {
		return "", fmt.Errorf("migrations: SQL: %w", err)
	}
	return text, nil
}
