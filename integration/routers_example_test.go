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

// The mux of net/http takes the guard's handlers as they are.
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

// In chi the guard is middleware for a group of routes. Logout stands outside the group,
// because it also takes a token that has expired.
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

// Gin has middleware of its own form, and forGin is an adapter. The token is in the context of
// the request, not in gin's.
func Example_gin() {
	guard, logout := newGuard()

	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.POST("/logout", gin.WrapH(logout))
	router.Group("/", forGin(guard.Require)).GET("/me", func(c *gin.Context) {
		token, _ := revokehttp.TokenFromContext(c.Request.Context())
		c.String(http.StatusOK, "hello, %s", token.Subject)
	})

	logOut(router)
	// Output:
	// GET /me 200 "hello, ada"
	// POST /logout 204 ""
	// GET /me 401 "Unauthorized"
}

// forGin adapts middleware of net/http that passes the ResponseWriter on as it is. Gin calls
// the next handler when a middleware has returned, unless the middleware calls Abort. Without
// Abort a refused request would be served.
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

// Echo has adapters for handlers and middleware of net/http. The token is in the context of the
// request, not in echo's.
func Example_echo() {
	guard, logout := newGuard()

	router := echo.New()
	router.POST("/logout", echo.WrapHandler(logout))
	router.Group("", echo.WrapMiddleware(guard.Require)).GET("/me", func(c echo.Context) error {
		token, _ := revokehttp.TokenFromContext(c.Request().Context())
		return c.String(http.StatusOK, "hello, "+token.Subject)
	})

	logOut(router)
	// Output:
	// GET /me 200 "hello, ada"
	// POST /logout 204 ""
	// GET /me 401 "Unauthorized"
}

func hello(w http.ResponseWriter, r *http.Request) {
	token, _ := revokehttp.TokenFromContext(r.Context())
	fmt.Fprintln(w, "hello,", token.Subject)
}

// newGuard returns a guard and a handler for logout, which do not depend on the router.
func newGuard() (*revokehttp.Guard, http.Handler) {
	store := revoketest.NewMemory() // a *revoke.Postgres, in an app
	guard, err := revokehttp.NewGuard(exampleValidator(store))
	if err != nil {
		log.Fatal(err)
	}
	logout, err := guard.Logout(store)
	if err != nil {
		log.Fatal(err)
	}
	return guard, logout
}

const exampleIssuer = "https://app.example"

func exampleValidator(store revoke.Store) *revoke.Validator {
	keyfunc := func(*jwt.Token) (any, error) { return exampleKey, nil }
	validator, err := revoke.NewValidator(store, exampleIssuer, revoke.AudienceOf("api"), keyfunc, []string{"HS256"})
	if err != nil {
		log.Fatal(err)
	}
	return validator
}

var exampleKey = []byte("a key of 32 bytes or more, only for examples")

// exampleToken signs a token of the user ada.
func exampleToken() string {
	user := revoke.User{Issuer: exampleIssuer, Subject: "ada"}
	claims, err := revoke.NewClaims(user, time.Minute, revoke.AudienceOf("api"), revoke.Epochs{})
	if err != nil {
		log.Fatal(err)
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(exampleKey)
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
