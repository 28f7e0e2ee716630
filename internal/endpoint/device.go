package endpoint

import (
	"net/http"
	"net/netip"
	"strings"
	"unicode"
)

// maxUserAgent is the maximum length of a User-Agent, in bytes. Those of browsers have about 120.
const maxUserAgent = 512

// UserAgent returns the header field User-Agent as text that a database can store: UTF-8, without
// control characters, and of at most 512 bytes.
func UserAgent(r *http.Request) string {
	printable := func(c rune) rune {
		if unicode.IsControl(c) {
			return -1
		}
		return c
	}
	text := strings.Map(printable, strings.ToValidUTF8(r.UserAgent(), "\uFFFD"))
	if len(text) > maxUserAgent {
		text = strings.ToValidUTF8(text[:maxUserAgent], "") // the cut may have divided a character
	}
	return text
}

// Address returns the IP address of the client, or of the last proxy. It is empty if the connection
// has none, as with a Unix socket.
func Address(r *http.Request) string {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return remote.Addr().Unmap().WithZone("").String()
}
