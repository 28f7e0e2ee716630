package oauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/oauth"
	"github.com/pgrevoke/revoke/revoketest"
)

// introspector is an introspection endpoint over a store.
type introspector struct {
	store   *revoketest.Faulty
	handler http.Handler
	reports reports
}

func newIntrospector(tb testing.TB, opts ...oauth.Option) *introspector {
	tb.Helper()
	s := &introspector{store: revoketest.NewFaulty(revoketest.NewMemory())}
	s.handler = testkit.Value(oauth.NewIntrospection(authenticate, kindsOver(tb, s.store), append(opts, s.reports.option())...))(tb)
	return s
}

// ask sends a token as the client "web".
func (s *introspector) ask(token string) *httptest.ResponseRecorder {
	return testkit.Serve(s.handler, byWeb(token))
}

// wantActive fails the test unless the answer is about an accepted token, and returns its members.
func wantActive(tb testing.TB, w *httptest.ResponseRecorder) map[string]any {
	tb.Helper()
	var members map[string]any
	err := json.Unmarshal(w.Body.Bytes(), &members)
	if err != nil || w.Code != 200 || members["active"] != true || w.Header().Get("Cache-Control") != "no-store" ||
		w.Header().Get("Content-Type") != "application/json" {
		tb.Errorf("%d %s with %v, %v, want an active token", w.Code, w.Body, w.Header(), err)
	}
	return members
}

// wantInactive fails the test unless the answer is the one about every token that is not accepted.
func wantInactive(tb testing.TB, w *httptest.ResponseRecorder) {
	tb.Helper()
	if w.Code != 200 || w.Body.String() != `{"active":false}` || w.Header().Get("Cache-Control") != "no-store" {
		tb.Errorf(`%d %s with %v, want {"active":false}`, w.Code, w.Body, w.Header())
	}
}

// TestRFC7662Section2_1 requires POST, a form with one token, and a client with a secret.
func TestRFC7662Section2_1(t *testing.T) {
	t.Parallel()
	token := sign(t, accessType, claims("1", nil))
	get := byWeb(token)
	get.Method = http.MethodGet
	inURL := byWeb(token)
	inURL.URL.RawQuery = "token=" + token
	for _, c := range []struct {
		name    string
		request *http.Request
		status  int
		code    string
	}{
		{"GET", get, 405, "invalid_request"},
		{"token in the URL", inURL, 400, "invalid_request"},
		{"token missing", post(by("web")), 400, "invalid_request"},
		{"token twice", post(by("web"), "token", token, "token", token), 400, "invalid_request"},
		{"hint twice", byWeb(token, "token_type_hint", "a", "token_type_hint", "a"), 400, "invalid_request"},
		{"no client", post("", "token", token), 401, "invalid_client"},
		{"a wrong secret", post(encoded("web", "x"), "token", token), 401, "invalid_client"},
		{"a public client", post("", "token", token, "client_id", "spa"), 401, "invalid_client"},
		{"the token as credentials", post("Bearer "+token, "token", token), 401, "invalid_client"},
		{"empty hint", byWeb(token, "token_type_hint", ""), 200, ""},
		{"right hint", byWeb(token, "token_type_hint", "access_token"), 200, ""},
		{"wrong hint", byWeb(token, "token_type_hint", "refresh_token"), 200, ""},
		{"unknown hint", byWeb(token, "token_type_hint", "no such type"), 200, ""},
		{"client in the body", post("", "token", token, "client_id", "api", "client_secret", secrets["api"]), 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if w := testkit.Serve(newIntrospector(t).handler, c.request); c.status == 200 {
				wantActive(t, w)
			} else {
				wantFailure(t, w, c.status, c.code)
			}
		})
	}
}

