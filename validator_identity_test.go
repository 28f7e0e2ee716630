package revoke_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/known"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
)

// entraNames are the claims of Entra, with a session of which its tokens have none.
var entraNames = revoke.ClaimNames{ID: "uti", Subject: "oid", Session: "session_id"}

// entra signs a token with the claims of entraNames beside the registered ones.
func entra(tb testing.TB, changes map[string]string, extra ...string) string {
	tb.Helper()
	members := map[string]string{"uti": `"uti-1"`, "oid": `"oid-1"`, "session_id": `"named-1"`}
	maps.Copy(members, changes)
	return testkit.Mint(tb, members, extra...)
}

// entraToken is the identity of entra's token.
func entraToken() revoke.Token {
	token := mintedToken()
	token.ID, token.Subject, token.SessionID = "uti-1", "oid-1", "named-1"
	return token
}

func TestClaimNames(t *testing.T) {
	t.Parallel()
	numbers := revoke.WithClaimNames(revoke.ClaimNames{Subject: "user_id", Numbers: true})
	for _, row := range []struct {
		name   string
		option revoke.ValidatorOption
		text   string
		want   func(*revoke.Token)
	}{
		{"no name is given", revoke.WithClaimNames(revoke.ClaimNames{}), entra(t, nil), func(*revoke.Token) {}},
		{"the registered names", revoke.WithClaimNames(revoke.ClaimNames{ID: "jti", Subject: "sub", Session: "sid"}), entra(t, nil), func(*revoke.Token) {}},
		{"the id", revoke.WithClaimNames(revoke.ClaimNames{ID: "uti"}), entra(t, nil), func(t *revoke.Token) { t.ID = "uti-1" }},
		{"the subject", revoke.WithClaimNames(revoke.ClaimNames{Subject: "oid"}), entra(t, nil), func(t *revoke.Token) { t.Subject = "oid-1" }},
		{"the session", revoke.WithClaimNames(revoke.ClaimNames{Session: "session_id"}), entra(t, nil), func(t *revoke.Token) { t.SessionID = "named-1" }},
		{"all three", revoke.WithClaimNames(entraNames), entra(t, nil), func(t *revoke.Token) { *t = entraToken() }},
		{
			"what is not read may be of any type", revoke.WithClaimNames(entraNames), entra(t, map[string]string{"jti": "7", "sub": `["x"]`, "sid": "{}"}),
			func(t *revoke.Token) { *t = entraToken() },
		},
		{
			"what is not read may be absent", revoke.WithClaimNames(entraNames), entra(t, map[string]string{"jti": "", "sub": "", "sid": ""}),
			func(t *revoke.Token) { *t = entraToken() },
		},
		{
			"the session is optional", revoke.WithClaimNames(entraNames), entra(t, map[string]string{"session_id": ""}),
			func(t *revoke.Token) { *t = entraToken(); t.SessionID = "" },
		},
		{
			"a session of null is none", revoke.WithClaimNames(entraNames), entra(t, map[string]string{"session_id": "null"}),
			func(t *revoke.Token) { *t = entraToken(); t.SessionID = "" },
		},
		{"a number", numbers, testkit.Mint(t, map[string]string{"user_id": "42"}), func(t *revoke.Token) { t.Subject = "42" }},
		{
			"a number that no float holds", numbers, testkit.Mint(t, map[string]string{"user_id": "900719925474099301234567890"}),
			func(t *revoke.Token) { t.Subject = "900719925474099301234567890" },
		},
		{"text where numbers count", numbers, testkit.Mint(t, map[string]string{"user_id": `"ada"`}), func(t *revoke.Token) { t.Subject = "ada" }},
		{
			"numbers under registered names", revoke.WithClaimNames(revoke.ClaimNames{Numbers: true}), testkit.Mint(t, map[string]string{"sub": "7", "jti": "8", "sid": "9"}),
			func(t *revoke.Token) { t.Subject, t.ID, t.SessionID = "7", "8", "9" },
		},
		{"without a session", revoke.WithoutSession(), entra(t, nil), func(t *revoke.Token) { t.SessionID = "" }},
		{"without a session, and a sid of another type", revoke.WithoutSession(), entra(t, map[string]string{"sid": "7"}), func(t *revoke.Token) { t.SessionID = "" }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			want := mintedToken()
			row.want(&want)
			v := es256(t, &askedFor{}, row.option)
			if verified := accepted(t, v, row.text); verified.Token != want {
				t.Errorf("%+v, want %+v", verified.Token, want)
			}
			if token := testkit.Value(v.Identify(t.Context(), row.text))(t); token != want {
				t.Errorf("Identify = %+v, want %+v", token, want)
			}
		})
	}
}

