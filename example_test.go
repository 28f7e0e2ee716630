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
	"regexp"
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

var exampleUser = revoke.User{Issuer: exampleIssuer, Subject: "ada"}

var exampleKey, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)

func exampleKeyfunc(*jwt.Token) (any, error) { return exampleKey.Public(), nil }

// exampleToken signs a token of the user's, with the epochs that were read before its credentials.
func exampleToken(user revoke.User, epochs revoke.Epochs) string {
	claims, err := revoke.NewClaims(user, 15*time.Minute, revoke.AudienceOf("api"), epochs)
	if err != nil {
		log.Fatal(err)
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(exampleKey)
	if err != nil {
		log.Fatal(err)
	}
	return signed
}

// examplePool returns a pool on a database with a table of accounts, and a function that drops
// both.
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

// An app migrates once, and builds a store and a validator. Then each request is one call.
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
	validator, err := revoke.NewValidator(store, exampleIssuer, revoke.AudienceOf("api"),
		exampleKeyfunc, []string{"ES256"})
	if err != nil {
		log.Fatal(err)
	}

	bearer := exampleToken(exampleUser, revoke.Epochs{})
	token, err := validator.Validate(ctx, bearer) // signature, claims, and one round trip
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("before:", token.Subject)

	// The logout is durable when RevokeToken returns nil.
	err = store.RevokeToken(ctx, token.Token, revoke.WithReason("logout"))
	fmt.Println("logout:", err)

	_, err = validator.Validate(ctx, bearer)
	fmt.Println("after: ", errors.Is(err, revoke.ErrRevoked))
	// Output:
	// before: ada
	// logout: <nil>
	// after:  true
}

// A password change ends every session in the transaction that writes the password: both happen,
// or neither.
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

	user := exampleUser
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE accounts SET password_hash = $2 WHERE name = $1", "ada", "new"); err != nil {
			return err
		}
		_, err := store.WithTx(tx).RevokeUser(ctx, user)
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

// A login takes the iat of its token from the store before it checks the credentials. Validators of
// these tokens have WithIssueTime.
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
	audience := revoke.AudienceOf("api")
	validator, err := revoke.NewValidator(store, exampleIssuer, audience, exampleKeyfunc, []string{"ES256"}, revoke.WithIssueTime())
	if err != nil {
		log.Fatal(err)
	}

	user := exampleUser
	if _, err := store.RevokeUser(ctx, user); err != nil {
		log.Fatal(err)
	}
	issuedAt, err := store.IssueTime(ctx, user) // waits for the end of the second
	if err != nil {
		log.Fatal(err)
	}
	// … check the password here …
	claims, err := revoke.NewClaims(user, 15*time.Minute, audience, revoke.Epochs{}, revoke.WithIssuedAt(issuedAt))
	if err != nil {
		log.Fatal(err)
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(exampleKey)
	if err != nil {
		log.Fatal(err)
	}
	_, err = validator.Validate(ctx, text)
	fmt.Println(err)
	// Output: <nil>
}

// The stamps of some issuers lie in the past, by a span that is known, and those of others ahead.
func ExampleWithIssuerSkew() {
	ctx := context.Background()
	store := revoketest.NewMemory() // in an app: revoke.NewPostgres(pool)
	validator, err := revoke.NewValidator(store, exampleIssuer, revoke.AudienceOf("api"), exampleKeyfunc,
		[]string{"ES256"}, revoke.WithIssuerSkew(-295*time.Second)) // it stamps 300 s back
	if err != nil {
		log.Fatal(err)
	}

	user := exampleUser
	if _, err := store.RevokeUser(ctx, user); err != nil {
		log.Fatal(err)
	}
	signIn := func(at time.Time) string {
		stamp := revoke.WithIssuedAt(at.Add(-5 * time.Minute))
		claims, err := revoke.NewClaims(user, time.Hour, revoke.AudienceOf("api"), revoke.Epochs{}, stamp)
		if err != nil {
			log.Fatal(err)
		}
		text, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(exampleKey)
		if err != nil {
			log.Fatal(err)
		}
		return text
	}
	_, err = validator.Validate(ctx, signIn(time.Now().Add(-time.Minute)))
	fmt.Println("a minute before:", errors.Is(err, revoke.ErrRevoked))
	_, err = validator.Validate(ctx, signIn(time.Now()))
	fmt.Println("at once after it, when the user has to sign in once more:", errors.Is(err, revoke.ErrRevoked))
	// Output:
	// a minute before: true
	// at once after it, when the user has to sign in once more: true
}

