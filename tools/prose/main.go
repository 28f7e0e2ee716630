// Prose holds comments, error texts and Markdown to two rules: a line of Go code with a comment
// on it has at most 100 columns, and refusedWords appear nowhere. It prints file:line and the
// reason for each breach, and exits with 1 if there is one.
//
//	git ls-files '*.go' '*.md' | xargs prose
//
// These are not looked at: files in a directory named testdata, the output of examples,
// directives of the linter, and a word that stands directly between quotation marks or
// backquotes, which is a name.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxColumns = 100
	tabWidth   = 4
)

// refusedWords hide the subject of a sentence.
var refusedWords = []string{
	"anybody", "everybody", "likewise", "nobody", "somebody", "whatever", "whoever", "whom", "whose",
}

var refused = regexp.MustCompile(`(?i)\b(` + strings.Join(refusedWords, "|") + `)\b`)

// finding is a breach of a rule.
type finding struct {
	line   int
	reason string
}

func main() {
	count, err := run(os.Stdout, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "prose:", err)
		os.Exit(2)
	}
	if count > 0 {
		fmt.Printf("%d findings\n", count)
		os.Exit(1)
	}
}

// run checks files, writes the findings and returns their number.
func run(out io.Writer, paths []string) (count int, err error) {
	if len(paths) == 0 {
		return 0, errors.New("no files are named")
	}
	for _, path := range paths {
		if slices.Contains(strings.Split(filepath.ToSlash(path), "/"), "testdata") {
			continue
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		var findings []finding
		switch filepath.Ext(path) {
		case ".go":
			findings, err = checkGo(path, source)
		case ".md":
			findings = checkText(1, string(source))
		default:
			err = fmt.Errorf("%s is neither Go nor Markdown", path)
		}
		if err != nil {
			return 0, err
		}
		findings = slices.Compact(findings) // a word is told once a line
		for _, f := range findings {
			fmt.Fprintf(out, "%s:%d: %s\n", path, f.line, f.reason)
		}
		count += len(findings)
	}
	return count, nil
}

// checkText looks for refused words in a text that begins at a line.
func checkText(first int, text string) (findings []finding) {
	for line := range strings.Lines(text) {
		for _, at := range refused.FindAllStringIndex(line, -1) {
			if !quoted(line, at[0], at[1]) {
				findings = append(findings, finding{first, fmt.Sprintf("the word %q", line[at[0]:at[1]])})
			}
		}
		first++
	}
	return findings
}

// quoted reports whether the same quotation mark stands on both sides of a part of the line.
func quoted(line string, start, end int) bool {
	return start > 0 && end < len(line) && line[start-1] == line[end] && strings.IndexByte("\"'`", line[end]) >= 0
}

// checkGo looks at the comments and the error texts of a Go file.
func checkGo(path string, source []byte) ([]finding, error) {
	positions := token.NewFileSet()
	file, err := parser.ParseFile(positions, path, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	line := func(pos token.Pos) int { return positions.PositionFor(pos, false).Line }
	var findings []finding
	lines := bytes.Split(source, []byte("\n"))
	for _, group := range file.Comments {
		if isPrinted(group) {
			continue
		}
		for n := line(group.Pos()); n <= line(group.End()); n++ {
			if width := columns(lines[n-1]); width > maxColumns {
				findings = append(findings, finding{n, fmt.Sprintf("a comment in a line of %d columns, at most %d", width, maxColumns)})
			}
		}
		for _, comment := range group.List {
			findings = append(findings, checkText(line(comment.Pos()), comment.Text)...)
		}
	}
	for _, literal := range errorTexts(file) {
		text, err := strconv.Unquote(literal.Value)
		if err != nil {
			return nil, err
		}
		if literal.Value[0] != '`' { // it stands on one line
			text = strings.ReplaceAll(text, "\n", " ")
		}
		findings = append(findings, checkText(line(literal.Pos()), text)...)
	}
	slices.SortStableFunc(findings, func(a, b finding) int { return a.line - b.line })
	return findings, nil
}

// isPrinted reports whether a comment is a directive of the linter, which has to stand on the line
// that it is about, or the output of an example.
func isPrinted(group *ast.CommentGroup) bool {
	first := strings.TrimSpace(strings.TrimPrefix(group.List[0].Text, "//"))
	return strings.HasPrefix(first, "nolint:") || strings.HasPrefix(first, "Output:")
}

// columns returns the width of a line.
func columns(line []byte) int {
	return utf8.RuneCount(line) + (tabWidth-1)*bytes.Count(line, []byte("\t"))
}

// errorTexts returns the string literals in calls of errors.New and fmt.Errorf and in methods
// named Error.
func errorTexts(file *ast.File) (literals []*ast.BasicLit) {
	collect := func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING && !slices.Contains(literals, literal) {
			literals = append(literals, literal)
		}
		return true
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if makesError(n.Fun) {
				ast.Inspect(n, collect)
			}
		case *ast.FuncDecl:
			if n.Recv != nil && n.Name.Name == "Error" {
				ast.Inspect(n, collect)
			}
		}
		return true
	})
	return literals
}

// makesError reports whether a function is errors.New or fmt.Errorf.
func makesError(function ast.Expr) bool {
	selector, ok := function.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	from, ok := selector.X.(*ast.Ident)
	return ok && (from.Name == "errors" && selector.Sel.Name == "New" || from.Name == "fmt" && selector.Sel.Name == "Errorf")
}
