package mirror

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// stampedAt returns a token that counts as issued at an instant, to the microsecond.
func stampedAt(at time.Time) revoke.Token {
	token := testkit.Token()
	at = at.Truncate(time.Microsecond)
	token.IssuedAt = at.UTC().Truncate(time.Second).Add(2 * time.Second)
	token.IssuerSkew = token.IssuedAt.Sub(at)
	return token
}

// claimedAt returns a token with the epoch at as its user's, and one with it as its issuer's.
func claimedAt(at time.Time) (user, issuer revoke.Token) {
	user, issuer = testkit.Token(), testkit.Token()
	user.HasEpochs, user.Epochs.User = true, at.UnixMicro()
	issuer.HasEpochs, issuer.Epochs.Issuer = true, at.UnixMicro()
	return user, issuer
}

// fromMemory reports whether memory answers, and expects nil from it if so.
func fromMemory(t *testing.T, m *Mirror, token revoke.Token) bool {
	t.Helper()
	answered, err := m.fromMemory(t.Context(), &revoke.Verified{Token: token})
	testkit.Must(t, err)
	return answered
}

// provesUntil expects memory to answer for tokens that are stamped at an instant, and to ask
// Postgres about those that are stamped a microsecond later.
func provesUntil(t *testing.T, m *Mirror, at time.Time) {
	t.Helper()
	at = at.Truncate(time.Microsecond)
	user, issuer := claimedAt(at)
	userAhead, issuerAhead := claimedAt(at.Add(time.Microsecond))
	for _, row := range []struct {
		name   string
		token  revoke.Token
		proved bool
	}{
		{"iat", stampedAt(at), true},
		{"iat ahead", stampedAt(at.Add(time.Microsecond)), false},
		{"a user's epoch", user, true},
		{"a user's epoch ahead", userAhead, false},
		{"an issuer's epoch", issuer, true},
		{"an issuer's epoch ahead", issuerAhead, false},
	} {
		if answered := fromMemory(t, m, row.token); answered != row.proved {
			t.Errorf("%s: memory answers: %v", row.name, answered)
		}
	}
}

// slowAnswer is a complete answer that takes so long after the database has read its clock.
func slowAnswer(clock *testClock, read time.Time, takes time.Duration) answer {
	a := complete()
	inner := a.read
	a.read = func(ctx context.Context, apply func([]row) error) (time.Time, error) {
		_, err := inner(ctx, apply)
		clock.advance(takes)
		return read, err
	}
	return a
}

// TestLeastClock follows what memory knows of the database's clock: its time in the answer, and
// most of what has passed since the answer arrived, not since it was asked for.
func TestLeastClock(t *testing.T) {
	t.Parallel()
	m, clock := newMirror(t, WithBound(MaxBound))
	read := time.Now().Truncate(time.Microsecond)
	update(t, m, slowAnswer(clock, read, 2*time.Second))
	provesUntil(t, m, read)
	clock.advance(4 * time.Second)
	provesUntil(t, m, read.Add(3*time.Second))
	clock.wall.Add(-int64(10 * time.Second)) // the wall clock proves nothing
	provesUntil(t, m, read.Add(3*time.Second))
	clock.wall.Add(int64(40 * time.Second))
	provesUntil(t, m, read.Add(3*time.Second))
}

// TestLeastClockEndsWithItsSession begins a session on a server of which the clock is behind.
// Between the sessions memory vouches for tokens alone that are older than servers differ.
func TestLeastClockEndsWithItsSession(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t, WithBound(MaxBound))
	read := time.Now().Truncate(time.Microsecond)
	answerAt := func(at time.Time) answer { return slowAnswer(newTestClock(), at, 0) }
	update(t, m, answerAt(read))
	provesUntil(t, m, read)
	for range 2 { // sessions that answer nothing
		m.forgetSession()
		provesUntil(t, m, read.Add(-revoke.MaxLeeway))
	}
	update(t, m, answerAt(read.Add(-2*time.Second)))
	provesUntil(t, m, read.Add(-2*time.Second))
}

