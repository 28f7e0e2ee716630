package oauth

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/endpoint"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// Client is an OAuth client that was authenticated.
type Client struct {
	ID     string // client_id, as it is registered; 1 to revoke.MaxIDLength bytes
	Public bool   // the client has no secret (RFC 6749 §2.1), so its id alone identifies it
}

// Authenticator finds out which client made a request: an [AuthenticateClient], by id and
// secret, or an [Authenticate], in another way.
type Authenticator interface {
	client(r *http.Request, form url.Values) (Client, error)

	// challenge returns WWW-Authenticate for a client that is refused with err.
	challenge(realm string, err error) string
}

// Authenticate returns the client that made a request, for clients that authenticate in another way
// than by a secret: by a bearer token (RFC 7662 §2.1), a certificate (mTLS, RFC 8705), or an
// assertion (private_key_jwt, RFC 7523). Such a client can be an API that has no client id: then ID
// names it in another way. The body has been read, and r.PostForm has its parameters, such as
// client_assertion; each of those of client authentication occurs once at most. ctx is as for
// AuthenticateClient, and the function is called from several goroutines.
//
//   - An error that matches [ErrInvalidClient], revoke.ErrInvalidToken, revoke.ErrRevoked or
//     revokehttp.ErrNoToken refuses the client with 401.
//   - [ErrNotAllowed] says that it may not use the endpoint, and is answered with 403.
//   - [ErrBadRequest] is answered with 400.
//   - Any other error is an outage, and is answered with 503; so is one that matches
//     revoke.ErrUnavailable beside one of these.
//
// A request with several Authorization headers is answered with 400, without a call.
//
// A bearer token with which a client authenticates must be of a kind for this endpoint: with an
// audience or a scope of its own. Otherwise the token of a user opens the endpoint (RFC 7662 §4).
type Authenticate func(r *http.Request) (Client, error)

// client returns the client that made the request.
func (a Authenticate) client(r *http.Request, form url.Values) (Client, error) {
	if err := oneAuthorization(r); err != nil { // the function would read the first
		return Client{}, err
	}
	r = r.WithContext(r.Context())
	r.Form, r.PostForm = form, form
	client, err := a(r)
	switch {
	case err == nil:
		return checkedClient(client)
	case errors.Is(err, revoke.ErrUnavailable):
		return Client{}, outage("authenticating the client", err)
	case errors.Is(err, revoke.ErrInvalidToken), errors.Is(err, revoke.ErrRevoked):
		return Client{}, refusal(http.StatusUnauthorized, "invalid_token", "the token of the client is not accepted", err)
	case errors.Is(err, ErrInvalidClient), errors.Is(err, endpoint.ErrNoToken):
		return Client{}, invalidClient(err)
	case errors.Is(err, ErrNotAllowed):
		return Client{}, refusal(http.StatusForbidden, "insufficient_scope", "the client may not use this endpoint", err)
	case errors.Is(err, ErrBadRequest):
		return Client{}, endpoint.InvalidRequest("the credentials are not presented as they should be").Because(err)
	}
	return Client{}, outage("authenticating the client", err)
}

// oneAuthorization refuses a request with several Authorization headers, of which a proxy may have
// looked at another one.
func oneAuthorization(r *http.Request) error {
	if n := len(r.Header.Values("Authorization")); n > 1 {
		return endpoint.InvalidRequest("the request has %d Authorization headers", n)
	}
	return nil
}

func (Authenticate) challenge(realm string, err error) string {
	challenge := `Bearer realm="` + realm + `"`
	answer := (*endpoint.Error)(nil)
	if errors.As(err, &answer) && (answer.Code == "invalid_token" || answer.Code == "insufficient_scope") {
		challenge += `, error="` + answer.Code + `"`
	}
	return challenge
}

// refusal returns an answer. The cause is for the report.
func refusal(status int, code, description string, cause error) error {
	return (&endpoint.Error{Status: status, Code: code, Description: description}).Because(cause)
}

// checkedClient returns a client if its id can be compared with claims, and be the actor of a
// revocation.
func checkedClient(client Client) (Client, error) {
	if err := strictjwt.CheckID("the id of the authenticated client", client.ID); err != nil {
		return Client{}, fmt.Errorf("%w: %w", revoke.ErrUnavailable, err)
	}
	return client, nil
}

// AuthenticateClient returns the client with this id and secret. It compares the secret in constant
// time, or by its hash. The secret is empty if the request has none. Then the request is refused
// unless the client is Public, even if AuthenticateClient returns no error.
//
// An error that matches [ErrInvalidClient] refuses the client: it is unknown, or its secret is
// wrong. Any other error is an outage, and is answered with 503; so is one that matches
// revoke.ErrUnavailable beside it. Errors go to the function of
// [WithReport], so they must not contain the secret. ctx is the request's; at a revocation
// endpoint it ends after 10 s, and not when the client disconnects. The function is called from
// several goroutines.
//
// The function may be called twice for one request. RFC 6749 §2.3.1 requires clients to encode
// id and secret as in forms before they write them into a Basic header, and many do not. So the
// function is called with the decoded pair, and if that pair is refused, with the pair as it
// was sent, if they differ. A limit on attempts counts both calls.
type AuthenticateClient func(ctx context.Context, id, secret string) (Client, error)

