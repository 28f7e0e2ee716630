package mirror_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/mirror"
)

func mustExec(tb testing.TB, pool *pgxpool.Pool, sql string, args ...any) {
	tb.Helper()
	_, err := pool.Exec(tb.Context(), sql, args...)
	must(tb, err)
}

// backends ends the mirrors' own sessions, and returns how many there were.
func backends(tb testing.TB, pool *pgxpool.Pool) (n int) {
	tb.Helper()
	must(tb, pool.QueryRow(tb.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND query LIKE '%pg_current_snapshot()%' AND pid <> pg_backend_pid()`).Scan(&n))
	return n
}

// TestLateCommit commits a transaction whose number is lower than that of one which the mirror has seen already. A greatest
// number, or a time, as the watermark would pass it over.
func TestLateCommit(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := newStore(t, address)
	m := run(t, newStore(t, address))
	late, early := newToken(), newToken()
	tx, err := store.Pool().Begin(ctx)
	must(t, err)
	must(t, store.WithTx(tx).RevokeToken(ctx, late))
	must(t, m.Sync(ctx))
	must(t, store.RevokeToken(ctx, early))
	for range 3 {
		must(t, m.Sync(ctx))
		refuses(t, m, early)
		must(t, m.Check(ctx, late))
	}
	must(t, tx.Commit(ctx))
	must(t, m.Sync(ctx))
	refuses(t, m, late)
}

// TestSavepointsAndRollbacks writes in a subtransaction, which has a number of its own, and takes one back.
func TestSavepointsAndRollbacks(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := newStore(t, address)
	m := run(t, newStore(t, address))
	kept, undone, rolledBack := newToken(), newToken(), newToken()
	must(t, pgx.BeginFunc(ctx, store.Pool(), func(tx pgx.Tx) error {
		must(t, pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return store.WithTx(tx).RevokeToken(ctx, kept) }))
		_ = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			must(t, store.WithTx(tx).RevokeToken(ctx, undone))
			return errors.New("back to the savepoint")
		})
		must(t, m.Sync(ctx)) // sees neither
		return nil
	}))
	_ = pgx.BeginFunc(ctx, store.Pool(), func(tx pgx.Tx) error {
		must(t, store.WithTx(tx).RevokeToken(ctx, rolledBack))
		return errors.New("back to the beginning")
	})
	must(t, m.Sync(ctx))
	refuses(t, m, kept)
	must(t, m.Check(ctx, undone))
	must(t, m.Check(ctx, rolledBack))
}

// TestPreparedTransaction commits one that was prepared, in another session, long after newer ones.
func TestPreparedTransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := newStore(t, address)
	var allowed bool
	must(t, store.Pool().QueryRow(ctx, "SELECT current_setting('max_prepared_transactions')::int > 0").Scan(&allowed))
	if !allowed {
		t.Skip("the server of REVOKE_DATABASE_URL allows no prepared transactions")
	}
	m := run(t, newStore(t, address))
	token, later := newToken(), newToken()
	conn, err := store.Pool().Acquire(ctx)
	must(t, err)
	name := "'" + token.ID + "'"
	tx, err := conn.Begin(ctx)
	must(t, err)
	must(t, store.WithTx(tx).RevokeToken(ctx, token))
	_, err = tx.Exec(ctx, "PREPARE TRANSACTION "+name)
	must(t, err)
	conn.Release()
	must(t, store.RevokeToken(ctx, later))
	must(t, m.Sync(ctx))
	refuses(t, m, later)
	must(t, m.Check(ctx, token))
	mustExec(t, store.Pool(), "COMMIT PREPARED "+name)
	must(t, m.Sync(ctx))
	refuses(t, m, token)
}

// TestRowsWithOldNumbers brings rows in as a restore and a replication worker do, with the number of another server's
// transaction in them.
func TestRowsWithOldNumbers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := newStore(t, address)
	m := run(t, newStore(t, address))
	rows := map[string]func(revoke.Token) (kind, id, columns, values string){
		"revoked_tokens": func(t revoke.Token) (kind, id, columns, values string) {
			return "token", t.ID, "jti, revoked_at", t.ID + "\t2030-01-01"
		},
		"sessions": func(t revoke.Token) (kind, id, columns, values string) {
			return "session", t.SessionID, "sid, revoked_at", t.SessionID + "\t2030-01-01"
		},
		"user_epochs": func(t revoke.Token) (kind, id, columns, values string) {
			return "user", t.Subject, "subject, revoked_at, not_before", t.Subject + "\t2030-01-01\t2030-01-01"
		},
	}
	for table, row := range rows {
		for _, set := range []string{"SELECT 1", "SET LOCAL session_replication_role = replica"} {
			token := newToken()
			kind, id, columns, values := row(token)
			must(t, pgx.BeginFunc(ctx, store.Pool(), func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, set); err != nil {
					return err
				}
				var key string
				if err := tx.QueryRow(ctx, "SELECT revoke.row_key($1, $2, $3)::text", kind, issuer, id).Scan(&key); err != nil {
					return err
				}
				text := strings.Join([]string{key, issuer, "2037-01-01", "7", values}, "\t") + "\n"
				_, err := tx.Conn().PgConn().CopyFrom(ctx, strings.NewReader(text),
					"COPY revoke."+table+" (key, issuer, expires_at, xid, "+columns+") FROM STDIN")
				return err
			}))
			must(t, m.Sync(ctx))
			refuses(t, m, token)
		}
	}
}

// TestNewSessionLoads ends the mirror's session: the next one begins with a full load, since transactions may have been
// numbered anew, and meanwhile Postgres is asked.
func TestNewSessionLoads(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := newStore(t, address)
	m := run(t, newStore(t, address))
	for i := range uint64(3) {
		if loads := m.Stats().Loads; loads != i+1 {
			t.Fatalf("%d loads, want %d", loads, i+1)
		}
		token := newToken()
		eventually(t, "the session is ended", func() bool { return backends(t, store.Pool()) == 1 })
		must(t, store.RevokeToken(ctx, token))
		eventually(t, "a new session has loaded", func() bool { return m.Stats().Loads == i+2 })
		must(t, m.Sync(ctx))
		refuses(t, m, token)
	}
}

// TestOnStandby follows a standby, which shows an old state: it never answers from memory.
func TestOnStandby(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server, err := pgserver.Open(ctx)
	must(t, err)
	t.Cleanup(func() { must(t, server.Close()) })
	address, err := server.CreateDatabase(ctx)
	must(t, err)
	standby, err := server.Standby(ctx)
	if errors.Is(err, pgserver.ErrNoStandby) {
		t.Skip(err) // only where REVOKE_DATABASE_URL names a server, whose standbys are not ours to start
	}
	must(t, err)
	t.Cleanup(func() { must(t, standby.Close()) })
	config, err := pgx.ParseConfig(address)
	must(t, err)
	pool := pgserver.Pool(t, standby.URL(), func(c *pgxpool.Config) { c.ConnConfig.Database = config.Database })
	store, err := revoke.NewPostgres(pool)
	must(t, err)
	var reported atomic.Pointer[error]
	m, err := mirror.New(store, mirror.WithReport(func(err error) { reported.Store(&err) }))
	must(t, err)
	start(t, m)
	eventually(t, "the standby is noticed", func() bool {
		err := reported.Load()
		return err != nil && strings.Contains((*err).Error(), "standby")
	})
	if err := m.Check(ctx, newToken()); !errors.Is(err, revoke.ErrUnavailable) {
		t.Errorf("Check = %v", err)
	}
	if err := m.Health(ctx); err == nil || !strings.Contains(err.Error(), "standby") {
		t.Errorf("Health = %v", err)
	}
}

// TestTooMany revokes more than fit: every answer is right, and comes from Postgres.
func TestTooMany(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := newStore(t, address)
	m := run(t, newStore(t, address), mirror.WithMaxEntries(10), mirror.WithBound(100*time.Millisecond))
	var tokens []revoke.Token
	for range 20 {
		tokens = append(tokens, newToken())
	}
	must(t, store.RevokeTokens(ctx, tokens))
	eventually(t, "it says so", func() bool {
		err := m.Health(ctx)
		return err != nil && strings.Contains(err.Error(), "WithMaxEntries")
	})
	before := m.Stats().Fallbacks
	for _, token := range tokens {
		if err := m.Check(ctx, token); !errors.Is(err, revoke.ErrRevoked) {
			t.Errorf("Check = %v", err)
		}
	}
	must(t, m.Check(ctx, newToken()))
	if n := m.Stats().Fallbacks - before; n != 21 {
		t.Errorf("%d of 21 checks asked Postgres", n)
	}
}

// TestTooManyAtTheStart finds more than fit when it loads: the same holds.
func TestTooManyAtTheStart(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := newStore(t, address)
	var tokens []revoke.Token
	for range 20 {
		tokens = append(tokens, newToken())
	}
	must(t, store.RevokeTokens(ctx, tokens))
	m, err := mirror.New(newStore(t, address), mirror.WithMaxEntries(19))
	must(t, err)
	start(t, m)
	eventually(t, "it says so", func() bool {
		err := m.Health(ctx)
		return err != nil && strings.Contains(err.Error(), "WithMaxEntries")
	})
	for _, token := range tokens {
		if err := m.Check(ctx, token); !errors.Is(err, revoke.ErrRevoked) {
			t.Errorf("Check = %v", err)
		}
	}
	must(t, m.Check(ctx, newToken()))
	if s := m.Stats(); s.Fallbacks != 21 || s.Loads != 0 || s.Entries > 19 {
		t.Errorf("Stats = %+v", s)
	}
}

// silentConn swallows what is sent once it is told to.
type silentConn struct {
	net.Conn
	silent *atomic.Bool
}

func (c silentConn) Write(b []byte) (int, error) {
	if c.silent.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// TestSilentDeath lets the mirror's own connection go silent, so that neither polls nor notifications come: within the bound
// Postgres is asked, and a new connection takes over.
func TestSilentDeath(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := newStore(t, address)
	var silent, wrap atomic.Bool
	pool := pgserver.Pool(t, address, func(c *pgxpool.Config) {
		dial := c.ConnConfig.DialFunc
		c.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err == nil && wrap.Load() {
				conn = silentConn{conn, &silent}
			}
			return conn, err
		}
	})
	must(t, pool.Ping(ctx)) // a connection for checks, which stays sound
	wrap.Store(true)
	const bound = 200 * time.Millisecond
	followed, err := revoke.NewPostgres(pool)
	must(t, err)
	m := run(t, followed, mirror.WithBound(bound))
	wrap.Store(false)
	silent.Store(true)
	token := newToken()
	must(t, store.RevokeToken(ctx, token))
	committed := time.Now()
	eventually(t, "Postgres is asked", func() bool {
		began := time.Now()
		err := m.Check(ctx, token)
		if err == nil && began.Sub(committed) > bound {
			t.Fatalf("accepted %v after its revocation", began.Sub(committed))
		}
		return err != nil
	})
	eventually(t, "a new session has loaded", func() bool { return m.Stats().Loads == 2 && m.Health(ctx) == nil })
	refuses(t, m, token)
}

// TestRevokeDuringLoad revokes from here and from elsewhere while a million rows are being loaded.
func TestRevokeDuringLoad(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := newStore(t, address)
	mustExec(t, store.Pool(), `INSERT INTO revoke.revoked_tokens (key, expires_at, revoked_at, issuer, jti)
		SELECT gen_random_uuid(), now() + interval '1 hour', now(), 'i', i::text FROM generate_series(1, 1000000) AS i`)
	followed := newStore(t, address)
	m, err := mirror.New(followed)
	must(t, err)
	start(t, m)
	own := m.Store()
	var tokens []revoke.Token
	for m.Stats().Loads == 0 {
		token, other := newToken(), newToken()
		must(t, own.RevokeToken(ctx, token))
		if err := own.Check(ctx, token); !errors.Is(err, revoke.ErrRevoked) {
			t.Fatalf("own revocation: Check = %v", err)
		}
		must(t, store.RevokeToken(ctx, other))
		tokens = append(tokens, token, other)
	}
	must(t, m.Sync(ctx))
	for _, token := range tokens {
		refuses(t, m, token)
	}
	t.Logf("%d revocations during the load", len(tokens))
}
