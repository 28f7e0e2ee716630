// Package proxies runs real proxies in front of a service, with the configurations of docs/http.md.
package proxies
