package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/pgrevoke/revoke/internal/circumstances"
	"github.com/pgrevoke/revoke/internal/schema"
)

// Problem adds to an error of the database what is to be done about it. Where the schema is missing
// or too old, or row-level security is in the way, it says so. An error that ctx has caused matches
// that of ctx.
func (d *Database) Problem(ctx context.Context, err error) error {
	// invalid_schema_name, undefined_table, undefined_column, undefined_function
	if HasCode(err, "3F000", "42P01", "42703", "42883") {
		err = fmt.Errorf("%s: %w", d.schemaProblem(ctx), err)
	}
	if HasCode(err, "57014") && ctx.Err() != nil { // query_canceled, at the caller's wish
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	if circumstances.OfRowSecurity(err) {
		err = fmt.Errorf("%w: %w", circumstances.ErrHidden, err)
	}
	return err
}

func (d *Database) schemaProblem(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, d.Wait)
	defer cancel()
	c := ReadColumns(d.Pool.QueryRow(ctx, schema.Fill("SELECT {schema}.schema_version()::pg_catalog.text", d.Schema)), 1)
	found := c.Number()
	switch err := c.Err; {
	case HasCode(err, "3F000", "42883"):
		return OlderSchema(d.Schema, "0 (none)")
	case err != nil:
		return fmt.Sprintf("the version of schema %q cannot be read (%v), version %d is needed", d.Schema, err, schema.Version)
	case found < schema.Version:
		return OlderSchema(d.Schema, strconv.FormatInt(found, 10))
	default:
		return fmt.Sprintf("schema %q says version %d, but has been changed by hand", d.Schema, found)
	}
}

// OlderSchema says that the schema has an older version than is needed.
func OlderSchema(name, version string) string {
	return fmt.Sprintf("schema %q has version %s, version %d is needed: %s", name, version, schema.Version, CallUp)
}

// CallUp is the remedy of a schema that is missing or too old.
const CallUp = "run migrations.Up of github.com/pgrevoke/revoke/migrations"
