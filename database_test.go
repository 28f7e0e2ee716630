package revoke_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/migrations"
)

// operation is a call of a store for a token.
type operation struct {
	name string
	call func(ctx context.Context, store *revoke.Postgres, token revoke.Token) error
}

// reads are the calls of a store that read.
var reads = []operation{
	{"Check", func(ctx context.Context, store *revoke.Postgres, token revoke.Token) error {
		return store.Check(ctx, token)
	}},
	{"Lookup", func(ctx context.Context, store *revoke.Postgres, token revoke.Token) error {
		_, err := store.Lookup(ctx, token)
		return err
	}},
	{"Epochs", func(ctx context.Context, store *revoke.Postgres, token revoke.Token) error {
		_, err := store.Epochs(ctx, token.User())
		return err
	}},
	{"Ready", func(ctx context.Context, store *revoke.Postgres, _ revoke.Token) error { return store.Ready(ctx) }},
	{"IssueTime", func(ctx context.Context, store *revoke.Postgres, token revoke.Token) error {
		_, err := store.IssueTime(ctx, token.User())
		return err
	}},
}

// writes are the calls of a store that write, each by itself and each in InTx.
var writes = func() (all []operation) {
	for _, w := range hookedWrites {
		all = append(all, operation{w.name, func(ctx context.Context, store *revoke.Postgres, token revoke.Token) error {
			return w.write(ctx, store, token)
		}}, operation{"InTx " + w.name, func(ctx context.Context, store *revoke.Postgres, token revoke.Token) error {
			return store.InTx(ctx, func(r revoke.Revoker) error { return w.write(ctx, r, token) })
		}})
	}
	return all
}()

// sweep is a pass of a sweeper.
var sweep = operation{"Sweep", func(ctx context.Context, store *revoke.Postgres, _ revoke.Token) error {
	sweeper, err := revoke.NewSweeper(store)
	if err != nil {
		return err
	}
	_, err = sweeper.Sweep(ctx)
	return err
}}

// operations are all calls.
var operations = slices.Concat(reads, writes, []operation{sweep})

// stored reports whether an operation that writes has left a row of the token, of its session, of
// its user or of its issuer.
func stored(tb testing.TB, admin *pgxpool.Pool, token revoke.Token) bool {
	tb.Helper()
	return testkit.QueryOne[bool](tb, admin, `SELECT EXISTS (SELECT FROM revoke.revocations WHERE issuer = $1
		AND (id IS NULL OR id = ANY ($2)))`, token.Issuer, []string{token.ID, token.Subject, token.SessionID})
}

// ownToken is a token of an issuer that no other test revokes.
func ownToken() revoke.Token {
	token := testkit.Token()
	token.Issuer = "https://" + rand.Text() + ".example"
	return token
}

// TestPlansOfRowSecurity gives a role BYPASSRLS, which is one of the remedies. Postgres
// keeps the plans of connections that had row-level security in them.
func TestPlansOfRowSecurity(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			address := pgserver.Database(t)
			admin := pgserver.Pool(t, address)
			token := testkit.Token()
			testkit.Must(t, testkit.OpenStore(t, admin).RevokeToken(t.Context(), token))
			role := testkit.NewRole(t, admin)
			store := testkit.OpenStore(t, pgserver.Pool(t, address, testkit.As(role), func(c *pgxpool.Config) { c.MaxConns = 1 }), way.option)
			testkit.Exec(t, admin, "ALTER TABLE revoke.revocations ENABLE ROW LEVEL SECURITY")
			testkit.WantError(t, store.Check(t.Context(), token), revoke.ErrUnavailable)
			_, err := store.Lookup(t.Context(), token)
			testkit.WantError(t, err, revoke.ErrUnavailable)
			testkit.Exec(t, admin, "ALTER ROLE "+role+" BYPASSRLS")
			testkit.WantError(t, store.Check(t.Context(), token), revoke.ErrRevoked)
			if found := testkit.Value(store.Lookup(t.Context(), token))(t); len(found) != 1 {
				t.Errorf("Lookup = %v", found)
			}
		})
	}
}

// ways are the two ways in which checks are sent.
var ways = []struct {
	name   string
	option revoke.PostgresOption
}{
	{"shared", revoke.WithCheckQueries(2)},
	{"alone", revoke.WithCheckQueries(0)},
}

