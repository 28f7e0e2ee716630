package app

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
)

// accountsTable is the app's own table. It stands beside the schema of revoke.
//
//go:embed accounts.sql
var accountsTable string

// Migrate makes the app's own table. Call it beside migrations.Up.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, accountsTable)
	return err
}

// account is what a check of a password reads, in one statement: the epochs are as old as the hash.
// So if the password changes during a sign-in, the session of that sign-in is refused.
type account struct {
	id, name, hash string
	epochs         revoke.Epochs
}

const (
	accountByName = "SELECT id::text, name, password_hash, revoke.epochs($1, id::text) FROM accounts WHERE name = $2"
	accountByID   = "SELECT id::text, name, password_hash, revoke.epochs($1, id::text) FROM accounts WHERE id = $2"
)

var (
	errCredentials = wrong("password", "The name or the password is wrong.")
	errPassword    = wrong("password", "This is not your password.")
)

// authenticate returns the account that the password fits, or errCredentials. It does not tell a
// wrong password from a name without an account, by the answer or by the time that it takes.
func (a *App) authenticate(r *http.Request, query, key, password string) (account, error) {
	found, address := account{name: key}, network(a.refresh.Device(r))
	err := a.pool.QueryRow(r.Context(), query, issuer, key).Scan(&found.id, &found.name, &found.hash, &found.epochs)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return account{}, err
	}
	if wait := a.guesses.try(found.name, address); wait > 0 {
		return account{}, tooMany("password", wait)
	}
	matches, err := a.hasher.matches(r.Context(), password, found.hash)
	if err != nil {
		return account{}, err
	}
	if !matches {
		return account{}, errCredentials
	}
	a.guesses.succeeded(found.name, address)
	return found, nil
}

// createAccount adds an account within the transaction.
func createAccount(ctx context.Context, tx pgx.Tx, name, hash string) (account, error) {
	created := account{name: name, hash: hash}
	err := tx.QueryRow(ctx, "INSERT INTO accounts (name, password_hash) VALUES ($2, $3) RETURNING id::text, revoke.epochs($1, id::text)",
		issuer, name, hash).Scan(&created.id, &created.epochs)
	if violated := (*pgconn.PgError)(nil); errors.As(err, &violated) && violated.ConstraintName == "accounts_name_key" {
		return account{}, wrong("name", "This name is taken.")
	}
	return created, err
}

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,31}$`)

// readName returns the name in the form, as it is stored: "Ada" and "ada" are one account.
func readName(r *http.Request) (string, error) {
	name := strings.ToLower(strings.TrimSpace(r.PostFormValue("name")))
	if !namePattern.MatchString(name) {
		return "", wrong("name", "A name is 1 to 32 letters from a to z, digits, dots, hyphens and underscores.")
	}
	return name, nil
}

// The lengths of a password, in characters. NIST SP 800-63B-4 §3.1.1.2 asks for 15 at least where
// there is no second factor.
const (
	minPassword = 15
	maxPassword = 200
)

// hashNew returns the hash of the new password in the form.
func (a *App) hashNew(r *http.Request) (hash string, err error) {
	password := r.PostFormValue(chosenField.Name)
	switch n := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password):
		return "", wrong(chosenField.Name, "This is not a text.")
	case n < minPassword:
		return "", wrong(chosenField.Name, fmt.Sprintf("A password has %d characters at least.", minPassword))
	case n > maxPassword:
		return "", wrong(chosenField.Name, fmt.Sprintf("A password has %d characters at most.", maxPassword))
	}
	return a.hasher.hash(r.Context(), password)
}

// tooMany refuses a form that has been sent too often.
func tooMany(field string, wait time.Duration) *formError {
	minutes := int(wait/time.Minute) + 1
	text := fmt.Sprintf("There were too many attempts. Try again in %d minutes.", minutes)
	if minutes == 1 {
		text = "There were too many attempts. Try again in a minute."
	}
	return &formError{http.StatusTooManyRequests, field, text}
}
