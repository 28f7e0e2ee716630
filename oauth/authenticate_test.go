package oauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/oauth"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// callerType is the typ of the tokens with which APIs authenticate.
const callerType = "caller+jwt"

// byBearer authenticates a caller by a bearer token of its own, as RFC 7662 §2.1 describes.
func byBearer(tb testing.TB, store revoke.Store) oauth.Authenticate {
	tb.Helper()
	callers := validatorOf(tb, store, callerType)
	return func(r *http.Request) (oauth.Client, error) {
		text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			return oauth.Client{}, revokehttp.ErrNoToken
		}
		token, err := callers.Validate(r.Context(), text)
		if err != nil {
			return oauth.Client{}, err
		}
		return oauth.Client{ID: token.Subject}, nil
	}
}

// TestAuthenticateByBearer introspects and revokes as a caller with a token of its own.
func TestAuthenticateByBearer(t *testing.T) {
	t.Parallel()
	store := revoketest.NewFaulty(revoketest.NewMemory())
	introspection := testkit.Value(oauth.NewIntrospection(byBearer(t, store), kindsOver(t, store)))(t)
	revocation := testkit.Value(oauth.NewRevocation(store, byBearer(t, store), kindsOver(t, store)))(t)
	caller := sign(t, callerType, claims("caller", jwt.MapClaims{"sub": "web"}))
	late := sign(t, callerType, claims("late", jwt.MapClaims{"sub": "web", "exp": time.Now().Add(-time.Minute).Unix()}))
	access := sign(t, accessType, claims("1", nil))
	for _, c := range []struct {
		name, authorization string
		status              int
		challenge           string
	}{
		{"no token", "", 401, `Bearer realm="api"`},
		{"Basic", "Basic d2ViOnNlY3JldA==", 401, `Bearer realm="api"`},
		{"the token that is asked about", "Bearer " + access, 401, `Bearer realm="api", error="invalid_token"`},
		{"expired", "Bearer " + late, 401, `Bearer realm="api", error="invalid_token"`},
		{"caller", "Bearer " + caller, 200, ""},
	} {
		for _, handler := range []http.Handler{introspection, revocation} {
			w := testkit.Serve(handler, post(c.authorization, "token", access))
			if w.Code != c.status || w.Header().Get("WWW-Authenticate") != c.challenge {
				t.Errorf("%s: %d with %v", c.name, w.Code, w.Header())
			}
		}
	}
	if _, err := validatorOf(t, store, accessType).Validate(t.Context(), access); !errors.Is(err, revoke.ErrRevoked) {
		t.Errorf("after the revocation: %v", err)
	}
	testkit.Must(t, store.RevokeToken(t.Context(), revoke.Token{Issuer: testkit.Issuer, ID: "caller"}))
	if w := testkit.Serve(introspection, post("Bearer "+caller, "token", access)); w.Code != 401 {
		t.Errorf("a revoked caller: %d", w.Code)
	}
	store.Fail(errors.New("it is down"))
	if w := testkit.Serve(introspection, post("Bearer "+caller, "token", access)); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("an outage: %d with %v", w.Code, w.Header())
	}
}

// TestAuthenticateErrors answers by what the function says, before anything of the token is looked
// at.
func TestAuthenticateErrors(t *testing.T) {
	t.Parallel()
	api := oauth.Client{ID: "api"}
	for _, c := range []struct {
		name   string
		client oauth.Client
		err    error
		status int
		code   string
	}{
		{"client", api, nil, 200, ""},
		{"public client", oauth.Client{ID: "api", Public: true}, nil, 401, "invalid_client"},
		{"client without an id", oauth.Client{}, nil, 503, "temporarily_unavailable"},
		{"unknown client", api, fmt.Errorf("x: %w", oauth.ErrInvalidClient), 401, "invalid_client"},
		{"no token", api, revokehttp.ErrNoToken, 401, "invalid_client"},
		{"invalid token", api, fmt.Errorf("x: %w", revoke.ErrInvalidToken), 401, "invalid_token"},
		{"revoked token", api, &revoke.RevokedError{Scope: revoke.ScopeToken}, 401, "invalid_token"},
		{"not allowed", api, oauth.ErrNotAllowed, 403, "insufficient_scope"},
		{"bad request", api, oauth.ErrBadRequest, 400, "invalid_request"},
		{"unavailable", api, revoke.ErrUnavailable, 503, "temporarily_unavailable"},
		{"invalid and unavailable", api, errors.Join(oauth.ErrInvalidClient, revoke.ErrUnavailable), 503, "temporarily_unavailable"},
		{"another error", api, errors.New("it is down"), 503, "temporarily_unavailable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var seen reports
			store := revoketest.NewMemory()
			handler := testkit.Value(oauth.NewIntrospection(oauth.Authenticate(func(*http.Request) (oauth.Client, error) { return c.client, c.err }),
				kindsOver(t, store), seen.option()))(t)
			for _, token := range []string{sign(t, accessType, claims("1", nil)), "x"} {
				w := testkit.Serve(handler, post("", "token", token))
				if w.Code != c.status || c.code != "" && !strings.Contains(w.Body.String(), `"error":"`+c.code+`"`) {
					t.Errorf("%d %s, want %d and %s", w.Code, w.Body, c.status, c.code)
				}
				if c.err != nil {
					seen.wantLast(t, c.err)
				}
			}
		})
	}
}

