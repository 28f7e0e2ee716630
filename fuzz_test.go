package revoke_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revoketest"
)

// FuzzValidate signs arbitrary headers and payloads, and presents arbitrary text as it is. A token
// that is accepted is refused once it has been revoked. Its identity is what encoding/json reads,
// or Claims refuses to decode it. The same holds for a validator of an issuer that writes its
// identity under other names, or leaves it out.
func FuzzValidate(f *testing.F) {
	f.Add(testkit.Header, testkit.Payload(nil), true)
	f.Add(`{"alg":"ES256","crit":["x"]}`, testkit.Payload(map[string]string{"jti": `"\u0041"`}), true)
	f.Add(testkit.Header, testkit.Payload(nil, `"JTI":"x"`, `"a":{"b":[1,2,{"c":null}]}`), true)
	f.Add(testkit.Header, testkit.Payload(map[string]string{"exp": "1893554045.5", "aud": `["a","b"]`, "nbf": "1e9"}), true)
	f.Add(testkit.Header, testkit.Payload(nil, `"uti":"u"`, `"user_id":12345678901234567890`), true)
	f.Add(testkit.Header, testkit.Payload(map[string]string{"aud": "[]", "sid": "7", "jti": "null"}, `"uti":""`, `"user_id":null`), true)
	f.Add(testkit.Header, testkit.Payload(map[string]string{"iss": `"issuer.example"`}, `"user_id":0`), true)
	f.Add(testkit.Header, "{}", true)
	f.Add(testkit.Mint(f, nil), "", false)
	f.Add("a.b.c", "", false)
	f.Fuzz(func(t *testing.T, header, payload string, sign bool) {
		store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
		v := es256(t, store)
		text := header
		if sign {
			text = testkit.SignRaw(t, "ES256", header, payload)
		}
		fuzzOtherIdentity(t, text)
		verified, err := v.Validate(t.Context(), text)
		if err != nil {
			testkit.WantError(t, err, revoke.ErrInvalidToken)
			if verified != nil {
				t.Fatalf("beside %v there is %+v", err, verified)
			}
			if _, err := v.Identify(t.Context(), text); err != nil {
				testkit.WantError(t, err, revoke.ErrInvalidToken)
			}
			return
		}
		token := verified.Token
		var read struct {
			Issuer  string `json:"iss"`
			Subject string `json:"sub"`
			ID      string `json:"jti"`
			Session string `json:"sid"`
		}
		if err := verified.Claims(&read); err == nil {
			if token.Issuer != read.Issuer || token.Subject != read.Subject || token.ID != read.ID || token.SessionID != read.Session {
				t.Fatalf("identity %+v, encoding/json reads %+v", token, read)
			}
		} else {
			testkit.WantError(t, err, revoke.ErrInvalidToken)
			if !strings.Contains(err.Error(), "in another way too") {
				t.Fatalf("Claims = %v", err)
			}
			var lenient map[string]any
			if err := json.Unmarshal([]byte(decoded(t, strings.Split(text, ".")[1])), &lenient); err != nil {
				t.Fatalf("what encoding/json refuses is accepted: %v", err)
			}
		}
		for _, id := range []string{token.Issuer, token.Subject, token.ID} {
			if id == "" || len(id) > revoke.MaxIDLength || !utf8.ValidString(id) || strings.Contains(id, "\x00") {
				t.Fatalf("identifier %q", id)
			}
		}
		if identified := testkit.Value(v.Identify(t.Context(), text))(t); identified != token {
			t.Fatalf("Identify = %+v, want %+v", identified, token)
		}
		testkit.Must(t, store.RevokeToken(t.Context(), token))
		if _, err := v.Validate(t.Context(), text); !errors.Is(err, revoke.ErrRevoked) {
			t.Fatalf("after its revocation: %v", err)
		}
	})
}

// fuzzOtherIdentity presents a text to a validator of an issuer with an alias, other names of
// claims, and tokens without an id.
func fuzzOtherIdentity(t *testing.T, text string) {
	t.Helper()
	store := revoketest.NewMemory(revoketest.WithClock(testkit.Clock))
	v := es256(t, store, revoke.WithClaimNames(revoke.ClaimNames{ID: "uti", Subject: "user_id", Numbers: true}),
		revoke.WithDerivedID(), revoke.WithOptionalSubject(), revoke.WithoutSession(), revoke.WithIssuerAliases("issuer.example"))
	set := testkit.Value(revoke.NewValidatorSet([]*revoke.Validator{v}, nil))(t)
	verified, err := v.Validate(t.Context(), text)
	if _, setErr := set.Validate(t.Context(), text); (err == nil) != (setErr == nil) {
		t.Fatalf("the validator says %v, its set %v", err, setErr)
	}
	if err != nil {
		testkit.WantError(t, err, revoke.ErrInvalidToken)
		return
	}
	token := verified.Token
	var read struct {
		ID      any `json:"uti"`
		Subject any `json:"user_id"`
	}
	if err := verified.Claims(&read); err == nil {
		id, _ := read.ID.(string)
		if subject, ok := read.Subject.(string); id != "" && id != token.ID || ok && subject != token.Subject {
			t.Fatalf("identity %+v, encoding/json reads %+v", token, read)
		}
		if read.ID == nil && !strings.HasPrefix(token.ID, "sha256:") {
			t.Fatalf("the id is %q, and there is none", token.ID)
		}
	}
	if token.ID == "" || len(token.ID) > revoke.MaxIDLength || token.Issuer != testkit.Issuer || token.SessionID != "" {
		t.Fatalf("identity %+v", token)
	}
	if identified := testkit.Value(set.Identify(t.Context(), text))(t); identified != token {
		t.Fatalf("Identify = %+v, want %+v", identified, token)
	}
	testkit.Must(t, store.RevokeToken(t.Context(), token))
	if _, err := set.Validate(t.Context(), text); !errors.Is(err, revoke.ErrRevoked) {
		t.Fatalf("after its revocation: %v", err)
	}
}
