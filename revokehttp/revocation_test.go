package revokehttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// TestRFC7009Section2_1Hint revokes with a right, a wrong, an unknown and no hint alike (scenario 71).
func TestRFC7009Section2_1Hint(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, typ := range []string{accessType, refreshType} {
		for _, hint := range []string{"-", "", "access_token", "refresh_token", "id_token", "no such type"} {
			c := claims(typ+hint, nil)
			request := byWeb(sign(t, typ, c), "token_type_hint", hint)
			if hint == "-" {
				request = byWeb(sign(t, typ, c))
			}
			revoked(t, answer(s.revocation, request))
			// What is revoked depends on the token, and not on what its bearer says of it.
			c["jti"] = "another of its session"
			if s.alive(claims(typ+hint, nil)) || s.alive(c) != (typ == accessType) {
				t.Errorf("%s with hint %q: itself lives %v, its session %v", typ, hint, s.alive(claims(typ+hint, nil)), s.alive(c))
			}
		}
	}
	if len(s.reports) > 0 {
		t.Errorf("reported: %v", s.reports)
	}
}

// TestKindsThatOverlap takes a token for the first kind that knows it, and not for the one that its bearer names.
func TestKindsThatOverlap(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	validator := validatorOf(t, s.store, accessType)
	handler, err := revokehttp.NewRevocation(s.store, authenticate, []revokehttp.Tokens{
		revokehttp.RefreshTokens(validator, clientOf), revokehttp.AccessTokens(validator, clientOf),
	})
	must(t, err)
	revoked(t, answer(handler, byWeb(sign(t, accessType, claims("1", nil)), "token_type_hint", "access_token")))
	if s.alive(claims("2", jwt.MapClaims{"sid": "session-1"})) {
		t.Error("its session goes on")
	}
}

// TestRFC7009Section2_1Request refuses what is no request for a revocation, and revokes nothing (scenarios 73 and 75).
func TestRFC7009Section2_1Request(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := claims("1", nil)
	token := sign(t, refreshType, c)
	header := encoded("web", testSecrets["web"])
	as := func(change func(*http.Request)) *http.Request {
		r := byWeb(token)
		change(r)
		return r
	}
	inURL := func(query string) *http.Request { return as(func(r *http.Request) { r.URL.RawQuery = query }) }
	typed := func(contentType string) *http.Request {
		return as(func(r *http.Request) { r.Header.Set("Content-Type", contentType) })
	}
	for what, want := range map[string]struct {
		request *http.Request
		status  int
	}{
		"token missing":          {post(header), 400},
		"token empty":            {post(header, "token", ""), 400},
		"another parameter":      {post(header, "Token", token), 400},
		"token twice":            {post(header, "token", token, "token", token), 400},
		"token and an empty one": {post(header, "token", token, "token", ""), 400},
		"hint twice":             {byWeb(token, "token_type_hint", "access_token", "token_type_hint", "access_token"), 400},
		"client_id twice":        {byWeb(token, "client_id", "web", "client_id", "web"), 400},
		"no form":                {postBody(header, "token="+token+"&%zz"), 400},
		"JSON":                   {typed("application/json"), 400},
		"no type":                {typed(""), 400},
		"multipart":              {typed("multipart/form-data; boundary=x"), 400},
		"another charset":        {typed("application/x-www-form-urlencoded; charset=utf-16"), 400},
		"token in the URL":       {inURL("token=" + token), 400},
		"hint in the URL":        {inURL("token_type_hint=x"), 400},
		"id in the URL":          {inURL("client_id=web"), 400},
		"secret in the URL":      {inURL("client_secret=x"), 400},
		"too large":              {byWeb(token, "more", strings.Repeat("x", 64<<10)), 413},
		"GET":                    {as(func(r *http.Request) { r.Method = http.MethodGet }), 405},
		"PUT":                    {as(func(r *http.Request) { r.Method = http.MethodPut }), 405},
		"HEAD":                   {as(func(r *http.Request) { r.Method = http.MethodHead }), 405},
		"post":                   {as(func(r *http.Request) { r.Method = "post" }), 405},
	} {
		w := answer(s.revocation, want.request)
		fails(t, w, want.status, "invalid_request")
		s.reports.last(t, revokehttp.ErrBadRequest)
		if allow := w.Header().Get("Allow"); (allow == "POST") != (want.status == 405) {
			t.Errorf("%s: Allow is %q", what, allow)
		}
		if !s.alive(c) {
			t.Fatalf("%s: the token is revoked", what)
		}
	}
	for _, request := range []*http.Request{
		typed("Application/X-WWW-Form-URLEncoded; charset=UTF-8"), inURL("locale=de"), byWeb(token, "more", "1", "more", "2"),
	} {
		c := claims("2", nil)
		revoked(t, answer(s.revocation, request))
		if s.alive(claims("1", nil)) || !s.alive(c) {
			t.Error("not exactly this token is revoked")
		}
	}
}

