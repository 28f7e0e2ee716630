package revoke

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// claimNames are the claims that decide about identity and time, read here and not by encoding/json: that takes the last
// of two members of one name, lets "JTI" stand for "jti", and turns invalid UTF-8 into U+FFFD, so that two jtis are one.
var claimNames = [...]string{"iss", "sub", "jti", "sid", "iat", "exp", "nbf", "aud", epochClaim}

const epochClaim = "epochs"

// payload is what a token's payload says of identity and time. A string that is missing is empty, a time that is missing
// is noDate.
type payload struct {
	issuer, subject, id, session   string
	issuedAt, expiresAt, notBefore int64
	epochs                         *Epochs
}

const noDate = -1

// readPayload reads a JSON object strictly: well-formed, UTF-8, not nested deeply, and of the claims above each once, in
// its exact spelling and of its type. Without withEpochs the epoch claim is a member like any other.
func readPayload(data []byte, withEpochs bool) (payload, error) {
	p := payload{issuedAt: noDate, expiresAt: noDate, notBefore: noDate}
	s := jsonScanner{data: data}
	if !utf8.Valid(data) {
		return p, errors.New("the payload is not valid UTF-8")
	}
	seen := [len(claimNames)]bool{}
	err := s.object(func(rawName, value []byte) error {
		index, err := claimIndex(rawName, withEpochs)
		if err != nil || index < 0 {
			return err
		}
		name := claimNames[index]
		if seen[index] {
			return fmt.Errorf("claim %q occurs more than once", name)
		}
		seen[index] = true
		if err := p.set(name, value); err != nil {
			return fmt.Errorf("claim %w", err)
		}
		return nil
	})
	return p, err
}

// claimIndex says which of claimNames a member's name is, -1 for none. A name that only resembles one is an error,
// because another reader of the same token would take it for that.
func claimIndex(quoted []byte, withEpochs bool) (int, error) {
	raw := quoted[1 : len(quoted)-1]
	for i, claim := range claimNames {
		if string(raw) == claim && (withEpochs || claim != epochClaim) {
			return i, nil
		}
	}
	name, _, err := unquote(quoted)
	if err != nil {
		return -1, fmt.Errorf("the name of a claim: %w", err)
	}
	plain := isPlain(name) // letters that fold to others may be of another length
	for _, claim := range claimNames {
		switch {
		case plain && len(name) != len(claim), claim == epochClaim && !withEpochs:
		case strings.EqualFold(name, claim):
			return -1, fmt.Errorf("a claim is spelled unlike %q", claim)
		}
	}
	return -1, nil
}

func (p *payload) set(name string, value []byte) (err error) {
	switch name {
	case "iss":
		p.issuer, err = readID(name, value)
	case "sub":
		p.subject, err = readID(name, value)
	case "jti":
		p.id, err = readID(name, value)
	case "sid":
		p.session, err = readID(name, value)
	case "iat":
		p.issuedAt, err = readDate(name, value, math.Floor)
	case "exp":
		p.expiresAt, err = readDate(name, value, math.Floor)
	case "nbf":
		p.notBefore, err = readDate(name, value, math.Ceil)
	case "aud":
		err = readAudience(value)
	case epochClaim:
		p.epochs = new(Epochs)
		err = p.epochs.UnmarshalJSON(value)
	}
	return err
}

func readID(name string, value []byte) (string, error) {
	if value[0] != '"' {
		return "", fmt.Errorf("%q is no string: %w", name, jwt.ErrInvalidType)
	}
	id, _, err := unquote(value)
	if err == nil {
		err = checkID(strconv.Quote(name), id)
	} else {
		err = fmt.Errorf("%q: %w", name, err)
	}
	return id, err
}

// readDate reads a NumericDate (RFC 7519 §2) of the years 1970 to 9999, in whole seconds.
func readDate(name string, value []byte, round func(float64) float64) (int64, error) {
	if value[0] != '-' && (value[0] < '0' || value[0] > '9') {
		return 0, fmt.Errorf("%q is no number: %w", name, jwt.ErrInvalidType)
	}
	seconds, err := strconv.ParseFloat(string(value), 64)
	if err != nil || seconds < 0 || round(seconds) > float64(maxTime.Unix()) {
		return 0, fmt.Errorf("%q is no time between 1970 and 9999, in seconds: %w", name, jwt.ErrInvalidType)
	}
	return int64(round(seconds)), nil
}

