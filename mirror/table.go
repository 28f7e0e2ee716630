package mirror

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
	"sync/atomic"
)

// rowKey is the key of a row, as [revoke.Scope.Key] computes it.
type rowKey = [16]byte

// hasher turns keys into fingerprints of 64 bits: the upper half of offset + x·first + y·second,
// where x and y are the halves of the key and the rest is a seed of 128-bit numbers. The
// fingerprints of any two keys are independent and uniform over the choice of the seed (vector
// multiply-shift: Thorup, High Speed Hashing for Integers and Strings, section 3.4). So two keys
// collide with a probability of 2⁻⁶⁴, and no choice of identifiers changes that, because the seed
// differs from process to process and leaves none.
type hasher struct{ offset, first, second wide }

// wide is a number of 128 bits.
type wide struct{ high, low uint64 }

// newHasher returns a hasher with a seed of its own.
func newHasher() (h hasher) {
	for _, w := range []*wide{&h.offset, &h.first, &h.second} {
		var seed [16]byte
		_, _ = rand.Read(seed[:]) // never returns an error
		w.high, w.low = binary.LittleEndian.Uint64(seed[:8]), binary.LittleEndian.Uint64(seed[8:])
	}
	return h
}

// fingerprint is never zero, which stands for an empty slot.
func (h *hasher) fingerprint(key *rowKey) uint64 {
	x, y := binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:])
	high1, low1 := bits.Mul64(h.first.low, x)
	high2, low2 := bits.Mul64(h.second.low, y)
	low, carry1 := bits.Add64(low1, low2, 0)
	_, carry2 := bits.Add64(low, h.offset.low, 0)
	return max(1, h.offset.high+high1+h.first.high*x+high2+h.second.high*y+carry1+carry2)
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
//
// Hardly any key of a good token has a row, and a slot is a cache miss away. So a filter stands
// before the slots: a Bloom filter of which a fingerprint has four bits, all in one word. The
// filter has a byte a slot. It says "perhaps" of every fingerprint in the table, and of one or
// two in a hundred others.
type table struct {
	words  []atomic.Uint64
	filter []atomic.Uint64
	mask   uint64 // of slots
	shift  int    // of fingerprints, to the number of a word of the filter
	used   int
}

// filterSlots is the number of slots for which a word of the filter stands.
const filterSlots = 8

// newTable returns a table that holds n entries with a third of its slots to spare.
func newTable(n int) *table {
	log := logSlots(n)
	slots := uint64(1) << log
	return &table{
		words:  make([]atomic.Uint64, 2*slots),
		filter: make([]atomic.Uint64, slots/filterSlots),
		mask:   slots - 1,
		shift:  64 - log + bits.Len64(filterSlots-1),
	}
}

// logSlots is the logarithm of the number of slots that newTable gives n entries.
func logSlots(n int) int { return bits.Len64(uint64(max(n, 64)) * 3 / 2) }

// resized returns a table with the same entries that newTable would make for n.
func (t *table) resized(n int) *table {
	other := newTable(n)
	for e := range t.all {
		other.put(e)
	}
	return other
}

// fitted returns the table, or a smaller one where this has four times the slots that its entries
// need. No goroutine reads the table yet.
func (t *table) fitted() *table {
	if bits.Len64(t.mask) < logSlots(t.used)+2 {
		return t
	}
	return t.resized(t.used)
}

// reach reads what put would look at first for each of the entries, so that the cache misses
// overlap. They take most of the time of put in a large table, and each store of put waits for
// those before it.
func (t *table) reach(entries []entry) {
	for i := range entries {
		f := entries[i].fingerprint
		t.words[2*(f&t.mask)].Load()
		t.filter[f>>t.shift].Load()
	}
}

// full reports whether the next entry needs a larger table.
func (t *table) full() bool { return uint64(t.used)*5 >= (t.mask+1)*4 }

// bytes returns the size of the table.
func (t *table) bytes() int { return 8 * (len(t.words) + len(t.filter)) }

// filterBits are the bits of a fingerprint in its word of the filter. The number of the word comes
// from the other end of the fingerprint.
func filterBits(fingerprint uint64) uint64 {
	return 1<<(fingerprint&63) | 1<<(fingerprint>>6&63) | 1<<(fingerprint>>12&63) | 1<<(fingerprint>>18&63)
}

// sift reports which fingerprints the table may have. A zero stands for none. It may be called
// while put is. It reads all words before it looks at any, so that their cache misses overlap.
func (t *table) sift(fingerprints *[len(scopes)]uint64) (perhaps [len(scopes)]bool) {
	var words [len(scopes)]uint64
	for i, f := range fingerprints {
		words[i] = t.filter[f>>t.shift].Load()
	}
	for i, f := range fingerprints {
		perhaps[i] = filterBits(f)&^words[i] == 0 && f != 0
	}
	return perhaps
}

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
			word := &t.filter[e.fingerprint>>t.shift]
			word.Store(word.Load() | filterBits(e.fingerprint))
			t.used++
			return &t.words[2*i+1]
		}
	}
}

// add puts an entry into a table, or into a larger one that it returns. No goroutine
// reads the table yet.
func add(t *table, e entry) *table {
	if t.full() {
		t = t.resized(t.used) // with twice as many slots
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
