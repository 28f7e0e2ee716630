//go:build linux || darwin

package pgserver

import (
	"bufio"
	"context"
	"crypto/rand"
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
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed binaries.sh
var binariesScript string

// startTimeout bounds the start of a server, with its initdb, or of a pooler. An idle machine takes
// half a second.
const startTimeout = 90 * time.Second

// openBinaries starts the installed server.
func openBinaries(ctx context.Context) (*Server, error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	return startPrimary(ctx, bin)
}

// openDirectory starts the server of a directory that the environment names.
func openDirectory(ctx context.Context, bin string) (*Server, error) {
	if !filepath.IsAbs(bin) {
		return nil, errors.New("the path is not absolute")
	}
	if err := hasServer(bin); err != nil {
		return nil, err
	}
	return startPrimary(ctx, bin)
}

// hasServer returns an error if a directory lacks a program that a server needs.
func hasServer(dir string) error {
	for _, program := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, program)); err != nil {
			return err
		}
	}
	return nil
}

// findBinaries returns the directory of initdb and postgres: the one in the PATH, or else the
// newest that packages have installed.
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
		if hasServer(dir) == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("initdb and postgres are neither in the PATH nor in any of %s", strings.Join(patterns, ", "))
}

// majorVersion returns the first number in a path, or 0 if there is none.
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

// fresh is the path of a data directory as initdb made it, for each directory of binaries. It lies
// in the directory of a server, of this process or of another, and goes with that server.
var fresh sync.Map // bin → path

// others matches the directories of servers of other processes. A server may begin with what they
// got from initdb. Of the packages of one go test a few run it then, and not each.
var others = "revoke-postgres.*"

// startPrimary starts a server on a copy of what an earlier server got from initdb, or else on what
// initdb makes.
func startPrimary(ctx context.Context, bin string) (*Server, error) {
	origin, _ := fresh.Load(bin)
	path, _ := origin.(string)
	if path == "" {
		path = freshOfOthers(bin)
	}
	return startBinaries(ctx, bin, strings.NewReader(path+"\n"), "primary")
}

// freshOfOthers returns a data directory that initdb of these binaries has made for a server of
// another process, or "". binaries.sh copies it and then looks whether it is still there. The
// directory of that server must belong to the user that runs the servers here, and to no one else,
// and the server must run: a machine that stopped at once may have left half of a directory.
func freshOfOthers(bin string) string {
	credential, err := unprivileged()
	if err != nil {
		return ""
	}
	uid := os.Geteuid()
	if credential != nil {
		uid = int(credential.Uid)
	}
	made := programs(bin)
	// Glob fails only for a malformed pattern.
	found, _ := filepath.Glob(filepath.Join(temporaryDirectory(), others, freshName))
	for _, path := range found {
		dir, err := os.Lstat(filepath.Dir(path))
		if err != nil || !dir.IsDir() || dir.Mode().Perm() != 0o700 {
			continue
		}
		owner, ok := dir.Sys().(*syscall.Stat_t)
		if !ok || int(owner.Uid) != uid {
			continue
		}
		if by, err := os.ReadFile(path + ".by"); err != nil || made == "" || string(by) != made {
			continue
		}
		if pid := postmaster(filepath.Dir(path)); pid > 0 && syscall.Kill(pid, 0) == nil {
			return path
		}
	}
	return ""
}

// postmaster returns the process id of the server in a directory, or 0 if there is none.
func postmaster(dir string) int {
	text, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, _ := strconv.Atoi(first)
	return pid
}

// freshName is the name of a data directory as initdb made it, beside that of its server. A file
// with this name and ".by" has the programs that made it.
const freshName = "fresh"

// programs describes the programs of a directory, so that those of an upgrade differ from those
// before it. It returns "" if one is not there.
func programs(bin string) string {
	var text strings.Builder
	for _, program := range []string{"initdb", "postgres"} {
		info, err := os.Stat(filepath.Join(bin, program))
		if err != nil {
			return ""
		}
		fmt.Fprintln(&text, bin, program, info.Size(), info.ModTime().UnixNano())
	}
	return text.String()
}

