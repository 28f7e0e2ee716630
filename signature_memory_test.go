package revoke_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"pgregory.net/rapid"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
)

// recalling is a validator that tells of its last call whether the signature was remembered. It
// is used by one goroutine.
type recalling struct {
	*revoke.Validator
	remembered bool
}

func (r *recalling) OnValidate(_ context.Context, event revoke.ValidateEvent) {
	r.remembered = event.Remembered
}

// leastMemory is the least that WithSignatureMemory takes.
const leastMemory = 64 << 10

func newRecalling(tb testing.TB, checker revoke.Checker, keyfunc jwt.Keyfunc, alg string, opts ...revoke.ValidatorOption) *recalling {
	tb.Helper()
	r := &recalling{}
	r.Validator = validatorOf(tb, checker, revoke.AnyAudience(), keyfunc, alg, append(opts, revoke.WithHook(r))...)
	twins.Delete(r.Validator) // it has the hook too
	return r
}

// accepts expects the validator to accept a text, and to remember its signature or not.
func (r *recalling) accepts(tb testing.TB, text string, remembered bool) *revoke.Verified {
	tb.Helper()
	verified := accepted(tb, r.Validator, text)
	if r.remembered != remembered {
		tb.Errorf("remembered: %v, want %v", r.remembered, remembered)
	}
	return verified
}

// refuses expects the validator to refuse a text, and to remember its signature or not.
func (r *recalling) refuses(tb testing.TB, text string, remembered bool, want error, also ...error) {
	tb.Helper()
	refused(tb, r.Validator, text, want, also...)
	if r.remembered != remembered {
		tb.Errorf("remembered: %v, want %v", r.remembered, remembered)
	}
}

// yes accepts every token.
var yes = checkerFunc(func(context.Context, revoke.Token) error { return nil })

// hs256 signs a payload by HS256, which is the fastest.
func hs256(tb testing.TB, changes map[string]string, extra ...string) string {
	tb.Helper()
	return testkit.SignRaw(tb, "HS256", `{"alg":"HS256","kid":"k"}`, testkit.Payload(changes, extra...))
}

// TestSignaturesAreRemembered presents each text twice, with the memory and without.
func TestSignaturesAreRemembered(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"HS256", "RS256", "PS256", "ES256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			asked := 0
			keyfunc := func(*jwt.Token) (any, error) { asked++; return testkit.VerificationKey(alg), nil }
			text := testkit.SignRaw(t, alg, `{"alg":"`+alg+`"}`, testkit.Payload(nil))
			v := newRecalling(t, yes, keyfunc, alg)
			off := newRecalling(t, yes, keyfunc, alg, revoke.WithSignatureMemory(0))
			for i := range 3 {
				for _, verified := range []*revoke.Verified{v.accepts(t, text, i > 0), off.accepts(t, text, false)} {
					var claims revoke.Claims
					testkit.Must(t, verified.Claims(&claims))
					if verified.Token != mintedToken() || claims.Subject != "ada" || claims.SessionID != "session-1" {
						t.Errorf("%+v and %+v", verified.Token, claims)
					}
				}
			}
			if asked != 6 {
				t.Errorf("the keyfunc was asked %d times, and not at each call", asked)
			}
		})
	}
}

func TestSignatureMemoryOption(t *testing.T) {
	t.Parallel()
	for _, bytes := range []int{-1, 1, leastMemory - 1, 1<<30 + 1} {
		_, err := revoke.NewValidator(yes, "i", revoke.AnyAudience(), eagerKey, []string{"ES256"}, revoke.WithSignatureMemory(bytes))
		wantConstructorError(t, "NewValidator", err, fmt.Sprintf("signature memory %d", bytes))
	}
	for _, bytes := range []int{leastMemory, 1 << 30} {
		v := newRecalling(t, yes, testkit.Keyfunc("HS256"), "HS256", revoke.WithSignatureMemory(bytes))
		text := hs256(t, nil)
		v.accepts(t, text, false)
		v.accepts(t, text, true)
	}
}

// keyEdit changes a key in place.
type keyEdit struct {
	name string
	edit func(key any)
}

// ownKey returns a copy of the verification key of an algorithm, another key of the kind, and ways
// to change the copy in place.
func ownKey(tb testing.TB, alg string) (key, other any, edits []keyEdit) {
	tb.Helper()
	swap := func(data []byte) []keyEdit {
		return []keyEdit{{"the first byte", func(any) { data[0] ^= 1 }}, {"the last byte", func(any) { data[len(data)-1] ^= 1 }}}
	}
	switch k := testkit.VerificationKey(alg).(type) {
	case []byte:
		own := slices.Clone(k)
		return own, []byte(strings.Repeat("another!", 16)), swap(own)
	case ed25519.PublicKey:
		own := slices.Clone(k)
		public, _, err := ed25519.GenerateKey(rand.Reader)
		testkit.Must(tb, err)
		return own, public, swap(own)
	case *rsa.PublicKey:
		own := &rsa.PublicKey{N: new(big.Int).Set(k.N), E: k.E}
		return own, &rsa.PublicKey{N: new(big.Int).Add(k.N, big.NewInt(1<<20)), E: k.E}, []keyEdit{
			{"N", func(any) { own.N.Xor(own.N, big.NewInt(4)) }}, {"E", func(any) { own.E ^= 4 }},
		}
	case *ecdsa.PublicKey:
		own := *k
		other := &testkit.Value(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(tb).PublicKey
		negated := &ecdsa.PublicKey{Curve: k.Curve, X: new(big.Int).Set(k.X), Y: new(big.Int).Sub(k.Curve.Params().P, k.Y)} //nolint:staticcheck // the other point with this X
		exchange := func(with *ecdsa.PublicKey) func(any) {
			return func(any) { own, *with = *with, own }
		}
		spare := *other
		return &own, other, []keyEdit{{"the point", exchange(&spare)}, {"Y", exchange(negated)}}
	}
	tb.Fatalf("no key for %s", alg)
	return nil, nil, nil
}

// TestRememberedKeys has the keyfunc answer differently from one call to the next.
func TestRememberedKeys(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"HS256", "RS256", "PS256", "ES256", "EdDSA"} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			key, other, edits := ownKey(t, alg)
			answer := key
			var failure error
			v := newRecalling(t, yes, func(*jwt.Token) (any, error) { return answer, failure }, alg)
			text := testkit.SignRaw(t, alg, `{"alg":"`+alg+`","kid":"k"}`, testkit.Payload(nil))
			v.accepts(t, text, false)
			v.accepts(t, text, true)

			// Changed in place. It verifies nothing, or is one that no algorithm may use.
			for _, edit := range edits {
				edit.edit(key)
				if verified, err := v.Validate(t.Context(), text); err == nil || verified != nil || v.remembered {
					t.Errorf("accepted by a key of which %s was changed in place: %v", edit.name, err)
				}
				edit.edit(key) // and back
				v.accepts(t, text, true)
			}
			// Withdrawn, and a source that is down.
			failure = errors.New("unknown kid")
			v.refuses(t, text, false, revoke.ErrInvalidToken, jwt.ErrTokenUnverifiable)
			failure = fmt.Errorf("%w: the source is down", revoke.ErrUnavailable)
			v.refuses(t, text, false, revoke.ErrUnavailable, jwt.ErrTokenUnverifiable)
			failure = nil
			v.accepts(t, text, true)
			// Replaced under one kid.
			answer = other
			v.refuses(t, text, false, revoke.ErrInvalidToken, jwt.ErrTokenSignatureInvalid)
			// Keys of which none can be used.
			for _, answer = range []any{nil, "a string", jwt.VerificationKeySet{}, (*rsa.PublicKey)(nil), (*ecdsa.PublicKey)(nil), &rsa.PublicKey{}, &ecdsa.PublicKey{}} {
				v.refuses(t, text, false, revoke.ErrUnavailable)
			}
			// Several at once.
			for _, set := range []struct {
				name string
				keys []jwt.VerificationKey
				good bool
			}{
				{"the key alone", []jwt.VerificationKey{key}, true},
				{"behind another", []jwt.VerificationKey{other, key}, true},
				{"before another", []jwt.VerificationKey{key, other}, true},
				{"beside what is no key", []jwt.VerificationKey{"a string", nil, key}, true},
				{"another alone", []jwt.VerificationKey{other}, false},
			} {
				answer = jwt.VerificationKeySet{Keys: set.keys}
				fresh := newRecalling(t, yes, func(*jwt.Token) (any, error) { return answer, nil }, alg)
				if !set.good {
					v.refuses(t, text, false, revoke.ErrInvalidToken, jwt.ErrTokenSignatureInvalid)
					fresh.refuses(t, text, false, revoke.ErrInvalidToken, jwt.ErrTokenSignatureInvalid)
					continue
				}
				v.accepts(t, text, true)
				fresh.accepts(t, text, false)
				fresh.accepts(t, text, true)
				// That one of the set verified does not vouch for the others.
				answer = jwt.VerificationKeySet{Keys: []jwt.VerificationKey{other}}
				fresh.refuses(t, text, false, revoke.ErrInvalidToken, jwt.ErrTokenSignatureInvalid)
				answer = other
				fresh.refuses(t, text, false, revoke.ErrInvalidToken, jwt.ErrTokenSignatureInvalid)
				answer = key
				fresh.accepts(t, text, true)
			}
			// An equal key in another place.
			answer, _, _ = ownKey(t, alg)
			v.accepts(t, text, true)
		})
	}
}

