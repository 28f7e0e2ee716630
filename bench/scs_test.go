package bench

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/alexedwards/scs/pgxstore"
	"github.com/alexedwards/scs/v2"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/internal/testkit"
)

// newSCS returns a session manager on a table as its documentation describes it, with a session
// for each user.
func newSCS(b *testing.B, pool *pgxpool.Pool, n int) *scs.SessionManager {
	b.Helper()
	sessions := openSCS(pool)
	data, err := sessions.Codec.Encode(time.Now().Add(time.Hour), map[string]any{"user": "user"})
	testkit.Must(b, err)
	for _, sql := range []string{
		"CREATE TABLE sessions (token TEXT PRIMARY KEY, data BYTEA NOT NULL, expiry TIMESTAMPTZ NOT NULL)",
		"CREATE INDEX sessions_expiry_idx ON sessions (expiry)",
	} {
		testkit.Exec(b, pool, sql)
	}
	testkit.Exec(b, pool, `INSERT INTO sessions (token, data, expiry)
		SELECT 'session-' || i, $2::bytea, now() + interval '1 hour' FROM generate_series(0, $1::int - 1) AS i`, n, data)
	return sessions
}

// openSCS returns a session manager on the table.
func openSCS(pool *pgxpool.Pool) *scs.SessionManager {
	// scs.New would start a goroutine for a store in memory.
	return &scs.SessionManager{Lifetime: time.Hour, Codec: scs.GobCodec{}, Store: pgxstore.NewWithCleanupInterval(pool, 0)}
}

// loadSession is the check of an app that has sessions in place of tokens.
func loadSession(sessions *scs.SessionManager) func(context.Context, *request) error {
	return func(ctx context.Context, r *request) error {
		loaded, err := sessions.Load(ctx, r.token.SessionID)
		if err == nil && sessions.GetString(loaded, "user") == "" {
			err = errors.New("scs: there is no session")
		}
		return err
	}
}
