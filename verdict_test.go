package revoke_test

import (
	"errors"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
)

// Places of the scopes among the keys of a verdict.
const (
	tokenPlace = iota
	sessionPlace
	userPlace
	issuerPlace
)

// TestVerdictOfToken gives each question its keys: one for each scope of which the token tells.
func TestVerdictOfToken(t *testing.T) {
	t.Parallel()
	full := mintedToken()
	for _, row := range []struct {
		name   string
		remove func(*revoke.Token)
		absent []int // places without a key
	}{
		{"all", func(*revoke.Token) {}, nil},
		{"no id", func(t *revoke.Token) { t.ID = "" }, []int{tokenPlace}},
		{"no session", func(t *revoke.Token) { t.SessionID = "" }, []int{sessionPlace}},
		{"no subject", func(t *revoke.Token) { t.Subject = "" }, []int{userPlace}},
		{"id alone", func(t *revoke.Token) { t.SessionID, t.Subject = "", "" }, []int{sessionPlace, userPlace}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			want := [4][16]byte{
				revoke.ScopeToken.Key(full.Issuer, full.ID), revoke.ScopeSession.Key(full.Issuer, full.SessionID),
				revoke.ScopeUser.Key(full.Issuer, full.Subject), revoke.ScopeIssuer.Key(full.Issuer, ""),
			}
			for _, place := range row.absent {
				want[place] = [16]byte{}
			}
			token := full
			row.remove(&token)
			var v revoke.Verdict
			if keys := testkit.Value(v.OfToken(token))(t); keys != want {
				t.Errorf("keys %x, want %x", keys, want)
			}
		})
	}
}