// TestTwoKeysTakeTurns presents tokens of two keys to a keyfunc that goes by the kid.
func TestTwoKeysTakeTurns(t *testing.T) {
	t.Parallel()
	secrets := map[string][]byte{}
	sign := func(kid string) string {
		return signed(t, `{"alg":"HS256","kid":"`+kid+`"}`, testkit.Payload(map[string]string{"jti": `"of ` + kid + `"`}), jwt.SigningMethodHS256, secrets[kid])
	}
	v := newRecalling(t, yes, func(token *jwt.Token) (any, error) { return secrets[fmt.Sprint(token.Header["kid"])], nil }, "HS256")
	texts := map[string]string{}
	for i := range 8 { // more than have a shared copy
		kid := fmt.Sprint(i)
		secrets[kid] = []byte(strings.Repeat(kid, 32))
		texts[kid] = sign(kid)
		v.accepts(t, texts[kid], false)
	}
	for kid, text := range texts {
		if verified := v.accepts(t, text, true); verified.ID != "of "+kid {
			t.Errorf("the token of key %s has the id %s", kid, verified.ID)
		}
	}
	secrets["0"], secrets["1"] = secrets["1"], secrets["0"]
	for kid, text := range texts {
		if kid > "1" {
			v.accepts(t, text, true)
			continue
		}
		v.refuses(t, text, false, revoke.ErrInvalidToken, jwt.ErrTokenSignatureInvalid)
		v.accepts(t, sign(kid), false)
	}
}

// TestMemoryIsOfOneValidator presents what one validator has remembered to others.
func TestMemoryIsOfOneValidator(t *testing.T) {
	t.Parallel()
	text := hs256(t, nil)
	keyfunc := testkit.Keyfunc("HS256")
	v := testkit.Value(revoke.NewValidator(yes, testkit.Issuer, revoke.AudienceOf("api"), keyfunc, []string{"HS256", "HS512"}, revoke.WithClock(testkit.Clock)))(t)
	accepted(t, v, text)
	accepted(t, v, text)
	for _, row := range []struct {
		name       string
		issuer     string
		audience   string
		algorithms []string
		option     revoke.ValidatorOption
		also       error
	}{
		{"a narrower list of algorithms", testkit.Issuer, "api", []string{"HS512"}, revoke.WithLeeway(0), jwt.ErrTokenSignatureInvalid},
		{"another issuer", "https://other.example", "api", []string{"HS256"}, revoke.WithLeeway(0), jwt.ErrTokenInvalidIssuer},
		{"another audience", testkit.Issuer, "billing", []string{"HS256"}, revoke.WithLeeway(0), jwt.ErrTokenInvalidAudience},
		{"a shorter lifetime", testkit.Issuer, "api", []string{"HS256"}, revoke.WithMaxLifetime(time.Second), jwt.ErrTokenInvalidClaims},
		{"a type that is demanded", testkit.Issuer, "api", []string{"HS256"}, revoke.WithTokenType("at+jwt"), jwt.ErrTokenInvalidClaims},
		{"a smaller size", testkit.Issuer, "api", []string{"HS256"}, revoke.WithMaxTokenSize(len(text) - 1), jwt.ErrTokenMalformed},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			other := testkit.Value(revoke.NewValidator(yes, row.issuer, revoke.AudienceOf(row.audience), keyfunc, row.algorithms,
				revoke.WithClock(testkit.Clock), row.option))(t)
			refused(t, other, text, revoke.ErrInvalidToken, row.also)
		})
	}
}

// scribbler is a claim that is decoded by writing into the decoder's input.
type scribbler struct{}

func (*scribbler) UnmarshalJSON(data []byte) error {
	for i := range data {
		data[i] = 'x'
	}
	return nil
}

