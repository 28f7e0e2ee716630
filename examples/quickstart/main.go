// Quickstart runs through the life of a few sessions on a real Postgres, with real ES256
// tokens: two sign-ins, one logout, a password change, an attacker with a stolen token, and a
// sweep.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/migrations"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
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
	fmt.Printf("A throwaway Postgres (%s), with the tables of revoke.\n", server.Source)

	a, err := newApp(ctx, pool)
	if err != nil {
		return err
	}
	return story(ctx, a)
}

// story does what the headings say. Each request has an expected outcome, and another outcome
// is an error.
func story(ctx context.Context, a *app) error {
	heading("Ada signs in, on two devices")
	phone, err := a.signIn(ctx, "ada@app.example", "correct horse")
	if err != nil {
		return err
	}
	laptop, err := a.signIn(ctx, "ada@app.example", "correct horse")
	if err != nil {
		return err
	}
	stolen := laptop // an attacker copies it, and waits
	if err := errors.Join(a.expect(ctx, "phone", phone, nil), a.expect(ctx, "laptop", laptop, nil)); err != nil {
		return err
	}

	heading("She logs the phone out")
	if err := a.logOut(ctx, phone); err != nil {
		return err
	}
	if err := errors.Join(a.expect(ctx, "phone", phone, revoke.ErrRevoked), a.expect(ctx, "laptop", laptop, nil)); err != nil {
		return err
	}

	heading("She changes her password; that ends every session, and the answer carries a new token")
	laptop, err = a.changePassword(ctx, laptop, "correct horse", "battery staple")
	if err != nil {
		return err
	}
	if err := errors.Join(
		a.expect(ctx, "laptop, new token", laptop, nil),
		a.expect(ctx, "attacker, old token", stolen, revoke.ErrRevoked),
	); err != nil {
		return err
	}
	if _, err := a.signIn(ctx, "ada@app.example", "correct horse"); err == nil {
		return errors.New("the old password still signs in")
	}
	fmt.Println("  sign-in with the old password: refused")

	heading("The change of another password fails half-way; nothing has happened")
	bob, err := a.signIn(ctx, "bob@app.example", "hunter2")
	if err != nil {
		return err
	}
	if _, err := a.changePassword(ctx, bob, "hunter2", ""); err == nil {
		return errors.New("an empty password was accepted")
	}
	if err := a.expect(ctx, "other account", bob, nil); err != nil {
		return err
	}

	heading("Hours later the sweeper deletes the revocations that no verifier needs any more")
	if err := a.sweep(ctx); err != nil {
		return err
	}
	return errors.Join(
		a.expect(ctx, "attacker, old token", stolen, revoke.ErrRevoked),
		a.measure(ctx, laptop),
	)
}

func heading(text string) { fmt.Printf("\n%s\n", text) }

// expect validates the token of a request and compares the outcome.
func (a *app) expect(ctx context.Context, who, token string, want error) error {
	start := time.Now()
	_, err := a.validator.Validate(ctx, token)
	took := time.Since(start).Round(10 * time.Microsecond)
	outcome := "accepted"
	if err != nil {
		outcome = "refused, " + err.Error()
	}
	fmt.Printf("  request from the %s: %s (%v)\n", who, outcome, took)
	if !errors.Is(err, want) {
		return fmt.Errorf("request from the %s: got %w, want %w", who, err, want)
	}
	return nil
}
