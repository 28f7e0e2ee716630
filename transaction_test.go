package revoke_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
)

// TestPasswordChange writes a password and ends the sessions in one transaction of the caller's.
func TestPasswordChange(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := newStore(t)
	db := sqlDB(t, pool)
	mustExec(t, pool, "CREATE TABLE accounts (name text PRIMARY KEY, password text NOT NULL)")

	type transaction struct {
		revoker          revoke.Revoker
		exec             func(sql string, args ...any) error
		commit, rollback func() error
	}
	for kind, begin := range map[string]func(*testing.T) transaction{
		"pgx": func(t *testing.T) transaction {
			t.Helper()
			tx, err := pool.Begin(ctx)
			must(t, err)
			return transaction{
				store.WithTx(tx),
				func(sql string, args ...any) error { _, err := tx.Exec(ctx, sql, args...); return err },
				func() error { return tx.Commit(ctx) },
				func() error { return tx.Rollback(ctx) },
			}
		},
		"database/sql": func(t *testing.T) transaction {
			t.Helper()
			tx, err := db.BeginTx(ctx, nil)
			must(t, err)
			return transaction{
				store.WithSQLTx(tx),
				func(sql string, args ...any) error { _, err := tx.ExecContext(ctx, sql, args...); return err },
				tx.Commit,
				tx.Rollback,
			}
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			token, byToken, spent := newToken(), newToken(), newToken()
			mustExec(t, pool, "INSERT INTO accounts VALUES ($1, 'old')", token.Subject)
			change := func() (transaction, revoke.Epochs) {
				tx := begin(t)
				must(t, tx.exec("UPDATE accounts SET password = 'new' WHERE name = $1", token.Subject))
				must(t, tx.revoker.RevokeTokens(ctx, []revoke.Token{byToken, byToken}))
				must(t, tx.revoker.Redeem(ctx, spent))
				must(t, tx.revoker.RevokeSession(ctx, revoke.Session{Issuer: testIssuer, ID: byToken.SessionID + kind}))
				must(t, tx.revoker.RevokeUserBefore(ctx, userOf(byToken), time.Now()))
				epochs, err := tx.revoker.RevokeUser(ctx, userOf(token))
				must(t, err)
				read, err := tx.revoker.Epochs(ctx, userOf(token))
				must(t, err)
				if read != epochs {
					t.Errorf("within the transaction Epochs = %v, want %v", read, epochs)
				}
				must(t, store.Check(ctx, token)) // nothing is true before the commit
				return tx, epochs
			}
			password := func() string {
				return queryOne[string](t, pool, "SELECT password FROM accounts WHERE name = $1", token.Subject)
			}

			tx, _ := change()
			must(t, tx.rollback())
			if got := password(); got != "old" {
				t.Errorf("after a rollback the password is %q", got)
			}
			for _, alive := range []revoke.Token{token, byToken, spent} {
				must(t, store.Check(ctx, alive))
			}

			tx, epochs := change()
			must(t, tx.commit())
			if got := password(); got != "new" {
				t.Errorf("after a commit the password is %q", got)
			}
			for _, dead := range []revoke.Token{token, byToken, spent} {
				wantError(t, store.Check(ctx, dead), revoke.ErrRevoked)
			}
			token.Epochs = &epochs
			must(t, store.Check(ctx, token)) // the token that replaces it works at once
		})
	}
}

// TestSavepoint rolls back to a savepoint, and with it what was written since.
func TestSavepoint(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := newStore(t)
	kept, lost := newToken(), newToken()
	must(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		must(t, store.WithTx(tx).RevokeToken(ctx, kept))
		_ = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			must(t, store.WithTx(tx).RevokeToken(ctx, lost))
			return errors.New("back to the savepoint")
		})
		return nil
	}))
	wantError(t, store.Check(ctx, kept), revoke.ErrRevoked)
	must(t, store.Check(ctx, lost))
}

