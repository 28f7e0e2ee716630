package revoke_test

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// TestPasswordChange writes a password and ends the sessions in one transaction of the caller's.
func TestPasswordChange(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := testkit.Store(t)
	db := sqlDB(t, pool)
	testkit.Exec(t, pool, "CREATE TABLE accounts (name text PRIMARY KEY, password text NOT NULL)")

	type transaction struct {
		revoker          revoke.Revoker
		exec             func(sql string, args ...any) error
		commit, rollback func() error
	}
	for _, row := range []struct {
		name  string
		begin func(*testing.T) transaction
	}{
		{"pgx", func(t *testing.T) transaction {
			t.Helper()
			tx, err := pool.Begin(ctx)
			testkit.Must(t, err)
			return transaction{
				store.WithTx(tx),
				func(sql string, args ...any) error { _, err := tx.Exec(ctx, sql, args...); return err },
				func() error { return tx.Commit(ctx) },
				func() error { return tx.Rollback(ctx) },
			}
		}},
		{"database/sql", func(t *testing.T) transaction {
			t.Helper()
			tx, err := db.BeginTx(ctx, nil)
			testkit.Must(t, err)
			return transaction{
				store.WithSQLTx(tx),
				func(sql string, args ...any) error { _, err := tx.ExecContext(ctx, sql, args...); return err },
				tx.Commit,
				tx.Rollback,
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			token, byToken, spent, suspended := testkit.Token(), testkit.Token(), testkit.Token(), testkit.Token()
			testkit.Exec(t, pool, "INSERT INTO accounts VALUES ($1, 'old')", token.Subject)
			change := func() (transaction, revoke.Epochs) {
				tx := row.begin(t)
				testkit.Must(t, tx.exec("UPDATE accounts SET password = 'new' WHERE name = $1", token.Subject))
				testkit.Must(t, tx.revoker.RevokeTokens(ctx, []revoke.Token{byToken, byToken}))
				testkit.Must(t, tx.revoker.Redeem(ctx, spent))
				testkit.Must(t, tx.revoker.RevokeSession(ctx, revoke.Session{Issuer: testkit.Issuer, ID: byToken.SessionID + row.name}))
				testkit.Must(t, tx.revoker.RevokeUserBefore(ctx, byToken.User(), time.Now()))
				many, err := tx.revoker.RevokeUsers(ctx, []revoke.User{suspended.User(), suspended.User()})
				testkit.Must(t, err)
				if read, err := tx.revoker.Epochs(ctx, suspended.User()); err != nil || len(many) != 2 || many[0] != read || many[1] != read {
					t.Errorf("within the transaction Epochs = %v, %v, want each of %v", read, err, many)
				}
				epochs, err := tx.revoker.RevokeUser(ctx, token.User())
				testkit.Must(t, err)
				read, err := tx.revoker.Epochs(ctx, token.User())
				testkit.Must(t, err)
				if read != epochs {
					t.Errorf("within the transaction Epochs = %v, want %v", read, epochs)
				}
				testkit.Must(t, store.Check(ctx, token)) // nothing is true before the commit
				return tx, epochs
			}
			password := func() string {
				return testkit.QueryOne[string](t, pool, "SELECT password FROM accounts WHERE name = $1", token.Subject)
			}

			tx, _ := change()
			testkit.Must(t, tx.rollback())
			if got := password(); got != "old" {
				t.Errorf("after a rollback the password is %q", got)
			}
			for _, alive := range []revoke.Token{token, byToken, spent, suspended} {
				testkit.Must(t, store.Check(ctx, alive))
			}

			tx, epochs := change()
			testkit.Must(t, tx.commit())
			if got := password(); got != "new" {
				t.Errorf("after a commit the password is %q", got)
			}
			for _, dead := range []revoke.Token{token, byToken, spent, suspended} {
				testkit.WantError(t, store.Check(ctx, dead), revoke.ErrRevoked)
			}
			token.Epochs, token.HasEpochs = epochs, true
			testkit.Must(t, store.Check(ctx, token)) // the token that replaces it works at once
		})
	}
}

// TestSavepoint rolls back to a savepoint, and with it the writes since.
func TestSavepoint(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := testkit.Store(t)
	kept, lost := testkit.Token(), testkit.Token()
	testkit.Must(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		testkit.Must(t, store.WithTx(tx).RevokeToken(ctx, kept))
		_ = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			testkit.Must(t, store.WithTx(tx).RevokeToken(ctx, lost))
			return errors.New("back to the savepoint")
		})
		return nil
	}))
	testkit.WantError(t, store.Check(ctx, kept), revoke.ErrRevoked)
	testkit.Must(t, store.Check(ctx, lost))
}