// wantUnavailable fails the test unless err is ErrUnavailable and contains the remedy.
func wantUnavailable(tb testing.TB, err error, remedy string) {
	tb.Helper()
	testkit.WantError(tb, err, revoke.ErrUnavailable)
	if !strings.Contains(err.Error(), remedy) || strings.Contains(err.Error(), "\n") {
		tb.Errorf("%v, want one line that says %q", err, remedy)
	}
}

// TestRowSecurity hides rows from the app's role, as an advisor, a migration or an event trigger
// may: rows that a role cannot see are not "not revoked". In a short run the operations take turns
// with the rows.
func TestRowSecurity(t *testing.T) {
	t.Parallel()
	const (
		table   = "ALTER TABLE revoke.revocations "
		enable  = table + "ENABLE ROW LEVEL SECURITY"
		force   = table + "FORCE ROW LEVEL SECURITY"
		own     = table + "OWNER TO {role}"
		owns    = "GRANT CREATE ON SCHEMA revoke TO {role}"
		policy  = "CREATE POLICY tenant ON revoke.revocations "
		trigger = `CREATE FUNCTION secure() RETURNS event_trigger LANGUAGE plpgsql AS $$
			DECLARE command record;
			BEGIN
				FOR command IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE command_tag = 'CREATE TABLE' LOOP
					EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', command.object_identity);
				END LOOP;
			END $$`
	)
	for i, row := range []struct {
		name   string
		before []string // before the migration
		after  []string
		role   string // its attributes
		sees   bool
	}{
		{name: "enabled", after: []string{enable}},
		{name: "enabled, with a policy that hides everything", after: []string{enable, policy + "USING (false) WITH CHECK (true)"}},
		{name: "enabled, with a policy that shows everything", after: []string{enable, policy + "USING (true)"}},
		{name: "enabled, with a policy of a tenant", after: []string{enable, policy + "USING (issuer = 'tenant') WITH CHECK (true)"}},
		{name: "enabled, with a policy for writes alone", after: []string{enable, policy + "FOR INSERT WITH CHECK (true)"}},
		{name: "enabled, with a restrictive policy", after: []string{
			enable, policy + "USING (true)", "CREATE POLICY few ON revoke.revocations AS RESTRICTIVE USING (scope <> 'token')",
		}},
		{name: "forced upon the owner", after: []string{owns, own, enable, force}},
		{name: "an event trigger enables it on every new table", before: []string{
			trigger, "CREATE EVENT TRIGGER secure ON ddl_command_end EXECUTE FUNCTION secure()",
		}},
		{name: "enabled, and row_security is off", after: []string{enable, "ALTER ROLE {role} SET row_security = off"}},
		{name: "the owner, not forced", after: []string{owns, own, enable}, sees: true},
		{name: "a role with BYPASSRLS, forced", after: []string{enable, force}, role: "BYPASSRLS", sees: true},
		{name: "forced and not enabled", after: []string{owns, own, force}, sees: true},
		{name: "off, and row_security is off", after: []string{"ALTER ROLE {role} SET row_security = off"}, sees: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var address string
			var admin *pgxpool.Pool
			if len(row.before) == 0 {
				address = pgserver.Database(t)
				admin = pgserver.Pool(t, address)
			} else {
				address = pgserver.EmptyDatabase(t)
				admin = pgserver.Pool(t, address)
				for _, sql := range row.before {
					testkit.Exec(t, admin, sql)
				}
				testkit.Must(t, migrations.Up(t.Context(), admin))
			}
			role := testkit.NewRole(t, admin)
			if row.role != "" {
				testkit.Exec(t, admin, "ALTER ROLE "+role+" "+row.role)
			}
			for _, sql := range row.after {
				testkit.Exec(t, admin, strings.ReplaceAll(sql, "{role}", role))
			}
			n := 0
			turn := func() bool {
				n++
				return testkit.Long(n%4 == i%4, true)
			}
			all := testkit.OpenStore(t, admin)
			pool := pgserver.Pool(t, address, testkit.As(role))
			for _, way := range ways {
				store := testkit.OpenStore(t, pool, way.option, revoke.WithCheckTimeout(time.Minute))
				for _, dead := range []bool{true, false} {
					for _, read := range reads {
						if !turn() {
							continue
						}
						t.Run(fmt.Sprintf("%s/dead=%v/%s", way.name, dead, read.name), func(t *testing.T) {
							token := ownToken()
							if dead {
								testkit.Must(t, all.RevokeToken(t.Context(), token))
								testkit.Must(t, all.RevokeUserBefore(t.Context(), token.User(), token.IssuedAt.Add(time.Second)))
							}
							err := read.call(t.Context(), store, token)
							switch {
							case !row.sees:
								wantUnavailable(t, err, "BYPASSRLS")
							case dead && read.name == "Check":
								testkit.WantError(t, err, revoke.ErrRevoked)
							default:
								testkit.Must(t, err)
							}
						})
					}
				}
			}
			store := testkit.OpenStore(t, pool)
			for _, write := range writes {
				if !turn() {
					continue
				}
				t.Run(write.name, func(t *testing.T) {
					token := ownToken()
					err := write.call(t.Context(), store, token)
					if row.sees || err == nil {
						testkit.Must(t, err)
						if !stored(t, admin, token) {
							t.Error("the write returned nil, and nothing is stored")
						}
						return
					}
					wantUnavailable(t, err, "BYPASSRLS")
				})
			}
			for _, redeem := range writes[len(writes)-2:] {
				if !turn() {
					continue
				}
				t.Run(redeem.name+" of a token that is revoked", func(t *testing.T) {
					token := ownToken()
					testkit.Must(t, all.RevokeToken(t.Context(), token))
					err := redeem.call(t.Context(), store, token)
					if row.sees {
						testkit.WantError(t, err, revoke.ErrRevoked)
						return
					}
					wantUnavailable(t, err, "BYPASSRLS")
				})
			}
			t.Run("Sweep", func(t *testing.T) {
				err := sweep.call(t.Context(), store, revoke.Token{})
				if row.sees {
					testkit.Must(t, err)
					return
				}
				wantUnavailable(t, err, "BYPASSRLS")
			})
		})
	}
}

