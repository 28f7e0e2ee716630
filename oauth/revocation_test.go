package oauth_test

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
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/oauth"
	"github.com/pgrevoke/revoke/revoketest"
)

// TestRFC7009Section2_1Hint revokes with a right, a wrong, an unknown and no hint alike. The
// token decides about what is revoked, and not the hint.
func TestRFC7009Section2_1Hint(t *testing.T) {
	t.Parallel()
	for _, typ := range []string{accessType, refreshType} {
		for _, hint := range []struct {
			name  string
			pairs []string
		}{
			{"no hint", nil},
			{"empty", []string{"token_type_hint", ""}},
			{"access_token", []string{"token_type_hint", "access_token"}},
			{"refresh_token", []string{"token_type_hint", "refresh_token"}},
			{"id_token", []string{"token_type_hint", "id_token"}},
			{"unknown", []string{"token_type_hint", "no such type"}},
		} {
			t.Run(typ+"/"+hint.name, func(t *testing.T) {
				t.Parallel()
				s := newServer(t)
				wantRevoked(t, testkit.Serve(s.revocation, byWeb(sign(t, typ, claims("1", nil)), hint.pairs...)))
				sibling := claims("2", jwt.MapClaims{"sid": "session-1"})
				if s.accepts(claims("1", nil)) || s.accepts(sibling) != (typ == accessType) {
					t.Errorf("the token is accepted: %v, its session: %v", s.accepts(claims("1", nil)), s.accepts(sibling))
				}
				if len(s.reports) > 0 {
					t.Errorf("reported: %v", s.reports)
				}
			})
		}
	}
}

// TestKindsThatOverlap takes a token for the first kind that recognises it, and not for the
// kind in the hint.
func TestKindsThatOverlap(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	validator := validatorOf(t, s.store, accessType)
	handler := testkit.Value(oauth.NewRevocation(s.store, authenticate, []oauth.Tokens{
		oauth.RefreshTokens(validator), oauth.AccessTokens(validator),
	}))(t)
	wantRevoked(t, testkit.Serve(handler, byWeb(sign(t, accessType, claims("1", nil)), "token_type_hint", "access_token")))
	if s.accepts(claims("2", jwt.MapClaims{"sid": "session-1"})) {
		t.Error("the session goes on")
	}
}

// TestRFC7009Section2_1Request refuses a request that does not have the form of a revocation,
// and revokes nothing.
func TestRFC7009Section2_1Request(t *testing.T) {
	t.Parallel()
	const hint = "token_type_hint"
	token := sign(t, refreshType, claims("1", nil))
	with := func(change func(*http.Request)) *http.Request {
		r := byWeb(token)
		change(r)
		return r
	}
	method := func(name string) *http.Request { return with(func(r *http.Request) { r.Method = name }) }
	inURL := func(query string) *http.Request { return with(func(r *http.Request) { r.URL.RawQuery = query }) }
	typed := func(contentType string) *http.Request {
		return with(func(r *http.Request) { r.Header.Set("Content-Type", contentType) })
	}
	for _, c := range []struct {
		name    string
		request *http.Request
		status  int
	}{
		{"token missing", post(by("web")), 400},
		{"token empty", post(by("web"), "token", ""), 400},
		{"another parameter", post(by("web"), "Token", token), 400},
		{"token twice", post(by("web"), "token", token, "token", token), 400},
		{"token and an empty one", post(by("web"), "token", token, "token", ""), 400},
		{"hint twice", byWeb(token, hint, "access_token", hint, "access_token"), 400},
		{"client_id twice", byWeb(token, "client_id", "web", "client_id", "web"), 400},
		{"not a form", postBody(by("web"), "token="+token+"&%zz"), 400},
		{"JSON", typed("application/json"), 400},
		{"no type", typed(""), 400},
		{"multipart", typed("multipart/form-data; boundary=x"), 400},
		{"a longer type", typed("application/x-www-form-urlencoded-not; charset=utf-8"), 400},
		{"two types", typed("application/x-www-form-urlencoded, text/plain"), 400},
		{"token in the URL", inURL("token=" + token), 400},
		{"hint in the URL", inURL(hint + "=x"), 400},
		{"id in the URL", inURL("client_id=web"), 400},
		{"secret in the URL", inURL("client_secret=x"), 400},
		{"too large", byWeb(token, "more", strings.Repeat("x", 64<<10)), 413},
		{"GET", method(http.MethodGet), 405},
		{"PUT", method(http.MethodPut), 405},
		{"HEAD", method(http.MethodHead), 405},
		{"post in lower case", method("post"), 405},
		{"type in capitals", typed("Application/X-WWW-Form-URLEncoded; charset=UTF-8"), 200},
		{"charset in quotes", typed(`application/x-www-form-urlencoded;charset="UTF-8"`), 200},
		{"another charset", typed("application/x-www-form-urlencoded; charset=ISO-8859-1"), 200},
		{"charset twice", typed("application/x-www-form-urlencoded; charset=utf-8; charset=utf-8"), 200},
		{"another parameter of the type", typed("application/x-www-form-urlencoded ; boundary=x"), 200},
		{"an empty parameter of the type", typed("application/x-www-form-urlencoded;"), 200},
		{"another parameter in the URL", inURL("locale=de"), 200},
		{"another parameter twice", byWeb(token, "more", "1", "more", "2"), 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			w := testkit.Serve(s.revocation, c.request)
			if c.status == 200 {
				wantRevoked(t, w)
			} else {
				wantFailure(t, w, c.status, "invalid_request")
				s.reports.wantLast(t, oauth.ErrBadRequest)
			}
			if allow := w.Header().Get("Allow"); (allow == "POST") != (c.status == 405) {
				t.Errorf("Allow is %q", allow)
			}
			if accepted := s.accepts(claims("1", nil)); accepted == (c.status == 200) {
				t.Errorf("the token is accepted: %v", accepted)
			}
			if !s.accepts(claims("2", nil)) {
				t.Error("another token is revoked")
			}
		})
	}
}

