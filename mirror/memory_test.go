package mirror

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
)

// readAll loads all rows of the mirror's database in a session that ends with the test.
func readAll(t *testing.T, m *Mirror) feed {
	t.Helper()
	s, err := m.connect(t.Context())
	must(t, err)
	t.Cleanup(s.close)
	source, err := s.probe(t.Context())
	must(t, err)
	must(t, m.load(t.Context(), source.load))
	return source
}

// refusesFromMemory expects a check to refuse, without asking Postgres.
func refusesFromMemory(t *testing.T, m *Mirror, token revoke.Token) {
	t.Helper()
	before := m.fallbacks.Load()
	if err := m.Check(t.Context(), token); !errors.Is(err, revoke.ErrRevoked) || m.fallbacks.Load() != before {
		t.Errorf("Check = %v, and %d checks asked Postgres", err, m.fallbacks.Load()-before)
	}
}

// TestEpochsOfLongAgo sets an epoch that lies further back than any token lives, and lets the table be compacted: what the
// instant says is no measure of how long its row counts.
func TestEpochsOfLongAgo(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	token := tokenOf("a")
	token.Epochs = &revoke.Epochs{}
	must(t, m.store.RevokeUserBefore(t.Context(), revoke.User{Issuer: "i", Subject: "s"}, time.Now().Add(-2*revoke.MaxTokenLifetime)))
	if err := m.store.Check(t.Context(), token); !errors.Is(err, revoke.ErrRevoked) {
		t.Fatalf("Postgres says %v, so this proves nothing", err)
	}
	readAll(t, m)
	refusesFromMemory(t, m, token)
	m.mu.Lock()
	m.compact(m.clockRead)
	m.mu.Unlock()
	refusesFromMemory(t, m, token)
}

// TestSlowLoadLeavesOutOnlyWhatItSays loads for so long that rows expire meanwhile. Whatever was left out for its age lies
// before the cutoff, so that it is not taken for what was never there.
func TestSlowLoadLeavesOutOnlyWhatItSays(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	must(t, m.store.RevokeToken(t.Context(), tokenOf("a")))
	for _, sql := range []string{
		"ALTER TABLE revoke.revoked_tokens RENAME TO kept",
		"CREATE VIEW revoke.revoked_tokens AS SELECT kept.* FROM (SELECT pg_sleep(0.5) OFFSET 0) AS slow, revoke.kept",
		`INSERT INTO revoke.sessions (key, issuer, sid, revoked_at, expires_at)
			VALUES (gen_random_uuid(), 'i', 'b', now(), clock_timestamp() - interval '1 hour' + interval '300 ms')`,
	} {
		_, err := m.store.Pool().Exec(t.Context(), sql)
		must(t, err)
	}
	var expires time.Time
	must(t, m.store.Pool().QueryRow(t.Context(), "SELECT expires_at FROM revoke.sessions").Scan(&expires))
	readAll(t, m)
	if _, found := m.table.Load().get(m.hash.session(m.hash.issuer("i"), "b")); !found && m.cutoff.Load() <= expires.UnixMicro() {
		t.Errorf("a row is left out that expired %v after the cutoff", time.Duration(expires.UnixMicro()-m.cutoff.Load())*time.Microsecond)
	}
}

// TestLoadByAClockThatRanAhead leaves rows out of a load by a clock of the database's that ran two days ahead, and sets it
// back.
func TestLoadByAClockThatRanAhead(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	must(t, m.store.RevokeToken(t.Context(), tokenOf("a")))
	must(t, m.load(t.Context(), func(context.Context, func(row)) (time.Time, error) {
		return time.Now().Add(48 * time.Hour), nil // by which the token has long expired
	}))
	must(t, m.poll(t.Context(), nothing))
	if err := m.Check(t.Context(), tokenOf("a")); !errors.Is(err, revoke.ErrRevoked) || m.fallbacks.Load() != 1 {
		t.Errorf("Check = %v, and %d checks asked Postgres", err, m.fallbacks.Load())
	}
}

// TestLookupAfterTheMark has a load end in the middle of a check. The check began with an old mark, so what was in memory
// then does not count, and the new mark says nothing about it.
func TestLookupAfterTheMark(t *testing.T) {
	t.Parallel()
	m, clock := newMirror(t)
	must(t, m.load(t.Context(), nothing.load))
	must(t, m.store.RevokeToken(t.Context(), tokenOf("a")))
	clock.advance(m.bound + 1)
	m.clock = func() instant { // between what a check reads first and what it reads last
		m.clock = clock.now
		must(t, m.load(t.Context(), fakeFeed(func(apply func(row)) error { apply(tokenRow("a")); return nil }).load))
		return clock.now()
	}
	if err := m.Check(t.Context(), tokenOf("a")); !errors.Is(err, revoke.ErrRevoked) {
		t.Errorf("Check = %v", err)
	}
}

