//go:build linux

package pgserver_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke/internal/pgserver"
)

// secret stands in URLs, and never in an error.
const secret = "correct-horse-battery"

// markedPath marks what this process starts from now on.
func markedPath(t *testing.T) *process {
	t.Helper()
	dir := openDir(t, "mark-"+strings.ToLower(rand.Text()[:10]))
	t.Setenv("PATH", os.Getenv("PATH")) // is restored after the test
	mark(dir)
	return &process{directory: dir, mark: filepath.Base(dir)}
}

func databases(t *testing.T, address string) []string {
	t.Helper()
	return query[[]string](t, address, "SELECT array_agg(datname ORDER BY datname) FROM pg_database")
}

// asRole is the address with another role, and with a password. The server ignores the
// password, because it trusts every client.
func asRole(address, role string) string {
	address = strings.Replace(address, "&user=postgres", "", 1)
	return strings.Replace(address, "postgres:///", "postgres://"+role+":"+secret+"@/", 1)
}

// openServer starts a server that only this test uses.
func openServer(t *testing.T) *pgserver.Server {
	t.Helper()
	t.Setenv("REVOKE_DATABASE_URL", "")
	t.Setenv("REVOKE_POSTGRES_SOURCE", "binaries")
	server, err := pgserver.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func TestDatabaseURL(t *testing.T) {
	own := openServer(t)
	execute(t, own.URL(), "CREATE ROLE maker LOGIN CREATEDB", "CREATE DATABASE precious",
		"CREATE DATABASE revoke_test_of_another", "CREATE DATABASE owned OWNER maker")
	before := databases(t, own.URL())
	maker := asRole(own.URL(), "maker")
	for name, address := range map[string]string{
		"in the path":    maker,
		"in the query":   strings.Replace(maker, "/postgres?", "/?dbname=owned&", 1),
		"in both":        maker + "&dbname=owned",
		"other spelling": strings.Replace(maker, "/postgres?", "/?database=owned&", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("REVOKE_DATABASE_URL", address)
			t.Setenv("REVOKE_POSTGRES_SOURCE", "nonsense") // is not looked at
			server, err := pgserver.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var made []string
			for range 2 {
				for _, create := range []func(context.Context) (string, error){server.CreateDatabase, server.CreateEmptyDatabase} {
					address, err := create(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if !strings.HasPrefix(query[string](t, address, "SELECT current_database()"), "revoke_test_") {
						t.Fatalf("%s is none that was made here", address)
					}
					made = append(made, address)
				}
			}
			after := databases(t, own.URL())
			for _, name := range after {
				if !slices.Contains(before, name) && !strings.HasPrefix(name, "revoke_test_") {
					t.Errorf("it made the database %q", name)
				}
			}
			if n := len(after) - len(before); n != len(made)+1 { // and the template
				t.Errorf("it made %d databases", n)
			}
			if _, err := server.Standby(t.Context()); err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("Standby returned %v", err)
			}
			for _, address := range made {
				if err := server.DropDatabase(t.Context(), address); err != nil {
					t.Error(err)
				}
			}
			if err := server.Close(); err != nil {
				t.Error(err)
			}
			if after := databases(t, own.URL()); !slices.Equal(after, before) {
				t.Errorf("there were %q, and are %q", before, after)
			}
			for _, name := range []string{"postgres", "owned"} {
				inIt := strings.Replace(own.URL(), "/postgres?", "/"+name+"?", 1)
				if query[bool](t, inIt, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'revoke')") {
					t.Errorf("the schema was made in %s", name)
				}
			}
		})
	}
	if query[int](t, own.URL(), "SELECT 1") != 1 {
		t.Error("Close stopped a server that it did not start")
	}
}

