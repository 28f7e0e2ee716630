package mirror

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// Every write through the mirror's store is enforced when it returns, before any poll,
// and the next poll shows its row.
func TestOwnWritesAreEnforcedAtOnce(t *testing.T) {
	t.Parallel()
	store, _ := testkit.Store(t)
	direct := func(m *Mirror, write func(revoke.Revoker) error) error { return write(m.Store()) }
	inTx := func(m *Mirror, write func(revoke.Revoker) error) error {
		return m.Store().InTx(context.Background(), write)
	}
	for _, through := range []struct {
		name string
		do   func(m *Mirror, write func(revoke.Revoker) error) error
	}{
		{"store", direct},
		{"InTx", inTx},
	} {
		for _, way := range ways {
			t.Run(through.name+"/"+way.method, func(t *testing.T) {
				t.Parallel()
				ctx := t.Context()
				m, _ := mirrorOf(t, store)
				source := readAll(t, m)
				token := aloneToken()
				for range 2 { // a repeat may write nothing
					err := through.do(m, func(r revoke.Revoker) error { return way.revoke(ctx, r, token) })
					if spent := (*revoke.RevokedError)(nil); err != nil && !errors.As(err, &spent) {
						t.Fatal(err)
					}
					refuses(t, m, token, way.scope)
					update(t, m, source.next())
					refuses(t, m, token, way.scope)
					if len(m.overlay) != 0 {
						t.Errorf("after a poll that showed the row the overlay has %v", m.overlay)
					}
				}
			})
		}
	}
}

// A transaction is enforced with its commit, and not at all if it is rolled back.
func TestOwnTransactions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	m, _ := newMirror(t)
	update(t, m, complete())
	committed, rolledBack := testkit.Token(), testkit.Token()
	testkit.Must(t, m.Store().InTx(ctx, func(r revoke.Revoker) error {
		testkit.Must(t, r.RevokeSession(ctx, committed.Session()))
		return m.Check(ctx, committed)
	}))
	refuses(t, m, committed, revoke.ScopeSession)
	failure := errors.New("no")
	err := m.Store().InTx(ctx, func(r revoke.Revoker) error {
		testkit.Must(t, r.RevokeToken(ctx, rolledBack))
		return failure
	})
	if !errors.Is(err, failure) {
		t.Errorf("InTx = %v", err)
	}
	accepts(t, m, rolledBack)
}

// A token that another process has spent is refused from then on, without a poll.
func TestLostRedemptionIsEnforcedAtOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	m, _ := newMirror(t)
	update(t, m, complete())
	token := testkit.Token()
	testkit.Must(t, m.store.Redeem(ctx, token))
	accepts(t, m, token)
	testkit.WantError(t, m.Store().Redeem(ctx, token), revoke.ErrRevoked)
	refuses(t, m, token, revoke.ScopeToken)
	// Whether its row is still live is not known, so a poll need not show it.
	update(t, m, difference())
	refuses(t, m, token, revoke.ScopeToken)
}

// The memory leaves an entry out when its row has expired. With revoke.WithSharedIDs that is not
// when the token has which was revoked: a longer-lived token with the same jti stays refused, also
// before the row has been read.
func TestSharedIDs(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		if way.scope != revoke.ScopeToken || way.method == "RevokeToken without expiry" {
			continue
		}
		for _, shared := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/WithSharedIDs=%v", way.method, shared), func(t *testing.T) {
				t.Parallel()
				ctx := t.Context()
				var opts []revoke.PostgresOption
				if shared {
					opts = append(opts, revoke.WithSharedIDs())
				}
				store, _ := testkit.Store(t, opts...)
				m := testkit.Value(New(store, withClock(newTestClock().now)))(t)
				source := readAll(t, m)
				access := testkit.Token()
				refresh := access
				refresh.ExpiresAt = access.ExpiresAt.Add(24 * time.Hour)
				after := access.ExpiresAt.Add(revoke.DefaultMargin + time.Minute)
				compact := func() {
					m.mu.Lock()
					defer m.mu.Unlock()
					m.compact(after)
				}
				testkit.Must(t, way.revoke(ctx, m.Store(), access))
				refuses(t, m, refresh, revoke.ScopeToken)
				compact()
				if !shared {
					accepts(t, m, refresh)
					return
				}
				refuses(t, m, refresh, revoke.ScopeToken)
				update(t, m, source.next())
				compact()
				refuses(t, m, refresh, revoke.ScopeToken)
				if len(m.overlay) != 0 {
					t.Errorf("after a poll that showed the row the overlay has %v", m.overlay)
				}
			})
		}
	}
}