// TestRFC7009Section2_1Grant ends what hangs together with a token (scenario 77).
func TestRFC7009Section2_1Grant(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		typ     string
		opts    []revokehttp.RevocationOption
		session any
		ends    bool // the session
	}{
		"refresh token":                       {refreshType, nil, "s", true},
		"access token":                        {accessType, nil, "s", false},
		"access token, whole session":         {accessType, []revokehttp.RevocationOption{revokehttp.WithWholeSession()}, "s", true},
		"refresh token without session":       {refreshType, nil, nil, false},
		"access token of none, whole session": {accessType, []revokehttp.RevocationOption{revokehttp.WithWholeSession()}, nil, false},
	} {
		s := newServer(t, c.opts...)
		presented := claims("1", jwt.MapClaims{"sid": c.session})
		revoked(t, answer(s.revocation, byWeb(sign(t, c.typ, presented))))
		if s.alive(presented) || s.alive(claims("2", jwt.MapClaims{"sid": "s"})) == c.ends || !s.alive(claims("3", nil)) {
			t.Errorf("%s: it lives %v, its session %v, another %v", what,
				s.alive(presented), s.alive(claims("2", jwt.MapClaims{"sid": "s"})), s.alive(claims("3", nil)))
		}
	}
}

// TestRFC7009Section2_1OtherClient leaves alone what was issued to another client, or to nobody that is known (scenario 74).
func TestRFC7009Section2_1OtherClient(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, typ := range []string{accessType, refreshType} {
		for _, owner := range []any{"web", "WEB", "", nil} {
			c := claims("1", jwt.MapClaims{"client_id": owner})
			fails(t, answer(s.revocation, post(encoded("other", testSecrets["other"]), "token", sign(t, typ, c))), 400, "invalid_request")
			s.reports.last(t, revokehttp.ErrNotAllowed)
			revoked(t, answer(s.revocation, post("", "client_id", "spa", "token", sign(t, typ, c))))
			s.reports.last(t, revokehttp.ErrNotAllowed)
			if !s.alive(c) {
				t.Errorf("a token of %v is revoked by another client", owner)
			}
		}
	}
	// A public client revokes its own.
	c := claims("2", jwt.MapClaims{"client_id": "spa"})
	revoked(t, answer(s.revocation, post("", "client_id", "spa", "token", sign(t, accessType, c))))
	if s.alive(c) {
		t.Error("a public client cannot revoke its own token")
	}
	// Where tokens belong to no client, each of them may.
	handler, err := revokehttp.NewRevocation(s.store, authenticate, []revokehttp.Tokens{
		revokehttp.AccessTokens(validatorOf(t, s.store, accessType), nil),
	})
	must(t, err)
	c = claims("3", nil)
	revoked(t, answer(handler, post(encoded("other", testSecrets["other"]), "token", sign(t, accessType, c))))
	if s.alive(c) {
		t.Error("it lives")
	}
}

// TestRFC7009Section2_2 answers 200 to all that is of no use any more (scenario 72).
func TestRFC7009Section2_2(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	good := sign(t, accessType, claims("1", nil))
	for what, token := range map[string]string{
		"garbage": "garbage", "dots": "..", "not ASCII": "\xff\x00é", "long": strings.Repeat("x", 9<<10),
		"forged":            good[:len(good)-6] + "AAAAAA",
		"of another type":   sign(t, idType, claims("1", nil)),
		"of another issuer": sign(t, accessType, claims("1", jwt.MapClaims{"iss": "https://evil.example"})),
		"without jti":       sign(t, accessType, claims("1", jwt.MapClaims{"jti": nil})),
		"not an opaque id":  "1",
	} {
		revoked(t, answer(s.revocation, byWeb(token)))
		s.reports.last(t, revoke.ErrInvalidToken)
		if !s.alive(claims("1", nil)) {
			t.Fatalf("%s: something is revoked", what)
		}
	}
	for range 3 { // the second time it was revoked before
		revoked(t, answer(s.revocation, byWeb(good)))
	}
	// An expired token ends its session, which goes on.
	expired := jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()}
	revoked(t, answer(s.revocation, byWeb(sign(t, refreshType, claims("2", expired)))))
	revoked(t, answer(s.revocation, byWeb(sign(t, accessType, claims("3", expired)))))
	if s.alive(claims("1", nil)) || s.alive(claims("4", jwt.MapClaims{"sid": "session-2"})) || s.alive(claims("3", nil)) {
		t.Error("one of them lives")
	}
	if records := s.records("1"); len(records) != 1 || records[0].Reason != "revoked by its client" || records[0].Actor != "web" {
		t.Errorf("recorded is %+v", records)
	}
}

