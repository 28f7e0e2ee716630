// Package bench measures revoke beside what else an app might use, which stays out of its go.mod.
//
//	cd bench && go test -bench . -benchtime 2s
//
// It needs redis-server (Debian: apt-get install redis-server), which it starts on a Unix socket. Everything runs on one
// machine, so that figures are of use only beside each other and beside the floors of the same run.
package bench