// A write that was refused is enforced nowhere.
func TestFailedWritesAreNotEnforced(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	update(t, m, complete())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, way := range ways {
		token := aloneToken()
		testkit.WantError(t, way.revoke(ctx, m.Store(), token), revoke.ErrUnavailable)
		accepts(t, m, token)
	}
	if len(m.overlay) != 0 {
		t.Errorf("the overlay has %v", m.overlay)
	}
}

// A read with a snapshot from before a write does not drop the write. The next read has to show it.
func TestReadsKeepOwnWrites(t *testing.T) {
	t.Parallel()
	prolonged := tokenRow("own")
	prolonged.at += time.Minute.Microseconds()
	for _, test := range []struct {
		name     string
		complete bool
		known    []row
	}{
		{"load", true, nil},
		{"load, after an answer that had a row", true, []row{prolonged}},
		{"poll", false, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, clock := newMirror(t)
			update(t, m, complete(test.known...))
			clock.advance(m.bound + 1) // until the read has ended, nothing looks into the memory
			update(t, m, answerBy(test.complete, func(func([]row) error) error {
				return m.Store().RevokeToken(t.Context(), tokenOf("own"))
			}))
			refuses(t, m, tokenOf("own"), revoke.ScopeToken)

			shown := complete(tokenRow("own"))
			shown.complete = test.complete
			update(t, m, shown)
			refuses(t, m, tokenOf("own"), revoke.ScopeToken)
			if len(m.overlay) != 0 {
				t.Errorf("shown, and the overlay has %v", m.overlay)
			}
		})
	}
}

// A read that was sent after a write and does not show it is another server's: then
// Postgres is asked, until a session shows the row.
func TestUnshownWriteIsEvidence(t *testing.T) {
	t.Parallel()
	store, _ := testkit.Store(t)
	epoch := func(at int64) row {
		return row{key: revoke.ScopeUser.Key("i", "s"), at: at, epoch: true}
	}
	made := func(rows ...row) func(*Mirror) {
		return func(m *Mirror) {
			for _, r := range rows {
				m.enforce(own{row: r, written: true})
			}
		}
	}
	found := func(r row) func(*Mirror) { return func(m *Mirror) { m.enforce(own{row: r}) } }
	at := func(r row, at time.Time) row { r.at = at.UnixMicro(); return r }
	unknown := func(r row) row { r.at = unknownExpiry; return r }
	token := tokenRow("a")
	for _, test := range []struct {
		name   string
		known  []row // by the load before the write
		write  func(*Mirror)
		answer []row
		wrong  bool
	}{
		{"token is not shown", nil, made(token), nil, true},
		{"token is shown", nil, made(token), []row{token}, false},
		{"another token is shown", nil, made(token), []row{tokenRow("b")}, true},
		{"token is shown with a longer expiry", nil, made(token), []row{at(token, time.Now().Add(2*time.Hour))}, false},
		{"token is shown with a shorter expiry", nil, made(token), []row{at(token, time.Now())}, true},
		{"token without expiry is not shown", nil, made(unknown(token)), nil, true},
		{"token without expiry is shown", nil, made(unknown(token)), []row{token}, false},
		{"token was known, so its repeat wrote nothing", []row{token}, made(token), nil, false},
		{"token was known, and its repeat prolongs it", []row{at(token, time.Now().Add(time.Minute))}, made(token), nil, true},
		{"token had expired longer ago than the margin", nil, made(at(token, time.Now().Add(-revoke.DefaultMargin-time.Second))), nil, false},
		{"token had expired within the margin", nil, made(at(token, time.Now().Add(-revoke.DefaultMargin+30*time.Minute))), nil, true},
		{"token was spent by another process", nil, found(token), nil, false},
		{"token was spent by another process, after this one revoked it", nil, func(m *Mirror) { made(token)(m); found(token)(m) }, nil, true},
		{"epoch is not shown", nil, made(epoch(7)), nil, true},
		{"epoch of 1970 is not shown", nil, made(epoch(0)), nil, true},
		{"epoch is shown", nil, made(epoch(7)), []row{epoch(7)}, false},
		{"another process has moved the epoch further", nil, made(epoch(7)), []row{epoch(8)}, false},
		{"an older epoch is shown", nil, made(epoch(7)), []row{epoch(6)}, true},
		{"epoch was known, and stays", []row{epoch(7)}, made(epoch(7)), nil, false},
		{"of two epochs the older is shown", nil, made(epoch(7), epoch(8)), []row{epoch(7)}, true},
	} {
		for _, whole := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/complete=%v", test.name, whole), func(t *testing.T) {
				t.Parallel()
				m, _ := mirrorOf(t, store)
				load := complete(test.known...)
				load.exact = !whole
				update(t, m, load)
				test.write(m)
				a := difference(test.answer...)
				if whole {
					a = complete(append(test.known, test.answer...)...)
				}
				err := m.update(t.Context(), a)
				if errors.Is(err, errUnshown) != test.wrong || (err != nil) != test.wrong {
					t.Fatalf("update = %v", err)
				}
				answers := m.mark.Load() != nil
				if answers == test.wrong {
					t.Errorf("memory answers: %v", answers)
				}
				if healthy := m.Health(t.Context()) == nil; healthy == test.wrong {
					t.Errorf("Health = %v", m.Health(t.Context()))
				}
				if !test.wrong && len(m.overlay) != 0 {
					t.Errorf("the overlay has %v", m.overlay)
				}
			})
		}
	}
}