// TestVerdictCheck decides about one token, with rows at several places.
func TestVerdictCheck(t *testing.T) {
	t.Parallel()
	const none = -1
	token := mintedToken()
	token.IssuerSkew = revoke.NoIssuerSkew
	iat := token.IssuedAt.UnixMicro()
	skewed := func(d time.Duration) func(*revoke.Token) { return func(t *revoke.Token) { t.IssuerSkew = d } }
	claim := func(user, issuer int64) func(*revoke.Token) {
		return func(t *revoke.Token) { t.Epochs, t.HasEpochs = revoke.Epochs{User: user, Issuer: issuer}, true }
	}
	same := func(*revoke.Token) {}
	for _, row := range []struct {
		name  string
		token func(*revoke.Token)
		since [4]int64 // none where there is no row
		want  revoke.Scope
	}{
		{"no row", same, [4]int64{none, none, none, none}, ""},
		{"the token", same, [4]int64{5, none, none, none}, revoke.ScopeToken},
		{"the token since an unknown time", same, [4]int64{0, none, none, none}, revoke.ScopeToken},
		{"the session", same, [4]int64{none, 5, none, none}, revoke.ScopeSession},
		{"the session of a token with epochs", claim(1<<60, 1<<60), [4]int64{none, 5, none, none}, revoke.ScopeSession},
		{"the token before its session", same, [4]int64{5, 5, none, none}, revoke.ScopeToken},
		{"the session before its user", same, [4]int64{none, 5, iat + 1, none}, revoke.ScopeSession},
		{"the user before the issuer", same, [4]int64{none, none, iat + 1, iat + 1}, revoke.ScopeUser},
		{"all", same, [4]int64{5, 5, iat + 1, iat + 1}, revoke.ScopeToken},
		{"iat/the user at the instant", same, [4]int64{none, none, iat, none}, ""},
		{"iat/the user a microsecond later", same, [4]int64{none, none, iat + 1, none}, revoke.ScopeUser},
		{"iat/the user earlier", same, [4]int64{none, none, iat - 1, none}, ""},
		{"iat/the issuer at the instant", same, [4]int64{none, none, none, iat}, ""},
		{"iat/the issuer a microsecond later", same, [4]int64{none, none, none, iat + 1}, revoke.ScopeIssuer},
		{"iat/a fraction of a second does not count", func(t *revoke.Token) { t.IssuedAt = t.IssuedAt.Add(999 * time.Millisecond) },
			[4]int64{none, none, iat + 1, none}, revoke.ScopeUser},
		{"skew/the default, at the instant", skewed(0), [4]int64{none, none, iat - 5_000_000, none}, ""},
		{"skew/the default, a microsecond later", skewed(0), [4]int64{none, none, iat - 4_999_999, none}, revoke.ScopeUser},
		{"skew/the default of an issuer at the instant", skewed(0), [4]int64{none, none, none, iat - 5_000_000}, ""},
		{"skew/the default of an issuer a microsecond later", skewed(0), [4]int64{none, none, none, iat - 4_999_999}, revoke.ScopeIssuer},
		{"skew/a microsecond", skewed(time.Microsecond), [4]int64{none, none, iat, none}, revoke.ScopeUser},
		{"skew/a microsecond, at the instant", skewed(time.Microsecond), [4]int64{none, none, iat - 1, none}, ""},
		{"skew/into the past, at the instant", skewed(-30 * time.Second), [4]int64{none, none, iat + 30_000_000, none}, ""},
		{"skew/into the past, a microsecond later", skewed(-30 * time.Second), [4]int64{none, none, iat + 30_000_001, none}, revoke.ScopeUser},
		{"skew/no row of a user is no epoch of 1970", func(t *revoke.Token) { t.IssuerSkew, t.IssuedAt = 0, time.Unix(0, 0) },
			[4]int64{none, none, none, none}, ""},
		{"claim/the skew does not count", func(t *revoke.Token) { claim(7, 9)(t); t.IssuerSkew = revoke.MaxIssuerSkew },
			[4]int64{none, none, 7, 9}, ""},
		{"claim/the epochs that stand", claim(7, 9), [4]int64{none, none, 7, 9}, ""},
		{"claim/an older user", claim(6, 9), [4]int64{none, none, 7, 9}, revoke.ScopeUser},
		{"claim/an older issuer", claim(7, 8), [4]int64{none, none, 7, 9}, revoke.ScopeIssuer},
		{"claim/an issuer does not stand for its user", claim(6, 100), [4]int64{none, none, 7, 9}, revoke.ScopeUser},
		{"claim/a user does not stand for its issuer", claim(100, 8), [4]int64{none, none, 7, 9}, revoke.ScopeIssuer},
		{"claim/zero before the first revocation", claim(0, 0), [4]int64{none, none, none, none}, ""},
		{"claim/zero after a revocation of the user", claim(0, 0), [4]int64{none, none, 1, none}, revoke.ScopeUser},
		{"claim/zero after a revocation of the issuer", claim(0, 0), [4]int64{none, none, none, 1}, revoke.ScopeIssuer},
		{"claim/the iat does not count", claim(iat+9, iat+9), [4]int64{none, none, iat + 5, iat + 5}, ""},
		{"without HasEpochs the epochs do not count", func(t *revoke.Token) { t.Epochs.User = 1 << 60 },
			[4]int64{none, none, iat + 1, none}, revoke.ScopeUser},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			token := token
			row.token(&token)
			var v revoke.Verdict
			testkit.Value(v.OfToken(token))(t)
			for place, since := range row.since {
				if since != none {
					v.Found(place, since)
				}
			}
			err := v.Check(testkit.Now)
			if row.want == "" {
				testkit.Must(t, err)
				return
			}
			testkit.WantError(t, err, revoke.ErrRevoked)
			var revoked *revoke.RevokedError
			if !errors.As(err, &revoked) || revoked.Scope != row.want {
				t.Fatalf("Check = %v, want scope %s", err, row.want)
			}
			for place, scope := range revoke.KnownScopes() {
				since := row.since[place]
				if scope.Name != row.want {
					continue
				}
				if !v.Refuses(place) || revoked.Since.IsZero() != (since == 0) || since != 0 && revoked.Since.UnixMicro() != since {
					t.Errorf("revoked since %v, want %d µs", revoked.Since, since)
				}
			}
		})
	}
}

