package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/internal/testkit"
)

// clock returns the processor time that has been spent so far, user and system.
type clock func() time.Duration

// now is zero where there is no clock.
func (c clock) now() time.Duration {
	if c == nil {
		return 0
	}
	return c()
}

// clientTime is the processor time of this process.
func clientTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	testkit.Must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// postgresClock returns the clock of a server: of its first process and all that this one has
// started. It is nil where the server does not run on this machine.
func postgresClock(b *testing.B, pool *pgxpool.Pool) clock {
	b.Helper()
	backend, ok := localBackend(b, pool)
	if !ok {
		return nil
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", backend))
	testkit.Must(b, err)
	// After the name, in parentheses: the state, and the number of the parent.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	parent, err := strconv.Atoi(fields[1])
	testkit.Must(b, err)
	children := fmt.Sprintf("/proc/%d/task/%d/children", parent, parent)
	return func() time.Duration {
		total := spentBy(parent)
		text, err := os.ReadFile(children)
		testkit.Must(b, err)
		for field := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(field)
			testkit.Must(b, err)
			total += spentBy(child)
		}
		return total
	}
}

// localBackend returns the number of the process behind a connection of the pool, and whether it
// runs on this machine, under Linux.
func localBackend(b *testing.B, pool *pgxpool.Pool) (pid int, ok bool) {
	b.Helper()
	pid = testkit.QueryOne[int](b, pool, "SELECT pg_backend_pid()")
	// Another process may have the number where the server runs elsewhere. The title of a
	// backend names its database.
	title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	database := testkit.QueryOne[string](b, pool, "SELECT current_database()")
	if err != nil || !bytes.HasPrefix(title, []byte("postgres: ")) || !bytes.Contains(title, []byte(database)) {
		b.Log("processor time of Postgres: n/a, since the server does not run on this machine under Linux")
		return 0, false
	}
	return pid, true
}

// spentBy returns the processor time of all threads of a process, and zero if it has ended. It is
// the sum of utime and stime in /proc/<pid>/stat, in nanoseconds.
func spentBy(pid int) (total time.Duration) {
	// The pattern is good.
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			continue // the thread has ended
		}
		first, _, _ := strings.Cut(string(text), " ")
		nanoseconds, _ := strconv.ParseInt(first, 10, 64)
		total += time.Duration(nanoseconds)
	}
	return total
}
