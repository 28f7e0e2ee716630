package revoke_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
)

// signInSQL is the statement of a sign-in, as the README has it.
const signInSQL = "SELECT id, password_hash, revoke.epochs($1, id::text) FROM accounts WHERE email = $2"

// makeAccounts makes a table of accounts of the app's, with one in it.
func makeAccounts(tb testing.TB, pool *pgxpool.Pool) {
	tb.Helper()
	testkit.Exec(tb, pool, "CREATE TABLE accounts (id bigint PRIMARY KEY, email text NOT NULL UNIQUE, password_hash text NOT NULL)")
	testkit.Exec(tb, pool, "INSERT INTO accounts VALUES (42, 'ada@app.example', 'old')")
}

// TestEpochsFunctionIsStable reads the catalog: as VOLATILE, the default, the function has a
// snapshot of its own, and was seen to return a new epoch beside an old hash.
func TestEpochsFunctionIsStable(t *testing.T) {
	t.Parallel()
	_, pool := testkit.Store(t)
	const query = `SELECT concat_ws(' ', provolatile, proparallel, prosecdef, has_function_privilege(oid, 'EXECUTE'),
		EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0)) FROM pg_proc WHERE oid = 'revoke.epochs(text, text)'::regprocedure`
	if got := testkit.QueryOne[string](t, pool, query); got != "s s f t f" {
		t.Errorf("volatility, parallel safety, SECURITY DEFINER, own right, right of PUBLIC: %q, want %q", got, "s s f t f")
	}
}

// TestEpochsFunction compares the function with Epochs, in every query mode, by pgx and by
// database/sql.
func TestEpochsFunction(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	makeAccounts(t, admin)
	for _, mode := range testkit.Modes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			pool := pgserver.Pool(t, address, testkit.WithMode(mode))
			store := testkit.OpenStore(t, pool)
			db := sqlDB(t, pool)
			user := revoke.User{Issuer: `https://ü'"\日本.example/` + mode.String(), Subject: "42"}
			compare := func(want revoke.Epochs) {
				t.Helper()
				var id int64
				var hash string
				var byPgx, bySQL revoke.Epochs
				testkit.Must(t, pool.QueryRow(ctx, signInSQL, user.Issuer, "ada@app.example").Scan(&id, &hash, &byPgx))
				testkit.Must(t, db.QueryRowContext(ctx, signInSQL, user.Issuer, "ada@app.example").Scan(&id, &hash, &bySQL))
				read := testkit.Value(store.Epochs(ctx, user))(t)
				if byPgx != want || bySQL != want || read != want || hash != "old" || id != 42 {
					t.Errorf("by pgx %v, by database/sql %v, by Epochs %v, want %v", byPgx, bySQL, read, want)
				}
			}
			compare(revoke.Epochs{})
			want := testkit.Value(store.RevokeUser(ctx, user))(t)
			compare(want)
			since := testkit.Value(store.RevokeIssuer(ctx, user.Issuer))(t)
			want.Issuer = since.UnixMicro()
			compare(want)
			// Others' revocations do not count.
			testkit.Value(store.RevokeUser(ctx, revoke.User{Issuer: user.Issuer + "/", Subject: "42"}))(t)
			testkit.Must(t, store.RevokeSession(ctx, revoke.Session{Issuer: user.Issuer, ID: "42"}))
			compare(want)
		})
	}
}

// TestEpochsFunctionRefusesNames has no epochs for a user without a name, and never null.
func TestEpochsFunctionRefusesNames(t *testing.T) {
	t.Parallel()
	_, pool := testkit.Store(t)
	long := strings.Repeat("x", revoke.MaxIDLength)
	for _, row := range []struct {
		name            string
		issuer, subject any
		want            string // in the error; empty for none
	}{
		{"no issuer", nil, "42", "issuer"},
		{"no subject", "i", nil, "subject"},
		{"neither", nil, nil, "issuer"},
		{"an empty issuer", "", "42", "issuer"},
		{"an empty subject", "i", "", "subject"},
		{"a long issuer", long + "x", "42", "issuer"},
		{"a long subject", "i", long + "x", "subject"},
		{"the longest names", long, long, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var epochs revoke.Epochs
			err := pool.QueryRow(t.Context(), "SELECT revoke.epochs($1::text, $2::text)", row.issuer, row.subject).Scan(&epochs)
			var pgErr *pgconn.PgError
			switch {
			case row.want == "":
				testkit.Must(t, err)
			case !errors.As(err, &pgErr) || pgErr.Code != "22023" || !strings.Contains(pgErr.Message, row.want):
				t.Errorf("%v, want an error about the %s", err, row.want)
			}
		})
	}
}