// Tokens that carry the epochs of their user need no clock: a token that is minted after a
// revocation, in the same second, works at once.
func ExampleWithEpochClaim() {
	ctx := context.Background()
	store := revoketest.NewMemory() // in an app: revoke.NewPostgres(pool)
	validator, err := revoke.NewValidator(store, exampleIssuer, revoke.AudienceOf("api"),
		exampleKeyfunc, []string{"ES256"}, revoke.WithEpochClaim())
	if err != nil {
		log.Fatal(err)
	}

	user := exampleUser
	// The epochs are read before the credentials, or in the snapshot that reads them.
	epochs, err := store.Epochs(ctx, user)
	if err != nil {
		log.Fatal(err)
	}
	old := exampleToken(user, epochs)

	epochs, err = store.RevokeUser(ctx, user)
	if err != nil {
		log.Fatal(err)
	}
	replacement := exampleToken(user, epochs)

	_, err = validator.Validate(ctx, old)
	fmt.Println("old:", errors.Is(err, revoke.ErrRevoked))
	_, err = validator.Validate(ctx, replacement)
	fmt.Println("new:", err)
	// Output:
	// old: true
	// new: <nil>
}

// An app signs the claims of NewClaims with golang-jwt, and adds claims of its own by embedding.
func ExampleNewClaims() {
	ctx := context.Background()
	store := revoketest.NewMemory() // in an app: revoke.NewPostgres(pool)
	epochs, err := store.Epochs(ctx, exampleUser)
	if err != nil {
		log.Fatal(err)
	}
	type claims struct {
		revoke.Claims
		Role string `json:"role"`
	}
	registered, err := revoke.NewClaims(exampleUser, 15*time.Minute, revoke.AudienceOf("api"), epochs)
	if err != nil {
		log.Fatal(err)
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims{registered, "editor"}).SignedString(exampleKey)
	if err != nil {
		log.Fatal(err)
	}

	validator, err := revoke.NewValidator(store, exampleIssuer, revoke.AudienceOf("api"),
		exampleKeyfunc, []string{"ES256"}, revoke.WithEpochClaim())
	if err != nil {
		log.Fatal(err)
	}
	verified, err := validator.Validate(ctx, text)
	if err != nil {
		log.Fatal(err)
	}
	var read claims
	if err := verified.Claims(&read); err != nil {
		log.Fatal(err)
	}
	fmt.Println(read.Subject, read.Role)
	// Output: ada editor
}

// A claims check refuses every token that lacks a role, on every route.
func ExampleWithClaimsCheck() {
	editorsOnly := revoke.WithClaimsCheck(func(_ context.Context, verified *revoke.Verified) error {
		var claims struct {
			Role string `json:"role"`
		}
		if err := verified.Claims(&claims); err != nil {
			return err
		}
		if claims.Role != "editor" {
			return errors.New("the role is not editor")
		}
		return nil
	})
	validator, err := revoke.NewValidator(revoketest.NewMemory(), exampleIssuer, revoke.AudienceOf("api"),
		exampleKeyfunc, []string{"ES256"}, editorsOnly)
	if err != nil {
		log.Fatal(err)
	}
	_, err = validator.Validate(context.Background(), exampleToken(exampleUser, revoke.Epochs{}))
	fmt.Println(errors.Is(err, revoke.ErrInvalidToken))
	// Output: true
}

// logger is a hook: it hears of the passes of a sweeper.
type logger struct{ stop func() }

func (l logger) OnSweep(_ context.Context, event revoke.SweepEvent) {
	fmt.Println("swept:", event.Total(), event.Err)
	l.stop() // an app would log, and go on
}

