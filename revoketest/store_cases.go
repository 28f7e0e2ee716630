package revoketest

import (
	"context"
	"errors"
	"time"

	"github.com/pgrevoke/revoke"
)

// contextFor returns a context that ends after d.
func contextFor(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(parent, d)
}

var storeCases = []testCase{
	{"Lookup/returns every revocation that refuses the token, the narrowest first", func(p *probe) {
		token := p.token()
		p.unknown("before", token)
		_, err := p.RevokeIssuer(p.ctx, token.Issuer, revoke.WithReason("issuer"))
		p.must("RevokeIssuer", err)
		_, err = p.RevokeUser(p.ctx, token.User(), revoke.WithReason("user"))
		p.must("RevokeUser", err)
		p.must("RevokeSession", p.RevokeSession(p.ctx, token.Session(), revoke.WithReason("session")))
		p.must("RevokeToken", p.RevokeToken(p.ctx, token, revoke.WithReason("token")))
		found, err := p.Lookup(p.ctx, token)
		p.must("Lookup", err)
		want := []revoke.Scope{revoke.ScopeToken, revoke.ScopeSession, revoke.ScopeUser, revoke.ScopeIssuer}
		if len(found) != len(want) {
			p.errorf("Lookup = %+v, want %v", found, want)
			return
		}
		for i, r := range found {
			if r.Scope != want[i] || r.Reason != string(want[i]) {
				p.errorf("revocation %d is %+v, want the %s", i, r, want[i])
			}
			p.near("since", r.Since, time.Now())
		}
	}},
	{"Lookup/leaves out an epoch that the token has outlived", func(p *probe) {
		token := p.token()
		p.must("RevokeUserBefore", p.RevokeUserBefore(p.ctx, token.User(), token.IssuedAt))
		p.unknown("issued after it", with(token, func(t *revoke.Token) { t.IssuerSkew = revoke.NoIssuerSkew }))
	}},
	{"Lookup/refuses what Check refuses", func(p *probe) {
		_, err := p.Lookup(p.ctx, revoke.Token{})
		p.matches("Lookup", err, revoke.ErrInvalidToken)
		ctx, cancel := context.WithCancel(p.ctx)
		cancel()
		_, err = p.Lookup(ctx, p.token())
		p.matches("Lookup", err, revoke.ErrUnavailable)
	}},
	{"InTx/writes are all done when fn returns nil", func(p *probe) {
		token, other := p.token(), p.token()
		var epochs revoke.Epochs
		p.must("InTx", p.InTx(p.ctx, func(tx revoke.Revoker) error {
			if err := tx.RevokeToken(p.ctx, token); err != nil {
				return err
			}
			var err error
			epochs, err = tx.RevokeUser(p.ctx, other.User())
			if err != nil {
				return err
			}
			if read, err := tx.Epochs(p.ctx, other.User()); err != nil || read != epochs {
				p.errorf("within the transaction Epochs = %v, %v, want %v", read, err, epochs)
			}
			return nil
		}))
		p.refuses("token", token, revoke.ScopeToken)
		p.refuses("user", other, revoke.ScopeUser)
		p.accepts("with its epochs", with(other, func(t *revoke.Token) { t.Epochs, t.HasEpochs = epochs, true }))
	}},
	{"InTx/none is done when fn returns an error, which comes back", func(p *probe) {
		token := p.token()
		failure := errors.New("no")
		err := p.InTx(p.ctx, func(tx revoke.Revoker) error {
			for _, write := range writes {
				p.must(write.name, write.do(p.ctx, tx, p.issuer, "in-"+write.name))
			}
			_, err := tx.RevokeIssuer(p.ctx, p.issuer)
			p.must("RevokeIssuer", err)
			p.must("RevokeToken", tx.RevokeToken(p.ctx, token))
			return failure
		})
		if !errors.Is(err, failure) {
			p.errorf("InTx = %v, want the error of fn", err)
		}
		p.accepts("afterwards", token)
		for _, write := range writes {
			p.row(write.name, func(p *probe) { p.accepts("afterwards", p.named("in-"+write.name)) })
		}
	}},
	{"InTx/none is done when a write failed, also where fn ignores it", func(p *probe) {
		done, missed := p.token(), p.token()
		err := p.InTx(p.ctx, func(tx revoke.Revoker) error {
			if err := tx.RevokeToken(p.ctx, done); err != nil {
				return err
			}
			ctx, cancel := context.WithCancel(p.ctx)
			cancel()
			if err := tx.RevokeToken(ctx, missed); err == nil {
				p.errorf("RevokeToken succeeds though its context has ended")
			}
			return nil
		})
		p.matches("InTx", err, revoke.ErrUnavailable)
		p.accepts("the token that was revoked before it", done)
		p.accepts("the token of the write that failed", missed)
	}},
	{"InTx/none is done when fn panics", func(p *probe) {
		token := p.token()
		func() {
			defer func() { _ = recover() }()
			_ = p.InTx(p.ctx, func(tx revoke.Revoker) error {
				p.must("RevokeToken", tx.RevokeToken(p.ctx, token))
				panic("fn panics")
			})
		}()
		p.accepts("afterwards", token)
		p.must("RevokeToken", p.RevokeToken(p.ctx, token))
	}},
	{"InTx/a redeemed token can be part of it", func(p *probe) {
		token := p.token()
		err := p.InTx(p.ctx, func(tx revoke.Revoker) error {
			p.must("Redeem", tx.Redeem(p.ctx, token))
			p.matches("Redeem again", tx.Redeem(p.ctx, token), revoke.ErrRevoked)
			return nil
		})
		p.must("InTx", err)
		p.refuses("afterwards", token, revoke.ScopeToken)
	}},
}
