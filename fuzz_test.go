package revoke_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/revoketest"
)

// FuzzValidate signs arbitrary headers and payloads, and presents arbitrary text as it is. Whatever is accepted has the
// identity that encoding/json reads, and is refused once that has been revoked.
func FuzzValidate(f *testing.F) {
	f.Add(goodHeader, payloadOf(nil), true)
	f.Add(`{"alg":"ES256","crit":["x"]}`, payloadOf(map[string]string{"jti": `"\u0041"`}), true)
	f.Add(goodHeader, payloadOf(nil, `"JTI":"x"`, `"a":{"b":[1,2,{"c":null}]}`), true)
	f.Add(goodHeader, payloadOf(map[string]string{"exp": "1893554045.5", "aud": `["a","b"]`, "nbf": "1e9"}), true)
	f.Add(goodHeader, "{}", true)
	f.Add(mint(f, nil), "", false)
	f.Add("a.b.c", "", false)
	f.Fuzz(func(t *testing.T, header, payload string, sign bool) {
		store := revoketest.NewMemory(revoketest.WithClock(func() time.Time { return mintNow }))
		v := es256(t, store)
		text := header
		if sign {
			text = signRaw(t, "ES256", header, payload)
		}
		token, claims, err := v.Validate(t.Context(), text)
		if err != nil {
			wantError(t, err, revoke.ErrInvalidToken)
			if token != (revoke.Token{}) || claims != nil {
				t.Fatalf("beside %v there is %+v and %+v", err, token, claims)
			}
			if _, _, err := v.Identify(text); err != nil {
				wantError(t, err, revoke.ErrInvalidToken)
			}
			return
		}
		var read struct {
			Issuer  string `json:"iss"`
			Subject string `json:"sub"`
			ID      string `json:"jti"`
			Session string `json:"sid"`
		}
		if err := json.Unmarshal([]byte(mustDecode(t, strings.Split(text, ".")[1])), &read); err != nil {
			t.Fatalf("what encoding/json refuses is accepted: %v", err)
		}
		if token.Issuer != read.Issuer || token.Subject != read.Subject || token.ID != read.ID || token.SessionID != read.Session {
			t.Fatalf("identity %+v, encoding/json reads %+v", token, read)
		}
		for _, id := range []string{token.Issuer, token.Subject, token.ID} {
			if id == "" || len(id) > revoke.MaxIDLength || !utf8.ValidString(id) || strings.Contains(id, "\x00") {
				t.Fatalf("identifier %q", id)
			}
		}
		identified, _, err := v.Identify(text)
		if err != nil || identified != token {
			t.Fatalf("Identify = %+v, %v, want %+v", identified, err, token)
		}
		must(t, store.RevokeToken(t.Context(), token))
		if _, _, err := v.Validate(t.Context(), text); !errors.Is(err, revoke.ErrRevoked) {
			t.Fatalf("after its revocation: %v", err)
		}
	})
}
