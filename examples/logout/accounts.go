package main

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgrevoke/revoke"
)

// createAccounts makes the app's own table, with two people in it.
func (a *app) createAccounts(ctx context.Context) error {
	if _, err := a.pool.Exec(ctx, `CREATE TABLE accounts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		name text NOT NULL UNIQUE, password_hash text NOT NULL)`); err != nil {
		return err
	}
	for name, password := range map[string]string{"ada": "correct-horse", "bob": "hunter2-hunter2"} {
		hash, err := hashPassword(password, a.rounds)
		if err != nil {
			return err
		}
		if _, err := a.pool.Exec(ctx, "INSERT INTO accounts (name, password_hash) VALUES ($1, $2)", name, hash); err != nil {
			return fmt.Errorf("account %s: %w", name, err)
		}
	}
	return nil
}

// account is what the check of a password reads, in one statement: the epochs are as old as
// the hash.
type account struct {
	id, hash string
	epochs   revoke.Epochs
}

const (
	byName = "SELECT id, password_hash, revoke.epochs($1, id::text) FROM accounts WHERE name = $2"
	byID   = "SELECT id, password_hash, revoke.epochs($1, id::text) FROM accounts WHERE id = $2"
)

// check returns the account that the password fits. A caller without the password does not learn
// whether there is such an account, by the answer or by the time that it takes.
func (a *app) check(ctx context.Context, query, name, password string) (account, error) {
	var found account
	err := a.pool.QueryRow(ctx, query, issuer, name).Scan(&found.id, &found.hash, &found.epochs)
	if errors.Is(err, pgx.ErrNoRows) {
		found.hash, err = a.absent, nil
	}
	if err != nil {
		return account{}, err
	}
	fits, err := matches(found.hash, password)
	if err == nil && !fits {
		err = errCredentials
	}
	return found, err
}

// productionRounds is the number of iterations of PBKDF2 that the program uses: some 100 ms.
const productionRounds = 600_000

var base64Text = base64.RawStdEncoding.Strict()

// hashPassword returns the text that the database stores for a password: the method, the number
// of rounds, the salt and the key. Each hash names its own rounds, so that a later release can
// raise them. PBKDF2 is in the standard library. A service that takes a module for this takes
// Argon2id, which costs an attacker memory too.
func hashPassword(password string, rounds int) (string, error) {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	key, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("pbkdf2-sha256:%d:%s:%s", rounds, base64Text.EncodeToString(salt), base64Text.EncodeToString(key)), nil
}

// matches reports whether the hash is of the password. An error says that the hash is none.
func matches(hash, password string) (bool, error) {
	parts := strings.Split(hash, ":")
	if len(parts) != 4 || parts[0] != "pbkdf2-sha256" {
		return false, errors.New("this is no hash of a password")
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil {
		return false, errors.New("the hash of a password has no rounds")
	}
	salt, err := base64Text.DecodeString(parts[2])
	if err != nil {
		return false, errors.New("the hash of a password has no salt")
	}
	want, err := base64Text.DecodeString(parts[3])
	if err != nil || len(want) != sha256.Size {
		return false, errors.New("the hash of a password has no key")
	}
	key, err := pbkdf2.Key(sha256.New, password, salt, n, sha256.Size)
	return subtle.ConstantTimeCompare(key, want) == 1, err
}
