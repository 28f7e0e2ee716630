// Logout is a small API with sign-in, logout and password change, on a throwaway Postgres, to
// be tried with curl. It prints the commands. README.md says what they show.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/migrations"
)

// walkthrough has the commands to try. $api stands for the address.
//
//go:embed walkthrough.txt
var walkthrough string

func main() {
	port := flag.Uint("port", 8080, "the `port` on 127.0.0.1; 0 takes one that is free")
	flag.Parse()
	if flag.NArg() > 0 || *port > 65535 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt does not wait
	if err := run(ctx, uint16(*port)); err != nil {
		fmt.Fprintln(os.Stderr, "logout:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, port uint16) (err error) {
	// Only this machine can connect: there is no TLS, and a token must not cross a network
	// unencrypted.
	local := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", local.String())
	if err != nil {
		return err
	}
	defer listener.Close()

	server, err := pgserver.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	address, err := server.CreateEmptyDatabase(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.DropDatabase(context.WithoutCancel(ctx), address)) }()
	pool, err := pgxpool.New(ctx, address)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := migrations.Up(ctx, pool); err != nil {
		return err
	}

	a, err := newApp(pool, productionRounds)
	if err != nil {
		return err
	}
	if err := a.store.Ready(ctx); err != nil {
		return err
	}
	if err := a.createAccounts(ctx); err != nil {
		return err
	}
	handler, err := a.routes()
	if err != nil {
		return err
	}
	fmt.Printf("An API on a throwaway Postgres (%s). Ctrl-C ends both. In another terminal:\n\n", server.Source)
	fmt.Printf("  api=http://%s\n\n%s\n", listener.Addr(), walkthrough)
	return serve(ctx, listener, handler)
}

// serve answers requests until ctx ends. Then it finishes the requests that have begun.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		// Counted from the end of the header, so it covers the body and requestTimeout.
		WriteTimeout:   25 * time.Second,
		IdleTimeout:    time.Minute,
		MaxHeaderBytes: 16 << 10, // a token has 8 KiB at most
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	return server.Shutdown(ctx)
}
