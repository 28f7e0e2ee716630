package revoke

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// maxCoalesced bounds how many checks share a query, so that one answer does not take long.
const maxCoalesced = 1024

// coalescer lets checks that come at the same time share round trips. A few queries run at once; whoever arrives meanwhile
// queues, and goes out with everybody else who did in the next one. So nobody waits for company: a single caller asks at
// once, and under load the batches grow by themselves.
//
// A query belongs to none of its callers. It runs in a goroutine that lives as long as there is a queue, under a timeout of
// its own, because a query that is cancelled closes its connection: callers leave when their ctx ends, and the query goes
// on. Each answer is from a snapshot that was taken after its Check began, because a caller queues before the query is sent.
type coalescer struct {
	pool    *pgxpool.Pool
	sql     *statements
	timeout time.Duration

	idle sync.Pool // of waiters

	mu      sync.Mutex
	free    int       // queries that may begin
	waiting []*waiter // in the order in which they came
}

// waiter is a check in the queue or in a query. One that has been answered serves another check, because to make a channel and
// a timer for each would cost a sixth of the throughput.
type waiter struct {
	keys [4]pgtype.UUID // as of keysOf
	gone bool           // under the lock: no query need be sent for it

	answer answer // set before done receives, as is err
	err    error
	done   chan struct{} // of one place, so that nobody waits for one who is gone
	late   *time.Timer
}

// check asks about the keys, together with whoever else asks, and for no longer than the timeout.
func (c *coalescer) check(ctx context.Context, keys [4]pgtype.UUID) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, err
	}
	w, ok := c.idle.Get().(*waiter)
	if ok {
		w.late.Reset(c.timeout)
	} else {
		w = &waiter{done: make(chan struct{}, 1), late: time.NewTimer(c.timeout)}
	}
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
			w.answer, w.err = answer{}, nil
			c.idle.Put(w)
		}
		return a, err
	case <-ctx.Done():
		w.late.Stop()
		err = ctx.Err()
	case <-w.late.C:
	}
	// The waiter may be in a query by now, so it serves nobody else.
	c.mu.Lock()
	w.gone = true
	c.mu.Unlock()
	return answer{}, err
}

// drain answers the queue until it is empty. It owns one of the queries that may run.
func (c *coalescer) drain() {
	ended := false
	defer func() {
		if !ended { // a tracer has ended this goroutine with Goexit: the queue must not notice
			go c.drain()
		}
	}()
	for batch := c.next(); batch != nil; batch = c.next() {
		c.ask(batch)
		if len(batch) > 1 {
			runtime.Gosched() // to those who were answered and ask again, so that they share the next query
		}
	}
	ended = true
}

// next takes the next batch off the queue, or gives the query back where there is none.
func (c *coalescer) next() []*waiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	var batch []*waiter
	taken := 0
	for _, w := range c.waiting {
		if len(batch) == maxCoalesced {
			break
		}
		taken++
		if !w.gone {
			batch = append(batch, w)
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

// errCutShort is the answer of a query whose goroutine was ended by a tracer.
var errCutShort = errors.New("the query was cut short by a tracer")

// ask answers a batch, whatever happens: an error is everybody's.
func (c *coalescer) ask(batch []*waiter) {
	err := errCutShort
	defer func() {
		if r := recover(); r != nil {
			// Nobody could recover from it here, where it would end the process.
			err = fmt.Errorf("%w: panic: %v", errCutShort, r)
		}
		for _, w := range batch {
			w.err = err
			w.done <- struct{}{}
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	conn, err2 := c.pool.Acquire(ctx)
	if err2 != nil {
		err = err2
		return
	}
	defer conn.Release() // also after a panic: the pool closes a connection that is in the middle of something
	if len(batch) == 1 {
		err = askOne(ctx, conn, c.sql.check, batch[0])
	} else {
		err = askMany(ctx, conn, c.sql.checkMany, batch)
	}
}

func askOne(ctx context.Context, conn *pgxpool.Conn, sql string, w *waiter) error {
	a := &w.answer
	return conn.QueryRow(ctx, sql, w.keys[0], w.keys[1], w.keys[2], w.keys[3]).Scan(
		&a.standby, &a.now, &a.token, &a.session, &a.user, &a.issuer)
}

// askMany sends the keys as one array for each kind, and gets a row for each that was found, with its place in the array.
// The issuer, which is the same for most, is asked about once.
func askMany(ctx context.Context, conn *pgxpool.Conn, sql string, batch []*waiter) error {
	var keys [4][]pgtype.UUID
	var owners [3][]*waiter
	for kind := range owners {
		keys[kind] = make([]pgtype.UUID, 0, len(batch))
		owners[kind] = make([]*waiter, 0, len(batch))
	}
	issuers := make(map[key]int)
	issuerOf := make([]int, len(batch)) // the place of each waiter's issuer
	for i, w := range batch {
		for kind := range owners {
			if k := w.keys[kind]; k.Valid {
				keys[kind] = append(keys[kind], k)
				owners[kind] = append(owners[kind], w)
			}
		}
		place, known := issuers[w.keys[3].Bytes]
		if !known {
			place = len(keys[3])
			issuers[w.keys[3].Bytes] = place
			keys[3] = append(keys[3], w.keys[3])
		}
		issuerOf[i] = place
	}
	rows, err := conn.Query(ctx, sql, keys[0], keys[1], keys[2], keys[3])
	if err != nil {
		return err
	}
	defer rows.Close()
	var common answer
	found := make([]pgtype.Int8, len(keys[3]))
	var kind int32
	var place int64 // from 1; of the clock's row, whether this is a standby
	var at pgtype.Int8
	columns := []any{&kind, &place, &at}
	for rows.Next() {
		if err := rows.Scan(columns...); err != nil {
			return err
		}
		switch kind {
		case 0:
			common.standby, common.now = place != 0, at.Int64
		case 1:
			owners[0][place-1].answer.token = at
		case 2:
			owners[1][place-1].answer.session = at
		case 3:
			owners[2][place-1].answer.user = at
		case 4:
			found[place-1] = at
		}
	}
	for i, w := range batch {
		w.answer.standby, w.answer.now = common.standby, common.now
		w.answer.issuer = found[issuerOf[i]]
	}
	return rows.Err()
}
