package revoketest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/pgrevoke/revoke"
)

// writes are all writes of a Revoker, each for the issuer and the id that are given.
var writes = []struct {
	name string // of the method
	do   func(ctx context.Context, r revoke.Revoker, issuer, id string, opts ...revoke.RevokeOption) error
}{
	{"RevokeToken", func(ctx context.Context, r revoke.Revoker, issuer, id string, opts ...revoke.RevokeOption) error {
		return r.RevokeToken(ctx, revoke.Token{Issuer: issuer, ID: id}, opts...)
	}},
	{"RevokeTokens", func(ctx context.Context, r revoke.Revoker, issuer, id string, opts ...revoke.RevokeOption) error {
		return r.RevokeTokens(ctx, []revoke.Token{{Issuer: issuer, ID: "good"}, {Issuer: issuer, ID: id}}, opts...)
	}},
	{"RevokeSession", func(ctx context.Context, r revoke.Revoker, issuer, id string, opts ...revoke.RevokeOption) error {
		return r.RevokeSession(ctx, revoke.Session{Issuer: issuer, ID: id}, opts...)
	}},
	{"RevokeUser", func(ctx context.Context, r revoke.Revoker, issuer, id string, opts ...revoke.RevokeOption) error {
		_, err := r.RevokeUser(ctx, revoke.User{Issuer: issuer, Subject: id}, opts...)
		return err
	}},
	{"RevokeUsers", func(ctx context.Context, r revoke.Revoker, issuer, id string, opts ...revoke.RevokeOption) error {
		_, err := r.RevokeUsers(ctx, []revoke.User{{Issuer: issuer, Subject: "another"}, {Issuer: issuer, Subject: id}}, opts...)
		return err
	}},
	{"RevokeUserBefore", func(ctx context.Context, r revoke.Revoker, issuer, id string, opts ...revoke.RevokeOption) error {
		return r.RevokeUserBefore(ctx, revoke.User{Issuer: issuer, Subject: id}, time.Now(), opts...)
	}},
	{"Redeem", func(ctx context.Context, r revoke.Revoker, issuer, id string, opts ...revoke.RevokeOption) error {
		return r.Redeem(ctx, revoke.Token{Issuer: issuer, ID: id, ExpiresAt: time.Now().Add(time.Hour)}, opts...)
	}},
}

// named returns a token with this name in each of its fields.
func (p *probe) named(id string) revoke.Token {
	return with(p.token(), func(t *revoke.Token) { t.ID, t.SessionID, t.Subject = id, id, id })
}

// tokenTexts are what an app may hand on in place of an id.
var tokenTexts = []struct{ name, text string }{
	{"a JWS", "eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiIxIn0.c2ln"},
	{"a JWS with the word Bearer", "Bearer eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiIxIn0.c2ln"},
	{"a JWS in lines", "\teyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiIxIn0.c2ln\n"},
	{"a JWS without a signature", "eyJhbGciOiJub25lIn0.eyJqdGkiOiIxIn0."},
	{"a JWS with a space in its header", "eyAiYWxnIjoiRVMyNTYiIH0.eyJqdGkiOiIxIn0.c2ln"},
	{"a JWS that is too long for an id", "eyJhbGciOiJFUzI1NiJ9." + strings.Repeat("A", revoke.MaxIDLength) + ".c2ln"},
	{"a JWE", "eyJlbmMiOiJBMTI4R0NNIn0.a2V5.aXY.dGV4dA.dGFn"},
}

