// Package bench measures revoke beside what else an app might use, which stays out of its go.mod.
//
//	cd bench && go run ./report
//
// runs everything, the benchmarks of the mirror included, and writes RESULTS.md; any of it runs by "go test -bench" too, and
// with -short it is small. It needs redis-server (Debian: apt-get install redis-server), which it starts on a Unix socket, as
// Postgres is. Everything runs on one machine, so that figures are of use only beside each other and beside the floors of the
// same run.
package bench
