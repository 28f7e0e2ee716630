package revokehttp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// introspector is an introspection endpoint over a store.
type introspector struct {
	testing.TB
	store   *revoketest.Faulty
	handler http.Handler
	reports reports
}

func newIntrospector(tb testing.TB, opts ...revokehttp.IntrospectionOption) *introspector {
	tb.Helper()
	s := &introspector{TB: tb, store: revoketest.NewFaulty(revoketest.NewMemory())}
	var err error
	s.handler, err = revokehttp.NewIntrospection(authenticate, kindsOver(tb, s.store), append(opts, s.reports.option())...)
	must(tb, err)
	return s
}

// active returns the members of the answer about a token that is alive.
func active(tb testing.TB, w *httptest.ResponseRecorder) map[string]any {
	tb.Helper()
	var members map[string]any
	err := json.Unmarshal(w.Body.Bytes(), &members)
	if err != nil || w.Code != 200 || members["active"] != true || w.Header().Get("Cache-Control") != "no-store" ||
		w.Header().Get("Content-Type") != "application/json" {
		tb.Errorf("%d %s with %v, %v, want an active token", w.Code, w.Body, w.Header(), err)
	}
	return members
}

// inactive expects the one answer about what is not alive.
func inactive(tb testing.TB, w *httptest.ResponseRecorder) {
	tb.Helper()
	if w.Code != 200 || w.Body.String() != `{"active":false}` || w.Header().Get("Cache-Control") != "no-store" {
		tb.Errorf(`%d %s with %v, want {"active":false}`, w.Code, w.Body, w.Header())
	}
}

// TestRFC7662Section2_1 demands POST, a form with one token, and a client with a secret.
func TestRFC7662Section2_1(t *testing.T) {
	t.Parallel()
	s := newIntrospector(t)
	token := sign(t, accessType, claims("1", nil))
	header := encoded("web", testSecrets["web"])
	get := byWeb(token)
	get.Method = http.MethodGet
	inURL := byWeb(token)
	inURL.URL.RawQuery = "token=" + token
	for what, want := range map[string]struct {
		request *http.Request
		status  int
		code    string
	}{
		"GET":              {get, 405, "invalid_request"},
		"token in the URL": {inURL, 400, "invalid_request"},
		"token missing":    {post(header), 400, "invalid_request"},
		"token twice":      {post(header, "token", token, "token", token), 400, "invalid_request"},
		"hint twice":       {byWeb(token, "token_type_hint", "a", "token_type_hint", "a"), 400, "invalid_request"},
		"nobody":           {post("", "token", token), 401, "invalid_client"},
		"a wrong secret":   {post(encoded("web", "x"), "token", token), 401, "invalid_client"},
		"a public client":  {post("", "token", token, "client_id", "spa"), 401, "invalid_client"},
		"the token itself": {post("Bearer "+token, "token", token), 401, "invalid_client"},
	} {
		w := answer(s.handler, want.request)
		fails(t, w, want.status, want.code)
		if t.Failed() {
			t.Fatal(what)
		}
	}
	for _, hint := range []string{"", "access_token", "refresh_token", "no such type"} {
		active(t, answer(s.handler, byWeb(token, "token_type_hint", hint)))
	}
	active(t, answer(s.handler, post("", "token", token, "client_id", "api", "client_secret", testSecrets["api"])))
}