// TestRFC7009Section2_1Grant revokes the session of a token with it, if it should.
func TestRFC7009Section2_1Grant(t *testing.T) {
	t.Parallel()
	whole := []oauth.Option{oauth.WithWholeSession()}
	for _, c := range []struct {
		name        string
		typ         string
		opts        []oauth.Option
		session     any
		endsSession bool
	}{
		{"refresh token", refreshType, nil, "s", true},
		{"access token", accessType, nil, "s", false},
		{"access token with WithWholeSession", accessType, whole, "s", true},
		{"refresh token without a session", refreshType, nil, nil, false},
		{"access token without a session, with WithWholeSession", accessType, whole, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, c.opts...)
			presented, sibling := claims("1", jwt.MapClaims{"sid": c.session}), claims("2", jwt.MapClaims{"sid": "s"})
			wantRevoked(t, testkit.Serve(s.revocation, byWeb(sign(t, c.typ, presented))))
			if s.accepts(presented) || s.accepts(sibling) == c.endsSession || !s.accepts(claims("3", nil)) {
				t.Errorf("the token is accepted: %v, its session: %v, another token: %v",
					s.accepts(presented), s.accepts(sibling), s.accepts(claims("3", nil)))
			}
		})
	}
}

// TestRFC7009Section2_1OtherClient revokes no token of another client, nor one that names no
// client.
func TestRFC7009Section2_1OtherClient(t *testing.T) {
	t.Parallel()
	for _, typ := range []string{accessType, refreshType} {
		for _, owner := range []struct {
			name  string
			claim any
		}{{"another client", "web"}, {"another case", "OTHER"}, {"empty", ""}, {"missing", nil}} {
			t.Run(typ+"/"+owner.name, func(t *testing.T) {
				t.Parallel()
				s := newServer(t)
				c := claims("1", jwt.MapClaims{"client_id": owner.claim})
				wantFailure(t, testkit.Serve(s.revocation, post(by("other"), "token", sign(t, typ, c))), 400, "invalid_request")
				s.reports.wantLast(t, oauth.ErrNotAllowed)
				wantRevoked(t, testkit.Serve(s.revocation, post("", "client_id", "spa", "token", sign(t, typ, c))))
				s.reports.wantLast(t, oauth.ErrNotAllowed)
				if !s.accepts(c) {
					t.Error("the token is revoked")
				}
			})
		}
	}
	t.Run("a public client revokes its own", func(t *testing.T) {
		t.Parallel()
		s := newServer(t)
		c := claims("1", jwt.MapClaims{"client_id": "spa"})
		wantRevoked(t, testkit.Serve(s.revocation, post("", "client_id", "spa", "token", sign(t, accessType, c))))
		if s.accepts(c) {
			t.Error("the token is accepted")
		}
	})
}