// setOn sets a parameter for the role, for the database or for the connection, and returns what
// configures a pool of the role.
func setOn(tb testing.TB, admin *pgxpool.Pool, role, where, name, value string) func(*pgxpool.Config) {
	tb.Helper()
	switch where {
	case "role":
		testkit.Exec(tb, admin, fmt.Sprintf("ALTER ROLE %s SET %s = '%s'", role, name, value))
	case "database":
		testkit.Exec(tb, admin, fmt.Sprintf(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I SET %s = %%L', current_database(), '%s'); END $$`, name, value))
	case "connection":
		return func(c *pgxpool.Config) {
			c.ConnConfig.User = role
			c.ConnConfig.RuntimeParams[name] = value
		}
	case "options":
		return func(c *pgxpool.Config) {
			c.ConnConfig.User = role
			c.ConnConfig.RuntimeParams["options"] = "-c " + name + "=" + strings.ReplaceAll(value, " ", `\ `)
		}
	case "hook":
		return func(c *pgxpool.Config) {
			c.ConnConfig.User = role
			c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
				_, err := conn.Exec(ctx, "SELECT set_config($1, $2, false)", name, value)
				return err
			}
		}
	}
	return testkit.As(role)
}

// TestReadWaitsForRewrite lets reads wait for a transaction that rewrites the table and revokes a
// token. Under REPEATABLE READ the snapshot of a statement is older than its wait for a lock, and
// shows an empty table. In a short run the rewrites take turns with the levels.
func TestReadWaitsForRewrite(t *testing.T) {
	t.Parallel()
	rewrites := []struct{ name, sql string }{
		{"ALTER TABLE", "ALTER TABLE revoke.revocations ALTER COLUMN reason TYPE varchar(2000)"},
		{"TRUNCATE and INSERT", `CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM revoke.revocations;
			TRUNCATE revoke.revocations; INSERT INTO revoke.revocations SELECT * FROM kept`},
	}
	rows := []struct{ name, where, level string }{
		{"repeatable read on the role", "role", "repeatable read"},
		{"serializable on the database", "database", "serializable"},
		{"repeatable read on the connection", "connection", "repeatable read"},
		{"repeatable read by a hook", "hook", "repeatable read"},
		{"serializable on the role", "role", "serializable"},
		{"read uncommitted on the role", "role", "read uncommitted"},
		{"read committed", "role", "read committed"},
	}
	for i, row := range rows[:testkit.Long(4, len(rows))] {
		for _, rewrite := range testkit.Long(rewrites[i%2:][:1], rewrites) {
			t.Run(row.name+"/"+rewrite.name, func(t *testing.T) {
				t.Parallel()
				address := pgserver.Database(t)
				admin := pgserver.Pool(t, address)
				configure := setOn(t, admin, testkit.NewRole(t, admin), row.where, "default_transaction_isolation", row.level)
				all := testkit.OpenStore(t, admin)
				before, meanwhile := ownToken(), ownToken()
				testkit.Must(t, all.RevokeToken(t.Context(), before))
				testkit.Must(t, all.RevokeUserBefore(t.Context(), before.User(), before.IssuedAt))
				epoch := testkit.Value(all.Epochs(t.Context(), before.User()))(t)

				// One connection for each call, on which its statement is prepared. Half of
				// the stores have seen the isolation of their connections, and half have
				// not.
				type asked struct {
					name string
					done chan error
				}
				var answers []asked
				var calls []func()
				ask := func(name string, seen bool, option revoke.PostgresOption, call func(*revoke.Postgres) error) {
					pool := pgserver.Pool(t, address, configure, func(c *pgxpool.Config) { c.MaxConns = 1 })
					warm := testkit.OpenStore(t, pool, option, revoke.WithCheckTimeout(time.Minute))
					for _, read := range reads {
						testkit.Must(t, read.call(t.Context(), warm, testkit.Token()))
					}
					store := warm
					if !seen {
						store = testkit.OpenStore(t, pool, option, revoke.WithCheckTimeout(time.Minute))
					}
					done := make(chan error, 1)
					answers = append(answers, asked{name, done})
					calls = append(calls, func() { done <- call(store) })
				}
				for _, way := range ways {
					for _, seen := range []bool{true, false} {
						name := fmt.Sprintf("%s/seen=%v/", way.name, seen)
						for _, dead := range []revoke.Token{before, meanwhile} {
							ask(name+"Check", seen, way.option, func(store *revoke.Postgres) error {
								if err := store.Check(t.Context(), dead); !errors.Is(err, revoke.ErrRevoked) {
									return fmt.Errorf("Check = %w, want ErrRevoked", err)
								}
								return nil
							})
						}
						if way.name == "shared" {
							continue
						}
						ask(name+"Lookup", seen, way.option, func(store *revoke.Postgres) error {
							found, err := store.Lookup(t.Context(), meanwhile)
							if len(found) != 1 {
								return fmt.Errorf("Lookup = %v, %w", found, err)
							}
							return nil
						})
						ask(name+"Epochs", seen, way.option, func(store *revoke.Postgres) error {
							if got, err := store.Epochs(t.Context(), before.User()); got != epoch {
								return fmt.Errorf("Epochs = %v, %w", got, err)
							}
							return nil
						})
						ask(name+"Redeem", seen, way.option, func(store *revoke.Postgres) error {
							if err := store.Redeem(t.Context(), meanwhile); !errors.Is(err, revoke.ErrRevoked) {
								return fmt.Errorf("Redeem = %w, want ErrRevoked", err)
							}
							return nil
						})
					}
				}

				testkit.Must(t, pgx.BeginFunc(t.Context(), admin, func(tx pgx.Tx) error {
					testkit.Value(tx.Exec(t.Context(), "LOCK TABLE revoke.revocations IN ACCESS EXCLUSIVE MODE"))(t)
					for _, call := range calls {
						go call()
					}
					testkit.Eventually(t, "every call waits for the lock", func() bool {
						return testkit.QueryOne[int](t, admin, `SELECT count(*) FROM pg_stat_activity
							WHERE datname = current_database() AND wait_event_type = 'Lock'`) == len(calls)
					})
					testkit.Value(tx.Exec(t.Context(), rewrite.sql))(t)
					return all.WithTx(tx).RevokeToken(t.Context(), meanwhile)
				}))
				for _, answer := range answers {
					if err := <-answer.done; err != nil {
						t.Errorf("%s: %v", answer.name, err)
					}
				}
			})
		}
	}
}

// TestFence sets default_transaction_read_only as a switchover does that fences the old server.
func TestFence(t *testing.T) {
	t.Parallel()
	places := []string{"role", "hook", "database", "connection", "options"}
	for _, where := range places[:testkit.Long(2, len(places))] {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			address := pgserver.Database(t)
			admin := pgserver.Pool(t, address)
			dead := ownToken()
			testkit.Must(t, testkit.OpenStore(t, admin).RevokeToken(t.Context(), dead))
			configure := setOn(t, admin, testkit.NewRole(t, admin), where, "default_transaction_read_only", "on")
			pool := pgserver.Pool(t, address, configure)
			for _, way := range ways {
				fenced := testkit.OpenStore(t, pool, way.option, revoke.WithCheckTimeout(time.Minute))
				readOnly := testkit.OpenStore(t, pool, way.option, revoke.WithCheckTimeout(time.Minute), revoke.WithReadOnlyConnections())
				for _, read := range reads {
					t.Run(way.name+"/"+read.name, func(t *testing.T) {
						token := ownToken()
						wantUnavailable(t, read.call(t.Context(), fenced, token), "default_transaction_read_only")
						testkit.Must(t, read.call(t.Context(), readOnly, token))
					})
				}
				t.Run(way.name+"/Check of a revoked token", func(t *testing.T) {
					testkit.WantError(t, fenced.Check(t.Context(), dead), revoke.ErrUnavailable)
					testkit.WantError(t, readOnly.Check(t.Context(), dead), revoke.ErrRevoked)
					if found := testkit.Value(readOnly.Lookup(t.Context(), dead))(t); len(found) != 1 {
						t.Errorf("Lookup = %v", found)
					}
				})
			}
			fenced, readOnly := testkit.OpenStore(t, pool), testkit.OpenStore(t, pool, revoke.WithReadOnlyConnections())
			for _, write := range slices.Concat(writes, []operation{sweep}) {
				t.Run(write.name, func(t *testing.T) {
					token := ownToken()
					wantUnavailable(t, write.call(t.Context(), fenced, token), "read-only transaction")
					wantUnavailable(t, write.call(t.Context(), readOnly, token), "read-only transaction")
					if stored(t, admin, token) {
						t.Error("the row is stored on a server that is fenced")
					}
				})
			}
			t.Run("a caller's transaction says READ WRITE", func(t *testing.T) {
				token := ownToken()
				testkit.Must(t, pgx.BeginTxFunc(t.Context(), pool, pgx.TxOptions{AccessMode: pgx.ReadWrite}, func(tx pgx.Tx) error {
					return testkit.OpenStore(t, pool).WithTx(tx).RevokeToken(t.Context(), token)
				}))
				if !stored(t, admin, token) {
					t.Error("nothing is stored")
				}
			})
		})
	}
}

