package revoke_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/mirror"
	"github.com/pgrevoke/revoke/revoketest"
)

// storesWithIssuers are stores of every kind that know testkit.Issuer and another issuer.
func storesWithIssuers(tb testing.TB) map[string]revoke.Store {
	tb.Helper()
	known := revoke.WithIssuers(testkit.Issuer, "https://other.example")
	postgres, _ := testkit.Store(tb, known)
	alone := testkit.OpenStore(tb, postgres.Pool(), known, revoke.WithCheckQueries(0))
	memory := revoketest.NewMemory(revoketest.WithIssuers(testkit.Issuer), revoketest.WithIssuers("https://other.example"))
	return map[string]revoke.Store{
		"Postgres":                  postgres,
		"Postgres, unshared checks": alone,
		"mirror":                    testkit.Value(mirror.New(postgres))(tb).Store(),
		"memory":                    memory,
		"faulty":                    revoketest.NewFaulty(memory),
	}
}

// withinTransactions are the ways to write by a store and by its transactions.
func withinTransactions(store revoke.Store) map[string]func(context.Context, func(revoke.Revoker) error) error {
	in := map[string]func(context.Context, func(revoke.Revoker) error) error{
		"store": func(_ context.Context, write func(revoke.Revoker) error) error { return write(store) },
		"InTx":  store.InTx,
	}
	if postgres, ok := store.(*revoke.Postgres); ok {
		in["WithTx"] = func(ctx context.Context, write func(revoke.Revoker) error) error {
			return pgx.BeginFunc(ctx, postgres.Pool(), func(tx pgx.Tx) error { return write(postgres.WithTx(tx)) })
		}
	}
	return in
}

// TestWithIssuers calls every store for an issuer that it knows, and for one that differs
// in a slash.
func TestWithIssuers(t *testing.T) {
	t.Parallel()
	const wrong = testkit.Issuer + "/"
	for name, store := range storesWithIssuers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			refuses := func(t *testing.T, err error) {
				t.Helper()
				if err == nil || !strings.Contains(err.Error(), `["`+testkit.Issuer+`" "https://other.example"]`) ||
					!strings.Contains(err.Error(), "in a slash at the end") || errors.Is(err, revoke.ErrUnavailable) {
					t.Errorf("%v, want an error that names the issuers and the slash", err)
				}
			}
			foreign := testkit.Token()
			foreign.Issuer = wrong
			for way, in := range withinTransactions(store) {
				for _, write := range hookedWrites {
					t.Run(way+"/"+write.name, func(t *testing.T) {
						testkit.Must(t, in(ctx, func(r revoke.Revoker) error { return write.write(ctx, r, testkit.Token()) }))
						err := in(ctx, func(r revoke.Revoker) error { return write.write(ctx, r, foreign) })
						if write.name == "Redeem" { // of an assertion of another issuer
							if !errors.Is(err, revoke.ErrRevoked) {
								testkit.Must(t, err)
							}
							return
						}
						refuses(t, err)
						if inToken := strings.HasPrefix(write.name, "RevokeToken"); errors.Is(err, revoke.ErrInvalidToken) != inToken {
							t.Errorf("%v matches ErrInvalidToken: %v", err, !inToken)
						}
					})
				}
				t.Run(way+"/Epochs", func(t *testing.T) {
					refuses(t, in(ctx, func(r revoke.Revoker) error { _, err := r.Epochs(ctx, foreign.User()); return err }))
				})
			}
			_, err := store.IssueTime(ctx, foreign.User())
			refuses(t, err)
			_, err = store.Lookup(ctx, foreign)
			refuses(t, err)
			testkit.WantError(t, err, revoke.ErrInvalidToken)
			err = store.Check(ctx, foreign)
			refuses(t, err)
			testkit.WantError(t, err, revoke.ErrInvalidToken)

			_, err = revoke.NewValidator(store, wrong, revoke.AnyAudience(), exampleKeyfunc, []string{"ES256"})
			refuses(t, err)
			validator := testkit.Value(revoke.NewValidator(store, testkit.Issuer, revoke.AnyAudience(), exampleKeyfunc, []string{"ES256"}))(t)
			if user := validator.User("42"); user != (revoke.User{Issuer: testkit.Issuer, Subject: "42"}) {
				t.Errorf("User = %v", user)
			}
			if session := validator.Session("s"); session != (revoke.Session{Issuer: testkit.Issuer, ID: "s"}) {
				t.Errorf("Session = %v", session)
			}
		})
	}
}

