package signals_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
	"github.com/pgrevoke/revoke/signals"
)

// TestNewBackChannelLogoutRefuses names what is wrong with an argument or an option.
func TestNewBackChannelLogoutRefuses(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory()
	type arguments struct {
		store      revoke.Store
		issuer     string
		clients    []string
		keyfunc    jwt.Keyfunc
		algorithms []string
		ends       signals.Ends
		opts       []signals.Option
	}
	build := func(change func(*arguments)) error {
		a := arguments{
			store, providerIssuer, []string{clientID}, testkit.Keyfunc("ES256"), es256,
			signals.EndSession(newValidator(t, store, providerIssuer, revoke.WithRequiredSession())), nil,
		}
		change(&a)
		_, err := signals.NewBackChannelLogout(a.store, a.issuer, a.clients, a.keyfunc, a.algorithms, a.ends, a.opts...)
		return err
	}
	testkit.Must(t, build(func(*arguments) {}))
	endsBy := func(validator signals.SessionValidator) func(*arguments) {
		return func(a *arguments) { a.ends = signals.EndSession(validator) }
	}
	with := func(opts ...signals.Option) func(*arguments) { return func(a *arguments) { a.opts = opts } }
	for _, c := range []struct {
		name   string
		change func(*arguments)
		want   string
	}{
		{"no store", func(a *arguments) { a.store = nil }, "store is nil"},
		{"a nil *revoke.Postgres", func(a *arguments) { a.store = (*revoke.Postgres)(nil) }, "store is nil"},
		{"empty issuer", func(a *arguments) { a.issuer, a.ends = "", signals.EndUser() }, "issuer is empty"},
		{"no client", func(a *arguments) { a.clients = nil }, "no client id"},
		{"empty client", func(a *arguments) { a.clients = []string{clientID, ""} }, "client id is empty"},
		{"no keyfunc", func(a *arguments) { a.keyfunc = nil }, "keyfunc is nil"},
		{"no algorithm", func(a *arguments) { a.algorithms = nil }, "no algorithm"},
		{"algorithm none", func(a *arguments) { a.algorithms = []string{"none"} }, "signs nothing"},
		{"unknown algorithm", func(a *arguments) { a.algorithms = []string{"ES255"} }, "not known"},
		{"HMAC beside another", func(a *arguments) { a.algorithms = []string{"ES256", "HS256"} }, "mix HMAC"},
		{"zero Ends", func(a *arguments) { a.ends = signals.Ends{} }, "is not chosen"},
		{"EndSession without a validator", endsBy(nil), "EndSession is nil"},
		{"EndSession of a nil *revoke.Validator", endsBy((*revoke.Validator)(nil)), "EndSession is nil"},
		{"EndSession of a validator that requires no session", endsBy(newValidator(t, store, providerIssuer)), "WithRequiredSession"},
		{"EndSession of another issuer", endsBy(newValidator(t, store, "x", revoke.WithRequiredSession())), "not of issuer"},
		{"nil option", with(nil), "an option is nil"},
		{"nil report", with(signals.WithReport(nil)), "report is nil"},
		{"nil record", with(signals.WithRecord(nil)), "a RevokeOption is nil"},
		{"retry after 0", with(signals.WithRetryAfter(0)), "retry after 0s"},
		{"lag below zero", with(signals.WithIssuerLag(-1)), "issuer lag"},
		{"lag above the limit", with(signals.WithIssuerLag(revoke.MaxIssuerLag + 1)), "between 0 and 10m0s"},
		{"WithRealm", with(signals.WithRealm("idp")), "WithRealm is an option of NewGlobalTokenRevocation only"},
		{"aliases of another issuer", with(signals.WithIssuerAliases("x", "y")), `the alias "y" is one of issuer "x", which is none of`},
		{"no alias", with(signals.WithIssuerAliases(providerIssuer)), "no alias of issuer"},
		{"an empty alias", with(signals.WithIssuerAliases(providerIssuer, "a", "")), "issuer alias is empty"},
		{"an alias twice", with(signals.WithIssuerAliases(providerIssuer, "a"), signals.WithIssuerAliases(providerIssuer, "a")), `issuer "a" is named twice`},
		{"an alias that is the issuer", with(signals.WithIssuerAliases(providerIssuer, providerIssuer)), "is named twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := build(c.change)
			if err == nil || !strings.HasPrefix(err.Error(), "signals: NewBackChannelLogout: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("NewBackChannelLogout = %v, want %q", err, c.want)
			}
		})
	}
}

