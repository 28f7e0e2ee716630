package main

import (
	_ "embed"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
)

var callers = []int{1, 8, 64, 256}

// asked are the ways that ask a server, in the order of the tables.
var asked = []string{
	"SELECT 1", "one primary key", "Postgres plain", "Postgres coalesced",
	"go-redis EXISTS, GET", "go-redis MGET of 4", "go-redis MGET of 4, auto-pipelined", "rueidis MGET of 4", "rueidis cached", "scs session",
}

// inMemory are the ways that ask none.
var inMemory = []string{"mirror", "Bloom filter"}

// limits is the text about targets that are missed: what was tried, and where the limit is.
//
//go:embed limits.md
var limits string

// markdown writes RESULTS.md. A missing figure is an error, because it would stand in a table
// as a zero.
func (r *results) markdown(versions string) (string, error) {
	var b strings.Builder
	b.WriteString(`# What was measured

Written by ` + "`cd bench && go run ./report`" + `. Compare figures only with others of this page: the machine is shared, and from run to
run they vary by a fifth, ratios by a tenth. Ways that are compared took turns of 40 ms, each at least 21, one after the other.

`)
	fmt.Fprintf(&b, "%s, %d cores, Linux %s on %s, %s; Postgres %s, with `shared_buffers`\n"+
		"at its default of 128 MB and `fsync` off, as the tests start it; Redis %s, which writes nothing to disk. Everything runs on this one machine. Modules:\n%s.\n\n",
		r.config["cpu"], runtime.NumCPU(), r.config["kernel"], runtime.GOARCH, runtime.Version(), r.config["postgres"], r.config["redis"],
		strings.NewReplacer("github.com/", "", "\n", ", ").Replace(strings.TrimSpace(versions)))

	b.WriteString("## Targets\n\nWays that took turns have as their ratio the median, over the rounds, of the ratio in one round.\n\n" + targetTable(append(r.speed(), r.targets()...)) + limits)

	b.WriteString(`
![Checks a second](checks.svg)

## Check

A million revoked tokens and a million epochs. The token is good, and its user has an epoch. All are asked about token, session, user
and issuer, except that "EXISTS, GET" asks about token and user, and scs about its session. What a client can keep is warm. Each client
may open 64 connections; coalesced checks use two of them. rueidis pipelines concurrent commands by default, go-redis by an option that
its authors call experimental. This is the best case for the cache of rueidis: nothing changes, and it holds every key that is asked
for. The Bloom filter has two million entries and refuses one good token in ten million; a user in it is refused for good.

Over Unix sockets, checks a second, with the median and the 99th percentile in microseconds:

`)
	b.WriteString(r.concurrency("Peers/Check", callers, slices.Concat([]string{"nothing"}, asked, inMemory)))
	r.processors(&b)

	b.WriteString(`
## Over a network

The same over TCP, with 0.25 ms of round trip added by proxies before both servers. A proxy is part of the benchmark's process, takes
processor time of the same machine, and delays each direction by half, in order and without waiting for answers. Network namespaces with
netem would do the same and are not used, because many kernels have no netem. "echo" is an empty round trip through a proxy: the floor, and at 4 callers the
most that the proxy lets through.

`)
	b.WriteString(r.concurrency("Peers/Network/Check", []int{1, 4}, slices.Concat([]string{"echo"}, asked)))
	r.cost(&b)
	r.request(&b)
	b.WriteString("\n## Validate\n")
	r.remembered(&b)
	b.WriteString(`
From one caller, in microseconds, and as a multiple of ` + "`jwt.ParseWithClaims`" + ` alone. Every way decodes the claims into a struct, except
"mirror, identity", which is ` + "`Validate`" + ` alone.

`)
	ways := []string{
		"golang-jwt alone", "golang-jwt, a kept parser", "mirror", "mirror, identity", "Postgres plain", "Postgres coalesced",
	}
	b.WriteString("| | " + strings.Join(ways, " | ") + " |\n|---" + strings.Repeat("|---", len(ways)) + "|\n")
	for _, algorithm := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		b.WriteString("| " + algorithm)
		alone := r.get("Peers/Algorithms/"+algorithm+"/golang-jwt alone", "per-s")
		for _, way := range ways {
			rate := r.get("Peers/Algorithms/"+algorithm+"/"+way, "per-s")
			fmt.Fprintf(&b, " | %.1f (%.2f ×)", 1e6/rate, alone/rate)
		}
		b.WriteString(" |\n")
	}
	b.WriteString(`
The blocklist of kataras/jwt is in memory and holds the tokens that the same process blocked, a million here. HS256, validations a
second:

`)
	b.WriteString("| | 1 caller | 64 |\n|---|---|---|\n")
	for _, way := range []string{"golang-jwt alone", "Validate, mirror", "kataras/jwt alone", "kataras/jwt with blocklist"} {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", way, thousands(r.rate("Peers/Blocklist", 1, way)), thousands(r.rate("Peers/Blocklist", 64, way)))
	}

	r.rest(&b)
	r.growth(&b)
	r.refreshes(&b)
	if len(r.missing) > 0 {
		return "", errors.New("not measured: " + strings.Join(r.missing, "; "))
	}
	return b.String(), nil
}

