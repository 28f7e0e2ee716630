// Package embedded tells the methods of a type from those that it has from an embedded field.
package embedded

import "reflect"

// Own returns a value as a T, an interface. It returns false if the value does not implement T,
// or if it is a struct, or a pointer to one, and an embedded field implements T: then the methods
// of T do not call those that the struct has in place of the field's. A struct that has both the
// embedded field and methods of T of its own counts as the former.
func Own[T any](value any) (own T, ok bool) {
	own, ok = value.(T)
	if !ok || isPromoted(reflect.TypeOf(value), reflect.TypeFor[T]()) {
		var none T
		return none, false
	}
	return own, true
}

// isPromoted reports whether an embedded field of a type implements the wanted interface.
func isPromoted(typ, wanted reflect.Type) bool {
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct {
		return false
	}
	for field := range typ.Fields() {
		if field.Anonymous && (field.Type.Implements(wanted) || reflect.PointerTo(field.Type).Implements(wanted)) {
			return true
		}
	}
	return false
}
