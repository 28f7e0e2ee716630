package testkit

import (
	"net"
	"sync/atomic"
)

// SilentConn is a connection that loses what it sends while Silent is set, as behind a firewall
// that dropped it.
type SilentConn struct {
	net.Conn
	Silent *atomic.Bool
}

func (c SilentConn) Write(b []byte) (int, error) {
	if c.Silent.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}
