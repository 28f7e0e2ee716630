package revoketest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/pgrevoke/revoke"
)

// badIDs are names that no store takes.
var badIDs = []struct{ name, id string }{
	{"too long", strings.Repeat("x", revoke.MaxIDLength+1)},
	{"invalid UTF-8", "a\xffb"},
	{"NUL", "a\x00b"},
}

// damage is a change to a token.
type damage struct {
	name  string
	token func(*revoke.Token)
}

// nameFields put a name into each field of a token that has one.
var nameFields = []struct {
	name string
	set  func(t *revoke.Token, id string)
}{
	{"issuer", func(t *revoke.Token, id string) { t.Issuer = id }},
	{"id", func(t *revoke.Token, id string) { t.ID = id }},
	{"session", func(t *revoke.Token, id string) { t.SessionID = id }},
	{"subject", func(t *revoke.Token, id string) { t.Subject = id }},
}

var checkCases = []testCase{
	{"Check/accepts a token of which nothing was revoked", func(p *probe) {
		p.accepts("fresh", p.token())
	}},
	{"Check/sees a revocation that was made before it, in each scope", func(p *probe) {
		for _, row := range []struct {
			scope  revoke.Scope
			revoke func(*probe, revoke.Token) error
		}{
			{revoke.ScopeToken, func(p *probe, t revoke.Token) error { return p.RevokeToken(p.ctx, t) }},
			{revoke.ScopeSession, func(p *probe, t revoke.Token) error { return p.RevokeSession(p.ctx, t.Session()) }},
			{revoke.ScopeUser, func(p *probe, t revoke.Token) error { _, err := p.RevokeUser(p.ctx, t.User()); return err }},
			{revoke.ScopeIssuer, func(p *probe, t revoke.Token) error { _, err := p.RevokeIssuer(p.ctx, t.Issuer); return err }},
		} {
			p.row(string(row.scope), func(p *probe) {
				token := p.token()
				token.Issuer += "/" + string(row.scope)
				p.accepts("before", token)
				p.must("revoke", row.revoke(p, token))
				p.refuses("after", token, row.scope)
			})
		}
	}},
	{"Check/names the narrowest scope", func(p *probe) {
		token := p.token()
		_, err := p.RevokeIssuer(p.ctx, token.Issuer)
		p.must("RevokeIssuer", err)
		p.refuses("issuer", token, revoke.ScopeIssuer)
		_, err = p.RevokeUser(p.ctx, token.User())
		p.must("RevokeUser", err)
		p.refuses("user", token, revoke.ScopeUser)
		p.must("RevokeSession", p.RevokeSession(p.ctx, token.Session()))
		p.refuses("session", token, revoke.ScopeSession)
		p.must("RevokeToken", p.RevokeToken(p.ctx, token))
		p.refuses("token", token, revoke.ScopeToken)
	}},
	{"Check/knows a token by issuer and id together", func(p *probe) {
		token := p.token()
		p.must("RevokeToken", p.RevokeToken(p.ctx, token))
		p.must("RevokeSession", p.RevokeSession(p.ctx, token.Session()))
		_, err := p.RevokeUser(p.ctx, token.User())
		p.must("RevokeUser", err)
		_, err = p.RevokeIssuer(p.ctx, token.Issuer)
		p.must("RevokeIssuer", err)
		token.Issuer += "/other"
		p.accepts("the same ids of another issuer", token)
	}},
	{"Check/compares bytewise", func(p *probe) {
		token := with(p.token(), func(t *revoke.Token) { t.ID, t.SessionID, t.Subject = "Straße", "Straße", "Straße" })
		p.must("RevokeToken", p.RevokeToken(p.ctx, token))
		p.must("RevokeSession", p.RevokeSession(p.ctx, token.Session()))
		_, err := p.RevokeUser(p.ctx, token.User())
		p.must("RevokeUser", err)
		for _, other := range []string{"straße", "STRASSE", "Strasse", "Straße ", " Straße", "Straße\n", "Strasẞe"} {
			p.row(fmt.Sprintf("%q", other), func(p *probe) {
				p.accepts(other, with(token, func(t *revoke.Token) { t.ID, t.SessionID, t.Subject = other, other, other }))
			})
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
	{"Check/finds nothing by an empty id", func(p *probe) {
		token := p.token()
		for _, field := range nameFields[1:] {
			p.row("no "+field.name, func(p *probe) {
				p.accepts("one id less", with(token, func(t *revoke.Token) { field.set(t, "") }))
			})
		}
	}},
	{"Check/does not refuse for an epoch a token without a subject", func(p *probe) {
		token := p.token()
		_, err := p.RevokeUser(p.ctx, token.User())
		p.must("RevokeUser", err)
		p.accepts("no subject", with(token, func(t *revoke.Token) { t.Subject = "" }))
	}},
	{"Check/demands identity and times", func(p *probe) {
		token := p.token()
		for _, row := range []damage{
			{"no issuer", func(t *revoke.Token) { t.Issuer = "" }},
			{"no id at all", func(t *revoke.Token) { t.ID, t.SessionID, t.Subject = "", "", "" }},
			{"no time of issue", func(t *revoke.Token) { t.IssuedAt = time.Time{} }},
			{"no expiry", func(t *revoke.Token) { t.ExpiresAt = time.Time{} }},
			{"expiry after 9999", func(t *revoke.Token) { t.ExpiresAt = time.Unix(18446744074709, 0) }},
			{"issued before 1970", func(t *revoke.Token) { t.IssuedAt = time.Unix(-9223372036855-1000000, 0) }},
			{"issued after 9999", func(t *revoke.Token) { t.IssuedAt = time.Unix(18446744074709, 0) }},
			{"expiry before 1970", func(t *revoke.Token) { t.ExpiresAt = time.Unix(-1, 0) }},
			{"expired long ago", func(t *revoke.Token) { t.ExpiresAt = time.Now().Add(-revoke.MaxLeeway - time.Minute) }},
			{"expiry in 500 days", func(t *revoke.Token) { t.ExpiresAt = time.Now().Add(500 * 24 * time.Hour) }},
		} {
			p.row(row.name, func(p *probe) {
				p.matches("Check", p.Check(p.ctx, with(token, row.token)), revoke.ErrInvalidToken)
			})
		}
		for _, bad := range badIDs {
			for _, field := range nameFields {
				p.row(field.name+" with "+bad.name, func(p *probe) {
					damaged := with(token, func(t *revoke.Token) { field.set(t, bad.id) })
					p.matches("Check", p.Check(p.ctx, damaged), revoke.ErrInvalidToken)
				})
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
	{"Check/is unavailable when ctx has ended, also for a revoked token", func(p *probe) {
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
				errs[i] = cmp.Or(p.RevokeToken(p.ctx, with(dead, func(t *revoke.Token) { t.ID += "x" })), p.Check(p.ctx, token))
			})
		}
		group.Wait()
		for i, err := range errs {
			if errors.Is(err, revoke.ErrRevoked) != (i%2 == 0) || (err != nil) != (i%2 == 0) {
				p.errorf("goroutine %d: Check = %v", i, err)
			}
		}
	}},
}
