package revoke_test

import (
	"testing"

	"github.com/pgrevoke/revoke/internal/mutation"
)

// coalescingMutants are shared checks with one hole each, and the tests that have to find it.
var coalescingMutants = map[string]mutation.Mutant{
	"a query ends with the caller for whom it was begun": {
		File: "coalesce.go", Tests: "TestCoalescedCancelOnTheWay TestImpatientCallers",
		Edits: []string{
			"\tgone bool", "\tctx  context.Context\n\tgone bool",
			"w.keys = keys", "w.keys, w.ctx = keys, ctx",
			"context.WithTimeout(context.Background(), c.timeout)", "context.WithTimeout(batch[0].ctx, c.timeout)",
		},
	},
	"one who has left is made to serve another check": {
		File: "coalesce.go", Tests: "TestImpatientCallers",
		Edits: []string{"err = ctx.Err()\n", "err = ctx.Err()\n\t\tc.idle.Put(w)\n"},
	},
	"those who have left are asked about": {
		File: "coalesce.go", Tests: "TestCoalescedQueueOfTheGone",
		Edits: []string{"if !w.gone {", "{"},
	},
	"a query is not given back": {
		File: "coalesce.go", Tests: "TestCoalescedQueueOfTheGone",
		Edits: []string{"\t\tc.free++\n", ""},
	},
	"everybody has a query": {
		File: "coalesce.go", Tests: "TestCoalescedAnswers",
		Edits: []string{"begin := c.free > 0", "begin := true"},
	},
	"a query has no limit": {
		File: "coalesce.go", Tests: "TestCoalescedAnswers",
		Edits: []string{"if len(batch) == maxCoalesced {", "if len(batch) == 1<<20 {"},
	},
	"who ends the goroutine stops the queue": {
		File: "coalesce.go", Tests: "TestCoalescedTracer",
		Edits: []string{"if !ended {", "if false && !ended {"},
	},
	"a panic leaves callers without an answer": {
		File: "coalesce.go", Tests: "TestCoalescedTracer",
		Edits: []string{`err = fmt.Errorf("%w: panic: %v", errCutShort, r)`, `_ = fmt.Errorf("%v", r); return`},
	},
	"a token gets another's answer": {
		File: "coalesce.go", Tests: "TestCoalescedAnswers",
		Edits: []string{"owners[0][place-1]", "owners[0][len(owners[0])-int(place)]"},
	},
	"an issuer gets another's answer": {
		File: "coalesce.go", Tests: "TestCoalescedAnswers",
		Edits: []string{"found[issuerOf[i]]", "found[0*issuerOf[i]]"},
	},
	"a standby's answer to many is taken": {
		File: "coalesce.go", Tests: "TestCheckOnStandby",
		Edits: []string{"w.answer.standby, w.answer.now = common.standby, common.now", "w.answer.now = common.now"},
	},
	"a standby's answer to one is taken": {
		File: "postgres_sql.go", Tests: "TestCheckOnStandby",
		Edits: []string{"const checkSQL = `SELECT pg_is_in_recovery(),", "const checkSQL = `SELECT false,"},
	},
}

// TestMutantsAreCaught opens each hole in turn.
func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	mutation.Run(t, coalescingMutants)
}
