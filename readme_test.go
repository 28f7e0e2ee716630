package revoke_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeCompiles looks for each Go block of the README in the examples, which compile and run.
func TestReadmeCompiles(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var flat string
	for _, file := range []string{"example_test.go", "mirror/example_test.go", "revokehttp/example_test.go", "revokehttp/example_backchannel_test.go"} {
		examples, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		flat += unindented(string(examples))
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 5 {
		t.Errorf("the README has %d Go blocks", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(flat, unindented(block[1])) {
			t.Errorf("no example has such lines:\n%s", block[1])
		}
	}
}

// unindented takes the white space from the beginning of every line.
func unindented(code string) string {
	return regexp.MustCompile(`(?m)^[ \t]+`).ReplaceAllString(code, "")
}
