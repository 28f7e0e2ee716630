package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgrevoke/revoke/internal/pgserver"
)

func TestMain(m *testing.M) { pgserver.Main(m) }

// testRounds costs microseconds. Under the race detector one hash of productionRounds takes
// more than a second, and the requests of parallel tests would run into their timeout.
const testRounds = 1_000

func newAPI(tb testing.TB) (http.Handler, *pgxpool.Pool) {
	tb.Helper()
	pool := pgserver.Pool(tb, pgserver.Database(tb))
	a, err := newApp(pool, testRounds)
	if err != nil {
		tb.Fatal(err)
	}
	if err := a.createAccounts(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	api, err := a.routes()
	if err != nil {
		tb.Fatal(err)
	}
	return api, pool
}

// call sends a form with a token; both may be empty.
func call(api http.Handler, method, path, token string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w
}

func signIn(api http.Handler, password string) (status int, token string) {
	w := call(api, http.MethodPost, "/sign-in", "", url.Values{"name": {"ada"}, "password": {password}})
	return w.Code, strings.TrimSpace(w.Body.String())
}

func changePassword(api http.Handler, token, from, to string) (status int, fresh string) {
	w := call(api, http.MethodPost, "/password", token, url.Values{"old": {from}, "new": {to}})
	return w.Code, strings.TrimSpace(w.Body.String())
}

// me returns the status of a request with the token.
func me(api http.Handler, token string) int { return call(api, http.MethodGet, "/me", token, nil).Code }

// TestPasswordChangeRacesSignIn signs in again and again while the password changes. When the
// change commits, each caller is in the middle of a sign-in: it compares the old password,
// which takes a while, and signs the token after that.
func TestPasswordChangeRacesSignIn(t *testing.T) {
	t.Parallel()
	api, _ := newAPI(t)
	status, token := signIn(api, "correct-horse")
	if status != http.StatusOK {
		t.Fatal("sign-in is", status)
	}
	const callers = 4
	tokens := make([][]string, callers)
	var begun, ended sync.WaitGroup
	begun.Add(callers)
	for i := range callers {
		ended.Go(func() {
			for first := true; ; first = false {
				status, token := signIn(api, "correct-horse")
				if first {
					begun.Done()
				}
				if status != http.StatusOK {
					return
				}
				tokens[i] = append(tokens[i], token)
			}
		})
	}
	begun.Wait()
	status, fresh := changePassword(api, token, "correct-horse", "battery-staple")
	if status != http.StatusOK {
		t.Fatal("the change of the password is", status)
	}
	ended.Wait()
	for i := range tokens {
		if len(tokens[i]) == 0 {
			t.Error("a caller never signed in")
		}
		for n, token := range tokens[i] {
			if status := me(api, token); status != http.StatusUnauthorized {
				t.Errorf("token %d of %d from the old password: %d", n+1, len(tokens[i]), status)
			}
		}
	}
	if status := me(api, fresh); status != http.StatusOK {
		t.Error("the token of the change:", status)
	}
}

// TestTwoPasswordChanges makes two changes at the same time, both with the right old password.
// One of them is refused.
func TestTwoPasswordChanges(t *testing.T) {
	t.Parallel()
	api, _ := newAPI(t)
	_, token := signIn(api, "correct-horse")
	passwords := [2]string{"battery-staple", "tr0ub4dor-and-3"}
	var statuses [2]int
	var tokens [2]string
	var changes sync.WaitGroup
	for i, password := range passwords {
		changes.Go(func() { statuses[i], tokens[i] = changePassword(api, token, "correct-horse", password) })
	}
	changes.Wait()
	winner := 0
	if statuses[1] == http.StatusOK {
		winner = 1
	}
	// The loser is refused for the old password, or before that for its token, which was revoked.
	if s := statuses[1-winner]; statuses[winner] != http.StatusOK || s != http.StatusForbidden && s != http.StatusUnauthorized {
		t.Fatal("the two are", statuses)
	}
	if status := me(api, tokens[winner]); status != http.StatusOK {
		t.Error("the winner's token:", status)
	}
	for i, password := range passwords {
		if status, _ := signIn(api, password); (status == http.StatusOK) != (i == winner) {
			t.Errorf("sign-in with password %d, where %d won: %d", i, winner, status)
		}
	}
}

// TestDatabaseDown answers every request with 503, and none with 401 or a changed cookie.
func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	api, pool := newAPI(t)
	_, token := signIn(api, "correct-horse")
	pool.Close()
	for _, path := range []string{"/sign-in", "/password", "/logout", "/logout-everywhere"} {
		form := url.Values{"name": {"ada"}, "password": {"correct-horse"}, "old": {"correct-horse"}, "new": {"battery-staple"}}
		w := call(api, http.MethodPost, path, token, form)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %d with %v", path, w.Code, w.Header())
		}
	}
	if status := me(api, token); status != http.StatusServiceUnavailable {
		t.Error("/me is", status)
	}
}
