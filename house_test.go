package revoke_test

import (
	"encoding/json"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pgrevoke/revoke/internal/testkit"
)

// TestReadmeCompiles looks for each Go block of the READMEs and of docs in the examples, which
// compile and run.
func TestReadmeCompiles(t *testing.T) {
	t.Parallel()
	var readme string
	files := append(testkit.Value(filepath.Glob("docs/*.md"))(t), testkit.Value(filepath.Glob("examples/*/README.md"))(t)...)
	for _, file := range append(files, "README.md") {
		readme += string(testkit.Value(os.ReadFile(file))(t))
	}
	var flat string
	for _, pattern := range []string{"example*_test.go", "*/example*_test.go", "*/*/example*_test.go", "examples/*/*.go", "examples/*/*/*.go"} {
		for _, file := range testkit.Value(filepath.Glob(pattern))(t) {
			flat += unindented(string(testkit.Value(os.ReadFile(file))(t)))
		}
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readme, -1)
	if len(blocks) < 5 {
		t.Errorf("README and docs have %d Go blocks", len(blocks))
	}
	for _, block := range blocks {
		first, _, _ := strings.Cut(block[1], "\n")
		t.Run(first, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(flat, unindented(block[1])) {
				t.Errorf("no example has such lines:\n%s", block[1])
			}
			if name := regexp.MustCompile(`\bexample[A-Z]\w*`).FindString(block[1]); name != "" {
				t.Errorf("%s is a name that only our tests have:\n%s", name, block[1])
			}
		})
	}
}

// unindented takes the white space from the beginning of every line.
func unindented(code string) string {
	return regexp.MustCompile(`(?m)^[ \t]+`).ReplaceAllString(code, "")
}

// TestScenariosAreTested looks for each test that testdata/scenarios.md names.
func TestScenariosAreTested(t *testing.T) {
	t.Parallel()
	list := string(testkit.Value(os.ReadFile("testdata/scenarios.md"))(t))
	var sources strings.Builder
	for _, pattern := range []string{"*_test.go", "*/*_test.go", "internal/*/*_test.go", "revoketest/*.go"} {
		for _, file := range testkit.Value(filepath.Glob(pattern))(t) {
			sources.Write(testkit.Value(os.ReadFile(file))(t))
		}
	}
	rows := regexp.MustCompile(`(?m)^\| (\d+)(?:–(\d+))? \|(.*)\|$`).FindAllStringSubmatch(list, -1)
	names := 0
	for _, row := range rows {
		tests := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[3], -1)
		names += len(tests)
		t.Run(row[1], func(t *testing.T) {
			t.Parallel()
			if len(tests) == 0 && !strings.Contains(row[3], "not apply") {
				t.Error("the scenario has neither a test nor a reason")
			}
			for _, name := range tests {
				if !strings.Contains(sources.String(), "func "+name[1]+"(") && !strings.Contains(sources.String(), `{"`+name[1]+`", func`) {
					t.Errorf("the scenario names %q, which does not exist", name[1])
				}
			}
		})
	}
	if len(rows) != 89 || names < 40 {
		t.Errorf("the list has %d rows and %d names", len(rows), names)
	}
}

// rootFiles are the source files of the package, without its tests.
func rootFiles(tb testing.TB) (fset *token.FileSet, files []*ast.File) {
	tb.Helper()
	fset = token.NewFileSet()
	for _, name := range testkit.Value(filepath.Glob("*.go"))(tb) {
		if !strings.HasSuffix(name, "_test.go") {
			files = append(files, testkit.Value(parser.ParseFile(fset, name, nil, parser.ParseComments))(tb))
		}
	}
	return fset, files
}

// rootFunctions are the functions and methods of the package by name, methods with their type:
// Validator.Validate.
func rootFunctions(tb testing.TB) map[string]*ast.FuncDecl {
	tb.Helper()
	_, files := rootFiles(tb)
	functions := make(map[string]*ast.FuncDecl)
	for _, file := range files {
		for _, decl := range file.Decls {
			if function, ok := decl.(*ast.FuncDecl); ok {
				functions[receiver(function)+function.Name.Name] = function
			}
		}
	}
	return functions
}

