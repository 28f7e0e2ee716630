// Package clients has the endpoints of revokehttp used by clients that others wrote, in Go, JavaScript and Python: what two readers of
// an RFC agree on is what it says. The tests need Node.js with the packages of package-lock.json, and Debian's python3-authlib,
// python3-oauthlib and python3-requests-oauthlib:
//
//	npm ci
//	apt-get install python3-authlib python3-oauthlib python3-requests-oauthlib
package clients
