package session

import (
	"reflect"

	"github.com/pgrevoke/revoke"
)

// AllSQL are all statements, in the default schema.
func AllSQL() (all []string) {
	s := reflect.ValueOf(newStatements(revoke.DefaultSchema))
	for i := range s.NumField() {
		all = append(all, s.Field(i).String())
	}
	return all
}
