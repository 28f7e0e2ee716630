package revokehttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// TestReceiversAreRefused names what is wrong with the arguments.
func TestReceiversAreRefused(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory()
	validatorOf := func(issuer string, opts ...revoke.ValidatorOption) *revoke.Validator[revoke.Claims] {
		v, err := revoke.NewValidator[revoke.Claims](store, issuer, providerKeyfunc, []string{"ES256"}, opts...)
		must(t, err)
		return v
	}
	type arguments struct {
		store      revoke.Store
		issuer     string
		clients    []string
		keyfunc    jwt.Keyfunc
		algorithms []string
		ends       revokehttp.Ends
		opts       []revokehttp.ReceiverOption
	}
	build := func(change func(*arguments)) error {
		a := arguments{store, providerIssuer, []string{clientID}, providerKeyfunc, []string{"ES256"},
			revokehttp.EndSession(validatorOf(providerIssuer, revoke.WithRequiredSession())), nil}
		change(&a)
		_, err := revokehttp.NewBackChannelLogout(a.store, a.issuer, a.clients, a.keyfunc, a.algorithms, a.ends, a.opts...)
		return err
	}
	must(t, build(func(*arguments) {}))
	for want, change := range map[string]func(*arguments){
		"store is nil":            func(a *arguments) { a.store = nil },
		"issuer is empty":         func(a *arguments) { a.issuer, a.ends = "", revokehttp.EndUser() },
		"no client id":            func(a *arguments) { a.clients = nil },
		"client id is empty":      func(a *arguments) { a.clients = []string{clientID, ""} },
		"keyfunc is nil":          func(a *arguments) { a.keyfunc = nil },
		"no algorithm":            func(a *arguments) { a.algorithms = nil },
		"signs nothing":           func(a *arguments) { a.algorithms = []string{"none"} },
		"not known":               func(a *arguments) { a.algorithms = []string{"ES255"} },
		"mix HMAC":                func(a *arguments) { a.algorithms = []string{"ES256", "HS256"} },
		"is not chosen":           func(a *arguments) { a.ends = revokehttp.Ends{} },
		"EndSession is nil":       func(a *arguments) { a.ends = revokehttp.EndSession(nil) },
		"WithRequiredSession":     func(a *arguments) { a.ends = revokehttp.EndSession(validatorOf(providerIssuer)) },
		"not of issuer":           func(a *arguments) { a.ends = revokehttp.EndSession(validatorOf("x", revoke.WithRequiredSession())) },
		"option is nil":           func(a *arguments) { a.opts = []revokehttp.ReceiverOption{nil} },
		"report is nil":           func(a *arguments) { a.opts = []revokehttp.ReceiverOption{revokehttp.WithReport(nil)} },
		"a RevokeOption is nil":   func(a *arguments) { a.opts = []revokehttp.ReceiverOption{revokehttp.WithRecord(nil)} },
		"or takes tokens without": func(a *arguments) { a.ends = revokehttp.EndSession((*revoke.Validator[revoke.Claims])(nil)) },
	} {
		if err := build(change); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("NewBackChannelLogout = %v, want %q", err, want)
		}
	}
	yes := func(*http.Request) error { return nil }
	nobody := func(context.Context, revokehttp.SubjectID) (revoke.User, error) {
		return revoke.User{}, revokehttp.ErrUnknownUser
	}
	for want, build := range map[string]func() (http.Handler, error){
		"store is nil":           func() (http.Handler, error) { return revokehttp.NewGlobalTokenRevocation(nil, yes, nil, nobody) },
		"authorize is nil":       func() (http.Handler, error) { return revokehttp.NewGlobalTokenRevocation(store, nil, nil, nobody) },
		"issuers nor a resolver": func() (http.Handler, error) { return revokehttp.NewGlobalTokenRevocation(store, yes, nil, nil) },
		"issuer is empty": func() (http.Handler, error) {
			return revokehttp.NewGlobalTokenRevocation(store, yes, []string{""}, nobody)
		},
		"option is nil": func() (http.Handler, error) { return revokehttp.NewGlobalTokenRevocation(store, yes, nil, nobody, nil) },
	} {
		if _, err := build(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("NewGlobalTokenRevocation = %v, want %q", err, want)
		}
	}
}

// TestReceiverRecord notes why, for operators.
func TestReceiverRecord(t *testing.T) {
	t.Parallel()
	for want, opts := range map[string][]revokehttp.ReceiverOption{
		"back-channel logout": nil,
		"left":                {revokehttp.WithRecord(revoke.WithReason("left"), revoke.WithActor("idp"))},
	} {
		store := revoketest.NewMemory()
		handler, err := revokehttp.NewBackChannelLogout(store, providerIssuer, []string{clientID}, providerKeyfunc, []string{"ES256"}, revokehttp.EndUser(), opts...)
		must(t, err)
		wantsAnswer(t, want, answer(handler, delivery("logout_token="+logoutOf(t, nil))), 200)
		found, err := store.Lookup(t.Context(), revoke.Token{Issuer: providerIssuer, Subject: "ada", IssuedAt: testStart, ExpiresAt: testStart})
		if err != nil || len(found) != 1 || found[0].Scope != revoke.ScopeUser || found[0].Reason != want || (found[0].Actor == "idp") != (opts != nil) {
			t.Errorf("Lookup = %+v, %v", found, err)
		}
	}
}

// TestReceiversKeepTokensToThemselves looks for parts of tokens in reports, bodies and headers.
func TestReceiversKeepTokensToThemselves(t *testing.T) {
	t.Parallel()
	logout := logoutOf(t, nil)
	tokens := []string{
		logout, logout + "A", logout[:len(logout)-8], logout + "." + logout, strings.ToLower(logout), "x" + logout,
		logoutOf(t, map[string]string{"aud": `"other"`}), logoutOf(t, nil, `"nonce":"n"`), logoutOf(t, nil, `"jti":"x"`),
		signText(t, "ES256", logoutHeader, "not JSON but a secret"), signText(t, "HS256", `{"alg":"HS256"}`, claimsText(nil)),
		signText(t, "ES256", `{"alg":"ES256","typ":"a-secret-type"}`, claimsText(nil)),
	}
	var text strings.Builder
	for _, token := range tokens {
		for _, fault := range []func(*revoketest.Faulty){
			func(*revoketest.Faulty) {},
			func(f *revoketest.Faulty) { f.Fail(errors.New("down")) },
			func(f *revoketest.Faulty) { f.FailAfter(errors.New("lost")) },
		} {
			a, store := newRelyingAppInMemory(t, false)
			fault(store)
			for _, r := range []*http.Request{delivery("logout_token=" + token), delivery("logout_token=" + token + "&logout_token=" + token), delivery(token)} {
				w := answer(a.handler, r)
				fmt.Fprintln(&text, w.Code, w.Header(), w.Body)
			}
			for _, err := range a.reported {
				fmt.Fprintln(&text, err)
			}
		}
	}
	for _, token := range append(tokens, "a secret", "a-secret-type") {
		for part := range strings.SplitSeq(token, ".") {
			for at := 0; at+8 <= len(part); at += 8 {
				if strings.Contains(text.String(), part[at:at+8]) {
					t.Fatalf("%q is a part of a token, in %s", part[at:at+8], text.String())
				}
			}
		}
	}
	if text.Len() < 10_000 {
		t.Errorf("only %d bytes were looked at", text.Len())
	}
}