// TestRFC7009Section2_2_1Unsupported names what cannot be revoked.
func TestRFC7009Section2_2_1Unsupported(t *testing.T) {
	t.Parallel()
	memory := revoketest.NewMemory()
	lax := kindsOver(t, memory, revoke.WithOptionalID())
	handler, err := revokehttp.NewRevocation(memory, authenticate, lax,
		revokehttp.WithUnsupported(revokehttp.AccessTokens(validatorOf(t, memory, idType), clientOf)))
	must(t, err)
	noID := func(sid any) jwt.MapClaims { return claims("", jwt.MapClaims{"jti": nil, "sid": sid}) }
	fails(t, answer(handler, byWeb(sign(t, idType, claims("1", nil)))), 400, "unsupported_token_type")
	fails(t, answer(handler, byWeb(sign(t, accessType, noID("s")))), 400, "unsupported_token_type")
	fails(t, answer(handler, byWeb(sign(t, refreshType, noID(nil)))), 400, "unsupported_token_type")
	s := &server{TB: t, store: revoketest.NewFaulty(memory)}
	if !s.alive(claims("1", nil)) || !s.alive(claims("2", jwt.MapClaims{"sid": "s"})) {
		t.Error("something is revoked")
	}
	revoked(t, answer(handler, byWeb(sign(t, refreshType, noID("s")))))
	if s.alive(claims("2", jwt.MapClaims{"sid": "s"})) {
		t.Error("the session of a token without id goes on")
	}
}

// TestRFC7009Section2_2_1Unavailable never says 200 for what may not have happened (scenario 76).
func TestRFC7009Section2_2_1Unavailable(t *testing.T) {
	t.Parallel()
	for _, typ := range []string{accessType, refreshType} {
		s := newServer(t, revokehttp.WithRetryAfter(1500*time.Millisecond))
		c := claims("1", nil)
		token := sign(t, typ, c)
		s.store.Fail(errors.New("it is down"))
		w := answer(s.revocation, byWeb(token))
		fails(t, w, 503, "temporarily_unavailable")
		s.reports.last(t, revoke.ErrUnavailable)
		if after := w.Header().Get("Retry-After"); after != "2" {
			t.Errorf("Retry-After is %q", after)
		}
		revoked(t, answer(s.revocation, byWeb("garbage"))) // of no use, whatever the store says
		s.store.Fail(nil)
		if !s.alive(c) {
			t.Error("it is revoked")
		}
		s.store.FailAfter(errors.New("the answer was lost"))
		fails(t, answer(s.revocation, byWeb(token)), 503, "temporarily_unavailable")
		s.store.Fail(nil)
		if s.alive(c) {
			t.Error("the store did not do it first")
		}
		revoked(t, answer(s.revocation, byWeb(token)))
	}

	// Nor for a token whose keys cannot be had, by one kind of two.
	memory := revoketest.NewMemory()
	keyless, err := revoke.NewValidator[appClaims](memory, testIssuer, func(*jwt.Token) (any, error) {
		return nil, fmt.Errorf("the keys: %w", context.DeadlineExceeded)
	}, []string{"HS256"}, revoke.WithTokenType(refreshType))
	must(t, err)
	for _, kinds := range [][]revokehttp.Tokens{
		{revokehttp.RefreshTokens(keyless, clientOf), revokehttp.AccessTokens(validatorOf(t, memory, accessType), clientOf)},
		{revokehttp.AccessTokens(validatorOf(t, memory, accessType), clientOf), revokehttp.RefreshTokens(keyless, clientOf)},
	} {
		handler, err := revokehttp.NewRevocation(memory, authenticate, kinds)
		must(t, err)
		fails(t, answer(handler, byWeb(sign(t, refreshType, claims("1", nil)))), 503, "temporarily_unavailable")
		revoked(t, answer(handler, byWeb(sign(t, accessType, claims("2", nil)))))
	}
}

