// Package chipgx is a site with accounts, on chi, pgx and goose. Its token stands in a cookie, and
// each of its replicas answers checks from a mirror.
package chipgx

import (
	"context"
	"crypto/ecdsa"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sync/errgroup"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/migrations"
	"github.com/pgrevoke/revoke/mirror"
	"github.com/pgrevoke/revoke/revokehttp"
)

const (
	issuer   = "https://club.example"
	lifetime = 12 * time.Hour
)

var audience = revoke.AudienceOf("https://club.example")

//go:embed migrations/*.sql
var files embed.FS

// App is one replica of the site.
type App struct {
	http.Handler
	pool      *pgxpool.Pool
	key       *ecdsa.PrivateKey
	store     *revoke.Postgres
	mirror    *mirror.Mirror
	sweeper   *revoke.Sweeper
	validator *revoke.Validator
	guard     *revokehttp.Guard
}

// New migrates the database and returns a replica, which answers from memory while Run runs.
func New(ctx context.Context, pool *pgxpool.Pool, key *ecdsa.PrivateKey) (*App, error) {
	if err := migrateAccounts(ctx, pool); err != nil {
		return nil, err
	}
	if err := migrations.Up(ctx, pool); err != nil {
		return nil, err
	}
	a := &App{pool: pool, key: key}
	var err error
	if a.store, err = revoke.NewPostgres(pool, revoke.WithIssuers(issuer)); err != nil {
		return nil, err
	}
	if err := a.store.Ready(ctx); err != nil {
		return nil, err
	}
	if a.mirror, err = mirror.New(a.store); err != nil {
		return nil, err
	}
	if a.sweeper, err = revoke.NewSweeper(a.store); err != nil {
		return nil, err
	}
	keyfunc := func(*jwt.Token) (any, error) { return key.Public(), nil }
	a.validator, err = revoke.NewValidator(a.mirror, issuer, audience, keyfunc, []string{"ES256"}, revoke.WithEpochClaim())
	if err != nil {
		return nil, err
	}
	a.guard, err = revokehttp.NewGuard(a.validator, revokehttp.WithCookie("session", "/"), revokehttp.WithReport(revokehttp.LogTo(nil)))
	if err != nil {
		return nil, err
	}
	logout, err := a.guard.Logout(a.mirror.Store())
	if err != nil {
		return nil, err
	}

	router := chi.NewRouter()
	router.Post("/sign-up", a.signUp)
	router.With(a.guard.RequireSameOrigin).Post("/sign-in", a.signIn)
	router.Method(http.MethodPost, "/logout", logout)
	router.Group(func(router chi.Router) {
		router.Use(a.guard.Require)
		router.Get("/me", a.me)
		router.Post("/password", a.changePassword)
	})
	a.Handler = router
	return a, nil
}

// Run keeps the mirror up to date, and sweeps, until ctx ends.
func (a *App) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.mirror.Run(ctx) })
	group.Go(func() error { return a.sweeper.Run(ctx) })
	return group.Wait()
}

// migrateAccounts makes the app's own table.
func migrateAccounts(ctx context.Context, pool *pgxpool.Pool) error {
	own, err := fs.Sub(files, "migrations")
	if err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(pool)
	provider, err := goose.NewProvider(goose.DialectPostgres, db, own)
	if err == nil {
		_, err = provider.Up(ctx)
	}
	return errors.Join(err, db.Close())
}

func (a *App) signUp(w http.ResponseWriter, r *http.Request) {
	hash, err := bcrypt.GenerateFromPassword([]byte(r.FormValue("password")), bcrypt.MinCost)
	if err == nil {
		_, err = a.pool.Exec(r.Context(), "INSERT INTO accounts (email, password_hash) VALUES ($1, $2)", r.FormValue("email"), string(hash))
	}
	if err != nil {
		http.Error(w, "no such account can be made", http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *App) signIn(w http.ResponseWriter, r *http.Request) {
	var id, hash string
	var epochs revoke.Epochs
	err := a.pool.QueryRow(r.Context(), "SELECT id, password_hash, revoke.epochs($1, id::text) FROM accounts WHERE email = $2",
		issuer, r.FormValue("email")).Scan(&id, &hash, &epochs)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		http.Error(w, "try again", http.StatusServiceUnavailable)
		return
	}
	if bcrypt.CompareHashAndPassword([]byte(hash), []byte(r.FormValue("password"))) != nil {
		http.Error(w, "wrong e-mail or password", http.StatusUnauthorized)
		return
	}
	a.hand(w, a.validator.User(id), epochs)
}

// hand answers with a token in the cookie.
func (a *App) hand(w http.ResponseWriter, user revoke.User, epochs revoke.Epochs) {
	claims, err := revoke.NewClaims(user, lifetime, audience, epochs)
	if err != nil {
		http.Error(w, "no token", http.StatusInternalServerError)
		return
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(a.key)
	if err == nil {
		err = a.guard.SetCookie(w, token, claims.ExpiresAt.Time)
	}
	if err != nil {
		http.Error(w, "no token", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *App) me(w http.ResponseWriter, r *http.Request) {
	token, _ := revokehttp.TokenFromContext(r.Context())
	var email string
	if err := a.pool.QueryRow(r.Context(), "SELECT email FROM accounts WHERE id::text = $1", token.Subject).Scan(&email); err != nil {
		http.Error(w, "try again", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprint(w, email)
}

// changePassword writes the new password and ends every session in one transaction. It asks for
// the old password too, since a token may be stolen. The answer clears the cookie: the user signs
// in with the new password.
func (a *App) changePassword(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	token, _ := revokehttp.TokenFromContext(ctx)
	var old string
	if err := a.pool.QueryRow(ctx, "SELECT password_hash FROM accounts WHERE id::text = $1", token.Subject).Scan(&old); err != nil {
		http.Error(w, "try again", http.StatusServiceUnavailable)
		return
	}
	if bcrypt.CompareHashAndPassword([]byte(old), []byte(r.FormValue("old"))) != nil {
		http.Error(w, "wrong password", http.StatusForbidden)
		return
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(r.FormValue("password")), bcrypt.MinCost)
	if err != nil {
		http.Error(w, "no such password", http.StatusBadRequest)
		return
	}
	err = pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE accounts SET password_hash = $2 WHERE id::text = $1", token.Subject, string(hash)); err != nil {
			return err
		}
		_, err := a.store.WithTx(tx).RevokeUser(ctx, token.User(), revoke.WithReason("password changed"))
		return err
	})
	if err == nil {
		err = a.mirror.Sync(ctx) // this replica refuses from now on
	}
	if err == nil {
		err = a.guard.ClearCookie(w)
	}
	if err != nil {
		http.Error(w, "try again", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