// TestMemoryIsNotWrittenThrough writes to everything that a call hands out, and to all that it
// leads to. The next call sees nothing of it.
func TestMemoryIsNotWrittenThrough(t *testing.T) {
	t.Parallel()
	const header = `{"alg":"HS256","kid":"k","jwk":{"kty":"oct","x":{"y":1}},"x5c":["a",["b"]]}`
	calls := 0
	keyfunc := func(token *jwt.Token) (any, error) {
		calls++
		var want map[string]any
		testkit.Must(t, json.Unmarshal([]byte(header), &want))
		if fmt.Sprint(token.Header) != fmt.Sprint(want) || token.Method != jwt.SigningMethod(jwt.SigningMethodHS256) {
			t.Errorf("call %d gets %+v", calls, token)
		}
		issuer, err := token.Claims.GetIssuer()
		audience, err2 := token.Claims.GetAudience()
		expiresAt, err3 := token.Claims.GetExpirationTime()
		if issuer != testkit.Issuer || len(audience) != 1 || audience[0] != "api" || !expiresAt.Equal(testkit.Now.Add(10*time.Minute)) ||
			errors.Join(err, err2, err3) != nil || !strings.HasPrefix(token.Raw, testkit.Base64(header)) {
			t.Errorf("call %d gets the claims %q, %q, %v", calls, issuer, audience, expiresAt)
		}
		audience[0] = "other"
		inner, ok := token.Header["jwk"].(map[string]any)
		list, ok2 := token.Header["x5c"].([]any)
		innermost, ok3 := inner["x"].(map[string]any)
		last, ok4 := list[1].([]any)
		if !ok || !ok2 || !ok3 || !ok4 {
			t.Fatalf("call %d gets the header %v", calls, token.Header)
		}
		innermost["y"], last[0], inner["kty"], list[0] = "other", "other", "other", "other"
		token.Header["kid"], token.Header["crit"], token.Header["typ"] = "other", []any{"x"}, "logout+jwt"
		if unmarshaler, ok := token.Claims.(json.Unmarshaler); ok {
			payload := testkit.Payload(map[string]string{"sub": `"eve"`}, `"x":{"y":[1,2]}`, `"epochs":[0,0]`)
			testkit.Must(t, unmarshaler.UnmarshalJSON([]byte(payload)))
		}
		token.Raw, token.Method, token.Claims, token.Valid = "other", jwt.SigningMethodHS512, jwt.MapClaims{}, true
		return testkit.VerificationKey("HS256"), nil
	}
	check := revoke.WithClaimsCheck(func(_ context.Context, verified *revoke.Verified) error {
		verified.Subject, verified.HasEpochs, verified.Epochs = "eve", false, revoke.Epochs{User: 7}
		testkit.Must(t, verified.Claims(&map[string]*scribbler{}))
		*verified = revoke.Verified{}
		return nil
	})
	want := mintedToken()
	want.HasEpochs = true
	checker := checkerFunc(func(_ context.Context, token revoke.Token) error {
		if token != want {
			t.Errorf("call %d: the checker is asked about %+v", calls, token)
		}
		token.Subject = "eve"
		return nil
	})
	v := newRecalling(t, checker, keyfunc, "HS256", revoke.WithEpochClaim(), check)
	text := testkit.SignRaw(t, "HS256", header, testkit.Payload(nil, `"x":{"y":[1,2]}`, `"epochs":[0,0]`))
	for i := range 4 {
		verified := v.accepts(t, text, i > 0)
		if verified.Token != want {
			t.Errorf("call %d returns %+v", i, verified.Token)
		}
		var claims map[string]any
		testkit.Must(t, verified.Claims(&claims))
		if claims["sub"] != "ada" || fmt.Sprint(claims["x"]) != "map[y:[1 2]]" {
			t.Errorf("call %d returns the claims %v", i, claims)
		}
		claims["sub"] = "eve"
		testkit.Must(t, verified.Claims(&map[string]*scribbler{}))
		again := claims
		testkit.Must(t, verified.Claims(&again))
		if again["sub"] != "ada" {
			t.Errorf("call %d: decoded anew, the claims are %v", i, again)
		}
		for range 2 {
			raw := testkit.Value(verified.Claim("x"))(t)
			if string(raw) != `{"y":[1,2]}` {
				t.Errorf("call %d returns the claim %s", i, raw)
			}
			testkit.Must(t, (*scribbler)(nil).UnmarshalJSON(raw))
		}
		verified.Token = revoke.Token{Issuer: testkit.Issuer, ID: "other", Subject: "eve"}
		verified.Epochs.User++
		*verified = revoke.Verified{Token: verified.Token}
	}
	if calls != 4 {
		t.Errorf("the keyfunc was asked %d times", calls)
	}
}

// TestAnyOtherByteIsAnotherText changes each byte of a text that is remembered, in turn. The text
// is longer than what the hash takes at once.
func TestAnyOtherByteIsAnotherText(t *testing.T) {
	t.Parallel()
	text := hs256(t, nil, `"padding":"`+strings.Repeat("x", 1000)+`"`)
	with := newRecalling(t, yes, testkit.Keyfunc("HS256"), "HS256")
	without := newRecalling(t, yes, testkit.Keyfunc("HS256"), "HS256", revoke.WithSignatureMemory(0))
	with.accepts(t, text, false)
	with.accepts(t, text, true)
	refuse := func(what, other string) {
		t.Helper()
		_, want := without.Validate(t.Context(), other)
		verified, err := with.Validate(t.Context(), other)
		if err == nil || want == nil || err.Error() != want.Error() || verified != nil || with.remembered {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	for i := range len(text) {
		for _, c := range []byte{text[i] ^ 1, text[i] ^ 0x20, text[i] ^ 0x80, 'A', '.', 0} {
			if c != text[i] {
				refuse(fmt.Sprintf("byte %d of %d as %q", i, len(text), c), text[:i]+string([]byte{c})+text[i+1:])
			}
		}
	}
	for _, at := range []int{0, 1, len(text) / 2, 1024, len(text) - 1, len(text)} {
		refuse(fmt.Sprintf("one byte more at %d", at), text[:at]+"A"+text[at:])
		refuse(fmt.Sprintf("cut short at %d", at), text[:at/2])
		refuse(fmt.Sprintf("the text twice, cut at %d", at), text+text[:max(at, 1)])
	}
	with.accepts(t, text, true)
}

// TestEachCallIsJudged changes the time, the claims check and the store between two calls for a
// token with a signature that is remembered.
func TestEachCallIsJudged(t *testing.T) {
	t.Parallel()
	now := testkit.Now
	clock := func() time.Time { return now }
	var claimsErr, checkErr error
	type row struct {
		name string
		set  func(t *testing.T)
		want error
		also []error
	}
	set := func(f func()) func(*testing.T) { return func(*testing.T) { f() } }
	rows := []row{
		{"exp", set(func() { now = testkit.Now.Add(10*time.Minute + 3*time.Second - 1) }), nil, nil},
		{"nbf", set(func() { now = testkit.Now.Add(-33 * time.Second) }), nil, nil},
		{"not yet valid", set(func() { now = testkit.Now.Add(-33*time.Second - 1) }), revoke.ErrInvalidToken, []error{jwt.ErrTokenNotValidYet}},
		{"iat ahead", set(func() { now = testkit.Now.Add(-time.Hour) }), revoke.ErrInvalidToken, nil},
		{"the claims check refuses", set(func() { claimsErr = errors.New("no such tenant") }), revoke.ErrInvalidToken, nil},
		{"the claims check cannot tell", set(func() { claimsErr = context.DeadlineExceeded }), revoke.ErrUnavailable, nil},
		{"the store is down", set(func() { checkErr = fmt.Errorf("%w: down", revoke.ErrUnavailable) }), revoke.ErrUnavailable, nil},
		{"revoked", set(func() { checkErr = &revoke.RevokedError{Scope: revoke.ScopeUser} }), revoke.ErrRevoked, nil},
		{"ahead of the store's clock", set(func() { checkErr = fmt.Errorf("%w: ahead", revoke.ErrInvalidToken) }), revoke.ErrInvalidToken, nil},
		{"expired", set(func() { now = testkit.Now.Add(10*time.Minute + 3*time.Second) }), revoke.ErrInvalidToken, []error{jwt.ErrTokenExpired}},
	}
	v := newRecalling(t, checkerFunc(func(context.Context, revoke.Token) error { return checkErr }), testkit.Keyfunc("HS256"), "HS256",
		revoke.WithClock(clock), revoke.WithLeeway(3*time.Second),
		revoke.WithClaimsCheck(func(context.Context, *revoke.Verified) error { return claimsErr }))
	text := hs256(t, map[string]string{"nbf": testkit.At(-30 * time.Second)})
	v.accepts(t, text, false)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			row.set(t)
			if row.want == nil {
				v.accepts(t, text, true)
			} else {
				v.refuses(t, text, true, row.want, row.also...)
			}
			now, claimsErr, checkErr = testkit.Now, nil, nil
		})
	}
	// The last row was the end of it.
	if count, _ := revoke.Remembered(v.Validator); count != 0 {
		t.Errorf("%d expired tokens are kept", count)
	}
	v.accepts(t, text, false)
	v.accepts(t, text, true)
}

