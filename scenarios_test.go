package revoke_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
)

// TestScenariosAreTested looks for each test that testdata/scenarios.md names.
func TestScenariosAreTested(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("testdata/scenarios.md")
	must(t, err)
	var sources strings.Builder
	for _, pattern := range []string{"*_test.go", "revoketest/*.go", "revokehttp/*_test.go", "mirror/*_test.go"} {
		files, err := filepath.Glob(pattern)
		must(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			must(t, err)
			sources.Write(text)
		}
	}
	rows := regexp.MustCompile(`(?m)^\| (\d+)(?:–(\d+))? \|(.*)\|$`).FindAllStringSubmatch(string(list), -1)
	names := 0
	for _, row := range rows {
		tests := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[3], -1)
		if len(tests) == 0 && !strings.Contains(row[3], "not apply") {
			t.Errorf("scenario %s has neither a test nor a reason", row[1])
		}
		for _, name := range tests {
			names++
			if !strings.Contains(sources.String(), "func "+name[1]+"(") && !strings.Contains(sources.String(), `{"`+name[1]+`", func`) {
				t.Errorf("scenario %s names %q, which does not exist", row[1], name[1])
			}
		}
	}
	if len(rows) != 50 || names < 40 {
		t.Errorf("the list has %d rows and %d names", len(rows), names)
	}
}

// TestEveryPathAsks reads the package's source: of the exported functions and methods that take a token as text, each asks
// the checker, or says in its comment that it does not.
func TestEveryPathAsks(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	must(t, err)
	found := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		must(t, err)
		for _, decl := range parsed.Decls {
			function, ok := decl.(*ast.FuncDecl)
			if !ok || !function.Name.IsExported() || !takesTokenString(function) {
				continue
			}
			asks := false
			ast.Inspect(function, func(n ast.Node) bool {
				selector, ok := n.(*ast.SelectorExpr)
				asks = asks || ok && selector.Sel.Name == "Check"
				return true
			})
			found[function.Name.Name] = asks
			if !asks && !strings.Contains(strings.Join(strings.Fields(function.Doc.Text()), " "), "does not ask whether it was revoked") {
				t.Errorf("%s takes a token, does not ask the checker, and does not say so", function.Name.Name)
			}
		}
	}
	if !found["Validate"] || found["Identify"] || len(found) != 2 {
		t.Errorf("found %v", found)
	}
}

func takesTokenString(function *ast.FuncDecl) bool {
	return slices.ContainsFunc(function.Type.Params.List, func(field *ast.Field) bool {
		return slices.ContainsFunc(field.Names, func(name *ast.Ident) bool { return strings.HasSuffix(name.Name, "tokenString") })
	})
}

// TestValidateWritesNothing validates with a connection on which every write is an error.
func TestValidateWritesNothing(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	store := openStore(t, pgserver.Pool(t, address))
	dead := newToken()
	must(t, store.RevokeToken(t.Context(), dead))
	pool := pgserver.Pool(t, address)
	readOnly := openStore(t, pgserver.Pool(t, address, func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	}))
	must(t, readOnly.Check(t.Context(), newToken()))
	wantError(t, readOnly.Check(t.Context(), dead), revoke.ErrRevoked)
	_, err := readOnly.Lookup(t.Context(), dead)
	must(t, err)
	_, err = readOnly.IssueTime(t.Context(), userOf(dead))
	must(t, err)
	rows := queryOne[string](t, pool, `SELECT string_agg(xmin::text, ',') FROM revoke.revoked_tokens`)
	must(t, readOnly.Check(t.Context(), newToken()))
	if after := queryOne[string](t, pool, `SELECT string_agg(xmin::text, ',') FROM revoke.revoked_tokens`); after != rows {
		t.Errorf("rows were %s and are %s", rows, after)
	}
}

// TestRestartForgetsNothing opens a new pool and a new store, as a service does that was restarted.
func TestRestartForgetsNothing(t *testing.T) {
	t.Parallel()
	address := pgserver.Database(t)
	spent, user := newToken(), newToken()
	first := openStore(t, pgserver.Pool(t, address))
	must(t, first.Redeem(t.Context(), spent))
	epochs, err := first.RevokeUser(t.Context(), userOf(user))
	must(t, err)

	second := openStore(t, pgserver.Pool(t, address))
	if err := second.Redeem(t.Context(), spent); !errors.Is(err, revoke.ErrRevoked) {
		t.Errorf("after a restart Redeem = %v", err)
	}
	wantError(t, second.Check(t.Context(), user), revoke.ErrRevoked)
	if read, err := second.Epochs(t.Context(), userOf(user)); err != nil || read != epochs {
		t.Errorf("after a restart Epochs = %v, %v, want %v", read, err, epochs)
	}
}