// readAudience sees to it that the audience is a string or some strings (RFC 7519 §4.1.3); whether it is the right one
// is golang-jwt's to say.
func readAudience(value []byte) error {
	if value[0] == '"' {
		_, err := readID("aud", value)
		return err
	}
	if value[0] != '[' {
		return fmt.Errorf(`"aud" is neither string nor array: %w`, jwt.ErrInvalidType)
	}
	s := jsonScanner{data: value, pos: 1}
	for n := 0; ; n++ {
		s.space()
		if s.accept(']') {
			if n == 0 {
				return fmt.Errorf(`"aud" is empty: %w`, jwt.ErrInvalidType)
			}
			return nil
		}
		if n > 0 {
			s.accept(',')
		}
		element, err := s.value()
		if err != nil {
			return err
		}
		if _, err := readID("aud", element); err != nil {
			return err
		}
	}
}

// maxDepth bounds how deep objects and arrays may be nested, so that the scanner needs no stack but the bits of a word.
const maxDepth = 64

// jsonScanner walks over JSON text (RFC 8259) without recursion and without allocation.
type jsonScanner struct {
	data []byte
	pos  int
}

var errJSON = errors.New("the payload is not well-formed JSON")

// peek returns the next byte, 0 at the end.
func (s *jsonScanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *jsonScanner) space() {
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
func (s *jsonScanner) accept(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.pos++
	return true
}

// object reads the whole text as one object and calls member with each name and value, both as they are written.
func (s *jsonScanner) object(member func(name, value []byte) error) error {
	s.space()
	if !s.accept('{') {
		return errors.New("the payload is no JSON object")
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
		return errors.New("the payload goes on after its JSON object")
	}
	return nil
}

// name reads the name of a member and its colon.
func (s *jsonScanner) name() ([]byte, error) {
	s.space()
	start := s.pos
	if err := s.string(); err != nil {
		return nil, err
	}
	name := s.data[start:s.pos]
	s.space()
	if !s.accept(':') {
		return nil, errJSON
	}
	return name, nil
}

// value reads one value of any kind and returns its text.
func (s *jsonScanner) value() ([]byte, error) {
	s.space()
	start, depth := s.pos, 0
	var objects uint64 // one bit a level: whether it is an object
	for {
		s.space()
		opened := false
		switch c := s.peek(); c {
		case '{', '[':
			if depth == maxDepth {
				return nil, fmt.Errorf("the payload is nested more than %d levels deep", maxDepth)
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
				return nil, err
			}
		default:
			if !s.literal() {
				return nil, errJSON
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
				return nil, errJSON
			}
			if objects&1 == 1 {
				if _, err := s.name(); err != nil {
					return nil, err
				}
			}
			break
		}
	}
}

// string skips a string.
func (s *jsonScanner) string() error {
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
func (s *jsonScanner) escape() bool {
	c := s.peek()
	s.pos++
	if c != 'u' {
		return c != 0 && strings.IndexByte(escapes, c) >= 0
	}
	rest := string(s.data[min(s.pos, len(s.data)):min(s.pos+4, len(s.data))])
	s.pos += len(rest)
	_, ok := hexRune(&rest)
	return ok
}

// escapes are the letters of the escapes of one character.
const escapes = `"\/bfnrt`

// literal skips a number, true, false or null.
func (s *jsonScanner) literal() bool {
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(string(s.data[s.pos:min(len(s.data), s.pos+len(word))]), word) {
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
func (s *jsonScanner) digits() bool {
	start := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > start
}

// unquote returns what a JSON string stands for, and whether it is written with escapes. Unlike encoding/json it refuses
// half a surrogate pair, which has no UTF-8.
func unquote(quoted []byte) (text string, escaped bool, err error) {
	raw := string(quoted[1 : len(quoted)-1])
	at := strings.IndexByte(raw, '\\')
	if at < 0 {
		return raw, false, nil
	}
	var b strings.Builder
	for ; at >= 0; at = strings.IndexByte(raw, '\\') {
		b.WriteString(raw[:at])
		raw = raw[at+1:]
		if raw == "" {
			return "", true, errJSON
		}
		c := raw[0]
		raw = raw[1:]
		if i := strings.IndexByte(escapes, c); i >= 0 {
			b.WriteByte("\"\\/\b\f\n\r\t"[i])
			continue
		}
		if c != 'u' {
			return "", true, errJSON
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
			return "", true, errors.New("a string has an escape that stands for no character")
		}
		b.WriteRune(r)
	}
	b.WriteString(raw)
	return b.String(), true, nil
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