// TestErrorInTx leaves the caller's transaction to the caller, and its error within reach.
func TestErrorInTx(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := newStore(t)
	user := userOf(newToken())
	_, err := store.RevokeUser(ctx, user)
	must(t, err)

	tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	must(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	var one int
	must(t, tx.QueryRow(ctx, "SELECT 1").Scan(&one)) // takes the snapshot
	_, err = store.RevokeUser(ctx, user)
	must(t, err)

	_, err = store.WithTx(tx).RevokeUser(ctx, user)
	wantError(t, err, revoke.ErrUnavailable)
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != "40001" {
		t.Errorf("RevokeUser = %v, want a serialization failure to be reachable in it", err)
	}
	if status := tx.Conn().PgConn().TxStatus(); status != 'E' {
		t.Errorf("the transaction's status is %q, want it left as Postgres left it", status)
	}
}

// TestInvalidInputInTx does not spoil the caller's transaction.
func TestInvalidInputInTx(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := newStore(t)
	token := newToken()
	must(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		in := store.WithTx(tx)
		wantError(t, in.RevokeToken(ctx, revoke.Token{Issuer: "i", ID: "a\x00"}), revoke.ErrInvalidToken)
		must(t, in.Redeem(ctx, token))
		wantError(t, in.Redeem(ctx, token), revoke.ErrRevoked) // a loser is no failure of the transaction
		return in.RevokeUserBefore(ctx, userOf(token), time.Now())
	}))
	wantError(t, store.Check(ctx, token), revoke.ErrRevoked)
}

// TestSQLTxDemandsTransaction refuses what would commit each statement by itself.
func TestSQLTxDemandsTransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := newStore(t)
	db := sqlDB(t, pool)
	conn, err := db.Conn(ctx)
	must(t, err)
	defer conn.Close()
	for _, handle := range []revoke.SQLTx{db, conn, struct{ *sql.DB }{db}} {
		token := newToken()
		in := store.WithSQLTx(handle)
		_, errUser := in.RevokeUser(ctx, userOf(token))
		for _, err := range []error{in.RevokeToken(ctx, token), in.Redeem(ctx, token), errUser} {
			wantError(t, err, revoke.ErrUnavailable)
			if !strings.Contains(err.Error(), "not a transaction") {
				t.Errorf("%T: %v", handle, err)
			}
		}
		must(t, store.Check(ctx, token))
	}
}

// TestDeadlockIsRetried lets two transactions of the store's own lock each other out.
func TestDeadlockIsRetried(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["deadlock_timeout"] = "20ms"
	})
	store := openStore(t, pool)
	a, b := newToken(), newToken()
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
	must(t, errors.Join(<-done, <-done))
	if n := calls.Load(); n < 3 {
		t.Errorf("%d attempts, want a deadlock and a retry", n)
	}
	wantError(t, store.Check(ctx, a), revoke.ErrRevoked)
	wantError(t, store.Check(ctx, b), revoke.ErrRevoked)
}

// TestEpochAfterWait makes a second writer wait for the row, and sees to it that its instant lies after the wait: what an
// INSERT proposes is computed before it.
func TestEpochAfterWait(t *testing.T) {
	t.Parallel()
	for _, commit := range []bool{true, false} {
		for _, existed := range []bool{true, false} {
			for scope, move := range map[string]func(context.Context, revoke.Revoker, revoke.User) (int64, error){
				"user": func(ctx context.Context, r revoke.Revoker, user revoke.User) (int64, error) {
					epochs, err := r.RevokeUser(ctx, user)
					return epochs.User, err
				},
				"issuer": func(ctx context.Context, r revoke.Revoker, user revoke.User) (int64, error) {
					t, err := r.RevokeIssuer(ctx, user.Issuer)
					return t.UnixMicro(), err
				},
			} {
				t.Run(fmt.Sprintf("%s/commit=%v/existed=%v", scope, commit, existed), func(t *testing.T) {
					t.Parallel()
					ctx := t.Context()
					store, pool := newStore(t)
					user := userOf(newToken())
					if existed {
						_, err := move(ctx, store, user)
						must(t, err)
					}
					tx, err := pool.Begin(ctx)
					must(t, err)
					_, err = move(ctx, store.WithTx(tx), user)
					must(t, err)

					type result struct {
						epoch int64
						err   error
					}
					second := make(chan result, 1)
					go func() {
						epoch, err := move(ctx, store, user)
						second <- result{epoch, err}
					}()
					awaitLockWait(t, pool)
					end := queryOne[time.Time](t, pool, "SELECT clock_timestamp()")
					if commit {
						must(t, tx.Commit(ctx))
					} else {
						must(t, tx.Rollback(ctx))
					}
					got := <-second
					must(t, got.err)
					if got.epoch <= end.UnixMicro() {
						t.Errorf("the second epoch lies %v before the end of the wait", time.Duration(end.UnixMicro()-got.epoch)*time.Microsecond)
					}
				})
			}
		}
	}
}

