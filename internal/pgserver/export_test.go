//go:build linux

package pgserver

// CopyFrom sets the pattern of the directories of other processes' servers from which a server of
// this process may copy what initdb made.
func CopyFrom(pattern string) { others = pattern }
