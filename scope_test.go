package revoke_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
)

// scopeCalls are what a scope means to an app: the id that a token has in it, and the call that
// revokes it.
var scopeCalls = map[revoke.Scope]struct {
	id     func(revoke.Token) string
	revoke func(context.Context, revoke.Revoker, revoke.Token) error
}{
	revoke.ScopeToken: {
		func(t revoke.Token) string { return t.ID },
		func(ctx context.Context, r revoke.Revoker, t revoke.Token) error { return r.RevokeToken(ctx, t) },
	},
	revoke.ScopeSession: {
		func(t revoke.Token) string { return t.SessionID },
		func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
			return r.RevokeSession(ctx, t.Session())
		},
	},
	revoke.ScopeUser: {
		func(t revoke.Token) string { return t.Subject },
		func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
			_, err := r.RevokeUser(ctx, t.User())
			return err
		},
	},
	revoke.ScopeIssuer: {
		func(revoke.Token) string { return "" },
		func(ctx context.Context, r revoke.Revoker, t revoke.Token) error {
			_, err := r.RevokeIssuer(ctx, t.Issuer)
			return err
		},
	},
}

// TestScopesAgree walks the table of scopes, and looks whether the schema, the keys and both
// stores mean the same by each.
func TestScopesAgree(t *testing.T) {
	t.Parallel()
	postgres, pool := testkit.Store(t)
	known := revoke.KnownScopes()
	t.Run("the schema lists the same", func(t *testing.T) {
		t.Parallel()
		want := []string{"reserve"}
		for _, scope := range known {
			want = append(want, string(scope.Name))
		}
		slices.Sort(want)
		definition := testkit.QueryOne[string](t, pool, `SELECT pg_get_constraintdef(oid) FROM pg_constraint
			WHERE conname = 'revocations_scope' AND conrelid = 'revoke.revocations'::regclass`)
		var got []string
		for _, match := range regexp.MustCompile(`'([a-z]+)'`).FindAllStringSubmatch(definition, -1) {
			got = append(got, match[1])
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("the schema allows %q, want %q", got, want)
		}
	})
	t.Run("each has a call of its own", func(t *testing.T) {
		t.Parallel()
		var names []revoke.Scope
		for _, scope := range known {
			names = append(names, scope.Name)
		}
		if calls := slices.Collect(maps.Keys(scopeCalls)); len(calls) != len(names) {
			t.Errorf("there are calls for %q, want %q", calls, names)
		}
	})
	for place, scope := range known {
		call := scopeCalls[scope.Name]
		t.Run(string(scope.Name)+"/row", func(t *testing.T) {
			t.Parallel()
			token := testkit.Token()
			token.Issuer += "/row/" + string(scope.Name)
			testkit.Must(t, call.revoke(t.Context(), postgres, token))
			var key [16]byte
			var name, computed string
			var id *string
			testkit.Must(t, pool.QueryRow(t.Context(), `SELECT key, scope, id, revoke.row_key(scope, issuer, coalesce(id, ''))::text
				FROM revoke.revocations WHERE issuer = $1`, token.Issuer).Scan(&key, &name, &id, &computed))
			want := scope.Name.Key(token.Issuer, call.id(token))
			if name != string(scope.Name) || key != want || strings.ReplaceAll(computed, "-", "") != fmt.Sprintf("%x", want) {
				t.Errorf("the row is of scope %q with key %x, row_key is %s, want %q and %x", name, key, computed, scope.Name, want)
			}
			if (id != nil) != scope.HasID || (id != nil && *id != call.id(token)) {
				t.Errorf("the row's id is %v", id)
			}
			// The schema demands an id of the same scopes.
			_, err := pool.Exec(t.Context(), `INSERT INTO revoke.revocations (key, since, expires_at, revoked_at, scope, issuer, id)
				VALUES (gen_random_uuid(), now(), now(), now(), $1, $2, $3)`, name, token.Issuer, map[bool]any{false: "id"}[scope.HasID])
			var violated *pgconn.PgError
			if !errors.As(err, &violated) || violated.ConstraintName != "revocations_id" {
				t.Errorf("a row with the opposite of an id: %v", err)
			}
		})
		for _, row := range []struct {
			name  string
			store revoke.Store
		}{
			{"postgres", postgres},
			{"memory", revoketest.NewMemory()},
		} {
			t.Run(string(scope.Name)+"/"+row.name, func(t *testing.T) {
				t.Parallel()
				ctx := t.Context()
				token := testkit.Token()
				token.Issuer += "/check/" + string(scope.Name)
				testkit.Must(t, row.store.Check(ctx, token))
				testkit.Must(t, call.revoke(ctx, row.store, token))
				var revoked *revoke.RevokedError
				if err := row.store.Check(ctx, token); !errors.As(err, &revoked) || revoked.Scope != scope.Name || revoked.Since.IsZero() {
					t.Errorf("Check = %v, want scope %s and its time", err, scope.Name)
				}
				found := testkit.Value(row.store.Lookup(ctx, token))(t)
				if len(found) != 1 || found[0].Scope != scope.Name || found[0].Issuer != token.Issuer || found[0].ID != call.id(token) {
					t.Errorf("Lookup = %+v", found)
				}
				if scope.Name.IsEpoch() != scope.Epoch {
					t.Errorf("IsEpoch = %v", scope.Name.IsEpoch())
				}
				// An epoch spares a token that was issued after it, another revocation does not.
				token.IssuedAt = time.Now().Truncate(time.Second).Add(2 * time.Second)
				token.IssuerSkew = time.Until(token.IssuedAt).Truncate(time.Microsecond) + time.Microsecond
				if err := row.store.Check(ctx, token); (err == nil) != scope.Epoch {
					t.Errorf("of a later token Check = %v", err)
				}
				// Every wider scope that is revoked too stands behind this one.
				token.IssuedAt, token.IssuerSkew = time.Now().Add(-time.Minute), 0
				for _, wider := range known[place:] {
					testkit.Must(t, scopeCalls[wider.Name].revoke(ctx, row.store, token))
				}
				if err := row.store.Check(ctx, token); !errors.As(err, &revoked) || revoked.Scope != scope.Name {
					t.Errorf("beside wider scopes Check = %v, want scope %s", err, scope.Name)
				}
				found = testkit.Value(row.store.Lookup(ctx, token))(t)
				if len(found) != len(known)-place {
					t.Fatalf("Lookup = %+v, want %d revocations", found, len(known)-place)
				}
				for i, r := range found {
					if r.Scope != known[place+i].Name {
						t.Errorf("revocation %d is of scope %s, want %s", i, r.Scope, known[place+i].Name)
					}
				}
			})
		}
	}
}