// TestEpochsScan refuses what is no pair, and null above all: no epochs are not epochs of 0.
func TestEpochsScan(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		value any
		want  revoke.Epochs
		fails bool
	}{
		{name: "text", value: "[5,7]", want: revoke.Epochs{User: 5, Issuer: 7}},
		{name: "bytes", value: []byte("[5, 7]"), want: revoke.Epochs{User: 5, Issuer: 7}},
		{name: "null", value: nil, fails: true},
		{name: "a number", value: int64(5), fails: true},
		{name: "an empty text", value: "", fails: true},
		{name: "another text", value: "{5,7}", fails: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			epochs := revoke.Epochs{User: 1, Issuer: 2}
			err := epochs.Scan(row.value)
			if row.fails {
				if err == nil || epochs != (revoke.Epochs{User: 1, Issuer: 2}) {
					t.Errorf("Scan = %v, with %v", err, epochs)
				}
				return
			}
			testkit.Must(t, err)
			if epochs != row.want {
				t.Errorf("%v, want %v", epochs, row.want)
			}
		})
	}
	t.Run("a row of the app's without epochs", func(t *testing.T) {
		t.Parallel()
		_, pool := testkit.Store(t)
		var epochs revoke.Epochs
		if err := pool.QueryRow(t.Context(), "SELECT NULL::text").Scan(&epochs); err == nil {
			t.Error("pgx scans null")
		}
		if err := sqlDB(t, pool).QueryRowContext(t.Context(), "SELECT NULL::text").Scan(&epochs); err == nil {
			t.Error("database/sql scans null")
		}
	})
}

// TestEpochsFunctionAsRole calls the function by roles with some of the rights that it takes.
func TestEpochsFunctionAsRole(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, sql string // with the role's name in place of {role}
		want      string // in the error
	}{
		{"without EXECUTE", "REVOKE EXECUTE ON FUNCTION revoke.epochs FROM {role}", "permission denied for function epochs"},
		{"with EXECUTE", "SELECT", ""},
		{"without SELECT", "REVOKE SELECT ON revoke.revocations FROM {role}", "permission denied for table revocations"},
		{"with row-level security", "ALTER TABLE revoke.revocations ENABLE ROW LEVEL SECURITY", "row-level security"},
		{
			"with a policy that hides all", "ALTER TABLE revoke.revocations ENABLE ROW LEVEL SECURITY; " +
				"CREATE POLICY none ON revoke.revocations USING (false)", "row-level security",
		},
		{
			"past row-level security", "ALTER TABLE revoke.revocations ENABLE ROW LEVEL SECURITY; ALTER ROLE {role} BYPASSRLS", "",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			address := pgserver.Database(t)
			admin := pgserver.Pool(t, address)
			want := testkit.Value(testkit.OpenStore(t, admin).RevokeUser(t.Context(), revoke.User{Issuer: "i", Subject: "42"}))(t)
			role := testkit.NewRole(t, admin)
			pool := pgserver.Pool(t, address, testkit.As(role), func(c *pgxpool.Config) { c.MaxConns = 1 })
			var epochs revoke.Epochs
			// A plan from before must not outlive what changes.
			_ = pool.QueryRow(t.Context(), "SELECT revoke.epochs('i', '42')").Scan(&epochs)
			testkit.Exec(t, admin, strings.ReplaceAll(row.sql, "{role}", role), pgx.QueryExecModeSimpleProtocol)
			for range 7 { // the sixth call may have a generic plan
				err := pool.QueryRow(t.Context(), "SELECT revoke.epochs('i', '42')").Scan(&epochs)
				if row.want == "" {
					testkit.Must(t, err)
					if epochs != want {
						t.Errorf("%v, want %v", epochs, want)
					}
				} else if err == nil || !strings.Contains(err.Error(), row.want) {
					t.Fatalf("%v with %v, want an error with %q", err, epochs, row.want)
				}
			}
		})
	}
}

// TestEpochsFunctionUnderTraps calls it in another schema, under a search_path with other
// functions, operators and types of the names that it uses.
func TestEpochsFunctionUnderTraps(t *testing.T) {
	t.Parallel()
	address := pgserver.EmptyDatabase(t)
	admin := pgserver.Pool(t, address)
	testkit.Must(t, migrations.Up(t.Context(), admin, migrations.WithSchema("order")))
	setTraps(t, admin, testkit.QueryOne[string](t, admin, `SELECT pg_get_functiondef('"order".epochs'::regproc)`))
	pool := pgserver.Pool(t, address, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["search_path"] = "trap, pg_catalog" })
	store := testkit.OpenStore(t, pool, revoke.WithSchema("order"))
	user := revoke.User{Issuer: "i", Subject: "42"}
	want := testkit.Value(store.RevokeUser(t.Context(), user))(t)
	var epochs revoke.Epochs
	testkit.Must(t, pool.QueryRow(t.Context(), `SELECT "order".epochs($1, $2)`, user.Issuer, user.Subject).Scan(&epochs))
	if epochs != want {
		t.Errorf("%v, want %v", epochs, want)
	}
}

