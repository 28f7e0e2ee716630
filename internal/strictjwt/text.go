package strictjwt

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxIDLength is the maximum length of an identifier, in bytes.
const MaxIDLength = 1024

// MaxTime is the last second of the year 9999, in seconds since 1970. RFC 3339 has no
// later time, and databases differ in theirs.
const MaxTime = 253402300799

// CheckID reports what is wrong with an identifier. The name is for the error.
func CheckID(name, id string) error {
	if id == "" {
		return fmt.Errorf("%s is empty", name)
	}
	return CheckText(name, id)
}

// CheckText is CheckID for a text that may be empty.
func CheckText(name, s string) error {
	if len(s) <= MaxIDLength && isPlain(s) {
		return nil
	}
	switch {
	case len(s) > MaxIDLength:
		return fmt.Errorf("%s is %d bytes long, at most %d are allowed", name, len(s), MaxIDLength)
	case !utf8.ValidString(s):
		return fmt.Errorf("%s is not valid UTF-8", name)
	case strings.IndexByte(s, 0) >= 0:
		return fmt.Errorf("%s contains a NUL byte", name)
	}
	return nil
}

// CheckNotToken reports an id that is the text of a token: a JWS or a JWE in compact
// serialization (RFC 7515 §7.1, RFC 7516 §7.1), also with the word Bearer in front. A
// revocation under it would revoke nothing. The error does not repeat the text.
func CheckNotToken(name, claim, id string) error {
	if strings.IndexByte(id, '.') < 0 {
		return nil
	}
	text := strings.TrimSpace(id)
	if scheme, rest, found := strings.Cut(text, " "); found && strings.EqualFold(scheme, "Bearer") {
		text = strings.TrimSpace(rest)
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 && len(parts) != 5 {
		return nil
	}
	for _, part := range parts {
		if strings.Trim(part, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return nil
		}
	}
	if header, err := base64.RawURLEncoding.DecodeString(parts[0]); err == nil && json.Valid(header) && bytes.TrimSpace(header)[0] == '{' {
		return fmt.Errorf("%s is the text of a token: pass the token's %s, which Validate and Identify return", name, claim)
	}
	return nil // a name with dots in it
}

// isPlain reports whether a string is ASCII without NUL, as most identifiers are, eight
// bytes at a time.
func isPlain(s string) bool {
	const high, low = 0x8080808080808080, 0x0101010101010101
	for len(s) >= 8 {
		word := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		// A byte of 128 or more, or a zero, from which the subtraction borrows.
		if (word|(word-low))&high != 0 {
			return false
		}
		s = s[8:]
	}
	for i := range len(s) {
		if s[i] == 0 || s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
