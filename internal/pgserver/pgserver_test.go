//go:build linux

package pgserver_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke/internal/pgserver"
)

// The test binary runs itself with these variables to get a process that owns a server and can
// be killed.
const (
	modeVariable = "PGSERVER_TEST_MODE" // how the process is to end
	markVariable = "PGSERVER_TEST_MARK" // a directory: see mark
	// A pattern of the directories of servers from which a server may copy what initdb made.
	copyVariable = "PGSERVER_TEST_COPY"
)

// patience bounds each wait. An idle machine needs a second. The watchdog in binaries.sh may
// wait 90 s for initdb and 30 s for the postmaster before it kills them.
const patience = 3 * time.Minute

func TestMain(m *testing.M) {
	// The tests set the variables that they are about. The values of the outer run must not decide.
	for name, value := range map[string]string{
		"REVOKE_DATABASE_URL": "", "REVOKE_POSTGRES_SOURCE": "binaries", "REVOKE_POSTGRES_IMAGE": "", "REVOKE_POSTGRES_BIN": "",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	// A child inherits an ignored signal (SIGHUP under nohup, SIGINT in the background of a
	// script), and a test that sends the signal would wait for ever. A caught signal is reset
	// in the child.
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	if dir := os.Getenv(markVariable); dir != "" {
		mark(dir)
	}
	// The kills of a start are to meet initdb too, and servers of other packages come and go.
	pgserver.CopyFrom(cmp.Or(os.Getenv(copyVariable), "none"))
	if mode := os.Getenv(modeVariable); mode != "" {
		os.Exit(own(mode))
	}
	pgserver.Main(m)
}

// inodesFile is a file in the mark's directory with the inodes of the data directories.
const inodesFile = "inodes"

// mark puts two programs at the head of the PATH. mktemp adds the name of dir to the name of
// each new directory. mkdir writes the inode of each new directory to inodesFile. Every process
// of a server has the PATH in its environment, or the directory in its arguments or as its
// working directory.
func mark(dir string) {
	inodes := filepath.Join(dir, inodesFile)
	for name, script := range map[string]string{
		"mktemp": `exec /usr/bin/mktemp -d "${2%XXXXXX}` + filepath.Base(dir) + `.XXXXXX"`,
		"mkdir":  `PATH=/usr/bin:/bin && mkdir "$@" && stat -c %i "$1" >>` + inodes,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			panic(err)
		}
	}
	if err := os.WriteFile(inodes, nil, 0o600); err != nil {
		panic(err)
	}
	if err := os.Chmod(inodes, 0o666); err != nil { // the server's user writes to it
		panic(err)
	}
	if err := os.Setenv("PATH", dir+":"+os.Getenv("PATH")); err != nil {
		panic(err)
	}
}

