package revoke

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/pgrevoke/revoke/internal/postgres"
)

// maxCoalesced bounds how many tokens share a query, so that one answer does not take long.
const maxCoalesced = 1024

// coalescer lets checks that come at the same time share round trips. A few queries run at
// once; a check that arrives meanwhile queues, and goes out with all others in the queue in the
// next query. No check waits for company: a single caller asks at once, and under load the
// batches grow by themselves.
//
// A query belongs to none of its callers. It runs in a goroutine that lives as long as there is
// a queue, under a timeout of its own, because a query that is cancelled closes its connection:
// callers leave when their ctx ends, and the query goes on. Each answer is from a snapshot that
// was taken after its Check began, because a caller queues before the query is sent.
type coalescer struct {
	database *postgres.Database
	sql      *statements
	timeout  time.Duration
	hooked   bool // the pool has hooks, which may want a caller's context

	idle sync.Pool // of waiters

	mu      sync.Mutex
	free    int       // queries that may begin
	waiting []*waiter // in the order in which they came
}

// waiter is a check in the queue or in a query. One that has been answered serves another
// check, because to make a channel and a timer for each would cost a sixth of the throughput.
type waiter struct {
	tokens int // that the keys are of, for the size of a query

	keys [][16]byte
	gone bool // under the lock: no query need be sent for it

	answer answer // set before done receives, as is err
	err    error
	done   chan struct{} // buffered (1), so that the query never blocks on a caller that has left
	late   *time.Timer
}

// ask asks about the keys of so many tokens, together with other callers, and for no longer
// than the timeout.
func (c *coalescer) ask(ctx context.Context, keys [][16]byte, tokens int) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}
	w, ok := c.idle.Get().(*waiter)
	if ok {
		w.late.Reset(c.timeout)
	} else {
		w = &waiter{done: make(chan struct{}, 1), late: time.NewTimer(c.timeout)}
	}
	w.tokens = tokens
	w.keys = keys
	c.mu.Lock()
	c.waiting = append(c.waiting, w)
	begin := c.free > 0
	if begin {
		c.free--
	}
	c.mu.Unlock()
	if begin {
		go c.drain()
	}
	err := context.DeadlineExceeded
	select {
	case <-w.done:
		a, err := w.answer, w.err
		if w.late.Stop() {
			w.keys, w.answer, w.err = nil, answer{}, nil
			c.idle.Put(w)
		}
		return a, err
	case <-ctx.Done():
		w.late.Stop()
		err = ctx.Err()
	case <-w.late.C:
	}
	// The waiter may be in a query by now, so it is not used again.
	c.mu.Lock()
	w.gone = true
	c.mu.Unlock()
	return answer{}, err
}

// drain answers the queue until it is empty. It owns one of the queries that may run.
func (c *coalescer) drain() {
	ended := false
	defer func() {
		if !ended { // a tracer ended this goroutine with Goexit: another one goes on
			go c.drain()
		}
	}()
	for batch := c.next(); batch != nil; batch = c.next() {
		c.answer(batch)
		if len(batch) > 1 {
			runtime.Gosched() // callers that were answered ask again, and share the next query
		}
	}
	ended = true
}

// next takes the next batch off the queue, or gives the query back where there is none.
func (c *coalescer) next() []*waiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	var batch []*waiter
	taken, tokens := 0, 0
	for _, w := range c.waiting {
		if batch != nil && tokens+w.tokens > maxCoalesced {
			break
		}
		taken++
		if !w.gone {
			batch = append(batch, w)
			tokens += w.tokens
		}
	}
	if taken == len(c.waiting) {
		c.waiting = nil
	} else {
		c.waiting = c.waiting[taken:]
	}
	if batch == nil {
		c.free++
	}
	return batch
}

// errCutShort is the answer of a query after a tracer has ended its goroutine.
var errCutShort = errors.New("the query was cut short by a tracer")

// answer asks for a batch and wakes its waiters, also after a panic. An error goes to all of them.
func (c *coalescer) answer(batch []*waiter) {
	var a answer
	err := errCutShort
	defer func() {
		if r := recover(); r != nil {
			// This goroutine has no caller that could recover; an escaped panic would end the
			// process.
			err = fmt.Errorf("%w: panic: %v", errCutShort, r)
		}
		for _, w := range batch {
			w.answer, w.err = a, err
			w.done <- struct{}{}
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	a, err = ask(ctx, c.database, c.sql, keysOf(batch))
	if c.hooked && postgres.FromHook(err) {
		err = fmt.Errorf("%w; a hook of the pool that reads values of a caller's context needs WithCheckQueries(0), "+
			"because a shared check has no caller's context", err)
	}
}

// keysOf returns the keys of all waiters, each once and in their order in the index.
func keysOf(batch []*waiter) [][16]byte {
	if len(batch) == 1 {
		return batch[0].keys
	}
	keys := make([][16]byte, 0, len(batch)*scopeCount)
	for _, w := range batch {
		keys = append(keys, w.keys...)
	}
	return sortedKeys(keys)
}

// sortedKeys returns keys in their order in the index, each once. It changes the slice.
func sortedKeys(keys [][16]byte) [][16]byte {
	slices.SortFunc(keys, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(keys)
}