// TestClientClaim reads the client to which a token was issued strictly, of good and of expired
// tokens.
func TestClientClaim(t *testing.T) {
	t.Parallel()
	const revoked = "" // or else the error code of the answer
	for _, c := range []struct {
		name   string
		opts   []oauth.TokensOption
		claims jwt.MapClaims
		extra  string // a member that is written by hand
		code   string
		report error // of an answer of 200 that revokes nothing
	}{
		{"default", nil, jwt.MapClaims{"client_id": "web"}, "", revoked, nil},
		{"default, another client", nil, jwt.MapClaims{"client_id": "other"}, "", "invalid_request", nil},
		{"another claim", []oauth.TokensOption{oauth.WithClientClaim("azp")}, jwt.MapClaims{"azp": "web", "client_id": "other"}, "", revoked, nil},
		{"another claim is missing", []oauth.TokensOption{oauth.WithClientClaim("azp")}, nil, "", "invalid_request", nil},
		{"another claim, a number", []oauth.TokensOption{oauth.WithClientClaim("azp")}, jwt.MapClaims{"azp": 7}, "", revoked, revoke.ErrInvalidToken},
		{"any client", []oauth.TokensOption{oauth.WithAnyClient()}, jwt.MapClaims{"client_id": "other"}, "", revoked, nil},
		{"null", nil, jwt.MapClaims{"client_id": nil}, `"client_id":null`, "invalid_request", nil},
		{"another spelling", nil, jwt.MapClaims{"client_id": nil}, `"Client_ID":"web"`, "invalid_request", nil},
		{"another spelling beside it", nil, nil, `"Client_ID":"other"`, revoked, nil},
		{"twice", nil, nil, `"client_id":"web"`, revoked, revoke.ErrInvalidToken},
		{"an escape in the name", nil, jwt.MapClaims{"client_id": nil}, `"client\u005fid":"web"`, revoked, revoke.ErrInvalidToken},
		{"a number", nil, jwt.MapClaims{"client_id": 7}, "", revoked, revoke.ErrInvalidToken},
		{"a list", nil, jwt.MapClaims{"client_id": []string{"web"}}, "", revoked, revoke.ErrInvalidToken},
		{"too long", nil, jwt.MapClaims{"client_id": strings.Repeat("w", revoke.MaxIDLength+1)}, "", revoked, revoke.ErrInvalidToken},
		{"half a character", nil, jwt.MapClaims{"client_id": nil}, `"client_id":"\ud800"`, revoked, revoke.ErrInvalidToken},
	} {
		for _, expires := range []time.Duration{time.Hour, -time.Minute} {
			t.Run(fmt.Sprintf("%s/expires in %v", c.name, expires), func(t *testing.T) {
				t.Parallel()
				s := newServer(t)
				handler := testkit.Value(oauth.NewRevocation(s.store, authenticate,
					[]oauth.Tokens{oauth.AccessTokens(validatorOf(t, s.store, accessType), c.opts...)}, s.reports.option()))(t)
				with := claims("1", c.claims)
				with["exp"] = time.Now().Add(expires).Unix()
				payload := jsonOf(t, with)
				if c.extra != "" {
					payload = strings.TrimSuffix(payload, "}") + "," + c.extra + "}"
				}
				w := testkit.Serve(handler, byWeb(signPayload(t, accessType, payload)))
				if c.code == revoked {
					wantRevoked(t, w)
				} else {
					wantFailure(t, w, 400, c.code)
				}
				if c.report != nil {
					s.reports.wantLast(t, c.report)
				}
				if accepted := s.accepts(claims("1", nil)); accepted != (c.code != revoked || c.report != nil) {
					t.Errorf("the token is accepted: %v", accepted)
				}
			})
		}
	}
}

