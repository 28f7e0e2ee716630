//go:build linux

package pgserver

// ShareInitdb sets whether servers of this process may begin with what another process got from
// initdb.
func ShareInitdb(may bool) { shares = may }
