package revoke_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/mirror"
)

// verifiedTaker is a checker that takes row keys, and fails the test if it is asked by Check.
type verifiedTaker struct {
	neverAsked
	taken *[]revoke.Verified
}

func (v verifiedTaker) CheckVerified(_ context.Context, verified revoke.Verified) error {
	*v.taken = append(*v.taken, verified)
	return nil
}

// embeddingTaker has CheckVerified from a field, and a Check of its own.
type embeddingTaker struct {
	verifiedTaker
	*askedFor
}

func (e embeddingTaker) Check(ctx context.Context, token revoke.Token) error {
	return e.askedFor.Check(ctx, token)
}

// innerTaker is for a type that has CheckVerified from further in than Check.
type innerTaker struct{ verifiedTaker }

// TestValidateHandsOnRowKeys has a checker take the keys of a token. It is not asked by Check.
func TestValidateHandsOnRowKeys(t *testing.T) {
	t.Parallel()
	var taken []revoke.Verified
	accepted(t, es256(t, verifiedTaker{neverAsked{t}, &taken}), testkit.Mint(t, nil))
	if len(taken) != 1 || taken[0].Token != mintedToken() {
		t.Fatalf("the checker was handed %+v", taken)
	}
	var v revoke.Verdict
	want := testkit.Value(v.OfToken(mintedToken()))(t)
	if keys := testkit.Value(v.OfVerified(&taken[0]))(t); keys != want {
		t.Errorf("the keys are %x, want %x", keys, want)
	}
	planted := [4][16]byte{{1}, {2}, {3}, {4}}
	revoke.PlantKeys(&taken[0], planted)
	if keys := testkit.Value(v.OfVerified(&taken[0]))(t); keys != planted {
		t.Errorf("the keys are %x, and not those that are at hand", keys)
	}
	// Keys are those of the token that was verified, and of no other.
	taken[0].Subject = "bob"
	want = testkit.Value(v.OfToken(taken[0].Token))(t)
	if keys := testkit.Value(v.OfVerified(&taken[0]))(t); keys != want {
		t.Errorf("after an edit the keys are %x, want %x", keys, want)
	}
}

// TestEmbeddedCheckerIsNotHandedKeys has a struct embed a checker that takes keys, and look at
// more in a Check of its own.
func TestEmbeddedCheckerIsNotHandedKeys(t *testing.T) {
	t.Parallel()
	var taken []revoke.Verified
	for _, row := range []struct {
		name  string
		asked *askedFor
		of    func(*askedFor) revoke.Checker
	}{
		{"by value", &askedFor{}, func(a *askedFor) revoke.Checker {
			return embeddingTaker{verifiedTaker{neverAsked{t}, &taken}, a}
		}},
		{"by pointer", &askedFor{}, func(a *askedFor) revoke.Checker {
			return &embeddingTaker{verifiedTaker{neverAsked{t}, &taken}, a}
		}},
		{"further in", &askedFor{}, func(a *askedFor) revoke.Checker {
			return struct {
				*askedFor
				innerTaker
			}{a, innerTaker{verifiedTaker{neverAsked{t}, &taken}}}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			accepted(t, es256(t, row.of(row.asked)), testkit.Mint(t, nil))
			if len(row.asked.tokens) != 1 || len(taken) != 0 {
				t.Errorf("Check was asked about %d tokens, and CheckVerified about %d", len(row.asked.tokens), len(taken))
			}
		})
	}
}

// TestCheckVerified asks each checker that takes keys about tokens that a validator made, and
// about one that was edited since.
func TestCheckVerified(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, _ := testkit.Store(t)
	m := testkit.Value(mirror.New(store))(t)
	running, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- m.Run(running) }()
	t.Cleanup(func() { stop(); testkit.Must(t, <-ended) })
	testkit.Must(t, m.Ready(ctx))
	v := es256(t, store, revoke.WithClock(time.Now))
	verified := func() revoke.Verified {
		now := time.Now()
		at := func(d time.Duration) string { return fmt.Sprint(now.Add(d).Unix()) }
		name := func() string { return `"` + rand.Text() + `"` }
		return *accepted(t, v, testkit.Mint(t, map[string]string{
			"iat": at(-time.Minute), "exp": at(time.Hour), "jti": name(), "sub": name(), "sid": name(),
		}))
	}
	type taker interface {
		CheckVerified(ctx context.Context, verified revoke.Verified) error
	}
	ofMirror, ok := m.Store().(taker)
	if !ok {
		t.Fatal("the mirror's store takes no keys")
	}
	takers := []struct {
		name  string
		taker taker
	}{{"Postgres", store}, {"mirror", m}, {"the mirror's store", ofMirror}}
	for _, scope := range []struct {
		name   revoke.Scope
		revoke func(revoke.Token) error
	}{
		{revoke.ScopeToken, func(token revoke.Token) error { return store.RevokeToken(ctx, token) }},
		{revoke.ScopeSession, func(token revoke.Token) error { return store.RevokeSession(ctx, token.Session()) }},
		{revoke.ScopeUser, func(token revoke.Token) error { _, err := store.RevokeUser(ctx, token.User()); return err }},
		{revoke.ScopeIssuer, func(token revoke.Token) error { _, err := store.RevokeIssuer(ctx, token.Issuer); return err }},
	} {
		ended, alive := verified(), verified()
		if scope.name == revoke.ScopeIssuer {
			alive.Issuer = "https://other.example" // its own keys no longer count
		}
		testkit.Must(t, scope.revoke(ended.Token))
		testkit.Must(t, m.Sync(ctx))
		edited := alive
		edited.Token = ended.Token
		for _, row := range takers {
			t.Run(string(scope.name)+"/"+row.name, func(t *testing.T) {
				testkit.WantError(t, row.taker.CheckVerified(ctx, ended), revoke.ErrRevoked)
				testkit.WantError(t, row.taker.CheckVerified(ctx, edited), revoke.ErrRevoked)
				testkit.Must(t, row.taker.CheckVerified(ctx, alive))
			})
		}
	}
	if fallbacks := m.Stats().Fallbacks; fallbacks != 0 {
		t.Errorf("the mirror asked Postgres %d times", fallbacks)
	}
}
