package session_test

import (
	"flag"
	"testing"

	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

func TestMain(m *testing.M) {
	// A property that fails logs its seed, and leaves no file in the tree.
	for name, value := range map[string]string{"rapid.nofailfile": "true", "rapid.checks": testkit.Long("15", "2000")} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	pgserver.Main(m)
}