// insertOfUnknownScope writes a row as a newer version of this package might.
func insertOfUnknownScope(tb testing.TB, pool *pgxpool.Pool, issuer, id string) {
	tb.Helper()
	key := revoke.Scope("client").Key(issuer, id)
	testkit.Exec(tb, pool, "ALTER TABLE revoke.revocations DROP CONSTRAINT revocations_scope")
	testkit.Exec(tb, pool, `INSERT INTO revoke.revocations (key, since, expires_at, revoked_at, scope, issuer, id)
		VALUES ($1, now(), now() - interval '2 hours', now(), 'client', $2, $3)`, key[:], issuer, id)
}

// TestRowsOfAnUnknownScope has a row that a newer version wrote: it revokes nothing for this one,
// and is swept like any other.
func TestRowsOfAnUnknownScope(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, pool := testkit.Store(t)
	token := testkit.Token()
	token.ID, token.SessionID, token.Subject = "same", "same", "same"
	insertOfUnknownScope(t, pool, token.Issuer, "same")
	testkit.Must(t, store.Check(ctx, token))
	if found := testkit.Value(store.Lookup(ctx, token))(t); len(found) != 0 {
		t.Errorf("Lookup = %+v", found)
	}
	testkit.Must(t, store.RevokeToken(ctx, token))
	testkit.WantError(t, store.Check(ctx, token), revoke.ErrRevoked)
	if found := testkit.Value(store.Lookup(ctx, token))(t); len(found) != 1 {
		t.Errorf("beside a revocation of the token Lookup = %+v", found)
	}
	result := testkit.Value(newSweeper(t, store).Sweep(ctx))(t)
	if result.Deleted["client"] != 1 || result.Total() != 1 {
		t.Errorf("Sweep = %+v", result)
	}
}

// TestUnknownScope is an error for a writer, and never one of the known scopes.
func TestUnknownScope(t *testing.T) {
	t.Parallel()
	for _, scope := range []revoke.Scope{"client", "", "Token", "token ", "reserve"} {
		t.Run(fmt.Sprintf("%q", scope), func(t *testing.T) {
			t.Parallel()
			r, err := scope.Revocation("issuer", "id")
			if err == nil || r != (revoke.Revocation{}) {
				t.Fatalf("Revocation = %+v, %v", r, err)
			}
			for _, known := range append(revoke.KnownScopes(), revoke.KnownScope{Name: scope}) {
				if !strings.Contains(err.Error(), fmt.Sprintf("%q", known.Name)) {
					t.Errorf("the error does not name %q: %v", known.Name, err)
				}
			}
			if scope.IsEpoch() {
				t.Error("an unknown scope is an epoch")
			}
		})
	}
}

