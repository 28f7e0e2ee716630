package revoke_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/pgserver"
	"github.com/pgrevoke/revoke/migrations"
	"github.com/pgrevoke/revoke/revoketest"
)

const exampleIssuer = "https://app.example"

var exampleKey, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)

func exampleKeyfunc(*jwt.Token) (any, error) { return exampleKey.Public(), nil }

// exampleToken signs a token of ada's.
func exampleToken(id string, issuedAt time.Time, epochs *revoke.Epochs) string {
	signed, err := jwt.NewWithClaims(jwt.SigningMethodES256, revoke.Claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    exampleIssuer,
			Subject:   "ada",
			ID:        id,
			IssuedAt:  jwt.NewNumericDate(issuedAt),
			ExpiresAt: jwt.NewNumericDate(issuedAt.Add(15 * time.Minute)),
		},
		SessionID: "phone",
		Epochs:    epochs,
	}).SignedString(exampleKey)
	if err != nil {
		log.Fatal(err)
	}
	return signed
}

// examplePool returns a pool on a database with an accounts table, and what takes both away.
func examplePool(ctx context.Context) (*pgxpool.Pool, func()) {
	server, err := pgserver.Process(ctx)
	if err != nil {
		log.Fatal(err)
	}
	address, err := server.CreateEmptyDatabase(ctx)
	if err != nil {
		log.Fatal(err)
	}
	pool, err := pgxpool.New(ctx, address)
	if err != nil {
		log.Fatal(err)
	}
	_, err = pool.Exec(ctx, "CREATE TABLE accounts AS SELECT 'ada' AS name, 'old' AS password_hash")
	if err != nil {
		log.Fatal(err)
	}
	return pool, func() {
		pool.Close()
		if err := server.DropDatabase(context.WithoutCancel(ctx), address); err != nil {
			log.Fatal(err)
		}
	}
}

// Set up once: migrate, and build a store and a validator. Then each request is one call.
func Example() {
	ctx := context.Background()
	pool, drop := examplePool(ctx)
	defer drop()

	if err := migrations.Up(ctx, pool); err != nil {
		log.Fatal(err)
	}
	store, err := revoke.NewPostgres(pool)
	if err != nil {
		log.Fatal(err)
	}
	validator, err := revoke.NewValidator[revoke.Claims](store, exampleIssuer, exampleKeyfunc, []string{"ES256"})
	if err != nil {
		log.Fatal(err)
	}

	bearer := exampleToken("token-1", time.Now(), nil)
	token, claims, err := validator.Validate(ctx, bearer) // signature, claims, and one round trip to Postgres
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("before:", claims.Subject)

	err = store.RevokeToken(ctx, token, revoke.WithReason("logout")) // durable when it returns nil
	fmt.Println("logout:", err)

	_, _, err = validator.Validate(ctx, bearer)
	fmt.Println("after: ", errors.Is(err, revoke.ErrRevoked))
	// Output:
	// before: ada
	// logout: <nil>
	// after:  true
}

// A password change ends every session in the transaction that writes the password: both happen, or neither.
func ExamplePostgres_WithTx() {
	ctx := context.Background()
	pool, drop := examplePool(ctx)
	defer drop()
	if err := migrations.Up(ctx, pool); err != nil {
		log.Fatal(err)
	}
	store, err := revoke.NewPostgres(pool)
	if err != nil {
		log.Fatal(err)
	}

	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE accounts SET password_hash = $2 WHERE name = $1", "ada", "new"); err != nil {
			return err
		}
		_, err := store.WithTx(tx).RevokeUser(ctx, revoke.User{Issuer: exampleIssuer, Subject: "ada"})
		return err
	})
	fmt.Println("password change:", err)

	now := time.Now()
	old := revoke.Token{
		Issuer: exampleIssuer, ID: "token-1", Subject: "ada",
		IssuedAt: now.Add(-time.Minute), ExpiresAt: now.Add(time.Hour),
	}
	fmt.Println("an older token:", errors.Is(store.Check(ctx, old), revoke.ErrRevoked))
	// Output:
	// password change: <nil>
	// an older token: true
}

