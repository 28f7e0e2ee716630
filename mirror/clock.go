package mirror

import "time"

// mark says how old the memory is: every revocation that committed before the mark was
// taken is in it.
type mark struct {
	at     instant
	offset time.Duration // of the database's clock to this machine's
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
func (i instant) after(offset time.Duration) time.Time { return time.Unix(0, i.wall).Add(offset) }
