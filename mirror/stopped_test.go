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

	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// follower is a process that runs followAndAnswer.
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
	testkit.Must(t, err)
	stdout, err := cmd.StdoutPipe()
	testkit.Must(t, err)
	testkit.Must(t, cmd.Start())
	lines := bufio.NewReader(stdout)
	f := &follower{Cmd: cmd}
	f.ask = func(line string) {
		_, err := fmt.Fprintln(stdin, line)
		testkit.Must(t, err)
	}
	f.answer = func() string {
		line, err := lines.ReadString('\n')
		testkit.Must(t, err)
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
	testkit.Must(t, f.Process.Signal(syscall.SIGSTOP))
	var status syscall.WaitStatus
	_, err := syscall.Wait4(f.Process.Pid, &status, syscall.WUNTRACED, nil)
	testkit.Must(t, err)
	if !status.Stopped() {
		t.Fatalf("the process has not stopped: %v", status)
	}
}

// The process is stopped for several bounds, in which a token is revoked: its first check
// after that does not accept from memory. The mirror's session is ended meanwhile, so
// that no poll can be faster than the check.
func TestStopped(t *testing.T) {
	t.Parallel()
	stopped := testkit.Long(4*followBound, 20*followBound)
	for _, test := range []struct {
		name   string
		middle bool
	}{
		{"between checks", false},
		{"in the middle of a check", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			address := pgserver.Database(t)
			store := openStore(t, address)
			f := startFollower(t, address)
			f.ask("check a")
			if got := f.answer(); got != "accepted from memory" {
				t.Fatalf("before it is stopped: %s", got)
			}
			if test.middle {
				f.ask("pause a")
				if got := f.answer(); got != "between" {
					t.Fatalf("it does not pause: %s", got)
				}
			}
			f.stop(t)
			testkit.Must(t, store.RevokeToken(t.Context(), tokenOf("a")))
			if n := endSessions(t, store.Pool()); n != 1 {
				t.Fatalf("%d sessions of a mirror were ended", n)
			}
			f.ask("check a") // of the pause, the end: it is read as soon as the process goes on
			<-time.After(stopped)
			testkit.Must(t, f.Process.Signal(syscall.SIGCONT))
			if got := f.answer(); got != "refused" {
				t.Errorf("the first answer after %v: %s", stopped, got)
			}
			testkit.Eventually(t, "it refuses from memory", func() bool {
				f.ask("check a")
				got := f.answer()
				if !strings.HasPrefix(got, "refused") {
					t.Fatalf("after that: %s", got)
				}
				return got == "refused from memory"
			})
		})
	}
}