// TestEpochsFunctionPlan counts what a call reads in a table of many rows, by a plan that was made
// while the table was empty: rows by the primary key, and no scan.
func TestEpochsFunctionPlan(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	pool := pgserver.Pool(t, address, func(c *pgxpool.Config) {
		c.MaxConns = 1
		c.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	})
	const call = "SELECT revoke.epochs('i', 'user 42')"
	testkit.QueryOne[string](t, pool, call)
	testkit.Exec(t, admin, `INSERT INTO revoke.revocations (key, since, expires_at, revoked_at, scope, issuer, id)
		SELECT revoke.row_key('user', 'i', 'user ' || n), to_timestamp(n), now() + interval '1 day', now(), 'user', 'i', 'user ' || n
		FROM generate_series(1, 3000) AS n`)
	testkit.Must(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		scans := func() (table, key int) {
			testkit.Must(t, tx.QueryRow(t.Context(), `SELECT pg_stat_get_xact_numscans('revoke.revocations'::regclass),
				pg_stat_get_xact_numscans('revoke.revocations_pkey'::regclass)`).Scan(&table, &key))
			return table, key
		}
		table, key := scans()
		var epochs string
		testkit.Must(t, tx.QueryRow(t.Context(), call).Scan(&epochs))
		tableAfter, keyAfter := scans()
		if epochs != "[42000000,0]" || tableAfter != table || keyAfter != key+2 {
			t.Errorf("epochs %s with %d scans of the table and %d of the primary key, want none and 2", epochs, tableAfter-table, keyAfter-key)
		}
		return nil
	}))
}

// signIn is what a sign-in has read.
type signIn struct {
	hash   string
	epochs revoke.Epochs
}

// TestSignInRacesPasswordChange signs in by the one statement while passwords change in
// transactions that revoke. When a change has committed, no token of an earlier password is
// accepted, and each of the present one is.
func TestSignInRacesPasswordChange(t *testing.T) {
	t.Parallel()
	for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead} {
		for _, first := range []string{"the password", "the revocation"} {
			t.Run(fmt.Sprintf("%s/%s first", level, first), func(t *testing.T) {
				t.Parallel()
				ctx := t.Context()
				store, pool := testkit.Store(t)
				makeAccounts(t, pool)
				user := revoke.User{Issuer: testkit.Issuer, Subject: "42"}
				changes, callers := testkit.Long(20, 2000), 3
				var seen sync.Map // of signIn, each once
				var reads atomic.Int64
				var group sync.WaitGroup
				stop := make(chan struct{})
				for range callers {
					group.Go(func() {
						for {
							select {
							case <-stop:
								return
							default:
							}
							var s signIn
							err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: level}, func(tx pgx.Tx) error {
								var id int64
								return tx.QueryRow(ctx, signInSQL, user.Issuer, "ada@app.example").Scan(&id, &s.hash, &s.epochs)
							})
							if err != nil {
								t.Errorf("sign-in: %v", err)
								return
							}
							seen.Store(s, true)
							reads.Add(1)
						}
					})
				}
				for n := range changes {
					before := reads.Load()
					testkit.Must(t, pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: level}, func(tx pgx.Tx) error {
						change := func() error {
							_, err := tx.Exec(ctx, "UPDATE accounts SET password_hash = $1 WHERE id = 42", fmt.Sprint("new ", n))
							return err
						}
						end := func() error { _, err := store.WithTx(tx).RevokeUser(ctx, user); return err }
						if first == "the password" {
							return errors.Join(change(), end())
						}
						return errors.Join(end(), change())
					}))
					testkit.Eventually(t, "a sign-in beside the change", func() bool { return reads.Load() > before || t.Failed() })
				}
				close(stop)
				group.Wait()
				last := fmt.Sprint("new ", changes-1)
				alive := 0
				seen.Range(func(key, _ any) bool {
					s, _ := key.(signIn)
					token := testkit.Token()
					token.Subject, token.Epochs, token.HasEpochs = user.Subject, s.epochs, true
					err := store.Check(ctx, token)
					switch {
					case s.hash == last:
						testkit.Must(t, err)
						alive++
					case !errors.Is(err, revoke.ErrRevoked):
						t.Errorf("a token of the password %q is accepted: %v", s.hash, err)
					}
					return true
				})
				var s signIn
				var id int64
				testkit.Must(t, pool.QueryRow(ctx, signInSQL, user.Issuer, "ada@app.example").Scan(&id, &s.hash, &s.epochs))
				if s.hash != last || alive > 1 {
					t.Errorf("the password is %q, and its sign-ins read %d different epochs", s.hash, alive)
				}
			})
		}
	}
}

