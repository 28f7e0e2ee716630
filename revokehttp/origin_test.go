package revokehttp_test

import (
	"strings"
	"testing"

	"github.com/pgrevoke/revoke/internal/testkit"
	"github.com/pgrevoke/revoke/revokehttp"
	"github.com/pgrevoke/revoke/revoketest"
)

// TestTrustedOrigin takes an origin as browsers write it, and refuses one that could never match.
func TestTrustedOrigin(t *testing.T) {
	t.Parallel()
	validator := newValidator(t, revoketest.NewMemory())
	for _, c := range []struct {
		name, origin string
		wrong        string // "" if it is right
	}{
		{"name", "https://app.example", ""},
		{"port", "https://app.example:8443", ""},
		{"port of the other scheme", "https://app.example:80", ""},
		{"plain HTTP", "http://app.example", ""},
		{"localhost", "http://localhost:3000", ""},
		{"IPv4", "http://127.0.0.1:3000", ""},
		{"IPv6", "http://[::1]:3000", ""},
		{"IPv6 without a port", "https://[2001:db8::1]", ""},
		{"Punycode", "https://xn--bcher-kva.example", ""},
		{"dot at the end", "https://app.example.", ""},
		{"underscore", "https://my_app.example", ""},
		{"app", "capacitor://localhost", ""},
		{"extension", "chrome-extension://abcdefghijklmnop", ""},
		{"empty", "", "no scheme"},
		{"no scheme", "app.example", "no scheme"},
		{"no scheme, with a port", "app.example:443", "no scheme"},
		{"relative to a scheme", "//app.example", "no scheme"},
		{"null", "null", "no scheme"},
		{"wildcard", "*", "no scheme"},
		{"any subdomain", "https://*.example", "wildcard"},
		{"any port", "https://app.example:*", "wildcard"},
		{"upper case", "https://App.example", "lower case"},
		{"scheme in upper case", "HTTPS://app.example", "lower case"},
		{"hexadecimal in upper case", "http://[2001:DB8::1]", "lower case"},
		{"default port", "https://app.example:443", "default port"},
		{"default port of HTTP", "http://app.example:80", "default port"},
		{"default port of IPv6", "https://[::1]:443", "default port"},
		{"empty port", "https://app.example:", "no port"},
		{"port with a zero", "https://app.example:08443", "no port"},
		{"port out of range", "https://app.example:65536", "no port"},
		{"port with a sign", "https://app.example:+1", "no port"},
		{"path", "https://app.example/app", "a path"},
		{"slash at the end", "https://app.example/", "a path"},
		{"backslash at the end", `https://app.example\`, "a path"},
		{"query", "https://app.example?x", "a path"},
		{"empty query", "https://app.example?", "a path"},
		{"empty fragment", "https://app.example#", "a path"},
		{"user", "https://ada@app.example", "a user"},
		{"user and password", "https://ada:x@app.example", "a user"},
		{"WebSocket", "wss://app.example", "scheme of a page"},
		{"file", "file://host", "scheme of a page"},
		{"scheme with a space", "ht tp://app.example", "scheme of a page"},
		{"no host", "https://", "no host"},
		{"no host, with a port", "https://:8443", "no host"},
		{"two origins", "https://a.example https://b.example", "a path"},
		{"space", "https://app.example ", "no host"},
		{"space before it", " https://app.example", "scheme of a page"},
		{"comma", "https://a.example,b.example", "no host"},
		{"letters that are not ASCII", "https://bücher.example", "no host"},
		{"escape", "https://app%2eexample", "no host"},
		{"empty label", "https://app..example", "no host"},
		{"dot alone", "https://.", "no host"},
		{"short IPv4", "http://127.1:3000", "no host"},
		{"octal IPv4", "http://127.0.0.01", "no host"},
		{"IPv4 as a number", "http://2130706433", "no host"},
		{"hexadecimal IPv4", "http://0x7f000001", "no host"},
		{"IPv4 with a dot", "http://127.0.0.1.", "no host"},
		{"long IPv6", "http://[0:0:0:0:0:0:0:1]", "no host"},
		{"IPv6 with a zone", "http://[fe80::1%25eth0]", "no host"},
		{"IPv6 without brackets", "http://::1", "no host"},
		{"bracket alone", "http://[::1", "no host"},
		{"IPv4 in brackets", "http://[127.0.0.1]", "no host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			guard, err := revokehttp.NewGuard(validator, revokehttp.WithCookie("session", "/"), revokehttp.WithTrustedOrigin(c.origin))
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), "invalid origin") || !strings.Contains(err.Error(), c.wrong) {
					t.Errorf("NewGuard = %v, want %q", err, c.wrong)
				}
				return
			}
			testkit.Must(t, err)
			r := testkit.Request("POST", "/", "Origin", c.origin, "Sec-Fetch-Site", "cross-site")
			if w := testkit.Serve(guard.RequireSameOrigin(nowhere), r); w.Code != 200 {
				t.Errorf("a page of the origin gets %d", w.Code)
			}
		})
	}
}