// TestErrorInTx leaves the caller's transaction to the caller, and its error within reach.
func TestErrorInTx(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := testkit.Store(t)
	user := testkit.Token().User()
	_, err := store.RevokeUser(ctx, user)
	testkit.Must(t, err)

	tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	testkit.Must(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	var one int
	testkit.Must(t, tx.QueryRow(ctx, "SELECT 1").Scan(&one)) // takes the snapshot
	_, err = store.RevokeUser(ctx, user)
	testkit.Must(t, err)

	_, err = store.WithTx(tx).RevokeUser(ctx, user)
	testkit.WantError(t, err, revoke.ErrUnavailable)
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != "40001" {
		t.Errorf("RevokeUser = %v, want a serialization failure to be reachable in it", err)
	}
	if status := tx.Conn().PgConn().TxStatus(); status != 'E' {
		t.Errorf("the transaction's status is %q, want it left as Postgres left it", status)
	}
}

// TestInvalidInputInTx has writes that fail by their input, in a transaction that goes on.
func TestInvalidInputInTx(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := testkit.Store(t)
	token := testkit.Token()
	testkit.Must(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		in := store.WithTx(tx)
		testkit.WantError(t, in.RevokeToken(ctx, revoke.Token{Issuer: "i", ID: "a\x00"}), revoke.ErrInvalidToken)
		testkit.Must(t, in.Redeem(ctx, token))
		testkit.WantError(t, in.Redeem(ctx, token), revoke.ErrRevoked)
		// The transaction goes on after a lost Redeem.
		return in.RevokeUserBefore(ctx, token.User(), time.Now())
	}))
	testkit.WantError(t, store.Check(ctx, token), revoke.ErrRevoked)
}

// TestSQLTxDemandsTransaction refuses handles that would commit each statement by itself.
func TestSQLTxDemandsTransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := testkit.Store(t)
	db := sqlDB(t, pool)
	conn, err := db.Conn(ctx)
	testkit.Must(t, err)
	defer conn.Close()
	for _, row := range []struct {
		name   string
		handle revoke.SQLTx
	}{
		{"a database", db}, {"a connection", conn}, {"a type that embeds a database", struct{ *sql.DB }{db}},
	} {
		in := store.WithSQLTx(row.handle)
		for _, write := range hookedWrites {
			t.Run(row.name+"/"+write.name, func(t *testing.T) {
				token := testkit.Token()
				err := write.write(t.Context(), in, token)
				testkit.WantError(t, err, revoke.ErrUnavailable)
				if !strings.Contains(err.Error(), "not a transaction") {
					t.Errorf("%T: %v", row.handle, err)
				}
				testkit.Must(t, store.Check(t.Context(), token))
			})
		}
	}
}

// TestDeadlockIsRetried lets two transactions of the store's own lock each other out.
func TestDeadlockIsRetried(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["deadlock_timeout"] = "20ms"
	})
	store := testkit.OpenStore(t, pool)
	a, b := testkit.Token(), testkit.Token()
	first := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
	var calls atomic.Int32
	done := make(chan error, 2)
	for i, order := range [][2]revoke.Token{{a, b}, {b, a}} {
		go func() {
			met := false
			done <- store.InTx(ctx, func(r revoke.Revoker) error {
				calls.Add(1)
				if err := r.RevokeToken(ctx, order[0]); err != nil {
					return err
				}
				if !met { // both hold their first row before either asks for its second
					met = true
					close(first[i])
					<-first[1-i]
				}
				return r.RevokeToken(ctx, order[1])
			})
		}()
	}
	testkit.Must(t, errors.Join(<-done, <-done))
	if n := calls.Load(); n < 3 {
		t.Errorf("%d attempts, want a deadlock and a retry", n)
	}
	testkit.WantError(t, store.Check(ctx, a), revoke.ErrRevoked)
	testkit.WantError(t, store.Check(ctx, b), revoke.ErrRevoked)
}