// TestSignInSnapshot holds the statement of a sign-in between the hash and the epochs until the
// password has changed: it must not return the new epochs beside the old hash. A VOLATILE function
// does, which proves that the test would notice.
func TestSignInSnapshot(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, alter string
		accepted    bool
	}{
		{"as it was made", "ALTER FUNCTION revoke.epochs(text, text) PARALLEL SAFE", false},
		{"volatile", "ALTER FUNCTION revoke.epochs(text, text) VOLATILE", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			store, pool := testkit.Store(t)
			makeAccounts(t, pool)
			testkit.Exec(t, pool, row.alter)
			user := revoke.User{Issuer: testkit.Issuer, Subject: "42"}
			holder := testkit.Value(pool.Acquire(ctx))(t)
			defer holder.Release()
			testkit.Value(holder.Exec(ctx, "SELECT pg_advisory_lock(1)"))(t)
			var hash string
			var epochs revoke.Epochs
			done := make(chan error, 1)
			go func() {
				held := strings.Replace(signInSQL, "SELECT id, password_hash", "SELECT password_hash, pg_advisory_lock_shared(1)::text", 1)
				var unlocked string
				done <- pool.QueryRow(ctx, held, user.Issuer, "ada@app.example").Scan(&hash, &unlocked, &epochs)
			}()
			awaitLockWait(t, pool)
			testkit.Must(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, "UPDATE accounts SET password_hash = 'new' WHERE id = 42")
				testkit.Must(t, err)
				_, err = store.WithTx(tx).RevokeUser(ctx, user)
				return err
			}))
			testkit.Value(holder.Exec(ctx, "SELECT pg_advisory_unlock(1)"))(t)
			testkit.Must(t, <-done)
			token := testkit.Token()
			token.Subject, token.Epochs, token.HasEpochs = user.Subject, epochs, true
			if accepted := store.Check(ctx, token) == nil; hash != "old" || accepted != row.accepted {
				t.Errorf("a token of the hash %q is accepted: %v, want %v", hash, accepted, row.accepted)
			}
		})
	}
}

// TestSignInThatLocks shows why a sign-in that locks the row reads hash and epochs in a
// second statement. The row that a lock has waited for is the newest one; the epochs are
// those of the statement's snapshot, from before the wait. So the token is refused, and
// never one too many accepted.
func TestSignInThatLocks(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := testkit.Store(t)
	makeAccounts(t, pool)
	user := revoke.User{Issuer: testkit.Issuer, Subject: "42"}
	for _, row := range []struct {
		name     string
		second   bool // hash and epochs are read in a second statement
		accepted bool
	}{{"in one statement", false, false}, {"in a second statement", true, true}} {
		t.Run(row.name, func(t *testing.T) {
			change := testkit.Value(pool.Begin(ctx))(t)
			defer func() { _ = change.Rollback(context.WithoutCancel(ctx)) }()
			testkit.Value(change.Exec(ctx, "UPDATE accounts SET password_hash = $1 WHERE id = 42", row.name))(t)
			testkit.Value(store.WithTx(change).RevokeUser(ctx, user))(t)
			type result struct {
				signIn
				err error
			}
			done := make(chan result, 1)
			go func() {
				var r result
				var id int64
				r.err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
					err := tx.QueryRow(ctx, signInSQL+" FOR UPDATE", user.Issuer, "ada@app.example").Scan(&id, &r.hash, &r.epochs)
					if err == nil && row.second {
						err = tx.QueryRow(ctx, signInSQL, user.Issuer, "ada@app.example").Scan(&id, &r.hash, &r.epochs)
					}
					return err
				})
				done <- r
			}()
			awaitLockWait(t, pool)
			testkit.Must(t, change.Commit(ctx))
			r := <-done
			testkit.Must(t, r.err)
			if r.hash != row.name {
				t.Fatalf("the hash is %q", r.hash)
			}
			token := testkit.Token()
			token.Subject, token.Epochs, token.HasEpochs = user.Subject, r.epochs, true
			err := store.Check(ctx, token)
			if row.accepted {
				testkit.Must(t, err)
				return
			}
			testkit.WantError(t, err, revoke.ErrRevoked)
		})
	}
}

var _ sql.Scanner = (*revoke.Epochs)(nil)
