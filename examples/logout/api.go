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
	lifetime = 15 * time.Minute
)

// app is a service with accounts, which signs its own tokens.
type app struct {
	pool   *pgxpool.Pool
	key    *ecdsa.PrivateKey
	store  *revoke.Postgres
	guard  *revokehttp.Guard[revoke.Claims]
	nobody string // the hash of a password that nobody knows
}

func newApp(pool *pgxpool.Pool) (*app, error) {
	a := &app{pool: pool}
	var err error
	if a.nobody, err = hashPassword(rand.Text()); err != nil {
		return nil, err
	}
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if a.store, err = revoke.NewPostgres(pool); err != nil {
		return nil, err
	}
	keyfunc := func(*jwt.Token) (any, error) { return a.key.Public(), nil }
	validator, err := revoke.NewValidator[revoke.Claims](a.store, issuer, keyfunc,
		[]string{jwt.SigningMethodES256.Alg()}, revoke.WithEpochClaim(), revoke.WithMaxLifetime(lifetime))
	if err != nil {
		return nil, err
	}
	// A page of ours has its token in a cookie, any other client sends it in the Authorization header.
	a.guard, err = revokehttp.New(validator, revokehttp.WithCookie("session", "/"), revokehttp.WithReport(report))
	return a, err
}

// routes is what the API offers.
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
	mux.Handle("POST /sign-in", a.guard.SameOrigin(a.answer(a.signIn)))
	mux.Handle("GET /me", a.guard.Require(a.answer(a.me)))
	mux.Handle("POST /password", a.guard.Require(a.answer(a.changePassword)))
	mux.Handle("POST /logout", logout)
	mux.Handle("POST /logout-everywhere", everywhere)
	return limit(mux), nil
}

// signIn answers with a token for a new session. The epochs are read before the password, so a change of the password that
// comes in between makes the token dead at birth.
func (a *app) signIn(w http.ResponseWriter, r *http.Request) error {
	name, password, err := readForm(r, "name", "password")
	if err != nil {
		return err
	}
	user := revoke.User{Issuer: issuer, Subject: name}
	if user.Validate() != nil {
		return errNoName
	}
	epochs, err := a.store.Epochs(r.Context(), user)
	if err != nil {
		return err
	}
	if _, err := a.check(r.Context(), name, password); err != nil {
		return err
	}
	return a.hand(w, r, name, epochs)
}

// me is the API that the tokens are for.
func (a *app) me(w http.ResponseWriter, r *http.Request) error {
	claims, _ := revokehttp.Claims[revoke.Claims](r.Context())
	writeText(w, "hello, "+claims.Subject)
	return nil
}

// changePassword writes the new password and ends every session in one transaction: both happen, or neither. The answer has
// a token for a new session, which is alive at once.
func (a *app) changePassword(w http.ResponseWriter, r *http.Request) error {
	from, to, err := readForm(r, "old", "new")
	if err != nil {
		return err
	}
	if len(to) < minPassword {
		return errShortPassword
	}
	token, _ := revokehttp.Token(r.Context())
	name, ctx := token.Subject, r.Context()
	// A token alone changes no password, since it may be stolen. What takes long is done before the transaction.
	checked, err := a.check(ctx, name, from)
	if err != nil {
		return err
	}
	hash, err := hashPassword(to)
	if err != nil {
		return err
	}
	var epochs revoke.Epochs
	err = pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		// The revocation comes first, and the old password is looked at once more while the row of the epoch is held. So
		// whoever ends this user's sessions at the same time has committed and is seen, or waits and ends the new one too.
		var err error
		epochs, err = a.store.WithTx(tx).RevokeUser(ctx, revoke.User{Issuer: issuer, Subject: name},
			revoke.WithReason("password changed"), revoke.WithActor(name))
		if err != nil {
			return err
		}
		const update = "UPDATE accounts SET password_hash = $3 WHERE name = $1 AND password_hash = $2"
		tag, err := tx.Exec(ctx, update, name, checked, hash)
		if err == nil && tag.RowsAffected() == 0 {
			err = errCredentials
		}
		return err
	})
	if err != nil {
		return err
	}
	return a.hand(w, r, name, epochs)
}

// hand signs a token with the epochs of its user and hands it over: to a page in a cookie, which its scripts cannot read, and
// to any other client as text. That a page asks is told by a header which browsers add and scripts cannot touch.
func (a *app) hand(w http.ResponseWriter, r *http.Request, name string, epochs revoke.Epochs) error {
	now := time.Now()
	expiresAt := now.Add(lifetime)
	token, err := jwt.NewWithClaims(jwt.SigningMethodES256, revoke.Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    issuer,
			Subject:   name,
			ID:        rand.Text(),
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(expiresAt),
		},
		SessionID: rand.Text(),
		Epochs:    &epochs,
	}).SignedString(a.key)
	if err != nil {
		return err
	}
	if r.Header.Get("Sec-Fetch-Site") == "" {
		writeText(w, token)
		return nil
	}
	if err := a.guard.SetCookie(w, token, expiresAt); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