// TestRFC7662Section2_2Active answers with what was verified of a token, in the types that RFC
// 7662 requires, and nothing else. Times are integers, without fraction or exponent: the
// answers are compared as text.
func TestRFC7662Section2_2Active(t *testing.T) {
	t.Parallel()
	notBefore := time.Now().Add(-time.Minute).Unix()
	rich := claims("1", jwt.MapClaims{
		"aud": []string{"api", "web"}, "nbf": float64(notBefore) + 0.5,
		"scope": "read <write>", "username": "Ada", "email": "ada@example.org", "active": false, "Active": false, "token_type": "x",
	})
	few := claims("2", jwt.MapClaims{"sid": nil, "client_id": nil, "aud": "api", "scope": []string{"read"}, "username": 7})
	optional := claims("3", jwt.MapClaims{"sid": nil, "iat": nil, "jti": nil})
	byClaim := claims("4", jwt.MapClaims{"azp": "desk", "sid": nil})
	for _, c := range []struct {
		name   string
		typ    string
		claims jwt.MapClaims
		opts   []oauth.TokensOption
		want   map[string]any // beside active, iss, sub and exp
	}{
		{"access token", accessType, rich, nil, map[string]any{
			"jti": "1", "sid": "session-1", "client_id": "web", "aud": []any{"api", "web"}, "iat": rich["iat"], "nbf": notBefore,
			"scope": "read <write>", "username": "Ada", "token_type": "Bearer",
		}},
		{"refresh token", refreshType, rich, nil, map[string]any{
			"jti": "1", "sid": "session-1", "client_id": "web", "aud": []any{"api", "web"}, "iat": rich["iat"], "nbf": notBefore,
			"scope": "read <write>", "username": "Ada",
		}},
		{"missing claims, a username of another type, and a scope that is an array", accessType, few, nil, map[string]any{
			"jti": "2", "aud": "api", "iat": few["iat"], "token_type": "Bearer", "scope": "read",
		}},
		{"missing iat and jti", accessType, optional, []oauth.TokensOption{oauth.WithAnyClient()}, map[string]any{"token_type": "Bearer"}},
		{"another client claim", accessType, byClaim, []oauth.TokensOption{oauth.WithClientClaim("azp")}, map[string]any{
			"jti": "4", "client_id": "desk", "iat": byClaim["iat"], "token_type": "Bearer",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			memory := revoketest.NewMemory()
			lax := []revoke.ValidatorOption{revoke.WithOptionalIssuedAt(), revoke.WithOptionalID()}
			var reported reports
			handler := testkit.Value(oauth.NewIntrospection(authenticate, []oauth.Tokens{
				oauth.AccessTokens(validatorOf(t, memory, accessType, lax...), c.opts...),
				oauth.RefreshTokens(validatorOf(t, memory, refreshType, lax...), c.opts...),
			}, reported.option()))(t)
			c.want["active"], c.want["iss"], c.want["sub"], c.want["exp"] = true, testkit.Issuer, "ada", c.claims["exp"]
			w := testkit.Serve(handler, byWeb(sign(t, c.typ, c.claims)))
			wantActive(t, w)
			if want := jsonOf(t, c.want); w.Body.String() != want {
				t.Errorf("%s, want %s", w.Body, want)
			}
			if len(reported) > 0 {
				t.Errorf("reported: %v", reported)
			}
		})
	}
}

// TestTokenType says how a token that is bound to a key is presented, and to which key.
func TestTokenType(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		cnf  any
		want string
	}{
		{"DPoP", map[string]any{"jkt": "thumbprint"}, "DPoP"},
		{"mutual TLS", map[string]any{"x5t#S256": "thumbprint"}, "Bearer"},
		{"empty thumbprint", map[string]any{"jkt": ""}, "Bearer"},
		{"no text", map[string]any{"jkt": 7}, "Bearer"},
		{"another spelling", map[string]any{"JKT": "thumbprint"}, "Bearer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bound := claims("1", jwt.MapClaims{"cnf": c.cnf})
			members := wantActive(t, newIntrospector(t).ask(sign(t, accessType, bound)))
			if members["token_type"] != c.want || jsonOf(t, members["cnf"]) != jsonOf(t, c.cnf) {
				t.Errorf("the answer is %v", members)
			}
		})
	}
}

// TestRFC7662Section2_2Spoofed ignores claims that look like members of an answer.
func TestRFC7662Section2_2Spoofed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		claim any
	}{{"true", true}, {"text", "true"}, {"number", 1}, {"object", map[string]any{"active": true}}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newIntrospector(t)
			expired := claims("1", jwt.MapClaims{"active": c.claim, "exp": time.Now().Add(-time.Second).Unix()})
			wantInactive(t, s.ask(sign(t, accessType, expired)))
			good := sign(t, accessType, claims("2", jwt.MapClaims{"active": c.claim}))
			if members := wantActive(t, s.ask(good)); members["active"] != true {
				t.Errorf("active is %v", members["active"])
			}
			testkit.Must(t, s.store.RevokeToken(t.Context(), revoke.Token{Issuer: testkit.Issuer, ID: "2"}))
			wantInactive(t, s.ask(good))
		})
	}
}