// TestOneAuthorization refuses several Authorization headers, of which a function would read the
// first, and a proxy may have looked at another.
func TestOneAuthorization(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory()
	access := sign(t, accessType, claims("1", nil))
	caller := "Bearer " + sign(t, callerType, claims("caller", jwt.MapClaims{"sub": "web"}))
	for name, by := range map[string]oauth.Authenticator{"a function": byBearer(t, store), "a secret": authenticate} {
		r := post(caller, "token", access)
		r.Header.Add("Authorization", "Basic d2ViOnNlY3JldA==")
		w := testkit.Serve(testkit.Value(oauth.NewIntrospection(by, kindsOver(t, store)))(t), r)
		if w.Code != 400 || !strings.Contains(w.Body.String(), "2 Authorization headers") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// TestAnswerOfAnotherEndpoint answers 503 to an error that would be another endpoint's answer.
func TestAnswerOfAnotherEndpoint(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory()
	var refusals reports
	other := testkit.Value(oauth.NewIntrospection(authenticate, kindsOver(t, store), refusals.option()))(t)
	testkit.Serve(other, post("", "token", "x")) // 401
	foreign := refusals[0]
	byFunction := oauth.Authenticate(func(*http.Request) (oauth.Client, error) {
		return oauth.Client{}, fmt.Errorf("%w: %w", revoke.ErrUnavailable, foreign)
	})
	bySecret := oauth.AuthenticateClient(func(context.Context, string, string) (oauth.Client, error) {
		return oauth.Client{}, fmt.Errorf("%w: %w", revoke.ErrUnavailable, foreign)
	})
	disclosure := oauth.WithDisclosure(func(context.Context, oauth.Client, *revoke.Verified) ([]string, error) { return nil, foreign })
	members := oauth.WithMembers(func(context.Context, oauth.Client, *revoke.Verified) (map[string]any, error) { return nil, foreign })
	for _, c := range []struct {
		name string
		by   oauth.Authenticator
		opts []oauth.Option
	}{
		{"Authenticate", byFunction, nil},
		{"AuthenticateClient", bySecret, nil},
		{"WithDisclosure", authenticate, []oauth.Option{disclosure}},
		{"WithMembers", authenticate, []oauth.Option{members}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var seen reports
			handler := testkit.Value(oauth.NewIntrospection(c.by, kindsOver(t, store), append(c.opts, seen.option())...))(t)
			wantFailure(t, testkit.Serve(handler, byWeb(sign(t, accessType, claims("1", nil)))), 503, "temporarily_unavailable")
			seen.wantLast(t, revoke.ErrUnavailable)
		})
	}
}

// TestAuthenticateSeesTheForm gives the function the parameters of an assertion, each of
// which occurs once, and reads the token all the same.
func TestAuthenticateSeesTheForm(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory()
	handler := testkit.Value(oauth.NewIntrospection(oauth.Authenticate(func(r *http.Request) (oauth.Client, error) {
		if r.PostFormValue("client_assertion") != "signed" || r.FormValue("client_assertion_type") != "jwt-bearer" || len(r.PostForm["token"]) != 1 {
			return oauth.Client{}, oauth.ErrInvalidClient
		}
		return oauth.Client{ID: "api"}, nil
	}), kindsOver(t, store)))(t)
	token := sign(t, accessType, claims("1", nil))
	assertion := []string{"token", token, "client_assertion", "signed", "client_assertion_type", "jwt-bearer"}
	if w := testkit.Serve(handler, post("", assertion...)); w.Code != 200 || !strings.HasPrefix(w.Body.String(), `{"active":true`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, twice := range []string{"client_assertion", "client_assertion_type"} {
		if w := testkit.Serve(handler, post("", append(slices.Clone(assertion), twice, "x")...)); w.Code != 400 {
			t.Errorf("%s twice: %d", twice, w.Code)
		}
	}
	if w := testkit.Serve(handler, post("", "token", token)); w.Code != 401 {
		t.Errorf("no assertion: %d", w.Code)
	}
}

// TestDisclosure withholds members, and whole tokens, from a client by the token's claims.
func TestDisclosure(t *testing.T) {
	t.Parallel()
	members := oauth.WithMembers(func(context.Context, oauth.Client, *revoke.Verified) (map[string]any, error) {
		return map[string]any{"scope": "read", "plan": "free"}, nil
	})
	withhold := func(names []string, err error) oauth.Option {
		return oauth.WithDisclosure(func(_ context.Context, _ oauth.Client, token *revoke.Verified) ([]string, error) {
			var c struct {
				Audience jwt.ClaimStrings `json:"aud"`
			}
			if err := token.Claims(&c); err != nil {
				return nil, err
			}
			if !slices.Contains(c.Audience, "api") {
				return nil, oauth.ErrNotAllowed
			}
			return names, err
		})
	}
	all := []string{"active", "aud", "client_id", "exp", "iat", "iss", "jti", "plan", "scope", "sid", "sub", "token_type"}
	without := func(names ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(names, name) })
	}
	for _, c := range []struct {
		name     string
		audience string
		withheld []string
		err      error
		status   int
		members  []string
		scope    string
	}{
		{"nothing withheld", "api", nil, nil, 200, all, "read write"},
		{"of another audience", "other", nil, nil, 200, []string{"active"}, ""},
		{"the user", "api", []string{"sub", "sid", "jti", "username"}, nil, 200, without("sub", "sid", "jti"), "read write"},
		{"a narrower scope", "api", []string{"scope"}, nil, 200, all, "read"},
		{"what WithMembers adds", "api", []string{"Plan"}, nil, 200, without("plan"), "read write"},
		{"exp", "api", []string{"exp"}, nil, 503, []string{"error", "error_description"}, ""},
		{"aud", "api", []string{"aud"}, nil, 503, []string{"error", "error_description"}, ""},
		{"an invalid token", "api", nil, revoke.ErrInvalidToken, 200, []string{"active"}, ""},
		{"an outage", "api", nil, errors.New("it is down"), 503, []string{"error", "error_description"}, ""},
		{"not allowed, and an outage", "api", nil, errors.Join(oauth.ErrNotAllowed, revoke.ErrUnavailable), 503, []string{"error", "error_description"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newIntrospector(t, members, withhold(c.withheld, c.err))
			token := sign(t, accessType, claims("1", jwt.MapClaims{"aud": c.audience, "scope": []string{"read", "write"}}))
			w := testkit.Serve(s.handler, byWeb(token))
			if w.Code == 503 {
				s.reports.wantLast(t, revoke.ErrUnavailable)
			}
			answer := decoded(t, w.Body.String())
			if got := slices.Sorted(maps.Keys(answer)); w.Code != c.status || !slices.Equal(got, c.members) {
				t.Errorf("%d %s, want %d with %q", w.Code, w.Body, c.status, c.members)
			}
			if scope, _ := answer["scope"].(string); scope != c.scope {
				t.Errorf("the scope is %q, want %q", scope, c.scope)
			}
		})
	}
}

// TestScopeArray writes a scope that is an array as a string, if no element could pass for two.
func TestScopeArray(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]string{
		`["read","write"]`: "read write", `["read"]`: "read", `[]`: "", `["read write"]`: "", `["read",""]`: "", `["a\"b"]`: "", `["read",1]`: "",
		`["read",null]`: "", `[["read"]]`: "", `{"read":1}`: "", `"read write"`: "read write", `["caf\u00e9"]`: "",
	} {
		t.Run(payload, func(t *testing.T) {
			t.Parallel()
			s := newIntrospector(t)
			plain := jsonOf(t, claims("1", nil))
			token := signPayload(t, accessType, plain[:len(plain)-1]+`,"scope":`+payload+`}`)
			answer := decoded(t, testkit.Serve(s.handler, byWeb(token)).Body.String())
			scope, found := answer["scope"]
			if answer["active"] != true || found != (want != "") || found && scope != want {
				t.Errorf("%v, want the scope %q", answer, want)
			}
		})
	}
}

// decoded returns the members of an answer.
func decoded(tb testing.TB, body string) (members map[string]any) {
	tb.Helper()
	testkit.Must(tb, json.Unmarshal([]byte(body), &members))
	return members
}
