// Package mutation tests tests: it breaks the code in one place, and looks whether the tests
// that are there for it fail.
package mutation

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Mutant is a package with a hole.
type Mutant struct {
	File  string   // in which the hole is, from the directory of the package
	Edits []string // what stands there once, and what stands in its place; and so on
	Tests string   // those that have to find it, separated by blanks; each of them must fail
}

// concurrently bounds how many are built and run at a time.
const concurrently = 2

// Run opens each hole in turn and runs the tests of the package in the current directory that
// have to fail then. The names of the holes say what is wrong. Unless Asked, Run only looks
// whether the code still has the places of the holes.
func Run(t *testing.T, mutants map[string]Mutant) {
	t.Helper()
	directory, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	limit := make(chan struct{}, concurrently)
	for hole, m := range mutants {
		t.Run(hole, func(t *testing.T) {
			t.Parallel()
			text := m.text(t, directory)
			if !Asked() {
				return
			}
			limit <- struct{}{}
			defer func() { <-limit }()
			m.run(t, directory, text)
		})
	}
}

// text returns the file with the hole in it.
func (m Mutant) text(t *testing.T, directory string) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(directory, m.File))
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	for i := 0; i < len(m.Edits); i += 2 {
		if n := strings.Count(text, m.Edits[i]); n != 1 {
			t.Fatalf("%s has %d places like %q", m.File, n, m.Edits[i])
		}
		text = strings.Replace(text, m.Edits[i], m.Edits[i+1], 1)
	}
	return text
}

func (m Mutant) run(t *testing.T, directory, text string) {
	t.Helper()
	original := filepath.Join(directory, m.File)
	scratch := t.TempDir()
	mutant, overlay := filepath.Join(scratch, filepath.Base(m.File)), filepath.Join(scratch, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutant}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{mutant: []byte(text), overlay: replace} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := strings.Fields(m.Tests)
	//nolint:gosec // what varies are names of files and tests, from the table
	command := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-vet=off", "-timeout=120s", "-overlay", overlay,
		"-run", "^("+strings.Join(tests, "|")+")$", ".")
	output, err := command.CombinedOutput()
	for _, test := range tests {
		// Only a test that ran and failed is a catch. A hole that does not compile is none, nor
		// is a database that does not start.
		if err == nil || !strings.Contains(string(output), "--- FAIL: "+test+" ") {
			t.Errorf("%s does not notice: %v\n%s", test, err, output)
		}
	}
}
