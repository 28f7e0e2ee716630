package strictjwt

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var (
	accessNames = AccessToken("").Claims
	epochNames  = AccessToken("", Named(EpochClaim)...).Claims
	logoutNames = LogoutToken.Claims
)

// claims returns claims without times, as edit changes them.
func claims(edit func(*Claims)) Claims {
	c := Claims{IssuedAt: NoDate, ExpiresAt: NoDate, NotBefore: NoDate}
	if edit != nil {
		edit(&c)
	}
	return c
}

// fuzzedLists are the ways in which FuzzClaims reads: those of a plain issuer, of one's own,
// of an issuer with other names, and of one where all is optional.
func fuzzedLists() [4][]Claim {
	named := AccessToken("", Claim{Name: "jti"}, Claim{Name: "uti", As: "jti"}, Claim{Name: "sub"}, Claim{Name: "user_id", As: "sub", Number: true},
		Claim{Name: "sid"}).Claims
	optional := AccessToken("", Named(EpochClaim)...).Claims
	for i := range optional {
		optional[i].Optional, optional[i].Number = true, true
	}
	return [4][]Claim{accessNames, epochNames, named, optional}
}

// FuzzClaims compares the scanner with encoding/json: what ReadClaims accepts is JSON, and
// means the same.
func FuzzClaims(f *testing.F) {
	for _, data := range []string{
		`{"iss":"i","sub":"s","jti":"\u0041\ud83d\ude00","sid":"x","iat":1,"exp":2.5,"nbf":0.5,"aud":["a","b"],"epochs":[1,2]}`,
		` { "a" : [ { } , [ ] , -0.5e+10 , true , false , null , "\"\\\/\b\f\n\r\t" ] } `,
		`{"JTI":"x"}`,
		`{"jti":"y","JTI":"x","ſub":"z","\u0069AT":1,"AUD":"a"}`,
		`{"jti":"x","jti":"y"}`,
		"{\"jti\":\"\xff\"}",
		`{"exp":1e300}`,
		`{"exp":1e380}`,
		`{"other":1e380}`,
		`{"aud":[ ]}`,
		`{"aud":"a"}`,
		`{"aud":[""]}`,
		`{"x":"\u12"}`,
		`{"uti":"u","jti":7,"user_id":12345678901234567890123,"sid":[1],"sub":null}`,
		`{"uti":"","user_id":1e3}`,
		`{"UTI":"u","user_id":-0}`,
		`{"iss":"","sub":null,"jti":7,"sid":0,"iat":null,"exp":"","nbf":null,"aud":null,"epochs":null}`,
		`{"sub":1.0}`,
	} {
		for list := range fuzzedLists() {
			f.Add(data, uint8(list))
		}
	}
	f.Fuzz(func(t *testing.T, data string, which uint8) {
		lists := fuzzedLists()
		list := lists[int(which)%len(lists)]
		c, err := ReadClaims(data, list)
		if err != nil {
			if !reflect.DeepEqual(c, claims(nil)) {
				t.Errorf("beside %v there are %+v", err, c)
			}
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
		wantTexts := map[string]string{}
		wantTimes := map[string]float64{"iat": NoDate, "exp": NoDate, "nbf": NoDate}
		wantEpochs := false
		var wantAudience []string
		for _, claim := range list {
			value, present := read[claim.Name]
			if !present || claim.Optional && (value == nil || value == "") {
				continue
			}
			switch claim.As {
			case "iss", "sub", "jti", "sid":
				text, isText := value.(string)
				number, isNumber := value.(json.Number)
				if isNumber && claim.Number {
					if whole, ok := new(big.Int).SetString(number.String(), 10); !ok || whole.String() != number.String() || whole.Sign() < 0 {
						t.Errorf("%s is %s, and accepted", claim.Name, number)
					}
					text, isText = number.String(), true
				}
				if !isText || text == "" {
					t.Errorf("%s is %v, and accepted", claim.Name, value)
				}
				wantTexts[claim.As] = text
			case "iat", "exp", "nbf":
				number, _ := value.(json.Number)
				seconds, err := number.Float64()
				if err != nil {
					t.Errorf("%s is %v, and accepted", claim.Name, value)
				}
				wantTimes[claim.As] = math.Floor(seconds)
			case "aud":
				elements, isArray := value.([]any)
				if !isArray {
					elements = []any{value}
				}
				if len(elements) == 0 && !claim.Optional {
					t.Errorf("%s is %v, and accepted", claim.Name, value)
				}
				for _, element := range elements {
					name, ok := element.(string)
					if !ok || name == "" {
						t.Errorf("%s is %v, and accepted", claim.Name, value)
					}
					wantAudience = append(wantAudience, name)
				}
			case EpochClaim:
				wantEpochs = true
			}
		}
		for as, got := range map[string]string{"iss": c.Issuer, "sub": c.Subject, "jti": c.ID, "sid": c.Session} {
			if got != wantTexts[as] {
				t.Errorf("%s is %q, encoding/json reads %q", as, got, wantTexts[as])
			}
		}
		for as, got := range map[string]int64{"iat": c.IssuedAt, "exp": c.ExpiresAt, "nbf": c.NotBefore} {
			if float64(got) != wantTimes[as] {
				t.Errorf("%s is %d, encoding/json reads %v", as, got, wantTimes[as])
			}
		}
		if !reflect.DeepEqual(c.Audience, wantAudience) {
			t.Errorf("aud is %q, encoding/json reads %q", c.Audience, wantAudience)
		}
		if wantEpochs != (c.Epochs != "") {
			t.Errorf("epochs are %s, encoding/json reads %v", c.Epochs, read[EpochClaim])
		}
		respelled := false
		for name := range read {
			for _, claim := range list {
				respelled = respelled || name != claim.Name && strings.EqualFold(name, claim.Name)
			}
		}
		if respelled != (c.Respelled != "") {
			t.Errorf("respelled is %q, of %v", c.Respelled, read)
		}
		if respelled {
			return
		}
		var fields struct {
			Issuer  any `json:"iss"`
			Subject any `json:"sub"`
			ID      any `json:"jti"`
			Session any `json:"sid"`
			UTI     any `json:"uti"`
		}
		decoder = json.NewDecoder(strings.NewReader(data))
		decoder.UseNumber()
		if err := decoder.Decode(&fields); err != nil {
			t.Fatalf("nothing is respelled, but encoding/json says %v", err)
		}
		for name, got := range map[string]any{"iss": fields.Issuer, "sub": fields.Subject, "jti": fields.ID, "sid": fields.Session} {
			if !reflect.DeepEqual(got, read[name]) {
				t.Errorf("nothing is respelled, but a struct gets %v for %s, and not %v", got, name, read[name])
			}
		}
		if hasUTI := slices.ContainsFunc(list, func(c Claim) bool { return c.Name == "uti" }); hasUTI && !reflect.DeepEqual(fields.UTI, read["uti"]) {
			t.Errorf("nothing is respelled, but a struct gets %v for uti, and not %v", fields.UTI, read["uti"])
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
		t.Run(value, func(t *testing.T) {
			t.Parallel()
			text := `{"x":` + value + `}`
			_, err := ReadClaims(text, accessNames)
			if valid := json.Valid([]byte(text)); valid != (err == nil) {
				t.Errorf("%s: %v, but encoding/json says %v", text, err, valid)
			}
		})
	}
}

// TestPlainIsASCIIWithoutNUL compares the fast look at a string with a plain one, with every
// byte at every place.
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

func TestReadClaims(t *testing.T) {
	t.Parallel()
	const event = `"http://schemas.openid.net/event/backchannel-logout":{}`
	const other = `"http://schemas.openid.net/event/backchannel-logout":`
	isLogout := func(c *Claims) { c.IsLogout = true }
	respelled := func(name string) func(*Claims) { return func(c *Claims) { c.Respelled = name } }
	for _, row := range []struct {
		name, payload string
		names         []Claim
		want          func(*Claims)
	}{
		{"no claims", `{}`, accessNames, nil},
		{
			"every claim", `{"iss":"i","sub":"s","jti":"j","sid":"x","iat":1,"exp":2,"nbf":3,"aud":["a","b"],"epochs":[1, 2]}`, epochNames,
			func(c *Claims) {
				*c = Claims{
					Issuer: "i", Subject: "s", ID: "j", Session: "x", IssuedAt: 1, ExpiresAt: 2, NotBefore: 3,
					Audience: []string{"a", "b"}, Epochs: "[1, 2]",
				}
			},
		},
		{"escapes in a value", `{"jti":"\u0041\ud83d\ude00"}`, accessNames, func(c *Claims) { c.ID = "A😀" }},
		{"one audience", `{"aud":"a"}`, accessNames, func(c *Claims) { c.Audience = []string{"a"} }},
		{"exp is rounded down", `{"exp":2.9}`, accessNames, func(c *Claims) { c.ExpiresAt = 2 }},
		{"iat is rounded down", `{"iat":2.9}`, accessNames, func(c *Claims) { c.IssuedAt = 2 }},
		{"nbf is rounded down", `{"nbf":2.9}`, accessNames, func(c *Claims) { c.NotBefore = 2 }},
		{"nbf within the last second of 9999", `{"nbf":253402300799.5}`, accessNames, func(c *Claims) { c.NotBefore = MaxTime }},
		{"exp at the end of 9999", `{"exp":253402300799}`, accessNames, func(c *Claims) { c.ExpiresAt = MaxTime }},
		{"only listed claims are read", `{"jti":"j","iss":7,"epochs":1,"nonce":2}`, Named("jti"), func(c *Claims) { c.ID = "j" }},
		{"a listed claim without a field", `{"htm":[1]}`, Named("htm"), nil},
		{"unlisted claims may repeat", `{"nonce":1,"nonce":2,"epochs":1,"epochs":2,"JTI":1}`, Named("iss"), nil},

		{"jti in capitals", `{"JTI":"x"}`, accessNames, respelled("jti")},
		{"sub with another s", `{"ſub":7}`, accessNames, respelled("sub")},
		{"jti in capitals and escapes", `{"\u004aTI":7}`, accessNames, respelled("jti")},
		{"beside the claim", `{"jti":"j","JTI":"x"}`, accessNames, func(c *Claims) { c.ID, c.Respelled = "j", "jti" }},
		{"before the claim", `{"JTI":"x","jti":"j"}`, accessNames, func(c *Claims) { c.ID, c.Respelled = "j", "jti" }},
		{"respelled twice", `{"JTI":"x","JTi":"y"}`, accessNames, respelled("jti")},
		{"an extra claim", `{"EPOCHS":1}`, epochNames, respelled("epochs")},
		{"another letter that looks alike", `{"ѕub":1,"jtı":2}`, accessNames, nil},

		{"logout", `{"events":{` + event + `}}`, logoutNames, isLogout},
		{"logout beside another event", `{"events":{"revoke_offline_access":true,` + event + `}}`, logoutNames, isLogout},
		{"logout in escapes", `{"events":{"\u0068ttp:` + event[6:] + `}}`, logoutNames, isLogout},
		{"no events", `{"events":{}}`, logoutNames, nil},
		{"another event", `{"events":{"other":{}}}`, logoutNames, nil},
		{"nonce", `{"nonce":null}`, logoutNames, func(c *Claims) { c.HasNonce = true }},
		{"events respelled", `{"Events":{` + event + `}}`, logoutNames, respelled("events")},
		{"nonce respelled", `{"NONCE":"n"}`, logoutNames, respelled("nonce")},

		{"unlisted: logout", `{"events":{` + event + `}}`, accessNames, isLogout},
		{"unlisted: logout of another type", `{"events":{"a":1,` + other + `1}}`, epochNames, isLogout},
		{"unlisted: logout in capitals", `{"events":{"HTTP` + event[5:] + `}}`, accessNames, isLogout},
		{"unlisted: events in escapes", `{"\u0065vents":{` + event + `}}`, accessNames, isLogout},
		{"unlisted: logout first", `{"events":{` + event + `},"events":{}}`, accessNames, isLogout},
		{"unlisted: logout last", `{"events":{},"events":{` + event + `}}`, epochNames, isLogout},
		{"unlisted: events in capitals", `{"Events":{` + event + `}}`, accessNames, nil},
		{"unlisted: events an array", `{"events":["http://schemas.openid.net/event/backchannel-logout"]}`, accessNames, nil},
		{"unlisted: events null", `{"events":null}`, accessNames, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := ReadClaims(row.payload, row.names)
			if want := claims(row.want); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %+v, %v, want %+v", row.payload, got, err, want)
			}
		})
	}
}

func TestReadClaimsRefuses(t *testing.T) {
	t.Parallel()
	const event = `"http://schemas.openid.net/event/backchannel-logout":{}`
	const other = `"http://schemas.openid.net/event/backchannel-logout":`
	long := strings.Repeat("x", MaxIDLength+1)
	for _, row := range []struct {
		name, payload string
		names         []Claim
		want          string
		matches       error
	}{
		{"no object", `[]`, accessNames, "the JSON text is no object", nil},
		{"null", `null`, accessNames, "the JSON text is no object", nil},
		{"nothing", ``, accessNames, "the JSON text is no object", nil},
		{"text behind", `{}{}`, accessNames, "the JSON text goes on after its object", nil},
		{"invalid UTF-8", "{\"x\":\"\xff\"}", accessNames, "the JSON text is not valid UTF-8", nil},
		{"65 levels", `{"x":` + strings.Repeat("[", 65) + strings.Repeat("]", 65) + `}`, accessNames, "the JSON text is nested more than 64 levels deep", nil},
		{"half a pair in a name", `{"\ud800":1}`, accessNames, "the name of a claim: a string has an escape that stands for no character", nil},
		{"jti twice", `{"jti":"x","jti":"x"}`, accessNames, `claim "jti" occurs more than once`, nil},
		{"jti in escapes", `{"\u006ati":"x"}`, accessNames, `claim "jti" has an escape in its name`, nil},
		{"jti beside itself in escapes", `{"jti":"x","\u006ati":"x"}`, accessNames, `claim "jti" has an escape in its name`, nil},
		{"a listed claim without a field twice", `{"htm":1,"htm":1}`, Named("htm"), `claim "htm" occurs more than once`, nil},
		{"the last of 64 names twice", `{"z":1,"z":1}`, append(make([]Claim, 63), Named("z")...), `claim "z" occurs more than once`, nil},
		{"65 names", `{}`, make([]Claim, 65), "65 claims are to be read, at most 64 can be", nil},
		{"jti a number", `{"jti":7}`, accessNames, `claim "jti" is no string: invalid type for claim`, jwt.ErrInvalidType},
		{"jti null", `{"jti":null}`, accessNames, `claim "jti" is no string: invalid type for claim`, jwt.ErrInvalidType},
		{"jti empty", `{"jti":""}`, accessNames, `claim "jti" is empty`, nil},
		{"jti too long", `{"jti":"` + long + `"}`, accessNames, `claim "jti" is 1025 bytes long, at most 1024 are allowed`, nil},
		{"jti with NUL", `{"jti":"a\u0000"}`, accessNames, `claim "jti" contains a NUL byte`, nil},
		{"jti with half a pair", `{"jti":"\ud800"}`, accessNames, `claim "jti": a string has an escape that stands for no character`, nil},
		{"exp a string", `{"exp":"1"}`, accessNames, `claim "exp" is no number: invalid type for claim`, jwt.ErrInvalidType},
		{"exp negative", `{"exp":-1}`, accessNames, `claim "exp" is no time between 1970 and 9999 in seconds: invalid type for claim`, jwt.ErrInvalidType},
		{"exp in 10000", `{"exp":253402300800}`, accessNames, `claim "exp" is no time between 1970 and 9999 in seconds: invalid type for claim`, jwt.ErrInvalidType},
		{"exp overflows", `{"exp":1e999}`, accessNames, `claim "exp" is no time between 1970 and 9999 in seconds: invalid type for claim`, jwt.ErrInvalidType},
		{"exp in milliseconds", `{"exp":1893553445000}`, accessNames, `claim "exp" is no time between 1970 and 9999 in seconds (milliseconds?): invalid type for claim`, jwt.ErrInvalidType},
		{"iat in milliseconds", `{"iat":1893553445000}`, accessNames, `claim "iat" is no time between 1970 and 9999 in seconds (milliseconds?): invalid type for claim`, jwt.ErrInvalidType},
		{"iat in microseconds", `{"iat":1893553445000000}`, accessNames, `claim "iat" is no time between 1970 and 9999 in seconds (microseconds?): invalid type for claim`, jwt.ErrInvalidType},
		{"nbf in 10000", `{"nbf":253402300800}`, accessNames, `claim "nbf" is no time between 1970 and 9999 in seconds: invalid type for claim`, jwt.ErrInvalidType},
		{"aud a number", `{"aud":7}`, accessNames, `claim "aud" is neither string nor array: invalid type for claim`, jwt.ErrInvalidType},
		{"aud an empty array", `{"aud":[ ]}`, accessNames, `claim "aud" is empty: invalid type for claim`, jwt.ErrInvalidType},
		{"aud with a number", `{"aud":["a",7]}`, accessNames, `claim "aud" is no string: invalid type for claim`, jwt.ErrInvalidType},
		{"aud with an empty string", `{"aud":["a",""]}`, accessNames, `claim "aud" is empty`, nil},
		{"aud an empty string", `{"aud":""}`, accessNames, `claim "aud" is empty`, nil},
		{"events an array", `{"events":["x"]}`, logoutNames, `claim "events" is no object: invalid type for claim`, jwt.ErrInvalidType},
		{"events null", `{"events":null}`, logoutNames, `claim "events" is no object: invalid type for claim`, jwt.ErrInvalidType},
		{"two logouts", `{"events":{` + event + `,` + event + `}}`, logoutNames, `claim "events" names the logout more than once`, nil},
		{"logout true", `{"events":{` + other + `true}}`, logoutNames, `claim "events" names a logout that is no object: invalid type for claim`, jwt.ErrInvalidType},
		{"logout null", `{"events":{` + other + `null}}`, logoutNames, `claim "events" names a logout that is no object: invalid type for claim`, jwt.ErrInvalidType},
		{"logout an array", `{"events":{` + other + `[]}}`, logoutNames, `claim "events" names a logout that is no object: invalid type for claim`, jwt.ErrInvalidType},
		{"logout in capitals", `{"events":{"HTTP` + event[5:] + `}}`, logoutNames, `claim "events" spells the logout in another way`, nil},
		{"nonce twice", `{"nonce":1,"nonce":2}`, logoutNames, `claim "nonce" occurs more than once`, nil},
		{"events twice", `{"events":{},"events":{}}`, logoutNames, `claim "events" occurs more than once`, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := ReadClaims(row.payload, row.names)
			if err == nil || err.Error() != row.want {
				t.Fatalf("%v, want %s", err, row.want)
			}
			if row.matches != nil && !errors.Is(err, row.matches) {
				t.Errorf("%v does not match %v", err, row.matches)
			}
			if !reflect.DeepEqual(got, claims(nil)) {
				t.Errorf("beside %v there are %+v", err, got)
			}
		})
	}
}

