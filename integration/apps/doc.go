// Package apps has three small apps that use revoke, each in a package of its own, written from
// the README and the packages' documentation:
//
//   - gormgin signs its own tokens, with GORM, gin and golang-migrate: access and refresh tokens.
//   - chipgx signs its own tokens, with chi, pgx and goose: a cookie, and a mirror in each replica.
//   - keycloak accepts the tokens of an OpenID provider, which logs its users out by back-channel.
//
// Their tests stand here. TestLines counts what an app spends on revocation.
package apps
