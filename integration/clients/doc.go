// Package clients tests the endpoints of oauth and signals with published client libraries in
// Go, JavaScript and Python, so that the endpoints and the clients read the RFCs independently.
// The tests need Node.js with the packages of package-lock.json, and Debian's python3-authlib,
// python3-oauthlib and python3-requests-oauthlib:
//
//	npm ci
//	apt-get install python3-authlib python3-oauthlib python3-requests-oauthlib
package clients
