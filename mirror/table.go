package mirror

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

// rowKey is the key of a row, as [revoke.Scope.Key] computes it.
type rowKey = [16]byte

// hasher turns keys into fingerprints of 64 bits. Its seed differs from process to
// process, so that no choice of identifiers makes two of them collide.
type hasher struct{ seed maphash.Seed }

// fingerprint is never zero, which stands for an empty slot.
func (h hasher) fingerprint(key *rowKey) uint64 {
	return max(1, maphash.Bytes(h.seed, key[:]))
}

// entry is what the table keeps of a row. For a token or a session, value is the expiry
// of the row. For a user or an issuer, it is the epoch. Both are in microseconds since
// 1970, and both only ever grow in the database.
type entry struct {
	fingerprint uint64
	value       int64
	epoch       bool
}

// expired reports whether the entry may be left out because its row expired before
// limit. An epoch never may: its instant does not say for how long its row counts. The
// next load leaves it out.
func (e entry) expired(limit int64) bool { return !e.epoch && e.value < limit }

// packed is the value and the epoch flag in one word.
func (e entry) packed() uint64 {
	if e.epoch {
		return uint64(e.value)<<1 | 1
	}
	return uint64(e.value) << 1
}

// unpack is the inverse of packed.
func unpack(fingerprint, packed uint64) entry {
	return entry{fingerprint: fingerprint, value: int64(packed >> 1), epoch: packed&1 == 1}
}

// table is a hash table with open addressing over atomic words: two for a slot, the
// fingerprint and the packed value. Any number of goroutines read it without a lock
// while one writes. Nothing is ever deleted from it: a table with less in it is a new
// table. So a reader that finds an empty slot knows that the fingerprint was not there.
type table struct {
	words []atomic.Uint64
	mask  uint64 // of slots
	used  int
}

// newTable returns a table that holds n entries with a third of its slots to spare.
func newTable(n int) *table {
	slots := uint64(1) << bits.Len64(uint64(max(n, 64))*3/2)
	return &table{words: make([]atomic.Uint64, 2*slots), mask: slots - 1}
}

// full reports whether the next entry needs a larger table.
func (t *table) full() bool { return uint64(t.used) >= (t.mask+1)/3*2+(t.mask+1)/12 }

// bytes returns the size of the table.
func (t *table) bytes() int { return 8 * len(t.words) }

// get returns the entry of a fingerprint. It may be called while put is.
func (t *table) get(fingerprint uint64) (e entry, found bool) {
	for i := fingerprint & t.mask; ; i = (i + 1) & t.mask {
		switch t.words[2*i].Load() {
		case fingerprint:
			return unpack(fingerprint, t.words[2*i+1].Load()), true
		case 0:
			return entry{}, false
		}
	}
}

// put adds an entry, or raises its value. Only one goroutine may call it at a time, and
// only on a table that is not full.
func (t *table) put(e entry) {
	if value := t.slot(e); e.packed() > value.Load() {
		value.Store(e.packed())
	}
}

// replace adds an entry, or sets its value. It may be called as put may.
func (t *table) replace(e entry) { t.slot(e).Store(e.packed()) }

// slot returns the word for the value of an entry, which it adds if it is not there.
func (t *table) slot(e entry) *atomic.Uint64 {
	for i := e.fingerprint & t.mask; ; i = (i + 1) & t.mask {
		switch t.words[2*i].Load() {
		case e.fingerprint:
			return &t.words[2*i+1]
		case 0:
			t.words[2*i+1].Store(e.packed()) // before the fingerprint, by which a reader finds it
			t.words[2*i].Store(e.fingerprint)
			t.used++
			return &t.words[2*i+1]
		}
	}
}

// add puts an entry into a table, or into a larger one that it returns. No goroutine
// reads the table yet.
func add(t *table, e entry) *table {
	if t.full() {
		larger := newTable(t.used) // of twice as many slots
		for old := range t.all {
			larger.put(old)
		}
		t = larger
	}
	t.put(e)
	return t
}

// all calls yield for each entry.
func (t *table) all(yield func(entry) bool) {
	for i := uint64(0); i <= t.mask; i++ {
		if f := t.words[2*i].Load(); f != 0 && !yield(unpack(f, t.words[2*i+1].Load())) {
			return
		}
	}
}
