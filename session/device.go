package session

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pgrevoke/revoke"
	"github.com/pgrevoke/revoke/internal/oneline"
	"github.com/pgrevoke/revoke/internal/postgres"
	"github.com/pgrevoke/revoke/internal/strictjwt"
)

// MaxAttributes is the greatest number of [Device].Attributes. With more of them a start fails,
// and a refresh is [Unavailable], because the token may be good.
const MaxAttributes = 16

// Device is what is known of the client that presents itself. The page "where you are
// signed in" shows it, and nothing is decided by it but for Client. Texts longer than
// revoke.MaxIDLength are cut there.
type Device struct {
	// Client is the OAuth client_id, and empty for the app's own pages. Tokens and row carry it.
	Client string
	// Label is a name for the list, such as "Ada's phone". A refresh without one leaves it
	// as it is.
	Label string
	// UserAgent is the User-Agent of the request.
	UserAgent string
	// Address is the address of the client, as the app knows it behind its proxies.
	Address string
	// Attributes are the app's own, MaxAttributes at most. A refresh without any leaves
	// them as they are.
	Attributes map[string]string
}

// stored returns the device as it is stored.
func (d Device) stored(withoutDetails bool) (Device, error) {
	if len(d.Attributes) > MaxAttributes {
		return Device{}, fmt.Errorf("the device has %d attributes, at most %d are stored", len(d.Attributes), MaxAttributes)
	}
	if err := oneline.Join(strictjwt.CheckText("client", d.Client), strictjwt.CheckNotToken("client", "client_id", d.Client)); err != nil {
		return Device{}, err
	}
	kept := Device{Client: d.Client, Label: cut(d.Label), UserAgent: cut(d.UserAgent), Address: cut(d.Address)}
	if withoutDetails {
		kept.UserAgent, kept.Address = "", ""
	}
	for _, name := range slices.Sorted(maps.Keys(d.Attributes)) {
		if kept.Attributes == nil {
			kept.Attributes = make(map[string]string)
		}
		kept.Attributes[cut(name)] = cut(d.Attributes[name])
	}
	return kept, nil
}

// cut makes a text of a foreign client one that can be stored.
func cut(text string) string {
	if len(text) > revoke.MaxIDLength {
		text = text[:revoke.MaxIDLength]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, ""), "\x00", "")
}

// args are label, user agent, address and attributes as statements take them.
func (d Device) args() []any {
	attributes := ""
	if len(d.Attributes) > 0 {
		text, _ := json.Marshal(d.Attributes) // a map of strings can always be encoded
		attributes = string(text)
	}
	return []any{
		postgres.HexText(d.Label), postgres.HexText(d.UserAgent), postgres.HexText(d.Address), postgres.HexText(attributes),
	}
}
