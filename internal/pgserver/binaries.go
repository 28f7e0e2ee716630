//go:build linux || darwin

package pgserver

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed binaries.sh
var binariesScript string

// startTimeout bounds initdb and the start of the server; both take half a second on an idle machine.
const startTimeout = 90 * time.Second

// openBinaries starts the installed server.
func openBinaries(ctx context.Context) (*Server, error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	return startBinaries(ctx, bin, "primary")
}

// findBinaries returns the directory of initdb and postgres: from the PATH, or where packages put the newest.
func findBinaries() (string, error) {
	var candidates []string
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			candidates = append(candidates, filepath.Dir(path))
		}
	}
	patterns := []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/lib/postgresql*/bin", "/usr/local/pgsql/bin",
		"/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	}
	for _, pattern := range patterns {
		found, _ := filepath.Glob(pattern) // fails only for a malformed pattern
		slices.SortFunc(found, func(a, b string) int { return majorVersion(b) - majorVersion(a) })
		candidates = append(candidates, found...)
	}
	for _, dir := range candidates {
		_, errInitdb := exec.LookPath(filepath.Join(dir, "initdb"))
		_, errPostgres := exec.LookPath(filepath.Join(dir, "postgres"))
		if errInitdb == nil && errPostgres == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("initdb and postgres are neither in the PATH nor in any of %s", strings.Join(patterns, ", "))
}

// majorVersion returns the first number in a path, 0 where it has none.
func majorVersion(path string) int {
	digits := func(r rune) bool { return r >= '0' && r <= '9' }
	start := strings.IndexFunc(path, digits)
	if start < 0 {
		return 0
	}
	path = path[start:]
	if end := strings.IndexFunc(path, func(r rune) bool { return !digits(r) }); end >= 0 {
		path = path[:end]
	}
	n, _ := strconv.Atoi(path)
	return n
}

// startBinaries runs binaries.sh.
func startBinaries(ctx context.Context, bin string, arguments ...string) (*Server, error) {
	dir, exited, stop, err := startScript(binariesScript, nil, append([]string{bin}, arguments...)...)
	if err != nil {
		return nil, err
	}
	// With the port, because PGPORT may be set for another server.
	query := url.Values{"host": {dir}, "port": {"5432"}, "user": {"postgres"}}
	server := &Server{
		Source: bin,
		url:    "postgres:///postgres?" + query.Encode(),
		close:  stop,
		standby: func(ctx context.Context) (*Server, error) {
			return startBinaries(ctx, bin, "standby", dir)
		},
	}
	if err := awaitReady(ctx, server.url, exited); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		return nil, errors.Join(err, fmt.Errorf("its log ends with: %s", tail(string(log))), stop())
	}
	return server, nil
}

// startScript runs one of the scripts of this package, which removes everything when the pipe to it closes: by stop, or by our
// death. It returns the directory of its files, and what is closed when its program has ended.
func startScript(script string, input io.Reader, arguments ...string) (dir string, exited <-chan struct{}, stop func() error, err error) {
	credential, err := unprivileged()
	if err != nil {
		return "", nil, nil, err
	}
	aliveRead, alive, err := os.Pipe()
	if err != nil {
		return "", nil, nil, err
	}
	defer aliveRead.Close()
	report, reportWrite, err := os.Pipe()
	if err != nil {
		return "", nil, nil, errors.Join(err, alive.Close())
	}
	defer reportWrite.Close()

	arguments = append([]string{"-c", script, "sh", temporaryDirectory()}, arguments...)
	cmd := exec.Command("/bin/sh", arguments...) //nolint:gosec // the script is ours
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.Stdin = input
	cmd.ExtraFiles = []*os.File{aliveRead, reportWrite}
	// A session of its own: an interrupt from the terminal goes to us alone, and the watchdog does the rest.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: credential}
	if err := cmd.Start(); err != nil {
		return "", nil, nil, errors.Join(err, alive.Close(), report.Close())
	}
	reportWrite.Close() // before it is read, or the end of the watchdog would not be seen

	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // the log tells more than its status
		close(ended)
	}()
	lines := bufio.NewReader(report)
	stop = func() error {
		_ = alive.Close()
		<-ended
		_, err := io.Copy(io.Discard, lines) // ends when the watchdog has removed the files
		return errors.Join(err, report.Close())
	}
	dir, err = lines.ReadString('\n')
	if err != nil {
		return "", nil, nil, errors.Join(fmt.Errorf("no directory for its files in %s", temporaryDirectory()), stop())
	}
	return strings.TrimSuffix(dir, "\n"), ended, stop, nil
}

// awaitReady returns when the server answers, or when it will not.
func awaitReady(ctx context.Context, address string, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, address)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-exited:
			return errors.New("the server ended while it started")
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w", err)
		case <-tick.C:
		}
	}
}

func tail(log string) string {
	log = strings.TrimSpace(log)
	return log[max(0, len(log)-1000):]
}

// unprivileged returns whom to run the server as: nil for ourselves, and for root somebody else, since Postgres
// refuses root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // no credential is what an ordinary user needs
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if errUID == nil && errGID == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("a server refuses to run as root, and there is no user postgres or nobody to run it as")
}

// temporaryDirectory prefers memory: a database of a test is some 300 small files.
func temporaryDirectory() string {
	const shm, gigabyte = "/dev/shm", 1 << 30
	var stat syscall.Statfs_t
	if err := syscall.Statfs(shm, &stat); err == nil && stat.Bavail*uint64(stat.Bsize) > gigabyte {
		return shm
	}
	if os.Geteuid() == 0 {
		return "/tmp" // root's TMPDIR need not be open to others
	}
	return os.TempDir()
}