// Middleware answers 401 for a token that is proven bad or revoked, and 503 where that is unknown.
func ExampleValidator_Validate() {
	validator, err := revoke.NewValidator(revoketest.NewMemory(), exampleIssuer, revoke.AudienceOf("api"),
		exampleKeyfunc, []string{"ES256"})
	if err != nil {
		log.Fatal(err)
	}
	protect := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			_, err := validator.Validate(r.Context(), bearer)
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
	if err := migrations.Up(ctx, pool); err != nil {
		log.Fatal(err)
	}
	store, err := revoke.NewPostgres(pool, revoke.WithHook(logger{stop}))
	if err != nil {
		log.Fatal(err)
	}

	sweeper, err := revoke.NewSweeper(store)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ended:", sweeper.Run(ctx))
	// Output:
	// swept: 0 <nil>
	// ended: <nil>
}

// A password-reset link or another single-use token is spent exactly once.
func ExampleRevoker_redeem() {
	ctx := context.Background()
	store := revoketest.NewMemory() // in an app: revoke.NewPostgres(pool)
	link := revoke.Token{Issuer: "https://app.example", ID: "reset-1", ExpiresAt: time.Now().Add(time.Hour)}
	fmt.Println("first: ", store.Redeem(ctx, link))
	fmt.Println("second:", errors.Is(store.Redeem(ctx, link), revoke.ErrRevoked))
	// Output:
	// first:  <nil>
	// second: true
}

// A service accepts the tokens of Google and of every tenant of Entra. The iss of a token picks the
// validator.
func ExampleNewValidatorSet() {
	ctx := context.Background()
	store := revoketest.NewMemory()
	keyfunc, algorithms := exampleKeyfunc, []string{"ES256"}

	google, err := revoke.NewValidator(store, "https://accounts.google.com", revoke.AudienceOf("app"), keyfunc, algorithms,
		revoke.WithIssuerAliases("accounts.google.com"), revoke.WithDerivedID())
	if err != nil {
		log.Fatal(err)
	}
	tenant := regexp.MustCompile(`^https://login\.microsoftonline\.com/[0-9a-f-]{36}/v2\.0$`)
	entra := func(_ context.Context, issuer string) (*revoke.Validator, error) {
		if !tenant.MatchString(issuer) {
			return nil, nil // unknown
		}
		return revoke.NewValidator(store, issuer, revoke.AudienceOf("app"), keyfunc, algorithms,
			revoke.WithClaimNames(revoke.ClaimNames{ID: "uti", Subject: "oid"}), revoke.WithoutSession())
	}
	set, err := revoke.NewValidatorSet([]*revoke.Validator{google}, entra)
	if err != nil {
		log.Fatal(err)
	}

	sign := func(claims jwt.MapClaims) string {
		claims["aud"], claims["iat"], claims["exp"] = "app", time.Now().Unix(), time.Now().Add(time.Hour).Unix()
		signed, err := jwt.NewWithClaims(jwt.SigningMethodES256, claims).SignedString(exampleKey)
		if err != nil {
			log.Fatal(err)
		}
		return signed
	}
	fromGoogle := sign(jwt.MapClaims{"iss": "accounts.google.com", "sub": "110169484474386276334"})
	fromEntra := sign(jwt.MapClaims{
		"iss": "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
		"sub": "pairwise", "oid": "0d1f6fe2-6e4f-4a5c-8f1c-b2a6c3a5f0aa", "uti": "Wn3JFX6kxkWF",
	})
	for _, text := range []string{fromGoogle, fromEntra} {
		token, err := set.Validate(ctx, text)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(token.Issuer, token.Subject)
		if err := store.RevokeToken(ctx, token.Token); err != nil {
			log.Fatal(err)
		}
		_, err = set.Validate(ctx, text)
		fmt.Println("revoked:", errors.Is(err, revoke.ErrRevoked))
	}
	_, err = set.Validate(ctx, sign(jwt.MapClaims{"iss": "https://other.example", "sub": "ada"}))
	fmt.Println("another issuer:", errors.Is(err, revoke.ErrInvalidToken))
	// Output:
	// https://accounts.google.com 110169484474386276334
	// revoked: true
	// https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0 0d1f6fe2-6e4f-4a5c-8f1c-b2a6c3a5f0aa
	// revoked: true
	// another issuer: true
}
