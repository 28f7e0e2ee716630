package revoketest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgrevoke/revoke"
)

// eachEpochCounts checks the token with claims around the epochs that stand, of which some have
// been revoked.
func (p *probe) eachEpochCounts(token revoke.Token, user, issuer bool) {
	e, err := p.Epochs(p.ctx, token.User())
	p.must("Epochs", err)
	for _, row := range []struct {
		name   string
		epochs revoke.Epochs
		dead   bool
	}{
		{"as they stand", e, false},
		{"an older user", revoke.Epochs{User: e.User - 1, Issuer: e.Issuer}, user},
		{"an older issuer", revoke.Epochs{User: e.User, Issuer: e.Issuer - 1}, issuer},
		{"an older user and a newer issuer", revoke.Epochs{User: e.User - 1, Issuer: e.Issuer + 1}, user},
		{"a newer user and an older issuer", revoke.Epochs{User: e.User + 1, Issuer: e.Issuer - 1}, issuer},
	} {
		if row.epochs.User < 0 || row.epochs.Issuer < 0 {
			continue
		}
		err := p.Check(p.ctx, with(token, func(t *revoke.Token) { t.Epochs, t.HasEpochs = row.epochs, true }))
		if (err != nil) != row.dead {
			p.errorf("%s, %v against %v: Check = %v", row.name, row.epochs, e, err)
		}
	}
}

