package revoketest

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/pgrevoke/revoke"
)

// skews are skews of an issuer, as a token carries them, and what they count as.
var skews = []struct {
	name   string
	skew   time.Duration
	counts time.Duration
}{
	{"the default", 0, revoke.DefaultIssuerSkew},
	{"none", revoke.NoIssuerSkew, 0},
	{"the greatest", revoke.MaxIssuerSkew, revoke.MaxIssuerSkew},
	{"a microsecond", time.Microsecond, time.Microsecond},
	{"into the past", -295 * time.Second, -295 * time.Second},
	{"the furthest into the past", -revoke.MaxIssuerLag, -revoke.MaxIssuerLag},
}

// revokeScopes are the two revocations that compare instants.
var revokeScopes = []struct {
	scope  revoke.Scope
	revoke func(*probe, revoke.Token) error
}{
	{revoke.ScopeUser, func(p *probe, t revoke.Token) error { _, err := p.RevokeUser(p.ctx, t.User()); return err }},
	{revoke.ScopeIssuer, func(p *probe, t revoke.Token) error { _, err := p.RevokeIssuer(p.ctx, t.Issuer); return err }},
}

var skewCases = []testCase{
	{"IssuerSkew/a token that is further ahead is invalid, and one that is not is accepted", func(p *probe) {
		for _, row := range skews {
			p.row(row.name, func(p *probe) {
				token := with(p.token(), func(t *revoke.Token) { t.IssuerSkew = row.skew })
				most := time.Now().UTC().Truncate(time.Second).Add(row.counts.Truncate(time.Second))
				// Two seconds are for the clocks, and one for what is truncated.
				p.accepts("not ahead", with(token, func(t *revoke.Token) { t.IssuedAt = most.Add(-2 * time.Second) }))
				ahead := with(token, func(t *revoke.Token) { t.IssuedAt = most.Add(time.Minute) })
				p.matches("ahead: Check", p.Check(p.ctx, ahead), revoke.ErrInvalidToken)
			})
		}
	}},
	{"IssuerSkew/a value that is none is invalid", func(p *probe) {
		for _, skew := range []time.Duration{
			revoke.MaxIssuerSkew + time.Microsecond, -revoke.MaxIssuerLag - time.Microsecond, time.Nanosecond, -time.Nanosecond,
			math.MaxInt64, math.MinInt64 + 1,
		} {
			p.row(skew.String(), func(p *probe) {
				token := with(p.token(), func(t *revoke.Token) { t.IssuerSkew = skew })
				p.matches("Check", p.Check(p.ctx, token), revoke.ErrInvalidToken)
			})
		}
	}},
	{"IssuerSkew/what was accepted is refused after a revocation, under any skew", func(p *probe) {
		for _, row := range skews {
			for _, by := range revokeScopes {
				p.row(row.name+", "+string(by.scope), func(p *probe) {
					token := with(p.token(), func(t *revoke.Token) { t.IssuerSkew = row.skew })
					token.Issuer += fmt.Sprint("/", row.name, "/", by.scope)
					// From far ahead back to the latest iat that is accepted.
					token.IssuedAt = time.Now().UTC().Truncate(time.Second).Add(row.counts.Truncate(time.Second) + 4*time.Second)
					for errors.Is(p.Check(p.ctx, token), revoke.ErrInvalidToken) {
						token.IssuedAt = token.IssuedAt.Add(-time.Second)
					}
					p.accepts("before", token)
					p.must("revoke", by.revoke(p, token))
					p.refuses("after", token, by.scope)
				})
			}
		}
	}},
	{"IssuerSkew/what was issued before a revocation is refused after it", func(p *probe) {
		for _, row := range skews {
			p.row(row.name, func(p *probe) {
				token := with(p.token(), func(t *revoke.Token) { t.IssuerSkew = row.skew })
				// By an issuer that is ahead by this skew, a second ago.
				token.IssuedAt = time.Now().UTC().Add(row.counts - time.Second).Truncate(time.Second)
				_, err := p.RevokeUser(p.ctx, token.User())
				p.must("RevokeUser", err)
				p.refuses("after", token, revoke.ScopeUser)
			})
		}
	}},
	{"IssuerSkew/a token without a time of issue but 1970 is accepted until the first revocation", func(p *probe) {
		token := with(p.token(), func(t *revoke.Token) { t.IssuedAt = time.Unix(0, 0) })
		p.accepts("before", token) // its stamp lies before 1970
		_, err := p.RevokeUser(p.ctx, token.User())
		p.must("RevokeUser", err)
		p.refuses("after", token, revoke.ScopeUser)
	}},
}
