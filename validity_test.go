package revoke_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revoketest"
)

// TestNewValidatorRefuses reads the errors of wrong arguments and options.
func TestNewValidatorRefuses(t *testing.T) {
	t.Parallel()
	keyfunc := func(*jwt.Token) (any, error) { return nil, errors.New("no key") }
	es256 := []string{"ES256"}
	checker := revoketest.NewMemory()
	for want, build := range map[string]func() error{
		"checker is nil":          func() error { return newErr(nil, "i", keyfunc, es256) },
		"issuer is empty":         func() error { return newErr(checker, "", keyfunc, es256) },
		"NUL":                     func() error { return newErr(checker, "a\x00", keyfunc, es256) },
		"keyfunc is nil":          func() error { return newErr(checker, "i", nil, es256) },
		"no algorithm is allowed": func() error { return newErr(checker, "i", keyfunc, nil) },
		`"none" signs nothing`:    func() error { return newErr(checker, "i", keyfunc, []string{"none"}) },
		`"NONE" signs nothing`:    func() error { return newErr(checker, "i", keyfunc, []string{"ES256", "NONE"}) },
		`"es256" is not known`:    func() error { return newErr(checker, "i", keyfunc, []string{"es256"}) },
		`"" is not known`:         func() error { return newErr(checker, "i", keyfunc, []string{""}) },
		"mix HMAC":                func() error { return newErr(checker, "i", keyfunc, []string{"HS256", "RS256"}) },
		"leeway -1ns":             func() error { return newErr(checker, "i", keyfunc, es256, revoke.WithLeeway(-1)) },
		"leeway 5m0.000000001s":   func() error { return newErr(checker, "i", keyfunc, es256, revoke.WithLeeway(revoke.MaxLeeway+1)) },
		"maximum lifetime 0s":     func() error { return newErr(checker, "i", keyfunc, es256, revoke.WithMaxLifetime(0)) },
		"maximum lifetime 9600h0m1s": func() error {
			return newErr(checker, "i", keyfunc, es256, revoke.WithMaxLifetime(revoke.MaxTokenLifetime+time.Second))
		},
		"maximum token size 0":       func() error { return newErr(checker, "i", keyfunc, es256, revoke.WithMaxTokenSize(0)) },
		"maximum token size 1048577": func() error { return newErr(checker, "i", keyfunc, es256, revoke.WithMaxTokenSize(1<<20+1)) },
		"token type is empty":        func() error { return newErr(checker, "i", keyfunc, es256, revoke.WithTokenType("application/")) },
		"clock is nil":               func() error { return newErr(checker, "i", keyfunc, es256, revoke.WithClock(nil)) },
		"ParserOption is nil":        func() error { return newErr(checker, "i", keyfunc, es256, revoke.WithParserOptions(nil)) },
		"option is nil":              func() error { return newErr(checker, "i", keyfunc, es256, nil) },
	} {
		err := build()
		if err == nil || !strings.HasPrefix(err.Error(), "revoke: NewValidator: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("NewValidator = %v, want an error about %s", err, want)
		}
	}
}

func newErr(checker revoke.Checker, issuer string, keyfunc jwt.Keyfunc, algorithms []string, opts ...revoke.ValidatorOption) error {
	_, err := revoke.NewValidator[revoke.Claims](checker, issuer, keyfunc, algorithms, opts...)
	return err
}

// TestAlgorithmsAreCopied changes the caller's slice after the constructor has read it.
func TestAlgorithmsAreCopied(t *testing.T) {
	t.Parallel()
	algorithms := []string{"ES256"}
	keyfunc := func(token *jwt.Token) (any, error) { return verificationKey(token.Method.Alg()), nil }
	v, err := revoke.NewValidator[revoke.Claims](neverAsked{t}, testIssuer, keyfunc, algorithms,
		revoke.WithClock(func() time.Time { return mintNow }))
	must(t, err)
	algorithms[0] = "HS256"
	refused(t, v, signRaw(t, "HS256", `{"alg":"HS256"}`, payloadOf(nil)), revoke.ErrInvalidToken, jwt.ErrTokenSignatureInvalid)
}