var epochCases = []testCase{
	{"RevokeUser/revokes every earlier token, those of the same second too", func(p *probe) {
		token := p.token()
		_, err := p.RevokeUser(p.ctx, token.User())
		p.must("RevokeUser", err)
		p.refuses("earlier", token, revoke.ScopeUser)
		p.refuses("another session", with(token, func(t *revoke.Token) { t.ID, t.SessionID = "a", "b" }), revoke.ScopeUser)
		since := p.refuses("earlier", token, revoke.ScopeUser)
		second := since.Truncate(time.Second)
		p.refuses("same second", with(token, func(t *revoke.Token) { t.IssuedAt, t.IssuerSkew = second, revoke.NoIssuerSkew }), revoke.ScopeUser)
		p.refuses("a microsecond before it", stamped(token, since.Add(-time.Microsecond)), revoke.ScopeUser)
		p.accepts("at its instant", stamped(token, since))
		p.accepts("another user", with(token, func(t *revoke.Token) { t.Subject = "other" }))
		p.near("expiry", p.revocation(token).ExpiresAt, time.Now().Add(keepFor))
	}},
	{"RevokeUser/returns epochs for a token of the same request", func(p *probe) {
		token := p.token()
		before, err := p.Epochs(p.ctx, token.User())
		p.must("Epochs", err)
		after, err := p.RevokeUser(p.ctx, token.User())
		p.must("RevokeUser", err)
		p.refuses("with the epochs from before", with(token, func(t *revoke.Token) { t.Epochs, t.HasEpochs = before, true }), revoke.ScopeUser)
		p.accepts("with the epochs from after", with(token, func(t *revoke.Token) { t.Epochs, t.HasEpochs = after, true }))
		if read, err := p.Epochs(p.ctx, token.User()); err != nil || read != after {
			p.errorf("Epochs = %v, %v, want %v", read, err, after)
		}
	}},
	{"RevokeUser/a repeat is a new instant", func(p *probe) {
		token := p.token()
		var last revoke.Epochs
		for range 20 {
			next, err := p.RevokeUser(p.ctx, token.User())
			p.must("RevokeUser", err)
			if next.User <= last.User {
				p.errorf("epoch %d follows %d", next.User, last.User)
			}
			p.refuses("with the epochs of the one before", with(token, func(t *revoke.Token) { t.Epochs, t.HasEpochs = last, true }), revoke.ScopeUser)
			last = next
		}
	}},
	{"RevokeUsers/revokes every earlier token of each user, and of no other", func(p *probe) {
		tokens := []revoke.Token{p.token(), p.token(), p.token()}
		var users []revoke.User
		for _, token := range tokens {
			users = append(users, token.User())
		}
		_, err := p.RevokeUsers(p.ctx, users, revoke.WithReason("suspended"))
		p.must("RevokeUsers", err)
		for _, token := range tokens {
			since := p.refuses("earlier", token, revoke.ScopeUser)
			second := since.Truncate(time.Second)
			p.refuses("same second", with(token, func(t *revoke.Token) { t.IssuedAt, t.IssuerSkew = second, revoke.NoIssuerSkew }), revoke.ScopeUser)
			p.refuses("a microsecond before it", stamped(token, since.Add(-time.Microsecond)), revoke.ScopeUser)
			p.accepts("at its instant", stamped(token, since))
			r := p.revocation(token)
			p.near("expiry", r.ExpiresAt, time.Now().Add(keepFor))
			if r.Reason != "suspended" {
				p.errorf("the reason is %q", r.Reason)
			}
		}
		p.accepts("another user", p.token())
	}},
	{"RevokeUsers/returns each user's epochs in their order, of several issuers, with duplicates", func(p *probe) {
		a, b := p.token(), p.token()
		b.Issuer += "/other"
		_, err := p.RevokeIssuer(p.ctx, b.Issuer)
		p.must("RevokeIssuer", err)
		order := []revoke.Token{b, a, p.token(), a, b}
		var users []revoke.User
		for _, token := range order {
			users = append(users, token.User())
		}
		before, err := p.RevokeUsers(p.ctx, users)
		p.must("RevokeUsers", err)
		after, err := p.RevokeUsers(p.ctx, users)
		p.must("RevokeUsers", err)
		if len(before) != len(order) || len(after) != len(order) {
			p.errorf("%d users have %d and %d epochs", len(order), len(before), len(after))
			return
		}
		for i, token := range order {
			if after[i].User <= before[i].User {
				p.errorf("user %d: epoch %d follows %d", i, after[i].User, before[i].User)
			}
			if read, err := p.Epochs(p.ctx, token.User()); err != nil || read != after[i] {
				p.errorf("user %d: Epochs = %v, %v, want %v", i, read, err, after[i])
			}
			p.refuses("with the epochs from before", with(token, func(t *revoke.Token) { t.Epochs, t.HasEpochs = before[i], true }), revoke.ScopeUser)
			p.accepts("with the epochs from after", with(token, func(t *revoke.Token) { t.Epochs, t.HasEpochs = after[i], true }))
		}
	}},
	{"RevokeUsers/is all or none, and names the position of a wrong user", func(p *probe) {
		token := p.token()
		for i, row := range []struct {
			wrong    revoke.User
			position string
		}{
			{revoke.User{Issuer: p.issuer}, "user 1 of 3"},
			{revoke.User{Subject: "s"}, "user 2 of 3"},
			{revoke.User{Issuer: p.issuer, Subject: "a\x00b"}, "user 3 of 3"},
		} {
			p.row(row.position, func(p *probe) {
				users := []revoke.User{token.User(), token.User(), token.User()}
				users[i] = row.wrong
				epochs, err := p.RevokeUsers(p.ctx, users)
				p.matches("RevokeUsers", err, nil)
				if err == nil || !strings.Contains(err.Error(), row.position) || len(epochs) != 0 {
					p.errorf("RevokeUsers = %v, %v, want no epochs and an error with %q", epochs, err, row.position)
				}
			})
		}
		p.accepts("the right one", token)
	}},
	{"RevokeUsers/of no users is no error", func(p *probe) {
		epochs, err := p.RevokeUsers(p.ctx, nil)
		if err != nil || len(epochs) != 0 {
			p.errorf("RevokeUsers = %v, %v", epochs, err)
		}
	}},
	{"RevokeUsers/revokes many, in any order, from two callers at once", func(p *probe) {
		const n = 500
		users := make([]revoke.User, n)
		for i := range users {
			users[i] = revoke.User{Issuer: p.issuer, Subject: fmt.Sprint("bulk-", i)}
		}
		backwards := slices.Clone(users)
		slices.Reverse(backwards)
		batches := [][]revoke.User{users, backwards}
		each, errs := make([][]revoke.Epochs, len(batches)), make([]error, len(batches))
		var group sync.WaitGroup
		for i, batch := range batches {
			group.Go(func() { each[i], errs[i] = p.RevokeUsers(p.ctx, batch) })
		}
		group.Wait()
		for _, err := range errs {
			p.must("RevokeUsers", err)
		}
		base := p.token()
		for i, user := range users {
			if each[0][i] == each[1][n-1-i] {
				p.errorf("user %d: both callers have the epochs %v", i, each[0][i])
			}
			if i%97 == 0 {
				token := with(base, func(t *revoke.Token) { t.Subject = user.Subject })
				p.refuses(user.Subject, token, revoke.ScopeUser)
				last := max(each[0][i].User, each[1][n-1-i].User)
				p.accepts("with the later epoch", with(token, func(t *revoke.Token) { t.Epochs, t.HasEpochs = revoke.Epochs{User: last}, true }))
			}
		}
		p.accepts("one that is not among them", base)
	}},
	{"RevokeUserBefore/revokes what was issued before t, and is idempotent", func(p *probe) {
		token := with(p.token(), func(t *revoke.Token) { t.IssuerSkew = revoke.NoIssuerSkew })
		t := token.IssuedAt
		for range 2 {
			p.must("RevokeUserBefore", p.RevokeUserBefore(p.ctx, token.User(), t))
			p.accepts("issued at t", token)
			p.refuses("issued before t", with(token, func(k *revoke.Token) { k.IssuedAt = t.Add(-time.Second) }), revoke.ScopeUser)
			epochs, err := p.Epochs(p.ctx, token.User())
			p.must("Epochs", err)
			if want := (revoke.Epochs{User: t.UnixMicro()}); epochs != want {
				p.errorf("Epochs = %v, want %v", epochs, want)
			}
		}
	}},
	{"RevokeUserBefore/rounds up, so that nothing before t is left", func(p *probe) {
		token := with(p.token(), func(t *revoke.Token) { t.IssuerSkew = revoke.NoIssuerSkew })
		p.must("RevokeUserBefore", p.RevokeUserBefore(p.ctx, token.User(), token.IssuedAt.Add(time.Nanosecond)))
		p.refuses("issued a nanosecond before t", token, revoke.ScopeUser)
	}},
	{"RevokeUserBefore/never moves an epoch back", func(p *probe) {
		token := p.token()
		want, err := p.RevokeUser(p.ctx, token.User())
		p.must("RevokeUser", err)
		p.must("RevokeUserBefore", p.RevokeUserBefore(p.ctx, token.User(), time.Now().Add(-time.Hour)))
		if got, err := p.Epochs(p.ctx, token.User()); err != nil || got != want {
			p.errorf("Epochs = %v, %v, want %v", got, err, want)
		}
		p.refuses("afterwards", token, revoke.ScopeUser)
	}},
	{"RevokeUserBefore/refuses a time that is far ahead, and writes nothing", func(p *probe) {
		token := p.token()
		for _, row := range []struct {
			name string
			t    time.Time
		}{
			{"far ahead", time.Now().Add(revoke.MaxIssuerSkew + 10*time.Second)},
			{"before 1970", time.Unix(-1, 0)},
			{"after 9999", time.Unix(1<<40, 0)},
		} {
			p.row(row.name, func(p *probe) {
				if err := p.RevokeUserBefore(p.ctx, token.User(), row.t); err == nil {
					p.errorf("RevokeUserBefore(%v) succeeds", row.t)
				}
			})
		}
		p.accepts("afterwards", token)
	}},
	{"RevokeIssuer/revokes every token of every user, and no other issuer's", func(p *probe) {
		token := p.token()
		since, err := p.RevokeIssuer(p.ctx, p.issuer)
		p.must("RevokeIssuer", err)
		p.refuses("a user", token, revoke.ScopeIssuer)
		p.refuses("another user", with(token, func(t *revoke.Token) { t.Subject = "other" }), revoke.ScopeIssuer)
		p.refuses("no user", with(token, func(t *revoke.Token) { t.Subject = "" }), revoke.ScopeIssuer)
		p.accepts("another issuer", with(token, func(t *revoke.Token) { t.Issuer += "/other" }))
		epochs, err := p.Epochs(p.ctx, token.User())
		p.must("Epochs", err)
		if want := (revoke.Epochs{Issuer: since.UnixMicro()}); epochs != want {
			p.errorf("Epochs = %v, want %v", epochs, want)
		}
		p.accepts("with these epochs", with(token, func(t *revoke.Token) { t.Epochs, t.HasEpochs = epochs, true }))
		again, err := p.RevokeIssuer(p.ctx, p.issuer)
		p.must("RevokeIssuer", err)
		if !again.After(since) {
			p.errorf("a repeat gives %v after %v", again, since)
		}
		p.refuses("with the epochs of the first", with(token, func(t *revoke.Token) { t.Epochs, t.HasEpochs = epochs, true }), revoke.ScopeIssuer)
	}},
	{"Epochs/user and issuer count each by itself, in every order", func(p *probe) {
		base := time.Now().Add(-time.Hour).Truncate(time.Second)
		for user := range 3 {
			for issuer := range 2 {
				p.row(fmt.Sprintf("user %d, issuer %d", user, issuer), func(p *probe) {
					token := p.token()
					token.Issuer += fmt.Sprint("/", user, issuer)
					if user > 0 {
						before := base.Add(time.Duration(user) * time.Minute)
						p.must("RevokeUserBefore", p.RevokeUserBefore(p.ctx, token.User(), before))
					}
					if issuer > 0 {
						_, err := p.RevokeIssuer(p.ctx, token.Issuer)
						p.must("RevokeIssuer", err)
					}
					p.eachEpochCounts(token, user > 0, issuer > 0)
				})
			}
		}
	}},
	{"Epochs/each may be as late as the clock, or as the epoch that stands", func(p *probe) {
		token := p.token()
		p.must("RevokeUserBefore", p.RevokeUserBefore(p.ctx, token.User(), time.Now().Add(20*time.Second)))
		stands, err := p.Epochs(p.ctx, token.User())
		p.must("Epochs", err)
		for _, row := range []struct {
			name   string
			epochs revoke.Epochs
			ahead  bool
		}{
			{"the user's that stands, ahead of the clock", stands, false},
			{"a user's after the one that stands", revoke.Epochs{User: stands.User + 1}, true},
			{"an issuer's at the user's", revoke.Epochs{User: stands.User, Issuer: stands.User}, true},
			{"an issuer's of which there is no row", revoke.Epochs{User: stands.User, Issuer: time.Now().Add(-2 * time.Second).UnixMicro()}, false},
		} {
			p.row(row.name, func(p *probe) {
				claimed := with(token, func(t *revoke.Token) { t.Epochs, t.HasEpochs = row.epochs, true })
				if row.ahead {
					p.matches("Check", p.Check(p.ctx, claimed), revoke.ErrInvalidToken)
				} else {
					p.accepts(row.name, claimed)
				}
			})
		}
	}},
	{"Epochs/a pair that no revocation gave does not outlive a later one", func(p *probe) {
		token := p.token()
		lost := with(token, func(t *revoke.Token) {
			t.HasEpochs, t.Epochs = true, revoke.Epochs{User: time.Now().Add(time.Hour).UnixMicro()}
		})
		p.matches("Check before", p.Check(p.ctx, lost), revoke.ErrInvalidToken)
		_, err := p.RevokeUser(p.ctx, token.User())
		p.must("RevokeUser", err)
		p.matches("Check after", p.Check(p.ctx, lost), revoke.ErrInvalidToken)
	}},
	{"Epochs/are zero where nothing was revoked", func(p *probe) {
		epochs, err := p.Epochs(p.ctx, p.token().User())
		if err != nil || epochs != (revoke.Epochs{}) {
			p.errorf("Epochs = %v, %v, want zero", epochs, err)
		}
	}},
	{"IssueTime/is alive, in whole seconds, and not ahead of the clock", func(p *probe) {
		token := p.token()
		for _, row := range []struct {
			name   string
			revoke func() error
		}{
			{"nothing was revoked", func() error { return nil }},
			{"after RevokeUser", func() error { _, err := p.RevokeUser(p.ctx, token.User()); return err }},
			{"after RevokeIssuer", func() error { _, err := p.RevokeIssuer(p.ctx, token.Issuer); return err }},
		} {
			p.row(row.name, func(p *probe) {
				p.must("revoke", row.revoke())
				start := time.Now()
				iat, err := p.IssueTime(p.ctx, token.User())
				p.must("IssueTime", err)
				if iat.Nanosecond() != 0 {
					p.errorf("IssueTime = %v, want whole seconds", iat)
				}
				if ahead := time.Until(iat); ahead > time.Second {
					p.errorf("IssueTime is %v ahead", ahead)
				}
				if took := time.Since(start); took > 5*time.Second {
					p.errorf("IssueTime took %v", took)
				}
				p.accepts("stamped with it", with(token, func(t *revoke.Token) { t.IssuedAt, t.IssuerSkew = iat, revoke.NoIssuerSkew }))
			})
		}
	}},
	{"IssueTime/works within about a second of a hundred revocations", func(p *probe) {
		token := p.token()
		var last revoke.Epochs
		for range 100 {
			var err error
			last, err = p.RevokeUser(p.ctx, token.User())
			p.must("RevokeUser", err)
		}
		// A rule that adds a second for each would be far ahead now.
		if ahead := time.Until(time.UnixMicro(last.User)); ahead > time.Second {
			p.errorf("after a hundred revocations the epoch is %v ahead", ahead)
		}
		iat, err := p.IssueTime(p.ctx, token.User())
		p.must("IssueTime", err)
		p.accepts("signed in again", with(token, func(t *revoke.Token) { t.IssuedAt, t.IssuerSkew = iat, revoke.NoIssuerSkew }))
	}},
	{"IssueTime/ends with ctx", func(p *probe) {
		token := p.token()
		_, err := p.RevokeUser(p.ctx, token.User())
		p.must("RevokeUser", err)
		ctx, cancel := contextFor(p.ctx, time.Millisecond)
		defer cancel()
		if _, err := p.IssueTime(ctx, token.User()); err != nil {
			p.matches("IssueTime", err, revoke.ErrUnavailable)
		}
	}},
}