// TestRFC7662Section2_2Inactive gives one answer for every token that is not accepted.
func TestRFC7662Section2_2Inactive(t *testing.T) {
	t.Parallel()
	good := sign(t, accessType, claims("1", nil))
	with := func(member string) string {
		return signPayload(t, accessType, strings.TrimSuffix(jsonOf(t, claims("1", nil)), "}")+","+member+"}")
	}
	for _, c := range []struct{ name, token string }{
		{"garbage", "garbage"},
		{"long", string(make([]byte, 9<<10))},
		{"forged", good[:len(good)-6] + "AAAAAA"},
		{"of another kind", sign(t, idType, claims("1", nil))},
		{"of another issuer", sign(t, accessType, claims("1", jwt.MapClaims{"iss": "https://evil.example"}))},
		{"expired", sign(t, accessType, claims("1", jwt.MapClaims{"exp": time.Now().Add(-time.Second).Unix()}))},
		{"not valid yet", sign(t, accessType, claims("1", jwt.MapClaims{"nbf": time.Now().Add(time.Minute).Unix()}))},
		{"without jti", sign(t, accessType, claims("1", jwt.MapClaims{"jti": nil}))},
		{"client that is no text", sign(t, accessType, claims("1", jwt.MapClaims{"client_id": 7}))},
		{"client twice", with(`"client_id":"web"`)},
		{"cnf that is no object", with(`"cnf":"x"`)},
		{"cnf twice", with(`"cnf":{},"cnf":{"jkt":"x"}`)},
		{"another spelling of jti", with(`"JTI":"2"`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newIntrospector(t)
			wantInactive(t, s.ask(c.token))
			s.reports.wantLast(t, revoke.ErrInvalidToken)
		})
	}
	t.Run("spent", func(t *testing.T) {
		t.Parallel()
		s := newIntrospector(t)
		refresh := sign(t, refreshType, claims("spent", nil))
		wantActive(t, s.ask(refresh))
		testkit.Must(t, s.store.Redeem(t.Context(), revoke.Token{Issuer: testkit.Issuer, ID: "spent", ExpiresAt: time.Now().Add(time.Hour)}))
		wantInactive(t, s.ask(refresh))
		s.reports.wantLast(t, revoke.ErrRevoked)
		wantActive(t, s.ask(good))
	})
}

// TestIntrospectionAsksEveryLevel finds a token inactive if any revocation refuses it, in each
// order in which two are written, by the iat rule and by the claim rule.
func TestIntrospectionAsksEveryLevel(t *testing.T) {
	t.Parallel()
	user := revoke.User{Issuer: testkit.Issuer, Subject: "ada"}
	levels := []struct {
		name    string
		refuses bool
		write   func(context.Context, revoke.Revoker) error
	}{
		{"token", true, func(ctx context.Context, r revoke.Revoker) error {
			return r.RevokeToken(ctx, revoke.Token{Issuer: testkit.Issuer, ID: "1"})
		}},
		{"session", true, func(ctx context.Context, r revoke.Revoker) error {
			return r.RevokeSession(ctx, revoke.Session{Issuer: testkit.Issuer, ID: "session-1"})
		}},
		{"user", true, func(ctx context.Context, r revoke.Revoker) error { _, err := r.RevokeUser(ctx, user); return err }},
		{"issuer", true, func(ctx context.Context, r revoke.Revoker) error {
			_, err := r.RevokeIssuer(ctx, testkit.Issuer)
			return err
		}},
		{"an old epoch of the user", false, func(ctx context.Context, r revoke.Revoker) error {
			return r.RevokeUserBefore(ctx, user, time.Unix(1000, 0))
		}},
		{"another user", false, func(ctx context.Context, r revoke.Revoker) error {
			_, err := r.RevokeUser(ctx, revoke.User{Issuer: testkit.Issuer, Subject: "bob"})
			return err
		}},
	}
	rules := []struct {
		name   string
		opts   []revoke.ValidatorOption
		epochs any
	}{
		{"by iat", nil, nil},
		{"by claim", []revoke.ValidatorOption{revoke.WithEpochClaim()}, []int64{time.Unix(1000, 0).UnixMicro(), 0}},
	}
	for _, rule := range rules {
		for _, first := range levels {
			for _, second := range levels {
				t.Run(rule.name+"/"+first.name+", then "+second.name, func(t *testing.T) {
					t.Parallel()
					memory := revoketest.NewMemory()
					handler := testkit.Value(oauth.NewIntrospection(authenticate, kindsOver(t, memory, rule.opts...)))(t)
					testkit.Must(t, first.write(t.Context(), memory))
					testkit.Must(t, second.write(t.Context(), memory))
					w := testkit.Serve(handler, byWeb(sign(t, accessType, claims("1", jwt.MapClaims{"epochs": rule.epochs}))))
					if first.refuses || second.refuses {
						wantInactive(t, w)
					} else {
						wantActive(t, w)
					}
				})
			}
		}
	}
}

