package revoke

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// FuzzIdentity looks for two names with one key.
func FuzzIdentity(f *testing.F) {
	f.Add("a", "bc", "ab", "c")
	f.Add("", "", "", "x")
	f.Add("i\x00", "\x00\x00\x00\x01", "i", "\x00")
	kinds := []Scope{ScopeToken, ScopeSession, ScopeUser, ScopeIssuer}
	f.Fuzz(func(t *testing.T, issuer1, id1, issuer2, id2 string) {
		seen := map[key][3]string{}
		for _, kind := range kinds {
			for _, name := range [][2]string{{issuer1, id1}, {issuer2, id2}} {
				full := [3]string{string(kind), name[0], name[1]}
				k := newKey(kind, name[0], name[1])
				if other, ok := seen[k]; ok && other != full {
					t.Fatalf("%q and %q have one key", other, full)
				}
				seen[k] = full
				if again := newKey(kind, strings.Clone(name[0]), strings.Clone(name[1])); again != k {
					t.Fatalf("%q has two keys", full)
				}
			}
		}
	})
}

// FuzzPayload compares the scanner with encoding/json: what it accepts is JSON, and means the same.
func FuzzPayload(f *testing.F) {
	f.Add([]byte(`{"iss":"i","sub":"s","jti":"\u0041\ud83d\ude00","sid":"x","iat":1,"exp":2.5,"nbf":0,"aud":["a","b"],"epochs":[1,2]}`), true)
	f.Add([]byte(` { "a" : [ { } , [ ] , -0.5e+10 , true , false , null , "\"\\\/\b\f\n\r\t" ] } `), false)
	f.Add([]byte(`{"JTI":"x"}`), false)
	f.Add([]byte(`{"jti":"x","jti":"y"}`), false)
	f.Add([]byte("{\"jti\":\"\xff\"}"), false)
	f.Add([]byte(`{"exp":1e300}`), false)
	f.Add([]byte(`{"aud":[]}`), false)
	f.Add([]byte(`{"x":"\u12"}`), false)
	f.Fuzz(func(t *testing.T, data []byte, withEpochs bool) {
		before := bytes.Clone(data)
		p, err := readPayload(data, withEpochs)
		if !bytes.Equal(before, data) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatalf("accepted, but no JSON: %q", data)
		}
		var read map[string]any
		if err := json.Unmarshal(data, &read); err != nil {
			t.Fatalf("accepted, but encoding/json says %v", err)
		}
		for name, got := range map[string]string{"iss": p.issuer, "sub": p.subject, "jti": p.id, "sid": p.session} {
			if want, _ := read[name].(string); got != want {
				t.Errorf("%s is %q, encoding/json reads %q", name, got, want)
			}
			if _, present := read[name]; present && got == "" {
				t.Errorf("%s is there, and lost", name)
			}
		}
		for name, got := range map[string]int64{"iat": p.issuedAt, "exp": p.expiresAt} {
			want := float64(noDate)
			if number, ok := read[name].(float64); ok {
				want = math.Floor(number)
			}
			if float64(got) != want {
				t.Errorf("%s is %d, encoding/json reads %v", name, got, want)
			}
		}
		if _, present := read[epochClaim]; withEpochs && present != (p.epochs != nil) {
			t.Errorf("epochs are %v, encoding/json reads %v", p.epochs, read[epochClaim])
		}
	})
}

// TestScannerAgreesOnWhatIsJSON gives the scanner texts that differ in one detail.
func TestScannerAgreesOnWhatIsJSON(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		`1`, `-1`, `0`, `-0`, `01`, `-01`, `1.`, `.5`, `1.5`, `1e5`, `1E+5`, `1e-5`, `1e`, `1e+`, `+1`, `--1`, `0x1`, `1_0`, `NaN`, `Infinity`,
		`true`, `tru`, `truee`, `True`, `null`, `nul`, `false`, `""`, `"a"`, `"`, `"\"`, `"\\"`, `"\x"`, `"\u123"`, `"\u12345"`, `"\u12G4"`,
		"\"\n\"", "\"\t\"", "\"\x7f\"", `'a'`, `[]`, `[1]`, `[1,]`, `[,1]`, `[1 2]`, `[`, `]`, `[[]`, `{}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`,
		`{"a":1 "b":2}`, `{"a":1,"a":2}`, `{"a":{"b":[{}]}}`, `{]`, `[}`, ``, ` `, `/**/1`, `1//`, "\u00a01", "\ufeff1", `[1]]`, `{}}`, `1 1`,
	} {
		text := []byte(`{"x":` + value + `}`)
		_, err := readPayload(text, false)
		if valid := json.Valid(text); valid != (err == nil) {
			t.Errorf("%s: %v, but encoding/json says %v", text, err, valid)
		}
	}
}

// TestPlainIsASCIIWithoutNUL compares the fast look at a string with a plain one, with every byte at every place.
func TestPlainIsASCIIWithoutNUL(t *testing.T) {
	t.Parallel()
	for length := range 20 {
		for at := range length {
			for b := range 256 {
				text := []byte(strings.Repeat("\x01", length))
				text[at] = byte(b)
				if got, want := isPlain(string(text)), b > 0 && b < 128; got != want {
					t.Fatalf("%q is plain: %v", text, got)
				}
			}
		}
	}
}
