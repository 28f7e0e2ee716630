package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
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
	guard     *revokehttp.Guard
	rounds    int    // of PBKDF2, for each new hash of a password
	absent    string // the hash that stands in for a missing account: of a random password
}

func newApp(pool *pgxpool.Pool, rounds int) (*app, error) {
	a := &app{pool: pool, rounds: rounds}
	var err error
	if a.absent, err = hashPassword(rand.Text(), rounds); err != nil {
		return nil, err
	}
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if a.store, err = revoke.NewPostgres(pool, revoke.WithIssuers(issuer)); err != nil {
		return nil, err
	}
	keyfunc := func(*jwt.Token) (any, error) { return a.key.Public(), nil }
	a.validator, err = revoke.NewValidator(a.store, issuer, revoke.AudienceOf(audience), keyfunc,
		[]string{jwt.SigningMethodES256.Alg()}, revoke.WithEpochClaim(), revoke.WithMaxLifetime(lifetime))
	if err != nil {
		return nil, err
	}
	// Pages of this app keep their token in a cookie. Other clients send it in the
	// Authorization header.
	a.guard, err = revokehttp.NewGuard(a.validator, revokehttp.WithCookie("session", "/"), revokehttp.WithReport(report))
	return a, err
}

// routes returns the API.
func (a *app) routes() (http.Handler, error) {
	logout, err := a.guard.Logout(a.store)
	if err != nil {
		return nil, err
	}
	everywhere, err := a.guard.LogoutEverywhere(a.store, revokehttp.WithRecord(revoke.WithReason("logout everywhere")))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /sign-in", a.guard.RequireSameOrigin(a.answer(a.signIn)))
	mux.Handle("GET /me", a.guard.Require(a.answer(a.me)))
	mux.Handle("POST /password", a.guard.Require(a.answer(a.changePassword)))
	mux.Handle("POST /logout", logout)
	mux.Handle("POST /logout-everywhere", everywhere)
	return limit(mux), nil
}

// signIn answers with a token for a new session. One statement reads the hash of the
// password and the epochs. So if the password changes meanwhile, the token is refused from
// the start.
func (a *app) signIn(w http.ResponseWriter, r *http.Request) error {
	name, password, err := readForm(r, "name", "password")
	if err != nil {
		return err
	}
	if !isName(name) {
		return errNoName
	}
	account, err := a.check(r.Context(), byName, name, password)
	if err != nil {
		return err
	}
	return a.hand(w, r, a.validator.User(account.id), account.epochs)
}

// me is the API that the tokens are for.
func (a *app) me(w http.ResponseWriter, r *http.Request) error {
	token, _ := revokehttp.TokenFromContext(r.Context())
	var name string
	if err := a.pool.QueryRow(r.Context(), "SELECT name FROM accounts WHERE id = $1", token.Subject).Scan(&name); err != nil {
		return err
	}
	writeText(w, "hello, "+name)
	return nil
}

// changePassword writes the new password and ends every session in one transaction: both happen, or
// neither. The answer has a token for a new session, which is accepted at once.
func (a *app) changePassword(w http.ResponseWriter, r *http.Request) error {
	from, to, err := readForm(r, "old", "new")
	if err != nil {
		return err
	}
	if len(to) < minPassword {
		return errShortPassword
	}
	token, _ := revokehttp.TokenFromContext(r.Context())
	user, ctx := token.User(), r.Context()
	// A token alone does not change a password, because it may be stolen. Both hashes take a
	// while, so they are computed before the transaction.
	checked, err := a.check(ctx, byID, user.Subject, from)
	if err != nil {
		return err
	}
	hash, err := hashPassword(to, a.rounds)
	if err != nil {
		return err
	}
	var epochs revoke.Epochs
	err = pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		// The revocation comes first, and the old password is compared again while the row of
		// the epoch is locked. So a concurrent revocation of this user has either committed,
		// and the comparison sees what it changed, or it waits, and then ends the new session
		// too.
		var err error
		epochs, err = a.store.WithTx(tx).RevokeUser(ctx, user,
			revoke.WithReason("password changed"), revoke.WithActor(user.Subject))
		if err != nil {
			return err
		}
		const update = "UPDATE accounts SET password_hash = $3 WHERE id = $1 AND password_hash = $2"
		tag, err := tx.Exec(ctx, update, user.Subject, checked.hash, hash)
		if err == nil && tag.RowsAffected() == 0 {
			err = errCredentials
		}
		return err
	})
	if err != nil {
		return err
	}
	return a.hand(w, r, user, epochs)
}

// hand signs a token with the epochs of its user and answers with it: a page gets it in a
// cookie, which scripts cannot read, and another client as text. Browsers send Sec-Fetch-Site,
// and scripts cannot set or remove it.
func (a *app) hand(w http.ResponseWriter, r *http.Request, user revoke.User, epochs revoke.Epochs) error {
	claims, err := revoke.NewClaims(user, lifetime, revoke.AudienceOf(audience), epochs)
	if err != nil {
		return err
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(a.key)
	if err != nil {
		return err
	}
	if r.Header.Get("Sec-Fetch-Site") == "" {
		writeText(w, token)
		return nil
	}
	if err := a.guard.SetCookie(w, token, claims.ExpiresAt.Time); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