// TestTimes walks along the boundaries of exp, nbf and iat, with and without leeway.
func TestTimes(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) string { return fmt.Sprint(mintNow.Add(d).Unix()) }
	for _, leeway := range []time.Duration{0, 10 * time.Second, revoke.MaxLeeway} {
		accepts := es256(t, &askedFor{}, revoke.WithLeeway(leeway))
		refuses := es256(t, neverAsked{t}, revoke.WithLeeway(leeway))
		for _, good := range []map[string]string{
			{"exp": at(time.Second - leeway), "iat": at(-time.Hour)},
			{"nbf": at(leeway)},
			{"iat": at(revoke.MaxIssuedAhead)},
		} {
			if _, _, err := accepts.Validate(t.Context(), mint(t, good)); err != nil {
				t.Errorf("leeway %v, %v: %v", leeway, good, err)
			}
		}
		refused(t, refuses, mint(t, map[string]string{"exp": at(-leeway), "iat": at(-time.Hour)}), revoke.ErrInvalidToken, jwt.ErrTokenExpired)
		refused(t, refuses, mint(t, map[string]string{"nbf": at(leeway + time.Second)}), revoke.ErrInvalidToken, jwt.ErrTokenNotValidYet)
		// No leeway lets a token be dated ahead: it would outlive a revocation of its user.
		refused(t, refuses, mint(t, map[string]string{"iat": at(revoke.MaxIssuedAhead + time.Second)}), revoke.ErrInvalidToken, jwt.ErrTokenUsedBeforeIssued)
	}
	short := revoke.WithMaxLifetime(time.Hour)
	_, _, err := es256(t, &askedFor{}, short).Validate(t.Context(), mint(t, map[string]string{"iat": at(0), "exp": at(time.Hour)}))
	must(t, err)
	refused(t, es256(t, neverAsked{t}, short), mint(t, map[string]string{"iat": at(0), "exp": at(time.Hour + time.Second)}), revoke.ErrInvalidToken)
}

// TestMaxTokenSize refuses by length before a byte is read.
func TestMaxTokenSize(t *testing.T) {
	t.Parallel()
	good := mint(t, nil)
	_, _, err := es256(t, &askedFor{}, revoke.WithMaxTokenSize(len(good))).Validate(t.Context(), good)
	must(t, err)
	refused(t, es256(t, neverAsked{t}, revoke.WithMaxTokenSize(len(good)-1)), good, revoke.ErrInvalidToken, jwt.ErrTokenMalformed)
}

// TestOptionalClaims relaxes what third parties leave out, each by itself.
func TestOptionalClaims(t *testing.T) {
	t.Parallel()
	for claim, c := range map[string]struct {
		option revoke.ValidatorOption
		want   func(*revoke.Token)
	}{
		"jti": {revoke.WithOptionalID(), func(t *revoke.Token) { t.ID = "" }},
		"sub": {revoke.WithOptionalSubject(), func(t *revoke.Token) { t.Subject = "" }},
		"iat": {revoke.WithOptionalIssuedAt(), func(t *revoke.Token) { t.IssuedAt = time.Unix(0, 0).UTC() }},
		"iss": {revoke.WithOptionalIssuer(), func(*revoke.Token) {}},
	} {
		want := revoke.Token{
			Issuer: testIssuer, ID: "token-1", Subject: "ada", SessionID: "session-1",
			IssuedAt: mintNow.Add(-time.Minute), ExpiresAt: mintNow.Add(10 * time.Minute),
		}
		c.want(&want)
		token, _, err := es256(t, &askedFor{}, c.option).Validate(t.Context(), mint(t, map[string]string{claim: ""}))
		if err != nil || token != want {
			t.Errorf("without %s: %+v, %v, want %+v", claim, token, err, want)
		}
		refused(t, es256(t, neverAsked{t}, c.option), mint(t, map[string]string{claim: "null"}), revoke.ErrInvalidToken)
		refused(t, es256(t, neverAsked{t}, c.option), mint(t, map[string]string{"exp": ""}), revoke.ErrInvalidToken, jwt.ErrTokenRequiredClaimMissing)
	}
	refused(t, es256(t, neverAsked{t}, revoke.WithOptionalIssuer()), mint(t, map[string]string{"iss": `"other"`}), revoke.ErrInvalidToken, jwt.ErrTokenInvalidIssuer)
	// Without iat the lifetime counts from now.
	late := map[string]string{"iat": "", "exp": fmt.Sprint(mintNow.Add(revoke.MaxTokenLifetime + time.Second).Unix())}
	refused(t, es256(t, neverAsked{t}, revoke.WithOptionalIssuedAt()), mint(t, late), revoke.ErrInvalidToken)
	// Nothing is left by which it could be revoked.
	clock := func() time.Time { return mintNow }
	bare := es256(t, revoketest.NewMemory(revoketest.WithClock(clock)), revoke.WithOptionalID(), revoke.WithOptionalSubject())
	refused(t, bare, mint(t, map[string]string{"jti": "", "sub": "", "sid": ""}), revoke.ErrInvalidToken)
}

