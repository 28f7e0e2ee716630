package strictjwt

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// Claims are the claims that identify a token and bound its validity. A text that is
// missing is empty, a time that is missing is NoDate. A *Claims implements jwt.Claims, so
// that a jwt.Validator can validate it.
type Claims struct {
	Issuer, Subject, ID, Session   string
	Audience                       []string
	IssuedAt, ExpiresAt, NotBefore int64 // in seconds since 1970

	Epochs   string // the epoch claim as JSON text
	Actor    string // the claim act as JSON text, if it is an object; what it holds was not read
	HasNonce bool   // there is a nonce, of any type
	IsBound  bool   // there is a cnf other than null

	Client     string // the claim client_id
	Generation int64  // the claim generation; 0 if there is none

	// IsLogout says that the claim events marks a logout token. If events is not among
	// the claims that are read, it belongs to the app and may be of any type, and
	// IsLogout is also true where only a lenient reader sees the mark.
	IsLogout bool

	// Respelled is the name of a claim that was asked for, if the payload has another
	// member that encoding/json stores in the same field, such as "JTI" or "ſub". The
	// member is another claim and was ignored. Empty if there is none.
	Respelled string
}

// NoDate stands for a time that is missing.
const NoDate = -1

var noClaims = Claims{IssuedAt: NoDate, ExpiresAt: NoDate, NotBefore: NoDate}

// EpochClaim is the name of the epoch claim.
const EpochClaim = "epochs"

// GetIssuer returns iss, "" if there is none.
func (c *Claims) GetIssuer() (string, error) { return c.Issuer, nil }

// GetSubject returns sub, "" if there is none.
func (c *Claims) GetSubject() (string, error) { return c.Subject, nil }

// GetAudience returns aud, nil if there is none.
func (c *Claims) GetAudience() (jwt.ClaimStrings, error) { return c.Audience, nil }

// GetIssuedAt returns iat, nil if there is none.
func (c *Claims) GetIssuedAt() (*jwt.NumericDate, error) { return numericDate(c.IssuedAt), nil }

// GetExpirationTime returns exp, nil if there is none.
func (c *Claims) GetExpirationTime() (*jwt.NumericDate, error) {
	return numericDate(c.ExpiresAt), nil
}

// GetNotBefore returns nbf, nil if there is none.
func (c *Claims) GetNotBefore() (*jwt.NumericDate, error) { return numericDate(c.NotBefore), nil }

func numericDate(seconds int64) *jwt.NumericDate {
	if seconds == NoDate {
		return nil
	}
	return &jwt.NumericDate{Time: time.Unix(seconds, 0)}
}

// ConfirmationClaim is the name of the claim that binds a token to a key (RFC 7800 §3.1).
const ConfirmationClaim = "cnf"

// ActorClaim is the name of the claim that names who acts for the subject (RFC 8693 §4.1).
const ActorClaim = "act"

// The claims of a refresh token beside those that identify it: the client that it was
// issued to (RFC 9068 §2.2), and how often it has been rotated.
const (
	ClientClaim     = "client_id"
	GenerationClaim = "generation"
)

// Claim says how a claim is read.
type Claim struct {
	Name string

	// As is the claim of the type Claims that the value is read as, such as "jti" for an
	// issuer that calls it "uti". A claim that is read as none must only occur once.
	As string

	// Optional says that "" and null count as absence, and so does [] where an audience is read.
	Optional bool

	// Nullable says that null alone counts as absence.
	Nullable bool

	// Number says that an identifier may also be a number, which counts as its decimal digits.
	Number bool
}

// Named returns claims of these names, each read as what its name says.
func Named(names ...string) []Claim {
	claims := make([]Claim, len(names))
	for i, name := range names {
		claims[i] = Claim{Name: name, As: name}
	}
	return claims
}

// Registered are the names of the claims that every kind of token reads.
func Registered() []string {
	return []string{"iss", "sub", "jti", "sid", "iat", "exp", "nbf", "aud"}
}

// isAbsent reports whether the value of a claim counts as none.
func (claim *Claim) isAbsent(value string) bool {
	if !claim.Optional {
		return claim.Nullable && value == "null"
	}
	return value == `""` || value == "null" || claim.As == "aud" && isEmptyArray(value)
}

func isEmptyArray(value string) bool {
	s := scanner{data: value}
	if !s.accept('[') {
		return false
	}
	s.space()
	return s.accept(']')
}

// claimReader reads a claim's value into its field.
type claimReader func(c *Claims, claim *Claim, value string) error