var tokenCases = []testCase{
	{"Revoker/the text of a token is refused as a name, and the error says what to pass", func(p *probe) {
		for _, write := range writes {
			for _, token := range tokenTexts {
				p.row(write.name+"/"+token.name, func(p *probe) {
					for what, err := range map[string]error{
						"id":     write.do(p.ctx, p, p.issuer, token.text),
						"issuer": write.do(p.ctx, p, token.text, "good"),
					} {
						if err == nil || !strings.Contains(err.Error(), "is the text of a token: pass") || strings.Contains(err.Error(), "eyJ") {
							p.errorf("with the text as %s: %v, want an error that says what to pass, without the text", what, err)
						}
					}
					p.matches("Check", p.Check(p.ctx, p.named(token.text)), revoke.ErrInvalidToken)
				})
			}
			for _, name := range []string{"com.example.app", "a.b.c", "bnVtYmVy.b.c", "W10.e30.e30", "1.2.3.4.5", "eyJhbGciOiJFUzI1NiJ9", "42."} {
				p.row(write.name+"/"+name, func(p *probe) {
					if err := write.do(p.ctx, p, p.issuer, name+"-"+write.name); err != nil {
						p.errorf("%v, want nil for a name with dots", err)
					}
				})
			}
		}
	}},
	{"Revoker/an empty or malformed name is an error, and nothing is written", func(p *probe) {
		fails := func(p *probe, what string, err error) {
			if err == nil {
				p.errorf("%s succeeds", what)
			}
		}
		bad := append([]struct{ name, id string }{{"empty", ""}}, badIDs...)
		for _, write := range writes {
			for _, b := range bad {
				p.row(write.name+"/"+b.name, func(p *probe) {
					fails(p, "with the name", write.do(p.ctx, p, p.issuer, b.id))
					fails(p, "with the issuer", write.do(p.ctx, p, b.id, "good"))
					if b.id != "" {
						fails(p, "with the reason", write.do(p.ctx, p, p.issuer, "good", revoke.WithReason(b.id)))
						fails(p, "with the actor", write.do(p.ctx, p, p.issuer, "good", revoke.WithActor(b.id)))
					}
				})
			}
			p.row(write.name+"/a nil option", func(p *probe) {
				fails(p, "it", write.do(p.ctx, p, p.issuer, "good", nil))
			})
		}
		for _, b := range bad {
			p.row("RevokeIssuer/"+b.name, func(p *probe) {
				_, err := p.RevokeIssuer(p.ctx, b.id)
				fails(p, "with the issuer", err)
			})
			p.row("Epochs/"+b.name, func(p *probe) {
				_, err := p.Epochs(p.ctx, revoke.User{Issuer: p.issuer, Subject: b.id})
				fails(p, "with the subject", err)
			})
			p.row("IssueTime/"+b.name, func(p *probe) {
				_, err := p.IssueTime(p.ctx, revoke.User{Issuer: p.issuer, Subject: b.id})
				fails(p, "with the subject", err)
			})
		}
		p.accepts("after all that", p.named("good"))
	}},
	{"Revoker/the error names the wrong field", func(p *probe) {
		err := p.RevokeSession(p.ctx, revoke.Session{Issuer: p.issuer})
		if err == nil || !strings.Contains(err.Error(), "session is empty") {
			p.errorf("RevokeSession = %v, want it to say that the session is empty", err)
		}
		p.matches("RevokeToken", p.RevokeToken(p.ctx, revoke.Token{Issuer: p.issuer}), revoke.ErrInvalidToken)
	}},
	{"Revoker/is unavailable when ctx has ended, and writes nothing", func(p *probe) {
		ctx, cancel := context.WithCancel(p.ctx)
		cancel()
		for _, write := range writes {
			p.row(write.name, func(p *probe) {
				p.matches("the write", write.do(ctx, p, p.issuer, "id"), revoke.ErrUnavailable)
			})
		}
		p.accepts("afterwards", p.named("id"))
	}},
	{"Revoker/the first reason and actor stay", func(p *probe) {
		for _, write := range writes {
			if write.name == "RevokeTokens" || write.name == "Redeem" {
				continue // the rows of RevokeToken
			}
			p.row(write.name, func(p *probe) {
				id := write.name
				p.must("without a reason", write.do(p.ctx, p, p.issuer, id))
				p.must("with a reason", write.do(p.ctx, p, p.issuer, id, revoke.WithReason("first")))
				p.must("with both", write.do(p.ctx, p, p.issuer, id, revoke.WithReason("second"), revoke.WithActor("an operator")))
				if r := p.revocation(p.named(id)); r.Reason != "first" || r.Actor != "an operator" {
					p.errorf("reason %q and actor %q, want %q and %q", r.Reason, r.Actor, "first", "an operator")
				}
			})
		}
	}},
	{"RevokeToken/leaves other tokens of the user alone", func(p *probe) {
		token := p.token()
		p.must("RevokeToken", p.RevokeToken(p.ctx, token))
		p.accepts("another token of the session", with(token, func(t *revoke.Token) { t.ID = "other" }))
	}},
	{"RevokeToken/again leaves the time of the first and never shortens the expiry", func(p *probe) {
		token := p.token()
		p.must("RevokeToken", p.RevokeToken(p.ctx, token))
		first := p.revocation(token)
		if !first.ExpiresAt.Equal(token.ExpiresAt) {
			p.errorf("the record expires at %v, want the token's own %v", first.ExpiresAt, token.ExpiresAt)
		}
		shorter := with(token, func(t *revoke.Token) { t.ExpiresAt = t.ExpiresAt.Add(-time.Minute) })
		p.must("RevokeToken", p.RevokeToken(p.ctx, shorter))
		if again := p.revocation(token); again != first {
			p.errorf("after a repeat %+v, want %+v", again, first)
		}
		longer := with(token, func(t *revoke.Token) { t.ExpiresAt = t.ExpiresAt.Add(time.Minute) })
		p.must("RevokeToken", p.RevokeToken(p.ctx, longer))
		again := p.revocation(token)
		if !again.ExpiresAt.Equal(longer.ExpiresAt) || !again.Since.Equal(first.Since) {
			p.errorf("after a longer repeat %+v, want the expiry %v and the time of the first", again, longer.ExpiresAt)
		}
		p.must("RevokeToken", p.RevokeToken(p.ctx, shorter, revoke.WithReason("the first")))
		if noted := p.revocation(token); !noted.ExpiresAt.Equal(longer.ExpiresAt) || noted.Reason != "the first" {
			p.errorf("after a shorter repeat with a reason %+v, want the reason and the expiry %v", noted, longer.ExpiresAt)
		}
	}},
	{"RevokeToken/keeps a token that looks expired, because the clock may be ahead", func(p *probe) {
		for _, ago := range []time.Duration{revoke.MaxLeeway, 2 * time.Hour, 48 * time.Hour} {
			token := p.token()
			expired := with(token, func(t *revoke.Token) { t.ExpiresAt = time.Now().Add(-ago) })
			p.must("RevokeToken", p.RevokeToken(p.ctx, expired))
			p.refuses(fmt.Sprintf("expired %v ago", ago), token, revoke.ScopeToken)
			p.near("expiry", p.revocation(token).ExpiresAt, time.Now())
		}
	}},
	{"RevokeToken/counts an unknown expiry as MaxTokenLifetime", func(p *probe) {
		token := p.token()
		p.must("RevokeToken", p.RevokeToken(p.ctx, revoke.Token{Issuer: token.Issuer, ID: token.ID}))
		r := p.revocation(token)
		p.near("expiry", r.ExpiresAt, time.Now().Add(keepFor))
		p.must("RevokeToken", p.RevokeToken(p.ctx, token))
		if again := p.revocation(token); !again.ExpiresAt.Equal(r.ExpiresAt) {
			p.errorf("a repeat with an expiry moved it from %v to %v", r.ExpiresAt, again.ExpiresAt)
		}
	}},
	{"RevokeToken/refuses an expiry that no database can keep", func(p *probe) {
		for _, seconds := range []int64{-1, 253402300800, 18446744074709} {
			p.row(fmt.Sprint(seconds), func(p *probe) {
				err := p.RevokeToken(p.ctx, revoke.Token{Issuer: p.issuer, ID: "id", ExpiresAt: time.Unix(seconds, 0)})
				p.matches("RevokeToken", err, revoke.ErrInvalidToken)
			})
		}
	}},
	{"RevokeTokens/revokes many, with duplicates, in any order, from two callers at once", func(p *probe) {
		const n = 10_000
		tokens := make([]revoke.Token, 0, n+n/10)
		base := p.token()
		for i := range n {
			tokens = append(tokens, with(base, func(t *revoke.Token) { t.ID = fmt.Sprint("bulk-", i) }))
		}
		tokens = append(tokens, tokens[:n/10]...)
		backwards := make([]revoke.Token, 0, len(tokens))
		for i := range tokens {
			backwards = append(backwards, tokens[len(tokens)-1-i])
		}
		var group sync.WaitGroup
		errs := make([]error, 2)
		for i, batch := range [][]revoke.Token{tokens, backwards} {
			group.Go(func() { errs[i] = p.RevokeTokens(p.ctx, batch, revoke.WithReason("bulk")) })
		}
		group.Wait()
		for _, err := range errs {
			p.must("RevokeTokens", err)
		}
		for i := 0; i < n; i += 997 {
			p.refuses(tokens[i].ID, tokens[i], revoke.ScopeToken)
		}
		p.accepts("one that is not among them", base)
	}},
	{"RevokeTokens/keeps the longest expiry of duplicates", func(p *probe) {
		token := p.token()
		later := with(token, func(t *revoke.Token) { t.ExpiresAt = t.ExpiresAt.Add(time.Hour) })
		p.must("RevokeTokens", p.RevokeTokens(p.ctx, []revoke.Token{token, later, token}))
		if r := p.revocation(token); !r.ExpiresAt.Equal(later.ExpiresAt) {
			p.errorf("the record expires at %v, want %v", r.ExpiresAt, later.ExpiresAt)
		}
		unknown := with(token, func(t *revoke.Token) { t.ExpiresAt = time.Time{} })
		p.must("RevokeTokens", p.RevokeTokens(p.ctx, []revoke.Token{unknown, token}))
		p.near("expiry", p.revocation(token).ExpiresAt, time.Now().Add(keepFor))
	}},
	{"RevokeTokens/is all or none", func(p *probe) {
		token := p.token()
		err := p.RevokeTokens(p.ctx, []revoke.Token{token, {Issuer: p.issuer, ID: "a\x00b"}})
		p.matches("RevokeTokens", err, revoke.ErrInvalidToken)
		p.accepts("the good one", token)
		p.must("RevokeTokens of none", p.RevokeTokens(p.ctx, nil))
	}},
	{"RevokeSession/revokes what is issued later in it, and no other session", func(p *probe) {
		token := p.token()
		p.must("RevokeSession", p.RevokeSession(p.ctx, token.Session()))
		since := p.refuses("now", token, revoke.ScopeSession)
		later := with(token, func(t *revoke.Token) { t.ID, t.IssuedAt = "later", time.Now().Add(time.Minute) })
		later.Epochs, later.HasEpochs = revoke.Epochs{User: time.Now().UnixMicro(), Issuer: time.Now().UnixMicro()}, true
		p.refuses("issued later", later, revoke.ScopeSession)
		p.accepts("another session", with(token, func(t *revoke.Token) { t.SessionID = "other" }))
		p.accepts("no session", with(token, func(t *revoke.Token) { t.SessionID = "" }))
		p.must("RevokeSession", p.RevokeSession(p.ctx, token.Session()))
		if again := p.refuses("again", token, revoke.ScopeSession); !again.Equal(since) {
			p.errorf("a repeat moved the time from %v to %v", since, again)
		}
		p.near("expiry", p.revocation(token).ExpiresAt, time.Now().Add(keepFor))
	}},
	{"Redeem/one of many callers wins", func(p *probe) {
		const callers = 32
		token := p.token()
		errs := make([]error, callers)
		var group sync.WaitGroup
		for i := range errs {
			group.Go(func() { errs[i] = p.Redeem(p.ctx, token) })
		}
		group.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			p.matches("Redeem", err, revoke.ErrRevoked)
			if p.scope("Redeem", err, revoke.ScopeToken).IsZero() {
				p.errorf("Redeem = %v, want the time at which it was spent", err)
			}
		}
		if won != 1 {
			p.errorf("%d of %d callers won", won, callers)
		}
	}},
	{"Redeem/a redeemed token is a revoked token, and a revoked one cannot be redeemed", func(p *probe) {
		token := p.token()
		p.must("Redeem", p.Redeem(p.ctx, token, revoke.WithReason("used")))
		p.refuses("redeemed", token, revoke.ScopeToken)
		if r := p.revocation(token); r.Reason != "used" || !r.ExpiresAt.Equal(token.ExpiresAt) {
			p.errorf("Lookup = %+v, want the reason and the token's expiry", r)
		}
		other := p.token()
		p.must("RevokeToken", p.RevokeToken(p.ctx, other))
		p.matches("Redeem of a revoked token", p.Redeem(p.ctx, other), revoke.ErrRevoked)
	}},
	{"Redeem/needs issuer, id and expiry only, and no token past MaxLeeway", func(p *probe) {
		token := revoke.Token{Issuer: p.issuer, ID: "link", ExpiresAt: time.Now().Add(-revoke.MaxLeeway + time.Minute)}
		p.must("Redeem", p.Redeem(p.ctx, token))
		token.ID, token.ExpiresAt = "old", time.Now().Add(-revoke.MaxLeeway-time.Minute)
		p.matches("Redeem of an expired token", p.Redeem(p.ctx, token), revoke.ErrInvalidToken)
		token.ExpiresAt = time.Time{}
		p.matches("Redeem without expiry", p.Redeem(p.ctx, token), revoke.ErrInvalidToken)
	}},
}
