package strictjwt

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds how deep objects and arrays may be nested, so that the bits of one word
// are enough of a stack.
const maxDepth = 64

// scanner reads JSON text (RFC 8259) without recursion and without allocation.
type scanner struct {
	data string
	pos  int
}

var (
	errJSON     = errors.New("the JSON text is not well-formed")
	errNoObject = errors.New("the JSON text is no object")
	errUTF8     = errors.New("the JSON text is not valid UTF-8")
)

// peek returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// accept skips one byte if it is c.
func (s *scanner) accept(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.pos++
	return true
}

// object reads the whole text as one object and calls member with each name and value,
// both as written.
func (s *scanner) object(member func(name, value string) error) error {
	s.space()
	if !s.accept('{') {
		return errNoObject
	}
	s.space()
	for first := true; !s.accept('}'); first = false {
		if !first && !s.accept(',') {
			return errJSON
		}
		name, err := s.name()
		if err != nil {
			return err
		}
		value, err := s.value()
		if err != nil {
			return err
		}
		if err := member(name, value); err != nil {
			return err
		}
		s.space()
	}
	s.space()
	if s.pos != len(s.data) {
		return errors.New("the JSON text goes on after its object")
	}
	return nil
}

// name reads the name of a member and its colon.
func (s *scanner) name() (string, error) {
	s.space()
	start := s.pos
	if err := s.string(); err != nil {
		return "", err
	}
	name := s.data[start:s.pos]
	s.space()
	if !s.accept(':') {
		return "", errJSON
	}
	return name, nil
}

// value reads one value of any kind and returns its text.
func (s *scanner) value() (string, error) {
	s.space()
	start, depth := s.pos, 0
	var objects uint64 // one bit a level: whether it is an object
	for {
		s.space()
		opened := false
		switch c := s.peek(); c {
		case '{', '[':
			if depth == maxDepth {
				return "", fmt.Errorf("the JSON text is nested more than %d levels deep", maxDepth)
			}
			s.pos++
			depth++
			objects <<= 1
			if c == '{' {
				objects |= 1
			}
			opened = true
		case '"':
			if err := s.string(); err != nil {
				return "", err
			}
		default:
			if !s.literal() {
				return "", errJSON
			}
		}
		// A value has ended, or a level has begun. Leave the levels that end here.
		for {
			if depth == 0 {
				return s.data[start:s.pos], nil
			}
			s.space()
			end := byte(']')
			if objects&1 == 1 {
				end = '}'
			}
			if s.accept(end) {
				depth--
				objects >>= 1
				opened = false
				continue
			}
			if !opened && !s.accept(',') {
				return "", errJSON
			}
			if objects&1 == 1 {
				if _, err := s.name(); err != nil {
					return "", err
				}
			}
			break
		}
	}
}

// string skips a string.
func (s *scanner) string() error {
	if !s.accept('"') {
		return errJSON
	}
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return nil
		case c < ' ':
			return errJSON
		case c == '\\':
			s.pos++
			if !s.escape() {
				return errJSON
			}
		default:
			s.pos++
		}
	}
	return errJSON
}

// escape skips what follows a backslash.
func (s *scanner) escape() bool {
	c := s.peek()
	s.pos++
	if c != 'u' {
		return c != 0 && strings.IndexByte(escapes, c) >= 0
	}
	rest := s.data[min(s.pos, len(s.data)):min(s.pos+4, len(s.data))]
	s.pos += len(rest)
	_, ok := hexRune(&rest)
	return ok
}

// escapes are the letters of the escapes of one character.
const escapes = `"\/bfnrt`

// literal skips a number, true, false or null.
func (s *scanner) literal() bool {
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(s.data[s.pos:], word) {
			s.pos += len(word)
			return true
		}
	}
	s.accept('-')
	if !s.accept('0') && !s.digits() {
		return false
	}
	if s.accept('.') && !s.digits() {
		return false
	}
	if s.accept('e') || s.accept('E') {
		if !s.accept('+') {
			s.accept('-')
		}
		return s.digits()
	}
	return true
}

// digits skips one digit or more.
func (s *scanner) digits() bool {
	start := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > start
}

// unquote decodes a JSON string. Unlike encoding/json it refuses half a surrogate pair,
// which has no UTF-8.
func unquote(quoted string) (string, error) {
	raw := quoted[1 : len(quoted)-1]
	at := strings.IndexByte(raw, '\\')
	if at < 0 {
		return raw, nil
	}
	var b strings.Builder
	for ; at >= 0; at = strings.IndexByte(raw, '\\') {
		b.WriteString(raw[:at])
		raw = raw[at+1:]
		if raw == "" {
			return "", errJSON
		}
		c := raw[0]
		raw = raw[1:]
		if i := strings.IndexByte(escapes, c); i >= 0 {
			b.WriteByte("\"\\/\b\f\n\r\t"[i])
			continue
		}
		if c != 'u' {
			return "", errJSON
		}
		r, ok := hexRune(&raw)
		if ok && utf16.IsSurrogate(r) {
			var low rune
			ok = strings.HasPrefix(raw, `\u`)
			if ok {
				raw = raw[2:]
				low, ok = hexRune(&raw)
			}
			r = utf16.DecodeRune(r, low)
			ok = ok && r != utf8.RuneError
		}
		if !ok {
			return "", errors.New("a string has an escape that stands for no character")
		}
		b.WriteRune(r)
	}
	b.WriteString(raw)
	return b.String(), nil
}

// hexRune takes four hexadecimal digits off the front.
func hexRune(s *string) (rune, bool) {
	if len(*s) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint((*s)[:4], 16, 16)
	*s = (*s)[4:]
	return rune(n), err == nil
}

// Members reads the whole text as one object and calls member with each name, decoded,
// and its value, as it is written. Names may repeat.
func Members(data string, member func(name, value string) error) error {
	if !utf8.ValidString(data) {
		return errUTF8
	}
	s := scanner{data: data}
	return s.object(func(quoted, value string) error {
		name, err := unquote(quoted)
		if err != nil {
			return fmt.Errorf("the name of a member: %w", err)
		}
		return member(name, value)
	})
}
