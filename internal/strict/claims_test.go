package strict

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
)

// FuzzClaims compares the scanner with encoding/json: what it accepts is JSON, and means the same.
func FuzzClaims(f *testing.F) {
	f.Add(`{"iss":"i","sub":"s","jti":"\u0041\ud83d\ude00","sid":"x","iat":1,"exp":2.5,"nbf":0,"aud":["a","b"],"epochs":[1,2]}`, true)
	f.Add(` { "a" : [ { } , [ ] , -0.5e+10 , true , false , null , "\"\\\/\b\f\n\r\t" ] } `, false)
	f.Add(`{"JTI":"x"}`, false)
	f.Add(`{"jti":"x","jti":"y"}`, false)
	f.Add("{\"jti\":\"\xff\"}", false)
	f.Add(`{"exp":1e300}`, false)
	f.Add(`{"exp":1e380}`, false)
	f.Add(`{"other":1e380}`, false)
	f.Add(`{"aud":[]}`, false)
	f.Add(`{"x":"\u12"}`, false)
	f.Fuzz(func(t *testing.T, data string, withEpochs bool) {
		kind := AccessToken
		if withEpochs {
			kind = EpochToken
		}
		p, err := ReadClaims(data, kind)
		if err != nil {
			return
		}
		if !json.Valid([]byte(data)) {
			t.Fatalf("accepted, but no JSON: %q", data)
		}
		var read map[string]any
		decoder := json.NewDecoder(strings.NewReader(data))
		decoder.UseNumber() // what is no claim may be a number that no float holds
		if err := decoder.Decode(&read); err != nil {
			t.Fatalf("accepted, but encoding/json says %v", err)
		}
		for name, got := range map[string]string{"iss": p.Issuer, "sub": p.Subject, "jti": p.ID, "sid": p.Session} {
			if want, _ := read[name].(string); got != want {
				t.Errorf("%s is %q, encoding/json reads %q", name, got, want)
			}
			if _, present := read[name]; present && got == "" {
				t.Errorf("%s is there, and lost", name)
			}
		}
		for name, got := range map[string]int64{"iat": p.IssuedAt, "exp": p.ExpiresAt} {
			want := float64(NoDate)
			if number, ok := read[name].(json.Number); ok {
				seconds, err := number.Float64()
				if err != nil {
					t.Errorf("%s is %s, and accepted", name, number)
				}
				want = math.Floor(seconds)
			}
			if float64(got) != want {
				t.Errorf("%s is %d, encoding/json reads %v", name, got, want)
			}
		}
		if _, present := read[EpochClaim]; withEpochs && present != (p.Epochs != "") {
			t.Errorf("epochs are %s, encoding/json reads %v", p.Epochs, read[EpochClaim])
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
		text := `{"x":` + value + `}`
		_, err := ReadClaims(text, AccessToken)
		if valid := json.Valid([]byte(text)); valid != (err == nil) {
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

// TestLogoutClaims reads what only a logout token has.
func TestLogoutClaims(t *testing.T) {
	t.Parallel()
	const event = `"http://schemas.openid.net/event/backchannel-logout":{}`
	for text, want := range map[string]Claims{
		`{"events":{` + event + `}}`:                              {IsLogout: true},
		`{"events":{"revoke_offline_access":true,` + event + `}}`: {IsLogout: true},
		`{"events":{}}`:           {},
		`{"events":{"other":{}}}`: {},
		`{"nonce":null}`:          {HasNonce: true},
		`{"aud":"a"}`:             {Audience: []string{"a"}},
		`{"aud":["a","b"],"events":{` + event + `},"nonce":"n"}`: {Audience: []string{"a", "b"}, IsLogout: true, HasNonce: true},
		`{"events":{"\u0068ttp:` + event[6:] + `}}`:              {IsLogout: true},
	} {
		got, err := ReadClaims(text, LogoutToken)
		want.IssuedAt, want.ExpiresAt, want.NotBefore = NoDate, NoDate, NoDate
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		`{"events":[` + event[:len(event)-3] + `]}`, `{"events":null}`, `{"events":"x"}`, `{"events":{` + event + `,` + event + `}}`,
		`{"events":{` + event[:len(event)-2] + `true}}`, `{"events":{` + event[:len(event)-2] + `null}}`, `{"events":{` + event[:len(event)-2] + `[]}}`,
		`{"events":{"HTTP` + event[5:] + `}}`, `{"Events":{` + event + `}}`, `{"NONCE":"n"}`, `{"nonce":1,"nonce":2}`, `{"events":{},"events":{}}`,
	} {
		if got, err := ReadClaims(text, LogoutToken); err == nil {
			t.Errorf("%s: %+v", text, got)
		}
	}
	for text, want := range map[string]bool{
		`{"events":{` + event + `}}`:                       true,
		`{"events":{"a":1,` + event[:len(event)-2] + `1}}`: true,
		`{"events":{"HTTP` + event[5:] + `}}`:              true,
		`{"\u0065vents":{` + event + `}}`:                  true,
		`{"events":{` + event + `},"events":{}}`:           true,
		`{"events":{},"events":{` + event + `}}`:           true,
		`{"Events":{` + event + `}}`:                       false,
		`{"events":[` + event[:len(event)-3] + `]}`:        false,
		`{"events":null}`:                                  false,
	} {
		for _, kind := range []Kind{AccessToken, EpochToken} {
			if got, err := ReadClaims(text, kind); err != nil || got.IsLogout != want {
				t.Errorf("%s in an access token: %v, %v, want %v", text, got.IsLogout, err, want)
			}
		}
	}
	if got, err := ReadClaims(`{"events":1,"nonce":2,"Events":3,"aud":["a"]}`, AccessToken); err != nil || got.Audience != nil || got.HasNonce {
		t.Errorf("an access token's claims of these names: %+v, %v", got, err)
	}
}