// own opens a server with a standby, keeps both busy, prints their URLs, and ends as it is told.
func own(mode string) int {
	ctx := context.Background()
	fmt.Println("starting")
	server, err := pgserver.Open(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	standby, err := server.Standby(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if _, err := server.CreateDatabase(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, s := range []*pgserver.Server{server, standby} {
		conn, err := pgx.Connect(ctx, s.URL())
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		go func() { _, _ = conn.Exec(ctx, "SELECT pg_sleep(3600)") }()
		fmt.Println(s.URL())
	}
	switch mode {
	case "close":
		if err := standby.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if err := server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	case "exit":
		return 2
	case "panic":
		panic("as told")
	case "wait":
		_, _ = io.Copy(io.Discard, os.Stdin) // the other end stays open
	}
	return 0
}

// process is a run of this test binary that owns a server.
type process struct {
	*exec.Cmd
	directory string // of the mark
	mark      string // its name
	lines     *bufio.Reader
}

// start runs the test binary in a mode. Without a mode the arguments are for its tests.
func start(t *testing.T, mode string, arguments ...string) *process {
	t.Helper()
	return startWith(t, nil, mode, arguments...)
}

// startWith is start with more variables.
func startWith(t *testing.T, environment []string, mode string, arguments ...string) *process {
	t.Helper()
	dir := openDir(t, "mark-"+strings.ToLower(rand.Text()[:10]))
	cmd := exec.CommandContext(t.Context(), os.Args[0], arguments...)
	cmd.Env = slices.Concat(os.Environ(), []string{modeVariable + "=" + mode, markVariable + "=" + dir}, environment)
	cmd.Stderr = t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a shell starts a command
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // of a test that failed on the way
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &process{cmd, dir, filepath.Base(dir), bufio.NewReader(out)}
}

// line returns the next line that the process prints.
func (p *process) line(t *testing.T) string {
	t.Helper()
	line, err := p.lines.ReadString('\n')
	if err != nil {
		t.Fatalf("the process said %q, then %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

// urls returns the addresses of its server and of the standby.
func (p *process) urls(t *testing.T) [2]string {
	t.Helper()
	if got := p.line(t); got != "starting" {
		t.Fatalf("the process said %q", got)
	}
	return [2]string{p.line(t), p.line(t)}
}

// end waits for the process.
func (p *process) end(t *testing.T) {
	t.Helper()
	_, _ = io.Copy(io.Discard, p.lines)
	_ = p.Wait() // the test chooses how the process ends
}

// wantNothingLeft waits until the process's servers have no process, no file and no shared memory.
func (p *process) wantNothingLeft(t *testing.T) {
	t.Helper()
	var processes, files, memory []string
	poll(t, func() bool {
		processes, files, memory = processesOf(t, p.mark), filesOf(t, p.mark), p.segments(t)
		return len(processes)+len(files)+len(memory) == 0
	}, func() string {
		return fmt.Sprintf("left behind: processes %q, files %q, shared memory %q", processes, files, memory)
	})
}

// processesOf returns the living processes that have the mark in their arguments, environment or
// working directory.
func processesOf(t *testing.T, mark string) (found []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil || entry.Name() == strconv.Itoa(os.Getpid()) {
			continue
		}
		// Processes of others cannot be read, and some end meanwhile.
		dir := filepath.Join("/proc", entry.Name())
		arguments, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		environment, _ := os.ReadFile(filepath.Join(dir, "environ"))
		working, _ := os.Readlink(filepath.Join(dir, "cwd"))
		if strings.Contains(string(arguments)+string(environment)+working, mark) {
			found = append(found, entry.Name()+" "+strings.ReplaceAll(string(arguments[:min(len(arguments), 100)]), "\x00", " "))
		}
	}
	return found
}

// segments returns the System V shared memory of the process's servers, which outlives processes.
// Postgres takes the inode of the data directory as the key, so segments of other servers are not
// counted. A server makes this segment before any other shared memory and removes it last.
func (p *process) segments(t *testing.T) (found []string) {
	t.Helper()
	inodes, err := os.ReadFile(filepath.Join(p.directory, inodesFile))
	if err != nil && !os.IsNotExist(err) { // a process that was killed at once has none
		t.Fatal(err)
	}
	var keys []string
	for text := range strings.FieldsSeq(string(inodes)) {
		inode, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, strconv.Itoa(int(int32(inode)))) // a key has 32 bits
	}
	table, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if key := strings.Fields(line)[0]; slices.Contains(keys, key) {
			found = append(found, key)
		}
	}
	return found
}

// filesOf returns the directories of servers with the mark in their names.
func filesOf(t *testing.T, mark string) (found []string) {
	t.Helper()
	for _, base := range []string{"/dev/shm", "/tmp", os.TempDir()} {
		names, err := filepath.Glob(filepath.Join(base, "revoke-postgres.*"+mark+"*"))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, names...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// openDir returns a new directory with this name that the server's user may enter too.
func openDir(t *testing.T, name string) string {
	t.Helper()
	parent := t.TempDir()
	dir := filepath.Join(parent, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{filepath.Dir(parent), parent, dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// directory returns where the server behind a URL keeps its files.
func directory(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	dir := u.Query().Get("host")
	if !filepath.IsAbs(dir) {
		t.Fatalf("%q names no directory", address)
	}
	return dir
}

// postmaster returns the process id of the server behind a URL.
func postmaster(t *testing.T, address string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(directory(t, address), "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// poll waits for a condition.
func poll(t *testing.T, condition func() bool, problem func() string) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal(problem())
		}
	}
}

// query returns the one value that a statement returns.
func query[T any](t *testing.T, address, statement string, arguments ...any) (value T) {
	t.Helper()
	conn := connect(t, address)
	defer conn.Close(context.WithoutCancel(t.Context()))
	if err := conn.QueryRow(t.Context(), statement, arguments...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return value
}

// execute runs statements, each by itself.
func execute(t *testing.T, address string, statements ...string) {
	t.Helper()
	conn := connect(t, address)
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
