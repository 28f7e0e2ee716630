// Refreshes sessions with oauth4webapi and with openid-client: an answer without a refresh token,
// an answer that is lost, a replay, and the refresh token of another client. refresh_test.go writes
// the addresses, clients and refresh tokens to standard input.
import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import * as oauth from 'oauth4webapi'
import * as oidc from 'openid-client'

const { issuer, clients } = JSON.parse(await text(process.stdin))
const insecure = { [oauth.allowInsecureRequests]: true } // a server on loopback, without TLS

const as = await oauth
  .discoveryRequest(new URL(issuer), insecure)
  .then((response) => oauth.processDiscoveryResponse(new URL(issuer), response))

const call = (token) => fetch(`${issuer}/userinfo`, { headers: { authorization: `Bearer ${token}` } })
const tell = (path) => fetch(issuer + path) // loses the next answer, or ends the grace

// How each library refreshes; both throw where they do not like an answer.
const libraries = {
  oauth4webapi(id, secret, method) {
    const client = { client_id: id }
    const auth = method === 'basic' ? oauth.ClientSecretBasic(secret) : oauth.ClientSecretPost(secret)
    return async (token, parameters) => {
      const response = await oauth.refreshTokenGrantRequest(as, client, auth, token, { ...insecure, additionalParameters: parameters })
      return oauth.processRefreshTokenResponse(as, client, response)
    }
  },
  async 'openid-client'(id, secret, method) {
    const auth = method === 'basic' ? oidc.ClientSecretBasic(secret) : oidc.ClientSecretPost(secret)
    const config = await oidc.discovery(new URL(issuer), id, undefined, auth, { execute: [oidc.allowInsecureRequests] })
    return (token, parameters) => oidc.refreshTokenGrant(config, token, parameters)
  },
}

// refused expects a status and an error code. The libraries report 401 by its challenge alone.
async function refused(promise, status, code) {
  const error = await promise.then(() => assert.fail(`accepted, instead of ${code}`), (error) => error)
  const response = error.response ?? error.cause?.response ?? error.cause
  assert.equal(error.status ?? response?.status, status, error)
  if (status !== 401) assert.equal(error.error, code)
}

const generation = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).generation

let refreshed = 0
for (const { id, secret, tokens, foreign } of clients) {
  for (const [name, library] of Object.entries(libraries)) {
    for (const method of ['basic', 'post']) {
      const refresh = await library(id, secret, method)
      const first = tokens.pop()
      const second = await refresh(first)
      assert.equal(second.token_type, 'bearer')
      assert.equal(second.scope, 'read write')
      assert.ok(second.expires_in > 600 && second.expires_in <= 900, second.expires_in)
      assert.equal(generation(second.refresh_token), 2)
      assert.equal((await call(second.access_token)).status, 200)

      // Within the grace there is no newer refresh token: the client keeps what it has.
      const again = await refresh(second.refresh_token, { scope: 'read' })
      assert.equal(again.refresh_token, undefined)
      assert.equal(again.scope, 'read write')
      assert.equal((await call(again.access_token)).status, 200)

      // The answer is lost. The client repeats the request with the old refresh token.
      await tell('/age')
      await tell('/lose')
      await assert.rejects(refresh(second.refresh_token))
      const repeated = await refresh(second.refresh_token)
      assert.equal(generation(repeated.refresh_token), 3)

      await refused(refresh(foreign), 400, 'invalid_grant')
      await refused((await library(id, secret + 'x', method))(repeated.refresh_token), 401, 'invalid_client')
      await tell('/age')
      const current = await refresh(repeated.refresh_token)
      assert.equal(generation(current.refresh_token), 4)
      await refused(refresh(first), 400, 'invalid_grant') // a replay
      await refused(refresh(current.refresh_token), 400, 'invalid_grant')
      assert.equal((await call(current.access_token)).status, 401)
      refreshed++
      console.log(`${name}, ${method}, ${JSON.stringify(secret)}: refreshed`)
    }
  }
}
assert.ok(refreshed > 0)