// claimReaders has all the claims that have a field.
var claimReaders = map[string]claimReader{
	"iss": readText(func(c *Claims) *string { return &c.Issuer }),
	"sub": readText(func(c *Claims) *string { return &c.Subject }),
	"jti": readText(func(c *Claims) *string { return &c.ID }),
	"sid": readText(func(c *Claims) *string { return &c.Session }),
	"aud": readAudience,
	"iat": readDate(func(c *Claims) *int64 { return &c.IssuedAt }),
	"exp": readDate(func(c *Claims) *int64 { return &c.ExpiresAt }),
	"nbf": readDate(func(c *Claims) *int64 { return &c.NotBefore }),

	EpochClaim: func(c *Claims, _ *Claim, value string) error { c.Epochs = value; return nil },
	"events":   readEvents,
	"nonce":    func(c *Claims, _ *Claim, _ string) error { c.HasNonce = true; return nil },

	ConfirmationClaim: readConfirmation,
	ActorClaim:        readActor,

	ClientClaim:     readText(func(c *Claims) *string { return &c.Client }),
	GenerationClaim: readGeneration,
}

// ReadClaims reads the listed claims from a JSON object, which must be well-formed, UTF-8
// and not nested deeply. Each claim must occur at most once and be of its type.
//
// encoding/json is not strict enough for claims that decide about identity and time. It
// takes the last of two members of one name, accepts "JTI" as "jti", and decodes invalid
// UTF-8 to U+FFFD, so that two different jtis become one.
func ReadClaims(payload string, list []Claim) (Claims, error) {
	if len(list) > 64 {
		return noClaims, fmt.Errorf("%d claims are to be read, at most 64 can be", len(list))
	}
	if !utf8.ValidString(payload) {
		return noClaims, errUTF8
	}
	claims := noClaims
	var seen uint64 // one bit a claim
	s := scanner{data: payload}
	err := s.object(func(quoted, value string) error {
		i, err := claims.find(quoted, value, list)
		if i < 0 || err != nil {
			return err
		}
		claim := &list[i]
		if seen&(1<<i) != 0 {
			return fmt.Errorf("claim %q occurs more than once", claim.Name)
		}
		seen |= 1 << i
		read := claimReaders[claim.As]
		if read == nil || claim.isAbsent(value) {
			return nil
		}
		if err := read(&claims, claim, value); err != nil {
			return fmt.Errorf("claim %w", err)
		}
		return nil
	})
	if err != nil {
		return noClaims, err
	}
	return claims, nil
}

// find returns the index of a member in the list, -1 if its name is not there. Of such a
// member find keeps whether it respells a claim or marks a logout token.
func (c *Claims) find(quoted, value string, list []Claim) (int, error) {
	raw := quoted[1 : len(quoted)-1]
	for i := range list {
		if raw == list[i].Name {
			return i, nil
		}
	}
	name, err := unquote(quoted)
	if err != nil {
		return -1, fmt.Errorf("the name of a claim: %w", err)
	}
	plain := isPlain(name) // other letters may fold to a name of another length
	for i := range list {
		switch claim := list[i].Name; {
		case plain && isPlain(claim) && len(name) != len(claim):
		case name == claim:
			return -1, fmt.Errorf("claim %q has an escape in its name", claim)
		case strings.EqualFold(name, claim):
			c.Respelled = claim
		}
	}
	if name == "events" && !c.IsLogout {
		c.IsLogout, err = resemblesLogout(value)
	}
	return -1, err
}

func readText(field func(*Claims) *string) claimReader {
	return func(c *Claims, claim *Claim, value string) (err error) {
		if claim.Number && value[0] != '"' {
			*field(c), err = readNumber(claim.Name, value)
			return err
		}
		*field(c), err = ReadID(claim.Name, value)
		return err
	}
}

// readNumber reads an identifier that is a number: its digits as they are written, so that no
// digit is lost to rounding. One number has one spelling: neither sign, fraction nor exponent.
func readNumber(name, value string) (string, error) {
	for i := range len(value) {
		if value[i] < '0' || value[i] > '9' {
			return "", fmt.Errorf("%q is neither a string nor a whole number in plain digits: %w", name, jwt.ErrInvalidType)
		}
	}
	return value, CheckID(strconv.Quote(name), value)
}

// ReadID reads an identifier: a JSON string that CheckID accepts. The name is for the error.
func ReadID(name, value string) (string, error) {
	if value[0] != '"' {
		return "", fmt.Errorf("%q is no string: %w", name, jwt.ErrInvalidType)
	}
	id, err := unquote(value)
	if err != nil {
		return "", fmt.Errorf("%q: %w", name, err)
	}
	if id != "" && len(id) <= MaxIDLength && isPlain(id) { // as most are
		return id, nil
	}
	return id, CheckID(strconv.Quote(name), id)
}