// ErrInvalidClient says that a client could not be authenticated: it is unknown, its secret is
// wrong or missing, or it authenticates in a way that is not supported. It is answered with 401
// (RFC 6749 §5.2).
var ErrInvalidClient = errors.New("invalid client")

// credentials are an id and a secret. The secret is empty if there is none.
type credentials struct{ id, secret string }

// client returns the client that made the request.
func (a AuthenticateClient) client(r *http.Request, form url.Values) (Client, error) {
	presented, err := clientCredentials(r, form)
	if err != nil {
		return Client{}, err
	}
	refused := error(nil)
	for _, c := range presented {
		client, err := a(r.Context(), c.id, c.secret)
		switch {
		case errors.Is(err, ErrInvalidClient) && !errors.Is(err, revoke.ErrUnavailable):
			refused = cmp.Or(refused, err)
			continue
		case err != nil:
			return Client{}, outage("authenticating the client", err)
		case c.secret == "" && !client.Public:
			refused = cmp.Or(refused, fmt.Errorf("%w: it has a secret and presents none", ErrInvalidClient))
			continue
		}
		return checkedClient(client)
	}
	return Client{}, invalidClient(refused)
}

func (AuthenticateClient) challenge(realm string, _ error) string {
	return `Basic realm="` + realm + `"`
}

// invalidClient returns the answer to a client that is refused. The cause is for the report.
func invalidClient(cause error) error {
	if cause == nil {
		cause = fmt.Errorf("%w: the request names none", ErrInvalidClient)
	}
	return refusal(http.StatusUnauthorized, "invalid_client", "the client could not be authenticated", cause)
}

// clientCredentials returns what the request's credentials may mean, the likelier first: one
// pair, or for a Basic header up to two. A client authenticates in one way (RFC 6749 §2.3).
// With Basic it may repeat its id in the body, and its secret beside the id, as lua-resty-openidc
// does: the same pair twice is one authentication.
//
// Only Basic authenticates a client. A header of another scheme, such as a Bearer token that an
// app adds to all of its requests, is passed over beside the id of a public client. Beside a
// secret it is refused, because it may be meant for the authentication.
func clientCredentials(r *http.Request, form url.Values) ([]credentials, error) {
	if err := oneAuthorization(r); err != nil {
		return nil, err
	}
	headers := r.Header.Values("Authorization")
	// An empty parameter counts as missing (RFC 6749 §3.2).
	body := credentials{form.Get("client_id"), form.Get("client_secret")}
	switch {
	case form.Get("client_assertion") != "": // RFC 7521 §4.2
		return nil, invalidClient(fmt.Errorf("%w: assertions are not supported", ErrInvalidClient))
	case len(headers) == 0:
		return presentable(body), nil
	}
	basic, isBasic, err := basicCredentials(headers[0])
	switch {
	case !isBasic && body.id != "" && body.secret == "":
		return presentable(body), nil
	case err != nil:
		return nil, invalidClient(err)
	case body == credentials{}:
		return presentable(basic...), nil
	}
	same := slices.DeleteFunc(basic, func(c credentials) bool {
		return c.id != body.id || body.secret != "" && c.secret != body.secret
	})
	switch {
	case len(same) > 0:
		return presentable(same...), nil
	case body.secret != "":
		return nil, endpoint.InvalidRequest("the client authenticates in two ways")
	}
	return nil, endpoint.InvalidRequest("client_id is not the client of the Authorization header")
}

// basicCredentials reads the value of an Authorization header (RFC 7617 §2). It returns the pair
// decoded as in forms (RFC 6749 §2.3.1), and the pair as it was sent, if they differ. An id with a
// colon can only be sent encoded. isBasic says whether the scheme is Basic, in upper or lower case.
func basicCredentials(header string) (pairs []credentials, isBasic bool, err error) {
	scheme, rest, _ := strings.Cut(strings.Trim(header, " \t"), " ")
	if !strings.EqualFold(scheme, "Basic") {
		return nil, false, fmt.Errorf("%w: the scheme of its Authorization header is not Basic", ErrInvalidClient)
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimLeft(rest, " "))
	id, secret, paired := strings.Cut(string(text), ":")
	if err != nil || !paired {
		return nil, true, fmt.Errorf("%w: what follows Basic is not an id and a secret", ErrInvalidClient)
	}
	raw := credentials{id, secret}
	if decoded, ok := raw.decoded(); ok && decoded != raw {
		return []credentials{decoded, raw}, true, nil
	}
	return []credentials{raw}, true, nil
}

// decoded returns the pair decoded as in forms, and false if it is not encoded so.
func (c credentials) decoded() (credentials, bool) {
	id, errID := url.QueryUnescape(c.id)
	secret, errSecret := url.QueryUnescape(c.secret)
	return credentials{id, secret}, errID == nil && errSecret == nil
}

// presentable drops pairs that belong to no client. A NUL byte, for instance, would make a
// callback's query to its database fail, which would look like an outage.
func presentable(all ...credentials) []credentials {
	return slices.DeleteFunc(all, func(c credentials) bool {
		return c.id == "" || len(c.id) > revoke.MaxIDLength || !isText(c.id) || !isText(c.secret)
	})
}

// isText reports whether s is UTF-8 without control characters (RFC 7617 §2).
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) }
