package bench

import (
	"bytes"
	"context"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgrevoke/revoke/internal/testkit"
)

// oneWay is what a proxy adds to each direction: a round trip takes 0.25 ms more.
const oneWay = 125 * time.Microsecond

// proxy stands before a server and delays what passes, as a network does: every piece arrives
// oneWay after it was sent, pieces of one direction in their order, and a piece does not wait for
// the answer to the one before. Network namespaces with netem do the same, where the kernel has it
// and the user may set it up, which is not so on many machines.
//
// A proxy listens on TCP on the loopback interface.
type proxy struct {
	listener net.Listener
	network  string // of the server
	address  string // of the server
	lanes    [2]chan piece
	ends     []net.Conn // of all connections
	accepts  sync.WaitGroup
	relays   sync.WaitGroup
	threads  sync.WaitGroup
}

// piece is what was read at once. Without data it closes its connection.
type piece struct {
	due  time.Time
	to   net.Conn
	data []byte
}

// startProxy starts a proxy before a server, and returns the address of the proxy. It is stopped at
// the end of the test.
func startProxy(tb testing.TB, network, address string) string {
	tb.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	testkit.Must(tb, err)
	p := &proxy{listener: listener, network: network, address: address}
	for i := range p.lanes {
		p.lanes[i] = make(chan piece, 1<<12)
		p.threads.Go(func() { deliver(p.lanes[i]) })
	}
	p.accepts.Go(p.accept)
	tb.Cleanup(p.stop)
	return listener.Addr().String()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // stopped
		}
		var dialer net.Dialer
		server, err := dialer.DialContext(context.Background(), p.network, p.address)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.ends = append(p.ends, client, server)
		p.relays.Go(func() { relay(client, server, p.lanes[0]) })
		p.relays.Go(func() { relay(server, client, p.lanes[1]) })
	}
}

// relay puts what it reads into the lane, until the end of the connection.
func relay(from, to net.Conn, lane chan<- piece) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		due := time.Now().Add(oneWay)
		if n > 0 {
			lane <- piece{due, to, bytes.Clone(buffer[:n])}
		}
		if err != nil {
			lane <- piece{due, to, nil}
			return
		}
	}
}

// deliver hands on the pieces of one direction. The delay is the same for all, so that they are due
// in their order. It sleeps by the system and not by Go, because Go's timers are late by up to
// a millisecond in a process that has nothing to do. The thread ends with the goroutine.
func deliver(lane <-chan piece) {
	runtime.LockOSThread()
	const setTimerSlack = 29 // PR_SET_TIMERSLACK: by default, the system is late by 50 µs
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, setTimerSlack, 1, 0)
	for p := range lane {
		for wait := time.Until(p.due); wait > 0; wait = time.Until(p.due) {
			pause := syscall.NsecToTimespec(wait.Nanoseconds())
			_ = syscall.Nanosleep(&pause, nil) // a signal ends it early
		}
		if p.data == nil {
			_ = p.to.Close()
		} else {
			_, _ = p.to.Write(p.data) // what was closed is noticed where it is read
		}
	}
}

func (p *proxy) stop() {
	_ = p.listener.Close()
	p.accepts.Wait()
	for _, end := range p.ends {
		_ = end.Close()
	}
	p.relays.Wait()
	for _, lane := range p.lanes {
		close(lane)
	}
	p.threads.Wait()
}

// startEcho starts a server on a Unix socket that sends back what it gets, in blocks of this
// length, and returns its path. It waits for this many blocks before it answers the first one.
func startEcho(tb testing.TB, block, blocks int) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "echo.sock")
	var config net.ListenConfig
	listener, err := config.Listen(tb.Context(), "unix", path)
	testkit.Must(tb, err)
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer conn.Close()
				buffer := make([]byte, block*blocks)
				for {
					if _, err := io.ReadFull(conn, buffer); err != nil {
						return
					}
					if _, err := conn.Write(buffer); err != nil {
						return
					}
				}
			})
		}
	})
	tb.Cleanup(func() {
		_ = listener.Close()
		group.Wait()
	})
	return path
}

// echo is an empty round trip through a proxy: the least that a question can take there, and the
// most that the proxy lets through.
func echo(b *testing.B) func(context.Context, *request) error {
	b.Helper()
	const block = 100
	address := startProxy(b, "unix", startEcho(b, block, 1))
	idle := make(chan net.Conn, connections)
	for range connections {
		var dialer net.Dialer
		conn, err := dialer.DialContext(b.Context(), "tcp", address)
		testkit.Must(b, err)
		b.Cleanup(func() { _ = conn.Close() })
		idle <- conn
	}
	return func(context.Context, *request) error {
		conn := <-idle
		defer func() { idle <- conn }()
		var buffer [block]byte
		if _, err := conn.Write(buffer[:]); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, buffer[:])
		return err
	}
}

// TestProxy sends to a server that answers only when all has arrived. A proxy that let one piece
// wait for the answer to another would never deliver the last.
func TestProxy(t *testing.T) {
	const block, blocks = 100, 50
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", startProxy(t, "unix", startEcho(t, block, blocks)))
	testkit.Must(t, err)
	defer conn.Close()
	var sent []byte
	var last time.Time
	for i := range blocks {
		last = time.Now()
		next := bytes.Repeat([]byte{byte(i)}, block)
		_, err := conn.Write(next)
		testkit.Must(t, err)
		sent = append(sent, next...)
	}
	got := make([]byte, len(sent))
	_, err = io.ReadFull(conn, got)
	testkit.Must(t, err)
	if took := time.Since(last); took < 2*oneWay {
		t.Errorf("a round trip took %v", took)
	}
	if !bytes.Equal(got, sent) {
		t.Error("what arrived is not what was sent, in its order")
	}
}