// TestParserOptionsAreAskedAgain has golang-jwt judge the time of a remembered token.
func TestParserOptionsAreAskedAgain(t *testing.T) {
	t.Parallel()
	now := testkit.Now
	v := newRecalling(t, yes, testkit.Keyfunc("HS256"), "HS256", revoke.WithClock(func() time.Time { return now }),
		revoke.WithParserOptions(jwt.WithIssuedAt(), jwt.WithAudience("api")))
	text := hs256(t, nil)
	v.accepts(t, text, false)
	v.accepts(t, text, true)
	now = testkit.Now.Add(-2 * time.Minute)
	v.refuses(t, text, true, revoke.ErrInvalidToken, jwt.ErrTokenUsedBeforeIssued)
}

// TestClaimRuleIsJudgedAnew sets the clocks of validator and store back.
func TestClaimRuleIsJudgedAnew(t *testing.T) {
	t.Parallel()
	now, storeNow := testkit.Now, testkit.Now
	store := revoketest.NewMemory(revoketest.WithClock(func() time.Time { return storeNow }))
	v := newRecalling(t, store, testkit.Keyfunc("HS256"), "HS256", revoke.WithClock(func() time.Time { return now }), revoke.WithEpochClaim())
	text := hs256(t, nil, fmt.Sprintf(`"epochs":[%d,0]`, testkit.Now.Add(-time.Second).UnixMicro()))
	v.accepts(t, text, false)
	v.accepts(t, text, true)
	storeNow = testkit.Now.Add(-2 * time.Second)
	v.refuses(t, text, true, revoke.ErrInvalidToken)
	storeNow = testkit.Now
	now = testkit.Now.Add(-2 * time.Minute)
	v.refuses(t, text, true, revoke.ErrInvalidToken, jwt.ErrTokenUsedBeforeIssued)
	now = testkit.Now
	v.accepts(t, text, true)
	testkit.Value(store.RevokeUser(t.Context(), mintedToken().User()))(t)
	v.refuses(t, text, true, revoke.ErrRevoked)
	// [0, 0] is a claim, and no claim is none.
	zero, none := hs256(t, nil, `"epochs":[0,0]`), hs256(t, map[string]string{"sub": `"bob"`})
	v.refuses(t, zero, false, revoke.ErrRevoked)
	v.refuses(t, none, false, revoke.ErrInvalidToken, jwt.ErrTokenRequiredClaimMissing)
}

// TestOnlyWhatWasAcceptedIsRemembered presents tokens that are refused, again and again.
func TestOnlyWhatWasAcceptedIsRemembered(t *testing.T) {
	t.Parallel()
	var checkErr error
	v := newRecalling(t, checkerFunc(func(context.Context, revoke.Token) error { return checkErr }), testkit.Keyfunc("HS256"), "HS256")
	text := hs256(t, nil)
	for _, checkErr = range []error{&revoke.RevokedError{}, revoke.ErrUnavailable, revoke.ErrInvalidToken} {
		for range 3 {
			v.refuses(t, text, false, checkErr)
		}
	}
	checkErr = nil
	for range 3 {
		v.refuses(t, hs256(t, map[string]string{"exp": testkit.At(0)}), false, revoke.ErrInvalidToken, jwt.ErrTokenExpired)
	}
	testkit.Value(v.Identify(t.Context(), text))(t) // remembers nothing
	v.accepts(t, text, false)
	v.accepts(t, text, true)
	checkErr = &revoke.RevokedError{Scope: revoke.ScopeToken}
	for range 3 {
		v.refuses(t, text, true, revoke.ErrRevoked)
	}
}

// foreignMethod is a signing method of an app's own.
type foreignMethod struct{ jwt.SigningMethod }

func (foreignMethod) Alg() string { return "TEST-FOREIGN" }

// TestForeignMethodsAreNotRemembered has a method of the app's own verify, which knows by what it
// does so.
func TestForeignMethodsAreNotRemembered(t *testing.T) {
	t.Parallel()
	own := *jwt.SigningMethodHS256
	own.Name = "TEST-OWN"
	for _, method := range []jwt.SigningMethod{foreignMethod{jwt.SigningMethodHS256}, &own} {
		t.Run(method.Alg(), func(t *testing.T) {
			t.Parallel()
			jwt.RegisterSigningMethod(method.Alg(), func() jwt.SigningMethod { return method })
			key := testkit.VerificationKey("HS256")
			v := newRecalling(t, yes, func(*jwt.Token) (any, error) { return key, nil }, method.Alg())
			text := signed(t, `{"alg":"`+method.Alg()+`"}`, testkit.Payload(nil), jwt.SigningMethodHS256, key)
			for range 3 {
				v.accepts(t, text, false)
			}
		})
	}
}

