package revoke_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// setTraps sets traps for every statement of the package, and for more SQL.
func setTraps(tb testing.TB, admin *pgxpool.Pool, more ...string) {
	tb.Helper()
	for _, statement := range revoke.AllSQL() {
		more = append(more, statement.SQL)
	}
	testkit.SetTraps(tb, admin, more)
}

// TestSettings runs every operation under settings, in the query modes of pgx, with types
// that an app has registered. Without REVOKE_TEST_LONG each setting, mode and registration
// is met, and not each combination, and the writes take turns with the settings.
func TestSettings(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	admin := pgserver.Pool(t, address)
	setTraps(t, admin)
	const turns = 3 // of the writes
	n := 0
	run := func(s testkit.Settings, mode pgx.QueryExecMode, registration int) {
		first, r := s[0].Name, testkit.Registrations[registration]
		plain := first == "application_name"
		ways := testkit.Long(map[bool]int{true: 2, false: 1}[plain], 4)
		all, turn := testkit.Long(plain, true), n%turns
		n++
		t.Run(fmt.Sprintf("%v/%s/%s", mode, r.Name, s), func(t *testing.T) {
			t.Parallel()
			pool := pgserver.Pool(t, address, testkit.WithMode(mode), s.Configure, func(c *pgxpool.Config) {
				c.MaxConns = 2
				// A plan of which a part is switched off costs so much that it would be
				// compiled each time.
				c.ConnConfig.RuntimeParams["jit"] = map[bool]string{true: "on", false: "off"}[first == "jit_above_cost"]
				c.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
					r.Register(conn.TypeMap())
					return nil
				}
			})
			// pgx itself refuses to put values into a text that such a server would read otherwise.
			if mode == pgx.QueryExecModeSimpleProtocol && (first == "client_encoding" || first == "standard_conforming_strings") {
				store := testkit.OpenStore(t, pool)
				for _, op := range slices.Concat(reads, writes) {
					testkit.WantError(t, op.call(t.Context(), store, ownToken()), revoke.ErrUnavailable)
				}
				return
			}
			everyOperation(t, admin, pool, ways, func(write int) bool { return all || write%turns == turn })
		})
	}
	plain := testkit.Settings{{Name: "application_name", Value: "app"}}
	long := testkit.Long(false, true) // where queries are compiled too, which takes its time
	settings := append(testkit.EachSetting(), testkit.Settings{{Name: "role", Value: testkit.NewRole(t, admin)}})
	for m, mode := range testkit.Modes {
		for r := range testkit.Registrations {
			if long || m == 0 || r == 0 || r == len(testkit.Registrations)-1 {
				run(plain, mode, r)
			}
			for _, s := range settings {
				if long || (m == 0 && r == 0 && s[0].Name != "jit_above_cost") || (s[0].Name == "search_path" && r == len(testkit.Registrations)-1) {
					run(s, mode, r)
				}
			}
		}
	}
}