// TestClaimsOfOtherNames reads claims under the names of an issuer's choice, and what counts as
// absent.
func TestClaimsOfOtherNames(t *testing.T) {
	t.Parallel()
	named := AccessToken("", Claim{Name: "jti"}, Claim{Name: "uti", As: "jti"}).Claims
	number := []Claim{{Name: "sub", As: "sub", Number: true}}
	optional := Named(append(Registered(), EpochClaim)...)
	for i := range optional {
		optional[i].Optional = true
	}
	digits := strings.Repeat("9", MaxIDLength)
	const notWhole = `claim "sub" is neither a string nor a whole number in plain digits: invalid type for claim`
	for _, row := range []struct {
		name, payload string
		list          []Claim
		want          func(*Claims)
		refused       string
	}{
		{"uti is the id, and jti is not", `{"uti":"u","jti":"j"}`, named, func(c *Claims) { c.ID = "u" }, ""},
		{"without uti there is no id", `{"jti":"j"}`, named, nil, ""},
		{"a jti that is not read may be of any type", `{"jti":[7]}`, named, nil, ""},
		{"uti in capitals", `{"UTI":"u"}`, named, func(c *Claims) { c.Respelled = "uti" }, ""},
		{"a jti that is not read in capitals", `{"JTI":"u"}`, named, func(c *Claims) { c.Respelled = "jti" }, ""},
		{"a name with another letter, of another length", `{"ſubject":"u"}`, Named("subject"), func(c *Claims) { c.Respelled = "subject" }, ""},
		{"a listed name with another letter", `{"SUBJECT":"u"}`, Named("ſubject"), func(c *Claims) { c.Respelled = "ſubject" }, ""},
		{"uti twice", `{"uti":"u","uti":"u"}`, named, nil, `claim "uti" occurs more than once`},
		{"a jti that is not read twice", `{"jti":"u","jti":"u"}`, named, nil, `claim "jti" occurs more than once`},
		{"uti in escapes", `{"\u0075ti":"u"}`, named, nil, `claim "uti" has an escape in its name`},
		{"uti a number", `{"uti":7}`, named, nil, `claim "uti" is no string: invalid type for claim`},
		{"uti empty", `{"uti":""}`, named, nil, `claim "uti" is empty`},

		{"a number", `{"sub":42}`, number, func(c *Claims) { c.Subject = "42" }, ""},
		{"text where a number may be", `{"sub":"007"}`, number, func(c *Claims) { c.Subject = "007" }, ""},
		{"zero", `{"sub":0}`, number, func(c *Claims) { c.Subject = "0" }, ""},
		{"a number that no float holds", `{"sub":9007199254740993}`, number, func(c *Claims) { c.Subject = "9007199254740993" }, ""},
		{"the longest number", `{"sub":` + digits + `}`, number, func(c *Claims) { c.Subject = digits }, ""},
		{"a number that is too long", `{"sub":` + digits + `9}`, number, nil, `claim "sub" is 1025 bytes long, at most 1024 are allowed`},
		{"an exponent", `{"sub":1e3}`, number, nil, notWhole},
		{"a fraction", `{"sub":1.0}`, number, nil, notWhole},
		{"minus zero", `{"sub":-0}`, number, nil, notWhole},
		{"minus one", `{"sub":-1}`, number, nil, notWhole},
		{"a zero in front", `{"sub":01}`, number, nil, "the JSON text is not well-formed"},
		{"true where a number may be", `{"sub":true}`, number, nil, notWhole},
		{"null where a number may be", `{"sub":null}`, number, nil, notWhole},
		{"an array where a number may be", `{"sub":[1]}`, number, nil, notWhole},
		{"empty text where a number may be", `{"sub":""}`, number, nil, `claim "sub" is empty`},

		{"null", `{"iss":null,"sub":null,"jti":null,"sid":null,"aud":null,"iat":null,"exp":null,"nbf":null,"epochs":null}`, optional, nil, ""},
		{"empty text", `{"iss":"","sub":"","jti":"","sid":"","aud":"","iat":"","exp":"","nbf":"","epochs":""}`, optional, nil, ""},
		{"an empty array is no audience", `{"aud":[ ]}`, optional, nil, ""},
		{"an empty array is a subject", `{"sub":[]}`, optional, nil, `claim "sub" is no string: invalid type for claim`},
		{"an audience of nothing", `{"aud":[""]}`, optional, nil, `claim "aud" is empty`},
		{"an audience of null", `{"aud":[null]}`, optional, nil, `claim "aud" is no string: invalid type for claim`},
		{"what is absent twice", `{"sub":null,"sub":"ada"}`, optional, nil, `claim "sub" occurs more than once`},
		{"zero is no absence", `{"sub":0}`, optional, nil, `claim "sub" is no string: invalid type for claim`},
		{"false is no absence", `{"sub":false}`, optional, nil, `claim "sub" is no string: invalid type for claim`},
		{"a space is no absence", `{"sub":" "}`, optional, func(c *Claims) { c.Subject = " " }, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := ReadClaims(row.payload, row.list)
			if want := claims(row.want); !reflect.DeepEqual(got, want) {
				t.Errorf("%+v, want %+v", got, want)
			}
			if err == nil && row.refused != "" || err != nil && err.Error() != row.refused {
				t.Errorf("%v, want %q", err, row.refused)
			}
		})
	}
}

