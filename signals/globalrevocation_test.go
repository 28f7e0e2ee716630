package signals_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
	"github.com/pgrevoke/revoke/signals"
)

// revocationRequest returns the request of a security tool.
func revocationRequest(body string) *http.Request { return testkit.Post("application/json", body) }

const issSub = `{"sub_id":{"format":"iss_sub","iss":"` + providerIssuer + `","sub":"ada"}}`

func allowAll(*http.Request) (revoke.Token, error) { return revoke.Token{}, nil }

// directory resolves the users of an app that signs its own tokens.
func directory(_ context.Context, id signals.SubjectID) (revoke.User, error) {
	user := revoke.User{Issuer: testkit.Issuer, Subject: "ada"}
	switch {
	case id == (signals.SubjectID{Format: "email", Email: "ada@app.example"}),
		id == (signals.SubjectID{Format: "opaque", ID: "42"}),
		id == (signals.SubjectID{Format: "iss_sub", Issuer: "https://other.example", Subject: "a"}):
		return user, nil
	case id.Email == "root@app.example":
		return revoke.User{}, fmt.Errorf("%w: it is the last administrator", signals.ErrStaysLoggedIn)
	case id.Email == "down@app.example":
		return revoke.User{}, errors.New("the directory is down")
	case id.Email == "lazy@app.example":
		return revoke.User{}, nil
	case id.Format == "opaque" && id.ID == "format":
		return revoke.User{}, signals.ErrUnknownFormat
	}
	return revoke.User{}, signals.ErrUnknownUser
}

// isLoggedOut reports whether ada was logged out at this issuer.
func isLoggedOut(tb testing.TB, store revoke.Store, issuer string) bool {
	tb.Helper()
	return testkit.Value(store.Epochs(context.Background(), revoke.User{Issuer: issuer, Subject: "ada"}))(tb).User > 0
}

