package main

import (
	"io"
	"os"
	"regexp"
	"testing"

	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/internal/testkit"
)

func TestMain(m *testing.M) { pgserver.Main(m) }

// TestMainProgram runs the program and reads what it prints.
func TestMainProgram(t *testing.T) {
	t.Setenv("DATABASE_URL", pgserver.EmptyDatabase(t))
	read, write, err := os.Pipe()
	testkit.Must(t, err)
	stdout := os.Stdout
	os.Stdout = write
	main()
	os.Stdout = stdout
	testkit.Must(t, write.Close())
	printed := testkit.Value(io.ReadAll(read))(t)
	want := regexp.MustCompile(`^user 42 is signed in\nthe old token: revoke: user revoked at \S+\n$`)
	if !want.Match(printed) {
		t.Errorf("the program printed %q", printed)
	}
}
