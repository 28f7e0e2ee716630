// Package mirror answers checks from memory, for services in which a round trip for
// each request is too much.
//
// A [Mirror] keeps the live revocations of a Postgres in memory and asks it a few times
// a second what has changed. It is not a cache: no entry has a time to live.
//
//	m, err := mirror.New(store)
//	go m.Run(ctx) // until ctx ends; before its first load checks ask Postgres
//	validator, err := revoke.NewValidator(m, issuer, audience, keyfunc, algorithms)
//
// # Guarantee
//
// A check that begins later than the bound ([WithBound], one second) after a revocation
// has committed does not accept the token from memory. A revocation made through
// [Mirror.Store] is enforced by the same mirror at once. While the mirror cannot prove
// how old its memory is, it asks Postgres. If Postgres does not answer either, the
// check is revoke.ErrUnavailable.
//
// # Proof
//
// Every row carries the number of the transaction that last wrote it, which a trigger
// sets. A poll is one statement. It returns its own snapshot and the rows of every
// transaction that the snapshot of the poll before did not show: the transactions that
// began after that snapshot, and those that were under way in it. So once a poll has
// been applied, memory holds every row that the poll's snapshot shows. The length of a
// transaction does not matter, nor does the order of commits.
//
// The mirror takes the time before it sends a poll. When all rows of the poll have been
// applied, it publishes that time as its mark. A revocation that committed before the
// mark was taken is in the snapshot, and so in memory. A check reads the mark first and
// the memory second, so it finds at least what the mark stands for. It answers from
// memory only if the mark is no older than the bound, by the monotonic clock and by the
// wall clock. A revocation that committed longer ago than the bound had therefore
// committed before the mark.
//
// Two snapshots are compared only within one session, because after a crash or a
// failover transactions are numbered anew. A new session begins with a full load. Each
// answer names its session: by a random value that the mirror has set in it, by the
// number of the server process, and by the times at which the process and the server
// were started. A gateway that continues on another server and replays the settings is
// noticed by the latter three.
//
// Each answer says under which circumstances its snapshot was taken. It is not used if
// the server was a standby, if default_transaction_read_only is on as on a server that a
// switchover has fenced, if row-level security hides rows from the role, or if the
// transaction was not READ COMMITTED, because its snapshot may be older than its wait for
// a lock. [Mirror.Health] names the reason and the remedy, and checks ask Postgres.
//
// Each answer also proves that the trigger is still the one of the migration, and that it
// was not altered since the load. Otherwise the session ends. Without the trigger no
// session is begun until migrations.Up has restored it: to read all rows at every poll
// instead would be a load on a server that needs only one call.
//
// A write through [Mirror.Store] is put into memory when it returns nil. It stays
// there, over loads of an older snapshot too, until an answer has shown its row. An
// answer to a question that was sent after the write returned must show the row. If it
// does not, the mirror's connection leads to another server than the store's, or a
// failover has lost the commit. Then memory does not answer, and the mirror begins a
// new session. Without a session only so many writes are kept as evidence: see
// [WithMaxEntries].
//
// A row can carry the number of a transaction that the snapshot does not know yet: a
// row that was restored from another server before the table had its trigger. The load
// reads such a row and polls do not. So leave the trigger on when you restore into a
// table that mirrors follow.
//
// # The clock of the database
//
// A token that is stamped ahead of the database's clock is refused, and only that clock can
// tell: memory refuses no token for it. Memory knows a time that the clock has reached: the
// one in the last answer, and three quarters of what has passed here since that arrived. If
// that does not prove that a token is not ahead, Postgres is asked. This happens to tokens
// with the skew revoke.NoIssuerSkew until the next poll or so, and hardly ever to others.
// When a session ends, five minutes are taken off, because the next server may have a clock
// that is behind.
//
// # Assumptions
//
// There is one primary at a time, and the connection reaches it. If two servers both
// act as the primary, the guarantee holds for the one that the mirror reads.
//
// The clocks of this machine do not both stand still while others go on. A virtual
// machine that is paused, or put back to a snapshot, and does not learn the time when
// it goes on, takes its memory for as young as it was, until it polls or for the bound.
// The wall clock is not set back by just as much as the machine slept.
//
// # Without transaction numbers
//
// If the database has no transaction numbers, or a pooler in transaction mode stands
// before it, every poll reads all rows. The guarantee is the same, and the cost is
// higher: see [WithConnString] and [Stats].
package mirror
