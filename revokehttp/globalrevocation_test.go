package revokehttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// revocationRequest is what a security tool sends.
func revocationRequest(body string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/global-token-revocation", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

const issSub = `{"sub_id":{"format":"iss_sub","iss":"` + providerIssuer + `","sub":"ada"}}`

func anybody(*http.Request) error { return nil }

// directory resolves users of an app that signs tokens of its own.
func directory(_ context.Context, id revokehttp.SubjectID) (revoke.User, error) {
	user := revoke.User{Issuer: testIssuer, Subject: "ada"}
	switch {
	case id == (revokehttp.SubjectID{Format: "email", Email: "ada@app.example"}),
		id == (revokehttp.SubjectID{Format: "opaque", ID: "42"}),
		id == (revokehttp.SubjectID{Format: "iss_sub", Issuer: "https://other.example", Subject: "a"}):
		return user, nil
	case id.Email == "root@app.example":
		return revoke.User{}, fmt.Errorf("%w: it is the last administrator", revokehttp.ErrStaysLoggedIn)
	case id.Email == "down@app.example":
		return revoke.User{}, errors.New("the directory is down")
	case id.Email == "lazy@app.example":
		return revoke.User{}, nil
	case id.Format == "opaque" && id.ID == "format":
		return revoke.User{}, revokehttp.ErrUnknownFormat
	}
	return revoke.User{}, revokehttp.ErrUnknownUser
}

// loggedOut reports whether the user was logged out.
func loggedOut(tb testing.TB, store revoke.Store, issuer string) bool {
	tb.Helper()
	epochs, err := store.Epochs(context.Background(), revoke.User{Issuer: issuer, Subject: "ada"})
	must(tb, err)
	return epochs.User > 0
}

// TestGlobalRevocationRequest is §3.2 and §3.4 of the draft, and RFC 9493 §3.
func TestGlobalRevocationRequest(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", revoke.MaxIDLength+1)
	type cases map[string]int
	for issuer, bodies := range map[string]cases{
		providerIssuer: {
			issSub:                          204,
			`{"a":1,"a":[{}],` + issSub[1:]: 204,
			` { "sub_id" : {"\u0066ormat":"iss_sub","sub":"\u0061da","iss":"` + providerIssuer + `"} } `: 204,
		},
		testIssuer: {
			`{"sub_id":{"format":"email","email":"ada@app.example"}}`:                         204,
			`{"sub_id":{"format":"opaque","id":"42"}}`:                                        204,
			`{"sub_id":{"format":"iss_sub","iss":"https://other.example","sub":"a"}}`:         204,
			`{"sub_id":{"format":"iss_sub","iss":"https://other.example","sub":"b"}}`:         404,
			`{"sub_id":{"format":"email","email":"eve@app.example"}}`:                         404,
			`{"sub_id":{"format":"email","email":"root@app.example"}}`:                        422,
			`{"sub_id":{"format":"email","email":"down@app.example"}}`:                        503,
			`{"sub_id":{"format":"email","email":"lazy@app.example"}}`:                        503,
			`{"sub_id":{"format":"opaque","id":"format"}}`:                                    400,
			`{"sub_id":{"format":"phone_number","phone_number":"+1"}}`:                        400,
			`{"sub_id":{"format":"account","uri":"acct:a@b"}}`:                                400,
			`{"sub_id":{"format":"aliases","identifiers":[]}}`:                                400,
			`{"sub_id":{"format":"EMAIL","email":"ada@app.example"}}`:                         400,
			`{"sub_id":{"format":"email","Email":"ada@app.example"}}`:                         400,
			`{"sub_id":{"format":"email","email":"ada@app.example","id":"42"}}`:               400,
			`{"sub_id":{"format":"email","email":"ada@app.example","x":1}}`:                   400,
			`{"sub_id":{"format":"email","email":"a","email":"ada@app.example"}}`:             400,
			`{"sub_id":{"format":"opaque","format":"opaque","id":"42"}}`:                      400,
			`{"sub_id":{"format":"opaque","id":"42"},"sub_id":{"format":"opaque","id":"42"}}`: 400,
			`{"sub_id":{"format":"opaque","id":"42"}}{}`:                                      400,
			`{"sub_id":{"format":"opaque","id":42}}`:                                          400,
			`{"sub_id":{"format":"opaque","id":""}}`:                                          400,
			`{"sub_id":{"format":"opaque","id":null}}`:                                        400,
			`{"sub_id":{"format":"opaque","id":"4\u00002"}}`:                                  400,
			`{"sub_id":{"format":"opaque","id":"` + long + `"}}`:                              400,
			"{\"sub_id\":{\"format\":\"opaque\",\"id\":\"\xff\"}}":                            400,
			`{"sub_id":{"format":"opaque"}}`:                                                  400,
			`{"sub_id":{"format":"iss_sub","iss":"https://other.example"}}`:                   400,
			`{"sub_id":{"format":"iss_sub","sub":"a"}}`:                                       400,
			`{"sub_id":{"id":"42"}}`:                                                          400,
			`{"sub_id":{}}`:                                                                   400,
			`{"sub_id":[]}`:                                                                   400,
			`{"sub_id":"42"}`:                                                                 400,
			`{"sub_id":null}`:                                                                 400,
			`{"SUB_ID":{"format":"opaque","id":"42"}}`:                                        400,
			`{"subject":{"format":"opaque","id":"42"}}`:                                       400,
			`[{"sub_id":{"format":"opaque","id":"42"}}]`:                                      400,
			`{"sub_id":{"format":"opaque","id":"42"}`:                                         400,
			`{}`: 400, ``: 400, `null`: 400,
			`{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`:               400,
			`{"sub_id":{"format":"opaque","id":"42"},"a":"` + strings.Repeat("a", 1<<17) + `"}`: 413,
		},
	} {
		for body, status := range bodies {
			store := revoketest.NewMemory()
			handler, err := revokehttp.NewGlobalTokenRevocation(store, anybody, []string{"https://x.example", providerIssuer}, directory)
			must(t, err)
			wantsAnswer(t, fmt.Sprintf("%.100s", body), answer(handler, revocationRequest(body)), status)
			if loggedOut(t, store, issuer) != (status == 204) {
				t.Errorf("%.100s: revoked is %v", body, status != 204)
			}
		}
	}
	store := revoketest.NewMemory()
	handler, err := revokehttp.NewGlobalTokenRevocation(store, anybody, []string{providerIssuer}, nil)
	must(t, err)
	for body, status := range map[string]int{
		issSub:                                   204,
		strings.Replace(issSub, "idp", "eve", 1): 404, // an issuer that is not configured
		`{"sub_id":{"format":"email","email":"ada@app.example"}}`: 400,
		`{"sub_id":{"format":"opaque","id":"42"}}`:                400,
	} {
		wantsAnswer(t, "without a resolver "+body, answer(handler, revocationRequest(body)), status)
	}
	for what, change := range map[string]func(*http.Request){
		"text":    func(r *http.Request) { r.Header.Set("Content-Type", "text/json") },
		"charset": func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=latin1") },
		"no type": func(r *http.Request) { r.Header.Del("Content-Type") },
	} {
		r := revocationRequest(issSub)
		change(r)
		wantsAnswer(t, what, answer(handler, r), 400)
	}
	r := revocationRequest(issSub)
	r.Method = http.MethodGet
	w := answer(handler, r)
	wantsAnswer(t, "GET", w, 405)
	if w.Header().Get("Allow") != "POST" {
		t.Errorf("Allow is %q", w.Header().Get("Allow"))
	}
}

// TestGlobalRevocationAuthorizes is §3.4.2 and §7.1: who may not is told so before anything of the body is read.
func TestGlobalRevocationAuthorizes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err       error
		status    int
		challenge string
	}{
		{revokehttp.ErrNoToken, 401, nothingSent},
		{fmt.Errorf("mTLS: %w", revokehttp.ErrUnknownCaller), 401, nothingSent},
		{fmt.Errorf("x: %w", revoke.ErrInvalidToken), 401, invalidToken},
		{&revoke.RevokedError{Scope: revoke.ScopeToken}, 401, invalidToken},
		{revokehttp.ErrBadRequest, 400, ""},
		{revokehttp.ErrForbiddenCaller, 403, ""},
		{revoke.ErrUnavailable, 503, ""},
		{errors.Join(revoke.ErrInvalidToken, revoke.ErrUnavailable), 503, ""},
		{errors.New("it is down"), 503, ""},
	} {
		store := revoketest.NewMemory()
		var reported error
		handler, err := revokehttp.NewGlobalTokenRevocation(store, func(*http.Request) error { return c.err }, []string{providerIssuer}, directory,
			revokehttp.WithReport(func(_ *http.Request, err error) { reported = err }))
		must(t, err)
		for _, body := range []string{issSub, "{"} {
			w := answer(handler, revocationRequest(body))
			wantsAnswer(t, c.err.Error(), w, c.status)
			if got := w.Header().Get("WWW-Authenticate"); got != c.challenge {
				t.Errorf("%v: WWW-Authenticate is %q, want %q", c.err, got, c.challenge)
			}
			if !errors.Is(reported, c.err) || loggedOut(t, store, providerIssuer) {
				t.Errorf("%v: reported %v, and revoked is %v", c.err, reported, loggedOut(t, store, providerIssuer))
			}
		}
	}
}

