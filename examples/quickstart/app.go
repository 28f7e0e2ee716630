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
	lifetime = 15 * time.Minute
)

// app is a service with accounts, which signs its own tokens.
type app struct {
	pool      *pgxpool.Pool
	key       *ecdsa.PrivateKey
	store     *revoke.Postgres
	validator *revoke.Validator[revoke.Claims]
}

func newApp(ctx context.Context, pool *pgxpool.Pool) (*app, error) {
	// A real app hashes its passwords; what matters here is in which transaction they are read and written.
	_, err := pool.Exec(ctx, `CREATE TABLE accounts (name text PRIMARY KEY, password text NOT NULL CHECK (password <> ''));
		INSERT INTO accounts VALUES ('ada', 'correct horse'), ('bob', 'hunter2')`, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return nil, err
	}
	a := &app{pool: pool}
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if a.store, err = revoke.NewPostgres(pool); err != nil {
		return nil, err
	}
	keyfunc := func(*jwt.Token) (any, error) { return a.key.Public(), nil }
	a.validator, err = revoke.NewValidator[revoke.Claims](a.store, issuer, keyfunc,
		[]string{jwt.SigningMethodES256.Alg()}, revoke.WithEpochClaim())
	return a, err
}

// signIn checks the password and signs a token for a new session. The epochs are read before the password, so a
// password change that comes in between makes the token dead at birth.
func (a *app) signIn(ctx context.Context, name, password string) (string, error) {
	epochs, err := a.store.Epochs(ctx, revoke.User{Issuer: issuer, Subject: name})
	if err != nil {
		return "", err
	}
	var known bool
	const query = "SELECT EXISTS (SELECT FROM accounts WHERE name = $1 AND password = $2)"
	if err := a.pool.QueryRow(ctx, query, name, password).Scan(&known); err != nil {
		return "", err
	}
	if !known {
		return "", errors.New("wrong name or password")
	}
	return a.sign(name, epochs)
}

// sign makes a token that carries its session and the epochs of its user.
func (a *app) sign(name string, epochs revoke.Epochs) (string, error) {
	now := time.Now()
	return jwt.NewWithClaims(jwt.SigningMethodES256, revoke.Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    issuer,
			Subject:   name,
			ID:        rand.Text(),
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(lifetime)),
		},
		SessionID: rand.Text(),
		Epochs:    &epochs,
	}).SignedString(a.key)
}

// logOut ends the token's session. A token that has expired may still log out.
func (a *app) logOut(ctx context.Context, tokenString string) error {
	token, _, err := a.validator.Identify(tokenString)
	if err != nil {
		return err
	}
	session := revoke.Session{Issuer: token.Issuer, ID: token.SessionID}
	return a.store.RevokeSession(ctx, session, revoke.WithReason("logout"), revoke.WithActor(token.Subject))
}

// changePassword writes the new password and ends every session in one transaction: both happen, or neither.
func (a *app) changePassword(ctx context.Context, name, from, to string) (string, error) {
	var epochs revoke.Epochs
	err := pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		// The revocation comes first, and the old password is looked at while the row of the epoch is held. So whoever ends
		// this user's sessions at the same time has committed and is seen, or waits and ends the new one too.
		after, err := a.store.WithTx(tx).RevokeUser(ctx, revoke.User{Issuer: issuer, Subject: name},
			revoke.WithReason("password changed"), revoke.WithActor(name))
		if err != nil {
			return err
		}
		epochs = after
		tag, err := tx.Exec(ctx, "UPDATE accounts SET password = $3 WHERE name = $1 AND password = $2", name, from, to)
		if err == nil && tag.RowsAffected() == 0 {
			err = errors.New("wrong name or password")
		}
		return err
	})
	if err != nil {
		return "", err
	}
	return a.sign(name, epochs)
}

// sweep lets time pass for some revoked tokens, by moving their rows into the past, and sweeps.
func (a *app) sweep(ctx context.Context) error {
	var tokens []revoke.Token
	for range 1000 {
		tokens = append(tokens, revoke.Token{Issuer: issuer, ID: rand.Text(), ExpiresAt: time.Now().Add(lifetime)})
	}
	if err := a.store.RevokeTokens(ctx, tokens, revoke.WithReason("logout")); err != nil {
		return err
	}
	const later = "UPDATE revoke.revoked_tokens SET expires_at = expires_at - interval '2 hours'"
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
	fmt.Printf("  deleted %d tokens, %d sessions and %d epochs in %v\n",
		result.Tokens, result.Sessions, result.Epochs, result.Duration.Round(time.Millisecond))
	if result.Tokens != int64(len(tokens)) || result.Sessions != 0 || result.Epochs != 0 {
		return fmt.Errorf("expected %d tokens and nothing else", len(tokens))
	}
	return nil
}

// measure compares what a check costs with the least that a question to the database can cost.
func (a *app) measure(ctx context.Context, tokenString string) error {
	heading("What a check costs (median of 1,000, one at a time)")
	token, _, err := a.validator.Validate(ctx, tokenString)
	if err != nil {
		return err
	}
	var name string
	for _, m := range []struct {
		what string
		do   func() error
	}{
		{"SELECT of one row by its primary key", func() error {
			return a.pool.QueryRow(ctx, "SELECT name FROM accounts WHERE name = $1", "ada").Scan(&name)
		}},
		{"Check: token, session, user and issuer", func() error { return a.store.Check(ctx, token) }},
		{"Validate: signature and claims too", func() error { _, _, err := a.validator.Validate(ctx, tokenString); return err }},
	} {
		const n = 1000
		times := make([]time.Duration, n)
		for i := range times {
			start := time.Now()
			if err := m.do(); err != nil {
				return err
			}
			times[i] = time.Since(start)
		}
		slices.Sort(times)
		fmt.Printf("  %-40s %v\n", m.what, times[n/2].Round(time.Microsecond))
	}
	return nil
}
