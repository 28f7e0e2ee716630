package mirror_test

import (
	"testing"

	"github.com/pgrevoke/revoke/internal/mutation"
)

// mutants are the mirror with one mistake each, and the tests that have to find it.
var mutants = map[string]mutation.Mutant{
	"of many tokens, the store's answer is another token's": {
		File: "mirror.go", Tests: "TestCheckEach",
		Edits: []string{"errs[rest[i]] = err", "errs[i] = err"},
	},
	"of many tokens, memory's answer is not given": {
		File: "mirror.go", Tests: "TestCheckEach",
		Edits: []string{"if errs[i] = err; !answered {", "if _ = err; !answered {"},
	},
	"of many tokens, all are asked for": {
		File: "mirror.go", Tests: "TestCheckEach",
		Edits: []string{"			rest = append(rest, i)\n			continue\n		}\n", "		}\n		rest = append(rest, i)\n"},
	},
	"the first poll after a load waits": {
		File: "poll.go", Tests: "TestPollFollowsALoadAtOnce",
		Edits: []string{
			"if a.complete && a.exact {",
			"if a.complete && !a.exact {",
		},
	},
	"the lookup comes before the mark": {
		File: "mirror.go", Tests: "TestLookupAfterTheMark",
		Edits: []string{
			"stands for.\n\tmark := m.mark.Load()\n",
			"stands for.\n\ttable := m.table.Load()\n\tnow := m.clock()\n\tmark := m.mark.Load()\n",
			"\tnow := m.clock()\n\tif !now.within",
			"\tif !now.within",
			"\ttable := m.table.Load()\n\t// After",
			"\t// After",
		},
	},
	"the mark is taken at the end of the read": {
		File: "poll.go", Tests: "TestMarkIsTakenBeforeTheRead",
		Edits: []string{
			"&mark{at: at,",
			"&mark{at: m.clock(),",
		},
	},
	"the least clock counts from the sending of the answer's question": {
		File: "poll.go", Tests: "TestLeastClock",
		Edits: []string{"arrived: arrived.monotonic", "arrived: at.monotonic"},
	},
	"the least clock runs as fast as the one here": {
		File: "clock.go", Tests: "TestLeastClock TestLeastClockIsNoLater",
		Edits: []string{"passed - passed/4", "passed"},
	},
	"the least clock outlives its session": {
		File: "poll.go", Tests: "TestLeastClockEndsWithItsSession TestFollowForgetsTheClock",
		Edits: []string{"m.mark.Store(mark.withoutSession())", "_ = mark.withoutSession()"},
	},
	"memory judges a token that is ahead": {
		File: "mirror.go", Tests: "TestLeastClock TestAheadIsAskedOfPostgres",
		Edits: []string{"if v.Ahead(least) {", "if false {"},
	},
	"the clock is taken for what it may be at most": {
		File: "mirror.go", Tests: "TestLeastClock",
		Edits: []string{"if v.Ahead(least) {", "if v.Ahead(now.after(mark.offset)) {"},
	},
	"a wall clock that was set back makes tokens ahead": {
		File: "mirror.go", Tests: "TestLeastClock",
		Edits: []string{"if clock.Before(least) {", "if false {"},
	},
	"a partial poll counts": {
		File: "poll.go", Tests: "TestPartialPollMovesNothing",
		Edits: []string{
			"\tif err != nil {\n\t\treturn err\n\t}\n\tif err := m.settle(number, clock); err != nil {\n\t\treturn err\n\t}\n\tfor _, r := range m.overlay { // the snapshot may be older than these\n\t\tm.writable()",
			"\t_ = err\n\tif err := m.settle(number, clock); err != nil {\n\t\treturn err\n\t}\n\tfor _, r := range m.overlay { // the snapshot may be older than these\n\t\tm.writable()",
		},
	},
	"two run at once": {
		File: "poll.go", Tests: "TestOneRun",
		Edits: []string{
			"if !m.running.CompareAndSwap(false, true) {",
			"if m.running.Store(true); false {",
		},
	},
	"a new session is not loaded": {
		File: "poll.go", Tests: "TestNewSessionLoads",
		Edits: []string{
			"\t\ta := source.next()\n",
			"\t\tif f, ok := source.(*exactFeed); ok && f.xmax == \"\" && m.loads.Load() > 0 {\n\t\t\tf.xmax = \"0\"\n\t\t}\n\t\ta := source.next()\n",
		},
	},
	"a new session goes on with the old snapshot": {
		File: "poll.go", Tests: "TestFailover",
		Edits: []string{
			"\tfor ; ; answers++ {\n",
			"\texact := source.(*exactFeed)\n\tdefer func() { kept = exact }()\n\tif kept != nil {\n\t\texact.xmax, exact.xip = kept.xmax, kept.xip\n\t}\n\tfor ; ; answers++ {\n",
			"// forgetSession notes",
			"var kept *exactFeed\n\n// forgetSession notes",
		},
	},
	"the memory is not given up with an entry too many at a poll": {
		File: "poll.go", Tests: "TestTooMany",
		Edits: []string{
			"\t\tif m.table.Load().used > m.maxEntries {\n\t\t\treturn errTooMany\n\t\t}\n",
			"",
		},
	},
	"the memory is not given up with an entry too many at a load": {
		File: "poll.go", Tests: "TestTooMany",
		Edits: []string{
			"\t\tif fresh.used > m.maxEntries {\n\t\t\treturn errTooMany\n\t\t}\n",
			"",
		},
	},
	"too many rows are read again at once": {
		File: "poll.go", Tests: "TestTooManyAreNotReadAgainAtOnce",
		Edits: []string{
			"case errors.Is(err, errTooMany):\n\t\t\twait = farBackoff",
			"case errors.Is(err, errTooMany):",
		},
	},
	"a load drops rows in silence": {
		File: "poll.go", Tests: "TestDroppedEntriesAreNotForgotten",
		Edits: []string{
			"\tm.raiseCutoff(clock)\n\tm.table.Store(fresh)",
			"\tm.table.Store(fresh)",
		},
	},
	"a poll without rows wakes watchers": {
		File: "poll.go", Tests: "TestChanged",
		Edits: []string{
			"\tif news {\n",
			"\tif news || true {\n",
		},
	},
	"a complete poll without a new row wakes watchers": {
		File: "poll.go", Tests: "TestChanged",
		Edits: []string{
			"\tif news || !m.loaded {\n",
			"\tif news || m.loaded {\n",
		},
	},
	"a poll with rows does not wake watchers": {
		File: "poll.go", Tests: "TestChanged TestChangedFromElsewhere",
		Edits: []string{
			"\t\tnews = true\n\t\treturn m.checkSize",
			"\t\treturn m.checkSize",
		},
	},
	"hooks are not told of an error": {
		File: "poll.go", Tests: "TestHooks",
		Edits: []string{
			"\t\tm.tellHooks(ctx, err)\n",
			"",
		},
	},
	"hooks are not told of a load": {
		File: "poll.go", Tests: "TestHooks",
		Edits: []string{
			"\t\t\tm.tellHooks(ctx, nil)\n",
			"",
		},
	},
	"a load drops own writes that it cannot show yet": {
		File: "poll.go", Tests: "TestReadsKeepOwnWrites",
		Edits: []string{
			"\t\tfresh = add(fresh, m.entryOf(r.row))\n",
			"\t\t_ = r\n",
		},
	},
	"a late poll leaves own writes out": {
		File: "poll.go", Tests: "TestReadsKeepOwnWrites",
		Edits: []string{
			"\t\tm.writable().put(m.entryOf(r.row))\n",
			"\t\t_ = r\n",
		},
	},
	"memory answers from the wrong server": {
		File: "poll.go", Tests: "TestUnshownWriteIsEvidence",
		Edits: []string{
			"\t\tm.mark.Store(nil)\n\t\tm.last = err\n",
			"\t\tm.last = err\n",
		},
	},
	"a read that should show a write is not compared": {
		File: "overlay.go", Tests: "TestUnshownWriteIsEvidence TestConnStringOfAnotherDatabase TestLostRevocation",
		Edits: []string{
			"\t\t\treturn errUnshown\n",
			"\t\t\tdelete(o, key)\n",
		},
	},
	"a read that was sent before a write is evidence": {
		File: "overlay.go", Tests: "TestReadsKeepOwnWrites",
		Edits: []string{
			"\t\tcase own.after >= number:\n",
			"\t\tcase own.after > number:\n",
		},
	},
	"an expired token is evidence": {
		File: "overlay.go", Tests: "TestUnshownWriteIsEvidence TestWayBackFromTheWrongServer",
		Edits: []string{
			"\to.prune(clock)\n",
			"\t_ = clock\n",
		},
	},
	"a repeat that wrote nothing is evidence": {
		File: "overlay.go", Tests: "TestUnshownWriteIsEvidence TestOwnWritesAreEnforcedAtOnce",
		Edits: []string{
			"if !repeat && (m.reading || hasRoom) {",
			"if _ = repeat; m.reading || hasRoom {",
		},
	},
	"a complete answer need not show a repeat": {
		File: "overlay.go", Tests: "TestReadsKeepOwnWrites",
		Edits: []string{
			"m.loaded && m.exact.Load() && !pending",
			"m.loaded && !pending",
		},
	},
	"a write that no read had to show yet is asked for": {
		File: "overlay.go", Tests: "TestForgetLost",
		Edits: []string{
			"if r.after < m.began {",
			"if r.after <= m.began {",
		},
	},
	"an older row shows a write": {
		File: "overlay.go", Tests: "TestUnshownWriteIsEvidence",
		Edits: []string{
			"if !found || r.at < own.least {",
			"if !found {\n\t\t_ = own",
		},
	},
	"a token that was found spent is evidence": {
		File: "overlay.go", Tests: "TestUnshownWriteIsEvidence TestLostRedemptionIsEnforcedAtOnce",
		Edits: []string{
			"case own.written:",
			"case own.written || true:",
		},
	},
	"a token that was found spent hides that its revocation is not shown": {
		File: "overlay.go", Tests: "TestUnshownWriteIsEvidence",
		Edits: []string{
			"\t\tr.after, r.written = old.after, old.written",
			"\t\tr.after = old.after",
		},
	},
	"what was lost is never forgotten": {
		File: "overlay.go", Tests: "TestForgetLost TestLostRevocation",
		Edits: []string{
			"\t\t\tdelete(m.overlay, key)\n",
			"\t\t\t_ = key\n",
		},
	},
	"what the store knows is forgotten": {
		File: "overlay.go", Tests: "TestForgetLost",
		Edits: []string{
			"found && at >= r.least {",
			"found && at >= r.least && false {",
		},
	},
	"the overlay grows without a session": {
		File: "overlay.go", Tests: "TestOverlayWithoutASessionIsBounded",
		Edits: []string{
			"\t\t\tm.overlay.prune(clock)\n",
			"",
		},
	},
	"the overlay has no limit": {
		File: "overlay.go", Tests: "TestOverlayHasALimit",
		Edits: []string{
			"if !repeat && (m.reading || hasRoom) {",
			"if _ = hasRoom; !repeat {",
		},
	},
	"a read keeps no write that has no room": {
		File: "overlay.go", Tests: "TestOverlayHasALimit",
		Edits: []string{
			"if !repeat && (m.reading || hasRoom) {",
			"if !repeat && hasRoom {",
		},
	},
	"the table grows without polls": {
		File: "overlay.go", Tests: "TestOwnWritesWithoutPolls TestOverlayWithoutASessionIsBounded",
		Edits: []string{
			"if mark := m.mark.Load(); mark != nil && now.monotonic-mark.at.monotonic <= int64(m.bound) {",
			"if true {",
		},
	},
	"own writes wait for the poll": {
		File: "overlay.go", Tests: "TestOwnWritesAreEnforcedAtOnce TestOwnTransactions",
		Edits: []string{
			"\t\tm.writable().put(e)\n",
			"\t\t_ = e\n",
		},
	},
	"own writes do not wake watchers": {
		File: "overlay.go", Tests: "TestChanged",
		Edits: []string{
			"\tm.tellWatchers()\n",
			"",
		},
	},
	"RevokeToken passes by the mirror": {
		File: "store.go", Tests: "TestOwnWritesAreEnforcedAtOnce",
		Edits: []string{
			"\terr := w.revoker.RevokeToken(ctx, token, opts...)\n\tif err == nil {",
			"\terr := w.revoker.RevokeToken(ctx, token, opts...)\n\tif false {",
		},
	},
	"RevokeTokens passes by the mirror": {
		File: "store.go", Tests: "TestOwnWritesAreEnforcedAtOnce",
		Edits: []string{
			"\t\t\tmade[i] = w.token(token)\n\t\t}\n\t\tw.made(made...)\n",
			"\t\t\tmade[i] = w.token(token)\n\t\t}\n",
		},
	},
	"RevokeSession passes by the mirror": {
		File: "store.go", Tests: "TestOwnWritesAreEnforcedAtOnce",
		Edits: []string{
			"\t\tw.made(revoked(revoke.ScopeSession, session.Issuer, session.ID, unknownExpiry))\n",
			"",
		},
	},
	"RevokeUser passes by the mirror": {
		File: "store.go", Tests: "TestOwnWritesAreEnforcedAtOnce",
		Edits: []string{
			"\t\tw.made(revoked(revoke.ScopeUser, user.Issuer, user.Subject, epochs.User))\n",
			"",
		},
	},
	"RevokeUsers passes by the mirror": {
		File: "store.go", Tests: "TestOwnWritesAreEnforcedAtOnce",
		Edits: []string{
			"\t\t\tmade[i] = revoked(revoke.ScopeUser, user.Issuer, user.Subject, epochs[i].User)\n\t\t}\n\t\tw.made(made...)\n",
			"\t\t\tmade[i] = revoked(revoke.ScopeUser, user.Issuer, user.Subject, epochs[i].User)\n\t\t}\n",
		},
	},
	"RevokeUsers enforces an older epoch": {
		File: "store.go", Tests: "TestOwnWritesAreEnforcedAtOnce",
		Edits: []string{
			"user.Subject, epochs[i].User)\n\t\t}",
			"user.Subject, epochs[i].Issuer)\n\t\t}",
		},
	},
	"a shared id is forgotten when the token has expired": {
		File: "store.go", Tests: "TestSharedIDs",
		Edits: []string{"if w.shared {", "if false {"},
	},
	"RevokeUserBefore rounds down": {
		File: "store.go", Tests: "TestOwnWritesAreEnforcedAtOnce",
		Edits: []string{
			"v.Epoch(t).UnixMicro()",
			"t.UnixMicro() + 0*v.Epoch(t).UnixMicro()",
		},
	},
	"RevokeIssuer passes by the mirror": {
		File: "store.go", Tests: "TestOwnWritesAreEnforcedAtOnce",
		Edits: []string{
			"\t\tw.made(revoked(revoke.ScopeIssuer, issuer, \"\", since.UnixMicro()))\n",
			"",
		},
	},
	"a lost redemption passes by the mirror": {
		File: "store.go", Tests: "TestLostRedemptionIsEnforcedAtOnce",
		Edits: []string{
			"if err == nil || errors.As(err, &spent) {",
			"if err == nil || errors.As(err, &spent) && false {",
		},
	},
	"a failed write is enforced": {
		File: "store.go", Tests: "TestFailedWritesAreNotEnforced",
		Edits: []string{
			"\terr := w.revoker.RevokeToken(ctx, token, opts...)\n\tif err == nil {",
			"\terr := w.revoker.RevokeToken(ctx, token, opts...)\n\tif true {",
		},
	},
	"a transaction that was rolled back counts": {
		File: "store.go", Tests: "TestOwnTransactions",
		Edits: []string{
			"if err == nil && len(made) > 0 {",
			"if len(made) > 0 {",
		},
	},
	"the wall clock is not looked at": {
		File: "clock.go", Tests: "TestClocks",
		Edits: []string{
			"return monotonic <= int64(bound) && wall <= int64(bound) && wall >= -int64(bound)",
			"_ = wall\n\treturn monotonic <= int64(bound)",
		},
	},
	"the monotonic clock is not looked at": {
		File: "clock.go", Tests: "TestClocks",
		Edits: []string{
			"return monotonic <= int64(bound) && wall",
			"_ = monotonic\n\treturn wall",
		},
	},
	"the age of the mark is not looked at": {
		File: "mirror.go", Tests: "TestSilentDeath TestStopped",
		Edits: []string{
			"\tif !now.within(mark.at, m.bound) {\n\t\treturn false, nil\n\t}\n\tvar v",
			"\tvar v",
		},
	},
	"what was dropped counts as not revoked": {
		File: "mirror.go", Tests: "TestDroppedEntriesAreNotForgotten TestTableInTheMiddleOfACheck",
		Edits: []string{
			"token.ExpiresAt.UnixMicro() <= m.cutoff.Load()",
			"m.cutoff.Load() < 0",
		},
	},
	"the cutoff is read before the table": {
		File: "mirror.go", Tests: "TestTableInTheMiddleOfACheck",
		Edits: []string{
			"stands for.\n\tmark := m.mark.Load()\n",
			"stands for.\n\tcutoff := m.cutoff.Load()\n\tmark := m.mark.Load()\n",
			"token.ExpiresAt.UnixMicro() <= m.cutoff.Load()",
			"token.ExpiresAt.UnixMicro() <= cutoff",
		},
	},
	"hooks are not told of a check from memory": {
		File: "mirror.go", Tests: "TestHooks",
		Edits: []string{
			"\n\tfor _, hook := range m.hooks.check {",
			"\n\tfor _, hook := range m.hooks.check[:0] {",
		},
	},
	"an epoch is dropped by its instant": {
		File: "table.go", Tests: "TestEpochsOfLongAgo",
		Edits: []string{
			"return !e.epoch && e.value < limit",
			"return e.value < limit",
		},
	},
	"fingerprints have no seed": {
		File: "table.go", Tests: "TestFingerprints",
		Edits: []string{
			"rand.Read(seed[:])",
			"rand.Read(seed[:0])",
			"return max(1, ",
			"return max(1, uint64(key[0])<<8|uint64(key[1])<<16|uint64(key[15])+",
		},
	},
	"half of a key is its fingerprint": {
		File: "table.go", Tests: "TestFingerprints",
		Edits: []string{"binary.LittleEndian.Uint64(key[8:])", "binary.LittleEndian.Uint64(key[:8])"},
	},
	"the filter is not told of an entry": {
		File: "table.go", Tests: "TestFilter TestTable TestOwnWritesAreEnforcedAtOnce TestWholeFeed",
		Edits: []string{"word.Store(word.Load() | filterBits(e.fingerprint))", "_ = word"},
	},
	"the filter forgets the entries before": {
		File: "table.go", Tests: "TestFilter",
		Edits: []string{"word.Store(word.Load() | filterBits", "word.Store(filterBits"},
	},
	"the filter is asked for other bits than it was told": {
		File: "table.go", Tests: "TestFilter TestOwnWritesAreEnforcedAtOnce",
		Edits: []string{"filterBits(f)&^words[i]", "filterBits(f>>1)&^words[i]"},
	},
	"the filter is asked in another word than it was told in": {
		File: "table.go", Tests: "TestFilter",
		Edits: []string{"words[i] = t.filter[f>>t.shift].Load()", "words[i] = t.filter[f>>t.shift>>1].Load()"},
	},
	"one bit is enough for the filter": {
		File: "table.go", Tests: "TestFilter",
		Edits: []string{"filterBits(f)&^words[i] == 0", "filterBits(f)&words[i] != 0"},
	},
	"a larger table has an empty filter": {
		File: "table.go", Tests: "TestFilter",
		Edits: []string{"\treturn other\n", "\tclear(other.filter)\n\treturn other\n"},
	},
	"a load keeps the filter of the table before": {
		File: "poll.go", Tests: "TestWholeFeed",
		Edits: []string{
			"\tm.table.Store(fresh)\n\tm.loads",
			"\tif len(old.filter) == len(fresh.filter) {\n\t\tfresh.filter = old.filter\n\t}\n\tm.table.Store(fresh)\n\tm.loads",
		},
	},
	"a scope of which a token says nothing is looked up": {
		File: "table.go", Tests: "TestAbsentScopesAreNotLookedUp TestFilter",
		Edits: []string{" == 0 && f != 0", " == 0"},
	},
	"an estimate of rows is believed": {
		File: "poll.go", Tests: "TestLoadIsSizedByAnEstimate",
		Edits: []string{"fresh = fresh.fitted()", "_ = fresh.fitted()"},
	},
	"an estimate of rows is not read": {
		File: "session.go", Tests: "TestLoadIsSizedByAnEstimate",
		Edits: []string{"rows, _ = strconv.Atoi(number)", "_, _ = strconv.Atoi(number)"},
	},
	"a row of an epoch is taken for a token's": {
		File: "feed_read.go", Tests: "TestEpochsOfLongAgo",
		Edits: []string{"epoch: since != nil}", "epoch: false}"},
	},
	"the expiry of a row is taken for its epoch": {
		File: "feed_read.go", Tests: "TestEpochIsReadFromTheDatabase",
		Edits: []string{"\t\tat = since\n", "\t\t_ = at\n"},
	},
	"a row of another form is read": {
		File: "feed_read.go", Tests: "TestAnswerInAnotherForm",
		Edits: []string{"if len(key) != len(rowKey{}) || len(at) != timeBytes {", "if false {"},
	},
	"a load tells another time than it used": {
		File: "feed.go", Tests: "TestLoadTellsTheTimeThatItUsed",
		Edits: []string{
			"timestamptz_send(pg_catalog.statement_timestamp())",
			"timestamptz_send(pg_catalog.clock_timestamp())",
		},
	},
	"a load leaves rows out by a later clock than it tells": {
		File: "feed.go", Tests: "TestSlowLoadLeavesOutOnlyWhatItSays",
		Edits: []string{
			"(SELECT pg_catalog.statement_timestamp() OPERATOR(pg_catalog.-)",
			"(SELECT pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-)",
		},
	},
	"what was under way is passed over": {
		File: "feed.go", Tests: "TestLateCommit TestPreparedTransaction TestSavepointsAndRollbacks TestLongTransaction",
		Edits: []string{
			"    OR xid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT x FROM pg_catalog.unnest(($2::pg_catalog.text)::pg_catalog.xid8[]) AS x\n" +
				"        WHERE pg_catalog.pg_visible_in_snapshot(x, pg_catalog.pg_current_snapshot()))))`",
			"    OR $2::pg_catalog.text IS NULL)`",
		},
	},
	"what is still under way is asked for": {
		File: "feed.go", Tests: "TestLongTransaction",
		Edits: []string{
			"\n        WHERE pg_catalog.pg_visible_in_snapshot(x, pg_catalog.pg_current_snapshot())",
			"",
		},
	},
	"restored rows are read by every poll": {
		File: "feed.go", Tests: "TestRestoredRows",
		Edits: []string{
			"        AND xid OPERATOR(pg_catalog.<) pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())\n",
			"",
		},
	},
	"rows of unknown scopes are read": {
		File: "feed.go", Tests: "TestUnknownScopesAreSkipped",
		Edits: []string{
			"WHERE ({known}) AND {which}",
			"WHERE {which}",
		},
	},
	"another session's answer is taken": {
		File: "session.go", Tests: "TestAnotherSession",
		Edits: []string{
			`return s.name != "" && head.session == s.name`,
			`return s.name != ""`,
		},
	},
	"a session is known by its nonce alone": {
		File: "session.go", Tests: "TestAnotherSession TestGatewayReplaysSettingsOverAFailover",
		Edits: []string{
			`return s.name != "" && head.session == s.name`,
			`return strings.HasPrefix(head.session, s.nonce+" ")`,
		},
	},
	"a doubtful answer is taken": {
		File: "feed_read.go", Tests: "TestStandbyIsRefused TestFence TestPromotionDuringARead",
		Edits: []string{
			"\tif err := head.DoubtOwn(a.readOnly); err != nil {\n\t\treturn err\n\t}\n",
			"",
		},
	},
	"a session may begin on a standby": {
		File: "session.go", Tests: "TestStandbyIsRefused",
		Edits: []string{
			"case s.doubt(head) != nil:",
			`case s.doubt(head) != nil && head.snapshot == "":`,
		},
	},
	"a silent session is waited for": {
		File: "feed_read.go", Tests: "TestSilentDeath TestSilentServer",
		Edits: []string{
			"time.AfterFunc(patience, func() { cancel(errSilent) })",
			"time.AfterFunc(time.Hour, func() { cancel(errSilent) })",
		},
	},
	"the app's description cache is used": {
		File: "session.go", Tests: "TestRevokedElsewhereUnderEverySetting",
		Edits: []string{
			"\tconfig.DescriptionCacheCapacity = descriptions\n",
			"",
		},
	},
	"a role's isolation level is used": {
		File: "session.go", Tests: "TestSessionSettings TestReadThatWaitsForALock",
		Edits: []string{
			"    ('default_transaction_isolation', 'read committed'), ",
			"    ",
		},
	},
	"an old snapshot is taken": {
		File: "feed_read.go", Tests: "TestIsolationIsReadOffTheSession",
		Edits: []string{
			"\tif head.Isolated() {\n\t\treturn errIsolated\n\t}\n",
			"\t_ = errIsolated\n",
		},
	},
	"reads through a pooler are in no transaction": {
		File: "feed_read.go", Tests: "TestReadThatWaitsForALock",
		Edits: []string{
			"\ta := asker{conn: conn, before: []string{beginSQL, localSettingsSQL}, readOnly: readOnly}\n",
			"\ta := asker{conn: conn, readOnly: readOnly}\n",
			"\tif readOnly {\n\t\ta.before[0] = beginWritableSQL\n\t}\n",
			"",
		},
	},
	"a session that knows no statement of polls is loaded again and again": {
		File: "feed.go", Tests: "TestAnotherSessionKnowsNoStatement",
		Edits: []string{
			"pgErr.Code == \"26000\" {",
			"pgErr.Code == \"none\" {",
		},
	},
	"rows without numbers are loaded": {
		File: "feed.go", Tests: "TestNumbering",
		Edits: []string{
			"\tcase head.numbering == \"\":\n\t\treturn errUnnumbered\n",
			"",
		},
	},
	"a session begins without numbers": {
		File: "session.go", Tests: "TestNumbering",
		Edits: []string{
			"\t\tcase head.numbering == \"\": // before all rows are read for nothing\n\t\t\treturn nil, errUnnumbered\n",
			"",
		},
	},
	"a trigger that was off is not noticed": {
		File: "feed.go", Tests: "TestNumbering",
		Edits: []string{
			"case head.numbering != f.numbering:",
			"case head.numbering != f.numbering && false:",
		},
	},
	"the rows of a child count as numbered": {
		File: "feed.go", Tests: "TestNumbering",
		Edits: []string{
			" WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS i",
			" WHERE true OR EXISTS (SELECT FROM pg_catalog.pg_inherits AS i",
		},
	},
	"an address may turn the fence off": {
		File: "session.go", Tests: "TestFence",
		Edits: []string{
			"if err := circumstances.CheckFence(config.RuntimeParams); err != nil {",
			"if err := circumstances.CheckFence(nil); err != nil {",
		},
	},
	"all schemas have one channel": {
		File: "notify.go", Tests: "TestChannels",
		Edits: []string{
			"\treturn prefix + schema\n",
			"\treturn prefix\n",
		},
	},
	"a connection to a standby is given back": {
		File: "overlay.go", Tests: "TestEndpointLeavesStandby",
		Edits: []string{
			"\t\t_ = conn.Conn().Close(ctx) // it is given up in any case\n",
			"\t\t_ = ctx\n",
		},
	},
	"a notification in the middle of a poll is lost": {
		File: "notify.go", Tests: "TestAskedForDuringAPoll",
		Edits: []string{
			"if !s.notified {",
			"{",
		},
	},
	"a call of Sync in the middle of a poll is lost": {
		File: "notify.go", Tests: "TestAskedForDuringAPoll",
		Edits: []string{
			"if m.pending {",
			"if false {",
		},
	},
	"polls keep no distance": {
		File: "notify.go", Tests: "TestPollsKeepADistance",
		Edits: []string{
			"\tpause(ctx, pollDistance)\n",
			"",
		},
	},
}

func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	mutation.Run(t, mutants)
}