// TestClaimNamesAreStrict refuses in a named claim what is refused in a registered one. The error
// names the claim.
func TestClaimNamesAreStrict(t *testing.T) {
	t.Parallel()
	named := []revoke.ValidatorOption{revoke.WithClaimNames(entraNames), revoke.WithRequiredSession()}
	for _, claim := range []string{"uti", "oid", "session_id"} {
		escaped := fmt.Sprintf(`"\u00%x%s":"x"`, claim[0], claim[1:])
		for _, row := range []struct {
			name, text string
			also       error
		}{
			{"absent", entra(t, map[string]string{claim: ""}), jwt.ErrTokenRequiredClaimMissing},
			{"only in capitals", entra(t, map[string]string{claim: "", strings.ToUpper(claim): `"x"`}), jwt.ErrTokenRequiredClaimMissing},
			{"only in escapes", entra(t, map[string]string{claim: ""}, escaped), nil},
			{"twice", entra(t, nil, `"`+claim+`":"x"`), nil},
			{"in escapes too", entra(t, nil, escaped), nil},
			{"null", entra(t, map[string]string{claim: "null"}), jwt.ErrInvalidType},
			{"empty", entra(t, map[string]string{claim: `""`}), nil},
			{"a number", entra(t, map[string]string{claim: "7"}), jwt.ErrInvalidType},
			{"an array", entra(t, map[string]string{claim: `["x"]`}), jwt.ErrInvalidType},
			{"with NUL", entra(t, map[string]string{claim: `"a\u0000"`}), nil},
			{"half a pair", entra(t, map[string]string{claim: `"\ud800"`}), nil},
			{"too long", entra(t, map[string]string{claim: `"` + strings.Repeat("x", revoke.MaxIDLength+1) + `"`}), nil},
		} {
			t.Run(claim+"/"+row.name, func(t *testing.T) {
				t.Parallel()
				v := es256(t, neverAsked{t}, named...)
				refused(t, v, row.text, revoke.ErrInvalidToken)
				_, err := v.Identify(t.Context(), row.text)
				testkit.WantError(t, err, revoke.ErrInvalidToken)
				if row.also != nil && !errors.Is(err, row.also) {
					t.Errorf("%v does not match %v", err, row.also)
				}
				if !strings.Contains(err.Error(), `"`+claim+`"`) {
					t.Errorf("%v does not name %q", err, claim)
				}
			})
		}
	}
	for _, claim := range []string{"jti", "sub", "sid"} {
		t.Run(claim+" twice, though it is not read", func(t *testing.T) {
			t.Parallel()
			refused(t, es256(t, neverAsked{t}, named...), entra(t, nil, `"`+claim+`":"x"`), revoke.ErrInvalidToken)
		})
	}
	for _, value := range []string{"1e3", "1.0", "-0", "-7", "1E0", "true", "null", "[1]", `""`} {
		t.Run("a number written as "+value, func(t *testing.T) {
			t.Parallel()
			v := es256(t, neverAsked{t}, revoke.WithClaimNames(revoke.ClaimNames{Subject: "user_id", Numbers: true}))
			refused(t, v, testkit.Mint(t, map[string]string{"user_id": value}), revoke.ErrInvalidToken)
		})
	}
}

// TestClaimsOfNamedClaims fails where encoding/json would read another member in place of a claim
// that the validator reads, or of a registered one.
func TestClaimsOfNamedClaims(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"UTI", "Oid", "OID", "Session_ID", "ſession_id", "JTI", "Sub", "ſid"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verified := accepted(t, es256(t, &askedFor{}, revoke.WithClaimNames(entraNames)), entra(t, map[string]string{name: `"other"`}))
			if verified.Token != entraToken() {
				t.Errorf("%+v, want %+v", verified.Token, entraToken())
			}
			testkit.WantError(t, verified.Claims(&map[string]any{}), revoke.ErrInvalidToken)
		})
	}
	t.Run("no other spelling", func(t *testing.T) {
		t.Parallel()
		verified := accepted(t, es256(t, &askedFor{}, revoke.WithClaimNames(entraNames)), entra(t, map[string]string{"UTIs": "1", "uid": "2"}))
		var claims struct {
			ID      string `json:"uti"`
			Subject string `json:"oid"`
		}
		testkit.Must(t, verified.Claims(&claims))
		if claims.ID != "uti-1" || claims.Subject != "oid-1" {
			t.Errorf("%+v", claims)
		}
	})
}

