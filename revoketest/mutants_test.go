package revoketest

import (
	"testing"

	"github.com/pgrevoke/revoke/internal/mutation"
)

// TestMutantsAreCaught is that of the root package, for the store in memory, which the conformance
// suite has to tell from one that keeps its promises, and for the one that fails on purpose. Stores
// with a fault of their own are in TestBrokenStoresAreCaught.
func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	mutation.Run(t, map[string]mutation.Mutant{
		"memory: the first revocation is forgotten": {
			File: "memory_write.go", Tests: "TestMemory TestFaultyPassesOn",
			Edits: []string{"		record.Since = old.Since\n		record = merge(old, record)\n	}\n	r[key] = record\n}\n\n// moveEpoch", "		record = merge(old, record)\n	}\n	r[key] = record\n}\n\n// moveEpoch"},
		},
		"memory: a revocation is kept for less than before": {
			File: "memory_write.go", Tests: "TestMemory",
			Edits: []string{"	if old.ExpiresAt.After(record.ExpiresAt) {", "	if false {"},
		},
		"memory: the last reason is kept": {
			File: "memory_write.go", Tests: "TestMemory",
			Edits: []string{"record.Reason = cmp.Or(old.Reason, record.Reason)", "record.Reason = cmp.Or(record.Reason, old.Reason)"},
		},
		"memory: a repeat is the same instant": {
			File: "memory_write.go", Tests: "TestMemoryEpochsGrow",
			Edits: []string{"time.UnixMicro(max(now.UnixMicro(), old) + 1)", "time.UnixMicro(max(now.UnixMicro(), old))"},
		},
		"memory: an epoch moves backwards": {
			File: "memory_write.go", Tests: "TestMemory",
			Edits: []string{"	if ok && old.Since.After(t) {", "	if false {"},
		},
		"memory: a transaction that failed counts": {
			File: "memory.go", Tests: "TestMemory",
			Edits: []string{"cmp.Or(fn(struct{ revoke.Revoker }{work}), work.missed); err != nil {", "cmp.Or(fn(struct{ revoke.Revoker }{work}), work.missed); err != nil && m == nil {"},
		},
		"memory: a transaction sees no check": {
			File: "memory.go", Tests: "TestMemoryCheckWithinInTx",
			Edits: []string{"fn(struct{ revoke.Revoker }{work})", "fn(work)"},
		},
		"memory: a caller that has left is answered": {
			File: "memory.go", Tests: "TestMemory",
			Edits: []string{"err = cmp.Or(err, m.checkToken(token), unavailable(ctx))", "err = cmp.Or(err, m.checkToken(token))"},
		},
		"memory: a revocation is swept with its token": {
			File: "memory.go", Tests: "TestMemorySweep",
			Edits: []string{"m.now().Add(-revoke.DefaultMargin)", "m.now()"},
		},
		"memory: a nil transaction writes": {
			File: "memory.go", Tests: "TestWithTx",
			Edits: []string{"	if !absent.Is(tx) {", "	if absent.Is(tx) || true {"},
		},
		"faulty: a call that fails has an effect": {
			File: "faulty.go", Tests: "TestFaultyFails",
			Edits: []string{"	if failure.after {", "	if failure != nil {"},
		},
		"faulty: a call that fails late has none": {
			File: "faulty.go", Tests: "TestFaultyFails",
			Edits: []string{"	if failure.after {", "	if false {"},
		},
		"faulty: the cause is not told": {
			File: "faulty.go", Tests: "TestFaultyFails",
			Edits: []string{`"revoketest: %s: %w: %w", operation,`, `"revoketest: %s: %w: %v", operation,`},
		},
	})
}
