//go:build linux

package pgserver_test

import (
	"context"
	"crypto/rand"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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
	return &process{mark: filepath.Base(dir), orphans: orphans(t)}
}

func databases(t *testing.T, address string) []string {
	t.Helper()
	return query[[]string](t, address, "SELECT array_agg(datname ORDER BY datname) FROM pg_database")
}

// asRole is the address with another role, and with a password that the server, which trusts everybody, ignores.
func asRole(address, role string) string {
	address = strings.Replace(address, "&user=postgres", "", 1)
	return strings.Replace(address, "postgres:///", "postgres://"+role+":"+secret+"@/", 1)
}

// openServer starts a server whose databases and roles are the test's alone.
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
		"CREATE DATABASE revoke_test_of_somebody_else", "CREATE DATABASE owned OWNER maker")
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
	}, func() string { return "the server still trusts everybody" })
	docker := silentEngine(t)

	for name, test := range map[string]struct{ address, want string }{
		"no CREATEDB":     {asRole(own.URL(), "plain"), `role "plain" needs CREATEDB: ALTER ROLE "plain" CREATEDB`},
		"odd role":        {asRole(own.URL(), "odd%20role"), `ALTER ROLE "odd role" CREATEDB`},
		"wrong password":  {asRole(own.URL(), "guarded"), "password authentication failed"},
		"no such role":    {asRole(own.URL(), "nobody"), `role "nobody" does not exist`},
		"nobody listens":  {"postgres://ada:" + secret + "@" + closedPort(t) + "/postgres", "connection refused"},
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
	silent(t, listener)
	t.Setenv("REVOKE_DATABASE_URL", "postgres://ada:"+secret+"@"+listener.Addr().String()+"/postgres?sslmode=disable")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err = pgserver.Open(ctx)
	if err == nil || !strings.Contains(err.Error(), "REVOKE_DATABASE_URL") || strings.Contains(err.Error(), secret) {
		t.Errorf("the error is %q", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
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

// An absent engine costs nothing, and the error says what was tried and what would help.
func TestNothingWorks(t *testing.T) {
	t.Setenv("REVOKE_DATABASE_URL", "")
	for name, host := range map[string]string{
		"no socket": "unix://" + filepath.Join(t.TempDir(), "docker.sock"),
		"no port":   "tcp://" + closedPort(t),
		"no URL":    "unix://%zz",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("REVOKE_POSTGRES_SOURCE", "docker")
			t.Setenv("DOCKER_HOST", host)
			began := time.Now()
			_, err := pgserver.Open(t.Context())
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %v", took)
			}
			wantAdvice(t, err, "docker: ")
			if err != nil && strings.Contains(err.Error(), "binaries: ") {
				t.Errorf("it tried what it was not to: %q", err)
			}
		})
	}

	// The PATH comes first.
	dir := openDir(t, "bin")
	for _, program := range []string{"initdb", "postgres"} {
		script := "#!/bin/sh\necho " + program + " is broken; exit 1\n"
		if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
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
	for _, want := range append(more, "REVOKE_DATABASE_URL", "start Docker", "apt-get install postgresql", "Tried") {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
}

// A Docker engine that accepts and never answers is given up after two seconds, and the binaries are used.
func TestSilentDocker(t *testing.T) {
	t.Setenv("REVOKE_DATABASE_URL", "")
	engine := silentEngine(t)
	t.Setenv("DOCKER_HOST", engine.host)

	t.Setenv("REVOKE_POSTGRES_SOURCE", "docker")
	began := time.Now()
	_, err := pgserver.Open(t.Context())
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
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

// closedPort returns an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