// TestEpochAfterRowLock makes RevokeUser wait for somebody who holds the row's lock and does not change it: an UPDATE that
// waits for such a one keeps the values that it computed before.
func TestEpochAfterRowLock(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := newStore(t)
	user := userOf(newToken())
	_, err := store.RevokeUser(ctx, user)
	must(t, err)
	tx, err := pool.Begin(ctx)
	must(t, err)
	_, err = tx.Exec(ctx, "SELECT FROM revoke.user_epochs FOR UPDATE")
	must(t, err)
	second := make(chan revoke.Epochs, 1)
	go func() {
		epochs, err := store.RevokeUser(ctx, user)
		if err != nil {
			t.Errorf("RevokeUser: %v", err)
		}
		second <- epochs
	}()
	awaitLockWait(t, pool)
	end := queryOne[time.Time](t, pool, "SELECT clock_timestamp()")
	must(t, tx.Commit(ctx))
	if epochs := <-second; epochs.User <= end.UnixMicro() {
		t.Errorf("the epoch lies %v before the end of the wait", time.Duration(end.UnixMicro()-epochs.User)*time.Microsecond)
	}
}

// TestRevokeUserBesideSweeper deletes the row while RevokeUser waits for it, as a sweeper may that found it expired.
func TestRevokeUserBesideSweeper(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := newStore(t)
	token := newToken()
	_, err := store.RevokeUser(ctx, userOf(token))
	must(t, err)
	sweeper, err := pool.Begin(ctx)
	must(t, err)
	_, err = sweeper.Exec(ctx, "SELECT FROM revoke.user_epochs FOR UPDATE")
	must(t, err)
	done := make(chan error, 1)
	go func() { _, err := store.RevokeUser(ctx, userOf(token)); done <- err }()
	awaitLockWait(t, pool)
	_, err = sweeper.Exec(ctx, "DELETE FROM revoke.user_epochs")
	must(t, err)
	must(t, sweeper.Commit(ctx))
	must(t, <-done)
	wantError(t, store.Check(ctx, token), revoke.ErrRevoked)
}

// TestRedeemWaits lets a second caller wait for the transaction of the first.
func TestRedeemWaits(t *testing.T) {
	t.Parallel()
	for _, commit := range []bool{true, false} {
		t.Run(fmt.Sprintf("commit=%v", commit), func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			store, pool := newStore(t)
			token := newToken()
			tx, err := pool.Begin(ctx)
			must(t, err)
			must(t, store.WithTx(tx).Redeem(ctx, token))
			second := make(chan error, 1)
			go func() { second <- store.Redeem(ctx, token) }()
			awaitLockWait(t, pool)
			if commit {
				must(t, tx.Commit(ctx))
				err := <-second
				wantError(t, err, revoke.ErrRevoked)
				var revoked *revoke.RevokedError
				if !errors.As(err, &revoked) || revoked.Since.IsZero() {
					t.Errorf("Redeem = %v, want the time at which it was spent", err)
				}
				return
			}
			must(t, tx.Rollback(ctx))
			must(t, <-second)
		})
	}
}

