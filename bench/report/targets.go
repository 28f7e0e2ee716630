package main

import (
	"fmt"
	"strings"
)

// target is a figure to reach, in one run on one machine.
type target struct {
	name     string
	want     string
	measured string
	verdict  string
}

func verdict(met bool) string {
	if met {
		return "reached"
	}
	return "missed"
}

func atMost(name, format string, limit, measured float64) target {
	return target{name, "≤ " + fmt.Sprintf(format, limit), fmt.Sprintf(format, measured), verdict(measured <= limit)}
}

func atLeast(name, format string, limit, measured float64) target {
	return target{name, "≥ " + fmt.Sprintf(format, limit), fmt.Sprintf(format, measured), verdict(measured >= limit)}
}

// backend compares processor time of the server. It is measured only where the server runs on
// the same machine.
func (r *results) backend(name, way string, limit float64) target {
	if _, measured := r.figures["Peers/CheckCost/"+way]["backend-ratio"]; !measured {
		return target{name, "≤ " + fmt.Sprintf("%.2f ×", limit), "n/a", "n/a"}
	}
	return atMost(name, "%.2f ×", limit, r.get("Peers/CheckCost/"+way, "backend-ratio"))
}

// optional is a figure of a benchmark that stands only in some versions of the tree, or that a
// short run leaves out: without it, the target is not measured.
func (r *results) optional(t func(name, format string, limit, measured float64) target, name, format string, limit float64, benchmark, unit string) target {
	if _, ok := r.figures[benchmark]; !ok {
		missing := t(name, format, limit, 0)
		missing.measured, missing.verdict = "n/a", "not measured"
		return missing
	}
	return t(name, format, limit, r.get(benchmark, unit))
}

// inverse is the ratio of times, where the figure is the ratio of rates.
func (r *results) inverse(benchmark, unit string) float64 { return 1 / r.get(benchmark, unit) }

// speed compares the figures with the targets for speed. Ratios are medians over the rounds of what
// was measured in the same round.
func (r *results) speed() (list []target) {
	for _, row := range []struct {
		algorithm          string
		seen, first, flood float64
	}{{"ES256", 0.03, 1.05, 1.1}, {"EdDSA", 0.03, 1.05, 1.1}, {"RS256", 0.05, 1.08, 1.1}, {"HS256", 0.3, 1.35, 1.1}} {
		name := "processor time of Validate with the mirror, of golang-jwt alone, " + row.algorithm + ": "
		group := "Validate/" + row.algorithm + "/"
		list = append(list,
			r.optional(atMost, name+"token seen before", "%.3f ×", row.seen, group+"token seen before", "ratio"),
			r.optional(atMost, name+"token not seen before", "%.2f ×", row.first, group+"token not seen before", "ratio"),
			r.optional(atMost, name+"a flood of replays of revoked tokens", "%.2f ×", row.flood, group+"revoked token seen before", "ratio"))
	}
	const coalesced, of4 = "Peers/Coalescer/callers=%d/Postgres coalesced", "of-go-redis-MGET-of-4"
	list = append(list,
		r.optional(atMost, "a mirror check at 1 M, keys at hand, no row, of one lookup in a Go map of 1 M keys of 16 bytes", "%.2f ×", 1.5,
			"MirrorCheck/no row", "of-absent"),
		r.optional(atMost, "the same for a user with an epoch", "%.2f ×", 1.5, "MirrorCheck/epoch", "of-present"),
		r.optional(atMost, "allocations of either", "%.0f", 0, "MirrorCheck/epoch", "allocs"),
		atMost("time of one check, of one primary-key SELECT (sockets, one caller)", "%.2f ×", 1.4, r.get("Peers/CheckCost/Check coalesced", "wall-ratio")),
		atMost("time of one check at 0.25 ms, of go-redis MGET of 4", "%.2f ×", 1.05, r.inverse("Peers/Network/Check/callers=1/Postgres coalesced", of4)),
		atLeast("rate coalesced at 64 callers, of go-redis MGET of 4 (sockets)", "%.2f ×", 1.2, r.get(fmt.Sprintf(coalesced, 64), of4)),
		atLeast("rate coalesced at 256 callers, of go-redis MGET of 4 (sockets)", "%.2f ×", 2, r.get(fmt.Sprintf(coalesced, 256), of4)),
		atLeast("rate coalesced at one caller, of a query each", "%.2f ×", 0.97, r.get(fmt.Sprintf(coalesced, 1), "of-Postgres-plain")),
		r.optional(atMost, "10 M rows loaded into a mirror", "%.2f s", 3, "MirrorLoad/rows=10000000", "s"),
		r.optional(atMost, "memory of a mirror of 10 M rows", "%.0f MB", 290, "MirrorLoad/rows=10000000", "MB"),
	)
	for _, name := range []string{"check", "write", "sweep per row", "load per row"} {
		list = append(list, atMost("time at 1 M rows, of the time at 100 k: "+name, "%.2f ×", 1.2, r.get("Growth/"+name, "growth")))
	}
	return list
}