// everyOperation revokes by some of the writes and in some ways, by the pool, and looks at what
// stands then, by the pool and by a connection without settings.
func everyOperation(t *testing.T, admin, pool *pgxpool.Pool, ways int, some func(write int) bool) {
	t.Helper()
	ctx := t.Context()
	store, plain := testkit.OpenStore(t, pool, revoke.WithCheckTimeout(time.Minute)), testkit.OpenStore(t, admin)
	const reason, actor = `"Grund" ü\ 日本 €`, "O'Brien, {x}"
	options := []revoke.RevokeOption{revoke.WithReason(reason), revoke.WithActor(actor)}
	token := func() revoke.Token {
		token := testkit.Token()
		token.Issuer = `https://ü"\日本.example/` + rand.Text()
		token.ID, token.Subject, token.SessionID = `jti-ü"\,{}`+rand.Text(), "日本 NULL", "€'"+rand.Text()
		return token
	}
	db := sqlDB(t, pool)
	waysToWrite := []struct {
		name string
		in   func(write func(revoke.Revoker) error) error
	}{
		{"store", func(write func(revoke.Revoker) error) error { return write(store) }},
		{"WithSQLTx", func(write func(revoke.Revoker) error) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			if err := write(store.WithSQLTx(tx)); err != nil {
				_ = tx.Rollback()
				return err
			}
			return tx.Commit()
		}},
		{"InTx", func(write func(revoke.Revoker) error) error { return store.InTx(ctx, write) }},
		{"WithTx", func(write func(revoke.Revoker) error) error {
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return write(store.WithTx(tx)) })
		}},
	}
	for _, way := range waysToWrite[:ways] {
		for i, write := range hookedWrites {
			if !some(i) {
				continue
			}
			t.Run(way.name+"/"+write.name, func(t *testing.T) {
				dead := token()
				testkit.Must(t, store.Check(ctx, dead))
				if write.name == "RevokeUserBefore" {
					dead.IssuedAt = dead.IssuedAt.Add(-time.Hour)
				}
				var epochs revoke.Epochs
				testkit.Must(t, way.in(func(r revoke.Revoker) (err error) {
					switch write.name { // with reason and actor, and what it returns
					case "RevokeToken":
						return r.RevokeToken(ctx, dead, options...)
					case "RevokeUser":
						if epochs, err = r.RevokeUser(ctx, dead.User(), options...); err != nil {
							return err
						}
						read, err := r.Epochs(ctx, dead.User())
						if read != epochs {
							t.Errorf("Epochs = %v, want %v", read, epochs)
						}
						return err
					case "RevokeUsers":
						users := []revoke.User{token().User(), dead.User()}
						each, err := r.RevokeUsers(ctx, users, options...)
						if err != nil {
							return err
						}
						for i, user := range users {
							if epochs = testkit.Value(r.Epochs(ctx, user))(t); epochs != each[i] {
								t.Errorf("Epochs = %v, want %v", epochs, each[i])
							}
						}
						return nil
					case "RevokeUserBefore":
						return r.RevokeUserBefore(ctx, dead.User(), dead.IssuedAt.Add(1500*time.Millisecond), options...)
					case "Redeem":
						if err := r.Redeem(ctx, dead, options...); err != nil {
							return err
						}
						testkit.WantError(t, r.Redeem(ctx, dead), revoke.ErrRevoked)
						return nil
					}
					return write.write(ctx, r, dead)
				}))
				for name, s := range map[string]*revoke.Postgres{"the pool": store, "a plain connection": plain} {
					testkit.WantError(t, s.Check(ctx, dead), revoke.ErrRevoked)
					found := testkit.Value(s.Lookup(ctx, dead))(t)
					if len(found) != 1 || found[0].Scope != write.scope || found[0].Issuer != dead.Issuer {
						t.Fatalf("by %s Lookup = %+v", name, found)
					}
					id := map[revoke.Scope]string{revoke.ScopeToken: dead.ID, revoke.ScopeSession: dead.SessionID, revoke.ScopeUser: dead.Subject}
					if found[0].ID != id[write.scope] {
						t.Errorf("by %s the id is %q, want %q", name, found[0].ID, id[write.scope])
					}
					if noted := write.name != "RevokeTokens" && write.name != "RevokeSession" && write.name != "RevokeIssuer"; noted &&
						(found[0].Reason != reason || found[0].Actor != actor) {
						t.Errorf("by %s reason and actor are %q and %q", name, found[0].Reason, found[0].Actor)
					}
					since, expires := time.Now(), time.Now().Add(revoke.MaxTokenLifetime)
					switch {
					case write.name == "RevokeUserBefore":
						since = dead.IssuedAt.Add(1500 * time.Millisecond)
					case write.scope == revoke.ScopeToken:
						expires = dead.ExpiresAt
					}
					if near(found[0].Since, since) != nil || near(found[0].ExpiresAt, expires) != nil {
						t.Errorf("by %s since %v until %v, want %v and %v", name, found[0].Since, found[0].ExpiresAt, since, expires)
					}
					if read := testkit.Value(s.Epochs(ctx, dead.User()))(t); epochs != (revoke.Epochs{}) && read != epochs {
						t.Errorf("by %s Epochs = %v, want %v", name, read, epochs)
					}
				}
				if epochs != (revoke.Epochs{}) {
					dead.Epochs, dead.HasEpochs = epochs, true
					testkit.Must(t, store.Check(ctx, dead))
				}
			})
		}
	}
	t.Run("IssueTime", func(t *testing.T) {
		testkit.Must(t, near(testkit.Value(store.IssueTime(ctx, token().User()))(t), time.Now()))
	})
	t.Run("an expiry that is not known", func(t *testing.T) {
		dead := token()
		known, unknown := dead, dead
		unknown.ID, unknown.ExpiresAt = "unknown "+unknown.ID, time.Time{}
		testkit.Must(t, store.RevokeTokens(ctx, []revoke.Token{known, unknown}))
		unknown.ExpiresAt = dead.ExpiresAt
		found := testkit.Value(plain.Lookup(ctx, unknown))(t)
		if len(found) != 1 || near(found[0].ExpiresAt, time.Now().Add(revoke.MaxTokenLifetime+revoke.MaxLeeway)) != nil {
			t.Errorf("Lookup = %+v", found)
		}
	})
	t.Run("Sweep", func(t *testing.T) {
		id := rand.Text()
		testkit.Exec(t, admin, `INSERT INTO revoke.revocations (key, since, expires_at, revoked_at, scope, issuer, id)
			VALUES (gen_random_uuid(), now(), now() - interval '2 hours', now(), 'token', 'expired', $1)`, id)
		testkit.Value(newSweeper(t, store, revoke.WithBatchTimeout(time.Minute)).Sweep(ctx))(t)
		// A sweeper beside this one may hold the row.
		testkit.Eventually(t, "the expired row is deleted", func() bool {
			return testkit.QueryOne[int](t, admin, "SELECT count(*) FROM revoke.revocations WHERE id = $1", id) == 0
		})
	})
}

// near returns an error unless two times lie less than ten minutes apart.
func near(got, want time.Time) error {
	if d := got.Sub(want).Abs(); d > 10*time.Minute {
		return fmt.Errorf("%v lies %v from %v", got, d, want)
	}
	return nil
}

// TestStatementsNameNoSettingAsText reads the statements as a gateway does that refuses one by its
// text. TestSynchronousCommit looks at what the setting is.
func TestStatementsNameNoSettingAsText(t *testing.T) {
	t.Parallel()
	for _, statement := range revoke.AllSQL() {
		t.Run(statement.Name, func(t *testing.T) {
			if regexp.MustCompile(`set_config\(\s*'synchronous_commit'`).MatchString(statement.SQL) || strings.Contains(statement.SQL, "pg_temp") {
				t.Errorf("a gateway refuses %s", statement.SQL)
			}
		})
	}
}