// TestNamedIdentityIsRevoked revokes tokens by what the named claims hold, and none by what the
// registered ones hold.
func TestNamedIdentityIsRevoked(t *testing.T) {
	t.Parallel()
	text := entra(t, nil)
	other := mintedToken()
	for _, row := range []struct {
		name   string
		revoke func(revoke.Revoker, revoke.Token) error
	}{
		{"token", func(r revoke.Revoker, token revoke.Token) error { return r.RevokeToken(t.Context(), token) }},
		{"session", func(r revoke.Revoker, token revoke.Token) error { return r.RevokeSession(t.Context(), token.Session()) }},
		{"user", func(r revoke.Revoker, token revoke.Token) error {
			_, err := r.RevokeUser(t.Context(), token.User())
			return err
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
			v := es256(t, store, revoke.WithClaimNames(entraNames))
			testkit.Must(t, row.revoke(store, other))
			accepted(t, v, text)
			testkit.Must(t, row.revoke(store, testkit.Value(v.Identify(t.Context(), text))(t)))
			refused(t, v, text, revoke.ErrRevoked)
		})
	}
	t.Run("WithoutSession: no session reaches the token", func(t *testing.T) {
		t.Parallel()
		store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
		testkit.Must(t, store.RevokeSession(t.Context(), other.Session()))
		accepted(t, es256(t, store, revoke.WithoutSession()), text)
		refused(t, es256(t, store), text, revoke.ErrRevoked)
	})
}

func TestIdentityOptionsRefuse(t *testing.T) {
	t.Parallel()
	names := func(n revoke.ClaimNames) []revoke.ValidatorOption {
		return []revoke.ValidatorOption{revoke.WithClaimNames(n)}
	}
	type row struct {
		name string
		opts []revoke.ValidatorOption
		want string
	}
	rows := []row{
		{"id and subject alike", names(revoke.ClaimNames{ID: "x", Subject: "x"}), `"x" is the claim of the id and of the subject`},
		{"id and session alike", names(revoke.ClaimNames{ID: "x", Session: "x"}), `"x" is the claim of the id and of the session`},
		{"subject and session alike", names(revoke.ClaimNames{Subject: "x", Session: "x"}), `"x" is the claim of the subject and of the session`},
		{"alike but for case", names(revoke.ClaimNames{ID: "uſer", Subject: "USER"}), `"USER" is the claim of the id and of the subject`},
		{"a name with NUL", names(revoke.ClaimNames{ID: "a\x00"}), "NUL"},
		{"a name that is too long", names(revoke.ClaimNames{ID: strings.Repeat("x", revoke.MaxIDLength+1)}), "at most 1024"},
		{"a name that is not UTF-8", names(revoke.ClaimNames{Subject: "\xff"}), "UTF-8"},
		{"a name with a quote", names(revoke.ClaimNames{Session: `a"b`}), "without an escape"},
		{"a name with a backslash", names(revoke.ClaimNames{Session: `a\b`}), "without an escape"},
		{"a name with a line break", names(revoke.ClaimNames{Session: "a\nb"}), "without an escape"},
		{"no session, which is required", []revoke.ValidatorOption{revoke.WithoutSession(), revoke.WithRequiredSession()}, "WithoutSession and WithRequiredSession"},
		{"no session, which is named", append(names(revoke.ClaimNames{Session: "session_id"}), revoke.WithoutSession()), "WithoutSession and ClaimNames.Session"},
		{"no session, named sid", append(names(revoke.ClaimNames{Session: "sid"}), revoke.WithoutSession()), "WithoutSession and ClaimNames.Session"},
		{"no alias", []revoke.ValidatorOption{revoke.WithIssuerAliases()}, "no issuer alias is named"},
		{"an empty alias", []revoke.ValidatorOption{revoke.WithIssuerAliases("a", "")}, "issuer alias is empty"},
		{"an alias that is too long", []revoke.ValidatorOption{revoke.WithIssuerAliases(strings.Repeat("a", revoke.MaxIDLength+1))}, "at most 1024"},
		{"an alias that is the name", []revoke.ValidatorOption{revoke.WithIssuerAliases(testkit.Issuer)}, "named \"" + testkit.Issuer + "\" twice"},
		{"an alias twice", []revoke.ValidatorOption{revoke.WithIssuerAliases("a", "b"), revoke.WithIssuerAliases("a")}, `named "a" twice`},
	}
	for _, claim := range []string{"iss", "sub", "jti", "sid", "iat", "exp", "nbf", "aud", "epochs", "events", "cnf", "act"} {
		want := `which has a meaning of its own`
		for _, name := range []string{claim, strings.ToUpper(claim)} {
			for of, n := range map[string]revoke.ClaimNames{"jti": {ID: name}, "sub": {Subject: name}, "sid": {Session: name}} {
				if of != name {
					rows = append(rows, row{of + " named " + name, names(n), want})
				}
			}
		}
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			v, err := revoke.NewValidator(neverAsked{t}, testkit.Issuer, revoke.AnyAudience(), testkit.Keyfunc("ES256"), []string{"ES256"}, row.opts...)
			wantConstructorError(t, "NewValidator", err, row.want)
			if v != nil {
				t.Errorf("beside the error there is %v", v)
			}
		})
	}
}

