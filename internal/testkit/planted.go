package testkit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgrevoke/revoke"
)

// Marker is what Planted writes into tokens. Its letters are of base64url.
const Marker = "ZplantedsecretZ"

// PlantedToken is a token with the Marker in it.
type PlantedToken struct {
	Name, Text string
	// Issuer says that the Marker is the iss of a token that verifies, which an error may
	// quote.
	Issuer bool
}

// Planted returns tokens that have the Marker in one place each: in the members of the header,
// in names and values of claims, in the signature, behind and before the token. Each is there
// signed by the EC key of TestKeys, and with a signature of another token. The payloads are
// those of Payload with the extra members.
func Planted(tb testing.TB, extra ...string) (tokens []PlantedToken) {
	tb.Helper()
	values := map[string]string{
		"text": `"` + Marker + `"`, "long text": `"` + strings.Repeat(Marker, 100) + `"`, "array": `["` + Marker + `"]`,
		"object": `{"` + Marker + `":"` + Marker + `"}`, "bare": Marker, "NUL": `"` + Marker + `\u0000"`, "half a pair": `"` + Marker + `\ud800"`,
		"escape": `"\` + Marker + `"`, "no UTF-8": "\"" + Marker + "\xff\"", "behind a number": "1" + Marker, "lines": `"a\n` + Marker + `"`,
		"open": `"` + Marker, "events": `{"http://schemas.openid.net/event/backchannel-logout":"` + Marker + `"}`,
	}
	payload := func(changes map[string]string, more ...string) string {
		return Payload(changes, slices.Concat(extra, more)...)
	}
	forged := Mint(tb, map[string]string{"jti": `"another"`})
	forged = forged[strings.LastIndexByte(forged, '.'):]
	add := func(name, header, claims string) {
		text := SignRaw(tb, "ES256", header, claims)
		tokens = append(tokens, PlantedToken{"signed/" + name, text, strings.HasPrefix(name, "claim iss/")},
			PlantedToken{"forged/" + name, text[:strings.LastIndexByte(text, '.')] + forged, false})
	}
	for kind, value := range values {
		for _, member := range []string{"alg", "typ", "kid", "crit", "b64", "jku", "jwk", "x5c", "cty", Marker} {
			header := `{"alg":"ES256","` + member + `":` + value + `}`
			add("header "+member+"/"+kind, header, payload(nil))
			add("header "+member+" alone/"+kind, `{"`+member+`":`+value+`}`, payload(nil))
		}
		for _, claim := range []string{
			"iss", "sub", "jti", "sid", "aud", "iat", "exp", "nbf", "epochs", "events", "nonce", "client_id", "scope", "username", "cnf", "roles", Marker,
		} {
			add("claim "+claim+"/"+kind, Header, payload(map[string]string{claim: value}))
			add("claim "+claim+" twice/"+kind, Header, payload(nil, `"`+claim+`":`+value))
			add("claim "+strings.ToUpper(claim)+"/"+kind, Header, payload(nil, `"`+strings.ToUpper(claim)+`":`+value))
		}
		add("header/"+kind, value, payload(nil))
		add("payload/"+kind, Header, value)
		add("behind the payload/"+kind, Header, payload(nil)+value)
	}
	for _, name := range []string{`\u` + Marker, Marker + `\ud800`, Marker + "\xff", strings.Repeat(Marker, 100)} {
		add("name "+name, Header, payload(nil, `"`+name+`":1`))
		add("name in the header "+name, `{"alg":"ES256","`+name+`":1}`, payload(nil))
	}
	good := Mint(tb, nil)
	unsigned := good[:strings.LastIndexByte(good, '.')+1]
	for name, text := range map[string]string{
		"alone": Marker, "every part": Marker + "." + Marker + "." + Marker, "signature": unsigned + Marker, "padded": unsigned + Marker + "=",
		"long signature": unsigned + strings.Repeat(Marker, 30), "behind": good + " " + Marker, "before": Marker + " " + good, "Bearer": "Bearer " + Marker,
		"a line before": Marker + "\n" + good, "part more": good + "." + Marker, "part less": Marker + "." + Marker, "too long": strings.Repeat(Marker, 10_000),
	} {
		tokens = append(tokens, PlantedToken{"text/" + name, text, false})
	}
	return tokens
}

// WantUnplanted looks for the Marker, as text and as a part of base64, and for the token itself.
func WantUnplanted(tb testing.TB, token PlantedToken, said ...string) {
	tb.Helper()
	secrets := []string{Marker, Marker[3:11]}
	for i := range 3 { // where the Marker may begin within three bytes
		encoded := base64.RawURLEncoding.EncodeToString([]byte("xxx"[:i] + Marker))
		secrets = append(secrets, encoded[4:16])
	}
	for part := range strings.SplitSeq(token.Text, ".") {
		if len(part) > 16 {
			secrets = append(secrets, part[:16], part[len(part)-16:])
		}
	}
	for _, text := range said {
		if token.Issuer && strings.Contains(text, "token has invalid issuer") {
			if len(text) > 600 {
				tb.Errorf("%s: %d bytes: %.600s", token.Name, len(text), text)
			}
			continue
		}
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				tb.Errorf("%s: %q is quoted: %.300s", token.Name, secret, text)
			}
		}
	}
}

// Said returns what a log can show of an error: the texts of it and of all that it wraps.
func Said(err error) []string {
	if err == nil {
		return nil
	}
	said := []string{err.Error(), fmt.Sprintf("%+v", err)}
	// The fields of an error that carries a verified identity are no text of a log.
	if _, carries := err.(interface{ VerifiedToken() revoke.Token }); !carries {
		said = append(said, fmt.Sprintf("%#v", err))
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, cause := range several.Unwrap() {
			said = append(said, Said(cause)...)
		}
		return said
	}
	return append(said, Said(errors.Unwrap(err))...)
}
