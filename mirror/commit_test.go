package mirror

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// mirrorSessions selects the mirrors' own sessions, and not one that has looked for them.
const mirrorSessions = `FROM pg_stat_activity
	WHERE datname = current_database() AND query LIKE '%pg_current_snapshot()%' AND query NOT LIKE '%query LIKE%'`

// endSessions ends the mirrors' own sessions, and returns how many there were.
func endSessions(tb testing.TB, pool *pgxpool.Pool) int {
	tb.Helper()
	return testkit.QueryOne[int](tb, pool, "SELECT count(pg_terminate_backend(pid)) "+mirrorSessions)
}

// A transaction commits with a lower number than one that the mirror has seen already. A
// greatest number, or a time, as the watermark would pass it over.
func TestLateCommit(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := openStore(t, address)
	m := run(t, openStore(t, address))
	late, early := testkit.Token(), testkit.Token()
	tx := testkit.Value(store.Pool().Begin(ctx))(t)
	testkit.Must(t, store.WithTx(tx).RevokeToken(ctx, late))
	testkit.Must(t, m.Sync(ctx))
	testkit.Must(t, store.RevokeToken(ctx, early))
	for range 3 {
		testkit.Must(t, m.Sync(ctx))
		refuses(t, m, early, revoke.ScopeToken)
		accepts(t, m, late)
	}
	testkit.Must(t, tx.Commit(ctx))
	testkit.Must(t, m.Sync(ctx))
	refuses(t, m, late, revoke.ScopeToken)
}

// A subtransaction has a number of its own, and may be taken back alone.
func TestSavepointsAndRollbacks(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := openStore(t, address)
	m := run(t, openStore(t, address))
	kept, undone, rolledBack := testkit.Token(), testkit.Token(), testkit.Token()
	back := errors.New("back")
	testkit.Must(t, pgx.BeginFunc(ctx, store.Pool(), func(tx pgx.Tx) error {
		testkit.Must(t, pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return store.WithTx(tx).RevokeToken(ctx, kept) }))
		err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			testkit.Must(t, store.WithTx(tx).RevokeToken(ctx, undone))
			return back
		})
		if !errors.Is(err, back) {
			t.Error(err)
		}
		return m.Sync(ctx) // sees neither
	}))
	err := pgx.BeginFunc(ctx, store.Pool(), func(tx pgx.Tx) error {
		testkit.Must(t, store.WithTx(tx).RevokeToken(ctx, rolledBack))
		return back
	})
	if !errors.Is(err, back) {
		t.Error(err)
	}
	testkit.Must(t, m.Sync(ctx))
	refuses(t, m, kept, revoke.ScopeToken)
	accepts(t, m, undone)
	accepts(t, m, rolledBack)
}

// A prepared transaction commits in another session, long after newer ones.
func TestPreparedTransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := openStore(t, address)
	m := run(t, openStore(t, address))
	token, later := testkit.Token(), testkit.Token()
	conn := testkit.Value(store.Pool().Acquire(ctx))(t)
	name := "'" + token.ID + "'"
	tx := testkit.Value(conn.Begin(ctx))(t)
	testkit.Must(t, store.WithTx(tx).RevokeToken(ctx, token))
	if _, err := tx.Exec(ctx, "PREPARE TRANSACTION "+name); err != nil {
		t.Fatalf("the server must allow prepared transactions: set max_prepared_transactions: %v", err)
	}
	conn.Release()
	testkit.Must(t, store.RevokeToken(ctx, later))
	testkit.Must(t, m.Sync(ctx))
	refuses(t, m, later, revoke.ScopeToken)
	accepts(t, m, token)
	testkit.Exec(t, store.Pool(), "COMMIT PREPARED "+name)
	testkit.Must(t, m.Sync(ctx))
	refuses(t, m, token, revoke.ScopeToken)
}