// rest writes the sections about the mirror, writes and sweeping.
func (r *results) rest(b *strings.Builder) {
	b.WriteString("\n## Mirror\n\nA check of a plain Token computes its four keys, and then looks them up.\n\n" +
		"| entries | a check | allocations | looking up four keys | bytes an entry | load |\n|---|---|---|---|---|---|\n")
	for _, entries := range []int{1_000, 1_000_000} {
		name := fmt.Sprintf("Check/entries=%d", entries)
		fmt.Fprintf(b, "| %s | %.0f ns | %.0f | %.0f ns | %.1f | %.2f s |\n", thousands(float64(entries)),
			r.get(name, "ns/op"), r.get(name, "allocs/op"), r.get(fmt.Sprintf("Find/entries=%d", entries), "ns/op"),
			r.get(name, "B/entry"), r.get(name, "load-s"))
	}
	r.ofMap(b)
	r.loads(b)
	b.WriteString(`
From the commit until the last mirror refuses, median and 99th percentile. "own write" is a write through one of the mirrors, which
notifies the others. "Wake" is a commit elsewhere and a call of Wake; the time of that call counts. "poll" is a commit elsewhere that the next poll
finds (every 250 ms). Writes come at random moments.

| mirrors | own write | Wake | poll |
|---|---|---|---|
`)
	for _, mirrors := range []int{1, 10} {
		fmt.Fprintf(b, "| %d", mirrors)
		for _, way := range []string{"own", "wake", "poll"} {
			name := fmt.Sprintf("Enforced/mirrors=%d/%s", mirrors, way)
			fmt.Fprintf(b, " | %.1f ms, %.1f ms", r.get(name, "p50-ms"), r.get(name, "p99-ms"))
		}
		b.WriteString(" |\n")
	}
	fmt.Fprintf(b, "\n32 writers that notify mirrors make %.2f times the writes of 32 that do not: %s a second and %s.\n", r.get("Notify", "of-plain"),
		thousands(r.get("Notify", "telling-writes/s")), thousands(r.get("Notify", "plain-writes/s")))

	fmt.Fprintf(b, "\n## Writes and sweeping\n\nA revoked token takes %.0f bytes, indexes included. Tokens a second: %s one at a time, %s in calls of 100,\n"+
		"%s in calls of 10,000, which is %.2f of COPY.\n", r.get("RowSize", "B/row"),
		thousands(r.get("Revoke/tokens=1", "tokens/s")), thousands(r.get("Revoke/tokens=100", "tokens/s")),
		thousands(r.get("Revoke/tokens=10000", "tokens/s")), r.get("Revoke/tokens=10000", "of-COPY"))
	fmt.Fprintf(b, "\nTwo million rows, half of them expired: %s rows a second are swept. The 99th percentile of a check, from eight callers, is %.0f µs\n"+
		"meanwhile and %.0f µs otherwise.\n", thousands(r.get("Sweep", "rows/s")), r.get("Sweep", "busy-p99-µs"), r.get("Sweep", "idle-p99-µs"))
	fmt.Fprintf(b, "\nA tenth of a million rows inserted, swept and vacuumed in each cycle: %.1f MB after two, %.1f MB after ten.\n",
		r.get("SteadyState", "MB-after-2"), r.get("SteadyState", "MB-after-10"))
}

// cost writes what one check costs beside one row by its primary key.
func (r *results) cost(b *strings.Builder) {
	b.WriteString(`
One check from one caller on one connection, beside one row by its primary key: the time of a call, and the processor time of the
connection's backend. "statement" is the statement of a check without the rest of ` + "`Check`" + `.

| | a call | of one primary key | backend | of one primary key |
|---|---|---|---|---|
`)
	for _, way := range []string{"one primary key", "statement", "Check plain", "Check coalesced"} {
		name := "Peers/CheckCost/" + way
		fmt.Fprintf(b, "| %s | %.1f µs | %.2f ×", way, r.get(name, "wall-µs"), r.get(name, "wall-ratio"))
		if backend, measured := r.figures[name]["backend-µs"]; measured {
			fmt.Fprintf(b, " | %.1f µs | %.2f × |\n", backend, r.get(name, "backend-ratio"))
		} else {
			b.WriteString(" | n/a | n/a |\n")
		}
	}
}

