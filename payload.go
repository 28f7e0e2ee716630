package revoke

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
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
	name, err := unquote(quoted)
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
	id, err := unquote(value)
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
