package strict

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// Kind says which claims are read; a member of another name is ignored.
type Kind int

// The kinds of tokens.
const (
	AccessToken Kind = iota
	EpochToken       // an access token with the epoch claim
	LogoutToken      // OpenID Connect Back-Channel Logout 1.0 §2.4
)

// The claims that decide about identity and time are read here and not by encoding/json: that takes the last of two members
// of one name, lets "JTI" stand for "jti", and turns invalid UTF-8 into U+FFFD, so that two jtis are one.
var (
	accessNames = []string{"iss", "sub", "jti", "sid", "iat", "exp", "nbf", "aud"}
	epochNames  = append(slices.Clone(accessNames), EpochClaim)
	logoutNames = append(slices.Clone(accessNames), "events", "nonce")
)

// EpochClaim is the name of the epoch claim.
const EpochClaim = "epochs"

func (k Kind) names() []string {
	switch k {
	case EpochToken:
		return epochNames
	case LogoutToken:
		return logoutNames
	default:
		return accessNames
	}
}

// Claims are what a token's payload says of identity and time. A string that is missing is empty, a time that is missing
// is NoDate.
type Claims struct {
	Issuer, Subject, ID, Session   string
	IssuedAt, ExpiresAt, NotBefore int64 // in seconds since 1970

	Epochs string // of an EpochToken: the claim as it is written; empty where it is missing

	IsLogout bool     // events names a logout, and so this is a logout token, whatever kind was expected
	Audience []string // of a LogoutToken, and likewise the following
	HasNonce bool
}

// NoDate stands for a time that is missing.
const NoDate = -1

// ReadClaims reads a JSON object strictly: well-formed, UTF-8, not nested deeply, and of the claims above each once, in
// its exact spelling and of its type.
func ReadClaims(data string, kind Kind) (Claims, error) {
	c := Claims{IssuedAt: NoDate, ExpiresAt: NoDate, NotBefore: NoDate}
	s := scanner{data: data}
	if !utf8.ValidString(data) {
		return c, errUTF8
	}
	names := kind.names()
	seen := 0 // one bit a name
	err := s.object(func(rawName, value string) error {
		index, name, err := claimIndex(rawName, names)
		if err != nil {
			return err
		}
		if index < 0 {
			// In an access token events is the app's own, of any type, unless it says that this is none.
			if name == "events" && !c.IsLogout {
				c.IsLogout, err = namesLogout(value)
			}
			return err
		}
		if seen&(1<<index) != 0 {
			return fmt.Errorf("claim %q occurs more than once", name)
		}
		seen |= 1 << index
		if err := c.set(name, value, kind); err != nil {
			return fmt.Errorf("claim %w", err)
		}
		return nil
	})
	return c, err
}

// claimIndex says what a member's name is, and which of names, -1 for none. A name that only resembles one is an error,
// because another reader of the same token would take it for that.
func claimIndex(quoted string, names []string) (int, string, error) {
	raw := quoted[1 : len(quoted)-1]
	for i, claim := range names {
		if raw == claim {
			return i, claim, nil
		}
	}
	name, err := unquote(quoted)
	if err != nil {
		return -1, "", fmt.Errorf("the name of a claim: %w", err)
	}
	plain := isPlain(name) // letters that fold to others may be of another length
	for _, claim := range names {
		switch {
		case plain && len(name) != len(claim):
		case strings.EqualFold(name, claim):
			return -1, "", fmt.Errorf("a claim is spelled unlike %q", claim)
		}
	}
	return -1, name, nil
}

func (c *Claims) set(name, value string, kind Kind) (err error) {
	switch name {
	case "iss":
		c.Issuer, err = ReadID(name, value)
	case "sub":
		c.Subject, err = ReadID(name, value)
	case "jti":
		c.ID, err = ReadID(name, value)
	case "sid":
		c.Session, err = ReadID(name, value)
	case "iat":
		c.IssuedAt, err = readDate(name, value, math.Floor)
	case "exp":
		c.ExpiresAt, err = readDate(name, value, math.Floor)
	case "nbf":
		c.NotBefore, err = readDate(name, value, math.Ceil)
	case "aud":
		err = eachAudience(value, func(audience string) {
			if kind == LogoutToken {
				c.Audience = append(c.Audience, audience)
			}
		})
	case EpochClaim:
		c.Epochs = value
	case "events":
		c.IsLogout, err = readEvents(value)
	case "nonce":
		c.HasNonce = true
	}
	return err
}

// ReadID reads an identifier: a string that CheckID accepts.
func ReadID(name, value string) (string, error) {
	if value[0] != '"' {
		return "", fmt.Errorf("%q is no string: %w", name, jwt.ErrInvalidType)
	}
	id, err := unquote(value)
	if err != nil {
		return "", fmt.Errorf("%q: %w", name, err)
	}
	if id != "" && len(id) <= MaxIDLength && isPlain(id) { // as nearly all are
		return id, nil
	}
	return id, CheckID(strconv.Quote(name), id)
}

// readDate reads a NumericDate (RFC 7519 §2) of the years 1970 to 9999, in whole seconds.
func readDate(name, value string, round func(float64) float64) (int64, error) {
	if value[0] != '-' && (value[0] < '0' || value[0] > '9') {
		return 0, fmt.Errorf("%q is no number: %w", name, jwt.ErrInvalidType)
	}
	if len(value) <= 10 { // whole seconds, as nearly all are
		if whole, err := strconv.ParseUint(value, 10, 64); err == nil {
			return int64(whole), nil
		}
	}
	seconds, err := strconv.ParseFloat(value, 64)
	if err != nil || seconds < 0 || round(seconds) > MaxTime {
		return 0, fmt.Errorf("%q is no time between 1970 and 9999, in seconds: %w", name, jwt.ErrInvalidType)
	}
	return int64(round(seconds)), nil
}

// eachAudience sees to it that the audience is a string or some strings (RFC 7519 §4.1.3), and passes them on.
func eachAudience(value string, use func(string)) error {
	if value[0] == '"' {
		audience, err := ReadID("aud", value)
		if err == nil {
			use(audience)
		}
		return err
	}
	if value[0] != '[' {
		return fmt.Errorf(`"aud" is neither string nor array: %w`, jwt.ErrInvalidType)
	}
	s := scanner{data: value, pos: 1}
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
		audience, err := ReadID("aud", element)
		if err != nil {
			return err
		}
		use(audience)
	}
}

// logoutEvent is the member of events that makes a token a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4).
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// readEvents reports whether events is an object with the logout event, and that an object. Other events may stand beside
// it, as Keycloak's revoke_offline_access does.
func readEvents(value string) (bool, error) {
	if value[0] != '{' {
		return false, fmt.Errorf(`"events" is no object: %w`, jwt.ErrInvalidType)
	}
	found := false
	err := Members(value, func(name, event string) error {
		switch {
		case name != logoutEvent && strings.EqualFold(name, logoutEvent):
			return errors.New(`"events" spells the logout otherwise`)
		case name != logoutEvent:
			return nil
		case found:
			return errors.New(`"events" names the logout more than once`)
		case event[0] != '{':
			return fmt.Errorf(`the logout in "events" is no object: %w`, jwt.ErrInvalidType)
		}
		found = true
		return nil
	})
	return found, err
}

// namesLogout reports whether a claim events, which may be anything, is one that a lenient reader takes for a logout's.
func namesLogout(value string) (found bool, err error) {
	if value[0] != '{' {
		return false, nil
	}
	err = Members(value, func(name, _ string) error {
		found = found || strings.EqualFold(name, logoutEvent)
		return nil
	})
	return found, err
}