// TestTableInTheMiddleOfACheck drops entries in the middle of a check that has its mark already: it finds the entry in the
// table that it looks into, or sees that this table leaves such entries out.
func TestTableInTheMiddleOfACheck(t *testing.T) {
	t.Parallel()
	m, clock := newMirror(t)
	must(t, m.store.RevokeToken(t.Context(), tokenOf("b")))
	must(t, m.load(t.Context(), fakeFeed(func(apply func(row)) error { apply(tokenRow("b")); return nil }).load))
	m.clock = func() instant {
		m.clock = clock.now
		m.mu.Lock()
		m.compact(time.Now().Add(48 * time.Hour))
		m.mu.Unlock()
		return clock.now()
	}
	if err := m.Check(t.Context(), tokenOf("b")); !errors.Is(err, revoke.ErrRevoked) {
		t.Errorf("Check = %v", err)
	}
}

// TestOwnRevocationsAreNotHoarded revokes while no read is under way, and where nothing has been loaded: then nothing is
// kept beside the table, for however long there is no database.
func TestOwnRevocationsAreNotHoarded(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	own := func(id string) { m.enforce(writer{hash: m.hash}.tokenEntry(tokenOf(id))) }
	own("a")
	if n := m.Stats().Entries; n != 0 || len(m.recent) != 0 {
		t.Errorf("before the first load %d entries and %d beside them are kept", n, len(m.recent))
	}
	broken := errors.New("the connection is gone")
	for _, read := range []fakeFeed{nothing, func(func(row)) error { own("b"); return broken }} {
		if err := m.load(t.Context(), read.load); err != nil && !errors.Is(err, broken) {
			t.Fatal(err)
		}
		own("c")
		if len(m.recent) != 0 {
			t.Errorf("%d revocations are kept beside the table", len(m.recent))
		}
		refusesFromMemory(t, m, tokenOf("c"))
	}
	refusesFromMemory(t, m, tokenOf("b"))
}

// TestOwnRevocationsWithoutPolls revokes while polls fail, for longer than the bound: nobody looks into the memory then, and
// it does not grow. What was revoked in the middle of the next poll is in it all the same.
func TestOwnRevocationsWithoutPolls(t *testing.T) {
	t.Parallel()
	m, clock := newMirror(t)
	must(t, m.load(t.Context(), nothing.load))
	own := func(id string) { m.enforce(writer{hash: m.hash}.tokenEntry(tokenOf(id))) }
	own("a")
	clock.advance(m.bound + 1)
	own("b")
	if n := m.Stats().Entries; n != 1 {
		t.Errorf("%d entries are kept, want 1", n)
	}
	must(t, m.poll(t.Context(), fakeFeed(func(func(row)) error { own("c"); return nil })))
	refusesFromMemory(t, m, tokenOf("a"))
	refusesFromMemory(t, m, tokenOf("c"))
}

// TestLoadTellsTheTimeItUsed has a row tell by which time a load leaves rows out. If the load told a time of its own, a clock
// that is set back in between would leave out more than it says.
func TestLoadTellsTheTimeItUsed(t *testing.T) {
	t.Parallel()
	m, _ := newMirror(t)
	for _, sql := range []string{
		"ALTER TABLE revoke.revoked_tokens RENAME TO kept",
		"CREATE VIEW revoke.revoked_tokens AS SELECT '7'::xid8 AS xid, 'i' AS issuer, 'a' AS jti, statement_timestamp() AS expires_at",
	} {
		_, err := m.store.Pool().Exec(t.Context(), sql)
		must(t, err)
	}
	s, err := m.connect(t.Context())
	must(t, err)
	defer s.close()
	for name, sql := range map[string]string{"exact": s.sql.loadExact, "whole": s.sql.loadWhole} {
		var used int64
		_, told, err := s.read(t.Context(), func(r row) { used = r.at }, sql)
		must(t, err)
		if used != told.UnixMicro() {
			t.Errorf("%s: the time that is told is %d µs later", name, told.UnixMicro()-used)
		}
	}
}
