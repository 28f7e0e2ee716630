package revoke

import "reflect"

// QueuedChecks returns how many checks wait for the next query, where checks share queries.
func QueuedChecks(p *Postgres) int {
	p.checks.mu.Lock()
	defer p.checks.mu.Unlock()
	return len(p.checks.waiting)
}

// SwallowRows makes the reads of a store return no rows.
func SwallowRows(p *Postgres) {
	p.sql.check += " LIMIT 0"
	p.sql.lookup += " LIMIT 0"
}

// CheckSQL is the statement of every check, in the default schema.
var CheckSQL = newStatements(DefaultSchema).check

// KnownScope is what the table of scopes says of one of them.
type KnownScope struct {
	Name  Scope
	HasID bool
	Epoch bool
}

// KnownScopes returns the table of scopes, from the narrowest to the widest.
func KnownScopes() (known []KnownScope) {
	for _, s := range scopes {
		known = append(known, KnownScope{Name: s.name, HasID: s.idName != "", Epoch: s.epoch})
	}
	return known
}

// NamedSQL is a statement and what the package calls it.
type NamedSQL struct{ Name, SQL string }

// AllSQL are all statements, in the default schema.
func AllSQL() (all []NamedSQL) {
	s := reflect.ValueOf(newStatements(DefaultSchema))
	for i := range s.NumField() {
		all = append(all, NamedSQL{s.Type().Field(i).Name, s.Field(i).String()})
	}
	return all
}

// PlantKeys gives a verified token other keys than its own.
func PlantKeys(v *Verified, keys [4][16]byte) {
	planted := *v.facts
	planted.keys = keys
	v.facts = &planted
}
