package mirror

import (
	"time"

	"github.com/pgrevoke/revoke"
)

// mark says how old the memory is: every revocation that committed before the mark was
// taken is in it.
type mark struct {
	at     instant
	offset time.Duration // of the database's clock to this machine's, if the answer took no time

	clock   time.Time // of the database, when it answered or before
	arrived int64     // when the answer had arrived, by the monotonic clock
}

// least returns a time that the database's clock has reached: its time in the answer, and what
// has passed since the answer arrived. Of that a quarter is left out, because clocks that are
// being corrected run up to a twelfth faster or slower than others.
func (m *mark) least(now instant) time.Time {
	passed := time.Duration(now.monotonic - m.arrived)
	return m.clock.Add(passed - passed/4)
}

// withoutSession returns the mark for the time after its session has ended. The database may
// go on as another server, of which the clock is behind.
func (m *mark) withoutSession() *mark {
	after := *m
	after.clock = m.clock.Add(-revoke.MaxLeeway)
	return &after
}

// instant is a moment by both clocks of this machine, in nanoseconds. The monotonic one
// only runs forward and may stand still while the machine sleeps. The wall clock goes
// on and may be set.
type instant struct{ monotonic, wall int64 }

var origin = time.Now()

func systemClock() instant {
	now := time.Now()
	return instant{monotonic: int64(now.Sub(origin)), wall: now.UnixNano()}
}

// within reports whether the moment since lies no further back than bound by either clock.
func (i instant) within(since instant, bound time.Duration) bool {
	monotonic, wall := i.monotonic-since.monotonic, i.wall-since.wall
	return monotonic <= int64(bound) && wall <= int64(bound) && wall >= -int64(bound)
}

// after returns the time of a clock that is ahead of the wall clock by offset.
func (i instant) after(offset time.Duration) time.Time { return time.Unix(0, i.wall+int64(offset)) }
