package revoke

import (
	"context"
	"reflect"
)

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

// ValidateUnheard is Validate without a look for hooks.
func ValidateUnheard(ctx context.Context, v *Validator, text string) error {
	_, err := v.validate(ctx, text, new(bool))
	return err
}

// CheckUnheard is Check without a look for hooks.
func CheckUnheard(ctx context.Context, p *Postgres, token Token) error {
	return p.check(ctx, &Verified{Token: token})
}

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

// Remembered returns how many tokens a validator's memory holds, and the bytes that
// everything in it is counted with.
func Remembered(v *Validator) (count, bytes int) {
	m := v.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	bytes = len(m.buckets) * pointerBytes
	for i := range m.buckets {
		bucket := m.buckets[i].Load()
		if bucket == nil {
			continue
		}
		bytes += bucketBytes
		for i := range bucket.tokens {
			if r := bucket.tokens[i].Load(); r != nil {
				count++
				bytes += r.bytes
			}
		}
	}
	if bytes != m.bytes {
		panic("the memory has lost count of its bytes")
	}
	return count, bytes
}

// Recalls reports whether a validator's memory finds a text, and whether it finds one with a hash
// that differs from the text's in the last byte alone.
func Recalls(v *Validator, text string) (same, similar bool) {
	hash := hashOf(text)
	same = v.memory.get(&hash) != nil
	hash[len(hash)-1] ^= 1
	return same, v.memory.get(&hash) != nil
}

// KeptTexts returns all strings and bytes that a validator's memory leads to.
func KeptTexts(v *Validator) (texts []string) {
	var walk func(reflect.Value)
	walk = func(value reflect.Value) {
		switch value.Kind() {
		case reflect.String:
			texts = append(texts, value.String())
		case reflect.Pointer, reflect.Interface:
			walk(value.Elem())
		case reflect.Struct:
			for _, field := range value.Fields() {
				walk(field)
			}
		case reflect.Map:
			for name, member := range value.Seq2() {
				walk(name)
				walk(member)
			}
		case reflect.Slice, reflect.Array:
			if value.Type().Elem().Kind() == reflect.Uint8 && value.Kind() == reflect.Slice {
				texts = append(texts, string(value.Bytes()))
				return
			}
			for i := range value.Len() {
				walk(value.Index(i))
			}
		}
	}
	for i := range v.memory.buckets {
		if bucket := v.memory.buckets[i].Load(); bucket != nil {
			for i := range bucket.tokens {
				walk(reflect.ValueOf(bucket.tokens[i].Load()))
			}
		}
	}
	return texts
}

// ShareABucket reports whether two texts belong into one bucket of a validator's memory.
func ShareABucket(v *Validator, a, b string) bool {
	hashA, hashB := hashOf(a), hashOf(b)
	placeA, _ := v.memory.bucket(&hashA)
	placeB, _ := v.memory.bucket(&hashB)
	return placeA == placeB
}