// TestVerdictAhead refuses tokens with a stamp ahead of the clock, at the boundaries.
func TestVerdictAhead(t *testing.T) {
	t.Parallel()
	const none = -1
	now := testkit.Now.UnixMicro()
	iat := func(d, skew time.Duration) func(*revoke.Token) {
		return func(t *revoke.Token) { t.IssuedAt, t.IssuerSkew = testkit.Now.Add(d), skew }
	}
	claim := func(user, issuer int64) func(*revoke.Token) {
		return func(t *revoke.Token) { t.Epochs, t.HasEpochs = revoke.Epochs{User: user, Issuer: issuer}, true }
	}
	for _, row := range []struct {
		name         string
		token        func(*revoke.Token)
		user, issuer int64 // none where there is no row
		ahead        bool
	}{
		{"no skew, now", iat(0, revoke.NoIssuerSkew), none, none, false},
		{"no skew, a second ahead", iat(time.Second, revoke.NoIssuerSkew), none, none, true},
		{"the default, at most", iat(5*time.Second, 0), none, none, false},
		{"the default, a second more", iat(6*time.Second, 0), none, none, true},
		{"a microsecond less than it takes", iat(time.Second, time.Second-time.Microsecond), none, none, true},
		{"just what it takes", iat(time.Second, time.Second), none, none, false},
		{"into the past, at most", iat(-30*time.Second, -30*time.Second), none, none, false},
		{"into the past, a second more", iat(-29*time.Second, -30*time.Second), none, none, true},
		{"an epoch ahead does not help an iat", iat(time.Second, revoke.NoIssuerSkew), now + 1_000_000, now + 1_000_000, true},
		{"claim/a user at the clock", claim(now, 0), none, none, false},
		{"claim/a user after it", claim(now+1, 0), none, none, true},
		{"claim/an issuer at the clock", claim(0, now), none, none, false},
		{"claim/an issuer after it", claim(0, now+1), none, none, true},
		{"claim/a user at the epoch that stands", claim(now+9, 0), now + 9, none, false},
		{"claim/a user after the epoch that stands", claim(now+10, 0), now + 9, none, true},
		{"claim/an issuer at the epoch that stands", claim(0, now+9), none, now + 9, false},
		{"claim/an issuer after the epoch that stands", claim(0, now+10), none, now + 9, true},
		{"claim/the issuer's epoch does not stand for the user's", claim(now+9, now+9), none, now + 9, true},
		{"claim/the user's epoch does not stand for the issuer's", claim(now+9, now+9), now + 9, none, true},
		{"claim/the iat does not count", func(t *revoke.Token) { claim(0, 0)(t); iat(time.Hour, 0)(t) }, none, none, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			token := mintedToken()
			row.token(&token)
			v := verdictOf(token)
			if row.user != none {
				v.Found(userPlace, row.user)
			}
			if row.issuer != none {
				v.Found(issuerPlace, row.issuer)
			}
			if ahead := v.Ahead(testkit.Now); ahead != row.ahead {
				t.Errorf("Ahead = %v", ahead)
			}
			switch err := v.Check(testkit.Now); {
			case !row.ahead:
				testkit.Must(t, err)
			default:
				testkit.WantError(t, err, revoke.ErrInvalidToken)
				if errors.Is(err, jwt.ErrTokenUsedBeforeIssued) == token.HasEpochs {
					t.Errorf("Check = %v", err)
				}
			}
		})
	}
}

// TestVerdictLifetime refuses tokens that no row may be kept for, at the boundaries.
func TestVerdictLifetime(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		expires time.Duration // after now
		found   bool
		want    error
	}{
		{"expired for MaxLeeway", -revoke.MaxLeeway, false, nil},
		{"expired for longer", -revoke.MaxLeeway - 1, false, revoke.ErrInvalidToken},
		{"the longest lifetime", revoke.MaxTokenLifetime + revoke.MaxLeeway, false, nil},
		{"a longer lifetime", revoke.MaxTokenLifetime + revoke.MaxLeeway + 1, false, revoke.ErrInvalidToken},
		{"revoked and expired for longer", -revoke.MaxLeeway - 1, true, revoke.ErrRevoked},
		{"revoked, with a longer lifetime", revoke.MaxTokenLifetime + revoke.MaxLeeway + 1, true, revoke.ErrRevoked},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			token := mintedToken()
			token.ExpiresAt = testkit.Now.Add(row.expires)
			var v revoke.Verdict
			testkit.Value(v.OfToken(token))(t)
			if row.found {
				v.Found(tokenPlace, 5)
			}
			if err := v.Check(testkit.Now); row.want == nil {
				testkit.Must(t, err)
			} else {
				testkit.WantError(t, err, row.want)
			}
		})
	}
}

// TestVerdictIsUsedAgain asks a second question, to which the rows of the first do not count.
func TestVerdictIsUsedAgain(t *testing.T) {
	t.Parallel()
	var v revoke.Verdict
	testkit.Value(v.OfToken(mintedToken()))(t)
	v.Found(tokenPlace, 5)
	v.Found(userPlace, 1<<60)
	testkit.WantError(t, v.Check(testkit.Now), revoke.ErrRevoked)
	testkit.Value(v.OfToken(mintedToken()))(t)
	testkit.Must(t, v.Check(testkit.Now))
	v.Found(tokenPlace, 5)
	testkit.Value(v.OfRedemption(mintedToken()))(t)
	testkit.Must(t, v.Redeem(testkit.Now))
	v.Found(userPlace, 5)
	testkit.Value(v.OfUser(ada))(t)
	if epochs := v.Epochs(); epochs != (revoke.Epochs{}) {
		t.Errorf("Epochs = %v", epochs)
	}
}

// TestVerdictOfAWrongQuestion asks for the answer after an error, which a store must not do, and
// gets no acceptance.
func TestVerdictOfAWrongQuestion(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		token revoke.Token
	}{
		{"no issuer", revoke.Token{ID: "t", IssuedAt: testkit.Now, ExpiresAt: testkit.Now.Add(time.Hour)}},
		{"an id with NUL", revoke.Token{Issuer: "i", ID: "\x00", IssuedAt: testkit.Now, ExpiresAt: testkit.Now.Add(time.Hour)}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var v revoke.Verdict
			testkit.Value(v.OfToken(revoke.Token{Issuer: "i", ID: "t", IssuedAt: testkit.Now, ExpiresAt: testkit.Now.Add(time.Hour)}))(t)
			_, err := v.OfToken(row.token)
			testkit.WantError(t, err, revoke.ErrInvalidToken)
			testkit.WantError(t, v.Check(testkit.Now), revoke.ErrInvalidToken)
			testkit.WantError(t, v.Redeem(testkit.Now), revoke.ErrInvalidToken)
		})
	}
}

