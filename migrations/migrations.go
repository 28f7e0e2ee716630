// Package migrations makes and removes the tables of revoke.
//
// [Up] is what most apps call when they start: it is safe to call from every replica at once, and
// does nothing where nothing is to be done. Apps that run migrations with another tool take [Files]
// (in goose's format) or [SQL].
//
// Everything stands in a schema of its own, the table of versions too, so that the app's own
// migrations are not touched.
// A session lock is held meanwhile: connect to Postgres itself and not through a pooler in
// transaction mode. [Inspect] looks at what operators, tools and restores may have changed.
package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"

	"github.com/pgrevoke/revoke/internal/schema"
)

//go:embed *.sql
var embedded embed.FS

// Latest is the newest version, which is the time of its file. Package revoke needs this version.
const Latest = schema.Version

// DefaultSchema is "revoke": the schema unless [WithSchema] names another.
const DefaultSchema = schema.DefaultName

// Option configures the functions of this package.
type Option func(*config) error

type config struct{ schema string }

// WithSchema sets the schema in which the tables stand. The name begins with a lower-case letter or
// an underscore, and at most 62 of these and digits follow; any other is an error. Give
// revoke.WithSchema the same name. Default: [DefaultSchema].
func WithSchema(name string) Option {
	return func(c *config) error {
		c.schema = name
		return schema.CheckName(name)
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

// Up brings the schema to the latest version, and makes it where there is none. Each migration is
// a transaction. Many processes may call Up at once: one works, the others wait, with no limit but
// ctx; the error at its end names the process that holds the lock. Where nothing is to be done, Up
// takes no lock and needs no right but to read, also on a standby. Where the schema exists, the
// role needs no right to create one. One connection of the pool is enough, and the pool stays open.
//
// Up takes over a schema that [SQL], another tool from [Files] or a restore has made. It mends the
// findings of [Inspect] that say so. It refuses the others of severity [Wrong], with the remedy in
// the error. It refuses a pooler in transaction mode if there is something to be done.
func Up(ctx context.Context, pool *pgxpool.Pool, opts ...Option) error {
	return wrap("Up", up(ctx, pool, opts))
}

// Down takes back the latest migration that was applied, with all its rows: revoked tokens are
// accepted again. The schema stays, with its table of versions. Where no migration is applied Down
// does nothing.
func Down(ctx context.Context, pool *pgxpool.Pool, opts ...Option) error {
	// goose would make its table of versions to find nothing in it.
	f, err := lookFromPool(ctx, pool, opts)
	if err != nil || f.version() == 0 {
		return wrap("Down", err)
	}
	return wrap("Down", withProvider(ctx, pool, f.config, func(p *goose.Provider) error {
		_, err := p.Down(ctx)
		return err
	}))
}

// Migration is one step between two versions, and whether it is applied.
type Migration struct {
	Version int64
	Name    string // of its file
	Applied bool
}

// Status returns all migrations, the oldest first. It writes nothing.
func Status(ctx context.Context, pool *pgxpool.Pool, opts ...Option) ([]Migration, error) {
	f, err := lookFromPool(ctx, pool, opts)
	if err == nil {
		err = f.checkReadable()
	}
	if err != nil {
		return nil, wrap("Status", err)
	}
	steps, err := readSteps(f.config)
	if err != nil {
		return nil, wrap("Status", err)
	}
	status := make([]Migration, len(steps))
	for i, s := range steps {
		status[i] = Migration{Version: s.version, Name: s.name, Applied: s.version <= f.version()}
	}
	return status, nil
}

// Version returns the version of the schema, 0 where there is none. It is greater than [Latest]
// if a newer program has migrated the schema. It writes nothing.
func Version(ctx context.Context, pool *pgxpool.Pool, opts ...Option) (int64, error) {
	f, err := lookFromPool(ctx, pool, opts)
	if err == nil {
		err = f.checkReadable()
	}
	if err != nil {
		return 0, wrap("Version", err)
	}
	return f.version(), nil
}

// wrap names the operation that failed. An err of nil stays nil.
func wrap(operation string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("migrations: %s: %w", operation, err)
}

// Files returns the migrations as files for goose, for a tool of your own. The schema must exist
// before the first.
func Files(opts ...Option) (fs.FS, error) {
	config, err := newConfig(opts)
	if err != nil {
		return nil, wrap("Files", err)
	}
	files, err := config.files()
	return files, wrap("Files", err)
}

// SQL returns plain SQL that leads from one version to another, up or down; 0 stands for nothing.
// It makes the schema if need be. Run it in one transaction. It does not write to the table of
// versions; [Up] does when it is called later.
func SQL(from, to int64, opts ...Option) (string, error) {
	config, err := newConfig(opts)
	if err != nil {
		return "", wrap("SQL", err)
	}
	text, err := config.plain(from, to)
	return text, wrap("SQL", err)
}