// failFirstCommit makes the first commit that writes a revocation fail, so that it is tried again.
func failFirstCommit(tb testing.TB, pool *pgxpool.Pool) {
	tb.Helper()
	testkit.Exec(tb, pool, `CREATE SEQUENCE commits`)
	testkit.Exec(tb, pool, `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF nextval('commits') = 1 THEN RAISE serialization_failure; END IF;
			RETURN NULL;
		END $$`)
	testkit.Exec(tb, pool, `CREATE CONSTRAINT TRIGGER fail AFTER INSERT OR DELETE ON revoke.revocations
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()`)
}

// atBatch is a tracer that calls a function before one of the batches that it meets.
type atBatch struct {
	batches atomic.Int32
	number  int32
	call    func()
}

func (a *atBatch) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (*atBatch) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (a *atBatch) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	if a.batches.Add(1) == a.number {
		a.call()
	}
	return ctx
}

func (*atBatch) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (*atBatch) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// TestRedeemWhoseCommitFailed has a deferred trigger of the app's end the first commit with a
// deadlock, and another caller win before the second attempt: the row that the first attempt wrote
// counts for nothing.
func TestRedeemWhoseCommitFailed(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	failFirstCommit(t, admin)
	token := testkit.Token()
	other := testkit.OpenStore(t, admin)
	tracer := &atBatch{number: 2, call: func() { testkit.Must(t, other.Redeem(t.Context(), token)) }}
	store := testkit.OpenStore(t, pgserver.Pool(t, address, func(c *pgxpool.Config) { c.ConnConfig.Tracer = tracer }))
	testkit.WantError(t, store.Redeem(t.Context(), token), revoke.ErrRevoked)
	if n := testkit.QueryOne[int](t, admin, "SELECT last_value FROM commits"); n != 2 {
		t.Errorf("%d commits were tried, want one that failed and the other's", n)
	}
}

// TestEpochAfterWait makes a second writer wait for the row: its instant must lie after the wait.
// What an INSERT proposes is computed before it.
func TestEpochAfterWait(t *testing.T) {
	t.Parallel()
	for _, commit := range []bool{true, false} {
		for _, existed := range []bool{true, false} {
			for _, row := range []struct {
				name string // of the scope
				move func(context.Context, revoke.Revoker, revoke.User) (int64, error)
			}{
				{"user", func(ctx context.Context, r revoke.Revoker, user revoke.User) (int64, error) {
					epochs, err := r.RevokeUser(ctx, user)
					return epochs.User, err
				}},
				{"issuer", func(ctx context.Context, r revoke.Revoker, user revoke.User) (int64, error) {
					t, err := r.RevokeIssuer(ctx, user.Issuer)
					return t.UnixMicro(), err
				}},
			} {
				t.Run(fmt.Sprintf("%s/commit=%v/existed=%v", row.name, commit, existed), func(t *testing.T) {
					t.Parallel()
					ctx := t.Context()
					store, pool := testkit.Store(t)
					user := testkit.Token().User()
					if existed {
						_, err := row.move(ctx, store, user)
						testkit.Must(t, err)
					}
					tx, err := pool.Begin(ctx)
					testkit.Must(t, err)
					_, err = row.move(ctx, store.WithTx(tx), user)
					testkit.Must(t, err)

					type result struct {
						epoch int64
						err   error
					}
					second := make(chan result, 1)
					go func() {
						epoch, err := row.move(ctx, store, user)
						second <- result{epoch, err}
					}()
					awaitLockWait(t, pool)
					end := testkit.QueryOne[time.Time](t, pool, "SELECT clock_timestamp()")
					if commit {
						testkit.Must(t, tx.Commit(ctx))
					} else {
						testkit.Must(t, tx.Rollback(ctx))
					}
					got := <-second
					testkit.Must(t, got.err)
					if got.epoch <= end.UnixMicro() {
						t.Errorf("the second epoch lies %v before the end of the wait", time.Duration(end.UnixMicro()-got.epoch)*time.Microsecond)
					}
				})
			}
		}
	}
}

