package mirror

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
)

// followVariable makes the test binary run a mirror of this address and answer the
// questions on its standard input.
const followVariable = "REVOKE_MIRROR_FOLLOW"

func TestMain(m *testing.M) {
	if address := os.Getenv(followVariable); address != "" {
		if err := followAndAnswer(address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	pgserver.Main(m)
}

// followBound is the bound of that mirror.
const followBound = 500 * time.Millisecond

// followAndAnswer reads lines of a word and a token's id. It checks the token and
// writes a line. At "pause" it says so in the middle of the check, between the mark and
// the clock, and goes on with the next line.
func followAndAnswer(address string) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	pool, err := pgxpool.New(ctx, address)
	if err != nil {
		return err
	}
	defer pool.Close()
	store, err := revoke.NewPostgres(pool)
	if err != nil {
		return err
	}
	lines := bufio.NewReader(os.Stdin)
	var paused atomic.Bool
	clock := func() instant {
		if paused.Load() && inCheck() {
			paused.Store(false)
			fmt.Println("between")
			_, _ = lines.ReadString('\n')
		}
		return systemClock()
	}
	m, err := New(store, WithBound(followBound), withClock(clock))
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	if err := m.Ready(ctx); err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		line, err := lines.ReadString('\n')
		if err != nil { // the parent has closed the pipe, or has ended
			stop()
			return <-ended
		}
		word, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		paused.Store(word == "pause")
		before := m.fallbacks.Load()
		err = m.Check(ctx, tokenOf(id))
		verdict := "accepted"
		if errors.Is(err, revoke.ErrRevoked) {
			verdict = "refused"
		} else if err != nil {
			verdict = "not answered"
		}
		if m.fallbacks.Load() == before {
			verdict += " from memory"
		}
		fmt.Println(verdict)
	}
}

// inCheck reports whether a check calls. Polls read the clock too.
func inCheck() bool {
	var callers [16]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers[:])])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, "(*Mirror).fromMemory") {
			return true
		}
		if !more {
			return false
		}
	}
}
