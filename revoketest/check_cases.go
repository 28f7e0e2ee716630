package revoketest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/pgrevoke/revoke"
)

// badIDs are names that no store takes.
var badIDs = map[string]string{
	"too long":      strings.Repeat("x", revoke.MaxIDLength+1),
	"invalid UTF-8": "a\xffb",
	"NUL":           "a\x00b",
}

var checkCases = []testCase{
	{"Check/accepts a token of which nothing was revoked", func(p *probe) {
		p.accepts("fresh", p.token())
	}},
	{"Check/sees a revocation that was made before it, in each scope", func(p *probe) {
		for scope, revokeIt := range map[revoke.Scope]func(revoke.Token) error{
			revoke.ScopeToken:   func(t revoke.Token) error { return p.RevokeToken(p.ctx, t) },
			revoke.ScopeSession: func(t revoke.Token) error { return p.RevokeSession(p.ctx, sessionOf(t)) },
			revoke.ScopeUser:    func(t revoke.Token) error { _, err := p.RevokeUser(p.ctx, userOf(t)); return err },
			revoke.ScopeIssuer:  func(t revoke.Token) error { _, err := p.RevokeIssuer(p.ctx, t.Issuer); return err },
		} {
			token := p.token()
			token.Issuer += "/" + string(scope)
			p.accepts("before", token)
			p.must("revoke", revokeIt(token))
			p.refuses("after", token, scope)
		}
	}},
	{"Check/names the narrowest scope", func(p *probe) {
		token := p.token()
		_, err := p.RevokeIssuer(p.ctx, token.Issuer)
		p.must("RevokeIssuer", err)
		p.refuses("issuer", token, revoke.ScopeIssuer)
		_, err = p.RevokeUser(p.ctx, userOf(token))
		p.must("RevokeUser", err)
		p.refuses("user", token, revoke.ScopeUser)
		p.must("RevokeSession", p.RevokeSession(p.ctx, sessionOf(token)))
		p.refuses("session", token, revoke.ScopeSession)
		p.must("RevokeToken", p.RevokeToken(p.ctx, token))
		p.refuses("token", token, revoke.ScopeToken)
	}},
	{"Check/knows a token by issuer and id together", func(p *probe) {
		token := p.token()
		p.must("RevokeToken", p.RevokeToken(p.ctx, token))
		p.must("RevokeSession", p.RevokeSession(p.ctx, sessionOf(token)))
		_, err := p.RevokeUser(p.ctx, userOf(token))
		p.must("RevokeUser", err)
		_, err = p.RevokeIssuer(p.ctx, token.Issuer)
		p.must("RevokeIssuer", err)
		token.Issuer += "/other"
		p.accepts("the same ids of another issuer", token)
	}},
	{"Check/compares bytewise", func(p *probe) {
		token := with(p.token(), func(t *revoke.Token) { t.ID, t.SessionID, t.Subject = "Straße", "Straße", "Straße" })
		p.must("RevokeToken", p.RevokeToken(p.ctx, token))
		p.must("RevokeSession", p.RevokeSession(p.ctx, sessionOf(token)))
		_, err := p.RevokeUser(p.ctx, userOf(token))
		p.must("RevokeUser", err)
		for _, other := range []string{"straße", "STRASSE", "Strasse", "Straße ", " Straße", "Straße\n", "Strasẞe"} {
			p.accepts(other, with(token, func(t *revoke.Token) { t.ID, t.SessionID, t.Subject = other, other, other }))
		}
		composed, decomposed := "caf\u00e9", "cafe\u0301"
		token.ID = composed
		token.SessionID, token.Subject = "", ""
		p.must("RevokeToken", p.RevokeToken(p.ctx, token))
		token.ID = decomposed
		p.accepts("another normal form", token)
	}},
	{"Check/keeps kinds and lengths apart", func(p *probe) {
		token := p.token()
		token.SessionID, token.Subject = token.ID, token.ID
		p.must("RevokeToken", p.RevokeToken(p.ctx, token))
		p.accepts("a session of the same name", with(token, func(t *revoke.Token) { t.ID = "other" }))
		shifted := with(token, func(t *revoke.Token) { t.Issuer, t.ID = t.Issuer+t.ID[:1], t.ID[1:] })
		shifted.SessionID, shifted.Subject = "", ""
		p.accepts("the same letters, split elsewhere", shifted)
		whole := with(token, func(t *revoke.Token) { t.SessionID, t.Subject = "", "" })
		p.refuses("without session and subject", whole, revoke.ScopeToken)
	}},
	{"Check/names nobody by an empty id", func(p *probe) {
		token := p.token()
		for _, remove := range []func(*revoke.Token){
			func(t *revoke.Token) { t.ID = "" },
			func(t *revoke.Token) { t.SessionID = "" },
			func(t *revoke.Token) { t.Subject = "" },
		} {
			p.accepts("one id less", with(token, remove))
		}
	}},
	{"Check/does not refuse for an epoch a token without a subject", func(p *probe) {
		token := p.token()
		_, err := p.RevokeUser(p.ctx, userOf(token))
		p.must("RevokeUser", err)
		p.accepts("no subject", with(token, func(t *revoke.Token) { t.Subject = "" }))
	}},
	{"Check/demands identity and times", func(p *probe) {
		token := p.token()
		for what, damage := range map[string]func(*revoke.Token){
			"no issuer":          func(t *revoke.Token) { t.Issuer = "" },
			"no id at all":       func(t *revoke.Token) { t.ID, t.SessionID, t.Subject = "", "", "" },
			"no time of issue":   func(t *revoke.Token) { t.IssuedAt = time.Time{} },
			"no expiry":          func(t *revoke.Token) { t.ExpiresAt = time.Time{} },
			"expiry after 9999":  func(t *revoke.Token) { t.ExpiresAt = time.Unix(18446744074709, 0) },
			"issued before 1970": func(t *revoke.Token) { t.IssuedAt = time.Unix(-9223372036855-1000000, 0) },
			"issued after 9999":  func(t *revoke.Token) { t.IssuedAt = time.Unix(18446744074709, 0) },
			"expiry before 1970": func(t *revoke.Token) { t.ExpiresAt = time.Unix(-1, 0) },
			"expired long ago":   func(t *revoke.Token) { t.ExpiresAt = time.Now().Add(-revoke.MaxLeeway - time.Minute) },
			"expiry in 500 days": func(t *revoke.Token) { t.ExpiresAt = time.Now().Add(500 * 24 * time.Hour) },
		} {
			p.matches(what+": Check", p.Check(p.ctx, with(token, damage)), revoke.ErrInvalidToken)
		}
		for what, bad := range badIDs {
			for _, damage := range []func(*revoke.Token){
				func(t *revoke.Token) { t.Issuer = bad },
				func(t *revoke.Token) { t.ID = bad },
				func(t *revoke.Token) { t.SessionID = bad },
				func(t *revoke.Token) { t.Subject = bad },
			} {
				p.matches(what+": Check", p.Check(p.ctx, with(token, damage)), revoke.ErrInvalidToken)
			}
		}
		longest := with(token, func(t *revoke.Token) { t.ID = strings.Repeat("x", revoke.MaxIDLength) })
		p.accepts("the longest id", longest)
	}},
	{"Check/forgives an expiry within MaxLeeway and no other", func(p *probe) {
		token := p.token()
		token.ExpiresAt = time.Now().Add(-revoke.MaxLeeway + time.Minute)
		p.accepts("expired for less than MaxLeeway", token)
		token.ExpiresAt = time.Now().Add(revoke.MaxTokenLifetime)
		p.accepts("expires at MaxTokenLifetime", token)
	}},
	{"Check/is unavailable when ctx has ended, whatever was revoked", func(p *probe) {
		token := p.token()
		p.must("RevokeToken", p.RevokeToken(p.ctx, token))
		ctx, cancel := context.WithCancel(p.ctx)
		cancel()
		err := p.Check(ctx, token)
		p.matches("Check", err, revoke.ErrUnavailable)
		if !errors.Is(err, context.Canceled) {
			p.errorf("Check = %v, want the cause in it", err)
		}
	}},
	{"Check/may be used from several goroutines", func(p *probe) {
		dead, alive := p.token(), p.token()
		p.must("RevokeToken", p.RevokeToken(p.ctx, dead))
		errs := make([]error, 64)
		var group sync.WaitGroup
		for i := range errs {
			group.Go(func() {
				token := []revoke.Token{dead, alive}[i%2]
				errs[i] = errors.Join(p.Check(p.ctx, token), p.RevokeToken(p.ctx, with(dead, func(t *revoke.Token) { t.ID += "x" })))
			})
		}
		group.Wait()
		for i, err := range errs {
			if errors.Is(err, revoke.ErrRevoked) != (i%2 == 0) {
				p.errorf("goroutine %d: Check = %v", i, err)
			}
		}
	}},
}