// TestFenceIsNotSwitchedOff refuses pools with parameters that would write through a fence.
func TestFenceIsNotSwitchedOff(t *testing.T) {
	address := pgserver.Database(t)
	for _, row := range []struct {
		name, parameter, value string
		refused                bool
	}{
		{"off", "default_transaction_read_only", "off", true},
		{"Off", "default_transaction_read_only", "Off", true},
		{"of", "default_transaction_read_only", "of", true},
		{"false", "default_transaction_read_only", "false", true},
		{"f", "default_transaction_read_only", "f", true},
		{"no", "default_transaction_read_only", "no", true},
		{"n", "default_transaction_read_only", "n", true},
		{"0", "default_transaction_read_only", "0", true},
		{"the name in capitals", "Default_Transaction_Read_Only", "off", true},
		{"an option", "options", "-c default_transaction_read_only=off", true},
		{"an option without a space", "options", "-cdefault_transaction_read_only=off", true},
		{"a long option", "options", "--default-transaction-read-only=off", true},
		{"a long option with underscores", "options", "--default_transaction_read_only=0", true},
		{"an option with dashes", "options", "-c default-transaction-read-only=no", true},
		{"an option in capitals", "options", "-c DEFAULT_TRANSACTION_READ_ONLY=FALSE", true},
		{"an option with an escape", "options", `-c default_transaction_read_only=o\ff`, true},
		{"the last of several options", "options", "-c search_path=a -c default_transaction_read_only=off", true},
		{"the first of several options", "options", "-c default_transaction_read_only=off -c search_path=a", true},
		{"on", "default_transaction_read_only", "on", false},
		{"true", "default_transaction_read_only", "true", false},
		{"an option that is on", "options", "-c default_transaction_read_only=on", false},
		{"another option", "options", "-c default_transaction_deferrable=off -c search_path=off", false},
		{"another parameter", "search_path", "off", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			set := func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams[row.parameter] = row.value }
			pool := pgserver.Pool(t, address, set)
			// Postgres has the last word on what a spelling means.
			fence := testkit.QueryOne[string](t, pool, "SHOW default_transaction_read_only")
			source := testkit.QueryOne[string](t, pool, "SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only'")
			if set := source == "client" && fence == "off"; set != row.refused {
				t.Fatalf("Postgres says %s, set by %s", fence, source)
			}
			_, err := revoke.NewPostgres(pool)
			if !row.refused {
				testkit.Must(t, err)
				return
			}
			wantConstructorError(t, "NewPostgres", err, "default_transaction_read_only")
		})
	}
	t.Run("PGOPTIONS", func(t *testing.T) {
		t.Setenv("PGOPTIONS", "-c default_transaction_read_only=off")
		_, err := revoke.NewPostgres(pgserver.Pool(t, address))
		wantConstructorError(t, "NewPostgres", err, "default_transaction_read_only")
	})
}

