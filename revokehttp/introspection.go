package revokehttp

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/pgrevoke/revoke"
)

// IntrospectionOption configures [NewIntrospection].
type IntrospectionOption interface{ toIntrospection(*introspection) error }

// introspection is the endpoint of RFC 7662.
type introspection struct {
	endpoint
	mayIntrospect func(Client, revoke.Token) bool
	members       func(context.Context, Client, revoke.Token, any) (map[string]any, error)
}

type introspectionOption func(*introspection) error

func (o introspectionOption) toIntrospection(e *introspection) error { return o(e) }
func (o CommonOption) toIntrospection(e *introspection) error        { return run(o, &e.common) }

// WithMayIntrospect keeps tokens from clients: where may returns false the token is inactive for this client, whatever it is
// (RFC 7662 §4). It is asked about tokens that are alive only, and from several goroutines. Default: every client with a secret
// may introspect every access token.
func WithMayIntrospect(may func(client Client, token revoke.Token) bool) IntrospectionOption {
	return introspectionOption(func(e *introspection) error {
		if may == nil {
			return errors.New("the function that says who may introspect is nil")
		}
		e.mayIntrospect = may
		return nil
	})
}

// WithMembers adds members to the answer for a token that is alive: of claims, a *C of the validator that accepted it, or from
// elsewhere, such as a username. One that the answer has already stays as it is, and the names of reserved members, active and
// those of a token's identity, times, client and type, are ignored, whatever the case of their letters. An error, and a value that
// encoding/json cannot write, is answered with 503. It is called from several goroutines. Default: none.
func WithMembers(
	members func(ctx context.Context, client Client, token revoke.Token, claims any) (map[string]any, error),
) IntrospectionOption {
	return introspectionOption(func(e *introspection) error {
		if members == nil {
			return errors.New("the function that adds members is nil")
		}
		e.members = members
		return nil
	})
}

// reservedMembers are those about which only a verified token speaks.
var reservedMembers = []string{"active", "iss", "sub", "aud", "jti", "sid", "iat", "exp", "nbf", "client_id", "token_type", "cnf"}

// NewIntrospection returns the OAuth 2.0 introspection endpoint (RFC 7662): a handler of POST with a form in which a client, such
// as an API that cannot verify tokens itself, asks whether a token is alive. It authenticates as at [NewRevocation], and must have
// a secret.
//
// The answer is the validator's, which asks its checker every time: a token that is expired, revoked with its session, its user or
// its issuer, spent, forged, of another kind or kept from this client is exactly {"active":false}. One that is alive has iss and exp,
// and sub, aud, jti, sid, iat, nbf and client_id where it has them; scope and username where these claims are strings; cnf where
// it is an object, since a token that is bound to a key is of no use without it (RFC 8705 §3.2); and for access tokens token_type,
// which is "DPoP" with cnf.jkt (RFC 9449 §6.2) and otherwise "Bearer". Other claims stay out, and so no claim, whatever its name,
// can pass for a member of the answer.
//
// A refresh token is alive only for the client to which it was issued, because an API that does not look at token_type would take
// it for an access token. Where that client is not known, as with a nil function at [RefreshTokens], it is alive for none.
//
// 401 and 503 are as at NewRevocation: what nobody could tell is never called inactive. The function of [WithReport] also gets the
// reason why a token is inactive: revoke.ErrRevoked, revoke.ErrInvalidToken or [ErrNotAllowed]. An error says which argument or
// option is wrong.
func NewIntrospection(authenticate AuthenticateClient, kinds []Tokens, opts ...IntrospectionOption) (http.Handler, error) {
	const operation = "NewIntrospection"
	shared, err := newEndpoint(operation, authenticate, kinds)
	if err != nil {
		return nil, err
	}
	shared.confidential = true
	e := &introspection{
		endpoint:      shared,
		mayIntrospect: func(Client, revoke.Token) bool { return true },
		members:       func(context.Context, Client, revoke.Token, any) (map[string]any, error) { return nil, nil },
	}
	if err := apply(operation, e, opts, IntrospectionOption.toIntrospection); err != nil {
		return nil, err
	}
	return e, nil
}

