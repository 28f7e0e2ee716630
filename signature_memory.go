package revoke

import (
	"crypto/sha256"
	"encoding/binary"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// Limits of WithSignatureMemory, in bytes.
const (
	minSignatureMemory = 64 << 10
	maxSignatureMemory = 1 << 30
)

// signatureMemory keeps readings of tokens that were accepted, by the SHA-256 of their text. It is
// bounded in bytes. It belongs to one validator, because a reading holds only for the issuer, the
// audience, the algorithms and the options of one. It may be used from several goroutines.
//
// The memory consists of buckets, and the hash chooses one. A reading that is put into a full
// bucket takes the place of one that has expired, or of one that was not used since the hand of a
// clock passed it. So tokens that come once do not displace those that come again and again. get
// takes no lock.
type signatureMemory struct {
	leeway  time.Duration                  // of the validator
	buckets []atomic.Pointer[memoryBucket] // each nil until a reading is put into it
}

// remembered is what the memory keeps beside a reading.
type remembered struct {
	proof *strictjwt.Proof // nil where the reading cannot be kept
	hash  [sha256.Size]byte
	bytes int         // that the reading takes
	used  atomic.Bool // since the hand passed it
}

const (
	bucketBytes = 16 << 10
	bucketSlots = 16
)

// memoryBucket holds readings that take bucketBytes together, the bucket itself included.
type memoryBucket struct {
	// tags are those of the readings at the same places. They share a cache line, so that a look
	// at it finds a reading. The whole hash decides.
	tags     [bucketSlots]atomic.Uint32
	readings [bucketSlots]atomic.Pointer[readToken]

	mu    sync.Mutex // for all that is below, and for writing to what is above
	bytes int
	hand  int // the place that it points to
}

// What the parts of the memory take by themselves, in bytes.
var (
	pointerBytes = int(reflect.TypeFor[atomic.Pointer[memoryBucket]]().Size())
	emptyBytes   = int(reflect.TypeFor[memoryBucket]().Size())
	readingBytes = int(reflect.TypeFor[readToken]().Size())
)

// newSignatureMemory returns a memory of at most so many bytes.
func newSignatureMemory(bytes int, leeway time.Duration) *signatureMemory {
	return &signatureMemory{leeway, make([]atomic.Pointer[memoryBucket], bytes/(bucketBytes+pointerBytes))}
}

// hashOf returns the hash by which a text is remembered.
func hashOf(text string) [sha256.Size]byte {
	var buf [1024]byte // on the stack, where most tokens fit
	return sha256.Sum256(append(buf[:0], text...))
}

// place returns the place of the bucket for a hash, and the tag.
func (m *signatureMemory) place(hash *[sha256.Size]byte) (bucket *atomic.Pointer[memoryBucket], tag uint32) {
	word := binary.BigEndian.Uint64(hash[:])
	return &m.buckets[(word>>32)*uint64(len(m.buckets))>>32], uint32(word)
}

// get returns the reading of the text with this hash, nil if there is none.
func (m *signatureMemory) get(hash *[sha256.Size]byte) *readToken {
	place, tag := m.place(hash)
	bucket := place.Load()
	if bucket == nil {
		return nil
	}
	for i := range bucket.tags {
		if bucket.tags[i].Load() != tag {
			continue
		}
		if r := bucket.readings[i].Load(); r != nil && r.hash == *hash {
			if !r.used.Load() { // a store would take the cache line from other processors
				r.used.Store(true)
			}
			return r
		}
	}
	return nil
}

// put keeps a reading, in the place of one with the same hash if there is one.
func (m *signatureMemory) put(r *readToken, now time.Time) {
	if r.proof == nil {
		return
	}
	if r.bytes = r.size(); emptyBytes+r.bytes > bucketBytes {
		return
	}
	place, tag := m.place(&r.hash)
	bucket := place.Load()
	if bucket == nil {
		place.CompareAndSwap(nil, &memoryBucket{bytes: emptyBytes})
		bucket = place.Load()
	}
	bucket.mu.Lock()
	defer bucket.mu.Unlock()
	free := -1
	for i := range bucket.readings {
		old := bucket.readings[i].Load()
		if old != nil && (old.hash == r.hash || m.isOver(old, now)) {
			bucket.remove(i)
			old = nil
		}
		if old == nil {
			free = i
		}
	}
	for free < 0 || bucket.bytes+r.bytes > bucketBytes {
		free = bucket.evict()
	}
	bucket.bytes += r.bytes
	bucket.tags[free].Store(tag)
	bucket.readings[free].Store(r)
}

// isOver reports whether no call can accept the token any more.
func (m *signatureMemory) isOver(r *readToken, now time.Time) bool {
	return !now.Before(r.token.ExpiresAt.Add(m.leeway))
}

// forget removes a reading.
func (m *signatureMemory) forget(r *readToken) {
	place, _ := m.place(&r.hash)
	bucket := place.Load()
	bucket.mu.Lock()
	defer bucket.mu.Unlock()
	for i := range bucket.readings {
		if bucket.readings[i].Load() == r {
			bucket.remove(i)
		}
	}
}

// remove empties a place. The lock is held.
func (b *memoryBucket) remove(i int) {
	b.bytes -= b.readings[i].Swap(nil).bytes
}

// evict removes the next reading that was not used since the hand passed it, and returns its place.
// There is at least one reading. The lock is held.
func (b *memoryBucket) evict() int {
	for looks := 0; ; looks++ {
		i := b.hand
		b.hand = (b.hand + 1) % bucketSlots
		r := b.readings[i].Load()
		// Calls of get may mark readings as fast as the hand passes them.
		if r != nil && (!r.used.Swap(false) || looks >= 2*bucketSlots) {
			b.remove(i)
			return i
		}
	}
}

// size returns at least how many bytes a reading takes.
func (r *readToken) size() int {
	size := readingBytes + len(r.payload) + r.proof.Size() + len(r.token.ID) // which may be derived
	// These may be parts of the payload, or copies.
	for _, text := range [...]string{r.claims.Issuer, r.claims.Subject, r.claims.ID, r.claims.Session, r.claims.Epochs} {
		size += len(text)
	}
	for _, name := range r.claims.Audience {
		size += 2*pointerBytes + len(name)
	}
	return size + size/8 // because an allocation is rounded up
}