// TestRFC7662Section2_2Active says of a token what was verified, in the types that RFC 7662 wants, and nothing else.
func TestRFC7662Section2_2Active(t *testing.T) {
	t.Parallel()
	s := newIntrospector(t)
	notBefore := time.Now().Add(-time.Minute).Unix()
	c := claims("1", jwt.MapClaims{
		"aud": []string{"api", "web"}, "nbf": float64(notBefore) - 0.5,
		"scope": "read <write>", "username": "Ada", "email": "ada@example.org", "active": false, "Active": false, "token_type": "x",
	})
	want := map[string]any{
		"active": true, "iss": testIssuer, "sub": "ada", "jti": "1", "sid": "session-1", "client_id": "web", "aud": []any{"api", "web"},
		"iat": c["iat"], "exp": c["exp"], "nbf": notBefore, "scope": "read <write>", "username": "Ada",
		"token_type": "Bearer",
	}
	expect := func(w *httptest.ResponseRecorder, want map[string]any) {
		t.Helper()
		active(t, w)
		text, err := json.Marshal(want)
		must(t, err)
		if w.Body.String() != string(text) { // so times are integers, without fraction or exponent
			t.Errorf("%s, want %s", w.Body, text)
		}
	}
	expect(answer(s.handler, byWeb(sign(t, accessType, c))), want)
	delete(want, "token_type")
	expect(answer(s.handler, byWeb(sign(t, refreshType, c))), want)

	// What is missing, or of another type, is left out.
	few := claims("2", jwt.MapClaims{"sid": nil, "client_id": nil, "aud": "api", "scope": []string{"read"}, "username": 7, "cnf": "x"})
	expect(answer(s.handler, byWeb(sign(t, accessType, few))), map[string]any{
		"active": true, "iss": testIssuer, "sub": "ada", "jti": "2", "aud": "api", "iat": few["iat"], "exp": few["exp"], "token_type": "Bearer",
	})
	handler, err := revokehttp.NewIntrospection(authenticate, []revokehttp.Tokens{
		revokehttp.AccessTokens(validatorOf(t, s.store, accessType, revoke.WithOptionalIssuedAt(), revoke.WithOptionalID()), nil),
	})
	must(t, err)
	few = claims("3", jwt.MapClaims{"sid": nil, "iat": nil, "jti": nil})
	expect(answer(handler, byWeb(sign(t, accessType, few))), map[string]any{
		"active": true, "iss": testIssuer, "sub": "ada", "exp": few["exp"], "token_type": "Bearer",
	})
	// A token that is bound to a key says to which.
	for member, want := range map[string]string{"jkt": "DPoP", "x5t#S256": "Bearer"} {
		bound := claims("4", jwt.MapClaims{"cnf": map[string]any{member: "thumbprint"}})
		members := active(t, answer(s.handler, byWeb(sign(t, accessType, bound))))
		if members["token_type"] != want || !reflect.DeepEqual(members["cnf"], bound["cnf"]) {
			t.Errorf("a token bound by %s is %v", member, members)
		}
	}
	if len(s.reports) > 0 {
		t.Errorf("reported: %v", s.reports)
	}
}

// TestRFC7662Section2_2Spoofed is not impressed by claims that look like an answer (scenario 78).
func TestRFC7662Section2_2Spoofed(t *testing.T) {
	t.Parallel()
	s := newIntrospector(t)
	for _, spoof := range []any{true, "true", 1, map[string]any{"active": true}} {
		c := claims("1", jwt.MapClaims{"active": spoof, "exp": time.Now().Add(-time.Second).Unix()})
		inactive(t, answer(s.handler, byWeb(sign(t, accessType, c))))
		c = claims("2", jwt.MapClaims{"active": spoof})
		if members := active(t, answer(s.handler, byWeb(sign(t, accessType, c)))); members["active"] != true {
			t.Errorf("active is %v", members["active"])
		}
	}
	must(t, s.store.RevokeToken(t.Context(), revoke.Token{Issuer: testIssuer, ID: "2"}))
	inactive(t, answer(s.handler, byWeb(sign(t, accessType, claims("2", jwt.MapClaims{"active": true})))))
}

// TestRFC7662Section2_2Inactive says the same of all that is not alive (scenario 78).
func TestRFC7662Section2_2Inactive(t *testing.T) {
	t.Parallel()
	s := newIntrospector(t)
	good := sign(t, accessType, claims("1", nil))
	for what, token := range map[string]string{
		"garbage": "garbage", "long": string(make([]byte, 9<<10)), "forged": good[:len(good)-6] + "AAAAAA",
		"of another kind":   sign(t, idType, claims("1", nil)),
		"of another issuer": sign(t, accessType, claims("1", jwt.MapClaims{"iss": "https://evil.example"})),
		"expired":           sign(t, accessType, claims("1", jwt.MapClaims{"exp": time.Now().Add(-time.Second).Unix()})),
		"not valid yet":     sign(t, accessType, claims("1", jwt.MapClaims{"nbf": time.Now().Add(time.Minute).Unix()})),
		"without jti":       sign(t, accessType, claims("1", jwt.MapClaims{"jti": nil})),
	} {
		inactive(t, answer(s.handler, byWeb(token)))
		s.reports.last(t, revoke.ErrInvalidToken)
		if t.Failed() {
			t.Fatal(what)
		}
	}
	refresh := claims("spent", nil)
	active(t, answer(s.handler, byWeb(sign(t, refreshType, refresh))))
	must(t, s.store.Redeem(t.Context(), revoke.Token{Issuer: testIssuer, ID: "spent", ExpiresAt: time.Now().Add(time.Hour)}))
	inactive(t, answer(s.handler, byWeb(sign(t, refreshType, refresh))))
	s.reports.last(t, revoke.ErrRevoked)
	active(t, answer(s.handler, byWeb(good)))
}