// slowStore answers when nobody waits any more.
type slowStore struct{ revoke.Store }

func (s slowStore) Check(ctx context.Context, _ revoke.Token) error { return s.wait(ctx) }

func (s slowStore) RevokeToken(ctx context.Context, _ revoke.Token, _ ...revoke.RevokeOption) error {
	return s.wait(ctx)
}

func (s slowStore) RevokeUser(ctx context.Context, _ revoke.User, _ ...revoke.RevokeOption) (revoke.Epochs, error) {
	return revoke.Epochs{}, s.wait(ctx)
}

func (s slowStore) InTx(ctx context.Context, _ func(revoke.Revoker) error) error { return s.wait(ctx) }

func (slowStore) wait(ctx context.Context) error {
	<-ctx.Done()
	return fmt.Errorf("%w: %w", revoke.ErrUnavailable, ctx.Err())
}

// TestRevocationIsBounded gives up after ten seconds, on a store and on a callback.
func TestRevocationIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		memory := revoketest.NewMemory()
		slow := func(ctx context.Context, _, _ string) (revokehttp.Client, error) {
			<-ctx.Done()
			return revokehttp.Client{}, ctx.Err()
		}
		for _, callback := range []revokehttp.AuthenticateClient{authenticate, slow} {
			handler, err := revokehttp.NewRevocation(slowStore{memory}, callback, kindsOver(t, memory))
			must(t, err)
			for _, typ := range []string{accessType, refreshType} {
				began := time.Now()
				fails(t, answer(handler, byWeb(sign(t, typ, claims("1", nil)))), 503, "temporarily_unavailable")
				if took := time.Since(began); took != 10*time.Second {
					t.Errorf("it took %v", took)
				}
			}
		}
	})
}

// TestRevocationOutlastsItsClient revokes for one who hung up.
func TestRevocationOutlastsItsClient(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := claims("1", nil)
	revoked(t, answer(s.revocation, byWeb(sign(t, refreshType, c)).WithContext(ctx)))
	if s.alive(c) {
		t.Error("it lives")
	}
}

// TestRevocationOptions names what is wrong, and uses what is right.
func TestRevocationOptions(t *testing.T) {
	t.Parallel()
	memory := revoketest.NewMemory()
	kinds := kindsOver(t, memory)
	nobody := revokehttp.AccessTokens[appClaims](nil, clientOf)
	for want, build := range map[string]func() (http.Handler, error){
		"store is nil":             func() (http.Handler, error) { return revokehttp.NewRevocation(nil, authenticate, kinds) },
		"authenticates clients is": func() (http.Handler, error) { return revokehttp.NewRevocation(memory, nil, kinds) },
		"no kind":                  func() (http.Handler, error) { return revokehttp.NewRevocation(memory, authenticate, nil) },
		"has no validator": func() (http.Handler, error) {
			return revokehttp.NewRevocation(memory, authenticate, []revokehttp.Tokens{kinds[0], nobody})
		},
	} {
		if _, err := build(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for _, opt := range []revokehttp.RevocationOption{
		nil, revokehttp.CommonOption(nil), revokehttp.RecordOption(nil), revokehttp.WithRealm(""), revokehttp.WithRecord(nil),
		revokehttp.WithUnsupported(), revokehttp.WithUnsupported(revokehttp.Tokens{}),
	} {
		if _, err := revokehttp.NewRevocation(memory, authenticate, kinds, opt); err == nil {
			t.Error("an option that is wrong is taken")
		}
	}
	s := newServer(t, revokehttp.WithRealm("tokens"), revokehttp.WithRecord(revoke.WithReason("signed out")))
	wants(t, answer(s.revocation, post("", "token", "x")), 401, `Basic realm="tokens"`)
	revoked(t, answer(s.revocation, byWeb(sign(t, accessType, claims("1", nil)))))
	revoked(t, answer(s.revocation, byWeb(sign(t, refreshType, claims("2", nil)))))
	for _, want := range []struct {
		id     string
		scopes int
	}{{"1", 1}, {"2", 2}} {
		records := s.records(want.id)
		if len(records) != want.scopes || records[0].Scope != revoke.ScopeToken || records[len(records)-1].Reason != "signed out" ||
			records[0].Reason != "signed out" || records[0].Actor != "web" {
			t.Errorf("recorded of %s is %+v", want.id, records)
		}
	}
}
