package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/bits-and-blooms/bloom/v3"
)

// filter is a Bloom filter in memory, as an API gateway holds one: it is asked for the name and the
// value of each of some claims, and refuses a token of which it may have seen one. It cannot know
// when a user was revoked, so that a user in it is refused for good, and it takes some good tokens
// for revoked ones.
type filter struct {
	mutex sync.RWMutex // the filter is written while it is asked
	bloom *bloom.BloomFilter
	wrong atomic.Int64 // good tokens that were refused
}

// newFilter returns a filter with n tokens and n users. None of them is asked for, because all
// tokens are good. One in ten million is refused wrongly, as KrakenD's documentation proposes.
func newFilter(b *testing.B, n int) *filter {
	b.Helper()
	f := &filter{bloom: bloom.NewWithEstimates(uint(2*n), 1e-7)}
	for i := range n {
		f.bloom.AddString(fmt.Sprint("jti-token-", i))
		f.bloom.AddString(fmt.Sprint("sub-gone-", i))
	}
	return f
}

// ask asks for the token, its session, its user and its issuer.
func (f *filter) ask(_ context.Context, r *request) error {
	f.mutex.RLock()
	defer f.mutex.RUnlock()
	if f.bloom.TestString("jti-"+r.token.ID) || f.bloom.TestString("sid-"+r.token.SessionID) ||
		f.bloom.TestString("sub-"+r.token.Subject) || f.bloom.TestString("iss-"+r.token.Issuer) {
		f.wrong.Add(1)
	}
	return nil
}
