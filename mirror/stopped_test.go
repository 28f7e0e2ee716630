//go:build unix

package mirror

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
)

// follower is a process that runs answer.
type follower struct {
	*exec.Cmd
	ask    func(line string)
	answer func() string
}

func startFollower(t *testing.T, address string) *follower {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0])
	cmd.Env = append(os.Environ(), followVariable+"="+address)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewReader(stdout)
	f := &follower{Cmd: cmd}
	f.ask = func(line string) {
		_, err := fmt.Fprintln(stdin, line)
		must(t, err)
	}
	f.answer = func() string {
		line, err := lines.ReadString('\n')
		must(t, err)
		return strings.TrimSpace(line)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT) // also where the test has failed in between
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil && !t.Failed() {
			t.Error(err)
		}
	})
	if got := f.answer(); got != "ready" {
		t.Fatalf("the process says %q", got)
	}
	return f
}

// stop stops the process, and returns when it stands still.
func (f *follower) stop(t *testing.T) {
	t.Helper()
	must(t, f.Process.Signal(syscall.SIGSTOP))
	var status syscall.WaitStatus
	_, err := syscall.Wait4(f.Process.Pid, &status, syscall.WUNTRACED, nil)
	must(t, err)
	if !status.Stopped() {
		t.Fatalf("the process has not stopped: %v", status)
	}
}

// TestStopped stops the process for ten seconds, in which a token is revoked: its first check after that does not accept
// from memory. The mirror's session is ended meanwhile, so that no poll can be faster than the check.
func TestStopped(t *testing.T) {
	t.Parallel()
	for name, middle := range map[string]bool{"between checks": false, "in the middle of a check": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := pgserver.Database(t)
			pool := pgserver.Pool(t, address)
			store, err := revoke.NewPostgres(pool)
			must(t, err)
			f := startFollower(t, address)
			f.ask("check a")
			if got := f.answer(); got != "accepted from memory" {
				t.Fatalf("before it is stopped: %s", got)
			}
			if middle {
				f.ask("pause a")
				if got := f.answer(); got != "between" {
					t.Fatalf("it does not pause: %s", got)
				}
			}
			f.stop(t)
			must(t, store.RevokeToken(t.Context(), tokenOf("a")))
			var ended int
			must(t, pool.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
				WHERE datname = current_database() AND query LIKE '%pg_current_snapshot()%' AND pid <> pg_backend_pid()`).Scan(&ended))
			if ended != 1 {
				t.Fatalf("%d sessions of a mirror were ended", ended)
			}
			f.ask("check a") // of the pause, the end: it is read as soon as the process goes on
			<-time.After(10 * time.Second)
			must(t, f.Process.Signal(syscall.SIGCONT))
			if got := f.answer(); got != "refused" {
				t.Errorf("the first answer after ten seconds: %s", got)
			}
			deadline := time.Now().Add(10 * time.Second)
			for got := ""; got != "refused from memory"; {
				f.ask("check a")
				if got = f.answer(); !strings.HasPrefix(got, "refused") || time.Now().After(deadline) {
					t.Fatalf("after that: %s", got)
				}
			}
		})
	}
}
