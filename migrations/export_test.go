package migrations

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// LockID returns the key of the advisory lock that a migration of the schema holds.
func LockID(schema string) int64 {
	return (&locker{config: config{schema}}).id()
}

// VersionTable is the name of the table of versions.
const VersionTable = versionTable

// Unlock locks the schema with one connection of the pool and unlocks it with another, as behind a
// pooler in transaction mode that Up has not noticed.
func Unlock(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	l := &locker{config: config{schema}, pool: pool}
	locked, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer locked.Release()
	if err := l.lock(ctx, locked.Conn()); err != nil {
		return err
	}
	other, err := pool.Acquire(ctx)
	if err != nil {
		return both(err, l.unlock(ctx, locked.Conn()))
	}
	defer other.Release()
	return both(l.unlock(ctx, other.Conn()), l.unlock(ctx, locked.Conn()))
}
