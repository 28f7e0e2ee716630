package session

import (
	"reflect"

	"github.com/pgrevoke/revoke"
)

// AllSQL are all statements, in the default schema.
func AllSQL() (all []string) {
	s := reflect.ValueOf(newStatements(revoke.DefaultSchema))
	for _, statement := range s.Fields() {
		all = append(all, statement.String())
	}
	return all
}
