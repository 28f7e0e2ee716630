// Package integration shows revoke beside other libraries, which stay out of its go.mod: each test is an example of one. One of
// them, porcupine, judges histories of calls of several processes.
package integration
