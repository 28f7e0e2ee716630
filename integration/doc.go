// Package integration shows revoke beside other libraries, which stay out of its go.mod: each test is an example of one.
package integration