// TestRequiresSessionOfNames tells a handler of logouts which tokens have a session.
func TestRequiresSessionOfNames(t *testing.T) {
	t.Parallel()
	named, required := revoke.WithClaimNames(entraNames), revoke.WithRequiredSession()
	for _, row := range []struct {
		name   string
		opts   []revoke.ValidatorOption
		issuer string
		want   bool
	}{
		{"a named session is required", []revoke.ValidatorOption{named, required}, testkit.Issuer, true},
		{"a named session is optional", []revoke.ValidatorOption{named}, testkit.Issuer, false},
		{"no session", []revoke.ValidatorOption{revoke.WithoutSession()}, testkit.Issuer, false},
		{"the issuer has an alias", []revoke.ValidatorOption{required, revoke.WithIssuerAliases("alias")}, testkit.Issuer, true},
		{"the alias, under which no session is kept", []revoke.ValidatorOption{required, revoke.WithIssuerAliases("alias")}, "alias", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := es256(t, neverAsked{t}, row.opts...).RequiresSession(row.issuer); got != row.want {
				t.Errorf("RequiresSession = %v", got)
			}
		})
	}
}

// TestKeyfuncSeesNames gives a keyfunc the claims that the validator accepts, by the getters of
// golang-jwt.
func TestKeyfuncSeesNames(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		opts    []revoke.ValidatorOption
		text    string
		subject string
	}{
		{"no audience", nil, testkit.Mint(t, map[string]string{"aud": "[]"}), "ada"},
		{"no subject", []revoke.ValidatorOption{revoke.WithOptionalSubject()}, testkit.Mint(t, map[string]string{"sub": `""`}), ""},
		{"another subject", []revoke.ValidatorOption{revoke.WithClaimNames(entraNames)}, entra(t, map[string]string{"sub": "7"}), "oid-1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			keyfunc := func(token *jwt.Token) (any, error) {
				subject, err := token.Claims.GetSubject()
				_, wrong := token.Claims.GetAudience()
				if subject != row.subject {
					t.Errorf("GetSubject = %q, want %q", subject, row.subject)
				}
				return testkit.VerificationKey("ES256"), errors.Join(err, wrong)
			}
			accepted(t, validatorOf(t, &askedFor{}, revoke.AnyAudience(), keyfunc, "ES256", row.opts...), row.text)
		})
	}
}

