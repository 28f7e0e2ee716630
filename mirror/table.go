package mirror

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

// hasher turns identities into fingerprints of 64 bits. Its seed differs from process to process, so that nobody can choose
// identities that collide.
type hasher struct{ seed maphash.Seed }

// Odd constants, one for each kind, keep a token, a session and a user of one name apart.
const (
	kindToken   uint64 = 0x9e3779b97f4a7c15
	kindSession uint64 = 0xc2b2ae3d27d4eb4f
	kindUser    uint64 = 0x165667b19e3779f9
	kindIssuer  uint64 = 0x27d4eb2f165667c5
)

func (h hasher) issuer(issuer string) uint64 { return maphash.String(h.seed, issuer) }

// fingerprint combines the hash of the issuer with that of the id. It is never zero, which stands for an empty slot.
func fingerprint(kind, issuer, id uint64) uint64 {
	x := (issuer ^ kind) * kind
	x = bits.RotateLeft64(x, 31) + id
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	if x == 0 {
		return 1
	}
	return x
}

func (h hasher) token(issuer uint64, id string) uint64 {
	return fingerprint(kindToken, issuer, maphash.String(h.seed, id))
}

func (h hasher) session(issuer uint64, id string) uint64 {
	return fingerprint(kindSession, issuer, maphash.String(h.seed, id))
}

func (h hasher) user(issuer uint64, subject string) uint64 {
	return fingerprint(kindUser, issuer, maphash.String(h.seed, subject))
}

func issuerEpoch(issuer uint64) uint64 { return fingerprint(kindIssuer, issuer, 0) }

// entry is what the mirror keeps of a row. Of a token or a session value is when the row expires, of an epoch the epoch, both
// in microseconds since 1970; they only ever grow.
type entry struct {
	fingerprint uint64
	value       int64
	epoch       bool
}

// expired reports whether the entry may be left out because its row expired before limit. An epoch may never: it does not say
// for how long its row counts, which for an instant of long ago is much longer than a token lives. The next load leaves it out.
func (e entry) expired(limit int64) bool { return !e.epoch && e.value < limit }

// table is a hash table with open addressing over atomic words: two for a slot, the fingerprint and the value. Any number
// of goroutines read it without a lock while one writes. Nothing is ever deleted from it: a table with less in it is a new
// table. So a reader who finds an empty slot knows that what it looks for was not there.
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

// get returns the value of a fingerprint. It may be called while put is.
func (t *table) get(fingerprint uint64) (value uint64, found bool) {
	for i := fingerprint & t.mask; ; i = (i + 1) & t.mask {
		switch t.words[2*i].Load() {
		case fingerprint:
			return t.words[2*i+1].Load(), true
		case 0:
			return 0, false
		}
	}
}

// put adds an entry, or raises its value. Only one goroutine may call it at a time, and only on a table that is not full.
func (t *table) put(e entry) {
	packed := uint64(e.value) << 1
	if e.epoch {
		packed |= 1
	}
	for i := e.fingerprint & t.mask; ; i = (i + 1) & t.mask {
		switch t.words[2*i].Load() {
		case e.fingerprint:
			if packed > t.words[2*i+1].Load() {
				t.words[2*i+1].Store(packed)
			}
			return
		case 0:
			t.words[2*i+1].Store(packed) // before the fingerprint, by which a reader finds it
			t.words[2*i].Store(e.fingerprint)
			t.used++
			return
		}
	}
}

// micros is the value of a packed word.
func micros(packed uint64) int64 { return int64(packed >> 1) }

// all calls yield for each entry.
func (t *table) all(yield func(entry) bool) {
	for i := uint64(0); i <= t.mask; i++ {
		if f := t.words[2*i].Load(); f != 0 {
			packed := t.words[2*i+1].Load()
			if !yield(entry{fingerprint: f, value: micros(packed), epoch: packed&1 == 1}) {
				return
			}
		}
	}
}
