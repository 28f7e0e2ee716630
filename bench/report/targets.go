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
		return "met"
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
	if _, measured := r.figures["CheckCost/"+way]["backend-ratio"]; !measured {
		return target{name, "≤ " + fmt.Sprintf("%.2f ×", limit), "n/a", "n/a"}
	}
	return atMost(name, "%.2f ×", limit, r.get("CheckCost/"+way, "backend-ratio"))
}

// targets compares the figures with their targets. Ratios are of medians over turns that the
// two ways took one after the other.
func (r *results) targets() []target {
	const check, algorithms = "Peers/Check", "Peers/Algorithms"
	list := []target{
		atMost("mirror: looking up the four keys of a check at 1 M entries", "%.0f ns", 200, r.get("Find/entries=1000000", "ns/op")),
		atMost("mirror: a check of a plain Token at 1 M entries", "%.0f ns", 1000, r.get("Check/entries=1000000", "ns/op")),
		atMost("mirror: allocations of a check", "%.0f", 0, r.get("Check/entries=1000000", "allocs/op")),
	}
	for _, algorithm := range []string{"ES256", "RS256", "EdDSA", "HS256"} {
		limit := 1.10
		if algorithm == "HS256" {
			limit = 1.35
		}
		bare, ours := r.get(algorithms+"/"+algorithm+"/golang-jwt alone", "per-s"), r.get(algorithms+"/"+algorithm+"/mirror", "per-s")
		list = append(list, atMost("Validate with the mirror, "+algorithm+", of golang-jwt alone", "%.2f ×", limit, bare/ours))
	}
	plain := r.rate(check, 1, "Postgres plain")
	mget := func(callers int) float64 { return r.rate(check, callers, "go-redis MGET") }
	coalesced := func(callers int) float64 { return r.rate(check, callers, "Postgres coalesced") }
	list = append(list,
		r.backend("the check's statement, of one primary-key SELECT, processor time of the backend", "statement", 1.9),
		atMost("the check's statement, of one primary-key SELECT, time of one call", "%.2f ×", 1.5, r.get("CheckCost/statement", "wall-ratio")),
		atMost("a Postgres check, of go-redis EXISTS then GET", "%.2f ×", 1, r.rate(check, 1, "go-redis EXISTS, GET")/plain),
		atLeast("coalesced at 64 callers, of go-redis MGET", "%.2f ×", 1.2, coalesced(64)/mget(64)),
		atLeast("coalesced at 256 callers, of go-redis MGET", "%.2f ×", 2, coalesced(256)/mget(256)),
		atLeast("coalesced at 1 caller, of a query each", "%.2f ×", 0.97, coalesced(1)/plain),
		atMost("commit to enforced, 10 mirrors, own write, p99", "%.1f ms", 20, r.get("Enforced/mirrors=10/own", "p99-ms")),
		atMost("commit to enforced, 10 mirrors, Wake, p99", "%.1f ms", 20, r.get("Enforced/mirrors=10/wake", "p99-ms")),
		atLeast("32 writers that notify mirrors, of 32 that do not", "%.2f ×", 0.95, r.get("Notify", "of-plain")),
	)
	if _, ok := r.figures["Check/entries=10000000"]; ok { // not in a short run
		list = append(list, atMost("mirror: memory at 10 M entries", "%.0f MB", 400, 10*r.get("Check/entries=10000000", "B/entry")))
	}
	plan := target{"the plan of a check, from empty to a million rows without ANALYZE", "index scans", "TestCheckPlan fails", verdict(false)}
	if r.passed["TestCheckPlan"] {
		plan.measured, plan.verdict = "TestCheckPlan passes", verdict(true)
	}
	return append(list,
		atMost("mirror: loading 1 M rows", "%.2f s", 2, r.get("Check/entries=1000000", "load-s")),
		atLeast("10,000 tokens in one call, of COPY", "%.2f ×", 0.5, r.get("Revoke/tokens=10000", "of-COPY")),
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