// receiver returns the type of a method with a dot, "" for a function.
func receiver(function *ast.FuncDecl) string {
	if function.Recv == nil {
		return ""
	}
	typ := function.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if name, ok := typ.(*ast.Ident); ok {
		return name.Name + "."
	}
	return "?."
}

// calls returns the names that a function calls: of "v.checker.Check(…)" Check, and of "time.Now()"
// Now and time.Now.
func calls(function *ast.FuncDecl) map[string]bool {
	names := make(map[string]bool)
	ast.Inspect(function, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch called := call.Fun.(type) {
		case *ast.Ident:
			names[called.Name] = true
		case *ast.SelectorExpr:
			names[called.Sel.Name] = true
			if in, ok := called.X.(*ast.Ident); ok {
				names[in.Name+"."+called.Sel.Name] = true
			}
		}
		return true
	})
	return names
}

// TestEveryPathAsks reads the package's source: of the exported functions and methods that take
// the text of a token, each asks the checker, or says in its comment that it does not.
func TestEveryPathAsks(t *testing.T) {
	t.Parallel()
	functions := rootFunctions(t)
	asks := map[string]bool{}
	for name, function := range functions {
		if !function.Name.IsExported() || !takesTokenText(function) {
			continue
		}
		asked := false
		for called := range calls(function) {
			inner := functions["Validator."+called]
			asked = asked || called == "Check" || inner != nil && calls(inner)["Check"]
			// A set of validators asks where the validator that it picks asks.
			asked = asked || strings.HasPrefix(name, "ValidatorSet.") && called == "Validate"
		}
		asks[name] = asked
		said := strings.Join(strings.Fields(function.Doc.Text()), " ")
		if !asked && !strings.Contains(said, "does not ask whether it was revoked") {
			t.Errorf("%s takes the text of a token, does not ask the checker, and does not say so", name)
		}
	}
	want := map[string]bool{
		"Validator.Validate": true, "Validator.Identify": false, "ValidatorSet.Validate": true, "ValidatorSet.Identify": false,
		"ValidatorSet.LogoutScopes": false, // it accepts no token
	}
	if !maps.Equal(asks, want) {
		t.Errorf("the functions that take the text of a token, and whether they ask: %v, want %v", asks, want)
	}
}

// takesTokenText reports whether a parameter is a string that is named text.
func takesTokenText(function *ast.FuncDecl) bool {
	return slices.ContainsFunc(function.Type.Params.List, func(field *ast.Field) bool {
		typ, ok := field.Type.(*ast.Ident)
		return ok && typ.Name == "string" && slices.ContainsFunc(field.Names, func(name *ast.Ident) bool {
			return strings.Contains(strings.ToLower(name.Name), "text") || strings.Contains(strings.ToLower(name.Name), "token")
		})
	})
}

// TestClockIsReadForHooksAlone looks at each call of time.Now: it stands behind the question
// whether there is a hook, except in a pass of the sweeper.
func TestClockIsReadForHooksAlone(t *testing.T) {
	t.Parallel()
	var readers []string
	for name, function := range rootFunctions(t) {
		if !calls(function)["time.Now"] {
			continue
		}
		readers = append(readers, name)
		if name == "Sweeper.Sweep" {
			continue
		}
		first, ok := function.Body.List[0].(*ast.IfStmt)
		if !ok || !asksForHook(first) {
			t.Errorf("%s reads the clock and does not begin with a return where there is no hook", name)
		}
	}
	slices.Sort(readers)
	if want := []string{"Postgres.CheckEach", "Postgres.CheckVerified", "Sweeper.Sweep", "Validator.Validate", "writer.tell"}; !slices.Equal(readers, want) {
		t.Errorf("the clock is read by %q, want %q", readers, want)
	}
}