// TestMirrorKnowsIssuers asks a mirror that answers from memory.
func TestMirrorKnowsIssuers(t *testing.T) {
	t.Parallel()
	store, _ := testkit.Store(t, revoke.WithIssuers(testkit.Issuer))
	m := testkit.Value(mirror.New(store))(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	defer func() { stop(); testkit.Must(t, <-ended) }()
	testkit.Must(t, m.Ready(ctx))
	token := testkit.Token()
	testkit.Must(t, m.Check(ctx, token))
	token.Issuer += "/"
	testkit.WantError(t, m.Check(ctx, token), revoke.ErrInvalidToken)
}

// TestWithIssuerFunc has tenants that come and go, beside an issuer that stays.
func TestWithIssuerFunc(t *testing.T) {
	t.Parallel()
	var tenants atomic.Int64
	known := func(issuer string) bool { return tenants.Load() > 0 && issuer == "https://tenant.example" }
	store, _ := testkit.Store(t, revoke.WithIssuerFunc(known), revoke.WithIssuers(testkit.Issuer))
	for _, row := range []struct {
		name    string
		tenants int64
		issuer  string
		known   bool
	}{
		{"before it comes", 0, "https://tenant.example", false},
		{"while it is there", 1, "https://tenant.example", true},
		{"another", 1, "https://tenant.example/", false},
		{"one by name", 0, testkit.Issuer, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			tenants.Store(row.tenants)
			_, err := store.RevokeUser(t.Context(), revoke.User{Issuer: row.issuer, Subject: "42"})
			if (err == nil) != row.known {
				t.Errorf("RevokeUser = %v", err)
			}
		})
	}
}

// TestIssuerThatIsNoLongerKnown has a table of tenants that was emptied by mistake. The tokens that
// validators have verified are no worse for it.
func TestIssuerThatIsNoLongerKnown(t *testing.T) {
	t.Parallel()
	var emptied atomic.Bool
	store, _ := testkit.Store(t, revoke.WithIssuerFunc(func(issuer string) bool { return !emptied.Load() && issuer == testkit.Issuer }))
	m := testkit.Value(mirror.New(store))(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	defer func() { stop(); testkit.Must(t, <-ended) }()
	testkit.Must(t, m.Ready(ctx))
	text := testkit.SignRaw(t, "ES256", `{"alg":"ES256"}`, fmt.Sprintf(`{"iss":%q,"sub":"ada","jti":"1","iat":%d,"exp":%d}`,
		testkit.Issuer, time.Now().Add(-time.Minute).Unix(), time.Now().Add(time.Hour).Unix()))
	for name, checker := range map[string]revoke.Checker{"Postgres": store, "mirror": m} {
		emptied.Store(false)
		validator := testkit.Value(revoke.NewValidator(checker, testkit.Issuer, revoke.AnyAudience(), testkit.Keyfunc("ES256"), []string{"ES256"}))(t)
		token := testkit.Value(validator.Validate(ctx, text))(t).Token
		emptied.Store(true)
		_, err := validator.Validate(ctx, text)
		testkit.WantError(t, err, revoke.ErrUnavailable)
		if !strings.Contains(err.Error(), "not one that the store knows") {
			t.Errorf("%s: %v", name, err)
		}
		testkit.WantError(t, checker.Check(ctx, token), revoke.ErrInvalidToken)
		_, err = validator.Validate(ctx, text+"A") // a forged one is told from it
		testkit.WantError(t, err, revoke.ErrInvalidToken)
	}
}

// TestErrorOfUnknownIssuer reads what the error says.
func TestErrorOfUnknownIssuer(t *testing.T) {
	t.Parallel()
	pool := pgserver.Pool(t, pgserver.Database(t))
	var many []string
	for n := range 12 {
		many = append(many, fmt.Sprintf("https://%d.example", n))
	}
	for _, row := range []struct {
		name, issuer string
		option       revoke.PostgresOption
		want, not    string
	}{
		{"a slash too many", "https://a.example/", revoke.WithIssuers("https://a.example"), `differs from "https://a.example" in a slash at the end`, ""},
		{"a slash too few", "https://a.example", revoke.WithIssuers("https://a.example/"), `differs from "https://a.example/" in a slash at the end`, ""},
		{"another case", "https://A.example", revoke.WithIssuers("https://a.example"), "in case or spaces", ""},
		{"a space", "https://a.example ", revoke.WithIssuers("https://a.example"), "in case or spaces", ""},
		{"another name", "https://b.example", revoke.WithIssuers("https://a.example"), `["https://a.example"]`, "differs"},
		{"many", "https://b.example", revoke.WithIssuers(many...), "and 2 others", "11.example"},
		{"a function", "https://b.example", revoke.WithIssuerFunc(func(string) bool { return false }), "not one that the store knows", "["},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			store := testkit.OpenStore(t, pool, row.option)
			err := store.CheckIssuer(row.issuer)
			if err == nil || !strings.Contains(err.Error(), row.want) || row.not != "" && strings.Contains(err.Error(), row.not) {
				t.Errorf("%v, want %q and not %q", err, row.want, row.not)
			}
		})
	}
	for name, option := range map[string]revoke.PostgresOption{
		"no name": revoke.WithIssuers(), "an empty name": revoke.WithIssuers("i", ""), "no function": revoke.WithIssuerFunc(nil),
	} {
		if _, err := revoke.NewPostgres(pool, option); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	testkit.Must(t, testkit.OpenStore(t, pool).CheckIssuer("any"))
}