// processors writes the processor time of a check.
func (r *results) processors(b *strings.Builder) {
	b.WriteString(`
Processor time of one check in microseconds, of the client (this process, the collection of its garbage included) and of the server
(all its processes):

| | 1 caller: client | server | 64 callers: client | server |
|---|---|---|---|---|
`)
	for _, way := range slices.Concat(asked, inMemory) {
		b.WriteString("| " + way)
		for _, n := range []int{1, 64} {
			name := fmt.Sprintf("Peers/Check/callers=%d/%s", n, way)
			fmt.Fprintf(b, " | %s | ", short(r.get(name, "client-µs")))
			if server, measured := r.figures[name]["server-µs"]; measured {
				b.WriteString(short(server))
			} else {
				b.WriteString("–")
			}
		}
		b.WriteString(" |\n")
	}
}

// request writes what a whole request takes, beside the check alone.
func (r *results) request(b *strings.Builder) {
	b.WriteString(`
## One request

From one caller, in microseconds: the check alone, and the request that it is in, which verifies an ES256 token first. The requests
come with 1,024 tokens, each again and again. A token is read by ` + "`Validate`" + ` where this library checks it, and by golang-jwt with a
parser that is made once where a peer does. A session of scs is in place of a token. golang-jwt alone takes ` +
		fmt.Sprintf("%.1f µs.\n\n", 1e6/r.get("Peers/Request/callers=1/golang-jwt alone", "per-s")) +
		`| | sockets: check | request | 0.25 ms: check | request |
|---|---|---|---|---|
`)
	for _, way := range slices.Concat(asked[2:], inMemory) {
		b.WriteString("| " + way)
		for _, group := range []string{"Peers/Request/callers=1/", "Peers/Network/Request/callers=1/"} {
			if slices.Contains(inMemory, way) && group != "Peers/Request/callers=1/" {
				b.WriteString(" | the same | the same")
				continue
			}
			fmt.Fprintf(b, " | %s | %s", short(1e6/r.get(group+way, "per-s")), short(1e6/r.get(group+"request, "+way, "per-s")))
		}
		b.WriteString(" |\n")
	}
}

// remembered writes what Validate takes with the memory of signatures.
func (r *results) remembered(b *strings.Builder) {
	ways := []string{"token seen before", "token seen before, claims decoded", "token not seen before", "token not seen before, claims decoded",
		"no memory", "revoked token seen before"}
	if _, ok := r.figures["Validate/ES256/token seen before"]; !ok {
		return
	}
	b.WriteString("\nProcessor time in microseconds with the mirror, and as a multiple of `jwt.ParseWithClaims` alone:\n\n")
	b.WriteString("| | golang-jwt alone | " + strings.Join(ways, " | ") + " |\n|---|---" + strings.Repeat("|---", len(ways)) + "|\n")
	for _, algorithm := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		group := "Validate/" + algorithm + "/"
		fmt.Fprintf(b, "| %s | %.1f", algorithm, r.get(group+"golang-jwt alone", "cpu-µs"))
		for _, way := range ways {
			fmt.Fprintf(b, " | %.2f (%.3f ×)", r.get(group+way, "cpu-µs"), r.get(group+way, "ratio"))
		}
		b.WriteString(" |\n")
	}
}

// ofMap writes what a check from memory takes beside one lookup in a Go map.
func (r *results) ofMap(b *strings.Builder) {
	if _, ok := r.figures["MirrorCheck/no row"]; !ok {
		return
	}
	b.WriteString(`
A check by the mirror of four scopes, of a verified token with its keys at hand, beside one lookup in a Go map that has the same million
keys of 16 bytes. "plain Token" computes the keys.

| | time | of a key in the map | of a key not in it | allocations |
|---|---|---|---|---|
`)
	for _, way := range []string{"map, present", "map, absent", "no row", "epoch", "plain Token"} {
		name := "MirrorCheck/" + way
		fmt.Fprintf(b, "| %s | %.0f ns | %.2f × | %.2f × | %.0f |\n", way, r.get(name, "ns"), r.get(name, "of-present"), r.get(name, "of-absent"), r.get(name, "allocs"))
	}
}

// loads writes how long a mirror takes to load a table.
func (r *results) loads(b *strings.Builder) {
	if _, ok := r.figures["MirrorLoad/rows=1000000"]; !ok {
		return
	}
	b.WriteString(`
Loading a table into a mirror, beside reading the keys and expiries of the same rows and throwing them away:

| rows | time | a row | of reading | memory |
|---|---|---|---|---|
`)
	for _, rows := range []int{100_000, 1_000_000, 10_000_000} {
		name := fmt.Sprintf("MirrorLoad/rows=%d", rows)
		if _, ok := r.figures[name]; !ok && rows > 1_000_000 {
			continue // a short run
		}
		fmt.Fprintf(b, "| %s | %.2f s | %.0f ns | %.2f × | %.0f MB |\n", thousands(float64(rows)),
			r.get(name, "s"), r.get(name, "ns/row"), r.get(name, "of-floor"), r.get(name, "MB"))
	}
}

