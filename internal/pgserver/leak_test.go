//go:build linux

package pgserver_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/pgrevoke/revoke/internal/testkit"
)

// A process may end in any way: nothing is left of its server and its standby. Each of the two
// has a client that is at work then.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		mode   string
		signal syscall.Signal
		group  bool // signal all that the shell started
	}{
		{name: "Close", mode: "close"},
		{name: "os.Exit", mode: "exit"}, // as the timeout of go test ends a process
		{name: "SIGKILL", mode: "wait", signal: syscall.SIGKILL},
		{name: "SIGINT from the shell", mode: "wait", signal: syscall.SIGINT, group: true},
		{name: "panic", mode: "panic"},
		{name: "SIGTERM", mode: "wait", signal: syscall.SIGTERM},
		{name: "SIGINT", mode: "wait", signal: syscall.SIGINT},
		{name: "SIGHUP from the shell", mode: "wait", signal: syscall.SIGHUP, group: true},
	}
	for _, test := range tests[:testkit.Long(4, len(tests))] {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, test.mode)
			urls := p.urls(t)
			if test.mode == "wait" {
				for _, address := range urls {
					dir, pid := directory(t, address), strconv.Itoa(postmaster(t, address))
					if _, err := os.Stat("/proc/" + pid); err != nil {
						t.Fatal(err)
					}
					if _, err := os.Stat(dir); err != nil {
						t.Fatal(err)
					}
				}
				// Both watchdogs, both postmasters and their children are found while they live.
				if n := len(processesOf(t, p.mark)); n < 8 {
					t.Errorf("%d processes have the mark", n)
				}
				if n := len(filesOf(t, p.mark)); n != 2 {
					t.Errorf("%d directories have the mark", n)
				}
				if n := len(p.segments(t)); n != 2 {
					t.Errorf("%d segments of shared memory have the keys", n)
				}
				target := p.Process.Pid
				if test.group {
					target = -target
				}
				if err := syscall.Kill(target, test.signal); err != nil {
					t.Fatal(err)
				}
			}
			p.end(t)
			p.wantNothingLeft(t)
		})
	}
}

// A process may be killed before it knows the directory of its server's files.
func TestNothingIsLeftOfAStart(t *testing.T) {
	t.Parallel()
	// How long a start takes here and now decides which moments are in it.
	p := start(t, "close")
	if got := p.line(t); got != "starting" {
		t.Fatalf("the process said %q", got)
	}
	began := time.Now()
	p.line(t)
	duration := time.Since(began)
	p.end(t)
	p.wantNothingLeft(t)

	kills := testkit.Long(3, 20)
	late := 0
	var killed []*process
	for early := 0; early < kills; {
		p := start(t, "wait")
		if got := p.line(t); got != "starting" {
			t.Fatalf("the process said %q", got)
		}
		// One in each part of the start, so that every phase of it is met.
		part := duration / time.Duration(kills)
		moment := part*time.Duration(early) + rand.N(part)
		<-time.After(moment)
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if line, _ := p.lines.ReadString('\n'); line == "" {
			early++
		} else { // the servers had started: this start was faster than the one that was measured
			late++
			duration = moment
		}
		p.end(t)
		killed = append(killed, p)
	}
	for _, p := range killed {
		p.wantNothingLeft(t)
	}
	t.Logf("a start takes %v; %d were killed in it, %d after it", duration, kills, late)
}

// A package with tests that use Main, Shared and Database cleans up, also if the tests run out
// of time.
func TestNothingIsLeftOfTests(t *testing.T) {
	t.Parallel()
	p := start(t, "", "-test.run=^TestDatabaseIsTheTestsAlone$")
	p.end(t)
	if !p.ProcessState.Success() {
		t.Errorf("the tests ended with %v", p.ProcessState)
	}
	p.wantNothingLeft(t)

	p = start(t, "", "-test.run=^TestDatabaseIsTheTestsAlone$", "-test.count=1000000", "-test.timeout=3s")
	p.end(t)
	if p.ProcessState.Success() {
		t.Error("the tests did not run out of time")
	}
	p.wantNothingLeft(t)
}

// Each process has a server of its own, and the end of one is not the end of the other. The
// server of the second begins with what initdb made for the first.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	first := start(t, "wait")
	one := first.urls(t)[0]
	// Without the mark, by which processes of the first are found.
	suffix := filepath.Ext(directory(t, one))
	second := startWith(t, []string{copyVariable + "=revoke-postgres.*" + suffix}, "wait")
	other := second.urls(t)[0]
	if directory(t, one) == directory(t, other) {
		t.Fatalf("both are at %s", one)
	}
	for address, made := range map[string]bool{one: true, other: false} {
		_, err := os.Stat(filepath.Join(directory(t, address), "fresh"))
		if (err == nil) != made {
			t.Errorf("initdb ran for %s: %v", address, err == nil)
		}
	}
	execute(t, one, "CREATE DATABASE only_here")
	execute(t, other, "CREATE TABLE kept AS SELECT 42 AS value")
	if query[bool](t, other, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'only_here')") {
		t.Error("a database of one is in the other")
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.end(t)
	first.wantNothingLeft(t)
	if got := query[int](t, other, "SELECT value FROM kept"); got != 42 {
		t.Errorf("after the end of the other process: %d", got)
	}
	if err := second.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	second.end(t)
	second.wantNothingLeft(t)
}
