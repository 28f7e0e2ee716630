package main

import (
	_ "embed"
	"errors"
	"fmt"
	"runtime"
	"strings"
)

var callers = []int{1, 8, 32, 64, 256}

// peers are the ways that do not ask this library.
var peers = []string{
	"go-redis EXISTS, GET", "go-redis pipelined", "go-redis MGET", "go-redis MGET of 4", "go-redis MGET, auto-pipelined",
	"rueidis MGET", "rueidis cached", "scs session",
}

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
run they vary by a fifth, ratios by a tenth. Ways that are compared took turns of 100 ms, each at least fifteen, one after the other.

`)
	fmt.Fprintf(&b, "%s, %d cores, %s/%s, %s; Postgres %s, with `shared_buffers` at its default of 128 MB\n"+
		"and `fsync` off, as the tests start it; Redis %s, which writes nothing to disk. Everything runs on this one machine, over Unix\n"+
		"sockets. TCP was not tried. Modules:\n%s.\n\n",
		r.config["cpu"], runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), r.config["postgres"], r.config["redis"],
		strings.NewReplacer("github.com/", "", "\n", ", ").Replace(strings.TrimSpace(versions)))

	b.WriteString("## Targets\n\n" + targetTable(r.targets()) + limits)

	b.WriteString(`
![Checks a second](checks.svg)

## Check

A million revoked tokens and a million epochs. The token is good, and its user has an epoch. Checks a second, with the median and the
99th percentile in microseconds. Postgres and the mirror are asked about token, session, user and issuer. A Redis is asked about token
and user, except by "MGET of 4". Each client may open 64 connections. Coalesced checks use two of them. rueidis pipelines concurrent
commands by default, go-redis by an option that its authors call experimental. This is the best case for the cache of rueidis:
nothing changes, and it holds every key that is asked for.

`)
	b.WriteString(r.concurrency("Peers/Check", append([]string{
		"nothing", "SELECT 1", "one primary key", "Postgres plain", "Postgres coalesced", "mirror",
	}, peers...)))

	r.cost(&b)
	b.WriteString("\n## Validate\n\nThe same with an ES256 token that is verified first. A session of scs is in place of a token.\n\n")
	b.WriteString(r.concurrency("Peers/Validate", append([]string{
		"golang-jwt alone", "Postgres plain", "Postgres coalesced", "mirror",
	}, peers...)))

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
		fmt.Fprintf(&b, "| %s | %s | %s |\n", way, thousands(r.rate("Blocklist", 1, way)), thousands(r.rate("Blocklist", 64, way)))
	}

	r.rest(&b)
	if len(r.missing) > 0 {
		return "", errors.New("not measured: " + strings.Join(r.missing, "; "))
	}
	return b.String(), nil
}

// rest writes the sections about the mirror, writes and sweeping.
func (r *results) rest(b *strings.Builder) {
	b.WriteString("\n## Mirror\n\nA check of a plain Token computes its four keys, and then looks them up.\n\n" +
		"| entries | a check | allocations | looking up four keys | bytes an entry | load |\n|---|---|---|---|---|---|\n")
	for _, entries := range []int{1_000, 1_000_000, 10_000_000} {
		name := fmt.Sprintf("Check/entries=%d", entries)
		if _, ok := r.figures[name]; !ok && entries > 1_000_000 {
			continue // a short run
		}
		fmt.Fprintf(b, "| %s | %.0f ns | %.0f | %.0f ns | %.1f | %.2f s |\n", thousands(float64(entries)),
			r.get(name, "ns/op"), r.get(name, "allocs/op"), r.get(fmt.Sprintf("Find/entries=%d", entries), "ns/op"),
			r.get(name, "B/entry"), r.get(name, "load-s"))
	}
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
	fmt.Fprintf(b, "\nFive million rows, half of them expired: %s rows a second are swept. The 99th percentile of a check, from eight callers, is %.0f µs\n"+
		"meanwhile and %.0f µs otherwise.\n", thousands(r.get("Sweep", "rows/s")), r.get("Sweep", "busy-p99-µs"), r.get("Sweep", "idle-p99-µs"))
	fmt.Fprintf(b, "\nA fifth of a million rows inserted, swept and vacuumed in each cycle: %.1f MB after two, %.1f MB after ten.\n",
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
		name := "CheckCost/" + way
		fmt.Fprintf(b, "| %s | %.1f µs | %.2f ×", way, r.get(name, "wall-µs"), r.get(name, "wall-ratio"))
		if backend, measured := r.figures[name]["backend-µs"]; measured {
			fmt.Fprintf(b, " | %.1f µs | %.2f × |\n", backend, r.get(name, "backend-ratio"))
		} else {
			b.WriteString(" | n/a | n/a |\n")
		}
	}
}

// concurrency writes a table with a row for each way and a column for each number of callers.
func (r *results) concurrency(group string, ways []string) string {
	var b strings.Builder
	b.WriteString("| | 1 caller | 8 | 32 | 64 | 256 |\n|---|---|---|---|---|---|\n")
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
		return fmt.Sprintf("%.2g", x)
	}
	return thousands(x)
}