// ServeHTTP implements [http.Handler].
func (e *introspection) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	client, text, err := e.presented(w, r)
	if err != nil {
		e.fail(w, r, err)
		return
	}
	body, err := e.introspect(r.Context(), client, text)
	switch {
	case err == nil:
		writeJSON(w, http.StatusOK, body)
	case errors.Is(err, revoke.ErrUnavailable):
		e.fail(w, r, err)
	default:
		e.report(r, err)
		writeJSON(w, http.StatusOK, []byte(`{"active":false}`))
	}
}

// introspect returns the answer for a token that is alive for the client. An error that does not match revoke.ErrUnavailable says
// why it is not.
func (e *introspection) introspect(ctx context.Context, client Client, text string) ([]byte, error) {
	alive, err := find(e.kinds, func(kind Tokens) (found, error) { return kind.validate(ctx, text) })
	if err != nil {
		return nil, err
	}
	if alive.kind.refresh && alive.client != client.ID || !e.mayIntrospect(client, alive.token) {
		return nil, ErrNotAllowed
	}
	members, err := alive.members(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", revoke.ErrUnavailable, err)
	}
	more, err := e.members(ctx, client, alive.token, alive.claims)
	if err != nil {
		return nil, fmt.Errorf("%w: adding members: %w", revoke.ErrUnavailable, err)
	}
	names := slices.AppendSeq(slices.Clone(reservedMembers), maps.Keys(members))
	for name, value := range more {
		// A client in Go takes "Sub" for "sub".
		if !slices.ContainsFunc(names, func(taken string) bool { return strings.EqualFold(taken, name) }) {
			members[name] = value
		}
	}
	body, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("%w: writing members: %w", revoke.ErrUnavailable, err)
	}
	return body, nil
}

// members returns what is said of a token that is alive; text is the token, which has been verified.
func (f found) members(text string) (map[string]any, error) {
	claims, err := readClaims(text)
	if err != nil {
		return nil, err
	}
	members := map[string]any{"active": true, "iss": f.token.Issuer, "exp": f.token.ExpiresAt.Unix()}
	for name, value := range map[string]string{
		"sub": f.token.Subject, "jti": f.token.ID, "sid": f.token.SessionID, "client_id": f.client,
		"scope": claims.text("scope"), "username": claims.text("username"),
	} {
		if value != "" {
			members[name] = value
		}
	}
	if _, ok := claims["iat"]; ok {
		members["iat"] = f.token.IssuedAt.Unix()
	}
	if nbf, err := strconv.ParseFloat(string(claims["nbf"]), 64); err == nil {
		members["nbf"] = int64(math.Ceil(nbf)) // as the validator reads it, which has looked at its range
	}
	if aud, ok := claims["aud"]; ok {
		members["aud"] = aud
	}
	cnf := claims["cnf"]
	if bytes.HasPrefix(cnf, []byte("{")) {
		members["cnf"] = cnf
	}
	if !f.kind.refresh {
		members["token_type"] = tokenType(cnf)
	}
	return members, nil
}

// tokenType says how a token with this confirmation is presented.
func tokenType(cnf json.RawMessage) string {
	var bound struct {
		Thumbprint string `json:"jkt"`
	}
	if len(cnf) > 0 && json.Unmarshal(cnf, &bound) == nil && bound.Thumbprint != "" {
		return "DPoP"
	}
	return "Bearer"
}

// rawClaims are the claims of a token as it writes them, by their exact names.
type rawClaims map[string]json.RawMessage

// readClaims reads the payload of a token that a validator has accepted.
func readClaims(text string) (rawClaims, error) {
	_, rest, _ := strings.Cut(text, ".")
	payload, _, _ := strings.Cut(rest, ".")
	data, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return nil, errors.New("the payload of an accepted token is not base64url")
	}
	var claims rawClaims
	if err := json.Unmarshal(data, &claims); err != nil {
		return nil, errors.New("the payload of an accepted token is no JSON object")
	}
	return claims, nil
}

// text returns a claim that is a string, and "" otherwise.
func (c rawClaims) text(name string) string {
	var text string
	if json.Unmarshal(c[name], &text) != nil {
		return ""
	}
	return text
}