// A mirror that has found the wrong server answers again when a new session shows the
// row, or when the token has expired.
func TestWayBackFromTheWrongServer(t *testing.T) {
	t.Parallel()
	token := tokenRow("a")
	for _, test := range []struct {
		name  string
		after time.Duration
		rows  []row
		right bool
	}{
		{"the new session does not show the row", 0, nil, false},
		{"the new session shows the row", 0, []row{token}, true},
		{"the token has expired, but not by the margin", time.Hour, nil, false},
		{"the token has expired by the margin", time.Hour + revoke.DefaultMargin, nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m, _ := newMirror(t)
			update(t, m, complete())
			m.enforce(own{row: token, written: true})
			if err := m.update(t.Context(), difference()); !errors.Is(err, errUnshown) {
				t.Fatalf("update = %v", err)
			}
			m.forgetSession()
			a := complete(test.rows...)
			read := a.read
			a.read = func(ctx context.Context, apply func([]row) error) (time.Time, error) {
				clock, err := read(ctx, apply)
				return clock.Add(test.after), err
			}
			if err := m.update(t.Context(), a); (err == nil) != test.right {
				t.Errorf("update = %v", err)
			}
		})
	}
}

// While no session can be had, writes of this process stay in the overlay until their
// tokens have expired, and the table does not grow.
func TestOverlayWithoutASessionIsBounded(t *testing.T) {
	t.Parallel()
	m, clock := newMirror(t)
	for i := range 100 * minPrune {
		r := tokenRow(fmt.Sprint(i))
		r.at = clock.now().after(0).Add(time.Minute).UnixMicro()
		m.enforce(own{row: r, written: true})
		clock.advance(time.Minute)
		if live := int((time.Minute + revoke.DefaultMargin) / time.Minute); len(m.overlay) > 2*live+minPrune {
			t.Fatalf("after %d writes %d are kept, and %d tokens live", i, len(m.overlay), live)
		}
	}
	if n := m.Stats().Entries; n != 0 {
		t.Errorf("%d entries", n)
	}
}

// Writes without an expiry stay for very long. Without a session no more of them are
// kept than have room beside the table, except during a read, since its snapshot may be older.
func TestOverlayHasALimit(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t, WithMaxEntries(8))
	const limit = minPrune + 8/overlayShare
	write := func(id string) {
		m.enforce(own{row: revokedToken(revoke.Token{Issuer: "i", ID: id}).row, written: true})
	}
	for i := range 2 * limit {
		write(fmt.Sprint(i))
	}
	if n := len(m.overlay); n != limit {
		t.Errorf("%d are kept, want %d", n, limit)
	}
	m.begin()
	write("during a read")
	if _, kept := m.overlay[revoke.ScopeToken.Key("i", "during a read")]; !kept {
		t.Error("a write is not kept during a read")
	}
}

// If reads fail for longer than the bound, the table, which no check reads then, does not grow.
func TestOwnWritesWithoutPolls(t *testing.T) {
	t.Parallel()
	m, clock := newMirror(t)
	update(t, m, complete())
	m.enforce(own{row: tokenRow("a"), written: true})
	clock.advance(m.bound + 1)
	m.enforce(own{row: tokenRow("b"), written: true})
	if n := m.Stats().Entries; n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	update(t, m, difference(tokenRow("a"), tokenRow("b")))
	refuses(t, m, tokenOf("a"), revoke.ScopeToken)
	refuses(t, m, tokenOf("b"), revoke.ScopeToken)
}

