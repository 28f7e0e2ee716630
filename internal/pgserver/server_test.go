//go:build linux

package pgserver_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/internal/pgserver"
)

func TestDatabaseIsTheTestsAlone(t *testing.T) {
	t.Parallel()
	address, empty := pgserver.Database(t), pgserver.EmptyDatabase(t)
	const count = "SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = 'revoke'"
	if n := query[int](t, address, count); n != 1 {
		t.Error("Database has no schema of ours")
	}
	if n := query[int](t, empty, count); n != 0 {
		t.Error("EmptyDatabase has a schema of ours")
	}
	if address == pgserver.Database(t) {
		t.Errorf("two calls of Database returned %s", address)
	}

	var within string
	t.Run("test", func(t *testing.T) {
		within = pgserver.Database(t)
		pool := pgserver.Pool(t, within, func(c *pgxpool.Config) { c.MaxConns = 1 })
		if n := pool.Config().MaxConns; n != 1 {
			t.Errorf("the pool has %d connections", n)
		}
		if err := pool.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if conn, err := pgxpool.New(t.Context(), within); err != nil {
		t.Error(err)
	} else {
		if err := conn.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "does not exist") {
			t.Errorf("after its test, the database answers %v", err)
		}
		conn.Close()
	}
}

// DropDatabase ends the connections, and touches only databases that were made here.
func TestDropDatabase(t *testing.T) {
	t.Parallel()
	server := pgserver.Shared(t)
	address, err := server.CreateEmptyDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, address)
	defer conn.Close(context.WithoutCancel(t.Context()))
	if err := server.DropDatabase(t.Context(), address); err != nil {
		t.Errorf("with a client connected: %v", err)
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("the client is still connected")
	}
	if err := server.DropDatabase(t.Context(), address); err != nil {
		t.Errorf("again: %v", err)
	}

	execute(t, server.URL(), "CREATE DATABASE revoke_test", "CREATE DATABASE precious", `CREATE DATABASE "revoke_test_a; x"`,
		"CREATE DATABASE revoke_test_a")
	for _, name := range []string{"postgres", "template1", "precious", "revoke_test", "REVOKE_TEST_x"} {
		err := server.DropDatabase(t.Context(), strings.Replace(server.URL(), "/postgres?", "/"+name+"?", 1))
		if err == nil || !strings.Contains(err.Error(), "was not created here") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A name is a name and not SQL.
	for _, name := range []string{"revoke_test_A", "revoke_test_a%3B%20x"} {
		if err := server.DropDatabase(t.Context(), strings.Replace(server.URL(), "/postgres?", "/"+name+"?", 1)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	const count = "SELECT count(*) FROM pg_database WHERE datname IN ('postgres', 'template1', 'precious', 'revoke_test', 'revoke_test_a')"
	if n := query[int](t, server.URL(), count); n != 5 {
		t.Errorf("%d of 5 databases are left", n)
	}
	execute(t, server.URL(), "DROP DATABASE revoke_test", "DROP DATABASE precious", "DROP DATABASE revoke_test_a")
}

// Postgres refuses to run as root, and no other user may read its files.
func TestServerIsNotRoot(t *testing.T) {
	t.Parallel()
	address := pgserver.Shared(t).URL()
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(postmaster(t, address)), "status"))
	if err != nil {
		t.Fatal(err)
	}
	var ids [4]int // real, effective, saved, of the file system
	_, after, _ := strings.Cut(string(status), "\nUid:")
	if _, err := fmt.Sscan(after, &ids[0], &ids[1], &ids[2], &ids[3]); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if id == 0 || (os.Geteuid() != 0 && id != os.Geteuid()) {
			t.Errorf("the server's user ids are %d, ours is %d", ids, os.Geteuid())
		}
	}
	info, err := os.Stat(directory(t, address))
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o700 {
		t.Errorf("the mode of its directory is %o", mode)
	}
	if listens := query[string](t, address, "SELECT current_setting('listen_addresses')"); listens != "" {
		t.Errorf("it listens on %q", listens)
	}
}

func TestStandby(t *testing.T) {
	t.Parallel()
	primary := pgserver.Shared(t)
	standby, err := primary.Standby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := directory(t, standby.URL())
	if query[bool](t, primary.URL(), "SELECT pg_is_in_recovery()") {
		t.Error("the primary is in recovery")
	}
	if !query[bool](t, standby.URL(), "SELECT pg_is_in_recovery()") {
		t.Error("the standby is not in recovery")
	}
	execute(t, primary.URL(), "CREATE TABLE streamed AS SELECT 42 AS value")
	poll(t, func() bool {
		return query[bool](t, standby.URL(), "SELECT to_regclass('streamed') IS NOT NULL")
	}, func() string { return "the standby does not receive a table" })
	execute(t, primary.URL(), "INSERT INTO streamed VALUES (43)")
	poll(t, func() bool {
		return query[int](t, standby.URL(), "SELECT count(*) FROM streamed") == 2
	}, func() string { return "the standby does not receive a row" })

	if err := standby.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("after Close the standby's directory is there: %v", err)
	}
	if got := query[int](t, primary.URL(), "SELECT count(*) FROM streamed"); got != 2 {
		t.Errorf("after the standby's end the primary has %d rows", got)
	}
	execute(t, primary.URL(), "DROP TABLE streamed")
}

// A server begins with a copy of what initdb made for an earlier one of the same process. Where
// that is not there any more, initdb runs.
func TestInitdbRunsOnce(t *testing.T) {
	identity := func(address string) int64 {
		return query[int64](t, address, "SELECT system_identifier FROM pg_control_system()")
	}
	shared := pgserver.Shared(t)
	second := openServer(t)
	if one, other := identity(shared.URL()), identity(second.URL()); one != other {
		t.Errorf("the servers are %d and %d: initdb ran twice", one, other)
	}
	execute(t, second.URL(), "CREATE DATABASE only_here")
	if slices.Contains(databases(t, shared.URL()), "only_here") {
		t.Error("a database of one server is in the other")
	}
	fresh := filepath.Join(directory(t, shared.URL()), "fresh")
	if err := os.Rename(fresh, fresh+".moved"); err != nil {
		t.Fatal(err)
	}
	third := openServer(t)
	if one, other := identity(shared.URL()), identity(third.URL()); one == other {
		t.Errorf("both servers are %d, without anything to copy", one)
	}
	if err := os.Rename(fresh+".moved", fresh); err != nil {
		t.Fatal(err)
	}
}

// The variables of libpq are meant for another server.
func TestVariablesOfLibpq(t *testing.T) {
	for name, value := range map[string]string{
		"PGHOST": "nowhere.invalid", "PGPORT": "1", "PGUSER": "nobody", "PGPASSWORD": "wrong", "PGDATABASE": "none",
		"PGSSLMODE": "verify-full", "PGDATA": "/nowhere",
	} {
		t.Setenv(name, value)
	}
	server, err := pgserver.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.CreateDatabase(t.Context()); err != nil {
		t.Error(err)
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
}

// A start that is given up leaves nothing, like one that fails.
func TestStartIsGivenUp(t *testing.T) {
	p := markedPath(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	server, err := pgserver.Open(ctx)
	if err == nil {
		t.Errorf("Open returned %v with a context that had ended", server)
		err = server.Close()
	}
	if err != nil && !strings.Contains(err.Error(), "cancel") {
		t.Error(err)
	}
	p.wantNothingLeft(t)
}
