package strictjwt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind describes one kind of JWT. Both of its fields are set.
type Kind struct {
	// Type judges the header's typ: a media type in lower case without "application/", ""
	// where there is none. Read refuses a typ that is not a string, or empty, before it
	// calls Type.
	Type func(typ string) error

	// Claims are the claims that are read strictly, at most 64. Any other member of the
	// payload is ignored.
	Claims []Claim
}

// AccessToken is the kind of access tokens. The header's typ must be typ, unless typ is
// empty: then any typ or none is accepted, except one that ends in "+jwt" and is not
// "at+jwt" (RFC 9068 §2.1). Such a typ belongs to a kind of token that must not be taken
// for another (RFC 8725 §3.11), such as a logout token or a security event. The claims are
// read in addition to the registered ones, or instead of the one of the same name.
func AccessToken(typ string, claims ...Claim) Kind {
	want := MediaType(typ)
	return Kind{
		Type: func(typ string) error {
			switch {
			case want == "" && strings.HasSuffix(typ, "+jwt") && typ != "at+jwt":
				return errors.New("its typ is of another kind than an access token's: see WithTokenType")
			case want != "" && typ != want:
				return fmt.Errorf("its typ is not %q", want)
			}
			return nil
		},
		Claims: replace(Named(Registered()...), claims),
	}
}

// replace returns the list with these claims, each in the place of one of its name or at the end.
func replace(list, claims []Claim) []Claim {
	for _, claim := range claims {
		i := slices.IndexFunc(list, func(c Claim) bool { return c.Name == claim.Name })
		if i < 0 {
			list = append(list, claim)
			continue
		}
		list[i] = claim
	}
	return list
}

// LogoutType is the typ of logout tokens (OpenID Connect Back-Channel Logout 1.0 §2.4).
const LogoutType = "logout+jwt"

// LogoutToken is the kind of logout tokens (OpenID Connect Back-Channel Logout 1.0).
// Their typ is recommended, but §4.1 demands that one without it is accepted. Older
// providers write "JWT". Some write null for a session or a user that a logout does not name.
var LogoutToken = Kind{
	Type: func(typ string) error {
		if typ != "" && typ != "jwt" && typ != LogoutType {
			return fmt.Errorf("its typ is neither %q nor JWT", LogoutType)
		}
		return nil
	},
	Claims: replace(Named(append(Registered(), "events", "nonce")...), []Claim{
		{Name: "sub", As: "sub", Nullable: true}, {Name: "sid", As: "sid", Nullable: true},
	}),
}

// RefreshType is the typ of the refresh tokens of package session.
const RefreshType = "rt+jwt"

// RefreshToken is the kind of the refresh tokens of package session.
var RefreshToken = Kind{
	Type: func(typ string) error {
		if typ != RefreshType {
			return fmt.Errorf("its typ is not %q", RefreshType)
		}
		return nil
	},
	Claims: Named("iss", "sub", "sid", "iat", "exp", EpochClaim, ClientClaim, GenerationClaim, ConfirmationClaim),
}

// MediaType returns the form of a typ in which two are compared: in lower case, without
// "application/" (RFC 7515 §4.1.9).
func MediaType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}
