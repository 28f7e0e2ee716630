package pgserver

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"
)

// shared is the one server of a test process, started when a test first asks for it.
var shared struct {
	sync.Mutex
	server *Server
	err    error
}

// concurrently is how many tests run at a time, unless -parallel says another number. Most of them
// wait for a server, so that one for each processor would leave processors idle.
const concurrently = 4

// Main runs the tests of a package, stops the server that they used, and fails them if a
// goroutine is left.
func Main(m *testing.M) {
	const parallel = "test.parallel"
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == parallel })
	if !asked {
		if err := flag.Set(parallel, strconv.Itoa(max(concurrently, runtime.GOMAXPROCS(0)))); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(run{m})
}

type run struct{ tests *testing.M }

func (r run) Run() int { return Run(r.tests) }

// Run runs the tests of a package, stops the server that they used, and returns the code of the
// process.
func Run(tests interface{ Run() int }) int {
	code := tests.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		return code
	}
	if err := shared.server.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// Process returns the server of this test process, for examples, which have no testing.TB. Main
// stops the server.
func Process(ctx context.Context) (*Server, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Open(ctx)
	}
	return shared.server, shared.err
}

// Shared returns the server of this test process. If there is none, the test fails.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	server, err := Process(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	return server
}

// Database returns the URL of a migrated database that only this test uses. It is dropped after the
// test.
func Database(tb testing.TB) string {
	tb.Helper()
	return database(tb, (*Server).CreateDatabase)
}

// EmptyDatabase is like Database, but the database is empty.
func EmptyDatabase(tb testing.TB) string {
	tb.Helper()
	return database(tb, (*Server).CreateEmptyDatabase)
}

func database(tb testing.TB, create func(*Server, context.Context) (string, error)) string {
	tb.Helper()
	server := Shared(tb)
	address, err := create(server, context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := server.DropDatabase(context.Background(), address); err != nil {
			tb.Error(err)
		}
	})
	return address
}

// Pool returns a pool that is closed after the test.
func Pool(tb testing.TB, address string, configure ...func(*pgxpool.Config)) *pgxpool.Pool {
	tb.Helper()
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		tb.Fatal(err)
	}
	for _, change := range configure {
		change(config)
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

// Pooler starts a PgBouncer in transaction mode before the server of a URL, and returns the URL
// of the same database through it. Settings are lines of its configuration. PgBouncer is
// stopped after the test. If it cannot be started, the test fails.
func Pooler(tb testing.TB, address string, settings ...string) string {
	tb.Helper()
	pooled, stop, err := openPooler(context.Background(), address, settings)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := stop(); err != nil {
			tb.Error(err)
		}
	})
	return pooled
}