// TestIntrospectionAsksEveryLevel refuses a token that any record kills, in whatever order they were written, with times of issue and
// with the epoch claim (scenarios 63, 64 and 66).
func TestIntrospectionAsksEveryLevel(t *testing.T) {
	t.Parallel()
	c := claims("1", nil)
	user := revoke.User{Issuer: testIssuer, Subject: "ada"}
	levels := map[string]func(context.Context, revoke.Revoker) error{
		"token": func(ctx context.Context, r revoke.Revoker) error {
			return r.RevokeToken(ctx, revoke.Token{Issuer: testIssuer, ID: "1"})
		},
		"session": func(ctx context.Context, r revoke.Revoker) error {
			return r.RevokeSession(ctx, revoke.Session{Issuer: testIssuer, ID: "session-1"})
		},
		"user": func(ctx context.Context, r revoke.Revoker) error { _, err := r.RevokeUser(ctx, user); return err },
		"issuer": func(ctx context.Context, r revoke.Revoker) error {
			_, err := r.RevokeIssuer(ctx, testIssuer)
			return err
		},
		"a user's old epoch": func(ctx context.Context, r revoke.Revoker) error {
			return r.RevokeUserBefore(ctx, user, time.Unix(1000, 0))
		},
		"another user": func(ctx context.Context, r revoke.Revoker) error {
			_, err := r.RevokeUser(ctx, revoke.User{Issuer: testIssuer, Subject: "bob"})
			return err
		},
	}
	harmless := []string{"a user's old epoch", "another user"}
	for _, byClaim := range []bool{false, true} {
		for first := range maps.Keys(levels) {
			for second := range maps.Keys(levels) {
				memory := revoketest.NewMemory()
				var opts []revoke.ValidatorOption
				c["epochs"] = nil
				if byClaim {
					opts = append(opts, revoke.WithEpochClaim())
					c["epochs"] = []int64{time.Unix(1000, 0).UnixMicro(), 0}
				}
				handler, err := revokehttp.NewIntrospection(authenticate, kindsOver(t, memory, opts...))
				must(t, err)
				token := sign(t, accessType, claims("1", jwt.MapClaims{"epochs": c["epochs"]}))
				must(t, levels[first](t.Context(), memory))
				must(t, levels[second](t.Context(), memory))
				w := answer(handler, byWeb(token))
				if slices.Contains(harmless, first) && slices.Contains(harmless, second) {
					active(t, w)
				} else {
					inactive(t, w)
				}
				if t.Failed() {
					t.Fatalf("after %s and %s, by claim: %v", first, second, byClaim)
				}
			}
		}
	}
}

// TestRFC7662Section4 keeps tokens from clients that have no business with them.
func TestRFC7662Section4(t *testing.T) {
	t.Parallel()
	s := newIntrospector(t, revokehttp.WithMayIntrospect(func(c revokehttp.Client, token revoke.Token) bool {
		return c.ID != "other" && token.Subject != "root"
	}))
	by := func(client, typ string, changes jwt.MapClaims) *httptest.ResponseRecorder {
		return answer(s.handler, post(encoded(client, testSecrets[client]), "token", sign(t, typ, claims("1", changes))))
	}
	active(t, by("api", accessType, nil))
	active(t, by("web", refreshType, nil))
	for _, w := range []*httptest.ResponseRecorder{
		by("other", accessType, nil), by("web", accessType, jwt.MapClaims{"sub": "root"}),
		by("api", refreshType, nil), // it would pass for an access token there
		by("api", refreshType, jwt.MapClaims{"client_id": nil}),
	} {
		inactive(t, w)
		s.reports.last(t, revokehttp.ErrNotAllowed)
	}
	handler, err := revokehttp.NewIntrospection(authenticate, []revokehttp.Tokens{
		revokehttp.AccessTokens(validatorOf(t, s.store, accessType), nil), revokehttp.RefreshTokens(validatorOf(t, s.store, refreshType), nil),
	})
	must(t, err)
	active(t, answer(handler, byWeb(sign(t, accessType, claims("1", nil)))))
	inactive(t, answer(handler, byWeb(sign(t, refreshType, claims("1", nil))))) // whose it is, nobody can say
}

