package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestParse reads lines as "go test -bench" prints them.
func TestParse(t *testing.T) {
	r, err := parse(strings.NewReader("cpu: Some CPU\n" +
		"BenchmarkPeers/Check/callers=8/go-redis_EXISTS,_GET-2 \t1\t 38.91 p50-µs\t 53913 per-s\n" +
		"BenchmarkCheck/entries=1000-2 \t 100\t 55.5 ns/op\t 0 B/op\t 0 allocs/op\n" +
		"--- PASS: TestCheckPlan (0.00s)\nPASS\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.rate("Peers/Check", 8, "go-redis EXISTS, GET"); got != 53913 {
		t.Errorf("a rate of %v", got)
	}
	if got := r.get("Check/entries=1000", "ns/op"); got != 55.5 {
		t.Errorf("%v ns", got)
	}
	if r.config["cpu"] != "Some CPU" || !r.passed["TestCheckPlan"] || len(r.missing) > 0 {
		t.Errorf("%+v", r)
	}
	if r.get("Check/entries=7", "ns/op"); len(r.missing) != 1 {
		t.Errorf("missing = %q, want one figure", r.missing)
	}
}

// TestMissing expects an error where a figure is missing.
func TestMissing(t *testing.T) {
	r, err := parse(strings.NewReader("PASS\n"))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := r.markdown(""); err == nil || !strings.Contains(err.Error(), "Sweep in rows/s") {
		t.Errorf("markdown = %q, %v", text, err)
	}
}

// TestPlot expects XML with a label for each line.
func TestPlot(t *testing.T) {
	r := &results{figures: map[string]map[string]float64{}}
	for i, s := range series {
		for _, n := range callers {
			r.figures[fmt.Sprintf("Peers/Check/callers=%d/%s", n, s.way)] = map[string]float64{"per-s": 20_000 + float64(i)}
		}
	}
	plot := r.plot()
	if len(r.missing) > 0 {
		t.Errorf("missing: %v", r.missing)
	}
	for decoder := xml.NewDecoder(strings.NewReader(plot)); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range series {
		if !strings.Contains(plot, ">"+s.label+": 20 k<") {
			t.Errorf("no label for %s", s.way)
		}
	}
}

func TestThousands(t *testing.T) {
	for _, row := range []struct {
		x    float64
		want string
	}{{0, "0"}, {999, "999"}, {1234, "1,230"}, {99_960, "100,000"}, {1_234_567, "1,230,000"}} {
		t.Run(row.want, func(t *testing.T) {
			if got := thousands(row.x); got != row.want {
				t.Errorf("thousands(%v) = %s", row.x, got)
			}
		})
	}
}

// TestBackendElsewhere expects "n/a", and neither a failure nor a missing figure, where the
// server runs on another machine.
func TestBackendElsewhere(t *testing.T) {
	r, err := parse(strings.NewReader("BenchmarkPeers/CheckCost/statement-2 \t1\t 1.45 wall-ratio\t 62.0 wall-µs\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.backend("a check", "statement", 1.9); got.verdict != "n/a" || len(r.missing) > 0 {
		t.Errorf("verdict %q, missing %q", got.verdict, r.missing)
	}
	r.figures["Peers/CheckCost/statement"]["backend-ratio"] = 1.95
	if got := r.backend("a check", "statement", 1.9); got.verdict != "missed" {
		t.Errorf("verdict %q of a figure above its limit", got.verdict)
	}
}

// TestOptional expects "not measured", and no missing figure, where a benchmark does not exist.
func TestOptional(t *testing.T) {
	r := &results{figures: map[string]map[string]float64{"Validate/ES256/token seen before": {"ratio": 0.02}}}
	for _, row := range []struct{ benchmark, verdict string }{
		{"Validate/ES256/token seen before", "reached"}, {"Validate/none", "not measured"},
	} {
		t.Run(row.verdict, func(t *testing.T) {
			if got := r.optional(atMost, "Validate", "%.2f ×", 0.03, row.benchmark, "ratio"); got.verdict != row.verdict || len(r.missing) > 0 {
				t.Errorf("verdict %q, missing %q", got.verdict, r.missing)
			}
		})
	}
}
