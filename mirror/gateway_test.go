package mirror

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgrevoke/revoke/internal/testkit"
)

// gateway stands before a server and its standby, as proxies do that hide failovers
// from their clients. It keeps the connection of a client, remembers what the client
// has set, and continues on the server of the moment in a new session with the same
// settings.
type gateway struct {
	failover *failover
	listener net.Listener
	replays  atomic.Int64
	holding  sync.RWMutex // by each request, for reading: a failover falls between two
}

func openGateway(t *testing.T, f *failover) *gateway {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	testkit.Must(t, err)
	g := &gateway{failover: f, listener: listener}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
				c := client{gateway: g, conn: conn, settings: map[string]string{}}
				_ = c.serve(ctx) // a client that hangs up, or a server that ends
				c.leave()
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = listener.Close()
		group.Wait()
	})
	return g
}

func (g *gateway) connString() string {
	return "postgres://any@" + g.listener.Addr().String() + "/any?sslmode=disable"
}

// hold lets requests under way end and keeps the next ones until goOn.
func (g *gateway) hold() { g.holding.Lock() }

func (g *gateway) goOn() { g.holding.Unlock() }

// client is a connection from a client and, once there was a request, one to a server.
type client struct {
	*gateway
	conn     net.Conn
	server   *pgconn.HijackedConn
	leadsTo  *string           // the server's address
	settings map[string]string // by set_config, as long as the client lives
	parsed   string            // the last statement
}

func (c *client) leave() {
	if c.server != nil {
		_ = c.server.Conn.Close()
	}
}

// serve passes requests on, each up to its end, and the answers back.
func (c *client) serve(ctx context.Context) error {
	backend := pgproto3.NewBackend(c.conn, c.conn)
	startup, err := backend.ReceiveStartupMessage()
	if err != nil {
		return err
	}
	if _, ok := startup.(*pgproto3.StartupMessage); !ok {
		return errors.New("a request to cancel, or for encryption")
	}
	backend.Send(&pgproto3.AuthenticationOk{})
	backend.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	backend.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	// Made up, since servers change.
	backend.Send(&pgproto3.BackendKeyData{ProcessID: 4242, SecretKey: []byte{1, 2, 3, 4}})
	backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if err := backend.Flush(); err != nil {
		return err
	}
	var request []byte
	for {
		message, err := backend.Receive()
		if err != nil {
			return err
		}
		if request, err = message.Encode(request); err != nil {
			return err
		}
		c.note(message)
		switch message.(type) {
		case *pgproto3.Query, *pgproto3.Sync:
			if err := c.pass(ctx, backend, request); err != nil {
				return err
			}
			request = request[:0]
		case *pgproto3.Terminate:
			return nil
		}
	}
}

// note remembers a setting.
func (c *client) note(message pgproto3.FrontendMessage) {
	switch message := message.(type) {
	case *pgproto3.Parse:
		c.parsed = message.Query
	case *pgproto3.Bind:
		if strings.Contains(c.parsed, "set_config($1::pg_catalog.text, $2::pg_catalog.text, false)") {
			c.settings[string(message.Parameters[0])] = string(message.Parameters[1])
		}
	}
}

// pass sends a request to the server of the moment, and its answer to the client.
func (c *client) pass(ctx context.Context, backend *pgproto3.Backend, request []byte) error {
	c.holding.RLock()
	defer c.holding.RUnlock()
	if address := c.failover.LeadsTo.Load(); address != c.leadsTo {
		if err := c.connect(ctx); err != nil {
			return err
		}
		c.leadsTo = address
	}
	if _, err := c.server.Conn.Write(request); err != nil {
		return err
	}
	for {
		message, err := c.server.Frontend.Receive()
		if err != nil {
			return err
		}
		backend.Send(message)
		if _, ready := message.(*pgproto3.ReadyForQuery); ready {
			return backend.Flush()
		}
		if err := backend.Flush(); err != nil {
			return err
		}
	}
}

// connect opens a session on the server of the moment and replays the settings into it.
func (c *client) connect(ctx context.Context) error {
	config, err := pgconn.ParseConfig(c.failover.Address)
	if err != nil {
		return err
	}
	config.DialFunc = c.failover.Dial
	server, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	for name, value := range c.settings {
		parameters := [][]byte{[]byte(name), []byte(value)}
		result := server.ExecParams(ctx, "SELECT set_config($1::text, $2::text, false)", parameters, nil, nil, nil).Read()
		if result.Err != nil {
			return result.Err
		}
		if c.server != nil {
			c.replays.Add(1)
		}
	}
	c.leave()
	c.server, err = server.Hijack()
	return err
}
