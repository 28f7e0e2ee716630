package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/pgrevoke/revoke/internal/absent"
	"github.com/pgrevoke/revoke/internal/endpoint"
	"github.com/pgrevoke/revoke/internal/refresh"
	"github.com/pgrevoke/revoke/session"
)

// Refresher answers refresh tokens. A *session.Sessions is one. It must be safe for several
// goroutines.
type Refresher interface {
	// Refresh returns the tokens that follow, or an error that matches exactly one of
	// revoke.ErrRevoked, revoke.ErrInvalidToken and revoke.ErrUnavailable. A token that was issued
	// to another client than device.Client is invalid, and nothing changes.
	Refresh(ctx context.Context, refreshToken string, device session.Device) (session.Tokens, error)
}

// token is the token endpoint.
type token struct {
	tokenEndpoint
	sessions Refresher
}

// NewToken returns the OAuth 2.0 token endpoint for refresh tokens (RFC 6749 §6): a handler of POST
// with a form, in which a client asks for tokens with grant_type=refresh_token. The client
// authenticates as at [NewRevocation], and may be Public. A server that has other grant types too
// looks at grant_type before it calls the handler. NewToken starts nothing. The error names the
// wrong argument or option.
//
//   - 200: the body is JSON with access_token, token_type, expires_in and, if the client has to
//     replace its refresh token, refresh_token. Without refresh_token the client keeps the one that
//     it has (RFC 6749 §6), as client libraries do. scope is that of the access token, if it has
//     the claim.
//   - 400: invalid_grant for a refresh token that is not accepted, such as one of another client,
//     which changes nothing; unsupported_grant_type; or invalid_request for a wrong form.
//   - 401: the client could not be authenticated.
//   - 503: the store or the signer did not answer. The client repeats the request with the same
//     refresh token, as after an answer that is lost. Within the grace of the sessions it gets the
//     refresh token that is current (FAPI 2.0 Security Profile §5.3.2.1).
//
// The parameter scope of a request is ignored, and the answer says which scope the access token has
// (RFC 6749 §3.3).
//
// The function of [WithReport] gets an error that matches [ErrBadRequest], [ErrInvalidClient],
// [ErrNotAllowed], revoke.ErrRevoked, revoke.ErrInvalidToken or revoke.ErrUnavailable; for
// unsupported_grant_type, none of them.
func NewToken(sessions Refresher, authenticate Authenticator, opts ...Option) (http.Handler, error) {
	if absent.Is(sessions) {
		return nil, fmt.Errorf("oauth: %s: sessions is nil", newToken)
	}
	shared, err := newTokenEndpoint(newToken, authenticate, nil, opts)
	if err != nil {
		return nil, err
	}
	return &token{shared, sessions}, nil
}

// WithDevice replaces what the sessions are told of the client's device: by default the header
// field User-Agent and the address at the other end of the connection, which behind a proxy is
// that of the proxy. The field Client has no effect: it is the client that was authenticated. The
// function is called from several goroutines. WithDevice is an option of [NewToken].
func WithDevice(device func(r *http.Request) session.Device) Option {
	return func(o *options) error {
		if device == nil {
			return errors.New("the function of WithDevice is nil")
		}
		o.device = device
		return o.belongsTo(newToken, "WithDevice")
	}
}

// ServeHTTP implements [http.Handler].
func (e *token) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tokens, err := e.refresh(w, r)
	if err != nil {
		e.fail(w, r, err)
		return
	}
	body, _ := json.Marshal(answerOf(tokens)) //nolint:gosec // G117: the answer is for tokens; it can always be encoded
	endpoint.WriteJSON(w, http.StatusOK, body)
}

// refresh authenticates the client, and refreshes the session of its token.
func (e *token) refresh(w http.ResponseWriter, r *http.Request) (session.Tokens, error) {
	client, form, err := e.form(w, r, "grant_type", "refresh_token", "scope")
	if err != nil {
		return session.Tokens{}, err
	}
	text := form.Get("refresh_token")
	switch grant := form.Get("grant_type"); {
	case grant == "":
		return session.Tokens{}, endpoint.InvalidRequest("grant_type is missing")
	case grant != "refresh_token":
		return session.Tokens{}, &endpoint.Error{
			Status: http.StatusBadRequest, Code: "unsupported_grant_type", Description: "grant_type is not refresh_token",
		}
	case text == "":
		return session.Tokens{}, endpoint.InvalidRequest("refresh_token is missing")
	}
	device := e.device(r)
	device.Client = client.ID
	tokens, err := e.sessions.Refresh(r.Context(), text, device)
	if err != nil {
		err = refresh.Identified(err)
		if isRefused(err) {
			err = refusal(http.StatusBadRequest, "invalid_grant", "the refresh token is not accepted", err)
		}
	}
	return tokens, err
}

// tokenAnswer has the members of RFC 6749 §5.1.
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
}

func answerOf(tokens session.Tokens) tokenAnswer {
	return tokenAnswer{
		AccessToken: tokens.Access, TokenType: "Bearer", RefreshToken: tokens.Refresh, Scope: scopeOf(tokens.Access),
		// x/oauth2 takes 0 for a token that does not expire.
		ExpiresIn: max(1, int64(time.Until(tokens.AccessExpiresAt)/time.Second)),
	}
}

// scopeOf returns the scope of an access token that was just signed, and "" if it has none.
func scopeOf(access string) string {
	c := claims{names: []string{"scope"}}
	if strings.Count(access, ".") != 2 || c.decode(access) != nil { // it need not be a JWT
		return ""
	}
	return c.scope()
}
