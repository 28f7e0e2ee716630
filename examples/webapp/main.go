// Webapp is a web app with accounts, on a throwaway Postgres: sign up, sign in on several devices,
// see where you are signed in, and sign out of any. README.md says what to copy.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/examples/webapp/app"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/migrations"
	"github.com/pgrevoke/revoke/session"
)

func main() {
	port := flag.Uint("port", 8080, "the `port` on localhost; 0 takes one that is free")
	flag.Parse()
	if flag.NArg() > 0 || *port > 65535 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt does not wait
	if err := run(ctx, *port, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "webapp:", err)
		os.Exit(1)
	}
}

// run starts the app, says where, and ends it with ctx. Port 0 asks for one that is free.
func run(ctx context.Context, wanted uint, out io.Writer) (err error) {
	// Only this machine can connect: there is no TLS, and a token must not cross a network
	// unencrypted.
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", wanted))
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
	if err := errors.Join(migrations.Up(ctx, pool), app.Migrate(ctx, pool)); err != nil {
		return err
	}

	// A real app loads its key, so that its users stay signed in when it restarts.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	keys := session.StaticKeys(session.Key{ID: "1", Method: jwt.SigningMethodES256, Private: key})
	webapp, err := app.New(pool, keys, app.Argon2)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "A web app on a throwaway Postgres (%s). Ctrl-C ends both. Open it in two browsers:\n\n", server.Source)
	fmt.Fprintf(out, "  http://localhost:%s\n\n", port)
	return serve(ctx, listener, webapp)
}

// serve answers requests until ctx ends. Then it finishes the requests that have begun.
func serve(ctx context.Context, listener net.Listener, webapp *app.App) error {
	stopping, stop := context.WithCancel(ctx)
	defer stop()
	server := &http.Server{
		Handler:           webapp.Handler(stopping),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      20 * time.Second, // more than a request may take; a stream has its own
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10, // two tokens have 16 KiB at most
	}
	ended := make(chan error, 2)
	go func() { ended <- webapp.Run(stopping) }()
	go func() { ended <- server.Serve(listener) }()
	first := <-ended // ctx has ended, or one of them has failed
	stop()
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := errors.Join(first, server.Shutdown(finish))
	if second := <-ended; !errors.Is(second, http.ErrServerClosed) {
		err = errors.Join(err, second)
	}
	return err
}
