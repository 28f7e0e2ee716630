package revoke

import (
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