// A restore and a replication worker bring rows with the number of another server's
// transaction in them.
func TestRowsWithOldNumbers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := openStore(t, address)
	m := run(t, openStore(t, address))
	for _, test := range []struct{ name, set string }{
		{"restore", "SELECT 1"},
		{"replication", "SET LOCAL session_replication_role = replica"},
	} {
		t.Run(test.name, func(t *testing.T) { //nolint:paralleltest // one mirror
			token := testkit.Token()
			testkit.Must(t, pgx.BeginFunc(ctx, store.Pool(), func(tx pgx.Tx) error {
				if _, err := tx.Exec(ctx, test.set); err != nil {
					return err
				}
				key := revoke.ScopeToken.Key(token.Issuer, token.ID)
				text := strings.Join([]string{
					fmt.Sprintf("%x", key), "token", token.Issuer, token.ID, "2030-01-01", "2037-01-01", "2030-01-01", "7",
				}, "\t") + "\n"
				_, err := tx.Conn().PgConn().CopyFrom(ctx, strings.NewReader(text),
					"COPY revoke.revocations (key, scope, issuer, id, since, expires_at, revoked_at, xid) FROM STDIN")
				return err
			}))
			testkit.Must(t, m.Sync(ctx))
			refuses(t, m, token, revoke.ScopeToken)
		})
	}
}

// A new session begins with a full load, since transactions may have been numbered anew.
func TestNewSessionLoads(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := openStore(t, address)
	m := run(t, openStore(t, address))
	for i := range uint64(3) {
		if loads := m.Stats().Loads; loads != i+1 {
			t.Fatalf("%d loads, want %d", loads, i+1)
		}
		token := testkit.Token()
		testkit.Eventually(t, "the session is ended", func() bool { return endSessions(t, store.Pool()) == 1 })
		testkit.Must(t, store.RevokeToken(ctx, token))
		testkit.Eventually(t, "a new session has loaded", func() bool { return m.Stats().Loads == i+2 })
		testkit.Must(t, m.Sync(ctx))
		refuses(t, m, token, revoke.ScopeToken)
	}
}

// If there are more revocations than fit, every answer is right and comes from Postgres.
func TestTooMany(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		start bool // there are too many at the first load
	}{
		{"at a poll", false},
		{"at the first load", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			address := pgserver.Database(t)
			store := openStore(t, address)
			tokens := make([]revoke.Token, 20)
			for i := range tokens {
				tokens[i] = testkit.Token()
			}
			m := testkit.Value(New(openStore(t, address), WithMaxEntries(19), WithBound(100*time.Millisecond)))(t)
			if test.start {
				testkit.Must(t, store.RevokeTokens(ctx, tokens))
			}
			start(t, m)
			if !test.start {
				testkit.Must(t, m.Ready(ctx))
				testkit.Must(t, store.RevokeTokens(ctx, tokens))
			}
			testkit.Eventually(t, "Health says so", func() bool {
				err := m.Health(ctx)
				return err != nil && strings.Contains(err.Error(), "WithMaxEntries")
			})
			before := m.Stats().Fallbacks
			for _, token := range tokens {
				testkit.WantError(t, m.Check(ctx, token), revoke.ErrRevoked)
			}
			testkit.Must(t, m.Check(ctx, testkit.Token()))
			if n := m.Stats().Fallbacks - before; n != 21 {
				t.Errorf("%d of 21 checks asked Postgres", n)
			}
			if s := m.Stats(); test.start && (s.Loads != 0 || s.Entries != 0) {
				t.Errorf("Stats = %+v", s)
			}
		})
	}
}

// Revocations from here and from elsewhere come in while many rows are being loaded.
func TestRevokeDuringALoad(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	store := openStore(t, address)
	fillTokens(t, store.Pool(), testkit.Long(60_000, 300_000))
	m := testkit.Value(New(openStore(t, address)))(t)
	start(t, m)
	var tokens []revoke.Token
	for m.Stats().Loads == 0 {
		token, other := testkit.Token(), testkit.Token()
		testkit.Must(t, m.Store().RevokeToken(ctx, token))
		testkit.WantError(t, m.Check(ctx, token), revoke.ErrRevoked)
		testkit.Must(t, store.RevokeToken(ctx, other))
		tokens = append(tokens, token, other)
	}
	testkit.Must(t, m.Sync(ctx))
	for _, token := range tokens {
		refuses(t, m, token, revoke.ScopeToken)
	}
	t.Logf("%d revocations during the load", len(tokens))
}

// untilRefused checks a token that was revoked elsewhere until the mirror refuses it. A
// check that begins later than the bound after the commit must not accept.
func untilRefused(t *testing.T, m *Mirror, token revoke.Token, committed time.Time) {
	t.Helper()
	testkit.Eventually(t, "the mirror refuses", func() bool {
		began := time.Now()
		err := m.Check(context.WithoutCancel(t.Context()), token)
		if err == nil && began.Sub(committed) > m.bound {
			t.Fatalf("accepted %v after its revocation", began.Sub(committed))
		}
		return errors.Is(err, revoke.ErrRevoked)
	})
}