// The wall clock jumps ahead and back around a write. The memory that answers after
// that has the write.
func TestOwnWriteWhileTheWallClockIsAhead(t *testing.T) {
	t.Parallel()
	m, clock := newMirror(t)
	update(t, m, complete())
	clock.wall.Add(int64(time.Hour))
	testkit.Must(t, m.Store().RevokeToken(t.Context(), tokenOf("a")))
	clock.wall.Add(-int64(time.Hour))
	refuses(t, m, tokenOf("a"), revoke.ScopeToken)
}

// loseWrites makes the database lose what is written with the reason "lost" when it commits: the
// write is acknowledged, as before a failover that loses the commit.
func loseWrites(tb testing.TB, pool *pgxpool.Pool) {
	tb.Helper()
	testkit.Exec(tb, pool, `CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN DELETE FROM revoke.revocations WHERE key = NEW.key; RETURN NULL; END'`)
	testkit.Exec(tb, pool, `CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON revoke.revocations DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW WHEN (NEW.reason = 'lost') EXECUTE FUNCTION lose()`)
}

// A revocation that was acknowledged and is lost is reported once. Then memory answers
// again, as Postgres does.
func TestLostRevocation(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	hook := newRecorder()
	store := openStore(t, address, revoke.WithHook(hook))
	loseWrites(t, store.Pool())
	m := run(t, store)
	if event := next(t, hook.mirrors); event.Err != nil {
		t.Fatalf("first event: %+v", event)
	}
	kept, lost := testkit.Token(), testkit.Token()
	testkit.Must(t, m.Store().RevokeToken(ctx, kept))
	testkit.Must(t, m.Store().RevokeToken(ctx, lost, revoke.WithReason("lost")))
	if event := next(t, hook.mirrors); !errors.Is(event.Err, errUnshown) {
		t.Fatalf("second event: %+v", event)
	}
	if event := next(t, hook.mirrors); event.Err != nil || event.Entries != 1 {
		t.Fatalf("third event: %+v", event)
	}
	testkit.Must(t, m.Sync(ctx))
	testkit.Must(t, m.Health(ctx))
	accepts(t, m, lost)
	refuses(t, m, kept, revoke.ScopeToken)
	testkit.Must(t, m.store.Check(ctx, lost))
}

// A mirror with a connection to another database finds it out by the first write of its
// process.
func TestConnStringOfAnotherDatabase(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	address := pgserver.Database(t)
	other := openStore(t, address)
	m := run(t, openStore(t, address), WithConnString(pgserver.Database(t)))
	elsewhere, own := testkit.Token(), testkit.Token()
	testkit.Must(t, other.RevokeToken(ctx, elsewhere))
	testkit.Must(t, m.Sync(ctx))
	accepts(t, m, elsewhere) // it is beyond what the mirror can see
	testkit.Must(t, m.Store().RevokeToken(ctx, own))
	testkit.Eventually(t, "Health says why", func() bool {
		err := m.Health(ctx)
		return err != nil && strings.Contains(err.Error(), errUnshown.Error())
	})
	before := m.Stats().Fallbacks
	testkit.WantError(t, m.Check(ctx, own), revoke.ErrRevoked)
	testkit.WantError(t, m.Check(ctx, elsewhere), revoke.ErrRevoked)
	if n := m.Stats().Fallbacks - before; n != 2 {
		t.Errorf("%d of 2 checks asked Postgres", n)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.overlay) != 1 {
		t.Errorf("the overlay has %v", m.overlay)
	}
}

// The store is asked for what the last read should have shown. What it does not know is
// forgotten.
func TestForgetLost(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	m, _ := newMirror(t)
	kept, lost := testkit.Token(), testkit.Token()
	testkit.Must(t, m.Store().RevokeToken(ctx, kept))
	m.enforce(own{row: revokedToken(lost).row, written: true})
	for range partRows { // more than fit into one question
		m.enforce(own{row: revokedToken(testkit.Token()).row, written: true})
	}
	m.begin() // a read that shows none of them
	m.enforce(own{row: tokenRow("later"), written: true})
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if none, err := m.forgetLost(ended); none || err == nil || len(m.overlay) != partRows+3 {
		t.Errorf("without an answer: %v, %v, and %d are left", none, err, len(m.overlay))
	}
	if none, err := m.forgetLost(ctx); none || err != nil || len(m.overlay) != 2 {
		t.Errorf("one is known: %v, %v, and %d are left", none, err, len(m.overlay))
	}
	testkit.Exec(t, m.store.Pool(), "DELETE FROM revoke.revocations WHERE scope = 'token'")
	if none, err := m.forgetLost(ctx); !none || err != nil || len(m.overlay) != 1 {
		t.Errorf("none is known: %v, %v, and %d are left", none, err, len(m.overlay))
	}
}