// TestFollowForgetsTheClock ends a session as Run does.
func TestFollowForgetsTheClock(t *testing.T) {
	t.Parallel()
	m, clock := newMirror(t, slow...)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := m.follow(ctx, true)
		ended <- err
	}()
	testkit.Must(t, m.Ready(t.Context()))
	loaded := m.mark.Load().least(clock.now())
	if !fromMemory(t, m, stampedAt(loaded)) {
		t.Fatal("memory does not answer")
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	provesUntil(t, m, loaded.Add(-revoke.MaxLeeway))
}

// TestLeastClockIsNoLater has both clocks run wrong by a twelfth, in either direction, while an
// answer is under way and after it.
func TestLeastClockIsNoLater(t *testing.T) {
	t.Parallel()
	const step = 250 * time.Millisecond
	start := time.Now()
	for read := time.Duration(0); read <= time.Second; read += step {
		for arrived := read; arrived <= read+time.Second; arrived += step {
			for now := arrived; now <= arrived+time.Minute; now += 13 * step {
				for _, here := range []int64{-1, 0, 1} {
					for _, there := range []int64{-1, 0, 1} {
						local := func(d time.Duration) int64 { return int64(d) + here*int64(d)/12 }
						server := func(d time.Duration) time.Time { return start.Add(d + time.Duration(there*int64(d)/12)) }
						m := mark{clock: server(read), arrived: local(arrived)}
						if least := m.least(instant{monotonic: local(now)}); least.After(server(now)) {
							t.Fatalf("read at %v, arrived at %v: at %v the least clock is %v ahead", read, arrived, now, least.Sub(server(now)))
						}
					}
				}
			}
		}
	}
}

// TestAheadIsAskedOfPostgres gives memory tokens that are ahead of what it knows. It refuses
// none of them by itself.
func TestAheadIsAskedOfPostgres(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t, WithBound(MaxBound)) // with a clock that stands still
	readAll(t, m)
	ahead := stampedAt(time.Now().Add(time.Minute))
	unproved := stampedAt(time.Now())
	claimed, _ := claimedAt(time.Now().Add(time.Minute))
	before := m.Stats().Fallbacks
	testkit.WantError(t, m.Check(t.Context(), ahead), revoke.ErrInvalidToken)
	testkit.WantError(t, m.Check(t.Context(), claimed), revoke.ErrInvalidToken)
	testkit.Must(t, m.Check(t.Context(), unproved))
	if asked := m.Stats().Fallbacks - before; asked != 3 {
		t.Errorf("Postgres was asked %d times", asked)
	}
	m.store.Pool().Close()
	for _, token := range []revoke.Token{ahead, claimed, unproved} {
		if err := m.Check(t.Context(), token); !errors.Is(err, revoke.ErrUnavailable) {
			t.Errorf("without Postgres: %v", err)
		}
	}
	testkit.Must(t, m.Check(t.Context(), testkit.Token())) // of ten seconds ago
}

// TestEpochsThatStandAreProved revokes through the mirror, and checks the pair of the same
// request. Its row stands in memory, so no clock is needed, also where the row is ahead.
func TestEpochsThatStandAreProved(t *testing.T) {
	t.Parallel()
	store, _ := testkit.Store(t)
	m := run(t, store, slow...)
	token := testkit.Token()
	token.HasEpochs = true
	token.Epochs = testkit.Value(m.Store().RevokeUser(t.Context(), token.User()))(t)
	accepts(t, m, token)
	testkit.Must(t, m.Store().RevokeUserBefore(t.Context(), token.User(), time.Now().Add(20*time.Second)))
	refuses(t, m, token, revoke.ScopeUser)
	token.Epochs = testkit.Value(m.Store().Epochs(t.Context(), token.User()))(t)
	accepts(t, m, token)
}