// TestRFC7662Section4 withholds tokens from clients that they are not for.
func TestRFC7662Section4(t *testing.T) {
	t.Parallel()
	may := oauth.WithDisclosure(func(_ context.Context, c oauth.Client, token *revoke.Verified) ([]string, error) {
		if c.ID == "other" || token.Subject == "root" {
			return nil, oauth.ErrNotAllowed
		}
		return nil, nil
	})
	for _, c := range []struct {
		name    string
		client  string
		typ     string
		changes jwt.MapClaims
		kind    []oauth.TokensOption
		active  bool
	}{
		{"access token", "api", accessType, nil, nil, true},
		{"own refresh token", "web", refreshType, nil, nil, true},
		{"client that may not", "other", accessType, nil, nil, false},
		{"token that the client may not", "web", accessType, jwt.MapClaims{"sub": "root"}, nil, false},
		{"refresh token of another client, which would pass for an access token", "api", refreshType, nil, nil, false},
		{"refresh token without a client", "api", refreshType, jwt.MapClaims{"client_id": nil}, nil, false},
		{"access token of any client", "web", accessType, nil, []oauth.TokensOption{oauth.WithAnyClient()}, true},
		{"refresh token of any client", "web", refreshType, nil, []oauth.TokensOption{oauth.WithAnyClient()}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var reported reports
			memory := revoketest.NewMemory()
			handler := testkit.Value(oauth.NewIntrospection(authenticate, []oauth.Tokens{
				oauth.AccessTokens(validatorOf(t, memory, accessType), c.kind...),
				oauth.RefreshTokens(validatorOf(t, memory, refreshType), c.kind...),
			}, may, reported.option()))(t)
			w := testkit.Serve(handler, post(by(c.client), "token", sign(t, c.typ, claims("1", c.changes))))
			if c.active {
				wantActive(t, w)
				return
			}
			wantInactive(t, w)
			reported.wantLast(t, oauth.ErrNotAllowed)
		})
	}
}

// TestIntrospectionMembers adds what the app knows, but nothing about what was verified.
func TestIntrospectionMembers(t *testing.T) {
	t.Parallel()
	var failure error
	var unencodable any
	s := newIntrospector(t, oauth.WithMembers(func(_ context.Context, client oauth.Client, token *revoke.Verified) (map[string]any, error) {
		var of struct {
			ClientID string `json:"client_id"`
		}
		if err := token.Claims(&of); err != nil || client.ID != "web" || token.ID != "1" || of.ClientID != "web" {
			t.Errorf("called with %+v, %+v and %+v, %v", client, token, of, err)
		}
		return map[string]any{
			"email": "ada@example.org", "username": "Ada", "scope": "everything",
			"active": false, "iss": "x", "sub": "x", "aud": "x", "jti": "x", "sid": "x", "client_id": "x",
			"iat": 1, "exp": 1, "nbf": 1, "token_type": "x", "cnf": "x",
			// As a client in Go reads them.
			"Active": false, "SUB": "root", "Sid": "x", "Scope": "everything", "\u017fid": "x",
			"unencodable": unencodable,
		}, failure
	}))
	now := float64(time.Now().Unix())
	token := sign(t, accessType, claims("1", jwt.MapClaims{"scope": "read", "sid": nil, "iat": now, "exp": now + 60}))
	want := map[string]any{
		"active": true, "iss": testkit.Issuer, "sub": "ada", "jti": "1", "client_id": "web", "token_type": "Bearer", "scope": "read",
		"iat": now, "exp": now + 60, "email": "ada@example.org", "username": "Ada", "unencodable": nil,
	}
	if got := wantActive(t, s.ask(token)); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	wantInactive(t, s.ask("garbage"))
	failure = errors.New("the accounts are away")
	wantFailure(t, s.ask(token), 503, "temporarily_unavailable")
	s.reports.wantLast(t, failure)
	failure = errors.Join(revoke.ErrInvalidToken, revoke.ErrUnavailable)
	wantFailure(t, s.ask(token), 503, "temporarily_unavailable")
	// The token is accepted, and not withheld from the client.
	failure = fmt.Errorf("the accounts: %w", oauth.ErrNotAllowed)
	wantFailure(t, s.ask(token), 503, "temporarily_unavailable")
	s.reports.wantLast(t, revoke.ErrUnavailable)
	failure, unencodable = nil, func() {}
	wantFailure(t, s.ask(token), 503, "temporarily_unavailable")
	s.reports.wantLast(t, revoke.ErrUnavailable)
}