// TestRFC7009Section2_2 answers 200 for every token that is of no use.
func TestRFC7009Section2_2(t *testing.T) {
	t.Parallel()
	good := sign(t, accessType, claims("1", nil))
	for _, c := range []struct{ name, token string }{
		{"garbage", "garbage"},
		{"dots", ".."},
		{"not ASCII", "\xff\x00é"},
		{"long", strings.Repeat("x", 9<<10)},
		{"forged", good[:len(good)-6] + "AAAAAA"},
		{"of another type", sign(t, idType, claims("1", nil))},
		{"of another issuer", sign(t, accessType, claims("1", jwt.MapClaims{"iss": "https://evil.example"}))},
		{"without jti", sign(t, accessType, claims("1", jwt.MapClaims{"jti": nil}))},
		{"the bare jti", "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			wantRevoked(t, testkit.Serve(s.revocation, byWeb(c.token)))
			s.reports.wantLast(t, revoke.ErrInvalidToken)
			if !s.accepts(claims("1", nil)) {
				t.Error("something is revoked")
			}
		})
	}
	t.Run("revoked before", func(t *testing.T) {
		t.Parallel()
		s := newServer(t)
		for range 3 {
			wantRevoked(t, testkit.Serve(s.revocation, byWeb(good)))
		}
		if s.accepts(claims("1", nil)) {
			t.Error("the token is accepted")
		}
		if records := s.records("1"); len(records) != 1 || records[0].Reason != "revoked by its client" || records[0].Actor != "web" {
			t.Errorf("recorded is %+v", records)
		}
	})
	t.Run("expired", func(t *testing.T) {
		t.Parallel()
		s := newServer(t)
		expired := jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()}
		wantRevoked(t, testkit.Serve(s.revocation, byWeb(sign(t, refreshType, claims("2", expired)))))
		wantRevoked(t, testkit.Serve(s.revocation, byWeb(sign(t, accessType, claims("3", expired)))))
		if s.accepts(claims("4", jwt.MapClaims{"sid": "session-2"})) || s.accepts(claims("3", nil)) {
			t.Error("one of them is accepted")
		}
	})
}

// TestRFC7009Section2_2_1Unsupported says which tokens cannot be revoked.
func TestRFC7009Section2_2_1Unsupported(t *testing.T) {
	t.Parallel()
	noID := func(sid any) jwt.MapClaims { return claims("", jwt.MapClaims{"jti": nil, "sid": sid}) }
	for _, c := range []struct {
		name    string
		token   string
		revokes bool // the session "s"
	}{
		{"kind of WithUnsupported", sign(t, idType, claims("1", jwt.MapClaims{"sid": "s"})), false},
		{"access token without an id", sign(t, accessType, noID("s")), false},
		{"refresh token without id and session", sign(t, refreshType, noID(nil)), false},
		{"refresh token without an id", sign(t, refreshType, noID("s")), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			handler := testkit.Value(oauth.NewRevocation(s.store, authenticate, kindsOver(t, s.store, revoke.WithOptionalID()),
				oauth.WithUnsupported(oauth.AccessTokens(validatorOf(t, s.store, idType)))))(t)
			if w := testkit.Serve(handler, byWeb(c.token)); c.revokes {
				wantRevoked(t, w)
			} else {
				wantFailure(t, w, 400, "unsupported_token_type")
			}
			if accepted := s.accepts(claims("1", jwt.MapClaims{"sid": "s"})); accepted == c.revokes {
				t.Errorf("the session is accepted: %v", accepted)
			}
		})
	}
}