func TestScopeRevocation(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", revoke.MaxIDLength+1)
	for _, row := range []struct {
		name       string
		scope      revoke.Scope
		issuer, id string
		opts       []revoke.RevokeOption
		want       string // in the error; empty where there is none
		sentinel   error
	}{
		{"a token", revoke.ScopeToken, "i", "id", []revoke.RevokeOption{revoke.WithReason("why"), revoke.WithActor("who")}, "", nil},
		{"a session", revoke.ScopeSession, "i", "id", nil, "", nil},
		{"a user", revoke.ScopeUser, "i", "id", nil, "", nil},
		{"an issuer", revoke.ScopeIssuer, "i", "", nil, "", nil},
		{"a token without id", revoke.ScopeToken, "i", "", nil, "id is empty", revoke.ErrInvalidToken},
		{"a token without both", revoke.ScopeToken, "", "", nil, "issuer is empty; id is empty", revoke.ErrInvalidToken},
		{"a session without id", revoke.ScopeSession, "i", "", nil, "session is empty", nil},
		{"a user without subject", revoke.ScopeUser, "i", "", nil, "subject is empty", nil},
		{"an issuer with an id", revoke.ScopeIssuer, "i", "id", nil, "has no id", nil},
		{"an issuer without a name", revoke.ScopeIssuer, "", "", nil, "issuer is empty", nil},
		{"an id that is too long", revoke.ScopeUser, "i", long, nil, "at most 1024", nil},
		{"an id with NUL", revoke.ScopeUser, "i", "a\x00", nil, "NUL", nil},
		{"a reason that is too long", revoke.ScopeUser, "i", "id", []revoke.RevokeOption{revoke.WithReason(long)}, "reason is 1025 bytes", nil},
		{"an option that changes what is revoked", revoke.ScopeUser, "i", "id", []revoke.RevokeOption{func(r *revoke.Revocation) error {
			*r = revoke.Revocation{Scope: revoke.ScopeIssuer, Issuer: "j", ID: "k", ExpiresAt: time.Unix(1, 0), Reason: "why", Actor: "who"}
			return nil
		}}, "", nil},
		{"an actor that is no UTF-8", revoke.ScopeUser, "i", "id", []revoke.RevokeOption{revoke.WithActor("\xff")}, "actor is not valid UTF-8", nil},
		{"a nil option", revoke.ScopeUser, "i", "id", []revoke.RevokeOption{nil}, "RevokeOption is nil", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r, err := row.scope.Revocation(row.issuer, row.id, row.opts...)
			if row.want != "" {
				if err == nil || !strings.Contains(err.Error(), row.want) || r != (revoke.Revocation{}) {
					t.Fatalf("Revocation = %+v, %v, want %q", r, err, row.want)
				}
				if errors.Is(err, revoke.ErrInvalidToken) != (row.sentinel != nil) {
					t.Errorf("%v matches ErrInvalidToken or not", err)
				}
				return
			}
			testkit.Must(t, err)
			want := revoke.Revocation{Scope: row.scope, Issuer: row.issuer, ID: row.id}
			if len(row.opts) > 0 {
				want.Reason, want.Actor = "why", "who"
			}
			if r != want {
				t.Errorf("Revocation = %+v, want %+v", r, want)
			}
		})
	}
}

// TestKeysMatchSQL compares the keys that Go computes with those of the function for psql.
func TestKeysMatchSQL(t *testing.T) {
	t.Parallel()
	_, pool := testkit.Store(t)
	for _, row := range []struct{ name, issuer, id string }{
		{"letters", "i", "j"},
		{"no id", "i", ""},
		{"umlauts", "https://ümlaut.example", "日本語"},
		{"combining letters", "🙂", "e\u0301"},
		{"the longest", strings.Repeat("i", 1024), strings.Repeat("ß", 512)},
		{"quotes", `\'"`, "\n\t"},
	} {
		for _, scope := range revoke.KnownScopes() {
			t.Run(string(scope.Name)+"/"+row.name, func(t *testing.T) {
				t.Parallel()
				got := testkit.QueryOne[[16]byte](t, pool, "SELECT revoke.row_key($1, $2, $3)", string(scope.Name), row.issuer, row.id)
				if want := scope.Name.Key(row.issuer, row.id); got != want {
					t.Errorf("row_key is %x, Key is %x", got, want)
				}
			})
		}
	}
}

// FuzzKey looks for two names with one key.
func FuzzKey(f *testing.F) {
	f.Add("a", "bc", "ab", "c")
	f.Add("", "", "", "x")
	f.Add("i\x00", "\x00\x00\x00\x01", "i", "\x00")
	f.Fuzz(func(t *testing.T, issuer1, id1, issuer2, id2 string) {
		seen := map[[16]byte][3]string{}
		for _, scope := range revoke.KnownScopes() {
			for _, name := range [][2]string{{issuer1, id1}, {issuer2, id2}} {
				full := [3]string{string(scope.Name), name[0], name[1]}
				key := scope.Name.Key(name[0], name[1])
				if other, ok := seen[key]; ok && other != full {
					t.Fatalf("%q and %q have one key", other, full)
				}
				seen[key] = full
				if again := scope.Name.Key(strings.Clone(name[0]), strings.Clone(name[1])); again != key {
					t.Fatalf("%q has two keys", full)
				}
			}
		}
	})
}
