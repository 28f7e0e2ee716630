package app

import (
	"net/netip"
	"sync"

	useragent "github.com/medama-io/go-useragent"
	"github.com/medama-io/go-useragent/agents"

	"github.com/pgrevoke/revoke/session"
)

// network returns what guesses are counted by: an IPv4 address, or the network of an IPv6 address,
// in which one customer has all addresses.
func network(device session.Device) string {
	ip, err := netip.ParseAddr(device.Address)
	if err != nil {
		return device.Address
	}
	if ip = ip.Unmap(); ip.Is4() { // a proxy may write ::ffff:192.0.2.1
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}

// userAgents is large, and the same for every App.
var userAgents = sync.OnceValue(useragent.NewParser)

// describe names the browser of a User-Agent, such as "Firefox on Windows", and says whether it is
// a telephone or a tablet.
func describe(userAgent string) (label string, small bool) {
	ua := userAgents().Parse(userAgent)
	browser, system := ua.Browser().String(), ua.OS().String()
	small = ua.Device() == agents.DeviceMobile || ua.Device() == agents.DeviceTablet
	switch {
	case browser != "" && system != "":
		return browser + " on " + system, small
	case browser != "" || system != "":
		return browser + system, small
	default:
		return "Unknown device", small
	}
}
