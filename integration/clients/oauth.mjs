// Revokes and introspects tokens with oauth4webapi and with openid-client. The client authenticates
// in a header and in the body. scripts_test.go writes the addresses, clients and tokens to standard
// input.
import assert from 'node:assert/strict'
import { text } from 'node:stream/consumers'
import * as oauth from 'oauth4webapi'
import * as oidc from 'openid-client'

const { issuer, api, clients } = JSON.parse(await text(process.stdin))
const insecure = { [oauth.allowInsecureRequests]: true } // a server on loopback, without TLS

const as = await oauth
  .discoveryRequest(new URL(issuer), insecure)
  .then((response) => oauth.processDiscoveryResponse(new URL(issuer), response))

const call = (token) => fetch(api, { headers: { authorization: `Bearer ${token}` } })

async function lives(token) {
  assert.equal((await call(token)).status, 200)
}

async function isDead(token) {
  const response = await call(token)
  assert.equal(response.status, 401)
  assert.match(response.headers.get('www-authenticate'), /^Bearer .*error="invalid_token"/)
}

// How each library revokes and introspects; both throw where they do not like an answer.
const libraries = {
  oauth4webapi(id, secret, method) {
    const client = { client_id: id }
    const auth = method === 'basic' ? oauth.ClientSecretBasic(secret) : oauth.ClientSecretPost(secret)
    return {
      async revoke(token, parameters) {
        const response = await oauth.revocationRequest(as, client, auth, token, { ...insecure, additionalParameters: parameters })
        await oauth.processRevocationResponse(response)
      },
      async introspect(token) {
        const response = await oauth.introspectionRequest(as, client, auth, token, insecure)
        return oauth.processIntrospectionResponse(as, client, response)
      },
    }
  },
  async 'openid-client'(id, secret, method) {
    const auth = method === 'basic' ? oidc.ClientSecretBasic(secret) : oidc.ClientSecretPost(secret)
    const config = await oidc.discovery(new URL(issuer), id, undefined, auth, { execute: [oidc.allowInsecureRequests] })
    return {
      revoke: (token, parameters) => oidc.tokenRevocation(config, token, parameters),
      introspect: (token) => oidc.tokenIntrospection(config, token),
    }
  },
}

// refused expects a status and an error code. The libraries report them in errors of several kinds.
async function refused(promise, status, code) {
  const error = await promise.then(() => assert.fail(`accepted, instead of ${code}`), (error) => error)
  const response = error.response ?? error.cause?.response ?? error.cause
  assert.equal(error.status ?? response?.status, status, error)
  if (error.error !== undefined) assert.equal(error.error, code)
}

let revoked = 0
for (const { id, secret, tokens, foreign } of clients) {
  for (const [name, library] of Object.entries(libraries)) {
    for (const method of ['basic', 'post']) {
      const { revoke, introspect } = await library(id, secret, method)
      const token = tokens.pop()
      await lives(token)
      const alive = await introspect(token)
      assert.equal(alive.active, true)
      assert.equal(alive.client_id, id)
      assert.equal(alive.iss, issuer)
      assert.ok(Number.isInteger(alive.exp) && Number.isInteger(alive.iat))

      await revoke(token, { token_type_hint: 'refresh_token' }) // a wrong hint
      await isDead(token)
      assert.deepEqual({ ...(await introspect(token)) }, { active: false })
      await revoke(token) // again
      await revoke('not.a.token')
      assert.deepEqual({ ...(await introspect('not.a.token')) }, { active: false })

      await refused(revoke(foreign), 400, 'invalid_request')
      await lives(foreign)
      const other = await library(id, secret + 'x', method)
      await refused(other.revoke(foreign), 401, 'invalid_client')
      await refused(other.introspect(foreign), 401, 'invalid_client')
      await lives(foreign)
      revoked++
      console.log(`${name}, ${method}, ${JSON.stringify(secret)}: revoked`)
    }
  }
}
assert.ok(revoked > 0)
