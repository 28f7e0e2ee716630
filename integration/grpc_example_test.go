package integration

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revoketest"
)

// interceptor refuses calls without a token that the validator accepts.
type interceptor struct{ validator *revoke.Validator }

func (i interceptor) unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, err := i.accept(ctx)
	if err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

func (i interceptor) stream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, err := i.accept(stream.Context())
	if err != nil {
		return err
	}
	return handler(srv, acceptedStream{stream, ctx})
}

// acceptedStream is a stream with the token in its context.
type acceptedStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // a stream has its context in it
}

func (s acceptedStream) Context() context.Context { return s.ctx }

type tokenKey struct{}

// accept returns ctx with the token of the call in it.
func (i interceptor) accept(ctx context.Context) (context.Context, error) {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) != 1 {
		return nil, status.Error(codes.Unauthenticated, "one token is required")
	}
	scheme, text, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil, status.Error(codes.Unauthenticated, "a bearer token is required")
	}
	verified, err := i.validator.Validate(ctx, text)
	if err != nil {
		return nil, statusOf(err)
	}
	return context.WithValue(ctx, tokenKey{}, verified.Token), nil
}

// statusOf returns the status of a refused call: Unauthenticated asks the client to sign in,
// Unavailable to repeat the call. The reason is not for the client, but for the log.
func statusOf(err error) error {
	if errors.Is(err, revoke.ErrRevoked) || errors.Is(err, revoke.ErrInvalidToken) {
		return status.Error(codes.Unauthenticated, "the token is not accepted")
	}
	return status.Error(codes.Unavailable, "try again") // revoke.ErrUnavailable
}

// service stands for a service of the app. Its messages are those of gRPC's health service,
// which need no generated code.
type service struct {
	health.UnimplementedHealthServer
	checker revoke.Checker
	next    chan struct{}
}

func (s service) Check(ctx context.Context, _ *health.HealthCheckRequest) (*health.HealthCheckResponse, error) {
	token, _ := ctx.Value(tokenKey{}).(revoke.Token)
	fmt.Println("Check by", token.Subject)
	return &health.HealthCheckResponse{}, nil
}

// Watch sends the messages of next. The interceptor has checked the token at the beginning of
// the stream. A stream that may live long checks it again before each message.
func (s service) Watch(_ *health.HealthCheckRequest, stream grpc.ServerStreamingServer[health.HealthCheckResponse]) error {
	token, _ := stream.Context().Value(tokenKey{}).(revoke.Token)
	fmt.Println("Watch by", token.Subject)
	for {
		select {
		case <-s.next:
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
		if err := s.checker.Check(stream.Context(), token); err != nil {
			return statusOf(err)
		}
		if err := stream.Send(&health.HealthCheckResponse{}); err != nil {
			return err
		}
	}
}

// A gRPC server validates tokens in two interceptors, for calls and for streams.
func Example_grpc() {
	ctx := context.Background()
	store := revoketest.NewFaulty(revoketest.NewMemory()) // a *revoke.Postgres, in an app
	guard := interceptor{exampleValidator(store)}
	server := grpc.NewServer(grpc.UnaryInterceptor(guard.unary), grpc.StreamInterceptor(guard.stream))
	defer server.Stop()
	next := make(chan struct{}, 1)
	health.RegisterHealthServer(server, service{checker: store, next: next})
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
	client := health.NewHealthClient(conn)

	_, err = client.Check(ctx, nil)
	fmt.Println("no token:", status.Code(err))

	text := exampleToken()
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+text)
	_, err = client.Check(ctx, nil)
	fmt.Println("before:", status.Code(err))
	stream, err := client.Watch(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	next <- struct{}{}
	_, err = stream.Recv()
	fmt.Println("before, stream:", status.Code(err))

	store.Fail(errors.New("the database is down"))
	_, err = client.Check(ctx, nil)
	fmt.Println("database down:", status.Code(err))
	store.Fail(nil)

	token, err := guard.validator.Identify(ctx, text)
	if err != nil {
		log.Fatal(err)
	}
	if err := store.RevokeToken(ctx, token, revoke.WithReason("logout")); err != nil {
		log.Fatal(err)
	}
	_, err = client.Check(ctx, nil)
	fmt.Println("after:", status.Code(err))
	next <- struct{}{}
	_, err = stream.Recv()
	fmt.Println("after, the stream that was open:", status.Code(err))
	stream, err = client.Watch(ctx, nil)
	if err == nil {
		_, err = stream.Recv()
	}
	fmt.Println("after, a new stream:", status.Code(err))
	// Output:
	// no token: Unauthenticated
	// Check by ada
	// before: OK
	// Watch by ada
	// before, stream: OK
	// database down: Unavailable
	// after: Unauthenticated
	// after, the stream that was open: Unauthenticated
	// after, a new stream: Unauthenticated
}