// TestMethodIsLookedUpAgain replaces a signing method of golang-jwt after it has verified.
func TestMethodIsLookedUpAgain(t *testing.T) {
	t.Parallel()
	const name = "TEST-REPLACED"
	var method jwt.SigningMethod = jwt.SigningMethodHS256
	jwt.RegisterSigningMethod(name, func() jwt.SigningMethod { return method })
	v := newRecalling(t, yes, testkit.Keyfunc("HS256"), "HS256")
	text := signed(t, `{"alg":"`+name+`"}`, testkit.Payload(nil), jwt.SigningMethodHS256, testkit.SigningKey("HS256"))
	v.accepts(t, text, false)
	v.accepts(t, text, true)
	method = jwt.SigningMethodHS512
	v.refuses(t, text, false, revoke.ErrInvalidToken, jwt.ErrTokenSignatureInvalid)
}

// TestReplaysInAFlood presents good tokens that come once, far more than the memory holds, and
// between them a few revoked ones again and again. The memory stays within its size, and the
// revoked ones cost no signature.
func TestReplaysInAFlood(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
	v := newRecalling(t, store, testkit.Keyfunc("HS256"), "HS256", revoke.WithSignatureMemory(leastMemory))
	mint := func(id string, extra ...string) string {
		return hs256(t, map[string]string{"jti": `"` + id + `"`}, extra...)
	}
	var replays []string
	for i := range 4 {
		replays = append(replays, mint(fmt.Sprint("replay ", i)))
		v.accepts(t, replays[i], false)
		token := mintedToken()
		token.ID = fmt.Sprint("replay ", i)
		testkit.Must(t, store.RevokeToken(t.Context(), token))
	}
	most := 0
	for i := range testkit.Long(1_000, 20_000) {
		v.accepts(t, mint(fmt.Sprint("flood ", i), `"padding":"`+strings.Repeat("x", i%5_000)+`"`), false)
		v.refuses(t, replays[i%len(replays)], true, revoke.ErrRevoked)
		_, bytes := revoke.Remembered(v.Validator)
		most = max(most, bytes)
	}
	if count, _ := revoke.Remembered(v.Validator); most > leastMemory || count < 8 {
		t.Errorf("%d tokens, and %d bytes at most, of %d", count, most, leastMemory)
	}
	// Those that take much are left out.
	large := newRecalling(t, store, testkit.Keyfunc("HS256"), "HS256", revoke.WithMaxTokenSize(1<<20))
	for _, text := range []string{
		mint("large", `"padding":"`+strings.Repeat("x", 16<<10)+`"`),
		testkit.SignRaw(t, "HS256", `{"alg":"HS256","x":[`+strings.Repeat("[],", 2_000)+`[]]}`, testkit.Payload(nil)),
	} {
		large.accepts(t, text, false)
		large.accepts(t, text, false)
	}
}

// heap returns the bytes of the heap that are in use.
func heap() int {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// TestSignatureMemoryTakesItsBytes compares what is counted with the heap. It is not parallel,
// so that nothing else grows there.
func TestSignatureMemoryTakesItsBytes(t *testing.T) {
	const bytes = 1 << 20
	for _, row := range []struct {
		name, alg string
		extra     int // bytes in the payload
	}{{"small tokens", "HS256", 0}, {"large tokens", "HS256", 3_000}, {"RSA", "RS256", 100}} {
		v := validatorFor(t, yes, row.alg, revoke.WithSignatureMemory(bytes))
		before := heap()
		for i := range map[string]int{"HS256": 2_000, "RS256": 200}[row.alg] {
			accepted(t, v, testkit.SignRaw(t, row.alg, `{"alg":"`+row.alg+`","kid":"k","x5c":["a","b"]}`, testkit.Payload(
				map[string]string{"jti": fmt.Sprintf(`"token-%d"`, i)}, `"padding":"`+strings.Repeat("x", row.extra)+`"`)))
		}
		count, counted := revoke.Remembered(v)
		if took := heap() - before; took > counted+1<<14 || counted > bytes || count < 100 {
			t.Errorf("%s: %d tokens took %d bytes, counted with %d, of %d", row.name, count, took, counted, bytes)
		}
		runtime.KeepAlive(v)
	}
}

// TestNoTextIsKept looks for parts of a token's text in what is kept of it.
func TestNoTextIsKept(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"HS256", "ES256"} {
		v := newRecalling(t, yes, testkit.Keyfunc(alg), alg, revoke.WithDerivedID())
		payload := testkit.Payload(map[string]string{"jti": ""})
		text := testkit.SignRaw(t, alg, `{"alg":"`+alg+`","typ":"JWT"}`, payload)
		v.accepts(t, text, false)
		kept := revoke.KeptTexts(v.Validator)
		if !slices.Contains(kept, payload) || !slices.Contains(kept, "JWT") {
			t.Errorf("the payload and the header are not in %q", kept)
		}
		signature := decoded(t, text[strings.LastIndexByte(text, '.')+1:])
		for _, part := range kept {
			if len(part) >= 8 && (strings.Contains(text, part) || strings.Contains(part, text) || strings.Contains(part, signature)) {
				t.Errorf("%q is kept", part)
			}
		}
	}
}

// TestMemoryUnderConcurrency has many goroutines present more tokens than the memory holds. Each
// gets the identity of its own, and no revoked one is accepted. It is for the race detector.
func TestMemoryUnderConcurrency(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
	v := validatorFor(t, store, "HS256", revoke.WithSignatureMemory(leastMemory))
	texts := make([]string, 200)
	for i := range texts {
		changes := map[string]string{"jti": fmt.Sprintf(`"token-%d"`, i)}
		if i%10 == 0 {
			changes["exp"] = testkit.At(-time.Second) // expired
		}
		texts[i] = hs256(t, changes, `"padding":"`+strings.Repeat("x", i*20)+`"`)
		if token := mintedToken(); i%10 == 1 {
			accepted(t, v, texts[i])
			token.ID = fmt.Sprintf("token-%d", i)
			testkit.Must(t, store.RevokeToken(t.Context(), token))
		}
	}
	var group sync.WaitGroup
	for caller := range 8 {
		group.Go(func() {
			var held []*revoke.Verified // of tokens that others displace meanwhile
			for n := range testkit.Long(1_000, 50_000) {
				i := (n*(2*caller+1) + caller) % len(texts)
				if n%2 == 0 {
					i %= 16 // which come often
				}
				verified, err := v.Validate(t.Context(), texts[i])
				switch {
				case i%10 == 0 && !errors.Is(err, jwt.ErrTokenExpired), i%10 == 1 && !errors.Is(err, revoke.ErrRevoked), i%10 > 1 && err != nil:
					t.Errorf("token %d: %v", i, err)
				case err == nil && verified.ID != fmt.Sprintf("token-%d", i):
					t.Errorf("token %d is %s", i, verified.ID)
				case err == nil && n%16 == 0:
					verified.ID = "changed"
					testkit.Must(t, verified.Claims(&map[string]*scribbler{}))
				case err == nil && n%16 == 3:
					held = append(held, verified)
				}
			}
			for _, verified := range held {
				var claims revoke.Claims
				if err := verified.Claims(&claims); err != nil || claims.ID != verified.ID {
					t.Errorf("%s has the claims of %q: %v", verified.ID, claims.ID, err)
				}
			}
		})
	}
	group.Wait()
	if _, bytes := revoke.Remembered(v); bytes > leastMemory {
		t.Errorf("%d bytes, of %d", bytes, leastMemory)
	}
}

