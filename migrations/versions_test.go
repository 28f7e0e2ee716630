package migrations_test

import (
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/pgrevoke/revoke/internal/testkit"
)

// versions returns the version of each file, in order.
func versions(t *testing.T) []int64 {
	t.Helper()
	_, names := readFiles(t)
	list := make([]int64, len(names))
	for i, name := range names {
		list[i] = testkit.Value(goose.NumericComponent(name))(t)
	}
	return list
}