// TestClaimsCanBeValidated gives claims to golang-jwt's validator.
func TestClaimsCanBeValidated(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	good := func() *Claims {
		return &Claims{Issuer: "i", Subject: "s", Audience: []string{"a", "b"}, IssuedAt: 900, NotBefore: 900, ExpiresAt: 1100}
	}
	for _, row := range []struct {
		name string
		edit func(*Claims)
		want error
	}{
		{"valid", func(*Claims) {}, nil},
		{"expired", func(c *Claims) { c.ExpiresAt = 1000 }, jwt.ErrTokenExpired},
		{"no exp", func(c *Claims) { c.ExpiresAt = NoDate }, jwt.ErrTokenRequiredClaimMissing},
		{"not valid yet", func(c *Claims) { c.NotBefore = 1001 }, jwt.ErrTokenNotValidYet},
		{"no nbf", func(c *Claims) { c.NotBefore = NoDate }, nil},
		{"issued ahead", func(c *Claims) { c.IssuedAt = 1001 }, jwt.ErrTokenUsedBeforeIssued},
		{"no iat", func(c *Claims) { c.IssuedAt = NoDate }, nil},
		{"another issuer", func(c *Claims) { c.Issuer = "x" }, jwt.ErrTokenInvalidIssuer},
		{"another subject", func(c *Claims) { c.Subject = "x" }, jwt.ErrTokenInvalidSubject},
		{"another audience", func(c *Claims) { c.Audience = []string{"x"} }, jwt.ErrTokenInvalidAudience},
		{"no audience", func(c *Claims) { c.Audience = nil }, jwt.ErrTokenRequiredClaimMissing},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := good()
			row.edit(c)
			validator := jwt.NewValidator(jwt.WithTimeFunc(func() time.Time { return now }), jwt.WithExpirationRequired(),
				jwt.WithIssuedAt(), jwt.WithIssuer("i"), jwt.WithSubject("s"), jwt.WithAudience("b"))
			if err := validator.Validate(c); !errors.Is(err, row.want) || row.want == nil && err != nil {
				t.Errorf("%v, want %v", err, row.want)
			}
		})
	}
}
