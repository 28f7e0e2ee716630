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

// signatureMemory keeps what was read of tokens that were accepted, by the SHA-256 of their text.
// It is bounded in bytes. It belongs to one validator, because a readToken holds only for the
// issuer, the audience, the algorithms and the options of one. It may be used from several
// goroutines.
//
// The hash chooses a bucket. Where the memory or the bucket is full, a token that has expired, or
// one that was not used since the hand of a clock passed it, makes room. So tokens that come once
// do not displace those that come again and again. get takes no lock.
type signatureMemory struct {
	leeway  time.Duration                  // of the validator
	limit   int                            // of bytes
	buckets []atomic.Pointer[memoryBucket] // each nil until something is put into it

	mu    sync.Mutex // for all that is below, and for writing to buckets
	bytes int        // that everything takes
	hand  int        // the place that it points to, counted through all buckets
}

// remembered is what the memory keeps beside a readToken.
type remembered struct {
	proof *strictjwt.Proof // nil where the token cannot be kept
	hash  [sha256.Size]byte
	bytes int         // that the token takes
	used  atomic.Bool // since the hand passed it
}

const (
	bucketSlots = 16
	// bucketShare is how many bytes of the memory there are for a bucket. Tokens of 1 KiB fill half
	// of its places, so that few buckets are full before the memory is.
	bucketShare = 8 << 10
	// maxRemembered is the most that a token may take, in bytes.
	maxRemembered = 16 << 10
)

// memoryBucket has places for the tokens of one part of all hashes.
type memoryBucket struct {
	// tags are those of the tokens at the same places. They share a cache line, so that a look at
	// it finds a token. The whole hash decides.
	tags   [bucketSlots]atomic.Uint32
	tokens [bucketSlots]atomic.Pointer[readToken]
}

// What the parts of the memory take by themselves, in bytes.
var (
	pointerBytes = int(reflect.TypeFor[atomic.Pointer[memoryBucket]]().Size())
	bucketBytes  = int(reflect.TypeFor[memoryBucket]().Size())
	tokenBytes   = int(reflect.TypeFor[readToken]().Size())
)

// newSignatureMemory returns a memory of at most so many bytes.
func newSignatureMemory(bytes int, leeway time.Duration) *signatureMemory {
	n := bytes / bucketShare
	return &signatureMemory{
		leeway: leeway, limit: bytes, buckets: make([]atomic.Pointer[memoryBucket], n), bytes: n * pointerBytes,
	}
}

// hashOf returns the hash by which a text is remembered.
func hashOf(text string) [sha256.Size]byte {
	var buf [1024]byte // on the stack, where most tokens fit
	return sha256.Sum256(append(buf[:0], text...))
}

// bucket returns the place of the bucket for a hash, and the tag.
func (m *signatureMemory) bucket(hash *[sha256.Size]byte) (place *atomic.Pointer[memoryBucket], tag uint32) {
	word := binary.BigEndian.Uint64(hash[:])
	return &m.buckets[(word>>32)*uint64(len(m.buckets))>>32], uint32(word)
}

// get returns the token of the text with this hash, nil if there is none.
func (m *signatureMemory) get(hash *[sha256.Size]byte) *readToken {
	place, tag := m.bucket(hash)
	bucket := place.Load()
	if bucket == nil {
		return nil
	}
	for i := range bucket.tags {
		if bucket.tags[i].Load() != tag {
			continue
		}
		if r := bucket.tokens[i].Load(); r != nil && r.hash == *hash {
			if !r.used.Load() { // a store would take the cache line from other processors
				r.used.Store(true)
			}
			return r
		}
	}
	return nil
}

// put keeps a token, in the place of one with the same hash if there is one.
func (m *signatureMemory) put(r *readToken, now time.Time) {
	if r.proof == nil {
		return
	}
	if r.bytes = r.size(); r.bytes > maxRemembered {
		return
	}
	place, tag := m.bucket(&r.hash)
	m.mu.Lock()
	defer m.mu.Unlock()
	bucket := place.Load()
	if bucket == nil {
		bucket = new(memoryBucket)
		place.Store(bucket)
		m.bytes += bucketBytes
	}
	free := -1
	for i := range bucket.tokens {
		if old := bucket.tokens[i].Load(); old != nil {
			if old.hash != r.hash && !m.isOver(old, now) {
				continue
			}
			m.remove(bucket, i)
		}
		free = i
	}
	if free < 0 {
		free = m.evictFrom(bucket)
	}
	m.bytes += r.bytes
	m.makeRoom()
	bucket.tags[free].Store(tag)
	bucket.tokens[free].Store(r)
}

// isOver reports whether no call can accept the token any more.
func (m *signatureMemory) isOver(r *readToken, now time.Time) bool {
	return !now.Before(r.token.ExpiresAt.Add(m.leeway))
}

// forget removes a token.
func (m *signatureMemory) forget(r *readToken) {
	place, _ := m.bucket(&r.hash)
	m.mu.Lock()
	defer m.mu.Unlock()
	bucket := place.Load()
	for i := range bucket.tokens {
		if bucket.tokens[i].Load() == r {
			m.remove(bucket, i)
		}
	}
}

// remove empties a place. The lock is held.
func (m *signatureMemory) remove(bucket *memoryBucket, i int) {
	m.bytes -= bucket.tokens[i].Swap(nil).bytes
}

// evictFrom empties a place of a bucket that is full. The lock is held.
func (m *signatureMemory) evictFrom(bucket *memoryBucket) int {
	i := m.hand % bucketSlots // if all are used, which differs from call to call
	for range bucketSlots {
		if !bucket.tokens[i].Load().used.Swap(false) {
			break
		}
		i = (i + 1) % bucketSlots
	}
	m.remove(bucket, i)
	m.hand++
	return i
}

// makeRoom removes tokens until the rest takes no more than the limit. The lock is held.
func (m *signatureMemory) makeRoom() {
	// After two rounds each token is removed, because calls of get may mark them as used as fast as
	// the hand passes.
	for passed := 0; m.bytes > m.limit && passed < 3*len(m.buckets)*bucketSlots; passed++ {
		m.hand = (m.hand + 1) % (len(m.buckets) * bucketSlots)
		bucket := m.buckets[m.hand/bucketSlots].Load()
		if bucket == nil {
			continue
		}
		r := bucket.tokens[m.hand%bucketSlots].Load()
		if r != nil && (!r.used.Swap(false) || passed > 2*len(m.buckets)*bucketSlots) {
			m.remove(bucket, m.hand%bucketSlots)
		}
	}
}

// size returns at least how many bytes a token takes.
func (r *readToken) size() int {
	size := tokenBytes + len(r.payload) + r.proof.Size() + len(r.token.ID) // which may be derived
	// These may be parts of the payload, or copies.
	for _, text := range [...]string{
		r.claims.Issuer, r.claims.Subject, r.claims.ID, r.claims.Session, r.claims.Epochs, r.claims.Actor,
		r.token.Actor.Issuer, r.token.Actor.Subject,
	} {
		size += len(text)
	}
	for _, name := range r.claims.Audience {
		size += 2*pointerBytes + len(name)
	}
	return size + size/8 // because an allocation is rounded up
}