// TestHooksThatWantAContext has a hook of the pool read a value of the caller's context, which a
// shared check does not have.
func TestHooksThatWantAContext(t *testing.T) {
	t.Parallel()
	type tenant struct{}
	missing := errors.New("no tenant in the context")
	need := func(ctx context.Context) error {
		if ctx.Value(tenant{}) == nil {
			return missing
		}
		return nil
	}
	for _, row := range []struct {
		name string
		hook func(*pgxpool.Config)
	}{
		{"PrepareConn", func(c *pgxpool.Config) {
			c.PrepareConn = func(ctx context.Context, _ *pgx.Conn) (bool, error) { return true, need(ctx) }
		}},
		{"PrepareConn, which closes the connection", func(c *pgxpool.Config) {
			c.PrepareConn = func(ctx context.Context, _ *pgx.Conn) (bool, error) { return need(ctx) == nil, nil }
		}},
		{"BeforeAcquire", func(c *pgxpool.Config) {
			c.BeforeAcquire = func(ctx context.Context, _ *pgx.Conn) bool { return need(ctx) == nil } //nolint:staticcheck // in use
		}},
		{"BeforeConnect", func(c *pgxpool.Config) {
			c.BeforeConnect = func(ctx context.Context, _ *pgx.ConnConfig) error { return need(ctx) }
		}},
		{"AfterConnect", func(c *pgxpool.Config) {
			c.AfterConnect = func(ctx context.Context, _ *pgx.Conn) error { return need(ctx) }
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			pool := pgserver.Pool(t, pgserver.Database(t), row.hook, func(c *pgxpool.Config) { c.MaxConns = 2 })
			ctx := context.WithValue(t.Context(), tenant{}, "a")
			shared := testkit.OpenStore(t, pool, revoke.WithCheckTimeout(time.Minute))
			wantUnavailable(t, shared.Check(ctx, testkit.Token()), "WithCheckQueries(0)")
			alone := testkit.OpenStore(t, pool, revoke.WithCheckTimeout(time.Minute), revoke.WithCheckQueries(0))
			testkit.Must(t, alone.Check(ctx, testkit.Token()))
			if err := alone.Check(t.Context(), testkit.Token()); err != nil && strings.Contains(err.Error(), "WithCheckQueries") {
				t.Errorf("%v, which says to set what is set", err)
			}
		})
	}
	t.Run("a server that does not answer", func(t *testing.T) {
		t.Parallel()
		pool := pgserver.Pool(t, pgserver.Database(t), func(c *pgxpool.Config) {
			c.ConnConfig.Host = "/nowhere"
			c.AfterConnect = func(context.Context, *pgx.Conn) error { return nil }
		})
		err := testkit.OpenStore(t, pool).Check(t.Context(), testkit.Token())
		testkit.WantError(t, err, revoke.ErrUnavailable)
		if strings.Contains(err.Error(), "WithCheckQueries") {
			t.Errorf("%v, which is not a hook's", err)
		}
	})
}