// TestRFC7009Section2_2_1Unavailable never answers 200 if the outcome is unknown.
func TestRFC7009Section2_2_1Unavailable(t *testing.T) {
	t.Parallel()
	for _, typ := range []string{accessType, refreshType} {
		t.Run("store/"+typ, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, oauth.WithRetryAfter(1500*time.Millisecond))
			c := claims("1", nil)
			token := sign(t, typ, c)
			s.store.Fail(errors.New("it is down"))
			w := testkit.Serve(s.revocation, byWeb(token))
			wantFailure(t, w, 503, "temporarily_unavailable")
			s.reports.wantLast(t, revoke.ErrUnavailable)
			if after := w.Header().Get("Retry-After"); after != "2" {
				t.Errorf("Retry-After is %q", after)
			}
			wantRevoked(t, testkit.Serve(s.revocation, byWeb("garbage"))) // needs no store
			s.store.Fail(nil)
			if !s.accepts(c) {
				t.Error("the token is revoked")
			}
			s.store.FailAfter(errors.New("the answer was lost"))
			wantFailure(t, testkit.Serve(s.revocation, byWeb(token)), 503, "temporarily_unavailable")
			s.store.Fail(nil)
			if s.accepts(c) {
				t.Error("the store did not revoke it before it failed")
			}
			wantRevoked(t, testkit.Serve(s.revocation, byWeb(token)))
		})
	}

	memory := revoketest.NewMemory()
	keyless := testkit.Value(revoke.NewValidator(memory, testkit.Issuer, revoke.AnyAudience(), func(*jwt.Token) (any, error) {
		return nil, fmt.Errorf("the keys: %w", context.DeadlineExceeded)
	}, []string{"ES256"}, revoke.WithTokenType(refreshType)))(t)
	access, refresh := oauth.AccessTokens(validatorOf(t, memory, accessType)), oauth.RefreshTokens(keyless)
	for _, c := range []struct {
		name  string
		kinds []oauth.Tokens
	}{
		{"keys of the first kind", []oauth.Tokens{refresh, access}},
		{"keys of the last kind", []oauth.Tokens{access, refresh}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			handler := testkit.Value(oauth.NewRevocation(memory, authenticate, c.kinds))(t)
			wantFailure(t, testkit.Serve(handler, byWeb(sign(t, refreshType, claims("1", nil)))), 503, "temporarily_unavailable")
			wantRevoked(t, testkit.Serve(handler, byWeb(sign(t, accessType, claims("2", nil)))))
		})
	}
}

// vague is a validator with errors that do not match exactly one sentinel.
type vague struct{ err error }

func (v vague) Validate(context.Context, string) (*revoke.Verified, error) { return nil, v.err }
func (v vague) Identify(context.Context, string) (revoke.Token, error)     { return revoke.Token{}, v.err }

// TestVagueValidator answers 503 if the error of a validator does not say that the token is
// refused, in whichever place among the kinds the validator stands.
func TestVagueValidator(t *testing.T) {
	t.Parallel()
	memory := revoketest.NewMemory()
	for _, c := range []struct {
		name string
		err  error
	}{
		{"no sentinel", errors.New("something")},
		{"two sentinels", errors.Join(revoke.ErrInvalidToken, revoke.ErrUnavailable)},
		{"two sentinels, one of them ErrRevoked", errors.Join(revoke.ErrRevoked, revoke.ErrUnavailable)},
	} {
		of, strict := oauth.AccessTokens(vague{c.err}), oauth.AccessTokens(validatorOf(t, memory, accessType))
		for _, place := range []struct {
			name  string
			kinds []oauth.Tokens
		}{
			{"alone", []oauth.Tokens{of}},
			{"first", []oauth.Tokens{of, strict}},
			{"last", []oauth.Tokens{strict, of}},
		} {
			t.Run(c.name+"/"+place.name, func(t *testing.T) {
				t.Parallel()
				revocation := testkit.Value(oauth.NewRevocation(memory, authenticate, place.kinds))(t)
				wantFailure(t, testkit.Serve(revocation, byWeb("x")), 503, "temporarily_unavailable")
				introspection := testkit.Value(oauth.NewIntrospection(authenticate, place.kinds))(t)
				wantFailure(t, testkit.Serve(introspection, byWeb("x")), 503, "temporarily_unavailable")
			})
		}
	}
}