func TestVerdictRedeem(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		expires time.Duration
		found   bool
		want    error
	}{
		{"not spent", time.Hour, false, nil},
		{"expired for MaxLeeway", -revoke.MaxLeeway, false, nil},
		{"expired for longer", -revoke.MaxLeeway - 1, false, revoke.ErrInvalidToken},
		{"spent", time.Hour, true, revoke.ErrRevoked},
		{"spent and expired for longer", -revoke.MaxLeeway - 1, true, revoke.ErrRevoked},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var v revoke.Verdict
			token := revoke.Token{Issuer: "i", ID: "t", ExpiresAt: testkit.Now.Add(row.expires)}
			keys := testkit.Value(v.OfRedemption(token))(t)
			if want := ([4][16]byte{revoke.ScopeToken.Key("i", "t")}); keys != want {
				t.Errorf("keys %x, want %x", keys, want)
			}
			if row.found {
				v.Found(tokenPlace, 5)
			}
			err := v.Redeem(testkit.Now)
			if row.want == nil {
				testkit.Must(t, err)
				return
			}
			testkit.WantError(t, err, row.want)
			if errors.Is(row.want, revoke.ErrInvalidToken) && !errors.Is(err, jwt.ErrTokenExpired) {
				t.Errorf("%v does not match %v", err, jwt.ErrTokenExpired)
			}
		})
	}
}

func TestVerdictIssueTime(t *testing.T) {
	t.Parallel()
	second := testkit.Now.UnixMicro()
	for _, row := range []struct {
		name         string
		user, issuer int64
		now          time.Duration // after testkit.Now
		iat          time.Duration // after testkit.Now, where wait is zero
		wait         time.Duration
	}{
		{"nothing was revoked", 0, 0, 300 * time.Millisecond, 0, 0},
		{"the user at the beginning of this second", second, 0, 300 * time.Millisecond, 0, 0},
		{"the user within this second", second + 1, 0, 300 * time.Millisecond, 0, 700 * time.Millisecond},
		{"the issuer within this second", 0, second + 1, 300 * time.Millisecond, 0, 700 * time.Millisecond},
		{"the later of both", second - 5, second + 1, 300 * time.Millisecond, 0, 700 * time.Millisecond},
		{"an earlier second", second - 1, 0, 0, 0, 0},
		{"ahead", second + 30_000_000, 0, 0, 0, 30 * time.Second},
		{"ahead by more than a second", second + 1_500_000, 0, 0, 0, 2 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var v revoke.Verdict
			keys := testkit.Value(v.OfUser(ada))(t)
			want := [4][16]byte{userPlace: revoke.ScopeUser.Key(ada.Issuer, ada.Subject), issuerPlace: revoke.ScopeIssuer.Key(ada.Issuer, "")}
			if keys != want {
				t.Errorf("keys %x, want %x", keys, want)
			}
			if row.user != 0 {
				v.Found(userPlace, row.user)
			}
			if row.issuer != 0 {
				v.Found(issuerPlace, row.issuer)
			}
			if epochs := v.Epochs(); epochs != (revoke.Epochs{User: row.user, Issuer: row.issuer}) {
				t.Errorf("Epochs = %v", epochs)
			}
			iat, wait := v.IssueTime(testkit.Now.Add(row.now))
			if wait != row.wait {
				t.Errorf("IssueTime waits for %v, want %v", wait, row.wait)
			}
			if row.wait == 0 && !iat.Equal(testkit.Now.Add(row.iat)) {
				t.Errorf("IssueTime = %v, want %v after now", iat, row.iat)
			}
		})
	}
}

func TestVerdictEpochRoundsUp(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name      string
		add, want time.Duration
	}{
		{"a microsecond", time.Microsecond, time.Microsecond},
		{"a nanosecond", time.Nanosecond, time.Microsecond},
		{"a nanosecond less than a microsecond", 999 * time.Nanosecond, time.Microsecond},
		{"a nanosecond more than a microsecond", 1001 * time.Nanosecond, 2 * time.Microsecond},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var v revoke.Verdict
			if got := v.Epoch(testkit.Now.Add(row.add)); !got.Equal(testkit.Now.Add(row.want)) {
				t.Errorf("Epoch = %v, want %v after now", got, row.want)
			}
		})
	}
}
