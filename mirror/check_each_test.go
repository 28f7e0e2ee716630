package mirror

import (
	"errors"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// TestCheckEach answers from memory where it can, and asks the store about the other tokens.
func TestCheckEach(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	hook := newRecorder()
	store := openStore(t, pgserver.Database(t), revoke.WithHook(hook))
	alive, dead, invalid := testkit.Token(), testkit.Token(), testkit.Token()
	invalid.Issuer = ""
	testkit.Must(t, store.RevokeToken(ctx, dead))
	check := func(m *Mirror) {
		t.Helper()
		errs := m.CheckEach(ctx, []revoke.Token{alive, dead, invalid, alive, dead})
		testkit.WantError(t, errs[2], revoke.ErrInvalidToken)
		testkit.Must(t, errors.Join(errs[0], errs[3]))
		testkit.WantError(t, errs[1], revoke.ErrRevoked)
		testkit.WantError(t, errs[4], revoke.ErrRevoked)
	}
	m := testkit.Value(New(store, slow...))(t)
	check(m) // does not run
	if n := m.Stats().Fallbacks; n != 5 {
		t.Errorf("%d tokens of 5 were asked for", n)
	}
	start(t, m)
	testkit.Must(t, m.Ready(ctx))
	check(m)
	if n := m.Stats().Fallbacks; n != 5 {
		t.Errorf("%d tokens were asked for, though memory has them all", n-5)
	}
	// Only the store refuses a token that is ahead of its clock.
	ahead := testkit.Token()
	ahead.IssuedAt = ahead.IssuedAt.Add(time.Hour)
	ahead.ExpiresAt = ahead.ExpiresAt.Add(2 * time.Hour)
	errs := m.CheckEach(ctx, []revoke.Token{alive, dead, alive, ahead, dead})
	testkit.Must(t, errors.Join(errs[0], errs[2]))
	testkit.WantError(t, errs[1], revoke.ErrRevoked)
	testkit.WantError(t, errs[3], revoke.ErrInvalidToken)
	testkit.WantError(t, errs[4], revoke.ErrRevoked)
	if n := m.Stats().Fallbacks; n != 6 {
		t.Errorf("%d tokens were asked for, want the one that is ahead", n-5)
	}
	for i := range 10 {
		if event := next(t, hook.checks); event.FromMemory != (i >= 5) {
			t.Errorf("event %d is from memory: %v", i, event.FromMemory)
		}
	}
}
