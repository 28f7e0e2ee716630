package main

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// results is the output of benchmarks: the figures of each by their units, lines of
// configuration such as "cpu: …", and the tests that passed.
type results struct {
	figures map[string]map[string]float64
	config  map[string]string
	passed  map[string]bool
	missing []string // figures that get was asked for and did not find
}

var configLine = regexp.MustCompile(`^([a-z]+): (.*)$`)

// parse reads the format of "go test -bench". It leaves out the number of processors at the end
// of a name, and the folder of the package, because no two packages have reported benchmarks of
// the same name.
func parse(from io.Reader) (*results, error) {
	r := &results{figures: map[string]map[string]float64{}, config: map[string]string{}, passed: map[string]bool{}}
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 4 && strings.HasPrefix(fields[0], "Benchmark"):
			name := strings.TrimPrefix(fields[0], "Benchmark")
			if i := strings.LastIndexByte(name, '-'); i > 0 {
				name = name[:i]
			}
			units := map[string]float64{}
			for i := 2; i+1 < len(fields); i += 2 {
				value, err := strconv.ParseFloat(fields[i], 64)
				if err != nil {
					return nil, fmt.Errorf("%q: %w", lines.Text(), err)
				}
				units[fields[i+1]] = value
			}
			r.figures[strings.ReplaceAll(name, "_", " ")] = units
		case len(fields) >= 3 && fields[0] == "---" && fields[1] == "PASS:":
			r.passed[fields[2]] = true
		default:
			if match := configLine.FindStringSubmatch(lines.Text()); match != nil {
				r.config[match[1]] = match[2]
			}
		}
	}
	return r, lines.Err()
}

// get returns a figure. Where there is none, it adds the name to missing.
func (r *results) get(name, unit string) float64 {
	value, ok := r.figures[name][unit]
	if !ok {
		r.missing = append(r.missing, name+" in "+unit)
	}
	return value
}

// rate returns how many calls a second a way answered at a number of callers.
func (r *results) rate(group string, callers int, way string) float64 {
	return r.get(fmt.Sprintf("%s/callers=%d/%s", group, callers, way), "per-s")
}
