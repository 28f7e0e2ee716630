package revoketest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revoketest"
)

// A test of an app's logout, without a database. The app's function takes a revoke.Store.
func ExampleNewMemory() {
	logOut := func(ctx context.Context, store revoke.Store, token revoke.Token) error {
		return store.RevokeSession(ctx, token.Session(), revoke.WithReason("logout"))
	}

	ctx, store := context.Background(), revoketest.NewMemory()
	token := revoke.Token{
		Issuer: "https://app.example", Subject: "42", ID: "1", SessionID: "phone",
		IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Minute),
	}
	fmt.Println("before:", store.Check(ctx, token))
	if err := logOut(ctx, store, token); err != nil {
		log.Fatal(err)
	}
	fmt.Println("after: ", errors.Is(store.Check(ctx, token), revoke.ErrRevoked))
	// Output:
	// before: <nil>
	// after:  true
}

// A test that an app refuses tokens while its database is down.
func ExampleNewFaulty() {
	store := revoketest.NewFaulty(revoketest.NewMemory())
	store.Fail(errors.New("the database is down"))
	err := store.Check(context.Background(), revoke.Token{
		Issuer: "https://app.example", Subject: "42", ID: "1", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Minute),
	})
	fmt.Println(errors.Is(err, revoke.ErrUnavailable))
	// Output: true
}
