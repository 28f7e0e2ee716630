package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCheckGo(t *testing.T) {
	t.Parallel()
	wide := strings.Repeat("x", maxColumns)
	for _, test := range []struct {
		name   string
		source string
		lines  []int // of the findings
	}{
		{name: "a comment of 100 columns", source: "package p\n\n//" + wide[2:] + "\n"},
		{name: "a comment of 101 columns", source: "package p\n\n// " + wide[2:] + "\n", lines: []int{3}},
		{name: "a rune is a column", source: "package p\n\n//ä" + wide[3:] + "\n"},
		{name: "a tab is four columns", source: "package p\n\nfunc f() {\n\t//" + wide[6:] + "\n}\n"},
		{name: "a tab and 97 columns", source: "package p\n\nfunc f() {\n\t//" + wide[5:] + "\n}\n", lines: []int{4}},
		{name: "a comment behind code", source: "package p\n\nvar x = `" + wide + "` // y\n", lines: []int{3}},
		{name: "code without a comment", source: "package p\n\nvar x = `" + wide + wide + "`\n\n// y\n"},
		{name: "the second line of a block", source: "package p\n\n/*\n" + wide + wide + "\n*/\n", lines: []int{4}},
		{name: "a comment that looks like one in a string", source: "package p\n\nvar x = `// " + wide + wide + "`\n"},
		{name: "a word in a comment", source: "package p\n\n// It waits.\n// Nobody hears.\n", lines: []int{4}},
		{name: "a word behind code", source: "package p\n\nvar x int // whose\n", lines: []int{3}},
		{name: "a word in a block", source: "package p\n\n/*\n\nwhom */\n", lines: []int{5}},
		{name: "two words in a line", source: "package p\n\n// whoever, whatever\n", lines: []int{3, 3}},
		{name: "a directive", source: "package p\n\n//nolint:x // " + wide + "\n"},
		{name: "the output of an example", source: "package p\n\nfunc f() {\n\t// Output:\n\t// " + wide + "\n}\n"},
		{name: "part of a word", source: "package p\n\n// nobodys likewises awhose who\n"},
		{name: "the name of a user", source: "package p\n\n// \"nobody\" `nobody` 'nobody'\n"},
		{name: "half quoted", source: "package p\n\n// \"nobody else\" or 'whom`\n", lines: []int{3, 3}},
		{name: "errors.New", source: "package p\n\nvar e = errors.New(\"a\" +\n\t\"everybody\")\n", lines: []int{4}},
		{name: "fmt.Errorf", source: "package p\n\nvar e = fmt.Errorf(\"%w: anybody\", e)\n", lines: []int{3}},
		{name: "an argument of fmt.Errorf", source: "package p\n\nvar e = fmt.Errorf(\"%s\", f(\"likewise\"))\n", lines: []int{3}},
		{name: "an error within an error", source: "package p\n\nvar e = fmt.Errorf(\"%w\", errors.New(\"whom\"))\n", lines: []int{3}},
		{name: "an error in several lines", source: "package p\n\nvar e = errors.New(`a\nwhom`)\n", lines: []int{4}},
		{name: "an error with a line feed", source: "package p\n\nvar e = errors.New(\"a\\nwhom\")\n", lines: []int{3}},
		{name: "a name in an error", source: "package p\n\nvar e = errors.New(\"user \\\"nobody\\\"\")\n"},
		{name: "a method Error", source: "package p\n\nfunc (e E) Error() string { return \"nobody\" }\n", lines: []int{3}},
		{name: "another string", source: "package p\n\nvar s = f(\"nobody\")\n"},
		{name: "another function New", source: "package p\n\nvar s = people.New(\"nobody\")\n"},
		{name: "an identifier", source: "package p\n\nvar nobody, whose int\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			findings, err := checkGo("p.go", []byte(test.source))
			if err != nil {
				t.Fatal(err)
			}
			var lines []int
			for _, f := range findings {
				lines = append(lines, f.line)
			}
			if !slices.Equal(lines, test.lines) {
				t.Errorf("findings %v, want them in lines %v", findings, test.lines)
			}
		})
	}
}

func TestEveryRefusedWord(t *testing.T) {
	t.Parallel()
	for _, word := range refusedWords {
		t.Run(word, func(t *testing.T) {
			t.Parallel()
			for _, text := range []string{word, strings.ToUpper(word), "x\n- (" + word + ")."} {
				if findings := checkText(1, text); len(findings) != 1 {
					t.Errorf("%q has %d findings", text, len(findings))
				}
			}
		})
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct {
		name  string
		paths []string
		count int
		fails bool
	}{
		{name: "a clean file", paths: []string{write("clean.md", "It waits.\n")}},
		{name: "findings of several files", paths: []string{write("a.md", "whom\n\nwhose\n"), write("b.go", "package b // whom\n")}, count: 3},
		{name: "a long line of Markdown", paths: []string{write("long.md", strings.Repeat("x ", 100))}},
		{name: "testdata", paths: []string{write("testdata/c.md", "whom\n")}},
		{name: "another kind of file", paths: []string{write("d.txt", "x\n")}, fails: true},
		{name: "no such file", paths: []string{filepath.Join(dir, "none.md")}, fails: true},
		{name: "Go that does not parse", paths: []string{write("e.go", "whom\n")}, fails: true},
		{name: "no file", fails: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			count, err := run(&out, test.paths)
			if count != test.count || (err != nil) != test.fails {
				t.Errorf("run returned %d, %v", count, err)
			}
			if n := strings.Count(out.String(), ".go:1: ") + strings.Count(out.String(), ".md:"); n != test.count {
				t.Errorf("run wrote %q", out.String())
			}
		})
	}
}
