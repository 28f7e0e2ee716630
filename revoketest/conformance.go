package revoketest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pgrevoke/revoke"
)

// Test runs the conformance suite: every sentence of the comments on [revoke.Checker],
// [revoke.Revoker] and [revoke.Store] is a subtest. open is called once for each of them and may
// return the same store every time, since each uses an issuer of its own. The store's clock must
// agree with this machine's to within a second. The subtests run in parallel and take a few
// seconds.
func Test(t *testing.T, open func(testing.TB) revoke.Store) {
	t.Helper()
	for _, c := range slices.Concat(checkCases, tokenCases, epochCases, skewCases, storeCases) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			subtest := func(name string, run func() []error) {
				t.Run(name, func(t *testing.T) {
					for _, err := range run() {
						t.Error(err)
					}
				})
			}
			for _, err := range c.failures(t.Context(), open(t), subtest) {
				t.Error(err)
			}
		})
	}
}

// testCase is one promise. It tells what is broken through its probe, so that a test of the suite
// can listen.
type testCase struct {
	name string
	run  func(*probe)
}

// failures runs the case and returns what it found. Rows of the case are run by subtest, or as
// part of the case where that is nil.
func (c testCase) failures(ctx context.Context, store revoke.Store, subtest func(string, func() []error)) []error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	p := &probe{ctx: ctx, Store: store, issuer: "https://" + rand.Text() + ".example", subtest: subtest}
	return p.run(c.run)
}

// probe is a store under test, and what was found wrong with it.
type probe struct {
	revoke.Store
	ctx     context.Context
	issuer  string
	subtest func(name string, run func() []error)
	found   []error
}

// run calls a case or a row of it, and returns what it found.
func (p *probe) run(run func(*probe)) (found []error) {
	defer func() {
		if r := recover(); r != nil {
			if _, stopped := r.(stop); !stopped {
				panic(r)
			}
		}
		found = p.found
	}()
	run(p)
	return p.found
}

// row runs one row of a case's table, so that it can be run alone.
func (p *probe) row(name string, run func(*probe)) {
	row := &probe{ctx: p.ctx, Store: p.Store, issuer: p.issuer}
	if p.subtest == nil {
		p.found = append(p.found, row.run(run)...)
		return
	}
	p.subtest(name, func() []error { return row.run(run) })
}

// stop ends a case that cannot go on.
type stop struct{}

func (p *probe) errorf(format string, args ...any) {
	p.found = append(p.found, fmt.Errorf(format, args...))
}

// must ends the case unless err is nil.
func (p *probe) must(doing string, err error) {
	if err != nil {
		p.errorf("%s: %w", doing, err)
		panic(stop{})
	}
}

// token returns a fresh token, issued ten seconds ago and valid for an hour.
func (p *probe) token() revoke.Token {
	now := time.Now().UTC().Truncate(time.Second)
	return revoke.Token{
		Issuer:    p.issuer,
		ID:        rand.Text(),
		Subject:   "user-" + rand.Text(),
		SessionID: "session-" + rand.Text(),
		IssuedAt:  now.Add(-10 * time.Second),
		ExpiresAt: now.Add(time.Hour),
	}
}

// stamped returns the token with an iat and a skew by which it counts as issued at this instant,
// to the microsecond.
func stamped(token revoke.Token, at time.Time) revoke.Token {
	token.IssuedAt = at.UTC().Truncate(time.Second).Add(2 * time.Second)
	token.IssuerSkew = token.IssuedAt.Sub(at)
	return token
}

// with returns a copy of the token, changed.
func with(token revoke.Token, change func(*revoke.Token)) revoke.Token {
	change(&token)
	return token
}

// accepts expects nil from Check.
func (p *probe) accepts(what string, token revoke.Token) {
	if err := p.Check(p.ctx, token); err != nil {
		p.errorf("%s: Check = %v, want nil", what, err)
	}
}

// refuses expects a revocation of this scope from Check, and returns since when.
func (p *probe) refuses(what string, token revoke.Token, scope revoke.Scope) time.Time {
	err := p.Check(p.ctx, token)
	p.matches(what+": Check", err, revoke.ErrRevoked)
	return p.scope(what, err, scope)
}

// scope expects err to be a *RevokedError of this scope, and returns since when.
func (p *probe) scope(what string, err error, scope revoke.Scope) time.Time {
	var revoked *revoke.RevokedError
	if !errors.As(err, &revoked) {
		p.errorf("%s: error %v is no *RevokedError", what, err)
		return time.Time{}
	}
	if revoked.Scope != scope {
		p.errorf("%s: scope %s, want %s", what, revoked.Scope, scope)
	}
	if since := time.Since(revoked.Since); !revoked.Since.IsZero() && (since < -time.Second || since > time.Minute) {
		p.errorf("%s: revoked since %v, want about now", what, revoked.Since)
	}
	return revoked.Since
}

// matches expects err to match this sentinel and no other.
func (p *probe) matches(what string, err, want error) {
	for _, sentinel := range []error{revoke.ErrRevoked, revoke.ErrInvalidToken, revoke.ErrUnavailable} {
		if got := errors.Is(err, sentinel); got != errors.Is(want, sentinel) {
			p.errorf("%s = %v, want an error that matches %q and no other", what, err, want)
			return
		}
	}
}

// revocation expects exactly one revocation from Lookup.
func (p *probe) revocation(token revoke.Token) revoke.Revocation {
	found, err := p.Lookup(p.ctx, token)
	p.must("Lookup", err)
	if len(found) != 1 {
		p.errorf("Lookup = %+v, want one revocation", found)
		panic(stop{})
	}
	return found[0]
}

// unknown expects no revocation from Lookup.
func (p *probe) unknown(what string, token revoke.Token) {
	found, err := p.Lookup(p.ctx, token)
	p.must("Lookup", err)
	if len(found) != 0 {
		p.errorf("%s: Lookup = %+v, want nothing", what, found)
	}
}

// near expects a time within some seconds of another, because clocks differ and machines are slow.
func (p *probe) near(what string, got, want time.Time) {
	if d := got.Sub(want).Abs(); d > 30*time.Second {
		p.errorf("%s = %v, want about %v", what, got, want)
	}
}
