package pgtest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest/pgtest"
)

// childVariable says what the process of an app's test is to do.
const childVariable = "PGTEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" && os.Getenv(childVariable) != "run" {
		os.Exit(m.Run()) // as the tests of an app without TestMain
	}
	goleak.VerifyTestMain(runner{m})
}

type runner struct{ tests *testing.M }

func (r runner) Run() int { return pgtest.Run(r.tests) }

// TestChild is the test of an app, in a process of its own.
func TestChild(t *testing.T) {
	t.Parallel()
	switch os.Getenv(childVariable) {
	case "":
		t.Skip("it is the test of a child process")
	case "keep":
		database.Pool(t, pgtest.WithKeepOnFailure())
		t.Error("it fails")
	case "die":
		database.Pool(t)
		process := testkit.Value(os.FindProcess(os.Getpid()))(t)
		testkit.Must(t, process.Kill())
		select {}
	default:
		database.Pool(t)
	}
}

// child runs TestChild in a process with these variables, and returns its output.
func child(t *testing.T, what string, environment ...string) (output string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.v")
	cmd.Env = append(os.Environ(), append(environment, childVariable+"="+what)...)
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// TestLeftovers looks at the databases of a server that outlives its tests.
func TestLeftovers(t *testing.T) {
	if os.Getenv(childVariable) != "" {
		t.Skip("it is the test of the parent process")
	}
	t.Setenv("REVOKE_DATABASE_URL", "")
	own := testkit.Value(pgserver.Open(t.Context()))(t)
	t.Cleanup(func() { testkit.Must(t, own.Close()) })
	at := "REVOKE_DATABASE_URL=" + own.URL()
	databases := func() (names []string) {
		conn := testkit.Value(pgx.Connect(t.Context(), own.URL()))(t)
		defer conn.Close(t.Context())
		rows := testkit.Value(conn.Query(t.Context(), "SELECT datname FROM pg_database WHERE datname ~ '^revoke_test_' ORDER BY 1"))(t)
		return testkit.Value(pgx.CollectRows(rows, pgx.RowTo[string]))(t)
	}

	t.Setenv("REVOKE_DATABASE_URL", own.URL())
	neighbour := testkit.Value(pgserver.Open(t.Context()))(t) // of a process that goes on
	t.Cleanup(func() { testkit.Must(t, neighbour.Close()) })
	testkit.Value(neighbour.CreateDatabase(t.Context()))(t)
	before := databases()
	want := func(when string, more int) {
		t.Helper()
		now := databases()
		if len(now) != len(before)+more {
			t.Errorf("%s there are %q, there were %q", when, now, before)
		}
		for _, name := range before {
			if !slices.Contains(now, name) {
				t.Errorf("%s the database of a process that goes on is gone", when)
			}
		}
	}

	if output, err := child(t, "run", at); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	want("after Run", 0)
	if output, err := child(t, "plain", at); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	want("without Run", 1)
	if output, err := child(t, "die", at); err == nil {
		t.Fatalf("the process was not killed: %s", output)
	}
	want("after a kill", 2)
	if output, err := child(t, "run", at); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	want("after the next process", 0)

	output, err := child(t, "keep", strings.Replace(at, "postgres:///", "postgres://:correct-horse@/", 1))
	if err == nil || !strings.Contains(output, "the database is kept: postgres://") || strings.Contains(output, "correct-horse") {
		t.Errorf("%v: %s", err, output)
	}
	if output, err := child(t, "run", at); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	want("after a test that failed, and the next process", 1)
}

// TestServer fails a test that finds no server, and says so where nothing is kept.
func TestServer(t *testing.T) {
	t.Parallel()
	if os.Getenv(childVariable) != "" {
		t.Skip("it is the test of the parent process")
	}
	output, err := child(t, "run", "REVOKE_DATABASE_URL=", "REVOKE_POSTGRES_BIN=", "REVOKE_POSTGRES_SOURCE=docker", "DOCKER_HOST=unix:///nonexistent")
	if err == nil || !strings.Contains(output, "--- FAIL: TestChild") || !strings.Contains(output, "install the Postgres server") {
		t.Errorf("%v: %s", err, output)
	}
	output, err = child(t, "keep", "REVOKE_DATABASE_URL=")
	if err == nil || !strings.Contains(output, "set REVOKE_DATABASE_URL") {
		t.Errorf("%v: %s", err, output)
	}
}

// TestCopies are the tests' alone, of a template that is made once.
func TestCopies(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	template := pgtest.NewTemplate(func(ctx context.Context, pool *pgxpool.Pool) error {
		calls.Add(1)
		// A connection that is left open does not keep the template from being copied.
		testkit.Value(pgx.Connect(context.WithoutCancel(ctx), pool.Config().ConnString()))(t)
		_, err := pool.Exec(ctx, "CREATE TABLE notes (text text); INSERT INTO notes VALUES ('of the template')")
		return err
	})
	t.Run("all", func(t *testing.T) {
		for n := range 4 {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				pool := template.Pool(t)
				if pool.Config().MaxConns != pgtest.MaxConns {
					t.Errorf("%d connections", pool.Config().MaxConns)
				}
				testkit.Exec(t, pool, "INSERT INTO notes VALUES ('of the test')")
				if n := testkit.QueryOne[int](t, pool, "SELECT count(*) FROM notes"); n != 2 {
					t.Errorf("%d notes", n)
				}
				if n := testkit.QueryOne[int](t, pool, "SELECT count(*) FROM revoke.revocations WHERE scope <> 'reserve'"); n != 0 {
					t.Errorf("%d revocations", n)
				}
				conn := testkit.Value(pgx.Connect(t.Context(), template.URL(t)))(t) // is left open
				var n int
				if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM notes").Scan(&n); err != nil || n != 1 {
					t.Errorf("another copy has %d notes, %v", n, err)
				}
			})
		}
	})
	if calls.Load() != 1 {
		t.Errorf("the template was migrated %d times", calls.Load())
	}
	if tables := testkit.QueryOne[int](t, pgtest.Pool(t), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"); tables != 0 {
		t.Errorf("without a migration of the app there are %d tables of its", tables)
	}
}

// attempt is a test that is expected to fail.
type attempt struct {
	testing.TB
	fatal    string
	cleanups []func()
}

func (a *attempt) Helper()          {}
func (a *attempt) Cleanup(f func()) { a.cleanups = append(a.cleanups, f) }
func (a *attempt) Fatal(args ...any) {
	a.fatal = fmt.Sprint(args...)
	runtime.Goexit()
}

// try runs a test in a goroutine of its own, and returns with which text it failed.
func try(t *testing.T, test func(testing.TB)) string {
	t.Helper()
	a := &attempt{TB: t}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		test(a)
	}()
	<-ended
	for _, f := range slices.Backward(a.cleanups) {
		f()
	}
	return a.fatal
}

// TestMigrationFails fails every test of the template, and is not repeated.
func TestMigrationFails(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		migrate func() error
		want    string
	}{
		{"with an error", func() error { return errors.New("no such file") }, "no such file"},
		{"by the end of its goroutine", func() error { runtime.Goexit(); return nil }, "did not return"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			template := pgtest.NewTemplate(func(context.Context, *pgxpool.Pool) error {
				calls++
				return row.migrate()
			})
			first := try(t, func(tb testing.TB) { tb.Helper(); template.Pool(tb) })
			second := try(t, func(tb testing.TB) { tb.Helper(); template.URL(tb) })
			if !strings.Contains(second, row.want) || calls != 1 || strings.Contains(row.want, "file") && first != second {
				t.Errorf("%d calls: %q, %q", calls, first, second)
			}
		})
	}
}