// TestSynchronousCommit records what the setting is where rows are written: a role's off or local is raised, a stronger
// one stays, and the caller's session is left as it was.
func TestSynchronousCommit(t *testing.T) {
	t.Parallel()
	for configured, want := range map[string]string{
		"off": "on", "local": "on", "on": "on", "remote_write": "remote_write", "remote_apply": "remote_apply",
	} {
		t.Run(configured, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			address := pgserver.Database(t)
			admin := pgserver.Pool(t, address)
			mustExec(t, admin, `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = `+configured+`', current_database()); END $$`)
			mustExec(t, admin, "CREATE TABLE seen (setting text)")
			mustExec(t, admin, `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
				$$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$`)
			for _, table := range []string{"revoked_tokens", "sessions", "user_epochs"} {
				mustExec(t, admin, "CREATE TRIGGER note BEFORE INSERT OR UPDATE ON revoke."+table+" FOR EACH ROW EXECUTE FUNCTION note()")
			}
			pool := pgserver.Pool(t, address, func(c *pgxpool.Config) { c.MaxConns = 1 })
			if got := queryOne[string](t, pool, "SHOW synchronous_commit"); got != configured {
				t.Fatalf("the session begins with %s", got)
			}
			store := openStore(t, pool)
			db := sqlDB(t, pool)
			write := func(r revoke.Revoker) error {
				token := newToken()
				_, errUser := r.RevokeUser(ctx, userOf(token))
				_, errIssuer := r.RevokeIssuer(ctx, token.Issuer)
				return errors.Join(r.RevokeToken(ctx, token), r.RevokeTokens(ctx, []revoke.Token{newToken(), newToken()}),
					r.RevokeSession(ctx, revoke.Session{Issuer: token.Issuer, ID: token.SessionID}), errUser, errIssuer,
					r.RevokeUserBefore(ctx, userOf(newToken()), time.Now()), r.Redeem(ctx, newToken()))
			}
			must(t, write(store))
			must(t, store.InTx(ctx, write))
			must(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return write(store.WithTx(tx)) }))
			tx, err := db.BeginTx(ctx, nil)
			must(t, err)
			must(t, write(store.WithSQLTx(tx)))
			must(t, tx.Commit())
			// One write at a time, each the first of its transaction.
			must(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return store.WithTx(tx).Redeem(ctx, newToken()) }))
			if wrong := queryOne[int](t, pool, "SELECT count(*) FROM seen WHERE setting <> $1", want); wrong != 0 {
				t.Errorf("%d of %d rows were written with another setting than %s", wrong, queryOne[int](t, pool, "SELECT count(*) FROM seen"), want)
			}
			if n := queryOne[int](t, pool, "SELECT count(*) FROM seen"); n < 30 {
				t.Errorf("only %d rows were seen", n)
			}
			if got := queryOne[string](t, pool, "SHOW synchronous_commit"); got != configured {
				t.Errorf("the session is left with %s", got)
			}
		})
	}
}

// TestOneRoundTrip counts what is sent: a check is one query, and a write with its BEGIN and COMMIT one batch.
func TestOneRoundTrip(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	trips := &countingTracer{}
	pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) {
		c.MaxConns = 1
		c.ConnConfig.Tracer = trips
	})
	store := openStore(t, pool)
	token := newToken()
	for range 2 { // the second time the statements are prepared
		must(t, store.Check(ctx, token))
		_, err := store.RevokeUser(ctx, userOf(newToken()))
		must(t, err)
	}
	for what, call := range map[string]func() error{
		"Check":         func() error { return store.Check(ctx, token) },
		"RevokeUser":    func() error { _, err := store.RevokeUser(ctx, userOf(newToken())); return err },
		"RevokeSession": func() error { return store.RevokeSession(ctx, revoke.Session{Issuer: "i", ID: "s"}) },
		"Redeem":        func() error { return store.Redeem(ctx, newToken()) },
		"Epochs":        func() error { _, err := store.Epochs(ctx, userOf(token)); return err },
	} {
		trips.n.Store(0)
		must(t, call())
		if n := trips.n.Load(); n != 1 {
			t.Errorf("%s took %d queries or batches, want 1", what, n)
		}
	}
}

// countingTracer counts what is sent: single queries, and batches as one.
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
