package strictjwt

import (
	"testing"

	"github.com/pgrevoke/revoke/internal/mutation"
)

// TestMutantsAreCaught makes one mistake at a time in the code, and runs the tests that have to
// find it, only where REVOKE_TEST_MUTANTS is set.
func TestMutantsAreCaught(t *testing.T) {
	t.Parallel()
	mutation.Run(t, map[string]mutation.Mutant{
		"keys: a secret may be short": {
			File: "keys.go", Tests: "TestUnusableKeys TestLeastKeys",
			Edits: []string{"case len(secret) < size, publicForm", "case publicForm"},
		},
		"keys: a public key may be a secret": {
			File: "keys.go", Tests: "TestUnusableKeys",
			Edits: []string{`case len(secret) < size, publicForm(secret) != "":`, "case len(secret) < size:"},
		},
		"keys: any curve will do": {
			File: "keys.go", Tests: "TestKeysOfOtherAlgorithms",
			Edits: []string{"case standard && public.Curve != curve, public.Curve.Params().BitSize != method.CurveBits:", "case public.Curve != curve && false:"},
		},
		"keys: a bad key spoils its set": {
			File: "keys.go", Tests: "TestUnusableKeys TestReadWithAKeySet",
			Edits: []string{"if len(usable) == 0 {", "if len(usable) < len(set.Keys) {", "		if err == nil {\n			return nil\n		}\n", ""},
		},
		"keys: an algorithm that a forger chose is the server's fault": {
			File: "keys.go", Tests: "TestKeysOfOtherAlgorithms",
			Edits: []string{"if isJudged(other) && unfit(other, key) == nil {", "if _ = other; false {"},
		},
		"keys: a salt may have any length": {
			File: "proof.go", Tests: "TestSaltOfPSS",
			Edits: []string{"		token.Method = strictPSS(pss)", "		_ = strictPSS(pss)"},
		},
		"keys: a keyfunc may change the method": {
			File: "proof.go", Tests: "TestKeyfuncCannotChangeTheMethod",
			Edits: []string{
				"func (r *Reader) ask(text string, method jwt.SigningMethod,", "func (r *Reader) ask(text string, method *jwt.SigningMethod,",
				"Method: method, Header: copyHeader", "Method: *method, Header: copyHeader",
				"	key, err := r.keyfunc(&s.token)\n", "	key, err := r.keyfunc(&s.token)\n	*method = s.token.Method\n",
				"r.ask(text, proof.method,", "r.ask(text, &proof.method,",
				"v.reader.ask(token.Raw, method,", "v.reader.ask(token.Raw, &method,",
			},
		},
		"keys: Ed25519 keys of small order": {
			File: "keys.go", Tests: "TestUnusableKeys TestSmallOrder",
			Edits: []string{"	return slices.Contains(smallOrder[:], point)", "	return false && slices.Contains(smallOrder[:], point)"},
		},
		"outages: each error of a URL is one": {
			File: "outage.go", Tests: "TestIsOutage",
			Edits: []string{"if !wasSent(e) {", "if false {"},
		},
		"outages: each error of the operating system is one": {
			File: "outage.go", Tests: "TestIsOutage",
			Edits: []string{"return e.Temporary() || slices.Contains(brokenConnection, e)", "return true"},
		},
		"outages: each error of Postgres is one": {
			File: "outage.go", Tests: "TestIsOutage",
			Edits: []string{"return refusesToWork(e.SQLState())", "return true"},
		},
	})
}
