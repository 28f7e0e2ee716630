package migrations

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
)

func up(ctx context.Context, pool *pgxpool.Pool, opts []Option) error {
	f, err := lookFromPool(ctx, pool, opts)
	if err != nil {
		return err
	}
	steps, err := readSteps(f.config)
	if err != nil {
		return err
	}
	if err := f.refuse(steps); err != nil {
		return err
	}
	if f.version() < Latest {
		if err := apply(ctx, pool, f.config); err != nil {
			return err
		}
		if f, err = lookFromPool(ctx, pool, opts); err != nil {
			return err
		}
		if err := f.refuse(steps); err != nil {
			return err
		}
	}
	if !f.mendable(steps) {
		return nil
	}
	return mend(ctx, pool, f.config)
}

// refuse returns why Up does nothing: what it cannot mend, or has no right to mend.
func (f *found) refuse(steps []step) error {
	if f.version() > Latest {
		return nil
	}
	work := f.version() < Latest
	var reasons []string
	for _, finding := range f.findings() {
		switch {
		case finding.Severity != Wrong, work && finding.Remedy == callUp:
		case finding.Mends && f.owned():
			work = true
		default:
			reasons = append(reasons, finding.String())
		}
	}
	if !f.fresh() && f.readable() && f.version() < steps[0].version {
		reasons = append(reasons, fmt.Sprintf("schema_version() returns %d, which is no version", f.version()))
	}
	if work && f.server.InRecovery {
		reasons = append(reasons, "there is something to do, and this server is a standby; connect to the primary")
	} else if work && f.server.Fenced {
		reasons = append(reasons, "there is something to do, and default_transaction_read_only is on, "+
			"as on a server that a switchover has fenced; connect to the new primary, or reset it for this role")
	}
	if len(reasons) == 0 {
		return f.checkReadable()
	}
	return together(reasons)
}

// together makes one error of reasons, nil where there is none.
func together(reasons []string) error {
	if len(reasons) == 0 {
		return nil
	}
	return errors.New(strings.Join(reasons, "; "))
}

// both makes one error of two, of which each may be nil.
func both(err, other error) error {
	if err == nil || other == nil {
		return cmp.Or(err, other)
	}
	return fmt.Errorf("%w; %w", err, other)
}

// mendable reports whether there is something that Up can mend. It leaves a Slow finding to the
// owner of the table, since that is no reason for which an app should not start.
func (f *found) mendable(steps []step) bool {
	if !f.owned() || f.server.InRecovery || f.server.Fenced || f.version() > Latest {
		return false
	}
	return slices.ContainsFunc(steps, func(s step) bool { return !slices.Contains(f.applied, s.version) }) ||
		slices.ContainsFunc(f.findings(), func(finding Finding) bool { return finding.Mends })
}

// apply runs the migrations that have not been applied.
func apply(ctx context.Context, pool *pgxpool.Pool, c config) error {
	return withProvider(ctx, pool, c, func(p *goose.Provider) error {
		// Provider.Up would look at the table of versions before it takes the lock.
		for _, source := range p.ListSources() {
			if _, err := p.ApplyVersion(ctx, source.Version, true); err != nil && !errors.Is(err, goose.ErrAlreadyApplied) {
				return err
			}
		}
		return nil
	})
}

// mend runs the remedies of the findings that Up mends, each statement in a transaction of its own,
// and looks again.
func mend(ctx context.Context, pool *pgxpool.Pool, c config) (err error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	l := &locker{config: c, pool: pool}
	if err := l.lock(ctx, conn.Conn()); err != nil {
		return err
	}
	defer func() { err = both(err, l.unlock(ctx, conn.Conn())) }()
	f, err := look(ctx, conn.Conn(), c)
	if err != nil {
		return err
	}
	for _, finding := range f.findings() {
		for _, statement := range finding.statements {
			if err := alter(ctx, conn.Conn(), statement); err != nil {
				return fmt.Errorf("%s, and to mend it failed: %w", finding, err)
			}
		}
	}
	if f, err = look(ctx, conn.Conn(), c); err != nil {
		return err
	}
	return (&Report{Findings: f.findings()}).Err()
}

// A statement that waits for a lock makes later ones wait behind it, checks among them. So alter
// waits briefly, and tries again after a pause.
const (
	alterTimeout = 200 * time.Millisecond
	alterPause   = time.Second
)

// alter runs a statement that alters a table in use. CREATE INDEX CONCURRENTLY and REINDEX
// CONCURRENTLY make no check wait, and leave an invalid index if they are ended.
func alter(ctx context.Context, conn *pgx.Conn, statement string) error {
	timeout := fmt.Sprintf("SET lock_timeout = %d", alterTimeout.Milliseconds())
	if strings.Contains(statement, " CONCURRENTLY ") {
		timeout = "SET lock_timeout = 0"
	}
	if _, err := exec(ctx, conn, timeout); err != nil {
		return err
	}
	for {
		_, err := exec(ctx, conn, statement)
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != "55P03" { // lock_not_available
			return err
		}
		select {
		case <-time.After(alterPause):
		case <-ctx.Done():
			return both(context.Cause(ctx), err)
		}
	}
}