// TestDerivedID knows a token without an id by what was signed, under each spelling that verifies.
func TestDerivedID(t *testing.T) {
	t.Parallel()
	// The last letters of header and payload have bits that base64 leaves over.
	payload := testkit.Payload(map[string]string{"jti": ""})
	payload += strings.Repeat(" ", 3-len(payload)%3+1)
	good := withBothAlphabets(func() string { return testkit.SignRaw(t, "ES256", `{"alg":"ES256","typ":"JWT" }`, payload) })
	parts := strings.Split(good, ".")
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	want := mintedToken()
	want.ID = "sha256:" + base64.RawURLEncoding.EncodeToString(sum[:])
	respelled := respellings(t, good)
	texts := []text{
		{"itself", good},
		respelled[twinSignature],
		respelled[trailingBits],
		{"a twin in other bits", respellings(t, respelled[twinSignature].token)[trailingBits].token},
		{"signed again", testkit.SignRaw(t, "ES256", decoded(t, parts[0]), decoded(t, parts[1]))},
		{"a line break in the header", parts[0][:4] + "\n" + good[4:]},
		{"a line break in the payload", parts[0] + "." + parts[1][:8] + "\r\n" + parts[1][8:] + "." + parts[2]},
		{"a line break in the signature", good[:len(good)-4] + "\r\n" + good[len(good)-4:]},
		{"a line break at the end", good + "\n"},
		{"padded header", parts[0] + "==." + parts[1] + "." + parts[2]},
		{"padded payload", parts[0] + "." + parts[1] + "==." + parts[2]},
		{"padded signature", good + "=="},
		{"the standard alphabet", strings.NewReplacer("-", "+", "_", "/").Replace(good)},
		{"trailing bits of the header", flipLast(parts[0]) + "." + parts[1] + "." + parts[2]},
		{"trailing bits of the payload", parts[0] + "." + flipLast(parts[1]) + "." + parts[2]},
		{"a part behind it", good + "."},
	}
	store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
	testkit.Must(t, store.RevokeToken(t.Context(), testkit.Value(es256(t, store, revoke.WithDerivedID()).Identify(t.Context(), good))(t)))
	verify := 0
	for _, row := range texts {
		verified, err := es256(t, &askedFor{}, revoke.WithDerivedID()).Validate(t.Context(), row.token)
		switch {
		case err != nil:
			testkit.WantError(t, err, revoke.ErrInvalidToken)
		case verified.Token != want:
			t.Errorf("%s: %+v, want %+v", row.name, verified.Token, want)
		default:
			verify++
		}
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			for _, loose := range looseOptions() {
				_, err := es256(t, store, revoke.WithDerivedID(), revoke.WithParserOptions(loose.options...)).Validate(t.Context(), row.token)
				if err == nil {
					t.Errorf("%s: accepted after the revocation", loose.name)
				}
			}
		})
	}
	if verify != 3 {
		t.Errorf("%d spellings verify before the revocation, want the token, its twin, and itself signed again", verify)
	}
}

func TestDerivedIDIsTheLastResort(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		opts    []revoke.ValidatorOption
		text    string
		derived bool
		want    string
	}{
		{"a jti", nil, testkit.Mint(t, nil), false, "token-1"},
		{"a jti that looks derived", nil, testkit.Mint(t, map[string]string{"jti": `"sha256:x"`}), false, "sha256:x"},
		{"no jti", nil, testkit.Mint(t, map[string]string{"jti": ""}), true, ""},
		{"a jti of null", nil, testkit.Mint(t, map[string]string{"jti": "null"}), true, ""},
		{"an empty jti", nil, testkit.Mint(t, map[string]string{"jti": `""`}), true, ""},
		{"a named id", []revoke.ValidatorOption{revoke.WithClaimNames(entraNames)}, entra(t, nil), false, "uti-1"},
		{"no named id, and a jti", []revoke.ValidatorOption{revoke.WithClaimNames(entraNames)}, entra(t, map[string]string{"uti": ""}), true, ""},
		{"WithOptionalID beside it", []revoke.ValidatorOption{revoke.WithOptionalID()}, testkit.Mint(t, map[string]string{"jti": ""}), true, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			verified := accepted(t, es256(t, &askedFor{}, append(row.opts, revoke.WithDerivedID())...), row.text)
			if derived := strings.HasPrefix(verified.ID, "sha256:") && len(verified.ID) == len("sha256:")+43; derived != row.derived {
				t.Errorf("the id is %q", verified.ID)
			}
			if !row.derived && verified.ID != row.want {
				t.Errorf("the id is %q, want %q", verified.ID, row.want)
			}
		})
	}
	for _, value := range []string{"7", "[]", "false", `"a\u0000"`} {
		t.Run("refused/a jti of "+value, func(t *testing.T) {
			t.Parallel()
			refused(t, es256(t, neverAsked{t}, revoke.WithDerivedID()), testkit.Mint(t, map[string]string{"jti": value}), revoke.ErrInvalidToken)
		})
	}
	t.Run("refused/without the option", func(t *testing.T) {
		t.Parallel()
		refused(t, es256(t, neverAsked{t}), testkit.Mint(t, map[string]string{"jti": ""}), revoke.ErrInvalidToken, jwt.ErrTokenRequiredClaimMissing)
	})
	t.Run("an expired token is identified alike", func(t *testing.T) {
		t.Parallel()
		text := testkit.Mint(t, map[string]string{"jti": "", "exp": testkit.At(-time.Second)})
		if token := testkit.Value(es256(t, neverAsked{t}, revoke.WithDerivedID()).Identify(t.Context(), text))(t); !strings.HasPrefix(token.ID, "sha256:") {
			t.Errorf("%+v", token)
		}
	})
	t.Run("another issuer's jti cannot end the token", func(t *testing.T) {
		t.Parallel()
		store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
		text := testkit.Mint(t, map[string]string{"jti": ""})
		v := es256(t, store, revoke.WithDerivedID())
		token := testkit.Value(v.Identify(t.Context(), text))(t)
		token.Issuer = "https://other.example"
		testkit.Must(t, store.RevokeToken(t.Context(), token))
		accepted(t, v, text)
	})
}

