package app

import (
	"sync"
	"time"
)

// pace is how often something may be tried: burst times at once, and then once in every.
type pace struct {
	burst int
	every time.Duration
}

// The paces at which passwords may be guessed. The one of a name alone is generous, because it
// lets a stranger keep the owner out.
var (
	paceOfBoth    = pace{5, time.Minute} // one name, from one address
	paceOfAddress = pace{50, 10 * time.Second}
	paceOfName    = pace{100, time.Minute}
)

// guesses limits how often passwords are tried, by name and by address. It is in memory: several
// processes allow several times as much, until they share it.
type guesses struct {
	now func() time.Time

	mu   sync.Mutex
	due  map[guess]time.Time // when the tries so far are paid for, at the pace of the key
	full int                 // the number of keys at which those that are paid for are forgotten
}

// guess is a name, an address, or both.
type guess struct{ name, address string }

func newGuesses() *guesses {
	return &guesses{now: time.Now, due: make(map[guess]time.Time), full: 1024}
}

// keys returns what a try counts for. A name is not always known.
func keys(name, address string) map[guess]pace {
	if name == "" {
		return map[guess]pace{{"", address}: paceOfAddress}
	}
	return map[guess]pace{{name, address}: paceOfBoth, {"", address}: paceOfAddress, {name, ""}: paceOfName}
}

// try counts a try and returns 0, or returns how long to wait until the next one is allowed. It is
// called before the password is looked at, so that parallel tries count too.
func (g *guesses) try(name, address string) (wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	g.forget(now)
	for key, pace := range keys(name, address) {
		allowed := g.due[key].Add(-time.Duration(pace.burst-1) * pace.every)
		wait = max(wait, allowed.Sub(now))
	}
	if wait > 0 {
		return wait
	}
	for key, pace := range keys(name, address) {
		due := g.due[key]
		if due.Before(now) {
			due = now
		}
		g.due[key] = due.Add(pace.every)
	}
	return 0
}

// succeeded takes back the try of a caller who knew the password.
func (g *guesses) succeeded(name, address string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for key, pace := range keys(name, address) {
		g.due[key] = g.due[key].Add(-pace.every)
	}
}

// forget drops the keys that are paid for whenever their number has doubled.
func (g *guesses) forget(now time.Time) {
	if len(g.due) < g.full {
		return
	}
	for key, due := range g.due {
		if due.Before(now) {
			delete(g.due, key)
		}
	}
	g.full = max(1024, 2*len(g.due))
}
