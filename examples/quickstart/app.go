package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
)

const (
	issuer   = "https://app.example"
	audience = "https://app.example/api"
	lifetime = 15 * time.Minute
)

// app is a service with accounts, which signs its own tokens.
type app struct {
	pool      *pgxpool.Pool
	key       *ecdsa.PrivateKey
	store     *revoke.Postgres
	validator *revoke.Validator
}

func newApp(ctx context.Context, pool *pgxpool.Pool) (*app, error) {
	// A real app hashes its passwords. This example is about the transactions that read and
	// write them.
	_, err := pool.Exec(ctx, `CREATE TABLE accounts (id bigint PRIMARY KEY, email text NOT NULL UNIQUE,
			password text NOT NULL CHECK (password <> ''));
		INSERT INTO accounts VALUES (41, 'ada@app.example', 'correct horse'), (42, 'bob@app.example', 'hunter2')`, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return nil, err
	}
	a := &app{pool: pool}
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if a.store, err = revoke.NewPostgres(pool, revoke.WithIssuers(issuer)); err != nil {
		return nil, err
	}
	if err := a.store.Ready(ctx); err != nil {
		return nil, err
	}
	keyfunc := func(*jwt.Token) (any, error) { return a.key.Public(), nil }
	a.validator, err = revoke.NewValidator(a.store, issuer, revoke.AudienceOf(audience), keyfunc,
		[]string{jwt.SigningMethodES256.Alg()}, revoke.WithEpochClaim())
	return a, err
}

// signIn checks the password and signs a token for a new session. One statement reads the
// password and the epochs of the user. So if the password changes meanwhile, the token is
// refused from the start.
func (a *app) signIn(ctx context.Context, email, password string) (string, error) {
	var id, stored string
	var epochs revoke.Epochs
	err := a.pool.QueryRow(ctx, "SELECT id, password, revoke.epochs($1, id::text) FROM accounts WHERE email = $2",
		issuer, email).Scan(&id, &stored, &epochs)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && stored != password {
		return "", errors.New("wrong address or password")
	}
	if err != nil {
		return "", err
	}
	return a.sign(a.validator.User(id), epochs)
}

// sign returns a token of a new session, with the epochs of its user.
func (a *app) sign(user revoke.User, epochs revoke.Epochs) (string, error) {
	claims, err := revoke.NewClaims(user, lifetime, revoke.AudienceOf(audience), epochs)
	if err != nil {
		return "", err
	}
	return jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(a.key)
}

// logOut ends the token's session. The token may have expired.
func (a *app) logOut(ctx context.Context, text string) error {
	token, err := a.validator.Identify(ctx, text)
	if err != nil {
		return err
	}
	return a.store.RevokeSession(ctx, token.Session(), revoke.WithReason("logout"), revoke.WithActor(token.Subject))
}

// changePassword writes the new password and ends every session in one transaction: both
// happen, or neither.
func (a *app) changePassword(ctx context.Context, text, from, to string) (string, error) {
	token, err := a.validator.Validate(ctx, text)
	if err != nil {
		return "", err
	}
	user := token.User()
	var epochs revoke.Epochs
	err = pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		// The revocation comes first, and the old password is compared while the row of the
		// epoch is locked. So a concurrent revocation of this user has either committed, and
		// the comparison sees what it changed, or it waits, and then ends the new session too.
		after, err := a.store.WithTx(tx).RevokeUser(ctx, user, revoke.WithReason("password changed"), revoke.WithActor(user.Subject))
		if err != nil {
			return err
		}
		epochs = after
		tag, err := tx.Exec(ctx, "UPDATE accounts SET password = $3 WHERE id = $1 AND password = $2", user.Subject, from, to)
		if err == nil && tag.RowsAffected() == 0 {
			err = errors.New("wrong password")
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return a.sign(user, epochs)
}

// sweep revokes some tokens, moves their rows into the past instead of waiting, and sweeps.
func (a *app) sweep(ctx context.Context) error {
	var tokens []revoke.Token
	for range 1000 {
		tokens = append(tokens, revoke.Token{Issuer: issuer, ID: rand.Text(), ExpiresAt: time.Now().Add(lifetime)})
	}
	if err := a.store.RevokeTokens(ctx, tokens, revoke.WithReason("logout")); err != nil {
		return err
	}
	const later = "UPDATE revoke.revocations SET expires_at = expires_at - interval '2 hours' WHERE scope = 'token'"
	if _, err := a.pool.Exec(ctx, later); err != nil {
		return err
	}
	sweeper, err := revoke.NewSweeper(a.store)
	if err != nil {
		return err
	}
	result, err := sweeper.Sweep(ctx)
	if err != nil {
		return err
	}
	deleted := result.Deleted[revoke.ScopeToken]
	fmt.Printf("  deleted the revocations of %d tokens, and %d others, in %v\n",
		deleted, result.Total()-deleted, result.Duration.Round(time.Millisecond))
	if deleted != int64(len(tokens)) || result.Total() != deleted {
		return fmt.Errorf("expected %d tokens and no others", len(tokens))
	}
	return nil
}

// measure compares the cost of a check with that of the cheapest query.
func (a *app) measure(ctx context.Context, text string) error {
	heading("What a check costs (median of 1,000, one at a time)")
	token, err := a.validator.Validate(ctx, text)
	if err != nil {
		return err
	}
	var email string
	for _, m := range []struct {
		name string
		run  func() error
	}{
		{"SELECT of one row by its primary key", func() error {
			return a.pool.QueryRow(ctx, "SELECT email FROM accounts WHERE id = $1", 41).Scan(&email)
		}},
		{"Check: token, session, user and issuer", func() error { return a.store.Check(ctx, token.Token) }},
		{"Validate: signature and claims too", func() error { _, err := a.validator.Validate(ctx, text); return err }},
	} {
		const n = 1000
		times := make([]time.Duration, n)
		for i := range times {
			start := time.Now()
			if err := m.run(); err != nil {
				return err
			}
			times[i] = time.Since(start)
		}
		slices.Sort(times)
		fmt.Printf("  %-40s %v\n", m.name, times[n/2].Round(time.Microsecond))
	}
	return nil
}
