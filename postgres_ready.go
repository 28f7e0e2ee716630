package revoke

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pgrevoke/revoke/internal/circumstances"
	"github.com/pgrevoke/revoke/internal/oneline"
	"github.com/pgrevoke/revoke/internal/postgres"
	"github.com/pgrevoke/revoke/internal/schema"
)

// Ready reports what the catalog says of whether this store can work: the schema is there and
// new enough, the role of the pool may read and write it and call its functions, the server
// is a primary that is not fenced, and row-level security hides nothing. It is for a
// start-up and for readiness probes: one round trip on a connection of the pool, under the
// timeout of [WithCheckTimeout]. Nil says that the store was ready when it was asked.
// Otherwise the error matches [ErrUnavailable], and names everything that it found with its
// remedy.
//
// The rights are USAGE on the schema, SELECT, INSERT, UPDATE and DELETE on revocations, and
// EXECUTE on the functions epochs and row_key. With [WithReadOnlyConnections] they are
// USAGE and SELECT. Ready takes no lock on the table, so it does not wait where another session
// has locked it, as checks do then. What tools and restores may have changed in the table
// itself, such as a missing column or primary key, is reported by migrations.Inspect.
func (p *Postgres) Ready(ctx context.Context) error {
	queryCtx, cancel := p.deadline(ctx)
	defer cancel()
	r := readyReader{store: p}
	err := p.database.Read(queryCtx, postgres.Statement{SQL: p.sql.ready}, &r)
	if err = cmp.Or(err, r.problem); err != nil {
		return p.fail(ctx, "Ready", err)
	}
	return nil
}

// readyReader reads the row of the ready statement.
type readyReader struct {
	circumstances.Circumstances
	store   *Postgres
	problem error
}

func (r *readyReader) Reset() { *r = readyReader{store: r.store} }

func (r *readyReader) Seen() circumstances.Circumstances { return r.Circumstances }

func (r *readyReader) Scan(current postgres.Row) error {
	c := postgres.ReadColumns(current, 8)
	if err := cmp.Or(c.Err, r.Read(c.Text())); err != nil {
		return err
	}
	found, table, usage := c.Number(), c.Text() == "true", c.Text() == "true"
	lacks, missing, forbidden, role := strings.Fields(c.Text()), strings.Fields(c.Text()), strings.Fields(c.Text()), c.Name()
	if c.Err != nil {
		return c.Err
	}
	p := r.store
	switch {
	case found == 0:
		r.problem = errors.New(p.olderSchema("0 (none)"))
		return nil
	case found < schema.Version:
		r.problem = errors.New(p.olderSchema(strconv.FormatInt(found, 10)))
		return nil
	}
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	in := schema.Fill("{schema}", p.schema)
	if !table {
		problem("schema %q has no table revocations: restore it, or see migrations.Inspect", p.schema)
	}
	for _, function := range missing {
		problem("schema %q has no function %s: %s", p.schema, function, postgres.CallUp)
	}
	if !usage {
		problem("role %s may not use the schema: GRANT USAGE ON SCHEMA %s TO %[1]s", role, in)
	}
	if p.database.ReadOnly {
		forbidden = nil
		if len(lacks) > 0 && lacks[0] == "SELECT" {
			lacks = lacks[:1]
		} else {
			lacks = nil
		}
	}
	if rights := strings.Join(lacks, ", "); table && rights != "" {
		problem("role %s may not %s: GRANT %[2]s ON %[3]s.revocations TO %[1]s", role, rights, in)
	}
	for _, function := range forbidden {
		problem("role %s may not call %s: GRANT EXECUTE ON FUNCTION %s.%[2]s TO %[1]s", role, function, in)
	}
	r.problem = oneline.Join(problems...)
	return nil
}
