// Package integration uses revoke together with other libraries, which stay out of its go.mod:
// each test and each example is about one of them, and package apps has small apps whole. porcupine
// judges the calls of several processes.
package integration