// asksForHook reports whether a statement is "if x.hooks.y == nil { return … }".
func asksForHook(statement *ast.IfStmt) bool {
	condition, ok := statement.Cond.(*ast.BinaryExpr)
	if !ok || condition.Op != token.EQL || len(statement.Body.List) != 1 {
		return false
	}
	event, ok := condition.X.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	hooks, ok := event.X.(*ast.SelectorExpr)
	null, isIdent := condition.Y.(*ast.Ident)
	_, returns := statement.Body.List[0].(*ast.ReturnStmt)
	return ok && hooks.Sel.Name == "hooks" && isIdent && null.Name == "nil" && returns
}

// TestPackageIsSmall counts the exported names at the top level that a reader has to know. Options,
// their defaults and limits, and the events of hooks are found by their names and do not count.
func TestPackageIsSmall(t *testing.T) {
	t.Parallel()
	fset, files := rootFiles(t)
	documented := testkit.Value(doc.NewFromFiles(fset, files, "github.com/pgrevoke/revoke"))(t)
	var names []string
	add := func(list ...string) {
		for _, name := range list {
			by := regexp.MustCompile(`^(With|Without|Default|Max)[A-Z]|(Hook|Event)$`)
			if token.IsExported(name) && (name == "Hook" || !by.MatchString(name)) {
				names = append(names, name)
			}
		}
	}
	values := func(list []*doc.Value) {
		for _, value := range list {
			add(value.Names...)
		}
	}
	functions := func(list []*doc.Func) {
		for _, function := range list {
			add(function.Name)
		}
	}
	values(documented.Consts)
	values(documented.Vars)
	functions(documented.Funcs)
	for _, typ := range documented.Types {
		add(typ.Name)
		values(typ.Consts)
		values(typ.Vars)
		functions(typ.Funcs)
	}
	slices.Sort(names)
	if len(names) > 40 {
		t.Errorf("%d exported names, at most 40 are allowed: %q", len(names), names)
	}
	if !slices.Contains(names, "NewValidator") || !slices.Contains(names, "ScopeUser") || !slices.Contains(names, "ErrRevoked") {
		t.Errorf("names are missing in %q", names)
	}
}

// TestDependencies looks at what a program links that imports the package, or revoketest:
// golang-jwt, pgx, the modules that pgx needs, and the standard library.
func TestDependencies(t *testing.T) {
	t.Parallel()
	list := func(arguments ...string) []byte {
		command := exec.CommandContext(t.Context(), "go", append([]string{"list"}, arguments...)...)
		command.Stderr = os.Stderr
		return testkit.Value(command.Output())(t)
	}
	direct := map[string]bool{}
	var here struct{ Imports []string }
	testkit.Must(t, json.Unmarshal(list("-json=Imports", "."), &here))
	for _, path := range here.Imports {
		if host, _, _ := strings.Cut(path, "/"); strings.Contains(host, ".") && !strings.HasPrefix(path, "github.com/pgrevoke/revoke/") {
			parts := strings.Split(path, "/")
			direct[strings.Join(parts[:4], "/")] = true
		}
	}
	if want := map[string]bool{"github.com/golang-jwt/jwt/v5": true, "github.com/jackc/pgx/v5": true}; !maps.Equal(direct, want) {
		t.Errorf("the package imports %v, want %v", direct, want)
	}
	linked := map[string]bool{}
	for module := range strings.FieldsSeq(string(list("-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".", "./revoketest"))) {
		linked[module] = true
	}
	want := map[string]bool{
		"github.com/pgrevoke/revoke": true, "github.com/golang-jwt/jwt/v5": true, "github.com/jackc/pgx/v5": true,
		"github.com/jackc/pgpassfile": true, "github.com/jackc/pgservicefile": true, "github.com/jackc/puddle/v2": true,
		"golang.org/x/sync": true, "golang.org/x/text": true,
	}
	if !maps.Equal(linked, want) {
		t.Errorf("a program links %v, want %v", slices.Sorted(maps.Keys(linked)), slices.Sorted(maps.Keys(want)))
	}
}