// TestIdentify forgives expiry only, and does not ask the store.
func TestIdentify(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) string { return fmt.Sprint(mintNow.Add(d).Unix()) }
	v := es256(t, neverAsked{t}, revoke.WithParserOptions(jwt.WithAudience("api")), revoke.WithTokenType("JWT"))
	for _, exp := range []time.Duration{-time.Second, -30 * 24 * time.Hour, time.Hour} {
		token, claims, err := v.Identify(mint(t, map[string]string{"exp": at(exp), "iat": at(exp - time.Minute)}))
		if err != nil && exp < time.Hour {
			t.Errorf("expired since %v: %v", -exp, err)
		}
		if err == nil && (token.ID != "token-1" || claims.ID != "token-1" || token.SessionID != "session-1" || !token.ExpiresAt.Equal(mintNow.Add(exp))) {
			t.Errorf("Identify = %+v", token)
		}
	}
	for what, token := range map[string]string{
		"not valid yet":    mint(t, map[string]string{"nbf": at(time.Minute)}),
		"another audience": mint(t, map[string]string{"aud": `"other"`, "exp": at(-time.Hour), "iat": at(-2 * time.Hour)}),
		"another issuer":   mint(t, map[string]string{"iss": `"other"`}),
		"no jti":           mint(t, map[string]string{"jti": ""}),
		"no exp":           mint(t, map[string]string{"exp": ""}),
		"another type":     signRaw(t, "ES256", `{"alg":"ES256","typ":"logout+jwt"}`, payloadOf(nil)),
		"forged":           strings.Replace(mint(t, nil), ".", "."+b64(`{"sub":"bob"}`)[:4], 1),
		"a long lifetime":  mint(t, map[string]string{"iat": "0", "exp": at(-time.Hour)}),
	} {
		token, claims, err := v.Identify(token)
		if err == nil || claims != nil || token != (revoke.Token{}) {
			t.Errorf("%s: Identify = %+v, %v", what, token, err)
			continue
		}
		wantError(t, err, revoke.ErrInvalidToken)
	}
}

// TestKeySourceFails tells a key source that is down from a key that is not there.
func TestKeySourceFails(t *testing.T) {
	t.Parallel()
	token := mint(t, nil)
	for _, c := range []struct{ cause, want error }{
		{context.DeadlineExceeded, revoke.ErrUnavailable},
		{fmt.Errorf("fetch keys: %w", context.Canceled), revoke.ErrUnavailable},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, revoke.ErrUnavailable},
		{fmt.Errorf("keys: %w", revoke.ErrUnavailable), revoke.ErrUnavailable},
		{errors.New("no such kid"), revoke.ErrInvalidToken},
		{revoke.ErrRevoked, revoke.ErrInvalidToken},
		{errors.Join(revoke.ErrRevoked, revoke.ErrUnavailable), revoke.ErrUnavailable},
	} {
		keyfunc := func(*jwt.Token) (any, error) { return nil, c.cause }
		v, err := revoke.NewValidator[revoke.Claims](neverAsked{t}, testIssuer, keyfunc, []string{"ES256"})
		must(t, err)
		refused(t, v, token, c.want)
		if _, _, err := v.Identify(token); !errors.Is(err, c.want) {
			t.Errorf("Identify = %v", err)
		}
	}
}

// checkerFunc is a checker made of a function.
type checkerFunc func(context.Context, revoke.Token) error

func (f checkerFunc) Check(ctx context.Context, token revoke.Token) error { return f(ctx, token) }

// TestCheckerErrors makes exactly one of the three of whatever a checker returns.
func TestCheckerErrors(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	for _, c := range []struct{ err, want error }{
		{&revoke.RevokedError{Scope: revoke.ScopeUser}, revoke.ErrRevoked},
		{fmt.Errorf("%w: %w", revoke.ErrUnavailable, cause), revoke.ErrUnavailable},
		{fmt.Errorf("%w: %w", revoke.ErrInvalidToken, cause), revoke.ErrInvalidToken},
		{cause, revoke.ErrUnavailable},
		{context.Canceled, revoke.ErrUnavailable},
		{errors.Join(revoke.ErrRevoked, revoke.ErrUnavailable), revoke.ErrUnavailable},
		{errors.Join(revoke.ErrRevoked, revoke.ErrInvalidToken), revoke.ErrUnavailable},
	} {
		v := es256(t, checkerFunc(func(context.Context, revoke.Token) error { return c.err }))
		refused(t, v, mint(t, nil), c.want)
	}
	var revoked *revoke.RevokedError
	v := es256(t, checkerFunc(func(context.Context, revoke.Token) error { return &revoke.RevokedError{Scope: revoke.ScopeIssuer} }))
	if _, _, err := v.Validate(t.Context(), mint(t, nil)); !errors.As(err, &revoked) || revoked.Scope != revoke.ScopeIssuer {
		t.Errorf("Validate = %v, want the scope in it", err)
	}
	store := revoketest.NewFaulty(revoketest.NewMemory())
	store.Fail(cause)
	refused(t, es256(t, store), mint(t, nil), revoke.ErrUnavailable, cause)
}

// appClaims are an app's own, which validate themselves.
type appClaims struct {
	revoke.Claims
	Scope  []string `json:"scope"`
	result error
}

