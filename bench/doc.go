// Package bench measures revoke beside other libraries that an app might use, which stay out of
// its go.mod.
//
//	cd bench && go run ./report
//
// runs everything, the benchmarks of the mirror included, and writes RESULTS.md. Each benchmark
// also runs by "go test -bench", and is small with -short. The benchmarks start a redis-server
// (Debian: apt-get install redis-server) and a Postgres, both on Unix sockets. For figures over a
// network, proxies in the process of the benchmark delay what passes. They need Linux. Everything
// runs on one machine, so compare figures only with others, and with the floors, of the same run.
package bench