// differential is two validators that differ in nothing but the memory, and the world around them.
type differential struct {
	with, without *recalling
	store         *revoketest.Faulty
	now           time.Time
	answer        any
	failure       error
	claimsErr     error
	texts         []string
	hits          *int
}

var errDown = errors.New("down")

// newDifferential mints the texts of a world: of two keys and two algorithms, of which some are
// not valid yet, expire soon, or are good for nothing.
func newDifferential(tb testing.TB, t *rapid.T, secrets [2][]byte, hits *int) *differential {
	tb.Helper()
	d := &differential{now: testkit.Now, answer: secrets[0], hits: hits}
	clock := func() time.Time { return d.now }
	d.store = revoketest.NewFaulty(revoketest.NewMemory(revoketest.WithClock(clock)))
	claim := rapid.Bool().Draw(t, "epoch claim")
	opts := []revoke.ValidatorOption{
		revoke.WithClock(clock), revoke.WithLeeway(time.Duration(rapid.IntRange(0, 3).Draw(t, "leeway")) * time.Second),
		revoke.WithClaimsCheck(func(context.Context, *revoke.Verified) error { return d.claimsErr }),
	}
	if claim {
		opts = append(opts, revoke.WithOptionalEpochClaim())
	}
	if rapid.Bool().Draw(t, "parser options") {
		opts = append(opts, revoke.WithParserOptions(jwt.WithIssuedAt()))
	}
	keyfunc := func(*jwt.Token) (any, error) { return d.answer, d.failure }
	d.with = newRecalling(tb, d.store, keyfunc, "HS256", append(opts, revoke.WithSignatureMemory(leastMemory))...)
	d.without = newRecalling(tb, d.store, keyfunc, "HS256", append(opts, revoke.WithSignatureMemory(0))...)
	for i := range 6 {
		changes := map[string]string{
			"jti": fmt.Sprintf(`"token-%d"`, i), "sub": fmt.Sprintf(`"user-%d"`, i%2), "sid": fmt.Sprintf(`"session-%d"`, i%3),
			"exp": testkit.At(time.Duration(10*i+5) * time.Second), "iat": testkit.At(time.Duration(-i) * time.Second),
		}
		if i%3 == 1 {
			changes["nbf"] = testkit.At(time.Duration(i) * time.Second)
		}
		extra := `"x":{"y":1}`
		if i%2 == 0 {
			extra = fmt.Sprintf(`"epochs":[%d,0]`, testkit.Now.UnixMicro())
		}
		d.texts = append(d.texts, signed(tb, `{"alg":"HS256","kid":"k"}`, testkit.Payload(changes, extra), jwt.SigningMethodHS256, secrets[i/2%2]))
	}
	return d
}

// present shows a text to both, and compares all that they answer.
func (d *differential) present(t *rapid.T, text string) {
	verified, err := d.with.Validate(context.Background(), text)
	want, wantErr := d.without.Validate(context.Background(), text)
	if d.with.remembered {
		*d.hits++
	}
	if d.without.remembered || fmt.Sprint(err) != fmt.Sprint(wantErr) || (verified == nil) != (want == nil) {
		t.Fatalf("%v, and %v without the memory", err, wantErr)
	}
	for _, sentinel := range []error{
		revoke.ErrRevoked, revoke.ErrInvalidToken, revoke.ErrUnavailable, jwt.ErrTokenExpired, jwt.ErrTokenNotValidYet,
		jwt.ErrTokenUsedBeforeIssued, jwt.ErrTokenSignatureInvalid, jwt.ErrTokenUnverifiable, jwt.ErrTokenInvalidClaims, errDown,
	} {
		if errors.Is(err, sentinel) != errors.Is(wantErr, sentinel) {
			t.Fatalf("%v matches %v, or does so without the memory alone", err, sentinel)
		}
	}
	if knownAs(err) != knownAs(wantErr) {
		t.Fatalf("%+v, and %+v without the memory", knownAs(err), knownAs(wantErr))
	}
	if err != nil {
		return
	}
	var claims, wantClaims map[string]any
	if err := errors.Join(verified.Claims(&claims), want.Claims(&wantClaims)); err != nil {
		t.Fatal(err)
	}
	if verified.Token != want.Token || fmt.Sprint(claims) != fmt.Sprint(wantClaims) {
		t.Fatalf("%+v and %v, and %+v and %v without the memory", verified.Token, claims, want.Token, wantClaims)
	}
}

// knownAs returns the identity that an error carries.
func knownAs(err error) (token revoke.Token) {
	var carrier interface{ VerifiedToken() revoke.Token }
	if errors.As(err, &carrier) {
		token = carrier.VerifiedToken()
	}
	return token
}

