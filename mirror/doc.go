// Package mirror answers checks from memory, for services in which a round trip for each request is too much.
//
// A [Mirror] keeps the live revocations of a Postgres in memory and asks it a few times a second what has changed. It is no
// cache: nothing in it has a time to live that somebody guessed.
//
//	m, err := mirror.New(store)
//	go m.Run(ctx) // until ctx ends; before its first load checks ask Postgres
//	validator, err := revoke.NewValidator[revoke.Claims](m, issuer, keyfunc, algorithms)
//
// # What it promises
//
// A check that begins later than the bound ([WithBound], one second) after a revocation has committed does not accept the
// token from memory. What was revoked through [Mirror.Store] is refused by the same mirror at once. While the mirror cannot
// prove how old its memory is, it asks Postgres, and if that does not answer either, the check is revoke.ErrUnavailable.
//
// # Why that holds
//
// Every row carries the transaction that last wrote it, which a trigger sees to. A poll is one statement, which returns its own
// snapshot, and the rows of every transaction that the snapshot of the poll before it did not show: those that began
// after it, and those that were under way in it. So whatever a poll's snapshot shows has been applied once that poll is; how
// long a transaction took, and in which order they committed, does not matter.
//
// Before a poll is sent, the mirror takes the time; when all rows of it are applied, it publishes that time as its mark.
// Whatever had committed before the mark was taken is in the snapshot, and so in memory. A check reads the mark first and the
// memory second, so that it finds at least what the mark stands for. It answers from memory only if the mark is no older than
// the bound, by the clock that stands still while the machine sleeps and by the one that can be set. Hence a revocation that
// committed longer ago than the bound had committed before the mark.
//
// A snapshot is compared with the next one only within a session. After a crash or a failover transactions are numbered anew,
// so that a new session begins with a full load; a value that is set in the session and comes back with each poll shows
// that it is the same. A standby's answer is refused, and a session is one of a primary before it loads, because the snapshot
// of a standby does not name what is under way.
//
// A row may say that a transaction wrote it which the snapshot does not know yet: it was restored from another server, before
// there were triggers. The load reads it and polls do not. So to restore into tables that mirrors follow, leave the triggers on.
//
// # What it assumes
//
// One primary at a time, and a connection that reaches it: two servers that both think that they are the primary are beyond
// it. That the clocks of this machine do not both stand still while others go on: a virtual machine that is paused, or put back
// to a snapshot, and is not told the time when it goes on, takes its memory for as young as it was, until it polls or for the
// bound. That the wall clock is not set back by just as much as the machine slept.
//
// # Without transaction numbers
//
// Where the database has none, or a pooler in transaction mode stands before it, every poll reads all rows. That is right,
// and dear: see [WithConnString] and [Stats.Exact].
package mirror