// readDate reads a NumericDate (RFC 7519 §2) of the years 1970 to 9999. A fraction counts as its
// whole second: an issuer that writes one writes it into all three times, and its tokens are
// to be valid at once.
func readDate(field func(*Claims) *int64) claimReader {
	return func(c *Claims, claim *Claim, value string) error {
		name := claim.Name
		if value[0] != '-' && (value[0] < '0' || value[0] > '9') {
			return fmt.Errorf("%q is no number: %w", name, jwt.ErrInvalidType)
		}
		if len(value) <= 10 { // whole seconds, as most are
			if whole, err := strconv.ParseUint(value, 10, 64); err == nil {
				*field(c) = int64(whole)
				return nil
			}
		}
		seconds, err := strconv.ParseFloat(value, 64)
		if err != nil || seconds < 0 || math.Floor(seconds) > MaxTime {
			hint := ""
			for _, unit := range [...]struct {
				name      string
				perSecond float64
			}{{"milliseconds", 1e3}, {"microseconds", 1e6}, {"nanoseconds", 1e9}} {
				// A time between 2001 and 2286 in that unit.
				if since := seconds / unit.perSecond; since >= 1e9 && since < 1e10 {
					hint = " (" + unit.name + "?)"
				}
			}
			return fmt.Errorf("%q is no time between 1970 and 9999 in seconds%s: %w", name, hint, jwt.ErrInvalidType)
		}
		*field(c) = int64(seconds)
		return nil
	}
}

// readAudience reads an audience: a string, or an array of at least one string (RFC 7519 §4.1.3).
func readAudience(c *Claims, claim *Claim, value string) error {
	name := claim.Name
	switch value[0] {
	case '"':
		audience, err := ReadID(name, value)
		c.Audience = []string{audience}
		return err
	case '[':
	default:
		return fmt.Errorf("%q is neither string nor array: %w", name, jwt.ErrInvalidType)
	}
	s := scanner{data: value, pos: 1}
	for s.space(); !s.accept(']'); s.space() {
		s.accept(',')
		element, err := s.value()
		if err != nil {
			return err
		}
		audience, err := ReadID(name, element)
		if err != nil {
			return err
		}
		c.Audience = append(c.Audience, audience)
	}
	if len(c.Audience) == 0 {
		return fmt.Errorf("%q is empty: %w", name, jwt.ErrInvalidType)
	}
	return nil
}

// readConfirmation reads cnf, which must be an object (RFC 7800 §3.1). null is no claim.
func readConfirmation(c *Claims, claim *Claim, value string) error {
	c.IsBound = value != "null"
	if c.IsBound && value[0] != '{' {
		return fmt.Errorf("%q is no object: %w", claim.Name, jwt.ErrInvalidType)
	}
	return nil
}

// readActor keeps act where it is an object (RFC 8693 §4.1). Of another type it is the app's own.
func readActor(c *Claims, _ *Claim, value string) error {
	if value[0] == '{' {
		c.Actor = value
	}
	return nil
}

// readGeneration reads a whole number in plain digits, 1 or more.
func readGeneration(c *Claims, claim *Claim, value string) error {
	generation, err := strconv.ParseUint(value, 10, 63)
	if err != nil || generation == 0 || value[0] == '0' {
		return fmt.Errorf("%q is no whole number of 1 or more: %w", claim.Name, jwt.ErrInvalidType)
	}
	c.Generation = int64(generation)
	return nil
}

// logoutEvent is the member of events that marks a logout token (OpenID Connect
// Back-Channel Logout 1.0 §2.4).
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// readEvents reads events, which must be an object. If the logout event is among them, it
// must be an object too. Other events may stand beside it, such as Keycloak's
// revoke_offline_access.
func readEvents(c *Claims, claim *Claim, value string) error {
	name := claim.Name
	if value[0] != '{' {
		return fmt.Errorf("%q is no object: %w", name, jwt.ErrInvalidType)
	}
	return Members(value, func(member, event string) error {
		switch {
		case member != logoutEvent && strings.EqualFold(member, logoutEvent):
			return fmt.Errorf("%q spells the logout in another way", name)
		case member != logoutEvent:
			return nil
		case c.IsLogout:
			return fmt.Errorf("%q names the logout more than once", name)
		case event[0] != '{':
			return fmt.Errorf("%q names a logout that is no object: %w", name, jwt.ErrInvalidType)
		}
		c.IsLogout = true
		return nil
	})
}

// resemblesLogout reports whether a lenient reader takes a claim events for that of a logout token.
func resemblesLogout(value string) (found bool, err error) {
	if value[0] != '{' {
		return false, nil
	}
	err = Members(value, func(member, _ string) error {
		found = found || strings.EqualFold(member, logoutEvent)
		return nil
	})
	return found, err
}
