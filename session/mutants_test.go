package session_test

import (
	"testing"

	"github.com/pgrevoke/revoke/internal/mutation"
)

// TestMutantsAreCaught breaks a rule at a time, and looks whether the tests of that rule fail.
func TestMutantsAreCaught(t *testing.T) {
	mutation.Run(t, map[string]mutation.Mutant{
		"who did not win is answered by its own snapshot": {
			File: "refresh.go", Tests: "TestWaits",
			Edits: []string{"	case seen.action != \"none\":\n		return r.again(ctx, tokens, m)\n", ""},
		},
		"the wait in the app counts against the request": {
			File: "refresh.go", Tests: "TestHeldUp",
			Edits: []string{"came := seen.now - waited.Microseconds()", "came := seen.now"},
		},
		"a request from before the last rotation is a replay": {
			File: "refresh.go", Tests: "TestHeldUp",
			Edits: []string{"return came >= seen.refreshedAt\n", "return true\n"},
		},
		"the predecessor is answered for ever": {
			File: "refresh.go", Tests: "TestRotation",
			Edits: []string{"return came >= seen.refreshedAt+r.grace.Microseconds()", "return false"},
		},
		"a lost answer is a replay": {
			File: "refresh.go", Tests: "TestServerThatCrashes",
			Edits: []string{"return came >= seen.refreshedAt+r.grace.Microseconds()", "return true"},
		},
		"any ancestor is answered within the grace": {
			File: "refresh.go", Tests: "TestRotation",
			Edits: []string{"case behind == 1:", "case behind >= 1:", "case presented.generation == seen.generation-1:", "case true:"},
		},
		"a replay waits for the signer": {
			File: "refresh.go", Tests: "TestFailures",
			Edits: []string{"case failed == nil && r.isReplay(", "case false && r.isReplay("},
		},
		"a predecessor within the grace is a replay if the signer fails": {
			File: "refresh.go", Tests: "TestFailures",
			Edits: []string{"case failed == nil && r.isReplay(seen, time.Since(r.arrived)):", "case failed == nil && seen.generation > r.presented.generation:"},
		},
		"a repeat of the current generation hands out the next": {
			File: "refresh.go", Tests: "TestRotation TestModel",
			Edits: []string{`tokens.Refresh, tokens.Outcome = "", Repeated`, "tokens.Outcome = Repeated"},
		},
		"replayed is answered although the end has failed": {
			File: "refresh.go", Tests: "TestReplayThatCannotEnd",
			Edits: []string{"return r.failed(seen, Unavailable, err)\n", "return r.failed(seen, Replayed, err)\n"},
		},
		"the end of a replay is given up with the client": {
			File: "refresh.go", Tests: "TestClientThatHangsUp",
			Edits: []string{"context.WithTimeout(context.WithoutCancel(ctx), r.deadline())", "context.WithTimeout(ctx, r.deadline())"},
		},
		"an option of the app loosens the validator": {
			File: "sessions.go", Tests: "TestNew",
			Edits: []string{"len(foreign) > 0 {", "len(foreign) > 12 {"},
		},
		"another client refreshes": {
			File: "refresh.go", Tests: "TestRefused",
			Edits: []string{"case presented.client != device.Client:", "case false:"},
		},
		"the client of the row does not count": {
			File: "refresh.go", Tests: "TestRefused",
			Edits: []string{"case seen.found && seen.client != r.presented.client:", "case false:"},
		},
		"a bound session is refreshed": {
			File: "refresh.go", Tests: "TestRefused",
			Edits: []string{"case seen.bound:", "case false:"},
		},
		"a bound token is refreshed": {
			File: "tokens.go", Tests: "TestRefused",
			Edits: []string{"	if c.IsBound {", "	if false {"},
		},
		"an idle session is answered": {
			File: "refresh.go", Tests: "TestRefused",
			Edits: []string{"case seen.usedAt()+r.idle.Microseconds() <= seen.now:", "case false:"},
		},
		"a session that is over is answered": {
			File: "refresh.go", Tests: "TestRefused",
			Edits: []string{"case expiresAt <= seen.now:", "case expiresAt < 0:"},
		},
		"two winners": {
			File: "statements.go", Tests: "TestWaits",
			Edits: []string{
				"AND s.generation {=} n.generation AND s.ended_at IS NULL\n      AND (s.refreshed_at {=} n.refreshed_at OR s.refreshed_at IS NULL AND n.refreshed_at IS NULL)\n",
				"AND s.ended_at IS NULL\n",
			},
		},
		"a session that ended meanwhile rotates": {
			File: "statements.go", Tests: "TestWaits",
			Edits: []string{"AND s.generation {=} n.generation AND s.ended_at IS NULL\n", "AND s.generation {=} n.generation\n"},
		},
		"refreshed_at is from before the wait": {
			File: "statements.go", Tests: "TestWaits",
			Edits: []string{"refreshed_at = pg_catalog.clock_timestamp(),", "refreshed_at = (SELECT c.now FROM clock AS c),"},
		},
		"the row is not locked first": {
			File: "statements.go", Tests: "TestWaits",
			Edits: []string{"    FOR NO KEY UPDATE OF s),\nwritten", "    ),\nwritten"},
		},
		"a start counts as a rotation": {
			File: "statements.go", Tests: "TestRotation TestModel",
			Edits: []string{"WHEN s.refreshed_at IS NULL OR (s.refreshed_at {+}", "WHEN (coalesce(s.refreshed_at, s.started_at) {+}"},
		},
		"the current one rotates within the grace": {
			File: "statements.go", Tests: "TestRotation TestModel",
			Edits: []string{"{<=} t.now THEN 'rotate'", "{<=} t.now OR true THEN 'rotate'"},
		},
		"a generation above the row's rotates": {
			File: "statements.go", Tests: "TestFailures",
			Edits: []string{"THEN 'adopt'", "THEN 'rotate'"},
		},
		"a refreshed_at in the future stays": {
			File: "statements.go", Tests: "TestFailures",
			Edits: []string{"WHEN s.refreshed_at {>} t.now THEN 'set'", "WHEN false THEN 'set'"},
		},
		"a session that is revoked by its sid rotates": {
			File: "statements.go", Tests: "TestRefused",
			Edits: []string{"OR t.session_since IS NOT NULL OR", "OR"},
		},
		"a session of a revoked user rotates": {
			File: "statements.go", Tests: "TestRefused",
			Edits: []string{"OR coalesce(t.user_since, 0) {>} $5::bigint", ""},
		},
		"a session with epochs that are ahead rotates": {
			File: "statements.go", Tests: "TestRefused",
			Edits: []string{"OR $5::bigint {>} greatest(t.user_since, {micros t.now})", ""},
		},
		"an idle session rotates": {
			File: "statements.go", Tests: "TestRefused",
			Edits: []string{"OR (coalesce(s.refreshed_at, s.started_at) {+} {seconds $8}) {<=} t.now\n", "OR {seconds $8} IS NULL\n"},
		},
		"a session that is over rotates": {
			File: "statements.go", Tests: "TestRefused",
			Edits: []string{"OR s.expires_at {<=} t.now OR (coalesce", "OR (coalesce"},
		},
		"another client's session rotates": {
			File: "statements.go", Tests: "TestRefused",
			Edits: []string{"coalesce(s.client, '') {<>} ({decoded $7::pg_catalog.text})", "$7::pg_catalog.text IS NULL"},
		},
		"a bound session rotates": {
			File: "statements.go", Tests: "TestRefused",
			Edits: []string{"OR s.cnf IS NOT NULL OR", "OR"},
		},
		"another user's session is ended by its id": {
			File: "statements.go", Tests: "TestEnds",
			Edits: []string{
				"AND s.user_key {=} $2::pg_catalog.uuid\n    RETURNING s.generation", "AND $2::pg_catalog.uuid IS NOT NULL\n    RETURNING s.generation",
			},
		},
		"a new session is lifted over a revocation of the user": {
			File: "end.go", Tests: "TestWaits",
			Edits: []string{"t.revoker.RevokeUserBefore(ctx, user, time.UnixMicro(0))", "error(nil)"},
		},
		"a new session is lifted over the end of the one before": {
			File: "statements.go", Tests: "TestWaits",
			Edits: []string{"AND s.user_key {=} $2::pg_catalog.uuid FOR NO KEY UPDATE`", "AND s.user_key {=} $2::pg_catalog.uuid`"},
		},
		"a new session is lifted over a revocation of the issuer": {
			File: "end.go", Tests: "TestWaits",
			Edits: []string{"	epochs.Issuer = old.epochs.Issuer\n", ""},
		},
		"a new session makes room for itself after the clock was set back": {
			File: "statements.go", Tests: "TestMaxSessions",
			Edits: []string{"ORDER BY s.key {=} $5::pg_catalog.uuid DESC,", "ORDER BY $5::pg_catalog.uuid DESC,"},
		},
		"an outage of the signer hides that a session is over": {
			File: "refresh.go", Tests: "TestFailures",
			Edits: []string{"failed != nil && failed.IsOver()", "false"},
		},
		"a device that cannot be stored makes a token invalid": {
			File: "refresh.go", Tests: "TestDevices",
			Edits: []string{"fault = device.stored(r.withoutDetails); fault != nil {\n		return Tokens{}, r.because(Unavailable, fault)",
				"fault = device.stored(r.withoutDetails); fault != nil {\n		return Tokens{}, r.because(Invalid, fault)"},
		},
		"a session that an identity provider ended is listed": {
			File: "statements.go", Tests: "TestEnds",
			Edits: []string{"AND NOT EXISTS (SELECT FROM {schema}.revocations AS r WHERE r.key {=} s.key)\n", "\n"},
		},
		"an idle session is listed": {
			File: "statements.go", Tests: "TestMaxSessions",
			Edits: []string{"(coalesce(s.refreshed_at, s.started_at) {+} {seconds $3}) {>} c.now", "{seconds $3} IS NOT NULL"},
		},
		"the newest session makes room": {
			File: "statements.go", Tests: "TestMaxSessions",
			Edits: []string{"DESC, s.started_at DESC", "DESC, s.started_at"},
		},
		"a row is swept when its tokens have just expired": {
			File: "statements.go", Tests: "TestSweep",
			Edits: []string{"pg_catalog.clock_timestamp() {-} {margin}", "pg_catalog.clock_timestamp()"},
		},
		"an access token outlives its session": {
			File: "tokens.go", Tests: "TestAccessLifetime",
			Edits: []string{"min(ours.ExpiresAt.Unix(), g.expiresAt.Unix())", "ours.ExpiresAt.Unix()"},
		},
		"every access token lives as long": {
			File: "tokens.go", Tests: "TestAccessLifetime",
			Edits: []string{"max(lifetime-time.Duration(less), time.Second)", "max(lifetime-time.Duration(less-less), time.Second)"},
		},
		"the list tells the last use": {
			File: "list.go", Tests: "TestList",
			Edits: []string{"usedAt-usedAt%r.lifetime.Microseconds()", "usedAt"},
		},
		"a refresh under way stores again what is forgotten": {
			File: "statements.go", Tests: "TestWaits",
			Edits: []string{"s.xmin {<>} n.version AS forgotten", "false AS forgotten"},
		},
		"a row that is blank is not locked by Forget": {
			File: "statements.go", Tests: "TestWaits",
			Edits: []string{
				"WHERE s.user_key {=} $1::pg_catalog.uuid\n    ORDER BY s.key FOR NO KEY UPDATE),",
				"WHERE s.user_key {=} $1::pg_catalog.uuid AND (s.user_agent IS NOT NULL OR s.address IS NOT NULL)\n    ORDER BY s.key FOR NO KEY UPDATE),",
			},
		},
		"Forget locks rows in any order": {
			File: "statements.go", Tests: "TestWaits",
			Edits: []string{"    ORDER BY s.key FOR NO KEY UPDATE),", "    FOR NO KEY UPDATE),"},
		},
		"a new session is lifted over an end that an old snapshot hides": {
			File: "end.go", Tests: "TestEndOthersOfAnOldSnapshot",
			Edits: []string{"if old.Isolated() {", "if false {"},
		},
		"the keys of a refresh have any time": {
			File: "sessions.go", Tests: "TestFailures",
			Edits: []string{"s.keyfunc(min(keysTimeout, s.deadline()))", "s.keyfunc(keysTimeout)"},
		},
		"a signer that hangs hides a replay": {
			File: "refresh.go", Tests: "TestFailures",
			Edits: []string{"context.WithDeadline(ctx, r.arrived.Add(r.deadline()/2))", "context.WithDeadline(ctx, r.arrived.Add(r.deadline()*4))",
				"context.WithTimeout(context.WithoutCancel(caller), r.deadline()/2)", "context.WithDeadline(caller, r.arrived.Add(r.deadline()))"},
		},
		"a client that hangs up hides a replay": {
			File: "refresh.go", Tests: "TestFailures",
			Edits: []string{"context.WithTimeout(context.WithoutCancel(caller), r.deadline()/2)", "context.WithTimeout(caller, r.deadline()/2)"},
		},
		"a signature is not verified": {
			File: "keys.go", Tests: "TestFailures",
			Edits: []string{"strictjwt.CheckSignature(k.Method, text, signature, k.Public)", "error(nil)"},
		},
		"a public key may be another's": {
			File: "keys.go", Tests: "TestKeysChange TestSecrets",
			Edits: []string{"if !isSame(derived, given) {", "if false {"},
		},
		"a failed EndOthers has written": {
			File: "end.go", Tests: "TestEnds",
			Edits: []string{"if _, err := t.judge(ctx, operation, user, sid); err != nil {", "if err := error(nil); err != nil {"},
		},
		"negative epochs start a session": {
			File: "start.go", Tests: "TestEnds",
			Edits: []string{"if epochs.User < 0 || epochs.Issuer < 0 {", "if false {"},
		},
		"what was forgotten counts as another device": {
			File: "refresh.go", Tests: "TestHooks",
			Edits: []string{"!s.withoutDetails && (seen.agent != \"\" || seen.address != \"\")", "!s.withoutDetails"},
		},
		"device details are stored in any case": {
			File: "device.go", Tests: "TestDevices",
			Edits: []string{"	if withoutDetails {", "	if false {"},
		},
	})
}
