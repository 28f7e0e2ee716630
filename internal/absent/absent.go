// Package absent tells arguments that are nil, of any type.
package absent

import "reflect"

// Is reports whether an argument is nil, or an interface that holds a nil pointer, function, map,
// slice or channel.
func Is(argument any) bool {
	if argument == nil {
		return true
	}
	value := reflect.ValueOf(argument)
	switch value.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan, reflect.UnsafePointer, reflect.Interface:
		return value.IsNil()
	default:
		return false
	}
}
