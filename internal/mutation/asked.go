package mutation

import "os"

// Asked reports whether the environment asks for the tests of the tests: REVOKE_TEST_MUTANTS is
// set. They take minutes, and are no part of a plain go test ./... .
func Asked() bool { return os.Getenv("REVOKE_TEST_MUTANTS") != "" }
