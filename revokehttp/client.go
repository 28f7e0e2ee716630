package revokehttp

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
)

// Client is an OAuth client that has been recognised.
type Client struct {
	ID     string // client_id, as it is registered; of 1 to revoke.MaxIDLength bytes
	Public bool   // it has no secret (RFC 6749 §2.1): whoever knows its id can speak in its name
}

// AuthenticateClient says which client presents this id and secret. A secret is compared in constant time, or by its hash. The
// secret is empty where the request has none, and then only a client that is Public is let in, whatever is returned.
//
// An error that matches [ErrInvalidClient] refuses the client: it is unknown, or the secret is wrong. Any other is an outage, and
// is answered with 503. Errors go to the function of [WithReport], and must not contain the secret. ctx is the request's; at an
// endpoint that revokes it outlasts a client that hangs up, and ends after 10 s. It is called from several goroutines.
//
// It may be called twice for one request. RFC 6749 §2.3.1 has clients encode id and secret as in forms before they write them into
// a Basic header, and many do not. So the decoded pair is asked about first, and where that is refused the pair as it was
// sent, if it is another one. Whoever counts failures counts both.
type AuthenticateClient func(ctx context.Context, id, secret string) (Client, error)

// ErrInvalidClient says that a client could not be authenticated: it is unknown, its secret is wrong or missing, or it
// authenticates in a way that is not supported. It is answered with 401 (RFC 6749 §5.2).
var ErrInvalidClient = errors.New("invalid client")

// credentials are an id and a secret, which is empty where there is none.
type credentials struct{ id, secret string }

// client returns the client that makes the request.
func (a AuthenticateClient) client(r *http.Request, form url.Values) (Client, error) {
	presented, err := clientCredentials(r, form)
	if err != nil {
		return Client{}, err
	}
	refused := error(nil)
	for _, c := range presented {
		client, err := a(r.Context(), c.id, c.secret)
		switch {
		case errors.Is(err, ErrInvalidClient):
			refused = cmp.Or(refused, err)
			continue
		case err != nil:
			return Client{}, fmt.Errorf("%w: authenticating the client: %w", revoke.ErrUnavailable, err)
		case c.secret == "" && !client.Public:
			refused = cmp.Or(refused, fmt.Errorf("%w: it has a secret, and presents none", ErrInvalidClient))
			continue
		}
		// Its id is compared with what tokens say, and noted as who revoked.
		if _, err := revoke.NewRecord(revoke.WithActor(client.ID)); err != nil || client.ID == "" {
			return Client{}, fmt.Errorf("%w: the client was authenticated as one without a usable id", revoke.ErrUnavailable)
		}
		return client, nil
	}
	return Client{}, invalidClient(refused)
}

// invalidClient is the answer to a client that is refused; the cause is for the report, and matches ErrInvalidClient.
func invalidClient(cause error) error {
	if cause == nil {
		cause = fmt.Errorf("%w: the request names none", ErrInvalidClient)
	}
	told := &protocolError{http.StatusUnauthorized, "invalid_client", "the client could not be authenticated"}
	return fmt.Errorf("%w: %w", told, cause)
}

// clientCredentials returns what the request may mean by its credentials, the likelier first: one pair, or for a Basic header
// up to two. A client authenticates in one way (RFC 6749 §2.3); with Basic it may repeat its id in the body.
func clientCredentials(r *http.Request, form url.Values) ([]credentials, error) {
	headers := r.Header.Values("Authorization")
	body := credentials{form.Get("client_id"), form.Get("client_secret")} // empty is missing (RFC 6749 §3.2)
	switch {
	case len(headers) > 1:
		return nil, invalidRequest("the request has %d Authorization headers", len(headers))
	case form.Get("client_assertion") != "": // RFC 7521 §4.2
		return nil, invalidClient(fmt.Errorf("%w: assertions are not supported", ErrInvalidClient))
	case len(headers) == 0:
		return presentable(body), nil
	}
	basic, err := basicCredentials(headers[0])
	switch {
	case err != nil:
		return nil, invalidClient(err)
	case body.secret != "":
		return nil, invalidRequest("the client authenticates in two ways")
	case body.id == "":
		return presentable(basic...), nil
	}
	named := slices.DeleteFunc(basic, func(c credentials) bool { return c.id != body.id })
	if len(named) == 0 {
		return nil, invalidRequest("client_id is not the client of the Authorization header")
	}
	return presentable(named...), nil
}

// basicCredentials reads the value of an Authorization header (RFC 7617 §2): the pair that it encodes in the manner of forms
// (RFC 6749 §2.3.1), and the pair as it stands there where that is another one. An id with a colon can only be encoded.
func basicCredentials(header string) ([]credentials, error) {
	scheme, rest, _ := strings.Cut(strings.Trim(header, " \t"), " ")
	if !strings.EqualFold(scheme, "Basic") {
		return nil, fmt.Errorf("%w: the scheme of its Authorization header is not Basic", ErrInvalidClient)
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimLeft(rest, " "))
	id, secret, paired := strings.Cut(string(text), ":")
	if err != nil || !paired {
		return nil, fmt.Errorf("%w: what follows Basic is not an id and a secret", ErrInvalidClient)
	}
	raw := credentials{id, secret}
	if decoded, ok := raw.decoded(); ok && decoded != raw {
		return []credentials{decoded, raw}, nil
	}
	return []credentials{raw}, nil
}

// decoded is the pair that c encodes in the manner of forms, if it does.
func (c credentials) decoded() (credentials, bool) {
	id, errID := url.QueryUnescape(c.id)
	secret, errSecret := url.QueryUnescape(c.secret)
	return credentials{id, secret}, errID == nil && errSecret == nil
}

// presentable keeps what could be the credentials of a client: a callback that looks them up in a database is not made to fail
// by a NUL byte, which would look like an outage.
func presentable(all ...credentials) []credentials {
	return slices.DeleteFunc(all, func(c credentials) bool {
		return c.id == "" || len(c.id) > revoke.MaxIDLength || !isText(c.id) || !isText(c.secret)
	})
}

// isText reports whether s is UTF-8 without control characters (RFC 7617 §2).
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) }