// TestMembersOfUnusableClaims makes a token inactive if its claims do not fit the app's type.
func TestMembersOfUnusableClaims(t *testing.T) {
	t.Parallel()
	s := newIntrospector(t, oauth.WithMembers(func(_ context.Context, _ oauth.Client, token *revoke.Verified) (map[string]any, error) {
		var of struct {
			Tenant string `json:"tenant"`
		}
		err := token.Claims(&of)
		return map[string]any{"tenant": of.Tenant}, err
	}))
	if members := wantActive(t, s.ask(sign(t, accessType, claims("1", jwt.MapClaims{"tenant": "one"})))); members["tenant"] != "one" {
		t.Errorf("the answer is %v", members)
	}
	wantInactive(t, s.ask(sign(t, accessType, claims("1", jwt.MapClaims{"tenant": 7}))))
	s.reports.wantLast(t, revoke.ErrInvalidToken)
}

// TestRFC7662Section2_3Unavailable answers 503, and not inactive, if the outcome is unknown.
func TestRFC7662Section2_3Unavailable(t *testing.T) {
	t.Parallel()
	for _, fault := range []struct {
		name string
		fail func(*revoketest.Faulty, error)
	}{{"down", (*revoketest.Faulty).Fail}, {"answer lost", (*revoketest.Faulty).FailAfter}} {
		for _, typ := range []string{accessType, refreshType} {
			t.Run(fault.name+"/"+typ, func(t *testing.T) {
				t.Parallel()
				s := newIntrospector(t)
				fault.fail(s.store, errors.New("it is down"))
				wantFailure(t, s.ask(sign(t, typ, claims("1", nil))), 503, "temporarily_unavailable")
				s.reports.wantLast(t, revoke.ErrUnavailable)
				wantInactive(t, s.ask("garbage"))
				s.store.Fail(nil)
				wantActive(t, s.ask(sign(t, typ, claims("1", nil))))
			})
		}
	}
	t.Run("clients", func(t *testing.T) {
		t.Parallel()
		handler := testkit.Value(oauth.NewIntrospection(oauth.AuthenticateClient(func(context.Context, string, string) (oauth.Client, error) {
			return oauth.Client{ID: "web"}, errors.New("the table of clients is away")
		}), kindsOver(t, revoketest.NewMemory())))(t)
		wantFailure(t, testkit.Serve(handler, byWeb("x")), 503, "temporarily_unavailable")
	})
	t.Run("slow store", func(t *testing.T) {
		t.Parallel()
		testkit.TestKeys()
		synctest.Test(t, func(t *testing.T) {
			slow := testkit.SlowStore{Store: revoketest.NewMemory()}
			handler := testkit.Value(oauth.NewIntrospection(authenticate, kindsOver(t, slow)))(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			w := testkit.Serve(handler, byWeb(sign(t, accessType, claims("1", nil))).WithContext(ctx))
			wantFailure(t, w, 503, "temporarily_unavailable")
		})
	})
}

// TestNewIntrospectionRefuses names what is wrong with an argument or an option.
func TestNewIntrospectionRefuses(t *testing.T) {
	t.Parallel()
	kinds := kindsOver(t, revoketest.NewMemory())
	for _, c := range []struct {
		name     string
		callback oauth.AuthenticateClient
		kinds    []oauth.Tokens
		opts     []oauth.Option
		want     string
	}{
		{"no callback", nil, kinds, nil, "authenticates clients is nil"},
		{"zero kind", authenticate, []oauth.Tokens{{}}, nil, "has no validator"},
		{"nil option", authenticate, kinds, []oauth.Option{nil}, "an option is nil"},
		{"nil function of WithDisclosure", authenticate, kinds, []oauth.Option{oauth.WithDisclosure(nil)}, "WithDisclosure is nil"},
		{"nil function of WithMembers", authenticate, kinds, []oauth.Option{oauth.WithMembers(nil)}, "WithMembers is nil"},
		{"retry after 0", authenticate, kinds, []oauth.Option{oauth.WithRetryAfter(0)}, "retry after 0s"},
		{"WithWholeSession", authenticate, kinds, []oauth.Option{oauth.WithWholeSession()}, "WithWholeSession is an option of NewRevocation only"},
		{"WithRecord", authenticate, kinds, []oauth.Option{oauth.WithRecord()}, "WithRecord is an option of NewRevocation only"},
		{"WithUnsupported", authenticate, kinds, []oauth.Option{oauth.WithUnsupported(kinds...)}, "WithUnsupported is an option of NewRevocation only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := oauth.NewIntrospection(c.callback, c.kinds, c.opts...)
			if err == nil || !strings.HasPrefix(err.Error(), "oauth: NewIntrospection: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("NewIntrospection = %v, want %q", err, c.want)
			}
		})
	}
}