func TestDatabaseURLThatIsNoUse(t *testing.T) {
	own := openServer(t)
	execute(t, own.URL(), "CREATE ROLE plain LOGIN", `CREATE ROLE "odd role" LOGIN`,
		"CREATE ROLE guarded LOGIN CREATEDB PASSWORD 'another'")
	rules := filepath.Join(directory(t, own.URL()), "data", "pg_hba.conf")
	text, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(rules, append([]byte("local all guarded scram-sha-256\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	execute(t, own.URL(), "SELECT pg_reload_conf()")
	poll(t, func() bool {
		conn, err := pgx.Connect(t.Context(), asRole(own.URL(), "guarded"))
		if err != nil {
			return true
		}
		return conn.Close(t.Context()) != nil
	}, func() string { return "the server still trusts every client" })
	docker := silentEngine(t)

	for name, test := range map[string]struct{ address, want string }{
		"no CREATEDB":     {asRole(own.URL(), "plain"), `role "plain" needs CREATEDB: ALTER ROLE "plain" CREATEDB`},
		"odd role":        {asRole(own.URL(), "odd%20role"), `ALTER ROLE "odd role" CREATEDB`},
		"wrong password":  {asRole(own.URL(), "guarded"), "password authentication failed"},
		"no such role":    {asRole(own.URL(), "nobody"), `role "nobody" does not exist`},
		"no listener":     {"postgres://ada:" + secret + "@" + closedPort(t) + "/postgres", "connection refused"},
		"no such host":    {"postgres://ada:" + secret + "@server.invalid/postgres", "server.invalid"},
		"key and value":   {"host=localhost user=ada password=" + secret, "postgres://user@host/database"},
		"another scheme":  {"mysql://ada:" + secret + "@localhost/db", "postgres://user@host/database"},
		"no scheme":       {"ada:" + secret + "@localhost/db", "postgres://user@host/database"},
		"a path":          {"/var/lib/" + secret, "postgres://user@host/database"},
		"bad escape":      {"postgres://ada:" + secret + "%zz@localhost/db", "postgres://user@host/database"},
		"bad port":        {"postgres://ada:" + secret + "@localhost:port/db", "postgres://user@host/database"},
		"bad sslmode":     {"postgres://ada:" + secret + "@localhost/db?sslmode=perhaps", "sslmode"},
		"password behind": {"postgres://ada@localhost/db?sslmode=perhaps&password=" + secret, "sslmode"},
		"bad timeout":     {"postgres://ada:" + secret + "@localhost/db?connect_timeout=soon", "connect_timeout"},
		"space":           {" ", "postgres://user@host/database"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("REVOKE_DATABASE_URL", test.address)
			t.Setenv("REVOKE_POSTGRES_SOURCE", "")
			t.Setenv("DOCKER_HOST", docker.host)
			p := markedPath(t)
			server, err := pgserver.Open(t.Context())
			if err == nil {
				t.Fatalf("Open returned a server from %s", server.Source)
			}
			if !strings.Contains(err.Error(), "REVOKE_DATABASE_URL") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %q, want %q in it", err, test.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells the password: %q", err)
			}
			if n := docker.connections.Load(); n != 0 {
				t.Errorf("Docker was asked %d times", n)
			}
			p.wantNothingLeft(t)
		})
	}
}

// A server that accepts and says nothing is given up when the caller does.
func TestDatabaseURLOfASilentServer(t *testing.T) {
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := silent(t, listener)
	t.Setenv("REVOKE_DATABASE_URL", "postgres://ada:"+secret+"@"+listener.Addr().String()+"/postgres?sslmode=disable")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	opened := make(chan error, 1)
	go func() {
		_, err := pgserver.Open(ctx)
		opened <- err
	}()
	poll(t, func() bool { return accepted.Load() > 0 }, func() string { return "Open has not connected" })
	cancel()
	err = <-opened
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "REVOKE_DATABASE_URL") || strings.Contains(err.Error(), secret) {
		t.Errorf("the error is %q", err)
	}
}

// A directory that the environment names is the only source.
func TestBinVariable(t *testing.T) {
	bin := pgserver.Shared(t).Source
	engine := silentEngine(t)
	t.Setenv("DOCKER_HOST", engine.host)
	t.Setenv("REVOKE_POSTGRES_SOURCE", "")
	t.Setenv("REVOKE_POSTGRES_BIN", bin)
	server, err := pgserver.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if server.Source != bin {
		t.Errorf("the server is from %s, want %s", server.Source, bin)
	}
	standby, err := server.Standby(t.Context())
	if err != nil {
		t.Error(err)
	} else if err := standby.Close(); err != nil {
		t.Error(err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}

	empty, closed := openDir(t, "empty"), openDir(t, "closed")
	broken := filepath.Join(closed, "broken")
	if err := os.Mkdir(broken, 0o755); err != nil {
		t.Fatal(err)
	}
	writeProgram(t, broken, "initdb")
	lacking := openDir(t, "lacking")
	writeProgram(t, lacking, "initdb")
	writeProgram(t, broken, "postgres")
	for _, test := range []struct {
		name, bin, url, source string
		mode                   os.FileMode // of the directory "closed"
		want                   string
	}{
		{name: "relative path", bin: "bin", want: "not absolute"},
		{name: "no such directory", bin: "/nowhere", want: "no such file"},
		{name: "no programs", bin: empty, want: "no such file"},
		{name: "no postgres", bin: lacking, want: "lacking/postgres"},
		{name: "programs that fail", bin: broken, mode: 0o755, want: "initdb is broken"},
		{name: "unreadable for the server's user", bin: broken, mode: 0, want: "ermission denied"},
		{name: "URL beside it", bin: bin, url: "postgres://ada@localhost/db", want: "REVOKE_DATABASE_URL"},
		{name: "other source beside it", bin: bin, source: "docker", want: "REVOKE_POSTGRES_SOURCE"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("REVOKE_POSTGRES_BIN", test.bin)
			t.Setenv("REVOKE_DATABASE_URL", test.url)
			t.Setenv("REVOKE_POSTGRES_SOURCE", test.source)
			if err := os.Chmod(closed, test.mode); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = os.Chmod(closed, 0o755) }()
			p := markedPath(t)
			server, err := pgserver.Open(t.Context())
			if err == nil {
				t.Fatalf("Open returned a server from %s", server.Source)
			}
			if !strings.Contains(err.Error(), "REVOKE_POSTGRES_BIN") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %q, want %q in it", err, test.want)
			}
			p.wantNothingLeft(t)
		})
	}
	if n := engine.connections.Load(); n != 0 {
		t.Errorf("Docker was asked %d times", n)
	}
}