// A login takes the iat of its token from the store before it checks the credentials.
func ExamplePostgres_IssueTime() {
	ctx := context.Background()
	pool, drop := examplePool(ctx)
	defer drop()
	if err := migrations.Up(ctx, pool); err != nil {
		log.Fatal(err)
	}
	store, err := revoke.NewPostgres(pool)
	if err != nil {
		log.Fatal(err)
	}

	user := revoke.User{Issuer: exampleIssuer, Subject: "ada"}
	if _, err := store.RevokeUser(ctx, user); err != nil {
		log.Fatal(err)
	}
	issuedAt, err := store.IssueTime(ctx, user) // waits for the second of the revocation to end
	if err != nil {
		log.Fatal(err)
	}
	// … check the password here …
	fmt.Println(store.Check(ctx, revoke.Token{
		Issuer: exampleIssuer, ID: "token-2", Subject: "ada",
		IssuedAt: issuedAt, ExpiresAt: issuedAt.Add(time.Hour),
	}))
	// Output: <nil>
}

// Tokens that carry the epochs of their user need no clock: a token that is minted in the second of a revocation, after
// it, works at once.
func ExampleWithEpochClaim() {
	ctx := context.Background()
	store := revoketest.NewMemory() // in an app: revoke.NewPostgres(pool)
	validator, err := revoke.NewValidator[revoke.Claims](store, exampleIssuer, exampleKeyfunc, []string{"ES256"},
		revoke.WithEpochClaim())
	if err != nil {
		log.Fatal(err)
	}
	user := revoke.User{Issuer: exampleIssuer, Subject: "ada"}

	epochs, err := store.Epochs(ctx, user) // before the credentials are read, or in their snapshot
	if err != nil {
		log.Fatal(err)
	}
	old := exampleToken("old", time.Now(), &epochs)

	epochs, err = store.RevokeUser(ctx, user)
	if err != nil {
		log.Fatal(err)
	}
	replacement := exampleToken("new", time.Now(), &epochs)

	_, _, err = validator.Validate(ctx, old)
	fmt.Println("old:", errors.Is(err, revoke.ErrRevoked))
	_, _, err = validator.Validate(ctx, replacement)
	fmt.Println("new:", err)
	// Output:
	// old: true
	// new: <nil>
}

// Middleware answers 401 for a token that is proven bad or revoked, and 503 where nobody could tell.
func ExampleValidator_Validate() {
	validator, err := revoke.NewValidator[revoke.Claims](revoketest.NewMemory(), exampleIssuer, exampleKeyfunc, []string{"ES256"})
	if err != nil {
		log.Fatal(err)
	}
	protect := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			_, _, err := validator.Validate(r.Context(), bearer)
			switch {
			case err == nil:
				next.ServeHTTP(w, r)
			case errors.Is(err, revoke.ErrUnavailable):
				http.Error(w, "try again", http.StatusServiceUnavailable)
			default: // revoke.ErrRevoked or revoke.ErrInvalidToken
				http.Error(w, "sign in", http.StatusUnauthorized)
			}
		})
	}
	_ = protect
}

// A sweeper runs beside the service, on every replica.
func ExampleSweeper_Run() {
	ctx, stop := context.WithCancel(context.Background())
	pool, drop := examplePool(ctx)
	defer drop()
	store, err := revoke.NewPostgres(pool)
	if err != nil {
		log.Fatal(err)
	}
	if err := migrations.Up(ctx, pool); err != nil {
		log.Fatal(err)
	}

	sweeper, err := revoke.NewSweeper(store, revoke.WithReport(func(result revoke.SweepResult, err error) {
		fmt.Println("swept:", result.Tokens+result.Sessions+result.Epochs, err)
		stop() // an app would log, and go on
	}))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ended:", sweeper.Run(ctx))
	// Output:
	// swept: 0 <nil>
	// ended: <nil>
}

// A refresh token, a password-reset link or any other single-use token is spent exactly once, whoever comes first.
func ExampleRevoker_redeem() {
	ctx := context.Background()
	store := revoketest.NewMemory() // in an app: revoke.NewPostgres(pool)
	link := revoke.Token{Issuer: exampleIssuer, ID: "reset-1", ExpiresAt: time.Now().Add(time.Hour)}
	fmt.Println("first: ", store.Redeem(ctx, link))
	fmt.Println("second:", errors.Is(store.Redeem(ctx, link), revoke.ErrRevoked))
	// Output:
	// first:  <nil>
	// second: true
}