// TestEpochAfterRowLock makes RevokeUser wait for a transaction that holds the row's lock and does
// not change the row: an UPDATE keeps the values that it computed before such a wait.
func TestEpochAfterRowLock(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := testkit.Store(t)
	user := testkit.Token().User()
	_, err := store.RevokeUser(ctx, user)
	testkit.Must(t, err)
	tx, err := pool.Begin(ctx)
	testkit.Must(t, err)
	_, err = tx.Exec(ctx, "SELECT FROM revoke.revocations WHERE scope = 'user' FOR UPDATE")
	testkit.Must(t, err)
	second := make(chan revoke.Epochs, 1)
	go func() {
		epochs, err := store.RevokeUser(ctx, user)
		if err != nil {
			t.Errorf("RevokeUser: %v", err)
		}
		second <- epochs
	}()
	awaitLockWait(t, pool)
	end := testkit.QueryOne[time.Time](t, pool, "SELECT clock_timestamp()")
	testkit.Must(t, tx.Commit(ctx))
	if epochs := <-second; epochs.User <= end.UnixMicro() {
		t.Errorf("the epoch lies %v before the end of the wait", time.Duration(end.UnixMicro()-epochs.User)*time.Microsecond)
	}
}

// keyOrder returns users in the order of their keys.
func keyOrder(n int) []revoke.User {
	users := make([]revoke.User, n)
	for i := range users {
		users[i] = testkit.Token().User()
	}
	key := func(u revoke.User) string {
		k := revoke.ScopeUser.Key(u.Issuer, u.Subject)
		return string(k[:])
	}
	slices.SortFunc(users, func(a, b revoke.User) int { return cmp.Compare(key(a), key(b)) })
	return users
}

// TestEpochsOfManyAfterWait makes RevokeUsers wait for one of its rows: the instants of all lie
// after the wait, also of those that come before that row.
func TestEpochsOfManyAfterWait(t *testing.T) {
	t.Parallel()
	for _, commit := range []bool{true, false} {
		for _, existed := range []bool{true, false} {
			t.Run(fmt.Sprintf("commit=%v/existed=%v", commit, existed), func(t *testing.T) {
				t.Parallel()
				ctx := t.Context()
				store, pool := testkit.Store(t)
				users := keyOrder(5)
				if existed {
					testkit.Value(store.RevokeUsers(ctx, users))(t)
				}
				tx := testkit.Value(pool.Begin(ctx))(t)
				testkit.Value(store.WithTx(tx).RevokeUser(ctx, users[3]))(t)
				second := make(chan []revoke.Epochs, 1)
				go func() {
					epochs, err := store.RevokeUsers(ctx, users)
					if err != nil {
						t.Errorf("RevokeUsers: %v", err)
					}
					second <- epochs
				}()
				awaitLockWait(t, pool)
				end := testkit.QueryOne[time.Time](t, pool, "SELECT clock_timestamp()")
				if commit {
					testkit.Must(t, tx.Commit(ctx))
				} else {
					testkit.Must(t, tx.Rollback(ctx))
				}
				for i, epochs := range <-second {
					if epochs.User <= end.UnixMicro() {
						t.Errorf("the epoch of user %d lies %v before the end of the wait", i, time.Duration(end.UnixMicro()-epochs.User)*time.Microsecond)
					}
				}
			})
		}
	}
}