// offerFresh lets servers begin with what initdb has made for this one.
func offerFresh(bin, path string) {
	fresh.Store(bin, path)
	made := programs(bin)
	// Under its name the file is complete. Without it other processes run initdb themselves.
	if os.WriteFile(path+".new", []byte(made), 0o600) == nil {
		_ = os.Rename(path+".new", path+".by")
	}
}

// startBinaries runs binaries.sh with an input and arguments.
func startBinaries(ctx context.Context, bin string, input io.Reader, arguments ...string) (*Server, error) {
	dir, exited, stop, err := startScript(binariesScript, input, append([]string{bin}, arguments...)...)
	if err != nil {
		return nil, err
	}
	// With the port, because PGPORT may be set for another server.
	query := url.Values{"host": {dir}, "port": {"5432"}, "user": {"postgres"}}
	server := &Server{Source: bin, url: "postgres:///postgres?" + query.Encode(), close: stop}
	server.standby = func(ctx context.Context) (*Server, error) {
		backup, label, err := backUp(ctx, server, dir)
		if err != nil {
			return nil, fmt.Errorf("pgserver: base backup: %w", err)
		}
		return startBinaries(ctx, bin, strings.NewReader(label), "standby", dir, backup)
	}
	if err := awaitReady(ctx, server.url, exited); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		return nil, errors.Join(fmt.Errorf("%w; its log ends with: %s", err, tail(string(log))), stop())
	}
	if made := filepath.Join(dir, freshName); exists(made) {
		offerFresh(bin, made)
	}
	return server, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// backUp copies the data of a running server, and returns the directory of the copy and its backup
// label. The copy lies in dir, which the watchdog of the server removes. pg_basebackup would do the
// same, but not every set of binaries has it.
func backUp(ctx context.Context, server *Server, dir string) (backup, label string, err error) {
	credential, err := unprivileged()
	if err != nil {
		return "", "", err
	}
	backup = filepath.Join(dir, "backup."+rand.Text())
	err = server.admin(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		start, stop := "pg_backup_start('standby', fast => true)", "pg_backup_stop(wait_for_archive => false)"
		if conn.PgConn().ParameterStatus("server_version") < "15" {
			start, stop = "pg_start_backup('standby', true, false)", "pg_stop_backup(false, false)"
		}
		if _, err := conn.Exec(ctx, "SELECT "+start); err != nil {
			return err
		}
		//nolint:gosec // the directories are ours
		cp := exec.CommandContext(ctx, "cp", "-R", filepath.Join(dir, "data"), backup)
		cp.Dir = "/"
		cp.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
		cp.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
		if output, err := cp.CombinedOutput(); err != nil && !onlyVanished(string(output)) {
			return fmt.Errorf("cp: %w: %s", err, tail(string(output)))
		}
		return conn.QueryRow(ctx, "SELECT labelfile FROM "+stop).Scan(&label)
	})
	return backup, label, err
}

// onlyVanished reports whether cp complains of missing files and of nothing else. A running server
// removes files. The standby replays the same changes from the log.
func onlyVanished(output string) bool {
	for line := range strings.Lines(output) {
		if !strings.HasSuffix(line, ": No such file or directory\n") {
			return false
		}
	}
	return output != ""
}

// startScript runs one of the scripts of this package. The script removes its files when the
// pipe to it closes: stop closes the pipe, and so does the end of this process. startScript
// returns the directory of the files. The channel exited is closed when the program of the
// script has ended.
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
	// In a session of its own the script gets no interrupt from the terminal. This process
	// does, and the watchdog does the rest.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: credential}
	if err := cmd.Start(); err != nil {
		return "", nil, nil, errors.Join(err, alive.Close(), report.Close())
	}
	reportWrite.Close() // an open write end here would hide the end of the watchdog

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

// awaitReady returns nil when the server answers, and an error if it ends or the time is over.
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

// unprivileged returns the user that runs the server: nil for the user of this process. Postgres
// refuses to run as root, so root gets another user.
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
	return nil, errors.New(`a server refuses to run as root, and there is neither a user "postgres" nor "nobody"`)
}

// temporaryDirectory prefers a file system in memory: a database of a test is some 300 small files.
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