// targets compares the figures with the other targets.
func (r *results) targets() []target {
	list := []target{
		atMost("mirror: looking up the four keys of a check at 1 M entries", "%.0f ns", 200, r.get("Find/entries=1000000", "ns/op")),
		atMost("mirror: a check of a plain Token at 1 M entries", "%.0f ns", 1000, r.get("Check/entries=1000000", "ns/op")),
		atMost("mirror: allocations of a check", "%.0f", 0, r.get("Check/entries=1000000", "allocs/op")),
		r.backend("the check's statement, of one primary-key SELECT, processor time of the backend", "statement", 1.9),
		atMost("the check's statement, of one primary-key SELECT, time of one call", "%.2f ×", 1.5, r.get("Peers/CheckCost/statement", "wall-ratio")),
		atMost("a Postgres check, of go-redis EXISTS then GET", "%.2f ×", 1, r.inverse("Peers/Check/callers=1/Postgres plain", "of-go-redis-EXISTS,-GET")),
		atMost("commit to enforced, 10 mirrors, own write, p99", "%.1f ms", 20, r.get("Enforced/mirrors=10/own", "p99-ms")),
		atMost("commit to enforced, 10 mirrors, Wake, p99", "%.1f ms", 20, r.get("Enforced/mirrors=10/wake", "p99-ms")),
		atLeast("32 writers that notify mirrors, of 32 that do not", "%.2f ×", 0.95, r.get("Notify", "of-plain")),
	}
	list = append(list,
		r.optional(atLeast, "rate of refreshes at 0.25 ms, of a plain UPDATE by primary key", "%.2f ×", 0.6, "Refresh/Network/callers=1/refresh", "of-UPDATE"),
		r.optional(atLeast, "the same of its statement alone", "%.2f ×", 0.6, "Refresh/Network/callers=1/statement", "of-UPDATE"),
		r.optional(atLeast, "rate of refreshes over sockets, with fsync off, of a plain UPDATE by primary key", "%.2f ×", 0.6, "Refresh/Rate/callers=1/refresh", "of-UPDATE"),
		r.optional(atLeast, "HOT updates among a million refreshes", "%.1f %%", 95, "Refresh/Many", "hot-%"),
		r.optional(atMost, "size of the indexes of sessions after a million refreshes, of that before", "%.2f ×", 1, "Refresh/Many", "indexes"),
		r.optional(atMost, "p99 of checks beside 300 refreshes a second, of checks alone", "%.2f ×", 1.3, "Refresh/Checks/refresh", "of-without"),
	)
	plan := target{"the plan of a check, from empty to a million rows without ANALYZE", "index scans", "TestCheckPlan fails", verdict(false)}
	if r.passed["TestCheckPlan"] {
		plan.measured, plan.verdict = "TestCheckPlan passes", verdict(true)
	}
	return append(list,
		atMost("mirror: loading 1 M rows", "%.2f s", 2, r.get("Check/entries=1000000", "load-s")),
		atLeast("10,000 tokens in one call, of COPY", "%.3f ×", 0.5, r.get("Revoke/tokens=10000", "of-COPY")),
		atLeast("sweep", "%.0f,000 rows/s", 150, r.get("Sweep", "rows/s")/1000),
		atMost("p99 of checks beside a sweep, of idle", "%.2f ×", 2, r.get("Sweep", "busy/idle")),
		atMost("size after ten cycles, of that after two", "%.2f ×", 1.05, r.get("SteadyState", "growth")),
		plan,
	)
}

func targetTable(list []target) string {
	var b strings.Builder
	b.WriteString("| | to reach | measured | |\n|---|---|---|---|\n")
	for _, t := range list {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", t.name, t.want, t.measured, t.verdict)
	}
	return b.String()
}