// TestRevokeUsersLocksInOrder holds the row with the first key: a batch in the opposite order waits
// for it before it locks another, so that two batches cannot wait for each other.
func TestRevokeUsersLocksInOrder(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := testkit.Store(t)
	users := keyOrder(5)
	testkit.Value(store.RevokeUsers(ctx, users))(t)
	tx := testkit.Value(pool.Begin(ctx))(t)
	testkit.Value(store.WithTx(tx).RevokeUser(ctx, users[0]))(t)
	backwards := slices.Clone(users)
	slices.Reverse(backwards)
	done := make(chan error, 1)
	go func() { _, err := store.RevokeUsers(ctx, backwards); done <- err }()
	awaitLockWait(t, pool)
	if n := testkit.QueryOne[int](t, pool, `SELECT count(*) FROM (
		SELECT FROM revoke.revocations WHERE scope = 'user' FOR UPDATE SKIP LOCKED) AS free`); n != len(users)-1 {
		t.Errorf("%d rows are free while the batch waits for the first, want %d", n, len(users)-1)
	}
	testkit.Must(t, tx.Commit(ctx))
	testkit.Must(t, <-done)
}

// TestRevokeUserBesideSweeper deletes the row while RevokeUser waits for it, as a sweeper may that
// found it expired.
func TestRevokeUserBesideSweeper(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := testkit.Store(t)
	token := testkit.Token()
	_, err := store.RevokeUser(ctx, token.User())
	testkit.Must(t, err)
	sweeper, err := pool.Begin(ctx)
	testkit.Must(t, err)
	_, err = sweeper.Exec(ctx, "SELECT FROM revoke.revocations WHERE scope = 'user' FOR UPDATE")
	testkit.Must(t, err)
	done := make(chan error, 1)
	go func() { _, err := store.RevokeUser(ctx, token.User()); done <- err }()
	awaitLockWait(t, pool)
	_, err = sweeper.Exec(ctx, "DELETE FROM revoke.revocations WHERE scope = 'user'")
	testkit.Must(t, err)
	testkit.Must(t, sweeper.Commit(ctx))
	testkit.Must(t, <-done)
	testkit.WantError(t, store.Check(ctx, token), revoke.ErrRevoked)
}

// TestRedeemWaits lets a second caller wait for the transaction of the first.
func TestRedeemWaits(t *testing.T) {
	t.Parallel()
	for _, commit := range []bool{true, false} {
		t.Run(fmt.Sprintf("commit=%v", commit), func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			store, pool := testkit.Store(t)
			token := testkit.Token()
			tx, err := pool.Begin(ctx)
			testkit.Must(t, err)
			testkit.Must(t, store.WithTx(tx).Redeem(ctx, token))
			second := make(chan error, 1)
			go func() { second <- store.Redeem(ctx, token) }()
			awaitLockWait(t, pool)
			if commit {
				testkit.Must(t, tx.Commit(ctx))
				err := <-second
				testkit.WantError(t, err, revoke.ErrRevoked)
				var revoked *revoke.RevokedError
				if !errors.As(err, &revoked) || revoked.Since.IsZero() {
					t.Errorf("Redeem = %v, want the time at which it was spent", err)
				}
				return
			}
			testkit.Must(t, tx.Rollback(ctx))
			testkit.Must(t, <-second)
		})
	}
}