// globalRevocationOf is the endpoint of a provider that names users by iss and sub, as ExampleNewGlobalTokenRevocation has it for those who name them by email.
func globalRevocationOf(tb testing.TB, store revoke.Store, endpoint string) http.Handler {
	tb.Helper()
	callers, err := revoke.NewValidator[revoke.Claims](store, providerIssuer, providerKeyfunc, []string{"ES256"},
		revoke.WithTokenType("global-token-revocation+jwt"), revoke.WithParserOptions(jwt.WithAudience(endpoint)))
	must(tb, err)
	guard, err := revokehttp.New(callers)
	must(tb, err)
	revocation, err := revokehttp.NewGlobalTokenRevocation(store, func(r *http.Request) error {
		token, _ := revokehttp.Token(r.Context())
		return store.Redeem(r.Context(), token)
	}, []string{providerIssuer}, nil)
	must(tb, err)
	return guard.Require(revocation)
}

// TestGlobalRevocationOnce authenticates as the draft's §3.5 says: with a JWT of the provider's for this endpoint, once.
func TestGlobalRevocationOnce(t *testing.T) {
	t.Parallel()
	const endpoint = "https://app.example/global-token-revocation"
	a, _ := newRelyingAppInMemory(t, true)
	handler := globalRevocationOf(t, a, endpoint)
	access := accessOf(t, "ada", "", "1", time.Now().Add(-time.Second))
	call := func(token string) *http.Request {
		r := revocationRequest(issSub)
		r.Header.Set("Authorization", "Bearer "+token)
		return r
	}
	caller := func(audience string) string {
		return signText(t, "ES256", `{"alg":"ES256","typ":"global-token-revocation+jwt"}`, claimsText(map[string]string{
			"aud": `"` + audience + `"`, "sub": `"0oa1"`, "sid": "", "events": "", "jti": `"call"`,
		}))
	}
	wants(t, answer(handler, revocationRequest(issSub)), 401, nothingSent)
	wants(t, answer(handler, call(access)), 401, invalidToken)
	wants(t, answer(handler, call(caller(endpoint+"/"))), 401, invalidToken)
	if !a.alive(t, access) {
		t.Fatal("somebody else has logged ada out")
	}
	wants(t, answer(handler, call(caller(endpoint))), 204, "")
	if a.alive(t, access) {
		t.Error("ada goes on")
	}
	wants(t, answer(handler, call(caller(endpoint))), 401, invalidToken)
}