// TestIntrospectionMembers adds what an app knows, and lets it say nothing else about what was verified.
func TestIntrospectionMembers(t *testing.T) {
	t.Parallel()
	var failure error
	var unwritable any
	s := newIntrospector(t, revokehttp.WithMembers(func(_ context.Context, client revokehttp.Client, token revoke.Token, c any) (map[string]any, error) {
		if of, ok := c.(*appClaims); !ok || client.ID != "web" || token.ID != "1" || of.ClientID != "web" {
			t.Errorf("asked for %+v, %+v and %+v", client, token, c)
		}
		return map[string]any{
			"email": "ada@example.org", "username": "Ada", "scope": "everything",
			"active": false, "iss": "x", "sub": "x", "aud": "x", "jti": "x", "sid": "x", "client_id": "x",
			"iat": 1, "exp": 1, "nbf": 1, "token_type": "x", "cnf": "x",
			"Active": false, "SUB": "root", "Sid": "x", "Scope": "everything", "\u017fid": "x", // as a client in Go reads them
			"unwritable": unwritable,
		}, failure
	}))
	now := float64(time.Now().Unix())
	c := claims("1", jwt.MapClaims{"scope": "read", "sid": nil, "iat": now, "exp": now + 60})
	want := map[string]any{
		"active": true, "iss": testIssuer, "sub": "ada", "jti": "1", "client_id": "web", "token_type": "Bearer", "scope": "read",
		"iat": now, "exp": now + 60, "email": "ada@example.org", "username": "Ada", "unwritable": nil,
	}
	if got := active(t, answer(s.handler, byWeb(sign(t, accessType, c)))); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	inactive(t, answer(s.handler, byWeb("garbage")))
	failure = errors.New("the accounts are away")
	fails(t, answer(s.handler, byWeb(sign(t, accessType, c))), 503, "temporarily_unavailable")
	s.reports.last(t, failure)
	failure, unwritable = nil, func() {}
	fails(t, answer(s.handler, byWeb(sign(t, accessType, c))), 503, "temporarily_unavailable")
	s.reports.last(t, revoke.ErrUnavailable)
}

// TestRFC7662Section2_3Unavailable tells "not alive" from "nobody can tell".
func TestRFC7662Section2_3Unavailable(t *testing.T) {
	t.Parallel()
	s := newIntrospector(t)
	for _, fail := range []func(error){s.store.Fail, s.store.FailAfter} {
		for _, typ := range []string{accessType, refreshType} {
			fail(errors.New("it is down"))
			fails(t, answer(s.handler, byWeb(sign(t, typ, claims("1", nil)))), 503, "temporarily_unavailable")
			s.reports.last(t, revoke.ErrUnavailable)
			inactive(t, answer(s.handler, byWeb("garbage")))
			fail(nil)
			active(t, answer(s.handler, byWeb(sign(t, typ, claims("1", nil)))))
		}
	}
	handler, err := revokehttp.NewIntrospection(func(context.Context, string, string) (revokehttp.Client, error) {
		return revokehttp.Client{ID: "web"}, errors.New("the table of clients is away")
	}, kindsOver(t, s.store))
	must(t, err)
	fails(t, answer(handler, byWeb("x")), 503, "temporarily_unavailable")
	synctest.Test(t, func(t *testing.T) {
		slow := slowStore{revoketest.NewMemory()}
		handler, err := revokehttp.NewIntrospection(authenticate, kindsOver(t, slow))
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		fails(t, answer(handler, byWeb(sign(t, accessType, claims("1", nil))).WithContext(ctx)), 503, "temporarily_unavailable")
	})
}

// TestIntrospectionOptions names what is wrong.
func TestIntrospectionOptions(t *testing.T) {
	t.Parallel()
	kinds := kindsOver(t, revoketest.NewMemory())
	if _, err := revokehttp.NewIntrospection(nil, kinds); err == nil {
		t.Error("a nil callback is taken")
	}
	if _, err := revokehttp.NewIntrospection(authenticate, []revokehttp.Tokens{{}}); err == nil {
		t.Error("an empty kind is taken")
	}
	for i, opt := range []revokehttp.IntrospectionOption{
		nil, revokehttp.CommonOption(nil), revokehttp.WithMayIntrospect(nil), revokehttp.WithMembers(nil), revokehttp.WithRetryAfter(0),
	} {
		if _, err := revokehttp.NewIntrospection(authenticate, kinds, opt); err == nil {
			t.Error(fmt.Sprint("an option that is wrong is taken: ", i))
		}
	}
}