// TestNewGlobalTokenRevocationRefuses names what is wrong with an argument or an option.
func TestNewGlobalTokenRevocationRefuses(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory()
	allow := allowAll
	resolve := func(context.Context, signals.SubjectID) (revoke.User, error) {
		return revoke.User{}, signals.ErrUnknownUser
	}
	for _, c := range []struct {
		name      string
		store     revoke.Store
		authorize func(*http.Request) (revoke.Token, error)
		issuers   []string
		resolve   signals.Resolver
		opts      []signals.Option
		want      string
	}{
		{"no store", nil, allow, nil, resolve, nil, "store is nil"},
		{"a nil *revoke.Postgres", (*revoke.Postgres)(nil), allow, nil, resolve, nil, "store is nil"},
		{"no authorize", store, nil, nil, resolve, nil, "authorize is nil"},
		{"neither issuers nor resolver", store, allow, nil, nil, nil, "issuers nor a resolver"},
		{"empty issuer", store, allow, []string{""}, resolve, nil, "issuer is empty"},
		{"nil option", store, allow, nil, resolve, []signals.Option{nil}, "an option is nil"},
		{"WithIssuerLag", store, allow, nil, resolve, []signals.Option{signals.WithIssuerLag(1)}, "WithIssuerLag is an option of NewBackChannelLogout only"},
		{"aliases of another issuer", store, allow, []string{"a"}, resolve, []signals.Option{signals.WithIssuerAliases("x", "y")}, "which is none of"},
		{"aliases of a resolver's issuer", store, allow, nil, resolve, []signals.Option{signals.WithIssuerAliases("x", "y")}, "which is none of"},
		{"an alias that is an issuer", store, allow, []string{"a", "b"}, resolve, []signals.Option{signals.WithIssuerAliases("a", "b")}, "an issuer of its own"},
		{
			"an alias of two issuers", store, allow, []string{"a", "b"}, resolve,
			[]signals.Option{signals.WithIssuerAliases("a", "c"), signals.WithIssuerAliases("b", "c")}, `issuer "c" is named twice`,
		},
		{"quote in the realm", store, allow, nil, resolve, []signals.Option{signals.WithRealm(`"`)}, "realm"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := signals.NewGlobalTokenRevocation(c.store, c.authorize, c.issuers, c.resolve, c.opts...)
			if err == nil || !strings.HasPrefix(err.Error(), "signals: NewGlobalTokenRevocation: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("NewGlobalTokenRevocation = %v, want %q", err, c.want)
			}
		})
	}
}

// TestReceiverRecord records reason and actor.
func TestReceiverRecord(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		opts   []signals.Option
		reason string
		actor  string
	}{
		{"default", nil, "back-channel logout", ""},
		{"WithRecord", []signals.Option{signals.WithRecord(revoke.WithReason("left"), revoke.WithActor("idp"))}, "left", "idp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := revoketest.NewMemory()
			handler := testkit.Value(signals.NewBackChannelLogout(store, providerIssuer, []string{clientID}, testkit.Keyfunc("ES256"), es256,
				signals.EndUser(), c.opts...))(t)
			wantStatus(t, testkit.Serve(handler, delivery("logout_token="+logoutOf(t, nil))), 200)
			found := testkit.Value(store.Lookup(t.Context(), revoke.Token{
				Issuer: providerIssuer, Subject: "ada", IssuedAt: testStart, ExpiresAt: testStart,
			}))(t)
			if len(found) != 1 || found[0].Scope != revoke.ScopeUser || found[0].Reason != c.reason || found[0].Actor != c.actor {
				t.Errorf("recorded is %+v", found)
			}
		})
	}
}

// TestOddRequests sends both receivers requests that no proper sender sends.
func TestOddRequests(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory()
	t.Run("back-channel logout", func(t *testing.T) {
		testkit.OddRequests(t, testkit.Value(signals.NewBackChannelLogout(store, providerIssuer, []string{clientID},
			testkit.Keyfunc("ES256"), es256, signals.EndUser()))(t))
	})
	t.Run("global token revocation", func(t *testing.T) {
		testkit.OddRequests(t, testkit.Value(signals.NewGlobalTokenRevocation(store, allowAll, []string{providerIssuer}, nil))(t))
	})
}

// TestNothingIsQuoted searches reports, bodies and headers for parts of tokens.
func TestNothingIsQuoted(t *testing.T) {
	t.Parallel()
	logout := logoutOf(t, nil)
	tokens := []string{
		logout, logout + "A", logout[:len(logout)-8], logout + "." + logout, strings.ToLower(logout), "x" + logout,
		logoutOf(t, map[string]string{"aud": `"other"`}), logoutOf(t, nil, `"nonce":"n"`), logoutOf(t, nil, `"jti":"x"`),
		testkit.SignRaw(t, "ES256", logoutHeader, "not JSON but a secret"), testkit.SignRaw(t, "HS256", `{"alg":"HS256"}`, claimsText(nil)),
		testkit.SignRaw(t, "ES256", `{"alg":"ES256","typ":"a-secret-type"}`, claimsText(nil)),
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
				w := testkit.Serve(a.handler, r)
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
		t.Errorf("only %d bytes were searched", text.Len())
	}
}