// TestSynchronousCommit records the setting under which rows are written: a role's off or local is
// raised, a stronger one stays, and the caller's session is left as it was.
func TestSynchronousCommit(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, want string }{ // name is the setting that is configured
		{"off", "on"}, {"local", "on"}, {"on", "on"}, {"remote_write", "remote_write"}, {"remote_apply", "remote_apply"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			configured, want := row.name, row.want
			ctx := t.Context()
			address := pgserver.Database(t)
			admin := pgserver.Pool(t, address)
			testkit.Exec(t, admin, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = `+configured+`', current_database()); END $$`)
			testkit.Exec(t, admin, "CREATE TABLE seen (setting text)")
			testkit.Exec(t, admin, `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
				$$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$`)
			testkit.Exec(t, admin, "CREATE TRIGGER note BEFORE INSERT OR UPDATE ON revoke.revocations FOR EACH ROW EXECUTE FUNCTION note()")
			pool := pgserver.Pool(t, address, func(c *pgxpool.Config) { c.MaxConns = 1 })
			if got := testkit.QueryOne[string](t, pool, "SHOW synchronous_commit"); got != configured {
				t.Fatalf("the session begins with %s", got)
			}
			store := testkit.OpenStore(t, pool)
			db := sqlDB(t, pool)
			write := func(r revoke.Revoker) error {
				token := testkit.Token()
				_, errUser := r.RevokeUser(ctx, token.User())
				_, errUsers := r.RevokeUsers(ctx, []revoke.User{testkit.Token().User(), testkit.Token().User()})
				_, errIssuer := r.RevokeIssuer(ctx, token.Issuer)
				return errors.Join(r.RevokeToken(ctx, token), r.RevokeTokens(ctx, []revoke.Token{testkit.Token(), testkit.Token()}),
					r.RevokeSession(ctx, token.Session()), errUser, errUsers, errIssuer,
					r.RevokeUserBefore(ctx, testkit.Token().User(), time.Now()), r.Redeem(ctx, testkit.Token()))
			}
			testkit.Must(t, write(store))
			testkit.Must(t, store.InTx(ctx, write))
			testkit.Must(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return write(store.WithTx(tx)) }))
			tx, err := db.BeginTx(ctx, nil)
			testkit.Must(t, err)
			testkit.Must(t, write(store.WithSQLTx(tx)))
			testkit.Must(t, tx.Commit())
			// One write at a time, each the first of its transaction.
			testkit.Must(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return store.WithTx(tx).Redeem(ctx, testkit.Token()) }))
			if wrong := testkit.QueryOne[int](t, pool, "SELECT count(*) FROM seen WHERE setting <> $1", want); wrong != 0 {
				t.Errorf("%d of %d rows were written with another setting than %s", wrong, testkit.QueryOne[int](t, pool, "SELECT count(*) FROM seen"), want)
			}
			if n := testkit.QueryOne[int](t, pool, "SELECT count(*) FROM seen"); n < 30 {
				t.Errorf("only %d rows were seen", n)
			}
			if got := testkit.QueryOne[string](t, pool, "SHOW synchronous_commit"); got != configured {
				t.Errorf("the session is left with %s", got)
			}
		})
	}
}

// TestOneRoundTrip counts the queries and batches: a check is one query, and a write with its BEGIN
// and COMMIT one batch. It runs its rows one after the other, because they share a counter.
func TestOneRoundTrip(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	trips := &countingTracer{}
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) {
		c.MaxConns = 1
		c.ConnConfig.Tracer = trips
	})
	store := testkit.OpenStore(t, pool)
	token := testkit.Token()
	for range 2 { // the second time the statements are prepared
		testkit.Must(t, store.Check(ctx, token))
		_, err := store.RevokeUser(ctx, testkit.Token().User())
		testkit.Must(t, err)
	}
	for _, row := range []struct {
		name string
		call func() error
	}{
		{"Check", func() error { return store.Check(ctx, token) }},
		{"RevokeUser", func() error { _, err := store.RevokeUser(ctx, testkit.Token().User()); return err }},
		{"RevokeUsers", func() error {
			_, err := store.RevokeUsers(ctx, []revoke.User{testkit.Token().User(), testkit.Token().User()})
			return err
		}},
		{"RevokeSession", func() error { return store.RevokeSession(ctx, revoke.Session{Issuer: "i", ID: "s"}) }},
		{"Redeem", func() error { return store.Redeem(ctx, testkit.Token()) }},
		{"Epochs", func() error { _, err := store.Epochs(ctx, token.User()); return err }},
		{"Lookup", func() error { _, err := store.Lookup(ctx, token); return err }},
	} {
		t.Run(row.name, func(t *testing.T) {
			trips.n.Store(0)
			testkit.Must(t, row.call())
			if n := trips.n.Load(); n != 1 {
				t.Errorf("%d queries or batches, want 1", n)
			}
		})
	}
}

// countingTracer counts single queries, and batches as one.
type countingTracer struct{ n atomic.Int32 }

func (c *countingTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.n.Add(1)
	return ctx
}

func (*countingTracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *countingTracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	c.n.Add(1)
	return ctx
}

func (*countingTracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (*countingTracer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}