// TestGlobalRevocationFaults has the store fail before and after it did what was asked, and the caller hang up.
func TestGlobalRevocationFaults(t *testing.T) {
	t.Parallel()
	store := revoketest.NewFaulty(revoketest.NewMemory())
	handler, err := revokehttp.NewGlobalTokenRevocation(store, anybody, []string{providerIssuer}, nil)
	must(t, err)
	store.Fail(errors.New("it is down"))
	wantsAnswer(t, "down", answer(handler, revocationRequest(issSub)), 503)
	store.Fail(nil)
	if loggedOut(t, store, providerIssuer) {
		t.Error("down: and revoked")
	}
	store.FailAfter(errors.New("the answer was lost"))
	wantsAnswer(t, "lost", answer(handler, revocationRequest(issSub)), 503)
	store.Fail(nil)
	if !loggedOut(t, store, providerIssuer) {
		t.Error("lost: and not revoked")
	}
	handler, err = revokehttp.NewGlobalTokenRevocation(store, anybody, nil, directory)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantsAnswer(t, "hung up", answer(handler, revocationRequest(`{"sub_id":{"format":"opaque","id":"42"}}`).WithContext(ctx)), 204)
	if !loggedOut(t, store, testIssuer) {
		t.Error("a caller that hung up is not heard")
	}
}

// FuzzGlobalTokenRevocation: whatever the body is, somebody is logged out exactly where the answer is 204.
func FuzzGlobalTokenRevocation(f *testing.F) {
	f.Add(issSub)
	f.Add(`{"sub_id":{"format":"email","email":"ada@app.example"},"x":[1,{"y":null}]}`)
	f.Add(`{"sub_id":{"format":"opaque","id":"\ud83d\ude00"}}`)
	f.Add(`{"sub_id":{"format":"opaque","id":"42","id":"43"}}`)
	f.Fuzz(func(t *testing.T, body string) {
		store := revoketest.NewMemory()
		named := 0
		handler, err := revokehttp.NewGlobalTokenRevocation(store, anybody, nil, func(_ context.Context, id revokehttp.SubjectID) (revoke.User, error) {
			named++
			if id.Format == "" || (id.ID == "") == (id.Email == "" && (id.Issuer == "" || id.Subject == "")) {
				t.Fatalf("%q names %+v", body, id)
			}
			return revoke.User{Issuer: testIssuer, Subject: "ada"}, nil
		})
		must(t, err)
		w := answer(handler, revocationRequest(body))
		if done := w.Code == http.StatusNoContent; done != (named == 1) || done != loggedOut(t, store, testIssuer) || !done && w.Code != 400 && w.Code != 413 {
			t.Fatalf("%q is answered with %d, and named %d users", body, w.Code, named)
		}
	})
}
