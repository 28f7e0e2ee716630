package oauth

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/endpoint"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// claims are claims of a verified payload. Each must occur at most once, and in this spelling.
type claims struct {
	names  []string          // of the claims to read
	values map[string]string // their JSON text by name
	read   strictjwt.Claims  // the registered ones among them
}

// UnmarshalJSON reads the claims from the payload. encoding/json would take the last of two members
// of one name, and "Client_ID" for "client_id". The validator has decided before whether a token
// may leave out a claim, or write null for it.
func (c *claims) UnmarshalJSON(payload []byte) (err error) {
	list := strictjwt.Named(c.names...)
	for i := range list {
		list[i].Optional = true
	}
	if c.read, err = strictjwt.ReadClaims(string(payload), list); err != nil {
		return err
	}
	c.values = make(map[string]string, len(c.names))
	return strictjwt.Members(string(payload), func(name, value string) error {
		c.values[name] = value
		return nil
	})
}

// decode reads the claims of a token that a validator has identified, and so has verified. Identify
// returns the identity only, and a client may revoke its expired token.
func (c *claims) decode(text string) error {
	payload, err := strictjwt.Payload(text)
	if err == nil {
		err = c.UnmarshalJSON([]byte(payload))
	}
	if err != nil {
		return invalidClaims(err)
	}
	return nil
}

// id returns a claim that is an identifier, and "" if the claim is missing, empty or null.
func (c *claims) id(name string) (string, error) {
	value := c.values[name]
	if value == "" || value == `""` || value == "null" {
		return "", nil
	}
	id, err := strictjwt.ReadID(name, value)
	if err != nil {
		return "", invalidClaims(err)
	}
	return id, nil
}

// text returns a claim if it is a string, and "" otherwise.
func (c *claims) text(name string) string {
	var text string
	if json.Unmarshal([]byte(c.values[name]), &text) != nil {
		return ""
	}
	return text
}

// scope returns the claim scope as RFC 7662 §2.2 defines it: a string. Some issuers write
// an array. A value in it that is no scope, such as one with a space, would pass for two,
// so then scope is "".
func (c *claims) scope() string {
	if !strings.HasPrefix(c.values["scope"], "[") {
		return c.text("scope")
	}
	var list []string
	if json.Unmarshal([]byte(c.values["scope"]), &list) != nil || slices.ContainsFunc(list, isNoScope) {
		return ""
	}
	return strings.Join(list, " ")
}

// isNoScope reports whether a text is no scope-token (RFC 6749 §3.3).
func isNoScope(text string) bool {
	return text == "" || strings.Contains(text, " ") || !endpoint.IsQuotable(text)
}

// isObject reports whether a claim is an object.
func (c *claims) isObject(name string) bool { return strings.HasPrefix(c.values[name], "{") }

// isBoundTo reports whether the claim cnf binds the token to a key by this member (RFC 7800 §3.1).
func (c *claims) isBoundTo(member string) bool {
	bound := false
	if c.isObject("cnf") {
		_ = strictjwt.Members(c.values["cnf"], func(name, value string) error {
			bound = bound || name == member && value != `""` && value[0] == '"'
			return nil
		})
	}
	return bound
}

// invalidClaims is the error of a token with unusable claims.
func invalidClaims(cause error) error {
	return fmt.Errorf("oauth: %w: %w: %w", revoke.ErrInvalidToken, jwt.ErrTokenInvalidClaims, cause)
}
