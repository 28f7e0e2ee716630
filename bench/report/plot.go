package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// series are the lines of the plot. Their colours have a middle lightness, so that they stand
// out on white and on black.
var series = []struct{ way, label, colour, dash string }{
	{"mirror", "revoke, mirror", "#2f9e6e", ""},
	{"Postgres coalesced", "revoke, Postgres, coalesced", "#3b82d6", ""},
	{"Postgres plain", "revoke, Postgres, a query each", "#3b82d6", "5 4"},
	{"rueidis MGET of 4", "rueidis MGET of 4", "#d9622b", "2 3"},
	{"go-redis MGET of 4", "go-redis MGET of 4", "#d9622b", ""},
	{"go-redis EXISTS, GET", "go-redis EXISTS, GET", "#d9622b", "5 4"},
	{"scs session", "scs session load", "#a36bc9", ""},
}

const (
	width, height           = 800, 420
	left, right             = 64, 520
	top, bottom             = 48, 372
	lowest, highest         = 1e4, 1e7 // checks a second, on a logarithmic scale
	labelGap        float64 = 15
)

// plot draws checks a second over callers, as SVG. The text has the colour of the reader's theme.
func (r *results) plot() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12">
<style>
  text { fill: #1f2328 } .grid { stroke: #8c959f; stroke-opacity: 0.35 }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }
</style>
<title>Checks a second over concurrent callers</title>
<text x="%d" y="22" font-size="15" font-weight="600">Checks a second, by concurrent callers</text>
`, width, height, left)
	for value := 1e4; value <= highest; value *= 10 {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			left, right, yOf(value), yOf(value), left-8, yOf(value)+4, amount(value))
	}
	for i, n := range callers {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", xOf(i), bottom+20, n)
	}
	fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">callers</text>`+"\n", float64(left+right)/2, bottom+38)

	last := math.Inf(-1) // the height of the label above
	for _, s := range inOrder(r) {
		line := series[s]
		points := make([]string, len(callers))
		for i, n := range callers {
			points[i] = fmt.Sprintf("%.1f,%.1f", xOf(i), yOf(r.rate("Peers/Check", n, line.way)))
		}
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2.5" stroke-dasharray="%s" points="%s"/>`+"\n",
			line.colour, line.dash, strings.Join(points, " "))
		end := r.rate("Peers/Check", callers[len(callers)-1], line.way)
		y := max(yOf(end), last+labelGap)
		last = y
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="%s" stroke-dasharray="%s" stroke-width="1"/>`,
			right, right+14, yOf(end), y, line.colour, line.dash)
		fmt.Fprintf(&b, `<text x="%d" y="%.1f">%s: %s</text>`+"\n", right+18, y+4, line.label, amount(end))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// inOrder returns the indexes of the series, the one that ends highest first.
func inOrder(r *results) []int {
	order := make([]int, len(series))
	for i := range order {
		order[i] = i
	}
	end := func(i int) float64 { return r.rate("Peers/Check", callers[len(callers)-1], series[i].way) }
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(end(b), end(a)) })
	return order
}

func xOf(i int) float64 {
	return left + float64(right-left)*(math.Log2(float64(callers[i]))/math.Log2(float64(callers[len(callers)-1])))
}

func yOf(value float64) float64 {
	share := (math.Log10(max(value, lowest)) - math.Log10(lowest)) / (math.Log10(highest) - math.Log10(lowest))
	return bottom - share*(bottom-top)
}

// amount writes a rate as a label has it, such as 1.2 M.
func amount(x float64) string {
	if x >= 1e6 {
		return fmt.Sprintf("%.3g M", x/1e6)
	}
	return fmt.Sprintf("%.3g k", x/1e3)
}
