package integration

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/golang-jwt/jwt/v5"
	"github.com/labstack/echo/v4"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// The mux of net/http takes handlers as they are.
func Example_mux() {
	guard, logout := newGuard()

	mux := http.NewServeMux()
	mux.Handle("GET /me", guard.Require(http.HandlerFunc(hello)))
	mux.Handle("POST /logout", logout)

	logOut(mux)
	// Output:
	// GET /me 200 "hello, ada"
	// POST /logout 204 ""
	// GET /me 401 "Unauthorized"
}

// In chi the guard is a middleware as any other, for a group of routes. Logout stands outside: it also takes a token that has
// expired.
func Example_chi() {
	guard, logout := newGuard()

	router := chi.NewRouter()
	router.Group(func(router chi.Router) {
		router.Use(guard.Require)
		router.Get("/me", hello)
	})
	router.Method(http.MethodPost, "/logout", logout)

	logOut(router)
	// Output:
	// GET /me 200 "hello, ada"
	// POST /logout 204 ""
	// GET /me 401 "Unauthorized"
}

// Gin has middleware of its own form, for which [forGin] is the adapter. The claims are in the context of the request, not in
// gin's.
func Example_gin() {
	guard, logout := newGuard()

	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.POST("/logout", gin.WrapH(logout))
	router.Group("/", forGin(guard.Require)).GET("/me", func(c *gin.Context) {
		claims, _ := revokehttp.Claims[revoke.Claims](c.Request.Context())
		c.String(http.StatusOK, "hello, %s", claims.Subject)
	})

	logOut(router)
	// Output:
	// GET /me 200 "hello, ada"
	// POST /logout 204 ""
	// GET /me 401 "Unauthorized"
}

// forGin adapts middleware of net/http that passes the ResponseWriter on as it is. Gin calls the next handler after a
// middleware has returned, unless it is told not to: without Abort, whoever is refused would be served all the same.
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

// Echo brings the adapters. The claims are in the context of the request, not in echo's.
func Example_echo() {
	guard, logout := newGuard()

	router := echo.New()
	router.POST("/logout", echo.WrapHandler(logout))
	router.Group("", echo.WrapMiddleware(guard.Require)).GET("/me", func(c echo.Context) error {
		claims, _ := revokehttp.Claims[revoke.Claims](c.Request().Context())
		return c.String(http.StatusOK, "hello, "+claims.Subject)
	})

	logOut(router)
	// Output:
	// GET /me 200 "hello, ada"
	// POST /logout 204 ""
	// GET /me 401 "Unauthorized"
}

func hello(w http.ResponseWriter, r *http.Request) {
	claims, _ := revokehttp.Claims[revoke.Claims](r.Context())
	fmt.Fprintln(w, "hello,", claims.Subject)
}

// newGuard is what an app has before it comes to its router: a guard, and a handler of logout.
func newGuard() (*revokehttp.Guard[revoke.Claims], http.Handler) {
	store := revoketest.NewMemory() // a *revoke.Postgres, in an app
	guard, err := revokehttp.New(newValidator(store))
	if err != nil {
		log.Fatal(err)
	}
	logout, err := guard.Logout(store)
	if err != nil {
		log.Fatal(err)
	}
	return guard, logout
}

func newValidator(store revoke.Store) *revoke.Validator[revoke.Claims] {
	keyfunc := func(*jwt.Token) (any, error) { return exampleKey, nil }
	validator, err := revoke.NewValidator[revoke.Claims](store, issuer, keyfunc, []string{"HS256"})
	if err != nil {
		log.Fatal(err)
	}
	return validator
}

var exampleKey = []byte("a key of the examples, which are its only users")

// exampleToken signs a token of ada's.
func exampleToken() string {
	now := time.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, revoke.Claims{RegisteredClaims: jwt.RegisteredClaims{
		Issuer: issuer, Subject: "ada", ID: "token-1",
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(time.Minute)),
	}}).SignedString(exampleKey)
	if err != nil {
		log.Fatal(err)
	}
	return token
}

// logOut calls the API, logs out, and calls it again, with one token.
func logOut(handler http.Handler) {
	token := exampleToken()
	for _, call := range [][2]string{{"GET", "/me"}, {"POST", "/logout"}, {"GET", "/me"}} {
		r := httptest.NewRequestWithContext(context.Background(), call[0], call[1], nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Printf("%s %s %d %q\n", call[0], call[1], w.Code, strings.TrimSpace(w.Body.String()))
	}
}
