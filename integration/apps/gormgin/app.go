// Package gormgin is an API with accounts, on GORM, gin and golang-migrate. It signs RS256: an
// access token for 15 minutes, and a refresh token that is spent once.
package gormgin

import (
	"context"
	"crypto/rsa"
	"embed"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
	"github.com/golang-migrate/migrate/v4"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"golang.org/x/crypto/bcrypt"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/migrations"
	"github.com/pgrevoke/revoke/revokehttp"
)

const (
	issuer          = "https://shop.example"
	accessLifetime  = 15 * time.Minute
	refreshLifetime = 30 * 24 * time.Hour
)

// The audience keeps the two kinds of token apart.
var (
	accessAudience  = revoke.AudienceOf("https://shop.example/api")
	refreshAudience = revoke.AudienceOf("https://shop.example/refresh")
)

//go:embed migrations/*.sql
var files embed.FS

type account struct {
	ID           int64
	Email        string
	PasswordHash string
}

// App is the API.
type App struct {
	http.Handler
	db              *gorm.DB
	key             *rsa.PrivateKey
	store           *revoke.Postgres
	access, refresh *revoke.Validator
	guard           *revokehttp.Guard
}

// New migrates the database and returns the API.
func New(ctx context.Context, pool *pgxpool.Pool, key *rsa.PrivateKey) (*App, error) {
	if err := migrateAccounts(pool); err != nil {
		return nil, err
	}
	if err := migrations.Up(ctx, pool); err != nil {
		return nil, err
	}
	db, err := gorm.Open(postgres.New(postgres.Config{Conn: stdlib.OpenDBFromPool(pool)}), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	a := &App{db: db, key: key}
	if a.store, err = revoke.NewPostgres(pool, revoke.WithIssuers(issuer)); err != nil {
		return nil, err
	}
	if err := a.store.Ready(ctx); err != nil {
		return nil, err
	}
	keyfunc := func(*jwt.Token) (any, error) { return key.Public(), nil }
	a.access, err = revoke.NewValidator(a.store, issuer, accessAudience, keyfunc, []string{"RS256"}, revoke.WithEpochClaim())
	if err != nil {
		return nil, err
	}
	a.refresh, err = revoke.NewValidator(a.store, issuer, refreshAudience, keyfunc, []string{"RS256"}, revoke.WithEpochClaim())
	if err != nil {
		return nil, err
	}
	if a.guard, err = revokehttp.NewGuard(a.access, revokehttp.WithReport(revokehttp.LogTo(nil))); err != nil {
		return nil, err
	}
	logout, err := a.guard.Logout(a.store)
	if err != nil {
		return nil, err
	}

	router := gin.New()
	router.POST("/sign-up", a.signUp)
	router.POST("/sign-in", a.signIn)
	router.POST("/refresh", a.renew)
	router.POST("/logout", gin.WrapH(logout))
	guarded := router.Group("/", forGin(a.guard.Require))
	guarded.GET("/me", a.me)
	guarded.POST("/password", a.changePassword)
	a.Handler = router
	return a, nil
}

// Close closes GORM's connections. The pool stays open.
func (a *App) Close() error {
	db, err := a.db.DB()
	if err != nil {
		return err
	}
	return db.Close()
}

// migrateAccounts makes the app's own table.
func migrateAccounts(pool *pgxpool.Pool) (err error) {
	source, err := iofs.New(files, "migrations")
	if err != nil {
		return err
	}
	driver, err := migratepgx.WithInstance(stdlib.OpenDBFromPool(pool), &migratepgx.Config{})
	if err != nil {
		return errors.Join(err, source.Close())
	}
	m, err := migrate.NewWithInstance("iofs", source, "pgx5", driver)
	if err != nil {
		return errors.Join(err, source.Close(), driver.Close())
	}
	defer func() {
		sourceErr, driverErr := m.Close()
		err = errors.Join(err, sourceErr, driverErr)
	}()
	if err := m.Up(); !errors.Is(err, migrate.ErrNoChange) {
		return err
	}
	return nil
}

func (a *App) signUp(c *gin.Context) {
	hash, err := bcrypt.GenerateFromPassword([]byte(c.PostForm("password")), bcrypt.MinCost)
	if err == nil {
		err = a.db.WithContext(c.Request.Context()).Create(&account{Email: c.PostForm("email"), PasswordHash: string(hash)}).Error
	}
	if err != nil {
		c.Status(http.StatusBadRequest)
		return
	}
	c.Status(http.StatusNoContent)
}

func (a *App) signIn(c *gin.Context) {
	var row struct {
		ID           string
		PasswordHash string
		Epochs       revoke.Epochs
	}
	err := a.db.WithContext(c.Request.Context()).Raw("SELECT id, password_hash, revoke.epochs(?, id::text) AS epochs FROM accounts WHERE email = ?",
		issuer, c.PostForm("email")).Scan(&row).Error
	if err != nil {
		c.Status(http.StatusServiceUnavailable)
		return
	}
	if bcrypt.CompareHashAndPassword([]byte(row.PasswordHash), []byte(c.PostForm("password"))) != nil {
		c.Status(http.StatusUnauthorized)
		return
	}
	a.hand(c, a.access.User(row.ID), row.Epochs)
}

// renew spends a refresh token, and answers with the next pair of the session. The pair has the
// epochs of the sign-in.
func (a *App) renew(c *gin.Context) {
	spent, err := a.refresh.Validate(c.Request.Context(), c.PostForm("refresh_token"))
	if err == nil {
		err = a.store.Redeem(c.Request.Context(), spent.Token)
	}
	var claims revoke.Claims
	if err == nil {
		err = spent.Claims(&claims)
	}
	if err != nil {
		a.guard.Refuse(c.Writer, c.Request, err)
		return
	}
	a.hand(c, spent.User(), *claims.Epochs, revoke.WithSessionID(spent.SessionID))
}

// hand answers with an access and a refresh token of one session.
func (a *App) hand(c *gin.Context, user revoke.User, epochs revoke.Epochs, session ...func(*revoke.Claims) error) {
	access, err := revoke.NewClaims(user, accessLifetime, accessAudience, epochs, session...)
	if err != nil {
		c.Status(http.StatusInternalServerError)
		return
	}
	refresh, err := revoke.NewClaims(user, refreshLifetime, refreshAudience, epochs, revoke.WithSessionID(access.SessionID))
	if err != nil {
		c.Status(http.StatusInternalServerError)
		return
	}
	accessText, accessErr := jwt.NewWithClaims(jwt.SigningMethodRS256, access).SignedString(a.key)
	refreshText, refreshErr := jwt.NewWithClaims(jwt.SigningMethodRS256, refresh).SignedString(a.key)
	if errors.Join(accessErr, refreshErr) != nil {
		c.Status(http.StatusInternalServerError)
		return
	}
	c.JSON(http.StatusOK, gin.H{"access_token": accessText, "refresh_token": refreshText})
}

func (a *App) me(c *gin.Context) {
	token, _ := revokehttp.TokenFromContext(c.Request.Context())
	var found account
	if err := a.db.WithContext(c.Request.Context()).First(&found, token.Subject).Error; err != nil {
		c.Status(http.StatusServiceUnavailable)
		return
	}
	c.String(http.StatusOK, found.Email)
}

// changePassword writes the new password and ends every session, in one transaction. It asks for
// the old password too, since a token may be stolen.
func (a *App) changePassword(c *gin.Context) {
	token, _ := revokehttp.TokenFromContext(c.Request.Context())
	var found account
	if err := a.db.WithContext(c.Request.Context()).First(&found, token.Subject).Error; err != nil {
		c.Status(http.StatusServiceUnavailable)
		return
	}
	if bcrypt.CompareHashAndPassword([]byte(found.PasswordHash), []byte(c.PostForm("old"))) != nil {
		c.Status(http.StatusForbidden)
		return
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(c.PostForm("password")), bcrypt.MinCost)
	if err != nil {
		c.Status(http.StatusBadRequest)
		return
	}
	err = a.db.WithContext(c.Request.Context()).Transaction(func(tx *gorm.DB) error {
		if err := tx.Model(&account{}).Where("id = ?", token.Subject).Update("password_hash", string(hash)).Error; err != nil {
			return err
		}
		_, err := a.store.WithSQLTx(tx.Statement.ConnPool).RevokeUser(c.Request.Context(), token.User(), revoke.WithReason("password changed"))
		return err
	})
	if err != nil {
		c.Status(http.StatusServiceUnavailable)
		return
	}
	c.Status(http.StatusNoContent)
}

// forGin adapts middleware of net/http.
func forGin(middleware func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r
			c.Next()
		})
		middleware(next).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort()
		}
	}
}