// TestRevocationIsBounded gives up after ten seconds, on a store and on a callback.
func TestRevocationIsBounded(t *testing.T) {
	t.Parallel()
	testkit.TestKeys()
	slow := func(ctx context.Context, _, _ string) (oauth.Client, error) {
		<-ctx.Done()
		return oauth.Client{}, ctx.Err()
	}
	for _, c := range []struct {
		name     string
		callback oauth.AuthenticateClient
		typ      string
	}{
		{"store, access token", authenticate, accessType},
		{"store, refresh token", authenticate, refreshType},
		{"callback", slow, accessType},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				memory := revoketest.NewMemory()
				handler := testkit.Value(oauth.NewRevocation(testkit.SlowStore{Store: memory}, c.callback, kindsOver(t, memory)))(t)
				began := time.Now()
				wantFailure(t, testkit.Serve(handler, byWeb(sign(t, c.typ, claims("1", nil)))), 503, "temporarily_unavailable")
				if took := time.Since(began); took != 10*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// TestRevocationOutlastsItsClient revokes the token of a client that has disconnected.
func TestRevocationOutlastsItsClient(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := claims("1", nil)
	wantRevoked(t, testkit.Serve(s.revocation, byWeb(sign(t, refreshType, c)).WithContext(ctx)))
	if s.accepts(c) {
		t.Error("the token is accepted")
	}
}

// TestNewRevocationRefuses names what is wrong with an argument or an option.
func TestNewRevocationRefuses(t *testing.T) {
	t.Parallel()
	memory := revoketest.NewMemory()
	validator := validatorOf(t, memory, accessType)
	access := oauth.AccessTokens(validator)
	with := func(opts ...oauth.Option) func() (http.Handler, error) {
		return func() (http.Handler, error) {
			return oauth.NewRevocation(memory, authenticate, []oauth.Tokens{access}, opts...)
		}
	}
	of := func(kinds ...oauth.Tokens) func() (http.Handler, error) {
		return func() (http.Handler, error) { return oauth.NewRevocation(memory, authenticate, kinds) }
	}
	for _, c := range []struct {
		name  string
		build func() (http.Handler, error)
		want  string
	}{
		{"no store", func() (http.Handler, error) { return oauth.NewRevocation(nil, authenticate, []oauth.Tokens{access}) }, "store is nil"},
		{
			"a nil *revoke.Postgres",
			func() (http.Handler, error) {
				return oauth.NewRevocation((*revoke.Postgres)(nil), authenticate, []oauth.Tokens{access})
			}, "store is nil",
		},
		{"no callback", func() (http.Handler, error) { return oauth.NewRevocation(memory, nil, []oauth.Tokens{access}) }, "authenticates clients is nil"},
		{"no kind", of(), "no kind of tokens"},
		{"zero kind", of(access, oauth.Tokens{}), "has no validator"},
		{"kind without a validator", of(oauth.AccessTokens(nil)), "has no validator"},
		{"kind of a nil *revoke.Validator", of(access, oauth.RefreshTokens((*revoke.Validator)(nil))), "has no validator"},
		{"nil option of a kind", of(oauth.AccessTokens(validator, nil)), "an option is nil"},
		{"empty client claim", of(oauth.AccessTokens(validator, oauth.WithClientClaim(""))), "client claim is empty"},
		{"nil option", with(nil), "an option is nil"},
		{"empty realm", with(oauth.WithRealm("")), "realm"},
		{"nil record", with(oauth.WithRecord(nil)), "a RevokeOption is nil"},
		{"no unsupported kind", with(oauth.WithUnsupported()), "no kind of tokens"},
		{"zero unsupported kind", with(oauth.WithUnsupported(oauth.Tokens{})), "has no validator"},
		{
			"WithDisclosure", with(oauth.WithDisclosure(func(context.Context, oauth.Client, *revoke.Verified) ([]string, error) { return nil, nil })),
			"WithDisclosure is an option of NewIntrospection only",
		},
		{
			"WithMembers",
			with(oauth.WithMembers(func(context.Context, oauth.Client, *revoke.Verified) (map[string]any, error) { return nil, nil })),
			"WithMembers is an option of NewIntrospection only",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := c.build(); err == nil || !strings.HasPrefix(err.Error(), "oauth: NewRevocation: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("NewRevocation = %v, want %q", err, c.want)
			}
		})
	}
}

// TestRevocationOptions uses realm and record.
func TestRevocationOptions(t *testing.T) {
	t.Parallel()
	s := newServer(t, oauth.WithRealm("tokens"), oauth.WithRecord(revoke.WithReason("signed out")))
	testkit.WantAnswer(t, testkit.Serve(s.revocation, post("", "token", "x")), 401, `Basic realm="tokens"`)
	wantRevoked(t, testkit.Serve(s.revocation, byWeb(sign(t, accessType, claims("1", nil)))))
	wantRevoked(t, testkit.Serve(s.revocation, byWeb(sign(t, refreshType, claims("2", nil)))))
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