// TestGlobalRevocationBody follows §3.2 and §3.4 of the draft, and RFC 9493 §3.
func TestGlobalRevocationBody(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", revoke.MaxIDLength+1)
	for _, c := range []struct {
		name   string
		issuer string // of the user that may be logged out
		status int
		body   string
	}{
		{"iss_sub", providerIssuer, 204, issSub},
		{"other members", providerIssuer, 204, `{"a":1,"a":[{}],` + issSub[1:]},
		{"spaces and escapes", providerIssuer, 204, ` { "sub_id" : {"\u0066ormat":"iss_sub","sub":"\u0061da","iss":"` + providerIssuer + `"} } `},
		{"email", testkit.Issuer, 204, `{"sub_id":{"format":"email","email":"ada@app.example"}}`},
		{"opaque", testkit.Issuer, 204, `{"sub_id":{"format":"opaque","id":"42"}}`},
		{"iss_sub of another issuer", testkit.Issuer, 204, `{"sub_id":{"format":"iss_sub","iss":"https://other.example","sub":"a"}}`},

		{"unknown sub of another issuer", testkit.Issuer, 404, `{"sub_id":{"format":"iss_sub","iss":"https://other.example","sub":"b"}}`},
		{"unknown email", testkit.Issuer, 404, `{"sub_id":{"format":"email","email":"eve@app.example"}}`},
		{"user who stays logged in", testkit.Issuer, 422, `{"sub_id":{"format":"email","email":"root@app.example"}}`},
		{"resolver that fails", testkit.Issuer, 503, `{"sub_id":{"format":"email","email":"down@app.example"}}`},
		{"resolver that returns no user", testkit.Issuer, 503, `{"sub_id":{"format":"email","email":"lazy@app.example"}}`},
		{"resolver that refuses the format", testkit.Issuer, 400, `{"sub_id":{"format":"opaque","id":"format"}}`},
		{"format phone_number", testkit.Issuer, 400, `{"sub_id":{"format":"phone_number","phone_number":"+1"}}`},
		{"format account", testkit.Issuer, 400, `{"sub_id":{"format":"account","uri":"acct:a@b"}}`},
		{"format aliases", testkit.Issuer, 400, `{"sub_id":{"format":"aliases","identifiers":[]}}`},
		{"format in capitals", testkit.Issuer, 400, `{"sub_id":{"format":"EMAIL","email":"ada@app.example"}}`},
		{"Email", testkit.Issuer, 400, `{"sub_id":{"format":"email","Email":"ada@app.example"}}`},
		{"member of another format", testkit.Issuer, 400, `{"sub_id":{"format":"email","email":"ada@app.example","id":"42"}}`},
		{"unknown member", testkit.Issuer, 400, `{"sub_id":{"format":"email","email":"ada@app.example","x":1}}`},
		{"email twice", testkit.Issuer, 400, `{"sub_id":{"format":"email","email":"a","email":"ada@app.example"}}`},
		{"format twice", testkit.Issuer, 400, `{"sub_id":{"format":"opaque","format":"opaque","id":"42"}}`},
		{"sub_id twice", testkit.Issuer, 400, `{"sub_id":{"format":"opaque","id":"42"},"sub_id":{"format":"opaque","id":"42"}}`},
		{"two objects", testkit.Issuer, 400, `{"sub_id":{"format":"opaque","id":"42"}}{}`},
		{"id is a number", testkit.Issuer, 400, `{"sub_id":{"format":"opaque","id":42}}`},
		{"empty id", testkit.Issuer, 400, `{"sub_id":{"format":"opaque","id":""}}`},
		{"id is null", testkit.Issuer, 400, `{"sub_id":{"format":"opaque","id":null}}`},
		{"id with NUL", testkit.Issuer, 400, `{"sub_id":{"format":"opaque","id":"4\u00002"}}`},
		{"id that is too long", testkit.Issuer, 400, `{"sub_id":{"format":"opaque","id":"` + long + `"}}`},
		{"id that is not UTF-8", testkit.Issuer, 400, "{\"sub_id\":{\"format\":\"opaque\",\"id\":\"\xff\"}}"},
		{"no id", testkit.Issuer, 400, `{"sub_id":{"format":"opaque"}}`},
		{"no sub", testkit.Issuer, 400, `{"sub_id":{"format":"iss_sub","iss":"https://other.example"}}`},
		{"no iss", testkit.Issuer, 400, `{"sub_id":{"format":"iss_sub","sub":"a"}}`},
		{"no format", testkit.Issuer, 400, `{"sub_id":{"id":"42"}}`},
		{"empty sub_id", testkit.Issuer, 400, `{"sub_id":{}}`},
		{"sub_id is a list", testkit.Issuer, 400, `{"sub_id":[]}`},
		{"sub_id is text", testkit.Issuer, 400, `{"sub_id":"42"}`},
		{"sub_id is null", testkit.Issuer, 400, `{"sub_id":null}`},
		{"SUB_ID", testkit.Issuer, 400, `{"SUB_ID":{"format":"opaque","id":"42"}}`},
		{"subject", testkit.Issuer, 400, `{"subject":{"format":"opaque","id":"42"}}`},
		{"list", testkit.Issuer, 400, `[{"sub_id":{"format":"opaque","id":"42"}}]`},
		{"body that breaks off", testkit.Issuer, 400, `{"sub_id":{"format":"opaque","id":"42"}`},
		{"empty object", testkit.Issuer, 400, `{}`},
		{"empty body", testkit.Issuer, 400, ``},
		{"null", testkit.Issuer, 400, `null`},
		{"deep nesting", testkit.Issuer, 400, `{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`},
		{"body that is too large", testkit.Issuer, 413, `{"sub_id":{"format":"opaque","id":"42"},"a":"` + strings.Repeat("a", 1<<17) + `"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := revoketest.NewMemory()
			handler := testkit.Value(signals.NewGlobalTokenRevocation(store, allowAll, []string{"https://x.example", providerIssuer}, directory))(t)
			wantStatus(t, testkit.Serve(handler, revocationRequest(c.body)), c.status)
			if isLoggedOut(t, store, c.issuer) != (c.status == 204) {
				t.Errorf("logged out: %v", c.status != 204)
			}
		})
	}
}

// TestResolverFails answers 503 to each error of a resolver that knows no answer, and reports an
// outage: an error of a token says nothing about the caller's.
func TestResolverFails(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		errors.New("it is down"), revoke.ErrUnavailable, fmt.Errorf("x: %w", revoke.ErrInvalidToken), &revoke.RevokedError{Scope: revoke.ScopeToken},
		errors.Join(signals.ErrUnknownUser, revoke.ErrUnavailable),
	} {
		var reported error
		handler := testkit.Value(signals.NewGlobalTokenRevocation(revoketest.NewMemory(), allowAll, nil,
			func(context.Context, signals.SubjectID) (revoke.User, error) { return revoke.User{}, err },
			signals.WithReport(func(_ *http.Request, err error) { reported = err })))(t)
		wantStatus(t, testkit.Serve(handler, revocationRequest(issSub)), 503)
		testkit.WantError(t, reported, revoke.ErrUnavailable)
	}
}

// TestGlobalRevocationWithoutResolver logs out the users of the issuers only.
func TestGlobalRevocationWithoutResolver(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		body   string
		status int
	}{
		{"issuer", issSub, 204},
		{"another issuer", strings.Replace(issSub, "idp", "eve", 1), 404},
		{"email", `{"sub_id":{"format":"email","email":"ada@app.example"}}`, 400},
		{"opaque", `{"sub_id":{"format":"opaque","id":"42"}}`, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			handler := testkit.Value(signals.NewGlobalTokenRevocation(revoketest.NewMemory(), allowAll, []string{providerIssuer}, nil))(t)
			wantStatus(t, testkit.Serve(handler, revocationRequest(c.body)), c.status)
		})
	}
}

// TestGlobalRevocationRequest requires a POST of JSON.
func TestGlobalRevocationRequest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"text", func(r *http.Request) { r.Header.Set("Content-Type", "text/json") }, 400},
		{"charset", func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=latin1") }, 400},
		{"no type", func(r *http.Request) { r.Header.Del("Content-Type") }, 400},
		{"GET", func(r *http.Request) { r.Method = http.MethodGet }, 405},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			handler := testkit.Value(signals.NewGlobalTokenRevocation(revoketest.NewMemory(), allowAll, []string{providerIssuer}, nil))(t)
			r := revocationRequest(issSub)
			c.change(r)
			w := testkit.Serve(handler, r)
			wantStatus(t, w, c.status)
			if allow := w.Header().Get("Allow"); (allow == "POST") != (c.status == 405) {
				t.Errorf("Allow is %q", allow)
			}
		})
	}
}

const (
	nothingSent  = `Bearer realm="api"`
	invalidToken = `Bearer realm="api", error="invalid_token"`
)

// TestGlobalRevocationAuthorizes follows §3.4.2 and §7.1: a caller is refused before anything
// of the body is read.
func TestGlobalRevocationAuthorizes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		err       error
		status    int
		challenge string
	}{
		{"no token", revokehttp.ErrNoToken, 401, nothingSent},
		{"unknown caller", fmt.Errorf("mTLS: %w", signals.ErrUnknownCaller), 401, nothingSent},
		{"invalid token", fmt.Errorf("x: %w", revoke.ErrInvalidToken), 401, invalidToken},
		{"revoked token", &revoke.RevokedError{Scope: revoke.ScopeToken}, 401, invalidToken},
		{"bad request", signals.ErrBadRequest, 400, ""},
		{"bad request of a guard", revokehttp.ErrBadRequest, 400, ""},
		{"forbidden caller", signals.ErrForbiddenCaller, 403, ""},
		{"unavailable", revoke.ErrUnavailable, 503, ""},
		{"invalid and unavailable", errors.Join(revoke.ErrInvalidToken, revoke.ErrUnavailable), 503, ""},
		{"another error", errors.New("it is down"), 503, ""},
	} {
		for _, body := range []string{issSub, "{"} {
			t.Run(c.name+"/"+body, func(t *testing.T) {
				t.Parallel()
				store := revoketest.NewMemory()
				var reported error
				handler := testkit.Value(signals.NewGlobalTokenRevocation(store, func(*http.Request) (revoke.Token, error) { return revoke.Token{}, c.err }, []string{providerIssuer}, directory,
					signals.WithReport(func(_ *http.Request, err error) { reported = err })))(t)
				w := testkit.Serve(handler, revocationRequest(body))
				wantStatus(t, w, c.status)
				testkit.WantAnswer(t, w, c.status, c.challenge)
				if !errors.Is(reported, c.err) || isLoggedOut(t, store, providerIssuer) {
					t.Errorf("reported %v, and logged out: %v", reported, isLoggedOut(t, store, providerIssuer))
				}
			})
		}
	}
}

// TestGlobalRevocationRealm names the realm.
func TestGlobalRevocationRealm(t *testing.T) {
	t.Parallel()
	handler := testkit.Value(signals.NewGlobalTokenRevocation(revoketest.NewMemory(), func(*http.Request) (revoke.Token, error) {
		return revoke.Token{}, signals.ErrUnknownCaller
	}, []string{providerIssuer}, nil, signals.WithRealm("the app")))(t)
	testkit.WantAnswer(t, testkit.Serve(handler, revocationRequest(issSub)), 401, `Bearer realm="the app"`)
}

// TestGlobalRevocationOnce authenticates as §3.5 of the draft requires: with a JWT that the
// provider signed for this endpoint, once.
func TestGlobalRevocationOnce(t *testing.T) {
	t.Parallel()
	const endpoint = "https://app.example/global-token-revocation"
	a, _ := newRelyingAppInMemory(t, true)
	callers := testkit.Value(revoke.NewValidator(a, providerIssuer, revoke.AudienceOf(endpoint), testkit.Keyfunc("ES256"), es256,
		revoke.WithTokenType("global-token-revocation+jwt")))(t)
	guard := testkit.Value(revokehttp.NewGuard(callers))(t)
	handler := guard.Require(testkit.Value(signals.NewGlobalTokenRevocation(a, assertionOf, []string{providerIssuer}, nil))(t))

	access := accessOf(t, "ada", "", "1", time.Now().Add(-time.Second))
	call := func(token string) *http.Request { return callFor(issSub, token) }
	caller := func(audience string) string {
		return testkit.SignRaw(t, "ES256", `{"alg":"ES256","typ":"global-token-revocation+jwt"}`, claimsText(map[string]string{
			"aud": `"` + audience + `"`, "sub": `"0oa1"`, "sid": "", "events": "", "jti": `"call"`,
		}))
	}
	testkit.WantAnswer(t, testkit.Serve(handler, revocationRequest(issSub)), 401, nothingSent)
	testkit.WantAnswer(t, testkit.Serve(handler, call(access)), 401, invalidToken)
	testkit.WantAnswer(t, testkit.Serve(handler, call(caller(endpoint+"/"))), 401, invalidToken)
	if !a.accepts(t, access) {
		t.Fatal("a caller that was refused has logged ada out")
	}
	testkit.WantAnswer(t, testkit.Serve(handler, call(caller(endpoint))), 204, "")
	if a.accepts(t, access) {
		t.Error("ada's token is accepted")
	}
	// A repeat is answered alike and revokes nothing more, and nothing for another user.
	before := testkit.Value(a.Epochs(t.Context(), revoke.User{Issuer: providerIssuer, Subject: "ada"}))(t)
	testkit.WantAnswer(t, testkit.Serve(handler, call(caller(endpoint))), 204, "")
	if after := testkit.Value(a.Epochs(t.Context(), revoke.User{Issuer: providerIssuer, Subject: "ada"}))(t); after != before {
		t.Errorf("a repeat moves the epoch from %v to %v", before, after)
	}
	bob := callFor(strings.Replace(issSub, "ada", "bob", 1), caller(endpoint))
	testkit.WantAnswer(t, testkit.Serve(handler, bob), 401, invalidToken)
	if epochs := testkit.Value(a.Epochs(t.Context(), revoke.User{Issuer: providerIssuer, Subject: "bob"}))(t); epochs.User != 0 {
		t.Errorf("bob is logged out by a spent assertion: %v", epochs)
	}
}

// TestGlobalRevocationClockAhead accepts an assertion from a clock that is as far ahead as
// that of a back-channel logout may be.
func TestGlobalRevocationClockAhead(t *testing.T) {
	t.Parallel()
	testkit.TestKeys()
	for ahead, status := range map[time.Duration]int{15 * time.Second: 204, 16 * time.Second: 401} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, _ := newRelyingAppInMemory(t, true)
				callers := testkit.Value(revoke.NewValidator(a, providerIssuer, revoke.AnyAudience(), testkit.Keyfunc("ES256"), es256,
					revoke.WithTokenType("global-token-revocation+jwt"), revoke.WithIssuerSkew(15*time.Second)))(t)
				handler := testkit.Value(revokehttp.NewGuard(callers))(t).Require(
					testkit.Value(signals.NewGlobalTokenRevocation(a, assertionOf, []string{providerIssuer}, nil))(t))
				assertion := testkit.SignRaw(t, "ES256", `{"alg":"ES256","typ":"global-token-revocation+jwt"}`,
					claimsText(map[string]string{"iat": at(ahead), "sid": "", "events": ""}))
				if w := testkit.Serve(handler, callFor(issSub, assertion)); w.Code != status {
					t.Errorf("%d, want %d", w.Code, status)
				}
			})
		})
	}
}

// assertionOf returns the token that a guard has accepted.
func assertionOf(r *http.Request) (revoke.Token, error) {
	token, _ := revokehttp.TokenFromContext(r.Context())
	return token.Token, nil
}

// spending authorizes every caller by this assertion.
func spending(assertion revoke.Token) func(*http.Request) (revoke.Token, error) {
	return func(*http.Request) (revoke.Token, error) { return assertion, nil }
}

// callFor returns a request of a caller with an assertion.
func callFor(body, assertion string) *http.Request {
	r := revocationRequest(body)
	r.Header.Set("Authorization", "Bearer "+assertion)
	return r
}

// TestGlobalRevocationIsRepeated has each write fail in turn, before and after it is done, and the
// commit too. The caller repeats its request until it gets 2xx, and the user is logged out then.
func TestGlobalRevocationIsRepeated(t *testing.T) {
	t.Parallel()
	assertion := revoke.Token{Issuer: providerIssuer, ID: "call", ExpiresAt: time.Now().Add(time.Minute)}
	for _, after := range []bool{false, true} {
		const writes = 3 // each of them and the commit
		for fails := range writes + 1 {
			t.Run(fmt.Sprintf("write %d/after it: %v", fails+1, after), func(t *testing.T) {
				t.Parallel()
				store := &failingOnce{Store: revoketest.NewMemory(), fails: fails, commit: writes, after: after}
				handler := testkit.Value(signals.NewGlobalTokenRevocation(store, spending(assertion), []string{providerIssuer}, nil))(t)
				wantStatus(t, testkit.Serve(handler, revocationRequest(issSub)), 503)
				if committed := fails == writes && after; isLoggedOut(t, store, providerIssuer) != committed {
					t.Errorf("after 503 ada is logged out: %v", !committed)
				}
				for range 2 {
					wantStatus(t, testkit.Serve(handler, revocationRequest(issSub)), 204)
				}
				if !isLoggedOut(t, store, providerIssuer) {
					t.Error("ada stays logged in")
				}
				wantStatus(t, testkit.Serve(handler, revocationRequest(strings.Replace(issSub, "ada", "bob", 1))), 401)
			})
		}
	}
}

// TestGlobalRevocationAssertion refuses an assertion that cannot be spent.
func TestGlobalRevocationAssertion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		assertion revoke.Token
	}{
		{"no id", revoke.Token{Issuer: providerIssuer, Subject: "0oa1", ExpiresAt: time.Now().Add(time.Minute)}},
		{"expired", revoke.Token{Issuer: providerIssuer, ID: "call", ExpiresAt: time.Now().Add(-time.Hour)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := revoketest.NewMemory()
			handler := testkit.Value(signals.NewGlobalTokenRevocation(store, spending(c.assertion), []string{providerIssuer}, nil))(t)
			testkit.WantAnswer(t, testkit.Serve(handler, revocationRequest(issSub)), 401, invalidToken)
			if isLoggedOut(t, store, providerIssuer) {
				t.Error("ada is logged out")
			}
		})
	}
}

// failingOnce is a store of which one call in the first transaction fails.
type failingOnce struct {
	revoke.Store
	fails, commit int // the call that fails, counted from 0, and the number of the commit
	after         bool
	failed        bool
}

// InTx implements [revoke.Store].
func (s *failingOnce) InTx(ctx context.Context, fn func(revoke.Revoker) error) error {
	if s.failed {
		return s.Store.InTx(ctx, fn)
	}
	s.failed = true
	if s.fails < s.commit {
		return s.Store.InTx(ctx, func(tx revoke.Revoker) error { return fn(&failingTx{tx, s, 0}) })
	}
	if s.after {
		if err := s.Store.InTx(ctx, fn); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: the commit", revoke.ErrUnavailable)
}

type failingTx struct {
	revoke.Revoker
	store *failingOnce
	calls int
}

func (tx *failingTx) around(do func() error) error {
	number := tx.calls
	tx.calls++
	if number != tx.store.fails {
		return do()
	}
	if tx.store.after {
		if err := do(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: write %d", revoke.ErrUnavailable, number)
}

// Redeem implements [revoke.Revoker].
func (tx *failingTx) Redeem(ctx context.Context, token revoke.Token, opts ...revoke.RevokeOption) error {
	return tx.around(func() error { return tx.Revoker.Redeem(ctx, token, opts...) })
}

// RevokeUser implements [revoke.Revoker].
func (tx *failingTx) RevokeUser(ctx context.Context, user revoke.User, opts ...revoke.RevokeOption) (epochs revoke.Epochs, err error) {
	err = tx.around(func() error {
		epochs, err = tx.Revoker.RevokeUser(ctx, user, opts...)
		return err
	})
	return epochs, err
}

// TestGlobalRevocationFaults has the store fail before and after the revocation.
func TestGlobalRevocationFaults(t *testing.T) {
	t.Parallel()
	store := revoketest.NewFaulty(revoketest.NewMemory())
	handler := testkit.Value(signals.NewGlobalTokenRevocation(store, allowAll, []string{providerIssuer}, nil))(t)
	store.Fail(errors.New("it is down"))
	wantStatus(t, testkit.Serve(handler, revocationRequest(issSub)), 503)
	store.Fail(nil)
	if isLoggedOut(t, store, providerIssuer) {
		t.Error("the store was down, and ada is logged out")
	}
	store.FailAfter(errors.New("the answer was lost"))
	wantStatus(t, testkit.Serve(handler, revocationRequest(issSub)), 503)
	store.Fail(nil)
	if !isLoggedOut(t, store, providerIssuer) {
		t.Error("the answer was lost, and ada is not logged out")
	}
}

// TestGlobalRevocationOutlastsItsCaller logs a user out for a caller that has disconnected.
func TestGlobalRevocationOutlastsItsCaller(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory()
	handler := testkit.Value(signals.NewGlobalTokenRevocation(store, allowAll, nil, directory))(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantStatus(t, testkit.Serve(handler, revocationRequest(`{"sub_id":{"format":"opaque","id":"42"}}`).WithContext(ctx)), 204)
	if !isLoggedOut(t, store, testkit.Issuer) {
		t.Error("ada is not logged out")
	}
}

// FuzzGlobalTokenRevocation logs a user out if and only if the answer to a body is 204.
func FuzzGlobalTokenRevocation(f *testing.F) {
	f.Add(issSub)
	f.Add(`{"sub_id":{"format":"email","email":"ada@app.example"},"x":[1,{"y":null}]}`)
	f.Add(`{"sub_id":{"format":"opaque","id":"\ud83d\ude00"}}`)
	f.Add(`{"sub_id":{"format":"opaque","id":"42","id":"43"}}`)
	f.Fuzz(func(t *testing.T, body string) {
		store := revoketest.NewMemory()
		named := 0
		handler := testkit.Value(signals.NewGlobalTokenRevocation(store, allowAll, nil, func(_ context.Context, id signals.SubjectID) (revoke.User, error) {
			named++
			if id.Format == "" || (id.ID == "") == (id.Email == "" && (id.Issuer == "" || id.Subject == "")) {
				t.Fatalf("%q names %+v", body, id)
			}
			return revoke.User{Issuer: testkit.Issuer, Subject: "ada"}, nil
		}))(t)
		w := testkit.Serve(handler, revocationRequest(body))
		done := w.Code == http.StatusNoContent
		if done != (named == 1) || done != isLoggedOut(t, store, testkit.Issuer) || !done && w.Code != 400 && w.Code != 413 {
			t.Fatalf("%q is answered with %d, and named %d users", body, w.Code, named)
		}
	})
}
