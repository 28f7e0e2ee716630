// Command report runs the benchmarks, prints their output, and writes RESULTS.md with tables
// and checks.svg with a plot.
//
//	cd bench && go run ./report
//
// It takes at most twenty minutes on a quiet machine with two cores. With -short it takes a
// minute or two, and its figures only show that everything works. They are not written to a file
// unless -output names a folder.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

func main() {
	short := flag.Bool("short", false, "measure little, to see that everything works")
	output := flag.String("output", "", "the folder for RESULTS.md and checks.svg (default: this one)")
	input := flag.String("input", "", "a file with the output of an earlier run, in place of a new one")
	flag.Parse()
	if *output == "" && !*short {
		*output = "."
	}
	if err := run(context.Background(), *short, *output, *input); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// job is one run of a package's benchmarks. The benchmarks choose their own sizes. benchtime is
// for those that measure one operation after the other.
type job struct{ folder, bench, benchtime string }

var jobs = []job{
	{".", "^BenchmarkPeers$", "1x"},
	{".", "^Benchmark(Validate|Mirror.*)$", "1x"},
	{".", "^BenchmarkGrowth$", "1x"},
	{"../mirror", "^Benchmark(Check|Find)$/^entries=(1000|1000000)$", "500ms"},
	{"../mirror", "^BenchmarkEnforced$/./^(own|wake)$", "200x"},
	{"../mirror", "^BenchmarkEnforced$/./^poll$", "40x"},
	{".", "^BenchmarkRevoke$", "1s"},
	{".", "^BenchmarkRefresh$", "1x"},
	{".", "^Benchmark(Notify|Sweep|SteadyState|RowSize)$", "1x"},
}

func run(ctx context.Context, short bool, output, input string) error {
	var printed bytes.Buffer
	if input != "" {
		text, err := os.ReadFile(input)
		if err != nil {
			return err
		}
		printed.Write(text)
	} else if err := measure(ctx, short, &printed); err != nil {
		return err
	}
	r, err := parse(&printed)
	if err != nil {
		return err
	}
	versions, err := command(ctx, ".", "list", "-m", "-f", "{{.Path}} {{.Version}}",
		"github.com/golang-jwt/jwt/v5", "github.com/jackc/pgx/v5", "github.com/redis/go-redis/v9", "github.com/redis/rueidis",
		"github.com/kataras/jwt", "github.com/alexedwards/scs/v2",
		"github.com/alexedwards/scs/pgxstore", "github.com/bits-and-blooms/bloom/v3").Output()
	if err != nil {
		return fmt.Errorf("the versions of the peers: %w", err)
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return fmt.Errorf("the kernel: %w", err)
	}
	r.config["kernel"] = string(bytes.TrimSpace(kernel))
	text, err := r.markdown(string(versions))
	if err != nil {
		return err
	}
	fmt.Print("\n", text)
	plot := r.plot()
	if output == "" {
		return nil
	}
	return errors.Join(
		os.WriteFile(filepath.Join(output, "RESULTS.md"), []byte(text), 0o600),
		os.WriteFile(filepath.Join(output, "checks.svg"), []byte(plot), 0o600),
	)
}

// measure runs everything, and copies the output to printed as it comes.
func measure(ctx context.Context, short bool, printed io.Writer) error {
	start := time.Now()
	both := io.MultiWriter(os.Stdout, printed)
	for _, j := range jobs {
		args := []string{"test", "-run", "^$", "-timeout", "20m", "-bench", j.bench, "-benchtime", j.benchtime}
		if short {
			args = append(args, "-short")
			if j.benchtime != "1x" {
				args[len(args)-2] = "10x"
			}
		}
		if err := relay(command(ctx, j.folder, append(args, ".")...), both); err != nil {
			return fmt.Errorf("%s of %s: %w", j.bench, j.folder, err)
		}
	}
	// The plan of a check is not measured: a test looks at it.
	if err := relay(command(ctx, "..", "test", "-count=1", "-v", "-run", "^TestCheckPlan$", "."), both); err != nil {
		return fmt.Errorf("TestCheckPlan: %w", err)
	}
	fmt.Printf("everything took %v\n", time.Since(start).Round(time.Second))
	return nil
}

func command(ctx context.Context, folder string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the arguments are those above
	cmd.Dir = folder
	cmd.Stderr = os.Stderr
	return cmd
}

func relay(cmd *exec.Cmd, to io.Writer) error {
	cmd.Stdout = to
	return cmd.Run()
}
