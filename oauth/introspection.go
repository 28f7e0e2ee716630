package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/endpoint"
	"github.com/pgrevoke/revoke/internal/known"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// introspection is the endpoint of RFC 7662.
type introspection struct{ tokenEndpoint }

// NewIntrospection returns the OAuth 2.0 introspection endpoint (RFC 7662): a handler of POST
// with a form, in which a client, such as an API that cannot verify tokens itself, asks whether
// a token is accepted. The client authenticates as at [NewRevocation], and must not be Public.
// NewIntrospection starts nothing. The error names the wrong argument or option.
//
// Each answer comes from the validator, and so from its checker. A token that is expired,
// revoked by any scope, spent, forged, of another kind or withheld from this client is answered
// with exactly {"active":false}. The answer for an accepted token has
//
//   - iss and exp, and those of sub, aud, jti, sid, iat, nbf and the client (as client_id) that the
//     token has. iss, sub, jti and sid are the identity by which the validator knows the token,
//     also where the issuer writes it under another name (revoke.WithClaimNames,
//     revoke.WithIssuerAliases, revoke.WithDerivedID);
//   - scope, if it is a string or an array of strings, and username, if it is a string. An array
//     becomes a string with spaces (RFC 7662 §2.2);
//   - cnf, if it is an object: a token that is bound to a key must not be used without it (RFC 8705
//     §3.2). Such a token is active only if its validator has revoke.WithBoundTokens;
//   - for access tokens token_type: "DPoP" if cnf has jkt (RFC 9449 §6.2), and otherwise "Bearer".
//
// Other claims are left out, so a claim cannot pass for a member of the answer. [WithMembers] adds
// members, and [WithDisclosure] withholds some from a client, or all.
//
// A refresh token is active only for the client to which it was issued: an API that does not check
// token_type would take it for an access token. With [WithAnyClient] it is active for no client.
//
// 401, 403, 405, 413 and 503 are as at NewRevocation: a token is never called inactive because an
// answer is missing. The function of [WithReport] also gets the reason why a token is inactive:
// revoke.ErrRevoked, revoke.ErrInvalidToken or [ErrNotAllowed].
func NewIntrospection(authenticate Authenticator, kinds []Tokens, opts ...Option) (http.Handler, error) {
	shared, err := newTokenEndpoint(newIntrospection, authenticate, kinds, opts)
	if err != nil {
		return nil, err
	}
	return &introspection{shared}, nil
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
		endpoint.WriteJSON(w, http.StatusOK, body)
	case isRefused(err), errors.Is(err, ErrNotAllowed):
		e.Report(r, err)
		endpoint.WriteJSON(w, http.StatusOK, []byte(`{"active":false}`))
	default:
		e.fail(w, r, err)
	}
}

// introspect returns the answer for an accepted token.
func (e *introspection) introspect(ctx context.Context, client Client, text string) ([]byte, error) {
	active, err := find(e.kinds, func(kind Tokens) (found, error) { return kind.validate(ctx, text) })
	if err != nil {
		return nil, err
	}
	if active.kind.refresh && active.client != client.ID {
		return nil, known.With(ErrNotAllowed, active.token)
	}
	members := active.members()
	withheld, err := e.withheld(ctx, client, active.verified)
	if err != nil {
		return nil, known.With(err, active.token)
	}
	for _, name := range withheld {
		delete(members, name)
	}
	if e.members != nil {
		more, err := e.members(ctx, client, active.verified)
		switch {
		case isRefused(err):
			return nil, known.With(err, active.token)
		case err != nil:
			return nil, outage("adding members", err)
		}
		addMembers(members, more, withheld)
	}
	body, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("%w: encoding the answer: %w", revoke.ErrUnavailable, err)
	}
	return body, nil
}

// limits are the members without which a client could use a token for longer, or for more, than the
// token is for.
var limits = []string{"active", "exp", "nbf", "aud", "cnf", "token_type"}

// withheld returns the names of the members that the client may not learn. The error matches
// ErrNotAllowed, or an error of the token, if that is all of them.
func (e *introspection) withheld(ctx context.Context, client Client, token *revoke.Verified) ([]string, error) {
	if e.disclose == nil {
		return nil, nil
	}
	withheld, err := e.disclose(ctx, client, token)
	switch {
	case err != nil && !errors.Is(err, revoke.ErrUnavailable) && (isRefused(err) || errors.Is(err, ErrNotAllowed)):
		return nil, err
	case err != nil:
		return nil, outage("what a client may learn", err)
	}
	for _, name := range withheld {
		if slices.Contains(limits, name) {
			return nil, fmt.Errorf("%w: the member %q limits the use of the token, and cannot be withheld", revoke.ErrUnavailable, name)
		}
	}
	return withheld, nil
}

// outage is the error of a function of the app's that did not answer. Of an error that would be
// answered in another way only the text is kept.
func outage(of string, err error) error {
	if errors.Is(err, ErrNotAllowed) || errors.Is(err, revoke.ErrInvalidToken) || errors.Is(err, revoke.ErrRevoked) ||
		errors.As(err, new(*endpoint.Error)) {
		err = errors.New(err.Error())
	}
	return fmt.Errorf("%w: %s: %w", revoke.ErrUnavailable, of, err)
}

// reservedMembers are set only from a verified token.
var reservedMembers = []string{"active", "iss", "sub", "aud", "jti", "sid", "iat", "exp", "nbf", "client_id", "token_type", "cnf"}

// addMembers adds the members that have neither a taken nor a reserved name, and are not withheld:
// of those only a scope, which can be a narrower one. Case is ignored, because a client in Go reads
// "Sub" as "sub".
func addMembers(members, more map[string]any, withheld []string) {
	taken := slices.AppendSeq(slices.Clone(reservedMembers), maps.Keys(members))
	taken = append(taken, slices.DeleteFunc(slices.Clone(withheld), func(name string) bool { return name == "scope" })...)
	for name, value := range more {
		if !slices.ContainsFunc(taken, func(t string) bool { return strings.EqualFold(t, name) }) {
			members[name] = value
		}
	}
}

// memberClaims are the claims that members reads from the payload.
var memberClaims = []string{"aud", "iat", "nbf", "scope", "username", "cnf"}

// members returns the answer's members for a token that is accepted.
func (f found) members() map[string]any {
	members := map[string]any{"active": true, "iss": f.token.Issuer, "exp": f.token.ExpiresAt.Unix()}
	for name, value := range map[string]string{
		"sub": f.token.Subject, "jti": f.token.ID, "sid": f.token.SessionID, "client_id": f.client,
		"scope": f.claims.scope(), "username": f.claims.text("username"),
	} {
		if value != "" {
			members[name] = value
		}
	}
	for name, value := range map[string]int64{"iat": f.claims.read.IssuedAt, "nbf": f.claims.read.NotBefore} {
		if value != strictjwt.NoDate {
			members[name] = value
		}
	}
	if f.claims.read.Audience != nil {
		members["aud"] = json.RawMessage(f.claims.values["aud"])
	}
	if f.claims.isObject("cnf") {
		members["cnf"] = json.RawMessage(f.claims.values["cnf"])
	}
	if !f.kind.refresh {
		members["token_type"] = f.tokenType()
	}
	return members
}

// tokenType returns how the token is presented.
func (f found) tokenType() string {
	if f.claims.isBoundTo("jkt") {
		return "DPoP"
	}
	return "Bearer"
}
