package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/mirror"
)

// A mirror runs beside the service, which checks by it and revokes through its store.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	pool, drop := examplePool(ctx)
	defer drop()

	store, err := revoke.NewPostgres(pool)
	if err != nil {
		log.Fatal(err)
	}
	m, err := mirror.New(store)
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- m.Run(ctx) }()
	if err := m.Ready(ctx); err != nil {
		log.Fatal(err)
	}

	now := time.Now()
	token := revoke.Token{
		Issuer: "https://app.example", ID: "token-1", Subject: "ada",
		IssuedAt: now.Add(-time.Minute), ExpiresAt: now.Add(time.Hour),
	}
	fmt.Println("before:", m.Check(ctx, token))
	fmt.Println("logout:", m.Store().RevokeToken(ctx, token))
	fmt.Println("after: ", errors.Is(m.Check(ctx, token), revoke.ErrRevoked))
	fmt.Println("asked Postgres:", m.Stats().Fallbacks)

	stop()
	fmt.Println("ended: ", <-ended)
	// Output:
	// before: <nil>
	// logout: <nil>
	// after:  true
	// asked Postgres: 0
	// ended:  <nil>
}

// examplePool returns a pool on a migrated database, and what takes both away.
func examplePool(ctx context.Context) (*pgxpool.Pool, func()) {
	server, err := pgserver.Process(ctx)
	if err != nil {
		log.Fatal(err)
	}
	address, err := server.CreateDatabase(ctx)
	if err != nil {
		log.Fatal(err)
	}
	pool, err := pgxpool.New(ctx, address)
	if err != nil {
		log.Fatal(err)
	}
	return pool, func() {
		pool.Close()
		if err := server.DropDatabase(context.WithoutCancel(ctx), address); err != nil {
			log.Fatal(err)
		}
	}
}
