package revokehttp

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// defaultPorts are the ports that browsers leave out of an origin.
var defaultPorts = map[string]string{"http": "80", "https": "443"}

var (
	originScheme = regexp.MustCompile(`^[a-z][a-z0-9+.-]*$`)
	originName   = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?$`)
	// A name that ends so is an IPv4 address.
	originNumber = regexp.MustCompile(`(^|\.)([0-9]+|0x[0-9a-f]*)\.?$`)
)

// checkOrigin reports why no browser sends a text as Origin: browsers write an origin in one way,
// and compare it byte by byte (RFC 6454 §6.2, URL Standard, "host serializing").
func checkOrigin(origin string) error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("invalid origin %q: %s, so no browser sends it; one looks like https://app.example or "+
			"http://localhost:3000", origin, fmt.Sprintf(format, args...))
	}
	scheme, host, found := strings.Cut(origin, "://")
	switch {
	case !found:
		return wrong("it has no scheme")
	case origin != strings.ToLower(origin):
		return wrong("it is not in lower case")
	case strings.Contains(origin, "*"):
		return wrong("it has a wildcard")
	case strings.Contains(host, "@"):
		return wrong("it has a user")
	case strings.ContainsAny(host, `/\?#`):
		return wrong("it has a path, a query or a fragment")
	case !originScheme.MatchString(scheme), scheme == "ws", scheme == "wss", scheme == "file":
		return wrong("%q is not the scheme of a page", scheme)
	}
	if end := strings.LastIndexByte(host, ':'); end > strings.LastIndexByte(host, ']') {
		port := host[end+1:]
		host = host[:end]
		number, err := strconv.ParseUint(port, 10, 16)
		switch {
		case err != nil || strconv.FormatUint(number, 10) != port:
			return wrong("%q is no port", port)
		case port == defaultPorts[scheme]:
			return wrong("%s is the default port, which browsers leave out", port)
		}
	}
	if !isOriginHost(host) {
		return wrong("%q is no host as browsers write it: a name in ASCII, or an IP address in its shortest form", host)
	}
	return nil
}

// isOriginHost reports whether a host is written as in an origin.
func isOriginHost(host string) bool {
	if inner, bracketed := strings.CutPrefix(host, "["); bracketed {
		inner, bracketed = strings.CutSuffix(inner, "]")
		address, err := netip.ParseAddr(inner)
		return bracketed && err == nil && address.Is6() && address.Zone() == "" && !address.Is4In6() && address.String() == inner
	}
	if originNumber.MatchString(host) {
		address, err := netip.ParseAddr(host)
		return err == nil && address.String() == host
	}
	return originName.MatchString(host)
}
