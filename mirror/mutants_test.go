package mirror_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutants are the mirror with one hole each, and the test that has to find it.
var mutants = map[string]struct{ file, old, mutant, test string }{
	"the mark is taken at the end of the poll": {
		"run.go", "&mark{at: at,", "&mark{at: m.clock(),", "TestMarkIsTakenBeforeThePoll",
	},
	"a partial poll counts": {
		"run.go", "\tif err != nil {\n\t\treturn err\n\t}\n\tm.mu.Lock()\n\tdefer m.mu.Unlock()\n\tm.polls.Add(1)",
		"\tm.mu.Lock()\n\tdefer m.mu.Unlock()\n\tm.polls.Add(1)\n\t_ = err", "TestPartialPollMovesNothing",
	},
	"a load drops what was revoked meanwhile": {
		"run.go", "if l.began >= number { // the snapshot may be older", "if l.began > number { // the snapshot may be older",
		"TestReloadKeepsOwnRevocations",
	},
	"what was under way is passed over": {
		"feed.go", "OR xid = ANY (($2::text[])::xid8[])", "OR $2::text[] IS NULL", "TestLateCommit",
	},
	"a new session goes on with the old watermark": {
		"run.go", "if err := m.load(ctx, source.load); err != nil {",
		"if m.loads.Load() > 0 {\n\t\tsource.(*exactFeed).xmax = \"0\"\n\t} else if err := m.load(ctx, source.load); err != nil {",
		"TestNewSessionLoads",
	},
	"the wall clock is not looked at": {
		"mirror.go", "return monotonic <= int64(bound) && wall <= int64(bound) && wall >= -int64(bound)",
		"_ = wall\n\treturn monotonic <= int64(bound)", "TestClocks",
	},
	"the other clock is not looked at": {
		"mirror.go", "return monotonic <= int64(bound) && wall", "_ = monotonic\n\treturn wall", "TestClocks",
	},
	"the age of the mark is not looked at": {
		"mirror.go", "if !now.within(mark.at, m.bound) {\n\t\treturn m.ask(ctx, token)\n\t}", "", "TestSilentDeath",
	},
	"what was dropped is taken for not revoked": {
		"mirror.go", "token.ExpiresAt.UnixMicro() < m.cutoff.Load()", "m.cutoff.Load() < 0", "TestDroppedEntriesAreNotForgotten",
	},
	"another session's answer is taken": {
		"feed.go", `case whose != s.nonce+"false":`, `case whose == "":`, "TestAnotherSession",
	},
	"a standby's answer is taken": {
		"feed.go", `case strings.HasSuffix(whose, "true"):`, `case whose == "":`, "TestOnStandby",
	},
	"own revocations wait for the poll": {
		"run.go", "\tfor _, e := range entries {\n\t\tm.put(e)\n", "\tfor _, e := range entries {\n", "TestOwnWrites",
	},
	"a rolled back transaction counts": {
		"store.go", "if err == nil && len(done) > 0 {", "if len(done) > 0 {", "TestOwnWrites",
	},
	"too many entries are left out in silence": {
		"run.go", "\t\tif m.table.Load().used > m.maxEntries {\n\t\t\treturn errTooMany\n\t\t}\n", "", "TestTooMany",
	},
	"a number that a row brings along is believed": {
		"../migrations/00001_revocations.sql", "ALTER TABLE revoke.revoked_tokens ENABLE ALWAYS TRIGGER set_xid;", "", "TestRowsWithOldNumbers",
	},
}

// TestMutantsAreCaught opens each hole in turn and runs the test that has to fail then.
func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	directory, err := os.Getwd()
	must(t, err)
	limit := make(chan struct{}, 2)
	for hole, m := range mutants {
		t.Run(hole, func(t *testing.T) {
			t.Parallel()
			limit <- struct{}{}
			defer func() { <-limit }()
			original := filepath.Join(directory, m.file)
			source, err := os.ReadFile(original)
			must(t, err)
			if strings.Count(string(source), m.old) != 1 {
				t.Fatalf("%s has %d places like %q", m.file, strings.Count(string(source), m.old), m.old)
			}
			mutant := filepath.Join(t.TempDir(), filepath.Base(m.file))
			must(t, os.WriteFile(mutant, []byte(strings.Replace(string(source), m.old, m.mutant, 1)), 0o600))
			overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutant}})
			must(t, err)
			overlayFile := filepath.Join(t.TempDir(), "overlay.json")
			must(t, os.WriteFile(overlayFile, overlay, 0o600))
			// A database that is slow to notice is no catch: only a test that ran and failed is.
			command := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-vet=off", "-timeout=120s", "-overlay", overlayFile, "-run", "^"+m.test+"$", ".")
			output, err := command.CombinedOutput()
			if err == nil || !strings.Contains(string(output), "--- FAIL: "+m.test) {
				t.Errorf("%s does not notice: %v\n%s", m.test, err, output)
			}
		})
	}
}