// TestIssuerAliases accepts each name of an issuer, and keeps everything under one.
func TestIssuerAliases(t *testing.T) {
	t.Parallel()
	const alias, second = "issuer.example", "https://second.example"
	aliases := revoke.WithIssuerAliases(alias, second)
	for _, iss := range []string{testkit.Issuer, alias, second} {
		text := testkit.Mint(t, map[string]string{"iss": `"` + iss + `"`})
		t.Run("accepted/"+iss, func(t *testing.T) {
			t.Parallel()
			checker := &askedFor{}
			if verified := accepted(t, es256(t, checker, aliases), text); verified.Token != mintedToken() || checker.tokens[0] != mintedToken() {
				t.Errorf("%+v, asked for %+v", verified.Token, checker.tokens)
			}
		})
		for _, row := range []struct {
			scope  string
			revoke func(revoke.Revoker) error
		}{
			{"token", func(r revoke.Revoker) error { return r.RevokeToken(t.Context(), mintedToken()) }},
			{"session", func(r revoke.Revoker) error { return r.RevokeSession(t.Context(), mintedToken().Session()) }},
			{"user", func(r revoke.Revoker) error { _, err := r.RevokeUser(t.Context(), mintedToken().User()); return err }},
			{"issuer", func(r revoke.Revoker) error { _, err := r.RevokeIssuer(t.Context(), testkit.Issuer); return err }},
		} {
			t.Run("revoked/"+row.scope+"/"+iss, func(t *testing.T) {
				t.Parallel()
				store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
				testkit.Must(t, row.revoke(store))
				refused(t, es256(t, store, aliases), text, revoke.ErrRevoked)
			})
		}
	}
	for _, iss := range []string{"https://issuer.example/", "ISSUER.example", "issuer.example ", "https://third.example"} {
		t.Run("refused/"+iss, func(t *testing.T) {
			t.Parallel()
			refused(t, es256(t, neverAsked{t}, aliases), testkit.Mint(t, map[string]string{"iss": `"` + iss + `"`}), revoke.ErrInvalidToken, jwt.ErrTokenInvalidIssuer)
		})
	}
	t.Run("refused/an alias without the option", func(t *testing.T) {
		t.Parallel()
		refused(t, es256(t, neverAsked{t}), testkit.Mint(t, map[string]string{"iss": `"` + alias + `"`}), revoke.ErrInvalidToken, jwt.ErrTokenInvalidIssuer)
	})
}

// TestRefusalNamesTheIdentity has the error of a refused token name it as an accepted one is named.
func TestRefusalNamesTheIdentity(t *testing.T) {
	t.Parallel()
	v := es256(t, neverAsked{t}, revoke.WithDerivedID(), revoke.WithIssuerAliases("alias"), revoke.WithClaimNames(revoke.ClaimNames{Subject: "oid"}))
	text := testkit.Mint(t, map[string]string{"iss": `"alias"`, "jti": "", "oid": `"oid-1"`, "exp": testkit.At(-time.Second)})
	want := testkit.Value(v.Identify(t.Context(), text))(t)
	_, err := v.Validate(t.Context(), text)
	testkit.WantError(t, err, revoke.ErrInvalidToken)
	got, ok := known.Token[revoke.Token](err)
	if !ok || got.Issuer != want.Issuer || got.ID != want.ID || got.Subject != want.Subject || got.SessionID != want.SessionID {
		t.Errorf("the error names %+v, want %+v", got, want)
	}
}