// TestMemoryChangesNoAnswer presents texts to a validator with the memory and to one without, while
// keys, clock, claims check and store change. Every answer is the same, to the text of its error.
func TestMemoryChangesNoAnswer(t *testing.T) {
	t.Parallel()
	hits, presented := 0, 0
	worlds := testkit.Long(1, 20)
	for range worlds {
		rapid.Check(t, func(rt *rapid.T) {
			secrets := [2][]byte{[]byte(strings.Repeat("first", 10)), []byte(strings.Repeat("second", 10))}
			d := newDifferential(t, rt, secrets, &hits)
			ctx := context.Background()
			rt.Repeat(map[string]func(*rapid.T){
				"": func(rt *rapid.T) {
					for range 3 {
						presented++
						d.present(rt, rapid.SampledFrom(d.texts).Draw(rt, "text"))
					}
				},
				"a byte": func(rt *rapid.T) {
					text := []byte(rapid.SampledFrom(d.texts).Draw(rt, "text"))
					text[rapid.IntRange(0, len(text)-1).Draw(rt, "at")] = rapid.SampledFrom([]byte("AZaz09-_.")).Draw(rt, "byte")
					d.present(rt, string(text))
				},
				"clock": func(rt *rapid.T) {
					d.now = testkit.Now.Add(time.Duration(rapid.IntRange(-4, 60).Draw(rt, "seconds")) * time.Second)
				},
				"keys": func(rt *rapid.T) {
					d.failure = nil
					d.answer = rapid.SampledFrom([]any{
						secrets[0], secrets[1], slices.Clone(secrets[0]), "no key", nil, secrets[0][:8],
						jwt.VerificationKeySet{Keys: []jwt.VerificationKey{secrets[0], secrets[1]}},
						jwt.VerificationKeySet{Keys: []jwt.VerificationKey{secrets[1], "no key", secrets[0]}},
						jwt.VerificationKeySet{Keys: []jwt.VerificationKey{secrets[1]}},
						jwt.VerificationKeySet{},
					}).Draw(rt, "answer")
				},
				"key in place": func(rt *rapid.T) { secrets[rapid.IntRange(0, 1).Draw(rt, "key")][3] ^= 1 },
				"key source": func(rt *rapid.T) {
					d.failure = rapid.SampledFrom([]error{nil, errors.New("unknown kid"), fmt.Errorf("%w: %w", revoke.ErrUnavailable, errDown)}).Draw(rt, "failure")
				},
				"claims check": func(rt *rapid.T) {
					d.claimsErr = rapid.SampledFrom([]error{nil, nil, errors.New("no"), context.DeadlineExceeded}).Draw(rt, "error")
				},
				"store": func(rt *rapid.T) { d.store.Fail(rapid.SampledFrom([]error{nil, nil, errDown}).Draw(rt, "cause")) },
				"revoke": func(rt *rapid.T) {
					i := rapid.IntRange(0, 5).Draw(rt, "token")
					token := revoke.Token{Issuer: testkit.Issuer, ID: fmt.Sprint("token-", i), Subject: fmt.Sprint("user-", i%2), SessionID: fmt.Sprint("session-", i%3)}
					switch rapid.IntRange(0, 3).Draw(rt, "scope") {
					case 0:
						_, _ = d.store.RevokeUser(ctx, token.User()) // the store may be down
					case 1:
						_ = d.store.RevokeSession(ctx, token.Session())
					default:
						_ = d.store.RevokeToken(ctx, token)
					}
				},
			})
		})
	}
	if hits < presented/20 {
		t.Errorf("only %d of %d were remembered", hits, presented)
	}
}

// TestConfirmAsksOnce counts the questions to a keyfunc with a key that is not the one that
// verified.
func TestConfirmAsksOnce(t *testing.T) {
	t.Parallel()
	asked := 0
	key := testkit.VerificationKey("HS256")
	v := newRecalling(t, yes, func(*jwt.Token) (any, error) { asked++; return key, nil }, "HS256")
	text := hs256(t, nil)
	v.accepts(t, text, false)
	key = []byte(strings.Repeat("another!", 16))
	v.refuses(t, text, false, revoke.ErrInvalidToken, jwt.ErrTokenSignatureInvalid)
	key = testkit.VerificationKey("HS256")
	v.accepts(t, text, true)
	if asked != 3 {
		t.Errorf("the keyfunc was asked %d times in 3 calls", asked)
	}
}

// TestTagsDoNotDecide looks for a text with a hash that begins like that of one that is kept.
func TestTagsDoNotDecide(t *testing.T) {
	t.Parallel()
	v := newRecalling(t, yes, testkit.Keyfunc("HS256"), "HS256")
	text := hs256(t, nil)
	v.accepts(t, text, false)
	if same, similar := revoke.Recalls(v.Validator, text); !same || similar {
		t.Errorf("the text is found: %v; one with a similar hash is found: %v", same, similar)
	}
}

// TestEvictedTokensAreWhole keeps what was handed out for tokens that others have displaced.
func TestEvictedTokensAreWhole(t *testing.T) {
	t.Parallel()
	v := newRecalling(t, yes, testkit.Keyfunc("HS256"), "HS256", revoke.WithSignatureMemory(leastMemory))
	held := make([]*revoke.Verified, 300)
	for i := range held {
		held[i] = v.accepts(t, hs256(t, map[string]string{"jti": fmt.Sprintf(`"token-%d"`, i)}), false)
	}
	for i, verified := range held {
		var claims revoke.Claims
		testkit.Must(t, verified.Claims(&claims))
		if want := fmt.Sprintf("token-%d", i); verified.ID != want || claims.ID != want {
			t.Errorf("%s has the claims of %s, want %s", verified.ID, claims.ID, want)
		}
	}
}

// TestFullBucket fills a bucket before the memory is full, with tokens of which one comes again and
// again.
func TestFullBucket(t *testing.T) {
	t.Parallel()
	v := newRecalling(t, yes, testkit.Keyfunc("HS256"), "HS256", revoke.WithSignatureMemory(1<<20))
	mint := func(i int) string { return hs256(t, map[string]string{"jti": fmt.Sprintf(`"token-%d"`, i)}) }
	often := mint(0)
	v.accepts(t, often, false)
	kept := 0
	for i := 1; kept < 40; i++ {
		if text := mint(i); revoke.ShareABucket(v.Validator, often, text) {
			kept++
			v.accepts(t, text, false)
			v.accepts(t, often, true)
		}
	}
	if count, _ := revoke.Remembered(v.Validator); count != 16 {
		t.Errorf("%d tokens are in a bucket of 16", count)
	}
}

// TestActorIsAskedAboutAgain revokes who acts for the user of a token that is remembered.
func TestActorIsAskedAboutAgain(t *testing.T) {
	t.Parallel()
	store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
	v := newRecalling(t, store, testkit.Keyfunc("HS256"), "HS256")
	text := hs256(t, nil, `"act":{"sub":"operator"}`)
	v.accepts(t, text, false)
	if verified := v.accepts(t, text, true); verified.Actor.Subject != "operator" {
		t.Errorf("%+v", verified.Token)
	}
	testkit.Value(store.RevokeUser(t.Context(), v.User("operator")))(t)
	v.refuses(t, text, true, revoke.ErrRevoked)
}

// lyingKey is a key that equals every other, by its own word.
type lyingKey struct{ *ecdsa.PublicKey }

func (lyingKey) Equal(crypto.PublicKey) bool { return true }

// lyingCurve is a curve that is another type than it seems, and panics where it is used.
type lyingCurve struct{ elliptic.Curve }

func (lyingCurve) IsOnCurve(*big.Int, *big.Int) bool { panic("the curve was asked") }

// namedBytes is a type of an app's for its secrets.
type namedBytes []byte

// answered is what a keyfunc may answer.
type answered struct {
	name   string
	answer any
}

