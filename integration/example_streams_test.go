package integration

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// tokenFromSubprotocol takes the token from a subprotocol, for pages that have it in a script: a
// script cannot set Authorization on a WebSocket.
func tokenFromSubprotocol(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const prefix = "bearer."
		offered := strings.Split(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), ",")
		var kept []string
		for _, protocol := range offered {
			protocol = strings.TrimSpace(protocol)
			if token, ok := strings.CutPrefix(protocol, prefix); ok {
				r.Header.Add("Authorization", "Bearer "+token) // two of them are refused
				continue
			}
			kept = append(kept, protocol)
		}
		r.Header.Set("Sec-WebSocket-Protocol", strings.Join(kept, ", "))
		next.ServeHTTP(w, r)
	})
}

// chat answers each message. It tells why a WebSocket ended.
type chat struct{ ended chan error }

func (c chat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"chat"}})
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	for {
		_, message, err := conn.Read(r.Context()) // ends with the token
		if err != nil {
			c.ended <- context.Cause(r.Context())
			return
		}
		if err := conn.Write(r.Context(), websocket.MessageText, message); err != nil {
			return
		}
	}
}

// A WebSocket ends when its token is revoked.
func Example_webSocket() {
	ctx := context.Background()
	store := revoketest.NewMemory() // a *revoke.Postgres, in an app
	validator := exampleValidator(store)
	guard, err := revokehttp.NewGuard(validator)
	if err != nil {
		log.Fatal(err)
	}
	watcher, err := revokehttp.NewWatcher(store, revokehttp.WithWatchInterval(100*time.Millisecond))
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	server := httptest.NewServer(tokenFromSubprotocol(guard.Require(watcher.Watch(chat{ended}))))
	defer server.Close()

	text := exampleToken()
	options := &websocket.DialOptions{Subprotocols: []string{"chat", "bearer." + text}}
	conn, _, err := websocket.Dial(ctx, server.URL, options) //nolint:bodyclose // Dial closes it
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	if err := conn.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		log.Fatal(err)
	}
	_, message, err := conn.Read(ctx)
	fmt.Println(conn.Subprotocol(), string(message), err)

	token, err := validator.Identify(ctx, text)
	if err != nil {
		log.Fatal(err)
	}
	if err := store.RevokeToken(ctx, token); err != nil {
		log.Fatal(err)
	}
	_, _, err = conn.Read(ctx)
	fmt.Println("the client is disconnected:", err != nil)
	fmt.Println("ended by a revocation:", errors.Is(<-ended, revoke.ErrRevoked))
	_, answer, err := websocket.Dial(ctx, server.URL, options) //nolint:bodyclose // as above
	if err == nil {
		log.Fatal("a revoked token opens a WebSocket")
	}
	fmt.Println("a new one:", answer.StatusCode)
	// Output:
	// chat hello <nil>
	// the client is disconnected: true
	// ended by a revocation: true
	// a new one: 401
}

// watching is an interceptor that ends streams with their token.
type watching struct {
	interceptor
	watcher *revokehttp.Watcher
}

func (i watching) stream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, err := i.accept(stream.Context())
	if err != nil {
		return err
	}
	token, _ := ctx.Value(tokenKey{}).(revoke.Token)
	ctx, stop := i.watcher.Context(ctx, token)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- handler(srv, acceptedStream{stream, ctx}) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return statusOf(context.Cause(ctx))
	}
}

// quiet is a service with a stream that has nothing to say.
type quiet struct {
	health.UnimplementedHealthServer
	next chan struct{}
}

func (q quiet) Watch(_ *health.HealthCheckRequest, stream grpc.ServerStreamingServer[health.HealthCheckResponse]) error {
	if err := stream.Send(&health.HealthCheckResponse{}); err != nil {
		return err
	}
	<-q.next // without a look at the context
	return nil
}

// A gRPC stream ends when its token is revoked, even if its handler waits for a message.
func Example_grpcStream() {
	ctx := context.Background()
	store := revoketest.NewMemory() // a *revoke.Postgres, in an app
	watcher, err := revokehttp.NewWatcher(store, revokehttp.WithWatchInterval(100*time.Millisecond))
	if err != nil {
		log.Fatal(err)
	}
	guard := watching{interceptor{exampleValidator(store)}, watcher}
	server := grpc.NewServer(grpc.StreamInterceptor(guard.stream))
	defer server.Stop()
	next := make(chan struct{})
	defer close(next)
	health.RegisterHealthServer(server, quiet{next: next})
	listener := bufconn.Listen(1 << 16) // TLS on a port, in an app
	go func() {
		if err := server.Serve(listener); err != nil {
			log.Fatal(err)
		}
	}()
	conn, err := grpc.NewClient("passthrough:", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	text := exampleToken()
	stream, err := health.NewHealthClient(conn).Watch(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+text), nil)
	if err != nil {
		log.Fatal(err)
	}
	_, err = stream.Recv()
	fmt.Println("before:", status.Code(err))
	token, err := guard.validator.Identify(ctx, text)
	if err != nil {
		log.Fatal(err)
	}
	if err := store.RevokeToken(ctx, token); err != nil {
		log.Fatal(err)
	}
	_, err = stream.Recv()
	fmt.Println("after:", status.Code(err))
	// Output:
	// before: OK
	// after: Unauthenticated
}