var errScope = errors.New("scope is missing")

func (c *appClaims) Validate() error {
	switch {
	case len(c.Scope) == 0:
		return errScope
	case c.Scope[0] == "slow":
		return fmt.Errorf("ask for the tenant: %w", context.DeadlineExceeded)
	case c.Scope[0] == "revoked":
		return revoke.ErrRevoked
	}
	return c.result
}

// TestClaimsOfTheApp takes claims of other types, new ones at each call.
func TestClaimsOfTheApp(t *testing.T) {
	t.Parallel()
	keyfunc := func(*jwt.Token) (any, error) { return verificationKey("ES256"), nil }
	clock := revoke.WithClock(func() time.Time { return mintNow })
	v, err := revoke.NewValidator[appClaims](&askedFor{}, testIssuer, keyfunc, []string{"ES256"}, clock)
	must(t, err)
	_, first, err := v.Validate(t.Context(), mint(t, nil, `"scope":["read","write"]`))
	must(t, err)
	_, second, err := v.Validate(t.Context(), mint(t, nil, `"scope":["read"]`))
	must(t, err)
	if first == second || len(first.Scope) != 2 || len(second.Scope) != 1 || first.Subject != "ada" {
		t.Errorf("claims %+v and %+v", first, second)
	}
	for token, want := range map[string]error{
		mint(t, nil): revoke.ErrInvalidToken, mint(t, nil, `"scope":["slow"]`): revoke.ErrUnavailable,
		mint(t, nil, `"scope":["revoked"]`): revoke.ErrInvalidToken, mint(t, nil, `"scope":"text"`): revoke.ErrInvalidToken,
	} {
		_, claims, err := v.Validate(t.Context(), token)
		wantError(t, err, want)
		if claims != nil {
			t.Errorf("claims %+v beside %v", claims, err)
		}
	}
	_, _, err = v.Validate(t.Context(), mint(t, nil))
	if !errors.Is(err, errScope) {
		t.Errorf("Validate = %v, want the app's own error in it", err)
	}

	registered, err := revoke.NewValidator[jwt.RegisteredClaims](&askedFor{}, testIssuer, keyfunc, []string{"ES256"}, clock)
	must(t, err)
	_, r, err := registered.Validate(t.Context(), mint(t, nil))
	if err != nil || r.ID != "token-1" {
		t.Errorf("RegisteredClaims: %+v, %v", r, err)
	}
	mapped, err := revoke.NewValidator[jwt.MapClaims](&askedFor{}, testIssuer, keyfunc, []string{"ES256"}, clock)
	must(t, err)
	_, m, err := mapped.Validate(t.Context(), mint(t, nil))
	if err != nil || (*m)["jti"] != "token-1" {
		t.Errorf("MapClaims: %+v, %v", m, err)
	}
}

// lyingClaims say of themselves what the token does not.
type lyingClaims struct{ jwt.RegisteredClaims }

func (lyingClaims) GetSubject() (string, error) { return "somebody else", nil }

func (lyingClaims) GetExpirationTime() (*jwt.NumericDate, error) {
	return jwt.NewNumericDate(mintNow.Add(1000 * time.Hour)), nil
}

// TestIdentityComesFromTheBytes and not from the getters of a caller's claims.
func TestIdentityComesFromTheBytes(t *testing.T) {
	t.Parallel()
	keyfunc := func(*jwt.Token) (any, error) { return verificationKey("ES256"), nil }
	v, err := revoke.NewValidator[lyingClaims](&askedFor{}, testIssuer, keyfunc, []string{"ES256"},
		revoke.WithClock(func() time.Time { return mintNow }))
	must(t, err)
	token, _, err := v.Validate(t.Context(), mint(t, nil))
	if err != nil || token.Subject != "ada" || !token.ExpiresAt.Equal(mintNow.Add(10*time.Minute)) {
		t.Errorf("Validate = %+v, %v", token, err)
	}
	_, _, err = v.Validate(t.Context(), mint(t, map[string]string{"exp": fmt.Sprint(mintNow.Unix() - 1)}))
	wantError(t, err, revoke.ErrInvalidToken)
}

// TestValidatorIsShared validates from several goroutines.
func TestValidatorIsShared(t *testing.T) {
	t.Parallel()
	v := es256(t, &askedFor{})
	var group sync.WaitGroup
	for i := range 16 {
		token := mint(t, map[string]string{"jti": fmt.Sprintf(`"token-%d"`, i)})
		group.Go(func() {
			for range 20 {
				got, claims, err := v.Validate(t.Context(), token)
				if err != nil || got.ID != fmt.Sprint("token-", i) || claims.ID != got.ID {
					t.Errorf("Validate = %+v, %+v, %v", got, claims, err)
				}
			}
		})
	}
	group.Wait()
}