// otherAnswers are right and wrong answers about tokens of any algorithm.
func otherAnswers(tb testing.TB) []answered {
	tb.Helper()
	keys := testkit.TestKeys()
	ed, ok := keys.Ed.Public().(ed25519.PublicKey)
	if !ok {
		tb.Fatal("no key")
	}
	ec, rs := &keys.EC.PublicKey, &keys.RSA.PublicKey
	point := func(curve elliptic.Curve, x, y *big.Int) *ecdsa.PublicKey {
		return &ecdsa.PublicKey{Curve: curve, X: x, Y: y} //nolint:staticcheck // put together, as an app may do
	}
	x, y := ec.X, ec.Y //nolint:staticcheck // as above
	set := func(keys ...jwt.VerificationKey) jwt.VerificationKeySet { return jwt.VerificationKeySet{Keys: keys} }
	every := set(ec, ed, rs, keys.Secret)
	reversed := set(keys.Secret, rs, ed, ec)
	return []answered{
		{"P-256", ec},
		{"Ed25519", ed},
		{"RSA", rs},
		{"a secret", keys.Secret},
		{"a copy of P-256", point(ec.Curve, new(big.Int).Set(x), new(big.Int).Set(y))},
		{"a copy of RSA", &rsa.PublicKey{N: new(big.Int).Set(rs.N), E: rs.E}},
		{"a struct of RSA", *rs},
		{"a signer of P-256", keys.EC},
		{"a signer of RSA", keys.RSA},
		{"a signer of Ed25519", keys.Ed},
		{"a set of signers", set(keys.EC, keys.RSA, keys.Ed)},
		{"bytes of Ed25519", []byte(ed)},
		{"an array of Ed25519", [ed25519.PublicKeySize]byte(ed)},
		{"a pointer to Ed25519", &ed},
		{"a secret as Ed25519", ed25519.PublicKey(keys.Secret[:ed25519.PublicKeySize])},
		{"a secret as a string", string(keys.Secret)},
		{"a secret of a type of its own", namedBytes(keys.Secret)},
		{"a secret without its end", keys.Secret[:63]},
		{"a byte of a secret", keys.Secret[:1]},
		{"a key that lies", lyingKey{ec}},
		{"a set of keys that lie", set(lyingKey{ec}, &lyingKey{ec})},
		{"a curve that lies", point(lyingCurve{ec.Curve}, x, y)},
		{"another curve", point(elliptic.P384(), x, y)},
		{"no point", point(ec.Curve, nil, nil)},
		{"half a point", point(ec.Curve, x, nil)},
		{"no modulus", &rsa.PublicKey{E: rs.E}},
		{"no exponent", &rsa.PublicKey{N: rs.N}},
		{"a negative modulus", &rsa.PublicKey{N: new(big.Int).Neg(rs.N), E: rs.E}},
		{"nil", nil},
		{"a nil P-256", (*ecdsa.PublicKey)(nil)},
		{"a nil RSA", (*rsa.PublicKey)(nil)},
		{"a nil Ed25519", ed25519.PublicKey(nil)},
		{"a nil secret", []byte(nil)},
		{"every key", every},
		{"every key in the other order", reversed},
		{"every key twice", set(slices.Concat(every.Keys, reversed.Keys)...)},
		{"a set in a set", set(every)},
		{"a pointer to a set", &every},
		{"a list", every.Keys},
		{"an empty set", set()},
		{"a set of nils", set(nil, (*rsa.PublicKey)(nil), (*ecdsa.PublicKey)(nil))},
		{"a set with nils", set(nil, ec, (*rsa.PublicKey)(nil), ed, rs, keys.Secret, (*ecdsa.PublicKey)(nil))},
	}
}

// TestMemoryChangesNoAnswerForAnyKey has the keyfunc answer in any way about a token that is
// remembered, and about the same token without the memory.
func TestMemoryChangesNoAnswerForAnyKey(t *testing.T) {
	t.Parallel()
	public := []string{"ES256", "EdDSA", "RS256", "PS256"}
	for _, row := range []struct {
		alg     string
		allowed []string
	}{{"HS256", []string{"HS256", "HS512"}}, {"ES256", public}, {"EdDSA", public}, {"RS256", public}, {"PS256", []string{"PS256"}}} {
		alg, allowed := row.alg, row.allowed
		text := testkit.SignRaw(t, alg, `{"alg":"`+alg+`","kid":"k"}`, testkit.Payload(nil))
		for _, other := range otherAnswers(t) {
			t.Run(alg+"/"+other.name, func(t *testing.T) {
				t.Parallel()
				answer := testkit.VerificationKey(alg)
				keyfunc := func(*jwt.Token) (any, error) { return answer, nil }
				heard := &recalling{}
				with := testkit.Value(revoke.NewValidator(yes, testkit.Issuer, revoke.AnyAudience(), keyfunc, allowed, revoke.WithClock(testkit.Clock), revoke.WithHook(heard)))(t)
				without := testkit.Value(revoke.NewValidator(yes, testkit.Issuer, revoke.AnyAudience(), keyfunc, allowed, revoke.WithClock(testkit.Clock), revoke.WithSignatureMemory(0)))(t)
				accepted(t, with, text)
				accepted(t, with, text)
				if !heard.remembered {
					t.Fatal("the token is not remembered, so this proves nothing")
				}
				answer = other.answer
				for range 2 {
					_, err := with.Validate(t.Context(), text)
					_, want := without.Validate(t.Context(), text)
					if fmt.Sprint(err) != fmt.Sprint(want) {
						t.Errorf("%v, and without the memory %v", err, want)
					}
					for _, sentinel := range []error{
						revoke.ErrInvalidToken, revoke.ErrUnavailable, jwt.ErrTokenSignatureInvalid, jwt.ErrTokenUnverifiable, jwt.ErrInvalidKey, jwt.ErrInvalidKeyType,
					} {
						if errors.Is(err, sentinel) != errors.Is(want, sentinel) {
							t.Errorf("%v matches %v, or does so without the memory alone", err, sentinel)
						}
					}
				}
				answer = testkit.VerificationKey(alg)
				accepted(t, with, text)
				if !heard.remembered {
					t.Error("the token is not remembered any more")
				}
			})
		}
	}
}

// TestMemoryAfterAPanic has the keyfunc, a claims check, the checker and the clock panic about a
// token that is remembered. A call that ends so leaves the memory as it was.
func TestMemoryAfterAPanic(t *testing.T) {
	t.Parallel()
	var at string
	end := func(place string) {
		if at == place {
			panic(place)
		}
	}
	checker := checkerFunc(func(context.Context, revoke.Token) error { end("checker"); return nil })
	keyfunc := func(*jwt.Token) (any, error) { end("keyfunc"); return testkit.VerificationKey("HS256"), nil }
	v := newRecalling(t, checker, keyfunc, "HS256",
		revoke.WithClock(func() time.Time { end("clock"); return testkit.Now }),
		revoke.WithClaimsCheck(func(context.Context, *revoke.Verified) error { end("claims check"); return nil }))
	text, fresh := hs256(t, nil), hs256(t, map[string]string{"jti": `"fresh"`})
	v.accepts(t, text, false)
	for _, at = range []string{"keyfunc", "clock", "claims check", "checker"} {
		for _, text := range []string{text, fresh} {
			func() {
				defer func() {
					if recover() != any(at) {
						t.Errorf("no panic of the %s", at)
					}
				}()
				_, _ = v.Validate(t.Context(), text)
			}()
		}
	}
	at = ""
	v.accepts(t, text, true)
	v.accepts(t, fresh, false)
}