// writeProgram writes a program of the server that fails.
func writeProgram(t *testing.T, dir, name string) {
	t.Helper()
	script := "#!/bin/sh\necho " + name + " is broken; exit 1\n"
	if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestSourceVariable(t *testing.T) {
	t.Setenv("REVOKE_DATABASE_URL", "")
	t.Setenv("REVOKE_POSTGRES_SOURCE", "nonsense")
	if _, err := pgserver.Open(t.Context()); err == nil || !strings.Contains(err.Error(),
		`REVOKE_POSTGRES_SOURCE="nonsense" is neither "docker" nor "binaries"`) {
		t.Errorf("the error is %q", err)
	}
}

// An absent engine is noticed without a wait. The error lists what was tried and what would help.
func TestNothingWorks(t *testing.T) {
	t.Setenv("REVOKE_DATABASE_URL", "")
	for _, test := range []struct{ name, host, want string }{
		{"no socket", "unix://" + filepath.Join(t.TempDir(), "docker.sock"), "no such file"},
		{"no port", "tcp://" + closedPort(t), "connection refused"},
		{"no URL", "unix://%zz", "is no URL"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("REVOKE_POSTGRES_SOURCE", "docker")
			t.Setenv("DOCKER_HOST", test.host)
			_, err := pgserver.Open(t.Context())
			wantAdvice(t, err, "docker: ", test.want)
			if err != nil && strings.Contains(err.Error(), "binaries: ") {
				t.Errorf("it tried what it was not to: %q", err)
			}
		})
	}

	// The PATH comes first.
	dir := openDir(t, "bin")
	writeProgram(t, dir, "initdb")
	writeProgram(t, dir, "postgres")
	t.Setenv("REVOKE_POSTGRES_SOURCE", "")
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(t.TempDir(), "docker.sock"))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	p := markedPath(t)
	_, err := pgserver.Open(t.Context())
	wantAdvice(t, err, "docker: no engine", "binaries: ", "initdb is broken")
	p.wantNothingLeft(t)
}

func wantAdvice(t *testing.T, err error, more ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("Open found a server")
	}
	for _, want := range append(more, "REVOKE_DATABASE_URL", "start Docker", "apt-get install postgresql", "tried") {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
}

// A Docker engine that accepts and never answers is given up, and the binaries are used.
func TestSilentDocker(t *testing.T) {
	t.Setenv("REVOKE_DATABASE_URL", "")
	engine := silentEngine(t)
	t.Setenv("DOCKER_HOST", engine.host)

	t.Setenv("REVOKE_POSTGRES_SOURCE", "docker")
	_, err := pgserver.Open(t.Context())
	wantAdvice(t, err, "docker: ", "does not answer")

	t.Setenv("REVOKE_POSTGRES_SOURCE", "")
	server, err := pgserver.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(server.Source, "initdb")); err != nil {
		t.Errorf("the server is from %s: %v", server.Source, err)
	}
	if query[int](t, server.URL(), "SELECT 1") != 1 {
		t.Error("the server does not answer")
	}
	if n := engine.connections.Load(); n != 2 {
		t.Errorf("Docker was asked %d times", n)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
}

type engine struct {
	host        string
	connections *atomic.Int32
}

// silentEngine accepts and never answers.
func silentEngine(t *testing.T) engine {
	t.Helper()
	var config net.ListenConfig
	path := filepath.Join(t.TempDir(), "s")
	listener, err := config.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return engine{"unix://" + path, silent(t, listener)}
}

// silent accepts, and counts, until the test ends.
func silent(t *testing.T, listener net.Listener) *atomic.Int32 {
	t.Helper()
	var count atomic.Int32
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			count.Add(1)
			defer conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return &count
}

// closedPort returns an address that refuses connections until the test ends. The port is bound
// and has no listener, so that the system gives it to no other process.
func closedPort(t *testing.T) string {
	t.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(socket) })
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	bound, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		t.Fatalf("the socket is bound to %v", name)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(bound.Port))
}