// growth writes how the table's size tells.
func (r *results) growth(b *strings.Builder) {
	b.WriteString(`
## Growth

The same on a table of 100,000 rows and on one of a million, in microseconds, and the ratio:

| | 100,000 | 1,000,000 | |
|---|---|---|---|
`)
	for _, name := range []string{"check", "write", "sweep per row", "load per row"} {
		fmt.Fprintf(b, "| %s | %.2f | %.2f | %.2f × |\n", name, r.get("Growth/"+name, "small-µs"), r.get("Growth/"+name, "large-µs"), r.get("Growth/"+name, "growth"))
	}
}

// refreshes writes what a refresh of package session costs.
func (r *results) refreshes(b *strings.Builder) {
	if _, ok := r.figures["Refresh/Many"]; !ok {
		return
	}
	b.WriteString(`
## Sessions

A refresh that rotates, beside a plain UPDATE of one row of the same table by its primary key. "refresh" verifies one token and signs two
by Ed25519, "statement" is its statement alone. Calls a second, with the median and the 99th percentile in microseconds, and the processor
time of the server:

| | callers | a second | of UPDATE | processor time |
|---|---|---|---|---|
`)
	for _, group := range []struct{ name, title string }{{"Rate", "sockets"}, {"Network", "0.25 ms"}} {
		for _, callers := range []int{1, 8} {
			for _, way := range []string{"UPDATE", "statement", "refresh"} {
				name := fmt.Sprintf("Refresh/%s/callers=%d/%s", group.name, callers, way)
				ratio, server := "", "n/a"
				if way != "UPDATE" {
					ratio = fmt.Sprintf("%.2f ×", r.get(name, "of-UPDATE"))
				}
				if spent, ok := r.figures[name]["server-µs"]; ok {
					server = fmt.Sprintf("%.0f µs", spent)
				}
				fmt.Fprintf(b, "| %s, %s | %d | %s (%s, %s) | %s | %s |\n", way, group.title, callers,
					thousands(r.get(name, "per-s")), short(r.get(name, "p50-µs")), short(r.get(name, "p99-µs")), ratio, server)
			}
		}
	}
	fmt.Fprintf(b, "\nOf %s refreshes in a row %.2f %% were HOT updates. The indexes have %.2f times their size before, the table %.2f MB.\n",
		thousands(r.get("Refresh/Many", "refreshes")), r.get("Refresh/Many", "hot-%"), r.get("Refresh/Many", "indexes"), r.get("Refresh/Many", "table-MB"))
	fmt.Fprintf(b, "\nThe 99th percentile of a check is %s µs, beside %.0f refreshes a second %s µs, and beside %.0f plain UPDATEs a second %s µs.\n",
		short(r.get("Refresh/Checks/without", "p99-µs")), r.get("Refresh/Checks/refresh", "per-s"), short(r.get("Refresh/Checks/refresh", "p99-µs")),
		r.get("Refresh/Checks/UPDATE", "per-s"), short(r.get("Refresh/Checks/UPDATE", "p99-µs")))
}

// concurrency writes a table with a row for each way and a column for each number of callers. The
// first number is one.
func (r *results) concurrency(group string, callers []int, ways []string) string {
	var b strings.Builder
	b.WriteString("| | 1 caller")
	for _, n := range callers[1:] {
		fmt.Fprintf(&b, " | %d", n)
	}
	b.WriteString(" |\n|---" + strings.Repeat("|---", len(callers)) + "|\n")
	for _, way := range ways {
		b.WriteString("| " + way)
		for _, n := range callers {
			name := fmt.Sprintf("%s/callers=%d/%s", group, n, way)
			fmt.Fprintf(&b, " | %s (%s, %s)", thousands(r.get(name, "per-s")), short(r.get(name, "p50-µs")), short(r.get(name, "p99-µs")))
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

// thousands writes a number with commas, to three significant digits.
func thousands(x float64) string {
	digits := fmt.Sprintf("%.0f", x)
	if n := len(digits); n > 3 {
		digits = fmt.Sprintf("%.0f", x/pow10(n-3)) + strings.Repeat("0", n-3)
	}
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

func pow10(n int) float64 {
	x := 1.0
	for range n {
		x *= 10
	}
	return x
}

// short writes microseconds to at most three significant digits.
func short(x float64) string {
	if x < 100 {
		return fmt.Sprintf("%.3g", x)
	}
	return thousands(x)
}
