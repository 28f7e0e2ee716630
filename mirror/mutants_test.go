package mirror_test

import (
	"testing"

	"github.com/pgrevoke/revoke/internal/mutation"
)

// mutants are the mirror with one hole each, and the tests that have to find it.
var mutants = map[string]mutation.Mutant{
	"the first poll waits": {
		File: "run.go", Tests: "TestPollAfterLoad",
		Edits: []string{"if !first || source.whole() {", "if _ = first; true {"},
	},
	"the lookup comes before the mark": {
		File: "mirror.go", Tests: "TestLookupAfterTheMark",
		Edits: []string{
			"\tmark := m.mark.Load() // before the lookup, so that it says what the lookup sees at least\n",
			"\ttable := m.table.Load()\n\tnow := m.clock()\n\tmark := m.mark.Load()\n",
			"\tnow := m.clock()\n\tif !now.within",
			"\tif !now.within",
			"\ttable := m.table.Load()\n\tif token.ExpiresAt",
			"\tif token.ExpiresAt",
		},
	},
	"the mark is taken at the end of the poll": {
		File: "run.go", Tests: "TestMarkIsTakenBeforeThePoll",
		Edits: []string{
			"&mark{at: at,",
			"&mark{at: m.clock(),",
		},
	},
	"a partial poll counts": {
		File: "run.go", Tests: "TestPartialPollMovesNothing",
		Edits: []string{
			"\tif err != nil {\n\t\treturn err\n\t}\n\tm.polls.Add(1)",
			"\t_ = err\n\tm.polls.Add(1)",
		},
	},
	"a load drops what was revoked meanwhile": {
		File: "run.go", Tests: "TestReloadKeepsOwnRevocations",
		Edits: []string{
			"\tm.reading = true\n",
			"\tm.reading = false\n",
		},
	},
	"a poll after a while without drops what was revoked meanwhile": {
		File: "run.go", Tests: "TestOwnRevocationsWithoutPolls",
		Edits: []string{
			"\tm.polls.Add(1)\n\tfor _, e := range m.recent {",
			"\tm.polls.Add(1)\n\tfor _, e := range m.recent[:0] {",
		},
	},
	"two run at once": {
		File: "run.go", Tests: "TestOneRun",
		Edits: []string{
			"if !m.running.CompareAndSwap(false, true) {",
			"if m.running.Store(true); false {",
		},
	},
	"a load tells another time than it used": {
		File: "feed.go", Tests: "TestLoadTellsTheTimeItUsed",
		Edits: []string{
			"pg_is_in_recovery()::text, statement_timestamp()",
			"pg_is_in_recovery()::text, clock_timestamp()",
		},
	},
	"a standby is promoted in the middle of a load": {
		File: "feed.go", Tests: "TestPromotedInTheMiddle",
		Edits: []string{
			"case standby:",
			"case standby && snapshot == \"\":",
		},
	},
	"what was under way is passed over": {
		File: "feed.go", Tests: "TestLateCommit TestPreparedTransaction TestSavepointsAndRollbacks",
		Edits: []string{
			"OR xid = ANY (($2::text[])::xid8[])",
			"OR $2::text[] IS NULL",
		},
	},
	"a new session is not loaded": {
		File: "run.go", Tests: "TestNewSessionLoads",
		Edits: []string{
			"if err := m.load(ctx, source.load); err != nil {",
			"if m.loads.Load() > 0 {\n\t\tsource.(*exactFeed).xmax = \"0\"\n\t} else if err := m.load(ctx, source.load); err != nil {",
		},
	},
	"a new session goes on with the old watermark": {
		File: "run.go", Tests: "TestFailover",
		Edits: []string{
			"if err := m.load(ctx, source.load); err != nil {",
			"exact := source.(*exactFeed)\n\tdefer func() { kept = exact }()\n\tif kept != nil {\n\t\texact.xmax, exact.xip = kept.xmax, kept.xip\n\t} else if err := m.load(ctx, source.load); err != nil {",
			"// rest waits for",
			"var kept *exactFeed\n\n// rest waits for",
		},
	},
	"the wall clock is not looked at": {
		File: "mirror.go", Tests: "TestClocks",
		Edits: []string{
			"return monotonic <= int64(bound) && wall <= int64(bound) && wall >= -int64(bound)",
			"_ = wall\n\treturn monotonic <= int64(bound)",
		},
	},
	"the other clock is not looked at": {
		File: "mirror.go", Tests: "TestClocks",
		Edits: []string{
			"return monotonic <= int64(bound) && wall",
			"_ = monotonic\n\treturn wall",
		},
	},
	"the age of the mark is not looked at": {
		File: "mirror.go", Tests: "TestSilentDeath TestStopped",
		Edits: []string{
			"if !now.within(mark.at, m.bound) {\n\t\treturn m.ask(ctx, token)\n\t}",
			"",
		},
	},
	"a session that has fallen silent is waited for": {
		File: "run.go", Tests: "TestSilentDeath",
		Edits: []string{
			"ctx, cancel := context.WithTimeout(ctx, max(m.bound, announceTimeout))",
			"ctx, cancel := context.WithCancel(ctx)",
		},
	},
	"what was dropped is taken for not revoked": {
		File: "mirror.go", Tests: "TestDroppedEntriesAreNotForgotten TestTableInTheMiddleOfACheck",
		Edits: []string{
			"token.ExpiresAt.UnixMicro() < m.cutoff.Load()",
			"m.cutoff.Load() < 0",
		},
	},
	"what is dropped is known only before it is": {
		File: "mirror.go", Tests: "TestTableInTheMiddleOfACheck",
		Edits: []string{
			"\tmark := m.mark.Load() // before the lookup",
			"\tcutoff := m.cutoff.Load()\n\tmark := m.mark.Load() // before the lookup",
			"token.ExpiresAt.UnixMicro() < m.cutoff.Load()",
			"token.ExpiresAt.UnixMicro() < cutoff",
		},
	},
	"a load drops without a word": {
		File: "run.go", Tests: "TestLoadByAClockThatRanAhead",
		Edits: []string{
			"\tm.raiseCutoff(clock)\n",
			"",
		},
	},
	"a load drops by a later clock than it tells": {
		File: "feed.go", Tests: "TestSlowLoadLeavesOutOnlyWhatItSays",
		Edits: []string{
			"expires_at > statement_timestamp() -",
			"expires_at > (SELECT clock_timestamp()) -",
		},
	},
	"an epoch is dropped by its instant": {
		File: "table.go", Tests: "TestEpochsOfLongAgo",
		Edits: []string{
			"return !e.epoch && e.value < limit",
			"return e.value < limit",
		},
	},
	"another session's answer is taken": {
		File: "feed.go", Tests: "TestAnotherSession",
		Edits: []string{
			`case whose != s.nonce+"false":`,
			`case whose == "":`,
		},
	},
	"a standby's answer is taken": {
		File: "feed.go", Tests: "TestOnStandby TestPromotedInTheMiddle",
		Edits: []string{
			`case strings.HasSuffix(whose, "true"):`,
			`case whose == "":`,
			"case standby:",
			"case standby && snapshot == \"\":",
		},
	},
	"own revocations wait for the poll": {
		File: "run.go", Tests: "TestOwnWrites",
		Edits: []string{
			"\t\t\tm.put(e)\n",
			"\t\t\t_ = e\n",
		},
	},
	"a rolled back transaction counts": {
		File: "store.go", Tests: "TestOwnWrites",
		Edits: []string{
			"if err == nil && len(done) > 0 {",
			"if len(done) > 0 {",
		},
	},
	"too many entries are left out in silence": {
		File: "run.go", Tests: "TestTooMany",
		Edits: []string{
			"\t\tif m.table.Load().used > m.maxEntries {\n\t\t\treturn errTooMany\n\t\t}\n",
			"",
		},
	},
	"too many entries are not noticed at the start": {
		File: "run.go", Tests: "TestTooManyAtTheStart",
		Edits: []string{
			"\t\t\ttooMany = true\n\t\t\tcancel() // the rest need not be sent\n",
			"",
		},
	},
	"a notification in the middle of a poll is lost": {
		File: "run.go", Tests: "TestNotificationDuringAPoll",
		Edits: []string{
			"if !s.notified {",
			"{",
		},
	},
	"a call to poll in the middle of a poll is lost": {
		File: "run.go", Tests: "TestSyncDuringAPoll",
		Edits: []string{
			"if m.pending {",
			"if false {",
		},
	},
	"a number that a row brings along is believed": {
		File: "../migrations/00001_revocations.sql", Tests: "TestRowsWithOldNumbers",
		Edits: []string{
			"ON revoke.revoked_tokens FOR EACH ROW EXECUTE",
			"ON revoke.revoked_tokens FOR EACH ROW WHEN (NEW.xid IS NULL) EXECUTE",
		},
	},
	"the number is believed that replication brings along with a token": {
		File: "../migrations/00001_revocations.sql", Tests: "TestRowsWithOldNumbers",
		Edits: []string{"ALTER TABLE revoke.revoked_tokens ENABLE ALWAYS TRIGGER set_xid;", ""},
	},
	"the number is believed that replication brings along with a session": {
		File: "../migrations/00001_revocations.sql", Tests: "TestRowsWithOldNumbers",
		Edits: []string{"ALTER TABLE revoke.sessions       ENABLE ALWAYS TRIGGER set_xid;", ""},
	},
	"the number is believed that replication brings along with an epoch": {
		File: "../migrations/00001_revocations.sql", Tests: "TestRowsWithOldNumbers",
		Edits: []string{"ALTER TABLE revoke.user_epochs    ENABLE ALWAYS TRIGGER set_xid;", ""},
	},
}

// TestMutantsAreCaught opens each hole in turn.
func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	mutation.Run(t, mutants)
}
